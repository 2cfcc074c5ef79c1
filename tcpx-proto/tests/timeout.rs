//! When a silent peer is asked again: the retransmission timeout of each profile, and what is made
//! of it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::time::Duration;

use common::{ACK, Bench, PEER_ISS, SYN_ACK, Sent, with};
use proptest::prelude::*;
use tcpx_proto::config::{
    Config, ConnConfig, GiveUp, KeepAlive, Persist, ProbeInterval, ProbeTimer, Profile, Samples,
    ShrunkWindow, TimerGranularity, Variance,
};
use tcpx_proto::error::CloseReason;
use tcpx_proto::event::{Event, What};
use tcpx_proto::label::Cause;
use tcpx_proto::seq::Seq;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{Flags, Options};

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn linux() -> Config {
    Bench::plain(Profile::Linux)
}

/// Opened to a peer `rtt` away.
fn open(config: Config, rtt: Duration) -> Bench {
    let sack = config.conn.sack;
    let mut bench = Bench::new(config);
    bench.syn_options = Options {
        sack_permitted: sack,
        ..bench.syn_options
    };
    bench.connect();
    bench.now = bench.now + rtt - millis(1);
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    bench
}

/// Sends ten bytes and acknowledges them after `rtt`; what was sent again meanwhile.
fn exchange(bench: &mut Bench, rtt: Duration) -> Vec<Sent> {
    bench.send(&[7; 10]);
    let again = bench.run(rtt - millis(1));
    bench.acknowledge();
    again
}

/// When the next ten bytes are sent again, counted from the first time, in milliseconds.
fn repetitions(bench: &mut Bench, time: Duration) -> Vec<u128> {
    bench.send(&[7; 10]);
    let since = bench.now;
    times(since, &bench.run(time))
}

fn times(since: Instant, sent: &[Sent]) -> Vec<u128> {
    sent.iter()
        .map(|sent| sent.at.since(since).as_millis())
        .collect()
}

#[test]
fn linux_first_repetition_comes_200_ms_after_the_round_trip() {
    for rtt in [1, 20, 100, 180, 300, 1000] {
        for sack in [false, true] {
            let mut bench = open(with(linux(), |conn| conn.sack = sack), millis(rtt));
            for _ in 0..40 {
                assert_eq!(exchange(&mut bench, millis(rtt)), []);
            }
            let first = repetitions(&mut bench, Duration::from_secs(60))[0];
            // With SACK a tail-loss probe may come first, after 2 SRTT and 200 ms.
            assert_eq!(first, u128::from(rtt + 200), "rtt {rtt} ms, SACK {sack}");
        }
    }
}

#[test]
fn rfc_6298_2_4_first_repetition_comes_a_second_later_or_more() {
    for (rtt, expected) in [(20, 1000), (300, 1000), (1000, 1001)] {
        let mut bench = open(Bench::plain(Profile::Rfc9293), millis(rtt));
        for _ in 0..100 {
            exchange(&mut bench, millis(rtt));
        }
        assert_eq!(
            repetitions(&mut bench, Duration::from_secs(4))[0],
            expected,
            "rtt {rtt} ms"
        );
    }
}

#[test]
fn linux_tail_loss_probe_takes_the_place_of_the_first_timeout_and_the_rest_doubles() {
    let mut bench = open(with(linux(), |conn| conn.sack = true), millis(100));
    for _ in 0..40 {
        exchange(&mut bench, millis(100));
    }
    bench.send(&[7; 10]);
    let since = bench.now;
    let sent = bench.run(Duration::from_secs(10));
    assert_eq!(sent[0].label.cause, Cause::TailLossProbe);
    assert_eq!(times(since, &sent), [300, 600, 1200, 2400, 4800, 9600]);
}

#[test]
fn linux_timeout_never_exceeds_two_minutes() {
    let mut bench = open(linux(), millis(300));
    let waits = repetitions(&mut bench, Duration::from_secs(2000));
    let longest = waits
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    assert_eq!(longest, 120_000);
}

#[test]
fn linux_timeout_before_the_first_sample_is_a_second() {
    let mut bench = Bench::new(linux());
    bench.connect();
    let since = bench.now;
    assert_eq!(
        times(since, &bench.run(Duration::from_secs(12))),
        [1000, 2000, 3000, 4000, 5000, 7000, 11_000]
    );
}

#[test]
fn linux_zero_window_probe_comes_after_the_same_timeout() {
    for rtt in [20, 300] {
        let mut bench = open(linux(), millis(rtt));
        for _ in 0..40 {
            exchange(&mut bench, millis(rtt));
        }
        bench.window = 0;
        bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK, b"");
        bench.send(b"stuck");
        let since = bench.now;
        let probes = times(since, &bench.run(Duration::from_secs(5)));
        let rto = u128::from(rtt + 200);
        assert_eq!(probes[..3], [rto, 3 * rto, 7 * rto]);
    }
    assert_eq!(
        linux().conn.persist,
        Some(Persist {
            min: millis(200),
            max: Duration::from_secs(120)
        })
    );
}

