//! No storm of answers: a segment without text or FIN that fits nowhere is answered at most once
//! per challenge interval, whatever is wrong with it, so that two ends never keep answering each
//! other's answers (RFC 5961 sections 5 and 7; Linux: `tcp_oow_rate_limited`).
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use common::{ACK, Bench, FIN_ACK, PEER_ISS, SYN_ACK, Sent, with};
use proptest::prelude::*;
use tcpx_proto::config::Profile;
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::Stack;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, SackBlocks, Segment, Timestamps};

const STATES: [&str; 13] = [
    "SYN-SENT",
    "SYN-RECEIVED(active)",
    "SYN-RECEIVED(passive)",
    "ESTABLISHED",
    "FIN-WAIT-1",
    "FIN-WAIT-1(orphan)",
    "FIN-WAIT-2",
    "FIN-WAIT-2(orphan)",
    "CLOSE-WAIT",
    "CLOSING",
    "LAST-ACK",
    "TIME-WAIT",
    "LISTEN",
];

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn by(base: Seq, by: i32) -> Seq {
    Seq(base.0.wrapping_add_signed(by))
}

/// In that state, with timestamps.
fn in_state(profile: Profile, state: &str) -> Bench {
    let config = with(profile.config(), |conn| conn.timestamps = true);
    let mut bench = Bench::new(config).with_timestamps(1000);
    bench.enter(state);
    bench.stack.record(false);
    bench
}

/// The answers that may be answered in turn: a RST never is.
fn answers(sent: &[Sent]) -> usize {
    sent.iter()
        .filter(|sent| !sent.header.flags.contains(Flags::RST))
        .count()
}

/// 2,000 copies within a second, in that state; how many answers that are no RST.
fn flood(profile: Profile, state: &str, forge: impl Fn(&Bench) -> (Header, Vec<u8>)) -> usize {
    let mut bench = in_state(profile, state);
    let mut count = 0;
    for round in 1..=2000 {
        bench.run(Duration::from_micros(500));
        let (header, text) = forge(&bench);
        let sent = bench.say(header, &text);
        count += answers(&sent);
        assert!(sent.len() <= 2, "{state} {round}: {sent:?}");
    }
    count
}

type Forge = fn(&Bench) -> Header;

/// Without text or FIN, or with a SYN: outside the window, with a wrong ACK, or too old.
const EMPTY: &[(&str, Forge)] = &[
    ("SYN below", |bench| {
        bench.header(bench.rcv_nxt.back(1000), Seq(0), Flags::SYN)
    }),
    ("SYN above", |bench| {
        bench.header(bench.rcv_nxt + 500_000, Seq(0), Flags::SYN)
    }),
    ("SYN again", |bench| {
        bench.header(PEER_ISS, Seq(0), Flags::SYN)
    }),
    ("SYN,FIN below", |bench| {
        bench.header(bench.rcv_nxt.back(1000), Seq(0), Flags::SYN | Flags::FIN)
    }),
    ("SYN,ACK again", |bench| {
        bench.header(PEER_ISS, bench.snd_nxt, SYN_ACK)
    }),
    ("SYN,ACK above", |bench| {
        bench.header(bench.rcv_nxt + 500_000, bench.snd_nxt, SYN_ACK)
    }),
    ("ACK below", |bench| {
        bench.header(bench.rcv_nxt.back(1), bench.snd_nxt, ACK)
    }),
    ("ACK above", |bench| {
        bench.header(bench.rcv_nxt + 500_000, bench.snd_nxt, ACK)
    }),
    ("ACK of unsent data", |bench| {
        bench.header(bench.rcv_nxt, bench.snd_nxt + 1000, ACK)
    }),
    ("ACK much too old", |bench| {
        bench.header(bench.rcv_nxt, bench.snd_una.back(1_000_000), ACK)
    }),
    ("RST in the window", |bench| {
        bench.header(bench.rcv_nxt + 100, Seq(0), Flags::RST)
    }),
    ("SYN,RST below", |bench| {
        bench.header(bench.rcv_nxt.back(1000), Seq(0), Flags::SYN | Flags::RST)
    }),
    ("nothing", |bench| {
        bench.header(bench.rcv_nxt.back(1), Seq(0), Flags::empty())
    }),
    ("ACK with an old timestamp", |bench| {
        old(bench.header(bench.rcv_nxt, bench.snd_nxt, ACK))
    }),
    ("SYN with an old timestamp", |bench| {
        old(bench.header(bench.rcv_nxt, Seq(0), Flags::SYN))
    }),
    ("SYN,ACK with an old timestamp", |bench| {
        old(bench.header(bench.rcv_nxt, bench.snd_nxt, SYN_ACK))
    }),
];

