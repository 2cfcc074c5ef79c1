//! A conversation made ready for drawing, the same for each kind of picture: its lines from top to
//! bottom, what each segment is called and what became of it, and which timer ran from where to
//! where.

use super::repeat::{Run, runs};
use super::timers::{Span, spans};
use crate::end::End;
use crate::trace::{Conversation, Direction, Effect, Flight, Segment, Step, TOGETHER};
use std::collections::HashMap;
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::wire::Flags;

/// A silence longer than this, seconds, is a line of its own.
const SILENCE: f64 = 0.2;

/// What a picture is made of.
pub(super) struct Layout<'a> {
    /// What happened.
    pub(super) conversation: &'a Conversation,
    /// From top to bottom.
    pub(super) lines: Vec<Line>,
    /// Timers, each beside the lines during which it ran.
    pub(super) brackets: Vec<Bracket>,
    /// By its last line, each bracket.
    ending: HashMap<usize, usize>,
    /// The line of each step.
    line_of: Vec<usize>,
    /// The flight of each step.
    flight_of: Vec<Option<usize>>,
    /// What each flight is called.
    labels: Vec<String>,
}

/// A line of a picture.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Line {
    /// Nothing happened for this long, seconds.
    Silence(f64),
    /// That step.
    Step(usize),
    /// A timer starts, and no step shows it.
    Starts(usize),
    /// A timer ends: the bracket of that number.
    Ends(usize),
    /// Steps that repeat the ones above.
    More(Run),
}

/// A timer beside the lines during which it ran.
#[derive(Debug)]
pub(super) struct Bracket {
    /// The timer.
    pub(super) span: Span,
    /// Its first line.
    pub(super) first: usize,
    /// Its last one.
    pub(super) last: usize,
    /// How many brackets are between it and the rail.
    pub(super) lane: usize,
}

/// What became of a segment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fate<'a> {
    /// It was received, once or more.
    Arrived,
    /// It was not, and this is why.
    Lost(&'a str),
    /// The peer's record had ended.
    Unwitnessed,
    /// The peer kept no record: it is taken for received, or for sent.
    Assumed,
    /// It was received, and a third host sent it with the sender's address.
    Forged,
    /// It was received, and its sending is not recorded.
    Unrecorded,
}

impl<'a> Fate<'a> {
    /// Why it is not simply sent and received.
    pub(super) fn why(self) -> Option<&'a str> {
        match self {
            Fate::Lost(why) => Some(why),
            Fate::Forged => Some("forged"),
            Fate::Unrecorded => Some("not recorded"),
            Fate::Arrived | Fate::Assumed | Fate::Unwitnessed => None,
        }
    }
}

/// A state's name; nothing where it is not known.
pub(super) fn name_of(state: Option<State>) -> &'static str {
    state.map_or("", State::name)
}

/// Something that has its place in time.
struct Moment {
    at: f64,
    /// Among what happens at once: timers end, then something happens, then timers start.
    rank: u8,
    line: Line,
    /// When it is over.
    until: f64,
}

