//! Which packets passed one end of the cable, and when: read from a packet socket on the device,
//! independent of both hosts.

use super::ring::{Frame, Ring};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tcpx::netns::{DEVICE, Namespace};

/// No capture keeps more bytes than this.
pub const LIMIT: usize = 64 << 20;
/// How long what was counted may take to be there: the kernel writes it at once.
const PATIENCE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// An IPv4 packet that carries TCP or ICMP.
#[derive(Clone, PartialEq, Debug)]
pub struct Packet {
    /// When it passed: seconds on the clock of [`now`](super::now).
    pub at: f64,
    /// This namespace sent it.
    pub outgoing: bool,
    /// From the IP header on.
    pub bytes: Vec<u8>,
}

/// A capture that goes on. It ends when it is dropped.
#[derive(Debug)]
pub struct Capture {
    reader: Option<JoinHandle<io::Result<Vec<Packet>>>>,
    stop: OwnedFd,
}

impl Capture {
    /// Starts: every packet that passes the cable's end after this returned is captured. Packets for
    /// another hardware address are not: a host that was made silent is not heard.
    ///
    /// Offloads make one packet of many; the cable should be [`PLAIN`](tcpx::netns::Cable::PLAIN).
    ///
    /// # Errors
    /// Those of opening a packet socket in the namespace.
    pub fn start(inside: &Namespace) -> io::Result<Capture> {
        Capture::limited(inside, DEVICE, LIMIT)
    }

    /// The same of the host's traffic to itself, which no cable shows: each packet is there twice,
    /// as it left and as it came.
    ///
    /// # Errors
    /// Those of [`start`](Capture::start).
    pub fn of_itself(inside: &Namespace) -> io::Result<Capture> {
        Capture::limited(inside, "lo", LIMIT)
    }

    fn limited(inside: &Namespace, device: &'static str, limit: usize) -> io::Result<Capture> {
        let ring = inside.run(|| Ring::open(device))?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let told = stop.try_clone()?;
        let reader = thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || Reader::new(ring, limit).run(&told))?;
        Ok(Capture {
            reader: Some(reader),
            stop,
        })
    }

    /// Ends it: everything that passed until now, in the order in which the kernel saw it.
    ///
    /// # Errors
    /// Packets were lost because the machine was too busy to read them
    /// ([`ResourceBusy`](io::ErrorKind::ResourceBusy)), were longer than the device's MTU, or were
    /// more than [`LIMIT`]: what is not whole is no evidence.
    pub fn stop(mut self) -> io::Result<Vec<Packet>> {
        self.end()
            .unwrap_or_else(|| Err(io::Error::other("the capture was stopped before")))
    }

    fn end(&mut self) -> Option<io::Result<Vec<Packet>>> {
        let reader = self.reader.take()?;
        let told = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        let captured = reader
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Some(told.map_err(io::Error::from).and(captured))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _unused = self.end();
    }
}

/// The reading thread's part.
struct Reader {
    ring: Ring,
    /// Packets taken out of the ring, whatever they were.
    taken: u64,
    /// What is kept.
    packets: Vec<Packet>,
    bytes: usize,
    limit: usize,
    /// A packet was longer than a frame.
    cut: bool,
}

impl Reader {
    fn new(ring: Ring, limit: usize) -> Reader {
        Reader {
            ring,
            taken: 0,
            packets: Vec::new(),
            bytes: 0,
            limit,
            cut: false,
        }
    }

    fn run(mut self, stop: &OwnedFd) -> io::Result<Vec<Packet>> {
        loop {
            let mut wanted = [
                PollFd::new(&self.ring, PollFlags::IN),
                PollFd::new(stop, PollFlags::IN),
            ];
            poll_again(&mut wanted, None)?;
            let [packets, told] = wanted.map(|fd| fd.revents());
            if packets.contains(PollFlags::ERR) {
                self.ring.forgive()?;
            }
            self.take();
            if self.bytes > self.limit {
                return Err(io::Error::other(format!(
                    "the capture ended at its limit of {} bytes",
                    self.limit
                )));
            }
            if told.contains(PollFlags::IN) {
                return self.drain();
            }
        }
    }

