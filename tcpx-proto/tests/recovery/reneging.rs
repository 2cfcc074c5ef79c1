//! Receivers that throw away what they said to hold (RFC 2018 section 8).

use super::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use tcpx_proto::id::{ConnId, FourTuple};
use tcpx_proto::stack::Stack;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, Segment};

const DELAY: Duration = Duration::from_millis(20);

/// What becomes of a segment with text.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    /// It is lost, and reported as held for so many milliseconds.
    Reneged(u64),
}

/// Two stacks, and a gate before the second that drops segments and says that they are held.
struct Gate {
    ends: [Stack; 2],
    now: Instant,
    flying: Vec<(Instant, usize, Vec<u8>)>,
    fates: std::vec::IntoIter<Fate>,
    /// What is reported, and until when.
    claims: Vec<(Seq, Seq, Instant)>,
    /// The last segment of the receiver.
    last: Option<Header>,
    reported: usize,
    octets: usize,
}

impl Gate {
    fn carry(&mut self) {
        let mut buffer = [0; 2000];
        for end in [0, 1] {
            while let Some(sent) = self.ends[end].poll_transmit(self.now, &mut buffer) {
                let packet = &buffer[..sent.len];
                let segment = Segment::parse(packet, ChecksumPolicy::Strict).unwrap();
                if end == 0 {
                    self.octets += segment.payload.len();
                    self.pass_on(&segment, packet);
                } else {
                    self.last = Some(segment.header);
                    self.pass_back(segment.header, segment.payload);
                }
            }
        }
    }

    fn pass_on(&mut self, segment: &Segment<'_>, packet: &[u8]) {
        let text = segment.payload.len() as u32;
        let plain = text > 0 && !segment.header.flags.contains(Flags::FIN);
        let fate = if plain { self.fates.next() } else { None };
        match fate {
            Some(Fate::Lost) => {}
            Some(Fate::Reneged(ms)) => {
                let left = segment.header.seq;
                self.claims.push((left, left + text, self.now + millis(ms)));
                if let Some(last) = self.last {
                    self.pass_back(last, b"");
                }
            }
            _ => self.flying.push((self.now + DELAY, 1, packet.to_vec())),
        }
    }

    fn pass_back(&mut self, mut header: Header, text: &[u8]) {
        let now = self.now;
        let ack = header.ack;
        self.claims
            .retain(|(left, _, until)| *until > now && left.ge(ack));
        let mut blocks = SackBlocks::default();
        for (left, right, _) in self.claims.iter().rev().filter(|(left, ..)| left.gt(ack)) {
            if blocks.as_slice().len() < 3 {
                blocks.push(*left, *right);
                self.reported += 1;
            }
        }
        for (left, right) in header.options.sack.as_slice() {
            if blocks.as_slice().len() < 3 {
                blocks.push(*left, *right);
            }
        }
        if !header.flags.contains(Flags::SYN) {
            header.options.sack = blocks;
        }
        let mut packet = [0; 2000];
        let len = header.emit((text, &[]), &mut packet).unwrap();
        self.flying.push((now + DELAY, 0, packet[..len].to_vec()));
    }

    /// The next thing that happens.
    fn step(&mut self) -> bool {
        self.carry();
        let arrival = self.flying.iter().map(|(at, ..)| *at).min();
        let deadlines = self.ends.iter().filter_map(|end| end.deadline());
        let Some(next) = deadlines.chain(arrival).min() else {
            return false;
        };
        self.now = self.now.max(next);
        let (due, later) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|(at, ..)| *at <= self.now);
        self.flying = later;
        for (_, to, packet) in due {
            self.ends[to].packet_arrives(self.now, &packet);
        }
        self.ends.iter_mut().for_each(|end| end.timeout(self.now));
        true
    }
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        3 => (0u64..3000).prop_map(Fate::Reneged),
    ]
}

