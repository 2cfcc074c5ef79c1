//! TCP options: MSS, window scale, SACK, timestamps, Fast Open; others are skipped (RFC 9293 MUST-4
//! to MUST-7, MUST-64, MUST-68).

use crate::name::UnknownName;
use crate::seq::Seq;
use alloc::vec::Vec;
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

/// A Fast Open cookie (RFC 7413 section 4.1.1): 4 to 16 bytes, an even number of them; or none,
/// which asks for one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FastOpenCookie {
    bytes: [u8; FastOpenCookie::MAX_LEN],
    len: u8,
}

impl FastOpenCookie {
    /// The longest, bytes.
    pub const MAX_LEN: usize = 16;

    /// Asks for a cookie.
    pub const REQUEST: FastOpenCookie = FastOpenCookie {
        bytes: [0; FastOpenCookie::MAX_LEN],
        len: 0,
    };

    /// A cookie, or the request for one; `None`: a length that is not allowed.
    pub fn new(cookie: &[u8]) -> Option<FastOpenCookie> {
        //= 7413-2
        let allowed = matches!(cookie.len(), 0 | 4..=16) && cookie.len().is_multiple_of(2);
        let mut bytes = [0; FastOpenCookie::MAX_LEN];
        bytes.get_mut(..cookie.len())?.copy_from_slice(cookie);
        let len = u8::try_from(cookie.len()).ok()?;
        allowed.then_some(FastOpenCookie { bytes, len })
    }

    /// Its bytes; none: it asks for a cookie.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether it asks for a cookie.
    pub fn is_request(&self) -> bool {
        self.len == 0
    }
}

impl FromStr for FastOpenCookie {
    type Err = UnknownName;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<FastOpenCookie, UnknownName> {
        let byte = |at: usize| {
            let digits = text.get(at..at + 2)?;
            let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u8::from_str_radix(digits, 16).ok().filter(|_| hexadecimal)
        };
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
        bytes
            .and_then(|bytes| FastOpenCookie::new(&bytes))
            .ok_or_else(|| UnknownName::new("Fast Open cookie", text))
    }
}

