//! The octets of a connection: what SEND took and the peer did not acknowledge; what arrived and
//! RECEIVE did not take.

use super::assembler::Assembler;
use crate::config::Overlap;
use crate::seq::Seq;
use crate::wire::{Payload, SackBlocks};
use alloc::collections::VecDeque;

/// Octets that a buffer may keep though nothing is in it.
const KEPT: usize = 256;

/// Whether a buffer has grown far beyond what is in it.
pub(super) const fn is_slack(taken: usize, used: usize) -> bool {
    taken > 2 * used + KEPT
}

/// Octets from SND.UNA on: first the unacknowledged, then the unsent. Takes no memory while empty,
/// grows up to its limit.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct SendBuffer {
    octets: VecDeque<u8>,
    limit: usize,
}

impl SendBuffer {
    pub(crate) fn new(limit: usize) -> SendBuffer {
        SendBuffer {
            octets: VecDeque::new(),
            limit,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.octets.len()
    }

    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.octets.len())
    }

    /// Octets that there is memory for already.
    pub(crate) fn spare(&self) -> usize {
        self.octets.capacity() - self.octets.len()
    }

    /// Takes as much of `data` as there is room for, and says how much.
    pub(crate) fn push(&mut self, data: &[u8]) -> usize {
        let taken = data.len().min(self.room());
        self.octets.extend(data.get(..taken).unwrap_or_default());
        taken
    }

    /// `len` octets from `offset` on (fewer where there are fewer).
    pub(crate) fn slices(&self, offset: usize, len: usize) -> Payload<'_> {
        let (front, back) = self.octets.as_slices();
        let end = offset.saturating_add(len).min(self.octets.len());
        let from_front = front.get(offset..end.min(front.len())).unwrap_or_default();
        let from_back = back
            .get(offset.saturating_sub(front.len())..end.saturating_sub(front.len()))
            .unwrap_or_default();
        (from_front, from_back)
    }

    /// Forgets the first `n`, which were acknowledged.
    pub(crate) fn release(&mut self, n: usize) {
        self.octets.drain(..n.min(self.octets.len()));
    }

    /// Octets of memory taken.
    pub(crate) fn memory(&self) -> usize {
        self.octets.capacity()
    }

    /// Whether [`give_back`](SendBuffer::give_back) has something to give.
    pub(crate) fn has_slack(&self) -> bool {
        is_slack(self.memory(), self.octets.len())
    }

    /// Gives back the memory that a burst took.
    pub(crate) fn give_back(&mut self) {
        self.octets.shrink_to_fit();
    }
}

/// What became of the text of a segment, and of its FIN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Inserted {
    /// By how many octets RCV.NXT advances.
    pub(crate) advanced: u32,
    /// The place of a FIN, this one's or one that was held, comes next.
    pub(crate) fin: bool,
    /// Octets that were not there before.
    pub(crate) new: u32,
    /// Some of it was refused: no room for it, or for another hole.
    pub(crate) refused: bool,
    /// The first of it that was held out of order already: offsets from where RCV.NXT was.
    pub(crate) duplicate: Option<(u32, u32)>,
}

/// Octets received in order and not read, and behind them those that came out of order (SHLD-31),
/// both within one bound.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ReceiveBuffer {
    /// The octets in order, then, once something came out of order, everything up to the last octet
    /// that is held.
    octets: VecDeque<u8>,
    readable: usize,
    assembler: Assembler,
    limit: usize,
}

impl ReceiveBuffer {
    pub(crate) fn new(limit: usize) -> ReceiveBuffer {
        ReceiveBuffer {
            octets: VecDeque::new(),
            readable: 0,
            assembler: Assembler::default(),
            limit,
        }
    }

    /// Octets in order that nobody read.
    pub(crate) fn readable(&self) -> usize {
        self.readable
    }

    /// Whether something out of order waits behind a hole.
    pub(crate) fn has_holes(&self) -> bool {
        !self.assembler.is_empty()
    }

