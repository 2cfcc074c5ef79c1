//! One connection, in the RFC's words: its variables, and the one function that changes its state.

mod buffer;
mod calls;
mod congestion;
mod output;
mod rto;
mod segment_arrives;
mod table;
mod timeouts;

pub use table::{TRANSITIONS, Transition};

use crate::config::ConnConfig;
use crate::event::{CloseReason, Label, Record, Timer, TimerAction, Trigger, What};
use crate::seq::Seq;
use crate::stack::ConnId;
use crate::time::Instant;
use crate::wire::Header;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use buffer::{ReceiveBuffer, SendBuffer};
use congestion::Control;
use core::fmt;
use core::net::SocketAddr;
use rto::Estimator;

/// The eleven states of RFC 9293 section 3.3.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a SYN.
    Listen,
    /// SYN sent.
    SynSent,
    /// SYN received and sent.
    SynReceived,
    /// Open both ways.
    Established,
    /// FIN sent, not acknowledged.
    FinWait1,
    /// FIN sent and acknowledged; waiting for the peer's.
    FinWait2,
    /// The peer's FIN received; waiting for the application.
    CloseWait,
    /// Both FINs sent, ours not acknowledged.
    Closing,
    /// Our FIN, sent after the peer's, not acknowledged.
    LastAck,
    /// Waiting 2 MSL.
    TimeWait,
}

impl State {
    /// All eleven, in the order of the RFC.
    pub const ALL: [State; 11] = [
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
        State::Closed,
    ];

    /// The RFC's spelling.
    pub const fn name(self) -> &'static str {
        match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a connection needs from its stack while it handles one thing.
pub(crate) struct Cx<'a> {
    /// Now.
    pub(crate) now: Instant,
    /// The connection's own name.
    pub(crate) id: ConnId,
    /// Where events go.
    pub(crate) record: &'a mut Record,
    /// Segments that outlive the connection's state: RSTs. Given out before anything else.
    pub(crate) replies: &'a mut VecDeque<Reply>,
    /// A listener would take a new incarnation of this four-tuple.
    pub(crate) listener: bool,
    /// The listener that this connection came from has no room for another established one.
    pub(crate) accept_full: bool,
    /// Octets that all buffers together may still grow by.
    pub(crate) memory_left: usize,
}

/// A segment without text that needs no connection to be sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Reply {
    pub(crate) conn: Option<ConnId>,
    pub(crate) header: Header,
    pub(crate) label: Label,
    pub(crate) packet: Option<u64>,
}

/// What SEGMENT ARRIVES asks of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Nothing: the connection dealt with it.
    Handled,
    /// The connection is over, and the segment, a SYN, is for the listener, which must use this ISS if one is given (MAY-2, RFC 6191).
    Reopen(Option<Seq>),
}

/// Wake-ups that the stack has not collected yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Wake {
    pub(crate) established: bool,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) closed: bool,
}

/// A connection: the transmission control block. Without `transfer` it is a compact entry (SYN-RECEIVED from a listener, TIME-WAIT with
/// nothing left to read, CLOSED): the same checks, no buffers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Tcb {
    pub(crate) config: Arc<ConnConfig>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) state: State,
    /// Opened by a SYN to a listener (MUST-11).
    pub(crate) passive: bool,
    /// The application has let go (CLOSE or ABORT); at CLOSED the stack forgets the connection.
    pub(crate) released: bool,
    /// How it ended, once it has.
    pub(crate) ended: Option<CloseReason>,
    pub(crate) wake: Wake,
}

// The interface to the stack; bodies in calls.rs, segment_arrives.rs, timeouts.rs, output.rs:
//   Tcb::active(cx, config: Arc<ConnConfig>, local, remote, iss: Seq, ts_offset: u32) -> Tcb            (3.10.1; records Opened and State)
//   Tcb::passive(cx, config, local, remote, syn: &Segment, iss, ts_offset) -> Tcb                        (3.10.7.2; records Opened and State; compact)
//   Tcb::from_cookie(cx, config, local, remote, ack: &Segment, iss, mss: u16, ts_offset) -> Tcb          (SYN-RECEIVED; hand it the ACK next)
//   tcb.segment_arrives(cx, &Segment) -> Outcome          tcb.icmp_arrives(cx, &Icmp)
//   tcb.send(cx, &[u8]) / receive(cx, &mut [u8]) -> Result<usize, CallError>, shutdown / lift -> Result<(), CallError>, close(cx), abort(cx)
//   tcb.timeout(cx)      fires what is due     tcb.deadline() -> Option<Instant>
//   tcb.has_output(now) -> bool                cheap: whether transmit may have something
//   tcb.transmit(cx, into: &mut [u8], ip_id: u16) -> Option<(usize, Label)>
//   tcb.transmit_failed(cx, TransmitError)
//   tcb.status() -> Status                     tcb.memory() -> usize (octets of buffers)
//   tcb.is_over() -> bool                      CLOSED, or back in LISTEN (a passive one that was reset): the stack removes it once released
//   after every call the stack reads tcb.wake (and clears it), tcb.is_over(), tcb.released, tcb.deadline(), tcb.has_output(), tcb.memory()
