//! One host: an endpoint and its applications, driven as the crate's page says.

use super::app::{HostRequest, World};
use super::apps::{Apps, Concern};
use super::conns::Conns;
use super::{HostId, Observation};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::event::{Event, What};
use crate::fault::{FaultRule, Gate};
use crate::id::{ConnId, FourTuple, ListenerId};
use crate::script::{AppAction, Script};
use crate::stack::{Signal, Stack};
use crate::time::Instant;
use crate::trace::{Observed, ObservedSegment, Observer};
use crate::wire::{ChecksumPolicy, Icmp, Segment};
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

/// A listener with what is done on each of its connections.
#[derive(Clone)]
struct Server {
    listener: ListenerId,
    script: Arc<Script>,
}

/// A packet for the link: where it goes, and the observation with which it departs.
pub(super) struct Outgoing {
    pub(super) destination: IpAddr,
    pub(super) departed: usize,
    pub(super) packet: Vec<u8>,
}

/// What its observer was told since the last look.
#[derive(Clone)]
pub(super) struct News {
    observed: Vec<Observed>,
    /// Segments, too.
    segments: bool,
}

impl Observer for News {
    fn observe(&mut self, observed: &Observed) {
        self.observed.push(observed.clone());
    }

    fn watches_segments(&self) -> bool {
        self.segments
    }
}

#[derive(Clone)]
pub(super) struct Host {
    pub(super) id: HostId,
    pub(super) address: IpAddr,
    /// What its observer was told since the last look is not in the trace yet.
    pub(super) endpoint: Endpoint<News>,
    servers: Vec<Server>,
    /// The servers that may have a connection to accept.
    acceptable: BTreeSet<usize>,
    pub(super) conns: Conns,
    pub(super) apps: Apps,
    buffer: Vec<u8>,
    /// When something is due here next, as the simulation knows it.
    pub(super) due: Option<Instant>,
}

impl Host {
    pub(super) fn new(
        id: HostId,
        address: IpAddr,
        config: Config,
        seed: u64,
        rules: Vec<FaultRule>,
        segments: bool,
    ) -> Host {
        let news = News {
            observed: Vec::new(),
            segments,
        };
        let mut stack = Stack::new(config, seed);
        stack.reserve(address, 1..=u16::MAX);
        Host {
            id,
            address,
            endpoint: Endpoint::new(stack, Gate::new(rules, seed), news),
            servers: Vec::new(),
            acceptable: BTreeSet::new(),
            conns: Conns::default(),
            apps: Apps::default(),
            buffer: vec![0; usize::from(u16::MAX)],
            due: None,
        }
    }

    pub(super) fn serve(&mut self, listener: ListenerId, script: Script) {
        self.servers.push(Server {
            listener,
            script: Arc::new(script),
        });
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
        self.apps.timeout(now);
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.apps.deadline(), self.endpoint.deadline()];
        deadlines.into_iter().flatten().min()
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
                    .filter(|_| !self.endpoint.observer.segments || departs(trace.last()));
                if let Some(packet) = packet {
                    return Some(Outgoing {
                        destination: sent.destination.ip(),
                        departed: trace.len().saturating_sub(1),
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
        let mut news = core::mem::take(&mut self.endpoint.observer.observed);
        for mut observed in news.drain(..) {
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
        // Its room is used again.
        self.endpoint.observer.observed = news;
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
        self.conns.last_of(&FourTuple { local, remote })
    }

    /// Keeps the connections known.
    fn follow(&mut self, event: &Event) {
        let Some(id) = event.conn else { return };
        match event.what {
            What::Opened { local, remote, .. } => {
                return self.conns.opened(id, FourTuple { local, remote });
            }
            What::Closed(reason) => self.conns.ended(id, reason),
            What::State { .. } => {}
            _ => return,
        }
        // No signal reports a state, or the end of a connection that an application has closed:
        // applications that wait for one check again.
        self.apps.wake(Concern::Conn(id));
    }

    fn wake(&mut self, signal: Signal) {
        match signal {
            Signal::Acceptable(listener) => {
                let servers = self.servers.iter().enumerate();
                let its = servers.filter(|(_, server)| server.listener == listener);
                self.acceptable.extend(its.map(|(at, _)| at));
                self.apps.wake(Concern::Listener(listener));
            }
            Signal::Established(id)
            | Signal::Urgent(id)
            | Signal::Readable(id)
            | Signal::Writable(id)
            | Signal::Closed(id, _) => self.apps.wake(Concern::Conn(id)),
        }
    }

    /// One accept; `false`: no server is awake.
    fn accept(&mut self, now: Instant) -> bool {
        let Some(at) = self.acceptable.first().copied() else {
            return false;
        };
        let accepted = self.servers.get(at).and_then(|server| {
            Some((
                server,
                self.endpoint.stack.accept(now, server.listener).ok()?,
            ))
        });
        match accepted {
            Some((server, id)) => self.apps.spawn(id, Arc::clone(&server.script)),
            None => _ = self.acceptable.remove(&at),
        }
        true
    }

    /// One call of an application; `false`: all of them wait.
    fn act(&mut self, now: Instant, trace: &mut Vec<Observation>) -> bool {
        let mut actions = Vec::new();
        let Some(request) = self.apps.act(&mut World {
            now,
            address: self.address,
            stack: &mut self.endpoint.stack,
            conns: &self.conns,
            actions: &mut actions,
        }) else {
            return false;
        };
        for (conn, action) in actions {
            if let (AppAction::Received(bytes), Some(id)) = (&action, conn) {
                self.conns.received_more(id, bytes);
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
        self.acceptable.clear();
        self.apps.forget();
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
