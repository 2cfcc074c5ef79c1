//! A record as few bytes as it has news: each number is coded as what it differs by from what is
//! expected, and one that is as expected takes a bit.
//!
//! A [`Coder`] writes or reads, so that one description of a record's fields does both: what is
//! written in one place cannot be read back in another. Bits grow from the front of the record,
//! bytes from its end.

use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// The most bytes of a record.
const MOST: usize = 256;
/// The most of these that are bits.
const WORDS: usize = 4;

/// What can be coded as a difference.
pub(crate) trait Number: Copy {
    /// How many bits say how many bytes the difference has, less one.
    const LENGTH: u32;
    /// Whether every difference from it can be coded.
    fn fits(self) -> bool {
        true
    }
    /// `self` - `expected`, small for both signs.
    fn minus(self, expected: Self) -> u64;
    /// The number that differs by `difference` from `expected`.
    fn plus(expected: Self, difference: u64) -> Self;
}

/// 0, -1, 1, -2 and so on.
const fn signed(difference: i64) -> u64 {
    (difference << 1 ^ difference >> 63).cast_unsigned()
}

const fn unsigned(coded: u64) -> i64 {
    (coded >> 1).cast_signed() ^ -(coded & 1).cast_signed()
}

impl Number for u64 {
    const LENGTH: u32 = 3;
    fn minus(self, expected: u64) -> u64 {
        signed(self.wrapping_sub(expected).cast_signed())
    }
    fn plus(expected: u64, difference: u64) -> u64 {
        expected.wrapping_add_signed(unsigned(difference))
    }
}

impl Number for u32 {
    const LENGTH: u32 = 2;
    fn minus(self, expected: u32) -> u64 {
        // 32 bits of it.
        signed(self.wrapping_sub(expected).cast_signed().into())
    }
    fn plus(expected: u32, difference: u64) -> u32 {
        expected.wrapping_add(unsigned(difference) as u32)
    }
}

macro_rules! through {
    ($number:ty as $other:ty: $to:expr, $from:expr) => {
        impl Number for $number {
            const LENGTH: u32 = <$other>::LENGTH;
            fn minus(self, expected: $number) -> u64 {
                $to(self).minus($to(expected))
            }
            fn plus(expected: $number, difference: u64) -> $number {
                $from(<$other>::plus($to(expected), difference))
            }
        }
    };
}

through!(u16 as u32: u32::from, |n| n as u16);
through!(u8 as u32: u32::from, |n| n as u8);
through!(usize as u64: |n| n as u64, |n| n as usize);
through!(Seq as u32: |seq: Seq| seq.0, Seq);
through!(Instant as u64: |at: Instant| at.0, Instant);

