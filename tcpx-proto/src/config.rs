//! Every parameter and published policy: its default, unit, RFC section and Linux sysctl.
//!
//! A policy that RFCs or kernels see differently is an enum that names them. `None` switches a
//! timer off.

mod policy;

pub use policy::{
    AckPace, Congestion, Ecn, FinRepeats, HoldBack, Isn, ListenerEnd, MssLimits, Nagle, Orphan,
    Overlap, Recovery, ResetChecks, ResetPlace, Samples, SequenceCheck, SillyWindow, SmallPath,
    SynAcknowledged, SynEcho, SynText, TextOverFin, TimeWaitRestart, TimeWaitRst, TimeWaitSyn,
    Unacknowledging, UrgentData, Variance, WindowEdges,
};

use crate::state::{State, Trigger};
use crate::time::Duration;
use crate::wire::ChecksumPolicy;
use alloc::vec::Vec;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What holds for a whole stack.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// The default for each connection.
    pub conn: ConnConfig,
    /// Which checksums are taken (MUST-3).
    pub checksum: ChecksumPolicy,
    /// Whether a segment for a closed port of ours is answered with a RST (RFC 9293 3.10.7.1).
    pub rst_on_closed: bool,
    /// What a listener does with a SYN when its backlog is full.
    pub overflow: Overflow,
    /// The most connection records of all kinds, 1 to 2^24. A SYN past it is dropped, a connect
    /// fails.
    pub max_connections: usize,
    /// The most octets in all send and receive buffers together (`tcp_mem`). Past it windows do not
    /// open and SEND takes nothing.
    pub max_memory: usize,
}

/// What a listener does with a SYN when its backlog is full (RFC 4987).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Overflow {
    /// Answer with a SYN cookie, keep no state (section 3.6; `net.ipv4.tcp_syncookies=1`).
    Cookies,
    /// Drop it (`tcp_syncookies=0`).
    Drop,
    /// There is no limit: each SYN gets a record, up to [`Config::max_connections`].
    Unbounded,
}

