//! Bytes in a ring: what is written goes behind, what is read or acknowledged leaves in front, and
//! nothing moves but when the ring grows.

use crate::wire::Payload;
use alloc::vec;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

/// The least memory that a ring takes, bytes.
const LEAST: usize = 8;

/// A ring of bytes. Takes no memory while it never held any.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// The whole memory; what is not in the ring has any value.
    memory: Vec<u8>,
    /// Where the first byte is.
    head: usize,
    len: usize,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory taken.
    pub(super) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Where a byte is in the memory; also the one behind the last, unless the ring is full.
    fn place(&self, at: usize) -> usize {
        let place = self.head + at;
        if place < self.memory.len() {
            place
        } else {
            place - self.memory.len()
        }
    }

    /// `len` bytes from `at` on (fewer where there are fewer), in two halves.
    pub(super) fn slices(&self, at: usize, len: usize) -> Payload<'_> {
        let at = at.min(self.len);
        let len = len.min(self.len - at);
        let from = self.place(at);
        let first = len.min(self.memory.len() - from);
        (
            self.memory.get(from..from + first).unwrap_or_default(),
            self.memory.get(..len - first).unwrap_or_default(),
        )
    }

    /// Makes memory for so many bytes in all.
    fn reserve(&mut self, len: usize) {
        if len > self.memory.len() {
            self.resize(len.max(2 * self.memory.len()).max(LEAST));
        }
    }

    /// Moves to a memory of this size, which must be large enough.
    fn resize(&mut self, capacity: usize) {
        let mut memory = vec![0; capacity];
        let (first, second) = self.slices(0, self.len);
        let (head, tail) = memory.split_at_mut(first.len());
        head.copy_from_slice(first);
        tail[..second.len()].copy_from_slice(second);
        self.memory = memory;
        self.head = 0;
    }

    /// Adds bytes behind the last.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.reserve(self.len + bytes.len());
        let at = self.len;
        self.len += bytes.len();
        self.write(at, bytes);
    }

    /// Writes over the bytes from `at` on, which are all there.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let from = self.place(at);
        let (first, second) = bytes.split_at(bytes.len().min(self.memory.len() - from));
        self.memory[from..from + first.len()].copy_from_slice(first);
        self.memory[..second.len()].copy_from_slice(second);
    }

    /// Adds zeros until there are `len` bytes.
    pub(super) fn pad(&mut self, len: usize) {
        let more = len.saturating_sub(self.len);
        self.reserve(len);
        let from = self.place(self.len);
        let first = more.min(self.memory.len() - from);
        self.memory[from..from + first].fill(0);
        self.memory[..more - first].fill(0);
        self.len += more;
    }

    /// The first `n` leave.
    pub(super) fn drop_front(&mut self, n: usize) {
        let n = n.min(self.len);
        self.head = self.place(n);
        self.len -= n;
        if self.len == 0 {
            self.head = 0;
        }
    }

    /// What lies behind the first `len` leaves.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Gives back the memory that is not needed.
    pub(super) fn shrink(&mut self) {
        if self.len < self.memory.len() {
            self.resize(self.len);
        }
    }
}

/// Takes no more memory than there are bytes.
impl Clone for Ring {
    fn clone(&self) -> Ring {
        let (first, second) = self.slices(0, self.len);
        Ring {
            memory: [first, second].concat(),
            head: 0,
            len: self.len,
        }
    }
}

/// The same bytes, wherever they are in the memory.
impl PartialEq for Ring {
    fn eq(&self, other: &Ring) -> bool {
        let bytes = |ring: &'_ Ring| ring.clone().memory;
        self.len == other.len && bytes(self) == bytes(other)
    }
}

impl Eq for Ring {}

impl Hash for Ring {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.clone().memory.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Write(usize, usize),
        Pad(usize),
        Drop(usize),
        Truncate(usize),
        Shrink,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..40usize).prop_map(Step::Push),
            2 => (0..100usize, 0..40usize).prop_map(|(at, len)| Step::Write(at, len)),
            1 => (0..60usize).prop_map(Step::Pad),
            4 => (0..40usize).prop_map(Step::Drop),
            1 => (0..60usize).prop_map(Step::Truncate),
            1 => Just(Step::Shrink),
        ]
    }

    proptest! {
        #[test]
        fn ring_holds_what_a_deque_holds(steps in prop::collection::vec(any_step(), 0..60)) {
            let mut ring = Ring::default();
            let mut model = VecDeque::new();
            let mut byte = 0u8;
            let mut bytes = |len: usize| -> Vec<u8> {
                (0..len).map(|_| { byte = byte.wrapping_add(1); byte }).collect()
            };
            for step in steps {
                match step {
                    Step::Push(len) => {
                        let new = bytes(len);
                        ring.push(&new);
                        model.extend(new);
                    }
                    Step::Write(at, len) => {
                        let at = at.min(model.len());
                        let new = bytes(len.min(model.len() - at));
                        ring.write(at, &new);
                        new.iter().enumerate().for_each(|(n, byte)| model[at + n] = *byte);
                    }
                    Step::Pad(len) => {
                        ring.pad(len);
                        model.resize(len.max(model.len()), 0);
                    }
                    Step::Drop(n) => {
                        ring.drop_front(n);
                        model.drain(..n.min(model.len()));
                    }
                    Step::Truncate(len) => {
                        ring.truncate(len);
                        model.truncate(len);
                    }
                    Step::Shrink => {
                        ring.shrink();
                        prop_assert_eq!(ring.capacity(), model.len());
                    }
                }
                let all: Vec<u8> = model.iter().copied().collect();
                for (at, len) in [(0, usize::MAX), (3, 10), (model.len() / 2, 5), (1000, 1)] {
                    let (first, second) = ring.slices(at, len);
                    let from = at.min(all.len());
                    let until = from.saturating_add(len).min(all.len());
                    prop_assert_eq!([first, second].concat(), &all[from..until]);
                }
                let mut other = Ring::default();
                other.push(&all);
                prop_assert!(ring == other && ring == ring.clone());
                prop_assert_eq!(ring.len(), all.len());
            }
        }
    }
}
