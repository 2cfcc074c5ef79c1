//! Congestion control: slow start and recovery (RFC 5681, RFC 6582, RFC 6675), growing by NewReno
//! or CUBIC.

use super::coder::Coder;
use super::cubic::Cubic;
use super::path::Path;
use super::prr::{Delivery, Prr};
use super::undo::Undo;
use super::validation::{Cwnd, Sending, Validation};
use crate::config::{Congestion, ConnConfig, CwndReduction, SlowStart, SpuriousLoss, WindowUse};
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// What an acknowledgment asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reaction {
    /// Nothing beyond what the windows allow.
    Nothing,
    /// Send the segment at SND.UNA again, at once.
    Retransmit,
}

/// What goes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Phase {
    /// Nothing is wrong, as far as is known.
    Open,
    /// A mark was echoed, and the window falls.
    Reduction,
    /// Fast recovery (RFC 5681 section 3.2, RFC 6675 section 5).
    Recovery,
    /// The retransmission timer expired, and not all of what was sent until then is acknowledged.
    Loss,
}

/// The policies of the connection that concern the window.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Rules {
    congestion: Congestion,
    reduction: CwndReduction,
    slow_start: SlowStart,
    window_use: WindowUse,
    undo: SpuriousLoss,
    initial_window: u32,
}

/// The congestion window of one connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct CongestionController {
    rules: Rules,
    cwnd: u32,
    ssthresh: u32,
    /// The highest sequence number sent when the phase began (RFC 6582 section 3.2), RFC 6675's
    /// RecoveryPoint; at first ISS.
    recover: Seq,
    phase: Phase,
    duplicates: u32,
    /// What the first two duplicates let out beyond the window (RFC 3042); with PRR and without
    /// SACK, what all of them say to have arrived.
    limited: u32,
    /// SND.NXT when the window fell for a mark, until that is acknowledged.
    marked: Option<Seq>,
    /// Bytes acknowledged since the window last grew in congestion avoidance.
    credit: u32,
    cubic: Cubic,
    /// The reduction that goes on.
    prr: Option<Prr>,
    validation: Validation,
    undo: Option<Undo>,
}

/// What was in flight when something was lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) una: Seq,
    pub(crate) nxt: Seq,
    /// FlightSize (RFC 5681 section 2), bytes.
    pub(crate) bytes: u32,
    /// Bytes of which a second copy is on its way.
    pub(crate) resent: u32,
    pub(crate) mss: u32,
}

impl CongestionController {
    /// `syn_lost`: the SYN or SYN,ACK had to be sent again so often that the initial window is one
    /// segment (RFC 5681 section 3.1).
    pub(crate) fn new(
        config: &ConnConfig,
        mss: u32,
        iss: Seq,
        syn_lost: bool,
    ) -> CongestionController {
        let rules = Rules {
            congestion: config.congestion,
            reduction: config.cwnd_reduction,
            slow_start: config.slow_start,
            window_use: config.window_use,
            undo: config.spurious_loss,
            initial_window: config.initial_window,
        };
        //= 5681-3
        let cwnd = if syn_lost { mss } else { rules.initial(mss) };
        let ssthresh = u32::MAX;
        //= 6582-1
        let recover = iss;
        let cubic = Cubic::default();
        CongestionController {
            rules,
            cwnd,
            ssthresh,
            recover,
            phase: Phase::Open,
            duplicates: 0,
            limited: 0,
            marked: None,
            credit: 0,
            cubic,
            prr: None,
            validation: Validation::new(iss),
            undo: None,
        }
    }

    /// The slow start threshold, bytes; `None`: nothing was lost yet.
    pub(crate) fn threshold(&self) -> Option<u32> {
        (self.ssthresh != u32::MAX).then_some(self.ssthresh)
    }

