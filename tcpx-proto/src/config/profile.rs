//! The three profiles: every parameter and policy with its value.

use super::{
    AbortRst, AckPace, BeyondWindow, Config, Congestion, ConnConfig, CwndReduction, Ecn,
    FastOpenRefused, FastOpenRepeats, FinRepeats, GiveUp, HandshakeIcmp, HeldOutput, Isn,
    ListenerEnd, MissingTimestamp, MssLimits, Nagle, OldAckTimestamp, OldTimestamp, Orphan,
    OrphanProbes, Overflow, Overlap, Persist, ProbeInterval, ProbeTimer, ReceiveWindow, Recovery,
    RepeatedSyn, RequestAck, RequestSyn, ResetChecks, ResetPlace, ResetTos, Rto, Samples,
    SequenceCheck, ShrunkWindow, SillyWindow, SimultaneousOptions, SlowStart, SmallPath,
    SpuriousLoss, SynAcknowledged, SynEcho, SynSentAck, SynSentShutdown, SynText, TextOverFin,
    TimeWaitAck, TimeWaitChallenge, TimeWaitOldRst, TimeWaitRefused, TimeWaitReopen,
    TimeWaitRestart, TimeWaitRst, TimeWaitSyn, TimeoutSack, TimerGranularity, Unacknowledging,
    UnreadText, UrgentData, UserTimeoutFrom, Variance, WindowEdges, WindowUpdate, WindowUse,
    ZeroWindowProbe,
};
use crate::name::names;
use crate::time::Duration;
use crate::wire::{ChecksumPolicy, OptionLayout};
use alloc::vec::Vec;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn rto(min: Duration, variance: Variance, samples: Samples) -> Rto {
    Rto {
        initial: secs(1),
        min,
        max: secs(120),
        backoff: 2,
        variance,
        samples,
    }
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

names!(Profile, "profile", {
    Profile::Linux => "linux",
    Profile::Rfc9293 => "rfc9293",
    Profile::Rfc793 => "rfc793",
});

impl Profile {
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
            max_orphans: 16_384,
            max_time_wait: 32_768,
            max_memory: 1 << 30,
            least_memory: 4096,
            whole_records: 1024,
        }
    }
}

impl ConnConfig {
    fn rfc9293() -> ConnConfig {
        ConnConfig {
            msl: secs(120),
            time_wait_restart: TimeWaitRestart::OnFin,
            time_wait_rst: TimeWaitRst::Obey,
            fin_wait_2: None,
            linger: None,
            rto: rto(secs(1), Variance::Rfc6298, Samples::Unambiguous),
            //= MUST-23
            syn_retries: 8,
            syn_linear: 0,
            synack_retries: 8,
            //= SHLD-10
            r1: 3,
            //= SHLD-11
            r2: 15,
            orphan_retries: 15,
            user_timeout: None,
            user_timeout_from: UserTimeoutFrom::Transmission,
            give_up: GiveUp::Count,
            timer_granularity: TimerGranularity::Exact,
            //= MUST-25
            keepalive: None,
            persist: Some(Persist {
                min: secs(1),
                max: secs(60),
            }),
            //= MUST-40
            delayed_ack: Some(millis(200)),
            ack_pace: AckPace::Rfc9293,
            quick_acks: 0,
            nagle: Nagle::Rfc896,
            no_delay: false,
            silly_window: SillyWindow::Avoid,
            //= MUST-38
            sws_override: Some(millis(500)),
            probe_interval: ProbeInterval::FromProbe,
            probe_timer: ProbeTimer::Rfc8985,
            shrunk_window: ShrunkWindow::Probe,
            congestion: Congestion::NewReno,
            recovery: Recovery::Rfc6675,
            cwnd_reduction: CwndReduction::AtOnce,
            spurious_loss: SpuriousLoss::Ignore,
            slow_start: SlowStart::PerAck,
            window_use: WindowUse::Ignored,
            initial_window: 10,
            lost_syns: 1,
            dup_ack_threshold: 3,
            ecn: Ecn::Off,
            timestamps: true,
            paws: true,
            sack: true,
            window_scaling: true,
            window_shift: None,
            syn_options: OptionLayout::Linux,
            mss: None,
            mss_limits: MssLimits::Offered,
            urgent: UrgentData::Inline,
            mtu: 1500,
            small_path: SmallPath::Reduce,
            receive_window: ReceiveWindow::Buffer,
            receive_limit: None,
            receive_buffer: 1 << 18,
            send_buffer: 1 << 18,
            isn: Isn::Rfc6528,
            sequence_check: SequenceCheck::Window,
            window_edges: WindowEdges::Exclusive,
            unacknowledging: Unacknowledging::Check,
            overlap: Overlap::SequenceOrder,
            text_over_fin: TextOverFin::Ignore,
            syn_text: SynText::Queue,
            fast_open: false,
            fast_open_pending: 128,
            fast_open_repeats: FastOpenRepeats::FirstSynOnly,
            fast_open_refused: FastOpenRefused::Remember,
            syn_echo: SynEcho::Any,
            time_wait_syn: TimeWaitSyn::Return,
            orphan: Orphan::Connection,
            orphan_probes: OrphanProbes::WhileAnswered,
            listener_end: ListenerEnd::Reset,
            fin_repeats: FinRepeats::UntilAcknowledged,
            syn_sent_ack: SynSentAck::Reset,
            repeated_syn: RepeatedSyn::Acknowledge,
            request_ack: RequestAck::InOrder,
            request_syn: RequestSyn::Return,
            missing_timestamp: MissingTimestamp::Drop,
            time_wait_ack: TimeWaitAck::Check,
            old_timestamp: OldTimestamp::Answer,
            old_ack_timestamp: OldAckTimestamp::Take,
            simultaneous_options: SimultaneousOptions::Agreed,
            window_update: WindowUpdate::Rfc9293,
            beyond_window: BeyondWindow::Cut,
            unread_text: UnreadText::Flush,
            syn_sent_shutdown: SynSentShutdown::Queue,
            reset_tos: ResetTos::Zero,
            time_wait_old_rst: TimeWaitOldRst::Accept,
            time_wait_challenge: TimeWaitChallenge::Send,
            time_wait_reopen: TimeWaitReopen::Rfc6191,
            time_wait_refused: TimeWaitRefused::Drop,
            handshake_icmp: HandshakeIcmp::HardErrors,
            abort_rst: AbortRst::Bare,
            zero_window_probe: ZeroWindowProbe::OneByte,
            timeout_sack: TimeoutSack::Forget,
            reset_checks: ResetChecks::Rfc5961,
            reset_place: ResetPlace::RcvNxt,
            challenge_interval: millis(500),
            syn_acknowledged: SynAcknowledged::ByAck,
            held_output: HeldOutput::Nothing,
            detours: Vec::new(),
            ttl: 64,
            tos: 0,
        }
    }

