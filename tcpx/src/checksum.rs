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
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi16,
        _mm256_setzero_si256, _mm256_storeu_si256, _mm256_xor_si256,
    };

    /// Only for a CPU with AVX2.
    pub(super) fn sum(bytes: &[u8]) -> u64 {
        // SAFETY: `fastest` gives this function away only where the CPU has AVX2.
        unsafe { lanes(bytes) }
    }

    /// Sixteen words at once: less 32,768 each is a signed number, of which one instruction adds up
    /// pairs. The sum of 65,535 bytes' pairs fits into 32 bits.
    #[target_feature(enable = "avx2")]
    fn lanes(bytes: &[u8]) -> u64 {
        let middle = _mm256_set1_epi16(i16::MIN);
        let ones = _mm256_set1_epi16(1);
        let mut sums = [_mm256_setzero_si256(); 2];
        let (blocks, rest) = bytes.as_chunks::<64>();
        for block in blocks {
            let (halves, _) = block.as_chunks::<32>();
            for (sum, half) in sums.iter_mut().zip(halves) {
                // SAFETY: it reads the 32 bytes of `half`.
                let words = unsafe { _mm256_loadu_si256(half.as_ptr().cast::<__m256i>()) };
                let pairs = _mm256_madd_epi16(_mm256_xor_si256(words, middle), ones);
                *sum = _mm256_add_epi32(*sum, pairs);
            }
        }
        let mut lanes = [0i32; 8];
        let all = _mm256_add_epi32(sums[0], sums[1]);
        // SAFETY: it writes the 32 bytes of `lanes`.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>(), all) };
        let signed: i64 = lanes.iter().map(|lane| i64::from(*lane)).sum();
        let less = 32_768 * 32 * blocks.len() as i64;
        // Not negative: it is the sum of the words.
        let sum = (signed + less).unsigned_abs();
        let tail = portable_sum(rest);
        sum + (tail >> 32) + (tail & 0xffff_ffff)
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
