//! The devices of a namespace: their names, their offload switches and their carrier
//! (linux/ethtool.h), as `ethtool` shows and sets them.

use super::DEVICE;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

pub(super) const GRO: u32 = 0x2c;
pub(super) const TSO: u32 = 0x1f;
pub(super) const GSO: u32 = 0x24;
pub(super) const TX_CHECKSUM: u32 = 0x17;
const GET_GRO: u32 = 0x2b;
const LINK: u32 = 0x0a;
const SIOCETHTOOL: u32 = 0x8946;

/// The names of all devices.
pub fn names() -> io::Result<Vec<String>> {
    let list = fs::read_to_string("/proc/thread-self/net/dev")?;
    Ok(list
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect())
}

/// The number of this end.
pub fn index() -> io::Result<u32> {
    Ok(name_to_index(
        &socket(AddressFamily::INET, SocketType::DGRAM, None)?,
        DEVICE,
    )?)
}

/// What an ioctl says of a device (netdevice(7)) in the namespace of `socket`.
pub fn request(question: u32, socket: BorrowedFd<'_>, device: &str) -> io::Result<libc::ifreq> {
    // SAFETY: all-zero bytes are an ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0.
    request
        .ifr_name
        .iter_mut()
        .zip(device.bytes().take(libc::IFNAMSIZ - 1))
        .for_each(|(to, from)| *to = from as libc::c_char);
    // SAFETY: `request` is an ifreq and outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), question as _, &raw mut request) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(request),
    }
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ifreq` with a pointer in its union, and as long.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    value: *mut Value,
    rest: [u8; 16],
}

/// Sets one switch of [`DEVICE`].
pub(super) fn set(command: u32, on: bool) -> io::Result<()> {
    ask(DEVICE, command, u32::from(on)).map(|_| ())
}

/// Whether [`DEVICE`] has a carrier. The kernel (since 6.8) does first what it still has to do
/// because of it.
pub(super) fn carrier() -> io::Result<bool> {
    Ok(ask(DEVICE, LINK, 0)? != 0)
}

/// Whether a device merges what arrives (GRO).
pub fn merges(device: &str) -> io::Result<bool> {
    Ok(ask(device, GET_GRO, 0)? != 0)
}

fn ask(device: &str, command: u32, data: u32) -> io::Result<u32> {
    let mut value = Value { command, data };
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        value: &raw mut value,
        rest: [0; 16],
    };
    // The last byte stays 0.
    request
        .name
        .iter_mut()
        .zip(device.bytes().take(libc::IFNAMSIZ - 1))
        .for_each(|(to, from)| *to = from);
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: `request` is at least as long as the kernel's ifreq, and `value` outlives the
    // call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(value.data),
    }
}
