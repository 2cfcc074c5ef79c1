//! Removal of firewall rules that ended processes left.

use super::say;
use anyhow::Result;

/// Removes the rules and prints them.
///
/// # Errors
/// iptables cannot be run, or a rule cannot be removed.
pub fn run() -> Result<()> {
    let removed = tcpx::guard::sweep()?;
    for rule in &removed {
        say(&format!("removed: {rule}"))?;
    }
    say(&format!("removed {} leftover rules", removed.len()))
}
