//! What the stack's calls take and give back.

use crate::event::{CloseReason, Label, Timer};
use crate::seq::Seq;
use crate::tcb::State;
use crate::time::{Duration, Instant};
use core::fmt;
use core::net::SocketAddr;

/// Names a connection for as long as the stack lives; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// The same as one number, for records.
    pub const fn number(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }
}

/// Names a listener for as long as the stack lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId(pub(crate) u32);

/// Why a call was refused (the error replies of RFC 9293 section 3.10).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallError {
    /// There is no such connection or listener (any more).
    NoConnection,
    /// The local address and port are not reserved for this stack.
    NotReserved,
    /// The four-tuple, or the listener's address and port, is taken; a four-tuple by a connection in this state.
    InUse(State),
    /// Every reserved port is taken for this remote address.
    PortsExhausted,
    /// The remote address is broadcast, multicast or unspecified, or its port is 0 (MUST-46), or of the other family.
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
            CallError::NotReserved => f.write_str("the local address and port are not reserved for this stack"),
            CallError::InUse(state) => write!(f, "in use by a connection in {state}"),
            CallError::PortsExhausted => f.write_str("every reserved port is in use towards this peer"),
            CallError::BadRemote => f.write_str("not an address that a connection can go to"),
            CallError::Limit => f.write_str("a limit of the stack is reached"),
            CallError::WouldBlock => f.write_str("nothing to do now"),
            CallError::Closing => f.write_str("connection closing"),
            CallError::Ended(reason) => write!(f, "the connection ended: {}", reason.name()),
        }
    }
}

impl core::error::Error for CallError {}

/// A packet that was written into the caller's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Transmit {
    /// The connection; `None` for an answer to a stranger or a SYN cookie.
    pub conn: Option<ConnId>,
    /// Octets of the IP packet.
    pub len: usize,
    /// Where it goes.
    pub destination: SocketAddr,
    /// Why it is sent and what it carries.
    pub label: Label,
    /// The number of the incoming packet that provoked it.
    pub packet: Option<u64>,
}

/// A plain copy of what there is to know about a connection (RFC 9293 section 3.10.6).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// State.
    pub state: State,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Opened by a SYN to a listener.
    pub passive: bool,
    /// ISS.
    pub iss: Seq,
    /// SND.UNA.
    pub snd_una: Seq,
    /// SND.NXT.
    pub snd_nxt: Seq,
    /// SND.WND, octets.
    pub snd_wnd: u32,
    /// Congestion window, octets.
    pub cwnd: u32,
    /// IRS.
    pub irs: Seq,
    /// RCV.NXT.
    pub rcv_nxt: Seq,
    /// RCV.WND, octets.
    pub rcv_wnd: u32,
    /// Effective send MSS, octets.
    pub mss: u16,
    /// Smoothed round-trip time, once there was a sample.
    pub srtt: Option<Duration>,
    /// Retransmission timeout now.
    pub rto: Duration,
    /// Retransmissions of the oldest octets so far.
    pub retransmissions: u32,
    /// Octets that SEND took and the peer did not acknowledge.
    pub unacknowledged: usize,
    /// Octets that RECEIVE can take now.
    pub unread: usize,
    /// How many octets away the end of the peer's urgent data is, if there is any; its last octet is in line or not, by
    /// [`ConnConfig::urgent`](crate::config::ConnConfig).
    pub urgent: Option<usize>,
    /// When the earliest timer fires.
    pub deadline: Option<Instant>,
    /// Which one that is.
    pub timer: Option<Timer>,
    /// When it was opened.
    pub opened: Instant,
}

/// What was counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Counters {
    /// Packets handed in.
    pub packets_in: u64,
    /// Packets given out.
    pub packets_out: u64,
    /// Segments or texts discarded, for any reason.
    pub discarded: u64,
    /// Of these, wrong checksums.
    pub bad_checksums: u64,
    /// Segments with a partial checksum that were taken.
    pub partial_checksums: u64,
    /// Of the discarded: not for an address and port of ours.
    pub not_ours: u64,
    /// SYN cookies sent.
    pub cookies_sent: u64,
    /// SYN cookies that came back right.
    pub cookies_accepted: u64,
    /// SYNs dropped at a full backlog.
    pub backlog_drops: u64,
    /// Packets that could not be sent.
    pub transmit_failures: u64,
}

/// Why a packet could not be sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TransmitError {
    /// It is longer than the link takes: the path MTU is at most this many octets (EMSGSIZE).
    TooBig(u32),
    /// Anything else (EPERM from a firewall, ENOBUFS): treated as loss on the way.
    Lost,
}
