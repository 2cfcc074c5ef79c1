//! What a SYN brings beside the SYN: an MSS of 0, text and a FIN, the echo of a timestamp, and the
//! TIME-WAIT that it seemed to end. What is said of Linux was measured with 6.18.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::time::Duration;

use common::{ACK, Bench, FIN_ACK, PEER_ISS, SYN_ACK, Sent, plain, spell, with};
use tcpx_proto::config::{Config, Overflow, Profile};
use tcpx_proto::error::CloseReason;
use tcpx_proto::event::{Discard, What};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::Signal;
use tcpx_proto::state::State;
use tcpx_proto::wire::{Flags, Header, Options, Timestamps};

const FIN: Flags = Flags::FIN;
const SYN: Flags = Flags::SYN;
const RST: Flags = Flags::RST;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Flags, and the octets of the peer's that are acknowledged.
fn acks(sent: &[Sent]) -> Vec<(Flags, u32)> {
    sent.iter()
        .map(|sent| (sent.header.flags, sent.header.ack.since(PEER_ISS + 1)))
        .collect()
}

fn accept(bench: &mut Bench) {
    bench.id = Some(
        bench
            .stack
            .accept(bench.now, bench.listener.unwrap())
            .unwrap(),
    );
}

/// SYNs from other ports.
fn strangers(bench: &mut Bench, count: u16, text: &[u8]) {
    for port in 100..100 + count {
        let header = Header {
            source: ([10, 0, 0, 2], port).into(),
            ..bench.header(PEER_ISS, Seq(0), SYN)
        };
        bench.say(header, text);
    }
}

// ---- MSS

#[test]
fn mss_of_the_peer_is_ignored_if_0_and_48_at_least() {
    let config = |timestamps| {
        with(Bench::plain(Profile::Linux), |conn| {
            conn.timestamps = timestamps
        })
    };
    for (offered, plain, stamped) in [
        (None, 536, 524),
        (Some(0), 536, 524),
        (Some(1), 48, 36),
        (Some(48), 48, 36),
        (Some(49), 49, 37),
        (Some(88), 88, 76),
        (Some(1460), 1460, 1448),
    ] {
        for (timestamps, full) in [(false, plain), (true, stamped)] {
            let mut bench = Bench::new(config(timestamps));
            bench.syn_options = Options {
                mss: offered,
                ..Options::default()
            };
            bench.stamp = timestamps.then_some(1000);
            bench.enter("ESTABLISHED");
            assert_eq!(
                bench.send(&[0; 3000])[0].text.len(),
                full,
                "{offered:?} {timestamps}"
            );
        }
    }
}

#[test]
fn mss_of_0_in_a_syn_ack_and_in_a_syn_that_gets_a_cookie_is_ignored() {
    let mut bench = Bench::new(plain());
    bench.syn_options.mss = Some(0);
    bench.connect();
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    assert_eq!(bench.send(&[0; 3000])[0].text.len(), 536);

    let mut bench = Bench::new(plain());
    bench.listen();
    strangers(&mut bench, 16, b"");
    bench.syn_options.mss = Some(0);
    let cookie = bench.arrive(PEER_ISS, Seq(0), SYN, b"")[0].header.seq;
    assert_eq!(bench.stack.counters().cookies_sent, 1);
    bench.arrive(PEER_ISS + 1, cookie + 1, ACK, b"");
    accept(&mut bench);
    assert_eq!(bench.send(&[0; 3000])[0].text.len(), 536);
}

// ---- Text and FIN

/// What is delivered of a SYN with this, and in which state, after the third ACK, which counts
/// `counted` octets beside the SYN.
fn listened(
    config: Config,
    flags: Flags,
    text: &[u8],
    counted: u32,
) -> (Vec<Sent>, Vec<u8>, State) {
    let mut bench = Bench::new(config);
    bench.listen();
    let answer = bench.arrive(PEER_ISS, Seq(0), flags, text);
    assert_eq!(
        acks(&answer),
        [(SYN_ACK, 0)],
        "the SYN alone is acknowledged"
    );
    let mut sent = bench.arrive(PEER_ISS + 1 + counted, bench.snd_nxt, ACK, b"");
    sent.extend(bench.run(millis(500)));
    accept(&mut bench);
    let text = bench.receive(2000).unwrap_or_default();
    (sent, text, bench.state())
}

