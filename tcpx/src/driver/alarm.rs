//! When the loop wakes up next: a timer to the nanosecond, where tokio's own rounds up to a
//! millisecond.

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::io;
use std::os::fd::OwnedFd;
use tcpx_proto::time::Instant;
use tokio::io::unix::AsyncFd;

/// A timer that is set again only when it would ring too late.
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set: Option<Instant>,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: the AsyncFd owns the descriptor, and nothing replaces it.
        let timer = unsafe { AsyncFd::register(timer) }?;
        Ok(Alarm { timer, set: None })
    }

    /// Rings no later than `deadline`; perhaps earlier, where it was set for earlier before.
    pub(super) fn set(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(deadline) = deadline.filter(|deadline| self.set.is_none_or(|set| *deadline < set))
        else {
            return Ok(());
        };
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let seconds = deadline.0 / 1_000_000_000;
        let nanos = deadline.0 % 1_000_000_000;
        let it_value = Timespec {
            tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX),
            tv_nsec: nanos as _,
        };
        let time = Itimerspec {
            it_interval: zero,
            it_value,
        };
        rustix::time::timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &time)?;
        self.set = Some(deadline);
        Ok(())
    }

    /// Waits until it rings. Cancel-safe.
    pub(super) async fn ring(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut count = [0; 8];
            let read = rustix::io::read(ready.get_inner(), &mut count);
            ready.clear_ready();
            match read {
                Ok(_) => {
                    self.set = None;
                    return Ok(());
                }
                // It was set again after it rang.
                Err(rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use tcpx_proto::time::Duration;

    #[tokio::test]
    async fn alarm_set_twice_rings_once_at_the_earlier_time() {
        let mut alarm = Alarm::new().unwrap();
        let start = now();
        let late = now() + Duration::from_secs(3600);
        alarm.set(Some(late)).unwrap();
        alarm.set(Some(start + Duration::from_millis(2))).unwrap();
        alarm.set(Some(late)).unwrap();
        alarm.ring().await.unwrap();
        assert!(now().since(start) >= Duration::from_millis(2));
        assert!(alarm.set.is_none());
    }

    #[tokio::test]
    async fn alarm_set_for_the_past_rings_at_once_and_not_again() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(Instant(1))).unwrap();
        alarm.ring().await.unwrap();
        let again = tokio::time::timeout(Duration::from_millis(5), alarm.ring()).await;
        assert!(again.is_err(), "a second ring without a second setting");
    }
}
