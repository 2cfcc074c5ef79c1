//! What nobody outside can guess: initial sequence numbers, SYN cookies, ports, timestamp offsets, all from one keyed hash.

use crate::config::Isn;
use crate::seq::Seq;
use crate::time::Instant;
use core::hash::{Hash, Hasher};
use core::net::SocketAddr;
use siphasher::sip::SipHasher13;

/// The key, and a counter for what must differ each time.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Secret {
    key: (u64, u64),
    draws: u64,
}

/// What a hash is for, so that one use says nothing about another.
#[derive(Clone, Copy, Hash)]
enum Use {
    Isn,
    Cookie,
    Stamp,
    Draw,
    Table,
}

/// The MSS values that three bits of a cookie stand for, ascending.
const COOKIE_MSS: [u16; 8] = [536, 1220, 1300, 1400, 1440, 1460, 4312, 8960];

/// A cookie's clock: 64 s a tick, five bits of it.
const COOKIE_TICK: u64 = 64_000;

/// Ticks for which a cookie holds.
const COOKIE_LIFE: u32 = 2;

impl Secret {
    pub(super) fn new(seed: u64) -> Secret {
        let half = |salt: u64| {
            let mut hasher = SipHasher13::new_with_keys(seed, salt);
            salt.hash(&mut hasher);
            hasher.finish()
        };
        Secret { key: (half(0), half(1)), draws: 0 }
    }

    fn keyed(&self, purpose: Use, what: impl Hash) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        (purpose, what).hash(&mut hasher);
        hasher.finish()
    }

    /// The hash of a four-tuple for the table of connections.
    pub(super) fn bucket(&self, local: SocketAddr, remote: SocketAddr) -> u64 {
        self.keyed(Use::Table, (local, remote))
    }

    /// A number that differs each time.
    pub(super) fn draw(&mut self) -> u64 {
        self.draws += 1;
        self.keyed(Use::Draw, self.draws)
    }

    /// ISS (RFC 6528 section 3: M + F(four-tuple, secret), M a clock of 4 µs).
    pub(super) fn isn(&self, policy: Isn, now: Instant, local: SocketAddr, remote: SocketAddr) -> Seq {
        let clock = (now.micros() / 4) as u32;
        match policy {
            Isn::Rfc6528 => Seq(clock.wrapping_add(self.keyed(Use::Isn, (local, remote)) as u32)),
            Isn::Clock => Seq(clock),
            Isn::Fixed(seq) => seq,
        }
    }

    /// Where a connection's timestamps start (RFC 7323 section 7.1).
    pub(super) fn stamp_offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        self.keyed(Use::Stamp, (local, remote)) as u32
    }

    /// A SYN cookie (RFC 4987 section 3.6): 5 bits of time, 3 bits of MSS, 24 bits of keyed hash.
    pub(super) fn cookie(&self, now: Instant, local: SocketAddr, remote: SocketAddr, irs: Seq, mss: u16) -> Seq {
        let tick = (now.millis() / COOKIE_TICK) as u32;
        let index = COOKIE_MSS.iter().rposition(|&known| known <= mss).unwrap_or(0) as u32;
        Seq((tick & 31) << 27 | index << 24 | self.cookie_hash(tick & 31, index, local, remote, irs))
    }

    /// The MSS that a cookie which came back stands for; `None`: it is none of ours, or too old.
    pub(super) fn cookie_mss(&self, now: Instant, local: SocketAddr, remote: SocketAddr, irs: Seq, cookie: Seq) -> Option<u16> {
        let (tick, index) = (cookie.0 >> 27, cookie.0 >> 24 & 7);
        let age = ((now.millis() / COOKIE_TICK) as u32).wrapping_sub(tick) & 31;
        let right = self.cookie_hash(tick, index, local, remote, irs) == cookie.0 & 0x00ff_ffff;
        if right && age < COOKIE_LIFE { COOKIE_MSS.get(index as usize).copied() } else { None }
    }

    fn cookie_hash(&self, tick: u32, index: u32, local: SocketAddr, remote: SocketAddr, irs: Seq) -> u32 {
        self.keyed(Use::Cookie, (tick, index, local, remote, irs)) as u32 & 0x00ff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn ends() -> (SocketAddr, SocketAddr) {
        ("10.0.0.1:7000".parse().unwrap(), "10.0.0.2:9000".parse().unwrap())
    }

    #[test]
    fn isn_of_the_same_four_tuple_advances_with_the_clock() {
        let (local, remote) = ends();
        let secret = Secret::new(1);
        let first = secret.isn(Isn::Rfc6528, Instant::ZERO, local, remote);
        let second = secret.isn(Isn::Rfc6528, Instant::ZERO + Duration::from_secs(1), local, remote);
        assert_eq!(second.since(first), 250_000);
        assert_ne!(secret.isn(Isn::Rfc6528, Instant::ZERO, remote, local), first);
        assert_ne!(Secret::new(2).isn(Isn::Rfc6528, Instant::ZERO, local, remote), first);
    }

    #[test]
    fn cookie_comes_back_with_its_mss_until_it_is_old() {
        let (local, remote) = ends();
        let secret = Secret::new(1);
        let cookie = secret.cookie(Instant::ZERO, local, remote, Seq(5), 1500);
        let later = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!(secret.cookie_mss(later(100), local, remote, Seq(5), cookie), Some(1460));
        assert_eq!(secret.cookie_mss(later(129), local, remote, Seq(5), cookie), None);
        assert_eq!(secret.cookie_mss(later(1), local, remote, Seq(6), cookie), None);
        assert_eq!(secret.cookie_mss(later(1), remote, local, Seq(5), cookie), None);
    }
}
