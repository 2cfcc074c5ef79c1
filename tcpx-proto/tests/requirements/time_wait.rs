//! TIME-WAIT: RFC 1337 and RFC 6191.

use super::*;
use tcpx_proto::config::TimeWaitRst;

/// In TIME-WAIT, the last timestamp of the peer being 1000 if it had any.
fn time_wait(config: Config, stamped: bool) -> Bench {
    let mut bench = Bench::new(with(config, |conn| conn.timestamps = true));
    bench.stamp = stamped.then_some(1000);
    bench.enter("TIME-WAIT");
    bench
}

/// Whether a SYN with this timestamp, this far from RCV.NXT, opens the next incarnation; if not,
/// nothing is said.
fn reopens(stamped: bool, stamp: Option<u32>, ahead: i32) -> bool {
    let mut bench = time_wait(plain(), stamped);
    let used = bench.snd_nxt;
    bench.stamp = stamp;
    let seq = Seq(bench.rcv_nxt.0.wrapping_add_signed(ahead));
    let sent = bench.arrive(seq, Seq(0), Flags::SYN, b"");
    if sent.is_empty() {
        assert_eq!(bench.state(), State::TimeWait);
        return false;
    }
    assert_eq!(sent[0].header.flags, SYN_ACK);
    assert_eq!(sent[0].header.ack, seq + 1);
    assert!(used.lt(sent[0].header.seq), "beyond what was used");
    assert_eq!(bench.state(), State::SynReceived);
    true
}

/// Proves SHLD-4, MAY-2.
#[test]
fn shld_4_may_2_new_syn_opens_the_next_incarnation_before_2_msl_are_over() {
    assert!(reopens(true, Some(2000), 1000));
    assert!(reopens(false, None, 1000));
}

/// Proves 6191-1.
#[test]
fn rfc_6191_2_later_timestamp_opens_whatever_the_sequence_number() {
    assert!(reopens(true, Some(1001), -1000));
    assert!(reopens(true, Some(1001), 1000));
}

/// Proves 6191-2.
#[test]
fn rfc_6191_2_same_timestamp_needs_a_later_sequence_number() {
    assert!(reopens(true, Some(1000), 1));
    assert!(!reopens(true, Some(1000), -1000));
}

/// Proves 6191-3.
#[test]
fn rfc_6191_2_syn_without_timestamps_needs_a_later_sequence_number() {
    assert!(reopens(true, None, 1));
    assert!(!reopens(true, None, -1000));
}

/// Proves 6191-4.
#[test]
fn rfc_6191_2_syn_with_timestamps_for_one_without_opens() {
    assert!(reopens(false, Some(1), -1000));
}

/// Proves 6191-5.
#[test]
fn rfc_6191_2_without_timestamps_a_later_sequence_number_is_needed() {
    assert!(reopens(false, None, 1));
    assert!(!reopens(false, None, -1000));
}

/// Proves 6191-6.
#[test]
fn rfc_6191_2_any_other_syn_is_dropped_without_a_word() {
    for (stamped, stamp) in [(true, Some(1000)), (true, None), (false, None)] {
        for ahead in [-1000, -2] {
            assert!(!reopens(stamped, stamp, ahead), "{stamped} {stamp:?}");
        }
    }
    assert!(!reopens(true, Some(999), -2));
}

/// Proves 7323-18.
#[test]
fn rfc_7323_5_8_time_wait_knows_the_last_timestamp() {
    assert!(!reopens(true, Some(999), 1000), "an old duplicate");
    assert!(reopens(true, Some(1001), 1000));
}

/// Proves 1337-1.
#[test]
fn rfc_1337_2_old_text_is_acknowledged_and_not_taken_and_an_old_ack_is_not_answered() {
    let mut bench = time_wait(plain(), false);
    let sent = bench.text(b"old");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header.ack, bench.rcv_nxt);
    assert_eq!(bench.receive(10).unwrap(), b"");
    assert_eq!(bench.acknowledge(), []);
    assert_eq!(bench.state(), State::TimeWait);
}

/// Proves 1337-2.
#[test]
fn rfc_1337_3_rst_is_ignored_where_that_is_asked_for() {
    for (policy, after) in [
        (TimeWaitRst::Ignore, State::TimeWait),
        (TimeWaitRst::Obey, State::Closed),
    ] {
        let mut bench = time_wait(with(plain(), |conn| conn.time_wait_rst = policy), false);
        bench.arrive(bench.rcv_nxt, Seq(0), Flags::RST, b"");
        assert_eq!(bench.state(), after);
    }
}
