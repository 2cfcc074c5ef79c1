//! Loss recovery with SACK: what an ACK says was delivered, what is lost by that (RFC 6675 or RFC
//! 8985), and what goes next.

use super::path::Path;
use super::rack::{Rack, TailProbe};
use super::scoreboard::{Mark, Run, Scoreboard};
use super::{Context, Tcb, Transfer};
use crate::config::{Recovery, TimeoutSack};
use crate::event::Timer;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::{SackBlocks, Segment};

/// What is known to have happened to what was sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct SendHistory {
    pub(super) board: Scoreboard,
    pub(super) rack: Rack,
    /// Where the segment with the newest octets began.
    newest: Seq,
    /// The one rescue retransmission of this recovery was made (RFC 6675 section 4, NextSeg rule
    /// 4).
    pub(super) rescued: bool,
}

impl SendHistory {
    pub(super) fn new(iss: Seq) -> SendHistory {
        SendHistory {
            board: Scoreboard::default(),
            rack: Rack::new(),
            newest: iss,
            rescued: false,
        }
    }
}

/// What one ACK brought.
#[derive(Clone, Copy, Default)]
pub(super) struct AckSummary {
    /// Of the oldest octets that it acknowledged, if they were sent once.
    pub(super) rtt: Option<Duration>,
    /// It says for the first time that some octets are held.
    pub(super) held: bool,
    /// It reports something that arrived twice (RFC 2883).
    duplicate: bool,
}

/// A stretch that NextSeg (RFC 6675 section 4) chose.
#[derive(Clone, Copy)]
pub(super) struct NextSegment {
    pub(super) from: Seq,
    pub(super) until: Seq,
    /// It goes although the congestion window is full.
    pub(super) forced: bool,
}

impl Tcb {
    /// Losses are told and made good by SACK; without it by duplicate ACKs alone.
    pub(super) fn is_selective(&self) -> bool {
        self.rcv.sack && self.config.recovery != Recovery::NewReno
    }

