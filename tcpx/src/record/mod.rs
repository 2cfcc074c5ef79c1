//! What happened, for people and for programs: live view, JSON Lines, pcapng, tracing.

mod capture;
mod events;
mod live;
mod outlet;
mod recorder;
#[cfg(test)]
mod sample;
mod spans;
pub(crate) mod words;

pub use capture::Capture;
pub use events::{Events, Start};
pub use live::{Display, Live};
pub use outlet::{Failures, Outlet};
pub use recorder::{Done, Noted, Recorder, Seen, Sink};
pub use spans::Spans;

use tcpx_proto::event::{Event, SegmentRecord};
use tcpx_proto::fault::Judgement;
use tcpx_proto::script::Deed;

/// Somebody who is told everything that happens on a host, in order, from inside the driver's loop: it must not block for long.
pub trait Observer: Send {
    /// The engine's own record. Those with [`Event::packet`] follow the segment that caused them.
    fn event(&mut self, event: &Event);

    /// A segment at the edge, after the gate judged it: `packet` is the IP packet as it went (or would have gone) on.
    fn segment(&mut self, record: &SegmentRecord, judgement: &Judgement, packet: &[u8]);

    /// The gate has this rule, its `index`-th: at the start, and when one is added. [`Judgement::rule`] is such an index.
    fn rule(&mut self, _index: usize, _text: &str) {}

    /// An application did something that a script tells of.
    fn deed(&mut self, _: &Deed) {}

    /// The host is about to sleep: write out what is buffered.
    fn flush(&mut self) {}
}
