//! The numbered requirements of RFC 9293, and those of its companions, that the engine alone can
//! keep: one test each, named by its number. What is a matter of one segment in one state is in
//! `transitions.rs`, what belongs to the wire format beside `wire`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{ACK, Bench, FIN_ACK, PEER_ISS, SYN_ACK, Sent, plain, with};
use proptest::prelude::*;
use tcpx_proto::config::{Config, KeepAlive, Profile, Rto, Samples, Variance};
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::event::{Discard, What};
use tcpx_proto::id::{ConnId, FourTuple};
use tcpx_proto::label::Cause;
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::{Signal, Stack};
use tcpx_proto::state::State;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{Flags, Options, Timestamps};

const MSS: usize = 1460;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn rfc() -> Config {
    Profile::Rfc9293.config()
}

fn open(config: Config) -> Bench {
    let mut bench = Bench::new(config);
    bench.enter("ESTABLISHED");
    bench
}

/// Opened by a SYN with these options.
fn open_to(config: Config, syn_options: Options) -> Bench {
    let mut bench = Bench::new(config);
    bench.stamp = syn_options.timestamps.map(|stamps| stamps.value);
    bench.syn_options = syn_options;
    bench.enter("ESTABLISHED");
    bench
}

/// When they were sent, in whole milliseconds since then.
fn times(since: Instant, sent: &[Sent]) -> Vec<u128> {
    sent.iter()
        .map(|sent| sent.at.since(since).as_millis())
        .collect()
}

fn seqs(sent: &[Sent]) -> Vec<(Seq, usize)> {
    sent.iter()
        .map(|sent| (sent.header.seq, sent.text.len()))
        .collect()
}

fn ended(bench: &Bench) -> Option<CloseReason> {
    bench.signals.iter().find_map(|signal| {
        if let Signal::Closed(_, reason) = signal {
            Some(*reason)
        } else {
            None
        }
    })
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

// ---- 3.4, 3.5: sequence numbers, opening

#[test]
fn must_1_window_of_16_bits_is_unsigned() {
    let mut bench = Bench::new(plain());
    bench.window = 65_535;
    bench.enter("ESTABLISHED");
    assert_eq!(bench.status().snd_wnd, 65_535);
}

#[test]
fn must_8_isn_advances_with_a_clock_of_4_microseconds() {
    let isn = |at: u64| {
        let mut bench = Bench::new(plain());
        bench.now = Instant::ZERO + millis(at);
        bench.connect()[0].header.seq
    };
    assert_eq!(isn(1000).since(isn(0)), 250_000);
}

#[test]
fn must_9_isn_depends_on_the_four_tuple_and_a_secret() {
    let isn = |seed: u64, port: u16| {
        let mut stack = Stack::new(plain(), seed);
        stack.reserve([10, 0, 0, 1].into(), 7000..=7001);
        let id = stack
            .connect(
                Instant::ZERO,
                FourTuple {
                    local: ([10, 0, 0, 1], port).into(),
                    remote: ([10, 0, 0, 2], 9000).into(),
                },
                &plain().conn,
            )
            .unwrap();
        stack.status(id).unwrap().iss
    };
    assert_eq!(isn(1, 7000), isn(1, 7000));
    assert_ne!(isn(1, 7000), isn(2, 7000));
    assert_ne!(
        isn(1, 7000).since(isn(1, 7001)),
        isn(2, 7000).since(isn(2, 7001)),
        "the difference of two ports tells nothing of others"
    );
}

/// Two stacks; each takes what the other sent.
struct Pair {
    a: Stack,
    b: Stack,
    now: Instant,
}

impl Pair {
    const A: ([u8; 4], u16) = ([10, 0, 0, 1], 7000);
    const B: ([u8; 4], u16) = ([10, 0, 0, 2], 9000);

    fn new(config: &Config) -> Pair {
        let host = |at: ([u8; 4], u16), seed| {
            let mut stack = Stack::new(config.clone(), seed);
            stack.reserve(at.0.into(), at.1..=at.1);
            stack
        };
        Pair {
            a: host(Pair::A, 1),
            b: host(Pair::B, 2),
            now: Instant::ZERO,
        }
    }

    fn sent(stack: &mut Stack, now: Instant) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2000];
        let mut out = Vec::new();
        while let Some(transmit) = stack.poll_transmit(now, &mut buffer) {
            out.push(buffer[..transmit.len].to_vec());
        }
        out
    }

    /// Both send, then both receive: everything crosses on the way. How many packets it took.
    fn exchange(&mut self) -> usize {
        let mut packets = 0;
        loop {
            let (from_a, from_b) = (
                Pair::sent(&mut self.a, self.now),
                Pair::sent(&mut self.b, self.now),
            );
            if from_a.is_empty() && from_b.is_empty() {
                return packets;
            }
            packets += from_a.len() + from_b.len();
            assert!(packets < 1000, "they answer each other for ever");
            self.now = self.now + millis(1);
            from_a
                .iter()
                .for_each(|packet| self.b.packet_arrives(self.now, packet));
            from_b
                .iter()
                .for_each(|packet| self.a.packet_arrives(self.now, packet));
        }
    }

    fn states(&self) -> (Option<State>, Option<State>) {
        let (a, b) = (Pair::A.into(), Pair::B.into());
        let state = |stack: &Stack, local: SocketAddr, remote| {
            Some(
                stack
                    .status(stack.lookup(FourTuple { local, remote })?)?
                    .state,
            )
        };
        (state(&self.a, a, b), state(&self.b, b, a))
    }

    fn open_at_once(config: &Config) -> Pair {
        let mut pair = Pair::new(config);
        pair.a
            .connect(
                pair.now,
                FourTuple {
                    local: Pair::A.into(),
                    remote: Pair::B.into(),
                },
                &config.conn,
            )
            .unwrap();
        pair.b
            .connect(
                pair.now,
                FourTuple {
                    local: Pair::B.into(),
                    remote: Pair::A.into(),
                },
                &config.conn,
            )
            .unwrap();
        pair
    }
}

#[test]
fn must_10_simultaneous_open_establishes_in_every_profile() {
    for profile in Profile::ALL {
        let mut pair = Pair::open_at_once(&profile.config());
        let packets = pair.exchange();
        assert_eq!(
            pair.states(),
            (Some(State::Established), Some(State::Established)),
            "{}",
            profile.name()
        );
        assert!(packets <= 6, "{packets} packets");
    }
}

#[test]
fn figure_13_simultaneous_close_ends_in_two_time_waits_that_are_silent() {
    for profile in Profile::ALL {
        let mut pair = Pair::open_at_once(&profile.config());
        pair.exchange();
        let (a, b) = (
            pair.a
                .lookup(FourTuple {
                    local: Pair::A.into(),
                    remote: Pair::B.into(),
                })
                .unwrap(),
            pair.b
                .lookup(FourTuple {
                    local: Pair::B.into(),
                    remote: Pair::A.into(),
                })
                .unwrap(),
        );
        pair.a.shutdown(pair.now, a).unwrap();
        pair.b.shutdown(pair.now, b).unwrap();
        assert_eq!(pair.exchange(), 4, "{}", profile.name());
        assert_eq!(
            pair.states(),
            (Some(State::TimeWait), Some(State::TimeWait)),
            "{}",
            profile.name()
        );
    }
}

#[test]
fn must_12_application_tells_a_fin_from_a_rst() {
    let mut bench = open(plain());
    let mut other = bench.clone();
    bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"");
    assert_eq!(bench.receive(10), Ok(vec![]));
    other.arrive(other.rcv_nxt, Seq(0), Flags::RST, b"");
    assert_eq!(other.receive(10), Err(CallError::Ended(CloseReason::Reset)));
}

