//! An application on the kernel's TCP: does the steps of a script with ordinary sockets, and tells
//! it as the binaries do.
//!
//! It runs inside the namespace of the kernel's end. What it writes to stdout is an events file of
//! what the application did, and of the states in which it saw its own sockets; [`log`](super::log)
//! takes from it what the application did.
//!
//! Steps are what `docs/scripts.md` says, as far as a kernel can:
//!
//! - `go silent` and `restart` are acts on the whole namespace ([`blackhole`]): one host, one
//!   player.
//! - `lift` does nothing: the kernel holds no third ACK back.
//! - `close` is close(2): the kernel sends a RST where octets were not read (RFC 2525 section
//!   2.17). How a connection ended that was closed so is told by the last state in which it was
//!   seen.

mod line;
mod record;

use super::cable::blackhole;
use anyhow::{Context, Result};
use line::Line;
use record::Record;
use socket2::{Domain, Socket, TcpKeepalive, Type};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tcpx::netns::Namespace;
use tcpx_cli::input;
use tcpx_proto::config::{ConnConfig, KeepAlive, Nagle};
use tcpx_proto::error::CallError;
use tcpx_proto::script::{Connect, Expected, Script, Step, StepError};
use tcpx_proto::trace::Role;

/// Where the player is, and what its sockets are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its address and port; port 0: any.
    pub own: SocketAddr,
    /// Whom `connect` means.
    pub peer: Option<SocketAddr>,
    /// What its sockets ask of the kernel.
    pub wishes: Wishes,
}

/// What a socket can ask of the kernel that our own TCP has a parameter for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wishes {
    keepalive: Option<KeepAlive>,
    user_timeout: Option<Duration>,
    no_delay: bool,
}

impl Wishes {
    /// What comes nearest to this; the rest of it is no socket's business.
    pub fn of(config: &ConnConfig) -> Wishes {
        Wishes {
            keepalive: config.keepalive,
            user_timeout: config.user_timeout,
            no_delay: config.nagle == Nagle::Off,
        }
    }

    /// An accepted socket has them from its listener.
    fn apply(self, socket: &Socket) -> io::Result<()> {
        if let Some(KeepAlive {
            idle,
            interval,
            probes,
        }) = self.keepalive
        {
            // The kernel counts whole seconds.
            let [idle, interval] = [idle, interval].map(|time| time.max(Duration::from_secs(1)));
            socket.set_tcp_keepalive(
                &TcpKeepalive::new()
                    .with_time(idle)
                    .with_interval(interval)
                    .with_retries(probes),
            )?;
        }
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        socket.set_tcp_nodelay(self.no_delay)
    }
}

/// Plays the script on stdin in this process's namespace, and stays until it is told to end.
///
/// # Errors
/// The script cannot be read or is wrong, the kernel does not show its sockets, or stdout is gone.
pub fn play(place: Place, role: Role) -> Result<()> {
    let text = input::text_of(io::stdin(), input::SOURCE).context("cannot read the script")?;
    let script =
        Script::parse(&text).map_err(|mistake| anyhow::anyhow!("the script: {mistake}"))?;
    let record = Record::start(role, io::stdout())?;
    let mut player = Player::new(place, Arc::clone(&record))?;
    if let Err(error) = player.run(&script) {
        let _nobody_reads_stderr =
            writeln!(io::stderr(), "tcpx-lab: the script ended early: {error}");
    }
    // Its sockets live as long as it does.
    loop {
        thread::park();
    }
}

/// One host's application.
struct Player {
    place: Place,
    record: Arc<Record>,
    home: Namespace,
    lines: Vec<(Option<Arc<str>>, Arc<Line>)>,
    /// The connection that steps concern.
    current: Option<Arc<Line>>,
    listener: Option<TcpListener>,
}

impl Player {
    fn new(place: Place, record: Arc<Record>) -> Result<Player> {
        Ok(Player {
            place,
            record,
            home: Namespace::current()?,
            lines: Vec::new(),
            current: None,
            listener: None,
        })
    }

    /// Does the steps as tcpx's own player does them (`tcpx_cli::app`).
    fn run(&mut self, script: &Script) -> Result<(), StepError> {
        let (mut at, mut outcome) = (0, Ok(()));
        while let Some(step) = script.steps.get(at) {
            self.tell("began", Some(step.to_string()));
            match self.step(step) {
                Ok(()) => {
                    self.tell("done", None);
                    at += 1;
                }
                Err(error) => {
                    self.tell("failed", Some(error.to_string()));
                    let next = match &error {
                        StepError::Call(CallError::Ended(reason)) => script.after_end(at, *reason),
                        _ => None,
                    };
                    let Some(next) = next else {
                        outcome = Err(error);
                        break;
                    };
                    at = next;
                }
            }
        }
        self.tell("over", None);
        outcome
    }

    fn tell(&self, did: &str, text: Option<String>) {
        self.record
            .tell(self.current.as_ref().map(|line| line.number()), did, text);
    }

