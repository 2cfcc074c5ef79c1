//! The window that Linux offers: it counts the memory that packets take, not the bytes of text in
//! them, and lets the window grow as large segments arrive and as the application reads.
//!
//! Names in parentheses are those of `tcp_input.c` and `tcp_output.c`. What a packet takes is what it
//! took on a TUN device of Linux 6.18; other devices differ.

use super::Tcb;
use super::coder::Coder;
use super::size::{headers, offered_mss};
use crate::config::{ConnConfig, ReceiveWindow};
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::Segment;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// `TCP_DEFAULT_SCALING_RATIO`: half of the memory is text, until a segment tells.
const FIRST_RATIO: u8 = 128;
/// `TCP_INIT_CWND`, segments.
const FIRST_FLIGHT: u32 = 10;
/// The least buffer: half of `SOCK_MIN_RCVBUF`, bytes.
const LEAST: u32 = 1152;
/// `tcp_rmem[2]`, bytes.
const LARGEST: u32 = 32 << 20;
/// Smaller segments do not let the window grow (`tcp_event_data_recv`).
const LEAST_OF_GROWTH: u32 = 128;
/// Of a packet's memory: what the kernel keeps of it besides (`struct sk_buff`), and what comes
/// before and behind its bytes (`NET_SKB_PAD`, `struct skb_shared_info`).
const RECORD: u32 = 256;
const PAD: u32 = 64;
const INFO: u32 = 320;
/// The smallest head of a packet (`skbuff_small_head`), and the next one, which doubles.
const SMALL_HEAD: u32 = 576;
const HEAD: u32 = 1024;

/// Memory that unread text takes, up to a sequence number, and what else fits there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Packet {
    end: Seq,
    memory: u32,
    spare: u32,
}

/// The state behind the window.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Room {
    /// Memory for packets (`sk_rcvbuf`), and how much of it they take (`sk_rmem_alloc`).
    memory: u32,
    used: u32,
    packets: VecDeque<Packet>,
    /// 256ths of the memory that are text (`scaling_ratio`).
    ratio: u8,
    /// `window_clamp` and `rcv_ssthresh`.
    clamp: u32,
    threshold: u32,
    /// Our MSS less timestamps (`advmss`).
    mss: u32,
    /// SACK is in use: without it the window stays as it is while text is missing, so that ACKs are
    /// duplicates.
    selective: bool,
    /// The peer's round trip, as its segments tell it, and the echo that told last.
    rtt: Option<Duration>,
    echo: u32,
    /// What the application read since then, in one round trip (`rcvq_space`).
    since: Instant,
    from: Seq,
    read: u32,
}

/// The kernel's memory for a packet of `bytes`, IP header included, and what else fits into it.
fn packet_memory(bytes: u32) -> (u32, u32) {
    let needed = bytes.next_multiple_of(64) + PAD + INFO;
    let head = if needed <= SMALL_HEAD {
        SMALL_HEAD
    } else {
        needed.next_power_of_two().max(HEAD)
    };
    (head + RECORD, head - INFO - PAD - bytes)
}

/// The window of a SYN or SYN,ACK before it is cut to 16 bits (`tcp_select_initial_window`): whole
/// segments of `mss` bytes.
pub(crate) fn first_window(config: &ConnConfig, mss: u32) -> u32 {
    let space = first_space(config);
    match config.receive_window {
        ReceiveWindow::Linux if space > mss && mss > 0 => space - space % mss,
        _ => space,
    }
}

/// Bytes of text that the buffer holds at first (`tcp_full_space`).
fn first_space(config: &ConnConfig) -> u32 {
    let space = u32::try_from(config.receive_buffer).unwrap_or(u32::MAX);
    match config.receive_window {
        ReceiveWindow::Linux => space.max(LEAST),
        ReceiveWindow::Buffer => space,
    }
}

/// The most text that the buffer may come to hold: more than half of the memory may be text.
pub(super) fn largest_space(config: &ConnConfig) -> usize {
    match config.receive_window {
        ReceiveWindow::Buffer => config.receive_buffer,
        ReceiveWindow::Linux => {
            let memory = 2 * first_space(config) as usize;
            memory.max(config.receive_limit.unwrap_or(0))
        }
    }
}

