//! What goes out next: one decision per segment, then the segment.

use super::recovery::NextSegment;
use super::scoreboard::Mark;
use super::{Context, Reply, Tcb, Transfer};
use crate::config::{AbortRst, ConnConfig, FinRepeats, HeldOutput, Nagle, ZeroWindowProbe};
use crate::event::Timer;
use crate::id::ConnId;
use crate::label::{Carries, Cause, Label};
use crate::seq::Seq;
use crate::state::State;
use crate::time::Instant;
use crate::wire::{self, Flags, Header, Options, Payload, Segment, Timestamps};
use core::net::SocketAddr;

/// A segment that is about to be sent.
#[derive(Clone, Copy)]
struct Plan {
    seq: Seq,
    /// Octets of text.
    len: u32,
    flags: Flags,
    cause: Cause,
    kind: Kind,
    /// Smaller than full, which is a matter of the options, too.
    small: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Syn,
    /// Text or FIN in turn.
    Text,
    /// The segment at SND.UNA, or with SACK the first lost one, out of turn.
    Fast,
    /// A tail-loss probe.
    Tail,
    /// No text, or a probe's one octet.
    Bare,
}

/// Octets whose turn it is.
struct Candidate {
    from: Seq,
    /// Not beyond this, but for a FIN.
    until: Seq,
    /// How many octets the windows let out from there.
    room: u32,
    kind: Kind,
}

impl Tcb {
    /// Whether [`transmit`](Tcb::transmit) has something.
    pub(crate) fn has_output(&self) -> bool {
        self.plan().is_some()
    }

