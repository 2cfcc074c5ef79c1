//! Every connection record, whole or compact, and an index of four-tuples over them.
//!
//! A record that was touched lately is whole. One that rests is a few bytes in a slab
//! ([`rest`](super::rest)), which say the same; it becomes whole when something happens to it.

use super::index::{Index, TupleHash};
use super::isn::IsnGenerator;
use super::rest::{self, Configs};
use super::slab::{Place, Slab};
use crate::config::ConnConfig;
use crate::id::{ConnId, FourTuple, ListenerId};
use crate::state::State;
use crate::tcb::Tcb;
use crate::time::Instant;
use crate::wire::Header;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::mem;
use core::ops::Deref;

/// How many whole records are looked at for each that becomes one: one that rests is passed over
/// once.
const LOOKS: usize = 4;

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
    pub(super) linked: bool,
    /// Something happened to it since the table last looked for a record that rests.
    pub(super) touched: bool,
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
            touched: true,
        }
    }

    /// In TIME-WAIT, with no application: its record is compact as soon as it rests.
    pub(super) fn waits_alone(&self) -> bool {
        self.tcb.state == State::TimeWait && self.tcb.orphaned
    }

    /// The same in all that a compact record keeps.
    fn is_like(&self, other: &Entry) -> bool {
        self.essence() == other.essence() && self.timer_at == other.timer_at
    }

    /// What it will do next depends on this alone.
    fn essence(&self) -> (&Tcb, Ownership, Option<&Tcb>) {
        (&self.tcb, self.ownership, self.before.as_deref())
    }
}

#[derive(Clone)]
enum Slot {
    Vacant {
        generation: u32,
    },
    Whole {
        generation: u32,
        entry: Box<Entry>,
    },
    /// In the index, and the hash finds its four-tuple there.
    Compact {
        /// With `nth` its [`Place`], which would be larger in one piece.
        class: u8,
        nth: u32,
        generation: u32,
        hash: TupleHash,
    },
}

impl Slot {
    fn generation(&self) -> u32 {
        match self {
            Slot::Vacant { generation }
            | Slot::Whole { generation, .. }
            | Slot::Compact { generation, .. } => *generation,
        }
    }
}

/// An entry, or a copy of what a compact one stands for.
pub(super) enum Seen<'a> {
    Whole(&'a Entry),
    Copy(Box<Entry>),
}

impl Deref for Seen<'_> {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        match self {
            Seen::Whole(entry) => entry,
            Seen::Copy(entry) => entry,
        }
    }
}

#[derive(Clone)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    len: usize,
    index: Index,
    /// The connection that got a segment last: the next one is often for it, too.
    recent: Option<ConnId>,
    /// The whole ones, those first that became so first, and names of some that are not any more.
    whole: VecDeque<ConnId>,
    /// How many of them are kept though they rest.
    kept: usize,
    /// How many are still to be looked at for one that rests.
    looks: usize,
    slab: Slab,
    configs: Configs,
    /// For what compact records need not say.
    isns: IsnGenerator,
}

