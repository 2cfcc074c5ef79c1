//! The requirements of the RFCs (`data/requirements.tsv`) and where they are kept: `//= MUST-13`
//! stands above the statement that implements one, `/// Proves MUST-13.` above the test that fails
//! when that statement is broken.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("../data/requirements.tsv");

/// The directories with sources.
const CRATES: [&str; 8] = [
    "tcpx-proto",
    "tcpx",
    "tcpx-cli",
    "tcpx-client",
    "tcpx-server",
    "tcpx-experiment",
    "tcpx-lab",
    "tests",
];

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirement {
    pub(crate) id: &'static str,
    pub(crate) source: &'static str,
    pub(crate) section: &'static str,
    /// `MUST`, `SHOULD` or `MAY`.
    pub(crate) level: &'static str,
    /// `C`: the core; `A`: what applications see; `O`: optional, and tcpx has it; `X`: not a matter
    /// of a TCP in user space.
    pub(crate) class: &'static str,
    pub(crate) statement: &'static str,
    /// Why tcpx does not do it; empty where it does.
    pub(crate) deviation: &'static str,
}

impl Requirement {
    /// Whether it needs a place in the code and a test.
    pub(crate) fn binds(&self) -> bool {
        self.level != "MAY" && self.class != "X" && self.deviation.is_empty()
    }
}

/// All rows, in their order.
pub(crate) fn requirements() -> Vec<Requirement> {
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [id, source, section, level, class, statement, deviation] = columns[..] else {
                panic!("requirements.tsv: not seven columns: {line}")
            };
            Requirement {
                id,
                source,
                section,
                level,
                class,
                statement,
                deviation,
            }
        })
        .collect()
}

/// A place that a tag names: above a statement, or at a test.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    /// From the root of the repository.
    pub(crate) file: String,
    /// Of the tag, from 1.
    pub(crate) line: usize,
    pub(crate) ids: Vec<String>,
    /// The function that it is in, or the test that it is at; empty outside of functions.
    pub(crate) function: String,
}

/// All tags of the sources.
#[derive(Default, Debug)]
pub(crate) struct Tags {
    pub(crate) code: Vec<Place>,
    pub(crate) tests: Vec<Place>,
    /// Tags of tests that stand at no test.
    pub(crate) lost: Vec<Place>,
}

impl Tags {
    /// Those of all crates below this directory.
    pub(crate) fn read(root: &Path) -> Tags {
        let mut tags = Tags::default();
        for directory in CRATES {
            tags.walk(root, &root.join(directory));
        }
        tags.code.sort();
        tags.tests.sort();
        tags
    }

    fn walk(&mut self, root: &Path, directory: &Path) {
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.walk(root, &path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && let Ok(text) = fs::read_to_string(&path)
            {
                let file = path.strip_prefix(root).unwrap_or(&path);
                self.scan(&file.to_string_lossy(), &text);
            }
        }
    }

    fn scan(&mut self, file: &str, text: &str) {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let mut function = "";
        for (at, line) in lines.iter().enumerate() {
            function = name_of_function(line).unwrap_or(function);
            let place = |ids: &str, function: &str| Place {
                file: file.to_owned(),
                line: at + 1,
                ids: ids.split(", ").map(str::to_owned).collect(),
                function: function.to_owned(),
            };
            if let Some(ids) = line.strip_prefix("//= ") {
                let next = lines[at + 1..].iter().find(|line| !line.starts_with("//"));
                let inner = next.and_then(|line| name_of_function(line));
                self.code.push(place(ids, inner.unwrap_or(function)));
            }
            let proves = line
                .strip_prefix("/// Proves ")
                .and_then(|ids| ids.strip_suffix('.'));
            if let Some(ids) = proves {
                match test_below(&lines[at + 1..]) {
                    Some(name) => self.tests.push(place(ids, name)),
                    None => self.lost.push(place(ids, "")),
                }
            }
        }
    }

    /// The places in the code that implement a requirement.
    pub(crate) fn code_of(&self, id: &str) -> Vec<&Place> {
        of(&self.code, id)
    }

    /// The tests that prove a requirement.
    pub(crate) fn tests_of(&self, id: &str) -> Vec<&Place> {
        of(&self.tests, id)
    }
}

fn of<'a>(places: &'a [Place], id: &str) -> Vec<&'a Place> {
    places
        .iter()
        .filter(|place| place.ids.iter().any(|it| it == id))
        .collect()
}

/// The name in a line that begins a function.
fn name_of_function(line: &str) -> Option<&str> {
    let mut words = line.split(' ');
    words
        .by_ref()
        .find(|word| {
            !(word.starts_with("pub") || word.ends_with(')') || ["const", "async"].contains(word))
        })
        .filter(|word| *word == "fn")?;
    words.next()?.split(['(', '<']).next()
}

