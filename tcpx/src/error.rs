//! What can go wrong between a program, its TCP and the kernel: what happened, and a hint about
//! what to do.

use std::io;
use std::net::{IpAddr, SocketAddr};
use tcpx_proto::error::{CallError, CloseReason};

use crate::capability::Capability;
use crate::owner::{self, PortOwner};
use crate::ports::GuardKind;

/// Everything that tcpx reports as a failure. Its text is one clause; [`hint`](Error::hint) says
/// what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection ended, and not as the caller asked.
    #[error("{}", ended(*.0))]
    Ended(CloseReason),
    /// A call was refused; never [`CallError::Ended`], which becomes [`Error::Ended`].
    #[error("{0}")]
    Call(CallError),
    /// The local address is not one of this machine's (of this network namespace's).
    #[error("{0} {why}", why = not_local(.0))]
    AddressNotLocal(IpAddr),
    /// IPv6 is not supported on the wire yet.
    #[error("{0} is an IPv6 address, and tcpx supports only IPv4 on the wire")]
    Ipv6(IpAddr),
    /// The kernel knows no route to the remote address.
    #[error("no route to {0}")]
    NoRoute(IpAddr),
    /// A local port is taken by a kernel socket.
    #[error("{address} is in use{}", by(.owner))]
    PortInUse {
        /// Our address and the port.
        address: SocketAddr,
        /// Who owns it, if the kernel says so.
        owner: Option<PortOwner>,
    },
    /// No run of free ports is long enough.
    #[error("found no {count} free ports in a row on {address}")]
    NoFreeBlock {
        /// Our address.
        address: IpAddr,
        /// Ports wanted.
        count: u16,
    },
    /// The reserved ports need more descriptors than this process may have.
    #[error("{} {files} open files, and this process may have {limit}", whose_files(*.ports))]
    TooFewFiles {
        /// Ports wanted.
        ports: u64,
        /// The open files that they need.
        files: u64,
        /// The hard limit on them.
        limit: u64,
    },
    /// A capability is missing.
    #[error("no permission to {act}: this needs {capability}")]
    Privilege {
        /// What was tried.
        act: &'static str,
        /// What it needs.
        capability: Capability,
        /// How to give it to this program.
        remedy: String,
    },
    /// There is no `iptables` to run.
    #[error("no iptables program found")]
    NoIptables,
    /// `iptables` refused.
    #[error("iptables could not {act}: {output}")]
    Iptables {
        /// What was tried.
        act: &'static str,
        /// The output of iptables.
        output: String,
    },
    /// With the guard in place the kernel still answered.
    #[error("the {} guard does not hold: the kernel answered a segment for {address} with a RST", .guard.name())]
    GuardFailed {
        /// Which guard.
        guard: GuardKind,
        /// Where the probe went.
        address: SocketAddr,
    },
    /// The operating system refused something that it usually does not.
    #[error("could not {act}: {source}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// What to do about it, in one clause or two; `None` if the error says it all.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::Ended(reason) => ended_hint(*reason)?,
            Error::Call(call) => call_hint(*call)?,
            Error::AddressNotLocal(_) => "`ip address` lists this machine's addresses",
            Error::Ipv6(_) => "use an IPv4 address",
            Error::NoRoute(to) => return Some(format!("`ip route get {to}` shows the route")),
            Error::PortInUse {
                owner: Some(owner), ..
            } if owner.state == "TIME-WAIT" => {
                "wait until TIME-WAIT ends, 60 s at most, or use another port"
            }
            Error::PortInUse { .. } => "stop that program, or use another port",
            Error::NoFreeBlock { .. } => "ask for fewer ports, or use another address",
            Error::TooFewFiles { ports, files, .. } => return Some(files_hint(*ports, *files)),
            Error::Privilege { remedy, .. } => remedy,
            Error::NoIptables => {
                "`apt-get install iptables`, or choose the listener guard, which needs none"
            }
            Error::Iptables { .. } => "choose the listener guard, which needs no firewall",
            Error::GuardFailed {
                guard: GuardKind::Iptables,
                ..
            } => "`iptables -S OUTPUT` shows the rules before ours; or choose the listener guard",
            Error::GuardFailed { .. } => "choose the iptables guard",
            Error::Io { .. } => return None,
        };
        Some(hint.into())
    }

    /// The kind that std would give the same failure.
    pub fn kind(&self) -> io::ErrorKind {
        use io::ErrorKind::*;
        match self {
            Error::Ended(reason) => ended_kind(*reason),
            Error::Call(call) => match call {
                CallError::NoConnection | CallError::Ended(_) => NotConnected,
                CallError::Closing => BrokenPipe,
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
        CloseReason::Clean => "the connection is closed",
        CloseReason::Aborted => "the connection was aborted from this side",
        CloseReason::Refused => "connection refused",
        CloseReason::Reset => "connection reset by the peer",
        CloseReason::ConnectTimeout => "connection timed out: no answer to the SYN",
        CloseReason::RetransmissionTimeout => {
            "connection timed out: the peer stopped acknowledging (R2)"
        }
        CloseReason::UserTimeout => {
            "connection timed out: data was not acknowledged within the user timeout"
        }
        CloseReason::KeepAliveTimeout => "connection timed out: no answer to the keepalive probes",
        CloseReason::FinWait2Timeout => {
            "connection timed out in FIN-WAIT-2: the peer never sent its FIN"
        }
        CloseReason::Unreachable(_) => "host unreachable: an ICMP error answered",
        CloseReason::Restarted => "the connection is lost: this host was restarted",
        CloseReason::Dropped => {
            "the connection was dropped before it was established: a limit of this stack is reached"
        }
    }
}

const fn ended_hint(reason: CloseReason) -> Option<&'static str> {
    Some(match reason {
        CloseReason::Refused => {
            "nothing listens there, or a firewall rejects it: check the port, and that the server \
             runs"
        }
        CloseReason::Reset => {
            "the peer's program aborted or crashed, or the peer no longer knows this connection"
        }
        CloseReason::ConnectTimeout => {
            "the host is down, or a firewall drops segments: check the address, and `ping` it"
        }
        CloseReason::RetransmissionTimeout => {
            "the peer or the path is down: connect again once it is back"
        }
        CloseReason::UserTimeout => "raise the user timeout, or check the path",
        CloseReason::KeepAliveTimeout => "the peer or the path is down",
        CloseReason::Unreachable(_) => "`ip route get` and `traceroute` show the path",
        CloseReason::Dropped => "raise the backlog, or close connections",
        CloseReason::Clean
        | CloseReason::Aborted
        | CloseReason::FinWait2Timeout
        | CloseReason::Restarted => return None,
    })
}

