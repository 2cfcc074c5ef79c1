//! Two endpoints and a wire without delay.

use super::*;
use crate::config::Config;
use crate::event::SegmentRecord;
use crate::time::Duration;
use alloc::boxed::Box;
use alloc::string::ToString;

/// The segments that an endpoint's observer saw, in order.
fn segments(endpoint: &Endpoint<Vec<Observed>>) -> Vec<SegmentRecord> {
    let observed = endpoint.observer.iter();
    observed.filter_map(Observed::segment).cloned().collect()
}

/// Two hosts and a wire without delay.
struct Pair {
    now: Instant,
    client: Endpoint<Vec<Observed>>,
    server: Endpoint<Vec<Observed>>,
}

const CLIENT: &str = "10.0.0.1:4000";
const SERVER: &str = "10.0.0.2:80";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn endpoint<O: Observer>(own: SocketAddr, faults: &[&str], observer: O) -> Endpoint<O> {
    let mut stack = Stack::new(Config::default(), u64::from(own.port()));
    stack.reserve(own.ip(), own.port()..=own.port());
    let rules = faults.iter().map(|line| FaultRule::parse(line).unwrap());
    Endpoint::new(stack, Gate::new(rules.collect(), 1), observer)
}

impl Pair {
    fn new() -> Pair {
        Pair::with(&[])
    }

    /// A pair whose client's gate has these rules.
    fn with(faults: &[&str]) -> Pair {
        Pair {
            now: Instant(1_000_000),
            client: endpoint(address(CLIENT), faults, Vec::new()),
            server: endpoint(address(SERVER), &[], Vec::new()),
        }
    }

    /// Carries packets to and fro until both are silent.
    fn settle(&mut self) {
        let mut packet = [0; 1500];
        loop {
            self.now = self.now + Duration::from_micros(1);
            let from = &mut self.client;
            let to = &mut self.server;
            if let Some(outgoing) = from.poll_transmit(self.now, &mut packet) {
                to.packet_arrives(self.now, &packet[..outgoing.len]);
            } else if let Some(outgoing) = to.poll_transmit(self.now, &mut packet) {
                from.packet_arrives(self.now, &packet[..outgoing.len]);
            } else {
                return;
            }
        }
    }

    /// Both ends of a connection that is established.
    fn connect(&mut self) -> (ConnId, ConnId) {
        let config = Config::default().conn;
        let listener = self
            .server
            .stack
            .listen(self.now, address(SERVER), 4, &config)
            .unwrap();
        let client = self
            .client
            .stack
            .connect(
                self.now,
                FourTuple {
                    local: address(CLIENT),
                    remote: address(SERVER),
                },
                &config,
            )
            .unwrap();
        self.settle();
        (
            client,
            self.server.stack.accept(self.now, listener).unwrap(),
        )
    }
}

#[test]
fn syn_that_opens_a_connection_is_told_before_its_events_and_belongs_to_it() {
    let mut pair = Pair::new();
    let (_, accepted) = pair.connect();
    let told = &pair.server.observer;
    let Some(syn) = told.iter().find_map(Observed::segment) else {
        panic!("{told:?}")
    };
    assert!(
        !syn.out && syn.flags == Flags::SYN && syn.conn == Some(accepted),
        "{syn:?}"
    );
    let place = |wanted: fn(&Observed) -> bool| told.iter().position(wanted).unwrap();
    assert!(
        place(|told| matches!(told, Observed::Segment(_)))
            < place(|told| matches!(
                told,
                Observed::Event(Event {
                    packet: Some(1),
                    ..
                })
            ))
    );
}

#[test]
fn window_is_told_unscaled_in_a_syn_and_scaled_after_it() {
    let mut pair = Pair::new();
    let (client, _) = pair.connect();
    let windows: Vec<u32> = segments(&pair.client)
        .iter()
        .map(|record| record.window)
        .collect();
    let receive = pair.client.stack.status(client).unwrap().rcv_wnd;
    let [syn, syn_ack, ack] = windows[..] else {
        panic!("{windows:?}")
    };
    assert!(syn <= 65_535 && syn_ack <= 65_535, "{windows:?}");
    assert!(
        ack > 65_535 && ack.abs_diff(receive) < 256,
        "{ack} of {receive}"
    );
}

#[test]
fn abort_is_told_with_its_connection_at_both_ends() {
    let mut pair = Pair::new();
    let (client, accepted) = pair.connect();
    pair.client.stack.abort(pair.now, client).unwrap();
    pair.settle();
    for (end, conn) in [(&pair.client, client), (&pair.server, accepted)] {
        let last = segments(end).pop().unwrap();
        assert!(
            last.flags.contains(Flags::RST) && last.conn == Some(conn),
            "{last:?}"
        );
    }
    assert!(pair.client.conns.is_empty() && pair.server.conns.is_empty());
}

