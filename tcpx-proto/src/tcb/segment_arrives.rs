//! SEGMENT ARRIVES: RFC 9293 section 3.10.7.3 and .4, one function per numbered check, in the RFC's
//! order. The fifth check is in [`acknowledgment`](super::acknowledgment), the sixth in
//! [`urgent`](super::urgent), the seventh and eighth are in [`text`](super::text).

use super::Tcb;
use super::context::{Context, Outcome};
use crate::config::{
    BeyondWindow, MissingTimestamp, OldTimestamp, RepeatedSyn, RequestAck, RequestSyn, ResetChecks,
    ResetPlace, SequenceCheck, SynAcknowledged, SynSentAck, SynText, TimeWaitAck,
    TimeWaitChallenge, TimeWaitOldRst, TimeWaitRst, Unacknowledging, WindowEdges,
};
use crate::error::CloseReason;
use crate::event::{Discard, Timer, What};
use crate::label::Cause;
use crate::seq::Seq;
use crate::state::{State, Trigger};
use crate::time::Instant;
use crate::wire::{Flags, Segment};

/// Why the checks end before the last one.
pub(super) enum Stop {
    /// The segment is dropped; whatever had to be sent was noted.
    Discard(Discard),
    /// It did all that it could.
    Done,
    /// It is for the listener.
    Reopen(Seq),
}

pub(super) type Check = Result<(), Stop>;

impl Tcb {
    pub(crate) fn segment_arrives(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
    ) -> Outcome {
        if self.take_predicted(cx, segment) {
            return Outcome::Handled;
        }
        // None comes to a connection that is over: the stack has forgotten its four-tuple.
        let checks = if self.state == State::SynSent {
            self.check_in_syn_sent(cx, segment)
        } else {
            self.check_synchronized(cx, segment)
        };
        let outcome = match checks {
            Ok(()) | Err(Stop::Done) => Outcome::Handled,
            Err(Stop::Discard(reason)) => {
                cx.note(What::Discarded(reason));
                Outcome::Handled
            }
            Err(Stop::Reopen(iss)) => Outcome::Reopen(iss),
        };
        if let Some(transfer) = &mut self.transfer {
            transfer.counts.heard(cx.now, !segment.payload.is_empty());
        }
        self.arm(cx);
        outcome
    }

    /// 3.10.7.3: SYN-SENT.
    fn check_in_syn_sent(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let header = &segment.header;
        let flags = header.flags;
        let acks_syn = self.acks_syn(header);
        if flags.contains(Flags::ACK) && !acks_syn {
            if !flags.contains(Flags::RST) {
                self.reply_reset_to(cx, segment);
            }
            if self.config.syn_sent_ack == SynSentAck::ResetAndRetry
                && self.snd.retransmissions == 0
            {
                self.timers.stop(cx, Timer::Retransmission);
                self.on_retransmission_timeout(cx);
            }
            return Err(Stop::Discard(Discard::AckCheck));
        }
        if flags.contains(Flags::ACK) && !self.echoes_our_syn(segment, cx.now) {
            if !flags.contains(Flags::RST) {
                self.reply_reset_to(cx, segment);
            }
            return Err(Stop::Discard(Discard::EchoCheck));
        }
        if flags.contains(Flags::RST) {
            // RFC 5961 3.2: only a RST that acknowledges our SYN counts.
            //= 5961-4
            if !acks_syn {
                return Err(Stop::Discard(Discard::RstCheck));
            }
            self.fail(cx, Trigger::Rst, CloseReason::Refused);
            return Err(Stop::Done);
        }
        if !flags.contains(Flags::SYN) {
            return Err(Stop::Discard(Discard::State));
        }
        self.take_syn(cx.now, segment);
        if !acks_syn {
            // Simultaneous open: retransmit our SYN, now with the ACK of theirs (Figure 7).
            self.queue_syn(cx, segment);
            self.pending.syn = Some(Cause::Ack);
            //= MUST-10
            self.change_state(cx, Trigger::Syn, State::SynReceived);
            return Err(Stop::Done);
        }
        self.count_syn_text(header.ack);
        self.on_syn_acked(cx, segment);
        self.on_answer_to_offer(segment);
        if self.config.syn_acknowledged == SynAcknowledged::ByAck {
            self.pending.ack = Some(Cause::Ack);
        }
        self.change_state(cx, Trigger::SynAck, State::Established);
        self.on_syn_text_acked(header.ack);
        self.begin_close(cx);
        self.take_text_of_syn_ack(cx, segment)
    }

