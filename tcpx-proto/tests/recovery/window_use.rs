//! What each value of the policy `window_use` makes of a congestion window that is not used.

use super::*;
use tcpx_proto::config::WindowUse;

const BOTH: [WindowUse; 2] = [WindowUse::Ignored, WindowUse::Counted];

fn using(window_use: WindowUse) -> Config {
    let mut config = config(Recovery::Rfc6675);
    config.conn.window_use = window_use;
    config
}

/// Congestion window and threshold, segments.
fn windows(bench: &Bench) -> (u32, Option<u32>) {
    let status = bench.status();
    (status.cwnd / MSS, status.ssthresh.map(|bytes| bytes / MSS))
}

#[test]
fn window_that_is_not_used_grows_if_that_is_ignored() {
    let grown = BOTH.map(|window_use| {
        let (mut bench, _) = in_flight(using(window_use), 2);
        for _ in 0..20 {
            bench.acknowledge();
            bench.send(&[7; 2 * MSS as usize]);
        }
        windows(&bench).0
    });
    assert_eq!(grown, [30, 10]);
}

#[test]
fn window_that_is_used_up_grows_in_any_case() {
    for window_use in BOTH {
        let (mut bench, _) = in_flight(using(window_use), 10);
        bench.acknowledge();
        assert_eq!(windows(&bench).0, 11, "{window_use:?}");
    }
}

/// Three ACKs report the segments behind the one at `hole` as held.
fn report_three(bench: &mut Bench, first: Seq, hole: u32) {
    for held in 2..=4 {
        sack(bench, first, hole, &[(hole + 1, hole + held)]);
    }
}

/// Proves 5681-7.
#[test]
fn loss_leaves_half_of_the_flight_or_of_the_window() {
    let left = BOTH.map(|window_use| {
        let (mut bench, first) = in_flight(using(window_use), 6);
        report_three(&mut bench, first, 0);
        windows(&bench)
    });
    assert_eq!(left, [(3, Some(3)), (5, Some(5))]);
}

#[test]
fn loss_leaves_whole_segments_where_use_is_counted() {
    let left = BOTH.map(|window_use| {
        let (mut bench, first) = in_flight(using(window_use), 10);
        bench.acknowledge();
        bench.send(&[7; 11 * MSS as usize]);
        report_three(&mut bench, first, 10);
        bench.status().cwnd
    });
    assert_eq!(left, [11 * MSS / 2, 5 * MSS]);
}

/// Proves 5681-15.
#[test]
fn timeout_leaves_a_threshold_of_half_the_flight_or_the_window() {
    let left = BOTH.map(|window_use| {
        let (mut bench, _) = in_flight(using(window_use), 6);
        bench.run(millis(1500));
        windows(&bench)
    });
    assert_eq!(left, [(1, Some(3)), (1, Some(5))]);
}

#[test]
fn timeout_in_a_recovery_lowers_the_threshold_again_unless_use_is_counted() {
    let left = BOTH.map(|window_use| {
        let (mut bench, first) = in_flight(using(window_use), 10);
        report_three(&mut bench, first, 0);
        assert_eq!(windows(&bench).1, Some(5));
        sack(&mut bench, first, 4, &[]);
        bench.run(millis(1500));
        windows(&bench).1
    });
    assert_eq!(left, [Some(3), Some(5)], "six were in flight");
}

/// Proves 5681-13.
#[test]
fn idle_window_is_the_initial_one_again_or_half_for_each_timeout() {
    for (idle, left) in [(1500, [10, 20]), (2500, [10, 10]), (60_000, [10, 10])] {
        let windows = BOTH.map(|window_use| {
            let (mut bench, _) = in_flight(using(window_use), 10);
            while windows(&bench).0 < 40 {
                bench.acknowledge();
                let cwnd = bench.status().cwnd;
                bench.send(&vec![7; cwnd as usize]);
            }
            assert_eq!(windows(&bench).0, 40);
            bench.acknowledge();
            bench.run(millis(idle));
            bench.send(&[7]);
            windows(&bench).0
        });
        assert_eq!(windows, left, "{idle} ms");
    }
}

/// RFC 6928 section 2 counts bytes, Linux segments. Proves 5681-2.
#[test]
fn initial_window_of_large_segments_is_two_or_ten_of_them() {
    let initial = BOTH.map(|window_use| {
        let mut config = using(window_use);
        config.conn.mtu = 9000;
        let mut bench = Bench::new(config);
        bench.syn_options.mss = Some(8960);
        bench.enter("ESTABLISHED");
        bench.status().cwnd / 8960
    });
    assert_eq!(initial, [2, 10]);
}
