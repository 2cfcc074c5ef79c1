//! Timeouts: RFC 9293 section 3.10.8, and the timers of its companions.

use super::Tcb;
use super::context::Context;
use crate::config::{GiveUp, KeepAlive, OrphanProbes, Rto, UserTimeoutFrom};
use crate::error::{CloseReason, TransmitError};
use crate::event::{Timer, What};
use crate::label::Cause;
use crate::state::{State, Trigger};
use crate::time::{Duration, Instant};

impl Tcb {
    /// Fires every timer that is due.
    pub(crate) fn on_timeout(&mut self, cx: &mut Context<'_>) {
        for timer in Timer::ALL {
            if !self.timers.fire(cx, timer) {
                continue;
            }
            match timer {
                // One timer in Linux: a probe comes before the timeout that may be due with it.
                Timer::Retransmission if self.timers.is_running(Timer::TailLoss) => {
                    self.timers.stop(cx, Timer::TailLoss);
                    self.on_tail_loss_timeout(cx);
                }
                Timer::Retransmission => self.on_retransmission_timeout(cx),
                Timer::Persist => self.on_persist_timeout(cx),
                Timer::DelayedAck => self.on_delayed_ack_timeout(),
                Timer::KeepAlive => self.on_keepalive_timeout(cx),
                Timer::TimeWait => self.change_state(cx, Trigger::TimeWaitTimeout, State::Closed),
                Timer::FinWait2 => self.fail(cx, Trigger::Timeout, CloseReason::FinWait2Timeout),
                Timer::User => self.fail(cx, Trigger::Timeout, CloseReason::UserTimeout),
                //= MUST-60, MUST-38
                Timer::Override => self.pending.small = true,
                Timer::Reordering => self.on_reordering_timeout(cx),
                Timer::TailLoss => self.on_tail_loss_timeout(cx),
            }
        }
        self.arm(cx);
    }

    /// RFC 6298 section 5, with R1 and R2 (MUST-20, MUST-22).
    pub(super) fn on_retransmission_timeout(&mut self, cx: &mut Context<'_>) {
        let syn = self.snd.is_syn_outstanding();
        let limit = if syn && self.state == State::SynReceived {
            self.config.synack_retries
        } else if syn {
            //= MUST-22, MUST-23
            self.config.syn_retries
        } else {
            self.data_retries()
        };
        //= MUST-20, MUST-22
        if let Some(reason) = self.reason_to_give_up(cx.now, limit) {
            return self.fail(cx, Trigger::Timeout, reason);
        }
        let again = self.snd.retransmissions > 0;
        self.snd.retransmissions += 1;
        self.count_user_timeout(cx);
        self.snd.timed = None;
        //= SHLD-9, SHLD-10
        if self.snd.retransmissions == self.config.r1 {
            cx.note(What::R1 {
                retransmissions: self.config.r1,
            });
        }
        if !(syn
            && self.state == State::SynSent
            && self.snd.retransmissions <= self.config.syn_linear)
        {
            //= MUST-18, MUST-19, 6298-12
            self.estimator.back_off(&self.config.rto);
        }
        if syn {
            self.pending.syn = Some(Cause::Retransmission(self.snd.retransmissions));
            return;
        }
        self.doubt_everything(cx.now, again);
        if self.is_selective() {
            self.pending.retransmission = true;
        } else {
            //= 6298-12
            self.snd.cursor = Some(self.snd.una);
        }
        self.collapse_window(again);
    }

    /// Starts it for one RTO, or for what is left of the user timeout where that comes first.
    pub(super) fn start_retransmission_timer(&mut self, cx: &mut Context<'_>) {
        let rto = self.estimator.rto();
        let left = self.user_timeout_left(cx.now).unwrap_or(rto);
        self.timers.start(cx, Timer::Retransmission, rto.min(left));
    }

    /// What is left of the user timeout where it counts from the first retransmission or probe: it
    /// is no timer of its own there. A SYN,ACK has none.
    fn user_timeout_left(&self, now: Instant) -> Option<Duration> {
        let none = self.config.user_timeout_from == UserTimeoutFrom::Transmission
            || (self.snd.retransmissions == 0 && self.snd.probes == 0)
            || (self.passive && self.snd.is_syn_outstanding());
        let timeout = self.config.user_timeout.filter(|_| !none)?;
        Some(timeout.saturating_sub(now.since(self.snd.stalled_since?)))
    }

