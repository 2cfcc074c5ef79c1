//! Internet checksums (RFC 1071) by what this CPU offers.

use tcpx_proto::wire::{Sum, portable_sum};

/// The fastest way to add up a checksum here, chosen once at the start.
pub fn fastest() -> Sum {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return avx2::sum;
    }
    portable_sum
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::portable_sum;

    /// Only for a CPU with AVX2.
    pub(super) fn sum(bytes: &[u8]) -> u64 {
        // SAFETY: `fastest` gives this function away only where the CPU has AVX2.
        unsafe { lanes(bytes) }
    }

    /// Words of 32 bits in lanes of 64, which cannot overflow; the compiler keeps four lanes in one
    /// register.
    #[target_feature(enable = "avx2")]
    fn lanes(bytes: &[u8]) -> u64 {
        let mut lanes = [0u64; 16];
        let (blocks, rest) = bytes.as_chunks::<64>();
        for block in blocks {
            let (words, _) = block.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        let all: u64 = lanes.iter().sum();
        // Each is below 2^48: 65,535 bytes are 16,384 words.
        let tail = portable_sum(rest);
        all + (tail >> 32) + (tail & 0xffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length up to two blocks and odd places in larger ones, of bytes that are all different
    /// from their neighbours, and of zeros alone.
    #[test]
    fn fastest_sum_is_the_portable_one() {
        let bytes: Vec<u8> = (0..9001u32).map(|at| (at * 151 % 251) as u8).collect();
        let lengths = (0..200).chain((200..9000).step_by(37));
        for len in lengths {
            for from in [0, 1] {
                let part = &bytes[from..from + len];
                let (fast, slow) = (fastest()(part), portable_sum(part));
                assert_eq!(fast % 0xffff, slow % 0xffff, "{len} from {from}");
                assert_eq!(fast == 0, slow == 0, "{len} from {from}");
            }
            assert_eq!(fastest()(&vec![0; len]), 0);
        }
    }

    /// The largest packet, full of the largest words, and one byte that stands alone.
    #[test]
    fn largest_sums_do_not_overflow() {
        for len in [65_535, 65_534, 65_472, 1] {
            let bytes = vec![0xff; len];
            assert_eq!(
                fastest()(&bytes) % 0xffff,
                portable_sum(&bytes) % 0xffff,
                "{len}"
            );
        }
    }
}