#[test]
fn text_and_fin_of_a_syn_to_a_listener_are_queued_by_the_rfc_and_dropped_by_linux() {
    let (rfc, linux) = (plain(), Bench::plain(Profile::Linux));
    for counted in [0, 100] {
        let (sent, text, state) = listened(rfc.clone(), SYN, &[7; 100], counted);
        assert_eq!(
            (acks(&sent), text.len(), state),
            (vec![(ACK, 100)], 100, State::Established),
            "{counted}"
        );
    }
    let (sent, text, state) = listened(linux, SYN, &[7; 100], 0);
    assert_eq!(
        (acks(&sent), text.len(), state),
        (vec![], 0, State::Established)
    );

    let (sent, text, state) = listened(rfc.clone(), SYN | FIN, b"", 1);
    assert_eq!(
        (acks(&sent), text.len(), state),
        (vec![(ACK, 1)], 0, State::CloseWait)
    );
    let (sent, text, state) = listened(rfc, SYN | FIN, b"words", 6);
    assert_eq!(
        (acks(&sent), text, state),
        (vec![(ACK, 6)], b"words".to_vec(), State::CloseWait)
    );
}

#[test]
fn text_queued_comes_before_that_of_the_third_segment_and_counts_once() {
    let mut bench = Bench::new(plain());
    bench.listen();
    bench.arrive(PEER_ISS, Seq(0), SYN, b"one");
    assert_eq!(
        acks(&bench.arrive(PEER_ISS, Seq(0), SYN, b"two")),
        [(ACK, 0)],
        "the SYN again changes nothing"
    );
    bench.arrive(PEER_ISS + 1, bench.snd_nxt, ACK, b"one two");
    accept(&mut bench);
    assert_eq!(bench.receive(100).unwrap(), b"one two");
    assert_eq!(
        acks(&bench.arrive(PEER_ISS + 8, bench.snd_nxt, FIN_ACK, b"")),
        [(ACK, 8)]
    );
}

#[test]
fn text_queued_is_bounded_by_the_window_the_memory_and_the_backlog() {
    let flood = |config: Config, text: &[u8]| {
        let mut bench = Bench::new(config);
        bench.listen();
        strangers(&mut bench, 500, text);
        bench.arrive(PEER_ISS, Seq(0), SYN, text);
        bench.stack.connections().count()
    };
    assert_eq!(flood(plain(), &[0; 1000]), 16);
    let mut bounded = Config {
        max_memory: 10_000,
        overflow: Overflow::Unbounded,
        ..plain()
    };
    assert!(
        flood(bounded.clone(), &[0; 1000]) <= 11,
        "what is queued counts"
    );
    bounded.max_memory = 500;
    assert_eq!(flood(bounded, &[0; 1000]), 501, "nothing is queued");

    let (sent, text, _) = listened(
        with(plain(), |conn| conn.receive_buffer = 50),
        SYN | FIN,
        &[0; 51],
        0,
    );
    assert_eq!((acks(&sent), text.len()), (vec![], 0));
    let (sent, text, _) = listened(
        with(plain(), |conn| conn.receive_buffer = 50),
        SYN,
        &[0; 50],
        0,
    );
    assert_eq!((acks(&sent), text.len()), (vec![(ACK, 50)], 50));
}

#[test]
fn text_and_fin_on_crossing_syns_are_queued_by_the_rfc_and_dropped_by_linux() {
    for (profile, text, state) in [
        (Profile::Rfc9293, &b"text"[..], State::CloseWait),
        (Profile::Linux, b"", State::Established),
    ] {
        let mut bench = Bench::new(Bench::plain(profile));
        bench.connect();
        let answer = bench.arrive(PEER_ISS, Seq(0), SYN | FIN, b"text");
        assert_eq!(acks(&answer), [(SYN_ACK, 0)], "{}", profile.name());
        let mut sent = bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
        sent.extend(bench.run(millis(100)));
        let acked = if profile == Profile::Linux { 0 } else { 5 };
        assert_eq!(
            (acks(&sent), bench.state()),
            (vec![(ACK, acked)], state),
            "{}",
            profile.name()
        );
        assert_eq!(
            bench.receive(10).unwrap_or_default(),
            text,
            "{}",
            profile.name()
        );
    }
}

