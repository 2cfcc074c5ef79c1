//! The retransmission timeout: RFC 6298.

use crate::config::Rto;
use crate::time::Duration;

/// The clock's granularity G (section 4): RTTs are measured in timestamps of 1 ms.
const GRANULARITY: Duration = Duration::from_millis(1);

/// SRTT, RTTVAR and the timeout that follows from them, with its back-off.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Estimator {
    pub(crate) srtt: Option<Duration>,
    rttvar: Duration,
    rto: Duration,
}

impl Estimator {
    pub(crate) fn new(config: &Rto) -> Estimator {
        Estimator { srtt: None, rttvar: Duration::ZERO, rto: config.initial }
    }

    /// The timeout now, back-off included.
    pub(crate) fn rto(&self) -> Duration {
        self.rto
    }

    /// Takes a round-trip time of a segment that was sent once, or that timestamps tell apart (sections 2.2, 2.3, 3). Ends the back-off.
    pub(crate) fn sample(&mut self, config: &Rto, rtt: Duration) {
        let srtt = match self.srtt {
            None => {
                self.rttvar = rtt / 2;
                rtt
            }
            // The variance first, from the old mean (section 2.3).
            Some(srtt) => {
                self.rttvar = (self.rttvar * 3 + srtt.abs_diff(rtt)) / 4;
                (srtt * 7 + rtt) / 8
            }
        };
        self.srtt = Some(srtt);
        let rto = srtt.saturating_add(GRANULARITY.max(self.rttvar.saturating_mul(4)));
        self.rto = rto.max(config.min).min(config.max);
    }

    /// The timer expired (section 5.5).
    pub(crate) fn back_off(&mut self, config: &Rto) {
        self.rto = self.rto.saturating_mul(config.backoff.max(1)).min(config.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Samples;

    const CONFIG: Rto = Rto {
        initial: Duration::from_secs(1),
        min: Duration::from_millis(200),
        max: Duration::from_secs(120),
        backoff: 2,
        samples: Samples::Unambiguous,
    };

    #[test]
    fn estimator_first_sample_gives_three_times_the_rtt() {
        let mut estimator = Estimator::new(&CONFIG);
        assert_eq!(estimator.rto(), Duration::from_secs(1));
        estimator.sample(&CONFIG, Duration::from_millis(100));
        assert_eq!(estimator.rto(), Duration::from_millis(300));
    }

    #[test]
    fn estimator_second_sample_takes_the_variance_before_the_mean() {
        let mut estimator = Estimator::new(&CONFIG);
        estimator.sample(&CONFIG, Duration::from_millis(100));
        estimator.sample(&CONFIG, Duration::from_millis(180));
        // RTTVAR = 3/4 * 50 + 1/4 * 80 = 57.5, SRTT = 7/8 * 100 + 1/8 * 180 = 110, RTO = 110 + 230.
        assert_eq!(estimator.rto(), Duration::from_millis(340));
    }

    #[test]
    fn estimator_back_off_doubles_up_to_the_maximum_and_a_sample_ends_it() {
        let mut estimator = Estimator::new(&CONFIG);
        for seconds in [2, 4, 8, 16, 32, 64, 120, 120] {
            estimator.back_off(&CONFIG);
            assert_eq!(estimator.rto(), Duration::from_secs(seconds));
        }
        estimator.sample(&CONFIG, Duration::from_millis(1));
        assert_eq!(estimator.rto(), CONFIG.min);
    }

    #[test]
    fn estimator_without_back_off_keeps_its_timeout() {
        let config = Rto { backoff: 1, ..CONFIG };
        let mut estimator = Estimator::new(&config);
        estimator.back_off(&config);
        assert_eq!(estimator.rto(), config.initial);
    }
}
