//! The incarnations of each four-tuple, from its segments and the sightings of its sockets.

use super::super::capture::Packet;
use super::super::segments::Captured;
use super::super::sockets::{Seen, Sighting};
use super::super::track::{self, Ending, Step, Track};
use super::SLACK;
use std::collections::BTreeMap;
use std::mem;
use std::net::SocketAddr;
use std::ops::Range;
use tcpx_experiment::trace::Entry;
use tcpx_proto::error::CloseKind;
use tcpx_proto::script::StepKind;
use tcpx_proto::state::{State, Trigger};
use tcpx_proto::wire::{Flags, Icmp};

/// One incarnation of a four-tuple.
pub(super) struct Life {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Opened by a SYN.
    pub(super) passive: bool,
    pub(super) began: f64,
    pub(super) states: Vec<Step>,
    pub(super) closed: Option<(f64, Option<CloseKind>)>,
    /// Its segments, as indexes into the list of all segments.
    pub(super) segments: Vec<usize>,
}

/// When the player's host was restarted.
pub(super) struct Restarts(Vec<f64>);

impl Restarts {
    pub(super) fn of(calls: &[Entry], monotonic: f64) -> Restarts {
        let restarts = calls
            .iter()
            .filter(|call| call.begins(StepKind::Restart))
            .map(|call| call.t + monotonic);
        Restarts(restarts.collect())
    }
}

/// Every incarnation of every four-tuple.
pub(super) fn lives(
    segments: &[Captured],
    seen: &Seen,
    packets: &[Packet],
    restarts: &Restarts,
) -> Vec<Life> {
    let new = |(local, remote)| Tuple {
        local,
        remote,
        segments: Vec::new(),
        indexes: Vec::new(),
        sightings: Vec::new(),
        looks: &seen.looks,
        errors: Vec::new(),
        restarts: &restarts.0,
    };
    let mut tuples: BTreeMap<(SocketAddr, SocketAddr), Tuple<'_>> = BTreeMap::new();
    for (index, segment) in segments.iter().enumerate() {
        let ends = (segment.own, segment.peer);
        let tuple = tuples.entry(ends).or_insert_with(|| new(ends));
        tuple.segments.push(segment);
        tuple.indexes.push(index);
    }
    for sighting in &seen.sightings {
        if sighting.state != State::Listen && sighting.remote.port() != 0 {
            let ends = (sighting.local, sighting.remote);
            let tuple = tuples.entry(ends).or_insert_with(|| new(ends));
            tuple.sightings.push(sighting);
        }
    }
    for packet in packets.iter().filter(|packet| !packet.outgoing) {
        if let Some(icmp) = Icmp::parse(&packet.bytes)
            && let Some(tuple) = tuples.get_mut(&(icmp.local, icmp.remote))
        {
            tuple.errors.push(packet.at);
        }
    }
    tuples.values().flat_map(Tuple::lives).collect()
}

/// Everything known of a four-tuple.
struct Tuple<'a> {
    local: SocketAddr,
    remote: SocketAddr,
    /// Its segments, and their indexes in the list of all segments.
    segments: Vec<&'a Captured>,
    indexes: Vec<usize>,
    /// The sightings of its sockets.
    sightings: Vec<&'a Sighting>,
    /// When each look at the sockets began and ended.
    looks: &'a [(f64, f64)],
    /// When ICMP messages about it arrived.
    errors: Vec<f64>,
    /// When the host was restarted.
    restarts: &'a [f64],
}

