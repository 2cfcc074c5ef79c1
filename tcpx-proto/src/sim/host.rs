//! One host: its TCP, the gate at its edge, and its applications, driven as the crate's page says.

use super::app::{App, HostRequest, World};
use super::{HostId, Observation};
use crate::config::Config;
use crate::error::CloseReason;
use crate::event::{Event, SegmentRecord, What};
use crate::fault::{Direction, FaultRule, Gate, Judgement};
use crate::id::{ConnId, FourTuple, ListenerId};
use crate::label::Label;
use crate::script::{Addresses, AppAction, AppEvent, Script, StepError};
use crate::stack::{Signal, Stack};
use crate::time::Instant;
use crate::wire::{ChecksumPolicy, Icmp, Segment};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// What is kept of a connection, also when the stack has forgotten it.
#[derive(Clone)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    local: SocketAddr,
    remote: SocketAddr,
    pub(super) closed: Option<CloseReason>,
    /// All that an application received on it.
    pub(super) received: Vec<u8>,
}

/// A listener with what is done on each of its connections.
#[derive(Clone)]
struct Server {
    listener: ListenerId,
    script: Arc<Script>,
    /// There may be a connection to accept.
    awake: bool,
}

/// A packet for the link: where it goes, and with which observation it departs.
pub(super) struct Outgoing {
    pub(super) destination: IpAddr,
    pub(super) departed: usize,
    pub(super) packet: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct Host {
    pub(super) id: HostId,
    pub(super) address: IpAddr,
    pub(super) stack: Stack,
    gate: Gate,
    servers: Vec<Server>,
    /// In the order in which they were opened.
    pub(super) conns: Vec<Conn>,
    apps: Vec<App>,
    /// Nothing goes out or comes in any more.
    silent: bool,
    buffer: Vec<u8>,
}

impl Host {
    pub(super) fn new(
        id: HostId,
        address: IpAddr,
        config: Config,
        seed: u64,
        rules: Vec<FaultRule>,
    ) -> Host {
        let mut stack = Stack::new(config, seed);
        stack.record(true);
        stack.reserve(address, 1..=u16::MAX);
        let (gate, buffer) = (Gate::new(rules, seed), vec![0; usize::from(u16::MAX)]);
        Host {
            id,
            address,
            stack,
            gate,
            servers: Vec::new(),
            conns: Vec::new(),
            apps: Vec::new(),
            silent: false,
            buffer,
        }
    }

    pub(super) fn serve(&mut self, listener: ListenerId, script: Script) {
        self.servers.push(Server {
            listener,
            script: Arc::new(script),
            awake: false,
        });
    }

    pub(super) fn spawn(&mut self, id: ConnId, script: Arc<Script>) {
        self.apps.push(App::on(script, id));
    }

    pub(super) fn play(&mut self, script: Arc<Script>, addresses: Addresses) {
        self.apps.push(App::new(script, addresses));
    }

    /// How the script that has this connection ended early, if it did.
    pub(super) fn failed(&self, id: ConnId) -> Option<&StepError> {
        self.apps.iter().rev().find(|app| app.has(id))?.error()
    }

    /// Every script came to its end.
    pub(super) fn is_over(&self) -> bool {
        self.apps.iter().all(App::is_over)
    }

    pub(super) fn conn(&self, id: ConnId) -> Option<&Conn> {
        self.conns.iter().rev().find(|conn| conn.id == id)
    }

    /// A packet came off the link.
    pub(super) fn arrives(
        &mut self,
        now: Instant,
        mut packet: Vec<u8>,
        departed: Option<usize>,
        trace: &mut Vec<Observation>,
    ) {
        if self.silent {
            return;
        }
        if Icmp::parse(&packet).is_some() {
            // The gate is for segments.
            self.stack.icmp_arrives(now, &packet);
            return;
        }
        let judgement = self.gate.offer(now, Direction::In, None, &mut packet);
        let seen = self.observe(now, None, &judgement, &packet, departed, trace);
        if judgement.goes_on() {
            self.enters(now, &packet, seen.map(|(note, _)| note), trace);
        }
    }