const fn ended_kind(reason: CloseReason) -> io::ErrorKind {
    match reason {
        CloseReason::Clean => io::ErrorKind::BrokenPipe,
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

const fn call_hint(call: CallError) -> Option<&'static str> {
    Some(match call {
        CallError::InUse(_) => "wait until that connection is over, or use another port",
        CallError::PortsExhausted => {
            "wait for 2 MSL after the closed connections, or reserve more ports"
        }
        CallError::BadRemote => {
            "it is broadcast, multicast or unspecified, of the other family, or its port is 0"
        }
        CallError::Limit => "close connections first",
        _ => return None,
    })
}

fn not_local(address: &IpAddr) -> &'static str {
    if address.is_unspecified() {
        "means every address, and a host has exactly one"
    } else {
        "is not an address of this machine"
    }
}

fn by(owner: &Option<PortOwner>) -> String {
    owner.as_ref().map_or_else(
        || " by a socket that the kernel does not show".into(),
        |owner| format!(" by {owner}"),
    )
}

fn whose_files(ports: u64) -> String {
    match ports {
        0 => "this needs".to_owned(),
        1 => "one port needs".to_owned(),
        ports => format!("{ports} ports need"),
    }
}

fn files_hint(ports: u64, files: u64) -> String {
    let fewer = if ports > 1 {
        "ask for fewer, or raise"
    } else {
        "raise"
    };
    format!(
        "{fewer} the limit as root: `ulimit -Hn {files}` in a shell, LimitNOFILE={files} for \
         systemd, --ulimit nofile={files} for Docker"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_ends() -> Vec<(CloseReason, io::ErrorKind)> {
        use tcpx_proto::wire::IcmpKind;
        vec![
            (CloseReason::Clean, io::ErrorKind::BrokenPipe),
            (CloseReason::Aborted, io::ErrorKind::ConnectionAborted),
            (CloseReason::Refused, io::ErrorKind::ConnectionRefused),
            (CloseReason::Reset, io::ErrorKind::ConnectionReset),
            (CloseReason::ConnectTimeout, io::ErrorKind::TimedOut),
            (CloseReason::RetransmissionTimeout, io::ErrorKind::TimedOut),
            (CloseReason::UserTimeout, io::ErrorKind::TimedOut),
            (CloseReason::KeepAliveTimeout, io::ErrorKind::TimedOut),
            (
                CloseReason::Unreachable(IcmpKind::Unreachable(1)),
                io::ErrorKind::HostUnreachable,
            ),
        ]
    }

    #[test]
    fn ended_connection_gives_the_documented_kind() {
        for (reason, kind) in all_ends() {
            let error = Error::from(CallError::Ended(reason));
            assert_eq!(io::Error::from(error).kind(), kind, "{reason:?}");
        }
    }

    #[test]
    fn io_error_made_of_ours_keeps_the_message_and_gives_it_back() {
        let error = io::Error::from(Error::Ended(CloseReason::Refused));
        assert!(error.to_string().starts_with("connection refused"));
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        assert!(matches!(inner, Some(Error::Ended(CloseReason::Refused))));
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
            "10.0.0.1:80 is in use by nginx (process 42), in LISTEN"
        );
        let hint = error.hint();
        assert_eq!(
            hint.as_deref(),
            Some("stop that program, or use another port")
        );
    }

    #[test]
    fn missing_capability_comes_with_the_command_that_gives_it() {
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        let error = Error::needs(Capability::NetRaw, "open a raw socket")(denied);
        let text = error.to_string();
        assert_eq!(
            text,
            "no permission to open a raw socket: this needs CAP_NET_RAW"
        );
        let hint = error.hint().unwrap_or_default();
        assert!(
            hint.contains("sudo setcap cap_net_raw,cap_net_admin=p /"),
            "{hint}"
        );
    }
}
