//! How long an end waited for the machine at the most: a network and an application that were
//! slower than the plan's.

use super::{Body, Direction, Log};
use std::collections::HashMap;
use tcpx_proto::event::{Timer, TimerActionKind};
use tcpx_proto::script::{AppAction, Script, Step};

/// Seconds, by the record of an end that played this script: from when a timer or a sleep was over
/// to when that was noticed, and from what a step of the script waited for to its end.
pub fn longest(log: &Log, script: &Script) -> f64 {
    let sleeps: HashMap<String, f64> = script.steps.iter().filter_map(sleep).collect();
    let mut timers: HashMap<(Option<u64>, Timer), f64> = HashMap::new();
    // When the last thing happened that a step can wait for, when the present step began, and when
    // it is over if it is a sleep.
    let mut news = 0.0_f64;
    let mut began = 0.0;
    let mut over = None;
    let mut longest = 0.0_f64;
    for entry in &log.entries {
        match &entry.body {
            Body::Timer {
                timer,
                action: TimerActionKind::Started,
                until,
            } => {
                timers.extend(until.map(|until| ((entry.conn, *timer), until)));
            }
            Body::Timer {
                timer,
                action: TimerActionKind::Fired,
                ..
            } => {
                let until = timers.remove(&(entry.conn, *timer));
                longest = longest.max(until.map_or(0.0, |until| entry.t - until));
                news = entry.t;
            }
            Body::Segment(segment) if segment.dir == Direction::In => news = entry.t,
            Body::State { .. } | Body::Closed { .. } | Body::Opened { .. } | Body::Icmp { .. } => {
                news = entry.t
            }
            Body::App(AppAction::Began(text)) => {
                (began, over) = (entry.t, sleeps.get(text).map(|time| entry.t + time))
            }
            Body::App(AppAction::Done | AppAction::Failed(_)) => {
                longest = longest.max(entry.t - over.take().unwrap_or_else(|| news.max(began)));
            }
            Body::Segment(_)
            | Body::Timer { .. }
            | Body::App(AppAction::Sent(_) | AppAction::Received(_) | AppAction::Over)
            | Body::Accepted { .. }
            | Body::Discarded { .. }
            | Body::Deviated { .. }
            | Body::R1 { .. }
            | Body::Urgent { .. }
            | Body::Undone { .. }
            | Body::Unknown => {}
        }
    }
    longest
}

/// A sleep as a record spells it, and its length in seconds.
fn sleep(step: &Step) -> Option<(String, f64)> {
    match step {
        Step::Sleep(time) => Some((step.to_string(), time.as_secs_f64())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::File;

    fn late(file: &File) -> i64 {
        let script = Script::parse("connect; sleep 300ms; receive to end").unwrap();
        (longest(&file.log(), &script) * 1000.0).round() as i64
    }

    #[test]
    fn step_that_ends_long_after_what_it_waited_for_is_late() {
        let client = File::new("client", 50.0)
            .app(0.0, "began", "connect")
            .state(0.4, "SYN-SENT", "ESTABLISHED", "SYN,ACK");
        assert_eq!(late(&client.clone().app(0.4, "done", "")), 0);
        assert_eq!(late(&client.clone().app(0.43, "done", "")), 30);
        let reading = client
            .app(0.4, "done", "")
            .app(0.4, "began", "receive to end")
            .receives(0.5, ("FA", 301, 101, 0), 2, "pass");
        assert_eq!(late(&reading.app(0.51, "failed", "reset")), 10);
    }

    #[test]
    fn sleep_and_timer_are_late_by_what_is_beyond_their_time() {
        let client = File::new("client", 50.0)
            .app(0.1, "began", "sleep 300ms")
            .app(0.45, "done", "");
        assert_eq!(late(&client), 50);
        let until = |until: f64| {
            format!(
                "\"event\":\"timer\",\"timer\":\"retransmission\",\"action\":\"started\",\"until\":{until}"
            )
        };
        let timer = File::new("client", 50.0)
            .line(0.1, &until(0.2))
            .line(0.15, &until(0.3))
            .timer(0.32, "retransmission", "fired");
        assert_eq!(late(&timer), 20);
    }
}
