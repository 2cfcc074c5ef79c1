//! The page of an experiment, and the index.

use super::words::Words;
use super::{INDEX, MADE, Observed, observed};
use anyhow::Result;
use std::fmt::Write as _;
use tcpx_experiment::coverage::{self, Walked};
use tcpx_experiment::draw::{Format, drawn};
use tcpx_experiment::experiment::{Arm, Experiment, Scale, World};
use tcpx_experiment::verdict;
use tcpx_experiment::world::sim;

/// Lines of a ladder at the most.
const MOST_LINES: usize = 80;

/// By group with the titles, and by question.
pub(super) fn index(wanted: &[&Experiment], words: &Words) -> String {
    let mut text = format!(
        "{MADE} from tcpx-experiment/experiments/: edit those files. -->\n{}",
        words.head
    );
    let _infallible = write!(text, "\n## {}\n", words.by_group);
    for group in wanted.chunk_by(|a, b| a.group == b.group) {
        let heading = group
            .first()
            .map_or("", |first| words.groups[first.group as usize]);
        let _infallible = write!(text, "\n### {heading}\n\n");
        for experiment in group {
            let name = &experiment.name;
            let title = words.prose(experiment).title;
            let _infallible = writeln!(
                text,
                "- [{name}]({name}.md){}{}",
                words.separator,
                title.trim()
            );
        }
    }
    let _infallible = write!(text, "\n## {}\n\n", words.by_question);
    for experiment in wanted {
        let name = &experiment.name;
        let question = words.prose(experiment).question;
        let _infallible = writeln!(text, "- {} [{name}]({name}.md)", question.trim());
    }
    text
}

/// The page of an experiment.
pub(super) fn page(experiment: &Experiment, observed: &Observed, words: &Words) -> Result<String> {
    let prose = words.prose(experiment);
    let name = &experiment.name;
    let mut text = format!(
        "{MADE} from tcpx-experiment/experiments/{name}.toml: edit that file. -->\n[{}]({INDEX})",
        words.up
    );
    if experiment.zh.is_some() {
        let (directory, link) = words.other;
        let _infallible = write!(text, " · [{link}](../{directory}/{name}.md)");
    }
    let _infallible = write!(
        text,
        "\n\n# {name}{}{}\n\n",
        words.separator,
        prose.title.trim()
    );
    let _infallible = write!(
        text,
        "*{}*\n\n{}\n\n",
        prose.question.trim(),
        prose.story.trim()
    );
    let [textbook, rfc, linux, run] = words.labels;
    for (label, says) in [
        (textbook, &prose.textbook),
        (rfc, &prose.rfc),
        (linux, &prose.linux),
    ] {
        let _infallible = writeln!(text, "- **{label}**{}{}", words.separator, says.trim());
    }
    for world in World::ALL {
        if let Some(no) = words.unsupported(experiment, world) {
            let _infallible = writeln!(
                text,
                "- **{} ({})**{}{no}",
                words.not_shown,
                words.world(world),
                words.separator
            );
        }
    }
    let _infallible = write!(
        text,
        "- **{run}**{}`tcpx-lab run {name} --on all`\n\n",
        words.separator
    );
    let mut table = Runs {
        experiment,
        observed,
        words,
        rows: String::new(),
        ladders: Vec::new(),
        walked: Walked::default(),
    };
    table.fill()?;
    let _infallible = write!(
        text,
        "| {} |\n|---|---|---|---|\n{}",
        words.columns.join(" | "),
        table.rows
    );
    for (treatment, label) in [(true, words.without), (false, words.with)] {
        if let Some((arm, ladder)) = table
            .ladders
            .iter()
            .find(|(arm, _)| arm.treatment == treatment)
        {
            let arm = words.name(arm);
            let ladder = trimmed(ladder, words);
            let _infallible = write!(
                text,
                "\n{label}{}{arm}\n\n```text\n{ladder}```\n",
                words.separator
            );
        }
    }
    Ok(text)
}

/// The table of an experiment's runs, as it is made.
struct Runs<'a> {
    experiment: &'a Experiment,
    observed: &'a Observed,
    words: &'a Words,
    rows: String,
    /// Of the simulation.
    ladders: Vec<(&'a Arm, String)>,
    /// In the simulation.
    walked: Walked,
}

impl<'a> Runs<'a> {
    fn fill(&mut self) -> Result<()> {
        for arm in &self.experiment.arms {
            self.arm(arm)?;
        }
        if self.experiment.every_edge {
            let [name, expected] = self.words.together;
            let walked = self.words.joined(&self.walked.summary());
            self.row(World::Sim, name, expected, &walked);
            for world in observed::WORLDS {
                if let Some(shown) = self.observed.of(self.experiment, world, coverage::ARM) {
                    self.row(world, name, expected, &self.words.joined(shown));
                }
            }
        }
        Ok(())
    }

    /// An arm's line for each world.
    fn arm(&mut self, arm: &'a Arm) -> Result<()> {
        let name = if arm.treatment {
            format!("✂ {}", self.words.name(arm))
        } else {
            self.words.name(arm).to_owned()
        };
        if self.experiment.sim.is_none() {
            let plan = self.experiment.checked_plan(arm, Scale::Real)?;
            let outcome = sim::run(&plan, 1, false)?;
            let (_, _, happened) = verdict::judge(&plan, &outcome, 1.0);
            self.row(
                World::Sim,
                &name,
                self.words.expected(arm, World::Sim, &plan.expected),
                &self.words.joined(&happened),
            );
            self.walked.add(&outcome);
            self.ladders.push((arm, drawn(&outcome, Format::Text)));
        }
        for (world, scale) in [(World::Wire, Scale::Wire), (World::Kernel, Scale::Kernel)] {
            if self.experiment.unsupported(world).is_some() {
                continue;
            }
            let plan = self.experiment.checked_plan(arm, scale)?;
            let refused = if world == World::Kernel {
                self.words.refused(self.experiment, arm)
            } else {
                None
            };
            let not_run = refused
                .map(|reason| format!("{}{}{reason}", self.words.not_run, self.words.separator));
            let shown = self
                .observed
                .of(self.experiment, world, arm.name.get_ref())
                .map(|shown| self.words.joined(shown));
            if let Some(happened) = not_run.or(shown) {
                self.row(
                    world,
                    &name,
                    self.words.expected(arm, world, &plan.expected),
                    &happened,
                );
            }
        }
        Ok(())
    }

    fn row(&mut self, world: World, run: &str, expected: &str, happened: &str) {
        let [run, expected, happened] =
            [run, expected, happened].map(|text| text.replace('|', "\\|"));
        let _infallible = writeln!(
            self.rows,
            "| {} | {run} | {expected} | {happened} |",
            self.words.world(world)
        );
    }
}

/// Lines without blanks at their ends, and no more of them than a reader wants: a flood has
/// thousands.
fn trimmed(ladder: &str, words: &Words) -> String {
    let lines = ladder
        .lines()
        .take(MOST_LINES)
        .map(|line| format!("{}\n", line.trim_end()));
    let more = ladder.lines().count().saturating_sub(MOST_LINES);
    lines
        .chain((more > 0).then(|| format!("{}\n", words.more(more))))
        .collect()
}
