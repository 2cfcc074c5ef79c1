//! One connection, in the RFC's words: its variables, and the one function that changes its state.

use crate::state::{State, TRANSITIONS, Transition, Trigger};

mod assembler;
mod buffer;
mod calls;
mod congestion;
mod cubic;
mod ecn;
mod handshake;
mod mtu;
mod orphan;
mod output;
mod pace;
mod path;
mod rack;
mod recovery;
mod rto;
mod scoreboard;
mod segment_arrives;
mod status;
mod text;
mod timeouts;
mod urgent;

pub(crate) use calls::{peer_mss, window_shift};
pub(crate) use output::{offered_mss, reset_to};
pub use status::Status;

use crate::config::{ConnConfig, Detour, Rto};
use crate::error::CloseReason;
use crate::event::{Record, Timer, TimerAction, What};
use crate::id::{ConnId, FourTuple};
use crate::label::{Cause, Label};
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::Header;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use buffer::{ReceiveBuffer, SendBuffer};
use congestion::CongestionController;
use ecn::Notification;
use handshake::Queued;
use pace::Pace;
use recovery::SendHistory;
use rto::Estimator;
use urgent::Urgent;

/// What a connection needs from its stack while it handles one thing.
pub(crate) struct Context<'a> {
    /// Now.
    pub(crate) now: Instant,
    /// The connection's own name.
    pub(crate) id: ConnId,
    /// Where events go.
    pub(crate) record: &'a mut Record,
    /// Segments that outlive the connection's state: RSTs. Given out before anything else.
    pub(crate) replies: &'a mut VecDeque<Reply>,
    /// A listener would take a new incarnation of this four-tuple.
    pub(crate) listener: bool,
    /// The listener that this connection came from has no room for another established one.
    pub(crate) accept_full: bool,
    /// Octets that all buffers together may still grow by.
    pub(crate) memory_left: usize,
}

/// A segment without text that needs no connection to be sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Reply {
    pub(crate) conn: Option<ConnId>,
    pub(crate) header: Header,
    pub(crate) label: Label,
    pub(crate) packet: Option<u64>,
}

/// What SEGMENT ARRIVES asks of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Nothing: the connection dealt with it.
    Handled,
    /// The segment, a SYN, is for the listener, which must use this ISS, and its connection
    /// replaces this one in TIME-WAIT (MAY-2, RFC 6191).
    Reopen(Seq),
}

/// Wake-ups that the stack has not collected yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Wake {
    pub(crate) established: bool,
    pub(crate) readable: bool,
    pub(crate) urgent: bool,
    pub(crate) writable: bool,
    pub(crate) closed: Option<CloseReason>,
}

/// What is sent as soon as there is a turn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
struct Pending {
    /// The SYN or SYN,ACK.
    syn: Option<Cause>,
    /// The segment at SND.UNA, or with SACK the first lost one, out of turn.
    retransmission: bool,
    /// A tail-loss probe (RFC 8985 section 7.3).
    tail_probe: bool,
    /// A segment without text that acknowledges.
    ack: Option<Cause>,
    /// The override timer fired: what there is goes, however little.
    small: bool,
}

/// SND.*, and what else belongs to sending.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Snd {
    pub(crate) iss: Seq,
    /// TSval of our first SYN, once it was sent.
    syn_stamp: Option<u32>,
    /// Our SYN is acknowledged. From then on SND.UNA may have any distance from ISS, none again
    /// after 4 GiB.
    syn_acked: bool,
    pub(crate) una: Seq,
    /// One past the last octet ever sent.
    pub(crate) nxt: Seq,
    /// SND.WND, octets, scaled.
    pub(crate) wnd: u32,
    wl1: Seq,
    wl2: Seq,
    /// MAX.SND.WND (RFC 5961 section 5.2).
    max_wnd: u32,
    /// The oldest ACK that is no blind guess: SND.UNA - MAX.SND.WND, and never before our first
    /// octet.
    oldest: Seq,
    /// The peer's window shift.
    shift: u8,
    /// Both SYNs carried the window scale option.
    scaled: bool,
    /// The peer's MSS option.
    mss: u16,
    path_mtu: u16,
    /// Routers may cut our packets: no DF.
    fragments: bool,
    /// One past the last segment smaller than full, while that is not acknowledged (Linux's
    /// `snd_sml`).
    small: Option<Seq>,
    /// Without SACK, after a timeout: the next octet to send again, up to SND.NXT.
    cursor: Option<Seq>,
    /// The application sends no more: the FIN follows its last octet.
    closing: bool,
    /// The FIN's sequence number, once it was sent.
    fin: Option<Seq>,
    /// What holds data and FIN back was output_released, or never was.
    output_released: bool,
    /// Retransmissions of the oldest octets by timer, in a row; in persist: unanswered probes.
    retransmissions: u32,
    /// Zero-window probes since the window closed.
    probes: u32,
    /// Without timestamps: the octet that is timed, and since when (Karn).
    timed: Option<(Seq, Instant)>,
    last_sent: Instant,
    /// Why the next text goes out, if it goes out for the first time.
    cause: Cause,
}

