//! One segment with the IP header below it.

use super::{Flags, Options};
use crate::seq::Seq;
use core::net::SocketAddr;

/// What the IP and TCP headers of one segment say.
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
    /// The octet that holds DSCP and ECN.
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
    /// How its checksum was found right.
    pub checksum: ChecksumKind,
    /// The option area was cut short at an illegal length (MUST-7): the options before it count, the segment is kept, as Linux does.
    pub options_malformed: bool,
}

/// Text to send, as the two halves of a ring buffer.
pub type Payload<'a> = (&'a [u8], &'a [u8]);

/// Which checksums a receiver takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ChecksumPolicy {
    /// The correct one, or exactly the uncomplemented pseudo-header sum that a kernel on this machine leaves for its network card.
    #[default]
    Partial,
    /// The correct one only.
    Strict,
    /// Any.
    Ignore,
}

/// How a received checksum was found right.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ChecksumKind {
    /// It covers the whole segment.
    #[default]
    Full,
    /// It is the pseudo-header sum alone: the segment never left this machine.
    Partial,
    /// Nobody looked.
    Unchecked,
}

/// Why bytes are not a segment for us. Each is a silent drop that is counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ParseError {
    /// Shorter than its headers, or than its length fields say.
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
    /// The buffer given to write into is too short.
    BufferTooShort,
}

/// What a writer may get wrong on purpose. Default: nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Illegal<'a> {
    /// Data offset to claim, in 32-bit words.
    pub data_offset: Option<u8>,
    /// Checksum to claim.
    pub checksum: Option<u16>,
    /// Bytes of the option area instead of [`Header::options`]; padded with zeros to a multiple of four, at most 40.
    pub options: Option<&'a [u8]>,
}

impl<'a> Segment<'a> {
    /// Reads a whole IP packet.
    ///
    /// # Errors
    /// [`ParseError`]: the first reason found, in the order of the headers.
    pub fn parse(_packet: &'a [u8], _checksum: ChecksumPolicy) -> Result<Segment<'a>, ParseError> {
        todo!()
    }

    /// SEG.LEN: octets of sequence space, SYN and FIN included.
    pub fn len(&self) -> u32 {
        self.payload.len() as u32 + self.header.control_len()
    }

    /// Whether the segment uses no sequence space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Header {
    /// Sequence space that the control bits use: one octet for SYN and one for FIN.
    pub fn control_len(&self) -> u32 {
        u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN))
    }

    /// Writes the IP packet into `into` and returns its length in octets.
    ///
    /// # Errors
    /// [`ParseError::BufferTooShort`] when `into` is too short.
    pub fn emit(&self, _payload: Payload<'_>, _into: &mut [u8]) -> Result<usize, ParseError> {
        todo!()
    }

    /// [`emit`](Header::emit) with mistakes made on purpose.
    ///
    /// # Errors
    /// [`ParseError::BufferTooShort`] when `into` is too short.
    pub fn emit_illegal(&self, _payload: Payload<'_>, _illegal: &Illegal<'_>, _into: &mut [u8]) -> Result<usize, ParseError> {
        todo!()
    }
}
