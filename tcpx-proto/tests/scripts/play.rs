//! A script played against a stack, in virtual time: packets put in, calls made, and every packet
//! that comes out held against its line.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tcpx_proto::config::{Config, ConnConfig, Ecn, KeepAlive, ReceiveWindow};
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::Stack;
use tcpx_proto::state::State;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, Illegal, Options, Segment, icmp_error};

use super::parse::{Action, Call, Event, Opt, Packet, Script, When};

/// A packet may be this much too early or too late, or an eighth of the time between the two
/// events.
const TOLERANCE: Duration = Duration::from_millis(4);
/// How much later than expected a packet is still waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a packet is waited for that may come at any time.
const ANY_TIME: Duration = Duration::from_secs(3600);

/// A packet that the stack sent.
struct Live {
    at: Instant,
    header: Header,
    options: Vec<Opt>,
    len: u32,
}

/// What a descriptor stands for.
enum Socket {
    Fresh,
    Listener(ListenerId),
    Connection(ConnId),
}

struct Player {
    stack: Stack,
    config: ConnConfig,
    now: Instant,
    /// When the previous event ended.
    before: Instant,
    local: SocketAddr,
    remote: SocketAddr,
    sockets: HashMap<i64, Socket>,
    sent: VecDeque<Live>,
    /// The ISN in the script and on the wire, of the stack and of its peer.
    ours: Option<(u32, u32)>,
    theirs: Option<u32>,
    /// Timestamps as the script writes them, and as the stack sent them.
    stamps: HashMap<u32, u32>,
}

/// Plays the script; the error names the line that does not hold.
pub(crate) fn play(script: &Script, config: Config) -> Result<(), String> {
    let mut player = Player::new(script, config);
    for event in &script.events {
        player
            .event(event)
            .map_err(|error| format!("{}\n  {error}", event.text))?;
    }
    Ok(())
}

impl Player {
    fn new(script: &Script, config: Config) -> Player {
        let local: SocketAddr = ([192, 168, 0, 1], 8080).into();
        let mut conn = config.conn.clone();
        if script.ecn {
            conn.ecn = Ecn::WhenAsked;
        }
        set_ahead(&mut conn, script);
        let mut stack = Stack::new(config, 7);
        stack.reserve(local.ip(), local.port()..=local.port());
        let now = Instant::ZERO + Duration::from_secs(1000);
        Player {
            stack,
            config: conn,
            now,
            before: now,
            local,
            remote: ([192, 0, 2, 1], 8080).into(),
            sockets: HashMap::new(),
            sent: VecDeque::new(),
            ours: None,
            theirs: None,
            stamps: HashMap::new(),
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), String> {
        if let Action::Expect(packet) = &event.action {
            return self.expect(event.when, packet);
        }
        let at = match event.when {
            When::At(after) => Instant::ZERO + Duration::from_secs(1000) + after,
            When::After(after) => self.before + after,
            When::Within(..) | When::Any => {
                return Err("only a packet of the stack's may have such a time".into());
            }
        };
        self.run_until(at);
        self.before = at;
        match &event.action {
            Action::Inject(packet) => self.inject(packet)?,
            Action::FragNeeded { mtu, seq } => self.frag_needed(*mtu, *seq)?,
            Action::Call(call) => self.call(call)?,
            Action::Expect(_) => {}
        }
        self.drain();
        Ok(())
    }

    /// Lets time pass; what is sent meanwhile is kept.
    fn run_until(&mut self, until: Instant) {
        while let Some(at) = self.stack.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.stack.timeout(self.now);
            self.drain();
        }
        self.now = self.now.max(until);
    }

