//! The verdict table: for each world, without the rule and with it, what was expected and what happened.

use crate::oracle::joined;
use crate::verdict::Verdict;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use std::fmt::Write as _;

/// A table for each experiment, and below it what went wrong.
pub fn table(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for group in verdicts.chunk_by(|a, b| a.experiment == b.experiment) {
        let Some(first) = group.first() else { continue };
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["world", "run", "expected", "happened", "verdict"]);
        group.iter().for_each(|verdict| _ = table.add_row(row(verdict)));
        let _infallible = writeln!(text, "{}\n{table}", first.experiment);
        for verdict in group.iter().filter(|verdict| !verdict.is_good()) {
            for wrong in &verdict.wrong {
                let _infallible = writeln!(text, "  {} on {}, {}: {wrong}", verdict.experiment, verdict.world, verdict.arm);
            }
        }
        text.push('\n');
    }
    text
}

fn row(verdict: &Verdict) -> Vec<Cell> {
    let judged = match (&verdict.skipped, verdict.is_good()) {
        (Some(_), _) => Cell::new("skipped").fg(Color::Yellow),
        (None, true) => Cell::new("as expected").fg(Color::Green),
        (None, false) => Cell::new("NOT AS EXPECTED").fg(Color::Red).add_attribute(Attribute::Bold),
    };
    let happened = verdict.skipped.as_ref().map_or_else(|| joined(&verdict.happened), |why| format!("not run: {why}"));
    let run = if verdict.treatment { format!("✂ {}", verdict.arm) } else { verdict.arm.clone() };
    vec![Cell::new(verdict.world), Cell::new(run), Cell::new(&verdict.expected), Cell::new(happened), judged]
}
