//! What happened, for people and for programs.
//!
//! An [`Observer`] learns everything as it happens, from inside the driver's loop: it must not
//! block for long, nor call the host, its streams or listeners, which wait until it returns. If it
//! panics the host ends, and everything that waits for it gets an error. A [`Recorder`] is the
//! observer that numbers connections, puts what a segment caused next to it, and passes both to a
//! [`Sink`]. A file or a terminal may be slow: a [`BackgroundWriter`] writes it from a thread of
//! its own, so that no timer of TCP's waits for it.
//!
//! ```no_run
//! use std::fs::File;
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//! use tcpx::HostOptions;
//! use tcpx::clock::now;
//! use tcpx::record::{BackgroundWriter, Events, Failures, Recorder, Role, Start};
//! use tcpx_proto::config::Profile;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (start, realtime, seed) = (now(), SystemTime::now().duration_since(UNIX_EPOCH)?, 42);
//! let failures = Failures::default(); // look at it at the end
//! let file = File::create("client.jsonl")?;
//! let writer = BackgroundWriter::new("the events file", file, failures.clone())?;
//! let first = Start::new(Role::Client, Profile::Linux, seed, Duration::from_nanos(start.0), realtime);
//! // docs/events.schema.json; tcpx-lab ladder draws it
//! let recorder = Recorder::new(start, Events::new(writer, start, &first));
//! let options = HostOptions { seed: Some(seed), observers: vec![Box::new(recorder)], ..HostOptions::default() };
//! # drop(options);
//! # Ok(())
//! # }
//! ```
//!
//! In memory time begins at zero: [`Diary::save`](crate::testing::Diary::save) writes the events
//! file there.

mod events;
mod writer;

pub use events::Events;
pub use tcpx_proto::trace::Start;
pub use tcpx_proto::trace::{Observed, ObservedSegment, Observer, Recorded, Recorder, Role, Sink};
pub use writer::{BackgroundWriter, Failures, Slot};