impl Table {
    /// `kept`: how many connections keep whole records though they rest.
    pub(super) fn new(seed: u64, kept: usize) -> Table {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
            whole: VecDeque::new(),
            kept,
            looks: 0,
            slab: Slab::default(),
            configs: Configs::default(),
            isns: IsnGenerator::new(seed),
            index: Index::new(seed),
            recent: None,
        }
    }

    /// Bytes that the index takes.
    pub(super) fn index_memory(&self) -> usize {
        self.index.memory()
    }

    /// Records, of all kinds.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn slot(&self, id: ConnId) -> Option<&Slot> {
        self.slots
            .get(id.slot as usize)
            .filter(|slot| slot.generation() == id.generation)
    }

    /// The entry, if its record is whole.
    pub(super) fn whole(&self, id: ConnId) -> Option<&Entry> {
        match self.slot(id)? {
            Slot::Whole { entry, .. } => Some(entry),
            _ => None,
        }
    }

    pub(super) fn get(&self, id: ConnId) -> Option<Seen<'_>> {
        self.see(id.slot, self.slot(id)?)
    }

    fn see<'a>(&'a self, nth: u32, slot: &'a Slot) -> Option<Seen<'a>> {
        match slot {
            Slot::Vacant { .. } => None,
            Slot::Whole { entry, .. } => Some(Seen::Whole(entry)),
            Slot::Compact { hash, .. } => self.copy(nth, slot, *hash).map(Seen::Copy),
        }
    }

    /// What a compact entry stands for.
    #[cold]
    fn copy(&self, nth: u32, slot: &Slot, hash: TupleHash) -> Option<Box<Entry>> {
        let tuple = self.index.tuple(hash, nth)?;
        self.configs
            .read(self.record(slot), tuple, self.isns.stamp_offset(tuple))
    }

    /// The record of a compact entry.
    fn record(&self, slot: &Slot) -> &[u8] {
        match *slot {
            Slot::Compact { class, nth, .. } => self.slab.get(Place { class, nth }),
            _ => &[],
        }
    }

    /// The entry, to change it: it becomes whole.
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Entry> {
        if let Some(Slot::Compact { .. }) = self.slots.get(id.slot as usize) {
            self.expand(id);
        }
        match self.slots.get_mut(id.slot as usize)? {
            Slot::Whole { generation, entry } if *generation == id.generation => {
                entry.touched = true;
                Some(entry)
            }
            _ => None,
        }
    }

    /// Its configuration.
    pub(super) fn config(&self, id: ConnId) -> Option<&ConnConfig> {
        match self.slot(id)? {
            Slot::Vacant { .. } => None,
            Slot::Whole { entry, .. } => Some(&entry.tcb.config),
            slot @ Slot::Compact { .. } => self.configs.of(self.record(slot)),
        }
    }

    /// When its entry among the timers fires.
    pub(super) fn timer_at(&self, id: ConnId) -> Option<Instant> {
        match self.slot(id)? {
            Slot::Vacant { .. } => None,
            Slot::Whole { entry, .. } => entry.timer_at,
            slot @ Slot::Compact { .. } => rest::timer_at(self.record(slot)),
        }
    }

    #[cold]
    fn expand(&mut self, id: ConnId) -> Option<()> {
        let slot = self.slot(id)?;
        let Some(Seen::Copy(entry)) = self.see(id.slot, slot) else {
            return None;
        };
        let Slot::Compact { class, nth, .. } = *slot else {
            return None;
        };
        let place = Place { class, nth };
        self.configs.forget(self.slab.get(place));
        self.slab.free(place);
        let generation = id.generation;
        *self.slots.get_mut(id.slot as usize)? = Slot::Whole { generation, entry };
        self.add_whole(id);
        Some(())
    }

    /// Another record is whole: where there are too many, a few of the others are to be looked at.
    fn add_whole(&mut self, id: ConnId) {
        self.whole.push_back(id);
        if self.whole.len() > self.kept {
            self.looks += LOOKS;
        }
    }

    /// Makes the record compact if the connection rests. Returns whether it is.
    pub(super) fn compress(&mut self, id: ConnId) -> bool {
        self.try_compress(id).is_some()
    }

    fn try_compress(&mut self, id: ConnId) -> Option<()> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        let generation = slot.generation();
        let Slot::Whole { entry, .. } = slot else {
            return None;
        };
        if generation != id.generation || !entry.linked {
            return None;
        }
        let tuple = entry.tcb.tuple;
        let offset = self.isns.stamp_offset(tuple);
        let writer = self.configs.write(entry, offset)?;
        let hash = self.index.hash(tuple);
        let (Place { class, nth }, bytes) = self.slab.take(writer.len()?)?;
        writer.put(bytes);
        debug_assert!(
            self.configs
                .read(bytes, tuple, offset)
                .is_some_and(|copy| copy.is_like(entry)),
            "a record says something else than the connection that it is of"
        );
        *slot = Slot::Compact {
            class,
            nth,
            generation,
            hash,
        };
        Some(())
    }

    /// There are more whole records than are kept, and some are still to be looked at.
    pub(super) fn is_crowded(&self) -> bool {
        self.looks > 0 && self.whole.len() > self.kept
    }

    /// Of the whole records the one to be made compact, if the first has not been touched lately.
    pub(super) fn idlest(&mut self) -> Option<ConnId> {
        self.looks = self.looks.saturating_sub(1);
        let id = self.whole.pop_front()?;
        let entry = match self.slots.get_mut(id.slot as usize)? {
            Slot::Whole { generation, entry } if *generation == id.generation => entry,
            _ => return None,
        };
        if mem::take(&mut entry.touched) && self.kept > 0 {
            self.whole.push_back(id);
            return None;
        }
        Some(id)
    }

    /// No record is kept whole that rests.
    pub(super) fn keeps_none(&self) -> bool {
        self.kept == 0
    }

    /// It is not at rest.
    pub(super) fn keep(&mut self, id: ConnId) {
        self.whole.push_back(id);
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ConnId> {
        self.slots()
            .filter(|(_, slot)| !matches!(slot, Slot::Vacant { .. }))
            .map(|(id, _)| id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, Seen<'_>)> {
        self.slots()
            .filter_map(|(id, slot)| Some((id, self.see(id.slot, slot)?)))
    }

    fn slots(&self) -> impl Iterator<Item = (ConnId, &Slot)> {
        (0..).zip(&self.slots).map(|(nth, slot)| {
            let generation = slot.generation();
            let slot_of = |slot| ConnId { slot, generation };
            (slot_of(nth), slot)
        })
    }

    pub(super) fn find(&self, tuple: FourTuple) -> Option<ConnId> {
        let slot = self.index.find(tuple)?;
        Some(ConnId {
            slot,
            generation: self.slots.get(slot as usize)?.generation(),
        })
    }

    /// [`find`](Table::find) for a segment that arrives.
    pub(super) fn route(&mut self, header: &Header) -> Option<ConnId> {
        let is_its = |entry: &Entry| {
            let tuple = &entry.tcb.tuple;
            tuple.remote == header.source && tuple.local == header.destination
        };
        let again = self.recent.filter(|id| self.whole(*id).is_some_and(is_its));
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
                generation: self.slots.get(slot as usize)?.generation(),
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
        let generation = id.generation;
        let whole = Slot::Whole { generation, entry };
        match self.slots.get_mut(id.slot as usize) {
            Some(slot) => {
                self.free.pop();
                *slot = whole;
            }
            None => self.slots.push(whole),
        }
        self.len += 1;
        self.add_whole(id);
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
            .filter(|slot| slot.generation() == id.generation)?;
        // A slot whose generations are used up stays empty.
        let next = id.generation.checked_add(1);
        let generation = next.unwrap_or(id.generation);
        match mem::replace(slot, Slot::Vacant { generation }) {
            Slot::Whole { entry, .. } => {
                self.len -= 1;
                if next.is_some() {
                    self.free.push(id.slot);
                }
                Some(entry)
            }
            // It was made whole above, if there is one.
            other => {
                *slot = other;
                None
            }
        }
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
    use super::Slot;
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
        stack.table.slots[0] = Slot::Vacant {
            generation: u32::MAX,
        };
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
