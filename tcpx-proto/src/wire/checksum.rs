//! The Internet checksum (RFC 1071).

/// Adds up 16-bit words in the machine's byte order, the last byte padded with a zero: any number
/// that the sum of these words leaves the same remainder as when divided by 65,535, and 0 only if
/// all bytes are 0 (RFC 1071 section 2 (B)). For at most 65,535 bytes.
pub type Sum = fn(&[u8]) -> u64;

/// The [`Sum`] of a stack that was given none: fast on any machine, faster ones use what a CPU
/// offers.
pub fn portable_sum(bytes: &[u8]) -> u64 {
    // Words of 64 bits with the carry added at the end, in four lanes that do not wait for each
    // other.
    let mut lanes = [0u64; 4];
    let blocks = bytes.chunks_exact(32);
    let rest = blocks.remainder();
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            *lane = add(*lane, long_of(word));
        }
    }
    let words = rest.chunks_exact(8);
    let tail = words.remainder().chunks(4).map(word_of).fold(0, add);
    let long = lanes.into_iter().chain(words.map(long_of)).fold(0, add);
    add(long, tail)
}

/// One's complement addition.
fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u64::from(carry)
}

fn long_of(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// Adds `bytes`, as 16-bit words in network order, to `start`. The sum of a maximal packet fits
/// with room to spare.
pub(super) fn sum(start: u64, bytes: &[u8]) -> u64 {
    sum_by(portable_sum, start, bytes)
}

/// The same by another function.
pub(super) fn sum_by(sum: Sum, start: u64, bytes: &[u8]) -> u64 {
    // The sum is the same except for its byte order (RFC 1071 section 2 (B)).
    start + u64::from(u16::from_be_bytes(fold(sum(bytes)).to_ne_bytes()))
}

/// Up to four bytes as a word in the machine's byte order, padded with zeros.
fn word_of(bytes: &[u8]) -> u64 {
    match *bytes {
        [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])),
        [a, b, c] => u64::from(u32::from_ne_bytes([a, b, c, 0])),
        [a, b] => u64::from(u32::from_ne_bytes([a, b, 0, 0])),
        [a] => u64::from(u32::from_ne_bytes([a, 0, 0, 0])),
        _ => 0,
    }
}

/// Folds a sum into 16 bits, carries included.
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sum_is_that_of_the_words_in_network_order(bytes: Vec<u8>, start in 0u64..1 << 20) {
            let word = |pair: &[u8]| {
                let low = pair.get(1).copied().unwrap_or(0);
                u64::from(u16::from_be_bytes([pair[0], low]))
            };
            let words = bytes.chunks(2).map(word);
            let naive: u64 = words.sum::<u64>() + start;
            prop_assert_eq!(fold(sum(start, &bytes)) % 0xffff, fold(naive) % 0xffff);
        }
    }
}
