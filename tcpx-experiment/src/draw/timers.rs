//! Which timers a picture shows, and from when to when each ran.

use crate::end::End;
use crate::trace::{Conversation, Direction, Step, Tick};
use tcpx_proto::event::{Timer, TimerActionKind};
use tcpx_proto::state::State;
use tcpx_proto::wire::Flags;

/// What a picture calls a timer; `None`: it is not shown, because it fires all the time.
const fn name(timer: Timer) -> Option<&'static str> {
    match timer {
        Timer::Retransmission => Some("RTO"),
        Timer::TailLoss => Some("PTO"),
        Timer::Persist => Some("persist"),
        Timer::KeepAlive => Some("keepalive"),
        Timer::TimeWait => Some("2 MSL"),
        Timer::FinWait2 => Some(State::FinWait2.name()),
        Timer::User => Some("user timeout"),
        Timer::DelayedAck | Timer::Override | Timer::Reordering => None,
    }
}

/// One run of a timer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Span {
    /// Whose.
    pub(super) end: End,
    /// Which incarnation's.
    conn: Option<u64>,
    /// Which timer.
    timer: Timer,
    /// From when, seconds.
    pub(super) from: f64,
    /// To when.
    pub(super) to: f64,
    /// How it ended.
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    Expired,
    Restarted,
    Stopped,
    /// The record ends before.
    Open,
}

impl Span {
    /// What is written where it ends: `RTO expired, 1.000 s`.
    pub(super) fn words(&self) -> String {
        let name = name(self.timer).unwrap_or(self.timer.name());
        let outcome = match self.outcome {
            Outcome::Expired => "expired",
            Outcome::Restarted => "restarted",
            Outcome::Stopped => "stopped",
            Outcome::Open => "still running",
        };
        format!("{name} {outcome}, {:.3} s", self.to - self.from)
    }

    /// How likely it starts with that step: a timer that waits for an answer starts with a sending,
    /// a state's timer with that state, and the TIME-WAIT timer restarts with a FIN.
    pub(super) fn likelihood(&self, step: &Step) -> u8 {
        let (sends, fin) = step.segment.as_ref().map_or((false, false), |segment| {
            let fin = segment.flags.contains(Flags::FIN);
            (segment.dir == Direction::Out, fin)
        });
        let enters = |state: State| step.entered && step.state == Some(state);
        match self.timer {
            Timer::Retransmission | Timer::Persist | Timer::User => u8::from(sends),
            Timer::TimeWait if enters(State::TimeWait) => 2,
            Timer::FinWait2 if enters(State::FinWait2) => 2,
            Timer::TimeWait => u8::from(fin && !sends),
            Timer::FinWait2
            | Timer::TailLoss
            | Timer::KeepAlive
            | Timer::DelayedAck
            | Timer::Override
            | Timer::Reordering => 0,
        }
    }

    /// Whether the record ends before it does.
    pub(super) fn is_open(&self) -> bool {
        self.outcome == Outcome::Open
    }

    fn belongs(&self, tick: &Tick) -> bool {
        (self.end, self.conn, self.timer) == (tick.end, tick.conn, tick.timer)
    }
}

/// The runs that a picture shows: those at whose end the timer fired, and all of TIME-WAIT's.
pub(super) fn spans(conversation: &Conversation) -> Vec<Span> {
    let end = conversation.steps.last().map_or(0.0, |step| step.at);
    let mut running: Vec<Span> = Vec::new();
    let mut done: Vec<Span> = Vec::new();
    for tick in &conversation.ticks {
        let outcome = match tick.action {
            TimerActionKind::Started => Outcome::Restarted,
            TimerActionKind::Fired => Outcome::Expired,
            TimerActionKind::Stopped => Outcome::Stopped,
        };
        let ran = running
            .iter()
            .position(|span| span.belongs(tick))
            .map(|index| running.swap_remove(index));
        done.extend(ran.map(|span| Span {
            to: tick.at,
            outcome,
            ..span
        }));
        if tick.action == TimerActionKind::Started {
            running.push(Span {
                end: tick.end,
                conn: tick.conn,
                timer: tick.timer,
                from: tick.at,
                to: tick.at,
                outcome: Outcome::Open,
            });
        }
    }
    done.extend(running.into_iter().map(|span| Span {
        to: end.max(span.from),
        ..span
    }));
    // TIME-WAIT's is shown however it ends: it is a state's whole life.
    let shown = |span: &Span| span.outcome == Outcome::Expired || span.timer == Timer::TimeWait;
    done.retain(|span| name(span.timer).is_some() && shown(span));
    joined(done, &conversation.steps)
}

