//! One end of a network: a stack behind a gate, and who observes them. It has no I/O and no clock:
//! the simulation and the driver of a raw socket own it in the same way.

use crate::event::{Event, SegmentRecord, What};
use crate::fault::{Direction, FaultRule, Gate, Judgement};
use crate::id::{ConnId, FourTuple};
use crate::label::Label;
use crate::script::{AppAction, AppEvent};
use crate::stack::{Most, Stack, Transmit};
use crate::state::State;
use crate::time::Instant;
use crate::trace::{Observed, ObservedSegment, Observer};
use crate::wire::{ChecksumPolicy, Flags, Header, Payload, Segment};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

#[cfg(test)]
mod tests;

/// The largest window scale (RFC 7323 section 2.3).
const MAX_SHIFT: u8 = 14;

/// A packet for the wire, in the buffer that the caller gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The connection that sends it, where one is known.
    pub conn: Option<ConnId>,
    /// Its length in the buffer.
    pub len: usize,
    /// How many there are, one behind the other, of that length: a burst, or one. With text that is
    /// not in the buffer: how many segments it makes.
    pub count: usize,
    /// Where it goes.
    pub destination: SocketAddr,
}

impl Outgoing {
    fn new(transmit: &Transmit) -> Outgoing {
        Outgoing {
            conn: transmit.conn,
            len: transmit.len,
            count: transmit.count,
            destination: transmit.destination,
        }
    }
}

/// What the record of a segment needs to know of a connection.
#[derive(Clone)]
struct Ends {
    tuple: FourTuple,
    /// Window scale (RFC 7323) in our SYN, and in the peer's.
    shift: Option<u8>,
    peer_shift: Option<u8>,
}

impl Ends {
    fn new(tuple: FourTuple) -> Ends {
        Ends {
            tuple,
            shift: None,
            peer_shift: None,
        }
    }
}

/// A stack, its gate and its observer.
///
/// As with a [`Stack`], after every call [`poll_transmit`](Endpoint::poll_transmit) is to be called
/// until it returns `None`, and then the stack's [`poll_signal`](Stack::poll_signal).
#[derive(Clone)]
pub struct Endpoint<O> {
    /// The TCP, for calls. Packets, time and events go through the endpoint.
    pub stack: Stack,
    /// Who learns what happens.
    pub observer: O,
    gate: Gate,
    /// Nothing goes out or comes in any more: a host that lost its power.
    silent: bool,
    /// The observer is watching.
    observed: bool,
    /// It observes segments.
    segments: bool,
    /// The gate looks at every segment: the observer watches them, or there are rules.
    watched: bool,
    /// The connections that live.
    conns: BTreeMap<ConnId, Ends>,
    /// A copy of the packet that the gate looks at.
    scratch: Vec<u8>,
}

impl<O> fmt::Debug for Endpoint<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("silent", &self.silent)
            .field("observed", &self.observed)
            .finish_non_exhaustive()
    }
}

