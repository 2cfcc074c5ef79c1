//! The log made of packets and sightings written by hand.

use super::super::log;
use super::super::tests::story;
use crate::linux::capture::Packet;
use crate::linux::sample::Sample;
use crate::linux::sockets::{Seen, Sighting, Timer};
use tcpx::netns::{A, B};
use tcpx_experiment::trace::{Body, Entry, Log};
use tcpx_proto::script::AppAction;
use tcpx_proto::state::State;
use tcpx_proto::trace::Role;

/// Looks at B's end every 10 ms for a second, and these sightings of its socket: when, state, timer,
/// and how often the timer has expired.
fn looked(sightings: &[(f64, State, Option<Timer>, u8)]) -> Seen {
    let looks = (0..100)
        .map(|n| (f64::from(n) * 0.01, f64::from(n) * 0.01 + 0.001))
        .collect();
    let sighting = |(at, state, timer, expirations): &(f64, State, Option<Timer>, u8)| Sighting {
        at: at + 0.001,
        since: at - 0.010,
        cookie: 1,
        local: (B, 7).into(),
        remote: (A, 9).into(),
        state: *state,
        passive: true,
        timer: *timer,
        expirations: *expirations,
        receive_queue: 0,
        send_queue: 0,
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
