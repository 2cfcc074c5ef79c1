//! Entries at rest: what the table keeps of a connection whose record is compact.

use super::table::{Entry, Ownership};
use crate::config::ConnConfig;
use crate::id::{FourTuple, ListenerId};
use crate::tcb::{Coder, Reader, Tcb, Writer};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A unit in which many timers fire (a jiffy of Linux), in nanoseconds.
const JIFFY: u64 = 4_000_000;
/// The most configurations that entries at rest have; what has another one stays whole.
const MOST_CONFIGS: usize = 256;

/// The configurations of the entries at rest, each with the number of these.
#[derive(Clone, Default)]
pub(super) struct Configs {
    all: Vec<Option<(Arc<ConnConfig>, usize)>>,
}

impl Configs {
    /// The number of this configuration, if there is room for it.
    fn number(&mut self, config: &Arc<ConnConfig>) -> Option<u32> {
        let same = |one: &Option<(Arc<ConnConfig>, usize)>| {
            one.as_ref()
                .is_some_and(|(one, _)| Arc::ptr_eq(one, config))
        };
        let known = self.all.iter().position(same);
        let free = || self.all.iter().position(Option::is_none);
        let at = known.or_else(free).unwrap_or(self.all.len());
        (at < MOST_CONFIGS).then_some(at as u32)
    }

    /// One more entry has it.
    fn retain(&mut self, number: u32, config: &Arc<ConnConfig>) {
        let number = number as usize;
        if number >= self.all.len() {
            self.all.resize(number + 1, None);
        }
        if let Some(place) = self.all.get_mut(number) {
            place.get_or_insert_with(|| (Arc::clone(config), 0)).1 += 1;
        }
    }

    /// One less.
    fn release(&mut self, number: u32) {
        if let Some(place) = self.all.get_mut(number as usize)
            && let Some((_, count)) = place
        {
            *count -= 1;
            if *count == 0 {
                *place = None;
            }
        }
    }

    fn get(&self, number: u32) -> Option<&Arc<ConnConfig>> {
        self.all
            .get(number as usize)?
            .as_ref()
            .map(|(config, _)| config)
    }

    /// The configuration of an entry.
    pub(super) fn of(&self, record: &[u8]) -> Option<&ConnConfig> {
        self.get(Head::read(&mut Reader::new(record)).config)
            .map(|config| &**config)
    }

    /// Writes an entry that is at rest; `None`: it is not, or has something rare. `offset`: what is
    /// probably added to its timestamps.
    pub(super) fn write(&mut self, entry: &mut Entry, offset: u32) -> Option<Writer> {
        let busy = entry.queued
            || entry.wake_queued
            || entry.pending.is_some()
            || entry.before.is_some()
            || !entry.tcb.is_quiet();
        if busy {
            return None;
        }
        let config = self.number(&entry.tcb.config)?;
        let mut writer = Writer::new();
        let timer_at = entry.timer_at;
        Head { config, timer_at }.code(&mut writer);
        code_ownership(&mut writer, &mut entry.ownership);
        entry
            .tcb
            .write(&mut writer, timer_at.unwrap_or_default(), offset);
        writer.len()?;
        self.retain(config, &entry.tcb.config);
        Some(writer)
    }

    /// The entry that was written. [`forget`](Configs::forget) it when it is whole again.
    pub(super) fn read(&self, record: &[u8], tuple: FourTuple, offset: u32) -> Option<Box<Entry>> {
        let mut reader = Reader::new(record);
        let Head { config, timer_at } = Head::read(&mut reader);
        let config = Arc::clone(self.get(config)?);
        let mut ownership = Ownership::Owned;
        code_ownership(&mut reader, &mut ownership);
        let next = timer_at.unwrap_or_default();
        let tcb = Tcb::read(&mut reader, config, tuple, (next, offset));
        Some(Box::new(Entry {
            timer_at,
            linked: true,
            ..Entry::new(tcb, ownership, None)
        }))
    }

    /// Releases what a record held, when the record is discarded.
    pub(super) fn forget(&mut self, record: &[u8]) {
        self.release(Head::read(&mut Reader::new(record)).config);
    }
}

/// When the entry that was written is scheduled for.
pub(super) fn timer_at(record: &[u8]) -> Option<Instant> {
    Head::read(&mut Reader::new(record)).timer_at
}

/// What comes first in a record.
struct Head {
    config: u32,
    timer_at: Option<Instant>,
}

impl Head {
    fn read(reader: &mut Reader<'_>) -> Head {
        let mut head = Head {
            config: 0,
            timer_at: None,
        };
        head.code(reader);
        head
    }

    fn code(&mut self, coder: &mut impl Coder) {
        coder.number(&mut self.config, 0);
        let even = |at: &Instant| at.0.is_multiple_of(JIFFY);
        let mut jiffies = self.timer_at.filter(even).map(|at| at.0 / JIFFY);
        coder.option(&mut jiffies, 0);
        match jiffies {
            Some(jiffies) => self.timer_at = Some(Instant(jiffies * JIFFY)),
            None => coder.option(&mut self.timer_at, Instant::ZERO),
        }
    }
}

fn code_ownership(coder: &mut impl Coder, ownership: &mut Ownership) {
    let of = |listener| {
        [
            Ownership::Owned,
            Ownership::Past,
            Ownership::Embryonic(listener),
            Ownership::Waiting(listener),
        ]
    };
    let mut listener = match *ownership {
        Ownership::Embryonic(ListenerId(number)) | Ownership::Waiting(ListenerId(number)) => number,
        Ownership::Owned | Ownership::Past => 0,
    };
    coder.number(&mut listener, 0);
    coder.choice(ownership, &of(ListenerId(listener)));
}
