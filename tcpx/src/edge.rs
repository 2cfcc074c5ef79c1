//! Stack, gate and observers of one host: what happens to a packet between the wire and the engine. No I/O, no clock.

use crate::record::Observer;
use std::collections::HashMap;
use std::net::SocketAddr;
use tcpx_proto::event::{Event, Label, SegmentRecord, What};
use tcpx_proto::fault::{Direction, Gate, Judgement};
use tcpx_proto::stack::{ConnId, Stack};
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Segment};

/// A packet that is ready for the wire, in the buffer that the caller gave.
pub(crate) struct Outgoing {
    pub(crate) conn: Option<ConnId>,
    pub(crate) len: usize,
    pub(crate) destination: SocketAddr,
}

pub(crate) struct Edge {
    pub(crate) stack: Stack,
    gate: Gate,
    observers: Vec<Box<dyn Observer>>,
    /// Nothing goes out or comes in any more: a host that lost its power.
    silent: bool,
    /// Somebody records, or a rule waits for an event.
    watched: bool,
    /// The ends of the connections that live, for what is told about them.
    ends: HashMap<ConnId, (SocketAddr, SocketAddr)>,
    /// Those that ended since the host last slept: their RST may not be out yet.
    gone: Vec<ConnId>,
    /// A copy of the packet that the gate looks at.
    scratch: Vec<u8>,
}

impl Edge {
    pub(crate) fn new(mut stack: Stack, gate: Gate, observers: Vec<Box<dyn Observer>>) -> Edge {
        let watched = !observers.is_empty() || !gate.rules().is_empty();
        stack.record(watched);
        Edge { stack, gate, observers, silent: false, watched, ends: HashMap::new(), gone: Vec::new(), scratch: Vec::new() }
    }

    /// From now on nothing passes, either way.
    pub(crate) fn vanish(&mut self) {
        self.silent = true;
    }

    /// Removes the fault rules of a preset and lets go what its hold-back keeps.
    pub(crate) fn lift(&mut self, now: Instant, preset: &str) {
        self.gate.lift(preset);
        for id in self.stack.connections().collect::<Vec<_>>() {
            // A connection that has ended has nothing held back.
            let _ = self.stack.lift(now, id);
        }
    }

    /// A packet came from the wire.
    pub(crate) fn arrives(&mut self, now: Instant, packet: &[u8]) {
        if self.silent {
            return;
        }
        if !self.watched {
            return self.stack.packet_arrives(now, packet);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(packet);
        let judgement = self.gate.offer(now, Direction::In, None, &mut scratch);
        self.tell_segment(now, None, &judgement, &scratch);
        if judgement.goes_on() {
            self.stack.packet_arrives(now, &scratch);
        }
        self.scratch = scratch;
        self.tell_events(now);
    }

    /// An ICMP message came from the wire.
    pub(crate) fn icmp_arrives(&mut self, now: Instant, packet: &[u8]) {
        if !self.silent {
            self.stack.icmp_arrives(now, packet);
        }
    }

    /// Fires the engine's timers that are due.
    pub(crate) fn timeout(&mut self, now: Instant) {
        if self.stack.deadline().is_some_and(|deadline| deadline <= now) {
            self.stack.timeout(now);
        }
    }

    /// The next packet for the wire, written into `into`.
    pub(crate) fn poll_transmit(&mut self, now: Instant, into: &mut [u8]) -> Option<Outgoing> {
        loop {
            if self.watched {
                self.tell_events(now);
                if let Some(outgoing) = self.poll_gate(now, into) {
                    return Some(outgoing);
                }
            }
            let Some(transmit) = self.stack.poll_transmit(now, into) else {
                self.tell_events(now);
                return None;
            };
            let outgoing = Outgoing { conn: transmit.conn, len: transmit.len, destination: transmit.destination };
            if self.silent {
                continue;
            }
            let Some(packet) = into.get_mut(..transmit.len).filter(|_| self.watched) else { return Some(outgoing) };
            let judgement = self.gate.offer(now, Direction::Out, Some(transmit.label), packet);
            self.tell_segment(now, Some(transmit.label), &judgement, packet);
            if judgement.goes_on() {
                return Some(outgoing);
            }
        }
    }

    /// What the gate kept and now lets go: inwards to the engine, outwards into `into`.
    fn poll_gate(&mut self, now: Instant, into: &mut [u8]) -> Option<Outgoing> {
        while let Some(released) = self.gate.poll(now) {
            if self.silent {
                continue;
            }
            self.tell_segment(now, released.label, &released.judgement, &released.packet);
            if released.direction == Direction::In {
                self.stack.packet_arrives(now, &released.packet);
                self.tell_events(now);
                continue;
            }
            let Ok(segment) = Segment::parse(&released.packet, ChecksumPolicy::Ignore) else { continue };
            let Some(place) = into.get_mut(..released.packet.len()) else { continue };
            place.copy_from_slice(&released.packet);
            let conn = self.stack.lookup(segment.header.source, segment.header.destination);
            return Some(Outgoing { conn, len: released.packet.len(), destination: segment.header.destination });
        }
        None
    }

    /// When something is due next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.stack.deadline(), self.gate.deadline()].into_iter().flatten().min()
    }

    /// The host is about to sleep.
    pub(crate) fn flush(&mut self) {
        for id in self.gone.drain(..) {
            self.ends.remove(&id);
        }
        for observer in &mut self.observers {
            observer.flush();
        }
    }

    /// Hands on what the engine noted.
    fn tell_events(&mut self, now: Instant) {
        while let Some(event) = self.stack.poll_event() {
            self.follow(now, &event);
            for observer in &mut self.observers {
                observer.event(&event);
            }
        }
    }

    /// Keeps the ends of connections known, and the gate informed of their states.
    fn follow(&mut self, now: Instant, event: &Event) {
        let Some(id) = event.conn else { return };
        match event.what {
            What::Opened { local, remote, .. } => {
                self.ends.insert(id, (local, remote));
            }
            What::State { to, .. } => {
                if let Some((local, remote)) = self.ends.get(&id) {
                    self.gate.state_changed(now, *local, *remote, to);
                }
            }
            What::Closed(_) => {
                self.gone.push(id);
            }
            _ => {}
        }
    }

    /// The one record of a segment: as it passes the gate, or does not.
    fn tell_segment(&mut self, at: Instant, label: Option<Label>, judgement: &Judgement, packet: &[u8]) {
        if self.observers.is_empty() {
            return;
        }
        let Ok(segment) = Segment::parse(packet, ChecksumPolicy::Ignore) else { return };
        let header = &segment.header;
        let out = label.is_some();
        let (local, remote) = if out { (header.source, header.destination) } else { (header.destination, header.source) };
        let record = SegmentRecord {
            at,
            conn: self.stack.lookup(local, remote).or_else(|| self.last_with(local, remote)),
            out,
            label,
            flags: header.flags,
            seq: header.seq,
            ack: header.ack,
            len: segment.payload.len() as u32,
            window: u32::from(header.window),
            id: header.id,
            retransmission: judgement.retransmission,
        };
        for observer in &mut self.observers {
            observer.segment(&record, judgement, packet);
        }
    }

    /// A connection that the engine has let go of, while its last segment is on the way out.
    fn last_with(&self, local: SocketAddr, remote: SocketAddr) -> Option<ConnId> {
        self.ends.iter().filter(|(_, ends)| **ends == (local, remote)).map(|(id, _)| *id).max()
    }
}
