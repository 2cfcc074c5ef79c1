//! The way of each peer's packets: as Ethernet frames of ours, or through the kernel's IP.

use super::routes::{HardwareAddress, Routes};
use crate::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// How long an answer of the kernel's counts: as long as a changed route or a moved neighbour may
/// stay unnoticed.
const FRESH: Duration = Duration::from_secs(1);
/// How long a neighbour without an address is not asked for again.
const UNRESOLVED: Duration = Duration::from_millis(5);
/// Peers remembered; one more takes the place of another, which costs that one a question.
const PLACES: usize = 1024;
/// Bytes of an Ethernet header.
pub(super) const ETHERNET: usize = 14;
/// ETH_P_IP of linux/if_ether.h.
const ETH_P_IP: u16 = 0x0800;

/// How a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Over the raw IP socket: the kernel routes it, and resolves the neighbour.
    Ip,
    /// In this frame, out of this interface.
    Frame {
        interface: u32,
        header: [u8; ETHERNET],
    },
}

/// The ways of the peers of late.
#[derive(Debug)]
pub(super) struct Ways {
    routes: Routes,
    source: Ipv4Addr,
    mark: u32,
    places: Vec<Option<Place>>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    peer: Ipv4Addr,
    way: Way,
    until: Instant,
    /// The next packet goes over IP, so that the kernel asks whether the neighbour is still there.
    confirm: bool,
}

impl Ways {
    /// Of packets from `source` with this mark.
    pub(super) fn new(source: Ipv4Addr, mark: u32) -> Result<Ways, Error> {
        Ok(Ways {
            routes: Routes::open()?,
            source,
            mark,
            places: vec![None; PLACES],
            hasher: RandomState::new(),
        })
    }

    /// How the next packet to `peer` goes. The first one goes over IP: if it is the only one, as
    /// those that answer a flood from forged addresses, nothing is asked for it, and if there are
    /// more the kernel resolves the neighbour meanwhile.
    pub(super) fn of(&mut self, peer: Ipv4Addr, now: Instant) -> Way {
        let place = self.place(peer, now);
        if std::mem::take(&mut place.confirm) {
            Way::Ip
        } else {
            place.way
        }
    }

    /// Whether the next packet to `peer` goes as a frame; [`known`](Ways::known) is its way then.
    pub(super) fn is_framed(&mut self, peer: Ipv4Addr, now: Instant) -> bool {
        let place = self.place(peer, now);
        !place.confirm && place.way != Way::Ip
    }

    /// The last known way to `peer`, however long ago.
    pub(super) fn known(&self, peer: Ipv4Addr) -> Way {
        self.places[self.index(peer)]
            .filter(|place| place.peer == peer)
            .map_or(Way::Ip, |place| place.way)
    }

    fn index(&self, peer: Ipv4Addr) -> usize {
        self.hasher.hash_one(peer) as usize % PLACES
    }

    fn place(&mut self, peer: Ipv4Addr, now: Instant) -> &mut Place {
        let index = self.index(peer);
        let known = self.places[index].filter(|place| place.peer == peer);
        let place = match known {
            Some(place) if now < place.until => place,
            Some(_) => self.ask(peer, now),
            None => Place {
                peer,
                way: Way::Ip,
                until: now,
                confirm: false,
            },
        };
        self.places[index].insert(place)
    }

    fn ask(&mut self, peer: Ipv4Addr, now: Instant) -> Place {
        let place = Place {
            peer,
            way: Way::Ip,
            until: now + FRESH,
            confirm: false,
        };
        let hop = self.routes.hop(self.source, self.mark, peer);
        let own = hop.and_then(|hop| self.routes.ethernet_address(hop.interface));
        let (Some(hop), Some(own)) = (hop, own) else {
            return place;
        };
        match self.routes.neighbour(hop) {
            Some(neighbour) => Place {
                way: Way::Frame {
                    interface: hop.interface,
                    header: ethernet(neighbour.address, own),
                },
                confirm: !neighbour.confirmed,
                ..place
            },
            None => Place {
                until: now + UNRESOLVED,
                ..place
            },
        }
    }
}

fn ethernet(to: HardwareAddress, from: HardwareAddress) -> [u8; ETHERNET] {
    let mut header = [0; ETHERNET];
    header[..6].copy_from_slice(&to);
    header[6..12].copy_from_slice(&from);
    header[12..].copy_from_slice(&ETH_P_IP.to_be_bytes());
    header
}
