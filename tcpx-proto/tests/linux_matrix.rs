//! Every state meets every kind of segment, and answers as Linux 6.18 was measured to (`data/linux_6_18.tsv`: state, segment, reply,
//! state after). Where tcpx answers otherwise under its `linux` profile, `DIFFERENCES` says so and why; a row that agrees again fails.

use std::net::SocketAddr;
use std::time::Duration;

use tcpx_proto::config::{ConnConfig, Profile};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::{ConnId, Stack};
use tcpx_proto::tcb::State;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, Options, Segment};

const MATRIX: &str = include_str!("data/linux_6_18.tsv");

/// State, the segment's name, why tcpx differs.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("SYN-RECEIVED(active)", "ACK seq=RCV.NXT ack=SND.UNA (dup)", QUIRK),
    ("SYN-RECEIVED(active)", "DATA in-order ack=SND.UNA", QUIRK),
    ("SYN-RECEIVED(active)", "FIN,ACK in-order ack=SND.UNA", QUIRK),
    ("FIN-WAIT-2(orphan)", "SYN seq=RCV.NXT", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "SYN in-window", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "SYN,ACK ack=SND.NXT seq=RCV.NXT", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "RST in-window not exact", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "RST below-window", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "RST above-window", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "RST seq=RCV.NXT-1", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "RST,ACK seq=0 ack=SND.NXT", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "ACK ack=SND.UNA-1000000 (too old)", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "ACK ack=SND.UNA-100 (old, within MAX.SND.WND)", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "ACK ack=SND.NXT+1000 (not yet sent)", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "DATA in-order ack=SND.NXT+1000", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "DATA in-order ack=SND.UNA-1000000", MINISOCKET),
    ("FIN-WAIT-2(orphan)", "SYN,FIN seq=RCV.NXT", MINISOCKET),
    ("FIN-WAIT-1(orphan)", "DATA wholly below window (dup)", MINISOCKET),
    ("CLOSE-WAIT", "DATA straddling left edge", IGNORED),
];

const QUIRK: &str = "Linux takes our SYN as acknowledged by SEG.ACK = ISS; tcpx answers with a RST (RFC 9293 3.10.7.4)";
const MINISOCKET: &str = "in Linux an orphan in FIN-WAIT-2 is a minisocket with rules of its own; tcpx keeps those of the RFC";
const IGNORED: &str = "text after the FIN is ignored, as RFC 9293 3.10.7.4 says; Linux aborts";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One stack and the hand that plays its peer.
struct Bench {
    stack: Stack,
    now: Instant,
    local: SocketAddr,
    remote: SocketAddr,
    id: Option<ConnId>,
    /// The next octets of either side, as far as the bench knows them.
    snd_nxt: Seq,
    snd_una: Seq,
    rcv_nxt: Seq,
}

const PEER_ISS: Seq = Seq(0x7fff_ff00);

impl Bench {
    fn new(state: &str) -> Bench {
        let mut config = Profile::Linux.config();
        config.conn = ConnConfig { timestamps: false, window_scaling: false, sack: false, nagle: false, ..config.conn };
        let local = addr("10.0.0.1:7000");
        let mut stack = Stack::new(config, 7);
        stack.reserve(local.ip(), 7000..=7000);
        let mut bench = Bench {
            stack,
            now: Instant::ZERO + Duration::from_secs(1000),
            local,
            remote: addr("10.0.0.2:9000"),
            id: None,
            snd_nxt: Seq(5_000_000),
            snd_una: Seq(5_000_000),
            rcv_nxt: PEER_ISS + 1,
        };
        bench.enter(state);
        bench
    }

    /// Walks to a state by calls and segments.
    fn enter(&mut self, state: &str) {
        match state {
            "CLOSED" => {}
            "LISTEN" => self.listen(),
            "SYN-SENT" | "SYN-RECEIVED(active)" => {
                let config = self.stack.config().conn.clone();
                self.id = Some(self.stack.connect(self.now, self.local, self.remote, &config).unwrap());
                self.drain();
                if state == "SYN-RECEIVED(active)" {
                    self.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
                }
            }
            "SYN-RECEIVED(passive)" => {
                self.listen();
                self.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
                self.id = self.stack.lookup(self.local, self.remote);
            }
            _ => self.enter_synchronized(state),
        }
        if let Some(status) = self.id.and_then(|id| self.stack.status(id)) {
            (self.snd_nxt, self.snd_una) = (status.snd_nxt, status.snd_una);
            if status.state != State::SynSent {
                self.rcv_nxt = status.rcv_nxt;
            }
        }
    }

