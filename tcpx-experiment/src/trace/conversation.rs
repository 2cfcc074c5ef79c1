//! One connection seen from both ends: what each did, step by step on one clock, and which sending
//! belongs to which receipt.

use super::side::{Side, Step, Tick};
use super::tuples::Tuples;
use super::{Direction, Effect, Header, Log, Segment};
use crate::end::End;
use std::collections::HashMap;
use std::net::SocketAddr;
use tcpx_proto::script::StepKind;
use tcpx_proto::state::State;

/// How much earlier a receipt may be stamped than its sending, seconds: stamps are taken once for a
/// batch.
const SLACK: f64 = 0.002;

/// What happened on a four-tuple, all its incarnations included.
#[derive(Debug)]
pub struct Conversation {
    /// Address and port of A, then of B.
    pub ends: [SocketAddr; 2],
    /// The state of A, then of B, before anything happened; `None`: not known.
    pub initial: [Option<State>; 2],
    /// What happened at either end, in order.
    pub steps: Vec<Step>,
    /// Every segment, by the steps at which it was sent and received, in the order of the first of
    /// these.
    pub flights: Vec<Flight>,
    /// What happened to timers, in the order of each end.
    pub ticks: Vec<Tick>,
    /// Whether A, then B, kept a record at all.
    pub recorded: [bool; 2],
}

/// A segment on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    /// Who sent it.
    pub from: End,
    /// The header as its sender recorded it, or as its receiver did where the sender has no record
    /// of it.
    pub segment: Segment,
    /// The step of its sending.
    pub sent: Option<usize>,
    /// The steps of its receipts: several when it was duplicated, none when it was lost.
    pub received: Vec<usize>,
    /// It was sent after the receiver's record ended: it is not known whether it arrived.
    pub unwitnessed: bool,
    /// Somebody else sent it in the sender's name.
    pub forged: bool,
}

impl Flight {
    /// The step with which it appears.
    pub fn begin(&self) -> Option<usize> {
        self.sent.or(self.received.first().copied())
    }
}

impl Conversation {
    /// The flight that appears with that step.
    pub fn beginning(&self, step: usize) -> Option<&Flight> {
        let nth = self
            .flights
            .binary_search_by_key(&Some(step), Flight::begin)
            .ok()?;
        self.flights.get(nth)
    }
}

/// Pairs what two ends recorded: one conversation for each four-tuple that either knows, in order
/// of appearance.
pub fn pair(a: &Log, b: &Log) -> Vec<Conversation> {
    let logs = [a, b];
    let tuples = Tuples::of(logs);
    let offsets = [0.0, clock_offset(a, b)];
    let entries = End::BOTH.map(|end| tuples.entries(end, logs));
    let silent = logs.map(|log| {
        log.entries
            .iter()
            .any(|entry| entry.begins(StepKind::GoSilent))
    });
    let side = |end: End, nth: usize| {
        Side::new(
            logs[end as usize],
            end.of(&entries)[nth].iter().copied(),
            end,
            tuples.all[nth],
            *end.of(&offsets),
            *end.of(&silent),
        )
    };
    tuples
        .all
        .iter()
        .enumerate()
        .map(|(nth, ends)| conversation(*ends, side(End::A, nth), side(End::B, nth)))
        .collect()
}

/// What to add to B's times. On one machine the clock since boot is common and exact; between
/// machines only the calendar is.
fn clock_offset(a: &Log, b: &Log) -> f64 {
    let monotonic = b.monotonic - a.monotonic;
    let realtime = b.realtime - a.realtime;
    if (monotonic - realtime).abs() < 1.0 {
        monotonic
    } else {
        realtime
    }
}

