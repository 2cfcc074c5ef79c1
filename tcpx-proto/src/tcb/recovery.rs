//! Loss recovery with SACK: what an ACK means for congestion control, when something is lost, and
//! what is sent next.

use super::context::Context;
use super::history::AckSummary;
use super::path::Path;
use super::rack::Rack;
use super::{Tcb, Transfer};
use crate::config::{Recovery, TimeoutSack};
use crate::event::Timer;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::Segment;

/// A stretch that NextSeg (RFC 6675 section 4) chose.
#[derive(Clone, Copy)]
pub(super) struct NextSegment {
    pub(super) from: Seq,
    pub(super) until: Seq,
    /// It goes although the congestion window is full.
    pub(super) forced: bool,
}

impl Tcb {
    /// Whether losses are detected and repaired by SACK; otherwise by duplicate ACKs alone.
    pub(super) fn is_selective(&self) -> bool {
        self.rcv.sack && self.config.recovery != Recovery::NewReno
    }

    pub(super) fn path(&self, now: Instant) -> Path {
        Path {
            now,
            rtt: self.estimator.srtt.unwrap_or(Duration::ZERO),
            mss: self.effective_mss(0),
            marked: false,
        }
    }

    /// The same, as seen with the ACK at hand.
    pub(super) fn path_with(&self, now: Instant, segment: &Segment<'_>) -> Path {
        Path {
            marked: self.ecn.is_echo(segment.header.flags),
            ..self.path(now)
        }
    }

