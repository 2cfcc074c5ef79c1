//! The flags that `tcpx-client` and `tcpx-server` share.

use crate::knobs::Knobs;
use crate::value;
use clap::{ArgAction, Args};
use std::path::PathBuf;
use tcpx::{GuardKind, LinkKind};
use tcpx_proto::knob::Heading;

const CONNECTION: &str = Heading::Connection.title();
const OUTPUT: &str = "Output";

/// The shared flags.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The options of the engine.
    #[command(flatten)]
    pub knobs: Knobs,

    /// Seed all randomness, to repeat a run [default: from the system; -v prints it]
    #[arg(long, value_name = "N", help_heading = CONNECTION)]
    pub seed: Option<u64>,
    /// Choose the sockets by which segments come and go
    #[arg(long, value_parser = value::link(), default_value = "raw", value_name = "LINK", help_heading = CONNECTION)]
    pub link: LinkKind,
    /// Choose what keeps this machine's kernel from resetting our connections; auto uses iptables
    /// if it is available, else listener
    #[arg(long, value_parser = value::guard(), default_value = "auto", value_name = "GUARD", help_heading = CONNECTION)]
    pub rst_guard: GuardKind,
    /// Set the SO_MARK that distinguishes our RSTs from the kernel's for the iptables guard
    #[arg(long, value_name = "N", value_parser = value::mark, default_value = "0x70", help_heading = CONNECTION)]
    pub mark: u32,

    /// Write events as JSON Lines to FILE (- is stdout; then the peer's data goes to a client's
    /// --output or is dropped)
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub events: Option<PathBuf>,
    /// Write every segment as pcapng to FILE (- is stdout, as with --events), with a comment on
    /// each; segments dropped by a fault are on a separate interface
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub pcap: Option<PathBuf>,
    /// At each SIGUSR1 also write what STATUS knows of every connection to FILE, a line of JSON for
    /// each (- is stdout, as with --events)
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub status: Option<PathBuf>,
    /// Also show timers, checks and the seed
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet", help_heading = OUTPUT)]
    pub verbose: u8,
    /// Show only errors
    #[arg(short, long, help_heading = OUTPUT)]
    pub quiet: bool,
}
