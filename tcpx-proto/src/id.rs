//! The names of connections and listeners.

use core::net::SocketAddr;

/// The name of a connection while the stack exists; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// As one number, for records.
    pub const fn number(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }
}

/// The name of a listener while the stack exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId(pub(crate) u32);

/// The name of a connection on the wire, as seen from one end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FourTuple {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
}

impl FourTuple {
    /// Without IPv6 flow label and scope, which are not part of it.
    pub(crate) fn plain(self) -> FourTuple {
        FourTuple {
            local: plain(self.local),
            remote: plain(self.remote),
        }
    }
}

/// Without IPv6 flow label and scope.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}
