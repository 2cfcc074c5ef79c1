//! Any text as lines of the fault language and as a line of options; what is a rule judges a
//! conversation.

use crate::bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use tcpx_proto::fault::{self, Direction, FaultRule, Gate};
use tcpx_proto::knob::Settings;
use tcpx_proto::lexer::Mistake;
use tcpx_proto::seq::Seq;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, Options, Segment, Timestamps};

/// The most rules of a gate.
const MOST: usize = 8;
/// The most packets that come out of a gate for each that goes in.
const COPIES: usize = 1 << 16;
const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 4000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 80);

/// A mistake is shown in its line; what is none can be played.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Err(mistake) = Settings::parse(text) {
        is_in(&mistake, text);
    }
    let mut rules = Vec::new();
    for line in text.lines() {
        match FaultRule::parse(line) {
            Ok(rule) => {
                assert_eq!(rule.text, line);
                rules.push(rule);
            }
            Err(mistake) => is_in(&mistake, line),
        }
    }
    rules.truncate(MOST);
    if let Err((rule, mistake)) = fault::check(&rules) {
        is_in(&mistake, &rule.text);
    }
    if !rules.is_empty() {
        play(rules, Bytes(data));
    }
}

/// A mistake is a part of its text, and says what is wrong.
pub(crate) fn is_in(mistake: &Mistake, text: &str) {
    assert!(
        text.get(mistake.span.clone()).is_some(),
        "{mistake:?} is not in {text:?}"
    );
    assert!(!mistake.message.is_empty());
}

/// Each segment of a conversation goes through the gate, from its sender's side.
fn play(rules: Vec<FaultRule>, mut bytes: Bytes<'_>) {
    let mut gate = Gate::new(rules, 1);
    let mut now = Instant::ZERO;
    for (direction, flags, len) in [
        (Direction::Out, Flags::SYN, 0),
        (Direction::In, Flags::SYN | Flags::ACK, 0),
        (Direction::Out, Flags::ACK, 0),
        (Direction::Out, Flags::ACK | Flags::PSH, 100),
        (Direction::Out, Flags::ACK | Flags::PSH, 100),
        (Direction::In, Flags::ACK, 1400),
        (Direction::In, Flags::ACK | Flags::FIN, 3),
        (Direction::Out, Flags::ACK | Flags::FIN, 0),
        (Direction::In, Flags::RST, 0),
    ] {
        now = now + Duration::from_millis(u64::from(bytes.byte()) * 10);
        let mut packet = packet(direction, flags, len, u32::from(bytes.byte() % 4));
        let judgement = gate.offer(now, direction, None, &mut packet);
        if judgement.goes_on() {
            is_segment(&packet);
        }
        drain(&mut gate, now);
    }
    // Whatever was held for a time goes on at its time; the rest waits for its release.
    let mut rounds = 0;
    while let Some(at) = gate.deadline() {
        now = now.max(at);
        drain(&mut gate, now);
        rounds += 1;
        assert!(rounds < COPIES, "the gate's timers make no progress");
    }
    gate.release_all();
    drain(&mut gate, now);
    assert_eq!(gate.deadline(), None, "something is kept after its release");
}

fn drain(gate: &mut Gate, now: Instant) {
    let mut copies = 0;
    while let Some(released) = gate.poll(now) {
        is_segment(&released.packet);
        copies += 1;
        assert!(copies < COPIES, "the gate does not run empty");
    }
}

fn is_segment(packet: &[u8]) {
    let read = Segment::parse(packet, ChecksumPolicy::Ignore);
    assert!(read.is_ok(), "{read:?}: {packet:?}");
}

fn packet(direction: Direction, flags: Flags, len: usize, turn: u32) -> Vec<u8> {
    let [client, server] = [SocketAddr::from(CLIENT), SocketAddr::from(SERVER)];
    let (source, destination) = match direction {
        Direction::Out => (client, server),
        Direction::In => (server, client),
    };
    let syn = flags.contains(Flags::SYN);
    let header = Header {
        source,
        destination,
        seq: Seq(1000 * turn),
        ack: Seq(500),
        flags,
        window: 1000,
        urgent: 0,
        options: Options {
            mss: syn.then_some(1460),
            window_scale: syn.then_some(7),
            sack_permitted: syn,
            timestamps: Some(Timestamps { value: 1, echo: 2 }),
            ..Options::default()
        },
        ttl: 64,
        tos: 0,
        id: 7,
    };
    let mut packet = vec![0; len + 100];
    let written = header.emit((&vec![b'x'; len], &[]), &mut packet);
    packet.truncate(written.unwrap_or_default());
    packet
}