#[test]
fn must_13_active_closer_waits_2_msl_and_again_after_another_fin() {
    let mut bench = Bench::new(plain());
    bench.enter("TIME-WAIT");
    bench.run(secs(200));
    assert_eq!(
        bench
            .arrive(bench.rcv_nxt.back(1), bench.snd_nxt, FIN_ACK, b"")
            .len(),
        1
    );
    bench.run(secs(239));
    assert_eq!(bench.state(), State::TimeWait);
    bench.run(secs(1));
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn must_41_another_passive_open_disturbs_nobody() {
    let mut bench = open(plain());
    let config = bench.stack.config().conn.clone();
    assert_eq!(
        bench.stack.listen(bench.now, bench.local, 1, &config),
        Err(CallError::InUse(State::Listen))
    );
    assert_eq!(bench.text(b"still here")[0].header.ack, PEER_ISS + 11);
}

#[test]
fn must_42_listen_on_a_port_with_an_active_open() {
    let mut bench = Bench::new(plain());
    bench.enter("SYN-SENT");
    bench.listen();
    let other = ([10, 0, 0, 3], 9000).into();
    let header = tcpx_proto::wire::Header {
        source: other,
        ..bench.header(PEER_ISS, Seq(0), Flags::SYN)
    };
    assert_eq!(bench.say(header, b"")[0].header.flags, SYN_ACK);
    assert_eq!(bench.state(), State::SynSent);
}

// ---- 3.7: segments

#[test]
fn must_14_67_mss_is_offered_and_fits_the_link() {
    for (mtu, mss) in [(1500, 1460), (576, 536), (9000, 8960)] {
        let sent = Bench::new(with(rfc(), |conn| conn.mtu = mtu)).connect();
        assert_eq!(sent[0].header.options.mss, Some(mss));
    }
}

#[test]
fn must_15_without_the_option_segments_have_536_octets() {
    let mut bench = open_to(plain(), Options::default());
    assert_eq!(bench.send(&text(2000))[0].text.len(), 536);
}

#[test]
fn must_15_without_the_option_segments_have_1220_octets_over_ipv6() {
    let mut bench = Bench::new(plain());
    (bench.local, bench.remote) = (
        "[fd00::1]:7000".parse().unwrap(),
        "[fd00::2]:9000".parse().unwrap(),
    );
    bench.stack.reserve(bench.local.ip(), 7000..=7000);
    bench.syn_options = Options::default();
    bench.enter("ESTABLISHED");
    assert_eq!(bench.send(&text(4000))[0].text.len(), 1220);
}

#[test]
fn must_16_effective_mss_is_the_smallest_of_peer_path_and_options() {
    let mss = |config, options| open_to(config, options).send(&text(20_000))[0].text.len();
    let offer = |mss| Options {
        mss: Some(mss),
        ..Options::default()
    };
    assert_eq!(mss(plain(), offer(1000)), 1000);
    assert_eq!(mss(plain(), offer(9000)), MSS);
    let stamped = Options {
        timestamps: Some(Timestamps { value: 1, echo: 0 }),
        ..offer(1460)
    };
    assert_eq!(mss(rfc(), stamped), MSS - 12);
}

/// The profile's segments of this many octets towards a peer whose SYN has this MSS, where `--mss`
/// is that; and the MSS that is offered.
fn limited(
    profile: Profile,
    state: &str,
    own: u16,
    theirs: Option<u16>,
    mtu: u16,
) -> (Option<u16>, usize) {
    let config = with(Bench::plain(profile), |conn| {
        (conn.mss, conn.mtu) = (Some(own), mtu)
    });
    let mut bench = Bench::new(config);
    bench.syn_options = Options {
        mss: theirs,
        ..Options::default()
    };
    let offered = if state == "SYN-SENT" {
        let syn = bench.connect();
        bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
        syn
    } else {
        bench.listen();
        let syn_ack = bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
        bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK, b"");
        bench
            .stack
            .accept(bench.now, bench.listener.unwrap())
            .unwrap();
        syn_ack
    };
    assert_eq!(bench.state(), State::Established);
    (
        offered[0].header.options.mss,
        bench.send(&text(20_000))[0].text.len(),
    )
}

/// TCP_MAXSEG, measured at Linux 6.18; RFC 9293 knows a limit of what is offered alone.
#[test]
fn must_14_16_own_mss_limits_what_is_sent_in_profile_linux_alone() {
    // Own limit, the peer's option, MTU; then what is offered, and what is sent by the RFC, by an
    // active and by a passive opener of Linux.
    for (own, theirs, mtu, offered, rfc, active, passive) in [
        (300, Some(1460), 1500, 300, 1460, 300, 300),
        (300, Some(100), 1500, 300, 100, 100, 100),
        (1000, Some(536), 1500, 1000, 536, 536, 536),
        (1000, Some(9000), 1500, 1000, 1460, 1000, 1000),
        (9000, Some(9000), 1500, 1460, 1460, 1460, 1460),
        (1000, Some(1460), 576, 536, 536, 536, 536),
        (300, None, 1500, 300, 536, 300, 536),
        (1000, None, 1500, 1000, 536, 1000, 536),
        (9000, None, 1500, 1460, 536, 1460, 536),
    ] {
        let case = (own, theirs, mtu);
        for (state, linux) in [("SYN-SENT", active), ("SYN-RECEIVED", passive)] {
            assert_eq!(
                limited(Profile::Rfc9293, state, own, theirs, mtu),
                (Some(offered), rfc),
                "{state} {case:?}"
            );
            assert_eq!(
                limited(Profile::Linux, state, own, theirs, mtu),
                (Some(offered), linux),
                "Linux, {state} {case:?}"
            );
        }
    }
}

#[test]
fn must_16_sack_blocks_leave_their_room() {
    let mut bench = open_to(
        rfc(),
        Options {
            sack_permitted: true,
            mss: Some(1460),
            ..Options::default()
        },
    );
    for hole in 1..=4 {
        bench.arrive(bench.rcv_nxt + 1000 * hole, bench.snd_nxt, ACK, b"x");
    }
    let sent = bench.send(&text(5000));
    assert!(
        sent.iter()
            .all(|sent| sent.text.len() <= MSS - 36
                && sent.header.options.sack.as_slice().len() == 4)
    );
}

#[test]
fn must_65_mss_outside_a_syn_is_ignored_and_never_sent() {
    let mut bench = open(plain());
    let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK);
    header.options.mss = Some(100);
    bench.say(header, b"");
    let sent = bench.send(&text(2 * MSS));
    assert!(
        sent.iter()
            .all(|sent| sent.text.len() == MSS && sent.header.options.mss.is_none())
    );
}

#[test]
fn must_60_61_last_segment_of_what_is_buffered_carries_psh() {
    let mut bench = open(plain());
    let sent = bench.send(&text(2 * MSS + 5));
    let pushed: Vec<bool> = sent
        .iter()
        .map(|sent| sent.header.flags.has(Flags::PSH))
        .collect();
    assert_eq!(pushed, [false, false, true]);
}

// ---- 3.8.1 to 3.8.3: retransmission

#[test]
fn must_18_first_timeout_is_one_second_and_doubles() {
    let mut bench = Bench::new(plain());
    bench.enter("SYN-SENT");
    let start = bench.now;
    assert_eq!(
        times(start, &bench.run(secs(32))),
        [1000, 3000, 7000, 15_000, 31_000]
    );
}

#[test]
fn must_18_timeout_never_falls_below_one_second() {
    let mut bench = open(plain());
    for _ in 0..20 {
        bench.send(b"x");
        bench.acknowledge();
    }
    assert_eq!(bench.status().srtt, Some(millis(1)));
    let start = bench.now;
    bench.send(b"x");
    assert_eq!(times(start, &bench.run(secs(2))), [1000]);
}

#[test]
fn must_18_timeout_never_exceeds_its_maximum() {
    let mut bench = open(with(plain(), |conn| conn.rto.max = secs(60)));
    let start = bench.now;
    bench.send(b"x");
    let sent = times(start, &bench.run(secs(300)));
    assert_eq!(
        sent,
        [
            1000, 3000, 7000, 15_000, 31_000, 63_000, 123_000, 183_000, 243_000
        ]
    );
}

#[test]
fn must_18_karn_an_ack_of_a_retransmission_is_no_sample() {
    let mut bench = open(plain());
    let srtt = bench.status().srtt;
    bench.send(b"x");
    bench.run(secs(5));
    bench.acknowledge();
    assert_eq!(
        (bench.status().srtt, bench.status().rto),
        (srtt, secs(4)),
        "the backed-off timeout stays"
    );
    bench.send(b"y");
    bench.acknowledge();
    assert_eq!(
        bench.status().rto,
        secs(1),
        "until a segment that was sent once is acknowledged"
    );
}

#[test]
fn rfc_7323_4_timestamps_make_a_sample_of_a_retransmission() {
    let mut bench = open_to(
        rfc(),
        Options {
            timestamps: Some(Timestamps { value: 1, echo: 0 }),
            ..Options::default()
        },
    );
    bench.send(b"x");
    let again = bench.run(secs(5));
    bench.now = bench.now + millis(200);
    let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK);
    header.options.timestamps = Some(Timestamps {
        value: 2,
        echo: again[1].header.options.timestamps.unwrap().value,
    });
    bench.say(header, b"");
    // 2 s in flight since the retransmission at 3 s, and 200 ms.
    assert!(
        bench.status().srtt.unwrap() > millis(200) && bench.status().rto < secs(8),
        "{:?}",
        bench.status()
    );
}

#[test]
fn rfc_6298_5_1_timer_counts_from_the_oldest_and_restarts_on_new_acks() {
    let mut bench = open(plain());
    let start = bench.now;
    let first = bench.send(b"one")[0].end();
    bench.run(millis(600));
    bench.send(b"two");
    bench.arrive(bench.rcv_nxt, first, ACK, b"");
    let sent = bench.run(secs(2));
    assert_eq!(
        (times(start, &sent)[0], sent[0].text.as_slice()),
        (1601, &b"two"[..])
    );
}

