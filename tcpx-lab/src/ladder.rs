//! The two-clock ladder: two rails with their states, time running down, and each segment slanting from its true sending to its true
//! receipt.

use crate::events::Direction;
use crate::exchange::{End, Exchange, Flight, Step};
use std::fmt;

/// Columns between the rails.
const WIDTH: usize = 60;
/// Columns for a time and a state beside a rail.
const SIDE: usize = 22;
/// A silence longer than this, seconds, is drawn as a gap.
const GAP: f64 = 0.2;

/// Draws one story.
pub struct Ladder<'a>(pub &'a Exchange);

impl fmt::Display for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sheet = Sheet::new(self.0);
        let labels = labels(&self.0.flights);
        for (flight, label) in self.0.flights.iter().zip(&labels) {
            sheet.draw(self.0, flight, label.chars().count());
        }
        for (flight, label) in self.0.flights.iter().zip(&labels) {
            sheet.label(flight, label);
        }
        for row in &mut sheet.rows {
            row.note.take().into_iter().for_each(|(end, text)| row.text(end, 0, &text));
        }
        let ([a, b], [before_a, before_b]) = (&self.0.ends.map(|end| end.to_string()), &self.0.initial);
        let pad = WIDTH.saturating_sub(a.len() + b.len());
        writeln!(f, "{:SIDE$}A {a}{:pad$}{b} B", "", "")?;
        writeln!(f, "{before_a:>SIDE$} │{:WIDTH$}│ {before_b}", "")?;
        sheet.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// One line of the picture.
struct Row {
    left: String,
    rail: char,
    middle: Vec<char>,
    right: String,
    /// Words beside a rail, over all lines.
    note: Option<(End, String)>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let middle: String = self.middle.iter().collect();
        let right = if self.right.is_empty() { String::new() } else { format!(" {}", self.right) };
        write!(f, "{:>SIDE$} {rail}{middle}{rail}{right}", self.left, rail = self.rail)
    }
}

impl Row {
    fn new(rail: char) -> Row {
        Row { left: String::new(), rail, middle: vec![' '; WIDTH], right: String::new(), note: None }
    }

    /// Puts a line's character; lines that cross are drawn so.
    fn line(&mut self, from: End, travelled: usize, ch: char) {
        if let Some(cell) = self.middle.get_mut(column(from, travelled)) {
            *cell = if *cell == ' ' || *cell == ch { ch } else { '┼' };
        }
    }

    /// Writes `text` so that it begins (from A) or ends (from B) that far from the rail, over whatever is there.
    fn text(&mut self, from: End, distance: usize, text: &str) {
        let length = text.chars().count().min(WIDTH - distance);
        let start = if from == End::A { distance } else { WIDTH - distance - length };
        self.middle.iter_mut().skip(start).zip(text.chars().take(length)).for_each(|(cell, ch)| *cell = ch);
    }
}

/// The column that is that far from an end.
fn column(from: End, travelled: usize) -> usize {
    match from {
        End::A => travelled,
        End::B => (WIDTH - 1).saturating_sub(travelled),
    }
}

/// The picture.
struct Sheet {
    rows: Vec<Row>,
    /// The row of each step.
    of_step: Vec<usize>,
}

impl Sheet {
    /// The rails, with times, states and remarks.
    fn new(exchange: &Exchange) -> Sheet {
        let mut sheet = Sheet { rows: Vec::new(), of_step: Vec::new() };
        let start = exchange.steps.first().map_or(0.0, |step| step.at);
        let mut last = start;
        for step in &exchange.steps {
            if step.at - last > GAP {
                let mut gap = Row::new('┊');
                gap.left = format!("{:.3} s later", step.at - last);
                sheet.rows.push(gap);
            }
            last = step.at;
            sheet.step(step, step.at - start);
        }
        sheet
    }

