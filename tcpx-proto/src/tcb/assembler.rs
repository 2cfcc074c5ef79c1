//! Which segments are held beyond RCV.NXT (SHLD-31), which copy of a byte counts where they
//! overlap, and which FIN.
//!
//! RFC 9293 section 3.10.7.4 takes what is held "in SEG.SEQ order", and of each segment only what
//! is new. So does Linux, except for two that begin at the same number ([`Overlap`]). Text that
//! arrives in order is not stored here: it takes precedence over all held text.

use super::buffer::is_slack;
use super::coder::Coder;
use crate::config::Overlap;
use crate::seq::Seq;
use crate::wire::SackBlocks;
use alloc::vec::Vec;

/// The most pieces that are held at a time; a segment that would make another one is refused
/// (SegmentSmack, CVE-2018-5390).
pub(super) const MAX_PIECES: usize = 256;

/// The most FINs that are held at a time. Only one can be true: where there are more, another one
/// does not count before it comes in order.
const MAX_FINS: usize = 4;

/// A segment beyond a hole, with those that continued it: offsets from RCV.NXT, in sequence
/// numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Piece {
    start: u32,
    /// One past the last, a FIN included.
    end: u32,
    /// The last is a FIN.
    fin: bool,
    /// When a segment last touched it.
    touched: u64,
}

impl Piece {
    fn text_end(&self) -> u32 {
        self.end - u32::from(self.fin)
    }
}

/// What is held, in order of its sequence numbers. A piece that begins later ends later.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Assembler {
    pieces: Vec<Piece>,
    touches: u64,
}

impl Assembler {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// One past the last byte of text.
    fn reach(&self) -> u32 {
        self.pieces
            .iter()
            .rev()
            .find(|piece| piece.start < piece.text_end())
            .map_or(0, Piece::text_end)
    }