    /// Reads what the kernel had counted by the stop.
    fn drain(mut self) -> io::Result<Vec<Packet>> {
        let (counted, lost) = self.ring.counted()?;
        while self.taken + lost < counted {
            let mut wanted = [PollFd::new(&self.ring, PollFlags::IN)];
            if poll_again(&mut wanted, Some(&PATIENCE))? == 0 {
                return Err(io::Error::other(format!(
                    "{counted} packets were counted, and only {} came",
                    self.taken
                )));
            }
            self.take();
        }
        match (lost, self.cut) {
            (0, false) => Ok(self.packets),
            (0, true) => Err(io::Error::other(
                "a packet was longer than the MTU: the cable has offloads",
            )),
            _ => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("the capture lost {lost} of {counted} packets"),
            )),
        }
    }

    fn take(&mut self) {
        let calendar = super::calendar();
        let Reader {
            ring,
            packets,
            bytes,
            limit,
            cut,
            ..
        } = self;
        self.taken += ring.take(|frame| {
            if !wanted(&frame) || *bytes > *limit {
                return;
            }
            *cut |= frame.cut;
            *bytes += frame.packet.len();
            let outgoing = frame.kind == libc::PACKET_OUTGOING;
            packets.push(Packet {
                at: since_boot(frame.realtime, calendar),
                outgoing,
                bytes: frame.packet.to_vec(),
            });
        });
    }
}

/// Sent by us or to us, IPv4, TCP or ICMP.
fn wanted(frame: &Frame<'_>) -> bool {
    let ours = [libc::PACKET_HOST, libc::PACKET_OUTGOING].contains(&frame.kind);
    let version = frame.packet.first().map(|byte| byte >> 4);
    let protocol = frame.packet.get(9);
    let known = [6, 1].map(Some).contains(&protocol.copied());
    ours && frame.protocol == libc::ETH_P_IP as u16 && version == Some(4) && known
}

/// The kernel stamps packets with the calendar's time.
fn since_boot(realtime: Duration, calendar: Duration) -> f64 {
    realtime.saturating_sub(calendar).as_secs_f64()
}

