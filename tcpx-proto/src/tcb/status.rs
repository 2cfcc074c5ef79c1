//! The status of a connection: RFC 9293 section 3.10.6, and what Linux's `TCP_INFO` says.

use super::Tcb;
use super::counts::Counts;
use super::scoreboard::Mark;
use super::size::offered_mss;
use crate::event::Timer;
use crate::name::names;
use crate::seq::Seq;
use crate::state::State;
use crate::time::{Duration, Instant};
use core::fmt;
use core::net::SocketAddr;

/// Whether and how losses are repaired (`tcpi_ca_state`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RecoveryState {
    /// Nothing is wrong, as far as is known.
    Open,
    /// There are duplicate ACKs or SACK blocks, not enough of them for a loss.
    Disorder,
    /// The window fell because the network marked a packet (RFC 3168).
    Cwr,
    /// Fast recovery (RFC 5681 section 3.2, RFC 6675).
    Recovery,
    /// After a retransmission timeout.
    Loss,
}

names!(RecoveryState, "recovery state", {
    RecoveryState::Open => "open",
    RecoveryState::Disorder => "disorder",
    RecoveryState::Cwr => "cwr",
    RecoveryState::Recovery => "recovery",
    RecoveryState::Loss => "loss",
});

/// A plain copy of the status of a connection (RFC 9293 section 3.10.6).
///
/// TIME-WAIT after CLOSE keeps only what its answers need: its times are those of its beginning, and
/// what was known of the round trip and of the peer's segments is forgotten (so does Linux).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Status {
    /// State.
    pub state: State,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Opened by a SYN to a listener.
    pub passive: bool,
    /// ISS.
    pub iss: Seq,
    /// SND.UNA.
    pub snd_una: Seq,
    /// SND.NXT.
    pub snd_nxt: Seq,
    /// SND.WND, bytes.
    pub snd_wnd: u32,
    /// Congestion window, bytes.
    pub cwnd: u32,
    /// IRS.
    pub irs: Seq,
    /// RCV.NXT.
    pub rcv_nxt: Seq,
    /// RCV.WND, bytes.
    pub rcv_wnd: u32,
    /// Effective send MSS, bytes.
    pub mss: u16,
    /// Smoothed round-trip time, once there was a sample.
    pub srtt: Option<Duration>,
    /// Retransmission timeout now.
    pub rto: Duration,
    /// Retransmissions of the oldest bytes so far.
    pub retransmissions: u32,
    /// Bytes that SEND took and the peer did not acknowledge.
    pub unacknowledged: usize,
    /// Bytes that RECEIVE can take now.
    pub unread: usize,
    /// How many bytes away the end of the peer's urgent data is, if there is any; its last byte
    /// is in line or not, by [`ConnConfig::urgent`](crate::config::ConnConfig).
    pub urgent: Option<usize>,
    /// When the earliest timer fires.
    pub deadline: Option<Instant>,
    /// Which one that is.
    pub timer: Option<Timer>,
    /// When it was opened.
    pub opened: Instant,
    /// Whether losses are repaired (`tcpi_ca_state`).
    pub recovery: RecoveryState,
    /// Slow start threshold, bytes; `None` before the first loss (`tcpi_snd_ssthresh`).
    pub ssthresh: Option<u32>,
    /// Bytes that are sent and not acknowledged, FIN and SYN included (`tcpi_unacked`).
    pub in_flight: u32,
    /// Of these, bytes that the peer reports as held (`tcpi_sacked`).
    pub sacked: u32,
    /// Of these, bytes that are deemed lost, sent again or not (`tcpi_lost`).
    pub lost: u32,
    /// Of these, bytes that were sent again; a tail-loss probe does not count (`tcpi_retrans`).
    pub retransmitted: u32,
    /// Bytes that SEND took and that were never sent (`tcpi_notsent_bytes`).
    pub unsent: usize,
    /// Mean deviation of the round-trip time, once there was a sample (`tcpi_rttvar`).
    pub rttvar: Option<Duration>,
    /// The shortest round-trip time, where RACK measures it (`tcpi_min_rtt`).
    pub min_rtt: Option<Duration>,
    /// Timestamps are in use (`TCPI_OPT_TIMESTAMPS`).
    pub timestamps: bool,
    /// SACK was permitted by both (`TCPI_OPT_SACK`).
    pub sack: bool,
    /// The shift of the peer's window and of ours, where windows are scaled (`tcpi_snd_wscale`,
    /// `tcpi_rcv_wscale`).
    pub window_scale: Option<(u8, u8)>,
    /// Both are capable of ECN (`TCPI_OPT_ECN`).
    pub ecn: bool,
    /// Text of a SYN was delivered (RFC 7413; `TCPI_OPT_SYN_DATA`).
    pub fast_open: bool,
    /// The peer's full segment, bytes, an estimate; 0 before its first (`tcpi_rcv_mss`).
    pub rcv_mss: u32,
    /// The MSS that we offer, bytes (`tcpi_advmss`, which is less by the timestamps).
    pub offered_mss: u16,
    /// MTU of the path, bytes (`tcpi_pmtu`).
    pub path_mtu: u16,
    /// When text, a SYN or a FIN was sent last (`tcpi_last_data_sent`).
    pub text_sent_at: Instant,
    /// When text came last (`tcpi_last_data_recv`).
    pub text_heard_at: Option<Instant>,
    /// When an acceptable segment came last (`tcpi_last_ack_recv`).
    pub last_heard_at: Instant,
    /// Bytes of text that the peer acknowledged (`tcpi_bytes_acked`, which counts SYN and FIN too).
    pub bytes_acked: u64,
    /// Bytes of text that came in order (`tcpi_bytes_received`, which counts the FIN too).
    pub bytes_received: u64,
    /// Bytes of text that were sent, repetitions included (`tcpi_bytes_sent`).
    pub bytes_sent: u64,
    /// Bytes of text that were sent again (`tcpi_bytes_retrans`).
    pub bytes_retransmitted: u64,
    /// Segments that came and that were sent since there are buffers: for a passive opener since
    /// the third ACK (`tcpi_segs_in`, `tcpi_segs_out`).
    pub segments_in: u32,
    /// See `segments_in`.
    pub segments_out: u32,
    /// Segments with text or a FIN that were sent again (`tcpi_total_retrans`).
    pub segments_retransmitted: u32,
    /// ACKs that reported something to have come twice (`tcpi_dsack_dups`).
    pub duplicates_reported: u32,
    /// RACK saw segments arrive out of order (`tcpi_reord_seen`).
    pub reordering_seen: bool,
    /// Zero-window or keepalive probes that were sent since the peer said something else
    /// (`tcpi_probes`).
    pub probes: u32,
}

