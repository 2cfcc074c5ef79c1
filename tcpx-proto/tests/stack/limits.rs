//! Limits, deadlines, identifications.

use super::*;

#[test]
fn ids_are_never_given_again() {
    let mut bench = Bench::new(Config::default());
    let mut ids = HashSet::new();
    for _ in 0..100 {
        let id = bench.connect(40_000, peer()).unwrap();
        assert!(ids.insert(id.number()));
        bench.stack.abort(bench.now, id).unwrap();
        assert_eq!(
            bench.stack.send(bench.now, id, b"x"),
            Err(CallError::NoConnection)
        );
        assert_eq!(bench.stack.status(id), None);
    }
}

#[test]
fn limits_of_connections_and_memory_refuse_a_connect() {
    let mut bench = Bench::new(Config {
        max_connections: 2,
        ..Config::default()
    });
    bench.connect(0, peer()).unwrap();
    let second = bench.connect(0, peer()).unwrap();
    assert_eq!(bench.connect(0, peer()), Err(CallError::Limit));
    bench.stack.abort(bench.now, second).unwrap();
    assert!(bench.connect(0, peer()).is_ok());

    let mut bench = Bench::new(Config {
        max_memory: 10_000,
        ..Config::default()
    });
    bench.listen(5);
    let id = bench.enter(9000);
    let room =
        std::iter::from_fn(|| bench.stack.send(bench.now, id, &[0; 1000]).ok()).sum::<usize>();
    assert!((1..=20_000).contains(&room), "{room}");
    // Others may still have a little: one that takes all must not stop them.
    bench.drain();
    let other = bench.enter(9001);
    let least = bench.stack.config().least_memory;
    assert_eq!(bench.stack.send(bench.now, other, &[0; 10_000]), Ok(least));
    assert_eq!(
        bench.stack.send(bench.now, other, &[0]),
        Err(CallError::WouldBlock)
    );
    bench.stack.abort(bench.now, id).unwrap();
    assert!(bench.stack.send(bench.now, other, &[0]).is_ok());
}

#[test]
fn memory_that_is_used_up_resets_a_connection_that_closes_with_text() {
    let mut bench = Bench::new(Config {
        max_memory: 10_000,
        ..Config::default()
    });
    bench.listen(5);
    let [first, second] = [9000, 9001].map(|port| bench.enter(port));
    while bench.stack.send(bench.now, first, &[0; 1000]).is_ok() {}
    bench.drain();
    bench.stack.close(bench.now, second).unwrap();
    assert_eq!(bench.state(second), Some(State::FinWait1));
    bench.drain();
    bench.stack.close(bench.now, first).unwrap();
    assert_eq!(bench.state(first), None);
    assert!(bench.drain().iter().any(|sent| sent.flags == RST_ACK));
}

/// Closed by us, and not by the peer.
#[test]
fn orphans_past_their_limit_are_reset_and_those_that_ended_do_not_count() {
    let mut bench = Bench::new(Config {
        max_orphans: 2,
        ..Config::default()
    });
    bench.listen(9);
    let ids = [9000, 9001, 9002, 9003].map(|port| bench.enter(port));
    let mut fins = Vec::new();
    for id in &ids[..2] {
        bench.stack.close(bench.now, *id).unwrap();
        assert_eq!(bench.state(*id), Some(State::FinWait1));
        fins.extend(bench.drain());
    }
    bench.stack.close(bench.now, ids[2]).unwrap();
    assert_eq!(bench.state(ids[2]), None);
    assert_eq!(bench.drain()[0].flags, RST_ACK);
    // The ACK of a FIN makes an orphan as little as a TIME-WAIT is.
    bench.say(from(9000, Flags::ACK, 101, fins[0].seq.0 + 1), &[]);
    assert_eq!(bench.state(ids[0]), Some(State::FinWait2));
    bench.stack.close(bench.now, ids[3]).unwrap();
    assert_eq!(bench.state(ids[3]), Some(State::FinWait1));
}

