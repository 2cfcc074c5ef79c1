//! OPEN, active and passive (RFC 9293 section 3.10.1), and what the peer's SYN means.

use super::context::{Context, Wake};
use super::ecn::Notification;
use super::fast_open::{FastOpen, FastOpenGrant, FastOpenOffer};
use super::pace::Pace;
use super::rcv::Rcv;
use super::room::first_window;
use super::rto::Estimator;
use super::size::offered_mss;
use super::snd::Snd;
use super::stamps::Stamps;
use super::timers::Timers;
use super::{Pending, Tcb};
use crate::config::{ConnConfig, MssLimits, ReceiveWindow, SimultaneousOptions, SynAcknowledged};
use crate::event::What;
use crate::id::FourTuple;
use crate::label::Cause;
use crate::seq::Seq;
use crate::state::{State, Trigger};
use crate::time::Instant;
use crate::wire::{Flags, Options, Segment};
use alloc::sync::Arc;
use core::net::SocketAddr;

/// A smaller MSS is taken for this one, bytes (`TCP_MIN_MSS` less options; CVE-2019-11479).
const MIN_MSS: u16 = 48;

/// What is sent to a peer that offered no MSS (MUST-15): 536 over IPv4, 1220 over IPv6.
const fn default_mss(remote: SocketAddr) -> u16 {
    //= MUST-15
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
    let limit = match config.mss_limits {
        MssLimits::Both => config.mss,
        MssLimits::Offered => None,
    };
    match (options.mss.filter(|mss| *mss > 0), limit) {
        (Some(offered), Some(limit)) => offered.min(limit),
        (None, Some(limit)) if !passive => limit,
        (offered, _) => offered.unwrap_or(default_mss(remote)),
    }
}

/// Our window shift: by default the smallest that lets 16 bits name the whole buffer (RFC 7323
/// section 2.3: at most 14).
pub(crate) fn window_shift(config: &ConnConfig) -> u8 {
    if !config.window_scaling {
        return 0;
    }
    if let Some(shift) = config.window_shift {
        return shift.min(14);
    }
    let largest = config.receive_limit.unwrap_or(0).max(config.receive_buffer);
    (0..14)
        .find(|shift| largest >> shift <= 65_535)
        .unwrap_or(14)
}

impl Tcb {
    pub(super) fn new(
        now: Instant,
        config: Arc<ConnConfig>,
        tuple: FourTuple,
        iss: Seq,
        offset: u32,
    ) -> Tcb {
        let snd = Snd::new(now, iss, default_mss(tuple.remote), config.mtu);
        let rcv = Rcv::new(now, window_shift(&config));
        let estimator = Estimator::new(&config.rto, config.timer_granularity);
        let pace = Pace::new(&config, now);
        let timers = Timers::new(config.timer_granularity);
        Tcb {
            config,
            tuple,
            opened: now,
            state: State::Closed,
            passive: false,
            orphaned: false,
            mini: false,
            ended: None,
            wake: Wake::default(),
            snd,
            rcv,
            stamps: Stamps::new(now, offset),
            ecn: Notification::default(),
            estimator,
            pace,
            pending: Pending::default(),
            timers,
            transfer: None,
            queued: None,
            fast_open: None,
        }
    }

    /// Active OPEN (3.10.1): CLOSED to SYN-SENT.
    pub(crate) fn active(
        cx: &mut Context<'_>,
        config: Arc<ConnConfig>,
        tuple: FourTuple,
        iss: Seq,
        ts_offset: u32,
        offer: Option<FastOpenOffer>,
    ) -> Tcb {
        let mut tcb = Tcb::opened(cx, config, tuple, iss, ts_offset, false);
        tcb.fast_open = offer.map(FastOpen::offered);
        tcb.ensure_transfer(false);
        tcb.pending.syn = Some(Cause::Call);
        tcb.change_state(cx, Trigger::ActiveOpen, State::SynSent);
        tcb
    }

    /// A connection whose opening is recorded: in CLOSED, or in LISTEN if a SYN opened it.
    fn opened(
        cx: &mut Context<'_>,
        config: Arc<ConnConfig>,
        tuple: FourTuple,
        iss: Seq,
        ts_offset: u32,
        passive: bool,
    ) -> Tcb {
        let mut tcb = Tcb::new(cx.now, config, tuple, iss, ts_offset);
        cx.note(What::Opened {
            local: tuple.local,
            remote: tuple.remote,
            passive,
        });
        if passive {
            tcb.passive = true;
            tcb.state = State::Listen;
        }
        tcb
    }

    /// A SYN to a listener (3.10.7.2): LISTEN to SYN-RECEIVED, without buffers unless Fast Open
    /// serves it at once.
    pub(crate) fn passive(
        cx: &mut Context<'_>,
        config: Arc<ConnConfig>,
        tuple: FourTuple,
        syn: &Segment<'_>,
        (iss, ts_offset): (Seq, u32),
        grant: Option<FastOpenGrant>,
    ) -> Tcb {
        let mut tcb = Tcb::opened(cx, config, tuple, iss, ts_offset, true);
        tcb.fast_open = grant.map(FastOpen::granted);
        tcb.take_syn(cx.now, syn);
        if tcb.is_served_early() {
            tcb.take_text_early(cx, syn);
        } else {
            tcb.queue_syn(cx, syn);
        }
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
        let mut tcb = Tcb::opened(cx, config, tuple, iss, ts_offset, true);
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

    /// Takes from the peer's SYN the IRS, options and window (unscaled: RFC 7323 section 2.2).
    pub(super) fn take_syn(&mut self, now: Instant, syn: &Segment<'_>) {
        let header = &syn.header;
        self.rcv.irs = header.seq;
        self.rcv.nxt = header.seq + 1;
        self.rcv.acked = self.rcv.nxt;
        self.rcv.last_heard = now;
        let options = &header.options;
        let stamped = self.passive && self.config.timestamps && options.timestamps.is_some();
        let mss = u32::from(offered_mss(&self.config, self.tuple.remote));
        let first = first_window(&self.config, mss - if stamped { 12 } else { 0 });
        let scaled = self.config.window_scaling && options.window_scale.is_some();
        let offered = match self.config.receive_window {
            ReceiveWindow::Linux if scaled => first,
            _ => first.min(65_535),
        };
        self.rcv.edge = self.rcv.nxt + offered;
        self.snd.mss =
            peer_mss(&self.config, options, self.tuple.remote, self.passive).max(MIN_MSS);
        match options.window_scale {
            Some(shift) if self.config.window_scaling => {
                self.snd.scaled = true;
                //= 7323-1, 7323-3
                self.snd.shift = shift.min(14);
            }
            _ => {
                self.snd.shift = 0;
                let simultaneous = !self.passive && !header.flags.contains(Flags::ACK);
                if !simultaneous || self.config.simultaneous_options == SimultaneousOptions::Agreed
                {
                    //= 7323-1
                    self.rcv.shift = 0;
                }
            }
        }
        //= 2018-2
        self.rcv.sack = self.config.sack && options.sack_permitted;
        self.ecn = Notification::agreed(self.config.ecn, header, self.passive);
        //= 7323-6
        if let (Some(stamps), true) = (options.timestamps, self.config.timestamps) {
            self.stamps.enable(now, stamps.value);
        }
        //= 7323-2
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
}
