//! The guard that drops the kernel's RSTs with a firewall rule.

use super::watchdog::{Order, Watchdog};
use crate::capability::Capability;
use crate::error::Error;
use crate::privileges;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where an ordinary user's PATH does not lead.
const SBIN: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// What marks a rule as ours, before its id of 16 hexadecimal digits.
const TAG: &str = "tcpx-";

/// A rule in the kernel's firewall, for as long as this lives.
#[derive(Debug)]
pub(super) struct FirewallRule {
    watchdog: Watchdog,
    /// While it is bound, [`sweep`] knows that the rule's owner lives. An abstract name belongs to
    /// the network namespace, as the rule does, and dies with the process; a process id would be
    /// wrong in another pid namespace.
    _alive: UnixDatagram,
}

impl FirewallRule {
    /// Drops the RSTs that leave from our ports without our mark.
    pub(super) fn install(
        address: IpAddr,
        ports: &RangeInclusive<u16>,
        mark: u32,
    ) -> Result<FirewallRule, Error> {
        let program = find()?;
        if !Capability::NetAdmin.effective() {
            return Err(Error::lacking(Capability::NetAdmin, "set a firewall rule"));
        }
        let name = format!("{TAG}{:016x}", super::random());
        let alive = bind(&name).map_err(Error::io("bind a Unix socket"))?;
        let specification = specification(address, ports, mark, &name);
        Ok(FirewallRule {
            watchdog: Watchdog::start(Order {
                program,
                name,
                specification,
            })?,
            _alive: alive,
        })
    }

    /// The tag of the rule, as `iptables-save` shows it.
    pub(super) fn name(&self) -> &str {
        self.watchdog.name()
    }
}

/// Whether the program is there.
pub(super) fn is_installed() -> bool {
    find().is_ok()
}

/// Removes the rules whose owners are gone, and says which.
pub(super) fn sweep() -> Result<Vec<String>, Error> {
    let program = find()?;
    let mut removed = Vec::new();
    for rule in list(&program)?.lines() {
        let Some(name) = tag(rule) else { continue };
        // Bound while the rule goes: another sweep at the same time takes it for alive.
        let Ok(_ours_now) = bind(name) else { continue };
        let arguments = rule
            .split_whitespace()
            .skip(1)
            .map(|word| word.trim_matches('"'));
        match run(
            &program,
            "delete a rule",
            ["-D"].into_iter().chain(arguments),
        ) {
            Ok(_) => removed.push(rule.to_owned()),
            // Its watchdog may have been faster.
            Err(error) if list(&program)?.contains(name) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(removed)
}

fn list(program: &Path) -> Result<String, Error> {
    run(program, "list the rules", ["-S", "OUTPUT"])
}

fn find() -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SBIN.map(PathBuf::from));
    folders
        .map(|folder| folder.join("iptables"))
        .find(|program| program.is_file())
        .ok_or(Error::NoIptables)
}

fn specification(
    address: IpAddr,
    ports: &RangeInclusive<u16>,
    mark: u32,
    name: &str,
) -> Vec<String> {
    let low = ports.start();
    let high = ports.end();
    let text = format!(
        "-s {address} -p tcp --sport {low}:{high} --tcp-flags RST RST -m mark ! --mark {mark:#x} \
         -m comment --comment {name} -j DROP"
    );
    text.split(' ').map(str::to_owned).collect()
}

fn run<'a>(
    program: &Path,
    act: &'static str,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Result<String, Error> {
    let output = privileges::lend(|| {
        Command::new(program)
            .args(["-w", "5"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
    });
    let output = output.map_err(Error::io("run iptables"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    if !Capability::NetAdmin.effective() {
        return Err(Error::lacking(Capability::NetAdmin, "use the firewall"));
    }
    Err(Error::Iptables {
        act,
        output: one_line(&output.stderr),
    })
}

fn bind(name: &str) -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// The name of one of our rules, from its line in the listing.
fn tag(rule: &str) -> Option<&str> {
    let name = rule
        .split_once("--comment ")?
        .1
        .split_whitespace()
        .next()?
        .trim_matches('"');
    let id = name.strip_prefix(TAG)?;
    (id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(name)
}

fn one_line(output: &[u8]) -> String {
    String::from_utf8_lossy(output)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_is_scoped_to_our_address_and_ports_and_spares_our_mark() {
        let words = specification(
            IpAddr::from([10, 0, 0, 1]),
            &(7000..=7003),
            0x70,
            "tcpx-0123456789abcdef",
        )
        .join(" ");
        assert_eq!(
            words,
            "-s 10.0.0.1 -p tcp --sport 7000:7003 --tcp-flags RST RST -m mark ! --mark 0x70 -m \
             comment --comment tcpx-0123456789abcdef -j DROP"
        );
    }

    #[test]
    fn only_a_comment_of_our_form_is_a_tag() {
        let rule =
            |comment: &str| format!("-A OUTPUT -p tcp -m comment --comment {comment} -j DROP");
        assert_eq!(
            tag(&rule("tcpx-0123456789abcdef")),
            Some("tcpx-0123456789abcdef")
        );
        assert_eq!(
            tag(&rule("\"tcpx-0123456789abcdef\"")),
            Some("tcpx-0123456789abcdef")
        );
        for other in [
            "tcpx-",
            "tcpx-0123",
            "tcpx-0123456789abcdeg",
            "\"my tcpx-0123456789abcdef\"",
            "other",
        ] {
            assert_eq!(tag(&rule(other)), None, "{other}");
        }
        assert_eq!(tag("-P OUTPUT ACCEPT"), None);
    }
}
