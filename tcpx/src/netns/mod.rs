//! Network namespaces that this process holds by file descriptors, so that they vanish with it;
//! with the feature `netns` also a pair of hosts on a cable.
//!
//! A namespace needs CAP_SYS_ADMIN in our user namespace. Root has it; an ordinary user gets it
//! in a user namespace of their own ([`root`]), which a process must enter before it has a second
//! thread. Nothing is named, mounted or left behind: a namespace ends with the last descriptor,
//! socket or process in it.

#[cfg(feature = "netns")]
mod cable;
#[cfg(feature = "netns")]
pub mod device;
#[cfg(feature = "netns")]
mod namespace;
#[cfg(feature = "netns")]
mod netlink;
#[cfg(feature = "netns")]
pub mod root;
#[cfg(test)]
pub(crate) mod skip;
#[cfg(all(test, feature = "netns"))]
mod tests;
pub(crate) mod unshare;

#[cfg(feature = "netns")]
pub use cable::{Cable, await_carrier, hardware_address, pair};
#[cfg(feature = "netns")]
pub use namespace::Namespace;
#[cfg(feature = "netns")]
pub use netlink::configure;

#[cfg(feature = "netns")]
use std::net::Ipv4Addr;

/// The first host's address, on a /24.
#[cfg(feature = "netns")]
pub const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The second host's address, on the same /24.
#[cfg(feature = "netns")]
pub const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// An address on that /24 that no host has: a packet to it crosses the cable and is lost.
#[cfg(feature = "netns")]
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 66);
/// The name of either end of the cable.
#[cfg(feature = "netns")]
pub const DEVICE: &str = "eth0";
