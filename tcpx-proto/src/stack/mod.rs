//! Which connection a segment belongs to: four-tuples, listeners, backlog, SYN cookies, RST to
//! strangers, ISNs, ports.
//!
//! # The drive contract, as code
//! Two stacks and a wire without delay. Every owner of a stack is such a loop, with sockets or
//! links instead of that wire:
//!
//! ```
//! use core::net::SocketAddr;
//! use tcpx_proto::config::{Config, ConnConfig};
//! use tcpx_proto::stack::Signal;
//! use tcpx_proto::error::CallError;
//! use tcpx_proto::id::FourTuple;
//! use tcpx_proto::stack::Stack;
//! use tcpx_proto::time::{Duration, Instant};
//!
//! /// After every input of `from`: its packets go to `to`. Returns its wake-ups.
//! fn drain(now: Instant, from: &mut Stack, to: &mut Stack) -> Vec<Signal> {
//!     let mut packet = [0; 1500];
//!     while let Some(transmit) = from.poll_transmit(now, &mut packet) {
//!         to.packet_arrives(now, &packet[..transmit.len]);
//!     }
//!     while let Some(_event) = from.poll_event() {} // there are none: the record is off
//!     core::iter::from_fn(|| from.poll_signal()).collect()
//! }
//!
//! # fn main() -> Result<(), CallError> {
//! let near: SocketAddr = ([10, 0, 0, 1], 4000).into();
//! let far: SocketAddr = ([10, 0, 0, 2], 80).into();
//! let mut client = Stack::new(Config::default(), 1);
//! let mut server = Stack::new(Config::default(), 2);
//! client.reserve(near.ip(), near.port()..=near.port());
//! server.reserve(far.ip(), far.port()..=far.port());
//!
//! let mut now = Instant::ZERO;
//! let listener = server.listen(now, far, 8, &ConnConfig::default())?;
//! let ours = client.connect(now, FourTuple { local: near, remote: far }, &ConnConfig::default())?;
//! client.send(now, ours, b"hello")?; // it waits for the handshake
//! let mut heard = [0; 5];
//! loop {
//!     now = now + Duration::from_micros(1);
//!     for stack in [&mut client, &mut server] {
//!         if stack.deadline().is_some_and(|deadline| deadline <= now) {
//!             stack.timeout(now);
//!         }
//!     }
//!     drain(now, &mut client, &mut server);
//!     if drain(now, &mut server, &mut client).contains(&Signal::Acceptable(listener)) {
//!         break;
//!     }
//! }
//! drain(now, &mut client, &mut server);
//! let theirs = server.accept(now, listener)?;
//! assert_eq!(server.receive(now, theirs, &mut heard)?, 5);
//! # Ok(())
//! # }
//! ```

mod cookie;
mod demux;
mod fast_open;
mod index;
mod isn;
mod listener;
mod option;
mod poll;
mod ports;
mod rest;
mod secret;
mod slab;
mod table;
mod timers;
mod types;

pub use crate::tcb::Most;
pub use types::{Counters, Signal, Tables, Transmit};

use crate::error::{CallError, TransmitError};
use crate::id::{ConnId, FourTuple, ListenerId, plain};
use crate::tcb::{Ids, Reply, Status, Tcb, Usage};

use crate::config::{Config, ConnConfig, Overflow};
use crate::event::{Event, Record};
use crate::state::State;
use crate::time::Instant;
use crate::wire::{Sum, is_unicast, portable_sum};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use cookie::Cookies;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use fast_open::{CookieMint, Peers};
use isn::IsnGenerator;
use listener::{Listener, Listeners};
use ports::{PortOrder, Ports};
use secret::Random;
use table::{Ownership, Table};
use timers::Timers;

/// A TCP: all the connections of one host. See the crate's page for the drive contract.
///
/// Two stacks are equal when they have the same connections, listeners, ports and secrets, and the
/// same left to say: what they do next is then the same but for IP identifications and the numbers
/// of packets. Counters and the record do not count.
#[derive(Clone)]
pub struct Stack {
    config: Config,
    /// The configuration of the last connection, to share with the next if that has the same.
    shared: Arc<ConnConfig>,
    ports: Ports,
    order: PortOrder,
    table: Table,
    listeners: Listeners,
    isns: IsnGenerator,
    cookies: Cookies,
    /// The Fast Open cookies that our listeners give,
    mint: CookieMint,
    /// and those that peers gave.
    peers: Peers,
    random: Random,
    timers: Timers,
    /// Connections that may have something to send.
    output: VecDeque<ConnId>,
    replies: VecDeque<Reply>,
    /// Connections with wake-ups to poll.
    woken: VecDeque<ConnId>,
    signals: VecDeque<Signal>,
    record: Record,
    counters: Counters,
    /// Fast paths are taken where there are any.
    fast: bool,
    /// How checksums are added up.
    sum: Sum,
    /// What all connections take of what is bounded in total.
    used: Usage,
    /// The IP identifications of the next packets.
    ids: Ids,
}

