//! Lists `experiments/*.toml`, so that adding an experiment takes a file and nothing else.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let directory =
        Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("experiments");
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut files: Vec<_> = fs::read_dir(&directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    let mut list =
        String::from("/// Path and text of each.\nconst BUILT_IN: &[(&str, &str)] = &[\n");
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let _infallible = writeln!(
            list,
            "    (\"experiments/{name}\", include_str!({:?})),",
            file
        );
    }
    list.push_str("];\n");
    fs::write(
        Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("experiments.rs"),
        list,
    )
}
