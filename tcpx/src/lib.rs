//! A TCP on a real wire, for tokio: the engine of `tcpx-proto` between raw IP sockets and `AsyncRead`/`AsyncWrite`.
//!
//! | room | its question |
//! |---|---|
//! | [`host`], [`stream`], [`listener`] | what a program that speaks tokio sees |
//! | `driver` | the one loop: packets, calls, timers in; packets, wake-ups, records out |
//! | [`link`] | raw IP socket, ICMP socket, filter, batches |
//! | [`guard`] | the kernel keeps quiet while we live: reservation of ports, RST suppression |
//! | [`privileges`] | capabilities, raised for the set-up and dropped after it |
//! | [`record`] | what happened, for people and for programs |
//! | [`cli`] | the flags that both binaries share |

pub mod error;
pub mod guard;
pub mod link;
pub mod privileges;
pub mod record;

pub use error::Error;
