//! What can go wrong between a program, its TCP and the kernel: each error says what happened, why,
//! and what to do next.

use std::io;
use std::net::{IpAddr, SocketAddr};
use tcpx_proto::error::{CallError, CloseReason};

use crate::capability::Capability;
use crate::owner::{self, PortOwner};

/// Everything that tcpx reports as a failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection ended, and not as the caller asked.
    #[error("{}", ended(*.0))]
    Ended(CloseReason),
    /// A call was refused; never [`CallError::Ended`], which becomes [`Error::Ended`].
    #[error("{}{}", .0, call_hint(*.0))]
    Call(CallError),
    /// The local address is not one of this machine's (of this network namespace's).
    #[error("{0} is {why}. `ip address` lists this machine's", why = not_local(.0))]
    AddressNotLocal(IpAddr),
    /// IPv6 is not spoken on the wire yet.
    #[error(
        "{0} is an IPv6 address, and tcpx speaks only IPv4 on the wire so far. Use an IPv4 address"
    )]
    Ipv6(IpAddr),
    /// The kernel knows no way to the remote address.
    #[error(
        "no route to {0}: the kernel knows no way there. `ip route get {0}` shows what it knows"
    )]
    NoRoute(IpAddr),
    /// A local port is taken by a kernel socket.
    #[error("{address} is in use{}. {}", by(.owner), in_use_hint(.owner))]
    PortInUse {
        /// Our address and the port.
        address: SocketAddr,
        /// Who has it, where the kernel told.
        owner: Option<PortOwner>,
    },
    /// No run of free ports is long enough.
    #[error(
        "found no {count} free ports in a row on {address}: other programs hold ports everywhere between. Ask for fewer, or use another address"
    )]
    NoFreeBlock {
        /// Our address.
        address: IpAddr,
        /// Ports wanted.
        count: u16,
    },
    /// A descriptor for each reserved port, and what else it takes, is more than this process may
    /// have.
    #[error("{} {files} open files, and this process may have {limit}. {}", whose_files(*.ports), files_hint(*.ports, *.files))]
    TooFewFiles {
        /// Ports wanted.
        ports: u64,
        /// The open files that it takes.
        files: u64,
        /// The hard limit on them.
        limit: u64,
    },
    /// A capability is missing.
    #[error(
        "no permission to {act}: this needs {capability}. {remedy}. Without any privilege: the namespaces of `tcpx-lab netns up`"
    )]
    Privilege {
        /// What was tried.
        act: &'static str,
        /// What it takes.
        capability: Capability,
        /// What gives it to this program.
        remedy: String,
    },
    /// There is no `iptables` to run.
    #[error(
        "there is no iptables program here. `apt-get install iptables`, or choose --rst-guard listener, which needs none"
    )]
    NoIptables,
    /// `iptables` refused.
    #[error(
        "iptables could not {act}: {output}. Try --rst-guard listener, which needs no firewall"
    )]
    Iptables {
        /// What was tried.
        act: &'static str,
        /// What iptables said.
        output: String,
    },
    /// With the guard in place the kernel still answered.
    #[error(
        "the {guard} guard is in place, and yet the kernel answered a segment for {address} with a RST: it would kill every connection. {hint}"
    )]
    GuardFailed {
        /// Which guard.
        guard: &'static str,
        /// Whereto the probe went.
        address: SocketAddr,
        /// What to do.
        hint: &'static str,
    },
    /// The operating system refused something that it usually does not.
    #[error("could not {act}: {source}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// The exit status of a program that ends with this error: 0 ended as asked, 3 refused, 4 timed
    /// out, 5 reset by the peer, 6 missing privilege or guard, 7 address in use, 8 unreachable, 1
    /// anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Ended(reason) => ended_code(*reason),
            Error::Call(CallError::InUse(_) | CallError::PortsExhausted) => 7,
            Error::Call(CallError::BadRemote) | Error::NoRoute(_) => 8,
            Error::PortInUse { .. } | Error::NoFreeBlock { .. } => 7,
            Error::Privilege { .. }
            | Error::NoIptables
            | Error::Iptables { .. }
            | Error::GuardFailed { .. } => 6,
            Error::Call(_)
            | Error::AddressNotLocal(_)
            | Error::Ipv6(_)
            | Error::TooFewFiles { .. }
            | Error::Io { .. } => 1,
        }
    }

    /// The kind that std would give the same failure.
    pub fn kind(&self) -> io::ErrorKind {
        use io::ErrorKind::*;
        match self {
            Error::Ended(reason) => ended_kind(*reason),
            Error::Call(call) => match call {
                CallError::NoConnection | CallError::Closing | CallError::Ended(_) => NotConnected,
                CallError::NotReserved => AddrNotAvailable,
                CallError::InUse(_) | CallError::PortsExhausted => AddrInUse,
                CallError::BadRemote => InvalidInput,
                CallError::Limit => OutOfMemory,
                CallError::WouldBlock => WouldBlock,
            },
            Error::AddressNotLocal(_) => AddrNotAvailable,
            Error::Ipv6(_) => Unsupported,
            Error::NoRoute(_) => NetworkUnreachable,
            Error::PortInUse { .. } | Error::NoFreeBlock { .. } => AddrInUse,
            Error::TooFewFiles { .. } => InvalidInput,
            Error::Privilege { .. } => PermissionDenied,
            Error::NoIptables => NotFound,
            Error::Iptables { .. } | Error::GuardFailed { .. } => Other,
            Error::Io { source, .. } => source.kind(),
        }
    }

    /// For `map_err`: asks the kernel who has a port that is in use.
    pub(crate) fn with_owner(self) -> Error {
        match self {
            Error::PortInUse {
                address,
                owner: None,
            } => Error::PortInUse {
                address,
                owner: owner::of(address),
            },
            other => other,
        }
    }

    /// For `map_err`: what was tried when the system refused.
    pub(crate) fn io<E: Into<io::Error>>(act: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::Io {
            act,
            source: source.into(),
        }
    }

    pub(crate) fn lacking(capability: Capability, act: &'static str) -> Error {
        Error::Privilege {
            act,
            capability,
            remedy: capability.remedy(),
        }
    }

    /// For `map_err` where a lacking capability is the likely cause: EPERM and EACCES name it,
    /// anything else is as [`Error::io`].
    pub(crate) fn needs<E: Into<io::Error>>(
        capability: Capability,
        act: &'static str,
    ) -> impl FnOnce(E) -> Error {
        move |source| {
            let source = source.into();
            match source.kind() {
                io::ErrorKind::PermissionDenied => Error::lacking(capability, act),
                _ => Error::Io { act, source },
            }
        }
    }
}