/// RCV.*, and what else belongs to receiving.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Rcv {
    pub(crate) irs: Seq,
    pub(crate) nxt: Seq,
    /// The largest RCV.NXT + RCV.WND ever offered: it never moves left (SHLD-14).
    edge: Seq,
    /// Our window shift.
    shift: u8,
    /// SEG.ACK of the last segment sent (Last.ACK.sent).
    acked: Seq,
    /// RCV.NXT is the place of the peer's FIN: everything before it is there.
    fin_next: bool,
    /// The FIN was reached: RCV.NXT counts it.
    fin_reached: bool,
    sack: bool,
    /// What came again, until an ACK told the peer (RFC 2883).
    duplicate: Option<(Seq, Seq)>,
    urgent: Option<Urgent>,
    last_heard: Instant,
    last_challenge: Option<Instant>,
    keepalive_probes: u32,
}

/// RFC 7323 timestamps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Stamps {
    on: bool,
    offset: u32,
    recent: u32,
    recent_at: Instant,
}

/// The buffers and what only matters while text flows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Transfer {
    send: SendBuffer,
    receive: ReceiveBuffer,
    congestion: CongestionController,
    /// Empty without SACK.
    history: SendHistory,
}

impl Transfer {
    fn has_slack(&self) -> bool {
        self.send.has_slack() || self.receive.has_slack() || self.history.board.has_slack()
    }
}

/// A connection: the transmission control block. Without `transfer` it is a compact entry
/// (SYN-RECEIVED from a listener, TIME-WAIT with nothing left to read, CLOSED): the same checks, no
/// buffers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Tcb {
    pub(crate) config: Arc<ConnConfig>,
    pub(crate) tuple: FourTuple,
    opened: Instant,
    pub(crate) state: State,
    /// Opened by a SYN to a listener (MUST-11).
    pub(crate) passive: bool,
    /// The application has let go (CLOSE or ABORT); at CLOSED the stack forgets the connection.
    pub(crate) orphaned: bool,
    /// How it ended, once it has.
    pub(crate) ended: Option<CloseReason>,
    pub(crate) wake: Wake,
    pub(crate) snd: Snd,
    pub(crate) rcv: Rcv,
    stamps: Stamps,
    ecn: Notification,
    estimator: Estimator,
    pace: Pace,
    pending: Pending,
    /// When each fires; [`NEVER`] for one that does not run.
    timers: [Instant; Timer::ALL.len()],
    transfer: Option<Box<Transfer>>,
    /// What came with the peer's SYN, until ours is acknowledged.
    queued: Option<Box<Queued>>,
}

impl Tcb {
    /// The one function that changes the state: takes the edge of the table, or the detour that
    /// stands in its place.
    fn change_state(&mut self, cx: &mut Context<'_>, on: Trigger, to: State) {
        let from = self.state;
        debug_assert!(
            TRANSITIONS.contains(&Transition { from, on, to }),
            "{from} on {on} to {to} is no edge"
        );
        let detour = self
            .config
            .detours
            .iter()
            .find(|detour| detour.from == from && detour.on == on)
            .copied();
        let to = detour.map_or(to, |detour| detour.to);
        self.state = to;
        cx.record
            .note(cx.now, Some(cx.id), What::State { from, to, on });
        if let Some(Detour {
            rule, requirement, ..
        }) = detour
        {
            cx.record.note(
                cx.now,
                Some(cx.id),
                What::Deviated {
                    rule,
                    requirement,
                    to,
                },
            );
        }
        match to {
            State::Established => self.enter_established(cx),
            State::FinWait2 => self.limit_fin_wait_2(cx),
            State::TimeWait => self.enter_time_wait(cx),
            State::Closed if self.ended.is_none() => self.end(cx, CloseReason::Clean),
            _ => {}
        }
    }

