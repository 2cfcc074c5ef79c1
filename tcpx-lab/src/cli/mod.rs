//! What is asked of experiments on the command line: list them, explain one, run them.

pub mod demo;
pub mod doctor;
pub mod explain;
pub mod ladder;
pub mod list;
pub mod run;
pub mod sweep;

use anyhow::{Context, Result, bail};
use std::path::Path;
use tcpx_cli::input;
use tcpx_experiment::experiment::{self, Experiment};

/// The experiments that these names mean: built-in ones by name, others by the path of their file.
///
/// # Errors
/// A name that nothing has (the nearest is told), a file that cannot be read, or a mistake in one.
pub fn find(names: &[String]) -> Result<Vec<Experiment>> {
    names.iter().map(|name| one(name)).collect()
}

fn one(name: &str) -> Result<Experiment> {
    if let Some(found) = experiment::named(name)? {
        return Ok(found);
    }
    if name.contains('/') || name.ends_with(".toml") {
        let source = input::text_in(Path::new(name), input::SOURCE)
            .with_context(|| format!("cannot read {name}"))?;
        // What begins with a dash would be taken for an option.
        let place = if name.starts_with('-') {
            format!("./{name}")
        } else {
            name.to_owned()
        };
        return Ok(Experiment {
            place,
            ..Experiment::parse(name, &source)?
        });
    }
    match tcpx_proto::lexer::nearest(name, experiment::names()) {
        Some(nearest) => bail!(
            "there is no experiment '{name}'; did you mean '{nearest}'? `tcpx-lab list` has them all"
        ),
        None => bail!(
            "there is no experiment '{name}'; `tcpx-lab list` has them all, and a file of your own is named by its path"
        ),
    }
}
