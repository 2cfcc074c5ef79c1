//! The fast paths (bursts, header prediction, the quick reader of plain packets) do what the RFC's
//! checks do without them: two pairs of stacks live through the same, one with them and one without,
//! and after every step both have sent the same packets, with the same labels, and are in the same
//! state.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use tcpx_proto::config::{
    AckPace, Config, Congestion, Ecn, KeepAlive, Profile, Recovery, UrgentData,
};
use tcpx_proto::event::Event;
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::label::Label;
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::{Most, Signal, Stack, Transmit};
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{
    ChecksumKind, ChecksumPolicy, Flags, Header, SackBlocks, Segment, fix_checksums,
};

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 7000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 9000);
/// One way.
const WAY: Duration = Duration::from_millis(3);

/// What one call of one stack left behind.
#[derive(Debug, PartialEq)]
struct Trail {
    packets: Vec<(Vec<u8>, Label, Option<ConnId>)>,
    signals: Vec<Signal>,
    events: Vec<Event>,
}

/// One host twice: with fast paths and without.
struct Twins {
    fast: Stack,
    slow: Stack,
    /// Packets that left in a burst, behind the first of it.
    repeated: usize,
    buffer: Vec<u8>,
    /// Its link cuts packets into segments.
    cuts: bool,
}

impl Twins {
    fn new(
        config: &Config,
        seed: u64,
        at: ([u8; 4], u16),
        (recorded, cuts): (bool, bool),
        room: usize,
    ) -> Twins {
        let stack = |fast| {
            let mut stack = Stack::new(config.clone(), seed);
            stack.fast_paths(fast);
            stack.record(recorded);
            stack.reserve(at.0.into(), at.1..=at.1);
            stack
        };
        Twins {
            fast: stack(true),
            slow: stack(false),
            repeated: 0,
            buffer: vec![0; room],
            cuts,
        }
    }

    /// The same call of both.
    fn call<R: PartialEq + std::fmt::Debug>(&mut self, act: impl Fn(&mut Stack) -> R) -> R {
        let result = act(&mut self.fast);
        assert_eq!(result, act(&mut self.slow));
        result
    }

    /// What the fast one sends next.
    fn burst(&mut self, now: Instant) -> Option<(Transmit, Vec<Vec<u8>>)> {
        if !self.cuts {
            let most = |_| Most::Packets(usize::MAX);
            let (transmit, _) = self.fast.poll_burst(now, &mut self.buffer, most)?;
            assert!(transmit.count * transmit.len <= self.buffer.len());
            let written = self.buffer.chunks_exact(transmit.len).take(transmit.count);
            return Some((transmit, written.map(<[u8]>::to_vec).collect()));
        }
        let most = self.buffer.len();
        let mut headers = vec![0; 9000];
        let (transmit, (first, second)) = self
            .fast
            .poll_burst(now, &mut headers, |_| Most::Uncut(most))?;
        headers.truncate(transmit.len);
        let text = [first, second].concat();
        if text.is_empty() {
            return Some((transmit, vec![headers]));
        }
        assert!(headers.len() + text.len() <= most && transmit.count > 1);
        Some((transmit, cut(&headers, &text, transmit.count)))
    }

    /// What both left behind, which is the same.
    fn drain(&mut self, now: Instant) -> Trail {
        let mut packets = Vec::new();
        while let Some((transmit, burst)) = self.burst(now) {
            self.repeated += transmit.count - 1;
            packets.extend(
                burst
                    .into_iter()
                    .map(|packet| (packet, transmit.label, transmit.conn)),
            );
        }
        let fast = Trail {
            packets,
            signals: std::iter::from_fn(|| self.fast.poll_signal()).collect(),
            events: std::iter::from_fn(|| self.fast.poll_event()).collect(),
        };
        let mut packets = Vec::new();
        while let Some(transmit) = self.slow.poll_transmit(now, &mut self.buffer) {
            let packet = self.buffer[..transmit.len].to_vec();
            packets.push((packet, transmit.label, transmit.conn));
        }
        let slow = Trail {
            packets,
            signals: std::iter::from_fn(|| self.slow.poll_signal()).collect(),
            events: std::iter::from_fn(|| self.slow.poll_event()).collect(),
        };
        assert_eq!(fast, slow);
        assert!(self.fast == self.slow, "they differ in what they do next");
        assert_eq!(self.fast.counters(), self.slow.counters());
        fast
    }
}

