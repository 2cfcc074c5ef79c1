//! Changes a packet in place, as a bad network or a laboratory does: overwrites a field, flips a
//! bit, corrects or breaks checksums.
//!
//! What is not an IP packet with a whole TCP header stays as it is.

use super::options::{
    FAST_OPEN, MSS, NOP, OptionSpan, SACK, SACK_PERMITTED, TIMESTAMPS, WINDOW_SCALE, Walk,
};
use super::segment::{TCP_HEADER, check};
use super::{ChecksumPolicy, checksum, ip, portable_sum};
use core::net::IpAddr;

/// A field of a header or of an option that can be overwritten.
///
/// Addresses and ports are not among them, because a packet of another four-tuple belongs to
/// another connection; nor are lengths, data offset and protocol, because the result must still be
/// a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Field {
    /// SEG.SEQ.
    Seq,
    /// SEG.ACK.
    Ack,
    /// Control bits.
    Flags,
    /// SEG.WND, unscaled.
    Window,
    /// Urgent pointer.
    Urgent,
    /// The four bits between data offset and control bits, which a receiver must ignore.
    Reserved,
    /// Time to live, or hop limit.
    Ttl,
    /// DSCP and ECN.
    Tos,
    /// IPv4 identification; IPv6 has none.
    Id,
    /// Maximum segment size, of a segment that has the option.
    Mss,
    /// Shift count, of a segment that has the window scale option.
    WindowScale,
    /// TSval, of a segment that has the timestamps option.
    TsVal,
    /// TSecr, of a segment that has the timestamps option.
    TsEcr,
}

impl Field {
    /// All of them.
    pub const ALL: [Field; 13] = [
        Field::Seq,
        Field::Ack,
        Field::Flags,
        Field::Window,
        Field::Urgent,
        Field::Reserved,
        Field::Ttl,
        Field::Tos,
        Field::Id,
        Field::Mss,
        Field::WindowScale,
        Field::TsVal,
        Field::TsEcr,
    ];

    /// Its largest value.
    pub const fn max(self) -> u32 {
        match self {
            Field::Seq | Field::Ack | Field::TsVal | Field::TsEcr => u32::MAX,
            Field::Window | Field::Urgent | Field::Id | Field::Mss => 0xffff,
            Field::Flags | Field::Ttl | Field::Tos | Field::WindowScale => 0xff,
            Field::Reserved => 0x0f,
        }
    }

    /// Its bytes, and how many bits of the last one belong to another field.
    fn bytes<'a>(self, parts: &'a mut Parts<'_>) -> Option<(&'a mut [u8], u32)> {
        let v6 = parts.v6();
        let (in_ip, at, len, shift) = match self {
            Field::Seq => (false, 4, 4, 0),
            Field::Ack => (false, 8, 4, 0),
            Field::Reserved => (false, 12, 1, 0),
            Field::Flags => (false, 13, 1, 0),
            Field::Window => (false, 14, 2, 0),
            Field::Urgent => (false, 18, 2, 0),
            Field::Ttl => (true, if v6 { 7 } else { 8 }, 1, 0),
            Field::Tos if v6 => (true, 0, 2, 4),
            Field::Tos => (true, 1, 1, 0),
            Field::Id if v6 => return None,
            Field::Id => (true, 4, 2, 0),
            Field::Mss => (false, parts.option(MSS, 4)? + 2, 2, 0),
            Field::WindowScale => (false, parts.option(WINDOW_SCALE, 3)? + 2, 1, 0),
            Field::TsVal => (false, parts.option(TIMESTAMPS, 10)? + 2, 4, 0),
            Field::TsEcr => (false, parts.option(TIMESTAMPS, 10)? + 6, 4, 0),
        };
        let part = if in_ip {
            &mut *parts.ip
        } else {
            &mut *parts.tcp
        };
        part.get_mut(at..at + len).map(|bytes| (bytes, shift))
    }
}

/// An option that can be removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OptionKind {
    /// Maximum segment size.
    Mss,
    /// Window scale.
    WindowScale,
    /// SACK-permitted, and SACK blocks.
    Sack,
    /// Timestamps.
    Timestamps,
    /// Fast Open.
    FastOpen,
}

impl OptionKind {
    /// All of them.
    pub const ALL: [OptionKind; 5] = [
        OptionKind::Mss,
        OptionKind::WindowScale,
        OptionKind::Sack,
        OptionKind::Timestamps,
        OptionKind::FastOpen,
    ];

    fn is(self, kind: u8) -> bool {
        match self {
            OptionKind::Mss => kind == MSS,
            OptionKind::WindowScale => kind == WINDOW_SCALE,
            OptionKind::Sack => kind == SACK_PERMITTED || kind == SACK,
            OptionKind::Timestamps => kind == TIMESTAMPS,
            OptionKind::FastOpen => kind == FAST_OPEN,
        }
    }
}