impl Status {
    /// Bytes of text that are known to have arrived, in order or not (`tcpi_delivered`, which
    /// counts segments).
    pub fn delivered(&self) -> u64 {
        self.bytes_acked + u64::from(self.sacked)
    }
}

impl fmt::Display for Status {
    /// What Linux's `ss -i` prints of a connection, in its words where it has some: times in
    /// milliseconds, sizes in bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        let option = |on: bool, name: &'static str| if on { name } else { "" };
        write!(
            f,
            "{}{}{}{}{}",
            self.recovery.name(),
            option(self.timestamps, " ts"),
            option(self.sack, " sack"),
            option(self.ecn, " ecn"),
            option(self.fast_open, " fastopen")
        )?;
        if let Some((theirs, ours)) = self.window_scale {
            write!(f, " wscale:{theirs},{ours}")?;
        }
        write!(f, " rto:{:.0}", millis(self.rto))?;
        if let (Some(srtt), Some(rttvar)) = (self.srtt, self.rttvar) {
            write!(f, " rtt:{:.3}/{:.3}", millis(srtt), millis(rttvar))?;
        }
        if let Some(least) = self.min_rtt {
            write!(f, " minrtt:{:.3}", millis(least))?;
        }
        write!(
            f,
            " mss:{} pmtu:{} rcvmss:{} advmss:{} cwnd:{}",
            self.mss, self.path_mtu, self.rcv_mss, self.offered_mss, self.cwnd
        )?;
        if let Some(threshold) = self.ssthresh {
            write!(f, " ssthresh:{threshold}")?;
        }
        write!(f, " snd_wnd:{} rcv_wnd:{}", self.snd_wnd, self.rcv_wnd)?;
        let counts = [
            ("unacked", u64::from(self.in_flight)),
            ("sacked", self.sacked.into()),
            ("lost", self.lost.into()),
            ("retrans", self.retransmitted.into()),
            ("notsent", self.unsent as u64),
            ("bytes_sent", self.bytes_sent),
            ("bytes_retrans", self.bytes_retransmitted),
            ("bytes_acked", self.bytes_acked),
            ("bytes_received", self.bytes_received),
            ("segs_out", self.segments_out.into()),
            ("segs_in", self.segments_in.into()),
            ("segs_retrans", self.segments_retransmitted.into()),
            ("dsack_dups", self.duplicates_reported.into()),
            ("reord_seen", self.reordering_seen.into()),
            ("probes", self.probes.into()),
        ];
        counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .try_for_each(|(name, count)| write!(f, " {name}:{count}"))
    }
}

