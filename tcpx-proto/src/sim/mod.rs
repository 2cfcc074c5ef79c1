//! Hosts and links on one virtual clock: whole TCPs talk to each other in no time, and every run
//! can be repeated.
//!
//! A run is its seeds, its configuration and its calls, and nothing else: done again, it leaves the
//! same trace, byte by byte. The crate's page begins with one.
//!
//! An application is a [`Script`] (`docs/scripts.md` has the language), or code that makes
//! [`call`](Sim::call)s. A [`Sim`] is cloned to try what would have happened otherwise.

mod app;
mod apps;
mod conns;
mod host;
mod link;
mod observation;

pub use link::{Link, Net, Passage};
pub use observation::{HostId, Observation};

use crate::config::{Config, ConnConfig};
use crate::error::{CallError, CloseReason};
use crate::event::{Event, SegmentRecord};
use crate::fault::FaultRule;
use crate::id::{ConnId, FourTuple, ListenerId};
use crate::script::{Addresses, Script, StepError};
use crate::stack::Stack;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use host::Host;

/// Hosts, the links between them, and a clock that jumps from one thing that happens to the next.
#[derive(Clone)]
pub struct Sim {
    now: Instant,
    hosts: Vec<Host>,
    addresses: BTreeMap<IpAddr, HostId>,
    /// When something is due next at each host where something is.
    due: BTreeSet<(Instant, HostId)>,
    /// Hosts with a script that is not over.
    unfinished: BTreeSet<HostId>,
    net: Net,
    trace: Vec<Observation>,
    /// What was seen is kept.
    keeps_trace: bool,
}

impl core::fmt::Debug for Sim {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sim")
            .field("now", &self.now)
            .field("hosts", &self.hosts.len())
            .field("trace", &self.trace.len())
            .finish_non_exhaustive()
    }
}

impl Sim {
    /// No hosts yet; it is [`Instant::ZERO`]. What goes wrong on links is drawn from `seed`.
    pub fn new(seed: u64) -> Sim {
        Sim {
            now: Instant::ZERO,
            hosts: Vec::new(),
            addresses: BTreeMap::new(),
            due: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            net: Net::new(seed),
            trace: Vec::new(),
            keeps_trace: true,
        }
    }

    /// The same without a [`trace`](Sim::trace), which is always empty: for runs so long that it
    /// would not fit into memory (some 10 KB a connection). All else is the same.
    pub fn without_trace(seed: u64) -> Sim {
        Sim {
            keeps_trace: false,
            ..Sim::new(seed)
        }
    }

    /// Adds a host with all ports of this address, IPv4 or IPv6; `rules` are those of its gate, the
    /// first match wins. Its stack and its gate draw from `seed`.
    pub fn add_host(
        &mut self,
        address: IpAddr,
        config: Config,
        seed: u64,
        rules: Vec<FaultRule>,
    ) -> HostId {
        let id = HostId(self.hosts.len());
        self.addresses.insert(address, id);
        let traced = self.keeps_trace;
        self.hosts
            .push(Host::new(id, address, config, seed, rules, traced));
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
        self.host(host).map(|host| &host.endpoint.stack)
    }

    /// All that was seen so far.
    pub fn trace(&self) -> &[Observation] {
        &self.trace
    }

    /// The segments that passed the gate of a host, or were dropped there, both ways, in order.
    pub fn segments(&self, host: HostId) -> impl Iterator<Item = &SegmentRecord> {
        self.trace
            .iter()
            .filter_map(move |seen| seen.of(host)?.segment())
    }

    /// What a host's engine noted, in order.
    pub fn events(&self, host: HostId) -> impl Iterator<Item = &Event> {
        self.trace
            .iter()
            .filter_map(move |seen| seen.of(host)?.event())
    }

    /// Every connection that a host ever had, in the order in which they were opened.
    pub fn connections(&self, host: HostId) -> impl Iterator<Item = ConnId> {
        self.host(host)
            .into_iter()
            .flat_map(|host| host.conns.ids())
    }

    /// How a connection ended, once it has.
    pub fn closed(&self, host: HostId, conn: ConnId) -> Option<CloseReason> {
        self.host(host)?.conns.closed(conn)
    }

    /// All that the application of a connection received.
    pub fn received(&self, host: HostId, conn: ConnId) -> &[u8] {
        self.host(host)
            .map_or(&[], |host| host.conns.received(conn))
    }

    /// The error at which a connection's script ended early.
    pub fn failed(&self, host: HostId, conn: ConnId) -> Option<&StepError> {
        self.host(host)?.apps.failed(conn)
    }

