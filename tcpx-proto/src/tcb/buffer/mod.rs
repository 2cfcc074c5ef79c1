//! The bytes of a connection: what SEND took and the peer did not acknowledge; what arrived and
//! RECEIVE did not take.

use crate::config::Overlap;
use crate::seq::Seq;
use crate::tcb::assembler::Assembler;
use crate::tcb::coder::Coder;
use crate::wire::{Payload, SackBlocks};
use ring::Ring;

mod ring;

#[cfg(test)]
mod tests;

/// Bytes that a buffer may keep though nothing is in it.
const KEPT: usize = 256;

/// Whether a buffer has grown far beyond what is in it.
pub(super) const fn is_slack(taken: usize, used: usize) -> bool {
    taken > 2 * used + KEPT
}

/// Bytes from SND.UNA on: first the unacknowledged, then the unsent. Takes no memory while empty,
/// grows up to its limit.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct SendBuffer {
    bytes: Ring,
    limit: usize,
}

impl SendBuffer {
    pub(crate) fn new(limit: usize) -> SendBuffer {
        SendBuffer {
            bytes: Ring::default(),
            limit,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The most bytes that it holds.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// Bytes that there is memory for already.
    pub(crate) fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Accepts as much of `data` as there is room for; returns how much.
    pub(crate) fn push(&mut self, data: &[u8]) -> usize {
        let taken = data.len().min(self.room());
        self.bytes.push(data.get(..taken).unwrap_or_default());
        taken
    }

    /// `len` bytes from `offset` on (fewer where there are fewer).
    pub(crate) fn slices(&self, offset: usize, len: usize) -> Payload<'_> {
        self.bytes.slices(offset, len)
    }

    /// Forgets the first `n`, which were acknowledged.
    pub(crate) fn release(&mut self, n: usize) {
        self.bytes.drop_front(n);
    }

    /// Codes it where it is empty.
    pub(crate) fn code(&mut self, coder: &mut impl Coder, expected: usize) {
        let SendBuffer { bytes, limit } = self;
        coder.only(bytes, Ring::default());
        coder.number(limit, expected);
    }

    /// Bytes of memory taken.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether [`give_back`](SendBuffer::give_back) has something to give.
    pub(crate) fn has_slack(&self) -> bool {
        is_slack(self.memory(), self.bytes.len())
    }

    /// Gives back the memory that a burst took.
    pub(crate) fn give_back(&mut self) {
        self.bytes.shrink();
    }
}

/// What became of the text of a segment, and of its FIN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Inserted {
    /// By how many bytes RCV.NXT advances.
    pub(crate) advanced: u32,
    /// The place of a FIN, this one's or one that was held, comes next.
    pub(crate) fin: bool,
    /// Bytes that were not there before.
    pub(crate) new: u32,
    /// Some of it was refused: no room for it, or for another hole.
    pub(crate) refused: bool,
}

/// Bytes received in order and not read, and behind them those that came out of order (SHLD-31),
/// both within one bound.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ReceiveBuffer {
    /// The bytes in order, then, once something came out of order, everything up to the last byte
    /// that is held.
    bytes: Ring,
    readable: usize,
    assembler: Assembler,
    limit: usize,
}

impl ReceiveBuffer {
    pub(crate) fn new(limit: usize) -> ReceiveBuffer {
        ReceiveBuffer {
            bytes: Ring::default(),
            readable: 0,
            assembler: Assembler::default(),
            limit,
        }
    }

    /// The most bytes that it holds.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes in order that were not read.
    pub(crate) fn readable(&self) -> usize {
        self.readable
    }

    /// Whether something out of order waits behind a hole.
    pub(crate) fn has_holes(&self) -> bool {
        !self.assembler.is_empty()
    }

    /// One past the last that waits behind a hole, a FIN included: an offset from RCV.NXT.
    pub(crate) fn held_end(&self) -> u32 {
        self.assembler.end()
    }

