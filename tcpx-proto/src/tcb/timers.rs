//! The timers of one connection: when each fires.

use super::coder::Coder;
use super::context::Context;
use crate::config::TimerGranularity;
use crate::event::{Timer, TimerAction, What};
use crate::time::{Duration, Instant, nanos};

/// Later than every time there is: a timer that does not run.
const NEVER: Instant = Instant(u64::MAX);
/// A jiffy, Linux's unit of timers, where CONFIG_HZ is 250: in nanoseconds.
const NANOS: u64 = 4_000_000;

/// The timers of which the time asked for counts as well as the slot of the wheel.
const ASKED: [Timer; 2] = [Timer::Retransmission, Timer::DelayedAck];

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Timers {
    /// When each fires.
    due: [Instant; Timer::ALL.len()],
    /// What was asked for, of those of which [`left`](Timers::left) must know it.
    asked: [Instant; ASKED.len()],
    granularity: TimerGranularity,
}

impl TimerGranularity {
    /// When a timer fires that is to run for `after` from now on.
    fn due(self, now: Instant, after: Duration) -> Instant {
        match self {
            TimerGranularity::Exact => now + after,
            TimerGranularity::Wheel => slot(now, after),
        }
    }

    /// The clock that timers see.
    pub(super) fn clock(self, now: Instant) -> Instant {
        match self {
            TimerGranularity::Exact => now,
            TimerGranularity::Wheel => Instant(now.0 - now.0 % NANOS),
        }
    }

    /// A time, ns, in the unit that timers count in, rounded down.
    pub(super) fn cut(self, time: u64) -> u64 {
        self.clock(Instant(time)).0
    }

    /// What Linux adds to a short time where an early timer would do harm (`TCP_TIMEOUT_MIN_US`).
    pub(super) fn slack(self) -> Duration {
        match self {
            TimerGranularity::Exact => Duration::ZERO,
            TimerGranularity::Wheel => Duration::from_millis(2),
        }
    }

    /// How long a timer runs that is due at once, ns: with a wheel until its next slot, which is
    /// half a jiffy on average.
    pub(super) fn soonest(self) -> u64 {
        match self {
            TimerGranularity::Exact => NANOS / 2,
            TimerGranularity::Wheel => 0,
        }
    }

    /// A time in the unit that timers count in, rounded up.
    pub(super) fn round(self, time: Duration) -> Duration {
        match self {
            TimerGranularity::Exact => time,
            TimerGranularity::Wheel => Duration::from_nanos(jiffies(time).saturating_mul(NANOS)),
        }
    }
}

fn jiffies(time: Duration) -> u64 {
    nanos(time).div_ceil(NANOS)
}

/// Linux's `calc_wheel_index`: each ring has 64 slots, which are eight times as long as those of
/// the ring before; a timer goes to the first ring that reaches far enough, and to the slot after
/// its time, so that it never fires early.
fn slot(now: Instant, after: Duration) -> Instant {
    let delta = jiffies(after);
    let ring = (0..8).find(|ring| delta < 63 << (3 * ring)).unwrap_or(8);
    let slot = ((now.0 / NANOS).saturating_add(delta) >> (3 * ring)) + 1;
    Instant(slot.saturating_mul(NANOS << (3 * ring)))
}

/// Codes a time, or that it is [`NEVER`].
fn code_time(coder: &mut impl Coder, at: &mut Instant, near: Instant) {
    let mut some = (*at != NEVER).then_some(*at);
    coder.option(&mut some, near);
    *at = some.unwrap_or(NEVER);
}

impl Timers {
    pub(super) fn new(granularity: TimerGranularity) -> Timers {
        Timers {
            due: [NEVER; Timer::ALL.len()],
            asked: [NEVER; ASKED.len()],
            granularity,
        }
    }

    /// Starts or restarts a timer.
    pub(super) fn start(&mut self, cx: &mut Context<'_>, timer: Timer, after: Duration) {
        let until = self.granularity.due(cx.now, after);
        if let Some(at) = ASKED.iter().position(|asked| *asked == timer) {
            self.asked[at] = self.granularity.clock(cx.now) + self.granularity.round(after);
        }
        if self.at(timer) != until {
            self.due[timer as usize] = until;
            cx.note(What::Timer {
                timer,
                action: TimerAction::Started { until },
            });
        }
    }

    pub(super) fn stop(&mut self, cx: &mut Context<'_>, timer: Timer) {
        if core::mem::replace(&mut self.due[timer as usize], NEVER) != NEVER {
            cx.note(What::Timer {
                timer,
                action: TimerAction::Stopped,
            });
        }
    }

