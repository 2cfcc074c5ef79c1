//! One host: an endpoint and its applications, driven as the crate's page says.

use super::app::{App, HostRequest, World};
use super::{HostId, Observation};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::CloseReason;
use crate::event::{Event, What};
use crate::fault::{FaultRule, Gate};
use crate::id::{ConnId, FourTuple, ListenerId};
use crate::script::{Addresses, AppAction, Script, StepError};
use crate::stack::{Signal, Stack};
use crate::time::Instant;
use crate::trace::{Observed, ObservedSegment};
use crate::wire::{ChecksumPolicy, Icmp, Segment};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

/// What is kept of a connection, also when the stack has forgotten it.
#[derive(Clone)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    tuple: FourTuple,
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

/// A packet for the link: where it goes, and the observation with which it departs.
pub(super) struct Outgoing {
    pub(super) destination: IpAddr,
    pub(super) departed: usize,
    pub(super) packet: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct Host {
    pub(super) id: HostId,
    pub(super) address: IpAddr,
    /// What its observer was told since the last look is not in the trace yet.
    pub(super) endpoint: Endpoint<Vec<Observed>>,
    servers: Vec<Server>,
    /// In the order in which they were opened.
    pub(super) conns: Vec<Conn>,
    apps: Vec<App>,
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
        stack.reserve(address, 1..=u16::MAX);
        Host {
            id,
            address,
            endpoint: Endpoint::new(stack, Gate::new(rules, seed), Vec::new()),
            servers: Vec::new(),
            conns: Vec::new(),
            apps: Vec::new(),
            buffer: vec![0; usize::from(u16::MAX)],
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
        packet: &[u8],
        departed: Option<usize>,
        trace: &mut Vec<Observation>,
    ) {
        if Icmp::parse(packet).is_some() {
            self.endpoint.icmp_arrives(now, packet);
        } else {
            self.endpoint.packet_arrives(now, packet);
        }
        self.look(trace, departed);
    }

    /// Wakes the applications that slept until now.
    pub(super) fn timeout(&mut self, now: Instant) {
        self.endpoint.timeout(now);
        for app in &mut self.apps {
            app.awake |= app.until.is_some_and(|until| until <= now);
        }
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let asleep = self.apps.iter().filter(|app| !app.awake && !app.is_over());
        let alarms = asleep.filter_map(|app| app.until);
        alarms.chain(self.endpoint.deadline()).min()
    }

    /// Lets the endpoint and the applications do what they can, up to the next packet for the link.
    /// `None`: all is quiet.
    pub(super) fn poll(&mut self, now: Instant, trace: &mut Vec<Observation>) -> Option<Outgoing> {
        loop {
            let sent = self.endpoint.poll_transmit(now, &mut self.buffer);
            self.look(trace, None);
            if let Some(sent) = sent {
                // A packet that cannot be read is not observed, and goes nowhere.
                let packet = self
                    .buffer
                    .get(..sent.len)
                    .filter(|_| departs(trace.last()));
                if let Some(packet) = packet {
                    return Some(Outgoing {
                        destination: sent.destination.ip(),
                        departed: trace.len() - 1,
                        packet: packet.to_vec(),
                    });
                }
            } else if let Some(signal) = self.endpoint.stack.poll_signal() {
                self.wake(signal);
            } else if !self.accept(now) && !self.act(now, trace) {
                return None;
            }
        }
    }

    /// Moves what was observed into the trace. `departed` is of a segment that came off a link.
    fn look(&mut self, trace: &mut Vec<Observation>, mut departed: Option<usize>) {
        for mut observed in core::mem::take(&mut self.endpoint.observer) {
            match &mut observed {
                Observed::Event(event) => self.follow(event),
                Observed::Segment(segment) if segment.record.conn.is_none() => {
                    segment.record.conn = self.last_of(segment);
                }
                Observed::Segment(_) | Observed::App(_) => {}
            }
            let arrived = observed.segment().is_some_and(|record| !record.out);
            trace.push(Observation::Host {
                host: self.id,
                departed: if arrived { departed.take() } else { None },
                observed,
            });
        }
    }

    /// The last connection with the four-tuple of a segment, which the stack has forgotten.
    fn last_of(&self, segment: &ObservedSegment) -> Option<ConnId> {
        let read = Segment::parse(&segment.packet, ChecksumPolicy::Ignore).ok()?;
        let header = &read.header;
        let (local, remote) = if segment.record.out {
            (header.source, header.destination)
        } else {
            (header.destination, header.source)
        };
        let tuple = FourTuple { local, remote };
        let last = self.conns.iter().rev().find(|conn| conn.tuple == tuple)?;
        Some(last.id)
    }

    /// Keeps the connections known.
    fn follow(&mut self, event: &Event) {
        let Some(id) = event.conn else { return };
        match event.what {
            What::Opened { local, remote, .. } => {
                return self.conns.push(Conn {
                    id,
                    tuple: FourTuple { local, remote },
                    closed: None,
                    received: Vec::new(),
                });
            }
            What::Closed(reason) => {
                if let Some(conn) = self.conns.iter_mut().rev().find(|conn| conn.id == id) {
                    conn.closed = Some(reason);
                }
            }
            What::State { .. } => {}
            _ => return,
        }
        // No signal reports a state, or the end of a connection that an application has closed:
        // applications that wait for one check again.
        self.wake_apps(|app| app.has(id));
    }

    fn wake_apps(&mut self, whom: impl Fn(&App) -> bool) {
        for app in self.apps.iter_mut().filter(|app| whom(app)) {
            app.awake = true;
        }
    }

    fn wake(&mut self, signal: Signal) {
        match signal {
            Signal::Acceptable(listener) => {
                let servers = self.servers.iter_mut();
                for server in servers.filter(|server| server.listener == listener) {
                    server.awake = true;
                }
                self.wake_apps(|app| app.listens_on(listener));
            }
            Signal::Established(id)
            | Signal::Urgent(id)
            | Signal::Readable(id)
            | Signal::Writable(id)
            | Signal::Closed(id, _) => self.wake_apps(|app| app.has(id)),
        }
    }

    /// One accept; `false`: no server is awake.
    fn accept(&mut self, now: Instant) -> bool {
        let Some(server) = self.servers.iter_mut().find(|server| server.awake) else {
            return false;
        };
        match self.endpoint.stack.accept(now, server.listener) {
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
        let request = app.act(&mut World {
            now,
            address: self.address,
            stack: &mut self.endpoint.stack,
            conns: &self.conns,
            actions: &mut actions,
        });
        for (conn, action) in actions {
            if let (AppAction::Received(bytes), Some(id)) = (&action, conn)
                && let Some(conn) = self.conns.iter_mut().rev().find(|conn| conn.id == id)
            {
                conn.received.extend_from_slice(bytes);
            }
            self.endpoint.observe_app(now, conn, action);
        }
        self.look(trace, None);
        match request {
            HostRequest::Nothing => {}
            HostRequest::GoSilent => self.endpoint.go_silent(),
            HostRequest::Release => self.endpoint.release(now, "third-ack"),
            HostRequest::Restart => self.restart(now),
        }
        true
    }

    /// Everything but the applications themselves starts again.
    fn restart(&mut self, now: Instant) {
        self.endpoint.stack.restart(now);
        self.servers.clear();
        self.apps.iter_mut().for_each(App::forget);
    }
}

/// Whether this is a segment on its way to the link.
fn departs(last: Option<&Observation>) -> bool {
    let Some(Observation::Host { observed, .. }) = last else {
        return false;
    };
    match observed {
        Observed::Segment(ObservedSegment {
            record, judgement, ..
        }) => record.out && judgement.goes_on(),
        Observed::Event(_) | Observed::App(_) => false,
    }
}
