//! Loss recovery with SACK, time-based loss detection, tail-loss probes: RFC 6675 and RFC 8985 by
//! section, and peers that lie.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::time::Duration;

use common::{ACK, Bench, Sent};
use proptest::prelude::*;
use tcpx_proto::config::{
    Config, Congestion, ConnConfig, FinRepeats, Nagle, Profile, Recovery, Rto, TimeoutSack,
};
use tcpx_proto::event::Timer;
use tcpx_proto::label::Cause;
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::wire::{Options, SackBlocks};

const MSS: u32 = 1460;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn config(recovery: Recovery) -> Config {
    let mut config = Bench::plain(Profile::Rfc9293);
    (config.conn.sack, config.conn.recovery) = (true, recovery);
    config
}

/// Open to a peer that permits SACK, with this many full segments in flight.
fn in_flight(config: Config, segments: u32) -> (Bench, Seq) {
    let mut bench = Bench::new(config);
    bench.syn_options = Options {
        sack_permitted: true,
        ..bench.syn_options
    };
    bench.enter("ESTABLISHED");
    let first = bench.snd_nxt;
    let sent = bench.send(&vec![7; (segments * MSS) as usize]);
    assert_eq!(sent.len() as u32, segments);
    (bench, first)
}

/// An ACK of everything before segment `ack` that says that these segments are held.
fn sack(bench: &mut Bench, first: Seq, ack: u32, held: &[(u32, u32)]) -> Vec<Sent> {
    bench.now = bench.now + millis(1);
    let octets: Vec<_> = held
        .iter()
        .map(|(left, right)| (first + left * MSS, first + right * MSS))
        .collect();
    sack_octets(bench, first + ack * MSS, &octets)
}

fn sack_octets(bench: &mut Bench, ack: Seq, held: &[(Seq, Seq)]) -> Vec<Sent> {
    sack_with(bench, ack, held, b"")
}

fn sack_with(bench: &mut Bench, ack: Seq, held: &[(Seq, Seq)], text: &[u8]) -> Vec<Sent> {
    let mut header = bench.header(bench.rcv_nxt, ack, ACK);
    let mut blocks = SackBlocks::default();
    held.iter()
        .for_each(|(left, right)| assert!(blocks.push(*left, *right)));
    header.options.sack = blocks;
    bench.say(header, text)
}

/// Which segments these are, counted from the first octet.
fn which(first: Seq, sent: &[Sent]) -> Vec<u32> {
    sent.iter()
        .map(|sent| sent.header.seq.since(first) / MSS)
        .collect()
}

fn causes(sent: &[Sent]) -> Vec<Cause> {
    sent.iter().map(|sent| sent.label.cause).collect()
}

// ---- RFC 6675

#[test]
fn rfc_6675_5_third_sack_begins_recovery_and_only_the_hole_goes_again() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    assert_eq!(sack(&mut bench, first, 0, &[(1, 2)]), []);
    assert_eq!(sack(&mut bench, first, 0, &[(1, 3)]), []);
    let sent = sack(&mut bench, first, 0, &[(1, 4)]);
    assert_eq!(
        (which(first, &sent), causes(&sent)),
        (vec![0], vec![Cause::FastRetransmission])
    );
    assert_eq!(bench.status().cwnd, 5 * MSS);
    // And the rescue of rule 4, once the window has room for it.
    let more: Vec<_> = (5..=10)
        .flat_map(|held| sack(&mut bench, first, 0, &[(1, held)]))
        .collect();
    assert_eq!(which(first, &more), [9]);
    assert_eq!(bench.acknowledge(), []);
    assert_eq!(bench.run(Duration::from_secs(10)), []);
}

