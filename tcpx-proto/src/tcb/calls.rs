//! User calls: RFC 9293 section 3.10.1 to 3.10.6.

use super::congestion::CongestionController;
use super::ecn::Notification;
use super::pace::Pace;
use super::rto::Estimator;
use super::{Context, NEVER, Pending, Rcv, Snd, Stamps, Tcb, Wake};
use crate::config::{ConnConfig, HeldOutput, ListenerEnd, MssLimits, SynAcknowledged};
use crate::error::{CallError, CloseReason};
use crate::event::{Timer, What};
use crate::id::FourTuple;
use crate::label::Cause;
use crate::seq::Seq;
use crate::state::{State, Trigger};
use crate::time::Instant;
use crate::wire::{Options, Segment};
use alloc::sync::Arc;
use core::mem;
use core::net::SocketAddr;

/// What is sent to a peer that offered no MSS (MUST-15): 536 over IPv4, 1220 over IPv6.
const fn default_mss(remote: SocketAddr) -> u16 {
    if remote.is_ipv4() { 536 } else { 1220 }
}

/// The MSS that the SYN of this peer means for what we send (MUST-15), within our own limit where
/// that counts. An offer of 0 is none: with it nothing could ever be sent.
pub(crate) fn peer_mss(
    config: &ConnConfig,
    options: &Options,
    remote: SocketAddr,
    passive: bool,
) -> u16 {
    let limit = config.mss.filter(|_| config.mss_limits == MssLimits::Both);
    match (options.mss.filter(|mss| *mss > 0), limit) {
        (Some(offered), Some(limit)) => offered.min(limit),
        (None, Some(limit)) if !passive => limit,
        (offered, _) => offered.unwrap_or(default_mss(remote)),
    }
}

/// The smallest shift that lets 16 bits name the whole buffer (RFC 7323 section 2.2: at most 14).
pub(crate) fn window_shift(config: &ConnConfig) -> u8 {
    if !config.window_scaling {
        return 0;
    }
    (0..14)
        .find(|shift| config.receive_buffer >> shift <= 65_535)
        .unwrap_or(14)
}

impl Tcb {
    fn new(now: Instant, config: Arc<ConnConfig>, tuple: FourTuple, iss: Seq, offset: u32) -> Tcb {
        let shift = window_shift(&config);
        let (pace, estimator, path_mtu) = (
            Pace::new(&config, now),
            Estimator::new(&config.rto),
            config.mtu,
        );
        Tcb {
            config,
            tuple,
            opened: now,
            state: State::Closed,
            passive: false,
            orphaned: false,
            ended: None,
            wake: Wake::default(),
            snd: Snd {
                iss,
                syn_stamp: None,
                syn_acked: false,
                una: iss,
                nxt: iss,
                wnd: 0,
                wl1: Seq(0),
                wl2: Seq(0),
                max_wnd: 0,
                oldest: iss,
                shift: 0,
                scaled: false,
                mss: default_mss(tuple.remote),
                path_mtu,
                fragments: false,
                small: None,
                cursor: None,
                closing: false,
                fin: None,
                output_released: false,
                retransmissions: 0,
                probes: 0,
                timed: None,
                last_sent: now,
                cause: Cause::Call,
            },
            rcv: Rcv {
                irs: Seq(0),
                nxt: Seq(0),
                edge: Seq(0),
                shift,
                acked: Seq(0),
                fin_next: false,
                fin_reached: false,
                sack: false,
                duplicate: None,
                urgent: None,
                last_heard: now,
                last_challenge: None,
                keepalive_probes: 0,
            },
            stamps: Stamps {
                on: false,
                offset,
                recent: 0,
                recent_at: now,
            },
            ecn: Notification::default(),
            estimator,
            pace,
            pending: Pending::default(),
            timers: [NEVER; Timer::ALL.len()],
            transfer: None,
            queued: None,
        }
    }

    /// Active OPEN (3.10.1): CLOSED to SYN-SENT.
    pub(crate) fn active(
        cx: &mut Context<'_>,
        config: Arc<ConnConfig>,
        tuple: FourTuple,
        iss: Seq,
        ts_offset: u32,
    ) -> Tcb {
        let mut tcb = Tcb::new(cx.now, config, tuple, iss, ts_offset);
        cx.record.note(
            cx.now,
            Some(cx.id),
            What::Opened {
                local: tuple.local,
                remote: tuple.remote,
                passive: false,
            },
        );
        tcb.ensure_transfer(false);
        tcb.pending.syn = Some(Cause::Call);
        tcb.change_state(cx, Trigger::ActiveOpen, State::SynSent);
        tcb
    }

    /// A SYN to a listener (3.10.7.2): LISTEN to SYN-RECEIVED, without buffers.
    pub(crate) fn passive(
        cx: &mut Context<'_>,
        config: Arc<ConnConfig>,
        tuple: FourTuple,
        syn: &Segment<'_>,
        iss: Seq,
        ts_offset: u32,
    ) -> Tcb {
        let mut tcb = Tcb::new(cx.now, config, tuple, iss, ts_offset);
        cx.record.note(
            cx.now,
            Some(cx.id),
            What::Opened {
                local: tuple.local,
                remote: tuple.remote,
                passive: true,
            },
        );
        tcb.passive = true;
        tcb.state = State::Listen;
        tcb.take_syn(cx.now, syn);
        tcb.queue_syn(cx, syn);
        tcb.pending.syn = Some(Cause::Ack);
        tcb.change_state(cx, Trigger::Syn, State::SynReceived);
        tcb
    }