#[test]
fn vanished_host_says_and_hears_nothing_while_its_timers_run() {
    let mut pair = Pair::new();
    let (client, accepted) = pair.connect();
    let before = segments(&pair.client).len();
    pair.client.go_silent();
    pair.server
        .stack
        .send(pair.now, accepted, b"anybody there?")
        .unwrap();
    pair.client.stack.send(pair.now, client, b"no").unwrap();
    pair.settle();
    let tries = |pair: &Pair| pair.client.stack.status(client).unwrap().retransmissions;
    // Deadlines may come too early, so not each of them is a retransmission.
    for _ in 0..12 {
        pair.now = pair.client.deadline().unwrap();
        pair.client.timeout(pair.now);
        pair.settle();
    }
    assert!(tries(&pair) >= 3);
    assert_eq!(pair.client.stack.status(client).unwrap().unread, 0);
    assert_eq!(pair.server.stack.status(accepted).unwrap().unread, 0);
    assert_eq!(segments(&pair.client).len(), before);
}

#[test]
fn segment_that_the_gate_drops_is_told_and_does_not_arrive() {
    let mut pair = Pair::with(&["drop out ack-of-syn"]);
    let config = Config::default().conn;
    pair.server
        .stack
        .listen(pair.now, address(SERVER), 4, &config)
        .unwrap();
    pair.client
        .stack
        .connect(
            pair.now,
            FourTuple {
                local: address(CLIENT),
                remote: address(SERVER),
            },
            &config,
        )
        .unwrap();
    pair.settle();
    let flags = |end| {
        let all = segments(end).into_iter();
        all.map(|record| record.flags.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(flags(&pair.client), ["S", "SA", "A"]);
    assert_eq!(flags(&pair.server), ["S", "SA"]);
}

#[test]
fn segment_that_the_gate_delays_is_told_once_when_it_goes() {
    for (rule, out) in [("delay=30ms out data", true), ("delay=30ms in data", false)] {
        let mut pair = Pair::with(&[rule]);
        let (client, accepted) = pair.connect();
        let data = |pair: &Pair| {
            segments(&pair.client)
                .into_iter()
                .filter(|record| record.len > 0)
                .collect::<Vec<_>>()
        };
        let sent = pair.now;
        if out {
            pair.client.stack.send(sent, client, b"late").unwrap();
        } else {
            pair.server.stack.send(sent, accepted, b"late").unwrap();
        }
        pair.settle();
        assert_eq!(data(&pair), []);
        pair.now = sent + Duration::from_millis(31);
        pair.settle();
        let [told] = &data(&pair)[..] else {
            panic!("{:?}", data(&pair))
        };
        assert!(
            told.out == out && told.at >= sent + Duration::from_millis(30),
            "{told:?}"
        );
        assert_eq!(told.conn, Some(client));
        let unread = [
            pair.client.stack.status(client),
            pair.server.stack.status(accepted),
        ]
        .map(|status| status.unwrap().unread);
        assert_eq!(unread, if out { [0, 4] } else { [4, 0] });
    }
}

#[test]
fn segment_held_back_goes_into_the_next_connection_of_the_four_tuple() {
    let mut pair = Pair::with(&["hold=old out data#1", "release=old on established#2"]);
    let (client, accepted) = pair.connect();
    pair.client.stack.send(pair.now, client, b"old").unwrap();
    pair.settle();
    pair.client.stack.abort(pair.now, client).unwrap();
    pair.settle();
    pair.server.stack.close(pair.now, accepted).unwrap();
    pair.client
        .stack
        .connect(
            pair.now,
            FourTuple {
                local: address(CLIENT),
                remote: address(SERVER),
            },
            &Config::default().conn,
        )
        .unwrap();
    pair.settle();
    let old: Vec<_> = segments(&pair.server)
        .into_iter()
        .filter(|record| !record.out && record.len == 3)
        .collect();
    assert_eq!(old.len(), 1, "{old:?}");
    assert!(old[0].conn.is_some_and(|conn| conn != accepted), "{old:?}");
}

#[test]
fn endpoint_without_observers_and_rules_keeps_no_record() {
    let nobody: Vec<Box<dyn Observer>> = Vec::new();
    let mut plain = endpoint(address(CLIENT), &[], nobody);
    plain
        .stack
        .connect(
            Instant(1),
            FourTuple {
                local: address(CLIENT),
                remote: address(SERVER),
            },
            &Config::default().conn,
        )
        .unwrap();
    assert!(plain.poll_transmit(Instant(1), &mut [0; 1500]).is_some());
    assert!(plain.stack.poll_event().is_none() && plain.conns.is_empty());
}
