//! A TCP on a real wire, for tokio: the engine of `tcpx-proto` between raw IP sockets and `AsyncRead`/`AsyncWrite`.
//!
//! | room | its question |
//! |---|---|
//! | [`host`], [`stream`], [`listener`] | what a program that speaks tokio sees |
//! | `driver` | the one loop: packets, calls, timers in; packets, wake-ups, records out |
//! | `edge` | stack, gate and observers of a host: what happens to a packet between the wire and the engine |
//! | [`link`] | raw IP socket, ICMP socket, filter, batches |
//! | [`guard`] | the kernel keeps quiet while we live: reservation of ports, RST suppression |
//! | [`privileges`] | capabilities, raised for the set-up and dropped after it |
//! | [`record`] | what happened, for people and for programs |
//! | [`cli`] | the flags that both binaries share |

pub mod app;
pub mod cli;
mod driver;
mod edge;
pub mod error;
pub mod guard;
pub mod host;
pub mod link;
pub mod listener;
pub mod network;
pub mod privileges;
pub mod record;
pub mod stream;
pub mod testing;

pub use error::Error;
pub use host::{Host, HostOptions};
pub use listener::Listener;
pub use stream::Stream;
