//! RFC 5961, RFC 5927 and RFC 1191: forged segments and ICMP errors.

use super::*;

/// Proves 5961-9.
#[test]
fn rfc_5961_7_challenges_are_throttled_for_each_connection() {
    let mut bench = open(rfc());
    let start = bench.now;
    let mut challenges = 0;
    for at in 0..1200 {
        bench.now = start + millis(at);
        challenges += bench
            .say(bench.header(bench.rcv_nxt + 100, Seq(0), Flags::SYN), b"")
            .len();
    }
    assert_eq!(challenges, 3);
}

/// Proves 5961-6, 5961-2.
#[test]
fn rfc_5961_3_rst_that_answers_a_challenge_ends_the_connection() {
    let mut bench = open(rfc());
    let challenge = bench
        .arrive(bench.rcv_nxt + 100, Seq(0), Flags::SYN, b"")
        .remove(0);
    bench.arrive(challenge.header.ack, Seq(0), Flags::RST, b"");
    assert_eq!(bench.state(), State::Closed);
}

/// Proves MUST-54, MUST-56, MUST-47, SHLD-25.
#[test]
fn must_54_56_soft_icmp_errors_end_nothing_and_are_noted() {
    for (kind, code) in [(3, 0), (3, 1), (3, 5), (11, 0), (11, 1), (12, 0)] {
        for state in ["SYN-SENT", "SYN-RECEIVED(passive)", "ESTABLISHED"] {
            let mut bench = Bench::new(rfc());
            bench.enter(state);
            if state == "ESTABLISHED" {
                bench.send(b"x");
            }
            let before = bench.state();
            bench.icmp(kind, code, 0, bench.snd_una);
            assert_eq!(bench.state(), before, "{kind}/{code}");
            assert!(
                bench
                    .events
                    .iter()
                    .any(|event| matches!(event.what, What::Icmp(_))),
                "{kind}/{code}"
            );
        }
    }
}

/// Proves MUST-55.
#[test]
fn must_55_source_quench_is_not_even_noted() {
    let mut bench = open(rfc());
    bench.send(b"x");
    let before = bench.status();
    assert_eq!(bench.icmp(4, 0, 0, bench.snd_una), []);
    assert!(
        !bench
            .events
            .iter()
            .any(|event| matches!(event.what, What::Icmp(_)))
    );
    assert_eq!(bench.status(), before);
}

/// Proves SHLD-26, 5927-1.
#[test]
fn shld_26_hard_icmp_errors_end_an_opening_if_they_quote_what_is_in_flight() {
    let mut bench = Bench::new(rfc());
    bench.enter("SYN-SENT");
    bench.icmp(3, 3, 0, bench.snd_una.back(1));
    bench.icmp(3, 3, 0, bench.snd_nxt);
    assert_eq!(bench.state(), State::SynSent, "RFC 5927 section 4.1");
    bench.icmp(3, 3, 0, bench.snd_una);
    assert!(matches!(ended(&bench), Some(CloseReason::Unreachable(_))));
}

/// Proves 5927-2.
#[test]
fn rfc_5927_5_2_hard_icmp_errors_are_soft_once_synchronized() {
    let mut bench = open(rfc());
    bench.send(b"x");
    bench.icmp(3, 3, 0, bench.snd_una);
    assert_eq!(bench.state(), State::Established);
}

/// The first check of RFC 5961 section 3.2, and the third.
///
/// Proves 5961-1, 5961-3.
#[test]
fn rfc_5961_3_rst_outside_the_window_is_dropped_and_elsewhere_in_it_challenged() {
    let mut bench = open(rfc());
    for seq in [bench.rcv_nxt.back(1), bench.rcv_nxt + 300_000] {
        assert_eq!(bench.arrive(seq, Seq(0), Flags::RST, b""), []);
    }
    let sent = bench.arrive(bench.rcv_nxt + 100, Seq(0), Flags::RST, b"");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header.flags, ACK);
    assert_eq!(sent[0].header.seq, bench.snd_nxt);
    assert_eq!(sent[0].header.ack, bench.rcv_nxt);
    assert_eq!(bench.state(), State::Established);
}

/// Proves 5961-2, SHLD-2.
#[test]
fn shld_2_rst_at_rcv_nxt_resets_with_and_without_text() {
    for text in [&b""[..], b"why"] {
        let mut bench = open(rfc());
        assert_eq!(bench.arrive(bench.rcv_nxt, Seq(0), Flags::RST, text), []);
        assert_eq!(bench.state(), State::Closed);
        assert_eq!(ended(&bench), Some(CloseReason::Reset));
    }
}

/// Proves 5961-4.
#[test]
fn rfc_5961_3_rst_in_syn_sent_counts_only_if_it_acknowledges_our_syn() {
    let mut bench = Bench::new(rfc());
    bench.enter("SYN-SENT");
    let rst_ack = Flags::RST | ACK;
    assert_eq!(bench.arrive(PEER_ISS, Seq(0), Flags::RST, b""), []);
    assert_eq!(bench.arrive(PEER_ISS, bench.snd_una, rst_ack, b""), []);
    assert_eq!(bench.arrive(PEER_ISS, bench.snd_nxt + 1, rst_ack, b""), []);
    assert_eq!(bench.state(), State::SynSent);
    bench.arrive(PEER_ISS, bench.snd_nxt, rst_ack, b"");
    assert_eq!(ended(&bench), Some(CloseReason::Refused));
}

