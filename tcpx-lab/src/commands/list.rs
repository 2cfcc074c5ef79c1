//! The experiments as a table, or as JSON.

use crate::experiment::Experiment;
use crate::world::World;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// For a terminal.
pub fn table(experiments: &[Experiment]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["name", "question", "worlds", "breaks"]);
    for experiment in experiments {
        let entry = Entry::new(experiment);
        let worlds = entry.worlds.iter().map(|world| match &world.no {
            None => world.world.name().to_owned(),
            Some(no) => format!("not {}: {no}", world.world),
        });
        let worlds = worlds.collect::<Vec<_>>().join("\n");
        table.add_row([entry.name, entry.question, &worlds, &entry.breaks.join(", ")]);
    }
    table.to_string()
}

/// For programs.
///
/// # Errors
/// None that an experiment could cause.
pub fn json(experiments: &[Experiment]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&experiments.iter().map(Entry::new).collect::<Vec<_>>())
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    title: &'a str,
    question: &'a str,
    group: &'a str,
    modes: &'a [String],
    tags: &'a [String],
    worlds: Vec<Place>,
    arms: Vec<&'a str>,
    breaks: Vec<&'static str>,
}

/// A world, and why the experiment cannot be had there.
#[derive(Serialize)]
struct Place {
    world: World,
    no: Option<String>,
}

impl<'a> Entry<'a> {
    fn new(experiment: &'a Experiment) -> Entry<'a> {
        let mut breaks: Vec<_> = experiment.arms.iter().flat_map(|arm| &arm.breaks).map(|oracle| oracle.get_ref().name()).collect();
        breaks.sort_unstable();
        breaks.dedup();
        Entry {
            name: &experiment.name,
            title: &experiment.title,
            question: &experiment.question,
            group: experiment.group.name(),
            modes: &experiment.modes,
            tags: &experiment.tags,
            worlds: World::ALL.map(|world| Place { world, no: experiment.excuse(world) }).into(),
            arms: experiment.arms.iter().map(|arm| arm.name.get_ref().as_str()).collect(),
            breaks,
        }
    }
}
