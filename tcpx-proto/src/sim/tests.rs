//! Whole runs of the simulation.

use super::*;
use crate::config::Isn;
use crate::event::What;
use crate::script::Step;
use crate::seq::Seq;
use crate::state::State;
use crate::trace::{Observed, ObservedSegment};
use crate::wire::{Flags, IcmpKind, icmp_error};
use alloc::string::{String, ToString};
use alloc::vec;
use core::net::Ipv4Addr;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const DELAY: Duration = Duration::from_millis(10);
const MINUTES: Duration = Duration::from_secs(300);

fn server() -> SocketAddr {
    SocketAddr::new(SERVER, 7000)
}

fn pair() -> (Sim, HostId, HostId) {
    let mut sim = Sim::new(1);
    let client = sim.add_host(CLIENT, Config::default(), 2, Vec::new());
    let server = sim.add_host(SERVER, Config::default(), 3, Vec::new());
    sim.link(client, server, Link::new(DELAY));
    sim.link(server, client, Link::new(DELAY * 2));
    (sim, client, server)
}

/// A connection between two scripts, up to the end of `limit`; its name at either end.
fn run(client: Vec<Step>, server: Vec<Step>, limit: Duration) -> (Sim, [(HostId, ConnId); 2]) {
    let (mut sim, a, b) = pair();
    let config = ConnConfig::default();
    sim.listen(b, 7000, 1, &config, Script { steps: server })
        .unwrap();
    let conn = sim.connect(a, 0, self::server(), &config).unwrap();
    sim.spawn(a, conn, Script { steps: client });
    sim.run_until(|_| false, limit);
    let accepted = sim.connections(b).next().unwrap();
    (sim, [(a, conn), (b, accepted)])
}

fn state(sim: &Sim, (host, conn): (HostId, ConnId)) -> Option<State> {
    sim.stack(host)?.status(conn).map(|status| status.state)
}

/// When, at which host, which way, which flags.
fn segments(sim: &Sim) -> Vec<(u64, usize, bool, String)> {
    let of = |seen: &Observation| {
        let (host, ObservedSegment { record, .. }) = seen.segment()?;
        let flags = record.flags.to_string();
        Some((record.at.millis(), host.0, record.out, flags))
    };
    sim.trace().iter().filter_map(of).collect()
}

/// What is the same with and without a trace.
type Outcome = (Instant, Vec<(Option<CloseReason>, Vec<u8>)>);

/// Ten connections across links and gates that lose, duplicate and delay.
fn bad_network(mut sim: Sim) -> Outcome {
    let rules = [
        "rate=10% drop any data",
        "rate=5% dup=1 out segment",
        "delay=30ms out fin#2",
    ];
    let rules = rules.map(|rule| FaultRule::parse(rule).unwrap()).to_vec();
    let hosts =
        [CLIENT, SERVER].map(|address| sim.add_host(address, Config::default(), 7, rules.clone()));
    let bad = Link {
        loss: 50,
        duplicate: 50,
        reorder: 100,
        late: DELAY,
        ..Link::new(DELAY)
    };
    for (from, to) in [(0, 1), (1, 0)] {
        sim.link(hosts[from], hosts[to], bad);
    }
    let config = ConnConfig::default();
    let answer = Script {
        steps: vec![Step::ReceiveToEnd, Step::Send(vec![9; 3000]), Step::Close],
    };
    let ask = Script {
        steps: vec![
            Step::Send(vec![7; 5000]),
            Step::Shutdown,
            Step::ReceiveToEnd,
        ],
    };
    sim.listen(hosts[1], 7000, 10, &config, answer).unwrap();
    for _ in 0..10 {
        let conn = sim.connect(hosts[0], 0, server(), &config).unwrap();
        sim.spawn(hosts[0], conn, ask.clone());
    }
    while sim.step() {}
    let of = |host| {
        let ids = sim.connections(host);
        ids.map(|id| (sim.closed(host, id), sim.received(host, id).to_vec()))
            .collect::<Vec<_>>()
    };
    (sim.now(), hosts.map(of).concat())
}

#[test]
fn run_without_a_trace_is_the_same_run() {
    for seed in 1..20 {
        let traced = bad_network(Sim::new(seed));
        assert_eq!(traced.1.len(), 20);
        assert!(
            traced == bad_network(Sim::without_trace(seed)),
            "seed {seed}"
        );
    }
}

#[test]
fn handshake_takes_the_time_of_the_links() {
    let (mut sim, a, b) = pair();
    sim.listen(b, 7000, 1, &ConnConfig::default(), Script::default())
        .unwrap();
    let conn = sim.connect(a, 0, server(), &ConnConfig::default()).unwrap();
    let accepted = |sim: &Sim| {
        sim.connections(b)
            .any(|id| state(sim, (b, id)) == Some(State::Established))
    };
    assert!(sim.run_until(accepted, MINUTES));
    assert_eq!(sim.now().millis(), 40);
    assert_eq!(state(&sim, (a, conn)), Some(State::Established));
    let expected = [
        (0, 0, true, "S"),
        (10, 1, false, "S"),
        (10, 1, true, "SA"),
        (30, 0, false, "SA"),
        (30, 0, true, "A"),
        (40, 1, false, "A"),
    ];
    assert_eq!(
        segments(&sim),
        expected.map(|(at, host, out, flags)| (at, host, out, flags.to_string()))
    );
}

