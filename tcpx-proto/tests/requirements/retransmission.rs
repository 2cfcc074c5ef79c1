//! Sections 3.8.1 and 3.8.3: retransmission.

use super::*;

/// Proves MUST-18, MUST-19, 6298-2, 6298-12.
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

/// Proves 6298-1, 6298-5.
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

/// Proves 6298-6.
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

/// Proves MUST-18, 6298-7.
#[test]
fn must_18_karn_an_ack_of_a_retransmission_is_no_sample() {
    let mut bench = open(plain());
    let srtt = bench.status().srtt;
    bench.send(b"x");
    bench.run(secs(5));
    bench.acknowledge();
    assert_eq!(bench.status().srtt, srtt, "the backed-off timeout stays");
    assert_eq!(bench.status().rto, secs(4), "the backed-off timeout stays");
    bench.send(b"y");
    bench.acknowledge();
    assert_eq!(
        bench.status().rto,
        secs(1),
        "until a segment that was sent once is acknowledged"
    );
}

/// Proves 7323-9.
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

/// Proves 6298-10, 6298-11.
#[test]
fn rfc_6298_5_1_timer_counts_from_the_oldest_and_restarts_on_new_acks() {
    let mut bench = open(plain());
    let start = bench.now;
    let first = bench.send(b"one")[0].end();
    bench.run(millis(600));
    bench.send(b"two");
    bench.arrive(bench.rcv_nxt, first, ACK, b"");
    let sent = bench.run(secs(2));
    assert_eq!(times(start, &sent)[0], 1601);
    assert_eq!(sent[0].text.as_slice(), &b"two"[..]);
}

/// Proves 6298-11.
#[test]
fn rfc_6298_5_2_timer_stops_when_all_is_acknowledged() {
    let mut bench = open(plain());
    bench.send(b"x");
    bench.acknowledge();
    assert_eq!(bench.status().timer, None);
    assert_eq!(bench.run(secs(600)), []);
}

/// Proves 6298-12.
#[test]
fn rfc_6298_5_4_timeout_sends_the_earliest_again() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(3 * MSS));
    let sent = bench.run(millis(1500));
    assert_eq!(seqs(&sent), [(una, MSS)]);
    assert_eq!(sent[0].label.cause, Cause::Retransmission(1));
}

/// Proves 6298-13.
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

/// Proves MUST-20, SHLD-9, SHLD-10, SHLD-11.
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

/// Proves MUST-21.
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
fn must_21_user_timeout_restarts_with_each_ack_of_new_data() {
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

/// Proves MUST-22, MUST-23.
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

/// Proves 6298-8.
#[test]
fn rfc_6298_3_each_round_trip_gives_a_sample() {
    let mut bench = open(plain());
    for _ in 0..60 {
        bench.send(&text(3 * MSS));
        bench.now = bench.now + millis(299);
        bench.acknowledge();
    }
    let srtt = bench.status().srtt.unwrap();
    assert!((millis(295)..=millis(301)).contains(&srtt), "{srtt:?}");
}

/// Proves MUST-18, 6298-7.
#[test]
fn must_18_karn_what_went_again_by_fast_retransmit_is_no_sample_either() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&text(10 * MSS));
    for _ in 0..3 {
        bench.arrive(bench.rcv_nxt, una, ACK, b"");
    }
    let srtt = bench.status().srtt;
    bench.now = bench.now + millis(700);
    bench.acknowledge();
    assert_eq!(bench.status().unacknowledged, 0);
    assert_eq!(bench.status().srtt, srtt);
}
