//! What is known to have happened to what was sent: the scoreboard, RACK's variables, and what an
//! ACK adds to them.

use super::coder::Coder;
use super::congestion::CongestionController;
use super::path::Path;
use super::rack::{Rack, TailProbe};
use super::scoreboard::{Mark, Run, Scoreboard};
use super::snd::Snd;
use super::stamps::Stamps;
use crate::config::Recovery;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::{Header, SackBlocks};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct SendHistory {
    pub(super) board: Scoreboard,
    pub(super) rack: Rack,
    /// Where the segment with the newest bytes began.
    pub(super) newest: Seq,
    /// The one rescue retransmission of this recovery was made (RFC 6675 section 4, NextSeg rule
    /// 4).
    pub(super) rescued: bool,
    /// F-RTO tells whether the timeout was needed (RFC 5682 section 3.1).
    pub(super) frto: bool,
    /// Until the next ACK only new text goes out, whatever is lost.
    pub(super) new_first: bool,
    /// The TSval of the first retransmission since nothing was lost (RFC 3522 section 3.2,
    /// RetransmitTS).
    pub(super) first_resent: Option<u32>,
}

/// What one ACK reported.
#[derive(Clone, Copy, Default)]
pub(super) struct AckSummary {
    /// The round-trip time of the oldest bytes that it acknowledged, if they were sent once.
    pub(super) rtt: Option<Duration>,
    /// It reports for the first time that some bytes are held.
    pub(super) newly_held: bool,
    /// It reports that these bytes arrived twice (RFC 2883).
    pub(super) duplicate: Option<(Seq, Seq)>,
    /// Bytes that it acknowledges or reports as held, and none before.
    pub(super) delivered: u32,
    /// Among them are some that were sent once, and not after the last loss was noticed.
    pub(super) original: bool,
}

/// What loss detection found.
#[derive(Clone, Copy, Default)]
pub(super) struct Losses {
    /// Something is lost that was not known to be.
    pub(super) found: bool,
    /// Some of it had been sent again.
    pub(super) resent: bool,
    /// In how long more will be, if nothing arrives (RACK's reordering timer).
    pub(super) next: Option<Duration>,
}

impl SendHistory {
    pub(super) fn new(iss: Seq) -> SendHistory {
        SendHistory {
            board: Scoreboard::default(),
            rack: Rack::new(),
            newest: iss,
            rescued: false,
            frto: false,
            new_first: false,
            first_resent: None,
        }
    }

    /// Whether no loss, repair or probe waits for what the next ACK says.
    pub(super) fn is_quiet(&self) -> bool {
        !self.new_first && self.first_resent.is_none() && self.rack.is_quiet()
    }

