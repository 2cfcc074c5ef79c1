//! The capabilities that tcpx uses, and how a program gets one.

use rustix::thread::{self, CapabilitySet};
use std::fmt;

/// A capability that tcpx uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Capability {
    /// Raw sockets and SO_MARK.
    NetRaw,
    /// Firewall rules, filters on TCP sockets, a receive buffer past the limit.
    NetAdmin,
    /// Ports below 1024.
    NetBindService,
}

impl Capability {
    pub(crate) const ALL: [Capability; 3] = [
        Capability::NetRaw,
        Capability::NetAdmin,
        Capability::NetBindService,
    ];

    /// The name as `docker run --cap-add` takes it.
    pub const fn short(self) -> &'static str {
        match self {
            Capability::NetRaw => "NET_RAW",
            Capability::NetAdmin => "NET_ADMIN",
            Capability::NetBindService => "NET_BIND_SERVICE",
        }
    }

    /// What gives it to this program: where its file's capabilities count for something `setcap`,
    /// with the usual two and this.
    pub(crate) fn remedy(self) -> String {
        let short = self.short();
        if !rustix::process::geteuid().is_root() && thread::no_new_privs() == Ok(true) {
            return format!(
                "Run as root with it: this process was started with no_new_privs (Docker: \
                 --security-opt no-new-privileges, Kubernetes: \
                 allowPrivilegeEscalation: false), so another user cannot get it by setcap or --cap-add={short}"
            );
        }
        let set = match self {
            Capability::NetRaw | Capability::NetAdmin => "cap_net_raw,cap_net_admin=p",
            Capability::NetBindService => "cap_net_raw,cap_net_admin,cap_net_bind_service=p",
        };
        let program = std::env::current_exe()
            .map_or_else(|_| "PROGRAM".into(), |path| path.display().to_string());
        format!(
            "Run as root, or once: sudo setcap {set} {program} (in a container: --cap-add={short})"
        )
    }

    pub(crate) const fn set(self) -> CapabilitySet {
        match self {
            Capability::NetRaw => CapabilitySet::NET_RAW,
            Capability::NetAdmin => CapabilitySet::NET_ADMIN,
            Capability::NetBindService => CapabilitySet::NET_BIND_SERVICE,
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
