//! The README's Rust is code that is compiled and run: each block of it stands, but for its
//! indentation, in an example. And the links of all documents lead somewhere.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn rust_in_the_readme_stands_in_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let examples = fs::read_dir(root.join("tcpx/examples"))
        .unwrap()
        .map(|entry| plain(&fs::read_to_string(entry.unwrap().path()).unwrap()));
    let examples: Vec<String> = examples.collect();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut blocks = readme
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .peekable();
    assert!(
        blocks.peek().is_some(),
        "the reader of the README sees nothing"
    );
    for block in blocks {
        assert!(
            examples
                .iter()
                .any(|example| example.contains(&plain(block))),
            "in no example:\n{block}"
        );
    }
}

/// Without indentation.
fn plain(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\n", line.trim()))
        .collect()
}

/// The Markdown files of a directory, with those below it where that is wanted.
fn documents(directory: &Path, below: bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<PathBuf>, Vec<PathBuf>) =
        entries.partition(|path| path.is_dir());
    let mut found: Vec<PathBuf> = files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "md"))
        .collect();
    if below {
        found.extend(
            directories
                .iter()
                .flat_map(|directory| documents(directory, true)),
        );
    }
    found
}

#[test]
fn links_between_documents_lead_to_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let pages = [
        documents(root, false),
        documents(&root.join("docs"), true),
        documents(&root.join("tcpx-experiment"), true),
    ]
    .concat();
    assert!(pages.len() > 80, "{pages:?}");
    let mut links = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = page
                .parent()
                .unwrap()
                .join(target.split('#').next().unwrap());
            assert!(
                file.exists(),
                "{} links to {target}, which is not there",
                page.display()
            );
            links += 1;
        }
    }
    assert!(links > 250, "the reader of links sees {links}");
}
