//! From settings to a running host: observers, link, and the end of the run.

use crate::app::AppError;
use crate::capture::Capture;
use crate::connections;
use crate::failure::{Failure, coloured, exit_code, with_hint};
use crate::flags::Common;
use crate::live::{Display, Live};
use crate::signals;
use crate::spans::Spans;
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use tcpx::Ports;
use tcpx::host::{Host, HostOptions};
use tcpx::link::{Link, LinkOptions};
use tcpx::privileges;
use tcpx::record::{BackgroundWriter, Events, Failures, Observer, Recorder, Sink, Start};
use tcpx_proto::config::{Config, HeldOutput, Profile};
use tcpx_proto::fault::FaultRule;
use tcpx_proto::knob::Settings;
use tcpx_proto::state::State;
use tcpx_proto::trace::Role;
use tracing_subscriber::EnvFilter;

/// What the flags request, before anything is opened.
#[derive(Debug)]
pub struct Session {
    /// The stack's configuration.
    pub config: Config,
    rules: Vec<FaultRule>,
    seed: u64,
    role: Role,
    profile: Profile,
    common: Common,
    /// Records that could not be written.
    pub failures: Failures,
    /// stderr, with the countdown.
    pub display: Display,
}

impl Session {
    /// Checks the flags.
    ///
    /// # Errors
    /// An unknown rule or a mistake in a fault, underlined; no random seed to be had.
    pub fn new(common: &Common, role: Role) -> Result<Session, Failure> {
        let Settings {
            profile,
            config,
            rules,
        } = common.knobs.settings()?;
        apart(common)?;
        signals::await_children();
        let seed = match common.seed {
            Some(seed) => seed,
            None => {
                tcpx::host::random_seed().map_err(Failure::io("read the system's random source"))?
            }
        };
        let failures = Failures::default();
        let display = Display::default();
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        let shared = display.clone();
        let colour = coloured();
        // A program that has a subscriber already keeps it.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(colour)
            .with_writer(move || shared.clone())
            .try_init();
        Ok(Session {
            config,
            rules,
            seed,
            role,
            profile,
            common: common.clone(),
            failures,
            display,
        })
    }

    /// Opens the link and the files, then drops every privilege. Before any thread exists.
    ///
    /// # Errors
    /// Those of [`Link::open`]; a file that cannot be made.
    pub fn open(&self, local: IpAddr, ports: Ports) -> Result<(Link, HostOptions), Failure> {
        let files = [
            open(self.common.events.as_deref())?,
            open(self.common.pcap.as_deref())?,
        ];
        let link = Link::open(LinkOptions {
            kind: self.common.link,
            guard: self.common.rst_guard,
            mark: self.common.mark,
            ..LinkOptions::new(local, ports)
        })?;
        privileges::drop_all()?;
        let observers = self
            .observers(files)
            .map_err(Failure::io("start a thread that writes records"))?;
        if self.common.verbose > 0 || self.rules.iter().any(|rule| rule.text.contains("rate=")) {
            self.say(&format!(
                "seed {}; guard: {}",
                self.seed,
                link.guard_description()
            ));
        }
        let config = self.config.clone();
        let faults = self.rules.clone();
        let seed = Some(self.seed);
        Ok((
            link,
            HostOptions {
                config,
                faults,
                seed,
                observers,
                ..HostOptions::default()
            },
        ))
    }

