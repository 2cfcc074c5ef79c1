//! RFC 9293 Figure 5 as data: the only edges that a connection without detours takes.

use super::State;
use crate::event::Trigger;

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

/// Every edge: those of Figure 5, then those that 3.10 adds in its text (RST, ABORT, limits of waiting, ICMP).
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
