//! Listeners: backlog, accept, and their end.

use super::*;

#[test]
fn accept_gives_the_oldest_first_and_signals_once() {
    let mut bench = Bench::new(Config::default());
    let listener = bench.listen(5);
    assert_eq!(
        bench.stack.accept(bench.now, listener),
        Err(CallError::WouldBlock)
    );
    let first = bench.enter(9000);
    let second = bench.enter(9001);
    let acceptable = bench
        .signals()
        .into_iter()
        .filter(|signal| *signal == Signal::Acceptable(listener))
        .count();
    assert_eq!(acceptable, 1);
    assert_eq!(bench.stack.accept(bench.now, listener), Ok(first));
    assert_eq!(bench.stack.accept(bench.now, listener), Ok(second));
    assert_eq!(
        bench.stack.accept(bench.now, listener),
        Err(CallError::WouldBlock)
    );
}

#[test]
fn listen_twice_on_one_address_is_in_use() {
    let mut bench = Bench::new(Config::default());
    let listener = bench.listen(5);
    let config = ConnConfig::default();
    assert_eq!(
        bench.stack.listen(bench.now, local(), 5, &config),
        Err(CallError::InUse(State::Listen))
    );
    assert_eq!(
        bench
            .stack
            .listen(bench.now, (US, SERVER + 1).into(), 5, &config),
        Err(CallError::NotReserved)
    );
    bench.stack.close_listener(bench.now, listener);
    let again = bench.listen(5);
    assert_ne!(listener, again);
    assert_eq!(
        bench.stack.accept(bench.now, listener),
        Err(CallError::NoConnection)
    );
}

#[test]
fn close_listener_resets_whom_nobody_accepted() {
    let mut bench = Bench::new(Profile::Rfc9293.config());
    let listener = bench.listen(5);
    let accepted = bench.enter(9000);
    assert_eq!(bench.stack.accept(bench.now, listener), Ok(accepted));
    bench.enter(9001);
    bench.syn(9002);
    bench.stack.close_listener(bench.now, listener);
    let mut resets: Vec<_> = bench
        .drain()
        .into_iter()
        .filter(|got| got.flags.contains(Flags::RST))
        .map(|got| got.destination.port())
        .collect();
    resets.sort_unstable();
    assert_eq!(resets, [9001, 9002]);
    assert_eq!(bench.stack.connections().collect::<Vec<_>>(), [accepted]);
}

/// Proves MUST-11.
#[test]
fn syn_received_rst_goes_back_to_listen_and_tells_nobody() {
    let mut bench = Bench::new(Config::default());
    bench.listen(1);
    bench.syn(9000);
    bench.say(from(9000, Flags::RST, 101, 0), &[]);
    assert_eq!(bench.signals(), []);
    assert_eq!(bench.stack.connections().count(), 0);
    // Its place in the backlog is free.
    assert!(bench.syn(9001).is_some());
    assert_eq!(bench.stack.counters().cookies_sent, 0);
}

/// Proves 4987-1.
#[test]
fn backlog_full_drops_a_syn_and_goes_on_when_there_is_room() {
    let mut bench = Bench::new(Config {
        overflow: Overflow::Drop,
        ..Config::default()
    });
    let listener = bench.listen(2);
    let first = bench.syn(9000).unwrap();
    assert!(bench.syn(9001).is_some());
    assert_eq!(bench.syn(9002), None);
    assert_eq!(bench.stack.counters().backlog_drops, 1);
    bench.say(from(9000, Flags::ACK, 101, first.seq.0 + 1), &[]);
    assert!(bench.syn(9002).is_some());
    assert!(bench.stack.accept(bench.now, listener).is_ok());
}

#[test]
fn accept_queue_full_neither_establishes_nor_takes_a_syn() {
    for overflow in [Overflow::Cookies, Overflow::Drop] {
        let mut bench = Bench::new(Config {
            overflow,
            ..Config::default()
        });
        let listener = bench.listen(2);
        let early = bench.syn(8999).unwrap();
        bench.enter(9000);
        bench.enter(9001);
        assert_eq!(bench.syn(9002), None, "{overflow:?}");
        bench.say(from(8999, Flags::ACK, 101, early.seq.0 + 1), &[]);
        let id = bench
            .stack
            .lookup(FourTuple {
                local: local(),
                remote: (PEER, 8999).into(),
            })
            .unwrap();
        assert_eq!(bench.state(id), Some(State::SynReceived));
        // Once there is room the ACK, sent again, does it.
        bench.stack.accept(bench.now, listener).unwrap();
        bench.say(from(8999, Flags::ACK, 101, early.seq.0 + 1), &[]);
        assert_eq!(bench.state(id), Some(State::Established));
    }
}

#[test]
fn without_a_backlog_bound_every_syn_gets_a_record_up_to_the_limit() {
    let mut bench = Bench::new(Config {
        overflow: Overflow::Unbounded,
        max_connections: 20,
        ..Config::default()
    });
    bench.listen(1);
    for port in 9000..9010 {
        let id = bench.enter(port);
        assert_eq!(bench.state(id), Some(State::Established));
    }
    assert!((9010..9020).all(|port| bench.syn(port).is_some()));
    bench.discards();
    assert_eq!(bench.syn(9020), None);
    assert_eq!(bench.discards(), [Discard::Limit]);
}
