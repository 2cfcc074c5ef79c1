//! TCP Fast Open (RFC 7413) across connections: the cookies that a listener gives, those that peers
//! gave, and who is served before the third ACK.

use super::secret::{Purpose, Secret};
use crate::config::{ConnConfig, FastOpenRefused};
use crate::tcb::{FastOpenGrant, FastOpenOffer, Lesson};
use crate::time::{Duration, Instant};
use crate::wire::{FastOpenCookie, Options};
use alloc::collections::{BTreeMap, VecDeque};
use core::net::IpAddr;

/// How long cookies of one key are given; they are valid for as long again (RFC 7413 section
/// 4.1.2).
const KEY_MILLIS: u64 = 24 * 3600 * 1000;
/// How long a peer that did not take part is not asked again.
const REFUSED_FOR: Duration = Duration::from_secs(3600);
/// How long a RST keeps its place among the pending requests (RFC 7413 section 5.1; Linux the
/// same).
const RESET_COUNTS_FOR: Duration = Duration::from_secs(60);
/// The most peers of which something is known; beyond them the one used longest ago is forgotten.
const MAX_PEERS: usize = 1024;

/// Makes and checks the cookies of a host: a MAC over the client's address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct CookieMint(Secret);

impl CookieMint {
    pub(super) fn new(seed: u64) -> CookieMint {
        CookieMint(Secret::new(seed, Purpose::FastOpen))
    }

    /// What the listener does about the option of this client's SYN, if there is `room` to serve it
    /// at once; `None`: nothing.
    pub(super) fn grant(
        &self,
        now: Instant,
        client: IpAddr,
        options: &Options,
        room: bool,
    ) -> Option<FastOpenGrant> {
        let cookie = options.fast_open?;
        let key = now.millis() / KEY_MILLIS;
        let fresh = self.cookie(client, key);
        let current = fresh == Some(cookie);
        let former = key.checked_sub(1).and_then(|key| self.cookie(client, key));
        //= 7413-3
        let valid = current || (former.is_some() && former == Some(cookie));
        // Section 5.1: beyond the limit it is an ordinary SYN.
        (room || !valid).then_some(FastOpenGrant {
            served: valid,
            cookie: fresh.filter(|_| !current),
        })
    }

    fn cookie(&self, client: IpAddr, key: u64) -> Option<FastOpenCookie> {
        FastOpenCookie::new(&self.0.address(client, key).to_le_bytes())
    }
}

/// What is known of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Peer {
    /// Its cookie, and the MSS that it offered.
    cookie: Option<(FastOpenCookie, u16)>,
    refused_until: Option<Instant>,
    /// In the order of use.
    used: u64,
}

/// What peers answered to our SYNs (RFC 7413 section 4.1.3.1), by address.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Peers {
    by_address: BTreeMap<IpAddr, Peer>,
    uses: u64,
}

impl Peers {
    /// What a SYN to this peer offers; `None`: no Fast Open.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        config: &ConnConfig,
        peer: IpAddr,
    ) -> Option<FastOpenOffer> {
        //= 7413-1
        if !config.fast_open {
            return None;
        }
        self.uses += 1;
        let Some(known) = self.by_address.get_mut(&peer) else {
            return Some(FastOpenOffer {
                cookie: FastOpenCookie::REQUEST,
                mss: None,
            });
        };
        known.used = self.uses;
        //= 7413-4
        if known.refused_until.is_some_and(|until| now < until) {
            return None;
        }
        let cookie = known
            .cookie
            .map_or(FastOpenCookie::REQUEST, |(cookie, _)| cookie);
        let mss = known.cookie.map(|(_, mss)| mss);
        Some(FastOpenOffer { cookie, mss })
    }

    /// Keeps what a connection learned.
    pub(super) fn learn(
        &mut self,
        now: Instant,
        config: &ConnConfig,
        address: IpAddr,
        lesson: Lesson,
    ) {
        let remember = config.fast_open_refused == FastOpenRefused::Remember;
        let before = self.by_address.get(&address);
        let cookie = before.and_then(|peer| peer.cookie);
        let (cookie, refused_until) = match lesson {
            Lesson::Cookie(cookie, mss) => (Some((cookie, mss)), None),
            Lesson::Taken => (cookie, None),
            Lesson::Refused => (cookie, remember.then_some(now + REFUSED_FOR)),
        };
        if cookie.is_none() && refused_until.is_none() {
            return;
        }
        if before.is_none() && self.by_address.len() >= MAX_PEERS {
            self.forget_oldest();
        }
        self.uses += 1;
        let used = self.uses;
        let peer = Peer {
            cookie,
            refused_until,
            used,
        };
        self.by_address.insert(address, peer);
    }

    fn forget_oldest(&mut self) {
        let oldest = self.by_address.iter().min_by_key(|(_, peer)| peer.used);
        if let Some(address) = oldest.map(|(address, _)| *address) {
            self.by_address.remove(&address);
        }
    }
}

/// The connections of a listener that are served before their third ACK.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct PendingRequests {
    count: usize,
    /// When RSTs that ended some of them cease to count, oldest first.
    resets: VecDeque<Instant>,
}

impl PendingRequests {
    /// Whether another one fits.
    pub(super) fn have_room(&mut self, now: Instant, most: usize) -> bool {
        while self.resets.front().is_some_and(|until| *until <= now) {
            self.resets.pop_front();
        }
        //= 7413-5
        self.count + self.resets.len() < most
    }

    pub(super) fn begins(&mut self) {
        self.count += 1;
    }

    /// One ended: by its third ACK, or without it, perhaps by a RST, which a sender of forged SYNs
    /// provokes.
    pub(super) fn ends(&mut self, now: Instant, by_reset: bool) {
        self.count = self.count.saturating_sub(1);
        if by_reset {
            self.resets.push_back(now + RESET_COUNTS_FOR);
        }
    }
}
