//! Which of two sequence numbers is later: arithmetic modulo 2^32 (RFC 9293 section 3.4).

use core::fmt;
use core::ops::{Add, AddAssign};

/// A sequence or acknowledgment number. It has no order of its own: "later" only means something
/// within half the space, so the relations have names, and nothing here can overflow or panic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// `self < other`: `other` lies in the half space ahead of `self`.
    pub const fn lt(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// `self =< other` in the RFC's spelling.
    pub const fn le(self, other: Seq) -> bool {
        !other.lt(self)
    }

    /// `self > other`.
    pub const fn gt(self, other: Seq) -> bool {
        other.lt(self)
    }

    /// `self >= other`.
    pub const fn ge(self, other: Seq) -> bool {
        !self.lt(other)
    }

    /// How many bytes lie from `earlier` up to `self`, modulo 2^32. The caller knows that
    /// `earlier` is not later than `self`.
    pub const fn since(self, earlier: Seq) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// `start =< self < start + len`, true for any `len` up to 2^32 - 1.
    pub const fn in_window(self, start: Seq, len: u32) -> bool {
        self.since(start) < len
    }

    /// The later of the two.
    pub const fn max(self, other: Seq) -> Seq {
        if self.lt(other) { other } else { self }
    }

    /// The earlier of the two.
    pub const fn min(self, other: Seq) -> Seq {
        if self.lt(other) { self } else { other }
    }

    /// `n` bytes before `self`.
    pub const fn back(self, n: u32) -> Seq {
        Seq(self.0.wrapping_sub(n))
    }
}

impl Add<u32> for Seq {
    type Output = Seq;
    fn add(self, n: u32) -> Seq {
        Seq(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn seq_any_start_is_before_start_plus_less_than_half(start: u32, n in 1u32..0x8000_0000) {
            let a = Seq(start);
            let b = Seq(start) + n;
            prop_assert!(a.lt(b) && a.le(b) && b.gt(a) && b.ge(a) && !b.lt(a));
            prop_assert_eq!(b.since(a), n);
            prop_assert_eq!(b.back(n), a);
            prop_assert_eq!((a.max(b), a.min(b)), (b, a));
        }

        #[test]
        fn seq_window_holds_exactly_its_bytes(start: u32, len: u32, n: u32) {
            prop_assert_eq!((Seq(start) + n).in_window(Seq(start), len), n < len);
        }
    }
}
