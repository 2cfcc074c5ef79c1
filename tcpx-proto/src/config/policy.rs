//! The policies that RFCs or kernels see differently: an enum for each, which names the choices and
//! their sources.

use crate::seq::Seq;

/// When text in order is acknowledged (RFC 9293 section 3.8.6.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AckPace {
    /// The second full segment at once, anything else after `delayed_ack`; a FIN at once (SHLD-18,
    /// SHLD-19; section 3.10.7.4).
    Rfc9293,
    /// More than a full segment at once. Anything else when the application has read it, unless the
    /// application answers what it gets; then, and while no application reads, after a time that
    /// follows the peer's, from `delayed_ack` to 200 ms. A FIN waits like text
    /// (`__tcp_ack_snd_check`, `tcp_cleanup_rbuf`, `tcp_send_delayed_ack`).
    Linux,
}

/// Nagle's algorithm: what a segment smaller than full waits for, unless
/// [`ConnConfig::no_delay`](super::ConnConfig::no_delay) is set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Nagle {
    /// Until everything before it is acknowledged (RFC 896; RFC 9293 section 3.7.4, SHLD-7).
    Rfc896,
    /// Until every smaller segment before it is acknowledged (draft-minshall-nagle-01; Linux's
    /// `tcp_minshall_check`): the last part of a message of more than a segment follows at once.
    Minshall,
}

/// What the user timeout counts from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum UserTimeoutFrom {
    /// The first transmission of the oldest byte that is not acknowledged, or the moment at which
    /// it began to wait for a window (RFC 9293 section 3.9.1.1).
    Transmission,
    /// Its first retransmission, or the first zero-window probe; a change of the timeout counts
    /// when the retransmission timer fires next (Linux `retransmits_timed_out`,
    /// `tcp_clamp_rto_to_user_timeout`, `tcp_probe_timer`).
    Retransmission,
}

/// The window that is offered (RFC 9293 section 3.8.6.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ReceiveWindow {
    /// All that is free in the buffer.
    Buffer,
    /// What Linux offers: it counts the memory that packets take, begins with whole segments, and
    /// lets the window grow with large segments that arrive (`tcp_select_initial_window`,
    /// `tcp_grow_window`, `__tcp_select_window`, `tcp_rcv_space_adjust`).
    Linux,
}

/// Silly-window avoidance (RFC 9293 section 3.8.6.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SillyWindow {
    /// The receiver moves its window by a full segment or half the buffer, the sender does not let
    /// a small window cut its segments (MUST-38, MUST-39).
    Avoid,
    /// Every byte that is read is offered at once, and every byte that is offered is used at
    /// once.
    Allow,
}

impl SillyWindow {
    /// The least step of a window that is worth a segment, where avoidance asks for `worth` bytes.
    pub(crate) fn least(self, worth: u32) -> u32 {
        match self {
            SillyWindow::Avoid => worth,
            SillyWindow::Allow => 1,
        }
    }
}

/// The first check of RFC 9293 section 3.10.7.4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SequenceCheck {
    /// A segment with nothing in the window is acknowledged and dropped (Table 6).
    Window,
    /// It is acknowledged and goes on to the other checks, and its text and FIN are taken as if
    /// they began at RCV.NXT: what a stack without sequence numbers would do.
    None,
}

/// Segments that only touch the receive window from outside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum WindowEdges {
    /// They are outside (RFC 9293 Table 6).
    Exclusive,
    /// What ends at RCV.NXT, and an ACK without text at the right edge, is used for what it
    /// acknowledges (Linux's `tcp_sequence`; RFC 9293 Appendix A.2). A peer whose text fills the
    /// window sends all its ACKs from that edge.
    Inclusive,
}

/// Segments without ACK, RST and SYN.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Unacknowledging {
    /// They pass the first check, and are dropped at the fifth (RFC 9293 section 3.10.7.4):
    /// those outside the window are answered.
    Check,
    /// They are dropped at once (Linux).
    Drop,
}

/// Which copy of a byte counts where segments that are held beyond RCV.NXT overlap. What comes in
/// order counts before all of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Overlap {
    /// The text of the segment that begins first, or, of two that begin at the same number, of the
    /// one that arrived first: held segments are processed in the order of SEG.SEQ, and only the
    /// new part of each counts (RFC 9293 section 3.10.7.4). A held FIN with text behind it does not
    /// count: one of the two is forged.
    SequenceOrder,
    /// The same, but of two that begin at the same number the longer one's, and a segment that
    /// continues a held one is merged with it: no D-SACK reports its overlap with those behind it
    /// (Linux `tcp_data_queue_ofo`). A held FIN counts when its turn comes, whatever is held behind
    /// it (Linux `tcp_ofo_queue`).
    Linux,
}

