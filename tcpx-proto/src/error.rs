//! Why a call is refused, a packet cannot be sent, or a connection ends.

use crate::name::names;
use crate::state::State;
use crate::wire::IcmpKind;
use core::fmt;

/// Why a call was refused (the error replies of RFC 9293 section 3.10).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallError {
    /// There is no such connection or listener (any more).
    NoConnection,
    /// The local address and port are not reserved for this stack.
    NotReserved,
    /// The four-tuple, or the listener's address and port, is taken; a four-tuple by a connection
    /// in this state.
    InUse(State),
    /// Every reserved port is taken for this remote address.
    PortsExhausted,
    /// The remote address is broadcast, multicast or unspecified, or its port is 0 (MUST-46), or of
    /// the other family.
    BadRemote,
    /// A limit of the stack is reached (connections, memory).
    Limit,
    /// Nothing now: a signal will follow.
    WouldBlock,
    /// The connection is closing: nothing can be sent any more.
    Closing,
    /// The connection ended like this.
    Ended(CloseReason),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::NoConnection => f.write_str("no such connection"),
            CallError::NotReserved => {
                f.write_str("the local address and port are not reserved for this stack")
            }
            CallError::InUse(state) => write!(f, "in use by a connection in {state}"),
            CallError::PortsExhausted => {
                f.write_str("every reserved port is in use towards this peer")
            }
            CallError::BadRemote => f.write_str("not a valid remote address"),
            CallError::Limit => f.write_str("a limit of the stack is reached"),
            CallError::WouldBlock => f.write_str("the call would block"),
            CallError::Closing => f.write_str("connection closing"),
            CallError::Ended(reason) => write!(f, "the connection ended: {}", reason.name()),
        }
    }
}

impl core::error::Error for CallError {}

/// Why a packet could not be sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TransmitError {
    /// It is too long for the link: the path MTU is at most this many bytes (EMSGSIZE).
    TooBig(u32),
    /// Anything else (EPERM from a firewall, ENOBUFS): counts as a loss in the network.
    Lost,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// Both FINs were acknowledged, and TIME-WAIT, if there was one, has expired.
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
    /// The peer never sent its FIN, and no application was waiting for it.
    FinWait2Timeout,
    /// A hard ICMP error, or in SYN-SENT under the Linux dialect any of them.
    Unreachable(IcmpKind),
    /// The stack dropped an embryonic connection (backlog, limits).
    Dropped,
    /// The host rebooted.
    Restarted,
}

impl CloseReason {
    /// How it ended, without the ICMP error.
    pub const fn kind(self) -> CloseKind {
        match self {
            CloseReason::Clean => CloseKind::Clean,
            CloseReason::Aborted => CloseKind::Aborted,
            CloseReason::Refused => CloseKind::Refused,
            CloseReason::Reset => CloseKind::Reset,
            CloseReason::ConnectTimeout => CloseKind::ConnectTimeout,
            CloseReason::RetransmissionTimeout => CloseKind::RetransmissionTimeout,
            CloseReason::UserTimeout => CloseKind::UserTimeout,
            CloseReason::KeepAliveTimeout => CloseKind::KeepAliveTimeout,
            CloseReason::FinWait2Timeout => CloseKind::FinWait2Timeout,
            CloseReason::Unreachable(_) => CloseKind::Unreachable,
            CloseReason::Dropped => CloseKind::Dropped,
            CloseReason::Restarted => CloseKind::Restarted,
        }
    }

    /// Its name in events files.
    pub const fn name(self) -> &'static str {
        self.kind().name()
    }
}

/// How a connection ended: a [`CloseReason`] without the ICMP error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum CloseKind {
    /// [`CloseReason::Clean`]
    Clean,
    /// [`CloseReason::Aborted`]
    Aborted,
    /// [`CloseReason::Refused`]
    Refused,
    /// [`CloseReason::Reset`]
    Reset,
    /// [`CloseReason::ConnectTimeout`]
    ConnectTimeout,
    /// [`CloseReason::RetransmissionTimeout`]
    RetransmissionTimeout,
    /// [`CloseReason::UserTimeout`]
    UserTimeout,
    /// [`CloseReason::KeepAliveTimeout`]
    KeepAliveTimeout,
    /// [`CloseReason::FinWait2Timeout`]
    FinWait2Timeout,
    /// [`CloseReason::Unreachable`]
    Unreachable,
    /// [`CloseReason::Dropped`]
    Dropped,
    /// [`CloseReason::Restarted`]
    Restarted,
}

names!(CloseKind, "reason of an end", {
    CloseKind::Clean => "clean",
    CloseKind::Aborted => "aborted",
    CloseKind::Refused => "refused",
    CloseKind::Reset => "reset",
    CloseKind::ConnectTimeout => "connect-timeout",
    CloseKind::RetransmissionTimeout => "retransmission-timeout",
    CloseKind::UserTimeout => "user-timeout",
    CloseKind::KeepAliveTimeout => "keepalive-timeout",
    CloseKind::FinWait2Timeout => "fin-wait-2-timeout",
    CloseKind::Unreachable => "unreachable",
    CloseKind::Dropped => "dropped",
    CloseKind::Restarted => "restarted",
});
