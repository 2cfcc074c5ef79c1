//! A connection as RFC 9293 draws one (Figures 6 and 12): a line for each segment, with the states
//! that both ends have by it.

use super::layout::{Fate, Layout, Line, name_of};
use crate::end::End;
use crate::trace::{Flight, Segment, Step};
use std::fmt;
use tcpx_proto::wire::Flags;

/// Columns for A's state.
const STATE: usize = 13;
/// Columns for a header, at least.
const HEADER: usize = 46;

/// Draws one conversation.
pub(super) struct Figure<'a> {
    layout: &'a Layout<'a>,
    /// Columns for a header: numbers as small as the RFC's need few.
    width: usize,
    /// Until each step, the last one of either end.
    last: Vec<[Option<usize>; 2]>,
}

impl fmt::Display for Figure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = self.layout;
        let width = STATE + self.width + 10;
        writeln!(f, "     {:<width$}TCP Peer B", "TCP Peer A")?;
        writeln!(
            f,
            "{:>3}. {:<width$}{}",
            1,
            name_of(layout.conversation.initial[0]),
            name_of(layout.conversation.initial[1])
        )?;
        let mut numbers = 2..;
        let mut timers: Vec<String> = Vec::new();
        for (place, line) in layout.lines.iter().enumerate() {
            match line {
                Line::Ends(_) => {
                    timers.extend(layout.timer_ending(place).map(|timer| timer.span.words()))
                }
                Line::More(run) => writeln!(f, "     {:STATE$}    {}", "", layout.more(run))?,
                Line::Silence(_) | Line::Starts(_) => {}
                Line::Step(index) => {
                    let Some((line, note)) = self.step(*index) else {
                        continue;
                    };
                    let seconds = layout.conversation.steps[*index].at - layout.start();
                    let notes: Vec<String> = note.into_iter().chain(timers.drain(..)).collect();
                    let end = format!("{seconds:>7.3} s  {}", notes.join(", "));
                    writeln!(
                        f,
                        "{:>3}. {line} {}",
                        numbers.next().unwrap_or_default(),
                        end.trim_end()
                    )?;
                }
            }
        }
        timers
            .iter()
            .try_for_each(|timer| writeln!(f, "     {timer}"))
    }
}

impl<'a> Figure<'a> {
    pub(super) fn new(layout: &'a Layout<'a>) -> Figure<'a> {
        let width = layout
            .flights()
            .map(|(flight, _)| header(&flight.segment).len())
            .fold(HEADER, usize::max);
        let mut now = [None; 2];
        let until = |(index, step): (usize, &Step)| {
            now[step.end as usize] = Some(index);
            now
        };
        let last = layout
            .conversation
            .steps
            .iter()
            .enumerate()
            .map(until)
            .collect();
        Figure {
            layout,
            width,
            last,
        }
    }

    /// What a step has to show, and the notes on it.
    fn step(&self, index: usize) -> Option<(String, Vec<String>)> {
        match self.layout.flight_at(index) {
            Some((flight, _)) => Some((self.flight(flight, index), self.notes(flight))),
            None => Some((
                self.alone(&self.layout.conversation.steps[index], index)?,
                Vec::new(),
            )),
        }
    }

    /// A segment, drawn at its sender.
    fn flight(&self, flight: &'a Flight, index: usize) -> String {
        let from = flight.from;
        let arrived = !matches!(self.layout.fate(flight), Fate::Lost(_) | Fate::Unwitnessed)
            && self.layout.kept_by(flight).is_none();
        let arrival = flight.received.first().copied().unwrap_or(index);
        let state = |end: End| {
            if end == from {
                self.state(end, index)
            } else {
                self.state(end, arrival)
            }
        };
        let arrow = if from == End::A { "-->" } else { "<--" };
        let (left, right) = match (from, arrived) {
            (_, true) => (arrow, arrow),
            (End::A, false) => (arrow, " X "),
            (End::B, false) => (" X ", arrow),
        };
        let header = header(&flight.segment);
        let width = self.width;
        format!(
            "{:<STATE$}{left} {header:<width$} {right}  {:<12}",
            state(End::A),
            state(End::B)
        )
    }

    /// A state that was entered without a segment.
    fn alone(&self, step: &Step, index: usize) -> Option<String> {
        let on = step.event().filter(|_| step.segment.is_none())?;
        let on = format!("({on})");
        let width = self.width + 8;
        let middle = if step.end == End::A {
            format!("{on:<width$}")
        } else {
            format!("{on:>width$}")
        };
        Some(format!(
            "{:<STATE$}{middle}  {:<12}",
            self.state(End::A, index),
            self.state(End::B, index)
        ))
    }

    /// The state of an end after that step.
    fn state(&self, end: End, index: usize) -> &'static str {
        let conversation = self.layout.conversation;
        let last = self
            .last
            .get(index)
            .and_then(|last| conversation.steps.get((*end.of(last))?));
        name_of(last.map_or(*end.of(&conversation.initial), |step| step.state))
    }

    /// What is to be said of a segment beyond its header.
    fn notes(&self, flight: &'a Flight) -> Vec<String> {
        let again = (flight.segment.retransmission > 0)
            .then(|| format!("again ({})", flight.segment.retransmission));
        let gate = flight.segment.fault().map(str::to_owned);
        let kept = self.layout.kept_by(flight).map(str::to_owned);
        let way = match self.layout.fate(flight) {
            Fate::Unwitnessed => Some("the peer's record had ended".to_owned()),
            Fate::Lost(_) if gate.is_none() => Some("lost".to_owned()),
            fate @ (Fate::Forged | Fate::Unrecorded) => fate.why().map(str::to_owned),
            Fate::Arrived if flight.received.len() > 1 => {
                Some(format!("arrived {} times", flight.received.len()))
            }
            Fate::Arrived | Fate::Assumed | Fate::Lost(_) => None,
        };
        [again, gate, kept, way].into_iter().flatten().collect()
    }
}

