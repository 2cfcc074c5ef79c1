//! Packets that nobody sent, made from what a file says of them.

use super::Inject;
use super::mistake::Wrong;
use super::plan::{ADDRESSES, Injection, Names};
use crate::exchange::End;
use crate::netns;
use std::net::{IpAddr, SocketAddr};
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Header, Options, Timestamps, icmp_error};

/// Whom nobody knows.
const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(netns::STRANGER), 40_000);

/// IP identifications of forged segments begin here.
const FORGED_ID: u16 = 0xf000;

pub(super) fn injections<'a>(all: impl Iterator<Item = &'a Inject>, names: &Names) -> Result<Vec<Injection>, Wrong> {
    let mut id = FORGED_ID;
    let one = |inject: &Inject| {
        let flags = Flags::from_letters(inject.flags.get_ref());
        let flags = flags.ok_or_else(|| Wrong::of(&inject.flags, "control bits are letters out of FSRPAUEW, in that order"))?;
        let to = End::from(inject.to);
        let packets = (0..inject.count).map(|nth| {
            id = id.wrapping_add(1);
            let seq = Seq(inject.seq.wrapping_add(inject.step.wrapping_mul(nth.into())));
            Forged { inject, flags, seq, id, port: if inject.step == 0 { nth } else { 0 } }.packet(to)
        });
        let packets = packets.collect::<Option<_>>().ok_or_else(|| Wrong::of(&inject.flags, "the segment is too long"))?;
        let after = inject.after.as_ref().map(|text| names.duration(text)).transpose()?.unwrap_or_default();
        Ok(Injection { to, after, on: inject.on.as_ref().map(|text| names.rung(text)).transpose()?, packets })
    };
    all.map(one).collect()
}

/// One of them.
struct Forged<'a> {
    inject: &'a Inject,
    flags: Flags,
    seq: Seq,
    id: u16,
    /// What is added to the port of whom it seems to come from.
    port: u16,
}

impl Forged<'_> {
    /// The IP packet, for the end that receives it; `None`: it is too long.
    fn packet(&self, to: End) -> Option<Vec<u8>> {
        let (receiver, peer) = (*to.of(&ADDRESSES), *to.other().of(&ADDRESSES));
        let from = if self.inject.stranger { STRANGER } else { peer };
        let Some(kind) = self.inject.icmp else {
            return self.segment(SocketAddr::new(from.ip(), from.port().wrapping_add(self.port)), receiver);
        };
        let quoted = self.segment(receiver, peer)?;
        match (from.ip(), receiver.ip()) {
            (IpAddr::V4(from), IpAddr::V4(receiver)) => Some(icmp_error(from, receiver, kind, self.inject.mtu, &quoted)),
            _ => None,
        }
    }

    fn segment(&self, source: SocketAddr, destination: SocketAddr) -> Option<Vec<u8>> {
        let inject = self.inject;
        let timestamps = inject.stamps.map(|[value, echo]| Timestamps { value, echo });
        let header = Header {
            source,
            destination,
            seq: self.seq,
            ack: Seq(inject.ack),
            flags: self.flags,
            window: inject.window,
            urgent: 0,
            options: Options { timestamps, ..Options::default() },
            ttl: 64,
            tos: 0,
            id: self.id,
        };
        let mut packet = vec![0; 1500];
        let length = header.emit((inject.text.as_bytes(), &[]), &mut packet).ok()?;
        packet.truncate(length);
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, Scale};
    use crate::exchange::End;
    use tcpx_proto::seq::Seq;
    use tcpx_proto::wire::{ChecksumPolicy, Icmp, IcmpKind, Segment};

    /// An experiment with these fields of an injection.
    fn packets(fields: &str) -> Vec<Vec<u8>> {
        let words = ["name", "title", "question", "story", "textbook", "rfc", "linux"].map(|field| format!("{field} = \"x\"\n")).concat();
        let rest = "group = \"attack\"\nprofile = \"linux\"\npatience = \"1s\"\nlimit = \"1s\"\n[kernel]\nno = \"x\"\n";
        let hosts = "[a]\nscript = \"connect\"\n[b]\nscript = \"listen\"\n[[arm]]\nname = \"x\"\nsays = \"x\"\nholds = [\"octets\"]\n";
        let source = format!("{words}{rest}{hosts}[[inject]]\n{fields}\n");
        let experiment = Experiment::parse("x", &source).unwrap_or_else(|mistake| panic!("{mistake}"));
        let mut plan = experiment.checked_plan(&experiment.arms[0], Scale::Real).unwrap();
        assert_eq!(plan.inject[0].to, End::A);
        plan.inject.remove(0).packets
    }

    #[test]
    fn segments_of_a_stranger_come_from_as_many_ports_and_in_a_row_from_one() {
        let ends = |packet: &Vec<u8>| {
            let header = Segment::parse(packet, ChecksumPolicy::Strict).unwrap().header;
            (header.source.to_string(), header.destination.to_string(), header.seq.0)
        };
        let spread: Vec<_> = packets("to = \"a\"\nflags = \"S\"\nseq = 7\ncount = 2\nstranger = true").iter().map(ends).collect();
        let to = "10.77.0.1:40000".to_owned();
        assert_eq!(spread, [("10.77.0.66:40000".into(), to.clone(), 7), ("10.77.0.66:40001".into(), to.clone(), 7)]);
        let sweep: Vec<_> = packets("to = \"a\"\nflags = \"R\"\nseq = 7\ncount = 2\nstep = 100").iter().map(ends).collect();
        assert_eq!(sweep, [("10.77.0.2:7000".into(), to.clone(), 7), ("10.77.0.2:7000".into(), to, 107)]);
    }

    #[test]
    fn icmp_error_quotes_what_its_receiver_sent_to_the_peer() {
        for (from, source) in [("stranger = true", [10, 77, 0, 66]), ("", [10, 77, 0, 2])] {
            let packets = packets(&format!("to = \"a\"\nflags = \"S\"\nseq = 7\nicmp = [3, 4]\nmtu = 600\n{from}"));
            let (local, remote) = ("10.77.0.1:40000".parse().unwrap(), "10.77.0.2:7000".parse().unwrap());
            assert_eq!(Icmp::parse(&packets[0]), Some(Icmp { kind: IcmpKind::PacketTooBig(600), local, remote, seq: Seq(7) }));
            assert_eq!(packets[0][12..20], [&source[..], &[10, 77, 0, 1]].concat());
        }
    }
}
