//! Whose segment is this: four-tuples, listeners, backlog, SYN cookies, RST to strangers, ISNs, ports.

mod listener;
mod secret;
mod table;
mod types;

pub use types::{CallError, ConnId, Counters, ListenerId, Status, Transmit, TransmitError};

use crate::config::{Config, ConnConfig};
use crate::event::{Discard, Event, Record, Signal, What};
use crate::tcb::{Cx, Outcome, Reply, State, Tcb, Wake};
use crate::time::Instant;
use crate::wire::{ChecksumKind, Icmp, ParseError, Segment, is_unicast};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use listener::Listener;
use secret::Secret;
use table::Table;

/// A TCP: all the connections of one host. See the crate's page for the drive contract.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Stack {
    config: Config,
    record: Record,
    secret: Secret,
    table: Table,
    listeners: Vec<Listener>,
    listeners_made: u32,
    reserved: Vec<(IpAddr, RangeInclusive<u16>)>,
    /// Segments that belong to no connection any more; they go first.
    replies: VecDeque<Reply>,
    /// Connections with something to transmit.
    ready: VecDeque<ConnId>,
    /// Connections with wake-ups to poll.
    woken: VecDeque<ConnId>,
    signals: VecDeque<Signal>,
    counters: Counters,
    ip_id: u16,
    memory: usize,
}

/// The most answers to strangers that wait to be sent.
const MAX_REPLIES: usize = 1024;

