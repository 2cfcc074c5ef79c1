//! Urgent data (RFC 9293 section 3.8.5, RFC 6093): where it ends, and its last byte, which Linux
//! takes out of the stream.

use super::{Context, Tcb};
use crate::config::UrgentData;
use crate::error::CallError;
use crate::event::What;
use crate::seq::Seq;
use crate::wire::{Flags, Header, Segment};

/// What the peer announced, until RECEIVE has passed it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Urgent {
    /// The byte after the urgent data (MUST-62).
    up_to: Seq,
    byte: Byte,
    /// A RECEIVE found nothing else to give.
    passed: bool,
}

/// The last byte of urgent data, for [`UrgentData::OutOfBand`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Byte {
    Awaited,
    Arrived(u8),
    Taken,
}

impl Tcb {
    /// Sixth check of SEGMENT ARRIVES: URG. Wakes the application.
    pub(super) fn check_urg(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) {
        if self.rcv.fin_reached {
            return;
        }
        //= MUST-30
        if segment.header.flags.contains(Flags::URG) {
            self.on_urgent_announced(cx, &segment.header);
        }
        self.catch_byte(segment);
    }

    fn on_urgent_announced(&mut self, cx: &mut Context<'_>, header: &Header) {
        let pointer = if self.is_out_of_band() {
            header.urgent.max(1)
        } else {
            //= MUST-62
            header.urgent
        };
        let up_to = header.seq + u32::from(pointer);
        //= MUST-31
        if up_to.gt(self.rcv.nxt) && self.rcv.urgent.is_none_or(|known| up_to.gt(known.up_to)) {
            // Only what RECEIVE stands before is left out permanently: there is one mark, and it
            // moves on.
            self.pass_mark();
            self.rcv.urgent = Some(Urgent {
                up_to,
                byte: Byte::Awaited,
                passed: false,
            });
            cx.note(What::Urgent { up_to });
            //= MUST-32
            self.wake.urgent = true;
        }
    }

    /// Any segment may bring it, in order or not, the announcing one or a later one.
    fn catch_byte(&mut self, segment: &Segment<'_>) {
        let Some(urgent) = self
            .rcv
            .urgent
            .as_mut()
            .filter(|urgent| urgent.byte == Byte::Awaited)
        else {
            return;
        };
        let start = segment.header.seq + u32::from(segment.header.flags.contains(Flags::SYN));
        let at = urgent.up_to.back(1).since(start) as usize;
        if let Some(byte) = segment.payload.get(at) {
            urgent.byte = Byte::Arrived(*byte);
            self.wake.urgent |= self.config.urgent == UrgentData::OutOfBand;
        }
    }

    /// How many bytes RECEIVE has yet to give up to the end of the urgent data, those included
    /// that are still on their way (MUST-33).
    pub(super) fn urgent_left(&self) -> Option<usize> {
        let next = self
            .rcv
            .nxt
            .back(u32::from(self.rcv.fin_reached))
            .back(u32::try_from(self.unread()).ok()?);
        let up_to = self.rcv.urgent?.up_to;
        //= MUST-33
        up_to.gt(next).then(|| up_to.since(next) as usize)
    }

    /// Forgets urgent data that RECEIVE has passed.
    pub(super) fn forget_urgent(&mut self) {
        self.rcv.urgent = self.urgent_left().and(self.rcv.urgent);
    }

    fn is_out_of_band(&self) -> bool {
        self.config.urgent == UrgentData::OutOfBand
    }

    /// How much of `wanted` RECEIVE may give: no more than what comes before the byte that is out
    /// of band. That byte is left out as soon as something follows it; until then it waits to be
    /// read out of band (so `poll` has it on Linux, where RECEIVE itself would not wait).
    pub(super) fn before_mark(&mut self, wanted: usize) -> usize {
        if !self.is_out_of_band() {
            return wanted;
        }
        if self.unread() > 1 || self.rcv.fin_reached {
            self.pass_mark();
        }
        let left = self.urgent_left();
        if let (Some(1), 1, Some(urgent)) = (left, self.unread(), &mut self.rcv.urgent) {
            urgent.passed = true;
        }
        left.map_or(wanted, |left| wanted.min(left - 1))
    }

    /// Bytes that the application has not been offered: Linux drops the byte that is out of band
    /// where a RECEIVE finds nothing else (`tcp_recvmsg_locked`).
    pub(super) fn unoffered(&self) -> usize {
        let passed = self.rcv.urgent.is_some_and(|urgent| urgent.passed);
        self.unread() - usize::from(passed && self.unread() == 1)
    }

    /// Where the next RECEIVE of `wanted` bytes would begin, and how many it might give, by
    /// [`before_mark`](Tcb::before_mark).
    pub(super) fn readable_part(&self, wanted: usize) -> (usize, usize) {
        match self.urgent_left().filter(|_| self.is_out_of_band()) {
            None => (0, wanted),
            Some(1) if self.unread() > 1 || self.rcv.fin_reached => (1, wanted),
            Some(left) => (0, wanted.min(left - 1)),
        }
    }

    /// Leaves out the byte that is out of band, if RECEIVE stands before it and it is there.
    fn pass_mark(&mut self) {
        if !self.is_out_of_band() || self.urgent_left() != Some(1) || self.unread() == 0 {
            return;
        }
        self.rcv.urgent = None;
        if let Some(transfer) = &mut self.transfer {
            transfer.receive.read(&mut [0]);
        }
        self.compact();
    }

    /// The byte that is out of band, once.
    pub(crate) fn receive_urgent(&mut self) -> Result<u8, CallError> {
        if self.is_out_of_band()
            && let Some(urgent) = self.rcv.urgent.as_mut()
            && let Byte::Arrived(byte) = urgent.byte
        {
            urgent.byte = Byte::Taken;
            return Ok(byte);
        }
        self.check_open()?;
        Err(CallError::WouldBlock)
    }
}
