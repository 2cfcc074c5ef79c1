//! Independent observations: the lab's own witnesses of a TCP in a
//! [`Namespace`](tcpx::netns::Namespace), so that a wrong log cannot pass.
//!
//! | module | its question |
//! |---|---|
//! | [`capture`] | which packets passed the cable's end, and when |
//! | [`reread`] | whether pnet, a second reader, reads those packets in the same way |
//! | `ring` | how the kernel hands them over without losing one |
//! | [`segments`] | those packets as the entries of an events file |
//! | [`check`] | whether a log says what was captured |
//! | [`pcapng`] | the capture as a file for tshark |
//! | [`sockets`] | which TCP sockets the kernel has, and in which states |
//! | [`kernel`] | what can be asked of, and done to, the kernel of a namespace |
//! | [`log`] | what the kernel's end would have written, had it written an events file |
//! | [`nft`] | which faults nftables can do, between two kernels |
//! | [`player`] | an application on the kernel's TCP, by the same scripts |
//! | `track` | which states of RFC 9293 Figure 5 the segments of a connection prove |
//! | [`cable`] | the cable pulled out, and a host that is there and says nothing |

pub mod cable;
pub mod capture;
pub mod check;
pub mod kernel;
pub mod log;
pub mod nft;
pub mod pcapng;
pub mod player;
pub mod reread;
mod ring;
#[cfg(test)]
mod sample;
pub mod segments;
pub mod sockets;
mod track;

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// This machine's clock since boot (CLOCK_MONOTONIC), seconds: the clock of
/// [`Log::monotonic`](tcpx_experiment::trace::Log::monotonic).
pub fn now() -> f64 {
    reading(ClockId::Monotonic).as_secs_f64()
}

/// What to add to the clock since boot to have the time since 1970.
pub fn calendar() -> Duration {
    // Whoever is interrupted between the two readings reads again: the pair that was read fastest
    // counts.
    let pair = || {
        let before = reading(ClockId::Monotonic);
        let calendar = reading(ClockId::Realtime);
        (
            reading(ClockId::Monotonic) - before,
            calendar.saturating_sub(before),
        )
    };
    (0..3)
        .map(|_| pair())
        .min()
        .map_or(Duration::ZERO, |(_, difference)| difference)
}

fn reading(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
