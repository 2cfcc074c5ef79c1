//! Bytes that a connection takes in each state, and what bounds them: the first table of
//! docs/limits.md (`make limits`).

use crate::LIVE;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use tcpx::network::Network;
use tcpx::{HostOptions, Stream};
use tcpx_proto::config::{Config, Overflow};
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::Stack;
use tcpx_proto::state::State;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{Flags, Header, Options, Timestamps};
use tcpx_tests::limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ACK: Flags = Flags::ACK;
const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
const LOCAL: ([u8; 4], u16) = ([10, 0, 0, 1], 7000);
/// Of the peers.
const ISS: Seq = Seq(9000);
const MSS: usize = 1448;

/// One stack and many peers, which remember nothing.
struct Flock {
    stack: Stack,
    listener: ListenerId,
    now: Instant,
    packet: Vec<u8>,
}

impl Flock {
    fn new(count: usize) -> Flock {
        Flock::with(Flock::config(), count)
    }

    /// Room for as many as are wanted: what is measured is the memory, not the bound.
    fn config() -> Config {
        Config {
            overflow: Overflow::Unbounded,
            max_connections: 1 << 24,
            max_time_wait: 1 << 24,
            max_orphans: 1 << 24,
            max_memory: usize::MAX,
            ..Config::default()
        }
    }

    fn with(config: Config, count: usize) -> Flock {
        let mut stack = Stack::new(config, 1);
        stack.reserve([10, 0, 0, 1].into(), 7000..=7000);
        let conn = stack.config().conn.clone();
        let now = Instant::ZERO + Duration::from_secs(1);
        let listener = stack.listen(now, LOCAL.into(), count, &conn).unwrap();
        Flock {
            stack,
            listener,
            now,
            packet: vec![0; 2000],
        }
    }

    fn tuple(nth: usize) -> FourTuple {
        let [_, high, middle, low] = u32::try_from(nth / 50_000).unwrap().to_be_bytes();
        let port = u16::try_from(nth % 50_000 + 1024).unwrap();
        FourTuple {
            local: LOCAL.into(),
            remote: SocketAddr::from(([20, high, middle, low], port)),
        }
    }

    fn id(&self, nth: usize) -> ConnId {
        self.stack.lookup(Flock::tuple(nth)).unwrap()
    }

    fn state(&self, nth: usize) -> State {
        self.stack.status(self.id(nth)).unwrap().state
    }

    /// What this peer says next.
    fn header(&self, nth: usize, flags: Flags) -> Header {
        let tuple = Flock::tuple(nth);
        let status = self
            .stack
            .lookup(tuple)
            .and_then(|id| self.stack.status(id));
        let (seq, ack) = status.map_or((ISS, Seq(0)), |status| (status.rcv_nxt, status.snd_nxt));
        let syn = flags.contains(Flags::SYN);
        let timestamps = Some(Timestamps {
            value: self.now.millis() as u32,
            echo: 0,
        });
        Header {
            source: tuple.remote,
            destination: tuple.local,
            seq,
            ack,
            flags,
            window: 512,
            urgent: 0,
            options: Options {
                mss: syn.then_some(1460),
                window_scale: syn.then_some(7),
                sack_permitted: syn,
                timestamps,
                ..Options::default()
            },
            ttl: 64,
            tos: 0,
            id: 1,
        }
    }

    fn arrive(&mut self, header: Header, text: &[u8]) {
        let len = header.emit((text, &[]), &mut self.packet).unwrap();
        let packet = self.packet.get(..len).unwrap();
        self.stack.packet_arrives(self.now, packet);
        self.drain();
    }

    fn say(&mut self, nth: usize, flags: Flags) {
        self.arrive(self.header(nth, flags), b"");
    }

    fn drain(&mut self) {
        let mut packet = std::mem::take(&mut self.packet);
        while self.stack.poll_transmit(self.now, &mut packet).is_some() {}
        self.packet = packet;
        while self.stack.poll_signal().is_some() {}
    }

    fn syn(&mut self, nth: usize) {
        self.say(nth, Flags::SYN);
    }

    fn establish(&mut self, nth: usize) -> ConnId {
        self.syn(nth);
        self.say(nth, ACK);
        self.stack.accept(self.now, self.listener).unwrap()
    }

    fn close(&mut self, nth: usize) {
        self.stack.close(self.now, self.id(nth)).unwrap();
        self.drain();
    }

