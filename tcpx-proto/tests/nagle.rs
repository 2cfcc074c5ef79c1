//! What a segment smaller than full waits for: each variant of Nagle's algorithm, next to the
//! sender's silly-window avoidance.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::time::Duration;

use common::{ACK, Bench, Sent, plain, with};
use proptest::prelude::*;
use tcpx_proto::config::{Nagle, Profile};
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Options};

const MSS: usize = 1460;
const ALL: [Option<Nagle>; 3] = [None, Some(Nagle::Rfc896), Some(Nagle::Minshall)];

/// A connection with this variant, or with `TCP_NODELAY`.
fn configured(nagle: Option<Nagle>) -> Bench {
    Bench::new(with(plain(), |conn| {
        conn.no_delay = nagle.is_none();
        conn.nagle = nagle.unwrap_or(conn.nagle);
    }))
}

fn open(nagle: impl Into<Option<Nagle>>) -> Bench {
    let mut bench = configured(nagle.into());
    bench.enter("ESTABLISHED");
    bench
}

fn lens(sent: &[Sent]) -> Vec<usize> {
    sent.iter().map(|sent| sent.text.len()).collect()
}

fn text(len: usize) -> Vec<u8> {
    vec![7; len]
}

/// The peer acknowledges everything but the last `left` bytes.
fn acknowledge_but(bench: &mut Bench, left: u32) -> Vec<Sent> {
    bench.arrive(bench.rcv_nxt, bench.snd_nxt.back(left), ACK, b"")
}

#[test]
fn profiles_have_the_variant_of_their_source() {
    let variants = Profile::ALL.map(|profile| profile.config().conn.nagle);
    assert_eq!(variants, [Nagle::Minshall, Nagle::Rfc896, Nagle::Rfc896]);
}

/// Proves MUST-17, SHLD-7.
#[test]
fn must_17_shld_7_small_segment_waits_for_a_small_one_unless_switched_off() {
    for nagle in ALL {
        let mut bench = open(nagle);
        assert_eq!(lens(&bench.send(b"a")), [1]);
        let waiting = [bench.send(b"b"), bench.send(b"c")].map(|sent| sent.len());
        let released = bench.acknowledge();
        match nagle {
            None => assert_eq!((waiting, released), ([1, 1], vec![])),
            _ => assert_eq!((waiting, released[0].text.as_slice()), ([0, 0], &b"bc"[..])),
        }
    }
}

/// Proves SHLD-28.
#[test]
fn shld_7_full_segments_wait_for_nothing() {
    for nagle in [Nagle::Rfc896, Nagle::Minshall] {
        let mut bench = open(nagle);
        bench.send(b"a");
        assert_eq!(lens(&bench.send(&text(MSS + 10))), [MSS], "{nagle:?}");
        assert_eq!(lens(&bench.acknowledge()), [10], "{nagle:?}");
    }
}

#[test]
fn tail_of_a_message_waits_by_rfc_896_and_follows_at_once_by_minshall() {
    for full in 1..=8 {
        let message = text(full * MSS + 552);
        let mut strict = open(Nagle::Rfc896);
        assert_eq!(lens(&strict.send(&message)), vec![MSS; full]);
        assert_eq!(lens(&strict.acknowledge()), [552]);
        let mut minshall = open(Nagle::Minshall);
        let mut expected = vec![MSS; full];
        expected.push(552);
        assert_eq!(lens(&minshall.send(&message)), expected);
        assert_eq!(minshall.acknowledge(), []);
    }
}

#[test]
fn minshall_tail_of_a_second_message_waits_for_the_tail_of_the_first() {
    let mut bench = open(Nagle::Minshall);
    bench.send(&text(MSS + 100));
    assert_eq!(lens(&bench.send(&text(MSS + 200))), [MSS]);
    // The first tail is what counts, not what follows it.
    assert_eq!(lens(&acknowledge_but(&mut bench, MSS as u32)), [200]);
}

#[test]
fn minshall_partial_ack_below_the_small_segment_releases_nothing() {
    let mut bench = open(Nagle::Minshall);
    bench.send(&text(2 * MSS + 100));
    bench.send(b"more");
    assert_eq!(acknowledge_but(&mut bench, 100), []);
    assert_eq!(acknowledge_but(&mut bench, 1), [], "acknowledged in part");
    assert_eq!(lens(&bench.acknowledge()), [4]);
}

#[test]
fn minshall_small_segment_goes_though_full_ones_are_unacknowledged() {
    let mut bench = open(Nagle::Minshall);
    assert_eq!(lens(&bench.send(&text(2 * MSS))), [MSS; 2]);
    assert_eq!(lens(&bench.send(b"a")), [1]);
    assert_eq!(bench.send(b"b"), []);
}

#[test]
fn minshall_small_segment_sent_again_is_still_unacknowledged() {
    let mut bench = open(Nagle::Minshall);
    bench.send(b"ab");
    bench.send(b"c");
    let again = bench.run(Duration::from_secs(2));
    assert_eq!(
        lens(&again),
        [2],
        "the one segment, and not with what waits"
    );
    assert_eq!(bench.acknowledge()[0].text, b"c");
}