    /// The connection that a right SYN cookie stands for (RFC 4987 section 3.6), whose SYN had
    /// these options: in SYN-RECEIVED, about to be handed that ACK.
    pub(crate) fn from_cookie(
        cx: &mut Context<'_>,
        config: Arc<ConnConfig>,
        tuple: FourTuple,
        ack: &Segment<'_>,
        options: Options,
        ts_offset: u32,
    ) -> Tcb {
        let iss = ack.header.ack.back(1);
        let mut tcb = Tcb::new(cx.now, config, tuple, iss, ts_offset);
        cx.record.note(
            cx.now,
            Some(cx.id),
            What::Opened {
                local: tuple.local,
                remote: tuple.remote,
                passive: true,
            },
        );
        tcb.passive = true;
        tcb.state = State::Listen;
        let mut syn = Segment {
            payload: &[],
            ..*ack
        };
        syn.header.seq = ack.header.seq.back(1);
        syn.header.options = options;
        tcb.take_syn(cx.now, &syn);
        // What the cookie kept is within our own limit, or the default.
        tcb.snd.mss = options.mss.unwrap_or(tcb.snd.mss);
        tcb.snd.nxt = iss + 1;
        tcb.change_state(cx, Trigger::Syn, State::SynReceived);
        tcb
    }

    /// What the peer's SYN says: IRS, options, window (unscaled: RFC 7323 section 2.2).
    pub(super) fn take_syn(&mut self, now: Instant, syn: &Segment<'_>) {
        let header = &syn.header;
        self.rcv.irs = header.seq;
        self.rcv.nxt = header.seq + 1;
        self.rcv.acked = self.rcv.nxt;
        self.rcv.last_heard = now;
        let offered = u32::try_from(self.config.receive_buffer.min(65_535)).unwrap_or(65_535);
        self.rcv.edge = self.rcv.nxt + offered;
        let options = &header.options;
        self.snd.mss =
            peer_mss(&self.config, options, self.tuple.remote, self.passive).max(MIN_MSS);
        match options.window_scale {
            Some(shift) if self.config.window_scaling => {
                (self.snd.scaled, self.snd.shift) = (true, shift.min(14))
            }
            _ => (self.snd.shift, self.rcv.shift) = (0, 0),
        }
        self.rcv.sack = self.config.sack && options.sack_permitted;
        self.agree_on_ecn(header);
        if let (Some(stamps), true) = (options.timestamps, self.config.timestamps) {
            self.stamps = Stamps {
                on: true,
                recent: stamps.value,
                recent_at: now,
                ..self.stamps
            };
        }
        self.snd.wnd = u32::from(header.window);
        self.snd.max_wnd = self.snd.wnd;
        self.snd.wl1 = header.seq;
        self.snd.wl2 = self.snd.una;
        self.expect_segments(now, offered);
        if self.state == State::Listen && self.config.syn_acknowledged == SynAcknowledged::WhenSent
        {
            self.snd.nxt = self.snd.iss + 1;
            self.snd.una = self.snd.nxt;
            self.snd.syn_acked = true;
        }
    }

    /// SEND (3.10.2).
    pub(crate) fn send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Result<usize, CallError> {
        self.check_open()?;
        if self.snd.closing {
            return Err(CallError::Closing);
        }
        let Some(transfer) = &mut self.transfer else {
            return Err(CallError::WouldBlock);
        };
        let room = transfer
            .send
            .room()
            .min(cx.memory_left.saturating_add(transfer.send.spare()));
        if room == 0 && !data.is_empty() {
            return Err(CallError::WouldBlock);
        }
        let taken = transfer.send.push(&data[..data.len().min(room)]);
        self.snd.cause = Cause::Call;
        self.arm(cx);
        Ok(taken)
    }

    /// RECEIVE (3.10.3).
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Result<usize, CallError> {
        if into.is_empty() {
            return Ok(0);
        }
        let most = self.before_mark(into.len());
        let taken = self.transfer.as_mut().map_or(0, |transfer| {
            transfer
                .receive
                .read(into.get_mut(..most).unwrap_or_default())
        });
        if taken > 0 {
            self.forget_urgent();
            self.plan_ack_of_read();
            self.offer_window(cx);
            self.compact();
            return Ok(taken);
        }
        if self.rcv.fin_reached {
            return Ok(0);
        }
        self.check_open()?;
        Err(CallError::WouldBlock)
    }

    /// An error for every call once the connection has ended.
    pub(super) fn check_open(&self) -> Result<(), CallError> {
        self.ended
            .map_or(Ok(()), |reason| Err(CallError::Ended(reason)))
    }

