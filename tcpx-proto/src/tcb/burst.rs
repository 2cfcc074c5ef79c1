//! A burst: full segments of new text that differ in nothing but SEG.SEQ and their text. They are
//! planned, labelled and noted as sent once for all of them.
//!
//! What the stack does is what it does without (tested: `tests/bursts.rs`).

use super::Tcb;
use super::context::Context;
use super::plan::{Kind, Plan, ahead};
use super::scoreboard::Mark;
use crate::label::Label;
use crate::wire::{Flags, Header, Payload, Sum, Template, announce_text};

/// Segments that [`Tcb::transmit`] wrote, one behind the other.
pub(crate) struct Sent {
    /// Bytes of each packet; of the headers where the text is not with them.
    pub(crate) len: usize,
    pub(crate) count: usize,
    /// Bytes of text before SND.NXT that belong to the headers.
    pub(crate) text: usize,
    pub(crate) label: Label,
}

/// What the caller of [`Stack::poll_burst`](crate::stack::Stack::poll_burst) takes at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Most {
    /// So many packets, each whole.
    Packets(usize),
    /// One packet of up to this many bytes, which the link cuts into segments, without its text;
    /// or one segment, whole.
    Uncut(usize),
}

/// IP identifications, one for each packet. Never 0: the kernel would put in one of its own.
#[derive(Clone, Copy)]
pub(crate) struct Ids(u16);

impl Ids {
    pub(crate) fn after(last: u16) -> Ids {
        Ids(last.wrapping_add(1).max(1))
    }

    /// The next one.
    pub(crate) fn take(&mut self) -> u16 {
        let id = self.0;
        self.0 = id.wrapping_add(1).max(1);
        id
    }
}

impl Tcb {
    /// Whether the segment after this one is like it, if it is full and there is room for it:
    /// it carries no news that may be sent only once, and the record is off.
    pub(super) fn is_repeatable(&self, cx: &Context<'_>, plan: &Plan, header: &Header) -> bool {
        let full = plan.kind == Kind::Text && !plan.small && plan.seq == self.snd.nxt;
        let plain = plan.flags == Flags::ACK && header.flags == Flags::ACK;
        let once = header.ack != self.rcv.acked
            || self.pending != Default::default()
            || self.rcv.duplicate.is_some()
            || self.fast_open.is_some();
        let calm = self.transfer.as_deref().is_some_and(|transfer| {
            let history = &transfer.history;
            transfer.congestion.is_settled()
                && history.board.bytes(Mark::Lost) == 0
                && !history.new_first
                && !transfer.receive.has_holes()
        });
        full && plain && !once && calm && self.snd.cursor.is_none() && !cx.record.on
    }

    /// How many full segments from this one on the windows let out, none of which is the last text
    /// that there is: that one may be pushed, or bring a FIN.
    pub(super) fn full_segments(&self, plan: &Plan) -> usize {
        let Some(transfer) = self.transfer.as_deref() else {
            return 0;
        };
        let text = ahead(plan.seq, self.text_end()).saturating_sub(1);
        let window = ahead(plan.seq, self.snd.una + self.snd.wnd);
        let congestion = self.congestion_room(transfer);
        (text.min(window).min(congestion) / plan.len.max(1)) as usize
    }

    /// Writes the headers of a packet of several segments, up to `room` bytes in all, without their
    /// text; returns how many bytes and how many segments. `None`: there would be but one.
    pub(super) fn write_uncut(
        &self,
        cx: &Context<'_>,
        plan: &Plan,
        header: &Header,
        room: usize,
        into: &mut [u8],
    ) -> Option<(usize, usize)> {
        let layout = self.config.syn_options;
        let headers = header.emit_by(cx.sum, layout, (&[], &[]), into).ok()?;
        let whole = headers + plan.len as usize;
        if self.snd.fragments || whole > usize::from(self.snd.path_mtu) {
            return None;
        }
        let room = room.min(usize::from(u16::MAX)).checked_sub(headers)?;
        // The kernel counts the identifications through zero when it cuts the packet.
        let ids = usize::from(u16::MAX - header.id) + 1;
        let most = (room / plan.len as usize).min(ids);
        let count = self.full_segments(plan).min(most);
        if count < 2 {
            return None;
        }
        announce_text(into.get_mut(..headers)?, count * plan.len as usize)?;
        Some((headers, count))
    }

    /// Text that was sent last: this many bytes of it.
    pub(crate) fn sent_text(&self, len: usize) -> Payload<'_> {
        let seq = self.snd.nxt.back(len as u32);
        let offset = seq.since(self.snd.text_start()) as usize;
        self.transfer
            .as_deref()
            .map_or((&[], &[]), |transfer| transfer.send.slices(offset, len))
    }

    /// Writes more segments behind the first one of `written` bytes, up to `most` in all; returns
    /// how many.
    pub(super) fn repeat(
        &self,
        sum: Sum,
        plan: &Plan,
        ids: &mut Ids,
        into: &mut [u8],
        (written, most): (usize, usize),
    ) -> usize {
        let len = plan.len as usize;
        let (first, rest) = into.split_at_mut(written);
        let Some(template) = Template::new(first, len) else {
            return 0;
        };
        let mut seq = plan.seq;
        let mut count = 0;
        for place in rest.chunks_exact_mut(written).take(most.saturating_sub(1)) {
            seq += plan.len;
            let text = self.payload(&Plan { seq, ..*plan });
            if template
                .write(sum, (seq, ids.take()), text, place)
                .is_none()
            {
                break;
            }
            count += 1;
        }
        count
    }
}
