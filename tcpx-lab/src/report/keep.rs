//! A run on disk: both ends' events, both ends' captures, the ladder in every form, and the
//! verdict.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use tcpx_experiment::draw::{Format, drawn};
use tcpx_experiment::experiment::folder;
use tcpx_experiment::report::Report;

/// Writes everything of these runs below `directory`, a folder for each.
///
/// # Errors
/// A folder or a file cannot be written.
pub fn keep(directory: &Path, reports: &[Report]) -> Result<()> {
    for report in reports {
        let verdict = &report.verdict;
        let Some(outcome) = &report.outcome else {
            continue;
        };
        let place = directory.join(&verdict.experiment).join(format!(
            "{}-{}",
            verdict.world,
            folder(&verdict.arm)
        ));
        fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = place.join(name);
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
        };
        write(
            "verdict.json",
            serde_json::to_string_pretty(verdict)?.as_bytes(),
        )?;
        for (end, (events, capture)) in ["a", "b"]
            .iter()
            .zip(outcome.events.iter().zip(&outcome.captures))
        {
            write(&format!("{end}.events.jsonl"), events.as_bytes())?;
            write(&format!("{end}.pcapng"), capture)?;
        }
        if !outcome.notes.is_empty() {
            write("notes.txt", (outcome.notes.join("\n") + "\n").as_bytes())?;
        }
        for (name, format) in [
            ("ladder.txt", Format::Text),
            ("ladder.svg", Format::Svg),
            ("ladder.mmd", Format::Mermaid),
            ("figure.txt", Format::Figure),
        ] {
            write(name, drawn(outcome, format).as_bytes())?;
        }
        if let Some(predicted) = &report.predicted {
            write("prediction.txt", drawn(predicted, Format::Text).as_bytes())?;
        }
    }
    Ok(())
}
