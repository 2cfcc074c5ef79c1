//! Runs experiments in their worlds, many at a time where they mostly sleep, and gathers the
//! verdicts.

use crate::world::{kernel, wire};
use anyhow::{Context, Result};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;
use tcpx::LinkKind;
use tcpx_experiment::experiment::{Experiment, World};
use tcpx_experiment::report::{Case, Report, count_edges};
use tcpx_experiment::verdict::Verdict;
use tcpx_experiment::world::{Outcome, sim};

/// How long a process may wait for the machine, seconds, before its run is in doubt where it is not
/// as expected: timers are this coarse.
const MOST_WAIT: f64 = 0.002;
/// How often a run in doubt is repeated.
const MOST_REPEATS: usize = 5;

/// How to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// In which worlds.
    pub worlds: Vec<World>,
    /// Why this machine has no world but the simulation.
    pub refused: Option<String>,
    /// The link of our programs, where they are on a wire.
    pub link: LinkKind,
    /// Decides all chance.
    pub seed: u64,
    /// Stretches every upper bound and every limit, for a loaded machine.
    pub slow: f64,
    /// How many runs at a time.
    pub jobs: usize,
    /// Keep captures and events.
    pub keep: bool,
}

/// A run that was made.
struct Made {
    report: Report,
    /// It is not as expected, and a process did not get the machine in time: the network was not
    /// the plan's.
    doubtful: bool,
}

/// Runs every arm of these experiments in every world that they have. `done` is called with each
/// that ends. The order of the reports is that of the experiments.
pub fn run(
    experiments: &[Experiment],
    options: &RunOptions,
    done: impl Fn(usize, usize, &Verdict) + Sync,
) -> Vec<Report> {
    let cases = Case::all(experiments, &options.worlds);
    // Those that sleep longest begin first.
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(cases.get(*index).map(|case| case.world)));
    let next = AtomicUsize::new(0);
    let ended = AtomicUsize::new(0);
    let finish = |verdict: &Verdict| {
        let ended = ended.fetch_add(1, Ordering::Relaxed) + 1;
        done(ended, cases.len(), verdict);
    };
    let runs: Mutex<Vec<(usize, Made)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..options.jobs.min(cases.len()).max(1) {
            scope.spawn(|| {
                while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let made = make(cases[*index], options, 0);
                    if !made.doubtful {
                        finish(&made.report.verdict);
                    }
                    let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
                    runs.push((*index, made));
                }
            });
        }
    });
    let mut runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Runs that disturbed each other are repeated one at a time.
    for (index, made) in runs.iter_mut().filter(|(_, made)| made.doubtful) {
        repeat(made, |repeated| make(cases[*index], options, repeated));
        finish(&made.report.verdict);
    }
    runs.sort_by_key(|(index, _)| *index);
    let mut reports = runs.into_iter().map(|(_, made)| made.report).collect();
    count_edges(experiments, &options.worlds, &mut reports);
    reports
}

/// Repeats a run until it is no longer in doubt, or as often as is worth it.
fn repeat(made: &mut Made, mut again: impl FnMut(usize) -> Made) {
    while made.doubtful && made.report.verdict.repeated < MOST_REPEATS {
        let repeated = made.report.verdict.repeated + 1;
        let took = made.report.verdict.took;
        *made = again(repeated);
        made.report.verdict.repeated = repeated;
        made.report.verdict.took += took;
    }
}

/// Makes one run, which was made `repeated` times before.
fn make(case: Case<'_>, options: &RunOptions, repeated: usize) -> Made {
    let sure = |report: Report| Made {
        report,
        doubtful: false,
    };
    if case.world == World::Sim {
        return sure(case.simulate(options.seed, options.slow, options.keep));
    }
    let begun = Instant::now();
    let mut verdict = case.verdict();
    if verdict.skipped.is_none() && options.refused.is_some() {
        verdict.skipped.clone_from(&options.refused);
        verdict.unavailable = true;
    }
    if verdict.skipped.is_some() {
        return sure(verdict.into());
    }
    let judged = judged(case, options, repeated, &mut verdict);
    verdict.took = begun.elapsed().as_secs_f64();
    match judged {
        Ok((outcome, predicted)) => Made {
            doubtful: !verdict.is_good() && outcome.waited > MOST_WAIT,
            report: Report {
                verdict,
                outcome: Some(outcome),
                predicted,
            },
        },
        Err(error) => {
            verdict.wrong.push(format!("{error:#}"));
            let is_busy = |cause: &io::Error| cause.kind() == io::ErrorKind::ResourceBusy;
            Made {
                report: verdict.into(),
                doubtful: error
                    .chain()
                    .filter_map(|cause| cause.downcast_ref())
                    .any(is_busy),
            }
        }
    }
}

/// Runs and judges; with what the simulation predicted, where that was compared.
fn judged(
    case: Case<'_>,
    options: &RunOptions,
    repeated: usize,
    verdict: &mut Verdict,
) -> Result<(Outcome, Option<Outcome>)> {
    let mut plan = case.plan()?;
    // A repeated run has more time.
    let slow = options.slow * (1 + repeated) as f64;
    plan.limit = plan.limit.mul_f64(slow);
    // Where something is to last too long, too long stays what it is.
    if plan.breaks.is_empty() {
        plan.patience = plan.patience.mul_f64(slow);
    }
    let outcome = match case.world {
        World::Sim => sim::run(&plan, options.seed, options.keep)?,
        World::Wire => wire::run(&plan, options.link, options.seed, options.keep)?,
        World::Kernel => {
            let linux = case
                .experiment
                .kernel
                .end
                .context("no end is Linux's")?
                .into();
            let settings = case.experiment.sysctl(case.arm);
            kernel::run(
                &plan,
                linux,
                &settings,
                options.link,
                options.seed,
                options.keep,
            )?
        }
    };
    let predicted = case.judge(&plan, &outcome, options.slow, options.seed, verdict)?;
    Ok((outcome, predicted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(doubtful: bool) -> Made {
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
        Made {
            report: verdict.into(),
            doubtful,
        }
    }

    #[test]
    fn run_in_doubt_is_repeated_until_it_shows_something_or_that_is_in_vain() {
        let mut settled = made(true);
        let mut runs = [made(true), made(false)].into_iter();
        repeat(&mut settled, |_| runs.next().unwrap());
        assert!(
            settled.report.verdict.is_good()
                && (settled.report.verdict.repeated, settled.report.verdict.took) == (2, 3.0)
        );
        let mut never = made(true);
        repeat(&mut never, |_| made(true));
        assert!(!never.report.verdict.is_good() && never.report.verdict.repeated == MOST_REPEATS);
        let mut sure = made(false);
        repeat(&mut sure, |_| panic!("nothing was in doubt"));
    }
}
