//! docs/limits.md: sections that tests write when the environment's UPDATE asks for it (`make
//! limits`).

use std::fs;
use std::path::Path;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");

/// A number of the environment.
pub fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whether the document is written.
pub fn is_updated() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Prints a section, and puts it into its place in the document if that is to be updated.
///
/// # Panics
/// The document cannot be read or written, or does not have the place.
pub fn write(section: &str, text: &str) {
    println!("{text}");
    if !is_updated() {
        return;
    }
    let whole = fs::read_to_string(DOCUMENT).unwrap_or_else(|error| panic!("{DOCUMENT}: {error}"));
    let begin = format!("<!-- {section} -->\n");
    let end = format!("<!-- end of {section} -->");
    let (before, rest) = whole
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    let whole = format!("{before}{begin}{}\n\n{text}{end}{after}", conditions());
    fs::write(DOCUMENT, whole).unwrap_or_else(|error| panic!("{DOCUMENT}: {error}"));
}

/// The machine and its state.
fn conditions() -> String {
    let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, name)| name);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!(
        "Measured on {cores} cores ({cpu}), Linux {}, load average {load}, {build} build.",
        read("/proc/sys/kernel/osrelease").trim()
    )
}
