//! ICMP errors that quote one of our segments (RFC 792, RFC 4443; RFC 9293 section 3.9.2.2).

use super::checksum;
use super::ip::{self, Ip};
use crate::name::names;
use crate::seq::Seq;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An ICMP error about a TCP segment that we sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Icmp {
    /// Which error.
    pub kind: IcmpKind,
    /// Source of the quoted segment: our end.
    pub local: SocketAddr,
    /// Destination of the quoted segment: the peer.
    pub remote: SocketAddr,
    /// Sequence number of the quoted segment (RFC 5927 section 4.1 asks that it be in flight).
    pub seq: Seq,
    /// The length of the quoted packet, from its IP header.
    pub len: u16,
}

/// The errors that TCP distinguishes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IcmpKind {
    /// Destination unreachable with this code, other than fragmentation needed. Codes as in ICMPv4.
    Unreachable(u8),
    /// Fragmentation needed, or packet too big: the next hop's MTU in bytes (0 from routers before
    /// RFC 1191).
    PacketTooBig(u32),
    /// Time exceeded with this code.
    TimeExceeded(u8),
    /// Parameter problem.
    ParameterProblem,
    /// Source quench, which is always ignored (MUST-55).
    SourceQuench,
}

/// The name of an ICMP error: an [`IcmpKind`] without its code or MTU.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IcmpName {
    /// [`IcmpKind::Unreachable`]
    Unreachable,
    /// [`IcmpKind::PacketTooBig`]
    PacketTooBig,
    /// [`IcmpKind::TimeExceeded`]
    TimeExceeded,
    /// [`IcmpKind::ParameterProblem`]
    ParameterProblem,
    /// [`IcmpKind::SourceQuench`]
    SourceQuench,
}

names!(IcmpName, "ICMP error", {
    IcmpName::Unreachable => "unreachable",
    IcmpName::PacketTooBig => "packet-too-big",
    IcmpName::TimeExceeded => "time-exceeded",
    IcmpName::ParameterProblem => "parameter-problem",
    IcmpName::SourceQuench => "source-quench",
});

impl IcmpKind {
    /// Its name, and its code or MTU.
    pub fn parts(self) -> (IcmpName, Option<u32>) {
        match self {
            IcmpKind::Unreachable(code) => (IcmpName::Unreachable, Some(code.into())),
            IcmpKind::PacketTooBig(mtu) => (IcmpName::PacketTooBig, Some(mtu)),
            IcmpKind::TimeExceeded(code) => (IcmpName::TimeExceeded, Some(code.into())),
            IcmpKind::ParameterProblem => (IcmpName::ParameterProblem, None),
            IcmpKind::SourceQuench => (IcmpName::SourceQuench, None),
        }
    }

    /// The error of this name, and this code or MTU; `None`: it has no such value.
    pub fn from_parts(name: IcmpName, value: Option<u32>) -> Option<IcmpKind> {
        let code = || u8::try_from(value?).ok();
        match name {
            IcmpName::Unreachable => code().map(IcmpKind::Unreachable),
            IcmpName::PacketTooBig => value.map(IcmpKind::PacketTooBig),
            IcmpName::TimeExceeded => code().map(IcmpKind::TimeExceeded),
            IcmpName::ParameterProblem => Some(IcmpKind::ParameterProblem),
            IcmpName::SourceQuench => Some(IcmpKind::SourceQuench),
        }
    }
}

