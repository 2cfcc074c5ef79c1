//! A picture for a browser: the ladder with its states as colours along the rails, complete in
//! itself, for light and for dark.

mod rows;

use super::layout::{Bracket, Fate, Layout, Line, name_of};
use crate::end::End;
use crate::trace::{Flight, Step};
use rows::rows;
use std::fmt::{self, Formatter, Result};
use tcpx_proto::state::State;

/// Its style; the classes of rails are the states of RFC 9293.
const STYLE: &str = include_str!("svg.css");
/// Between the rails.
const SPAN: f64 = 520.0;
/// Half of a rail's width.
const HALF: f64 = 5.0;
/// For words below a step, each.
const REMARK: f64 = 17.0;
/// From one lane of brackets to the next.
const LANE: f64 = 11.0;
/// The width of a character.
const CHARACTER: f64 = 7.25;
/// How far a lost segment comes.
const SHORT: f64 = 0.4 * SPAN;
/// By how much such a short line slants.
const SLANT: f64 = 12.0;

/// Draws one conversation.
pub(super) struct Svg<'a>(pub(super) &'a Layout<'a>);

impl fmt::Display for Svg<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let sheet = Sheet::new(self.0);
        let width = sheet.width;
        let height = sheet.bottom + 20.0;
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tcpx\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"tcpx-title tcpx-desc\">"
        )?;
        let [a, b] = [End::A, End::B].map(|end| escape(&self.0.name(end)));
        writeln!(
            f,
            "<title id=\"tcpx-title\">A TCP connection between {a} and {b}</title>"
        )?;
        writeln!(
            f,
            "<desc id=\"tcpx-desc\">{}</desc>",
            escape(&summary(self.0))
        )?;
        writeln!(f, "<style>\n{STYLE}</style>")?;
        writeln!(f, "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>")?;
        sheet.ends(f)?;
        self.0
            .lines
            .iter()
            .zip(&sheet.rows)
            .try_for_each(|(line, y)| sheet.line(f, line, *y))?;
        self.0
            .brackets
            .iter()
            .try_for_each(|bracket| sheet.bracket(f, bracket))?;
        // What is written stands above every line.
        self.0
            .flights()
            .try_for_each(|(flight, label)| sheet.ways(f, flight, label))?;
        self.0
            .flights()
            .try_for_each(|(flight, label)| sheet.words(f, flight, label))?;
        writeln!(f, "</svg>")
    }
}

/// The whole conversation in words, for screen readers.
fn summary(layout: &Layout) -> String {
    let conversation = layout.conversation;
    let lost = conversation
        .flights
        .iter()
        .filter(|flight| matches!(layout.fate(flight), Fate::Lost(_)))
        .count();
    let states = |end: End| -> String {
        let entered = conversation
            .steps
            .iter()
            .filter(|step| step.end == end && step.entered)
            .filter_map(|step| step.state);
        let initial = *end.of(&conversation.initial);
        let all: Vec<&str> = initial
            .into_iter()
            .chain(entered)
            .map(State::name)
            .collect();
        if all.is_empty() {
            "not known".to_owned()
        } else {
            all.join(", ")
        }
    };
    let seconds = conversation
        .steps
        .last()
        .map_or(0.0, |step| step.at - layout.start());
    let segments = conversation.flights.len();
    let a = states(End::A);
    let b = states(End::B);
    format!(
        "{segments} segments in {seconds:.3} s, {lost} of them lost. States of A: {a}. States of B: {b}."
    )
}

/// Where everything is.
struct Sheet<'a> {
    layout: &'a Layout<'a>,
    /// The height of each line.
    rows: Vec<f64>,
    /// Where the rails begin and end.
    top: f64,
    bottom: f64,
    /// The middle of each rail.
    rails: [f64; 2],
    /// Where the words beside a rail begin.
    sides: [f64; 2],
    width: f64,
}