    /// 3.10.7.4: every other state.
    fn check_synchronized(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        self.check_control(segment)?;
        self.check_syn_into_time_wait(cx, segment)?;
        self.check_orphan(cx, segment)?;
        self.check_request(cx, segment)?;
        self.check_timestamps(cx, segment)?;
        self.check_sequence(cx, segment)
            .or_else(|stop| self.without_sequence_check(stop))?;
        self.check_rst(cx, segment)?;
        self.check_syn(cx, segment)?;
        self.rcv.last_heard = cx.now;
        self.rcv.keepalive_probes = 0;
        if self.state == State::TimeWait && self.config.time_wait_ack == TimeWaitAck::Ignore {
            if segment.is_empty() && segment.header.seq == self.rcv.nxt {
                self.take_timestamp(cx.now, segment);
            } else {
                self.restart_time_wait(cx, segment);
                self.answer(cx.now, segment);
            }
            return Err(Stop::Discard(Discard::State));
        }
        self.check_ack(cx, segment)?;
        self.take_queued(cx, segment)?;
        self.check_orphaned(cx, segment)?;
        if self.ecn.on_segment(segment) {
            self.acknowledge(Cause::Ack);
        }
        let moved = self.moved_into_window(segment);
        let segment = moved.as_ref().unwrap_or(segment);
        self.check_urg(cx, segment);
        let text = self.check_text(cx, segment);
        if text.is_ok() {
            self.check_fin(cx)?;
        }
        self.leave_fin_wait_1(cx);
        text
    }

    /// Before the first check, if the policy is so: is there anything that a segment of a
    /// connection has?
    fn check_control(&self, segment: &Segment<'_>) -> Check {
        let flags = segment.header.flags;
        let bare = !(flags.contains(Flags::ACK)
            || flags.contains(Flags::RST)
            || flags.contains(Flags::SYN));
        let dropped =
            self.config.unacknowledging == Unacknowledging::Drop && bare && !self.is_mini();
        if dropped {
            Err(Stop::Discard(Discard::NoAck))
        } else {
            Ok(())
        }
    }

    /// In a state that Linux keeps less of than a connection, and checks by rules of its own.
    pub(super) fn is_mini(&self) -> bool {
        self.state == State::TimeWait || self.is_request() || self.is_mini_orphan()
    }

    /// Where else than at RCV.NXT a RST resets, if the policy has such places: its sender is there.
    fn is_where_peer_is(&self, seq: Seq) -> bool {
        self.is_before_fin(seq)
            || (self.config.reset_place == ResetPlace::WherePeerIs && self.held_end() == Some(seq))
    }

    /// After the peer's FIN its RST may not count that FIN.
    fn is_before_fin(&self, seq: Seq) -> bool {
        let waits = matches!(
            self.state,
            State::CloseWait | State::Closing | State::LastAck
        );
        waits
            && seq == self.rcv.nxt.back(1)
            && self.rcv.fin_reached
            && self.config.reset_place == ResetPlace::WherePeerIs
    }

    /// What the first check refused goes on where there is no such check.
    fn without_sequence_check(&self, stop: Stop) -> Check {
        match (stop, self.config.sequence_check) {
            (Stop::Discard(Discard::OutOfWindow), SequenceCheck::None) => Ok(()),
            (stop, _) => Err(stop),
        }
    }

    /// PAWS (RFC 7323 section 5.3 R1), before the sequence check.
    fn check_timestamps(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        if !self.stamps.on {
            return Ok(());
        }
        let flags = segment.header.flags;
        let Some(stamps) = segment.header.options.timestamps else {
            let accepted = self.config.missing_timestamp == MissingTimestamp::Accept;
            //= 7323-8
            return if accepted || flags.contains(Flags::RST) {
                Ok(())
            } else {
                Err(Stop::Discard(Discard::TimestampMissing))
            };
        };
        //= 7323-14
        let exempt = flags.contains(Flags::RST)
            && (!self.is_mini() || self.config.time_wait_old_rst == TimeWaitOldRst::Accept);
        let old = match self.config.old_timestamp {
            OldTimestamp::Linux if !self.is_mini() => {
                self.is_old_for_linux(cx.now, segment, stamps.value)
            }
            _ => self.stamps.is_old(cx.now, stamps.value),
        };
        //= 7323-13
        if old && self.config.paws && !exempt {
            let silent = self.config.old_timestamp == OldTimestamp::Linux
                && !self.is_mini()
                && is_bare_ack(segment)
                && segment.header.seq.lt(self.rcv.nxt);
            if flags.contains(Flags::SYN) && !self.is_mini() {
                self.challenge(cx.now);
            } else if !flags.contains(Flags::RST) && !silent {
                self.answer(cx.now, segment);
            }
            return Err(Stop::Discard(Discard::Paws));
        }
        let again = flags.contains(Flags::SYN)
            && !flags.intersects(Flags::ACK | Flags::RST)
            && segment.header.seq == self.rcv.irs;
        let request = self.is_request() && !again;
        if request && !self.echoes_our_syn(segment, self.snd.last_sent) {
            if !flags.contains(Flags::RST) {
                self.answer(cx.now, segment);
            }
            return Err(Stop::Discard(Discard::EchoCheck));
        }
        Ok(())
    }

