//! What an application does and when. The binaries' application flags are shorthand for these
//! steps; `docs/scripts.md` documents the language. [`Machine`] plays a script.

mod kind;
mod machine;
mod options;
mod parse;

pub use kind::StepKind;
pub use machine::{Addresses, Call, Machine, Outcome, Recorder};

use crate::config::SocketOption;
use crate::error::{CallError, CloseReason};
use crate::id::ConnId;
use crate::lexer::Mistake;
use crate::name::names;
use crate::state::State;
use crate::time::{Duration, Instant};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

/// One thing that an application does. Steps are done in order, each to its end. Those of a
/// connection concern the one that was connected, accepted or named last.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// Passive OPEN on this port, or on the host's own.
    Listen {
        /// `None`: the one that the program was given.
        port: Option<u16>,
        /// The most connections in SYN-RECEIVED, and the most that wait to be accepted, each; at
        /// least 1.
        backlog: usize,
    },
    /// Close the listener: connections that wait to be accepted are reset.
    StopListening,
    /// Wait for a connection and take it.
    Accept {
        /// What to call it.
        name: Option<Arc<str>>,
    },
    /// Active OPEN, and for `connect` wait until it is established.
    Connect(Connect),
    /// The steps from here on concern the connection of this name.
    On(Arc<str>),
    /// SEND all of this.
    Send(Vec<u8>),
    /// RECEIVE this many bytes, or to the end if it comes sooner.
    Receive(u64),
    /// RECEIVE until this has come, or to the end. What came before it is not kept.
    ReceiveUntil(Vec<u8>),
    /// RECEIVE until the peer's FIN.
    ReceiveToEnd,
    /// Send back what is received, until the peer's FIN.
    Echo,
    /// SEND the application's own input, to its end.
    SendInput,
    /// Join the connection and the application's own streams both ways, until both have ended; the
    /// end of the application's input is our FIN.
    Relay,
    /// Do nothing, and do not read either.
    Sleep(Duration),
    /// Do nothing from then on: the connection stays as it is, and nothing is read.
    StopReading,
    /// Wait until something has come, which must be these bytes or their beginning, and leave it
    /// there to be received.
    Peek(Vec<u8>),
    /// Change an option of the connection.
    Set(SocketOption),
    /// Change an option of the connections that the listener makes from then on.
    SetListener(SocketOption),
    /// Release what a removed third ACK holds back.
    Release,
    /// CLOSE of our direction alone.
    Shutdown,
    /// CLOSE of both directions.
    Close,
    /// ABORT.
    Abort,
    /// From now on send nothing and receive nothing, like a host that lost power.
    GoSilent,
    /// Forget every connection and listener silently, and go on, like a host that rebooted.
    Restart,
    /// Wait for something; if it cannot happen any more, the step fails.
    Expect(Expected),
}

/// An active OPEN.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Connect {
    /// The peer; `None`: the one that the program was given.
    pub to: Option<SocketAddr>,
    /// The local port; `None`: the one that the program was given, or any.
    pub from: Option<u16>,
    /// The most attempts before the step fails; `None`: it is not waited for (`open`).
    pub tries: Option<u32>,
    /// What to call it.
    pub name: Option<Arc<str>>,
}

/// What a script waits for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Expected {
    /// These bytes come next.
    Text(Vec<u8>),
    /// The connection is in this state.
    State(State),
    /// The connection is CLOSED, for this reason if one is named (see [`CloseReason::name`]).
    Closed(Option<Arc<str>>),
}

/// What an application does, from the beginning, or from the moment its connection is established
/// (a client's) or accepted (a server's).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Script {
    /// The steps, in order. After the last one the connections are left as they are.
    pub steps: Vec<Step>,
}

impl Script {
    /// Reads a script: a step a line, or several with `;` between.
    ///
    /// # Errors
    /// The first mistake, with its position in the whole text.
    pub fn parse(text: &str) -> Result<Script, Mistake> {
        parse::script(text).map(|steps| Script { steps })
    }

    /// Where a script continues after the step before `at` failed because its connection ended:
    /// after the step that expects that end. Only the steps up to the next one that opens or names
    /// a connection are searched.
    pub fn after_end(&self, at: usize, reason: CloseReason) -> Option<usize> {
        let rest = self.steps.get(at..)?;
        let opens =
            |step: &Step| matches!(step, Step::Accept { .. } | Step::Connect(_) | Step::On(_));
        let found = rest
            .iter()
            .take_while(|step| !opens(step))
            .position(|step| match step {
                Step::Expect(Expected::Closed(named)) => {
                    named.as_deref().is_none_or(|named| named == reason.name())
                }
                _ => false,
            })?;
        Some(at + found + 1)
    }
}

impl FromStr for Script {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Script, Mistake> {
        Script::parse(text)
    }
}

/// What an application did, as it is recorded.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum AppAction {
    /// It began a step, spelled as in a script.
    Began(String),
    /// The step is done.
    Done,
    /// The step failed, and why.
    Failed(String),
    /// Bytes that SEND accepted.
    Sent(Vec<u8>),
    /// Bytes that RECEIVE returned.
    Received(Vec<u8>),
    /// The script is over.
    Over,
}

