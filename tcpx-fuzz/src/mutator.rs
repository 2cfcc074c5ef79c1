//! Changes of seeds, drawn from a number: what libFuzzer does, without its search for coverage.

/// A sequence of numbers that follows from its seed (SplitMix64).
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next one.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let drawn = self.draw() % (bound.max(1) as u64);
        drawn as usize
    }
}

/// The longest input that mutations make, bytes.
const LONGEST: usize = 8192;
/// Values at which numbers change their meaning.
const EDGES: [u8; 10] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, b'\n', b' ', b'0'];

/// One of the seeds with one to eight changes. `into` is overwritten.
pub fn mutate(random: &mut Random, seeds: &[&[u8]], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(any(random, seeds));
    for _ in 0..=random.below(8) {
        change(random, seeds, into);
    }
    into.truncate(LONGEST);
}

fn any<'a>(random: &mut Random, seeds: &[&'a [u8]]) -> &'a [u8] {
    seeds.get(random.below(seeds.len())).unwrap_or(&&[][..])
}

fn change(random: &mut Random, seeds: &[&[u8]], bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    match random.below(8) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.draw() as u8;
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = EDGES[random.below(EDGES.len())];
            }
        }
        3 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = byte.wrapping_add(random.below(17) as u8).wrapping_sub(8);
            }
        }
        4 => bytes.insert(at, random.draw() as u8),
        5 => {
            let len = random.below(16).min(bytes.len() - at);
            bytes.drain(at..at + len);
        }
        6 => {
            // A piece of its own, once more.
            let from = random.below(bytes.len());
            let len = random.below(32).min(bytes.len() - from);
            let piece = bytes[from..from + len].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            // A piece of another seed.
            let other = any(random, seeds);
            let from = random.below(other.len());
            let len = random.below(64).min(other.len() - from);
            let until = at + random.below(len + 1).min(bytes.len() - at);
            bytes.splice(at..until, other[from..from + len].iter().copied());
        }
    }
}