    fn drain(&mut self) {
        let mut buffer = [0; 2000];
        while let Some(transmit) = self.stack.poll_transmit(self.now, &mut buffer) {
            let packet = &buffer[..transmit.len];
            let segment = Segment::parse(packet, ChecksumPolicy::Strict)
                .expect("the stack sends packets that are right");
            assert!(
                segment.payload.iter().all(|byte| *byte == 0),
                "the script's writes are zeros"
            );
            let area = &packet[40..packet.len() - segment.payload.len()];
            let header = segment.header;
            let len = segment.payload.len() as u32;
            self.sent.push_back(Live {
                at: self.now,
                header,
                options: read_options(area),
                len,
            });
        }
        while self.stack.poll_signal().is_some() {}
    }

    // ---- Packets from the stack

    /// The next packet, waited for until `limit`.
    fn next(&mut self, limit: Instant) -> Option<Live> {
        while self.sent.is_empty() {
            let at = self.stack.deadline().filter(|at| *at <= limit)?;
            self.run_until(at);
        }
        self.sent.pop_front()
    }

    fn expect(&mut self, when: When, wanted: &Packet) -> Result<(), String> {
        let (from, to) = match when {
            When::At(after) => (
                Instant::ZERO + Duration::from_secs(1000) + after,
                Instant::ZERO + Duration::from_secs(1000) + after,
            ),
            When::After(after) => (self.before + after, self.before + after),
            When::Within(from, to) => (self.before + from, self.before + to),
            When::Any => (Instant::ZERO, self.now + ANY_TIME),
        };
        let live = self.next(to + PATIENCE).ok_or("no packet")?;
        let at = live.at;
        let tolerance = TOLERANCE.max(to.since(self.before) / 8);
        let live = self.glue(live, wanted)?;
        self.compare(&live, wanted)
            .map_err(|error| format!("{error} in {}", self.show(&live)))?;
        if at < from - tolerance || at > to + tolerance {
            let after = |time: Instant| time.since(self.before);
            return Err(format!(
                "{:?} after the event before, expected {:?} to {:?}",
                after(at),
                after(from),
                after(to)
            ));
        }
        self.before = at;
        Ok(())
    }

    /// Successive segments as one, as far as the script's is longer: all but the last of one size,
    /// the same but for PSH and FIN.
    fn glue(&mut self, first: Live, wanted: &Packet) -> Result<Live, String> {
        let size = first.len;
        let mut whole = first;
        let ends = Flags::PSH | Flags::FIN;
        while whole.len < wanted.len && size > 0 {
            let next = self
                .next(whole.at)
                .ok_or_else(|| format!("no more packets after {}", self.show(&whole)))?;
            let a = &whole.header;
            let b = &next.header;
            let follows = b.seq == a.seq + whole.len
                && b.ack == a.ack
                && a.flags.difference(ends) == b.flags.difference(ends)
                && a.tos == b.tos;
            if !follows || !whole.len.is_multiple_of(size) || next.len > size {
                return Err(format!(
                    "{} does not continue {}",
                    self.show(&next),
                    self.show(&whole)
                ));
            }
            whole.len += next.len;
            whole.header.flags |= next.header.flags;
        }
        Ok(whole)
    }

    fn compare(&mut self, live: &Live, wanted: &Packet) -> Result<(), String> {
        let header = &live.header;
        if header.flags != wanted.flags {
            return Err(format!("flags {}, expected {}", header.flags, wanted.flags));
        }
        if header.flags.contains(Flags::SYN) && self.ours.is_none() {
            self.ours = Some((wanted.seq, header.seq.0));
        }
        let seq = self.our_number(header.seq, header.flags.contains(Flags::SYN));
        let ack = header
            .flags
            .contains(Flags::ACK)
            .then(|| self.their_number(header));
        if (seq, live.len, ack) != (wanted.seq, wanted.len, wanted.ack) {
            return Err(format!("seq {seq}, length {}, ack {ack:?}", live.len));
        }
        if wanted.window.is_some_and(|window| window != header.window) {
            return Err(format!("window {}", header.window));
        }
        if wanted.ecn.is_some_and(|ecn| ecn != header.tos & 3) {
            return Err(format!("ECN bits {}", header.tos & 3));
        }
        match &wanted.options {
            Some(options) => self.compare_options(&live.options, header.ack.0, ack, options),
            None => Ok(()),
        }
    }

