//! Capabilities: raised for the set-up where the program file grants them, and dropped for good after it.

use crate::error::Error;
use rustix::thread::{self, CapabilitySet, CapabilitySets};
use std::fmt;

/// A capability that tcpx uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capability {
    /// Raw sockets and SO_MARK.
    NetRaw,
    /// Firewall rules, filters on TCP sockets, a receive buffer past the limit.
    NetAdmin,
}

impl Capability {
    const ALL: [Capability; 2] = [Capability::NetRaw, Capability::NetAdmin];

    /// The name as `docker run --cap-add` takes it.
    pub const fn short(self) -> &'static str {
        match self {
            Capability::NetRaw => "NET_RAW",
            Capability::NetAdmin => "NET_ADMIN",
        }
    }

    const fn set(self) -> CapabilitySet {
        match self {
            Capability::NetRaw => CapabilitySet::NET_RAW,
            Capability::NetAdmin => CapabilitySet::NET_ADMIN,
        }
    }

    /// Whether this thread may use it now.
    pub fn effective(self) -> bool {
        thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(self.set()))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAP_{}", self.short())
    }
}

/// Makes what is permitted of NET_RAW and NET_ADMIN effective, and inheritable for the `iptables` that we run: a file capability
/// `=p` starts everywhere, `=ep` is refused by exec where the bounding set lacks one of them.
///
/// # Errors
/// [`Error::Io`] when the kernel refuses.
pub fn raise() -> Result<(), Error> {
    let mut sets = thread::capabilities(None).map_err(Error::io("read the capabilities"))?;
    let ours = sets.permitted & (CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN);
    sets.effective |= ours;
    sets.inheritable |= ours;
    thread::set_capabilities(None, sets).map_err(Error::io("raise the capabilities"))?;
    for capability in Capability::ALL.into_iter().filter(|capability| ours.contains(capability.set())) {
        thread::configure_capability_in_ambient_set(capability.set(), true).map_err(Error::io("raise the ambient capabilities"))?;
    }
    Ok(())
}

/// Gives up every capability of the calling thread, and the chance to gain one by exec, for good. Threads started later inherit that;
/// threads that exist already do not: call it after [`Link::open`](crate::link::Link::open) and before the tokio runtime starts. Open
/// sockets keep working.
///
/// # Errors
/// [`Error::Io`] when the kernel refuses.
pub fn drop_all() -> Result<(), Error> {
    let none = CapabilitySets { effective: CapabilitySet::empty(), permitted: CapabilitySet::empty(), inheritable: CapabilitySet::empty() };
    thread::clear_ambient_capability_set().map_err(Error::io("clear the ambient capabilities"))?;
    thread::set_capabilities(None, none).map_err(Error::io("drop the capabilities"))?;
    thread::set_no_new_privs(true).map_err(Error::io("set no_new_privs"))
}
