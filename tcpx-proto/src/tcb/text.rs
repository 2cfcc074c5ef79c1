//! SEGMENT ARRIVES, sixth to eighth check (RFC 9293 section 3.10.7.4): URG, the text, the FIN.

use super::segment_arrives::{Check, Stop};
use super::{Cx, State, Tcb};
use crate::config::{SequenceCheck, Unacknowledging};
use crate::event::{Cause, CloseReason, Discard, Timer, Trigger, What};
use crate::seq::Seq;
use crate::wire::{Flags, Segment};

impl Tcb {
    /// Before the first check, where the policy says so: is there anything that a segment of a connection has?
    pub(super) fn check_control(&self, segment: &Segment<'_>) -> Check {
        let flags = segment.header.flags;
        let bare = !(flags.has(Flags::ACK) || flags.has(Flags::RST) || flags.has(Flags::SYN));
        let dropped = self.config.unacknowledging == Unacknowledging::Drop && bare && !self.is_mini();
        if dropped { Err(Stop::Discard(Discard::NoAck)) } else { Ok(()) }
    }

    /// In a state that Linux keeps less of than a connection, and checks by rules of its own.
    pub(super) fn is_mini(&self) -> bool {
        self.state == State::TimeWait || (self.state == State::SynReceived && self.passive)
    }

    /// What the first check refused goes on where there is no such check.
    pub(super) fn without_sequence_check(&self, stop: Stop) -> Check {
        match (stop, self.config.sequence_check) {
            (Stop::Discard(Discard::OutOfWindow), SequenceCheck::None) => Ok(()),
            (stop, _) => Err(stop),
        }
    }

