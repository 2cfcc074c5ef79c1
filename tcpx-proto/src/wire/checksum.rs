//! The Internet checksum (RFC 1071).

/// Adds `bytes`, as 16-bit words in network order, to `start`. The sum of a maximal packet fits
/// with room to spare.
pub(super) fn sum(start: u64, bytes: &[u8]) -> u64 {
    // In the machine's byte order, by words of 32 bits in lanes that a compiler can keep in one
    // register: the sum is the same except for its byte order (RFC 1071 section 2 (B)).
    let mut lanes = [0u64; 8];
    let blocks = bytes.chunks_exact(32);
    let rest = blocks.remainder();
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(4)) {
            *lane += word_of(word);
        }
    }
    let native = lanes.iter().sum::<u64>() + rest.chunks(4).map(word_of).sum::<u64>();
    start + u64::from(u16::from_be_bytes(fold(native).to_ne_bytes()))
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
