//! How options are laid out in a header: their order, and where NOPs stand.

use super::{
    END, FAST_OPEN, FastOpenCookie, MAX_OPTIONS_LEN, MSS, NOP, Options, SACK, SACK_PERMITTED,
    TIMESTAMPS, Timestamps, WINDOW_SCALE,
};
use crate::name::names;
use crate::seq::Seq;

/// The order of a SYN's options, and how they are padded. Receivers accept all of them (RFC 9293
/// section 3.1, MUST-64); the other segments look the same in each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum OptionLayout {
    /// MSS, SACK-permitted, timestamps, window scale: what Linux sends (`tcp_options_write`).
    /// SACK-permitted stands in the place of the NOPs before the timestamps.
    #[default]
    Linux,
    /// MSS, window scale, timestamps, SACK-permitted, each with NOPs before it, so that it ends at
    /// a multiple of four bytes (RFC 7323 Appendix A). Where 40 bytes are too few for that, as with
    /// the longest Fast Open cookies, it is as in Linux.
    Padded,
    /// MSS, window scale, SACK-permitted, timestamps: what FreeBSD sends (`tcp_addoptions`). NOPs
    /// only align, and the list ends with an End of Option List and zeros.
    FreeBsd,
}

names!(OptionLayout, "layout of options", {
    OptionLayout::Linux => "linux",
    OptionLayout::Padded => "padded",
    OptionLayout::FreeBsd => "freebsd",
});

impl Options {
    /// Writes the options. Returns their length: a multiple of four, at most 40. An option without
    /// room is left out.
    pub(in crate::wire) fn emit(
        &self,
        layout: OptionLayout,
        area: &mut [u8; MAX_OPTIONS_LEN],
    ) -> usize {
        let mut out = Area {
            area,
            len: 0,
            full: false,
        };
        self.lay_out(layout, &mut out);
        if out.full && layout == OptionLayout::Padded {
            return self.emit(OptionLayout::Linux, area);
        }
        out.len
    }

    fn lay_out(&self, layout: OptionLayout, out: &mut Area<'_>) {
        //= MUST-14
        out.put_mss(self.mss);
        // Where SACK-permitted begins: before what fills the rest of its four bytes, or as their end.
        let (first, last) = (0, 2);
        match layout {
            OptionLayout::Linux => {
                let joined = self.timestamps.is_some();
                out.put_sack_permitted(self.sack_permitted, if joined { first } else { last });
                out.put_timestamps(self.timestamps);
                out.put_window_scale(self.window_scale);
            }
            OptionLayout::Padded => {
                out.put_window_scale(self.window_scale);
                out.put_timestamps(self.timestamps);
                out.put_sack_permitted(self.sack_permitted, last);
            }
            OptionLayout::FreeBsd => {
                out.put_window_scale(self.window_scale);
                out.put_sack_permitted(self.sack_permitted, first);
                out.put_timestamps(self.timestamps);
            }
        }
        out.put_sack(self.sack.as_slice());
        out.put_fast_open(self.fast_open);
        out.pad(match layout {
            OptionLayout::Linux | OptionLayout::Padded => NOP,
            OptionLayout::FreeBsd => END,
        });
    }
}

struct Area<'a> {
    area: &'a mut [u8; MAX_OPTIONS_LEN],
    len: usize,
    /// An option found no room.
    full: bool,
}

impl Area<'_> {
    fn put_mss(&mut self, mss: Option<u16>) {
        if let Some(mss) = mss {
            self.put(0, MSS, &mss.to_be_bytes());
        }
    }

    fn put_window_scale(&mut self, shift: Option<u8>) {
        if let Some(shift) = shift {
            self.put(1, WINDOW_SCALE, &[shift]);
        }
    }

    fn put_sack_permitted(&mut self, permitted: bool, at: usize) {
        if permitted {
            self.put(at, SACK_PERMITTED, &[]);
        }
    }

    fn put_timestamps(&mut self, stamps: Option<Timestamps>) {
        if let Some(stamps) = stamps {
            let mut value = [0; 8];
            value[..4].copy_from_slice(&stamps.value.to_be_bytes());
            value[4..].copy_from_slice(&stamps.echo.to_be_bytes());
            self.put(2, TIMESTAMPS, &value);
        }
    }

    /// As many blocks as there is room for.
    fn put_sack(&mut self, blocks: &[(Seq, Seq)]) {
        let room = MAX_OPTIONS_LEN - self.len;
        let count = blocks.len().min(room.saturating_sub(4) / 8);
        let mut value = [0; 32];
        for ((left, right), place) in blocks.iter().take(count).zip(value.chunks_exact_mut(8)) {
            place[..4].copy_from_slice(&left.0.to_be_bytes());
            place[4..].copy_from_slice(&right.0.to_be_bytes());
        }
        if count > 0 {
            self.put(2, SACK, value.get(..8 * count).unwrap_or_default());
        }
    }

    fn put_fast_open(&mut self, cookie: Option<FastOpenCookie>) {
        if let Some(cookie) = cookie {
            self.put(0, FAST_OPEN, cookie.as_slice());
        }
    }

    /// Adds an option, with NOPs before it so that it begins `offset` bytes, at most 3, behind a
    /// multiple of four.
    fn put(&mut self, offset: usize, kind: u8, value: &[u8]) {
        let at = self.len + (offset + 4 - self.len % 4) % 4;
        let end = at + 2 + value.len();
        let place = self.area.get_mut(self.len..end);
        let Some((nops, [first, second, rest @ ..])) =
            place.and_then(|place| place.split_at_mut_checked(at - self.len))
        else {
            self.full = true;
            return;
        };
        nops.fill(NOP);
        *first = kind;
        *second = (2 + value.len()) as u8;
        rest.copy_from_slice(value);
        self.len = end;
    }

    /// Fills the last four bytes.
    fn pad(&mut self, with: u8) {
        let end = self.len.next_multiple_of(4);
        self.area
            .get_mut(self.len..end)
            .unwrap_or_default()
            .fill(with);
        self.len = end;
    }
}
