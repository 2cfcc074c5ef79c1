//! What came of one run: whether every expectation was met, and the line that matters.

mod ladder;

use crate::experiment::{Plan, World};
use crate::oracle::{Evidence, Finding, Oracle, Run};
use crate::world::Outcome;
use serde::Serialize;

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
    /// How often it was repeated, because a process did not get the machine in time and the run was
    /// not as expected.
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
pub fn judge(
    plan: &Plan,
    outcome: &Outcome,
    slow: f64,
) -> (Vec<Finding>, Vec<String>, Vec<Evidence>) {
    let mut run = Run::new(&outcome.logs, outcome.end, plan.patience.as_secs_f64());
    run.budget = plan.budget;
    let findings: Vec<Finding> = Oracle::ALL
        .iter()
        .map(|oracle| oracle.judge(&run))
        .collect();
    let mut wrong = Vec::new();
    for finding in &findings {
        if plan.breaks.contains(&finding.oracle) && finding.holds {
            wrong.push(format!(
                "{} was expected to break, and holds",
                finding.oracle
            ));
        }
        if plan.holds.contains(&finding.oracle) && !finding.holds {
            wrong.push(format!(
                "{} was expected to hold: {}",
                finding.oracle,
                finding.said()
            ));
        }
    }
    wrong.extend(ladder::missed(plan, outcome, slow));
    let broken = findings
        .iter()
        .filter(|finding| plan.breaks.contains(&finding.oracle) && !finding.holds);
    let evidence: Vec<Evidence> = broken
        .flat_map(|finding| finding.evidence.clone())
        .collect();
    let happened = if evidence.is_empty() {
        run.summary().to_vec()
    } else {
        evidence
    };
    (findings, wrong, happened)
}
