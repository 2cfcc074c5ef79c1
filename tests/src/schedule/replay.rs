//! The engine without a wire: it gets what a host got in a run, at the same times, and says when it
//! does what.

use super::cases::Case;
use super::end::engine;
use super::play::{Input, Moment, Played, Teller};
use super::wire::Heard;
use crate::tun::HOST;
use std::net::SocketAddr;
use std::time::Duration;
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::{Signal, Stack};
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, Options, Segment, Timestamps};

const PORT: u16 = 7000;
/// How late a host's timers may fire on a busy machine, so that the next ones count from there.
const LATE: Duration = Duration::from_millis(14);

/// What the engine does with the inputs of a run on a clock that reads `origin` less.
pub(super) fn replay(case: &Case, run: &Played, origin: u64) -> Vec<Moment> {
    let config = engine(&case.setup);
    let mut stack = Stack::new(config, 7);
    stack.reserve(HOST.into(), PORT..=PORT);
    let mut replay = Replay {
        stack,
        origin,
        local: SocketAddr::from((HOST, PORT)),
        remote: run.peer,
        id: None,
        listener: None,
        first: None,
        stamp: 0,
        teller: Teller::new(case),
        times: run.times.iter().map(|at| Instant(at.0 - origin)).collect(),
    };
    for (at, input) in &run.inputs {
        replay.pass(*at);
        replay.take(*at, input);
    }
    replay.pass(run.end);
    replay.teller.moments()
}

struct Replay {
    stack: Stack,
    origin: u64,
    local: SocketAddr,
    remote: SocketAddr,
    id: Option<ConnId>,
    listener: Option<ListenerId>,
    /// The engine's ISS, and its last TSval.
    first: Option<Seq>,
    stamp: u32,
    teller: Teller,
    /// When the host did something, on the engine's clock.
    times: Vec<Instant>,
}

impl Replay {
    fn clock(&self, at: Instant) -> Instant {
        Instant(at.0 - self.origin)
    }

    /// Fires the timers until then: each when it is due, or when the host did something soon after.
    fn pass(&mut self, until: Instant) {
        let until = self.clock(until);
        while let Some(due) = self.stack.deadline().filter(|due| *due <= until) {
            let soon = |at: &&Instant| **at >= due && **at <= (due + LATE).min(until);
            let now = self.times.iter().find(soon).copied().unwrap_or(due);
            self.stack.timeout(now);
            self.drain(now, due);
        }
    }

    fn take(&mut self, at: Instant, input: &Input) {
        let now = self.clock(at);
        let conn = self.stack.config().conn.clone();
        let tuple = FourTuple {
            local: self.local,
            remote: self.remote,
        };
        // What a call or a segment that is refused would have done shows in what is sent.
        match input {
            Input::Connect => self.id = self.stack.connect(now, tuple, &conn).ok(),
            Input::Listen => self.listener = self.stack.listen(now, self.local, 8, &conn).ok(),
            Input::Write(len) => {
                _ = self
                    .id
                    .map(|id| self.stack.send(now, id, &vec![b'h'; *len]));
            }
            Input::Read => {
                let mut into = vec![0; 1 << 16];
                _ = self.id.map(|id| self.stack.receive(now, id, &mut into));
            }
            Input::Shutdown => _ = self.id.map(|id| self.stack.shutdown(now, id)),
            Input::Close => _ = self.id.take().map(|id| self.stack.close(now, id)),
            Input::Mark => self.teller.mark(at),
            Input::Segment {
                header,
                ack,
                len,
                end,
            } => {
                self.segment(now, header, *ack, *len);
                let uses = *len > 0 || header.flags.contains(Flags::FIN);
                self.teller.said(at, *end, uses);
            }
        }
        self.drain(now, now);
    }

    /// A segment of the peer; `ack`: from the host's ISS on.
    fn segment(&mut self, now: Instant, header: &Header, ack: i64, len: usize) {
        let timestamps = header.options.timestamps.map(|stamps| Timestamps {
            echo: self.stamp,
            ..stamps
        });
        let acks = header.flags.contains(Flags::ACK);
        let first = self.first.filter(|_| acks).unwrap_or_default();
        let header = Header {
            destination: self.local,
            ack: Seq((i64::from(first.0) + if acks { ack } else { 0 }) as u32),
            options: Options {
                timestamps,
                ..header.options
            },
            ..*header
        };
        let mut packet = vec![0; len + 100];
        if let Ok(len) = header.emit((&vec![b'p'; len], &[]), &mut packet) {
            self.stack
                .packet_arrives(now, packet.get(..len).unwrap_or_default());
        }
    }

    /// What the engine sends now, and whether the connection has failed; `due`: when it should.
    fn drain(&mut self, now: Instant, due: Instant) {
        let at = Instant(due.0 + self.origin);
        let mut buffer = [0; 2000];
        while let Some(transmit) = self.stack.poll_transmit(now, &mut buffer) {
            let packet = buffer.get(..transmit.len).unwrap_or_default();
            let Ok(segment) = Segment::parse(packet, ChecksumPolicy::Strict) else {
                continue;
            };
            let header = segment.header;
            self.first = self.first.or(Some(header.seq));
            if let Some(stamps) = header.options.timestamps {
                self.stamp = stamps.value;
            }
            let len = segment.payload.len() as u32;
            self.teller.heard(&Heard { at, header, len }, self.first);
        }
        while let Some(signal) = self.stack.poll_signal() {
            match signal {
                Signal::Acceptable(listener) => {
                    self.id = self.stack.accept(now, listener).ok();
                }
                Signal::Closed(id, _) if self.id == Some(id) => self.teller.failed(at),
                _ => {}
            }
        }
    }
}
