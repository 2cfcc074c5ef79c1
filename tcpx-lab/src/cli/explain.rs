//! One experiment in words: the story, the rule and what the RFC says of it, and the commands that
//! do the same by hand.

use super::{find, say};
use anyhow::Result;
use std::fmt::Write as _;
use tcpx::netns;
use tcpx_cli::wrapped;
use tcpx_experiment::experiment::{Arm, Experiment, Plan, Scale, World};
use tcpx_proto::preset::Preset;

/// Prints the explanation of the experiment of this name or in this file.
///
/// # Errors
/// An unknown name, or a mistake in the file.
pub fn run(name: &str) -> Result<()> {
    say(explain(&find(name)?)?.trim_end())
}

fn explain(experiment: &Experiment) -> Result<String> {
    let mut text = format!(
        "{}\n{}\n\n{}\n\n",
        experiment.title,
        "=".repeat(experiment.title.chars().count()),
        experiment.question
    );
    let _infallible = writeln!(text, "{}\n", fill(&experiment.story));
    for (who, says) in [
        ("the textbook", &experiment.textbook),
        ("RFC 9293", &experiment.rfc),
        ("Linux 6.18", &experiment.linux),
    ] {
        let _infallible = writeln!(
            text,
            "{who:>12}: {}",
            fill(says).replace('\n', "\n              ")
        );
    }
    let rules: Vec<&Preset> = experiment
        .removed()
        .into_iter()
        .filter_map(|name| Preset::find(&name))
        .collect();
    if !rules.is_empty() {
        text.push_str("\nRules removed:\n");
    }
    for rule in rules {
        let _infallible = writeln!(
            text,
            "  {}: {} ({}).\n    Without it {}.",
            rule.name, rule.removes, rule.requirement, rule.breaks
        );
    }
    for world in World::ALL {
        if let Some(no) = experiment.unsupported(world) {
            let _infallible = writeln!(text, "\nNot on {world}: {no}.");
        }
    }
    text.push_str(
        "\nBy hand, after `tcpx-lab netns up`, each command in a shell of its host (`tcpx-lab \
         netns server`, `tcpx-lab netns client`):\n",
    );
    for arm in &experiment.arms {
        by_hand(&mut text, arm, &experiment.checked_plan(arm, Scale::Wire)?);
    }
    let _infallible = writeln!(
        text,
        "\nOr all of it: tcpx-lab run {} --on all",
        for_a_shell(&experiment.place)
    );
    Ok(text)
}

/// How to do an arm's run with the two binaries.
pub(crate) fn by_hand(text: &mut String, arm: &Arm, plan: &Plan) {
    let _infallible = writeln!(text, "\n  {} - {}", arm.name, plan.expected);
    for (host, name) in plan.hosts.iter().zip(["a", "b"]).rev() {
        let file = format!("{name}.script");
        // A comment ends with its line.
        let between = if host.script_text.contains('#') {
            "\n"
        } else {
            "; "
        };
        let script = host
            .script_text
            .trim()
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(between);
        let _infallible = writeln!(text, "    printf '%s\\n' {} > {file}", for_a_shell(&script));
        let words = host
            .command(&file)
            .into_iter()
            .map(|word| for_a_shell(&word));
        let side = if host.address.ip() == netns::A {
            "client"
        } else {
            "server"
        };
        let _infallible = writeln!(
            text,
            "    {side}$ {} --events {name}.jsonl",
            words.collect::<Vec<_>>().join(" ")
        );
    }
    for inject in &plan.inject {
        let _infallible = writeln!(
            text,
            "    (and {} forged segments to {}, which only the laboratory sends)",
            inject.packets.len(),
            inject.to
        );
    }
    text.push_str("    tcpx-lab ladder a.jsonl b.jsonl\n");
}

/// A word as a shell takes it for exactly that.
fn for_a_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Lines of at most a hundred characters.
pub(crate) fn fill(text: &str) -> String {
    wrapped(&text.split_whitespace().collect::<Vec<_>>().join(" "), 100).join("\n")
}
