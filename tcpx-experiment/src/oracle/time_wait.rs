//! The oracle `time-wait`: only the end that closed first is in TIME-WAIT, and no RST ends it.

use super::conns::{Entered, Run};
use super::finding::{Evidence, Seconds};
use tcpx_proto::state::{State, Trigger};

/// An end is in TIME-WAIT that did not close first, one that did is not, or a RST ended it.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    let mut judged = false;
    for conn in run.conns.iter().filter(|conn| run.peer(conn).is_some()) {
        let closed_first = conn.was(State::FinWait1);
        let waited = conn.was(State::TimeWait);
        if waited && !closed_first {
            return Some(Evidence::TimeWaitMisplaced { conn: conn.which() });
        }
        if closed_first && conn.is_clean() && !waited {
            return Some(Evidence::TimeWaitMissing { conn: conn.which() });
        }
        let killed = |pair: &&[Entered]| {
            matches!(pair, [waiting, next]
                if waiting.state == State::TimeWait && next.on == Some(Trigger::Rst))
        };
        if let Some([waiting, next]) = conn.states.windows(2).find(killed) {
            return Some(Evidence::TimeWaitKilled {
                conn: conn.which(),
                time: Seconds(next.at - waiting.at),
            });
        }
        judged |= closed_first;
    }
    if judged {
        None
    } else {
        Some(Evidence::NoClose)
    }
}
