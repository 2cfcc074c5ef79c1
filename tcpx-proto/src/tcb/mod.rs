//! One connection, in the RFC's words: its variables, and the one function that changes its state.
//!
//! The variables are in `snd`, `rcv`, `stamps`, `timers`, `ecn` and `transfer`, each with the
//! methods that need it alone. What needs more than one of them is a method of `Tcb`: SEGMENT
//! ARRIVES in the order of the RFC's checks, the calls, the timeouts, the output.

mod acknowledgment;
mod assembler;
mod buffer;
mod burst;
mod calls;
mod coder;
mod congestion;
mod context;
mod counts;
mod cubic;
mod ecn;
mod fast_open;
mod handshake;
mod history;
mod icmp;
mod mtu;
mod open;
mod option;
mod orphan;
mod output;
mod pace;
mod path;
mod plan;
mod prediction;
mod prr;
mod quiet;
mod rack;
mod rcv;
mod recovery;
mod reply;
mod room;
mod rto;
mod scoreboard;
mod segment_arrives;
mod size;
mod snd;
mod spurious;
mod stamps;
mod status;
mod text;
mod time_wait;
mod timeouts;
mod timers;
mod transfer;
mod undo;
mod urgent;
mod usage;
mod validation;

#[cfg(test)]
mod tests;

pub use burst::Most;
pub(crate) use burst::{Ids, Sent};
pub(crate) use coder::{Coder, Reader, Writer};
pub(crate) use context::{Context, Outcome, Reply, Wake};
pub(crate) use fast_open::{FastOpenGrant, FastOpenOffer, Lesson};
pub(crate) use open::{peer_mss, window_shift};
pub(crate) use reply::reset_to;
pub(crate) use room::first_window;
pub(crate) use size::offered_mss;
pub use status::{RecoveryState, Status};
pub(crate) use usage::Usage;

use crate::config::{BeyondWindow, ConnConfig, Detour, Rto, UnreadText};
use crate::error::CloseReason;
use crate::event::{Timer, What};
use crate::id::FourTuple;
use crate::label::Cause;
use crate::state::{State, TRANSITIONS, Transition, Trigger};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::sync::Arc;
use buffer::{ReceiveBuffer, SendBuffer};
use congestion::CongestionController;
use counts::Counts;
use ecn::Notification;
use fast_open::FastOpen;
use handshake::Queued;
use history::SendHistory;
use pace::Pace;
use rcv::Rcv;
use room::largest_space;
use rto::Estimator;
use snd::Snd;
use stamps::Stamps;
use timers::Timers;
use transfer::Transfer;

/// What is sent as soon as there is a turn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
struct Pending {
    /// The SYN or SYN,ACK.
    syn: Option<Cause>,
    /// The segment at SND.UNA, or with SACK the first lost one, out of turn.
    retransmission: bool,
    /// A tail-loss probe (RFC 8985 section 7.3).
    tail_probe: bool,
    /// A segment without text that acknowledges.
    ack: Option<Cause>,
    /// The override timer fired: what there is goes, however little.
    small: bool,
}

/// A connection: the transmission control block. Without `transfer` it is a compact entry
/// (SYN-RECEIVED from a listener, TIME-WAIT with nothing left to read, CLOSED): the same checks, no
/// buffers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Tcb {
    pub(crate) config: Arc<ConnConfig>,
    pub(crate) tuple: FourTuple,
    opened: Instant,
    pub(crate) state: State,
    /// Opened by a SYN to a listener (MUST-11).
    pub(crate) passive: bool,
    /// The application has let go (CLOSE or ABORT); at CLOSED the stack forgets the connection.
    pub(crate) orphaned: bool,
    /// Of FIN-WAIT-2 less than a connection is kept ([`Orphan::Mini`](crate::config::Orphan)).
    mini: bool,
    /// How it ended, once it has.
    pub(crate) ended: Option<CloseReason>,
    pub(crate) wake: Wake,
    pub(crate) snd: Snd,
    pub(crate) rcv: Rcv,
    stamps: Stamps,
    ecn: Notification,
    estimator: Estimator,
    pace: Pace,
    pending: Pending,
    timers: Timers,
    transfer: Option<Box<Transfer>>,
    /// What came with the peer's SYN, until ours is acknowledged.
    queued: Option<Box<Queued>>,
    fast_open: Option<Box<FastOpen>>,
}

