//! The laboratory's command line.

use anyhow::{Context, Result};
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tcpx_cli::{self as cli, Failure, Shell, TableArguments, TableFormat, completions, input, man};
use tcpx_experiment::draw::Format;
use tcpx_experiment::experiment;
use tcpx_lab::cli::run::RunArguments;
use tcpx_lab::cli::sweep::SweepArguments;
use tcpx_lab::cli::{demo, doctor, explain, find, ladder, list};
use tcpx_lab::document::{self, Language};
use tcpx_lab::linux::nft::{self, Own};
use tcpx_lab::linux::player;
use tcpx_lab::netns_daemon;
use tcpx_proto::fault::FaultRule;
use tcpx_proto::lexer::Mistake;

const EXAMPLES: &str = "Examples:
  tcpx-lab demo
      three experiments, as root or not
  tcpx-lab run last-ack-lost-no-time-wait --on sim --ladder
      one experiment, judged and drawn; --on all needs network namespaces
  tcpx-lab explain two-way-handshake-deadlock
      its story, what the RFC says, and the commands to do it by hand";

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
    /// Draw a connection from both ends' events files, on two clocks, or from one end's alone
    Ladder {
        /// Events file of the left end (written with --events), and of the right end
        #[arg(required = true, num_args = 1..=2, value_name = "EVENTS")]
        events: Vec<PathBuf>,
        /// Choose the format
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Draw only this connection, counted from 1
        #[arg(long, value_name = "N")]
        only: Option<usize>,
    },
    /// Report what works on this machine and how to fix what does not
    Doctor(TableArguments),
    /// List the experiments: name, group, title, question
    List(TableArguments),
    /// Explain an experiment: its story, the RFC's text, and how to do it by hand
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
    Document {
        /// Directory to write to
        directory: PathBuf,
        /// Update the generated parts of this README
        #[arg(long, value_name = "FILE")]
        readme: Option<PathBuf>,
        /// Language
        #[arg(long, value_enum, default_value = "en")]
        language: Language,
    },
    /// List the rules that can be removed
    Rules(TableArguments),
    /// Print fault rules as an nftables table, for a run between two kernels
    ///
    /// Load the table with nft -f in both hosts' namespaces: each packet is judged where it arrives. A
    /// rule that nftables cannot express is refused with the reason; see docs/faults.md.
    Nft {
        /// Rule, such as 'drop out fin'; the first match wins
        #[arg(value_name = "RULE", required = true)]
        rules: Vec<String>,
        /// Address of the host that the rules are for: its packets go out
        #[arg(long, value_name = "ADDR")]
        address: IpAddr,
        /// Port of that host [default: any]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
    },
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
        task: Netns,
    },
    /// What doctor does in a child
    #[command(hide = true)]
    Probe,
    /// What keeps the namespaces
    #[command(hide = true)]
    Hold,
    /// What plays a script on the kernel's TCP
    #[command(hide = true)]
    Play {
        /// Its own end; port 0: any
        #[arg(long)]
        own: SocketAddr,
        /// Whom `connect` means
        #[arg(long)]
        peer: Option<SocketAddr>,
        /// What it calls itself in its record
        #[arg(long)]
        role: tcpx_proto::trace::Role,
        /// The flags of the pair: a few of them are options of the kernel's sockets, too
        #[command(flatten)]
        common: Box<cli::Common>,
    },
}

