//! TCP options: MSS, window scale, SACK, timestamps, Fast Open; others are skipped (RFC 9293 MUST-4
//! to MUST-7, MUST-64, MUST-68).

mod cookie;
mod layout;

pub use cookie::FastOpenCookie;
pub use layout::OptionLayout;

use crate::name::UnknownName;
use crate::seq::Seq;
use core::fmt;
use core::str::FromStr;

/// The longest option area, in bytes.
pub const MAX_OPTIONS_LEN: usize = 40;

/// A timestamps option (RFC 7323 section 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the value echoed; only meaningful when the ACK bit is set.
    pub echo: u32,
}

/// Up to four SACK blocks (RFC 2018), most recent first; each is `left` (first byte held) and
/// `right` (first byte not held).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct SackBlocks {
    blocks: [(Seq, Seq); 4],
    count: u8,
}

impl SackBlocks {
    /// No blocks.
    pub const NONE: SackBlocks = SackBlocks {
        blocks: [(Seq(0), Seq(0)); 4],
        count: 0,
    };

    /// The blocks, first to last.
    pub fn as_slice(&self) -> &[(Seq, Seq)] {
        &self.blocks[..usize::from(self.count)]
    }

    /// The blocks in the order of their left edges, as they lie after `una`.
    pub(crate) fn from(mut self, una: Seq) -> impl Iterator<Item = (Seq, Seq)> {
        let count = usize::from(self.count);
        self.blocks[..count].sort_unstable_by_key(|(left, _)| left.since(una));
        self.blocks.into_iter().take(count)
    }

    /// Adds a block; `false`: there is no room for it.
    pub fn push(&mut self, left: Seq, right: Seq) -> bool {
        let Some(slot) = self.blocks.get_mut(usize::from(self.count)) else {
            return false;
        };
        *slot = (left, right);
        self.count += 1;
        true
    }
}

/// The options of one segment, as far as tcpx knows them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Options {
    /// Maximum segment size, bytes (kind 2).
    pub mss: Option<u16>,
    /// Window shift count as it is in the segment, perhaps over 14 (kind 3, RFC 7323).
    pub window_scale: Option<u8>,
    /// SACK permitted (kind 4, RFC 2018).
    pub sack_permitted: bool,
    /// SACK blocks (kind 5).
    pub sack: SackBlocks,
    /// Timestamps (kind 8).
    pub timestamps: Option<Timestamps>,
    /// A Fast Open cookie, or the request for one (kind 34, RFC 7413).
    pub fast_open: Option<FastOpenCookie>,
}

