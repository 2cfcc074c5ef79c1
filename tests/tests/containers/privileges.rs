//! Which privileges a container must be given, which errors appear without them, and which users
//! get them: the table of docs/containers.md.

use crate::engine::{Lan, NET_RAW_ALONE, TCPX, TCPX_IPTABLES, WITH_NET_ADMIN};

const NOBODY: &[&str] = &["--user=65534:65534"];
const GAIN_NOTHING: &[&str] = &["--security-opt=no-new-privileges"];

/// The server ends at once for want of a privilege, and says what it wants.
fn is_refused(options: &[&str], image: &str, guard: &str, words: &[&str]) {
    let lan = Lan::new();
    let address = lan.server().to_string();
    let ended = lan
        .start(
            lan.b,
            options,
            image,
            &["tcpx-server", &address, "--rst-guard", guard],
        )
        .program
        .finish();
    assert_eq!(ended.code, Some(6), "{options:?} {guard}: {}", ended.stderr);
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{options:?} {guard} does not say {word:?}: {}",
            ended.stderr
        );
    }
}

/// The server listens.
fn serves(options: &[&str], image: &str, guard: &str) {
    Lan::new().tcpx_server(options, image, &["--rst-guard", guard]);
}

#[test]
fn listener_guard_takes_net_raw_alone() {
    is_refused(
        &["--cap-drop=ALL"],
        TCPX,
        "listener",
        &["CAP_NET_RAW", "--cap-add=NET_RAW"],
    );
    for options in [&[], NET_RAW_ALONE, WITH_NET_ADMIN] {
        serves(options, TCPX, "listener");
    }
}

#[test]
fn iptables_guard_takes_net_admin_and_iptables_too() {
    is_refused(
        &["--cap-drop=ALL"],
        TCPX_IPTABLES,
        "iptables",
        &["CAP_NET_RAW", "--cap-add=NET_RAW"],
    );
    for options in [&[], NET_RAW_ALONE] {
        is_refused(
            options,
            TCPX_IPTABLES,
            "iptables",
            &["CAP_NET_ADMIN", "--cap-add=NET_ADMIN"],
        );
    }
    serves(WITH_NET_ADMIN, TCPX_IPTABLES, "iptables");
    is_refused(
        WITH_NET_ADMIN,
        TCPX,
        "iptables",
        &["no iptables program found", "--rst-guard listener"],
    );
}

#[test]
fn other_users_have_them_from_the_program_file_unless_they_may_gain_none() {
    for (capabilities, image, guard) in [
        (NET_RAW_ALONE, TCPX, "listener"),
        (WITH_NET_ADMIN, TCPX_IPTABLES, "iptables"),
    ] {
        serves(&[capabilities, NOBODY].concat(), image, guard);
        serves(&[capabilities, GAIN_NOTHING].concat(), image, guard);
        is_refused(
            &[capabilities, NOBODY, GAIN_NOTHING].concat(),
            image,
            guard,
            &["CAP_NET_RAW", "Run as root with it", "no_new_privs"],
        );
    }
}

#[test]
fn port_below_1024_takes_no_more() {
    let lan = Lan::new();
    let address = format!("{}:80", lan.b);
    let mut server = lan.start(
        lan.b,
        &[NET_RAW_ALONE, NOBODY].concat(),
        TCPX,
        &["tcpx-server", &address, "--rst-guard", "listener"],
    );
    server.program.wait_for("listening on");
}
