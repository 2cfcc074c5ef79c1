//! Capabilities: raised for the setup if the program file grants them, and dropped permanently
//! after
//! it.

use crate::capability::Capability;
use crate::error::Error;
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// Every capability that tcpx uses.
fn all() -> CapabilitySet {
    Capability::ALL.into_iter().map(Capability::set).collect()
}

/// Makes what is permitted of these capabilities effective: a program file with `=p` starts
/// everywhere, one with `=ep` is refused by exec where the bounding set lacks one of them. What
/// could not be raised is missed, and named, by the act that needs it.
pub(crate) fn raise() {
    let Ok(mut sets) = thread::capabilities(None) else {
        return;
    };
    sets.effective |= sets.permitted & all();
    _ = thread::set_capabilities(None, sets);
}

/// Runs `start`, so that a program which it starts has our capabilities too. Exec gives those of a
/// file to that file's process alone: a child has them only if they are in its ambient set. As with
/// [`raise`], what is not to be had is named by the child.
pub(crate) fn lend<T>(start: impl FnOnce() -> T) -> T {
    if let Ok(mut sets) = thread::capabilities(None) {
        sets.inheritable |= sets.permitted & all();
        _ = thread::set_capabilities(None, sets);
        for capability in Capability::ALL
            .into_iter()
            .filter(|capability| sets.inheritable.contains(capability.set()))
        {
            _ = thread::configure_capability_in_ambient_set(capability.set(), true);
        }
    }
    let outcome = start();
    _ = thread::clear_ambient_capability_set();
    outcome
}

/// Permanently drops all but these capabilities of the calling thread, and the chance to gain one
/// by exec.
pub(crate) fn keep_only(capabilities: &[Capability]) {
    let Ok(mut sets) = thread::capabilities(None) else {
        return;
    };
    let kept: CapabilitySet = capabilities
        .iter()
        .map(|capability| capability.set())
        .collect();
    sets.effective &= kept;
    sets.permitted &= kept;
    sets.inheritable &= kept;
    _ = thread::set_capabilities(None, sets);
    _ = thread::set_no_new_privs(true);
}

/// Permanently drops every capability of the calling thread, and the chance to gain one by exec.
/// Threads started later inherit that; threads that exist already do not: call it after
/// [`Link::open`](crate::link::Link::open) and before the tokio runtime starts. Open sockets keep
/// working, and the thread that keeps the iptables guard's watchdog alive goes on with NET_RAW and
/// NET_ADMIN, and no others.
///
/// # Errors
/// [`Error::Io`] when the kernel refuses.
pub fn drop_all() -> Result<(), Error> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    thread::clear_ambient_capability_set().map_err(Error::io("clear the ambient capabilities"))?;
    thread::set_capabilities(None, none).map_err(Error::io("drop the capabilities"))?;
    thread::set_no_new_privs(true).map_err(Error::io("set no_new_privs"))
}
