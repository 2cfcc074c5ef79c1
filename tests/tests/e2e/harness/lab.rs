//! Two hosts: network namespaces on a cable, or two addresses of this machine's loopback.

use super::{Capture, PATIENCE, Program};
use rustix::thread::CapabilitySet;
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use tcpx::LinkKind;
use tcpx::netns::root;
use tcpx::netns::{self, Cable, Namespace};

/// Where the servers listen.
pub(crate) const PORT: u16 = 7000;

/// One end.
pub(crate) struct Host {
    pub(crate) address: Ipv4Addr,
    /// None: where this process is.
    namespace: Option<Namespace>,
    device: &'static str,
}

impl Host {
    /// The one whose namespace this is.
    pub(crate) fn within(namespace: Namespace, address: Ipv4Addr) -> Host {
        Host {
            address,
            namespace: Some(namespace),
            device: netns::DEVICE,
        }
    }

    /// A program that will start on this host.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(namespace) = &self.namespace {
            namespace.command(&mut command).unwrap();
        }
        command
    }

    /// What is typed into a shell on this host, our programs in its path.
    pub(crate) fn shell(&self, typed: &str) -> Command {
        let programs = built("tcpx-lab");
        let path = format!(
            "{}:{}",
            programs.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        // Tests that run in the background have SIGINT ignored, and with them whatever they start.
        let mut command = self.command("env");
        command
            .args(["--default-signal=INT", "bash", "-c", typed])
            .env("PATH", path);
        command
    }

    /// The output of a program that must succeed.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> String {
        let output = self
            .command(program)
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Does `work`, opening sockets for instance, on this host.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> std::io::Result<T> + Send) -> T {
        match &self.namespace {
            Some(namespace) => namespace.run(work).unwrap(),
            None => work().unwrap(),
        }
    }

    /// A connection of the kernel's from this host's address.
    pub(crate) fn connect(&self, to: SocketAddr) -> TcpStream {
        self.run(|| {
            let socket = patient_socket()?;
            socket.bind(&self.at(0).into())?;
            socket.connect(&to.into())?;
            Ok(socket.into())
        })
    }

    /// A listener of the kernel's on this host's address.
    pub(crate) fn listen(&self, port: u16) -> TcpListener {
        self.run(|| {
            let socket = patient_socket()?;
            socket.set_reuse_address(true)?;
            socket.bind(&self.at(port).into())?;
            socket.listen(128)?;
            Ok(socket.into())
        })
    }

    /// The address with a port.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }
}

/// Two hosts and a directory, all gone when this is dropped.
pub(crate) struct Lab {
    /// The client's end.
    pub(crate) a: Host,
    /// The server's end.
    pub(crate) b: Host,
    directory: PathBuf,
    /// What our programs are started with on every command line.
    guard: &'static [&'static str],
    link: LinkKind,
}

impl Lab {
    /// Two namespaces, every offload off so that a capture shows what is on the cable; None, with
    /// the reason on stderr, where they are not to be had.
    pub(crate) fn netns() -> Option<Lab> {
        let tools = ["dumpcap", "tshark", "ss"]
            .iter()
            .find(|tool| !installed(tool));
        let made = match tools {
            Some(tool) => Err(format!("no {tool} here")),
            None => netns::pair(Cable::PLAIN)
                .map_err(|error| format!("a network namespace cannot be made: {error}")),
        };
        let (a, b) = made.map_err(|reason| skip("netns", &reason)).ok()?;
        Some(Lab {
            a: Host::within(a, netns::A),
            b: Host::within(b, netns::B),
            directory: directory(),
            guard: &[],
            link: usual_link(),
        })
    }

    /// Two addresses of the loopback where we are. Our programs get NET_RAW and nothing else, and
    /// so the listener as their guard.
    pub(crate) fn loopback() -> Option<Lab> {
        static TAKEN: AtomicU8 = AtomicU8::new(1);
        let reason = if !root::has(CapabilitySet::NET_RAW) {
            Some("no capability NET_RAW".to_owned())
        } else {
            ["dumpcap", "tshark", "setpriv"]
                .iter()
                .find(|tool| !installed(tool))
                .map(|tool| format!("no {tool} here"))
        };
        if let Some(reason) = reason {
            skip("loopback", &reason);
            return None;
        }
        // Two test programs at a time do not meet: each has a net of its own.
        let net = std::process::id().to_be_bytes();
        let nth = TAKEN.fetch_add(2, Ordering::Relaxed);
        let host = |last| Host {
            address: Ipv4Addr::new(127, 64 | (net[2] & 63), net[3], last),
            namespace: None,
            device: "lo",
        };
        Some(Lab {
            a: host(nth),
            b: host(nth + 1),
            directory: directory(),
            guard: &["--rst-guard", "listener"],
            link: usual_link(),
        })
    }

