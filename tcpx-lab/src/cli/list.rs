//! The experiments as a table, or as JSON.

use super::{print, say};
use anyhow::Result;
use serde::Serialize;
use tcpx_cli::{Fit, Table, TableFormat};
use tcpx_experiment::experiment::{self, Experiment, World};

/// Prints a line or a JSON object for each built-in experiment, group by group.
///
/// # Errors
/// The list cannot be printed.
pub fn run(format: TableFormat) -> Result<()> {
    let mut experiments = experiment::built_in()?;
    experiments.sort_by_key(|experiment| experiment.group);
    match format {
        TableFormat::Text => print(&table(&experiments)),
        TableFormat::Json => {
            let entries: Vec<Entry<'_>> = experiments.iter().map(Entry::new).collect();
            say(&serde_json::to_string_pretty(&entries)?)
        }
    }
}

/// Name, group, title, question.
fn table(experiments: &[Experiment]) -> String {
    let mut table = Table::new([
        ("name", Fit::Whole),
        ("group", Fit::Whole),
        ("title", Fit::Cut),
        ("question", Fit::Cut),
    ]);
    for experiment in experiments {
        let Experiment {
            name,
            group,
            title,
            question,
            ..
        } = experiment;
        table.add([name.as_str(), group.name(), title.trim(), question.trim()].map(Into::into));
    }
    table.on_stdout()
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    title: &'a str,
    question: &'a str,
    group: &'a str,
    modes: &'a [String],
    tags: &'a [String],
    worlds: Vec<Availability>,
    arms: Vec<&'a str>,
    breaks: Vec<&'static str>,
}

/// A world, and why the experiment cannot run there.
#[derive(Serialize)]
struct Availability {
    world: World,
    #[serde(rename = "no")]
    reason: Option<String>,
}

impl<'a> Entry<'a> {
    fn new(experiment: &'a Experiment) -> Entry<'a> {
        let mut breaks: Vec<_> = experiment
            .arms
            .iter()
            .flat_map(|arm| &arm.breaks)
            .map(|oracle| oracle.get_ref().name())
            .collect();
        breaks.sort_unstable();
        breaks.dedup();
        Entry {
            name: &experiment.name,
            title: &experiment.title,
            question: &experiment.question,
            group: experiment.group.name(),
            modes: &experiment.modes,
            tags: &experiment.tags,
            worlds: World::ALL
                .map(|world| Availability {
                    world,
                    reason: experiment.unsupported(world),
                })
                .into(),
            arms: experiment
                .arms
                .iter()
                .map(|arm| arm.name.get_ref().as_str())
                .collect(),
            breaks,
        }
    }
}