    /// One past the last that is held, a FIN included.
    pub(super) fn end(&self) -> u32 {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// How many of the bytes from `start` to `end` are held.
    pub(super) fn covered(&self, start: u32, end: u32) -> u32 {
        let mut covered = 0;
        let mut at = start;
        for piece in &self.pieces {
            let right = piece.text_end().min(end);
            covered += right.saturating_sub(piece.start.max(at));
            at = at.max(right);
        }
        covered
    }

    /// The first stretch from `start` to `end` that is held (RFC 2883 section 4). `joins`: these
    /// bytes become part of the piece that they continue, if there is one.
    pub(super) fn duplicate(&self, start: u32, end: u32, joins: bool) -> Option<(u32, u32)> {
        let before = self.pieces.iter().rev().find(|piece| piece.start <= start);
        if joins && before.is_some_and(|before| before.end == start) {
            // What continues a piece is not held against those that come after it.
            return None;
        }
        self.runs()
            .map(|run| (run.start.max(start), run.end.min(end)))
            .find(|(left, right)| left < right)
    }

    /// There is text in place of a FIN, from `start` to `end`: one of the two is forged. A true FIN
    /// will come in order.
    pub(super) fn cover_fins(&mut self, start: u32, end: u32, overlap: Overlap) {
        if overlap == Overlap::Linux {
            return;
        }
        self.drop_fins(|place| (start..end).contains(&place));
    }

    /// Holds text from `start`, beyond RCV.NXT, to `end`, and the FIN behind it. Returns from where
    /// on its bytes count instead of those that were there; `None`: there is no room for another
    /// piece.
    pub(super) fn hold(
        &mut self,
        start: u32,
        end: u32,
        fin: bool,
        overlap: Overlap,
    ) -> Option<u32> {
        // Nor does one count where text is held already.
        let fin = fin
            && (overlap == Overlap::Linux || self.covered(end, end + 1) == 0)
            && self.fins_elsewhere(end) < MAX_FINS;
        if start == end && !fin {
            return Some(end);
        }
        self.touches += 1;
        let piece = Piece {
            start,
            end: end + u32::from(fin),
            fin,
            touched: self.touches,
        };
        let next = self.pieces.partition_point(|other| other.start <= start);
        let before = next
            .checked_sub(1)
            .and_then(|at| self.pieces.get(at).copied());
        match before {
            Some(other) if other.end >= piece.end => {
                self.put(
                    next - 1,
                    Piece {
                        touched: self.touches,
                        ..other
                    },
                );
                Some(end)
            }
            Some(other)
                if (other.end == start && !other.fin)
                    || (other.start == start && overlap == Overlap::SequenceOrder) =>
            {
                self.put(
                    next - 1,
                    Piece {
                        start: other.start,
                        ..piece
                    },
                );
                Some(other.end)
            }
            Some(other) if other.start == start => {
                self.put(next - 1, piece);
                Some(self.end_before(next - 1).max(start))
            }
            _ => {
                let another = self
                    .pieces
                    .get(next)
                    .is_none_or(|after| after.end > piece.end);
                if another && self.pieces.len() >= MAX_PIECES {
                    return if self.make_room() {
                        self.hold(start, end, fin, overlap)
                    } else {
                        None
                    };
                }
                self.put(next, piece);
                Some(self.end_before(next).max(start))
            }
        }
    }

    /// Puts a piece there, in place of all from there on that lie within it.
    fn put(&mut self, at: usize, piece: Piece) {
        let until = self.pieces.partition_point(|other| other.end <= piece.end);
        self.pieces.splice(at..until.max(at), [piece]);
    }

    /// Where the text of the piece before this one ends. What lies in the place of its FIN is kept:
    /// it counts once the FIN is dropped.
    fn end_before(&self, at: usize) -> u32 {
        at.checked_sub(1)
            .and_then(|at| self.pieces.get(at))
            .map_or(0, Piece::text_end)
    }

    /// How many FINs are held that are not in this place.
    fn fins_elsewhere(&self, place: u32) -> usize {
        let fins = self.pieces.iter().filter(|piece| piece.fin);
        fins.filter(|piece| piece.text_end() != place).count()
    }

    fn drop_fins(&mut self, which: impl Fn(u32) -> bool) {
        let mut reached = 0;
        self.pieces.retain_mut(|piece| {
            if piece.fin && which(piece.text_end()) {
                piece.end = piece.text_end();
                piece.fin = false;
            }
            let stays = piece.end > reached.max(piece.start);
            reached = reached.max(piece.end);
            stays
        });
    }

    /// Forgets where one segment ended and the next began, and the FINs, which will come again.
    /// Returns whether that made room.
    fn make_room(&mut self) -> bool {
        self.drop_fins(|_| true);
        self.pieces = self.runs().collect();
        self.pieces.len() < MAX_PIECES
    }

    /// RCV.NXT moves to `to`, or to what is held without a hole from there on. Returns to where,
    /// and whether that is a FIN's place. A FIN with held text behind it does not count, where the
    /// policy is so: the peer is still sending.
    pub(super) fn advance(&mut self, to: u32, overlap: Overlap) -> (u32, bool) {
        let mut to = to;
        let mut passed = 0;
        let reach = self.reach();
        for piece in &self.pieces {
            if piece.start > to {
                break;
            }
            passed += 1;
            if piece.end > to {
                to = piece.text_end();
                if piece.fin && (reach <= to || overlap == Overlap::Linux) {
                    self.clear();
                    return (to, true);
                }
            }
        }
        self.pieces.drain(..passed);
        for piece in &mut self.pieces {
            piece.start -= to;
            piece.end -= to;
        }
        (to, false)
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
    }

    /// The stretches without a hole.
    fn runs(&self) -> impl Iterator<Item = Piece> {
        let mut pieces = self.pieces.iter().copied().peekable();
        core::iter::from_fn(move || {
            let mut run = pieces.next()?;
            while let Some(next) = pieces.next_if(|next| next.start <= run.end) {
                run = Piece {
                    start: run.start,
                    touched: run.touched.max(next.touched),
                    ..next
                };
            }
            Some(run)
        })
    }

    /// How many blocks [`tell`](Assembler::tell) would give without a limit.
    pub(super) fn blocks(&self) -> usize {
        self.runs().count()
    }

    /// Adds the stretches to the blocks, the most recently changed first, up to `most` blocks (RFC
    /// 2018 section 4).
    pub(super) fn tell(&self, rcv_nxt: Seq, most: usize, sack: &mut SackBlocks) {
        let mut before = u64::MAX;
        for _ in sack.as_slice().len()..most {
            let Some(run) = self
                .runs()
                .filter(|run| run.touched < before)
                //= 2018-4
                .max_by_key(|run| run.touched)
            else {
                break;
            };
            before = run.touched;
            //= 2018-6
            sack.push(rcv_nxt + run.start, rcv_nxt + run.end);
        }
    }

    /// Bytes of memory taken.
    pub(super) fn memory(&self) -> usize {
        self.pieces.capacity() * size_of::<Piece>()
    }

    pub(super) fn has_slack(&self) -> bool {
        is_slack(self.memory(), self.pieces.len() * size_of::<Piece>())
    }

    pub(super) fn give_back(&mut self) {
        self.pieces.shrink_to_fit();
    }

    /// Codes it where nothing is held.
    pub(super) fn code(&mut self, coder: &mut impl Coder) {
        let Assembler { pieces, touches } = self;
        coder.only(pieces, Vec::new());
        coder.number(touches, 0);
    }
}
