//! Loss detected by time (RFC 8985): what was sent a reordering window before something that has
//! arrived is lost.

use super::coder::Coder;
use super::history::Losses;
use super::scoreboard::{Mark, Run, Scoreboard};
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// For how many recoveries a wider reordering window stays (section 6.2, step 4).
const PERSIST: u8 = 16;

/// TLP.max_ack_delay (section 7.2): how long the peer may hold back the ACK of a single segment.
/// Linux's TCP_DELACK_MAX.
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);
/// No probe sooner than that: a busy peer is no lost segment.
const MIN_PROBE_TIMEOUT: Duration = Duration::from_millis(10);
/// The probe timeout before the first sample (section 7.2).
const FIRST_PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A tail-loss probe on its way (section 7.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct TailProbe {
    /// TLP.end_seq: SND.NXT when it was sent.
    pub(crate) end: Seq,
    /// TLP.is_retrans: it repeated the last segment.
    pub(crate) repeated: bool,
}

/// The variables of section 5.2, per connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Rack {
    /// RACK.xmit_ts and RACK.end_seq: of what was sent last among that which arrived.
    newest: Option<(Instant, Seq)>,
    /// RACK.rtt, of the same.
    rtt: Duration,
    /// RACK.min_RTT.
    min_rtt: Option<Duration>,
    /// RACK.fack: the highest byte that arrived.
    fack: Option<Seq>,
    reordering_seen: bool,
    /// How far behind RACK.fack something arrived that was not retransmitted, bytes (Linux's
    /// `reordering`).
    reordering: u32,
    /// RACK.reo_wnd_mult, in quarters of RACK.min_RTT.
    quarters: u8,
    persist: u8,
    /// RACK.dsack_round: SND.NXT at the last time that a D-SACK widened the window.
    dsack_round: Option<Seq>,
    pub(crate) probe: Option<TailProbe>,
}

impl Rack {
    pub(crate) fn new() -> Rack {
        Rack {
            newest: None,
            rtt: Duration::ZERO,
            min_rtt: None,
            fack: None,
            reordering_seen: false,
            reordering: 0,
            quarters: 1,
            persist: 0,
            dsack_round: None,
            probe: None,
        }
    }

