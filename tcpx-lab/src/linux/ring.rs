//! A packet socket whose packets the kernel writes into memory that it shares with us (packet(7),
//! PACKET_RX_RING).
//!
//! A plain packet socket holds some 90 full segments until it is read, and an ordinary user cannot
//! make it hold more: on a busy machine the reader is late and packets are lost. The ring holds
//! thousands, and the kernel counts what it put there, so that its reader knows when it has read
//! everything.

use libc::{c_int, c_uint};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Bytes of the whole ring.
const RING: usize = 16 << 20;
/// Bytes that the kernel allocates in one piece; frames are powers of two, so that they fill the
/// pieces without gaps.
const BLOCK: usize = 128 << 10;
/// What stands before the packet in a frame: TPACKET_ALIGN(TPACKET2_HDRLEN), and 16 bytes that the
/// kernel leaves for a link header.
const BEFORE_PACKET: usize = 80;
/// Where `struct sockaddr_ll` stands in a frame.
const ADDRESS: usize = size_of::<libc::tpacket2_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);

/// The socket and its memory.
pub(super) struct Ring {
    socket: OwnedFd,
    memory: NonNull<u8>,
    /// Bytes of a frame.
    frame: usize,
    /// The frame that the kernel fills next but for those that it filled already.
    next: usize,
}

// SAFETY: the memory is a mapping of this process that only this value knows; any thread may use
// it, one at a time.
unsafe impl Send for Ring {}

/// A packet in the ring.
pub(super) struct Frame<'a> {
    /// `PACKET_HOST` and so on.
    pub(super) kind: u8,
    /// The link's protocol number.
    pub(super) protocol: u16,
    /// When, since 1970.
    pub(super) realtime: Duration,
    /// From the IP header on.
    pub(super) packet: &'a [u8],
    /// It was longer than a frame.
    pub(super) cut: bool,
}

impl Ring {
    /// Opens one on a device of the calling thread's namespace. What passes from now on is in it.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW, ENODEV without such a device.
    pub(super) fn open(device: &str) -> io::Result<Ring> {
        // Protocol 0: nothing comes before the ring is there and the device is chosen.
        let socket = socket_with(
            AddressFamily::PACKET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let index = name_to_index(&socket, device)?;
        let frame = (BEFORE_PACKET + mtu(&socket, device)?)
            .next_power_of_two()
            .max(2048);
        let block = BLOCK.max(frame);
        let version: c_int = libc::tpacket_versions::TPACKET_V2 as c_int;
        set_option(&socket, libc::PACKET_VERSION, &version)?;
        let request = libc::tpacket_req {
            tp_block_size: block as c_uint,
            tp_block_nr: (RING / block) as c_uint,
            tp_frame_size: frame as c_uint,
            tp_frame_nr: (RING / frame) as c_uint,
        };
        set_option(&socket, libc::PACKET_RX_RING, &request)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED;
        // SAFETY: a new mapping where the kernel likes, of the size that the ring was just given.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                RING,
                protection,
                flags,
                socket.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory =
            NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("a mapping at 0"))?;
        let ring = Ring {
            socket,
            memory,
            frame,
            next: 0,
        };
        ring.bind(index)?;
        Ok(ring)
    }

    /// Starts, for every protocol: a socket for one protocol gets no outgoing packets.
    fn bind(&self, index: u32) -> io::Result<()> {
        // SAFETY: all-zero bytes are a sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index.cast_signed();
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the address is a sockaddr_ll of this length and outlives the call.
        checked(unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), length) })
    }

    /// Hands over the packets that are there, in order, and says how many they were.
    pub(super) fn take(&mut self, mut taker: impl FnMut(Frame<'_>)) -> u64 {
        let mut taken = 0;
        loop {
            // SAFETY: `next` is below the number of frames, so the frame lies in the mapping.
            let start = unsafe { self.memory.add(self.next * self.frame) };
            // SAFETY: a frame begins with `tp_status`, aligned, which both sides access as one
            // word.
            let status = unsafe { AtomicU32::from_ptr(start.cast().as_ptr()) };
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return taken;
            }
            // SAFETY: the frame is ours, all of it, until its status is set back.
            taker(Frame::of(unsafe {
                std::slice::from_raw_parts(start.as_ptr(), self.frame)
            }));
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % (RING / self.frame);
            taken += 1;
        }
    }

    /// How many packets came since this was asked last, and how many of them found no room.
    pub(super) fn counted(&self) -> io::Result<(u64, u64)> {
        let mut counts = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        get_option(
            &self.socket,
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            &mut counts,
        )?;
        Ok((counts.tp_packets.into(), counts.tp_drops.into()))
    }

    /// Forgets an error that the socket keeps: that the device went down, say. Packets come again
    /// when it is up.
    pub(super) fn forgive(&self) -> io::Result<()> {
        let mut error: c_int = 0;
        get_option(&self.socket, libc::SOL_SOCKET, libc::SO_ERROR, &mut error)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `open` with this size, and no frame of it is borrowed any
        // more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), RING) };
    }
}

impl<'a> Frame<'a> {
    /// Reads `struct tpacket2_hdr` and `struct sockaddr_ll`. The kernel wrote them: what is not
    /// there reads as 0.
    fn of(frame: &'a [u8]) -> Frame<'a> {
        use libc::{sockaddr_ll, tpacket2_hdr};
        let bytes = |at: usize| frame.get(at..).and_then(<[u8]>::first_chunk);
        let word = |at| bytes(at).map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let half = |at: usize| {
            frame
                .get(at..)
                .and_then(<[u8]>::first_chunk)
                .map_or([0; 2], |bytes| *bytes)
        };
        let start = usize::from(u16::from_ne_bytes(half(offset_of!(tpacket2_hdr, tp_net))));
        let kept = word(offset_of!(tpacket2_hdr, tp_snaplen));
        let whole = word(offset_of!(tpacket2_hdr, tp_len));
        let seconds = u64::from(word(offset_of!(tpacket2_hdr, tp_sec)));
        Frame {
            kind: frame
                .get(ADDRESS + offset_of!(sockaddr_ll, sll_pkttype))
                .copied()
                .unwrap_or_default(),
            protocol: u16::from_be_bytes(half(ADDRESS + offset_of!(sockaddr_ll, sll_protocol))),
            realtime: Duration::new(seconds, word(offset_of!(tpacket2_hdr, tp_nsec))),
            packet: frame.get(start..start + kept as usize).unwrap_or_default(),
            cut: kept < whole,
        }
    }
}

/// The device's MTU.
fn mtu(socket: &OwnedFd, device: &str) -> io::Result<usize> {
    let request = tcpx::netns::device::request(libc::SIOCGIFMTU as u32, socket.as_fd(), device)?;
    // SAFETY: SIOCGIFMTU filled this field.
    Ok(usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).unwrap_or(0))
}

fn set_option<T>(socket: &OwnedFd, name: c_int, value: &T) -> io::Result<()> {
    let value = std::ptr::from_ref(value);
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value is of this length and outlives the call.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            name,
            value.cast(),
            length,
        )
    })
}

fn get_option<T>(socket: &OwnedFd, level: c_int, name: c_int, value: &mut T) -> io::Result<()> {
    let value = std::ptr::from_mut(value);
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into the value, which are plain integers.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.cast(),
            &raw mut length,
        )
    })
}

fn checked(result: c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
