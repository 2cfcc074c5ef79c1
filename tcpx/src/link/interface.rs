//! What the kernel's routing knows: our MTU, the way to a peer, the address that we have there.

use crate::error::Error;
use pnet_datalink::NetworkInterface;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// The local address from which the kernel would speak to `remote`.
///
/// # Errors
/// [`Error::NoRoute`] when it knows no way there.
pub fn source_for(remote: SocketAddr) -> Result<IpAddr, Error> {
    //= MUST-44
    routed(remote.ip())
        .map(|socket| socket.local_addr())
        .map_err(no_route(remote.ip()))?
        .map(|local| local.ip())
        .map_err(Error::io("read an address"))
}

/// The largest IP packet that goes to `remote`, as far as the kernel knows, bytes.
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

/// The MTU of the interface that has `address`, bytes; that of loopback for an address which is
/// ours without being listed (127/8).
pub(super) fn mtu_of(address: IpAddr) -> Result<u16, Error> {
    let has_address =
        |interface: &NetworkInterface| interface.ips.iter().any(|network| network.ip() == address);
    match pnet_datalink::interfaces().into_iter().find(has_address) {
        Some(NetworkInterface { name, .. }) => {
            interface_mtu(&name).map_err(Error::io("read the MTU of an interface"))
        }
        None => Ok(u16::MAX),
    }
}

/// Puts up the loopback interface of this network namespace (netdevice(7)).
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: all zeros is a valid ifreq: an empty name and a union of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads the name in `request`, which is terminated, and its flags.
    match unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw mut request,
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn interface_mtu(name: &str) -> io::Result<u16> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // SAFETY: all zeros is a valid ifreq: an empty name and a union of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0.
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = from as libc::c_char;
    }
    // SAFETY: SIOCGIFMTU reads the name in `request`, which is terminated, and writes `ifru_mtu`.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU as _, &raw mut request) } {
        // SAFETY: the call that succeeded has written this member.
        0 => Ok(clamp(unsafe { request.ifr_ifru.ifru_mtu } as u32)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A UDP socket that the kernel has chosen a route for; nothing is sent.
fn routed(remote: IpAddr) -> io::Result<UdpSocket> {
    let any = if remote.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((remote, 9))?;
    Ok(socket)
}

fn no_route(remote: IpAddr) -> impl FnOnce(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            Error::NoRoute(remote)
        }
        _ => Error::Io {
            act: "look up a route",
            source: error,
        },
    }
}

/// The loopback interface's 65,536 is one more than an IP packet can be long.
fn clamp(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or(u16::MAX)
}