/// Sends the text through such a gate; how many times something was reported that was not there.
fn send_through(profile: Profile, fates: Vec<Fate>, text: &[u8]) -> Result<usize, TestCaseError> {
    let mut config = profile.config();
    config.conn.send_buffer = 1 << 20;
    config.conn.r2 = 100;
    config.conn.rto = Rto {
        max: Duration::from_secs(2),
        ..config.conn.rto
    };
    let addresses = [([10, 0, 0, 1], 7000), ([10, 0, 0, 2], 9000)].map(std::net::SocketAddr::from);
    let tuple = |end: usize| FourTuple {
        local: addresses[end],
        remote: addresses[1 - end],
    };
    let count = fates.len();
    let mut gate = Gate {
        ends: [0, 1].map(|end| {
            let mut stack = Stack::new(config.clone(), end as u64 + 1);
            let at = addresses[end];
            stack.reserve(at.ip(), at.port()..=at.port());
            stack
        }),
        now: Instant::ZERO,
        flying: Vec::new(),
        fates: fates.into_iter(),
        claims: Vec::new(),
        last: None,
        reported: 0,
        octets: 0,
    };
    let now = gate.now;
    gate.ends[1]
        .listen(now, addresses[1], 1, &config.conn)
        .unwrap();
    let id = gate.ends[0].connect(now, tuple(0), &config.conn).unwrap();
    assert_eq!(gate.ends[0].send(now, id, text), Ok(text.len()));
    let mut got = Vec::<u8>::new();
    let mut into = vec![0; 1 << 16];
    while got.len() < text.len() {
        prop_assert!(
            gate.step(),
            "nothing happens any more: {} arrived",
            got.len()
        );
        let limit = Duration::from_secs(3) * (count as u32 + 2);
        prop_assert!(gate.now < Instant::ZERO + limit, "{} arrived", got.len());
        let receiver: Option<ConnId> = gate.ends[1].lookup(tuple(1));
        let Some(receiver) = receiver else { continue };
        if let Ok(taken) = gate.ends[1].receive(gate.now, receiver, &mut into) {
            got.extend(&into[..taken]);
        }
    }
    prop_assert!(got == text);
    let most = 3 * text.len() + 1500 * (count + 10);
    prop_assert!(gate.octets <= most, "{} of {}", gate.octets, text.len());
    Ok(gate.reported)
}

/// Proves 2018-5, 2018-7.
#[test]
fn rfc_2018_8_whatever_is_reneged_all_arrives_without_a_stall_or_a_storm() {
    let reported = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(150));
    let profiles = prop::sample::select(vec![Profile::Rfc9293, Profile::Linux]);
    let fates = prop::collection::vec(any_fate(), 0..60);
    runner
        .run(
            &(profiles, fates, 1u32..100_000),
            |(profile, fates, len)| {
                let text: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
                reported.set(reported.get() + send_through(profile, fates, &text)?);
                Ok(())
            },
        )
        .unwrap();
    assert!(reported.get() > 1000, "only {}", reported.get());
}

/// Proves 2018-5.
#[test]
fn rfc_2018_8_after_a_timeout_all_above_snd_una_goes_again_that_is_not_there_any_more() {
    for profile in [Profile::Rfc9293, Profile::Linux] {
        let of = profile.config().conn;
        let mut config = config(of.recovery);
        config.conn.timeout_sack = of.timeout_sack;
        config.conn.cwnd_reduction = of.cwnd_reduction;
        let (mut bench, first) = in_flight(config, 10);
        for held in 2..=10 {
            sack(&mut bench, first, 0, &[(1, held)]);
        }
        // What went again for that is lost. At the timeout the peer has thrown all of it away.
        let mut again = Vec::new();
        let mut heard = first;
        let mut sent = Vec::new();
        for _ in 0..100 {
            sent.extend(bench.run(millis(100)));
            for sent in std::mem::take(&mut sent) {
                again.push(which(first, std::slice::from_ref(&sent))[0]);
                if sent.header.seq == heard {
                    heard = sent.end();
                }
            }
            if heard != bench.snd_una {
                bench.now = bench.now + millis(1);
                sent = sack_bytes(&mut bench, heard, &[]);
            }
        }
        assert!(again.len() <= 20, "{}: {again:?}", profile.name());
        again.sort_unstable();
        again.dedup();
        assert_eq!(again, (0..10).collect::<Vec<_>>(), "{}", profile.name());
        assert_eq!(bench.snd_una, first + 10 * MSS);
    }
}
