//! How high each line of a picture stands.

use super::{REMARK, SLANT};
use crate::draw::layout::{Layout, Line};
use crate::trace::Step;

/// From one step to the next at least, so that what is written on one is clear of the other.
const ROW: f64 = 27.0;
/// For a second between two steps on top of that, as long as it is no silence.
const SECOND: f64 = 200.0;
/// Around a silence, and around what is left out.
const BREAK: f64 = 32.0;
/// For a timer's end.
const TIMER: f64 = 22.0;

/// The height of each line, and that of the end of all.
pub(super) fn rows(layout: &Layout, top: f64) -> (Vec<f64>, f64) {
    let mut y = top;
    let mut last: Option<&Step> = None;
    let mut rows = Vec::new();
    for line in &layout.lines {
        let step = if let Line::Step(step) = line {
            layout.conversation.steps.get(*step)
        } else {
            None
        };
        let passed = step.zip(last).map_or(0.0, |(step, last)| step.at - last.at);
        let (above, below) = if let Line::Step(step) = line {
            room(layout, *step)
        } else {
            (0.0, 0.0)
        };
        y += match line {
            Line::Step(_) => ROW + above + passed * SECOND,
            Line::Silence(_) | Line::More(_) => BREAK,
            Line::Starts(_) | Line::Ends(_) => TIMER,
        };
        rows.push(y);
        y += step.map_or(0.0, |step| step.remarks.len() as f64 * REMARK);
        y += below;
        last = step;
    }
    (rows, y + 16.0)
}

/// What a short line that begins or ends between the rails takes above and below its step.
fn room(layout: &Layout, step: usize) -> (f64, f64) {
    match layout.flight_at(step) {
        Some((flight, _)) if flight.sent.is_none() => (SLANT, 0.0),
        Some((flight, _)) if flight.received.is_empty() => (0.0, SLANT - 4.0),
        _ => (0.0, 0.0),
    }
}
