//! One connection, drawn from what both ends recorded: on two clocks for the terminal, as RFC 9293
//! draws it, for a browser, for GitHub.
//!
//! `layout` prepares what all four show (names, fates, timers, repetitions), and each of them only
//! draws.

mod figure;
mod ladder;
mod layout;
mod mermaid;
mod repeat;
mod svg;
mod timers;

use crate::end::STRANGER;
use crate::trace::Conversation;
use crate::world::Outcome;
use layout::Layout;

/// How to draw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Format {
    /// For a terminal: two rails, time running down, timers beside them
    #[default]
    Text,
    /// As RFC 9293 draws a connection: a line for each segment
    Figure,
    /// For a browser: one self-contained SVG
    Svg,
    /// For Markdown: a sequence diagram that GitHub draws
    Mermaid,
}

/// Draws one conversation. The text ends with a line's end.
pub fn draw(conversation: &Conversation, format: Format) -> String {
    let layout = Layout::new(conversation);
    match format {
        Format::Text => ladder::Ladder(&layout).to_string(),
        Format::Figure => figure::Figure::new(&layout).to_string(),
        Format::Svg => svg::Svg(&layout).to_string(),
        Format::Mermaid => mermaid::Mermaid(&layout).to_string(),
    }
}

/// Every conversation of a run, one below the other; of those with the third host, the first.
pub fn drawn(outcome: &Outcome, format: Format) -> String {
    let stranger =
        |conversation: &Conversation| conversation.ends.iter().any(|end| end.ip() == STRANGER);
    let (mut others, ours): (Vec<Conversation>, Vec<Conversation>) =
        outcome.conversations().into_iter().partition(stranger);
    others.truncate(1);
    ours.iter()
        .chain(&others)
        .map(|conversation| draw(conversation, format))
        .collect::<Vec<_>>()
        .join("\n")
}
