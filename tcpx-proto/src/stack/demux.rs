//! SEGMENT ARRIVES before there is a connection: whose it is, and RFC 9293 section 3.10.7.1
//! (CLOSED) and .2 (LISTEN).

use super::Stack;
use super::cookie::{self, LIFETIME, Request};
use super::table::{Ownership, Seen};
use crate::config::{Overflow, SynText, TimeWaitSyn};
use crate::event::{Discard, What};
use crate::id::{ConnId, FourTuple, ListenerId};
use crate::label::{Carries, Cause, Label};
use crate::seq::Seq;
use crate::tcb::{
    Context, Outcome, Reply, Tcb, first_window, offered_mss, peer_mss, reset_to, window_shift,
};
use crate::time::Instant;
use crate::wire::{ChecksumKind, Flags, Header, Icmp, Options, ParseError, Segment, Timestamps};
use alloc::boxed::Box;
use alloc::sync::Arc;

impl Stack {
    /// SEGMENT ARRIVES (3.10.7): a whole IP packet from any source, perhaps invalid.
    pub fn packet_arrives(&mut self, now: Instant, packet: &[u8]) {
        self.counters.packets_in += 1;
        self.record.packet = Some(self.counters.packets_in);
        if let Err(reason) = self.demultiplex(now, packet) {
            self.record.note(now, None, What::Discarded(reason));
        }
        self.record.packet = None;
    }

    /// A whole IP packet with an ICMP message (3.9.2.2, RFC 5927).
    pub fn icmp_arrives(&mut self, now: Instant, packet: &[u8]) {
        let Some(icmp) = Icmp::parse(packet) else {
            return;
        };
        if let Some(id) = self.table.find(FourTuple {
            local: icmp.local,
            remote: icmp.remote,
        }) {
            //= MUST-54
            self.with(now, id, |tcb, cx| tcb.icmp_arrives(cx, &icmp));
        }
    }

    fn demultiplex(&mut self, now: Instant, packet: &[u8]) -> Result<(), Discard> {
        if self.fast
            && let Some(segment) = Segment::plain(self.sum, packet, self.config.checksum)
        {
            return self.segment_arrives(now, &segment);
        }
        let segment =
            Segment::parse_by(self.sum, packet, self.config.checksum).map_err(|error| {
                self.counters.bad_checksums += u64::from(error == ParseError::BadChecksum);
                Discard::Parse(error)
            })?;
        self.segment_arrives(now, &segment)
    }

    fn segment_arrives(&mut self, now: Instant, segment: &Segment<'_>) -> Result<(), Discard> {
        self.counters.partial_checksums += u64::from(segment.checksum == ChecksumKind::Partial);
        if let Some(id) = self.table.route(&segment.header) {
            return self.deliver(now, id, segment);
        }
        let tuple = tuple_of(&segment.header);
        if !self.ports.contain(tuple.local) {
            self.counters.not_ours += 1;
            return Err(Discard::NotReserved);
        }
        match self.listeners.at(tuple.local) {
            //= MUST-42
            Some(listener) => self.arrives_in_listen(now, listener, segment),
            None => self.arrives_in_closed(segment),
        }
    }

    /// To its connection. A SYN that opens a TIME-WAIT again goes on to the listener (MAY-2, RFC
    /// 6191).
    fn deliver(&mut self, now: Instant, id: ConnId, segment: &Segment<'_>) -> Result<(), Discard> {
        let outcome = self.with(now, id, |tcb, cx| tcb.segment_arrives(cx, segment));
        let Some(Outcome::Reopen(iss)) = outcome else {
            return Ok(());
        };
        match self.listeners.at(segment.header.destination) {
            Some(listener) => self.reopen(now, id, listener, segment, iss),
            None => Ok(()),
        }
    }

