//! What a run showed, typed: the sentences of a verdict and of the documents are made from it, in
//! English and in Chinese.

use super::conns::seconds;
use crate::end::End;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::SocketAddr;
use tcpx_proto::error::CloseKind;
use tcpx_proto::state::{State, Trigger};
use tcpx_proto::trace::escape;

/// The beginning of a text, escaped.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let text = escape(bytes);
    match text.char_indices().nth(24) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// A length of time in seconds, kept to the microsecond.
#[derive(Clone, Copy, PartialEq, Deserialize, Debug)]
pub struct Seconds(pub f64);

/// A connection, as a sentence names it.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, Debug)]
pub struct Which {
    /// At which end.
    pub end: End,
    /// Which of the connections on its four-tuple there, from 1.
    pub incarnation: usize,
}

/// How a connection ended; `None`: a kernel ended it, and no segment or timer shows how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reason(pub Option<CloseKind>);

impl Reason {
    const UNKNOWN: &str = "?";

    /// By two FINs.
    pub fn is_clean(self) -> bool {
        self.0 == Some(CloseKind::Clean)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or(Reason::UNKNOWN, CloseKind::name))
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == Reason::UNKNOWN {
            return Ok(Reason(None));
        }
        let kind = name.parse().map_err(D::Error::custom)?;
        Ok(Reason(Some(kind)))
    }
}

/// Where bytes came from that the peer incarnation did not send.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Another incarnation sent them.
    Incarnation(Which),
    /// The peer sent nothing.
    Nowhere,
    /// The peer sent something else there.
    Instead(String),
}

/// One thing that a run showed: why an oracle breaks, or how it ended.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "a variant says what its fields are, and their names are the words of its sentence"
)]
pub enum Evidence {
    /// One end counts on a connection that the other does not have (`None`: the other is gone).
    Disagree {
        end: End,
        state: State,
        other: Option<State>,
        time: Seconds,
    },
    /// The same, and the other is a third host.
    Phantom {
        end: End,
        state: State,
        peer: SocketAddr,
        time: Seconds,
    },
    /// TIME-WAIT at the end that did not close first.
    TimeWaitMisplaced { conn: Which },
    /// No TIME-WAIT at the end that closed first.
    TimeWaitMissing { conn: Which },
    /// A RST ended TIME-WAIT.
    TimeWaitKilled { conn: Which, time: Seconds },
    /// The oracle needs a close.
    NoClose,
    /// An end is in a state that only its peer can end; how the connection ended, if it did.
    Stuck {
        conn: Which,
        state: State,
        time: Seconds,
        reason: Option<Reason>,
    },
    /// An application waits in a step.
    Waits {
        end: End,
        step: String,
        time: Seconds,
        state: State,
    },
    /// The oracle needs a connect.
    NoConnect,
    /// A connect failed, and why.
    ConnectFailed { nth: usize, why: String },
    /// A connect never completed.
    ConnectPending { nth: usize },
    /// Bytes arrived that the peer incarnation did not send there.
    Strange {
        conn: Which,
        text: String,
        origin: Origin,
    },
    /// The oracle needs the end of a connection.
    NoEnd,
    /// A connection ended otherwise than by two FINs.
    Ended {
        conn: Which,
        state: State,
        reason: Reason,
    },
    /// A connection ended by two FINs, and bytes are missing.
    Missed { conn: Which, text: String },
    /// The oracle needs a budget.
    NoBudget,
    /// More segments than the budget.
    Wasteful {
        a: u32,
        b: u32,
        #[serde(rename = "octets")]
        bytes: usize,
        budget: u32,
    },
    /// How it went at an end: it had no connection.
    Unconnected { end: End },
    /// How it went at an end: it went silent.
    Silent { end: End },
    /// How it went at an end: the state that lasted longest, and how the last connection ended
    /// (`Err`: its state, as it did not).
    Went {
        end: End,
        longest: Option<(State, Seconds)>,
        ended: Result<Reason, State>,
    },
    /// How many edges of the state diagram were taken, by the two TCPs and only on forged packets.
    Edges {
        all: usize,
        own: usize,
        forged: usize,
    },
    /// An edge that no TCP can take, and why.
    Unwalkable {
        from: State,
        on: Trigger,
        to: State,
        why: String,
    },
}