    /// The first of `len` sequence numbers from there on that is held behind a hole: offsets from
    /// RCV.NXT. `joins`: they go into the memory of what they continue.
    pub(crate) fn duplicate(&self, offset: u32, len: u32, joins: bool) -> Option<(u32, u32)> {
        self.assembler.duplicate(offset, offset + len, joins)
    }

    /// Bytes of memory that it takes to store `len` bytes of text there, beyond what is taken
    /// already.
    pub(crate) fn growth(&self, offset: u32, len: usize) -> usize {
        let end = if len == 0 {
            0
        } else {
            self.readable
                .saturating_add(offset as usize)
                .saturating_add(len)
        };
        end.saturating_sub(self.bytes.capacity())
    }

    /// Stores text that starts `offset` bytes after RCV.NXT, and the FIN behind it. What lies
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
        if offset == 0 && !fin && self.assembler.is_empty() {
            // Nothing is held that it could meet.
            self.bytes.push(inside);
            self.readable += inside.len();
            return Inserted {
                advanced: end,
                new: end,
                refused,
                ..Inserted::default()
            };
        }
        self.assembler.cover_fins(offset, end, overlap);
        let new = end - offset - self.assembler.covered(offset, end);
        if offset > 0 {
            //= SHLD-31
            let Some(from) = self.assembler.hold(offset, end, fin, overlap) else {
                return Inserted {
                    refused: true,
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
                ..Inserted::default()
            };
        }
        self.write(0, inside);
        let (advanced, fin) = if fin {
            (end, true)
        } else {
            self.assembler.advance(end, overlap)
        };
        self.readable += advanced as usize;
        if fin {
            // Nothing comes after it.
            self.assembler = Assembler::default();
            self.bytes.truncate(self.readable);
        }
        Inserted {
            advanced,
            fin,
            new,
            refused,
        }
    }

    /// Writes bytes `at` bytes after RCV.NXT, over what is there.
    fn write(&mut self, at: u32, piece: &[u8]) {
        let begin = self.readable + at as usize;
        if piece.is_empty() {
            return;
        }
        self.bytes.pad(begin);
        let (over, beyond) = piece.split_at(piece.len().min(self.bytes.len() - begin));
        self.bytes.write(begin, over);
        self.bytes.push(beyond);
    }

    /// Moves bytes in order into `into`; returns how many.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> usize {
        let taken = self.peek(0, into);
        self.bytes.drop_front(taken);
        self.readable -= taken;
        taken
    }

    /// Copies what can be read, but for the first `skip` bytes. Returns how many bytes.
    pub(crate) fn peek(&self, skip: usize, into: &mut [u8]) -> usize {
        let copied = into.len().min(self.readable.saturating_sub(skip));
        let (first, second) = self.bytes.slices(skip, copied);
        let (head, tail) = into.split_at_mut(first.len());
        head.copy_from_slice(first);
        if let Some(tail) = tail.get_mut(..second.len()) {
            tail.copy_from_slice(second);
        }
        copied
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
            //= 2883-1
            sack.push(left, right);
        }
        //= 2018-3
        self.assembler.tell(rcv_nxt, most, &mut sack);
        sack
    }

    /// Codes it where it is empty.
    pub(crate) fn code(&mut self, coder: &mut impl Coder, expected: usize) {
        let ReceiveBuffer {
            bytes,
            readable,
            assembler,
            limit,
        } = self;
        coder.only(bytes, Ring::default());
        coder.only(readable, 0);
        assembler.code(coder);
        coder.number(limit, expected);
    }

    /// How many blocks are held.
    pub(crate) fn blocks(&self) -> usize {
        self.assembler.blocks()
    }

    /// Bytes of memory taken.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() + self.assembler.memory()
    }

    /// Whether [`give_back`](ReceiveBuffer::give_back) has something to give.
    pub(crate) fn has_slack(&self) -> bool {
        is_slack(self.bytes.capacity(), self.bytes.len()) || self.assembler.has_slack()
    }

    /// Gives back the memory that a burst took.
    pub(crate) fn give_back(&mut self) {
        self.bytes.shrink();
        self.assembler.give_back();
    }
}
