//! What happened: an [`Observer`] is told everything, and JSON Lines are written.
//!
//! An [`Observer`] is told everything as it happens; a [`Recorder`] is the one that numbers
//! connections, pairs a segment with what it caused, and hands both to as many [`Sink`]s as you
//! like. A file or a terminal may be slow: an [`Outlet`] writes it from a thread of its own, so
//! that no timer of TCP's waits for it.
//!
//! ```no_run
//! use std::fs::File;
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//! use tcpx::HostOptions;
//! use tcpx::clock::now;
//! use tcpx::record::{Events, Failures, Outlet, Recorder, Role, Start};
//! use tcpx_proto::config::Profile;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (start, realtime, seed) = (now(), SystemTime::now().duration_since(UNIX_EPOCH)?, 42);
//! let failures = Failures::default(); // look at it at the end
//! let events = Outlet::new("the events file", File::create("client.jsonl")?, failures.clone())?;
//! let first = Start::new(Role::Client, Profile::Linux, seed, Duration::from_nanos(start.0), realtime);
//! let recorder = Recorder::new(
//!     start,
//!     Vec::new(),
//!     vec![Box::new(Events::new(events, start, &first))], // docs/events.schema.json; tcpx-lab ladder draws it
//! );
//! let options = HostOptions { seed: Some(seed), observers: vec![Box::new(recorder)], ..HostOptions::default() };
//! # drop(options);
//! # Ok(())
//! # }
//! ```
//!
//! In memory time begins at zero: [`Diary::save`](crate::testing::Diary::save) writes the events
//! file there.

mod events;
mod outlet;
mod recorder;
pub mod words;

pub use events::Events;
pub use outlet::{Failures, Outlet, Slot};
pub use recorder::{Done, Noted, Recorder, Seen, Sink};
pub use tcpx_proto::trace::{Role, Start};

use tcpx_proto::event::{Event, SegmentRecord};
use tcpx_proto::fault::Judgement;
use tcpx_proto::script::AppEvent;

/// Somebody who is told everything that happens on a host, in order, from inside the driver's loop.
/// It must not block for long, nor call the host, its streams or listeners, which wait until it
/// returns. If it panics the host ends, and whoever waits on it gets an error.
pub trait Observer: Send {
    /// The engine's own record. Those with [`Event::packet`] follow the segment that caused them.
    fn event(&mut self, event: &Event);

    /// A segment at the edge, after the gate judged it: `packet` is the IP packet as it went (or
    /// would have gone) on.
    fn segment(&mut self, record: &SegmentRecord, judgement: &Judgement, packet: &[u8]);

    /// The gate has this rule, its `index`-th: at the start, and when one is added.
    /// [`Judgement::rule`] is such an index.
    fn rule(&mut self, _index: usize, _text: &str) {}

    /// An application did something that a script tells of.
    fn deed(&mut self, _: &AppEvent) {}

    /// The host is about to sleep: write out what is buffered.
    fn flush(&mut self) {}
}