#[test]
fn rto_min_asked_for_bounds_what_the_profile_bounds() {
    for (profile, expected) in [(Profile::Linux, 550), (Profile::Rfc9293, 500)] {
        let mut bench = open(
            with(Bench::plain(profile), |conn| conn.rto.min = millis(500)),
            millis(50),
        );
        for _ in 0..40 {
            exchange(&mut bench, millis(50));
        }
        assert_eq!(repetitions(&mut bench, Duration::from_secs(1))[0], expected);
    }
    let variances = Profile::ALL.map(|profile| profile.config().conn.rto.variance);
    assert_eq!(
        variances,
        [Variance::Linux, Variance::Rfc6298, Variance::Rfc6298]
    );
}

/// A bench whose peer permits no SACK, 20 ms away, with such a connection.
fn near(change: impl FnOnce(&mut ConnConfig)) -> Bench {
    open(with(linux(), change), millis(20))
}

/// When the connection ended, counted from `since`.
fn end(bench: &Bench, since: Instant) -> (u128, CloseReason) {
    let ends = |event: &Event| match event.what {
        What::Closed(reason) => Some((event.at.since(since).as_millis(), reason)),
        _ => None,
    };
    bench.events.iter().find_map(ends).unwrap()
}

/// Measured with Linux 6.18: 1.5 s after the first retransmission, not after the first
/// transmission.
#[test]
fn linux_user_timeout_counts_from_the_first_retransmission() {
    let mut bench = near(|conn| conn.user_timeout = Some(millis(1500)));
    let since = bench.now;
    assert_eq!(
        repetitions(&mut bench, millis(3000)),
        [220, 660, 1540],
        "as without it"
    );
    assert_eq!(end(&bench, since), (1720, CloseReason::UserTimeout));
    let mut rfc = open(
        with(Bench::plain(Profile::Rfc9293), |conn| {
            conn.user_timeout = Some(millis(1500))
        }),
        millis(20),
    );
    let since = rfc.now;
    repetitions(&mut rfc, millis(3000));
    assert_eq!(end(&rfc, since), (1500, CloseReason::UserTimeout));
}

#[test]
fn linux_user_timeout_of_a_syn_counts_from_the_first_one() {
    let mut bench = Bench::new(with(linux(), |conn| conn.user_timeout = Some(millis(2500))));
    bench.connect();
    let since = bench.now;
    assert_eq!(times(since, &bench.run(millis(4000))), [1000, 2000]);
    assert_eq!(end(&bench, since), (2500, CloseReason::UserTimeout));
}

#[test]
fn linux_user_timeout_limits_zero_window_probes_from_the_first_one_answered_or_not() {
    for answered in [false, true] {
        let mut bench = near(|conn| conn.user_timeout = Some(millis(1500)));
        bench.window = 0;
        bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK, b"");
        bench.send(b"stuck");
        let since = bench.now;
        let mut probes = Vec::new();
        for _ in 0..3000 {
            let sent = bench.run(millis(1));
            probes.extend(times(since, &sent));
            if answered && !sent.is_empty() {
                bench.say(bench.header(bench.rcv_nxt, bench.snd_nxt, ACK), b"");
            }
        }
        assert_eq!(probes, [220, 660, 1540], "{answered}");
        assert_eq!(end(&bench, since), (1720, CloseReason::UserTimeout));
    }
}

#[test]
fn linux_interval_of_zero_window_probes_counts_from_the_answer() {
    for (interval, expected) in [
        (ProbeInterval::FromAnswer, [220, 760, 1740]),
        (ProbeInterval::FromProbe, [220, 660, 1540]),
    ] {
        let mut bench = near(|conn| conn.probe_interval = interval);
        bench.window = 0;
        bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK, b"");
        bench.send(b"stuck");
        let since = bench.now;
        let mut probes = Vec::new();
        for _ in 0..3 {
            let probe = loop {
                let sent = bench.run(millis(1));
                if !sent.is_empty() {
                    break sent;
                }
            };
            probes.extend(times(since, &probe));
            bench.run(millis(100));
            bench.say(bench.header(bench.rcv_nxt, bench.snd_nxt, ACK), b"");
        }
        assert_eq!(probes, expected, "{interval:?}");
    }
}

