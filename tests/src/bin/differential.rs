//! `make differential`: plays random cases to the kernel and to tcpx until a count or a time is
//! reached, and prints each difference as a case that can be replayed.

use std::io::{self, Read};
use std::process::ExitCode;
use std::time::Duration;
use tcpx_proto::lexer::{Word, duration};
use tcpx_tests::differential::case::Case;
use tcpx_tests::differential::judge::{Judge, Progress, SLOW};
use tcpx_tests::differential::side::Pace;

const USAGE: &str = "usage: differential [SEED=number] [COUNT=cases | DURATION=10m] [CASE=file]
  CASE: replays the case in a file (-: standard input) instead; SLOW=1: 100 ms between all steps";

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
    if let Some(file) = options.case {
        return replay(&mut judge, &file, options.slow);
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

fn replay(judge: &mut Judge, file: &str, slow: bool) -> io::Result<ExitCode> {
    let mut text = String::new();
    match file {
        "-" => _ = io::stdin().read_to_string(&mut text)?,
        _ => text = std::fs::read_to_string(file)?,
    }
    let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
    let case: Case = (lines.collect::<Vec<_>>().join("\n"))
        .parse()
        .map_err(io::Error::other)?;
    let pace = match slow {
        true => SLOW,
        false => Pace::Fast,
    };
    let played = judge.play(&[case], pace)?;
    for played in &played {
        println!("{played}");
    }
    let differ = played.iter().any(|played| played.difference.is_some());
    Ok(ExitCode::from(u8::from(differ)))
}
