//! What a gate remembers of one four-tuple: the sequence numbers of each direction, and the counts
//! of each rule.

use super::Direction;
use super::rule::{Facts, Fault, Which};
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::Flags;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Our end and the peer's end.
pub(super) type FlowKey = (SocketAddr, SocketAddr);

/// How many retransmitted sequence numbers are remembered in each direction.
const MAX_REPEATS: usize = 16;

/// No window is larger (RFC 7323 section 2.3): what is farther ahead belongs to another
/// incarnation.
const MAX_WINDOW: u32 = 1 << 30;

/// One four-tuple, over all its incarnations.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(super) struct Flow {
    /// The number of the offer that touched it last.
    pub(super) touched: u64,
    /// What is held of it, in the unit of [`MAX_HELD`](super::MAX_HELD).
    pub(super) held: usize,
    /// How many connections our host has had on it.
    pub(super) connections: u32,
    /// Whether the last of them still lives.
    pub(super) alive: bool,
    /// One for each rule of the gate.
    pub(super) tallies: Vec<Tally>,
    /// The direction of the first SYN of this incarnation.
    opener: Option<Direction>,
    /// The opener has sent its first segment with ACK and without SYN.
    third_seen: bool,
    reset: bool,
    /// When the last segment of either direction was seen.
    seen: Option<Instant>,
    /// The longest time between two segments of this incarnation.
    silence: Duration,
    out: Lane,
    into: Lane,
}

/// One direction of one incarnation.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
struct Lane {
    isn: Option<Seq>,
    mark: Mark,
    fin: bool,
    /// Where the last retransmissions began, and how many there were of each.
    repeats: VecDeque<(Seq, u32)>,
}

/// The end of the sequence space that was seen so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(super) struct Mark(Option<Seq>);

impl Mark {
    /// Whether this goes beyond what was seen; what uses no sequence space always does.
    fn passes(&mut self, seq: Seq, len: u32) -> bool {
        let end = seq + len;
        match self.0 {
            _ if len == 0 => true,
            Some(mark) if end.le(mark) => false,
            Some(mark) if end.since(mark) > MAX_WINDOW => true,
            _ => {
                self.0 = Some(end);
                true
            }
        }
    }
}

impl Lane {
    /// How often these bytes were seen before.
    fn retransmission(&mut self, seq: Seq, len: u32) -> u32 {
        if self.mark.passes(seq, len) {
            return 0;
        }
        if let Some((_, times)) = self.repeats.iter_mut().find(|(place, _)| *place == seq) {
            *times = times.saturating_add(1);
            return *times;
        }
        self.repeats.truncate(MAX_REPEATS - 1);
        self.repeats.push_front((seq, 1));
        1
    }
}

impl Flow {
    pub(super) fn new(rules: usize) -> Flow {
        Flow {
            tallies: alloc::vec![Tally::default(); rules],
            ..Flow::default()
        }
    }

    /// Follows a segment: the start of an incarnation, the third ACK and the silence (into
    /// `facts`). Returns 0 or the number of the retransmission.
    pub(super) fn see(&mut self, now: Instant, facts: &mut Facts) -> u32 {
        let before = self.seen.replace(now).unwrap_or(now);
        self.silence = self.silence.max(now.since(before));
        let direction = facts.direction;
        let flags = facts.header.flags;
        let seq = facts.header.seq;
        let len = facts.len();
        if flags.contains(Flags::SYN) && (self.lane(direction).isn != Some(seq) || self.ended()) {
            self.syn(direction, seq, flags.contains(Flags::ACK));
        }
        facts.third = self.opener == Some(direction)
            && !self.third_seen
            && flags.contains(Flags::ACK)
            && !flags.contains(Flags::SYN)
            && !flags.contains(Flags::RST);
        self.third_seen |= facts.third;
        facts.silence = self.silence;
        self.reset |= flags.contains(Flags::RST);
        let lane = self.lane(direction);
        lane.fin |= flags.contains(Flags::FIN);
        lane.retransmission(seq, len)
    }

