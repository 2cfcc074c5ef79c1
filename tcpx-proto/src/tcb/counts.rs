//! What a connection has sent and received so far, for STATUS alone.

use super::coder::Coder;
use crate::time::Instant;
use core::hash::{Hash, Hasher};

/// Two connections that differ in these alone do the same: they are equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) segments_in: u32,
    pub(super) segments_out: u32,
    /// Segments with text or a FIN that was sent before.
    pub(super) retransmitted: u32,
    /// Segments that reported what came twice (RFC 2883).
    pub(super) duplicates_reported: u32,
    pub(super) bytes_sent: u64,
    pub(super) bytes_retransmitted: u64,
    pub(super) bytes_acked: u64,
    pub(super) bytes_received: u64,
    pub(super) text_heard: Option<Instant>,
}

impl PartialEq for Counts {
    fn eq(&self, _: &Counts) -> bool {
        true
    }
}

impl Eq for Counts {}

impl Hash for Counts {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Counts {
    /// Segments with this much text each left; `again`: text or a FIN that was sent before.
    pub(super) fn sent(&mut self, count: u32, text: u32, again: bool) {
        self.segments_out = self.segments_out.wrapping_add(count);
        self.bytes_sent += u64::from(count) * u64::from(text);
        if again {
            self.retransmitted = self.retransmitted.wrapping_add(1);
            self.bytes_retransmitted += u64::from(text);
        }
    }

    /// A segment arrived, with text or without.
    pub(super) fn heard(&mut self, now: Instant, text: bool) {
        self.segments_in = self.segments_in.wrapping_add(1);
        if text {
            self.text_heard = Some(now);
        }
    }

    /// Codes all of it.
    pub(super) fn code(&mut self, coder: &mut impl Coder, acked: u32, heard: Instant) {
        let Counts {
            segments_in,
            segments_out,
            retransmitted,
            duplicates_reported,
            bytes_sent,
            bytes_retransmitted,
            bytes_acked,
            bytes_received,
            text_heard,
        } = self;
        coder.number(segments_in, 1);
        coder.number(segments_out, 0);
        coder.group(|coder| {
            coder.number(bytes_acked, acked.saturating_sub(1).into());
            coder.number(bytes_sent, *bytes_acked);
            coder.number(bytes_received, 0);
            coder.option(text_heard, heard);
        });
        coder.group(|coder| {
            coder.number(retransmitted, 0);
            coder.number(duplicates_reported, 0);
            coder.number(bytes_retransmitted, 0);
        });
    }
}
