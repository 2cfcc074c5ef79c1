//! The octets of a connection: what SEND took and the peer did not acknowledge; what arrived and RECEIVE did not take.

use crate::seq::Seq;
use crate::wire::{Payload, SackBlocks};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Octets from SND.UNA on: first the unacknowledged, then the unsent. Takes no memory while empty, grows up to its limit.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct SendBuffer {
    octets: VecDeque<u8>,
    limit: usize,
}

impl SendBuffer {
    pub(crate) fn new(limit: usize) -> SendBuffer {
        SendBuffer { octets: VecDeque::new(), limit }
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
        let from_back = back.get(offset.saturating_sub(front.len())..end.saturating_sub(front.len())).unwrap_or_default();
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
}

/// What became of the text of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Inserted {
    /// By how many octets RCV.NXT advances.
    pub(crate) advanced: u32,
    /// Octets that were not there before.
    pub(crate) new: u32,
    /// Some of it was refused: no room for it, or for another hole.
    pub(crate) refused: bool,
    /// The first of it that was held out of order already: offsets from where RCV.NXT was.
    pub(crate) held: Option<(u32, u32)>,
}

/// The most blocks that are held out of order at a time; a segment that would make another one is refused (SegmentSmack, CVE-2018-5390).
const MAX_BLOCKS: usize = 256;

/// A block of octets beyond a hole: offsets from RCV.NXT, and when it last grew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Block {
    start: u32,
    end: u32,
    touched: u64,
}

/// Octets received in order and not read, and behind them those that came out of order (SHLD-31), both within one bound.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ReceiveBuffer {
    /// The octets in order, then, once something came out of order, everything up to the end of the last block.
    octets: VecDeque<u8>,
    readable: usize,
    /// Sorted, disjoint, never touching each other.
    blocks: Vec<Block>,
    touches: u64,
    limit: usize,
}

impl ReceiveBuffer {
    pub(crate) fn new(limit: usize) -> ReceiveBuffer {
        ReceiveBuffer { octets: VecDeque::new(), readable: 0, blocks: Vec::new(), touches: 0, limit }
    }

    /// Octets in order that nobody read.
    pub(crate) fn readable(&self) -> usize {
        self.readable
    }

    /// Whether something out of order waits behind a hole.
    pub(crate) fn has_holes(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// How many octets after RCV.NXT the last one lies that is there.
    pub(crate) fn reach(&self) -> u32 {
        self.blocks.last().map_or(0, |block| block.end)
    }

    /// Octets of memory that it takes to store `len` octets of text there, beyond what is taken already.
    pub(crate) fn growth(&self, offset: u32, len: usize) -> usize {
        self.readable.saturating_add(offset as usize).saturating_add(len).saturating_sub(self.octets.capacity())
    }

    /// Stores text that starts `offset` octets after RCV.NXT. What lies beyond the limit is refused; octets that are there already stay as
    /// they are.
    pub(crate) fn insert(&mut self, offset: u32, text: &[u8]) -> Inserted {
        let room = self.limit.saturating_sub(self.readable).saturating_sub(offset as usize);
        let inside = text.get(..text.len().min(room)).unwrap_or_default();
        let refused = inside.len() < text.len();
        if inside.is_empty() {
            return Inserted { refused, ..Inserted::default() };
        }
        if offset == 0 && self.blocks.is_empty() {
            self.octets.extend(inside);
            self.readable += inside.len();
            let len = inside.len() as u32;
            return Inserted { advanced: len, new: len, refused, held: None };
        }
        self.insert_block(offset, inside, refused)
    }

    fn insert_block(&mut self, start: u32, text: &[u8], refused: bool) -> Inserted {
        let end = start + text.len() as u32;
        let first = self.blocks.partition_point(|block| block.end < start);
        let last = self.blocks.partition_point(|block| block.start <= end);
        if first == last && start > 0 && self.blocks.len() >= MAX_BLOCKS {
            return Inserted { refused: true, ..Inserted::default() };
        }
        let new = self.fill(start, text, first, last);
        let merged = self.blocks.get(first..last).unwrap_or_default();
        let held = merged.iter().map(|block| (block.start.max(start), block.end.min(end))).find(|(left, right)| left < right);
        let start = merged.first().map_or(start, |block| block.start.min(start));
        let end = merged.last().map_or(end, |block| block.end.max(end));
        self.touches += 1;
        self.blocks.splice(first..last, [Block { start, end, touched: self.touches }]);
        let advanced = self.blocks.first().filter(|block| block.start == 0).map_or(0, |block| block.end);
        if advanced > 0 {
            self.blocks.remove(0);
            for block in &mut self.blocks {
                block.start -= advanced;
                block.end -= advanced;
            }
            self.readable += advanced as usize;
        }
        Inserted { advanced, new, refused, held }
    }

    /// Copies the parts of `text` that no block from `first` to `last` holds, and says how many octets that were.
    fn fill(&mut self, start: u32, text: &[u8], first: usize, last: usize) -> u32 {
        let end = start + text.len() as u32;
        let needed = self.readable + end as usize;
        if self.octets.len() < needed {
            self.octets.resize(needed, 0);
        }
        let (mut at, mut new) = (start, 0);
        for index in first..=last {
            let (gap_end, next) = match self.blocks.get(index).filter(|_| index < last) {
                Some(block) => (block.start.min(end), block.end),
                None => (end, end),
            };
            if at < gap_end {
                let piece = text.get((at - start) as usize..(gap_end - start) as usize).unwrap_or_default();
                write_at(&mut self.octets, self.readable + at as usize, piece);
                new += piece.len() as u32;
            }
            at = at.max(next);
        }
        new
    }

    /// Moves octets in order into `into` and says how many.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> usize {
        let taken = into.len().min(self.readable);
        let (front, back) = self.octets.as_slices();
        let split = taken.min(front.len());
        let (head, tail) = into.split_at_mut(split);
        head.copy_from_slice(front.get(..split).unwrap_or_default());
        if let (Some(tail), Some(back)) = (tail.get_mut(..taken - split), back.get(..taken - split)) {
            tail.copy_from_slice(back);
        }
        self.octets.drain(..taken);
        self.readable -= taken;
        taken
    }