    /// Writes the next segment and notes what sending it means; `None` when there is nothing to
    /// send.
    pub(crate) fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        id: u16,
    ) -> Option<(usize, Label)> {
        self.restart_after_idle(cx.now);
        let plan = self.plan()?;
        if plan.flags.has(Flags::ACK) && plan.kind != Kind::Syn {
            self.rcv_edge_moves();
        }
        let header = self.header(cx.now, &plan, id);
        let label = Label {
            cause: plan.cause,
            carries: self.carries(&plan, &header),
        };
        let payload = self.payload(&plan);
        let written = header.emit(payload, into).ok()?;
        // Nor may what is longer in any case, by its options, be lost for that.
        if self.snd.fragments || written > usize::from(self.snd.path_mtu) {
            wire::allow_fragments(into);
        }
        self.cwr_sent(header.flags);
        self.sent(cx, &plan);
        Some((written, label))
    }

    fn plan(&self) -> Option<Plan> {
        if let Some(cause) = self.pending.syn {
            let ack = self.state != State::SynSent;
            let flags = if ack {
                Flags::SYN | Flags::ACK
            } else {
                Flags::SYN
            };
            return Some(Plan {
                seq: self.snd.iss,
                len: 0,
                flags: flags | self.ecn_setup(ack, cause),
                cause,
                kind: Kind::Syn,
                small: true,
            });
        }
        self.plan_text()
            .or_else(|| self.pending.ack.map(|cause| self.plan_bare(cause)))
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
        // Our SYN comes first, but for the FIN of a CLOSE in SYN-RECEIVED (3.10.4).
        let turn = self.snd.syn_acked || (self.state == State::FinWait1 && self.syn_outstanding());
        state && turn && !self.is_output_held()
    }

    /// One past the last octet that SEND took.
    pub(super) fn text_end(&self) -> Seq {
        self.text_start() + self.unacknowledged() as u32
    }

    fn plan_text(&self) -> Option<Plan> {
        let transfer = self.transfer.as_deref().filter(|_| self.may_send_text())?;
        if !self.is_selective() {
            return self.fit(&self.plain_turn(transfer));
        }
        let plan = self
            .selective_turn(transfer)
            .and_then(|turn| self.fit(&turn));
        plan.or_else(|| self.fit(&self.turn(transfer, self.choose_doubtful(transfer)?, Kind::Text)))
    }

    /// Whose turn it is without SACK: the segment at SND.UNA after duplicate ACKs, what a timeout
    /// sends again, then new text.
    fn plain_turn(&self, transfer: &Transfer) -> Candidate {
        let fast = self.pending.retransmission && self.snd.una.lt(self.snd.nxt);
        let from = if fast {
            self.snd.una
        } else {
            self.snd.cursor.unwrap_or(self.snd.nxt)
        };
        let until = if from.lt(self.snd.nxt) {
            self.snd.nxt
        } else {
            self.text_end()
        };
        let window = if fast {
            self.snd.wnd
        } else {
            self.snd.wnd.min(transfer.congestion.window())
        };
        Candidate {
            from,
            until,
            room: ahead(from, self.snd.una + window),
            kind: if fast { Kind::Fast } else { Kind::Text },
        }
    }

    /// Whose turn it is with SACK; `None`: the congestion window is full.
    fn selective_turn(&self, transfer: &Transfer) -> Option<Candidate> {
        if self.pending.tail_probe {
            return Some(self.turn(transfer, self.choose_probe(transfer)?, Kind::Tail));
        }
        if transfer.history.board.octets(Mark::Lost) > 0 {
            let choice = self.choose_lost(transfer)?;
            return Some(self.turn(
                transfer,
                choice,
                if choice.forced {
                    Kind::Fast
                } else {
                    Kind::Text
                },
            ));
        }
        let new = NextSegment {
            from: self.snd.nxt,
            until: self.text_end(),
            forced: false,
        };
        Some(self.turn(transfer, new, Kind::Text))
    }

    fn turn(&self, transfer: &Transfer, choice: NextSegment, kind: Kind) -> Candidate {
        let NextSegment {
            from,
            until,
            forced,
        } = choice;
        let room = ahead(from, self.snd.una + self.snd.wnd);
        Candidate {
            from,
            until,
            room: if forced {
                room
            } else {
                room.min(self.spare(transfer))
            },
            kind,
        }
    }

    /// The segment that this turn comes to, if one is worth sending.
    fn fit(&self, turn: &Candidate) -> Option<Plan> {
        let &Candidate {
            from,
            until,
            room,
            kind,
        } = turn;
        let end = self.text_end();
        // The octet of a zero-window probe goes again at the head of what follows it, which Nagle's
        // algorithm would hold back else.
        let lone_octet = from == self.snd.una
            && until == self.snd.nxt
            && until == from + 1
            && self.snd.fin.is_none();
        let until = if lone_octet { end } else { until };
        let repeated = from.lt(self.snd.nxt);
        let left = ahead(from, end.min(until));
        let mss = self.effective_mss(self.sack_len());
        let len = left.min(room).min(mss);
        // The peer may hold our FIN and miss what comes before it.
        let fin_missing = self.snd.fin.is_none_or(|fin| until.gt(fin));
        let fin_due = self.snd.closing
            && fin_missing
            && from + len == end
            && room > len
            && self.may_send_fin(from);
        if len == 0 && !fin_due {
            return None;
        }
        if !(repeated || fin_due || kind == Kind::Tail || self.worth_sending(len, mss, left)) {
            return None;
        }
        let mut flags = Flags::ACK;
        if len > 0 && from + len == end {
            flags |= Flags::PSH;
        }
        if fin_due {
            flags |= Flags::FIN;
        }
        Some(Plan {
            seq: from,
            len,
            flags,
            cause: self.cause_of(kind, repeated),
            kind,
            small: len < mss,
        })
    }

    fn cause_of(&self, kind: Kind, repeated: bool) -> Cause {
        let timed_out = self.snd.retransmissions;
        let recovering = self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.congestion.in_recovery())
            && self.is_selective();
        match (kind, repeated) {
            (Kind::Tail, _) => Cause::TailLossProbe,
            (_, true) if timed_out > 0 && (kind != Kind::Fast || self.is_selective()) => {
                Cause::Retransmission(timed_out)
            }
            (Kind::Fast, _) => Cause::FastRetransmission,
            (_, true) if recovering => Cause::FastRetransmission,
            (_, true) => Cause::Retransmission(1),
            (_, false) => self.snd.cause,
        }
    }

    /// The sender's silly-window avoidance (MUST-38, RFC 9293 3.8.6.2.1), with Nagle's algorithm
    /// for its bracketed conditions.
    fn worth_sending(&self, len: u32, mss: u32, left: u32) -> bool {
        let waits = self.is_small_held();
        len == mss
            || (len == left && !waits)
            || (len >= self.snd.max_wnd / 2 && !waits)
            || (len < left && len >= self.config.silly_window.least(u32::MAX))
            || (self.pending.small && len > 0)
    }

    /// Whether a segment smaller than full has to wait for an ACK (SHLD-7).
    fn is_small_held(&self) -> bool {
        match self.config.nagle {
            Nagle::Off => false,
            Nagle::Rfc896 => self.snd.una != self.snd.nxt,
            Nagle::Minshall => self.snd.small.is_some(),
        }
    }

    /// Something waits for a larger window than there is.
    pub(super) fn is_waiting_for_window(&self) -> bool {
        self.may_send_text()
            && self.text_end().gt(self.snd.nxt)
            && self.snd.wnd > 0
            && self.plan_text().is_none()
    }

    fn plan_bare(&self, cause: Cause) -> Plan {
        let plan = Plan {
            seq: self.snd.nxt,
            len: 0,
            flags: Flags::ACK,
            cause,
            kind: Kind::Bare,
            small: true,
        };
        match cause {
            Cause::Probe
                if self.config.zero_window_probe == ZeroWindowProbe::OneByte
                    && self.unacknowledged() > 0 =>
            {
                Plan {
                    seq: self.snd.una,
                    len: 1,
                    ..plan
                }
            }
            Cause::Probe => Plan {
                seq: self.snd.una.back(1),
                ..plan
            },
            Cause::KeepAlive => Plan {
                seq: self.snd.nxt.back(1),
                ..plan
            },
            _ => plan,
        }
    }

    /// RFC 5681 section 4.1.
    fn restart_after_idle(&mut self, now: Instant) {
        let idle =
            self.snd.una == self.snd.nxt && now.since(self.snd.last_sent) > self.estimator.rto();
        if idle && self.may_send_text() {
            let (initial, mss) = (self.config.initial_window, self.effective_mss(0));
            if let Some(control) = self.congestion_mut() {
                control.idle(initial, mss);
            }
            self.snd.last_sent = now;
        }
    }

    fn payload(&self, plan: &Plan) -> Payload<'_> {
        let Some(transfer) = self.transfer.as_ref().filter(|_| plan.len > 0) else {
            return (&[], &[]);
        };
        transfer.send.slices(
            plan.seq.since(self.text_start()) as usize,
            plan.len as usize,
        )
    }

    fn header(&self, now: Instant, plan: &Plan, id: u16) -> Header {
        let ack = plan.flags.has(Flags::ACK);
        let new = self.is_new(plan);
        Header {
            source: self.tuple.local,
            destination: self.tuple.remote,
            seq: plan.seq,
            ack: if ack { self.rcv.nxt } else { Seq(0) },
            flags: if plan.kind == Kind::Syn {
                plan.flags
            } else {
                plan.flags | self.ecn_flags(new)
            },
            window: self.window_field(plan.flags.has(Flags::SYN)),
            urgent: 0,
            options: self.options(now, plan),
            ttl: self.config.ttl,
            tos: self.tos(new),
            id,
        }
    }

    /// Whether it has text, all of which goes out for the first time.
    fn is_new(&self, plan: &Plan) -> bool {
        plan.len > 0 && plan.kind != Kind::Bare && plan.seq.ge(self.snd.nxt)
    }

    fn options(&self, now: Instant, plan: &Plan) -> Options {
        let ack = plan.flags.has(Flags::ACK);
        let echo = if ack { self.stamps.recent } else { 0 };
        let stamps = Timestamps {
            value: self.stamp(now),
            echo,
        };
        if plan.kind != Kind::Syn {
            let sack = match &self.transfer {
                Some(transfer) if self.rcv.sack => {
                    transfer
                        .receive
                        .sack_blocks(self.rcv.nxt, self.rcv.duplicate, self.sack_room())
                }
                _ => Default::default(),
            };
            return Options {
                timestamps: self.stamps.on.then_some(stamps),
                sack,
                ..Options::default()
            };
        }
        let (scale, sack, stamped) = if ack {
            (self.snd.scaled, self.rcv.sack, self.stamps.on)
        } else {
            (
                self.config.window_scaling,
                self.config.sack,
                self.config.timestamps,
            )
        };
        Options {
            mss: Some(offered_mss(&self.config, self.tuple.remote)),
            window_scale: scale.then_some(self.rcv.shift),
            sack_permitted: sack,
            timestamps: stamped.then_some(stamps),
            ..Options::default()
        }
    }

    /// Eff.snd.MSS (MUST-16) less the options that every segment carries, less `more` octets of
    /// them. At least 1.
    pub(super) fn effective_mss(&self, more: u32) -> u32 {
        let path = u32::from(self.snd.mss) + u32::from(headers(self.tuple.remote));
        self.segment_within(self.snd.path_mtu.min(path.try_into().unwrap_or(u16::MAX)))
            .saturating_sub(more)
            .max(1)
    }

    /// Octets of text in a packet of `mtu` octets.
    pub(super) fn segment_within(&self, mtu: u16) -> u32 {
        let stamps = if self.stamps.on { 12 } else { 0 };
        u32::from(
            mtu.saturating_sub(headers(self.tuple.remote))
                .saturating_sub(stamps),
        )
    }

    /// At most three SACK blocks beside timestamps, else four (RFC 2018 section 3).
    fn sack_room(&self) -> usize {
        if self.stamps.on { 3 } else { 4 }
    }

    /// One past the last of what SACK reports.
    pub(super) fn held_end(&self) -> Option<Seq> {
        let transfer = self.transfer.as_deref().filter(|_| self.rcv.sack)?;
        let blocks = transfer
            .receive
            .sack_blocks(self.rcv.nxt, None, self.sack_room());
        blocks
            .as_slice()
            .iter()
            .map(|(_, right)| *right)
            .max_by_key(|right| right.since(self.rcv.nxt))
    }

    /// Octets that SACK blocks take in the next segment.
    pub(super) fn sack_len(&self) -> u32 {
        let Some(transfer) = self.transfer.as_deref().filter(|_| self.rcv.sack) else {
            return 0;
        };
        let count = usize::from(self.rcv.duplicate.is_some()) + transfer.receive.blocks();
        match count.min(self.sack_room()) {
            0 => 0,
            blocks => 4 + 8 * blocks as u32,
        }
    }

    /// TSval: milliseconds, from an offset of its own per connection (RFC 7323 sections 5.4, 7.1).
    pub(super) fn stamp(&self, now: Instant) -> u32 {
        (now.millis() as u32).wrapping_add(self.stamps.offset)
    }

    /// The right edge to offer: it moves by a full segment or half the buffer at least, never to
    /// the left (MUST-39, SHLD-14).
    pub(super) fn next_edge(&self) -> Seq {
        let Some(transfer) = &self.transfer else {
            return self.rcv.edge;
        };
        let free = self
            .config
            .receive_buffer
            .saturating_sub(transfer.receive.readable());
        let largest = 65_535usize << self.rcv.shift;
        let candidate =
            self.rcv.nxt + (free.min(largest) >> self.rcv.shift << self.rcv.shift) as u32;
        let full = u32::from(offered_mss(&self.config, self.tuple.remote))
            .min((self.config.receive_buffer / 2) as u32);
        let least = self.config.silly_window.least(full);
        if candidate.gt(self.rcv.edge) && candidate.since(self.rcv.edge) >= least {
            candidate
        } else {
            self.rcv.edge
        }
    }

    /// Whether the FIN is, or may be, the next octet from here on.
    fn may_send_fin(&self, from: Seq) -> bool {
        self.snd.fin.is_none_or(|fin| {
            from.le(fin) && self.config.fin_repeats == FinRepeats::UntilAcknowledged
        })
    }

    fn rcv_edge_moves(&mut self) {
        if !self.rcv.fin_reached {
            self.rcv.edge = self.next_edge();
        }
    }

    /// RCV.WND as the peer sees it: rounded up to the scale's unit, so that rounding never moves
    /// the edge to the left.
    pub(super) fn window(&self) -> u32 {
        let unit = 1u32 << self.rcv.shift;
        self.rcv.edge.since(self.rcv.nxt).div_ceil(unit).min(65_535) << self.rcv.shift
    }

    fn window_field(&self, syn: bool) -> u16 {
        let window = if syn {
            self.config.receive_buffer as u32
        } else {
            self.window() >> self.rcv.shift
        };
        u16::try_from(window).unwrap_or(u16::MAX)
    }

    fn carries(&self, plan: &Plan, header: &Header) -> Carries {
        let mut carries = Carries::default();
        let mut set = |condition: bool, what: Carries| {
            if condition {
                carries.add(what);
            }
        };
        set(plan.flags.has(Flags::SYN), Carries::SYN);
        set(plan.flags.has(Flags::FIN), Carries::FIN);
        set(plan.len > 0, Carries::DATA);
        if plan.flags.has(Flags::ACK) {
            let of_syn = header.ack == self.rcv.irs + 1;
            let news = header.ack != self.rcv.acked;
            set(of_syn, Carries::ACK_OF_SYN);
            set(self.rcv.fin_reached, Carries::ACK_OF_FIN);
            set(
                news && !(self.rcv.fin_reached && header.ack == self.rcv.acked + 1),
                Carries::ACK_OF_DATA,
            );
            let bare = plan.kind == Kind::Bare && plan.cause == Cause::Call;
            set(bare && !news && !of_syn, Carries::WINDOW_UPDATE);
        }
        carries
    }

    fn sent(&mut self, cx: &mut Context<'_>, plan: &Plan) {
        if plan.flags.has(Flags::ACK) {
            if plan.kind != Kind::Syn {
                self.ack_sent(cx.now, plan.kind != Kind::Bare && plan.len > 0);
                (self.pending.ack, self.rcv.duplicate) = (None, None);
            }
            self.rcv.acked = self.rcv.nxt;
            self.stop(cx, Timer::DelayedAck);
        }
        match plan.kind {
            Kind::Syn => self.on_syn_sent(cx, plan),
            Kind::Bare if plan.len == 0 => {}
            _ => self.on_text_sent(cx, plan),
        }
        self.arm(cx);
    }

    fn on_syn_sent(&mut self, cx: &mut Context<'_>, plan: &Plan) {
        self.pending.syn = None;
        self.snd.syn_stamp = self.snd.syn_stamp.or(Some(self.stamp(cx.now)));
        if self.snd.nxt == self.snd.iss {
            self.snd.nxt = self.snd.iss + 1;
            self.snd.timed = Some((plan.seq, cx.now));
        } else {
            self.snd.timed = self.timed_again(cx.now, plan.seq);
        }
        self.snd.last_sent = cx.now;
        if !self.syn_outstanding() {
            return;
        }
        self.start_user_timeout(cx);
        if !(self.runs(Timer::Retransmission) && plan.cause == Cause::Ack) {
            self.start(cx, Timer::Retransmission, self.estimator.rto());
        }
    }

    fn on_text_sent(&mut self, cx: &mut Context<'_>, plan: &Plan) {
        let fin = plan.flags.has(Flags::FIN);
        let end = plan.seq + plan.len + u32::from(fin);
        let nxt = self.snd.nxt;
        if fin {
            self.snd.fin = Some(plan.seq + plan.len);
        }
        if end.gt(self.snd.nxt) {
            self.snd.nxt = end;
            if plan.small {
                self.snd.small = Some(end);
            }
            if plan.seq.ge(self.snd.una) && self.snd.timed.is_none() && self.snd.cursor.is_none() {
                self.snd.timed = Some((plan.seq, cx.now));
            }
        } else {
            self.snd.timed = self.timed_again(cx.now, plan.seq);
        }
        match plan.kind {
            Kind::Fast => self.pending.retransmission = false,
            _ => {
                self.snd.cursor = self
                    .snd
                    .cursor
                    .map(|_| end)
                    .filter(|cursor| cursor.lt(self.snd.nxt))
            }
        }
        self.pending.small = false;
        self.snd.last_sent = cx.now;
        self.stop(cx, Timer::Override);
        let probing = plan.kind == Kind::Bare;
        if !probing && (!self.runs(Timer::Retransmission) || plan.kind == Kind::Fast) {
            self.start(cx, Timer::Retransmission, self.estimator.rto());
        }
        if self.is_selective() {
            // A zero-window probe is not what the octets that it repeats wait for.
            self.note_in_history(
                cx.now,
                if probing { nxt.max(plan.seq) } else { plan.seq },
                end.max(plan.seq),
                nxt,
            );
            self.schedule_probe(cx);
        }
        self.start_user_timeout(cx);
    }

    /// MUST-21, from the oldest octet, or the SYN, that is not acknowledged.
    pub(super) fn start_user_timeout(&mut self, cx: &mut Context<'_>) {
        if let (Some(timeout), false) = (self.config.user_timeout, self.runs(Timer::User)) {
            self.start(cx, Timer::User, timeout);
        }
    }

    /// The last ACK of a connection that is gone: it leaves without it.
    pub(super) fn reply_ack(&mut self, cx: &mut Context<'_>, cause: Cause) {
        let plan = Plan {
            seq: self.snd.nxt,
            len: 0,
            flags: Flags::ACK,
            cause,
            kind: Kind::Bare,
            small: true,
        };
        let header = self.header(cx.now, &plan, 0);
        let label = Label {
            cause,
            carries: self.carries(&plan, &header),
        };
        cx.replies.push_back(Reply {
            conn: Some(cx.id),
            header,
            label,
            packet: cx.record.packet,
        });
    }

    /// The RST of an ABORT (3.10.5).
    pub(super) fn reply_reset(&mut self, cx: &mut Context<'_>) {
        let flags = match self.config.abort_rst {
            AbortRst::Bare => Flags::RST,
            AbortRst::WithAck => Flags::RST | Flags::ACK,
        };
        let plan = Plan {
            seq: self.snd.nxt,
            len: 0,
            flags,
            cause: Cause::Call,
            kind: Kind::Bare,
            small: true,
        };
        let header = self.header(cx.now, &plan, 0);
        let label = Label {
            cause: Cause::Call,
            carries: Carries::RST,
        };
        cx.replies.push_back(Reply {
            conn: Some(cx.id),
            header,
            label,
            packet: cx.record.packet,
        });
    }

    /// The RST that answers a segment which cannot belong to this connection.
    pub(super) fn reply_reset_to(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) {
        let reply = reset_to(segment, self.config.ttl, Some(cx.id), cx.record.packet);
        cx.replies.push_back(reply);
    }

    /// Whether application data and FIN still wait for [`release`](Tcb::release).
    pub(super) fn is_output_held(&self) -> bool {
        self.config.held_output == HeldOutput::DataAndFin && !self.snd.output_released
    }
}

