//! `tracing`: a span per connection, the events and segments inside it.

use std::collections::HashMap;
use tcpx::record::{Observed, ObservedSegment, Recorded, Sink};
use tcpx_proto::event::{Event, What};
use tracing::{Span, debug, info, info_span, trace};

/// Hands everything to `tracing`: opened, state, deviated and closed as `info`, discarded as
/// `debug`, segments and timers as `trace`.
#[derive(Default, Debug)]
pub struct Spans {
    open: HashMap<u64, Span>,
}

impl Spans {
    fn of(&self, conn: Option<u64>) -> Span {
        conn.and_then(|conn| self.open.get(&conn))
            .cloned()
            .unwrap_or_else(Span::none)
    }

    fn segment(&self, conn: Option<u64>, segment: &ObservedSegment) {
        let record = &segment.record;
        self.of(conn).in_scope(|| {
            trace!(
                out = record.out,
                flags = %record.flags,
                seq = record.seq.0,
                ack = record.ack.0,
                len = record.len,
                win = record.window,
                verdict = segment.judgement.verdict.name(),
                "segment"
            );
        });
    }

    fn event(&mut self, conn: Option<u64>, event: &Event) {
        if let (What::Opened { local, remote, .. }, Some(conn)) = (&event.what, conn) {
            let span = info_span!("connection", conn, %local, %remote);
            self.open.insert(conn, span);
        }
        self.of(conn).in_scope(|| match event.what {
            What::Opened { .. } | What::State { .. } | What::Deviated { .. } | What::Closed(_) => {
                info!("{event}")
            }
            What::Accepted { .. } | What::Timer { .. } => trace!("{event}"),
            What::Discarded(_)
            | What::Icmp(_)
            | What::R1 { .. }
            | What::Urgent { .. }
            | What::Undone { .. } => debug!("{event}"),
        });
        if let (What::Closed(_), Some(conn)) = (&event.what, conn) {
            self.open.remove(&conn);
        }
    }
}

impl Sink for Spans {
    fn record(&mut self, recorded: &Recorded<'_>) {
        match recorded.observed {
            Observed::Segment(segment) => self.segment(recorded.conn, segment),
            Observed::Event(event) => self.event(recorded.conn, event),
            Observed::App(_) => {}
        }
    }
}