    /// Octets of memory that it takes to store `len` octets of text there, beyond what is taken
    /// already.
    pub(crate) fn growth(&self, offset: u32, len: usize) -> usize {
        let end = if len == 0 {
            0
        } else {
            self.readable
                .saturating_add(offset as usize)
                .saturating_add(len)
        };
        end.saturating_sub(self.octets.capacity())
    }

    /// Stores text that starts `offset` octets after RCV.NXT, and the FIN behind it. What lies
    /// beyond the limit is refused. What is in order counts before what is held.
    pub(crate) fn insert(
        &mut self,
        offset: u32,
        text: &[u8],
        fin: bool,
        overlap: Overlap,
    ) -> Inserted {
        let room = self
            .limit
            .saturating_sub(self.readable)
            .saturating_sub(offset as usize);
        let inside = text.get(..text.len().min(room)).unwrap_or_default();
        let refused = inside.len() < text.len();
        let fin = fin && !refused;
        if inside.is_empty() && !fin {
            return Inserted {
                refused,
                ..Inserted::default()
            };
        }
        let end = offset + inside.len() as u32;
        let duplicate = self
            .assembler
            .duplicate(offset, end + u32::from(fin), overlap);
        self.assembler.cover_fins(offset, end);
        let new = end - offset - self.assembler.covered(offset, end);
        if offset > 0 {
            let Some(from) = self.assembler.hold(offset, end, fin, overlap) else {
                return Inserted {
                    refused: true,
                    duplicate,
                    ..Inserted::default()
                };
            };
            self.write(
                from,
                inside.get((from - offset) as usize..).unwrap_or_default(),
            );
            return Inserted {
                new,
                refused,
                duplicate,
                ..Inserted::default()
            };
        }
        self.write(0, inside);
        let (advanced, fin) = if fin {
            (end, true)
        } else {
            self.assembler.advance(end)
        };
        self.readable += advanced as usize;
        if fin {
            // Nothing comes after it.
            self.assembler = Assembler::default();
            self.octets.truncate(self.readable);
        }
        Inserted {
            advanced,
            fin,
            new,
            refused,
            duplicate,
        }
    }

    /// Writes octets `at` octets after RCV.NXT, over what is there.
    fn write(&mut self, at: u32, piece: &[u8]) {
        let begin = self.readable + at as usize;
        if piece.is_empty() {
            return;
        }
        if self.octets.len() < begin {
            self.octets.resize(begin, 0);
        }
        let (over, beyond) = piece.split_at(piece.len().min(self.octets.len() - begin));
        write_at(&mut self.octets, begin, over);
        self.octets.extend(beyond);
    }

    /// Moves octets in order into `into` and says how many.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> usize {
        let taken = into.len().min(self.readable);
        let (front, back) = self.octets.as_slices();
        let split = taken.min(front.len());
        let (head, tail) = into.split_at_mut(split);
        head.copy_from_slice(front.get(..split).unwrap_or_default());
        if let (Some(tail), Some(back)) = (tail.get_mut(..taken - split), back.get(..taken - split))
        {
            tail.copy_from_slice(back);
        }
        self.octets.drain(..taken);
        self.readable -= taken;
        taken
    }

    /// What came again (RFC 2883 section 4), then what is held beyond `rcv_nxt`, at most `most`
    /// blocks in all.
    pub(crate) fn sack_blocks(
        &self,
        rcv_nxt: Seq,
        duplicate: Option<(Seq, Seq)>,
        most: usize,
    ) -> SackBlocks {
        let mut sack = SackBlocks::default();
        if let Some((left, right)) = duplicate {
            sack.push(left, right);
        }
        self.assembler.tell(rcv_nxt, most, &mut sack);
        sack
    }

    /// How many blocks are held.
    pub(crate) fn blocks(&self) -> usize {
        self.assembler.blocks()
    }

    /// Octets of memory taken.
    pub(crate) fn memory(&self) -> usize {
        self.octets.capacity() + self.assembler.memory()
    }

    /// Whether [`give_back`](ReceiveBuffer::give_back) has something to give.
    pub(crate) fn has_slack(&self) -> bool {
        is_slack(self.octets.capacity(), self.octets.len()) || self.assembler.has_slack()
    }

    /// Gives back the memory that a burst took.
    pub(crate) fn give_back(&mut self) {
        self.octets.shrink_to_fit();
        self.assembler.give_back();
    }
}

