//! Whether somebody waits for ever, and whether every connect succeeds.

use super::conns::{Conn, Deed, Run};
use super::finding::{Evidence, Seconds};

/// In these only the peer can help.
const WAITING: [&str; 5] = [
    "SYN-SENT",
    "SYN-RECEIVED",
    "FIN-WAIT-1",
    "CLOSING",
    "LAST-ACK",
];
/// In these steps an application waits by its own will.
const PATIENT: [&str; 5] = ["sleep", "accept", "stop reading", "go silent", "expect"];

/// An end that is in such a state, or whose application waits in a step, for longer than the
/// patience.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    let stuck = run.conns.iter().find_map(|conn| {
        let stays = conn.stays(run.counts_until(conn.end));
        let stuck = |(state, since, length): &(&str, f64, f64)| {
            WAITING.contains(state) && *length > run.patience && !is_nobodys(run, conn, *since)
        };
        let (state, _, length) = stays.into_iter().find(stuck)?;
        let reason = conn
            .closed
            .as_ref()
            .map(|(_, reason)| reason.clone())
            .filter(|reason| reason != "clean");
        Some(Evidence::Stuck {
            conn: conn.which(),
            state: state.to_owned(),
            time: Seconds(length),
            reason,
        })
    });
    stuck.or_else(|| run.deeds.iter().find_map(|deed| waits(run, deed)))
}

/// An old SYN opened it when its sender had finished already: an entry of the backlog that ends by
/// itself, and nobody's connection.
fn is_nobodys(run: &Run, conn: &Conn, since: f64) -> bool {
    let peer = run.peer(conn).and_then(|peer| peer.state_at(since));
    conn.passive && !conn.was("ESTABLISHED") && matches!(peer, Some("TIME-WAIT" | "CLOSED"))
}

fn waits(run: &Run, deed: &Deed) -> Option<Evidence> {
    let until = run.counts_until(deed.end);
    let length = deed.ended.unwrap_or(until).min(until) - deed.began;
    let patient = PATIENT.iter().any(|word| deed.step.starts_with(word))
        && !deed.step.starts_with("expect \"");
    if length <= run.patience || patient {
        return None;
    }
    let conn = run
        .conns
        .iter()
        .find(|conn| conn.end == deed.end && Some(conn.number) == deed.conn);
    let last = deed.began + length - 1e-6;
    let state = conn
        .and_then(|conn| conn.state_at(last))
        .unwrap_or("CLOSED")
        .to_owned();
    Some(Evidence::Waits {
        end: deed.end,
        step: deed.step.clone(),
        time: Seconds(length),
        state,
    })
}

/// A connect that failed, or never ended.
pub(super) fn connect_broken(run: &Run) -> Option<Evidence> {
    let mut connects = run
        .deeds
        .iter()
        .filter(|deed| deed.step.starts_with("connect"))
        .peekable();
    if connects.peek().is_none() {
        return Some(Evidence::NoConnect);
    }
    (1..)
        .zip(connects)
        .find_map(|(nth, deed)| match (deed.failures.first(), deed.ended) {
            (Some(why), _) => Some(Evidence::ConnectFailed {
                nth,
                why: why.clone(),
            }),
            (None, None) => Some(Evidence::ConnectPending { nth }),
            (None, Some(_)) => None,
        })
}
