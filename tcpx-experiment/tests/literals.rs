//! States, triggers, reasons and verdicts are typed: no source of this crate or of tcpx-lab compares
//! their names, where a typing mistake would turn a verdict in silence.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tcpx_proto::error::CloseKind;
use tcpx_proto::fault::VerdictKind;
use tcpx_proto::state::{State, Trigger};

/// Words of another language that look the same: file, word, whose word it is.
const OTHERS: [(&str, &str, &str); 9] = [
    (
        "tcpx-experiment/src/draw/timers.rs",
        "restarted",
        "a timer's end",
    ),
    (
        "tcpx-experiment/src/experiment/expectation.rs",
        "ICMP error",
        "what is expected in a line",
    ),
    (
        "tcpx-experiment/src/prediction/sent.rs",
        "dropped",
        "a difference",
    ),
    (
        "tcpx-experiment/src/prediction/sent.rs",
        "SYN",
        "a control bit",
    ),
    (
        "tcpx-experiment/src/prediction/sent.rs",
        "FIN",
        "a control bit",
    ),
    ("tcpx-experiment/src/sweep.rs", "drop", "the fault language"),
    ("tcpx-lab/src/linux/nft/mod.rs", "drop", "nftables"),
    ("tcpx-lab/src/cli/doctor/environment.rs", "drop", "iptables"),
    ("tcpx-lab/src/netns_daemon.rs", "hold", "a command's name"),
];

/// Everything that a record calls a state, a trigger, a reason or a verdict.
fn names() -> BTreeSet<&'static str> {
    let states = State::ALL.map(State::name);
    let triggers = Trigger::ALL.map(Trigger::name);
    let reasons = CloseKind::ALL.map(CloseKind::name);
    let verdicts = VerdictKind::ALL.map(VerdictKind::name);
    states
        .into_iter()
        .chain(triggers)
        .chain(reasons)
        .chain(verdicts)
        .collect()
}

/// The string literals of a source that are one of the names, its tests and attributes left out.
fn named(tokens: TokenStream, names: &BTreeSet<&str>, found: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                tokens.next_if(|next| next.to_string() == "!");
                let attribute = tokens.next().map(|group| group.to_string());
                let test = attribute.is_some_and(|text| text.replace(' ', "") == "[cfg(test)]");
                if !test {
                    continue;
                }
                // The item that it is about ends with its body, or with a semicolon.
                loop {
                    match tokens.next() {
                        Some(TokenTree::Group(group)) if group.to_string().starts_with('{') => {
                            break;
                        }
                        Some(TokenTree::Punct(end)) if end.as_char() == ';' => break,
                        Some(_) => {}
                        None => return,
                    }
                }
            }
            TokenTree::Group(group) => named(group.stream(), names, found),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let text = text.trim_matches('"');
                if literal.to_string().starts_with('"') && names.contains(text) {
                    found.push(text.to_owned());
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}

/// All literals of a text that are one of the names.
fn literals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    named(text.parse().unwrap(), &names(), &mut found);
    found
}

#[test]
fn no_source_names_a_state_a_trigger_a_reason_or_a_verdict_as_text() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut wrong = Vec::new();
    for package in ["tcpx-experiment", "tcpx-lab"] {
        for file in sources(&root.join(package).join("src")) {
            // Tests write records by hand.
            if file.ends_with("tests.rs") || file.ends_with("sample.rs") {
                continue;
            }
            let path = file.strip_prefix(root).unwrap().to_str().unwrap();
            for word in literals(&fs::read_to_string(&file).unwrap()) {
                if !OTHERS
                    .iter()
                    .any(|(other, known, _)| (*other, *known) == (path, &word))
                {
                    wrong.push(format!("{path}: \"{word}\""));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "use the typed value:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn literal_is_found_in_code_and_not_in_tests_comments_and_sentences() {
    let wrong = "fn f(state: &str) -> bool { g([state == \"ESTABLISHED\", h(\"TIME-WAIT\")]) }";
    assert_eq!(literals(wrong), ["ESTABLISHED", "TIME-WAIT"]);
    let right = "
        //! \"ESTABLISHED\"
        /// It is \"CLOSED\".
        const WORDS: &str = \"it is in TIME-WAIT\";
        #[cfg(test)]
        mod tests { const STATE: &str = \"ESTABLISHED\"; }
        #[cfg(test)]
        use super::other;
    ";
    assert_eq!(literals(right), [""; 0]);
}