impl Number for Duration {
    const LENGTH: u32 = u64::LENGTH;
    fn fits(self) -> bool {
        self.as_nanos() <= u64::MAX.into()
    }
    fn minus(self, expected: Duration) -> u64 {
        nanos(self).minus(nanos(expected))
    }
    fn plus(expected: Duration, difference: u64) -> Duration {
        Duration::from_nanos(u64::plus(nanos(expected), difference))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes a record, or reads one.
pub(crate) trait Coder {
    /// What is coded is read, into fields that have any value yet.
    const READS: bool;

    /// The lowest `count` of `bits`, at most 32; 0 is what is expected.
    fn bits(&mut self, bits: u32, count: u32) -> u32;

    /// A difference of 1 to 2^`length` bytes; 0 is what is expected.
    fn difference(&mut self, difference: u64, length: u32) -> u64;

    /// Fields that are likely to be as expected, all of them: they take a bit then.
    fn group(&mut self, fields: impl FnOnce(&mut Self));

    /// The record cannot be coded.
    fn refuse(&mut self);

    fn number<T: Number>(&mut self, value: &mut T, expected: T) {
        if !Self::READS && !value.fits() || !expected.fits() {
            return self.refuse();
        }
        let difference = if Self::READS {
            0
        } else {
            value.minus(expected)
        };
        *value = T::plus(expected, self.difference(difference, T::LENGTH));
    }

    fn flag(&mut self, flag: &mut bool, expected: bool) {
        *flag = (self.bits((*flag != expected).into(), 1) == 1) != expected;
    }

    /// Nothing is expected; a value is near `near`.
    fn option<T: Number>(&mut self, value: &mut Option<T>, near: T) {
        if self.bits(value.is_some().into(), 1) == 0 {
            *value = None;
        } else {
            self.number(value.get_or_insert(near), near);
        }
    }

    /// One of a few, at most 16, the first of which is expected.
    fn choice<T: PartialEq + Copy>(&mut self, value: &mut T, of: &[T]) {
        let at = if Self::READS {
            Some(0)
        } else {
            of.iter().position(|one| one == value)
        };
        let Some(at) = at else {
            return self.refuse();
        };
        let count = usize::BITS - (of.len() - 1).leading_zeros();
        match of.get(self.bits(at as u32, count) as usize) {
            Some(one) => *value = *one,
            None => self.refuse(),
        }
    }

    /// Always the same, or the record is not coded.
    fn only<T: PartialEq>(&mut self, value: &mut T, expected: T) {
        if Self::READS {
            *value = expected;
        } else if *value != expected {
            self.refuse();
        }
    }
}

/// Writes a record. What it is given stays as it is.
pub(crate) struct Writer {
    words: [u64; WORDS],
    /// Bits in use.
    bits: u32,
    /// The bytes, in the order in which they came.
    bytes: [u8; MOST],
    len: usize,
    /// How many fields differed from what was expected.
    news: u32,
    refused: bool,
}

impl Writer {
    pub(crate) fn new() -> Writer {
        Writer {
            words: [0; WORDS],
            bits: 0,
            bytes: [0; MOST],
            len: 0,
            news: 0,
            refused: false,
        }
    }

    /// How many bytes there are; `None`: the record cannot be coded.
    pub(crate) fn len(&self) -> Option<usize> {
        let len = self.len + self.bits.div_ceil(8) as usize;
        (!self.refused && len <= MOST).then_some(len)
    }

    /// Writes the record into a place of at least [`len`](Writer::len) bytes.
    pub(crate) fn put(&self, into: &mut [u8]) {
        let bits = self.words.iter().flat_map(|word| word.to_le_bytes());
        let count = self.bits.div_ceil(8) as usize;
        into.iter_mut()
            .zip(bits.take(count))
            .for_each(|(to, from)| *to = from);
        into.iter_mut()
            .rev()
            .zip(&self.bytes[..self.len])
            .for_each(|(to, from)| *to = *from);
    }
}

impl Coder for Writer {
    const READS: bool = false;

    fn bits(&mut self, bits: u32, count: u32) -> u32 {
        self.news += u32::from(bits != 0);
        let at = (self.bits / 64) as usize;
        let shift = self.bits % 64;
        self.bits += count;
        let wide = u128::from(bits) << shift;
        match self.words.get_mut(at) {
            Some(word) => *word |= wide as u64,
            None => self.refused = true,
        }
        let beyond = (wide >> 64) as u64;
        match self.words.get_mut(at + 1) {
            Some(word) => *word |= beyond,
            None => self.refused |= beyond != 0,
        }
        bits
    }

    fn difference(&mut self, difference: u64, length: u32) -> u64 {
        if difference == 0 {
            self.bits(0, 1);
            return 0;
        }
        let count = (u64::BITS - difference.leading_zeros()).div_ceil(8);
        self.bits(1 | (count - 1) << 1, 1 + length);
        match self.bytes.get_mut(self.len..self.len + count as usize) {
            Some(place) => {
                place.copy_from_slice(&difference.to_le_bytes()[..count as usize]);
                self.len += count as usize;
            }
            None => self.refused = true,
        }
        difference
    }

    fn group(&mut self, fields: impl FnOnce(&mut Writer)) {
        let before = (self.words, self.bits, self.news);
        self.bits(1, 1);
        let news = self.news;
        fields(self);
        if self.news == news {
            (self.words, self.bits, self.news) = before;
            self.bits(0, 1);
        }
    }

    fn refuse(&mut self) {
        self.refused = true;
    }
}

/// Reads a record.
pub(crate) struct Reader<'a> {
    record: &'a [u8],
    bits: usize,
    /// Bytes taken from the end.
    taken: usize,
    /// Within so many groups that are as expected.
    expected: u32,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(record: &'a [u8]) -> Reader<'a> {
        Reader {
            record,
            bits: 0,
            taken: 0,
            expected: 0,
        }
    }
}

impl Coder for Reader<'_> {
    const READS: bool = true;

    fn bits(&mut self, _: u32, count: u32) -> u32 {
        if self.expected > 0 {
            return 0;
        }
        let from = self.bits / 8;
        let mut word = [0; 8];
        let rest = self.record.get(from..).unwrap_or_default();
        let len = rest.len().min(8);
        word[..len].copy_from_slice(&rest[..len]);
        let word = u64::from_le_bytes(word) >> (self.bits % 8);
        self.bits += count as usize;
        word as u32 & ((1u64 << count) - 1) as u32
    }

    fn difference(&mut self, _: u64, length: u32) -> u64 {
        if self.bits(0, 1) == 0 {
            return 0;
        }
        let count = self.bits(0, length) as usize + 1;
        let rest = self.record.iter().rev().skip(self.taken).take(count);
        self.taken += count;
        rest.rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    fn group(&mut self, fields: impl FnOnce(&mut Self)) {
        let as_expected = u32::from(self.bits(0, 1) == 0);
        self.expected += as_expected;
        fields(self);
        self.expected -= as_expected;
    }

    /// What was written was not refused.
    fn refuse(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const EDGES: [u64; 8] = [0, 1, 127, 255, 1 << 31, 1 << 32, u64::MAX - 1, u64::MAX];

    fn code(coder: &mut impl Coder, (wide, narrow): &mut (u64, Option<Seq>), expected: u64) {
        coder.group(|coder| {
            coder.number(wide, expected);
            coder.option(narrow, Seq(expected as u32));
        });
    }

    #[test]
    fn coder_reads_what_was_written_whatever_was_expected() {
        for expected in EDGES {
            for value in EDGES {
                for narrow in [None, Some(Seq(value as u32)), Some(Seq(!value as u32))] {
                    let mut fields = (value, narrow);
                    let mut writer = Writer::new();
                    code(&mut writer, &mut fields, expected);
                    assert_eq!(fields, (value, narrow), "writing changes nothing");
                    let mut record = vec![0; writer.len().unwrap()];
                    writer.put(&mut record);
                    let mut read = (0, None);
                    code(&mut Reader::new(&record), &mut read, expected);
                    assert_eq!(read, fields);
                }
            }
        }
    }

    #[test]
    fn coder_refuses_what_has_no_room_or_is_not_what_it_must_be() {
        let mut writer = Writer::new();
        writer.only(&mut 1, 2);
        assert_eq!(writer.len(), None);
        let mut writer = Writer::new();
        (0..100u64).for_each(|n| writer.number(&mut (u64::MAX / 3 + n), 0));
        assert_eq!(writer.len(), None);
    }
}
