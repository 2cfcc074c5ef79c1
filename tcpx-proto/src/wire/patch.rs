//! A packet changed in place, as a bad network or a laboratory would: a field overwritten, a bit turned, checksums mended or spoilt.
//!
//! What is no IP packet with a whole TCP header is left alone.

use super::segment::{TCP_HEADER, check};
use super::{ChecksumPolicy, Header, checksum, ip};
use core::net::IpAddr;

/// A header field that can be overwritten.
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
    /// Time to live, or hop limit.
    Ttl,
    /// DSCP and ECN.
    Tos,
    /// IPv4 identification; IPv6 has none.
    Id,
}

impl Field {
    /// Its largest value.
    pub const fn max(self) -> u32 {
        match self {
            Field::Seq | Field::Ack => u32::MAX,
            Field::Window | Field::Urgent | Field::Id => 0xffff,
            Field::Flags | Field::Ttl | Field::Tos => 0xff,
        }
    }

    /// Its value in a header.
    pub fn of(self, header: &Header) -> u32 {
        match self {
            Field::Seq => header.seq.0,
            Field::Ack => header.ack.0,
            Field::Flags => header.flags.0.into(),
            Field::Window => header.window.into(),
            Field::Urgent => header.urgent.into(),
            Field::Ttl => header.ttl.into(),
            Field::Tos => header.tos.into(),
            Field::Id => header.id.into(),
        }
    }
}

/// Overwrites a field with the low bits of `value`. The checksums are left as they were.
pub fn patch(packet: &mut [u8], field: Field, value: u32) {
    let Some(parts) = Parts::of(packet) else { return };
    let octets = value.to_be_bytes();
    let [.., high, low] = octets;
    match (field, parts.v6()) {
        (Field::Seq, _) => put(parts.tcp, 4, &octets),
        (Field::Ack, _) => put(parts.tcp, 8, &octets),
        (Field::Flags, _) => put(parts.tcp, 13, &[low]),
        (Field::Window, _) => put(parts.tcp, 14, &[high, low]),
        (Field::Urgent, _) => put(parts.tcp, 18, &[high, low]),
        (Field::Ttl, false) => put(parts.ip, 8, &[low]),
        (Field::Ttl, true) => put(parts.ip, 7, &[low]),
        (Field::Tos, false) => put(parts.ip, 1, &[low]),
        (Field::Tos, true) => {
            let flow = parts.ip.get(1).map_or(0, |octet| octet & 0x0f);
            put(parts.ip, 0, &[0x60 | low >> 4, low << 4 | flow]);
        }
        (Field::Id, false) => put(parts.ip, 4, &[high, low]),
        (Field::Id, true) => {}
    }
}

/// Turns one bit of the text, or without text of SEG.SEQ, SEG.ACK or the window; `choice` says which. Checksums are left as they were.
pub fn flip_bit(packet: &mut [u8], choice: u64) {
    let Some(parts) = Parts::of(packet) else { return };
    let header = parts.tcp.get(12).map_or(0, |octet| usize::from(octet >> 4) * 4);
    let text = parts.tcp.len().saturating_sub(header);
    let place = (choice >> 3) as usize;
    let at = match (place.checked_rem(text), place % 10) {
        (Some(place), _) => header + place,
        (None, place @ 0..8) => 4 + place,
        (None, place) => 14 + place - 8,
    };
    if let Some(octet) = parts.tcp.get_mut(at) {
        *octet ^= 1 << (choice & 7);
    }
}

/// Makes the TCP checksum and the IPv4 header's right.
pub fn fix_checksums(packet: &mut [u8]) {
    let Some(parts) = Parts::of(packet) else { return };
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

/// Makes the TCP checksum one that no [`ChecksumPolicy`] but `Ignore` takes.
pub fn spoil_checksum(packet: &mut [u8]) {
    let Some(Parts { tcp, source, destination, .. }) = Parts::of(packet) else { return };
    // At most three values are taken: the sum, its other zero, and the pseudo-header's.
    for field in 1u16..=4 {
        put(tcp, 16, &field.to_be_bytes());
        if check(tcp, source, destination, ChecksumPolicy::Partial).is_none() {
            return;
        }
    }
}

/// A packet taken apart.
struct Parts<'a> {
    ip: &'a mut [u8],
    tcp: &'a mut [u8],
    source: IpAddr,
    destination: IpAddr,
}

