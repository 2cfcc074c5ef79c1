//! Runs experiments in their worlds, many at a time where they mostly sleep, and gathers the
//! verdicts.

use crate::world::{kernel, wire};
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::{io, thread};
use tcpx_experiment::coverage::{self, Walked};
use tcpx_experiment::experiment::{Arm, Experiment, Scale, World};
use tcpx_experiment::prediction;
use tcpx_experiment::verdict::{self, Verdict};
use tcpx_experiment::world::{Outcome, sim};

/// How long a process may wait for the machine, seconds, before its run is in doubt where it is not
/// as expected: timers are this coarse.
const MOST_WAIT: f64 = 0.002;
/// How often a run in doubt is repeated.
const MOST_REPEATS: usize = 5;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// In which worlds.
    pub worlds: Vec<World>,
    /// Why no world but the simulation is to be had on this machine.
    pub refused: Option<String>,
    /// Decides all chance.
    pub seed: u64,
    /// Stretches every upper bound and every limit, for a loaded machine.
    pub slow: f64,
    /// How many runs at a time.
    pub jobs: usize,
    /// Keep captures and events.
    pub keep: bool,
}

/// A verdict with what it was made of; nothing where the run was skipped.
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// The run.
    pub outcome: Option<Outcome>,
    /// What the simulation foretold, where that was compared.
    pub foretold: Option<Outcome>,
    /// It is not as expected, and a process did not get the machine in time: it saw another network
    /// than the plan's.
    doubtful: bool,
}

/// One run to do.
struct Job<'a> {
    experiment: &'a Experiment,
    arm: &'a Arm,
    world: World,
}

