//! What came of one run: whether every expectation was met, and the line that matters.

use crate::exchange::{Exchange, Step, pair};
use crate::experiment::{Plan, Scale};
use crate::oracle::{Evidence, Finding, Oracle, Run};
use crate::world::{Outcome, World};
use serde::Serialize;
use std::collections::HashSet;

/// How much earlier a rung may be stamped than the one before it, seconds: the two clocks are read once for a batch.
const SLACK: f64 = 0.003;
/// The same beside Linux, whose states are seen by looking at its sockets every 10 ms.
const LOOK: f64 = 0.015;

/// The verdict on one arm in one world.
#[derive(Clone, Serialize, Debug)]
pub struct Verdict {
    /// The experiment.
    pub experiment: String,
    /// The arm.
    pub arm: String,
    /// Without the rule (or with it).
    pub treatment: bool,
    /// Where.
    pub world: World,
    /// What was expected, in the fewest words.
    pub expected: String,
    /// What happened: which octets, which state, for how long.
    #[serde(serialize_with = "crate::oracle::as_a_sentence")]
    pub happened: Vec<Evidence>,
    /// What every oracle found.
    pub findings: Vec<Finding>,
    /// What is not as expected; empty: everything is.
    pub wrong: Vec<String>,
    /// Why it was not run.
    pub skipped: Option<String>,
    /// It could not be run on this machine, though it can be in this world.
    #[serde(skip)]
    pub unavailable: bool,
    /// How often it was repeated, because a process did not get the machine in time and the run was not as expected.
    pub repeated: usize,
    /// Real seconds that it took.
    pub took: f64,
}

impl Verdict {
    /// Nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// Judges a run by its plan. `slow` stretches every upper bound.
pub fn judge(plan: &Plan, outcome: &Outcome, slow: f64) -> (Vec<Finding>, Vec<String>, Vec<Evidence>) {
    let mut run = Run::new(&outcome.logs, outcome.end, plan.patience.as_secs_f64());
    run.budget = plan.budget;
    let findings: Vec<Finding> = Oracle::ALL.iter().map(|oracle| oracle.judge(&run)).collect();
    let mut wrong = Vec::new();
    for finding in &findings {
        if plan.breaks.contains(&finding.oracle) && finding.holds {
            wrong.push(format!("{} was expected to break, and holds", finding.oracle));
        }
        if plan.holds.contains(&finding.oracle) && !finding.holds {
            wrong.push(format!("{} was expected to hold: {}", finding.oracle, finding.said()));
        }
    }
    wrong.extend(climb(plan, outcome, slow));
    let broken = findings.iter().filter(|finding| plan.breaks.contains(&finding.oracle) && !finding.holds);
    let evidence: Vec<Evidence> = broken.flat_map(|finding| finding.evidence.clone()).collect();
    let happened = if evidence.is_empty() { run.summary().to_vec() } else { evidence };
    (findings, wrong, happened)
}

/// A step with the story that it belongs to.
struct Place<'a> {
    exchange: &'a Exchange,
    index: usize,
    step: &'a Step,
}

/// The first rung that is not found in its place.
fn climb(plan: &Plan, outcome: &Outcome, slow: f64) -> Option<String> {
    let slack = if plan.scale == Scale::Kernel { LOOK } else { SLACK };
    let stories = stories(outcome);
    let mut places: Vec<Place<'_>> = Vec::new();
    for exchange in &stories {
        places.extend(exchange.steps.iter().enumerate().map(|(index, step)| Place { exchange, index, step }));
    }
    places.sort_by(|a, b| a.step.at.total_cmp(&b.step.at));
    // A segment, the state that it led to and the end of the connection are one step: each of them can be a rung.
    let mut used = HashSet::new();
    let mut before: Option<f64> = None;
    for rung in &plan.ladder {
        let after = before.unwrap_or(f64::NEG_INFINITY);
        let timely = |at: f64| match (rung.within, before) {
            (Some((least, most)), Some(before)) => at - before >= least - slack && at - before <= most * slow,
            _ => true,
        };
        let candidates = || places.iter().enumerate().filter(|(_, place)| place.step.at >= after - slack);
        let fits = |place: &Place<'_>| rung.fits(place.exchange, place.index, place.step);
        let kind = std::mem::discriminant(&rung.sight);
        let found = candidates().find(|(nth, place)| !used.contains(&(kind, *nth)) && fits(place) && timely(place.step.at));
        let Some((nth, place)) = found else {
            let late = candidates().find(|(_, place)| fits(place)).and_then(|(_, place)| Some(place.step.at - before?));
            let late = late.map(|late| format!(" (it was seen {} after the one before)", crate::oracle::seconds(late.max(0.0))));
            return Some(format!("the ladder misses \"{}\"{}", rung.text, late.unwrap_or_default()));
        };
        used.insert((kind, nth));
        before = Some(place.step.at);
    }
    None
}

/// The stories of a run up to its end.
pub fn stories(outcome: &Outcome) -> Vec<Exchange> {
    let start = crate::oracle::start(&outcome.logs);
    let mut logs = outcome.logs.clone();
    for log in &mut logs {
        let until = outcome.end + start - log.monotonic;
        log.entries.retain(|entry| entry.t <= until);
    }
    let [a, b] = &logs;
    pair(a, b)
}