    /// FIN-WAIT-1, of which the peer has acknowledged nothing.
    /// Time passes, and what is due fires.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.stack.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.stack.timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// A connection that brings 100 bytes, a moment after its SYN, and gets 1000 back.
    fn answer(&mut self, nth: usize) {
        self.syn(nth);
        self.pass(Duration::from_micros(3));
        self.say(nth, ACK);
        let id = self.stack.accept(self.now, self.listener).unwrap();
        self.arrive(self.header(nth, ACK), &[7; 100]);
        self.stack.receive(self.now, id, &mut [0; 200]).unwrap();
        self.stack.send(self.now, id, &[7; 1000]).unwrap();
        self.drain();
        self.pass(Duration::from_micros(2));
        self.say(nth, ACK);
    }

    fn fin_wait_1(&mut self, nth: usize) {
        self.establish(nth);
        self.close(nth);
    }

    fn active(&mut self, nth: usize) {
        let config = self.stack.config().conn.clone();
        self.stack
            .connect(self.now, Flock::tuple(nth), &config)
            .unwrap();
        self.drain();
    }

    fn fill_send_buffer(&mut self, nth: usize) {
        let id = self.establish(nth);
        while self.stack.send(self.now, id, &[7; 16_384]).is_ok() {}
        self.drain();
    }

    fn fill_receive_buffer(&mut self, nth: usize) {
        let id = self.establish(nth);
        while self.stack.status(id).unwrap().rcv_wnd > MSS as u32 {
            self.arrive(self.header(nth, ACK), &[7; MSS]);
        }
    }

    /// Every other segment of the window.
    fn fill_with_holes(&mut self, nth: usize) {
        let id = self.establish(nth);
        let window = self.stack.status(id).unwrap().rcv_wnd;
        let next = self.header(nth, ACK);
        for beyond in (MSS as u32..window - MSS as u32).step_by(2 * MSS) {
            let seq = next.seq + beyond;
            self.arrive(Header { seq, ..next }, &[7; MSS]);
        }
    }
}

/// One row: how its connections come about, and what is said of them.
struct Row {
    name: &'static str,
    state: State,
    /// How many: the large ones are few.
    few: bool,
    enter: fn(&mut Flock, usize),
    /// Bytes each that the test allows.
    most: usize,
    ends: &'static str,
    bound: &'static str,
}

const RECORD: usize = 1_500;
const OPEN: usize = 2_300;
const BUFFER: usize = 1 << 18;

