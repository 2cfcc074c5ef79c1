//! Any bytes as a packet: read, written and read again, changed in place.

use tcpx_proto::wire::{
    ChecksumKind, ChecksumPolicy, Field, Icmp, OptionKind, Segment, fix_checksums, flip_bit,
    icmp_error, patch, spoil_checksum, strip,
};

const POLICIES: [ChecksumPolicy; 3] = [
    ChecksumPolicy::Partial,
    ChecksumPolicy::Strict,
    ChecksumPolicy::Ignore,
];
/// The longest packet that is looked at.
const LONGEST: usize = 2048;

/// What is read can be written, and is the same when it is read again.
pub fn run(data: &[u8]) {
    let data = data.get(..LONGEST).unwrap_or(data);
    for policy in POLICIES {
        if let Ok(segment) = Segment::parse(data, policy) {
            assert!(segment.payload.len() + 40 <= data.len());
        }
    }
    // Most inputs have a wrong checksum: what lies behind it is reached without.
    if let Ok(segment) = Segment::parse(data, ChecksumPolicy::Ignore) {
        rewrite(data, &segment);
        if let Some(quoted) = segment.header.source.is_ipv4().then_some(data) {
            quote(quoted, &segment);
        }
    }
    Icmp::parse(data);
}

/// Written and read again; then changed in place by each of the ways of the fault language.
fn rewrite(data: &[u8], segment: &Segment<'_>) {
    let mut buffer = [0xee; LONGEST + 128];
    let Ok(len) = segment.header.emit((segment.payload, &[]), &mut buffer) else {
        panic!("cannot be written: {segment:?}");
    };
    assert!(buffer[len..].iter().all(|byte| *byte == 0xee));
    let Ok(again) = Segment::parse(&buffer[..len], ChecksumPolicy::Strict) else {
        panic!("is no segment when written: {segment:?}");
    };
    let mut expected = Segment {
        checksum: ChecksumKind::Full,
        options_malformed: false,
        ..*segment
    };
    // Options are written at multiples of four, where not all of them may fit.
    let fit = again.header.options;
    let all = &mut expected.header.options;
    if fit != *all {
        let headers = len - segment.payload.len();
        let ip = if segment.header.source.is_ipv4() {
            20
        } else {
            40
        };
        let left = ip + 60 - headers;
        let (some, sack) = (fit.sack.as_slice(), all.sack.as_slice());
        assert!(sack.starts_with(some), "{some:?} of {sack:?}");
        assert!(some == sack || left < 8, "there is room for a SACK block");
        let cookie = all.fast_open.map_or(0, |cookie| cookie.as_slice().len());
        let dropped = fit.fast_open.is_none() && left < cookie + 4;
        assert!(fit.fast_open == all.fast_open || dropped, "{fit:?}");
        (all.sack, all.fast_open) = (fit.sack, fit.fast_open);
    }
    assert_eq!(again, expected);
    let options = segment.header.options.to_string();
    assert_eq!(options.parse(), Ok(segment.header.options), "{options}");
    let mut packet = [0; LONGEST];
    let packet = &mut packet[..data.len()];
    packet.copy_from_slice(data);
    fix_checksums(packet);
    assert!(Segment::parse(packet, ChecksumPolicy::Strict).is_ok());
    let value = segment.header.seq.0;
    let field = Field::ALL[value as usize % Field::ALL.len()];
    patch(packet, field, |old| old.wrapping_add(value) & field.max());
    strip(
        packet,
        OptionKind::ALL[(value >> 8) as usize % OptionKind::ALL.len()],
    );
    fix_checksums(packet);
    let is = Segment::parse(packet, ChecksumPolicy::Strict);
    assert_eq!(
        is.map(|is| is.payload),
        Ok(segment.payload),
        "{field:?} changed"
    );
    flip_bit(packet, value.into());
    spoil_checksum(packet);
    assert!(Segment::parse(packet, ChecksumPolicy::Strict).is_err());
}

/// An ICMP error about it is read as one about it.
fn quote(data: &[u8], segment: &Segment<'_>) {
    let ends = (segment.header.source.ip(), segment.header.destination.ip());
    let (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) = ends else {
        return;
    };
    let packet = icmp_error(destination, source, [3, segment.header.flags.0], 600, data);
    if let Some(icmp) = Icmp::parse(&packet) {
        assert_eq!(icmp.local, segment.header.source);
        assert_eq!(icmp.remote, segment.header.destination);
        assert_eq!(icmp.seq, segment.header.seq);
    }
}
