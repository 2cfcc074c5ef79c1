//! The two-clock ladder: two rails with their states, time running down, each segment slanting from
//! its true sending to its true receipt, and beside the rails the timers that ran out.

use super::layout::{Bracket, Fate, Layout, Line, name_of};
use crate::end::End;
use crate::trace::{Flight, Step};
use std::fmt;

/// Columns between the rails.
const WIDTH: usize = 60;
/// Columns for a time and a state beside a rail, at least.
const SIDE: usize = 22;

/// Draws one conversation.
pub(super) struct Ladder<'a>(pub(super) &'a Layout<'a>);

impl fmt::Display for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = self.0;
        let mut sheet = Sheet::new(layout);
        for (flight, label) in layout.flights() {
            sheet.draw(layout, flight, label.chars().count());
        }
        for (flight, label) in layout.flights() {
            sheet.label(layout, flight, label);
        }
        for row in &mut sheet.rows {
            row.note
                .take()
                .into_iter()
                .for_each(|(end, text)| row.text(end, 0, &text));
        }
        let margins = sheet.margins(layout);
        let [a, b] = [End::A, End::B].map(|end| layout.name(end));
        let pad = WIDTH.saturating_sub(a.len() + b.len());
        writeln!(
            f,
            "{:side$}A {a}{:pad$}{b} B",
            "",
            "",
            side = margins.before
        )?;
        sheet
            .rows
            .iter()
            .try_for_each(|row| writeln!(f, "{}", row.line(&margins).trim_end()))
    }
}

/// What is beside the rails.
struct Margins {
    /// Columns for words before A's rail.
    side: usize,
    /// Columns for brackets beside each rail.
    lanes: [usize; 2],
    /// All columns before A's rail but one.
    before: usize,
}

/// One line of the picture.
struct Row {
    left: String,
    rails: [char; 2],
    middle: Vec<char>,
    right: String,
    /// A piece of a bracket beside a rail, in that lane.
    brackets: Vec<(End, usize, char)>,
    /// Words beside a rail, over all lines.
    note: Option<(End, String)>,
}

impl Row {
    fn new(rails: [char; 2]) -> Row {
        Row {
            left: String::new(),
            rails,
            middle: vec![' '; WIDTH],
            right: String::new(),
            brackets: Vec::new(),
            note: None,
        }
    }

    fn line(&self, margins: &Margins) -> String {
        let beside = |end: End| -> String {
            let piece = |lane: usize| {
                self.brackets
                    .iter()
                    .find(|(at, of, _)| (*at, *of) == (end, lane))
                    .map_or(' ', |(_, _, ch)| *ch)
            };
            let lanes = *end.of(&margins.lanes);
            let pieces = (0..lanes).map(piece);
            let gap = if lanes > 0 { " " } else { "" };
            if end == End::A {
                pieces.rev().chain(gap.chars()).collect()
            } else {
                gap.chars().chain(pieces).collect()
            }
        };
        let (middle, [a, b]): (String, _) = (self.middle.iter().collect(), self.rails);
        format!(
            "{:>side$} {}{a}{middle}{b}{} {}",
            self.left,
            beside(End::A),
            beside(End::B),
            self.right,
            side = margins.side
        )
    }

    /// Puts a line's character; lines that cross are drawn so.
    fn put(&mut self, from: End, travelled: usize, ch: char) {
        if let Some(cell) = self.middle.get_mut(column(from, travelled)) {
            *cell = if *cell == ' ' || *cell == ch {
                ch
            } else {
                '┼'
            };
        }
    }

    /// Writes `text` so that it begins (from A) or ends (from B) that far from the rail, over
    /// whatever is there.
    fn text(&mut self, from: End, distance: usize, text: &str) {
        let length = text.chars().count().min(WIDTH - distance);
        let start = if from == End::A {
            distance
        } else {
            WIDTH - distance - length
        };
        self.middle
            .iter_mut()
            .skip(start)
            .zip(text.chars().take(length))
            .for_each(|(cell, ch)| *cell = ch);
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
    /// The row of each line.
    of_line: Vec<usize>,
    /// What a rail is drawn with: an end without a record has a thin one.
    rails: [char; 2],
}

impl Sheet {
    /// The rails, with times, states, remarks and timers.
    fn new(layout: &Layout) -> Sheet {
        let rails = layout
            .conversation
            .recorded
            .map(|recorded| if recorded { '│' } else { '╎' });
        let mut sheet = Sheet {
            rows: vec![Row::new(rails)],
            of_line: Vec::new(),
            rails,
        };
        let [a, b] = layout.conversation.initial.map(name_of);
        sheet.rows[0].left = a.to_owned();
        sheet.rows[0].right = b.to_owned();
        for line in &layout.lines {
            sheet.of_line.push(sheet.rows.len());
            sheet.line(layout, line);
        }
        for bracket in &layout.brackets {
            sheet.bracket(bracket);
        }
        sheet
    }

