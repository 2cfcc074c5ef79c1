//! The hosts behind a TUN device of the server's namespace: strangers that say one thing, peers
//! that keep a connection, and routers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Header, Options, Segment};
use tcpx_tests::tun::Tun;

const ACK: Flags = Flags::ACK;
const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
/// Peers that open a connection at the same time: fewer than the backlog holds.
const AT_A_TIME: usize = 64;
/// Ports of one host.
const PORTS: usize = 20_000;

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What peers do with what they get.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Acknowledge it.
    Acknowledge,
    /// Answer that there is no room for it.
    ZeroWindow,
    /// Nothing.
    Silent,
}

#[derive(Clone, Copy, Default)]
struct Peer {
    snd_nxt: Seq,
    rcv_nxt: Option<Seq>,
}

/// All of them.
pub(super) struct Crowd {
    pub(super) tun: Tun,
    pub(super) random: Random,
    server: SocketAddr,
    peers: Vec<Peer>,
    packet: Box<[u8; 1 << 16]>,
    /// Segments written to and read from the device.
    pub(super) sent: u64,
    pub(super) replies: u64,
}

impl Crowd {
    pub(super) fn new(tun: Tun, server: SocketAddr) -> Crowd {
        Crowd {
            tun,
            random: Random(1),
            server,
            peers: Vec::new(),
            packet: Box::new([0; 1 << 16]),
            sent: 0,
            replies: 0,
        }
    }

    fn address(nth: usize) -> SocketAddr {
        let [high, low] = u16::try_from(nth / PORTS + 2).unwrap().to_be_bytes();
        let port = u16::try_from(nth % PORTS + 2000).unwrap();
        ([10, 78, high, low], port).into()
    }

    fn nth(address: SocketAddr) -> Option<usize> {
        let std::net::IpAddr::V4(ip) = address.ip() else {
            return None;
        };
        let [_, _, high, low] = ip.octets();
        let host = usize::from(u16::from_be_bytes([high, low])).checked_sub(2)?;
        Some(host * PORTS + usize::from(address.port().checked_sub(2000)?))
    }

    /// A segment to the server. Options as most stacks have them, but no timestamps.
    pub(super) fn header(&self, source: SocketAddr, flags: Flags, seq: Seq, ack: Seq) -> Header {
        let syn = flags.contains(Flags::SYN);
        Header {
            source,
            destination: self.server,
            seq,
            ack,
            flags,
            window: 60_000,
            urgent: 0,
            options: Options {
                mss: syn.then_some(1460),
                sack_permitted: syn,
                ..Options::default()
            },
            ttl: 64,
            tos: 0,
            id: 1,
        }
    }

    pub(super) fn send(&mut self, header: &Header, text: &[u8]) {
        let len = header.emit((text, &[]), &mut self.packet[..]).unwrap();
        self.write(len);
    }

    /// What is in the buffer.
    fn write(&mut self, len: usize) {
        // Full: the server's kernel is behind.
        while let Err(error) = self.tun.write(&self.packet[..len]) {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
            std::thread::yield_now();
        }
        self.sent += 1;
    }

    /// A stranger that did not speak before.
    pub(super) fn stranger(&mut self) -> SocketAddr {
        let random = self.random.next();
        let [high, low, a, b, ..] = random.to_be_bytes();
        let port = u16::from_be_bytes([a, b]).max(1024);
        // 10.78.0.1 is the device's own.
        ([10, 78, high.max(1), low], port).into()
    }

    /// An ICMP error about a segment from the server to this peer, with this sequence number.
    pub(super) fn icmp(&mut self, kind: u8, code: u8, mtu: u16, peer: SocketAddr, seq: Seq) {
        let quoted = Header {
            source: self.server,
            destination: peer,
            ..self.header(peer, ACK, seq, Seq(0))
        };
        let mut inner = [0; 100];
        quoted.emit((b"", b""), &mut inner).unwrap();
        inner[2..4].copy_from_slice(&1500u16.to_be_bytes());
        let std::net::IpAddr::V4(to) = self.server.ip() else {
            return;
        };
        let mut packet = vec![0x45, 0, 0, 56, 0, 1, 0, 0, 64, 1, 0, 0];
        packet.extend(Ipv4Addr::new(10, 78, 0, 9).octets());
        packet.extend(to.octets());
        packet.extend([kind, code, 0, 0, 0, 0]);
        packet.extend(mtu.to_be_bytes());
        packet.extend(&inner[..28]);
        seal(&mut packet, 10, 0..20);
        seal(&mut packet, 22, 20..56);
        self.packet[..56].copy_from_slice(&packet);
        self.write(56);
    }