    /// Every script on every host came to its end.
    pub fn is_over(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Every connection that a host ever had is closed.
    pub fn all_closed(&self, host: HostId) -> bool {
        self.host(host).is_none_or(|host| host.conns.all_closed())
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
        let listener = host.endpoint.stack.listen(
            now,
            SocketAddr::new(host.address, port),
            backlog,
            config,
        )?;
        host.serve(listener, script);
        Ok(listener)
    }

    /// Active OPEN, from a port at random if `port` is 0.
    ///
    /// # Errors
    /// Those of [`Stack::connect`]; `NoConnection`: there is no such host.
    pub fn connect(
        &mut self,
        host: HostId,
        port: u16,
        remote: SocketAddr,
        config: &ConnConfig,
    ) -> Result<ConnId, CallError> {
        let address = self.host(host).ok_or(CallError::NoConnection)?.address;
        self.call(host, |stack, now| {
            stack.connect(
                now,
                FourTuple {
                    local: SocketAddr::new(address, port),
                    remote,
                },
                config,
            )
        })?
    }

    /// Runs `script` on a connection, from when it is established. The input of an application here
    /// is empty: [`Step::SendInput`](crate::script::Step::SendInput) sends nothing, and
    /// [`Step::Relay`](crate::script::Step::Relay) sends the FIN at once.
    pub fn spawn(&mut self, host: HostId, conn: ConnId, script: Script) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.apps.spawn(conn, Arc::new(script));
        }
        self.settle(host);
    }

    /// Runs `script` on a host, from its first step: it opens its connections itself.
    pub fn play(&mut self, host: HostId, script: Script, addresses: Addresses) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.apps.play(Arc::new(script), addresses);
        }
        self.settle(host);
    }

    /// A forged packet arrives at a host: a segment, or an ICMP error about one.
    pub fn inject(&mut self, host: HostId, packet: Vec<u8>) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.arrives(self.now, &packet, None, &mut self.trace);
        }
        self.settle(host);
    }

    /// Any other call, with the time to make it at.
    ///
    /// # Errors
    /// `NoConnection`: there is no such host.
    pub fn call<R>(
        &mut self,
        host: HostId,
        call: impl FnOnce(&mut Stack, Instant) -> R,
    ) -> Result<R, CallError> {
        let now = self.now;
        let result = self
            .hosts
            .get_mut(host.0)
            .map(|host| call(&mut host.endpoint.stack, now))
            .ok_or(CallError::NoConnection);
        self.settle(host);
        result
    }

    /// When something happens next by itself; `None`: never.
    pub fn deadline(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        [due, self.net.deadline()].into_iter().flatten().min()
    }

    /// Lets the next thing happen; `false`: nothing will.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.deadline() else {
            return false;
        };
        self.now = self.now.max(at);
        if let Some(Passage {
            to,
            departed,
            packet,
        }) = self.net.arrive(self.now)
        {
            if let Some(host) = self.hosts.get_mut(to.0) {
                host.arrives(self.now, &packet, Some(departed), &mut self.trace);
            }
            self.settle(to);
        } else if let Some((_, id)) = self.due.first().copied()
            && let Some(host) = self.hosts.get_mut(id.0)
        {
            host.timeout(self.now);
            self.settle(id);
        }
        true
    }

    /// Runs until `done` returns true (`true`), or until `limit` from now (`false`). The
    /// clock then stands at the limit.
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

    /// Hands what a host sends to the links, until it is quiet, and notes when something is due
    /// there next. It must follow every event of a host.
    fn settle(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(id.0) else {
            return;
        };
        while let Some(outgoing) = host.poll(self.now, &mut self.trace) {
            let departed = outgoing.departed;
            let to = self.addresses.get(&outgoing.destination);
            let arrives = to.is_some_and(|to| {
                self.net.depart(
                    self.now,
                    id,
                    Passage {
                        to: *to,
                        departed,
                        packet: outgoing.packet,
                    },
                )
            });
            if !arrives {
                self.trace.push(Observation::Lost {
                    at: self.now,
                    departed,
                });
            }
        }
        if !self.keeps_trace {
            self.trace.clear();
        }
        let due = host.deadline();
        if due != host.due {
            if let Some(before) = core::mem::replace(&mut host.due, due) {
                self.due.remove(&(before, id));
            }
            self.due.extend(due.map(|due| (due, id)));
        }
        if host.apps.is_over() {
            self.unfinished.remove(&id);
        } else {
            self.unfinished.insert(id);
        }
    }

    fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(id.0)
    }
}

#[cfg(test)]
mod tests;