impl From<CallError> for Error {
    fn from(call: CallError) -> Error {
        match call {
            CallError::Ended(reason) => Error::Ended(reason),
            other => Error::Call(other),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

const fn ended(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Clean => "the connection is closed: both sides sent their FIN",
        CloseReason::Aborted => "the connection was aborted from this side: it sent a RST",
        CloseReason::Refused => {
            "connection refused: the SYN was answered with a RST, because nothing listens there or a firewall rejects it. \
             Check the port, and that the server runs"
        }
        CloseReason::Reset => {
            "connection reset: the peer sent a RST, because its program aborted or crashed, or it does not know this connection (any more)"
        }
        CloseReason::ConnectTimeout => {
            "connection timed out: no answer to the SYN, because the host is down, or a firewall drops the segments of either side. \
             Check the address, and `ping` it"
        }
        CloseReason::RetransmissionTimeout => {
            "connection timed out: the peer stopped acknowledging (R2), because it or the path is down. Connect again once it is back"
        }
        CloseReason::UserTimeout => {
            "connection timed out: data was not acknowledged within the user timeout. Raise it with --user-timeout, or check the path"
        }
        CloseReason::KeepAliveTimeout => {
            "connection timed out: the keepalive probes were not answered, so the peer or the path is gone"
        }
        CloseReason::FinWait2Timeout => {
            "connection timed out in FIN-WAIT-2: the peer acknowledged our FIN and never sent its own"
        }
        CloseReason::Unreachable(_) => {
            "unreachable: a router or the peer's host answered with an ICMP error. `ip route get` and `traceroute` show the way"
        }
        CloseReason::Restarted => "the connection is forgotten: this host was started anew",
        CloseReason::Dropped => {
            "the connection was given up before it was established: a limit of this stack is reached (backlog, memory)"
        }
    }
}

const fn ended_code(reason: CloseReason) -> u8 {
    match reason {
        CloseReason::Clean | CloseReason::Aborted => 0,
        CloseReason::Refused => 3,
        CloseReason::ConnectTimeout
        | CloseReason::RetransmissionTimeout
        | CloseReason::UserTimeout
        | CloseReason::KeepAliveTimeout
        | CloseReason::FinWait2Timeout => 4,
        CloseReason::Reset => 5,
        CloseReason::Unreachable(_) => 8,
        CloseReason::Dropped | CloseReason::Restarted => 1,
    }
}

const fn ended_kind(reason: CloseReason) -> io::ErrorKind {
    match reason {
        CloseReason::Clean => io::ErrorKind::NotConnected,
        CloseReason::Aborted | CloseReason::Dropped | CloseReason::Restarted => {
            io::ErrorKind::ConnectionAborted
        }
        CloseReason::Refused => io::ErrorKind::ConnectionRefused,
        CloseReason::Reset => io::ErrorKind::ConnectionReset,
        CloseReason::ConnectTimeout
        | CloseReason::RetransmissionTimeout
        | CloseReason::UserTimeout
        | CloseReason::KeepAliveTimeout
        | CloseReason::FinWait2Timeout => io::ErrorKind::TimedOut,
        CloseReason::Unreachable(_) => io::ErrorKind::HostUnreachable,
    }
}

const fn call_hint(call: CallError) -> &'static str {
    match call {
        CallError::InUse(_) => ". Wait until it is over, or use another port",
        CallError::PortsExhausted => {
            ". Wait until 2 MSL of the closed ones are over, or reserve more ports"
        }
        CallError::BadRemote => {
            ": it is broadcast, multicast or unspecified, of the other family, or its port is 0"
        }
        CallError::Limit => ". Close connections first",
        _ => "",
    }
}

fn not_local(address: &IpAddr) -> &'static str {
    if address.is_unspecified() {
        "every address, and a tcpx host has one alone"
    } else {
        "not an address of this machine, so no segment for it would arrive here"
    }
}