/// Runs every arm of these experiments in every world that they have. `done` is told of each that
/// ends. The order of the reports is that of the experiments.
///
/// # Errors
/// None of a run: what goes wrong in one is in its verdict.
pub fn run(
    experiments: &[Experiment],
    options: &Options,
    done: impl Fn(usize, usize, &Verdict) + Sync,
) -> Vec<Report> {
    let arms = experiments
        .iter()
        .flat_map(|experiment| experiment.arms.iter().map(move |arm| (experiment, arm)));
    let jobs: Vec<Job<'_>> = arms
        .flat_map(|(experiment, arm)| {
            options.worlds.iter().map(move |world| Job {
                experiment,
                arm,
                world: *world,
            })
        })
        .collect();
    // Those that sleep longest begin first.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(jobs.get(*index).map(|job| job.world)));
    let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let reports: Mutex<Vec<(usize, Report)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..options.jobs.min(jobs.len()).max(1) {
            scope.spawn(|| {
                while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = jobs[*index].run(options, 0);
                    if !report.doubtful {
                        done(
                            ended.fetch_add(1, Ordering::Relaxed) + 1,
                            jobs.len(),
                            &report.verdict,
                        );
                    }
                    reports
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((*index, report));
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    // What the others were in the way of is repeated when they are gone, one at a time.
    for (index, report) in reports.iter_mut().filter(|(_, report)| report.doubtful) {
        repeat(report, |repeated| jobs[*index].run(options, repeated));
        done(
            ended.fetch_add(1, Ordering::Relaxed) + 1,
            jobs.len(),
            &report.verdict,
        );
    }
    reports.sort_by_key(|(index, _)| *index);
    let mut reports: Vec<Report> = reports.into_iter().map(|(_, report)| report).collect();
    for experiment in experiments
        .iter()
        .filter(|experiment| experiment.every_edge)
    {
        let end = reports
            .iter()
            .rposition(|report| report.verdict.experiment == experiment.name)
            .map_or(0, |last| last + 1);
        let counted = options
            .worlds
            .iter()
            .filter(|world| experiment.excuse(**world).is_none());
        let counted: Vec<Report> = counted
            .map(|world| every_edge(experiment, *world, &reports))
            .collect();
        reports.splice(end..end, counted);
    }
    reports
}

/// Repeats a run until it is in doubt no more, or as often as is worth it.
fn repeat(report: &mut Report, mut again: impl FnMut(usize) -> Report) {
    while report.doubtful && report.verdict.repeated < MOST_REPEATS {
        let (repeated, took) = (report.verdict.repeated + 1, report.verdict.took);
        *report = again(repeated);
        (report.verdict.repeated, report.verdict.took) = (repeated, report.verdict.took + took);
    }
}

/// The walked edges of the state diagram, counted over all runs in one world.
fn every_edge(experiment: &Experiment, world: World, reports: &[Report]) -> Report {
    let runs = || {
        reports.iter().filter(|report| {
            report.verdict.experiment == experiment.name && report.verdict.world == world
        })
    };
    let mut walked = Walked::default();
    runs()
        .filter_map(|report| report.outcome.as_ref())
        .for_each(|outcome| walked.add(outcome));
    let skipped = runs()
        .all(|report| report.outcome.is_none())
        .then(|| runs().find_map(|report| report.verdict.skipped.clone()))
        .flatten();
    let verdict = Verdict {
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
    };
    Report {
        verdict,
        outcome: None,
        foretold: None,
        doubtful: false,
    }
}

impl Job<'_> {
    fn run(&self, options: &Options, repeated: usize) -> Report {
        let begun = Instant::now();
        let mut verdict = Verdict {
            experiment: self.experiment.name.clone(),
            arm: self.arm.name.to_string(),
            treatment: self.arm.treatment,
            world: self.world,
            expected: self.arm.says.clone(),
            happened: Vec::new(),
            findings: Vec::new(),
            wrong: Vec::new(),
            skipped: self
                .experiment
                .excuse(self.world)
                .or_else(|| self.kernel_excuse()),
            unavailable: false,
            repeated: 0,
            took: 0.0,
        };
        if verdict.skipped.is_none() && self.world != World::Sim && options.refused.is_some() {
            (verdict.skipped, verdict.unavailable) = (options.refused.clone(), true);
        }
        if verdict.skipped.is_some() {
            return Report {
                verdict,
                outcome: None,
                foretold: None,
                doubtful: false,
            };
        }
        let judged = self.judged(options, repeated, &mut verdict);
        verdict.took = begun.elapsed().as_secs_f64();
        match judged {
            Ok((outcome, foretold)) => {
                let doubtful = !verdict.is_good() && outcome.waited > MOST_WAIT;
                Report {
                    verdict,
                    outcome: Some(outcome),
                    foretold,
                    doubtful,
                }
            }
            Err(error) => {
                verdict.wrong.push(format!("{error:#}"));
                let lost = |cause: &io::Error| cause.kind() == io::ErrorKind::ResourceBusy;
                let doubtful = error
                    .chain()
                    .filter_map(|cause| cause.downcast_ref())
                    .any(lost);
                Report {
                    verdict,
                    outcome: None,
                    foretold: None,
                    doubtful,
                }
            }
        }
    }

    /// Why this arm cannot be had beside Linux.
    fn kernel_excuse(&self) -> Option<String> {
        if self.world == World::Kernel {
            self.experiment.refused_by_kernel(self.arm)
        } else {
            None
        }
    }

    fn judged(
        &self,
        options: &Options,
        repeated: usize,
        verdict: &mut Verdict,
    ) -> Result<(Outcome, Option<Outcome>)> {
        let scale = match self.world {
            World::Sim => Scale::Real,
            World::Wire => Scale::Wire,
            World::Kernel => Scale::Kernel,
        };
        let mut plan = self.experiment.checked_plan(self.arm, scale)?;
        plan.says.clone_into(&mut verdict.expected);
        if self.world != World::Sim {
            // What is repeated has more time for what did not end in it.
            let slow = options.slow * (1 + repeated) as f64;
            plan.limit = plan.limit.mul_f64(slow);
            // Where something is to last too long, too long stays what it is.
            if plan.breaks.is_empty() {
                plan.patience = plan.patience.mul_f64(slow);
            }
        }
        let outcome = match self.world {
            World::Sim => sim::run(&plan, options.seed, options.keep)?,
            World::Wire => wire::run(&plan, options.seed, options.keep)?,
            World::Kernel => {
                let linux = self.experiment.kernel.end.context("no end is Linux's")?;
                kernel::run(
                    &plan,
                    linux.into(),
                    &self.experiment.sysctl(self.arm),
                    options.seed,
                    options.keep,
                )?
            }
        };
        let judged;
        (verdict.findings, judged, verdict.happened) =
            verdict::judge(&plan, &outcome, options.slow);
        verdict.wrong.extend(judged);
        let mut foretold = None;
        if self.world == World::Wire && self.experiment.sim.is_none() {
            let prediction = sim::run(&plan, options.seed, options.keep)?;
            verdict
                .wrong
                .extend(prediction::difference(&plan, &prediction, &outcome));
            foretold = Some(prediction);
        }
        Ok((outcome, foretold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(doubtful: bool) -> Report {
        let verdict = Verdict {
            experiment: "x".to_owned(),
            arm: "y".to_owned(),
            treatment: false,
            world: World::Wire,
            expected: String::new(),
            happened: Vec::new(),
            findings: Vec::new(),
            wrong: if doubtful {
                vec!["late".to_owned()]
            } else {
                Vec::new()
            },
            skipped: None,
            unavailable: false,
            repeated: 0,
            took: 1.0,
        };
        Report {
            verdict,
            outcome: None,
            foretold: None,
            doubtful,
        }
    }

    #[test]
    fn run_in_doubt_is_repeated_until_it_shows_something_or_that_is_in_vain() {
        let mut settled = report(true);
        let mut runs = [report(true), report(false)].into_iter();
        repeat(&mut settled, |_| runs.next().unwrap());
        assert!(
            settled.verdict.is_good()
                && (settled.verdict.repeated, settled.verdict.took) == (2, 3.0)
        );
        let mut never = report(true);
        repeat(&mut never, |_| report(true));
        assert!(!never.verdict.is_good() && never.verdict.repeated == MOST_REPEATS);
        let mut sure = report(false);
        repeat(&mut sure, |_| panic!("nothing was in doubt"));
    }
}
