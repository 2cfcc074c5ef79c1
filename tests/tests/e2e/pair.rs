//! tcpx-client and tcpx-server with each other: handshake, data both ways, close.

use crate::harness::{Lab, PATIENT, Program, Seen};
use std::collections::BTreeSet;
use std::io::Write;

/// A whole connection: handshake, data both ways, close.
fn whole_connection(lab: &Lab) {
    let capture = lab.capture();
    let server = lab.server(
        &[
            &PATIENT[..],
            &["--once", "--respond", "welcome", "--msl", "50ms"],
        ]
        .concat(),
    );
    let client = lab.client(&[&PATIENT[..], &["--send", "hello", "--msl", "50ms"]].concat());
    assert_eq!(client.succeed(), "welcome");
    server.succeed();
    capture
        .finish()
        .assert_whole_connection(lab.a.address, lab.b.address, (5, 7));
}

#[test]
fn connection_in_namespaces_is_opened_used_and_closed() {
    for lab in Lab::with_each_link(Lab::netns) {
        whole_connection(&lab);
    }
}

#[test]
fn connection_over_loopback_with_net_raw_alone_is_opened_used_and_closed() {
    for lab in Lab::with_each_link(Lab::loopback) {
        whole_connection(&lab);
    }
}

#[test]
fn many_connections_at_a_time_and_in_a_row_all_close_cleanly() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let _server = lab.server(&PATIENT);
    let client = lab.client(
        &[
            &PATIENT[..],
            &[
                "--send",
                "hello ",
                "--parallel",
                "20",
                "--count",
                "5",
                "--msl",
                "50ms",
            ],
        ]
        .concat(),
    );
    assert_eq!(client.succeed(), "hello ".repeat(100));
    let seen = capture.finish();
    // A port may be taken again once its TIME-WAIT is over; its ISN is then another.
    let opened: BTreeSet<_> = seen
        .flagged(lab.a.address, "S")
        .iter()
        .map(|segment| (segment.from, segment.seq))
        .collect();
    assert_eq!(opened.len(), 100);
    let story = seen.story(lab.a.address);
    assert!(!story.contains('R'), "{story}");
}

#[test]
fn input_open_peers_fin_still_ends_the_output() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&["--respond", "that is all"]);
    let (reader, stdout) = std::io::pipe().unwrap();
    let mut command = lab.client_command(&["--msl", "50ms"]);
    let (stdin, mut input) = std::io::pipe().unwrap();
    let client = Program::spawn(command.stdin(stdin).stdout(stdout));
    // Or the command's own copies keep the pipes open.
    drop(command);
    input.write_all(b"?").unwrap();
    assert_eq!(std::io::read_to_string(reader).unwrap(), "that is all");
    drop(input);
    client.succeed();
}

#[test]
fn events_on_stdout_leave_the_peers_data_to_the_output_file() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&[]);
    let output = lab.file("heard");
    let said = lab
        .client(&[
            "--send", "hello", "--msl", "50ms", "--events", "-", "--output", &output,
        ])
        .succeed();
    assert_eq!(std::fs::read_to_string(output).unwrap(), "hello");
    let events: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (
            &events[0]["event"],
            &events[0]["version"],
            &events[0]["role"]
        ),
        (&"start".into(), &1.into(), &"client".into())
    );
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["reason"]),
        (&"closed".into(), &"clean".into())
    );
}

#[test]
fn capture_on_stdout_is_whole_and_has_no_data_between() {
    let Some(lab) = Lab::netns() else { return };
    let record = &["--pcap", "-"][..];
    let none = &[][..];
    let output = lab.file("heard");
    for (server, client, heard) in [
        (none, record, false),
        (none, &[record, &["--output", &output]].concat(), true),
        (record, none, false),
    ] {
        let of_server = server == record;
        let server = lab.server(&[server, &["--once"]].concat());
        let client = lab.client(&[client, &["--send", "hello", "--msl", "50ms"]].concat());
        let client = client.finish();
        let server = server.finish();
        assert_eq!(
            (client.code, server.code),
            (Some(0), Some(0)),
            "{}{}",
            client.stderr,
            server.stderr
        );
        let capture = if of_server {
            server.stdout
        } else {
            client.stdout
        };
        let path = lab.path("capture.pcapng");
        std::fs::write(&path, capture).unwrap();
        let seen = Seen::read(&path);
        let flags: Vec<&str> = seen
            .0
            .iter()
            .map(|segment| segment.flags.as_str())
            .collect();
        assert!(
            flags.starts_with(&["S", "SA", "A"])
                && flags.iter().filter(|flags| flags.contains('F')).count() == 2,
            "{flags:?}"
        );
        assert!(!heard || std::fs::read_to_string(&output).unwrap() == "hello");
    }
}

#[test]
fn two_records_or_a_record_and_data_in_one_file_are_refused() {
    let Some(lab) = Lab::netns() else { return };
    let file = lab.file("both");
    for flags in [
        &["--events", "-", "--pcap", "-"][..],
        &["--events", "-", "--pcap", "/dev/stdout"],
        &["--events", &file, "--pcap", &file],
        &["--pcap", "-", "--output", "-"],
        &["--events", "-", "--output", "/dev/stdout"],
    ] {
        let ended = lab.client(&[flags, &["--send", "hello"]].concat()).finish();
        assert!(
            ended.code == Some(2) && ended.stderr.contains("would be mixed in"),
            "{flags:?}: {}",
            ended.stderr
        );
        assert!(ended.stdout.is_empty() && !lab.path("both").exists());
    }
}
