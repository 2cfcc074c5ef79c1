//! Both ends, the network between them, and how a run ends.

use super::config::config;
use super::end::{Conn, End, text, tuple};
use crate::bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tcpx_proto::error::CallError;
use tcpx_proto::stack::Stack;
use tcpx_proto::state::State;
use tcpx_proto::tcb::Status;
use tcpx_proto::time::Instant;

/// How many four-tuples there are.
pub(super) const PATHS: usize = 3;
/// How long a packet is on its way.
const WAY: Duration = Duration::from_millis(1);
/// The most rounds of one instant.
const MOST_AT_ONCE: usize = 2000;
/// The most instants in which a good network is watched.
const MOST_ROUNDS: usize = 2000;
/// The most of them in which no text arrives, though it was sent.
const MOST_IN_VAIN: usize = 300;
/// The most instants until the ends of a run have nothing left to do.
const MOST_LAST_ROUNDS: usize = 20_000;

/// A packet on its way.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) to: usize,
    pub(super) bytes: Vec<u8>,
}

/// Both ends and the network.
pub(super) struct World {
    pub(super) ends: [End; 2],
    pub(super) flying: VecDeque<(Instant, Packet)>,
    pub(super) now: Instant,
    /// Nothing was altered or forged, and no host restarted.
    pub(super) honest: bool,
    /// A rule was removed: connections may wait forever.
    pub(super) removed: bool,
}

impl World {
    pub(super) fn new(bytes: &mut Bytes<'_>) -> World {
        let now = Instant::ZERO + Duration::from_secs(1000);
        let record = bytes.byte() & 1 == 1;
        let mut removed = false;
        let ends = [0, 1].map(|side| {
            let (config, without) = config(bytes);
            removed |= without;
            End::new(side, config, record, without, now)
        });
        World {
            ends,
            flying: VecDeque::new(),
            now,
            honest: !removed,
            removed,
        }
    }

    /// What both ends have to send is on its way.
    pub(super) fn drain(&mut self) {
        for side in [0, 1] {
            self.drain_end(side);
        }
    }

    fn drain_end(&mut self, side: usize) -> usize {
        let mut packets = Vec::new();
        let empty = self.ends[side].drain(self.now, &mut packets);
        let at = self.now + WAY;
        // Nor is a four-tuple what it was, once a connection on it has failed.
        let conns = &self.ends[side].conns;
        let again = |(nth, conn): (usize, &Conn)| {
            conns[..nth].iter().any(|before| before.path == conn.path)
        };
        self.honest &= !conns.iter().enumerate().any(again);
        self.flying
            .extend(packets.into_iter().map(|packet| (at, packet)));
        empty
    }

    /// One packet arrives.
    pub(super) fn arrive(&mut self, packet: &Packet) {
        let now = self.now;
        self.ends[packet.to].call(|stack| stack.packet_arrives(now, &packet.bytes));
        let empty = self.drain_end(packet.to);
        assert!(empty <= 1, "one packet has {empty} answers: {packet:?}");
    }

    /// When something happens by itself.
    fn next(&self) -> Option<Instant> {
        let arrival = self.flying.iter().map(|(at, _)| *at).min();
        let timers = self.ends.iter().filter_map(|end| end.stack.deadline());
        arrival.into_iter().chain(timers).min()
    }

    /// Lets everything happen until then.
    pub(super) fn run(&mut self, until: Instant) {
        let mut rounds = 0;
        while let Some(at) = self.next().filter(|at| *at <= until) {
            rounds = if at <= self.now { rounds + 1 } else { 0 };
            assert!(rounds < MOST_AT_ONCE, "time does not pass");
            self.advance(at);
        }
        self.now = self.now.max(until);
    }

    /// Lets what happens next happen; whether there is something.
    pub(super) fn advance_to_next(&mut self) -> bool {
        let next = self.next();
        if let Some(at) = next {
            self.advance(at);
        }
        next.is_some()
    }

    fn advance(&mut self, at: Instant) {
        self.now = self.now.max(at);
        let due = self.flying.len();
        for _ in 0..due {
            let Some((at, packet)) = self.flying.pop_front() else {
                break;
            };
            if at <= self.now {
                self.arrive(&packet);
            } else {
                self.flying.push_back((at, packet));
            }
        }
        let now = self.now;
        for side in [0, 1] {
            self.ends[side].call(|stack| stack.timeout(now));
            self.drain_end(side);
        }
    }

