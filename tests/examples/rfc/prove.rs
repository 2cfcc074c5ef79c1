//! Breaks tagged statements, one at a time, in a copy of the sources, and runs the tests that the
//! requirement names: at least one must fail.

use crate::mutate::{Mutation, mutations};
use crate::tags::{Place, Tags};
use crate::variable;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A test that takes longer hangs, which is a failure.
const PATIENCE: Duration = Duration::from_secs(180);

/// A place in the code, one of its requirements, and the tests that prove that.
struct Case<'a> {
    place: &'a Place,
    id: &'a str,
    tests: Vec<&'a Place>,
}

enum Verdict {
    /// This test failed, after this change.
    Noticed { test: String, change: String },
    /// Every test passed, after this change.
    Survived { change: String },
    /// No change of the place compiles.
    Rigid,
}

/// `SEED`, `COUNT` (a number, or `all`), and `ID` choose the places.
pub(crate) fn main(root: &Path, tags: &Tags) -> ExitCode {
    let seed = variable("SEED")
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    let count = match variable("COUNT").as_deref() {
        Some("all") => usize::MAX,
        count => count.and_then(|count| count.parse().ok()).unwrap_or(10),
    };
    let cases = choose(tags, seed, count, variable("ID").as_deref());
    println!("SEED={seed}: {} places", cases.len());
    let workshop = Workshop::open(root);
    let mut faults = workshop.check(&cases);
    for case in &cases {
        let Case { place, id, .. } = case;
        let head = format!("{id} at {}:{} ({})", place.file, place.line, place.function);
        match workshop.prove(case) {
            Verdict::Noticed { test, change } => {
                println!("ok       {head}: {change}: {test} fails")
            }
            Verdict::Survived { change } => {
                faults += 1;
                let tests: Vec<&str> = case.tests.iter().map(|it| it.function.as_str()).collect();
                println!("SURVIVED {head}: {change}: {} passes", tests.join(", "));
            }
            Verdict::Rigid => {
                faults += 1;
                println!("RIGID    {head}: no change of it compiles");
            }
        }
    }
    println!("{} places, {faults} faults", cases.len());
    ExitCode::from(u8::from(faults > 0))
}

/// `count` cases at different places, chosen by the seed; with `ids` only these requirements.
fn choose<'a>(tags: &'a Tags, seed: u64, count: usize, ids: Option<&str>) -> Vec<Case<'a>> {
    let mut cases: Vec<(u64, Case<'_>)> = Vec::new();
    for place in &tags.code {
        for id in &place.ids {
            let tests = tags.tests_of(id);
            let wanted = ids.is_none_or(|ids| ids.split([',', ' ']).any(|it| it == id));
            if wanted && !tests.is_empty() {
                let name = format!("{} {} {id}", place.file, place.function);
                let rank = mix(seed, &format!("{name} {}", cases.len()));
                cases.push((rank, Case { place, id, tests }));
            }
        }
    }
    cases.sort_by_key(|(rank, _)| *rank);
    let mut places = BTreeSet::new();
    let all = count == usize::MAX;
    let mut cases: Vec<Case<'_>> = cases
        .into_iter()
        .map(|(_, case)| case)
        .filter(|case| places.insert(case.place) || all)
        .take(count)
        .collect();
    // The fewest rebuilds.
    cases.sort_by_key(|case| case.place);
    cases
}

/// A hash (FNV-1a with a final mix) of the seed and a name.
fn mix(seed: u64, name: &str) -> u64 {
    let hash = seed
        .to_le_bytes()
        .iter()
        .chain(name.as_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// A copy of the sources, removed at the end, also by SIGINT and SIGTERM; and a target directory of
/// its own, which stays.
struct Workshop {
    tree: PathBuf,
    build: PathBuf,
    running: Arc<Mutex<Option<u32>>>,
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.tree);
    }
}

/// What came of a run of cargo.
struct Ran {
    success: bool,
    output: String,
}

