//! Packet sockets (packet(7)) below the kernel's IP: one that receives our segments as they reach
//! it, one that sends them as Ethernet frames, with a header that says what the kernel is to do with
//! them (PACKET_VNET_HDR).

use super::Uncut;
use super::batch::{self, SendBatch};
use super::ways::{ETHERNET, Way, Ways};
use crate::bpf;
use crate::capability::Capability;
use crate::error::Error;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tcpx_proto::wire::Payload;

/// Of linux/if_packet.h; libc lacks some of them for some systems.
const PACKET_VNET_HDR: libc::c_int = 15;
const PACKET_FANOUT: libc::c_int = 18;
/// A group with a number that no other has, for which the kernel reassembles fragments.
const FANOUT: libc::c_int = (FANOUT_FLAG_UNIQUEID | FANOUT_FLAG_DEFRAG) << 16;
const FANOUT_FLAG_UNIQUEID: libc::c_int = 0x2000;
const FANOUT_FLAG_DEFRAG: libc::c_int = 0x8000;

/// Bytes of `struct virtio_net_hdr` (linux/virtio_net.h). All zeros ask for nothing.
const VNET: usize = 10;
const VIRTIO_NET_HDR_F_NEEDS_CSUM: u8 = 1;
const VIRTIO_NET_HDR_GSO_TCPV4: u8 = 1;
const IP_HEADER: usize = 20;
/// Where the checksum is in a TCP header.
const CHECKSUM: u16 = 16;
const HEAD: usize = VNET + ETHERNET;
/// What a packet is made of: head, headers, and text from a ring.
const PARTS: usize = 4;
/// Packets handed to the kernel in one call, at most.
const AT_ONCE: usize = 16;
/// Room for packets that the device has not sent yet, bytes as the kernel counts them.
const SEND_BUFFER: usize = 4 << 20;

/// The sending half.
#[derive(Debug)]
pub(super) struct Frames {
    socket: Socket,
    ways: Mutex<Ways>,
}

impl Frames {
    /// For packets from this address with this mark.
    pub(super) fn open(source: Ipv4Addr, mark: u32) -> Result<Frames, Error> {
        // Of no protocol, it receives nothing.
        let socket = open(Type::RAW)?;
        set(&socket, PACKET_VNET_HDR, 1).map_err(Error::io("set PACKET_VNET_HDR"))?;
        _ = socket.set_mark(mark);
        if rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, SEND_BUFFER).is_err() {
            socket
                .set_send_buffer_size(SEND_BUFFER)
                .map_err(Error::io("set SO_SNDBUF"))?;
        }
        Ok(Frames {
            socket,
            ways: Mutex::new(Ways::new(source, mark)?),
        })
    }

    /// Whether the next packet to `peer` goes as a frame.
    pub(super) fn reaches(&self, peer: IpAddr) -> bool {
        matches!(peer, IpAddr::V4(peer) if self.ways().is_framed(peer, Instant::now()))
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands all packets to the kernel, each its way, and empties the batch. The text of an uncut
    /// one follows the last packet, its headers.
    pub(super) fn flush(
        &self,
        ip: &Socket,
        batch: &mut SendBatch,
        uncut: Option<Uncut<'_>>,
        mut failed: impl FnMut(usize, io::Error),
    ) {
        let now = Instant::now();
        let mut packets = batch.packets().zip(batch.destinations()).peekable();
        let mut first = 0;
        while packets.peek().is_some() {
            let mut message = Messages::default();
            while message.count < AT_ONCE
                && let Some((packet, to)) = packets.next()
            {
                let uncut = uncut.filter(|_| packets.peek().is_none());
                let way = match to.as_socket().map(|to| to.ip()) {
                    Some(IpAddr::V4(peer)) if uncut.is_some() => self.ways().known(peer),
                    Some(IpAddr::V4(peer)) => self.ways().of(peer, now),
                    _ => Way::Ip,
                };
                message.add(way, packet, to, uncut);
            }
            message.send([ip, &self.socket], first, &mut failed);
            first += message.count;
        }
        drop(packets);
        batch.clear();
    }
}