/// All of it in one line.
pub fn joined(shown: &[Evidence]) -> String {
    shown
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The same for a report.
///
/// # Errors
/// Those of the report's writer.
pub fn as_a_sentence<S: Serializer>(shown: &[Evidence], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&joined(shown))
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0 * 1e6).round() / 1e6)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&seconds(self.0))
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.incarnation {
            0 | 1 => self.end.fmt(f),
            number => write!(f, "{}'s connection {number}", self.end),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Disagree {
                end,
                state,
                other,
                time,
            } => {
                write!(
                    f,
                    "{end} is {state} and {} is {}, for {time}",
                    end.other(),
                    other.map_or("gone", State::name)
                )
            }
            Evidence::Phantom {
                end,
                state,
                peer,
                time,
            } => {
                write!(
                    f,
                    "{end} is {state} with {peer}, which knows nothing of it, for {time}"
                )
            }
            Evidence::TimeWaitMisplaced { conn } => {
                write!(f, "{conn} is in TIME-WAIT and did not close first")
            }
            Evidence::TimeWaitMissing { conn } => {
                write!(f, "{conn} closed first and is never in TIME-WAIT")
            }
            Evidence::TimeWaitKilled { conn, time } => {
                write!(f, "a RST ends TIME-WAIT of {conn} after {time}")
            }
            Evidence::NoClose => f.write_str("neither end closed"),
            Evidence::Stuck {
                conn,
                state,
                time,
                reason,
            } => {
                write!(f, "{conn} is in {state} for {time}")?;
                reason
                    .iter()
                    .try_for_each(|reason| write!(f, ", then ends: {reason}"))
            }
            Evidence::Waits {
                end,
                step,
                time,
                state,
            } => write!(f, "{end} waits in \"{step}\" for {time}, {state}"),
            Evidence::NoConnect => f.write_str("no script connects"),
            Evidence::ConnectFailed { nth, why } => write!(f, "connect {nth} fails: {why}"),
            Evidence::ConnectPending { nth } => write!(f, "connect {nth} never completes"),
            Evidence::Strange {
                conn: Which { end, incarnation },
                text,
                origin,
            } => {
                write!(
                    f,
                    "{end} received \"{text}\" in incarnation {incarnation}, "
                )?;
                match origin {
                    Origin::Incarnation(other) => write!(
                        f,
                        "which {} sent in incarnation {}",
                        other.end, other.incarnation
                    ),
                    Origin::Nowhere => f.write_str("which its peer never sent"),
                    Origin::Instead(sent) => write!(f, "where its peer sent \"{sent}\""),
                }
            }
            Evidence::NoEnd => f.write_str("no connection has ended"),
            Evidence::Ended {
                conn,
                state,
                reason,
            } => write!(f, "{conn} in {state} ended: {reason}"),
            Evidence::Missed { conn, text } => {
                write!(f, "{conn} closed clean and missed \"{text}\"")
            }
            Evidence::NoBudget => f.write_str("the experiment has no budget"),
            Evidence::Wasteful {
                a,
                b,
                bytes,
                budget,
            } => {
                write!(
                    f,
                    "a sends {a} segments and b {b} for {bytes} bytes of text, where {budget} are enough"
                )
            }
            Evidence::Unconnected { end } => write!(f, "{end}: no connection"),
            Evidence::Silent { end } => write!(f, "{end}: gone silent"),
            Evidence::Went {
                end,
                longest,
                ended,
            } => {
                write!(f, "{end}: ")?;
                longest
                    .iter()
                    .try_for_each(|(state, time)| write!(f, "{state} {time}, "))?;
                match ended {
                    Ok(reason) => write!(f, "closed ({reason})"),
                    Err(state) => write!(f, "still {state}"),
                }
            }
            Evidence::Edges { all, own, forged } => {
                write!(
                    f,
                    "{} of {all} edges: {own} taken by the two TCPs themselves, {forged} only on a forged packet",
                    own + forged
                )
            }
            Evidence::Unwalkable { from, on, to, why } => {
                write!(f, "never from {from} on {on} to {to}: {why}")
            }
        }
    }
}
