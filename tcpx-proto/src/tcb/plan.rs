//! Which segment is sent next: one decision for each.

use super::Tcb;
use super::recovery::NextSegment;
use super::scoreboard::Mark;
use super::transfer::Transfer;
use crate::config::{FinRepeats, HeldOutput, Nagle, ShrunkWindow, ZeroWindowProbe};
use crate::label::Cause;
use crate::seq::Seq;
use crate::state::State;
use crate::wire::Flags;

/// A segment that is about to be sent.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(super) seq: Seq,
    /// Bytes of text.
    pub(super) len: u32,
    pub(super) flags: Flags,
    pub(super) cause: Cause,
    pub(super) kind: Kind,
    /// Smaller than full, which is a matter of the options, too.
    pub(super) small: bool,
}

impl Plan {
    /// A segment without text.
    pub(super) fn bare(seq: Seq, flags: Flags, cause: Cause) -> Plan {
        Plan {
            seq,
            len: 0,
            flags,
            cause,
            kind: Kind::Bare,
            small: true,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Syn,
    /// Text or FIN in turn.
    Text,
    /// The segment at SND.UNA, or with SACK the first lost one, out of turn.
    Fast,
    /// A tail-loss probe.
    Tail,
    /// No text, or a probe's one byte.
    Bare,
}

/// Bytes that could be sent next.
struct Candidate {
    from: Seq,
    /// Not beyond this, but for a FIN.
    until: Seq,
    /// How many bytes the windows let out from there.
    room: u32,
    kind: Kind,
}

impl Tcb {
    pub(super) fn plan(&self) -> Option<Plan> {
        if let Some(cause) = self.pending.syn {
            return Some(self.plan_syn(cause));
        }
        self.plan_text()
            .or_else(|| self.pending.ack.map(|cause| self.plan_bare(cause)))
    }

    fn plan_syn(&self, cause: Cause) -> Plan {
        let ack = self.state != State::SynSent;
        let flags = if ack {
            Flags::SYN | Flags::ACK
        } else {
            Flags::SYN
        };
        Plan {
            len: self.syn_text_len(),
            flags: flags | self.ecn.setup_flags(self.config.ecn, ack, cause),
            kind: Kind::Syn,
            ..Plan::bare(self.snd.iss, flags, cause)
        }
    }

    fn plan_text(&self) -> Option<Plan> {
        if !self.may_send_text() {
            return None;
        }
        let transfer = self.transfer.as_deref()?;
        if transfer.send.len() == 0 && self.snd.una == self.snd.nxt && !self.snd.closing {
            return None;
        }
        if !self.is_selective() {
            return self.fit(&self.plain_candidate(transfer));
        }
        let plan = self
            .selective_candidate(transfer)
            .and_then(|candidate| self.fit(&candidate));
        if plan.is_some() {
            return plan;
        }
        let doubtful = self.next_doubtful(transfer)?;
        self.fit(&self.candidate(transfer, doubtful, Kind::Text))
    }

    /// What comes next without SACK: the segment at SND.UNA after duplicate ACKs, what a timeout
    /// sends again, then new text.
    fn plain_candidate(&self, transfer: &Transfer) -> Candidate {
        if self.pending.retransmission && self.snd.una.lt(self.snd.nxt) {
            return Candidate {
                from: self.snd.una,
                until: self.snd.nxt,
                room: self.snd.wnd,
                kind: Kind::Fast,
            };
        }
        let cursor = self.snd.cursor.filter(|_| !transfer.history.new_first);
        let from = cursor.unwrap_or(self.snd.nxt);
        let until = if from.lt(self.snd.nxt) {
            self.snd.nxt
        } else {
            self.text_end()
        };
        //= 5681-1, 3042-1
        let used = ahead(self.snd.una, from);
        let mss = self.effective_mss(0);
        let room =
            ahead(from, self.snd.una + self.snd.wnd).min(transfer.congestion.room(used, mss));
        Candidate {
            from,
            until,
            room: room.max(self.room_beyond(from)),
            kind: Kind::Text,
        }
    }

    /// What comes next with SACK; `None`: the congestion window is full.
    fn selective_candidate(&self, transfer: &Transfer) -> Option<Candidate> {
        if self.pending.tail_probe {
            return Some(self.candidate(transfer, self.next_probe(transfer), Kind::Tail));
        }
        //= 6675-3
        if transfer.history.board.bytes(Mark::Lost) > 0 && !transfer.history.new_first {
            let lost = self.next_lost(transfer)?;
            let kind = if lost.forced { Kind::Fast } else { Kind::Text };
            return Some(self.candidate(transfer, lost, kind));
        }
        let new = NextSegment {
            from: self.snd.nxt,
            until: self.text_end(),
            forced: false,
        };
        Some(self.candidate(transfer, new, Kind::Text))
    }

    fn candidate(&self, transfer: &Transfer, next: NextSegment, kind: Kind) -> Candidate {
        let window = ahead(next.from, self.snd.una + self.snd.wnd);
        let room = if next.forced {
            window.max(self.room_beyond(next.from))
        } else {
            window.min(self.congestion_room(transfer))
        };
        Candidate {
            from: next.from,
            until: next.until,
            room,
            kind,
        }
    }

    /// How much is sent again from here on beyond a window that shrank to zero.
    fn room_beyond(&self, from: Seq) -> u32 {
        //= MAY-7
        if from == self.snd.una && self.is_shrunk_to_zero() {
            u32::MAX
        } else {
            0
        }
    }

    /// Whether what is in flight waits for the retransmission timer, although there is no window.
    pub(super) fn is_shrunk_to_zero(&self) -> bool {
        self.config.shrunk_window == ShrunkWindow::Resend
            && self.snd.wnd == 0
            && self.snd.syn_acked
            && self.snd.una.lt(self.snd.nxt)
    }

    /// SEG.SEQ of an ACK: SND.NXT, or the edge of a window that was taken back. What rounding to
    /// the unit of the scale takes back does not count (`tcp_acceptable_seq`).
    pub(super) fn acceptable_seq(&self) -> Seq {
        let nxt = self.snd.nxt;
        let edge = self.snd.una + self.snd.wnd;
        let rounds = self.snd.scaled && nxt.since(edge) < 1 << self.rcv.shift;
        let inside = edge.ge(nxt) || rounds || self.is_request();
        if inside || self.config.shrunk_window == ShrunkWindow::Probe {
            nxt
        } else {
            edge
        }
    }

    /// The segment that a candidate makes, if it is worth sending.
    fn fit(&self, candidate: &Candidate) -> Option<Plan> {
        let from = candidate.from;
        let end = self.text_end();
        let until = if self.is_probed_byte(candidate) {
            end
        } else {
            candidate.until
        };
        let left = ahead(from, end.min(until));
        let mss = self.effective_mss(self.sack_len());
        //= MUST-34, SHLD-15, SHLD-16, MAY-16, 5681-1
        let len = left.min(candidate.room).min(mss);
        // A FIN that goes with text does not count for congestion.
        let window = ahead(from, self.snd.una + self.snd.wnd);
        let fits = candidate.room > len || (len > 0 && window > len);
        let fin = from + len == end && fits && self.may_send_fin(from, until);
        if len == 0 && !fin {
            return None;
        }
        let repeated = from.lt(self.snd.nxt);
        let must_go = repeated || fin || candidate.kind == Kind::Tail;
        if !must_go && !self.is_worth_sending(len, mss, left) {
            return None;
        }
        let mut flags = Flags::ACK;
        //= MUST-61, SHLD-27
        if len > 0 && from + len == end {
            flags |= Flags::PSH;
        }
        if fin {
            flags |= Flags::FIN;
        }
        let again = !repeated && self.syn_text_end().is_some_and(|end| from.lt(end));
        let cause = if again {
            // The SYN,ACK did not acknowledge the text of our SYN.
            Cause::FastRetransmission
        } else {
            self.cause_of(candidate.kind, repeated)
        };
        Some(Plan {
            seq: from,
            len,
            flags,
            cause,
            kind: candidate.kind,
            small: len < mss,
        })
    }

    /// The byte of a zero-window probe, and nothing else is in flight: it is sent again at the
    /// head of what follows it, which Nagle's algorithm would otherwise hold.
    fn is_probed_byte(&self, candidate: &Candidate) -> bool {
        self.config.zero_window_probe == ZeroWindowProbe::OneByte
            && candidate.from == self.snd.una
            && candidate.until == self.snd.nxt
            && candidate.until == candidate.from + 1
            && self.snd.fin.is_none()
    }

    /// Whether the FIN may go with text from `from` on that reaches the end, when what is sent now
    /// lies before `until`.
    fn may_send_fin(&self, from: Seq, until: Seq) -> bool {
        let Some(fin) = self.snd.fin else {
            // With text before it, it is queued until ESTABLISHED (3.10.4).
            return self.snd.closing && self.state != State::SynReceived;
        };
        // The peer may hold our FIN and miss what comes before it.
        self.snd.closing
            && until.gt(fin)
            && from.le(fin)
            && self.config.fin_repeats == FinRepeats::UntilAcknowledged
    }

    /// The sender's silly-window avoidance (MUST-38, RFC 9293 3.8.6.2.1), with Nagle's algorithm
    /// for its bracketed conditions.
    fn is_worth_sending(&self, len: u32, mss: u32, left: u32) -> bool {
        //= SHLD-28
        if len == mss || (self.pending.small && len > 0) {
            return true;
        }
        if len < left && len >= self.config.silly_window.least(u32::MAX) {
            return true;
        }
        //= MUST-38
        (len == left || len >= self.snd.max_wnd / 2) && !self.is_small_held()
    }

    /// Whether a segment smaller than full has to wait for an ACK (SHLD-7).
    fn is_small_held(&self) -> bool {
        if self.config.no_delay {
            //= MUST-17
            return false;
        }
        match self.config.nagle {
            //= SHLD-7
            Nagle::Rfc896 => self.snd.text_start() != self.snd.nxt,
            Nagle::Minshall => self.snd.small.is_some(),
        }
    }

    fn cause_of(&self, kind: Kind, repeated: bool) -> Cause {
        let selective = self.is_selective();
        let timeouts = self.snd.retransmissions;
        if kind == Kind::Tail {
            return Cause::TailLossProbe;
        }
        if repeated && timeouts > 0 && (kind != Kind::Fast || selective) {
            return Cause::Retransmission(timeouts);
        }
        let recovering = self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.congestion.in_recovery());
        if kind == Kind::Fast || (repeated && selective && recovering) {
            return Cause::FastRetransmission;
        }
        if repeated {
            return Cause::Retransmission(1);
        }
        self.snd.cause
    }

    fn plan_bare(&self, cause: Cause) -> Plan {
        let seq = match cause {
            Cause::Probe => self.snd.una.back(1),
            //= SHLD-12
            Cause::KeepAlive => self.snd.nxt.back(1),
            _ => self.acceptable_seq(),
        };
        let plan = Plan::bare(seq, Flags::ACK, cause);
        let one_byte = self.config.zero_window_probe == ZeroWindowProbe::OneByte;
        if cause == Cause::Probe && one_byte && self.unacknowledged() > 0 {
            return Plan {
                seq: self.snd.una,
                len: 1,
                ..plan
            };
        }
        plan
    }

    /// Whether the state lets text and FIN out at all.
    pub(super) fn may_send_text(&self) -> bool {
        let state = matches!(
            self.state,
            State::Established
                | State::CloseWait
                | State::FinWait1
                | State::Closing
                | State::LastAck
        );
        // RFC 7413 section 4.2.2: the answer does not wait for the third ACK.
        let early = self.state == State::SynReceived
            && self.is_served_early()
            && self.snd.is_syn_outstanding();
        // Our SYN comes first, but for the FIN of a CLOSE in SYN-RECEIVED (3.10.4).
        let turn =
            self.snd.syn_acked || (self.state == State::FinWait1 && self.snd.is_syn_outstanding());
        ((state && turn) || early) && !self.is_output_held()
    }

    /// Whether application data and FIN still wait for [`release`](Tcb::release).
    pub(super) fn is_output_held(&self) -> bool {
        self.config.held_output == HeldOutput::DataAndFin && !self.snd.output_released
    }

    /// Something waits for a larger window than there is.
    pub(super) fn is_waiting_for_window(&self) -> bool {
        self.may_send_text()
            && self.text_end().gt(self.snd.nxt)
            && self.snd.wnd > 0
            && self.plan_text().is_none()
    }

    /// One past the last byte that SEND took.
    pub(super) fn text_end(&self) -> Seq {
        self.snd.text_start() + self.unacknowledged() as u32
    }
}

/// How many bytes `to` lies ahead of `from`; none if it lies behind.
pub(super) fn ahead(from: Seq, to: Seq) -> u32 {
    //= MUST-34
    if from.lt(to) { to.since(from) } else { 0 }
}
