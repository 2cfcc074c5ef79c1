//! The states of a connection, what leads from one to another, and RFC 9293 Figure 5 as data.

use crate::name::names;

/// The eleven states of RFC 9293 section 3.3.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a SYN.
    Listen,
    /// SYN sent.
    SynSent,
    /// SYN received and sent.
    SynReceived,
    /// Open both ways.
    Established,
    /// FIN sent, not acknowledged.
    FinWait1,
    /// FIN sent and acknowledged; waiting for the peer's.
    FinWait2,
    /// The peer's FIN received; waiting for the application.
    CloseWait,
    /// Both FINs sent, ours not acknowledged.
    Closing,
    /// Our FIN, sent after the peer's, not acknowledged.
    LastAck,
    /// Waiting 2 MSL.
    TimeWait,
}

// In the order of the RFC.
names!(State, "state", {
    State::Listen => "LISTEN",
    State::SynSent => "SYN-SENT",
    State::SynReceived => "SYN-RECEIVED",
    State::Established => "ESTABLISHED",
    State::FinWait1 => "FIN-WAIT-1",
    State::FinWait2 => "FIN-WAIT-2",
    State::CloseWait => "CLOSE-WAIT",
    State::Closing => "CLOSING",
    State::LastAck => "LAST-ACK",
    State::TimeWait => "TIME-WAIT",
    State::Closed => "CLOSED",
});

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
    /// 2 MSL have expired.
    TimeWaitTimeout,
    /// A limit on waiting was reached: R2, the user timeout, keepalive, the FIN-WAIT-2 limit.
    Timeout,
    /// A hard ICMP error was believed.
    Icmp,
    /// The host rebooted and has forgotten its connections: not an event of TCP.
    Restart,
}

names!(Trigger, "trigger", {
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
});

/// One edge of the state diagram.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Transition {
    /// From this state,
    pub from: State,
    /// on this,
    pub on: Trigger,
    /// to this one.
    pub to: State,
}

const fn edge(from: State, on: Trigger, to: State) -> Transition {
    Transition { from, on, to }
}

/// Every edge: those of Figure 5, then those that 3.10 adds in its text (RST, ABORT, limits of
/// waiting, ICMP).
pub const TRANSITIONS: &[Transition] = &[
    edge(State::Closed, Trigger::PassiveOpen, State::Listen),
    edge(State::Closed, Trigger::ActiveOpen, State::SynSent),
    edge(State::Listen, Trigger::Syn, State::SynReceived),
    edge(State::Listen, Trigger::Close, State::Closed),
    edge(State::SynSent, Trigger::Syn, State::SynReceived),
    edge(State::SynSent, Trigger::SynAck, State::Established),
    edge(State::SynSent, Trigger::Close, State::Closed),
    edge(State::SynReceived, Trigger::AckOfSyn, State::Established),
    edge(State::SynReceived, Trigger::Close, State::FinWait1),
    edge(State::SynReceived, Trigger::Fin, State::CloseWait),
    edge(State::Established, Trigger::Close, State::FinWait1),
    edge(State::Established, Trigger::Fin, State::CloseWait),
    edge(State::FinWait1, Trigger::AckOfFin, State::FinWait2),
    edge(State::FinWait1, Trigger::Fin, State::Closing),
    edge(State::FinWait1, Trigger::FinAckOfFin, State::TimeWait),
    edge(State::FinWait2, Trigger::Fin, State::TimeWait),
    edge(State::CloseWait, Trigger::Close, State::LastAck),
    edge(State::Closing, Trigger::AckOfFin, State::TimeWait),
    edge(State::LastAck, Trigger::AckOfFin, State::Closed),
    edge(State::TimeWait, Trigger::TimeWaitTimeout, State::Closed),
    edge(State::SynReceived, Trigger::Rst, State::Listen),
    edge(State::SynReceived, Trigger::Syn, State::Listen),
    edge(State::SynReceived, Trigger::Abort, State::Listen),
    edge(State::SynReceived, Trigger::Timeout, State::Listen),
    edge(State::SynReceived, Trigger::Icmp, State::Listen),
    edge(State::SynSent, Trigger::Rst, State::Closed),
    edge(State::SynSent, Trigger::Abort, State::Closed),
    edge(State::SynSent, Trigger::Timeout, State::Closed),
    edge(State::SynSent, Trigger::Icmp, State::Closed),
    edge(State::SynReceived, Trigger::Rst, State::Closed),
    edge(State::SynReceived, Trigger::Syn, State::Closed),
    edge(State::SynReceived, Trigger::Abort, State::Closed),
    edge(State::SynReceived, Trigger::Timeout, State::Closed),
    edge(State::SynReceived, Trigger::Icmp, State::Closed),
    edge(State::Established, Trigger::Rst, State::Closed),
    edge(State::Established, Trigger::Syn, State::Closed),
    edge(State::Established, Trigger::Abort, State::Closed),
    edge(State::Established, Trigger::Timeout, State::Closed),
    edge(State::FinWait1, Trigger::Rst, State::Closed),
    edge(State::FinWait1, Trigger::Syn, State::Closed),
    edge(State::FinWait1, Trigger::Abort, State::Closed),
    edge(State::FinWait1, Trigger::Timeout, State::Closed),
    edge(State::FinWait2, Trigger::Rst, State::Closed),
    edge(State::FinWait2, Trigger::Syn, State::Closed),
    edge(State::FinWait2, Trigger::Abort, State::Closed),
    edge(State::FinWait2, Trigger::Timeout, State::Closed),
    edge(State::CloseWait, Trigger::Rst, State::Closed),
    edge(State::CloseWait, Trigger::Syn, State::Closed),
    edge(State::CloseWait, Trigger::Abort, State::Closed),
    edge(State::CloseWait, Trigger::Timeout, State::Closed),
    edge(State::Closing, Trigger::Rst, State::Closed),
    edge(State::Closing, Trigger::Syn, State::Closed),
    edge(State::Closing, Trigger::Abort, State::Closed),
    edge(State::Closing, Trigger::Timeout, State::Closed),
    edge(State::LastAck, Trigger::Rst, State::Closed),
    edge(State::LastAck, Trigger::Syn, State::Closed),
    edge(State::LastAck, Trigger::Abort, State::Closed),
    edge(State::LastAck, Trigger::Timeout, State::Closed),
    edge(State::TimeWait, Trigger::Rst, State::Closed),
    edge(State::TimeWait, Trigger::Syn, State::Closed),
    edge(State::TimeWait, Trigger::Abort, State::Closed),
];
