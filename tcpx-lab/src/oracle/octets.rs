//! Which octets came to whom, and whether a close lost any.

use super::conns::{Conn, Run};

/// Octets that were received and not sent by the peer incarnation, in order.
pub(super) fn broken(run: &Run) -> Option<String> {
    run.conns.iter().find_map(|conn| {
        let peer = run.peer(conn);
        let sent = peer.map_or("", |peer| peer.sent.as_str());
        if sent.starts_with(&conn.received) {
            return None;
        }
        let same = sent.bytes().zip(conn.received.bytes()).take_while(|(sent, received)| sent == received).count();
        let strange = conn.received.get(same..).unwrap_or(&conn.received);
        let origin = match origin(run, conn, peer, strange) {
            Some(other) => format!("which {} sent in incarnation {}", other.end, other.incarnation),
            None if sent.is_empty() => "which its peer never sent".to_owned(),
            None => format!("where its peer sent \"{}\"", excerpt(sent.get(same..).unwrap_or_default())),
        };
        Some(format!("{} received \"{}\" in incarnation {}, {origin}", conn.end, excerpt(strange), conn.incarnation))
    })
}

/// Another incarnation of the other end that sent those octets.
fn origin<'a>(run: &'a Run, conn: &Conn, peer: Option<&Conn>, strange: &str) -> Option<&'a Conn> {
    let another = |other: &&Conn| other.end != conn.end && peer.is_none_or(|peer| peer.number != other.number);
    let piece = strange.get(..strange.len().min(16)).filter(|piece| piece.len() > 1)?;
    run.conns.iter().filter(another).find(|other| other.sent.contains(piece))
}

/// A connection that was established and did not end by two FINs, or lost octets although it seemed to.
pub(super) fn close_broken(run: &Run) -> Option<String> {
    let established = |conn: &&Conn| conn.was("ESTABLISHED") || conn.was("CLOSE-WAIT");
    let ended = run.conns.iter().filter(|conn| conn.closed.is_some() && run.silent[conn.end as usize].is_none());
    let mut ended = ended.filter(established).peekable();
    if ended.peek().is_none() {
        return Some("no connection has ended".to_owned());
    }
    ended.find_map(|conn| {
        let (_, reason) = conn.closed.as_ref()?;
        if reason != "clean" {
            let before = conn.states.iter().rev().find(|(_, state, _)| !matches!(state.as_str(), "CLOSED" | "LISTEN"));
            let before = before.map_or("CLOSED", |(_, state, _)| state);
            return Some(format!("{} in {before} ended: {reason}", conn.name()));
        }
        let peer = run.peer(conn).filter(|peer| peer.sent.len() > conn.received.len())?;
        Some(format!("{} closed clean and missed \"{}\"", conn.name(), excerpt(peer.sent.get(conn.received.len()..).unwrap_or_default())))
    })
}

/// More segments than enough, lost ones included.
pub(super) fn economy_broken(run: &Run) -> Option<String> {
    let Some(budget) = run.budget else { return Some("the experiment has no budget".to_owned()) };
    let [a, b] = run.segments;
    let octets: usize = run.conns.iter().map(|conn| conn.sent.len()).sum();
    let most = format!("a sends {a} segments and b {b} for {octets} octets of text, where {budget} are enough");
    (a + b > budget).then_some(most)
}

/// The beginning of a text.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(24) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
