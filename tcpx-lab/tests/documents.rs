//! The documents of the built-in experiments, and the README's tables.

use std::path::Path;
use tcpx_experiment::experiment::built_in;
use tcpx_lab::document::{self, Language};

#[test]
fn documents_and_readme_are_what_the_experiments_make_of_them() {
    let experiments = built_in().unwrap();
    let observed = document::observed().unwrap();
    assert_eq!(
        observed.stale(&experiments),
        Vec::<String>::new(),
        "changed since they were observed: run `make document`"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (language, directory) in [
        (Language::En, "docs/experiments"),
        (Language::Zh, "docs/experiments.zh-CN"),
    ] {
        let pages = document::pages(&experiments, &observed, language).unwrap();
        let stale = document::differences(&root.join(directory), &pages).unwrap();
        assert!(
            stale.is_empty(),
            "{directory} is stale, run `make document`: {stale:#?}"
        );
        if language == Language::En {
            let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
            assert!(
                document::renewed(&readme, &pages).unwrap() == readme,
                "README.md is stale: run `make document`"
            );
        }
    }
}

/// Names of states, oracles, rules and steps stay as they are; sentences do not.
#[test]
fn chinese_pages_have_no_english_sentence_outside_ladders() {
    let experiments = built_in().unwrap();
    let observed = document::observed().unwrap();
    for (name, page) in document::pages(&experiments, &observed, Language::Zh).unwrap() {
        let prose: String = page.split("```").step_by(2).collect();
        let prose: String = prose.split('`').step_by(2).collect();
        for line in prose
            .lines()
            .filter(|line| line.starts_with(['|', '-', '*']) && !line.starts_with("|---"))
        {
            let words = line
                .split(|c: char| !c.is_ascii_alphabetic() && c != ' ')
                .map(str::trim);
            let sentence = words.into_iter().find(|words| {
                words
                    .split(' ')
                    .filter(|word| word.chars().all(|c| c.is_lowercase()))
                    .count()
                    > 2
            });
            assert_eq!(sentence, None, "{name}: {line}");
        }
    }
}