#[test]
fn rfc_6298_5_2_timer_stops_when_all_is_acknowledged() {
    let mut bench = open(plain());
    bench.send(b"x");
    bench.acknowledge();
    assert_eq!(bench.run(secs(600)), []);
}

#[test]
fn rfc_6298_5_4_timeout_sends_the_earliest_again() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(3 * MSS));
    let sent = bench.run(millis(1500));
    assert_eq!(seqs(&sent), [(una, MSS)]);
    assert_eq!(sent[0].label.cause, Cause::Retransmission(1));
}

#[test]
fn rfc_6298_5_7_a_lost_syn_makes_the_first_timeout_three_seconds() {
    let mut bench = Bench::new(plain());
    bench.enter("SYN-SENT");
    bench.run(secs(2));
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    let start = bench.now;
    bench.send(b"x");
    assert_eq!(times(start, &bench.run(secs(4))), [3000]);
}

#[test]
fn must_20_shld_10_11_r1_tells_and_r2_ends_after_at_least_100_seconds() {
    let mut bench = open(plain());
    let start = bench.now;
    bench.send(b"x");
    let sent = bench.run(secs(3600));
    let r1 = bench
        .events
        .iter()
        .find(|event| matches!(event.what, What::R1 { retransmissions } if retransmissions >= 3));
    assert!(r1.is_some_and(|event| event.at.since(start) < secs(100)));
    let closed = bench
        .events
        .iter()
        .find(|event| event.what == What::Closed(CloseReason::RetransmissionTimeout))
        .unwrap();
    assert!(
        closed.at.since(start) >= secs(100),
        "{:?}",
        closed.at.since(start)
    );
    assert!(sent.len() >= 3);
    assert_eq!(
        bench.receive(1),
        Err(CallError::Ended(CloseReason::RetransmissionTimeout))
    );
}

#[test]
fn must_21_user_timeout_ends_the_connection() {
    let mut bench = open(with(plain(), |conn| conn.user_timeout = Some(secs(20))));
    bench.run(secs(100));
    assert_eq!(ended(&bench), None, "nothing is outstanding");
    bench.send(b"x");
    bench.run(millis(19_999));
    assert_eq!(ended(&bench), None);
    bench.run(millis(1));
    assert_eq!(ended(&bench), Some(CloseReason::UserTimeout));
}

#[test]
fn must_21_user_timeout_begins_anew_with_each_ack_of_new_data() {
    let mut bench = open(with(plain(), |conn| conn.user_timeout = Some(secs(20))));
    bench.send(b"ab");
    bench.run(secs(15));
    bench.arrive(bench.rcv_nxt, bench.snd_una + 1, ACK, b"");
    bench.run(secs(15));
    assert_eq!(ended(&bench), None);
    bench.run(secs(6));
    assert_eq!(ended(&bench), Some(CloseReason::UserTimeout));
}

#[test]
fn must_21_user_timeout_counts_what_waits_for_a_window() {
    for profile in [Profile::Rfc9293, Profile::Linux] {
        let mut bench = stuck(with(Bench::plain(profile), |conn| {
            conn.user_timeout = Some(secs(20))
        }));
        for _ in 0..38 {
            bench.run(millis(500));
            bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"");
        }
        assert_eq!(ended(&bench), None, "{}", profile.name());
        bench.run(secs(3));
        assert_eq!(
            ended(&bench),
            Some(CloseReason::UserTimeout),
            "{}",
            profile.name()
        );
    }
}

#[test]
fn must_22_23_syn_is_tried_for_at_least_three_minutes() {
    let mut bench = Bench::new(rfc());
    bench.enter("SYN-SENT");
    let start = bench.now;
    let sent = bench.run(secs(3600));
    let closed = bench
        .events
        .iter()
        .find(|event| event.what == What::Closed(CloseReason::ConnectTimeout))
        .unwrap();
    assert!(
        closed.at.since(start) >= secs(180),
        "{:?}",
        closed.at.since(start)
    );
    assert!(sent.iter().all(|sent| sent.header.flags == Flags::SYN));
    assert_eq!(ended(&bench), Some(CloseReason::ConnectTimeout));
}

// ---- 3.8.2: congestion control

#[test]
fn must_19_rfc_6928_initial_window_is_ten_segments() {
    let mut bench = open(plain());
    assert_eq!(bench.send(&text(20 * MSS)).len(), 10);
}

#[test]
fn must_19_slow_start_adds_what_was_acknowledged() {
    let mut bench = open(plain());
    bench.send(&text(60 * MSS));
    let una = bench.snd_una;
    assert_eq!(
        bench
            .arrive(bench.rcv_nxt, una + MSS as u32, ACK, b"")
            .len(),
        2,
        "one left the network, one the window grew"
    );
    let tiny: usize = (1..=10)
        .map(|part| {
            bench
                .arrive(bench.rcv_nxt, una + (MSS + 10 * part) as u32, ACK, b"")
                .len()
        })
        .sum();
    assert!(
        tiny <= 1,
        "ten ACKs of 100 octets are no ten segments (RFC 5681 section 3.1)"
    );
}

#[test]
fn must_19_timeout_leaves_a_window_of_one_segment() {
    let mut bench = open(plain());
    bench.send(&text(20 * MSS));
    let sent = bench.run(millis(1500));
    assert_eq!(sent.len(), 1);
    assert_eq!(bench.status().cwnd as usize, MSS);
    assert_eq!(
        bench
            .arrive(bench.rcv_nxt, bench.snd_una + MSS as u32, ACK, b"")
            .len(),
        2,
        "slow start again"
    );
}

#[test]
fn rfc_5681_3_2_third_duplicate_ack_sends_the_missing_segment_at_once() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(10 * MSS));
    let duplicate = |bench: &mut Bench| bench.arrive(bench.rcv_nxt, una, ACK, b"");
    assert_eq!(
        (duplicate(&mut bench), duplicate(&mut bench)),
        (vec![], vec![])
    );
    let sent = duplicate(&mut bench);
    assert_eq!(seqs(&sent), [(una, MSS)]);
    assert_eq!(sent[0].label.cause, Cause::FastRetransmission);
    assert_eq!(bench.status().cwnd as usize, 5 * MSS + 3 * MSS);
}

#[test]
fn rfc_6582_3_2_duplicates_of_what_a_timeout_sends_again_start_no_recovery() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(10 * MSS));
    bench.run(millis(1500));
    let sent: Vec<Sent> = (0..6)
        .flat_map(|_| bench.arrive(bench.rcv_nxt, una, ACK, b""))
        .collect();
    assert!(
        sent.iter()
            .all(|sent| sent.label.cause != Cause::FastRetransmission),
        "{:?}",
        seqs(&sent)
    );
    assert!(bench.status().cwnd as usize <= 3 * MSS);
}

#[test]
fn rfc_3042_first_two_duplicate_acks_let_a_new_segment_out_each() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(20 * MSS));
    let sent: Vec<Vec<(Seq, usize)>> = (0..3)
        .map(|_| seqs(&bench.arrive(bench.rcv_nxt, una, ACK, b"")))
        .collect();
    let at = |segment: u32| vec![(una + segment * MSS as u32, MSS)];
    assert_eq!(sent, [at(10), at(11), at(0)]);
    assert_eq!(
        bench.status().cwnd as usize,
        5 * MSS + 3 * MSS,
        "half of what was in flight before"
    );
}

#[test]
fn rfc_5681_3_2_loss_that_an_ack_of_the_same_batch_disproves_sends_nothing_again() {
    let mut bench = open(plain());
    bench.send(&text(5 * MSS));
    let mut packet = [0; 100];
    for ack in [bench.snd_una, bench.snd_una, bench.snd_una, bench.snd_nxt] {
        let len = bench
            .header(bench.rcv_nxt, ack, ACK)
            .emit((b"", b""), &mut packet)
            .unwrap();
        bench.stack.packet_arrives(bench.now, &packet[..len]);
    }
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.send(b"next").len(), 1);
}

#[test]
fn rfc_5681_2_acks_with_text_or_another_window_are_no_duplicates() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(10 * MSS));
    for round in 0..6 {
        bench.window -= 100;
        bench.arrive(bench.rcv_nxt, una, ACK, b"");
        let answer = bench.arrive(bench.rcv_nxt, una, ACK, b"x");
        assert!(
            answer.iter().all(|sent| sent.text.is_empty()),
            "round {round}"
        );
    }
}

#[test]
fn rfc_6582_partial_ack_sends_the_next_hole_and_a_full_one_ends_recovery() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(10 * MSS));
    for _ in 0..3 {
        bench.arrive(bench.rcv_nxt, una, ACK, b"");
    }
    let hole = una + 4 * MSS as u32;
    let sent = bench.arrive(bench.rcv_nxt, hole, ACK, b"");
    assert_eq!(seqs(&sent)[0], (hole, MSS));
    bench.acknowledge();
    assert!(
        bench.status().cwnd as usize <= 5 * MSS,
        "{}",
        bench.status().cwnd
    );
}

