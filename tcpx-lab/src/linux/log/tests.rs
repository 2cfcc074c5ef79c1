//! The kernel's connections in two namespaces, and what is told of them.

use super::super::sockets::Timer;
use super::*;
use crate::linux::capture::Capture;
use crate::linux::now;
use crate::linux::sample::Sample;
use crate::linux::sockets::Watch;
use crate::pair::plain_pair;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;
use tcpx::netns::{A, B, Namespace};
use tcpx_experiment::trace::pair;

/// Both ends under watch.
struct Lab {
    ends: [(Namespace, Ipv4Addr, Capture, Watch); 2],
    began: f64,
}

impl Lab {
    /// With a look every so many milliseconds.
    fn new(every: u64) -> Option<Lab> {
        let (a, b) = plain_pair()?;
        let end = |inside: Namespace, own| {
            let (capture, watch) = (
                Capture::start(&inside).unwrap(),
                Watch::start(&inside, Duration::from_millis(every)).unwrap(),
            );
            (inside, own, capture, watch)
        };
        Some(Lab {
            ends: [end(a, A), end(b, B)],
            began: now(),
        })
    }

    fn listener(&self) -> TcpListener {
        self.ends[1].0.run(|| TcpListener::bind((B, 7))).unwrap()
    }

    fn client(&self) -> TcpStream {
        self.ends[0].0.run(|| TcpStream::connect((B, 7))).unwrap()
    }

    /// A client from port 40000, whatever that port did before.
    fn same_client(&self) -> TcpStream {
        let connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::new(A.into(), 40_000).into())?;
            socket.connect(&SocketAddr::new(B.into(), 7).into())?;
            Ok(socket.into())
        };
        self.ends[0].0.run(connect).unwrap()
    }

    fn look(&self) {
        self.ends.iter().for_each(|(_, _, _, watch)| watch.look());
    }

    /// What the client's kernel and the server's would have written.
    fn logs(self) -> [Log; 2] {
        let began = self.began;
        self.ends.map(|(_inside, own, capture, watch)| {
            let seen = watch.stop().unwrap();
            log(
                &capture.stop().unwrap(),
                &seen,
                Vec::new(),
                own,
                if own == A { Role::Client } else { Role::Server },
                began,
            )
        })
    }
}

fn end(stream: &mut TcpStream) {
    stream.read_to_end(&mut Vec::new()).unwrap();
}

/// What a log tells of its connections' states and ends, in order: `1 CLOSED -> SYN-SENT on active
/// OPEN`.
fn story(log: &Log) -> Vec<String> {
    let line = |entry: &Entry| match (&entry.body, entry.conn) {
        (Body::State { from, to, on }, Some(conn)) => {
            let on = on.map_or("?", Trigger::name);
            Some(format!("{conn} {from} -> {to} on {on}"))
        }
        (Body::Closed { reason }, Some(conn)) => {
            let reason = reason.map_or("?", CloseKind::name);
            Some(format!("{conn} closed: {reason}"))
        }
        _ => None,
    };
    log.entries.iter().filter_map(line).collect()
}

const ACTIVE: [&str; 5] = [
    "1 CLOSED -> SYN-SENT on active OPEN",
    "1 SYN-SENT -> ESTABLISHED on SYN,ACK",
    "1 ESTABLISHED -> FIN-WAIT-1 on CLOSE",
    "1 FIN-WAIT-1 -> FIN-WAIT-2 on ACK of FIN",
    "1 FIN-WAIT-2 -> TIME-WAIT on FIN",
];
const PASSIVE: [&str; 6] = [
    "1 LISTEN -> SYN-RECEIVED on SYN",
    "1 SYN-RECEIVED -> ESTABLISHED on ACK of SYN",
    "1 ESTABLISHED -> CLOSE-WAIT on FIN",
    "1 CLOSE-WAIT -> LAST-ACK on CLOSE",
    "1 LAST-ACK -> CLOSED on ACK of FIN",
    "1 closed: clean",
];

