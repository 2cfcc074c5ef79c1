//! What an application asks of a connection beyond SEND and RECEIVE, and is told: options, peek,
//! the window it leaves to the peer.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
#[path = "../common/mod.rs"]
mod common;
mod options;
mod peek;
mod status;
mod window;
