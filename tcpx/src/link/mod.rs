//! The way to the wire: a raw IP socket for our segments or packet sockets, and a raw one for ICMP
//! errors about them, filtered to our ports, in batches.

mod batch;
mod frames;
mod interface;
mod routes;
mod ways;

use crate::bpf::{self, aim, open_raw};
use crate::error::Error;
use crate::guard::{Guard, GuardOptions};
use crate::ports::{GuardKind, Ports};
use crate::privileges;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tcpx_proto::wire::Payload;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub use batch::SendBatch;
pub(crate) use interface::loopback_up;
pub use interface::{mtu_to, source_for};

/// The usual SO_MARK of what we send: neither kube-proxy's nor Cilium's.
pub const MARK: u32 = 0x70;

/// By which sockets segments come and go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LinkKind {
    /// A raw IP socket (raw(7)): packets take the same way through the kernel's routing and
    /// firewall as its own. Every route works.
    #[default]
    Raw,
    /// Packet sockets (packet(7)), below the kernel's IP: less work for each packet. What goes to an
    /// Ethernet neighbour goes as a frame, its next hop and hardware address being asked of the
    /// kernel once a second; the rest (a local peer, a tunnel, a neighbour that is not resolved yet)
    /// goes over a raw IP socket, as with [`Raw`](LinkKind::Raw). The frames, and what is received,
    /// pass no firewall rule of iptables or nftables (except those of its `netdev` family), no
    /// address translation and no IPsec policy.
    Packet,
}

impl LinkKind {
    /// All of them.
    pub const ALL: [LinkKind; 2] = [LinkKind::Raw, LinkKind::Packet];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            LinkKind::Raw => "raw",
            LinkKind::Packet => "packet",
        }
    }
}

/// What [`Link::open`] needs to know.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// By which sockets.
    pub kind: LinkKind,
    /// One of this machine's addresses.
    pub local: IpAddr,
    /// Which ports of it.
    pub ports: Ports,
    /// What keeps the kernel from answering for them.
    pub guard: GuardKind,
    /// The SO_MARK of what we send, by which the iptables guard knows our RSTs from the kernel's:
    /// [`MARK`] or another.
    pub mark: u32,
    /// Receive buffer to ask for, bytes as the kernel counts them (a bare ACK costs 832, a full
    /// segment 2,304). Without NET_ADMIN the kernel gives no more than `net.core.rmem_max`.
    pub receive_buffer: usize,
}

impl LinkOptions {
    /// The usual options for this address and these ports.
    pub fn new(local: IpAddr, ports: Ports) -> LinkOptions {
        LinkOptions {
            kind: LinkKind::default(),
            local,
            ports,
            guard: GuardKind::Auto,
            mark: MARK,
            receive_buffer: 8 << 20,
        }
    }

    /// What the guard needs to know of them.
    pub(crate) fn guard_options(&self) -> GuardOptions {
        GuardOptions {
            kind: self.guard,
            local: self.local,
            ports: self.ports,
            mark: self.mark,
        }
    }
}

/// What a received packet holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A TCP segment for one of our ports.
    Tcp,
    /// An ICMP error that quotes a segment from one of our ports.
    Icmp,
}

/// The text of a packet that is to be cut into segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uncut<'a> {
    pub(crate) text: Payload<'a>,
    /// How many segments, with equal parts of it.
    pub(crate) segments: usize,
}

/// Sockets for our address and ports, which stay reserved and guarded until it is dropped.
///
/// It is opened before threads and the tokio runtime exist, so that privileges can be dropped for
/// all of them ([`privileges::drop_all`]); inside the runtime [`readable`](Link::readable)
/// registers it on first use.
#[derive(Debug)]
pub struct Link {
    /// Receives segments: the raw IP socket, or a packet socket.
    segments: Receiver,
    icmp: Receiver,
    /// The raw IP socket.
    ip: Arc<Socket>,
    /// What goes past the kernel's IP.
    frames: Option<frames::Frames>,
    address: IpAddr,
    mtu: u16,
    receive_buffer: usize,
    buffers: Mutex<batch::ReceiveBuffers>,
    full_ttl_packets: AtomicU64,
    /// Declared last: while our sockets still speak for the ports, the kernel does not.
    guard: Guard,
}

/// A socket, and its place in the runtime's poll set once it has one.
#[derive(Debug)]
struct Receiver {
    socket: Arc<Socket>,
    registered: OnceLock<AsyncFd<Arc<Socket>>>,
}

/// Whether a raw TCP socket, without which no tcpx is running, is open in this network namespace.
///
/// # Errors
/// The kernel's list of raw sockets cannot be read.
pub fn is_open_here() -> io::Result<bool> {
    // The second column is the local address and, where a port would be, the protocol: TCP's is 6.
    let is_tcp = |line: &str| {
        line.split_whitespace()
            .nth(1)
            .is_some_and(|local| local.ends_with(":0006"))
    };
    Ok(std::fs::read_to_string("/proc/net/raw")?
        .lines()
        .any(is_tcp))
}

