//! What happened at an endpoint, observed and written down.
//!
//! An [`Observer`] learns of each thing as it happens ([`Observed`]). A [`Recorder`] is an observer
//! that numbers connections and puts what a segment caused next to it, for any [`Sink`].
//!
//! An [`Entry`] is a line of an events file: one type for its writer, its readers and its schema
//! (`docs/events.schema.json`). With the feature `serde` it reads and writes JSON. With the feature
//! `pcapng` there is a sink that makes captures.

#[cfg(feature = "serde")]
mod json;
mod observed;
#[cfg(feature = "pcapng")]
pub mod pcapng;
mod recorder;
mod text;

pub use observed::{Observed, ObservedSegment, Observer};
pub use recorder::{Recorded, Recorder, Sink};
pub use text::{escape, unescape};

use crate::config::Profile;
use crate::error::CloseKind;
use crate::event::{Discard, Event, Evidence, Timer, TimerAction, TimerActionKind, What};
use crate::fault::{Direction, VerdictKind};
use crate::label::{Carries, Cause};
use crate::name::names;
use crate::script::{AppAction, StepKind};
use crate::seq::Seq;
use crate::state::{State, Trigger};
use crate::time::{Duration, Instant};
use crate::wire::{Flags, IcmpKind, Options};
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::net::SocketAddr;

/// The version of the format.
pub const VERSION: u32 = 1;

/// Which end of a connection wrote a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// The end that opens.
    Client,
    /// The end that listens.
    Server,
}

names!(Role, "role", {
    Role::Client => "client",
    Role::Server => "server",
});

/// The first line: what pairs this file with the other end's, and what repeats the run.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename = "start"))]
pub struct Start {
    /// The version of the format.
    pub version: u32,
    /// Who wrote the file.
    pub role: Role,
    /// The set of values that the host's configuration began with.
    pub profile: Profile,
    /// The seed of the host.
    pub seed: u64,
    /// CLOCK_MONOTONIC at t = 0, seconds.
    pub monotonic: f64,
    /// Time since 1970 at t = 0, seconds.
    pub realtime: f64,
}

impl Start {
    /// `monotonic` and `realtime` (since 1970) are two clocks' readings of one moment, t = 0 of the
    /// file.
    pub fn new(
        role: Role,
        profile: Profile,
        seed: u64,
        monotonic: Duration,
        realtime: Duration,
    ) -> Start {
        Start {
            version: VERSION,
            role,
            profile,
            seed,
            monotonic: monotonic.as_secs_f64(),
            realtime: realtime.as_secs_f64(),
        }
    }

    /// For a host in memory, whose clocks begin at zero.
    pub fn in_memory(role: Role, profile: Profile, seed: u64) -> Start {
        Start::new(role, profile, seed, Duration::ZERO, Duration::ZERO)
    }
}

/// One line after the first.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry {
    /// Seconds since the start of the run.
    pub t: f64,
    /// The connection's number, from 1 in order of appearance; none for what belongs to no
    /// connection.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub conn: Option<u64>,
    /// What happened.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub body: Body,
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename_all = "kebab-case"))]
pub enum Body {
    /// A connection has a record now.
    Opened {
        /// The writer's end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
        /// By a SYN to a listener rather than by a call.
        #[cfg_attr(feature = "serde", serde(default))]
        passive: bool,
    },
    /// The state changed.
    State {
        /// Before.
        from: State,
        /// After.
        to: State,
        /// Why; none where a kernel changed it unobserved.
        #[cfg_attr(
            feature = "serde",
            serde(default, skip_serializing_if = "Option::is_none")
        )]
        on: Option<Trigger>,
    },
    /// A segment passed the gate, or was dropped there.
    Segment(Segment),
    /// A segment passed the checks up to the ACK field.
    Accepted {
        /// SEG.SEQ.
        seq: Seq,
        /// Bytes of text that were new.
        text: u32,
    },
    /// A segment, or all of its text, was not used.
    Discarded {
        /// Why.
        reason: Discard,
    },
    /// A removed rule took effect.
    Deviated {
        /// The preset or policy.
        rule: String,
        /// What it breaks: RFC section and requirement number.
        requirement: String,
        /// The state that the connection has then.
        to: State,
    },
    /// A timer was set, fired or stopped.
    Timer {
        /// Which.
        timer: Timer,
        /// What happened to it.
        action: TimerActionKind,
        /// When a started one will fire, seconds since the start of the run.
        #[cfg_attr(
            feature = "serde",
            serde(default, skip_serializing_if = "Option::is_none")
        )]
        until: Option<f64>,
    },
    /// An ICMP error was believed.
    Icmp(IcmpKind),
    /// R1 was reached: the path is doubtful.
    R1 {
        /// Retransmissions so far.
        retransmissions: u32,
    },
    /// Urgent data is announced.
    Urgent {
        /// The sequence number after the last urgent byte.
        up_to: Seq,
    },
    /// A loss was none: the congestion window is restored.
    Undone {
        /// What proves it.
        evidence: Evidence,
        /// The congestion window then, bytes.
        cwnd: u32,
    },
    /// The connection reached CLOSED.
    Closed {
        /// How it ended; none where a kernel ended it unobserved.
        #[cfg_attr(
            feature = "serde",
            serde(default, skip_serializing_if = "Option::is_none")
        )]
        reason: Option<CloseKind>,
    },
    /// The application did something.
    App(AppAction),
    /// An event that this version does not know; readers skip it.
    #[cfg_attr(feature = "serde", serde(other, skip_serializing))]
    Unknown,
}

