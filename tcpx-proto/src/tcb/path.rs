//! The path as congestion control sees it.

use crate::time::{Duration, Instant};

/// The path as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) now: Instant,
    pub(crate) rtt: Duration,
    /// SMSS, bytes.
    pub(crate) mss: u32,
    /// The ACK at hand echoes a mark.
    pub(crate) marked: bool,
    /// The ACK at hand shows that more is lost.
    pub(crate) loses: bool,
    /// Segments overtake each other so far that what is held is as good as acknowledged.
    pub(crate) reorders: bool,
}
