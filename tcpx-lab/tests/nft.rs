//! Rules of the fault language between two kernels: nft loads them, and they do what the gate does.
//! The kernels' own counters judge.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../src/skip.rs"]
mod skip;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tcpx::netns::{A, B, Cable, Namespace, pair};
use tcpx_lab::linux::nft::{Own, table};
use tcpx_proto::fault::FaultRule;

const PORT: u16 = 7000;
const DOCS: &str = include_str!("../../docs/faults.md");

/// Runs a program in a namespace; its output, or what went wrong.
fn run(
    namespace: &Namespace,
    program: &str,
    arguments: &[&str],
    input: &str,
) -> Result<String, String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = namespace
        .command(&mut command)
        .unwrap()
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

fn translated(lines: &[&str], address: &str) -> String {
    let rules: Vec<FaultRule> = lines
        .iter()
        .map(|line| FaultRule::parse(line).unwrap())
        .collect();
    table(
        &rules,
        &Own {
            address: address.parse().unwrap(),
            ports: 0..=u16::MAX,
        },
    )
    .unwrap()
}

/// Two kernels on a cable, A's connections under faults.
struct World {
    a: Namespace,
    b: Namespace,
    listener: TcpListener,
}

impl World {
    /// None, with the reason, where there is no namespace or no nft.
    fn new(lines: &[&str]) -> Option<World> {
        let (a, b) = pair(Cable::PLAIN)
            .inspect_err(|error| skip::skip(error))
            .ok()?;
        if let Err(error) = run(&a, "nft", &["--version"], "") {
            skip::skip(error);
            return None;
        }
        let listener = b.run(|| TcpListener::bind((B, PORT))).unwrap();
        let world = World { a, b, listener };
        for namespace in [&world.a, &world.b] {
            run(
                namespace,
                "nft",
                &["-f", "-"],
                &translated(lines, &A.to_string()),
            )
            .unwrap();
        }
        Some(world)
    }

