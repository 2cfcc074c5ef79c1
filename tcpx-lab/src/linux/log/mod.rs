//! The log that the kernel's end would have written: made of captured segments, sightings of its
//! sockets, and the record of its player.
//!
//! **Sampled**, that is, seen in a look at the sockets: that a connection exists, each state in
//! which a look showed it, and when that state began, to within the time between two looks. The
//! kernel's number of a socket tells two incarnations of a four-tuple apart.
//!
//! **Inferred** from the captured segments, and only within the time between the look that did not
//! show a change and the one that did: states that passed between the two (a SYN came and a SYN,ACK
//! left: SYN-RECEIVED), the exact time of each change (its segment's), and its event. A change that
//! the segments suggest and no look confirms is not recorded: a FIN that the kernel has not
//! processed because bytes before it are missing changes nothing. Where the segments do not lead
//! from one sampled state to the next, the event is the only one that can be between the two, or
//! `?`. A connection that began and ended between two looks is inferred whole.
//!
//! A segment that belongs to no such connection has no number: a RST to an unknown peer, or the SYN
//! that was answered with a cookie.

mod lives;

use super::capture::Packet;
use super::segments::{Captured, captured};
use super::sockets::Seen;
use lives::{Life, Restarts, lives};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use tcpx_experiment::trace::{Body, Entry, Log};
use tcpx_proto::state::Trigger;
use tcpx_proto::trace::Role;

/// How far the stamp of a segment may be from the change that it makes, seconds: the kernel stamps
/// it before it handles it, and changes the state before it sends.
const SLACK: f64 = 0.001;

/// The log of the kernel at `own`. `calls` are the entries of its player, their `t` counted from
/// `monotonic` like the log's: with an [`Opened`](Body::Opened) for each connection that the player
/// names, by which its numbers are turned into the log's. Of the rest only what the application did
/// is used: the states that the player saw are in `seen` as well.
pub fn log(
    packets: &[Packet],
    seen: &Seen,
    calls: Vec<Entry>,
    own: Ipv4Addr,
    role: Role,
    monotonic: f64,
) -> Log {
    let segments = captured(packets, own);
    let mut lives = lives(&segments, seen, packets, &Restarts::of(&calls, monotonic));
    lives.sort_by(|x, y| x.began.total_cmp(&y.began));
    let mut entries: Vec<(f64, Rank, Entry)> = Vec::new();
    let mut push = |at: f64, rank, conn, body| {
        let t = at - monotonic;
        entries.push((at, rank, Entry { t, conn, body }));
    };
    for (number, life) in (1..).zip(&lives) {
        for (at, rank, body) in history(life) {
            push(at, rank, Some(number), body);
        }
    }
    let owners = owners(&segments, &lives);
    for (Captured { at, segment, .. }, conn) in segments.iter().zip(owners) {
        push(*at, Rank::Segment, conn, Body::Segment(segment.clone()));
    }
    let numbers = numbers(&calls, &lives, monotonic);
    for call in calls
        .into_iter()
        .filter(|call| matches!(call.body, Body::App(_)))
    {
        let conn = call.conn.and_then(|conn| numbers.get(&conn)).copied();
        push(call.t + monotonic, Rank::Call, conn, call.body);
    }
    entries.sort_by(|(x, rank, _), (y, other, _)| x.total_cmp(y).then(rank.cmp(other)));
    let entries = entries.into_iter().map(|(_, _, entry)| entry).collect();
    let realtime = super::calendar().as_secs_f64() + monotonic;
    Log {
        role,
        monotonic,
        realtime,
        entries,
        truncated: false,
    }
}

/// The order of entries with the same time: a call before the segment that it sends, a segment
/// before what it changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rank {
    Call,
    Segment,
    Change,
}

/// A connection's opening, its changes of state and its end.
fn history(life: &Life) -> Vec<(f64, Rank, Body)> {
    let rank = |called| if called { Rank::Call } else { Rank::Change };
    let opened = Body::Opened {
        local: life.local,
        remote: life.remote,
        passive: life.passive,
    };
    let mut history = vec![(life.began, rank(!life.passive), opened)];
    for step in &life.states {
        let called = matches!(
            step.on,
            Some(Trigger::ActiveOpen | Trigger::Close | Trigger::Abort)
        );
        let state = Body::State {
            from: step.from,
            to: step.to,
            on: step.on,
        };
        history.push((step.at, rank(called), state));
    }
    if let Some((at, reason)) = life.closed {
        history.push((at, Rank::Change, Body::Closed { reason }));
    }
    history
}

/// Which connection each segment belongs to.
fn owners(segments: &[Captured], lives: &[Life]) -> Vec<Option<u64>> {
    let mut owners = vec![None; segments.len()];
    for (number, life) in (1..).zip(lives) {
        for index in &life.segments {
            owners[*index] = Some(number);
        }
    }
    owners
}

/// The log's number of each connection that the player numbered: of the incarnations of its
/// four-tuple the last one that had begun when the player recorded it.
fn numbers(calls: &[Entry], lives: &[Life], monotonic: f64) -> HashMap<u64, u64> {
    let mut incarnations: HashMap<(SocketAddr, SocketAddr), Vec<usize>> = HashMap::new();
    for (nth, life) in lives.iter().enumerate() {
        incarnations
            .entry((life.local, life.remote))
            .or_default()
            .push(nth);
    }
    let named = calls.iter().filter_map(|call| match call.body {
        Body::Opened { local, remote, .. } => Some((call.conn?, call.t + monotonic, local, remote)),
        _ => None,
    });
    let number = |(theirs, at, local, remote): (u64, f64, SocketAddr, SocketAddr)| {
        let lived = incarnations.get(&(local, remote))?;
        let last = lived
            .partition_point(|nth| lives[*nth].began <= at + SLACK)
            .checked_sub(1)?;
        Some((theirs, lived[last] as u64 + 1))
    };
    named.filter_map(number).collect()
}

#[cfg(test)]
mod tests;
