//! Whether both ends agree that they are connected, and who of them waits in TIME-WAIT.

use super::conns::{Conn, Run};
use super::finding::{Evidence, Seconds};
use crate::end::{End, STRANGER};
use std::collections::HashMap;
use std::net::SocketAddr;

/// In these an end counts on its peer. In LAST-ACK, CLOSING and TIME-WAIT it knows that both are
/// done.
const CONNECTED: [&str; 4] = ["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT"];

/// For longer than the patience one end counts on a connection that the other does not have.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    let mut order: Vec<[SocketAddr; 2]> = Vec::new();
    let mut tuples: HashMap<[SocketAddr; 2], [Vec<&Conn>; 2]> = HashMap::new();
    for conn in &run.conns {
        let tuple = if conn.end == End::A {
            [conn.ends.0, conn.ends.1]
        } else {
            [conn.ends.1, conn.ends.0]
        };
        let conns = tuples.entry(tuple).or_insert_with(|| {
            order.push(tuple);
            Default::default()
        });
        conns[conn.end as usize].push(conn);
    }
    order
        .into_iter()
        .find_map(|tuple| disagreement(run, tuple, tuples.get(&tuple)?))
}

fn disagreement(run: &Run, tuple: [SocketAddr; 2], conns: &[Vec<&Conn>; 2]) -> Option<Evidence> {
    let changes = conns
        .iter()
        .flatten()
        .flat_map(|conn| conn.states.iter().map(|(at, ..)| *at));
    let mut moments: Vec<f64> = changes
        .chain(run.silent.iter().flatten().copied())
        .chain([run.end])
        .collect();
    moments.sort_by(f64::total_cmp);
    let lives = End::BOTH.map(|end| Life {
        silent: *end.of(&run.silent),
        states: states(end.of::<Vec<&Conn>>(conns)),
    });
    let mut alone: Option<(f64, End)> = None;
    for at in moments {
        if let Some((since, end)) = alone.filter(|(since, _)| at - since > run.patience) {
            let until = at - 1e-6;
            let [ours, theirs] = [end, end.other()].map(|end| end.of(&lives).state(until).0);
            let peer = *end.other().of(&tuple);
            let state = ours.unwrap_or("CLOSED").to_owned();
            let time = Seconds(at - since);
            if peer.ip() == STRANGER {
                return Some(Evidence::Phantom {
                    end,
                    state,
                    peer,
                    time,
                });
            }
            return Some(Evidence::Disagree {
                end,
                state,
                other: theirs.map(str::to_owned),
                time,
            });
        }
        let counts = End::BOTH.map(|end| end.of(&lives).state(at).1);
        let who = End::BOTH
            .into_iter()
            .find(|end| *end.of(&counts) && !*end.other().of(&counts));
        alone = who.map(|end| {
            alone
                .filter(|(_, before)| *before == end)
                .unwrap_or((at, end))
        });
    }
    None
}

/// Where an end was on a four-tuple, over all its incarnations.
struct Life<'a> {
    silent: Option<f64>,
    /// From when on in which state.
    states: Vec<(f64, &'a str)>,
}

impl Life<'_> {
    /// An end's state at a moment (`None`: it is gone), and whether it counts on its peer then.
    fn state(&self, at: f64) -> (Option<&str>, bool) {
        if self.silent.is_some_and(|silent| silent <= at) {
            return (None, false);
        }
        let entered = self.states.partition_point(|(entered, _)| *entered <= at);
        let state = entered
            .checked_sub(1)
            .map_or("CLOSED", |last| self.states[last].1);
        (Some(state), CONNECTED.contains(&state))
    }
}

/// Of connections in the order in which they were opened; the later one counts from then on.
fn states<'a>(conns: &[&'a Conn]) -> Vec<(f64, &'a str)> {
    let mut states: Vec<(f64, &str)> = Vec::new();
    let mut after = conns.iter().skip(1).map(|next| next.opened);
    for conn in conns {
        let until = after.next().unwrap_or(f64::INFINITY);
        let entered = conn
            .states
            .iter()
            .map(|(at, state, _)| (*at, state.as_str()));
        states.extend(
            [(conn.opened, "CLOSED")]
                .into_iter()
                .chain(entered)
                .filter(|(at, _)| *at < until),
        );
    }
    states
}

/// Somebody is in TIME-WAIT who did not close first, nobody is who did, or a RST ended it.
pub(super) fn time_wait_broken(run: &Run) -> Option<Evidence> {
    let mut judged = false;
    for conn in run.conns.iter().filter(|conn| run.peer(conn).is_some()) {
        let first = conn.was("FIN-WAIT-1");
        if !first && conn.was("TIME-WAIT") {
            return Some(Evidence::TimeWaitMisplaced { conn: conn.which() });
        }
        let clean = conn
            .closed
            .as_ref()
            .is_some_and(|(_, reason)| reason == "clean");
        if first && clean && !conn.was("TIME-WAIT") {
            return Some(Evidence::TimeWaitMissing { conn: conn.which() });
        }
        let mut left = conn.states.iter().zip(conn.states.iter().skip(1));
        if let Some(((entered, ..), (left, ..))) =
            left.find(|((_, state, _), (_, _, on))| state == "TIME-WAIT" && on == "RST")
        {
            return Some(Evidence::TimeWaitKilled {
                conn: conn.which(),
                time: Seconds(left - entered),
            });
        }
        judged |= first;
    }
    (!judged).then_some(Evidence::NoClose)
}