/// Packets for one call, with what goes before and behind each. The lifetime is that of what they
/// point at.
struct Messages<'a> {
    count: usize,
    heads: [[u8; HEAD]; AT_ONCE],
    targets: [libc::sockaddr_ll; AT_ONCE],
    parts: [[&'a [u8]; PARTS - 1]; AT_ONCE],
    /// Where those go that have no frame.
    addresses: [Option<&'a SockAddr>; AT_ONCE],
}

impl Default for Messages<'_> {
    fn default() -> Self {
        Messages {
            count: 0,
            heads: [[0; HEAD]; AT_ONCE],
            targets: [NOWHERE; AT_ONCE],
            parts: [[&[]; PARTS - 1]; AT_ONCE],
            addresses: [None; AT_ONCE],
        }
    }
}

impl<'a> Messages<'a> {
    fn add(&mut self, way: Way, packet: &'a [u8], to: &'a SockAddr, uncut: Option<Uncut<'a>>) {
        let at = self.count;
        self.count += 1;
        match way {
            Way::Frame { interface, header } => {
                self.heads[at][VNET..].copy_from_slice(&header);
                self.targets[at] = target(interface);
            }
            Way::Ip => self.addresses[at] = Some(to),
        }
        let (mut first, mut second): Payload<'a> = (&[], &[]);
        if let Some(uncut) = uncut {
            self.heads[at][..VNET].copy_from_slice(&to_cut(packet.len(), &uncut));
            (first, second) = uncut.text;
        }
        self.parts[at] = [packet, first, second];
    }

    /// Hands them over, each to its socket: that of IP, or that of frames.
    fn send(
        &self,
        [ip, frames]: [&Socket; 2],
        index: usize,
        failed: &mut impl FnMut(usize, io::Error),
    ) {
        let mut parts: [[libc::iovec; PARTS]; AT_ONCE] = std::array::from_fn(|at| {
            let [packet, first, second] = self.parts[at];
            [&self.heads[at], packet, first, second]
                .map(|part| batch::iovec(part.as_ptr().cast_mut(), part.len()))
        });
        let mut headers: [libc::mmsghdr; AT_ONCE] =
            std::array::from_fn(|at| match self.addresses[at] {
                Some(to) => {
                    let address = (to.as_ptr().cast(), to.len());
                    batch::header(&mut parts[at][1..], Some(address))
                }
                None => {
                    let to = (&raw const self.targets[at]).cast();
                    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
                    batch::header(&mut parts[at], Some((to, len)))
                }
            });
        let mut first = 0;
        let same = |one: &Option<_>, other: &Option<_>| one.is_some() == other.is_some();
        for run in self.addresses[..self.count].chunk_by(same) {
            let socket = if run[0].is_some() { ip } else { frames };
            let headers = &mut headers[first..first + run.len()];
            // SAFETY: each header points at its iovecs in `parts`, and at an address in
            // `self.targets` or one that `self` borrows; the iovecs at what `self` has and borrows.
            // All outlive the call.
            unsafe { batch::send(socket, headers, index + first, &mut *failed) };
            first += run.len();
        }
    }
}

/// Tells the kernel to cut a packet with headers of so many bytes into segments and to add up their
/// checksums.
fn to_cut(headers: usize, uncut: &Uncut<'_>) -> [u8; VNET] {
    let text = uncut.text.0.len() + uncut.text.1.len();
    let mut header = [0; VNET];
    header[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header[1] = VIRTIO_NET_HDR_GSO_TCPV4;
    let words = [
        (ETHERNET + headers) as u16,
        (text / uncut.segments.max(1)) as u16,
        (ETHERNET + IP_HEADER) as u16,
        CHECKSUM,
    ];
    for (place, word) in header[2..].chunks_exact_mut(2).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    header
}

/// The receiving half, deaf until [`listen`].
pub(super) fn open_receiver() -> Result<Socket, Error> {
    open(Type::DGRAM)
}

/// Receives from now on what the kernel's own IP receives, of every interface, and with a whole IP
/// header at the front: behind the VLAN that it came by, without copies of what this machine sends,
/// and with fragments put together. Of that the segments to our ports.
pub(super) fn listen(
    socket: &Socket,
    address: IpAddr,
    ports: &RangeInclusive<u16>,
) -> Result<(), Error> {
    socket
        .attach_filter(&bpf::received_segments_for(address, ports))
        .map_err(Error::io("attach a socket filter"))?;
    let every = target(0);
    let len = size_of_val(&every) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `every`, which the kernel only reads.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const every).cast(), len) };
    if bound != 0 {
        return Err(Error::io("bind a packet socket")(io::Error::last_os_error()));
    }
    set(socket, PACKET_FANOUT, FANOUT).map_err(Error::io("have fragments put together"))
}

/// An IPv4 packet as the kernel's IP would hand it on: without the padding of a short frame; `None`
/// where it would drop it, because the header's sum or lengths are wrong.
pub(super) fn whole(packet: &[u8]) -> Option<&[u8]> {
    let header_len = usize::from(packet.first()? & 15) * 4;
    let words = packet.get(..header_len)?.chunks_exact(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    // At most 30 words: a carry, and perhaps one of its own.
    let folded = (sum & 0xffff) + (sum >> 16);
    if (folded & 0xffff) + (folded >> 16) != 0xffff {
        return None;
    }
    let total = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
    packet.get(..usize::from(total))
}

fn open(kind: Type) -> Result<Socket, Error> {
    Socket::new(Domain::PACKET, kind.nonblocking(), None)
        .map_err(Error::needs(Capability::NetRaw, "open a packet socket"))
}

const NOWHERE: libc::sockaddr_ll = libc::sockaddr_ll {
    sll_family: libc::AF_PACKET as u16,
    sll_protocol: (libc::ETH_P_IP as u16).to_be(),
    sll_ifindex: 0,
    sll_hatype: 0,
    sll_pkttype: 0,
    sll_halen: 0,
    sll_addr: [0; 8],
};

/// IP packets by way of an interface; 0: all of them.
fn target(interface: u32) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_ifindex: interface as libc::c_int,
        ..NOWHERE
    }
}

fn set(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which the kernel only reads.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const value).cast(),
            len,
        )
    };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(feature = "netns")]
#[cfg(test)]
mod tests;