impl Tuple<'_> {
    fn lives(&self) -> Vec<Life> {
        let mut walk = Walk {
            tuple: self,
            next: 0,
            living: None,
            lives: Vec::new(),
        };
        for sighting in &self.sightings {
            walk.visit(sighting);
        }
        walk.finish()
    }

    fn life(&self, passive: bool, began: f64) -> Life {
        Life {
            local: self.local,
            remote: self.remote,
            passive,
            began,
            states: Vec::new(),
            closed: None,
            segments: Vec::new(),
        }
    }

    /// Connections that began and ended between two looks, inferred from their segments alone.
    fn unseen(&self, range: Range<usize>) -> Vec<Life> {
        let mut lives = Vec::new();
        let mut track = Track::new();
        let mut steps: Vec<Step> = Vec::new();
        for index in range {
            steps.extend(track.take(index, self.segments[index]));
            if ends_closed(&steps) {
                lives.extend(self.inferred(mem::take(&mut steps)));
                track = Track::new();
            }
        }
        lives
    }

    /// The connection with these steps; `None` if a look in its lifetime did not show it.
    fn inferred(&self, steps: Vec<Step>) -> Option<Life> {
        let first = steps.first()?;
        let last = steps.last()?;
        let contradicted = self
            .looks
            .iter()
            .any(|(began, ended)| *began > first.at + SLACK && *ended < last.at - SLACK);
        if contradicted {
            return None;
        }
        let passive = first.from == State::Listen;
        let ending = track::ended_by_segment(last, passive, None);
        let mut life = self.life(passive, first.at);
        life.closed = Some((last.at, ending.reason));
        life.segments = self.indexes[first.begins..last.over].to_vec();
        life.states = steps;
        Some(life)
    }

    /// How a connection ended that got as far as `reached`, by `step`, and then was `gone`.
    fn ending(
        &self,
        living: &Living<'_>,
        step: Option<&Step>,
        reached: State,
        gone: &Sighting,
    ) -> Ending {
        if let Some(step) = step.filter(|step| step.to == State::Closed) {
            return track::ended_by_segment(step, living.life.passive, Some(living.last));
        }
        let between_looks = gone.since - SLACK..=gone.at;
        let happened = |times: &[f64]| times.iter().any(|at| between_looks.contains(at));
        if happened(self.restarts) {
            return Ending {
                on: Some(Trigger::Restart),
                reason: Some(CloseKind::Restarted),
            };
        }
        track::ended_in_silence(reached, living.last, happened(&self.errors))
    }
}

/// A connection that still exists.
struct Living<'a> {
    life: Life,
    track: Track,
    /// The last sighting of it.
    last: &'a Sighting,
    /// Its first segment.
    first: usize,
}

