//! Each target on its corpus, and on mutations of it that a fixed seed draws: the same inputs each
//! time, without libFuzzer.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{self, Write};
use std::time::Instant;
use tcpx_fuzz::{Finding, Target};

const SEED: u64 = 1;

fn short(name: &str) {
    let target = Target::named(name).unwrap();
    let start = Instant::now();
    let seeds = target.seeds().unwrap();
    assert!(!seeds.is_empty(), "no corpus");
    let survived = target.survives(&seeds, SEED, |number| number < target.short);
    if let Err(Finding { what, input }) = survived {
        panic!("{name} panics on {what}: {}", input.escape_ascii());
    }
    let line = format!(
        "{name}: {} seeds and {} mutations of them (seed {SEED}) in {:.1} s\n",
        seeds.len(),
        target.short,
        start.elapsed().as_secs_f64()
    );
    // Not by a macro: a test's output would be kept back.
    io::stderr().write_all(line.as_bytes()).unwrap();
}

#[test]
fn parser_survives_its_corpus_and_mutations() {
    short("parser");
}

#[test]
fn engine_survives_its_corpus_and_mutations() {
    short("engine");
}

#[test]
fn fault_language_survives_its_corpus_and_mutations() {
    short("fault");
}

#[test]
fn script_language_survives_its_corpus_and_mutations() {
    short("script");
}

#[test]
fn experiment_file_survives_its_corpus_and_mutations() {
    short("experiment");
}

#[test]
fn events_file_survives_its_corpus_and_mutations() {
    short("events");
}

#[test]
fn capture_survives_its_corpus_and_mutations() {
    short("capture");
}
