//! Where a connection's numbers start: the ISN (RFC 6528) and the timestamps' offset (RFC 7323).

use super::secret::{Purpose, Secret};
use crate::config::Isn;
use crate::id::FourTuple;
use crate::seq::Seq;
use crate::time::Instant;

/// The keys of both.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct IsnGenerator {
    isn: Secret,
    stamps: Secret,
}

impl IsnGenerator {
    pub(super) fn new(seed: u64) -> IsnGenerator {
        IsnGenerator {
            isn: Secret::new(seed, Purpose::Isn),
            stamps: Secret::new(seed, Purpose::Stamps),
        }
    }

    /// ISN = M + F(four-tuple, secret), M a clock of 4 µs (RFC 6528 section 3, MUST-8, MUST-9,
    /// SHLD-1).
    pub(super) fn iss(&self, policy: Isn, now: Instant, tuple: FourTuple) -> Seq {
        //= MUST-8, 6528-3
        let clock = Seq((now.micros() / 4) as u32);
        match policy {
            //= MUST-9, SHLD-1, 6528-1
            Isn::Rfc6528 => clock + self.isn.tuple(tuple, 0) as u32,
            Isn::Clock => clock,
            Isn::Fixed(seq) => seq,
        }
    }

    /// What is added to the timestamp clock: the same for each incarnation of a four-tuple, so that
    /// a later one has later timestamps (RFC 7323 section 7.1, RFC 6191).
    pub(super) fn stamp_offset(&self, tuple: FourTuple) -> u32 {
        //= 7323-17
        self.stamps.tuple(tuple, 0) as u32
    }
}
