//! The retransmission timeout: RFC 6298.

use super::coder::Coder;
use crate::config::{Rto, TimerGranularity, Variance};
use crate::seq::Seq;
use crate::time::Duration;

/// The clock's granularity G (section 4): RTTs are measured in timestamps of 1 ms.
const GRANULARITY: Duration = Duration::from_millis(1);

/// SRTT, RTTVAR and the timeout that follows from them, with its back-off.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Estimator {
    pub(crate) srtt: Option<Duration>,
    /// RTTVAR; with [`Variance::Linux`] four times the mean deviation.
    rttvar: Duration,
    /// [`Variance::Linux`]: the largest deviation of this round trip, and of the last ones.
    peak: Duration,
    peaks: Duration,
    /// SND.NXT when this round trip began.
    round: Seq,
    rto: Duration,
    granularity: TimerGranularity,
}

impl Estimator {
    pub(crate) fn new(config: &Rto, granularity: TimerGranularity) -> Estimator {
        let zero = Duration::ZERO;
        Estimator {
            srtt: None,
            rttvar: zero,
            peak: zero,
            peaks: zero,
            round: Seq(0),
            //= 6298-2
            rto: config.initial,
            granularity,
        }
    }

    /// RTTVAR, once there was a sample.
    pub(crate) fn variation(&self, config: &Rto) -> Option<Duration> {
        let unit = if config.variance == Variance::Linux {
            4
        } else {
            1
        };
        self.srtt.map(|_| self.rttvar / unit)
    }

    /// The timeout now, back-off included.
    pub(crate) fn rto(&self) -> Duration {
        self.rto
    }

    /// Takes a round-trip time of a segment that was sent once, or that timestamps tell apart
    /// (sections 2.2, 2.3, 3), from an ACK of everything before `una`. Ends the back-off.
    pub(crate) fn sample(&mut self, config: &Rto, rtt: Duration, una: Seq, nxt: Seq) {
        let rto = match config.variance {
            //= 6298-1, 6298-5
            Variance::Rfc6298 => self.rfc_6298(rtt).max(config.min),
            Variance::Linux => self.linux(config.min, rtt, una, nxt),
        };
        self.rto = self.granularity.round(rto).min(config.max);
    }

    fn rfc_6298(&mut self, rtt: Duration) -> Duration {
        // The variance first, from the old mean (section 2.3).
        self.rttvar = self
            .srtt
            //= 6298-4
            .map_or(rtt / 2, |srtt| (self.rttvar * 3 + srtt.abs_diff(rtt)) / 4);
        let srtt = self.smooth(rtt);
        //= 6298-3, 6298-9
        srtt.saturating_add(GRANULARITY.max(self.rttvar.saturating_mul(4)))
    }

    /// Linux's `tcp_rtt_estimator`: a round trip that takes less than before hardly counts as a
    /// deviation, and what the timeout adds is the largest deviation of a round trip, which calmer
    /// ones lower by a quarter each.
    fn linux(&mut self, min: Duration, rtt: Duration, una: Seq, nxt: Seq) -> Duration {
        let Some(srtt) = self.srtt else {
            self.rttvar = rtt * 2;
            self.peak = self.rttvar.max(min);
            self.round = nxt;
            self.peaks = self.peak;
            return self.smooth(rtt).saturating_add(self.peaks);
        };
        let deviation = srtt.abs_diff(rtt);
        let mean = self.rttvar / 4;
        let more = deviation.saturating_sub(mean) / if rtt < srtt { 8 } else { 1 };
        self.rttvar = (self.rttvar + more).saturating_sub(mean.saturating_sub(deviation));
        self.peak = self.peak.max(self.rttvar);
        self.peaks = self.peaks.max(self.peak);
        if una.gt(self.round) {
            self.peaks -= (self.peaks - self.peak) / 4;
            self.peak = min;
            self.round = nxt;
        }
        self.smooth(rtt).saturating_add(self.peaks)
    }

    fn smooth(&mut self, rtt: Duration) -> Duration {
        //= 6298-4
        let srtt = self.srtt.map_or(rtt, |srtt| (srtt * 7 + rtt) / 8);
        self.srtt = Some(srtt);
        srtt
    }

    /// The timer expired (section 5.5).
    pub(crate) fn back_off(&mut self, config: &Rto) {
        self.rto = self
            .rto
            //= 6298-12
            .saturating_mul(config.backoff.max(1))
            //= 6298-6
            .min(config.max);
    }