/// What holds for one connection, or for those that a listener accepts. The default is the `linux`
/// profile; where that and `rfc9293` differ:
///
/// | | `linux` | `rfc9293` |
/// |---|---|---|
/// | `dialect` | Linux | Rfc9293 |
/// | `msl` | 30s | 120s |
/// | `fin_wait_2` | Some(60s) | None |
/// | `rto.min` | 200ms | 1s |
/// | `rto.variance` | Linux | Rfc6298 |
/// | `syn_retries` | 10 | 8 |
/// | `syn_linear` | 4 | 0 |
/// | `synack_retries` | 5 | 8 |
/// | `orphan_retries` | 8 | 15 |
/// | `persist` | 200ms to 120s | 1s to 60s |
/// | `delayed_ack` | Some(40ms) | Some(200ms) |
/// | `ack_pace` | Linux | Rfc9293 |
/// | `quick_acks` | 16 | 0 |
/// | `nagle` | Minshall | Rfc896 |
/// | `congestion` | Cubic | NewReno |
/// | `recovery` | Rack | Rfc6675 |
/// | `sws_override` | 200ms | 500ms |
/// | `small_path` | Fragment | Reduce |
/// | `window_edges` | Inclusive | Exclusive |
/// | `unacknowledging` | Drop | Check |
/// | `ecn` | WhenAsked | Off |
/// | `syn_text` | Drop | Queue |
/// | `syn_echo` | Ours | Any |
/// | `time_wait_syn` | Forget | Return |
/// | `orphan` | Mini | Connection |
/// | `listener_end` | Forget | Reset |
/// | `overlap` | Linux | SequenceOrder |
/// | `text_over_fin` | Reset | Ignore |
/// | `lost_syns` | 2 | 1 |
/// | `reset_place` | WherePeerIs | RcvNxt |
/// | `mss_limits` | Both | Offered |
/// | `urgent` | OutOfBand | Inline |
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConnConfig {
    /// Whose replies, where the RFC and a kernel differ.
    pub dialect: Dialect,
    /// Maximum segment lifetime; TIME-WAIT is twice that (RFC 9293 section 3.4.2: 2 min; Linux:
    /// TIME-WAIT is 60 s).
    pub msl: Duration,
    /// What restarts TIME-WAIT's 2 MSL.
    pub time_wait_restart: TimeWaitRestart,
    /// Whether a RST ends TIME-WAIT (RFC 1337; `tcp_rfc1337`).
    pub time_wait_rst: TimeWaitRst,
    /// How long FIN-WAIT-2 may last after CLOSE (not in the RFC; `tcp_fin_timeout`, 60 s); `None`:
    /// for ever.
    pub fin_wait_2: Option<Duration>,
    /// The retransmission timer (RFC 6298).
    pub rto: Rto,
    /// R2 for the SYN: how often it is sent again (MUST-23; `tcp_syn_retries`).
    pub syn_retries: u32,
    /// How many of those come at the initial RTO before back-off begins
    /// (`tcp_syn_linear_timeouts`).
    pub syn_linear: u32,
    /// How often a SYN,ACK is sent again before the connection is dropped (`tcp_synack_retries`).
    pub synack_retries: u32,
    /// R1: retransmissions before the application is told (SHLD-10: at least 3; `tcp_retries1`).
    pub r1: u32,
    /// R2: retransmissions before the connection is given up (MUST-20, SHLD-11: at least 100 s;
    /// `tcp_retries2`).
    pub r2: u32,
    /// R2 once the application has closed (`tcp_orphan_retries`, 0 there means 8).
    pub orphan_retries: u32,
    /// The longest that sent data or our SYN may stay unacknowledged (MUST-21; `TCP_USER_TIMEOUT`);
    /// `None`: R2 alone decides.
    pub user_timeout: Option<Duration>,
    /// Keepalive (RFC 9293 section 3.8.4), off by default (MUST-25).
    pub keepalive: Option<KeepAlive>,
    /// Zero-window probes, between these intervals (MUST-36, SHLD-29, SHLD-30); `None`: never.
    pub persist: Option<Persist>,
    /// The longest that an ACK is held back, below 0.5 s (MUST-40); `None`: ACK at once.
    pub delayed_ack: Option<Duration>,
    /// When text in order is acknowledged, where `delayed_ack` lets an ACK wait.
    pub ack_pace: AckPace,
    /// How many of a connection's first ACKs are not delayed, at most (`TCP_MAX_QUICKACKS`: 16).
    pub quick_acks: u32,
    /// What a segment smaller than full waits for (SHLD-7, MUST-17; `TCP_NODELAY`).
    pub nagle: Nagle,
    /// Silly-window avoidance, the sender's and the receiver's.
    pub silly_window: SillyWindow,
    /// The override timeout of the sender's silly-window avoidance, 0.1 to 1 s (MUST-38).
    pub sws_override: Duration,
    /// Congestion control (MUST-19).
    pub congestion: Congestion,
    /// How losses are told and made good, where SACK was negotiated.
    pub recovery: Recovery,
    /// Initial congestion window, segments, at least 1 (RFC 6928: 10).
    pub initial_window: u32,
    /// From so many retransmissions of our SYN on the initial window is one segment (RFC 5681
    /// section 3.1: from the first; Linux: 2).
    pub lost_syns: u32,
    /// Duplicate ACKs in a row that mean loss, at least 1 (RFC 5681 section 3.2: 3).
    pub dup_ack_threshold: u32,
    /// Explicit congestion notification.
    pub ecn: Ecn,
    /// Offer and use timestamps (RFC 7323; `tcp_timestamps`).
    pub timestamps: bool,
    /// Reject old timestamps (RFC 7323 section 5).
    pub paws: bool,
    /// Offer SACK, and tell by it what came twice (RFC 2018, RFC 2883; `tcp_sack`, `tcp_dsack`).
    pub sack: bool,
    /// Offer window scaling (RFC 7323; `tcp_window_scaling`).
    pub window_scaling: bool,
    /// Our own limit of the MSS, octets, 88 to 65495 (`TCP_MAXSEG`); `None`: the link's MTU less 40
    /// (IPv4) or 60 (IPv6).
    pub mss: Option<u16>,
    /// What that limits.
    pub mss_limits: MssLimits,
    /// How the last octet of urgent data reaches the application (`SO_OOBINLINE`).
    pub urgent: UrgentData,
    /// The link's MTU, octets, at least 68 (RFC 791). Whoever owns the link fills it in.
    pub mtu: u16,
    /// What becomes of a path that takes less than any should.
    pub small_path: SmallPath,
    /// Receive buffer, octets: the largest window ever offered (`tcp_rmem`), up to 2^30.
    pub receive_buffer: usize,
    /// Send buffer, octets, at least 1: how much SEND takes that is not acknowledged (`tcp_wmem`).
    pub send_buffer: usize,
    /// How initial sequence numbers are chosen (RFC 9293 section 3.4.1).
    pub isn: Isn,
    /// Where a segment has to lie.
    pub sequence_check: SequenceCheck,
    /// What of a window's edges counts as in the window.
    pub window_edges: WindowEdges,
    /// What becomes of a segment without ACK, RST and SYN.
    pub unacknowledging: Unacknowledging,
    /// Which copy of an octet counts where segments that are held beyond RCV.NXT overlap.
    pub overlap: Overlap,
    /// What a segment does whose text begins before the peer's FIN, which was taken, and goes on
    /// behind it.
    pub text_over_fin: TextOverFin,
    /// What becomes of text and a FIN that come with a SYN.
    pub syn_text: SynText,
    /// Which echo of our SYN's timestamp a handshake takes.
    pub syn_echo: SynEcho,
    /// What becomes of a TIME-WAIT whose four-tuple a SYN opened again.
    pub time_wait_syn: TimeWaitSyn,
    /// What is left of a connection in FIN-WAIT-2 once the application has let go.
    pub orphan: Orphan,
    /// What the end of a listener means for its connections in SYN-RECEIVED.
    pub listener_end: ListenerEnd,
    /// How often a FIN is sent.
    pub fin_repeats: FinRepeats,
    /// RST and SYN in a synchronized state, and the range of acceptable ACKs (RFC 5961).
    pub reset_checks: ResetChecks,
    /// Where a RST resets under RFC 5961.
    pub reset_place: ResetPlace,
    /// At most one answer per connection in this time to segments that cannot be used: challenge
    /// ACKs, and the ACKs of what has neither text nor FIN, or a SYN (RFC 5961 section 7;
    /// `tcp_invalid_ratelimit`, 500 ms).
    pub challenge_interval: Duration,
    /// When a passive opener takes its SYN as acknowledged (RFC 9293 section 3.10.7.4, fifth
    /// check).
    pub syn_acknowledged: SynAcknowledged,
    /// What the application's data and FIN wait for beyond ESTABLISHED.
    pub hold_back: HoldBack,
    /// Edges of the state table ([`TRANSITIONS`](crate::state::TRANSITIONS)) that lead elsewhere.
    pub detours: Vec<Detour>,
    /// Time to live, or hop limit, 1 to 254 (MUST-49; 255 would pass the kernel listener that
    /// guards us).
    pub ttl: u8,
    /// The octet with DSCP and ECN (MUST-48; `IP_TOS`).
    pub tos: u8,
}

