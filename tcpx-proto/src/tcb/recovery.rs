//! Loss recovery with SACK: what an ACK means for congestion control, when something is lost, and
//! what is sent next.

use super::congestion::{InFlight, Reaction};
use super::context::Context;
use super::history::AckSummary;
use super::path::Path;
use super::rack::Rack;
use super::scoreboard::Mark;
use super::spurious::Settled;
use super::validation::Sending;
use super::{Tcb, Transfer};
use crate::config::{CwndReduction, ProbeTimer, Recovery, SpuriousLoss, TimeoutSack};
use crate::event::Timer;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::Segment;

/// How long at least a peer that seems to have thrown away what it held may take to say otherwise
/// (`tcp_check_sack_reneging`).
const RENEGING_PATIENCE: Duration = Duration::from_millis(10);

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
            loses: false,
            reorders: false,
        }
    }

    /// The same, as seen with the ACK at hand.
    pub(super) fn path_with(&self, now: Instant, segment: &Segment<'_>) -> Path {
        Path {
            marked: self.ecn.is_echo(segment.header.flags),
            ..self.path(now)
        }
    }

    /// What is in flight, of which `acked` bytes were acknowledged just now.
    pub(super) fn in_flight(&self, acked: u32) -> InFlight {
        let resent = |transfer: &Transfer| transfer.history.board.copies();
        InFlight {
            una: self.snd.una,
            nxt: self.snd.nxt,
            bytes: self.snd.flight() + acked,
            resent: self.transfer.as_deref().map_or(0, resent),
            mss: self.effective_mss(0),
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
        let flight = self.in_flight(acked);
        let mut path = self.path_with(cx.now, segment);
        let Some(Transfer {
            history,
            congestion,
            counts,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return;
        };
        history.new_first = false;
        if acked > 0 {
            self.pending.tail_probe = false;
            congestion.advanced(una);
        } else if summary.newly_held {
            congestion.selective_duplicate();
        }
        let repeated = acked == 0 && segment.is_empty() && !summary.newly_held;
        let duplicate = summary.duplicate.is_some();
        counts.duplicates_reported = counts
            .duplicates_reported
            .wrapping_add(u32::from(duplicate));
        let probe_lost = history
            .rack
            .probe_acknowledged(segment.header.ack, repeated, duplicate);
        if probe_lost && congestion.is_settled() {
            congestion.slow_down(&flight);
            self.ecn.on_window_reduced(self.snd.nxt);
        }
        // `tcp_may_raise_cwnd`; it matters where slow start counts what was delivered.
        let most = self.config.dup_ack_threshold.saturating_mul(path.mss);
        path.reorders = history.rack.reordering() > most;
        let mut ended = false;
        if acked > 0 && history.board.is_reneged() {
            path.loses = self.on_reneged(cx);
        } else {
            let settled = self.settle(cx, segment, summary, acked);
            ended = settled == Settled::Ended;
            path.loses = self.detect_losses(cx, settled == Settled::Undone);
        }
        self.on_delivered(summary.delivered, acked, ended, &path);
        // An ACK without news does not postpone the probe.
        if acked > 0 || summary.newly_held {
            self.schedule_tail_probe(cx, false);
        }
    }

    /// The same without SACK: of an ACK that acknowledges something new, or a duplicate.
    pub(super) fn on_plain_ack(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
        summary: &AckSummary,
        acked: u32,
    ) {
        let una = self.snd.una;
        let flight = self.in_flight(0);
        let path = self.path_with(cx.now, segment);
        let threshold = self.config.dup_ack_threshold;
        if let Some(transfer) = self.transfer.as_deref_mut() {
            transfer.history.new_first = false;
        }
        // RFC 6582 ends a recovery in its own way.
        if self.config.cwnd_reduction == CwndReduction::Proportional {
            self.settle(cx, segment, summary, acked);
        }
        let Some(congestion) = self.congestion_mut() else {
            return;
        };
        let begins = !congestion.in_recovery();
        let reaction = if acked > 0 {
            congestion.acked(acked, una, flight.bytes, &path)
        } else {
            congestion.duplicate_ack(&flight, threshold, &path)
        };
        if reaction == Reaction::Retransmit {
            self.pending.retransmission = true;
            if begins {
                self.ecn.on_window_reduced(flight.nxt);
            }
        }
    }

    /// The window after an ACK that delivered this much.
    fn on_delivered(&mut self, delivered: u32, acked: u32, ended: bool, path: &Path) {
        let flight = self.snd.flight();
        // The ACK that ends a recovery finds the window that there is to be (RFC 6675 section 5);
        // Linux's counts as any other.
        let counts = !ended || self.config.cwnd_reduction == CwndReduction::Proportional;
        if let (true, Some(transfer)) = (counts, self.transfer.as_deref_mut()) {
            let pipe = transfer.history.board.pipe(flight);
            transfer
                .congestion
                .delivered(delivered, acked, flight, pipe, path);
        }
    }

    /// SND.UNA has stopped at something that the peer said to hold: it has thrown it away (RFC 2018
    /// section 8). Returns whether that is lost.
    fn on_reneged(&mut self, cx: &mut Context<'_>) -> bool {
        match self.config.timeout_sack {
            TimeoutSack::Forget => {
                if let Some(transfer) = self.transfer.as_deref_mut() {
                    transfer.history.board.forget_held();
                }
                self.detect_losses(cx, true)
            }
            // Not until a timeout that comes soon: the next ACK may tell otherwise.
            TimeoutSack::Keep => {
                let half = self.estimator.srtt.unwrap_or(Duration::ZERO) / 2;
                let wait = half.max(RENEGING_PATIENCE);
                self.timers.start(cx, Timer::Retransmission, wait);
                false
            }
        }
    }

    /// Marks what the policy takes for lost, and begins a recovery for it, unless one goes on
    /// already (RFC 6675 section 5, step 4). `again`: what is lost already counts as a new loss.
    /// Returns whether something newly is lost.
    pub(super) fn detect_losses(&mut self, cx: &mut Context<'_>, again: bool) -> bool {
        let flight = self.in_flight(0);
        let path = self.path(cx.now);
        let threshold = self.config.dup_ack_threshold;
        let Some(Transfer {
            history,
            congestion,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return false;
        };
        if history.new_first {
            return false;
        }
        let una = flight.una;
        let losses = history.detect_losses(self.config.recovery, threshold, una, &path, congestion);
        let found = losses.found || (again && history.board.bytes(Mark::Lost) > 0);
        // A retransmission that follows a timeout is lost, too, which is a new event.
        let begins = congestion.is_settled() || (congestion.in_loss() && losses.resent);
        if found && begins {
            congestion.lost(&flight);
            history.rescued = false;
            history.frto = false;
            self.pending.retransmission = true;
            self.ecn.on_window_reduced(flight.nxt);
        }
        match losses.next {
            //= 8985-2
            Some(left) => self.timers.start(cx, Timer::Reordering, left),
            None => self.timers.stop(cx, Timer::Reordering),
        }
        losses.found
    }

    /// The retransmission timer expired: everything in flight is in doubt. `again`: not for the
    /// first time since SND.UNA moved.
    pub(super) fn doubt_everything(&mut self, now: Instant, again: bool) {
        let path = self.path(now);
        let keep = self.config.timeout_sack == TimeoutSack::Keep;
        let undo = self.config.spurious_loss == SpuriousLoss::Undo;
        // A probe for which there is no room would stand in the way.
        self.pending.tail_probe = false;
        if let Some(Transfer {
            history,
            congestion,
            ..
        }) = self.transfer.as_deref_mut()
        {
            history.on_retransmission_timeout(self.config.recovery, keep, &path);
            history.new_first = false;
            history.frto = undo && (again || congestion.is_settled());
        }
    }

    /// The window after a retransmission timeout.
    pub(super) fn collapse_window(&mut self, again: bool) {
        let flight = self.in_flight(0);
        let selective = self.is_selective();
        if let Some(Transfer {
            history,
            congestion,
            ..
        }) = self.transfer.as_deref_mut()
        {
            let pipe = if selective {
                history.board.pipe(flight.bytes)
            } else {
                0
            };
            congestion.timed_out(&flight, pipe, again);
        }
        self.ecn.on_window_reduced(self.snd.nxt);
    }

    /// How many more bytes the congestion window lets out.
    pub(super) fn congestion_room(&self, transfer: &Transfer) -> u32 {
        let pipe = transfer.history.board.pipe(self.snd.flight());
        transfer.congestion.room(pipe, self.effective_mss(0))
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
        // Rule 1 has the choice, though new text may go first (F-RTO).
        if history.board.bytes(Mark::Lost) > 0 {
            return None;
        }
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

    /// A tail-loss probe is due (RFC 8985 section 7.3): new text or a FIN if there is any and the
    /// window has room for a whole segment of it, else the last segment once more.
    pub(super) fn next_probe(&self, transfer: &Transfer) -> NextSegment {
        let nxt = self.snd.nxt;
        let end = self.text_end();
        let new = nxt.lt(end) || self.snd.is_fin_unsent();
        let whole = end.since(nxt).min(self.effective_mss(self.sack_len()));
        //= 8985-4
        if new && (nxt + whole.max(1)).le(self.snd.una + self.snd.wnd) {
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

    /// Text or FIN left, from `seq` to `end`, the last segment of it from `last` on, SND.NXT having
    /// been `nxt` before.
    pub(super) fn note_in_history(
        &mut self,
        now: Instant,
        (seq, end): (Seq, Seq),
        last: Seq,
        nxt: Seq,
    ) {
        let probing = core::mem::take(&mut self.pending.tail_probe);
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        let recovering = transfer.congestion.in_recovery();
        transfer
            .history
            .on_sent(now, (seq, end), last, nxt, recovering);
        if probing {
            transfer.history.on_probe_sent(seq, end, nxt);
        }
    }

    /// The same for the congestion window, once it is in the history: `bytes`, `again` or for the
    /// first time.
    pub(super) fn note_window_use(&mut self, now: Instant, bytes: u32, again: bool) {
        let flight = self.in_flight(0);
        let selective = self.is_selective();
        let stamp = self.stamps.value(now);
        let Some(Transfer {
            history,
            congestion,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return;
        };
        if again {
            history.first_resent = history.first_resent.or(Some(stamp));
        }
        let pipe = if selective {
            history.board.pipe(flight.bytes)
        } else {
            flight.bytes
        };
        let sending = Sending {
            una: flight.una,
            nxt: flight.nxt,
            flight: flight.bytes,
            pipe,
            mss: flight.mss,
        };
        congestion.sent(bytes, again, &sending);
    }

    /// After new text and after new ACKs: starts the probe timer where a probe could help (RFC 8985
    /// section 7.2), else stops it.
    pub(super) fn schedule_tail_probe(&mut self, cx: &mut Context<'_>, sent: bool) {
        match self.tail_probe_timeout(cx.now, sent) {
            Some(after) => {
                self.timers.start(cx, Timer::TailLoss, after);
                // One timer in Linux.
                if self.timers.left(cx.now, Timer::Retransmission) < after {
                    self.timers.start(cx, Timer::Retransmission, after);
                }
            }
            None => self.timers.stop(cx, Timer::TailLoss),
        }
    }

    /// The probe timeout, never beyond the RTO; `None` where a probe could not help.
    fn tail_probe_timeout(&self, now: Instant, sent: bool) -> Option<Duration> {
        let closed = self.snd.wnd == 0 && !self.is_shrunk_to_zero();
        if self.config.recovery != Recovery::Rack || !self.snd.syn_acked || closed {
            return None;
        }
        let transfer = self.transfer.as_deref()?;
        let again = sent && self.config.probe_timer == ProbeTimer::Linux;
        let may_probe = transfer.history.may_probe()
            || (again
                && transfer.history.rack.probe.is_some()
                && transfer.history.board.bytes(Mark::Held) == 0);
        if !may_probe || !transfer.congestion.is_settled() {
            return None;
        }
        let single = transfer.history.newest.le(self.snd.una);
        let rto = match self.oldest_timeout(now).filter(|_| again) {
            Some(Duration::ZERO) => Duration::MAX,
            Some(left) => left,
            None => self.timers.left(now, Timer::Retransmission),
        };
        let slack = self.config.timer_granularity.slack();
        //= 8985-3
        Some(Rack::probe_timeout(self.estimator.srtt, single, slack).min(rto))
    }

    /// What is left of an RTO since the oldest segment was sent (`tcp_rto_delta_us`).
    fn oldest_timeout(&self, now: Instant) -> Option<Duration> {
        let sent = self.transfer.as_deref()?.history.board.first_sent()?;
        Some((sent + self.estimator.rto()).since(now))
    }

    /// RACK's reordering window is over (RFC 8985 section 6.3): what is still missing is lost. No
    /// ACK came; a recovery begins as if one had delivered a segment (`tcp_rack_reo_timeout`).
    pub(super) fn on_reordering_timeout(&mut self, cx: &mut Context<'_>) {
        let recovering = |transfer: &Transfer| transfer.congestion.in_recovery();
        let before = self.transfer.as_deref().is_some_and(recovering);
        self.detect_losses(cx, false);
        if !before && self.transfer.as_deref().is_some_and(recovering) {
            let path = self.path(cx.now);
            self.on_delivered(path.mss, 0, false, &path);
        }
    }

    /// The probe timeout expired (section 7.3); the RTO is next.
    pub(super) fn on_tail_loss_timeout(&mut self, cx: &mut Context<'_>) {
        let may_probe = self
            .transfer
            .as_deref()
            .is_some_and(|transfer| transfer.history.may_probe());
        if may_probe {
            self.pending.tail_probe = true;
            self.start_retransmission_timer(cx);
        } else if self.config.probe_timer == ProbeTimer::Linux {
            let left = self.oldest_timeout(cx.now).unwrap_or(Duration::ZERO);
            self.timers.start(cx, Timer::Retransmission, left);
        }
    }
}