    /// The same kinds in the same order with the same values; of timestamps the presence counts,
    /// and which is which is learnt.
    fn compare_options(
        &mut self,
        live: &[Opt],
        live_ack: u32,
        ack: Option<u32>,
        wanted: &[Opt],
    ) -> Result<(), String> {
        // SACK blocks are numbered as the ACK is.
        let shift = |number: u32| number.wrapping_sub(live_ack).wrapping_add(ack.unwrap_or(0));
        let same = |(live, wanted): (&Opt, &Opt)| match (live, wanted) {
            (Opt::Stamps { .. }, Opt::Stamps { .. }) => true,
            (Opt::Sack(live), Opt::Sack(wanted)) => live
                .iter()
                .map(|(left, right)| (shift(*left), shift(*right)))
                .eq(wanted.iter().copied()),
            (live, wanted) => live == wanted,
        };
        if live.len() != wanted.len() || !live.iter().zip(wanted).all(same) {
            return Err(format!("options {live:?} (their ack {live_ack})"));
        }
        for pair in live.iter().zip(wanted) {
            if let (Opt::Stamps { value: live, .. }, Opt::Stamps { value, .. }) = pair {
                self.stamps.insert(*value, *live);
            }
        }
        Ok(())
    }

    /// A number of the stack's as the script writes it: that of a SYN as it is, the others from the
    /// ISN on.
    fn our_number(&self, seq: Seq, syn: bool) -> u32 {
        let (script, live) = self.ours.unwrap_or_default();
        seq.0
            .wrapping_sub(live)
            .wrapping_add(if syn { script } else { 0 })
    }

    fn their_number(&self, header: &Header) -> u32 {
        let isn = if header.flags.contains(Flags::SYN) {
            0
        } else {
            self.theirs.unwrap_or(0)
        };
        header.ack.0.wrapping_sub(isn)
    }

    fn show(&self, live: &Live) -> String {
        let seq = self.our_number(live.header.seq, live.header.flags.contains(Flags::SYN));
        let Live { header, len, .. } = live;
        let end = seq.wrapping_add(*len);
        format!(
            "{} {seq}:{end}({len}) ack {} win {} {:?}",
            header.flags,
            self.their_number(header),
            header.window,
            live.options
        )
    }

    // ---- Packets to the stack

    fn inject(&mut self, packet: &Packet) -> Result<(), String> {
        let syn = packet.flags.contains(Flags::SYN);
        if syn && self.theirs.is_none() {
            self.theirs = Some(packet.seq);
        }
        let seq = if syn {
            packet.seq
        } else {
            packet.seq.wrapping_add(self.theirs.unwrap_or(0))
        };
        let ack = packet.ack.map_or(0, |ack| self.live_number(ack));
        let header = self.header(packet.flags, seq, ack, packet.window.unwrap_or(0));
        let options = self.write_options(packet.options.as_deref().unwrap_or_default())?;
        let mut buffer = vec![0; 66_000];
        let text = vec![0; packet.len as usize];
        let illegal = Illegal {
            options: Some(&options),
            ..Illegal::default()
        };
        let len = header
            .emit_illegal((&text, &[]), &illegal, &mut buffer)
            .map_err(|error| format!("{error:?}"))?;
        self.stack.packet_arrives(self.now, &buffer[..len]);
        Ok(())
    }

    /// A number of the stack's on the wire.
    fn live_number(&self, number: u32) -> u32 {
        number.wrapping_add(self.ours.map_or(0, |(_, live)| live))
    }

    fn header(&self, flags: Flags, seq: u32, ack: u32, window: u16) -> Header {
        let source = self.remote;
        let destination = self.local;
        let options = Options::default();
        Header {
            source,
            destination,
            seq: Seq(seq),
            ack: Seq(ack),
            flags,
            window,
            urgent: 0,
            options,
            ttl: 64,
            tos: 0,
            id: 1,
        }
    }

