//! Every parameter and published policy: its default, unit, RFC section and Linux sysctl.
//!
//! A policy that RFCs or kernels see differently is an enum that names them. `None` switches a
//! timer off.

mod congestion;
mod differences;
mod option;
mod policy;
mod profile;
mod time_wait;

pub use congestion::{
    Congestion, CwndReduction, Ecn, Recovery, Samples, SlowStart, SpuriousLoss, TimeoutSack,
    Variance, WindowUse,
};
pub use differences::{DIFFERENCES, Difference, LINUX_DIFFERENCES, NAMED_DIFFERENCES};
pub use option::SocketOption;
pub use policy::{
    AbortRst, AckPace, BeyondWindow, FastOpenRefused, FastOpenRepeats, FinRepeats, GiveUp,
    HandshakeIcmp, HeldOutput, Isn, ListenerEnd, MissingTimestamp, MssLimits, Nagle,
    OldAckTimestamp, OldTimestamp, Orphan, OrphanProbes, Overlap, ProbeInterval, ProbeTimer,
    ReceiveWindow, RepeatedSyn, RequestAck, RequestSyn, ResetChecks, ResetPlace, ResetTos,
    SequenceCheck, ShrunkWindow, SillyWindow, SimultaneousOptions, SmallPath, SynAcknowledged,
    SynEcho, SynSentAck, SynSentShutdown, SynText, TextOverFin, TimerGranularity, Unacknowledging,
    UnreadText, UrgentData, UserTimeoutFrom, WindowEdges, WindowUpdate, ZeroWindowProbe,
};
pub use profile::Profile;
pub use time_wait::{
    TimeWaitAck, TimeWaitChallenge, TimeWaitOldRst, TimeWaitRefused, TimeWaitReopen,
    TimeWaitRestart, TimeWaitRst, TimeWaitSyn,
};

use crate::state::{State, Trigger};
use crate::time::Duration;
use crate::wire::{ChecksumPolicy, OptionLayout};
use alloc::vec::Vec;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The configuration of a stack.
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
    /// The most connections that the application has closed and the peer has not, TIME-WAIT not
    /// included (`tcp_max_orphans`). Past it CLOSE resets the connection.
    pub max_orphans: usize,
    /// The most connections in TIME-WAIT, and in FIN-WAIT-2 as [`Orphan::Mini`]
    /// (`tcp_max_tw_buckets`). Past it one that gets there ends at once.
    pub max_time_wait: usize,
    /// The most bytes in all send and receive buffers together (`tcp_mem`). Past it a connection
    /// takes no more text than [`least_memory`](Config::least_memory) has room for, and CLOSE
    /// resets one whose text the peer has not acknowledged.
    pub max_memory: usize,
    /// Bytes that the buffers of each connection may take, whatever the others have (`tcp_rmem` and
    /// `tcp_wmem`, the first value).
    pub least_memory: usize,
    /// How many connections keep whole records though they are idle, those that were used last; the
    /// others are compact, a fifth as large or less. Nothing else depends on it. 0: none;
    /// `usize::MAX`: all.
    pub whole_records: usize,
}

/// What a listener does with a SYN when its backlog is full (RFC 4987).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Overflow {
    /// Answer with a SYN cookie, keep no state (section 3.6; `net.ipv4.tcp_syncookies=1`).
    Cookies,
    /// Drop it (`tcp_syncookies=0`).
    Drop,
    /// There is no limit: each SYN gets a record, up to [`Config::max_connections`].
    Unbounded,
}

