//! The words that the live view, the captures and the traces share.

use super::Seen;
use tcpx_proto::event::{Event, TimerAction, What};
use tcpx_proto::fault::Verdict;

/// Whether a segment got no further than the gate.
pub fn dropped(seen: &Seen<'_>) -> bool {
    matches!(seen.judgement.verdict, Verdict::Drop | Verdict::Full)
}

/// What a fault did to a segment; `None` when nothing was done.
pub fn fault(seen: &Seen<'_>) -> Option<String> {
    match (&seen.judgement.verdict, seen.rule) {
        (Verdict::Pass, _) => None,
        (verdict, rule) => Some(format!(
            "{verdict} by `{}`",
            rule.unwrap_or("a rule that was released")
        )),
    }
}

/// Why a segment was sent and what it carries, `ack: ack-of-syn, data`; `None` for an incoming one.
pub fn label(seen: &Seen<'_>) -> Option<String> {
    let label = seen.record.label?;
    let carries: Vec<_> = label.carries.names().collect();
    Some(if carries.is_empty() {
        label.cause.to_string()
    } else {
        format!("{}: {}", label.cause, carries.join(", "))
    })
}

/// An event in one sentence.
pub fn event(event: &Event) -> String {
    match &event.what {
        What::Opened {
            local,
            remote,
            passive,
        } => {
            format!("{local} {} {remote}", if *passive { "<-" } else { "->" })
        }
        What::State { from, to, on } => format!("{from} -> {to} on {on}"),
        What::Deviated {
            rule,
            requirement,
            to,
        } => format!("without {rule} ({requirement}): {to}"),
        What::Accepted { seq, text } => {
            format!("accepted: seq={seq}, {text} new octets", seq = seq.0)
        }
        What::Discarded(reason) => format!("discarded: {}", reason.name()),
        What::Timer {
            timer,
            action: TimerAction::Started { until },
        } => {
            format!(
                "timer {}: fires in {:.3} s",
                timer.name(),
                until.since(event.at).as_secs_f64()
            )
        }
        What::Timer {
            timer,
            action: TimerAction::Fired,
        } => format!("timer {}: fired", timer.name()),
        What::Timer {
            timer,
            action: TimerAction::Stopped,
        } => format!("timer {}: stopped", timer.name()),
        What::Icmp(kind) => format!("ICMP error believed: {}", kind.parts().0),
        What::R1 { retransmissions } => {
            format!("R1 reached after {retransmissions} retransmissions: the path is doubtful")
        }
        What::Urgent { up_to } => format!("urgent data up to seq={}", up_to.0),
        What::Closed(reason) => format!("closed: {}", reason.name()),
    }
}
