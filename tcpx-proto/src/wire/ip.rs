//! The IP header below a segment: IPv4 (RFC 791) and IPv6 (RFC 8200).

use super::{Header, ParseError, checksum};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The protocol number of TCP.
pub(super) const TCP: u8 = 6;

const V4_HEADER: usize = 20;
/// DF, in the first byte of the fragment field.
const DONT_FRAGMENT: u8 = 0x40;
const V6_HEADER: usize = 40;

/// The fields of an IP header, and what follows it.
pub(super) struct Ip<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) ttl: u8,
    pub(super) tos: u8,
    pub(super) id: u16,
    /// The total length in the header.
    pub(super) total: u16,
    pub(super) payload: &'a [u8],
}

impl<'a> Ip<'a> {
    pub(super) fn parse(packet: &'a [u8]) -> Result<Ip<'a>, ParseError> {
        match packet.first().map(|first| first >> 4) {
            Some(4) => Ip::parse_v4(packet, true),
            Some(6) => Ip::parse_v6(packet, true),
            Some(_) => Err(ParseError::BadIpHeader),
            None => Err(ParseError::Truncated),
        }
    }

    /// The packet that an ICMP error quotes: its end may be missing.
    pub(super) fn parse_quoted(packet: &'a [u8]) -> Option<Ip<'a>> {
        match packet.first()? >> 4 {
            4 => Ip::parse_v4(packet, false).ok(),
            6 => Ip::parse_v6(packet, false).ok(),
            _ => None,
        }
    }

    /// The header checksum is not verified: the kernel did that before it gave the packet to a raw
    /// socket. IP options are skipped (MUST-50).
    fn parse_v4(packet: &'a [u8], whole: bool) -> Result<Ip<'a>, ParseError> {
        let fixed: &[u8; V4_HEADER] = packet.first_chunk().ok_or(ParseError::Truncated)?;
        let header_len = usize::from(fixed[0] & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if header_len < V4_HEADER || total < header_len {
            return Err(ParseError::BadIpHeader);
        }
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
        if fragment & 0x3fff != 0 {
            return Err(ParseError::Fragment);
        }
        let end = if whole {
            total
        } else {
            total.min(packet.len())
        };
        let payload = packet.get(header_len..end).ok_or(ParseError::Truncated)?;
        Ok(Ip {
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]).into(),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]).into(),
            protocol: fixed[9],
            ttl: fixed[8],
            tos: fixed[1],
            id: u16::from_be_bytes([fixed[4], fixed[5]]),
            total: u16::from_be_bytes([fixed[2], fixed[3]]),
            payload,
        })
    }

    /// Extension headers are not followed: only TCP directly after the header counts.
    fn parse_v6(packet: &'a [u8], whole: bool) -> Result<Ip<'a>, ParseError> {
        let (fixed, rest) = packet
            .split_first_chunk::<V6_HEADER>()
            .ok_or(ParseError::Truncated)?;
        let len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let len = if whole { len } else { len.min(rest.len()) };
        let address = |at: usize| -> IpAddr {
            let bytes = fixed
                .get(at..)
                .and_then(<[u8]>::first_chunk::<16>)
                .copied()
                .unwrap_or_default();
            Ipv6Addr::from(bytes).into()
        };
        Ok(Ip {
            source: address(8),
            destination: address(24),
            protocol: fixed[6],
            ttl: fixed[7],
            tos: (fixed[0] << 4) | (fixed[1] >> 4),
            id: 0,
            total: u16::from_be_bytes([fixed[4], fixed[5]]).saturating_add(V6_HEADER as u16),
            payload: rest.get(..len).ok_or(ParseError::Truncated)?,
        })
    }
}

/// Whether a TCP connection can have this address at one end (MUST-57, MUST-63). A subnet's
/// broadcast address is not known here.
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

/// The length of the IP header between these addresses: IPv6 if one of them is.
pub(super) fn header_len(source: IpAddr, destination: IpAddr) -> usize {
    if source.is_ipv4() && destination.is_ipv4() {
        V4_HEADER
    } else {
        V6_HEADER
    }
}

/// The sum over the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub(super) fn pseudo_header_sum(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    len: usize,
) -> u64 {
    let addresses = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let source = u32::from(source);
            let destination = u32::from(destination);
            u64::from(source >> 16)
                + u64::from(source & 0xffff)
                + u64::from(destination >> 16)
                + u64::from(destination & 0xffff)
        }
        _ => checksum::sum(
            checksum::sum(0, &v6_octets(source)),
            &v6_octets(destination),
        ),
    };
    addresses + u64::from(protocol) + len as u64
}

fn v6_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Allows routers to fragment the packet (RFC 1191 section 3). IPv6 routers never do.
pub(crate) fn allow_fragments(packet: &mut [u8]) {
    let Some(head) = packet
        .first_chunk_mut::<V4_HEADER>()
        .filter(|head| head[0] >> 4 == 4)
    else {
        return;
    };
    head[6] &= !DONT_FRAGMENT;
    sum_up(head);
}

/// Sets the length of the whole packet.
pub(super) fn set_len(packet: &mut [u8], total: u16) {
    match packet.first_chunk_mut::<V4_HEADER>() {
        Some(head) if head[0] >> 4 == 4 => {
            head[2..4].copy_from_slice(&total.to_be_bytes());
            sum_up(head);
        }
        Some(head) => {
            let len = total.saturating_sub(V6_HEADER as u16);
            head[4..6].copy_from_slice(&len.to_be_bytes());
        }
        None => {}
    }
}

fn sum_up(head: &mut [u8; V4_HEADER]) {
    head[10..12].fill(0);
    let field = !checksum::fold(checksum::sum(0, head));
    head[10..12].copy_from_slice(&field.to_be_bytes());
}

/// Writes the IP header of a segment of `tcp_len` bytes into exactly [`header_len`] bytes.
pub(super) fn emit(header: &Header, tcp_len: u16, into: &mut [u8]) {
    match (header.source.ip(), header.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let Some(into) = into.first_chunk_mut::<V4_HEADER>() else {
                return;
            };
            *into = [0; V4_HEADER];
            into[0] = 0x45;
            into[1] = header.tos;
            into[2..4].copy_from_slice(&(tcp_len + V4_HEADER as u16).to_be_bytes());
            into[4..6].copy_from_slice(&header.id.to_be_bytes());
            // Don't fragment: path MTU discovery (RFC 1191).
            into[6] = DONT_FRAGMENT;
            into[8] = header.ttl;
            into[9] = TCP;
            into[12..16].copy_from_slice(&source.octets());
            into[16..20].copy_from_slice(&destination.octets());
            let field = !checksum::fold(checksum::sum(0, into));
            into[10..12].copy_from_slice(&field.to_be_bytes());
        }
        (source, destination) => {
            let Some(into) = into.first_chunk_mut::<V6_HEADER>() else {
                return;
            };
            *into = [0; V6_HEADER];
            into[0] = 0x60 | (header.tos >> 4);
            into[1] = header.tos << 4;
            into[4..6].copy_from_slice(&tcp_len.to_be_bytes());
            into[6] = TCP;
            into[7] = header.ttl;
            into[8..24].copy_from_slice(&v6_octets(source));
            into[24..40].copy_from_slice(&v6_octets(destination));
        }
    }
}
