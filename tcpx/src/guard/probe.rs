//! The proof: a SYN to our own port over the loopback interface, and whether the kernel answers it.

use crate::bpf;
use crate::error::Error;
use rustix::thread::{self, CpuSet};
use socket2::{Protocol, Socket};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Header, Options};

/// Sentinels sent after the SYN, each when the one before it has arrived. The kernel handles the
/// packets of a CPU in order: with the first, the SYN has been handled, and an answer is on its way;
/// with the second, the answer has arrived. (The answer is there when the call that sends the SYN
/// returns, 1000 of 1000 times on Linux 6.18, but not where the kernel leaves it to a thread.)
const SENTINELS: usize = 2;

/// How long to wait where a sentinel is lost.
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
        // to no connection.
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
        let seq = Seq(super::random() as u32);
        // Only the answer and the sentinels: no other traffic has this acknowledgment number.
        bpf::aim(&self.socket, &bpf::acknowledges(self.address, seq + 1))?;
        let _here = StayHere::new();
        self.send(port, seq, Seq(0), Flags::SYN)?;
        for _ in 0..SENTINELS {
            // Nobody answers a RST. A firewall may refuse it: then there is time to wait.
            _ = self.send(port, seq + 1, seq + 1, Flags::RST | Flags::ACK);
            match self.hear()? {
                Some((from, to)) if (from, to) == (port, self.from) => return Ok(true),
                Some(_) => {}
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    fn send(&self, port: u16, seq: Seq, ack: Seq, flags: Flags) -> Result<(), Error> {
        let header = Header {
            source: SocketAddr::new(self.address, self.from),
            destination: SocketAddr::new(self.address, port),
            seq,
            ack,
            flags,
            window: 0,
            urgent: 0,
            options: Options::default(),
            ttl: 64,
            tos: 0,
            id: 1,
        };
        let mut packet = [0; 40];
        let len = header.emit((&[], &[]), &mut packet).unwrap_or(0);
        let packet = packet.get(..len).unwrap_or_default();
        self.socket
            .send_to(packet, &SocketAddr::new(self.address, 0).into())
            .map(drop)
            .map_err(Error::io("send the guard's probe"))
    }

    /// The ports of the next packet; `None`: none comes.
    fn hear(&self) -> Result<Option<(u16, u16)>, Error> {
        let mut packet = [0; 64];
        loop {
            return match (&self.socket).read(&mut packet) {
                Ok(_) => Ok(Some(ports(&packet))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(Error::Io {
                    act: "listen for an answer to the guard's probe",
                    source: error,
                }),
            };
        }
    }
}

/// The source and destination port of an IPv4 packet; zeros where it is too short.
fn ports(packet: &[u8]) -> (u16, u16) {
    let header = packet
        .first()
        .map_or(0, |first| usize::from(first & 0xf) * 4);
    let port = |at| {
        let octets = packet.get(header + at..header + at + 2);
        octets.map_or(0, |octets| u16::from_be_bytes([octets[0], octets[1]]))
    };
    (port(0), port(2))
}

/// Keeps the thread on its CPU, whose packets are handled in order, until it is dropped.
struct StayHere(Option<CpuSet>);

impl StayHere {
    fn new() -> StayHere {
        let before = thread::sched_getaffinity(None).ok();
        let mut here = CpuSet::new();
        here.set(thread::sched_getcpu());
        // Where that is forbidden the probe is nearly as good.
        _ = thread::sched_setaffinity(None, &here);
        StayHere(before)
    }
}

impl Drop for StayHere {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            _ = thread::sched_setaffinity(None, before);
        }
    }
}
