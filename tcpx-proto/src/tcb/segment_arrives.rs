//! SEGMENT ARRIVES: RFC 9293 section 3.10.7.3 and .4, one function per numbered check, in the RFC's
//! order.

use super::congestion::Reaction;
use super::path::Path;
use super::recovery::AckSummary;
use super::{Context, Outcome, Tcb};
use crate::config::{
    HandshakeIcmp, KeepAlive, MissingTimestamp, RepeatedSyn, RequestAck, RequestSyn, ResetChecks,
    Samples, SynAcknowledged, SynSentAck, SynText, TimeWaitAck, TimeWaitChallenge, TimeWaitOldRst,
    TimeWaitRefused, TimeWaitReopen, TimeWaitRestart, TimeWaitRst, WindowEdges,
};
use crate::error::CloseReason;
use crate::event::{Discard, Timer, What};
use crate::label::Cause;
use crate::seq::Seq;
use crate::state::{State, Trigger};
use crate::time::{Duration, Instant};
use crate::wire::{Flags, Icmp, IcmpKind, Segment};

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

/// A timestamp older than this says nothing any more (RFC 7323 section 5.5).
const STAMP_LIFE: Duration = Duration::from_secs(24 * 24 * 3600);

impl Tcb {
    pub(crate) fn segment_arrives(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
    ) -> Outcome {
        let checks = match self.state {
            State::Closed | State::Listen => Err(Stop::Discard(Discard::State)),
            State::SynSent => self.check_in_syn_sent(cx, segment),
            _ => self.check_synchronized(cx, segment),
        };
        let outcome = match checks {
            Ok(()) | Err(Stop::Done) => Outcome::Handled,
            Err(Stop::Discard(reason)) => {
                cx.record.note(cx.now, Some(cx.id), What::Discarded(reason));
                Outcome::Handled
            }
            Err(Stop::Reopen(iss)) => Outcome::Reopen(iss),
        };
        self.arm(cx);
        outcome
    }

    /// 3.10.7.3: SYN-SENT.
    fn check_in_syn_sent(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let header = &segment.header;
        let flags = header.flags;
        let acks_syn =
            flags.has(Flags::ACK) && header.ack.gt(self.snd.iss) && header.ack.le(self.snd.nxt);
        if flags.has(Flags::ACK) && !acks_syn {
            if !flags.has(Flags::RST) {
                self.reply_reset_to(cx, segment);
            }
            if self.config.syn_sent_ack == SynSentAck::ResetAndRetry
                && self.snd.retransmissions == 0
            {
                self.stop(cx, Timer::Retransmission);
                self.on_retransmission_timeout(cx);
            }
            return Err(Stop::Discard(Discard::AckCheck));
        }
        if flags.has(Flags::ACK) && !self.echoes_our_syn(segment, cx.now) {
            if !flags.has(Flags::RST) {
                self.reply_reset_to(cx, segment);
            }
            return Err(Stop::Discard(Discard::EchoCheck));
        }
        if flags.has(Flags::RST) {
            // RFC 5961 3.2: only a RST that acknowledges our SYN counts.
            if !acks_syn {
                return Err(Stop::Discard(Discard::RstCheck));
            }
            self.fail(cx, Trigger::Rst, CloseReason::Refused);
            return Err(Stop::Done);
        }
        if !flags.has(Flags::SYN) {
            return Err(Stop::Discard(Discard::State));
        }
        self.take_syn(cx.now, segment);
        if !acks_syn {
            // Simultaneous open: our SYN goes again, now with the ACK of theirs (Figure 7).
            self.queue_syn(cx, segment);
            self.pending.syn = Some(Cause::Ack);
            self.change_state(cx, Trigger::Syn, State::SynReceived);
            return Err(Stop::Done);
        }
        self.on_syn_acked(cx, segment);
        if self.config.syn_acknowledged == SynAcknowledged::ByAck {
            self.pending.ack = Some(Cause::Ack);
        }
        self.change_state(cx, Trigger::SynAck, State::Established);
        self.begin_close(cx);
        self.take_text_of_syn_ack(cx, segment)
    }

    /// SND.UNA leaves ISS: the first sample, and no more retransmission of the SYN.
    fn on_syn_acked(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) {
        self.sample(cx.now, segment, segment.header.ack, None);
        self.snd.una = self.snd.iss + 1;
        if self.passive {
            // Linux counts the SYN of an active opener among what was acknowledged.
            self.snd.oldest = self.snd.una;
        }
        self.snd.syn_acked = true;
        self.snd.wl2 = self.snd.una;
        self.pending.syn = None;
        self.stop(cx, Timer::Retransmission);
        self.stop(cx, Timer::User);
    }