/// Proves 5961-5.
#[test]
fn rfc_5961_4_syn_in_any_synchronized_state_is_challenged_wherever_it_is() {
    let states = [
        "ESTABLISHED",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "CLOSE-WAIT",
        "CLOSING",
        "LAST-ACK",
    ];
    for state in states {
        for ahead in [0, 100, 1 << 20, 1 << 31] {
            let mut bench = Bench::new(rfc());
            bench.enter(state);
            let before = bench.state();
            let sent = bench.arrive(bench.rcv_nxt + ahead, Seq(0), Flags::SYN, b"");
            assert_eq!(sent.len(), 1, "{state} {ahead}");
            assert_eq!(sent[0].header.flags, ACK, "{state} {ahead}");
            assert_eq!(sent[0].header.ack, bench.rcv_nxt, "{state} {ahead}");
            assert_eq!(bench.state(), before, "{state} {ahead}");
        }
    }
}

/// A connection on which 20,000 bytes were acknowledged, while windows of 1000, once of 3000
/// bytes, were offered.
fn much_acknowledged() -> Bench {
    let mut bench = Bench::new(plain());
    bench.window = 1000;
    bench.enter("ESTABLISHED");
    for round in 0..20 {
        bench.window = if round == 5 { 3000 } else { 1000 };
        bench.send(&text(1000));
        bench.acknowledge();
    }
    bench
}

/// Proves 5961-7, MAY-12.
#[test]
fn rfc_5961_5_ack_of_too_long_ago_or_of_what_was_not_sent_is_answered_and_its_text_dropped() {
    for ack in [-3001i32, -20_000, 1, 1000] {
        let mut bench = much_acknowledged();
        let ack = Seq(bench.snd_una.0.wrapping_add_signed(ack));
        let sent = bench.arrive(bench.rcv_nxt, ack, ACK, b"forged");
        assert_eq!(sent.len(), 1, "{ack}");
        assert_eq!(sent[0].header.ack, PEER_ISS + 1, "{ack}");
        assert_eq!(bench.receive(10), Err(CallError::WouldBlock), "{ack}");
    }
}

/// Proves 5961-8.
#[test]
fn rfc_5961_5_ack_as_old_as_the_largest_window_ever_counts() {
    let mut bench = much_acknowledged();
    let ack = bench.snd_una.back(3000);
    bench.arrive(bench.rcv_nxt, ack, ACK, b"late");
    assert_eq!(bench.receive(10).unwrap(), b"late");
}

/// However large the window is, no ACK before our first byte counts.
#[test]
fn rfc_5961_5_ack_from_before_our_first_byte_is_answered_and_its_text_dropped() {
    for (back, counts) in [(100, true), (102, false), (60_000, false)] {
        let mut bench = open(rfc());
        bench.window = 65_535;
        bench.send(&text(100));
        bench.acknowledge();
        let ack = bench.snd_una.back(back);
        bench.arrive(bench.rcv_nxt, ack, ACK, b"late");
        assert_eq!(bench.receive(10).is_ok(), counts, "{back}");
    }
}

/// Proves 5961-10.
#[test]
fn rfc_5961_7_challenge_on_one_connection_takes_none_from_another() {
    let mut bench = open(rfc());
    let other = ([10, 0, 0, 3], 9000).into();
    let say = |bench: &mut Bench, seq, ack, flags| {
        let header = tcpx_proto::wire::Header {
            source: other,
            ..bench.header(seq, ack, flags)
        };
        bench.say(header, b"")
    };
    let syn_ack = say(&mut bench, PEER_ISS, Seq(0), Flags::SYN).remove(0);
    say(&mut bench, PEER_ISS + 1, syn_ack.header.seq + 1, ACK);
    for _ in 0..2 {
        bench.run(secs(1));
        let to_us = bench.header(bench.rcv_nxt + 100, Seq(0), Flags::SYN);
        assert_eq!(bench.say(to_us, b"").len(), 1);
        assert_eq!(bench.say(to_us, b"").len(), 0, "throttled");
        assert_eq!(
            say(&mut bench, PEER_ISS + 100, Seq(0), Flags::SYN).len(),
            1,
            "the other one is not"
        );
    }
}

/// Proves SHLD-20.
#[test]
fn shld_20_reports_of_soft_errors_can_be_switched_off() {
    for on in [true, false] {
        let mut bench = Bench::new(rfc());
        bench.stack.record(false);
        bench.stack.record(on);
        bench.enter("ESTABLISHED");
        bench.send(b"x");
        bench.icmp(3, 1, 0, bench.snd_una);
        let reported = |event: &tcpx_proto::event::Event| matches!(event.what, What::Icmp(_));
        assert_eq!(bench.events.iter().any(reported), on);
    }
}