fn old(mut header: Header) -> Header {
    header.options.timestamps = Some(Timestamps {
        value: 1000u32.wrapping_sub(1 << 30),
        echo: 0,
    });
    header
}

#[test]
fn any_state_flooded_without_text_answers_once_per_challenge_interval() {
    let mut storms = Vec::new();
    for profile in Profile::ALL {
        for state in STATES {
            for (kind, forge) in EMPTY {
                // The first may open or change something; then two intervals begin in a second.
                let count = flood(profile, state, |bench| (forge(bench), Vec::new()));
                if count > 4 {
                    storms.push(format!("{} {state} {kind}: {count}", profile.name()));
                }
            }
        }
    }
    assert!(storms.is_empty(), "{}", storms.join("\n"));
}

#[test]
fn any_state_flooded_by_syns_with_text_answers_once_per_challenge_interval() {
    for profile in Profile::ALL {
        for state in STATES {
            let count = flood(profile, state, |bench| {
                (
                    bench.header(bench.rcv_nxt.back(1000), Seq(0), Flags::SYN),
                    vec![0; 10],
                )
            });
            assert!(count <= 4, "{} {state}: {count}", profile.name());
        }
    }
}

#[test]
fn any_state_flooded_by_old_text_and_fins_answers_each() {
    for profile in Profile::ALL {
        for state in [
            "ESTABLISHED",
            "FIN-WAIT-1",
            "FIN-WAIT-2",
            "CLOSE-WAIT",
            "CLOSING",
            "LAST-ACK",
            "TIME-WAIT",
        ] {
            let text = flood(profile, state, |bench| {
                (
                    bench.header(bench.rcv_nxt.back(1000), bench.snd_una, ACK),
                    vec![0; 10],
                )
            });
            let fin = flood(profile, state, |bench| {
                (
                    bench.header(bench.rcv_nxt.back(1000), bench.snd_una, FIN_ACK),
                    Vec::new(),
                )
            });
            assert_eq!(text, 2000, "{} {state}", profile.name());
            assert_eq!(fin, 2000, "{} {state}", profile.name());
        }
    }
}

/// Two hosts, a millisecond apart; forged segments arrive at once.
struct World {
    hosts: [Stack; 2],
    ids: [Option<ConnId>; 2],
    listeners: [Option<ListenerId>; 2],
    flying: VecDeque<(Instant, usize, Vec<u8>)>,
    /// The last header that each host sent.
    last: [Option<Header>; 2],
    now: Instant,
    /// How many packets used sequence space, and how many did not.
    used: usize,
    empty: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Forge {
        to: usize,
        seq: i32,
        ack: i32,
        flags: u8,
        stamp: Option<i32>,
        sack: Option<i32>,
        window: u16,
        len: usize,
    },
    Send(usize, usize),
    Receive(usize),
    Shutdown(usize),
    Close(usize),
    Connect(usize),
    Wait(u64),
}

impl World {
    const AT: [([u8; 4], u16); 2] = [([10, 0, 0, 1], 7000), ([10, 0, 0, 2], 9000)];

