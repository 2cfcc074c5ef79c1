//! What a link does to a packet: it delays it, and may lose, duplicate, corrupt or reorder it, as
//! drawn from a seed.

use super::HostId;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// One direction between two hosts. The rates are of a thousand packets; each packet draws for each
/// of them.
///
/// A damaged packet has one bit flipped, anywhere. With
/// [`ChecksumPolicy::Partial`](crate::wire::ChecksumPolicy::Partial) one in 65536 of them is
/// believed, as on a machine whose network card is trusted: hosts at the ends of such a link want
/// `Strict`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Link {
    /// How long a packet takes. Without any delay, two hosts that answer each other forever never
    /// let the clock advance.
    pub delay: Duration,
    /// Loss, per thousand; 1000: the cable is cut.
    pub loss: u32,
    /// Duplication, per thousand.
    pub duplicate: u32,
    /// Corruption, per thousand.
    pub corrupt: u32,
    /// Reordering, per thousand: a packet is late, and others overtake it.
    pub reorder: u32,
    /// The most by which a reordered packet is late.
    pub late: Duration,
}

impl Link {
    /// A link with this delay and no faults.
    pub const fn new(delay: Duration) -> Link {
        Link {
            delay,
            loss: 0,
            duplicate: 0,
            corrupt: 0,
            reorder: 0,
            late: Duration::ZERO,
        }
    }
}

impl Default for Link {
    /// 1 ms.
    fn default() -> Link {
        Link::new(Duration::from_millis(1))
    }
}

/// A packet between two hosts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Passage<H = HostId> {
    /// The host that it goes to.
    pub to: H,
    /// What its owner gets back with it; in a [`Sim`](super::Sim) the observation with
    /// which it departed.
    pub departed: usize,
    /// The IP packet.
    pub packet: Vec<u8>,
}

/// All links, and the packets that are on them, for an owner who has hosts and a clock: a
/// [`Sim`](super::Sim), or another. `H` names a host.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Net<H: Ord = HostId> {
    links: BTreeMap<(H, H), Link>,
    draws: Draws,
    /// By arrival, and among equals in the order of departure.
    passages: BTreeMap<(Instant, u64), Passage<H>>,
    departures: u64,
}

impl<H: Copy + Ord> Net<H> {
    /// Links that are all [`Link::default`]. What goes wrong on them is drawn from `seed`.
    pub fn new(seed: u64) -> Net<H> {
        Net {
            links: BTreeMap::new(),
            draws: Draws(seed),
            passages: BTreeMap::new(),
            departures: 0,
        }
    }

    /// Sets the link from one host to another for packets that depart from now on.
    pub fn set(&mut self, from: H, to: H, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Sends a packet; `false`: it is lost.
    pub fn depart(&mut self, now: Instant, from: H, passage: Passage<H>) -> bool {
        let link = self
            .links
            .get(&(from, passage.to))
            .copied()
            .unwrap_or_default();
        if self.draws.happens(link.loss) {
            return false;
        }
        if self.draws.happens(link.duplicate) {
            self.put(now, &link, passage.clone());
        }
        self.put(now, &link, passage);
        true
    }

    fn put(&mut self, now: Instant, link: &Link, mut passage: Passage<H>) {
        if self.draws.happens(link.corrupt) {
            self.draws.damage(&mut passage.packet);
        }
        let late = if self.draws.happens(link.reorder) {
            self.draws.up_to(link.late)
        } else {
            Duration::ZERO
        };
        self.departures += 1;
        self.passages
            .insert((now + link.delay + late, self.departures), passage);
    }

    /// When the next packet arrives; `None`: nothing is on its way.
    pub fn deadline(&self) -> Option<Instant> {
        self.passages.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next packet that has arrived.
    pub fn arrive(&mut self, now: Instant) -> Option<Passage<H>> {
        self.passages
            .first_entry()
            .filter(|first| first.key().0 <= now)
            .map(|first| first.remove())
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): statistically good, no secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Draws(u64);

impl Draws {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn happens(&mut self, of_a_thousand: u32) -> bool {
        self.draw() % 1000 < u64::from(of_a_thousand)
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.draw() % most.saturating_add(1).max(1))
    }

    fn damage(&mut self, packet: &mut [u8]) {
        let bit = self.draw() % (packet.len() as u64 * 8).max(1);
        if let Some(byte) = packet.get_mut((bit / 8) as usize) {
            *byte ^= 1 << (bit % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const FROM: HostId = HostId(0);
    const TO: HostId = HostId(1);
    const MS: Duration = Duration::from_millis(1);

    /// What arrives, and when, of packets that depart 1 ms apart, each filled with its number.
    fn carry(link: Link, packets: u8) -> Vec<(Instant, Vec<u8>)> {
        let mut net = Net::new(1);
        net.set(FROM, TO, link);
        for n in 0..packets {
            net.depart(
                Instant::ZERO + MS * u32::from(n),
                FROM,
                Passage {
                    to: TO,
                    departed: 0,
                    packet: vec![n; 40],
                },
            );
        }
        let mut arrived = Vec::new();
        while let Some(at) = net.deadline() {
            assert!(
                net.arrive(at - Duration::from_nanos(1)).is_none(),
                "not before its time"
            );
            arrived.extend(net.arrive(at).map(|passage| (at, passage.packet)));
        }
        arrived
    }

    #[test]
    fn link_that_is_good_delays_and_keeps_the_order() {
        let arrived = carry(Link::new(MS * 10), 100);
        let expected: Vec<_> = (0..100u8)
            .map(|n| (Instant::ZERO + MS * (10 + u32::from(n)), vec![n; 40]))
            .collect();
        assert_eq!(arrived, expected);
    }

    #[test]
    fn link_with_rates_of_a_thousand_always_does_it() {
        let good = Link::new(MS);
        assert_eq!(carry(Link { loss: 1000, ..good }, 9), []);
        assert_eq!(
            carry(
                Link {
                    duplicate: 1000,
                    ..good
                },
                9
            )
            .len(),
            18
        );
        for (n, (_, packet)) in carry(
            Link {
                corrupt: 1000,
                ..good
            },
            9,
        )
        .into_iter()
        .enumerate()
        {
            let flipped: u32 = packet
                .iter()
                .map(|byte| (byte ^ n as u8).count_ones())
                .sum();
            assert_eq!(flipped, 1);
        }
    }

    #[test]
    fn link_that_reorders_lets_later_packets_overtake_within_the_bound() {
        let arrived = carry(
            Link {
                reorder: 500,
                late: MS * 5,
                ..Link::new(MS)
            },
            100,
        );
        assert_eq!(arrived.len(), 100);
        assert!(!arrived.is_sorted_by_key(|(_, packet)| packet[0]));
        for (at, packet) in arrived {
            let sent = Instant::ZERO + MS * u32::from(packet[0]);
            assert!((MS..=MS * 6).contains(&at.since(sent)));
        }
    }

    #[test]
    fn link_that_loses_a_fifth_loses_about_a_fifth() {
        let mut draws = Draws(3);
        let lost = (0..10_000).filter(|_| draws.happens(200)).count();
        assert!((1800..2200).contains(&lost), "{lost}");
    }
}