#[test]
fn rfc_6675_4_discontiguous_holes_all_go_again_in_one_round_trip() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    sack(&mut bench, first, 0, &[(1, 2)]);
    sack(&mut bench, first, 0, &[(3, 4), (1, 2)]);
    // Three blocks above 0, and three segments held above it; below 2 only two.
    assert_eq!(
        which(
            first,
            &sack(&mut bench, first, 0, &[(5, 6), (3, 4), (1, 2)])
        ),
        [0]
    );
    // Pipe: 10 less 3 held, less 1 lost, 1 sent again: 7. Then 2 is lost and one more held: 5, as
    // much as the window is now.
    assert_eq!(sack(&mut bench, first, 0, &[(5, 7), (3, 4), (1, 2)]), []);
    // 4 is lost and one more held: 3.
    assert_eq!(
        which(
            first,
            &sack(&mut bench, first, 0, &[(5, 8), (3, 4), (1, 2)])
        ),
        [2, 4]
    );
    assert_eq!(
        which(
            first,
            &sack(&mut bench, first, 0, &[(5, 9), (3, 4), (1, 2)])
        ),
        [9],
        "the rescue of rule 4"
    );
    assert_eq!(sack(&mut bench, first, 2, &[(5, 10), (3, 4)]), []);
    assert_eq!(sack(&mut bench, first, 10, &[]), []);
    assert_eq!(bench.run(Duration::from_secs(10)), []);
}

#[test]
fn rfc_6675_5_held_octets_make_room_for_new_text_before_recovery() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    bench.send(&vec![7; 5 * MSS as usize]);
    assert_eq!(which(first, &sack(&mut bench, first, 0, &[(1, 2)])), [10]);
    assert_eq!(which(first, &sack(&mut bench, first, 0, &[(1, 3)])), [11]);
    assert_eq!(which(first, &sack(&mut bench, first, 0, &[(1, 4)])), [0]);
}

#[test]
fn rfc_6675_4_rule_2_new_text_goes_on_in_recovery_as_pipe_allows() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    bench.send(&vec![7; 20 * MSS as usize]);
    let mut sent = Vec::new();
    for held in 2..=12 {
        sent.extend(sack(&mut bench, first, 0, &[(1, held.min(10))]));
    }
    // Two by limited transmit, the hole, then one new one for each that is held, once the window
    // has halved.
    assert_eq!(which(first, &sent), [10, 11, 0, 12, 13]);
    assert_eq!(bench.status().snd_nxt, first + 14 * MSS);
}

#[test]
fn rfc_6675_4_rule_3_without_new_text_the_doubtful_go_again_once() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    sack(&mut bench, first, 0, &[(1, 2)]);
    sack(&mut bench, first, 0, &[(1, 3)]);
    assert_eq!(which(first, &sack(&mut bench, first, 0, &[(1, 4)])), [0]);
    // 4 lies below one held segment only: not lost, but nothing else is left to send.
    for held in [(5, 6), (5, 7)] {
        assert_eq!(sack(&mut bench, first, 0, &[held, (1, 4)]), []);
    }
    assert_eq!(which(first, &sack(&mut bench, first, 4, &[(5, 7)])), [4]);
    assert_eq!(bench.status().cwnd, 5 * MSS);
}

#[test]
fn rfc_6675_4_rule_4_the_last_segment_is_the_one_rescue() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    // 0 and the last one are lost. With a window of five there is room for one more once six are
    // held, and nothing but the tail to send.
    let sent: Vec<_> = (2..=9)
        .map(|held| which(first, &sack(&mut bench, first, 0, &[(1, held)])))
        .collect();
    assert_eq!(
        sent,
        [
            vec![],
            vec![],
            vec![0],
            vec![],
            vec![],
            vec![9],
            vec![],
            vec![]
        ]
    );
    assert_eq!(sack(&mut bench, first, 9, &[]), []);
    assert_eq!(bench.acknowledge(), []);
}

#[test]
fn rfc_6675_5_1_after_a_timeout_held_octets_are_not_sent_again_by_linux_and_are_by_the_letter() {
    for (profile, again) in [(Profile::Linux, vec![0, 3]), (Profile::Rfc9293, vec![0, 1])] {
        let mut config = config(Recovery::Rfc6675);
        config.conn.timeout_sack = profile.config().conn.timeout_sack;
        let (mut bench, first) = in_flight(config, 10);
        assert_eq!(sack(&mut bench, first, 0, &[(1, 3)]), []);
        let sent = bench.run(millis(1200));
        assert_eq!(
            (which(first, &sent), causes(&sent)),
            (vec![0], vec![Cause::Retransmission(1)])
        );
        let next = sack(&mut bench, first, again[1], &[]);
        assert_eq!(which(first, &next)[0], again[1]);
        assert_eq!(bench.status().cwnd, 2 * MSS);
    }
}