/// No segment has more text, bytes.
const LARGEST_TEXT: usize = 65_535;

impl Tcb {
    /// The one function that changes the state: takes the edge of the table, or the detour that
    /// stands in its place.
    fn change_state(&mut self, cx: &mut Context<'_>, on: Trigger, to: State) {
        let from = self.state;
        debug_assert!(
            TRANSITIONS.contains(&Transition { from, on, to }),
            "{from} on {on} to {to} is no edge"
        );
        let detour = self
            .config
            .detours
            .iter()
            .find(|detour| detour.from == from && detour.on == on)
            .copied();
        let to = detour.map_or(to, |detour| detour.to);
        self.state = to;
        if to == State::TimeWait && !(from == State::FinWait2 && self.mini) {
            // Linux counts what it answers there, and in FIN-WAIT-2 after CLOSE, apart
            // (`tcp_timewait_check_oow_rate_limit`).
            self.rcv.last_challenge = None;
        }
        cx.note(What::State { from, to, on });
        if let Some(Detour {
            rule, requirement, ..
        }) = detour
        {
            cx.note(What::Deviated {
                rule,
                requirement,
                to,
            });
        }
        match to {
            State::Established => self.enter_established(cx),
            State::FinWait2 => self.limit_fin_wait_2(cx),
            State::TimeWait => self.enter_time_wait(cx),
            State::Closed if self.ended.is_none() => self.end(cx, CloseReason::Clean),
            _ => {}
        }
    }

    fn enter_established(&mut self, cx: &mut Context<'_>) {
        let lost = self.snd.retransmissions;
        self.ensure_transfer(lost >= self.config.lost_syns.max(1));
        if lost > 0 && self.estimator.srtt.is_none() {
            // RFC 6298 5.7: a lost SYN and no sample yet: 3 s.
            let rto = Rto {
                //= 6298-13
                initial: self.config.rto.initial.max(Duration::from_secs(3)),
                ..self.config.rto
            };
            self.estimator = Estimator::new(&rto, self.config.timer_granularity);
        }
        self.snd.retransmissions = 0;
        let room = self.new_room(cx.now);
        if let Some(transfer) = &mut self.transfer {
            transfer.room = room;
        }
        self.wake.established = true;
        self.wake.acceptable = !self.is_served_early();
        self.wake.writable = true;
        if let Some(keepalive) = self.config.keepalive {
            //= MUST-27
            self.timers.start(cx, Timer::KeepAlive, keepalive.idle);
        }
    }

    /// 2 MSL begin, every other timer ends (RFC 9293 3.10.7.4, eighth step).
    fn enter_time_wait(&mut self, cx: &mut Context<'_>) {
        self.fast_open = None;
        self.timers.stop_all(cx);
        let wait = if cx.left.time_wait {
            //= MUST-13
            self.config.msl.saturating_mul(2)
        } else {
            Duration::ZERO
        };
        self.timers.start(cx, Timer::TimeWait, wait);
        self.compact();
        self.forget(cx.now);
    }

    /// FIN-WAIT-2 is limited once no application would receive what the peer sends
    /// (`tcp_fin_timeout`).
    fn limit_fin_wait_2(&mut self, cx: &mut Context<'_>) {
        if let (State::FinWait2, true, Some(limit)) =
            (self.state, self.orphaned, self.config.fin_wait_2)
        {
            if self.is_mini_orphan() {
                self.rcv.last_challenge = None;
            }
            let full = self.is_mini_orphan() && !cx.left.time_wait;
            let limit = if full { Duration::ZERO } else { limit };
            self.timers.start(cx, Timer::FinWait2, limit);
        }
    }