/// The header in the RFC's notation.
fn header(segment: &Segment) -> String {
    let mut text = format!("<SEQ={}>", segment.seq);
    if segment.flags.contains(Flags::ACK) {
        text += &format!("<ACK={}>", segment.ack);
    }
    if segment.len > 0 {
        text += &format!("<LEN={}>", segment.len);
    }
    text + &format!("<CTL={}>", segment.flags.control())
}

#[cfg(test)]
mod tests {
    use crate::draw::{Format, draw};
    use crate::trace::sample::{conversation, eventful, handshake};

    #[test]
    fn handshake_drawn_is_figure_6() {
        let (client, server) = handshake();
        let client = client.sends(0.004, ("A", 101, 301, 0), "pass");
        let server = server.receives(0.105, ("A", 101, 301, 0), 2, "pass").state(
            0.105,
            "SYN-RECEIVED",
            "ESTABLISHED",
            "ACK of SYN",
        );
        let drawn = draw(&conversation(&client.log(), &server.log()), Format::Figure);
        let words: Vec<String> = drawn
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let expected = [
            "TCP Peer A TCP Peer B",
            "1. CLOSED LISTEN",
            "2. SYN-SENT --> <SEQ=100><CTL=SYN> --> SYN-RECEIVED 0.000 s",
            "3. ESTABLISHED <-- <SEQ=300><ACK=101><CTL=SYN,ACK> <-- SYN-RECEIVED 0.002 s",
            "4. ESTABLISHED --> <SEQ=101><ACK=301><CTL=ACK> --> ESTABLISHED 0.004 s",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn segment_dropped_at_the_gate_is_crossed_out_with_its_rule() {
        let (client, server) = handshake();
        let client = client.sends(0.004, ("A", 101, 301, 0), "drop").state(
            0.5,
            "ESTABLISHED",
            "CLOSED",
            "2 MSL timeout",
        );
        let drawn = draw(
            &conversation(
                &client.log(),
                &server
                    .line(1.0, "\"event\":\"r1\",\"retransmissions\":1")
                    .log(),
            ),
            Format::Figure,
        );
        let last = drawn.lines().rev().nth(1).unwrap();
        assert!(
            last.contains("-->") && last.contains(" X   SYN-RECEIVED") && last.ends_with("drop"),
            "{drawn}"
        );
        assert!(
            drawn.lines().last().unwrap().contains("(2 MSL timeout)"),
            "{drawn}"
        );
    }

    #[test]
    fn timer_that_ran_out_is_noted_on_what_it_led_to() {
        let (client, server) = eventful();
        let drawn = draw(&conversation(&client.log(), &server.log()), Format::Figure);
        let notes: Vec<&str> = drawn
            .lines()
            .skip(4)
            .filter_map(|line| line.split_once(" s  "))
            .map(|(_, note)| note)
            .collect();
        assert_eq!(
            notes,
            ["drop", "RTO expired, 0.200 s", "2 MSL expired, 2.000 s"]
        );
    }
}