#[test]
fn rfc_6675_5_1_no_second_recovery_before_what_was_in_flight_at_the_timeout_is_acknowledged() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    bench.run(millis(1100));
    let before = bench.status().cwnd;
    for held in 3..=8 {
        sack(&mut bench, first, 1, &[(2, held)]);
    }
    assert!(bench.status().cwnd >= before, "{}", bench.status().cwnd);
}

#[test]
fn rfc_6675_2_three_small_segments_held_are_enough() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 0);
    for _ in 0..6 {
        bench.send(&[7; 10]);
    }
    assert_eq!(
        sack_octets(&mut bench, first, &[(first + 10, first + 20)]),
        []
    );
    assert_eq!(
        sack_octets(&mut bench, first, &[(first + 10, first + 30)]),
        []
    );
    let sent = sack_octets(&mut bench, first, &[(first + 10, first + 40)]);
    assert_eq!(
        sent.iter()
            .map(|sent| sent.header.seq.since(first))
            .collect::<Vec<_>>(),
        [0, 40],
        "the hole, and the rescue of rule 4"
    );
}

/// What counts as a duplicate is what it says to be held, whatever else it brings.
#[test]
fn rfc_6675_2_held_octets_count_in_a_segment_with_text_as_well() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 0);
    (0..6).for_each(|_| drop(bench.send(&[7; 10])));
    let sent: Vec<_> = [20, 30, 40]
        .into_iter()
        .flat_map(|right| sack_with(&mut bench, first, &[(first + 10, first + right)], b"text"))
        .collect();
    let again: Vec<_> = sent
        .iter()
        .filter(|sent| !sent.text.is_empty())
        .map(|sent| sent.header.seq.since(first))
        .collect();
    assert_eq!(again, [0, 40], "the hole, and the rescue of rule 4");
}

/// Octets that were held when they arrived wait for the hole before they are acknowledged: that is
/// no round-trip time.
#[test]
fn rfc_6298_3_time_that_held_octets_wait_is_no_sample() {
    let (mut bench, first) = measured(Recovery::Rfc6675);
    bench.send(&vec![7; 20 * MSS as usize]);
    let srtt = bench.status().srtt.unwrap();
    for held in [2, 3, 4, 20] {
        sack(&mut bench, first, 0, &[(1, held)]);
    }
    assert_eq!(which(first, &bench.send(&[7; MSS as usize])), [20]);
    bench.now = bench.now + millis(90);
    let nxt = bench.snd_nxt;
    sack_octets(&mut bench, first, &[(first + MSS, nxt)]);
    bench.now = bench.now + millis(700);
    sack_octets(&mut bench, nxt, &[]);
    assert_eq!(bench.status().srtt.unwrap(), srtt);
}

#[test]
fn rfc_6675_fin_that_was_lost_goes_again_with_its_hole() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 4);
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    let fin = bench.drain();
    assert_eq!(fin.len(), 1);
    let sent = bench.run(millis(1100));
    assert_eq!(which(first, &sent), [0]);
    bench.now = bench.now + millis(1);
    let last = sack_octets(&mut bench, first + 4 * MSS, &[]);
    assert_eq!(
        last.iter()
            .map(|sent| (sent.header.seq, sent.text.len(), sent.header.flags))
            .collect::<Vec<_>>(),
        [(first + 4 * MSS, 0, common::FIN_ACK)]
    );
}

#[test]
fn rfc_6582_peer_without_sack_or_a_policy_that_ignores_it_recovers_by_duplicates() {
    let (mut bench, first) = in_flight(config(Recovery::NewReno), 10);
    let sent: Vec<_> = (2..=4)
        .flat_map(|held| sack(&mut bench, first, 0, &[(1, held)]))
        .collect();
    assert_eq!(which(first, &sent), [0]);
    assert_eq!(
        bench.status().cwnd,
        8 * MSS,
        "inflated by three, as NewReno does"
    );
}

// ---- Peers that lie