    fn line(&mut self, layout: &Layout, line: &Line) {
        let mut row = Row::new(self.rails);
        match line {
            Line::Step(step) => {
                let step = &layout.conversation.steps[*step];
                return self.step(step, step.at - layout.start());
            }
            Line::Silence(seconds) => {
                (row.rails, row.left) = (['┊'; 2], format!("{seconds:.3} s later"))
            }
            Line::More(run) => {
                row.rails = ['┊'; 2];
                let text = layout.more(run);
                row.text(End::A, (WIDTH - text.chars().count().min(WIDTH)) / 2, &text);
            }
            Line::Starts(_) | Line::Ends(_) => {}
        }
        self.rows.push(row);
    }

    fn step(&mut self, step: &Step, t: f64) {
        let mut row = Row::new(self.rails);
        let state = if step.entered {
            name_of(step.state)
        } else {
            ""
        };
        match step.end {
            End::A => row.left = format!("{t:.6} {state:>12}"),
            End::B => row.right = format!("{state:<12} {t:.6}"),
        }
        row.note = step
            .event()
            .filter(|_| step.segment.is_none())
            .map(|on| (step.end, format!(" ({on}) ")));
        self.rows.push(row);
        for remark in &step.remarks {
            let mut row = Row::new(self.rails);
            row.note = Some((step.end, format!(" ({remark}) ")));
            self.rows.push(row);
        }
    }

    /// Draws a timer beside its rail, with its words where it ends.
    fn bracket(&mut self, bracket: &Bracket) {
        let end = bracket.span.end;
        let first = self.of_line[bracket.first];
        let last = self.of_line[bracket.last];
        for (index, row) in self.rows.iter_mut().enumerate().take(last + 1).skip(first) {
            let ch = match index {
                _ if index == first => '╷',
                _ if index == last => '╵',
                _ => '╎',
            };
            row.brackets.push((end, bracket.lane, ch));
        }
        let words = bracket.span.words();
        match end {
            End::A => self.rows[last].left = words,
            End::B => self.rows[last].right = words,
        }
    }

    fn margins(&self, layout: &Layout) -> Margins {
        let lanes = |end: End| {
            layout
                .brackets
                .iter()
                .filter(|bracket| bracket.span.end == end)
                .map(|bracket| bracket.lane + 1)
                .max()
        };
        let lanes = [End::A, End::B].map(|end| lanes(end).unwrap_or_default());
        let side = self
            .rows
            .iter()
            .map(|row| row.left.chars().count())
            .fold(SIDE, usize::max);
        Margins {
            side,
            lanes,
            before: side + lanes[0] + usize::from(lanes[0] > 0),
        }
    }

    /// The row of a step.
    fn of_step(&self, layout: &Layout, step: usize) -> usize {
        self.of_line[layout.line_of(step)]
    }

    /// Draws a segment's lines, one to each receipt; the first row leaves room for a label of that
    /// many characters.
    fn draw(&mut self, layout: &Layout, flight: &Flight, label: usize) {
        let Some(sent) = flight.sent else { return };
        let first = self.of_step(layout, sent);
        for step in &flight.received {
            let rows = self.of_step(layout, *step).saturating_sub(first) + 1;
            let bends = bends(rows, label + 5);
            let stopped = layout.stopped(*step);
            for (index, (row, bend)) in self
                .rows
                .iter_mut()
                .skip(first)
                .zip(bends.windows(2))
                .enumerate()
            {
                let end = if index + 1 < rows {
                    Turn::Down
                } else {
                    head(flight.from, stopped)
                };
                slant(row, flight.from, (bend[0], bend[1]), index > 0, end);
            }
        }
    }