    /// CLOSED for this reason; an ACK that is still owed leaves without the connection.
    fn end(&mut self, cx: &mut Context<'_>, reason: CloseReason) {
        // The FIN that ended it is acknowledged; where a RST ended it, or is the answer, an ACK that
        // was due is not sent.
        if let Some(cause) = self.pending.ack.take()
            && reason == CloseReason::Clean
        {
            self.reply_ack(cx, cause);
        }
        self.timers.stop_all(cx);
        self.pending = Pending::default();
        self.ended = Some(reason);
        self.wake = Wake {
            readable: true,
            writable: true,
            closed: Some(reason),
            ..self.wake
        };
        cx.note(What::Closed(reason));
        if reason != CloseReason::Clean && self.config.unread_text == UnreadText::Flush {
            self.transfer = None;
        }
        self.compact();
    }

    /// To CLOSED by an event that may come in any state.
    fn fail(&mut self, cx: &mut Context<'_>, on: Trigger, reason: CloseReason) {
        self.on_offer_unanswered(reason);
        self.ended = Some(reason);
        //= MUST-11
        let back_to_listen = self.passive && self.state == State::SynReceived;
        self.change_state(
            cx,
            on,
            if back_to_listen {
                State::Listen
            } else {
                State::Closed
            },
        );
        self.end(cx, reason);
    }

    /// Lets the buffers go once nothing will be sent and nothing is left to read.
    fn compact(&mut self) {
        let done = matches!(self.state, State::TimeWait | State::Closed | State::Listen);
        if done && (self.orphaned || self.unread() == 0) {
            self.transfer = None;
        }
    }

    fn ensure_transfer(&mut self, syn_lost: bool) {
        if self.transfer.is_none() {
            self.transfer = Some(Box::new(self.new_transfer(syn_lost)));
        } else {
            let control = self.new_control(syn_lost);
            if let Some(transfer) = &mut self.transfer {
                transfer.congestion = control;
            }
        }
    }

    fn new_transfer(&self, syn_lost: bool) -> Transfer {
        // The offered window is rounded up to the scale's unit, so the buffer holds a unit more.
        let beyond = match self.config.beyond_window {
            BeyondWindow::Cut => 0,
            BeyondWindow::Whole => LARGEST_TEXT,
        };
        let limit = largest_space(&self.config) + (1 << self.rcv.shift) + beyond;
        Transfer {
            send: SendBuffer::new(self.config.send_buffer),
            receive: ReceiveBuffer::new(limit),
            congestion: self.new_control(syn_lost),
            history: SendHistory::new(self.snd.iss),
            counts: Counts::default(),
            room: None,
        }
    }

    fn new_control(&self, syn_lost: bool) -> CongestionController {
        CongestionController::new(&self.config, self.effective_mss(0), self.snd.iss, syn_lost)
    }

    /// When the earliest timer fires.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// CLOSED, or back in LISTEN (a passive one that was reset): only the application's handle
    /// keeps it.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Listen)
    }

    /// Bytes of buffers.
    fn memory(&self) -> usize {
        let queued = self.queued.as_ref().map_or(0, |queued| queued.memory());
        queued + self.transfer.as_deref().map_or(0, Transfer::memory)
    }

    /// Whether the buffers have grown far beyond what is in them.
    pub(crate) fn has_slack(&self) -> bool {
        self.transfer.as_deref().is_some_and(Transfer::has_slack)
    }

    /// Gives back the memory that a burst took.
    pub(crate) fn shrink_buffers(&mut self) {
        if let Some(transfer) = self.transfer.as_deref_mut() {
            transfer.shrink();
        }
    }

    fn unread(&self) -> usize {
        self.transfer
            .as_ref()
            .map_or(0, |transfer| transfer.receive.readable())
    }

    fn unacknowledged(&self) -> usize {
        self.transfer
            .as_ref()
            .map_or(0, |transfer| transfer.send.len())
    }
}
