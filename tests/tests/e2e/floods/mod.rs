//! Floods on the wire, each with a client of the kernel's beside it, whose requests are the
//! measure: the second table of docs/limits.md (`make limits`). Without UPDATE a small version of
//! each.

mod crowd;

use crate::harness::{Lab, PORT, Program, skip, until};
use crowd::{Crowd, Manner};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::Flags;
use tcpx_tests::limits;
use tcpx_tests::tun::Tun;

const ACK: Flags = Flags::ACK;
const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
/// Longest that a request may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests at least, beside each flood.
const REQUESTS: usize = 20;
/// Kilobytes that a small flood may cost the server, however many connections it has.
const MOST_KB: u64 = 30_000;

/// What the client does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    /// A connection for each request.
    Connects,
    /// Requests on one that it has.
    Stays,
}

/// A flood and its size in docs/limits.md.
struct Flood {
    name: &'static str,
    count: usize,
    /// What the server may repeat because it gets no answer, in all.
    repeats: usize,
    client: Client,
    run: fn(&mut Crowd, usize, SocketAddr),
}

macro_rules! blind {
    ($name:literal, $flags:expr, $text:expr) => {
        [
            Flood {
                name: concat!($name, " to the listener"),
                count: 1_000_000,
                repeats: 0,
                client: Client::Connects,
                run: |crowd, count, _| blind(crowd, count, None, $flags, $text),
            },
            Flood {
                name: concat!($name, " into a connection"),
                count: 1_000_000,
                repeats: 0,
                client: Client::Stays,
                run: |crowd, count, peer| blind(crowd, count, Some(peer), $flags, $text),
            },
        ]
    };
}

/// Segments with random numbers, from strangers, or as if from a peer.
fn blind(crowd: &mut Crowd, count: usize, peer: Option<SocketAddr>, flags: Flags, text: &[u8]) {
    for nth in 0..count {
        let source = peer.unwrap_or_else(|| crowd.stranger());
        let random = crowd.random.next();
        let header = crowd.header(
            source,
            flags,
            Seq(random as u32),
            Seq((random >> 32) as u32),
        );
        crowd.send(&header, text);
        if nth % 64 == 0 {
            crowd.hear(Manner::Silent);
        }
    }
}

fn icmp(crowd: &mut Crowd, count: usize, peer: SocketAddr, kind: u8, code: u8, mtu: u16) {
    for _ in 0..count {
        let seq = Seq(crowd.random.next() as u32);
        crowd.icmp(kind, code, mtu, peer, seq);
    }
}

/// How long connections are held, and what comes late is waited for.
fn hold() -> Duration {
    Duration::from_millis(if limits::is_updated() { 500 } else { 50 })
}

fn floods() -> Vec<Flood> {
    let segments = [
        blind!("SYN", Flags::SYN, b""),
        blind!("ACK", ACK, b""),
        blind!("RST", Flags::RST, b""),
        blind!("FIN,ACK", FIN_ACK, b""),
        blind!("text", ACK, b"0123456789"),
        blind!("SYN,ACK", SYN_ACK, b""),
    ];
    let connections = [
        Flood {
            name: "half-open: SYNs, no answer to the SYN,ACK",
            count: 100_000,
            repeats: 5 * 128,
            client: Client::Connects,
            run: |crowd, count, _| blind(crowd, count, None, Flags::SYN, b""),
        },
        Flood {
            name: "connections that say nothing",
            count: 10_000,
            repeats: 0,
            client: Client::Connects,
            run: |crowd, count, _| {
                crowd.open(count, Manner::Acknowledge);
                crowd.stay(hold(), Manner::Acknowledge);
                crowd.leave();
            },
        },
        Flood {
            name: "connections with a zero window and 8 kB that wait for it",
            count: 10_000,
            repeats: 0,
            client: Client::Connects,
            run: |crowd, count, _| {
                crowd.open(count, Manner::ZeroWindow);
                for _ in 0..8 {
                    crowd.say(&[7; 1000], Manner::ZeroWindow, ACK);
                }
                crowd.stay(4 * hold(), Manner::ZeroWindow);
                crowd.leave();
            },
        },
        Flood {
            name: "connections that never acknowledge the FIN",
            count: 1_000,
            repeats: 8_000,
            client: Client::Connects,
            run: |crowd, count, _| {
                crowd.open(count, Manner::Silent);
                crowd.say(b"", Manner::Silent, FIN_ACK);
                crowd.stay(4 * hold(), Manner::Silent);
                crowd.leave();
            },
        },
        Flood {
            name: "slow loris: connections that send a byte at a time",
            count: 1_000,
            repeats: 0,
            client: Client::Connects,
            run: |crowd, count, _| {
                crowd.open(count, Manner::Acknowledge);
                for _ in 0..5 {
                    crowd.say(b"x", Manner::Acknowledge, ACK);
                    crowd.stay(hold() / 4, Manner::Acknowledge);
                }
                crowd.leave();
            },
        },
    ];
    let errors = [
        Flood {
            name: "ICMP unreachable about a connection",
            count: 100_000,
            repeats: 0,
            client: Client::Stays,
            run: |crowd, count, peer| icmp(crowd, count, peer, 3, 1, 0),
        },
        Flood {
            name: "ICMP fragmentation needed (MTU 68) about a connection",
            count: 100_000,
            repeats: 0,
            client: Client::Stays,
            run: |crowd, count, peer| icmp(crowd, count, peer, 3, 4, 68),
        },
        Flood {
            name: "ICMP port unreachable about strangers",
            count: 100_000,
            repeats: 0,
            client: Client::Connects,
            run: |crowd, count, _| {
                let stranger = crowd.stranger();
                icmp(crowd, count, stranger, 3, 3, 0);
            },
        },
    ];
    connections
        .into_iter()
        .chain(segments.into_iter().flatten())
        .chain(errors)
        .collect()
}

