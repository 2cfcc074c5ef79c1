//! The kernel is kept quiet on our ports, on no others, and for no longer than we live.

mod kills;

use crate::harness::{Host, Lab, PORT, Program, Signal, iptables_rules, until};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// Sends something through an echo and receives it back.
fn echoes(mut stream: &TcpStream) {
    stream.write_all(b"still there?").unwrap();
    let mut heard = [0; 12];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still there?");
}

fn await_no_rule(host: &Host) {
    until("the rule to be gone", || {
        iptables_rules(host).is_empty().then_some(())
    });
}

#[test]
fn rule_is_there_for_the_servers_life_and_not_longer() {
    let Some(lab) = Lab::netns() else { return };
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let server = lab.server(&["--rst-guard", "iptables"]);
        let rules = iptables_rules(&lab.b);
        assert_eq!(rules.len(), 1, "{rules:?}");
        assert!(
            rules[0].contains("-s 10.77.0.2/32") && rules[0].contains("--sport 7000 "),
            "{rules:?}"
        );
        server.end_by(signal);
        assert_eq!(
            iptables_rules(&lab.b),
            Vec::<String>::new(),
            "after {signal:?}"
        );
    }
}

#[test]
fn rule_is_gone_after_the_clients_clean_end() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&[]);
    lab.client(&["--send", "x", "--msl", "50ms", "--rst-guard", "iptables"])
        .succeed();
    assert_eq!(iptables_rules(&lab.a), Vec::<String>::new());
}

#[test]
fn server_killed_in_a_transfer_its_rule_goes_and_a_new_one_serves() {
    let Some(lab) = Lab::netns() else { return };
    for guard in ["iptables", "listener"] {
        let server = lab.server(&["--discard", "--rst-guard", guard]);
        let mut stream = lab.a.connect(lab.b.at(PORT));
        for _ in 0..20 {
            stream.write_all(&[0; 10_000]).unwrap();
        }
        server.end_by(Signal::KILL);
        await_no_rule(&lab.b);
        let _again = lab.server(&["--rst-guard", guard]);
        echoes(&lab.a.connect(lab.b.at(PORT)));
        // The new host does not know the first connection, and resets it.
        let end = until("the end of the first connection", || {
            stream.write_all(b"?").err()
        });
        assert!(
            [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&end.kind()),
            "{end}"
        );
    }
}

#[test]
fn client_killed_in_a_transfer_its_rule_goes_and_a_new_one_connects() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let bind = lab.a.at(40_000).to_string();
    let mut zeros = lab.client_command(&["--bind", &bind, "--rst-guard", "iptables"]);
    let client = Program::spawn(
        zeros
            .stdin(std::fs::File::open("/dev/zero").unwrap())
            .stdout(std::process::Stdio::null()),
    );
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 100_000]).unwrap();
    client.end_by(Signal::KILL);
    await_no_rule(&lab.a);
    drop(stream);
    let client = lab.client(&["--bind", &bind, "--send", "again", "--skip-time-wait"]);
    let (mut stream, peer) = listener.accept().unwrap();
    assert_eq!(peer, lab.a.at(40_000));
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "again");
    drop(stream);
    client.succeed();
}

#[test]
fn stale_rule_is_swept_and_a_live_neighbours_is_not() {
    let Some(lab) = Lab::netns() else { return };
    let _neighbour = lab.server(&["--rst-guard", "iptables"]);
    let live = iptables_rules(&lab.b);
    let stale = "-A OUTPUT -p tcp --sport 9 --tcp-flags RST RST -m comment --comment \
        tcpx-0123456789abcdef -j DROP";
    lab.b
        .output("iptables", &stale.split(' ').collect::<Vec<_>>());
    assert_eq!(iptables_rules(&lab.b).len(), 2);
    let mut second = lab.server_at(
        &lab.b.at(PORT + 1).to_string(),
        &["--rst-guard", "iptables"],
    );
    second.wait_for("listening on");
    let rules = iptables_rules(&lab.b);
    assert!(
        rules.len() == 2
            && rules.contains(&live[0])
            && !rules.iter().any(|rule| rule.contains("0123456789abcdef")),
        "{rules:?}"
    );
    second.end_by(Signal::TERM);
    assert_eq!(iptables_rules(&lab.b), live);
    echoes(&lab.a.connect(lab.b.at(PORT)));
}

#[test]
fn no_guard_kernel_resets_the_connection() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let _listener = lab.b.listen(PORT);
    let ended = lab
        .client(&["--send", "x", "--hold", "5s", "--rst-guard", "none"])
        .finish();
    let seen = capture.finish();
    let story = seen.story(lab.a.address);
    assert!(story.starts_with("a:S b:SA a:R"), "{story}");
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
}

#[test]
fn listener_guard_kernel_stays_quiet_without_a_rule() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let _server = lab.server(&["--rst-guard", "listener"]);
    let client = lab.client(&[
        "--send",
        "hello",
        "--msl",
        "50ms",
        "--rst-guard",
        "listener",
    ]);
    assert_eq!(client.succeed(), "hello");
    let story = capture.finish().story(lab.a.address);
    assert!(!story.contains('R'), "{story}");
}

#[test]
fn neighbouring_port_kernel_connection_lives_on_and_closed_ports_refuse() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT + 1);
    let stream = lab.a.connect(lab.b.at(PORT + 1));
    let (mut far, _) = listener.accept().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 12];
        while far.read_exact(&mut buffer).is_ok() && far.write_all(&buffer).is_ok() {}
    });
    echoes(&stream);
    for guard in ["iptables", "listener"] {
        let server = lab.server(&["--rst-guard", guard]);
        echoes(&stream);
        echoes(&lab.a.connect(lab.b.at(PORT)));
        let closed = lab.a.run(|| Ok(TcpStream::connect(lab.b.at(PORT + 2))));
        assert_eq!(
            closed.unwrap_err().kind(),
            ErrorKind::ConnectionRefused,
            "under {guard}"
        );
        server.end_by(Signal::TERM);
        echoes(&stream);
    }
}
