//! SND.*, and what else belongs to sending.

use super::coder::Coder;
use super::quiet::Near;
use crate::config::{Samples, WindowUpdate};
use crate::label::Cause;
use crate::seq::Seq;
use crate::time::Instant;
use crate::wire::{Flags, Header};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Snd {
    pub(crate) iss: Seq,
    /// TSval of our first SYN, once it was sent.
    pub(super) syn_stamp: Option<u32>,
    /// Our SYN is acknowledged. From then on SND.UNA may have any distance from ISS, none again
    /// after 4 GiB.
    pub(crate) syn_acked: bool,
    pub(crate) una: Seq,
    /// One past the last byte ever sent.
    pub(crate) nxt: Seq,
    /// SND.WND, bytes, scaled.
    pub(crate) wnd: u32,
    pub(super) wl1: Seq,
    pub(super) wl2: Seq,
    /// MAX.SND.WND (RFC 5961 section 5.2).
    pub(super) max_wnd: u32,
    /// Bytes that were acknowledged, at most 2^32 - 1.
    pub(super) acked: u32,
    /// The peer's window shift.
    pub(super) shift: u8,
    /// Both SYNs carried the window scale option.
    pub(super) scaled: bool,
    /// The peer's MSS option.
    pub(super) mss: u16,
    pub(super) path_mtu: u16,
    /// Routers may fragment our packets: no DF.
    pub(super) fragments: bool,
    /// One past the last segment smaller than full, while that is not acknowledged (Linux's
    /// `snd_sml`).
    pub(super) small: Option<Seq>,
    /// Without SACK, after a timeout: the next byte to send again, up to SND.NXT.
    pub(super) cursor: Option<Seq>,
    /// The application sends no more: the FIN follows its last byte.
    pub(super) closing: bool,
    /// The FIN's sequence number, once it was sent.
    pub(super) fin: Option<Seq>,
    /// The application's data and FIN are not held any more, by `Stack::release`.
    pub(super) output_released: bool,
    /// Retransmissions of the oldest bytes by timer, in a row; in persist: unanswered probes.
    pub(super) retransmissions: u32,
    /// Zero-window probes since the window closed.
    pub(super) probes: u32,
    /// Without timestamps: the byte that is timed, and since when (Karn).
    pub(super) timed: Option<(Seq, Instant)>,
    pub(super) last_sent: Instant,
    /// What the user timeout counts from, once it counts.
    pub(super) stalled_since: Option<Instant>,
    /// Why the next text goes out, if it goes out for the first time.
    pub(super) cause: Cause,
}

impl Snd {
    pub(super) fn new(now: Instant, iss: Seq, mss: u16, path_mtu: u16) -> Snd {
        Snd {
            iss,
            syn_stamp: None,
            syn_acked: false,
            una: iss,
            nxt: iss,
            wnd: 0,
            wl1: Seq(0),
            wl2: Seq(0),
            max_wnd: 0,
            acked: 0,
            shift: 0,
            scaled: false,
            mss,
            path_mtu,
            fragments: false,
            small: None,
            cursor: None,
            closing: false,
            fin: None,
            output_released: false,
            retransmissions: 0,
            probes: 0,
            timed: None,
            last_sent: now,
            stalled_since: None,
            cause: Cause::Call,
        }
    }

    /// Bytes sent and not acknowledged; a SYN and a FIN count.
    pub(super) fn flight(&self) -> u32 {
        self.nxt.since(self.una)
    }

    /// Our SYN is on its way and not acknowledged.
    pub(super) fn is_syn_outstanding(&self) -> bool {
        !self.syn_acked && self.nxt != self.iss
    }

    /// Our FIN was sent and is acknowledged.
    pub(super) fn is_fin_acked(&self) -> bool {
        self.fin.is_some_and(|fin| self.una.gt(fin))
    }

    /// The FIN is to be sent, for the first time.
    pub(super) fn is_fin_unsent(&self) -> bool {
        self.closing && self.fin.is_none()
    }

    /// The sequence number of the first byte in the send buffer.
    pub(super) fn text_start(&self) -> Seq {
        if self.syn_acked {
            self.una
        } else {
            self.iss + 1
        }
    }

    /// The oldest ACK that is no blind guess: SND.UNA - MAX.SND.WND, and never before our first
    /// byte (RFC 5961 section 5.2).
    pub(super) fn oldest_ack(&self) -> Seq {
        //= 5961-7
        self.una.back(self.max_wnd.min(self.acked))
    }

    /// Whether a segment is not older than the one that SND.WND was last taken from.
    pub(super) fn is_window_fresh(&self, header: &Header, policy: WindowUpdate) -> bool {
        let window = self.window_of(header);
        let fresh = match policy {
            WindowUpdate::NotSmaller => {
                let changes = window > self.wnd || window == 0;
                self.wl2.lt(header.ack)
                    || self.wl1.lt(header.seq)
                    || (self.wl1 == header.seq && changes)
            }
            WindowUpdate::Rfc9293 => {
                self.wl1.lt(header.seq) || (self.wl1 == header.seq && self.wl2.le(header.ack))
            }
        };
        fresh && !header.ack.lt(self.una)
    }

