//! What came of one run: whether every expectation was met, and the line that matters.

use crate::experiment::{Plan, Scale, World};
use crate::oracle::{Evidence, Finding, Oracle, Run};
use crate::prediction::RACE;
use crate::trace::{Conversation, Flight, Step};
use crate::world::Outcome;
use serde::Serialize;
use std::collections::HashSet;

/// How much earlier a rung may be stamped than the one before it, seconds: the two clocks are read
/// once for a batch.
const SLACK: f64 = 0.003;
/// The same beside Linux, whose states are seen by looking at its sockets every 10 ms.
const LOOK: f64 = 0.015;
/// A process that waited for the machine is allowed for that, up to so many seconds.
const MOST_LATE: f64 = 0.05;

/// The verdict on one arm in one world.
#[derive(Clone, Serialize, Debug)]
pub struct Verdict {
    /// The experiment.
    pub experiment: String,
    /// The arm.
    pub arm: String,
    /// Without the rule (or with it).
    pub treatment: bool,
    /// Where.
    pub world: World,
    /// What was expected, in the fewest words.
    pub expected: String,
    /// What happened: which octets, which state, for how long.
    #[serde(serialize_with = "crate::oracle::as_a_sentence")]
    pub happened: Vec<Evidence>,
    /// What every oracle found.
    pub findings: Vec<Finding>,
    /// What is not as expected; empty: everything is.
    pub wrong: Vec<String>,
    /// Why it was not run.
    pub skipped: Option<String>,
    /// It could not be run on this machine, though it can be in this world.
    #[serde(skip)]
    pub unavailable: bool,
    /// How often it was repeated, because a process did not get the machine in time and the run was
    /// not as expected.
    pub repeated: usize,
    /// Real seconds that it took.
    pub took: f64,
}

impl Verdict {
    /// Nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// Judges a run by its plan. `slow` stretches every upper bound.
pub fn judge(
    plan: &Plan,
    outcome: &Outcome,
    slow: f64,
) -> (Vec<Finding>, Vec<String>, Vec<Evidence>) {
    let mut run = Run::new(&outcome.logs, outcome.end, plan.patience.as_secs_f64());
    run.budget = plan.budget;
    let findings: Vec<Finding> = Oracle::ALL
        .iter()
        .map(|oracle| oracle.judge(&run))
        .collect();
    let mut wrong = Vec::new();
    for finding in &findings {
        if plan.breaks.contains(&finding.oracle) && finding.holds {
            wrong.push(format!(
                "{} was expected to break, and holds",
                finding.oracle
            ));
        }
        if plan.holds.contains(&finding.oracle) && !finding.holds {
            wrong.push(format!(
                "{} was expected to hold: {}",
                finding.oracle,
                finding.said()
            ));
        }
    }
    wrong.extend(climb(plan, outcome, slow));
    let broken = findings
        .iter()
        .filter(|finding| plan.breaks.contains(&finding.oracle) && !finding.holds);
    let evidence: Vec<Evidence> = broken
        .flat_map(|finding| finding.evidence.clone())
        .collect();
    let happened = if evidence.is_empty() {
        run.summary().to_vec()
    } else {
        evidence
    };
    (findings, wrong, happened)
}

/// A step with the story that it belongs to.
struct Place<'a> {
    conversation: &'a Conversation,
    index: usize,
    step: &'a Step,
}

/// The first rung that is not found in its place.
fn climb(plan: &Plan, outcome: &Outcome, slow: f64) -> Option<String> {
    let late = outcome.waited.min(MOST_LATE);
    let slack = if plan.scale == Scale::Kernel {
        LOOK
    } else {
        SLACK
    };
    let stories = outcome.conversations();
    let mut places: Vec<Place<'_>> = Vec::new();
    for conversation in &stories {
        places.extend(
            conversation
                .steps
                .iter()
                .enumerate()
                .map(|(index, step)| Place {
                    conversation,
                    index,
                    step,
                }),
        );
    }
    places.sort_by(|a, b| a.step.at.total_cmp(&b.step.at));
    // A segment, the state that it led to and the end of the connection are one step: each of them
    // can be a rung.
    let mut used = HashSet::new();
    let mut before: Option<&Place<'_>> = None;
    // The last step of either end that was a rung.
    let mut last = [f64::NEG_INFINITY; 2];
    for rung in &plan.ladder {
        let passed = |place: &Place<'_>| before.map(|before| place.step.at - before.step.at);
        let timely = |passed: f64| {
            rung.within.is_none_or(|(least, most)| {
                passed >= least - slack - late && passed <= most * slow + late
            })
        };
        let fits = |place: &Place<'_>| rung.fits(place.conversation, place.index, place.step);
        let kind = std::mem::discriminant(&rung.sight);
        let free = |nth: usize, place: &Place<'_>| !used.contains(&(kind, nth)) && fits(place);
        // Each end's own record is in order.
        let early = |place: &Place<'_>| {
            if before.is_some_and(|before| before.step.end != place.step.end) {
                slack + late
            } else {
                slack
            }
        };
        let after = || {
            places
                .iter()
                .enumerate()
                .filter(|(_, place)| passed(place).is_none_or(|passed| passed >= -early(place)))
        };
        let found =
            after().find(|(nth, place)| free(*nth, place) && passed(place).is_none_or(timely));
        // What neither end can know to be later may be earlier on a wire.
        let race = if plan.scale == Scale::Real {
            0.0
        } else {
            RACE + 2.0 * outcome.waited
        };
        let at_once = |place: &Place<'_>| {
            let near = passed(place).is_some_and(|passed| passed < 0.0 && passed > -race)
                && place.step.at >= last[rung.end as usize];
            near && before.is_some_and(|before| are_independent(place, before)) && timely(0.0)
        };
        let found = found.or_else(|| {
            places
                .iter()
                .enumerate()
                .find(|(nth, place)| at_once(place) && free(*nth, place))
        });
        let Some((nth, place)) = found else {
            let late = after()
                .find(|(_, place)| fits(place))
                .and_then(|(_, place)| passed(place));
            let late = late.map(|late| {
                format!(
                    " (it was seen {} after the one before)",
                    crate::oracle::seconds(late.max(0.0))
                )
            });
            return Some(format!(
                "the ladder misses \"{}\"{}",
                rung.text,
                late.unwrap_or_default()
            ));
        };
        used.insert((kind, nth));
        last[rung.end as usize] = place.step.at;
        before = Some(
            before
                .filter(|before| before.step.at > place.step.at + slack)
                .unwrap_or(place),
        );
    }
    None
}

/// Neither is the reason of the other: they are at different ends, and no segment that one sent
/// then or later reached the other by then.
fn are_independent(earlier: &Place<'_>, later: &Place<'_>) -> bool {
    let (one, other) = (earlier.step.end, later.step.end);
    let same = std::ptr::eq(earlier.conversation, later.conversation);
    let tells = |flight: &Flight| {
        let sent = flight.sent.is_some_and(|sent| sent >= earlier.index);
        flight.from == one
            && sent
            && flight
                .received
                .iter()
                .any(|received| *received <= later.index)
    };
    one != other && !(same && earlier.conversation.flights.iter().any(tells))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::trace::sample::{File, handshake};

    /// What is missed of a ladder in these records at a scale, when a process waited for so many
    /// seconds.
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
        let (events, captures, notes) = (Default::default(), Default::default(), Vec::new());
        climb(
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
