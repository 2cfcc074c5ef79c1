//! The packets that a gate keeps, in the order in which they will go on.

use super::Released;
use super::flow::FlowKey;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The most that a gate keeps: the bytes of the packets and 256 more for each. What exceeds it is
/// dropped ([`Verdict::Full`](super::Verdict)).
pub const MAX_HELD: usize = 64 << 20;

/// The most that a gate keeps of one four-tuple, in the same unit.
pub const MAX_HELD_PER_FLOW: usize = 16 << 20;

const OVERHEAD: usize = 256;

/// What keeping this packet costs, in the unit of [`MAX_HELD`].
pub(super) fn cost(packet: &[u8]) -> usize {
    packet.len() + OVERHEAD
}

/// When a packet goes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Due {
    At(Instant),
    /// After an event.
    Open,
}

/// One packet that waits.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Kept {
    pub(super) flow: FlowKey,
    /// The index of the rule that keeps it.
    pub(super) rule: usize,
    pub(super) released: Released,
}

/// All packets that wait.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(super) struct Held {
    pub(super) queue: BTreeMap<(Due, u64), Kept>,
    next: u64,
    cost: usize,
}

impl Held {
    /// The free room, in the unit of [`MAX_HELD`].
    pub(super) fn room(&self) -> usize {
        MAX_HELD.saturating_sub(self.cost)
    }

    /// Keeps a packet. Returns the number that names it.
    pub(super) fn keep(&mut self, due: Due, kept: Kept) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.cost += cost(&kept.released.packet);
        self.queue.insert((due, ticket), kept);
        ticket
    }

    /// The first packet that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Kept> {
        let first = self
            .queue
            .first_entry()
            .filter(|first| first.key().0 <= Due::At(now))?;
        let kept = first.remove();
        self.cost -= cost(&kept.released.packet);
        Some(kept)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.queue.first_key_value()?.0.0 {
            Due::At(at) => Some(at),
            Due::Open => None,
        }
    }

    /// Schedules one packet, which waited for an event, at `at`.
    pub(super) fn release(&mut self, ticket: u64, at: Instant) {
        if let Some(kept) = self.queue.remove(&(Due::Open, ticket)) {
            self.queue.insert((Due::At(at), ticket), kept);
        }
    }

    /// Schedules all packets that `which` selects at `at`, in the order of their arrival.
    pub(super) fn release_all(&mut self, at: Instant, which: impl Fn(&Kept) -> bool) {
        let released: Vec<_> = self.queue.extract_if(.., |_, kept| which(kept)).collect();
        self.queue.extend(
            released
                .into_iter()
                .map(|((_, ticket), kept)| ((Due::At(at), ticket), kept)),
        );
    }
}