    pub(super) fn stop_all(&mut self, cx: &mut Context<'_>) {
        for timer in Timer::ALL {
            self.stop(cx, timer);
        }
    }

    /// Whether a timer is due; it stops if it is.
    pub(super) fn fire(&mut self, cx: &mut Context<'_>, timer: Timer) -> bool {
        let due = self.is_running(timer) && self.at(timer) <= cx.now;
        if due {
            self.due[timer as usize] = NEVER;
            cx.note(What::Timer {
                timer,
                action: TimerAction::Fired,
            });
        }
        due
    }

    pub(super) fn is_running(&self, timer: Timer) -> bool {
        self.at(timer) != NEVER
    }

    /// When a timer fires; later than every time if it does not run.
    pub(super) fn at(&self, timer: Timer) -> Instant {
        self.due[timer as usize]
    }

    /// What is left of the time that a timer was to run for.
    pub(super) fn left(&self, now: Instant, timer: Timer) -> Duration {
        match ASKED.iter().position(|asked| *asked == timer) {
            Some(at) => self.asked[at].since(self.granularity.clock(now)),
            None => self.at(timer).since(now),
        }
    }

    /// When the earliest timer fires.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let first = self.due.iter().fold(NEVER, |first, at| first.min(*at));
        (first != NEVER).then_some(first)
    }

    /// Which timer fires first.
    pub(super) fn earliest(&self) -> Option<Timer> {
        Timer::ALL
            .into_iter()
            .filter(|timer| self.is_running(*timer))
            .min_by_key(|timer| self.at(*timer))
    }

    /// Forgets what was asked for.
    pub(super) fn forget(&mut self) {
        self.asked = [NEVER; ASKED.len()];
    }

    /// Codes when they fire. `next`: when one of them does, if one runs; `waits`: that of TIME-WAIT.
    pub(super) fn code_due(&mut self, coder: &mut impl Coder, next: Instant, waits: bool) {
        let alone = Timer::TimeWait as usize;
        for (timer, at) in self.due.iter_mut().enumerate() {
            if timer == alone && waits {
                coder.number(at, next);
            }
        }
        coder.group(|coder| {
            for (timer, at) in self.due.iter_mut().enumerate() {
                if timer != alone || !waits {
                    code_time(coder, at, next);
                }
            }
        });
    }

    /// Codes the rest. `sent`: when something was sent last.
    pub(super) fn code_asked(
        &mut self,
        coder: &mut impl Coder,
        expected: TimerGranularity,
        sent: Instant,
    ) {
        let Timers {
            due: _,
            asked,
            granularity,
        } = self;
        coder.only(granularity, expected);
        asked.iter_mut().for_each(|at| code_time(coder, at, sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// How late the earliest and the latest of timers that start a millisecond apart are.
    fn lateness(after: Duration) -> [Duration; 2] {
        let late = |start: u64| {
            let now = Instant(1_000_000 * start + 500_000);
            slot(now, after).since(now + after)
        };
        let all = (0..40_000).map(late);
        [
            all.clone().min().unwrap_or_default(),
            all.max().unwrap_or_default(),
        ]
    }

    #[test]
    fn wheel_fires_never_early_and_late_by_a_slot_of_its_ring_at_most() {
        for (after, slot) in [
            (0, 4),
            (40, 4),
            (200, 4),
            (248, 4),
            (252, 32),
            (1000, 32),
            (2012, 32),
            (2016, 256),
            (10_000, 256),
            (60_000, 2048),
            (120_000, 2048),
        ] {
            let [least, most] = lateness(millis(after));
            assert!(least <= millis(4), "{after} ms: {least:?}");
            assert!(most <= millis(slot), "{after} ms: {most:?}");
            assert!(most + millis(1) > millis(slot), "{after} ms: {most:?}");
        }
    }

    #[test]
    fn wheel_takes_any_time() {
        for after in [Duration::MAX, Duration::from_secs(1 << 40)] {
            assert_eq!(slot(Instant(5), after), NEVER);
        }
        assert_eq!(slot(NEVER, Duration::ZERO), NEVER);
        let round = TimerGranularity::Wheel.round(Duration::MAX);
        assert!(round >= Duration::from_nanos(u64::MAX - NANOS));
    }

    #[test]
    fn wheel_counts_in_jiffies() {
        let wheel = TimerGranularity::Wheel;
        assert_eq!(wheel.round(millis(201)), millis(204));
        assert_eq!(wheel.cut(203_000_000), 200_000_000);
        assert_eq!(
            wheel.clock(Instant(11_999_999)),
            Instant(8_000_000),
            "the last tick"
        );
        assert_eq!(TimerGranularity::Exact.round(millis(201)), millis(201));
    }
}
