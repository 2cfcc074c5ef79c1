//! RFC 6675: recovery by what SACK reports as held.

use super::*;

/// Proves 6675-1, 6675-2.
#[test]
fn rfc_6675_5_third_sack_begins_recovery_and_only_the_hole_goes_again() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    assert_eq!(sack(&mut bench, first, 0, &[(1, 2)]), []);
    assert_eq!(sack(&mut bench, first, 0, &[(1, 3)]), []);
    let sent = sack(&mut bench, first, 0, &[(1, 4)]);
    assert_eq!(which(first, &sent), vec![0]);
    assert_eq!(causes(&sent), vec![Cause::FastRetransmission]);
    assert_eq!(bench.status().cwnd, 5 * MSS);
    // And the rescue of rule 4, once the window has room for it.
    let more: Vec<_> = (5..=10)
        .flat_map(|held| sack(&mut bench, first, 0, &[(1, held)]))
        .collect();
    assert_eq!(which(first, &more), [9]);
    assert_eq!(bench.acknowledge(), []);
    assert_eq!(bench.run(Duration::from_secs(10)), []);
}

/// Proves 6675-3, 6675-2.
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
fn rfc_6675_5_held_bytes_make_room_for_new_text_before_recovery() {
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

/// Proves 6675-3.
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

/// While an original that was only late fills a hole, new text may go first; where there is none,
/// what is lost waits, and the last segment is no rescue for it.
#[test]
fn rfc_6675_4_rule_4_does_not_repeat_the_last_segment_while_something_is_lost() {
    let mut config = config(Recovery::Rfc6675);
    config.conn.timestamps = true;
    config.conn.spurious_loss = SpuriousLoss::Undo;
    let mut bench = Bench::new(config);
    bench.syn_options.sack_permitted = true;
    bench.stamp = Some(1);
    bench.enter("ESTABLISHED");
    let first = bench.snd_nxt;
    let full = MSS - 12;
    let sent = bench.send(&vec![7; 10 * full as usize]);
    let original = sent[0].header.options.timestamps.unwrap().value;
    let mut ack = |segments: u32, held: Option<(u32, u32)>| {
        bench.now = bench.now + millis(50);
        let mut header = bench.header(bench.rcv_nxt, first + segments * full, ACK);
        if let Some(stamps) = &mut header.options.timestamps {
            stamps.echo = original;
        }
        if let Some((left, right)) = held {
            assert!(
                header
                    .options
                    .sack
                    .push(first + left * full, first + right * full)
            );
        }
        let sent = bench.say(header, b"");
        let seqs = sent.iter().map(|it| it.header.seq.since(first) / full);
        seqs.collect::<Vec<_>>()
    };
    assert_eq!(ack(0, Some((3, 7))), [0, 1], "2 is lost, too");
    assert_eq!(ack(1, Some((3, 7))), [], "0 was only late");
    assert_eq!(ack(1, Some((3, 8))), [2, 9], "the rest, and one rescue");
}

/// Proves 2018-5.
#[test]
fn rfc_6675_5_1_after_a_timeout_held_bytes_are_not_sent_again_by_linux_and_are_by_the_letter() {
    for (profile, again) in [(Profile::Linux, vec![0, 3]), (Profile::Rfc9293, vec![0, 1])] {
        let mut config = config(Recovery::Rfc6675);
        config.conn.timeout_sack = profile.config().conn.timeout_sack;
        let (mut bench, first) = in_flight(config, 10);
        assert_eq!(sack(&mut bench, first, 0, &[(1, 3)]), []);
        let sent = bench.run(millis(1200));
        assert_eq!(which(first, &sent), vec![0]);
        assert_eq!(causes(&sent), vec![Cause::Retransmission(1)]);
        let next = sack(&mut bench, first, again[1], &[]);
        assert_eq!(which(first, &next)[0], again[1]);
        assert_eq!(bench.status().cwnd, 2 * MSS);
    }
}

/// Proves 6675-5.
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
        sack_bytes(&mut bench, first, &[(first + 10, first + 20)]),
        []
    );
    assert_eq!(
        sack_bytes(&mut bench, first, &[(first + 10, first + 30)]),
        []
    );
    let sent = sack_bytes(&mut bench, first, &[(first + 10, first + 40)]);
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
fn rfc_6675_2_held_bytes_count_in_a_segment_with_text_as_well() {
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

/// Bytes that were held when they arrived wait for the hole before they are acknowledged: that is
/// no round-trip time.
#[test]
fn rfc_6298_3_time_that_held_bytes_wait_is_no_sample() {
    let (mut bench, first) = measured(Recovery::Rfc6675);
    bench.send(&vec![7; 20 * MSS as usize]);
    let srtt = bench.status().srtt.unwrap();
    for held in [2, 3, 4, 20] {
        sack(&mut bench, first, 0, &[(1, held)]);
    }
    assert_eq!(which(first, &bench.send(&[7; MSS as usize])), [20]);
    bench.now = bench.now + millis(90);
    let nxt = bench.snd_nxt;
    sack_bytes(&mut bench, first, &[(first + MSS, nxt)]);
    bench.now = bench.now + millis(700);
    sack_bytes(&mut bench, nxt, &[]);
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
    let last = sack_bytes(&mut bench, first + 4 * MSS, &[]);
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

/// Proves 6675-4.
#[test]
fn rfc_6675_5_recovery_goes_on_until_all_that_was_in_flight_is_acknowledged() {
    let (mut bench, first) = in_flight(config(Recovery::Rfc6675), 10);
    for held in 4..=6 {
        sack(&mut bench, first, 0, &[(3, held)]);
    }
    let reduced = bench.status().cwnd;
    for ack in 7..=9 {
        sack(&mut bench, first, ack, &[]);
        assert_eq!(bench.status().cwnd, reduced, "it does not grow meanwhile");
    }
    sack(&mut bench, first, 10, &[]);
    assert_eq!(bench.status().cwnd, reduced, "nor by the ACK that ends it");
    let next = bench.snd_nxt;
    bench.send(&vec![7; reduced as usize]);
    sack_bytes(&mut bench, next + reduced, &[]);
    assert!(bench.status().cwnd > reduced);
}