impl Workshop {
    fn open(root: &Path) -> Workshop {
        let home = root.join("target/rfc-prove");
        let tree = home.join(format!("tree-{}", std::process::id()));
        let workshop = Workshop {
            build: home.join("build"),
            running: Arc::default(),
            tree,
        };
        workshop.clean_up_when_told();
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name != "target" && name != ".git" {
                copy(&entry.path(), &workshop.tree.join(name));
            }
        }
        workshop
    }

    fn clean_up_when_told(&self) {
        let tree = self.tree.clone();
        let running = Arc::clone(&self.running);
        std::thread::spawn(move || {
            use tokio::signal::unix::{SignalKind, signal};
            let wait = async {
                let (Ok(mut interrupt), Ok(mut terminate)) = (
                    signal(SignalKind::interrupt()),
                    signal(SignalKind::terminate()),
                ) else {
                    return std::future::pending().await;
                };
                tokio::select! {
                    _ = interrupt.recv() => 130,
                    _ = terminate.recv() => 143,
                }
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build();
            let Ok(runtime) = runtime else { return };
            let status = runtime.block_on(wait);
            if let Ok(running) = running.lock() {
                running.map(kill);
                let _ = fs::remove_dir_all(&tree);
                std::process::exit(status);
            }
        });
    }

    /// Runs the tests of the cases on the sources as they are. Returns how many do not pass.
    fn check(&self, cases: &[Case<'_>]) -> usize {
        let tests: BTreeSet<&Place> = cases.iter().flat_map(|case| case.tests.clone()).collect();
        let mut faults = 0;
        let targets: BTreeSet<Vec<String>> = tests.iter().map(|test| target(&test.file)).collect();
        for target_of in targets {
            let mine: Vec<&&Place> = tests
                .iter()
                .filter(|test| target(&test.file) == target_of)
                .collect();
            let names: Vec<&str> = mine.iter().map(|test| test.function.as_str()).collect();
            let ran = self.cargo(&target_of, &names, PATIENCE * 4);
            for test in mine {
                if !has(&ran.output, &test.function, "ok") {
                    faults += 1;
                    println!(
                        "FAULT    {} {}: it does not pass as it is",
                        test.file, test.function
                    );
                }
            }
        }
        faults
    }

    /// Breaks a place in one way after another until that compiles.
    fn prove(&self, case: &Case<'_>) -> Verdict {
        let file = self.tree.join(&case.place.file);
        let Ok(text) = fs::read_to_string(&file) else {
            return Verdict::Rigid;
        };
        let after: usize = text
            .split_inclusive('\n')
            .take(case.place.line)
            .map(str::len)
            .sum();
        let mut verdict = Verdict::Rigid;
        for mutation in mutations(&text, after) {
            if fs::write(&file, mutation.apply(&text)).is_err() {
                break;
            }
            if let Some(found) = self.run_on(case, &mutation, &text) {
                verdict = found;
                break;
            }
        }
        let _ = fs::write(&file, &text);
        verdict
    }

    /// `None`: it does not compile.
    fn run_on(&self, case: &Case<'_>, mutation: &Mutation, text: &str) -> Option<Verdict> {
        let change = mutation.describe(text);
        for test in &case.tests {
            let target = target(&test.file);
            let mut build = target.clone();
            build.push(String::from("--no-run"));
            if !self.cargo(&build, &[], PATIENCE * 4).success {
                return None;
            }
            let ran = self.cargo(&target, &[&test.function], PATIENCE);
            if !ran.success {
                let test = format!("{} {}", test.file, test.function);
                return Some(Verdict::Noticed { test, change });
            }
        }
        Some(Verdict::Survived { change })
    }

    fn cargo(&self, target: &[String], names: &[&str], patience: Duration) -> Ran {
        let failed = Ran {
            success: false,
            output: String::new(),
        };
        let log = self.tree.join("rfc-prove.log");
        let Ok(file) = fs::File::create(&log) else {
            return failed;
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // A broken program may not take the machine's memory.
        let limit = if names.is_empty() {
            ""
        } else {
            "ulimit -v 4194304; "
        };
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{limit}exec \"$@\""), "sh"])
            .arg(cargo)
            .args(["test", "--offline", "--config", "profile.dev.debug=0"])
            .args(target)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.build)
            .stdout(file)
            .stderr(Stdio::null())
            .process_group(0);
        if !names.is_empty() {
            command.arg("--").args(names);
        }
        let Ok(mut child) = self.start(&mut command) else {
            return failed;
        };
        let success = wait(&mut child, patience);
        if let Ok(mut running) = self.running.lock() {
            *running = None;
        }
        Ran {
            success,
            output: fs::read_to_string(&log).unwrap_or_default(),
        }
    }

    fn start(&self, command: &mut Command) -> std::io::Result<Child> {
        let mut running = self
            .running
            .lock()
            .map_err(|_| std::io::Error::other("poisoned"))?;
        let child = command.spawn()?;
        *running = Some(child.id());
        Ok(child)
    }
}

/// Whether a child ends well within this time; it is killed if it does not end.
fn wait(child: &mut Child, patience: Duration) -> bool {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => {
                kill(child.id());
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// Kills the process group of a child.
fn kill(group: u32) {
    if let Some(pid) = i32::try_from(group)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

/// Whether this output has a test of this name with this end.
fn has(output: &str, name: &str, end: &str) -> bool {
    output.lines().any(|line| {
        line.strip_prefix("test ")
            .and_then(|line| line.split_once(" ... "))
            .is_some_and(|(path, result)| path.rsplit("::").next() == Some(name) && result == end)
    })
}

/// Cargo's arguments for the tests of a file.
fn target(file: &str) -> Vec<String> {
    let mut parts = file.split('/');
    let directory = parts.next().unwrap_or_default();
    let package = if directory == "tests" {
        "tcpx-tests"
    } else {
        directory
    };
    let mut arguments = vec![String::from("-p"), package.to_owned()];
    match (parts.next(), parts.next()) {
        (Some("tests"), Some(name)) => {
            let name = name.strip_suffix(".rs").unwrap_or(name);
            arguments.extend([String::from("--test"), name.to_owned()]);
        }
        _ => arguments.push(String::from("--lib")),
    }
    arguments
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        let _ = fs::create_dir_all(to);
        for entry in fs::read_dir(from).into_iter().flatten().flatten() {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else if let Some(parent) = to.parent() {
        let _ = fs::create_dir_all(parent);
        let _ = fs::copy(from, to);
    }
}