impl Link {
    /// Reserves the ports, puts the guard up and proves it, and opens the sockets.
    ///
    /// # Errors
    /// The address is not ours ([`Error::AddressNotLocal`]) or IPv6; a port is taken
    /// ([`Error::PortInUse`], [`Error::NoFreeBlock`], [`Error::TooFewFiles`]); a capability is
    /// missing ([`Error::Privilege`]); the guard cannot be put up ([`Error::NoIptables`],
    /// [`Error::Iptables`]) or does not hold ([`Error::GuardFailed`]).
    pub fn open(options: LinkOptions) -> Result<Link, Error> {
        let address = options.local;
        check_address(address)?;
        privileges::raise();
        let mtu = interface::mtu_of(address)?;
        let (ip, icmp) = open_sockets(&options)?;
        let packets = match (options.kind, address) {
            (LinkKind::Packet, IpAddr::V4(v4)) => Some((
                frames::open_receiver()?,
                frames::Frames::open(v4, options.mark)?,
            )),
            _ => None,
        };
        let guard = Guard::install(&options.guard_options())?;
        let ports = guard.ports();
        aim(&icmp, &bpf::icmp_errors_for(address, &ports))?;
        let ip = Arc::new(ip);
        let (segments, frames) = match packets {
            Some((receiver, frames)) => {
                frames::listen(&receiver, address, &ports)?;
                (Arc::new(receiver), Some(frames))
            }
            None => {
                aim(&ip, &bpf::segments_for(address, &ports))?;
                (Arc::clone(&ip), None)
            }
        };
        make_room(&segments, options.receive_buffer)?;
        Ok(Link {
            receive_buffer: segments
                .recv_buffer_size()
                .map_err(Error::io("read the size of the receive buffer"))?,
            segments: Receiver::new(segments),
            icmp: Receiver::new(Arc::new(icmp)),
            ip,
            frames,
            address,
            mtu,
            buffers: Mutex::default(),
            full_ttl_packets: AtomicU64::new(0),
            guard,
        })
    }

    /// Our address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Our ports.
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.guard.ports()
    }

    /// The largest IP packet that the interface with our address takes, bytes.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Bytes of text that the receive buffer holds when they come in full segments: half of
    /// SO_RCVBUF, the rest being the kernel's bookkeeping (the same rule of thumb by which Linux
    /// sizes its windows). Windows that add up to more invite loss.
    pub fn receive_capacity(&self) -> usize {
        self.receive_buffer / 2
    }

    /// Packets that the kernel dropped because the receive buffer was full; they look like loss on
    /// the network.
    pub fn overflows(&self) -> u64 {
        batch::drops(&self.segments.socket)
    }

    /// Packets that arrived with TTL 255 while only a listener with IP_MINTTL guards us: the kernel
    /// may have answered them.
    pub fn full_ttl_packets(&self) -> u64 {
        self.full_ttl_packets.load(Ordering::Relaxed)
    }

    /// What keeps the kernel quiet, in words.
    pub fn guard_description(&self) -> String {
        self.guard.to_string()
    }

    /// Waits until [`receive`](Link::receive) has something. Cancel-safe.
    ///
    /// # Errors
    /// Outside a tokio runtime with I/O, or when that runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        let segments = self.segments.registered()?;
        let icmp = self.icmp.registered()?;
        tokio::select! {
            ready = segments.readable() => ready.map(drop),
            ready = icmp.readable() => ready.map(drop),
        }
    }

    /// Hands each packet that waits to `each`, at most one batch of them for each socket, and says
    /// how many; 0 when none waits. Never blocks. Packets are whole (up to 64 KiB, as GRO makes
    /// them) and begin with the IP header.
    ///
    /// # Errors
    /// As [`readable`](Link::readable), or when the system refuses.
    pub fn receive(&self, mut each: impl FnMut(Kind, &[u8])) -> io::Result<usize> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = self.guard.yields_to_full_ttl();
        let below_ip = self.frames.is_some();
        let segments = self.segments.receive(&mut buffers, |packet| {
            let whole = if below_ip {
                frames::whole(packet)
            } else {
                Some(packet)
            };
            let Some(packet) = whole else { return };
            if watch && packet.get(8) == Some(&255) {
                self.note_full_ttl();
            }
            each(Kind::Tcp, packet);
        })?;
        let errors = self
            .icmp
            .receive(&mut buffers, |packet| each(Kind::Icmp, packet))?;
        Ok(segments + errors)
    }

    /// Counts a packet that went past the listener, and warns of the first.
    fn note_full_ttl(&self) {
        if self.full_ttl_packets.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "the peer sends with TTL 255, which passes the listener guard: the kernel answers \
                 it too. Choose the iptables guard"
            );
        }
    }

    /// Sends one IP packet over the raw IP socket, whatever the kind of link. Never blocks.
    ///
    /// # Errors
    /// EMSGSIZE (longer than the route's MTU, see [`mtu_to`]), EPERM (a firewall), ENOBUFS or
    /// EAGAIN (no room), ENETUNREACH and kin.
    pub fn send(&self, packet: &[u8], destination: SocketAddr) -> io::Result<()> {
        self.ip
            .send_to(packet, &without_port(destination).into())
            .map(drop)
    }

    /// Sends what is in the batch, in order, and empties it. What could not be sent is handed to
    /// `failed` with its index in the batch, and the rest goes on. Never blocks.
    pub fn flush(&self, batch: &mut SendBatch, failed: impl FnMut(usize, io::Error)) {
        self.flush_uncut(batch, None, failed);
    }

    /// The same; where there is text, the last packet in the batch is but the headers before it.
    pub(crate) fn flush_uncut(
        &self,
        batch: &mut SendBatch,
        uncut: Option<Uncut<'_>>,
        failed: impl FnMut(usize, io::Error),
    ) {
        match &self.frames {
            Some(frames) => frames.flush(&self.ip, batch, uncut, failed),
            None => batch.flush(&self.ip, failed),
        }
    }

    /// Whether the kernel or the network card cuts packets into segments on their way there.
    pub(crate) fn cuts(&self, to: IpAddr) -> bool {
        let frames = self.frames.as_ref();
        frames.is_some_and(|frames| frames.reaches(to))
    }
}

