//! Each crate can be packaged, with a page and the words by which it is found.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn cargo(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root)
        .output()
        .unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complained}");
    output
}

#[test]
fn workspace_is_packaged() {
    let target = ["--target-dir", "target/outside"];
    let package = [
        "package",
        "--workspace",
        "--no-verify",
        "--allow-dirty",
        "--offline",
    ];
    cargo(&[&package[..], &target].concat());
}

#[test]
fn each_published_crate_has_a_page_and_words() {
    let output = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ]);
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let published: Vec<&Value> = packages
        .iter()
        .filter(|package| package["publish"].is_null())
        .collect();
    assert!(published.len() >= 7, "{published:?}");
    for package in published {
        let name = &package["name"];
        for key in ["readme", "description", "license", "documentation"] {
            assert!(package[key].is_string(), "{name} has no {key}");
        }
        for key in ["keywords", "categories"] {
            assert!(
                !package[key].as_array().unwrap().is_empty(),
                "{name} has no {key}"
            );
        }
    }
}