    /// Writes a segment's label at its sending, and what became of it.
    fn label(&mut self, layout: &Layout, flight: &Flight, label: &str) {
        let from = flight.from;
        let to = flight.from.other();
        let Some(step) = flight.sent.or(flight.received.first().copied()) else {
            return;
        };
        let row = self.of_step(layout, step);
        let row = &mut self.rows[row];
        let stub = |mark: char, word: &str| match from {
            End::A => format!("── {label} ──{mark} {word} "),
            End::B => format!(" {word} {mark}── {label} ──"),
        };
        let fate = layout.fate(flight);
        match fate {
            Fate::Arrived => row.text(from, 2, &format!(" {label} ")),
            Fate::Lost(why) => row.text(from, 0, &stub('✗', why)),
            Fate::Unwitnessed => row.text(from, 0, &stub('?', "the peer's record had ended")),
            Fate::Assumed => {
                slant(row, from, (0, WIDTH - 1), false, head(from, false));
                row.text(from, 2, &format!(" {label} "));
            }
            Fate::Forged | Fate::Unrecorded => {
                let why = fate.why().unwrap_or_default();
                let text = match from {
                    End::A => format!("{why} ?── {label} ──▶"),
                    End::B => format!("◀── {label} ──? {why}"),
                };
                row.text(to, 0, &text);
            }
        }
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
        _ => [0]
            .into_iter()
            .chain((0..rows).map(|row| first + (end - first) * row / (rows - 1)))
            .collect(),
    }
}

/// Draws one row's piece of a line, from column to column as seen by its sender.
fn slant(row: &mut Row, from: End, (start, end): (usize, usize), from_above: bool, turn: Turn) {
    let (down, up) = if from == End::A {
        ('╮', '╰')
    } else {
        ('╭', '╯')
    };
    match turn {
        Turn::Down if from_above && start == end => return row.put(from, start, '│'),
        Turn::Down => row.put(from, end, down),
        Turn::Head(head) => row.put(from, end, head),
    }
    (start + 1..end).for_each(|column| row.put(from, column, '─'));
    row.put(from, start, if from_above { up } else { '─' });
}

#[cfg(test)]
mod tests {
    use crate::draw::{Format, draw};
    use crate::trace::Log;
    use crate::trace::sample::{File, conversation, eventful, handshake};

    fn drawn(a: &Log, b: &Log) -> Vec<String> {
        draw(&conversation(a, b), Format::Text)
            .lines()
            .map(str::to_owned)
            .collect()
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
        assert_eq!(
            drawn(&client.log(), &server.log()),
            expected.lines().skip(1).collect::<Vec<_>>()
        );
    }

    #[test]
    fn lost_segment_ends_in_a_cross_and_a_silence_is_a_gap() {
        let (client, server) = handshake();
        let client = client
            .sends(0.004, ("A", 101, 301, 0), "drop")
            .line(2.0, "\"event\":\"r1\",\"retransmissions\":1");
        let lines = drawn(
            &client.log(),
            &server
                .sends(1.102, ("SA", 300, 101, 0), "pass")
                .line(2.0, "\"event\":\"r1\",\"retransmissions\":1")
                .log(),
        );
        assert!(
            lines[6].starts_with(" 0.004000              │── ACK seq 1 ack 1 ──✗ drop "),
            "{lines:#?}"
        );
        assert!(
            lines[7].starts_with("         0.998 s later ┊"),
            "{lines:#?}"
        );
        assert!(
            lines[8].contains(" lost ✗── SYN,ACK seq 0 ack 1 ──│"),
            "{lines:#?}"
        );
    }

    #[test]
    fn segments_that_cross_are_drawn_crossing() {
        let (client, server) = handshake();
        let client = client.sends(0.5, ("FA", 101, 301, 0), "pass");
        let server = server.sends(0.6005, ("FA", 301, 101, 0), "pass");
        let client = client.receives(0.503, ("FA", 301, 101, 0), 2, "pass");
        let lines = drawn(
            &client.log(),
            &server.receives(0.602, ("FA", 101, 301, 0), 2, "pass").log(),
        );
        assert!(
            lines.iter().skip(6).any(|line| line.contains('┼')),
            "{lines:#?}"
        );
        assert!(
            lines.iter().any(|line| line.contains("▶│"))
                && lines.iter().any(|line| line.contains("│◀")),
            "{lines:#?}"
        );
    }

    #[test]
    fn dropped_by_the_receivers_gate_arrives_as_a_cross() {
        let (client, server) = handshake();
        let client = client.sends(0.004, ("A", 101, 301, 0), "pass");
        let lines = drawn(
            &client.log(),
            &server.receives(0.105, ("A", 101, 301, 0), 2, "drop").log(),
        );
        assert!(lines[7].contains("✗│"), "{lines:#?}");
        assert!(lines[8].contains("(the gate: drop) │"), "{lines:#?}");
    }

    #[test]
    fn any_label_and_distance_stays_between_the_rails() {
        let (client, server) = handshake();
        let long = ("FSRPAUEW", u32::MAX, 1, u32::MAX);
        let client = client
            .sends(0.004, long, "drop")
            .sends(0.005, long, "pass")
            .receives(9.0, long, 9, "corrupt");
        let lines = drawn(&client.log(), &server.sends(0.9, long, "reorder").log());
        assert!(
            lines.iter().skip(1).all(|line| line
                .chars()
                .filter(|ch| matches!(ch, '│' | '┊'))
                .count()
                >= 2),
            "{lines:#?}"
        );
    }

