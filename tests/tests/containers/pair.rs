//! Our client in one container, our server in another.

use crate::engine::{Lan, NET_RAW_ALONE, TCPX, TCPX_IPTABLES, WITH_NET_ADMIN};
use crate::harness::{PATIENT, iptables_rules, until};

/// Handshake, data both ways and close, as a capture in the server's namespace has them.
fn whole_connection(lan: &Lan, capabilities: &[&str], image: &str, guard: &'static str) {
    let flags = |own: &[&'static str]| {
        [&PATIENT[..], &["--msl", "50ms", "--rst-guard", guard], own].concat()
    };
    let server = lan.tcpx_server(capabilities, image, &flags(&["--respond", "welcome"]));
    let capture = lan.capture(&server);
    let client = lan.tcpx_client(capabilities, image, &flags(&["--send", "hello"]));
    assert_eq!(client.program.succeed(), "welcome");
    capture
        .finish()
        .assert_whole_connection(lan.a, lan.b, (5, 7));
}

#[test]
fn connection_with_net_raw_alone_is_opened_used_and_closed() {
    whole_connection(&Lan::new(), NET_RAW_ALONE, TCPX, "listener");
}

#[test]
fn connection_under_iptables_is_opened_used_and_closed() {
    whole_connection(&Lan::new(), WITH_NET_ADMIN, TCPX_IPTABLES, "iptables");
}

#[test]
fn iptables_rule_is_there_while_the_server_runs_and_gone_after() {
    let lan = Lan::new();
    let server = lan.tcpx_server(WITH_NET_ADMIN, TCPX_IPTABLES, &["--rst-guard", "iptables"]);
    let host = server.host();
    let rules = iptables_rules(&host);
    assert!(
        rules.len() == 1
            && rules[0].contains("--sport 7000 ")
            && rules[0].contains("--tcp-flags RST RST "),
        "{rules:?}"
    );
    let ended = server.end_by("TERM");
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert_eq!(iptables_rules(&host), Vec::<String>::new());
}

#[test]
fn health_check_is_passed_by_a_server_and_by_nobody_else() {
    let lan = Lan::new();
    let nobody = lan
        .start(lan.a, NET_RAW_ALONE, TCPX, &["tcpx-server", "alive"])
        .program
        .finish();
    assert!(
        nobody.code == Some(1) && nobody.stderr.contains("no tcpx is running"),
        "{nobody:?}"
    );
    let server = lan.tcpx_server(NET_RAW_ALONE, TCPX, &[]);
    until("the server to be healthy", || {
        (server.inspect("{{.State.Health.Status}}") == "healthy").then_some(())
    });
}
