//! CUBIC's congestion avoidance (RFC 9438), in integers: bytes, milliseconds, and quotients whose
//! remainders are kept.

use super::coder::Coder;
use super::path::Path;
use crate::time::{Duration, Instant};

/// t beyond this many milliseconds on either side of K makes no difference that fits into a window.
const MOST: u64 = 100_000;

/// The state since the last congestion event (section 4.1.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Cubic {
    /// W_max, bytes.
    w_max: u32,
    /// cwnd_prior, bytes.
    prior: u32,
    epoch: Option<Epoch>,
}

/// A stage of congestion avoidance.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Epoch {
    /// Its begin, put off by all the time in which it was not the window that limited (section 4.2,
    /// t).
    start: Instant,
    /// When the last ACK came.
    last: Instant,
    /// K, milliseconds.
    k: u64,
    /// W_max as the curve has it.
    origin: u32,
    /// W_est, bytes, and what was acknowledged since it last grew, in 17ths.
    w_est: u32,
    w_est_credit: u64,
    /// Remainder of the window's own growth.
    credit: u64,
}

impl Cubic {
    /// The window after `acked` bytes in congestion avoidance, `flight` being left in flight.
    pub(crate) fn grow(&mut self, cwnd: u32, acked: u32, flight: u32, path: &Path) -> u32 {
        let w_max = self.w_max;
        let prior = self.prior;
        let epoch = self
            .epoch
            .get_or_insert_with(|| Epoch::new(cwnd, w_max, path));
        let silence = path.now.since(epoch.last);
        epoch.last = path.now;
        // Section 5.8: while the application or the peer's window limits, nothing is learnt about
        // the path.
        if flight.saturating_add(acked).saturating_mul(2) < cwnd {
            //= 9438-4
            epoch.start = epoch.start + silence;
            return cwnd;
        }
        epoch.be_friendly(cwnd, acked, prior, path.mss);
        let t = path.now.since(epoch.start);
        if epoch.curve(t, path.mss) < u64::from(epoch.w_est) {
            //= 9438-2
            return cwnd.max(epoch.w_est);
        }
        let target = epoch
            .curve(t + path.rtt, path.mss)
            .clamp(u64::from(cwnd), u64::from(cwnd) * 3 / 2);
        epoch.credit += (target - u64::from(cwnd)) * u64::from(acked);
        let more = epoch.credit / u64::from(cwnd.max(1));
        epoch.credit %= u64::from(cwnd.max(1));
        cwnd.saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
            .min(1 << 30)
    }

    /// A congestion event (sections 4.6, 4.7): what is left of `flight`.
    pub(crate) fn reduce(&mut self, cwnd: u32, flight: u32) -> u32 {
        // Fast convergence: a flow that did not get back to where it was makes way for others,
        // W_max = cwnd * (1 + beta) / 2.
        self.w_max = if cwnd < self.w_max {
            //= 9438-3
            part(cwnd, 17, 20)
        } else {
            cwnd
        };
        self.prior = cwnd;
        self.epoch = None;
        //= 9438-1
        part(flight, 7, 10)
    }

    /// The retransmission timer expired: the next curve begins at the window that there is then, K
    /// being 0 (section 4.8).
    pub(crate) fn timed_out(&mut self) {
        self.w_max = 0;
        self.epoch = None;
    }

    /// Windows are counted in other segments: the curve restarts at the present one.
    pub(crate) fn rescale(&mut self, scaled: impl Fn(u32) -> u32) {
        self.w_max = scaled(self.w_max);
        self.prior = scaled(self.prior);
        self.epoch = None;
    }

    /// After idling, congestion avoidance restarts (section 4.2: t is not to count idle time).
    pub(crate) fn pause(&mut self) {
        self.epoch = None;
    }