impl<O: Observer> Endpoint<O> {
    /// Nothing has happened yet. Without rules and observers the gate costs nothing.
    pub fn new(mut stack: Stack, gate: Gate, observer: O) -> Endpoint<O> {
        let observed = observer.is_watching();
        let segments = observer.watches_segments();
        let watched = segments || !gate.rules().is_empty();
        stack.record(observed || watched);
        Endpoint {
            stack,
            observer,
            gate,
            silent: false,
            observed,
            segments,
            watched,
            conns: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    /// From now on nothing passes, either way.
    pub fn go_silent(&mut self) {
        self.silent = true;
    }

    /// Adds a rule to the gate, which from then on looks at every segment.
    pub fn add_rule(&mut self, rule: FaultRule) {
        self.gate.add(rule);
        if !self.watched {
            self.watched = true;
            self.stack.record(true);
            let stack = &self.stack;
            let ends = |id| {
                let status = stack.status(id)?;
                let tuple = FourTuple {
                    local: status.local,
                    remote: status.remote,
                };
                Some((id, Ends::new(tuple)))
            };
            self.conns.extend(stack.connections().filter_map(ends));
        }
    }

    /// Ends every rule of the gate, and releases what they held.
    pub fn release_all(&mut self) {
        self.gate.release_all();
    }

    /// Ends the fault rules of a preset, and releases the output that it holds.
    pub fn release(&mut self, now: Instant, preset: &str) {
        self.gate.release(preset);
        for id in self.stack.connections().collect::<Vec<_>>() {
            // A connection that has ended holds nothing.
            let _ = self.stack.release(now, id);
        }
    }

    /// A TCP packet came from the wire.
    pub fn packet_arrives(&mut self, now: Instant, packet: &[u8]) {
        if self.silent {
            return;
        }
        if !self.watched {
            return self.stack.packet_arrives(now, packet);
        }
        let mut scratch = core::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(packet);
        let judgement = self.gate.offer(now, Direction::In, None, &mut scratch);
        if !judgement.waits() {
            self.enters(now, &judgement, &scratch);
        }
        self.scratch = scratch;
    }

    /// An ICMP message came from the wire. The gate is for segments.
    pub fn icmp_arrives(&mut self, now: Instant, packet: &[u8]) {
        if !self.silent {
            self.stack.icmp_arrives(now, packet);
        }
    }

    /// Hands a packet that the gate let in to the stack, and records it before what it causes.
    fn enters(&mut self, now: Instant, judgement: &Judgement, packet: &[u8]) {
        let before = self.receiver(packet);
        if judgement.goes_on() {
            self.stack.packet_arrives(now, packet);
        }
        // A SYN belongs to the connection that it opens, a RST to the one that it ends.
        let conn = self.receiver(packet).or(before);
        self.observe_segment(now, conn, None, judgement, packet);
        self.observe_events(now);
    }

    /// The connection that an arriving packet belongs to.
    fn receiver(&self, packet: &[u8]) -> Option<ConnId> {
        let segment = Segment::parse(packet, ChecksumPolicy::Ignore).ok()?;
        self.stack.lookup(FourTuple {
            local: segment.header.destination,
            remote: segment.header.source,
        })
    }

    /// Fires the stack's timers that are due.
    pub fn timeout(&mut self, now: Instant) {
        if self.stack.deadline().is_some_and(|at| at <= now) {
            self.stack.timeout(now);
        }
    }

    /// When something is due next.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.stack.deadline(), self.gate.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// The next packet for the wire, written into `into`.
    pub fn poll_transmit(&mut self, now: Instant, into: &mut [u8]) -> Option<Outgoing> {
        loop {
            if self.observed || self.watched {
                self.observe_events(now);
            }
            if self.watched
                && let Some(outgoing) = self.poll_gate(now, into)
            {
                return Some(outgoing);
            }
            let Some(transmit) = self.stack.poll_transmit(now, into) else {
                self.observe_events(now);
                return None;
            };
            if self.silent {
                continue;
            }
            let outgoing = Outgoing::new(&transmit);
            if !self.watched {
                return Some(outgoing);
            }
            let Some(packet) = into.get_mut(..transmit.len) else {
                return Some(outgoing);
            };
            let label = Some(transmit.label);
            let judgement = self.gate.offer(now, Direction::Out, label, packet);
            self.observe_segment(now, transmit.conn, label, &judgement, packet);
            if judgement.goes_on() {
                return Some(outgoing);
            }
        }
    }

    /// The same for a burst ([`Stack::poll_burst`]). Where the gate looks at every segment, it is one
    /// packet at a time.
    pub fn poll_burst(
        &mut self,
        now: Instant,
        into: &mut [u8],
        most: impl FnMut(IpAddr) -> Most,
    ) -> Option<(Outgoing, Payload<'_>)> {
        if self.watched || self.silent {
            let outgoing = self.poll_transmit(now, into)?;
            return Some((outgoing, (&[], &[])));
        }
        let (transmit, text) = self.stack.poll_burst(now, into, most)?;
        Some((Outgoing::new(&transmit), text))
    }

    /// What the gate held and releases now: inwards to the stack, outwards into `into`.
    fn poll_gate(&mut self, now: Instant, into: &mut [u8]) -> Option<Outgoing> {
        while let Some(released) = self.gate.poll(now) {
            if self.silent {
                continue;
            }
            let packet = &released.packet;
            let judgement = &released.judgement;
            if released.direction == Direction::In {
                self.enters(now, judgement, packet);
                continue;
            }
            let Ok(segment) = Segment::parse(packet, ChecksumPolicy::Ignore) else {
                continue;
            };
            let Some(place) = into.get_mut(..packet.len()) else {
                continue;
            };
            place.copy_from_slice(packet);
            let header = segment.header;
            let conn = self.stack.lookup(FourTuple {
                local: header.source,
                remote: header.destination,
            });
            self.observe_segment(now, conn, released.label, judgement, packet);
            return Some(Outgoing {
                conn,
                len: packet.len(),
                count: 1,
                destination: header.destination,
            });
        }
        None
    }

    /// A connection's state; CLOSED once it is forgotten.
    pub fn state(&self, id: ConnId) -> State {
        self.stack
            .status(id)
            .map_or(State::Closed, |status| status.state)
    }

    /// An application did something.
    pub fn observe_app(&mut self, at: Instant, conn: Option<ConnId>, action: AppAction) {
        self.observe_events(at);
        if self.observed {
            let event = AppEvent { at, conn, action };
            self.observer.observe(&Observed::App(event));
        }
    }

    /// Hands on what the stack noted.
    fn observe_events(&mut self, now: Instant) {
        while let Some(event) = self.stack.poll_event() {
            self.follow(now, &event);
            if self.observed {
                self.observer.observe(&Observed::Event(event));
            }
        }
    }

    /// Keeps the connections known, and the gate informed of their states.
    fn follow(&mut self, now: Instant, event: &Event) {
        let Some(id) = event.conn else { return };
        match event.what {
            What::Opened { local, remote, .. } => {
                let tuple = FourTuple { local, remote };
                self.conns.entry(id).or_insert_with(|| Ends::new(tuple));
            }
            What::State { to, .. } => {
                if let Some(Ends { tuple, .. }) = self.conns.get(&id) {
                    self.gate.state_changed(now, tuple.local, tuple.remote, to);
                }
            }
            What::Closed(_) => {
                self.conns.remove(&id);
            }
            _ => {}
        }
    }

    /// The one record of a segment: when it passes the gate, or is dropped there.
    fn observe_segment(
        &mut self,
        at: Instant,
        conn: Option<ConnId>,
        label: Option<Label>,
        judgement: &Judgement,
        packet: &[u8],
    ) {
        if !self.segments || judgement.waits() {
            return;
        }
        let Ok(segment) = Segment::parse(packet, ChecksumPolicy::Ignore) else {
            return;
        };
        let mut record = SegmentRecord::new(at, conn, label, &segment, judgement.retransmission);
        if let Some(id) = conn {
            record.window <<= self.window_shift(id, record.out, &segment.header);
        }
        let rules = self.gate.rules();
        let rule = judgement.rule.and_then(|index| rules.get(index));
        self.observer.observe(&Observed::Segment(ObservedSegment {
            record,
            judgement: judgement.clone(),
            rule: rule.map(|rule| rule.text.clone()),
            packet: packet.into(),
        }));
    }

    /// By how much the window in this header is to be shifted: by nothing in a SYN, and unless both
    /// SYNs had the option (RFC 7323 2.2).
    fn window_shift(&mut self, id: ConnId, out: bool, header: &Header) -> u8 {
        if header.flags.contains(Flags::SYN) {
            let (local, remote) = if out {
                (header.source, header.destination)
            } else {
                (header.destination, header.source)
            };
            let tuple = FourTuple { local, remote };
            let ends = self.conns.entry(id).or_insert_with(|| Ends::new(tuple));
            let shift = if out {
                &mut ends.shift
            } else {
                &mut ends.peer_shift
            };
            *shift = shift.or(header.options.window_scale);
            return 0;
        }
        match self.conns.get(&id) {
            Some(Ends {
                shift: Some(ours),
                peer_shift: Some(theirs),
                ..
            }) => *(if out { ours } else { theirs }).min(&MAX_SHIFT),
            _ => 0,
        }
    }
}