    /// Takes from an acceptable ACK what it reports as delivered, before SND.UNA moves. `recover`:
    /// the last byte that was in flight when a loss was noticed last.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        header: &Header,
        snd: &Snd,
        stamps: &Stamps,
        recover: Seq,
    ) -> AckSummary {
        let SendHistory { board, rack, .. } = self;
        let echo = stamps.echo(header);
        // The stamp that comes back is older than the last transmission: it was an earlier one that
        // arrived.
        let is_original =
            |run: &Run| echo.is_some_and(|echo| Seq(echo).lt(Seq(stamps.value(run.at))));
        let mut delivered = 0;
        let mut original = false;
        let mut rtt = None;
        let mut deliver = |run: &Run| {
            delivered += run.end.since(run.start);
            original |= !run.again && run.end.le(recover + 1);
            rack.delivered(now, run, is_original(run));
        };
        board.acknowledged(header.ack, |run| {
            if run.is_sample() && rtt.is_none() {
                rtt = Some(now.since(run.at));
            }
            deliver(run);
        });
        let mut newly_held = false;
        for (left, right) in header.options.sack.from(snd.una) {
            // Anything else is a D-SACK, old, or a lie: what begins at the ACK would be covered by
            // it.
            //= 2018-8
            let credible = left.lt(right) && left.gt(snd.una.max(header.ack)) && right.le(snd.nxt);
            if credible {
                newly_held |= board.held(left, right, &mut deliver);
            }
        }
        let summary = AckSummary {
            rtt,
            newly_held,
            duplicate: duplicate(&header.options.sack, header.ack),
            delivered,
            original,
        };
        rack.advanced(header.ack);
        if summary.duplicate.is_some() {
            rack.duplicate_reported(snd.nxt);
        }
        summary
    }

    /// Marks what the policy takes for lost (RFC 6675 section 4, RFC 8985 section 6.2).
    pub(super) fn detect_losses(
        &mut self,
        recovery: Recovery,
        threshold: u32,
        una: Seq,
        path: &Path,
        congestion: &CongestionController,
    ) -> Losses {
        let SendHistory { board, rack, .. } = self;
        // Small segments in a row: too few bytes to be sure by IsLost, but as many ACKs as it
        // takes (RFC 6675 section 5, step 1).
        let repeated = congestion.duplicates() >= threshold;
        //= 8985-6
        if recovery == Recovery::Rack {
            let many = board.bytes(Mark::Held) >= threshold.saturating_mul(path.mss);
            let repairing = !congestion.is_settled();
            if !repairing && !board.is_disturbed() {
                return Losses::default();
            }
            let certain = repeated || many || repairing;
            return rack.detect(path.now, board, path.rtt, certain);
        }
        let first = repeated && congestion.is_past(una) && board.lose_first(path.mss);
        let below = board.lose_below_held(threshold, path.mss);
        Losses {
            found: first || below,
            resent: false,
            next: None,
        }
    }

    /// The retransmission timer expired: marks what is lost in the view of the policy. `keep`: what
    /// SACK reported as held stays so, unless SND.UNA has stopped at it.
    pub(super) fn on_retransmission_timeout(
        &mut self,
        recovery: Recovery,
        keep: bool,
        path: &Path,
    ) {
        self.rack.probe = None;
        let reneged = self.board.is_reneged();
        if !keep || reneged {
            self.board.forget_held();
        }
        match recovery {
            Recovery::Rack if !reneged => {
                self.rack
                    .timed_out(path.now, &mut self.board, path.rtt, path.mss)
            }
            _ => self.board.lose_all(),
        }
    }

    /// Whether a tail-loss probe may go out (RFC 8985 section 7.2).
    pub(super) fn may_probe(&self) -> bool {
        self.rack.may_probe(&self.board)
    }

    /// Text or FIN left, from `seq` to `end`, the last segment of it from `last` on, SND.NXT having
    /// been `nxt` before.
    pub(super) fn on_sent(
        &mut self,
        now: Instant,
        (seq, end): (Seq, Seq),
        last: Seq,
        nxt: Seq,
        recovering: bool,
    ) {
        if end.gt(nxt) {
            self.newest = last;
        }
        // With nothing lost and nothing doubtful it was NextSeg's rule 4.
        self.rescued |= seq.lt(nxt)
            && recovering
            && self.board.bytes(Mark::Lost) == 0
            && self.board.next_doubtful().is_none();
        self.board.sent(seq, end, now);
    }

    /// That segment was a tail-loss probe.
    pub(super) fn on_probe_sent(&mut self, seq: Seq, end: Seq, nxt: Seq) {
        self.rack.probe = Some(TailProbe {
            end: end.max(nxt),
            repeated: seq.lt(nxt),
        });
    }

    /// Codes all of it where nothing is in flight.
    pub(super) fn code(&mut self, coder: &mut impl Coder, una: Seq, heard: Instant) {
        let SendHistory {
            board,
            rack,
            newest,
            rescued,
            frto,
            new_first,
            first_resent,
        } = self;
        coder.only(board, Scoreboard::default());
        rack.code(coder, una, heard);
        coder.number(newest, una.back(1));
        coder.group(|coder| {
            coder.flag(rescued, false);
            coder.flag(frto, false);
            coder.flag(new_first, false);
            coder.option(first_resent, 0);
        });
    }
}

/// The first block if it is a D-SACK (RFC 2883 section 4): below the ACK, or within the second.
fn duplicate(sack: &SackBlocks, ack: Seq) -> Option<(Seq, Seq)> {
    let within = match *sack.as_slice() {
        [(left, right), ..] if left.lt(right) && right.le(ack) => true,
        //= 2883-2
        //= 2883-2
        [(left, right), (outer, end), ..] => left.lt(right) && outer.le(left) && right.le(end),
        _ => false,
    };
    sack.as_slice().first().copied().filter(|_| within)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves 2883-2.
    #[test]
    fn first_block_below_the_ack_or_within_the_second_reports_a_duplicate() {
        let reports = |blocks: &[(u32, u32)]| {
            let mut sack = SackBlocks::default();
            for (left, right) in blocks {
                assert!(sack.push(Seq(*left), Seq(*right)));
            }
            duplicate(&sack, Seq(100)).is_some()
        };
        assert!(reports(&[(50, 60)]));
        assert!(reports(&[(50, 100), (200, 300)]));
        assert!(reports(&[(200, 210), (150, 300)]));
        assert!(!reports(&[]));
        assert!(!reports(&[(150, 160)]));
        assert!(!reports(&[(150, 160), (200, 300)]));
        assert!(!reports(&[(60, 50)]));
    }
}
