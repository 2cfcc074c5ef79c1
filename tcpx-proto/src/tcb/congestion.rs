//! Congestion control: slow start and recovery (RFC 5681, RFC 6582, RFC 6675), growing by NewReno
//! or CUBIC.

use super::cubic::Cubic;
use super::path::Path;
use crate::config::{Congestion, ConnConfig};
use crate::seq::Seq;

/// What an acknowledgment asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reaction {
    /// Nothing beyond what the windows allow.
    Nothing,
    /// Send the segment at SND.UNA again, at once.
    Retransmit,
}

/// The congestion window of one connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct CongestionController {
    policy: Congestion,
    cwnd: u32,
    ssthresh: u32,
    /// The highest sequence number sent when recovery began (RFC 6582 section 3.2), RFC 6675's
    /// RecoveryPoint; at first ISS.
    recover: Seq,
    in_recovery: bool,
    duplicates: u32,
    /// What the first two duplicates let out beyond the window (RFC 3042).
    limited: u32,
    /// SND.NXT when the window fell for a mark, until that is acknowledged.
    marked: Option<Seq>,
    /// Bytes acknowledged since the window last grew in congestion avoidance.
    credit: u32,
    cubic: Cubic,
}

impl CongestionController {
    /// `syn_lost`: the SYN or SYN,ACK had to be sent again so often that the initial window is one
    /// segment (RFC 5681 section 3.1).
    pub(crate) fn new(
        config: &ConnConfig,
        mss: u32,
        iss: Seq,
        syn_lost: bool,
    ) -> CongestionController {
        //= 5681-3
        let cwnd = if syn_lost {
            mss
        } else {
            initial_window(config.initial_window, mss)
        };
        let policy = config.congestion;
        let ssthresh = u32::MAX;
        //= 6582-1
        let recover = iss;
        let cubic = Cubic::default();
        CongestionController {
            policy,
            cwnd,
            ssthresh,
            recover,
            in_recovery: false,
            duplicates: 0,
            limited: 0,
            marked: None,
            credit: 0,
            cubic,
        }
    }

    /// The slow start threshold, bytes; `None`: nothing was lost yet.
    pub(crate) fn threshold(&self) -> Option<u32> {
        (self.ssthresh != u32::MAX).then_some(self.ssthresh)
    }

