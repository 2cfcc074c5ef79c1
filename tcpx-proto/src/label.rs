//! Why a segment is sent, and what it carries.

use core::fmt;

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
    /// A tail-loss probe (RFC 8985 section 7): new text beyond the congestion window, or the last
    /// segment once more.
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
        const NAMES: [&str; 8] = [
            "syn",
            "ack-of-syn",
            "data",
            "ack-of-data",
            "fin",
            "ack-of-fin",
            "window-update",
            "rst",
        ];
        NAMES
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, name)| name)
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