    /// SEG.WND as the peer means it; a SYN's is not scaled (RFC 7323 section 2.2).
    pub(super) fn window_of(&self, header: &Header) -> u32 {
        //= 7323-2
        let shift = if header.flags.contains(Flags::SYN) {
            0
        } else {
            self.shift
        };
        //= 7323-4, REC-1
        u32::from(header.window) << shift
    }

    /// Takes SND.WND from a segment.
    pub(super) fn take_window(&mut self, header: &Header) {
        self.wnd = self.window_of(header);
        //= 5961-8
        self.max_wnd = self.max_wnd.max(self.wnd);
        self.wl1 = header.seq;
        self.wl2 = header.ack;
    }

    /// RFC 5681 section 2: outstanding data, no text, no SYN or FIN (`empty`), the same ACK, the
    /// same window. In Linux: one that the window is not taken from.
    pub(super) fn is_duplicate_ack(
        &self,
        header: &Header,
        empty: bool,
        policy: WindowUpdate,
    ) -> bool {
        let window = self.window_of(header);
        let news = match policy {
            WindowUpdate::NotSmaller => self.is_window_fresh(header, policy),
            WindowUpdate::Rfc9293 => window != self.wnd || window == 0,
        };
        //= 5681-16
        header.ack == self.una && self.una.lt(self.nxt) && empty && !news
    }

    /// What is timed once this was sent again: nothing, as its ACK may be for either transmission
    /// (Karn, RFC 6298 section 3).
    pub(super) fn time_again(&mut self, samples: Samples, now: Instant, seq: Seq) {
        match samples {
            //= MUST-18, 6298-7
            Samples::Unambiguous | Samples::CrossedSyn => self.timed = None,
            Samples::All if seq == self.una => self.timed = Some((seq, now)),
            Samples::All => {}
        }
    }

    /// SND.UNA advances to this ACK.
    pub(super) fn advance(&mut self, ack: Seq) {
        self.acked = self.acked.saturating_add(ack.since(self.una));
        self.una = ack;
        self.small = self.small.filter(|end| end.gt(ack));
        self.retransmissions = 0;
        self.cause = Cause::Released;
        self.cursor = self
            .cursor
            .map(|cursor| cursor.max(ack))
            .filter(|cursor| cursor.lt(self.nxt));
    }

    /// Forgets what TIME-WAIT answers without; `unchecked`: it looks at no ACK.
    pub(super) fn forget(&mut self, begin: Instant, rcv_nxt: Seq, passive: bool, unchecked: bool) {
        let (wnd, max_wnd, acked) = if unchecked {
            let acked = self.una.since(self.iss).saturating_sub(passive.into());
            (0, 0, acked)
        } else {
            (self.wnd, self.max_wnd, self.acked)
        };
        *self = Snd {
            syn_stamp: None,
            wnd,
            wl1: rcv_nxt,
            wl2: self.una,
            max_wnd,
            acked,
            small: None,
            cursor: None,
            retransmissions: 0,
            probes: 0,
            timed: None,
            last_sent: begin,
            stalled_since: None,
            cause: Cause::Released,
            ..*self
        };
    }

    /// Codes all of it.
    pub(super) fn code(&mut self, coder: &mut impl Coder, near: &Near) {
        let Snd {
            iss,
            syn_stamp,
            syn_acked,
            una,
            nxt,
            wnd,
            wl1,
            wl2,
            max_wnd,
            acked,
            shift,
            scaled,
            mss,
            path_mtu,
            fragments,
            small,
            cursor,
            closing,
            fin,
            output_released,
            retransmissions,
            probes,
            timed,
            last_sent,
            stalled_since,
            cause,
        } = self;
        coder.number(iss, Seq(0));
        coder.flag(syn_acked, true);
        coder.number(una, *iss + u32::from(*syn_acked));
        coder.number(nxt, *una + u32::from(!*syn_acked));
        coder.number(wnd, 0);
        coder.number(wl1, near.rcv_nxt);
        coder.number(wl2, *una);
        coder.number(max_wnd, *wnd);
        let all = una.since(*iss).saturating_sub(near.passive.into());
        coder.number(acked, all);
        coder.number(mss, near.mss);
        coder.flag(scaled, true);
        coder.number(shift, near.shift);
        coder.option(syn_stamp, near.stamp);
        coder.number(last_sent, near.heard);
        coder.choice(cause, &[Cause::Released, Cause::Call]);
        coder.group(|coder| {
            let waits = near.waits;
            coder.flag(closing, waits);
            let mut last = waits && *fin == Some(nxt.back(1));
            coder.flag(&mut last, waits);
            if last {
                *fin = Some(nxt.back(1));
            } else {
                coder.option(fin, nxt.back(1));
            }
            coder.flag(output_released, false);
            coder.number(path_mtu, near.mtu);
            coder.flag(fragments, false);
            coder.option(small, *nxt);
            coder.option(cursor, *una);
            coder.number(retransmissions, 0);
            coder.number(probes, 0);
            let mut of_timed = timed.map(|(seq, _)| seq);
            coder.option(&mut of_timed, *una);
            let mut at = timed.map_or(*last_sent, |(_, at)| at);
            coder.number(&mut at, *last_sent);
            *timed = of_timed.map(|seq| (seq, at));
            coder.option(stalled_since, *last_sent);
        });
    }
}
