//! Whether the loop stays awake for a moment before it sleeps.
//!
//! To fall asleep and be woken costs more than a packet does (33 µs from a SYN to its SYN,ACK,
//! instead of 8). So where the last waits were short the loop looks again and again for a moment;
//! where they were not it sleeps at once, so that an idle program costs nothing.

use std::time::Duration;

/// A wait that was short counts one, up to this, ...
const MOST: i32 = 16;
/// ... and from this sum on it pays to stay awake.
const ENOUGH: i32 = 4;
/// What a wait that was long takes away: at least this, ...
const LEAST_LOSS: i32 = 4;
/// ... and at most this.
const MOST_LOSS: i32 = 8192;

/// What the last waits were like.
#[derive(Debug)]
pub(super) struct Spin {
    /// How long to stay awake, and how long a short wait is.
    patience: Duration,
    /// The sum of short and long waits.
    score: i32,
    /// What the next long wait takes away: twice as much each time that staying awake was in vain,
    /// half as much each time that it was not.
    loss: i32,
}

impl Spin {
    /// With no patience it never stays awake.
    pub(super) fn new(patience: Duration) -> Spin {
        Spin {
            patience,
            score: 0,
            loss: LEAST_LOSS,
        }
    }

    /// How long to stay awake before the next sleep; `None`: not at all.
    pub(super) fn patience(&self) -> Option<Duration> {
        let pays = !self.patience.is_zero() && self.score >= ENOUGH;
        pays.then_some(self.patience)
    }

    /// Whether it waits for the tasks that it has woken, to send what they have for it together.
    pub(super) fn shares(&self) -> bool {
        !self.patience.is_zero() && self.score >= 0
    }

    /// The next thing to do came after this time, for which it would have been `awake` before it
    /// slept. Much longer than its patience: another program or task had the CPU, for which a loop
    /// that sleeps does not have to wait.
    pub(super) fn waited(&mut self, time: Duration, awake: Duration) {
        let was_awake = self.patience().is_some();
        if awake > 2 * self.patience {
            self.loss = MOST_LOSS;
            self.score = -MOST_LOSS;
        } else if time <= self.patience {
            self.score = (self.score + 1).min(MOST);
            if was_awake {
                self.loss = (self.loss / 2).max(LEAST_LOSS);
            }
        } else if was_awake {
            self.score -= self.loss;
            self.loss = (self.loss * 2).min(MOST_LOSS);
        } else {
            self.score = self.score.min(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_micros(200);
    const SHORT: Duration = Duration::from_micros(30);
    const LONG: Duration = Duration::from_millis(3);

    /// How long a loop that meets these waits is awake without anything to do, and how often it
    /// slept.
    fn in_vain(waits: impl IntoIterator<Item = Duration>) -> (Duration, usize) {
        let mut spin = Spin::new(PATIENCE);
        let mut wasted = Duration::ZERO;
        let mut sleeps = 0;
        for wait in waits {
            match spin.patience() {
                Some(patience) if wait <= patience => wasted += wait,
                Some(patience) => {
                    wasted += patience;
                    sleeps += 1;
                }
                None => sleeps += 1,
            }
            spin.waited(wait, wait.min(PATIENCE));
        }
        (wasted, sleeps)
    }

    #[test]
    fn loop_whose_waits_are_long_sleeps_at_once() {
        assert_eq!(in_vain([LONG; 1000]), (Duration::ZERO, 1000));
    }

    #[test]
    fn loop_whose_waits_are_short_stays_awake_after_the_first_few() {
        let (wasted, sleeps) = in_vain([SHORT; 1000]);
        assert_eq!((wasted, sleeps), (SHORT * 996, 4));
    }

    #[test]
    fn loop_that_falls_idle_is_awake_in_vain_three_times_at_most() {
        let waits = [[SHORT; 1000], [LONG; 1000]].concat();
        let (wasted, sleeps) = in_vain(waits);
        assert!(wasted <= SHORT * 996 + PATIENCE * 3, "{wasted:?}");
        assert_eq!(sleeps, 1004);
    }

    #[test]
    fn loop_without_patience_always_sleeps() {
        let mut spin = Spin::new(Duration::ZERO);
        (0..100).for_each(|_| spin.waited(Duration::ZERO, Duration::ZERO));
        assert_eq!(spin.patience(), None);
    }

    #[test]
    fn one_long_wait_in_ten_does_not_keep_it_from_staying_awake() {
        let waits = (0..1000).map(|at| if at % 10 == 9 { LONG } else { SHORT });
        let (_, sleeps) = in_vain(waits);
        assert_eq!(sleeps, 4 + 100);
    }

    /// How often the loop stays awake where it meets a short wait as long as it sleeps, and
    /// otherwise a long one, `awake` of it before it sleeps.
    fn tries(spin: &mut Spin, waits: u32, awake: Duration) -> u32 {
        let mut tries = 0;
        for _ in 0..waits {
            if spin.patience().is_some() {
                tries += 1;
                spin.waited(LONG, awake);
            } else {
                spin.waited(SHORT, Duration::ZERO);
            }
        }
        tries
    }

    #[test]
    fn loop_that_is_always_awake_in_vain_soon_stops_trying() {
        // As where the peer, on the same CPU, cannot run before the loop sleeps.
        let mut spin = Spin::new(PATIENCE);
        let tries = tries(&mut spin, 10_000, PATIENCE);
        assert!((9..20).contains(&tries), "{tries}");
        // And begins again where it pays.
        (0..9000).for_each(|_| spin.waited(SHORT, SHORT));
        assert_eq!((spin.score, spin.loss), (MOST, LEAST_LOSS));
    }

    #[test]
    fn loop_waits_for_tasks_until_one_of_them_takes_long() {
        let mut spin = Spin::new(PATIENCE);
        assert!(spin.shares());
        spin.waited(LONG, SHORT);
        assert!(spin.shares());
        spin.waited(LONG, PATIENCE * 3);
        assert!(!spin.shares());
        (0..MOST_LOSS).for_each(|_| spin.waited(SHORT, Duration::ZERO));
        assert!(spin.shares());
        assert!(!Spin::new(Duration::ZERO).shares());
    }

    #[test]
    fn loop_whose_cpu_another_program_wants_stops_trying_at_once() {
        let tries = tries(&mut Spin::new(PATIENCE), 8000, LONG);
        assert_eq!(tries, 1);
    }
}
