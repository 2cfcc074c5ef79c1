//! The Internet checksum (RFC 1071).

/// Adds `octets`, as 16-bit words in network order, to `start`. The sum of a maximal packet fits with room to spare.
pub(super) fn sum(start: u64, octets: &[u8]) -> u64 {
    let chunks = octets.chunks_exact(4);
    let rest = chunks.remainder();
    // Words of 32 bits, added in the machine's order: the sum is the same up to the order of its octets (RFC 1071 section 2 (B)).
    let native: u64 = chunks.map(|chunk| u64::from(u32::from_ne_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]))).sum();
    let mut last = [0; 4];
    for (place, octet) in last.iter_mut().zip(rest) {
        *place = *octet;
    }
    let native = native + u64::from(u32::from_ne_bytes(last));
    start + u64::from(u16::from_be_bytes(fold(native).to_ne_bytes()))
}

/// Folds a sum into 16 bits, carries added back in.
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
        fn sum_is_that_of_the_words_in_network_order(octets: Vec<u8>, start in 0u64..1 << 20) {
            let words = octets.chunks(2).map(|pair| u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
            let naive: u64 = words.sum::<u64>() + start;
            prop_assert_eq!(fold(sum(start, &octets)) % 0xffff, fold(naive) % 0xffff);
        }
    }
}