    fn enter_synchronized(&mut self, state: &str) {
        self.enter("SYN-RECEIVED(passive)");
        let listener = self.arrive(self.rcv_nxt, self.snd_nxt, Flags::ACK, b"");
        assert_eq!(listener, [] as [String; 0]);
        let id = self.id.unwrap();
        let passive = matches!(state, "CLOSE-WAIT" | "LAST-ACK");
        if passive {
            self.arrive(self.rcv_nxt, self.snd_nxt, Flags::FIN | Flags::ACK, b"");
        }
        match state {
            "ESTABLISHED" | "CLOSE-WAIT" => return self.learn(),
            "FIN-WAIT-1(orphan)" | "FIN-WAIT-2(orphan)" => self.stack.close(self.now, id).unwrap(),
            _ => self.stack.shutdown(self.now, id).unwrap(),
        }
        self.drain();
        let unacked = self.snd_nxt;
        self.learn();
        match state {
            "FIN-WAIT-2" | "FIN-WAIT-2(orphan)" | "TIME-WAIT" => {
                self.arrive(self.rcv_nxt, self.snd_nxt, Flags::ACK, b"");
            }
            "CLOSING" => {
                self.arrive(self.rcv_nxt, unacked, Flags::FIN | Flags::ACK, b"");
            }
            _ => {}
        }
        if state == "TIME-WAIT" {
            self.arrive(self.rcv_nxt, self.snd_nxt, Flags::FIN | Flags::ACK, b"");
        }
        self.learn();
    }

    fn learn(&mut self) {
        let status = self.stack.status(self.id.unwrap()).unwrap();
        (self.snd_nxt, self.snd_una, self.rcv_nxt) = (status.snd_nxt, status.snd_una, status.rcv_nxt);
    }

    fn listen(&mut self) {
        let config = self.stack.config().conn.clone();
        self.stack.listen(self.now, self.local, 16, &config).unwrap();
    }

    fn arrive(&mut self, seq: Seq, ack: Seq, flags: Flags, text: &[u8]) -> Vec<String> {
        self.now = self.now + Duration::from_millis(1);
        let header = Header {
            source: self.remote,
            destination: self.local,
            seq,
            ack,
            flags,
            window: 65_000,
            urgent: if flags.has(Flags::URG) { 5 } else { 0 },
            options: Options { mss: flags.has(Flags::SYN).then_some(1460), ..Options::default() },
            ttl: 64,
            tos: 0,
            id: 1,
        };
        let mut packet = [0; 2000];
        let len = header.emit((text, &[]), &mut packet).unwrap();
        self.stack.packet_arrives(self.now, &packet[..len]);
        let replies = self.drain();
        if let Some(id) = self.id.or_else(|| self.stack.lookup(self.local, self.remote)) {
            if let Some(status) = self.stack.status(id) {
                self.snd_nxt = status.snd_nxt;
            }
        }
        replies
    }

    /// What the stack sends, as `SEQ ACK FLAGS`, PSH left out.
    fn drain(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        let mut buffer = [0; 2000];
        while let Some(transmit) = self.stack.poll_transmit(self.now, &mut buffer) {
            let segment = Segment::parse(&buffer[..transmit.len], ChecksumPolicy::Strict).unwrap();
            out.push(spell(segment.header.seq, segment.header.flags.has(Flags::ACK).then_some(segment.header.ack), segment.header.flags));
        }
        while self.stack.poll_signal().is_some() {}
        out
    }

