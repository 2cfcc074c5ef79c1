//! Properties of every packet: writing and reading it gives the same packet, pnet reads and writes
//! it the same way, and no input makes the codec panic.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pnet::ip::IpNextHeaderProtocols;
use pnet::ipv4::{self, Ipv4Flags, Ipv4Packet};
use pnet::ipv6::Ipv6Packet;
use pnet::tcp::{self, MutableTcpPacket, TcpOption, TcpOptionNumber, TcpOptionPacket, TcpPacket};
use pnet::{FromPacket, Packet};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tcpx_proto::fault::{Direction, FaultRule, Gate, Verdict};
use tcpx_proto::seq::Seq;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{
    ChecksumKind, ChecksumPolicy, FastOpenCookie, Field, Flags, Header, Icmp, Illegal, OptionKind,
    Options, SackBlocks, Segment, Timestamps, fix_checksums, flip_bit, patch, spoil_checksum,
    strip,
};

/// Both ends, of one family, neither of which is refused.
fn any_ends() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = || {
        any::<Ipv4Addr>().prop_filter("unicast", |ip| {
            !(ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified())
        })
    };
    let v6 = || {
        any::<Ipv6Addr>().prop_filter("unicast", |ip| !(ip.is_multicast() || ip.is_unspecified()))
    };
    let ips = prop_oneof![
        (v4(), v4()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        (v6(), v6()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
    ];
    (ips, 1u16.., 1u16..).prop_map(|((source, destination), from, to)| {
        (
            SocketAddr::new(source, from),
            SocketAddr::new(destination, to),
        )
    })
}

/// Any set of options, and as many SACK blocks as fit with them.
fn any_options() -> impl Strategy<Value = Options> {
    let blocks = vec(any::<(u32, u32)>(), 0..=4);
    (
        option::of(any::<u16>()),
        option::of(any::<u8>()),
        any::<bool>(),
        blocks,
        option::of(any::<(u32, u32)>()),
        option::of(vec(any::<u8>(), 0..=16)),
    )
        .prop_map(
            |(mss, window_scale, sack_permitted, blocks, stamps, cookie)| {
                let fast_open = cookie.and_then(|cookie| FastOpenCookie::new(&cookie));
                let cookie = fast_open.map_or(0, |cookie| {
                    (2 + cookie.as_slice().len()).next_multiple_of(4)
                });
                let padded =
                    4 * usize::from(mss.is_some()) + 4 * usize::from(window_scale.is_some());
                let others = padded
                    + cookie
                    + if stamps.is_some() {
                        12
                    } else {
                        4 * usize::from(sack_permitted)
                    };
                let mut sack = SackBlocks::default();
                for (left, right) in blocks.into_iter().take(36usize.saturating_sub(others) / 8) {
                    assert!(sack.push(Seq(left), Seq(right)));
                }
                let timestamps = stamps.map(|(value, echo)| Timestamps { value, echo });
                Options {
                    mss,
                    window_scale,
                    sack_permitted,
                    sack,
                    timestamps,
                    fast_open,
                }
            },
        )
}

fn any_header() -> impl Strategy<Value = Header> {
    let numbers = any::<(u32, u32, u8, u16, u16, u8, u8, u16)>();
    (any_ends(), any_options(), numbers).prop_map(
        |((source, destination), options, (seq, ack, flags, window, urgent, ttl, tos, id))| {
            let id = if source.is_ipv4() { id } else { 0 };
            let seq = Seq(seq);
            let ack = Seq(ack);
            let flags = Flags(flags);
            Header {
                source,
                destination,
                seq,
                ack,
                flags,
                window,
                urgent,
                options,
                ttl,
                tos,
                id,
            }
        },
    )
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![8 => 0usize..100, 1 => 1400usize..1500, 1 => 9000usize..9100];
    len.prop_flat_map(|len| vec(any::<u8>(), len))
}

fn written(header: &Header, text: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xee; text.len() + 100];
    let len = header.emit((text, &[]), &mut packet).unwrap();
    packet.truncate(len);
    packet
}

fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    (any_header(), any_text()).prop_map(|(header, text)| written(&header, &text))
}