    fn step(&mut self, step: &Step) -> Result<(), StepError> {
        match step {
            Step::Listen { port, backlog } => self
                .listen(port.unwrap_or(self.place.own.port()), *backlog)
                .map_err(refused),
            Step::StopListening => self
                .listener
                .take()
                .map(drop)
                .ok_or(StepError::NotListening),
            Step::Accept { name } => {
                let listener = self.listener.as_ref().ok_or(StepError::NotListening)?;
                let (stream, _) = listener.accept().map_err(refused)?;
                let line = Line::new(stream.into(), true, &self.record).map_err(refused)?;
                self.take_up(line, name.as_ref());
                Ok(())
            }
            Step::Connect(connect) => self.connect(connect),
            Step::On(name) => {
                let found = self
                    .lines
                    .iter()
                    .rev()
                    .find(|(known, _)| known.as_ref() == Some(name));
                let missing = || StepError::NoSuchConnection(Some(Arc::clone(name)));
                self.current = Some(Arc::clone(&found.ok_or_else(missing)?.1));
                Ok(())
            }
            Step::Sleep(duration) => {
                thread::sleep(*duration);
                Ok(())
            }
            Step::Lift => Ok(()),
            Step::GoSilent => blackhole(&self.home, true).map_err(refused),
            Step::Restart => self.restart().map_err(refused),
            _ => {
                let line = self
                    .current
                    .clone()
                    .ok_or(StepError::NoSuchConnection(None))?;
                talk(&line, step)
            }
        }
    }

    fn listen(&mut self, port: u16, backlog: usize) -> io::Result<()> {
        // The one before goes first: two cannot have the same port.
        self.listener = None;
        let socket = socket(
            SocketAddr::new(self.place.own.ip(), port),
            self.place.wishes,
        )?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        self.listener = Some(socket.into());
        Ok(())
    }

    fn connect(&mut self, connect: &Connect) -> Result<(), StepError> {
        let to = connect.to.or(self.place.peer).ok_or(StepError::NoPeer)?;
        let from = SocketAddr::new(
            self.place.own.ip(),
            connect.from.unwrap_or(self.place.own.port()),
        );
        for left in (0..connect.tries.unwrap_or(1).max(1)).rev() {
            let line = socket(from, self.place.wishes)
                .and_then(|socket| Line::connect(socket, to, &self.record))
                .map_err(refused)?;
            self.current = Some(Arc::clone(&line));
            match if connect.tries.is_some() {
                line.established()
            } else {
                Ok(())
            } {
                Ok(()) => {
                    self.lines.push((connect.name.clone(), line));
                    break;
                }
                Err(error) if left == 0 => return Err(error),
                Err(error) => self.tell("failed", Some(error.to_string())),
            }
        }
        Ok(())
    }

    fn take_up(&mut self, line: Arc<Line>, name: Option<&Arc<str>>) {
        self.current = Some(Arc::clone(&line));
        self.lines.push((name.cloned(), line));
    }

    /// Every socket goes without a word: those that we have by TCP_REPAIR, in which the kernel
    /// forgets a connection that is closed. What it would still say for those that nobody has any
    /// more, and for those that wait to be accepted, does not get past a blackhole.
    fn restart(&mut self) -> io::Result<()> {
        blackhole(&self.home, true)?;
        self.lines.iter().for_each(|(_, line)| line.forget());
        (self.current, self.listener) = (None, None);
        self.lines.clear();
        record::destroy_all()?;
        blackhole(&self.home, false)
    }
}

/// A step that concerns a connection.
fn talk(line: &Arc<Line>, step: &Step) -> Result<(), StepError> {
    match step {
        Step::Send(data) => line.send(data),
        Step::Receive(octets) => line.receive(Some(*octets)),
        Step::ReceiveUntil(text) => line
            .receive_text(|heard| usize::from(!heard.ends_with(text)))
            .map(drop),
        Step::ReceiveToEnd => line.receive(None),
        Step::Echo => line.echo(),
        Step::SendInput => line.send_input(),
        Step::Relay => line.relay(),
        Step::StopReading => {
            line.ended();
            Ok(())
        }
        Step::Shutdown => line.shutdown(),
        Step::Close => line.close(),
        Step::Abort => line.abort(),
        Step::Expect(Expected::Text(text)) => expect_text(line, text),
        Step::Expect(Expected::State(state)) => line.reached(*state),
        Step::Expect(Expected::Closed(named)) => {
            let reason = line.ended();
            let right = named.as_deref().is_none_or(|named| named == reason.name());
            if right {
                Ok(())
            } else {
                Err(StepError::Unexpected(format!(
                    "the connection ended: {}",
                    reason.name()
                )))
            }
        }
        // The other steps are the host's.
        _ => Ok(()),
    }
}

/// These octets and no others come next.
fn expect_text(line: &Line, text: &[u8]) -> Result<(), StepError> {
    let heard = line.receive_text(|heard| {
        if text.starts_with(heard) {
            text.len() - heard.len()
        } else {
            0
        }
    })?;
    let wrong = || {
        format!(
            "expected \"{}\", received \"{}\"",
            text.escape_ascii(),
            heard.escape_ascii()
        )
    };
    if heard == text {
        Ok(())
    } else {
        Err(StepError::Unexpected(wrong()))
    }
}

/// A socket at an address. A port of which TIME-WAIT is left can be had again.
fn socket(own: SocketAddr, wishes: Wishes) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    wishes.apply(&socket)?;
    if own.port() != 0 || own.ip() != Ipv4Addr::UNSPECIFIED {
        socket.bind(&own.into())?;
    }
    Ok(socket)
}

fn refused(error: io::Error) -> StepError {
    StepError::Unexpected(error.to_string())
}

#[cfg(test)]
mod tests;