impl Room {
    /// At ESTABLISHED (`tcp_init_buffer_space`): `offered` bytes were offered until now, at
    /// `shift`, `first` is the peer's first byte.
    pub(super) fn new(
        config: &ConnConfig,
        [offered, mss, stamps]: [u32; 3],
        shift: u8,
        passive: bool,
        (now, first): (Instant, Seq),
    ) -> Room {
        let space = first_space(config);
        // A passive opener takes the timestamps off only afterwards.
        let advertised = if passive { mss } else { mss - stamps };
        let most = 65_535u32 << shift;
        let limit = match config.receive_limit {
            Some(_) => most,
            None => most.min(space),
        };
        let mut clamp = limit.min(space);
        if clamp > 2 * advertised && clamp.saturating_add(advertised) > space {
            clamp = (2 * advertised).max(space.saturating_sub(advertised));
        }
        let threshold = offered.min(clamp);
        Room {
            memory: space.saturating_mul(2),
            used: 0,
            packets: VecDeque::new(),
            ratio: FIRST_RATIO,
            clamp,
            threshold,
            mss: mss - stamps,
            selective: false,
            rtt: None,
            echo: 0,
            since: now,
            from: first,
            read: threshold.min(offered).min(FIRST_FLIGHT * advertised),
        }
    }

    /// Bytes of text that this much memory holds (`tcp_win_from_space`).
    fn text_in(&self, memory: u32) -> u32 {
        ((u64::from(memory) * u64::from(self.ratio)) >> 8) as u32
    }

    fn space(&self) -> u32 {
        self.text_in(self.memory.saturating_sub(self.used))
    }

    /// A packet came, from `start` to `end`, with `len` bytes of text in its `bytes`. The peer's full
    /// segment was `before` until now and is `full`; `offered` is our window; without `in_order`
    /// the text lies behind a hole. Returns whether the window may grow.
    pub(super) fn charge(
        &mut self,
        (start, end): (Seq, Seq),
        (len, bytes): (u32, u32),
        (before, full): (u32, u32),
        offered: u32,
        in_order: bool,
    ) -> bool {
        let (memory, spare) = packet_memory(bytes);
        let at = match self.packets.back() {
            Some(last) if last.end.gt(end) => {
                self.packets.partition_point(|packet| packet.end.le(end))
            }
            _ => self.packets.len(),
        };
        match at
            .checked_sub(1)
            .and_then(|before| self.packets.get_mut(before))
        {
            // It goes into the packet before it, where it fits (`skb_try_coalesce`).
            Some(before) if before.end == start && before.spare >= len => {
                before.end = end;
                before.spare -= len;
            }
            _ => {
                self.packets.insert(at, Packet { end, memory, spare });
                self.used = self.used.saturating_add(memory);
            }
        }
        if len > before {
            self.ratio = u8::try_from((len << 8) / memory).unwrap_or(u8::MAX).max(1);
            self.set_clamp(self.text_in(self.memory), offered);
        }
        let counts = if in_order {
            len >= LEAST_OF_GROWTH
        } else {
            self.selective
        };
        counts && self.grow(len, memory, full)
    }

    /// Whether text from `start` on goes into the packet that it continues (`skb_try_coalesce`).
    pub(super) fn is_joined(&self, start: Seq, len: u32) -> bool {
        let at = self.packets.partition_point(|packet| packet.end.lt(start));
        let mut before = self
            .packets
            .range(at..)
            .take_while(|packet| packet.end == start);
        before.any(|packet| packet.spare >= len)
    }

    /// `tcp_set_window_clamp`.
    fn set_clamp(&mut self, clamp: u32, offered: u32) {
        if clamp < self.clamp {
            self.threshold = self.threshold.min(clamp);
        } else if clamp > self.clamp {
            self.threshold = self.threshold.max(offered.min(clamp));
        }
        self.clamp = clamp;
        self.read = self.read.min(clamp);
    }

    /// `tcp_grow_window`: a segment whose memory is mostly text lets more of them come.
    fn grow(&mut self, len: u32, memory: u32, full: u32) -> bool {
        let room = self.clamp.min(self.space()).saturating_sub(self.threshold);
        let step = if self.text_in(memory) <= len {
            2 * self.mss
        } else {
            self.small_step(len, memory, full)
        };
        let grows = room > 0 && step > 0;
        if grows {
            self.threshold += room.min(step.max(2 * len));
        }
        grows
    }

    /// `__tcp_grow_window`.
    fn small_step(&self, len: u32, memory: u32, full: u32) -> u32 {
        let mut memory = self.text_in(memory) >> 1;
        let mut window = self.text_in(LARGEST) >> 1;
        while self.threshold <= window {
            if memory <= len {
                return 2 * full;
            }
            memory >>= 1;
            window >>= 1;
        }
        0
    }

