//! Runs experiments, shows the progress and prints the report.

use super::{find_all, success};
use crate::document::Observed;
use crate::report::{self, Format, counts, keep};
use crate::runner::{self, RunOptions};
use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tcpx::LinkKind;
use tcpx::netns::root;
use tcpx_cli::input;
use tcpx_experiment::draw;
use tcpx_experiment::experiment::{self, Experiment, World};
use tcpx_experiment::report::Report;
use tcpx_experiment::verdict::Verdict;
use tcpx_proto::lexer::{did_you_mean, nearest};

/// Which experiments, where and how.
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// Names of built-in experiments, or paths of files of your own
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "tag", "stale"])]
    pub names: Vec<String>,
    /// Run all built-in experiments
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Run the experiments with this tag, such as quick or article
    #[arg(long, value_name = "TAG", conflicts_with_all = ["names", "all"])]
    pub tag: Option<String>,
    /// Choose the worlds
    #[arg(
        long,
        value_name = "WORLD",
        value_delimiter = ',',
        default_value = "sim"
    )]
    pub on: Vec<Selection>,
    /// Choose the link of our programs on the wire and against Linux
    #[arg(long, value_name = "LINK", value_parser = tcpx_cli::link(), default_value = "raw")]
    pub link: LinkKind,
    /// Seed all randomness
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write events, captures, ladders and verdict of each run below DIR
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Also draw each run
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "text")]
    pub ladder: Option<draw::Format>,
    /// Choose the format of the report
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
    /// Number of concurrent runs on the wire and against Linux, where they mostly sleep
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Stretch limits and upper bounds by this factor, for a loaded machine
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub slow: f64,
    /// Add the observations from the wire and from Linux to FILE, from which the documents are
    /// generated
    #[arg(long, value_name = "FILE", hide = true)]
    pub observe: Option<PathBuf>,
    /// Run the experiments that FILE lacks or has recorded from another version of their file
    #[arg(long, hide = true, requires = "observe", conflicts_with_all = ["names", "all", "tag"])]
    pub stale: bool,
    /// Fail if one of these worlds is unavailable here
    #[arg(long, value_name = "WORLD", value_delimiter = ',')]
    pub require: Vec<World>,
}

/// A world, or all of them.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
pub enum Selection {
    /// Two hosts on a virtual clock
    Sim,
    /// The two binaries in two network namespaces
    Wire,
    /// One binary, and this machine's Linux
    Kernel,
    /// All three
    All,
}

impl Selection {
    fn worlds(self) -> Vec<World> {
        match self {
            Selection::Sim => vec![World::Sim],
            Selection::Wire => vec![World::Wire],
            Selection::Kernel => vec![World::Kernel],
            Selection::All => World::ALL.to_vec(),
        }
    }
}

/// Runs them and prints the report. The exit status is 0 only when every verdict is as expected.
/// It must be called before the process has a second thread.
///
/// # Errors
/// An unknown name, a mistake in a file, or something that cannot be written.
pub fn run(arguments: &RunArguments, out: &mut impl Write) -> Result<ExitCode> {
    let experiments = chosen(arguments)?;
    let mut worlds: Vec<World> = arguments
        .on
        .iter()
        .flat_map(|place| place.worlds())
        .collect();
    worlds.sort_unstable();
    worlds.dedup();
    let refused = if worlds == [World::Sim] {
        None
    } else {
        root::acquire().err()
    };
    let options = RunOptions {
        worlds,
        refused: refused.map(|refusal| refusal.to_string()),
        link: arguments.link,
        seed: arguments.seed,
        slow: arguments.slow,
        jobs: arguments.jobs.into(),
        keep: arguments.keep.is_some(),
    };
    let reports = with_progress(&experiments, &options);
    let mut verdicts: Vec<Verdict> = reports
        .iter()
        .map(|report| report.verdict.clone())
        .collect();
    demand(&mut verdicts, &arguments.require);
    if let Some(directory) = &arguments.keep {
        keep(directory, &reports)?;
    }
    if let Some(file) = &arguments.observe {
        observe(file, &experiments, &verdicts)?;
    }
    if let Some(format) = arguments.ladder {
        draw(&reports, format, out)?;
    }
    write!(out, "{}", report::format(&verdicts, arguments.format)?)?;
    if arguments.format == Format::Text {
        writeln!(out, "{}", counts(&verdicts))?;
    }
    Ok(success(verdicts.iter().all(Verdict::is_good)))
}

fn chosen(arguments: &RunArguments) -> Result<Vec<Experiment>> {
    if !(0.1..=1000.0).contains(&arguments.slow) {
        bail!("--slow is a factor from 0.1 to 1000");
    }
    let chosen = match &arguments.tag {
        Some(tag) => experiment::built_in()?
            .into_iter()
            .filter(|experiment| experiment.tags.contains(tag))
            .collect(),
        None if arguments.all => experiment::built_in()?,
        None if arguments.stale => {
            let file = arguments
                .observe
                .as_deref()
                .context("--stale needs --observe")?;
            let all = experiment::built_in()?;
            let stale = known(file)?.stale(&all);
            all.into_iter()
                .filter(|experiment| stale.contains(&experiment.name))
                .collect()
        }
        None => find_all(&arguments.names)?,
    };
    match (&arguments.tag, chosen.is_empty()) {
        (Some(tag), true) => {
            let known = experiment::built_in()?
                .into_iter()
                .flat_map(|experiment| experiment.tags)
                .collect::<Vec<String>>();
            let nearest = nearest(tag, known.iter().map(String::as_str))
                .map(|name| format!("; {}", did_you_mean(name)));
            bail!(
                "no experiment has the tag '{tag}'{}",
                nearest.unwrap_or_default()
            )
        }
        _ => Ok(chosen),
    }
}

/// A world that is required and was not had is a failure.
fn demand(verdicts: &mut [Verdict], required: &[World]) {
    for verdict in verdicts
        .iter_mut()
        .filter(|verdict| required.contains(&verdict.world) && verdict.unavailable)
    {
        verdict.wrong.extend(
            verdict
                .skipped
                .iter()
                .map(|why| format!("required, and not run: {why}")),
        );
    }
}

fn with_progress(experiments: &[Experiment], options: &RunOptions) -> Vec<Report> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {bar:30} {elapsed} {msg}") {
        bar.set_style(style);
    }
    let reports = runner::run(experiments, options, |done, all, verdict| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        bar.set_message(format!("{} on {}", verdict.experiment, verdict.world));
    });
    bar.finish_and_clear();
    reports
}

/// What a file of observations has; nothing, if there is none yet.
fn known(file: &Path) -> Result<Observed> {
    match input::text_in(file, input::RECORD) {
        Ok(text) => Observed::parse(&text)
            .with_context(|| format!("{} is not a file of observations", file.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Observed::default()),
        Err(error) => bail!("cannot read {}: {error}", file.display()),
    }
}

/// Adds what was seen to a file that was made so.
fn observe(file: &Path, experiments: &[Experiment], verdicts: &[Verdict]) -> Result<()> {
    let mut observed = known(file)?;
    observed.add(experiments, verdicts);
    fs::write(file, observed.text()?).with_context(|| format!("cannot write {}", file.display()))
}

fn draw(reports: &[Report], format: draw::Format, out: &mut impl Write) -> Result<()> {
    for report in reports {
        let Some(outcome) = &report.outcome else {
            continue;
        };
        let verdict = &report.verdict;
        writeln!(
            out,
            "{} on {}: {}\n\n{}",
            verdict.experiment,
            verdict.world,
            verdict.arm,
            draw::drawn(outcome, format)
        )?;
    }
    Ok(())
}
