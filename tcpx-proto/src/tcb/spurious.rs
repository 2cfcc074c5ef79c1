//! The end of a recovery, or of what follows a timeout, and the proof that there was nothing to
//! recover: Eifel detection by timestamps (RFC 3522), D-SACK (RFC 3708), F-RTO (RFC 5682).

use super::context::Context;
use super::history::AckSummary;
use super::{Tcb, Transfer};
use crate::event::{Evidence, What};
use crate::seq::Seq;
use crate::wire::Segment;

/// What an ACK did to the phase that it found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Settled {
    /// It goes on.
    GoesOn,
    /// It is over.
    Ended,
    /// It was needless, and its reduction is taken back.
    Undone,
}

impl Tcb {
    /// Ends a recovery whose end this ACK is, and takes one back that this ACK proves needless
    /// (Linux's `tcp_fastretrans_alert`).
    pub(super) fn settle(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
        summary: &AckSummary,
        acked: u32,
    ) -> Settled {
        let una = self.snd.una;
        let echo = self.stamps.echo(&segment.header);
        let Some(Transfer {
            history,
            congestion,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return Settled::GoesOn;
        };
        // RFC 3522 section 3.2: the echo is older than the first retransmission, so that an
        // original arrived; or nothing has been retransmitted.
        let delayed = match history.first_resent {
            //= 3522-1
            Some(stamp) => echo.is_some_and(|echo| Seq(echo).lt(Seq(stamp))),
            None => true,
        };
        if let (Some(range), Some(undo)) = (summary.duplicate, congestion.undo()) {
            undo.duplicate(range);
        }
        if congestion.in_loss() {
            return self.settle_loss(cx, segment, summary, acked, delayed);
        }
        let in_recovery = congestion.in_recovery();
        //= 6675-4
        let ends = in_recovery && congestion.is_past(una);
        let whole = congestion.undo().and_then(|undo| undo.evidence(delayed));
        let duplicates = congestion.undo().and_then(|undo| undo.all_duplicates());
        if ends {
            history.rack.recovered();
            return self.end_or_undo(cx, whole, false);
        }
        let partial = in_recovery && acked > 0 && whole == Some(Evidence::Timestamps);
        if partial && history.board.copies() > 0 {
            // Plain luck: a hole is filled by what was only late. What was retransmitted is still
            // on its way; nothing more is, until it has arrived.
            history.new_first = true;
            return Settled::GoesOn;
        }
        if partial {
            return self.end_or_undo(cx, whole, true);
        }
        if !in_recovery && history.board.copies() == 0 {
            history.first_resent = None;
        }
        match duplicates {
            Some(_) => self.end_or_undo(cx, duplicates, false),
            None => Settled::GoesOn,
        }
    }

    /// The same after a retransmission timeout (Linux's `tcp_process_loss`), with F-RTO's SACK
    /// variant (RFC 5682 section 3.1).
    fn settle_loss(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
        summary: &AckSummary,
        acked: u32,
        delayed: bool,
    ) -> Settled {
        let nxt = self.snd.nxt;
        let more = nxt.lt(self.text_end()) && nxt.lt(self.snd.una + self.snd.wnd);
        let Some(Transfer {
            history,
            congestion,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return Settled::GoesOn;
        };
        let evidence = congestion.undo().and_then(|undo| undo.evidence(delayed));
        if acked > 0 && evidence.is_some() {
            return self.end_or_undo(cx, evidence, true);
        }
        let past = congestion.is_past(self.snd.una);
        if history.frto {
            // Step 3.b: something arrived that was sent before the timeout, and only then.
            //= 5682-2
            if summary.original && congestion.undo().is_some() {
                return self.end_or_undo(cx, Some(Evidence::NeverResent), true);
            }
            if congestion.is_beyond(nxt) {
                // Step 3.a: the new text arrived, and what was sent before it did not.
                history.frto &= !summary.newly_held && (acked > 0 || !segment.is_empty());
            } else if acked > 0 && !past {
                // Step 2.b: new text instead of another retransmission, which tells more.
                history.frto = more;
                //= 5682-1
                history.new_first = more;
                congestion.restart_at(nxt);
                if more {
                    return Settled::GoesOn;
                }
            }
        }
        if past {
            return self.end_or_undo(cx, evidence, false);
        }
        Settled::GoesOn
    }

    /// With evidence the reduction is taken back, and `unmark`: nothing counts as lost any more.
    /// Without, the phase is over.
    fn end_or_undo(
        &mut self,
        cx: &mut Context<'_>,
        evidence: Option<Evidence>,
        unmark: bool,
    ) -> Settled {
        let Some(Transfer {
            history,
            congestion,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return Settled::GoesOn;
        };
        history.frto = false;
        let Some(evidence) = evidence else {
            congestion.leave();
            return Settled::Ended;
        };
        if unmark {
            history.board.nothing_is_lost();
            self.snd.cursor = None;
            self.pending.retransmission = false;
        }
        if congestion.restore() {
            self.ecn.on_window_restored();
        }
        let cwnd = congestion.window();
        cx.note(What::Undone { evidence, cwnd });
        Settled::Undone
    }
}