    /// The window fell for a mark, and what was in flight then is not all acknowledged.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked.is_some()
    }

    /// How many bytes may be in flight; without congestion control any number.
    pub(crate) fn window(&self) -> u32 {
        if self.rules.congestion == Congestion::Off {
            u32::MAX
        } else {
            self.cwnd.saturating_add(self.limited)
        }
    }

    /// The same without what duplicates let out beyond it.
    pub(crate) fn cwnd(&self) -> u32 {
        self.window().saturating_sub(self.limited)
    }

    /// What duplicates without SACK say to have arrived.
    pub(crate) fn reported(&self) -> u32 {
        self.limited
    }

    /// How many more bytes may be in flight beside `used`. Where segments are counted, a small one
    /// takes the place of a whole one (`tcp_cwnd_test`).
    pub(crate) fn room(&self, used: u32, mss: u32) -> u32 {
        let room = self.window().saturating_sub(used);
        let counts = self.rules.window_use == WindowUse::Counted;
        if counts && used > 0 && room < mss {
            0
        } else {
            room
        }
    }

    /// Whether no loss is being repaired, and none may turn out to be none.
    pub(crate) fn is_quiet(&self) -> bool {
        self.phase == Phase::Open
            && self.prr.is_none()
            && self.undo.is_none()
            && self.duplicates == 0
    }

    pub(crate) fn in_recovery(&self) -> bool {
        self.phase == Phase::Recovery
    }

    /// After a timeout, until all is acknowledged that was sent before it.
    pub(crate) fn in_loss(&self) -> bool {
        self.phase == Phase::Loss
    }

    /// Whether a loss noticed now is a new one, for which a recovery begins: SND.UNA has passed
    /// what was in flight at the last (RFC 6582 section 3.2, RFC 6675 5.1).
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Reduction)
    }

    /// The same, for an ACK up to `una`.
    pub(crate) fn is_past(&self, una: Seq) -> bool {
        una.gt(self.recover)
    }

    /// The last byte that was in flight when a loss was noticed last (RFC 6675 section 5,
    /// RecoveryPoint).
    pub(crate) fn recovery_point(&self) -> Seq {
        self.recover
    }

    /// Everything up to `nxt` counts as in flight at the last loss.
    pub(crate) fn restart_at(&mut self, nxt: Seq) {
        self.recover = nxt.back(1);
    }

    /// Whether more than what was in flight at the last loss was sent.
    pub(crate) fn is_beyond(&self, nxt: Seq) -> bool {
        nxt.gt(self.recover + 1)
    }

    /// Without SACK: `acked` new bytes were acknowledged, up to `una`; `flight` bytes are
    /// outstanding after that.
    pub(crate) fn acked(&mut self, acked: u32, una: Seq, flight: u32, path: &Path) -> Reaction {
        let mss = path.mss;
        if self.rules.reduction == CwndReduction::Proportional {
            return self.acked_in_proportion(acked, una, flight, path);
        }
        self.limited = 0;
        if !self.in_recovery() {
            self.advanced(una);
            if self.is_past(una) {
                self.leave();
            }
            self.delivered(acked, acked, flight, flight, path);
            return Reaction::Nothing;
        }
        self.duplicates = 0;
        if self.is_past(una) {
            // A full acknowledgment: out of recovery without a burst (RFC 6582 section 3.2, step 3,
            // the careful choice).
            self.phase = Phase::Open;
            //= 6582-4
            self.cwnd = self.ssthresh.min(flight.max(mss) + mss);
            return Reaction::Nothing;
        }
        // A partial one: the next hole, and a window deflated by what left the network.
        //= 6582-3
        self.cwnd = self.cwnd.saturating_sub(acked).max(mss);
        if acked >= mss {
            self.cwnd += mss;
        }
        Reaction::Retransmit
    }

    /// The same with PRR. `limited` is what duplicates have reported as arrived: one segment each,
    /// without saying which (RFC 9937 section 6; Linux's `tcp_remove_reno_sacks`).
    fn acked_in_proportion(&mut self, acked: u32, una: Seq, flight: u32, path: &Path) -> Reaction {
        let mss = path.mss;
        let held = self.limited;
        self.advanced(una);
        // One segment fills the hole, the rest had arrived before.
        let delivered = acked.saturating_sub(held).max(acked.min(mss));
        let partial = self.in_recovery();
        self.limited = if partial {
            held.saturating_sub(acked.saturating_sub(mss)).min(flight)
        } else {
            0
        };
        let lost = if partial { mss } else { 0 };
        let pipe = flight.saturating_sub(self.limited + lost);
        let path = Path {
            loses: partial,
            ..*path
        };
        self.delivered(delivered, acked, flight, pipe, &path);
        if partial {
            Reaction::Retransmit
        } else {
            Reaction::Nothing
        }
    }

    /// A duplicate ACK with PRR: a segment more has arrived (Linux's `tcp_add_reno_sack`).
    fn duplicate_in_proportion(
        &mut self,
        flight: &InFlight,
        threshold: u32,
        path: &Path,
    ) -> Reaction {
        let mss = flight.mss;
        if self.in_loss() || (!self.in_recovery() && !self.is_past(flight.una)) {
            return Reaction::Nothing;
        }
        self.limited = (self.limited + mss).min(flight.bytes.saturating_sub(mss));
        let begins = !self.in_recovery() && self.limited >= threshold.saturating_mul(mss);
        if begins {
            self.lost(flight);
        }
        let lost = if begins { mss } else { 0 };
        let pipe = flight.bytes.saturating_sub(self.limited + lost);
        self.delivered(mss, 0, flight.bytes, pipe, path);
        if begins {
            Reaction::Retransmit
        } else {
            Reaction::Nothing
        }
    }

    /// SND.UNA is `una` now.
    pub(crate) fn advanced(&mut self, una: Seq) {
        self.duplicates = 0;
        // Never half the sequence space behind, where it would seem to lie ahead.
        self.recover = self.recover.max(una.back(1 << 30));
        // Until something later than what was in flight is acknowledged, and the CWR with it.
        self.marked = self.marked.filter(|until| una.le(*until));
        if self.phase == Phase::Reduction && self.marked.is_none() {
            self.leave();
        }
    }

    /// Recovery, or what follows a timeout, is over: what left the network has made room in the
    /// window that is left (RFC 6675 section 5; RFC 9937 section 6, last step).
    pub(crate) fn leave(&mut self) {
        if self.prr.take().is_some() {
            //= 9937-7
            self.cwnd = self.ssthresh;
        }
        self.phase = Phase::Open;
        self.limited = 0;
    }

    /// What an ACK delivered, in `bytes`, of which SND.UNA advanced by `acked`: `flight` bytes are
    /// outstanding after that, `pipe` of them in the network. In a reduction the window falls, else
    /// it grows.
    pub(crate) fn delivered(
        &mut self,
        bytes: u32,
        acked: u32,
        flight: u32,
        pipe: u32,
        path: &Path,
    ) {
        if let Some(prr) = &mut self.prr {
            let delivery = Delivery {
                bytes,
                safe: acked > 0 && !path.loses,
            };
            self.cwnd = prr
                .window(delivery, pipe, self.ssthresh, path.mss)
                .unwrap_or(self.cwnd);
            return;
        }
        // Not on an echo (RFC 3168 section 6.1.2), nor while losses are repaired.
        let counts = acked > 0 || (path.reorders && bytes > 0);
        if !counts || path.marked || self.in_recovery() {
            return;
        }
        let used = self.rules.window_use == WindowUse::Ignored
            || self.validation.is_limited(self.use_of());
        if used {
            self.grow(bytes, acked, flight, path);
        }
    }

    fn use_of(&self) -> Cwnd {
        Cwnd {
            bytes: self.cwnd,
            slow_start: self.cwnd < self.ssthresh,
        }
    }

    /// Slow start, then congestion avoidance: one segment per round trip (RFC 5681 section 3.1), or
    /// CUBIC's curve.
    fn grow(&mut self, delivered: u32, acked: u32, flight: u32, path: &Path) {
        let mut acked = acked;
        //= MUST-19
        if self.cwnd < self.ssthresh {
            let SlowStart::PerByte = self.rules.slow_start else {
                //= MUST-19, 5681-5
                self.cwnd = self.cwnd.saturating_add(acked.min(path.mss));
                return;
            };
            // RFC 3465 section 2.1, with no limit L; what is beyond the threshold counts for
            // congestion avoidance (`tcp_slow_start`).
            let more = delivered.min(self.ssthresh - self.cwnd);
            self.cwnd += more;
            acked = delivered - more;
            if acked == 0 {
                return;
            }
        }
        if self.rules.congestion == Congestion::Cubic {
            self.cwnd = self.cubic.grow(self.cwnd, acked, flight, path);
            return;
        }
        self.credit = self.credit.saturating_add(acked);
        //= MUST-19, 5681-6
        if self.credit >= self.cwnd {
            self.credit -= self.cwnd;
            self.cwnd = self.cwnd.saturating_add(path.mss);
        }
    }

    /// Without SACK: a duplicate ACK (RFC 5681 section 2) arrived.
    pub(crate) fn duplicate_ack(
        &mut self,
        flight: &InFlight,
        threshold: u32,
        path: &Path,
    ) -> Reaction {
        if self.rules.reduction == CwndReduction::Proportional {
            return self.duplicate_in_proportion(flight, threshold, path);
        }
        let mss = flight.mss;
        let una = flight.una;
        self.duplicates = self.duplicates.saturating_add(1);
        if self.in_recovery() {
            // Not more than what was in flight can leave the network (RFC 5681 section 3.2, against
            // forged duplicates).
            //= 5681-12
            if self.duplicates.saturating_mul(mss) <= self.recover.since(una) {
                self.cwnd = self.cwnd.saturating_add(mss);
            }
            return Reaction::Nothing;
        }
        //= 5681-11, 3042-1
        self.limited = self.duplicates.min(2).saturating_mul(mss);
        // RFC 6582 section 3.2, step 2: duplicates of bytes that were sent before the last loss
        // was noticed are no news.
        //= 5681-10, 6582-2
        if self.duplicates != threshold || !self.is_past(una) {
            return Reaction::Nothing;
        }
        self.limited = 0;
        // What limited transmit let out does not count (RFC 5681 section 3.2, step 2).
        self.lost(flight);
        self.cwnd = self.ssthresh.saturating_add(threshold.saturating_mul(mss));
        Reaction::Retransmit
    }

    /// With SACK: another ACK that brought news of what is held (RFC 6675 section 2).
    pub(crate) fn selective_duplicate(&mut self) {
        self.duplicates = self.duplicates.saturating_add(1);
    }

    /// How many duplicates came in a row.
    pub(crate) fn duplicates(&self) -> u32 {
        self.duplicates
    }

    /// A loss: recovery begins (RFC 6675 section 5, steps 4.1 and 4.2).
    pub(crate) fn lost(&mut self, flight: &InFlight) {
        self.phase = Phase::Recovery;
        //= 6582-1
        self.recover = flight.nxt.back(1);
        // A mark and a loss in one window are one event (RFC 3168 section 6.1.2).
        let again = self.marked.take().is_some() || self.prr.is_some();
        self.remember(flight, !again);
        if !again {
            self.reduce(flight);
        }
    }

    /// What left up to `nxt` was lost, but not for congestion: the window stays, and what is
    /// noticed of that loss later begins no recovery.
    pub(crate) fn lost_without_congestion(&mut self, nxt: Seq) {
        self.recover = nxt.back(1);
        self.phase = Phase::Loss;
        self.duplicates = 0;
        self.limited = 0;
        self.prr = None;
        self.undo = None;
    }

    /// A full segment has `after` bytes instead of `before`: the windows stay as many segments
    /// (RFC 5681 section 3.1).
    pub(crate) fn rescale(&mut self, before: u32, after: u32) {
        let scaled = |bytes: u32| {
            u32::try_from(u64::from(bytes) * u64::from(after) / u64::from(before.max(1)))
                .unwrap_or(u32::MAX)
        };
        self.cwnd = scaled(self.cwnd).max(after);
        if self.ssthresh < u32::MAX {
            self.ssthresh = scaled(self.ssthresh);
        }
        self.limited = scaled(self.limited);
        self.cubic.rescale(scaled);
    }

    /// A mark was echoed, while nothing is lost.
    pub(crate) fn marked(&mut self, flight: &InFlight) {
        self.phase = Phase::Reduction;
        self.undo = None;
        self.reduce(flight);
        self.marked = Some(flight.nxt);
    }

    /// A congestion event: the threshold falls by the policy's factor, and the window to it, at
    /// once or in proportion to what is delivered.
    fn reduce(&mut self, flight: &InFlight) {
        let whole = self.whole(flight.bytes);
        self.ssthresh = self.reduced(whole, flight.mss);
        self.credit = 0;
        if self.rules.reduction == CwndReduction::Proportional {
            self.prr = Some(Prr::new(whole));
        } else {
            self.cwnd = self.ssthresh;
        }
    }

    /// A congestion event that is over: the window falls at once.
    pub(crate) fn slow_down(&mut self, flight: &InFlight) {
        self.reduce(flight);
        self.prr = None;
        self.cwnd = self.ssthresh;
    }

    /// What a reduction starts from: FlightSize (RFC 5681 section 3.1), or the window where that
    /// grows only when it is used (RFC 9438 section 4.6).
    fn whole(&self, flight: u32) -> u32 {
        match self.rules.window_use {
            WindowUse::Ignored => flight.min(self.cwnd),
            WindowUse::Counted => self.cwnd,
        }
    }

    /// Equation 4 of RFC 5681; RFC 9438 section 4.6.
    fn reduced(&mut self, whole: u32, mss: u32) -> u32 {
        let left = if self.rules.congestion == Congestion::Cubic {
            self.cubic.reduce(self.cwnd, whole)
        } else {
            //= 5681-7
            whole / 2
        };
        let left = match self.rules.window_use {
            WindowUse::Ignored => left,
            WindowUse::Counted => left - left % mss.max(1),
        };
        //= 5681-7
        left.max(2 * mss)
    }

    /// The threshold to return to (`tcp_current_ssthresh`).
    fn current_threshold(&self) -> u32 {
        if self.prr.is_some() {
            self.ssthresh
        } else {
            self.ssthresh.max(self.cwnd / 2 + self.cwnd / 4)
        }
    }

    /// Before a reduction: keeps what would undo it; `whole`: the threshold, too.
    fn remember(&mut self, flight: &InFlight, whole: bool) {
        if self.rules.undo == SpuriousLoss::Undo {
            let ssthresh = whole.then(|| self.current_threshold());
            self.undo = Some(Undo::new(flight.una, self.cwnd, ssthresh, flight.resent));
        }
    }

    /// What would undo the last reduction.
    pub(crate) fn undo(&mut self) -> Option<&mut Undo> {
        self.undo.as_mut()
    }

    /// The last reduction was needless: the windows are what they were (RFC 4015 section 3.2;
    /// `tcp_undo_cwnd_reduction`). Returns whether they had to be restored.
    pub(crate) fn restore(&mut self) -> bool {
        let Some(undo) = self.undo.take() else {
            return false;
        };
        self.prr = None;
        self.phase = Phase::Open;
        self.limited = 0;
        let Some(ssthresh) = undo.ssthresh else {
            return false;
        };
        //= 4015-1
        self.cwnd = self.cwnd.max(undo.cwnd);
        self.ssthresh = self.ssthresh.max(ssthresh);
        true
    }

    /// A mark is echoed: whatever becomes of the loss, the window stays small.
    pub(crate) fn keep_reduction(&mut self) {
        if let Some(undo) = &mut self.undo {
            undo.ssthresh = None;
        }
    }

    /// The retransmission timer expired. `again`: for the same bytes as the last time; `pipe`:
    /// bytes that are not yet deemed lost.
    pub(crate) fn timed_out(&mut self, flight: &InFlight, pipe: u32, again: bool) {
        // RFC 5681 section 3.1: unless the segment was resent by the timer before. Linux: nor while
        // a reduction goes on.
        let first = match self.rules.window_use {
            WindowUse::Ignored => !again,
            WindowUse::Counted => {
                self.phase == Phase::Open
                    || self.is_past(flight.una)
                    || (self.phase == Phase::Loss && !again)
            }
        };
        if first {
            self.remember(flight, true);
            let whole = match self.rules.window_use {
                WindowUse::Ignored => flight.bytes,
                WindowUse::Counted => self.cwnd,
            };
            //= 5681-15
            self.ssthresh = self.reduced(whole, flight.mss);
        }
        self.cubic.timed_out();
        //= MUST-19, 5681-8
        self.cwnd = pipe.saturating_add(flight.mss);
        //= 6582-5, 6675-5
        self.recover = flight.nxt.back(1);
        self.phase = Phase::Loss;
        self.prr = None;
        self.duplicates = 0;
        self.limited = 0;
        self.marked = None;
        self.credit = 0;
    }

    /// Text left, `again` or for the first time.
    pub(crate) fn sent(&mut self, bytes: u32, again: bool, at: &Sending) {
        if let Some(prr) = &mut self.prr {
            prr.sent(bytes);
        }
        if again {
            if let Some(undo) = &mut self.undo {
                undo.resent(bytes);
            }
        } else {
            let full = at.pipe.saturating_add(at.mss) > self.cwnd;
            self.validation.sent(at, full);
        }
    }

    /// Nothing was sent for `idle`, which is longer than an RTO (RFC 5681 section 4.1; Linux, RFC
    /// 2861 section 3.2: half for each).
    pub(crate) fn idle(&mut self, idle: Duration, rto: Duration, mss: u32) {
        //= 5681-13
        let restart = self.rules.initial(mss).min(self.cwnd);
        let left = match self.rules.window_use {
            WindowUse::Ignored => restart,
            WindowUse::Counted => {
                self.ssthresh = self.current_threshold();
                let mut left = self.cwnd;
                let mut idle = idle.saturating_sub(rto);
                while idle > Duration::ZERO && left > restart {
                    left /= 2;
                    idle = idle.saturating_sub(rto);
                }
                left - left % mss.max(1)
            }
        };
        self.cwnd = left.max(restart);
        self.cubic.pause();
    }

    /// Codes all of it but a reduction that goes on. `fresh`: one that has just begun.
    pub(super) fn code(
        &mut self,
        coder: &mut impl Coder,
        fresh: &CongestionController,
        [una, nxt]: [Seq; 2],
        heard: Instant,
    ) {
        let CongestionController {
            rules,
            cwnd,
            ssthresh,
            recover,
            phase,
            duplicates,
            limited,
            marked,
            credit,
            cubic,
            prr,
            validation,
            undo,
        } = self;
        coder.only(rules, fresh.rules);
        coder.only(prr, None);
        coder.group(|coder| {
            coder.number(cwnd, fresh.cwnd);
            coder.number(ssthresh, fresh.ssthresh);
            coder.number(recover, fresh.recover);
            coder.choice(
                phase,
                &[Phase::Open, Phase::Reduction, Phase::Recovery, Phase::Loss],
            );
            coder.number(duplicates, 0);
            coder.number(limited, 0);
            coder.option(marked, nxt);
            coder.number(credit, 0);
            validation.code(coder, fresh.recover);
            coder.group(|coder| cubic.code(coder, heard));
            coder.group(|coder| Undo::code(undo, coder, una));
        });
    }
}