/// Puts the two sides on one time line and pairs what one sent with what the other received.
fn conversation(ends: [SocketAddr; 2], a: Side, b: Side) -> Conversation {
    let mut steps: Vec<Step> = a.steps.into_iter().chain(b.steps).collect();
    steps.sort_by(|x, y| x.at.total_cmp(&y.at));
    let itself = ends[0].ip() == ends[1].ip();
    let to = |from: End| if itself { from } else { from.other() };
    let last = |end: End| *end.of(&[a.last, b.last]);
    let [mut all, others] = End::BOTH.map(|from| flights(from, to(from), &steps, last(to(from))));
    all.extend(others);
    all.sort_by_key(Flight::begin);
    let recorded = [a.last.is_some(), b.last.is_some()];
    Conversation {
        ends,
        initial: [a.initial, b.initial],
        steps,
        flights: all,
        ticks: [a.ticks, b.ticks].concat(),
        recorded,
    }
}

/// All segments from one end to the other, or to itself, whose record ends at `last`, if it kept
/// one.
fn flights(from: End, to: End, steps: &[Step], last: Option<f64>) -> Vec<Flight> {
    let flight = |segment: &Segment| {
        let (segment, forged) = (segment.clone(), segment.forged);
        Flight {
            from,
            segment,
            sent: None,
            received: Vec::new(),
            unwitnessed: false,
            forged,
        }
    };
    let unwitnessed = |index: usize| last.is_none_or(|last| steps[index].at > last);
    let mut sendings = Sendings::default();
    let mut flights: Vec<Flight> = Vec::new();
    for (index, segment) in segments(steps, from, Direction::Out) {
        sendings.add(flights.len(), segment);
        flights.push(Flight {
            sent: Some(index),
            unwitnessed: unwitnessed(index),
            ..flight(segment)
        });
    }
    for (index, segment) in segments(steps, to, Direction::In) {
        match sendings.of(segment, steps[index].at, &flights, steps) {
            Some(sent) => flights[sent].received.push(index),
            None => flights.push(Flight {
                received: vec![index],
                ..flight(segment)
            }),
        }
    }
    flights
}

/// Where among the flights those are that begin with a sending, in its order, by what their
/// receipts have of them.
#[derive(Default)]
struct Sendings {
    by_header: HashMap<Header, Vec<usize>>,
    by_id: HashMap<u16, Vec<usize>>,
}

impl Sendings {
    fn add(&mut self, flight: usize, segment: &Segment) {
        self.by_header
            .entry(segment.header())
            .or_default()
            .push(flight);
        self.by_id.entry(segment.id).or_default().push(flight);
    }

    /// The sending that a receipt belongs to: the same header, the latest that is not later, rather
    /// one that has not arrived yet. The id tells a retransmission from the original; it wraps, and
    /// the rest of the header and the time tell those apart. A segment known to be
    /// forged has no sending, even if it is an exact copy, unless its sender recorded it as forged.
    fn of(&self, received: &Segment, at: f64, flights: &[Flight], steps: &[Step]) -> Option<usize> {
        let matching = if Effect::of(received.verdict) == Effect::Altered {
            self.by_id.get(&received.id)
        } else {
            self.by_header.get(&received.header())
        };
        let earlier = |flight: &Flight| {
            flight
                .sent
                .is_some_and(|index| steps[index].at <= at + SLACK)
        };
        let honest = |flight: &Flight| flight.forged || !received.forged;
        let fitting = || {
            matching
                .into_iter()
                .flatten()
                .rev()
                .copied()
                .filter(|nth| earlier(&flights[*nth]) && honest(&flights[*nth]))
        };
        fitting()
            .find(|nth| flights[*nth].received.is_empty())
            .or_else(|| fitting().next())
    }
}

fn segments(
    steps: &[Step],
    end: End,
    direction: Direction,
) -> impl Iterator<Item = (usize, &Segment)> {
    let all = steps
        .iter()
        .enumerate()
        .filter(move |(_, step)| step.end == end);
    all.filter_map(|(index, step)| Some((index, step.segment.as_ref()?)))
        .filter(move |(_, segment)| segment.dir == direction)
}