/// A segment that passed the gate of one end, or was dropped there.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Segment {
    /// Which way it passed.
    pub dir: Direction,
    /// Why it was sent; only the sender knows.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub cause: Option<Cause>,
    /// What it carries; only the sender knows.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub carries: Option<Carries>,
    /// Control bits.
    pub flags: Flags,
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK.
    pub ack: Seq,
    /// Bytes of text.
    pub len: u32,
    /// SEG.WND in bytes where the scale is known, else as in the header.
    pub win: u32,
    /// IP identification.
    pub id: u16,
    /// The options that tcpx knows.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Options::is_empty")
    )]
    pub options: Options,
    /// How often these bytes passed before in this direction.
    #[cfg_attr(feature = "serde", serde(default))]
    pub retransmission: u32,
    /// What the gate did.
    pub verdict: VerdictKind,
    /// The line of the fault language that decided.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub rule: Option<String>,
    /// Neither end sent it: a third host did, in the name of one. A file does not know that; a
    /// reader that does sets it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing))]
    pub forged: bool,
}

/// IP identification, SEG.SEQ, SEG.ACK, bytes of text and control bits.
pub type Header = (u16, Seq, Seq, u32, Flags);

impl Segment {
    /// The line of an observed segment.
    pub fn new(observed: &ObservedSegment) -> Segment {
        let record = &observed.record;
        Segment {
            dir: if record.out {
                Direction::Out
            } else {
                Direction::In
            },
            cause: record.label.map(|label| label.cause),
            carries: record.label.map(|label| label.carries),
            flags: record.flags,
            seq: record.seq,
            ack: record.ack,
            len: record.len,
            win: record.window,
            id: record.id,
            options: record.options,
            retransmission: record.retransmission,
            verdict: observed.judgement.verdict.kind(),
            rule: observed.rule.clone(),
            forged: false,
        }
    }

    /// What the two ends of a segment's way have in common. The gate may rewrite the rest.
    pub fn header(&self) -> Header {
        (self.id, self.seq, self.ack, self.len, self.flags)
    }

    /// Whether the receiver's gate rewrote or corrupted it: only the id is sure to be that of the
    /// segment that was sent.
    pub fn is_altered(&self) -> bool {
        let alters = match self.verdict {
            VerdictKind::Rewrite | VerdictKind::Corrupt => true,
            VerdictKind::Pass
            | VerdictKind::Drop
            | VerdictKind::Delay
            | VerdictKind::Duplicate
            | VerdictKind::Reorder
            | VerdictKind::Trickle
            | VerdictKind::Hold => false,
        };
        self.dir == Direction::In && alters
    }

    /// What the gate did to it, by its rule where that is known; `None`: nothing.
    pub fn fault(&self) -> Option<&str> {
        let name = self.rule.as_deref().unwrap_or(self.verdict.name());
        (self.verdict != VerdictKind::Pass).then_some(name)
    }
}

impl Entry {
    /// Whether a step of this kind begins here.
    pub fn begins(&self, kind: StepKind) -> bool {
        match &self.body {
            Body::App(AppAction::Began(step)) => StepKind::of(step) == Some(kind),
            _ => false,
        }
    }
}

impl Body {
    /// The line of an engine's event; `start` is t = 0.
    pub fn new(event: &Event, start: Instant) -> Body {
        match event.what {
            What::Opened {
                local,
                remote,
                passive,
            } => Body::Opened {
                local,
                remote,
                passive,
            },
            What::State { from, to, on } => Body::State {
                from,
                to,
                on: Some(on),
            },
            What::Deviated {
                rule,
                requirement,
                to,
            } => Body::Deviated {
                rule: rule.to_owned(),
                requirement: requirement.to_owned(),
                to,
            },
            What::Accepted { seq, text } => Body::Accepted { seq, text },
            What::Discarded(reason) => Body::Discarded { reason },
            What::Timer { timer, action } => Body::Timer {
                timer,
                action: action.kind(),
                until: match action {
                    TimerAction::Started { until } => Some(until.since(start).as_secs_f64()),
                    TimerAction::Fired | TimerAction::Stopped => None,
                },
            },
            What::Icmp(kind) => Body::Icmp(kind),
            What::R1 { retransmissions } => Body::R1 { retransmissions },
            What::Urgent { up_to } => Body::Urgent { up_to },
            What::Undone { evidence, cwnd } => Body::Undone { evidence, cwnd },
            What::Closed(reason) => Body::Closed {
                reason: Some(reason.kind()),
            },
        }
    }
}