    /// What came again (RFC 2883 section 4), then the blocks held beyond `rcv_nxt`, the most recently changed first, at most `most` (RFC
    /// 2018 section 4); a FIN that waits for what comes before it has a sequence number as well.
    pub(crate) fn sack_blocks(&self, rcv_nxt: Seq, duplicate: Option<(Seq, Seq)>, fin: Option<Seq>, most: usize) -> SackBlocks {
        let mut sack = SackBlocks::default();
        if let Some((left, right)) = duplicate {
            sack.push(left, right);
        }
        let mut before = u64::MAX;
        let last = fin.map(|fin| fin.since(rcv_nxt));
        if let Some(last) = last.filter(|&last| last > self.reach()) {
            sack.push(rcv_nxt + last, rcv_nxt + last + 1);
        }
        for _ in sack.as_slice().len()..most {
            let Some(block) = self.blocks.iter().filter(|block| block.touched < before).max_by_key(|block| block.touched) else { break };
            before = block.touched;
            sack.push(rcv_nxt + block.start, rcv_nxt + block.end + u32::from(last == Some(block.end)));
        }
        sack
    }

    /// How many blocks [`sack_blocks`](ReceiveBuffer::sack_blocks) would give without a limit.
    pub(crate) fn sack_count(&self, rcv_nxt: Seq, duplicate: Option<(Seq, Seq)>, fin: Option<Seq>) -> usize {
        let fin_alone = fin.is_some_and(|fin| fin.since(rcv_nxt) > self.reach());
        usize::from(duplicate.is_some()) + usize::from(fin_alone) + self.blocks.len()
    }

    /// Octets of memory taken.
    pub(crate) fn memory(&self) -> usize {
        self.octets.capacity() + self.blocks.capacity() * size_of::<Block>()
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
    use super::*;
    use alloc::vec;
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

    #[test]
    fn receive_buffer_reports_recent_blocks_first() {
        let mut buffer = ReceiveBuffer::new(100);
        buffer.insert(10, b"aa");
        buffer.insert(30, b"bb");
        buffer.insert(20, b"cc");
        let blocks = buffer.sack_blocks(Seq(1000), None, None, 2);
        assert_eq!(blocks.as_slice(), [(Seq(1020), Seq(1022)), (Seq(1030), Seq(1032))]);
    }

    #[test]
    fn receive_buffer_refuses_one_hole_too_many() {
        let mut buffer = ReceiveBuffer::new(1 << 16);
        for hole in 0..MAX_BLOCKS as u32 {
            assert!(!buffer.insert(2 + 2 * hole, b"x").refused);
        }
        assert_eq!(buffer.insert(60_000, b"x"), Inserted { refused: true, ..Inserted::default() });
        assert_eq!(buffer.insert(0, b"ab").advanced, 3);
    }

    proptest! {
        #[test]
        fn receive_buffer_is_a_map_where_the_first_copy_wins(
            inserts in prop::collection::vec((0u32..60, 1usize..20, any::<bool>()), 1..60),
        ) {
            let mut buffer = ReceiveBuffer::new(64);
            let mut model: Vec<Option<u8>> = vec![None; 64];
            for (round, (offset, len, read)) in inserts.into_iter().enumerate() {
                let text = vec![round as u8 + 1; len];
                let ready = buffer.readable();
                let inserted = buffer.insert(offset, &text);
                let mut new = 0;
                for (at, octet) in text.iter().enumerate() {
                    if let Some(slot) = model.get_mut(ready + offset as usize + at) {
                        new += u32::from(slot.is_none());
                        slot.get_or_insert(*octet);
                    }
                }
                prop_assert_eq!(inserted.new, new);
                let in_order = model.iter().take_while(|octet| octet.is_some()).count();
                prop_assert_eq!(buffer.readable(), in_order);
                prop_assert_eq!(buffer.readable() - ready, inserted.advanced as usize);
                if read {
                    let mut got = vec![0; 7];
                    let taken = buffer.read(&mut got);
                    let expected: Vec<u8> = model.drain(..taken).flatten().collect();
                    model.resize(64, None);
                    prop_assert_eq!(&got[..taken], &expected[..]);
                }
            }
        }
    }
}
