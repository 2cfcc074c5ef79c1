//! What was on the wire, as dumpcap caught it and tshark reads it.

use super::{Host, Program, Signal, until};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Everything that passed before this was sent is in the file when this is.
const MARK: &[u8] = b"everything before this has been captured";

/// The discard port, where nothing listens.
const DISCARD: u16 = 9;

/// A capture that goes on.
pub(crate) struct Capture {
    dumpcap: Program,
    path: PathBuf,
    marker: UdpSocket,
    discard: SocketAddr,
}

/// One TCP segment, as tshark reads it.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Seconds since the first packet of the capture.
    pub(crate) at: f64,
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    /// Letters in the order FSRPAUEW, without P, which no test looks at.
    pub(crate) flags: String,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) len: u32,
    /// As in the header.
    pub(crate) window: u32,
    /// The kinds of its options, in their order.
    pub(crate) options: Vec<u8>,
    /// What tshark says of both checksums, and what it calls malformed.
    pub(crate) verdict: String,
}

impl Capture {
    /// Captures from now on into a file what a host and another exchange.
    pub(crate) fn start(host: &Host, far: Ipv4Addr, path: PathBuf) -> Capture {
        // The guard's probe, from an address to itself, is left out.
        let addresses = format!(
            "host {} and host {} and (tcp or udp port {DISCARD})",
            host.address, far
        );
        // Not tcpdump, which insists on changing its user, and cannot in an ordinary user's
        // namespace.
        let mut command = host.command("dumpcap");
        command.args([
            "-i",
            host.device(),
            "-p",
            "-B",
            "32",
            "-P",
            "-w",
            "-",
            "-f",
            &addresses,
        ]);
        let mut dumpcap = Program::spawn(
            command
                .stdin(Stdio::null())
                .stdout(File::create(&path).unwrap()),
        );
        dumpcap.wait_for("File: ");
        let marker = host.run(|| UdpSocket::bind(host.at(0)));
        Capture {
            dumpcap,
            path,
            marker,
            discard: (far, DISCARD).into(),
        }
    }

    /// What has been captured so far, while it goes on.
    pub(crate) fn so_far(&self) -> Seen {
        let before = marks(&self.path);
        self.marker.send_to(MARK, self.discard).unwrap();
        until("the mark in the capture", || {
            (marks(&self.path) > before).then_some(())
        });
        Seen::read(&self.path)
    }

    /// Ends the capture.
    pub(crate) fn finish(self) -> Seen {
        let seen = self.so_far();
        let ended = self.dumpcap.end_by(Signal::INT);
        assert!(
            ended.stderr.contains("/0 (pcap:0/dumpcap:0/"),
            "the capture is incomplete: {}",
            ended.stderr
        );
        seen
    }
}

/// How many marks the file holds.
fn marks(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    bytes
        .windows(MARK.len())
        .rev()
        .filter(|window| *window == MARK)
        .count()
}

/// The segments of a capture, in order.
#[derive(Debug)]
pub(crate) struct Seen(pub(crate) Vec<Segment>);

impl Seen {
    /// Has tshark read a file.
    pub(crate) fn read(path: &Path) -> Seen {
        let mut tshark = Command::new("tshark");
        tshark.args(["-n", "-r"]).arg(path).args([
            "-Y",
            "tcp",
            "-T",
            "fields",
            "-d",
            "tcp.port==7000,data",
        ]);
        for preference in [
            "tcp.check_checksum:TRUE",
            "ip.check_checksum:TRUE",
            "tcp.analyze_sequence_numbers:FALSE",
        ] {
            tshark.args(["-o", preference]);
        }
        for field in FIELDS {
            tshark.args(["-e", field]);
        }
        let output = tshark.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Seen(
            String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .map(Segment::parse)
                .collect(),
        )
    }

    /// Those that an address sent.
    pub(crate) fn from(&self, address: Ipv4Addr) -> Vec<&Segment> {
        self.0
            .iter()
            .filter(|segment| *segment.from.ip() == address)
            .collect()
    }

    /// Those that an address sent with exactly these flags.
    pub(crate) fn flagged(&self, address: Ipv4Addr, flags: &str) -> Vec<&Segment> {
        self.0
            .iter()
            .filter(|segment| *segment.from.ip() == address && segment.flags == flags)
            .collect()
    }

