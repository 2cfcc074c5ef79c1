//! The verdicts, for people and for programs.

mod junit;
mod keep;
mod table;

pub use keep::keep;
pub use table::table;

use std::fmt::Write as _;
use tcpx_experiment::report::json;
use tcpx_experiment::verdict::Verdict;

/// How to report.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug, Default)]
pub enum Format {
    /// A table
    #[default]
    Text,
    /// One JSON array, an object for each run
    Json,
    /// For continuous integration: JUnit's XML
    Junit,
    /// Test Anything Protocol
    Tap,
}

/// All verdicts in one format.
///
/// # Errors
/// None that a verdict could cause.
pub fn format(verdicts: &[Verdict], format: Format) -> serde_json::Result<String> {
    Ok(match format {
        Format::Text => table(verdicts),
        Format::Json => json(verdicts)?,
        Format::Junit => junit::junit(verdicts),
        Format::Tap => tap(verdicts),
    })
}

fn tap(verdicts: &[Verdict]) -> String {
    let mut text = format!("TAP version 13\n1..{}\n", verdicts.len());
    for (number, verdict) in (1..).zip(verdicts) {
        let name = format!(
            "{} on {}: {}",
            verdict.experiment, verdict.world, verdict.arm
        )
        .replace('#', "\\#");
        let ok = if verdict.is_good() { "ok" } else { "not ok" };
        let skip = verdict
            .skipped
            .as_ref()
            .map_or(String::new(), |why| format!(" # SKIP {why}"));
        let _infallible = writeln!(text, "{ok} {number} - {name}{skip}");
        for wrong in &verdict.wrong {
            wrong
                .lines()
                .for_each(|line| text += &format!("# {line}\n"));
        }
    }
    text
}

/// Whether all is well: every run as expected, and no world that is required was skipped.
pub fn counts(verdicts: &[Verdict]) -> String {
    // One that was required and not run has failed.
    let skipped = verdicts
        .iter()
        .filter(|verdict| verdict.skipped.is_some() && verdict.is_good())
        .count();
    let failed = verdicts.iter().filter(|verdict| !verdict.is_good()).count();
    let repeated: usize = verdicts.iter().map(|verdict| verdict.repeated).sum();
    let busy = if repeated > 0 {
        format!("repetitions because the machine was too busy: {repeated}\n")
    } else {
        String::new()
    };
    format!(
        "{busy}{} passed, {failed} failed, {skipped} skipped",
        verdicts.len() - skipped - failed
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcpx_experiment::experiment::World;

    fn verdict(skipped: Option<&str>, wrong: &[&str]) -> Verdict {
        Verdict {
            experiment: "closed-port".to_owned(),
            arm: "with".to_owned(),
            treatment: false,
            world: World::Wire,
            expected: String::new(),
            happened: Vec::new(),
            findings: Vec::new(),
            wrong: wrong.iter().map(ToString::to_string).collect(),
            skipped: skipped.map(str::to_owned),
            unavailable: skipped.is_some(),
            repeated: 0,
            took: 0.0,
        }
    }

    #[test]
    fn required_and_not_run_counts_as_failed_and_not_as_skipped() {
        let required = verdict(Some("no namespaces"), &["required, and not run"]);
        assert_eq!(
            counts(std::slice::from_ref(&required)),
            "0 passed, 1 failed, 0 skipped"
        );
        let others = [
            required,
            verdict(Some("no namespaces"), &[]),
            verdict(None, &[]),
            verdict(None, &["not as expected"]),
        ];
        assert_eq!(counts(&others), "1 passed, 2 failed, 1 skipped");
    }
}