    /// Codes all of it. `heard`: when the last ACK may have come.
    pub(super) fn code(&mut self, coder: &mut impl Coder, heard: Instant) {
        let Cubic {
            w_max,
            prior,
            epoch,
        } = self;
        coder.number(w_max, 0);
        coder.number(prior, *w_max);
        let mut started = epoch.as_ref().map(|epoch| epoch.start);
        coder.option(&mut started, heard);
        *epoch = started.map(|start| {
            let mut known = epoch.take().unwrap_or(Epoch {
                start,
                last: start,
                k: 0,
                origin: 0,
                w_est: 0,
                w_est_credit: 0,
                credit: 0,
            });
            let Epoch {
                start: _,
                last,
                k,
                origin,
                w_est,
                w_est_credit,
                credit,
            } = &mut known;
            coder.number(last, heard);
            coder.number(k, 0);
            coder.number(origin, *w_max);
            coder.number(w_est, *origin);
            coder.number(w_est_credit, 0);
            coder.number(credit, 0);
            Epoch { start, ..known }
        });
    }
}

impl Epoch {
    fn new(cwnd: u32, w_max: u32, path: &Path) -> Epoch {
        let below = w_max.saturating_sub(cwnd);
        // K = cbrt((W_max - cwnd_epoch) / C), windows in segments, C = 0.4 (section 4.2); in
        // milliseconds.
        let k = cube_root(u64::from(below) * 2_500_000_000 / u64::from(path.mss.max(1)));
        let start = path.now;
        let origin = w_max.max(cwnd);
        Epoch {
            start,
            last: start,
            k,
            origin,
            w_est: cwnd,
            w_est_credit: 0,
            credit: 0,
        }
    }

    /// W_est (section 4.3): alpha = 3 (1 - beta) / (1 + beta) = 9/17 segments a window, 1 once it
    /// is back at cwnd_prior.
    fn be_friendly(&mut self, cwnd: u32, acked: u32, prior: u32, mss: u32) {
        let alpha = if self.w_est < prior { 9 } else { 17 };
        self.w_est_credit += u64::from(acked) * alpha;
        let whole = 17 * u64::from(cwnd.max(1));
        let segments = u32::try_from(self.w_est_credit / whole).unwrap_or(u32::MAX);
        self.w_est_credit %= whole;
        self.w_est = self.w_est.saturating_add(mss.saturating_mul(segments));
    }

    /// W_cubic(t) = C (t - K)^3 + W_max, bytes, never below 0.
    fn curve(&self, t: Duration, mss: u32) -> u64 {
        let t = u64::try_from(t.as_millis()).unwrap_or(u64::MAX);
        let off = t.abs_diff(self.k).min(MOST);
        // In 1024ths of a segment: C / 10^9 ms^3 = 4096 / 10^13.
        //= 9438-5
        let segments = off * off * off * 4 / 10_000 * 1024 / 1_000_000;
        let bytes = segments * u64::from(mss) / 1024;
        let origin = u64::from(self.origin);
        if t < self.k {
            origin.saturating_sub(bytes)
        } else {
            origin + bytes
        }
    }
}

/// `n` * `of` / `whole`.
fn part(n: u32, of: u64, whole: u64) -> u32 {
    u32::try_from(u64::from(n) * of / whole).unwrap_or(u32::MAX)
}

