//! Explicit congestion notification (RFC 3168): what the two SYNs agree on, the echo of a mark, and
//! the answer to an echo.

use super::Tcb;
use super::coder::Coder;
use crate::config::Ecn;
use crate::label::Cause;
use crate::seq::Seq;
use crate::wire::{Flags, Header, Segment};

/// The IP header's two bits (section 5): not ECN-capable, ECT(0), and congestion experienced.
/// ECT(1) is for experiments (RFC 8311).
const BITS: u8 = 0b11;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

/// What the two ends know of each other and of the path.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Notification {
    /// Both ends are capable.
    pub(super) on: bool,
    /// A mark arrived, and no CWR since: every ACK reports it (section 6.1.3).
    echoing: bool,
    /// The window was reduced: the next new text reports it (section 6.1.2).
    reduced: bool,
    /// SND.NXT when that was: until something later is acknowledged, echoes are no news.
    until: Option<Seq>,
}

impl Notification {
    /// What the peer's SYN or SYN,ACK agrees to (section 6.1.1). Both bits on a SYN,ACK are a peer
    /// that reflects whatever it gets; a SYN that is marked as capable, which none may be, has met
    /// something that writes those bits (Linux `tcp_ecn_create_request`).
    pub(super) fn agreed(policy: Ecn, header: &Header, passive: bool) -> Notification {
        let flags = header.flags;
        let asks = flags.contains(Flags::ECE | Flags::CWR) && header.tos & BITS == 0;
        let answers = flags.contains(Flags::ECE) && !flags.contains(Flags::CWR);
        let on = if flags.contains(Flags::ACK) {
            answers && policy == Ecn::On
        } else {
            // In a simultaneous open only the end that asked, too, grants it (Linux `tcp_ecn_rcv_syn`).
            asks && (policy == Ecn::On || (policy == Ecn::WhenAsked && passive))
        };
        Notification {
            on: on && flags.contains(Flags::SYN),
            ..Notification::default()
        }
    }

    /// Whether both ends are capable.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// In a simultaneous open the peer's SYN,ACK comes after its SYN, and takes back what that
    /// agreed to if it got a SYN of ours that asked for nothing.
    pub(super) fn confirm(&mut self, flags: Flags) {
        self.on &= flags.contains(Flags::ECE) && !flags.contains(Flags::CWR);
    }

    /// The bits of our SYN or SYN,ACK. A SYN that went unanswered is retransmitted without:
    /// something on the way may not like them.
    pub(super) fn setup_flags(&self, policy: Ecn, ack: bool, cause: Cause) -> Flags {
        let first = !matches!(cause, Cause::Retransmission(_));
        match ack {
            //= SHLD-8, 3168-1
            true if self.on => Flags::ECE,
            //= SHLD-8, 3168-1
            false if policy == Ecn::On && first => Flags::ECE | Flags::CWR,
            _ => Flags::empty(),
        }
    }

    /// The bits of any other segment; `new`: it has text that was never sent before.
    pub(super) fn flags(&self, new: bool) -> Flags {
        let mut flags = Flags::empty();
        if self.on && self.echoing {
            flags |= Flags::ECE;
        }
        //= 3168-2
        if self.on && self.reduced && new {
            flags |= Flags::CWR;
        }
        flags
    }

    /// DSCP as configured, and ECT(0) on new text alone: not on a SYN, a bare ACK, a retransmission
    /// or a probe (sections 6.1.1, 6.1.4 to 6.1.6).
    pub(super) fn tos(&self, tos: u8, new: bool) -> u8 {
        match (self.on, new) {
            //= SHLD-8, 8311-1
            (true, true) => tos & !BITS | ECT_0,
            //= 3168-3
            (true, false) => tos & !BITS,
            (false, _) => tos,
        }
    }

    /// CWR ends the echo; a mark on text begins it (section 6.1.3). Returns whether it begins now,
    /// which is acknowledged at once.
    pub(super) fn on_segment(&mut self, segment: &Segment<'_>) -> bool {
        if !self.on {
            return false;
        }
        let before = self.echoing;
        //= 3168-2
        self.echoing &= !segment.header.flags.contains(Flags::CWR);
        let marked = segment.header.tos & BITS == CE && !segment.payload.is_empty();
        //= SHLD-8, 3168-2
        self.echoing |= marked;
        marked && !before
    }

    /// Whether an ACK with these flags echoes a mark.
    pub(super) fn is_echo(&self, flags: Flags) -> bool {
        self.on && flags.contains(Flags::ECE) && !flags.contains(Flags::SYN)
    }

    /// The window fell, for whatever reason: the peer has to know, or it would go on echoing.
    pub(super) fn on_window_reduced(&mut self, nxt: Seq) {
        if self.on {
            self.reduced = true;
            self.until = Some(nxt);
        }
    }

    /// The reduction was taken back, and is not reported (`tcp_ecn_withdraw_cwr`).
    pub(super) fn on_window_restored(&mut self) {
        self.reduced = false;
    }

    /// New text with CWR tells the peer.
    pub(super) fn on_sent(&mut self, flags: Flags) {
        //= 3168-2
        self.reduced &= !flags.contains(Flags::CWR);
    }

    /// Codes all of it.
    pub(super) fn code(&mut self, coder: &mut impl Coder, nxt: Seq) {
        let Notification {
            on,
            echoing,
            reduced,
            until,
        } = self;
        coder.group(|coder| {
            coder.flag(on, false);
            coder.flag(echoing, false);
            coder.flag(reduced, false);
            coder.option(until, nxt);
        });
    }
}

impl Tcb {
    /// An ACK with ECE: the window falls as after a loss, once in a window of text (section 6.1.2).
    /// `acked`: bytes that it acknowledged.
    pub(super) fn on_echo(&mut self, segment: &Segment<'_>, acked: u32) {
        let ack = segment.header.ack;
        self.ecn.until = self.ecn.until.filter(|until| ack.le(*until));
        let flight = self.in_flight(acked);
        if !self.ecn.is_echo(segment.header.flags) {
            return;
        }
        let until = self.ecn.until;
        let Some(congestion) = self.congestion_mut() else {
            return;
        };
        congestion.keep_reduction();
        //= 3168-2
        if until.is_none() && flight.bytes > 0 && congestion.is_settled() {
            congestion.marked(&flight);
            self.ecn.on_window_reduced(flight.nxt);
        }
    }
}