    /// The window fell for a mark, and what was in flight then is not all acknowledged.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked.is_some()
    }

    /// How many bytes may be in flight; without congestion control any number.
    pub(crate) fn window(&self) -> u32 {
        if self.policy == Congestion::Off {
            u32::MAX
        } else {
            self.cwnd.saturating_add(self.limited)
        }
    }

    pub(crate) fn in_recovery(&self) -> bool {
        self.in_recovery
    }

    /// Whether a loss noticed now is a new one: SND.UNA has passed what was in flight at the last
    /// (RFC 6582 section 3.2, RFC 6675 5.1).
    pub(crate) fn is_past(&self, una: Seq) -> bool {
        una.gt(self.recover)
    }

    /// Without SACK: `acked` new bytes were acknowledged, up to `una`; `flight` bytes are
    /// outstanding after that.
    pub(crate) fn acked(&mut self, acked: u32, una: Seq, flight: u32, path: &Path) -> Reaction {
        let mss = path.mss;
        self.duplicates = 0;
        self.limited = 0;
        if !self.in_recovery {
            self.go_on(acked, una, flight, path);
            return Reaction::Nothing;
        }
        if self.is_past(una) {
            // A full acknowledgment: out of recovery without a burst (RFC 6582 section 3.2, step 3,
            // the careful choice).
            self.in_recovery = false;
            //= 6582-4
            self.cwnd = self.ssthresh.min(flight.max(mss) + mss);
            return Reaction::Nothing;
        }
        // A partial one: the next hole, and a window deflated by what left the network.
        //= 6582-3
        self.cwnd = self.cwnd.saturating_sub(acked).max(mss);
        if acked >= mss {
            self.cwnd += mss;
        }
        Reaction::Retransmit
    }

    /// The same with SACK (RFC 6675 section 5): in recovery the window stays, and what left the
    /// network makes room in it. Returns whether recovery ended.
    pub(crate) fn advanced(&mut self, acked: u32, una: Seq, flight: u32, path: &Path) -> bool {
        self.duplicates = 0;
        if !self.in_recovery {
            self.go_on(acked, una, flight, path);
            return false;
        }
        //= 6675-4
        self.in_recovery = !self.is_past(una);
        !self.in_recovery
    }

    fn go_on(&mut self, acked: u32, una: Seq, flight: u32, path: &Path) {
        // Never half the sequence space behind, where it would seem to lie ahead.
        self.recover = self.recover.max(una.back(1 << 30));
        self.marked = self.marked.filter(|until| una.lt(*until));
        // Not on an echo (RFC 3168 section 6.1.2).
        if !path.marked {
            self.grow(acked, flight, path);
        }
    }

    /// Slow start by bytes, then congestion avoidance: one segment per round trip (RFC 5681
    /// section 3.1), or CUBIC's curve.
    fn grow(&mut self, acked: u32, flight: u32, path: &Path) {
        //= MUST-19
        if self.cwnd < self.ssthresh {
            //= MUST-19, 5681-5
            self.cwnd = self.cwnd.saturating_add(acked.min(path.mss));
            return;
        }
        if self.policy == Congestion::Cubic {
            self.cwnd = self.cubic.grow(self.cwnd, acked, flight, path);
            return;
        }
        self.credit = self.credit.saturating_add(acked);
        //= MUST-19, 5681-6
        if self.credit >= self.cwnd {
            self.credit -= self.cwnd;
            self.cwnd = self.cwnd.saturating_add(path.mss);
        }
    }

    /// Without SACK: a duplicate ACK (RFC 5681 section 2) arrived while `flight` bytes up to `nxt`
    /// are outstanding.
    pub(crate) fn duplicate_ack(
        &mut self,
        una: Seq,
        nxt: Seq,
        flight: u32,
        mss: u32,
        threshold: u32,
    ) -> Reaction {
        self.duplicates = self.duplicates.saturating_add(1);
        if self.in_recovery {
            // Not more than what was in flight can leave the network (RFC 5681 section 3.2, against
            // forged duplicates).
            //= 5681-12
            if self.duplicates.saturating_mul(mss) <= self.recover.since(una) {
                self.cwnd = self.cwnd.saturating_add(mss);
            }
            return Reaction::Nothing;
        }
        //= 5681-11, 3042-1
        self.limited = self.duplicates.min(2).saturating_mul(mss);
        // RFC 6582 section 3.2, step 2: duplicates of bytes that were sent before the last loss
        // was noticed are no news.
        //= 5681-10, 6582-2
        if self.duplicates != threshold || !self.is_past(una) {
            return Reaction::Nothing;
        }
        self.limited = 0;
        // What limited transmit let out does not count (RFC 5681 section 3.2, step 2).
        self.lost(nxt, flight, mss);
        self.cwnd = self.ssthresh.saturating_add(threshold.saturating_mul(mss));
        Reaction::Retransmit
    }

    /// With SACK: another ACK that brought news of what is held (RFC 6675 section 2).
    pub(crate) fn selective_duplicate(&mut self) {
        self.duplicates = self.duplicates.saturating_add(1);
    }

    /// How many duplicates came in a row.
    pub(crate) fn duplicates(&self) -> u32 {
        self.duplicates
    }

    /// A loss: recovery begins, with `flight` bytes up to `nxt` outstanding (RFC 6675 section 5,
    /// steps 4.1 and 4.2).
    pub(crate) fn lost(&mut self, nxt: Seq, flight: u32, mss: u32) {
        self.in_recovery = true;
        //= 6582-1
        self.recover = nxt.back(1);
        // A mark and a loss in one window are one event (RFC 3168 section 6.1.2).
        if self.marked.take().is_none() {
            self.slow_down(flight, mss);
        }
    }

    /// What left up to `nxt` was lost, but not for congestion: the window stays, and what is
    /// noticed of that loss later begins no recovery.
    pub(crate) fn lost_without_congestion(&mut self, nxt: Seq) {
        self.recover = nxt.back(1);
        self.in_recovery = false;
        self.duplicates = 0;
        self.limited = 0;
    }

    /// A full segment has `after` bytes instead of `before`: the windows stay as many segments
    /// (RFC 5681 section 3.1).
    pub(crate) fn rescale(&mut self, before: u32, after: u32) {
        let scaled = |bytes: u32| {
            u32::try_from(u64::from(bytes) * u64::from(after) / u64::from(before.max(1)))
                .unwrap_or(u32::MAX)
        };
        self.cwnd = scaled(self.cwnd).max(after);
        if self.ssthresh < u32::MAX {
            self.ssthresh = scaled(self.ssthresh).max(2 * after);
        }
        self.limited = scaled(self.limited);
        self.cubic.rescale(scaled);
    }

    /// A mark was echoed, `flight` bytes up to `nxt` being outstanding.
    pub(crate) fn marked(&mut self, nxt: Seq, flight: u32, mss: u32) {
        self.slow_down(flight, mss);
        self.marked = Some(nxt);
    }

    /// A congestion event: the threshold, and the window with it, fall by the policy's factor.
    pub(crate) fn slow_down(&mut self, flight: u32, mss: u32) {
        self.ssthresh = self.reduced(flight.min(self.cwnd), mss);
        self.cwnd = self.ssthresh;
        self.credit = 0;
    }

    /// Equation 4 of RFC 5681; RFC 9438 section 4.6.
    fn reduced(&mut self, flight: u32, mss: u32) -> u32 {
        let left = if self.policy == Congestion::Cubic {
            self.cubic.reduce(self.cwnd, flight)
        } else {
            //= 5681-7
            flight / 2
        };
        //= 5681-7
        left.max(2 * mss)
    }

    /// The retransmission timer expired. `again`: for the same bytes as the last time.
    pub(crate) fn timed_out(&mut self, nxt: Seq, flight: u32, mss: u32, again: bool) {
        if !again {
            //= 5681-15
            self.ssthresh = self.reduced(flight, mss);
        }
        self.cubic.timed_out();
        //= MUST-19, 5681-8
        self.cwnd = mss;
        //= 6582-5, 6675-5
        self.recover = nxt.back(1);
        self.in_recovery = false;
        self.duplicates = 0;
        self.limited = 0;
        self.marked = None;
        self.credit = 0;
    }

    /// Nothing was sent for longer than an RTO (RFC 5681 section 4.1).
    pub(crate) fn idle(&mut self, segments: u32, mss: u32) {
        //= 5681-13
        self.cwnd = self.cwnd.min(initial_window(segments, mss));
        self.cubic.pause();
    }
}

