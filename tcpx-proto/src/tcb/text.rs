//! SEGMENT ARRIVES, seventh and eighth check (RFC 9293 section 3.10.7.4): the text, the FIN.

use super::segment_arrives::{Check, Stop};
use super::{Context, Tcb};
use crate::config::{ResetPlace, SequenceCheck, TextOverFin, Unacknowledging};
use crate::error::CloseReason;
use crate::event::{Discard, What};
use crate::label::Cause;
use crate::seq::Seq;
use crate::state::{State, Trigger};
use crate::wire::{Flags, Segment};

impl Tcb {
    /// Before the first check, where the policy says so: is there anything that a segment of a
    /// connection has?
    pub(super) fn check_control(&self, segment: &Segment<'_>) -> Check {
        let flags = segment.header.flags;
        let bare = !(flags.has(Flags::ACK) || flags.has(Flags::RST) || flags.has(Flags::SYN));
        let dropped =
            self.config.unacknowledging == Unacknowledging::Drop && bare && !self.is_mini();
        if dropped {
            Err(Stop::Discard(Discard::NoAck))
        } else {
            Ok(())
        }
    }

    /// In a state that Linux keeps less of than a connection, and checks by rules of its own.
    pub(super) fn is_mini(&self) -> bool {
        self.state == State::TimeWait
            || (self.state == State::SynReceived && self.passive)
            || self.is_mini_orphan()
    }

    /// Where a RST resets beside RCV.NXT, if the policy knows such places: its sender is there.
    pub(super) fn is_where_peer_is(&self, seq: Seq) -> bool {
        self.is_before_fin(seq)
            || (self.config.reset_place == ResetPlace::WherePeerIs && self.held_end() == Some(seq))
    }

    /// After the peer's FIN its RST may not count that FIN.
    pub(super) fn is_before_fin(&self, seq: Seq) -> bool {
        let waits = matches!(
            self.state,
            State::CloseWait | State::Closing | State::LastAck
        );
        waits
            && seq == self.rcv.nxt.back(1)
            && self.rcv.fin_reached
            && self.config.reset_place == ResetPlace::WherePeerIs
    }

    /// What the first check refused goes on where there is no such check.
    pub(super) fn without_sequence_check(&self, stop: Stop) -> Check {
        match (stop, self.config.sequence_check) {
            (Stop::Discard(Discard::OutOfWindow), SequenceCheck::None) => Ok(()),
            (stop, _) => Err(stop),
        }
    }

