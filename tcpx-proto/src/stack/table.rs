//! Every connection record: a slab, and an index of four-tuples over it.

use super::index::Index;
use crate::id::{ConnId, FourTuple, ListenerId};
use crate::tcb::Tcb;
use crate::time::Instant;
use crate::wire::Header;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

/// Who has a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ownership {
    /// In SYN-RECEIVED, counted in this listener's backlog.
    Embryonic(ListenerId),
    /// Established, waiting to be accepted.
    Waiting(ListenerId),
    /// The application.
    Owned,
    /// Neither: back in TIME-WAIT after an old duplicate SYN, which the application took for the
    /// end.
    Past,
}

/// A connection and what the stack notes about it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) tcb: Tcb,
    pub(super) ownership: Ownership,
    /// Its id is in the output queue.
    pub(super) queued: bool,
    /// Its id is in the queue of those with wake-ups.
    pub(super) wake_queued: bool,
    /// When its entry among the timers fires.
    pub(super) timer_at: Option<Instant>,
    /// The number of the packet behind what it sends next.
    pub(super) caused_by: Option<u64>,
    /// It counts among the pending Fast Open requests of this listener (RFC 7413 section 5.1).
    pub(super) pending: Option<ListenerId>,
    /// In SYN-RECEIVED: the TIME-WAIT that the SYN ended, which comes back if that SYN was an old
    /// duplicate.
    pub(super) before: Option<Box<Tcb>>,
    /// It is in the index: segments reach it.
    linked: bool,
}

impl Entry {
    pub(super) fn new(tcb: Tcb, ownership: Ownership, caused_by: Option<u64>) -> Entry {
        Entry {
            tcb,
            ownership,
            queued: false,
            wake_queued: false,
            timer_at: None,
            caused_by,
            pending: None,
            before: None,
            linked: false,
        }
    }

    /// What it will do next depends on this alone.
    fn essence(&self) -> (&Tcb, Ownership, Option<&Tcb>) {
        (&self.tcb, self.ownership, self.before.as_deref())
    }
}

#[derive(Clone)]
struct Slot {
    generation: u32,
    entry: Option<Box<Entry>>,
}

#[derive(Clone)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    len: usize,
    index: Index,
    /// The connection that got a segment last: the next one is often for it, too.
    recent: Option<ConnId>,
}

impl Table {
    pub(super) fn new(seed: u64) -> Table {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
            index: Index::new(seed),
            recent: None,
        }
    }

    /// Records, of all kinds.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Entry> {
        self.slots
            .get(id.slot as usize)
            .filter(|slot| slot.generation == id.generation)?
            .entry
            .as_deref()
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Entry> {
        self.slots
            .get_mut(id.slot as usize)
            .filter(|slot| slot.generation == id.generation)?
            .entry
            .as_deref_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Entry)> {
        let id = |slot: usize, generation| ConnId {
            slot: slot as u32,
            generation,
        };
        self.slots
            .iter()
            .enumerate()
            .filter_map(move |(at, slot)| Some((id(at, slot.generation), slot.entry.as_deref()?)))
    }

    pub(super) fn find(&self, tuple: FourTuple) -> Option<ConnId> {
        let slot = self.index.find(tuple)?;
        Some(ConnId {
            slot,
            generation: self.slots.get(slot as usize)?.generation,
        })
    }

    /// [`find`](Table::find) for a segment that arrives.
    pub(super) fn route(&mut self, header: &Header) -> Option<ConnId> {
        let is_its = |entry: &Entry| {
            let tuple = &entry.tcb.tuple;
            tuple.remote == header.source && tuple.local == header.destination
        };
        let again = self.recent.filter(|id| self.get(*id).is_some_and(is_its));
        if again.is_none() {
            self.recent = self.find(FourTuple {
                local: header.destination,
                remote: header.source,
            });
        }
        self.recent
    }

    /// The id that the next connection gets; `None` when there are no more.
    pub(super) fn vacancy(&self) -> Option<ConnId> {
        match self.free.last() {
            Some(&slot) => Some(ConnId {
                slot,
                generation: self.slots.get(slot as usize)?.generation,
            }),
            None => Some(ConnId {
                slot: u32::try_from(self.slots.len()).ok()?,
                generation: 0,
            }),
        }
    }

    /// Puts a connection where [`vacancy`](Table::vacancy) said.
    pub(super) fn insert(&mut self, id: ConnId, mut entry: Box<Entry>) {
        let tuple = entry.tcb.tuple;
        entry.linked = true;
        match self.slots.get_mut(id.slot as usize) {
            Some(slot) => {
                self.free.pop();
                slot.entry = Some(entry);
            }
            None => self.slots.push(Slot {
                generation: id.generation,
                entry: Some(entry),
            }),
        }
        self.len += 1;
        self.index.insert(tuple, id.slot);
    }

    /// Frees the four-tuple: no segment reaches this connection any more.
    pub(super) fn unlink(&mut self, id: ConnId) {
        let Some(entry) = self.get_mut(id).filter(|entry| entry.linked) else {
            return;
        };
        entry.linked = false;
        let tuple = entry.tcb.tuple;
        self.recent = self.recent.filter(|recent| *recent != id);
        self.index.remove(tuple, id.slot);
    }

    /// Takes a connection out; its id is never given again.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<Box<Entry>> {
        self.unlink(id);
        let slot = self
            .slots
            .get_mut(id.slot as usize)
            .filter(|slot| slot.generation == id.generation)?;
        let entry = slot.entry.take()?;
        self.len -= 1;
        // A slot whose generations are used up stays empty.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(id.slot);
        }
        Some(entry)
    }
}

/// The same connections under the same names; the index follows from that.
impl PartialEq for Table {
    fn eq(&self, other: &Table) -> bool {
        self.len == other.len
            && self
                .iter()
                .zip(other.iter())
                .all(|((a, x), (b, y))| a == b && x.essence() == y.essence())
    }
}

impl Eq for Table {}

impl Hash for Table {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        self.iter()
            .for_each(|(id, entry)| (id, entry.essence()).hash(state));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConnConfig};
    use crate::id::{ConnId, FourTuple};
    use crate::stack::Stack;
    use crate::time::Instant;

    #[test]
    fn slot_whose_generations_are_used_up_is_never_taken_again() {
        let mut stack = Stack::new(Config::default(), 7);
        stack.reserve([127, 0, 0, 1].into(), 1..=2);
        let connect = |port: u16, stack: &mut Stack| {
            stack.connect(
                Instant::ZERO,
                FourTuple {
                    local: ([127, 0, 0, 1], port).into(),
                    remote: ([127, 0, 0, 1], 80).into(),
                },
                &ConnConfig::default(),
            )
        };
        let first = connect(1, &mut stack).unwrap();
        stack.abort(Instant::ZERO, first).unwrap();
        stack.table.slots[0].generation = u32::MAX;
        let last = connect(1, &mut stack).unwrap();
        assert_eq!(
            last,
            ConnId {
                slot: 0,
                generation: u32::MAX
            }
        );
        stack.abort(Instant::ZERO, last).unwrap();
        assert_eq!(
            connect(1, &mut stack),
            Ok(ConnId {
                slot: 1,
                generation: 0
            })
        );
        assert_eq!(stack.connections().count(), 1);
        assert!(stack.status(last).is_none());
    }
}
