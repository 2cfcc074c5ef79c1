//! One end: a stack, what its application knows, and what it must never exceed.

use super::world::{PATHS, Packet};
use crate::memory::kept;
use std::fmt::Debug;
use std::net::SocketAddr;
use tcpx_proto::config::Config;
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::stack::{Signal, Stack};
use tcpx_proto::state::State;
use tcpx_proto::tcb::Status;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Header, Segment};

/// The most packets that one input makes a stack send beside its text, and the most signals.
const MOST_PACKETS: usize = 100;
/// What a stack keeps without connections, bytes: its tables and queues.
const EMPTY_STACK: usize = 64 << 10;
/// What a connection keeps beside its buffers, bytes.
const CONNECTION: usize = 8 << 10;
/// By how much buffers may be larger than what they hold: they grow by doubling, and text that
/// arrives in single bytes keeps a note of each.
const GROWTH: usize = 4;

/// A connection that the application has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    /// Which of the four-tuples.
    pub(super) path: usize,
    /// Bytes that RECEIVE has given.
    pub(super) read: usize,
}

/// One end.
pub(super) struct End {
    pub(super) stack: Stack,
    /// Has the same inputs, and keeps whole records of all connections.
    twin: Option<Stack>,
    /// 0 or 1.
    pub(super) side: usize,
    /// A rule was removed: connections may wait forever.
    removed: bool,
    pub(super) listener: Option<ListenerId>,
    pub(super) conns: Vec<Conn>,
    /// Bytes that SEND took, for each four-tuple.
    pub(super) sent: [usize; PATHS],
    /// How often each four-tuple was opened from here.
    pub(super) opened: [u32; PATHS],
    /// The last header that it sent.
    pub(super) last: Option<Header>,
    /// Bytes that the stack has allocated and not freed.
    kept: isize,
    most: usize,
    out: Vec<u8>,
}

/// The address of an end, and its port for a four-tuple.
pub(super) fn address(side: usize, path: usize) -> SocketAddr {
    if side == 0 {
        ([10, 0, 0, 1], 1000 + path as u16).into()
    } else {
        ([10, 0, 0, 2], 2000).into()
    }
}

pub(super) fn tuple(side: usize, path: usize) -> FourTuple {
    FourTuple {
        local: address(side, path),
        remote: address(1 - side, path),
    }
}

/// The byte at this place of the stream from this side.
pub(super) fn text(side: usize, path: usize, at: usize) -> u8 {
    (at * 31 + (at >> 8) * 7 + path * 53 + side * 101) as u8
}

fn statuses_of(stack: &Stack) -> Vec<Status> {
    let ids = stack.connections();
    ids.filter_map(|id| stack.status(id)).collect()
}

fn stack(side: usize, config: Config, record: bool, now: Instant) -> (Stack, Option<ListenerId>) {
    let conn = config.conn.clone();
    let mut stack = Stack::new(config, side as u64);
    stack.record(record);
    let ports = address(side, 0).port()..=address(side, PATHS - 1).port();
    stack.reserve(address(side, 0).ip(), ports);
    let listener = stack.listen(now, address(side, 0), 2, &conn).ok();
    (stack, listener)
}

impl End {
    pub(super) fn new(
        side: usize,
        config: Config,
        record: bool,
        removed: bool,
        now: Instant,
    ) -> End {
        let whole = Config {
            whole_records: usize::MAX,
            ..config.clone()
        };
        let twin = config.whole_records < config.max_connections;
        let twin = twin.then(|| stack(side, whole, record, now).0);
        let conn = config.conn.clone();
        let each = CONNECTION + GROWTH * (conn.receive_buffer + conn.send_buffer);
        let most = EMPTY_STACK + config.max_connections * each;
        let ((stack, listener), kept) = kept(|| stack(side, config, record, now));
        End {
            stack,
            twin,
            side,
            removed,
            listener,
            conns: Vec::new(),
            sent: [0; PATHS],
            opened: [0; PATHS],
            last: None,
            kept,
            most,
            out: vec![0; 10_000],
        }
    }

    /// Makes a call of the stack, and counts the memory that it keeps. Its twin must answer alike.
    pub(super) fn call<R: PartialEq + Debug>(&mut self, act: impl Fn(&mut Stack) -> R) -> R {
        let (result, kept) = kept(|| act(&mut self.stack));
        self.kept += kept;
        if let Some(twin) = &mut self.twin {
            assert_eq!(result, act(twin), "a compact record, and a whole one");
        }
        assert!(
            self.kept <= self.most as isize,
            "{} bytes are kept, more than {}: {:?}",
            self.kept,
            self.most,
            self.stack
        );
        result
    }

