//! Who owns a port: asked of the kernel's socket tables (sock_diag), and of /proc for the program
//! behind the socket.

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;
use tcpx_proto::state::State;

/// Asks for sockets that are bound and neither listen nor connect (include/net/tcp_states.h, since
/// Linux 6.8).
const BOUND_INACTIVE: u32 = 1 << 13;

/// A kernel socket that owns a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortOwner {
    /// Its state, in the RFC's spelling; `bound` when it neither listens nor connects.
    pub state: &'static str,
    /// Name and id of its process, where there is one that we may see.
    pub program: Option<(String, u32)>,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            Some((name, pid)) => write!(f, "{name} (process {pid}), in {}", self.state),
            None => write!(f, "a kernel socket in {}", self.state),
        }
    }
}

/// The kernel socket that holds this address and port; `None` where the kernel does not show one.
pub(crate) fn of(address: SocketAddr) -> Option<PortOwner> {
    let sockets = [AF_INET, AF_INET6]
        .into_iter()
        .flat_map(|family| sockets_on(family, address.port()).unwrap_or_default());
    let holds = |socket: &InetResponseHeader| {
        let theirs = socket.socket_id.source_address.to_canonical();
        theirs == address.ip() || theirs.is_unspecified()
    };
    // A listener says more than the connections that it made.
    let socket = sockets.filter(holds).max_by_key(|socket| {
        (
            kernel_state(socket.state) == Some(State::Listen),
            socket.inode,
        )
    })?;
    Some(PortOwner {
        state: kernel_state(socket.state).map_or("bound", State::name),
        program: program(socket.inode),
    })
}

/// All TCP sockets of a family with this local port.
fn sockets_on(family: u8, port: u16) -> std::io::Result<Vec<InetResponseHeader>> {
    let mut netlink = Socket::new(
        Domain::from(libc::AF_NETLINK),
        Type::DGRAM,
        Some(Protocol::from(libc::NETLINK_SOCK_DIAG)),
    )?;
    netlink.set_read_timeout(Some(Duration::from_secs(1)))?;
    netlink.write_all(&request(family, port))?;
    let mut sockets = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let received = netlink.read(&mut buffer)?;
        let mut rest = buffer.get(..received).unwrap_or_default();
        while !rest.is_empty() {
            let Ok(message) = NetlinkMessage::<SockDiagMessage>::deserialize(rest) else {
                return Ok(sockets);
            };
            let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) =
                message.payload
            else {
                return Ok(sockets);
            };
            if response.header.socket_id.source_port == port {
                sockets.push(response.header);
            }
            let aligned = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(aligned..).unwrap_or_default();
        }
    }
}

fn request(family: u8, port: u16) -> Vec<u8> {
    let socket_id = SocketId {
        source_port: port,
        ..if family == AF_INET {
            SocketId::new_v4()
        } else {
            SocketId::new_v6()
        }
    };
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::from_bits_retain(StateFlags::all().bits() | BOUND_INACTIVE),
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The kernel's number of a state (include/net/tcp_states.h) as the RFC's.
pub const fn kernel_state(number: u8) -> Option<State> {
    Some(match number {
        1 => State::Established,
        2 => State::SynSent,
        3 | 12 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        _ => return None,
    })
}

/// The process that has this socket open; another user's is only seen by root.
fn program(inode: u32) -> Option<(String, u32)> {
    if inode == 0 {
        return None;
    }
    let target = format!("socket:[{inode}]");
    let has_it = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|link| link.as_os_str() == target.as_str())
    };
    let processes = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pid = processes.into_iter().find(has_it)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some((name.trim_end().into(), pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, TcpListener};

    fn us() -> Option<u32> {
        Some(std::process::id())
    }

    #[test]
    fn listener_is_named_with_state_and_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = of(listener.local_addr().unwrap()).unwrap();
        assert_eq!(owner.state, "LISTEN");
        assert_eq!(owner.program.map(|(_, pid)| pid), us());
    }

    #[test]
    fn wildcard_listener_holds_every_address() {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(any) else {
                continue;
            };
            let address = SocketAddr::new(
                IpAddr::from([127, 0, 0, 1]),
                listener.local_addr().unwrap().port(),
            );
            assert_eq!(of(address).unwrap().state, "LISTEN", "{any}");
        }
    }

    #[test]
    fn free_port_has_no_owner() {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert_eq!(of(port), None);
    }
}
