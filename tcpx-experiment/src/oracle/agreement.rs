//! The oracle `agreement`: both ends agree whether they are connected.

use super::conns::{Conn, Run};
use super::finding::{Evidence, Seconds};
use crate::end::{End, STRANGER};
use std::collections::HashMap;
use std::net::SocketAddr;
use tcpx_proto::state::State;

/// A moment before a change, seconds.
const JUST: f64 = 1e-6;

/// For longer than the patience one end counts on a connection that the other does not have.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    let mut order: Vec<[SocketAddr; 2]> = Vec::new();
    let mut tuples: HashMap<[SocketAddr; 2], [Vec<&Conn>; 2]> = HashMap::new();
    for conn in &run.conns {
        let (own, peer) = conn.ends;
        let tuple = match conn.end {
            End::A => [own, peer],
            End::B => [peer, own],
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

/// Whether an end counts on its peer in this state. In LAST-ACK, CLOSING and TIME-WAIT it knows that
/// both are done.
const fn counts_on_the_peer(state: State) -> bool {
    match state {
        State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait => true,
        State::Closed
        | State::Listen
        | State::SynSent
        | State::SynReceived
        | State::Closing
        | State::LastAck
        | State::TimeWait => false,
    }
}

/// The first time on a four-tuple that one end counts on the other in vain for too long.
fn disagreement(run: &Run, tuple: [SocketAddr; 2], conns: &[Vec<&Conn>; 2]) -> Option<Evidence> {
    let lives = End::BOTH.map(|end| Life::of(run, end, end.of::<Vec<_>>(conns)));
    let mut in_vain: Option<(f64, End)> = None;
    for at in moments(run, conns) {
        if let Some((since, end)) = in_vain
            && at - since > run.patience
        {
            let [ours, theirs] = [end, end.other()].map(|end| end.of(&lives).state(at - JUST));
            let state = ours.unwrap_or(State::Closed);
            let peer = *end.other().of(&tuple);
            let time = Seconds(at - since);
            return Some(if peer.ip() == STRANGER {
                Evidence::Phantom {
                    end,
                    state,
                    peer,
                    time,
                }
            } else {
                Evidence::Disagree {
                    end,
                    state,
                    other: theirs,
                    time,
                }
            });
        }
        in_vain = match (alone(&lives, at), in_vain) {
            (Some(end), Some((since, before))) if before == end => Some((since, end)),
            (Some(end), _) => Some((at, end)),
            (None, _) => None,
        };
    }
    None
}

/// When something changes at either end, in order, and the end of the run.
fn moments(run: &Run, conns: &[Vec<&Conn>; 2]) -> Vec<f64> {
    let states = conns.iter().flatten().flat_map(|conn| &conn.states);
    let mut moments: Vec<f64> = states.map(|entered| entered.at).collect();
    moments.extend(run.silent.iter().flatten());
    moments.push(run.end);
    moments.sort_by(f64::total_cmp);
    moments
}

/// The end that counts on the other while the other does not count on it.
fn alone(lives: &[Life; 2], at: f64) -> Option<End> {
    let [a, b] = lives
        .each_ref()
        .map(|life| life.state(at).is_some_and(counts_on_the_peer));
    match (a, b) {
        (true, false) => Some(End::A),
        (false, true) => Some(End::B),
        (true, true) | (false, false) => None,
    }
}

/// The states of an end on a four-tuple, over all its incarnations.
struct Life {
    silent: Option<f64>,
    /// From when on in which state.
    states: Vec<(f64, State)>,
}

impl Life {
    /// Of connections in the order in which they were opened; the later one counts from then on.
    fn of(run: &Run, end: End, conns: &[&Conn]) -> Life {
        let mut states: Vec<(f64, State)> = Vec::new();
        let mut after = conns.iter().skip(1).map(|next| next.opened);
        for conn in conns {
            let until = after.next().unwrap_or(f64::INFINITY);
            let entered = conn
                .states
                .iter()
                .map(|entered| (entered.at, entered.state));
            let all = [(conn.opened, State::Closed)].into_iter().chain(entered);
            states.extend(all.filter(|(at, _)| *at < until));
        }
        Life {
            silent: *end.of(&run.silent),
            states,
        }
    }

    /// The state at a moment; `None`: the host went silent.
    fn state(&self, at: f64) -> Option<State> {
        if self.silent.is_some_and(|silent| silent <= at) {
            return None;
        }
        let entered = self.states.partition_point(|(entered, _)| *entered <= at);
        let last = entered.checked_sub(1);
        Some(last.map_or(State::Closed, |last| self.states[last].1))
    }
}
