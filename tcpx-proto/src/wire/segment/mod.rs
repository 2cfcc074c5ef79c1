//! One segment with the IP header below it.

use super::checksum::{self, Sum};
use super::ip::{self, Ip};
use super::{Flags, MAX_OPTIONS_LEN, OptionLayout, Options, Timestamps};
use crate::seq::Seq;
use core::net::{Ipv4Addr, SocketAddr};

/// Bytes of a TCP header without options.
pub(in crate::wire) const TCP_HEADER: usize = 20;

/// Bytes of an IPv4 and a TCP header without options.
const PLAIN_HEADERS: usize = 40;

/// The fields of the IP and TCP headers of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Header {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port; always of the same family as `source`.
    pub destination: SocketAddr,
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK; only meaningful with [`Flags::ACK`].
    pub ack: Seq,
    /// Control bits.
    pub flags: Flags,
    /// SEG.WND as it stands in the header, unscaled.
    pub window: u16,
    /// Urgent pointer; only meaningful with [`Flags::URG`].
    pub urgent: u16,
    /// Options.
    pub options: Options,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// The byte that holds DSCP and ECN.
    pub tos: u8,
    /// IPv4 identification (0 in IPv6: there is none).
    pub id: u16,
}

/// A segment: headers and text. The text may be longer than an MTU (GRO).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Segment<'a> {
    /// The headers.
    pub header: Header,
    /// The text.
    pub payload: &'a [u8],
    /// How its checksum was verified.
    pub checksum: ChecksumKind,
    /// The option area ended early, at an illegal length (MUST-7): the options before it count, and
    /// the segment is kept, as in Linux.
    pub options_malformed: bool,
}

/// Text to send, as the two halves of a ring buffer.
pub type Payload<'a> = (&'a [u8], &'a [u8]);

/// Which checksums a receiver accepts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ChecksumPolicy {
    /// The correct one, or exactly the uncomplemented pseudo-header sum that a kernel on this
    /// machine leaves for its network card.
    #[default]
    Partial,
    /// The correct one only.
    Strict,
    /// Any.
    Ignore,
}

/// How a received checksum was verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ChecksumKind {
    /// It covers the whole segment.
    #[default]
    Full,
    /// It is the pseudo-header sum alone: the segment never left this machine.
    Partial,
    /// It was not verified.
    Unchecked,
}

/// Why bytes are not a segment for us: they are dropped silently and counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ParseError {
    /// Shorter than its headers or its length fields.
    Truncated,
    /// Neither IPv4 nor IPv6, or a version-specific field is impossible.
    BadIpHeader,
    /// A fragment (raw sockets get whole datagrams; anything else is not reassembled here).
    Fragment,
    /// The payload of the IP packet is not TCP.
    NotTcp,
    /// Data offset below 5, or past the end.
    BadDataOffset,
    /// Checksum wrong (MUST-3).
    BadChecksum,
    /// A port is 0.
    PortZero,
    /// Source or destination is broadcast, multicast or unspecified (MUST-57, MUST-63).
    BadAddress,
    /// The buffer to write into is too short.
    BufferTooShort,
}

/// The mistakes that a writer makes on purpose. Default: none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Illegal<'a> {
    /// Data offset to claim, in 32-bit words, 0 to 15.
    pub data_offset: Option<u8>,
    /// Checksum to claim.
    pub checksum: Option<u16>,
    /// Bytes of the option area instead of [`Header::options`]; padded with zeros to a multiple of
    /// four, at most 40.
    pub options: Option<&'a [u8]>,
}

impl<'a> Segment<'a> {
    /// Reads a whole IP packet.
    ///
    /// # Errors
    /// [`ParseError`]: the first reason found, in the order of the headers.
    pub fn parse(packet: &'a [u8], checksum: ChecksumPolicy) -> Result<Segment<'a>, ParseError> {
        Segment::parse_by(checksum::portable_sum, packet, checksum)
    }

    /// [`parse`](Segment::parse) with another way to add up the checksum.
    pub(crate) fn parse_by(
        sum: Sum,
        packet: &'a [u8],
        checksum: ChecksumPolicy,
    ) -> Result<Segment<'a>, ParseError> {
        let ip = Ip::parse(packet)?;
        if ip.protocol != ip::TCP {
            return Err(ParseError::NotTcp);
        }
        let tcp = ip.payload;
        let fixed: &[u8; TCP_HEADER] = tcp.first_chunk().ok_or(ParseError::Truncated)?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        if header_len < TCP_HEADER || header_len > tcp.len() {
            return Err(ParseError::BadDataOffset);
        }
        let pseudo = ip::pseudo_header_sum(ip.source, ip.destination, ip::TCP, tcp.len());
        let kind = check(sum, tcp, pseudo, checksum).ok_or(ParseError::BadChecksum)?;
        let source_port = be16(fixed, 0);
        let destination_port = be16(fixed, 2);
        if source_port == 0 || destination_port == 0 {
            return Err(ParseError::PortZero);
        }
        //= MUST-57, MUST-63
        if !ip::is_unicast(ip.source) || !ip::is_unicast(ip.destination) {
            return Err(ParseError::BadAddress);
        }
        //= MUST-5
        let (options, options_malformed) =
            Options::parse(tcp.get(TCP_HEADER..header_len).unwrap_or_default());
        let header = Header {
            source: SocketAddr::new(ip.source, source_port),
            destination: SocketAddr::new(ip.destination, destination_port),
            seq: Seq(be32(fixed, 4)),
            ack: Seq(be32(fixed, 8)),
            flags: Flags(fixed[13]),
            window: be16(fixed, 14),
            urgent: be16(fixed, 18),
            options,
            ttl: ip.ttl,
            tos: ip.tos,
            id: ip.id,
        };
        Ok(Segment {
            header,
            payload: tcp.get(header_len..).unwrap_or_default(),
            checksum: kind,
            options_malformed,
        })
    }

