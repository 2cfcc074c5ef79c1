//! FIN-WAIT-2 without an application, where the policy keeps less of it than a connection (Linux
//! `tcp_timewait_state_process`).

use super::segment_arrives::{Check, Stop};
use super::{Context, Tcb};
use crate::config::Orphan;
use crate::error::CloseReason;
use crate::event::Discard;
use crate::state::{State, Trigger};
use crate::wire::{Flags, Segment};

impl Tcb {
    pub(super) fn is_mini_orphan(&self) -> bool {
        self.state == State::FinWait2 && self.mini
    }

    /// No application will receive in FIN-WAIT-2, from now on or once it is reached.
    pub(super) fn keep_less(&mut self) {
        self.mini = self.config.orphan == Orphan::Mini;
    }

    /// All the checks that there are: only the peer's FIN, right behind what it sent before, goes
    /// on to TIME-WAIT.
    pub(super) fn check_orphan(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        if !self.is_mini_orphan() {
            return Ok(());
        }
        let header = &segment.header;
        let old = header
            .options
            .timestamps
            .is_some_and(|stamps| self.stamps.on && self.stamps.is_old(cx.now, stamps.value));
        if (old && self.config.paws) || !self.is_acceptable(segment) {
            // A RST, too.
            self.answer(cx.now, segment);
            return Err(Stop::Discard(if old {
                Discard::Paws
            } else {
                Discard::OutOfWindow
            }));
        }
        if header.flags.contains(Flags::RST) {
            self.fail(cx, Trigger::Rst, CloseReason::Reset);
            return Err(Stop::Done);
        }
        let end = header.seq + segment.len();
        let syn = header.flags.contains(Flags::SYN) && header.seq.ge(self.rcv.nxt);
        let news = header.flags.contains(Flags::ACK) && !segment.is_empty() && end.gt(self.rcv.nxt);
        if !syn && !news {
            return Err(Stop::Discard(Discard::Duplicate));
        }
        if syn || !header.flags.contains(Flags::FIN) || end != self.rcv.nxt + 1 {
            self.reply_reset_to(cx, segment);
            self.fail(
                cx,
                if syn { Trigger::Syn } else { Trigger::Abort },
                CloseReason::Aborted,
            );
            return Err(Stop::Discard(Discard::AfterClose));
        }
        self.take_timestamp(cx.now, segment);
        self.check_text(cx, segment)?;
        self.check_fin(cx)?;
        // What is offered stays as it was (Linux's `tw_rcv_wnd`).
        self.rcv.edge += 1;
        Err(Stop::Done)
    }

    /// FIN-WAIT-1 becomes such an orphan at the ACK of our FIN, and what comes with that is not
    /// looked at any more; but the whole connection stays if that is a FIN (Linux
    /// `tcp_rcv_state_process`).
    pub(super) fn check_orphaned(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let mini = self.orphaned && self.config.orphan == Orphan::Mini;
        let closed = self.state == State::FinWait1 && self.snd.is_fin_acked();
        let end = segment.header.seq + segment.len();
        let old = (segment.is_empty() || end.le(self.rcv.nxt))
            && !segment.header.flags.contains(Flags::FIN);
        if !(mini && closed && old) {
            return Ok(());
        }
        self.keep_less();
        self.leave_fin_wait_1(cx);
        Err(Stop::Done)
    }
}
