//! The oracle `progress`: no end stays where only the peer can help it for longer than the patience.

use super::conns::{Conn, PlayedStep, Run, Stay};
use super::finding::{Evidence, Seconds};
use tcpx_proto::script::StepKind;
use tcpx_proto::state::State;

/// An end that is in such a state, or whose application waits in a step, for longer than the
/// patience.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    let stuck = run.conns.iter().find_map(|conn| stuck(run, conn));
    stuck.or_else(|| run.steps.iter().find_map(|played| waits(run, played)))
}

/// Whether only the peer can end this state.
const fn needs_the_peer(state: State) -> bool {
    match state {
        State::SynSent | State::SynReceived | State::FinWait1 | State::Closing | State::LastAck => {
            true
        }
        State::Closed
        | State::Listen
        | State::Established
        | State::FinWait2
        | State::CloseWait
        | State::TimeWait => false,
    }
}

fn stuck(run: &Run, conn: &Conn) -> Option<Evidence> {
    let too_long = |stay: &Stay| {
        needs_the_peer(stay.state) && stay.length > run.patience && !is_embryo(run, conn, stay)
    };
    let stay = conn
        .stays(run.counts_until(conn.end))
        .into_iter()
        .find(too_long)?;
    let ended = conn.closed.map(|(_, reason)| reason);
    Some(Evidence::Stuck {
        conn: conn.which(),
        state: stay.state,
        time: Seconds(stay.length),
        reason: ended.filter(|reason| !reason.is_clean()),
    })
}

/// An old SYN opened it when its sender had already finished: an entry of the backlog that ends by
/// itself.
fn is_embryo(run: &Run, conn: &Conn, stay: &Stay) -> bool {
    let peer = run.peer(conn).and_then(|peer| peer.state_at(stay.since));
    let finished = matches!(peer, Some(State::TimeWait | State::Closed));
    conn.passive && !conn.was(State::Established) && finished
}

/// Whether an application waits in such a step of its own accord.
const fn is_patient(step: StepKind) -> bool {
    match step {
        StepKind::Accept
        | StepKind::Sleep
        | StepKind::StopReading
        | StepKind::GoSilent
        | StepKind::Expect => true,
        StepKind::Listen
        | StepKind::StopListening
        | StepKind::Connect
        | StepKind::Open
        | StepKind::On
        | StepKind::Send
        | StepKind::SendInput
        | StepKind::Receive
        | StepKind::ReceiveUntil
        | StepKind::ReceiveToEnd
        | StepKind::Echo
        | StepKind::Relay
        | StepKind::Peek
        | StepKind::Set
        | StepKind::Release
        | StepKind::Shutdown
        | StepKind::Close
        | StepKind::Abort
        | StepKind::Restart
        | StepKind::ExpectText => false,
    }
}

fn waits(run: &Run, played: &PlayedStep) -> Option<Evidence> {
    let until = run.counts_until(played.end);
    let length = played.ended.unwrap_or(until).min(until) - played.began;
    if length <= run.patience || played.kind().is_some_and(is_patient) {
        return None;
    }
    let conn = run
        .conns
        .iter()
        .find(|conn| conn.end == played.end && Some(conn.number) == played.conn);
    let last = played.began + length - 1e-6;
    Some(Evidence::Waits {
        end: played.end,
        step: played.step.clone(),
        time: Seconds(length),
        state: conn
            .and_then(|conn| conn.state_at(last))
            .unwrap_or(State::Closed),
    })
}
