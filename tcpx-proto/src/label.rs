//! Why a segment is sent, and what it carries.

use crate::name::UnknownName;
use bitflags::bitflags;
use core::fmt;
use core::str::FromStr;

/// Why a segment was sent: exactly one of these.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// A call of the application: OPEN, SEND, CLOSE, ABORT, or a RECEIVE that opened the window.
    Call,
    /// It acknowledges something that arrived.
    Ack,
    /// An ACK or a window update made room to send.
    Released,
    /// The n-th retransmission in a row of the same bytes, by timer.
    Retransmission(u32),
    /// A retransmission because of duplicate or partial acknowledgments.
    FastRetransmission,
    /// A tail-loss probe (RFC 8985 section 7): new text beyond the congestion window, or the last
    /// segment again.
    TailLossProbe,
    /// A zero-window probe (MUST-36).
    Probe,
    /// A keepalive probe (RFC 9293 section 3.8.4).
    KeepAlive,
    /// A challenge ACK (RFC 5961).
    Challenge,
    /// An answer to an unacceptable segment, or to one without a connection.
    Reset,
}

impl Cause {
    /// All but the retransmissions.
    const OTHERS: [Cause; 9] = [
        Cause::Call,
        Cause::Ack,
        Cause::Released,
        Cause::FastRetransmission,
        Cause::TailLossProbe,
        Cause::Probe,
        Cause::KeepAlive,
        Cause::Challenge,
        Cause::Reset,
    ];

    /// Its name in events files, without the number of a retransmission.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Call => "call",
            Cause::Ack => "ack",
            Cause::Released => "released",
            Cause::Retransmission(_) => "retransmission",
            Cause::FastRetransmission => "fast retransmission",
            Cause::TailLossProbe => "tail loss probe",
            Cause::Probe => "probe",
            Cause::KeepAlive => "keepalive",
            Cause::Challenge => "challenge",
            Cause::Reset => "reset",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Cause::Retransmission(n) = self {
            write!(f, " {n}")?;
        }
        Ok(())
    }
}

impl FromStr for Cause {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Cause, UnknownName> {
        let retransmission = || {
            let number = text.strip_prefix("retransmission ")?;
            number.parse().ok().map(Cause::Retransmission)
        };
        let other = || Cause::OTHERS.into_iter().find(|cause| cause.name() == text);
        retransmission()
            .or_else(other)
            .ok_or_else(|| UnknownName::new("cause", text))
    }
}

/// What a segment carries: a set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Carries(u16);

bitflags! {
    impl Carries: u16 {
        /// Our SYN.
        const SYN = 1;
        /// The acknowledgment of the peer's SYN and of nothing else: the third ACK (SEG.ACK =
        /// IRS+1).
        const ACK_OF_SYN = 2;
        /// Text.
        const DATA = 4;
        /// The acknowledgment of text.
        const ACK_OF_DATA = 8;
        /// Our FIN.
        const FIN = 16;
        /// The acknowledgment of the peer's FIN.
        const ACK_OF_FIN = 32;
        /// A larger window than the last one, and no other new information.
        const WINDOW_UPDATE = 64;
        /// A RST.
        const RST = 128;
    }
}

impl Carries {
    const NAMES: [(Carries, &str); 8] = [
        (Carries::SYN, "syn"),
        (Carries::ACK_OF_SYN, "ack-of-syn"),
        (Carries::DATA, "data"),
        (Carries::ACK_OF_DATA, "ack-of-data"),
        (Carries::FIN, "fin"),
        (Carries::ACK_OF_FIN, "ack-of-fin"),
        (Carries::WINDOW_UPDATE, "window-update"),
        (Carries::RST, "rst"),
    ];

    /// The names in the set, as the fault language and the events file spell them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Carries::NAMES
            .into_iter()
            .filter(move |(one, _)| self.contains(*one))
            .map(|(_, name)| name)
    }

    /// The set of one of these names.
    ///
    /// # Errors
    /// The name is unknown.
    pub fn named(name: &str) -> Result<Carries, UnknownName> {
        Carries::NAMES
            .into_iter()
            .find(|(_, known)| *known == name)
            .map(|(one, _)| one)
            .ok_or_else(|| UnknownName::new("content of a segment", name))
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

impl fmt::Display for Label {
    /// `ack: ack-of-syn, data`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.cause, f)?;
        let mut separator = ": ";
        for name in self.carries.names() {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        Ok(())
    }
}