impl<'a> Parts<'a> {
    fn of(packet: &'a mut [u8]) -> Option<Parts<'a>> {
        let parsed = ip::Ip::parse(packet).ok().filter(|parsed| parsed.protocol == ip::TCP && parsed.payload.len() >= TCP_HEADER)?;
        let (source, destination, tcp_len) = (parsed.source, parsed.destination, parsed.payload.len());
        let header_len = match source {
            IpAddr::V4(_) => usize::from(packet.first()? & 0x0f) * 4,
            IpAddr::V6(_) => ip::header_len(source, destination),
        };
        let (ip, rest) = packet.split_at_mut_checked(header_len)?;
        Some(Parts { ip, tcp: rest.get_mut(..tcp_len)?, source, destination })
    }

    fn v6(&self) -> bool {
        self.source.is_ipv6()
    }
}

fn put(into: &mut [u8], at: usize, octets: &[u8]) {
    if let Some(place) = into.get_mut(at..at + octets.len()) {
        place.copy_from_slice(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, Options, ParseError, Segment};
    use super::*;
    use crate::seq::Seq;
    use alloc::vec::Vec;
    use core::net::SocketAddr;
    use proptest::prelude::*;

    const FIELDS: [Field; 8] = [Field::Seq, Field::Ack, Field::Flags, Field::Window, Field::Urgent, Field::Ttl, Field::Tos, Field::Id];

    fn packet(v6: bool, text: &[u8]) -> Vec<u8> {
        let [source, destination]: [SocketAddr; 2] =
            if v6 { ["[fd00::1]:40000", "[fd00::2]:7000"] } else { ["10.0.0.1:40000", "10.0.0.2:7000"] }.map(|end| end.parse().unwrap());
        let header = Header {
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
        };
        let mut packet = alloc::vec![0; 1500];
        let len = header.emit((text, &[]), &mut packet).unwrap();
        packet.truncate(len);
        packet
    }

    #[test]
    fn patch_every_field_changes_it_and_no_other() {
        for v6 in [false, true] {
            for field in FIELDS.into_iter().filter(|field| !(v6 && *field == Field::Id)) {
                let mut changed = packet(v6, b"text");
                patch(&mut changed, field, 0x0102_03a5);
                fix_checksums(&mut changed);
                let before = packet(v6, b"text");
                let before = Segment::parse(&before, ChecksumPolicy::Strict).unwrap();
                let after = Segment::parse(&changed, ChecksumPolicy::Strict).unwrap();
                for other in FIELDS {
                    let expected = if other == field { 0x0102_03a5 & field.max() } else { other.of(&before.header) };
                    assert_eq!(other.of(&after.header), expected, "{other:?} after {field:?}, v6 {v6}");
                }
                assert_eq!((after.payload, after.header.source), (before.payload, before.header.source));
            }
        }
    }

    #[test]
    fn fix_checksums_after_a_new_ttl_mends_the_ip_header_too() {
        let mut packet = packet(false, b"text");
        patch(&mut packet, Field::Ttl, 3);
        fix_checksums(&mut packet);
        assert_eq!(checksum::fold(checksum::sum(0, &packet[..20])), 0xffff);
    }

    proptest! {
        #[test]
        fn spoil_checksum_any_text_is_refused(v6: bool, text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut packet = packet(v6, &text);
            spoil_checksum(&mut packet);
            prop_assert_eq!(Segment::parse(&packet, ChecksumPolicy::Partial).unwrap_err(), ParseError::BadChecksum);
        }

        #[test]
        fn flip_bit_changes_exactly_one_bit_of_the_text(v6: bool, choice: u64, text in proptest::collection::vec(any::<u8>(), 1..40)) {
            let mut changed = packet(v6, &text);
            flip_bit(&mut changed, choice);
            let after = Segment::parse(&changed, ChecksumPolicy::Ignore).unwrap();
            let bits: u32 = after.payload.iter().zip(&text).map(|(a, b)| (a ^ b).count_ones()).sum();
            prop_assert_eq!(bits, 1);
        }

        #[test]
        fn any_octets_are_changed_without_a_panic(mut packet: Vec<u8>, first: u8, value: u32, choice: u64) {
            if let Some(octet) = packet.first_mut() {
                *octet = first;
            }
            for field in FIELDS {
                patch(&mut packet, field, value);
            }
            flip_bit(&mut packet, choice);
            fix_checksums(&mut packet);
            spoil_checksum(&mut packet);
        }
    }
}
