//! The README's Rust is code that is compiled and run: each block of it stands, but for its indentation, in an example.

use std::fs;
use std::path::Path;

#[test]
fn rust_in_the_readme_stands_in_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let examples =
        fs::read_dir(root.join("tcpx/examples")).unwrap().map(|entry| plain(&fs::read_to_string(entry.unwrap().path()).unwrap()));
    let examples: Vec<String> = examples.collect();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut blocks = readme.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).peekable();
    assert!(blocks.peek().is_some(), "the reader of the README sees nothing");
    for block in blocks {
        assert!(examples.iter().any(|example| example.contains(&plain(block))), "in no example:\n{block}");
    }
}

/// Without indentation.
fn plain(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim())).collect()
}