/// A connection opened and closed by the client, with a pause before each act.
fn open_and_close(lab: &Lab, pause: impl Fn()) {
    let listener = lab.listener();
    pause();
    let mut client = lab.client();
    pause();
    let mut server = listener.accept().unwrap().0;
    client.shutdown(Shutdown::Write).unwrap();
    end(&mut server);
    // The FIN is acknowledged alone, for the server takes its time.
    SockRef::from(&server).set_tcp_quickack(true).unwrap();
    pause();
    drop(server);
    end(&mut client);
    drop(client);
    pause();
}

#[test]
fn connection_sampled_in_its_states_is_told_as_the_rfc_draws_it() {
    let Some(lab) = Lab::new(5) else { return };
    open_and_close(&lab, || lab.look());
    let [client, server] = lab.logs();
    assert_eq!(
        (story(&client), story(&server)),
        (
            ACTIVE.map(str::to_owned).to_vec(),
            PASSIVE.map(str::to_owned).to_vec()
        )
    );
    // Both ends make one conversation, each segment of which was sent and received once.
    let stories = pair(&client, &server);
    let [conversation] = &stories[..] else {
        panic!("{stories:#?}")
    };
    assert_eq!(
        conversation.initial,
        [Some(State::Closed), Some(State::Listen)]
    );
    assert!(
        conversation
            .flights
            .iter()
            .all(|flight| flight.sent.is_some() && flight.received.len() == 1),
        "{:#?}",
        conversation.flights
    );
}

#[test]
fn connection_between_two_looks_is_inferred_whole() {
    let Some(lab) = Lab::new(60_000) else { return };
    lab.ends[1].3.look();
    let listener = lab.listener();
    lab.look();
    let mut client = lab.client();
    let mut server = listener.accept().unwrap().0;
    client.shutdown(Shutdown::Write).unwrap();
    end(&mut server);
    SockRef::from(&server).set_tcp_quickack(true).unwrap();
    drop(server);
    end(&mut client);
    let [client, server] = lab.logs();
    assert_eq!(story(&server), PASSIVE.map(str::to_owned));
    assert_eq!(story(&client)[..2], ACTIVE.map(str::to_owned)[..2]);
    assert!(
        story(&client)
            .last()
            .unwrap()
            .contains("-> TIME-WAIT on FIN"),
        "{:?}",
        story(&client)
    );
}

#[test]
fn connect_to_a_port_that_nobody_has_is_refused_and_no_connection_of_the_other_end() {
    let Some(lab) = Lab::new(5) else { return };
    assert!(lab.ends[0].0.run(|| TcpStream::connect((B, 7))).is_err());
    let [client, server] = lab.logs();
    assert_eq!(
        story(&client),
        [
            "1 CLOSED -> SYN-SENT on active OPEN",
            "1 SYN-SENT -> CLOSED on RST",
            "1 closed: refused"
        ]
    );
    assert_eq!(story(&server), [""; 0]);
    assert_eq!(
        server
            .entries
            .iter()
            .filter(|entry| entry.conn.is_none())
            .count(),
        2,
        "{server:#?}"
    );
}

#[test]
fn abort_is_told_as_such_at_one_end_and_as_a_reset_at_the_other() {
    for every in [5, 60_000] {
        let Some(lab) = Lab::new(every) else { return };
        let listener = lab.listener();
        lab.look();
        let client = lab.client();
        let mut server = listener.accept().unwrap().0;
        lab.look();
        SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(client);
        assert!(server.read(&mut [0]).is_err());
        let [client, server] = lab.logs();
        assert_eq!(
            story(&client)[2..],
            ["1 ESTABLISHED -> CLOSED on ABORT", "1 closed: aborted"]
        );
        assert_eq!(
            story(&server)[2..],
            ["1 ESTABLISHED -> CLOSED on RST", "1 closed: reset"]
        );
    }
}

