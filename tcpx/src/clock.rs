//! The clock of hosts on a wire.

use rustix::time::ClockId;
use tcpx_proto::time::Instant;

/// Now, on the clock of hosts on a wire: CLOCK_MONOTONIC. Hosts in memory have their own, which
/// begins at zero.
pub fn now() -> Instant {
    let time = rustix::time::clock_gettime(ClockId::Monotonic);
    Instant(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
