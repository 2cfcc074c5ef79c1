//! Whether both ends agree that they are connected, and who of them waits in TIME-WAIT.

use super::conns::{Conn, Run};
use super::finding::{Evidence, Seconds};
use crate::exchange::End;
use crate::netns;
use std::net::SocketAddr;

/// In these an end counts on its peer. In LAST-ACK, CLOSING and TIME-WAIT it knows that both are done.
const CONNECTED: [&str; 4] = ["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT"];

/// For longer than the patience one end counts on a connection that the other does not have.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    let mut tuples: Vec<[SocketAddr; 2]> = Vec::new();
    for conn in &run.conns {
        let tuple = if conn.end == End::A { [conn.ends.0, conn.ends.1] } else { [conn.ends.1, conn.ends.0] };
        if !tuples.contains(&tuple) {
            tuples.push(tuple);
        }
    }
    tuples.into_iter().find_map(|tuple| disagreement(run, tuple))
}

fn disagreement(run: &Run, tuple: [SocketAddr; 2]) -> Option<Evidence> {
    let conns = End::BOTH.map(|end| {
        let ends = (*end.of(&tuple), *end.other().of(&tuple));
        run.conns.iter().filter(|conn| conn.end == end && conn.ends == ends).collect::<Vec<_>>()
    });
    let changes = conns.iter().flatten().flat_map(|conn| conn.states.iter().map(|(at, ..)| *at));
    let mut moments: Vec<f64> = changes.chain(run.silent.iter().flatten().copied()).chain([run.end]).collect();
    moments.sort_by(f64::total_cmp);
    let mut alone: Option<(f64, End)> = None;
    for at in moments {
        if let Some((since, end)) = alone.filter(|(since, _)| at - since > run.patience) {
            let until = at - 1e-6;
            let [ours, theirs] = [end, end.other()].map(|end| state(run, &conns, end, until).0);
            let peer = *end.other().of(&tuple);
            let state = ours.unwrap_or("CLOSED").to_owned();
            let time = Seconds(at - since);
            if peer.ip() == netns::STRANGER {
                return Some(Evidence::Phantom { end, state, peer, time });
            }
            return Some(Evidence::Disagree { end, state, other: theirs.map(str::to_owned), time });
        }
        let counts = End::BOTH.map(|end| state(run, &conns, end, at).1);
        let who = End::BOTH.into_iter().find(|end| *end.of(&counts) && !*end.other().of(&counts));
        alone = who.map(|end| alone.filter(|(_, before)| *before == end).unwrap_or((at, end)));
    }
    None
}

/// An end's state at a moment (`None`: it is gone), and whether it counts on its peer then.
fn state<'a>(run: &Run, conns: &[Vec<&'a Conn>; 2], end: End, at: f64) -> (Option<&'a str>, bool) {
    if end.of(&run.silent).is_some_and(|silent| silent <= at) {
        return (None, false);
    }
    let state = end.of(conns).iter().rev().find_map(|conn| conn.state_at(at)).unwrap_or("CLOSED");
    (Some(state), CONNECTED.contains(&state))
}

/// Somebody is in TIME-WAIT who did not close first, nobody is who did, or a RST ended it.
pub(super) fn time_wait_broken(run: &Run) -> Option<Evidence> {
    let mut judged = false;
    for conn in run.conns.iter().filter(|conn| run.peer(conn).is_some()) {
        let first = conn.was("FIN-WAIT-1");
        if !first && conn.was("TIME-WAIT") {
            return Some(Evidence::TimeWaitMisplaced { conn: conn.which() });
        }
        let clean = conn.closed.as_ref().is_some_and(|(_, reason)| reason == "clean");
        if first && clean && !conn.was("TIME-WAIT") {
            return Some(Evidence::TimeWaitMissing { conn: conn.which() });
        }
        let mut left = conn.states.iter().zip(conn.states.iter().skip(1));
        if let Some(((entered, ..), (left, ..))) = left.find(|((_, state, _), (_, _, on))| state == "TIME-WAIT" && on == "RST") {
            return Some(Evidence::TimeWaitKilled { conn: conn.which(), time: Seconds(left - entered) });
        }
        judged |= first;
    }
    (!judged).then_some(Evidence::NoClose)
}