    pub(super) fn connect(&mut self, side: usize, path: usize) {
        let now = self.now;
        let end = &mut self.ends[side];
        let config = end.stack.config().conn.clone();
        let opened = end.call(|stack| stack.connect(now, tuple(side, path), &config));
        if let Ok(id) = opened {
            let read = 0;
            end.conns.push(Conn { id, path, read });
            end.opened[path] += 1;
            // Segments of two incarnations of one four-tuple may be mixed up where the end of the
            // first was cut short.
            let peer = &self.ends[1 - side];
            let peer_opens = peer
                .stack
                .lookup(tuple(1 - side, path))
                .and_then(|id| peer.stack.status(id))
                .is_some_and(|status| status.state == State::SynSent);
            let first = self.ends[side].opened[path] == 1;
            self.honest &= first && (peer.opened[path] == 0 || peer_opens);
        }
    }

    pub(super) fn send(&mut self, side: usize, nth: usize, len: usize) {
        let now = self.now;
        let end = &mut self.ends[side];
        let Some(conn) = end.conns.get(nth).copied().filter(|conn| conn.path < PATHS) else {
            return;
        };
        let from = end.sent[conn.path];
        let data: Vec<u8> = (from..from + len)
            .map(|at| text(side, conn.path, at))
            .collect();
        if let Ok(taken) = end.call(|stack| stack.send(now, conn.id, &data)) {
            assert!((1..=len).contains(&taken));
            end.sent[conn.path] += taken;
        }
    }

    pub(super) fn read(&mut self, side: usize, nth: usize, most: usize) {
        let sent = self.ends[1 - side].sent;
        let honest = self.honest.then_some(&sent);
        self.ends[side].read(self.now, nth, most, honest);
    }

    fn read_all(&mut self) {
        for side in [0, 1] {
            for nth in 0..self.ends[side].conns.len() {
                loop {
                    let before = self.ends[side].conns[nth].read;
                    self.read(side, nth, usize::MAX);
                    if self.ends[side].conns[nth].read == before {
                        break;
                    }
                }
            }
        }
    }

    /// The network is good and both ends read: everything arrives. Then both close: everything
    /// ends.
    pub(super) fn finish(&mut self) {
        self.drain();
        if self.honest {
            self.deliver();
        }
        let now = self.now;
        for end in &mut self.ends {
            if let Some(listener) = end.listener.take() {
                end.call(|stack| stack.close_listener(now, listener));
            }
            for conn in std::mem::take(&mut end.conns) {
                let _ended = end.call(|stack| stack.close(now, conn.id));
            }
        }
        self.drain();
        for _ in 0..MOST_LAST_ROUNDS {
            if !self.advance_to_next() {
                break;
            }
        }
        if self.removed {
            return;
        }
        let left = self.ends.each_ref().map(End::statuses);
        assert!(self.next().is_none(), "no end: {left:#?}");
        // With the profile rfc9293 that lasts until the peer's FIN, which a peer may have forgotten.
        let ends = |status: &Status| status.state == State::FinWait2;
        assert!(left.iter().flatten().all(ends), "left behind: {left:#?}");
    }

    /// What was sent arrives, bit by bit, on each connection that has not ended.
    fn deliver(&mut self) {
        let mut progress = self.progress();
        let mut since = 0;
        for _ in 0..MOST_ROUNDS {
            self.read_all();
            self.drain();
            if !self.honest || self.is_delivered() {
                return;
            }
            let more = self.advance_to_next();
            since = if self.progress() == progress {
                since + 1
            } else {
                0
            };
            progress = self.progress();
            if !more || since > MOST_IN_VAIN {
                let status = self.ends.each_ref().map(End::statuses);
                panic!("a stall: {status:#?}");
            }
        }
    }

    /// How many bytes were read so far.
    fn progress(&self) -> usize {
        let conns = self.ends.iter().flat_map(|end| &end.conns);
        conns.map(|conn| conn.read).sum()
    }

    fn is_delivered(&self) -> bool {
        (0..PATHS).all(|path| {
            let live = self.ends.each_ref().map(|end| live(end, path));
            let [Some(a), Some(b)] = live else {
                return true;
            };
            a == self.ends[1].sent[path] && b == self.ends[0].sent[path]
        })
    }
}

/// How much was read on this four-tuple, by an application whose connection has not ended.
fn live(end: &End, path: usize) -> Option<usize> {
    let conn = end.conns.iter().rfind(|conn| conn.path == path)?;
    let status = end.stack.status(conn.id)?;
    (status.state != State::Closed).then_some(conn.read)
}

/// Calls that may be refused.
pub(super) type Refusable = Result<(), CallError>;

/// A call on a connection.
pub(super) type Call = fn(&mut Stack, Instant, tcpx_proto::id::ConnId) -> Refusable;
