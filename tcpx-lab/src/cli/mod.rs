//! The commands, a file for each: its arguments, and what it prints.

pub mod clean_rules;
pub mod demo;
pub mod doctor;
pub mod document;
pub mod explain;
pub mod ladder;
pub mod list;
pub mod netns;
pub mod nft;
pub mod play;
pub mod run;
pub mod sweep;

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use tcpx_cli::input;
use tcpx_experiment::experiment::{self, Experiment};

fn print(text: &str) -> Result<()> {
    Ok(write!(anstream::stdout(), "{text}")?)
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(anstream::stdout(), "{text}")?)
}

fn success(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn find_all(names: &[String]) -> Result<Vec<Experiment>> {
    names.iter().map(|name| find(name)).collect()
}

/// The built-in experiment of this name, or the one in the file at this path.
fn find(name: &str) -> Result<Experiment> {
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
            "there is no experiment '{name}'; did you mean '{nearest}'? `tcpx-lab list` shows them \
             all"
        ),
        None => bail!(
            "there is no experiment '{name}'; `tcpx-lab list` shows them all; give a file of your \
             own by its path"
        ),
    }
}
