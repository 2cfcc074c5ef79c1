//! On what the figures were taken, and how quiet it was.

use std::fs;
use std::time::Instant;

/// Clock ticks of all CPUs, and those of them in which they did something, as /proc/stat counts.
fn ticks() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let times: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let all = times.iter().take(8).sum();
    let idle: u64 = times.iter().skip(3).take(2).sum();
    (all, all - idle)
}

/// Ticks of this process and of children that it has waited for.
fn own_ticks() -> u64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let words = after_name.split_whitespace().skip(11).take(4);
    words.filter_map(|word| word.parse::<u64>().ok()).sum()
}

/// What else the machine does while this measures.
pub(crate) struct Noise {
    start: Instant,
    ticks: (u64, u64),
    own: u64,
}

impl Noise {
    pub(crate) fn start() -> Noise {
        Noise {
            start: Instant::now(),
            ticks: ticks(),
            own: own_ticks(),
        }
    }

    /// In a sentence.
    pub(crate) fn describe(&self) -> String {
        let (all, busy) = ticks();
        let all = all.saturating_sub(self.ticks.0).max(1);
        let busy = busy.saturating_sub(self.ticks.1);
        let others = busy.saturating_sub(own_ticks().saturating_sub(self.own));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        format!(
            "Noise: other programs and the kernel's threads took {} % of the CPU time of the {:.0} s; load average at the end {load}.",
            others * 100 / all,
            self.start.elapsed().as_secs_f64(),
        )
    }
}

/// The machine, in a sentence.
pub(crate) fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("CPUs of an unknown kind", |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Machine: {cpus} x {model}, Linux {}.", kernel.trim())
}