/// Overwrites a field with the low bits of what `change` returns for its value. Returns whether the
/// value is another one. `change` is not called if the segment does not have the field. The
/// checksums stay as they are.
pub fn patch(packet: &mut [u8], field: Field, change: impl FnOnce(u32) -> u32) -> bool {
    let Some(mut parts) = Parts::of(packet) else {
        return false;
    };
    let Some((bytes, shift)) = field.bytes(&mut parts) else {
        return false;
    };
    let before = bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u32::from(*byte));
    let value = change(before >> shift & field.max()) & field.max();
    let after = before & !(field.max() << shift) | value << shift;
    let last = after.to_be_bytes();
    bytes
        .iter_mut()
        .rev()
        .zip(last.iter().rev())
        .for_each(|(to, from)| *to = *from);
    after != before
}

/// Overwrites every option of a kind with NOPs, so that the rest keeps its position. Returns
/// whether there was one. The checksums stay as they are.
pub fn strip(packet: &mut [u8], option: OptionKind) -> bool {
    let Some(parts) = Parts::of(packet) else {
        return false;
    };
    let area = parts
        .tcp
        .get_mut(TCP_HEADER..header_len(parts.tcp))
        .unwrap_or_default();
    let mut found = false;
    while let Some(place) = Walk::new(area).find(|place| option.is(place.kind)) {
        area.iter_mut()
            .skip(place.at)
            .take(place.len)
            .for_each(|byte| *byte = NOP);
        found = true;
    }
    found
}

/// The length of the TCP header, from its data offset.
fn header_len(tcp: &[u8]) -> usize {
    tcp.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4)
}

/// Flips one bit of the text, or without text of SEG.SEQ, SEG.ACK or the window; `choice` selects
/// it. The checksums stay as they are.
pub fn flip_bit(packet: &mut [u8], choice: u64) {
    let Some(parts) = Parts::of(packet) else {
        return;
    };
    let header = header_len(parts.tcp);
    let text = parts.tcp.len().saturating_sub(header);
    let place = (choice >> 3) as usize;
    let at = match (place.checked_rem(text), place % 10) {
        (Some(place), _) => header + place,
        (None, place @ 0..8) => 4 + place,
        (None, place) => 14 + place - 8,
    };
    if let Some(byte) = parts.tcp.get_mut(at) {
        *byte ^= 1 << (choice & 7);
    }
}

/// Corrects the checksums of TCP and of the IPv4 header.
pub fn fix_checksums(packet: &mut [u8]) {
    let Some(parts) = Parts::of(packet) else {
        return;
    };
    if !parts.v6() {
        put(parts.ip, 10, &[0, 0]);
        let field = !checksum::fold(checksum::sum(0, parts.ip));
        put(parts.ip, 10, &field.to_be_bytes());
    }
    put(parts.tcp, 16, &[0, 0]);
    let pseudo = ip::pseudo_header_sum(parts.source, parts.destination, ip::TCP, parts.tcp.len());
    let field = !checksum::fold(checksum::sum(pseudo, parts.tcp));
    put(parts.tcp, 16, &field.to_be_bytes());
}

/// Sets a TCP checksum that no [`ChecksumPolicy`] but `Ignore` accepts.
pub fn spoil_checksum(packet: &mut [u8]) {
    let Some(Parts {
        tcp,
        source,
        destination,
        ..
    }) = Parts::of(packet)
    else {
        return;
    };
    // At most three values are accepted: the sum, its other zero, and the pseudo-header's.
    for field in 1u16..=4 {
        put(tcp, 16, &field.to_be_bytes());
        let pseudo = ip::pseudo_header_sum(source, destination, ip::TCP, tcp.len());
        if check(portable_sum, tcp, pseudo, ChecksumPolicy::Partial).is_none() {
            return;
        }
    }
}

/// The parts of a packet.
struct Parts<'a> {
    ip: &'a mut [u8],
    tcp: &'a mut [u8],
    source: IpAddr,
    destination: IpAddr,
}

