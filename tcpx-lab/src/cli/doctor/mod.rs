//! What works on this machine, what does not, and the command that fixes it.

mod environment;

use super::{print, say, success};
use crate::programs::{find, sibling, to_get};
use clap::builder::styling::AnsiColor;
use rustix::process::getuid;
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};
use tcpx::GuardKind;
use tcpx::Ports;
use tcpx::link::{Link, LinkOptions};
use tcpx::netns::root::{self, sysctl};
use tcpx::netns::{self, Cable};
use tcpx_cli::{Cell, Fit, Table, TableFormat};

/// One thing that was tried.
#[derive(Clone, Serialize, Deserialize, Debug)]
struct Check {
    /// What.
    name: String,
    /// Whether it works.
    works: bool,
    /// What was found.
    found: String,
    /// The command that fixes it.
    fix: Option<String>,
}

impl Check {
    fn new(name: &str, outcome: Result<String, (String, String)>) -> Check {
        let (works, found, fix) = match outcome {
            Ok(found) => (true, found, None),
            // Root needs no sudo, and a container has none.
            Err((found, fix)) if getuid().is_root() => {
                (false, found, Some(fix.replace("sudo ", "")))
            }
            Err((found, fix)) => (false, found, Some(fix)),
        };
        Check {
            name: name.to_owned(),
            works,
            found,
            fix,
        }
    }
}

/// Prints what works. The exit status is 1 if neither a pair of namespaces nor a raw socket can be
/// opened.
///
/// # Errors
/// The report cannot be printed.
pub fn run(format: TableFormat) -> anyhow::Result<ExitCode> {
    let checks = examine();
    match format {
        TableFormat::Text => print(&table(&checks))?,
        TableFormat::Json => say(&serde_json::to_string_pretty(&checks)?)?,
    }
    let usable = |name: &str| checks.iter().any(|check| check.name == name && check.works);
    Ok(success(usable("NET_RAW") || usable("network namespaces")))
}

/// Tries everything. What needs a network namespace is tried by a child, so that nothing changes
/// here.
fn examine() -> Vec<Check> {
    let mut checks = vec![raw_socket(), mark(), net_admin()];
    checks.extend(probe_in_a_child());
    checks.extend(PROGRAMS.iter().map(program));
    checks.extend(["tcpx-client", "tcpx-server"].map(file_capabilities));
    checks.extend(sysctls());
    checks.extend(environment::examine());
    checks
}

/// Prints, as JSON, what works in namespaces: for a child of [`run`].
///
/// # Errors
/// The report cannot be printed.
pub fn run_probe() -> anyhow::Result<()> {
    say(&serde_json::to_string(&probe())?)
}

/// What needs namespaces: they themselves, the cable, and the guards that keep the kernel quiet,
/// tried where they can do no harm. It changes the calling process: for a child that does nothing
/// else, before it has a second thread.
fn probe() -> Vec<Check> {
    const NAMESPACES: &str = "network namespaces";
    let root = root::has(CapabilitySet::SYS_ADMIN);
    if let Err(refusal) = root::acquire() {
        return vec![Check::new(
            NAMESPACES,
            Err((refusal.reason, refusal.remedy)),
        )];
    }
    let how = if root {
        "as root"
    } else {
        "in a user namespace, without root"
    };
    let namespaces = Check::new(NAMESPACES, Ok(how.to_owned()));
    match netns::pair(Cable::default()) {
        Err(error) => vec![
            namespaces,
            Check::new(
                "veth",
                Err((error.to_string(), "sudo modprobe veth".to_owned())),
            ),
        ],
        Ok((a, _b)) => {
            let guard = |(name, kind)| {
                Check::new(
                    name,
                    a.run(|| Ok(guard(kind)))
                        .unwrap_or_else(|e| Err((e.to_string(), String::new()))),
                )
            };
            let veth = Check::new(
                "veth",
                Ok(format!("{} and {} on a cable", netns::A, netns::B)),
            );
            let guards = [
                ("guard: iptables", GuardKind::Iptables),
                ("guard: listener", GuardKind::Listener),
            ]
            .map(guard);
            [namespaces, veth].into_iter().chain(guards).collect()
        }
    }
}

/// Puts a guard up, which proves itself with a segment of its own.
fn guard(kind: GuardKind) -> Result<String, (String, String)> {
    let options = LinkOptions {
        guard: kind,
        ..LinkOptions::new(netns::A.into(), Ports::Block(1))
    };
    match Link::open(options) {
        Ok(link) => Ok(format!("holds ({})", link.guard_description())),
        Err(error) => Err((
            error.to_string(),
            "sudo apt-get install iptables, or use --rst-guard listener".to_owned(),
        )),
    }
}

