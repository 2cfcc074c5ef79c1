//! Whose segment is this: four-tuples, listeners, backlog, SYN cookies, RST to strangers, ISNs, ports.

use crate::config::{Config, ConnConfig};
use crate::event::{CloseReason, Event, Label, Record, Signal};
use crate::seq::Seq;
use crate::tcb::State;
use crate::time::{Duration, Instant};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;

/// Names a connection for as long as the stack lives; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// The same as one number, for records.
    pub const fn number(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }
}

/// Names a listener for as long as the stack lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId(pub(crate) u32);

/// Why a call was refused (the error replies of RFC 9293 section 3.10).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallError {
    /// There is no such connection or listener (any more).
    NoConnection,
    /// The local address and port are not reserved for this stack.
    NotReserved,
    /// The four-tuple, or the listener's address and port, is taken; a four-tuple by a connection in this state.
    InUse(State),
    /// Every reserved port is taken for this remote address.
    PortsExhausted,
    /// The remote address is broadcast, multicast or unspecified, or its port is 0 (MUST-46), or of the other family.
    BadRemote,
    /// A limit of the stack is reached (connections, memory).
    Limit,
    /// Nothing now: a signal will follow.
    WouldBlock,
    /// The connection is closing: nothing can be sent any more.
    Closing,
    /// The connection ended like this.
    Ended(CloseReason),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::NoConnection => f.write_str("no such connection"),
            CallError::NotReserved => f.write_str("the local address and port are not reserved for this stack"),
            CallError::InUse(state) => write!(f, "in use by a connection in {state}"),
            CallError::PortsExhausted => f.write_str("every reserved port is in use towards this peer"),
            CallError::BadRemote => f.write_str("not an address that a connection can go to"),
            CallError::Limit => f.write_str("a limit of the stack is reached"),
            CallError::WouldBlock => f.write_str("nothing to do now"),
            CallError::Closing => f.write_str("connection closing"),
            CallError::Ended(reason) => write!(f, "the connection ended: {}", reason.name()),
        }
    }
}

impl core::error::Error for CallError {}

/// A packet that was written into the caller's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Transmit {
    /// The connection; `None` for an answer to a stranger or a SYN cookie.
    pub conn: Option<ConnId>,
    /// Octets of the IP packet.
    pub len: usize,
    /// Where it goes.
    pub destination: SocketAddr,
    /// Why it is sent and what it carries.
    pub label: Label,
    /// The number of the incoming packet that provoked it.
    pub packet: Option<u64>,
}

/// A plain copy of what there is to know about a connection (RFC 9293 section 3.10.6).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// State.
    pub state: State,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Opened by a SYN to a listener.
    pub passive: bool,
    /// ISS.
    pub iss: Seq,
    /// SND.UNA.
    pub snd_una: Seq,
    /// SND.NXT.
    pub snd_nxt: Seq,
    /// SND.WND, octets.
    pub snd_wnd: u32,
    /// Congestion window, octets.
    pub cwnd: u32,
    /// IRS.
    pub irs: Seq,
    /// RCV.NXT.
    pub rcv_nxt: Seq,
    /// RCV.WND, octets.
    pub rcv_wnd: u32,
    /// Effective send MSS, octets.
    pub mss: u16,
    /// Smoothed round-trip time, once there was a sample.
    pub srtt: Option<Duration>,
    /// Retransmission timeout now.
    pub rto: Duration,
    /// Retransmissions of the oldest octets so far.
    pub retransmissions: u32,
    /// Octets that SEND took and the peer did not acknowledge.
    pub unacknowledged: usize,
    /// Octets that RECEIVE can take now.
    pub unread: usize,
    /// When the earliest timer fires.
    pub deadline: Option<Instant>,
}

/// What was counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Counters {
    /// Packets handed in.
    pub packets_in: u64,
    /// Packets given out.
    pub packets_out: u64,
    /// Segments or texts discarded, for any reason.
    pub discarded: u64,
    /// Of these, wrong checksums.
    pub bad_checksums: u64,
    /// Segments with a partial checksum that were taken.
    pub partial_checksums: u64,
    /// Of the discarded: not for an address and port of ours.
    pub not_ours: u64,
    /// SYN cookies sent.
    pub cookies_sent: u64,
    /// SYN cookies that came back right.
    pub cookies_accepted: u64,
    /// SYNs dropped at a full backlog.
    pub backlog_drops: u64,
    /// Packets that could not be sent.
    pub transmit_failures: u64,
}

/// Why a packet could not be sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TransmitError {
    /// It is longer than the link takes: the path MTU is at most this many octets (EMSGSIZE).
    TooBig(u32),
    /// Anything else (EPERM from a firewall, ENOBUFS): treated as loss on the way.
    Lost,
}

/// A TCP: all the connections of one host. See the crate's page for the drive contract.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Stack {
    config: Config,
    record: Record,
}

