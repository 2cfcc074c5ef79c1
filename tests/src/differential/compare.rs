//! Where two runs of a case differ.

use super::case::Case;
use super::peer::Reply;
use super::side::{Followed, Outcome, Pace, Run};
use std::fmt;
use std::io;
use std::time::Duration;
use tcpx_proto::wire::Flags;

/// The first thing that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The step that it followed.
    pub step: usize,
    /// What differs.
    pub what: What,
}

/// What differs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum What {
    /// What was sent.
    Replies,
    /// Only bare ACKs, or how much new text, both of which may wait for a timer: such a case is
    /// played again slowly.
    Timed,
    /// What a call returned.
    Outcome,
    /// The state.
    State,
    /// Whether or when something is sent again.
    Repetition,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Replies => "the replies differ",
            What::Timed => "the ACKs, or the amounts of text, differ",
            What::Outcome => "the calls return different results",
            What::State => "the states differ",
            What::Repetition => "the repetitions differ",
        })
    }
}

/// The first difference between a run of the kernel's and one of tcpx.
pub fn difference(_case: &Case, pace: Pace, kernel: &Run, tcpx: &Run) -> Option<Difference> {
    let steps = kernel.iter().zip(tcpx);
    let found = steps.enumerate().find_map(|(step, (kernel, tcpx))| {
        let what = at_step(pace, kernel, tcpx)?;
        Some(Difference { step, what })
    });
    let Pace::Slow(_, rest) = pace else {
        return found;
    };
    if found.is_some() {
        return found;
    }
    let last = kernel.len().checked_sub(1)?;
    repetitions(kernel.last()?, tcpx.last()?, rest).then_some(Difference {
        step: last,
        what: What::Repetition,
    })
}

fn at_step(pace: Pace, kernel: &Followed, tcpx: &Followed) -> Option<What> {
    let first = |followed: &Followed| -> Vec<Shown> {
        followed
            .replies
            .iter()
            .filter(|reply| !reply.repeated)
            .map(|reply| Shown::of(reply, pace))
            .collect()
    };
    let (one, other) = (first(kernel), first(tcpx));
    if one != other {
        Some(match is_timed(&one, &other) {
            true => What::Timed,
            false => What::Replies,
        })
    } else if !same_outcome(kernel.outcome.as_ref(), tcpx.outcome.as_ref()) {
        Some(What::Outcome)
    } else if kernel.state != tcpx.state {
        Some(What::State)
    } else {
        None
    }
}

/// What comes so late waited for a timer.
pub const DELAYED: Duration = Duration::from_millis(30);

/// What must be the same of a reply.
#[derive(Clone, Debug)]
struct Shown {
    reply: Reply,
    /// When a bare ACK was sent, where there was time for timers.
    after: Duration,
}

impl PartialEq for Shown {
    /// Nothing that a host does at once takes so long as [`DELAYED`], and nothing that it delays so
    /// little; what waits longer may come a slot of the timer wheel apart.
    fn eq(&self, other: &Shown) -> bool {
        let same = (self.after >= DELAYED) == (other.after >= DELAYED);
        self.reply == other.reply && (same || near(self.after, other.after))
    }
}

impl Shown {
    fn of(reply: &Reply, pace: Pace) -> Shown {
        let mut reply = reply.clone();
        let bare = reply.flags == Flags::ACK && reply.text.is_empty();
        let after = match pace != Pace::Fast && bare {
            true => reply.after,
            false => Duration::ZERO,
        };
        reply.after = Duration::ZERO;
        // The last segment of each burst that Linux builds at once has PSH, whatever its end is.
        if !reply.text.is_empty() {
            reply.flags -= Flags::PSH;
        }
        Shown { reply, after }
    }
}

/// Whether two times are one within a tenth and [`DELAYED`].
fn near(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) <= DELAYED + one.max(other) / 10
}

/// Whether only bare ACKs and new text at the end tell the two apart.
fn is_timed(one: &[Shown], other: &[Shown]) -> bool {
    let settled = |shown: &[Shown]| -> Vec<Shown> {
        let settled = shown.iter().filter(|shown| !shown.is_bare_ack());
        settled.cloned().collect()
    };
    let (one, other) = (settled(one), settled(other));
    let both = one.len().min(other.len());
    let (more, rest) = if one.len() > both {
        (&one, &other)
    } else {
        (&other, &one)
    };
    more[..both] == rest[..]
        && more[both..]
            .iter()
            .all(|shown| !shown.reply.text.is_empty())
}

impl Shown {
    fn is_bare_ack(&self) -> bool {
        self.reply.flags == Flags::ACK && self.reply.text.is_empty()
    }
}

/// Whether a call did the same. What `shutdown` returns is tokio's contract and not Linux's.
fn same_outcome(kernel: Option<&Outcome>, tcpx: Option<&Outcome>) -> bool {
    match (kernel, tcpx) {
        (Some(Outcome::Refused(io::ErrorKind::NotConnected)), Some(Outcome::Done)) => true,
        _ => kernel == tcpx,
    }
}

/// Whether, after the last step, one host sends again what the other does not, or at another time:
/// a tenth and 30 ms are allowed, also at the end of the time that is left to both.
fn repetitions(kernel: &Followed, tcpx: &Followed, rest: Duration) -> bool {
    let times = |followed: &Followed| -> Vec<Duration> {
        followed
            .replies
            .iter()
            .filter(|reply| reply.repeated)
            .map(|reply| reply.after)
            .collect()
    };
    let (kernel, tcpx) = (times(kernel), times(tcpx));
    let both = kernel.len().min(tcpx.len());
    let (kernel, late) = kernel.split_at(both);
    let (tcpx, later) = tcpx.split_at(both);
    let ends = |time: &Duration| near(*time, rest);
    let pairs = kernel.iter().zip(tcpx);
    !pairs.into_iter().all(|(one, other)| near(*one, *other)) || !late.iter().chain(later).all(ends)
}
