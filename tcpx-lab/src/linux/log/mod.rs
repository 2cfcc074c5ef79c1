//! What the kernel's end would have written, had it written an events file: made of captured
//! segments, sighted sockets, and what its player told.
//!
//! **Sampled** is each state in which a look at the sockets showed a connection, when it began,
//! within the time between two looks, and that the connection exists at all: the kernel's number of
//! a socket tells two incarnations of a four-tuple apart.
//!
//! **Inferred** from the captured segments, and only within the time between the look that did not
//! show a change and the one that did: states that passed between the two (a SYN came and a SYN,ACK
//! left: SYN-RECEIVED), the exact time of each change (its segment's), and its event. What the
//! segments would lead to and no look confirms is not told: a FIN that the kernel has not taken
//! because bytes before it are missing changes nothing. Where the segments do not lead from one
//! sampled state to the next, the event is the only one that can be between the two, or `?`. A
//! connection that lived and died between two looks is inferred whole.
//!
//! A segment that belongs to no such connection has no number: a RST to a stranger, or the SYN that
//! was answered with a cookie.

use super::capture::Packet;
use super::segments::{Captured, captured};
use super::sockets::{Seen, Sighting};
use super::track::{self, Ending, Step, Track};
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use tcpx_experiment::trace::{Body, Entry, Log};
use tcpx_proto::error::CloseKind;
use tcpx_proto::script::{AppAction, Step as ScriptStep};
use tcpx_proto::state::{State, Trigger};
use tcpx_proto::trace::Role;
use tcpx_proto::wire::{Flags, Icmp};

/// How far the stamp of a segment may be from the change that it makes, seconds: the kernel stamps
/// it before it handles it, and changes the state before it sends.
const SLACK: f64 = 0.001;

/// The log of the kernel at `own`. `calls` are the entries of its player, their `t` counted from
/// `monotonic` like the log's: with an [`Opened`](Body::Opened) for each connection that the player
/// names, by which its numbers are turned into the log's. Of the rest only what the application did
/// is taken: the states that the player saw are in `seen` as well.
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
        entries.push((
            at,
            rank,
            Entry {
                t: at - monotonic,
                conn,
                body,
            },
        ))
    };
    for (number, life) in (1..).zip(&lives) {
        life.tell(|at, rank, what| push(at, rank, Some(number), what));
    }
    let owner = owners(&segments, &lives);
    for (segment, conn) in segments.iter().zip(owner) {
        push(
            segment.at,
            Rank::Segment,
            conn,
            Body::Segment(segment.segment.clone()),
        );
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

/// What comes first of several things at one time: a call before the segment that it sends, a
/// segment before what it changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rank {
    Call,
    Segment,
    Change,
}

/// One incarnation of a four-tuple.
#[derive(Debug)]
struct Life {
    local: SocketAddr,
    remote: SocketAddr,
    /// A SYN opened it.
    passive: bool,
    began: f64,
    states: Vec<Step>,
    closed: Option<(f64, Option<CloseKind>)>,
    /// Its segments, as places in the list of all of them.
    segments: Vec<usize>,
}

impl Life {
    fn tell(&self, mut push: impl FnMut(f64, Rank, Body)) {
        let Life {
            local,
            remote,
            passive,
            ..
        } = *self;
        push(
            self.began,
            if passive { Rank::Change } else { Rank::Call },
            Body::Opened {
                local,
                remote,
                passive,
            },
        );
        for Step {
            at, from, to, on, ..
        } in &self.states
        {
            let called = matches!(
                on,
                Some(Trigger::ActiveOpen | Trigger::Close | Trigger::Abort)
            );
            let what = Body::State {
                from: *from,
                to: *to,
                on: *on,
            };
            push(*at, if called { Rank::Call } else { Rank::Change }, what);
        }
        if let Some((at, reason)) = self.closed {
            push(at, Rank::Change, Body::Closed { reason });
        }
    }
}

/// When the player's host was restarted.
struct Restarts(Vec<f64>);

impl Restarts {
    fn of(calls: &[Entry], monotonic: f64) -> Restarts {
        let name = ScriptStep::Restart.to_string();
        let restart = |call: &Entry| match &call.body {
            Body::App(AppAction::Began(step)) if *step == name => Some(call.t + monotonic),
            _ => None,
        };
        Restarts(calls.iter().filter_map(restart).collect())
    }

    fn within(&self, since: f64, until: f64) -> bool {
        self.0.iter().any(|at| (since - SLACK..=until).contains(at))
    }
}

/// Which connection each segment belongs to.
fn owners(segments: &[Captured], lives: &[Life]) -> Vec<Option<u64>> {
    let mut owners = vec![None; segments.len()];
    for (number, life) in (1..).zip(lives) {
        life.segments
            .iter()
            .for_each(|place| owners[*place] = Some(number));
    }
    owners
}

/// The player's numbers and ours: of the incarnations of the four-tuple the last one that had begun
/// when the player spoke of it.
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

