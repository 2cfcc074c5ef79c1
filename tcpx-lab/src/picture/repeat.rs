//! Where a story repeats itself, so that a picture can say it once: fifteen retransmissions, two hours of keepalive.

use crate::events::Direction;
use crate::exchange::{End, Exchange, Flight, Step};
use std::ops::Range;

/// So many repetitions are worth a word; fewer are drawn.
const ENOUGH: usize = 4;
/// At most so many steps make up what is repeated: a probe and its answer are four.
const LONGEST: usize = 8;

/// What stands between the first and the last of several repetitions.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Run {
    /// The steps that are left out.
    pub(super) hidden: Range<usize>,
    /// How many repetitions those are.
    pub(super) times: usize,
    /// How many segments are in each.
    pub(super) segments: usize,
}

/// What has to be alike for one step to repeat another.
#[derive(PartialEq)]
struct Likeness<'a> {
    end: End,
    direction: Option<Direction>,
    label: Option<&'a str>,
    fault: Option<&'a str>,
    remarks: &'a [String],
    unsure: (bool, bool),
    /// How far away the segment's other steps are.
    sent: Option<isize>,
    received: Vec<isize>,
}

/// All of them, in order. `flights` has the flight of each step, and `labels` tell which flights are of the same segment.
pub(super) fn runs(exchange: &Exchange, flights: &[Option<usize>], labels: &[String]) -> Vec<Run> {
    let flight = |index: &usize| Some((exchange.flights.get(*index)?, labels.get(*index)?.as_str()));
    let step = |(index, known): (usize, &Option<usize>)| likeness(&exchange.steps[index], index, known.as_ref().and_then(flight));
    let steps: Vec<Option<Likeness>> = flights.iter().enumerate().map(step).collect();
    let mut runs = Vec::new();
    let mut index = 0;
    while index < steps.len() {
        let repeated = (1..=LONGEST).map(|period| (period, times(&steps, index, period))).find(|(_, times)| *times >= ENOUGH);
        let Some((period, times)) = repeated else {
            index += 1;
            continue;
        };
        let hidden = index + period..index + period * (times - 1);
        let sent = |flight: &&Flight| flight.sent.or(flight.received.first().copied()).is_some_and(|step| hidden.contains(&step));
        let segments = exchange.flights.iter().filter(sent).count() / (times - 2);
        index += period * times;
        runs.push(Run { hidden, times: times - 2, segments });
    }
    runs
}

/// How often the steps of one period follow each other, from that step on.
fn times(steps: &[Option<Likeness>], start: usize, period: usize) -> usize {
    let mut periods = steps.get(start..).unwrap_or_default().chunks_exact(period);
    let Some(first) = periods.next() else { return 0 };
    // A segment that leaves the period, as one that is late, ties the repetitions together: then they are a story.
    let inside = |(index, step): (usize, &Option<Likeness>)| {
        let stays = |offset: &isize| index.checked_add_signed(*offset).is_some_and(|partner| partner < period);
        step.as_ref().is_some_and(|step| step.sent.iter().chain(&step.received).all(stays))
    };
    if !first.iter().enumerate().all(inside) {
        return 0;
    }
    1 + periods.take_while(|period| *period == first).count()
}

/// `None`: it brings a new state, and so is like no other.
fn likeness<'a>(step: &'a Step, index: usize, flight: Option<(&'a Flight, &'a str)>) -> Option<Likeness<'a>> {
    let away = |other: usize| other.cast_signed() - index.cast_signed();
    step.on.is_none().then(|| Likeness {
        end: step.end,
        direction: step.segment.as_ref().map(|segment| segment.dir),
        label: flight.map(|(_, label)| label),
        fault: step.segment.as_ref().and_then(|segment| segment.fault()),
        remarks: &step.remarks,
        unsure: flight.map_or((false, false), |(flight, _)| (flight.unwitnessed, flight.forged)),
        sent: flight.and_then(|(flight, _)| flight.sent).map(away),
        received: flight.map_or(Vec::new(), |(flight, _)| flight.received.iter().map(|step| away(*step)).collect()),
    })
}