    fn connect(&self) -> TcpStream {
        self.a.run(|| TcpStream::connect((B, PORT))).unwrap()
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    fn connected(&self) -> (TcpStream, TcpStream) {
        let client = self.connect();
        (client, self.accept())
    }

    /// How often each line decided, as nft has counted.
    fn hits(&self) -> u64 {
        let of = |namespace| {
            let chain = run(
                namespace,
                "nft",
                &["list", "chain", "inet", "tcpx-lab", "faults"],
                "",
            )
            .unwrap();
            let counts = chain
                .split("counter packets ")
                .skip(1)
                .map(|rest| rest.split(' ').next().unwrap().parse::<u64>().unwrap());
            counts.sum::<u64>()
        };
        of(&self.a) + of(&self.b)
    }

    /// The network is well again.
    fn heal(&self) {
        for namespace in [&self.a, &self.b] {
            run(
                namespace,
                "nft",
                &["delete", "table", "inet", "tcpx-lab"],
                "",
            )
            .unwrap();
        }
    }
}

/// What a namespace's kernel says in this file.
fn proc(namespace: &Namespace, file: &str) -> String {
    namespace
        .run(|| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")))
        .unwrap()
}

/// One of the counters of the kernel's TCP.
fn counter(namespace: &Namespace, name: &str) -> u64 {
    let snmp = proc(namespace, "snmp");
    let mut lines = snmp
        .lines()
        .filter(|line| line.starts_with("Tcp:"))
        .map(|line| line.split(' '));
    let mut names = lines.next().unwrap();
    let mut values = lines.next().unwrap();
    values
        .nth(names.position(|other| other == name).unwrap())
        .unwrap()
        .parse()
        .unwrap()
}

/// Segments that the kernel has retransmitted.
fn retransmitted(namespace: &Namespace) -> u64 {
    counter(namespace, "RetransSegs")
}

/// Whether the kernel has a connection of our port in this state, in the numbers of
/// `include/net/tcp_states.h`.
fn has_state(namespace: &Namespace, state: &str) -> bool {
    let port = format!(":{PORT:04X}");
    proc(namespace, "tcp")
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|fields| {
            (fields[1].ends_with(&port) || fields[2].ends_with(&port)) && fields[3] == state
        })
}

/// Whether all that the kernel has sent on our port is acknowledged.
fn nothing_outstanding(namespace: &Namespace) -> bool {
    proc(namespace, "tcp").lines().skip(1).all(|line| {
        line.split_whitespace()
            .nth(4)
            .unwrap()
            .starts_with("00000000:")
    })
}

const ESTABLISHED: &str = "01";
const SYN_RECEIVED: &str = "03";
const FIN_WAIT_1: &str = "04";

/// What was negotiated: whether timestamps, SACK, window scaling.
fn negotiated(stream: &TcpStream) -> [bool; 3] {
    let mut info = [0u8; 104];
    let mut len = 104;
    // SAFETY: the kernel writes at most `len` octets of its tcp_info.
    let got = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    assert_eq!(got, 0);
    [info[5] & 1 != 0, info[5] & 2 != 0, info[5] & 4 != 0]
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn heard(stream: &mut TcpStream, len: usize) -> String {
    let mut text = vec![0; len];
    stream.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn docs_every_nftables_line_is_loaded_and_all_together() {
    let Some(world) = World::new(&[]) else { return };
    let blocks = DOCS.split("```nftables\n").skip(1);
    let lines: Vec<&str> = blocks
        .flat_map(|block| block.split("```").next().unwrap().lines())
        .collect();
    assert!(lines.len() > 25);
    for address in ["10.77.0.1", "fd00::1"] {
        for line in lines.iter().map(std::slice::from_ref).chain([&lines[..]]) {
            let text = translated(line, address);
            run(&world.a, "nft", &["-f", "-"], &text)
                .unwrap_or_else(|error| panic!("{line:?}: {error}\n{text}"));
        }
    }
}

#[test]
fn fin_dropped_closer_stays_in_fin_wait_1_until_the_rule_goes() {
    let Some(world) = World::new(&["drop out fin"]) else {
        return;
    };
    let (client, mut server) = world.connected();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    until("the FIN is sent again", || world.hits() >= 3);
    assert!(has_state(&world.a, FIN_WAIT_1) && has_state(&world.b, ESTABLISHED));
    assert!(retransmitted(&world.a) >= 2);
    server.set_nonblocking(true).unwrap();
    assert_eq!(
        server.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    server.set_nonblocking(false).unwrap();
    world.heal();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
}

#[test]
fn first_two_syn_acks_dropped_third_one_connects() {
    let Some(world) = World::new(&["drop in syn-ack#1.0..1"]) else {
        return;
    };
    let start = Instant::now();
    let (mut client, mut server) = world.connected();
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    client.write_all(b"through").unwrap();
    assert_eq!(
        (heard(&mut server, 7).as_str(), world.hits()),
        ("through", 2)
    );
}

#[test]
fn third_ack_dropped_each_time_server_stays_in_syn_received_until_data_comes() {
    let Some(world) = World::new(&["drop out third-ack"]) else {
        return;
    };
    let mut client = world.connect();
    until("the SYN,ACK is acknowledged again", || world.hits() >= 2);
    assert!(
        has_state(&world.a, ESTABLISHED)
            && has_state(&world.b, SYN_RECEIVED)
            && !has_state(&world.b, ESTABLISHED)
    );
    client.write_all(b"data").unwrap();
    let mut server = world.accept();
    assert_eq!(heard(&mut server, 4), "data");
    server.write_all(b"answer").unwrap();
    assert_eq!(heard(&mut client, 6), "answer");
}

#[test]
fn third_ack_dropped_where_it_comes_in_data_brings_it_again() {
    // B is the one that the rule is for: what it gets first of a client with ACK.
    let Some(world) = World::new(&[]) else { return };
    run(
        &world.b,
        "nft",
        &["-f", "-"],
        &translated(&["drop in third-ack"], &B.to_string()),
    )
    .unwrap();
    let mut client = world.connect();
    client.write_all(b"data").unwrap();
    let mut server = world.accept();
    assert_eq!((heard(&mut server, 4).as_str(), world.hits()), ("data", 1));
}

#[test]
fn first_data_and_its_first_retransmission_dropped_second_one_arrives() {
    let Some(world) = World::new(&["drop out data#1.0..1"]) else {
        return;
    };
    let (mut client, mut server) = world.connected();
    client.write_all(b"first").unwrap();
    assert_eq!((heard(&mut server, 5).as_str(), world.hits()), ("first", 2));
    assert!(retransmitted(&world.a) >= 2);
    client.write_all(b"second").unwrap();
    assert_eq!(
        (heard(&mut server, 6).as_str(), world.hits()),
        ("second", 2)
    );
}

#[test]
fn second_and_third_ack_dropped_counts_each_time() {
    let Some(world) = World::new(&["drop in ack#2..3"]) else {
        return;
    };
    let (mut client, mut server) = world.connected();
    let mut say = |text: &str| {
        client.write_all(text.as_bytes()).unwrap();
        assert_eq!(heard(&mut server, text.len()), text);
    };
    say("acknowledged");
    say("not");
    until("two ACKs are dropped", || world.hits() == 2);
    say("acknowledged again");
    until("all is acknowledged", || nothing_outstanding(&world.a));
    assert_eq!(world.hits(), 2);
    assert!(retransmitted(&world.a) >= 1);
}

#[test]
fn next_connection_on_the_same_ports_is_counted_anew() {
    let Some(world) = World::new(&["drop out data#1"]) else {
        return;
    };
    for times in 1..=3 {
        let client = world.a.run(|| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
            socket.set_linger(Some(Duration::ZERO))?;
            socket.bind(&SocketAddr::from((A, 40_000)).into())?;
            socket.connect(&SocketAddr::from((B, PORT)).into())?;
            Ok(socket)
        });
        let client = TcpStream::from(client.unwrap());
        let mut server = world.accept();
        (&client).write_all(b"text").unwrap();
        assert_eq!(
            (heard(&mut server, 4).as_str(), world.hits()),
            ("text", times)
        );
        drop(client);
        assert_eq!(
            server.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }
}

#[test]
fn syn_rewritten_options_are_not_negotiated_and_the_mss_is_kept() {
    let plain = {
        let Some(world) = World::new(&["rewrite(win=1000) out syn"]) else {
            return;
        };
        let (client, server) = world.connected();
        [negotiated(&client), negotiated(&server)]
    };
    assert_eq!(plain, [[true; 3]; 2], "without the rule all is negotiated");
    for (edits, expected) in [
        ("mss=536, strip=sack, strip=wscale", [true, false, false]),
        ("strip=timestamps, mss=536", [false, true, true]),
        (
            "strip=wscale, strip=sack, strip=timestamps, mss=536, tos=0x20, ttl=9",
            [false; 3],
        ),
    ] {
        let Some(world) = World::new(&[&format!("rewrite({edits}) out syn")]) else {
            return;
        };
        let (mut client, mut server) = world.connected();
        assert_eq!(
            [negotiated(&client), negotiated(&server)],
            [expected; 2],
            "{edits}"
        );
        let mss = socket2::SockRef::from(&server).tcp_mss().unwrap();
        assert!((500..=536).contains(&mss), "{mss}");
        client.write_all(b"text").unwrap();
        assert_eq!((heard(&mut server, 4).as_str(), world.hits()), ("text", 1));
    }
}

#[test]
fn rewritten_segments_have_right_checksums() {
    // Whatever the rule writes that TCP does not mind: if a checksum were wrong, nothing would
    // arrive.
    let lines = [
        "rewrite(res=5, id=77, tos=0x2c, urg=9) out data",
        "rewrite(win=500, ttl=3) in segment",
    ];
    let Some(world) = World::new(&lines) else {
        return;
    };
    let (mut client, mut server) = world.connected();
    client.write_all(&[b'x'; 5000]).unwrap();
    assert_eq!(heard(&mut server, 5000).len(), 5000);
    assert!(world.hits() >= 6);
    assert_eq!(
        [
            counter(&world.a, "InCsumErrors"),
            counter(&world.b, "InCsumErrors")
        ],
        [0, 0]
    );
}

#[test]
fn long_segments_dropped_short_ones_pass() {
    let Some(world) = World::new(&["drop out longer=1000"]) else {
        return;
    };
    let (mut client, mut server) = world.connected();
    for text in [10, 1000, 7] {
        client.write_all(&vec![b'x'; text]).unwrap();
        assert_eq!(heard(&mut server, text).len(), text);
    }
    assert_eq!(world.hits(), 0);
    client.write_all(&[b'y'; 1001]).unwrap();
    until("it is sent again", || world.hits() >= 2);
    server.set_nonblocking(true).unwrap();
    assert_eq!(
        server.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn a_tenth_of_the_data_dropped_all_of_it_arrives() {
    let Some(world) = World::new(&["rate=10% drop out data"]) else {
        return;
    };
    let (mut client, mut server) = world.connected();
    let sender = std::thread::spawn(move || {
        client.write_all(&vec![b'z'; 300_000]).unwrap();
        client
    });
    assert_eq!(heard(&mut server, 300_000).len(), 300_000);
    drop(sender.join().unwrap());
    let hits = world.hits();
    assert!((3..150).contains(&hits), "{hits} of at least 208");
    assert!(retransmitted(&world.a) >= hits);
}

#[test]
fn command_prints_a_table_that_loads_or_says_why_not() {
    let lab = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tcpx-lab"))
            .arg("nft")
            .args(arguments)
            .output()
            .unwrap()
    };
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    let printed = lab(&[
        "drop out fin",
        "drop in syn-ack#1",
        "--address",
        &Ipv4Addr::LOCALHOST.to_string(),
        "--port",
        "7000",
    ]);
    assert!(printed.status.success());
    let printed = text(printed.stdout);
    assert!(
        printed.contains("ip saddr 127.0.0.1 tcp sport 7000 tcp flags & fin == fin counter drop"),
        "{printed}"
    );
    if let Some(world) = World::new(&[]) {
        run(&world.a, "nft", &["-f", "-"], &printed).unwrap();
    }
    let refused = lab(&["drop out fin", "delay=3s out data", "--address", "::1"]);
    assert_eq!(refused.status.code(), Some(2));
    let refused = text(refused.stderr);
    assert!(
        refused.contains("cannot keep one for later") && refused.contains("^^^^^^^^"),
        "{refused}"
    );
}