/// The parameters and policies of one connection, or of those that a listener accepts. The default
/// is the `linux` profile; [`DIFFERENCES`] lists where the profiles differ.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConnConfig {
    /// Maximum segment lifetime; TIME-WAIT is twice that (RFC 9293 section 3.4.2: 2 min; Linux:
    /// TIME-WAIT is 60 s).
    pub msl: Duration,
    /// What restarts TIME-WAIT's 2 MSL.
    pub time_wait_restart: TimeWaitRestart,
    /// Whether a RST ends TIME-WAIT (RFC 1337; `tcp_rfc1337`).
    pub time_wait_rst: TimeWaitRst,
    /// How long FIN-WAIT-2 may last after CLOSE (not in the RFC; `tcp_fin_timeout`, 60 s); `None`:
    /// forever; zero: not at all, and a CLOSE there sends a RST (`TCP_LINGER2` below 0).
    pub fin_wait_2: Option<Duration>,
    /// What CLOSE of both directions does (`SO_LINGER`): zero is a RST where ABORT sends one; `None`
    /// and all other times are the FIN of RFC 9293 section 3.10.4. In Linux the call then waits up to
    /// that long for the ACK of the FIN; a CLOSE here never waits.
    pub linger: Option<Duration>,
    /// The retransmission timer (RFC 6298).
    pub rto: Rto,
    /// R2 for the SYN: how often it is retransmitted (MUST-23; `tcp_syn_retries`).
    pub syn_retries: u32,
    /// How many of those come at the initial RTO before back-off begins
    /// (`tcp_syn_linear_timeouts`).
    pub syn_linear: u32,
    /// How often a SYN,ACK is retransmitted before the connection is dropped
    /// (`tcp_synack_retries`).
    pub synack_retries: u32,
    /// R1: retransmissions before the application is notified (SHLD-10: at least 3;
    /// `tcp_retries1`).
    pub r1: u32,
    /// R2: retransmissions before the connection is given up (MUST-20, SHLD-11: at least 100 s;
    /// `tcp_retries2`).
    pub r2: u32,
    /// R2 once the application has closed (`tcp_orphan_retries`, 0 there means 8).
    pub orphan_retries: u32,
    /// The longest that sent data or our SYN may stay unacknowledged (MUST-21; `TCP_USER_TIMEOUT`);
    /// `None`: R2 alone decides.
    pub user_timeout: Option<Duration>,
    /// From when that counts.
    pub user_timeout_from: UserTimeoutFrom,
    /// When R2 is reached.
    pub give_up: GiveUp,
    /// When a timer fires that is due.
    pub timer_granularity: TimerGranularity,
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
    /// What a segment smaller than full waits for (SHLD-7).
    pub nagle: Nagle,
    /// It waits for nothing (MUST-17; `TCP_NODELAY`).
    pub no_delay: bool,
    /// Silly-window avoidance, the sender's and the receiver's.
    pub silly_window: SillyWindow,
    /// The override timeout of the sender's silly-window avoidance, 0.1 to 1 s (MUST-38); `None`:
    /// one RTO, after which Linux probes a window that is too small, too.
    pub sws_override: Option<Duration>,
    /// When the interval to the next zero-window probe begins.
    pub probe_interval: ProbeInterval,
    /// The timer of tail-loss probes.
    pub probe_timer: ProbeTimer,
    /// What lies beyond a window that was taken back.
    pub shrunk_window: ShrunkWindow,
    /// Congestion control (MUST-19).
    pub congestion: Congestion,
    /// How losses are detected and repaired where SACK was negotiated.
    pub recovery: Recovery,
    /// How fast the congestion window falls when something is lost or marked.
    pub cwnd_reduction: CwndReduction,
    /// What happens when a loss turns out to be none.
    pub spurious_loss: SpuriousLoss,
    /// By how much slow start opens the congestion window.
    pub slow_start: SlowStart,
    /// What becomes of a congestion window that is not used (`tcp_slow_start_after_idle`).
    pub window_use: WindowUse,
    /// Initial congestion window, segments, at least 1 (RFC 6928: 10).
    pub initial_window: u32,
    /// The number of retransmissions of our SYN from which the initial window is one segment (RFC
    /// 5681 section 3.1: from the first; Linux: 2).
    pub lost_syns: u32,
    /// Duplicate ACKs in a row that mean loss, at least 1 (RFC 5681 section 3.2: 3).
    pub dup_ack_threshold: u32,
    /// Explicit congestion notification.
    pub ecn: Ecn,
    /// Offer and use timestamps (RFC 7323; `tcp_timestamps`).
    pub timestamps: bool,
    /// Reject old timestamps (RFC 7323 section 5).
    pub paws: bool,
    /// Offer SACK, and report duplicates with it (RFC 2018, RFC 2883; `tcp_sack`, `tcp_dsack`).
    pub sack: bool,
    /// Offer window scaling (RFC 7323; `tcp_window_scaling`).
    pub window_scaling: bool,
    /// Our window shift, 0 to 14, where window scaling is offered (RFC 7323 section 2.3); `None`: the
    /// smallest with which the field can name the largest buffer (Linux
    /// `tcp_select_initial_window`).
    pub window_shift: Option<u8>,
    /// The order and the padding of the options of our SYN and SYN,ACK.
    pub syn_options: OptionLayout,
    /// Our own limit of the MSS, bytes, 88 to 65495 (`TCP_MAXSEG`); `None`: the link's MTU less 40
    /// (IPv4) or 60 (IPv6).
    pub mss: Option<u16>,
    /// What that limits.
    pub mss_limits: MssLimits,
    /// How the last byte of urgent data reaches the application (`SO_OOBINLINE`).
    pub urgent: UrgentData,
    /// The link's MTU, bytes, at least 68 (RFC 791). The owner of the link sets it.
    pub mtu: u16,
    /// What happens on a path with a smaller MTU than any should have.
    pub small_path: SmallPath,
    /// Which window is offered.
    pub receive_window: ReceiveWindow,
    /// The most memory for what is not read, bytes, up to 2^30, to which
    /// [`ReceiveWindow::Linux`] lets a buffer grow whose application reads as fast as the peer sends
    /// (`tcp_rmem[2]`); `None`: it does not grow (`SO_RCVBUF` was set).
    pub receive_limit: Option<usize>,
    /// Receive buffer, bytes: the largest window ever offered, up to 2^30. For Linux what
    /// `SO_RCVBUF` sets, or half of `tcp_rmem[1]`: twice as much memory.
    pub receive_buffer: usize,
    /// Send buffer, bytes, at least 1: how much SEND takes that is not acknowledged (`tcp_wmem`).
    pub send_buffer: usize,
    /// How initial sequence numbers are chosen (RFC 9293 section 3.4.1).
    pub isn: Isn,
    /// Where a segment must lie.
    pub sequence_check: SequenceCheck,
    /// What of a window's edges counts as in the window.
    pub window_edges: WindowEdges,
    /// What happens to a segment without ACK, RST and SYN.
    pub unacknowledging: Unacknowledging,
    /// Which copy of a byte counts where segments that are held beyond RCV.NXT overlap.
    pub overlap: Overlap,
    /// What a segment does whose text begins before the peer's FIN, which was taken, and goes on
    /// behind it.
    pub text_over_fin: TextOverFin,
    /// What happens to text and a FIN on a SYN.
    pub syn_text: SynText,
    /// TCP Fast Open (RFC 7413; `tcp_fastopen`, `TCP_FASTOPEN`), off by default: an active opener
    /// asks its peer for a cookie, and with that cookie sends the first data on its SYN; a listener
    /// gives cookies and serves a SYN with a valid one before the third ACK. Only for data that may
    /// arrive twice (section 6.1).
    pub fast_open: bool,
    /// The most connections of a listener that are served before their third ACK, those that a RST
    /// ended less than a minute ago included (RFC 7413 section 5.1; the `qlen` of `TCP_FASTOPEN`).
    /// Beyond it a SYN gets an ordinary handshake.
    pub fast_open_pending: usize,
    /// Which SYNs have the Fast Open option and text.
    pub fast_open_repeats: FastOpenRepeats,
    /// What follows from a peer that did not take part in Fast Open.
    pub fast_open_refused: FastOpenRefused,
    /// Which echo of our SYN's timestamp a handshake takes.
    pub syn_echo: SynEcho,
    /// What happens to a TIME-WAIT whose four-tuple a SYN reopened.
    pub time_wait_syn: TimeWaitSyn,
    /// What remains of a connection in FIN-WAIT-2 after CLOSE.
    pub orphan: Orphan,
    /// How long a zero window is probed after CLOSE.
    pub orphan_probes: OrphanProbes,
    /// What the end of a listener means for its connections in SYN-RECEIVED.
    pub listener_end: ListenerEnd,
    /// What an unacceptable ACK in SYN-SENT causes.
    pub syn_sent_ack: SynSentAck,
    /// What a retransmitted SYN in SYN-RECEIVED is answered with.
    pub repeated_syn: RepeatedSyn,
    /// When the ACK of a passive opener in SYN-RECEIVED is checked.
    pub request_ack: RequestAck,
    /// What another SYN in the window of a passive opener in SYN-RECEIVED causes.
    pub request_syn: RequestSyn,
    /// What happens to a segment without the timestamp that was negotiated.
    pub missing_timestamp: MissingTimestamp,
    /// Whether TIME-WAIT checks the ACK field.
    pub time_wait_ack: TimeWaitAck,
    /// What happens to a segment with an old timestamp.
    pub old_timestamp: OldTimestamp,
    /// Whether the timestamp of an ACK before SND.UNA counts.
    pub old_ack_timestamp: OldAckTimestamp,
    /// What the SYN,ACK of a simultaneous open offers.
    pub simultaneous_options: SimultaneousOptions,
    /// Which ACKs change SND.WND.
    pub window_update: WindowUpdate,
    /// What happens to text that ends beyond the window.
    pub beyond_window: BeyondWindow,
    /// What happens to unread text when the connection ends with an error.
    pub unread_text: UnreadText,
    /// What CLOSE of the sending direction does in SYN-SENT.
    pub syn_sent_shutdown: SynSentShutdown,
    /// The TOS field of a RST that answers a segment.
    pub reset_tos: ResetTos,
    /// What happens to a RST with an old timestamp in TIME-WAIT, and at a passive opener in
    /// SYN-RECEIVED.
    pub time_wait_old_rst: TimeWaitOldRst,
    /// Whether TIME-WAIT answers a RST that is not at RCV.NXT.
    pub time_wait_challenge: TimeWaitChallenge,
    /// Which SYN reopens TIME-WAIT.
    pub time_wait_reopen: TimeWaitReopen,
    /// What a SYN that does not reopen TIME-WAIT is answered with.
    pub time_wait_refused: TimeWaitRefused,
    /// Which ICMP errors end a connection that is not yet synchronized.
    pub handshake_icmp: HandshakeIcmp,
    /// The RST of an ABORT.
    pub abort_rst: AbortRst,
    /// What a zero-window probe carries.
    pub zero_window_probe: ZeroWindowProbe,
    /// What a retransmission timeout does with what SACK reported.
    pub timeout_sack: TimeoutSack,
    /// How often a FIN is transmitted.
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
    pub held_output: HeldOutput,
    /// Edges of the state table ([`TRANSITIONS`](crate::state::TRANSITIONS)) that lead elsewhere.
    pub detours: Vec<Detour>,
    /// Time to live, or hop limit, 1 to 254 (MUST-49; 255 would pass the kernel listener that
    /// guards us).
    pub ttl: u8,
    /// The byte with DSCP and ECN (MUST-48; `IP_TOS`).
    pub tos: u8,
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
            //= MUST-28
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
