//! TCP options: MSS, window scale, SACK, timestamps; others are skipped (RFC 9293 MUST-4 to MUST-7, MUST-64, MUST-68).

use crate::seq::Seq;

/// The most that the option area can hold, in octets.
pub const MAX_OPTIONS_LEN: usize = 40;

/// A timestamps option (RFC 7323 section 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the value echoed; only meaningful when the ACK bit is set.
    pub echo: u32,
}

/// Up to four SACK blocks (RFC 2018), most recent first; each is `left` (first octet held) and `right` (first octet not held).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct SackBlocks {
    blocks: [(Seq, Seq); 4],
    count: u8,
}

impl SackBlocks {
    /// The blocks, first to last.
    pub fn as_slice(&self) -> &[(Seq, Seq)] {
        &self.blocks[..usize::from(self.count)]
    }

    /// Adds a block; `false` when there is no place for it.
    pub fn push(&mut self, left: Seq, right: Seq) -> bool {
        let Some(slot) = self.blocks.get_mut(usize::from(self.count)) else { return false };
        *slot = (left, right);
        self.count += 1;
        true
    }
}

/// The options of one segment that tcpx knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Options {
    /// Maximum segment size, octets (kind 2).
    pub mss: Option<u16>,
    /// Window shift count as it stood in the segment, perhaps over 14 (kind 3, RFC 7323).
    pub window_scale: Option<u8>,
    /// SACK permitted (kind 4, RFC 2018).
    pub sack_permitted: bool,
    /// SACK blocks (kind 5).
    pub sack: SackBlocks,
    /// Timestamps (kind 8).
    pub timestamps: Option<Timestamps>,
}
