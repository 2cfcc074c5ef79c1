//! What happens when each single segment of a run is lost, doubled or late, and then each pair:
//! which oracle breaks, and the shortest ladder.

use crate::end::End;
use crate::experiment::{Arm, Experiment, Plan, Scale};
use crate::oracle::{Finding, Oracle, Run};
use crate::trace::{Body, Direction, Entry, Log};
use crate::world::{Outcome, sim};
use anyhow::{Context, Result};
use tcpx_proto::config::{ConnConfig, Isn, TimeWaitRst};
use tcpx_proto::fault::FaultRule;

/// What is done to a segment.
const MISHAPS: [&str; 3] = ["drop", "dup=1", "delay="];
/// Segments of either end that are tried at the most.
const MOST_SEGMENTS: usize = 24;
/// Pairs that are tried at the most.
const MOST_PAIRS: usize = 4000;

/// What broke.
#[derive(Debug)]
pub struct Break {
    /// Each rule with the end whose gate had it.
    pub mishaps: Vec<(End, String)>,
    /// The oracle that broke.
    pub finding: Finding,
    /// The run.
    pub outcome: Outcome,
}

/// The result of a sweep.
#[derive(Debug)]
pub struct Sweep {
    /// Which oracles were watched: those that hold when nothing goes wrong.
    pub watched: Vec<Oracle>,
    /// How many runs were made.
    pub runs: usize,
    /// What broke, for each oracle the run with the fewest mishaps and the fewest segments.
    pub breaks: Vec<Break>,
}

/// What varies.
#[derive(Debug)]
pub struct SweepOptions {
    /// Rules that are removed besides, and at which end.
    pub without: Vec<(End, String)>,
    /// Pairs, too.
    pub pairs: bool,
    /// Decides all chance.
    pub seed: u64,
}

/// Sweeps over an experiment's control: its first arm that removes nothing. Delays stay below the
/// MSL.
///
/// # Errors
/// There is no such arm, or an unknown rule.
pub fn sweep(experiment: &Experiment, options: &SweepOptions) -> Result<Sweep> {
    let whole = |arm: &&Arm| {
        !arm.treatment
            && End::BOTH
                .into_iter()
                .all(|end| arm.host(end).without.is_empty())
    };
    let arm = experiment
        .arms
        .iter()
        .find(whole)
        .context("it has no arm with all rules in place")?;
    let mut plan = experiment.checked_plan(&stripped(arm), Scale::Real)?;
    // Its own mishaps are left out: the sweep finds them by itself.
    plan.hosts
        .iter_mut()
        .for_each(|host| host.settings.rules.retain(|rule| rule.preset.is_some()));
    plan.hosts
        .iter_mut()
        .for_each(|host| put_back(&mut host.settings.config.conn, options.without.is_empty()));
    for (end, name) in &options.without {
        let preset = tcpx_proto::preset::Preset::find(name)
            .with_context(|| format!("there is no rule '{name}' to remove"))?;
        let settings = &mut plan.hosts[*end as usize].settings;
        preset.apply(&mut settings.config, &mut settings.rules);
    }
    let plain = sim::run(&plan, options.seed, false)?;
    let watched: Vec<Oracle> = Oracle::ALL
        .into_iter()
        .filter(|oracle| oracle.judge(&judged(&plan, &plain)).holds)
        .collect();
    let single = mishaps(&plan, &plain);
    let mut sweep = Sweep {
        watched,
        runs: 1,
        breaks: Vec::new(),
    };
    for mishap in &single {
        sweep.attempt(&plan, std::slice::from_ref(mishap), options.seed)?;
    }
    if options.pairs {
        let pairs = single.iter().enumerate().flat_map(|(at, one)| {
            single
                .iter()
                .skip(at + 1)
                .map(move |other| [one.clone(), other.clone()])
        });
        for pair in pairs.take(MOST_PAIRS) {
            sweep.attempt(&plan, &pair, options.seed)?;
        }
    }
    Ok(sweep)
}

/// Puts back what an experiment leaves out in all its runs, so that numbers are known or a second
/// protection does not hide the first.
///
/// RFC 1337's rule belongs to it in every sweep: it is off by default, and without it a doubled
/// last ACK ends TIME-WAIT by the RST that answers it, and nothing that TIME-WAIT protects from is
/// safe any more. The sweep found that by itself.
fn put_back(conn: &mut ConnConfig, all: bool) {
    conn.time_wait_rst = TimeWaitRst::Ignore;
    if all {
        (conn.isn, conn.timestamps, conn.paws) = (Isn::Rfc6528, true, true);
    }
}

/// An arm without the faults that it is about.
fn stripped(arm: &Arm) -> Arm {
    let mut arm = arm.clone();
    arm.a.fault.clear();
    arm.b.fault.clear();
    arm.inject.clear();
    arm
}

fn judged(plan: &Plan, outcome: &Outcome) -> Run {
    Run::new(&outcome.logs, outcome.end, plan.patience.as_secs_f64())
}

/// Everything that can happen to one segment of this run.
fn mishaps(plan: &Plan, plain: &Outcome) -> Vec<(End, String)> {
    let late = plan
        .hosts
        .iter()
        .map(|host| host.settings.config.conn.msl)
        .min()
        .unwrap_or_default()
        / 2;
    let mut mishaps = Vec::new();
    for end in End::BOTH {
        let sent = |entry: &&Entry| matches!(&entry.body, Body::Segment(segment) if segment.dir == Direction::Out);
        let segments = end
            .of(&plain.logs)
            .entries
            .iter()
            .filter(sent)
            .count()
            .min(MOST_SEGMENTS);
        for nth in 1..=segments {
            for mishap in MISHAPS {
                let time = if mishap.ends_with('=') {
                    format!("{}ms", late.as_millis())
                } else {
                    String::new()
                };
                mishaps.push((end, format!("{mishap}{time} out segment#{nth}")));
            }
        }
    }
    mishaps
}

impl Sweep {
    fn attempt(&mut self, plan: &Plan, mishaps: &[(End, String)], seed: u64) -> Result<()> {
        let mut plan = plan.clone();
        for (end, line) in mishaps {
            plan.hosts[*end as usize]
                .settings
                .rules
                .push(FaultRule::parse(line)?);
        }
        let outcome = sim::run(&plan, seed, false)?;
        self.runs += 1;
        let run = judged(&plan, &outcome);
        let broken: Vec<Finding> = self
            .watched
            .iter()
            .map(|oracle| oracle.judge(&run))
            .filter(|finding| !finding.holds)
            .collect();
        for finding in broken {
            let known = self
                .breaks
                .iter()
                .position(|known| known.finding.oracle == finding.oracle);
            let shorter = |known: &Break| {
                (mishaps.len(), length(&outcome)) < (known.mishaps.len(), length(&known.outcome))
            };
            match known {
                Some(index) if !shorter(&self.breaks[index]) => {}
                Some(index) => {
                    self.breaks[index] = Break {
                        mishaps: mishaps.to_vec(),
                        finding,
                        outcome: outcome.clone(),
                    }
                }
                None => self.breaks.push(Break {
                    mishaps: mishaps.to_vec(),
                    finding,
                    outcome: outcome.clone(),
                }),
            }
        }
        Ok(())
    }
}

/// Segments in a run.
fn length(outcome: &Outcome) -> usize {
    let segments = |log: &Log| {
        log.entries
            .iter()
            .filter(|entry| matches!(entry.body, Body::Segment(_)))
            .count()
    };
    outcome.logs.iter().map(segments).sum()
}