fn probe_in_a_child() -> Vec<Check> {
    let failed = |why: String| {
        vec![Check::new(
            "network namespaces",
            Err((why, "run as root".to_owned())),
        )]
    };
    let output = std::env::current_exe().and_then(|exe| Command::new(exe).arg("probe").output());
    match output {
        Err(error) => failed(error.to_string()),
        Ok(output) => serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| failed(String::from_utf8_lossy(&output.stderr).into())),
    }
}

const RUN_AS_ROOT: &str = "run as root, or in a user namespace: unshare -Urn";

fn raw_socket() -> Check {
    let outcome = open_raw().map(|_| "can open a raw IP socket".to_owned());
    Check::new(
        "NET_RAW",
        outcome.map_err(|error| (format!("cannot open a raw IP socket: {error}"), grant())),
    )
}

/// The command that lets an ordinary user run the two binaries.
fn grant() -> String {
    let path = |name| sibling(name).map_or(name.to_owned(), |path| path.display().to_string());
    format!(
        "sudo setcap cap_net_raw,cap_net_admin=p {} (and {}), or as root",
        path("tcpx-client"),
        path("tcpx-server")
    )
}

fn open_raw() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))
}

fn mark() -> Check {
    let marked = open_raw().and_then(|socket| socket.set_mark(0x70));
    let outcome = marked.map(|()| "can mark a socket's packets".to_owned());
    Check::new(
        "SO_MARK",
        outcome.map_err(|error| (error.to_string(), grant())),
    )
}

fn net_admin() -> Check {
    let outcome = if root::has(CapabilitySet::NET_ADMIN) {
        Ok("can set firewall rules".to_owned())
    } else {
        Err((
            "cannot set firewall rules: tcpx uses the listener guard".to_owned(),
            RUN_AS_ROOT.to_owned(),
        ))
    };
    Check::new("NET_ADMIN", outcome)
}

/// Programs, and what they are for; each comes in a Debian package.
const PROGRAMS: [(&str, &str, &str); 11] = [
    ("iptables", "iptables", "the iptables guard"),
    (
        "tshark",
        "tshark",
        "checking captures independently in the end-to-end tests",
    ),
    ("tcpdump", "tcpdump", "captures"),
    ("nginx", "nginx-light", "tests against a real server"),
    ("curl", "curl", "tests against a real client"),
    ("ip", "iproute2", "inspecting a namespace"),
    ("ss", "iproute2", "inspecting the kernel's sockets"),
    ("setcap", "libcap2-bin", "running the binaries without root"),
    ("jq", "jq", "reading events files"),
    ("sysctl", "procps", "the recipes"),
    ("python3", "python3", "the recipes' services and clients"),
];

fn program((name, package, purpose): &(&str, &str, &str)) -> Check {
    let outcome = match find(name) {
        Some(path) => Ok(path.display().to_string()),
        None => Err((
            format!("not found; wanted for {purpose}"),
            format!("sudo apt-get install --no-install-recommends {package}"),
        )),
    };
    Check::new(name, outcome)
}

fn file_capabilities(name: &str) -> Check {
    let outcome = match sibling(name) {
        None => Err((
            "neither next to tcpx-lab nor in PATH".to_owned(),
            to_get(name),
        )),
        Some(path) if has_capabilities(&path) => {
            Ok("starts without root: the file has capabilities".to_owned())
        }
        Some(_) => {
            Ok("found; has no file capabilities, so it needs root or a user namespace".to_owned())
        }
    };
    Check::new(name, outcome)
}

fn has_capabilities(path: &Path) -> bool {
    let mut value = [0u8; 64];
    rustix::fs::getxattr(path, "security.capability", &mut value[..]).is_ok()
}

/// Settings of the kernel that change what is seen.
fn sysctls() -> Vec<Check> {
    let net = [
        "core.rmem_max",
        "ipv4.ip_local_port_range",
        "ipv4.tcp_rfc1337",
        "ipv4.tcp_syncookies",
        "ipv4.tcp_tw_reuse",
    ];
    let names = net.map(|name| format!("net.{name}"));
    let show = |name: &String| Some(Check::new(name, Ok(sysctl(name)?.replace('\t', " "))));
    names.iter().filter_map(show).collect()
}

/// The checks as a table for people.
fn table(checks: &[Check]) -> String {
    let mut table = Table::new([
        ("", Fit::Whole),
        ("", Fit::Whole),
        ("", Fit::Wrap),
        ("fix", Fit::Below),
    ]);
    for check in checks {
        let (sign, color) = if check.works {
            ("✓", AnsiColor::Green)
        } else {
            ("✗", AnsiColor::Red)
        };
        let fix = check.fix.as_deref().unwrap_or_default();
        table.add([
            Cell::styled(sign, color.on_default()),
            check.name.as_str().into(),
            check.found.as_str().into(),
            fix.into(),
        ]);
    }
    table.on_stdout()
}
