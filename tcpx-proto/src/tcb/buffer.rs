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

    /// Takes as much of `data` as there is room for, and says how much.
    pub(crate) fn push(&mut self, _data: &[u8]) -> usize {
        todo!()
    }

    /// `len` octets from `offset` on (fewer where there are fewer).
    pub(crate) fn slices(&self, _offset: usize, _len: usize) -> Payload<'_> {
        todo!()
    }

    /// Forgets the first `n`, which were acknowledged.
    pub(crate) fn release(&mut self, _n: usize) {
        todo!()
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
    /// Some of it was refused: no room for another hole.
    pub(crate) refused: bool,
}

/// Octets received in order and not read, and behind them those that came out of order (SHLD-31), both within one bound.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ReceiveBuffer {
    limit: usize,
    holes: Vec<u8>,
}

impl ReceiveBuffer {
    pub(crate) fn new(limit: usize) -> ReceiveBuffer {
        ReceiveBuffer { limit, holes: Vec::new() }
    }

    /// Octets in order that nobody read.
    pub(crate) fn readable(&self) -> usize {
        todo!()
    }

    /// Room beyond RCV.NXT: the limit less what is readable.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.readable())
    }

    /// Whether something out of order waits behind a hole.
    pub(crate) fn has_holes(&self) -> bool {
        todo!()
    }

    /// Stores text that starts `offset` octets after RCV.NXT. What lies beyond the room is refused; octets that are there already stay
    /// as they are.
    pub(crate) fn insert(&mut self, _offset: u32, _text: &[u8]) -> Inserted {
        todo!()
    }

    /// Moves octets in order into `into` and says how many.
    pub(crate) fn read(&mut self, _into: &mut [u8]) -> usize {
        todo!()
    }

    /// The blocks held beyond `rcv_nxt`, the most recently changed first, at most `most` (RFC 2018 section 4).
    pub(crate) fn sack_blocks(&self, _rcv_nxt: Seq, _most: usize) -> SackBlocks {
        todo!()
    }

    /// Octets of memory taken.
    pub(crate) fn memory(&self) -> usize {
        todo!()
    }
}
