//! Runs with their verdicts: in the simulation here, in the other worlds by a caller.

use crate::coverage::{self, Walked};
use crate::experiment::{Arm, Experiment, Plan, World, built_in, named};
use crate::prediction;
use crate::verdict::{self, Verdict};
use crate::world::{Outcome, sim};
use anyhow::{Context, Result};

/// What decides all chance where nothing else is asked for.
pub const SEED: u64 = 1;

/// A verdict with what it was made of; nothing where the run was skipped.
#[derive(Debug)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// The run.
    pub outcome: Option<Outcome>,
    /// What the simulation predicted, where that was compared.
    pub predicted: Option<Outcome>,
}

impl From<Verdict> for Report {
    /// Of a run that was not made.
    fn from(verdict: Verdict) -> Report {
        Report {
            verdict,
            outcome: None,
            predicted: None,
        }
    }
}

/// One run to make.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// Which of its arms.
    pub arm: &'a Arm,
    /// Where.
    pub world: World,
}

impl<'a> Case<'a> {
    /// Every arm of these experiments in each of these worlds.
    pub fn all(experiments: &'a [Experiment], worlds: &[World]) -> Vec<Case<'a>> {
        let mut cases = Vec::new();
        for experiment in experiments {
            for arm in &experiment.arms {
                cases.extend(worlds.iter().map(|world| Case {
                    experiment,
                    arm,
                    world: *world,
                }));
            }
        }
        cases
    }

    /// The verdict before the run; skipped where this world cannot show the arm.
    pub fn verdict(&self) -> Verdict {
        let unsupported = self.experiment.unsupported(self.world);
        let skipped = match self.world {
            World::Sim | World::Wire => unsupported,
            World::Kernel => {
                unsupported.or_else(|| self.experiment.unsupported_by_kernel(self.arm))
            }
        };
        Verdict {
            experiment: self.experiment.name.clone(),
            arm: self.arm.name.to_string(),
            treatment: self.arm.treatment,
            world: self.world,
            expected: self.arm.expected(self.world.scale()).to_owned(),
            happened: Vec::new(),
            findings: Vec::new(),
            wrong: Vec::new(),
            skipped,
            unavailable: false,
            repeated: 0,
            took: 0.0,
        }
    }

    /// The plan at the world's scale.
    ///
    /// # Errors
    /// There is none: every plan was made once when the file was read.
    pub fn plan(&self) -> Result<Plan> {
        self.experiment.checked_plan(self.arm, self.world.scale())
    }

    /// Judges the plan's outcome. `slow` stretches every upper bound. A wire's is compared with the
    /// simulation's prediction, which is returned.
    ///
    /// # Errors
    /// The simulation could not be recorded.
    pub fn judge(
        &self,
        plan: &Plan,
        outcome: &Outcome,
        slow: f64,
        seed: u64,
        verdict: &mut Verdict,
    ) -> Result<Option<Outcome>> {
        let (findings, wrong, happened) = verdict::judge(plan, outcome, slow);
        (verdict.findings, verdict.happened) = (findings, happened);
        verdict.wrong.extend(wrong);
        if self.world != World::Wire || self.experiment.sim.is_some() {
            return Ok(None);
        }
        let predicted = sim::run(plan, seed, false)?;
        let differences = prediction::difference(plan, &predicted, outcome);
        verdict.wrong.extend(differences);
        Ok(Some(predicted))
    }

    /// Makes the run in the simulation.
    pub fn simulate(&self, seed: u64, slow: f64, keep: bool) -> Report {
        let mut verdict = self.verdict();
        if verdict.skipped.is_some() {
            return verdict.into();
        }
        let outcome = self.plan().and_then(|plan| {
            let outcome = sim::run(&plan, seed, keep)?;
            self.judge(&plan, &outcome, slow, seed, &mut verdict)?;
            Ok(outcome)
        });
        match outcome {
            Ok(outcome) => Report {
                outcome: Some(outcome),
                ..verdict.into()
            },
            Err(error) => {
                verdict.wrong.push(format!("{error:#}"));
                verdict.into()
            }
        }
    }
}

/// Adds, for each experiment that counts the edges of the state diagram, the count over its runs in
/// each world, behind the last of them.
pub fn count_edges(experiments: &[Experiment], worlds: &[World], reports: &mut Vec<Report>) {
    let counting = experiments
        .iter()
        .filter(|experiment| experiment.every_edge);
    for experiment in counting {
        let end = reports
            .iter()
            .rposition(|report| report.verdict.experiment == experiment.name)
            .map_or(0, |last| last + 1);
        let shown = worlds
            .iter()
            .filter(|world| experiment.unsupported(**world).is_none());
        let counted: Vec<Report> = shown
            .map(|world| edges(experiment, *world, reports))
            .collect();
        reports.splice(end..end, counted);
    }
}

/// The edges that an experiment's runs took in one world.
fn edges(experiment: &Experiment, world: World, reports: &[Report]) -> Report {
    let mut runs = reports
        .iter()
        .filter(|report| {
            report.verdict.experiment == experiment.name && report.verdict.world == world
        })
        .peekable();
    let not_run = runs
        .peek()
        .and_then(|report| report.verdict.skipped.clone());
    let mut walked = Walked::default();
    let mut any = false;
    for outcome in runs.filter_map(|report| report.outcome.as_ref()) {
        walked.add(outcome);
        any = true;
    }
    let skipped = if any { None } else { not_run };
    Verdict {
        experiment: experiment.name.clone(),
        arm: coverage::ARM.to_owned(),
        treatment: false,
        world,
        expected: coverage::EXPECTED.to_owned(),
        happened: walked.summary(),
        findings: Vec::new(),
        wrong: if skipped.is_none() {
            walked.missing()
        } else {
            Vec::new()
        },
        unavailable: skipped.is_some(),
        repeated: 0,
        skipped,
        took: 0.0,
    }
    .into()
}

/// All runs of these experiments in the simulation.
pub fn simulate(experiments: &[Experiment], seed: u64) -> Vec<Report> {
    let worlds = [World::Sim];
    let mut reports = Case::all(experiments, &worlds)
        .into_iter()
        .map(|case| case.simulate(seed, 1.0, false))
        .collect();
    count_edges(experiments, &worlds, &mut reports);
    reports
}

/// Verdicts as one JSON array.
///
/// # Errors
/// None that a verdict could cause.
pub fn json(verdicts: &[Verdict]) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(verdicts)? + "\n")
}

/// Runs built-in experiments in the simulation, all of them where none is named, and gives what
/// `tcpx-lab run NAME.. --on sim --format json` prints.
///
/// # Errors
/// There is no experiment of a name.
pub fn simulated(names: &[&str], seed: u64) -> Result<String> {
    let experiments = if names.is_empty() {
        built_in()?
    } else {
        let find = |name: &&str| named(name)?.with_context(|| format!("no experiment '{name}'"));
        names.iter().map(find).collect::<Result<_>>()?
    };
    let verdicts: Vec<Verdict> = simulate(&experiments, seed)
        .into_iter()
        .map(|report| report.verdict)
        .collect();
    Ok(json(&verdicts)?)
}
