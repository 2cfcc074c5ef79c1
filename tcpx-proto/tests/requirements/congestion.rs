//! Section 3.8.2: congestion control.

use super::*;

/// Proves 5681-4.
#[test]
fn must_19_rfc_6928_initial_window_is_ten_segments() {
    let mut bench = open(plain());
    assert_eq!(bench.status().cwnd as usize, 10 * MSS, "as it was at first");
    assert_eq!(bench.send(&text(20 * MSS)).len(), 10);
}

/// Proves MUST-19, 5681-5.
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
        "ten ACKs of 100 bytes are no ten segments (RFC 5681 section 3.1)"
    );
}

/// Proves MUST-19, 5681-8.
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

/// Proves 5681-10, 5681-7.
#[test]
fn rfc_5681_3_2_third_duplicate_ack_sends_the_missing_segment_at_once() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(10 * MSS));
    let duplicate = |bench: &mut Bench| bench.arrive(bench.rcv_nxt, una, ACK, b"");
    assert_eq!(duplicate(&mut bench), []);
    assert_eq!(duplicate(&mut bench), []);
    let sent = duplicate(&mut bench);
    assert_eq!(seqs(&sent), [(una, MSS)]);
    assert_eq!(sent[0].label.cause, Cause::FastRetransmission);
    assert_eq!(bench.status().cwnd as usize, 5 * MSS + 3 * MSS);
}

/// Proves 6582-2, 6582-5.
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

/// Proves 3042-1, 5681-11.
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

/// Proves 5681-16.
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

/// Linux's `FLAG_WIN_UPDATE`: one after text of the peer's tells the window anew, even the same.
#[test]
fn linux_ack_that_the_window_is_taken_from_is_no_duplicate() {
    for (window_update, sent) in [(WindowUpdate::NotSmaller, 0), (WindowUpdate::Rfc9293, 1)] {
        let mut bench = open(with(plain(), |conn| conn.window_update = window_update));
        let una = bench.snd_una;
        bench.send(&text(20 * MSS));
        bench.arrive(bench.rcv_nxt, una, ACK, b"x");
        bench.arrive(bench.rcv_nxt + 1, una, ACK, b"yz");
        let again = |bench: &mut Bench| bench.arrive(bench.rcv_nxt + 3, una, ACK, b"").len();
        assert_eq!(again(&mut bench), sent, "{window_update:?}");
        assert_eq!(again(&mut bench), 1, "the next one is");
    }
}

/// A congestion window that is just filled does not hold the FIN back.
#[test]
fn fin_goes_with_the_last_text_of_a_full_congestion_window() {
    for sack in [false, true] {
        let mut bench = open_to(
            with(plain(), |conn| conn.sack = sack),
            Options {
                mss: Some(MSS as u16),
                sack_permitted: sack,
                ..Options::default()
            },
        );
        bench.window = 0;
        bench.acknowledge();
        bench.send(&text(10 * MSS));
        bench.stack.shutdown(bench.now, bench.conn()).unwrap();
        bench.window = 65_000;
        let sent = bench.acknowledge();
        let fins = sent
            .iter()
            .map(|sent| sent.header.flags.contains(Flags::FIN));
        assert_eq!(
            fins.collect::<Vec<_>>(),
            [&[false; 9][..], &[true]].concat()
        );
    }
}

/// Proves 6582-3.
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

/// Proves 5681-13.
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

/// Proves 5681-3.
#[test]
fn rfc_5681_3_1_a_lost_syn_makes_the_initial_window_one_segment() {
    let mut bench = Bench::new(plain());
    bench.enter("SYN-SENT");
    bench.run(secs(2));
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    assert_eq!(bench.send(&text(20 * MSS)).len(), 1);
}

/// Proves 5681-12.
#[test]
fn rfc_5681_3_2_duplicates_inflate_the_window_by_a_segment_each_and_no_further_than_the_flight() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(10 * MSS));
    let duplicate = |bench: &mut Bench| {
        bench.arrive(bench.rcv_nxt, una, ACK, b"");
        bench.status().cwnd as usize / MSS
    };
    let windows: Vec<usize> = (0..20).map(|_| duplicate(&mut bench)).collect();
    assert_eq!(windows[2..6], [8, 9, 10, 11]);
    assert_eq!(windows[9..], [windows[9]; 11], "ten were in flight");
}