#[test]
fn e02_sack_blocks_outside_what_is_in_flight_or_upside_down_hold_nothing() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    let (una, nxt) = (first, first + 10 * MSS);
    for (left, right) in [
        (nxt, nxt + MSS),
        (nxt.back(MSS), nxt + 1),
        (una, una + MSS),
        (una.back(MSS), una + MSS),
        (una.back(5000), una.back(1000)),
        (una + 2 * MSS, una + MSS),
        (una + 5, una + 5),
        (una + 0x8000_0000, una + 0x8000_0001),
        (una + MSS, una + 0x9000_0000),
    ] {
        for _ in 0..5 {
            assert_eq!(
                sack_octets(&mut bench, first, &[(left, right)]),
                [],
                "{left} {right}"
            );
        }
    }
    assert_eq!(bench.status().cwnd, 10 * MSS);
}

#[test]
fn rfc_2018_8_reneging_peer_gets_everything_again() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    for held in 2..=10 {
        sack(&mut bench, first, 0, &[(1, held)]);
    }
    // It acknowledges the hole that was filled, and nothing of what it said to hold.
    let mut sent = sack(&mut bench, first, 1, &[]);
    assert_eq!(which(first, &sent)[0], 1);
    for ack in 2..10 {
        sent.extend(sack(&mut bench, first, ack, &[]));
    }
    assert_eq!(which(first, &sent), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(bench.acknowledge(), []);
}

#[test]
fn rfc_2018_8_reneging_beyond_a_hole_is_found_out_by_the_timeout() {
    for recovery in [Recovery::Rfc6675, Recovery::Rack] {
        let mut config = config(recovery);
        config.conn.timeout_sack = TimeoutSack::Keep;
        let (mut bench, first) = in_flight(config, 10);
        for held in 2..=10 {
            sack(&mut bench, first, 0, &[(1, held)]);
        }
        // Nothing more is heard, and then the peer has thrown everything away.
        assert_eq!(
            honest(&mut bench, first, first + 10 * MSS),
            first + 10 * MSS,
            "{recovery:?}"
        );
        assert_eq!(bench.run(Duration::from_secs(100)), []);
    }
}

/// From now on the peer tells the truth, and holds nothing beyond what it has acknowledged; up to
/// where it hears.
fn honest(bench: &mut Bench, mut heard: Seq, end: Seq) -> Seq {
    let mut sent = Vec::new();
    for _ in 0..200 {
        sent.extend(bench.run(millis(500)));
        for sent in std::mem::take(&mut sent) {
            if sent.header.seq.le(heard) {
                heard = heard.max(sent.end());
            }
        }
        if heard != bench.snd_una {
            sent = sack_octets(bench, heard, &[]);
        }
        if heard == end {
            break;
        }
    }
    heard
}

#[test]
fn rfc_2883_duplicate_reported_by_a_first_block_is_no_loss() {
    for recovery in [Recovery::Rfc6675, Recovery::Rack] {
        let (mut bench, first) = in_flight(config(recovery), 10);
        sack(&mut bench, first, 5, &[]);
        for _ in 0..10 {
            assert_eq!(sack(&mut bench, first, 5, &[(1, 2)]), []);
            assert_eq!(sack(&mut bench, first, 5, &[(2, 5)]), []);
        }
        assert!(bench.status().cwnd > 10 * MSS);
    }
}

#[test]
fn cve_2019_11478_sieve_of_held_octets_costs_no_memory_and_no_time() {
    for recovery in [Recovery::Rfc6675, Recovery::Rack] {
        let (mut bench, first) = in_flight(config(recovery), 10);
        bench.stack.record(false);
        let mut answers = 0;
        for n in 0..7000u32 {
            let blocks: Vec<_> = (0..4)
                .map(|k| first + 1 + (n * 8 + k * 2) % 14_500)
                .map(|at| (at, at + 1))
                .collect();
            bench.now = bench.now + Duration::from_micros(10);
            answers += sack_octets(&mut bench, first, &blocks).len();
        }
        assert!(answers < 1000, "{recovery:?}: {answers}");
        bench.acknowledge();
        assert_eq!(bench.status().snd_una, first + 10 * MSS);
    }
}

fn any_window() -> impl Strategy<Value = u16> {
    prop_oneof![1 => Just(0u16), 2 => 1u16..3000, 2 => 3000u16..65_000]
}

