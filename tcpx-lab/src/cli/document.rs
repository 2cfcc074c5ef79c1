//! The documents of all experiments, written to a directory.

use super::say;
use crate::document::{self, Language};
use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::path::PathBuf;
use tcpx_cli::input;
use tcpx_experiment::experiment;

/// What to write.
#[derive(Args, Debug)]
pub struct DocumentArguments {
    /// Directory to write to
    directory: PathBuf,
    /// Update the generated parts of this README
    #[arg(long, value_name = "FILE")]
    readme: Option<PathBuf>,
    /// Language
    #[arg(long, value_enum, default_value = "en")]
    language: Language,
}

/// Writes the documents and prints which files changed.
///
/// # Errors
/// A file cannot be read or written, or the README lacks a marker.
pub fn run(arguments: &DocumentArguments) -> Result<()> {
    let language = arguments.language;
    let pages = document::pages(&experiment::built_in()?, &document::observed()?, language)?;
    for change in document::write(&arguments.directory, &pages)? {
        say(&change)?;
    }
    let Some(readme) = &arguments.readme else {
        return Ok(());
    };
    let text = input::text_in(readme, input::SOURCE)
        .with_context(|| format!("cannot read {}", readme.display()))?;
    let renewed = document::renewed(&text, &pages)
        .with_context(|| format!("cannot update {}", readme.display()))?;
    if renewed != text {
        fs::write(readme, renewed).with_context(|| format!("cannot write {}", readme.display()))?;
        say(&format!("{}: written", readme.display()))?;
    }
    Ok(())
}