    fn new(profiles: [Profile; 2], listen: [bool; 2]) -> World {
        let now = Instant::ZERO + Duration::from_secs(1000);
        let mut world = World {
            hosts: [0, 1].map(|at| Stack::new(profiles[at].config(), at as u64)),
            ids: [None, None],
            listeners: [None, None],
            flying: VecDeque::new(),
            last: [None, None],
            now,
            used: 0,
            empty: 0,
        };
        for at in [0, 1] {
            let (address, port) = World::AT[at];
            let config = world.hosts[at].config().conn.clone();
            world.hosts[at].reserve(address.into(), port..=port);
            if listen[at] {
                world.listeners[at] = Some(
                    world.hosts[at]
                        .listen(now, World::AT[at].into(), 4, &config)
                        .unwrap(),
                );
            }
        }
        world
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Forge { to, .. } => self.forge(to, step),
            Step::Wait(time) => self.run(millis(time)),
            Step::Connect(at) => {
                let config = self.hosts[at].config().conn.clone();
                let local = World::AT[at].into();
                let remote = World::AT[1 - at].into();
                self.ids[at] = self.hosts[at]
                    .connect(self.now, FourTuple { local, remote }, &config)
                    .ok()
                    .or(self.ids[at]);
            }
            Step::Send(at, len) => self.call(at, |stack, now, id| {
                stack.send(now, id, &vec![1; len]).is_ok()
            }),
            Step::Receive(at) => self.call(at, |stack, now, id| {
                stack.receive(now, id, &mut [0; 5000]).is_ok()
            }),
            Step::Shutdown(at) => self.call(at, |stack, now, id| stack.shutdown(now, id).is_ok()),
            Step::Close(at) => self.call(at, |stack, now, id| stack.close(now, id).is_ok()),
        }
        self.drain();
    }

    fn call(&mut self, at: usize, act: impl FnOnce(&mut Stack, Instant, ConnId) -> bool) {
        if let Some(id) = self.ids[at] {
            // Whether it was possible is all the same.
            let _ = act(&mut self.hosts[at], self.now, id);
        }
    }

    /// As if from the other host, near to what this one expects.
    fn forge(&mut self, to: usize, step: &Step) {
        let Step::Forge {
            seq,
            ack,
            flags,
            stamp,
            sack,
            window,
            len,
            ..
        } = *step
        else {
            return;
        };
        let local: SocketAddr = World::AT[to].into();
        let remote: SocketAddr = World::AT[1 - to].into();
        let Some(last) = self.last[1 - to].or(self.last[to]) else {
            return;
        };
        let status = self.hosts[to]
            .lookup(FourTuple { local, remote })
            .and_then(|id| self.hosts[to].status(id));
        let (next, acked) = status.map_or((last.seq, last.ack), |status| {
            (status.rcv_nxt, status.snd_nxt)
        });
        let mut header = Header {
            source: remote,
            destination: local,
            ..last
        };
        header.seq = by(next, seq);
        header.ack = by(acked, ack);
        header.flags = Flags(flags);
        header.window = window;
        header.options.sack = SackBlocks::default();
        if let Some(sack) = sack {
            header
                .options
                .sack
                .push(by(acked, sack), by(acked, sack) + 100);
        }
        header.options.timestamps = header.options.timestamps.and_then(|stamps| {
            stamp.map(|stamp| Timestamps {
                value: stamps.value.wrapping_add_signed(stamp),
                ..stamps
            })
        });
        let mut packet = [0; 4000];
        let len = header.emit((&vec![2; len], &[]), &mut packet).unwrap();
        self.hosts[to].packet_arrives(self.now, &packet[..len]);
    }

    /// What both hosts have to send is on its way.
    fn drain(&mut self) {
        let mut buffer = [0; 2000];
        for at in [0, 1] {
            while let Some(transmit) = self.hosts[at].poll_transmit(self.now, &mut buffer) {
                let packet = buffer[..transmit.len].to_vec();
                let segment = Segment::parse(&packet, ChecksumPolicy::Strict).unwrap();
                self.last[at] = Some(segment.header);
                *(if segment.is_empty() {
                    &mut self.empty
                } else {
                    &mut self.used
                }) += 1;
                self.flying
                    .push_back((self.now + millis(1), 1 - at, packet));
            }
            while self.hosts[at].poll_signal().is_some() {}
            if let Some(id) = self.listeners[at]
                .and_then(|listener| self.hosts[at].accept(self.now, listener).ok())
            {
                self.ids[at] = Some(id);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.drain();
            let arrival = self.flying.front().map(|(at, ..)| *at);
            let next = [arrival, self.hosts[0].deadline(), self.hosts[1].deadline()]
                .into_iter()
                .flatten()
                .min();
            let Some(at) = next.filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(at);
            while let Some((_, to, packet)) = self.flying.pop_front_if(|(at, ..)| *at <= self.now) {
                self.hosts[to].packet_arrives(self.now, &packet);
            }
            self.hosts
                .iter_mut()
                .for_each(|host| host.timeout(self.now));
        }
        self.now = until;
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let near =
        || prop_oneof![6 => Just(0), 3 => -3..3i32, 1 => -70_000..70_000i32, 1 => any::<i32>()];
    let stamp = prop_oneof![
        4 => Just(Some(0)),
        3 => Just(Some(1 << 30)),
        1 => (-100_000..100_000i32).prop_map(Some),
        1 => Just(None),
    ];
    let flags = prop_oneof![
        6 => Just(ACK.0),
        2 => Just(FIN_ACK.0),
        2 => Just(Flags::SYN.0),
        2 => Just(SYN_ACK.0),
        1 => Just(Flags::RST.0),
        2 => any::<u8>(),
    ];
    let len = prop_oneof![4 => Just(0), 1 => Just(1), 1 => 0..2000usize];
    let window = prop_oneof![3 => Just(1000), 1 => Just(0), 1 => any::<u16>()];
    let sack = prop_oneof![4 => Just(None), 1 => (-3000..1000i32).prop_map(Some)];
    let fields = (0..2usize, near(), near(), flags, stamp, sack, window, len);
    let forged = fields.prop_map(
        |(to, seq, ack, flags, stamp, sack, window, len)| Step::Forge {
            to,
            seq,
            ack,
            flags,
            stamp,
            sack,
            window,
            len,
        },
    );
    prop_oneof![
        12 => forged,
        3 => (0..2usize, 1..20_000usize).prop_map(|(at, len)| Step::Send(at, len)),
        1 => (0..2usize).prop_map(Step::Receive),
        1 => (0..2usize).prop_map(Step::Shutdown),
        1 => (0..2usize).prop_map(Step::Close),
        1 => (0..2usize).prop_map(Step::Connect),
        4 => (0..5u64).prop_map(Step::Wait),
        1 => (0..3000u64).prop_map(Step::Wait),
    ]
}

fn any_profile() -> impl Strategy<Value = Profile> {
    prop::sample::select(Profile::ALL.to_vec())
}

#[test]
fn timestamps_forged_far_ahead_at_both_ends_leave_no_storm() {
    for profile in [Profile::Linux, Profile::Rfc9293] {
        let mut world = World::new([profile; 2], [false, true]);
        world.step(&Step::Connect(0));
        world.run(millis(100));
        for to in [0, 1] {
            world.step(&Step::Forge {
                to,
                seq: 0,
                ack: 0,
                flags: ACK.0,
                stamp: Some(1 << 30),
                sack: None,
                window: 1000,
                len: 0,
            });
        }
        world.step(&Step::Send(0, 1));
        world.run(Duration::from_secs(10));
        let used = world.used;
        let empty = world.empty;
        assert!(
            used + empty < 50,
            "{}: {used} segments and {empty} empty ones in ten seconds",
            profile.name()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn two_ends_after_any_forgeries_fall_silent(
        profiles in [any_profile(), any_profile()],
        listen in [any::<bool>(), any::<bool>()],
        steps in prop::collection::vec(any_step(), 1..40),
    ) {
        let mut world = World::new(profiles, listen);
        world.step(&Step::Connect(0));
        if !listen[1] {
            world.step(&Step::Connect(1));
        }
        steps.iter().for_each(|step| world.step(step));
        (0..2).for_each(|at| world.step(&Step::Send(at, 1)));
        world.run(millis(100));
        for second in 0..40 {
            let used = world.used;
            let empty = world.empty;
            world.run(Duration::from_secs(1));
            let used = world.used - used;
            let empty = world.empty - empty;
            // Text that was queued, and what timers repeat; as many ACKs, and a few more.
            let bound = if second < 20 { 500 } else { 100 };
            prop_assert!(
                used < bound && empty < used + 20,
                "{used} segments and {empty} empty ones in second {second}"
            );
        }
    }
}
