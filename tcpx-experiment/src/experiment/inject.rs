//! Injected packets, made as an experiment's file describes them.

use super::mistake::Wrong;
use super::plan::{Injection, Names};
use super::{Inject, Text};
use crate::end::{self, ADDRESSES, End};
use std::net::{IpAddr, SocketAddr};
use tcpx_proto::lexer::did_you_mean;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Header, Options, Timestamps, icmp_error};

/// A third host, unknown to both ends.
const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(end::STRANGER), 40_000);

/// IP identifications of forged segments begin here.
const FORGED_ID: u16 = 0xf000;

/// The most segments that one run has forged.
const MOST: usize = 65_535;

pub(super) fn injections<'a>(
    all: impl Iterator<Item = &'a Inject>,
    names: &Names,
) -> Result<Vec<Injection>, Wrong> {
    let mut id = FORGED_ID;
    let mut count = 0;
    let one = |inject: &Inject| {
        count += usize::from(*inject.count.get_ref());
        if count > MOST {
            return Err(Wrong::of(
                &inject.count,
                format!("{MOST} forged segments are the most in one run"),
            ));
        }
        let flags = Flags::from_letters(inject.flags.get_ref());
        let flags = flags.ok_or_else(|| unknown_flags(&inject.flags))?;
        let to = End::from(inject.to);
        let forged: Vec<Forged> = (0..*inject.count.get_ref())
            .map(|nth| {
                id = id.wrapping_add(1);
                Forged::new(inject, flags, nth, id)
            })
            .collect();
        let packets = forged.iter().map(Forged::packet).collect::<Option<_>>();
        let packets = packets.ok_or_else(|| Wrong::of(&inject.flags, "the segment is too long"))?;
        let after = inject
            .after
            .as_ref()
            .map(|text| names.duration(text))
            .transpose()?
            .unwrap_or_default();
        Ok(Injection {
            to,
            after,
            on: inject
                .on
                .as_ref()
                .map(|text| names.expectation(text))
                .transpose()?,
            forged,
            packets,
        })
    };
    all.map(one).collect()
}

