//! The one record of what happened. Logs, ladders, captures and tests are its readers.

use crate::seq::Seq;
use crate::stack::{ConnId, ListenerId};
use crate::tcb::State;
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
    /// To which connection; `None` for what belongs to none (a stranger's segment, a bad checksum).
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
    /// A connection record was made.
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
        /// Octets of text that were new.
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
    /// An ICMP error was believed, as a soft error (MUST-56) or as the reason of the `Closed` that follows.
    Icmp(IcmpKind),
    /// R1 was reached: the path is doubtful (SHLD-9).
    R1 {
        /// Retransmissions so far.
        retransmissions: u32,
    },
    /// Urgent data is announced up to this sequence number (RFC 6093).
    Urgent {
        /// The octet after the last urgent one.
        up_to: Seq,
    },
    /// The connection reached CLOSED; its record goes when the application has let go of it.
    Closed(CloseReason),
}

/// What moves a connection from one state to another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Trigger {
    /// Passive OPEN.
    PassiveOpen,
    /// Active OPEN.
    ActiveOpen,
    /// A SYN arrived.
    Syn,
    /// A SYN,ACK that acknowledges our SYN arrived.
    SynAck,
    /// An ACK of our SYN arrived.
    AckOfSyn,
    /// A FIN arrived.
    Fin,
    /// An ACK of our FIN arrived.
    AckOfFin,
    /// A FIN arrived and acknowledged ours.
    FinAckOfFin,
    /// CLOSE, or the end of sending.
    Close,
    /// ABORT, or a CLOSE that loses data.
    Abort,
    /// A RST arrived.
    Rst,
    /// 2 MSL are over.
    TimeWaitTimeout,
    /// A limit on waiting was reached: R2, the user timeout, keepalive, the FIN-WAIT-2 limit.
    Timeout,
    /// A hard ICMP error was believed.
    Icmp,
    /// The host was started anew and knows nothing of its connections: no event of TCP's own.
    Restart,
}

impl Trigger {
    /// The RFC's word.
    pub const fn name(self) -> &'static str {
        match self {
            Trigger::PassiveOpen => "passive OPEN",
            Trigger::ActiveOpen => "active OPEN",
            Trigger::Syn => "SYN",
            Trigger::SynAck => "SYN,ACK",
            Trigger::AckOfSyn => "ACK of SYN",
            Trigger::Fin => "FIN",
            Trigger::AckOfFin => "ACK of FIN",
            Trigger::FinAckOfFin => "FIN,ACK of FIN",
            Trigger::Close => "CLOSE",
            Trigger::Abort => "ABORT",
            Trigger::Rst => "RST",
            Trigger::TimeWaitTimeout => "2 MSL timeout",
            Trigger::Timeout => "timeout",
            Trigger::Icmp => "ICMP error",
            Trigger::Restart => "restart",
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a segment was sent: exactly one of these.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// A call of the application: OPEN, SEND, CLOSE, ABORT, or a RECEIVE that opened the window.
    Call,
    /// It acknowledges something that arrived.
    Ack,
    /// An arriving ACK or window made room to send.
    Released,
    /// The n-th retransmission in a row of the same octets, by timer.
    Retransmission(u32),
    /// A retransmission because of duplicate or partial acknowledgments.
    FastRetransmission,
    /// A tail-loss probe (RFC 8985 section 7): new text beyond the congestion window, or the last segment once more.
    TailLossProbe,
    /// A zero-window probe (MUST-36).
    Probe,
    /// A keepalive probe (RFC 9293 section 3.8.4).
    KeepAlive,
    /// A challenge ACK (RFC 5961).
    Challenge,
    /// An answer to something that cannot be accepted, or to a stranger.
    Reset,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Call => f.write_str("call"),
            Cause::Ack => f.write_str("ack"),
            Cause::Released => f.write_str("released"),
            Cause::Retransmission(n) => write!(f, "retransmission {n}"),
            Cause::FastRetransmission => f.write_str("fast retransmission"),
            Cause::TailLossProbe => f.write_str("tail loss probe"),
            Cause::Probe => f.write_str("probe"),
            Cause::KeepAlive => f.write_str("keepalive"),
            Cause::Challenge => f.write_str("challenge"),
            Cause::Reset => f.write_str("reset"),
        }
    }
}

