//! Which octets came to whom, and whether a close lost any.

use super::conns::{Conn, Run};
use super::finding::{Evidence, Origin};

/// Octets that were received and not sent by the peer incarnation, in order.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    run.conns.iter().find_map(|conn| {
        let peer = run.peer(conn);
        let sent = peer.map_or("", |peer| peer.sent.as_str());
        if sent.starts_with(&conn.received) {
            return None;
        }
        let same = sent
            .bytes()
            .zip(conn.received.bytes())
            .take_while(|(sent, received)| sent == received)
            .count();
        let strange = conn.received.get(same..).unwrap_or(&conn.received);
        let origin = match origin(run, conn, peer, strange) {
            Some(other) => Origin::Incarnation(other.which()),
            None if sent.is_empty() => Origin::Nowhere,
            None => Origin::Instead(excerpt(sent.get(same..).unwrap_or_default())),
        };
        Some(Evidence::Strange {
            conn: conn.which(),
            text: excerpt(strange),
            origin,
        })
    })
}

/// Another incarnation of the other end that sent those octets.
fn origin<'a>(run: &'a Run, conn: &Conn, peer: Option<&Conn>, strange: &str) -> Option<&'a Conn> {
    let another = |other: &&Conn| {
        other.end != conn.end && peer.is_none_or(|peer| peer.number != other.number)
    };
    let piece = strange
        .get(..strange.len().min(16))
        .filter(|piece| piece.len() > 1)?;
    run.conns
        .iter()
        .filter(another)
        .find(|other| other.sent.contains(piece))
}

/// A connection that was established and did not end by two FINs, or lost octets although it seemed
/// to.
pub(super) fn close_broken(run: &Run) -> Option<Evidence> {
    let established = |conn: &&Conn| conn.was("ESTABLISHED") || conn.was("CLOSE-WAIT");
    let ended = run
        .conns
        .iter()
        .filter(|conn| conn.closed.is_some() && run.silent[conn.end as usize].is_none());
    let mut ended = ended.filter(established).peekable();
    if ended.peek().is_none() {
        return Some(Evidence::NoEnd);
    }
    ended.find_map(|conn| {
        let (_, reason) = conn.closed.as_ref()?;
        if reason != "clean" {
            let before = conn
                .states
                .iter()
                .rev()
                .find(|(_, state, _)| !matches!(state.as_str(), "CLOSED" | "LISTEN"));
            let state = before.map_or("CLOSED", |(_, state, _)| state).to_owned();
            return Some(Evidence::Ended {
                conn: conn.which(),
                state,
                reason: reason.clone(),
            });
        }
        let peer = run
            .peer(conn)
            .filter(|peer| peer.sent.len() > conn.received.len())?;
        Some(Evidence::Missed {
            conn: conn.which(),
            text: excerpt(peer.sent.get(conn.received.len()..).unwrap_or_default()),
        })
    })
}

/// More segments than enough, lost ones included.
pub(super) fn economy_broken(run: &Run) -> Option<Evidence> {
    let Some(budget) = run.budget else {
        return Some(Evidence::NoBudget);
    };
    let [a, b] = run.segments;
    let octets: usize = run.conns.iter().map(|conn| conn.sent.len()).sum();
    (a + b > budget).then_some(Evidence::Wasteful {
        a,
        b,
        octets,
        budget,
    })
}

/// The beginning of a text.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(24) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