    /// Takes from an acceptable ACK what it says was delivered, before SND.UNA moves.
    pub(super) fn take_delivered(&mut self, now: Instant, segment: &Segment<'_>) -> AckSummary {
        let header = &segment.header;
        let (una, nxt, stamped) = (self.snd.una, self.snd.nxt, self.stamps.on);
        let echo = header
            .options
            .timestamps
            .filter(|stamps| stamped && stamps.echo != 0)
            .map(|stamps| stamps.echo);
        let offset = self.stamps.offset;
        let Some(Transfer {
            history: SendHistory { board, rack, .. },
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return AckSummary::default();
        };
        // The stamp that comes back is older than the last transmission: it was an earlier one that
        // arrived.
        let original = |run: &Run| {
            echo.is_some_and(|echo| {
                Seq(echo).lt(Seq((run.at.millis() as u32).wrapping_add(offset)))
            })
        };
        let mut news = AckSummary::default();
        board.acknowledged(header.ack, |run| {
            if run.is_sample() && news.rtt.is_none() {
                news.rtt = Some(now.since(run.at));
            }
            rack.delivered(now, run, original(run));
        });
        for (left, right) in header.options.sack.from(una) {
            // Anything else is a D-SACK, old, or a lie: what begins at the ACK would be covered by
            // it.
            if left.lt(right) && left.gt(una.max(header.ack)) && right.le(nxt) {
                news.held |= board.held(left, right, |run| rack.delivered(now, run, original(run)));
            }
        }
        news.duplicate = reports_duplicate(&header.options.sack, header.ack);
        rack.advanced(header.ack);
        if news.duplicate {
            rack.duplicate_reported(nxt);
        }
        news
    }

    /// What follows from that for congestion control and recovery, once SND.UNA has moved by
    /// `acked` octets.
    pub(super) fn on_selective_ack(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
        news: AckSummary,
        acked: u32,
    ) {
        let (una, flight) = (self.snd.una, self.snd.nxt.since(self.snd.una));
        let path = Path {
            marked: self.is_echo(segment),
            ..self.path(cx.now)
        };
        let Some(Transfer {
            history: SendHistory { board, rack, .. },
            congestion: control,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return;
        };
        if acked > 0 {
            self.pending.tail_probe = false;
            if control.advanced(acked, una, flight, &path) {
                rack.recovered();
            }
        } else if news.held {
            control.selective_duplicate();
        }
        let reneged = board.is_reneged();
        if reneged {
            board.forget_held();
        }
        let repeated = acked == 0 && segment.is_empty() && !news.held;
        if rack.probe_acknowledged(segment.header.ack, repeated, news.duplicate)
            && !control.in_recovery()
        {
            control.slow_down(flight + acked, path.mss);
            self.window_reduced();
        }
        self.detect_losses(cx, reneged);
        // What says nothing new does not put it off.
        if acked > 0 || news.held {
            self.schedule_probe(cx);
        }
    }

    /// Marks what the policy takes for lost, and begins a recovery for it, unless that goes on
    /// already (RFC 6675 section 5, step 4).
    pub(super) fn detect_losses(&mut self, cx: &mut Context<'_>, known: bool) {
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        let (path, threshold) = (self.path(cx.now), self.config.dup_ack_threshold);
        let recovery = self.config.recovery;
        let Some(Transfer {
            history,
            congestion: control,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return;
        };
        let SendHistory {
            board,
            rack,
            rescued,
            ..
        } = history;
        // Small segments in a row: too few octets to be sure by IsLost, but as many ACKs as it
        // takes (RFC 6675 section 5, step 1).
        let repeated = control.duplicates() >= threshold;
        let many = repeated || board.octets(Mark::Held) >= threshold.saturating_mul(path.mss);
        let (found, next) = match recovery {
            Recovery::Rack => rack.detect(cx.now, board, path.rtt, many || control.in_recovery()),
            _ => {
                let first = repeated && control.is_past(una) && board.lose_first(path.mss);
                (board.lose_below_held(threshold, path.mss) || first, None)
            }
        };
        if (found || known) && !control.in_recovery() && control.is_past(una) {
            control.lost(nxt, nxt.since(una), path.mss);
            *rescued = false;
            self.pending.retransmission = true;
            self.window_reduced();
        }
        match next {
            Some(left) => self.start(cx, Timer::Reordering, left),
            None => self.stop(cx, Timer::Reordering),
        }
    }

    pub(super) fn path(&self, now: Instant) -> Path {
        Path {
            now,
            rtt: self.estimator.srtt.unwrap_or(Duration::ZERO),
            mss: self.effective_mss(0),
            marked: false,
        }
    }

    /// The retransmission timer expired: what is lost, in the view of the policy. What SACK
    /// reported as held stays so if the policy says so, until SND.UNA stops at it.
    pub(super) fn mark_all_doubtful(&mut self, now: Instant) {
        let (path, recovery, keep) = (
            self.path(now),
            self.config.recovery,
            self.config.timeout_sack == TimeoutSack::Keep,
        );
        // A probe for which there is no room would stand in the way.
        self.pending.tail_probe = false;
        let Some(SendHistory { board, rack, .. }) =
            self.transfer.as_mut().map(|transfer| &mut transfer.history)
        else {
            return;
        };
        rack.probe = None;
        if !keep || board.is_reneged() {
            board.forget_held();
        }
        match recovery {
            Recovery::Rack => rack.timed_out(now, board, path.rtt, path.mss),
            _ => board.lose_all(),
        }
    }

    /// How many more octets the congestion window lets out.
    pub(super) fn spare(&self, transfer: &Transfer) -> u32 {
        transfer.congestion.window().saturating_sub(
            transfer
                .history
                .board
                .pipe(self.snd.nxt.since(self.snd.una)),
        )
    }

    /// What goes again, before new text (NextSeg rule 1).
    pub(super) fn choose_lost(&self, transfer: &Transfer) -> Option<NextSegment> {
        let (from, until) = transfer.history.board.next_lost()?;
        let whole = until.since(from).min(self.effective_mss(self.sack_len()));
        let forced = self.pending.retransmission;
        (forced || self.spare(transfer) >= whole).then_some(NextSegment {
            from,
            until,
            forced,
        })
    }

    /// What goes again where there is no new text (NextSeg rules 3 and 4); not with RACK (RFC 8985
    /// section 9.2).
    pub(super) fn choose_doubtful(&self, transfer: &Transfer) -> Option<NextSegment> {
        let Transfer {
            history: SendHistory { board, rescued, .. },
            congestion: control,
            ..
        } = transfer;
        let mss = self.effective_mss(self.sack_len());
        if self.config.recovery != Recovery::Rfc6675
            || !control.in_recovery()
            || self.spare(transfer) < mss
        {
            return None;
        }
        let (from, until) = board
            .next_doubtful()
            .or_else(|| board.last(mss).filter(|_| !rescued))?;
        Some(NextSegment {
            from,
            until,
            forced: false,
        })
    }

    /// A tail-loss probe is due (RFC 8985 section 7.3): new text or a FIN if there is any, else the
    /// last segment once more.
    pub(super) fn choose_probe(&self, transfer: &Transfer) -> Option<NextSegment> {
        let (nxt, end) = (self.snd.nxt, self.text_end());
        let new = nxt.lt(end) || (self.snd.closing && self.snd.fin.is_none());
        if new && nxt.lt(self.snd.una + self.snd.wnd) {
            return Some(NextSegment {
                from: nxt,
                until: end,
                forced: true,
            });
        }
        Some(NextSegment {
            from: transfer.history.newest.max(self.snd.una),
            until: nxt,
            forced: true,
        })
    }

    /// A segment with text or FIN left, from `seq` to `end`, SND.NXT having been `nxt` before.
    pub(super) fn note_in_history(&mut self, now: Instant, seq: Seq, end: Seq, nxt: Seq) {
        let probing = core::mem::take(&mut self.pending.tail_probe);
        let Some(Transfer {
            history,
            congestion: control,
            ..
        }) = self.transfer.as_deref_mut()
        else {
            return;
        };
        let SendHistory {
            board,
            rack,
            newest,
            rescued,
        } = history;
        let repeated = seq.lt(nxt);
        if end.gt(nxt) {
            *newest = seq;
        }
        // With nothing lost and nothing doubtful it was rule 4.
        *rescued |= repeated
            && control.in_recovery()
            && board.octets(Mark::Lost) == 0
            && board.next_doubtful().is_none();
        board.sent(seq, end, now);
        if probing {
            rack.probe = Some(TailProbe {
                end: end.max(nxt),
                repeated,
            });
        }
    }

    /// RFC 8985 section 7.2, after new text and after new ACKs: the probe timeout, where a probe
    /// could help; never beyond the RTO.
    pub(super) fn schedule_probe(&mut self, cx: &mut Context<'_>) {
        let flight = self.snd.nxt.since(self.snd.una);
        let wanted = self.config.recovery == Recovery::Rack
            && self.is_selective()
            && self.snd.syn_acked
            && flight > 0
            && self.snd.wnd > 0;
        let fits = |Transfer {
                        history,
                        congestion: control,
                        ..
                    }: &&Transfer| {
            history.rack.may_probe(&history.board)
                && !control.in_recovery()
                && control.is_past(self.snd.una)
        };
        let Some(transfer) = self
            .transfer
            .as_deref()
            .filter(|transfer| wanted && fits(transfer))
        else {
            return self.stop(cx, Timer::TailLoss);
        };
        let timeout = Rack::probe_timeout(
            self.estimator.srtt,
            transfer.history.newest.le(self.snd.una),
        );
        let rto = self.timers[Timer::Retransmission as usize].since(cx.now);
        self.start(cx, Timer::TailLoss, timeout.min(rto));
    }

    /// The probe timeout expired (section 7.3); then it is the RTO's turn.
    pub(super) fn on_tail_loss_timeout(&mut self, cx: &mut Context<'_>) {
        let fits = |transfer: &Transfer| transfer.history.rack.may_probe(&transfer.history.board);
        if self.snd.una.lt(self.snd.nxt)
            && self.snd.wnd > 0
            && self.transfer.as_deref().is_some_and(fits)
        {
            self.pending.tail_probe = true;
            self.start(cx, Timer::Retransmission, self.estimator.rto());
        }
    }
}

/// Whether the first block is a D-SACK (RFC 2883 section 4): below the ACK, or within the second.
fn reports_duplicate(sack: &SackBlocks, ack: Seq) -> bool {
    match *sack.as_slice() {
        [(left, right), ..] if left.lt(right) && right.le(ack) => true,
        [(left, right), (outer, end), ..] => left.lt(right) && outer.le(left) && right.le(end),
        _ => false,
    }
}