    /// Codes all of it.
    pub(super) fn code(
        &mut self,
        coder: &mut impl Coder,
        config: &Rto,
        expected: TimerGranularity,
        nxt: Seq,
    ) {
        let Estimator {
            srtt,
            rttvar,
            peak,
            peaks,
            round,
            rto,
            granularity,
        } = self;
        coder.only(granularity, expected);
        coder.group(|coder| {
            coder.option(srtt, Duration::ZERO);
            let first = srtt.unwrap_or_default();
            coder.number(rttvar, first.saturating_mul(2));
            let least = if srtt.is_some() {
                config.min
            } else {
                Duration::ZERO
            };
            coder.number(peak, (*rttvar).max(least));
            coder.number(peaks, *peak);
            coder.number(round, if srtt.is_some() { nxt } else { Seq(0) });
        });
        let timeout = srtt.map_or(config.initial, |srtt| {
            let rto = srtt.saturating_add(*peaks);
            expected.round(rto).min(config.max)
        });
        coder.number(rto, timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Samples;
    use alloc::vec::Vec;

    const CONFIG: Rto = Rto {
        initial: Duration::from_secs(1),
        min: Duration::from_millis(200),
        max: Duration::from_secs(120),
        backoff: 2,
        variance: Variance::Rfc6298,
        samples: Samples::Unambiguous,
    };

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// One that took these round-trip times, one segment each.
    fn after(config: &Rto, rtts: &[u64]) -> Estimator {
        let mut estimator = Estimator::new(config, TimerGranularity::Exact);
        rtts.iter()
            .zip(1..)
            .for_each(|(rtt, n)| estimator.sample(config, millis(*rtt), Seq(n), Seq(n)));
        estimator
    }

    /// Proves 6298-3.
    #[test]
    fn estimator_first_sample_gives_three_times_the_rtt() {
        assert_eq!(
            Estimator::new(&CONFIG, TimerGranularity::Exact).rto(),
            Duration::from_secs(1)
        );
        for variance in [Variance::Rfc6298, Variance::Linux] {
            assert_eq!(
                after(&Rto { variance, ..CONFIG }, &[100]).rto(),
                millis(300)
            );
            let config = Rto { variance, ..CONFIG };
            let variation = after(&config, &[100]).variation(&config);
            assert_eq!(variation, Some(millis(50)));
        }
    }

    /// Proves 6298-4.
    #[test]
    fn estimator_second_sample_takes_the_variance_before_the_mean() {
        // RTTVAR = 3/4 * 50 + 1/4 * 80 = 57.5, SRTT = 7/8 * 100 + 1/8 * 180 = 110, RTO = 110 + 230.
        assert_eq!(after(&CONFIG, &[100, 180]).rto(), millis(340));
    }

    #[test]
    fn estimator_back_off_doubles_up_to_the_maximum_and_a_sample_ends_it() {
        let mut estimator = Estimator::new(&CONFIG, TimerGranularity::Exact);
        for seconds in [2, 4, 8, 16, 32, 64, 120, 120] {
            estimator.back_off(&CONFIG);
            assert_eq!(estimator.rto(), Duration::from_secs(seconds));
        }
        estimator.sample(&CONFIG, millis(1), Seq(1), Seq(1));
        assert_eq!(estimator.rto(), CONFIG.min);
    }

    /// Proves 6298-9.
    #[test]
    fn estimator_without_variance_still_adds_the_granularity() {
        assert_eq!(after(&CONFIG, &[500; 200]).rto(), millis(501));
    }

    #[test]
    fn estimator_without_back_off_keeps_its_timeout() {
        let config = Rto {
            backoff: 1,
            ..CONFIG
        };
        let mut estimator = Estimator::new(&config, TimerGranularity::Exact);
        estimator.back_off(&config);
        assert_eq!(estimator.rto(), config.initial);
    }

    /// What `ss -tin` showed of Linux 6.18 with these round-trip times, rounded up to its clock of
    /// 4 ms.
    #[test]
    fn estimator_of_linux_gives_what_linux_was_measured_to() {
        const MEASURED: [(u64, u64); 28] = [
            (50, 252),
            (50, 252),
            (50, 252),
            (50, 252),
            (50, 252),
            (240, 292),
            (50, 284),
            (50, 280),
            (53, 276),
            (50, 272),
            (52, 268),
            (50, 264),
            (51, 264),
            (50, 264),
            (200, 280),
            (200, 360),
            (300, 528),
            (300, 632),
            (10, 616),
            (10, 600),
            (10, 580),
            (10, 560),
            (10, 532),
            (10, 504),
            (10, 472),
            (10, 440),
            (200, 452),
            (109, 444),
        ];
        let config = Rto {
            variance: Variance::Linux,
            ..CONFIG
        };
        for until in 1..=MEASURED.len() {
            let rtts: Vec<u64> = MEASURED[..until].iter().map(|(rtt, _)| *rtt).collect();
            let rto = after(&config, &rtts).rto();
            let measured = millis(MEASURED[until - 1].1);
            assert!(
                rto <= measured && measured - rto <= millis(6),
                "{until}: {rto:?}, measured {measured:?}"
            );
        }
    }

    #[test]
    fn estimator_of_linux_takes_the_peak_of_a_round_trip_not_of_a_segment() {
        let config = Rto {
            variance: Variance::Linux,
            ..CONFIG
        };
        let mut estimator = after(&config, &[100, 100, 100]);
        estimator.sample(&config, millis(900), Seq(4), Seq(1000));
        let peak = estimator.peaks;
        // All of them in flight at once: one round trip, whatever its later segments took.
        for una in 5..=1000 {
            estimator.sample(&config, millis(100), Seq(una), Seq(1000));
            assert_eq!(estimator.peaks, peak);
        }
        estimator.sample(&config, millis(100), Seq(1001), Seq(2000));
        assert!(estimator.peaks < peak);
    }

    #[test]
    fn estimator_of_linux_minimum_bounds_the_variance_and_maximum_the_sum() {
        let config = Rto {
            variance: Variance::Linux,
            ..CONFIG
        };
        for rtt in [0, 1, 20, 100, 180, 300, 2000] {
            assert_eq!(
                after(&config, &[rtt; 50]).rto().as_millis(),
                u128::from(rtt + 200),
                "{rtt} ms"
            );
        }
        assert_eq!(
            after(
                &Rto {
                    max: millis(250),
                    ..config
                },
                &[100; 50]
            )
            .rto(),
            millis(250)
        );
        assert_eq!(
            after(
                &Rto {
                    min: millis(900),
                    ..config
                },
                &[100; 50]
            )
            .rto(),
            millis(1000)
        );
    }
}