impl<'a> Sheet<'a> {
    fn new(layout: &'a Layout<'a>) -> Sheet<'a> {
        let top = 44.0;
        let (rows, bottom) = rows(layout, top + 6.0);
        let margins = [End::A, End::B].map(|end| {
            let brackets = || {
                layout
                    .brackets
                    .iter()
                    .filter(|bracket| bracket.span.end == end)
            };
            let lanes = brackets()
                .map(|bracket| bracket.lane + 1)
                .max()
                .unwrap_or_default();
            let words = brackets()
                .map(|bracket| bracket.span.words().len())
                .max()
                .unwrap_or_default();
            let words = words.max(if *end.of(&layout.conversation.recorded) {
                23
            } else {
                0
            });
            (
                HALF + 8.0 + lanes as f64 * LANE,
                words as f64 * CHARACTER + 12.0,
            )
        });
        let [(beside_a, words_a), (beside_b, words_b)] = margins;
        let rails = [words_a + beside_a, words_a + beside_a + SPAN];
        let sides = [rails[0] - beside_a, rails[1] + beside_b];
        Sheet {
            layout,
            rows,
            top,
            bottom,
            rails,
            sides,
            width: sides[1] + words_b,
        }
    }

    /// Names, and rails in the colours of their states.
    fn ends(&self, f: &mut Formatter<'_>) -> Result {
        for (end, anchor) in [(End::A, "start"), (End::B, "end")] {
            let x = self.rail(end) - inward(end) * HALF;
            self.text(
                f,
                (x, 20.0),
                anchor,
                "name",
                &format!("{end:?} {}", self.layout.name(end)),
            )?;
            let initial = name_of(*end.of(&self.layout.conversation.initial));
            self.text(
                f,
                (*end.of(&self.sides), self.top + 4.0),
                outside(end),
                "state",
                initial,
            )?;
            let mut span = (
                self.top - 10.0,
                if *end.of(&self.layout.conversation.recorded) {
                    initial
                } else {
                    "unknown"
                },
            );
            let entered = self
                .layout
                .conversation
                .steps
                .iter()
                .enumerate()
                .filter(|(_, step)| step.end == end && step.entered);
            for (index, step) in entered {
                let y = self.of_step(index);
                self.rail_piece(f, end, span, y)?;
                span = (y, name_of(step.state));
            }
            self.rail_piece(f, end, span, self.bottom)?;
        }
        Ok(())
    }

    fn rail_piece(
        &self,
        f: &mut Formatter<'_>,
        end: End,
        (from, state): (f64, &str),
        to: f64,
    ) -> Result {
        let x = self.rail(end) - HALF;
        let height = to - from;
        let state = escape(state);
        let wide = 2.0 * HALF;
        writeln!(
            f,
            "<rect class=\"{state}\" x=\"{x:.1}\" y=\"{from:.1}\" width=\"{wide}\" height=\"{height:.1}\" rx=\"2\"><title>{state}</title></rect>"
        )
    }

    /// What a line has beside and between the rails, segments excepted.
    fn line(&self, f: &mut Formatter<'_>, line: &Line, y: f64) -> Result {
        match line {
            Line::Step(step) => self.step(f, &self.layout.conversation.steps[*step], y),
            Line::Silence(seconds) => self.interruption(f, y, &format!("{seconds:.3} s later")),
            Line::More(run) => self.interruption(f, y, &self.layout.more(run)),
            Line::Starts(_) | Line::Ends(_) => Ok(()),
        }
    }

    fn step(&self, f: &mut Formatter<'_>, step: &Step, y: f64) -> Result {
        let end = step.end;
        let time = format!("{:.6}", step.at - self.layout.start());
        let x = *end.of(&self.sides);
        let state = if step.entered {
            name_of(step.state)
        } else {
            ""
        };
        self.text(f, (x, y + 4.0), outside(end), "state", state)?;
        self.text(
            f,
            (x - inward(end) * 13.5 * CHARACTER, y + 4.0),
            outside(end),
            "quiet",
            &time,
        )?;
        let x = self.rail(end) + inward(end) * (HALF + 8.0);
        if let Some(on) = step.event().filter(|_| step.segment.is_none()) {
            self.text(f, (x, y + 4.0), inside(end), "label", on)?;
        }
        for (remark, count) in step.remarks.iter().zip(1_u8..) {
            self.text(
                f,
                (x, y + 4.0 + f64::from(count) * REMARK),
                inside(end),
                "label quiet",
                &remark.to_string(),
            )?;
        }
        Ok(())
    }

    /// Where the axis of time is broken.
    fn interruption(&self, f: &mut Formatter<'_>, y: f64, words: &str) -> Result {
        let [a, b] = self.rails;
        writeln!(f, "<path class=\"silence\" d=\"M{a:.1} {y:.1}H{b:.1}\"/>")?;
        for x in self.rails {
            let left = x - HALF - 3.0;
            let right = x + HALF + 3.0;
            writeln!(
                f,
                "<path class=\"paper\" d=\"M{left:.1} {:.1}L{right:.1} {:.1}V{:.1}L{left:.1} {:.1}z\"/>\
                 <path class=\"break\" d=\"M{left:.1} {:.1}L{right:.1} {:.1}M{left:.1} {:.1}L{right:.1} {:.1}\"/>",
                y,
                y - 6.0,
                y,
                y + 6.0,
                y,
                y - 6.0,
                y + 6.0,
                y
            )?;
        }
        self.text(
            f,
            (f64::midpoint(a, b), y + 4.0),
            "middle",
            "label quiet",
            words,
        )
    }

    /// A timer beside its rail, with its words where it ends.
    fn bracket(&self, f: &mut Formatter<'_>, bracket: &Bracket) -> Result {
        let end = bracket.span.end;
        let from = self.rows[bracket.first];
        let to = self.rows[bracket.last];
        let x = self.rail(end) - inward(end) * (HALF + 8.0 + bracket.lane as f64 * LANE);
        let near = x + inward(end) * 5.0;
        let words = bracket.span.words();
        writeln!(
            f,
            "<path class=\"bracket\" d=\"M{near:.1} {from:.1}H{x:.1}V{to:.1}H{near:.1}\"><title>{}</title></path>",
            escape(&words)
        )?;
        self.text(
            f,
            (*end.of(&self.sides), to + 4.0),
            outside(end),
            "timer",
            &words,
        )
    }

    /// A segment's lines.
    fn ways(&self, f: &mut Formatter<'_>, flight: &'a Flight, label: &str) -> Result {
        let fate = self.layout.fate(flight);
        writeln!(
            f,
            "<g class=\"{}\"><title>{}</title>",
            class(fate, self.layout.kept_by(flight).is_some()),
            escape(&self.told(flight, label))
        )?;
        let from = flight.from;
        let to = flight.from.other();
        let start = self.rail(from) + inward(from) * HALF;
        let goal = self.rail(to) + inward(to) * HALF;
        let begin = |step: usize| (start, self.of_step(step));
        match (fate, flight.sent.or(flight.received.first().copied())) {
            (Fate::Arrived, Some(sent)) => {
                for step in &flight.received {
                    let stopped = self.layout.stopped(*step);
                    way(
                        f,
                        begin(sent),
                        (goal, self.of_step(*step)),
                        if stopped { Tip::Cross } else { Tip::Head },
                    )?;
                }
            }
            (Fate::Assumed, Some(step)) => {
                let y = self.of_step(step);
                let (up, down) = if flight.sent.is_some() {
                    (0.0, SLANT)
                } else {
                    (SLANT, 0.0)
                };
                way(f, (start, y - up), (goal, y + down), Tip::Head)?;
            }
            (Fate::Forged | Fate::Unrecorded, Some(step)) => {
                let y = self.of_step(step);
                way(
                    f,
                    (goal - inward(from) * SHORT, y - SLANT),
                    (goal, y),
                    Tip::Head,
                )?;
            }
            (Fate::Lost(_) | Fate::Unwitnessed, Some(step)) => {
                let (x, y) = begin(step);
                let tip = if fate == Fate::Unwitnessed {
                    Tip::Nothing
                } else {
                    Tip::Cross
                };
                way(f, (x, y), (x + inward(from) * SHORT, y + SLANT), tip)?;
            }
            (_, None) => {}
        }
        writeln!(f, "</g>")
    }

    /// A segment's name, and what became of it.
    fn words(&self, f: &mut Formatter<'_>, flight: &Flight, label: &str) -> Result {
        let from = flight.from;
        let to = flight.from.other();
        let fate = self.layout.fate(flight);
        let Some(step) = flight.sent.or(flight.received.first().copied()) else {
            return Ok(());
        };
        let y = self.of_step(step);
        // An injected segment has no sender: its arrow comes from above its receipt.
        let (begin, end) = if flight.sent.is_some() {
            (y, y + SLANT)
        } else {
            (y - SLANT, y - SLANT)
        };
        let near = |end: End, distance: f64| self.rail(end) + inward(end) * (HALF + distance);
        writeln!(f, "<g class=\"{}\">", class(fate, false))?;
        let at = if matches!(fate, Fate::Forged | Fate::Unrecorded) {
            to
        } else {
            from
        };
        self.text(f, (near(at, 9.0), begin - 5.0), inside(at), "label", label)?;
        let why = match fate {
            Fate::Unwitnessed => "? the peer's record had ended",
            fate => fate.why().unwrap_or_default(),
        };
        self.text(
            f,
            (near(at, SHORT + 12.0), end + 4.0),
            inside(at),
            "label why",
            why,
        )?;
        writeln!(f, "</g>")
    }

    /// A segment's story as a sentence.
    fn told(&self, flight: &Flight, label: &str) -> String {
        let at = |step: usize| {
            format!(
                "{:.6} s",
                self.layout.conversation.steps[step].at - self.layout.start()
            )
        };
        let sent = flight.sent.map(|step| format!("sent at {}", at(step)));
        let received = flight
            .received
            .iter()
            .map(|step| format!("received at {}", at(*step)));
        let fate = self.layout.fate(flight).why().map(str::to_owned);
        [label.to_owned()]
            .into_iter()
            .chain(sent)
            .chain(received)
            .chain(fate)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn rail(&self, end: End) -> f64 {
        *end.of(&self.rails)
    }

    /// The height of a step.
    fn of_step(&self, step: usize) -> f64 {
        self.rows[self.layout.line_of(step)]
    }

    fn text(
        &self,
        f: &mut Formatter<'_>,
        (x, y): (f64, f64),
        anchor: &str,
        class: &str,
        text: &str,
    ) -> Result {
        if text.is_empty() {
            return Ok(());
        }
        if class.starts_with("label") {
            // Lines pass beneath what is written.
            let wide = text.chars().count() as f64 * CHARACTER + 4.0;
            let left = match anchor {
                "start" => x - 2.0,
                "end" => x + 2.0 - wide,
                _ => x - wide / 2.0,
            };
            writeln!(
                f,
                "<rect class=\"paper\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"13\"/>",
                y - 10.0
            )?;
        }
        writeln!(
            f,
            "<text class=\"{class} {anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            escape(text)
        )
    }
}

