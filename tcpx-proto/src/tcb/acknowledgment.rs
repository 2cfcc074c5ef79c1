//! SEGMENT ARRIVES, fifth check (RFC 9293 section 3.10.7.4): the ACK field.

use super::Tcb;
use super::context::Context;
use super::history::AckSummary;
use super::segment_arrives::{Check, Stop};
use crate::config::{OldAckTimestamp, ProbeInterval, ResetChecks, Samples};
use crate::event::{Discard, Timer};
use crate::label::Cause;
use crate::seq::Seq;
use crate::state::{State, Trigger};
use crate::time::{Duration, Instant};
use crate::wire::{Flags, Segment};

impl Tcb {
    /// Fifth: the ACK field.
    pub(super) fn check_ack(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let header = &segment.header;
        if !header.flags.contains(Flags::ACK) {
            return Err(Stop::Discard(Discard::NoAck));
        }
        self.count_syn_text(header.ack);
        if self.state == State::SynReceived {
            self.check_ack_of_syn(cx, segment)?;
        }
        //= 5961-7, MAY-12
        if header.ack.gt(self.snd.nxt) || self.is_too_old(header.ack) {
            self.challenge(cx.now);
            return Err(Stop::Discard(Discard::AckCheck));
        }
        let old = header.ack.lt(self.snd.una);
        if !old || self.config.old_ack_timestamp == OldAckTimestamp::Take {
            self.take_timestamp(cx.now, segment);
        }
        if self.state == State::TimeWait {
            return self.check_ack_in_time_wait(cx, segment);
        }
        if self.snd.is_syn_outstanding() && header.ack.gt(self.snd.iss) {
            self.on_syn_acked(cx, segment);
            self.snd.retransmissions = 0;
        }
        self.on_ack(cx, segment);
        self.update_window(cx, segment);
        self.on_fin_acked(cx)
    }

    /// What an acceptable ACK acknowledges, by its number or by SACK.
    fn on_ack(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) {
        let header = &segment.header;
        let una = self.snd.una;
        let selective = self.is_selective();
        let summary = match self.transfer.as_deref_mut() {
            Some(transfer) if selective => {
                let recover = transfer.congestion.recovery_point();
                transfer
                    .history
                    .on_ack(cx.now, header, &self.snd, &self.stamps, recover)
            }
            _ => AckSummary {
                original: self.snd.cursor.is_some_and(|cursor| header.ack.gt(cursor)),
                ..AckSummary::default()
            },
        };
        let acked = if header.ack.gt(una) {
            self.on_new_ack(cx, segment, &summary)
        } else {
            0
        };
        self.on_echo(segment, acked);
        if selective {
            self.on_selective_ack(cx, segment, &summary, acked);
        } else if acked > 0
            || self
                .snd
                .is_duplicate_ack(header, segment.is_empty(), self.config.window_update)
        {
            self.on_plain_ack(cx, segment, &summary, acked);
        }
    }

    /// RFC 5961 section 5: an ACK older than the largest window ever offered, or than our first
    /// byte, is a blind guess.
    fn is_too_old(&self, ack: Seq) -> bool {
        self.config.reset_checks == ResetChecks::Rfc5961 && ack.lt(self.snd.oldest_ack())
    }

    /// SYN-RECEIVED: to ESTABLISHED, or a RST where the ACK is wrong (3.5.2 group 2).
    fn check_ack_of_syn(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let ack = segment.header.ack;
        if ack.le(self.snd.una) || ack.gt(self.snd.nxt) {
            self.reply_reset_to(cx, segment);
            return Err(Stop::Discard(Discard::AckCheck));
        }
        if self.passive && cx.accept_full {
            return Err(Stop::Discard(Discard::Backlog));
        }
        self.on_syn_acked(cx, segment);
        if self.passive {
            // What was answered before is another's in Linux, too: the request's.
            self.rcv.last_challenge = None;
        }
        self.snd.take_window(&segment.header);
        self.change_state(cx, Trigger::AckOfSyn, State::Established);
        self.begin_close(cx);
        Ok(())
    }

    /// SND.UNA leaves ISS: the first sample, and no more retransmission of the SYN.
    pub(super) fn on_syn_acked(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) {
        self.take_sample(cx.now, segment, &AckSummary::default());
        //= 5681-4
        self.snd.una = self.snd.iss + 1;
        // Linux counts the SYN of an active opener among what was acknowledged.
        self.snd.acked = u32::from(!self.passive);
        self.snd.syn_acked = true;
        self.snd.wl2 = self.snd.una;
        self.pending.syn = None;
        self.timers.stop(cx, Timer::Retransmission);
        self.stop_user_timeout(cx);
    }

