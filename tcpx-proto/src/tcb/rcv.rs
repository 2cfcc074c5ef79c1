//! RCV.*, and what else belongs to receiving.

use super::coder::Coder;
use super::urgent::Urgent;
use crate::config::KeepAlive;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::{Flags, Segment};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Rcv {
    pub(crate) irs: Seq,
    pub(crate) nxt: Seq,
    /// The largest RCV.NXT + RCV.WND ever offered: it never moves left (SHLD-14).
    pub(super) edge: Seq,
    /// Our window shift.
    pub(super) shift: u8,
    /// SEG.ACK of the last segment sent (Last.ACK.sent).
    pub(super) acked: Seq,
    /// RCV.NXT is the place of the peer's FIN: everything before it is there.
    pub(super) fin_next: bool,
    /// The FIN was reached: RCV.NXT counts it.
    pub(super) fin_reached: bool,
    /// The application was told that the peer sends no more.
    pub(super) fin_read: bool,
    pub(super) sack: bool,
    /// What came again, until an ACK reports it to the peer (RFC 2883).
    pub(super) duplicate: Option<(Seq, Seq)>,
    pub(super) urgent: Option<Urgent>,
    pub(super) last_heard: Instant,
    pub(super) last_challenge: Option<Instant>,
    pub(super) keepalive_probes: u32,
}

impl Rcv {
    pub(super) fn new(now: Instant, shift: u8) -> Rcv {
        Rcv {
            irs: Seq(0),
            nxt: Seq(0),
            edge: Seq(0),
            shift,
            acked: Seq(0),
            fin_next: false,
            fin_reached: false,
            fin_read: false,
            sack: false,
            duplicate: None,
            urgent: None,
            last_heard: now,
            last_challenge: None,
            keepalive_probes: 0,
        }
    }

    /// RCV.WND: up to the largest edge that the peer was told.
    pub(super) fn window(&self) -> u32 {
        self.edge.since(self.nxt)
    }

    /// The window of the next segment in the scale's unit, rounded up, so that rounding never moves
    /// the edge to the left: the peer may use what that adds. As in Linux (`tcp_select_window`),
    /// what the field cannot say counts as told.
    pub(super) fn offer(&mut self, edge: Seq) {
        let unit = 1u32 << self.shift;
        //= SHLD-14, 7323-5
        let window = edge.since(self.nxt).next_multiple_of(unit);
        self.edge = self.edge.max(self.nxt + window);
    }

    /// RCV.NXT moves right. The edge never lies behind it, although a segment that ends beyond the
    /// window may count whole.
    pub(super) fn advance(&mut self, bytes: u32) {
        self.nxt += bytes;
        self.edge = self.edge.max(self.nxt);
    }

    /// The four cases of RFC 9293 Table 6.
    pub(super) fn is_in_window(&self, segment: &Segment<'_>) -> bool {
        let seq = segment.header.seq;
        let len = segment.len();
        let window = self.window();
        match (len, window) {
            (0, 0) => seq == self.nxt,
            (0, _) => seq.in_window(self.nxt, window),
            // MUST-66: the text has no room, its ACK, RST and URG are processed all the same.
            //= MUST-66
            (_, 0) => seq == self.nxt,
            _ => seq.in_window(self.nxt, window) || (seq + (len - 1)).in_window(self.nxt, window),
        }
    }

    /// What of this segment lies before RCV.NXT is for the next ACK to report (RFC 2883 section 4),
    /// if there is any.
    pub(super) fn note_duplicate(&mut self, segment: &Segment<'_>) -> bool {
        let left = segment.header.seq;
        let right = (left + segment.len()).min(self.nxt);
        let old = left.lt(self.nxt) && left.lt(right) && !segment.header.flags.contains(Flags::SYN);
        if old {
            self.duplicate = Some((left, right));
        }
        old
    }

    /// Whether another challenge ACK may be sent, at most one per interval (RFC 5961 section 7,
    /// CVE-2016-5696); counts it.
    pub(super) fn take_challenge(&mut self, now: Instant, interval: Duration) -> bool {
        let free = self
            .last_challenge
            //= 5961-9, 5961-10
            .is_none_or(|last| now.since(last) >= interval);
        if free {
            self.last_challenge = Some(now);
        }
        free
    }

    /// When the next keepalive probe is due (lazily: the timer finds out when it fires).
    pub(super) fn keepalive_due(&self, keepalive: &KeepAlive) -> Instant {
        self.last_heard + keepalive.idle
    }

    /// Codes all of it. What is expected was heard when the connection was opened.
    pub(super) fn code(&mut self, coder: &mut impl Coder, shift: u8, opened: Instant, ended: bool) {
        let Rcv {
            irs,
            nxt,
            edge,
            shift: ours,
            acked,
            fin_next,
            fin_reached,
            fin_read,
            sack,
            duplicate,
            urgent,
            last_heard,
            last_challenge,
            keepalive_probes,
        } = self;
        coder.number(irs, Seq(0));
        coder.number(nxt, *irs + 1);
        coder.number(edge, *nxt);
        coder.number(ours, shift);
        coder.number(acked, *nxt);
        coder.flag(sack, true);
        coder.number(last_heard, opened);
        coder.group(|coder| {
            coder.flag(fin_next, false);
            coder.flag(fin_reached, ended);
            coder.flag(fin_read, false);
            coder.only(duplicate, None);
            coder.only(urgent, None);
            coder.option(last_challenge, *last_heard);
            coder.number(keepalive_probes, 0);
        });
    }
}
