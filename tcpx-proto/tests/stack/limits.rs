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
    assert_eq!(bench.connect(0, peer()), Err(CallError::Limit));
    bench.stack.abort(bench.now, id).unwrap();
    assert!(bench.connect(0, peer()).is_ok());
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
