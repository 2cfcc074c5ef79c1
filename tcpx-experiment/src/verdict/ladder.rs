//! The expected ladder, looked for in a run: states, segments and events in their order.

use crate::experiment::{Expectation, Plan, Scale, Wanted};
use crate::oracle::seconds;
use crate::prediction::RACE;
use crate::trace::{Conversation, Flight, Step};
use crate::world::Outcome;
use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};

/// How much earlier an expected step may be stamped than the one before it, seconds: the two clocks
/// are read once for a batch.
const SLACK: f64 = 0.003;
/// The same beside Linux, whose states are seen by looking at its sockets every 10 ms.
const LOOK: f64 = 0.015;
/// A process that waited for the machine is allowed for that, up to this many seconds.
const MOST_LATE: f64 = 0.05;

/// The first expectation that is not met in its place. `slow` stretches every upper bound.
pub(super) fn missed(plan: &Plan, outcome: &Outcome, slow: f64) -> Option<String> {
    let conversations = outcome.conversations();
    let mut moments = Vec::new();
    for conversation in &conversations {
        for (index, step) in conversation.steps.iter().enumerate() {
            moments.push(Moment {
                conversation,
                index,
                step,
            });
        }
    }
    moments.sort_by(|a, b| a.step.at.total_cmp(&b.step.at));
    let mut climb = Climb {
        moments: &moments,
        limits: Limits::new(plan.scale, outcome.waited, slow),
        used: HashSet::new(),
        before: None,
        last: [f64::NEG_INFINITY; 2],
    };
    for expected in &plan.ladder {
        match climb.find(expected) {
            Some(nth) => climb.take(expected, nth),
            None => return Some(climb.complaint(expected)),
        }
    }
    None
}

/// How exactly times count, seconds.
struct Limits {
    /// How much earlier a step of the same end may be than the one before.
    slack: f64,
    /// How long a process waited for the machine, as far as it is allowed for.
    late: f64,
    /// What stretches an upper bound.
    slow: f64,
    /// How much earlier a step may be that the other end cannot know to be later.
    race: f64,
}

impl Limits {
    fn new(scale: Scale, waited: f64, slow: f64) -> Limits {
        Limits {
            slack: match scale {
                Scale::Real | Scale::Wire => SLACK,
                Scale::Kernel => LOOK,
            },
            late: waited.min(MOST_LATE),
            slow,
            race: match scale {
                // On a virtual clock nothing is late.
                Scale::Real => 0.0,
                Scale::Wire | Scale::Kernel => RACE + 2.0 * waited,
            },
        }
    }
}

/// A step with the conversation that it belongs to.
struct Moment<'a> {
    conversation: &'a Conversation,
    index: usize,
    step: &'a Step,
}

/// The way up the ladder.
struct Climb<'a> {
    /// All steps of the run, in order.
    moments: &'a [Moment<'a>],
    limits: Limits,
    /// What met an expectation. A segment, the state that it led to and the end of the connection
    /// are one step: each kind can meet one of its own.
    used: HashSet<(Discriminant<Wanted>, usize)>,
    /// What met the expectation before: times count from there.
    before: Option<&'a Moment<'a>>,
    /// When either end last met one.
    last: [f64; 2],
}

impl<'a> Climb<'a> {
    /// What meets an expectation: the first step after the one before; else one that came just
    /// before it and could as well have come after it.
    fn find(&self, expected: &Expectation) -> Option<usize> {
        let free = |nth: usize, moment: &Moment<'_>| {
            let kind = discriminant(&expected.wanted);
            fits(expected, moment) && !self.used.contains(&(kind, nth))
        };
        let mut moments = self.moments.iter().enumerate();
        let after = moments.position(|(nth, moment)| {
            self.is_after(moment) && free(nth, moment) && self.is_timely(expected, moment)
        });
        let mut moments = self.moments.iter().enumerate();
        after.or_else(|| {
            moments.position(|(nth, moment)| self.is_at_once(expected, moment) && free(nth, moment))
        })
    }

    /// Seconds since what met the expectation before.
    fn passed(&self, moment: &Moment<'_>) -> Option<f64> {
        self.before.map(|before| moment.step.at - before.step.at)
    }

    /// Not earlier than what met the expectation before. Each end's own record is in order; between
    /// the two, a process may be late.
    fn is_after(&self, moment: &Moment<'_>) -> bool {
        let other_end = self
            .before
            .is_some_and(|before| before.step.end != moment.step.end);
        let late = if other_end { self.limits.late } else { 0.0 };
        self.passed(moment)
            .is_none_or(|passed| passed >= -(self.limits.slack + late))
    }

    fn is_timely(&self, expected: &Expectation, moment: &Moment<'_>) -> bool {
        self.passed(moment)
            .is_none_or(|passed| self.is_within(expected, passed))
    }

    fn is_within(&self, expected: &Expectation, passed: f64) -> bool {
        let Some((least, most)) = expected.within else {
            return true;
        };
        passed >= least - self.limits.slack - self.limits.late
            && passed <= most * self.limits.slow + self.limits.late
    }

    /// A little earlier than what met the expectation before, which does not depend on it.
    fn is_at_once(&self, expected: &Expectation, moment: &Moment<'_>) -> bool {
        let Some(before) = self.before else {
            return false;
        };
        let passed = moment.step.at - before.step.at;
        passed < 0.0
            && passed > -self.limits.race
            && moment.step.at >= self.last[expected.end as usize]
            && are_independent(moment, before)
            && self.is_within(expected, 0.0)
    }

    fn take(&mut self, expected: &Expectation, nth: usize) {
        let moment = &self.moments[nth];
        self.used.insert((discriminant(&expected.wanted), nth));
        self.last[expected.end as usize] = moment.step.at;
        let still = |before: &&Moment<'_>| before.step.at > moment.step.at + self.limits.slack;
        if !self.before.as_ref().is_some_and(still) {
            self.before = Some(moment);
        }
    }

    /// What is missed, and when it was seen out of its bounds.
    fn complaint(&self, expected: &Expectation) -> String {
        let mut after = self.moments.iter().filter(|moment| self.is_after(moment));
        let seen = after
            .find(|moment| fits(expected, moment))
            .and_then(|moment| self.passed(moment));
        let seen = seen.map_or(String::new(), |passed| {
            format!(
                " (it was seen {} after the one before)",
                seconds(passed.max(0.0))
            )
        });
        format!("the ladder misses \"{}\"{seen}", expected.text)
    }
}