impl Receiver {
    fn new(socket: Arc<Socket>) -> Receiver {
        Receiver {
            socket,
            registered: OnceLock::new(),
        }
    }

    fn registered(&self) -> io::Result<&AsyncFd<Arc<Socket>>> {
        if let Some(registered) = self.registered.get() {
            return Ok(registered);
        }
        tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        // SAFETY: the socket is never replaced, and the Arc keeps it open for as long as the
        // AsyncFd lives.
        let new = unsafe {
            AsyncFd::register_with_interest(Arc::clone(&self.socket), Interest::READABLE)
        }?;
        Ok(self.registered.get_or_init(|| new))
    }

    /// Receives a batch. A batch that is not full emptied the socket: tell the runtime at once,
    /// instead of by one more call.
    fn receive(
        &self,
        buffers: &mut batch::ReceiveBuffers,
        each: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        let mut received = 0;
        let outcome = self.registered()?.try_io(Interest::READABLE, |socket| {
            received = buffers.receive(socket)?;
            if received < batch::RECEIVE {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        });
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => buffers.packets(received).for_each(each),
        }
        Ok(received)
    }
}

/// Raw sockets refuse a port in the address (IPv6: anything but 0 and the protocol number).
fn without_port(mut address: SocketAddr) -> SocketAddr {
    address.set_port(0);
    address
}

/// Fails unless segments for `address` are delivered here.
fn check_address(address: IpAddr) -> Result<(), Error> {
    let IpAddr::V4(v4) = address else {
        return Err(Error::Ipv6(address));
    };
    if v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() {
        return Err(Error::AddressNotLocal(address));
    }
    let socket =
        Socket::new(Domain::IPV4, Type::STREAM, None).map_err(Error::io("open a socket"))?;
    match socket.bind(&SocketAddr::new(address, 0).into()) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            Err(Error::AddressNotLocal(address))
        }
        _ => Ok(()),
    }
}

/// Both raw sockets, deaf until [`aim`]ed.
fn open_sockets(options: &LinkOptions) -> Result<(Socket, Socket), Error> {
    let tcp = open_raw(Protocol::TCP, "open a raw socket for TCP")?;
    let icmp = open_raw(Protocol::ICMPV4, "open a raw socket for ICMP")?;
    let local = SocketAddr::new(options.local, 0).into();
    tcp.bind(&local)
        .and_then(|()| icmp.bind(&local))
        .map_err(Error::io("bind the raw sockets to our address"))?;
    tcp.set_header_included_v4(true)
        .map_err(Error::io("set IP_HDRINCL"))?;
    // Only the iptables guard needs it, and who may set its rule may set this (NET_RAW alone
    // suffices since Linux 5.17).
    _ = tcp.set_mark(options.mark);
    Ok((tcp, icmp))
}

/// Asks for a receive buffer of this size.
fn make_room(socket: &Socket, bytes: usize) -> Result<(), Error> {
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, bytes).is_err() {
        socket
            .set_recv_buffer_size(bytes)
            .map_err(Error::io("set SO_RCVBUF"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