/// With enough patience to hear the peer out.
fn any_config() -> impl Strategy<Value = Config> {
    let recovery = prop::sample::select(vec![Recovery::NewReno, Recovery::Rfc6675, Recovery::Rack]);
    let congestion = prop::sample::select(vec![
        Congestion::NewReno,
        Congestion::Cubic,
        Congestion::Off,
    ]);
    let timeout_sack = prop::sample::select(vec![TimeoutSack::Keep, TimeoutSack::Forget]);
    let fin_repeats = prop::sample::select(vec![FinRepeats::UntilAcknowledged, FinRepeats::Never]);
    (recovery, congestion, timeout_sack, fin_repeats).prop_map(
        |(recovery, congestion, timeout_sack, fin_repeats)| {
            let mut config = config(recovery);
            let rto = Rto {
                max: Duration::from_secs(2),
                ..config.conn.rto
            };
            config.conn = ConnConfig {
                congestion,
                timeout_sack,
                fin_repeats,
                rto,
                r2: 1000,
                ..config.conn
            };
            config
        },
    )
}

fn any_block() -> impl Strategy<Value = (i64, i64)> {
    (
        -3000i64..18_000,
        prop_oneof![4 => 0i64..4000, 1 => any::<i32>().prop_map(i64::from)],
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The same from a peer that shrinks its window and shuts it, and with a FIN at the end.
    #[test]
    fn any_windows_and_blocks_nothing_stalls(
        choice in any_config(),
        lies in prop::collection::vec((0u32..12, prop::collection::vec(any_block(), 0..4), 0u64..400, any_window()), 1..40),
    ) {
        let (mut bench, first) = in_flight(choice, 10);
        bench.send(&vec![7; 5 * MSS as usize]);
        bench.stack.shutdown(bench.now, bench.conn()).unwrap();
        bench.drain();
        for (ack, blocks, wait, window) in lies {
            let una = bench.snd_una;
            bench.window = window;
            let ack = una + (ack * 700).min(bench.snd_nxt.since(una));
            let mut header = bench.header(bench.rcv_nxt, ack, ACK);
            for (left, len) in &blocks {
                header.options.sack.push(first + *left as u32, first + (left + len) as u32);
            }
            bench.say(header, b"");
            bench.run(millis(wait));
        }
        bench.window = 65_000;
        let (una, end) = (bench.snd_una, first + 15 * MSS);
        sack_octets(&mut bench, una, &[]);
        prop_assert!(honest(&mut bench, una, end).ge(end), "{:?}", bench.status());
    }

    /// Whatever a peer says to hold, every octet is there in the end once it tells the truth, and
    /// nothing is sent beyond its window.
    #[test]
    fn any_sack_blocks_nothing_panics_and_the_truth_heals_everything(
        recovery in prop::sample::select(vec![Recovery::Rfc6675, Recovery::Rack]),
        lies in prop::collection::vec((0u32..12, prop::collection::vec(any_block(), 0..4), 0u64..400), 1..60),
    ) {
        let (mut bench, first) = in_flight(config(recovery), 10);
        bench.send(&vec![7; 5 * MSS as usize]);
        for (ack, blocks, wait) in lies {
            let una = bench.snd_una;
            let ack = una + (ack * 700).min(bench.snd_nxt.since(una));
            let blocks: Vec<_> = blocks.iter().map(|(left, len)| (first + *left as u32, first + (left + len) as u32)).collect();
            sack_octets(&mut bench, ack, &blocks);
            for sent in bench.run(millis(wait)) {
                prop_assert!(sent.end().le(bench.snd_una + 65_000));
            }
        }
        let (una, end) = (bench.snd_una, first + 15 * MSS);
        prop_assert_eq!(honest(&mut bench, una, end), end);
        prop_assert_eq!(bench.run(Duration::from_secs(600)), []);
    }
}

/// Linux has nothing but RACK since 6.17, and CUBIC unless told otherwise; RFC 9293 names RFC 5681.
#[test]
fn profiles_recover_as_their_originals_do() {
    let of = |profile: Profile| profile.config().conn;
    assert_eq!(
        (of(Profile::Linux).recovery, of(Profile::Linux).congestion),
        (Recovery::Rack, Congestion::Cubic)
    );
    assert_eq!(
        (
            of(Profile::Rfc9293).recovery,
            of(Profile::Rfc9293).congestion
        ),
        (Recovery::Rfc6675, Congestion::NewReno)
    );
}

// ---- RFC 8985: RACK

#[test]
fn rfc_8985_6_2_loss_is_told_by_a_later_segment_that_arrived_and_a_quarter_of_the_round_trip() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&[7; 2 * MSS as usize]);
    // RACK.rtt is 100 ms, the window 25 ms.
    let sent_at = bench.now;
    bench.run(millis(99));
    assert_eq!(sack(&mut bench, first, 0, &[(1, 2)]), [], "it may be late");
    let sent = bench.run(millis(100));
    assert_eq!(
        (which(first, &sent), causes(&sent)),
        (vec![0], vec![Cause::FastRetransmission])
    );
    assert_eq!(sent[0].at.since(sent_at), millis(125));
}

