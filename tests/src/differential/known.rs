//! Differences that are known and stay: how to tell them by what shows, each as narrowly as it can
//! be. [`NAMED_DIFFERENCES`](tcpx_proto::config::NAMED_DIFFERENCES) has their reasons.

use super::case::{Call, Case, Step};
use super::compare::{Difference, What};
use super::side::{Followed, Outcome, Run};
use std::io::ErrorKind;
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
    ("abort-in-time-wait", |seen| {
        seen.before == State::TimeWait
            && *seen.step == Step::Call(Call::Abort)
            && (seen.kernel.state, seen.tcpx.state) == (State::TimeWait, State::Closed)
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
            && [seen.kernel, seen.tcpx].map(sends_syn_ack) == [true, true]
    }),
    ("simultaneous-shutdown", |seen| {
        is_simultaneous(seen)
            && seen.before == State::SynReceived
            && *seen.step == Step::Call(Call::Shutdown)
    }),
];

/// A SYN without ACK came while the host was in SYN-SENT.
fn is_simultaneous(seen: &Seen<'_>) -> bool {
    seen.case.is_active()
        && (seen.kernel.state == State::SynReceived
            || seen
                .earlier
                .iter()
                .any(|followed| followed.state == State::SynReceived))
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
