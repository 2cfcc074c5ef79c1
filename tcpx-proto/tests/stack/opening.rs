//! Active OPEN: initial sequence numbers, ports, refusals.

use super::*;

/// Proves 6528-3.
#[test]
fn isn_of_the_same_four_tuple_grows_with_the_clock() {
    let mut bench = Bench::new(Config::default());
    let mut iss = || {
        let id = bench.connect(40_000, peer()).unwrap();
        let iss = bench.stack.status(id).unwrap().iss;
        bench.stack.abort(bench.now, id).unwrap();
        bench.drain();
        bench.now = bench.now + Duration::from_millis(4);
        iss
    };
    let first = iss();
    let second = iss();
    assert_eq!(second, first + 1000);
}

#[test]
fn isn_of_another_four_tuple_or_seed_lies_elsewhere_unless_fixed() {
    let iss = |isn, seed, port| {
        let mut stack = Stack::new(Config::default(), seed);
        stack.reserve(US, CLIENTS);
        let config = ConnConfig {
            isn,
            ..ConnConfig::default()
        };
        let id = stack
            .connect(
                Instant(8_000),
                FourTuple {
                    local: (US, port).into(),
                    remote: peer(),
                },
                &config,
            )
            .unwrap();
        stack.status(id).unwrap().iss
    };
    assert_ne!(iss(Isn::Rfc6528, 1, 40_000), iss(Isn::Rfc6528, 1, 40_001));
    assert_ne!(iss(Isn::Rfc6528, 1, 40_000), iss(Isn::Rfc6528, 2, 40_000));
    assert_eq!(iss(Isn::Clock, 1, 40_000), Seq(2));
    assert_eq!(iss(Isn::Fixed(Seq(5)), 1, 40_000), Seq(5));
}

/// Proves 6056-1.
#[test]
fn connect_picks_each_reserved_port_once_in_another_order_for_each_seed() {
    let order = |seed| {
        let mut stack = Stack::new(Config::default(), seed);
        stack.reserve(US, CLIENTS);
        let mut connect = || {
            stack.connect(
                Instant::ZERO,
                FourTuple {
                    local: (US, 0).into(),
                    remote: peer(),
                },
                &ConnConfig::default(),
            )
        };
        let ids: Vec<_> = CLIENTS.map(|_| connect().unwrap()).collect();
        assert_eq!(connect(), Err(CallError::PortsExhausted));
        // Towards another peer they are all free.
        assert!(
            stack
                .connect(
                    Instant::ZERO,
                    FourTuple {
                        local: (US, 0).into(),
                        remote: (PEER, 80).into()
                    },
                    &ConnConfig::default()
                )
                .is_ok()
        );
        ids.iter()
            .map(|id| stack.status(*id).unwrap().local.port())
            .collect::<Vec<_>>()
    };
    let orders: HashSet<_> = (0..20).map(order).collect();
    assert!(orders.len() > 1);
    assert!(
        orders
            .iter()
            .all(|order| order.iter().collect::<HashSet<_>>().len() == 10)
    );
}

/// Proves 6056-1.
#[test]
fn connect_finds_the_last_free_port_of_all_without_delay() {
    let mut bench = Bench::new(Config::default());
    bench.stack.reserve(PEER, 1..=u16::MAX);
    bench
        .stack
        .listen(bench.now, (PEER, 1).into(), 1, &ConnConfig::default())
        .unwrap();
    let mut ports = HashSet::new();
    for _ in 2..=u16::MAX {
        let tuple = FourTuple {
            local: (PEER, 0).into(),
            remote: local(),
        };
        let id = bench
            .stack
            .connect(bench.now, tuple, &ConnConfig::default())
            .unwrap();
        ports.insert(bench.stack.status(id).unwrap().local.port());
    }
    assert_eq!(ports.len(), usize::from(u16::MAX) - 1);
    assert!(!ports.contains(&1));
}

/// Proves 6056-1.
#[test]
fn connect_takes_the_port_that_was_left_longest_ago() {
    let mut bench = Bench::new(Config::default());
    let mut port = || {
        let id = bench.connect(0, peer()).unwrap();
        let port = bench.stack.status(id).unwrap().local.port();
        bench.stack.abort(bench.now, id).unwrap();
        port
    };
    // The clients' ports and the server's.
    let all = CLIENTS.count() + 1;
    let once: Vec<_> = (0..all).map(|_| port()).collect();
    assert_eq!(once.iter().collect::<HashSet<_>>().len(), all);
    assert_eq!((0..all).map(|_| port()).collect::<Vec<_>>(), once);
}

/// Proves MUST-46.
#[test]
fn connect_to_what_is_no_host_is_refused() {
    let mut bench = Bench::new(Config::default());
    for remote in [
        "0.0.0.0:80",
        "255.255.255.255:80",
        "224.0.0.1:80",
        "10.0.0.2:0",
        "[::1]:80",
    ] {
        assert_eq!(
            bench.connect(40_000, remote.parse().unwrap()),
            Err(CallError::BadRemote),
            "{remote}"
        );
    }
    assert_eq!(bench.connect(50_000, peer()), Err(CallError::NotReserved));
    let elsewhere = (Ipv4Addr::new(10, 0, 0, 9), 0).into();
    assert_eq!(
        bench.stack.connect(
            bench.now,
            FourTuple {
                local: elsewhere,
                remote: peer()
            },
            &ConnConfig::default()
        ),
        Err(CallError::NotReserved)
    );
}