    fn enter_established(&mut self, cx: &mut Context<'_>) {
        let lost = self.snd.retransmissions;
        self.ensure_transfer(lost >= self.config.lost_syns.max(1));
        if lost > 0 && self.estimator.srtt.is_none() {
            // RFC 6298 5.7: a lost SYN and no sample yet: 3 s.
            self.estimator = Estimator::new(&Rto {
                initial: self.config.rto.initial.max(Duration::from_secs(3)),
                ..self.config.rto
            });
        }
        self.snd.retransmissions = 0;
        self.wake.established = true;
        self.wake.writable = true;
        if let Some(keepalive) = self.config.keepalive {
            self.start(cx, Timer::KeepAlive, keepalive.idle);
        }
    }

    /// 2 MSL begin, every other timer ends (RFC 9293 3.10.7.4, eighth step).
    fn enter_time_wait(&mut self, cx: &mut Context<'_>) {
        self.stop_all(cx);
        self.start(cx, Timer::TimeWait, self.config.msl.saturating_mul(2));
        self.compact();
    }

    /// FIN-WAIT-2 is limited once nobody would receive what the peer sends (`tcp_fin_timeout`).
    fn limit_fin_wait_2(&mut self, cx: &mut Context<'_>) {
        if let (State::FinWait2, true, Some(limit)) =
            (self.state, self.orphaned, self.config.fin_wait_2)
        {
            self.start(cx, Timer::FinWait2, limit);
        }
    }

    /// CLOSED for this reason; an ACK that is still owed leaves without the connection.
    fn end(&mut self, cx: &mut Context<'_>, reason: CloseReason) {
        if let Some(cause) = self.pending.ack.take() {
            self.reply_ack(cx, cause);
        }
        self.stop_all(cx);
        self.pending = Pending::default();
        self.ended = Some(reason);
        self.wake = Wake {
            readable: true,
            writable: true,
            closed: Some(reason),
            ..self.wake
        };
        cx.record.note(cx.now, Some(cx.id), What::Closed(reason));
        if reason != CloseReason::Clean {
            self.transfer = None;
        }
        self.compact();
    }

    /// To CLOSED by an event that may come in any state.
    fn fail(&mut self, cx: &mut Context<'_>, on: Trigger, reason: CloseReason) {
        self.ended = Some(reason);
        let back_to_listen = self.passive && self.state == State::SynReceived;
        self.change_state(
            cx,
            on,
            if back_to_listen {
                State::Listen
            } else {
                State::Closed
            },
        );
        self.end(cx, reason);
    }

    /// Lets the buffers go once nothing will be sent and nothing is left to read.
    fn compact(&mut self) {
        let done = matches!(self.state, State::TimeWait | State::Closed | State::Listen);
        if done && (self.orphaned || self.unread() == 0) {
            self.transfer = None;
        }
    }

    fn ensure_transfer(&mut self, syn_lost: bool) {
        if self.transfer.is_none() {
            // The offered window is rounded up to the scale's unit, so the buffer holds a unit
            // more.
            let limit = self.config.receive_buffer + (1 << self.rcv.shift);
            self.transfer = Some(Box::new(Transfer {
                send: SendBuffer::new(self.config.send_buffer),
                receive: ReceiveBuffer::new(limit),
                congestion: CongestionController::new(
                    &self.config,
                    self.effective_mss(0),
                    self.snd.iss,
                    syn_lost,
                ),
                history: SendHistory::new(self.snd.iss),
            }));
        } else {
            let control = CongestionController::new(
                &self.config,
                self.effective_mss(0),
                self.snd.iss,
                syn_lost,
            );
            if let Some(transfer) = &mut self.transfer {
                transfer.congestion = control;
            }
        }
    }

