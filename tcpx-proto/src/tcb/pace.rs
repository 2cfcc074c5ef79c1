//! When text that came in order is acknowledged: RFC 9293 section 3.8.6.3, and Linux's pace.

use super::coder::Coder;
use super::size::offered_mss;
use super::{Context, Tcb};
use crate::config::{AckPace, ConnConfig};
use crate::event::Timer;
use crate::label::Cause;
use crate::state::State;
use crate::time::{Duration, Instant, nanos};
use crate::wire::{Flags, Segment};

/// The longest that Linux delays an ACK, ns, whatever it asks for first (`TCP_DELACK_MAX`).
const LONGEST: u64 = 200_000_000;
/// The same for a peer whose segments are full (`HZ / 2`); [`LONGEST`] bounds it in the end.
const LONGEST_OF_FULL: u64 = 500_000_000;
/// The least of a segment that may be a peer's full one: with PSH `TCP_MSS_DEFAULT`, without it
/// `TCP_MIN_MSS`.
const FULL_IF_PUSHED: u32 = 536;
const FULL_IF_NOT: u32 = 88;

/// What is known of the peer's and the application's habits (Linux's `icsk_ack`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Pace {
    /// ACKs still to send without delay.
    quick: u32,
    /// How long an ACK waits, ns (`ato`); zero before the first text.
    wait: u64,
    /// The application answers what it gets, and its answer takes the ACK along (`pingpong`).
    interactive: bool,
    /// Segments since the last ACK that end what the peer's application wrote, up to 2
    /// (`ICSK_ACK_PUSHED`, `ICSK_ACK_PUSHED2`).
    pushed: u8,
    /// Text or a FIN came since the last ACK.
    owed: bool,
    /// The peer's full segment, an estimate (`rcv_mss`).
    full: u32,
    /// The last segment if it may have been full, though smaller than `full`.
    candidate: Option<u32>,
    /// When text came last.
    heard: Instant,
}

impl Pace {
    pub(super) fn new(config: &ConnConfig, now: Instant) -> Pace {
        let quick = if config.ack_pace == AckPace::Linux {
            0
        } else {
            config.quick_acks
        };
        Pace {
            quick,
            wait: 0,
            interactive: false,
            pushed: 0,
            owed: false,
            full: 0,
            candidate: None,
            heard: now,
        }
    }

    /// The peer's full segment, bytes, an estimate.
    pub(super) fn full(&self) -> u32 {
        self.full
    }

    /// The SYN limits how large the peer's segments may be (`tcp_initialize_rcv_mss`).
    pub(super) fn expect(&mut self, mss: u32, window: u32) {
        self.full = mss.min(window / 2).clamp(FULL_IF_NOT, FULL_IF_PUSHED);
    }

    /// Linux's `tcp_measure_rcv_mss`: the peer's full segment is the largest seen, or what came
    /// twice in a row and is large enough. `stamps`, `sack`: bytes of these options; the second
    /// kind comes and goes.
    fn measure(&mut self, len: u32, [stamps, sack]: [u32; 2], most: u32, flags: Flags) {
        let before = self.candidate.take();
        if len >= self.full {
            self.full = len.min(most);
            self.pushed = self.pushed.max(u8::from(flags.contains(Flags::PSH)));
            return;
        }
        let ends = [Flags::PSH, Flags::FIN, Flags::URG, Flags::SYN]
            .into_iter()
            .any(|flag| flags.contains(flag));
        if len + stamps + sack >= if ends { FULL_IF_PUSHED } else { FULL_IF_NOT } {
            self.candidate = Some(len + sack);
            if before == self.candidate {
                self.full = len + sack;
                return;
            }
        }
        self.pushed = (self.pushed + 1).min(2);
    }

    /// The next ACKs go at once: as many as half the offered `window` takes full segments, at most
    /// `most` (`tcp_incr_quickack`).
    fn quicken(&mut self, window: u32, most: u32) {
        let fits = window / (2 * self.full.max(1));
        let quick = if fits == 0 { 2 } else { fits };
        self.quick = self.quick.max(quick.min(most));
    }

    /// The next ACK goes at once: the window grows (`tcp_grow_window`).
    pub(super) fn hurry(&mut self) {
        self.quick |= 1;
    }

    /// How long an ACK waits in Linux, ns (`tcp_send_delayed_ack`).
    fn delay(&self, base: u64, srtt: Option<u64>) -> u64 {
        let most = if self.interactive || self.pushed > 0 {
            LONGEST
        } else {
            LONGEST_OF_FULL
        };
        let most = srtt.map_or(most, |srtt| srtt.max(base).min(most));
        let wait = if self.wait > base {
            self.wait.min(most)
        } else {
            self.wait
        };
        wait.min(base.max(LONGEST))
    }

