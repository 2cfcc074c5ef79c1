//! Programs killed at random moments from exec to exit, each in a network namespace of its own:
//! which rules are left at once, when the last process is gone, and after the next start.
//!
//! `make test-guard COUNT=1000 SEED=7` sets the number of kills and repeats a choice of them; the
//! moment is chosen, but what the program does at that moment depends on the machine.

use crate::harness::{Ended, Host, Program, Signal, built, installed, skip, try_until};
use rustix::process::{Pid, kill_process, kill_process_group};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tcpx::netns::Namespace;

/// Kills in `make test`.
const FEW: u64 = 12;
/// The programs that implement `iptables`.
const BACKENDS: [&str; 2] = ["iptables-nft", "iptables-legacy"];
const ADDRESS: &str = "127.0.0.1:7000";

/// Which processes a kill hits at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Victims {
    Program,
    Group,
    /// The program and its watchdog, in either order.
    Watchdog,
    /// All processes of the namespace, until none is left: what `cgroup.kill` does.
    Everything,
}

/// How long after which event.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Exec(Duration),
    Listening(Duration),
    Request(Duration),
}

#[derive(Clone, Copy, Debug)]
struct Kill {
    nth: u64,
    client: bool,
    guard: &'static str,
    backend: &'static str,
    victims: Victims,
    watchdog_first: bool,
    signal: Signal,
    moment: Moment,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next() as usize % from.len()]
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.next() as f64 / u64::MAX as f64)
    }
}