impl Icmp {
    /// Reads an IP packet with an ICMP error that quotes a TCP segment; `None` for anything else,
    /// and for a wrong checksum: Linux gives an ICMPv4 message to raw sockets before it verifies
    /// that. The quoted checksum may be partial and is not verified.
    pub fn parse(packet: &[u8]) -> Option<Icmp> {
        let ip = Ip::parse(packet).ok()?;
        let (head, quoted) = ip.payload.split_first_chunk::<8>()?;
        let (kind, pseudo) = match (ip.protocol, ip.source) {
            (ICMP_V4, IpAddr::V4(_)) => (kind_v4(head)?, 0),
            (ICMP_V6, IpAddr::V6(_)) => (
                kind_v6(head)?,
                ip::pseudo_header_sum(ip.source, ip.destination, ICMP_V6, ip.payload.len()),
            ),
            _ => return None,
        };
        if checksum::fold(checksum::sum(pseudo, ip.payload)) != 0xffff {
            return None;
        }
        let quoted = Ip::parse_quoted(quoted).filter(|quoted| quoted.protocol == ip::TCP)?;
        let tcp: &[u8; 8] = quoted.payload.first_chunk()?;
        let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        Some(Icmp {
            kind,
            local: SocketAddr::new(quoted.source, port(0)),
            remote: SocketAddr::new(quoted.destination, port(2)),
            seq: Seq(u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]])),
            len: quoted.total,
        })
    }
}

/// An ICMPv4 error of this type and code (RFC 792) that quotes `quoted`, a whole IPv4 packet, as a
/// packet from `source` to `destination`. The MTU of the next hop (RFC 1191) is always written. The
/// IP header has no checksum: a raw socket's kernel writes it.
pub fn icmp_error(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    [kind, code]: [u8; 2],
    mtu: u16,
    quoted: &[u8],
) -> Vec<u8> {
    let quoted = quoted.get(..MAX_QUOTE).unwrap_or(quoted);
    let [high, low] = mtu.to_be_bytes();
    let mut message = [&[kind, code, 0, 0, 0, 0, high, low], quoted].concat();
    let field = !checksum::fold(checksum::sum(0, &message));
    message[2..4].copy_from_slice(&field.to_be_bytes());
    let [len_high, len_low] = (20 + message.len() as u16).to_be_bytes();
    let head = [0x45, 0, len_high, len_low, 0, 0, 0, 0, 64, ICMP_V4, 0, 0];
    [&head, &source.octets()[..], &destination.octets(), &message].concat()
}

/// The most that is quoted, so that the error fits into 576 bytes (RFC 1812 section 4.3.2.3).
const MAX_QUOTE: usize = 548;
const ICMP_V4: u8 = 1;
const ICMP_V6: u8 = 58;

/// RFC 792, and RFC 1191 for the MTU.
fn kind_v4(head: &[u8; 8]) -> Option<IcmpKind> {
    match (head[0], head[1]) {
        (3, 4) => Some(IcmpKind::PacketTooBig(u32::from(u16::from_be_bytes([
            head[6], head[7],
        ])))),
        (3, code) => Some(IcmpKind::Unreachable(code)),
        (4, _) => Some(IcmpKind::SourceQuench),
        (11, code) => Some(IcmpKind::TimeExceeded(code)),
        (12, _) => Some(IcmpKind::ParameterProblem),
        _ => None,
    }
}