#[test]
fn rfc_5681_4_1_after_idling_the_window_is_the_initial_one_again() {
    let mut bench = open(plain());
    for _ in 0..20 {
        bench.send(&text(2 * MSS));
        bench.acknowledge();
    }
    assert!(bench.status().cwnd as usize > 20 * MSS);
    bench.run(secs(10));
    assert_eq!(bench.send(&text(40 * MSS)).len(), 10);
}

#[test]
fn rfc_5681_3_1_a_lost_syn_makes_the_initial_window_one_segment() {
    let mut bench = Bench::new(plain());
    bench.enter("SYN-SENT");
    bench.run(secs(2));
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    assert_eq!(bench.send(&text(20 * MSS)).len(), 1);
}

// ---- 3.8.4: keepalive

#[test]
fn must_25_keepalive_is_off_by_default() {
    let mut bench = open(rfc());
    assert_eq!(bench.run(secs(30 * 24 * 3600)), []);
}

#[test]
fn must_24_27_28_keepalive_waits_two_hours_or_what_is_asked_for() {
    let first = |keepalive| {
        let mut bench = open(with(plain(), |conn| conn.keepalive = Some(keepalive)));
        let start = bench.now;
        times(start, &bench.run(secs(8000)))[0]
    };
    assert_eq!(first(KeepAlive::default()), 7_200_000);
    assert_eq!(
        first(KeepAlive {
            idle: secs(10),
            ..KeepAlive::default()
        }),
        10_000
    );
}

#[test]
fn must_26_keepalive_waits_while_something_is_outstanding_or_arrives() {
    let keepalive = KeepAlive {
        idle: secs(10),
        interval: secs(1),
        probes: 2,
    };
    let mut bench = open(with(plain(), |conn| conn.keepalive = Some(keepalive)));
    for _ in 0..10 {
        assert_eq!(bench.run(secs(9)), []);
        bench.acknowledge();
    }
    bench.send(b"x");
    assert!(
        bench
            .run(secs(100))
            .iter()
            .all(|sent| sent.label.cause != Cause::KeepAlive)
    );
}

#[test]
fn must_29_shld_12_answered_or_single_lost_probes_end_nothing_and_probes_are_empty() {
    let keepalive = KeepAlive {
        idle: secs(10),
        interval: secs(1),
        probes: 1,
    };
    let mut bench = open(with(plain(), |conn| conn.keepalive = Some(keepalive)));
    let nxt = bench.snd_nxt;
    for _ in 0..5 {
        let sent = bench.run(millis(10_900));
        assert_eq!(seqs(&sent), [(nxt.back(1), 0)]);
        bench.acknowledge();
    }
    bench.run(millis(11_900));
    assert_eq!(ended(&bench), None, "one lost probe is none");
    bench.run(secs(60));
    assert_eq!(
        ended(&bench),
        Some(CloseReason::KeepAliveTimeout),
        "but nobody there is noticed"
    );
}

// ---- 3.8.5: urgent

#[test]
fn must_30_31_32_urgent_data_is_announced_wherever_it_ends_and_stays_in_line() {
    for urgent in [1, 5, 60_000] {
        let mut bench = open(plain());
        let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::URG);
        header.urgent = urgent;
        let up_to = header.seq + u32::from(urgent);
        bench.say(header, b"0123456789");
        assert!(
            bench
                .events
                .iter()
                .any(|event| event.what == What::Urgent { up_to })
        );
        assert_eq!(bench.receive(100).unwrap(), b"0123456789");
    }
}

#[test]
fn must_32_33_rfc_6093_application_is_told_of_urgent_data_and_how_much_remains() {
    let mut bench = open(plain());
    let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::URG);
    header.urgent = 15;
    bench.signals.clear();
    bench.say(header, b"0123456789");
    assert_eq!(
        bench.signals,
        [Signal::Urgent(bench.conn()), Signal::Readable(bench.conn())]
    );
    assert_eq!(
        bench.status().urgent,
        Some(15),
        "five octets of it are still on their way"
    );
    assert_eq!(bench.receive(4).unwrap(), b"0123");
    assert_eq!(bench.status().urgent, Some(11));
    bench.text(b"abcdefgh");
    assert_eq!(bench.receive(11).unwrap(), b"456789abcde");
    assert_eq!(bench.status().urgent, None);
    assert_eq!(bench.receive(9).unwrap(), b"fgh");
}

#[test]
fn must_32_urgent_pointer_to_what_is_there_already_announces_nothing() {
    let mut bench = open(plain());
    let mut announced = |text: &[u8], urgent| {
        let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::URG);
        header.urgent = urgent;
        bench.events.clear();
        bench.say(header, text);
        bench
            .events
            .iter()
            .any(|event| matches!(event.what, What::Urgent { .. }))
    };
    assert!(announced(b"0123456789", 5));
    assert!(!announced(b"", 0));
    assert!(announced(b"", 3), "the second time as well");
}

/// Profile linux, and a peer that sends each of these: text, and its urgent pointer if it has one.
fn urged(segments: &[(&[u8], Option<u16>)]) -> Bench {
    let mut bench = open(Bench::plain(Profile::Linux));
    for (text, pointer) in segments {
        urge(&mut bench, 0, text, *pointer);
    }
    bench
}

/// Text `ahead` of RCV.NXT, with URG where there is a pointer.
fn urge(bench: &mut Bench, ahead: u32, text: &[u8], pointer: Option<u16>) {
    let flags = if pointer.is_some() {
        ACK | Flags::URG
    } else {
        ACK
    };
    let mut header = bench.header(bench.rcv_nxt + ahead, bench.snd_nxt, flags);
    header.urgent = pointer.unwrap_or(0);
    bench.say(header, text);
}

/// What each RECEIVE gives until there is nothing more, a stroke between them.
fn reads(bench: &mut Bench) -> String {
    let mut reads = Vec::new();
    while let Ok(text) = bench.receive(100)
        && !text.is_empty()
    {
        reads.push(String::from_utf8(text).unwrap());
    }
    reads.join("|")
}

fn octet(bench: &mut Bench) -> Option<char> {
    bench
        .stack
        .receive_urgent(bench.now, bench.conn())
        .ok()
        .map(char::from)
}

/// What a program without SO_OOBINLINE reads on Linux 6.18.
#[test]
fn urgent_octet_is_out_of_the_stream_in_profile_linux() {
    type Case = (&'static [(&'static [u8], Option<u16>)], &'static str);
    let cases: [Case; 12] = [
        (&[(b"ab", None), (b"c", Some(1)), (b"de", None)], "ab|de"),
        (&[(b"abcde", Some(3))], "ab|de"),
        // A pointer of 0 means the first octet.
        (&[(b"abc", Some(0))], "bc"),
        // It may point beyond the segment, and come without text.
        (&[(b"ab", Some(3)), (b"cd", None)], "ab|d"),
        (&[(b"", Some(2)), (b"abc", None)], "a|c"),
        (&[(b"ab", Some(60_000)), (b"cd", None)], "abcd"),
        // One that was not reached when the next is announced is in line; one that RECEIVE stands
        // before is gone.
        (
            &[
                (b"ab", None),
                (b"c", Some(1)),
                (b"d", None),
                (b"e", Some(1)),
                (b"f", None),
            ],
            "abcd|f",
        ),
        (
            &[(b"c", Some(1)), (b"d", None), (b"e", Some(1)), (b"f", None)],
            "d|f",
        ),
        (
            &[
                (b"c", Some(1)),
                (b"d", Some(1)),
                (b"e", Some(1)),
                (b"f", None),
            ],
            "f",
        ),
        // A pointer to what is there already announces nothing.
        (&[(b"abc", None), (b"", Some(0)), (b"d", None)], "abc"),
        (&[(b"abc", Some(2)), (b"de", Some(0))], "abc|e"),
        (&[(b"ab", Some(2))], "a"),
    ];
    for (segments, expected) in cases {
        assert_eq!(reads(&mut urged(segments)), expected, "{segments:?}");
    }
    let mut bench = open(plain());
    urge(&mut bench, 0, b"abcde", Some(3));
    assert_eq!(
        (octet(&mut bench), bench.receive(100).unwrap()),
        (None, b"abcde".to_vec()),
        "RFC 6093"
    );
}

