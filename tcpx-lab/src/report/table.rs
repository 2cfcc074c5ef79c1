//! The verdict table: for each world, without the rule and with it, what was expected and what
//! happened.

use clap::builder::styling::{AnsiColor, Style};
use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};
use tcpx_cli::{Cell, Fit, Table};
use tcpx_experiment::oracle::joined;
use tcpx_experiment::verdict::Verdict;

/// For stdout. A terminal gets a table for each experiment, and below it what is wrong; a pipe gets
/// a line for each run, with the experiment first and what is wrong last.
pub fn table(verdicts: &[Verdict]) -> String {
    if !stdout().is_terminal() {
        let mut table = Table::new(
            [
                "experiment",
                "world",
                "verdict",
                "run",
                "expected",
                "observed",
                "wrong",
            ]
            .map(|name| (name, Fit::Whole)),
        );
        for verdict in verdicts {
            let [world, judged, run, expected, happened] = row(verdict);
            table.add([
                verdict.experiment.as_str().into(),
                world,
                judged,
                run,
                expected,
                happened,
                verdict.wrong.join("; ").into(),
            ]);
        }
        return table.on_stdout();
    }
    let mut text = String::new();
    for group in verdicts.chunk_by(|a, b| a.experiment == b.experiment) {
        let Some(first) = group.first() else { continue };
        let columns = [
            ("", Fit::Whole),
            ("", Fit::Whole),
            ("", Fit::Wrap),
            ("expected", Fit::Below),
            ("observed", Fit::Below),
        ];
        let mut table = Table::new(columns);
        group.iter().for_each(|verdict| table.add(row(verdict)));
        let _infallible = writeln!(
            text,
            "{}\n{}",
            first.experiment,
            table.on_stdout().trim_end()
        );
        for verdict in group.iter().filter(|verdict| !verdict.is_good()) {
            for wrong in &verdict.wrong {
                let _infallible = writeln!(
                    text,
                    "  {} on {}, {}: {wrong}",
                    verdict.experiment, verdict.world, verdict.arm
                );
            }
        }
        text.push('\n');
    }
    text
}

fn row(verdict: &Verdict) -> [Cell; 5] {
    let judged = match (&verdict.skipped, verdict.is_good()) {
        (Some(_), _) => Cell::styled("skipped", AnsiColor::Yellow.on_default()),
        (None, true) => Cell::styled("as expected", AnsiColor::Green.on_default()),
        (None, false) => Cell::styled("NOT AS EXPECTED", AnsiColor::Red.on_default().bold()),
    };
    let happened = verdict.skipped.as_ref().map_or_else(
        || joined(&verdict.happened),
        |why| format!("not run: {why}"),
    );
    let run = if verdict.treatment {
        format!("✂ {}", verdict.arm)
    } else {
        verdict.arm.clone()
    };
    [
        verdict.world.name().into(),
        judged,
        Cell::styled(run, Style::new().bold()),
        verdict.expected.as_str().into(),
        happened.into(),
    ]
}
