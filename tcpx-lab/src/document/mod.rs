//! `docs/experiments/` and its Chinese translation: a page for each experiment and an index, made
//! from the experiments' files, their runs in the simulation, and what was observed on a wire and
//! beside Linux.

mod chinese;
mod observed;
mod page;
mod readme;
mod words;

pub use observed::{Observed, fingerprint, observed};
pub use readme::renewed;
pub use words::Language;

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tcpx_experiment::experiment::Experiment;

/// The index: what GitHub shows of a directory.
const INDEX: &str = "README.md";
/// How every page begins. A file without it is not ours to remove.
const MADE: &str = "<!-- Made by `make document`";

/// The pages of a document: file name and text.
pub type Pages = BTreeMap<String, String>;

/// The document of all experiments that have words in this language.
///
/// # Errors
/// A run in the simulation that failed.
pub fn pages(experiments: &[Experiment], observed: &Observed, language: Language) -> Result<Pages> {
    let words = language.words();
    let mut wanted: Vec<&Experiment> = experiments
        .iter()
        .filter(|one| language == Language::En || one.zh.is_some())
        .collect();
    wanted.sort_by_key(|experiment| experiment.group);
    let mut pages = Pages::from([(INDEX.to_owned(), page::index(&wanted, words))]);
    for experiment in wanted {
        let text = page::page(experiment, observed, words)
            .with_context(|| format!("cannot describe {}", experiment.name))?;
        pages.insert(format!("{}.md", experiment.name), text);
    }
    Ok(pages)
}

/// Writes the pages that differ, and removes those of experiments that are gone. Returns what it
/// did, a line each.
///
/// # Errors
/// A file cannot be read, written or removed.
pub fn write(directory: &Path, pages: &Pages) -> Result<Vec<String>> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let mut did = Vec::new();
    for (name, difference) in differences(directory, pages)? {
        let path = directory.join(&name);
        let done = match pages.get(&name) {
            Some(text) => fs::write(&path, text).map(|()| "written"),
            None if difference == Difference::Foreign => {
                Ok("left alone: it was not made by this command")
            }
            None => fs::remove_file(&path).map(|()| "removed: no experiment has this name"),
        };
        let done = done.with_context(|| format!("cannot write or remove {}", path.display()))?;
        did.push(format!("{}: {done}", path.display()));
    }
    Ok(did)
}

/// How a file differs from the page that it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Difference {
    /// There is no such file.
    Missing,
    /// It differs first in this line, counted from 1.
    Line(usize),
    /// It was made from an experiment that is gone.
    Orphan,
    /// It is none of the document's files.
    Foreign,
}

/// The files of a directory that are not what the pages say.
///
/// # Errors
/// The directory, or a file in it, cannot be read.
pub fn differences(directory: &Path, pages: &Pages) -> Result<BTreeMap<String, Difference>> {
    let mut found: BTreeMap<String, Difference> = pages
        .keys()
        .map(|name| (name.clone(), Difference::Missing))
        .collect();
    for entry in
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?
    {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = if entry.file_type()?.is_file() {
            fs::read(entry.path())?
        } else {
            Vec::new()
        };
        let text = String::from_utf8_lossy(&text);
        let difference = match pages.get(&name) {
            Some(page) if *page == text => None,
            Some(page) => Some(Difference::Line(
                page.lines()
                    .zip(text.lines())
                    .take_while(|(made, is)| made == is)
                    .count()
                    + 1,
            )),
            None if text.starts_with(MADE) => Some(Difference::Orphan),
            None => Some(Difference::Foreign),
        };
        match difference {
            Some(difference) => found.insert(name, difference),
            None => found.remove(&name),
        };
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> std::path::PathBuf {
        let path =
            std::env::temp_dir().join(format!("tcpx-document-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn pages_of_experiments_that_are_gone_are_removed_and_other_files_are_not() {
        let directory = directory("write");
        let page = |name: &str, text: &str| (name.to_owned(), format!("{MADE} -->\n{text}\n"));
        let old = Pages::from([
            page("kept.md", "one"),
            page("changed.md", "one"),
            page("gone.md", "one"),
        ]);
        assert_eq!(write(&directory, &old).unwrap().len(), 3);
        fs::write(directory.join("notes.md"), "my own").unwrap();
        let new = Pages::from([
            page("kept.md", "one"),
            page("changed.md", "two"),
            page("new.md", "one"),
        ]);
        let expected = [
            ("changed.md", Difference::Line(2)),
            ("gone.md", Difference::Orphan),
            ("new.md", Difference::Missing),
            ("notes.md", Difference::Foreign),
        ];
        assert_eq!(
            differences(&directory, &new).unwrap(),
            expected.map(|(name, how)| (name.to_owned(), how)).into()
        );
        assert_eq!(write(&directory, &new).unwrap().len(), 4);
        let left = differences(&directory, &new).unwrap();
        assert_eq!(left, [("notes.md".to_owned(), Difference::Foreign)].into());
        fs::remove_dir_all(&directory).unwrap();
    }
}
