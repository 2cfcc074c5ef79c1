//! Runs a fuzz target on mutations of its corpus for a time: many more inputs a second than
//! libFuzzer, and no search. `make fuzz` runs it on what libFuzzer has found, too.
//!
//! usage: mutations TARGET SEED SECONDS ARTIFACTS [CORPUS..]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, error, fs};
use tcpx_fuzz::{Finding, Target};

fn main() -> Result<ExitCode, Box<dyn error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, seed, seconds, artifacts, corpora @ ..] = arguments.as_slice() else {
        return Err("usage: mutations TARGET SEED SECONDS ARTIFACTS [CORPUS..]".into());
    };
    let target = Target::named(name).ok_or("no such target")?;
    let mut seeds = target.seeds()?;
    for corpus in corpora {
        seeds.extend(files(Path::new(corpus))?);
    }
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    // The clock is not read for each of a million inputs a second.
    let goes_on = |number| number % 64 != 0 || Instant::now() < end;
    match target.survives(&seeds, seed.parse()?, goes_on) {
        Ok(number) => {
            println!("{number} inputs");
            Ok(ExitCode::SUCCESS)
        }
        Err(Finding { what, input }) => {
            let path = Path::new(artifacts).join(format!("mutation-{seed}"));
            fs::write(&path, input)?;
            println!("{name} panics on {what}: {}", path.display());
            Ok(ExitCode::FAILURE)
        }
    }
}

fn files(directory: &Path) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let paths = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    let read = |path: PathBuf| fs::read(&path).map(|bytes| (path, bytes));
    paths.into_iter().map(read).collect()
}
