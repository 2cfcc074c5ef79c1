//! Two connected namespaces that stay until they are removed.

use crate::netns_daemon;
use anyhow::Result;
use clap::Subcommand;

/// What to do with them.
#[derive(Subcommand, Debug)]
pub enum NetnsTask {
    /// Create the namespaces
    Up,
    /// Run a command, or a shell, in the client's namespace
    Client {
        /// Command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run a command, or a shell, in the server's namespace
    Server {
        /// Command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Remove the namespaces
    Down,
}

/// Does it.
///
/// # Errors
/// The namespaces cannot be created, entered or removed.
pub fn run(task: &NetnsTask) -> Result<()> {
    match task {
        NetnsTask::Up => netns_daemon::up(),
        NetnsTask::Client { command } => netns_daemon::enter(0, command),
        NetnsTask::Server { command } => netns_daemon::enter(1, command),
        NetnsTask::Down => netns_daemon::down(),
    }
}