    fn state(&self) -> &'static str {
        let id = self.stack.lookup(self.local, self.remote).or(self.id);
        match id.and_then(|id| self.stack.status(id)).map(|status| status.state) {
            None | Some(State::Closed | State::Listen) => "CLOSED",
            Some(State::Established) => "ESTAB",
            Some(State::SynReceived) => "SYN-RECV",
            Some(state) => state.name(),
        }
    }
}

fn spell(seq: Seq, ack: Option<Seq>, flags: Flags) -> String {
    let mut letters: Vec<char> = flags.without(Flags::PSH).to_string().chars().collect();
    letters.sort_unstable();
    format!("{seq} {} {}", ack.map_or(String::from("-"), |ack| ack.to_string()), letters.iter().collect::<String>())
}

/// The segment that a row's second column names.
fn segment(bench: &Bench, name: &str) -> (Seq, Seq, Flags, &'static [u8]) {
    let (nxt, una, rcv) = (bench.snd_nxt, bench.snd_una, bench.rcv_nxt);
    let (none, a, s, f, r) = (Seq(0), Flags::ACK, Flags::SYN, Flags::FIN, Flags::RST);
    let above = rcv + 200_000;
    let text: &[u8] = b"0123456789";
    match name {
        "SYN below-window" => (rcv.back(1000), none, s, b""),
        "SYN seq=RCV.NXT-1 (dup of original SYN)" => (rcv.back(1), none, s, b""),
        "SYN seq=RCV.NXT" => (rcv, none, s, b""),
        "SYN in-window" => (rcv + 100, none, s, b""),
        "SYN above-window" => (above, none, s, b""),
        "SYN,ACK ack=SND.NXT seq=RCV.NXT-1" => (rcv.back(1), nxt, s | a, b""),
        "SYN,ACK ack=SND.NXT seq=RCV.NXT" => (rcv, nxt, s | a, b""),
        "SYN,ACK ack=SND.NXT+1000 (unacceptable)" => (rcv, nxt + 1000, s | a, b""),
        "SYN,ACK ack=ISS/SND.UNA (unacceptable in SYN-SENT)" => (rcv, una, s | a, b""),
        "RST seq=RCV.NXT" => (rcv, none, r, b""),
        "RST in-window not exact" => (rcv + 100, none, r, b""),
        "RST below-window" => (rcv.back(1000), none, r, b""),
        "RST above-window" => (above, none, r, b""),
        "RST seq=RCV.NXT-1" => (rcv.back(1), none, r, b""),
        "RST,ACK seq=RCV.NXT ack=SND.NXT" => (rcv, nxt, r | a, b""),
        "RST,ACK seq=0 ack=SND.NXT" => (Seq(0), nxt, r | a, b""),
        "RST,ACK seq=RCV.NXT ack=SND.NXT+1000" => (rcv, nxt + 1000, r | a, b""),
        "ACK seq=RCV.NXT ack=SND.NXT" => (rcv, nxt, a, b""),
        "ACK seq=RCV.NXT ack=SND.UNA (dup)" => (rcv, una, a, b""),
        "ACK ack=SND.UNA-100 (old, within MAX.SND.WND)" => (rcv, una.back(100), a, b""),
        "ACK ack=SND.UNA-1000000 (too old)" => (rcv, una.back(1_000_000), a, b""),
        "ACK ack=SND.NXT+1000 (not yet sent)" => (rcv, nxt + 1000, a, b""),
        "ACK seq=RCV.NXT-1 (keepalive probe)" => (rcv.back(1), nxt, a, b""),
        "ACK seq above-window" => (above, nxt, a, b""),
        "DATA in-order ack=SND.NXT" => (rcv, nxt, a, text),
        "DATA in-order ack=SND.UNA" => (rcv, una, a, text),
        "DATA in-order ack=SND.NXT+1000" => (rcv, nxt + 1000, a, text),
        "DATA in-order ack=SND.UNA-1000000" => (rcv, una.back(1_000_000), a, text),
        "DATA in-order no ACK bit" => (rcv, none, Flags::NONE, text),
        "DATA out-of-order in-window" => (rcv + 100, nxt, a, text),
        "DATA above-window" => (above, nxt, a, text),
        "DATA wholly below window (dup)" => (rcv.back(10), nxt, a, text),
        "DATA straddling left edge" => (rcv.back(5), nxt, a, text),
        "FIN,ACK in-order ack=SND.NXT" => (rcv, nxt, f | a, b""),
        "FIN,ACK in-order ack=SND.UNA" => (rcv, una, f | a, b""),
        "FIN,ACK in-order with data" => (rcv, nxt, f | a, text),
        "FIN,ACK out-of-order in-window" => (rcv + 100, nxt, f | a, b""),
        "FIN,ACK seq=RCV.NXT-1 (retransmitted FIN)" => (rcv.back(1), nxt, f | a, b""),
        "FIN no ACK bit" => (rcv, none, f, b""),
        "SYN,FIN seq=RCV.NXT" => (rcv, none, s | f, b""),
        "SYN,RST seq=RCV.NXT" => (rcv, none, s | r, b""),
        "SYN,RST,ACK seq=RCV.NXT ack=SND.NXT" => (rcv, nxt, s | r | a, b""),
        "URG,ACK data up=5" => (rcv, nxt, a | Flags::URG, text),
        "no flags (null)" => (rcv, none, Flags::NONE, b""),
        "all flags (xmas)" => (rcv, nxt, Flags(0x3f), b""),
        other => panic!("unknown segment {other}"),
    }
}

