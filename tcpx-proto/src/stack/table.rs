//! Where connections are kept: a slab whose names are never used twice, found by four-tuple in constant time, and their timers.

use super::secret::Secret;
use super::types::{ConnId, ListenerId};
use crate::tcb::Tcb;
use crate::time::Instant;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::hash::{Hash, Hasher};
use core::net::SocketAddr;
use hashbrown::HashTable;

/// A connection with what the stack notes about it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) tcb: Tcb,
    /// The listener it came from, until it is accepted.
    pub(super) listener: Option<ListenerId>,
    /// It waits in the listener's accept queue.
    pub(super) acceptable: bool,
    /// It waits for its turn to transmit.
    pub(super) ready: bool,
    /// It waits for its signals to be polled.
    pub(super) woken: bool,
    /// The number of the packet that it handled last, while nothing else happened to it.
    pub(super) packet: Option<u64>,
    /// When its entry in the heap of timers fires.
    filed: Option<Instant>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

/// All connections.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_tuple: Derived<HashTable<u32>>,
    timers: Derived<BinaryHeap<Reverse<(Instant, u32, u32)>>>,
}

/// What follows from the slab: two tables with equal slabs are equal, whatever the order in which they came about.
#[derive(Clone, Default)]
struct Derived<T>(T);

impl<T> PartialEq for Derived<T> {
    fn eq(&self, _: &Derived<T>) -> bool {
        true
    }
}

impl<T> Eq for Derived<T> {}

impl<T> Hash for Derived<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Table {
    pub(super) fn new() -> Table {
        Table { slots: Vec::new(), free: Vec::new(), by_tuple: Derived(HashTable::new()), timers: Derived(BinaryHeap::new()) }
    }

    /// Records kept, ended ones included.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The name that the next connection will have.
    pub(super) fn next_id(&self) -> ConnId {
        match self.free.last() {
            Some(&slot) => ConnId { slot, generation: self.slots.get(slot as usize).map_or(0, |slot| slot.generation) },
            None => ConnId { slot: self.slots.len() as u32, generation: 0 },
        }
    }

    /// Adds a connection under [`next_id`](Table::next_id).
    pub(super) fn add(&mut self, secret: &Secret, tcb: Tcb, listener: Option<ListenerId>, packet: Option<u64>) {
        let id = self.next_id();
        let bucket = secret.bucket(tcb.local, tcb.remote);
        let entry = Entry { tcb, listener, acceptable: false, ready: false, woken: false, packet, filed: None };
        match self.free.pop() {
            Some(slot) => {
                if let Some(slot) = self.slots.get_mut(slot as usize) {
                    slot.entry = Some(entry);
                }
            }
            None => self.slots.push(Slot { generation: 0, entry: Some(entry) }),
        }
        let slots = &self.slots;
        self.by_tuple.0.insert_unique(bucket, id.slot, |&slot| tuple(slots, slot).map_or(0, |(l, r)| secret.bucket(l, r)));
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Entry> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?.entry.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Entry> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?.entry.as_mut()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ConnId> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.entry.is_some())
            .map(|(at, slot)| ConnId { slot: at as u32, generation: slot.generation })
    }

    /// The living connection with this four-tuple.
    pub(super) fn find(&self, secret: &Secret, local: SocketAddr, remote: SocketAddr) -> Option<ConnId> {
        let bucket = secret.bucket(local, remote);
        let slot = *self.by_tuple.0.find(bucket, |&slot| tuple(&self.slots, slot) == Some((local, remote)))?;
        Some(ConnId { slot, generation: self.slots.get(slot as usize)?.generation })
    }

    /// Takes an ended connection out of the four-tuples: a new incarnation may come.
    pub(super) fn release_tuple(&mut self, secret: &Secret, id: ConnId) {
        let Some((local, remote)) = tuple(&self.slots, id.slot) else { return };
        let bucket = secret.bucket(local, remote);
        if let Ok(found) = self.by_tuple.0.find_entry(bucket, |&slot| slot == id.slot) {
            found.remove();
        }
    }

    /// Forgets a connection; its name is never used again.
    pub(super) fn remove(&mut self, secret: &Secret, id: ConnId) -> Option<Entry> {
        self.release_tuple(secret, id);
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let entry = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(entry)
    }

    /// Files the connection's earliest timer, unless an entry that fires no later is filed already: that one looks again when it fires.
    pub(super) fn file_timer(&mut self, id: ConnId) {
        let Some(entry) = self.get_mut(id) else { return };
        let Some(deadline) = entry.tcb.deadline() else { return };
        if entry.filed.is_none_or(|filed| deadline < filed) {
            entry.filed = Some(deadline);
            self.timers.0.push(Reverse((deadline, id.slot, id.generation)));
        }
    }

    /// The next connection of which a timer is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<ConnId> {
        loop {
            let Reverse((at, slot, generation)) = *self.timers.0.peek().filter(|Reverse((at, ..))| *at <= now)?;
            self.timers.0.pop();
            let id = ConnId { slot, generation };
            let Some(entry) = self.get_mut(id).filter(|entry| entry.filed == Some(at)) else { continue };
            entry.filed = None;
            if entry.tcb.deadline().is_some_and(|deadline| deadline <= now) {
                return Some(id);
            }
            self.file_timer(id);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.0.peek().map(|Reverse((at, ..))| *at)
    }
}

fn tuple(slots: &[Slot], slot: u32) -> Option<(SocketAddr, SocketAddr)> {
    let entry = slots.get(slot as usize)?.entry.as_ref()?;
    Some((entry.tcb.local, entry.tcb.remote))
}