impl<'a> Parts<'a> {
    fn of(packet: &'a mut [u8]) -> Option<Parts<'a>> {
        let parsed = ip::Ip::parse(packet)
            .ok()
            .filter(|parsed| parsed.protocol == ip::TCP && parsed.payload.len() >= TCP_HEADER)?;
        let source = parsed.source;
        let destination = parsed.destination;
        let tcp_len = parsed.payload.len();
        let header_len = match source {
            IpAddr::V4(_) => usize::from(packet.first()? & 0x0f) * 4,
            IpAddr::V6(_) => ip::header_len(source, destination),
        };
        let (ip, rest) = packet.split_at_mut_checked(header_len)?;
        Some(Parts {
            ip,
            tcp: rest.get_mut(..tcp_len)?,
            source,
            destination,
        })
    }

    fn v6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// The offset in the TCP header of an option of this kind and length; the last one of several,
    /// which is the one that counts.
    fn option(&self, kind: u8, len: usize) -> Option<usize> {
        let area = self.tcp.get(TCP_HEADER..header_len(self.tcp))?;
        Walk::new(area)
            .filter(|place| place.kind == kind && place.len == len)
            .last()
            .map(|OptionSpan { at, .. }| TCP_HEADER + at)
    }
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = into.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        FastOpenCookie, Flags, Header, Illegal, Options, ParseError, SackBlocks, Segment,
        Timestamps,
    };
    use super::*;
    use crate::seq::Seq;
    use alloc::vec::Vec;
    use core::net::SocketAddr;
    use proptest::prelude::*;