    /// Every flag string in the order of the wire, such as `a:S b:SA a:A`, with those of `a` marked
    /// so.
    pub(crate) fn story(&self, a: Ipv4Addr) -> String {
        let line = |segment: &Segment| {
            let name = if *segment.from.ip() == a { 'a' } else { 'b' };
            let text = if segment.len > 0 {
                format!("+{}", segment.len)
            } else {
                String::new()
            };
            format!("{name}:{}{text}", segment.flags)
        };
        self.0.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    /// A complete connection with this many bytes each way: the segments that RFC 9293's figures 6
    /// and 12 show, and no others.
    pub(crate) fn assert_whole_connection(&self, a: Ipv4Addr, b: Ipv4Addr, octets: (u32, u32)) {
        self.assert_sound(a);
        self.assert_sound(b);
        let story = self.story(a);
        assert!(story.starts_with("a:S b:SA a:A "), "{story}");
        assert!(
            self.0.iter().all(|segment| !segment.flags.contains('R')),
            "{story}"
        );
        let sent = |address| {
            self.from(address)
                .iter()
                .map(|segment| segment.len)
                .sum::<u32>()
        };
        assert_eq!((sent(a), sent(b)), octets, "{story}");
        for address in [a, b] {
            let fins: Vec<_> = self
                .from(address)
                .into_iter()
                .filter(|segment| segment.flags.contains('F'))
                .collect();
            let [fin] = fins[..] else {
                panic!("not one FIN of {address}: {story}")
            };
            let after = fin.seq.wrapping_add(fin.len + 1);
            assert!(
                self.0
                    .iter()
                    .any(|segment| segment.to == fin.from && segment.ack == after),
                "{fin:?} was not acknowledged"
            );
        }
    }

    /// Every segment from this address has both checksums right and nothing malformed.
    pub(crate) fn assert_sound(&self, address: Ipv4Addr) {
        let sent = self.from(address);
        assert!(!sent.is_empty(), "nothing was captured from {address}");
        for segment in sent {
            assert!(segment.is_good(), "{segment:?}");
        }
    }
}

/// tshark's number for a right checksum, of TCP and of IP, and no complaint.
const GOOD: &str = "1 1 ";

const FIELDS: [&str; 14] = [
    "frame.time_relative",
    "ip.src",
    "tcp.srcport",
    "ip.dst",
    "tcp.dstport",
    "tcp.flags",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.len",
    "tcp.window_size_value",
    "tcp.option_kind",
    "tcp.checksum.status",
    "ip.checksum.status",
    "_ws.malformed",
];

impl Segment {
    /// Both checksums are right, and nothing is malformed.
    pub(crate) fn is_good(&self) -> bool {
        self.verdict == GOOD
    }

    fn parse(line: &str) -> Segment {
        let fields: Vec<&str> = line.split('\t').collect();
        let [
            at,
            source,
            source_port,
            destination,
            destination_port,
            flags,
            seq,
            ack,
            len,
            window,
            kinds,
            tcp,
            ip,
            malformed,
        ] = fields[..]
        else {
            panic!("tshark gave {line:?}");
        };
        // What a malformed segment lacks is left at zero; its verdict says what is wrong.
        let number = |text: &str| text.parse().unwrap_or(0);
        let end = |address: &str, port: &str| {
            SocketAddrV4::new(address.parse().unwrap(), port.parse().unwrap_or(0))
        };
        let bits = u16::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
        let letters = [
            (1, 'F'),
            (2, 'S'),
            (4, 'R'),
            (16, 'A'),
            (32, 'U'),
            (64, 'E'),
            (128, 'W'),
        ];
        Segment {
            at: at.parse().unwrap(),
            from: end(source, source_port),
            to: end(destination, destination_port),
            flags: letters
                .iter()
                .filter(|(bit, _)| bits & bit != 0)
                .map(|(_, letter)| letter)
                .collect(),
            seq: number(seq),
            ack: number(ack),
            len: number(len),
            window: number(window),
            options: kinds
                .split(',')
                .filter_map(|kind| kind.parse().ok())
                .collect(),
            verdict: format!("{tcp} {ip} {malformed}"),
        }
    }
}