    /// Opens a connection in the place of one in TIME-WAIT, which it keeps, if the policy is so,
    /// for the case that the SYN is an old duplicate.
    fn reopen(
        &mut self,
        now: Instant,
        id: ConnId,
        listener: ListenerId,
        segment: &Segment<'_>,
        iss: Seq,
    ) -> Result<(), Discard> {
        let returns = |entry: &Seen<'_>| entry.tcb.config.time_wait_syn == TimeWaitSyn::Return;
        let before = self
            .table
            .get(id)
            .filter(returns)
            .map(|entry| Box::new(entry.tcb.time_wait_remains()));
        self.with(now, id, Tcb::on_replaced);
        self.on_syn_in_listen(now, listener, segment, Some(iss))?;
        let opened = self.table.find(tuple_of(&segment.header));
        if let Some(entry) = opened.and_then(|opened| self.table.get_mut(opened))
            && matches!(entry.ownership, Ownership::Embryonic(_))
        {
            entry.before = before;
        }
        Ok(())
    }

    /// 3.10.7.1: there is no connection and no listener. Everything but a RST is answered with one.
    fn arrives_in_closed(&mut self, segment: &Segment<'_>) -> Result<(), Discard> {
        if self.config.rst_on_closed && !segment.header.flags.contains(Flags::RST) {
            self.reset(segment);
        }
        Err(Discard::NoConnection)
    }

    /// 3.10.7.2: LISTEN. RST, then ACK, then SYN; anything else is dropped.
    fn arrives_in_listen(
        &mut self,
        now: Instant,
        id: ListenerId,
        segment: &Segment<'_>,
    ) -> Result<(), Discard> {
        let flags = segment.header.flags;
        if flags.contains(Flags::RST) {
            return Err(Discard::State);
        }
        if flags.contains(Flags::ACK) {
            return self.on_ack_in_listen(now, id, segment);
        }
        if !flags.contains(Flags::SYN) {
            return Err(Discard::NoAck);
        }
        self.on_syn_in_listen(now, id, segment, None)
    }

    /// Second check: an ACK belongs to nothing here and gets a RST, unless it brings a SYN cookie
    /// back (RFC 4987 section 3.6). Cookies are only looked for while one may be on its way, so
    /// that no cookie can be guessed in quiet times; Linux does the same.
    fn on_ack_in_listen(
        &mut self,
        now: Instant,
        id: ListenerId,
        segment: &Segment<'_>,
    ) -> Result<(), Discard> {
        let header = &segment.header;
        let listener = self.listeners.get(id).ok_or(Discard::NoConnection)?;
        let expected = listener.cookies_until.is_some_and(|until| now <= until)
            && !header.flags.contains(Flags::SYN);
        let tuple = tuple_of(header);
        let request = Request {
            tuple,
            irs: header.seq.back(1),
        };
        let mss = if expected {
            self.cookies.check(now, &request, header.ack.back(1))
        } else {
            None
        };
        //= 4987-3
        let Some(mss) = mss else {
            self.reset(segment);
            return Err(Discard::AckCheck);
        };
        if listener.accept_full() {
            return Err(Discard::Backlog);
        }
        let config = Arc::clone(&listener.config);
        let offset = self.isns.stamp_offset(tuple);
        let stamps = header.options.timestamps;
        let kept = stamps.map_or(Options::default(), |stamps| {
            cookie::options_of(stamps.echo.wrapping_sub(offset))
        });
        let options = Options {
            mss: Some(mss),
            timestamps: stamps,
            ..kept
        };
        let build =
            |cx: &mut Context<'_>| Tcb::from_cookie(cx, config, tuple, segment, options, offset);
        let conn = self
            .open(now, Ownership::Embryonic(id), build)
            .map_err(|_| Discard::Limit)?;
        self.counters.cookies_accepted += 1;
        self.deliver(now, conn, segment)
    }

