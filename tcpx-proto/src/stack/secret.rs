//! What no outsider can compute: keys from the seed, keyed hashes of four-tuples, and draws.

use crate::id::FourTuple;
use core::hash::Hasher;
use core::net::IpAddr;
use siphasher::sip::{SipHasher13, SipHasher24};

/// What a key is for: keys for different purposes reveal nothing about each other.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Index,
    Isn,
    Stamps,
    Cookies,
    Draws,
    FastOpen,
    Ports,
}

/// A key of SipHash.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Secret(u64, u64);

impl Secret {
    /// The key for one purpose of the stack with this seed.
    pub(super) fn new(seed: u64, purpose: Purpose) -> Secret {
        let half = |n: u8| SipHasher24::new_with_keys(seed, purpose as u64).hash(&[n]);
        Secret(half(0), half(1))
    }

    /// The four-tuple and `more`, by SipHash-2-4: for what a peer sees.
    pub(super) fn tuple(&self, tuple: FourTuple, more: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        feed(&mut hasher, tuple);
        hasher.write(&more.to_le_bytes());
        hasher.finish()
    }

    /// An address and `more`, by SipHash-2-4: for what a peer sees.
    pub(super) fn address(&self, address: IpAddr, more: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        hasher.write(&bits(address).to_le_bytes());
        hasher.write(&more.to_le_bytes());
        hasher.finish()
    }

    /// The four-tuple by SipHash-1-3: for a table that no peer sees.
    pub(super) fn index(&self, tuple: FourTuple) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        feed(&mut hasher, tuple);
        hasher.finish()
    }
}

fn feed(hasher: &mut impl Hasher, tuple: FourTuple) {
    match (tuple.local.ip(), tuple.remote.ip()) {
        (IpAddr::V4(l), IpAddr::V4(r)) => {
            hasher.write(&(u64::from(l.to_bits()) << 32 | u64::from(r.to_bits())).to_le_bytes())
        }
        (l, r) => [l, r]
            .into_iter()
            .for_each(|ip| hasher.write(&bits(ip).to_le_bytes())),
    }
    hasher.write(
        &(u64::from(tuple.local.port()) << 16 | u64::from(tuple.remote.port())).to_le_bytes(),
    );
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// A sequence of draws that reveals nothing about the next one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Random {
    secret: Secret,
    drawn: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random {
            secret: Secret::new(seed, Purpose::Draws),
            drawn: 0,
        }
    }

    /// The next 32 bits.
    pub(super) fn draw(&mut self) -> u32 {
        self.drawn += 1;
        SipHasher24::new_with_keys(self.secret.0, self.secret.1).hash(&self.drawn.to_le_bytes())
            as u32
    }
}