    /// The labs of `make`, with each kind of link.
    pub(crate) fn with_each_link(make: fn() -> Option<Lab>) -> impl Iterator<Item = Lab> {
        LinkKind::ALL.into_iter().filter_map(move |link| {
            let mut lab = make()?;
            lab.link = link;
            Some(lab)
        })
    }

    /// What this test needs is not here.
    pub(crate) fn skip(&self, reason: &str) {
        skip(
            if self.guard.is_empty() {
                "netns"
            } else {
                "loopback"
            },
            reason,
        );
    }

    /// A path in the directory of this test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The same for a command line.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The server on B, which listens when this returns.
    pub(crate) fn server(&self, arguments: &[&str]) -> Program {
        let mut program = self.server_at(&self.b.at(PORT).to_string(), arguments);
        program.wait_for("listening on");
        program
    }

    /// The server on B at an address of the caller's choice, not awaited.
    pub(crate) fn server_at(&self, address: &str, arguments: &[&str]) -> Program {
        Program::start(
            self.tcpx(&self.b, "tcpx-server")
                .arg(address)
                .args(arguments),
        )
    }

    /// The client on A to the server's address.
    pub(crate) fn client(&self, arguments: &[&str]) -> Program {
        Program::start(&mut self.client_command(arguments))
    }

    /// The same, not started.
    pub(crate) fn client_command(&self, arguments: &[&str]) -> Command {
        let bound: &[&str] = if self.guard.is_empty() || arguments.contains(&"--bind") {
            &[]
        } else {
            &["--bind"]
        };
        let mut command = self.tcpx(&self.a, "tcpx-client");
        command
            .arg(self.b.at(PORT).to_string())
            .args(arguments)
            .args(bound);
        // On the loopback the route would choose the same address for both ends.
        if !bound.is_empty() {
            command.arg(self.a.at(0).to_string());
        }
        command
    }

    /// One of our programs on a host, without arguments yet.
    pub(crate) fn tcpx(&self, host: &Host, name: &str) -> Command {
        let program = built(name);
        let mut command = if self.guard.is_empty() {
            host.command(program)
        } else {
            let mut command = host.command("setpriv");
            command.arg("--bounding-set=-all,+net_raw").arg(program);
            command
        };
        command.args(self.guard);
        if name != "tcpx-lab" && self.link != LinkKind::default() {
            command.args(["--link", self.link.name()]);
        }
        command
    }

    /// Starts to capture what passes B's interface.
    pub(crate) fn capture(&self) -> Capture {
        Capture::start(&self.b, self.a.address, self.path("capture.pcap"))
    }
}

impl Host {
    pub(super) fn device(&self) -> &'static str {
        self.device
    }

    /// Its namespace, for the witnesses of `tcpx_lab::linux`.
    pub(crate) fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _nothing_depends_on_it = std::fs::remove_dir_all(&self.directory);
    }
}

/// The link of tests that do not choose one: what the environment's LINK names, or the programs'
/// default.
fn usual_link() -> LinkKind {
    match std::env::var("LINK") {
        Ok(name) => LinkKind::ALL
            .into_iter()
            .find(|link| link.name() == name)
            .expect("LINK names no kind of link"),
        Err(_) => LinkKind::default(),
    }
}

/// Says why a test does not run, and panics if REQUIRE names its placement.
pub(crate) fn skip(placement: &str, reason: &str) {
    let required = std::env::var("REQUIRE")
        .is_ok_and(|list| list.split(',').any(|one| one.trim() == placement));
    assert!(!required, "REQUIRE names {placement}, and {reason}");
    // Not by a macro: the test runner would keep it to itself.
    _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// Whether a program can be run by its name.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// A socket of the kernel's on which nothing waits for ever; the connections that it accepts
/// inherit that.
fn patient_socket() -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A directory of this test's own.
fn directory() -> PathBuf {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let name = format!(
        "tcpx-e2e-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A binary of this workspace, next to the directory of this test program.
pub(crate) fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().and_then(Path::parent).unwrap().join(name);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build --workspace --bins --examples`; `make test` does it",
        path.display()
    );
    path
}