/// Where the TCP header begins in a packet that we wrote.
fn tcp_at(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 4 { 20 } else { 40 }
}

/// Options as pnet finds them, read as RFC 9293 and RFC 7323 say: of a kind that comes twice the
/// last one counts.
fn meaning(list: &[TcpOption]) -> Options {
    let mut options = Options::default();
    let be32 = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    for option in list.iter().take_while(|option| option.number.0 != 0) {
        match (option.number.0, &option.data[..]) {
            (2, &[high, low]) => options.mss = Some(u16::from_be_bytes([high, low])),
            (3, &[shift]) => options.window_scale = Some(shift),
            (4, []) => options.sack_permitted = true,
            (5, blocks) if blocks.len() % 8 == 0 => {
                for block in blocks.chunks(8) {
                    options
                        .sack
                        .push(Seq(be32(&block[..4])), Seq(be32(&block[4..])));
                }
            }
            (8, stamps) if stamps.len() == 8 => {
                options.timestamps = Some(Timestamps {
                    value: be32(&stamps[..4]),
                    echo: be32(&stamps[4..]),
                });
            }
            (34, cookie) => {
                options.fast_open = FastOpenCookie::new(cookie).or(options.fast_open);
            }
            _ => {}
        }
    }
    options
}

/// The checksum that pnet finds right.
fn pnet_checksum(tcp: &TcpPacket<'_>, source: IpAddr, destination: IpAddr) -> u16 {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            tcp::ipv4_checksum(tcp, &source, &destination)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            tcp::ipv6_checksum(tcp, &source, &destination)
        }
        _ => panic!("two families"),
    }
}

/// One option for pnet to write: known or unknown, of the right or a wrong length, at any offset.
fn any_pnet_option() -> impl Strategy<Value = TcpOption> {
    let raw = |number: u8, data: Vec<u8>| TcpOption {
        number: TcpOptionNumber(number),
        length: vec![data.len() as u8 + 2],
        data,
    };
    prop_oneof![
        Just(TcpOption::nop()),
        any::<u16>().prop_map(TcpOption::mss),
        any::<u8>().prop_map(TcpOption::wscale),
        Just(TcpOption::sack_perm()),
        any::<(u32, u32)>().prop_map(|(value, echo)| TcpOption::timestamp(value, echo)),
        vec(any::<[u32; 2]>(), 1..=2).prop_map(|blocks| TcpOption::selective_ack(&blocks.concat())),
        (2u8.., vec(any::<u8>(), 0..10)).prop_map(move |(number, data)| raw(number, data)),
    ]
}

/// One edit of the fault language, of any field or option, with a value that fits.
fn any_edit() -> impl Strategy<Value = String> {
    let numbers = [
        ("seq", u32::MAX),
        ("ack", u32::MAX),
        ("win", 0xffff),
        ("urg", 0xffff),
        ("res", 15),
        ("ttl", 0xff),
        ("tos", 0xff),
    ];
    let more = [
        ("id", 0xffff),
        ("mss", 0xffff),
        ("wscale", 0xff),
        ("tsval", u32::MAX),
        ("tsecr", u32::MAX),
    ];
    let field = select([&numbers[..], &more].concat());
    let signed = (field, select(vec!["", "+", "-"]), any::<u32>());
    let number = signed.prop_map(|((name, max), sign, value)| {
        let value = max.checked_add(1).map_or(value, |bound| value % bound);
        format!("{name}={sign}{value}")
    });
    let strip = select(vec![
        "strip=mss",
        "strip=wscale",
        "strip=sack",
        "strip=timestamps",
        "strip=fast-open",
    ]);
    prop_oneof![
        8 => number,
        1 => any::<u8>().prop_map(|bits| format!("flags={}", Flags(bits))),
        3 => strip.prop_map(Into::into),
    ]
}

/// A packet with text or without, whose option area is as it should be or is not.
fn any_odd_packet() -> impl Strategy<Value = Vec<u8>> {
    let area = vec(prop_oneof![0u8..11, any::<u8>()], 0..=40);
    let odd = (any_header(), any_text(), area).prop_map(|(header, text, area)| {
        let mut packet = vec![0; text.len() + 100];
        let illegal = Illegal {
            options: Some(&area),
            ..Illegal::default()
        };
        let len = header
            .emit_illegal((&text, &[]), &illegal, &mut packet)
            .unwrap();
        packet.truncate(len);
        packet
    });
    prop_oneof![any_packet(), odd]
}

