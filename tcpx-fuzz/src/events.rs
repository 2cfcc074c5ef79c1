//! Any text as the events files of two ends, one below the other; what is one is judged and drawn.

use tcpx_experiment::draw::{Format, draw};
use tcpx_experiment::oracle::{Oracle, Run};
use tcpx_experiment::trace::{Body, Entry, Log, pair};

/// The most events that are judged and drawn.
const MOST: usize = 200;
const FORMATS: [Format; 4] = [Format::Text, Format::Figure, Format::Svg, Format::Mermaid];

/// Each line is read as it was written, and no oracle and no drawing fails on any record.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Each file begins with its `start` line.
    let second = text.find("\n{\"event\":\"start\"");
    let (a, b) = text.split_at(second.map_or(text.len(), |at| at + 1));
    let Ok(a) = Log::parse(a) else {
        return;
    };
    a.entries.iter().for_each(written);
    let b = Log::parse(b).unwrap_or_else(|_| Log::none(&a));
    if a.entries.len() + b.entries.len() > MOST {
        return;
    }
    for conversation in pair(&a, &b) {
        for format in FORMATS {
            draw(&conversation, format);
        }
    }
    let run = Run::new(&[a, b], 1000.0, 1.0);
    for oracle in Oracle::ALL {
        let finding = oracle.judge(&run);
        assert_eq!(finding.holds, finding.said().is_empty(), "{finding:?}");
    }
}

fn written(entry: &Entry) {
    // A later version's event: a reader skips it.
    if entry.body == Body::Unknown {
        return;
    }
    let Ok(line) = serde_json::to_string(entry) else {
        panic!("cannot be written: {entry:?}");
    };
    let read = serde_json::from_str::<Entry>(&line);
    assert!(
        read.as_ref().is_ok_and(|read| read == entry),
        "{line}: {read:?}"
    );
}