#[test]
fn rfc_8985_6_2_three_segments_held_leave_no_doubt() {
    let (mut bench, first) = in_flight(config(Recovery::Rack), 10);
    bench.now = bench.now + millis(100);
    assert_eq!(sack(&mut bench, first, 0, &[(1, 3)]), []);
    assert_eq!(which(first, &sack(&mut bench, first, 0, &[(1, 4)])), [0]);
}

#[test]
fn rfc_8985_6_2_late_original_shows_reordering_and_the_window_stays() {
    let (mut bench, first) = in_flight(config(Recovery::Rack), 10);
    bench.now = bench.now + millis(99);
    sack(&mut bench, first, 0, &[(1, 3)]);
    // The first one comes late: from now on three held segments are no proof.
    assert_eq!(sack(&mut bench, first, 3, &[]), []);
    assert_eq!(sack(&mut bench, first, 3, &[(4, 10)]), []);
    assert_eq!(which(first, &bench.run(millis(100))), [3]);
}

#[test]
fn rfc_8985_6_2_after_reordering_three_duplicates_are_no_proof_either() {
    let (mut bench, first) = in_flight(config(Recovery::Rack), 10);
    bench.now = bench.now + millis(99);
    sack(&mut bench, first, 0, &[(1, 3)]);
    sack(&mut bench, first, 3, &[]);
    for held in 5..=8 {
        assert_eq!(sack(&mut bench, first, 3, &[(4, held)]), []);
    }
    assert_eq!(which(first, &bench.run(millis(100))), [3]);
}

#[test]
fn rfc_8985_6_2_three_small_segments_held_leave_no_doubt() {
    let (mut bench, first) = in_flight(config(Recovery::Rack), 0);
    (0..6).for_each(|_| drop(bench.send(&[7; 10])));
    bench.now = bench.now + millis(100);
    assert_eq!(
        sack_octets(&mut bench, first, &[(first + 10, first + 20)]),
        []
    );
    assert_eq!(
        sack_octets(&mut bench, first, &[(first + 10, first + 30)]),
        []
    );
    let sent = sack_octets(&mut bench, first, &[(first + 10, first + 40)]);
    assert_eq!(
        sent.iter().map(|sent| sent.header.seq).collect::<Vec<_>>(),
        [first]
    );
}

/// The newest block comes first (RFC 2018 section 4); the other one is news, too, if the ACK before
/// this one was lost.
#[test]
fn rfc_8985_6_2_two_new_blocks_in_one_ack_are_no_reordering() {
    let (mut bench, first) = in_flight(config(Recovery::Rack), 10);
    bench.now = bench.now + millis(100);
    assert_eq!(sack(&mut bench, first, 0, &[(5, 6), (3, 4)]), []);
    assert_eq!(
        which(first, &sack(&mut bench, first, 0, &[(5, 7), (3, 4)]))[0],
        0
    );
}

