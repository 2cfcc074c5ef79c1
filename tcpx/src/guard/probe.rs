//! The proof: a SYN to our own port over the loopback interface, and whether the kernel answers it.

use crate::bpf;
use crate::error::Error;
use socket2::{Protocol, Socket};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Header, Options};

/// How long to wait for an answer. The RST is there when the send call returns (1000 of 1000 times
/// on Linux 6.18); this is for the kernel that hands the segment to another thread.
const PATIENCE: Duration = Duration::from_millis(10);

/// Sends SYNs to ports of an address of ours and listens for answers.
#[derive(Debug)]
pub(super) struct Probe {
    socket: Socket,
    address: IpAddr,
    from: u16,
}

impl Probe {
    /// A probe for these ports. It sends with our mark: with net.ipv4.fwmark_reflect the kernel's
    /// RST would bear it too, and pass.
    pub(super) fn new(
        address: IpAddr,
        ports: &RangeInclusive<u16>,
        mark: u32,
    ) -> Result<Probe, Error> {
        let socket = bpf::open_raw(Protocol::TCP, "open a raw socket for the guard's probe")?;
        socket
            .set_nonblocking(false)
            .map_err(Error::io("make the probe's socket wait"))?;
        socket
            .bind(&SocketAddr::new(address, 0).into())
            .map_err(Error::io("bind the probe's socket"))?;
        socket
            .set_header_included_v4(true)
            .map_err(Error::io("set IP_HDRINCL"))?;
        _ = socket.set_mark(mark);
        socket
            .set_read_timeout(Some(PATIENCE))
            .map_err(Error::io("set a timeout"))?;
        // A port outside ours. An answer to it does no harm, whichever program has it: it belongs
        // to no
        // connection.
        let from = if *ports.start() > 1 {
            ports.start() - 1
        } else {
            ports.end().saturating_add(1)
        };
        Ok(Probe {
            socket,
            address,
            from,
        })
    }

    /// Whether the kernel answers a SYN to `port`.
    pub(super) fn is_answered(&self, port: u16) -> Result<bool, Error> {
        let to = SocketAddr::new(self.address, port);
        let seq = Seq(super::random() as u32);
        // Only this answer: no other traffic between these ports has this sequence number.
        bpf::aim(
            &self.socket,
            &bpf::answer(self.address, port, self.from, seq + 1),
        )?;
        let mut packet = [0; 40];
        let header = Header {
            source: SocketAddr::new(self.address, self.from),
            destination: to,
            seq,
            ack: Seq(0),
            flags: Flags::SYN,
            window: 0,
            urgent: 0,
            options: Options::default(),
            ttl: 64,
            tos: 0,
            id: 1,
        };
        let len = header.emit((&[], &[]), &mut packet).unwrap_or(0);
        let packet = packet.get(..len).unwrap_or_default();
        self.socket
            .send_to(packet, &SocketAddr::new(self.address, 0).into())
            .map_err(Error::io("send the guard's probe"))?;
        loop {
            return match self.socket.recv(&mut [std::mem::MaybeUninit::uninit()]) {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(Error::Io {
                    act: "listen for an answer to the guard's probe",
                    source: error,
                }),
            };
        }
    }
}
