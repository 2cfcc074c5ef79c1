//! Captured packets as the entries of an events file, as if the captured end had written one.

use super::capture::Packet;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tcpx_experiment::trace::{Body, Direction, Entry, Segment};
use tcpx_proto::fault::VerdictKind;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{self, ChecksumPolicy, Flags, Header};

/// A captured segment of one end.
#[derive(Clone, Debug)]
pub struct Captured {
    /// When it passed: seconds on the clock of [`now`](super::now).
    pub at: f64,
    /// The captured end.
    pub own: SocketAddr,
    /// The other one.
    pub peer: SocketAddr,
    /// Which incarnation of the four-tuple it belongs to, counted from 0: a SYN with another ISN
    /// begins the next, and so does any SYN after both FINs or a RST.
    pub incarnation: u32,
    /// Its header, as an events file has it.
    pub segment: Segment,
}

impl Captured {
    /// It came in, acknowledges something, and opens nothing by itself.
    pub(super) fn is_ack_arriving(&self) -> bool {
        let has = |flag| self.segment.flags.contains(flag);
        self.segment.dir == Direction::In && has(Flags::ACK) && !has(Flags::SYN) && !has(Flags::RST)
    }
}

/// Every TCP segment from and to `own`, in order. What another host's address was forged into is
/// not there, nor is what cannot be read.
pub fn captured(packets: &[Packet], own: Ipv4Addr) -> Vec<Captured> {
    let mut flows: HashMap<(SocketAddr, SocketAddr), Flow> = HashMap::new();
    let mut seen = Vec::new();
    for packet in packets {
        let Ok(read) = wire::Segment::parse(&packet.bytes, ChecksumPolicy::Ignore) else {
            continue;
        };
        let header = read.header;
        let (dir, own_end, peer) = match packet.outgoing {
            true => (Direction::Out, header.source, header.destination),
            false => (Direction::In, header.destination, header.source),
        };
        if own_end.ip() != IpAddr::V4(own) {
            continue;
        }
        let flow = flows.entry((own_end, peer)).or_default();
        let retransmission = flow.see(dir, &header, read.len());
        let segment = Segment {
            dir,
            cause: None,
            carries: None,
            flags: header.flags,
            seq: header.seq,
            ack: header.ack,
            len: u32::try_from(read.payload.len()).unwrap_or(u32::MAX),
            win: u32::from(header.window) << flow.shift(dir, header.flags),
            id: header.id,
            options: header.options,
            retransmission,
            verdict: VerdictKind::Pass,
            rule: None,
            forged: false,
        };
        seen.push(Captured {
            at: packet.at,
            own: own_end,
            peer,
            incarnation: flow.incarnation,
            segment,
        });
    }
    seen
}

/// The same as entries: `t` is the time of [`Packet::at`], and each incarnation of a four-tuple is
/// a connection, numbered from 1 in the order of appearance.
pub fn segments(packets: &[Packet], own: Ipv4Addr) -> Vec<Entry> {
    let mut numbers = HashMap::new();
    let entry = |seen: Captured| {
        let next = numbers.len() as u64 + 1;
        let conn = *numbers
            .entry((seen.own, seen.peer, seen.incarnation))
            .or_insert(next);
        Entry {
            t: seen.at,
            conn: Some(conn),
            body: Body::Segment(seen.segment),
        }
    };
    captured(packets, own).into_iter().map(entry).collect()
}

/// What is remembered of a four-tuple. It tells incarnations apart as tcpx's own gate does
/// (tcpx-proto/src/fault/flow.rs).
#[derive(Default)]
struct Flow {
    incarnation: u32,
    reset: bool,
    out: Lane,
    into: Lane,
}

/// One direction of one incarnation.
#[derive(Default)]
struct Lane {
    isn: Option<Seq>,
    /// Window scale (RFC 7323) of its SYN.
    scale: Option<u8>,
    /// The end of the sequence space that was sent.
    end: Option<Seq>,
    fin: bool,
    /// How often the segment that begins here was sent again.
    repeats: HashMap<u32, u32>,
}

impl Flow {
    /// Takes note of a segment of `len` bytes of sequence space; 0, or how often these bytes were
    /// sent before.
    fn see(&mut self, dir: Direction, header: &Header, len: u32) -> u32 {
        let flags = header.flags;
        let known = self.lane(dir).isn;
        if flags.contains(Flags::SYN) && (known != Some(header.seq) || self.ended()) {
            // A SYN that crosses the peer's first one belongs to the same incarnation (simultaneous
            // open).
            if !flags.contains(Flags::ACK) && (known.is_some() || self.ended()) {
                *self = Flow {
                    incarnation: self.incarnation + 1,
                    ..Flow::default()
                };
            }
            *self.lane(dir) = Lane {
                isn: Some(header.seq),
                scale: header.options.window_scale,
                ..Lane::default()
            };
        }
        self.reset |= flags.contains(Flags::RST);
        let lane = self.lane(dir);
        lane.fin |= flags.contains(Flags::FIN);
        lane.retransmission(header.seq, len)
    }