/// What a segment carries: a set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Carries(pub u16);

impl Carries {
    /// Our SYN.
    pub const SYN: Carries = Carries(1);
    /// The acknowledgment of the peer's SYN and of nothing else: the third ACK (SEG.ACK = IRS+1).
    pub const ACK_OF_SYN: Carries = Carries(2);
    /// Text.
    pub const DATA: Carries = Carries(4);
    /// The acknowledgment of text.
    pub const ACK_OF_DATA: Carries = Carries(8);
    /// Our FIN.
    pub const FIN: Carries = Carries(16);
    /// The acknowledgment of the peer's FIN.
    pub const ACK_OF_FIN: Carries = Carries(32);
    /// A larger window than the last one, and nothing else that is new.
    pub const WINDOW_UPDATE: Carries = Carries(64);
    /// A RST.
    pub const RST: Carries = Carries(128);

    /// Whether all of `other` is in `self`.
    pub const fn has(self, other: Carries) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds `other`.
    pub fn add(&mut self, other: Carries) {
        self.0 |= other.0;
    }

    /// The names in the set, as the fault language and the events file spell them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [&str; 8] = ["syn", "ack-of-syn", "data", "ack-of-data", "fin", "ack-of-fin", "window-update", "rst"];
        NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| name)
    }
}

/// Why a segment was sent and what it carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Label {
    /// The one cause.
    pub cause: Cause,
    /// The set of what it carries.
    pub carries: Carries,
}

/// Why a segment, or the text of one, was not used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Discard {
    /// It could not be read.
    Parse(ParseError),
    /// It is for an address and port that is not ours to answer for.
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
    /// It makes no sense in this state.
    State,
    /// The backlog is full.
    Backlog,
    /// A limit of the stack (connections, memory) is reached.
    Limit,
    /// All of its text had been received before.
    Duplicate,
    /// Out of order, and no room to hold it.
    NoRoom,
    /// The state does not take text any more.
    AfterClose,
}

impl Discard {
    /// A word for the events file.
    pub const fn name(self) -> &'static str {
        match self {
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
        }
    }
}

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

impl Timer {
    /// All of them; a tail-loss probe comes before the timeout that it may save.
    pub const ALL: [Timer; 10] = [
        Timer::TailLoss,
        Timer::Reordering,
        Timer::Retransmission,
        Timer::Persist,
        Timer::DelayedAck,
        Timer::KeepAlive,
        Timer::TimeWait,
        Timer::FinWait2,
        Timer::User,
        Timer::Override,
    ];

    /// A word for the events file.
    pub const fn name(self) -> &'static str {
        match self {
            Timer::Retransmission => "retransmission",
            Timer::Persist => "persist",
            Timer::DelayedAck => "delayed-ack",
            Timer::KeepAlive => "keepalive",
            Timer::TimeWait => "time-wait",
            Timer::FinWait2 => "fin-wait-2",
            Timer::User => "user",
            Timer::Override => "override",
            Timer::Reordering => "reordering",
            Timer::TailLoss => "tail-loss",
        }
    }
}

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

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// Both FINs were acknowledged, and TIME-WAIT, where there was one, is over.
    Clean,
    /// We sent a RST: ABORT was called, or a CLOSE lost data (SHLD-3), or the listener ended.
    Aborted,
    /// A RST answered our SYN.
    Refused,
    /// A RST arrived later.
    Reset,
    /// The SYN was not answered (MUST-23).
    ConnectTimeout,
    /// R2 (MUST-20).
    RetransmissionTimeout,
    /// The user timeout (MUST-21).
    UserTimeout,
    /// Keepalive probes were not answered.
    KeepAliveTimeout,
    /// The peer never sent its FIN, and nobody was waiting for it any more.
    FinWait2Timeout,
    /// A hard ICMP error, or in SYN-SENT under the Linux dialect any of them.
    Unreachable(IcmpKind),
    /// An embryonic connection was given up by the stack (backlog, limits).
    Dropped,
    /// The host was started anew.
    Restarted,
}

