//! What the programs `tcpx-client`, `tcpx-server` and `tcpx-lab` share: the flags, the live view,
//! the capture file, a script played on a [`Host`](tcpx::Host), tables and exit statuses.

pub mod app;
mod capture;
mod connections;
pub mod input;
mod live;
mod script;
mod settings;
mod setup;
mod signals;
mod spans;
mod table;
mod text;
mod value;

pub use capture::Capture;
/// The shells that [`completions`] knows.
pub use clap_complete::Shell;
pub use live::{Display, Live};
pub use script::{script, script_ports};
pub use settings::{Settings, settings};
pub use setup::{Failure, Run, finish, is_stdout, underlined};
pub use signals::await_children;
pub use spans::Spans;
pub use table::{Cell, Fit, Table, TableArguments, TableFormat, wrapped};
pub use text::{answer, command, completions, exit_codes, man, rules, with_examples};
pub use value::{duration, endpoint, octets};

use clap::{ArgAction, Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use tcpx::guard::GuardKind;
use tcpx_proto::config::{Congestion, KeepAlive, Persist, Profile, Recovery};
use tcpx_proto::wire::ChecksumPolicy;

const CONNECTION: &str = "Connection";
const BREAK: &str = "What to break";
const TIMERS: &str = "Timers";
const OUTPUT: &str = "Output";

/// The shared flags.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Whose replies, timers and limits are the default
    #[arg(long, value_enum, default_value = "linux", help_heading = BREAK)]
    pub profile: ProfileArg,
    /// Remove this rule of TCP (repeatable); the list is below
    #[arg(long, value_name = "RULE", help_heading = BREAK)]
    pub without: Vec<String>,
    /// Do to segments what a bad network would (repeatable, the first match wins), such as 'drop
    /// out fin#1'; docs/faults.md
    #[arg(long, value_name = "RULE", help_heading = BREAK)]
    pub fault: Vec<String>,
    /// Go from TIME-WAIT's door straight to CLOSED: the same as --without time-wait
    #[arg(long, help_heading = BREAK)]
    pub skip_time_wait: bool,
    /// Never send the third ACK, and hold data and FIN back, until --hold ends, Ctrl-C or a RST;
    /// =data lets data go all the same
    #[arg(long, value_name = "data", num_args = 0..=1, require_equals = true, default_missing_value = "", help_heading = BREAK)]
    pub no_third_ack: Option<ThirdAck>,
    /// Send small segments at once: the same as --without nagle
    #[arg(long, help_heading = BREAK)]
    pub no_delay: bool,
    /// Offer no timestamps (RFC 7323)
    #[arg(long, help_heading = BREAK)]
    pub no_timestamps: bool,
    /// Offer no SACK (RFC 2018)
    #[arg(long, help_heading = BREAK)]
    pub no_sack: bool,
    /// Offer no window scaling (RFC 7323)
    #[arg(long, help_heading = BREAK)]
    pub no_window_scaling: bool,
    /// Drop a SYN when the backlog is full instead of answering with a SYN cookie (RFC 4987)
    #[arg(long, help_heading = BREAK)]
    pub no_syn_cookies: bool,
    /// Ignore a RST in TIME-WAIT (RFC 1337)
    #[arg(long, help_heading = BREAK)]
    pub rfc1337: bool,

    /// Maximum segment lifetime; TIME-WAIT lasts twice that [default: the profile's, 30s for linux]
    #[arg(long, value_name = "DUR", value_parser = duration, help_heading = TIMERS)]
    pub msl: Option<Duration>,
    /// Probe a silent peer after IDLE, then every INTERVAL, and give up after PROBES (at least 2),
    /// such as 2h,75s,9
    #[arg(long, value_name = "IDLE,INTERVAL,PROBES", value_parser = value::keepalive, help_heading = TIMERS)]
    pub keepalive: Option<KeepAlive>,
    /// Give up when data stays unacknowledged for this long
    #[arg(long, value_name = "DUR", value_parser = duration, help_heading = TIMERS)]
    pub user_timeout: Option<Duration>,
    /// Retransmission timeout before the first sample [default: 1s]
    #[arg(long, value_name = "DUR", value_parser = duration, help_heading = TIMERS)]
    pub rto_initial: Option<Duration>,
    /// Least retransmission timeout; with profile linux the least that it adds to the round-trip
    /// time [default: the profile's, 200ms for linux]
    #[arg(long, value_name = "DUR", value_parser = duration, help_heading = TIMERS)]
    pub rto_min: Option<Duration>,
    /// Largest retransmission timeout [default: 120s]
    #[arg(long, value_name = "DUR", value_parser = duration, help_heading = TIMERS)]
    pub rto_max: Option<Duration>,
    /// R2: give up after N retransmissions of data, or zero-window probes, without an answer
    /// [default: 15]
    #[arg(long, value_name = "N", help_heading = TIMERS)]
    pub r2: Option<u8>,
    /// R2 once the application has closed [default: the profile's, 8 for linux]
    #[arg(long, value_name = "N", help_heading = TIMERS)]
    pub orphan_retries: Option<u8>,
    /// R2 of a SYN [default: the profile's, 10 for linux]
    #[arg(long, value_name = "N", help_heading = TIMERS)]
    pub syn_retries: Option<u8>,
    /// R2 of a SYN,ACK [default: the profile's, 5 for linux]
    #[arg(long, value_name = "N", help_heading = TIMERS)]
    pub synack_retries: Option<u8>,
    /// How long FIN-WAIT-2 may last once the application has closed [default: the profile's, 60s
    /// for linux]
    #[arg(long, value_name = "DUR", value_parser = duration, help_heading = TIMERS)]
    pub fin_wait_2: Option<Duration>,
    /// Probe a zero window no sooner than MIN and no later than MAX after the last time [default:
    /// the profile's, 200ms,120s for linux]
    #[arg(long, value_name = "MIN,MAX", value_parser = value::persist, help_heading = TIMERS)]
    pub persist: Option<Persist>,
    /// The longest that an ACK waits for something to travel with, below 500ms [default: the
    /// profile's, 40ms for linux]
    #[arg(long, value_name = "DUR", value_parser = value::delayed_ack, help_heading = TIMERS)]
    pub delayed_ack: Option<Duration>,
    /// At most one challenge ACK (RFC 5961), or other answer to a segment without text and FIN, of
    /// a connection in this time [default: 500ms]
    #[arg(long, value_name = "DUR", value_parser = duration, help_heading = TIMERS)]
    pub challenge_interval: Option<Duration>,

    /// Seed of all randomness, to repeat a run [default: from the system; -v prints it]
    #[arg(long, value_name = "N", help_heading = CONNECTION)]
    pub seed: Option<u64>,
    /// Initial sequence number of every connection [default: RFC 6528]
    #[arg(long, value_name = "N", help_heading = CONNECTION)]
    pub isn: Option<u32>,
    /// Maximum segment size to offer; profile linux sends no larger segments either, octets
    /// [default: the link's MTU less 40]
    #[arg(long, value_name = "OCTETS", value_parser = clap::value_parser!(u16).range(88..=65_495), help_heading = CONNECTION)]
    pub mss: Option<u16>,
    /// Receive buffer, the largest window to offer, such as 64k or 1M [default: 256k]
    #[arg(long, value_name = "OCTETS", value_parser = octets, help_heading = CONNECTION)]
    pub window: Option<usize>,
    /// The most connections at a time, half-open ones and TIME-WAIT included [default: 65536]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 24), help_heading = CONNECTION)]
    pub max_connections: Option<u32>,
    /// How the congestion window grows and falls [default: the profile's, cubic for linux]
    #[arg(long, value_enum, value_name = "POLICY", help_heading = CONNECTION)]
    pub congestion: Option<CongestionArg>,
    /// How lost segments are noticed where the peer permits SACK [default: the profile's, rack for
    /// linux]
    #[arg(long, value_enum, value_name = "POLICY", help_heading = CONNECTION)]
    pub recovery: Option<RecoveryArg>,
    /// Ask for explicit congestion notification (RFC 3168), and grant it
    #[arg(long, help_heading = CONNECTION)]
    pub ecn: bool,
    /// What keeps this machine's kernel from resetting our connections; auto takes iptables where
    /// it can, else listener
    #[arg(long, value_enum, default_value = "auto", value_name = "GUARD", help_heading = CONNECTION)]
    pub rst_guard: GuardArg,
    /// SO_MARK by which the iptables guard tells our RSTs from the kernel's
    #[arg(long, value_name = "N", value_parser = value::mark, default_value = "0x70", help_heading = CONNECTION)]
    pub mark: u32,
    /// Which checksums to take: partial allows those that a kernel on this machine left to its
    /// network card
    #[arg(long, value_enum, default_value = "partial", value_name = "POLICY", help_heading = CONNECTION)]
    pub checksum: ChecksumArg,

    /// Write what happens as JSON Lines to FILE (- is stdout; then the peer's data goes to a
    /// client's --output or nowhere)
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub events: Option<PathBuf>,
    /// Write every segment as pcapng to FILE (- is stdout, as with --events), with a comment on
    /// each and those that a fault dropped on an interface of their own
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub pcap: Option<PathBuf>,
    /// Show timers, checks and the seed as well
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet", help_heading = OUTPUT)]
    pub verbose: u8,
    /// Show nothing but errors
    #[arg(short, long, help_heading = OUTPUT)]
    pub quiet: bool,
}