#[test]
fn linux_keepalive_heeds_the_user_timeout_instead_of_the_number_of_probes() {
    let keepalive = KeepAlive {
        idle: millis(1000),
        interval: millis(1000),
        probes: 9,
    };
    for (give_up, expected) in [(GiveUp::Time, 3000), (GiveUp::Count, 10_000)] {
        let mut bench = near(|conn| {
            conn.keepalive = Some(keepalive);
            conn.user_timeout = Some(millis(2500));
            conn.give_up = give_up;
        });
        let since = bench.now;
        bench.run(Duration::from_secs(20));
        assert_eq!(
            end(&bench, since),
            (expected, CloseReason::KeepAliveTimeout)
        );
    }
}

/// `tcp_model_timeout`: with R2 = 3 it is 3 s, whatever the timeouts are.
#[test]
fn linux_r2_is_a_time_from_the_first_retransmission_on() {
    for (rtt, retransmissions, expected) in [(20, 3, 3300), (300, 2, 6300)] {
        let mut bench = open(with(linux(), |conn| conn.r2 = 3), millis(rtt));
        let since = bench.now;
        let sent = repetitions(&mut bench, Duration::from_secs(60));
        assert_eq!(sent.len(), retransmissions, "{rtt}: {sent:?}");
        let reason = CloseReason::RetransmissionTimeout;
        assert_eq!(end(&bench, since), (expected, reason), "{rtt}");
    }
}

#[test]
fn linux_override_of_a_small_window_comes_after_a_timeout() {
    let mut bench = near(|conn| conn.no_delay = false);
    // A smaller window counts with an ACK of something new.
    bench.window = 100;
    exchange(&mut bench, millis(20));
    assert_eq!(bench.send(&[7; 1000]), []);
    let since = bench.now;
    let sent = bench.run(millis(300));
    assert_eq!(times(since, &sent), [220]);
    assert_eq!(sent[0].text.len(), 100);
}

/// `tcp_ack_probe`: any ACK that is not old starts the wait anew, also one that the window is not
/// taken from, as its text is older than that of another before it.
#[test]
fn linux_any_ack_restarts_the_wait_for_a_window() {
    for (interval, expected) in [
        (ProbeInterval::FromAnswer, 320),
        (ProbeInterval::FromProbe, 220),
    ] {
        for (window, text) in [(0, 5), (100, 1000)] {
            let mut bench = near(|conn| {
                conn.no_delay = false;
                conn.probe_interval = interval;
            });
            bench.window = 100;
            exchange(&mut bench, millis(20));
            bench.window = window;
            bench.arrive(bench.rcv_nxt + 10, bench.snd_nxt, ACK, b"");
            assert_eq!(bench.send(&vec![7; text]), []);
            let since = bench.now;
            bench.run(millis(99));
            bench.window = 65_000;
            let sent = bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK, b"");
            assert_eq!(sent, [], "it is older than the last one");
            let sent = bench.run(millis(300));
            assert_eq!(
                times(since, &sent[..1]),
                [expected],
                "{interval:?} {window}"
            );
        }
    }
}

/// The SYN,ACK of a simultaneous open counts as sent once, whatever timestamp is echoed: 100 ms, and
/// not 500.
#[test]
fn linux_simultaneous_open_gives_a_round_trip_time_from_the_syn_ack_on() {
    for (samples, stamped, expected) in [
        (Samples::CrossedSyn, false, 300),
        (Samples::CrossedSyn, true, 300),
        (Samples::Unambiguous, false, 1000),
        (Samples::Unambiguous, true, 1500),
    ] {
        let mut bench = Bench::new(with(linux(), |conn| {
            conn.timestamps = stamped;
            conn.rto.samples = samples;
        }));
        bench.stamp = stamped.then_some(1);
        let offered = bench.connect()[0].header.options.timestamps;
        bench.now = bench.now + millis(399);
        bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
        bench.now = bench.now + millis(100);
        let mut ack = bench.header(PEER_ISS + 1, bench.snd_nxt, ACK);
        if let (Some(stamps), Some(offered)) = (&mut ack.options.timestamps, offered) {
            stamps.echo = offered.value;
        }
        bench.say(ack, b"");
        let sent = repetitions(&mut bench, millis(2000));
        assert_eq!(sent[0], expected, "{samples:?} {stamped}");
    }
}

/// The causes and times of what is sent within a second from `since`.
fn causes(bench: &mut Bench, since: Instant) -> Vec<(Cause, u128)> {
    let sent = bench.run(millis(1000) - bench.now.since(since));
    let causes = sent.iter().map(|sent| sent.label.cause);
    causes.zip(times(since, &sent)).collect()
}

