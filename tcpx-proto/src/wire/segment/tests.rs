//! Segments written, read back, and read by pnet; illegal ones.

use super::*;
use crate::wire::{FastOpenCookie, SackBlocks, Timestamps, fix_checksums};
use alloc::vec::Vec;
use proptest::prelude::*;

const V4: [&str; 2] = ["10.77.0.1:40000", "10.77.0.2:7000"];
const V6: [&str; 2] = ["[fd00::1]:40000", "[fd00::2]:7000"];

fn syn(ends: [&str; 2]) -> Header {
    let [source, destination] = ends.map(|end| end.parse().unwrap());
    let flags = Flags::SYN;
    let options = Options::default();
    Header {
        source,
        destination,
        seq: Seq(1000),
        ack: Seq(0),
        flags,
        window: 512,
        urgent: 0,
        options,
        ttl: 64,
        tos: 0,
        id: 7,
    }
}

fn built(header: &Header, text: &[u8], illegal: &Illegal<'_>) -> Vec<u8> {
    let mut packet = alloc::vec![0xee; 2000];
    let len = header
        .emit_illegal((text, &[]), illegal, &mut packet)
        .unwrap();
    packet.truncate(len);
    packet
}

fn packet(ends: [&str; 2], text: &[u8]) -> Vec<u8> {
    built(&syn(ends), text, &Illegal::default())
}

/// A packet with bytes overwritten, removed or inserted, and the checksums recomputed if it still
/// contains a segment.
fn edited(mut packet: Vec<u8>, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    edit(&mut packet);
    fix_checksums(&mut packet);
    packet
}

fn refusal(packet: &[u8]) -> Option<ParseError> {
    Segment::parse(packet, ChecksumPolicy::Strict).err()
}

/// What broke other stacks, each by the name of the one it broke where that is known.
/// Proves MUST-57, MUST-63.
#[test]
fn parse_hostile_headers_are_refused_with_the_first_reason() {
    use ParseError::{
        BadAddress, BadDataOffset, BadIpHeader, Fragment, NotTcp, PortZero, Truncated,
    };
    let v4 = |edit: fn(&mut Vec<u8>)| edited(packet(V4, b""), edit);
    let v6 = |edit: fn(&mut Vec<u8>)| edited(packet(V6, b""), edit);
    let from = |source: &'static str| packet([source, V4[1]], b"");
    let to = |destination: &'static str| packet([V4[0], destination], b"");
    let offset = |words: u8| {
        built(
            &syn(V4),
            b"",
            &Illegal {
                data_offset: Some(words),
                ..Illegal::default()
            },
        )
    };
    let cases: Vec<(&str, Vec<u8>, Option<ParseError>)> = alloc::vec![
        ("a sound SYN", packet(V4, b""), None),
        ("nothing at all", Vec::new(), Some(Truncated)),
        (
            "IPv4 without TCP (picoTCP, CVE-2020-24341)",
            v4(|p| {
                p.truncate(20);
                p[3] = 20
            }),
            Some(Truncated)
        ),
        (
            "19 bytes of TCP (picoTCP, CVE-2020-24341)",
            v4(|p| {
                p.truncate(39);
                p[3] = 39
            }),
            Some(Truncated)
        ),
        ("data offset 0 (TLDK)", offset(0), Some(BadDataOffset)),
        ("data offset 4", offset(4), Some(BadDataOffset)),
        (
            "data offset 15 in 20 bytes",
            offset(15),
            Some(BadDataOffset)
        ),
        (
            "total length past the end (uIP, CVE-2020-17441)",
            v4(|p| p[3] = 41),
            Some(Truncated)
        ),
        (
            "total length below the header's",
            v4(|p| p[3] = 19),
            Some(BadIpHeader)
        ),
        ("IHL 4", v4(|p| p[0] = 0x44), Some(BadIpHeader)),
        ("IHL 15 in 40 bytes", v4(|p| p[0] = 0x4f), Some(BadIpHeader)),
        ("more fragments", v4(|p| p[6] = 0x20), Some(Fragment)),
        ("a later fragment", v4(|p| p[7] = 1), Some(Fragment)),
        ("may be fragmented, but is not", v4(|p| p[6] = 0), None),
        ("UDP", v4(|p| p[9] = 17), Some(NotTcp)),
        (
            "IP version 3 (TLDK)",
            v4(|p| p[0] = 0x35),
            Some(BadIpHeader)
        ),
        ("IP version 5", v4(|p| p[0] = 0x55), Some(BadIpHeader)),
        (
            "TTL 0: no reason to discard (RFC 1122 section 3.2.1.7)",
            v4(|p| p[8] = 0),
            None
        ),
        ("reserved bits set", v4(|p| p[32] |= 0x0f), None),
        (
            "IPv6, length past the end",
            v6(|p| p[5] = 21),
            Some(Truncated)
        ),
        ("IPv6, 19 bytes of TCP", v6(|p| p[5] = 19), Some(Truncated)),
        (
            "IPv6, hop-by-hop options before TCP",
            v6(|p| p[6] = 0),
            Some(NotTcp)
        ),
        ("IPv6, a fragment", v6(|p| p[6] = 44), Some(NotTcp)),
        ("source port 0", from("10.77.0.1:0"), Some(PortZero)),
        ("destination port 0", to("10.77.0.2:0"), Some(PortZero)),
        (
            "from multicast (MUST-63)",
            from("224.0.0.1:40000"),
            Some(BadAddress)
        ),
        (
            "from broadcast (MUST-63)",
            from("255.255.255.255:40000"),
            Some(BadAddress)
        ),
        (
            "from the unspecified address (MUST-63)",
            from("0.0.0.0:40000"),
            Some(BadAddress)
        ),
        (
            "to multicast (MUST-57)",
            to("224.0.0.1:7000"),
            Some(BadAddress)
        ),
        (
            "to broadcast (MUST-57)",
            to("255.255.255.255:7000"),
            Some(BadAddress)
        ),
        (
            "from IPv6 multicast",
            packet(["[ff02::1]:40000", V6[1]], b""),
            Some(BadAddress)
        ),
        (
            "from the unspecified address, IPv6",
            packet(["[::]:40000", V6[1]], b""),
            Some(BadAddress)
        ),
        (
            "to IPv6 multicast",
            packet([V6[0], "[ff02::1]:7000"], b""),
            Some(BadAddress)
        ),
        (
            "from loopback, whose place the kernel checks",
            from("127.0.0.1:40000"),
            None
        ),
        (
            "from a subnet's broadcast address, which only a host can tell",
            from("10.77.0.255:40000"),
            None
        ),
    ];
    for (name, packet, expected) in cases {
        assert_eq!(refusal(&packet), expected, "{name}");
    }
}