/// The flags are unknown; where they are names, the help gives their letters.
fn unknown_flags(flags: &Text) -> Wrong {
    let names = flags.get_ref().split(|c: char| !c.is_ascii_alphabetic());
    let bit = |name: &str| Flags::from_name(&name.to_ascii_uppercase());
    let mut found = Some(Flags::empty());
    for name in names.filter(|name| !name.is_empty()) {
        found = found.zip(bit(name)).map(|(flags, bit)| flags | bit);
    }
    let found = found.map(|flags| did_you_mean(&flags.to_string()));
    let help = found.unwrap_or_else(|| "such as: FA for FIN,ACK".to_owned());
    Wrong::of(
        flags,
        format!("invalid control bits '{flags}': write letters of FSRPAUEW"),
    )
    .help(help)
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Forged {
    /// The segment, or the one that is quoted.
    header: Header,
    text: String,
    /// Who seems to have sent it.
    author: Option<End>,
    icmp: Option<Error>,
}

/// An ICMP error.
#[derive(Clone, Debug)]
struct Error {
    source: IpAddr,
    kind: [u8; 2],
    mtu: u16,
}

impl Forged {
    /// The `nth` of an injection.
    fn new(inject: &Inject, flags: Flags, nth: u16, id: u16) -> Forged {
        let to = End::from(inject.to);
        let receiver = *to.of(&ADDRESSES);
        let peer = *to.other().of(&ADDRESSES);
        let from = if inject.stranger { STRANGER } else { peer };
        let port = from
            .port()
            .wrapping_add(if inject.step == 0 { nth } else { 0 });
        let icmp = inject.icmp.map(|kind| Error {
            source: from.ip(),
            kind,
            mtu: inject.mtu.as_ref().map_or(0, |mtu| *mtu.get_ref()),
        });
        let (source, destination, author) = match (&icmp, inject.stranger) {
            (Some(_), _) => (receiver, peer, Some(to)),
            (None, true) => (SocketAddr::new(from.ip(), port), receiver, None),
            (None, false) => (SocketAddr::new(from.ip(), port), receiver, Some(to.other())),
        };
        let timestamps = inject
            .stamps
            .map(|[value, echo]| Timestamps { value, echo });
        let header = Header {
            source,
            destination,
            seq: Seq(inject
                .seq
                .wrapping_add(inject.step.wrapping_mul(nth.into()))),
            ack: Seq(inject.ack),
            flags,
            window: inject.window,
            urgent: 0,
            options: Options {
                timestamps,
                ..Options::default()
            },
            ttl: 64,
            tos: 0,
            id,
        };
        Forged {
            header,
            text: inject.text.clone(),
            author,
            icmp,
        }
    }

    /// The IP packet; `None`: it is too long.
    fn packet(&self) -> Option<Vec<u8>> {
        let mut packet = vec![0; 1500];
        let length = self
            .header
            .emit((self.text.as_bytes(), &[]), &mut packet)
            .ok()?;
        packet.truncate(length);
        match (&self.icmp, self.header.source.ip()) {
            (None, _) => Some(packet),
            (
                Some(Error {
                    source: IpAddr::V4(source),
                    kind,
                    mtu,
                }),
                IpAddr::V4(receiver),
            ) => Some(icmp_error(*source, receiver, *kind, *mtu, &packet)),
            _ => None,
        }
    }
}

impl Injection {
    /// Rebuilds its packets for an ISN of this end that is larger by `by` than its file has it: Linux
    /// chooses its own.
    pub fn rebase(&mut self, end: End, by: u32) {
        for forged in &mut self.forged {
            match forged.author {
                Some(author) if author == end => forged.header.seq += by,
                Some(_) if forged.header.flags.contains(Flags::ACK) => forged.header.ack += by,
                _ => {}
            }
        }
        self.packets = self.forged.iter().filter_map(Forged::packet).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, Injection, Scale};
    use crate::end::End;
    use tcpx_proto::seq::Seq;
    use tcpx_proto::wire::{ChecksumPolicy, Icmp, IcmpKind, Segment};

    /// An experiment with these fields of an injection.
    fn packets(fields: &str) -> Vec<Vec<u8>> {
        injection(fields).packets
    }

    fn injection(fields: &str) -> Injection {
        let words = [
            "name", "title", "question", "story", "textbook", "rfc", "linux",
        ]
        .map(|field| format!("{field} = \"x\"\n"))
        .concat();
        let rest = "group = \"attack\"\nprofile = \"linux\"\npatience = \"1s\"\nlimit = \"1s\"\n[kernel]\nno = \"x\"\n";
        let hosts = "[a]\nscript = \"connect\"\n[b]\nscript = \"listen\"\n";
        let arm = |name: &str, more: &str| {
            format!("[[arm]]\nname = \"{name}\"\nsays = \"x\"\nholds = [\"octets\"]\n{more}\n")
        };
        let hosts = format!(
            "{hosts}{}{}",
            arm("without", "treatment = true"),
            arm("with", "")
        );
        let source = format!("{words}{rest}{hosts}[[inject]]\n{fields}\n");
        let experiment =
            Experiment::parse("x", &source).unwrap_or_else(|mistake| panic!("{mistake}"));
        let mut plan = experiment
            .checked_plan(&experiment.arms[0], Scale::Real)
            .unwrap();
        assert_eq!(plan.inject[0].to, End::A);
        plan.inject.remove(0)
    }

    #[test]
    fn segments_of_a_stranger_come_from_as_many_ports_and_in_a_row_from_one() {
        let ends = |packet: &Vec<u8>| {
            let header = Segment::parse(packet, ChecksumPolicy::Strict)
                .unwrap()
                .header;
            (
                header.source.to_string(),
                header.destination.to_string(),
                header.seq.0,
            )
        };
        let spread: Vec<_> =
            packets("to = \"a\"\nflags = \"S\"\nseq = 7\ncount = 2\nstranger = true")
                .iter()
                .map(ends)
                .collect();
        let to = "10.77.0.1:40000".to_owned();
        assert_eq!(
            spread,
            [
                ("10.77.0.66:40000".into(), to.clone(), 7),
                ("10.77.0.66:40001".into(), to.clone(), 7)
            ]
        );
        let sweep: Vec<_> = packets("to = \"a\"\nflags = \"R\"\nseq = 7\ncount = 2\nstep = 100")
            .iter()
            .map(ends)
            .collect();
        assert_eq!(
            sweep,
            [
                ("10.77.0.2:7000".into(), to.clone(), 7),
                ("10.77.0.2:7000".into(), to, 107)
            ]
        );
    }

    #[test]
    fn icmp_error_quotes_what_its_receiver_sent_to_the_peer() {
        for (from, source) in [("stranger = true", [10, 77, 0, 66]), ("", [10, 77, 0, 2])] {
            let packets = packets(&format!(
                "to = \"a\"\nflags = \"S\"\nseq = 7\nicmp = [3, 4]\nmtu = 600\n{from}"
            ));
            let local = "10.77.0.1:40000".parse().unwrap();
            let remote = "10.77.0.2:7000".parse().unwrap();
            let expected = Icmp {
                kind: IcmpKind::PacketTooBig(600),
                local,
                remote,
                seq: Seq(7),
                len: 40,
            };
            assert_eq!(Icmp::parse(&packets[0]), Some(expected));
            assert_eq!(packets[0][12..20], [&source[..], &[10, 77, 0, 1]].concat());
        }
    }

    #[test]
    fn numbers_that_count_from_an_isn_move_with_it() {
        let numbers = |injection: &Injection| {
            let header = Segment::parse(&injection.packets[0], ChecksumPolicy::Strict)
                .unwrap()
                .header;
            (header.seq.0, header.ack.0)
        };
        let mut segment = injection("to = \"a\"\nflags = \"A\"\nseq = 300\nack = 100");
        segment.rebase(End::A, 7);
        assert_eq!(numbers(&segment), (300, 107));
        segment.rebase(End::B, 20);
        assert_eq!(numbers(&segment), (320, 107));
        let mut strangers =
            injection("to = \"a\"\nflags = \"A\"\nseq = 300\nack = 100\nstranger = true");
        strangers.rebase(End::B, 20);
        assert_eq!(numbers(&strangers), (300, 100));
        let mut quoted = injection("to = \"a\"\nflags = \"S\"\nseq = 100\nicmp = [3, 1]");
        quoted.rebase(End::A, 7);
        quoted.rebase(End::B, 20);
        assert_eq!(Icmp::parse(&quoted.packets[0]).unwrap().seq, Seq(107));
    }
}
