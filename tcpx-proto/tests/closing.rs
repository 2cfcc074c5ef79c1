//! How long the ACK of a FIN waits, and what is left of a connection in FIN-WAIT-2 once the
//! application has let go. What is said of Linux was measured with 6.18.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::time::Duration;

use common::{ACK, Bench, FIN_ACK, PEER_ISS, SYN_ACK, spell, with};
use tcpx_proto::config::Profile;
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::wire::{Flags, Options, Timestamps};

const TICK: u64 = 2;
const DELAY: u64 = 40;

/// By which peer a connection is opened.
fn open(profile: Profile, passive: bool) -> Bench {
    let mut bench = Bench::new(Bench::exact(profile));
    if passive {
        bench.enter("ESTABLISHED");
    } else {
        bench.connect();
        bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    }
    bench
}

/// After this many milliseconds the FIN is acknowledged, once. It comes `ahead` of RCV.NXT.
fn ack_of_fin(bench: &mut Bench, text: &[u8]) -> u64 {
    let since = bench.now;
    let fin = bench.rcv_nxt + text.len() as u32;
    let mut sent = bench.say(bench.header(bench.rcv_nxt, bench.snd_nxt, FIN_ACK), text);
    sent.extend(bench.run(Duration::from_millis(200)));
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0].header.flags, ACK, "{sent:?}");
    assert_eq!(sent[0].header.ack, fin + 1, "{sent:?}");
    assert_eq!(bench.state(), State::CloseWait);
    sent[0].at.since(since).as_millis() as u64
}

#[test]
fn ack_of_a_fin_before_any_text_waits_for_a_tick_in_linux() {
    for passive in [true, false] {
        assert_eq!(ack_of_fin(&mut open(Profile::Linux, passive), b""), TICK);
        assert_eq!(ack_of_fin(&mut open(Profile::Rfc9293, passive), b""), 0);
        let mut sent = open(Profile::Linux, passive);
        sent.send(b"hello");
        sent.acknowledge();
        assert_eq!(
            ack_of_fin(&mut sent, b""),
            TICK,
            "what we sent is not text that we got"
        );
    }
    let mut third = Bench::new(Bench::exact(Profile::Linux));
    third.enter("SYN-RECEIVED(passive)");
    assert_eq!(ack_of_fin(&mut third, b""), TICK);
}

#[test]
fn ack_of_a_fin_after_or_with_text_waits_as_long_as_any_in_linux() {
    for passive in [true, false] {
        assert_eq!(
            ack_of_fin(&mut open(Profile::Linux, passive), &[0; 10]),
            DELAY
        );
        for count in [1, 20] {
            let mut bench = open(Profile::Linux, passive);
            for _ in 0..count {
                bench.text(&[0; 10]);
                bench.receive(10).unwrap();
            }
            bench.run(Duration::from_millis(100));
            assert_eq!(ack_of_fin(&mut bench, b""), DELAY, "{count}");
        }
    }
}

#[test]
fn fin_with_a_full_segment_of_text_is_acknowledged_at_once() {
    assert_eq!(ack_of_fin(&mut open(Profile::Linux, true), &[0; 1460]), 0);
    assert_eq!(ack_of_fin(&mut open(Profile::Linux, true), &[0; 536]), 0);
    assert_eq!(
        ack_of_fin(&mut open(Profile::Linux, true), &[0; 535]),
        DELAY
    );
}

#[test]
fn fin_that_fills_or_meets_a_hole_is_acknowledged_at_once() {
    let mut bench = open(Profile::Linux, true);
    let base = bench.rcv_nxt;
    assert_eq!(
        bench.arrive(base + 10, bench.snd_nxt, FIN_ACK, b"").len(),
        1
    );
    let sent = bench.arrive(base, bench.snd_nxt, ACK, &[0; 10]);
    assert_eq!(
        sent.iter().map(|sent| sent.header.ack).collect::<Vec<_>>(),
        [base + 11]
    );
}

#[test]
fn application_that_closes_within_the_tick_sends_the_ack_with_its_fin() {
    let mut bench = open(Profile::Linux, true);
    assert_eq!(bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b""), []);
    bench.stack.close(bench.now, bench.conn()).unwrap();
    let sent = bench.run(Duration::from_millis(100));
    assert_eq!(
        sent.iter()
            .map(|sent| sent.header.flags)
            .collect::<Vec<_>>(),
        [FIN_ACK]
    );
}

// ---- FIN-WAIT-2 without an application

/// An orphan in FIN-WAIT-2; with timestamps, and 1000 in TS.Recent, where `stamps`.
fn orphan(profile: Profile, stamps: bool) -> Bench {
    let mut bench = Bench::new(with(Bench::plain(profile), |conn| conn.timestamps = stamps));
    bench.stamp = stamps.then_some(1000);
    bench.enter("FIN-WAIT-2(orphan)");
    bench
}