#[test]
fn two_incarnations_of_a_four_tuple_are_two_connections() {
    let Some(lab) = Lab::new(5) else { return };
    let listener = lab.listener();
    lab.look();
    for _ in 0..2 {
        // The server closes first, and is in TIME-WAIT when the client comes again.
        let mut client = lab.same_client();
        drop(listener.accept().unwrap());
        end(&mut client);
        drop(client);
        lab.look();
    }
    let [client, server] = lab.logs();
    let client = story(&client);
    assert_eq!(
        client
            .iter()
            .filter(|line| line.ends_with("closed: clean"))
            .count(),
        2,
        "{client:#?}"
    );
    let server = story(&server);
    let place = |text: &str| {
        server
            .iter()
            .position(|line| line == text)
            .unwrap_or_else(|| panic!("no {text}: {server:#?}"))
    };
    assert_eq!(
        place("1 TIME-WAIT -> CLOSED on SYN") + 1,
        place("1 closed: clean")
    );
    assert_eq!(
        place("1 closed: clean") + 1,
        place("2 LISTEN -> SYN-RECEIVED on SYN")
    );
    assert!(
        server.last().unwrap().starts_with("2 ") && server.last().unwrap().contains("-> TIME-WAIT"),
        "{server:#?}"
    );
}

/// What looks every 10 ms for a second showed of B's end: those that are told, and each time a
/// socket was in this state.
fn looked(sightings: &[(f64, State, Option<Timer>, u8)]) -> Seen {
    let looks = (0..100)
        .map(|n| (f64::from(n) * 0.01, f64::from(n) * 0.01 + 0.001))
        .collect();
    let sighting = |(at, state, timer, rung): &(f64, State, Option<Timer>, u8)| {
        let (at, state, timer, rung) = (at + 0.001, *state, *timer, *rung);
        let (local, remote, passive) = ((B, 7).into(), (A, 9).into(), true);
        Sighting {
            at,
            since: at - 0.011,
            cookie: 1,
            local,
            remote,
            state,
            passive,
            timer,
            rung,
            receive_queue: 0,
            send_queue: 0,
        }
    };
    Seen {
        looks,
        sightings: sightings.iter().map(sighting).collect(),
    }
}

/// The kernel's log of B's end, made of samples.
fn told(samples: &[Sample], seen: &Seen, calls: Vec<Entry>) -> Log {
    let packets: Vec<Packet> = samples.iter().map(Sample::arrived).collect();
    log(&packets, seen, calls, B, Role::Server, 0.0)
}

/// A handshake at 0.1 s, whose third segment comes at 0.5 s.
const HANDSHAKE: [Sample; 3] = [
    Sample {
        at: 0.1,
        ..Sample::SYN
    },
    Sample {
        at: 0.1001,
        out: false,
        flags: "SA",
        seq: 300,
        ack: 101,
        ..Sample::SYN
    },
    Sample {
        at: 0.5,
        flags: "A",
        seq: 101,
        ack: 301,
        ..Sample::SYN
    },
];