#[test]
fn segment_that_arrives_names_the_one_that_departed() {
    let (sim, _) = run(
        vec![Step::Send(b"hello".to_vec()), Step::Close],
        vec![Step::ReceiveToEnd, Step::Close],
        MINUTES,
    );
    let mut arrivals = 0;
    for seen in sim.trace() {
        let Observation::Host {
            host,
            observed: Observed::Segment(ObservedSegment { record, .. }),
            departed: Some(departed),
        } = seen
        else {
            continue;
        };
        let Some(Observation::Host {
            host: from,
            observed: Observed::Segment(ObservedSegment { record: sent, .. }),
            departed: None,
        }) = sim.trace().get(*departed)
        else {
            panic!()
        };
        assert!(sent.out && !record.out && from != host);
        assert_eq!(
            (sent.id, sent.seq, sent.flags),
            (record.id, record.seq, record.flags)
        );
        let link = if from.0 == 0 { DELAY } else { DELAY * 2 };
        assert_eq!(record.at.since(sent.at), link);
        arrivals += 1;
    }
    assert!(arrivals >= 7, "{arrivals}");
}

#[test]
fn echo_comes_back_and_both_close() {
    let says = Step::Send(b"hello".to_vec());
    let hears = Step::Receive(5);
    let client = vec![says.clone(), hears.clone(), says, hears, Step::Close];
    let (sim, ends) = run(client, vec![Step::Echo, Step::Close], MINUTES);
    for (host, conn) in ends {
        assert_eq!(sim.received(host, conn), b"hellohello");
        assert_eq!(
            (sim.closed(host, conn), sim.failed(host, conn)),
            (Some(CloseReason::Clean), None)
        );
        assert_eq!(
            state(&sim, (host, conn)),
            None,
            "the stack has forgotten it"
        );
    }
}

#[test]
fn receive_takes_no_more_than_it_asks_for_and_sleep_no_less_time() {
    let sleep = Step::Sleep(Duration::from_secs(5));
    let (sim, [client, _]) = run(
        vec![Step::Receive(3), sleep, Step::Abort],
        vec![Step::Send(b"hello".to_vec())],
        MINUTES,
    );
    assert_eq!(sim.received(client.0, client.1), b"hel");
    let reset = segments(&sim)
        .into_iter()
        .find(|(_, _, out, flags)| *out && flags.contains('R'));
    // SYN 10 ms, SYN,ACK 20 ms, ACK 10 ms, text 20 ms, and then the sleep.
    assert_eq!(reset.map(|(at, host, ..)| (at, host)), Some((5060, 0)));
}

#[test]
fn stall_lasts_and_a_peer_that_vanishes_says_nothing() {
    let client = vec![
        Step::Sleep(Duration::from_secs(1)),
        Step::GoSilent,
        Step::Send(b"lost".to_vec()),
        Step::Close,
    ];
    let (sim, [client, server]) = run(client, vec![Step::StopReading, Step::Close], MINUTES * 10);
    assert_eq!(state(&sim, server), Some(State::Established));
    assert_eq!(sim.received(server.0, server.1), b"");
    assert_eq!(segments(&sim).len(), 6, "the handshake and nothing else");
    assert_eq!(
        sim.closed(client.0, client.1),
        Some(CloseReason::RetransmissionTimeout)
    );
}

#[test]
fn connect_without_listener_is_refused_and_the_script_does_not_go_on() {
    let (mut sim, a, _) = pair();
    let conn = sim.connect(a, 0, server(), &ConnConfig::default()).unwrap();
    sim.spawn(
        a,
        conn,
        Script {
            steps: vec![Step::Send(b"hello".to_vec()), Step::Close],
        },
    );
    assert!(sim.run_until(|sim| sim.closed(a, conn).is_some(), MINUTES));
    assert_eq!(
        sim.failed(a, conn),
        Some(&StepError::Call(CallError::Ended(CloseReason::Refused)))
    );
}

#[test]
fn connect_to_nobody_is_lost_and_times_out() {
    let (mut sim, a, _) = pair();
    let conn = sim
        .connect(
            a,
            0,
            "10.0.0.9:7000".parse().unwrap(),
            &ConnConfig::default(),
        )
        .unwrap();
    assert!(sim.run_until(
        |sim| sim.closed(a, conn) == Some(CloseReason::ConnectTimeout),
        MINUTES
    ));
    let lost = sim
        .trace()
        .iter()
        .filter(|seen| matches!(seen, Observation::Lost { .. }))
        .count();
    assert_eq!(lost, 1 + ConnConfig::default().syn_retries as usize);
}