/// The answers to a segment at RCV.NXT + `by`, with SND.NXT and RCV.NXT left out, and the state
/// then.
fn met(bench: &mut Bench, by: i32, flags: Flags, text: &[u8]) -> (Vec<String>, State) {
    let seq = Seq(bench.rcv_nxt.0.wrapping_add_signed(by));
    let ack = if flags.contains(ACK) {
        bench.snd_nxt
    } else {
        Seq(0)
    };
    let nxt = bench.snd_nxt.to_string();
    let rcv = bench.rcv_nxt.to_string();
    let sent = bench.arrive(seq, ack, flags, text);
    (
        sent.iter()
            .map(|sent| spell(sent).replace(&nxt, "nxt").replace(&rcv, "rcv"))
            .collect(),
        bench.state(),
    )
}

#[test]
fn orphan_in_fin_wait_2_ends_by_any_rst_in_the_window_in_linux() {
    let window = orphan(Profile::Linux, false).status().rcv_wnd as i32;
    for by in [0, 1, 100, window - 1, window] {
        assert_eq!(
            met(&mut orphan(Profile::Linux, false), by, Flags::RST, b""),
            (vec![], State::Closed),
            "{by}"
        );
        let expected = if by == 0 {
            State::Closed
        } else {
            State::FinWait2
        };
        assert_eq!(
            met(&mut orphan(Profile::Rfc9293, false), by, Flags::RST, b"").1,
            expected,
            "{by}"
        );
    }
    for by in [-1, -1000, window + 1, 1 << 30] {
        let told = (vec!["nxt rcv A".to_owned()], State::FinWait2);
        assert_eq!(
            met(&mut orphan(Profile::Linux, false), by, Flags::RST, b""),
            told,
            "{by}"
        );
        assert_eq!(
            met(&mut orphan(Profile::Rfc9293, false), by, Flags::RST, b""),
            (vec![], State::FinWait2),
            "{by}"
        );
    }
    // One that the application may still read is a connection as any other.
    let mut bench = Bench::new(Bench::plain(Profile::Linux));
    bench.enter("FIN-WAIT-2");
    assert_eq!(met(&mut bench, 100, Flags::RST, b"").1, State::FinWait2);
    bench.stack.close(bench.now, bench.conn()).unwrap();
    assert_eq!(met(&mut bench, 100, Flags::RST, b"").1, State::Closed);
}

#[test]
fn orphan_in_fin_wait_2_ends_by_any_syn_in_the_window_in_linux() {
    for (by, flags, answer) in [
        (0, Flags::SYN, "AR"),
        (100, Flags::SYN, "AR"),
        (0, SYN_ACK, "R"),
    ] {
        let (sent, state) = met(&mut orphan(Profile::Linux, false), by, flags, b"");
        assert!(
            sent.len() == 1 && sent[0].ends_with(answer) && state == State::Closed,
            "{by} {flags}: {sent:?} {state}"
        );
        assert_eq!(
            met(&mut orphan(Profile::Rfc9293, false), by, flags, b"").1,
            State::FinWait2,
            "{by} {flags}"
        );
    }
    assert_eq!(
        met(&mut orphan(Profile::Linux, false), -100, Flags::SYN, b""),
        (vec!["nxt rcv A".to_owned()], State::FinWait2)
    );
}

#[test]
fn orphan_in_fin_wait_2_takes_the_fin_that_is_next_and_nothing_else_in_linux() {
    for (by, flags, text, answer, state) in [
        (0, FIN_ACK, &b""[..], Some("A"), State::TimeWait),
        (-5, FIN_ACK, b"12345", Some("A"), State::TimeWait),
        (-5, FIN_ACK, b"123456", Some("R"), State::Closed),
        (0, FIN_ACK, b"x", Some("R"), State::Closed),
        (5, FIN_ACK, b"", Some("R"), State::Closed),
        (0, ACK, b"x", Some("R"), State::Closed),
        (10, ACK, b"x", Some("R"), State::Closed),
        (100_000, ACK, b"x", Some("A"), State::FinWait2),
        (-10, ACK, b"x", Some("A"), State::FinWait2),
        (-1, ACK, b"", Some("A"), State::FinWait2),
        (0, ACK, b"", None, State::FinWait2),
        (0, Flags::empty(), b"x", None, State::FinWait2),
    ] {
        let (sent, after) = met(&mut orphan(Profile::Linux, false), by, flags, text);
        let letters = sent.first().and_then(|sent| sent.rsplit(' ').next());
        assert_eq!(letters, answer, "{by} {flags} {}", text.len());
        assert!(sent.len() < 2, "{by} {flags} {}", text.len());
        assert_eq!(after, state, "{by} {flags} {}", text.len());
    }
    for ack in [1000, -1_000_000] {
        let mut bench = orphan(Profile::Linux, false);
        let wrong = Seq(bench.snd_nxt.0.wrapping_add_signed(ack));
        assert_eq!(
            bench.arrive(bench.rcv_nxt, wrong, ACK, b""),
            [],
            "no ACK is looked at"
        );
        assert_eq!(bench.arrive(bench.rcv_nxt, wrong, FIN_ACK, b"").len(), 1);
        assert_eq!(bench.state(), State::TimeWait);
    }
}