/// A segment whose text lies on both sides of the peer's FIN: either of them is forged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TextOverFin {
    /// Its text is ignored (RFC 9293 section 3.10.7.4, seventh check).
    Ignore,
    /// The connection is reset (Linux `tcp_rcv_state_process`).
    Reset,
}

/// Text and a FIN on a SYN, with or without ACK.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SynText {
    /// They are queued until ESTABLISHED (RFC 9293 sections 3.10.7.2 and 3.10.7.3).
    Queue,
    /// They are dropped, and must come again; a SYN,FIN without ACK to a listener is dropped as a
    /// whole (Linux, without TCP Fast Open).
    Drop,
}

/// The Fast Open option and text on our SYN, once that SYN was not answered in time (RFC 7413).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FastOpenRepeats {
    /// The SYN that is retransmitted has neither: the network may drop what has them (RFC 7413
    /// section 4.1.3; Linux).
    FirstSynOnly,
    /// Every SYN has both.
    EverySyn,
}

/// A peer that did not take part in Fast Open: it gave no cookie, did not acknowledge the text of
/// our SYN, or answered only a SYN without the option.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FastOpenRefused {
    /// It is not asked again for an hour (RFC 7413 section 4.1.3.1).
    Remember,
    /// The next connection asks again, or uses the cookie that is known (Linux with
    /// `tcp_fastopen_blackhole_timeout_sec=0`, its default).
    AskAgain,
}

/// The TSecr of what acknowledges our SYN (RFC 7323 section 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SynEcho {
    /// Any: RFC 7323 asks for no check.
    Any,
    /// One that our SYNs carried, or 0 (Linux). To another in SYN-SENT the answer is a RST, in
    /// SYN-RECEIVED an ACK.
    Ours,
}

/// FIN-WAIT-2 after CLOSE: no application is there to read what comes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Orphan {
    /// A connection like any other; new text resets it (RFC 9293 section 3.10.7.4, SHLD-3).
    Connection,
    /// What Linux calls a minisocket: any RST and any SYN in the window end it, and no ACK is
    /// looked at.
    Mini,
}

/// A zero window after CLOSE, which the peer answers each probe with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum OrphanProbes {
    /// They go on for as long as they are answered (RFC 9293 section 3.8.6.1, MUST-37).
    WhileAnswered,
    /// They end, and with them the connection, when there were as many as R2 is after CLOSE and the
    /// doubled timeout has reached the largest one (Linux `tcp_probe_timer`).
    ToMaximum,
}

/// A listener that is closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ListenerEnd {
    /// A RST goes to the peer of each connection in SYN-RECEIVED, as in an ABORT (RFC 9293 section
    /// 3.10.5).
    Reset,
    /// They are forgotten: what comes for them is answered as in CLOSED (Linux).
    Forget,
}

/// How often a FIN is transmitted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FinRepeats {
    /// Until it is acknowledged, as everything that uses sequence space (RFC 9293 section 3.8.1).
    UntilAcknowledged,
    /// Once. The timer runs on all the same, up to R2.
    Never,
}

/// RST and SYN in a synchronized state, and acceptable ACKs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ResetChecks {
    /// Any RST in the window resets; a SYN in the window is answered with a RST (RFC 793).
    Rfc793,
    /// Only SEG.SEQ = RCV.NXT resets; the rest, and any SYN, gets a challenge ACK (RFC 5961).
    Rfc5961,
}

/// Where a RST must lie for [`ResetChecks::Rfc5961`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ResetPlace {
    /// At RCV.NXT (RFC 5961 section 3.2).
    RcvNxt,
    /// There, or right behind the last text that SACK reports; after the peer's FIN also at
    /// RCV.NXT-1, as its sender may not count that FIN (Linux's `tcp_validate_incoming`,
    /// `tcp_reset_check`).
    WherePeerIs,
}

/// Initial sequence numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Isn {
    /// M + F(four-tuple, secret) (RFC 6528, MUST-8, MUST-9).
    Rfc6528,
    /// The 4 µs clock alone (RFC 793): anyone can guess it.
    Clock,
    /// Always this one.
    Fixed(Seq),
}

/// When a passive opener takes its SYN as acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SynAcknowledged {
    /// When an ACK acknowledges it.
    ByAck,
    /// As soon as it is sent: what a two-way handshake means. An active opener then owes no third
    /// ACK.
    WhenSent,
}

