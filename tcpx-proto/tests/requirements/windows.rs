//! Section 3.8.6: windows and ACKs.

use super::*;

/// Proves MUST-34, SHLD-15, SHLD-16.
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
        "SHLD-16: what is in the window is retransmitted"
    );
    bench.window = 65_000;
    let rest = bench.arrive(bench.rcv_nxt, una + 1000, ACK, b"");
    assert!(!rest.is_empty(), "and the rest once there is room");
}

/// Proves MUST-35.
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

/// Proves MAY-7.
#[test]
fn may_7_linux_repeats_beyond_a_window_that_shrank_to_nothing() {
    for sack in [false, true] {
        let mut config = plain();
        config.conn.shrunk_window = ShrunkWindow::Resend;
        config.conn.sack = sack;
        let mut bench = Bench::new(config);
        bench.syn_options.sack_permitted = sack;
        bench.enter("ESTABLISHED");
        let una = bench.snd_una;
        bench.send(&text(3 * MSS));
        bench.window = 0;
        bench.arrive(bench.rcv_nxt, una, ACK, b"");
        let ack = bench.arrive(bench.rcv_nxt + 1, una, ACK, b"x");
        assert_eq!(ack[0].header.seq, una, "in the window");
        let start = bench.now;
        let sent = bench.run(millis(8000));
        let repeated: Vec<_> = sent.iter().filter(|sent| !sent.text.is_empty()).collect();
        // What SACK reports takes its place in a segment.
        let full = if sack { MSS - 12 } else { MSS };
        for sent in &repeated {
            assert_eq!((sent.header.seq, sent.text.len()), (una, full), "{sack}");
        }
        let seen: Vec<_> = repeated.iter().map(|sent| sent.at.since(start)).collect();
        assert_eq!(seen, [998, 2998, 6998].map(millis), "{sack}: doubled");
        for _ in 0..100 {
            bench.arrive(bench.rcv_nxt, una, ACK, b"");
            bench.run(secs(60));
        }
        assert_eq!(ended(&bench), None, "while the peer answers");
        bench.run(secs(400));
        assert!(ended(&bench).is_some(), "it does not any more");
    }
}

/// Proves MUST-36, SHLD-29, SHLD-30.
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
fn must_36_byte_that_a_probe_delivered_counts() {
    let mut bench = stuck(plain());
    let probe = bench.run(millis(1500)).remove(0);
    bench.arrive(bench.rcv_nxt, probe.end(), ACK, b"");
    assert_eq!(bench.snd_una, probe.end());
    assert_eq!(bench.status().unacknowledged, 99);
    let next = bench.run(secs(60)).remove(0);
    assert_eq!(next.header.seq, probe.end());
    assert_eq!(next.text.as_slice(), &text(100)[1..2]);
}

/// Proves MUST-37.
#[test]
fn must_37_probes_answered_never_abort() {
    for profile in [Profile::Rfc9293, Profile::Linux] {
        let mut bench = stuck(Bench::plain(profile));
        for _ in 0..500 {
            bench.run(secs(130));
            bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"");
        }
        assert_eq!(ended(&bench), None, "{}", profile.name());
        assert_eq!(bench.state(), State::Established, "{}", profile.name());
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

/// Proves MUST-38, MUST-60.
#[test]
fn must_38_sender_waits_for_a_useful_window_or_the_override() {
    let mut bench = open(plain());
    bench.window = 10_000;
    bench.acknowledge();
    bench.send(&text(6 * MSS));
    bench.window = 10;
    bench.acknowledge();
    assert_eq!(bench.send(&text(1000)), []);
    let start = bench.now;
    let sent = bench.run(secs(2));
    assert_eq!(sent[0].text.len(), 10);
    assert!(
        (100..=1000).contains(&times(start, &sent)[0]),
        "{:?}",
        times(start, &sent)
    );
}

/// Proves MUST-38.
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

/// Proves MUST-39.
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

/// Proves MUST-40, SHLD-18.
#[test]
fn must_40_shld_18_ack_of_one_segment_waits_less_than_half_a_second() {
    let mut bench = open(rfc());
    assert_eq!(bench.text(&text(100)), []);
    let start = bench.now;
    let sent = bench.run(secs(1));
    assert_eq!(sent.len(), 1);
    assert!((1..500).contains(&times(start, &sent)[0]));
}

/// Proves SHLD-19.
#[test]
fn shld_19_every_second_full_segment_is_acknowledged_at_once() {
    let mut bench = open(rfc());
    let answers: Vec<usize> = (0..6).map(|_| bench.text(&text(MSS)).len()).collect();
    assert_eq!(answers, [0, 1, 0, 1, 0, 1]);
}

/// Proves MUST-58, MUST-59.
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

/// Proves MUST-66.
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
    /// Proves SHLD-14.
    #[test]
    fn shld_14_right_edge_never_moves_left(
        buffer in 1000usize..300_000,
        scaling: bool,
        steps in prop::collection::vec(
            (
                prop_oneof![Just(0), 0u32..3000],
                0usize..3000,
                0usize..4000,
                0u64..300,
            ),
            1..60,
        ),
    ) {
        let config = with(rfc(), |conn| {
            conn.receive_buffer = buffer;
            conn.window_scaling = scaling;
        });
        let mut bench = Bench::new(config);
        bench.syn_options = Options {
            window_scale: Some(7),
            ..bench.syn_options
        };
        bench.enter("SYN-RECEIVED(passive)");
        let shift = if scaling {
            bench.clone().run(secs(2))[0]
                .header
                .options
                .window_scale
                .unwrap()
        } else {
            0
        };
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

/// Proves SHLD-17.
#[test]
fn shld_17_text_beyond_a_window_that_shrank_ends_nothing() {
    let mut bench = open(plain());
    bench.send(&text(3 * MSS));
    bench.window = 0;
    for _ in 0..500 {
        bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"");
        bench.run(secs(60));
    }
    assert_eq!(ended(&bench), None);
    bench.window = 65_000;
    bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"");
    bench.acknowledge();
    assert_eq!(bench.status().unacknowledged, 0);
}