    /// Everything that the stack has to say: packets go to `flying`. How many had no text, SYN or
    /// FIN.
    pub(super) fn drain(&mut self, now: Instant, flying: &mut Vec<Packet>) -> usize {
        // At worst each byte has a packet of its own: options can fill the smallest MTU.
        let text: usize = self
            .statuses()
            .iter()
            .map(|status| status.unacknowledged)
            .sum();
        let most = text + MOST_PACKETS;
        let mut packets = 0;
        let mut empty = 0;
        while let Some(bytes) = self.transmit(now) {
            packets += 1;
            assert!(packets <= most, "the queue of packets has no end");
            let bytes = &bytes[..];
            let segment = match Segment::parse(bytes, ChecksumPolicy::Strict) {
                Ok(segment) => segment,
                Err(error) => panic!("sends what is no segment: {error:?} {bytes:?}"),
            };
            empty += usize::from(segment.is_empty());
            self.last = Some(segment.header);
            flying.push(Packet {
                to: 1 - self.side,
                bytes: bytes.to_vec(),
            });
        }
        let mut signals = 0;
        while let Some(signal) = self.call(Stack::poll_signal) {
            signals += 1;
            assert!(signals <= MOST_PACKETS, "the queue of signals has no end");
            if let Signal::Acceptable(_) = signal {
                self.accept(now);
            }
        }
        while self.call(Stack::poll_event).is_some() {}
        self.check();
        empty
    }

    /// The next packet.
    fn transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        let out = &mut self.out;
        let (transmit, kept) = kept(|| self.stack.poll_transmit(now, out));
        self.kept += kept;
        let bytes = transmit.map(|transmit| out[..transmit.len].to_vec());
        if let Some(twin) = &mut self.twin {
            let same = twin.poll_transmit(now, out);
            assert_eq!(transmit, same, "of a compact record, and a whole one");
            let same = same.map(|transmit| out[..transmit.len].to_vec());
            assert_eq!(bytes, same, "of a compact record, and a whole one");
        }
        bytes
    }

    fn accept(&mut self, now: Instant) {
        let Some(listener) = self.listener else {
            return;
        };
        while let Ok(id) = self.call(|stack| stack.accept(now, listener)) {
            if let Some(status) = self.stack.status(id) {
                let ends = FourTuple {
                    local: status.local,
                    remote: status.remote,
                };
                let path = (0..PATHS).find(|path| tuple(self.side, *path) == ends);
                // A forged SYN can come from anywhere.
                self.conns.push(Conn {
                    id,
                    path: path.unwrap_or(PATHS),
                    read: 0,
                });
            }
        }
    }

    /// Of every connection.
    pub(super) fn statuses(&self) -> Vec<Status> {
        statuses_of(&self.stack)
    }

    /// What holds at any time.
    fn check(&self) {
        let config = self.stack.config();
        let statuses = self.statuses();
        if let Some(twin) = &self.twin {
            let ids = |stack: &Stack| stack.connections().collect::<Vec<_>>();
            assert_eq!(ids(&self.stack), ids(twin));
            let same = statuses_of(twin);
            assert_eq!(statuses, same, "of compact records, and of whole ones");
        }
        let next = self.stack.deadline();
        let is_late = |status: &Status| {
            let due = status.deadline.filter(|_| status.state != State::Closed);
            due.is_some_and(|due| next.is_none_or(|next| due < next))
        };
        assert!(!statuses.iter().any(is_late), "{next:?}: {statuses:#?}");
        assert!(statuses.len() <= config.max_connections);
        for status in statuses {
            assert!(status.snd_una.le(status.snd_nxt), "{status:?}");
            assert!(
                status.unacknowledged <= config.conn.send_buffer,
                "{status:?}"
            );
            assert!(
                status.unread <= config.conn.receive_buffer + (1 << 16),
                "{status:?}"
            );
            let timeless = matches!(
                status.state,
                State::Closed | State::Listen | State::TimeWait
            );
            let outstanding = status.snd_una != status.snd_nxt && !timeless;
            assert!(
                self.removed || !outstanding || status.deadline.is_some(),
                "something is outstanding and no timer runs: {status:?}"
            );
        }
    }

    /// The application reads all that there is. Whether it is what the peer sent is checked if
    /// `honest`.
    pub(super) fn read(
        &mut self,
        now: Instant,
        nth: usize,
        most: usize,
        peer_sent: Option<&[usize; PATHS]>,
    ) {
        let Some(conn) = self.conns.get(nth).copied() else {
            return;
        };
        let most = most.clamp(1, 4096);
        let (peeked, seen) = self.call(|stack| {
            let mut seen = [0; 100];
            (stack.peek(now, conn.id, &mut seen), seen)
        });
        let (Ok(taken), into) = self.call(|stack| {
            let mut into = [0; 4096];
            (stack.receive(now, conn.id, &mut into[..most]), into)
        }) else {
            return;
        };
        let both = seen.len().min(taken);
        assert!(
            peeked.is_ok() && seen[..both] == into[..both],
            "peek: {peeked:?}"
        );
        if let (Some(sent), true) = (peer_sent, conn.path < PATHS) {
            let expected = |at: usize| text(1 - self.side, conn.path, conn.read + at);
            assert!(
                (0..taken).all(|at| into[at] == expected(at)),
                "what is read is not what was sent: at {} {:?}",
                conn.read,
                &into[..taken]
            );
            assert!(conn.read + taken <= sent[conn.path], "more than was sent");
        }
        self.conns[nth].read += taken;
    }
}
