//! ICMP errors that quote one of our segments (RFC 792, RFC 4443; RFC 9293 section 3.9.2.2).

use super::ip::{self, Ip};
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
    pub fn parse(packet: &[u8]) -> Option<Icmp> {
        let ip = Ip::parse(packet).ok()?;
        let (head, quoted) = ip.payload.split_first_chunk::<8>()?;
        let kind = match ip.protocol {
            ICMP_V4 => kind_v4(head)?,
            ICMP_V6 => kind_v6(head)?,
            _ => return None,
        };
        let quoted = Ip::parse_quoted(quoted).filter(|quoted| quoted.protocol == ip::TCP)?;
        let tcp: &[u8; 8] = quoted.payload.first_chunk()?;
        let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        Some(Icmp {
            kind,
            local: SocketAddr::new(quoted.source, port(0)),
            remote: SocketAddr::new(quoted.destination, port(2)),
            seq: Seq(u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]])),
        })
    }
}

const ICMP_V4: u8 = 1;
const ICMP_V6: u8 = 58;

/// RFC 792, and RFC 1191 for the MTU.
fn kind_v4(head: &[u8; 8]) -> Option<IcmpKind> {
    match (head[0], head[1]) {
        (3, 4) => Some(IcmpKind::PacketTooBig(u32::from(u16::from_be_bytes([head[6], head[7]])))),
        (3, code) => Some(IcmpKind::Unreachable(code)),
        (4, _) => Some(IcmpKind::SourceQuench),
        (11, code) => Some(IcmpKind::TimeExceeded(code)),
        (12, _) => Some(IcmpKind::ParameterProblem),
        _ => None,
    }
}

/// RFC 4443, its unreachable codes as the ICMPv4 ones that mean the same: no route, prohibited, address, port.
fn kind_v6(head: &[u8; 8]) -> Option<IcmpKind> {
    match (head[0], head[1]) {
        (1, 1) => Some(IcmpKind::Unreachable(13)),
        (1, 3) => Some(IcmpKind::Unreachable(1)),
        (1, 4) => Some(IcmpKind::Unreachable(3)),
        (1, _) => Some(IcmpKind::Unreachable(0)),
        (2, _) => Some(IcmpKind::PacketTooBig(u32::from_be_bytes([head[4], head[5], head[6], head[7]]))),
        (3, code) => Some(IcmpKind::TimeExceeded(code)),
        (4, _) => Some(IcmpKind::ParameterProblem),
        _ => None,
    }
}