    /// By how much a window is to be shifted: by nothing in a SYN, and unless both SYNs had the
    /// option (RFC 7323 section 2.2).
    fn shift(&self, dir: Direction, flags: Flags) -> u8 {
        match (self.out.scale, self.into.scale) {
            (Some(ours), Some(theirs)) if !flags.contains(Flags::SYN) => {
                (if dir == Direction::Out { ours } else { theirs }).min(14)
            }
            _ => 0,
        }
    }

    /// With a fixed ISN the SYN of the next incarnation looks like the last one's, but comes after
    /// its end.
    fn ended(&self) -> bool {
        self.reset || self.out.fin && self.into.fin
    }

    fn lane(&mut self, dir: Direction) -> &mut Lane {
        match dir {
            Direction::Out => &mut self.out,
            Direction::In => &mut self.into,
        }
    }
}

impl Lane {
    fn retransmission(&mut self, seq: Seq, len: u32) -> u32 {
        let end = seq + len;
        if len == 0 {
            return 0;
        }
        match self.end {
            Some(known) if end.le(known) => {
                let times = self.repeats.entry(seq.0).or_default();
                *times += 1;
                *times
            }
            _ => {
                self.end = Some(end);
                0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::capture::Capture;
    use crate::linux::sample::{Sample, hello};
    use crate::pair::plain_pair;
    use tcpx::netns::{A, B};

    /// A packet as the client's end has it.
    fn packet(
        out: bool,
        flags: &'static str,
        seq: u32,
        text: &'static [u8],
        scale: Option<u8>,
    ) -> Packet {
        Sample {
            out,
            flags,
            seq,
            text,
            scale,
            ..Sample::SYN
        }
        .packet()
    }

    fn facts(packets: &[Packet]) -> Vec<(u64, u32, u32)> {
        let fact = |entry: Entry| match entry.body {
            Body::Segment(segment) => (entry.conn.unwrap(), segment.win, segment.retransmission),
            other => panic!("{other:?}"),
        };
        segments(packets, A).into_iter().map(fact).collect()
    }

    #[test]
    fn window_is_scaled_once_both_syns_had_the_option() {
        for (theirs, scaled) in [(Some(3), 40), (None, 10)] {
            let packets = [
                packet(true, "S", 100, b"", Some(2)),
                packet(false, "SA", 300, b"", theirs),
                packet(true, "A", 101, b"", None),
                packet(false, "A", 301, b"", None),
            ];
            let windows: Vec<u32> = facts(&packets).iter().map(|(_, win, _)| *win).collect();
            assert_eq!(
                windows,
                [10, 10, scaled, if theirs.is_some() { 80 } else { 10 }]
            );
        }
    }

    #[test]
    fn octets_sent_again_are_counted_and_a_new_isn_is_a_new_connection() {
        let packets = [
            packet(true, "S", 100, b"", None),
            packet(true, "S", 100, b"", None),
            packet(true, "A", 101, b"hello", None),
            packet(true, "A", 101, b"hel", None),
            packet(true, "A", 101, b"hello", None),
            packet(true, "S", 900, b"", None),
            packet(false, "R", 0, b"", None),
            packet(true, "S", 900, b"", None),
        ];
        let told: Vec<(u64, u32)> = facts(&packets)
            .into_iter()
            .map(|(conn, _, again)| (conn, again))
            .collect();
        assert_eq!(
            told,
            [
                (1, 0),
                (1, 1),
                (1, 0),
                (1, 1),
                (1, 2),
                (2, 0),
                (2, 0),
                (3, 0)
            ]
        );
    }

    #[test]
    fn kernels_connection_is_seen_alike_from_both_ends() {
        let Some((a, b)) = plain_pair() else { return };
        let captures = [Capture::start(&a).unwrap(), Capture::start(&b).unwrap()];
        let before = super::super::now();
        hello(&a, &b);
        let after = super::super::now();
        let [ours, theirs] = captures.map(|capture| capture.stop().unwrap());
        let ours = captured(&ours, A);
        let theirs = captured(&theirs, B);
        let flags: Vec<String> = ours
            .iter()
            .map(|seen| seen.segment.flags.to_string())
            .collect();
        // The kernel may acknowledge hello and FIN in one segment or two.
        assert_eq!(flags[..4], ["S", "SA", "A", "PA"], "{flags:?}");
        assert_eq!(
            flags.iter().filter(|flags| *flags == "FA").count(),
            2,
            "{flags:?}"
        );
        assert_eq!(ours.len(), theirs.len());
        assert!(
            ours.iter()
                .all(|seen| before <= seen.at && seen.at <= after),
            "{before} {ours:?} {after}"
        );
        for seen in &ours {
            let other = theirs
                .iter()
                .find(|other| other.segment.header() == seen.segment.header())
                .unwrap();
            assert_ne!(other.segment.dir, seen.segment.dir);
            assert!(
                (other.at - seen.at).abs() < 0.1 && other.segment.win == seen.segment.win,
                "{seen:?} {other:?}"
            );
        }
    }
}