#[test]
fn urgent_octet_is_read_once_and_until_receive_has_passed_it() {
    let mut bench = urged(&[(b"ab", None), (b"c", Some(1)), (b"de", None)]);
    assert_eq!((octet(&mut bench), octet(&mut bench)), (Some('c'), None));
    assert_eq!(reads(&mut bench), "ab|de");
    let mut bench = urged(&[(b"ab", None), (b"c", Some(1)), (b"de", None)]);
    assert_eq!(
        (reads(&mut bench).as_str(), octet(&mut bench)),
        ("ab|de", None),
        "passed"
    );
    let mut bench = urged(&[(b"ab", Some(3))]);
    assert_eq!(octet(&mut bench), None, "on its way");
    bench.signals.clear();
    urge(&mut bench, 1, b"xy", None);
    assert_eq!(octet(&mut bench), None);
    urge(&mut bench, 0, b"c", None);
    assert_eq!(bench.signals[0], Signal::Urgent(bench.conn()));
    assert_eq!(
        (octet(&mut bench), reads(&mut bench).as_str()),
        (Some('c'), "ab|xy")
    );
    let mut bench = urged(&[]);
    urge(&mut bench, 2, b"c", Some(1));
    assert_eq!(
        octet(&mut bench),
        Some('c'),
        "out of order it is there, too"
    );
    bench.text(b"ab");
    assert_eq!(reads(&mut bench), "ab");
}

/// A RECEIVE that would have nothing but it to give leaves it where it is, and the peer's FIN lets
/// go of it.
#[test]
fn urgent_octet_alone_is_nothing_to_read_and_ends_with_the_stream() {
    let mut bench = urged(&[(b"c", Some(1))]);
    assert_eq!(bench.receive(100), Err(CallError::WouldBlock));
    assert_eq!(octet(&mut bench), Some('c'));
    bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"");
    assert_eq!(bench.receive(100).unwrap(), b"");
    assert_eq!((bench.status().unread, bench.status().urgent), (0, None));
    bench.stack.close(bench.now, bench.conn()).unwrap();
    assert_eq!(bench.state(), State::LastAck, "nothing was left unread");
}

// ---- 3.8.6: windows

#[test]
fn must_34_shld_15_to_17_shrunk_window_stops_new_text_and_is_survived() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(5 * MSS));
    bench.window = 1000;
    assert_eq!(bench.arrive(bench.rcv_nxt, una, ACK, b""), []);
    assert_eq!(bench.send(b"more"), [], "SHLD-15");
    let sent = bench.run(millis(1500));
    assert_eq!(
        seqs(&sent),
        [(una, 1000)],
        "SHLD-16: what lies in the window goes again"
    );
    bench.window = 65_000;
    let rest = bench.arrive(bench.rcv_nxt, una + 1000, ACK, b"");
    assert!(!rest.is_empty(), "and the rest once there is room");
}

#[test]
fn must_35_window_shrunk_to_nothing_is_probed() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(3 * MSS));
    bench.window = 0;
    bench.arrive(bench.rcv_nxt, una, ACK, b"");
    let sent = bench.run(millis(1500));
    assert_eq!(seqs(&sent), [(una, 1)]);
    assert_eq!(sent[0].label.cause, Cause::Probe);
}

/// The peer has closed its window, and there is text to send.
fn stuck(config: Config) -> Bench {
    let mut bench = open(config);
    bench.window = 0;
    bench.acknowledge();
    bench.send(&text(100));
    bench
}

#[test]
fn must_36_shld_29_30_probes_come_after_one_rto_and_then_exponentially() {
    let mut bench = stuck(plain());
    let start = bench.now;
    let sent = bench.run(secs(250));
    assert_eq!(
        times(start, &sent),
        [
            1000, 3000, 7000, 15_000, 31_000, 63_000, 123_000, 183_000, 243_000
        ]
    );
    assert!(
        sent.iter()
            .all(|sent| sent.label.cause == Cause::Probe && sent.text == [0])
    );
}

#[test]
fn must_36_opened_window_lets_the_text_go() {
    let mut bench = stuck(plain());
    bench.run(secs(10));
    bench.window = 65_000;
    let sent = bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"");
    assert_eq!(
        sent.iter()
            .flat_map(|sent| sent.text.clone())
            .collect::<Vec<_>>(),
        text(100)
    );
}

#[test]
fn must_36_octet_that_a_probe_delivered_counts() {
    let mut bench = stuck(plain());
    let probe = bench.run(millis(1500)).remove(0);
    bench.arrive(bench.rcv_nxt, probe.end(), ACK, b"");
    assert_eq!(
        (bench.snd_una, bench.status().unacknowledged),
        (probe.end(), 99)
    );
    let next = bench.run(secs(60)).remove(0);
    assert_eq!(
        (next.header.seq, next.text.as_slice()),
        (probe.end(), &text(100)[1..2])
    );
}

#[test]
fn must_37_probes_answered_never_abort() {
    for profile in [Profile::Rfc9293, Profile::Linux] {
        let mut bench = stuck(Bench::plain(profile));
        for _ in 0..500 {
            bench.run(secs(130));
            bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"");
        }
        assert_eq!(
            (ended(&bench), bench.state()),
            (None, State::Established),
            "{}",
            profile.name()
        );
    }
}

#[test]
fn must_37_probes_answered_never_abort_after_close() {
    let mut bench = stuck(plain());
    bench.stack.close(bench.now, bench.conn()).unwrap();
    for _ in 0..500 {
        bench.run(secs(130));
        bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"");
    }
    assert_eq!(bench.state(), State::FinWait1);
}

#[test]
fn must_38_sender_waits_for_a_useful_window_or_the_override() {
    let mut bench = open(plain());
    bench.window = 10_000;
    bench.acknowledge();
    bench.send(&text(6 * MSS));
    bench.window = 10;
    bench.acknowledge();
    bench.send(&text(1000));
    let start = bench.now;
    let sent = bench.run(secs(2));
    assert_eq!(sent[0].text.len(), 10);
    assert!(
        (100..=1000).contains(&times(start, &sent)[0]),
        "{:?}",
        times(start, &sent)
    );
}

#[test]
fn must_38_half_of_the_largest_window_is_useful() {
    let mut bench = Bench::new(plain());
    bench.window = 1000;
    bench.enter("ESTABLISHED");
    bench.window = 500;
    bench.acknowledge();
    assert_eq!(
        seqs(&bench.send(&text(1000)))
            .iter()
            .map(|(_, len)| *len)
            .collect::<Vec<_>>(),
        [500]
    );
}

#[test]
fn must_39_receiver_opens_its_window_by_a_segment_or_half_the_buffer_only() {
    let mut bench = open(with(plain(), |conn| conn.receive_buffer = 10_000));
    for _ in 0..10 {
        bench.text(&text(1000));
    }
    assert_eq!(bench.status().rcv_wnd, 0);
    let mut updates = Vec::new();
    for _ in 0..10_000 {
        bench.receive(1).unwrap();
        updates.extend(bench.drain().into_iter().map(|sent| sent.header.window));
    }
    assert!(
        updates.len() <= 8 && updates.windows(2).all(|pair| pair[1] - pair[0] >= 1460),
        "{updates:?}"
    );
    assert!(updates[0] >= 1460);
}

#[test]
fn must_40_shld_18_ack_of_one_segment_waits_less_than_half_a_second() {
    let mut bench = open(rfc());
    assert_eq!(bench.text(&text(100)), []);
    let start = bench.now;
    let sent = bench.run(secs(1));
    assert_eq!(sent.len(), 1);
    assert!((1..500).contains(&times(start, &sent)[0]));
}

