//! The state table as a golden file and as a graph: `TCPX_BLESS=1 cargo test -p tcpx-proto --test
//! state_table` rewrites both.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::path::Path;

use tcpx_proto::state::{State, TRANSITIONS, Trigger};

/// The edges of the figure; the rest are those that end a connection early.
fn in_figure(on: Trigger) -> bool {
    !matches!(
        on,
        Trigger::Rst | Trigger::Abort | Trigger::Timeout | Trigger::Icmp
    )
}

fn text() -> String {
    let mut out = String::new();
    for from in State::ALL {
        for edge in TRANSITIONS.iter().filter(|edge| edge.from == from) {
            writeln!(out, "{:<13} {:<15} {}", edge.from, edge.on.name(), edge.to).unwrap();
        }
    }
    out
}

fn dot() -> String {
    let mut out = String::from("digraph tcp {\n    node [shape=box, fontname=monospace];\n");
    for edge in TRANSITIONS.iter().filter(|edge| in_figure(edge.on)) {
        writeln!(
            out,
            "    \"{}\" -> \"{}\" [label=\"{}\"];",
            edge.from, edge.to, edge.on
        )
        .unwrap();
    }
    out + "}\n"
}

fn check(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("TCPX_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        now,
        "{name} differs from the table: look at the change, then TCPX_BLESS=1"
    );
}

#[test]
fn table_printed_is_the_golden_file() {
    check("states.txt", &text());
}

#[test]
fn table_drawn_is_the_golden_graph() {
    check("states.dot", &dot());
}

#[test]
fn table_has_one_target_for_each_state_and_trigger_but_for_where_a_passive_opener_returns() {
    for edge in TRANSITIONS {
        let others = TRANSITIONS
            .iter()
            .filter(|other| other.from == edge.from && other.on == edge.on && other.to != edge.to);
        // SYN-RECEIVED goes back to LISTEN or to CLOSED, as it was opened (MUST-11).
        assert!(
            edge.from == State::SynReceived || others.count() == 0,
            "{} on {} has two targets",
            edge.from,
            edge.on
        );
    }
}