    /// Third check: a SYN opens a connection, as far as the backlog goes. One that opens a
    /// TIME-WAIT again brings its ISS: it takes the place of that entry and needs none in the
    /// backlog.
    fn on_syn_in_listen(
        &mut self,
        now: Instant,
        id: ListenerId,
        segment: &Segment<'_>,
        iss: Option<Seq>,
    ) -> Result<(), Discard> {
        let header = &segment.header;
        let listener = self.listeners.get_mut(id).ok_or(Discard::NoConnection)?;
        if listener.config.syn_text == SynText::Drop && header.flags.contains(Flags::FIN) {
            return Err(Discard::State);
        }
        //= 4987-1
        let backlog_full = listener.embryonic >= listener.bound && iss.is_none();
        let accept_full = listener.accept_full();
        //= 4987-3
        if backlog_full && !accept_full && self.config.overflow == Overflow::Cookies {
            self.send_cookie(now, id, segment);
            return Ok(());
        }
        if backlog_full || accept_full {
            self.counters.backlog_drops += 1;
            return Err(Discard::Backlog);
        }
        let config = Arc::clone(&listener.config);
        let tuple = tuple_of(header);
        let grant = if config.fast_open {
            let room = listener.pending.have_room(now, config.fast_open_pending);
            let client = tuple.remote.ip();
            self.mint.grant(now, client, &header.options, room)
        } else {
            None
        };
        self.counters.fast_opens += u64::from(grant.is_some_and(|grant| grant.served));
        let iss = iss.unwrap_or_else(|| self.isns.iss(config.isn, now, tuple));
        let offset = self.isns.stamp_offset(tuple);
        let numbers = (iss, offset);
        let build = |cx: &mut Context<'_>| Tcb::passive(cx, config, tuple, segment, numbers, grant);
        self.open(now, Ownership::Embryonic(id), build)
            .map(|_| ())
            .map_err(|_| Discard::Limit)
    }

    /// Answers a SYN and keeps nothing of it but that there may be a cookie on its way.
    fn send_cookie(&mut self, now: Instant, id: ListenerId, segment: &Segment<'_>) {
        let syn = &segment.header;
        let offset = self.isns.stamp_offset(tuple_of(&segment.header));
        let Some(listener) = self.listeners.get_mut(id) else {
            return;
        };
        listener.cookies_until = Some(now + LIFETIME);
        let config = &listener.config;
        let mut options = Options {
            mss: Some(offered_mss(config, syn.source)),
            ..Options::default()
        };
        if config.timestamps
            && let Some(stamps) = syn.options.timestamps
        {
            if config.window_scaling && syn.options.window_scale.is_some() {
                options.window_scale = Some(window_shift(config));
            }
            options.sack_permitted = syn.options.sack_permitted && config.sack;
            let clock = now.millis() as u32;
            options.timestamps = Some(Timestamps {
                value: cookie::stamp(clock, &syn.options).wrapping_add(offset),
                echo: stamps.value,
            });
        }
        let request = Request {
            tuple: tuple_of(syn),
            irs: syn.seq,
        };
        let stamps = if options.timestamps.is_some() { 12 } else { 0 };
        let window = first_window(config, (offered_mss(config, syn.source) - stamps).into());
        let mss = peer_mss(config, &syn.options, syn.source, true);
        let layout = config.syn_options;
        let header = Header {
            source: syn.destination,
            destination: syn.source,
            seq: self.cookies.make(now, &request, mss),
            //= 4987-5
            ack: syn.seq + 1,
            flags: Flags::SYN | Flags::ACK,
            window: u16::try_from(window).unwrap_or(u16::MAX),
            urgent: 0,
            options,
            ttl: config.ttl,
            tos: config.tos,
            id: 0,
        };
        let label = Label {
            cause: Cause::Ack,
            carries: Carries::SYN | Carries::ACK_OF_SYN,
        };
        self.counters.cookies_sent += 1;
        self.replies.push_back(Reply {
            conn: None,
            header,
            layout,
            label,
            packet: self.record.packet,
        });
    }

    fn reset(&mut self, segment: &Segment<'_>) {
        self.replies.push_back(reset_to(
            segment,
            &self.config.conn,
            None,
            self.record.packet,
        ));
    }
}

/// The connection that a segment which arrives names.
fn tuple_of(header: &Header) -> FourTuple {
    FourTuple {
        local: header.destination,
        remote: header.source,
    }
}