    /// Reads and counts what the server sends, and has the peers react.
    pub(super) fn hear(&mut self, manner: Manner) {
        let mut packet = [0; 1 << 16];
        while let Ok(Some(packet)) = self.tun.read(&mut packet) {
            let Ok(segment) = Segment::parse(packet, tcpx_proto::wire::ChecksumPolicy::Partial)
            else {
                continue;
            };
            self.replies += 1;
            let header = segment.header;
            let len = segment.len();
            let empty = segment.is_empty();
            self.react(&header, len, empty, manner);
        }
    }

    fn react(&mut self, header: &Header, len: u32, empty: bool, manner: Manner) {
        let Some(peer) = Crowd::nth(header.destination).and_then(|nth| self.peers.get_mut(nth))
        else {
            return;
        };
        if header.flags == SYN_ACK {
            peer.rcv_nxt = Some(header.seq + 1);
        } else if manner == Manner::Silent {
            return;
        }
        let Some(rcv_nxt) = peer.rcv_nxt else { return };
        // A probe is empty and one below.
        if empty && header.seq == rcv_nxt && header.flags != SYN_ACK {
            return;
        }
        if manner == Manner::Acknowledge && header.seq == rcv_nxt {
            peer.rcv_nxt = Some(rcv_nxt + len);
        }
        let Peer { snd_nxt, rcv_nxt } = *peer;
        let mut answer = self.header(
            header.destination,
            ACK,
            snd_nxt,
            rcv_nxt.unwrap_or_default(),
        );
        if manner == Manner::ZeroWindow {
            answer.window = 0;
        }
        self.send(&answer, b"");
    }

    /// Opens connections, a few at a time.
    pub(super) fn open(&mut self, count: usize, manner: Manner) {
        let first = self.peers.len();
        for from in (first..first + count).step_by(AT_A_TIME) {
            let these = from..(from + AT_A_TIME).min(first + count);
            for _ in these.clone() {
                let snd_nxt = Seq(self.random.next() as u32);
                self.peers.push(Peer {
                    snd_nxt,
                    rcv_nxt: None,
                });
            }
            for nth in these.clone() {
                let iss = self.peers[nth].snd_nxt;
                self.peers[nth].snd_nxt = iss + 1;
            }
            let began = Instant::now();
            let mut again = began;
            while self.peers[these.clone()]
                .iter()
                .any(|peer| peer.rcv_nxt.is_none())
            {
                assert!(
                    began.elapsed() < Duration::from_secs(60),
                    "a connection does not open"
                );
                if Instant::now() >= again {
                    for nth in these.clone() {
                        if self.peers[nth].rcv_nxt.is_none() {
                            let iss = self.peers[nth].snd_nxt.back(1);
                            let syn = self.header(Crowd::address(nth), Flags::SYN, iss, Seq(0));
                            self.send(&syn, b"");
                        }
                    }
                    again = Instant::now() + Duration::from_secs(1);
                }
                self.tun.wait(Duration::from_millis(5)).unwrap();
                self.hear(manner);
            }
        }
    }

    /// Each peer says this.
    pub(super) fn say(&mut self, text: &[u8], manner: Manner, flags: Flags) {
        for nth in 0..self.peers.len() {
            let Peer { snd_nxt, rcv_nxt } = self.peers[nth];
            let rcv_nxt = rcv_nxt.unwrap_or_default();
            let mut header = self.header(Crowd::address(nth), flags, snd_nxt, rcv_nxt);
            if manner == Manner::ZeroWindow {
                header.window = 0;
            }
            self.send(&header, text);
            let fin = u32::from(flags == FIN_ACK);
            self.peers[nth].snd_nxt = snd_nxt + text.len() as u32 + fin;
            if nth % 32 == 0 {
                self.hear(manner);
            }
        }
    }

    /// Every peer is gone.
    pub(super) fn leave(&mut self) {
        self.say(b"", Manner::Silent, Flags::RST);
        self.peers.clear();
    }

    /// Lets the peers react for a while.
    pub(super) fn stay(&mut self, time: Duration, manner: Manner) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tun.wait(Duration::from_millis(10)).unwrap();
            self.hear(manner);
        }
    }
}

/// The Internet checksum of a range, at a place in it that is zero.
fn seal(packet: &mut [u8], at: usize, range: std::ops::Range<usize>) {
    let words = packet[range].chunks(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let sum = !((folded & 0xffff) + (folded >> 16)) as u16;
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}
