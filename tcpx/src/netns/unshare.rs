//! The one place that unshares namespaces and maps users.

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{getgid, getuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::ffi::CStr;
use std::io;

/// Moves the calling thread into new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only namespaces are unshared; memory and descriptors stay common to all threads.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// Who this process is outside of a user namespace that it will be root of.
pub(crate) struct Outside {
    user: String,
    group: String,
}

impl Outside {
    /// Before the namespace is entered.
    pub(crate) fn now() -> Outside {
        Outside {
            user: format!("0 {} 1", getuid().as_raw()),
            group: format!("0 {} 1", getgid().as_raw()),
        }
    }

    /// Inside: makes that user root. Makes system calls only and allocates nothing, as a child
    /// between fork and exec must.
    pub(crate) fn map_to_root(&self) -> io::Result<()> {
        // user_namespaces(7) wants `setgroups` denied before an ordinary user's group map.
        write(c"/proc/self/setgroups", b"deny")?;
        write(c"/proc/self/uid_map", self.user.as_bytes())?;
        write(c"/proc/self/gid_map", self.group.as_bytes())
    }
}

fn write(path: &CStr, bytes: &[u8]) -> io::Result<()> {
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, bytes)?;
    Ok(())
}
