//! A TCP on a real wire, for tokio: the engine of `tcpx-proto` between raw IP sockets and
//! `AsyncRead`/`AsyncWrite`.
//!
//! It talks to any kernel, and every rule that makes TCP reliable can be removed on purpose. The
//! same hosts live in memory as well, where a test needs no privilege and no time.
//!
//! # On a wire
//! A [`Host`] is a TCP on one of this machine's addresses and a few of its ports, which are
//! reserved and about which the kernel is kept quiet ([`guard`]) for as long as the host lives. A
//! [`Stream`] is then as good as a `tokio::net::TcpStream`: `examples/` has hyper and rustls on it,
//! unchanged.
//!
//! ```no_run
//! use tcpx::link::source_for;
//! use tcpx::{Host, HostOptions, LinkOptions, Ports};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = "192.0.2.80:80".parse()?;
//! let faults = vec!["rate=10% drop any data".parse()?]; // what the network does to us
//! let link = LinkOptions::new(source_for(server)?, Ports::Block(1)); // a free port, on the address that has a way there
//! let host = Host::open(link, HostOptions { faults, ..HostOptions::default() })?;
//! let mut stream = host.connect(server).await?;
//! stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
//! let mut page = Vec::new();
//! stream.read_to_end(&mut page).await?;
//! drop(stream);
//! host.closed().await?; // TIME-WAIT included: after that the kernel would answer a retransmitted FIN with a RST
//! # Ok(())
//! # }
//! ```
//!
//! This takes CAP_NET_RAW, and CAP_NET_ADMIN for the better of the two guards; [`Error::Privilege`]
//! comes with the command that gives them, and [`privileges::drop_all`] gives them up after the
//! set-up. Under the guard that is a firewall rule, a thread of its own keeps these two for as long
//! as the rule is there.
//!
//! # In memory, for tests
//! [`testing::pair`] gives both ends of a connection through two whole stacks and a link that
//! misbehaves as you ask; [`testing`] has a table of what a peer can do to you. [`network`] has as
//! many hosts as you like. With tokio's clock paused an hour takes no time:
//!
//! ```
//! use std::time::Duration;
//! use tcpx::testing::{PairOptions, Pair, pair};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let Pair { mut near, mut far, network, near_diary, .. } = pair(PairOptions::default()).await?;
//! near.host().add_fault("drop out data#1".parse()?);
//! near.write_all(b"hello").await?;
//! far.read_exact(&mut [0; 5]).await?;
//! let again = near_diary.count(|entry| entry.segment().is_some_and(|segment| segment.retransmission == 1));
//! assert_eq!(again, 1, "{near_diary}");
//! assert!(network.elapsed() >= Duration::from_millis(200)); // Linux's minimum retransmission timeout
//! # Ok(())
//! # }
//! ```
//!
//! # Where the knobs are
//! In [`HostOptions`], all of it data: `config` has every parameter with its source
//! ([`tcpx_proto::config`]), `faults` are lines of the fault language ([`tcpx_proto::fault`]), and
//! a preset turns several of both to remove one rule of TCP ([`tcpx_proto::preset`]). What the
//! application does and when can be a script ([`tcpx_proto::script`]). A connection may
//! differ from its host: [`Host::connect_with`], [`Host::listen`]. While it runs:
//! [`Host::add_fault`], [`Host::end_faults`], [`Host::vanish`], [`Host::restart`],
//! [`Stream::abort`].
//!
//! # What happened
//! An [`record::Observer`] sees it: JSON Lines from which `tcpx-lab ladder` draws both ends, or a
//! [`testing::Diary`]. [`record`] shows how.
//!
//! # The rooms
//! | room | its question |
//! |---|---|
//! | [`host`], [`stream`], [`listener`] | what a program that speaks tokio sees |
//! | `driver` | the one loop: packets, calls, timers in; packets, wake-ups, records out |
//! | [`link`] | raw IP socket or packet sockets, ICMP socket, filter, batches |
//! | [`guard`] | the kernel keeps quiet while we live: reservation of ports, RST suppression |
//! | [`privileges`] | capabilities, raised for the set-up and dropped after it |
//! | `netns` | network namespaces, and with that feature two hosts on a cable |
//! | [`clock`] | the time of hosts on a wire |
//! | [`network`] | the same hosts in memory, on tokio's clock |
//! | [`testing`] | what a test of your own code needs |
//! | [`record`] | what happened, for people and for programs |
//!
//! # What holds everywhere
//! Nothing panics on input (only [`testing::isolated`] does, as assertions do). Every wait can be
//! dropped and started again. An [`Error`] says what happened, with a [`hint`](Error::hint) and the
//! [`kind`](Error::kind) that std would give it; a stream's `io::Error` contains it.
//! The engine is that of [`tcpx_proto`]; its page has the contract between it and `driver`.

mod bpf;
pub mod capability;
pub mod checksum;
pub mod clock;
mod driver;
pub mod error;
pub mod guard;
mod handle;
pub mod host;
pub mod link;
pub mod listener;
#[cfg(feature = "netns")]
pub mod netns;
#[cfg(not(feature = "netns"))]
mod netns;
pub mod network;
mod option;
pub mod owner;
pub mod ports;
pub mod privileges;
pub mod record;
pub mod stream;
pub mod testing;

pub use error::Error;
pub use host::{Host, HostOptions};
pub use link::{Link, LinkKind, LinkOptions};
pub use listener::Listener;
pub use ports::{GuardKind, Ports};
pub use stream::Stream;
/// The engine.
pub use tcpx_proto as proto;
pub use tcpx_proto::config::{Config, ConnConfig, KeepAlive, Profile, SocketOption};
pub use tcpx_proto::error::{CallError, CloseReason};
pub use tcpx_proto::event::{Event, SegmentRecord};
pub use tcpx_proto::fault::{FaultRule, Judgement};
pub use tcpx_proto::id::ConnId;
pub use tcpx_proto::stack::Counters;
pub use tcpx_proto::state::State;
pub use tcpx_proto::tcb::Status;
