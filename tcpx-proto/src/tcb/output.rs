//! The segment that was decided on: written, labelled, and noted as sent.

use super::Tcb;
use super::burst::{Ids, Most, Sent};
use super::context::Context;
use super::plan::{Kind, Plan};
use super::room::first_window;
use super::size::offered_mss;
use crate::config::{ReceiveWindow, Samples, ShrunkWindow, SimultaneousOptions};
use crate::event::Timer;
use crate::label::{Carries, Cause, Label};
use crate::seq::Seq;
use crate::time::Instant;
use crate::wire::{self, Flags, Header, Options, Payload, SackBlocks, Timestamps};
use core::net::IpAddr;

impl Tcb {
    /// Whether [`transmit`](Tcb::transmit) has something.
    pub(crate) fn has_output(&self) -> bool {
        self.plan().is_some()
    }

    /// The next segment to send; `None` when there is nothing.
    pub(crate) fn next_segment(&mut self, now: Instant) -> Option<Plan> {
        self.restart_after_idle(now);
        self.plan()
    }

    /// Writes the [`next_segment`](Tcb::next_segment), and as many as follow it in a burst and fit
    /// behind it, and notes what sending them means; `None` when they do not fit.
    pub(crate) fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        plan: Plan,
        into: &mut [u8],
        ids: &mut Ids,
        most: impl FnOnce(IpAddr) -> Most,
    ) -> Option<Sent> {
        let edge = self.rcv.edge;
        if plan.flags.contains(Flags::ACK) && plan.kind != Kind::Syn {
            self.rcv_edge_moves();
        }
        let header = self.header(cx.now, &plan, ids.take());
        let repeats = edge == self.rcv.edge && self.is_repeatable(cx, &plan, &header);
        let label = Label {
            cause: plan.cause,
            carries: self.carries(&plan, &header),
        };
        let most = if repeats {
            most(self.tuple.remote.ip())
        } else {
            Most::Packets(1)
        };
        if let Most::Uncut(room) = most
            && let Some((len, count)) = self.write_uncut(cx, &plan, &header, room, into)
        {
            (1..count).for_each(|_| _ = ids.take());
            self.ecn.on_sent(header.flags);
            self.on_sent(cx, &plan, count as u32);
            return Some(Sent {
                len,
                count,
                text: count * plan.len as usize,
                label,
            });
        }
        let payload = self.payload(&plan);
        let written = header
            .emit_by(cx.sum, self.config.syn_options, payload, into)
            .ok()?;
        // Nor may what is longer in any case, by its options, be lost for that.
        if self.snd.fragments || written > usize::from(self.snd.path_mtu) {
            wire::allow_fragments(into);
        }
        self.ecn.on_sent(header.flags);
        let mut count = 1;
        if let Most::Packets(most @ 2..) = most {
            let most = most
                .min(into.len() / written)
                .min(self.full_segments(&plan));
            count += self.repeat(cx.sum, &plan, ids, into, (written, most));
        }
        self.on_sent(cx, &plan, count as u32);
        Some(Sent {
            len: written,
            count,
            text: 0,
            label,
        })
    }

    /// RFC 5681 section 4.1.
    fn restart_after_idle(&mut self, now: Instant) {
        let rto = self.estimator.rto();
        let idle = now.since(self.snd.last_sent);
        //= 5681-13
        if self.snd.una == self.snd.nxt && idle > rto && self.may_send_text() {
            let mss = self.effective_mss(0);
            if let Some(congestion) = self.congestion_mut() {
                congestion.idle(idle, rto, mss);
            }
            self.snd.last_sent = now;
        }
    }

    pub(super) fn payload(&self, plan: &Plan) -> Payload<'_> {
        // The text of a SYN comes after it.
        let seq = plan.seq + u32::from(plan.kind == Kind::Syn);
        let offset = seq.since(self.snd.text_start()) as usize;
        match &self.transfer {
            Some(transfer) if plan.len > 0 => transfer.send.slices(offset, plan.len as usize),
            _ => (&[], &[]),
        }
    }

    pub(super) fn header(&self, now: Instant, plan: &Plan, id: u16) -> Header {
        let ack = plan.flags.contains(Flags::ACK);
        let new = self.is_new(plan);
        Header {
            //= MUST-45
            source: self.tuple.local,
            destination: self.tuple.remote,
            seq: plan.seq,
            ack: if ack { self.rcv.nxt } else { Seq(0) },
            flags: if plan.kind == Kind::Syn {
                plan.flags
            } else {
                plan.flags | self.ecn.flags(new)
            },
            window: self.window_field(plan.flags.contains(Flags::SYN)),
            //= SHLD-13
            urgent: 0,
            options: self.options(now, plan),
            //= MUST-49
            ttl: self.config.ttl,
            //= MUST-48, SHLD-22
            tos: self.ecn.tos(self.config.tos, new),
            id,
        }
    }

    /// Whether it has text, all of which goes out for the first time.
    fn is_new(&self, plan: &Plan) -> bool {
        let text = !matches!(plan.kind, Kind::Bare | Kind::Syn);
        plan.len > 0 && text && plan.seq.ge(self.snd.nxt)
    }

    fn options(&self, now: Instant, plan: &Plan) -> Options {
        let ack = plan.flags.contains(Flags::ACK);
        let stamps = Timestamps {
            value: self.stamps.value(now),
            //= 7323-7
            echo: if ack { self.stamps.recent } else { 0 },
        };
        let agreed =
            self.passive || self.config.simultaneous_options == SimultaneousOptions::Agreed;
        match plan.kind {
            //= 7323-6
            Kind::Syn if ack && agreed => Options {
                fast_open: self.fast_open_option(plan),
                ..self.syn_options(stamps, [self.stamps.on, self.snd.scaled, self.rcv.sack])
            },
            //= MUST-65, 2018-1
            Kind::Syn => Options {
                fast_open: self.fast_open_option(plan),
                ..self.syn_options(
                    stamps,
                    [
                        self.config.timestamps,
                        self.config.window_scaling,
                        self.config.sack,
                    ],
                )
            },
            _ => Options {
                //= 7323-6
                timestamps: self.stamps.on.then_some(stamps),
                sack: if self.is_mini() && !plan.flags.contains(Flags::RST) {
                    SackBlocks::default()
                } else {
                    self.sack_blocks(self.rcv.duplicate)
                },
                ..Options::default()
            },
        }
    }

    /// The options of a SYN that offers these, or of a SYN,ACK that accepts them.
    fn syn_options(&self, stamps: Timestamps, [stamped, scaled, sack]: [bool; 3]) -> Options {
        Options {
            //= SHLD-5, MAY-3
            mss: Some(offered_mss(&self.config, self.tuple.remote)),
            window_scale: scaled.then_some(self.rcv.shift),
            sack_permitted: sack,
            timestamps: stamped.then_some(stamps),
            ..Options::default()
        }
    }

    /// What came again, and what is held beyond RCV.NXT.
    fn sack_blocks(&self, duplicate: Option<(Seq, Seq)>) -> SackBlocks {
        match &self.transfer {
            //= 2018-2
            Some(transfer) if self.rcv.sack => {
                transfer
                    .receive
                    .sack_blocks(self.rcv.nxt, duplicate, self.sack_room())
            }
            _ => SackBlocks::default(),
        }
    }

    /// One past the last of what SACK reports.
    pub(super) fn held_end(&self) -> Option<Seq> {
        self.sack_blocks(None)
            .as_slice()
            .iter()
            .map(|(_, right)| *right)
            .max_by_key(|right| right.since(self.rcv.nxt))
    }

    /// The right edge to offer: it moves by a full segment or half the buffer at least, never to
    /// the left (MUST-39, SHLD-14).
    pub(super) fn next_edge(&self) -> Seq {
        if let Some(edge) = self.selected_edge() {
            return edge;
        }
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
        //= MUST-39
        if candidate.gt(self.rcv.edge) && candidate.since(self.rcv.edge) >= least {
            candidate
        } else {
            self.rcv.edge
        }
    }

    /// What the next segment offers is chosen.
    pub(super) fn rcv_edge_moves(&mut self) {
        // Linux's window stays as it is while there is no socket.
        if self.is_request() && self.config.receive_window == ReceiveWindow::Linux {
            return;
        }
        let edge = match self.config.receive_window {
            ReceiveWindow::Buffer if self.rcv.fin_reached => self.rcv.edge,
            _ => self.next_edge(),
        };
        self.rcv.offer(edge);
    }

    fn window_field(&self, syn: bool) -> u16 {
        let window = if syn && self.is_served_early() {
            self.rcv.edge.since(self.rcv.nxt)
        } else if syn || (self.is_request() && self.config.receive_window == ReceiveWindow::Linux) {
            let stamps = if self.passive { self.stamps.len() } else { 0 };
            let mss = offered_mss(&self.config, self.tuple.remote) - stamps;
            // Nothing was offered at this scale before the first ACK, so that rounding down takes
            // nothing back (`tcp_v4_reqsk_send_ack`).
            //= 7323-2
            let shift = if syn { 0 } else { self.rcv.shift };
            first_window(&self.config, mss.into()) >> shift
        } else {
            //= 7323-4
            self.rcv.window().div_ceil(1 << self.rcv.shift)
        };
        u16::try_from(window).unwrap_or(u16::MAX)
    }

    pub(super) fn carries(&self, plan: &Plan, header: &Header) -> Carries {
        let mut carries = Carries::default();
        let mut set = |condition: bool, what: Carries| {
            if condition {
                carries.insert(what);
            }
        };
        set(plan.flags.contains(Flags::SYN), Carries::SYN);
        set(plan.flags.contains(Flags::FIN), Carries::FIN);
        set(plan.len > 0, Carries::DATA);
        if plan.flags.contains(Flags::ACK) {
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

    /// `count` segments left: this one, and others of a burst.
    fn on_sent(&mut self, cx: &mut Context<'_>, plan: &Plan, count: u32) {
        let again = plan.kind != Kind::Syn
            && (plan.len > 0 || plan.flags.contains(Flags::FIN))
            && plan.seq.lt(self.snd.nxt);
        if let Some(transfer) = &mut self.transfer {
            transfer.counts.sent(count, plan.len, again);
        }
        if plan.flags.contains(Flags::ACK) {
            if plan.kind != Kind::Syn {
                let text = plan.kind != Kind::Bare && plan.len > 0;
                self.pace.on_ack_sent(&self.config, cx.now, text);
                self.pending.ack = None;
                //= 2883-1
                self.rcv.duplicate = None;
            }
            self.rcv.acked = self.rcv.nxt;
            self.timers.stop(cx, Timer::DelayedAck);
        }
        match plan.kind {
            Kind::Syn => self.on_syn_sent(cx, plan),
            Kind::Bare if plan.len == 0 => {}
            _ => self.on_text_sent(cx, plan, count),
        }
        self.arm(cx);
    }

    fn on_syn_sent(&mut self, cx: &mut Context<'_>, plan: &Plan) {
        self.pending.syn = None;
        self.note_syn_text(plan);
        self.snd.syn_stamp = self.snd.syn_stamp.or(Some(self.stamps.value(cx.now)));
        let crossed = !self.passive && plan.flags.contains(Flags::ACK);
        if self.snd.nxt == self.snd.iss {
            self.snd.nxt = self.snd.iss + 1;
            self.snd.timed = Some((plan.seq, cx.now));
        } else if crossed
            && plan.cause == Cause::Ack
            && self.config.rto.samples == Samples::CrossedSyn
        {
            self.snd.timed = Some((plan.seq, cx.now));
        } else {
            self.snd
                .time_again(self.config.rto.samples, cx.now, plan.seq);
        }
        self.snd.last_sent = cx.now;
        if !self.snd.is_syn_outstanding() {
            return;
        }
        self.count_user_timeout(cx);
        if !(self.timers.is_running(Timer::Retransmission) && plan.cause == Cause::Ack) {
            self.start_retransmission_timer(cx);
        }
    }

    fn on_text_sent(&mut self, cx: &mut Context<'_>, plan: &Plan, count: u32) {
        let fin = plan.flags.contains(Flags::FIN);
        let last = plan.seq + (count - 1) * plan.len;
        let end = last + plan.len + u32::from(fin);
        let nxt = self.snd.nxt;
        if fin {
            self.snd.fin = Some(plan.seq + plan.len);
        }
        if end.gt(self.snd.nxt) {
            self.snd.nxt = end;
            if plan.small {
                self.snd.small = Some(end);
            }
            //= 6298-8
            if plan.seq.ge(self.snd.una) && self.snd.timed.is_none() && self.snd.cursor.is_none() {
                self.snd.timed = Some((plan.seq, cx.now));
            }
        } else {
            self.snd
                .time_again(self.config.rto.samples, cx.now, plan.seq);
        }
        if plan.kind == Kind::Fast {
            self.pending.retransmission = false;
        } else if self.snd.cursor.is_some() {
            self.snd.cursor = Some(end).filter(|cursor| cursor.lt(self.snd.nxt));
        }
        let overrides = core::mem::take(&mut self.pending.small);
        self.snd.last_sent = cx.now;
        self.timers.stop(cx, Timer::Override);
        let probing = plan.kind == Kind::Bare;
        self.count_user_timeout(cx);
        if !probing && (!self.timers.is_running(Timer::Retransmission) || plan.kind == Kind::Fast) {
            self.start_retransmission_timer(cx);
        }
        if self.is_selective() {
            // A zero-window probe is not what the bytes that it repeats wait for.
            let seq = if probing { nxt.max(plan.seq) } else { plan.seq };
            self.note_in_history(cx.now, (seq, end.max(plan.seq)), last.max(seq), nxt);
            // What silly-window avoidance held back is no tail in Linux (`tcp_write_wakeup`).
            if !(overrides && self.config.shrunk_window == ShrunkWindow::Resend) {
                self.schedule_tail_probe(cx, plan.kind == Kind::Text && end.gt(nxt));
            }
        }
        if !probing {
            self.note_window_use(cx.now, end.since(plan.seq), end.le(nxt));
        }
    }
}
