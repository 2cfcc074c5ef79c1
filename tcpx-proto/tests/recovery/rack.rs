//! RFC 8985: RACK.

use super::*;

/// Proves 9937-7.
#[test]
fn rfc_9937_6_4_window_after_a_recovery_is_the_threshold() {
    let mut conn = config(Recovery::Rfc6675);
    conn.conn.cwnd_reduction = CwndReduction::Proportional;
    let (mut bench, first) = in_flight(conn, 10);
    for held in 2..=5 {
        sack(&mut bench, first, 0, &[(1, held)]);
    }
    let status = bench.status();
    let threshold = status.ssthresh.unwrap();
    assert!(status.cwnd > threshold, "{status}");
    sack(&mut bench, first, 10, &[]);
    // A window's worth was acknowledged.
    assert_eq!(bench.status().cwnd, threshold + MSS);
}

/// Proves 8985-2.
#[test]
fn rfc_8985_6_2_loss_is_told_by_a_later_segment_that_arrived_and_a_quarter_of_the_round_trip() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&[7; 2 * MSS as usize]);
    // RACK.rtt is 100 ms, the window 25 ms.
    let sent_at = bench.now;
    bench.run(millis(99));
    assert_eq!(sack(&mut bench, first, 0, &[(1, 2)]), [], "it may be late");
    let sent = bench.run(millis(100));
    assert_eq!(which(first, &sent), vec![0]);
    assert_eq!(causes(&sent), vec![Cause::FastRetransmission]);
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

/// Proves 8985-6.
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

/// `tcp_may_raise_cwnd`: where segments overtake each other far, what is held counts; RFC 5681 knows
/// of no such thing.
#[test]
fn linux_held_text_opens_the_window_where_segments_overtake_each_other_far() {
    for (slow_start, grows) in [(SlowStart::PerByte, true), (SlowStart::PerAck, false)] {
        let mut config = config(Recovery::Rack);
        config.conn.slow_start = slow_start;
        let (mut bench, first) = in_flight(config, 10);
        bench.now = bench.now + millis(99);
        sack(&mut bench, first, 0, &[(5, 7)]);
        sack(&mut bench, first, 7, &[]);
        let before = bench.status().cwnd;
        sack(&mut bench, first, 7, &[(8, 9)]);
        assert_eq!(bench.status().cwnd > before, grows, "{slow_start:?}");
    }
}

#[test]
fn rfc_8985_6_2_three_small_segments_held_leave_no_doubt() {
    let (mut bench, first) = in_flight(config(Recovery::Rack), 0);
    (0..6).for_each(|_| drop(bench.send(&[7; 10])));
    bench.now = bench.now + millis(100);
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

/// Proves 8985-1.
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

/// Proves 8985-6, 8985-1.
#[test]
fn rfc_8985_9_2_no_rescue_retransmission_by_rfc_6675() {
    let (mut bench, first) = in_flight(config(Recovery::Rack), 10);
    let sent: Vec<_> = (2..=9)
        .flat_map(|held| which(first, &sack(&mut bench, first, 0, &[(1, held)])))
        .collect();
    assert_eq!(sent, [0], "with RFC 6675 the last one follows");
}
