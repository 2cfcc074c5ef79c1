//! What a simulation keeps of everything that happens.

use crate::time::Instant;
use crate::trace::{Observed, ObservedSegment};

/// Names a host of one simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HostId(pub(super) usize);

/// One thing that was observed. Their order is that in which they happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are of the large variant"
)]
pub enum Observation {
    /// Something at a host.
    Host {
        /// The host.
        host: HostId,
        /// What happened there.
        observed: Observed,
        /// Of a segment that came off a link: the index of the observation with which it departed
        /// at the other end.
        departed: Option<usize>,
    },
    /// A link lost a segment, or no host has its destination address.
    Lost {
        /// When.
        at: Instant,
        /// The index of the observation with which it departed.
        departed: usize,
    },
}

impl Observation {
    /// When.
    pub fn at(&self) -> Instant {
        match self {
            Observation::Host { observed, .. } => observed.at(),
            Observation::Lost { at, .. } => *at,
        }
    }

    /// What happened at this host, if it happened there.
    pub fn of(&self, at: HostId) -> Option<&Observed> {
        match self {
            Observation::Host { host, observed, .. } if *host == at => Some(observed),
            Observation::Host { .. } | Observation::Lost { .. } => None,
        }
    }

    /// The host and the segment, if it is one.
    pub fn segment(&self) -> Option<(HostId, &ObservedSegment)> {
        match self {
            Observation::Host {
                host,
                observed: Observed::Segment(segment),
                ..
            } => Some((*host, segment)),
            Observation::Host { .. } | Observation::Lost { .. } => None,
        }
    }
}
