//! Which addresses and ports are ours to answer for, and which of them a new connection takes.

use super::secret::{Purpose, Secret};
use crate::id::FourTuple;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;

/// Where the search for a free port begins: at a place that the peer alone sees, one further each
/// time (RFC 6056 section 3.3.3). So the port that was left longest ago is taken first, and the
/// last free one costs no more than the first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct PortOrder {
    secret: Secret,
    taken: u32,
}

impl PortOrder {
    pub(super) fn new(seed: u64) -> PortOrder {
        PortOrder {
            secret: Secret::new(seed, Purpose::Ports),
            taken: 0,
        }
    }

    /// The first of `count` candidates for a connection whose local port is 0.
    pub(super) fn start(&self, tuple: FourTuple, count: u32) -> u32 {
        let offset = self.secret.tuple(tuple, 0) as u32;
        offset.wrapping_add(self.taken) % count.max(1)
    }

    /// The next search begins behind the candidate that was taken, after `passed` others.
    pub(super) fn took(&mut self, passed: usize) {
        self.taken = self.taken.wrapping_add(passed as u32).wrapping_add(1);
    }
}

/// The reserved ports: few ranges, in the order in which they were reserved. Port 0 is never one of
/// them.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Ports {
    ranges: Vec<(IpAddr, RangeInclusive<u16>)>,
}

impl Ports {
    pub(super) fn reserve(&mut self, address: IpAddr, ports: RangeInclusive<u16>) {
        self.ranges.push((address, ports));
    }

    pub(super) fn unreserve(&mut self, address: IpAddr, ports: RangeInclusive<u16>) {
        if let Some(at) = self
            .ranges
            .iter()
            .position(|range| *range == (address, ports.clone()))
        {
            self.ranges.remove(at);
        }
    }

    pub(super) fn contain(&self, local: SocketAddr) -> bool {
        local.port() != 0
            && self
                .ranges
                .iter()
                .any(|(address, ports)| *address == local.ip() && ports.contains(&local.port()))
    }

    /// How many ports `address` has (those reserved twice count twice).
    pub(super) fn count(&self, address: IpAddr) -> u32 {
        self.of(address).map(|ports| ports.len() as u32).sum()
    }

    /// Every port of `address`, once around from the `start`-th.
    pub(super) fn from(&self, address: IpAddr, start: u32) -> impl Iterator<Item = u16> {
        let mut skip = start;
        let mut take = start;
        let ahead = self.of(address).filter_map(move |ports| {
            let cut = skip.min(ports.len() as u32);
            skip -= cut;
            (cut < ports.len() as u32).then(|| ports.start() + cut as u16..=*ports.end())
        });
        let around = self.of(address).map_while(move |ports| {
            let cut = take.min(ports.len() as u32);
            take -= cut;
            (cut > 0).then(|| *ports.start()..=ports.start() + (cut - 1) as u16)
        });
        ahead.chain(around).flatten().filter(|port| *port != 0)
    }

    fn of(&self, address: IpAddr) -> impl Iterator<Item = RangeInclusive<u16>> {
        self.ranges
            .iter()
            .filter(move |range| range.0 == address)
            .map(|range| range.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const US: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn ports_go_once_around_all_ranges_of_the_address() {
        let mut ports = Ports::default();
        ports.reserve(US, 10..=12);
        ports.reserve(Ipv4Addr::new(127, 0, 0, 2).into(), 50..=60);
        ports.reserve(US, 20..=21);
        assert_eq!(ports.count(US), 5);
        assert_eq!(ports.from(US, 1).collect::<Vec<_>>(), [11, 12, 20, 21, 10]);
    }

    #[test]
    fn ports_unreserved_are_not_ours_unless_reserved_twice() {
        let mut ports = Ports::default();
        ports.reserve(US, 10..=12);
        ports.reserve(US, 12..=14);
        ports.unreserve(US, 10..=12);
        assert!(!ports.contain((US, 11).into()) && ports.contain((US, 12).into()));
    }

    #[test]
    fn port_zero_is_never_ours() {
        let mut ports = Ports::default();
        ports.reserve(US, 0..=1);
        assert!(!ports.contain((US, 0).into()));
        assert_eq!(ports.from(US, 0).collect::<Vec<_>>(), [1]);
    }
}
