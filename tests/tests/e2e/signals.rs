//! SIGINT, SIGTERM and SIGHUP at any moment: the peer is notified, nothing is left behind, and the
//! exit status tells which signal it was.

use crate::harness::{Lab, PORT, Program, Signal, iptables_rules};
use std::io::{ErrorKind, Read, Write};
use std::process::Command;

const ALL: [(Signal, i32); 3] = [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)];

#[test]
fn client_in_established_resets_its_peer_and_cleans_up() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    for (signal, code) in ALL {
        let client = lab.client(&["--send", "x", "--hold", "1h"]);
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        let ended = client.end_by(signal);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert_eq!(
            stream.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset,
            "{}",
            ended.stderr
        );
        assert_eq!(iptables_rules(&lab.a), Vec::<String>::new());
    }
}

#[test]
fn server_with_a_connection_resets_its_peer_and_cleans_up() {
    let Some(lab) = Lab::netns() else { return };
    for (signal, code) in ALL {
        let mut server = lab.server(&[]);
        let mut stream = lab.a.connect(lab.b.at(PORT));
        server.wait_for("-> ESTABLISHED");
        let ended = server.end_by(signal);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert_eq!(
            stream.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset,
            "{}",
            ended.stderr
        );
        assert_eq!(iptables_rules(&lab.b), Vec::<String>::new());
    }
}

#[test]
fn client_in_syn_sent_ends_at_once() {
    let Some(lab) = Lab::netns() else { return };
    lab.b
        .output("iptables", &["-I", "INPUT", "-p", "tcp", "-j", "DROP"]);
    for (signal, code) in ALL {
        let mut client = lab.client(&["--send", "x"]);
        client.wait_for("SYN-SENT");
        let ended = client.end_by(signal);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert_eq!(iptables_rules(&lab.a), Vec::<String>::new());
    }
}

#[test]
fn client_in_time_wait_ends_well_and_says_which_rule_that_broke() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&[]);
    let mut client = lab.client(&["--send", "x"]);
    client.wait_for("-> TIME-WAIT");
    let ended = client.end_by(Signal::INT);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("TIME-WAIT cut short") && ended.stderr.contains("2 MSL"),
        "{}",
        ended.stderr
    );
}

/// The command as a program starts it that leaves these signals ignored, such as nohup(1) or the
/// `&` of a script.
fn ignoring(lab: &Lab, signals: &str, command: &Command) -> Command {
    let mut env = lab.b.command("env");
    env.arg(format!("--ignore-signal={signals}"))
        .arg(command.get_program())
        .args(command.get_args());
    env
}

#[test]
fn signal_that_was_ignored_at_the_start_stays_ignored() {
    let Some(lab) = Lab::netns() else { return };
    let mut server = lab.tcpx(&lab.b, "tcpx-server");
    let mut server = Program::start(&mut ignoring(
        &lab,
        "HUP,INT,USR1",
        server.arg(lab.b.at(PORT).to_string()),
    ));
    server.wait_for("listening on");
    for signal in [Signal::HUP, Signal::INT, Signal::USR1] {
        server.signal(signal);
    }
    let mut stream = lab.a.connect(lab.b.at(PORT));
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    let ended = server.end_by(Signal::TERM);
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(!ended.stderr.contains("1 connection"), "{}", ended.stderr);
}

#[test]
fn children_that_were_ignored_at_the_start_are_waited_for() {
    let Some(lab) = Lab::netns() else { return };
    let stale = "-A OUTPUT -p tcp --sport 9 --tcp-flags RST RST -m comment --comment \
        tcpx-0123456789abcdef -j DROP";
    lab.b
        .output("iptables", &stale.split(' ').collect::<Vec<_>>());
    let mut server = lab.tcpx(&lab.b, "tcpx-server");
    server
        .arg(lab.b.at(PORT).to_string())
        .args(["--rst-guard", "iptables"]);
    let mut server = Program::start(&mut ignoring(&lab, "CHLD", &server));
    server.wait_for("listening on");
    assert_eq!(iptables_rules(&lab.b).len(), 1);
    let ended = server.end_by(Signal::TERM);
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
    assert_eq!(iptables_rules(&lab.b), Vec::<String>::new());
}