    /// Hands a packet to the TCP. The note of a SYN then names the connection that it opens, also
    /// where an earlier one had its four-tuple.
    fn enters(
        &mut self,
        now: Instant,
        packet: &[u8],
        note: Option<usize>,
        trace: &mut [Observation],
    ) {
        self.stack.packet_arrives(now, packet);
        let Ok(segment) = Segment::parse(packet, ChecksumPolicy::Ignore) else {
            return;
        };
        let opened = self.stack.lookup(FourTuple {
            local: segment.header.destination,
            remote: segment.header.source,
        });
        if let (Some(Observation::Segment { record, .. }), Some(_)) =
            (note.and_then(|note| trace.get_mut(note)), opened)
        {
            record.conn = opened;
        }
    }

    /// Wakes whoever slept until now.
    pub(super) fn timeout(&mut self, now: Instant) {
        self.stack.timeout(now);
        for app in &mut self.apps {
            app.awake |= app.until.is_some_and(|until| until <= now);
        }
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let asleep = self.apps.iter().filter(|app| !app.awake && !app.is_over());
        let timers = [self.stack.deadline(), self.gate.deadline()];
        timers
            .into_iter()
            .flatten()
            .chain(asleep.filter_map(|app| app.until))
            .min()
    }

    /// Drains the polls and lets the applications do what they can, up to the next packet for the
    /// link. `None`: all is quiet.
    pub(super) fn poll(&mut self, now: Instant, trace: &mut Vec<Observation>) -> Option<Outgoing> {
        loop {
            while let Some(event) = self.stack.poll_event() {
                self.follow(now, &event);
                trace.push(Observation::Event {
                    host: self.id,
                    event,
                });
            }
            if let Some(released) = self.gate.poll(now) {
                let (label, judgement, packet) =
                    (released.label, released.judgement, released.packet);
                if self.silent {
                    continue;
                }
                let seen = self.observe(now, label, &judgement, &packet, None, trace);
                match released.direction {
                    Direction::In => self.enters(now, &packet, seen.map(|(note, _)| note), trace),
                    Direction::Out => {
                        if let Some((departed, destination)) = seen {
                            return Some(Outgoing {
                                destination,
                                departed,
                                packet,
                            });
                        }
                    }
                }
            } else if let Some((label, mut packet)) = self.transmit(now) {
                if self.silent {
                    continue;
                }
                let judgement = self
                    .gate
                    .offer(now, Direction::Out, Some(label), &mut packet);
                let seen = self.observe(now, Some(label), &judgement, &packet, None, trace);
                if let Some((departed, destination)) = seen.filter(|_| judgement.goes_on()) {
                    return Some(Outgoing {
                        destination,
                        departed,
                        packet,
                    });
                }
            } else if let Some(signal) = self.stack.poll_signal() {
                self.wake(signal);
            } else if !self.accept(now) && !self.act(now, trace) {
                return None;
            }
        }
    }

    fn transmit(&mut self, now: Instant) -> Option<(Label, Vec<u8>)> {
        let transmit = self.stack.poll_transmit(now, &mut self.buffer)?;
        Some((transmit.label, self.buffer.get(..transmit.len)?.to_vec()))
    }

    /// Keeps the connections known, and the gate informed of their states.
    fn follow(&mut self, now: Instant, event: &Event) {
        let Some(id) = event.conn else { return };
        if let What::Opened { local, remote, .. } = event.what {
            self.conns.push(Conn {
                id,
                local,
                remote,
                closed: None,
                received: Vec::new(),
            });
        }
        let Some(conn) = self.conns.iter_mut().rev().find(|conn| conn.id == id) else {
            return;
        };
        match event.what {
            What::State { to, .. } => self.gate.state_changed(now, conn.local, conn.remote, to),
            What::Closed(reason) => conn.closed = Some(reason),
            _ => return,
        }
        // No signal tells of a state, nor of the end of what an application has closed: whoever
        // waits for one looks again.
        self.apps
            .iter_mut()
            .filter(|app| app.has(id))
            .for_each(|app| app.awake = true);
    }

