//! The laboratory's command line.

use anyhow::Result;
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tcpx_cli::{self as cli, Shell, TableArguments, completions, man};
use tcpx_lab::cli::document::DocumentArguments;
use tcpx_lab::cli::ladder::LadderArguments;
use tcpx_lab::cli::netns::NetnsTask;
use tcpx_lab::cli::nft::NftArguments;
use tcpx_lab::cli::play::PlayArguments;
use tcpx_lab::cli::run::RunArguments;
use tcpx_lab::cli::sweep::SweepArguments;
use tcpx_lab::cli::{
    clean_rules, demo, doctor, document, explain, ladder, list, netns, nft, play, run, sweep,
};
use tcpx_lab::netns_daemon;

const EXAMPLES: &str = "Examples:
  tcpx-lab demo
      three experiments, as root or not
  tcpx-lab run last-ack-lost-no-time-wait --on sim --ladder
      one experiment, judged and drawn; --on all needs network namespaces
  tcpx-lab explain two-way-handshake-deadlock
      its story, the RFC's text, and the commands to reproduce it by hand";

/// Show what each rule of TCP is for
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show handshake and close, then what happens without the third ACK and without TIME-WAIT
    Demo,
    /// Draw a connection from both ends' events files, on two clocks, or from one end's file
    Ladder(LadderArguments),
    /// Report what works on this machine and how to fix what does not
    Doctor(TableArguments),
    /// List the experiments: name, group, title, question
    List(TableArguments),
    /// Explain an experiment: its story, the RFC's text, and how to reproduce it by hand
    Explain {
        /// Name, or path of a file of your own
        name: String,
    },
    /// Run experiments, without the rule and with it, and judge the results
    #[command(after_help = "Examples:
  tcpx-lab run last-ack-lost-no-time-wait --on all
  tcpx-lab run --all --on sim --format junit > report.xml
  tcpx-lab run ./mine.toml --on wire --keep runs --ladder

The exit status is 0 only when every verdict is as expected.")]
    Run(RunArguments),
    /// Drop, duplicate and delay each segment of a run, one at a time and then in pairs, and report
    /// which oracles fail
    Sweep(SweepArguments),
    /// Write the documents of all experiments, from their files and from the recorded observations
    #[command(hide = true)]
    Document(DocumentArguments),
    /// List the rules that can be removed
    Rules(TableArguments),
    /// Print fault rules as an nftables table, for a run between two kernels
    ///
    /// Load the table with nft -f in both hosts' namespaces: each packet is judged where it
    /// arrives. A rule that nftables cannot express is refused with the reason; see docs/faults.md.
    Nft(NftArguments),
    /// Write the manual pages
    #[command(hide = true)]
    Man {
        /// Directory to write to
        directory: PathBuf,
    },
    /// Write a shell's completions
    #[command(hide = true)]
    Completions {
        /// Shell
        shell: Shell,
    },
    /// Remove firewall rules of tcpx processes that no longer run
    CleanRules,
    /// Manage two connected namespaces that stay until they are removed
    Netns {
        #[command(subcommand)]
        task: NetnsTask,
    },
    /// Report what works in namespaces, for doctor
    #[command(hide = true)]
    Probe,
    /// Hold the namespaces until killed
    #[command(hide = true)]
    Hold,
    /// Play a script on the kernel's TCP
    #[command(hide = true)]
    Play(PlayArguments),
}

/// The command line.
fn command() -> Command {
    cli::with_examples(Arguments::command(), EXAMPLES)
}

fn main() -> ExitCode {
    cli::await_children();
    let arguments =
        Arguments::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    match run(arguments.task) {
        Ok(code) => code,
        Err(error) if unread(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _unread = writeln!(anstream::stderr(), "tcpx-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Demo => demo::run(&mut anstream::stdout())?,
        Task::Ladder(arguments) => ladder::run(&arguments)?,
        Task::Doctor(arguments) => return doctor::run(arguments.format),
        Task::List(arguments) => list::run(arguments.format)?,
        Task::Explain { name } => explain::run(&name)?,
        Task::Run(arguments) => return run::run(&arguments, &mut anstream::stdout()),
        Task::Sweep(arguments) => return sweep::run(&arguments, &mut anstream::stdout()),
        Task::Document(arguments) => document::run(&arguments)?,
        Task::Rules(arguments) => write!(anstream::stdout(), "{}", cli::rules(arguments.format))?,
        Task::Nft(arguments) => return nft::run(&arguments),
        Task::Man { directory } => man(&command(), &directory)?,
        Task::Completions { shell } => {
            io::stdout().write_all(&completions(&mut command(), shell))?;
        }
        Task::CleanRules => clean_rules::run()?,
        Task::Netns { task } => netns::run(&task)?,
        Task::Probe => doctor::run_probe()?,
        Task::Hold => netns_daemon::hold(),
        Task::Play(arguments) => play::run(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether stdout's reader closed it, as `| head` does: no failure.
fn unread(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
