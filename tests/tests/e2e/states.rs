//! Each of the eleven states, with the two commands that show it.

use crate::harness::{Lab, Program, Seen, Segment, Signal, events};
use std::collections::BTreeSet;

/// Both clients call each other, so that neither is a server.
struct Crossed {
    a: Vec<String>,
    b: Vec<String>,
    seen: Seen,
}

/// Two clients on fixed ports. Neither speaks before both are there; and neither hears the other's
/// SYN, and later FIN, before its own is on the wire, nor its answer before that, however far apart
/// they started (up to half a second).
fn cross(lab: &Lab) -> Crossed {
    let capture = lab.capture();
    let a = lab.a.at(7001).to_string();
    let b = lab.b.at(7001).to_string();
    let start = |host, own: &str, other: &str, name| {
        let late = [
            "700ms out syn",
            "500ms in syn",
            "500ms out syn-ack",
            "500ms in fin",
            "500ms out ack-of-fin",
        ];
        let late = late.map(|what| ["--fault".to_owned(), format!("delay={what}")]);
        let timers = ["--msl", "500ms", "--rto-initial", "5s", "--rto-min", "5s"];
        let rest = [
            &[other, "--bind", own, "--hold", "300ms", "--send", "x"],
            &timers[..],
            &["--events"],
        ]
        .concat();
        Program::start(
            lab.tcpx(host, "tcpx-client")
                .args(rest)
                .arg(lab.path(name))
                .args(late.concat()),
        )
    };
    let programs = [
        start(&lab.a, &a, &b, "a.jsonl"),
        start(&lab.b, &b, &a, "b.jsonl"),
    ];
    for program in programs {
        assert_eq!(program.succeed(), "x");
    }
    Crossed {
        a: events::states(&lab.path("a.jsonl")),
        b: events::states(&lab.path("b.jsonl")),
        seen: capture.finish(),
    }
}

#[test]
fn crossing_syns_and_fins_lead_through_the_rarest_states() {
    let Some(lab) = Lab::netns() else { return };
    let crossed = cross(&lab);
    let story = crossed.seen.story(lab.a.address);
    assert!(!story.contains('R'), "{story}");
    // Neither SYN, and neither FIN, is an answer: the other's has not been acknowledged when it is
    // sent.
    for flag in ['S', 'F'] {
        let first = |host| {
            crossed
                .seen
                .from(host)
                .into_iter()
                .find(|segment| segment.flags.contains(flag))
                .unwrap()
        };
        let ours = first(lab.a.address);
        let theirs = first(lab.b.address);
        let knows = |segment: &Segment, other: &Segment| {
            segment.flags.contains('A') && segment.ack == other.seq.wrapping_add(other.len + 1)
        };
        assert!(!knows(ours, theirs) && !knows(theirs, ours), "{story}");
    }
    crossed.seen.assert_sound(lab.a.address);
    crossed.seen.assert_sound(lab.b.address);
    let expected = [
        "CLOSED",
        "SYN-SENT",
        "SYN-RECEIVED",
        "ESTABLISHED",
        "FIN-WAIT-1",
        "CLOSING",
        "TIME-WAIT",
        "CLOSED",
    ];
    assert_eq!(crossed.a, expected, "{story}");
    assert_eq!(crossed.b, expected, "{story}");
}

#[test]
fn client_and_server_lead_through_the_others() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let server_events = lab.file("server.jsonl");
    // The server is slow to close, so that its ACK of the client's FIN comes first and alone.
    let script = lab.path("server.script");
    std::fs::write(
        &script,
        "listen\naccept\nreceive to end\nsend \"x\"\nsleep 500ms\nclose\nexpect closed clean\n",
    )
    .unwrap();
    let server = lab.server(&[
        "--events",
        &server_events,
        "--script",
        script.to_str().unwrap(),
    ]);
    let client = lab.client(&[
        "--send",
        "x",
        "--msl",
        "100ms",
        "--events",
        &lab.file("client.jsonl"),
    ]);
    client.succeed();
    server.succeed();
    let seen = capture.finish();
    let client = events::states(&lab.path("client.jsonl"));
    let expected = [
        "CLOSED",
        "SYN-SENT",
        "ESTABLISHED",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "TIME-WAIT",
        "CLOSED",
    ];
    assert_eq!(client, expected, "{}", seen.story(lab.a.address));
    let server = events::states(&lab.path("server.jsonl"));
    let expected = [
        "LISTEN",
        "SYN-RECEIVED",
        "ESTABLISHED",
        "CLOSE-WAIT",
        "LAST-ACK",
        "CLOSED",
    ];
    assert_eq!(server, expected, "{}", seen.story(lab.a.address));
    let crossing = ["CLOSING"].map(str::to_owned);
    let all: BTreeSet<String> = client.into_iter().chain(server).chain(crossing).collect();
    assert_eq!(all.len(), 11);
}

#[test]
fn events_and_pcap_say_what_the_capture_says() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let server = lab.server(&[]);
    let pcap = lab.path("client.pcapng");
    let arguments = [
        "--send",
        "hello",
        "--msl",
        "100ms",
        "--events",
        &lab.file("client.jsonl"),
        "--pcap",
        pcap.to_str().unwrap(),
    ];
    assert_eq!(lab.client(&arguments).succeed(), "hello");
    server.end_by(Signal::TERM);
    let seen = capture.finish();
    let wire = |seen: &Seen| -> BTreeSet<(bool, u32, u32, u32)> {
        seen.0
            .iter()
            .map(|segment| {
                (
                    *segment.from.ip() == lab.a.address,
                    segment.seq,
                    segment.ack,
                    segment.len,
                )
            })
            .collect()
    };
    let recorded = events::read(&lab.path("client.jsonl"))
        .into_iter()
        .filter(|event| event["event"] == "segment")
        .map(|event| {
            let number = |name: &str| u32::try_from(event[name].as_u64().unwrap()).unwrap();
            (
                event["dir"] == "out",
                number("seq"),
                number("ack"),
                number("len"),
            )
        });
    assert_eq!(recorded.collect::<BTreeSet<_>>(), wire(&seen));
    assert_eq!(wire(&Seen::read(&pcap)), wire(&seen));
    let comments = lab.a.output(
        "tshark",
        &[
            "-r",
            pcap.to_str().unwrap(),
            "-T",
            "fields",
            "-e",
            "frame.comment",
        ],
    );
    assert!(
        comments.contains("SYN-SENT -> ESTABLISHED on SYN,ACK"),
        "{comments}"
    );
}
