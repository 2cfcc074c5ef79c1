//! Small records of any length, packed: those of about the same length lie side by side.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Lengths are rounded up to this many bytes.
const STEP: usize = 4;
/// Records that are allocated together.
const CHUNK: usize = 16;

/// Where a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) class: u8,
    pub(super) nth: u32,
}

/// The records.
#[derive(Clone, Default)]
pub(super) struct Slab {
    classes: Vec<Class>,
}

/// Those of one length.
#[derive(Clone, Default)]
struct Class {
    chunks: Vec<Box<[u8]>>,
    /// Places before `next` that are free.
    free: Vec<u32>,
    next: u32,
}

impl Slab {
    /// Takes a place of at least `len` bytes, at least one.
    pub(super) fn take(&mut self, len: usize) -> Option<(Place, &mut [u8])> {
        let class = len.checked_sub(1)? / STEP;
        let place_class = u8::try_from(class).ok()?;
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, Class::default);
        }
        let size = STEP * (class + 1);
        let class = self.classes.get_mut(class)?;
        let nth = class.free.pop().unwrap_or(class.next);
        if nth == class.next {
            class.next = class.next.checked_add(1)?;
        }
        let (chunk, range) = within(nth, size);
        if chunk == class.chunks.len() {
            class.chunks.push(alloc::vec![0; CHUNK * size].into());
        }
        let bytes = class.chunks.get_mut(chunk)?.get_mut(range)?;
        let class = place_class;
        Some((Place { class, nth }, bytes))
    }

    /// The bytes there.
    pub(super) fn get(&self, place: Place) -> &[u8] {
        let class = usize::from(place.class);
        let (chunk, range) = within(place.nth, STEP * (class + 1));
        self.classes
            .get(class)
            .and_then(|class| class.chunks.get(chunk)?.get(range))
            .unwrap_or_default()
    }

    /// Gives a place back; the memory of all places of its length once none is taken.
    pub(super) fn free(&mut self, place: Place) {
        if let Some(class) = self.classes.get_mut(usize::from(place.class)) {
            class.free.push(place.nth);
            if class.free.len() == class.next as usize {
                *class = Class::default();
            }
        }
    }
}

/// The chunk of a place, and where it is in there.
fn within(nth: u32, size: usize) -> (usize, core::ops::Range<usize>) {
    let nth = nth as usize;
    let from = nth % CHUNK * size;
    (nth / CHUNK, from..from + size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slab_keeps_records_apart_takes_places_again_and_gives_all_memory_back() {
        let mut slab = Slab::default();
        let mut places = Vec::new();
        for n in 0..1000usize {
            let len = n % 64 + 1;
            let (place, bytes) = slab.take(len).unwrap();
            assert!((len..len + STEP).contains(&bytes.len()));
            bytes.fill(n as u8);
            places.push(place);
        }
        for (n, place) in places.iter().enumerate() {
            assert!(slab.get(*place).iter().all(|byte| *byte == n as u8));
        }
        slab.free(places[5]);
        assert_eq!(slab.take(6).unwrap().0, places[5]);
        places.into_iter().for_each(|place| slab.free(place));
        assert!(slab.classes.iter().all(|class| class.chunks.is_empty()));
    }
}