#[derive(Subcommand)]
enum Netns {
    /// Create them
    Up,
    /// Run a command, or a shell, in the client's
    Client {
        /// Command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run a command, or a shell, in the server's
    Server {
        /// Command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Remove them
    Down,
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
            let _nobody_reads_stderr = writeln!(anstream::stderr(), "tcpx-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Demo => demo::run(&mut anstream::stdout())?,
        Task::Ladder {
            events,
            format,
            only,
        } => ladder::ladder(&events, format, only)?,
        Task::Doctor(arguments) => return examine(arguments.format),
        Task::List(arguments) => print(&list::list(&experiment::built_in()?, arguments.format)?)?,
        Task::Explain { name } => find(&[name])?
            .iter()
            .try_for_each(|experiment| say(explain::explain(experiment)?.trim_end()))?,
        Task::Run(arguments) => {
            let good = tcpx_lab::cli::run::run(&arguments, &mut anstream::stdout())?;
            return Ok(if good {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Task::Sweep(arguments) => {
            let sound = tcpx_lab::cli::sweep::run(&arguments, &mut anstream::stdout())?;
            return Ok(if sound {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Task::Document {
            directory,
            readme,
            language,
        } => write_document(&directory, readme.as_deref(), language)?,
        Task::Rules(arguments) => print(&cli::rules(arguments.format))?,
        Task::Nft {
            rules,
            address,
            port,
        } => {
            return nft_table(
                &rules,
                Own {
                    address,
                    ports: port.map_or(0..=u16::MAX, |port| port..=port),
                },
            );
        }
        Task::Man { directory } => man(&command(), &directory)?,
        Task::Completions { shell } => {
            io::stdout().write_all(&completions(&mut command(), shell))?
        }
        Task::CleanRules => clean_rules()?,
        Task::Netns { task: Netns::Up } => netns_daemon::up()?,
        Task::Netns {
            task: Netns::Client { command },
        } => netns_daemon::enter(0, &command)?,
        Task::Netns {
            task: Netns::Server { command },
        } => netns_daemon::enter(1, &command)?,
        Task::Netns { task: Netns::Down } => netns_daemon::down()?,
        Task::Probe => say(&serde_json::to_string(&doctor::probe())?)?,
        Task::Hold => netns_daemon::hold(),
        Task::Play {
            own,
            peer,
            role,
            common,
        } => {
            let settings = common
                .knobs
                .settings()
                .map_err(|failure| anyhow::anyhow!(failure.message))?;
            player::play(
                player::PlayerConfig {
                    own,
                    peer,
                    options: player::SocketOptions::of(&settings.config.conn),
                },
                role,
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says which files it changed.
fn write_document(directory: &Path, readme: Option<&Path>, language: Language) -> Result<()> {
    let pages = document::pages(&experiment::built_in()?, &document::observed()?, language)?;
    document::write(directory, &pages)?
        .iter()
        .try_for_each(|did| say(did))?;
    let Some(readme) = readme else { return Ok(()) };
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

fn print(text: &str) -> Result<()> {
    Ok(write!(anstream::stdout(), "{text}")?)
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(anstream::stdout(), "{text}")?)
}

/// Whether stdout's reader went away, as `| head` does: no failure.
fn unread(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The exit status is 1 where even the simplest way, a pair of namespaces or a raw socket, is
/// closed.
fn examine(format: TableFormat) -> Result<ExitCode> {
    let checks = doctor::examine();
    match format {
        TableFormat::Text => print(&doctor::table(&checks))?,
        TableFormat::Json => say(&serde_json::to_string_pretty(&checks)?)?,
    }
    let usable = |name: &str| checks.iter().any(|check| check.name == name && check.works);
    let works = usable("NET_RAW") || usable("network namespaces");
    Ok(if works {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The exit status is 2 for a mistake in a rule, and for one that nftables cannot do.
fn nft_table(lines: &[String], own: Own) -> Result<ExitCode> {
    let refused = |line: &str, mistake: &Mistake| cli::underlined("RULE", line, mistake);
    let rules: Result<Vec<FaultRule>, Failure> = lines
        .iter()
        .map(|line| FaultRule::parse(line).map_err(|mistake| refused(line, &mistake)))
        .collect();
    let table = rules.and_then(|rules| {
        nft::table(&rules, &own).map_err(|(rule, mistake)| refused(&rule.text, &mistake))
    });
    match table {
        Ok(table) => say(&table)?,
        Err(failure) => return Ok(cli::finish("tcpx-lab", Err(failure))),
    }
    Ok(ExitCode::SUCCESS)
}

fn clean_rules() -> Result<()> {
    let removed = tcpx::guard::sweep()?;
    removed
        .iter()
        .try_for_each(|rule| say(&format!("removed: {rule}")))?;
    say(&format!("{} left-over rules removed", removed.len()))
}