/// poll(2), again where a signal came between.
fn poll_again(wanted: &mut [PollFd<'_>], patience: Option<&Timespec>) -> io::Result<usize> {
    loop {
        match poll(wanted, patience) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::kernel;
    use crate::linux::sample::Sample;
    use crate::pair::{pair_or_skip, plain_pair};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use tcpx::netns::{A, B, Cable};
    use tcpx_proto::wire::{ChecksumPolicy, Segment};

    fn rst(id: u16) -> Vec<u8> {
        Sample {
            flags: "R",
            id,
            ..Sample::SYN
        }
        .bytes()
    }

    fn ids(packets: &[Packet]) -> Vec<u16> {
        packets
            .iter()
            .map(|packet| {
                Segment::parse(&packet.bytes, ChecksumPolicy::Strict)
                    .unwrap()
                    .header
                    .id
            })
            .collect()
    }

    #[test]
    fn packet_sent_just_before_the_stop_is_captured_at_both_ends() {
        let Some((a, b)) = plain_pair() else { return };
        for round in 0..20 {
            let captures = [Capture::start(&a).unwrap(), Capture::start(&b).unwrap()];
            let sent: Vec<u16> = (1..=round).collect();
            sent.iter()
                .for_each(|id| kernel::send(&a, &rst(*id)).unwrap());
            let [ours, theirs] = captures.map(|capture| capture.stop().unwrap());
            assert_eq!((ids(&ours), ids(&theirs)), (sent.clone(), sent));
            assert!(
                ours.iter().all(|packet| packet.outgoing)
                    && theirs.iter().all(|packet| !packet.outgoing)
            );
        }
    }

    /// What is captured of this text, and of a datagram.
    fn bulk(text: &[u8], a: &Namespace, b: &Namespace) -> io::Result<Vec<Packet>> {
        let capture = Capture::start(b).unwrap();
        let listener = b.run(|| TcpListener::bind((B, 7))).unwrap();
        let mut client = a.run(|| TcpStream::connect((B, 7))).unwrap();
        a.run(|| UdpSocket::bind((A, 0))?.send_to(b"not TCP", (B, 9)))
            .unwrap();
        let server = thread::spawn(move || {
            listener
                .accept()
                .unwrap()
                .0
                .read_to_end(&mut Vec::new())
                .unwrap()
        });
        client.write_all(text).unwrap();
        drop(client);
        assert_eq!(server.join().unwrap(), text.len());
        capture.stop()
    }

    #[test]
    fn bulk_is_captured_without_a_loss_and_other_protocols_are_not() {
        let text = vec![7; 16 << 20];
        let mut packets = Err(io::ErrorKind::ResourceBusy.into());
        // A machine that is too busy for it says so, and nothing else is wrong.
        for _ in 0..5 {
            let Some((a, b)) = plain_pair() else { return };
            packets = bulk(&text, &a, &b);
            if !packets
                .as_ref()
                .is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
            {
                break;
            }
        }
        let packets = packets.unwrap();
        let received = packets
            .iter()
            .filter(|packet| !packet.outgoing && packet.bytes[9] == 6);
        let bytes: usize = received
            .map(|packet| {
                Segment::parse(&packet.bytes, ChecksumPolicy::Strict)
                    .unwrap()
                    .payload
                    .len()
            })
            .sum();
        assert!(bytes >= text.len(), "{bytes} of {} bytes", text.len());
        // The answer to the datagram, whose port is closed, is ICMP.
        assert_eq!(
            packets.iter().filter(|packet| packet.bytes[9] == 1).count(),
            1
        );
        assert!(
            packets
                .iter()
                .all(|packet| [1, 6].contains(&packet.bytes[9]))
        );
    }

    #[test]
    fn capture_past_its_limit_says_so() {
        let Some((a, _b)) = plain_pair() else { return };
        let limits = [80, 79].map(|limit| Capture::limited(&a, DEVICE, limit).unwrap());
        (1..=2).for_each(|id| kernel::send(&a, &rst(id)).unwrap());
        let [enough, capture] = limits;
        assert_eq!(ids(&enough.stop().unwrap()), [1, 2]);
        let error = capture.stop().unwrap_err().to_string();
        assert!(error.contains("limit"), "{error}");
    }

    #[test]
    fn segments_that_offloads_merged_are_no_evidence() {
        let Some((a, b)) = pair_or_skip(Cable::default()) else {
            return;
        };
        let capture = Capture::start(&a).unwrap();
        let listener = b.run(|| TcpListener::bind((B, 7))).unwrap();
        let mut client = a.run(|| TcpStream::connect((B, 7))).unwrap();
        client.write_all(&[7; 8000]).unwrap();
        drop(client);
        listener
            .accept()
            .unwrap()
            .0
            .read_to_end(&mut Vec::new())
            .unwrap();
        assert!(capture.stop().unwrap_err().to_string().contains("offloads"));
    }

    #[test]
    fn cable_that_goes_down_and_up_does_not_end_a_capture() {
        let Some((a, b)) = plain_pair() else { return };
        let capture = Capture::start(&a).unwrap();
        kernel::send(&a, &rst(1)).unwrap();
        crate::linux::cable::cable(&a, false).unwrap();
        assert!(kernel::send(&a, &rst(2)).is_err());
        crate::linux::cable::cable(&a, true).unwrap();
        kernel::send(&a, &rst(3)).unwrap();
        drop(b);
        assert_eq!(ids(&capture.stop().unwrap()), [1, 3]);
    }
}
