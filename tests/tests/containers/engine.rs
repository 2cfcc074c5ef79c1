//! Containers on a network of their own, and what can be seen of them from outside; all gone with
//! the test.

use crate::harness::{Capture, Ended, Host, PORT, Program, until};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use tcpx::netns::Namespace;

/// What tcpx needs under the listener guard.
pub(crate) const NET_RAW_ALONE: &[&str] = &["--cap-drop=ALL", "--cap-add=NET_RAW", "--read-only"];
/// What it needs under the iptables guard.
pub(crate) const WITH_NET_ADMIN: &[&str] = &[
    "--cap-drop=ALL",
    "--cap-add=NET_RAW",
    "--cap-add=NET_ADMIN",
    "--read-only",
];

/// Binaries and nothing else.
pub(crate) const TCPX: &str = "tcpx";
/// With iptables.
pub(crate) const TCPX_IPTABLES: &str = "tcpx:iptables";
/// Debian with curl and nginx.
pub(crate) const DEBIAN: &str = "tcpx-debian";

/// The output of `docker`, which must succeed.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("docker: {error}"));
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A network without a way out.
pub(crate) struct Lan {
    name: String,
    /// The client's address.
    pub(crate) a: Ipv4Addr,
    /// The server's address.
    pub(crate) b: Ipv4Addr,
}

impl Lan {
    pub(crate) fn new() -> Lan {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        // Of the addresses for benchmarks (RFC 2544), eight for each test.
        let pid = std::process::id();
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = |last| Ipv4Addr::new(198, 18, (pid % 256) as u8, 8 * nth + last);
        let name = format!("tcpx-test-{pid}-{nth}");
        docker(&[
            "network",
            "create",
            "--internal",
            "--subnet",
            &format!("{}/29", address(0)),
            &name,
        ]);
        Lan {
            name,
            a: address(2),
            b: address(3),
        }
    }

    /// Where the server listens.
    pub(crate) fn server(&self) -> SocketAddr {
        (self.b, PORT).into()
    }

    /// Starts a container at an address of this network.
    pub(crate) fn start(
        &self,
        address: Ipv4Addr,
        options: &[&str],
        image: &str,
        words: &[&str],
    ) -> Container {
        let name = format!("{}-{}", self.name, address.octets()[3]);
        let mut command = Command::new("docker");
        command.args([
            "run",
            "--rm",
            "--name",
            &name,
            "--network",
            &self.name,
            "--ip",
            &address.to_string(),
        ]);
        Container {
            program: Program::start(command.args(options).arg(image).args(words)),
            name: Name(name),
            address,
        }
    }

    /// A server of ours that listens when this returns.
    pub(crate) fn tcpx_server(&self, options: &[&str], image: &str, flags: &[&str]) -> Container {
        let address = self.server().to_string();
        let mut container = self.start(
            self.b,
            options,
            image,
            &[&["tcpx-server", &address], flags].concat(),
        );
        container.program.wait_for("listening on");
        container
    }

    /// A client of ours to that server.
    pub(crate) fn tcpx_client(&self, options: &[&str], image: &str, flags: &[&str]) -> Container {
        let address = self.server().to_string();
        self.start(
            self.a,
            options,
            image,
            &[&["tcpx-client", &address], flags].concat(),
        )
    }

    /// Starts to capture, in the namespace of one end, what it exchanges with the other.
    pub(crate) fn capture(&self, container: &Container) -> Capture {
        let far = if container.address == self.a {
            self.b
        } else {
            self.a
        };
        Capture::start(&container.host(), far, self.path())
    }

    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.pcap", self.name))
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let _nothing_depends_on_it = Command::new("docker")
            .args(["network", "rm", &self.name])
            .output();
        let _there_may_be_none = std::fs::remove_file(self.path());
    }
}

/// A running container.
pub(crate) struct Container {
    /// The engine's client, which hands through what the container says and how it ends.
    pub(crate) program: Program,
    name: Name,
    address: Ipv4Addr,
}

/// A container's name; dropped, it takes the container with it.
struct Name(String);

impl Container {
    /// Its network namespace, seen from outside. It outlives the container, though not its
    /// interface.
    pub(crate) fn host(&self) -> Host {
        let pid = until("the container's first process", || {
            Some(self.inspect("{{.State.Pid}}")).filter(|pid| !["", "0"].contains(&pid.as_str()))
        });
        Host::within(
            Namespace::from_fd(File::open(format!("/proc/{pid}/ns/net")).unwrap().into()),
            self.address,
        )
    }

    /// What the engine knows of it; empty before it does.
    pub(crate) fn inspect(&self, format: &str) -> String {
        let output = Command::new("docker")
            .args(["inspect", "--format", format, &self.name.0])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Sends a signal to its first process, and waits for the end.
    pub(crate) fn end_by(self, signal: &str) -> Ended {
        docker(&["kill", "--signal", signal, &self.name.0]);
        self.program.finish()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ended_already = Command::new("docker")
            .args(["rm", "--force", &self.0])
            .output();
    }
}