impl Stack {
    /// Makes a stack without ports. All its randomness comes from `seed`: 64 bits are enough to repeat a run; where peers are not
    /// trusted the seed must come from the operating system.
    pub fn new(config: Config, seed: u64) -> Stack {
        let mut secret = Secret::new(seed);
        let ip_id = secret.draw() as u16;
        Stack {
            config,
            record: Record::default(),
            secret,
            table: Table::new(),
            listeners: Vec::new(),
            listeners_made: 0,
            reserved: Vec::new(),
            replies: VecDeque::new(),
            ready: VecDeque::new(),
            woken: VecDeque::new(),
            signals: VecDeque::new(),
            counters: Counters::default(),
            ip_id,
            memory: 0,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Switches the record on or off (off at the start).
    pub fn record(&mut self, on: bool) {
        self.record.on = on;
    }

    /// Makes this stack answer for these ports of `address`. Everything that reaches it for another is dropped and counted.
    pub fn reserve(&mut self, address: IpAddr, ports: RangeInclusive<u16>) {
        self.reserved.push((address, ports));
    }

    /// The end of [`reserve`](Stack::reserve), with the same arguments. Connections on these ports stay.
    pub fn unreserve(&mut self, address: IpAddr, ports: RangeInclusive<u16>) {
        if let Some(at) = self.reserved.iter().position(|known| *known == (address, ports.clone())) {
            self.reserved.remove(at);
        }
    }

    fn is_reserved(&self, local: SocketAddr) -> bool {
        self.reserved.iter().any(|(address, ports)| *address == local.ip() && ports.contains(&local.port()))
    }

    /// Passive OPEN (3.10.1). `backlog`: the most connections in SYN-RECEIVED, and the most that wait to be accepted, each; at least 1.
    ///
    /// # Errors
    /// `NotReserved`, `InUse` when there is a listener on `local` already.
    pub fn listen(&mut self, _now: Instant, local: SocketAddr, backlog: usize, config: &ConnConfig) -> Result<ListenerId, CallError> {
        if !self.is_reserved(local) {
            return Err(CallError::NotReserved);
        }
        if self.listener_on(local).is_some() {
            return Err(CallError::InUse(State::Listen));
        }
        let id = ListenerId(self.listeners_made);
        self.listeners_made += 1;
        self.listeners.push(Listener::new(id, local, Arc::new(config.clone()), backlog.max(1)));
        Ok(id)
    }

    /// Active OPEN (3.10.1). Port 0 in `local` picks a reserved one at random (RFC 6056).
    ///
    /// # Errors
    /// `NotReserved`, `InUse`, `PortsExhausted`, `BadRemote`, `Limit`.
    pub fn connect(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, config: &ConnConfig) -> Result<ConnId, CallError> {
        let same_family = local.is_ipv4() == remote.is_ipv4();
        if !is_unicast(remote.ip()) || remote.port() == 0 || !same_family {
            return Err(CallError::BadRemote);
        }
        if self.table.len() >= self.config.max_connections {
            return Err(CallError::Limit);
        }
        let local = if local.port() == 0 { self.pick_port(local.ip(), remote)? } else { local };
        if !self.is_reserved(local) {
            return Err(CallError::NotReserved);
        }
        if let Some(state) = self.lookup(local, remote).and_then(|id| self.status(id)).map(|status| status.state) {
            return Err(CallError::InUse(state));
        }
        let iss = self.secret.isn(config.isn, now, local, remote);
        let offset = self.secret.stamp_offset(local, remote);
        let config = Arc::new(config.clone());
        Ok(self.add(now, None, |cx| Tcb::active(cx, config, local, remote, iss, offset)))
    }

    /// A reserved port that no connection to `remote` and no listener uses, from a random one on (RFC 6056 section 3.3.1).
    fn pick_port(&mut self, address: IpAddr, remote: SocketAddr) -> Result<SocketAddr, CallError> {
        let draw = self.secret.draw();
        let ranges: Vec<_> = self.reserved.iter().filter(|(known, _)| *known == address).map(|(_, ports)| ports.clone()).collect();
        let total: u64 = ranges.iter().map(|ports| ports.len() as u64).sum();
        if total == 0 {
            return Err(CallError::NotReserved);
        }
        let nth = |n: u64| ranges.iter().cloned().flatten().nth(n as usize);
        (0..total)
            .filter_map(|step| nth((draw % total + step) % total))
            .map(|port| SocketAddr::new(address, port))
            .find(|local| self.lookup(*local, remote).is_none() && self.listener_on(*local).is_none())
            .ok_or(CallError::PortsExhausted)
    }

    /// Takes the oldest established connection of a listener.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, `NoConnection` when the listener is closed.
    pub fn accept(&mut self, _now: Instant, listener: ListenerId) -> Result<ConnId, CallError> {
        let listener = self.listener_mut(listener).ok_or(CallError::NoConnection)?;
        let id = listener.queue.pop_front().ok_or(CallError::WouldBlock)?;
        let entry = self.table.get_mut(id).ok_or(CallError::NoConnection)?;
        (entry.listener, entry.acceptable) = (None, false);
        Ok(id)
    }

    /// Ends a listener. Connections that nobody accepted are reset; accepted ones live on.
    pub fn close_listener(&mut self, now: Instant, listener: ListenerId) {
        self.listeners.retain(|known| known.id != listener);
        let orphans: Vec<ConnId> =
            self.table.ids().filter(|id| self.table.get(*id).is_some_and(|entry| entry.listener == Some(listener))).collect();
        for id in orphans {
            self.with(now, id, |tcb, cx| tcb.abort(cx));
        }
    }

    /// SEND (3.10.2): takes as much as there is room for and says how much, at least one octet.
    ///
    /// # Errors
    /// `WouldBlock` without room, `Closing` after `shutdown` or `close`, `Ended`, `NoConnection`.
    pub fn send(&mut self, now: Instant, id: ConnId, data: &[u8]) -> Result<usize, CallError> {
        self.call(now, id, |tcb, cx| tcb.send(cx, data))?
    }

    /// RECEIVE (3.10.3): gives what there is and says how much; 0 is the end: the peer's FIN came after all that was read.
    /// Unread data stays readable in CLOSING and TIME-WAIT, and after CLOSED by a clean close.
    ///
    /// # Errors
    /// `WouldBlock`, `Ended`, `NoConnection`.
    pub fn receive(&mut self, now: Instant, id: ConnId, into: &mut [u8]) -> Result<usize, CallError> {
        self.call(now, id, |tcb, cx| tcb.receive(cx, into))?
    }

    /// CLOSE (3.10.4) of our direction alone: the FIN follows what was sent; receiving goes on.
    ///
    /// # Errors
    /// `Closing` when done already, `Ended`, `NoConnection`.
    pub fn shutdown(&mut self, now: Instant, id: ConnId) -> Result<(), CallError> {
        self.call(now, id, |tcb, cx| tcb.shutdown(cx))?
    }

    /// CLOSE of both directions, and the application lets go: what it did not read, or what still arrives, is answered with a RST
    /// (SHLD-3). The stack finishes the close and forgets the connection at CLOSED. Also frees the record of an ended connection.
    ///
    /// # Errors
    /// `NoConnection`.
    pub fn close(&mut self, now: Instant, id: ConnId) -> Result<(), CallError> {
        self.call(now, id, |tcb, cx| tcb.close(cx))
    }

    /// ABORT (3.10.5): RST where the peer may know of us, CLOSED at once, and the application lets go.
    ///
    /// # Errors
    /// `NoConnection`.
    pub fn abort(&mut self, now: Instant, id: ConnId) -> Result<(), CallError> {
        self.call(now, id, |tcb, cx| tcb.abort(cx))
    }

    /// Lets go what [`HoldBack`](crate::config::HoldBack) holds back on this connection.
    ///
    /// # Errors
    /// `Ended`, `NoConnection`.
    pub fn lift(&mut self, now: Instant, id: ConnId) -> Result<(), CallError> {
        self.call(now, id, |tcb, cx| tcb.lift(cx))?
    }

    /// STATUS (3.10.6); `None` once the connection is forgotten.
    pub fn status(&self, id: ConnId) -> Option<Status> {
        self.table.get(id).map(|entry| entry.tcb.status())
    }

    /// Every connection there is a record of, in no particular order.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.table.ids()
    }

    /// The connection with this four-tuple that is not CLOSED.
    pub fn lookup(&self, local: SocketAddr, remote: SocketAddr) -> Option<ConnId> {
        self.table.find(&self.secret, local, remote)
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// SEGMENT ARRIVES (3.10.7): a whole IP packet, from anybody, perhaps garbage.
    pub fn packet_arrives(&mut self, now: Instant, packet: &[u8]) {
        self.counters.packets_in += 1;
        self.record.packet = Some(self.counters.packets_in);
        match Segment::parse(packet, self.config.checksum) {
            Ok(segment) => self.segment_arrives(now, &segment),
            Err(error) => {
                self.counters.bad_checksums += u64::from(error == ParseError::BadChecksum);
                self.discard(now, None, Discard::Parse(error));
            }
        }
        self.record.packet = None;
    }

    fn segment_arrives(&mut self, now: Instant, segment: &Segment<'_>) {
        self.counters.partial_checksums += u64::from(segment.checksum == ChecksumKind::Partial);
        let (local, remote) = (segment.header.destination, segment.header.source);
        if !self.is_reserved(local) {
            self.counters.not_ours += 1;
            return self.discard(now, None, Discard::NotReserved);
        }
        let mut iss = None;
        if let Some(id) = self.lookup(local, remote) {
            match self.with(now, id, |tcb, cx| tcb.segment_arrives(cx, segment)) {
                Some(Outcome::Reopen(asked)) => iss = asked,
                _ => return,
            }
        }
        match self.listener_on(local) {
            Some(listener) => self.listener_arrives(now, listener, segment, iss),
            None => self.answer_stranger(now, segment),
        }
    }

    /// A whole IP packet with an ICMP message (3.9.2.2, RFC 5927).
    pub fn icmp_arrives(&mut self, now: Instant, packet: &[u8]) {
        let Some(icmp) = Icmp::parse(packet) else { return };
        if let Some(id) = self.lookup(icmp.local, icmp.remote) {
            self.with(now, id, |tcb, cx| tcb.icmp_arrives(cx, &icmp));
        }
    }

    /// The packet of this connection that was given out last could not be sent.
    pub fn transmit_failed(&mut self, now: Instant, id: Option<ConnId>, error: TransmitError) {
        self.counters.transmit_failures += 1;
        if let Some(id) = id {
            self.with(now, id, |tcb, cx| tcb.transmit_failed(cx, error));
        }
    }

    /// Fires every timer that is due (3.10.8).
    pub fn timeout(&mut self, now: Instant) {
        while let Some(id) = self.table.pop_due(now) {
            self.with(now, id, |tcb, cx| tcb.timeout(cx));
        }
    }

    /// Writes the next packet to send into `into`, which must have room for the MTU. `None`: nothing to send.
    pub fn poll_transmit(&mut self, now: Instant, into: &mut [u8]) -> Option<Transmit> {
        let transmit = match self.replies.pop_front() {
            Some(reply) => self.transmit_reply(reply, into),
            None => self.transmit_text(now, into),
        };
        self.counters.packets_out += u64::from(transmit.is_some());
        transmit
    }

    fn transmit_reply(&mut self, mut reply: Reply, into: &mut [u8]) -> Option<Transmit> {
        reply.header.id = self.next_ip_id();
        let len = reply.header.emit((&[], &[]), into).ok()?;
        let Reply { conn, header, label, packet } = reply;
        Some(Transmit { conn, len, destination: header.destination, label, packet })
    }

    fn transmit_text(&mut self, now: Instant, into: &mut [u8]) -> Option<Transmit> {
        loop {
            let id = *self.ready.front()?;
            let ip_id = self.next_ip_id();
            let sent = self.with(now, id, |tcb, cx| tcb.transmit(cx, into, ip_id)).flatten();
            if let (Some((len, label)), Some(entry)) = (sent, self.table.get(id)) {
                return Some(Transmit { conn: Some(id), len, destination: entry.tcb.remote, label, packet: entry.packet });
            }
            self.ready.pop_front();
            if let Some(entry) = self.table.get_mut(id) {
                (entry.ready, entry.packet) = (false, None);
            }
        }
    }

    /// Never 0: the kernel would put in one of its own.
    fn next_ip_id(&mut self) -> u16 {
        self.ip_id = self.ip_id.wrapping_add(1).max(1);
        self.ip_id
    }

    /// The next one to wake.
    pub fn poll_signal(&mut self) -> Option<Signal> {
        if let Some(signal) = self.signals.pop_front() {
            return Some(signal);
        }
        while let Some(&id) = self.woken.front() {
            let signal = self.table.get_mut(id).and_then(|entry| next_signal(&mut entry.tcb.wake, id));
            if signal.is_some() {
                return signal;
            }
            self.woken.pop_front();
            if let Some(entry) = self.table.get_mut(id) {
                entry.woken = false;
            }
        }
        None
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.record.queue.pop_front()
    }

    /// When [`timeout`](Stack::timeout) wants to be called; perhaps too early, never too late.
    pub fn deadline(&self) -> Option<Instant> {
        self.table.deadline()
    }

    fn listener_on(&self, local: SocketAddr) -> Option<ListenerId> {
        self.listeners.iter().find(|listener| listener.local == local).map(|listener| listener.id)
    }

    fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.id == id)
    }

