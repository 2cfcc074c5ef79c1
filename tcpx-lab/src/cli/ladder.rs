//! Connections drawn from the events files of both ends, or of one.

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use tcpx_cli::input;
use tcpx_experiment::draw::{Format, draw};
use tcpx_experiment::trace::{Conversation, Log, pair};

/// Reads a file.
///
/// # Errors
/// It cannot be read, or it is not an events file.
pub fn read(path: &Path) -> Result<Log> {
    let text = input::text_in(path, input::RECORD)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Log::parse(&text).with_context(|| format!("{} is not an events file", path.display()))
}

/// The files and what to draw of them.
#[derive(Args, Debug)]
pub struct LadderArguments {
    /// Events file of the left end (written with --events), then of the right end
    #[arg(required = true, num_args = 1..=2, value_name = "EVENTS")]
    events: Vec<PathBuf>,
    /// Choose the format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Draw only this connection, counted from 1
    #[arg(long, value_name = "N")]
    only: Option<usize>,
}

/// Draws the conversations of these files, or only one of them.
///
/// # Errors
/// A file cannot be read, or there is nothing to draw.
pub fn run(arguments: &LadderArguments) -> Result<()> {
    let LadderArguments {
        events: files,
        format,
        only,
    } = arguments;
    let logs = files
        .iter()
        .map(|file| read(file))
        .collect::<Result<Vec<Log>>>()?;
    let (a, b) = match &logs[..] {
        [a, b] => (a, b),
        [a] => (a, &Log::none(a)),
        _ => bail!("one or two files"),
    };
    let conversations = pair(a, b);
    let wanted = (1..)
        .zip(&conversations)
        .filter(|(number, _)| only.is_none_or(|only| only == *number));
    let wanted: Vec<&Conversation> = wanted.map(|(_, conversation)| conversation).collect();
    ensure!(!conversations.is_empty(), "no connection is recorded in it");
    ensure!(
        !wanted.is_empty(),
        "there are {} connections",
        conversations.len()
    );
    ensure!(
        wanted.len() == 1 || *format != Format::Svg,
        "there are {} connections, and an SVG shows one: choose it with --only N",
        conversations.len()
    );
    for conversation in wanted {
        writeln!(anstream::stdout(), "{}", draw(conversation, *format))?;
    }
    for (log, file) in logs.iter().zip(files).filter(|(log, _)| log.truncated) {
        writeln!(
            anstream::stderr(),
            "The last line of {} ({}) is cut off: its writer was killed.",
            file.display(),
            log.role
        )?;
    }
    Ok(())
}