    fn observers(
        &self,
        [events, pcap]: [Option<Box<dyn Write + Send>>; 2],
    ) -> io::Result<Vec<Box<dyn Observer>>> {
        let start = tcpx::clock::now();
        let realtime = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let writer = |name: &str, into| BackgroundWriter::new(name, into, self.failures.clone());
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(file) = events {
            let monotonic = std::time::Duration::from_nanos(start.0);
            let first = Start::new(self.role, self.profile, self.seed, monotonic, realtime);
            sinks.push(Box::new(Events::new(
                writer("the events file", file)?,
                start,
                &first,
            )));
        }
        if let Some(file) = pcap {
            sinks.push(Box::new(Capture::new(
                writer("the capture file", file)?,
                realtime,
            )?));
        }
        if !self.common.quiet {
            let live = writer("stderr", Box::new(self.display.clone()))?;
            sinks.push(Box::new(Live::new(
                live,
                self.display.clone(),
                self.common.verbose > 0,
            )));
        }
        if std::env::var_os(EnvFilter::DEFAULT_ENV).is_some() {
            sinks.push(Box::new(Spans::default()));
        }
        if sinks.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Box::new(Recorder::new(start, sinks))])
    }

    /// Starts a host and does `body` with it. When this returns the host is gone, with its guard,
    /// and its records are written out.
    ///
    /// # Errors
    /// Those of [`Host::with_link`] and of `body`.
    pub fn host(
        &self,
        link: Link,
        options: HostOptions,
        body: impl AsyncFnOnce(&Host) -> Result<u8, Failure>,
    ) -> Result<u8, Failure> {
        let status = open(self.common.status.as_deref())?;
        // One thread: dropping the runtime drops the driver then and there, and the guard and the
        // records with it.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::io("start tokio"))?;
        let code = runtime.block_on(async {
            let host = Host::with_link(link, options)?;
            let reports = connections::report_on_signal(host.clone(), status, |report| {
                self.complain(report);
            })?;
            tokio::select! {
                code = body(&host) => code,
                never = reports => match never {},
            }
        });
        // A read of stdin may never end: do not wait for it.
        runtime.shutdown_background();
        code.map(|code| {
            if code == 0 && self.failures.any() {
                1
            } else {
                code
            }
        })
    }

    /// Prints a line, unless --quiet is set.
    pub fn say(&self, line: &str) {
        if !self.common.quiet {
            self.complain(line);
        }
    }

    /// Prints an error, with --quiet too.
    pub fn complain(&self, line: &str) {
        let _nobody_reads_stderr = self
            .display
            .clone()
            .write_all(format!("{line}\n").as_bytes());
    }

    /// Prints how a connection failed, after the live view of it, and gives its exit status.
    pub fn report(&self, host: &Host, ended: Result<(), AppError>) -> u8 {
        let (error, code) = match &ended {
            Ok(()) => return 0,
            Err(AppError::Connection(error)) => (with_hint(error), exit_code(error)),
            Err(AppError::Step(error)) => (error.to_string(), 1),
            Err(AppError::Own(message)) => (message.clone(), 1),
        };
        host.flush();
        self.complain(&format!("tcpx-{}: {error}", self.role));
        code
    }

    /// Whether a record goes to stdout, so that data must go elsewhere.
    pub fn record_on_stdout(&self) -> bool {
        outputs(&self.common)
            .iter()
            .any(|(_, path)| is_stdout(path))
    }

    /// Whether a third ACK is left out until it is released.
    pub fn holds_third_ack(&self) -> bool {
        self.config.conn.held_output == HeldOutput::DataAndFin
    }

    /// The end by a signal with this exit status: says which rule a cut TIME-WAIT breaks, and
    /// resets what is still open. Ctrl-C with nothing but TIME-WAIT left is a good end.
    pub fn interrupted(&self, host: &Host, code: u8) -> u8 {
        let states: Vec<State> = host
            .connections()
            .iter()
            .map(|status| status.state)
            .collect();
        let waits = states
            .iter()
            .filter(|state| **state == State::TimeWait)
            .count();
        if waits > 0 {
            self.say(&format!(
                "TIME-WAIT cut short for {waits} connection(s): the active closer must stay 2 MSL \
                 (RFC 9293 3.6.1, MUST-13). \
                 An old segment, or a retransmitted FIN, now reaches a closed port"
            ));
        }
        host.abort_all();
        let open = states
            .iter()
            .any(|state| !matches!(state, State::TimeWait | State::Closed));
        if code == 130 && waits > 0 && !open {
            0
        } else {
            code
        }
    }
}

/// The files that records go to, by their flags.
fn outputs(common: &Common) -> Vec<(&'static str, &Path)> {
    let all = [
        ("--events", &common.events),
        ("--pcap", &common.pcap),
        ("--status", &common.status),
    ];
    all.into_iter()
        .filter_map(|(flag, path)| Some((flag, path.as_deref()?)))
        .collect()
}

/// Refuses two records in one file.
fn apart(common: &Common) -> Result<(), Failure> {
    let outputs = outputs(common);
    for (at, (flag, path)) in outputs.iter().enumerate() {
        let mixed =
            |(_, other): &&(&str, &Path)| path == other || is_stdout(path) && is_stdout(other);
        let Some((other, path)) = outputs.iter().skip(at + 1).find(mixed) else {
            continue;
        };
        let place = if is_stdout(path) {
            "stdout".to_owned()
        } else {
            path.display().to_string()
        };
        return Err(Failure::usage(format!(
            "{flag} and {other} would be mixed in {place}: give one of them another file"
        )));
    }
    Ok(())
}

/// Whether a file's name means the program's own stdout.
pub fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
        .into_iter()
        .any(|name| path == Path::new(name))
}

fn open(path: Option<&Path>) -> Result<Option<Box<dyn Write + Send>>, Failure> {
    let Some(path) = path else { return Ok(None) };
    if is_stdout(path) {
        return Ok(Some(Box::new(io::stdout())));
    }
    match File::create(path) {
        Ok(file) => Ok(Some(Box::new(file))),
        Err(error) => Err(Failure {
            message: format!(
                "cannot create {}: {error}. Choose a writable file",
                path.display()
            ),
            code: 1,
        }),
    }
}
