//! Four-tuples and the slots of their connections, so that a look-up reads nothing else.

use super::secret::{Purpose, Secret};
use crate::id::FourTuple;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use hashbrown::HashTable;

/// A four-tuple of one address family and the slot of its connection.
#[derive(Clone, Copy)]
struct Link<A> {
    addresses: (A, A),
    ports: (u16, u16),
    slot: u32,
}

impl<A: Copy + Eq + Into<IpAddr>> Link<A> {
    fn is_of(&self, addresses: (A, A), tuple: FourTuple) -> bool {
        self.ports == (tuple.local.port(), tuple.remote.port()) && self.addresses == addresses
    }

    fn tuple(&self) -> FourTuple {
        FourTuple {
            local: SocketAddr::new(self.addresses.0.into(), self.ports.0),
            remote: SocketAddr::new(self.addresses.1.into(), self.ports.1),
        }
    }
}

/// The hash of a four-tuple, as much of it as the index uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TupleHash(u32);

impl TupleHash {
    /// The table takes the place from the lower bits and a tag from the upper ones.
    fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

/// The addresses of a tuple, by their family.
enum Addresses {
    V4((Ipv4Addr, Ipv4Addr)),
    V6((Ipv6Addr, Ipv6Addr)),
    /// No connection has such a tuple.
    Mixed,
}

impl Addresses {
    fn of(tuple: FourTuple) -> Addresses {
        match (tuple.local.ip(), tuple.remote.ip()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Addresses::V4((local, remote)),
            (IpAddr::V6(local), IpAddr::V6(remote)) => Addresses::V6((local, remote)),
            _ => Addresses::Mixed,
        }
    }
}

/// Those connections that can get segments, by four-tuple; for each family a table whose links are
/// as small as its addresses allow.
#[derive(Clone)]
pub(super) struct Index {
    v4: HashTable<Link<Ipv4Addr>>,
    v6: HashTable<Link<Ipv6Addr>>,
    key: Secret,
}

impl Index {
    pub(super) fn new(seed: u64) -> Index {
        Index {
            v4: HashTable::new(),
            v6: HashTable::new(),
            key: Secret::new(seed, Purpose::Index),
        }
    }

    /// Bytes of memory taken.
    pub(super) fn memory(&self) -> usize {
        self.v4.allocation_size() + self.v6.allocation_size()
    }

    pub(super) fn hash(&self, tuple: FourTuple) -> TupleHash {
        hash(&self.key, tuple)
    }

    pub(super) fn find(&self, tuple: FourTuple) -> Option<u32> {
        let hash = || self.hash(tuple).spread();
        match Addresses::of(tuple) {
            Addresses::V4(of) => slot(self.v4.find(hash(), |link| link.is_of(of, tuple))),
            Addresses::V6(of) => slot(self.v6.find(hash(), |link| link.is_of(of, tuple))),
            Addresses::Mixed => None,
        }
    }

    /// The four-tuple of the connection in this slot.
    pub(super) fn tuple(&self, hash: TupleHash, slot: u32) -> Option<FourTuple> {
        let hash = hash.spread();
        let v4 = self.v4.find(hash, |link| link.slot == slot);
        let v6 = || self.v6.find(hash, |link| link.slot == slot);
        v4.map(Link::tuple).or_else(|| v6().map(Link::tuple))
    }

    /// Adds a connection. The caller knows that its four-tuple is free.
    pub(super) fn insert(&mut self, tuple: FourTuple, slot: u32) {
        let key = &self.key;
        let at = hash(key, tuple).spread();
        match Addresses::of(tuple) {
            Addresses::V4(addresses) => insert(&mut self.v4, key, at, addresses, tuple, slot),
            Addresses::V6(addresses) => insert(&mut self.v6, key, at, addresses, tuple, slot),
            Addresses::Mixed => {}
        }
    }

    pub(super) fn remove(&mut self, tuple: FourTuple, slot: u32) {
        let hash = self.hash(tuple).spread();
        match Addresses::of(tuple) {
            Addresses::V4(_) => remove(&mut self.v4, hash, slot),
            Addresses::V6(_) => remove(&mut self.v6, hash, slot),
            Addresses::Mixed => {}
        }
    }
}

fn hash(key: &Secret, tuple: FourTuple) -> TupleHash {
    TupleHash(key.index(tuple) as u32)
}

fn slot<A>(link: Option<&Link<A>>) -> Option<u32> {
    link.map(|link| link.slot)
}

fn insert<A: Copy + Eq + Into<IpAddr>>(
    table: &mut HashTable<Link<A>>,
    key: &Secret,
    at: u64,
    addresses: (A, A),
    tuple: FourTuple,
    slot: u32,
) {
    let link = Link {
        addresses,
        ports: (tuple.local.port(), tuple.remote.port()),
        slot,
    };
    table.insert_unique(at, link, |link| hash(key, link.tuple()).spread());
}

fn remove<A>(table: &mut HashTable<Link<A>>, hash: u64, slot: u32) {
    if let Ok(found) = table.find_entry(hash, |link| link.slot == slot) {
        found.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(ip: IpAddr, port: u16) -> FourTuple {
        FourTuple {
            local: (ip, 80).into(),
            remote: (ip, port).into(),
        }
    }

    #[test]
    fn index_of_both_families_finds_each_by_tuple_and_by_slot_until_it_is_removed() {
        let mut index = Index::new(7);
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        let tuples = || (0..2000).flat_map(|port| [tuple(v4, port), tuple(mapped, port)]);
        for (tuple, slot) in tuples().zip(0..) {
            assert_eq!(index.find(tuple), None);
            index.insert(tuple, slot);
        }
        for (tuple, slot) in tuples().zip(0..) {
            assert_eq!(index.find(tuple), Some(slot));
            assert_eq!(index.tuple(index.hash(tuple), slot), Some(tuple));
            index.remove(tuple, slot);
            assert_eq!(index.find(tuple), None);
            assert_eq!(index.tuple(index.hash(tuple), slot), None);
        }
    }

    #[test]
    fn index_of_v4_takes_no_more_than_sixteen_bytes_a_link() {
        assert_eq!(size_of::<Link<Ipv4Addr>>(), 16);
        assert_eq!(size_of::<Link<Ipv6Addr>>(), 40);
    }
}