/// A walk over a four-tuple's sightings in order, each with the segments since the previous look.
struct Walk<'a> {
    tuple: &'a Tuple<'a>,
    /// The first segment that is not yet assigned to a connection.
    next: usize,
    /// The connection that exists at this point.
    living: Option<Living<'a>>,
    /// Those that have ended.
    lives: Vec<Life>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, sighting: &'a Sighting) {
        let mut living = match self.living.take() {
            Some(mut living) => {
                if living.track.state == sighting.state {
                    living.last = sighting;
                    self.living = Some(living);
                    return;
                }
                self.skip_to_look(&mut living, sighting);
                living
            }
            None if sighting.state == State::Closed => return,
            None => self.birth(sighting),
        };
        let ending = self.advance(&mut living, sighting);
        living.last = sighting;
        let Some(ending) = ending else {
            self.living = Some(living);
            return;
        };
        let mut life = living.life;
        let at = life.states.last().map_or(sighting.at, |step| step.at);
        life.closed = Some((at, ending.reason));
        life.segments = self.tuple.indexes[living.first..self.next].to_vec();
        self.lives.push(life);
    }

    fn finish(mut self) -> Vec<Life> {
        if let Some(Living {
            mut life, first, ..
        }) = self.living
        {
            life.segments = self.tuple.indexes[first..].to_vec();
            self.lives.push(life);
        } else {
            let rest = self.next..self.tuple.segments.len();
            self.lives.extend(self.tuple.unseen(rest));
        }
        self.lives
    }

    /// The first unassigned segment that can have made the change that this sighting shows: one
    /// that passed after the previous look began.
    fn since_look(&self, sighting: &Sighting) -> usize {
        let after = sighting.since - SLACK;
        let segments = &self.tuple.segments;
        self.next
            .max(segments.partition_point(|segment| segment.at < after))
    }

    /// Assigns to the connection the segments before the previous look: they changed no state.
    fn skip_to_look(&mut self, living: &mut Living<'_>, sighting: &Sighting) {
        let start = self.since_look(sighting);
        living
            .track
            .note_all(&self.tuple.segments[self.next..start]);
        self.next = start;
    }

    /// A connection that did not exist at the previous look.
    fn birth(&mut self, sighting: &'a Sighting) -> Living<'a> {
        let start = self.with_syn(self.since_look(sighting));
        self.lives.extend(self.tuple.unseen(self.next..start));
        self.next = start;
        Living {
            life: self.tuple.life(sighting.passive, sighting.at),
            track: Track::new(),
            last: sighting,
            first: start,
        }
    }

    /// `start`, or the segment before it where the previous look began between a SYN and its
    /// SYN,ACK.
    fn with_syn(&self, start: usize) -> usize {
        let flags = |index: usize| Some(self.tuple.segments.get(index)?.segment.flags);
        let cut = start > self.next
            && flags(start) == Some(Flags::SYN | Flags::ACK)
            && flags(start - 1) == Some(Flags::SYN);
        if cut { start - 1 } else { start }
    }

    /// Brings a connection to the state in which it was sighted: by the steps that its segments
    /// prove, as far as they lead there, and then directly. Returns how it ended, if it did.
    fn advance(&mut self, living: &mut Living<'a>, sighting: &Sighting) -> Option<Ending> {
        let start = self.next;
        let newborn = living.life.states.is_empty();
        let from = if newborn && sighting.passive {
            State::Listen
        } else {
            living.track.state
        };
        let mut steps = self.steps(living, sighting);
        steps.truncate(proven(&steps, from, sighting.state));
        let over = steps.last().map_or(start, |step| step.over);
        let reached = steps.last().map_or(from, |step| step.to);
        if newborn && let Some(first) = steps.first() {
            living.first = first.begins;
            living.life.began = first.at;
        }
        let ending = (sighting.state == State::Closed)
            .then(|| self.tuple.ending(living, steps.last(), reached, sighting));
        if reached != sighting.state {
            steps.push(Step {
                at: sighting.at,
                from: reached,
                to: sighting.state,
                on: track::event(reached, sighting.state),
                begins: over,
                over,
            });
        }
        if let Some(ending) = ending
            && let Some(last) = steps.last_mut()
        {
            last.on = ending.on;
        }
        living.life.states.append(&mut steps);
        living.track.state = sighting.state;
        self.next = if ending.is_some() && reached != State::Closed {
            self.until_gone(over, sighting.at)
        } else {
            over
        };
        living
            .track
            .note_all(&self.tuple.segments[start..self.next]);
        ending
    }

    /// The steps that the segments up to this sighting show, at most to CLOSED.
    fn steps(&self, living: &Living<'_>, sighting: &Sighting) -> Vec<Step> {
        let segments = &self.tuple.segments;
        let end = segments.partition_point(|segment| segment.at <= sighting.at + SLACK);
        let newborn = living.life.states.is_empty();
        let mut track = living.track.clone();
        let mut steps = Vec::new();
        // An ACK first, and no look showed the connection half-open: a SYN cookie came back.
        if newborn
            && sighting.passive
            && let Some(first) = segments[..end].get(self.next)
            && first.is_ack_arriving()
        {
            steps.push(track.open(self.next, first.at));
        }
        let shown = segments[..end].iter().enumerate().skip(self.next);
        for (index, segment) in shown {
            steps.extend(track.take(index, segment));
            if ends_closed(&steps) {
                break;
            }
        }
        steps
    }

    /// The end of what a connection sent until it was gone at `at`: before the SYN of another.
    fn until_gone(&self, start: usize, at: f64) -> usize {
        let own = |segment: &&&Captured| segment.at <= at && segment.segment.flags != Flags::SYN;
        start + self.tuple.segments[start..].iter().take_while(own).count()
    }
}

fn ends_closed(steps: &[Step]) -> bool {
    steps.last().is_some_and(|step| step.to == State::Closed)
}

/// How many of the steps lead to this state, or to one from which there is only one way to it. All
/// of them lead to CLOSED: the connection ended in the last one, or in silence after it.
fn proven(steps: &[Step], from: State, to: State) -> usize {
    if to == State::Closed {
        return steps.len();
    }
    let open = steps.len() - usize::from(ends_closed(steps));
    let after = |count: usize| count.checked_sub(1).map_or(from, |last| steps[last].to);
    let exact = (1..=open).rev().find(|count| after(*count) == to);
    let near = || {
        (0..=open)
            .rev()
            .find(|count| track::event(after(*count), to).is_some())
    };
    exact.or_else(near).unwrap_or(0)
}

#[cfg(test)]
mod tests;