    /// The same segment at RCV.NXT, where there is no check of where it lies. What has no room in
    /// the window there is cut off as ever.
    pub(super) fn moved_into_window<'a>(&self, segment: &Segment<'a>) -> Option<Segment<'a>> {
        if self.config.sequence_check == SequenceCheck::Window || self.in_window(segment) {
            return None;
        }
        let mut moved = *segment;
        moved.header.seq = self.rcv.nxt;
        Some(moved)
    }

    /// Seventh: the text.
    pub(super) fn check_text(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let start = segment.header.seq + u32::from(segment.header.flags.has(Flags::SYN));
        let end = start + segment.payload.len() as u32;
        // A bare ACK may come before what was sent before it, such as the peer's FIN of a
        // simultaneous close.
        let more = end.gt(self.rcv.nxt)
            && (!segment.payload.is_empty() || segment.header.flags.has(Flags::FIN));
        // SHLD-3: nobody will ever read this.
        let unread =
            self.orphaned && more && matches!(self.state, State::FinWait1 | State::FinWait2);
        let over_fin = self.rcv.fin_reached && start.lt(self.rcv.nxt) && end.gt(self.rcv.nxt);
        if unread || (over_fin && self.config.text_over_fin == TextOverFin::Reset) {
            self.reply_reset_to(cx, segment);
            self.pending.ack = None;
            self.fail(cx, Trigger::Abort, CloseReason::Aborted);
            return Err(Stop::Discard(Discard::AfterClose));
        }
        let told = self.note_duplicate(segment);
        if (segment.header.seq + segment.len()).le(self.rcv.nxt) {
            if !segment.is_empty() && !segment.header.flags.has(Flags::SYN) {
                self.ack_repetitions_quickly();
                self.acknowledge(Cause::Ack);
                return Err(Stop::Discard(Discard::Duplicate));
            }
            cx.record.note(
                cx.now,
                Some(cx.id),
                What::Accepted {
                    seq: segment.header.seq,
                    text: 0,
                },
            );
            return Ok(());
        }
        let fin = segment.header.flags.has(Flags::FIN);
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
        let text = segment.payload.get(skip as usize..).unwrap_or_default();
        let duplicate = self.store(cx, segment, start + skip, text, fin)?;
        if !told {
            self.rcv.duplicate = duplicate.or(self.rcv.duplicate);
        }
        Ok(())
    }

    /// What of this segment lies before RCV.NXT is for the next ACK to tell (RFC 2883 section 4),
    /// if there is any.
    pub(super) fn note_duplicate(&mut self, segment: &Segment<'_>) -> bool {
        let (left, right) = (
            segment.header.seq,
            (segment.header.seq + segment.len()).min(self.rcv.nxt),
        );
        let old = left.lt(right) && !segment.header.flags.has(Flags::SYN);
        if old {
            self.rcv.duplicate = Some((left, right));
        }
        old
    }

    /// Stores text from `seq` on, not before RCV.NXT, and the FIN behind it; says what of it had
    /// been held before. Whatever is not taken at once, or not taken at all, is answered at once.
    fn store(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
        seq: Seq,
        text: &[u8],
        fin: bool,
    ) -> Result<Option<(Seq, Seq)>, Stop> {
        let nxt = self.rcv.nxt;
        let offset = seq.since(nxt);
        let fits = self.window().saturating_sub(offset) as usize;
        let inside = &text[..text.len().min(fits)];
        // With text a FIN may lie right behind the window, as Linux has it.
        let fin = fin
            && inside.len() == text.len()
            && (offset as usize + text.len()) <= self.window() as usize;
        let transfer = self.transfer.as_mut().filter(|_| !inside.is_empty() || fin);
        let Some(transfer) = transfer
            .filter(|transfer| transfer.receive.growth(offset, inside.len()) <= cx.memory_left)
        else {
            self.acknowledge(Cause::Ack);
            return Err(Stop::Discard(Discard::NoRoom));
        };
        let had_holes = transfer.receive.has_holes();
        let inserted = transfer
            .receive
            .insert(offset, inside, fin, self.config.overlap);
        let holes = had_holes || transfer.receive.has_holes();
        self.rcv.nxt += inserted.advanced;
        // The peer may use what the scale's unit added to the window.
        self.rcv.edge = self.rcv.edge.max(self.rcv.nxt);
        self.rcv.fin_next = inserted.fin;
        self.wake.readable |= inserted.advanced > 0;
        if inserted.new > 0 {
            cx.record.note(
                cx.now,
                Some(cx.id),
                What::Accepted {
                    seq,
                    text: inserted.new,
                },
            );
        } else if !fin {
            let reason = if inserted.refused {
                Discard::NoRoom
            } else {
                Discard::Duplicate
            };
            cx.record.note(cx.now, Some(cx.id), What::Discarded(reason));
        }
        // A FIN whose turn it is has an ACK of its own.
        if inserted.advanced > 0 || !inserted.fin {
            self.plan_ack(
                cx,
                segment,
                inserted.advanced,
                holes || inserted.new == 0 || inside.len() < text.len(),
            );
        }
        Ok(inserted
            .duplicate
            .map(|(left, right)| (nxt + left, nxt + right)))
    }

    /// Eighth: the FIN, once everything before it is there.
    pub(super) fn check_fin(&mut self, cx: &mut Context<'_>) -> Check {
        if self.is_over() {
            return Err(Stop::Done);
        }
        if !core::mem::take(&mut self.rcv.fin_next) {
            return Ok(());
        }
        self.rcv.nxt += 1;
        // There is no more to come, so that nothing needs to be told of what came twice (Linux
        // `tcp_fin`).
        self.rcv.duplicate = None;
        self.rcv.edge = self.rcv.edge.max(self.rcv.nxt);
        self.rcv.fin_reached = true;
        self.wake.readable = true;
        self.plan_ack_of_fin(cx);
        match self.state {
            State::Established => self.change_state(cx, Trigger::Fin, State::CloseWait),
            State::FinWait1 if self.fin_acknowledged() => {
                self.change_state(cx, Trigger::FinAckOfFin, State::TimeWait)
            }
            State::FinWait1 => self.change_state(cx, Trigger::Fin, State::Closing),
            State::FinWait2 => self.change_state(cx, Trigger::Fin, State::TimeWait),
            _ => {}
        }
        Ok(())
    }
}