    /// What an ACK means for congestion control and recovery, once SND.UNA has moved by `acked`
    /// bytes.
    pub(super) fn on_selective_ack(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
        summary: &AckSummary,
        acked: u32,
    ) {
        let una = self.snd.una;
        let flight = self.snd.flight();
        let path = self.path_with(cx.now, segment);
        let Some(Transfer {
            history,
            congestion,
            counts,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return;
        };
        if acked > 0 {
            self.pending.tail_probe = false;
            if congestion.advanced(acked, una, flight, &path) {
                history.rack.recovered();
            }
        } else if summary.newly_held {
            congestion.selective_duplicate();
        }
        let reneged = history.board.is_reneged();
        if reneged {
            history.board.forget_held();
        }
        let repeated = acked == 0 && segment.is_empty() && !summary.newly_held;
        if summary.duplicate {
            counts.duplicates_reported = counts.duplicates_reported.wrapping_add(1);
        }
        let probe_lost =
            history
                .rack
                .probe_acknowledged(segment.header.ack, repeated, summary.duplicate);
        if probe_lost && !congestion.in_recovery() {
            congestion.slow_down(flight + acked, path.mss);
            self.ecn.on_window_reduced(self.snd.nxt);
        }
        self.detect_losses(cx, reneged);
        // An ACK without news does not postpone the probe.
        if acked > 0 || summary.newly_held {
            self.schedule_tail_probe(cx);
        }
    }

    /// Marks what the policy takes for lost, and begins a recovery for it, unless one goes on
    /// already (RFC 6675 section 5, step 4). `reneged`: the peer dropped what it held.
    pub(super) fn detect_losses(&mut self, cx: &mut Context<'_>, reneged: bool) {
        let una = self.snd.una;
        let nxt = self.snd.nxt;
        let path = self.path(cx.now);
        let threshold = self.config.dup_ack_threshold;
        let Some(Transfer {
            history,
            congestion,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return;
        };
        let losses = history.detect_losses(self.config.recovery, threshold, una, &path, congestion);
        let begins = !congestion.in_recovery() && congestion.is_past(una);
        if (losses.found || reneged) && begins {
            congestion.lost(nxt, nxt.since(una), path.mss);
            history.rescued = false;
            self.pending.retransmission = true;
            self.ecn.on_window_reduced(nxt);
        }
        match losses.next {
            //= 8985-2
            Some(left) => self.timers.start(cx, Timer::Reordering, left),
            None => self.timers.stop(cx, Timer::Reordering),
        }
    }

    /// The retransmission timer expired: everything in flight is in doubt.
    pub(super) fn doubt_everything(&mut self, now: Instant) {
        let path = self.path(now);
        let keep = self.config.timeout_sack == TimeoutSack::Keep;
        // A probe for which there is no room would stand in the way.
        self.pending.tail_probe = false;
        if let Some(transfer) = self.transfer.as_deref_mut() {
            transfer
                .history
                .on_retransmission_timeout(self.config.recovery, keep, &path);
        }
    }

    /// How many more bytes the congestion window lets out.
    pub(super) fn congestion_room(&self, transfer: &Transfer) -> u32 {
        transfer
            .congestion
            .window()
            .saturating_sub(transfer.history.board.pipe(self.snd.flight()))
    }

    /// What is sent again before new text (NextSeg rule 1).
    pub(super) fn next_lost(&self, transfer: &Transfer) -> Option<NextSegment> {
        let (from, until) = transfer.history.board.next_lost()?;
        let whole = until.since(from).min(self.effective_mss(self.sack_len()));
        let forced = self.pending.retransmission;
        if !forced && self.congestion_room(transfer) < whole {
            return None;
        }
        Some(NextSegment {
            from,
            until,
            forced,
        })
    }

    /// What is sent again where there is no new text (NextSeg rules 3 and 4); not with RACK (RFC
    /// 8985 section 9.2).
    pub(super) fn next_doubtful(&self, transfer: &Transfer) -> Option<NextSegment> {
        let mss = self.effective_mss(self.sack_len());
        //= 8985-6
        if self.config.recovery != Recovery::Rfc6675
            || !transfer.congestion.in_recovery()
            || self.congestion_room(transfer) < mss
        {
            return None;
        }
        let history = &transfer.history;
        let (from, until) = match history.board.next_doubtful() {
            Some(stretch) => stretch,
            //= 6675-3
            None if history.rescued => return None,
            None => history.board.last(mss)?,
        };
        Some(NextSegment {
            from,
            until,
            forced: false,
        })
    }

    /// A tail-loss probe is due (RFC 8985 section 7.3): new text or a FIN if there is any, else the
    /// last segment once more.
    pub(super) fn next_probe(&self, transfer: &Transfer) -> NextSegment {
        let nxt = self.snd.nxt;
        let end = self.text_end();
        let new = nxt.lt(end) || self.snd.is_fin_unsent();
        //= 8985-4
        if new && nxt.lt(self.snd.una + self.snd.wnd) {
            return NextSegment {
                from: nxt,
                until: end,
                forced: true,
            };
        }
        NextSegment {
            from: transfer.history.newest.max(self.snd.una),
            until: nxt,
            forced: true,
        }
    }

    /// A segment with text or FIN left, from `seq` to `end`, SND.NXT having been `nxt` before.
    pub(super) fn note_in_history(&mut self, now: Instant, seq: Seq, end: Seq, nxt: Seq) {
        let probing = core::mem::take(&mut self.pending.tail_probe);
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        let recovering = transfer.congestion.in_recovery();
        transfer.history.on_sent(now, seq, end, nxt, recovering);
        if probing {
            transfer.history.on_probe_sent(seq, end, nxt);
        }
    }

    /// After new text and after new ACKs: starts the probe timer where a probe could help (RFC 8985
    /// section 7.2), else stops it.
    pub(super) fn schedule_tail_probe(&mut self, cx: &mut Context<'_>) {
        match self.tail_probe_timeout(cx.now) {
            Some(after) => self.timers.start(cx, Timer::TailLoss, after),
            None => self.timers.stop(cx, Timer::TailLoss),
        }
    }

    /// The probe timeout, never beyond the RTO; `None` where a probe could not help.
    fn tail_probe_timeout(&self, now: Instant) -> Option<Duration> {
        if self.config.recovery != Recovery::Rack
            || !self.is_selective()
            || !self.snd.syn_acked
            || self.snd.flight() == 0
            || self.snd.wnd == 0
        {
            return None;
        }
        let transfer = self.transfer.as_deref()?;
        if !transfer.history.may_probe()
            || transfer.congestion.in_recovery()
            || !transfer.congestion.is_past(self.snd.una)
        {
            return None;
        }
        let single = transfer.history.newest.le(self.snd.una);
        let rto = self.timers.left(now, Timer::Retransmission);
        let slack = self.config.timer_granularity.slack();
        //= 8985-3
        Some(Rack::probe_timeout(self.estimator.srtt, single, slack).min(rto))
    }

    /// The probe timeout expired (section 7.3); the RTO is next.
    pub(super) fn on_tail_loss_timeout(&mut self, cx: &mut Context<'_>) {
        let may_probe = self
            .transfer
            .as_deref()
            .is_some_and(|transfer| transfer.history.may_probe());
        if self.snd.una.lt(self.snd.nxt) && self.snd.wnd > 0 && may_probe {
            self.pending.tail_probe = true;
            self.start_retransmission_timer(cx);
        }
    }
}