    /// Why no more is sent again: the user timeout, or R2 (`limit`).
    fn reason_to_give_up(&self, now: Instant, limit: u32) -> Option<CloseReason> {
        let syn = self.snd.is_syn_outstanding();
        let left = self.user_timeout_left(now);
        if left.is_some_and(|left| left.is_zero()) {
            return Some(CloseReason::UserTimeout);
        }
        let enough = if self.is_shrunk_to_zero() && !self.orphaned {
            //= SHLD-17
            now.since(self.rcv.last_heard) > self.config.rto.max.saturating_mul(2)
        } else if syn || self.config.give_up == GiveUp::Count {
            self.snd.retransmissions >= limit
        } else {
            let since = self.snd.stalled_since.filter(|_| left.is_none());
            since.is_some_and(|since| now.since(since) >= self.time_of(limit))
        };
        let reason = match (syn, self.passive) {
            (true, true) if self.is_request() => CloseReason::Dropped,
            (true, false) => CloseReason::ConnectTimeout,
            (false, _) | (true, true) => CloseReason::RetransmissionTimeout,
        };
        enough.then_some(reason)
    }

    /// How long so many retransmissions take that begin at the least timeout (Linux's
    /// `tcp_model_timeout`).
    fn time_of(&self, retransmissions: u32) -> Duration {
        let Rto {
            min, max, backoff, ..
        } = self.config.rto;
        let doubled = retransmissions.min(31);
        (0..=doubled)
            .map(|nth| min.saturating_mul(backoff.saturating_pow(nth)).min(max))
            .fold(
                max.saturating_mul(retransmissions - doubled),
                Duration::saturating_add,
            )
    }

    /// R2 for text and FIN.
    fn data_retries(&self) -> u32 {
        if self.orphaned {
            self.config.orphan_retries
        } else {
            //= SHLD-11
            self.config.r2
        }
    }

    /// A zero-window probe is due (MUST-36). Probing goes on forever while it is answered
    /// (MUST-37).
    fn on_persist_timeout(&mut self, cx: &mut Context<'_>) {
        if self.snd.wnd > 0 {
            return;
        }
        if self
            .user_timeout_left(cx.now)
            .is_some_and(|left| left.is_zero())
        {
            return self.fail(cx, Trigger::Timeout, CloseReason::UserTimeout);
        }
        let tired = self.orphaned
            && self.config.orphan_probes == OrphanProbes::ToMaximum
            && self.backed_off() >= self.config.rto.max
            && self.snd.probes >= self.config.orphan_retries;
        if self.snd.retransmissions >= self.data_retries() || tired {
            return self.fail(cx, Trigger::Timeout, CloseReason::RetransmissionTimeout);
        }
        self.snd.retransmissions += 1;
        self.snd.probes += 1;
        //= MUST-35, MUST-36
        self.pending.ack = Some(Cause::Probe);
        self.count_user_timeout(cx);
    }

    /// The interval to the next probe: one RTO, then doubled whether they are answered or not
    /// (SHLD-29, SHLD-30).
    pub(super) fn persist_interval(&self, now: Instant) -> Option<Duration> {
        let persist = self.config.persist?;
        //= SHLD-29
        let interval = self
            .backed_off()
            .clamp(persist.min, persist.max.max(persist.min));
        let left = self.user_timeout_left(now).unwrap_or(interval);
        Some(interval.min(left))
    }

    /// The RTO, doubled with each probe.
    fn backed_off(&self) -> Duration {
        let backoff = self
            .config
            .rto
            .backoff
            //= SHLD-30
            .saturating_pow(self.snd.probes.min(16));
        self.estimator.rto().saturating_mul(backoff)
    }

    /// The interval to the next zero-window probe begins.
    pub(super) fn restart_persist(&mut self, cx: &mut Context<'_>) {
        if let Some(interval) = self.persist_interval(cx.now) {
            self.timers.start(cx, Timer::Persist, interval);
        }
    }

