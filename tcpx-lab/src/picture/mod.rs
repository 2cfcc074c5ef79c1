//! One connection, drawn from what both ends recorded: on two clocks for the terminal, as RFC 9293
//! draws it, for a browser, for GitHub.
//!
//! `story` prepares what all four show (names, fates, timers, repetitions), and each of them only
//! draws.

mod figure;
mod ladder;
mod mermaid;
mod repeat;
mod story;
mod svg;
mod timers;

use crate::exchange::Exchange;
use clap::ValueEnum;
use story::Story;

/// How to draw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Format {
    /// For a terminal: two rails, time running down, timers beside them
    #[default]
    Text,
    /// As RFC 9293 draws a connection: a line for each segment
    Figure,
    /// For a browser: one SVG, complete in itself
    Svg,
    /// For Markdown: a sequence diagram that GitHub draws
    Mermaid,
}

/// Draws one story. The text ends with a line's end.
pub fn draw(exchange: &Exchange, format: Format) -> String {
    let story = Story::new(exchange);
    match format {
        Format::Text => ladder::Ladder(&story).to_string(),
        Format::Figure => figure::Figure::new(&story).to_string(),
        Format::Svg => svg::Svg(&story).to_string(),
        Format::Mermaid => mermaid::Mermaid(&story).to_string(),
    }
}
