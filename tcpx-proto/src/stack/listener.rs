//! A segment for a listener: RFC 9293 3.10.7.2, the backlog, and SYN cookies past it (RFC 4987).

use super::Stack;
use super::types::{ConnId, ListenerId};
use crate::config::{ConnConfig, Dialect, Overflow};
use crate::event::{Carries, Cause, Discard, Label};
use crate::seq::Seq;
use crate::tcb::{Outcome, Reply, Tcb, reset_to};
use crate::time::{Duration, Instant};
use crate::wire::{Flags, Header, Options, Segment};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::SocketAddr;

/// After this long without a cookie sent, an ACK is no cookie (Linux: `TCP_SYNCOOKIE_VALID`, 2 min).
const COOKIES_VALID: Duration = Duration::from_secs(128);

/// A passive OPEN.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Listener {
    pub(super) id: ListenerId,
    pub(super) local: SocketAddr,
    pub(super) config: Arc<ConnConfig>,
    pub(super) backlog: usize,
    /// Connections in SYN-RECEIVED.
    pub(super) embryonic: usize,
    /// Established ones that nobody accepted yet.
    pub(super) queue: VecDeque<ConnId>,
    cookies_until: Option<Instant>,
}

impl Listener {
    pub(super) fn new(id: ListenerId, local: SocketAddr, config: Arc<ConnConfig>, backlog: usize) -> Listener {
        Listener { id, local, config, backlog, embryonic: 0, queue: VecDeque::new(), cookies_until: None }
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.backlog
    }
}

impl Stack {
    /// A segment for which there is a listener and no connection. `iss`: the ISS that a SYN into TIME-WAIT asks for.
    pub(super) fn listener_arrives(&mut self, now: Instant, listener: ListenerId, segment: &Segment<'_>, iss: Option<Seq>) {
        let flags = segment.header.flags;
        if flags.has(Flags::RST) {
            self.discard(now, None, Discard::State);
        } else if flags.has(Flags::ACK) {
            if !self.cookie_arrives(now, listener, segment) {
                self.answer_stranger(now, segment);
            }
        } else if flags.has(Flags::SYN) {
            self.syn_arrives(now, listener, segment, iss);
        } else {
            self.discard(now, None, Discard::State);
        }
    }

    fn syn_arrives(&mut self, now: Instant, id: ListenerId, syn: &Segment<'_>, iss: Option<Seq>) {
        let overflow = self.config.overflow;
        let Some(listener) = self.listener(id) else { return };
        let config = listener.config.clone();
        if syn.header.flags.has(Flags::FIN) && config.dialect == Dialect::Linux {
            return self.discard(now, None, Discard::State);
        }
        let (local, remote) = (syn.header.destination, syn.header.source);
        let (full, crowded) = (listener.is_full(), listener.embryonic >= listener.backlog);
        if full && overflow != Overflow::Unbounded {
            self.counters.backlog_drops += 1;
            return self.discard(now, None, Discard::Backlog);
        }
        if crowded && overflow == Overflow::Cookies {
            return self.send_cookie(now, id, syn, &config);
        }
        if crowded && overflow == Overflow::Drop {
            self.counters.backlog_drops += 1;
            return self.discard(now, None, Discard::Backlog);
        }
        if self.table.len() >= self.config.max_connections {
            return self.discard(now, None, Discard::Limit);
        }
        let iss = iss.unwrap_or_else(|| self.secret.isn(config.isn, now, local, remote));
        let offset = self.secret.stamp_offset(local, remote);
        self.add(now, Some(id), |cx| Tcb::passive(cx, config, local, remote, syn, iss, offset));
    }

    /// A SYN,ACK that is all the state there is. It carries no option but the MSS.
    fn send_cookie(&mut self, now: Instant, id: ListenerId, syn: &Segment<'_>, config: &ConnConfig) {
        let (local, remote) = (syn.header.destination, syn.header.source);
        let mss = syn.header.options.mss.unwrap_or(536);
        let header = Header {
            source: local,
            destination: remote,
            seq: self.secret.cookie(now, local, remote, syn.header.seq, mss),
            ack: syn.header.seq + 1,
            flags: Flags::SYN | Flags::ACK,
            window: u16::try_from(config.receive_buffer).unwrap_or(u16::MAX),
            urgent: 0,
            options: Options { mss: Some(config.mss.unwrap_or(config.mtu.saturating_sub(40))), ..Options::default() },
            ttl: config.ttl,
            tos: config.tos,
            id: 0,
        };
        let mut carries = Carries::SYN;
        carries.add(Carries::ACK_OF_SYN);
        let label = Label { cause: Cause::Ack, carries };
        self.replies.push_back(Reply { conn: None, header, label, packet: self.record.packet });
        self.counters.cookies_sent += 1;
        if let Some(listener) = self.listener_mut(id) {
            listener.cookies_until = Some(now + COOKIES_VALID);
        }
    }

    /// An ACK that is a cookie becomes a connection; `false`: it is none.
    fn cookie_arrives(&mut self, now: Instant, id: ListenerId, ack: &Segment<'_>) -> bool {
        let Some(listener) = self.listener(id) else { return false };
        let expected = listener.cookies_until.is_some_and(|until| until >= now);
        let (config, full) = (listener.config.clone(), listener.is_full());
        let (local, remote) = (ack.header.destination, ack.header.source);
        let (irs, cookie) = (ack.header.seq.back(1), ack.header.ack.back(1));
        let Some(mss) = self.secret.cookie_mss(now, local, remote, irs, cookie).filter(|_| expected) else { return false };
        if full || self.table.len() >= self.config.max_connections {
            self.discard(now, None, Discard::Backlog);
            return true;
        }
        self.counters.cookies_accepted += 1;
        let offset = self.secret.stamp_offset(local, remote);
        let conn = self.add(now, Some(id), |cx| Tcb::from_cookie(cx, config, local, remote, ack, mss, offset));
        let _: Option<Outcome> = self.with(now, conn, |tcb, cx| tcb.segment_arrives(cx, ack));
        true
    }

    /// 3.10.7.1: no connection. A RST, unless it is one, or the rule was removed.
    pub(super) fn answer_stranger(&mut self, now: Instant, segment: &Segment<'_>) {
        self.discard(now, None, Discard::NoConnection);
        if self.config.rst_on_closed && !segment.header.flags.has(Flags::RST) {
            self.replies.push_back(reset_to(segment, self.config.conn.ttl, None, self.record.packet));
        }
    }
}