    fn step(&mut self, step: &Step, t: f64) {
        let mut row = Row::new('│');
        let state = if step.on.is_some() { step.state.as_str() } else { "" };
        match step.end {
            End::A => row.left = format!("{t:.6} {state:>12}"),
            End::B => row.right = format!("{state:<12} {t:.6}"),
        }
        row.note = step.on.as_ref().filter(|_| step.segment.is_none()).map(|on| (step.end, format!(" ({on}) ")));
        self.of_step.push(self.rows.len());
        self.rows.push(row);
        for remark in &step.remarks {
            let mut row = Row::new('│');
            row.note = Some((step.end, format!(" ({remark}) ")));
            self.rows.push(row);
        }
    }

    /// Draws a segment's lines, one to each receipt; the first row leaves room for a label of that many characters.
    fn draw(&mut self, exchange: &Exchange, flight: &Flight, label: usize) {
        let Some(first) = flight.sent.map(|step| self.of_step[step]) else { return };
        for step in &flight.received {
            let rows = self.of_step[*step].saturating_sub(first) + 1;
            let bends = bends(rows, label + 5);
            let stopped = exchange.steps[*step].segment.as_ref().is_some_and(|segment| segment.verdict.starts_with("drop"));
            for (index, (row, bend)) in self.rows.iter_mut().skip(first).zip(bends.windows(2)).enumerate() {
                let end = if index + 1 < rows { Turn::Down } else { head(flight.from, stopped) };
                slant(row, flight.from, (bend[0], bend[1]), index > 0, end);
            }
        }
    }

    /// Writes a segment's label at its sending, and what became of it.
    fn label(&mut self, flight: &Flight, label: &str) {
        let (from, to) = (flight.from, flight.from.other());
        let stub = |mark: char, word: &str| match from {
            End::A => format!("── {label} ──{mark} {word} "),
            End::B => format!(" {word} {mark}── {label} ──"),
        };
        let (step, near, text) = match (flight.sent, flight.received.first()) {
            (Some(sent), None) if flight.unwitnessed => (sent, from, stub('?', "the peer's record had ended")),
            (Some(sent), None) => (sent, from, stub('✗', flight.segment.fault().unwrap_or("lost"))),
            (Some(sent), Some(_)) => {
                self.rows[self.of_step[sent]].text(from, 2, &format!(" {label} "));
                return;
            }
            (None, Some(received)) if from == End::A => (*received, to, format!("not recorded ?── {label} ──▶")),
            (None, Some(received)) => (*received, to, format!("◀── {label} ──? not recorded")),
            (None, None) => return,
        };
        self.rows[self.of_step[step]].text(near, 0, &text);
    }
}

/// How a row's piece of a line ends.
enum Turn {
    Down,
    Head(char),
}

fn head(from: End, stopped: bool) -> Turn {
    Turn::Head(match (stopped, from) {
        (true, _) => '✗',
        (false, End::A) => '▶',
        (false, End::B) => '◀',
    })
}

/// Where a line over that many rows turns down, in columns from its start.
fn bends(rows: usize, label: usize) -> Vec<usize> {
    let end = WIDTH - 1;
    let first = (WIDTH / rows).max(label).min(end - 2);
    match rows {
        0 | 1 => vec![0, end],
        _ => [0].into_iter().chain((0..rows).map(|row| first + (end - first) * row / (rows - 1))).collect(),
    }
}

/// Draws one row's piece of a line, from column to column as seen by its sender.
fn slant(row: &mut Row, from: End, (start, end): (usize, usize), from_above: bool, turn: Turn) {
    let (down, up) = if from == End::A { ('╮', '╰') } else { ('╭', '╯') };
    match turn {
        Turn::Down if from_above && start == end => return row.line(from, start, '│'),
        Turn::Down => row.line(from, end, down),
        Turn::Head(head) => row.line(from, end, head),
    }
    (start + 1..end).for_each(|column| row.line(from, column, '─'));
    row.line(from, start, if from_above { up } else { '─' });
}

