//! A connection at rest as a record of a few bytes: nothing buffered, nothing in flight, nothing to
//! say. The record is the whole connection in other words, so that whatever happens to it happens to
//! the connection that it stands for, by the one implementation of RFC 9293 section 3.10.

use super::coder::{Coder, Reader, Writer};
use super::context::Wake;
use super::size::offered_mss;
use super::snd::Snd;
use super::transfer::Transfer;
use super::{Pending, Tcb};
use crate::config::ConnConfig;
use crate::event::Timer;
use crate::id::FourTuple;
use crate::seq::Seq;
use crate::state::State;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// The states in which a connection comes to rest; the most frequent one first.
const STATES: &[State] = &[
    State::Established,
    State::TimeWait,
    State::SynReceived,
    State::CloseWait,
    State::FinWait2,
];

/// What [`Snd`](super::snd::Snd) is expected to be near.
pub(super) struct Near {
    pub(super) rcv_nxt: Seq,
    pub(super) shift: u8,
    pub(super) mss: u16,
    pub(super) mtu: u16,
    /// TSval when the connection was opened.
    pub(super) stamp: u32,
    /// When the peer was heard last.
    pub(super) heard: Instant,
    pub(super) passive: bool,
    /// In TIME-WAIT.
    pub(super) waits: bool,
}

impl Tcb {
    /// Nothing is buffered, in flight or to be said, as far as is quickly seen.
    pub(crate) fn is_quiet(&self) -> bool {
        let transfer = self.transfer.as_deref();
        STATES.contains(&self.state)
            && (self.snd.una == self.snd.nxt || self.state == State::SynReceived)
            && self.pending == Pending::default()
            && self.wake == Wake::default()
            && transfer
                .is_none_or(|transfer| transfer.send.len() == 0 && transfer.receive.readable() == 0)
    }

    /// Gives back the memory of buffers that are empty.
    pub(crate) fn empty_buffers(&mut self) {
        if let Some(transfer) = self.transfer.as_deref_mut() {
            transfer.give_back();
        }
    }

    /// Writes all of it but its configuration and its four-tuple, unless it is busy. `next`: when
    /// one of its timers fires, most likely; `offset`: what is added to its timestamps.
    pub(crate) fn write(&mut self, writer: &mut Writer, next: Instant, offset: u32) {
        self.code(writer, next, offset);
    }

    /// The connection that was written.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        config: Arc<ConnConfig>,
        tuple: FourTuple,
        (next, offset): (Instant, u32),
    ) -> Tcb {
        let mut tcb = Tcb::new(Instant::ZERO, config, tuple, Seq(0), 0);
        tcb.code(reader, next, offset);
        tcb
    }

    fn code<C: Coder>(&mut self, coder: &mut C, next: Instant, offset: u32) {
        let shift = super::window_shift(&self.config);
        let Tcb {
            config,
            tuple,
            opened,
            state,
            passive,
            orphaned,
            mini,
            ended,
            wake,
            snd,
            rcv,
            stamps,
            ecn,
            estimator,
            pace,
            pending,
            timers,
            transfer,
            queued,
            fast_open,
        } = self;
        coder.only(ended, None);
        coder.only(wake, Wake::default());
        coder.only(pending, Pending::default());
        coder.only(queued, None);
        coder.only(fast_open, None);
        coder.choice(state, STATES);
        coder.flag(passive, true);
        let waits = *state == State::TimeWait;
        coder.flag(orphaned, waits);
        coder.flag(mini, false);
        timers.code_due(coder, next, waits);
        let begin = if waits {
            timers.at(Timer::TimeWait) - config.msl.saturating_mul(2)
        } else {
            next
        };
        coder.number(opened, begin);
        rcv.code(coder, shift, *opened, waits);
        stamps.code(coder, offset, rcv.last_heard);
        let near = Near {
            rcv_nxt: rcv.nxt,
            shift: rcv.shift,
            mss: offered_mss(config, tuple.remote),
            mtu: config.mtu,
            stamp: stamps.value(*opened),
            heard: rcv.last_heard,
            passive: *passive,
            waits,
        };
        snd.code(coder, &near);
        let granularity = config.timer_granularity;
        coder.group(|coder| {
            estimator.code(coder, &config.rto, granularity, snd.nxt);
            pace.code(coder, *opened, waits);
            timers.code_asked(coder, granularity, snd.last_sent);
            ecn.code(coder, snd.nxt);
        });
        let mut open = transfer.is_some();
        coder.flag(&mut open, !waits && *state != State::SynReceived);
        if open {
            self.code_transfer(coder);
        }
    }

    fn code_transfer<C: Coder>(&mut self, coder: &mut C) {
        let mut fresh = self.new_transfer(false);
        fresh.room = self.new_room(self.rcv.last_heard);
        let limits = [fresh.send.limit(), fresh.receive.limit()];
        let heard = self.rcv.last_heard;
        let Snd {
            una, nxt, acked, ..
        } = self.snd;
        if C::READS {
            self.transfer = Some(Box::new(self.new_transfer(false)));
        }
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        let Transfer {
            send,
            receive,
            congestion,
            history,
            counts,
            room,
        } = transfer;
        send.code(coder, limits[0]);
        receive.code(coder, limits[1]);
        congestion.code(coder, &fresh.congestion, [una, nxt], heard);
        history.code(coder, una, heard);
        counts.code(coder, acked, heard);
        let mut has_room = room.is_some();
        coder.flag(&mut has_room, fresh.room.is_some());
        if C::READS && has_room {
            *room = fresh.room.clone();
        }
        match (room, &fresh.room) {
            (Some(room), Some(fresh)) if has_room => room.code(coder, fresh),
            (Some(_), None) => coder.refuse(),
            _ => {}
        }
    }
}