/// The MSS option (MUST-14, MUST-67): what fits into the link's MTU, or less if so configured.
pub(crate) fn offered_mss(config: &ConnConfig, remote: SocketAddr) -> u16 {
    let fits = config.mtu.saturating_sub(headers(remote));
    config.mss.map_or(fits, |mss| mss.min(fits))
}

/// How many octets `to` lies ahead of `from`; none if it lies behind.
fn ahead(from: Seq, to: Seq) -> u32 {
    if from.lt(to) { to.since(from) } else { 0 }
}

/// Octets of the IP and TCP headers without options.
const fn headers(remote: SocketAddr) -> u16 {
    if remote.is_ipv4() { 40 } else { 60 }
}

/// The RST that answers a segment for which there is no connection (3.10.7.1): it takes its
/// sequence number from the segment's ACK, or acknowledges the segment where that has none.
pub(crate) fn reset_to(
    segment: &Segment<'_>,
    ttl: u8,
    conn: Option<ConnId>,
    packet: Option<u64>,
) -> Reply {
    let got = &segment.header;
    let acked = got.flags.has(Flags::ACK);
    let header = Header {
        source: got.destination,
        destination: got.source,
        seq: if acked { got.ack } else { Seq(0) },
        ack: if acked {
            Seq(0)
        } else {
            got.seq + segment.len()
        },
        flags: if acked {
            Flags::RST
        } else {
            Flags::RST | Flags::ACK
        },
        window: 0,
        urgent: 0,
        options: Options::default(),
        ttl,
        tos: 0,
        id: 0,
    };
    Reply {
        conn,
        header,
        label: Label {
            cause: Cause::Reset,
            carries: Carries::RST,
        },
        packet,
    }
}