    /// A delayed ACK is due in Linux: nothing came to take it along, so that the next one waits
    /// longer, and what was taken for a dialogue is none.
    fn on_timeout(&mut self, base: u64, rto: u64) {
        self.wait = if core::mem::take(&mut self.interactive) {
            base
        } else {
            self.wait.saturating_mul(2).min(rto)
        };
    }

    /// A segment left that acknowledges; `text`: it has text.
    pub(super) fn on_ack_sent(&mut self, config: &ConnConfig, now: Instant, text: bool) {
        let linux = config.ack_pace == AckPace::Linux;
        let counts = if linux { self.owed } else { !text };
        if counts && self.quick > 0 {
            self.quick -= 1;
            if let (true, 0, Some(base)) = (linux, self.quick, config.delayed_ack) {
                self.wait = nanos(base);
            }
        }
        self.owed = false;
        self.pushed = 0;
        self.interactive |= linux && text && now.0.saturating_sub(self.heard.0) < self.wait;
    }

    /// Codes all of it.
    pub(super) fn code(&mut self, coder: &mut impl Coder, heard: Instant, waits: bool) {
        let Pace {
            quick,
            wait,
            interactive,
            pushed,
            owed,
            full,
            candidate,
            heard: heard_at,
        } = self;
        coder.number(full, if waits { 0 } else { FULL_IF_PUSHED });
        coder.number(heard_at, heard);
        coder.group(|coder| {
            coder.number(quick, 0);
            coder.number(wait, 0);
            coder.flag(interactive, false);
            coder.number(pushed, 0);
            coder.flag(owed, false);
            coder.option(candidate, *full);
        });
    }
}

impl Tcb {
    /// The SYN arrived, and `window` bytes were offered.
    pub(super) fn expect_segments(&mut self, now: Instant, window: u32) {
        self.pace.heard = now;
        if self.config.ack_pace == AckPace::Linux {
            self.pace.expect(
                offered_mss(&self.config, self.tuple.remote)
                    .min(self.snd.mss)
                    .into(),
                window,
            );
        }
    }

    /// Text came; its ACK is due now, or later. `at_once`: it is out of the ordinary.
    pub(super) fn plan_ack(&mut self, cx: &mut Context<'_>, at_once: bool) {
        self.pace.owed = true;
        self.check_ack_due(cx, at_once);
    }

    /// The peer's full segment is estimated anew, from this one with text, and how long the next
    /// ACK waits, unless the text is behind a hole. Returns what a full segment was before.
    pub(super) fn measure(
        &mut self,
        cx: &Context<'_>,
        segment: &Segment<'_>,
        in_order: bool,
    ) -> u32 {
        let len = segment.payload.len() as u32;
        let before = self.pace.full;
        if self.config.ack_pace == AckPace::Rfc9293 {
            self.pace.full = before.max(len.min(u32::from(self.config.mtu)));
            return before;
        }
        let header = &segment.header;
        let stamps = if header.options.timestamps.is_some() {
            12
        } else {
            0
        };
        let sack = header.options.sack.as_slice().len() as u32;
        let sack = if sack > 0 { 4 + 8 * sack } else { 0 };
        let most = offered_mss(&self.config, self.tuple.remote) - self.stamps.len();
        self.pace
            .measure(len, [stamps, sack], most.into(), header.flags);
        if in_order {
            self.follow(cx);
        }
        before
    }

    /// Linux's `tcp_event_data_recv`: the ACK waits a little longer than the peer takes for its
    /// next segment.
    fn follow(&mut self, cx: &Context<'_>) {
        let Some(base) = self.config.delayed_ack.map(nanos) else {
            return;
        };
        let window = self.rcv.edge.since(self.rcv.acked);
        let granularity = self.config.timer_granularity;
        let heard = granularity.clock(self.pace.heard);
        let gap = granularity.clock(cx.now).0.saturating_sub(heard.0);
        let wait = self.pace.wait;
        if wait == 0 {
            self.pace.quicken(window, self.config.quick_acks);
            self.pace.wait = base;
        } else if gap <= base / 2 {
            self.pace.wait = granularity.cut(wait / 2) + base / 2;
        } else if gap < wait {
            let rto = nanos(self.estimator.rto());
            self.pace.wait = (granularity.cut(wait / 2) + gap).min(rto);
        } else if gap > nanos(self.estimator.rto()) {
            self.pace.quicken(window, self.config.quick_acks);
        }
        self.pace.heard = cx.now;
    }