/// Cuts a packet into segments, as Linux does (`tcp_gso_segment`, `inet_gso_segment`).
fn cut(headers: &[u8], text: &[u8], count: usize) -> Vec<Vec<u8>> {
    let whole = [headers, text].concat();
    let parsed = Segment::parse(&whole, ChecksumPolicy::Partial).unwrap();
    assert_eq!(
        (parsed.checksum, parsed.payload),
        (ChecksumKind::Partial, text)
    );
    assert_eq!(text.len() % count, 0);
    let id = parsed.header.id;
    let parts = text.chunks_exact(text.len() / count).enumerate();
    let segment = |(at, part): (usize, &[u8])| {
        let mut packet = [headers, part].concat();
        let len = packet.len() as u16;
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[4..6].copy_from_slice(&id.wrapping_add(at as u16).to_be_bytes());
        let seq = parsed.header.seq + (at * part.len()) as u32;
        packet[24..28].copy_from_slice(&seq.0.to_be_bytes());
        fix_checksums(&mut packet);
        packet
    };
    parts.map(segment).collect()
}

struct World {
    hosts: [Twins; 2],
    conns: [Option<ConnId>; 2],
    listener: ListenerId,
    cable: VecDeque<(Instant, usize, Vec<u8>)>,
    now: Instant,
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize, usize),
    Receive(usize, usize),
    Shutdown(usize),
    Close(usize),
    Wait(u64),
    /// The n-th packet under way is lost, comes twice, or comes last.
    Lose(usize),
    Double(usize),
    Delay(usize),
    /// A router marks it.
    Mark(usize),
    /// It comes with this in place of what its sender wrote.
    Forge(usize, Lie),
    Spoil(usize),
}

#[derive(Clone, Debug)]
enum Lie {
    Seq(i32),
    Ack(i32),
    Window(u16),
    Flags(u8),
    Stamp(i32),
    Sack(i32),
}

impl World {
    fn new(configs: &[Config; 2], recorded_and_cut: (bool, bool), room: usize) -> World {
        let now = Instant::ZERO + Duration::from_secs(1);
        let mut hosts = [
            Twins::new(&configs[0], 1, CLIENT, recorded_and_cut, room),
            Twins::new(&configs[1], 2, SERVER, recorded_and_cut, room),
        ];
        let listener = hosts[1].call(|stack| {
            stack
                .listen(now, SERVER.into(), 8, &configs[1].conn)
                .unwrap()
        });
        let tuple = FourTuple {
            local: CLIENT.into(),
            remote: SERVER.into(),
        };
        let conn = hosts[0].call(|stack| stack.connect(now, tuple, &configs[0].conn).unwrap());
        World {
            hosts,
            conns: [Some(conn), None],
            listener,
            cable: VecDeque::new(),
            now,
        }
    }

