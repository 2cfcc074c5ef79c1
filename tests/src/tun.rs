//! A TUN device: one host, the kernel or tcpx, on one side, and this program as every other host of
//! its network on the other. Nothing is lost, reordered or delayed between the two.

use rtnetlink::LinkUnspec;
use rtnetlink::packet_route::link::LinkAttribute;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use tcpx::netns::{Namespace, configure};
use tcpx_proto::wire::{ChecksumPolicy, Header, Illegal, Segment};
use tun_rs::{DeviceBuilder, SyncDevice};

/// The host's address. Every other address of 10.78.0.0/16 is a peer that this program plays.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);

/// Packets that wait to be read before one is dropped.
const QUEUE: u32 = 100_000;

/// The device.
pub struct Tun {
    device: SyncDevice,
}

impl fmt::Debug for Tun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tun").finish_non_exhaustive()
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Why there is no device, and what to do.
fn explain(error: io::Error) -> io::Error {
    let what = match error.raw_os_error() {
        Some(libc::EACCES) => {
            "cannot open /dev/net/tun: run this as root, or once, as root: chmod 666 /dev/net/tun"
        }
        Some(libc::ENOENT) => "there is no /dev/net/tun: once, as root: modprobe tun",
        _ => "no TUN device",
    };
    io::Error::new(error.kind(), format!("{what} ({error})"))
}

impl Tun {
    /// A device `tun0` with this MTU in the namespace, which has [`HOST`] and is up.
    ///
    /// # Errors
    /// Those of opening `/dev/net/tun` and of rtnetlink; EPERM without CAP_NET_ADMIN.
    pub fn new(inside: &Namespace, mtu: u16) -> io::Result<Tun> {
        inside.run(|| {
            let device = DeviceBuilder::new()
                .name("tun0")
                .enable(false)
                .build_sync()
                .map_err(explain)?;
            device.set_nonblocking(true)?;
            // No router solicitations.
            _ = std::fs::write("/proc/sys/net/ipv6/conf/tun0/disable_ipv6", "1");
            let index = device.if_index()?;
            configure(async |netlink| {
                let link = LinkUnspec::new_with_index(index)
                    .mtu(u32::from(mtu))
                    .append_extra_attribute(LinkAttribute::TxQueueLen(QUEUE))
                    .up();
                netlink.link().set(link.build()).execute().await?;
                let address = netlink.address().add(index, HOST.into(), 16);
                address.execute().await
            })?;
            Ok(Tun { device })
        })
    }

    /// A namespace of its own with such a device.
    ///
    /// # Errors
    /// Those of [`Namespace::new`] and of [`Tun::new`].
    pub fn alone(mtu: u16) -> io::Result<(Namespace, Tun)> {
        let inside = Namespace::new()?;
        let tun = Tun::new(&inside, mtu)?;
        Ok((inside, tun))
    }

    /// The host receives this packet.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn write(&self, packet: &[u8]) -> io::Result<()> {
        self.device.send(packet).map(drop)
    }

    /// The host receives this segment. `options` replaces those of the header.
    ///
    /// # Errors
    /// Those of write(2); the segment is too long for IP.
    pub fn send(&self, header: &Header, text: &[u8], options: Option<&[u8]>) -> io::Result<()> {
        let mut packet = [0; 1 << 16];
        let illegal = Illegal {
            options,
            ..Illegal::default()
        };
        let length = header
            .emit_illegal((text, &[]), &illegal, &mut packet)
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
        self.write(packet.get(..length).unwrap_or_default())
    }

    /// The next packet that the host has sent; `None` if there is none yet.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn read<'a>(&self, packet: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        match self.device.recv(packet) {
            Ok(length) => Ok(packet.get(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next TCP segment that the host has sent, with the whole packet; anything else is left
    /// out.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn receive<'a>(
        &self,
        packet: &'a mut [u8; 1 << 16],
    ) -> io::Result<Option<(Segment<'a>, &'a [u8])>> {
        let length = loop {
            match self.read(packet)?.map(|packet| {
                Segment::parse(packet, ChecksumPolicy::Strict)
                    .is_ok()
                    .then_some(packet.len())
            }) {
                None => return Ok(None),
                Some(None) => {}
                Some(Some(length)) => break length,
            }
        };
        let packet = packet.get(..length).unwrap_or_default();
        Ok(Segment::parse(packet, ChecksumPolicy::Strict)
            .ok()
            .map(|segment| (segment, packet)))
    }

    /// Waits until the host has sent something, at most so long; says whether it has.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, patience: Duration) -> io::Result<bool> {
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut descriptors = [PollFd::new(&self.device, PollFlags::IN)];
        match poll(&mut descriptors, Some(&patience)) {
            Err(rustix::io::Errno::INTR) => Ok(false),
            ready => Ok(ready? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip;
    use std::net::{SocketAddr, TcpListener};
    use tcpx_proto::seq::Seq;
    use tcpx_proto::wire::{Flags, Options};

    #[test]
    fn kernel_answers_a_syn_through_the_device() {
        let Some((inside, tun)) = skip::or_skip(Tun::alone(1500)) else {
            return;
        };
        let local = SocketAddr::from((HOST, 7000));
        let listener = inside.run(|| TcpListener::bind(local)).unwrap();
        let syn = Header {
            source: SocketAddr::from(([10, 78, 0, 2], 9)),
            destination: local,
            seq: Seq(100),
            ack: Seq(0),
            flags: Flags::SYN,
            window: 1000,
            urgent: 0,
            options: Options::default(),
            ttl: 64,
            tos: 0,
            id: 0,
        };
        tun.send(&syn, &[], Some(&[2, 4, 1, 0])).unwrap();
        let mut packet = [0; 1 << 16];
        let (answer, _) = tun.receive(&mut packet).unwrap().unwrap();
        assert_eq!(answer.header.flags, Flags::SYN | Flags::ACK);
        assert_eq!(answer.header.ack, Seq(101));
        drop(listener);
    }
}
