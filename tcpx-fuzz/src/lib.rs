//! Fuzz targets as plain functions: each takes any bytes, and panics where something does not hold.
//!
//! `fuzz/` has a main for each, which libFuzzer drives (`make fuzz`), and a corpus of seeds for
//! each. `tests/short.rs` runs each target on its corpus and on mutations of it, with a fixed seed:
//! that needs neither libFuzzer nor a nightly compiler.

pub mod bytes;
pub mod capture;
pub mod engine;
pub mod events;
pub mod experiment;
pub mod fault;
pub mod memory;
pub mod mutator;
pub mod parser;
pub mod script;

use mutator::{Random, mutate};
use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

/// A function that takes any bytes, and where its seeds are.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its main, and of its corpus in `fuzz/corpus`.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    /// More seeds, from the root of the repository.
    pub more_seeds: &'static [&'static str],
    /// How many mutations the run in `make test` tries, on top of the corpus.
    pub short: u64,
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "parser",
        run: parser::run,
        more_seeds: &[],
        short: 300_000,
    },
    Target {
        name: "engine",
        run: engine::run,
        more_seeds: &[],
        short: 4000,
    },
    Target {
        name: "fault",
        run: fault::run,
        more_seeds: &[],
        short: 20_000,
    },
    Target {
        name: "script",
        run: script::run,
        more_seeds: &[],
        short: 4000,
    },
    Target {
        name: "experiment",
        run: experiment::run,
        more_seeds: &["tcpx-experiment/experiments"],
        short: 250,
    },
    Target {
        name: "events",
        run: events::run,
        more_seeds: &[],
        short: 2000,
    },
    Target {
        name: "capture",
        run: capture::run,
        more_seeds: &[],
        short: 1500,
    },
];

/// What a target panicked on.
#[derive(Debug)]
pub struct Finding {
    /// Which input it was.
    pub what: String,
    /// The input.
    pub input: Vec<u8>,
}

impl Target {
    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Runs it on each of these inputs, and then on mutations of them that follow from `seed`, as
    /// long as `goes_on` says so of the number of those. Returns that number.
    ///
    /// # Errors
    /// The first input that it panics on.
    pub fn survives(
        &self,
        seeds: &[(PathBuf, Vec<u8>)],
        seed: u64,
        mut goes_on: impl FnMut(u64) -> bool,
    ) -> Result<u64, Finding> {
        for (path, input) in seeds {
            self.survives_one(input, || path.display().to_string())?;
        }
        let seeds: Vec<&[u8]> = seeds.iter().map(|(_, seed)| &seed[..]).collect();
        let mut random = Random(seed);
        let mut input = Vec::new();
        let mut number = 0;
        while goes_on(number) {
            mutate(&mut random, &seeds, &mut input);
            self.survives_one(&input, || format!("mutation {number} of seed {seed}"))?;
            number += 1;
        }
        Ok(number)
    }

    fn survives_one(&self, input: &[u8], what: impl FnOnce() -> String) -> Result<(), Finding> {
        let run = AssertUnwindSafe(|| (self.run)(input));
        panic::catch_unwind(run).map_err(|_shown| Finding {
            what: what(),
            input: input.to_vec(),
        })
    }

    /// Its seeds, in the order of their paths.
    ///
    /// # Errors
    /// A directory or a file cannot be read.
    pub fn seeds(&self) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let own = root.join("fuzz/corpus").join(self.name);
        let more = self.more_seeds.iter().map(|path| root.join(path));
        let mut files = Vec::new();
        for directory in [own].into_iter().chain(more) {
            for entry in fs::read_dir(directory)? {
                files.push(entry?.path());
            }
        }
        files.sort();
        files
            .into_iter()
            .map(|path| fs::read(&path).map(|bytes| (path, bytes)))
            .collect()
    }
}