#[test]
fn minshall_full_segment_that_a_smaller_path_cuts_into_pieces_makes_no_small_one() {
    let mut bench = open(Nagle::Minshall);
    bench.send(&text(2 * MSS));
    let first = bench.snd_una;
    assert_eq!(
        lens(&bench.icmp(3, 4, 1000, first)).iter().sum::<usize>(),
        2 * MSS
    );
    assert_eq!(lens(&bench.send(b"tail")), [4]);
    assert_eq!(bench.send(b"more"), []);
}

#[test]
fn minshall_full_is_what_the_path_takes_now() {
    let mut bench = open(Nagle::Minshall);
    bench.send(&text(2 * MSS));
    bench.icmp(3, 4, 1000, bench.snd_una);
    bench.acknowledge();
    assert_eq!(lens(&bench.send(&text(960))), [960]);
    assert_eq!(
        lens(&bench.send(&text(959))),
        [959],
        "the one before it was full"
    );
    assert_eq!(bench.send(&text(959)), []);
}

#[test]
fn fin_takes_the_small_tail_along_whatever_waits() {
    for nagle in ALL {
        let mut bench = open(nagle);
        bench.send(b"a");
        bench.stack.send(bench.now, bench.conn(), b"last").unwrap();
        bench.stack.shutdown(bench.now, bench.conn()).unwrap();
        let sent = bench.drain();
        let last = sent.last().unwrap();
        assert!(
            last.header.flags.contains(Flags::FIN) && last.text.ends_with(b"last"),
            "{nagle:?}: {sent:?}"
        );
    }
}

#[test]
fn minshall_options_that_take_room_count_as_full() {
    let mut config = plain();
    config.conn.nagle = Nagle::Minshall;
    config.conn.no_delay = false;
    config.conn.timestamps = true;
    let mut bench = Bench::new(config).with_timestamps(1);
    bench.syn_options = Options {
        timestamps: bench
            .header(bench.rcv_nxt, bench.snd_nxt, ACK)
            .options
            .timestamps,
        ..bench.syn_options
    };
    bench.enter("ESTABLISHED");
    assert_eq!(lens(&bench.send(&text(MSS - 12))), [MSS - 12]);
    assert_eq!(lens(&bench.send(b"a")), [1]);
}

#[test]
fn must_38_half_of_the_largest_window_goes_without_waiting_for_an_ack_where_small_segments_do() {
    for nagle in ALL {
        let mut bench = configured(nagle);
        bench.window = 2000;
        bench.enter("ESTABLISHED");
        bench.send(&text(900));
        let expected: &[usize] = if nagle.is_none() { &[1100] } else { &[] };
        assert_eq!(lens(&bench.send(&text(4 * MSS))), expected, "{nagle:?}");
    }
}

#[test]
fn minshall_segment_cut_for_the_blocks_of_an_ack_is_full() {
    let mut config = plain();
    config.conn.nagle = Nagle::Minshall;
    config.conn.no_delay = false;
    config.conn.sack = true;
    let mut bench = Bench::new(config);
    bench.syn_options = Options {
        sack_permitted: true,
        ..bench.syn_options
    };
    bench.enter("ESTABLISHED");
    bench.text(b"once");
    let mut again = bench.header(bench.rcv_nxt.back(4), bench.snd_nxt, ACK);
    again.id = 2;
    // The D-SACK leaves with the text of a SEND in the same turn.
    bench
        .stack
        .send(bench.now, bench.conn(), &text(MSS - 12))
        .unwrap();
    assert_eq!(lens(&bench.say(again, b"once")), [MSS - 12]);
    assert_eq!(lens(&bench.send(b"a")), [1]);
}

proptest! {
    /// Minshall's promise: at any time at most one small segment is unacknowledged; and with
    /// nothing small in flight nothing waits.
    #[test]
    fn minshall_at_most_one_small_segment_is_in_flight(
        steps in prop::collection::vec((1usize..4000, 0u32..5000, any::<bool>()), 1..40),
    ) {
        let mut bench = open(Nagle::Minshall);
        let mut small = Vec::new();
        let mut top = bench.snd_nxt;
        for (len, left, timeout) in steps {
            let mut sent = bench.send(&text(len));
            if timeout {
                sent.extend(bench.run(Duration::from_secs(3)));
            } else {
                let una = bench
                    .snd_nxt
                    .back(left.min(bench.snd_nxt.since(bench.snd_una)));
                sent.extend(bench.arrive(bench.rcv_nxt, una, ACK, b""));
            }
            for sent in sent {
                // A retransmission may be cut elsewhere; a lone byte goes with what follows it.
                small.retain(|end: &Seq| !(end.gt(sent.header.seq) && end.le(sent.end())));
                if (1..MSS).contains(&sent.text.len()) && sent.end().gt(top) {
                    small.push(sent.end());
                }
                top = top.max(sent.end());
            }
            small.retain(|end| end.gt(bench.snd_una));
            prop_assert!(small.len() <= 1, "{small:?}");
        }
    }
}