    /// So long a window that is too small to use holds text back.
    pub(super) fn start_override(&mut self, cx: &mut Context<'_>) {
        let rto = self.estimator.rto();
        let wait = self.config.sws_override.unwrap_or(rto);
        //= MUST-38
        self.timers.start(cx, Timer::Override, wait);
    }

    /// Keepalive (RFC 9293 section 3.8.4): only while nothing is outstanding (MUST-26).
    fn on_keepalive_timeout(&mut self, cx: &mut Context<'_>) {
        //= MUST-24
        let Some(keepalive) = self.config.keepalive else {
            return;
        };
        let due = self.rcv.keepalive_due(&keepalive);
        //= MUST-26
        let busy = self.snd.una != self.snd.nxt || self.unacknowledged() > 0;
        //= MUST-26
        if self.rcv.keepalive_probes == 0 && due > cx.now {
            return self.timers.start(cx, Timer::KeepAlive, due.since(cx.now));
        }
        if busy {
            // An idle time of zero would come due again at the same instant, without end.
            let wait = keepalive.idle.max(Duration::from_millis(1));
            return self.timers.start(cx, Timer::KeepAlive, wait);
        }
        //= MUST-29
        if self.is_peer_gone(cx.now, &keepalive) {
            return self.reset(cx, CloseReason::KeepAliveTimeout);
        }
        self.rcv.keepalive_probes += 1;
        //= MAY-5
        self.pending.ack = Some(Cause::KeepAlive);
        self.timers.start(cx, Timer::KeepAlive, keepalive.interval);
    }

    /// Enough probes went unanswered; where the user timeout counts for them, too, enough time.
    fn is_peer_gone(&self, now: Instant, keepalive: &KeepAlive) -> bool {
        match self.config.user_timeout {
            Some(timeout) if self.config.give_up == GiveUp::Time => {
                self.rcv.keepalive_probes > 0 && now.since(self.rcv.last_heard) >= timeout
            }
            _ => self.rcv.keepalive_probes >= keepalive.probes.max(2),
        }
    }

    /// A packet of ours could not be sent: a smaller path, or loss.
    pub(crate) fn on_transmit_failed(&mut self, cx: &mut Context<'_>, error: TransmitError) {
        if let TransmitError::TooBig(mtu) = error {
            self.on_path_shrunk(u16::try_from(mtu).unwrap_or(u16::MAX));
        }
        self.arm(cx);
    }

    /// Starts the timers that the present situation asks for: exactly one of retransmission and
    /// persist, and the override.
    pub(super) fn arm(&mut self, cx: &mut Context<'_>) {
        if self.is_over() || self.state == State::TimeWait {
            return;
        }
        let waiting =
            self.unacknowledged() > 0 || (self.snd.is_fin_unsent()) || self.snd.una != self.snd.nxt;
        //= MUST-36
        let stuck = waiting
            && self.snd.wnd == 0
            && !self.is_shrunk_to_zero()
            && !self.snd.is_syn_outstanding()
            && !self.is_output_held()
            && self.may_send_text();
        //= SHLD-17
        if stuck {
            //= 8985-5
            for timer in [Timer::Retransmission, Timer::TailLoss, Timer::Reordering] {
                self.timers.stop(cx, timer);
            }
            if let (Some(interval), false) = (
                self.persist_interval(cx.now),
                self.timers.is_running(Timer::Persist),
            ) {
                self.timers.start(cx, Timer::Persist, interval);
                // The timeout is for all that was submitted (3.9.1.1); what waits for a window is.
                // Linux counts it, too.
                self.count_user_timeout(cx);
            }
            return;
        }
        if self.timers.is_running(Timer::Persist) {
            self.timers.stop(cx, Timer::Persist);
            if self.snd.una == self.snd.nxt {
                self.stop_user_timeout(cx);
            }
            self.snd.retransmissions = 0;
            self.snd.probes = 0;
        }
        if self.snd.una == self.snd.nxt
            && !self.timers.is_running(Timer::Override)
            && self.is_waiting_for_window()
        {
            self.start_override(cx);
        }
        if self.snd.una != self.snd.nxt && !self.timers.is_running(Timer::Retransmission) {
            self.start_retransmission_timer(cx);
        }
    }
}