    fn start(&mut self, cx: &mut Context<'_>, timer: Timer, after: Duration) {
        let until = cx.now + after;
        if self.timers[timer as usize] != until {
            self.timers[timer as usize] = until;
            cx.record.note(
                cx.now,
                Some(cx.id),
                What::Timer {
                    timer,
                    action: TimerAction::Started { until },
                },
            );
        }
    }

    fn stop(&mut self, cx: &mut Context<'_>, timer: Timer) {
        if core::mem::replace(&mut self.timers[timer as usize], NEVER) != NEVER {
            cx.record.note(
                cx.now,
                Some(cx.id),
                What::Timer {
                    timer,
                    action: TimerAction::Stopped,
                },
            );
        }
    }

    fn stop_all(&mut self, cx: &mut Context<'_>) {
        for timer in Timer::ALL {
            self.stop(cx, timer);
        }
    }

    fn runs(&self, timer: Timer) -> bool {
        self.timers[timer as usize] != NEVER
    }

    /// When the earliest timer fires.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let first = self.timers.iter().fold(NEVER, |first, at| first.min(*at));
        (first != NEVER).then_some(first)
    }

    /// CLOSED, or back in LISTEN (a passive one that was reset): only the application's handle
    /// keeps it.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Listen)
    }

    /// Octets of buffers.
    pub(crate) fn memory(&self) -> usize {
        let queued = self.queued.as_ref().map_or(0, |queued| queued.memory());
        let buffers = |transfer: &Transfer| {
            transfer.send.memory() + transfer.receive.memory() + transfer.history.board.memory()
        };
        queued + self.transfer.as_deref().map_or(0, buffers)
    }

    /// Whether the buffers have grown far beyond what is in them.
    pub(crate) fn has_slack(&self) -> bool {
        self.transfer.as_deref().is_some_and(Transfer::has_slack)
    }

    /// Gives back the memory that a burst took.
    pub(crate) fn shrink_buffers(&mut self) {
        if let Some(transfer) = self
            .transfer
            .as_deref_mut()
            .filter(|transfer| transfer.has_slack())
        {
            transfer.send.give_back();
            transfer.receive.give_back();
            transfer.history.board.give_back();
        }
    }

    fn unread(&self) -> usize {
        self.transfer
            .as_ref()
            .map_or(0, |transfer| transfer.receive.readable())
    }

    fn unacknowledged(&self) -> usize {
        self.transfer
            .as_ref()
            .map_or(0, |transfer| transfer.send.len())
    }

    /// Our SYN is on its way and not acknowledged.
    fn syn_outstanding(&self) -> bool {
        !self.snd.syn_acked && self.snd.nxt != self.snd.iss
    }

    /// The sequence number of the first octet in the send buffer.
    fn text_start(&self) -> Seq {
        if self.snd.syn_acked {
            self.snd.una
        } else {
            self.snd.iss + 1
        }
    }

    /// Our FIN was sent and is acknowledged.
    fn fin_acknowledged(&self) -> bool {
        self.snd.fin.is_some_and(|fin| self.snd.una.gt(fin))
    }

    /// STATUS (3.10.6).
    pub(crate) fn status(&self) -> Status {
        Status {
            state: self.state,
            local: self.tuple.local,
            remote: self.tuple.remote,
            passive: self.passive,
            iss: self.snd.iss,
            snd_una: self.snd.una,
            snd_nxt: self.snd.nxt,
            snd_wnd: self.snd.wnd,
            cwnd: self
                .transfer
                .as_ref()
                .map_or(0, |transfer| transfer.congestion.window()),
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
            timer: Timer::ALL
                .into_iter()
                .filter(|timer| self.runs(*timer))
                .min_by_key(|timer| self.timers[*timer as usize]),
            opened: self.opened,
        }
    }
}