/// What to call each segment. Numbers count from the sender's latest SYN.
fn labels(flights: &[Flight]) -> Vec<String> {
    let first = |end: End| flights.iter().find(|flight| flight.from == end).map_or(0, |flight| flight.segment.seq);
    let mut zero = [first(End::A), first(End::B)];
    let label = |flight: &Flight| {
        let segment = &flight.segment;
        if segment.flags.contains('S') {
            zero[flight.from as usize] = segment.seq;
        }
        let relative = |number: u32, end: End| number.wrapping_sub(*end.of(&zero)).cast_signed();
        let mut text = format!("{} seq {}", segment.control(), relative(segment.seq, flight.from));
        if segment.flags.contains('A') {
            text += &format!(" ack {}", relative(segment.ack, flight.from.other()));
        }
        if segment.len > 0 {
            text += &format!(" len {}", segment.len);
        }
        if segment.retransmission > 0 {
            text += &format!(" again ({})", segment.retransmission);
        }
        if let Some(fault) = segment.fault().filter(|_| segment.dir == Direction::Out && !flight.received.is_empty()) {
            text += &format!(" [{fault}]");
        }
        text
    };
    flights.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Log;
    use crate::sample::{handshake, story};

    fn drawn(a: &Log, b: &Log) -> Vec<String> {
        Ladder(&story(a, b)).to_string().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn handshake_drawn_slants_from_sending_to_receipt() {
        let (client, server) = handshake();
        let expected = "
                      A 10.0.0.1:40000                                 10.0.0.2:7000 B
                CLOSED │                                                            │ LISTEN
 0.000000     SYN-SENT │── SYN seq 0 ─────────────────╮                             │
                       │                              ╰────────────────────────────▶│ SYN-RECEIVED 0.001000
                       │                             ╭─────── SYN,ACK seq 0 ack 1 ──│              0.002000
 0.003000  ESTABLISHED │◀────────────────────────────╯                              │";
        assert_eq!(drawn(&client.log(), &server.log()), expected.lines().skip(1).collect::<Vec<_>>());
    }

    #[test]
    fn lost_segment_ends_in_a_cross_and_a_silence_is_a_gap() {
        let (client, server) = handshake();
        let client = client.sends(0.004, ("A", 101, 301, 0), "drop").line(2.0, "\"event\":\"r1\"");
        let lines = drawn(&client.log(), &server.sends(1.102, ("SA", 300, 101, 0), "pass").line(2.0, "\"event\":\"r1\"").log());
        assert!(lines[6].starts_with(" 0.004000              │── ACK seq 1 ack 1 ──✗ drop "), "{lines:#?}");
        assert!(lines[7].starts_with("         0.998 s later ┊"), "{lines:#?}");
        assert!(lines[8].contains(" lost ✗── SYN,ACK seq 0 ack 1 ──│"), "{lines:#?}");
    }

    #[test]
    fn segments_that_cross_are_drawn_crossing() {
        let (client, server) = handshake();
        let (client, server) = (client.sends(0.5, ("FA", 101, 301, 0), "pass"), server.sends(0.6005, ("FA", 301, 101, 0), "pass"));
        let client = client.receives(0.503, ("FA", 301, 101, 0), 2, "pass");
        let lines = drawn(&client.log(), &server.receives(0.602, ("FA", 101, 301, 0), 2, "pass").log());
        assert!(lines.iter().skip(6).any(|line| line.contains('┼')), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("▶│")) && lines.iter().any(|line| line.contains("│◀")), "{lines:#?}");
    }

    #[test]
    fn dropped_by_the_receivers_gate_arrives_as_a_cross() {
        let (client, server) = handshake();
        let client = client.sends(0.004, ("A", 101, 301, 0), "pass");
        let lines = drawn(&client.log(), &server.receives(0.105, ("A", 101, 301, 0), 2, "drop").log());
        assert!(lines[7].contains("✗│"), "{lines:#?}");
        assert!(lines[8].contains("(the gate: drop) │"), "{lines:#?}");
    }

    #[test]
    fn any_label_and_distance_stays_between_the_rails() {
        let (client, server) = handshake();
        let long = ("FSRPAUEW", u32::MAX, 1, u32::MAX);
        let client = client.sends(0.004, long, "drop").sends(0.005, long, "pass").receives(9.0, long, 9, "corrupt");
        let lines = drawn(&client.log(), &server.sends(0.9, long, "reorder=3").log());
        assert!(lines.iter().skip(1).all(|line| line.chars().filter(|ch| matches!(ch, '│' | '┊')).count() >= 2), "{lines:#?}");
    }
}
