//! What the engine notes: the one source of logs, ladders, captures and tests.

use crate::error::CloseReason;
use crate::label::Label;
use crate::name::names;
use crate::state::{State, Trigger};

use crate::id::ConnId;
use crate::seq::Seq;
use crate::time::Instant;
use crate::wire::{Flags, IcmpKind, Options, ParseError, Segment};
use alloc::collections::VecDeque;
use core::fmt;
use core::net::SocketAddr;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// The connection; `None` for what belongs to none, such as a segment with a bad checksum.
    pub conn: Option<ConnId>,
    /// The number of the incoming packet that caused it, counted from 1 in the order of
    /// [`packet_arrives`](crate::stack::Stack::packet_arrives); `None` when a call or a timer did.
    pub packet: Option<u64>,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum What {
    /// A connection was created.
    Opened {
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
        /// By a SYN to a listener rather than by a call.
        passive: bool,
    },
    /// The state changed.
    State {
        /// Before.
        from: State,
        /// After.
        to: State,
        /// Why.
        on: Trigger,
    },
    /// A removed rule took effect.
    Deviated {
        /// The preset or policy.
        rule: &'static str,
        /// What it breaks: RFC section and MUST number.
        requirement: &'static str,
        /// The state that the connection has then.
        to: State,
    },
    /// A segment passed the checks up to the ACK field.
    Accepted {
        /// SEG.SEQ.
        seq: Seq,
        /// Bytes of text that were new.
        text: u32,
    },
    /// A segment, or all of its text, was not used.
    Discarded(Discard),
    /// A timer was set, fired or stopped.
    Timer {
        /// Which.
        timer: Timer,
        /// What happened to it.
        action: TimerAction,
    },
    /// An ICMP error was accepted, as a soft error (MUST-56) or as the reason of the `Closed` that
    /// follows.
    Icmp(IcmpKind),
    /// R1 was reached: the path is doubtful (SHLD-9).
    R1 {
        /// Retransmissions so far.
        retransmissions: u32,
    },
    /// Urgent data is announced up to this sequence number (RFC 6093).
    Urgent {
        /// The sequence number after the last urgent byte.
        up_to: Seq,
    },
    /// A loss was none, and the reduction of the congestion window for it is taken back (RFC 4015).
    Undone {
        /// What proves it.
        evidence: Evidence,
        /// The congestion window then, bytes.
        cwnd: u32,
    },
    /// The connection reached CLOSED; its record is freed when the application releases it.
    Closed(CloseReason),
}

impl fmt::Display for Event {
    /// One sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Opened {
                local,
                remote,
                passive,
            } => {
                let arrow = if *passive { "<-" } else { "->" };
                write!(f, "{local} {arrow} {remote}")
            }
            What::State { from, to, on } => write!(f, "{from} -> {to} on {on}"),
            What::Deviated {
                rule,
                requirement,
                to,
            } => write!(f, "without {rule} ({requirement}): {to}"),
            What::Accepted { seq, text } => {
                write!(f, "accepted: seq={}, {text} new bytes", seq.0)
            }
            What::Discarded(reason) => write!(f, "discarded: {reason}"),
            What::Timer { timer, action } => match action {
                TimerAction::Started { until } => {
                    let wait = until.since(self.at).as_secs_f64();
                    write!(f, "timer {timer}: fires in {wait:.3} s")
                }
                TimerAction::Fired => write!(f, "timer {timer}: fired"),
                TimerAction::Stopped => write!(f, "timer {timer}: stopped"),
            },
            What::Icmp(kind) => write!(f, "ICMP error believed: {}", kind.parts().0),
            What::R1 { retransmissions } => write!(
                f,
                "R1 reached after {retransmissions} retransmissions: the path is doubtful"
            ),
            What::Urgent { up_to } => write!(f, "urgent data up to seq={}", up_to.0),
            What::Undone { evidence, cwnd } => {
                write!(f, "nothing was lost ({evidence}): cwnd={cwnd}")
            }
            What::Closed(reason) => write!(f, "closed: {}", reason.name()),
        }
    }
}

