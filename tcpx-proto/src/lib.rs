//! What TCP does when a segment, a call or the clock arrives: the whole of RFC 9293 as a state
//! machine without I/O.
//!
//! `no_std`, no `unsafe`, no clock, no randomness and no logger: the owner of a
//! [`Stack`](stack::Stack) passes everything in and takes everything out. The crate `tcpx` does so
//! on a real wire; [`sim`] does so for hosts and links on one virtual clock.
//!
//! # A run in a dozen lines
//! The third ACK of a handshake is lost. What does each side believe, and how do they recover?
//! Three seconds later we know, without any of them having passed:
//!
//! ```
//! use core::time::Duration;
//! use tcpx_proto::config::{Config, ConnConfig};
//! use tcpx_proto::error::CloseReason;
//! use tcpx_proto::sim::Sim;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut sim = Sim::new(1);
//! let client = sim.add_host("10.0.0.1".parse()?, Config::default(), 1, vec!["drop out third-ack#1".parse()?]);
//! let server = sim.add_host("10.0.0.2".parse()?, Config::default(), 2, vec![]);
//! sim.listen(server, 80, 8, &ConnConfig::default(), "receive to end; close".parse()?)?;
//! let conn = sim.connect(client, 0, "10.0.0.2:80".parse()?, &ConnConfig::default())?;
//! sim.spawn(client, conn, "sleep 3s; send \"hello\"; close".parse()?);
//! assert!(sim.run_until(|sim| sim.closed(client, conn).is_some(), Duration::from_secs(600)));
//!
//! let accepted = sim.connections(server).next().ok_or("no connection was accepted")?;
//! assert_eq!(sim.received(server, accepted), b"hello");
//! assert_eq!(sim.closed(client, conn), Some(CloseReason::Clean));
//! let syn_acks: Vec<u64> = sim.segments(server).filter(|s| s.out && s.flags.to_string() == "SA").map(|s| s.at.millis()).collect();
//! // Again after one RTO (RFC 6298 2.1), rounded up as Linux's timers are: it fetched the third ACK.
//! assert_eq!(syn_acks, [1, 1024]);
//! # Ok(())
//! # }
//! ```
//!
//! # The drive contract
//! A [`stack::Stack`] does nothing by itself. Its owner passes in packets, calls and the time,
//! and **after every `&mut` call drains the polls until they say `None`**:
//! [`poll_transmit`](stack::Stack::poll_transmit) (packets to send, written into the caller's
//! buffer), [`poll_signal`](stack::Stack::poll_signal) (which task to wake) and
//! [`poll_event`](stack::Stack::poll_event) (the record; empty unless an observer asks for it).
//! Then it sleeps until the next packet, call or [`deadline`](stack::Stack::deadline), and at the
//! deadline calls [`timeout`](stack::Stack::timeout). Time never runs backwards. A run is `(config,
//! seed, [input])` and nothing else: given the same, it does the same. [`stack`] has it as code.
//!
//! # Where the knobs are
//! 1. A parameter or published policy: [`config`], with its default, unit, source and Linux sysctl.
//!    [`config::Profile`] is a set of all.
//! 2. An edge of the state table that leads elsewhere: [`config::Detour`], recorded as
//!    [`event::What::Deviated`].
//! 3. A segment dropped, delayed, copied, held, rewritten or overtaken at the edge: a
//!    [`fault::FaultRule`], a line of text. The engine cannot tell a [`fault::Gate`] from a bad
//!    network.
//! 4. What the application does: [`script::Script`], lines of text as well.
//!
//! A row of [`preset::PRESETS`] bundles these under the name of the rule of TCP that it removes,
//! with what breaks then:
//!
//! ```
//! use tcpx_proto::{config::Config, preset::Preset};
//!
//! let (mut config, mut rules) = (Config::default(), Vec::new());
//! let preset = Preset::find("time-wait").ok_or("no such rule")?;
//! preset.apply(&mut config, &mut rules);
//! assert!(config.conn.detours.len() > 0 && preset.requirement.contains("MUST-13"));
//! # Ok::<(), &str>(())
//! ```
//!
//! # What happened
//! [`Stack::record`](stack::Stack::record) switches the engine's own [`event`]s on: states, timers,
//! segments that were not used and why, ends. The segments themselves are recorded by the
//! [`endpoint`], once, with the true time and the verdict: [`event::SegmentRecord`]. Its observer
//! learns both, and what applications do, as one type: [`trace::Observed`]. A [`sim::Sim`] keeps
//! them in one [`trace`](sim::Sim::trace).
//!
//! # The rooms
//! | room | its question |
//! |---|---|
//! | [`seq`], [`time`] | which of two sequence numbers is later; time as a number that the owner passes in |
//! | [`wire`] | bytes to segment and back, illegal ones included |
//! | [`config`], [`preset`] | every parameter and policy with its source; which rules can be removed, and how |
//! | [`state`], [`id`], [`label`], [`error`] | the states and Figure 5, names, why a segment is sent, why something is refused or ends |
//! | [`event`] | the one record of what happened |
//! | [`trace`], [`name`] | what was observed, the lines of an events file, and the names of the values in them |
//! | [`endpoint`] | stack, gate and observer: one end of a network, without I/O |
//! | [`tcb`] | one connection: RFC 9293 3.10 in its order |
//! | [`stack`] | whose segment is this: listeners, four-tuples, SYN backlog, cookies, RST to unknown peers |
//! | [`fault`] | what the network does to a segment: the gate at the edge |
//! | [`script`] | what an application does and when |
//! | [`lexer`] | reads a line of our small languages word by word, with the position of a mistake |
//! | [`sim`] | hosts and links on one virtual clock |
//!
//! `ARCHITECTURE.md` lists which of them uses which; a test compares that with the sources.
//!
//! # What holds everywhere
//! Nothing panics, whatever arrives. Time is in nanoseconds since an origin that the owner chose
//! ([`time::Instant`]), lengths are in bytes, sequence numbers are [`seq::Seq`] and compared by
//! name. Names are the RFC's; "MUST-13" and the like are the numbers of RFC 9293 section 3.11.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_debug_implementations)]

extern crate alloc;

pub mod config;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod fault;
pub mod id;
pub mod knob;
pub mod label;
pub mod lexer;
pub mod name;
pub mod preset;
pub mod script;
pub mod seq;
pub mod sim;
pub mod stack;
pub mod state;
pub mod tcb;
pub mod time;
pub mod trace;
pub mod wire;