    /// With every option, and so with every field.
    const EVERY: Options = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        sack: SackBlocks::NONE,
        timestamps: Some(Timestamps {
            value: 0x1020_3040,
            echo: 0x5060_7080,
        }),
        fast_open: Some(FastOpenCookie::REQUEST),
    };

    fn header(v6: bool) -> Header {
        let [source, destination]: [SocketAddr; 2] = if v6 {
            ["[fd00::1]:40000", "[fd00::2]:7000"]
        } else {
            ["10.0.0.1:40000", "10.0.0.2:7000"]
        }
        .map(|end| end.parse().unwrap());
        Header {
            source,
            destination,
            seq: Seq(1000),
            ack: Seq(2000),
            flags: Flags::ACK,
            window: 512,
            urgent: 0,
            options: Options::default(),
            ttl: 64,
            tos: 0,
            id: 7,
        }
    }

    fn built(header: &Header, text: &[u8], illegal: &Illegal<'_>) -> Vec<u8> {
        let mut packet = alloc::vec![0; 1500];
        let len = header
            .emit_illegal((text, &[]), illegal, &mut packet)
            .unwrap();
        packet.truncate(len);
        packet
    }

    fn packet(v6: bool, text: &[u8]) -> Vec<u8> {
        built(&header(v6), text, &Illegal::default())
    }

    /// A field's value, if the packet has the field.
    fn read(packet: &[u8], field: Field) -> Option<u32> {
        let mut value = None;
        patch(&mut packet.to_vec(), field, |before| *value.insert(before));
        value
    }

    #[test]
    fn patch_every_field_changes_it_and_no_other() {
        for v6 in [false, true] {
            for field in Field::ALL
                .into_iter()
                .filter(|field| !(v6 && *field == Field::Id))
            {
                let before = built(
                    &Header {
                        options: EVERY,
                        ..header(v6)
                    },
                    b"text",
                    &Illegal::default(),
                );
                let mut after = before.clone();
                assert!(
                    patch(&mut after, field, |_| 0x0102_03a5),
                    "{field:?}, v6 {v6}"
                );
                fix_checksums(&mut after);
                for other in Field::ALL {
                    let expected = if other == field {
                        Some(0x0102_03a5 & field.max())
                    } else {
                        read(&before, other)
                    };
                    assert_eq!(
                        read(&after, other),
                        expected,
                        "{other:?} after {field:?}, v6 {v6}"
                    );
                }
                let segment = Segment::parse(&after, ChecksumPolicy::Strict).unwrap();
                assert_eq!(
                    (segment.payload, segment.header.source),
                    (&b"text"[..], header(v6).source)
                );
            }
        }
    }

    #[test]
    fn patch_field_is_where_the_reader_finds_it() {
        let mut changed = built(
            &Header {
                options: EVERY,
                ..header(false)
            },
            b"",
            &Illegal::default(),
        );
        for (value, field) in (1..).zip(Field::ALL) {
            patch(&mut changed, field, |_| value);
        }
        fix_checksums(&mut changed);
        let seq = Seq(1);
        let ack = Seq(2);
        let flags = Flags(3);
        let timestamps = Some(Timestamps {
            value: 12,
            echo: 13,
        });
        let options = Options {
            mss: Some(10),
            window_scale: Some(11),
            timestamps,
            ..EVERY
        };
        let expected = Header {
            seq,
            ack,
            flags,
            window: 4,
            urgent: 5,
            ttl: 7,
            tos: 8,
            id: 9,
            options,
            ..header(false)
        };
        assert_eq!(
            Segment::parse(&changed, ChecksumPolicy::Strict)
                .unwrap()
                .header,
            expected
        );
        assert_eq!(
            changed[32],
            11 << 4 | 6,
            "the reserved bits next to the data offset"
        );
    }

    #[test]
    fn patch_same_value_or_a_field_that_is_not_there_changes_nothing() {
        for v6 in [false, true] {
            let before = packet(v6, b"text");
            let mut after = before.clone();
            for field in Field::ALL {
                assert!(!patch(&mut after, field, |value| value), "{field:?}");
            }
            for field in [Field::Mss, Field::WindowScale, Field::TsVal, Field::TsEcr] {
                assert!(!patch(&mut after, field, |_| panic!("{field:?}")));
            }
            assert_eq!(after, before);
        }
    }

    #[test]
    fn patch_option_at_an_odd_octet_and_twice_sets_the_one_that_counts() {
        let area = [1, 2, 4, 5, 180, 2, 4, 5, 181, 2, 3, 9, 3, 3, 7];
        let mut changed = built(
            &header(false),
            b"text",
            &Illegal {
                options: Some(&area),
                ..Illegal::default()
            },
        );
        assert!(
            patch(&mut changed, Field::Mss, |before| before + 1)
                && patch(&mut changed, Field::WindowScale, |before| before + 1)
        );
        assert_eq!(
            changed[40..56],
            [1, 2, 4, 5, 180, 2, 4, 5, 182, 2, 3, 9, 3, 3, 8, 0]
        );
    }

    #[test]
    fn strip_leaves_nops_where_the_option_was_and_all_else_in_its_place() {
        let area = [
            2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7, 5, 10, 0, 0, 0, 1, 0, 0,
            0, 9, 2, 3, 1, 254, 2, 1,
        ];
        let built = || {
            built(
                &header(false),
                b"text",
                &Illegal {
                    options: Some(&area),
                    ..Illegal::default()
                },
            )
        };
        for (option, gone) in [
            (OptionKind::Mss, [0..4, 30..33]),
            (OptionKind::Sack, [4..6, 20..30]),
            (OptionKind::Timestamps, [6..16, 0..0]),
            (OptionKind::WindowScale, [17..20, 0..0]),
        ] {
            let mut expected = built();
            let mut changed = built();
            gone.into_iter()
                .for_each(|range| expected[40..][range].fill(1));
            assert!(strip(&mut changed, option));
            assert_eq!(changed, expected, "{option:?}");
            assert!(!strip(&mut changed, option), "{option:?} is gone");
        }
    }

    #[test]
    fn strip_and_patch_do_not_look_past_an_illegal_length_or_the_end_of_the_list() {
        for area in [
            [200, 1, 2, 4, 5, 180, 1, 1],
            [200, 9, 2, 4, 5, 180, 1, 1],
            [0, 1, 2, 4, 5, 180, 1, 1],
        ] {
            let before = built(
                &header(false),
                b"text",
                &Illegal {
                    options: Some(&area),
                    ..Illegal::default()
                },
            );
            let mut after = before.clone();
            assert!(!strip(&mut after, OptionKind::Mss) && !patch(&mut after, Field::Mss, |_| 1));
            assert_eq!(after, before);
        }
    }

    #[test]
    fn fix_checksums_after_a_new_ttl_mends_the_ip_header_too() {
        let mut packet = packet(false, b"text");
        patch(&mut packet, Field::Ttl, |_| 3);
        fix_checksums(&mut packet);
        assert_eq!(checksum::fold(checksum::sum(0, &packet[..20])), 0xffff);
    }

    proptest! {
        #[test]
        fn spoil_checksum_any_text_is_refused(
            v6: bool,
            text in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut packet = packet(v6, &text);
            spoil_checksum(&mut packet);
            let parsed = Segment::parse(&packet, ChecksumPolicy::Partial);
            prop_assert_eq!(parsed.unwrap_err(), ParseError::BadChecksum);
        }

        #[test]
        fn flip_bit_changes_exactly_one_bit_of_the_text(
            v6: bool,
            choice: u64,
            text in proptest::collection::vec(any::<u8>(), 1..40),
        ) {
            let mut changed = packet(v6, &text);
            flip_bit(&mut changed, choice);
            let after = Segment::parse(&changed, ChecksumPolicy::Ignore).unwrap();
            let pairs = after.payload.iter().zip(&text);
            let bits: u32 = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
            prop_assert_eq!(bits, 1);
        }

        #[test]
        fn any_bytes_are_changed_without_a_panic(
            mut packet: Vec<u8>,
            first: u8,
            value: u32,
            choice: u64,
        ) {
            if let Some(byte) = packet.first_mut() {
                *byte = first;
            }
            for field in Field::ALL {
                patch(&mut packet, field, |_| value);
            }
            for option in OptionKind::ALL {
                strip(&mut packet, option);
            }
            flip_bit(&mut packet, choice);
            fix_checksums(&mut packet);
            spoil_checksum(&mut packet);
        }
    }
}