/// [`Profile`] on the command line.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum ProfileArg {
    /// Linux 6.18; MSL 30 s
    Linux,
    /// The letter of RFC 9293; MSL 2 min
    Rfc9293,
    /// The textbook of 1981: no challenge ACK, RST checks of RFC 793
    Rfc793,
}

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Profile {
        match profile {
            ProfileArg::Linux => Profile::Linux,
            ProfileArg::Rfc9293 => Profile::Rfc9293,
            ProfileArg::Rfc793 => Profile::Rfc793,
        }
    }
}

/// [`Congestion`] on the command line.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum CongestionArg {
    /// RFC 5681
    Newreno,
    /// RFC 9438
    Cubic,
    /// None: only the peer's window limits
    Off,
}

impl From<CongestionArg> for Congestion {
    fn from(congestion: CongestionArg) -> Congestion {
        match congestion {
            CongestionArg::Newreno => Congestion::NewReno,
            CongestionArg::Cubic => Congestion::Cubic,
            CongestionArg::Off => Congestion::Off,
        }
    }
}

/// [`Recovery`] on the command line.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum RecoveryArg {
    /// By duplicate ACKs alone (RFC 6582)
    Newreno,
    /// By what SACK says is held
    Rfc6675,
    /// By time, with tail-loss probes (RFC 8985)
    Rack,
}