impl Kill {
    /// The kill with this number; `start` is how long a program takes to put its guard up.
    fn choose(seed: u64, nth: u64, start: Duration, backends: &[&'static str]) -> Kill {
        let mut random = Random(seed ^ nth.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let all = [
            Victims::Program,
            Victims::Group,
            Victims::Watchdog,
            Victims::Everything,
        ];
        let client = random.pick(&[true, false, false, false]);
        let moment = match random.next() % 4 {
            _ if client => Moment::Exec(random.up_to(start * 2)),
            0 | 1 => Moment::Exec(random.up_to(start + start / 4)),
            2 => Moment::Listening(random.up_to(Duration::from_millis(20))),
            _ => Moment::Request(random.up_to(start)),
        };
        Kill {
            nth,
            client,
            guard: random.pick(&["iptables", "auto"]),
            // In turn: each pair as often as any other.
            backend: backends[nth as usize % backends.len()],
            victims: all[nth as usize / 2 % 4],
            watchdog_first: random.pick(&[true, false]),
            signal: random.pick(&[Signal::KILL, Signal::KILL, Signal::TERM, Signal::INT]),
            moment,
        }
    }

    /// Whether a rule may stay until the next start: nothing is left that could remove it.
    fn may_leave_a_rule(&self) -> bool {
        self.victims >= Victims::Watchdog
    }
}

/// What starts after a rule was left.
const FOLLOWERS: [(&str, &str); 7] = [
    ("tcpx-server", "auto"),
    ("tcpx-server", "iptables"),
    ("tcpx-server", "listener"),
    ("tcpx-server", "none"),
    ("tcpx-client", "auto"),
    ("tcpx-client", "listener"),
    ("tcpx-lab", "clean-rules"),
];

/// One namespace, and an `iptables` of its own in front of the PATH.
struct Place {
    host: Host,
    path: String,
    lock: PathBuf,
}

impl Place {
    fn new(directory: &Path, backend: &str) -> std::io::Result<Place> {
        let tools = directory.join(backend);
        Ok(Place {
            host: Host::within(Namespace::new()?, Ipv4Addr::LOCALHOST),
            path: format!("{}:{}", tools.display(), std::env::var("PATH").unwrap()),
            lock: directory.join(format!("lock-{:?}", std::thread::current().id())),
        })
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.host.command(program);
        // The file is the same in all namespaces; each of these has its own, as machines have.
        command
            .env("PATH", &self.path)
            .env("XTABLES_LOCKFILE", &self.lock);
        command
    }

    fn tcpx(&self, program: &str, guard: &str) -> Command {
        let mut command = self.command(built(program));
        match (program, guard) {
            (_, "clean-rules") => command.arg(guard),
            ("tcpx-client", _) => command.args(["127.0.0.1:9", "--rst-guard", guard]),
            _ => command.args([ADDRESS, "--rst-guard", guard]),
        };
        command.process_group(0);
        command
    }

    fn rules(&self) -> Vec<String> {
        let output = self
            .command("iptables")
            .args(["-w", "-S", "OUTPUT"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .skip(1)
            .map(str::to_owned)
            .collect()
    }

    /// The processes in this namespace.
    fn processes(&self) -> Vec<Pid> {
        let own = self.host.namespace().unwrap().fd().as_raw_fd();
        let own = fs::read_link(format!("/proc/self/fd/{own}")).unwrap();
        let here = |process: &fs::DirEntry| {
            fs::read_link(process.path().join("ns/net")).is_ok_and(|there| there == own)
                && !fs::read_to_string(process.path().join("stat"))
                    .is_ok_and(|stat| stat.contains(") Z "))
        };
        let pid =
            |process: fs::DirEntry| Pid::from_raw(process.file_name().to_str()?.parse().ok()?);
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(here)
            .filter_map(pid)
            .collect()
    }

    fn strike(&self, kill: &Kill, program: &Program) {
        let kill_all = |pids: Vec<Pid>| {
            for pid in pids {
                _ = kill_process(pid, Signal::KILL);
            }
        };
        // It may have ended by itself.
        match kill.victims {
            Victims::Program => _ = kill_process(program.pid(), kill.signal),
            Victims::Group => _ = kill_process_group(program.pid(), kill.signal),
            Victims::Watchdog if kill.watchdog_first => {
                kill_all(children(program.pid()));
                _ = kill_process(program.pid(), kill.signal);
            }
            Victims::Watchdog => {
                let watchdogs = children(program.pid());
                _ = kill_process(program.pid(), kill.signal);
                kill_all(watchdogs);
            }
            Victims::Everything => {
                _ = kill_process(program.pid(), Signal::KILL);
                while let pids @ [_, ..] = &self.processes()[..] {
                    kill_all(pids.to_vec());
                }
            }
        }
    }
}

fn children(of: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{of}/task"))
        .into_iter()
        .flatten();
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            let pids = text.split_whitespace().filter_map(|pid| pid.parse().ok());
            pids.filter_map(Pid::from_raw).collect::<Vec<_>>()
        })
        .collect()
}

/// What was left.
#[derive(Clone, Copy, Default)]
struct Tally {
    kills: u64,
    at_once: u64,
    after_the_last_process: u64,
    after_the_next_start: u64,
}

#[derive(Default)]
struct Report {
    tallies: BTreeMap<(Victims, &'static str), Tally>,
    followers: BTreeMap<(&'static str, &'static str), u64>,
    signals: BTreeMap<i32, u64>,
    mistakes: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:<16} {:>5} {:>8} {:>19} {:>17}",
            "killed", "iptables", "kills", "at once", "after last process", "after next start"
        )?;
        for ((victims, backend), tally) in &self.tallies {
            writeln!(
                f,
                "{:<12} {backend:<16} {:>5} {:>8} {:>19} {:>17}",
                format!("{victims:?}"),
                tally.kills,
                tally.at_once,
                tally.after_the_last_process,
                tally.after_the_next_start
            )?;
        }
        let signals: Vec<_> = self
            .signals
            .iter()
            .map(|(signal, count)| format!("{count} by signal {signal}"))
            .collect();
        writeln!(f, "{}", signals.join(", "))?;
        for ((program, guard), count) in &self.followers {
            writeln!(
                f,
                "started after a rule was left: {program} {guard}: {count}"
            )?;
        }
        Ok(())
    }
}

impl Report {
    fn tally(&mut self, kill: &Kill) -> &mut Tally {
        self.tallies
            .entry((kill.victims, kill.backend))
            .or_default()
    }
}