#[test]
fn rfc_8985_3_retransmission_that_is_lost_goes_again_without_a_timeout() {
    let (mut bench, first) = in_flight(config(Recovery::Rack), 10);
    bench.send(&vec![7; 30 * MSS as usize]);
    bench.now = bench.now + millis(100);
    let sent = sack(&mut bench, first, 0, &[(1, 4)]);
    assert_eq!(which(first, &sent)[0], 0);
    // Six more arrive, and what they let out; the new segments were sent after the retransmission,
    // and are held before it.
    let sent = sack(&mut bench, first, 0, &[(1, 10)]);
    assert!(!sent.is_empty());
    bench.now = bench.now + millis(100);
    let nxt = bench.snd_nxt.since(first) / MSS;
    let mut again = sack(&mut bench, first, 0, &[(10, nxt), (1, 10)]);
    again.extend(bench.run(millis(50)));
    assert!(
        which(first, &again).contains(&0),
        "{:?}",
        which(first, &again)
    );
    assert!(
        causes(&again)
            .iter()
            .all(|cause| *cause != Cause::Retransmission(1))
    );
}

// ---- RFC 8985: tail-loss probes

/// An open connection whose round-trip time is known to be 100 ms, but for what the handshake's
/// still counts.
fn measured(recovery: Recovery) -> (Bench, Seq) {
    measured_with(config(recovery))
}

fn measured_with(config: Config) -> (Bench, Seq) {
    let (mut bench, mut first) = in_flight(config, 1);
    for _ in 0..40 {
        bench.now = bench.now + millis(99);
        sack(&mut bench, first, 1, &[]);
        first += MSS;
        bench.send(&[7; MSS as usize]);
    }
    bench.now = bench.now + millis(99);
    sack(&mut bench, first, 1, &[]);
    (bench, first + MSS)
}

#[test]
fn rfc_8985_7_2_lost_tail_is_probed_after_two_round_trips_and_told_by_the_answer() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&vec![7; 4 * MSS as usize]);
    let (start, srtt) = (bench.now, bench.status().srtt.unwrap());
    let sent = bench.run(millis(300));
    assert_eq!(
        (which(first, &sent), causes(&sent)),
        (vec![3], vec![Cause::TailLossProbe])
    );
    assert_eq!(sent[0].at.since(start), srtt * 2);
    bench.now = bench.now + millis(50);
    let sent = sack(&mut bench, first, 0, &[(3, 4)]);
    let more = bench.run(millis(50));
    assert_eq!(which(first, &[sent, more].concat()), [0, 1]);
    assert_eq!(which(first, &sack(&mut bench, first, 1, &[(3, 4)])), [2]);
    assert_eq!(bench.acknowledge(), []);
    assert_eq!(bench.run(Duration::from_secs(100)), []);
}

#[test]
fn rfc_8985_7_2_probe_of_a_single_segment_waits_for_a_delayed_ack() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&[7; 100]);
    let (start, srtt) = (bench.now, bench.status().srtt.unwrap());
    let sent = bench.run(millis(900));
    assert_eq!(
        (which(first, &sent), causes(&sent)),
        (vec![0], vec![Cause::TailLossProbe])
    );
    assert_eq!(sent[0].at.since(start), srtt * 2 + millis(200));
    // The one probe there is; then the retransmission timer, from the probe on.
    let sent = bench.run(Duration::from_secs(1));
    assert_eq!(causes(&sent), [Cause::Retransmission(1)]);
    assert_eq!(sent[0].at.since(start), srtt * 2 + millis(1200));
}

#[test]
fn rfc_8985_7_2_two_small_segments_are_no_single_one_and_the_later_is_the_probe() {
    let mut config = config(Recovery::Rack);
    config.conn.nagle = Nagle::Off;
    let (mut bench, first) = measured_with(config);
    bench.send(&[7; 10]);
    bench.send(&[8; 10]);
    let (start, srtt) = (bench.now, bench.status().srtt.unwrap());
    let sent = bench.run(millis(300));
    let [ref probe] = sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(
        (
            probe.header.seq.since(first),
            probe.text.len(),
            probe.at.since(start)
        ),
        (10, 10, srtt * 2)
    );
}