/// Where a FIN comes with the ACK of ours, though not the next one, Linux keeps the connection.
#[test]
fn orphan_whose_fin_was_acknowledged_by_a_fin_is_a_connection_in_linux() {
    for (by, flags, state) in [
        (-1, FIN_ACK, State::FinWait2),
        (0, ACK, State::Closed),
        (19, ACK, State::Closed),
    ] {
        let mut bench = Bench::new(Bench::plain(Profile::Linux));
        bench.enter("FIN-WAIT-1(orphan)");
        assert_eq!(met(&mut bench, by, flags, b"").1, State::FinWait2, "{by}");
        assert_eq!(met(&mut bench, 100, Flags::RST, b"").1, state, "{by}");
    }
}

/// Linux, where the peer's SYN has these options, in a state.
fn linux(options: Options, state: &str) -> Bench {
    let mut bench = Bench::new(with(Bench::exact(Profile::Linux), |conn| {
        conn.timestamps = false;
        conn.receive_buffer = 65_536;
        conn.receive_limit = Some(32 << 20);
    }));
    bench.syn_options = options;
    bench.enter(state);
    bench
}

/// What such an orphan offers stays as it was, and so does what SYN-RECEIVED offers, rounded down.
#[test]
fn window_stays_in_fin_wait_2_without_an_application_and_in_syn_received_in_linux() {
    let options = Options {
        mss: Some(1460),
        window_scale: Some(0),
        ..Options::default()
    };
    let mut bench = linux(options, "FIN-WAIT-2(orphan)");
    let fin = bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"");
    assert_eq!(fin[0].header.window, 63);
    let mut bench = linux(options, "SYN-RECEIVED(passive)");
    let far = bench.rcv_nxt + (1 << 20);
    for _ in 0..2 {
        let answer = bench.arrive(far, bench.snd_nxt, ACK, b"x");
        assert_eq!(answer[0].header.window, 64_240 >> 10);
    }
    bench.arrive(bench.rcv_nxt + 64_300, bench.snd_nxt, ACK, b"x");
    assert_eq!(bench.state(), State::SynReceived, "beyond what was offered");
    bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK, b"");
    let answer = bench.arrive(bench.rcv_nxt + (1 << 20), bench.snd_nxt, ACK, b"x");
    assert_eq!(answer[0].header.window, 63);
}

/// `tcp_rcvbuf_grow`: what is missing before held text needs memory, too; so does a held FIN.
#[test]
fn memory_grows_with_the_hole_before_what_is_held_in_linux() {
    let options = Options {
        mss: Some(1460),
        sack_permitted: true,
        ..Options::default()
    };
    for (flags, far) in [(ACK, &[b'x'; 20][..]), (FIN_ACK, b"")] {
        let mut bench = linux(options, "ESTABLISHED");
        let mut offered = Vec::new();
        for (by, flags, text) in [(64_200, flags, far), (8, ACK, b"held")] {
            let sent = bench.arrive(bench.rcv_nxt + by, bench.snd_nxt, flags, text);
            offered.push(sent[0].header.window);
        }
        assert_eq!(offered[0], 64_240, "{flags}");
        assert!(offered[1] > 64_240, "{flags} {offered:?}");
    }
}

#[test]
fn orphan_in_fin_wait_2_answers_an_old_timestamp_even_of_a_rst_in_linux() {
    for (flags, stamp, answers, state) in [
        (Flags::RST, Some(500), 1, State::FinWait2),
        (Flags::RST, None, 0, State::Closed),
        (Flags::RST, Some(1500), 0, State::Closed),
        (FIN_ACK, Some(500), 1, State::FinWait2),
        (FIN_ACK, Some(999), 1, State::FinWait2),
        (FIN_ACK, Some(1500), 1, State::TimeWait),
    ] {
        let mut bench = orphan(Profile::Linux, true);
        let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, flags);
        header.options.timestamps = stamp.map(|value| Timestamps { value, echo: 0 });
        assert_eq!(bench.say(header, b"").len(), answers, "{flags} {stamp:?}");
        assert_eq!(bench.state(), state, "{flags} {stamp:?}");
    }
}