/// A reply of the table with its symbols worked out; `new` matches any number.
fn expected(bench: &Bench, reply: &str, seq: Seq, ack: Seq) -> Vec<String> {
    if reply == "none" {
        return Vec::new();
    }
    let value = |symbol: &str| -> String {
        let (name, offset) = match symbol.find(['+', '-']) {
            Some(at) => (&symbol[..at], symbol[at..].parse::<i64>().unwrap()),
            None => (symbol, 0),
        };
        let base = match name {
            "SND.NXT" => bench.snd_nxt,
            "RCV.NXT" => bench.rcv_nxt,
            "SEG.SEQ" => seq,
            "SEG.ACK" => ack,
            "0" => Seq(0),
            "new" => return String::from("new"),
            other => panic!("unknown symbol {other}"),
        };
        Seq((i64::from(base.0) + offset) as u32).to_string()
    };
    let one = |text: &str| {
        let field = |key: &str| text.split('<').find_map(|part| part.strip_prefix(key)).map(|rest| rest.split('>').next().unwrap());
        let ack = field("ACK=").map_or(String::from("-"), &value);
        format!("{} {ack} {}", value(field("SEQ=").unwrap()), field("CTL=").unwrap())
    };
    reply.split("; ").map(one).collect()
}

fn agrees(expected: &[String], actual: &[String]) -> bool {
    expected.len() == actual.len()
        && expected.iter().zip(actual).all(|(expected, actual)| match expected.strip_prefix("new ") {
            Some(rest) => actual.split_once(' ').is_some_and(|(_, tail)| tail == rest),
            None => expected == actual,
        })
}

#[test]
fn every_state_meets_every_segment_and_answers_as_linux() {
    let mut failures = Vec::new();
    for row in MATRIX.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [state, name, reply, after] = columns[..] else { panic!("bad row {row}") };
        let mut bench = Bench::new(state);
        let (seq, ack, flags, text) = segment(&bench, name);
        let expected = expected(&bench, reply, seq, ack);
        let (snd_nxt, rcv_nxt) = (bench.snd_nxt, bench.rcv_nxt);
        let actual = bench.arrive(seq, ack, flags, text);
        let agrees = agrees(&expected, &actual) && bench.state() == after;
        let known = DIFFERENCES.iter().find(|(s, n, _)| *s == state && name == *n);
        if agrees == known.is_some() {
            let state_after = bench.state();
            failures.push(format!(
                "{state} | {name}: expected {expected:?} {after}, got {actual:?} {state_after} (SND.NXT={snd_nxt} RCV.NXT={rcv_nxt}){}",
                known.map_or(String::new(), |(_, _, why)| format!(": it agrees, though listed as different: {why}"))
            ));
        }
    }
    assert!(failures.is_empty(), "{} rows:\n{}", failures.len(), failures.join("\n"));
}
