//! RFC 7323 timestamps: our clock, TS.Recent, and the echo.

use super::coder::Coder;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::Header;

/// A timestamp older than this is meaningless (RFC 7323 section 5.5).
const STAMP_LIFE: Duration = Duration::from_secs(24 * 24 * 3600);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Stamps {
    /// Both SYNs carried the option.
    pub(super) on: bool,
    /// What is added to the clock (RFC 7323 sections 5.4, 7.1).
    offset: u32,
    /// TS.Recent.
    pub(super) recent: u32,
    recent_at: Instant,
}

impl Stamps {
    pub(super) fn new(now: Instant, offset: u32) -> Stamps {
        Stamps {
            on: false,
            offset,
            recent: 0,
            recent_at: now,
        }
    }

    /// Both ends use timestamps; this is the peer's first.
    pub(super) fn enable(&mut self, now: Instant, value: u32) {
        self.on = true;
        self.set_recent(now, value);
    }

    pub(super) fn set_recent(&mut self, now: Instant, value: u32) {
        self.recent = value;
        self.recent_at = now;
    }

    /// TSval: milliseconds, from an offset of its own per connection.
    pub(super) fn value(&self, now: Instant) -> u32 {
        //= 7323-15
        (now.millis() as u32).wrapping_add(self.offset)
    }

    /// The TSecr of a segment, if it echoes one of ours.
    pub(super) fn echo(&self, header: &Header) -> Option<u32> {
        let echo = header.options.timestamps?.echo;
        //= 7323-9
        (self.on && echo != 0).then_some(echo)
    }

    /// Earlier than TS.Recent, unless that is so old that it is meaningless (RFC 7323
    /// sections 5.2, 5.5).
    pub(super) fn is_old(&self, now: Instant, value: u32) -> bool {
        //= 7323-16
        now.since(self.recent_at) < STAMP_LIFE && is_later(self.recent, value)
    }

    /// How much earlier than TS.Recent, where that is not 0 or so old that it is meaningless.
    pub(super) fn age(&self, now: Instant, value: u32) -> u32 {
        if self.is_old(now, value) && self.recent != 0 {
            self.recent.wrapping_sub(value)
        } else {
            0
        }
    }

    /// Whether this timestamp is later than TS.Recent.
    pub(super) fn is_newer(&self, value: u32) -> bool {
        is_later(value, self.recent)
    }

    /// Bytes of the option in every segment but a SYN.
    pub(super) fn len(&self) -> u16 {
        if self.on { 12 } else { 0 }
    }

    /// What came `now` came at `begin`.
    pub(super) fn forget(&mut self, now: Instant, begin: Instant) {
        if self.recent_at == now {
            self.recent_at = begin;
        }
    }

    /// Codes all of it.
    pub(super) fn code(&mut self, coder: &mut impl Coder, expected: u32, heard: Instant) {
        let Stamps {
            on,
            offset,
            recent,
            recent_at,
        } = self;
        coder.flag(on, true);
        coder.number(offset, expected);
        coder.number(recent, 0);
        coder.number(recent_at, heard);
    }
}

/// Whether timestamp `a` is later than `b` (RFC 7323 section 5.2).
fn is_later(a: u32, b: u32) -> bool {
    Seq(a).gt(Seq(b))
}
