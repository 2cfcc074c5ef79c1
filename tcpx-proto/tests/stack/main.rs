//! Whose segment is it, and what does a stack answer to unknown peers: demultiplexing, listeners,
//! backlog, cookies, ports, limits and timers.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cookies;
mod fast_open;
mod invariants;
mod limits;
mod listener;
mod opening;
mod strangers;
mod time_wait;

use proptest::prelude::*;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tcpx_proto::config::{Config, ConnConfig, Isn, KeepAlive, Overflow, Profile, SynText};
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::event::{Discard, What};
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::{Signal, Stack, Transmit};
use tcpx_proto::state::State;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, Options, Segment, Timestamps};

const US: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const SERVER: u16 = 7000;
/// The ports that the stack under test has: one for a server, and these.
const CLIENTS: std::ops::RangeInclusive<u16> = 40_000..=40_009;
const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const RST_ACK: Flags = Flags(Flags::RST.0 | Flags::ACK.0);
const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);

/// A stack, and a hand that writes its peers' segments.
struct Bench {
    stack: Stack,
    now: Instant,
}

impl Bench {
    fn new(config: Config) -> Bench {
        let mut stack = Stack::new(config, 7);
        stack.record(true);
        stack.reserve(US, SERVER..=SERVER);
        stack.reserve(US, CLIENTS);
        Bench {
            stack,
            now: Instant::ZERO + Duration::from_secs(1000),
        }
    }

    fn listen(&mut self, backlog: usize) -> ListenerId {
        let config = self.stack.config().conn.clone();
        self.stack
            .listen(self.now, local(), backlog, &config)
            .unwrap()
    }

    fn connect(&mut self, port: u16, remote: SocketAddr) -> Result<ConnId, CallError> {
        let config = self.stack.config().conn.clone();
        self.stack.connect(
            self.now,
            FourTuple {
                local: (US, port).into(),
                remote,
            },
            &config,
        )
    }

    /// A segment arrives; all that is sent then.
    fn say(&mut self, header: Header, text: &[u8]) -> Vec<Header> {
        let mut packet = [0; 1600];
        let len = header.emit((text, &[]), &mut packet).unwrap();
        self.stack.packet_arrives(self.now, &packet[..len]);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Header> {
        self.transmits()
            .into_iter()
            .map(|(_, header)| header)
            .collect()
    }

    fn transmits(&mut self) -> Vec<(Transmit, Header)> {
        let mut sent = Vec::new();
        let mut packet = [0; 1600];
        while let Some(transmit) = self.stack.poll_transmit(self.now, &mut packet) {
            let segment = Segment::parse(&packet[..transmit.len], ChecksumPolicy::Strict).unwrap();
            sent.push((transmit, segment.header));
        }
        sent
    }

    fn signals(&mut self) -> Vec<Signal> {
        std::iter::from_fn(|| self.stack.poll_signal()).collect()
    }

    fn discards(&mut self) -> Vec<Discard> {
        let events = std::iter::from_fn(|| self.stack.poll_event());
        events
            .filter_map(|event| {
                if let What::Discarded(reason) = event.what {
                    Some(reason)
                } else {
                    None
                }
            })
            .collect()
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.stack.timeout(self.now);
    }

    /// A SYN from this port of the peer, and its SYN,ACK.
    fn syn(&mut self, port: u16) -> Option<Header> {
        let sent = self.say(from(port, Flags::SYN, 100, 0), &[]);
        sent.first().copied()
    }

    /// A whole handshake.
    fn enter(&mut self, port: u16) -> ConnId {
        let syn_ack = self.syn(port).unwrap();
        self.say(from(port, Flags::ACK, 101, syn_ack.seq.0 + 1), &[]);
        self.stack
            .lookup(FourTuple {
                local: local(),
                remote: (PEER, port).into(),
            })
            .unwrap()
    }

    fn state(&self, id: ConnId) -> Option<State> {
        self.stack.status(id).map(|status| status.state)
    }
}

fn local() -> SocketAddr {
    (US, SERVER).into()
}

fn peer() -> SocketAddr {
    (PEER, 9000).into()
}

fn from(port: u16, flags: Flags, seq: u32, ack: u32) -> Header {
    header((PEER, port).into(), local(), flags, seq, ack)
}

fn header(source: SocketAddr, destination: SocketAddr, flags: Flags, seq: u32, ack: u32) -> Header {
    let seq = Seq(seq);
    let ack = Seq(ack);
    let window = 65_535;
    let options = Options::default();
    Header {
        source,
        destination,
        seq,
        ack,
        flags,
        window,
        urgent: 0,
        options,
        ttl: 64,
        tos: 0,
        id: 1,
    }
}

fn small(config: ConnConfig) -> Config {
    Config {
        conn: config,
        ..Config::default()
    }
}

#[test]
fn syn_sent_linux_repeats_its_syn_once_at_a_wrong_ack_and_then_waits_for_its_timer() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(40_000, (PEER, 9000).into()).unwrap();
    let syn = bench.drain()[0];
    let wrong = header(
        (PEER, 9000).into(),
        (US, 40_000).into(),
        Flags::ACK,
        1,
        syn.seq.0.wrapping_add(9),
    );
    let flags = |sent: Vec<Header>| {
        sent.iter()
            .map(|got| (got.flags, got.seq))
            .collect::<Vec<_>>()
    };
    let reset = (Flags::RST, wrong.ack);
    assert_eq!(flags(bench.say(wrong, &[])), [reset, (Flags::SYN, syn.seq)]);
    assert_eq!(flags(bench.say(wrong, &[])), [reset]);
    let status = bench.stack.status(id).unwrap();
    assert_eq!(status.retransmissions, 1);
    let wait = status.deadline.unwrap().since(bench.now);
    assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_millis(1032));
}