/// Whose replies, where a kernel was measured to differ from the letter of the RFC.
/// [`DIALECT_LINUX`] lists what follows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dialect {
    /// RFC 9293.
    Rfc9293,
    /// Linux 6.18.
    Linux,
}

/// Retransmission timeouts (RFC 6298).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rto {
    /// Before the first sample (section 2.1: 1 s).
    pub initial: Duration,
    /// Never below, or its variance never below (section 2.4: 1 s; Linux 200 ms).
    pub min: Duration,
    /// Never above (section 2.5: at least 60 s; Linux 120 s).
    pub max: Duration,
    /// What each timeout multiplies it by (section 5.5: 2); 1 is no back-off.
    pub backoff: u32,
    /// How it follows from the round-trip times.
    pub variance: Variance,
    /// Which segments a round-trip time is taken from.
    pub samples: Samples,
}

/// Keepalive (RFC 9293 section 3.8.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KeepAlive {
    /// Silence before the first probe (MUST-28: 2 h; `tcp_keepalive_time`).
    pub idle: Duration,
    /// Between probes (`tcp_keepalive_intvl`, 75 s).
    pub interval: Duration,
    /// Unanswered probes that end the connection, at least 2 (MUST-29; `tcp_keepalive_probes`, 9).
    pub probes: u32,
}