/// `tcp_schedule_loss_probe` while a probe is on its way: the probe that the new text asks for is
/// none, and leaves the timeout that counts from the oldest segment.
#[test]
fn linux_text_behind_a_probe_moves_no_timeout() {
    for (probe_timer, expected) in [
        (ProbeTimer::Linux, [220, 660]),
        (ProbeTimer::Rfc8985, [260, 700]),
    ] {
        let mut bench = near(|conn| {
            conn.sack = true;
            conn.probe_timer = probe_timer;
        });
        bench.send(&[7; 3000]);
        let since = bench.now;
        bench.run(millis(60));
        bench.send(b"more");
        let again = [Cause::Retransmission(1), Cause::Retransmission(2)];
        let expected: Vec<_> = again.into_iter().zip(expected).collect();
        assert_eq!(causes(&mut bench, since), expected, "{probe_timer:?}");
    }
}

/// `tcp_write_wakeup` asks for no probe of a tail.
#[test]
fn linux_what_silly_window_avoidance_held_back_is_no_tail() {
    for (shrunk_window, expected) in [
        (ShrunkWindow::Resend, Cause::Retransmission(1)),
        (ShrunkWindow::Probe, Cause::TailLossProbe),
    ] {
        let mut bench = near(|conn| {
            conn.sack = true;
            conn.no_delay = false;
            conn.shrunk_window = shrunk_window;
        });
        bench.window = 100;
        exchange(&mut bench, millis(20));
        assert_eq!(bench.send(&[7; 1000]), []);
        let since = bench.now;
        let sent = causes(&mut bench, since);
        assert_eq!(sent[..2], [(Cause::Call, 220), (expected, 440)]);
    }
}

/// Where no probe has text, a byte that is sent again is no probe, and what Nagle's algorithm holds
/// does not go with it.
#[test]
fn linux_byte_that_is_sent_again_takes_no_new_text_along() {
    let mut bench = near(|conn| conn.no_delay = false);
    bench.send(b"a");
    assert_eq!(bench.send(b"held"), []);
    let sent = bench.run(millis(300));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].text, b"a");
}

/// Both are due in the same slot, as a probe never waits longer than the timeout.
#[test]
fn linux_probe_of_a_tail_comes_in_the_place_of_a_timeout_that_a_slot_joins_with_it() {
    let wheel = with(linux(), |conn| {
        conn.sack = true;
        conn.timer_granularity = TimerGranularity::Wheel;
    });
    for start in 0..256 {
        let mut bench = Bench::new(wheel.clone());
        bench.now = bench.now + millis(start);
        bench.syn_options.sack_permitted = true;
        bench.connect();
        bench.now = bench.now + millis(19);
        bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
        bench.send(&[7; 10]);
        let since = bench.now;
        let sent = bench.run(millis(600));
        let causes: Vec<Cause> = sent.iter().map(|sent| sent.label.cause).collect();
        let expected = [Cause::TailLossProbe, Cause::Retransmission(1)];
        assert_eq!(causes, expected, "{start}");
        let first = times(since, &sent)[0];
        assert!((220..=224).contains(&first), "{start}: {first}");
    }
}

proptest! {
    /// An ACK that is less than 200 ms later than the mean is never waited for in vain: a delayed
    /// ACK, a little jitter.
    #[test]
    fn linux_ack_less_than_200_ms_late_is_no_loss(
        rtt in 5u64..600,
        late in prop::collection::vec(prop_oneof![3 => Just(0u64), 1 => 0u64..170], 1..60),
        sack: bool,
    ) {
        let mut bench = open(with(linux(), |conn| conn.sack = sack), millis(rtt));
        for late in late {
            prop_assert_eq!(exchange(&mut bench, millis(rtt + late)), []);
        }
    }
}

/// `tcp_check_req` moves the timer of a request when the SYN comes again (RFC 9293 knows of no
/// SYN,ACK that goes again then).
#[test]
fn linux_repeated_syn_restarts_the_timer_of_the_syn_ack() {
    let mut bench = Bench::new(linux());
    bench.enter("SYN-RECEIVED(passive)");
    bench.now = bench.now + millis(599);
    assert_eq!(bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"").len(), 1);
    let since = bench.now;
    assert_eq!(times(since, &bench.run(millis(1100))), [1000]);
}

/// `tcp_schedule_loss_probe`: twice the round trip and `TCP_TIMEOUT_MIN_US`, 42 ms, which are eleven
/// ticks of the wheel.
#[test]
fn linux_probe_waits_two_round_trips_and_two_milliseconds() {
    let wheel = with(linux(), |conn| {
        conn.sack = true;
        conn.timer_granularity = TimerGranularity::Wheel;
    });
    let mut bench = open(wheel, millis(20));
    bench.send(&[7; 3000]);
    let since = bench.now;
    let sent = times(since, &bench.run(millis(100)));
    assert!(matches!(sent[..], [44..=48]), "{sent:?}");
}