impl Stack {
    /// Makes a stack without ports. All its randomness comes from `seed`: 64 bits are enough to repeat a run; where peers are not
    /// trusted the seed must come from the operating system.
    pub fn new(_config: Config, _seed: u64) -> Stack {
        todo!()
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
    pub fn reserve(&mut self, _address: IpAddr, _ports: RangeInclusive<u16>) {
        todo!()
    }

    /// The end of [`reserve`](Stack::reserve), with the same arguments. Connections on these ports stay.
    pub fn unreserve(&mut self, _address: IpAddr, _ports: RangeInclusive<u16>) {
        todo!()
    }

    /// Passive OPEN (3.10.1). `backlog`: the most connections in SYN-RECEIVED, and the most that wait to be accepted, each.
    ///
    /// # Errors
    /// `NotReserved`, `InUse` when there is a listener on `local` already, `Limit`.
    pub fn listen(&mut self, _now: Instant, _local: SocketAddr, _backlog: usize, _config: &ConnConfig) -> Result<ListenerId, CallError> {
        todo!()
    }

    /// Active OPEN (3.10.1). Port 0 in `local` picks a reserved one at random (RFC 6056).
    ///
    /// # Errors
    /// `NotReserved`, `InUse`, `PortsExhausted`, `BadRemote`, `Limit`.
    pub fn connect(&mut self, _now: Instant, _local: SocketAddr, _remote: SocketAddr, _config: &ConnConfig) -> Result<ConnId, CallError> {
        todo!()
    }

    /// Takes the oldest established connection of a listener.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, `NoConnection` when the listener is closed.
    pub fn accept(&mut self, _now: Instant, _listener: ListenerId) -> Result<ConnId, CallError> {
        todo!()
    }

    /// Ends a listener. Connections that nobody accepted are reset; accepted ones live on.
    pub fn close_listener(&mut self, _now: Instant, _listener: ListenerId) {
        todo!()
    }

    /// SEND (3.10.2): takes as much as there is room for and says how much, at least one octet.
    ///
    /// # Errors
    /// `WouldBlock` without room, `Closing` after `shutdown` or `close`, `Ended`, `NoConnection`.
    pub fn send(&mut self, _now: Instant, _id: ConnId, _data: &[u8]) -> Result<usize, CallError> {
        todo!()
    }

    /// RECEIVE (3.10.3): gives what there is and says how much; 0 is the end: the peer's FIN came after all that was read.
    /// Unread data stays readable in CLOSING and TIME-WAIT, and after CLOSED by a clean close.
    ///
    /// # Errors
    /// `WouldBlock`, `Ended`, `NoConnection`.
    pub fn receive(&mut self, _now: Instant, _id: ConnId, _into: &mut [u8]) -> Result<usize, CallError> {
        todo!()
    }

    /// CLOSE (3.10.4) of our direction alone: the FIN follows what was sent; receiving goes on.
    ///
    /// # Errors
    /// `Closing` when done already, `Ended`, `NoConnection`.
    pub fn shutdown(&mut self, _now: Instant, _id: ConnId) -> Result<(), CallError> {
        todo!()
    }

    /// CLOSE of both directions, and the application lets go: what it did not read, or what still arrives, is answered with a RST
    /// (SHLD-3). The stack finishes the close and forgets the connection at CLOSED. Also frees the record of an ended connection.
    ///
    /// # Errors
    /// `NoConnection`.
    pub fn close(&mut self, _now: Instant, _id: ConnId) -> Result<(), CallError> {
        todo!()
    }

    /// ABORT (3.10.5): RST where the peer may know of us, CLOSED at once, and the application lets go.
    ///
    /// # Errors
    /// `NoConnection`.
    pub fn abort(&mut self, _now: Instant, _id: ConnId) -> Result<(), CallError> {
        todo!()
    }

    /// Lets go what [`HoldBack`](crate::config::HoldBack) holds back on this connection.
    ///
    /// # Errors
    /// `NoConnection`.
    pub fn lift(&mut self, _now: Instant, _id: ConnId) -> Result<(), CallError> {
        todo!()
    }

    /// STATUS (3.10.6); `None` once the connection is forgotten.
    pub fn status(&self, _id: ConnId) -> Option<Status> {
        todo!()
    }

    /// Every connection there is a record of, in no particular order.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> {
        [].into_iter()
    }

    /// The connection with this four-tuple.
    pub fn lookup(&self, _local: SocketAddr, _remote: SocketAddr) -> Option<ConnId> {
        todo!()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        todo!()
    }

    /// SEGMENT ARRIVES (3.10.7): a whole IP packet, from anybody, perhaps garbage.
    pub fn packet_arrives(&mut self, _now: Instant, _packet: &[u8]) {
        todo!()
    }

    /// A whole IP packet with an ICMP message (3.9.2.2, RFC 5927).
    pub fn icmp_arrives(&mut self, _now: Instant, _packet: &[u8]) {
        todo!()
    }

    /// The packet of this connection that was given out last could not be sent.
    pub fn transmit_failed(&mut self, _now: Instant, _id: Option<ConnId>, _error: TransmitError) {
        todo!()
    }

    /// Fires every timer that is due (3.10.8).
    pub fn timeout(&mut self, _now: Instant) {
        todo!()
    }

    /// Writes the next packet to send into `into`, which must have room for the MTU. `None`: nothing to send.
    pub fn poll_transmit(&mut self, _now: Instant, _into: &mut [u8]) -> Option<Transmit> {
        todo!()
    }

    /// The next one to wake.
    pub fn poll_signal(&mut self) -> Option<Signal> {
        todo!()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.record.queue.pop_front()
    }

    /// When [`timeout`](Stack::timeout) wants to be called; perhaps too early, never too late.
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }
}
