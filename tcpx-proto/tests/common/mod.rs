//! One stack and the hand that plays its peer, on a clock that only the test moves.

pub(crate) mod inputs;

use std::net::SocketAddr;
use std::time::Duration;

use tcpx_proto::config::{Config, ConnConfig, Profile, ReceiveWindow, TimerGranularity};
use tcpx_proto::error::CallError;
use tcpx_proto::event::Event;
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::label::Label;
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::{Signal, Stack};
use tcpx_proto::state::State;
use tcpx_proto::tcb::Status;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, Options, Segment, Timestamps};

pub(crate) const PEER_ISS: Seq = Seq(0x7fff_ff00);
pub(crate) const ACK: Flags = Flags::ACK;
pub(crate) const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
pub(crate) const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

/// A segment that the stack sent.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) header: Header,
    pub(crate) text: Vec<u8>,
    pub(crate) label: Label,
    /// Bytes of the packet.
    pub(crate) len: usize,
    /// Routers may not cut it (IPv4).
    pub(crate) dont_fragment: bool,
}

impl Sent {
    /// One past the last byte of its text.
    pub(crate) fn end(&self) -> Seq {
        self.header.seq + self.text.len() as u32
    }
}

/// By RFC 9293, without options and delays.
pub(crate) fn plain() -> Config {
    Bench::plain(Profile::Rfc9293)
}

/// That configuration, changed.
pub(crate) fn with(config: Config, change: impl FnOnce(&mut ConnConfig)) -> Config {
    let mut config = config;
    change(&mut config.conn);
    config
}

/// A TCP under test at 10.0.0.1:7000, its peer at 10.0.0.2:9000.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) stack: Stack,
    pub(crate) now: Instant,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) id: Option<ConnId>,
    pub(crate) listener: Option<ListenerId>,
    /// What the peer's segments carry from now on: window (unscaled), options of its SYN, its
    /// timestamp if the connection has them.
    pub(crate) window: u16,
    pub(crate) syn_options: Options,
    pub(crate) stamp: Option<u32>,
    /// SND.NXT, SND.UNA and RCV.NXT, made up where there is no connection that has them.
    pub(crate) snd_nxt: Seq,
    pub(crate) snd_una: Seq,
    pub(crate) rcv_nxt: Seq,
    /// Text that the peer sends as soon as the connection is open, and that the application never
    /// reads.
    pub(crate) unread: Vec<u8>,
    pub(crate) signals: Vec<Signal>,
    pub(crate) events: Vec<Event>,
}