    /// The shortest round-trip time of what was delivered.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt
    }

    /// Something was delivered out of order.
    pub(crate) fn has_seen_reordering(&self) -> bool {
        self.reordering_seen
    }

    /// These bytes arrived (section 6.2, steps 1 to 3). `original`: timestamps tell that it was
    /// not the last transmission that did.
    pub(crate) fn delivered(&mut self, now: Instant, run: &Run, original: bool) {
        if self.fack.is_none_or(|fack| run.end.gt(fack)) {
            self.fack = Some(run.end);
        } else if !run.again || original {
            self.reordering_seen = true;
            let behind = self.fack.map_or(0, |fack| fack.since(run.start));
            self.reordering = self.reordering.max(behind);
        }
        let rtt = now.since(run.at);
        if run.again && (original || self.min_rtt.is_some_and(|least| rtt < least)) {
            return;
        }
        if run.is_sample() {
            self.min_rtt = Some(self.min_rtt.map_or(rtt, |least| least.min(rtt)));
        }
        if self
            .newest
            .is_none_or(|(at, end)| !run.sent_before(at, end))
        {
            self.newest = Some((run.at, run.end));
            self.rtt = rtt;
        }
    }

    /// How far segments overtake each other, bytes.
    pub(crate) fn reordering(&self) -> u32 {
        self.reordering
    }

    /// A D-SACK: something went again needlessly, so that the window was too small, once a round
    /// trip (step 4).
    pub(crate) fn duplicate_reported(&mut self, nxt: Seq) {
        if self.dsack_round.is_none() {
            self.dsack_round = Some(nxt);
            //= 8985-2
            self.quarters = self.quarters.saturating_add(1);
            self.persist = PERSIST;
        }
    }

    /// Whether neither a probe nor a D-SACK waits for what the next ACK says.
    pub(crate) fn is_quiet(&self) -> bool {
        self.probe.is_none() && self.dsack_round.is_none()
    }

    /// SND.UNA is `una` now: a round trip after the last D-SACK another one counts again.
    pub(crate) fn advanced(&mut self, una: Seq) {
        self.dsack_round = self.dsack_round.filter(|round| una.lt(*round));
    }

    /// A recovery is over: after [`PERSIST`] without a D-SACK the window is as narrow as at first.
    pub(crate) fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.quarters = 1;
        }
    }

    /// RACK.reo_wnd (step 4). `certain`: in recovery already, or as much was held as makes a loss
    /// by RFC 5681.
    fn window(&self, srtt: Duration, certain: bool) -> Duration {
        if !self.reordering_seen && certain {
            return Duration::ZERO;
        }
        let least = self.min_rtt.unwrap_or(Duration::ZERO);
        //= 8985-2
        (least.saturating_mul(u32::from(self.quarters)) / 4).min(srtt)
    }

    /// Step 5: marks what is lost.
    pub(crate) fn detect(
        &self,
        now: Instant,
        board: &mut Scoreboard,
        srtt: Duration,
        certain: bool,
    ) -> Losses {
        let mut losses = Losses::default();
        let Some((at, end)) = self.newest else {
            return losses;
        };
        let patience = self.rtt + self.window(srtt, certain);
        losses.found = board.lose_late(|run| {
            let left = patience.saturating_sub(now.since(run.at));
            if !run.sent_before(at, end) || left == Duration::ZERO {
                let lost = run.sent_before(at, end);
                losses.resent |= lost && run.mark == Mark::Resent;
                return lost;
            }
            losses.next = Some(losses.next.map_or(left, |next| next.max(left)));
            false
        });
        losses
    }

    /// Section 6.3: when the retransmission timer expires, the first segment is lost, and what was
    /// sent too long ago.
    pub(crate) fn timed_out(&self, now: Instant, board: &mut Scoreboard, srtt: Duration, mss: u32) {
        board.lose_first(mss);
        let patience = self.rtt + self.window(srtt, true);
        board.lose_late(|run| now.since(run.at) >= patience);
    }

    /// The probe timeout (section 7.2). `single`: one segment is in flight; `slack`: what a coarse
    /// timer adds otherwise.
    pub(crate) fn probe_timeout(srtt: Option<Duration>, single: bool, slack: Duration) -> Duration {
        let Some(srtt) = srtt else {
            return FIRST_PROBE_TIMEOUT;
        };
        let timeout = srtt.saturating_mul(2);
        if single {
            //= 8985-3
            timeout.saturating_add(MAX_ACK_DELAY)
        } else {
            timeout.saturating_add(slack).max(MIN_PROBE_TIMEOUT)
        }
    }

    /// An ACK of a tail-loss probe (section 7.4.2); `true`: the probe made a loss good, which
    /// congestion control has to know.
    pub(crate) fn probe_acknowledged(&mut self, ack: Seq, duplicate: bool, dsack: bool) -> bool {
        let Some(probe) = self.probe.filter(|probe| ack.ge(probe.end)) else {
            return false;
        };
        let settled = !probe.repeated || dsack || ack.gt(probe.end) || duplicate;
        if settled {
            self.probe = None;
        }
        settled && probe.repeated && !dsack && ack.gt(probe.end)
    }

    /// Section 7.2: not with something held, lost, or a probe on its way.
    pub(crate) fn may_probe(&self, board: &Scoreboard) -> bool {
        //= 8985-4
        self.probe.is_none()
            && board.bytes(Mark::Held) == 0
            && board.bytes(Mark::Lost) == 0
            && board.bytes(Mark::Sent) > 0
    }

    /// Codes all of it but a probe.
    pub(super) fn code(&mut self, coder: &mut impl Coder, una: Seq, heard: Instant) {
        let Rack {
            newest,
            rtt,
            min_rtt,
            fack,
            reordering_seen,
            reordering,
            quarters,
            persist,
            dsack_round,
            probe,
        } = self;
        coder.only(probe, None);
        coder.group(|coder| {
            let mut end = newest.map(|(_, end)| end);
            coder.option(&mut end, una);
            let mut at = newest.map_or(heard, |(at, _)| at);
            coder.number(&mut at, heard);
            *newest = end.map(|end| (at, end));
            coder.number(rtt, Duration::ZERO);
            coder.option(min_rtt, *rtt);
            coder.option(fack, una);
            coder.flag(reordering_seen, false);
            coder.number(reordering, 0);
            coder.number(quarters, 1);
            coder.number(persist, 0);
            coder.option(dsack_round, una);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves 8985-2.
    #[test]
    fn rfc_8985_6_2_duplicate_widens_the_window_once_a_round_however_long_ago_the_last_one_was() {
        for gibibytes in 0..=4u32 {
            let mut rack = Rack::new();
            rack.duplicate_reported(Seq(1000));
            rack.advanced(Seq(999));
            rack.duplicate_reported(Seq(2000));
            assert_eq!(rack.quarters, 2);
            let una = (0..=gibibytes)
                .map(|n| Seq(1000) + (n << 30))
                .inspect(|una| rack.advanced(*una))
                .last()
                .unwrap_or_default();
            rack.duplicate_reported(una + 1000);
            assert_eq!(rack.quarters, 3, "{gibibytes} GiB");
        }
    }
}
