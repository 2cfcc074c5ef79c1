//! `tcpx-lab sweep`: each mishap in turn, with all rules in place and without those that the
//! experiment removes.

use super::{find_all, success};
use anyhow::{Context, Result};
use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use tcpx_cli::{Cell, Fit, Table, TableFormat};
use tcpx_experiment::draw::{Format, drawn};
use tcpx_experiment::end::End;
use tcpx_experiment::experiment::Experiment;
use tcpx_experiment::oracle::Oracle;
use tcpx_experiment::sweep::{Break, Sweep, SweepOptions, sweep};

/// What to sweep over.
#[derive(Args, Clone, Debug)]
pub struct SweepArguments {
    /// Names of built-in experiments, or paths of files of your own
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Remove this rule at this end, such as a:time-wait (repeatable) [default: first nothing, then
    /// what each arm removes]
    #[arg(long, value_name = "END:RULE", value_parser = removal)]
    pub without: Vec<(End, String)>,
    /// Try one fault at a time only
    #[arg(long)]
    pub singles: bool,
    /// Seed all randomness
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Draw each run in which an oracle fails
    #[arg(long, conflicts_with = "format")]
    pub ladder: bool,
    /// Choose the format of the report
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: TableFormat,
}

fn removal(text: &str) -> Result<(End, String), String> {
    let (end, rule) = text.split_once(':').ok_or("for example: a:time-wait")?;
    match end {
        "a" => Ok((End::A, rule.to_owned())),
        "b" => Ok((End::B, rule.to_owned())),
        other => Err(format!("unknown host '{other}': a or b")),
    }
}

/// What was found without some rules.
#[derive(Serialize)]
struct Found {
    experiment: String,
    /// End and rule.
    without: Vec<(End, String)>,
    runs: usize,
    watched: Vec<Oracle>,
    breaks: Vec<Broken>,
}

/// An oracle that breaks, and the shortest way to break it.
#[derive(Serialize)]
struct Broken {
    oracle: Oracle,
    /// End and rule of the fault language.
    mishaps: Vec<(End, String)>,
    evidence: String,
}

impl Broken {
    /// Its mishaps in one line.
    fn mishaps(&self) -> String {
        let line: Vec<String> = self
            .mishaps
            .iter()
            .map(|(end, rule)| format!("{end}: {rule}"))
            .collect();
        line.join("; ")
    }
}

/// Sweeps and prints the findings. The exit status is 0 only when nothing broke with all rules in
/// place.
///
/// # Errors
/// An unknown name or rule, or something that cannot be written.
pub fn run(arguments: &SweepArguments, out: &mut impl Write) -> Result<ExitCode> {
    let mut sound = true;
    let mut all = Vec::new();
    for experiment in find_all(&arguments.names)? {
        let sets = if arguments.without.is_empty() {
            sets(&experiment)
        } else {
            vec![arguments.without.clone()]
        };
        for without in sets {
            let options = SweepOptions {
                without,
                pairs: !arguments.singles,
                seed: arguments.seed,
            };
            let swept = sweep(&experiment, &options)
                .with_context(|| format!("cannot sweep over {}", experiment.name))?;
            sound &= !options.without.is_empty() || swept.breaks.is_empty();
            let found = Found::new(&experiment, options.without, &swept);
            if arguments.format == TableFormat::Json {
                all.push(found);
                continue;
            }
            write!(out, "{}", found.table())?;
            if arguments.ladder {
                for broken in &swept.breaks {
                    writeln!(out, "\n{}", drawn(&broken.outcome, Format::Text))?;
                }
            }
        }
    }
    if arguments.format == TableFormat::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    }
    Ok(success(sound))
}

/// Nothing, and then what each treatment removes.
fn sets(experiment: &Experiment) -> Vec<Vec<(End, String)>> {
    let mut sets = vec![Vec::new()];
    for arm in experiment.arms.iter().filter(|arm| arm.treatment) {
        let of = |end: End| {
            arm.host(end)
                .without
                .iter()
                .map(move |name| (end, name.get_ref().clone()))
        };
        let set: Vec<(End, String)> = End::BOTH.into_iter().flat_map(of).collect();
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    sets
}

impl Found {
    fn new(experiment: &Experiment, without: Vec<(End, String)>, swept: &Sweep) -> Found {
        let broken = |found: &Break| {
            let evidence = found.finding.said();
            Broken {
                oracle: found.finding.oracle,
                mishaps: found.mishaps.clone(),
                evidence,
            }
        };
        Found {
            experiment: experiment.name.clone(),
            without,
            runs: swept.runs,
            watched: swept.watched.clone(),
            breaks: swept.breaks.iter().map(broken).collect(),
        }
    }

    /// For stdout. A terminal gets a heading and a row for each oracle that breaks; a pipe gets
    /// rows that have all of it.
    fn table(&self) -> String {
        let named: Vec<String> = self
            .without
            .iter()
            .map(|(end, rule)| format!("{end} without {rule}"))
            .collect();
        let rules = if named.is_empty() {
            "all rules in place".to_owned()
        } else {
            named.join(", ")
        };
        let watched: Vec<&str> = self.watched.iter().map(|oracle| oracle.name()).collect();
        let watched = watched.join(", ");
        if stdout().is_terminal() {
            self.on_terminal(rules, &watched)
        } else {
            self.on_pipe(rules, watched)
        }
    }

    fn on_pipe(&self, rules: String, watched: String) -> String {
        let columns = [
            "experiment",
            "rules",
            "runs",
            "watched",
            "breaks",
            "mishaps",
            "evidence",
        ];
        let mut table = Table::new(columns.map(|name| (name, Fit::Whole)));
        let common = [
            self.experiment.clone(),
            rules,
            self.runs.to_string(),
            watched,
        ];
        let mut row = |oracle: &str, mishaps: String, evidence: String| {
            let [experiment, rules, runs, watched] = common.clone().map(Cell::from);
            table.add([
                experiment,
                rules,
                runs,
                watched,
                oracle.into(),
                mishaps.into(),
                evidence.into(),
            ]);
        };
        for broken in &self.breaks {
            row(
                broken.oracle.name(),
                broken.mishaps(),
                broken.evidence.clone(),
            );
        }
        if self.breaks.is_empty() {
            row("nothing", String::new(), String::new());
        }
        table.on_stdout()
    }

    fn on_terminal(&self, rules: String, watched: &str) -> String {
        let mut head = Table::new([("", Fit::Whole), ("", Fit::Wrap), ("", Fit::Below)]);
        let runs = format!("{} runs, watched: {watched}", self.runs);
        head.add([
            Cell::styled(self.experiment.as_str(), Style::new().bold()),
            rules.into(),
            runs.into(),
        ]);
        let mut table = Table::new([("", Fit::Whole), ("", Fit::Wrap), ("", Fit::Below)]);
        for broken in &self.breaks {
            let oracle = Cell::styled(
                format!("  {} breaks", broken.oracle),
                AnsiColor::Red.on_default(),
            );
            table.add([
                oracle,
                broken.mishaps().into(),
                broken.evidence.as_str().into(),
            ]);
        }
        let nothing = if self.breaks.is_empty() {
            "  nothing breaks\n"
        } else {
            ""
        };
        head.on_stdout() + &table.on_stdout() + nothing
    }
}
