//! ICMP errors that quote one of our segments (RFC 792, RFC 4443; RFC 9293 section 3.9.2.2).

use crate::seq::Seq;
use core::net::SocketAddr;

/// An ICMP error about a TCP segment that we sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Icmp {
    /// What it says.
    pub kind: IcmpKind,
    /// Source of the quoted segment: our end.
    pub local: SocketAddr,
    /// Destination of the quoted segment: the peer.
    pub remote: SocketAddr,
    /// Sequence number of the quoted segment (RFC 5927 section 4.1 asks that it be in flight).
    pub seq: Seq,
}

/// The errors that TCP tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IcmpKind {
    /// Destination unreachable with this code, other than fragmentation needed. Codes as in ICMPv4.
    Unreachable(u8),
    /// Fragmentation needed, or packet too big: the next hop's MTU in octets (0 from routers before RFC 1191).
    PacketTooBig(u32),
    /// Time exceeded with this code.
    TimeExceeded(u8),
    /// Parameter problem.
    ParameterProblem,
    /// Source quench, which is always ignored (MUST-55).
    SourceQuench,
}

impl Icmp {
    /// Reads an IP packet that holds an ICMP error with a quoted TCP segment; `None` for anything else.
    pub fn parse(_packet: &[u8]) -> Option<Icmp> {
        todo!()
    }
}