    fn listener_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|listener| listener.id == id)
    }

    fn discard(&mut self, now: Instant, id: Option<ConnId>, reason: Discard) {
        self.counters.discarded += 1;
        self.record.note(now, id, What::Discarded(reason));
    }

    /// Makes a connection and settles what follows from that.
    fn add(&mut self, now: Instant, listener: Option<ListenerId>, make: impl FnOnce(&mut Cx<'_>) -> Tcb) -> ConnId {
        let id = self.table.next_id();
        let mut cx = Cx {
            now,
            id,
            record: &mut self.record,
            replies: &mut self.replies,
            listener: false,
            accept_full: false,
            memory_left: usize::MAX,
        };
        let tcb = make(&mut cx);
        self.memory += tcb.memory();
        self.table.add(&self.secret, tcb, listener, self.record.packet);
        if let Some(listener) = listener.and_then(|id| self.listener_mut(id)) {
            listener.embryonic += 1;
        }
        self.settle(now, id);
        id
    }

    /// A call of the application.
    fn call<R>(&mut self, now: Instant, id: ConnId, f: impl FnOnce(&mut Tcb, &mut Cx<'_>) -> R) -> Result<R, CallError> {
        let entry = self.table.get_mut(id).filter(|entry| !entry.tcb.released).ok_or(CallError::NoConnection)?;
        entry.packet = None;
        self.with(now, id, f).ok_or(CallError::NoConnection)
    }

    /// Lets a connection handle one thing and settles what follows from that.
    fn with<R>(&mut self, now: Instant, id: ConnId, f: impl FnOnce(&mut Tcb, &mut Cx<'_>) -> R) -> Option<R> {
        let entry = self.table.get(id)?;
        let listener = entry.tcb.state == State::TimeWait && self.listener_on(entry.tcb.local).is_some();
        let accept_full = entry.listener.and_then(|id| self.listener(id)).is_some_and(Listener::is_full);
        let memory_left = self.config.max_memory.saturating_sub(self.memory);
        let entry = self.table.get_mut(id)?;
        if self.record.packet.is_some() {
            entry.packet = self.record.packet;
        }
        let before = entry.tcb.memory();
        let (record, replies) = (&mut self.record, &mut self.replies);
        let mut cx = Cx { now, id, record, replies, listener, accept_full, memory_left };
        let result = f(&mut entry.tcb, &mut cx);
        self.memory = self.memory.saturating_sub(before) + entry.tcb.memory();
        self.settle(now, id);
        Some(result)
    }

    /// After a connection handled something: queues, signals, timers, and its end.
    fn settle(&mut self, now: Instant, id: ConnId) {
        self.replies.truncate(MAX_REPLIES);
        let Some(entry) = self.table.get_mut(id) else { return };
        if !entry.ready && entry.tcb.has_output() {
            entry.ready = true;
            self.ready.push_back(id);
        }
        let wake = entry.tcb.wake;
        if let (Some(listener), true, false) = (entry.listener, wake.established, entry.acceptable) {
            entry.acceptable = true;
            if let Some(listener) = self.listener_mut(listener) {
                listener.embryonic = listener.embryonic.saturating_sub(1);
                listener.queue.push_back(id);
            }
            self.signals.push_back(Signal::Acceptable(listener));
        }
        self.table.file_timer(id);
        let Some(entry) = self.table.get_mut(id) else { return };
        if wake != Wake::default() && !entry.woken {
            entry.woken = true;
            self.woken.push_back(id);
        }
        if entry.tcb.is_over() {
            self.finish(now, id);
        }
    }

    /// A connection that is CLOSED: its four-tuple is free; the record goes unless the application still holds it.
    fn finish(&mut self, _now: Instant, id: ConnId) {
        self.table.release_tuple(&self.secret, id);
        let Some(entry) = self.table.get(id) else { return };
        let (listener, acceptable, released, ended) = (entry.listener, entry.acceptable, entry.tcb.released, entry.tcb.ended);
        let embryonic = listener.is_some() && !acceptable;
        if !embryonic && !released {
            return;
        }
        if let Some(entry) = self.table.remove(&self.secret, id) {
            self.memory = self.memory.saturating_sub(entry.tcb.memory());
        }
        match listener {
            Some(listener) => {
                if let Some(listener) = self.listener_mut(listener) {
                    listener.embryonic = listener.embryonic.saturating_sub(usize::from(embryonic));
                    listener.queue.retain(|queued| *queued != id);
                }
            }
            None => self.signals.extend(ended.map(|reason| Signal::Closed(id, reason))),
        }
    }
}

/// Takes one wake-up out of the set.
fn next_signal(wake: &mut Wake, id: ConnId) -> Option<Signal> {
    if core::mem::take(&mut wake.established) {
        return Some(Signal::Established(id));
    }
    if core::mem::take(&mut wake.readable) {
        return Some(Signal::Readable(id));
    }
    if core::mem::take(&mut wake.writable) {
        return Some(Signal::Writable(id));
    }
    wake.closed.take().map(|reason| Signal::Closed(id, reason))
}