#[test]
fn cookie_that_came_back_opens_a_connection_that_was_never_half_open() {
    let log = told(
        &HANDSHAKE,
        &looked(&[(0.5, State::Established, None, 0)]),
        Vec::new(),
    );
    assert_eq!(story(&log), ["1 LISTEN -> ESTABLISHED on ACK of SYN"]);
    let numbers: Vec<Option<u64>> = log
        .entries
        .iter()
        .filter(|entry| matches!(entry.body, Body::Segment(_)))
        .map(|entry| entry.conn)
        .collect();
    assert_eq!(
        numbers,
        [None, None, Some(1)],
        "the SYN is of a connection that did not exist"
    );
    // It is shown by the look that begins at 0.5 s and ends 1 ms later; its ACK had come at 0.493
    // s, and it was accepted at once.
    let early = [
        HANDSHAKE[0],
        HANDSHAKE[1],
        Sample {
            at: 0.493,
            ..HANDSHAKE[2]
        },
    ];
    let opened = Entry {
        t: 0.494,
        conn: Some(7),
        body: Body::Opened {
            local: (B, 7).into(),
            remote: (A, 9).into(),
            passive: true,
        },
    };
    let received = Body::App(AppAction::Received(b"hello".to_vec()));
    let calls = vec![
        opened,
        Entry {
            t: 0.495,
            conn: Some(7),
            body: received,
        },
    ];
    let log = told(
        &early,
        &looked(&[(0.5, State::Established, None, 0)]),
        calls,
    );
    let order: Vec<(bool, Option<u64>)> = log
        .entries
        .iter()
        .skip(2)
        .map(|entry| (matches!(entry.body, Body::Segment(_)), entry.conn))
        .collect();
    assert_eq!(
        order,
        [
            (true, Some(1)),
            (false, Some(1)),
            (false, Some(1)),
            (false, Some(1))
        ]
    );
    assert!(
        matches!(&log.entries[5].body, Body::App(AppAction::Received(bytes)) if bytes == b"hello")
    );
    let closing = [
        &HANDSHAKE[..],
        &[Sample {
            at: 0.5001,
            flags: "FA",
            seq: 101,
            ack: 301,
            ..Sample::SYN
        }],
    ]
    .concat();
    let log = told(
        &closing,
        &looked(&[(0.5, State::CloseWait, None, 0)]),
        Vec::new(),
    );
    assert_eq!(
        story(&log),
        [
            "1 LISTEN -> ESTABLISHED on ACK of SYN",
            "1 ESTABLISHED -> CLOSE-WAIT on FIN"
        ]
    );
    let half_open = looked(&[
        (0.1, State::SynReceived, Some(Timer::Retransmission), 0),
        (0.5, State::Established, None, 0),
    ]);
    let log = told(&HANDSHAKE, &half_open, Vec::new());
    assert_eq!(
        story(&log),
        [
            "1 LISTEN -> SYN-RECEIVED on SYN",
            "1 SYN-RECEIVED -> ESTABLISHED on ACK of SYN"
        ]
    );
    assert!(log.entries.iter().all(|entry| entry.conn == Some(1)));
    assert!(
        log.entries[1].t < 0.1002 && matches!(log.entries[0].body, Body::Segment(_)),
        "{log:#?}"
    );
}

#[test]
fn look_that_began_between_syn_and_syn_ack_cuts_no_handshake_in_two() {
    let quick = [
        HANDSHAKE[0],
        Sample {
            at: 0.1101,
            ..HANDSHAKE[1]
        },
        Sample {
            at: 0.1102,
            ..HANDSHAKE[2]
        },
    ];
    let log = told(
        &quick,
        &looked(&[(0.12, State::Established, None, 0)]),
        Vec::new(),
    );
    assert_eq!(
        story(&log),
        [
            "1 LISTEN -> SYN-RECEIVED on SYN",
            "1 SYN-RECEIVED -> ESTABLISHED on ACK of SYN"
        ]
    );
    assert!(
        log.entries.iter().all(|entry| entry.conn == Some(1)),
        "{log:#?}"
    );
}

#[test]
fn connection_that_a_look_should_have_shown_and_did_not_is_none() {
    let whole = [
        &HANDSHAKE[..],
        &[Sample {
            at: 0.6,
            flags: "R",
            seq: 101,
            ..Sample::SYN
        }],
    ]
    .concat();
    assert_eq!(story(&told(&whole, &looked(&[]), Vec::new())), [""; 0]);
    let unwatched = Seen {
        looks: vec![(0.0, 0.01), (0.9, 0.91)],
        sightings: Vec::new(),
    };
    assert_eq!(
        story(&told(&whole, &unwatched, Vec::new()))[2..],
        ["1 ESTABLISHED -> CLOSED on RST", "1 closed: reset"]
    );
}