impl Stack {
    /// Makes a stack without ports. All its randomness comes from `seed`: 64 bits are enough to
    /// repeat a run; where peers are not trusted the seed must come from the operating system.
    pub fn new(config: Config, seed: u64) -> Stack {
        let mut random = Random::new(seed);
        Stack {
            shared: Arc::new(config.conn.clone()),
            table: Table::new(seed, config.whole_records),
            config,
            ports: Ports::default(),
            order: PortOrder::new(seed),
            listeners: Listeners::default(),
            isns: IsnGenerator::new(seed),
            cookies: Cookies::new(seed),
            mint: CookieMint::new(seed),
            peers: Peers::default(),
            timers: Timers::default(),
            output: VecDeque::new(),
            replies: VecDeque::new(),
            woken: VecDeque::new(),
            signals: VecDeque::new(),
            record: Record::default(),
            counters: Counters::default(),
            fast: true,
            sum: portable_sum,
            used: Usage::default(),
            ids: Ids::after(random.draw() as u16),
            random,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Switches the record on or off (off at the start).
    pub fn record(&mut self, on: bool) {
        //= SHLD-20
        self.record.on = on;
    }

    /// Adds up checksums by another function, which may use what this CPU offers.
    pub fn sum_by(&mut self, sum: Sum) {
        self.sum = sum;
    }

    /// Takes fast paths or not (it does at the start): what happens is the same, which tests show
    /// by comparing.
    pub fn fast_paths(&mut self, on: bool) {
        self.fast = on;
    }

    /// Makes this stack answer for these ports of `address`. Everything that reaches it for another
    /// is dropped and counted.
    pub fn reserve(&mut self, address: IpAddr, ports: RangeInclusive<u16>) {
        self.ports.reserve(address, ports);
    }

    /// The end of [`reserve`](Stack::reserve), with the same arguments. Connections on these ports
    /// stay.
    pub fn unreserve(&mut self, address: IpAddr, ports: RangeInclusive<u16>) {
        self.ports.unreserve(address, ports);
    }

    /// Passive OPEN (3.10.1). `backlog`: the most connections in SYN-RECEIVED, and the most that
    /// wait to be accepted, each; at least 1.
    ///
    /// # Errors
    /// `NotReserved`, `InUse` when there is a listener on `local` already, `Limit` after 2^32
    /// listeners.
    pub fn listen(
        &mut self,
        _now: Instant,
        local: SocketAddr,
        backlog: usize,
        config: &ConnConfig,
    ) -> Result<ListenerId, CallError> {
        let local = plain(local);
        if !self.ports.contain(local) {
            return Err(CallError::NotReserved);
        }
        //= MUST-41
        if self.listeners.at(local).is_some() {
            return Err(CallError::InUse(State::Listen));
        }
        let bound = if self.config.overflow == Overflow::Unbounded {
            usize::MAX
        } else {
            backlog.max(1)
        };
        let config = self.share(config);
        self.listeners
            .add(Listener::new(local, config, bound))
            .ok_or(CallError::Limit)
    }

    /// Active OPEN (3.10.1). Local port 0 picks a reserved one (RFC 6056 section 3.3.3).
    ///
    /// # Errors
    /// `NotReserved`, `InUse`, `PortsExhausted`, `BadRemote`, `Limit`.
    pub fn connect(
        &mut self,
        now: Instant,
        tuple: FourTuple,
        config: &ConnConfig,
    ) -> Result<ConnId, CallError> {
        self.connect_with_data(now, tuple, config, &[])
            .map(|(id, _)| id)
    }

    /// Active OPEN and SEND in one (`MSG_FASTOPEN`): with
    /// [`fast_open`](ConnConfig::fast_open) and a cookie of this peer's, the SYN carries as much of
    /// the data as fits (RFC 7413); otherwise the data waits for the handshake as ever. Returns how
    /// many bytes were taken. The peer may get what a SYN carried twice (section 6.1).
    ///
    /// # Errors
    /// Those of [`connect`](Stack::connect).
    pub fn connect_with_data(
        &mut self,
        now: Instant,
        tuple: FourTuple,
        config: &ConnConfig,
        data: &[u8],
    ) -> Result<(ConnId, usize), CallError> {
        let FourTuple { local, remote } = tuple.plain();
        //= MUST-46
        if !is_unicast(remote.ip()) || remote.port() == 0 || local.is_ipv4() != remote.is_ipv4() {
            return Err(CallError::BadRemote);
        }
        let local = if local.port() == 0 {
            self.pick_port(local.ip(), remote)?
        } else {
            local
        };
        //= MUST-43
        if !self.ports.contain(local) {
            return Err(CallError::NotReserved);
        }
        let tuple = FourTuple { local, remote };
        if let Some(entry) = self.table.find(tuple).and_then(|id| self.table.get(id)) {
            return Err(CallError::InUse(entry.tcb.state));
        }
        let config = self.share(config);
        let iss = self.isns.iss(config.isn, now, tuple);
        let offset = self.isns.stamp_offset(tuple);
        let offer = self.peers.offer(now, &config, remote.ip());
        let mut taken = 0;
        let id = self.open(now, Ownership::Owned, |cx| {
            let mut tcb = Tcb::active(cx, config, tuple, iss, offset, offer);
            if !data.is_empty() {
                // Without room for it, it is for SEND.
                taken = tcb.send(cx, data).unwrap_or(0);
            }
            tcb
        })?;
        Ok((id, taken))
    }

    /// A reserved port that no listener has and no connection to this peer, TIME-WAIT included.
    fn pick_port(&mut self, address: IpAddr, remote: SocketAddr) -> Result<SocketAddr, CallError> {
        let count = self.ports.count(address);
        if count == 0 {
            return Err(CallError::NotReserved);
        }
        let tuple = |port| FourTuple {
            local: SocketAddr::new(address, port),
            remote,
        };
        //= 6056-1
        let start = self.order.start(tuple(0), count);
        let free = |tuple: &FourTuple| {
            //= 6056-1
            self.listeners.at(tuple.local).is_none() && self.table.find(*tuple).is_none()
        };
        let mut candidates = self.ports.from(address, start).map(tuple).enumerate();
        let found = candidates.find(|(_, tuple)| free(tuple));
        let (passed, tuple) = found.ok_or(CallError::PortsExhausted)?;
        self.order.took(passed);
        Ok(tuple.local)
    }

    /// Takes the oldest established connection of a listener.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, `NoConnection` when the listener is closed.
    pub fn accept(&mut self, _now: Instant, listener: ListenerId) -> Result<ConnId, CallError> {
        let listener = self
            .listeners
            .get_mut(listener)
            .ok_or(CallError::NoConnection)?;
        let id = listener.waiting.pop_front().ok_or(CallError::WouldBlock)?;
        self.table
            .get_mut(id)
            .ok_or(CallError::NoConnection)?
            .ownership = Ownership::Owned;
        Ok(id)
    }

    /// Ends a listener. Connections that were not accepted are reset, or in SYN-RECEIVED forgotten
    /// ([`ListenerEnd`](crate::config::ListenerEnd)); accepted ones live on.
    pub fn close_listener(&mut self, now: Instant, listener: ListenerId) {
        if self.listeners.remove(listener).is_none() {
            return;
        }
        let unaccepted = [Ownership::Embryonic(listener), Ownership::Waiting(listener)];
        for id in self.owned_by(&unaccepted) {
            self.with(now, id, Tcb::abort);
        }
    }

    /// SEND (3.10.2): accepts as much as there is room for and returns how much, at least one byte.
    ///
    /// # Errors
    /// `WouldBlock` without room, `Closing` after `shutdown` or `close`, `Ended`, `NoConnection`.
    pub fn send(&mut self, now: Instant, id: ConnId, data: &[u8]) -> Result<usize, CallError> {
        self.call(now, id, |tcb, cx| tcb.send(cx, data))?
    }

    /// RECEIVE (3.10.3): returns what there is; 0 bytes mean the end: the peer's FIN came
    /// after all that was read. Unread data stays readable in CLOSING and TIME-WAIT, and after
    /// CLOSED by a clean close.
    ///
    /// # Errors
    /// `WouldBlock`, `Ended`, `NoConnection`.
    pub fn receive(
        &mut self,
        now: Instant,
        id: ConnId,
        into: &mut [u8],
    ) -> Result<usize, CallError> {
        self.call(now, id, |tcb, cx| tcb.receive(cx, into))?
    }

    /// What [`receive`](Stack::receive) would return now, without taking it (`MSG_PEEK`): the window
    /// does not open, and urgent data stays where it is.
    ///
    /// # Errors
    /// `WouldBlock`, `Ended`, `NoConnection`.
    pub fn peek(&mut self, now: Instant, id: ConnId, into: &mut [u8]) -> Result<usize, CallError> {
        self.call(now, id, |tcb, _| tcb.peek(into))?
    }

    /// The connections that are one of these.
    fn owned_by(&self, owners: &[Ownership]) -> Vec<ConnId> {
        self.table
            .iter()
            .filter(|(_, entry)| owners.contains(&entry.ownership))
            .map(|(id, _)| id)
            .collect()
    }

    /// The last byte of urgent data where that is taken out of the stream
    /// ([`UrgentData::OutOfBand`](crate::config::UrgentData)), once; to be had from its arrival
    /// until RECEIVE has passed its place (`MSG_OOB`).
    ///
    /// # Errors
    /// `WouldBlock` (a [`Signal::Urgent`] follows when there is one), `Ended`, `NoConnection`.
    pub fn receive_urgent(&mut self, now: Instant, id: ConnId) -> Result<u8, CallError> {
        self.call(now, id, |tcb, _| tcb.receive_urgent())?
    }

    /// CLOSE (3.10.4) of our direction alone: the FIN follows what was sent; receiving goes on.
    ///
    /// # Errors
    /// `Closing` when done already, `Ended`, `NoConnection`.
    pub fn shutdown(&mut self, now: Instant, id: ConnId) -> Result<(), CallError> {
        self.call(now, id, Tcb::shutdown)?
    }

    /// CLOSE of both directions, and the application lets go: what it did not read, or what still
    /// arrives, is answered with a RST (SHLD-3). The stack finishes the close and forgets the
    /// connection at CLOSED. Also frees the record of an ended connection.
    ///
    /// # Errors
    /// `NoConnection`.
    pub fn close(&mut self, now: Instant, id: ConnId) -> Result<(), CallError> {
        self.call(now, id, Tcb::close)
    }

    /// ABORT (3.10.5): RST where the peer may know of us, CLOSED at once, and the application lets
    /// go.
    ///
    /// # Errors
    /// `NoConnection`.
    pub fn abort(&mut self, now: Instant, id: ConnId) -> Result<(), CallError> {
        self.call(now, id, Tcb::abort)
    }

    /// Lets go what [`HeldOutput`](crate::config::HeldOutput) holds back on this connection.
    ///
    /// # Errors
    /// `Ended`, `NoConnection`.
    pub fn release(&mut self, now: Instant, id: ConnId) -> Result<(), CallError> {
        self.call(now, id, Tcb::release)?
    }

    /// The host restarts: every connection and listener is gone without a segment, and the secrets
    /// are new. An application that kept a connection learns of it by
    /// [`CloseReason::Restarted`](crate::error::CloseReason::Restarted).
    pub fn restart(&mut self, now: Instant) {
        for id in self.connections().collect::<Vec<_>>() {
            self.with(now, id, Tcb::on_restart);
        }
        self.listeners = self.listeners.emptied();
        self.replies.clear();
        let seed = u64::from(self.random.draw()) << 32 | u64::from(self.random.draw());
        self.order = PortOrder::new(seed);
        self.isns = IsnGenerator::new(seed);
        self.cookies = Cookies::new(seed);
        self.mint = CookieMint::new(seed);
        self.peers = Peers::default();
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
    pub fn lookup(&self, tuple: FourTuple) -> Option<ConnId> {
        self.table.find(tuple.plain())
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        Counters {
            discarded: self.record.discarded,
            ..self.counters
        }
    }

    /// The packet of this connection that was given out last could not be sent.
    pub fn transmit_failed(&mut self, now: Instant, id: Option<ConnId>, error: TransmitError) {
        self.counters.transmit_failures += 1;
        if let Some(id) = id {
            self.with(now, id, |tcb, cx| tcb.on_transmit_failed(cx, error));
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.record.queue.pop_front()
    }

    fn share(&mut self, config: &ConnConfig) -> Arc<ConnConfig> {
        if *self.shared != *config {
            self.shared = Arc::new(config.clone());
        }
        Arc::clone(&self.shared)
    }

    /// All that decides what the stack does next.
    fn essence(&self) -> impl PartialEq + Hash {
        let rooms = (&self.config, &self.ports, &self.table, &self.listeners);
        let secrets = (
            &self.order,
            &self.isns,
            &self.cookies,
            &self.mint,
            &self.peers,
            &self.random,
        );
        (
            rooms,
            secrets,
            &self.output,
            &self.replies,
            &self.woken,
            &self.signals,
        )
    }
}

/// Without secrets.
impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections: Vec<_> = self
            .table
            .iter()
            .map(|(id, entry)| (id, entry.tcb.tuple, entry.tcb.state))
            .collect();
        f.debug_struct("Stack")
            .field("connections", &connections)
            .field("used", &self.used)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Stack {
    fn eq(&self, other: &Stack) -> bool {
        self.essence() == other.essence()
    }
}

impl Eq for Stack {}

impl Hash for Stack {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.essence().hash(state);
    }
}
