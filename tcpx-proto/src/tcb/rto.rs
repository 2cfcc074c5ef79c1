//! The retransmission timeout: RFC 6298.

use crate::config::Rto;
use crate::time::Duration;

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
    pub(crate) fn sample(&mut self, _config: &Rto, _rtt: Duration) {
        todo!()
    }

    /// The timer expired (section 5.5).
    pub(crate) fn back_off(&mut self, _config: &Rto) {
        todo!()
    }

    /// New data was acknowledged, but nothing could be measured: the timeout without its back-off.
    pub(crate) fn end_back_off(&mut self, _config: &Rto) {
        todo!()
    }
}