/// Every incarnation of every four-tuple.
fn lives(segments: &[Captured], seen: &Seen, packets: &[Packet], restarts: &Restarts) -> Vec<Life> {
    let new = |(local, remote): (SocketAddr, SocketAddr)| {
        let (segments, places, sightings, errors) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Tuple {
            local,
            remote,
            segments,
            places,
            sightings,
            looks: &seen.looks,
            errors,
            restarts,
        }
    };
    let mut tuples: BTreeMap<(SocketAddr, SocketAddr), Tuple<'_>> = BTreeMap::new();
    for (place, segment) in segments.iter().enumerate() {
        let ends = (segment.own, segment.peer);
        let tuple = tuples.entry(ends).or_insert_with(|| new(ends));
        tuple.segments.push(segment);
        tuple.places.push(place);
    }
    for sighting in seen
        .sightings
        .iter()
        .filter(|sighting| sighting.state != State::Listen && sighting.remote.port() != 0)
    {
        let ends = (sighting.local, sighting.remote);
        tuples
            .entry(ends)
            .or_insert_with(|| new(ends))
            .sightings
            .push(sighting);
    }
    for packet in packets.iter().filter(|packet| !packet.outgoing) {
        let quoted =
            Icmp::parse(&packet.bytes).and_then(|icmp| tuples.get_mut(&(icmp.local, icmp.remote)));
        quoted
            .into_iter()
            .for_each(|tuple| tuple.errors.push(packet.at));
    }
    tuples.values().flat_map(Tuple::lives).collect()
}

/// What is known of a four-tuple.
struct Tuple<'a> {
    local: SocketAddr,
    remote: SocketAddr,
    /// Its segments, and where they are in the list of all.
    segments: Vec<&'a Captured>,
    places: Vec<usize>,
    /// Its sockets, as they were seen.
    sightings: Vec<&'a Sighting>,
    looks: &'a [(f64, f64)],
    /// When ICMP messages about it came.
    errors: Vec<f64>,
    restarts: &'a Restarts,
}

/// A life that goes on.
struct Living<'a> {
    life: Life,
    track: Track,
    /// The last sighting of it.
    last: &'a Sighting,
    /// Its first segment.
    first: usize,
}

impl<'a> Tuple<'a> {
    /// Follows the sightings, each with the segments between the look before and its own.
    fn lives(&self) -> Vec<Life> {
        let mut lives = Vec::new();
        let mut living: Option<Living<'a>> = None;
        // The first segment that nothing was made of.
        let mut next = 0;
        for sighting in self.sightings.iter().copied() {
            if let Some(same) = living
                .as_mut()
                .filter(|living| living.track.state == sighting.state)
            {
                same.last = sighting;
                continue;
            }
            let mut start = next.max(
                self.segments
                    .partition_point(|segment| segment.at < sighting.since - SLACK),
            );
            let mut now = match living.take() {
                Some(mut living) => {
                    self.segments[next..start]
                        .iter()
                        .for_each(|segment| living.track.note(&segment.segment));
                    living
                }
                None if sighting.state == State::Closed => continue,
                None => {
                    start = self.with_its_syn(next, start);
                    lives.extend(self.unseen(next, start));
                    self.born(sighting, start)
                }
            };
            let (over, ending) = self.advance(&mut now, sighting, start);
            next = over;
            now.last = sighting;
            match ending {
                Some(ending) => {
                    let at = now.life.states.last().map_or(sighting.at, |step| step.at);
                    now.life.closed = Some((at, ending.reason));
                    now.life.segments = self.places[now.first..next].to_vec();
                    lives.push(now.life);
                }
                None => living = Some(now),
            }
        }
        match living {
            Some(mut living) => {
                living.life.segments = self.places[living.first..].to_vec();
                lives.push(living.life);
            }
            None => lives.extend(self.unseen(next, self.segments.len())),
        }
        lives
    }

    /// Where a look began between a SYN and its SYN,ACK: at the SYN.
    fn with_its_syn(&self, next: usize, start: usize) -> usize {
        let flags = |index: usize| {
            self.segments
                .get(index)
                .map(|segment| segment.segment.flags)
        };
        match (
            start.checked_sub(1).filter(|before| *before >= next),
            flags(start),
        ) {
            (Some(before), Some(answer))
                if answer == Flags::SYN | Flags::ACK && flags(before) == Some(Flags::SYN) =>
            {
                before
            }
            _ => start,
        }
    }

