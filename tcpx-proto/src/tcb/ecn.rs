//! Explicit congestion notification (RFC 3168): what the two SYNs agree on, the echo of a mark, and
//! the answer to an echo.

use super::{Context, Tcb};
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
    on: bool,
    /// A mark arrived, and no CWR since: every ACK says so (section 6.1.3).
    echoing: bool,
    /// The window was reduced: the next new text says so (section 6.1.2).
    reduced: bool,
    /// SND.NXT when that was: until something later is acknowledged echoes say nothing new.
    until: Option<Seq>,
}

impl Tcb {
    /// What the peer's SYN or SYN,ACK agrees to (section 6.1.1). Both bits on a SYN,ACK are a peer
    /// that reflects whatever it gets; a SYN that is marked as capable, which none may be, has met
    /// something that writes those bits (Linux `tcp_ecn_create_request`).
    pub(super) fn agree_on_ecn(&mut self, header: &Header) {
        let flags = header.flags;
        let asks = flags.has(Flags::ECE | Flags::CWR) && header.tos & BITS == 0;
        let answers = flags.has(Flags::ECE) && !flags.has(Flags::CWR);
        let on = match flags.has(Flags::ACK) {
            true => answers && self.config.ecn == Ecn::On,
            false => asks && self.config.ecn != Ecn::Off,
        };
        self.ecn = Notification {
            on: on && flags.has(Flags::SYN),
            ..Notification::default()
        };
    }

    /// In a simultaneous open the peer's SYN,ACK comes after its SYN, and takes back what that
    /// agreed to if it got a SYN of ours that asked for nothing.
    pub(super) fn confirm_ecn(&mut self, flags: Flags) {
        self.ecn.on &= flags.has(Flags::ECE) && !flags.has(Flags::CWR);
    }

    /// The bits of our SYN or SYN,ACK. A SYN that went unanswered is sent again without: something
    /// on the way may not like them.
    pub(super) fn ecn_setup(&self, ack: bool, cause: Cause) -> Flags {
        match ack {
            true if self.ecn.on => Flags::ECE,
            false if self.config.ecn == Ecn::On && !matches!(cause, Cause::Retransmission(_)) => {
                Flags::ECE | Flags::CWR
            }
            _ => Flags::NONE,
        }
    }

    /// The bits of any other segment; `new`: it has text that was never sent before.
    pub(super) fn ecn_flags(&self, new: bool) -> Flags {
        let echo = if self.ecn.on && self.ecn.echoing {
            Flags::ECE
        } else {
            Flags::NONE
        };
        echo | if self.ecn.on && self.ecn.reduced && new {
            Flags::CWR
        } else {
            Flags::NONE
        }
    }

    /// DSCP as configured, and ECT(0) on new text alone: not on a SYN, a bare ACK, a retransmission
    /// or a probe (sections 6.1.1, 6.1.4 to 6.1.6).
    pub(super) fn tos(&self, new: bool) -> u8 {
        match self.ecn.on {
            true => self.config.tos & !BITS | if new { ECT_0 } else { 0 },
            false => self.config.tos,
        }
    }

    /// CWR ends the echo; a mark on text begins it, at once (section 6.1.3).
    pub(super) fn take_mark(&mut self, segment: &Segment<'_>) {
        if !self.ecn.on {
            return;
        }
        let before = self.ecn.echoing;
        self.ecn.echoing &= !segment.header.flags.has(Flags::CWR);
        if segment.header.tos & BITS == CE && !segment.payload.is_empty() {
            self.ecn.echoing = true;
            if !before {
                self.acknowledge(Cause::Ack);
            }
        }
    }

    /// An ACK with ECE: the window falls as after a loss, once in a window of text (section 6.1.2).
    /// `acked`: octets that it acknowledged.
    pub(super) fn take_echo(&mut self, cx: &Context<'_>, segment: &Segment<'_>, acked: u32) {
        if self
            .ecn
            .until
            .is_some_and(|until| segment.header.ack.gt(until))
        {
            self.ecn.until = None;
        }
        let (nxt, mss) = (self.snd.nxt, self.path(cx.now).mss);
        let flight = nxt.since(self.snd.una) + acked;
        if !self.is_echo(segment) || self.ecn.until.is_some() || flight == 0 {
            return;
        }
        if let Some(control) = self
            .congestion_mut()
            .filter(|control| !control.in_recovery())
        {
            control.marked(nxt, flight, mss);
            self.window_reduced();
        }
    }

    pub(super) fn is_echo(&self, segment: &Segment<'_>) -> bool {
        self.ecn.on && segment.header.flags.has(Flags::ECE) && !segment.header.flags.has(Flags::SYN)
    }

    /// For whatever reason: the peer has to know, or it would go on echoing.
    pub(super) fn window_reduced(&mut self) {
        if self.ecn.on {
            (self.ecn.reduced, self.ecn.until) = (true, Some(self.snd.nxt));
        }
    }

    /// New text has said so.
    pub(super) fn cwr_sent(&mut self, flags: Flags) {
        self.ecn.reduced &= !flags.has(Flags::CWR);
    }
}