#[test]
fn time_wait_past_its_limit_ends_at_once() {
    for max_time_wait in [1, 2] {
        let mut bench = Bench::new(Config {
            max_time_wait,
            ..Config::default()
        });
        bench.listen(9);
        let ids = [9000, 9001].map(|port| bench.enter(port));
        for (id, port) in ids.into_iter().zip(9000..) {
            bench.stack.close(bench.now, id).unwrap();
            let fin = bench.drain()[0];
            let sent = bench.say(from(port, FIN_ACK, 101, fin.seq.0 + 1), &[]);
            assert_eq!(sent[0].flags, Flags::ACK);
        }
        // The next slot of Linux's timer wheel.
        bench.wait(Duration::from_millis(4));
        assert_eq!(bench.state(ids[0]), Some(State::TimeWait));
        let second = (max_time_wait > 1).then_some(State::TimeWait);
        assert_eq!(bench.state(ids[1]), second);
        bench.wait(Duration::from_millis(62_048));
        assert_eq!(bench.stack.connections().count(), 0);
    }
}

#[test]
fn deadline_is_never_late_and_early_calls_do_nothing() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(40_000, peer()).unwrap();
    bench.drain();
    let due = bench.stack.status(id).unwrap().deadline.unwrap();
    assert_eq!(bench.stack.deadline(), Some(due));
    bench.now = Instant(due.0 - 1);
    bench.stack.timeout(bench.now);
    assert_eq!(bench.drain(), []);
    bench.now = due;
    bench.stack.timeout(bench.now);
    assert_eq!(bench.drain().len(), 1);
    // The SYN,ACK stops the timer: what is left in the heap fires for nothing, once.
    bench.say(
        header(
            peer(),
            (US, 40_000).into(),
            SYN_ACK,
            200,
            bench.stack.status(id).unwrap().snd_nxt.0,
        ),
        &[],
    );
    while let Some(next) = bench.stack.deadline() {
        bench.now = bench.now.max(next);
        bench.stack.timeout(bench.now);
        assert_eq!(bench.drain(), []);
    }
}

#[test]
fn timers_without_an_interval_do_not_stop_the_world() {
    let keepalive = KeepAlive {
        idle: Duration::ZERO,
        interval: Duration::ZERO,
        probes: 9,
    };
    let mut bench = Bench::new(small(ConnConfig {
        keepalive: Some(keepalive),
        ..ConnConfig::default()
    }));
    bench.listen(5);
    let id = bench.enter(9000);
    bench.stack.send(bench.now, id, b"text").unwrap();
    bench.drain();
    bench.stack.timeout(bench.now);
    assert_eq!(bench.state(id), Some(State::Established));
}

#[test]
fn transmits_name_the_packet_that_provoked_them_and_an_identification() {
    let mut bench = Bench::new(Config::default());
    bench.listen(5);
    for port in 9000..9003 {
        let mut packet = [0; 100];
        let len = from(port, Flags::SYN, 1, 0)
            .emit((&[], &[]), &mut packet)
            .unwrap();
        bench.stack.packet_arrives(bench.now, &packet[..len]);
        let sent = bench.transmits();
        assert_eq!(
            sent.iter()
                .map(|(transmit, _)| transmit.packet)
                .collect::<Vec<_>>(),
            [Some(u64::from(port - 8999))]
        );
        assert!(sent[0].1.id != 0);
    }
    let id = bench.connect(40_000, peer()).unwrap();
    let sent = bench.transmits();
    assert_eq!(sent[0].0.conn, Some(id));
    assert_eq!(sent[0].0.packet, None);
}

#[test]
fn identifications_never_repeat_within_a_round_nor_are_zero() {
    let mut bench = Bench::new(Config::default());
    let ids: Vec<u16> = (0..65_535)
        .map(|_| bench.say(from(9000, Flags::SYN, 1, 0), &[])[0].id)
        .collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 65_535);
    assert!(!ids.contains(&0));
}

#[test]
fn a_buffer_too_short_loses_the_answer_and_is_counted() {
    let mut bench = Bench::new(Config::default());
    let mut packet = [0; 100];
    for port in [9000, 9001] {
        let len = from(port, Flags::SYN, 1, 0)
            .emit((&[], &[]), &mut packet)
            .unwrap();
        bench.stack.packet_arrives(bench.now, &packet[..len]);
    }
    assert_eq!(bench.stack.poll_transmit(bench.now, &mut [0; 10]), None);
    assert_eq!(bench.stack.counters().transmit_failures, 2);
}