impl Options {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Options::default()
    }

    /// The names of the options, as `Display` writes them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("mss", self.mss.is_some()),
            ("sackOK", self.sack_permitted),
            ("ts", self.timestamps.is_some()),
            ("ws", self.window_scale.is_some()),
            ("sack", !self.sack.as_slice().is_empty()),
            ("tfo", self.fast_open.is_some()),
        ];
        all.into_iter()
            .filter(|(_, there)| *there)
            .map(|(name, _)| name)
    }

    /// Adds an option as `Display` writes it; `None`: it is not one.
    fn add(&mut self, text: &str) -> Option<()> {
        let (name, value) = text.split_once(' ').unwrap_or((text, ""));
        match name {
            "mss" => self.mss = Some(value.parse().ok()?),
            "sackOK" => self.sack_permitted = true,
            "ts" => {
                let (value, echo) = value.split_once(':')?;
                self.timestamps = Some(Timestamps {
                    value: value.parse().ok()?,
                    echo: echo.parse().ok()?,
                });
            }
            "ws" => self.window_scale = Some(value.parse().ok()?),
            "tfo" => self.fast_open = Some(value.parse().ok()?),
            "sack" => {
                for block in value.split(' ') {
                    let (left, right) = block.split_once('-')?;
                    let pushed = self
                        .sack
                        .push(Seq(left.parse().ok()?), Seq(right.parse().ok()?));
                    pushed.then_some(())?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Reads an option area; `true`: it ended early, at an illegal length, and the options before
    /// that count (MUST-7, as in Linux).
    pub(in crate::wire) fn parse(area: &[u8]) -> (Options, bool) {
        let mut options = Options::default();
        // The options of every segment but the SYN, on most connections.
        if let [NOP, NOP, TIMESTAMPS, 10, stamps @ ..] = area
            && stamps.len() == 8
        {
            options.take(TIMESTAMPS, stamps);
            return (options, false);
        }
        let mut walk = Walk::new(area);
        for OptionSpan { kind, at, len } in walk.by_ref() {
            options.take(kind, area.get(at + 2..at + len).unwrap_or_default());
        }
        (options, walk.cut)
    }

    /// One option. Unknown kinds, and known ones of another length, are skipped (MUST-6).
    fn take(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            //= MUST-4, MUST-14
            (MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            (WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (SACK, blocks) if blocks.len() % 8 == 0 => {
                for block in blocks.chunks_exact(8) {
                    self.sack.push(Seq(be32(block, 0)), Seq(be32(block, 4)));
                }
            }
            (TIMESTAMPS, stamps) if stamps.len() == 8 => {
                self.timestamps = Some(Timestamps {
                    value: be32(stamps, 0),
                    echo: be32(stamps, 4),
                });
            }
            // Of a length that is not allowed it is ignored (RFC 7413 section 4.1.1).
            (FAST_OPEN, cookie) => {
                self.fast_open = FastOpenCookie::new(cookie).or(self.fast_open);
            }
            _ => {}
        }
    }
}

impl FromStr for Options {
    type Err = UnknownName;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Options, UnknownName> {
        let mut options = Options::default();
        if text.is_empty() {
            return Ok(options);
        }
        for option in text.split(',') {
            options
                .add(option)
                .ok_or_else(|| UnknownName::new("option", option))?;
        }
        Ok(options)
    }
}

impl fmt::Display for Options {
    /// The options in the order and the words of tcpdump: `mss 1460,sackOK,ts 5:0,ws
    /// 7`; SACK blocks as `sack 105-110 120-125`; a Fast Open cookie as `tfo 598cf85a`, the request
    /// for one as `tfo`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut item = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            f.write_str(core::mem::replace(&mut separator, ","))?;
            f.write_fmt(text)
        };
        if let Some(mss) = self.mss {
            item(f, format_args!("mss {mss}"))?;
        }
        if self.sack_permitted {
            item(f, format_args!("sackOK"))?;
        }
        if let Some(stamps) = self.timestamps {
            item(f, format_args!("ts {}:{}", stamps.value, stamps.echo))?;
        }
        if let Some(shift) = self.window_scale {
            item(f, format_args!("ws {shift}"))?;
        }
        if let [_, ..] = self.sack.as_slice() {
            item(f, format_args!("sack"))?;
            self.sack
                .as_slice()
                .iter()
                .try_for_each(|(left, right)| write!(f, " {}-{}", left.0, right.0))?;
        }
        if let Some(cookie) = self.fast_open {
            item(f, format_args!("tfo"))?;
            if !cookie.is_request() {
                write!(f, " {cookie}")?;
            }
        }
        Ok(())
    }
}

/// The options of an area without NOPs, up to its end or the first illegal length.
pub(in crate::wire) struct Walk<'a> {
    area: &'a [u8],
    at: usize,
    /// It ended at an illegal length.
    cut: bool,
}

/// The position of one option in its area, kind and length bytes included.
pub(in crate::wire) struct OptionSpan {
    pub(in crate::wire) kind: u8,
    pub(in crate::wire) at: usize,
    pub(in crate::wire) len: usize,
}

impl<'a> Walk<'a> {
    pub(in crate::wire) fn new(area: &'a [u8]) -> Walk<'a> {
        Walk {
            area,
            at: 0,
            cut: false,
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = OptionSpan;

    fn next(&mut self) -> Option<OptionSpan> {
        loop {
            match *self.area.get(self.at..).unwrap_or_default() {
                //= MUST-4
                [] | [END, ..] => return None,
                //= MUST-4, MUST-64
                [NOP, ..] => self.at += 1,
                //= MUST-6, MUST-68
                [kind, len, ..] if len >= 2 && self.at + usize::from(len) <= self.area.len() => {
                    let place = OptionSpan {
                        kind,
                        at: self.at,
                        len: len.into(),
                    };
                    self.at += place.len;
                    return Some(place);
                }
                _ => {
                    //= MUST-7
                    self.cut = true;
                    return None;
                }
            }
        }
    }
}

/// Four bytes from `at` on; 0 if there are none.
fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

const END: u8 = 0;
pub(in crate::wire) const NOP: u8 = 1;
pub(in crate::wire) const MSS: u8 = 2;
pub(in crate::wire) const WINDOW_SCALE: u8 = 3;
pub(in crate::wire) const SACK_PERMITTED: u8 = 4;
pub(in crate::wire) const SACK: u8 = 5;
pub(in crate::wire) const TIMESTAMPS: u8 = 8;
pub(in crate::wire) const FAST_OPEN: u8 = 34;

#[cfg(test)]
mod tests;
