//! Which privileges a container must be given, what is said without them, and whom they reach.

use crate::engine::{Lan, NET_RAW_ALONE, TCPX, TCPX_IPTABLES, WITH_NET_ADMIN};

/// The server ends at once for want of a privilege, and says what it wants.
fn is_refused(options: &[&str], image: &str, guard: &str, words: &[&str]) {
    let lan = Lan::new();
    let address = lan.server().to_string();
    let ended = lan.start(lan.b, options, image, &["tcpx-server", &address, "--rst-guard", guard]).program.finish();
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "does not say {word:?}: {}", ended.stderr);
    }
}

#[test]
fn without_net_raw_it_is_named_with_the_option_that_gives_it() {
    is_refused(&["--cap-drop=ALL"], TCPX, "listener", &["CAP_NET_RAW", "--cap-add=NET_RAW"]);
}

#[test]
fn iptables_guard_without_net_admin_it_is_named_with_the_option_that_gives_it() {
    is_refused(NET_RAW_ALONE, TCPX_IPTABLES, "iptables", &["CAP_NET_ADMIN", "--cap-add=NET_ADMIN"]);
}

#[test]
fn iptables_guard_without_iptables_the_other_guard_is_named() {
    is_refused(WITH_NET_ADMIN, TCPX, "iptables", &["no iptables program here", "--rst-guard listener"]);
}

#[test]
fn other_users_have_them_from_the_program_file_unless_they_may_gain_none() {
    const NOBODY: &str = "--user=65534:65534";
    let lan = Lan::new();
    for (image, options, guard) in [(TCPX, NET_RAW_ALONE, "listener"), (TCPX_IPTABLES, WITH_NET_ADMIN, "iptables")] {
        lan.tcpx_server(&[options, &[NOBODY]].concat(), image, &["--rst-guard", guard]).end_by("TERM");
    }
    is_refused(&[NET_RAW_ALONE, &[NOBODY, "--security-opt=no-new-privileges"]].concat(), TCPX, "listener", &["CAP_NET_RAW"]);
}

#[test]
fn root_needs_no_new_privileges() {
    let options = "--security-opt=no-new-privileges";
    Lan::new().tcpx_server(&[NET_RAW_ALONE, &[options]].concat(), TCPX, &["--rst-guard", "listener"]);
    Lan::new().tcpx_server(&[WITH_NET_ADMIN, &[options]].concat(), TCPX_IPTABLES, &["--rst-guard", "iptables"]);
}
