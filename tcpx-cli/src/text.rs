//! The programs' own documentation: the end of `--help`, the rules that can be removed, manual
//! pages, completions.

use crate::table::{self, Cell, Fit, Table, TableArguments, TableFormat, wrapped};
use clap::builder::styling::Style;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use clap_complete::Shell;
use rustix::termios::{isatty, tcgetwinsize};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tcpx::link;
use tcpx_proto::config::{DIFFERENCES, LINUX_DIFFERENCES, NAMED_DIFFERENCES, Profile};
use tcpx_proto::preset::{PRESETS, Preset};

/// The exit statuses of both binaries, as the end of their help.
pub const fn exit_codes() -> &'static str {
    "Exit status, of the worst connection:
  0  clean close; also Ctrl-C in TIME-WAIT, and a requested abort or silence
  1  anything not listed here          2  wrong command line
  3  refused                           4  timed out: connect, R2, user timeout, keepalive
  5  reset by the peer                 6  a privilege is missing, or the guard does not hold
  7  address in use                    8  unreachable
  129, 130, 143  after cleaning up on SIGHUP, SIGINT, SIGTERM (one that was ignored at the start, as under nohup, stays ignored)

SIGUSR1 lists every connection on stderr: state, queues, addresses, age, next timer, and what ss -i shows; with --status as JSON, too."
}

/// The rules that can be removed, for stdout: the name, where it is written, what it says, what
/// breaks, what shows it.
pub fn rules(format: TableFormat) -> String {
    if format == TableFormat::Json {
        let rule = |Preset {
                        name,
                        requirement,
                        removes,
                        breaks,
                        experiment,
                        ..
                    }: &Preset| json!({ "name": name, "requirement": requirement, "removes": removes, "breaks": breaks, "experiment": experiment });
        return format!("{:#}\n", PRESETS.iter().map(rule).collect::<Value>());
    }
    let columns = [
        ("", Fit::Whole),
        ("", Fit::Wrap),
        ("", Fit::Below),
        ("without it", Fit::Below),
        ("shown by", Fit::Below),
    ];
    let mut table = Table::new(columns);
    for Preset {
        name,
        requirement,
        removes,
        breaks,
        experiment,
        ..
    } in PRESETS
    {
        table.add([
            Cell::styled(*name, Style::new().bold()),
            (*requirement).into(),
            (*removes).into(),
            (*breaks).into(),
            (*experiment).into(),
        ]);
    }
    table.on_stdout()
}

/// Subcommands that replace the program's work.
const RULES: &str = "rules";
const ALIVE: &str = "alive";
const MAN: &str = "man";
const COMPLETIONS: &str = "completions";

/// The order of a help: examples come first, so that they stand on its first screen.
const TEMPLATE: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// A command whose help shows these examples before anything else.
pub fn with_examples(command: Command, examples: &'static str) -> Command {
    let command = command.before_help(examples).help_template(TEMPLATE);
    match assumed_width() {
        Some(width) => command.term_width(width),
        None => command,
    }
}

/// How wide to take a terminal that says it has no columns, as script(1) and serial consoles do;
/// `None`: it says how wide it is, or there is none.
fn assumed_width() -> Option<usize> {
    let columns =
        |fd: BorrowedFd<'_>| isatty(fd).then(|| tcgetwinsize(fd).map_or(0, |size| size.ws_col));
    let output = io::stdout();
    let errors = io::stderr();
    let input = io::stdin();
    let terminal = [output.as_fd(), errors.as_fd(), input.as_fd()]
        .into_iter()
        .find(|fd| columns(*fd).is_some())?;
    (columns(terminal) == Some(0)).then(|| table::width(terminal))
}

