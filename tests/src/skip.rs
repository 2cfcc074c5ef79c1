//! What a test does where this machine cannot run it.

use std::fmt::Display;
use std::io::Write;

/// What there is, or `None` after saying why there is not. Panics where the environment's REQUIRE
/// names `netns`: there every test must run.
pub fn or_skip<T, E: Display>(outcome: Result<T, E>) -> Option<T> {
    outcome
        .inspect_err(|reason| {
            let required = std::env::var("REQUIRE")
                .is_ok_and(|list| list.split(',').any(|placement| placement.trim() == "netns"));
            assert!(!required, "netns is required, and {reason}");
            // Not by a macro: the test runner would keep it to itself.
            _ = writeln!(std::io::stderr(), "skipped: {reason}");
        })
        .ok()
}