    /// CLOSE of our direction (3.10.4).
    pub(crate) fn shutdown(&mut self, cx: &mut Context<'_>) -> Result<(), CallError> {
        self.check_open()?;
        if self.snd.closing {
            return Err(CallError::Closing);
        }
        self.snd.closing = true;
        self.snd.cause = Cause::Call;
        self.begin_close(cx);
        self.arm(cx);
        Ok(())
    }

    /// The change of state that a CLOSE means, as soon as the FIN is not held back.
    pub(super) fn begin_close(&mut self, cx: &mut Context<'_>) {
        if !self.snd.closing || self.is_output_held() {
            return;
        }
        match self.state {
            // Queued until ESTABLISHED (3.10.4).
            State::SynReceived if self.unacknowledged() > 0 => {}
            State::SynReceived | State::Established => {
                self.ensure_buffers();
                self.change_state(cx, Trigger::Close, State::FinWait1);
            }
            State::CloseWait => self.change_state(cx, Trigger::Close, State::LastAck),
            _ => {}
        }
    }

    fn ensure_buffers(&mut self) {
        if self.transfer.is_none() {
            self.ensure_transfer(false);
        }
    }

    /// CLOSE of both directions: the application lets go.
    pub(crate) fn close(&mut self, cx: &mut Context<'_>) {
        self.orphaned = true;
        match self.state {
            State::Closed | State::Listen | State::TimeWait => self.compact(),
            State::SynSent => {
                self.ended = Some(CloseReason::Aborted);
                self.change_state(cx, Trigger::Close, State::Closed);
                self.end(cx, CloseReason::Aborted);
            }
            _ if self.unread() > 0 => self.reset(cx, CloseReason::Aborted),
            _ => {
                self.snd.closing = true;
                self.snd.cause = Cause::Call;
                self.begin_close(cx);
                self.limit_fin_wait_2(cx);
                self.arm(cx);
            }
        }
    }

    /// ABORT (3.10.5): a RST where the peer may know of us.
    pub(crate) fn abort(&mut self, cx: &mut Context<'_>) {
        self.orphaned = true;
        match self.state {
            State::Closed | State::Listen => self.compact(),
            State::SynReceived
                if self.passive && self.config.listener_end == ListenerEnd::Forget =>
            {
                self.fail(cx, Trigger::Abort, CloseReason::Aborted);
            }
            State::SynSent | State::Closing | State::LastAck => {
                self.fail(cx, Trigger::Abort, CloseReason::Aborted)
            }
            State::TimeWait => {
                self.ended = Some(CloseReason::Clean);
                self.change_state(cx, Trigger::Abort, State::Closed);
                self.end(cx, CloseReason::Clean);
            }
            _ => self.reset(cx, CloseReason::Aborted),
        }
    }

    /// The host lost its memory: CLOSED without a word. No edge of the state diagram.
    pub(crate) fn on_restart(&mut self, cx: &mut Context<'_>) {
        self.orphaned = true;
        if self.state != State::Closed {
            let from = mem::replace(&mut self.state, State::Closed);
            cx.record.note(
                cx.now,
                Some(cx.id),
                What::State {
                    from,
                    to: State::Closed,
                    on: Trigger::Restart,
                },
            );
            self.pending.ack = None;
            self.end(cx, CloseReason::Restarted);
        }
        self.transfer = None;
    }

    /// Sends a RST and ends.
    pub(super) fn reset(&mut self, cx: &mut Context<'_>, reason: CloseReason) {
        self.reply_reset(cx);
        self.pending.ack = None;
        let on = if reason == CloseReason::Aborted {
            Trigger::Abort
        } else {
            Trigger::Timeout
        };
        self.fail(cx, on, reason);
    }

    /// The end of a hold-back.
    pub(crate) fn release(&mut self, cx: &mut Context<'_>) -> Result<(), CallError> {
        self.check_open()?;
        if self.config.held_output == HeldOutput::Nothing || self.snd.output_released {
            return Ok(());
        }
        self.snd.output_released = true;
        self.pending.ack.get_or_insert(Cause::Call);
        self.begin_close(cx);
        self.arm(cx);
        Ok(())
    }

    /// After a RECEIVE: an update once the window can open by a full segment, or half the buffer,
    /// and at least doubles (MUST-39).
    fn offer_window(&mut self, _cx: &mut Context<'_>) {
        if self.rcv.fin_reached || self.is_over() || self.pending.ack.is_some() {
            return;
        }
        let offered = self.rcv.edge.since(self.rcv.nxt);
        let gain = self.next_edge().since(self.rcv.edge);
        if gain > 0 && gain >= self.config.silly_window.least(offered) {
            self.pending.ack = Some(Cause::Call);
        }
    }

    /// Replaces the congestion state when the initial window turns out to be another.
    pub(super) fn congestion_mut(&mut self) -> Option<&mut CongestionController> {
        self.transfer
            .as_mut()
            .map(|transfer| &mut transfer.congestion)
    }
}

/// A smaller MSS is taken for this one, octets (`TCP_MIN_MSS` less options; CVE-2019-11479).
const MIN_MSS: u16 = 48;