/// What proves that nothing was lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Evidence {
    /// An echoed timestamp that is older than the first retransmission (Eifel detection, RFC 3522),
    /// or nothing was retransmitted.
    Timestamps,
    /// Each retransmitted byte was reported as a duplicate (D-SACK, RFC 3708).
    Duplicates,
    /// What was sent before the retransmission timeout, and not again, arrived after it (F-RTO, RFC
    /// 5682).
    NeverResent,
}

names!(Evidence, "evidence", {
    Evidence::Timestamps => "timestamps",
    Evidence::Duplicates => "d-sack",
    Evidence::NeverResent => "f-rto",
});

/// Why a segment, or the text of one, was not used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Discard {
    /// It could not be read.
    Parse(ParseError),
    /// Its address and port are not reserved for this stack.
    NotReserved,
    /// No connection and no listener; a RST was sent unless the rule was removed.
    NoConnection,
    /// Outside the receive window (RFC 9293 3.10.7.4, first check).
    OutOfWindow,
    /// An old timestamp (PAWS, RFC 7323 section 5).
    Paws,
    /// An echoed timestamp that no SYN of ours carried.
    EchoCheck,
    /// Timestamps were negotiated and this segment has none (RFC 7323 section 3.2).
    TimestampMissing,
    /// A RST that does not meet the check (RFC 5961 section 3).
    RstCheck,
    /// A SYN in a synchronized state (RFC 5961 section 4).
    SynCheck,
    /// SEG.ACK outside the acceptable range.
    AckCheck,
    /// No ACK bit where one is needed.
    NoAck,
    /// It is not valid in this state.
    State,
    /// The backlog is full.
    Backlog,
    /// A limit of the stack (connections, memory) is reached.
    Limit,
    /// All of its text had been received before.
    Duplicate,
    /// Out of order, and no room to hold it.
    NoRoom,
    /// The state no longer accepts text.
    AfterClose,
}

names!(Discard, "reason to discard", {
    Discard::Parse(ParseError::Truncated) => "truncated",
    Discard::Parse(ParseError::BadIpHeader) => "bad-ip-header",
    Discard::Parse(ParseError::Fragment) => "fragment",
    Discard::Parse(ParseError::NotTcp) => "not-tcp",
    Discard::Parse(ParseError::BadDataOffset) => "bad-data-offset",
    Discard::Parse(ParseError::BadChecksum) => "bad-checksum",
    Discard::Parse(ParseError::PortZero) => "port-zero",
    Discard::Parse(ParseError::BadAddress) => "bad-address",
    Discard::Parse(ParseError::BufferTooShort) => "buffer-too-short",
    Discard::NotReserved => "not-reserved",
    Discard::NoConnection => "no-connection",
    Discard::OutOfWindow => "out-of-window",
    Discard::Paws => "paws",
    Discard::EchoCheck => "echo-check",
    Discard::TimestampMissing => "timestamp-missing",
    Discard::RstCheck => "rst-check",
    Discard::SynCheck => "syn-check",
    Discard::AckCheck => "ack-check",
    Discard::NoAck => "no-ack",
    Discard::State => "state",
    Discard::Backlog => "backlog",
    Discard::Limit => "limit",
    Discard::Duplicate => "duplicate",
    Discard::NoRoom => "no-room",
    Discard::AfterClose => "after-close",
});

/// The timers of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Timer {
    /// RFC 6298.
    Retransmission,
    /// Zero-window probes.
    Persist,
    /// Delayed ACK.
    DelayedAck,
    /// Keepalive.
    KeepAlive,
    /// 2 MSL.
    TimeWait,
    /// The limit on FIN-WAIT-2 after CLOSE.
    FinWait2,
    /// The user timeout (R2 in time).
    User,
    /// The override of the sender's silly-window avoidance (RFC 9293 section 3.8.6.2.1).
    Override,
    /// RACK's reordering window (RFC 8985 section 6.2).
    Reordering,
    /// The probe timeout of a tail loss (RFC 8985 section 7.2).
    TailLoss,
}

