//! Packets out, in batches, and what became of them.

use super::{Inner, Wire};
use crate::link::{self, Uncut};
use tcpx_proto::error::TransmitError;
use tcpx_proto::time::Instant;

impl Inner {
    /// Sends until there is nothing left to do, and marks the waiters to wake.
    pub(super) fn pump(&mut self, wire: &Wire, now: Instant) {
        self.fill(wire, now);
        while !self.batch.is_empty() {
            self.flush(wire, now);
            self.fill(wire, now);
        }
    }

    /// Puts what there is to send into the batch, which is sent when it is full, and marks the
    /// waiters to wake.
    pub(super) fn fill(&mut self, wire: &Wire, now: Instant) {
        loop {
            let left = self.batch.left();
            let Some(room) = self.batch.room() else {
                self.flush(wire, now);
                continue;
            };
            let most = |to| wire.most(to, left);
            let Some((outgoing, text)) = self.endpoint.poll_burst(now, room, most) else {
                break;
            };
            let is_uncut = text.0.len() + text.1.len() > 0;
            let count = if is_uncut { 1 } else { outgoing.count };
            self.batch.commit(outgoing.len, count, outgoing.destination);
            let sender = (outgoing.conn, outgoing.destination);
            self.senders.extend(core::iter::repeat_n(sender, count));
            if is_uncut {
                // The text stays where it is only until the next call.
                let uncut = Uncut {
                    text,
                    segments: outgoing.count,
                };
                let failures = &mut self.failures;
                wire.flush(now, &mut self.batch, Some(uncut), |index, error| {
                    failures.push((index, error));
                });
                self.report_failures(now);
            }
        }
        while let Some(signal) = self.endpoint.stack.poll_signal() {
            self.waiters.signal(signal);
        }
        let endpoint = &self.endpoint;
        self.waiters.changed(|id| endpoint.state(id));
    }

    /// Hands the batch to the wire and reports to the engine the packets that were not sent.
    pub(super) fn flush(&mut self, wire: &Wire, now: Instant) {
        let failures = &mut self.failures;
        wire.flush(now, &mut self.batch, None, |index, error| {
            failures.push((index, error));
        });
        self.report_failures(now);
    }

    fn report_failures(&mut self, now: Instant) {
        if let Some((_, destination)) = self.senders.last() {
            self.reachable = Some(destination.ip());
        }
        for (index, error) in self.failures.drain(..) {
            let Some((conn, destination)) = self.senders.get(index) else {
                continue;
            };
            tracing::debug!(%destination, %error, "could not send a packet");
            let error = match error.raw_os_error() {
                Some(libc::EMSGSIZE) => link::mtu_to(destination.ip())
                    .map_or(TransmitError::Lost, |mtu| {
                        TransmitError::TooBig(u32::from(mtu))
                    }),
                Some(libc::ENETUNREACH | libc::EHOSTUNREACH) => {
                    self.unroutable = *conn;
                    self.reachable = None;
                    TransmitError::Lost
                }
                _ => TransmitError::Lost,
            };
            self.endpoint.stack.transmit_failed(now, *conn, error);
        }
        self.senders.clear();
    }
}