impl AppAction {
    /// What it did, without the particulars.
    pub const fn kind(&self) -> AppActionKind {
        match self {
            AppAction::Began(_) => AppActionKind::Began,
            AppAction::Done => AppActionKind::Done,
            AppAction::Failed(_) => AppActionKind::Failed,
            AppAction::Sent(_) => AppActionKind::Sent,
            AppAction::Received(_) => AppActionKind::Received,
            AppAction::Over => AppActionKind::Over,
        }
    }
}

/// What an application did: an [`AppAction`] without the particulars.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AppActionKind {
    /// It came to a step.
    Began,
    /// The step is done.
    Done,
    /// The step could not be done.
    Failed,
    /// It sent bytes.
    Sent,
    /// It received bytes.
    Received,
    /// The script is over.
    Over,
}

names!(AppActionKind, "action of an application", {
    AppActionKind::Began => "began",
    AppActionKind::Done => "done",
    AppActionKind::Failed => "failed",
    AppActionKind::Sent => "sent",
    AppActionKind::Received => "received",
    AppActionKind::Over => "over",
});

/// Something that an application did: when, and with which connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AppEvent {
    /// When.
    pub at: Instant,
    /// On which connection, where it concerns one.
    pub conn: Option<ConnId>,
    /// What.
    pub action: AppAction,
}

/// Why a step could not be done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum StepError {
    /// A call was refused, or the connection ended.
    Call(CallError),
    /// There is no connection of this name, or none at all.
    NoSuchConnection(Option<Arc<str>>),
    /// `accept` without `listen`.
    NotListening,
    /// `connect` without an address, on a host that was given none.
    NoPeer,
    /// Something else came.
    Unexpected(String),
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepError::Call(error) => error.fmt(f),
            StepError::NoSuchConnection(Some(name)) => write!(f, "there is no connection '{name}'"),
            StepError::NoSuchConnection(None) => {
                f.write_str("there is no connection yet: connect or accept first")
            }
            StepError::NotListening => f.write_str("there is no listener: listen before accept"),
            StepError::NoPeer => f.write_str("connect needs a peer: write connect ADDR:PORT"),
            StepError::Unexpected(what) => f.write_str(what),
        }
    }
}

impl core::error::Error for StepError {}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Listen { port, backlog } => {
                f.write_str("listen")?;
                port.iter().try_for_each(|port| write!(f, " {port}"))?;
                write!(f, " backlog {backlog}")
            }
            Step::StopListening => f.write_str("stop listening"),
            Step::Accept { name } => {
                f.write_str("accept")?;
                name.iter().try_for_each(|name| write!(f, " as {name}"))
            }
            Step::Connect(connect) => connect.fmt(f),
            Step::On(name) => write!(f, "{name}:"),
            Step::Send(data) => write!(f, "send {}", Quoted(data)),
            Step::Receive(bytes) => write!(f, "receive {bytes}"),
            Step::ReceiveUntil(text) => write!(f, "receive until {}", Quoted(text)),
            Step::ReceiveToEnd => f.write_str("receive to end"),
            Step::Echo => f.write_str("echo"),
            Step::SendInput => f.write_str("send input"),
            Step::Relay => f.write_str("relay"),
            Step::Sleep(duration) => write!(f, "sleep {duration:?}"),
            Step::StopReading => f.write_str("stop reading"),
            Step::Set(option) => write!(f, "set {option}"),
            Step::SetListener(option) => write!(f, "set listener {option}"),
            Step::Release => f.write_str("lift"),
            Step::Shutdown => f.write_str("shutdown"),
            Step::Close => f.write_str("close"),
            Step::Abort => f.write_str("abort"),
            Step::GoSilent => f.write_str("go silent"),
            Step::Restart => f.write_str("restart"),
            Step::Expect(Expected::Text(text)) => write!(f, "expect {}", Quoted(text)),
            Step::Peek(text) => write!(f, "peek {}", Quoted(text)),
            Step::Expect(Expected::State(state)) => write!(f, "expect {}", state.name()),
            Step::Expect(Expected::Closed(reason)) => {
                f.write_str("expect closed")?;
                reason.iter().try_for_each(|reason| write!(f, " {reason}"))
            }
        }
    }
}

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tries.is_some() {
            "connect"
        } else {
            "open"
        })?;
        self.to.iter().try_for_each(|to| write!(f, " {to}"))?;
        self.from
            .iter()
            .try_for_each(|from| write!(f, " from {from}"))?;
        self.tries
            .filter(|tries| *tries > 1)
            .iter()
            .try_for_each(|tries| write!(f, " tries {tries}"))?;
        self.name
            .iter()
            .try_for_each(|name| write!(f, " as {name}"))
    }
}

/// Bytes as a script writes them; a long text by its length alone.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0..=40 => {
                f.write_str("\"")?;
                // An apostrophe needs no backslash here, and a script has none for it.
                for byte in self.0 {
                    match byte {
                        b'\'' => f.write_str("'")?,
                        byte => write!(f, "{}", byte.escape_ascii())?,
                    }
                }
                f.write_str("\"")
            }
            bytes => write!(f, "{bytes}"),
        }
    }
}