fn by(owner: &Option<PortOwner>) -> String {
    owner.as_ref().map_or_else(
        || ", by a socket that the kernel does not show".into(),
        |owner| format!(" by {owner}"),
    )
}

fn whose_files(ports: u64) -> String {
    match ports {
        0 => "this takes".to_owned(),
        1 => "one port takes".to_owned(),
        ports => format!("{ports} ports take"),
    }
}

fn files_hint(ports: u64, files: u64) -> String {
    let fewer = if ports > 1 {
        "Ask for fewer, or raise"
    } else {
        "Raise"
    };
    format!(
        "{fewer} the limit as root: `ulimit -Hn {files}` in a shell, LimitNOFILE={files} for systemd, --ulimit nofile={files} for Docker"
    )
}

fn in_use_hint(owner: &Option<PortOwner>) -> &'static str {
    match owner {
        Some(owner) if owner.state == "TIME-WAIT" => {
            "It goes after 60 s at most; wait, or use another port"
        }
        _ => "Stop that program, or use another port",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_ends() -> Vec<(CloseReason, u8, io::ErrorKind)> {
        use tcpx_proto::wire::IcmpKind;
        vec![
            (CloseReason::Clean, 0, io::ErrorKind::NotConnected),
            (CloseReason::Aborted, 0, io::ErrorKind::ConnectionAborted),
            (CloseReason::Refused, 3, io::ErrorKind::ConnectionRefused),
            (CloseReason::Reset, 5, io::ErrorKind::ConnectionReset),
            (CloseReason::ConnectTimeout, 4, io::ErrorKind::TimedOut),
            (
                CloseReason::RetransmissionTimeout,
                4,
                io::ErrorKind::TimedOut,
            ),
            (CloseReason::UserTimeout, 4, io::ErrorKind::TimedOut),
            (CloseReason::KeepAliveTimeout, 4, io::ErrorKind::TimedOut),
            (
                CloseReason::Unreachable(IcmpKind::Unreachable(1)),
                8,
                io::ErrorKind::HostUnreachable,
            ),
        ]
    }

    #[test]
    fn ended_connection_gives_the_documented_exit_status_and_kind() {
        for (reason, code, kind) in all_ends() {
            assert_eq!(
                Error::from(CallError::Ended(reason)).exit_code(),
                code,
                "{reason:?}"
            );
            assert_eq!(
                io::Error::from(Error::Ended(reason)).kind(),
                kind,
                "{reason:?}"
            );
        }
    }

    #[test]
    fn io_error_made_of_ours_keeps_the_message_and_gives_it_back() {
        let error = io::Error::from(Error::Ended(CloseReason::Refused));
        assert!(error.to_string().starts_with("connection refused"));
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        assert_eq!(inner.map(Error::exit_code), Some(3));
    }

    #[test]
    fn port_in_use_names_the_owner_and_its_state() {
        let owner = PortOwner {
            state: "LISTEN",
            program: Some(("nginx".into(), 42)),
        };
        let error = Error::PortInUse {
            address: "10.0.0.1:80".parse().unwrap(),
            owner: Some(owner),
        };
        assert_eq!(
            error.to_string(),
            "10.0.0.1:80 is in use by nginx (process 42), in LISTEN. Stop that program, or use another port"
        );
        assert_eq!(error.exit_code(), 7);
    }

    #[test]
    fn missing_capability_comes_with_the_command_that_gives_it() {
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        let error = Error::needs(Capability::NetRaw, "open a raw socket")(denied);
        let text = error.to_string();
        assert!(
            text.contains("CAP_NET_RAW")
                && text.contains("sudo setcap cap_net_raw,cap_net_admin=p /"),
            "{text}"
        );
        assert_eq!(error.exit_code(), 6);
    }
}