#[test]
fn shld_19_every_second_full_segment_is_acknowledged_at_once() {
    let mut bench = open(rfc());
    let answers: Vec<usize> = (0..6).map(|_| bench.text(&text(MSS)).len()).collect();
    assert_eq!(answers, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn must_58_59_what_arrives_together_is_acknowledged_once() {
    let mut bench = open(plain());
    let mut packet = [0; 2000];
    for at in 0..10 {
        let header = bench.header(bench.rcv_nxt + 100 * at, bench.snd_nxt, ACK);
        let len = header.emit((&text(100), b""), &mut packet).unwrap();
        bench.stack.packet_arrives(bench.now, &packet[..len]);
    }
    let sent = bench.drain();
    assert_eq!(
        sent.iter().map(|sent| sent.header.ack).collect::<Vec<_>>(),
        [PEER_ISS + 1001]
    );
}

#[test]
fn must_66_ack_of_a_segment_is_taken_though_its_text_has_no_room() {
    let mut bench = Bench::new(with(plain(), |conn| conn.receive_buffer = 1000));
    bench.unread = text(1000);
    bench.enter("ESTABLISHED");
    bench.send(b"x");
    bench.text(b"no room");
    assert_eq!(bench.status().unacknowledged, 0);
    assert_eq!(bench.status().unread, 1000);
}

proptest! {
    #[test]
    fn shld_14_right_edge_never_moves_left(
        buffer in 1000usize..300_000,
        scaling: bool,
        steps in prop::collection::vec((prop_oneof![Just(0), 0u32..3000], 0usize..3000, 0usize..4000, 0u64..300), 1..60),
    ) {
        let config = with(rfc(), |conn| (conn.receive_buffer, conn.window_scaling) = (buffer, scaling));
        let mut bench = Bench::new(config);
        bench.syn_options = Options { window_scale: Some(7), ..bench.syn_options };
        bench.enter("SYN-RECEIVED(passive)");
        let shift = if scaling { bench.clone().run(secs(2))[0].header.options.window_scale.unwrap() } else { 0 };
        bench.acknowledge();
        let mut promised = PEER_ISS + 1 + buffer.min(65_535) as u32;
        // What is offered is the promise rounded up to the scale's unit: less of that excess is no
        // less of the promise.
        let mut check = |bench: &Bench, sent: Vec<Sent>| {
            for sent in sent {
                let offered = sent.header.ack + (u32::from(sent.header.window) << shift);
                assert!(promised.le(offered), "{promised} {offered}");
            }
            let edge = bench.status().rcv_nxt + bench.status().rcv_wnd;
            assert!(promised.le(edge), "{promised} {edge}");
            promised = edge;
        };
        for (gap, len, read, wait) in steps {
            let window = bench.status().rcv_wnd;
            let start = gap.min(window.saturating_sub(1));
            let len = len.min((window - start.min(window)) as usize);
            let sent = bench.arrive(bench.rcv_nxt + start, bench.snd_nxt, ACK, &text(len));
            check(&bench, sent);
            let _ = bench.receive(read);
            let sent = bench.drain();
            check(&bench, sent);
            let sent = bench.run(millis(wait));
            check(&bench, sent);
        }
    }
}

// ---- RFC 7323, 2018

fn stamped(value: u32) -> Options {
    Options {
        mss: Some(1460),
        timestamps: Some(Timestamps { value, echo: 0 }),
        ..Options::default()
    }
}

#[test]
fn rfc_7323_2_2_windows_are_scaled_only_if_both_syns_said_so_and_never_in_a_syn() {
    let mut bench = open_to(
        rfc(),
        Options {
            window_scale: Some(3),
            ..Options::default()
        },
    );
    assert_eq!(bench.status().snd_wnd, 65_000 << 3);
    let sent = bench.text(&text(1000));
    assert_eq!(sent.len() + bench.run(secs(1)).len(), 1);
    assert_eq!(bench.status().rcv_wnd, 262_144 - 1000);
    assert_eq!(open(rfc()).status().snd_wnd, 65_000);
    assert_eq!(
        open_to(
            with(rfc(), |conn| conn.window_scaling = false),
            Options {
                window_scale: Some(3),
                ..Options::default()
            }
        )
        .status()
        .snd_wnd,
        65_000
    );
}

#[test]
fn rfc_7323_2_3_shift_over_14_counts_as_14() {
    let bench = open_to(
        rfc(),
        Options {
            window_scale: Some(200),
            ..Options::default()
        },
    );
    assert_eq!(bench.status().snd_wnd, 65_000 << 14);
}

#[test]
fn rfc_7323_3_2_timestamps_are_in_every_segment_or_in_none() {
    let mut bench = open_to(rfc(), stamped(77));
    let sent = [
        bench.send(b"x"),
        bench.run(secs(2)),
        bench.text(&text(10)),
        bench.run(secs(1)),
    ]
    .concat();
    assert!(
        sent.len() >= 3
            && sent.iter().all(|sent| sent
                .header
                .options
                .timestamps
                .is_some_and(|stamps| stamps.echo == 77))
    );
    let mut bench = open(rfc());
    assert!(bench.send(b"x")[0].header.options.timestamps.is_none());
}

/// TSecr of what is sent after text at this offset with this stamp.
fn echo(bench: &mut Bench, offset: u32, stamp: u32) -> Option<u32> {
    bench.stamp = Some(stamp);
    let sent = bench.arrive(PEER_ISS + 1 + offset, bench.snd_nxt, ACK, b"0123456789");
    sent.last()
        .map(|sent| sent.header.options.timestamps.unwrap().echo)
}

#[test]
fn rfc_7323_4_3_echo_is_that_of_the_earliest_segment_that_waits_for_its_ack() {
    let mut bench = open_to(rfc(), stamped(1));
    assert_eq!(echo(&mut bench, 0, 10), None, "delayed");
    assert_eq!(echo(&mut bench, 10, 11), Some(10));
}

#[test]
fn rfc_7323_4_3_echo_beyond_a_hole_is_that_of_the_last_in_order_and_then_of_what_fills_it() {
    let mut bench = open_to(with(rfc(), |conn| conn.delayed_ack = None), stamped(1));
    assert_eq!(echo(&mut bench, 0, 10), Some(10));
    assert_eq!(echo(&mut bench, 20, 12), Some(10));
    assert_eq!(echo(&mut bench, 10, 13), Some(13));
}

#[test]
fn rfc_2018_sack_blocks_name_the_newest_first_and_only_if_permitted() {
    let blocks = |options: Options| {
        let mut bench = open_to(rfc(), options);
        let base = bench.rcv_nxt;
        let mut last = Vec::new();
        for at in [100, 300, 500, 700, 900] {
            last = bench
                .arrive(base + at, bench.snd_nxt, ACK, b"0123456789")
                .remove(0)
                .header
                .options
                .sack
                .as_slice()
                .to_vec();
        }
        last.into_iter()
            .map(|(left, right)| (left.since(base), right.since(base)))
            .collect::<Vec<_>>()
    };
    assert_eq!(blocks(Options::default()), []);
    let permitted = Options {
        sack_permitted: true,
        ..Options::default()
    };
    assert_eq!(
        blocks(permitted),
        [(900, 910), (700, 710), (500, 510), (300, 310)]
    );
    assert_eq!(
        blocks(Options {
            sack_permitted: true,
            ..stamped(1)
        }),
        [(900, 910), (700, 710), (500, 510)]
    );
}

#[test]
fn rfc_2883_4_what_came_again_is_told_once_before_what_holds_it_and_only_if_permitted() {
    let told = |options: Options| {
        let mut bench = open_to(with(rfc(), |conn| conn.delayed_ack = None), options);
        let base = bench.rcv_nxt;
        let mut blocks = |left: u32, right: u32| {
            let text = &b"0123456789abcdefghijklmnopqrst"[left as usize..right as usize];
            let [ref answer] = bench.arrive(base + left, bench.snd_nxt, ACK, text)[..] else {
                panic!("one answer")
            };
            answer
                .header
                .options
                .sack
                .as_slice()
                .iter()
                .map(|(left, right)| (left.since(base), right.since(base)))
                .collect::<Vec<_>>()
        };
        let told = [
            (0, 10),
            (0, 10),
            (20, 30),
            (25, 30),
            (15, 27),
            (5, 15),
            (29, 30),
        ]
        .map(|(left, right)| blocks(left, right));
        assert_eq!(
            bench.receive(40).unwrap(),
            b"0123456789abcdefghijklmnopqrst"
        );
        told
    };
    assert_eq!(
        told(Options {
            sack_permitted: true,
            ..Options::default()
        }),
        [
            vec![],
            vec![(0, 10)],
            vec![(20, 30)],
            vec![(25, 30), (20, 30)],
            vec![(20, 27), (15, 30)],
            vec![(5, 10)],
            vec![(29, 30)]
        ]
    );
    assert!(told(Options::default()).iter().all(Vec::is_empty));
}

#[test]
fn rfc_2883_text_that_tells_of_a_duplicate_is_no_longer_than_a_segment_may_be() {
    for (permitted, len, blocks) in [(true, 1448, 1), (false, 1460, 0)] {
        let mut bench = open_to(
            rfc(),
            Options {
                mss: Some(1460),
                sack_permitted: permitted,
                ..Options::default()
            },
        );
        let base = bench.rcv_nxt;
        for at in [0, 5] {
            assert_eq!(
                bench.arrive(base + at, bench.snd_nxt, ACK, b"0123456789"),
                [],
                "the ACK waits"
            );
        }
        let sent = bench.send(&[7; 3000]);
        assert_eq!(
            (
                sent[0].text.len(),
                sent[0].header.options.sack.as_slice().len()
            ),
            (len, blocks)
        );
    }
}

#[test]
fn rfc_2883_syn_that_came_again_is_no_text_that_did() {
    let mut bench = open_to(
        rfc(),
        Options {
            sack_permitted: true,
            ..Options::default()
        },
    );
    let sent = bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    assert_eq!(
        sent.iter()
            .map(|sent| sent.header.options.sack.as_slice().len())
            .collect::<Vec<_>>(),
        [0]
    );
}

#[test]
fn rfc_2018_fin_before_its_time_is_held_acknowledged_each_time_and_named() {
    for (text, first, again) in [
        (&b""[..], vec![(10, 11)], vec![(10, 11); 2]),
        (b"56789", vec![(5, 11)], vec![(5, 11); 2]),
    ] {
        let mut bench = open_to(
            rfc(),
            Options {
                sack_permitted: true,
                ..Options::default()
            },
        );
        let base = bench.rcv_nxt;
        for expected in [first, again] {
            let sent = bench.arrive(
                (base + 10).back(text.len() as u32),
                bench.snd_nxt,
                ACK | Flags::FIN,
                text,
            );
            let [ref answer] = sent[..] else {
                panic!("{sent:?}")
            };
            let held = answer
                .header
                .options
                .sack
                .as_slice()
                .iter()
                .map(|(left, right)| (left.since(base), right.since(base)));
            assert_eq!(
                (answer.header.ack, held.collect::<Vec<_>>()),
                (base, expected)
            );
        }
        let sent = bench.arrive(base, bench.snd_nxt, ACK, &b"0123456789"[..10 - text.len()]);
        assert_eq!(
            (sent[0].header.ack, sent[0].header.options.sack.as_slice()),
            (base + 11, &[][..])
        );
        assert_eq!(bench.state(), State::CloseWait);
    }
}

#[test]
fn shld_31_text_out_of_order_is_held_and_acknowledged_when_the_hole_is_filled() {
    let mut bench = open(rfc());
    let base = bench.rcv_nxt;
    assert_eq!(
        bench.arrive(base + 5, bench.snd_nxt, ACK, b"56789")[0]
            .header
            .ack,
        base
    );
    assert_eq!(
        bench.arrive(base, bench.snd_nxt, ACK, b"01234")[0]
            .header
            .ack,
        base + 10
    );
    assert_eq!(bench.receive(20).unwrap(), b"0123456789");
}

// ---- RFC 5961, 5927, 1191

#[test]
fn rfc_5961_7_challenges_are_throttled_for_each_connection() {
    let mut bench = open(rfc());
    let start = bench.now;
    let mut challenges = 0;
    for at in 0..1200 {
        bench.now = start + millis(at);
        challenges += bench
            .say(bench.header(bench.rcv_nxt + 100, Seq(0), Flags::SYN), b"")
            .len();
    }
    assert_eq!(challenges, 3);
}

#[test]
fn rfc_5961_3_rst_that_answers_a_challenge_ends_the_connection() {
    let mut bench = open(rfc());
    let challenge = bench
        .arrive(bench.rcv_nxt + 100, Seq(0), Flags::SYN, b"")
        .remove(0);
    bench.arrive(challenge.header.ack, Seq(0), Flags::RST, b"");
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn must_54_56_soft_icmp_errors_end_nothing_and_are_noted() {
    for (kind, code) in [(3, 0), (3, 1), (3, 5), (11, 0), (11, 1), (12, 0)] {
        for state in ["SYN-SENT", "SYN-RECEIVED(passive)", "ESTABLISHED"] {
            let mut bench = Bench::new(rfc());
            bench.enter(state);
            if state == "ESTABLISHED" {
                bench.send(b"x");
            }
            let before = bench.state();
            bench.icmp(kind, code, 0, bench.snd_una);
            assert_eq!(bench.state(), before, "{kind}/{code}");
            assert!(
                bench
                    .events
                    .iter()
                    .any(|event| matches!(event.what, What::Icmp(_))),
                "{kind}/{code}"
            );
        }
    }
}

#[test]
fn must_55_source_quench_is_not_even_noted() {
    let mut bench = open(rfc());
    bench.send(b"x");
    let before = bench.status();
    assert_eq!(bench.icmp(4, 0, 0, bench.snd_una), []);
    assert!(
        !bench
            .events
            .iter()
            .any(|event| matches!(event.what, What::Icmp(_)))
    );
    assert_eq!(bench.status(), before);
}

#[test]
fn shld_26_hard_icmp_errors_end_an_opening_if_they_quote_what_is_in_flight() {
    let mut bench = Bench::new(rfc());
    bench.enter("SYN-SENT");
    bench.icmp(3, 3, 0, bench.snd_una.back(1));
    bench.icmp(3, 3, 0, bench.snd_nxt);
    assert_eq!(bench.state(), State::SynSent, "RFC 5927 section 4.1");
    bench.icmp(3, 3, 0, bench.snd_una);
    assert!(matches!(ended(&bench), Some(CloseReason::Unreachable(_))));
}

#[test]
fn rfc_5927_5_2_hard_icmp_errors_are_soft_once_synchronized() {
    let mut bench = open(rfc());
    bench.send(b"x");
    bench.icmp(3, 3, 0, bench.snd_una);
    assert_eq!(bench.state(), State::Established);
}

// ---- 3.6, 3.10.4: closing

#[test]
fn half_close_lets_the_peer_go_on() {
    let mut bench = Bench::new(plain());
    bench.enter("FIN-WAIT-2");
    assert_eq!(bench.text(b"more")[0].header.ack, PEER_ISS + 5);
    assert_eq!(bench.receive(10).unwrap(), b"more");
    let mut bench = Bench::new(plain());
    bench.enter("CLOSE-WAIT");
    assert_eq!(bench.send(b"more")[0].text, b"more");
}

#[test]
fn linux_ack_of_a_fin_waits_and_travels_with_the_fin_of_who_closes_at_once() {
    let fin = |profile: Profile| {
        let mut bench = open(profile.config());
        bench.text(b"text");
        bench.run(secs(1));
        bench.receive(4).unwrap();
        let sent = bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"");
        assert_eq!(bench.state(), State::CloseWait);
        (bench, sent)
    };
    let (_, sent) = fin(Profile::Rfc9293);
    assert_eq!(
        sent.iter()
            .map(|sent| sent.header.flags)
            .collect::<Vec<_>>(),
        [ACK],
        "3.10.7.4 sends it at once"
    );

    let (mut late, sent) = fin(Profile::Linux);
    assert_eq!(sent, []);
    let since = late.now;
    let sent = late.run(millis(100));
    assert_eq!((times(since, &sent), sent[0].header.flags), (vec![40], ACK));

    let (mut prompt, _) = fin(Profile::Linux);
    prompt.stack.close(prompt.now, prompt.conn()).unwrap();
    let sent = prompt.run(millis(100));
    assert_eq!(
        sent.iter()
            .map(|sent| (sent.header.flags, sent.header.ack))
            .collect::<Vec<_>>(),
        [(FIN_ACK, PEER_ISS + 6)]
    );
}

#[test]
fn linux_ack_of_a_fin_with_text_waits_too_unless_something_is_missing() {
    let mut bench = open(Profile::Linux.config());
    assert_eq!(
        bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"last words"),
        []
    );
    assert_eq!(bench.run(millis(40))[0].header.ack, PEER_ISS + 12);
    let mut bench = open(Profile::Linux.config());
    assert_eq!(
        bench
            .arrive(bench.rcv_nxt + 4, bench.snd_nxt, FIN_ACK, b"words")
            .len(),
        1,
        "out of order"
    );
    assert_eq!(
        bench.text(b"last")[0].header.ack,
        PEER_ISS + 11,
        "fills the hole"
    );
}

#[test]
fn close_sends_everything_before_the_fin() {
    let mut bench = open(plain());
    bench.send(&text(15 * MSS));
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    assert_eq!(
        (bench.drain(), bench.state()),
        (vec![], State::FinWait1),
        "the state changes at once, the FIN waits for its turn"
    );
    let sent = bench.acknowledge();
    let fins: Vec<bool> = sent
        .iter()
        .map(|sent| sent.header.flags.has(Flags::FIN))
        .collect();
    assert_eq!(fins, [false, false, false, false, true]);
}

#[test]
fn fin_lost_is_sent_again_with_the_text_that_was_lost_with_it() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(b"last words");
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    bench.drain();
    let sent = bench.run(millis(1500));
    assert_eq!(
        (sent[0].header.seq, sent[0].text.as_slice()),
        (una, &b"last words"[..])
    );
    assert!(sent.iter().any(|sent| sent.header.flags.has(Flags::FIN)));
    bench.acknowledge();
    assert_eq!(bench.state(), State::FinWait2);
}

