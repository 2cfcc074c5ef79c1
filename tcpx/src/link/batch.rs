//! Many packets in one system call, through buffers that are made once.

use super::without_port;
use socket2::{SockAddr, Socket};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// Packets received in one call, at most.
pub(super) const RECEIVE: usize = 16;
/// Packets handed to the kernel in one call, at most.
const SEND: usize = 64;
/// The longest IP packet; GRO makes packets of up to this length, and none may be cut.
const LONGEST: usize = 65_535;
/// SO_MEMINFO of asm-generic/socket.h, the same on every architecture that Rust supports with tokio
/// but sparc and parisc.
const SO_MEMINFO: libc::c_int = 55;

/// Room for one batch of packets of any length.
#[derive(Debug)]
pub(super) struct ReceiveBuffers {
    bytes: Box<[u8]>,
    lengths: [usize; RECEIVE],
}

impl Default for ReceiveBuffers {
    fn default() -> ReceiveBuffers {
        ReceiveBuffers {
            bytes: vec![0; RECEIVE * LONGEST].into(),
            lengths: [0; RECEIVE],
        }
    }
}

impl ReceiveBuffers {
    /// Receives what waits, at most a batch, and says how many packets that was.
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut parts = self.bytes.chunks_exact_mut(LONGEST);
        let mut parts: [libc::iovec; RECEIVE] = std::array::from_fn(|_| {
            parts
                .next()
                .map_or(EMPTY, |part| iovec(part.as_mut_ptr(), part.len()))
        });
        let mut headers: [libc::mmsghdr; RECEIVE] =
            std::array::from_fn(|at| header(std::slice::from_mut(&mut parts[at]), None));
        let received = retry(|| {
            // SAFETY: each header points at one iovec in `parts`, each iovec at its own part of
            // `self.bytes`, and both outlive the call.
            unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    RECEIVE as u32,
                    libc::MSG_DONTWAIT as _,
                    std::ptr::null_mut(),
                )
            }
        })?;
        for (length, header) in self.lengths.iter_mut().zip(&headers) {
            *length = header.msg_len as usize;
        }
        Ok(received)
    }

    /// The first `count` packets of the last batch.
    pub(super) fn packets(&self, count: usize) -> impl Iterator<Item = &[u8]> {
        self.bytes
            .chunks_exact(LONGEST)
            .zip(self.lengths)
            .take(count)
            .filter_map(|(part, length)| part.get(..length))
    }
}

/// Packets to send, one behind the other in memory that is used again and again.
///
/// The engine writes into [`room`](SendBatch::room); [`commit`](SendBatch::commit) keeps what it
/// wrote; [`Link::flush`](super::Link::flush) sends it all.
#[derive(Debug)]
pub struct SendBatch {
    bytes: Box<[u8]>,
    used: usize,
    /// The longest packet, bytes, and the most packets.
    longest: usize,
    most: usize,
    packets: Vec<(usize, SockAddr)>,
}

impl SendBatch {
    /// Room for `count` packets (at least one, at most 64) of up to `bytes` each, the link's MTU.
    pub fn new(count: usize, bytes: u16) -> SendBatch {
        let most = count.clamp(1, SEND);
        let longest = usize::from(bytes).max(1);
        SendBatch {
            bytes: vec![0; most * longest].into(),
            used: 0,
            longest,
            most,
            packets: Vec::with_capacity(most),
        }
    }

    /// Where the next packets go, one behind the other, [`left`](SendBatch::left) at most; `None`
    /// when the batch is full.
    pub fn room(&mut self) -> Option<&mut [u8]> {
        if self.is_full() {
            return None;
        }
        self.bytes.get_mut(self.used..)
    }

    /// How many packets more it takes, if each is as long as can be.
    pub fn left(&self) -> usize {
        self.most - self.packets.len()
    }

    /// Keeps `count` packets of `len` bytes each at the start of the room, to `destination`.
    pub fn commit(&mut self, len: usize, count: usize, destination: SocketAddr) {
        let to: SockAddr = without_port(destination).into();
        for _ in 0..count.min(self.left()) {
            let len = len.min(self.bytes.len() - self.used);
            self.packets.push((len, to.clone()));
            self.used += len;
        }
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        self.left() == 0 || self.bytes.len() - self.used < self.longest
    }