/// The largest number whose cube is not above `n`, bit by bit.
fn cube_root(n: u64) -> u64 {
    (0..22).rev().fold(0u64, |root, bit| {
        let more = root | 1 << bit;
        if u128::from(more).pow(3) <= u128::from(n) {
            more
        } else {
            root
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const MSS: u32 = 1000;

    fn at(millis: u64) -> Path {
        Path {
            now: Instant::ZERO + Duration::from_millis(millis),
            rtt: Duration::from_millis(100),
            mss: MSS,
            marked: false,
            loses: false,
            reorders: false,
        }
    }

    /// The window at each whole second after a loss at `from` bytes, one ACK for each window of
    /// 100 ms.
    fn after_loss(from: u32, seconds: u64) -> Vec<u32> {
        let mut cubic = Cubic::default();
        let mut cwnd = cubic.reduce(from, from);
        (0..=seconds * 10)
            .map(|round| {
                cwnd = cubic.grow(cwnd, cwnd, 0, &at(round * 100));
                cwnd
            })
            .step_by(10)
            .collect()
    }

    #[test]
    fn cube_root_of_the_ends() {
        assert_eq!(
            [0, 1, 7, 8, 26, 27, 1_000_000_000, u64::MAX].map(cube_root),
            [0, 1, 1, 2, 2, 3, 1000, 2_642_245]
        );
    }

    proptest! {
        #[test]
        fn cube_root_is_the_largest(n: u64) {
            let root = u128::from(cube_root(n));
            prop_assert!(root.pow(3) <= u128::from(n) && (root + 1).pow(3) > u128::from(n));
        }

        #[test]
        fn curve_never_falls_with_time(
            cwnd in MSS..1 << 30,
            w_max in 0u32..1 << 30,
            t in 0u64..1 << 40,
            more in 0u64..1 << 40,
        ) {
            let epoch = Epoch::new(cwnd, w_max, &at(0));
            prop_assert!(
                epoch.curve(Duration::from_millis(t), MSS)
                    <= epoch.curve(Duration::from_millis(t + more), MSS)
            );
        }
    }

    /// RFC 9438 section 4.2: concave up to W_max at K, then convex. K = cbrt(0.3 * 1000 / 0.4) =
    /// 9.08 s.
    /// Proves 9438-1, 9438-5.
    #[test]
    fn rfc_9438_4_2_window_is_back_at_w_max_after_k_and_grows_on() {
        let windows = after_loss(1_000_000, 12);
        assert!(
            (700..715).contains(&(windows[0] / 1000)),
            "beta is 0.7: {windows:?}"
        );
        assert!((995..1_005).contains(&(windows[9] / 1000)), "{windows:?}");
        let steps: Vec<u32> = windows.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            steps[0] > steps[3] && steps[3] > steps[7] && steps[11] > steps[9],
            "{steps:?}"
        );
    }

    /// Section 4.3: where CUBIC's own curve is flat, the window grows as fast as Reno's.
    /// Proves 9438-2.
    #[test]
    fn rfc_9438_4_3_small_window_grows_by_9_17ths_of_a_segment_a_round_and_then_by_one() {
        let mut cubic = Cubic::default();
        let mut cwnd = cubic.reduce(20 * MSS, 20 * MSS);
        assert_eq!(cwnd, 14 * MSS);
        let path = |round| Path {
            rtt: Duration::from_millis(1),
            ..at(round)
        };
        let mut rounds = 0;
        while cwnd < 20 * MSS {
            cwnd = cubic.grow(cwnd, cwnd, 0, &path(rounds));
            rounds += 1;
        }
        assert_eq!(rounds, 12, "6 segments at 9/17 a round");
        for _ in 0..10 {
            cwnd = cubic.grow(cwnd, cwnd, 0, &path(rounds));
        }
        assert_eq!(cwnd, 30 * MSS);
    }

    /// Proves 9438-3.
    #[test]
    fn rfc_9438_4_7_second_loss_below_w_max_lets_others_have_more() {
        let mut cubic = Cubic::default();
        cubic.reduce(100_000, 100_000);
        assert_eq!(cubic.w_max, 100_000);
        assert_eq!(cubic.reduce(80_000, 80_000), 56_000);
        assert_eq!(cubic.w_max, 68_000);
    }

    #[test]
    fn rfc_9438_4_8_after_a_timeout_the_curve_begins_at_the_window_that_there_is() {
        let mut cubic = Cubic::default();
        let ssthresh = cubic.reduce(1_000_000, 1_000_000);
        cubic.timed_out();
        let cwnd = (0..=10).fold(ssthresh, |cwnd, round| {
            cubic.grow(cwnd, cwnd, 0, &at(round * 100))
        });
        assert!(cwnd < ssthresh + 10 * MSS, "{cwnd}: K is 0, not 9 s");
    }

    /// Proves 9438-4.
    #[test]
    fn rfc_9438_5_8_time_in_which_the_application_had_nothing_does_not_count() {
        let mut cubic = Cubic::default();
        let cwnd = cubic.reduce(1_000_000, 1_000_000);
        cubic.grow(cwnd, 1000, cwnd, &at(0));
        for second in 1..60 {
            assert_eq!(cubic.grow(cwnd, 1000, 0, &at(second * 1000)), cwnd);
        }
        let next = cubic.grow(cwnd, cwnd, 0, &at(59_100));
        assert!(
            next < 740_000,
            "{next}: as 200 ms after the loss, not a minute"
        );
    }
}