    /// Whether a timestamp is old for [`OldTimestamp::Linux`]: by more than a tick, and not that of
    /// a bare ACK which says nothing new and is not a timeout older.
    fn is_old_for_linux(&self, now: Instant, segment: &Segment<'_>, value: u32) -> bool {
        let age = self.stamps.age(now, value);
        let header = &segment.header;
        let repeats = is_bare_ack(segment)
            && header.seq == self.rcv.nxt
            && header.ack == self.snd.una
            && !self.snd.is_window_fresh(header, self.config.window_update);
        let replay = (self.estimator.rto() * 6 / 5).as_millis();
        age > 1 && !(repeats && u128::from(age) <= replay)
    }

    /// RFC 7323 section 4.3: the stamp to echo is that of the segment that covers Last.ACK.sent;
    /// only of one that passed all checks (5.3 R2, R3), or an attacker could make every later one
    /// look old.
    pub(super) fn take_timestamp(&mut self, now: Instant, segment: &Segment<'_>) {
        let Some(stamps) = segment.header.options.timestamps else {
            return;
        };
        if self.stamps.on
            && !self.stamps.is_old(now, stamps.value)
            //= 7323-10
            && segment.header.seq.le(self.rcv.acked)
        {
            self.stamps.set_recent(now, stamps.value);
        }
    }

    /// The ACK of a passive opener in SYN-RECEIVED, where the policy checks it before anything
    /// else.
    fn check_request(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let flags = segment.header.flags;
        let request = self.is_request();
        if self.config.request_ack == RequestAck::InOrder
            || !request
            || !flags.contains(Flags::ACK)
            || flags.contains(Flags::RST)
            || segment.header.ack == self.snd.nxt
        {
            return Ok(());
        }
        self.reply_reset_to(cx, segment);
        Err(Stop::Discard(Discard::AckCheck))
    }

    /// First: is any of it in the window?
    fn check_sequence(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let header = &segment.header;
        let rst = header.flags.contains(Flags::RST);
        // Whatever text it brings, which may reach into the window.
        if self.state == State::SynReceived
            && header.flags.contains(Flags::SYN)
            && !rst
            && header.seq == self.rcv.irs
        {
            return self.on_repeated_syn(cx, segment);
        }
        if self.is_acceptable(segment) {
            return Ok(());
        }
        //= 5961-1
        if rst {
            return Err(Stop::Discard(Discard::OutOfWindow));
        }
        self.restart_time_wait(cx, segment);
        self.answer(cx.now, segment);
        Err(Stop::Discard(Discard::OutOfWindow))
    }

    /// Table 6, with the allowances of the profiles.
    pub(super) fn is_acceptable(&self, segment: &Segment<'_>) -> bool {
        let seq = segment.header.seq;
        let len = segment.len();
        let flags = segment.header.flags;
        // Appendix A.2, as Linux does: what ends at RCV.NXT still carries an ACK, and so does what
        // lies behind text that fills the window.
        let old = len > 0
            && (!flags.contains(Flags::SYN) || flags.contains(Flags::RST))
            && seq + len == self.rcv.nxt
            && !self.is_mini();
        let behind =
            len == 0 && seq == self.rcv.nxt + self.rcv.window() && self.state != State::TimeWait;
        let right = self.rcv.nxt + self.rcv.window();
        if self.config.beyond_window == BeyondWindow::Whole
            && !self.is_mini()
            && seq.le(right)
            && (seq + (len - u32::from(flags.contains(Flags::FIN)))).gt(right)
        {
            // The FIN stays in Linux's queue until it is read or the application lets go.
            let fin_unread = self.rcv.fin_reached && !self.rcv.fin_read && !self.orphaned;
            return self.unread() == 0 && !fin_unread;
        }
        let fin_at_edge = self.config.beyond_window == BeyondWindow::Whole
            && !self.is_mini()
            && seq == right
            && len == u32::from(flags.contains(Flags::FIN));
        let touches =
            fin_at_edge || self.config.window_edges == WindowEdges::Inclusive && (old || behind);
        touches
            || (flags.contains(Flags::RST) && self.is_before_fin(seq))
            || self.rcv.is_in_window(segment)
    }