proptest! {
    #[test]
    fn rewritten_packet_is_a_segment_with_a_right_checksum(
        packet in any_odd_packet(),
        edits in vec(any_edit(), 1..6),
        broken: bool,
        out: bool,
    ) {
        let mut before = packet;
        let direction = if out { Direction::Out } else { Direction::In };
        if broken {
            spoil_checksum(&mut before);
        }
        let edits = edits.join(", ");
        let rule = FaultRule::parse(&format!("rewrite({edits}) any segment")).unwrap();
        let mut gate = Gate::new(vec![rule], 1);
        let mut after = before.clone();
        let judgement = gate.offer(Instant(0), direction, None, &mut after);
        prop_assert!(judgement.goes_on() && judgement.rule == Some(0));
        if judgement.verdict == Verdict::Pass {
            prop_assert_eq!(after, before);
            return Ok(());
        }
        let was = Segment::parse(&before, ChecksumPolicy::Ignore).unwrap();
        let is = Segment::parse(&after, ChecksumPolicy::Strict).unwrap();
        prop_assert_eq!(is.payload, was.payload);
        prop_assert_eq!(is.checksum, ChecksumKind::Full);
        prop_assert_eq!(after.len(), before.len());
        let ends = |segment: &Segment<'_>| (segment.header.source, segment.header.destination);
        prop_assert_eq!(ends(&is), ends(&was));
        // A stripped option leaves NOPs: nothing moves, and no hidden option appears.
        prop_assert_eq!(is.options_malformed, was.options_malformed);
        let source = is.header.source.ip();
        let destination = is.header.destination.ip();
        let tcp = TcpPacket::new(&after[tcp_at(&after)..]).unwrap();
        let field = tcp.get_checksum();
        let right = pnet_checksum(&tcp, source, destination);
        prop_assert!(
            field == right || field == !right,
            "pnet finds {field:#x} instead of {right:#x}"
        );
        if source.is_ipv4()
            && let Some(ip) = Ipv4Packet::new(&after)
        {
            prop_assert_eq!(ip.get_checksum(), ipv4::checksum(&ip));
        }
        // Nothing changes but what an edit names, and what was stripped is gone.
        let was = was.header;
        let is = is.header;
        for (name, kept) in [
            ("mss", is.options.mss == was.options.mss),
            (
                "wscale",
                is.options.window_scale == was.options.window_scale,
            ),
            (
                "strip=sack",
                is.options.sack == was.options.sack
                    && is.options.sack_permitted == was.options.sack_permitted,
            ),
            (
                "ts",
                is.options.timestamps == was.options.timestamps || edits.contains("timestamps"),
            ),
            ("seq", is.seq == was.seq),
            ("ack", is.ack == was.ack),
            ("win", is.window == was.window),
            ("flags", is.flags == was.flags),
            ("urg", is.urgent == was.urgent),
            ("ttl", is.ttl == was.ttl),
            ("tos", is.tos == was.tos),
            ("id", is.id == was.id),
        ] {
            prop_assert!(kept || edits.contains(name), "{name} changed by {edits}");
        }
        for (name, gone) in [
            ("strip=mss", is.options.mss.is_none()),
            ("strip=wscale", is.options.window_scale.is_none()),
            (
                "strip=sack",
                is.options.sack == SackBlocks::NONE && !is.options.sack_permitted,
            ),
            ("strip=timestamps", is.options.timestamps.is_none()),
            ("strip=fast-open", is.options.fast_open.is_none()),
        ] {
            prop_assert!(gone || !edits.contains(name), "{name} left something");
        }
    }

    #[test]
    fn parse_of_emit_is_what_was_emitted(
        header in any_header(),
        text in any_text(),
        split: Index,
        spare in 0usize..4,
    ) {
        let split = split.index(text.len() + 1);
        let mut buffer = vec![0xee; text.len() + 104];
        let len = header.emit(text.split_at(split), &mut buffer).unwrap();
        prop_assert!(
            buffer[len..].iter().all(|byte| *byte == 0xee),
            "written past the end"
        );
        // What follows the packet in the buffer (padding of a short frame) is not the segment's.
        let segment = Segment::parse(&buffer[..len + spare], ChecksumPolicy::Strict).unwrap();
        prop_assert_eq!(
            segment,
            Segment {
                header,
                payload: &text,
                checksum: ChecksumKind::Full,
                options_malformed: false
            }
        );
        // Where the text was cut in two makes no difference.
        prop_assert_eq!(&buffer[..len], &written(&header, &text));
    }

    #[test]
    fn parse_of_any_beginning_is_refused(packet in any_packet(), cut: Index) {
        prop_assert!(
            Segment::parse(&packet[..cut.index(packet.len())], ChecksumPolicy::Ignore).is_err()
        );
    }

    #[test]
    fn parse_of_one_turned_bit_under_the_checksum_is_refused(
        packet in any_packet(),
        at: Index,
        bit in 0u8..8,
    ) {
        let mut packet = packet;
        let covered = if packet[0] >> 4 == 4 { 12 } else { 8 };
        let at = covered + at.index(packet.len() - covered);
        packet[at] ^= 1 << bit;
        prop_assert!(Segment::parse(&packet, ChecksumPolicy::Strict).is_err());
    }

    /// Proves MUST-2.
    #[test]
    fn pnet_reads_what_we_write(header in any_header(), text in any_text()) {
        let packet = written(&header, &text);
        let tcp = &packet[tcp_at(&packet)..];
        match (header.source.ip(), header.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let ip = Ipv4Packet::new(&packet).unwrap();
                prop_assert_eq!(ip.get_version(), 4);
                prop_assert_eq!(ip.get_header_length(), 5);
                prop_assert_eq!(usize::from(ip.get_total_length()), packet.len());
                prop_assert_eq!(ip.get_source(), source);
                prop_assert_eq!(ip.get_destination(), destination);
                prop_assert_eq!(ip.get_ttl(), header.ttl);
                prop_assert_eq!(ip.get_dscp() << 2 | ip.get_ecn(), header.tos);
                prop_assert_eq!(ip.get_identification(), header.id);
                prop_assert_eq!(ip.get_flags(), Ipv4Flags::DontFragment);
                prop_assert_eq!(ip.get_fragment_offset(), 0);
                prop_assert_eq!(ip.get_next_level_protocol(), IpNextHeaderProtocols::Tcp);
                prop_assert_eq!(ip.get_checksum(), ipv4::checksum(&ip));
            }
            (source, destination) => {
                let ip = Ipv6Packet::new(&packet).unwrap();
                prop_assert_eq!(ip.get_version(), 6);
                prop_assert_eq!(usize::from(ip.get_payload_length()), tcp.len());
                prop_assert_eq!(IpAddr::V6(ip.get_source()), source);
                prop_assert_eq!(IpAddr::V6(ip.get_destination()), destination);
                prop_assert_eq!(ip.get_traffic_class(), header.tos);
                prop_assert_eq!(ip.get_hop_limit(), header.ttl);
                prop_assert_eq!(ip.get_flow_label(), 0);
                prop_assert_eq!(ip.get_next_header(), IpNextHeaderProtocols::Tcp);
            }
        }
        let tcp = TcpPacket::new(tcp).unwrap();
        prop_assert_eq!(tcp.get_source(), header.source.port());
        prop_assert_eq!(tcp.get_destination(), header.destination.port());
        prop_assert_eq!(tcp.get_sequence(), header.seq.0);
        prop_assert_eq!(tcp.get_acknowledgement(), header.ack.0);
        prop_assert_eq!(tcp.get_flags(), header.flags.0);
        prop_assert_eq!(tcp.get_reserved(), 0);
        prop_assert_eq!(tcp.get_window(), header.window);
        prop_assert_eq!(tcp.get_urgent_ptr(), header.urgent);
        prop_assert_eq!(
            tcp.get_checksum(),
            pnet_checksum(&tcp, header.source.ip(), header.destination.ip())
        );
        prop_assert_eq!(meaning(&tcp.get_options()), header.options);
        prop_assert_eq!(tcp.payload(), &text);
    }

    #[test]
    fn we_read_what_pnet_writes(
        header in any_header(),
        text in any_text(),
        list in vec(any_pnet_option(), 0..8),
    ) {
        // As many options as fit, and NOPs up to a multiple of four.
        let mut list = list;
        let len = |list: &[TcpOption]| {
            list.iter()
                .map(|option| option.data.len() + option.length.len() + 1)
                .sum::<usize>()
        };
        while len(&list) > 40 {
            list.pop();
        }
        while len(&list) % 4 != 0 {
            list.push(TcpOption::nop());
        }
        let mut packet = written(
            &Header {
                options: Options::default(),
                ..header
            },
            &vec![0; len(&list) + text.len()],
        );
        let at = tcp_at(&packet);
        {
            let mut tcp = MutableTcpPacket::new(&mut packet[at..]).unwrap();
            tcp.set_data_offset((5 + len(&list) / 4) as u8);
            tcp.set_options(&list);
            tcp.set_payload(&text);
            let checksum = pnet_checksum(
                &tcp.to_immutable(),
                header.source.ip(),
                header.destination.ip(),
            );
            tcp.set_checksum(checksum);
        }
        let segment = Segment::parse(&packet, ChecksumPolicy::Strict).unwrap();
        let header = Header {
            options: meaning(&list),
            ..header
        };
        prop_assert_eq!(
            segment,
            Segment {
                header,
                payload: &text,
                checksum: ChecksumKind::Full,
                options_malformed: false
            }
        );
    }

    /// Pnet's reader swallows what is malformed, so only well-formed areas are compared.
    #[test]
    fn pnet_reads_any_option_area_as_we_do(
        header in any_header(),
        area in vec(prop_oneof![0u8..11, any::<u8>()], 0..=40),
    ) {
        let mut packet = vec![0; 200];
        let len = header
            .emit_illegal(
                (b"text", &[]),
                &Illegal {
                    options: Some(&area),
                    ..Illegal::default()
                },
                &mut packet,
            )
            .unwrap();
        let segment = Segment::parse(&packet[..len], ChecksumPolicy::Strict).unwrap();
        prop_assert_eq!(segment.payload, b"text");
        if !segment.options_malformed {
            let tcp = TcpPacket::new(&packet[tcp_at(&packet)..len]).unwrap();
            let list: Vec<TcpOption> = tcp
                .get_options_iter()
                .map(|option: TcpOptionPacket<'_>| option.from_packet())
                .collect();
            prop_assert_eq!(segment.header.options, meaning(&list));
        }
    }

    #[test]
    fn any_bytes_and_changed_packets_never_panic(
        packet in prop_oneof![
            vec(any::<u8>(), 0..100),
            (
                prop_oneof![Just(0x45), Just(0x4f), Just(0x60)],
                vec(any::<u8>(), 0..100)
            )
                .prop_map(|(first, rest)| [vec![first], rest].concat()),
            any_packet(),
        ],
        changes in vec(any::<(Index, u8)>(), 0..5),
        cut: Index,
        value: u32,
        choice: u64,
    ) {
        let mut packet = packet;
        let changes = if packet.is_empty() { &[][..] } else { &changes };
        for (at, byte) in changes {
            let at = at.index(packet.len().min(80));
            packet[at] = *byte;
        }
        if choice & 1 == 0 {
            packet.truncate(cut.index(packet.len() + 1));
        }
        for _ in 0..2 {
            for policy in [
                ChecksumPolicy::Partial,
                ChecksumPolicy::Strict,
                ChecksumPolicy::Ignore,
            ] {
                if let Ok(segment) = Segment::parse(&packet, policy) {
                    prop_assert!(segment.payload.len() + 40 <= packet.len());
                }
            }
            Icmp::parse(&packet);
            for field in Field::ALL {
                patch(&mut packet, field, |_| value);
            }
            for option in OptionKind::ALL {
                strip(&mut packet, option);
            }
            flip_bit(&mut packet, choice);
            spoil_checksum(&mut packet);
            // The second time around the checksum is right, so that what lies behind it is reached.
            fix_checksums(&mut packet);
        }
    }
}