/// How long each request took that was answered, and how many were not.
#[derive(Default)]
struct Requests {
    took: Vec<Duration>,
    failed: usize,
}

impl Requests {
    fn add(&mut self, began: Instant, outcome: std::io::Result<()>) {
        match outcome {
            Ok(()) => self.took.push(began.elapsed()),
            Err(_) => self.failed += 1,
        }
    }

    /// Milliseconds: the median and the 99th percentile.
    fn latency(&mut self) -> (f64, f64) {
        self.took.sort();
        let at = |part: f64| {
            let index = (self.took.len() as f64 * part) as usize;
            let took = self.took.get(index.min(self.took.len().saturating_sub(1)));
            took.map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
        };
        (at(0.5), at(0.99))
    }
}

fn exchange(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut heard = [0; 64];
    stream.write_all(&[7; 64])?;
    stream.read_exact(&mut heard)
}

fn connect(lab: &Lab) -> std::io::Result<TcpStream> {
    lab.a.run(|| {
        Ok(
            TcpStream::connect_timeout(&lab.b.at(PORT), PATIENCE).and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(stream)
            }),
        )
    })
}

/// Requests until `stop`, and a number of them at least.
fn requests(lab: &Lab, kept: Option<&TcpStream>, stop: &AtomicBool) -> Requests {
    let mut requests = Requests::default();
    while !stop.load(Ordering::Relaxed) || requests.took.len() + requests.failed < REQUESTS {
        let began = Instant::now();
        let outcome = match kept {
            Some(stream) => exchange(stream),
            None => connect(lab).and_then(|stream| exchange(&stream)),
        };
        requests.add(began, outcome);
        std::thread::sleep(Duration::from_millis(2));
    }
    requests
}

/// Kilobytes, by a line of /proc/PID/status.
fn memory(server: &Program, line: &str) -> u64 {
    let path = format!("/proc/{}/status", server.pid());
    let status = fs::read_to_string(path).unwrap();
    let value = status
        .lines()
        .find_map(|text| text.strip_prefix(line))
        .unwrap();
    value
        .trim_matches([':', ' ', '\t', 'k', 'B'])
        .parse()
        .unwrap()
}

/// TCP segments that the client's kernel has received.
fn heard_by_the_client(lab: &Lab) -> u64 {
    let snmp = lab
        .a
        .run(|| fs::read_to_string("/proc/thread-self/net/snmp"));
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let names = lines.next().unwrap().split(' ');
    let values = lines.next().unwrap().split(' ');
    let found = names.zip(values).find(|(name, _)| *name == "InSegs");
    found.unwrap().1.parse().unwrap()
}

