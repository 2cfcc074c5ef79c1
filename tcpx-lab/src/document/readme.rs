//! The parts of the README that are made of the same: how many experiments there are, one of them
//! with its ladder, the removable rules.

use super::Pages;
use anyhow::{Context, Result, ensure};
use tcpx_proto::preset::{PRESETS, Preset};

/// The experiment that the README shows.
const SHOWN: &str = "last-ack-lost-no-time-wait";

/// The README with its parts as they are now. A part stands between `<!-- NAME -->` and `<!-- /NAME
/// -->`.
///
/// # Errors
/// A part's marks are missing, or the experiment that it shows.
pub fn renewed(readme: &str, pages: &Pages) -> Result<String> {
    let page = pages
        .get(&format!("{SHOWN}.md"))
        .with_context(|| format!("there is no page of {SHOWN}"))?;
    let ladder = page
        .split("```text\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .context("its page has no ladder")?;
    let table: String = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| format!("{line}\n"))
        .collect();
    let parts = [
        (
            "ladder",
            format!("\n```\ntcpx-lab run {SHOWN} --on all --ladder\n\n{ladder}```\n"),
        ),
        ("runs", format!("\n{table}")),
        ("count", (pages.len() - 1).to_string()),
        ("rules", format!("\n{}", rules())),
    ];
    parts
        .iter()
        .try_fold(readme.to_owned(), |text, (name, part)| {
            replaced(&text, name, part)
        })
}

/// The rules that can be removed.
fn rules() -> String {
    let row = |preset: &Preset| {
        let Preset {
            name,
            removes,
            requirement,
            breaks,
            experiment,
            ..
        } = preset;
        format!("| `{name}` | {removes} | {requirement} | {breaks} | `{experiment}` |\n")
    };
    let head =
        "| `--without` | the rule | of | what breaks | experiment |\n|---|---|---|---|---|\n";
    head.to_owned() + &PRESETS.iter().map(row).collect::<String>()
}

fn replaced(text: &str, name: &str, part: &str) -> Result<String> {
    let begin = format!("<!-- {name} -->");
    let end = format!("<!-- /{name} -->");
    let (before, rest) = text
        .split_once(&begin)
        .with_context(|| format!("there is no {begin}"))?;
    let (_, after) = rest
        .split_once(&end)
        .with_context(|| format!("there is no {end}"))?;
    ensure!(!after.contains(&begin), "{begin} stands there twice");
    Ok(format!("{before}{begin}{part}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_is_replaced_between_its_marks_alone() {
        assert_eq!(
            replaced("a <!-- n -->1<!-- /n --> b", "n", "22").unwrap(),
            "a <!-- n -->22<!-- /n --> b"
        );
        assert!(replaced("a b", "n", "1").is_err());
        assert!(replaced("<!-- n -->1<!-- /n --><!-- n -->", "n", "1").is_err());
    }
}
