//! Whether the congestion window is what limits the sender (Linux's `tcp_cwnd_validate`): a window
//! that is not used tells nothing about the path (RFC 7661).

use super::coder::Coder;
use crate::seq::Seq;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Validation {
    /// It was used up in this round trip.
    limited: bool,
    /// The most that was in flight in this round trip, bytes.
    most: u32,
    /// SND.NXT when that was.
    until: Seq,
}

impl Validation {
    pub(crate) fn new(iss: Seq) -> Validation {
        Validation {
            limited: false,
            most: 0,
            until: iss,
        }
    }

    /// Text left; `full`: no full segment fits into the window beside what is outstanding now.
    pub(crate) fn sent(&mut self, at: &Sending, full: bool) {
        if at.una.ge(self.until) || full || (!self.limited && at.flight > self.most) {
            self.limited = full;
            self.most = at.flight;
            self.until = at.nxt;
        }
    }

    /// Whether the window may grow (`tcp_is_cwnd_limited`): in slow start up to twice what was in
    /// flight.
    pub(crate) fn is_limited(&self, cwnd: Cwnd) -> bool {
        self.limited || (cwnd.slow_start && cwnd.bytes < self.most.saturating_mul(2))
    }

    /// Codes all of it.
    pub(super) fn code(&mut self, coder: &mut impl Coder, nxt: Seq) {
        let Validation {
            limited,
            most,
            until,
        } = self;
        coder.flag(limited, false);
        coder.number(most, 0);
        coder.number(until, nxt);
    }
}

/// The congestion window as far as its use matters.
#[derive(Clone, Copy)]
pub(crate) struct Cwnd {
    pub(crate) bytes: u32,
    pub(crate) slow_start: bool,
}

/// The sender when text has left.
#[derive(Clone, Copy)]
pub(crate) struct Sending {
    pub(crate) una: Seq,
    pub(crate) nxt: Seq,
    /// Bytes outstanding.
    pub(crate) flight: u32,
    /// Bytes taken to be in the network.
    pub(crate) pipe: u32,
    pub(crate) mss: u32,
}
