//! The types of the stack's calls.

use crate::id::{ConnId, ListenerId};

use crate::error::CloseReason;
use crate::label::Label;
use core::net::SocketAddr;

impl super::Stack {
    /// How much memory the shared tables take.
    pub fn tables(&self) -> Tables {
        Tables {
            index: self.table.index_memory(),
            timers: self.timers.memory(),
        }
    }
}

/// A packet that was written into the caller's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Transmit {
    /// The connection; `None` for an answer to an unknown peer or a SYN cookie.
    pub conn: Option<ConnId>,
    /// Bytes of each IP packet; of its headers, where [`poll_burst`](super::Stack::poll_burst) gives
    /// its text apart.
    pub len: usize,
    /// How many there are, one behind the other: a burst of equal ones, or one.
    pub count: usize,
    /// Where it goes.
    pub destination: SocketAddr,
    /// Why it is sent and what it carries.
    pub label: Label,
    /// The number of the incoming packet that caused_by it.
    pub packet: Option<u64>,
}

/// Counters since the start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
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
    /// SYN cookies that came back valid.
    pub cookies_accepted: u64,
    /// SYNs with a valid Fast Open cookie, which were served before the third ACK.
    pub fast_opens: u64,
    /// SYNs dropped at a full backlog.
    pub backlog_drops: u64,
    /// Packets that could not be sent.
    pub transmit_failures: u64,
}

/// Bytes of the tables that all connections of a stack share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Tables {
    /// The index of four-tuples.
    pub index: usize,
    /// The times at which timers fire.
    pub timers: usize,
}

/// A wake-up. Always on, and coalesced: several causes before a poll are one signal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Signal {
    /// [`accept`](crate::stack::Stack::accept) has a connection.
    Acceptable(ListenerId),
    /// The connection's handshake is complete (also for accepted ones).
    Established(ConnId),
    /// The peer announced urgent data, or more of it (RFC 9293 section 3.8.5, MUST-32), or the
    /// byte of it that is out of band came; where it ends is in
    /// [`Status::urgent`](crate::tcb::Status::urgent).
    Urgent(ConnId),
    /// There is text, or the end of it, or an error, to receive.
    Readable(ConnId),
    /// There is room to send, or an error.
    Writable(ConnId),
    /// The connection is CLOSED.
    Closed(ConnId, CloseReason),
}