impl fmt::Display for FastOpenCookie {
    /// Two hexadecimal digits a byte.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
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
    pub(super) fn parse(area: &[u8]) -> (Options, bool) {
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

    /// Writes the options, padded with NOPs in front as Linux does. Returns their length: a multiple
    /// of four, at most 40. An option without room is left out.
    pub(super) fn emit(&self, area: &mut [u8; MAX_OPTIONS_LEN]) -> usize {
        let mut out = Area { area, len: 0 };
        if let Some(mss) = self.mss {
            //= MUST-14
            out.put(&[MSS, 4], &mss.to_be_bytes());
        }
        if let Some(stamps) = self.timestamps {
            let mut value = [0; 8];
            value[..4].copy_from_slice(&stamps.value.to_be_bytes());
            value[4..].copy_from_slice(&stamps.echo.to_be_bytes());
            out.put(
                if self.sack_permitted {
                    &[SACK_PERMITTED, 2, TIMESTAMPS, 10]
                } else {
                    &[NOP, NOP, TIMESTAMPS, 10]
                },
                &value,
            );
        } else if self.sack_permitted {
            out.put(&[NOP, NOP, SACK_PERMITTED, 2], &[]);
        }
        if let Some(shift) = self.window_scale {
            out.put(&[NOP, WINDOW_SCALE, 3, shift], &[]);
        }
        out.put_sack(self.sack.as_slice());
        if let Some(cookie) = self.fast_open {
            out.put_fast_open(cookie.as_slice());
        }
        out.len
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
pub(super) struct Walk<'a> {
    area: &'a [u8],
    at: usize,
    /// It ended at an illegal length.
    cut: bool,
}

/// The position of one option in its area, kind and length bytes included.
pub(super) struct OptionSpan {
    pub(super) kind: u8,
    pub(super) at: usize,
    pub(super) len: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(area: &'a [u8]) -> Walk<'a> {
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

struct Area<'a> {
    area: &'a mut [u8; MAX_OPTIONS_LEN],
    len: usize,
}

impl Area<'_> {
    fn put(&mut self, head: &[u8], value: &[u8]) {
        let end = self.len + head.len() + value.len();
        if let Some(place) = self.area.get_mut(self.len..end) {
            let (first, second) = place.split_at_mut(head.len());
            first.copy_from_slice(head);
            second.copy_from_slice(value);
            self.len = end;
        }
    }

    fn put_sack(&mut self, blocks: &[(Seq, Seq)]) {
        let count = blocks
            .len()
            .min((MAX_OPTIONS_LEN - self.len).saturating_sub(4) / 8);
        if count == 0 {
            return;
        }
        self.put(&[NOP, NOP, SACK, (2 + 8 * count) as u8], &[]);
        for (left, right) in blocks.iter().take(count) {
            self.put(&left.0.to_be_bytes(), &right.0.to_be_bytes());
        }
    }
}

impl Area<'_> {
    /// The cookie, with NOPs behind it, as Linux has them.
    fn put_fast_open(&mut self, cookie: &[u8]) {
        let len = 2 + cookie.len();
        let padding: &[u8] = if len.is_multiple_of(4) {
            &[]
        } else {
            &[NOP, NOP]
        };
        if self.len + len + padding.len() > MAX_OPTIONS_LEN {
            return;
        }
        self.put(&[FAST_OPEN, len as u8], cookie);
        self.put(padding, &[]);
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
pub(super) const NOP: u8 = 1;
pub(super) const MSS: u8 = 2;
pub(super) const WINDOW_SCALE: u8 = 3;
pub(super) const SACK_PERMITTED: u8 = 4;
pub(super) const SACK: u8 = 5;
pub(super) const TIMESTAMPS: u8 = 8;
pub(super) const FAST_OPEN: u8 = 34;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn read(area: &[u8]) -> Options {
        let (options, malformed) = Options::parse(area);
        assert!(!malformed, "{area:?}");
        options
    }

    fn written(options: &Options) -> Vec<u8> {
        let mut area = [0xff; MAX_OPTIONS_LEN];
        let len = options.emit(&mut area);
        area[..len].to_vec()
    }

    const STAMPS: Timestamps = Timestamps {
        value: 0x0102_0304,
        echo: 0x0506_0708,
    };

    /// Proves MUST-4, MUST-64.
    #[test]
    fn options_parse_each_kind_is_read_at_any_octet() {
        let area = [
            34, 6, 9, 9, 9, 9, 2, 4, 5, 180, 3, 3, 7, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 5, 10,
            0, 0, 0, 1, 0, 0, 0, 9,
        ];
        let mut sack = SackBlocks::default();
        assert!(sack.push(Seq(1), Seq(9)));
        let expected = Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            sack,
            timestamps: Some(STAMPS),
            fast_open: FastOpenCookie::new(&[9; 4]),
        };
        for shift in 0..4 {
            let mut shifted = alloc::vec![NOP; shift];
            shifted.extend(area);
            assert_eq!(read(&shifted), expected, "{shift} NOPs before");
        }
    }

    /// Proves 7413-2.
    #[test]
    fn fast_open_cookie_has_an_even_number_of_bytes_from_4_to_16_or_none() {
        let allowed: Vec<usize> = (0..20)
            .filter(|len| FastOpenCookie::new(&[7; 20][..*len]).is_some())
            .collect();
        assert_eq!(allowed, [0, 4, 6, 8, 10, 12, 14, 16]);
        let taken = |area: &[u8]| read(area).fast_open;
        assert_eq!(taken(&[34, 5, 7, 7, 7]), None);
        assert_eq!(taken(&[34, 6, 7, 7, 7, 7]), FastOpenCookie::new(&[7; 4]));
    }

    /// Proves MUST-4.
    #[test]
    fn options_parse_nothing_counts_after_the_end_of_the_list() {
        assert_eq!(
            read(&[3, 3, 7, 0, 2, 4, 5, 180]),
            Options {
                window_scale: Some(7),
                ..Options::default()
            }
        );
        assert_eq!(read(&[0, 2, 0, 0]), Options::default());
    }

    #[test]
    fn options_emit_are_laid_out_as_linux_does() {
        let syn = Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(STAMPS),
            ..Options::default()
        };
        assert_eq!(
            written(&syn),
            [
                2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7
            ]
        );
        let bare = Options {
            sack_permitted: true,
            ..Options::default()
        };
        assert_eq!(written(&bare), [1, 1, 4, 2]);
        let data = Options {
            timestamps: Some(STAMPS),
            ..Options::default()
        };
        assert_eq!(written(&data), [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(written(&Options::default()).is_empty());
    }

    /// 7413-2.
    #[test]
    fn options_parse_a_fast_open_cookie_of_another_length_is_ignored() {
        for len in 0..=30u8 {
            let mut area = alloc::vec![3, 3, 7, 34, 2 + len];
            area.extend((0..len).map(|byte| byte + 100));
            let allowed = matches!(len, 0 | 4..=16) && len % 2 == 0;
            let cookie = FastOpenCookie::new(&area[5..]);
            assert_eq!(cookie.is_some(), allowed, "{len} bytes");
            let options = read(&area);
            assert_eq!((options.fast_open, options.window_scale), (cookie, Some(7)));
        }
    }

    /// What Linux 6.18 sends, by tcpdump: the option last, NOPs behind it.
    #[test]
    fn options_emit_a_fast_open_cookie_is_the_last_as_in_linux() {
        let with = |fast_open| Options {
            mss: Some(1460),
            window_scale: Some(10),
            fast_open,
            ..Options::default()
        };
        let request = written(&with(Some(FastOpenCookie::REQUEST)));
        assert_eq!(request[8..], [34, 2, 1, 1]);
        let cookie = FastOpenCookie::new(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(
            written(&with(cookie))[8..],
            [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]
        );
        let even = FastOpenCookie::new(&[7; 6]);
        assert_eq!(written(&with(even))[8..], [34, 8, 7, 7, 7, 7, 7, 7]);
        for fast_open in [request, written(&with(cookie)), written(&with(even))] {
            assert_eq!(written(&read(&fast_open)), fast_open);
        }
        // The longest still fits beside all that a SYN has.
        let full = Options {
            sack_permitted: true,
            timestamps: Some(STAMPS),
            ..with(FastOpenCookie::new(&[5; 16]))
        };
        assert_eq!(written(&full).len(), MAX_OPTIONS_LEN);
        assert_eq!(read(&written(&full)), full);
    }

    #[test]
    fn options_displayed_name_each_that_is_there() {
        let syn = Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(STAMPS),
            ..Options::default()
        };
        assert_eq!(syn.to_string(), "mss 1460,sackOK,ts 16909060:84281096,ws 7");
        let mut sack = SackBlocks::default();
        assert!(sack.push(Seq(105), Seq(110)) && sack.push(Seq(1), Seq(9)));
        assert_eq!(
            Options {
                sack,
                ..Options::default()
            }
            .to_string(),
            "sack 105-110 1-9"
        );
        assert_eq!(
            Options {
                window_scale: Some(0),
                ..Options::default()
            }
            .to_string(),
            "ws 0"
        );
        assert_eq!(Options::default().to_string(), "");
        for (cookie, text) in [
            (&[][..], "tfo"),
            (&[0x59, 0x8c, 0xf8, 0x0a], "tfo 598cf80a"),
        ] {
            let fast_open = FastOpenCookie::new(cookie);
            let options = Options {
                fast_open,
                ..Options::default()
            };
            assert_eq!(options.to_string(), text);
            assert_eq!(text.parse::<Options>().unwrap(), options);
        }
        for text in ["tfo 5", "tfo 59", "tfo é1", "tfo 598cf80", "tfo +1+1+1+1"] {
            assert!(text.parse::<Options>().is_err(), "{text}");
        }
    }

    #[test]
    fn options_emit_four_sack_blocks_beside_timestamps_keeps_the_first_three() {
        let mut sack = SackBlocks::default();
        for left in 1..=4 {
            assert!(sack.push(Seq(left * 10), Seq(left * 10 + 5)));
        }
        assert!(!sack.push(Seq(50), Seq(55)));
        let area = written(&Options {
            sack,
            timestamps: Some(STAMPS),
            ..Options::default()
        });
        assert_eq!(area.len(), MAX_OPTIONS_LEN);
        assert_eq!(read(&area).sack.as_slice(), &sack.as_slice()[..3]);
        assert_eq!(
            written(&Options {
                sack,
                ..Options::default()
            })
            .len(),
            36
        );
    }
}
