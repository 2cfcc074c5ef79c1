//! The timers of one connection: when each fires.

use super::context::Context;
use crate::event::{Timer, TimerAction, What};
use crate::time::{Duration, Instant};

/// Later than every time there is: a timer that does not run.
const NEVER: Instant = Instant(u64::MAX);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Timers([Instant; Timer::ALL.len()]);

impl Timers {
    pub(super) fn new() -> Timers {
        Timers([NEVER; Timer::ALL.len()])
    }

    /// Starts or restarts a timer.
    pub(super) fn start(&mut self, cx: &mut Context<'_>, timer: Timer, after: Duration) {
        let until = cx.now + after;
        if self.at(timer) != until {
            self.0[timer as usize] = until;
            cx.note(What::Timer {
                timer,
                action: TimerAction::Started { until },
            });
        }
    }

    pub(super) fn stop(&mut self, cx: &mut Context<'_>, timer: Timer) {
        if core::mem::replace(&mut self.0[timer as usize], NEVER) != NEVER {
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
            self.0[timer as usize] = NEVER;
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
        self.0[timer as usize]
    }

    /// When the earliest timer fires.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let first = self.0.iter().fold(NEVER, |first, at| first.min(*at));
        (first != NEVER).then_some(first)
    }

    /// Which timer fires first.
    pub(super) fn earliest(&self) -> Option<Timer> {
        Timer::ALL
            .into_iter()
            .filter(|timer| self.is_running(*timer))
            .min_by_key(|timer| self.at(*timer))
    }
}