#[test]
fn text_on_the_syn_ack_of_a_simultaneous_open_is_taken_by_the_rfc_and_challenged_by_linux() {
    for (profile, state) in [
        (Profile::Rfc9293, State::CloseWait),
        (Profile::Linux, State::SynReceived),
    ] {
        let mut bench = Bench::new(Bench::plain(profile));
        bench.connect();
        bench.arrive(PEER_ISS, Seq(0), SYN, b"");
        let sent = bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK | FIN, b"text");
        let acked = if profile == Profile::Linux { 0 } else { 5 };
        assert_eq!(
            (acks(&sent), bench.state()),
            (vec![(ACK, acked)], state),
            "{}",
            profile.name()
        );
    }
}

#[test]
fn text_and_fin_on_a_syn_ack_are_taken_by_the_rfc_and_must_come_again_to_linux() {
    for (flags, text) in [
        (SYN_ACK, &b"text"[..]),
        (SYN_ACK | FIN, b""),
        (SYN_ACK | FIN, b"text"),
    ] {
        let octets = text.len() as u32 + u32::from(flags.has(FIN));
        let after = if flags.has(FIN) {
            State::CloseWait
        } else {
            State::Established
        };
        for (profile, acked, state) in [
            (Profile::Rfc9293, octets, after),
            (Profile::Linux, 0, State::Established),
        ] {
            let mut bench = Bench::new(Bench::plain(profile));
            bench.connect();
            let sent = bench.arrive(PEER_ISS, bench.snd_nxt, flags, text);
            assert_eq!(
                (acks(&sent), bench.state()),
                (vec![(ACK, acked)], state),
                "{} {flags}",
                profile.name()
            );
            let mut again = bench.arrive(PEER_ISS + 1, bench.snd_nxt, flags.without(SYN), text);
            again.extend(bench.run(millis(100)));
            assert_eq!(
                (acks(&again), bench.state()),
                (vec![(ACK, octets)], after),
                "{} {flags}",
                profile.name()
            );
        }
    }
}

#[test]
fn urgent_data_on_a_syn_is_announced_by_the_rfc() {
    let urgent = |bench: &Bench| {
        (
            bench.status().urgent,
            bench
                .signals
                .iter()
                .any(|signal| matches!(signal, Signal::Urgent(_))),
        )
    };
    let mut bench = Bench::new(plain());
    bench.listen();
    // SEG.UP is 5: the octet after the urgent data is the fifth after the SYN.
    bench.arrive(PEER_ISS, Seq(0), SYN | Flags::URG, b"ab");
    bench.arrive(PEER_ISS + 1, bench.snd_nxt, ACK, b"");
    accept(&mut bench);
    bench.drain();
    assert_eq!(urgent(&bench), (Some(4), true));
    assert_eq!(bench.receive(10).unwrap(), b"ab");
    let mut bench = Bench::new(plain());
    bench.connect();
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK | Flags::URG, b"ab");
    assert_eq!(urgent(&bench), (Some(4), true));
}

// ---- The echo of our SYN's timestamp

fn stamped(profile: Profile) -> Bench {
    Bench::new(with(Bench::plain(profile), |conn| conn.timestamps = true)).with_timestamps(1000)
}

/// A segment that echoes this.
fn echo(bench: &mut Bench, seq: Seq, flags: Flags, echo: u32, text: &[u8]) -> Vec<String> {
    let mut header = bench.header(seq, bench.snd_nxt, flags);
    header.options.timestamps = Some(Timestamps { value: 1000, echo });
    bench.say(header, text).iter().map(spell).collect()
}

