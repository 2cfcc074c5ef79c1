//! What happened, for people and for programs: live view, JSON Lines, pcapng, tracing.

use tcpx_proto::event::{Event, SegmentRecord};
use tcpx_proto::fault::Judgement;

/// Somebody who is told everything that happens on a host, in order, from inside the driver's loop: it must not block for long.
pub trait Observer: Send {
    /// The engine's own record. Those with [`Event::packet`] follow the segment that caused them.
    fn event(&mut self, event: &Event);

    /// A segment at the edge, after the gate judged it: `packet` is the IP packet as it went (or would have gone) on.
    fn segment(&mut self, record: &SegmentRecord, judgement: &Judgement, packet: &[u8]);

    /// The host is about to sleep: write out what is buffered.
    fn flush(&mut self) {}
}