impl Default for KeepAlive {
    fn default() -> KeepAlive {
        KeepAlive {
            idle: secs(7200),
            interval: secs(75),
            probes: 9,
        }
    }
}

/// Zero-window probes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Persist {
    /// Never sooner than this; the first comes after one RTO (SHLD-29), and each wait is twice the
    /// one before (SHLD-30).
    pub min: Duration,
    /// Never later than this; at least `min`.
    pub max: Duration,
}

/// An edge of the state table that leads elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Detour {
    /// From this state,
    pub from: State,
    /// on this,
    pub on: Trigger,
    /// to this one instead.
    pub to: State,
    /// The preset that asked for it.
    pub rule: &'static str,
    /// What it breaks.
    pub requirement: &'static str,
}

/// A named set of values for all of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Profile {
    /// Replies, timers and limits of Linux 6.18; TIME-WAIT 60 s.
    #[default]
    Linux,
    /// The letter of RFC 9293 and its companions; TIME-WAIT 4 min.
    Rfc9293,
    /// The textbook of 1981: no challenge ACK, RST checks of RFC 793.
    Rfc793,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 3] = [Profile::Linux, Profile::Rfc9293, Profile::Rfc793];

    /// Its name on the command line and in events files.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Linux => "linux",
            Profile::Rfc9293 => "rfc9293",
            Profile::Rfc793 => "rfc793",
        }
    }

    /// The configuration.
    pub fn config(self) -> Config {
        Config {
            conn: match self {
                Profile::Linux => ConnConfig::linux(),
                Profile::Rfc9293 => ConnConfig::rfc9293(),
                Profile::Rfc793 => ConnConfig {
                    reset_checks: ResetChecks::Rfc793,
                    timestamps: false,
                    paws: false,
                    sack: false,
                    window_scaling: false,
                    ..ConnConfig::rfc9293()
                },
            },
            checksum: ChecksumPolicy::Partial,
            rst_on_closed: true,
            overflow: Overflow::Cookies,
            max_connections: 65_536,
            max_memory: 1 << 30,
        }
    }
}