// A tail-loss probe comes before the timeout that it may save.
names!(Timer, "timer", {
    Timer::TailLoss => "tail-loss",
    Timer::Reordering => "reordering",
    Timer::Retransmission => "retransmission",
    Timer::Persist => "persist",
    Timer::DelayedAck => "delayed-ack",
    Timer::KeepAlive => "keepalive",
    Timer::TimeWait => "time-wait",
    Timer::FinWait2 => "fin-wait-2",
    Timer::User => "user",
    Timer::Override => "override",
});

/// What happened to a timer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TimerAction {
    /// It will fire then.
    Started {
        /// When.
        until: Instant,
    },
    /// It fired.
    Fired,
    /// It was stopped.
    Stopped,
}

/// The queue of events; empty unless they are recorded.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Record {
    /// Whether events are recorded.
    pub on: bool,
    /// The number of the packet that is being handled.
    pub packet: Option<u64>,
    /// Not polled yet.
    pub queue: VecDeque<Event>,
    /// How many segments were discarded, also when events are not recorded.
    pub discarded: u64,
}

impl TimerAction {
    /// What happened, without the time.
    pub const fn kind(self) -> TimerActionKind {
        match self {
            TimerAction::Started { .. } => TimerActionKind::Started,
            TimerAction::Fired => TimerActionKind::Fired,
            TimerAction::Stopped => TimerActionKind::Stopped,
        }
    }
}

/// What happened to a timer, without the time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TimerActionKind {
    /// It was set.
    Started,
    /// It fired.
    Fired,
    /// It was stopped.
    Stopped,
}

names!(TimerActionKind, "action of a timer", {
    TimerActionKind::Started => "started",
    TimerActionKind::Fired => "fired",
    TimerActionKind::Stopped => "stopped",
});

impl Record {
    /// Queues an event; only counts a discard when events are not recorded.
    #[inline]
    pub fn note(&mut self, at: Instant, conn: Option<ConnId>, what: What) {
        self.discarded += u64::from(matches!(what, What::Discarded(_)));
        if self.on {
            self.queue.push_back(Event {
                at,
                conn,
                packet: self.packet,
                what,
            });
        }
    }
}

/// One segment that passed the gate or was dropped there: the only `segment` record there is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SegmentRecord {
    /// When it was really sent or received.
    pub at: Instant,
    /// The connection, where one is known.
    pub conn: Option<ConnId>,
    /// Outgoing rather than incoming.
    pub out: bool,
    /// Why and what; only outgoing segments have a label.
    pub label: Option<Label>,
    /// Control bits.
    pub flags: Flags,
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK.
    pub ack: Seq,
    /// Bytes of text.
    pub len: u32,
    /// SEG.WND in bytes where the scale is known, else as in the header.
    pub window: u32,
    /// IP identification.
    pub id: u16,
    /// 0 for the first time, else how often these bytes passed before in this direction.
    pub retransmission: u32,
    /// The options that tcpx knows.
    pub options: Options,
}

impl SegmentRecord {
    /// Reads the headers; the endpoint knows the rest. Only outgoing segments have a label.
    pub fn new(
        at: Instant,
        conn: Option<ConnId>,
        label: Option<Label>,
        segment: &Segment<'_>,
        retransmission: u32,
    ) -> SegmentRecord {
        let header = &segment.header;
        SegmentRecord {
            at,
            conn,
            out: label.is_some(),
            label,
            flags: header.flags,
            seq: header.seq,
            ack: header.ack,
            len: u32::try_from(segment.payload.len()).unwrap_or(u32::MAX),
            window: u32::from(header.window),
            id: header.id,
            retransmission,
            options: header.options,
        }
    }
}

impl fmt::Display for SegmentRecord {
    /// One line, without the label.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = if self.out { "out" } else { "in " };
        let flags = alloc::string::ToString::to_string(&self.flags);
        let seq = self.seq.0;
        let ack = self.ack.0;
        let len = self.len;
        let window = self.window;
        write!(
            f,
            "{dir} {flags:<4} seq={seq} ack={ack} len={len} win={window}"
        )?;
        match self.retransmission {
            0 => Ok(()),
            n => write!(f, " again={n}"),
        }
    }
}
