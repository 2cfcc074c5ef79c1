//! What every test needs: two hosts that vanish with the test, programs on them that die with it,
//! and witnesses that are not tcpx.

mod capture;
pub(crate) mod events;
mod kernel;
mod lab;
mod process;

pub(crate) use capture::{Capture, Seen, Segment};
pub(crate) use kernel::{await_socket, iptables_rules, sockets};
pub(crate) use lab::{Host, Lab, PORT, built, installed, skip};
pub(crate) use process::{Ended, Program, Signal};

use std::time::{Duration, Instant};

/// The longest that anything here may take before the test says that it did not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Flags for our programs: however busy the machine, no segment that is only late goes twice.
pub(crate) const PATIENT: [&str; 6] = [
    "--rto-initial",
    "3s",
    "--rto-min",
    "3s",
    "--recovery",
    "rfc6675",
];

/// Looks again and again until there is something to see.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    try_until(look).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// The same; None: not within [`PATIENCE`].
pub(crate) fn try_until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
