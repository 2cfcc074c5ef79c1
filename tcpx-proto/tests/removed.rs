//! What a connection does without one of its rules, segment by segment; the experiments of tcpx-lab
//! show what comes of it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use common::{ACK, Bench, FIN_ACK};
use proptest::prelude::*;
use std::time::Duration;
use tcpx_proto::config::Profile;
use tcpx_proto::preset::Preset;
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::wire::Flags;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A plain connection in ESTABLISHED, with or without a rule; both windows have this many bytes.
fn established(rule: Option<&str>, window: u16) -> Bench {
    let mut config = Bench::plain(Profile::Rfc9293);
    config.conn.receive_buffer = window.into();
    if let Some(rule) = rule {
        Preset::find(rule)
            .unwrap()
            .apply(&mut config, &mut Vec::new());
    }
    let mut bench = Bench::new(config);
    bench.window = window;
    bench.enter("ESTABLISHED");
    bench
}

#[test]
fn window_of_an_byte_is_used_at_once_only_without_silly_window_avoidance() {
    for (rule, bytes) in [(None, 0), (Some("silly-window-avoidance"), 7)] {
        let mut bench = established(rule, 100);
        assert_eq!(
            bench
                .send(&[b'x'; 400])
                .iter()
                .map(|sent| sent.text.len())
                .sum::<usize>(),
            100
        );
        bench.window = 7;
        let sent = bench.acknowledge();
        assert_eq!(
            sent.iter().map(|sent| sent.text.len()).sum::<usize>(),
            bytes,
            "{rule:?}"
        );
    }
}

#[test]
fn byte_read_is_offered_at_once_only_without_silly_window_avoidance() {
    for (rule, windows) in [(None, vec![]), (Some("silly-window-avoidance"), vec![1])] {
        let mut bench = established(rule, 100);
        assert_eq!(bench.text(&[b'x'; 100])[0].header.window, 0);
        bench.receive(1).unwrap();
        assert_eq!(
            bench
                .drain()
                .iter()
                .map(|sent| sent.header.window)
                .collect::<Vec<_>>(),
            windows,
            "{rule:?}"
        );
    }
}

/// The first copy's ACK comes 100 ms after the second copy was sent.
#[test]
fn ack_of_what_was_sent_twice_is_timed_from_the_second_copy_only_without_karn() {
    for (rule, rto) in [(None, MS(2000)), (Some("karn"), MS(1000))] {
        let mut bench = established(rule, 60_000);
        bench.send(b"x");
        assert_eq!(bench.run(MS(1100)).len(), 1);
        bench.acknowledge();
        assert_eq!(bench.status().rto, rto, "{rule:?}");
    }
}

#[test]
fn fin_is_repeated_only_with_the_rule() {
    for (rule, repeats) in [(None, true), (Some("fin-retransmit"), false)] {
        let mut bench = established(rule, 60_000);
        bench.stack.send(bench.now, bench.conn(), b"x").unwrap();
        bench.stack.shutdown(bench.now, bench.conn()).unwrap();
        assert_eq!(bench.drain().len(), 1, "the FIN is with the text");
        let sent = bench.run(MS(20_000));
        assert!(
            sent.len() > 2 && sent.iter().all(|sent| sent.text == b"x"),
            "the text is repeated in any case: {sent:?}"
        );
        assert!(
            sent.iter()
                .all(|sent| sent.header.flags.contains(Flags::FIN) == repeats),
            "{rule:?}: {sent:?}"
        );
        let text_alone = bench.snd_una + 1;
        bench.arrive(bench.rcv_nxt, text_alone, ACK, b"");
        assert_eq!(!bench.run(MS(200_000)).is_empty(), repeats, "{rule:?}");
        assert_eq!(bench.state(), State::FinWait1);
        bench.run(Duration::from_secs(4000));
        assert_eq!(bench.state(), State::Closed, "R2 holds in any case");
    }
}

/// Far ahead, far behind, and just behind, in a window that is smaller than the text.
#[test]
fn text_from_anywhere_is_the_next_only_without_sequence_check_and_never_more_than_the_window() {
    for far in [Seq(0), Seq(1 << 31), Seq(1 << 30)] {
        for rule in [None, Some("sequence-check")] {
            let mut bench = established(rule, 1000);
            let seq = bench.rcv_nxt.back(700) + far.0;
            let ack = bench.snd_nxt;
            let answer = bench.arrive(seq, ack, ACK, &[b'x'; 600]);
            let taken = if rule.is_some() { 600 } else { 0 };
            assert_eq!(answer.len(), 1);
            assert_eq!(answer[0].header.ack, bench.rcv_nxt);
            assert_eq!(bench.status().unread, taken, "{rule:?}");
            bench.arrive(seq, ack, FIN_ACK, &[b'y'; 600]);
            assert!(bench.status().unread <= 1000, "{rule:?}");
            assert_eq!(
                bench.state(),
                State::Established,
                "there is no room for all of the text before the FIN"
            );
        }
    }
}

#[test]
fn old_fin_closes_and_old_reset_is_challenged_without_sequence_check() {
    let mut bench = established(Some("sequence-check"), 1000);
    let old = bench.rcv_nxt.back(50);
    let answer = bench.arrive(old, bench.snd_nxt, Flags::RST, b"");
    assert_eq!(answer.len(), 1);
    assert_eq!(bench.state(), State::Established);
    bench.arrive(old, bench.snd_nxt, FIN_ACK, b"");
    assert_eq!(bench.state(), State::CloseWait);
    bench.arrive(old, bench.snd_nxt, FIN_ACK, b"");
    assert_eq!(bench.state(), State::CloseWait);
}

proptest! {
    /// Whatever comes, from wherever, the buffer is never larger than what was offered.
    #[test]
    fn segments_from_anywhere_never_fill_more_than_the_window_without_sequence_check(
        segments in prop::collection::vec(
            (
                any::<u32>(),
                0usize..3000,
                any::<bool>(),
                prop::sample::select(vec![0u8, 1, 2, 4, 32]),
            ),
            1..60,
        ),
    ) {
        let mut bench = established(Some("sequence-check"), 1000);
        for (seq, length, near, bits) in segments {
            let seq = if near {
                bench.rcv_nxt.back(seq % 4000)
            } else {
                Seq(seq)
            };
            bench.arrive(seq, bench.snd_nxt, ACK | Flags(bits), &vec![b'x'; length]);
            let Some(status) = bench.stack.status(bench.conn()) else {
                break;
            };
            prop_assert!(
                status.unread <= 1000 && status.rcv_wnd <= 1000,
                "{status:?}"
            );
        }
    }
}