/// Proves 5681-1.
#[test]
fn rfc_5681_2_the_smaller_of_the_two_windows_limits_what_is_in_flight() {
    for (window, segments) in [(3 * MSS, 3), (65_000, 10)] {
        let mut bench = Bench::new(plain());
        bench.window = window as u16;
        bench.enter("ESTABLISHED");
        let sent = bench.send(&text(30 * MSS));
        assert_eq!(sent.len(), segments);
        assert_eq!(bench.run(millis(500)), []);
    }
}

/// Proves 5681-14.
#[test]
fn rfc_5681_4_2_no_segment_gets_two_acks() {
    let mut bench = open(rfc());
    let mut acks = 0;
    for (ahead, len) in [
        (0, MSS),
        (0, MSS),
        (5000, 10),
        (5000, 10),
        (0, 5000),
        (0, 10),
    ] {
        let sent = bench.arrive(bench.rcv_nxt + ahead, bench.snd_nxt, ACK, &text(len));
        assert!(sent.len() <= 1, "{ahead} {len}: {}", sent.len());
        acks += sent.len();
    }
    acks += bench.run(secs(1)).len();
    assert_eq!(acks, 5);
}

/// Proves MUST-40.
#[test]
fn must_40_ack_waits_less_than_half_a_second_in_every_profile() {
    for profile in Profile::ALL {
        let delay = profile.config().conn.delayed_ack;
        let within = |delay: Duration| (millis(1)..millis(500)).contains(&delay);
        assert!(delay.is_none_or(within), "{}", profile.name());
    }
}

/// Linux `tcp_sequence`: the FIN stays in the queue until the application has read it.
#[test]
fn linux_text_that_ends_beyond_the_window_counts_once_nothing_is_unread() {
    for read in [false, true] {
        let mut bench = Bench::new(Bench::plain(Profile::Linux));
        bench.enter("LAST-ACK");
        if read {
            assert_eq!(bench.receive(1).unwrap(), b"");
        }
        let inside = bench.rcv_nxt + (bench.status().rcv_wnd - 5);
        let sent = bench.arrive(inside, bench.snd_nxt, ACK, &[7; 10]);
        let (state, answers) = if read {
            (State::Closed, 0)
        } else {
            (State::LastAck, 1)
        };
        assert_eq!((bench.state(), sent.len()), (state, answers), "{read}");
    }
}

/// Linux: what ends at RCV.NXT is acceptable, a SYN with RST as well, and no exact RST.
#[test]
fn linux_syn_with_rst_right_before_the_window_is_challenged() {
    let mut bench = Bench::new(Bench::plain(Profile::Linux));
    bench.enter("SYN-RECEIVED(active)");
    let sent = bench.arrive(PEER_ISS, bench.snd_nxt, Flags::SYN | Flags::RST, b"");
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].header.flags, sent[0].header.ack),
        (ACK, bench.rcv_nxt)
    );
    assert_eq!(bench.state(), State::SynReceived);
}