    /// SND.UNA advances. Returns by how many bytes; a FIN counts.
    fn on_new_ack(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
        summary: &AckSummary,
    ) -> u32 {
        let ack = segment.header.ack;
        //= 7323-11
        self.take_sample(cx.now, segment, summary);
        let fin_now = self.snd.fin.is_some_and(|fin| ack.gt(fin)) && !self.snd.is_fin_acked();
        let acked = ack.since(self.snd.una);
        self.snd.advance(ack);
        let flight = self.snd.flight();
        let text = acked - u32::from(fin_now);
        if let Some(transfer) = &mut self.transfer {
            let before = transfer.send.room();
            //= 2018-7
            transfer.send.release(text as usize);
            transfer.counts.bytes_acked += u64::from(text);
            self.wake.writable |= text > 0 || before == 0;
            // What a duplicate before it in the batch asked for is settled.
            self.pending.retransmission = false;
        }
        self.timers.stop(cx, Timer::Override);
        //= 6298-11
        if flight == 0 {
            self.timers.stop(cx, Timer::Retransmission);
            self.stop_user_timeout(cx);
        } else {
            //= 6298-10, 6298-11
            self.start_retransmission_timer(cx);
            self.stop_user_timeout(cx);
            self.count_user_timeout(cx);
        }
        acked
    }

    /// Takes a round-trip time from an ACK that acknowledges something new, if it gives one.
    /// Without one the backed-off timeout stays (Karn).
    fn take_sample(&mut self, now: Instant, segment: &Segment<'_>, summary: &AckSummary) {
        let ack = segment.header.ack;
        if let Some(rtt) = self.round_trip(now, segment, summary) {
            self.estimator
                .sample(&self.config.rto, rtt, ack, self.snd.nxt);
        }
        self.snd.timed = self.snd.timed.filter(|(timed, _)| ack.le(*timed));
    }

    /// The round-trip time that an ACK gives (RFC 6298 section 3, RFC 7323 section 4.1): from the
    /// scoreboard, from the echoed timestamp, or from the one segment that is timed.
    fn round_trip(
        &self,
        now: Instant,
        segment: &Segment<'_>,
        summary: &AckSummary,
    ) -> Option<Duration> {
        let unambiguous = self.config.rto.samples != Samples::All;
        if let (true, Some(rtt)) = (unambiguous, summary.rtt) {
            return Some(rtt);
        }
        let crossed = self.config.rto.samples == Samples::CrossedSyn && !self.snd.syn_acked;
        let echo = self.stamps.echo(&segment.header);
        if let (Some(echo), false) = (echo, crossed && self.snd.timed.is_some()) {
            let age = self.stamps.value(now).wrapping_sub(echo);
            return (age < 1 << 31).then(|| Duration::from_millis(u64::from(age)));
        }
        // With SACK the scoreboard knows better: the segment may have been held for long, and wait
        // for others.
        if unambiguous && self.snd.syn_acked && self.is_selective() {
            return None;
        }
        let (timed, at) = self.snd.timed?;
        segment.header.ack.gt(timed).then(|| now.since(at))
    }

    /// SND.WND, from a segment that is not older than the one it was last taken from, and the timer
    /// of zero-window probes, from any acceptable ACK that is not old.
    fn update_window(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) {
        let fresh = self
            .snd
            .is_window_fresh(&segment.header, self.config.window_update);
        if fresh {
            self.take_window(segment);
        }
        if segment.header.ack.lt(self.snd.una) {
            return;
        }
        let from_answer = self.config.probe_interval == ProbeInterval::FromAnswer;
        if self.timers.is_running(Timer::Persist) {
            // MUST-37: an answered probe is no reason to give up.
            //= MUST-37
            self.snd.retransmissions = 0;
            if from_answer && self.snd.wnd == 0 {
                self.restart_persist(cx);
            }
        }
        if from_answer && self.timers.is_running(Timer::Override) {
            self.start_override(cx);
        }
    }

    fn take_window(&mut self, segment: &Segment<'_>) {
        let before = self.snd.wnd;
        self.snd.take_window(&segment.header);
        if before == 0 && self.snd.wnd > 0 {
            self.snd.cause = Cause::Released;
            // What a probe carried went unheard. Without a probe it is not yet a timeout old: RFC
            // 6298 section 5.
            if self.snd.una.lt(self.snd.nxt) && self.snd.probes > 0 {
                self.resend(0);
            }
        }
    }

    /// What an ACK of our FIN means in the states that wait for it. FIN-WAIT-1 waits for the eighth
    /// step: the same segment may bring a FIN.
    fn on_fin_acked(&mut self, cx: &mut Context<'_>) -> Check {
        match self.state {
            State::Closing if self.snd.is_fin_acked() => {
                self.change_state(cx, Trigger::AckOfFin, State::TimeWait);
                Err(Stop::Done)
            }
            State::LastAck if self.snd.is_fin_acked() => {
                self.pending.ack = None;
                self.change_state(cx, Trigger::AckOfFin, State::Closed);
                Err(Stop::Done)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn leave_fin_wait_1(&mut self, cx: &mut Context<'_>) {
        if self.state == State::FinWait1 && self.snd.is_fin_acked() {
            self.change_state(cx, Trigger::AckOfFin, State::FinWait2);
        }
    }
}