/// Runs one, beside the client; its row, and what is wrong.
fn beside(
    lab: &Lab,
    server: &Program,
    crowd: &mut Crowd,
    flood: &Flood,
    count: usize,
) -> (String, Option<String>) {
    let kept = until("the server to listen", || connect(lab).ok());
    let own = kept.local_addr().unwrap();
    let kept = (flood.client == Client::Stays).then_some(&kept);
    let mut calm = requests(lab, kept, &AtomicBool::new(true));
    let before = memory(server, "VmRSS");
    fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
    crowd.hear(Manner::Silent);
    (crowd.sent, crowd.replies) = (0, 0);
    let heard = heard_by_the_client(lab);
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let (mut beside, took) = std::thread::scope(|scope| {
        let client = scope.spawn(|| requests(lab, kept, &stop));
        (flood.run)(crowd, count, own);
        let took = began.elapsed();
        stop.store(true, Ordering::Relaxed);
        (client.join().unwrap(), took)
    });
    crowd.stay(hold(), Manner::Silent);
    // Of the requests themselves: one segment each on a connection that stays.
    let own_segments = beside.took.len() as u64;
    let spoofed = match kept {
        Some(_) => (heard_by_the_client(lab) - heard).saturating_sub(own_segments),
        None => 0,
    };
    let peak = memory(server, "VmHWM");
    let after = memory(server, "VmRSS");
    let (sent, replies) = (crowd.sent, crowd.replies + spoofed);
    let all = beside.took.len() + beside.failed;
    let (calm, under) = (calm.latency(), beside.latency());
    let row = format!(
        "| {} | {count} | {:.0}k | {} of {all} | {:.1} / {:.1} | {:.1} / {:.1} | {:.1} / {:.1} / \
         {:.1} | {:.3} |",
        flood.name,
        sent as f64 / took.as_secs_f64() / 1e3,
        beside.took.len(),
        calm.0,
        calm.1,
        under.0,
        under.1,
        before as f64 / 1e3,
        peak as f64 / 1e3,
        after as f64 / 1e3,
        replies as f64 / sent as f64
    );
    // At full size what the server's socket drops may be one client's SYN again and again.
    let bearable = if limits::is_updated() { all / 100 } else { 0 };
    let wrong = if beside.failed > bearable {
        Some(format!("{} requests failed", beside.failed))
    } else if peak > before + MOST_KB * if limits::is_updated() { 10 } else { 1 } {
        Some(format!("{before} kB became {peak} kB"))
    } else if replies > sent + sent / 10 + (flood.repeats * count / flood.count) as u64 + 10 {
        Some(format!("{replies} replies to {sent} segments"))
    } else {
        None
    };
    (row, wrong.map(|wrong| format!("{}: {wrong}", flood.name)))
}

#[test]
fn floods_do_not_stop_the_client_beside_them_nor_grow_the_server() {
    let Some(lab) = Lab::netns() else { return };
    let tun = match Tun::new(lab.b.namespace().unwrap(), 1500) {
        Ok(tun) => tun,
        Err(error) => return skip("netns", &format!("no TUN device: {error}")),
    };
    // What comes from behind the device may bear the client's address.
    lab.b.run(|| {
        for device in ["all", "tun0", "eth0"] {
            fs::write(format!("/proc/sys/net/ipv4/conf/{device}/rp_filter"), "0")?;
        }
        Ok(())
    });
    let mut crowd = Crowd::new(tun, lab.b.at(PORT));
    // SCALE: a part of the size in the document.
    let scale = limits::number("SCALE").unwrap_or(if limits::is_updated() { 1 } else { 1000 });
    let mut table = String::from(
        "| flood | size | segments/s | requests answered | ms before: median / p99 | ms beside the flood | \
         server's RSS, MB: before / peak / after | replies per segment |\n\
         |---|---:|---:|---|---|---|---|---:|\n",
    );
    let mut mistakes = Vec::new();
    let mut server = None;
    for flood in floods() {
        // A small one does without a server of its own.
        if limits::is_updated() || server.is_none() {
            drop(server.take());
            // Without the live view: a line for each segment would be the limit.
            let address = lab.b.at(PORT).to_string();
            server = Some(lab.server_at(&address, &["--quiet"]));
        }
        let Some(server) = &server else { return };
        let count = (flood.count / scale).max(20);
        let (row, wrong) = beside(&lab, server, &mut crowd, &flood, count);
        eprintln!("{row}");
        _ = writeln!(table, "{row}");
        mistakes.extend(wrong);
    }
    limits::write("floods", &table);
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}