    fn linux() -> ConnConfig {
        ConnConfig {
            msl: secs(30),
            fin_wait_2: Some(secs(60)),
            rto: rto(millis(200), Variance::Linux, Samples::CrossedSyn),
            syn_retries: 10,
            syn_linear: 4,
            synack_retries: 5,
            orphan_retries: 8,
            give_up: GiveUp::Time,
            timer_granularity: TimerGranularity::Wheel,
            persist: Some(Persist {
                min: millis(200),
                max: secs(120),
            }),
            delayed_ack: Some(millis(40)),
            ack_pace: AckPace::Linux,
            quick_acks: 16,
            nagle: Nagle::Minshall,
            user_timeout_from: UserTimeoutFrom::Retransmission,
            receive_window: ReceiveWindow::Linux,
            congestion: Congestion::Cubic,
            recovery: Recovery::Rack,
            cwnd_reduction: CwndReduction::Proportional,
            spurious_loss: SpuriousLoss::Undo,
            slow_start: SlowStart::PerByte,
            window_use: WindowUse::Counted,
            sws_override: None,
            probe_interval: ProbeInterval::FromAnswer,
            probe_timer: ProbeTimer::Linux,
            shrunk_window: ShrunkWindow::Resend,
            small_path: SmallPath::Fragment,
            window_edges: WindowEdges::Inclusive,
            unacknowledging: Unacknowledging::Drop,
            ecn: Ecn::WhenAsked,
            syn_text: SynText::Drop,
            fast_open_refused: FastOpenRefused::AskAgain,
            syn_echo: SynEcho::Ours,
            time_wait_syn: TimeWaitSyn::Forget,
            orphan: Orphan::Mini,
            orphan_probes: OrphanProbes::ToMaximum,
            listener_end: ListenerEnd::Forget,
            overlap: Overlap::Linux,
            text_over_fin: TextOverFin::Reset,
            lost_syns: 2,
            reset_place: ResetPlace::WherePeerIs,
            mss_limits: MssLimits::Both,
            urgent: UrgentData::OutOfBand,
            syn_sent_ack: SynSentAck::ResetAndRetry,
            repeated_syn: RepeatedSyn::SynAck,
            request_ack: RequestAck::First,
            request_syn: RequestSyn::Reset,
            missing_timestamp: MissingTimestamp::Accept,
            time_wait_ack: TimeWaitAck::Ignore,
            old_timestamp: OldTimestamp::Linux,
            old_ack_timestamp: OldAckTimestamp::Ignore,
            simultaneous_options: SimultaneousOptions::Offered,
            window_update: WindowUpdate::NotSmaller,
            beyond_window: BeyondWindow::Whole,
            unread_text: UnreadText::Keep,
            syn_sent_shutdown: SynSentShutdown::End,
            reset_tos: ResetTos::Reflected,
            time_wait_old_rst: TimeWaitOldRst::Drop,
            time_wait_challenge: TimeWaitChallenge::Silent,
            time_wait_reopen: TimeWaitReopen::Linux,
            time_wait_refused: TimeWaitRefused::Acknowledge,
            handshake_icmp: HandshakeIcmp::AnyError,
            abort_rst: AbortRst::WithAck,
            zero_window_probe: ZeroWindowProbe::Empty,
            timeout_sack: TimeoutSack::Keep,
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
