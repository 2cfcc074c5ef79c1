//! The verdicts as JUnit's XML: a suite for each experiment, a case for each run.

use std::fmt::Write as _;
use tcpx_experiment::oracle::joined;
use tcpx_experiment::verdict::Verdict;

pub(super) fn junit(verdicts: &[Verdict]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for group in verdicts.chunk_by(|a, b| a.experiment == b.experiment) {
        let Some(first) = group.first() else { continue };
        let count =
            |wanted: fn(&Verdict) -> bool| group.iter().filter(|verdict| wanted(verdict)).count();
        let failures = count(|verdict| !verdict.is_good());
        let skipped = count(|verdict| verdict.skipped.is_some());
        let name = escaped(&first.experiment);
        let time: f64 = group.iter().map(|verdict| verdict.took).sum();
        let _infallible = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\" time=\"{time:.3}\">",
            group.len()
        );
        group
            .iter()
            .for_each(|verdict| case(&mut text, &name, verdict));
        text.push_str("  </testsuite>\n");
    }
    text + "</testsuites>\n"
}

fn case(text: &mut String, suite: &str, verdict: &Verdict) {
    let name = escaped(&format!("{}: {}", verdict.world, verdict.arm));
    let _infallible = write!(
        text,
        "    <testcase classname=\"{suite}\" name=\"{name}\" time=\"{:.3}\">",
        verdict.took
    );
    if let Some(why) = &verdict.skipped {
        let _infallible = write!(text, "<skipped message=\"{}\"/>", escaped(why));
    }
    if !verdict.is_good() {
        let first = verdict
            .wrong
            .first()
            .map_or("", |wrong| wrong.lines().next().unwrap_or_default());
        let _infallible = write!(
            text,
            "<failure message=\"{}\">{}</failure>",
            escaped(first),
            escaped(&verdict.wrong.join("\n"))
        );
    }
    let _infallible = writeln!(
        text,
        "<system-out>{}</system-out></testcase>",
        escaped(&joined(&verdict.happened))
    );
}

/// Without what XML reserves or forbids.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\n' => "&#10;".to_owned(),
        c if c.is_control() && c != '\t' => String::new(),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}