#[test]
fn syn_ack_with_an_echo_that_is_none_of_ours_is_refused_by_linux_alone() {
    for (by, ours) in [
        (0, true),
        (30, true),
        (-1, false),
        (31, false),
        (100_000, false),
        (-100_000, false),
        (i32::MIN, false),
    ] {
        for profile in [Profile::Linux, Profile::Rfc9293] {
            let mut bench = stamped(profile);
            let stamp = bench.connect()[0].header.options.timestamps.unwrap().value;
            bench.now = bench.now + millis(30);
            let una = bench.snd_nxt;
            let answer = echo(
                &mut bench,
                PEER_ISS,
                SYN_ACK,
                stamp.wrapping_add_signed(by),
                b"",
            );
            let (expected, state) = if ours || profile == Profile::Rfc9293 {
                (format!("{una} {} A", PEER_ISS + 1), State::Established)
            } else {
                (format!("{una} - R"), State::SynSent)
            };
            assert_eq!(
                (answer, bench.state()),
                (vec![expected], state),
                "{} {by}",
                profile.name()
            );
        }
    }
}

#[test]
fn syn_ack_that_echoes_nothing_or_the_first_of_several_syns_is_taken_by_linux() {
    let mut bench = stamped(Profile::Linux);
    bench.connect();
    assert_eq!(echo(&mut bench, PEER_ISS, SYN_ACK, 0, b"").len(), 1);
    assert_eq!(bench.state(), State::Established, "an echo of 0 is none");
    let mut bench = stamped(Profile::Linux);
    bench.stamp = None;
    bench.connect();
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    assert_eq!(bench.state(), State::Established, "without timestamps");
    let mut bench = stamped(Profile::Linux);
    let first = bench.connect()[0].header.options.timestamps.unwrap().value;
    assert_eq!(bench.run(secs(2)).len(), 2, "the SYN again, twice");
    echo(&mut bench, PEER_ISS, SYN_ACK, first, b"");
    assert_eq!(bench.state(), State::Established);
}