/// The test that these lines, which follow its comment, begin with.
fn test_below<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let mut is_test = false;
    for line in lines {
        if let Some(name) = name_of_function(line) {
            return is_test.then_some(name);
        }
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if !(line.starts_with("///") || line.starts_with("#[") || line.starts_with("#![")) {
            return None;
        }
    }
    None
}

/// What is wrong with the tags; nothing if all is well.
pub(crate) fn problems(requirements: &[Requirement], tags: &Tags) -> Vec<String> {
    let mut problems = Vec::new();
    for requirement in requirements.iter().filter(|it| it.binds()) {
        let Requirement {
            id,
            level,
            statement,
            ..
        } = requirement;
        if tags.code_of(id).is_empty() {
            problems.push(format!("{id} ({level}: {statement}): no tag in the code"));
        }
        if tags.tests_of(id).is_empty() {
            problems.push(format!("{id} ({level}: {statement}): no test proves it"));
        }
    }
    for place in tags.code.iter().chain(&tags.tests) {
        for id in &place.ids {
            match requirements.iter().find(|it| it.id == id) {
                None => problems.push(format!(
                    "{}:{}: no requirement {id}",
                    place.file, place.line
                )),
                Some(it) if tags.code_of(id).is_empty() || tags.tests_of(id).is_empty() => {
                    if !it.binds() {
                        problems.push(format!(
                            "{}:{}: {id} has a tag in the code or at a test, but not both",
                            place.file, place.line
                        ));
                    }
                }
                Some(_) => {}
            }
        }
    }
    for place in &tags.lost {
        problems.push(format!(
            "{}:{}: proves {}, but no test follows",
            place.file,
            place.line,
            place.ids.join(", ")
        ));
    }
    problems
}

/// Counts by source and level: how many there are, tagged, deviating, and not taken up.
pub(crate) fn counts(requirements: &[Requirement], tags: &Tags) -> Vec<(String, [usize; 4])> {
    let mut rows: BTreeMap<(usize, &str, &str), [usize; 4]> = BTreeMap::new();
    let first = |source: &str| requirements.iter().position(|it| it.source == source);
    for it in requirements.iter().filter(|it| it.class != "X") {
        let key = (first(it.source).unwrap_or(0), it.level, it.source);
        let row = rows.entry(key).or_default();
        row[0] += 1;
        if !tags.code_of(it.id).is_empty() && !tags.tests_of(it.id).is_empty() {
            row[1] += 1;
        } else if !it.deviation.is_empty() {
            row[2] += 1;
        } else {
            row[3] += 1;
        }
    }
    rows.into_iter()
        .map(|((_, level, source), row)| (format!("{source}\t{level}"), row))
        .collect()
}

/// The coverage as text: counts, deviations, and, if `each` says so of an id, the places.
pub(crate) fn report(
    requirements: &[Requirement],
    tags: &Tags,
    each: impl Fn(&str) -> bool,
) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "{:<10} {:<8} {:>5} {:>7} {:>9} {:>10}",
        "source", "level", "all", "tagged", "deviating", "not tagged"
    ));
    let mut sum = [0; 4];
    for (name, row) in counts(requirements, tags) {
        let (source, level) = name.split_once('\t').unwrap_or_default();
        let [all, tagged, deviating, untagged] = row;
        line(format!(
            "{source:<10} {level:<8} {all:>5} {tagged:>7} {deviating:>9} {untagged:>10}"
        ));
        sum.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
    }
    let [all, tagged, deviating, untagged] = sum;
    line(format!(
        "{:<19} {all:>5} {tagged:>7} {deviating:>9} {untagged:>10}",
        "all"
    ));
    line(format!(
        "{} places in the code, {} tests",
        tags.code.len(),
        tags.tests.len()
    ));
    for it in requirements.iter().filter(|it| !it.deviation.is_empty()) {
        line(format!(
            "deviation: {} {}: {}",
            it.id, it.statement, it.deviation
        ));
    }
    for it in requirements.iter().filter(|it| each(it.id)) {
        let mut text = format!(
            "\n{} ({} {}, {}): {}",
            it.id, it.source, it.section, it.level, it.statement
        );
        for place in tags.code_of(it.id) {
            let _ = write!(
                text,
                "\n  code {}:{} {}",
                place.file, place.line, place.function
            );
        }
        for place in tags.tests_of(it.id) {
            let _ = write!(
                text,
                "\n  test {}:{} {}",
                place.file, place.line, place.function
            );
        }
        line(text);
    }
    out
}
