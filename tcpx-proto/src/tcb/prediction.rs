//! Header prediction (Jacobson 1990): the next text in order, at an end that has nothing to send, is
//! what most segments of a transfer are. All checks of SEGMENT ARRIVES but the seventh have nothing
//! to find in it.
//!
//! What happens is what the checks would do (tested: `tests/fast_paths.rs`).

use super::Tcb;
use super::context::Context;
use super::segment_arrives::Stop;
use super::text::Arrived;
use crate::event::{Timer, What};
use crate::state::State;
use crate::wire::{Flags, Segment};

impl Tcb {
    /// Takes the segment if it is the one that was predicted; `false`: nothing has happened.
    pub(super) fn take_predicted(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> bool {
        if !cx.fast || !self.is_next_text(cx, segment) || !self.is_only_receiving() {
            return false;
        }
        let header = &segment.header;
        self.rcv.last_heard = cx.now;
        self.rcv.keepalive_probes = 0;
        self.take_timestamp(cx.now, segment);
        if self.snd.is_window_fresh(header, self.config.window_update) {
            self.snd.take_window(header);
        }
        let arrived = Arrived {
            seq: header.seq,
            text: segment.payload,
            fin: false,
        };
        // There may be no memory for it.
        if let Err(Stop::Discard(reason)) = self.store(cx, segment, &arrived) {
            cx.note(What::Discarded(reason));
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.counts.heard(cx.now, true);
        }
        true
    }

    /// Whether it is text at RCV.NXT, within the window, with an ACK that says nothing new and no
    /// option but the timestamp that is expected.
    fn is_next_text(&self, cx: &Context<'_>, segment: &Segment<'_>) -> bool {
        let header = &segment.header;
        let len = segment.payload.len();
        let plain = header.flags == Flags::ACK || header.flags == Flags::ACK | Flags::PSH;
        let stamped = match header.options.timestamps {
            Some(stamps) => self.stamps.on && !self.stamps.is_old(cx.now, stamps.value),
            None => !self.stamps.on,
        };
        plain
            && self.state == State::Established
            && header.seq == self.rcv.nxt
            && header.ack == self.snd.una
            && header.window > 0
            && len > 0
            && len <= self.rcv.window() as usize
            && stamped
            && header.options.sack.as_slice().is_empty()
    }

    /// Whether nothing is sent, repaired or awaited here but text: what an ACK or the end of the
    /// checks could have to do.
    fn is_only_receiving(&self) -> bool {
        let Some(transfer) = self.transfer.as_deref() else {
            return false;
        };
        let timers = [Timer::Persist, Timer::Override, Timer::Reordering];
        self.snd.una == self.snd.nxt
            && self.snd.syn_acked
            && self.snd.wnd > 0
            && self.snd.cursor.is_none()
            && !self.snd.closing
            && !self.orphaned
            && !self.ecn.on
            && self.rcv.urgent.is_none()
            && self.queued.is_none()
            && self.fast_open.is_none()
            && transfer.is_quiet()
            && !timers
                .into_iter()
                .any(|timer| self.timers.is_running(timer))
    }
}