#[test]
fn rfc_8985_7_3_new_text_is_the_better_probe() {
    let (mut bench, first) = measured(Recovery::Rack);
    // More than the congestion window lets out, less than the peer's.
    bench.send(&vec![7; 60 * MSS as usize]);
    let nxt = bench.snd_nxt.since(first) / MSS;
    assert!(nxt < 60);
    let sent = bench.run(millis(250));
    assert_eq!(
        (which(first, &sent), causes(&sent)),
        (vec![nxt], vec![Cause::TailLossProbe])
    );
}

#[test]
fn rfc_8985_7_4_probe_that_made_a_loss_good_costs_half_the_window_and_a_needless_one_nothing() {
    for (needless, expected) in [(true, 11), (false, 5)] {
        let (mut bench, first) = measured(Recovery::Rack);
        bench.send(&vec![7; 11 * MSS as usize]);
        let before = bench.status().cwnd;
        sack(&mut bench, first, 10, &[]);
        assert_eq!(which(first, &bench.run(millis(450))), [10]);
        if needless {
            // Both arrive: the ACK of the first, then a duplicate for the probe.
            sack(&mut bench, first, 11, &[]);
            sack(&mut bench, first, 11, &[]);
        }
        bench.send(&[7; 10]);
        bench.acknowledge();
        let after = bench.status().cwnd;
        assert!(
            if needless {
                after >= before
            } else {
                after <= before.max(expected * MSS)
            },
            "{needless}: {before} {after}"
        );
    }
}

#[test]
fn rfc_8985_7_nobody_probes_by_rfc_6675_or_without_sack() {
    let (mut bench, _) = measured(Recovery::Rfc6675);
    bench.send(&vec![7; 4 * MSS as usize]);
    assert_eq!(bench.run(millis(990)), []);
    let mut bench = Bench::new(config(Recovery::Rack));
    bench.enter("ESTABLISHED");
    bench.send(&vec![7; 4 * MSS as usize]);
    assert_eq!(bench.run(millis(990)), []);
}

/// Neither what the peer sends nor an ACK that acknowledges nothing puts the probe off.
#[test]
fn rfc_8985_7_2_text_of_the_peer_does_not_put_the_probe_off() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&vec![7; 4 * MSS as usize]);
    let (start, srtt) = (bench.now, bench.status().srtt.unwrap());
    let mut sent = Vec::new();
    for _ in 0..6 {
        sent.extend(bench.run(millis(50)));
        sent.extend(bench.arrive(bench.rcv_nxt, first, ACK, b"text"));
    }
    let probe = sent
        .iter()
        .find(|sent| sent.label.cause == Cause::TailLossProbe)
        .unwrap();
    assert_eq!(probe.at.since(start), srtt * 2);
}

/// SHLD-15: the window shrank so far that the last segment lies beyond it.
#[test]
fn rfc_8985_7_3_probe_that_has_no_room_does_not_stand_in_the_way_of_the_timeout() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&vec![7; 10 * MSS as usize]);
    bench.window = 3000;
    assert_eq!(sack(&mut bench, first, 0, &[]), []);
    let sent = bench.run(Duration::from_secs(2));
    assert_eq!(
        (which(first, &sent), causes(&sent)),
        (vec![0], vec![Cause::Retransmission(1)])
    );
}

#[test]
fn rfc_8985_7_3_fin_that_is_sent_once_does_not_stand_in_the_way_of_the_text_before_it() {
    let mut config = config(Recovery::Rack);
    config.conn.fin_repeats = FinRepeats::Never;
    let (mut bench, first) = measured_with(config);
    bench.send(&[7; 100]);
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    assert_eq!(bench.drain().len(), 1, "the FIN");
    let sent = bench.run(Duration::from_secs(2));
    assert_eq!(
        (which(first, &sent), causes(&sent)),
        (vec![0], vec![Cause::Retransmission(1)])
    );
}

#[test]
fn rfc_8985_7_2_ack_of_the_fin_alone_leaves_nothing_to_probe() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&[7; 100]);
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    let [fin] = &bench.drain()[..] else {
        panic!("the FIN")
    };
    sack_octets(&mut bench, first + 100, &[]);
    assert_eq!(bench.status().timer, Some(Timer::TailLoss));
    sack_octets(&mut bench, fin.header.seq + 1, &[]);
    assert_eq!(
        (bench.state(), bench.status().timer),
        (State::FinWait2, None)
    );
}
