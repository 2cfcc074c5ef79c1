//! The binaries' own logs, held against what the cable saw at the same end.

use crate::harness::{Lab, PORT, Program, Signal, built, until};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;
use tcpx_experiment::end::End;
use tcpx_experiment::trace::{Body, Conversation, Entry, Log, Remark, Role, pair};
use tcpx_lab::linux::capture::{Capture, Packet};
use tcpx_lab::linux::check::{Allowance, check};
use tcpx_lab::linux::log::log;
use tcpx_lab::linux::now;
use tcpx_lab::linux::sockets::Watch;
use tcpx_proto::state::State;

/// Generous: other tests run at the same time, and a log's times are those at which its writer woke
/// up.
const ALLOWED: Allowance = Allowance {
    seconds: 0.5,
    kept: false,
    silent_from: None,
    until: f64::INFINITY,
};

/// A run of client and server: what each end logged, what was captured there, and its address.
fn run(lab: &Lab, client: &[&str], server: &[&str]) -> Option<[(Log, Vec<Packet>, Ipv4Addr); 2]> {
    let a = lab.a.namespace()?;
    let b = lab.b.namespace()?;
    let captures = [Capture::start(a).unwrap(), Capture::start(b).unwrap()];
    let files = [lab.file("client.jsonl"), lab.file("server.jsonl")];
    // Without tail-loss probes, so that what the gate delays is not overtaken and left when the
    // program ends.
    let common = ["--msl", "50ms", "--recovery", "rfc6675", "--events"];
    let started = lab.server(&[&["--once"], &common[..], &[&files[1]], server].concat());
    lab.client(&[&["--send", "hello"], &common[..], &[&files[0]], client].concat())
        .succeed();
    started.succeed();
    let [ours, theirs] = captures.map(|capture| capture.stop().unwrap());
    let [left, right] =
        files.map(|file| tcpx_lab::cli::ladder::read(&PathBuf::from(file)).unwrap());
    Some([(left, ours, lab.a.address), (right, theirs, lab.b.address)])
}

#[test]
fn log_of_each_end_agrees_with_the_cable_whatever_its_gate_did() {
    let Some(lab) = Lab::netns() else { return };
    let faults: [(&[&str], &[&str]); 9] = [
        (&[], &[]),
        (
            &["--fault", "drop out data#1"],
            &["--fault", "drop in fin#1"],
        ),
        (
            &["--fault", "delay=30ms out data"],
            &["--fault", "delay=30ms in ack"],
        ),
        (&["--fault", "dup=2 out data"], &["--fault", "dup=1 in fin"]),
        (
            &["--fault", "rewrite(win=100) in syn-ack"],
            &["--fault", "rewrite(id=9) in data#1"],
        ),
        (
            &["--fault", "corrupt in data#1"],
            &["--fault", "corrupt out data#1"],
        ),
        (
            &["--fault", "trickle=5ms in segment"],
            &["--fault", "trickle=5ms out segment"],
        ),
        (&["--no-third-ack", "--hold", "300ms"], &[]),
        (
            &[
                "--fault",
                "hold=old out data#1",
                "--fault",
                "release=old after 20ms",
            ],
            &[],
        ),
    ];
    for (client, server) in faults {
        for (log, packets, own) in run(&lab, client, server).unwrap() {
            assert_eq!(
                check(&log, &packets, own, &ALLOWED),
                Ok(()),
                "{client:?} {server:?}"
            );
        }
    }
}

#[test]
fn log_that_was_tampered_with_disagrees_at_every_segment() {
    let Some(lab) = Lab::netns() else { return };
    for (log, packets, own) in run(&lab, &[], &[]).unwrap() {
        let sent = log
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| matches!(entry.body, Body::Segment(_)))
            .map(|(place, _)| place);
        for place in sent.collect::<Vec<_>>() {
            let again = || Log {
                entries: log.entries.clone(),
                role: log.role,
                ..log
            };
            let mut wrong = again();
            let mut less = again();
            let Body::Segment(segment) = &mut wrong.entries[place].body else {
                unreachable!()
            };
            segment.ack += 1;
            assert!(
                check(&wrong, &packets, own, &ALLOWED).is_err(),
                "{:?}",
                log.entries[place]
            );
            less.entries.remove(place);
            assert!(
                check(&less, &packets, own, &ALLOWED).is_err(),
                "{:?}",
                log.entries[place]
            );
        }
    }
}

/// The states of one end in the order of a story.
fn states(story: &Conversation, end: End) -> Vec<&str> {
    let mut states: Vec<&str> = story
        .steps
        .iter()
        .filter(|step| step.end == end)
        .map(|step| step.state.map_or("", State::name))
        .collect();
    states.dedup();
    states
}

#[test]
fn log_made_of_the_kernels_end_fits_the_binarys() {
    let Some(lab) = Lab::netns() else { return };
    let b = lab.b.namespace().unwrap();
    let capture = Capture::start(b).unwrap();
    let watch = Watch::start(b, Duration::from_millis(5)).unwrap();
    let script = b"listen\naccept\nreceive to end\nsend \"welcome\"\nsleep 50ms\nclose\nexpect closed clean\n";
    let began = now();
    let mut play = lab.b.command(built("tcpx-lab"));
    let (player, mut input) = Program::start_with_input(play.args([
        "play",
        "--own",
        &lab.b.at(PORT).to_string(),
        "--role",
        "server",
    ]));
    input.write_all(script).unwrap();
    drop(input);
    until("the player to listen", || {
        lab.b
            .output("ss", &["-Hltn"])
            .contains(&format!(":{PORT}"))
            .then_some(())
    });
    let events = lab.file("client.jsonl");
    let client = lab.client(&["--send", "hello", "--msl", "50ms", "--events", &events]);
    assert_eq!(client.succeed(), "welcome");
    // Its FIN is acknowledged before the client ends; then only the listener is left.
    until("the connection to be gone", || {
        (lab.b.output("ss", &["-Htan"]).lines().count() == 1).then_some(())
    });
    watch.look();
    let told =
        Log::parse(std::str::from_utf8(&player.end_by(Signal::TERM).stdout).unwrap()).unwrap();
    let calls = told.entries.iter().map(|entry| Entry {
        t: entry.t + told.monotonic - began,
        ..entry.clone()
    });
    let seen = watch.stop().unwrap();
    let server = log(
        &capture.stop().unwrap(),
        &seen,
        calls.collect(),
        lab.b.address,
        Role::Server,
        began,
    );
    let client = tcpx_lab::cli::ladder::read(&PathBuf::from(events)).unwrap();
    let stories = pair(&client, &server);
    let [story] = &stories[..] else {
        panic!("{stories:#?}")
    };
    assert!(
        story
            .flights
            .iter()
            .all(|flight| flight.sent.is_some() && flight.received.len() == 1),
        "{:#?}",
        story.flights
    );
    assert_eq!(
        states(story, End::B),
        [
            "SYN-RECEIVED",
            "ESTABLISHED",
            "CLOSE-WAIT",
            "LAST-ACK",
            "CLOSED"
        ]
    );
    let received = story
        .steps
        .iter()
        .filter(|step| step.end == End::B)
        .flat_map(|step| &step.remarks)
        .filter_map(|remark| match remark {
            Remark::Received(text) => Some(text.as_str()),
            _ => None,
        })
        .collect::<String>();
    assert_eq!(
        received, "hello",
        "what its application told is with its connection"
    );
}
