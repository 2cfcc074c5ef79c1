//! Differences that are known and stay: how to tell them by what shows, each as narrowly as it can
//! be. [`NAMED_DIFFERENCES`](tcpx_proto::config::NAMED_DIFFERENCES) has their reasons.

use super::case::{Base, Call, Case, Step};
use super::compare::{Difference, What};
use super::peer::{Field, Reply};
use super::side::{End, Followed, Outcome, Run};
use std::io::ErrorKind;
use std::time::Duration;
use tcpx_proto::state::State;
use tcpx_proto::wire::Flags;

/// What a matcher looks at.
struct Seen<'a> {
    case: &'a Case,
    what: What,
    step: &'a Step,
    /// The state before the step.
    before: State,
    kernel: &'a Followed,
    tcpx: &'a Followed,
    /// Everything before the step, of the kernel's run.
    earlier: &'a [Followed],
}

type Matcher = fn(&Seen<'_>) -> bool;

/// The names, and how to tell each.
const KNOWN: &[(&str, Matcher)] = &[
    ("send-before-established", |seen| {
        matches!(seen.before, State::SynSent | State::SynReceived)
            && seen.kernel.outcome == Some(Outcome::Refused(ErrorKind::WouldBlock))
            && matches!(seen.tcpx.outcome, Some(Outcome::Wrote(_)))
    }),
    ("accept-before-established", |seen| {
        seen.before == State::SynReceived
            && *seen.step == Step::Call(Call::Accept)
            && (&seen.kernel.outcome, &seen.tcpx.outcome)
                == (&Some(Outcome::Done), &Some(Outcome::Nothing))
    }),
    ("listener-end", |seen| {
        *seen.step == Step::Call(Call::Unlisten)
            && (seen.kernel.state, seen.tcpx.state) == (State::SynReceived, State::Closed)
    }),
    ("simultaneous-ack", |seen| {
        is_simultaneous(seen) && seen.before == State::SynReceived && acks_iss(seen.step)
    }),
    ("simultaneous-options", |seen| {
        is_simultaneous(seen)
            && seen.what == What::Replies
            && ([seen.kernel, seen.tcpx].map(sends_syn_ack) == [true, true]
                || is_at_edge(seen.step))
    }),
    ("simultaneous-shutdown", |seen| {
        is_simultaneous(seen)
            && seen.before == State::SynReceived
            && *seen.step == Step::Call(Call::Shutdown)
    }),
    ("error-kind", |seen| {
        let (Some(kernel), Some(tcpx)) = (error(seen.kernel), error(seen.tcpx)) else {
            return seen.what == What::Outcome && is_told_again(seen);
        };
        let was = |state| seen.earlier.iter().any(|followed| followed.state == state);
        let shut = seen.case.steps.contains(&Step::Call(Call::Shutdown));
        seen.what == What::Outcome
            && match (kernel, tcpx) {
                (ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused) => is_simultaneous(seen),
                (ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted) => {
                    shut && was(State::SynSent)
                }
                // Text in the place of the peer's FIN ends the connection.
                (ErrorKind::BrokenPipe, ErrorKind::ConnectionAborted) => {
                    shut && was(State::SynSent) || was(State::CloseWait)
                }
                (ErrorKind::BrokenPipe, ErrorKind::ConnectionReset) => {
                    was(State::CloseWait) || is_told_again(seen)
                }
                _ => is_told_again(seen),
            }
    }),
    ("sack-of-purged", |seen| {
        let bare = |followed: &Followed| -> Vec<Reply> {
            let mut replies = followed.replies.clone();
            for reply in &mut replies {
                reply.after = Duration::ZERO;
                reply.window = 0;
                let sack = |field: &Field| matches!(field, Field::Sack(_) | Field::Nop);
                reply.options.retain(|field| !sack(field));
            }
            replies
        };
        let fin = matches!(seen.step, Step::Arrive(it) if it.flags.contains(Flags::FIN));
        fin && bare(seen.kernel) == bare(seen.tcpx)
            && matches!(seen.kernel.state, State::TimeWait | State::Closing)
    }),
    ("shrunk-window", |seen| {
        let small = matches!(seen.step, Step::Arrive(it) if it.window <= 2000);
        let acks = |followed: &Followed| -> Vec<i32> {
            let bare = followed.replies.iter().filter(|it| it.text.is_empty());
            bare.map(|reply| reply.seq).collect()
        };
        let again = seen.kernel.replies.iter().any(|reply| reply.repeated);
        small && (again || acks(seen.kernel) != acks(seen.tcpx))
    }),
    ("bursts", |seen| {
        let repeats = |followed: &Followed| {
            let sacks = followed.replies.iter().filter(|reply| {
                let sack = |field: &Field| matches!(field, Field::Sack(_));
                !reply.text.is_empty() && reply.options.iter().any(sack)
            });
            sacks.count()
        };
        seen.what == What::Replies && repeats(seen.kernel) > repeats(seen.tcpx).max(1)
    }),
    ("rest-of-a-window", |seen| {
        let texts = |followed: &Followed| -> Vec<(i32, usize)> {
            let new = followed.replies.iter().filter(|it| !it.repeated);
            let new = new.filter(|it| !it.text.is_empty());
            new.map(|it| (it.seq, it.text.len())).collect()
        };
        let (kernel, tcpx) = (texts(seen.kernel), texts(seen.tcpx));
        match (&kernel[..], tcpx.last()) {
            ([first @ .., rest], Some(last)) => first == tcpx && rest.1 < last.1,
            _ => false,
        }
    }),
    ("syn-fin-in-time-wait", |seen| {
        let both = Flags::SYN | Flags::FIN;
        matches!(seen.step, Step::Arrive(it) if it.flags.contains(both))
            && (seen.kernel.state, seen.tcpx.state) == (State::Closed, State::TimeWait)
    }),
    ("quick-acks", |seen| {
        let acks = |followed: &Followed| -> Vec<_> {
            let replies = followed.replies.iter().filter(|reply| !reply.repeated);
            replies
                .map(|reply| (reply.flags, reply.seq, reply.ack))
                .collect()
        };
        seen.what == What::Timed && acks(seen.kernel) == acks(seen.tcpx)
    }),
    ("part-of-a-segment", |seen| {
        let part = |step: &Step| match step {
            Step::Arrive(it) if it.flags.contains(Flags::ACK) => match it.ack.base {
                Base::SndUna => it.ack.offset > 0,
                Base::SndNxt => (-1000..0).contains(&it.ack.offset),
                _ => false,
            },
            _ => false,
        };
        let late = matches!(seen.what, What::Repetition | What::Timed);
        late && seen
            .case
            .steps
            .iter()
            .take(seen.earlier.len() + 1)
            .any(part)
    }),
];

/// The error that a call returned.
fn error(side: &Followed) -> Option<ErrorKind> {
    match side.outcome.as_ref()? {
        Outcome::Refused(kind) | Outcome::Read(_, End::Error(kind)) => Some(*kind),
        _ => None,
    }
}

/// Every call returns the error of a connection that has ended. The kernel returns it once; then a
/// read finds the end of the stream, and a write a broken pipe.
fn is_told_again(seen: &Seen<'_>) -> bool {
    let ends = match &seen.kernel.outcome {
        Some(Outcome::Refused(kind)) => *kind == ErrorKind::BrokenPipe,
        Some(Outcome::Read(bytes, end)) => bytes.is_empty() && *end == End::Fin,
        _ => false,
    };
    let told = seen.earlier.iter().filter_map(error);
    let mut told = told.filter(|kind| *kind != ErrorKind::WouldBlock);
    ends && error(seen.tcpx).is_some() && told.next().is_some()
}

/// A SYN without ACK came while the host was in SYN-SENT.
fn is_simultaneous(seen: &Seen<'_>) -> bool {
    seen.case.is_active()
        && (seen.kernel.state == State::SynReceived
            || seen
                .earlier
                .iter()
                .any(|followed| followed.state == State::SynReceived))
}

/// The window that Linux offers after a simultaneous open without window scaling is still scaled.
fn is_at_edge(step: &Step) -> bool {
    matches!(step, Step::Arrive(arrival) if arrival.seq.base == Base::Edge)
}

fn acks_iss(step: &Step) -> bool {
    matches!(step, Step::Arrive(arrival) if arrival.flags.contains(Flags::ACK))
}

fn sends_syn_ack(followed: &Followed) -> bool {
    let mut replies = followed.replies.iter();
    replies.any(|reply| reply.flags.contains(Flags::SYN | Flags::ACK))
}

/// The name of the known difference that this is.
pub fn name(
    case: &Case,
    difference: &Difference,
    kernel: &Run,
    tcpx: &Run,
) -> Option<&'static str> {
    let at = difference.step;
    let seen = Seen {
        case,
        what: difference.what,
        step: case.steps.get(at)?,
        before: at
            .checked_sub(1)
            .map_or(State::Closed, |before| kernel[before].state),
        kernel: kernel.get(at)?,
        tcpx: tcpx.get(at)?,
        earlier: kernel.get(..at)?,
    };
    let known = KNOWN.iter().find(|(_, matches)| matches(&seen));
    known.map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcpx_proto::config::NAMED_DIFFERENCES;

    #[test]
    fn known_differences_are_those_of_the_table() {
        let known: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
        let listed: Vec<&str> = NAMED_DIFFERENCES.iter().map(|(name, _)| *name).collect();
        assert_eq!(known, listed);
    }
}
