//! For tests: why one does not run here.

use std::fmt::Display;
use std::io::Write;

/// Says it, and panics where the environment's REQUIRE names `netns`: there every test must run.
pub(crate) fn skip(reason: impl Display) {
    let required = std::env::var("REQUIRE")
        .is_ok_and(|list| list.split(',').any(|placement| placement.trim() == "netns"));
    assert!(!required, "netns is required, and {reason}");
    // Not by a macro: the test runner would keep it to itself.
    _ = writeln!(std::io::stderr(), "skipped: {reason}");
}
