//! TIME-WAIT: what restarts it, what it answers, and the SYN that reopens it (MAY-2, RFC 6191).

use super::context::{Context, Wake};
use super::pace::Pace;
use super::rto::Estimator;
use super::segment_arrives::{Check, Stop};
use super::{Pending, Tcb};
use crate::config::{SynText, TimeWaitAck, TimeWaitRefused, TimeWaitReopen, TimeWaitRestart};
use crate::error::CloseReason;
use crate::event::{Discard, Record, Timer, TimerAction, What};
use crate::id::ConnId;
use crate::label::Cause;
use crate::state::{State, Trigger};
use crate::time::Instant;
use crate::wire::{Flags, Segment};

impl Tcb {
    /// A new SYN meets TIME-WAIT (MAY-2, RFC 6191): with timestamps that are newer, or a sequence
    /// number that is, it may open a new incarnation whose ISS lies beyond what this one used.
    pub(super) fn check_syn_into_time_wait(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
    ) -> Check {
        let header = &segment.header;
        let alone = header.flags.contains(Flags::SYN)
            && !header.flags.contains(Flags::ACK)
            && !header.flags.contains(Flags::RST);
        // A listener that drops SYN,FIN has lost Linux the TIME-WAIT by then. Ours stays.
        let dropped = self.config.syn_text == SynText::Drop && header.flags.contains(Flags::FIN);
        let acknowledges = self.config.time_wait_refused == TimeWaitRefused::Acknowledge;
        let reopens = cx.listener && !dropped;
        if self.state != State::TimeWait || !alone || !(reopens || acknowledges) {
            return Ok(());
        }
        let by_rfc = self.config.time_wait_reopen == TimeWaitReopen::Rfc6191;
        let later = header.seq.gt(self.rcv.nxt) || (by_rfc && header.seq == self.rcv.nxt);
        let newer = match (self.stamps.on, header.options.timestamps) {
            //= 6191-1
            (true, Some(stamps)) if stamps.value != self.stamps.recent => {
                //= 6191-1, 7323-18
                self.stamps.is_newer(stamps.value)
            }
            //= 6191-4
            (false, Some(_)) if by_rfc => true,
            //= 6191-2, 6191-3, 6191-5
            _ => later,
        };
        //= 6191-6
        if !newer {
            if acknowledges {
                self.answer(cx.now, segment);
            }
            return Err(Stop::Discard(Discard::SynCheck));
        }
        if !reopens {
            // However often, where nobody listens (`tcp_v4_rcv`).
            if !cx.listener {
                self.acknowledge(Cause::Ack);
            }
            return Err(Stop::Discard(Discard::SynCheck));
        }
        //= SHLD-4, MAY-2
        Err(Stop::Reopen(self.snd.nxt + 65_537))
    }

    /// The peer's FIN again in TIME-WAIT: 2 MSL restart (3.10.7.4, eighth step; the sequence
    /// check would hide it there).
    pub(super) fn restart_time_wait(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) {
        let fin = segment.header.seq + segment.len();
        let repeated = segment.header.flags.contains(Flags::FIN) && fin == self.rcv.nxt;
        if self.state == State::TimeWait
            && repeated
            && self.config.time_wait_restart == TimeWaitRestart::OnFin
        {
            self.timers
                .start(cx, Timer::TimeWait, self.config.msl.saturating_mul(2));
        }
    }

    /// TIME-WAIT takes nothing but the FIN again. A bare ACK gets no answer: two TIME-WAITs would
    /// answer each other forever.
    pub(super) fn check_ack_in_time_wait(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
    ) -> Check {
        self.restart_time_wait(cx, segment);
        //= 1337-1
        if !segment.is_empty() {
            self.acknowledge(Cause::Ack);
        }
        Err(Stop::Discard(Discard::State))
    }

    /// Without an application a connection in TIME-WAIT keeps what its answers need and forgets the
    /// rest (Linux `tcp_time_wait`): its times are when it began, as its timer tells.
    pub(super) fn forget(&mut self, now: Instant) {
        if self.state != State::TimeWait || !self.orphaned {
            return;
        }
        let begin = self.timers.at(Timer::TimeWait) - self.config.msl.saturating_mul(2);
        self.opened = begin;
        self.rcv.last_heard = begin;
        self.stamps.forget(now, begin);
        let unchecked = self.config.time_wait_ack == TimeWaitAck::Ignore;
        self.snd
            .forget(begin, self.rcv.nxt, self.passive, unchecked);
        self.estimator = Estimator::new(&self.config.rto, self.config.timer_granularity);
        self.pace = Pace::new(&self.config, begin);
        self.timers.forget();
    }

    /// What remains of this TIME-WAIT if the SYN that ends it is an old duplicate: no application
    /// waits for it any more.
    pub(crate) fn time_wait_remains(&self) -> Tcb {
        let mut remains = self.clone();
        remains.orphaned = true;
        remains.transfer = None;
        remains.pending = Pending::default();
        remains.wake = Wake::default();
        remains
    }

    /// It goes on: no edge of the state diagram, as the connection in SYN-RECEIVED went back to
    /// LISTEN.
    pub(crate) fn note_return(&self, record: &mut Record, now: Instant, id: ConnId) {
        let until = self.timers.at(Timer::TimeWait);
        record.note(
            now,
            Some(id),
            What::Opened {
                local: self.tuple.local,
                remote: self.tuple.remote,
                passive: self.passive,
            },
        );
        record.note(
            now,
            Some(id),
            What::State {
                from: State::Closed,
                to: State::TimeWait,
                on: Trigger::Syn,
            },
        );
        record.note(
            now,
            Some(id),
            What::Timer {
                timer: Timer::TimeWait,
                action: TimerAction::Started { until },
            },
        );
    }

    /// TIME-WAIT ends: its four-tuple has a new connection (MAY-2).
    pub(crate) fn on_replaced(&mut self, cx: &mut Context<'_>) {
        if self.state == State::TimeWait {
            self.ended = Some(CloseReason::Clean);
            self.change_state(cx, Trigger::Syn, State::Closed);
            self.end(cx, CloseReason::Clean);
        }
    }
}
