//! When the next timer of any connection fires: a heap with one valid entry per connection.
//!
//! Postponing a deadline leaves its heap entry alone; when that entry fires early, the connection
//! is queued again. Advancing a deadline adds another entry, and the old one becomes invalid. So
//! restarting a timer costs nothing, and a deadline is never late.

use super::table::{Entry, Table};
use crate::id::ConnId;
use crate::time::{Duration, Instant};
use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

/// How long a connection may keep more memory than it uses. Text that comes and goes without such a
/// pause allocates nothing.
const LULL: Duration = Duration::from_millis(20);

#[derive(Clone, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, ConnId)>>,
}

impl Timers {
    /// Entries, invalid ones included.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Bytes of memory taken.
    pub(super) fn memory(&self) -> usize {
        self.heap.capacity() * size_of::<Reverse<(Instant, ConnId)>>()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes an entry that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, ConnId)> {
        let top = self.heap.peek_mut().filter(|top| top.0.0 <= now)?;
        Some(alloc::collections::binary_heap::PeekMut::pop(top).0)
    }

    /// Schedules a connection for its deadline, or for when it will give memory back, unless it is
    /// scheduled before that.
    pub(super) fn schedule(&mut self, now: Instant, id: ConnId, entry: &mut Entry) {
        let lull = entry.tcb.has_slack().then_some(now + LULL);
        let Some(at) = entry.tcb.deadline().into_iter().chain(lull).min() else {
            return;
        };
        if entry.timer_at.is_none_or(|timer_at| at < timer_at) {
            entry.timer_at = Some(at);
            self.heap.push(Reverse((at, id)));
        }
    }

    /// Drops invalid entries once they are the majority, and gives memory back that few are left in.
    pub(super) fn sweep(&mut self, table: &Table) {
        if self.heap.capacity() > 8 * self.heap.len() + 1024 {
            self.heap.shrink_to(2 * self.heap.len());
        }
        if self.heap.len() > 2 * table.len() + 64 {
            self.heap
                .retain(|Reverse((at, id))| table.timer_at(*id) == Some(*at));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConnConfig, KeepAlive};
    use crate::id::FourTuple;
    use crate::seq::Seq;
    use crate::stack::Stack;
    use crate::time::Instant;
    use crate::wire::{Flags, Header, Options};
    use core::net::SocketAddr;

    /// Each round schedules a delayed ACK ahead of a keepalive that is two hours away.
    #[test]
    fn timers_invalid_entries_are_swept() {
        let local: SocketAddr = ([10, 0, 0, 1], 80).into();
        let remote: SocketAddr = ([10, 0, 0, 2], 4000).into();
        let conn = ConnConfig {
            keepalive: Some(KeepAlive::default()),
            quick_acks: 0,
            ..ConnConfig::default()
        };
        let mut stack = Stack::new(
            Config {
                conn: conn.clone(),
                ..Config::default()
            },
            7,
        );
        stack.reserve(local.ip(), 80..=80);
        stack.listen(Instant::ZERO, local, 1, &conn).unwrap();
        let mut now = Instant::ZERO;
        let mut packet = [0; 1500];
        let mut say = |stack: &mut Stack, now, flags, seq, ack: Seq, text: &[u8]| {
            let source = remote;
            let destination = local;
            let options = Options::default();
            let window = 65_535;
            let urgent = 0;
            let ttl = 64;
            let tos = 0;
            let id = 1;
            let header = Header {
                source,
                destination,
                seq: Seq(seq),
                ack,
                flags,
                window,
                urgent,
                options,
                ttl,
                tos,
                id,
            };
            let len = header.emit((text, &[]), &mut packet).unwrap();
            stack.packet_arrives(now, &packet[..len]);
            while stack.poll_transmit(now, &mut packet).is_some() {}
        };
        say(&mut stack, now, Flags::SYN, 0, Seq(0), b"");
        let ack = stack
            .status(stack.lookup(FourTuple { local, remote }).unwrap())
            .unwrap()
            .iss
            + 1;
        say(&mut stack, now, Flags::ACK, 1, ack, b"");
        let mut buffer = [0; 1500];
        for seq in 1..1000 {
            say(&mut stack, now, Flags::ACK, seq, ack, b"x");
            now = stack.deadline().unwrap();
            stack.timeout(now);
            while stack.poll_transmit(now, &mut buffer).is_some() {}
        }
        assert!(
            now.millis() < 3_600_000 && stack.timers.len() < 100,
            "{now:?} {}",
            stack.timers.len()
        );
    }
}