#[test]
fn parse_ipv4_options_are_skipped() {
    // Record route, three hops.
    let with_route = edited(packet(V4, b"text"), |packet| {
        packet.splice(20..20, [7, 15, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        packet[0] = 0x49;
        packet[3] += 16;
    });
    let segment = Segment::parse(&with_route, ChecksumPolicy::Strict).unwrap();
    assert_eq!((segment.header, segment.payload), (syn(V4), &b"text"[..]));
}

/// The option area of a SYN, what is left of it, and whether it was cut short.
/// Proves MUST-7, MUST-68.
#[test]
fn parse_hostile_options_leave_what_stood_before_them() {
    let none = Options::default();
    let mss = |mss| Options {
        mss: Some(mss),
        ..none
    };
    let shift = |shift| Options {
        window_scale: Some(shift),
        ..none
    };
    let stamps = |value, echo| Options {
        timestamps: Some(Timestamps { value, echo }),
        ..none
    };
    let mut unknown = [0xaa; 40];
    unknown[..2].copy_from_slice(&[253, 40]);
    let mut blocks = SackBlocks::default();
    let mut area = alloc::vec![5, 34];
    for left in [1, 5, 3, 0xffff_fff0] {
        assert!(blocks.push(Seq(left), Seq(left) + 20));
        area.extend([left.to_be_bytes(), (Seq(left) + 20).0.to_be_bytes()].concat());
    }
    let cases: [(&str, &[u8], Options, bool); 29] = [
        ("none", &[], none, false),
        (
            "length 0 (picoTCP, CVE-2020-24337)",
            &[200, 0, 2, 4, 5, 180],
            none,
            true,
        ),
        ("length 1", &[200, 1, 2, 4, 5, 180], none, true),
        ("an MSS of length 0", &[2, 0, 5, 180], none, true),
        ("an MSS of length 1", &[2, 1, 5, 180], none, true),
        (
            "an MSS of length 3",
            &[2, 3, 5, 1, 3, 3, 7, 1],
            shift(7),
            false,
        ),
        (
            "an MSS of length 5",
            &[2, 5, 5, 180, 0, 3, 3, 7],
            shift(7),
            false,
        ),
        ("an MSS past the end", &[1, 1, 2, 4], none, true),
        ("a kind alone at the end", &[3, 3, 7, 2], shift(7), true),
        (
            "timestamps past the end",
            &[2, 4, 5, 180, 8, 10, 0, 0],
            mss(1460),
            true,
        ),
        ("an MSS of 0 (mTCP)", &[2, 4, 0, 0], mss(0), false),
        ("an MSS of 1 (CVE-2019-11479)", &[2, 4, 0, 1], mss(1), false),
        ("an MSS of 65535", &[2, 4, 255, 255], mss(65_535), false),
        (
            "two MSS: the last counts, as in Linux",
            &[2, 4, 5, 180, 2, 4, 0, 100],
            mss(100),
            false,
        ),
        ("a window scale of length 4", &[3, 4, 7, 7], none, false),
        ("a shift of 15", &[3, 3, 15, 1], shift(15), false),
        ("a shift of 255", &[3, 3, 255, 1], shift(255), false),
        ("forty NOPs", &[1; 40], none, false),
        ("forty bytes of an unknown kind", &unknown, none, false),
        (
            "authentication, empty",
            &[29, 2, 3, 3, 7, 1],
            shift(7),
            false,
        ),
        ("multipath, empty", &[30, 2, 3, 3, 7, 1], shift(7), false),
        (
            "a fast open cookie of five bytes",
            &[34, 7, 1, 2, 3, 4, 5, 1],
            none,
            false,
        ),
        (
            "a fast open request",
            &[34, 2, 3, 3, 7, 1],
            Options {
                fast_open: Some(FastOpenCookie::REQUEST),
                ..shift(7)
            },
            false,
        ),
        (
            "an echo on a SYN",
            &[8, 10, 0, 0, 0, 1, 0, 0, 0, 9, 1, 1],
            stamps(1, 9),
            false,
        ),
        (
            "two timestamps",
            &[8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 8, 10, 0, 0, 0, 2, 0, 0, 0, 0],
            stamps(2, 0),
            false,
        ),
        (
            "four overlapping SACK blocks",
            &area,
            Options {
                sack: blocks,
                ..none
            },
            false,
        ),
        (
            "a SACK without blocks",
            &[5, 2, 3, 3, 7, 1],
            shift(7),
            false,
        ),
        ("half a SACK block", &[5, 6, 0, 0, 0, 1, 1, 1], none, false),
        (
            "the end of the list, then rubbish",
            &[3, 3, 7, 0, 2, 0, 9, 9],
            shift(7),
            false,
        ),
    ];
    for (name, area, options, malformed) in cases {
        for flags in [Flags::SYN, Flags::ACK] {
            let packet = built(
                &Header { flags, ..syn(V4) },
                b"abc",
                &Illegal {
                    options: Some(area),
                    ..Illegal::default()
                },
            );
            let segment = Segment::parse(&packet, ChecksumPolicy::Strict).unwrap();
            assert_eq!(
                segment.header,
                Header {
                    flags,
                    options,
                    ..syn(V4)
                },
                "{name}"
            );
            assert_eq!(
                (segment.options_malformed, segment.payload),
                (malformed, &b"abc"[..]),
                "{name}"
            );
        }
    }
}

#[test]
fn parse_each_checksum_policy_takes_its_own() {
    use ChecksumPolicy::{Ignore, Partial, Strict};
    let header = syn(V4);
    let with = |checksum| {
        built(
            &header,
            b"text",
            &Illegal {
                checksum,
                ..Illegal::default()
            },
        )
    };
    // What Linux leaves for the network card: the pseudo-header's sum, not complemented.
    let pseudo = checksum::fold(ip::pseudo_header_sum(
        header.source.ip(),
        header.destination.ip(),
        ip::TCP,
        24,
    ));
    let kind =
        |checksum, policy| Segment::parse(&with(checksum), policy).map(|segment| segment.checksum);
    for (policy, full, partial, wrong) in [
        (
            Partial,
            Ok(ChecksumKind::Full),
            Ok(ChecksumKind::Partial),
            Err(ParseError::BadChecksum),
        ),
        (
            Strict,
            Ok(ChecksumKind::Full),
            Err(ParseError::BadChecksum),
            Err(ParseError::BadChecksum),
        ),
        (
            Ignore,
            Ok(ChecksumKind::Unchecked),
            Ok(ChecksumKind::Unchecked),
            Ok(ChecksumKind::Unchecked),
        ),
    ] {
        assert_eq!(kind(None, policy), full, "{policy:?}, full");
        assert_eq!(kind(Some(pseudo), policy), partial, "{policy:?}, partial");
        assert_eq!(
            kind(Some(!pseudo), policy),
            wrong,
            "{policy:?}, complemented"
        );
        assert_eq!(kind(Some(0), policy), wrong, "{policy:?}, zero");
    }
}

#[test]
fn parse_both_zeros_of_a_checksum_are_one() {
    let urgent_for_zero = {
        let packet = packet(V4, b"");
        u16::from_be_bytes([packet[36], packet[37]])
    };
    let header = Header {
        urgent: urgent_for_zero,
        ..syn(V4)
    };
    assert_eq!(built(&header, b"", &Illegal::default())[36..38], [0, 0]);
    for checksum in [0, 0xffff] {
        assert_eq!(
            refusal(&built(
                &header,
                b"",
                &Illegal {
                    checksum: Some(checksum),
                    ..Illegal::default()
                }
            )),
            None
        );
    }
}

/// Proves MUST-69.
#[test]
fn emit_illegal_options_are_cut_at_forty_octets_and_filled_with_zeros() {
    for (len, expected) in [(1, 4), (4, 4), (5, 8), (39, 40), (41, 40)] {
        let raw = alloc::vec![1; len];
        let packet = built(
            &syn(V4),
            b"",
            &Illegal {
                options: Some(&raw),
                ..Illegal::default()
            },
        );
        assert_eq!(
            (packet.len(), packet[32] >> 4),
            (40 + expected, (5 + expected / 4) as u8),
            "{len} bytes given"
        );
        assert!(
            packet[40 + len.min(40)..].iter().all(|byte| *byte == 0),
            "MUST-69"
        );
    }
}

#[test]
fn emit_into_a_buffer_one_octet_short_is_refused() {
    for (ends, len) in [(V4, 44), (V6, 64)] {
        let mut buffer = [0; 64];
        assert_eq!(syn(ends).emit((b"te", b"xt"), &mut buffer[..len]), Ok(len));
        assert_eq!(
            syn(ends).emit((b"te", b"xt"), &mut buffer[..len - 1]),
            Err(ParseError::BufferTooShort)
        );
    }
}

#[test]
fn emit_the_longest_ip_packet_and_no_longer() {
    let text = alloc::vec![7; 65_536];
    let mut buffer = alloc::vec![0; 70_000];
    for (ends, headers) in [(V4, 40), (V6, 60)] {
        let most = 65_535 - headers;
        assert_eq!(
            syn(ends).emit((&text[..most], &[]), &mut buffer),
            Ok(65_535)
        );
        assert_eq!(
            Segment::parse(&buffer, ChecksumPolicy::Strict)
                .unwrap()
                .payload
                .len(),
            most
        );
        assert_eq!(
            syn(ends).emit((&text[..most], &[7]), &mut buffer),
            Err(ParseError::BufferTooShort)
        );
    }
}

#[test]
fn emit_between_families_writes_ipv6_throughout() {
    let packet = packet([V4[0], V6[1]], b"text");
    let segment = Segment::parse(&packet, ChecksumPolicy::Strict).unwrap();
    assert_eq!(
        (segment.header.source, segment.payload),
        ("[::ffff:10.77.0.1]:40000".parse().unwrap(), &b"text"[..])
    );
}

#[test]
fn len_syn_and_fin_count_one_octet_each() {
    for (flags, len) in [
        (Flags::ACK, 3),
        (Flags::SYN, 4),
        (Flags::FIN | Flags::ACK, 4),
        (Flags::SYN | Flags::FIN, 5),
    ] {
        let packet = built(&Header { flags, ..syn(V4) }, b"abc", &Illegal::default());
        assert_eq!(
            Segment::parse(&packet, ChecksumPolicy::Strict)
                .unwrap()
                .len(),
            len,
            "{flags}"
        );
    }
    let packet = built(
        &Header {
            flags: Flags::ACK,
            ..syn(V4)
        },
        b"",
        &Illegal::default(),
    );
    assert!(
        Segment::parse(&packet, ChecksumPolicy::Strict)
            .unwrap()
            .is_empty()
    );
}

proptest! {
    /// One packet with any byte of its headers changed: where the quick reader gives something, it
    /// is what the whole one gives.
    #[test]
    fn quick_reader_gives_what_the_whole_one_gives(
        stamped: bool,
        text in prop::collection::vec(any::<u8>(), 0..40),
        changes in prop::collection::vec((0..60usize, any::<u8>()), 0..3),
        policy in prop::sample::select(alloc::vec![
            ChecksumPolicy::Partial,
            ChecksumPolicy::Strict,
            ChecksumPolicy::Ignore,
        ]),
        fixed: bool,
    ) {
        let timestamps = stamped.then_some(Timestamps { value: 5, echo: 6 });
        let header = Header {
            source: ([10, 0, 0, 1], 1).into(),
            destination: ([10, 0, 0, 2], 2).into(),
            seq: Seq(7),
            ack: Seq(8),
            flags: Flags::ACK | Flags::PSH,
            window: 9,
            urgent: 10,
            options: Options { timestamps, ..Options::default() },
            ttl: 64,
            tos: 3,
            id: 11,
        };
        let mut packet = [0; 200];
        let len = header.emit((&text, &[]), &mut packet).unwrap();
        let packet = &mut packet[..len];
        for (at, byte) in &changes {
            packet[at % len] = *byte;
        }
        if fixed {
            fix_checksums(packet);
        }
        let quick = Segment::plain(checksum::portable_sum, packet, policy);
        prop_assert!(quick.is_some() || !changes.is_empty(), "it is as plain as can be");
        if let Some(quick) = quick {
            prop_assert_eq!(Ok(quick), Segment::parse(packet, policy));
        }
    }
}