#[test]
fn close_in_syn_received_is_finished_by_the_ack_of_the_syn_alone() {
    let mut bench = Bench::new(plain());
    bench.enter("SYN-RECEIVED(active)");
    let iss = bench.status().iss;
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    assert_eq!(bench.drain()[0].header.seq, iss + 1);
    bench.arrive(bench.rcv_nxt, iss + 1, ACK, b"");
    assert_eq!(
        (bench.state(), bench.snd_una, bench.snd_nxt),
        (State::FinWait1, iss + 1, iss + 2)
    );
    let again = bench.run(secs(5));
    assert!(
        !again.is_empty()
            && again
                .iter()
                .all(|sent| sent.header.flags == FIN_ACK && sent.header.seq == iss + 1),
        "{again:?}"
    );
    bench.acknowledge();
    assert_eq!(bench.state(), State::FinWait2);
}

#[test]
fn unread_text_stays_readable_after_a_clean_close() {
    let mut bench = Bench::new(plain());
    bench.unread = text(100);
    bench.enter("TIME-WAIT");
    bench.run(secs(300));
    assert_eq!(bench.receive(60).unwrap(), text(100)[..60]);
    assert_eq!(bench.receive(60).unwrap(), text(100)[60..]);
    assert_eq!(bench.receive(60), Ok(vec![]));
}

