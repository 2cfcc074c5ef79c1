//! The measured times of a schedule, and what of them differs.

use super::play::{Moment, Played};
use super::recorded;
use super::replay::replay;
use super::{Case, JIFFY, Wheel};
use std::fmt;
use std::time::Duration;

/// What measuring takes for itself.
const NOISE: Duration = Duration::from_millis(2);

/// A host's runs of a case.
#[derive(Clone, Debug)]
pub(super) struct Side {
    /// What happened in most runs, and in the engine's with the same inputs.
    events: [Vec<String>; 2],
    /// The medians of when, in microseconds.
    medians: Vec<u64>,
    /// How much later the engine was, in microseconds.
    differences: Vec<i64>,
    /// The run with the least difference.
    best: Option<Played>,
}

/// One schedule: the kernel's, tcpx's.
#[derive(Clone, Debug)]
pub struct Row {
    /// The case's name.
    pub name: String,
    /// Round-trip time and options.
    pub setup: String,
    kernel: Side,
    tcpx: Side,
    known: Option<&'static str>,
    record: String,
}

impl Row {
    pub(super) fn new(case: &Case, kernel: Side, tcpx: Side, wheel: Wheel) -> Row {
        let Wheel { origin, step } = wheel;
        let line = |run| recorded::line(case, run, [origin, step]);
        Row {
            record: kernel.best.as_ref().map(line).unwrap_or_default(),
            name: case.name.clone(),
            setup: case.setup.to_string(),
            kernel,
            tcpx,
            known: case.known,
        }
    }

    /// Whether the engine differs from the kernel, or tcpx on the wire from the engine, without a
    /// known reason.
    pub fn is_wrong(&self) -> bool {
        self.known.is_none() && !(self.kernel.agrees() && self.tcpx.follows())
    }

    /// A run of the kernel as a line of `tests/data/linux_6_18_schedules.tsv`.
    pub fn record(&self) -> &str {
        &self.record
    }
}

impl Side {
    /// `origin`: what the engine's clock reads less.
    pub(super) fn new(case: &Case, runs: &[Played], origin: u64) -> Side {
        let pairs: Vec<(Vec<Moment>, Vec<Moment>)> = runs
            .iter()
            .map(|run| (run.moments.clone(), replay(case, run, origin)))
            .collect();
        let stories: Vec<[Vec<String>; 2]> = pairs
            .iter()
            .map(|(wire, engine)| [story(wire), story(engine)])
            .collect();
        let votes = |one: &[Vec<String>; 2]| stories.iter().filter(|other| *other == one).count();
        let events = stories
            .iter()
            .max_by_key(|story| votes(story))
            .cloned()
            .unwrap_or_default();
        let usual: Vec<_> = pairs
            .iter()
            .zip(&stories)
            .filter(|(_, story)| **story == events)
            .map(|(pair, _)| pair)
            .collect();
        let time = |moments: &[Moment], nth: usize| moments[nth].after.as_micros() as i64;
        let each = 0..events[0].len();
        let medians = each
            .clone()
            .map(|nth| median(usual.iter().map(|(wire, _)| time(wire, nth)).collect()) as u64);
        let medians = medians.collect();
        // A busy machine makes hosts late, never early: what the less busy moments show counts.
        let late = |nth: usize| {
            let each = usual.iter().map(|(wire, engine)| {
                engine[nth].at.0 as i64 / 1000 - wire[nth].at.0 as i64 / 1000
            });
            quartile(each.collect())
        };
        let same = events[0] == events[1];
        let differences = each.filter(|_| same).map(late).collect();
        let worst = |(wire, engine): &(Vec<Moment>, Vec<Moment>)| {
            let late = |(a, b): (&Moment, &Moment)| a.at.0.abs_diff(b.at.0);
            wire.iter().zip(engine).map(late).max()
        };
        let same = runs.iter().zip(&pairs).zip(&stories);
        let same = same.filter(|(_, story)| **story == events);
        let best = same.min_by_key(|((_, pair), _)| worst(pair));
        Side {
            best: best.map(|((run, _), _)| run.clone()),
            events,
            medians,
            differences,
        }
    }

    /// The largest difference; `None`: not the same happened.
    fn difference(&self) -> Option<i64> {
        let same = self.events[0] == self.events[1];
        let largest = self
            .differences
            .iter()
            .copied()
            .max_by_key(|difference| difference.abs());
        same.then(|| largest.unwrap_or(0))
    }

    /// Whether the kernel does as the engine, within a jiffy.
    fn agrees(&self) -> bool {
        let most = (JIFFY + NOISE).as_micros() as u64;
        let difference = self.difference();
        difference.is_some_and(|difference| difference.unsigned_abs() <= most)
    }

    /// Whether tcpx on the wire does as the engine: never earlier, and no later than its program
    /// gets its turn on a busy machine, which may cost a slot of the wheel, an eighth of a time.
    fn follows(&self) -> bool {
        let late = |(micros, difference): (&u64, &i64)| {
            let least = -(3 * JIFFY.as_micros() as i64) - *micros as i64 / 8;
            (least..=NOISE.as_micros() as i64).contains(difference)
        };
        let same = self.events[0] == self.events[1];
        same && self.medians.iter().zip(&self.differences).all(late)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        write!(f, "    {name:<7}")?;
        for (what, micros) in self.events[0].iter().zip(&self.medians) {
            write!(f, " {what} @{:.1}", *micros as f64 / 1000.0)?;
        }
        match self.difference() {
            Some(micros) => writeln!(f, "  engine {:+.1}", micros as f64 / 1000.0),
            None => writeln!(f, "\n      engine {}", self.events[1].join(", ")),
        }
    }
}

fn story(moments: &[Moment]) -> Vec<String> {
    moments.iter().map(|moment| moment.what.clone()).collect()
}

fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Of the differences the one that a quarter does not exceed in size.
fn quartile(mut values: Vec<i64>) -> i64 {
    values.sort_unstable_by_key(|value| value.abs());
    values.get(values.len() / 4).copied().unwrap_or(0)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.known {
            Some(reason) => reason,
            None if self.is_wrong() => "DIFFERS",
            None => "",
        };
        writeln!(f, "{}, {}  {mark}", self.name, self.setup)?;
        self.kernel.write(f, "kernel")?;
        self.tcpx.write(f, "tcpx")
    }
}
