//! `make differential`: plays random cases to the kernel and to tcpx until a count or a time is
//! reached, and prints each difference as a case that can be replayed.

use std::io::{self, Read};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tcpx_proto::lexer::{Word, duration};
use tcpx_tests::differential::case::Case;
use tcpx_tests::differential::generate;
use tcpx_tests::differential::judge::{Judge, Progress, SLOW};
use tcpx_tests::differential::side::Pace;

const USAGE: &str = "usage: differential [SEED=number] [COUNT=cases | DURATION=10m] [CASE=file]
  CASE: replays instead the case in a file (-: standard input), or the case of this number of SEED
  SLOW=1: 100 ms between all steps";

/// The longest DURATION.
const DAY: Duration = Duration::from_secs(86_400);

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("differential: {error}");
            ExitCode::from(2)
        }
    }
}

#[derive(Default)]
struct Options {
    seed: Option<u64>,
    count: Option<u64>,
    duration: Option<Duration>,
    case: Option<String>,
    slow: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options::default();
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').ok_or(USAGE)?;
        let number = || {
            value
                .parse()
                .map_err(|_| format!("{argument}: not a number"))
        };
        match name {
            _ if value.is_empty() => {}
            "SEED" => options.seed = Some(number()?),
            "COUNT" => options.count = Some(number()?),
            "DURATION" => {
                let time = duration(Word::whole(value), DAY)
                    .map_err(|error| format!("{argument}: {error}"))?;
                options.duration = Some(time);
            }
            "CASE" => options.case = Some(value.to_owned()),
            "SLOW" => options.slow = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

fn run() -> io::Result<ExitCode> {
    let options = options().map_err(io::Error::other)?;
    let mut judge = Judge::new()?;
    if let Some(case) = &options.case {
        let case = read_case(case, options.seed)?;
        return replay(&mut judge, case, options.slow);
    }
    let seed = match options.seed {
        Some(seed) => seed,
        None => tcpx::host::random_seed()? >> 32,
    };
    let count = match (options.count, options.duration) {
        (None, None) => 20_000,
        (count, _) => count.unwrap_or(u64::MAX),
    };
    judge.slow = options.slow;
    judge.until = options.duration.map(|duration| Instant::now() + duration);
    println!("seed {seed}");
    let mut progress = Progress::default();
    let report = judge.run(seed, |report| {
        progress.show(report);
        let late = options
            .duration
            .is_some_and(|duration| progress.elapsed() >= duration);
        report.cases < count && !late
    })?;
    println!();
    for finding in &report.findings {
        println!(
            "unexplained: case {}, {} like it",
            finding.number, finding.count
        );
    }
    for (name, count) in &report.known {
        println!("known: {name}: {count}");
    }
    println!("seed {seed}: {}", progress.line(&report));
    Ok(ExitCode::from(u8::from(!report.findings.is_empty())))
}

/// The case in a file, or the one with a number.
fn read_case(name: &str, seed: Option<u64>) -> io::Result<Case> {
    if let (Some(seed), Ok(number)) = (seed, name.parse()) {
        return Ok(generate::case(seed, number));
    }
    let mut text = String::new();
    match name {
        "-" => _ = io::stdin().read_to_string(&mut text)?,
        _ => text = std::fs::read_to_string(name)?,
    }
    let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
    let case = lines.collect::<Vec<_>>().join("\n").parse();
    case.map_err(io::Error::other)
}

fn replay(judge: &mut Judge, case: Case, slow: bool) -> io::Result<ExitCode> {
    let pace = match slow {
        true => SLOW,
        false => Pace::Fast,
    };
    let played = judge.play(&[case], pace)?;
    for played in &played {
        println!("{played}");
        if let Some(name) = played.known() {
            println!("known: {name}");
        }
    }
    let differ = played.iter().any(|played| played.difference.is_some());
    Ok(ExitCode::from(u8::from(differ)))
}
