//! What `--help` says after the flags: the rules that can be removed, the profile's deviations, the exit statuses.

use std::fmt::Write as _;
use tcpx_proto::config::DIALECT_LINUX;
use tcpx_proto::preset::PRESETS;

/// The exit statuses of both binaries, as the end of their help.
pub const fn exit_codes() -> &'static str {
    "Exit status, of the worst connection:
  0  clean close; also Ctrl-C in TIME-WAIT, and an abort or silence that was asked for
  1  anything not listed here          2  a mistake on the command line
  3  refused                           4  timed out: connect, R2, user timeout, keepalive
  5  reset by the peer                 6  a privilege is missing, or the guard does not hold
  7  address in use                    8  unreachable
  129, 130, 143  after cleaning up on SIGHUP, SIGINT, SIGTERM"
}

/// The end of the long help.
pub fn after_help(examples: &str) -> String {
    let mut text = format!("Examples:\n{examples}\n\nRules that --without removes:\n");
    for preset in PRESETS {
        let _infallible = writeln!(text, "  {:<14} {} ({}); without it {}", preset.name, preset.removes, preset.requirement, preset.breaks);
    }
    text.push_str("\nWhere the linux profile departs from the RFCs:\n");
    for (requirement, what) in DIALECT_LINUX {
        let _infallible = writeln!(text, "  {what} ({requirement})");
    }
    let _infallible = write!(text, "\n{}", exit_codes());
    text
}