impl From<RecoveryArg> for Recovery {
    fn from(recovery: RecoveryArg) -> Recovery {
        match recovery {
            RecoveryArg::Newreno => Recovery::NewReno,
            RecoveryArg::Rfc6675 => Recovery::Rfc6675,
            RecoveryArg::Rack => Recovery::Rack,
        }
    }
}

/// What `--no-third-ack` leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThirdAck {
    /// The ACK, and data and FIN wait.
    Alone,
    /// The ACK only: data goes, and completes the handshake.
    ButData,
}

impl std::str::FromStr for ThirdAck {
    type Err = String;

    fn from_str(text: &str) -> Result<ThirdAck, String> {
        match text {
            "" => Ok(ThirdAck::Alone),
            "data" => Ok(ThirdAck::ButData),
            other => Err(format!("'{other}' is not 'data'")),
        }
    }
}

/// [`GuardKind`] on the command line.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum GuardArg {
    /// iptables where it can be, else listener
    Auto,
    /// A firewall rule on our ports alone, gone when we are (needs NET_ADMIN)
    Iptables,
    /// A kernel listener that drops what has TTL below 255 (needs nothing)
    Listener,
    /// None: watch the kernel reset the connection
    None,
}

impl From<GuardArg> for GuardKind {
    fn from(guard: GuardArg) -> GuardKind {
        match guard {
            GuardArg::Auto => GuardKind::Auto,
            GuardArg::Iptables => GuardKind::Iptables,
            GuardArg::Listener => GuardKind::Listener,
            GuardArg::None => GuardKind::None,
        }
    }
}

/// [`ChecksumPolicy`] on the command line.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum ChecksumArg {
    /// Right ones, and those left to a network card
    Partial,
    /// Right ones only
    Strict,
    /// Any
    Ignore,
}

impl From<ChecksumArg> for ChecksumPolicy {
    fn from(checksum: ChecksumArg) -> ChecksumPolicy {
        match checksum {
            ChecksumArg::Partial => ChecksumPolicy::Partial,
            ChecksumArg::Strict => ChecksumPolicy::Strict,
            ChecksumArg::Ignore => ChecksumPolicy::Ignore,
        }
    }
}