/// A firing with which nothing happens before the next one only put the deadline off, as keepalive
/// does when it finds that the peer was heard meanwhile: the two runs are one.
fn joined(spans: Vec<Span>, steps: &[Step]) -> Vec<Span> {
    let mut joined: Vec<Span> = Vec::new();
    for span in spans {
        let since = |at: f64| steps.partition_point(|step| step.at < at);
        let between = |before: &Span| {
            steps
                .get(since(before.to)..since(span.to))
                .unwrap_or_default()
        };
        let quiet = |before: &Span| !between(before).iter().any(|step| step.end == span.end);
        let same = |before: &&mut Span| {
            (before.end, before.conn, before.timer) == (span.end, span.conn, span.timer)
        };
        match joined.iter_mut().rev().find(same) {
            Some(before)
                if before.outcome == Outcome::Expired
                    && before.to == span.from
                    && quiet(before) =>
            {
                before.to = span.to;
                before.outcome = span.outcome;
            }
            _ => joined.push(span),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::{File, conversation, handshake};

    fn words(client: &File) -> Vec<String> {
        let (_, server) = handshake();
        spans(&conversation(&client.log(), &server.log()))
            .iter()
            .map(Span::words)
            .collect()
    }

    #[test]
    fn rto_fired_runs_from_its_last_start_and_rto_stopped_is_not_shown() {
        let (client, _) = handshake();
        let client =
            client
                .timer(0.1, "retransmission", "started")
                .timer(0.2, "retransmission", "started");
        let client =
            client
                .timer(1.2, "retransmission", "fired")
                .timer(1.2, "retransmission", "started");
        assert_eq!(
            words(&client.timer(1.3, "retransmission", "stopped")),
            ["RTO expired, 1.000 s"]
        );
    }

    #[test]
    fn time_wait_is_shown_however_it_ends() {
        let (client, _) = handshake();
        let client = client
            .timer(0.0, "time-wait", "started")
            .timer(0.5, "time-wait", "started")
            .timer(0.75, "time-wait", "stopped");
        let client = client
            .timer(1.0, "time-wait", "started")
            .sends(2.0, ("A", 1, 1, 0), "pass");
        assert_eq!(
            words(&client),
            [
                "2 MSL restarted, 0.500 s",
                "2 MSL stopped, 0.250 s",
                "2 MSL still running, 1.000 s"
            ]
        );
    }

    #[test]
    fn keepalive_that_fires_only_to_be_put_off_is_one_run() {
        let (client, _) = handshake();
        let client = client
            .timer(0.004, "keepalive", "started")
            .timer(2.004, "keepalive", "fired")
            .timer(2.004, "keepalive", "started");
        let client =
            client
                .timer(2.504, "keepalive", "fired")
                .sends(2.504, ("A", 100, 301, 0), "drop");
        let client = client
            .timer(2.504, "keepalive", "started")
            .timer(3.504, "keepalive", "fired");
        assert_eq!(
            words(&client),
            ["keepalive expired, 2.500 s", "keepalive expired, 1.000 s"]
        );
    }

    #[test]
    fn timers_that_fire_all_the_time_are_not_shown() {
        let (client, _) = handshake();
        assert_eq!(
            words(
                &client
                    .timer(0.0, "delayed-ack", "started")
                    .timer(0.04, "delayed-ack", "fired")
            ),
            [""; 0]
        );
    }
}
