//! What must never import what, read from `cargo metadata` and from the sources, so that no list
//! can rot.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod modules;

use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates each may use, in any kind of dependency.
const ARROWS: [(&str, &[&str]); 9] = [
    ("tcpx-proto", &[]),
    ("tcpx", &["tcpx-proto"]),
    ("tcpx-cli", &["tcpx", "tcpx-proto"]),
    ("tcpx-client", &["tcpx", "tcpx-cli", "tcpx-proto"]),
    ("tcpx-server", &["tcpx", "tcpx-cli", "tcpx-proto"]),
    ("tcpx-experiment", &["tcpx-proto"]),
    ("tcpx-fuzz", &["tcpx-experiment", "tcpx-proto"]),
    (
        "tcpx-lab",
        &["tcpx", "tcpx-cli", "tcpx-experiment", "tcpx-proto"],
    ),
    (
        "tcpx-tests",
        &[
            "tcpx",
            "tcpx-cli",
            "tcpx-experiment",
            "tcpx-proto",
            "tcpx-lab",
        ],
    ),
];

/// The crates whose modules ARCHITECTURE.md lists.
const LISTED: [&str; 5] = [
    "tcpx-proto",
    "tcpx",
    "tcpx-cli",
    "tcpx-experiment",
    "tcpx-lab",
];

/// What an engine without I/O, clock or chance has no use for, however far down.
const NOT_IN_PROTO: [&str; 12] = [
    "async-std",
    "chrono",
    "fastrand",
    "getrandom",
    "libc",
    "log",
    "mio",
    "rand",
    "rustix",
    "socket2",
    "tokio",
    "tracing",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // What other systems need, a build here has not fetched.
    let arguments = [
        "metadata",
        "--format-version",
        "1",
        "--offline",
        "--filter-platform",
        "host-tuple",
    ];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A package's direct dependencies, by the names that it gives them.
fn direct(metadata: &Value, package: &str) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|p| p["name"] == package && p["source"].is_null())
        .unwrap_or_else(|| panic!("no crate {package}"));
    package["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            d["rename"]
                .as_str()
                .or(d["name"].as_str())
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// Everything that a build of the package links, however far down: normal dependencies alone.
fn linked(metadata: &Value, package: &str) -> BTreeSet<String> {
    let name = |id: &Value| {
        let packages = metadata["packages"].as_array().unwrap();
        packages
            .iter()
            .find(|p| p["id"] == *id)
            .map(|p| p["name"].as_str().unwrap().to_owned())
            .unwrap()
    };
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let graph: HashMap<String, Vec<Value>> = nodes
        .iter()
        .map(|node| {
            let normal = |d: &&Value| {
                d["dep_kinds"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|kind| kind["kind"].is_null())
            };
            (
                node["id"].to_string(),
                node["deps"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(normal)
                    .map(|d| d["pkg"].clone())
                    .collect(),
            )
        })
        .collect();
    let start = nodes
        .iter()
        .map(|node| node["id"].clone())
        .find(|id| name(id) == package)
        .unwrap();
    let (mut found, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(id) = open.pop() {
        for dependency in &graph[&id.to_string()] {
            if found.insert(name(dependency)) {
                open.push(dependency.clone());
            }
        }
    }
    found
}

/// Every Rust file of a room or crate: `NAME.rs` and what is below `NAME/`.
fn sources(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Some(path.with_extension("rs"))
        .into_iter()
        .filter(|file| file.is_file())
        .collect();
    let below = fs::read_dir(path)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    for entry in below {
        if entry.is_dir() {
            files.extend(sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files
}

/// The code of a file: no comments, and nothing from its tests on.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let product = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    product
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn crates_use_only_those_that_the_arrows_allow() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (package, allowed) in ARROWS {
        let used = direct(&metadata, package);
        let wrong: Vec<&String> = used
            .iter()
            .filter(|d| ours.contains(d.as_str()) && !allowed.contains(&d.as_str()))
            .collect();
        assert!(wrong.is_empty(), "{package} must not use {wrong:?}");
    }
    let members = metadata["workspace_members"].as_array().unwrap().len();
    assert_eq!(members, ARROWS.len(), "a crate without a place in ARROWS");
}

/// Every name that a crate's sources, tests, benches and examples have.
fn names(package: &str) -> BTreeSet<String> {
    let home = root().join(if package == "tcpx-tests" {
        "tests"
    } else {
        package
    });
    let files = ["src", "tests", "benches", "examples"].map(|folder| sources(&home.join(folder)));
    files
        .into_iter()
        .flatten()
        .flat_map(|file| modules::names_in(&fs::read_to_string(file).unwrap()))
        .collect()
}

#[test]
fn every_declared_dependency_is_used() {
    let metadata = metadata();
    for (package, _) in ARROWS {
        let names = names(package);
        let unused: Vec<String> = direct(&metadata, package)
            .into_iter()
            .filter(|name| !names.contains(&name.replace('-', "_")))
            .collect();
        assert!(
            unused.is_empty(),
            "{package} declares {unused:?} and does not name it"
        );
    }
}

#[test]
fn proto_links_neither_io_nor_clock_nor_chance() {
    let linked = linked(&metadata(), "tcpx-proto");
    assert!(
        linked.contains("siphasher"),
        "the reader of the graph sees nothing: {linked:?}"
    );
    let wrong: Vec<&str> = NOT_IN_PROTO
        .into_iter()
        .filter(|name| linked.contains(*name))
        .collect();
    assert!(wrong.is_empty(), "tcpx-proto links {wrong:?}");
}

#[test]
fn proto_is_no_std_and_forbids_unsafe() {
    let lib = code(&root().join("tcpx-proto/src/lib.rs"));
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        assert!(lib.contains(attribute), "{attribute} is missing");
    }
    for file in sources(&root().join("tcpx-proto/src")) {
        assert!(
            !code(&file).contains("extern crate std"),
            "{}",
            file.display()
        );
    }
}

/// The sources of a crate that are built into it, by their path below `src`.
fn product(package: &str) -> modules::Sources {
    let src = root().join(package).join("src");
    let relative = |file: &Path| {
        file.strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let files = sources(&src)
        .into_iter()
        .filter(|file| !file.ends_with("tests.rs"));
    files
        .map(|file| (relative(&file), fs::read_to_string(&file).unwrap()))
        .collect()
}

#[test]
fn modules_use_only_those_that_the_arrows_allow() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for package in LISTED {
        let sources = product(package);
        assert!(!sources.is_empty(), "no sources of {package}");
        let breaches = modules::breaches(&sources, &modules::arrows(&page, package));
        assert!(
            breaches.is_empty(),
            "{package}:\n  {}",
            breaches.join("\n  ")
        );
    }
}

#[test]
fn every_file_begins_with_the_sentence_it_answers_to() {
    let crates = [
        "tcpx-proto",
        "tcpx",
        "tcpx-cli",
        "tcpx-client",
        "tcpx-server",
        "tcpx-experiment",
        "tcpx-lab",
        "tests",
    ]
    .map(|name| root().join(name));
    for file in crates.iter().flat_map(|path| sources(path)) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} does not begin with //!",
            file.display()
        );
    }
}
