//! Differences that are known and stay: how to tell them by what shows, each as narrowly as it can
//! be. [`NAMED_DIFFERENCES`](tcpx_proto::config::NAMED_DIFFERENCES) has their reasons.

use super::case::{Base, Call, Case, Place, Step};
use super::compare::{DELAYED, Difference, What};
use super::peer::{Field, Relative, Reply};
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

impl<'a> Seen<'a> {
    /// The steps before this one, with what followed each at the kernel.
    fn past(&self) -> impl Iterator<Item = (&'a Step, &'a Followed)> + Clone + use<'a> {
        self.case.steps.iter().zip(self.earlier)
    }
}

type Matcher = fn(&Seen<'_>) -> bool;

/// So many segments are in flight where Linux's first congestion window is full, or it waits until
/// there is room for two.
const LEAST_WINDOW: usize = 9;

/// The names, and how to tell each.
const KNOWN: &[(&str, Matcher)] = &[
    ("send-before-established", |seen| {
        matches!(seen.before, State::SynSent | State::SynReceived)
            && seen.kernel.outcome == Some(Outcome::Refused(ErrorKind::WouldBlock))
            && matches!(seen.tcpx.outcome, Some(Outcome::Wrote(_)))
    }),
    ("early-socket", |seen| {
        let both = Flags::SYN | Flags::ACK;
        let more = |step: &Step| match step {
            Step::Arrive(it) => {
                it.flags.contains(both) && (it.text > 0 || it.flags.contains(Flags::FIN))
            }
            Step::Call(_) => false,
        };
        let stays = |(step, followed): (&Step, &Followed)| {
            more(step) && followed.state == State::SynReceived
        };
        !seen.case.is_active()
            && (seen.before == State::SynReceived || seen.what == What::Timed)
            && seen.past().chain([(seen.step, seen.kernel)]).any(stays)
    }),
    ("listener-end", |seen| {
        *seen.step == Step::Call(Call::Unlisten)
            && (seen.kernel.state, seen.tcpx.state) == (State::SynReceived, State::Closed)
    }),
    ("simultaneous-ack", |seen| {
        is_simultaneous(seen)
            && seen.before == State::SynReceived
            && seen.kernel.state != State::SynReceived
            && seen.tcpx.state == State::SynReceived
            && matches!(seen.step, Step::Arrive(it) if it.flags.contains(Flags::ACK))
    }),
    ("simultaneous-shutdown", |seen| {
        let sends = |followed: &Followed, what| {
            let mut replies = followed.replies.iter();
            replies.any(|it| it.flags.contains(what))
        };
        let repeats = |followed: &Followed, what| {
            let mut replies = followed.replies.iter().filter(|it| it.repeated);
            replies.any(|it| it.flags.contains(what))
        };
        is_simultaneous(seen)
            && match seen.step {
                _ if seen.what == What::Repetition => {
                    repeats(seen.kernel, Flags::FIN) && repeats(seen.tcpx, Flags::SYN)
                }
                _ if seen.before != State::SynReceived => false,
                Step::Call(Call::Shutdown) => true,
                Step::Call(Call::Close) => sends(seen.tcpx, Flags::FIN),
                _ => false,
            }
    }),
    ("error-kind", |seen| {
        let (Some(kernel), Some(tcpx)) = (error(seen.kernel), error(seen.tcpx)) else {
            return seen.what == What::Outcome && is_told_again(seen);
        };
        // The host itself has ended the connection: by a shutdown in SYN-SENT, or because text came
        // in the place of the peer's FIN.
        let by_host = seen.past().any(|(step, followed)| {
            let reset = |reply: &Reply| reply.flags.contains(Flags::RST);
            followed.state == State::Closed
                && (*step == Step::Call(Call::Shutdown) || followed.replies.iter().any(reset))
        });
        let was = |state| seen.earlier.iter().any(|followed| followed.state == state);
        seen.what == What::Outcome
            && match (kernel, tcpx) {
                (ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused) => is_simultaneous(seen),
                (
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe,
                    ErrorKind::ConnectionAborted,
                ) => by_host,
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
                let sack = |field: &Field| matches!(field, Field::Sack(_) | Field::Nop);
                reply.options.retain(|field| !sack(field));
            }
            replies
        };
        let fin = |step: &Step| matches!(step, Step::Arrive(it) if it.flags.contains(Flags::FIN));
        let mut steps = seen.past().map(|(step, _)| step).chain([seen.step]);
        steps.any(fin)
            && bare(seen.kernel) == bare(seen.tcpx)
            && matches!(seen.kernel.state, State::TimeWait | State::Closing)
    }),
    ("bursts", |seen| {
        let sent = |followed: &'_ Followed| -> Vec<Reply> {
            let replies = followed.replies.iter().filter(|it| !it.text.is_empty());
            replies.cloned().collect()
        };
        let sacks = |it: &Reply| -> Vec<Field> {
            let sack = |field: &&Field| matches!(field, Field::Sack(_));
            it.options.iter().filter(sack).cloned().collect()
        };
        match (&sent(seen.kernel)[..], &sent(seen.tcpx)[..]) {
            ([first, second, ..], [ours, next, ..]) => {
                seen.what == What::Replies
                    && !sacks(first).is_empty()
                    && sacks(first) == sacks(ours)
                    && sacks(second) == sacks(first)
                    && sacks(next) != sacks(ours)
            }
            _ => false,
        }
    }),
    ("window-in-bytes", |seen| {
        let (kernel, tcpx) = (prompt(seen.kernel), prompt(seen.tcpx));
        let mut in_flight: Vec<(i32, usize)> = Vec::new();
        for (step, followed) in seen.past().chain([(seen.step, seen.kernel)]) {
            let all = Place::at(Base::SndNxt);
            if matches!(step, Step::Arrive(it) if it.flags.contains(Flags::ACK) && it.ack == all) {
                in_flight.clear();
            }
            in_flight.extend(texts(followed));
        }
        let largest = tcpx.iter().map(|(_, length)| *length).max();
        let sack = |field: &Field| matches!(field, Field::Sack(_));
        let small = in_flight.iter().any(|(_, length)| Some(*length) < largest)
            || seen
                .tcpx
                .replies
                .iter()
                .all(|it| it.options.iter().any(sack));
        tcpx.len() > kernel.len()
            && tcpx.starts_with(&kernel)
            && in_flight.len() >= LEAST_WINDOW
            && small
    }),
    ("rest-of-a-window", |seen| {
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
    ("old-ack", |seen| {
        let old = |step: &Step| match step {
            Step::Arrive(it) if it.flags - Flags::PSH == Flags::ACK => match it.ack.base {
                Base::SndUna | Base::SndNxt => it.ack.offset < 0,
                base => base == Base::Iss,
            },
            _ => false,
        };
        let text = |step: &Step| matches!(step, Step::Arrive(it) if it.text > 0);
        let mut before = seen.past().map(|(step, _)| step).chain([seen.step]);
        let taken = before.clone().any(|step| old(step) && text(step))
            && (last_ack(seen.kernel) > last_ack(seen.tcpx)
                || read(seen.kernel) > read(seen.tcpx)
                || (seen.kernel.replies.is_empty() && old(seen.step)));
        let stamped = || {
            let unstamped = |followed: &Followed| -> Vec<_> {
                let shown = |reply: &Reply| {
                    let mut options = reply.options.clone();
                    options.retain(|option| !matches!(option, Field::Stamps(_)));
                    (
                        reply.control(),
                        reply.seq,
                        reply.ack,
                        reply.text.clone(),
                        options,
                    )
                };
                followed.replies.iter().map(shown).collect()
            };
            unstamped(seen.kernel) == unstamped(seen.tcpx)
        };
        taken || (seen.case.offers.stamps && before.any(old) && stamped())
    }),
    ("second-fin", |seen| {
        let fin = |step: &Step| matches!(step, Step::Arrive(it) if it.text > 0 && it.flags.contains(Flags::FIN));
        let counted = match (last_ack(seen.kernel), last_ack(seen.tcpx)) {
            (Some(kernel), Some(tcpx)) => kernel == tcpx + 1,
            (kernel, tcpx) => kernel.is_some() && tcpx.is_none() && fin(seen.step),
        };
        let late = matches!(
            seen.before,
            State::CloseWait | State::Closing | State::LastAck
        );
        let mut before = seen.past().map(|(step, _)| step).chain([seen.step]);
        late && counted && before.any(fin)
    }),
    ("abort-in-last-ack", |seen| {
        let resets = |followed: &Followed| {
            let mut replies = followed.replies.iter();
            replies.any(|reply| reply.flags.contains(Flags::RST))
        };
        *seen.step == Step::Call(Call::Abort)
            && matches!(seen.before, State::Closing | State::LastAck)
            && resets(seen.kernel)
            && seen.tcpx.replies.is_empty()
    }),
    ("request-tos", |seen| {
        let plain = |followed: &Followed| -> Vec<Reply> {
            let mut replies = followed.replies.clone();
            for reply in &mut replies {
                reply.after = Duration::ZERO;
                reply.ip.1 = 0;
            }
            replies
        };
        let marked = matches!(seen.step, Step::Arrive(it) if it.tos > 3);
        seen.before == State::SynReceived && marked && plain(seen.kernel) == plain(seen.tcpx)
    }),
    ("late-window", |seen| {
        let late = matches!(seen.before, State::FinWait2 | State::TimeWait);
        let shown = |followed: &Followed| -> Vec<_> {
            let replies = followed.replies.iter();
            replies
                .map(|it| (it.flags, it.seq, it.ack, it.options.clone()))
                .collect()
        };
        let full = |reply: &Reply| reply.window == u16::MAX;
        late && shown(seen.kernel) == shown(seen.tcpx)
            && seen.tcpx.replies.iter().all(full)
            && seen
                .past()
                .any(|(_, followed)| followed.replies.iter().any(full))
    }),
    ("ack-before-fin", |seen| {
        let fin = matches!(seen.step, Step::Arrive(it) if it.flags.contains(Flags::FIN));
        let first = |followed: &Followed| -> Vec<(Flags, i32)> {
            let replies = followed.replies.iter().filter(|it| !it.repeated);
            replies.map(|it| (it.flags - Flags::PSH, it.seq)).collect()
        };
        let (kernel, tcpx) = (first(seen.kernel), first(seen.tcpx));
        fin && seen.before == State::FinWait1
            && seen.kernel.state == State::Closing
            && matches!(kernel[..], [(Flags::ACK, _), ref rest @ ..] if rest == tcpx)
    }),
    ("part-of-a-segment", |seen| {
        let timed = matches!(seen.what, What::Repetition | What::Timed);
        timed && acknowledges_part(seen)
    }),
];

/// Whether an ACK ended inside a segment of the kernel's.
fn acknowledges_part(seen: &Seen<'_>) -> bool {
    // Relative to the ISS.
    let (mut una, mut nxt) = (0, 0);
    let mut ends = vec![0, 1];
    for (step, followed) in seen.past().chain([(seen.step, seen.kernel)]) {
        let ack = match step {
            Step::Arrive(it) if it.flags.contains(Flags::ACK) => match it.ack.base {
                Base::SndNxt => nxt + it.ack.offset.clamp(-nxt, 0),
                Base::SndUna => una + it.ack.offset.clamp(-una, nxt),
                Base::Iss => it.ack.offset,
                _ => 0,
            },
            _ => 0,
        };
        if ack < nxt && !ends.contains(&ack) {
            return true;
        }
        una = una.max(ack.min(nxt));
        for reply in &followed.replies {
            let counts = reply.flags.intersection(Flags::SYN | Flags::FIN);
            let end = reply.seq + reply.text.len() as i32 + i32::from(!counts.is_empty());
            ends.push(end);
            nxt = nxt.max(end);
        }
    }
    false
}

/// The last acknowledgment number that was sent.
fn last_ack(side: &Followed) -> Option<i32> {
    let acks = side.replies.iter().filter_map(|reply| reply.ack);
    let mut near = acks.filter_map(|ack| match ack {
        Relative::Irs(ack) => Some(ack),
        Relative::Far(_) => None,
    });
    near.next_back()
}

/// How many bytes were read.
fn read(side: &Followed) -> usize {
    match &side.outcome {
        Some(Outcome::Read(bytes, _)) => bytes.len(),
        _ => 0,
    }
}

/// Where new text begins, and how much there is in each segment.
fn texts(followed: &Followed) -> Vec<(i32, usize)> {
    let new = followed.replies.iter().filter(|it| !it.repeated);
    let new = new.filter(|it| !it.text.is_empty());
    new.map(|it| (it.seq, it.text.len())).collect()
}

/// The same, of what waited for no timer.
fn prompt(followed: &Followed) -> Vec<(i32, usize)> {
    let mut followed = followed.clone();
    followed.replies.retain(|reply| reply.after < DELAYED);
    texts(&followed)
}

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
