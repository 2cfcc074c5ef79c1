//! What real runs showed, kept beside the experiments: the wire and Linux are not available
//! wherever the documents are checked.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tcpx_experiment::coverage;
use tcpx_experiment::experiment::{Experiment, World};
use tcpx_experiment::oracle::Evidence;
use tcpx_experiment::verdict::Verdict;

/// The worlds that are observed; the simulation is run where the documents are made.
pub(super) const WORLDS: [World; 2] = [World::Wire, World::Kernel];

/// The keys of an experiment's file that tell its story. They change no run.
const PROSE: [&str; 7] = [
    "title", "question", "story", "textbook", "rfc", "linux", "zh",
];

/// What real runs showed, by experiment, world and arm.
#[derive(Clone, Debug, Default)]
pub struct Observed(BTreeMap<[String; 3], Observation>);

/// One run, a line of the file.
#[derive(Clone, Serialize, Deserialize, Debug)]
struct Observation {
    experiment: String,
    world: String,
    arm: String,
    /// Of the file that was run: another file makes this stale.
    fingerprint: String,
    shown: Vec<Evidence>,
}

/// The file that is built in.
///
/// # Errors
/// It is broken.
pub fn observed() -> Result<Observed> {
    Observed::parse(include_str!("../../observed.jsonl")).context("observed.jsonl is broken")
}

/// Of what an experiment's file tells to do and to expect (FNV-1a, 64 bits): comments and prose do
/// not count.
pub fn fingerprint(experiment: &Experiment) -> String {
    let mut file: toml::Table = toml::from_str(&experiment.source).unwrap_or_default();
    file.retain(|key, _| !PROSE.contains(&key));
    for arm in file
        .get_mut("arm")
        .and_then(toml::Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        without_prose(arm);
        arm.get_mut("kernel").into_iter().for_each(without_prose);
    }
    let text = serde_json::to_string(&file).unwrap_or_default();
    let step = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

fn without_prose(table: &mut toml::Value) {
    if let Some(table) = table.as_table_mut() {
        table.retain(|key, _| !["says", "zh"].contains(&key));
    }
}

impl Observed {
    /// Reads the file's text.
    ///
    /// # Errors
    /// A line that is no observation.
    pub fn parse(text: &str) -> serde_json::Result<Observed> {
        let line = |line| serde_json::from_str(line).map(|run: Observation| (run.key(), run));
        text.lines()
            .map(line)
            .collect::<serde_json::Result<_>>()
            .map(Observed)
    }

    /// The file's text, a line for each run.
    ///
    /// # Errors
    /// None that a run could cause.
    pub fn text(&self) -> serde_json::Result<String> {
        self.0
            .values()
            .map(|run| Ok(serde_json::to_string(run)? + "\n"))
            .collect()
    }

    /// Adds what runs showed. A run that was not as expected is left out, so that the experiment
    /// counts as stale.
    pub fn add(&mut self, experiments: &[Experiment], verdicts: &[Verdict]) {
        for experiment in experiments {
            let now = fingerprint(experiment);
            self.0
                .retain(|[name, ..], run| *name != experiment.name || run.fingerprint == now);
            let seen = |verdict: &&Verdict| {
                verdict.experiment == experiment.name && WORLDS.contains(&verdict.world)
            };
            for verdict in verdicts
                .iter()
                .filter(seen)
                .filter(|verdict| !verdict.unavailable)
            {
                let [experiment, world, arm] =
                    [&verdict.experiment, verdict.world.name(), &verdict.arm].map(str::to_owned);
                let run = Observation {
                    experiment,
                    world,
                    arm,
                    fingerprint: now.clone(),
                    shown: verdict.happened.clone(),
                };
                self.0.remove(&run.key());
                if verdict.is_good() && verdict.skipped.is_none() {
                    self.0.insert(run.key(), run);
                }
            }
        }
    }

    /// What an arm's run showed in a world.
    pub fn of(&self, experiment: &Experiment, world: World, arm: &str) -> Option<&[Evidence]> {
        self.run(experiment, world, arm)
            .map(|run| run.shown.as_slice())
    }

    fn run(&self, experiment: &Experiment, world: World, arm: &str) -> Option<&Observation> {
        self.0
            .get(&[&experiment.name, world.name(), arm].map(str::to_owned))
    }

    /// The experiments whose file was changed after they were observed, or that were not observed
    /// in a world that they have.
    pub fn stale(&self, experiments: &[Experiment]) -> Vec<String> {
        let complete = |experiment: &&Experiment| {
            let now = fingerprint(experiment);
            let seen = |world, arm: &str| {
                self.run(experiment, world, arm)
                    .is_some_and(|run| run.fingerprint == now)
            };
            let refused = |world, arm| {
                world == World::Kernel && experiment.unsupported_by_kernel(arm).is_some()
            };
            let mut worlds = WORLDS
                .into_iter()
                .filter(|world| experiment.unsupported(*world).is_none());
            worlds.all(|world| {
                let arms = experiment
                    .arms
                    .iter()
                    .all(|arm| refused(world, arm) || seen(world, arm.name.get_ref()));
                arms && (!experiment.every_edge || seen(world, coverage::ARM))
            })
        };
        experiments
            .iter()
            .filter(|experiment| !complete(experiment))
            .map(|experiment| experiment.name.clone())
            .collect()
    }
}

impl Observation {
    fn key(&self) -> [String; 3] {
        [
            self.experiment.clone(),
            self.world.clone(),
            self.arm.clone(),
        ]
    }
}
