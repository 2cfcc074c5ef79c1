//! Hosts and links on one virtual clock: whole TCPs talk to each other in no time, and every run can be repeated.
//!
//! A run is its seeds, its configuration and its calls, and nothing else: done again, it leaves the same trace, octet by octet.

mod app;
mod host;
mod link;

pub use link::Link;

use crate::config::{Config, ConnConfig};
use crate::event::{CloseReason, Event, SegmentRecord};
use crate::fault::{Judgement, Rule};
use crate::script::Script;
use crate::stack::{CallError, ConnId, ListenerId, Stack};
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use host::{Conn, Host};
use link::{Net, Passage};

/// Names a host of one simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HostId(usize);

/// One thing that was seen. Their order is that in which they happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Observation {
    /// A host's engine noted something.
    Event {
        /// The host.
        host: HostId,
        /// What it noted.
        event: Event,
    },
    /// A segment at the gate of a host. One that the gate kept is seen again when the gate lets it go.
    Segment {
        /// The host.
        host: HostId,
        /// The segment as it goes on, if it goes on.
        record: SegmentRecord,
        /// What the gate did to it.
        judgement: Judgement,
        /// Of a segment that came off a link: the index of the observation with which it departed at the other end.
        departed: Option<usize>,
    },
    /// A link lost a segment, or nobody has its destination address.
    Lost {
        /// When.
        at: Instant,
        /// The index of the observation with which it departed.
        departed: usize,
    },
}

/// Hosts, the links between them, and a clock that jumps from one thing that happens to the next.
#[derive(Clone)]
pub struct Sim {
    now: Instant,
    hosts: Vec<Host>,
    addresses: BTreeMap<IpAddr, HostId>,
    net: Net,
    trace: Vec<Observation>,
}

impl Sim {
    /// No hosts yet; it is [`Instant::ZERO`]. What goes wrong on links is drawn from `seed`.
    pub fn new(seed: u64) -> Sim {
        Sim { now: Instant::ZERO, hosts: Vec::new(), addresses: BTreeMap::new(), net: Net::new(seed), trace: Vec::new() }
    }

    /// Adds a host with all ports of this address; `rules` are those of its gate. Its stack and its gate draw from `seed`.
    pub fn add_host(&mut self, address: IpAddr, config: Config, seed: u64, rules: Vec<Rule>) -> HostId {
        let id = HostId(self.hosts.len());
        self.addresses.insert(address, id);
        self.hosts.push(Host::new(id, address, config, seed, rules));
        id
    }

    /// What the way from one host to another is like from now on; before that, [`Link::default`].
    pub fn link(&mut self, from: HostId, to: HostId, link: Link) {
        self.net.set(from, to, link);
    }

    /// Now.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A host's TCP.
    pub fn stack(&self, host: HostId) -> Option<&Stack> {
        self.host(host).map(|host| &host.stack)
    }

    /// All that was seen so far.
    pub fn trace(&self) -> &[Observation] {
        &self.trace
    }

    /// Every connection that a host ever had, in the order in which they were opened.
    pub fn connections(&self, host: HostId) -> impl Iterator<Item = ConnId> {
        self.host(host).into_iter().flat_map(|host| host.conns.iter().map(|conn| conn.id))
    }

    /// How a connection ended, once it has.
    pub fn closed(&self, host: HostId, conn: ConnId) -> Option<CloseReason> {
        self.conn(host, conn)?.closed
    }

    /// All that the application of a connection received.
    pub fn received(&self, host: HostId, conn: ConnId) -> &[u8] {
        self.conn(host, conn).and_then(|conn| conn.app.as_ref()).map_or(&[], |app| &app.received)
    }

    /// The error at which a connection's script ended early.
    pub fn failed(&self, host: HostId, conn: ConnId) -> Option<CallError> {
        self.conn(host, conn)?.app.as_ref()?.error
    }