impl ConnConfig {
    fn rfc9293() -> ConnConfig {
        ConnConfig {
            dialect: Dialect::Rfc9293,
            msl: secs(120),
            time_wait_restart: TimeWaitRestart::OnFin,
            time_wait_rst: TimeWaitRst::Obey,
            fin_wait_2: None,
            rto: Rto {
                initial: secs(1),
                min: secs(1),
                max: secs(120),
                backoff: 2,
                variance: Variance::Rfc6298,
                samples: Samples::Unambiguous,
            },
            syn_retries: 8,
            syn_linear: 0,
            synack_retries: 8,
            r1: 3,
            r2: 15,
            orphan_retries: 15,
            user_timeout: None,
            keepalive: None,
            persist: Some(Persist {
                min: secs(1),
                max: secs(60),
            }),
            delayed_ack: Some(millis(200)),
            ack_pace: AckPace::Rfc9293,
            quick_acks: 0,
            nagle: Nagle::Rfc896,
            silly_window: SillyWindow::Avoid,
            sws_override: millis(500),
            congestion: Congestion::NewReno,
            recovery: Recovery::Rfc6675,
            initial_window: 10,
            lost_syns: 1,
            dup_ack_threshold: 3,
            ecn: Ecn::Off,
            timestamps: true,
            paws: true,
            sack: true,
            window_scaling: true,
            mss: None,
            mss_limits: MssLimits::Offered,
            urgent: UrgentData::Inline,
            mtu: 1500,
            small_path: SmallPath::Reduce,
            receive_buffer: 1 << 18,
            send_buffer: 1 << 18,
            isn: Isn::Rfc6528,
            sequence_check: SequenceCheck::Window,
            window_edges: WindowEdges::Exclusive,
            unacknowledging: Unacknowledging::Check,
            overlap: Overlap::SequenceOrder,
            text_over_fin: TextOverFin::Ignore,
            syn_text: SynText::Queue,
            syn_echo: SynEcho::Any,
            time_wait_syn: TimeWaitSyn::Return,
            orphan: Orphan::Connection,
            listener_end: ListenerEnd::Reset,
            fin_repeats: FinRepeats::UntilAcknowledged,
            reset_checks: ResetChecks::Rfc5961,
            reset_place: ResetPlace::RcvNxt,
            challenge_interval: millis(500),
            syn_acknowledged: SynAcknowledged::ByAck,
            hold_back: HoldBack::Nothing,
            detours: Vec::new(),
            ttl: 64,
            tos: 0,
        }
    }

