//! `docs/experiments.md` and its Chinese translation, made from the experiments, their runs in the simulation, and what was observed on
//! a wire and beside Linux.

use crate::experiment::{Arm, Chinese, Experiment, Scale};
use crate::picture::Format;
use crate::report::drawn;
use crate::verdict::{self, Verdict};
use crate::world::{World, sim};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What real runs showed, kept beside the experiments: the wire and Linux cannot be had wherever the document is checked.
#[derive(Clone, Serialize, Deserialize, Debug, Default)]
pub struct Observed {
    /// By experiment.
    pub experiments: BTreeMap<String, Observation>,
}

/// The runs of one experiment.
#[derive(Clone, Serialize, Deserialize, Debug, Default)]
pub struct Observation {
    /// Of the file that was run: another file makes this stale.
    pub fingerprint: String,
    /// What happened, by world and arm; a run that is not to be had says why.
    pub runs: BTreeMap<String, BTreeMap<String, String>>,
}

/// Lines of a ladder in a document at the most.
const MOST_LINES: usize = 80;

/// The language of a document.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
pub enum Language {
    /// All experiments
    En,
    /// Those of the article
    Zh,
}

/// The words of a document.
struct Words {
    head: &'static str,
    columns: [&'static str; 4],
    labels: [&'static str; 5],
    without: &'static str,
    with: &'static str,
    separator: &'static str,
}

const EN: Words = Words {
    head: "# The experiments\n\nMade by `make document` from `tcpx-lab/experiments/` and from real runs; a test fails when it is stale. Each experiment is run without a\nrule of TCP (✂) and with it: in the simulation (real constants), on a wire (the two binaries in two network namespaces, scaled\nconstants) and beside Linux 6.18. The ladders are the simulation's.\n",
    columns: ["world", "run", "expected", "happened"],
    labels: ["The textbook", "RFC 9293", "Linux 6.18", "Run it", "Not shown"],
    without: "Without the rule",
    with: "With it",
    separator: ": ",
};

const ZH: Words = Words {
    head: "# 文章里的实验\n\n本文由 `make document` 从 `tcpx-lab/experiments/` 和真实运行生成；过期时测试会失败。每个实验都运行两遍：去掉 TCP 的一条规则（✂），以及保留这条规则。\n运行环境有三种：仿真（真实常数）、真实网线（两个程序、两个网络命名空间、缩小的常数）、与 Linux 6.18 对接。梯形图取自仿真。\n",
    columns: ["环境", "运行", "预期", "实际"],
    labels: ["教科书的说法", "RFC 9293", "Linux 6.18", "运行方法", "不能演示"],
    without: "去掉规则",
    with: "保留规则",
    separator: "：",
};

/// Of an experiment's file (FNV-1a, 64 bits): whether what was observed is of this file.
pub fn fingerprint(experiment: &Experiment) -> String {
    let step = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", experiment.source.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

impl Observed {
    /// Takes up what a run showed.
    pub fn add(&mut self, experiments: &[Experiment], verdicts: &[Verdict]) {
        for experiment in experiments {
            let of = |verdict: &&Verdict| verdict.experiment == experiment.name && verdict.world != World::Sim && !verdict.unavailable;
            let seen: Vec<&Verdict> = verdicts.iter().filter(of).collect();
            let entry = self.experiments.entry(experiment.name.clone()).or_default();
            let now = fingerprint(experiment);
            if entry.fingerprint != now {
                *entry = Observation { fingerprint: now, ..Observation::default() };
            }
            for verdict in seen {
                let what = verdict.skipped.clone().map_or_else(|| verdict.happened.clone(), |why| format!("not run: {why}"));
                let what = if verdict.is_good() { what } else { format!("NOT AS EXPECTED: {what}") };
                entry.runs.entry(verdict.world.name().to_owned()).or_default().insert(verdict.arm.clone(), what);
            }
        }
    }

    /// The experiments whose file was changed after they were observed, or that were not observed in a world that they have.
    pub fn stale(&self, experiments: &[Experiment]) -> Vec<String> {
        let complete = |experiment: &&Experiment| {
            let observed = self.experiments.get(&experiment.name).filter(|entry| entry.fingerprint == fingerprint(experiment));
            let worlds = [World::Wire, World::Kernel];
            let all = |observed: &Observation| {
                worlds.iter().all(|world| {
                    observed
                        .runs
                        .get(world.name())
                        .is_some_and(|runs| experiment.arms.iter().all(|arm| runs.contains_key(arm.name.get_ref())))
                })
            };
            observed.is_some_and(all)
        };
        experiments.iter().filter(|experiment| !complete(experiment)).map(|experiment| experiment.name.clone()).collect()
    }
}

/// What was observed when this was built.
///
/// # Errors
/// The file that is built in is broken.
pub fn observed() -> Result<Observed> {
    serde_json::from_str(include_str!("../experiments/observed.json")).context("experiments/observed.json is broken")
}

/// The whole document.
///
/// # Errors
/// A run in the simulation that failed.
pub fn document(experiments: &[Experiment], observed: &Observed, language: Language) -> Result<String> {
    let words = if language == Language::En { &EN } else { &ZH };
    let mut wanted: Vec<&Experiment> = experiments.iter().filter(|one| language == Language::En || one.zh.is_some()).collect();
    wanted.sort_by_key(|experiment| experiment.group);
    let mut text = words.head.to_owned();
    let mut group = None;
    for experiment in &wanted {
        if language == Language::En && group.replace(experiment.group) != Some(experiment.group) {
            let _infallible = writeln!(text, "\n- **{}**", experiment.group.name());
        }
        let title = texts(experiment, language).title;
        let _infallible = writeln!(
            text,
            "{}- [{}](#{}){}{title}",
            if language == Language::En { "  " } else { "" },
            experiment.name,
            experiment.name,
            words.separator
        );
    }
    for experiment in wanted {
        chapter(&mut text, experiment, observed, language, words).with_context(|| format!("cannot describe {}", experiment.name))?;
    }
    Ok(text)
}

/// An experiment's own words in a language.
fn texts(experiment: &Experiment, language: Language) -> Chinese {
    match (&experiment.zh, language) {
        (Some(chinese), Language::Zh) => chinese.clone(),
        _ => Chinese {
            title: experiment.title.clone(),
            question: experiment.question.clone(),
            story: experiment.story.clone(),
            textbook: experiment.textbook.clone(),
            rfc: experiment.rfc.clone(),
            linux: experiment.linux.clone(),
        },
    }
}

fn chapter(text: &mut String, experiment: &Experiment, observed: &Observed, language: Language, words: &Words) -> Result<()> {
    let own = texts(experiment, language);
    let _infallible =
        writeln!(text, "\n## {}\n\n**{}**\n\n*{}*\n\n{}\n", experiment.name, own.title.trim(), own.question.trim(), own.story.trim());
    let [textbook, rfc, linux, run, not_shown] = words.labels;
    for (label, says) in [(textbook, own.textbook), (rfc, own.rfc), (linux, own.linux)] {
        let _infallible = writeln!(text, "- **{label}**{}{}", words.separator, says.trim());
    }
    for world in World::ALL {
        if let Some(no) = experiment.excuse(world) {
            let _infallible = writeln!(text, "- **{not_shown} ({world})**{}{no}", words.separator);
        }
    }
    let _infallible = writeln!(text, "- **{run}**{}`tcpx-lab run {} --on all`\n", words.separator, experiment.name);
    let _infallible = writeln!(text, "| {} |\n|---|---|---|---|", words.columns.join(" | "));
    let mut ladders = Vec::new();
    for arm in &experiment.arms {
        rows(text, experiment, arm, observed, &mut ladders)?;
    }
    let wanted = [(true, words.without), (false, words.with)];
    for (treatment, label) in wanted {
        if let Some((arm, ladder)) = ladders.iter().find(|(arm, _)| arm.treatment == treatment) {
            let _infallible = writeln!(text, "\n{label}{}{}\n\n```text\n{}```", words.separator, arm.name, trimmed(ladder));
        }
    }
    Ok(())
}

/// An arm's line for each world; its ladder in the simulation is kept.
fn rows<'a>(
    text: &mut String,
    experiment: &Experiment,
    arm: &'a Arm,
    observed: &Observed,
    ladders: &mut Vec<(&'a Arm, String)>,
) -> Result<()> {
    let name = if arm.treatment { format!("✂ {}", arm.name) } else { arm.name.to_string() };
    let mut row = |world: World, expected: &str, happened: &str| {
        let cell = |text: &str| text.replace('|', "\\|");
        let _infallible = writeln!(text, "| {world} | {} | {} | {} |", cell(&name), cell(expected), cell(happened));
    };
    if experiment.sim.is_none() {
        let plan = experiment.checked_plan(arm, Scale::Real)?;
        let outcome = sim::run(&plan, 1, false)?;
        let (_, _, happened) = verdict::judge(&plan, &outcome, 1.0);
        row(World::Sim, &plan.says, &happened);
        ladders.push((arm, drawn(&outcome, Format::Text)));
    }
    for (world, scale) in [(World::Wire, Scale::Wire), (World::Kernel, Scale::Kernel)] {
        let seen = observed.experiments.get(&experiment.name).and_then(|entry| entry.runs.get(world.name())?.get(arm.name.get_ref()));
        if let Some(happened) = seen.filter(|_| experiment.excuse(world).is_none()) {
            row(world, &experiment.checked_plan(arm, scale)?.says, happened);
        }
    }
    Ok(())
}

/// Lines without blanks at their ends, and no more of them than a reader wants: a flood has thousands.
fn trimmed(ladder: &str) -> String {
    let lines = ladder.lines().take(MOST_LINES).map(|line| format!("{}\n", line.trim_end()));
    let more = ladder.lines().count().saturating_sub(MOST_LINES);
    lines.chain((more > 0).then(|| format!("({more} more lines)\n"))).collect()
}
