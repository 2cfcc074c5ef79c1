//! Our own record, to be held against a witness and never to be believed alone.

use serde_json::Value;
use std::path::Path;

/// The lines of an events file, without the first.
pub(crate) fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The states that the file's connections went through, in order, the first one included.
pub(crate) fn states(path: &Path) -> Vec<String> {
    let events = read(path);
    let changes: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "state")
        .collect();
    let name = |event: &Value, side: &str| event[side].as_str().unwrap().to_owned();
    changes
        .first()
        .map(|first| name(first, "from"))
        .into_iter()
        .chain(changes.iter().map(|change| name(change, "to")))
        .collect()
}