    fn drain(&mut self) {
        for at in [0, 1] {
            let trail = self.hosts[at].drain(self.now);
            for (packet, ..) in trail.packets {
                self.cable.push_back((self.now + WAY, 1 - at, packet));
            }
            if trail.signals.contains(&Signal::Acceptable(self.listener)) {
                let (now, listener) = (self.now, self.listener);
                self.conns[1] = self.hosts[1].call(|stack| stack.accept(now, listener).ok());
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.drain();
            let arrival = self.cable.iter().map(|(at, ..)| *at).min();
            // Either may be too early: a timer that was postponed.
            let hosts = self.hosts.iter();
            let deadlines = hosts.flat_map(|host| [host.fast.deadline(), host.slow.deadline()]);
            let next = deadlines.chain([arrival]).flatten().min();
            let Some(at) = next.filter(|at| *at <= until) else {
                break;
            };
            let now = self.now.max(at);
            self.now = now;
            let due = self.cable.iter().position(|(at, ..)| *at <= now);
            if let Some((_, to, packet)) = due.and_then(|index| self.cable.remove(index)) {
                self.hosts[to].call(|stack| stack.packet_arrives(now, &packet));
            }
            for host in &mut self.hosts {
                host.call(|stack| stack.timeout(now));
            }
        }
        self.now = until;
    }

    fn step(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Wait(millis) => self.run(Duration::from_millis(millis)),
            Step::Send(at, len) => self.with(at, |stack, id| stack.send(now, id, &vec![7; len])),
            Step::Receive(at, len) => {
                self.with(at, |stack, id| stack.receive(now, id, &mut vec![0; len]))
            }
            Step::Shutdown(at) => self.with(at, |stack, id| stack.shutdown(now, id)),
            Step::Close(at) => self.with(at, |stack, id| stack.close(now, id)),
            ref fault => self.damage(fault),
        }
        self.drain();
    }

    fn with<R: PartialEq + std::fmt::Debug>(
        &mut self,
        at: usize,
        act: impl Fn(&mut Stack, ConnId) -> R,
    ) {
        if let Some(id) = self.conns[at] {
            self.hosts[at].call(|stack| act(stack, id));
        }
    }

    fn damage(&mut self, fault: &Step) {
        let (Step::Lose(index)
        | Step::Double(index)
        | Step::Delay(index)
        | Step::Mark(index)
        | Step::Spoil(index)
        | Step::Forge(index, _)) = *fault
        else {
            return;
        };
        if self.cable.is_empty() {
            return;
        }
        let index = index % self.cable.len();
        let (at, to, mut packet) = self.cable.remove(index).unwrap();
        match fault {
            Step::Lose(_) => return,
            Step::Double(_) => self.cable.insert(index, (at, to, packet.clone())),
            Step::Delay(_) => return self.cable.push_back((at + 2 * WAY, to, packet)),
            Step::Mark(_) => {
                packet[1] |= 3;
                fix_checksums(&mut packet);
            }
            Step::Forge(_, lie) => packet = forged(&packet, lie),
            _ => packet[39] ^= 1,
        }
        self.cable.insert(index, (at, to, packet));
    }
}

fn forged(packet: &[u8], lie: &Lie) -> Vec<u8> {
    let segment = Segment::parse(packet, ChecksumPolicy::Ignore).unwrap();
    let mut header: Header = segment.header;
    let by = |seq: Seq, by: i32| Seq(seq.0.wrapping_add_signed(by));
    match *lie {
        Lie::Seq(n) => header.seq = by(header.seq, n),
        Lie::Ack(n) => header.ack = by(header.ack, n),
        Lie::Window(window) => header.window = window,
        Lie::Flags(flags) => header.flags = Flags(flags),
        Lie::Stamp(n) => {
            if let Some(stamps) = &mut header.options.timestamps {
                stamps.value = stamps.value.wrapping_add_signed(n);
            }
        }
        Lie::Sack(n) => {
            header.options.sack = SackBlocks::default();
            header
                .options
                .sack
                .push(by(header.ack, n), by(header.ack, n) + 100);
        }
    }
    let mut buffer = vec![0; packet.len() + 60];
    let len = header.emit((segment.payload, &[]), &mut buffer).unwrap();
    buffer.truncate(len);
    buffer
}