    /// The window to offer (`__tcp_select_window`), where `offered` bytes are offered now.
    fn select(&self, full: u32, offered: u32, shift: u8) -> u32 {
        let unit = 1u32 << shift;
        let mut free = self.space();
        let allowed = self.text_in(self.memory);
        let all = self.clamp.min(allowed);
        let mss = full.min(all);
        if free < all >> 1 {
            free &= !(unit - 1);
            if free < allowed >> 4 || free < mss {
                return 0;
            }
        }
        let free = free.min(self.threshold);
        if shift > 0 {
            free.next_multiple_of(unit)
        } else if offered + mss <= free || offered > free {
            free - free % mss.max(1)
        } else if mss == all && free > offered + (all >> 1) {
            free
        } else {
            offered
        }
    }

    /// The application has read up to `next`.
    fn free(&mut self, next: Seq) {
        while let Some(packet) = self.packets.front().filter(|packet| packet.end.le(next)) {
            self.used = self.used.saturating_sub(packet.memory);
            self.packets.pop_front();
        }
        if self.packets.is_empty() {
            self.used = 0;
        }
    }

    /// The peer's segment told a round-trip time (`tcp_rcv_rtt_update`).
    fn note_round_trip(&mut self, sample: Duration) {
        self.rtt = Some(match self.rtt {
            Some(rtt) if sample >= rtt => rtt - rtt / 8 + sample / 8,
            _ => sample,
        });
    }

    /// More memory, if so much text needs it (`tcp_rcvbuf_grow`).
    fn extend(&mut self, text: u64, limit: Option<usize>) {
        let Some(limit) = limit else {
            return;
        };
        let memory = (text << 8) / u64::from(self.ratio);
        let memory = u32::try_from(memory.min(limit as u64)).unwrap_or(u32::MAX);
        if memory > self.memory {
            self.memory = memory;
            self.clamp = self.text_in(memory);
        }
    }

    /// The application reads as fast as the peer sends: more memory (`tcp_rcv_space_adjust`).
    fn adjust(&mut self, now: Instant, next: Seq, unread: u32, limit: Option<usize>) {
        if self.rtt.is_none_or(|rtt| now.since(self.since) < rtt) {
            return;
        }
        let copied = next.since(self.from).saturating_sub(unread);
        if copied > self.read {
            let before = u64::from(self.read.max(1));
            self.read = copied;
            let window = u64::from(copied) * 2;
            let more = window * (u64::from(copied) - before) / before;
            self.extend(window + 2 * more, limit);
        }
        self.from = next;
        self.since = now;
    }

    /// Bytes of our own memory.
    pub(super) fn own_memory(&self) -> usize {
        self.packets.capacity() * size_of::<Packet>()
    }

    /// Codes all of it where no text is unread. `fresh`: one that has just begun.
    pub(super) fn code(&mut self, coder: &mut impl Coder, fresh: &Room) {
        let Room {
            memory,
            used,
            packets,
            ratio,
            clamp,
            threshold,
            mss,
            selective,
            rtt,
            echo,
            since,
            from,
            read,
        } = self;
        coder.only(used, 0);
        coder.only(packets, VecDeque::new());
        coder.group(|coder| {
            coder.number(memory, fresh.memory);
            coder.number(ratio, fresh.ratio);
            coder.number(clamp, fresh.clamp);
            coder.number(threshold, fresh.threshold);
            coder.number(mss, fresh.mss);
            coder.flag(selective, fresh.selective);
            coder.number(since, fresh.since);
            coder.number(from, fresh.from);
            coder.number(read, fresh.read);
            coder.option(rtt, Duration::ZERO);
            coder.number(echo, 0);
        });
    }
}

impl Tcb {
    /// The room at ESTABLISHED, where the policy has one.
    pub(super) fn new_room(&self, now: Instant) -> Option<Box<Room>> {
        if self.config.receive_window == ReceiveWindow::Buffer {
            return None;
        }
        let offered = self.rcv.edge.since(self.rcv.nxt);
        let mss = u32::from(offered_mss(&self.config, self.tuple.remote));
        Some(Box::new(Room {
            selective: self.rcv.sack,
            ..Room::new(
                &self.config,
                [offered, mss, self.stamps.len().into()],
                self.rcv.shift,
                self.passive,
                (now, self.rcv.nxt),
            )
        }))
    }