#[test]
fn fin_before_its_time_changes_nothing_until_the_gap_is_filled() {
    let fin = Sample {
        at: 0.6,
        flags: "FA",
        seq: 106,
        ack: 301,
        ..Sample::SYN
    };
    let gap = Sample {
        at: 0.8,
        flags: "PA",
        seq: 101,
        ack: 301,
        text: b"early",
        ..Sample::SYN
    };
    let seen = looked(&[
        (0.1, State::SynReceived, None, 0),
        (0.5, State::Established, None, 0),
        (0.8, State::CloseWait, None, 0),
    ]);
    let log = told(&[&HANDSHAKE[..], &[fin, gap]].concat(), &seen, Vec::new());
    assert_eq!(story(&log)[2..], ["1 ESTABLISHED -> CLOSE-WAIT on FIN"]);
    assert!(log.entries.last().unwrap().t > 0.79);
}

#[test]
fn connection_that_ends_in_silence_is_told_by_its_last_timer() {
    let open = [
        (0.1, State::SynReceived, None, 0),
        (0.5, State::Established, None, 0),
    ];
    let timers = [
        (Timer::Retransmission, "retransmission-timeout"),
        (Timer::Probe, "retransmission-timeout"),
        (Timer::KeepAlive, "keepalive-timeout"),
    ];
    for (timer, reason) in timers {
        let end = [
            (0.7, State::Established, Some(timer), 3),
            (0.9, State::Closed, None, 0),
        ];
        let log = told(&HANDSHAKE, &looked(&[&open[..], &end].concat()), Vec::new());
        assert_eq!(
            story(&log)[2..],
            [
                "1 ESTABLISHED -> CLOSED on timeout".to_owned(),
                format!("1 closed: {reason}")
            ]
        );
    }
    let half_open = [
        (0.1, State::SynReceived, Some(Timer::Retransmission), 5),
        (0.9, State::Closed, None, 0),
    ];
    assert_eq!(
        story(&told(&HANDSHAKE[..2], &looked(&half_open), Vec::new()))[1..],
        ["1 SYN-RECEIVED -> CLOSED on timeout", "1 closed: dropped"]
    );
    let unknown = told(
        &HANDSHAKE,
        &looked(&[&open[..], &[(0.9, State::Closed, None, 0)]].concat()),
        Vec::new(),
    );
    assert_eq!(
        story(&unknown)[2..],
        ["1 ESTABLISHED -> CLOSED on ?", "1 closed: ?"]
    );
}

#[test]
fn calls_of_the_player_are_told_with_the_number_of_their_connection() {
    let app = |t, conn, action: &AppAction| Entry {
        t,
        conn,
        body: Body::App(action.clone()),
    };
    let accept = AppAction::Began("accept".to_owned());
    let hello = AppAction::Sent(b"hello".to_vec());
    let restart = AppAction::Began("restart".to_owned());
    let opened = Entry {
        t: 0.55,
        conn: Some(7),
        body: Body::Opened {
            local: (B, 7).into(),
            remote: (A, 9).into(),
            passive: true,
        },
    };
    let calls = vec![
        app(0.05, None, &accept),
        opened,
        app(0.85, Some(7), &hello),
        app(0.899, Some(7), &restart),
    ];
    let seen = looked(&[
        (0.1, State::SynReceived, None, 0),
        (0.5, State::Established, None, 0),
        (0.9, State::Closed, None, 0),
    ]);
    let log = told(&HANDSHAKE, &seen, calls);
    let actions: Vec<(Option<u64>, AppAction)> = log
        .entries
        .iter()
        .filter_map(|entry| match &entry.body {
            Body::App(action) => Some((entry.conn, action.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(
        actions,
        [(None, accept), (Some(1), hello), (Some(1), restart)]
    );
    assert_eq!(
        story(&log)[2..],
        ["1 ESTABLISHED -> CLOSED on restart", "1 closed: restarted"]
    );
    assert_eq!(
        log.entries
            .iter()
            .filter(|entry| matches!(entry.body, Body::Opened { .. }))
            .count(),
        1
    );
}
