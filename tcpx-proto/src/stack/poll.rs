//! After each thing that a connection handled: what of it concerns its listener, the timers, the
//! output and the application.

use super::Stack;
use super::table::{Entry, Ownership};
use super::types::Transmit;
use crate::error::{CallError, CloseReason};
use crate::id::ConnId;
use crate::stack::Signal;
use crate::state::State;
use crate::tcb::{Context, Most, Reply, Sent, Tcb, Usage, Wake};
use crate::time::Instant;
use crate::wire::Payload;
use alloc::boxed::Box;
use core::mem;
use core::net::IpAddr;

impl Stack {
    /// Makes a connection, as far as the limits go.
    pub(super) fn open(
        &mut self,
        now: Instant,
        ownership: Ownership,
        build: impl FnOnce(&mut Context<'_>) -> Tcb,
    ) -> Result<ConnId, CallError> {
        if self.table.len() >= self.config.max_connections {
            return Err(CallError::Limit);
        }
        let left = self.used.left(&self.config, None);
        let id = self.table.vacancy().ok_or(CallError::Limit)?;
        let record = &mut self.record;
        let replies = &mut self.replies;
        let tcb = build(&mut Context {
            now,
            id,
            record,
            replies,
            fast: self.fast,
            sum: self.sum,
            listener: false,
            accept_full: false,
            left,
        });
        self.used.change(Usage::default(), tcb.usage());
        self.table
            .insert(id, Box::new(Entry::new(tcb, ownership, self.record.packet)));
        if let Ownership::Embryonic(listener) = ownership {
            self.listeners.syn_received(listener);
        }
        self.follow_up(now, id);
        Ok(id)
    }

    /// A call of the application: not any more once it has let go.
    pub(super) fn call<R>(
        &mut self,
        now: Instant,
        id: ConnId,
        act: impl FnOnce(&mut Tcb, &mut Context<'_>) -> R,
    ) -> Result<R, CallError> {
        if self.table.get(id).is_none_or(|entry| entry.tcb.orphaned) {
            return Err(CallError::NoConnection);
        }
        self.with(now, id, act).ok_or(CallError::NoConnection)
    }

    /// Lets a connection handle one input.
    pub(super) fn with<R>(
        &mut self,
        now: Instant,
        id: ConnId,
        act: impl FnOnce(&mut Tcb, &mut Context<'_>) -> R,
    ) -> Option<R> {
        self.table.get_mut(id)?.caused_by = self.record.packet;
        self.turn(now, id, act)
    }

    /// Gives a connection its turn and settles what follows from that.
    fn turn<R>(
        &mut self,
        now: Instant,
        id: ConnId,
        act: impl FnOnce(&mut Tcb, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let vacant = self.table.len() < self.config.max_connections;
        let entry = self.table.get_mut(id)?;
        let before = entry.tcb.usage();
        // Looked up where it matters: the one in TIME-WAIT, the other in SYN-RECEIVED.
        let next = if entry.tcb.state == State::TimeWait {
            self.listeners.at(entry.tcb.tuple.local)
        } else {
            None
        };
        // The next incarnation takes the place of this record, unless the application still has it.
        let room = vacant || entry.tcb.orphaned;
        let listener = next.is_some_and(|listener| room && !self.listeners.accept_full(listener));
        let accept_full = match entry.ownership {
            Ownership::Embryonic(listener) => self.listeners.accept_full(listener),
            _ => false,
        };
        let left = self.used.left(&self.config, Some(before));
        let record = &mut self.record;
        let replies = &mut self.replies;
        let result = act(
            &mut entry.tcb,
            &mut Context {
                now,
                id,
                record,
                replies,
                fast: self.fast,
                sum: self.sum,
                listener,
                accept_full,
                left,
            },
        );
        self.used.change(before, entry.tcb.usage());
        self.follow_up(now, id);
        Some(result)
    }

    fn follow_up(&mut self, now: Instant, id: ConnId) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        if let Some(lesson) = entry.tcb.take_lesson() {
            let config = &entry.tcb.config;
            let peer = entry.tcb.tuple.remote.ip();
            self.peers.learn(now, config, peer, lesson);
        }
        let acceptable = mem::take(&mut entry.tcb.wake.acceptable);
        if let (Ownership::Embryonic(listener), true) = (entry.ownership, acceptable) {
            if entry.tcb.is_served_early() {
                entry.pending = Some(listener);
                self.listeners.pending_begins(listener);
            }
            entry.ownership = Ownership::Waiting(listener);
            entry.before = None;
            self.listeners.syn_received_ends(listener);
            self.listeners.enqueue(listener, id);
            if !self.signals.contains(&Signal::Acceptable(listener)) {
                self.signals.push_back(Signal::Acceptable(listener));
            }
        }
        if let Some(listener) = entry
            .pending
            .take_if(|_| entry.tcb.snd.syn_acked || entry.tcb.is_over())
        {
            let by_reset = !entry.tcb.snd.syn_acked && entry.tcb.ended == Some(CloseReason::Reset);
            self.listeners.pending_ends(listener, now, by_reset);
        }
        // An embryonic connection that ends never was there, for the application (3.10.7.4, second
        // check).
        let unknown = matches!(entry.ownership, Ownership::Embryonic(_) | Ownership::Past);
        if !unknown
            && entry.tcb.wake != Wake::default()
            && !mem::replace(&mut entry.wake_queued, true)
        {
            self.woken.push_back(id);
        }
        if !entry.queued && entry.tcb.has_output() {
            entry.queued = true;
            self.output.push_back(id);
        }
        self.timers.schedule(now, id, entry);
        let waits = entry.waits_alone();
        if entry.tcb.is_over() {
            self.retire(now, id);
        }
        self.timers.sweep(&self.table);
        self.settle(id, waits);
    }

    /// Makes records compact where there are too many whole ones, and this one if `at_once` or if
    /// none are kept whole.
    fn settle(&mut self, id: ConnId, at_once: bool) {
        let at_once = at_once || self.table.keeps_none();
        if at_once || self.table.is_crowded() {
            self.make_room(id, at_once);
        }
    }

    #[cold]
    fn make_room(&mut self, id: ConnId, at_once: bool) {
        if at_once {
            self.rest(id);
        }
        while self.table.is_crowded() {
            if let Some(idlest) = self.table.idlest()
                && !self.rest(idlest)
            {
                self.table.keep(idlest);
            }
        }
    }

    /// Makes a record compact if the connection rests: its buffers give back what they keep.
    fn rest(&mut self, id: ConnId) -> bool {
        let Some(entry) = self.table.get_mut(id) else {
            return true;
        };
        if !entry.tcb.is_quiet() {
            return false;
        }
        let before = entry.tcb.usage();
        entry.tcb.empty_buffers();
        self.used.change(before, entry.tcb.usage());
        self.table.compress(id)
    }

    /// Frees the four-tuple of a connection that is over, and its record unless the application has
    /// it or may still accept it.
    fn retire(&mut self, now: Instant, id: ConnId) {
        self.table.unlink(id);
        if self.table.get(id).is_none_or(|entry| {
            !matches!(entry.ownership, Ownership::Embryonic(_)) && !entry.tcb.orphaned
        }) {
            return;
        }
        let Some(entry) = self.table.remove(id) else {
            return;
        };
        self.used.change(entry.tcb.usage(), Usage::default());
        match entry.ownership {
            Ownership::Embryonic(listener) => self.listeners.syn_received_ends(listener),
            Ownership::Waiting(listener) => self.listeners.dequeue(listener, id),
            Ownership::Past => {}
            Ownership::Owned => self.signals.extend(
                entry
                    .tcb
                    .wake
                    .closed
                    .map(|reason| Signal::Closed(id, reason)),
            ),
        }
        if entry.tcb.ended == Some(CloseReason::Restarted) {
            return;
        }
        if let Some(before) = entry.before {
            self.return_to_time_wait(now, *before);
        }
    }

    /// The SYN of this connection was an old duplicate: the TIME-WAIT that it ended goes on
    /// (MAY-2), unless 2 MSL are over.
    fn return_to_time_wait(&mut self, now: Instant, tcb: Tcb) {
        if tcb.deadline().is_none_or(|until| until <= now) {
            return;
        }
        let Some(id) = self.table.vacancy() else {
            return;
        };
        tcb.note_return(&mut self.record, now, id);
        self.used.change(Usage::default(), tcb.usage());
        self.table
            .insert(id, Box::new(Entry::new(tcb, Ownership::Past, None)));
        self.follow_up(now, id);
    }

    /// Fires every timer that is due (3.10.8).
    pub fn timeout(&mut self, now: Instant) {
        // At most as many as there are: a timer of length zero that restarts waits for the next
        // call.
        for _ in 0..self.timers.len() {
            let Some((at, id)) = self.timers.pop_due(now) else {
                break;
            };
            if self.table.timer_at(id) != Some(at) {
                continue;
            }
            let Some(entry) = self.table.get_mut(id) else {
                continue;
            };
            entry.timer_at = None;
            if entry.tcb.deadline().is_some_and(|deadline| deadline <= now) {
                self.with(now, id, Tcb::on_timeout);
            } else {
                self.turn(now, id, |tcb, _| tcb.shrink_buffers());
            }
        }
    }

    /// When [`timeout`](Stack::timeout) wants to be called; perhaps too early, never too late.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Writes the next packet to send into `into`, which must have room for the MTU. `None`:
    /// nothing to send.
    pub fn poll_transmit(&mut self, now: Instant, into: &mut [u8]) -> Option<Transmit> {
        let (transmit, _) = self.transmit(now, into, |_| Most::Packets(1))?;
        Some(transmit)
    }

    /// The same as many calls of [`poll_transmit`](Stack::poll_transmit) in a row, at a fraction of
    /// the cost: the next packet, and with it as many as are like it, up to `most`, which gets the
    /// peer's address. While the record is on, which notes each packet, it is one at a time.
    ///
    /// [`Most::Packets`]: they are written into `into` one behind the other, as far as there is room.
    /// [`Most::Uncut`], for a link that cuts packets into segments (TSO): of a burst the headers of
    /// one long packet are written, and its text is given apart, from where it is kept. The segments
    /// have equal parts of it, the headers' SEG.SEQ and identification counted up, and the checksum
    /// in the headers is the pseudo-header's sum alone. A single packet is written whole.
    pub fn poll_burst(
        &mut self,
        now: Instant,
        into: &mut [u8],
        most: impl FnMut(IpAddr) -> Most,
    ) -> Option<(Transmit, Payload<'_>)> {
        let (transmit, text) = self.transmit(now, into, most)?;
        let conn = transmit.conn.filter(|_| text > 0);
        // What has text in flight is whole.
        let entry = conn.and_then(|id| self.table.whole(id));
        let text = entry.map_or((&[][..], &[][..]), |entry| entry.tcb.sent_text(text));
        Some((transmit, text))
    }

    /// Gives also how many bytes of text are not in `into`.
    fn transmit(
        &mut self,
        now: Instant,
        into: &mut [u8],
        most: impl FnMut(IpAddr) -> Most,
    ) -> Option<(Transmit, usize)> {
        let reply = self.transmit_reply(into).map(|reply| (reply, 0));
        let (transmit, text) = reply.or_else(|| self.transmit_segment(now, into, most))?;
        self.counters.packets_out += transmit.count as u64;
        Some((transmit, text))
    }

    fn transmit_reply(&mut self, into: &mut [u8]) -> Option<Transmit> {
        while let Some(mut reply) = self.replies.pop_front() {
            let mut ids = self.ids;
            reply.header.id = ids.take();
            let Reply {
                conn,
                header,
                layout,
                label,
                packet,
            } = reply;
            match header.emit_by(self.sum, layout, (&[], &[]), into) {
                Ok(len) => {
                    self.ids = ids;
                    return Some(Transmit {
                        conn,
                        len,
                        count: 1,
                        destination: header.destination,
                        label,
                        packet,
                    });
                }
                Err(_) => self.counters.transmit_failures += 1,
            }
        }
        None
    }

    /// What the first connection in the queue has, until it has no more.
    fn transmit_segment(
        &mut self,
        now: Instant,
        into: &mut [u8],
        mut most: impl FnMut(IpAddr) -> Most,
    ) -> Option<(Transmit, usize)> {
        while let Some(&id) = self.output.front() {
            if let Some((plan, destination, packet)) = self.table.get_mut(id).and_then(|entry| {
                let plan = entry.tcb.next_segment(now)?;
                Some((plan, entry.tcb.tuple.remote, entry.caused_by))
            }) {
                let mut ids = self.ids;
                self.record.packet = packet;
                let sent = self
                    .turn(now, id, |tcb, cx| {
                        tcb.transmit(cx, plan, into, &mut ids, &mut most)
                    })
                    .flatten();
                self.record.packet = None;
                if let Some(sent) = sent {
                    let Sent {
                        len,
                        count,
                        text,
                        label,
                    } = sent;
                    self.ids = ids;
                    let transmit = Transmit {
                        conn: Some(id),
                        len,
                        count,
                        destination,
                        label,
                        packet,
                    };
                    return Some((transmit, text));
                }
            }
            self.output.pop_front();
            if let Some(entry) = self.table.get_mut(id) {
                entry.queued = false;
                let waits = entry.waits_alone();
                self.settle(id, waits);
            }
        }
        None
    }

    /// The next wake-up.
    pub fn poll_signal(&mut self) -> Option<Signal> {
        if let Some(signal) = self.signals.pop_front() {
            return Some(signal);
        }
        while let Some(&id) = self.woken.front() {
            let entry = self.table.get_mut(id);
            if let Some(signal) = entry.and_then(|entry| next_signal(&mut entry.tcb.wake, id)) {
                return Some(signal);
            }
            self.woken.pop_front();
            if let Some(entry) = self.table.get_mut(id) {
                entry.wake_queued = false;
                let waits = entry.waits_alone();
                self.settle(id, waits);
            }
        }
        None
    }
}

/// Takes one wake-up out of the set.
fn next_signal(wake: &mut Wake, id: ConnId) -> Option<Signal> {
    if mem::take(&mut wake.established) {
        return Some(Signal::Established(id));
    }
    if mem::take(&mut wake.urgent) {
        return Some(Signal::Urgent(id));
    }
    if mem::take(&mut wake.readable) {
        return Some(Signal::Readable(id));
    }
    if mem::take(&mut wake.writable) {
        return Some(Signal::Writable(id));
    }
    wake.closed.take().map(|reason| Signal::Closed(id, reason))
}