    /// What [`parse`](Segment::parse) gives for the packet that most are: IPv4 without options, ACK
    /// perhaps with PSH, no options or timestamps where nearly everyone puts them. `None`: it is
    /// another, or one that is to be dropped.
    #[inline(always)]
    pub(crate) fn plain(sum: Sum, packet: &'a [u8], policy: ChecksumPolicy) -> Option<Segment<'a>> {
        let (head, _) = packet.split_first_chunk::<PLAIN_HEADERS>()?;
        let header_len = usize::from(head[32] >> 4) * 4;
        let payload = packet.get(20 + header_len..)?;
        let stamps = packet.get(PLAIN_HEADERS..PLAIN_HEADERS + 12);
        let timestamps = match (header_len, stamps) {
            (20, _) => None,
            (32, Some(&[1, 1, 8, 10, a, b, c, d, e, f, g, h])) => Some(Timestamps {
                value: u32::from_be_bytes([a, b, c, d]),
                echo: u32::from_be_bytes([e, f, g, h]),
            }),
            _ => return None,
        };
        let whole = usize::from(u16::from_be_bytes([head[2], head[3]])) == packet.len();
        let fragment = u16::from_be_bytes([head[6], head[7]]) & 0x3fff != 0;
        let flags = Flags(head[33]);
        let plain = flags == Flags::ACK || flags == Flags::ACK | Flags::PSH;
        if head[0] != 0x45 || !whole || fragment || head[9] != ip::TCP || !plain {
            return None;
        }
        let tcp = packet.get(20..)?;
        let addresses = [12, 14, 16, 18].map(|at| [head[at], head[at + 1]]);
        let addresses = addresses.map(|word| u64::from(u16::from_be_bytes(word)));
        let pseudo = addresses.iter().sum::<u64>() + u64::from(ip::TCP) + tcp.len() as u64;
        let checksum = check(sum, tcp, pseudo, policy)?;
        let source = Ipv4Addr::new(head[12], head[13], head[14], head[15]);
        let destination = Ipv4Addr::new(head[16], head[17], head[18], head[19]);
        let source_port = u16::from_be_bytes([head[20], head[21]]);
        let destination_port = u16::from_be_bytes([head[22], head[23]]);
        let unicast = ip::is_unicast(source.into()) && ip::is_unicast(destination.into());
        if source_port == 0 || destination_port == 0 || !unicast {
            return None;
        }
        Some(Segment {
            header: Header {
                source: SocketAddr::new(source.into(), source_port),
                destination: SocketAddr::new(destination.into(), destination_port),
                seq: Seq(u32::from_be_bytes([head[24], head[25], head[26], head[27]])),
                ack: Seq(u32::from_be_bytes([head[28], head[29], head[30], head[31]])),
                flags,
                window: u16::from_be_bytes([head[34], head[35]]),
                urgent: u16::from_be_bytes([head[38], head[39]]),
                options: Options {
                    timestamps,
                    ..Options::default()
                },
                ttl: head[8],
                tos: head[1],
                id: u16::from_be_bytes([head[4], head[5]]),
            },
            payload,
            checksum,
            options_malformed: false,
        })
    }

    /// SEG.LEN: bytes of sequence space, SYN and FIN included.
    pub fn len(&self) -> u32 {
        self.payload.len() as u32 + self.header.control_len()
    }

    /// Whether the segment uses no sequence space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The kind of a TCP checksum, over a pseudo-header of this sum, too, that the policy accepts;
/// `None`: it does not.
pub(in crate::wire) fn check(
    sum: Sum,
    tcp: &[u8],
    pseudo: u64,
    policy: ChecksumPolicy,
) -> Option<ChecksumKind> {
    if policy == ChecksumPolicy::Ignore {
        return Some(ChecksumKind::Unchecked);
    }
    let field = tcp
        .get(16..18)
        .map_or(0, |field| u16::from_be_bytes([field[0], field[1]]));
    if policy == ChecksumPolicy::Partial && field == checksum::fold(pseudo) {
        return Some(ChecksumKind::Partial);
    }
    //= MUST-3
    (checksum::fold(checksum::sum_by(sum, pseudo, tcp)) == 0xffff).then_some(ChecksumKind::Full)
}

impl Header {
    /// Sequence space that the control bits use: one byte for SYN and one for FIN.
    pub fn control_len(&self) -> u32 {
        u32::from(self.flags.contains(Flags::SYN)) + u32::from(self.flags.contains(Flags::FIN))
    }

    /// Writes the IP packet into `into`, its options as Linux lays them out. Returns its length in
    /// bytes.
    ///
    /// # Errors
    /// [`ParseError::BufferTooShort`]: `into` is too short, or the packet is too long for IP.
    pub fn emit(&self, payload: Payload<'_>, into: &mut [u8]) -> Result<usize, ParseError> {
        self.emit_by(checksum::portable_sum, OptionLayout::Linux, payload, into)
    }

    /// [`emit`](Header::emit) with another layout of the options, and another way to add up the
    /// checksum.
    pub(crate) fn emit_by(
        &self,
        sum: Sum,
        layout: OptionLayout,
        payload: Payload<'_>,
        into: &mut [u8],
    ) -> Result<usize, ParseError> {
        let mut area = [0; MAX_OPTIONS_LEN];
        let len = self.options.emit(layout, &mut area);
        let options = area.get(..len).unwrap_or_default();
        let illegal = Illegal {
            options: Some(options),
            ..Illegal::default()
        };
        self.write(sum, payload, &illegal, into)
    }

    /// [`emit`](Header::emit) with mistakes made on purpose.
    ///
    /// # Errors
    /// [`ParseError::BufferTooShort`]: `into` is too short, or the packet is too long for IP.
    pub fn emit_illegal(
        &self,
        payload: Payload<'_>,
        illegal: &Illegal<'_>,
        into: &mut [u8],
    ) -> Result<usize, ParseError> {
        self.write(checksum::portable_sum, payload, illegal, into)
    }

    fn write(
        &self,
        sum: Sum,
        payload: Payload<'_>,
        illegal: &Illegal<'_>,
        into: &mut [u8],
    ) -> Result<usize, ParseError> {
        //= MUST-69
        let mut area = [0; MAX_OPTIONS_LEN];
        let options_len = match illegal.options {
            Some(raw) => copy_raw(raw, &mut area),
            None => self.options.emit(OptionLayout::Linux, &mut area),
        };
        let header_len = TCP_HEADER + options_len;
        let tcp_len = header_len + payload.0.len() + payload.1.len();
        let ip_len = ip::header_len(self.source.ip(), self.destination.ip());
        let total = ip_len + tcp_len;
        if total > usize::from(u16::MAX) {
            return Err(ParseError::BufferTooShort);
        }
        let packet = into.get_mut(..total).ok_or(ParseError::BufferTooShort)?;
        let (ip_part, tcp) = packet.split_at_mut(ip_len);
        ip::emit(self, tcp_len as u16, ip_part);
        let (fixed, rest) = tcp
            .split_first_chunk_mut::<TCP_HEADER>()
            .ok_or(ParseError::BufferTooShort)?;
        let offset = illegal.data_offset.unwrap_or((header_len / 4) as u8);
        self.emit_fixed(offset, fixed);
        let (options, text) = rest.split_at_mut(options_len);
        options.copy_from_slice(area.get(..options_len).unwrap_or_default());
        let (first, second) = text.split_at_mut(payload.0.len());
        first.copy_from_slice(payload.0);
        second.copy_from_slice(payload.1);
        //= MUST-2
        let field = illegal.checksum.unwrap_or_else(|| {
            let pseudo =
                ip::pseudo_header_sum(self.source.ip(), self.destination.ip(), ip::TCP, tcp.len());
            !checksum::fold(checksum::sum_by(sum, pseudo, tcp))
        });
        if let Some(place) = tcp.get_mut(16..18) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        Ok(total)
    }

    /// The twenty bytes before the options, the checksum left at 0.
    fn emit_fixed(&self, data_offset: u8, into: &mut [u8; TCP_HEADER]) {
        into[0..2].copy_from_slice(&self.source.port().to_be_bytes());
        into[2..4].copy_from_slice(&self.destination.port().to_be_bytes());
        into[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        into[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        into[12] = data_offset << 4;
        into[13] = self.flags.0;
        //= MUST-1
        into[14..16].copy_from_slice(&self.window.to_be_bytes());
        into[16..18].copy_from_slice(&[0, 0]);
        into[18..20].copy_from_slice(&self.urgent.to_be_bytes());
    }
}

/// Raw option bytes, cut at 40 and padded with zeros to a multiple of four.
fn copy_raw(raw: &[u8], area: &mut [u8; MAX_OPTIONS_LEN]) -> usize {
    let len = raw.len().min(MAX_OPTIONS_LEN);
    area[..len].copy_from_slice(raw.get(..len).unwrap_or_default());
    len.next_multiple_of(4)
}

const fn be16(bytes: &[u8; TCP_HEADER], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

const fn be32(bytes: &[u8; TCP_HEADER], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests;