fn fits(expected: &Expectation, moment: &Moment<'_>) -> bool {
    expected.fits(moment.conversation, moment.index, moment.step)
}

/// Neither is the reason of the other: they are at different ends, and no segment that one sent
/// then or later reached the other by then.
fn are_independent(earlier: &Moment<'_>, later: &Moment<'_>) -> bool {
    let connects = |flight: &Flight| {
        flight.from == earlier.step.end
            && flight.sent.is_some_and(|sent| sent >= earlier.index)
            && flight.received.iter().any(|at| *at <= later.index)
    };
    let same = std::ptr::eq(earlier.conversation, later.conversation);
    earlier.step.end != later.step.end
        && !(same && earlier.conversation.flights.iter().any(connects))
}

#[cfg(test)]
mod tests {
    use crate::experiment::{Experiment, Scale};
    use crate::trace::sample::{File, handshake};
    use crate::world::Outcome;

    /// What these records lack of a ladder at a scale, when a process waited for this many seconds.
    fn missed(
        ladder: &str,
        (client, server): &(File, File),
        scale: Scale,
        waited: f64,
    ) -> Option<String> {
        let words = [
            "name", "title", "question", "story", "textbook", "rfc", "linux",
        ]
        .map(|field| format!("{field} = \"x\"\n"))
        .concat();
        let rest = "group = \"close\"\nprofile = \"linux\"\npatience = \"1s\"\nlimit = \"9s\"\n[kernel]\nend = \"a\"\n";
        let hosts = "[a]\nscript = \"connect\"\n[b]\nscript = \"listen\"\n";
        let arm = |name: &str, more: &str| {
            format!("[[arm]]\nname = \"{name}\"\nsays = \"x\"\nladder = [{ladder}]\n{more}\n")
        };
        let source = format!(
            "{words}{rest}{hosts}{}{}",
            arm("without", "treatment = true"),
            arm("with", "")
        );
        let experiment =
            Experiment::parse("x", &source).unwrap_or_else(|mistake| panic!("{mistake}"));
        let plan = experiment.checked_plan(&experiment.arms[0], scale).unwrap();
        let events = Default::default();
        let captures = Default::default();
        let notes = Vec::new();
        super::missed(
            &plan,
            &Outcome {
                logs: [client.log(), server.log()],
                end: 9.0,
                events,
                captures,
                notes,
                waited,
            },
            1.0,
        )
    }

    /// The client closes at once; the server hears of the third ACK 30 ms late, and then of the
    /// FIN. Its clock began 0.1 s earlier.
    fn late_server() -> (File, File) {
        let (client, server) = handshake();
        let client = client.sends(0.004, ("A", 101, 301, 0), "pass").state(
            0.005,
            "ESTABLISHED",
            "FIN-WAIT-1",
            "CLOSE",
        );
        let client = client.sends(0.005, ("FA", 101, 301, 0), "pass");
        let server = server.receives(0.134, ("A", 101, 301, 0), 2, "pass").state(
            0.134,
            "SYN-RECEIVED",
            "ESTABLISHED",
            "ACK of SYN",
        );
        (
            client,
            server
                .receives(0.144, ("FA", 101, 301, 0), 3, "pass")
                .state(0.144, "ESTABLISHED", "CLOSE-WAIT", "FIN"),
        )
    }

    #[test]
    fn rungs_at_two_ends_come_in_either_order_where_neither_is_the_others_reason() {
        let independent = "\"b ESTABLISHED\", \"a FIN-WAIT-1\", \"b CLOSE-WAIT\"";
        assert_eq!(missed(independent, &late_server(), Scale::Wire, 0.0), None);
        assert!(
            missed(independent, &late_server(), Scale::Real, 0.0).is_some(),
            "on a virtual clock nothing is late"
        );
        let its_reason = missed(
            "\"b CLOSE-WAIT\", \"a FIN-WAIT-1\"",
            &late_server(),
            Scale::Wire,
            0.0,
        );
        assert_eq!(its_reason.unwrap(), "the ladder misses \"a FIN-WAIT-1\"");
    }

    #[test]
    fn bounds_of_a_rung_allow_what_a_process_waited_for_the_machine() {
        let ladder = "\"a FIN-WAIT-1\", \"b CLOSE-WAIT in ..5ms\"";
        assert!(
            missed(ladder, &late_server(), Scale::Wire, 0.0)
                .unwrap()
                .contains("39 ms after the one before")
        );
        assert_eq!(missed(ladder, &late_server(), Scale::Wire, 0.036), None);
        let ladder = "\"a FIN-WAIT-1\", \"b CLOSE-WAIT in 60ms..\"";
        assert!(missed(ladder, &late_server(), Scale::Wire, 0.001).is_some());
        assert_eq!(missed(ladder, &late_server(), Scale::Wire, 0.036), None);
    }
}
