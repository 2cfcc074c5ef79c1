//! `tracing`: a span per connection, the events and segments inside it.

use std::collections::HashMap;
use tcpx::record::{Noted, Seen, Sink, words};
use tcpx_proto::event::What;
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
}

impl Sink for Spans {
    fn segment(&mut self, seen: &Seen<'_>) {
        let record = seen.record;
        self.of(seen.conn).in_scope(|| {
            trace!(
                out = record.out,
                flags = %record.flags,
                seq = record.seq.0,
                ack = record.ack.0,
                len = record.len,
                win = record.window,
                verdict = seen.judgement.verdict.name(),
                "segment"
            );
        });
    }

    fn event(&mut self, noted: &Noted<'_>) {
        if let (What::Opened { local, remote, .. }, Some(conn)) = (&noted.event.what, noted.conn) {
            self.open
                .insert(conn, info_span!("connection", conn, %local, %remote));
        }
        let text = words::event(noted.event);
        self.of(noted.conn).in_scope(|| match noted.event.what {
            What::Opened { .. } | What::State { .. } | What::Deviated { .. } | What::Closed(_) => {
                info!("{text}")
            }
            What::Accepted { .. } | What::Timer { .. } => trace!("{text}"),
            What::Discarded(_) | What::Icmp(_) | What::R1 { .. } | What::Urgent { .. } => {
                debug!("{text}")
            }
        });
        if let (What::Closed(_), Some(conn)) = (&noted.event.what, noted.conn) {
            self.open.remove(&conn);
        }
    }

    fn flush(&mut self) {}
}