impl Tcb {
    /// STATUS (3.10.6).
    pub(crate) fn status(&self) -> Status {
        let transfer = self.transfer.as_deref();
        let marked = |mark| transfer.map_or(0, |transfer| transfer.history.board.bytes(mark));
        let in_flight = self.snd.flight();
        let out = self
            .snd
            .fin
            .map_or(self.snd.nxt, |fin| self.snd.nxt.min(fin));
        let sent = out.since(self.snd.text_start()) as usize;
        let Counts {
            segments_in,
            segments_out,
            retransmitted,
            duplicates_reported,
            bytes_sent,
            bytes_retransmitted,
            bytes_acked,
            bytes_received,
            text_heard,
        } = transfer
            .map(|transfer| transfer.counts.clone())
            .unwrap_or_default();
        Status {
            state: self.state,
            local: self.tuple.local,
            remote: self.tuple.remote,
            passive: self.passive,
            iss: self.snd.iss,
            snd_una: self.snd.una,
            snd_nxt: self.snd.nxt,
            snd_wnd: self.snd.wnd,
            cwnd: transfer.map_or(0, |transfer| transfer.congestion.cwnd()),
            irs: self.rcv.irs,
            rcv_nxt: self.rcv.nxt,
            rcv_wnd: self.rcv.edge.since(self.rcv.nxt),
            mss: u16::try_from(self.effective_mss(0)).unwrap_or(u16::MAX),
            srtt: self.estimator.srtt,
            rto: self.estimator.rto(),
            retransmissions: self.snd.retransmissions,
            unacknowledged: self.unacknowledged(),
            unread: self.unread(),
            urgent: self.urgent_left(),
            deadline: self.deadline(),
            timer: self.timers.earliest(),
            opened: self.opened,
            recovery: self.recovery_state(),
            ssthresh: transfer.and_then(|transfer| transfer.congestion.threshold()),
            in_flight,
            sacked: marked(Mark::Held) + transfer.map_or(0, |it| it.congestion.reported()),
            lost: marked(Mark::Lost) + marked(Mark::Resent),
            retransmitted: marked(Mark::Resent),
            unsent: self.unacknowledged().saturating_sub(sent),
            rttvar: self.estimator.variation(&self.config.rto),
            min_rtt: transfer.and_then(|transfer| transfer.history.rack.min_rtt()),
            timestamps: self.stamps.on,
            sack: self.rcv.sack,
            window_scale: self.snd.scaled.then_some((self.snd.shift, self.rcv.shift)),
            ecn: self.ecn.is_on(),
            fast_open: self.has_used_fast_open(),
            rcv_mss: self.pace.full(),
            offered_mss: offered_mss(&self.config, self.tuple.remote),
            path_mtu: self.snd.path_mtu,
            text_sent_at: self.snd.last_sent,
            text_heard_at: text_heard,
            last_heard_at: self.rcv.last_heard,
            bytes_acked,
            bytes_received,
            bytes_sent,
            bytes_retransmitted,
            segments_in,
            segments_out,
            segments_retransmitted: retransmitted,
            duplicates_reported,
            reordering_seen: transfer
                .is_some_and(|transfer| transfer.history.rack.has_seen_reordering()),
            probes: self.snd.probes.max(self.rcv.keepalive_probes),
        }
    }

    fn recovery_state(&self) -> RecoveryState {
        let Some(transfer) = self.transfer.as_deref() else {
            return RecoveryState::Open;
        };
        let congestion = &transfer.congestion;
        if congestion.in_loss() {
            RecoveryState::Loss
        } else if congestion.in_recovery() {
            RecoveryState::Recovery
        } else if congestion.is_marked() {
            RecoveryState::Cwr
        } else if congestion.duplicates() > 0
            || congestion.reported() > 0
            || transfer.history.board.bytes(Mark::Held) > 0
        {
            RecoveryState::Disorder
        } else {
            RecoveryState::Open
        }
    }
}
