//! What a host's own kernel knows: its sockets and its firewall.

use super::{Host, until};

/// The kernel's TCP sockets of a host that match a filter of `ss`, a line each, the state first.
pub(crate) fn sockets(host: &Host, filter: &str) -> Vec<String> {
    host.output("ss", &["-tanH", filter])
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Waits for a socket of the kernel in this state, in the spelling of `ss`.
pub(crate) fn await_socket(host: &Host, state: &str, filter: &str) {
    until(&format!("a socket in {state} ({filter})"), || {
        sockets(host, filter)
            .iter()
            .any(|line| line.split_whitespace().next() == Some(state))
            .then_some(())
    });
}

/// The rules in the host's OUTPUT chain.
pub(crate) fn iptables_rules(host: &Host) -> Vec<String> {
    host.output("iptables", &["-S", "OUTPUT"])
        .lines()
        .skip(1)
        .map(str::to_owned)
        .collect()
}
