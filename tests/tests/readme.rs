//! The README's Rust compiles and runs as it stands; the links of all documents lead somewhere.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The README's Rust in a crate outside the workspace that depends on `tcpx` and tokio alone.
#[test]
fn rust_in_the_readme_compiles_and_runs_in_a_crate_of_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let blocks: Vec<&str> = readme
        .split("```rust\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!blocks.is_empty(), "the reader of the README sees nothing");
    let own = fs::read_to_string(root.join("tcpx/README.md")).unwrap();
    assert!(
        blocks.iter().all(|block| own.contains(block)),
        "tcpx/README.md has another example"
    );
    let outside = std::env::temp_dir().join(format!("tcpx-readme-{}", std::process::id()));
    fs::create_dir_all(outside.join("src")).unwrap();
    let tcpx = root.join("tcpx");
    let manifest = format!(
        "[package]\nname = \"outside\"\nedition = \"2024\"\n\n[dependencies]\n\
         tcpx = {{ path = {tcpx:?} }}\n\
         tokio = {{ version = \"1\", features = [\"full\", \"test-util\"] }}\n\n\
         [profile.dev]\ndebug = \"line-tables-only\"\n\n\
         [profile.dev.package.tcpx-proto]\nopt-level = 1\n"
    );
    fs::write(outside.join("Cargo.toml"), manifest).unwrap();
    fs::write(outside.join("src/lib.rs"), blocks.concat()).unwrap();
    // The same versions as here: nothing is fetched.
    fs::copy(root.join("Cargo.lock"), outside.join("Cargo.lock")).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--offline", "--target-dir"])
        .arg(root.join("target/outside"))
        .current_dir(&outside)
        .output()
        .unwrap();
    fs::remove_dir_all(&outside).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("1 passed"), "{said}");
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