    #[test]
    fn timers_that_ran_out_are_brackets_beside_the_rail() {
        let (client, server) = eventful();
        let expected = "
 0.004000   FIN-WAIT-1 ╷ │── FIN,ACK seq 1 ack 1 ──✗ drop                             │
  RTO expired, 0.200 s ╵ │                                                            │
 0.204000                │── FIN,ACK seq 1 ack 1 ───────╮                             │
                         │                              ╰────────────────────────────▶│ CLOSE-WAIT   0.205000
                         │                             ╭─────── FIN,ACK seq 1 ack 2 ──│ LAST-ACK     0.206000
 0.207000    TIME-WAIT ╷ │◀────────────────────────────╯                              │
         2.000 s later ╎ ┊                                                            ┊
2 MSL expired, 2.000 s ╵ │                                                            │
 2.207000       CLOSED   │ (2 MSL timeout)                                            │";
        assert_eq!(
            drawn(&client.log(), &server.log()).get(6..).unwrap(),
            expected.lines().skip(1).collect::<Vec<_>>()
        );
    }

    #[test]
    fn time_wait_among_what_arrives_at_once_begins_with_its_state() {
        let (client, server) = handshake();
        let client = client
            .receives(0.5, ("A", 301, 101, 0), 2, "pass")
            .receives(0.5, ("FA", 301, 101, 0), 3, "pass");
        let client =
            client
                .state(0.5, "FIN-WAIT-2", "TIME-WAIT", "FIN")
                .timer(0.5, "time-wait", "started");
        let client = client
            .sends(0.5, ("A", 101, 302, 0), "drop")
            .timer(2.5, "time-wait", "fired");
        let lines = drawn(&client.log(), &server.log());
        assert!(
            lines[7].starts_with(" 0.500000                │")
                && lines[8].starts_with(" 0.500000    TIME-WAIT ╷ │"),
            "{lines:#?}"
        );
    }

    #[test]
    fn forged_segment_has_no_sender() {
        let (client, server) = handshake();
        let client = client.receives(0.1, ("R", 301, 0, 0), 7, "pass").forged();
        let server = server.receives(0.3, ("R", 101, 0, 0), 7, "pass");
        let lines = drawn(&client.log(), &server.log());
        assert!(
            lines[6].contains("│◀── RST seq 1 ──? forged  "),
            "{lines:#?}"
        );
        assert!(
            lines[7].contains("  not recorded ?── RST seq 1 ──▶│"),
            "{lines:#?}"
        );
    }

    #[test]
    fn option_that_the_syn_offered_and_the_answer_leaves_out_is_told() {
        let client = File::new("client", 50.0)
            .line(0.0, &syn("out", "S", 0, "mss 1460,sackOK,ts 5:0,ws 7"))
            .line(0.1, &syn("in", "SA", 101, "mss 1460,ts 9:5"));
        let lines = drawn(&client.log(), &Log::none(&client.log()));
        assert!(lines[2].contains("── SYN seq 0 ─"), "{lines:#?}");
        assert!(
            lines[3].contains("─ SYN,ACK seq 0 ack 1 without sackOK,ws ─"),
            "{lines:#?}"
        );
    }

    fn syn(dir: &str, flags: &str, ack: u32, options: &str) -> String {
        format!(
            "\"event\":\"segment\",\"dir\":\"{dir}\",\"flags\":\"{flags}\",\"seq\":100,\"ack\":{ack},\"len\":0,\"win\":9,\"id\":1,\"options\":\"{options}\",\"verdict\":\"pass\""
        )
    }

    #[test]
    fn end_without_a_record_is_drawn_from_what_the_other_saw() {
        let (client, _) = handshake();
        let client = client.sends(0.004, ("A", 101, 301, 0), "drop").log();
        let expected = "
                      A 10.0.0.1:40000                     10.0.0.2:7000 (no record) B
                CLOSED │                                                            ╎
 0.000000     SYN-SENT │── SYN seq 0 ──────────────────────────────────────────────▶╎
 0.003000  ESTABLISHED │◀──────────────────────────────────── SYN,ACK seq 0 ack 1 ──╎
 0.004000              │── ACK seq 1 ack 1 ──✗ drop                                 ╎";
        assert_eq!(
            drawn(&client, &Log::none(&client)),
            expected.lines().skip(1).collect::<Vec<_>>()
        );
    }
}
