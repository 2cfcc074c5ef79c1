//! The oracle `clean-close`: every connection that ends does so by two FINs, with nothing lost.

use super::conns::{Conn, Run, exists};
use super::finding::{Evidence, excerpt};
use tcpx_proto::state::State;

/// A connection that was established and did not end by two FINs, or lost bytes although it seemed
/// to.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    let counts = |conn: &&Conn| {
        let established = conn.was(State::Established) || conn.was(State::CloseWait);
        conn.closed.is_some() && run.silent[conn.end as usize].is_none() && established
    };
    let mut ended = run.conns.iter().filter(counts).peekable();
    if ended.peek().is_none() {
        return Some(Evidence::NoEnd);
    }
    ended.find_map(|conn| {
        let (_, reason) = conn.closed?;
        if !reason.is_clean() {
            let mut before = conn.states.iter().rev().map(|entered| entered.state);
            let state = before.find(|state| exists(*state));
            return Some(Evidence::Ended {
                conn: conn.which(),
                state: state.unwrap_or(State::Closed),
                reason,
            });
        }
        let peer = run.peer(conn)?;
        let missed = peer.sent.get(conn.received.len()..)?;
        if missed.is_empty() {
            return None;
        }
        Some(Evidence::Missed {
            conn: conn.which(),
            text: excerpt(missed),
        })
    })
}