/// The command line of one of the pair: its flags, the end of its help, and what can be asked
/// instead.
pub fn command(flags: Command, examples: &'static str) -> Command {
    let shell = Arg::new("shell")
        .required(true)
        .value_parser(value_parser!(Shell));
    let rules = TableArguments::augment_args(Command::new(RULES));
    let rules = rules
        .about("List the rules that --without removes, and what breaks without each")
        .long_about(None);
    let directory = Arg::new("directory")
        .required(true)
        .value_parser(value_parser!(PathBuf));
    with_examples(flags, examples)
        .after_long_help(after_help())
        .subcommand(rules)
        .subcommand(
            Command::new(ALIVE).about(
                "Check whether a tcpx is running in this network namespace: exit status 0 or 1",
            ),
        )
        .subcommand(
            Command::new(MAN)
                .about("Write the manual pages")
                .arg(directory)
                .hide(true),
        )
        .subcommand(
            Command::new(COMPLETIONS)
                .about("Write a shell's completions")
                .arg(shell)
                .hide(true),
        )
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
}

/// Runs a subcommand instead of the program's work; `None`: there is none.
pub fn answer(command: &mut Command, matches: &ArgMatches) -> Option<ExitCode> {
    let said = match matches.subcommand()? {
        (MAN, asked) => man(command, asked.get_one::<PathBuf>("directory")?),
        (COMPLETIONS, asked) => {
            io::stdout().write_all(&completions(command, *asked.get_one::<Shell>("shell")?))
        }
        (ALIVE, _) => alive(),
        (_, asked) => {
            let format = TableArguments::from_arg_matches(asked)
                .map_or_else(|error| error.exit(), |arguments| arguments.format);
            anstream::stdout().write_all(rules(format).as_bytes())
        }
    };
    match said {
        // A reader that closed the pipe has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _nobody_reads_stderr = writeln!(io::stderr(), "{}: {error}", command.get_name());
            Some(ExitCode::FAILURE)
        }
        _ => Some(ExitCode::SUCCESS),
    }
}

/// The health check of a container. It looks, and does not connect: that would be in the records of
/// the connections under study.
fn alive() -> io::Result<()> {
    match link::is_open_here()? {
        true => Ok(()),
        false => Err(io::Error::other(
            "no tcpx is running in this network namespace: it has not started, has exited, or runs \
             elsewhere",
        )),
    }
}

/// Writes the manual pages of a program, one for itself and one for each of its subcommands, into a
/// directory.
///
/// # Errors
/// They could not be written.
pub fn man(command: &Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // A manual page has its examples at the end.
    let end = [command.get_before_help(), command.get_after_long_help()]
        .into_iter()
        .flatten()
        .map(ToString::to_string);
    let end = end.collect::<Vec<_>>().join("\n\n");
    clap_mangen::generate_to(
        command
            .clone()
            .after_long_help(end)
            .disable_help_subcommand(true),
        directory,
    )
}

/// A shell's completions.
pub fn completions(command: &mut Command, shell: Shell) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    script
}

/// The end of the long help.
fn after_help() -> String {
    let mut text = String::from("Rules that --without removes:\n");
    for preset in PRESETS {
        let Preset {
            name,
            removes,
            requirement,
            breaks,
            ..
        } = preset;
        push_item(&mut text, &format!("{name}: {removes} ({requirement})"));
        push_lines(&mut text, &format!("without it: {breaks}"), ["    "; 2]);
    }
    text.push_str("\nWhere the linux profile departs from the RFCs:\n");
    for row in DIFFERENCES.iter().filter(|row| row.is_in(Profile::Linux)) {
        push_item(&mut text, &format!("{} ({})", row.text, row.requirement));
    }
    text.push_str("\nWhere the linux profile still differs from Linux 6.18:\n");
    for difference in LINUX_DIFFERENCES {
        push_item(&mut text, difference);
    }
    for (_, reason) in NAMED_DIFFERENCES {
        push_item(&mut text, reason);
    }
    let _infallible = write!(text, "\n{}", exit_codes());
    text
}

/// One item of a list, wrapped, with the continuation indented.
fn push_item(text: &mut String, item: &str) {
    push_lines(text, item, ["  ", "    "]);
}

/// Text wrapped for any terminal of 80 columns or more; the first line and the others are indented.
fn push_lines(text: &mut String, item: &str, [first, others]: [&str; 2]) {
    for (at, line) in wrapped(item, 76).iter().enumerate() {
        text.push_str(if at == 0 { first } else { others });
        text.push_str(line);
        text.push('\n');
    }
}