/// What the application's data and FIN wait for beyond ESTABLISHED, until
/// [`release`](crate::stack::Stack::release).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HeldOutput {
    /// Nothing.
    Nothing,
    /// Both wait.
    DataAndFin,
}

/// An IPv4 path whose MTU, as a router reports it, is smaller than a host expects of any path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SmallPath {
    /// Packets get as small as the router demands, down to 68 bytes, and without a demand, as
    /// the next plateau (RFC 1191 sections 3, 7).
    Reduce,
    /// Packets get no smaller than 552 bytes, and routers may cut them: they go without DF
    /// (`net.ipv4.route.min_pmtu`).
    Fragment,
}

/// What our own limit of the MSS limits ([`mss`](super::ConnConfig::mss)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MssLimits {
    /// The MSS that we offer, and so what the peer sends (RFC 9293 section 3.7.1 knows no other
    /// limit of ours).
    Offered,
    /// What we send, too, whatever the peer offers. To a peer that offers nothing an active opener
    /// sends segments of this size, a passive one of the default size (Linux's `user_mss`).
    Both,
}

/// The last byte of urgent data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum UrgentData {
    /// It is a part of the stream as any other (RFC 9293 section 3.8.5, RFC 6093; Linux with
    /// `SO_OOBINLINE`).
    Inline,
    /// It is taken out of the stream: RECEIVE stops before it and then leaves it out, and
    /// [`receive_urgent`](crate::stack::Stack::receive_urgent) gives it until then. A later
    /// announcement replaces one whose byte was not reached: that byte is then in line. An urgent
    /// pointer of 0 is taken for 1 (Linux's `tcp_check_urg`, `MSG_OOB`).
    OutOfBand,
}

/// When a timer fires that is due.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimerGranularity {
    /// At its time.
    Exact,
    /// At a slot of Linux's timer wheel at 250 Hz: up to 4 ms late below 252 ms, up to 32 ms late
    /// below 2 s, up to 256 ms late below 16 s, and so on (`calc_wheel_index`). The retransmission
    /// timeout is a number of such jiffies (`__tcp_set_rto`).
    Wheel,
}

/// From when on the interval to the next zero-window probe counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ProbeInterval {
    /// From the last probe.
    FromProbe,
    /// From the last ACK that left the window closed (`tcp_ack_probe`).
    FromAnswer,
}

/// The timer of tail-loss probes (RFC 8985 section 7.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ProbeTimer {
    /// It never fires after the retransmission timer, and does not run while a probe is on its way.
    Rfc8985,
    /// New text starts it also while a probe is on its way; it fires at the latest one RTO after
    /// the oldest segment was sent, unless that is over. It takes the place of the retransmission
    /// timer, which follows at once where no probe may go (Linux `tcp_schedule_loss_probe`,
    /// `tcp_send_loss_probe`).
    Linux,
}

/// A window that the peer took back, so that what was sent lies beyond it (RFC 9293 section 3.8.6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ShrunkWindow {
    /// A zero window is probed (MUST-35); an ACK has SEG.SEQ = SND.NXT.
    Probe,
    /// What was sent is sent again when the retransmission timer fires, a whole segment from
    /// SND.UNA on, although it lies beyond a zero window (MAY-7); an ACK lies in the window (Linux
    /// `tcp_retransmit_timer`, `tcp_acceptable_seq`).
    Resend,
}

/// When R2 is reached (RFC 9293 section 3.8.3), and keepalive's own limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum GiveUp {
    /// After R2 retransmissions; after the number of keepalive probes.
    Count,
    /// When a retransmission is due, and since the first one the time has passed that R2
    /// retransmissions take which begin at the least timeout; not at all while a user timeout is
    /// set (`retransmits_timed_out`, `tcp_model_timeout`). Unanswered keepalive probes end a
    /// connection after a user timeout, if one is set (`tcp_keepalive_timer`).
    Time,
}

/// An ACK in SYN-SENT that does not acknowledge our SYN.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SynSentAck {
    /// It is answered with a RST (RFC 9293 section 3.10.7.3, first check).
    Reset,
    /// It is answered with a RST, and the first time our SYN is also retransmitted at once: a peer
    /// that ignores the RST would otherwise be asked forever (Linux
    /// `tcp_rcv_synsent_state_process`).
    ResetAndRetry,
}

/// The peer's SYN again in SYN-RECEIVED.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RepeatedSyn {
    /// It is answered with an ACK, like every segment outside the window (RFC 9293 section
    /// 3.10.7.4, first check).
    Acknowledge,
    /// A passive opener sends its SYN,ACK again and restarts its timer (Linux `tcp_check_req`).
    SynAck,
}