impl Rules {
    /// The initial window: RFC 6928 section 2 for its ten segments: at most 14600 bytes, or two
    /// segments where those are more; otherwise as many as asked for. Linux counts segments alone.
    fn initial(&self, mss: u32) -> u32 {
        let window = self.initial_window.saturating_mul(mss);
        if self.initial_window == 10 && self.window_use == WindowUse::Ignored {
            //= 5681-2
            window.min(14_600.max(2 * mss))
        } else {
            window.max(mss)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;
    use crate::time::Instant;

    const MSS: u32 = 1000;
    const PATH: Path = Path {
        now: Instant::ZERO,
        rtt: Duration::from_millis(10),
        mss: MSS,
        marked: false,
        loses: false,
        reorders: false,
    };

    fn rfc() -> ConnConfig {
        Profile::Rfc9293.config().conn
    }

    fn with(congestion: Congestion) -> CongestionController {
        CongestionController::new(
            &ConnConfig {
                congestion,
                ..rfc()
            },
            MSS,
            Seq(0),
            false,
        )
    }

    fn flight(una: Seq, bytes: u32) -> InFlight {
        InFlight {
            una,
            nxt: una + bytes,
            bytes,
            resent: 0,
            mss: MSS,
        }
    }

    fn control() -> CongestionController {
        with(Congestion::NewReno)
    }

    /// Proves 5681-2.
    #[test]
    fn control_starts_with_ten_segments_or_one_after_a_lost_syn() {
        assert_eq!(control().window(), 10 * MSS);
        assert_eq!(
            CongestionController::new(&rfc(), MSS, Seq(0), true).window(),
            MSS
        );
        assert_eq!(
            CongestionController::new(&rfc(), 9000, Seq(0), false).window(),
            18_000
        );
    }

    #[test]
    fn control_third_duplicate_halves_and_retransmits_once() {
        let mut control = control();
        let una = Seq(1001);
        let reactions: [Reaction; 4] =
            core::array::from_fn(|_| control.duplicate_ack(&flight(una, 8000), 3, &PATH));
        assert_eq!(
            reactions,
            [
                Reaction::Nothing,
                Reaction::Nothing,
                Reaction::Retransmit,
                Reaction::Nothing
            ]
        );
        assert_eq!(control.window(), 4000 + 3 * MSS + MSS);
    }

    /// Proves 6582-3, 6582-4.
    #[test]
    fn control_partial_ack_retransmits_and_full_ack_deflates() {
        let mut control = control();
        for _ in 0..3 {
            control.duplicate_ack(&flight(Seq(1001), 8000), 3, &PATH);
        }
        assert_eq!(
            control.acked(2000, Seq(3001), 6000, &PATH),
            Reaction::Retransmit
        );
        assert_eq!(control.window(), 7000 - 2000 + MSS);
        assert_eq!(control.acked(6000, Seq(9001), 0, &PATH), Reaction::Nothing);
        assert_eq!(control.window(), 2 * MSS);
    }

    /// Proves MUST-19, 5681-6.
    #[test]
    fn control_timeout_leaves_one_segment_and_slow_start_to_half() {
        let mut control = control();
        control.timed_out(&flight(Seq(1), 10_000), 0, false);
        assert_eq!(control.window(), MSS);
        for _ in 0..4 {
            control.acked(MSS, Seq(2001), 0, &PATH);
        }
        assert_eq!(control.window(), 5 * MSS);
        control.acked(MSS, Seq(3001), 0, &PATH);
        assert_eq!(
            control.window(),
            5 * MSS,
            "congestion avoidance grows by one segment a round trip"
        );
    }

    #[test]
    fn control_notices_a_loss_however_long_ago_the_last_one_was() {
        for gibibytes in 1..=4u32 {
            let mut control = control();
            let una = (1..=gibibytes).fold(Seq(0), |una, _| {
                control.acked(1 << 30, una + (1 << 30), 0, &PATH);
                una + (1 << 30)
            });
            let reactions: [Reaction; 3] =
                core::array::from_fn(|_| control.duplicate_ack(&flight(una, 9000), 3, &PATH));
            assert_eq!(reactions[2], Reaction::Retransmit, "{gibibytes} GiB");
        }
    }

    /// Proves 5681-15.
    #[test]
    fn control_loss_of_a_retransmission_halves_again() {
        let mut control = control();
        for _ in 0..3 {
            control.duplicate_ack(&flight(Seq(1001), 8000), 3, &PATH);
        }
        assert_eq!(control.ssthresh, 4000);
        control.timed_out(&flight(Seq(3001), 6000), 0, false);
        assert_eq!(control.ssthresh, 3000);
    }

    /// Proves 6582-1.
    #[test]
    fn control_recovers_from_what_was_sent_when_the_loss_was_noticed() {
        let iss = Seq(5000);
        let mut control = CongestionController::new(&rfc(), MSS, iss, false);
        assert!(!control.is_past(iss) && control.is_past(iss + 1));
        control.lost(&flight(Seq(5001), 4000));
        assert!(!control.is_past(Seq(9000)) && control.is_past(Seq(9001)));
    }

    /// Proves 6675-5, 6582-5.
    #[test]
    fn control_after_a_timeout_all_that_was_sent_before_it_is_past_before_a_loss_counts() {
        let mut control = control();
        control.timed_out(&flight(Seq(1), 10_000), 0, false);
        assert!(!control.is_past(Seq(10_000)) && control.is_past(Seq(10_001)));
        assert!(!control.in_recovery() && !control.is_settled());
    }

    /// Proves 5681-6, MUST-19.
    #[test]
    fn control_in_congestion_avoidance_grows_by_a_segment_a_round_trip() {
        let mut control = control();
        control.slow_down(&flight(Seq(1), 20 * MSS));
        let before = control.window();
        let segments = before / MSS;
        for acked in 1..=3 * segments {
            control.acked(MSS, Seq(2001), 0, &PATH);
            assert!(control.window() <= before + acked.div_ceil(segments) * MSS);
        }
        let grown = control.window() - before;
        assert!((2 * MSS..=3 * MSS).contains(&grown), "{grown}");
    }

    /// Proves 5681-6.
    #[test]
    fn control_in_congestion_avoidance_counts_on_from_what_a_segment_more_has_left() {
        let mut control = control();
        control.slow_down(&flight(Seq(1), 20 * MSS));
        control.cwnd = 10 * MSS;
        let windows: [u32; 4] = core::array::from_fn(|_| {
            control.acked(7 * MSS, Seq(2001), 0, &PATH);
            control.window() / MSS
        });
        assert_eq!(windows, [10, 11, 12, 12], "7, 14 - 10 = 4, 11 - 11 = 0, 7");
    }

    #[test]
    fn control_off_never_limits() {
        assert_eq!(with(Congestion::Off).window(), u32::MAX);
    }

    fn linux() -> CongestionController {
        let config = ConnConfig {
            congestion: Congestion::NewReno,
            ..Profile::Linux.config().conn
        };
        CongestionController::new(&config, MSS, Seq(0), false)
    }

    /// `tcp_is_cwnd_limited`: twice what was in flight is no limit at the threshold.
    #[test]
    fn control_that_counts_its_use_grows_unused_in_slow_start_alone() {
        for (threshold, grown) in [
            (u32::MAX, 12 * MSS),
            (10 * MSS + 1, 10 * MSS + 1),
            (10 * MSS, 10 * MSS),
        ] {
            let mut control = linux();
            let sending = Sending {
                una: Seq(1),
                nxt: Seq(6001),
                flight: 6 * MSS,
                pipe: 6 * MSS,
                mss: MSS,
            };
            control.sent(MSS, false, &sending);
            control.ssthresh = threshold;
            for _ in 0..10 {
                control.delivered(MSS, MSS, 0, 0, &PATH);
            }
            assert_eq!(control.window(), grown, "{threshold}");
        }
    }

    #[test]
    fn control_idle_leaves_half_for_each_timeout_in_whole_segments() {
        let second = Duration::from_secs(1);
        for (idle, left) in [(1, 30_000), (2, 15_000), (3, 10_000)] {
            let mut control = linux();
            control.cwnd = 30_500;
            control.idle(idle * second, second, MSS);
            assert_eq!(control.window(), left, "{idle} s");
        }
    }

    /// The third duplicate of ten segments: three have arrived and one is lost, so that six are in
    /// the network; and PRR lets one go, as it does at first (RFC 9937 section 5).
    #[test]
    fn control_without_sack_counts_what_duplicates_report_and_what_is_lost_as_gone() {
        let mut control = linux();
        let una = Seq(1001);
        for _ in 0..3 {
            control.duplicate_ack(&flight(una, 10 * MSS), 3, &PATH);
        }
        assert!(control.in_recovery());
        assert_eq!(control.cwnd, 7 * MSS);
    }

    /// `tcp_enter_loss`: not while a recovery goes on, unless what was in flight at its loss has
    /// arrived.
    #[test]
    fn control_timed_out_in_a_recovery_reduces_again_only_beyond_its_end() {
        for (una, threshold) in [(Seq(1), 5 * MSS), (Seq(10_001), 10 * MSS)] {
            let mut control = linux();
            control.lost(&flight(Seq(1), 10 * MSS));
            control.cwnd = 20 * MSS;
            control.timed_out(&flight(una, 10 * MSS), 0, false);
            assert_eq!(control.ssthresh, threshold, "{una}");
        }
    }
}