#[test]
fn rst_with_an_echo_that_is_none_of_ours_is_ignored_by_linux_in_an_opening() {
    let mut bench = stamped(Profile::Linux);
    let stamp = bench.connect()[0].header.options.timestamps.unwrap().value;
    assert_eq!(
        echo(&mut bench, Seq(0), RST | ACK, stamp + 100_000, b""),
        [""; 0]
    );
    assert_eq!(bench.state(), State::SynSent);
    assert!(
        bench
            .events
            .iter()
            .any(|event| event.what == What::Discarded(Discard::EchoCheck))
    );
    echo(&mut bench, Seq(0), RST | ACK, stamp, b"");
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn third_ack_with_an_echo_that_is_none_of_ours_is_answered_and_dropped_by_linux_alone() {
    let request = |profile: Profile| {
        let mut bench = stamped(profile);
        bench.listen();
        let stamp = bench.arrive(PEER_ISS, Seq(0), SYN, b"")[0]
            .header
            .options
            .timestamps
            .unwrap()
            .value;
        (bench, stamp)
    };
    for (by, flags, text, answers, state) in [
        (0, ACK, &b""[..], 0, State::Established),
        (1, ACK, b"", 1, State::SynReceived),
        (-1, ACK, b"", 1, State::SynReceived),
        (100_000, ACK, b"text", 1, State::SynReceived),
        (100_000, RST, b"", 0, State::SynReceived),
        (100_000, RST | ACK, b"", 0, State::SynReceived),
    ] {
        let (mut bench, stamp) = request(Profile::Linux);
        let answer = echo(
            &mut bench,
            PEER_ISS + 1,
            flags,
            stamp.wrapping_add_signed(by),
            text,
        );
        assert_eq!(
            (answer.len(), bench.state()),
            (answers, state),
            "{by} {flags}"
        );
        let (mut bench, stamp) = request(Profile::Rfc9293);
        echo(
            &mut bench,
            PEER_ISS + 1,
            flags,
            stamp.wrapping_add_signed(by),
            text,
        );
        assert_ne!(bench.state(), State::SynReceived, "{by} {flags}");
    }
    let (mut bench, first) = request(Profile::Linux);
    let again = bench.run(millis(1500))[0]
        .header
        .options
        .timestamps
        .unwrap()
        .value;
    assert!(again > first);
    for (echoed, state) in [
        (first - 1, State::SynReceived),
        (again + 1, State::SynReceived),
        (first + 1, State::Established),
    ] {
        bench.now = bench.now + secs(1);
        echo(&mut bench, PEER_ISS + 1, ACK, echoed, b"");
        assert_eq!(bench.state(), state);
    }
}

#[test]
fn cookie_is_no_stranger_s_echo() {
    let mut bench = stamped(Profile::Linux);
    bench.listen();
    strangers(&mut bench, 16, b"");
    let cookie = bench.arrive(PEER_ISS, Seq(0), SYN, b"").remove(0);
    bench.snd_nxt = cookie.header.seq + 1;
    bench.now = bench.now + secs(1);
    echo(
        &mut bench,
        PEER_ISS + 1,
        ACK,
        cookie.header.options.timestamps.unwrap().value,
        b"",
    );
    assert_eq!(bench.state(), State::Established);
}

// ---- The end of a listener

#[test]
fn listener_that_ends_resets_those_in_syn_received_and_linux_says_nothing() {
    for (profile, at_once) in [
        (Profile::Rfc9293, 1),
        (Profile::Rfc793, 1),
        (Profile::Linux, 0),
    ] {
        let mut bench = Bench::new(Bench::plain(profile));
        bench.enter("SYN-RECEIVED(passive)");
        bench
            .stack
            .close_listener(bench.now, bench.listener.unwrap());
        let sent = bench.drain();
        assert_eq!(
            (sent.len(), bench.stack.connections().count()),
            (at_once, 0),
            "{}",
            profile.name()
        );
        assert_eq!(bench.run(secs(100)), [], "{}", profile.name());
        for (seq, flags, text) in [
            (PEER_ISS, SYN, &b""[..]),
            (PEER_ISS + 1, ACK, b""),
            (PEER_ISS + 1, ACK, b"text"),
        ] {
            let answer = bench.arrive(seq, bench.snd_nxt, flags, text);
            assert!(
                answer.len() == 1 && answer[0].header.flags.has(RST),
                "{} {flags}",
                profile.name()
            );
        }
    }
}

#[test]
fn listener_that_ends_resets_those_that_wait_in_every_profile() {
    for profile in Profile::ALL {
        let mut bench = Bench::new(Bench::plain(profile));
        bench.enter("SYN-RECEIVED(passive)");
        bench.acknowledge();
        bench
            .stack
            .close_listener(bench.now, bench.listener.unwrap());
        assert!(bench.drain()[0].header.flags.has(RST), "{}", profile.name());
    }
}

// ---- The TIME-WAIT before

/// A server in TIME-WAIT, and where a SYN begins that may end it.
fn time_wait(config: Config) -> (Bench, Seq) {
    let mut bench = Bench::new(config);
    bench.enter("TIME-WAIT");
    bench.stack.close(bench.now, bench.conn()).unwrap();
    let later = bench.rcv_nxt + 100_000;
    (bench, later)
}

/// The peer's FIN of the old connection again.
fn fin_again(bench: &mut Bench, rcv_nxt: Seq, snd_nxt: Seq) -> Vec<String> {
    bench
        .arrive(rcv_nxt.back(1), snd_nxt, FIN_ACK, b"")
        .iter()
        .map(spell)
        .collect()
}

type Ending = (&'static str, fn(&mut Bench, Seq));

/// How the SYN-RECEIVED of an old duplicate may end.
const ENDINGS: &[Ending] = &[
    ("RST", |bench, syn| {
        drop(bench.arrive(syn + 1, Seq(0), RST, b""))
    }),
    ("RST,ACK", |bench, syn| {
        drop(bench.arrive(syn + 1, bench.snd_nxt, RST | ACK, b""))
    }),
    ("SYN in the window", |bench, syn| {
        drop(bench.arrive(syn + 10, Seq(0), SYN, b""))
    }),
    ("ICMP", |bench, _| drop(bench.icmp(3, 3, 0, bench.snd_una))),
    ("timeout", |bench, _| drop(bench.run(secs(15)))),
    ("the listener's end", |bench, _| {
        bench
            .stack
            .close_listener(bench.now, bench.listener.unwrap());
        bench.drain();
    }),
];

#[test]
fn may_2_time_wait_comes_back_after_an_old_duplicate_syn_however_that_ends() {
    for (ending, end) in ENDINGS {
        let config = with(plain(), |conn| conn.synack_retries = 2);
        let (mut bench, syn) = time_wait(config);
        let (old, rcv_nxt, snd_nxt, until) = (
            bench.conn(),
            bench.rcv_nxt,
            bench.snd_nxt,
            bench.status().deadline,
        );
        let answer = bench.arrive(syn, Seq(0), SYN, b"").remove(0);
        assert_eq!(
            (answer.header.flags, answer.header.seq, bench.state()),
            (SYN_ACK, snd_nxt + 65_537, State::SynReceived)
        );
        assert_eq!(
            bench.signals.last(),
            Some(&Signal::Closed(old, CloseReason::Clean))
        );
        bench.signals.clear();
        end(&mut bench, syn);
        assert_eq!(bench.stack.connections().count(), 1, "{ending}");
        assert_eq!(
            (bench.state(), bench.status().deadline),
            (State::TimeWait, until),
            "{ending}: what is left of 2 MSL"
        );
        assert_eq!(
            fin_again(&mut bench, rcv_nxt, snd_nxt),
            [format!("{snd_nxt} {rcv_nxt} A")],
            "{ending}"
        );
        bench.run(secs(239));
        assert_eq!(
            bench.state(),
            State::TimeWait,
            "{ending}: the FIN began 2 MSL again"
        );
        assert_eq!(bench.run(secs(2)), []);
        assert_eq!(
            (bench.stack.connections().count(), &bench.signals[..]),
            (0, &[][..]),
            "{ending}: nobody knows it"
        );
    }
}

#[test]
fn may_2_linux_forgets_time_wait_whatever_the_syn_was() {
    let (mut bench, syn) = time_wait(Bench::plain(Profile::Linux));
    let (rcv_nxt, snd_nxt) = (bench.rcv_nxt, bench.snd_nxt);
    bench.arrive(syn, Seq(0), SYN, b"");
    bench.arrive(syn + 1, Seq(0), RST, b"");
    assert_eq!(
        (bench.state(), bench.stack.connections().count()),
        (State::Closed, 0)
    );
    assert_eq!(
        fin_again(&mut bench, rcv_nxt, snd_nxt),
        [format!("{snd_nxt} - R")]
    );
}

#[test]
fn may_2_only_an_exact_rst_proves_a_syn_old() {
    let (mut bench, syn) = time_wait(plain());
    bench.arrive(syn, Seq(0), SYN, b"");
    for seq in [syn, syn + 2, syn + 100_000] {
        bench.arrive(seq, Seq(0), RST, b"");
        assert_eq!(bench.state(), State::SynReceived);
    }
    let new = bench.snd_nxt;
    bench.arrive(syn + 1, new, ACK, b"");
    assert_eq!(bench.state(), State::Established);
    accept(&mut bench);
    bench.arrive(syn + 1, Seq(0), RST, b"");
    assert_eq!(
        bench.state(),
        State::Closed,
        "a connection that was has no way back"
    );
}

#[test]
fn may_2_time_wait_that_is_over_does_not_come_back() {
    let (mut bench, syn) = time_wait(plain());
    bench.run(secs(239));
    bench.arrive(syn, Seq(0), SYN, b"");
    bench.run(secs(2));
    assert_eq!(bench.state(), State::SynReceived);
    bench.arrive(syn + 1, Seq(0), RST, b"");
    assert_eq!(
        (bench.state(), bench.stack.connections().count()),
        (State::Closed, 0)
    );
}

#[test]
fn may_2_several_old_duplicates_in_a_row_leave_backlog_and_records_as_they_were() {
    let mut config = plain();
    config.max_connections = 1;
    let (mut bench, syn) = time_wait(config);
    let (rcv_nxt, snd_nxt, until) = (bench.rcv_nxt, bench.snd_nxt, bench.status().deadline);
    for round in 0..50 {
        let seq = syn + 1000 * round;
        assert_eq!(
            acks(&bench.arrive(seq, Seq(0), SYN, b"")).len(),
            1,
            "{round}"
        );
        assert_eq!(
            (bench.state(), bench.stack.connections().count()),
            (State::SynReceived, 1),
            "{round}"
        );
        bench.arrive(seq + 1, Seq(0), RST, b"");
        assert_eq!(
            (bench.state(), bench.status().deadline),
            (State::TimeWait, until),
            "{round}"
        );
    }
    assert_eq!(
        fin_again(&mut bench, rcv_nxt, snd_nxt),
        [format!("{snd_nxt} {rcv_nxt} A")]
    );
    let established = bench
        .signals
        .iter()
        .filter(|signal| matches!(signal, Signal::Acceptable(_) | Signal::Established(_)))
        .count();
    assert!(established <= 2, "those of the first connection");
    assert_eq!(bench.run(secs(300)), []);
    assert_eq!(bench.stack.connections().count(), 0);
    strangers(&mut bench, 1, b"");
    assert_eq!(bench.stack.connections().count(), 1);
}

#[test]
fn may_2_restart_of_the_host_brings_no_time_wait_back() {
    let (mut bench, syn) = time_wait(plain());
    bench.arrive(syn, Seq(0), SYN, b"");
    bench.stack.restart(bench.now);
    assert_eq!(bench.stack.connections().count(), 0);
}

#[test]
fn may_2_backlog_is_as_empty_after_old_duplicates_as_before() {
    let (mut bench, syn) = time_wait(plain());
    for round in 0..50 {
        bench.arrive(syn + round, Seq(0), SYN, b"");
        bench.arrive(syn + round + 1, Seq(0), RST, b"");
    }
    strangers(&mut bench, 20, b"");
    assert_eq!(
        (
            bench.stack.connections().count(),
            bench.stack.counters().cookies_sent
        ),
        (17, 4)
    );
}

#[test]
fn may_2_time_wait_that_the_application_still_has_ends_for_it_and_comes_back_without_it() {
    let mut bench = Bench::new(plain());
    bench.enter("TIME-WAIT");
    let (old, syn) = (bench.conn(), bench.rcv_nxt + 100_000);
    for (flags, state) in [(RST, State::TimeWait), (ACK, State::Established)] {
        bench.arrive(syn, Seq(0), SYN, b"");
        bench.arrive(syn + 1, bench.snd_nxt, flags, b"");
        assert_eq!(
            (bench.stack.status(old).unwrap().state, bench.state()),
            (State::Closed, state)
        );
    }
    bench.stack.close(bench.now, old).unwrap();
    assert_eq!(
        (bench.state(), bench.stack.connections().count()),
        (State::Established, 1)
    );
}

#[test]
fn time_wait_stays_where_a_limit_leaves_no_room_for_the_next_incarnation() {
    for profile in Profile::ALL {
        let mut config = Bench::plain(profile);
        config.max_connections = 1;
        let mut bench = Bench::new(config);
        bench.enter("TIME-WAIT");
        let (rcv_nxt, snd_nxt) = (bench.rcv_nxt, bench.snd_nxt);
        bench.arrive(rcv_nxt + 100_000, Seq(0), SYN, b"");
        assert_eq!(
            bench.state(),
            State::TimeWait,
            "{}: the application still has the record",
            profile.name()
        );
        assert_eq!(fin_again(&mut bench, rcv_nxt, snd_nxt).len(), 1);
        bench.stack.close(bench.now, bench.conn()).unwrap();
        bench.arrive(rcv_nxt + 100_000, Seq(0), SYN, b"");
        assert_eq!(
            bench.state(),
            State::SynReceived,
            "{}: and now the next one can have it",
            profile.name()
        );
    }
}
