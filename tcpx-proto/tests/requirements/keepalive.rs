//! Section 3.8.4: keepalive.

use super::*;

/// Proves MUST-25.
#[test]
fn must_25_keepalive_is_off_by_default() {
    let mut bench = open(rfc());
    assert_eq!(bench.run(secs(30 * 24 * 3600)), []);
}

/// Proves MUST-27, MUST-28, MAY-5.
#[test]
fn must_24_27_28_keepalive_waits_two_hours_or_what_is_asked_for() {
    let first = |keepalive| {
        let mut bench = open(with(plain(), |conn| conn.keepalive = Some(keepalive)));
        let start = bench.now;
        times(start, &bench.run(secs(8000)))[0]
    };
    assert_eq!(first(KeepAlive::default()), 7_200_000);
    assert_eq!(
        first(KeepAlive {
            idle: secs(10),
            ..KeepAlive::default()
        }),
        10_000
    );
}

/// Proves MUST-26.
#[test]
fn must_26_keepalive_waits_while_something_is_outstanding_or_arrives() {
    let keepalive = KeepAlive {
        idle: secs(10),
        interval: secs(1),
        probes: 2,
    };
    let mut bench = open(with(plain(), |conn| conn.keepalive = Some(keepalive)));
    for _ in 0..10 {
        assert_eq!(bench.run(secs(9)), []);
        bench.acknowledge();
    }
    bench.send(b"x");
    assert!(
        bench
            .run(secs(100))
            .iter()
            .all(|sent| sent.label.cause != Cause::KeepAlive)
    );
}

/// Proves MUST-29, SHLD-12.
#[test]
fn must_29_shld_12_answered_or_single_lost_probes_end_nothing_and_probes_are_empty() {
    let keepalive = KeepAlive {
        idle: secs(10),
        interval: secs(1),
        probes: 1,
    };
    let mut bench = open(with(plain(), |conn| conn.keepalive = Some(keepalive)));
    let nxt = bench.snd_nxt;
    for _ in 0..5 {
        let sent = bench.run(millis(10_900));
        assert_eq!(seqs(&sent), [(nxt.back(1), 0)]);
        bench.acknowledge();
    }
    bench.run(millis(11_900));
    assert_eq!(ended(&bench), None, "one lost probe does not end it");
    bench.run(secs(60));
    assert_eq!(
        ended(&bench),
        Some(CloseReason::KeepAliveTimeout),
        "but a missing peer is detected"
    );
}

/// Proves MUST-24.
#[test]
fn must_24_keepalive_is_a_matter_of_each_connection() {
    for on in [true, false] {
        let keepalive = on.then(KeepAlive::default);
        let mut bench = open(with(plain(), |conn| conn.keepalive = keepalive));
        assert_eq!(bench.run(secs(8000)).is_empty(), !on);
    }
}
