//! SEGMENT ARRIVES, seventh and eighth check (RFC 9293 section 3.10.7.4): the text, the FIN.

use super::Tcb;
use super::buffer::Inserted;
use super::context::Context;
use super::segment_arrives::{Check, Stop};
use crate::config::{BeyondWindow, Overlap, SequenceCheck, TextOverFin};
use crate::error::CloseReason;
use crate::event::{Discard, What};
use crate::label::Cause;
use crate::seq::Seq;
use crate::state::{State, Trigger};
use crate::wire::{Flags, Segment};

/// Text that is not before RCV.NXT, and the FIN behind it.
pub(super) struct Arrived<'a> {
    pub(super) seq: Seq,
    pub(super) text: &'a [u8],
    pub(super) fin: bool,
}

impl Tcb {
    /// The same segment at RCV.NXT, where there is no check of where it lies. What has no room in
    /// the window there is cut off as ever.
    pub(super) fn moved_into_window<'a>(&self, segment: &Segment<'a>) -> Option<Segment<'a>> {
        if self.config.sequence_check == SequenceCheck::Window || self.rcv.is_in_window(segment) {
            return None;
        }
        let mut moved = *segment;
        moved.header.seq = self.rcv.nxt;
        Some(moved)
    }

    /// Seventh: the text.
    pub(super) fn check_text(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let start = segment.header.seq + u32::from(segment.header.flags.contains(Flags::SYN));
        let end = start + segment.payload.len() as u32;
        // A bare ACK may come before what was sent before it, such as the peer's FIN of a
        // simultaneous close.
        let more = end.gt(self.rcv.nxt)
            && (!segment.payload.is_empty() || segment.header.flags.contains(Flags::FIN));
        // SHLD-3: no application will ever read this.
        let unread =
            //= SHLD-3, MAY-1
            self.orphaned && more && matches!(self.state, State::FinWait1 | State::FinWait2);
        let over_fin = self.rcv.fin_reached && start.lt(self.rcv.nxt) && end.gt(self.rcv.nxt);
        if unread || (over_fin && self.config.text_over_fin == TextOverFin::Reset) {
            self.reply_reset_to(cx, segment);
            self.pending.ack = None;
            self.fail(cx, Trigger::Abort, CloseReason::Aborted);
            return Err(Stop::Discard(Discard::AfterClose));
        }
        let reported = self.rcv.note_duplicate(segment);
        if (segment.header.seq + segment.len()).le(self.rcv.nxt) {
            if !segment.is_empty() && !segment.header.flags.contains(Flags::SYN) {
                self.acknowledge_repeated();
                return Err(Stop::Discard(Discard::Duplicate));
            }
            cx.note(What::Accepted {
                seq: segment.header.seq,
                text: 0,
            });
            return Ok(());
        }
        let fin = segment.header.flags.contains(Flags::FIN);
        if segment.payload.is_empty() && !fin {
            return Ok(());
        }
        if self.rcv.fin_reached {
            return Err(Stop::Discard(Discard::AfterClose));
        }
        if fin && start.le(self.rcv.nxt) {
            self.expect_fin();
        }
        let skip = if start.lt(self.rcv.nxt) {
            self.rcv.nxt.since(start)
        } else {
            0
        };
        let arrived = Arrived {
            seq: start + skip,
            text: segment.payload.get(skip as usize..).unwrap_or_default(),
            fin,
        };
        let duplicate = self.store(cx, segment, &arrived)?;
        if !reported {
            self.rcv.duplicate = duplicate.or(self.rcv.duplicate);
        }
        Ok(())
    }

    /// Stores what arrived, as far as the window goes. Returns which part of it had been held
    /// before. What is not accepted in order, or not at all, is acknowledged at once.
    pub(super) fn store(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
        arrived: &Arrived<'_>,
    ) -> Result<Option<(Seq, Seq)>, Stop> {
        let Arrived { seq, text, fin } = *arrived;
        let nxt = self.rcv.nxt;
        let start = segment.header.seq + u32::from(segment.header.flags.contains(Flags::SYN));
        let offset = seq.since(nxt);
        let window = self.rcv.window();
        if self.config.beyond_window == BeyondWindow::Whole && offset > 0 && offset >= window {
            self.acknowledge_repeated();
            return Err(Stop::Discard(Discard::NoRoom));
        }
        // Linux looks at where it begins, and has room for as much as a packet holds.
        let whole = self.config.beyond_window == BeyondWindow::Whole && offset < window;
        let fits = if whole {
            text.len()
        } else {
            window.saturating_sub(offset) as usize
        };
        let cut = text.len() > fits;
        let inside = if cut { &text[..fits] } else { text };
        // With text a FIN may lie right behind the window, as in Linux.
        let fin = fin && !cut && (whole || offset as usize + text.len() <= window as usize);
        let held = self.held(seq, inside.len() as u32, fin);
        let Some((inserted, holes)) = self.insert(cx.left.memory, offset, inside, fin) else {
            self.acknowledge(Cause::Ack);
            return Err(Stop::Discard(Discard::NoRoom));
        };
        let end = seq + text.len() as u32;
        // Before a FIN in order repeated text counts as well (Linux `tcp_queue_rcv`).
        let repeated = !segment.payload.is_empty() && fin && inserted.fin && offset == 0;
        let in_order = inserted.advanced > 0 || repeated;
        if in_order || offset > 0 {
            let before = self.measure(cx, segment, in_order);
            if in_order || inserted.new > 0 || (fin && !inserted.refused) {
                let stored = (start, end + u32::from(fin));
                self.charge_room(cx.now, segment, stored, before, in_order);
            }
        }
        self.rcv.advance(inserted.advanced);
        self.rcv.fin_next = inserted.fin;
        self.wake.readable |= inserted.advanced > 0;
        match (inserted.new, inserted.refused) {
            (0, _) if fin => {}
            (0, true) => cx.note(What::Discarded(Discard::NoRoom)),
            (0, false) => cx.note(What::Discarded(Discard::Duplicate)),
            (text, _) => cx.note(What::Accepted { seq, text }),
        }
        // A FIN whose turn it is has an ACK of its own.
        if inserted.advanced > 0 || !inserted.fin {
            //= MAY-13, 5681-9
            // A FIN in order leaves no hole behind it that anything could fill.
            let filled = holes && !(inserted.fin && fin);
            let at_once = filled || inserted.new == 0 || cut;
            self.plan_ack(cx, at_once);
        }
        Ok(held.map(|(left, right)| (nxt + left, nxt + right)))
    }

    /// The first part of this text, with its FIN, that is held behind a hole: offsets from RCV.NXT.
    fn held(&self, seq: Seq, len: u32, fin: bool) -> Option<(u32, u32)> {
        let transfer = self.transfer.as_ref()?;
        if !transfer.receive.has_holes() {
            return None;
        }
        let room = transfer.room.as_ref();
        let joins = self.config.overlap == Overlap::Linux
            && room.is_none_or(|room| room.is_joined(seq, len));
        let offset = seq.since(self.rcv.nxt);
        transfer
            .receive
            .duplicate(offset, len + u32::from(fin), joins)
    }

    /// Inserts text at this offset from RCV.NXT; `None` where there is nothing to insert or no
    /// memory for it. Also returns whether there were holes before, or are now.
    fn insert(
        &mut self,
        memory_left: usize,
        offset: u32,
        text: &[u8],
        fin: bool,
    ) -> Option<(Inserted, bool)> {
        let overlap = self.config.overlap;
        let transfer = self.transfer.as_mut()?;
        let receive = &mut transfer.receive;
        if (text.is_empty() && !fin) || receive.growth(offset, text.len()) > memory_left {
            return None;
        }
        let had_holes = receive.has_holes();
        let inserted = receive.insert(offset, text, fin, overlap);
        let holes = had_holes || receive.has_holes();
        transfer.counts.bytes_received += u64::from(inserted.advanced);
        Some((inserted, holes))
    }

    /// Eighth: the FIN, once everything before it is there.
    pub(super) fn check_fin(&mut self, cx: &mut Context<'_>) -> Check {
        if self.is_over() {
            return Err(Stop::Done);
        }
        if !core::mem::take(&mut self.rcv.fin_next) {
            return Ok(());
        }
        self.rcv.advance(1);
        // There is no more to come, so that nothing needs to be told of what came twice (Linux
        // `tcp_fin`).
        self.rcv.duplicate = None;
        self.rcv.fin_reached = true;
        self.wake.readable = true;
        self.plan_ack_of_fin(cx);
        // TIME-WAIT has no buffer by which to choose it, nor has an orphan that is kept small.
        if !self.is_mini_orphan() {
            self.rcv_edge_moves();
        }
        match self.state {
            State::Established => self.change_state(cx, Trigger::Fin, State::CloseWait),
            State::FinWait1 if self.snd.is_fin_acked() => {
                self.change_state(cx, Trigger::FinAckOfFin, State::TimeWait)
            }
            State::FinWait1 => self.change_state(cx, Trigger::Fin, State::Closing),
            State::FinWait2 => self.change_state(cx, Trigger::Fin, State::TimeWait),
            _ => {}
        }
        Ok(())
    }
}