impl Bench {
    pub(crate) fn new(config: Config) -> Bench {
        let local: SocketAddr = ([10, 0, 0, 1], 7000).into();
        let mut stack = Stack::new(config, 7);
        stack.reserve(local.ip(), 7000..=7001);
        stack.record(true);
        Bench {
            stack,
            now: Instant::ZERO + Duration::from_secs(1000),
            local,
            remote: ([10, 0, 0, 2], 9000).into(),
            id: None,
            listener: None,
            window: 65_000,
            syn_options: Options {
                mss: Some(1460),
                ..Options::default()
            },
            stamp: None,
            snd_nxt: Seq(5_000_000),
            snd_una: Seq(5_000_000),
            rcv_nxt: PEER_ISS + 1,
            unread: Vec::new(),
            signals: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A profile without options and delays, so that each segment is a matter of the state alone,
    /// with exact timers.
    pub(crate) fn plain(profile: Profile) -> Config {
        let mut config = Bench::exact(profile);
        config.conn.timestamps = false;
        config.conn.window_scaling = false;
        config.conn.sack = false;
        config.conn.no_delay = true;
        config.conn.delayed_ack = None;
        config.conn.receive_window = ReceiveWindow::Buffer;
        config.conn.receive_limit = None;
        config.conn.receive_buffer = 1 << 18;
        config
    }

    /// A profile whose timers fire when they are due.
    pub(crate) fn exact(profile: Profile) -> Config {
        with(profile.config(), |conn| {
            conn.timer_granularity = TimerGranularity::Exact
        })
    }

    /// Both sides use timestamps; the peer's begins at `value`.
    pub(crate) fn with_timestamps(mut self, value: u32) -> Bench {
        self.stamp = Some(value);
        self
    }

    /// Walks to a state by calls and segments.
    pub(crate) fn enter(&mut self, state: &str) {
        match state {
            "CLOSED" => {}
            "LISTEN" => self.listen(),
            "SYN-SENT" | "SYN-RECEIVED(active)" => {
                self.connect();
                if state == "SYN-RECEIVED(active)" {
                    self.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
                }
            }
            "SYN-RECEIVED(passive)" => {
                self.listen();
                self.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
            }
            _ => self.enter_synchronized(state),
        }
    }

    fn enter_synchronized(&mut self, state: &str) {
        self.enter("SYN-RECEIVED(passive)");
        assert_eq!(self.arrive(self.rcv_nxt, self.snd_nxt, ACK, b""), []);
        self.stack.accept(self.now, self.listener.unwrap()).unwrap();
        if !self.unread.is_empty() {
            self.text(&self.unread.clone());
        }
        let passive = matches!(state, "CLOSE-WAIT" | "LAST-ACK");
        if passive {
            self.arrive(self.rcv_nxt, self.snd_nxt, FIN_ACK, b"");
        }
        let unacknowledged = self.snd_nxt;
        match state {
            "ESTABLISHED" | "CLOSE-WAIT" => return,
            "FIN-WAIT-1(orphan)" | "FIN-WAIT-2(orphan)" => {
                self.stack.close(self.now, self.conn()).unwrap()
            }
            _ => self.stack.shutdown(self.now, self.conn()).unwrap(),
        }
        self.drain();
        match state {
            "FIN-WAIT-2" | "FIN-WAIT-2(orphan)" | "TIME-WAIT" => {
                self.arrive(self.rcv_nxt, self.snd_nxt, ACK, b"")
            }
            "CLOSING" => self.arrive(self.rcv_nxt, unacknowledged, FIN_ACK, b""),
            _ => Vec::new(),
        };
        if state == "TIME-WAIT" {
            self.arrive(self.rcv_nxt, self.snd_nxt, FIN_ACK, b"");
        }
    }

    pub(crate) fn listen(&mut self) {
        let config = self.stack.config().conn.clone();
        self.listener = Some(
            self.stack
                .listen(self.now, self.local, 16, &config)
                .unwrap(),
        );
    }

    /// Active OPEN, and its SYN.
    pub(crate) fn connect(&mut self) -> Vec<Sent> {
        let config = self.stack.config().conn.clone();
        self.id = Some(
            self.stack
                .connect(
                    self.now,
                    FourTuple {
                        local: self.local,
                        remote: self.remote,
                    },
                    &config,
                )
                .unwrap(),
        );
        self.drain()
    }

    pub(crate) fn conn(&self) -> ConnId {
        self.id.unwrap()
    }

    pub(crate) fn status(&self) -> Status {
        self.stack.status(self.conn()).unwrap()
    }

    /// A segment of the peer's, as it would build it.
    pub(crate) fn header(&self, seq: Seq, ack: Seq, flags: Flags) -> Header {
        let syn = flags.contains(Flags::SYN);
        let timestamps = self.stamp.map(|value| Timestamps { value, echo: 0 });
        Header {
            source: self.remote,
            destination: self.local,
            seq,
            ack,
            flags,
            window: self.window,
            urgent: if flags.contains(Flags::URG) { 5 } else { 0 },
            options: Options {
                timestamps,
                ..if syn {
                    self.syn_options
                } else {
                    Options::default()
                }
            },
            ttl: 64,
            tos: 0,
            id: 1,
        }
    }

    /// A segment arrives a millisecond later; what is sent then.
    pub(crate) fn arrive(&mut self, seq: Seq, ack: Seq, flags: Flags, text: &[u8]) -> Vec<Sent> {
        self.now = self.now + Duration::from_millis(1);
        self.say(self.header(seq, ack, flags), text)
    }

    /// A segment arrives now; what is sent then.
    pub(crate) fn say(&mut self, header: Header, text: &[u8]) -> Vec<Sent> {
        let mut packet = vec![0; 66_000];
        let len = header.emit((text, &[]), &mut packet).unwrap();
        self.stack.packet_arrives(self.now, &packet[..len]);
        self.drain()
    }

    /// An ICMP error arrives that quotes a packet of 1500 bytes of ours with this sequence number;
    /// what is sent then.
    pub(crate) fn icmp(&mut self, kind: u8, code: u8, mtu: u16, seq: Seq) -> Vec<Sent> {
        self.icmp_about(kind, code, mtu, seq, 1500)
    }

    /// The same about a packet of `len` bytes.
    pub(crate) fn icmp_about(
        &mut self,
        kind: u8,
        code: u8,
        mtu: u16,
        seq: Seq,
        len: u16,
    ) -> Vec<Sent> {
        let quoted = Header {
            source: self.local,
            destination: self.remote,
            ..self.header(seq, Seq(0), ACK)
        };
        let mut tcp = [0; 100];
        quoted.emit((b"", b""), &mut tcp).unwrap();
        tcp[2..4].copy_from_slice(&len.to_be_bytes());
        let mut packet = vec![
            0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1, kind, code, 0, 0, 0,
            0,
        ];
        packet.extend(mtu.to_be_bytes());
        packet.extend(&tcp[..28]);
        seal(&mut packet);
        self.stack.icmp_arrives(self.now, &packet);
        self.drain()
    }

    /// The peer acknowledges everything that was sent.
    pub(crate) fn acknowledge(&mut self) -> Vec<Sent> {
        self.arrive(self.rcv_nxt, self.snd_nxt, ACK, b"")
    }

    /// The peer's next text.
    pub(crate) fn text(&mut self, text: &[u8]) -> Vec<Sent> {
        self.arrive(self.rcv_nxt, self.snd_nxt, ACK, text)
    }

    /// SEND of all of it, and what is sent then.
    pub(crate) fn send(&mut self, data: &[u8]) -> Vec<Sent> {
        assert_eq!(self.stack.send(self.now, self.conn(), data), Ok(data.len()));
        self.drain()
    }

    /// RECEIVE of up to `most` bytes.
    pub(crate) fn receive(&mut self, most: usize) -> Result<Vec<u8>, CallError> {
        let mut into = vec![0; most];
        let taken = self.stack.receive(self.now, self.conn(), &mut into)?;
        into.truncate(taken);
        Ok(into)
    }

    /// Lets time pass; what is sent until then.
    pub(crate) fn run(&mut self, time: Duration) -> Vec<Sent> {
        let until = self.now + time;
        let mut sent = self.drain();
        while let Some(at) = self.stack.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.stack.timeout(self.now);
            sent.extend(self.drain());
        }
        self.now = until;
        sent
    }

    /// What the stack sends now.
    pub(crate) fn drain(&mut self) -> Vec<Sent> {
        let mut out = Vec::new();
        let mut buffer = [0; 2000];
        while let Some(transmit) = self.stack.poll_transmit(self.now, &mut buffer) {
            let segment = Segment::parse(&buffer[..transmit.len], ChecksumPolicy::Strict).unwrap();
            let at = self.now;
            let header = segment.header;
            let text = segment.payload.to_vec();
            let dont_fragment = buffer[6] & 0x40 != 0;
            out.push(Sent {
                at,
                header,
                text,
                label: transmit.label,
                len: transmit.len,
                dont_fragment,
            });
        }
        self.signals
            .extend(std::iter::from_fn(|| self.stack.poll_signal()));
        self.events
            .extend(std::iter::from_fn(|| self.stack.poll_event()));
        self.learn();
        out
    }

    fn learn(&mut self) {
        self.id = self
            .stack
            .lookup(FourTuple {
                local: self.local,
                remote: self.remote,
            })
            .or(self.id);
        let Some(status) = self.id.and_then(|id| self.stack.status(id)) else {
            return;
        };
        self.snd_nxt = status.snd_nxt;
        self.snd_una = status.snd_una;
        if status.irs == PEER_ISS {
            self.rcv_nxt = status.rcv_nxt;
        }
    }

    /// The state of the connection with the peer; CLOSED where there is none.
    pub(crate) fn state(&self) -> State {
        let found = self
            .stack
            .lookup(FourTuple {
                local: self.local,
                remote: self.remote,
            })
            .and_then(|id| self.stack.status(id));
        found.map_or(State::Closed, |status| status.state)
    }
}

/// Puts the right checksum into an ICMPv4 message behind 20 bytes of IP header.
pub(crate) fn seal(packet: &mut [u8]) {
    let sum: u32 = packet[20..]
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    packet[22..24].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}

/// A segment as `SEQ ACK FLAGS`, PSH left out.
pub(crate) fn spell(sent: &Sent) -> String {
    let Header {
        seq, ack, flags, ..
    } = sent.header;
    let ack = if flags.contains(ACK) {
        ack.to_string()
    } else {
        String::from("-")
    };
    format!("{seq} {ack} {}", letters(flags))
}

fn letters(flags: Flags) -> String {
    let mut letters: Vec<char> = flags.difference(Flags::PSH).to_string().chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

/// What the symbols of a table mean: those of the bench, and of the segment that arrives.
#[derive(Clone, Copy)]
pub(crate) struct Symbols {
    pub(crate) snd_nxt: Seq,
    pub(crate) snd_una: Seq,
    pub(crate) rcv_nxt: Seq,
    pub(crate) iss: Seq,
    pub(crate) seg_seq: Seq,
    pub(crate) seg_ack: Seq,
}

impl Symbols {
    pub(crate) fn of(bench: &Bench) -> Symbols {
        let iss = bench
            .id
            .and_then(|id| bench.stack.status(id))
            .map_or(Seq(0), |status| status.iss);
        let Bench {
            snd_nxt,
            snd_una,
            rcv_nxt,
            ..
        } = *bench;
        Symbols {
            snd_nxt,
            snd_una,
            rcv_nxt,
            iss,
            seg_seq: Seq(0),
            seg_ack: Seq(0),
        }
    }

    /// `RCV.NXT-1` and the like.
    pub(crate) fn value(&self, expression: &str) -> Seq {
        let at = expression.find(['+', '-']).unwrap_or(expression.len());
        let (name, offset) = expression.split_at(at);
        let base = match name {
            "SND.NXT" => self.snd_nxt,
            "SND.UNA" => self.snd_una,
            "RCV.NXT" => self.rcv_nxt,
            "ISS" => self.iss,
            "SEG.SEQ" => self.seg_seq,
            "SEG.ACK" => self.seg_ack,
            "0" => Seq(0),
            other => panic!("unknown symbol {other}"),
        };
        Seq((i64::from(base.0) + offset.parse::<i64>().unwrap_or(0)) as u32)
    }

    /// The replies that `<SEQ=..><ACK=..><CTL=..>; ..` names, as [`spell`] spells them. SEQ=new
    /// matches any number.
    pub(crate) fn replies(&self, text: &str) -> Vec<String> {
        if text == "none" {
            return Vec::new();
        }
        let number = |expression| {
            if expression == "new" {
                String::from("new")
            } else {
                self.value(expression).to_string()
            }
        };
        let one = |text| {
            let ack = field(text, "ACK").map_or(String::from("-"), number);
            format!(
                "{} {ack} {}",
                number(field(text, "SEQ").unwrap()),
                field(text, "CTL").unwrap()
            )
        };
        text.split("; ").map(one).collect()
    }
}

/// The value of `<KEY=value>`.
pub(crate) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let rest = text
        .split('<')
        .find_map(|part| part.strip_prefix(key)?.strip_prefix('='))?;
    rest.split('>').next()
}

/// Whether these are the replies that were expected.
pub(crate) fn agrees(expected: &[String], actual: &[Sent]) -> bool {
    expected.len() == actual.len()
        && expected.iter().zip(actual).all(|(expected, actual)| {
            match expected.strip_prefix("new ") {
                Some(rest) => spell(actual)
                    .split_once(' ')
                    .is_some_and(|(_, tail)| tail == rest),
                None => *expected == spell(actual),
            }
        })
}