fn any_step() -> impl Strategy<Value = Step> {
    let lie = prop_oneof![
        (-3000..3000i32).prop_map(Lie::Seq),
        (-3000..3000i32).prop_map(Lie::Ack),
        prop_oneof![Just(0), any::<u16>()].prop_map(Lie::Window),
        any::<u8>().prop_map(Lie::Flags),
        (-2000..2000i32).prop_map(Lie::Stamp),
        (-5000..5000i32).prop_map(Lie::Sack),
    ];
    let length = || prop_oneof![1 => 1..2000usize, 2 => 1..100_000usize];
    prop_oneof![
        12 => (0..2usize, length()).prop_map(|(at, len)| Step::Send(at, len)),
        8 => (0..2usize, length()).prop_map(|(at, len)| Step::Receive(at, len)),
        16 => (0..20u64).prop_map(Step::Wait),
        1 => (0..3000u64).prop_map(Step::Wait),
        2 => (0..100usize).prop_map(Step::Lose),
        1 => (0..100usize).prop_map(Step::Double),
        1 => (0..100usize).prop_map(Step::Delay),
        1 => (0..100usize).prop_map(Step::Mark),
        1 => (0..100usize).prop_map(Step::Spoil),
        2 => (0..100usize, lie).prop_map(|(index, lie)| Step::Forge(index, lie)),
        1 => (0..2usize).prop_map(Step::Shutdown),
        1 => (0..2usize).prop_map(Step::Close),
    ]
}

prop_compose! {
    fn any_config()(
        profile in prop::sample::select(Profile::ALL.to_vec()),
        [timestamps, sack, scaling, no_delay, linux_pace, keepalive, stock] in any::<[bool; 7]>(),
        congestion in prop::sample::select(vec![Congestion::NewReno, Congestion::Cubic, Congestion::Off]),
        recovery in prop::sample::select(vec![Recovery::NewReno, Recovery::Rfc6675, Recovery::Rack]),
        ecn in prop::sample::select(vec![Ecn::Off, Ecn::On]),
        mtu in prop::sample::select(vec![576, 1500, 9000]),
        [receive_buffer, send_buffer] in [1000..300_000usize, 1000..300_000usize],
        max_memory in prop_oneof![4 => Just(1 << 30), 1 => 0..200_000usize],
    ) -> Config {
        let mut config = profile.config();
        config.max_memory = max_memory;
        let conn = &mut config.conn;
        if !stock {
            conn.timestamps = timestamps;
            conn.sack = sack;
            conn.window_scaling = scaling;
            conn.no_delay = no_delay;
            conn.congestion = congestion;
            conn.recovery = recovery;
            conn.ecn = ecn;
            conn.ack_pace = if linux_pace { AckPace::Linux } else { AckPace::Rfc9293 };
            conn.urgent = UrgentData::Inline;
            if keepalive {
                conn.keepalive = Some(KeepAlive { idle: Duration::from_millis(50), ..KeepAlive::default() });
            }
        }
        conn.mtu = mtu;
        conn.receive_buffer = receive_buffer;
        conn.send_buffer = send_buffer;
        config
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn fast_paths_do_what_the_checks_do(
        configs in [any_config(), any_config()],
        recorded in prop::bool::weighted(0.2),
        cuts: bool,
        room in prop_oneof![1 => Just(9000), 3 => Just(65_535)],
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let mut world = World::new(&configs, (recorded, cuts), room);
        world.run(Duration::from_millis(20));
        for step in &steps {
            world.step(step);
        }
        world.run(Duration::from_secs(3));
    }
}

/// Where everything goes well most segments take them.
#[test]
fn most_of_a_transfer_leaves_in_bursts() {
    for cuts in [false, true] {
        let config = Profile::Linux.config();
        let mut world = World::new(&[config.clone(), config], (false, cuts), 65_535);
        world.run(Duration::from_millis(20));
        for _ in 0..20 {
            world.step(&Step::Send(0, 50_000));
            world.step(&Step::Wait(20));
            world.step(&Step::Receive(1, 100_000));
        }
        let sent = world.hosts[0].fast.counters().packets_out as usize;
        let repeated = world.hosts[0].repeated;
        assert!(
            sent > 300 && repeated * 3 > sent * 2,
            "{repeated} of {sent}, {cuts}"
        );
    }
}