/// Overwrites octets of the ring from `at` on; they are there already.
fn write_at(ring: &mut VecDeque<u8>, at: usize, piece: &[u8]) {
    let (front, back) = ring.as_mut_slices();
    let split = front.len().saturating_sub(at).min(piece.len());
    let (head, tail) = piece.split_at(split);
    if let Some(place) = front.get_mut(at..at + split) {
        place.copy_from_slice(head);
    }
    let at = (at + split).saturating_sub(front.len());
    if let Some(place) = back.get_mut(at..at + tail.len()) {
        place.copy_from_slice(tail);
    }
}

#[cfg(test)]
mod tests {
    use super::super::assembler::MAX_PIECES;
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn send_buffer_gives_what_was_pushed_and_not_released() {
        let mut buffer = SendBuffer::new(8);
        assert_eq!(buffer.push(b"abcdef"), 6);
        buffer.release(4);
        assert_eq!(buffer.push(b"ghijklmn"), 6);
        let (a, b) = buffer.slices(1, 4);
        assert_eq!([a, b].concat(), b"fghi");
        assert_eq!(buffer.slices(20, 4), (&[][..], &[][..]));
    }

    fn insert(buffer: &mut ReceiveBuffer, offset: u32, text: &[u8]) -> Inserted {
        buffer.insert(offset, text, false, Overlap::SequenceOrder)
    }

    #[test]
    fn receive_buffer_reports_recent_blocks_first() {
        let mut buffer = ReceiveBuffer::new(100);
        insert(&mut buffer, 10, b"aa");
        insert(&mut buffer, 30, b"bb");
        insert(&mut buffer, 20, b"cc");
        let blocks = buffer.sack_blocks(Seq(1000), None, 2);
        assert_eq!(
            blocks.as_slice(),
            [(Seq(1020), Seq(1022)), (Seq(1030), Seq(1032))]
        );
    }

    #[test]
    fn receive_buffer_refuses_one_hole_too_many() {
        let mut buffer = ReceiveBuffer::new(1 << 16);
        for hole in 0..MAX_PIECES as u32 {
            assert!(!insert(&mut buffer, 2 + 2 * hole, b"x").refused);
        }
        assert_eq!(
            insert(&mut buffer, 60_000, b"x"),
            Inserted {
                refused: true,
                ..Inserted::default()
            }
        );
        assert_eq!(insert(&mut buffer, 0, b"ab").advanced, 3);
    }

    /// Text that came in the opposite order is one block, however many segments it was.
    #[test]
    fn receive_buffer_holds_any_number_of_segments_without_a_hole_between_them() {
        let mut buffer = ReceiveBuffer::new(1 << 16);
        for at in (1..1000).rev() {
            assert!(!insert(&mut buffer, 3 * at, b"abc").refused, "{at}");
        }
        assert_eq!(insert(&mut buffer, 0, b"abc").advanced, 3000);
    }

    /// What RFC 9293 says, and what Linux does, at full length: the segments that are held, each as
    /// it came.
    #[derive(Default)]
    struct Model {
        held: Vec<(u32, Vec<u8>, bool)>,
        read: Vec<u8>,
        closed: bool,
    }

    /// One past its last sequence number.
    fn past((start, text, fin): &(u32, Vec<u8>, bool)) -> u32 {
        start + text.len() as u32 + u32::from(*fin)
    }

    impl Model {
        fn next(&self) -> u32 {
            self.read.len() as u32
        }

