//! The process that plays a script on the kernel's TCP.

use crate::linux::player::{self, PlayerConfig, SocketOptions};
use anyhow::{Result, anyhow};
use clap::Args;
use std::net::SocketAddr;
use tcpx_cli::Common;
use tcpx_proto::trace::Role;

/// The player's end and its options.
#[derive(Args, Debug)]
pub struct PlayArguments {
    /// Local address; port 0: any
    #[arg(long)]
    own: SocketAddr,
    /// The peer to which `connect` connects
    #[arg(long)]
    peer: Option<SocketAddr>,
    /// Its role in its record
    #[arg(long)]
    role: Role,
    /// The flags of the pair: a few of them are options of the kernel's sockets, too
    #[command(flatten)]
    common: Box<Common>,
}

/// Plays the script.
///
/// # Errors
/// Invalid flags, an invalid script, or a record that cannot be written.
pub fn run(arguments: &PlayArguments) -> Result<()> {
    let settings = arguments
        .common
        .knobs
        .settings()
        .map_err(|failure| anyhow!(failure.message))?;
    let config = PlayerConfig {
        own: arguments.own,
        peer: arguments.peer,
        options: SocketOptions::of(&settings.config.conn),
    };
    player::play(config, arguments.role)?;
    Ok(())
}