/// What a line ends in.
#[derive(Clone, Copy, PartialEq)]
enum Tip {
    Head,
    Cross,
    Nothing,
}

fn way(f: &mut Formatter<'_>, (x1, y1): (f64, f64), (x2, y2): (f64, f64), tip: Tip) -> Result {
    writeln!(
        f,
        "<path class=\"way\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>"
    )?;
    let length = (x2 - x1).hypot(y2 - y1).max(1.0);
    let dx = (x2 - x1) / length;
    let dy = (y2 - y1) / length;
    let back =
        |along: f64, across: f64| (x2 - dx * along - dy * across, y2 - dy * along + dx * across);
    match tip {
        Tip::Head => {
            let ((ax, ay), (bx, by)) = (back(10.0, 4.5), back(10.0, -4.5));
            writeln!(
                f,
                "<path class=\"head\" d=\"M{x2:.1} {y2:.1}L{ax:.1} {ay:.1}L{bx:.1} {by:.1}z\"/>"
            )
        }
        Tip::Cross => writeln!(
            f,
            "<path class=\"way\" d=\"M{:.1} {:.1}l10 10m0 -10l-10 10\"/>",
            x2 - 5.0,
            y2 - 5.0
        ),
        Tip::Nothing => Ok(()),
    }
}

/// How a segment is drawn; `stopped`: the receiver's gate kept it from its TCP.
fn class(fate: Fate, stopped: bool) -> &'static str {
    match fate {
        Fate::Arrived if !stopped => "arrived",
        Fate::Arrived | Fate::Lost(_) => "lost",
        Fate::Forged => "forged",
        Fate::Assumed | Fate::Unwitnessed | Fate::Unrecorded => "unsure",
    }
}

/// The direction from an end's rail to the other's.
fn inward(end: End) -> f64 {
    if end == End::A { 1.0 } else { -1.0 }
}

/// How words begin that stand between the rails, beside that end's.
fn inside(end: End) -> &'static str {
    if end == End::A { "start" } else { "end" }
}

/// How words begin that stand on the outer side of a rail.
fn outside(end: End) -> &'static str {
    inside(end.other())
}

fn escape(text: &str) -> String {
    let sign = |ch: char| match ch {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        _ => ch.to_string(),
    };
    text.chars().map(sign).collect()
}

#[cfg(test)]
mod tests;
