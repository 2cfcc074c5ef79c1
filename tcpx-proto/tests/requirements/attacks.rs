//! RFC 5961, RFC 5927 and RFC 1191: forged segments and ICMP errors.

use super::*;

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

#[test]
fn rfc_5961_3_rst_that_answers_a_challenge_ends_the_connection() {
    let mut bench = open(rfc());
    let challenge = bench
        .arrive(bench.rcv_nxt + 100, Seq(0), Flags::SYN, b"")
        .remove(0);
    bench.arrive(challenge.header.ack, Seq(0), Flags::RST, b"");
    assert_eq!(bench.state(), State::Closed);
}

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

#[test]
fn rfc_5927_5_2_hard_icmp_errors_are_soft_once_synchronized() {
    let mut bench = open(rfc());
    bench.send(b"x");
    bench.icmp(3, 3, 0, bench.snd_una);
    assert_eq!(bench.state(), State::Established);
}
