//! Where a conversation repeats itself, so that a picture can say it once: fifteen retransmissions,
//! two hours of keepalive.

use crate::end::End;
use crate::trace::{Conversation, Direction, Flight, Remark, Step};
use std::ops::Range;

/// The fewest repetitions that are summarized; fewer are drawn.
const ENOUGH: usize = 4;
/// The most steps of one repetition: a probe and its answer are four.
const LONGEST: usize = 8;

/// What stands between the first and the last of several repetitions.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Run {
    /// The steps that are left out.
    pub(super) hidden: Range<usize>,
    /// How many repetitions those are.
    pub(super) times: usize,
    /// How many segments are in each.
    pub(super) segments: usize,
}

/// What must be equal for one step to repeat another.
#[derive(PartialEq)]
struct Likeness<'a> {
    end: End,
    direction: Option<Direction>,
    label: Option<&'a str>,
    fault: Option<&'a str>,
    remarks: &'a [Remark],
    unsure: (bool, bool),
    /// How far away the segment's other steps are.
    sent: Option<isize>,
    received: Vec<isize>,
}

/// All of them, in order. `flights` has the flight of each step, and `labels` tell which flights
/// are of the same segment.
pub(super) fn runs(
    conversation: &Conversation,
    flights: &[Option<usize>],
    labels: &[String],
) -> Vec<Run> {
    let flight = |index: &usize| {
        Some((
            conversation.flights.get(*index)?,
            labels.get(*index)?.as_str(),
        ))
    };
    let step = |(index, known): (usize, &Option<usize>)| {
        likeness(
            &conversation.steps[index],
            index,
            known.as_ref().and_then(flight),
        )
    };
    let steps: Vec<Option<Likeness>> = flights.iter().enumerate().map(step).collect();
    let mut runs = Vec::new();
    let mut index = 0;
    while index < steps.len() {
        let repeated = (1..=LONGEST)
            .map(|period| (period, times(&steps, index, period)))
            .find(|(_, times)| *times >= ENOUGH);
        let Some((period, times)) = repeated else {
            index += 1;
            continue;
        };
        let hidden = index + period..index + period * (times - 1);
        let before = |step: usize| {
            conversation
                .flights
                .partition_point(|flight| flight.begin() < Some(step))
        };
        let segments = (before(hidden.end) - before(hidden.start)) / (times - 2);
        index += period * times;
        runs.push(Run {
            hidden,
            times: times - 2,
            segments,
        });
    }
    runs
}

/// How often the steps of one period follow each other, from that step on.
fn times(steps: &[Option<Likeness>], start: usize, period: usize) -> usize {
    let mut periods = steps.get(start..).unwrap_or_default().chunks_exact(period);
    let Some(first) = periods.next() else {
        return 0;
    };
    // A segment that leaves the period, as one that is late, ties the repetitions together: then
    // they are a conversation.
    let inside = |(index, step): (usize, &Option<Likeness>)| {
        let stays = |offset: &isize| {
            index
                .checked_add_signed(*offset)
                .is_some_and(|partner| partner < period)
        };
        step.as_ref()
            .is_some_and(|step| step.sent.iter().chain(&step.received).all(stays))
    };
    if !first.iter().enumerate().all(inside) {
        return 0;
    }
    1 + periods.take_while(|period| *period == first).count()
}

/// `None`: it brings a new state, and so is like no other.
fn likeness<'a>(
    step: &'a Step,
    index: usize,
    flight: Option<(&'a Flight, &'a str)>,
) -> Option<Likeness<'a>> {
    let away = |other: usize| other.cast_signed() - index.cast_signed();
    (!step.entered).then(|| Likeness {
        end: step.end,
        direction: step.segment.as_ref().map(|segment| segment.dir),
        label: flight.map(|(_, label)| label),
        fault: step.segment.as_ref().and_then(|segment| segment.fault()),
        remarks: &step.remarks,
        unsure: flight.map_or((false, false), |(flight, _)| {
            (flight.unwitnessed, flight.forged)
        }),
        sent: flight.and_then(|(flight, _)| flight.sent).map(away),
        received: flight.map_or(Vec::new(), |(flight, _)| {
            flight.received.iter().map(|step| away(*step)).collect()
        }),
    })
}

#[cfg(test)]
mod tests {
    use crate::draw::{Format, draw};
    use crate::trace::sample::{File, conversation, handshake};

    const PROBE: (&str, u32, u32, u32) = ("A", 100, 301, 0);
    const ANSWER: (&str, u32, u32, u32) = ("A", 301, 101, 0);

    /// Client and server with this many probes, a second apart.
    fn probed(times: u16, answered: bool) -> (File, File) {
        (0..times).fold(handshake(), |(client, server), number| {
            let t = f64::from(number + 1);
            let client = client.sends(t, PROBE, if answered { "pass" } else { "drop" });
            if !answered {
                return (client, server);
            }
            let client = client.receives(t + 0.003, ANSWER, 2 + number, "pass");
            (
                client,
                server.receives(t + 0.101, PROBE, 2 + number, "pass").sends(
                    t + 0.102,
                    ANSWER,
                    "pass",
                ),
            )
        })
    }

    /// The lines of the picture that are left out and those that have a probe.
    fn drawn((client, server): &(File, File)) -> (Vec<String>, usize) {
        let drawn = draw(&conversation(&client.log(), &server.log()), Format::Text);
        let more = drawn
            .lines()
            .filter_map(|line| line.split_once('…'))
            .map(|(_, rest)| rest.replace('┊', "").trim().to_owned());
        (
            more.collect(),
            drawn.matches("ACK seq 0 ack 1 ─").count() - 1,
        )
    }

    #[test]
    fn lost_probes_are_drawn_as_the_first_and_the_last() {
        assert_eq!(
            drawn(&probed(9, false)),
            (vec!["7 more, until 8.000 s".to_owned()], 2)
        );
    }

    #[test]
    fn answered_probes_are_left_out_with_their_answers() {
        assert_eq!(
            drawn(&probed(9, true)),
            (vec!["7 more of these 2, until 8.003 s".to_owned()], 2)
        );
    }

    #[test]
    fn three_probes_are_drawn() {
        assert_eq!(drawn(&probed(3, false)), (Vec::new(), 3));
    }

    #[test]
    fn another_fate_or_a_state_between_ends_the_repetition() {
        let (client, server) = probed(3, false);
        let other = client
            .sends(4.0, PROBE, "corrupt")
            .sends(5.0, PROBE, "drop");
        assert_eq!(drawn(&(other, server)).0, [""; 0]);
        let (client, server) = probed(2, false);
        let state = client
            .state(2.5, "ESTABLISHED", "FIN-WAIT-1", "CLOSE")
            .sends(3.0, PROBE, "drop")
            .sends(4.0, PROBE, "drop");
        assert_eq!(drawn(&(state, server)).0, [""; 0]);
    }
}