/// RFC 6928 section 2 for its ten segments: at most 14600 bytes, or two segments where those are
/// more; otherwise as many as asked for.
fn initial_window(segments: u32, mss: u32) -> u32 {
    let window = segments.saturating_mul(mss);
    if segments == 10 {
        //= 5681-2
        window.min(14_600.max(2 * mss))
    } else {
        window.max(mss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Duration, Instant};

    const MSS: u32 = 1000;
    const PATH: Path = Path {
        now: Instant::ZERO,
        rtt: Duration::from_millis(10),
        mss: MSS,
        marked: false,
    };

    fn with(congestion: Congestion) -> CongestionController {
        CongestionController::new(
            &ConnConfig {
                congestion,
                ..ConnConfig::default()
            },
            MSS,
            Seq(0),
            false,
        )
    }

    fn control() -> CongestionController {
        with(Congestion::NewReno)
    }

    /// Proves 5681-2.
    #[test]
    fn control_starts_with_ten_segments_or_one_after_a_lost_syn() {
        assert_eq!(control().window(), 10 * MSS);
        assert_eq!(
            CongestionController::new(&ConnConfig::default(), MSS, Seq(0), true).window(),
            MSS
        );
        assert_eq!(
            CongestionController::new(&ConnConfig::default(), 9000, Seq(0), false).window(),
            18_000
        );
    }

    #[test]
    fn control_third_duplicate_halves_and_retransmits_once() {
        let mut control = control();
        let una = Seq(1001);
        let nxt = Seq(9001);
        let reactions: [Reaction; 4] =
            core::array::from_fn(|_| control.duplicate_ack(una, nxt, 8000, MSS, 3));
        assert_eq!(
            reactions,
            [
                Reaction::Nothing,
                Reaction::Nothing,
                Reaction::Retransmit,
                Reaction::Nothing
            ]
        );
        assert_eq!(control.window(), 4000 + 3 * MSS + MSS);
    }

    /// Proves 6582-3, 6582-4.
    #[test]
    fn control_partial_ack_retransmits_and_full_ack_deflates() {
        let mut control = control();
        for _ in 0..3 {
            control.duplicate_ack(Seq(1001), Seq(9001), 8000, MSS, 3);
        }
        assert_eq!(
            control.acked(2000, Seq(3001), 6000, &PATH),
            Reaction::Retransmit
        );
        assert_eq!(control.window(), 7000 - 2000 + MSS);
        assert_eq!(control.acked(6000, Seq(9001), 0, &PATH), Reaction::Nothing);
        assert_eq!(control.window(), 2 * MSS);
    }

    /// Proves MUST-19, 5681-6.
    #[test]
    fn control_timeout_leaves_one_segment_and_slow_start_to_half() {
        let mut control = control();
        control.timed_out(Seq(10_001), 10_000, MSS, false);
        assert_eq!(control.window(), MSS);
        for _ in 0..4 {
            control.acked(MSS, Seq(2001), 0, &PATH);
        }
        assert_eq!(control.window(), 5 * MSS);
        control.acked(MSS, Seq(3001), 0, &PATH);
        assert_eq!(
            control.window(),
            5 * MSS,
            "congestion avoidance grows by one segment a round trip"
        );
    }

    #[test]
    fn control_notices_a_loss_however_long_ago_the_last_one_was() {
        for gibibytes in 1..=4u32 {
            let mut control = control();
            let una = (1..=gibibytes).fold(Seq(0), |una, _| {
                control.acked(1 << 30, una + (1 << 30), 0, &PATH);
                una + (1 << 30)
            });
            let reactions: [Reaction; 3] =
                core::array::from_fn(|_| control.duplicate_ack(una, una + 9000, 9000, MSS, 3));
            assert_eq!(reactions[2], Reaction::Retransmit, "{gibibytes} GiB");
        }
    }

    /// Proves 5681-15.
    #[test]
    fn control_loss_of_a_retransmission_halves_again() {
        let mut control = control();
        for _ in 0..3 {
            control.duplicate_ack(Seq(1001), Seq(9001), 8000, MSS, 3);
        }
        assert_eq!(control.ssthresh, 4000);
        control.timed_out(Seq(9001), 6000, MSS, false);
        assert_eq!(control.ssthresh, 3000);
    }

    /// Proves 6582-1.
    #[test]
    fn control_recovers_from_what_was_sent_when_the_loss_was_noticed() {
        let iss = Seq(5000);
        let mut control = CongestionController::new(&ConnConfig::default(), MSS, iss, false);
        assert!(!control.is_past(iss) && control.is_past(iss + 1));
        control.lost(Seq(9001), 4000, MSS);
        assert!(!control.is_past(Seq(9000)) && control.is_past(Seq(9001)));
    }

    /// Proves 6675-5, 6582-5.
    #[test]
    fn control_after_a_timeout_all_that_was_sent_before_it_is_past_before_a_loss_counts() {
        let mut control = control();
        control.timed_out(Seq(10_001), 10_000, MSS, false);
        assert!(!control.is_past(Seq(10_000)) && control.is_past(Seq(10_001)));
        assert!(!control.in_recovery());
    }

    /// Proves 5681-6, MUST-19.
    #[test]
    fn control_in_congestion_avoidance_grows_by_a_segment_a_round_trip() {
        let mut control = control();
        control.slow_down(20 * MSS, MSS);
        let before = control.window();
        let segments = before / MSS;
        for acked in 1..=3 * segments {
            control.acked(MSS, Seq(2001), 0, &PATH);
            assert!(control.window() <= before + acked.div_ceil(segments) * MSS);
        }
        let grown = control.window() - before;
        assert!((2 * MSS..=3 * MSS).contains(&grown), "{grown}");
    }

    /// Proves 6675-4.
    #[test]
    fn control_with_sack_stays_in_recovery_until_all_of_it_is_acknowledged() {
        let mut control = control();
        control.lost(Seq(9001), 8000, MSS);
        assert!(!control.advanced(1000, Seq(2001), 7000, &PATH));
        assert!(control.in_recovery());
        assert!(control.advanced(7000, Seq(9001), 0, &PATH));
        assert!(!control.in_recovery());
    }

    #[test]
    fn control_off_never_limits() {
        assert_eq!(with(Congestion::Off).window(), u32::MAX);
    }
}