    fn frag_needed(&mut self, mtu: u16, seq: u32) -> Result<(), String> {
        let header = self.header(Flags::ACK, self.live_number(seq), 0, 0);
        let quoted = Header {
            source: self.local,
            destination: self.remote,
            ..header
        };
        let mut buffer = [0; 100];
        let len = quoted
            .emit((&[], &[]), &mut buffer)
            .map_err(|error| format!("{error:?}"))?;
        let (IpAddr::V4(router), IpAddr::V4(host)) = (self.remote.ip(), self.local.ip()) else {
            return Err("only IPv4".into());
        };
        self.stack.icmp_arrives(
            self.now,
            &icmp_error(router, host, [3, 4], mtu, &buffer[..len]),
        );
        Ok(())
    }

    /// The bytes of these options; an echo is the stamp that the stack sent where the script has
    /// that number.
    fn write_options(&self, options: &[Opt]) -> Result<Vec<u8>, String> {
        let mut area = Vec::new();
        for option in options {
            match option {
                Opt::End => area.push(0),
                Opt::Nop => area.push(1),
                Opt::Mss(mss) => area.extend([&[2, 4][..], &mss.to_be_bytes()].concat()),
                Opt::Scale(shift) => area.extend([3, 3, *shift]),
                Opt::SackPermitted => area.extend([4, 2]),
                Opt::Sack(blocks) => {
                    area.extend([5, (2 + 8 * blocks.len()) as u8]);
                    let edges = blocks.iter().flat_map(|(left, right)| [left, right]);
                    area.extend(edges.flat_map(|edge| self.live_number(*edge).to_be_bytes()));
                }
                Opt::Stamps { value, echo } => {
                    let known = self.stamps.get(echo).copied().or((*echo == 0).then_some(0));
                    let echo =
                        known.ok_or_else(|| format!("the stack never sent the stamp {echo}"))?;
                    area.extend([&[8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat());
                }
            }
        }
        if area.len() % 4 == 0 {
            Ok(area)
        } else {
            Err("the options are not padded".into())
        }
    }

    // ---- Calls

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let outcome = match self.perform(call) {
            Ok(value) => (value, None),
            Err(error) => (-1, Some(errno(error).ok_or_else(|| format!("{error}"))?)),
        };
        if outcome == (call.result, call.errno.as_deref()) {
            Ok(())
        } else {
            Err(format!("{outcome:?}"))
        }
    }

    fn perform(&mut self, call: &Call) -> Result<i64, CallError> {
        let number = |at: usize| {
            call.args
                .get(at)
                .and_then(|arg| arg.parse::<i64>().ok())
                .unwrap_or(-1)
        };
        let fd = number(0);
        let conn = match self.sockets.get(&fd) {
            Some(Socket::Connection(id)) => Ok(*id),
            _ => Err(CallError::NoConnection),
        };
        match call.name.as_str() {
            "socket" => drop(self.sockets.insert(call.result, Socket::Fresh)),
            "bind" | "fcntl" | "setsockopt" => {}
            "listen" => {
                let listener =
                    self.stack
                        .listen(self.now, self.local, number(1) as usize, &self.config)?;
                self.sockets.insert(fd, Socket::Listener(listener));
            }
            "accept" => {
                let Some(Socket::Listener(listener)) = self.sockets.get(&fd) else {
                    return Err(CallError::NoConnection);
                };
                let accepted = self.stack.accept(self.now, *listener)?;
                self.sockets
                    .insert(call.result, Socket::Connection(accepted));
                return Ok(call.result);
            }
            "connect" => {
                let id = self.stack.connect(
                    self.now,
                    FourTuple {
                        local: self.local,
                        remote: self.remote,
                    },
                    &self.config,
                )?;
                self.sockets.insert(fd, Socket::Connection(id));
                return Err(CallError::InUse(State::SynSent));
            }
            "read" => {
                let mut into = vec![1; number(2) as usize];
                let taken = self.stack.receive(self.now, conn?, &mut into)?;
                assert!(
                    into[..taken].iter().all(|byte| *byte == 0),
                    "the script's packets are zeros"
                );
                return Ok(taken as i64);
            }
            "write" => {
                return Ok(self
                    .stack
                    .send(self.now, conn?, &vec![0; number(2) as usize])?
                    as i64);
            }
            "shutdown" if call.args[1..] == ["SHUT_WR"] => self.stack.shutdown(self.now, conn?)?,
            "close" => self.stack.close(self.now, conn?)?,
            "getsockopt"
                if call.args[1..] == ["SOL_SOCKET", "SO_ERROR", "[ECONNREFUSED]", "[4]"] =>
            {
                let ended = self.stack.receive(self.now, conn?, &mut [0]).err();
                return if ended.and_then(errno) == Some("ECONNREFUSED") {
                    Ok(0)
                } else {
                    Ok(-1)
                };
            }
            _ => return Ok(i64::MIN),
        }
        Ok(call.result)
    }
}

/// What setsockopt says anywhere in the script holds from the start: this stack's connections have
/// one configuration for life.
fn set_ahead(config: &mut ConnConfig, script: &Script) {
    let mut keepalive = KeepAlive::default();
    for event in &script.events {
        let Action::Call(Call { name, args, .. }) = &event.action else {
            continue;
        };
        let value = args.get(3).and_then(|value| {
            value
                .strip_prefix('[')?
                .strip_suffix(']')?
                .parse::<u32>()
                .ok()
        });
        let ("setsockopt", Some(option), Some(value)) = (name.as_str(), args.get(2), value) else {
            continue;
        };
        match option.as_str() {
            "SO_REUSEADDR" => {}
            "SO_RCVBUF" => {
                config.receive_buffer = value as usize;
                config.receive_limit = None;
                // The scripts fill a window to the byte.
                config.receive_window = ReceiveWindow::Buffer;
            }
            "TCP_KEEPIDLE" => keepalive.idle = Duration::from_secs(value.into()),
            "TCP_KEEPINTVL" => keepalive.interval = Duration::from_secs(value.into()),
            "TCP_KEEPCNT" => keepalive.probes = value,
            "SO_KEEPALIVE" => config.keepalive = Some(keepalive),
            other => panic!("{other} is not known here"),
        }
    }
}

fn errno(error: CallError) -> Option<&'static str> {
    match error {
        CallError::WouldBlock => Some("EAGAIN"),
        CallError::InUse(State::SynSent) => Some("EINPROGRESS"),
        CallError::Ended(CloseReason::Reset) => Some("ECONNRESET"),
        CallError::Ended(CloseReason::Refused) => Some("ECONNREFUSED"),
        _ => None,
    }
}

/// The options of a packet that was sent, one by one.
fn read_options(area: &[u8]) -> Vec<Opt> {
    let word = |at: &[u8]| u32::from_be_bytes([at[0], at[1], at[2], at[3]]);
    let mut options = Vec::new();
    let mut rest = area;
    while let [kind, tail @ ..] = rest {
        let len = if *kind < 2 { 1 } else { usize::from(tail[0]) };
        let value = rest.get(2..len).unwrap_or_default();
        options.push(match kind {
            0 => Opt::End,
            1 => Opt::Nop,
            2 => Opt::Mss(u16::from_be_bytes([value[0], value[1]])),
            3 => Opt::Scale(value[0]),
            4 => Opt::SackPermitted,
            5 => Opt::Sack(
                value
                    .chunks(8)
                    .map(|block| (word(block), word(&block[4..])))
                    .collect(),
            ),
            8 => Opt::Stamps {
                value: word(value),
                echo: word(&value[4..]),
            },
            other => panic!("an option of kind {other} was sent"),
        });
        rest = &rest[len..];
    }
    options
}