/// Later than every time there is.
const NEVER: Instant = Instant(u64::MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ChecksumKind, Flags, Options, Segment};

    struct Bench {
        tcb: Tcb,
        record: Record,
        replies: VecDeque<Reply>,
    }

    impl Bench {
        fn run<R>(&mut self, act: impl FnOnce(&mut Tcb, &mut Context<'_>) -> R) -> R {
            let (record, replies) = (&mut self.record, &mut self.replies);
            let id = ConnId {
                slot: 0,
                generation: 0,
            };
            let now = Instant::ZERO;
            act(
                &mut self.tcb,
                &mut Context {
                    now,
                    id,
                    record,
                    replies,
                    listener: false,
                    accept_full: false,
                    memory_left: usize::MAX,
                },
            )
        }

        fn arrive(&mut self, flags: Flags, seq: Seq, ack: Seq) {
            let (source, destination) = (self.tcb.tuple.remote, self.tcb.tuple.local);
            let (window, urgent, options) = (60_000, 0, Options::default());
            let header = Header {
                source,
                destination,
                seq,
                ack,
                flags,
                window,
                urgent,
                options,
                ttl: 64,
                tos: 0,
                id: 1,
            };
            let segment = Segment {
                header,
                payload: &[],
                checksum: ChecksumKind::Full,
                options_malformed: false,
            };
            self.run(|tcb, cx| tcb.segment_arrives(cx, &segment));
        }

        fn transmit(&mut self) -> Option<(Header, alloc::vec::Vec<u8>)> {
            let mut packet = [0; 2000];
            let (len, _) = self.run(|tcb, cx| tcb.transmit(cx, &mut packet, 1))?;
            let segment =
                Segment::parse(&packet[..len], crate::wire::ChecksumPolicy::Strict).unwrap();
            Some((segment.header, segment.payload.to_vec()))
        }

        /// ESTABLISHED, with this many octets sent and acknowledged since the SYN, as far as
        /// anybody can tell.
        fn after(octets: u64) -> Bench {
            let (mut record, mut replies) = (Record::default(), VecDeque::new());
            let config = Arc::new(ConnConfig {
                timestamps: false,
                ..ConnConfig::default()
            });
            let tuple = FourTuple {
                local: ([10, 0, 0, 1], 1).into(),
                remote: ([10, 0, 0, 2], 2).into(),
            };
            let id = ConnId {
                slot: 0,
                generation: 0,
            };
            let mut cx = Context {
                now: Instant::ZERO,
                id,
                record: &mut record,
                replies: &mut replies,
                listener: false,
                accept_full: false,
                memory_left: usize::MAX,
            };
            let tcb = Tcb::active(&mut cx, config, tuple, Seq(100), 0);
            let mut bench = Bench {
                tcb,
                record,
                replies,
            };
            bench.transmit().unwrap();
            bench.arrive(Flags::SYN | Flags::ACK, Seq(500), Seq(101));
            bench.transmit().unwrap();
            bench.tcb.snd.iss = Seq(100).back(octets as u32);
            bench.tcb.snd.oldest = bench.tcb.snd.una.back(60_000);
            bench
        }
    }

    #[test]
    fn established_any_number_of_octets_after_the_syn_sends_and_takes_acks() {
        const GIB: u64 = 1 << 30;
        for octets in [
            0,
            1,
            2 * GIB - 1,
            2 * GIB,
            2 * GIB + 1,
            3 * GIB,
            4 * GIB - 2,
            4 * GIB - 1,
            4 * GIB,
            4 * GIB + 1,
        ] {
            let mut bench = Bench::after(octets);
            let nxt = bench.tcb.snd.nxt;
            bench.run(|tcb, cx| tcb.send(cx, b"text")).unwrap();
            let (header, text) = bench.transmit().unwrap();
            assert_eq!(
                (
                    header.seq,
                    header.flags.without(Flags::PSH),
                    text.as_slice()
                ),
                (nxt, Flags::ACK, &b"text"[..]),
                "{octets}"
            );
            let discarded = bench.record.discarded;
            bench.arrive(Flags::ACK, Seq(501), nxt.back(10));
            bench.arrive(Flags::ACK, Seq(501), nxt + 4);
            assert_eq!(
                (
                    bench.tcb.snd.una,
                    bench.tcb.unacknowledged(),
                    bench.record.discarded - discarded
                ),
                (nxt + 4, 0, 0),
                "{octets}"
            );
            assert_eq!(bench.transmit(), None, "{octets}");
        }
    }
}