impl<'a> Layout<'a> {
    pub(super) fn new(conversation: &'a Conversation) -> Layout<'a> {
        let flight_of = flight_of(conversation);
        let (plain, labels) = labels(conversation);
        let runs = runs(conversation, &flight_of, &plain);
        let spans: Vec<Span> = spans(conversation)
            .into_iter()
            .filter(|span| !repeated(conversation, &runs, span))
            .collect();
        let starts: Vec<Option<usize>> = spans
            .iter()
            .map(|span| starting_step(&conversation.steps, span))
            .collect();
        let lines = lines(moments(conversation, &runs, &spans, &starts));
        let line_of = line_of(&lines, conversation.steps.len());
        let mut places = vec![(0, 0); spans.len()];
        for (number, line) in lines.iter().enumerate() {
            match line {
                Line::Starts(index) => places[*index].0 = number,
                Line::Ends(index) => places[*index].1 = number,
                Line::Silence(_) | Line::Step(_) | Line::More(_) => {}
            }
        }
        let bracket = |(index, span): (usize, Span)| {
            let (first, last) = places[index];
            Bracket {
                span,
                first: starts[index].map_or(first, |step| line_of[step]),
                last,
                lane: 0,
            }
        };
        let mut brackets: Vec<Bracket> = spans.into_iter().enumerate().map(bracket).collect();
        spread(&mut brackets);
        let ending = brackets
            .iter()
            .enumerate()
            .map(|(index, bracket)| (bracket.last, index))
            .collect();
        Layout {
            conversation,
            lines,
            brackets,
            ending,
            line_of,
            flight_of,
            labels,
        }
    }

    /// When the conversation begins, seconds on the clock of both ends.
    pub(super) fn start(&self) -> f64 {
        self.conversation.steps.first().map_or(0.0, |step| step.at)
    }

    /// The flights that are drawn, each with its name.
    pub(super) fn flights(&self) -> impl Iterator<Item = (&'a Flight, &str)> {
        let drawn = |flight: &Flight| {
            flight
                .sent
                .iter()
                .chain(&flight.received)
                .all(|step| self.is_drawn(*step))
        };
        self.conversation
            .flights
            .iter()
            .zip(&self.labels)
            .filter(move |(flight, _)| drawn(flight))
            .map(|(flight, label)| (flight, label.as_str()))
    }

    /// The timer that ends on that line.
    pub(super) fn timer_ending(&self, line: usize) -> Option<&Bracket> {
        self.ending
            .get(&line)
            .and_then(|index| self.brackets.get(*index))
    }

    /// The flight that begins with that step, with its name.
    pub(super) fn flight_at(&self, step: usize) -> Option<(&'a Flight, &str)> {
        let index = (*self.flight_of.get(step)?)?;
        let flight = self.conversation.flights.get(index)?;
        (flight.begin() == Some(step)).then(|| (flight, self.labels[index].as_str()))
    }

    /// The line of a step, or the one that stands for it.
    pub(super) fn line_of(&self, step: usize) -> usize {
        self.line_of[step]
    }

    fn is_drawn(&self, step: usize) -> bool {
        matches!(self.lines[self.line_of[step]], Line::Step(_))
    }

    /// What became of a segment.
    pub(super) fn fate(&self, flight: &'a Flight) -> Fate<'a> {
        let recorded = |end: End| *end.of(&self.conversation.recorded);
        match (flight.sent, flight.received.is_empty()) {
            (Some(_), false) => Fate::Arrived,
            (Some(_), true) if is_dropped(&flight.segment) => {
                Fate::Lost(flight.segment.fault().unwrap_or_default())
            }
            (Some(_), true) if !recorded(flight.from.other()) => Fate::Assumed,
            (Some(_), true) if flight.unwitnessed => Fate::Unwitnessed,
            (Some(_), true) => Fate::Lost(flight.segment.fault().unwrap_or("lost")),
            (None, _) if flight.forged => Fate::Forged,
            (None, _) if !recorded(flight.from) => Fate::Assumed,
            (None, _) => Fate::Unrecorded,
        }
    }

    /// Whether the receiver's gate kept the segment from its TCP at that step.
    pub(super) fn stopped(&self, step: usize) -> bool {
        self.conversation.steps[step]
            .segment
            .as_ref()
            .is_some_and(is_dropped)
    }

    /// The line of the receiver's gate that kept the segment, all its copies, from its TCP.
    pub(super) fn kept_by(&self, flight: &'a Flight) -> Option<&'a str> {
        let kept = flight.received.iter().all(|step| self.stopped(*step));
        let first = *flight.received.first().filter(|_| kept)?;
        self.conversation.steps[first].segment.as_ref()?.fault()
    }

    /// What stands for steps that are left out.
    pub(super) fn more(&self, run: &Run) -> String {
        let until = run
            .hidden
            .clone()
            .next_back()
            .map_or(0.0, |step| self.conversation.steps[step].at - self.start());
        match run.segments {
            0 | 1 => format!("… {} more, until {until:.3} s", run.times),
            segments => format!(
                "… {} more of these {segments}, until {until:.3} s",
                run.times
            ),
        }
    }

    /// An end's address, and what else has to be said of that end.
    pub(super) fn name(&self, end: End) -> String {
        let silent = if *end.of(&self.conversation.recorded) {
            ""
        } else {
            " (no record)"
        };
        format!("{}{silent}", end.of(&self.conversation.ends))
    }
}

fn is_dropped(segment: &Segment) -> bool {
    Effect::of(segment.verdict) == Effect::Dropped
}

/// Of each step, the flight that it sends or receives.
fn flight_of(conversation: &Conversation) -> Vec<Option<usize>> {
    let mut flights = vec![None; conversation.steps.len()];
    for (index, flight) in conversation.flights.iter().enumerate() {
        flight
            .sent
            .iter()
            .chain(&flight.received)
            .for_each(|step| flights[*step] = Some(index));
    }
    flights
}

/// Whether a timer ends among steps that are left out.
fn repeated(conversation: &Conversation, runs: &[Run], span: &Span) -> bool {
    let at = |step: usize| {
        conversation
            .steps
            .get(step)
            .map_or(f64::INFINITY, |step| step.at)
    };
    let begun = runs.partition_point(|run| at(run.hidden.start) - TOGETHER <= span.to);
    begun
        .checked_sub(1)
        .and_then(|last| runs.get(last))
        .is_some_and(|run| span.to <= at(run.hidden.end - 1))
}

/// The step with which a timer starts, if one is near enough: of several at that moment the
/// likeliest, and of those the first.
fn starting_step(steps: &[Step], span: &Span) -> Option<usize> {
    let first = steps.partition_point(|step| step.at <= span.from - TOGETHER);
    let near = steps
        .iter()
        .enumerate()
        .skip(first)
        .take_while(|(_, step)| step.at < span.from + TOGETHER);
    let near = near.filter(|(_, step)| step.end == span.end);
    let away = |step: &Step| (step.at - span.from).abs();
    let best = near.min_by(|(_, x), (_, y)| {
        away(x)
            .total_cmp(&away(y))
            .then(span.likelihood(y).cmp(&span.likelihood(x)))
    });
    best.map(|(index, _)| index)
}

/// Everything that gets a line, in order.
fn moments(
    conversation: &Conversation,
    runs: &[Run],
    spans: &[Span],
    starts: &[Option<usize>],
) -> Vec<Moment> {
    let mut moments = Vec::new();
    for (index, step) in conversation.steps.iter().enumerate() {
        let run = runs.get(runs.partition_point(|run| run.hidden.end <= index));
        let line = match run.filter(|run| run.hidden.contains(&index)) {
            None => Line::Step(index),
            Some(run) if run.hidden.start == index => Line::More(run.clone()),
            Some(_) => continue,
        };
        let until = if let Line::More(run) = &line {
            conversation.steps[run.hidden.end - 1].at
        } else {
            step.at
        };
        moments.push(Moment {
            at: step.at,
            rank: 1,
            line,
            until,
        });
    }
    for (index, (span, start)) in spans.iter().zip(starts).enumerate() {
        let rank = if span.is_open() { 3 } else { 0 };
        moments.push(Moment {
            at: span.to,
            rank,
            line: Line::Ends(index),
            until: span.to,
        });
        if start.is_none() {
            moments.push(Moment {
                at: span.from,
                rank: 2,
                line: Line::Starts(index),
                until: span.from,
            });
        }
    }
    moments.sort_by(|x, y| x.at.total_cmp(&y.at).then(x.rank.cmp(&y.rank)));
    moments
}

/// The lines, with those for silences.
fn lines(moments: Vec<Moment>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut last = moments.first().map_or(0.0, |moment| moment.at);
    for moment in moments {
        if moment.at - last > SILENCE && !matches!(moment.line, Line::More(_)) {
            lines.push(Line::Silence(moment.at - last));
        }
        last = moment.until;
        lines.push(moment.line);
    }
    lines
}

fn line_of(lines: &[Line], steps: usize) -> Vec<usize> {
    let mut line_of = vec![0; steps];
    for (number, line) in lines.iter().enumerate() {
        match line {
            Line::Step(step) => line_of[*step] = number,
            Line::More(run) => line_of[run.hidden.clone()].fill(number),
            Line::Silence(_) | Line::Starts(_) | Line::Ends(_) => {}
        }
    }
    line_of
}

/// Gives each bracket the lane nearest to its rail that is free.
fn spread(brackets: &mut [Bracket]) {
    brackets.sort_by_key(|bracket| (bracket.first, bracket.last));
    // Until which line each lane of either end is taken.
    let mut taken: [Vec<usize>; 2] = Default::default();
    for bracket in brackets {
        let lanes = &mut taken[bracket.span.end as usize];
        bracket.lane = lanes
            .iter()
            .position(|until| *until < bracket.first)
            .unwrap_or(lanes.len());
        lanes.resize(lanes.len().max(bracket.lane + 1), 0);
        lanes[bracket.lane] = bracket.last;
    }
}

/// What to call each segment: first without, then with what sets its copies apart. Numbers count
/// from the sender's latest SYN.
fn labels<'a>(conversation: &'a Conversation) -> (Vec<String>, Vec<String>) {
    let first = |end: End| {
        conversation
            .flights
            .iter()
            .find(|flight| flight.from == end)
            .map_or(Seq(0), |flight| flight.segment.seq)
    };
    let mut zero = [first(End::A), first(End::B)];
    let mut syns: [Option<&Segment>; 2] = [None, None];
    let label = |flight: &'a Flight| {
        if flight.segment.flags.contains(Flags::SYN) && !flight.forged {
            zero[flight.from as usize] = flight.segment.seq;
            syns[flight.from as usize] = Some(&flight.segment);
        }
        let plain = plain(
            &flight.segment,
            *flight.from.of(&zero),
            *flight.from.other().of(&zero),
        );
        let full = format!(
            "{plain}{}{}",
            refused(&flight.segment, syns[flight.from.other() as usize]),
            particulars(flight)
        );
        (plain, full)
    };
    conversation.flights.iter().map(label).unzip()
}

fn plain(segment: &Segment, ours: Seq, theirs: Seq) -> String {
    let relative = |number: Seq, zero: Seq| number.0.wrapping_sub(zero.0).cast_signed();
    let mut text = format!(
        "{} seq {}",
        segment.flags.control(),
        relative(segment.seq, ours)
    );
    if segment.flags.contains(Flags::ACK) {
        text += &format!(" ack {}", relative(segment.ack, theirs));
    }
    if segment.len > 0 {
        text += &format!(" len {}", segment.len);
    }
    text
}

/// The options that the peer's SYN offered and this SYN,ACK leaves out. One that acknowledges the
/// SYN's text takes its cookie without a word.
fn refused(answer: &Segment, syn: Option<&Segment>) -> String {
    let taken = syn.is_some_and(|syn| syn.len > 0 && answer.ack == syn.seq + 1 + syn.len);
    let left_out = |name: &&str| {
        answer.options.names().all(|option| option != *name) && !(taken && *name == "tfo")
    };
    let answers = answer.flags.contains(Flags::SYN | Flags::ACK);
    let names: Vec<&str> = syn
        .filter(|_| answers)
        .into_iter()
        .flat_map(|syn| syn.options.names())
        .filter(left_out)
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" without {}", names.join(","))
    }
}

fn particulars(flight: &Flight) -> String {
    let segment = &flight.segment;
    let again =
        (segment.retransmission > 0).then(|| format!(" again ({})", segment.retransmission));
    let forged = (flight.forged && flight.sent.is_some()).then(|| " forged".to_owned());
    let fault = segment
        .fault()
        .filter(|_| segment.dir == Direction::Out && !flight.received.is_empty())
        .map(|fault| format!(" [{fault}]"));
    [again, forged, fault].into_iter().flatten().collect()
}