    fn wake(&mut self, signal: Signal) {
        let id = match signal {
            Signal::Acceptable(listener) => {
                for server in self
                    .servers
                    .iter_mut()
                    .filter(|server| server.listener == listener)
                {
                    server.awake = true;
                }
                self.apps
                    .iter_mut()
                    .filter(|app| app.listens_on(listener))
                    .for_each(|app| app.awake = true);
                return;
            }
            Signal::Established(id)
            | Signal::Urgent(id)
            | Signal::Readable(id)
            | Signal::Writable(id)
            | Signal::Closed(id, _) => id,
        };
        self.apps
            .iter_mut()
            .filter(|app| app.has(id))
            .for_each(|app| app.awake = true);
    }

    /// One accept; `false`: nobody wants to.
    fn accept(&mut self, now: Instant) -> bool {
        let Some(server) = self.servers.iter_mut().find(|server| server.awake) else {
            return false;
        };
        match self.stack.accept(now, server.listener) {
            Ok(id) => {
                let script = Arc::clone(&server.script);
                self.spawn(id, script);
            }
            Err(_) => server.awake = false,
        }
        true
    }

    /// One call of an application; `false`: all of them wait.
    fn act(&mut self, now: Instant, trace: &mut Vec<Observation>) -> bool {
        let Some(app) = self.apps.iter_mut().find(|app| app.awake) else {
            return false;
        };
        let mut actions = Vec::new();
        let (address, stack, conns) = (self.address, &mut self.stack, &self.conns);
        let request = app.act(&mut World {
            now,
            address,
            stack,
            conns,
            actions: &mut actions,
        });
        for (conn, did) in actions {
            if let (AppAction::Received(octets), Some(conn)) = (
                &did,
                conn.and_then(|id| self.conns.iter_mut().rev().find(|conn| conn.id == id)),
            ) {
                conn.received.extend_from_slice(octets);
            }
            trace.push(Observation::AppEvent {
                host: self.id,
                deed: AppEvent { at: now, conn, did },
            });
        }
        match request {
            HostRequest::Nothing => {}
            HostRequest::GoSilent => self.silent = true,
            HostRequest::Release => self.release(now),
            HostRequest::Restart => self.restart(now),
        }
        true
    }

    /// Everything but the applications themselves begins anew.
    fn restart(&mut self, now: Instant) {
        self.stack.restart(now);
        self.servers.clear();
        self.apps.iter_mut().for_each(App::forget);
    }

    /// The end of a removed third ACK, for all connections of the host.
    fn release(&mut self, now: Instant) {
        self.gate.release("third-ack");
        for id in self.stack.connections().collect::<Vec<_>>() {
            // A connection that has ended has nothing held back.
            let _ = self.stack.release(now, id);
        }
    }

    /// Notes a segment when it passes the gate, or is dropped there, and says where the note is and
    /// where the segment goes.
    fn observe(
        &self,
        at: Instant,
        label: Option<Label>,
        judgement: &Judgement,
        packet: &[u8],
        departed: Option<usize>,
        trace: &mut Vec<Observation>,
    ) -> Option<(usize, IpAddr)> {
        let segment = Segment::parse(packet, ChecksumPolicy::Ignore)
            .ok()
            .filter(|_| !judgement.waits())?;
        let header = &segment.header;
        let (local, remote) = if label.is_some() {
            (header.source, header.destination)
        } else {
            (header.destination, header.source)
        };
        let last = || {
            self.conns
                .iter()
                .rev()
                .find(|conn| (conn.local, conn.remote) == (local, remote))
                .map(|conn| conn.id)
        };
        let conn = self.stack.lookup(FourTuple { local, remote }).or_else(last);
        let record = SegmentRecord::new(at, conn, label, &segment, judgement.retransmission);
        trace.push(Observation::Segment {
            host: self.id,
            record,
            judgement: judgement.clone(),
            packet: packet.to_vec(),
            departed,
        });
        Some((trace.len() - 1, header.destination.ip()))
    }
}