    /// 3.10.7.4: every other state.
    fn check_synchronized(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        self.check_control(segment)?;
        self.syn_into_time_wait(cx, segment)?;
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
            }
            return self.check_ack_in_time_wait(cx, segment);
        }
        self.check_ack(cx, segment)?;
        self.take_queued(cx, segment)?;
        self.check_orphaned(cx, segment)?;
        self.take_mark(segment);
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

    /// A new SYN meets TIME-WAIT (MAY-2, RFC 6191): with timestamps that are newer, or a sequence
    /// number that is, it may open a new incarnation whose ISS lies beyond what this one used.
    fn syn_into_time_wait(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let header = &segment.header;
        let alone = header.flags.has(Flags::SYN)
            && !header.flags.has(Flags::ACK)
            && !header.flags.has(Flags::RST);
        // A listener that drops SYN,FIN has lost Linux the TIME-WAIT by then. Ours stays.
        let dropped = self.config.syn_text == SynText::Drop && header.flags.has(Flags::FIN);
        if self.state != State::TimeWait || !alone || dropped || !cx.listener {
            return Ok(());
        }
        let by_rfc = self.config.time_wait_reopen == TimeWaitReopen::Rfc6191;
        let later = header.seq.gt(self.rcv.nxt) || (by_rfc && header.seq == self.rcv.nxt);
        let newer = match (self.stamps.on, header.options.timestamps) {
            (true, Some(stamps)) if stamps.value != self.stamps.recent => {
                newer(stamps.value, self.stamps.recent)
            }
            (false, Some(_)) if by_rfc => true,
            _ => later,
        };
        if !newer {
            if self.config.time_wait_refused == TimeWaitRefused::Acknowledge {
                self.answer(cx.now, segment);
            }
            return Err(Stop::Discard(Discard::SynCheck));
        }
        Err(Stop::Reopen(self.snd.nxt + 65_537))
    }

    /// PAWS (RFC 7323 section 5.3 R1), before the sequence check.
    fn check_timestamps(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        if !self.stamps.on {
            return Ok(());
        }
        let flags = segment.header.flags;
        let Some(stamps) = segment.header.options.timestamps else {
            let accepted = self.config.missing_timestamp == MissingTimestamp::Accept;
            return if accepted || flags.has(Flags::RST) {
                Ok(())
            } else {
                Err(Stop::Discard(Discard::TimestampMissing))
            };
        };
        let exempt = flags.has(Flags::RST)
            && (self.state != State::TimeWait
                || self.config.time_wait_old_rst == TimeWaitOldRst::Accept);
        if self.is_old(cx.now, stamps.value) && self.config.paws && !exempt {
            if !flags.has(Flags::RST) {
                self.answer(cx.now, segment);
            }
            return Err(Stop::Discard(Discard::Paws));
        }
        let again =
            flags.has(Flags::SYN) && !flags.has(Flags::ACK) && segment.header.seq == self.rcv.irs;
        let request = self.state == State::SynReceived && self.passive && !again;
        if request && !self.echoes_our_syn(segment, self.snd.last_sent) {
            if !flags.has(Flags::RST) {
                self.answer(cx.now, segment);
            }
            return Err(Stop::Discard(Discard::EchoCheck));
        }
        Ok(())
    }

    /// Earlier than TS.Recent, unless that is so old that it says nothing any more (RFC 7323
    /// sections 5.2, 5.5).
    pub(super) fn is_old(&self, now: Instant, stamp: u32) -> bool {
        now.since(self.stamps.recent_at) < STAMP_LIFE && newer(self.stamps.recent, stamp)
    }

    /// RFC 7323 section 4.3: the stamp to echo is that of the segment that covers Last.ACK.sent;
    /// only of one that passed all checks (5.3 R2, R3), or a stranger could make every later one
    /// look old.
    pub(super) fn take_timestamp(&mut self, now: Instant, segment: &Segment<'_>) {
        let Some(stamps) = segment.header.options.timestamps.filter(|_| self.stamps.on) else {
            return;
        };
        if !self.is_old(now, stamps.value) && segment.header.seq.le(self.rcv.acked) {
            self.stamps.recent = stamps.value;
            self.stamps.recent_at = now;
        }
    }

    /// The ACK of a passive opener in SYN-RECEIVED, where the policy checks it before anything else.
    fn check_request(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let flags = segment.header.flags;
        let request = self.state == State::SynReceived && self.passive;
        if self.config.request_ack == RequestAck::InOrder
            || !request
            || !flags.has(Flags::ACK)
            || flags.has(Flags::RST)
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
        let rst = header.flags.has(Flags::RST);
        // Whatever text it brings, which may reach into the window.
        if self.state == State::SynReceived
            && header.flags.has(Flags::SYN)
            && !rst
            && header.seq == self.rcv.irs
        {
            return self.on_repeated_syn(cx, segment);
        }
        if self.is_acceptable(segment) {
            return Ok(());
        }
        if rst {
            return Err(Stop::Discard(Discard::OutOfWindow));
        }
        self.restart_time_wait(cx, segment);
        self.answer(cx.now, segment);
        Err(Stop::Discard(Discard::OutOfWindow))
    }

    /// Table 6, with the allowances of the profiles.
    pub(super) fn is_acceptable(&self, segment: &Segment<'_>) -> bool {
        let (seq, len) = (segment.header.seq, segment.len());
        let flags = segment.header.flags;
        // Appendix A.2, as Linux does: what ends at RCV.NXT still carries an ACK, and so does what
        // lies behind text that fills the window.
        let old = len > 0 && !flags.has(Flags::SYN) && seq + len == self.rcv.nxt && !self.is_mini();
        let behind =
            len == 0 && seq == self.rcv.nxt + self.window() && self.state != State::TimeWait;
        let touches = self.config.window_edges == WindowEdges::Inclusive && (old || behind);
        touches || (flags.has(Flags::RST) && self.is_before_fin(seq)) || self.in_window(segment)
    }

    /// The four cases of RFC 9293 Table 6.
    pub(super) fn in_window(&self, segment: &Segment<'_>) -> bool {
        let (seq, len) = (segment.header.seq, segment.len());
        let (nxt, window) = (self.rcv.nxt, self.window());
        match (len, window) {
            (0, 0) => seq == nxt,
            (0, _) => seq.in_window(nxt, window),
            // MUST-66: the text has no room, its ACK, RST and URG are processed all the same.
            (_, 0) => seq == nxt,
            _ => seq.in_window(nxt, window) || (seq + (len - 1)).in_window(nxt, window),
        }
    }

    /// The peer's SYN again, or its SYN,ACK in a simultaneous open (RFC 9293 Figure 7, Appendix
    /// A.2).
    fn on_repeated_syn(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let header = &segment.header;
        let alone = segment.len() == 1 || self.config.syn_text == SynText::Queue;
        if header.flags.has(Flags::ACK) && header.ack == self.snd.nxt && !self.passive && alone {
            self.pending.ack = Some(Cause::Ack);
            self.confirm_ecn(header.flags);
            self.check_ack(cx, segment)?;
            self.take_text_of_syn_ack(cx, segment)?;
            // The check for SYN, which would take it for a stranger's, is for later ones.
            return Err(Stop::Done);
        }
        let again = self.config.repeated_syn == RepeatedSyn::SynAck
            && self.passive
            && !header.flags.has(Flags::ACK);
        if !again {
            self.answer(cx.now, segment);
        } else if self.take_challenge(cx.now) {
            self.pending.syn = Some(Cause::Ack);
        }
        Err(Stop::Discard(Discard::Duplicate))
    }

    /// The peer's FIN again in TIME-WAIT: 2 MSL begin anew (3.10.7.4, eighth step; the sequence
    /// check would hide it there).
    fn restart_time_wait(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) {
        let fin = segment.header.seq + segment.len();
        let repeated = segment.header.flags.has(Flags::FIN) && fin == self.rcv.nxt;
        if self.state == State::TimeWait
            && repeated
            && self.config.time_wait_restart == TimeWaitRestart::OnFin
        {
            self.start(cx, Timer::TimeWait, self.config.msl.saturating_mul(2));
        }
    }

    /// Second: RST (RFC 5961 section 3, or RFC 793).
    fn check_rst(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        if !segment.header.flags.has(Flags::RST) {
            return Ok(());
        }
        if self.state == State::TimeWait && self.config.time_wait_rst == TimeWaitRst::Ignore {
            return Err(Stop::Discard(Discard::RstCheck));
        }
        let exact = segment.header.seq == self.rcv.nxt || self.is_where_peer_is(segment.header.seq);
        if self.config.reset_checks == ResetChecks::Rfc5961 && !exact {
            if self.state != State::TimeWait
                || self.config.time_wait_challenge == TimeWaitChallenge::Send
            {
                self.challenge(cx.now);
            }
            return Err(Stop::Discard(Discard::RstCheck));
        }
        let reason = match self.state {
            State::SynReceived if !self.passive => CloseReason::Refused,
            State::TimeWait => CloseReason::Clean,
            _ => CloseReason::Reset,
        };
        self.fail(cx, Trigger::Rst, reason);
        Err(Stop::Done)
    }

    /// Fourth (the third, security, is dropped as Appendix A.1 allows): SYN.
    fn check_syn(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        if !segment.header.flags.has(Flags::SYN) {
            return Ok(());
        }
        if self.state == State::SynReceived && self.passive {
            if self.config.request_syn == RequestSyn::Reset {
                self.reply_reset_to(cx, segment);
            }
            self.fail(cx, Trigger::Syn, CloseReason::Dropped);
            return Err(Stop::Done);
        }
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

    /// Fifth: the ACK field.
    fn check_ack(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let header = &segment.header;
        if !header.flags.has(Flags::ACK) {
            return Err(Stop::Discard(Discard::NoAck));
        }
        if self.state == State::SynReceived {
            self.check_ack_of_syn(cx, segment)?;
        }
        if header.ack.gt(self.snd.nxt) || self.is_too_old(header.ack) {
            self.challenge(cx.now);
            return Err(Stop::Discard(Discard::AckCheck));
        }
        self.take_timestamp(cx.now, segment);
        if self.state == State::TimeWait {
            return self.check_ack_in_time_wait(cx, segment);
        }
        if self.syn_outstanding() && header.ack.gt(self.snd.iss) {
            self.on_syn_acked(cx, segment);
            self.snd.retransmissions = 0;
        }
        self.on_ack(cx, segment);
        self.update_window(segment);
        self.on_fin_acked(cx)
    }

    /// What an acceptable ACK acknowledges, by its number or by SACK.
    fn on_ack(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) {
        let (selective, una) = (self.is_selective(), self.snd.una);
        let news = if selective {
            self.take_delivered(cx.now, segment)
        } else {
            AckSummary::default()
        };
        let acked = if segment.header.ack.gt(una) {
            self.on_new_ack(cx, segment, &news)
        } else {
            0
        };
        self.take_echo(cx, segment, acked);
        if selective {
            self.on_selective_ack(cx, segment, news, acked);
        } else if self.snd.una == una && self.is_duplicate_ack(segment) {
            self.on_duplicate_ack();
        }
    }

    /// RFC 5961 section 5: an ACK older than the largest window ever offered, or than our first
    /// octet, is a blind guess.
    fn is_too_old(&self, ack: Seq) -> bool {
        self.config.reset_checks == ResetChecks::Rfc5961 && ack.lt(self.snd.oldest)
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
        self.take_window(segment);
        self.change_state(cx, Trigger::AckOfSyn, State::Established);
        self.begin_close(cx);
        Ok(())
    }

    /// TIME-WAIT takes nothing but the FIN again. A bare ACK gets no answer: two TIME-WAITs would
    /// answer each other for ever.
    fn check_ack_in_time_wait(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        self.restart_time_wait(cx, segment);
        if !segment.is_empty() {
            self.acknowledge(Cause::Ack);
        }
        Err(Stop::Discard(Discard::State))
    }

    /// SND.UNA advances, by so much: a FIN counts.
    fn on_new_ack(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>, news: &AckSummary) -> u32 {
        let ack = segment.header.ack;
        self.sample(cx.now, segment, ack, news.rtt);
        let fin_now = self.snd.fin.is_some_and(|fin| ack.gt(fin)) && !self.fin_acknowledged();
        let acked = ack.since(self.snd.una);
        self.snd.una = ack;
        self.snd.oldest = self.snd.oldest.max(ack.back(self.snd.max_wnd));
        self.snd.small = self.snd.small.filter(|end| end.gt(ack));
        self.snd.retransmissions = 0;
        self.snd.cause = Cause::Released;
        self.snd.cursor = self
            .snd
            .cursor
            .map(|cursor| cursor.max(ack))
            .filter(|cursor| cursor.lt(self.snd.nxt));
        let flight = self.snd.nxt.since(ack);
        let selective = self.is_selective();
        let path = Path {
            marked: self.is_echo(segment),
            ..self.path(cx.now)
        };
        let text = acked - u32::from(fin_now);
        if let Some(transfer) = &mut self.transfer {
            let before = transfer.send.room();
            transfer.send.release(text as usize);
            self.wake.writable |= text > 0 || before == 0;
            // What a duplicate before it in the batch asked for is settled.
            self.pending.retransmission = !selective
                && transfer.congestion.acked(text, ack, flight, &path) == Reaction::Retransmit;
        }
        self.stop(cx, Timer::Override);
        if flight == 0 {
            self.stop(cx, Timer::Retransmission);
            self.stop(cx, Timer::User);
        } else {
            self.start(cx, Timer::Retransmission, self.estimator.rto());
            if let Some(timeout) = self.config.user_timeout {
                self.start(cx, Timer::User, timeout);
            }
        }
        acked
    }

    /// A round-trip time: as SACK's scoreboard tells it, from the echoed stamp, or from the one
    /// segment that is timed (RFC 6298 section 3, RFC 7323 section 4.1).
    fn sample(&mut self, now: Instant, segment: &Segment<'_>, ack: Seq, told: Option<Duration>) {
        let stamped = segment
            .header
            .options
            .timestamps
            .filter(|stamps| self.stamps.on && stamps.echo != 0);
        let unambiguous = self.config.rto.samples == Samples::Unambiguous;
        let told = told.filter(|_| unambiguous);
        // With SACK the scoreboard knows better: the segment may have been held for long, and wait
        // for others.
        let timed = self
            .snd
            .timed
            .filter(|_| !(unambiguous && self.snd.syn_acked && self.is_selective()));
        let rtt = match (stamped, timed) {
            _ if told.is_some() => told,
            (Some(stamps), _) => {
                let age = self.stamp(now).wrapping_sub(stamps.echo);
                (age < 1 << 31).then(|| Duration::from_millis(u64::from(age)))
            }
            (None, Some((timed, at))) if ack.gt(timed) => Some(now.since(at)),
            _ => None,
        };
        // Without a sample the backed-off timeout stays (Karn).
        if let Some(rtt) = rtt {
            self.estimator
                .sample(&self.config.rto, rtt, ack, self.snd.nxt);
        }
        if self.snd.timed.is_some_and(|(timed, _)| ack.gt(timed)) {
            self.snd.timed = None;
        }
    }

    /// RFC 5681 section 2: outstanding data, no text, no SYN or FIN, the same ACK, the same window.
    fn is_duplicate_ack(&self, segment: &Segment<'_>) -> bool {
        let window = u32::from(segment.header.window) << self.snd.shift;
        segment.header.ack == self.snd.una
            && self.snd.una.lt(self.snd.nxt)
            && segment.is_empty()
            && window == self.snd.wnd
            && window > 0
    }

    fn on_duplicate_ack(&mut self) {
        let (una, nxt, mss) = (self.snd.una, self.snd.nxt, self.effective_mss(0));
        let threshold = self.config.dup_ack_threshold;
        let Some(control) = self.congestion_mut() else {
            return;
        };
        if control.duplicate_ack(una, nxt, nxt.since(una), mss, threshold) == Reaction::Retransmit {
            self.pending.retransmission = true;
            self.window_reduced();
        }
    }

    /// SND.WND, from a segment that is not older than the one it was last taken from.
    fn update_window(&mut self, segment: &Segment<'_>) {
        let header = &segment.header;
        let fresh = self.snd.wl1.lt(header.seq)
            || (self.snd.wl1 == header.seq && self.snd.wl2.le(header.ack));
        if !fresh || header.ack.lt(self.snd.una) {
            return;
        }
        let before = self.snd.wnd;
        self.take_window(segment);
        if before == 0 && self.snd.wnd > 0 {
            self.snd.cause = Cause::Released;
            // What a probe carried went unheard. Without a probe it is not yet a timeout old: RFC
            // 6298 section 5.
            if self.snd.una.lt(self.snd.nxt) && self.snd.probes > 0 {
                self.resend(0);
            }
        }
        if self.runs(Timer::Persist) {
            // MUST-37: an answered probe is no reason to give up.
            self.snd.retransmissions = 0;
        }
    }

    /// SEG.WND; a SYN's is not scaled (RFC 7323 section 2.2).
    fn take_window(&mut self, segment: &Segment<'_>) {
        let header = &segment.header;
        let shift = if header.flags.has(Flags::SYN) {
            0
        } else {
            self.snd.shift
        };
        self.snd.wnd = u32::from(header.window) << shift;
        self.snd.max_wnd = self.snd.max_wnd.max(self.snd.wnd);
        (self.snd.wl1, self.snd.wl2) = (header.seq, header.ack);
    }

    /// What an ACK of our FIN means in the states that wait for it. FIN-WAIT-1 waits for the eighth
    /// step: the same segment may bring a FIN.
    fn on_fin_acked(&mut self, cx: &mut Context<'_>) -> Check {
        match self.state {
            State::Closing if self.fin_acknowledged() => {
                self.change_state(cx, Trigger::AckOfFin, State::TimeWait);
                Err(Stop::Done)
            }
            State::LastAck if self.fin_acknowledged() => {
                self.pending.ack = None;
                self.change_state(cx, Trigger::AckOfFin, State::Closed);
                Err(Stop::Done)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn leave_fin_wait_1(&mut self, cx: &mut Context<'_>) {
        if self.state == State::FinWait1 && self.fin_acknowledged() {
            self.change_state(cx, Trigger::AckOfFin, State::FinWait2);
        }
    }

    /// Notes that an ACK goes out at the next turn.
    pub(super) fn acknowledge(&mut self, cause: Cause) {
        self.pending.ack.get_or_insert(cause);
    }

    /// The ACK that answers what cannot be used (3.10.7.4, first check). Text and FIN come again
    /// because an ACK was lost, so each gets one. Anything else may be an answer itself, and two
    /// ends must not answer each other for ever: at most one per interval, as of challenges (RFC
    /// 5961 section 7; `tcp_oow_rate_limited`).
    pub(super) fn answer(&mut self, now: Instant, segment: &Segment<'_>) {
        let repeated = !segment.is_empty() && !segment.header.flags.has(Flags::SYN);
        if repeated || self.take_challenge(now) {
            self.note_duplicate(segment);
            self.acknowledge(Cause::Ack);
        }
    }

    /// A challenge ACK (RFC 5961), at most one per interval and connection (section 7,
    /// CVE-2016-5696).
    fn challenge(&mut self, now: Instant) {
        if self.take_challenge(now) {
            self.pending.ack = Some(Cause::Challenge);
        }
    }

    fn take_challenge(&mut self, now: Instant) -> bool {
        let free = self
            .rcv
            .last_challenge
            .is_none_or(|last| now.since(last) >= self.config.challenge_interval);
        if free {
            self.rcv.last_challenge = Some(now);
        }
        free
    }

    /// An ICMP error about one of our segments (3.9.2.2), believed only if that segment is in
    /// flight (RFC 5927 section 4.1).
    pub(crate) fn icmp_arrives(&mut self, cx: &mut Context<'_>, icmp: &Icmp) {
        let in_flight = self.snd.una.le(icmp.seq) && icmp.seq.lt(self.snd.nxt);
        if self.is_over() || !in_flight || icmp.kind == IcmpKind::SourceQuench {
            return;
        }
        cx.record.note(cx.now, Some(cx.id), What::Icmp(icmp.kind));
        match icmp.kind {
            IcmpKind::PacketTooBig(mtu) => {
                self.on_packet_too_big(mtu, icmp.len);
            }
            kind => {
                let embryonic = matches!(self.state, State::SynSent | State::SynReceived);
                // SHLD-26 where RFC 5927 5.2 still lets it: before the connection is synchronized.
                let hard = matches!(kind, IcmpKind::Unreachable(2..=3));
                if embryonic && (hard || self.config.handshake_icmp == HandshakeIcmp::AnyError) {
                    self.fail(cx, Trigger::Icmp, CloseReason::Unreachable(kind));
                }
            }
        }
        self.arm(cx);
    }

    /// The next keepalive check after something was heard (lazily: the timer finds out when it
    /// fires).
    pub(super) fn keepalive_due(&self, keepalive: &KeepAlive) -> Instant {
        self.rcv.last_heard + keepalive.idle
    }
}

/// Whether timestamp `a` is later than `b` (RFC 7323 section 5.2).
fn newer(a: u32, b: u32) -> bool {
    Seq(a).gt(Seq(b))
}