impl CloseReason {
    /// All the words that [`name`](CloseReason::name) gives.
    pub const NAMES: [&str; 12] = [
        "clean",
        "aborted",
        "refused",
        "reset",
        "connect-timeout",
        "retransmission-timeout",
        "user-timeout",
        "keepalive-timeout",
        "fin-wait-2-timeout",
        "unreachable",
        "dropped",
        "restarted",
    ];

    /// A word for the events file.
    pub const fn name(self) -> &'static str {
        match self {
            CloseReason::Clean => "clean",
            CloseReason::Aborted => "aborted",
            CloseReason::Refused => "refused",
            CloseReason::Reset => "reset",
            CloseReason::ConnectTimeout => "connect-timeout",
            CloseReason::RetransmissionTimeout => "retransmission-timeout",
            CloseReason::UserTimeout => "user-timeout",
            CloseReason::KeepAliveTimeout => "keepalive-timeout",
            CloseReason::FinWait2Timeout => "fin-wait-2-timeout",
            CloseReason::Unreachable(_) => "unreachable",
            CloseReason::Dropped => "dropped",
            CloseReason::Restarted => "restarted",
        }
    }
}

/// Whom to wake. Always on, and coalesced: several causes before a poll are one signal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Signal {
    /// [`accept`](crate::stack::Stack::accept) has a connection.
    Acceptable(ListenerId),
    /// The connection's handshake is complete (also for accepted ones).
    Established(ConnId),
    /// The peer announced urgent data, or more of it (RFC 9293 section 3.8.5, MUST-32), or the octet of it that is out of band came; where
    /// it ends is in
    /// [`Status::urgent`](crate::stack::Status::urgent).
    Urgent(ConnId),
    /// There is text, or the end of it, or an error, to receive.
    Readable(ConnId),
    /// There is room to send, or an error.
    Writable(ConnId),
    /// The connection is CLOSED.
    Closed(ConnId, CloseReason),
}

/// Where events go: a queue that stays empty unless somebody records.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Record {
    /// Whether somebody records.
    pub on: bool,
    /// The number of the packet that is being handled.
    pub packet: Option<u64>,
    /// What was not polled yet.
    pub queue: VecDeque<Event>,
    /// How much was discarded: counted even when nobody records.
    pub discarded: u64,
}

impl Record {
    /// Notes an event; nothing but a count of discards when nobody records.
    #[inline]
    pub fn note(&mut self, at: Instant, conn: Option<ConnId>, what: What) {
        self.discarded += u64::from(matches!(what, What::Discarded(_)));
        if self.on {
            self.queue.push_back(Event { at, conn, packet: self.packet, what });
        }
    }
}

/// One segment as the gate's owner saw it pass, or not pass: the only `segment` record there is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SegmentRecord {
    /// Really sent or received at.
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
    /// Octets of text.
    pub len: u32,
    /// SEG.WND in octets where the scale is known, else as in the header.
    pub window: u32,
    /// IP identification.
    pub id: u16,
    /// 0 for the first time, else how often these octets were seen before in this direction.
    pub retransmission: u32,
    /// The options that tcpx knows.
    pub options: Options,
}

impl SegmentRecord {
    /// What the headers say; the rest is known to the gate's owner alone. Only outgoing segments have a label.
    pub fn new(at: Instant, conn: Option<ConnId>, label: Option<Label>, segment: &Segment<'_>, retransmission: u32) -> SegmentRecord {
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
