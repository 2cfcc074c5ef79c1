//! What this process may do, and how an ordinary user becomes root of a user namespace.

use super::unshare::{Outside, unshare};
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities};
use std::fmt;
use std::fs;
use std::io;

/// Why namespaces cannot be made, and how to fix that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// What the kernel refused, and why, if known.
    pub reason: String,
    /// The command that fixes it.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (to change that: {})", self.reason, self.remedy)
    }
}

impl std::error::Error for Refusal {}

/// Whether we hold this capability in our user namespace.
pub fn has(capability: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

/// Makes sure that this process may make network namespaces. Root needs nothing; an ordinary user
/// enters a new user namespace and is root there, as `unshare --user --map-root-user --net` does.
/// Call it before the process has a second thread.
///
/// # Errors
/// Why it is forbidden here.
pub fn acquire() -> Result<(), Refusal> {
    if has(CapabilitySet::SYS_ADMIN)
        && has(CapabilitySet::NET_ADMIN)
        && unshare(UnshareFlags::NEWNET).is_ok()
    {
        return Ok(());
    }
    let outside = Outside::now();
    unshare(UnshareFlags::NEWUSER).map_err(|error| Refusal::of_unshare(&error))?;
    // Ubuntu 24.04 lets everybody unshare and takes the capabilities away: only a privileged act
    // tells.
    outside
        .map_to_root()
        .and_then(|()| unshare(UnshareFlags::NEWNET))
        .map_err(|error| Refusal::of_act(&error))
}

/// A sysctl's value, if this kernel has it.
pub fn sysctl(name: &str) -> Option<String> {
    let value = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    Some(value.trim().to_owned())
}

impl Refusal {
    fn of_unshare(error: &io::Error) -> Refusal {
        let off = |name: &str| sysctl(name).as_deref() == Some("0");
        let (why, remedy) = if off("kernel.unprivileged_userns_clone") {
            (
                "kernel.unprivileged_userns_clone is 0",
                "sudo sysctl -w kernel.unprivileged_userns_clone=1",
            )
        } else if off("user.max_user_namespaces") {
            (
                "user.max_user_namespaces is 0",
                "sudo sysctl -w user.max_user_namespaces=10000",
            )
        } else {
            (
                "a container's seccomp profile or a chroot prevents it",
                "run as root, or start the container with --privileged",
            )
        };
        Refusal {
            reason: format!("the kernel refuses a user namespace: {error}; {why}"),
            remedy: remedy.to_owned(),
        }
    }

    fn of_act(error: &io::Error) -> Refusal {
        let apparmor =
            sysctl("kernel.apparmor_restrict_unprivileged_userns").as_deref() == Some("1");
        let (why, remedy) = if apparmor {
            (
                "AppArmor takes its capabilities away",
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            )
        } else {
            ("a security module or container forbids it", "run as root")
        };
        Refusal {
            reason: format!("the user namespace has no privileges: {error}; {why}"),
            remedy: remedy.to_owned(),
        }
    }
}