    /// The peer's SYN again, or its SYN,ACK in a simultaneous open (RFC 9293 Figure 7, Appendix
    /// A.2).
    fn on_repeated_syn(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let header = &segment.header;
        let alone = segment.len() == 1 || self.config.syn_text == SynText::Queue;
        if header.flags.contains(Flags::ACK) && header.ack == self.snd.nxt && !self.passive && alone
        {
            self.acknowledge_repeated();
            self.rcv.duplicate = Some((self.rcv.irs, self.rcv.irs + 1));
            self.ecn.confirm(header.flags);
            self.check_ack(cx, segment)?;
            self.take_text_of_syn_ack(cx, segment)?;
            // The check for SYN, which would treat it as an attacker's, is for later ones.
            return Err(Stop::Done);
        }
        let again = self.config.repeated_syn == RepeatedSyn::SynAck
            && self.passive
            && !header.flags.contains(Flags::ACK);
        if !again {
            self.answer(cx.now, segment);
        } else if self
            .rcv
            .take_challenge(cx.now, self.config.challenge_interval)
        {
            self.pending.syn = Some(Cause::Ack);
            // The timer begins again with the SYN,ACK.
            self.timers.stop(cx, Timer::Retransmission);
        }
        Err(Stop::Discard(Discard::Duplicate))
    }

    /// Second: RST (RFC 5961 section 3, or RFC 793).
    fn check_rst(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        if !segment.header.flags.contains(Flags::RST) {
            return Ok(());
        }
        //= 1337-2
        if self.state == State::TimeWait && self.config.time_wait_rst == TimeWaitRst::Ignore {
            return Err(Stop::Discard(Discard::RstCheck));
        }
        let exact = segment.header.seq == self.rcv.nxt || self.is_where_peer_is(segment.header.seq);
        //= 5961-3
        if self.config.reset_checks == ResetChecks::Rfc5961 && !exact {
            if self.state != State::TimeWait
                || self.config.time_wait_challenge == TimeWaitChallenge::Send
            {
                self.challenge(cx.now);
            }
            return Err(Stop::Discard(Discard::RstCheck));
        }
        let reason = match self.state {
            //= MUST-11
            State::SynReceived if !self.passive => CloseReason::Refused,
            State::TimeWait => CloseReason::Clean,
            _ => CloseReason::Reset,
        };
        //= SHLD-2, 5961-2, 5961-6
        self.fail(cx, Trigger::Rst, reason);
        Err(Stop::Done)
    }

    /// Fourth (the third, security, is dropped as Appendix A.1 allows): SYN.
    fn check_syn(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        if !segment.header.flags.contains(Flags::SYN) {
            return Ok(());
        }
        if self.is_request() {
            if self.config.request_syn == RequestSyn::Reset {
                self.reply_reset_to(cx, segment);
            }
            self.fail(cx, Trigger::Syn, CloseReason::Dropped);
            return Err(Stop::Done);
        }
        //= 5961-5
        if self.config.reset_checks == ResetChecks::Rfc5961 {
            self.challenge(cx.now);
            return Err(Stop::Discard(Discard::SynCheck));
        }
        self.reply_reset_to(cx, segment);
        self.fail(
            cx,
            Trigger::Syn,
            if self.state == State::TimeWait {
                CloseReason::Clean
            } else {
                CloseReason::Reset
            },
        );
        Err(Stop::Done)
    }

    /// Notes that an ACK goes out at the next turn.
    pub(super) fn acknowledge(&mut self, cause: Cause) {
        //= MUST-58, MUST-59, 5681-14
        self.pending.ack.get_or_insert(cause);
    }

    /// The ACK that answers what cannot be used (3.10.7.4, first check). Text and FIN come again
    /// because an ACK was lost, so each gets one. Anything else may be an answer itself, and two
    /// ends must not answer each other forever: at most one per interval, as of challenges (RFC
    /// 5961 section 7; `tcp_oow_rate_limited`).
    pub(super) fn answer(&mut self, now: Instant, segment: &Segment<'_>) {
        let repeated = !segment.is_empty() && !segment.header.flags.contains(Flags::SYN);
        if repeated || self.rcv.take_challenge(now, self.config.challenge_interval) {
            if !self.is_mini() && self.rcv.note_duplicate(segment) {
                self.ack_repetitions_quickly();
            }
            self.acknowledge(Cause::Ack);
        }
    }

    /// A challenge ACK (RFC 5961), at most one per interval and connection (section 7,
    /// CVE-2016-5696).
    pub(super) fn challenge(&mut self, now: Instant) {
        if self.rcv.take_challenge(now, self.config.challenge_interval) {
            self.pending.ack = Some(Cause::Challenge);
        }
    }
}

/// An ACK without text, SYN or FIN.
fn is_bare_ack(segment: &Segment<'_>) -> bool {
    segment.header.flags.contains(Flags::ACK) && segment.is_empty()
}