/// `tcp_timewait_state_process`: a tick is old there, though not in ESTABLISHED (`tcp_paws_check`).
#[test]
fn rst_in_time_wait_whose_timestamp_is_a_tick_old_is_dropped_in_linux() {
    for (stamp, state) in [(999, State::TimeWait), (1000, State::Closed)] {
        let mut bench = Bench::new(with(Bench::plain(Profile::Linux), |conn| {
            conn.timestamps = true
        }));
        bench.stamp = Some(1000);
        bench.enter("TIME-WAIT");
        bench.stamp = Some(stamp);
        bench.arrive(bench.rcv_nxt, Seq(0), Flags::RST, b"");
        assert_eq!(bench.state(), state, "{stamp}");
    }
}

#[test]
fn orphan_s_answers_are_throttled_and_its_time_runs_on() {
    let mut bench = orphan(Profile::Linux, false);
    let answers: usize = (0..1000)
        .map(|_| met(&mut bench, -1, Flags::RST, b"").0.len())
        .sum();
    assert_eq!(answers, 2, "a thousand in a second");
    let answers: usize = (0..1000)
        .map(|_| met(&mut bench, -100, ACK, b"x").0.len())
        .sum();
    assert_eq!(answers, 1000, "text is answered");
    bench.run(Duration::from_secs(58));
    assert_eq!(bench.state(), State::Closed, "60 s after CLOSE");
}

/// CLOSE, and silence: how often the FIN is repeated, and after how many seconds the connection is
/// gone.
fn unheard(profile: Profile, state: &str) -> (usize, u64) {
    let mut bench = Bench::new(profile.config());
    bench.enter(state);
    let since = bench.now;
    bench.stack.close(bench.now, bench.conn()).unwrap();
    let mut sent = bench.drain();
    while bench.stack.status(bench.conn()).is_some() {
        sent.extend(bench.run(Duration::from_millis(100)));
        assert!(bench.now.since(since) < Duration::from_secs(7200));
    }
    assert!(sent.iter().all(|sent| sent.header.flags == FIN_ACK));
    (sent.len() - 1, bench.now.since(since).as_secs())
}

/// Linux: 107.3 s in FIN-WAIT-1, 107.7 s in LAST-ACK, by a timer wheel that is up to a tenth late.
#[test]
fn fin_never_acknowledged_ends_after_the_retries_of_an_orphan() {
    for state in ["ESTABLISHED", "CLOSE-WAIT"] {
        let (repeats, seconds) = unheard(Profile::Linux, state);
        assert_eq!(repeats, 8, "{state}");
        assert!((100..=108).contains(&seconds), "{state}: {seconds} s");
        // R2 is at least 100 s (SHLD-11).
        let (repeats, seconds) = unheard(Profile::Rfc9293, state);
        assert_eq!(repeats, 15, "{state}");
        assert!((1100..=1300).contains(&seconds), "{state}: {seconds} s");
    }
}

/// CLOSE with text that a zero window holds back, each probe answered: whether the connection is
/// gone within so many seconds, and after how many.
fn stuck(profile: Profile, seconds: u64) -> Option<u64> {
    let mut bench = Bench::new(profile.config());
    bench.enter("ESTABLISHED");
    bench.window = 0;
    bench.text(b"and I do not read");
    bench.receive(100).unwrap();
    bench.send(b"nor do I get");
    let since = bench.now;
    bench.stack.close(bench.now, bench.conn()).unwrap();
    while bench.stack.status(bench.conn()).is_some() {
        let passed = bench.now.since(since).as_secs();
        if passed > seconds {
            assert_eq!(bench.state(), State::FinWait1);
            return None;
        }
        if !bench.run(Duration::from_millis(100)).is_empty() {
            bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"");
        }
    }
    Some(bench.now.since(since).as_secs())
}

/// Linux: 338 s, when the doubled timeout of 208 ms has reached 120 s.
#[test]
fn closed_zero_window_that_answers_probes_ends_in_linux_alone() {
    let seconds = stuck(Profile::Linux, 7200).unwrap();
    assert!((300..=360).contains(&seconds), "{seconds} s");
    assert_eq!(stuck(Profile::Rfc9293, 7200), None);
    // With an application it is probed for ever by Linux, too (MUST-37).
    let mut bench = Bench::new(Profile::Linux.config());
    bench.enter("ESTABLISHED");
    bench.window = 0;
    bench.text(b"and I do not read");
    bench.send(b"nor do I get");
    for _ in 0..72_000 {
        if !bench.run(Duration::from_millis(100)).is_empty() {
            bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"");
        }
    }
    assert_eq!(bench.state(), State::Established);
}
