//! `tcpx-lab sweep`: each mishap in turn, with all rules in place and without those that the experiment removes.

use super::find;
use crate::exchange::End;
use crate::experiment::Experiment;
use crate::picture::Format;
use crate::report::drawn;
use crate::sweep::{Options, Sweep, sweep};
use anyhow::{Context, Result};
use clap::Args;
use std::io::Write;

/// What to sweep over.
#[derive(Args, Clone, Debug)]
pub struct SweepArguments {
    /// Names of built-in experiments, or paths of files of your own
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Remove this rule at this end, such as a:time-wait (repeatable) [default: nothing, and then what each arm removes]
    #[arg(long, value_name = "END:RULE", value_parser = removal)]
    pub without: Vec<(End, String)>,
    /// One mishap at a time only
    #[arg(long)]
    pub singles: bool,
    /// Decides all chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

fn removal(text: &str) -> Result<(End, String), String> {
    let (end, rule) = text.split_once(':').ok_or("write it like a:time-wait")?;
    match end {
        "a" => Ok((End::A, rule.to_owned())),
        "b" => Ok((End::B, rule.to_owned())),
        other => Err(format!("'{other}' is no host: a or b")),
    }
}

/// Sweeps and tells what was found; `true`: with all rules in place nothing broke.
///
/// # Errors
/// An unknown name or rule, or something that cannot be written.
pub fn run(arguments: &SweepArguments, out: &mut impl Write) -> Result<bool> {
    let mut sound = true;
    for experiment in find(&arguments.names)? {
        let sets = if arguments.without.is_empty() { sets(&experiment) } else { vec![arguments.without.clone()] };
        for without in sets {
            let options = Options { without, pairs: !arguments.singles, seed: arguments.seed };
            let swept = sweep(&experiment, &options).with_context(|| format!("cannot sweep over {}", experiment.name))?;
            sound &= !options.without.is_empty() || swept.breaks.is_empty();
            tell(&experiment, &options, &swept, out)?;
        }
    }
    Ok(sound)
}

/// Nothing, and then what each treatment removes.
fn sets(experiment: &Experiment) -> Vec<Vec<(End, String)>> {
    let mut sets = vec![Vec::new()];
    for arm in experiment.arms.iter().filter(|arm| arm.treatment) {
        let of = |end: End| arm.host(end).without.iter().map(move |name| (end, name.get_ref().clone()));
        let set: Vec<(End, String)> = End::BOTH.into_iter().flat_map(of).collect();
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    sets
}

fn tell(experiment: &Experiment, options: &Options, swept: &Sweep, out: &mut impl Write) -> Result<()> {
    let named: Vec<String> = options.without.iter().map(|(end, rule)| format!("{end} without {rule}")).collect();
    let rules = if named.is_empty() { "all rules in place".to_owned() } else { named.join(", ") };
    let watched: Vec<&str> = swept.watched.iter().map(|oracle| oracle.name()).collect();
    writeln!(out, "{}, {rules}: {} runs, watched: {}", experiment.name, swept.runs, watched.join(", "))?;
    if swept.breaks.is_empty() {
        writeln!(out, "  nothing broke\n")?;
    }
    for found in &swept.breaks {
        let mishaps: Vec<String> = found.mishaps.iter().map(|(end, rule)| format!("{end}: {rule}")).collect();
        writeln!(out, "  {} breaks by [{}]: {}\n", found.finding.oracle, mishaps.join("; "), found.finding.said())?;
        writeln!(out, "{}", drawn(&found.outcome, Format::Text))?;
    }
    Ok(())
}