    /// The peer sends again what is there: it may miss our ACKs (`tcp_enter_quickack_mode`).
    pub(super) fn ack_repetitions_quickly(&mut self) {
        if let (AckPace::Linux, Some(base)) = (self.config.ack_pace, self.config.delayed_ack) {
            let window = self.rcv.edge.since(self.rcv.acked);
            self.pace.quicken(window, self.config.quick_acks);
            self.pace.interactive = false;
            self.pace.wait = nanos(base);
        }
    }

    /// The ACK of what came again, or has no room, goes at once, and so do the next ones
    /// (`tcp_data_queue`).
    pub(super) fn acknowledge_repeated(&mut self) {
        self.ack_repetitions_quickly();
        self.pace.owed = true;
        self.acknowledge(Cause::Ack);
    }

    /// At once where ACKs are not delayed, where it is out of order or fills a hole, and for the
    /// second full segment (MUST-40, SHLD-18, SHLD-19, MAY-13), in Linux for more than one
    /// (`__tcp_ack_snd_check`).
    fn check_ack_due(&mut self, cx: &mut Context<'_>, at_once: bool) {
        // One goes out already.
        if self.pending.ack.is_some() {
            return;
        }
        let waiting = self.rcv.nxt.since(self.rcv.acked);
        let (full, quick) = match self.config.ack_pace {
            //= SHLD-19
            AckPace::Rfc9293 => (waiting >= 2 * self.pace.full, self.pace.quick > 0),
            // While the window cannot move, the ACK waits for a RECEIVE.
            AckPace::Linux => (
                waiting > self.pace.full && self.is_window_whole(),
                self.pace.quick > 0 && !self.pace.interactive,
            ),
        };
        match self.config.delayed_ack {
            //= SHLD-18, MUST-40
            Some(base) if !(at_once || full || quick) => self.delay_ack(cx, base),
            _ => self.acknowledge(Cause::Ack),
        }
    }

    /// Linux's `tcp_send_delayed_ack`; by the RFC there is but one delay.
    fn delay_ack(&mut self, cx: &mut Context<'_>, base: Duration) {
        let wait = match self.config.ack_pace {
            AckPace::Rfc9293 => nanos(base),
            AckPace::Linux => {
                let srtt = self.estimator.srtt.map(nanos);
                let wait = self.pace.delay(nanos(base), srtt);
                wait.max(self.config.timer_granularity.soonest())
            }
        };
        if !self.timers.is_running(Timer::DelayedAck) {
            return self
                .timers
                .start(cx, Timer::DelayedAck, Duration::from_nanos(wait));
        }
        let left = nanos(self.timers.left(cx.now, Timer::DelayedAck));
        let granularity = self.config.timer_granularity;
        if self.config.ack_pace == AckPace::Linux && left <= granularity.cut(wait / 4) {
            self.acknowledge(Cause::Ack);
        } else if wait < left {
            self.timers
                .start(cx, Timer::DelayedAck, Duration::from_nanos(wait));
        }
    }

    /// 3.10.7.4 sends the ACK of a FIN at once; the FIN of an application that closes in the same
    /// moment would be a second segment. Linux takes that for an answer (`tcp_fin` enters pingpong
    /// mode), so that one segment does both and a close takes three.
    pub(super) fn plan_ack_of_fin(&mut self, cx: &mut Context<'_>) {
        self.pace.owed = true;
        let waits = self.config.ack_pace == AckPace::Linux && self.state == State::Established;
        self.pace.interactive |= waits;
        self.check_ack_due(cx, !waits);
    }

    /// The application has read: Linux acknowledges what came since the last ACK if that is more
    /// than a full segment, or if all of it was read, was written to be read, and is not about to
    /// be answered (`tcp_cleanup_rbuf`).
    pub(super) fn plan_ack_of_read(&mut self) {
        if !self.pace.owed || self.config.ack_pace != AckPace::Linux {
            return;
        }
        let Some(transfer) = self.transfer.as_ref() else {
            return;
        };
        let read = transfer.receive.readable() == 0 && !transfer.receive.has_holes();
        let pushed = self.pace.pushed > u8::from(self.pace.interactive);
        if self.rcv.nxt.since(self.rcv.acked) > self.pace.full || (read && pushed) {
            self.acknowledge(Cause::Ack);
        }
    }

    /// A FIN comes: what it brings with it waits as the FIN's own ACK does.
    pub(super) fn expect_fin(&mut self) {
        self.pace.interactive |=
            self.config.ack_pace == AckPace::Linux && self.state == State::Established;
    }

    /// A delayed ACK is due.
    pub(super) fn on_delayed_ack_timeout(&mut self) {
        if let (AckPace::Linux, Some(base)) = (self.config.ack_pace, self.config.delayed_ack) {
            self.pace
                .on_timeout(nanos(base), nanos(self.estimator.rto()));
        }
        self.acknowledge(Cause::Ack);
    }
}