    fn linux() -> ConnConfig {
        ConnConfig {
            dialect: Dialect::Linux,
            msl: secs(30),
            fin_wait_2: Some(secs(60)),
            rto: Rto {
                initial: secs(1),
                min: millis(200),
                max: secs(120),
                backoff: 2,
                variance: Variance::Linux,
                samples: Samples::Unambiguous,
            },
            syn_retries: 10,
            syn_linear: 4,
            synack_retries: 5,
            orphan_retries: 8,
            persist: Some(Persist {
                min: millis(200),
                max: secs(120),
            }),
            delayed_ack: Some(millis(40)),
            ack_pace: AckPace::Linux,
            quick_acks: 16,
            nagle: Nagle::Minshall,
            congestion: Congestion::Cubic,
            recovery: Recovery::Rack,
            sws_override: millis(200),
            small_path: SmallPath::Fragment,
            window_edges: WindowEdges::Inclusive,
            unacknowledging: Unacknowledging::Drop,
            ecn: Ecn::WhenAsked,
            syn_text: SynText::Drop,
            syn_echo: SynEcho::Ours,
            time_wait_syn: TimeWaitSyn::Forget,
            orphan: Orphan::Mini,
            listener_end: ListenerEnd::Forget,
            overlap: Overlap::Linux,
            text_over_fin: TextOverFin::Reset,
            lost_syns: 2,
            reset_place: ResetPlace::WherePeerIs,
            mss_limits: MssLimits::Both,
            urgent: UrgentData::OutOfBand,
            ..ConnConfig::rfc9293()
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Profile::default().config()
    }
}

impl Default for ConnConfig {
    fn default() -> ConnConfig {
        Config::default().conn
    }
}

/// What [`Dialect::Linux`] and the `linux` profile change, each with the requirement that it
/// departs from. `--help` prints it.
pub const DIALECT_LINUX: &[(&str, &str)] = &[
    (
        "RFC 9293 3.4.2",
        "MSL 30 s, so that TIME-WAIT is 60 s instead of 4 min",
    ),
    (
        "MUST-23",
        "a SYN is given up after 10 retransmissions, 134 s instead of 3 min",
    ),
    (
        "RFC 6298 2.3, 2.4",
        "RTO = SRTT + the largest deviation of the last round trips, which is 200 ms or more, instead of 1 s or more",
    ),
    (
        "RFC 9293 3.10.7.4",
        "a retransmitted SYN in SYN-RECEIVED gets the SYN,ACK again instead of an ACK",
    ),
    (
        "RFC 9293 3.10.7.4",
        "the ACK field of a duplicate that ends at RCV.NXT, or of an ACK at the right edge of the window, is processed",
    ),
    (
        "RFC 9293 3.10.7.4",
        "a segment without ACK, RST and SYN is dropped before any check",
    ),
    (
        "RFC 7323 5.3",
        "in SYN-RECEIVED a wrong ACK gets its RST whatever its timestamp",
    ),
    (
        "RFC 5961 3.2",
        "a RST right behind what SACK reports, or after the peer's FIN at RCV.NXT-1, resets, too",
    ),
    (
        "RFC 9293 3.10.7.4",
        "in TIME-WAIT only an exact RST, not one with an old timestamp, has an effect",
    ),
    (
        "RFC 7323 5.3",
        "in TIME-WAIT only a bare ACK at RCV.NXT moves TS.Recent",
    ),
    (
        "RFC 6191 2",
        "a SYN that TIME-WAIT does not take is answered with an ACK instead of dropped",
    ),
    (
        "RFC 7323 3.2",
        "a segment without the negotiated timestamp is accepted",
    ),
    ("RFC 9293 3.10.5", "an ABORT's RST also carries an ACK"),
    (
        "MUST-56",
        "in SYN-SENT any ICMP error ends the connection; afterwards none does",
    ),
    (
        "RFC 9293 3.8.6.1",
        "a zero-window probe has no text and SEG.SEQ = SND.UNA-1",
    ),
    (
        "not in the RFC",
        "FIN-WAIT-2 ends 60 s after CLOSE; FIN-WAIT-1 and LAST-ACK after 8 retransmissions",
    ),
    (
        "RFC 2018 8",
        "after a timeout what SACK said to be held is not sent again before the left edge of the window has reached it",
    ),
    (
        "SHLD-18, SHLD-19",
        "an ACK waits for the application: it goes when that has read, or with its answer, or 40 to 200 ms later; the first 16, and what exceeds a full segment, go at once",
    ),
    (
        "RFC 1191 3",
        "a path of less than 552 octets gets packets of 552 that routers may cut, instead of smaller ones",
    ),
    (
        "SHLD-7",
        "Nagle's algorithm in Minshall's variant: a small segment waits for an unacknowledged small one only",
    ),
    (
        "RFC 5681",
        "CUBIC (RFC 9438), and losses told by time (RACK-TLP, RFC 8985) where the peer permits SACK",
    ),
    (
        "RFC 5681 3.1",
        "a SYN lost once leaves the initial window as it is",
    ),
    (
        "RFC 9293 3.10.7.2",
        "text or a FIN on a SYN or SYN,ACK is not taken; SYN,FIN to a listener is dropped",
    ),
    (
        "RFC 9293 3.10.7.3",
        "a SYN,ACK with a TSecr that none of our SYNs carried is answered with a RST; the third ACK with an ACK",
    ),
    (
        "MAY-2",
        "a SYN that opens TIME-WAIT again ends it for good, even if it proves to be an old duplicate",
    ),
    (
        "RFC 9293 3.10.7.4",
        "after CLOSE in FIN-WAIT-2 any RST or SYN in the window ends the connection, and no ACK is checked",
    ),
    (
        "RFC 9293 3.10.5",
        "the end of a listener sends no RST for its connections in SYN-RECEIVED",
    ),
    (
        "RFC 9293 3.10.7.4",
        "the ACK of a FIN waits, 2 ms where no text came before it, else as long as a delayed ACK: who closes at once sends it with its own FIN",
    ),
    (
        "RFC 9293 3.10.7.4",
        "new text after CLOSE is answered with a RST",
    ),
    (
        "RFC 9293 3.10.7.4",
        "of two held segments that begin alike the longer one counts instead of the first",
    ),
    (
        "RFC 9293 3.10.7.4",
        "text that begins before the peer's FIN and goes on behind it resets the connection instead of being ignored",
    ),
    (
        "RFC 9293 3.7.1",
        "--mss limits what is sent, too; an active opener sends so much to a peer that offers no MSS, instead of 536",
    ),
    (
        "RFC 6093 3.1",
        "the last octet of urgent data is taken out of the stream, as without SO_OOBINLINE; an urgent pointer of 0 means 1",
    ),
];

/// Where the `linux` profile still differs from Linux 6.18, as measured beside it. `--help` prints
/// it.
pub const LINUX_DIFFERENCES: &[&str] = &[
    "a FIN beyond RCV.NXT does not count while text is held behind it; Linux takes it when its turn comes",
    "text beyond the right edge of the window is cut off there; Linux keeps it whole while nothing is unread",
    "a reset drops unread text; Linux lets the application read it",
    "a timestamp that is older by one tick is old; Linux accepts it, and answers no bare ACK with an older one",
    "a bare ACK in the window gets no answer in TIME-WAIT",
    "a shutdown in SYN-SENT waits for ESTABLISHED; Linux ends the connection",
    "slow start counts segments, and recovery starts with a burst; Linux counts bytes and uses PRR (RFC 9937)",
    "timers fire when they are due; Linux's timer wheel fires up to a tenth later",
    "ACKs are not quick because the window grows, and half of a small window does not limit a segment",
    "the MSS follows the interface's MTU, not the route's; the MSS that a SYN cookie keeps is rounded to other values",
    "the bits of AccECN are ignored",
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn profiles_differ_as_the_table_says() {
        let [linux, rfc] = [Profile::Linux, Profile::Rfc9293].map(|profile| profile.config().conn);
        let mut same = linux.clone();
        let mut rows = 0;
        macro_rules! row {
            ($($field:ident).+) => {{
                row!($($field).+, |value| format!("{value:?}"));
            }};
            ($($field:ident).+, $text:expr) => {{
                let text = $text;
                let row = format!("/// | `{}` | {} | {} |\n", stringify!($($field).+), text(linux.$($field).+), text(rfc.$($field).+));
                assert!(include_str!("config.rs").contains(&row), "{row}");
                same.$($field).+ = rfc.$($field).+;
                rows += 1;
            }};
        }
        row!(dialect);
        row!(msl);
        row!(fin_wait_2);
        row!(rto.min);
        row!(rto.variance);
        row!(syn_retries);
        row!(syn_linear);
        row!(synack_retries);
        row!(orphan_retries);
        row!(persist, |value: Option<Persist>| value.map_or(
            "None".into(),
            |persist| format!("{:?} to {:?}", persist.min, persist.max)
        ));
        row!(delayed_ack);
        row!(ack_pace);
        row!(quick_acks);
        row!(nagle);
        row!(congestion);
        row!(recovery);
        row!(sws_override);
        row!(small_path);
        row!(window_edges);
        row!(unacknowledging);
        row!(ecn);
        row!(syn_text);
        row!(syn_echo);
        row!(time_wait_syn);
        row!(orphan);
        row!(listener_end);
        row!(overlap);
        row!(text_over_fin);
        row!(lost_syns);
        row!(reset_place);
        row!(mss_limits);
        row!(urgent);
        assert_eq!(same, rfc, "a row is missing");
        assert_eq!(include_str!("config.rs").matches("\n/// | `").count(), rows);
    }
}