    /// A connection that was not there at the look before.
    fn born(&self, sighting: &'a Sighting, start: usize) -> Living<'a> {
        let life = self.life(sighting.passive, sighting.at);
        Living {
            life,
            track: Track::new(),
            last: sighting,
            first: start,
        }
    }

    fn life(&self, passive: bool, began: f64) -> Life {
        let Tuple { local, remote, .. } = *self;
        Life {
            local,
            remote,
            passive,
            began,
            states: Vec::new(),
            closed: None,
            segments: Vec::new(),
        }
    }

    /// Brings a connection to the state in which it was sighted: by the steps that the segments
    /// from `start` on prove, as far as they lead there, and then directly. Returns the first
    /// segment that has nothing to do with it, and how the connection ended if it did.
    fn advance(
        &self,
        living: &mut Living<'a>,
        sighting: &Sighting,
        start: usize,
    ) -> (usize, Option<Ending>) {
        let newborn = living.life.states.is_empty();
        let mut track = living.track.clone();
        let end = self
            .segments
            .partition_point(|segment| segment.at <= sighting.at + SLACK)
            .max(start);
        // Nobody has seen it half-open: a SYN cookie came back.
        let returned = self.segments[start..end]
            .first()
            .filter(|first| newborn && sighting.passive && first.is_ack_arriving());
        let mut steps: Vec<Step> = returned
            .map(|ack| track.open(start, ack.at))
            .into_iter()
            .collect();
        for index in start..end {
            steps.extend(track.take(index, self.segments[index]));
            if track.state == State::Closed && !steps.is_empty() {
                break;
            }
        }
        let closes = sighting.state == State::Closed;
        let from = if newborn && sighting.passive {
            State::Listen
        } else {
            living.track.state
        };
        let reached = if closes {
            proven_close(&steps)
        } else {
            proven(&steps, from, sighting.state)
        };
        steps.truncate(reached);
        let over = steps.last().map_or(start, |step| step.over);
        if let Some(first) = steps.first().filter(|_| newborn) {
            (living.first, living.life.began) = (first.begins, first.at);
        }
        let here = steps.last().map_or(from, |step| step.to);
        let ending = closes.then(|| self.ending(living, steps.last(), here, sighting));
        living.life.states.append(&mut steps);
        if here != sighting.state {
            let on = ending.map_or_else(|| track::event(here, sighting.state), |ending| ending.on);
            let step = Step {
                at: sighting.at,
                from: here,
                to: sighting.state,
                on,
                begins: over,
                over,
            };
            living.life.states.push(step);
        } else if let (Some(ending), Some(step)) = (ending, living.life.states.last_mut()) {
            step.on = ending.on;
        }
        // What was sent until it was gone is its own, but for the SYN of another.
        let silent = ending.is_some() && here != State::Closed;
        let over = if silent {
            self.until(over, sighting.at)
        } else {
            over
        };
        self.segments[start..over]
            .iter()
            .for_each(|segment| living.track.note(&segment.segment));
        living.track.state = sighting.state;
        (over, ending)
    }

    fn ending(
        &self,
        living: &Living<'a>,
        step: Option<&Step>,
        state: State,
        gone: &Sighting,
    ) -> Ending {
        if let Some(step) = step.filter(|step| step.to == State::Closed) {
            return track::ended_by_segment(step, living.life.passive, Some(living.last));
        }
        if self.restarts.within(gone.since, gone.at) {
            return Ending {
                on: Some(Trigger::Restart),
                reason: Some(CloseKind::Restarted),
            };
        }
        let unreachable = self
            .errors
            .iter()
            .any(|at| (gone.since - SLACK..=gone.at).contains(at));
        track::ended_in_silence(state, living.last, unreachable)
    }

    /// The first segment from `start` on that came after `at`, or that begins another connection.
    fn until(&self, start: usize, at: f64) -> usize {
        let other = |segment: &&Captured| segment.at > at || segment.segment.flags == Flags::SYN;
        start
            + self.segments[start..]
                .iter()
                .take_while(|segment| !other(segment))
                .count()
    }

    /// Connections that lived and died between two looks, by their segments alone.
    fn unseen(&self, start: usize, end: usize) -> Vec<Life> {
        let (mut lives, mut track, mut steps) = (Vec::new(), Track::new(), Vec::<Step>::new());
        for index in start..end {
            steps.extend(track.take(index, self.segments[index]));
            let (Some(first), Some(last)) = (
                steps.first(),
                steps.last().filter(|step| step.to == State::Closed),
            ) else {
                continue;
            };
            let seen = self
                .looks
                .iter()
                .any(|(began, ended)| *began > first.at + SLACK && *ended < last.at - SLACK);
            if !seen {
                let passive = first.from == State::Listen;
                let mut life = self.life(passive, first.at);
                let ending = track::ended_by_segment(last, passive, None);
                life.closed = Some((last.at, ending.reason));
                life.segments = self.places[first.begins..last.over].to_vec();
                life.states = std::mem::take(&mut steps);
                lives.push(life);
            }
            (track, steps) = (Track::new(), Vec::new());
        }
        lives
    }
}

/// How many of the steps lead to this state, or to one from which there is only one way to it.
fn proven(steps: &[Step], from: State, to: State) -> usize {
    let open = steps
        .iter()
        .position(|step| step.to == State::Closed)
        .unwrap_or(steps.len());
    let after = |count: usize| count.checked_sub(1).map_or(from, |last| steps[last].to);
    let all = (0..=open).rev();
    let exact = all.clone().find(|count| *count > 0 && after(*count) == to);
    exact
        .or_else(|| {
            all.into_iter()
                .find(|count| track::event(after(*count), to).is_some())
        })
        .unwrap_or(0)
}

/// How many of the steps lead to CLOSED; all of them if none does: it went from there.
fn proven_close(steps: &[Step]) -> usize {
    steps
        .iter()
        .position(|step| step.to == State::Closed)
        .map_or(steps.len(), |place| place + 1)
}

#[cfg(test)]
mod tests;