const ROWS: &[Row] = &[
    Row {
        name: "SYN-SENT",
        state: State::SynSent,
        few: false,
        enter: |flock, nth| flock.active(nth),
        most: RECORD,
        ends: "`--syn-retries` (10: 134 s)",
        bound: "`--max-connections`",
    },
    Row {
        name: "SYN-RECEIVED",
        state: State::SynReceived,
        few: false,
        enter: |flock, nth| flock.syn(nth),
        most: RECORD,
        ends: "`--synack-retries` (5: 66 s)",
        bound: "`--backlog` (128 a listener), then SYN cookies, which take nothing",
    },
    Row {
        name: "ESTABLISHED, idle",
        state: State::Established,
        few: false,
        enter: |flock, nth| _ = flock.establish(nth),
        most: OPEN,
        ends: "the application, `--keepalive` (off)",
        bound: "`--backlog` (128) until accepted, `--max-connections`",
    },
    Row {
        name: "ESTABLISHED, send buffer full",
        state: State::Established,
        few: true,
        enter: |flock, nth| flock.fill_send_buffer(nth),
        most: OPEN + BUFFER + BUFFER / 4,
        ends: "`--r2` (15: 940 s), `--user-timeout` (none)",
        bound: "`send_buffer` (256 KiB), `max_memory`",
    },
    Row {
        name: "ESTABLISHED, receive buffer full",
        state: State::Established,
        few: true,
        enter: |flock, nth| flock.fill_receive_buffer(nth),
        most: OPEN + 2 * BUFFER,
        ends: "the application, which reads",
        bound: "`--window` (256 KiB), `max_memory`",
    },
    Row {
        name: "ESTABLISHED, window of out-of-order text",
        state: State::Established,
        few: true,
        enter: |flock, nth| flock.fill_with_holes(nth),
        most: OPEN + 2 * BUFFER,
        ends: "the text that is missing",
        bound: "`--window` (256 KiB), 256 pieces, `max_memory`",
    },
    Row {
        name: "FIN-WAIT-1",
        state: State::FinWait1,
        few: false,
        enter: |flock, nth| flock.fin_wait_1(nth),
        most: OPEN,
        ends: "`--orphan-retries` (8: 107 s)",
        bound: "`--max-orphans`",
    },
    Row {
        name: "FIN-WAIT-2",
        state: State::FinWait2,
        few: false,
        enter: |flock, nth| {
            flock.fin_wait_1(nth);
            flock.say(nth, ACK);
        },
        most: OPEN,
        ends: "`--fin-wait-2` (60 s) after CLOSE",
        bound: "`--max-time-wait` after CLOSE (profile linux), `--max-connections` before it",
    },
    Row {
        name: "CLOSING",
        state: State::Closing,
        few: false,
        enter: |flock, nth| {
            flock.fin_wait_1(nth);
            let mut fin = flock.header(nth, FIN_ACK);
            fin.ack = flock.stack.status(flock.id(nth)).unwrap().snd_una;
            flock.arrive(fin, b"");
        },
        most: OPEN,
        ends: "`--orphan-retries` (8: 107 s)",
        bound: "`--max-orphans`",
    },
    Row {
        name: "TIME-WAIT",
        state: State::TimeWait,
        few: false,
        enter: |flock, nth| {
            flock.fin_wait_1(nth);
            flock.say(nth, FIN_ACK);
        },
        most: RECORD,
        ends: "2 MSL (`--msl` 30 s: 60 s)",
        bound: "`--max-time-wait`",
    },
    Row {
        name: "CLOSE-WAIT",
        state: State::CloseWait,
        few: false,
        enter: |flock, nth| {
            flock.establish(nth);
            flock.say(nth, FIN_ACK);
        },
        most: OPEN,
        ends: "the application, which closes",
        bound: "`--max-connections`",
    },
    Row {
        name: "LAST-ACK",
        state: State::LastAck,
        few: false,
        enter: |flock, nth| {
            flock.establish(nth);
            flock.say(nth, FIN_ACK);
            flock.close(nth);
        },
        most: OPEN,
        ends: "`--orphan-retries` (8: 107 s)",
        bound: "`--max-orphans`",
    },
];

/// Many of a kind that are at rest.
struct Many {
    name: &'static str,
    /// How many there are where COUNT is 100,000.
    times: usize,
    enter: fn(&mut Flock, usize),
    state: State,
    /// Bytes each that the test allows for the record and its slot.
    most: usize,
}

const MANY: &[Many] = &[
    Many {
        name: "ESTABLISHED, idle after a request and its answer",
        times: 10,
        enter: |flock, nth| flock.answer(nth),
        state: State::Established,
        most: 160,
    },
    Many {
        name: "TIME-WAIT after the same",
        times: 10,
        enter: |flock, nth| {
            flock.answer(nth);
            flock.close(nth);
            flock.say(nth, FIN_ACK);
        },
        state: State::TimeWait,
        most: 64,
    },
    Many {
        name: "SYN-RECEIVED",
        times: 1,
        enter: |flock, nth| flock.syn(nth),
        state: State::SynReceived,
        most: 72,
    },
];

/// A row of the second table, and bytes each of the record and its slot.
fn many(kind: &Many, count: usize, config: &Config) -> (String, usize) {
    let mut flock = Flock::with(config.clone(), count);
    let before = LIVE.get();
    for nth in 0..count {
        (kind.enter)(&mut flock, nth);
        flock.pass(Duration::from_micros(5));
    }
    // Timers that were overtaken fire.
    flock.pass(Duration::from_millis(if kind.state == State::SynReceived {
        0
    } else {
        3000
    }));
    let all = usize::try_from(LIVE.get() - before).unwrap();
    for nth in [0, count / 2, count - 1] {
        assert_eq!(flock.state(nth), kind.state, "{}", kind.name);
    }
    let tables = flock.stack.tables();
    let records = (all - tables.index - tables.timers) / count;
    let row = format!(
        "| {} | {count} | {records} | {} | {} | {} | {} |\n",
        kind.name,
        tables.index / count,
        tables.timers / count,
        all / count,
        all / 1_000_000,
    );
    (row, records)
}