#[test]
fn icmp_error_injected_reaches_the_tcp_and_is_no_segment() {
    let (mut sim, a, _) = pair();
    let config = ConnConfig {
        isn: Isn::Fixed(Seq(100)),
        ..ConnConfig::default()
    };
    let conn = sim
        .connect(a, 40_000, "10.0.0.9:7000".parse().unwrap(), &config)
        .unwrap();
    let syn = sim.trace().iter().find_map(|seen| {
        let (_, segment) = seen.segment()?;
        Some(segment.packet.clone())
    });
    let router = Ipv4Addr::new(10, 0, 0, 66);
    let local = Ipv4Addr::new(10, 0, 0, 1);
    let before = segments(&sim).len();
    sim.inject(a, icmp_error(router, local, [3, 1], 0, &syn.unwrap()));
    assert_eq!(
        sim.closed(a, conn),
        Some(CloseReason::Unreachable(IcmpKind::Unreachable(1)))
    );
    assert_eq!(segments(&sim).len(), before);
}

#[test]
fn syn_of_the_next_incarnation_is_noted_as_that_of_the_connection_that_it_opens() {
    let (mut sim, a, b) = pair();
    sim.listen(
        b,
        7000,
        1,
        &ConnConfig::default(),
        Script {
            steps: vec![Step::Close],
        },
    )
    .unwrap();
    for _ in 0..2 {
        let conn = sim
            .connect(a, 40_000, server(), &ConnConfig::default())
            .unwrap();
        sim.spawn(
            a,
            conn,
            Script {
                steps: vec![Step::ReceiveToEnd, Step::Close],
            },
        );
        assert!(sim.run_until(|sim| sim.closed(a, conn).is_some(), MINUTES));
    }
    let syns = sim.segments(b).filter(|record| record.flags == Flags::SYN);
    let syns = syns.filter_map(|record| record.conn);
    assert_eq!(
        syns.collect::<Vec<_>>(),
        sim.connections(b).collect::<Vec<_>>()
    );
}

#[test]
fn run_until_stops_the_clock_at_its_limit() {
    let (mut sim, a, _) = pair();
    sim.connect(a, 0, server(), &ConnConfig::default()).unwrap();
    assert!(!sim.run_until(|_| false, Duration::from_millis(5)));
    assert_eq!((sim.now().millis(), sim.trace().len()), (5, 4));
    assert!(!sim.run_until(|_| false, MINUTES));
    assert_eq!(
        sim.now(),
        Instant::ZERO + Duration::from_millis(5) + MINUTES
    );
    assert!(!sim.step(), "nothing is left to happen");
}

#[test]
fn call_is_followed_by_what_it_sends() {
    let (mut sim, [(a, conn), _]) = run(Vec::new(), vec![Step::ReceiveToEnd], MINUTES);
    let before = sim.trace().len();
    sim.call(a, |stack, now| stack.send(now, conn, b"hello"))
        .unwrap()
        .unwrap();
    let sent = |seen: &Observation| {
        let record = seen.segment().map(|(_, segment)| &segment.record);
        record.is_some_and(|record| record.out && record.len == 5)
    };
    assert!(sim.trace().get(before..).unwrap().iter().any(sent));
}

#[test]
fn events_come_in_the_order_of_time() {
    let (sim, _) = run(
        vec![Step::Send(vec![7; 100_000]), Step::Close],
        vec![Step::ReceiveToEnd, Step::Close],
        MINUTES,
    );
    assert!(sim.trace().iter().map(Observation::at).is_sorted());
    let closed = |event: &Event| matches!(event.what, What::Closed(_));
    let mut events = [HostId(0), HostId(1)]
        .into_iter()
        .flat_map(|host| sim.events(host));
    assert!(events.any(closed));
}

#[test]
fn script_sets_options_of_its_connection_and_of_its_listener_and_peeks() {
    let (mut sim, client, server) = pair();
    let server_script: Script = "listen 7000; set listener tos 0x28; accept; peek \"hello\"; \
        receive 5; set ttl 9; send \"hi\"; receive to end; close"
        .parse()
        .unwrap();
    let client_script: Script = "connect 10.0.0.2:7000; set no-delay on; set user-timeout 9s; \
        set keepalive 10s 1s 3; send \"hello\"; expect \"hi\"; peek \"!\""
        .parse()
        .unwrap();
    sim.play(server, server_script, Addresses::default());
    sim.play(client, client_script, Addresses::default());
    sim.run_until(|_| false, MINUTES);
    let accepted = sim.connections(server).next().unwrap();
    let config = sim.stack(server).unwrap().config_of(accepted).unwrap();
    assert_eq!((config.tos, config.ttl), (0x28, 9));
    let conn = sim.connections(client).next().unwrap();
    let config = sim.stack(client).unwrap().config_of(conn).unwrap();
    assert!(
        config.no_delay
            && config
                .keepalive
                .is_some_and(|keepalive| keepalive.probes == 3)
    );
    assert_eq!(sim.received(server, accepted), b"hello", "once");
}