/// RFC 4443. Unreachable codes become the ICMPv4 codes of the same meaning: no route, address,
/// port; prohibited, of which 5 (policy) and 6 (reject route) are special cases.
fn kind_v6(head: &[u8; 8]) -> Option<IcmpKind> {
    match (head[0], head[1]) {
        (1, 1 | 5 | 6) => Some(IcmpKind::Unreachable(13)),
        (1, 3) => Some(IcmpKind::Unreachable(1)),
        (1, 4) => Some(IcmpKind::Unreachable(3)),
        (1, _) => Some(IcmpKind::Unreachable(0)),
        (2, _) => Some(IcmpKind::PacketTooBig(u32::from_be_bytes([
            head[4], head[5], head[6], head[7],
        ]))),
        (3, code) => Some(IcmpKind::TimeExceeded(code)),
        (4, _) => Some(IcmpKind::ParameterProblem),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Flags, Header, Options};
    use proptest::prelude::*;

    const V4: [&str; 2] = ["10.0.0.1:40000", "10.0.0.2:7000"];
    const V6: [&str; 2] = ["[fd00::1]:40000", "[fd00::2]:7000"];

    /// A SYN of ours to the peer.
    fn syn(ends: [&str; 2]) -> Vec<u8> {
        let [source, destination] = ends.map(|end| end.parse().unwrap());
        let seq = Seq(77);
        let flags = Flags::SYN;
        let options = Options::default();
        let header = Header {
            source,
            destination,
            seq,
            ack: Seq(0),
            flags,
            window: 1,
            urgent: 0,
            options,
            ttl: 64,
            tos: 0,
            id: 7,
        };
        let mut packet = alloc::vec![0; 100];
        let len = header.emit((&[], &[]), &mut packet).unwrap();
        packet.truncate(len);
        packet
    }

    /// An ICMP error from the peer's address that quotes `quoted`, its checksum right.
    fn error(ends: [&str; 2], kind: u8, code: u8, rest: u32, quoted: &[u8]) -> Vec<u8> {
        let mut message = alloc::vec![kind, code, 0, 0];
        message.extend(rest.to_be_bytes());
        message.extend(quoted);
        let mut packet = syn([ends[1], ends[0]]);
        let v6 = packet[0] >> 4 == 6;
        packet.truncate(if v6 { 40 } else { 20 });
        let [source, destination] =
            [ends[1], ends[0]].map(|end| end.parse::<SocketAddr>().unwrap().ip());
        let pseudo = if v6 {
            ip::pseudo_header_sum(source, destination, ICMP_V6, message.len())
        } else {
            0
        };
        let field = !checksum::fold(checksum::sum(pseudo, &message));
        message[2..4].copy_from_slice(&field.to_be_bytes());
        let (at, len) = if v6 {
            (4, message.len())
        } else {
            (2, 20 + message.len())
        };
        packet[at..at + 2].copy_from_slice(&(len as u16).to_be_bytes());
        packet[if v6 { 6 } else { 9 }] = if v6 { ICMP_V6 } else { ICMP_V4 };
        packet.extend(message);
        packet
    }

    #[test]
    fn icmp_parse_each_error_is_told_apart() {
        use IcmpKind::{PacketTooBig, ParameterProblem, SourceQuench, TimeExceeded, Unreachable};
        let cases = [
            (V4, 3, 0, 0, Some(Unreachable(0))),
            (V4, 3, 3, 0, Some(Unreachable(3))),
            (V4, 3, 13, 0, Some(Unreachable(13))),
            (V4, 3, 4, 1400, Some(PacketTooBig(1400))),
            (V4, 3, 4, 0, Some(PacketTooBig(0))),
            (V4, 4, 0, 0, Some(SourceQuench)),
            (V4, 11, 1, 0, Some(TimeExceeded(1))),
            (V4, 12, 0, 0, Some(ParameterProblem)),
            (V4, 0, 0, 0, None),
            (V4, 5, 1, 0, None),
            (V4, 8, 0, 0, None),
            (V6, 1, 0, 0, Some(Unreachable(0))),
            (V6, 1, 1, 0, Some(Unreachable(13))),
            (V6, 1, 3, 0, Some(Unreachable(1))),
            (V6, 1, 4, 0, Some(Unreachable(3))),
            (V6, 1, 5, 0, Some(Unreachable(13))),
            (V6, 1, 6, 0, Some(Unreachable(13))),
            (V6, 2, 0, 70_000, Some(PacketTooBig(70_000))),
            (V6, 3, 0, 0, Some(TimeExceeded(0))),
            (V6, 4, 0, 0, Some(ParameterProblem)),
            (V6, 128, 0, 0, None),
        ];
        for (ends, kind, code, rest, expected) in cases {
            let [local, remote] = ends.map(|end| end.parse().unwrap());
            let icmp = Icmp::parse(&error(ends, kind, code, rest, &syn(ends)));
            assert_eq!(
                icmp,
                expected.map(|kind| Icmp {
                    kind,
                    local,
                    remote,
                    seq: Seq(77),
                    len: syn(ends).len() as u16
                }),
                "{ends:?} type {kind} code {code}"
            );
        }
    }

    #[test]
    fn icmp_error_written_is_read_back() {
        let router = Ipv4Addr::new(10, 0, 0, 66);
        let local = Ipv4Addr::new(10, 0, 0, 1);
        let [ours, remote] = V4.map(|end| end.parse().unwrap());
        for (kind, mtu, expected) in [
            ([3, 1], 0, IcmpKind::Unreachable(1)),
            ([3, 4], 1400, IcmpKind::PacketTooBig(1400)),
        ] {
            let packet = icmp_error(router, local, kind, mtu, &syn(V4));
            assert_eq!(
                Icmp::parse(&packet),
                Some(Icmp {
                    kind: expected,
                    local: ours,
                    remote,
                    seq: Seq(77),
                    len: syn(V4).len() as u16
                })
            );
            assert_eq!(Ip::parse(&packet).unwrap().source, IpAddr::V4(router));
        }
        assert_eq!(
            icmp_error(router, local, [3, 1], 0, &[0x45; 1500]).len(),
            576
        );
    }

    #[test]
    fn icmp_parse_quotes_eight_octets_of_tcp_at_least() {
        for (ends, header) in [(V4, 20), (V6, 40)] {
            for cut in 0..header + 20 {
                let icmp = Icmp::parse(&error(ends, 3, 0, 0, &syn(ends)[..cut]));
                assert_eq!(
                    icmp.is_some(),
                    cut >= header + 8,
                    "{ends:?} {cut} bytes quoted"
                );
            }
        }
    }

    #[test]
    fn icmp_parse_ipv4_options_in_the_quote_are_skipped() {
        let mut quoted = syn(V4);
        quoted.splice(20..20, [1, 1, 1, 0]);
        quoted[0] = 0x46;
        quoted[3] += 4;
        assert_eq!(
            Icmp::parse(&error(V4, 3, 3, 0, &quoted)).unwrap().seq,
            Seq(77)
        );
    }

    #[test]
    fn icmp_parse_what_quotes_no_tcp_of_this_family_is_nothing() {
        let mut udp = syn(V4);
        udp[9] = 17;
        assert_eq!(Icmp::parse(&error(V4, 3, 3, 0, &udp)), None);
        let mut fragment = syn(V4);
        fragment[7] = 1;
        assert_eq!(Icmp::parse(&error(V4, 3, 3, 0, &fragment)), None);
        let mut v6_in_v4 = error(V4, 3, 3, 0, &syn(V4));
        v6_in_v4[9] = ICMP_V6;
        // Its checksum is the one that an ICMPv6 message would have here: only the family is wrong.
        v6_in_v4[22..24].fill(0);
        let [source, destination] =
            [V4[1], V4[0]].map(|end| end.parse::<SocketAddr>().unwrap().ip());
        let pseudo = ip::pseudo_header_sum(source, destination, ICMP_V6, v6_in_v4.len() - 20);
        let field = !checksum::fold(checksum::sum(pseudo, &v6_in_v4[20..]));
        v6_in_v4[22..24].copy_from_slice(&field.to_be_bytes());
        assert_eq!(Icmp::parse(&v6_in_v4), None);
    }

    #[test]
    fn icmp_parse_the_wrong_checksum_is_nothing() {
        for ends in [V4, V6] {
            let whole = error(ends, 3, 0, 0, &syn(ends));
            for at in whole.len() - 48..whole.len() {
                let mut wrong = whole.clone();
                wrong[at] ^= 4;
                assert_eq!(Icmp::parse(&wrong), None, "{ends:?} byte {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn icmp_parse_changed_octets_never_panic(
            v6: bool,
            kind: u8,
            code: u8,
            rest: u32,
            cut in 0usize..128,
            changes: Vec<(prop::sample::Index, u8)>,
        ) {
            let ends = if v6 { V6 } else { V4 };
            let mut quoted = syn(ends);
            quoted.truncate(cut);
            let most = if quoted.is_empty() { 0 } else { 4 };
            for (at, value) in changes.iter().take(most) {
                let at = at.index(quoted.len());
                quoted[at] = *value;
            }
            // The checksum is right, so that the quote is reached.
            Icmp::parse(&error(ends, kind, code, rest, &quoted));
        }
    }
}