/// COUNT: a tenth as many as there are idle connections.
#[test]
fn connections_at_rest_are_small_records() {
    let documented = limits::number("COUNT");
    let mut table = String::from(
        "| state | connections | record and slot, bytes each | index | timers | all | MB in all |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut mistakes = Vec::new();
    for kind in MANY {
        // Few are as many are, but for those that are kept whole.
        let mut config = Flock::config();
        let count = match documented {
            Some(count) => count * kind.times,
            None => {
                config.whole_records = 10;
                2_000
            }
        };
        let (row, bytes) = many(kind, count, &config);
        table.push_str(&row);
        if bytes > kind.most {
            mistakes.push(format!("{}: {bytes}, {} allowed", kind.name, kind.most));
        }
    }
    limits::write("many", &table);
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// Bytes that each of `count` connections takes, tables included.
fn bytes_each(row: &Row, count: usize) -> usize {
    let mut flock = Flock::new(count);
    let before = LIVE.get();
    for nth in 0..count {
        (row.enter)(&mut flock, nth);
    }
    let taken = usize::try_from(LIVE.get() - before).unwrap();
    let same = (0..count).all(|nth| flock.state(nth) == row.state);
    assert!(same, "{}: {}", row.name, flock.state(0));
    taken / count
}

/// COUNT: how many connections; `make limits` makes 100,000 of each kind.
#[test]
fn connections_in_each_state_take_no_more_than_documented() {
    let count = limits::number("COUNT").unwrap_or(1_000);
    // Of those with full buffers.
    let few = (count / 100).clamp(1, 1_000);
    let mut table = format!(
        "{count} connections of each kind, {few} of those with full buffers; profile `linux`.\n\n\
         | state | bytes each | what ends it | what bounds it |\n|---|---:|---|---|\n"
    );
    let mut mistakes = Vec::new();
    for row in ROWS {
        let bytes = bytes_each(row, if row.few { few } else { count });
        let Row {
            name, ends, bound, ..
        } = row;
        _ = writeln!(table, "| {name} | {bytes} | {ends} | {bound} |");
        if bytes > row.most {
            mistakes.push(format!("{name}: {bytes} bytes, {} allowed", row.most));
        }
    }
    limits::write("memory", &table);
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// COUNT: how many; `make limits` opens 100,000.
#[tokio::test(start_paused = true)]
async fn established_idle_with_a_stream_that_nobody_polls_takes_less_than_600_bytes() {
    let documented = limits::number("COUNT");
    let count = documented.unwrap_or(1_000);
    let mut options = HostOptions::default();
    options.config.max_connections = 1 << 24;
    if documented.is_none() {
        // Few are as many are.
        options.config.whole_records = 10;
    }
    let again = HostOptions {
        config: options.config.clone(),
        ..HostOptions::default()
    };
    let network = Network::new(1).unwrap();
    let clients = network.add_host("10.0.0.1".parse().unwrap(), options);
    let server = network.add_host("10.0.0.2".parse().unwrap(), again);
    let ports = 16;
    let mut listeners = Vec::new();
    for port in 80..80 + ports {
        listeners.push(
            server
                .listen_with(port, 128, &server.config().conn)
                .unwrap(),
        );
    }
    let mut held = Vec::with_capacity(2 * count);
    let before = LIVE.get();
    for nth in 0..count {
        let which = nth % usize::from(ports);
        let port = 80 + which as u16;
        let mut ours = clients
            .connect((server.address(), port).into())
            .await
            .unwrap();
        let mut theirs = listeners[which].accept().await.unwrap().0;
        ours.write_all(&[7; 100]).await.unwrap();
        theirs.read_exact(&mut [0; 100]).await.unwrap();
        theirs.write_all(&[7; 1000]).await.unwrap();
        ours.read_exact(&mut [0; 1000]).await.unwrap();
        held.push(ours);
        held.push(theirs);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let each = usize::try_from(LIVE.get() - before).unwrap() / (2 * count);
    let stream = size_of::<Stream>();
    let mut table = String::from(
        "| connections | bytes each end, engine and API | and the `Stream` itself |\n\
         |---:|---:|---:|\n",
    );
    _ = writeln!(table, "| {count} | {each} | {stream} |");
    limits::write("api", &table);
    assert!(each < 600, "{each} bytes");
}