        fn arrives(&mut self, seq: u32, text: &[u8], fin: bool, overlap: Overlap) {
            if seq <= self.next() {
                self.drop_fins(|place| (seq..seq + text.len() as u32).contains(&place));
                self.take(seq, text, fin);
                while let Some(at) = self
                    .held
                    .iter()
                    .position(|(start, ..)| *start <= self.next() && !self.closed)
                {
                    let (seq, text, fin) = self.held.remove(at);
                    let reach = self
                        .held
                        .iter()
                        .filter(|(_, text, _)| !text.is_empty())
                        .map(|(start, text, _)| start + text.len() as u32);
                    let fin = fin && reach.max().unwrap_or(0) <= seq + text.len() as u32;
                    self.take(seq, &text, fin);
                }
                return;
            }
            let end = seq + text.len() as u32;
            self.drop_fins(|place| (seq..end).contains(&place));
            let fin = fin
                && !self
                    .held
                    .iter()
                    .any(|(start, text, _)| (*start..start + text.len() as u32).contains(&end));
            if text.is_empty() && !fin {
                return;
            }
            let places = self
                .held
                .iter()
                .filter(|(.., fin)| *fin)
                .map(|(start, text, _)| start + text.len() as u32);
            if fin && places.filter(|place| *place != end).count() >= 4 {
                self.drop_fins(|_| true);
            }
            let new = (seq, text.to_vec(), fin);
            if self
                .held
                .iter()
                .any(|other| other.0 <= seq && past(other) >= past(&new))
            {
                return;
            }
            let before = self.held.iter_mut().rev().find(|other| other.0 <= seq);
            if let Some(before) = before.filter(|other| past(other) == seq && !other.2) {
                before.1.extend(text);
                before.2 = fin;
                let whole = before.clone();
                self.held
                    .retain(|other| other.0 <= whole.0 || past(other) > past(&whole));
                return;
            }
            let mut new = new;
            if let Some(at) = self.held.iter().position(|other| other.0 == seq) {
                let mut first = self.held.remove(at);
                if overlap == Overlap::SequenceOrder {
                    first.1.extend(&text[first.1.len()..]);
                    new = (seq, first.1, fin);
                }
            }
            self.held
                .retain(|other| other.0 < seq || past(other) > past(&new));
            self.held.push(new);
            self.held.sort();
        }

        fn drop_fins(&mut self, which: impl Fn(u32) -> bool) {
            for (start, text, fin) in &mut self.held {
                *fin &= !which(*start + text.len() as u32);
            }
            let mut reached = 0;
            self.held.retain(|held| {
                let stays = past(held) > reached.max(held.0);
                reached = reached.max(past(held));
                stays
            });
        }

        fn take(&mut self, seq: u32, text: &[u8], fin: bool) {
            let old = (self.next() - seq) as usize;
            self.read.extend(text.get(old..).unwrap_or_default());
            if fin && seq + text.len() as u32 == self.next() {
                self.closed = true;
                self.held.clear();
            }
        }
    }

    fn any_segment() -> impl Strategy<Value = (u32, usize, bool)> {
        let offset = prop_oneof![1 => Just(0u32), 5 => 1u32..40];
        (
            offset,
            prop_oneof![1 => Just(0usize), 6 => 1usize..14],
            prop::bool::weighted(0.15),
        )
    }

    proptest! {
        #[test]
        fn receive_buffer_takes_in_order_what_is_held_as_it_came(
            segments in prop::collection::vec(any_segment(), 1..40),
            overlap in prop::sample::select(vec![Overlap::SequenceOrder, Overlap::Linux]),
            read in prop::collection::vec(any::<bool>(), 40),
        ) {
            let (mut buffer, mut model, mut taken) = (ReceiveBuffer::new(1000), Model::default(), Vec::<u8>::new());
            for (round, (offset, len, fin)) in segments.into_iter().enumerate() {
                let fin = fin || len == 0;
                let text: Vec<u8> = (0..len).map(|at| (round * 16 + at) as u8).collect();
                let next = model.next();
                let inserted = buffer.insert(offset, &text, fin, overlap);
                model.arrives(next + offset, &text, fin, overlap);
                prop_assert_eq!((inserted.advanced, inserted.fin), (model.next() - next, model.closed));
                prop_assert_eq!(buffer.has_holes(), !model.held.is_empty());
                if model.closed {
                    break;
                }
                if read[round] {
                    let mut some = [0; 7];
                    let got = buffer.read(&mut some);
                    taken.extend(&some[..got]);
                }
            }
            let mut rest = vec![0; 2000];
            let got = buffer.read(&mut rest);
            taken.extend(&rest[..got]);
            prop_assert_eq!(taken, model.read);
        }
    }
}