    /// A SYN that starts a direction. Without ACK it starts an incarnation, unless it crosses the
    /// peer's first SYN (simultaneous open) in one that has not ended.
    fn syn(&mut self, direction: Direction, seq: Seq, acknowledges: bool) {
        let known = self.lane(direction).isn.is_some();
        if !acknowledges && (known || self.ended()) {
            self.begin();
        }
        if !acknowledges && self.opener.is_none() {
            self.opener = Some(direction);
        }
        *self.lane(direction) = Lane {
            isn: Some(seq),
            ..Lane::default()
        };
    }

    /// With a fixed ISN the SYN of the next incarnation looks like the last one's, but comes after
    /// its end.
    fn ended(&self) -> bool {
        self.reset || self.out.fin && self.into.fin
    }

    fn begin(&mut self) {
        self.opener = None;
        self.third_seen = false;
        self.reset = false;
        self.silence = Duration::ZERO;
        self.out = Lane::default();
        self.into = Lane::default();
        self.tallies.iter_mut().for_each(Tally::restart);
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::Out => &mut self.out,
            Direction::In => &mut self.into,
        }
    }
}

/// How far one rule is on one four-tuple.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(super) struct Tally {
    /// Matching segments of this incarnation, first transmissions only.
    count: u32,
    /// The direction and the sequence number of the one that [`Which::Repeats`] names.
    place: Option<(Direction, Seq)>,
    /// How often that one was retransmitted.
    repeats: u32,
    out: Mark,
    into: Mark,
    /// `reorder`: the one that waits.
    pub(super) parked: Option<Parked>,
    /// `trickle`: when the next may pass. `release .. after`: when it takes effect.
    pub(super) at: Option<Instant>,
    /// `release .. on`: it has happened.
    pub(super) released: bool,
}

/// A segment that waits until others have passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Parked {
    /// Its number among what is held.
    pub(super) ticket: u64,
    pub(super) direction: Direction,
    /// How many must still pass.
    pub(super) left: u32,
}

impl Tally {
    /// Counting restarts with an incarnation; what waits goes on waiting.
    fn restart(&mut self) {
        let kept = Tally {
            parked: self.parked,
            at: self.at,
            released: self.released,
            ..Tally::default()
        };
        *self = kept;
    }

    /// Counts a segment that the rule matches. Returns whether the rule means this one.
    pub(super) fn counts(&mut self, fault: &Fault, facts: &Facts) -> bool {
        if fault.which == Which::Every {
            return true;
        }
        // A FIN that joins a retransmission does not make new data of it.
        let fin = u32::from(facts.header.flags.contains(Flags::FIN));
        let seq = facts.header.seq;
        let len = facts.len() - if fault.kind.is_text() { fin } else { 0 };
        let mark = if facts.direction == Direction::Out {
            &mut self.out
        } else {
            &mut self.into
        };
        let first = mark.passes(seq, len);
        if first {
            self.count = self.count.saturating_add(1);
        }
        match fault.which {
            Which::Every => true,
            Which::First { from, to } => first && (from..=to).contains(&self.count),
            Which::Onward { from } => self.count >= from,
            Which::Repeats { nth, from, to } => self
                .transmission(nth, first, facts.direction, seq, len)
                .is_some_and(|k| (from..=to).contains(&k)),
        }
    }

    /// Which transmission of the n-th segment this is, from 0. A retransmission contains the byte
    /// where the first one began.
    fn transmission(
        &mut self,
        nth: u32,
        first: bool,
        direction: Direction,
        seq: Seq,
        len: u32,
    ) -> Option<u32> {
        if first && self.count == nth {
            self.place = Some((direction, seq));
            return Some(0);
        }
        let (lane, place) = self.place?;
        if lane != direction || !place.in_window(seq, len) {
            return None;
        }
        self.repeats = self.repeats.saturating_add(1);
        Some(self.repeats)
    }
}