    /// The same segment at RCV.NXT, where there is no check of where it lies. What has no room in the window there is cut off as ever.
    pub(super) fn moved<'a>(&self, segment: &Segment<'a>) -> Option<Segment<'a>> {
        if self.config.sequence_check == SequenceCheck::Window || self.in_window(segment) {
            return None;
        }
        let mut moved = *segment;
        moved.header.seq = self.rcv.nxt;
        Some(moved)
    }

    /// Sixth: URG (RFC 6093: the data stays in line; the application is told).
    pub(super) fn urgent(&mut self, cx: &mut Cx<'_>, segment: &Segment<'_>) {
        let header = &segment.header;
        if !header.flags.has(Flags::URG) || self.rcv.fin_reached {
            return;
        }
        let up_to = header.seq + u32::from(header.urgent);
        if up_to.gt(self.rcv.nxt) && self.rcv.urgent.is_none_or(|known| up_to.gt(known)) {
            self.rcv.urgent = Some(up_to);
            cx.record.note(cx.now, Some(cx.id), What::Urgent { up_to });
            self.wake.urgent = true;
        }
    }

    /// How many octets RECEIVE has yet to give up to the end of the urgent data, those included that are still on their way (MUST-33).
    pub(super) fn urgent_left(&self) -> Option<usize> {
        let next = self.rcv.nxt.back(u32::from(self.rcv.fin_reached)).back(u32::try_from(self.unread()).ok()?);
        let up_to = self.rcv.urgent.filter(|up_to| up_to.gt(next))?;
        Some(up_to.since(next) as usize)
    }

    /// Seventh: the text.
    pub(super) fn text(&mut self, cx: &mut Cx<'_>, segment: &Segment<'_>) -> Check {
        let start = segment.header.seq + u32::from(segment.header.flags.has(Flags::SYN));
        let end = start + segment.payload.len() as u32;
        // A bare ACK may come before what was sent before it, such as the peer's FIN of a simultaneous close.
        let more = end.gt(self.rcv.nxt) && (!segment.payload.is_empty() || segment.header.flags.has(Flags::FIN));
        if self.released && more && matches!(self.state, State::FinWait1 | State::FinWait2) {
            // SHLD-3: nobody will ever read this.
            self.reply_reset_to(cx, segment);
            self.pending.ack = None;
            self.fail(cx, Trigger::Abort, CloseReason::Aborted);
            return Err(Stop::Discard(Discard::AfterClose));
        }
        self.note_duplicate(segment);
        if (segment.header.seq + segment.len()).le(self.rcv.nxt) {
            if !segment.is_empty() && !segment.header.flags.has(Flags::SYN) {
                self.acknowledge(Cause::Ack);
                return Err(Stop::Discard(Discard::Duplicate));
            }
            cx.record.note(cx.now, Some(cx.id), What::Accepted { seq: segment.header.seq, text: 0 });
            return Ok(());
        }
        if segment.payload.is_empty() {
            return Ok(());
        }
        if self.rcv.fin_reached {
            return Err(Stop::Discard(Discard::AfterClose));
        }
        if self.is_linux() && segment.header.flags.has(Flags::FIN) && start.le(self.rcv.nxt) {
            // What the FIN brings with it waits as the FIN's own ACK does.
            self.rcv.quick = 0;
        }
        let skip = if start.lt(self.rcv.nxt) { self.rcv.nxt.since(start) } else { 0 };
        match segment.payload.get(skip as usize..) {
            Some(text) if !text.is_empty() => self.store(cx, start + skip, text),
            _ => Ok(()),
        }
    }

    /// What of this segment lies before RCV.NXT is for the next ACK to tell (RFC 2883 section 4).
    pub(super) fn note_duplicate(&mut self, segment: &Segment<'_>) {
        let (left, right) = (segment.header.seq, (segment.header.seq + segment.len()).min(self.rcv.nxt));
        if left.lt(right) && !segment.header.flags.has(Flags::SYN) {
            self.rcv.duplicate = Some((left, right));
        }
    }

    fn store(&mut self, cx: &mut Cx<'_>, seq: Seq, text: &[u8]) -> Check {
        let window = self.window();
        let offset = seq.since(self.rcv.nxt);
        let limit = self.rcv.fin.map_or(window, |fin| window.min(fin.since(self.rcv.nxt)));
        let fits = limit.saturating_sub(offset) as usize;
        let inside = &text[..text.len().min(fits)];
        let fin_held = self.fin_held().is_some();
        let Some(transfer) = &mut self.transfer else { return Err(Stop::Discard(Discard::NoRoom)) };
        let had_holes = transfer.receive.has_holes() || fin_held;
        let over = transfer.receive.growth(offset, inside.len()) > cx.memory_left;
        if inside.is_empty() || over {
            self.acknowledge(Cause::Ack);
            return Err(Stop::Discard(Discard::NoRoom));
        }
        let inserted = transfer.receive.insert(offset, inside);
        let holes = had_holes || transfer.receive.has_holes();
        if let Some((left, right)) = inserted.held {
            self.rcv.duplicate = Some((self.rcv.nxt + left, self.rcv.nxt + right));
        }
        self.rcv.nxt += inserted.advanced;
        self.rcv.full = self.rcv.full.max((text.len() as u32).min(u32::from(self.config.mtu)));
        self.wake.readable |= inserted.advanced > 0;
        if inserted.new == 0 {
            let reason = if inserted.refused { Discard::NoRoom } else { Discard::Duplicate };
            cx.record.note(cx.now, Some(cx.id), What::Discarded(reason));
        } else {
            cx.record.note(cx.now, Some(cx.id), What::Accepted { seq, text: inserted.new });
        }
        self.plan_ack(cx, holes || inserted.new == 0 || inside.len() < text.len());
        Ok(())
    }

    /// When text is acknowledged: at once where it is out of order, fills a hole, is the second full segment, or ACKs are not delayed
    /// (MUST-40, SHLD-18, SHLD-19, MAY-13).
    fn plan_ack(&mut self, cx: &mut Cx<'_>, at_once: bool) {
        let waiting = self.rcv.nxt.since(self.rcv.acked);
        let Some(delay) = self.config.delayed_ack.filter(|_| !at_once && self.rcv.quick == 0 && waiting < 2 * self.rcv.full) else {
            self.acknowledge(Cause::Ack);
            return;
        };
        if !self.runs(Timer::DelayedAck) {
            self.start(cx, Timer::DelayedAck, delay);
        }
    }

    /// 3.10.7.4 sends the ACK of a FIN; the FIN of an application that closes in the same moment would be a second segment. Linux lets
    /// it wait (`tcp_fin` enters pingpong mode), so that one segment does both and a close takes three.
    fn plan_ack_of_fin(&mut self, cx: &mut Cx<'_>) {
        let waits = self.is_linux() && self.state == State::Established && self.pending.ack.is_none();
        match self.config.delayed_ack.filter(|_| waits) {
            None => self.acknowledge(Cause::Ack),
            Some(_) if self.runs(Timer::DelayedAck) => {}
            Some(delay) => self.start(cx, Timer::DelayedAck, delay),
        }
    }

    /// Eighth: the FIN, once everything before it is there.
    pub(super) fn fin(&mut self, cx: &mut Cx<'_>, segment: &Segment<'_>) -> Check {
        if self.is_over() {
            return Err(Stop::Done);
        }
        if segment.header.flags.has(Flags::FIN) && !self.rcv.fin_reached {
            let syn = u32::from(segment.header.flags.has(Flags::SYN));
            let fin = segment.header.seq + syn + segment.payload.len() as u32;
            // Not before text that is there already: one of the two is forged, and the first stands.
            let reach = self.transfer.as_ref().map_or(0, |transfer| transfer.receive.reach());
            if self.rcv.fin.is_none() && (reach..=self.rcv.edge.since(self.rcv.nxt)).contains(&fin.since(self.rcv.nxt)) {
                self.rcv.fin = Some(fin);
            }
            if self.rcv.fin == Some(fin) && fin != self.rcv.nxt {
                self.acknowledge(Cause::Ack);
            }
        }
        if self.rcv.fin_reached || self.rcv.fin != Some(self.rcv.nxt) {
            return Ok(());
        }
        self.rcv.nxt += 1;
        self.rcv.edge = self.rcv.edge.max(self.rcv.nxt);
        self.rcv.fin_reached = true;
        self.wake.readable = true;
        self.plan_ack_of_fin(cx);
        match self.state {
            State::Established => self.change_state(cx, Trigger::Fin, State::CloseWait),
            State::FinWait1 if self.fin_acknowledged() => self.change_state(cx, Trigger::FinAckOfFin, State::TimeWait),
            State::FinWait1 => self.change_state(cx, Trigger::Fin, State::Closing),
            State::FinWait2 => self.change_state(cx, Trigger::Fin, State::TimeWait),
            _ => {}
        }
        Ok(())
    }
}