    /// Whether there is no packet in it.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Packets in the batch.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// The packets in the batch, in order.
    pub fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        self.packets.iter().map_while(move |(len, _)| {
            let (packet, behind) = rest.split_at_checked(*len)?;
            rest = behind;
            Some(packet)
        })
    }

    /// The packets in the batch, in order, each with where it goes.
    pub(crate) fn addressed(&self) -> impl Iterator<Item = (&[u8], Option<SocketAddr>)> {
        let destinations = self.packets.iter().map(|(_, to)| to.as_socket());
        self.packets().zip(destinations)
    }

    /// Where each packet goes, in order.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &SockAddr> {
        self.packets.iter().map(|(_, to)| to)
    }

    pub(crate) fn clear(&mut self) {
        self.packets.clear();
        self.used = 0;
    }

    /// Hands all packets to a raw IP socket.
    pub(super) fn flush(&mut self, socket: &Socket, failed: impl FnMut(usize, io::Error)) {
        let mut parts = [EMPTY; SEND];
        for (part, packet) in parts.iter_mut().zip(self.packets()) {
            *part = iovec(packet.as_ptr().cast_mut(), packet.len());
        }
        let mut headers: [libc::mmsghdr; SEND] = std::array::from_fn(|at| {
            let part = std::slice::from_mut(&mut parts[at]);
            let to = self.packets.get(at);
            header(part, to.map(|(_, to)| (to.as_ptr().cast(), to.len())))
        });
        let count = self.packets.len();
        // SAFETY: each of the `count` headers points at its iovec in `parts`, at a packet in
        // `self.bytes` and at an address in `self.packets`; all outlive the call.
        unsafe { send(socket, &mut headers[..count], 0, failed) };
        self.clear();
    }
}

/// Hands messages to a socket, in order. One that cannot be sent is handed to `failed`, its index
/// counted from `first`, and the rest goes on.
///
/// # Safety
/// Each header points at iovecs, bytes and an address that outlive the call. The kernel only reads
/// them.
pub(super) unsafe fn send(
    socket: &Socket,
    headers: &mut [libc::mmsghdr],
    first: usize,
    mut failed: impl FnMut(usize, io::Error),
) {
    let mut done = 0;
    while let Some(rest) = headers.get_mut(done..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the caller's; the kernel writes msg_len of headers in `rest` alone.
        let sent = retry(|| unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                rest.as_mut_ptr(),
                rest.len() as u32,
                libc::MSG_DONTWAIT as _,
            )
        });
        match sent {
            Ok(sent) => done += sent,
            // The kernel reports an error only when it met it at the first packet of the call.
            Err(error) => {
                failed(first + done, error);
                done += 1;
            }
        }
    }
}

/// Packets that a socket lost for want of room, since it was opened.
pub(super) fn drops(socket: &Socket) -> u64 {
    let mut memory = [0u32; libc::SK_MEMINFO_DROPS as usize + 1];
    let mut len = size_of_val(&memory) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `memory`, and the kernel writes no more than
    // that.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            memory.as_mut_ptr().cast(),
            &mut len,
        )
    };
    if outcome == 0 {
        u64::from(memory[libc::SK_MEMINFO_DROPS as usize])
    } else {
        0
    }
}

pub(super) const EMPTY: libc::iovec = libc::iovec {
    iov_base: std::ptr::null_mut(),
    iov_len: 0,
};

pub(super) fn iovec(base: *mut u8, len: usize) -> libc::iovec {
    libc::iovec {
        iov_base: base.cast(),
        iov_len: len,
    }
}

/// A message header for these parts, and an address where there is one.
pub(super) fn header(
    parts: &mut [libc::iovec],
    to: Option<(*const libc::c_void, libc::socklen_t)>,
) -> libc::mmsghdr {
    // SAFETY: all zeros is a valid mmsghdr (null pointers, no lengths); a literal could not name
    // musl's private padding.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_iov = parts.as_mut_ptr();
    header.msg_hdr.msg_iovlen = parts.len() as _;
    if let Some((name, len)) = to {
        header.msg_hdr.msg_name = name.cast_mut();
        header.msg_hdr.msg_namelen = len;
    }
    header
}

/// Calls until no signal interrupts; a negative result is errno.
fn retry(mut call: impl FnMut() -> libc::c_int) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(count) => return Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}