/// A segment for TIME-WAIT: offsets from RCV.NXT and SND.NXT, bits, octets of text, offset of the
/// timestamp.
fn any_segment() -> impl Strategy<Value = (i32, i32, u8, usize, i32, u64)> {
    let near = prop_oneof![-3i32..3, -200_000..200_000];
    (
        near.clone(),
        near,
        0u8..64,
        prop_oneof![Just(0usize), 1..20usize],
        -2i32..3,
        0u64..100_000,
    )
}

proptest! {
    #[test]
    fn time_wait_compact_and_full_answer_alike(
        profile in prop_oneof![Just(Profile::Rfc9293), Just(Profile::Rfc793), Just(Profile::Linux)],
        stamps: bool,
        listener: bool,
        segments in prop::collection::vec(any_segment(), 1..20),
    ) {
        let mut benches = [false, true].map(|read| {
            let mut bench = Bench::new(with(profile.config(), |conn| conn.timestamps = stamps));
            if stamps {
                bench.stamp = Some(1000);
            }
            bench.unread = text(10);
            bench.enter("TIME-WAIT");
            if !listener {
                bench.stack.close_listener(bench.now, bench.listener.unwrap());
            }
            if read {
                assert_eq!(bench.receive(10).unwrap(), text(10));
            }
            bench.drain();
            bench
        });
        prop_assert_eq!(benches[0].status().unread, 10);
        prop_assert_eq!(benches[1].status().unread, 0);
        for (seq, ack, bits, len, stamp, wait) in segments {
            let [full, compact] = &mut benches;
            let answers = [&mut *full, &mut *compact].map(|bench| {
                let before = bench.run(millis(wait));
                let offset = |base: Seq, by: i32| Seq(base.0.wrapping_add_signed(by));
                let mut header = bench.header(offset(bench.rcv_nxt, seq), offset(bench.snd_nxt, ack), Flags(bits));
                header.options.timestamps = stamps.then_some(Timestamps { value: 1000u32.wrapping_add_signed(stamp), echo: 0 });
                (before, bench.say(header, &text(len)))
            });
            prop_assert_eq!(&answers[0], &answers[1]);
            prop_assert_eq!(full.state(), compact.state());
            prop_assert_eq!(full.stack.deadline(), compact.stack.deadline());
        }
    }
}

/// A link of 10 ms that does to its first packets what it was told to, and two applications: each
/// sends, reads slowly and closes.
struct Link {
    pair: Pair,
    fates: std::vec::IntoIter<u8>,
    flying: Vec<(Instant, bool, Vec<u8>)>,
    unsent: [Vec<u8>; 2],
    got: [Vec<u8>; 2],
    ended: [bool; 2],
    ids: [Option<ConnId>; 2],
    most: usize,
}

impl Link {
    fn carry(&mut self) {
        for to_b in [true, false] {
            let from = if to_b {
                &mut self.pair.a
            } else {
                &mut self.pair.b
            };
            for packet in Pair::sent(from, self.pair.now) {
                let fate = self.fates.next().unwrap_or(9);
                let delay = if fate == 3 { 75 } else { 10 };
                for _ in 0..[1, 0, 2].get(usize::from(fate)).copied().unwrap_or(1) {
                    self.flying
                        .push((self.pair.now + millis(delay), to_b, packet.clone()));
                }
            }
        }
    }

    fn applications(&mut self) {
        let (a, b) = (Pair::A.into(), Pair::B.into());
        self.ids = [
            self.ids[0].or(self.pair.a.lookup(FourTuple {
                local: a,
                remote: b,
            })),
            self.ids[1].or(self.pair.b.lookup(FourTuple {
                local: b,
                remote: a,
            })),
        ];
        for (at, id) in self.ids.into_iter().enumerate() {
            let Some(id) = id else { continue };
            let stack = if at == 0 {
                &mut self.pair.a
            } else {
                &mut self.pair.b
            };
            let mut into = vec![0; self.most];
            match stack.receive(self.pair.now, id, &mut into) {
                Ok(0) => self.ended[at] = true,
                Ok(taken) => self.got[at].extend(&into[..taken]),
                Err(_) => {}
            }
            if let Ok(taken) = stack.send(self.pair.now, id, &self.unsent[at]) {
                self.unsent[at].drain(..taken);
                if self.unsent[at].is_empty() {
                    stack.shutdown(self.pair.now, id).unwrap();
                }
            }
        }
    }

    /// Goes on for 20 ms, the pace at which the applications read.
    fn step(&mut self) {
        let until = self.pair.now + millis(20);
        loop {
            self.carry();
            let arrival = self.flying.iter().map(|(at, ..)| *at).min();
            let next = [arrival, self.pair.a.deadline(), self.pair.b.deadline()]
                .into_iter()
                .flatten()
                .min()
                .filter(|next| *next <= until);
            let Some(next) = next else { break };
            self.pair.now = self.pair.now.max(next);
            self.pair.a.timeout(self.pair.now);
            self.pair.b.timeout(self.pair.now);
            let (due, later) = std::mem::take(&mut self.flying)
                .into_iter()
                .partition(|(at, ..)| *at <= next);
            self.flying = later;
            for (_, to_b, packet) in due {
                let to = if to_b {
                    &mut self.pair.b
                } else {
                    &mut self.pair.a
                };
                to.packet_arrives(self.pair.now, &packet);
            }
        }
        self.pair.now = until;
        self.applications();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_loss_doubling_and_reordering_delivers_everything_in_order_and_ends(
        profile in prop_oneof![Just(Profile::Rfc9293), Just(Profile::Rfc793), Just(Profile::Linux)],
        fates in prop::collection::vec(0u8..8, 0..120),
        sizes in (1usize..40_000, 1usize..40_000),
        buffer in 500usize..100_000,
        most in 200usize..5000,
        mtu in 300u16..1500,
    ) {
        let config = with(profile.config(), |conn| (conn.receive_buffer, conn.mtu) = (buffer, mtu));
        let mut pair = Pair::new(&config);
        pair.b.listen(pair.now, Pair::B.into(), 1, &config.conn).unwrap();
        pair.a.connect(pair.now, FourTuple { local: Pair::A.into(), remote: Pair::B.into() }, &config.conn).unwrap();
        let texts = [text(sizes.0), text(sizes.1)];
        let mut link = Link {
            pair,
            fates: fates.into_iter(),
            flying: Vec::new(),
            unsent: texts.clone(),
            got: [Vec::new(), Vec::new()],
            ended: [false, false],
            ids: [None, None],
            most,
        };
        for _ in 0..100_000 {
            link.step();
            if link.ended == [true, true] {
                break;
            }
        }
        prop_assert_eq!(link.ended, [true, true], "{:?}", link.pair.states());
        prop_assert!(link.got[0] == texts[1] && link.got[1] == texts[0]);
    }
}

#[test]
fn must_3_segment_with_a_wrong_checksum_is_dropped_and_counted() {
    let mut bench = open(plain());
    let mut packet = [0; 200];
    let len = bench
        .header(bench.rcv_nxt, Seq(0), Flags::RST)
        .emit((b"", b""), &mut packet)
        .unwrap();
    packet[36] ^= 1;
    bench.stack.packet_arrives(bench.now, &packet[..len]);
    assert_eq!((bench.drain(), bench.state()), (vec![], State::Established));
    assert_eq!(bench.stack.counters().bad_checksums, 1);
    assert!(
        bench
            .events
            .iter()
            .any(|event| matches!(event.what, What::Discarded(Discard::Parse(_))))
    );
}

#[test]
fn config_of_the_rfc_keeps_its_numbers() {
    let conn = rfc().conn;
    assert_eq!(
        conn.rto,
        Rto {
            initial: secs(1),
            min: secs(1),
            max: conn.rto.max,
            backoff: 2,
            variance: Variance::Rfc6298,
            samples: Samples::Unambiguous
        }
    );
    assert!(conn.rto.max >= secs(60), "RFC 6298 (2.5)");
    assert_eq!(conn.msl, secs(120));
    assert!(conn.delayed_ack.unwrap() < millis(500), "MUST-40");
    assert!(
        (millis(100)..=secs(1)).contains(&conn.sws_override),
        "MUST-38"
    );
    assert!(conn.r1 >= 3, "SHLD-10");
    assert_eq!(conn.keepalive, None, "MUST-25");
}
