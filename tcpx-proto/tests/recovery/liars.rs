//! Peers that lie about what they hold.

use super::*;

/// Proves 2018-8.
#[test]
fn e02_sack_blocks_outside_what_is_in_flight_or_upside_down_hold_nothing() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    let una = first;
    let nxt = first + 10 * MSS;
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
                sack_bytes(&mut bench, first, &[(left, right)]),
                [],
                "{left} {right}"
            );
            assert_eq!(bench.status().sacked, 0, "{left} {right}");
        }
    }
    assert_eq!(bench.status().cwnd, 10 * MSS);
}

/// Proves 2018-5.
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

/// Proves 2018-5.
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
            sent = sack_bytes(bench, heard, &[]);
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
fn cve_2019_11478_sieve_of_held_bytes_costs_no_memory_and_no_time() {
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
            answers += sack_bytes(&mut bench, first, &blocks).len();
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
        lies in prop::collection::vec(
            (
                0u32..12,
                prop::collection::vec(any_block(), 0..4),
                0u64..400,
                any_window(),
            ),
            1..40,
        ),
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
                header
                    .options
                    .sack
                    .push(first + *left as u32, first + (left + len) as u32);
            }
            bench.say(header, b"");
            bench.run(millis(wait));
        }
        bench.window = 65_000;
        let una = bench.snd_una;
        let end = first + 15 * MSS;
        sack_bytes(&mut bench, una, &[]);
        prop_assert!(honest(&mut bench, una, end).ge(end), "{:?}", bench.status());
    }

    /// Whatever a peer says to hold, every byte is there in the end once it tells the truth, and
    /// nothing is sent beyond its window.
    #[test]
    fn any_sack_blocks_nothing_panics_and_the_truth_heals_everything(
        recovery in prop::sample::select(vec![Recovery::Rfc6675, Recovery::Rack]),
        lies in prop::collection::vec(
            (
                0u32..12,
                prop::collection::vec(any_block(), 0..4),
                0u64..400,
            ),
            1..60,
        ),
    ) {
        let (mut bench, first) = in_flight(config(recovery), 10);
        bench.send(&vec![7; 5 * MSS as usize]);
        for (ack, blocks, wait) in lies {
            let una = bench.snd_una;
            let ack = una + (ack * 700).min(bench.snd_nxt.since(una));
            let blocks: Vec<_> = blocks
                .iter()
                .map(|(left, len)| (first + *left as u32, first + (left + len) as u32))
                .collect();
            sack_bytes(&mut bench, ack, &blocks);
            for sent in bench.run(millis(wait)) {
                prop_assert!(sent.end().le(bench.snd_una + 65_000));
            }
        }
        let una = bench.snd_una;
        let end = first + 15 * MSS;
        prop_assert_eq!(honest(&mut bench, una, end), end);
        prop_assert_eq!(bench.run(Duration::from_secs(600)), []);
    }
}

/// Proves 2018-7.
#[test]
fn rfc_2018_8_what_was_reported_as_held_is_kept_and_goes_again_as_it_was() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 1);
    sack(&mut bench, first, 1, &[]);
    let first = first + MSS;
    let text: Vec<u8> = (0..5 * MSS).map(|at| (at % 251) as u8).collect();
    bench.send(&text);
    sack(&mut bench, first, 0, &[(2, 5)]);
    sack(&mut bench, first, 1, &[(2, 5)]);
    // The peer has dropped it all the same.
    let mut got = vec![None; text.len()];
    for _ in 0..20 {
        for sent in bench.run(Duration::from_secs(2)) {
            let at = sent.header.seq.since(first) as usize;
            for (place, byte) in got[at..].iter_mut().zip(&sent.text) {
                *place = Some(*byte);
            }
        }
        let there = got[MSS as usize..].iter().position(Option::is_none);
        let next = there.unwrap_or(text.len() - MSS as usize) as u32;
        sack_bytes(&mut bench, first + MSS + next, &[]);
    }
    let got: Vec<u8> = got[MSS as usize..]
        .iter()
        .map(|byte| byte.unwrap())
        .collect();
    assert!(got == text[MSS as usize..]);
}