    /// Passive OPEN. Each connection is accepted as soon as it can be, and runs `script`.
    ///
    /// # Errors
    /// Those of [`Stack::listen`]; `NoConnection`: there is no such host.
    pub fn listen(
        &mut self,
        host: HostId,
        port: u16,
        backlog: usize,
        config: &ConnConfig,
        script: Script,
    ) -> Result<ListenerId, CallError> {
        let now = self.now;
        let host = self.hosts.get_mut(host.0).ok_or(CallError::NoConnection)?;
        let listener = host.stack.listen(now, SocketAddr::new(host.address, port), backlog, config)?;
        host.serve(listener, script);
        Ok(listener)
    }

    /// Active OPEN, from a port at random if `port` is 0.
    ///
    /// # Errors
    /// Those of [`Stack::connect`]; `NoConnection`: there is no such host.
    pub fn connect(&mut self, host: HostId, port: u16, remote: SocketAddr, config: &ConnConfig) -> Result<ConnId, CallError> {
        let address = self.host(host).ok_or(CallError::NoConnection)?.address;
        self.call(host, |stack, now| stack.connect(now, SocketAddr::new(address, port), remote, config))?
    }

    /// Runs `script` on a connection, from when it is established. Applications here have no input of their own:
    /// [`Step::SendInput`](crate::script::Step::SendInput) sends nothing, [`Step::Relay`](crate::script::Step::Relay) receives to the end.
    pub fn spawn(&mut self, host: HostId, conn: ConnId, script: Script) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.spawn(conn, Arc::new(script));
        }
        self.settle(host);
    }

    /// Any other call, with the time to make it at.
    ///
    /// # Errors
    /// `NoConnection`: there is no such host.
    pub fn call<R>(&mut self, host: HostId, call: impl FnOnce(&mut Stack, Instant) -> R) -> Result<R, CallError> {
        let now = self.now;
        let result = self.hosts.get_mut(host.0).map(|host| call(&mut host.stack, now)).ok_or(CallError::NoConnection);
        self.settle(host);
        result
    }

    /// When something happens next by itself; `None`: never.
    pub fn deadline(&self) -> Option<Instant> {
        self.hosts.iter().map(Host::deadline).chain([self.net.deadline()]).flatten().min()
    }

    /// Lets the next thing happen; `false`: nothing will.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.deadline() else { return false };
        self.now = self.now.max(at);
        if let Some(Passage { to, departed, packet }) = self.net.arrive(self.now) {
            if let Some(host) = self.hosts.get_mut(to.0) {
                host.arrives(self.now, packet, departed, &mut self.trace);
            }
            self.settle(to);
        } else if let Some(host) = self.hosts.iter_mut().find(|host| host.deadline() == Some(at)) {
            host.timeout(self.now);
            let id = host.id;
            self.settle(id);
        }
        true
    }

    /// Lets things happen until `done` says so (`true`), or until `limit` from now (`false`). The clock then stands at the limit.
    pub fn run_until(&mut self, mut done: impl FnMut(&Sim) -> bool, limit: Duration) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if self.deadline().is_none_or(|at| at > end) {
                self.now = end;
                return done(self);
            }
            self.step();
        }
        true
    }

    /// Hands what a host sends to the links, until it is quiet.
    fn settle(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(id.0) else { return };
        while let Some(outgoing) = host.poll(self.now, &mut self.trace) {
            let departed = outgoing.departed;
            let to = self.addresses.get(&outgoing.destination);
            let arrives = to.is_some_and(|to| self.net.depart(self.now, id, Passage { to: *to, departed, packet: outgoing.packet }));
            if !arrives {
                self.trace.push(Observation::Lost { at: self.now, departed });
            }
        }
    }

    fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(id.0)
    }

    fn conn(&self, host: HostId, conn: ConnId) -> Option<&Conn> {
        self.host(host)?.conn(conn)
    }
}