/// Starts a program, kills it, and looks at what is left.
fn round(place: &Place, kill: &Kill, report: &Mutex<Report>) {
    let name = if kill.client {
        "tcpx-client"
    } else {
        "tcpx-server"
    };
    let mut program = Program::start(&mut place.tcpx(name, kill.guard));
    match kill.moment {
        Moment::Exec(wait) => std::thread::sleep(wait),
        Moment::Listening(wait) => {
            program.wait_for("listening on");
            std::thread::sleep(wait);
        }
        Moment::Request(wait) => {
            program.wait_for("listening on");
            program.signal(Signal::TERM);
            std::thread::sleep(wait);
        }
    }
    place.strike(kill, &program);
    let Ended { stderr, .. } = program.finish();
    let at_once = place.rules().len() as u64;
    let ended = try_until(|| place.processes().is_empty().then_some(()));
    let left = place.rules();
    let mut mistakes = Vec::new();
    if ended.is_none() {
        mistakes.push(format!("{:?} did not end", place.processes()));
    }
    if !left.is_empty() && !kill.may_leave_a_rule() {
        mistakes.push(format!("left {left:?}"));
    }
    if left.len() > 1 {
        mistakes.push(format!("left more than one: {left:?}"));
    }
    let mut after = 0;
    // A program that finds nothing starts, too: now and then.
    if !left.is_empty() || kill.nth.is_multiple_of(16) {
        let follower = FOLLOWERS[(kill.nth / 2) as usize % FOLLOWERS.len()];
        let remaining = follow(place, follower, &left);
        after = remaining.len() as u64;
        if after > 0 {
            mistakes.push(format!("after {follower:?}: {remaining:?}"));
        }
        if !left.is_empty() {
            *report
                .lock()
                .unwrap()
                .followers
                .entry(follower)
                .or_default() += 1;
        }
    }
    let mut report = report.lock().unwrap();
    *report.signals.entry(kill.signal.as_raw()).or_default() += 1;
    let tally = report.tally(kill);
    tally.kills += 1;
    tally.at_once += at_once;
    tally.after_the_last_process += left.len() as u64;
    tally.after_the_next_start += after;
    let lines = mistakes
        .iter()
        .map(|mistake| format!("{kill:?}: {mistake}\n{stderr}"));
    report.mistakes.extend(lines);
}

/// The next start; what it leaves of the old rules while it runs, or of any when it has ended.
fn follow(place: &Place, (program, guard): (&str, &str), old: &[String]) -> Vec<String> {
    let mut next = Program::start(&mut place.tcpx(program, guard));
    let mut remaining = Vec::new();
    if program == "tcpx-server" {
        next.wait_for("listening on");
        remaining = place.rules();
        remaining.retain(|rule| old.contains(rule));
        next.signal(Signal::TERM);
    }
    next.finish();
    remaining.extend(place.rules());
    remaining
}

/// How long a server takes to put up its guard here, now.
fn time_to_listen(place: &Place) -> Duration {
    let began = Instant::now();
    let mut server = Program::start(&mut place.tcpx("tcpx-server", "iptables"));
    server.wait_for("listening on");
    let took = began.elapsed();
    server.end_by(Signal::TERM);
    took
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .filter(|text| !text.is_empty())
        .map(|text| {
            text.parse()
                .unwrap_or_else(|_| panic!("{name}={text}: expected a number"))
        })
}

#[test]
fn programs_killed_at_random_moments_leave_no_rule_that_the_next_start_leaves() {
    let backends: Vec<_> = BACKENDS
        .into_iter()
        .filter(|name| installed(name))
        .collect();
    if backends.is_empty() {
        return skip("netns", &format!("none of {BACKENDS:?} here"));
    }
    let directory = std::env::temp_dir().join(format!("tcpx-kills-{}", std::process::id()));
    for backend in &backends {
        fs::create_dir_all(directory.join(backend)).unwrap();
        symlink(which(backend), directory.join(backend).join("iptables")).unwrap();
    }
    let place = match Place::new(&directory, backends[0]) {
        Ok(place) => place,
        Err(error) => return skip("netns", &format!("no network namespace: {error}")),
    };
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = number("SEED").unwrap_or(clock.unwrap().as_micros() as u64);
    let count = number("COUNT").unwrap_or(FEW);
    let workers = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    let start = time_to_listen(&place) * 2;
    let next = AtomicU64::new(0);
    let report = Mutex::new(Report::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= count {
                        return;
                    }
                    let kill = Kill::choose(seed, nth, start, &backends);
                    let place = Place::new(&directory, kill.backend).unwrap();
                    round(&place, &kill, &report);
                }
            });
        }
    });
    let report = report.into_inner().unwrap();
    println!(
        "{count} kills, SEED={seed}, {workers} at a time, start {start:?}, in {:?}\n{report}",
        began.elapsed()
    );
    fs::remove_dir_all(&directory).unwrap();
    assert!(
        report.mistakes.is_empty(),
        "SEED={seed}\n{}",
        report.mistakes.join("\n")
    );
}

/// Where a program is that is [`installed`].
fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
        .unwrap()
}