    /// This segment was stored, from `start` to `end`, when the peer's full segment was taken to be
    /// `before`. `in_order`: or behind a hole.
    pub(super) fn charge_room(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        (start, end): (Seq, Seq),
        before: u32,
        in_order: bool,
    ) {
        let full = self.pace.full();
        let offered = self.rcv.edge.since(self.rcv.acked);
        let options = &segment.header.options;
        let sack = options.sack.as_slice().len() as u32;
        let len = segment.payload.len() as u32;
        let bytes = len
            + u32::from(headers(self.tuple.remote))
            + if options.timestamps.is_some() { 12 } else { 0 }
            + if sack > 0 { 4 + 8 * sack } else { 0 };
        let echo = self.stamps.echo(&segment.header);
        let clock = self.stamps.value(now);
        let Some(transfer) = self.transfer.as_mut() else {
            return;
        };
        let held = transfer.receive.held_end();
        let Some(room) = transfer.room.as_mut() else {
            return;
        };
        if room.charge(
            (start, end),
            (len, bytes),
            (before, full),
            offered,
            in_order,
        ) {
            self.pace.hurry();
        }
        if !in_order && !self.orphaned {
            let text = u64::from(room.read) * 2 + u64::from(held);
            room.extend(text, self.config.receive_limit);
        }
        if let Some(echo) = echo.filter(|echo| *echo != room.echo) {
            room.echo = echo;
            if len >= full {
                let millis = u64::from(clock.wrapping_sub(echo)).max(1);
                room.note_round_trip(Duration::from_millis(millis));
            }
        }
    }

    /// The application has read: its packets are free, and the memory may grow.
    pub(super) fn free_room(&mut self, now: Instant) {
        let unread = self.unread() as u32;
        // The FIN goes with what was read last.
        let fin = self.rcv.fin_reached && unread > 0;
        let next = self.rcv.nxt.back(u32::from(fin)).back(unread);
        let limit = self.config.receive_limit;
        if let Some(room) = self
            .transfer
            .as_mut()
            .and_then(|transfer| transfer.room.as_mut())
        {
            room.free(next);
            room.adjust(now, next, unread, limit);
        }
    }

    /// Before a RST nothing is left to read (`__tcp_close`), and the window is chosen once more.
    pub(super) fn empty_room(&mut self) {
        if let Some(room) = self
            .transfer
            .as_mut()
            .and_then(|transfer| transfer.room.as_mut())
        {
            room.packets.clear();
            room.used = 0;
        }
        self.rcv.edge = self.selected_edge().unwrap_or(self.rcv.edge);
    }

    /// The right edge that Linux would offer; `None` where the policy is another.
    pub(super) fn selected_edge(&self) -> Option<Seq> {
        let room = self.transfer.as_ref()?.room.as_ref()?;
        let offered = self.rcv.edge.since(self.rcv.nxt);
        let before = self.rcv.edge.since(self.rcv.acked);
        let selected = room.select(self.pace.full(), before, self.rcv.shift);
        let unit = 1u32 << self.rcv.shift;
        Some(self.rcv.nxt + selected.max(offered.next_multiple_of(unit)))
    }

    /// Whether as much can be offered as with the last ACK.
    pub(super) fn is_window_whole(&self) -> bool {
        let Some(room) = self
            .transfer
            .as_ref()
            .and_then(|transfer| transfer.room.as_ref())
        else {
            return true;
        };
        let before = self.rcv.edge.since(self.rcv.acked);
        room.select(self.pace.full(), before, self.rcv.shift) >= before
    }

    /// Whether a RECEIVE has opened the window so far that the peer must be told
    /// (`__tcp_cleanup_rbuf`); `None` where the policy is another.
    pub(super) fn is_room_news(&self) -> Option<bool> {
        let room = self.transfer.as_ref()?.room.as_ref()?;
        let offered = self.rcv.edge.since(self.rcv.nxt);
        let before = self.rcv.edge.since(self.rcv.acked);
        let selected = room.select(self.pace.full(), before, self.rcv.shift);
        Some(2 * u64::from(offered) <= room.clamp.into() && selected > 0 && selected >= 2 * offered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full segment counts as no more than the whole buffer (`mss > full_space`).
    #[test]
    fn window_of_a_buffer_smaller_than_a_segment_opens_again() {
        let config = ConnConfig {
            receive_buffer: 1,
            ..ConnConfig::default()
        };
        for shift in [0, 14] {
            let mut room = Room::new(
                &config,
                [LEAST, 1460, 0],
                shift,
                true,
                (Instant::ZERO, Seq(1)),
            );
            room.charge(
                (Seq(1), Seq(1) + LEAST),
                (LEAST, LEAST + 40),
                (1460, 1460),
                LEAST,
                true,
            );
            assert_eq!(room.select(1460, 0, shift), 0, "{shift}");
            room.free(Seq(1) + LEAST);
            let window = room.select(1460, 0, shift);
            assert_eq!(window, LEAST.next_multiple_of(1 << shift), "{shift}");
        }
    }
}