/// The ACK of a passive opener in SYN-RECEIVED, which Linux calls a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RequestAck {
    /// It is the fifth check (RFC 9293 section 3.10.7.4): a segment with an old timestamp or
    /// outside the window does not get that far.
    InOrder,
    /// It is checked before anything else, and a wrong one is answered with a RST (Linux: the
    /// listener's answer).
    First,
}

/// Another SYN in the window of a passive opener in SYN-RECEIVED.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RequestSyn {
    /// The connection returns to LISTEN (RFC 9293 section 3.10.7.4, fourth check).
    Return,
    /// The same, and a RST answers (Linux `tcp_check_req`).
    Reset,
}

/// A segment without a timestamp on a connection that negotiated them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MissingTimestamp {
    /// It is dropped, unless it is a RST (RFC 7323 section 3.2).
    Drop,
    /// It is accepted without PAWS (Linux `tcp_fast_parse_options`).
    Accept,
}

/// A segment with an old timestamp, in the states that have a whole connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum OldTimestamp {
    /// It is dropped and answered with an ACK (RFC 7323 section 5.3, R1).
    Answer,
    /// One tick is not old, and 0 is no TS.Recent; a bare ACK that repeats the last one is
    /// accepted if it is not a timeout older, and one before RCV.NXT gets no answer (Linux
    /// `tcp_paws_check`, `tcp_disordered_ack_check`).
    Linux,
}

/// The timestamp of an ACK before SND.UNA.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum OldAckTimestamp {
    /// It becomes TS.Recent, if the segment is in the window and begins where it must (RFC 7323
    /// section 5.3, R3).
    Take,
    /// It does not (Linux `tcp_ack`).
    Ignore,
}

/// The options of the SYN,ACK of a simultaneous open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SimultaneousOptions {
    /// Those that both ends offer (RFC 7323 section 2.2, RFC 2018 section 2).
    Agreed,
    /// Those of our SYN, and our windows are scaled as it said, whatever the peer offers (Linux
    /// `tcp_send_synack`).
    Offered,
}

/// Which ACKs change SND.WND.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum WindowUpdate {
    /// Those that are not older than the last that did (RFC 9293 section 3.10.7.4, fifth check).
    Rfc9293,
    /// The same, but one with the same numbers only to 0 or to a larger window (Linux
    /// `tcp_may_update_window`).
    NotSmaller,
}

/// Text or a FIN that begins in the window and ends beyond it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum BeyondWindow {
    /// What lies beyond is cut off (RFC 9293 section 3.10.7.4, first check).
    Cut,
    /// The segment counts whole while neither text nor a FIN is unread, and is unacceptable
    /// otherwise (Linux `tcp_sequence`).
    Whole,
}

/// Text that the application has not read when the connection ends with an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum UnreadText {
    /// It is flushed (RFC 9293 section 3.10.7.4, second check).
    Flush,
    /// It can be read before the error is reported (Linux `tcp_reset`, `tcp_recvmsg`).
    Keep,
}

/// CLOSE of the sending direction in SYN-SENT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SynSentShutdown {
    /// The FIN follows once the connection is established, as in SYN-RECEIVED (RFC 9293 section
    /// 3.10.4).
    Queue,
    /// It ends the attempt (Linux `inet_shutdown`).
    End,
}

/// The TOS field of a RST that answers a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ResetTos {
    /// 0.
    Zero,
    /// The DSCP of that segment (Linux `tcp_v4_send_reset`).
    Reflected,
}

/// ICMP errors in SYN-SENT and SYN-RECEIVED.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HandshakeIcmp {
    /// Hard errors end the connection, soft ones do not (RFC 9293 section 3.9.2.2, MUST-56,
    /// SHLD-26; RFC 5927 section 5.2).
    HardErrors,
    /// Every error ends it (Linux `tcp_v4_err`).
    AnyError,
}

/// The RST of an ABORT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AbortRst {
    /// It has no ACK (RFC 9293 section 3.10.5).
    Bare,
    /// It has one, and in CLOSING and LAST-ACK it is sent if the FIN was not (Linux
    /// `tcp_send_active_reset`, `tcp_disconnect`).
    WithAck,
}

/// A zero-window probe.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ZeroWindowProbe {
    /// It carries one byte of new data (RFC 9293 section 3.8.6.1).
    OneByte,
    /// It carries no text, at SND.UNA-1 (Linux `tcp_xmit_probe_skb`).
    Empty,
}
