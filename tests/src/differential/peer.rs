//! The peer of one connection: it builds the segments of a case from what it has seen, and notes
//! each reply so that the replies of two hosts can be compared.

use super::case::{Arrival, Base, Case, Place};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Header, Options, Segment};

/// The peer's initial sequence number: text soon passes 2^32.
const IRS: Seq = Seq(0xffff_fc00);
/// The peer's clock at the beginning.
const CLOCK: u32 = 1000;
/// Numbers that are farther away are shown relative to the peer's last segment that was as far, as
/// the windows of two hosts have different edges.
const NEAR: u32 = 20_000;

/// What the peer of a connection knows.
#[derive(Clone, Debug)]
pub struct Peer {
    local: SocketAddr,
    remote: SocketAddr,
    iss: Option<Seq>,
    rcv_nxt: Seq,
    acked: Seq,
    edge: Seq,
    /// Where the peer's last segment that was not near began.
    far: Seq,
    /// The control bits of the host's last SYN.
    syn: Flags,
    snd_nxt: Seq,
    snd_una: Seq,
    scale: u8,
    host_clock: u32,
}

/// A segment of the host's, without what chance has chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// How long after the step.
    pub after: Duration,
    /// All of its sequence space was sent before.
    pub repeated: bool,
    /// A SYN with another initial sequence number than the last one.
    pub anew: bool,
    /// Control bits.
    pub flags: Flags,
    /// SEG.SEQ relative to the host's ISS.
    pub seq: i32,
    /// SEG.ACK.
    pub ack: Option<Relative>,
    /// SEG.WND as it stands in the header.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// The options in order, with padding.
    pub options: Vec<Field>,
    /// The text.
    pub text: Vec<u8>,
    /// TTL, TOS and DF of the IP header.
    pub ip: (u8, u8, bool),
}

/// A sequence number of the peer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relative {
    /// To its initial sequence number.
    Irs(i32),
    /// To the peer's last segment that was far from there.
    Far(i32),
}

/// An option as it stands in a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Field {
    /// No operation.
    Nop,
    /// The end of the list.
    End,
    /// The maximum segment size.
    Mss(u16),
    /// The shift.
    Scale(u8),
    /// SACK permitted.
    SackPermitted,
    /// The blocks.
    Sack(Vec<(Relative, Relative)>),
    /// TSecr relative to the peer's clock at the beginning; `None` for 0.
    Stamps(Option<i32>),
    /// Anything else.
    Other(Vec<u8>),
}

impl Peer {
    /// A peer that has not sent or seen anything.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Peer {
        Peer {
            local,
            remote,
            iss: None,
            rcv_nxt: IRS,
            acked: IRS,
            edge: IRS + 1,
            far: IRS,
            syn: Flags::empty(),
            snd_nxt: Seq(0),
            snd_una: Seq(0),
            scale: 0,
            host_clock: 0,
        }
    }

    /// The host's end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The peer's end.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    fn resolve(&self, place: Place) -> Seq {
        let base = match place.base {
            Base::RcvNxt => self.rcv_nxt,
            Base::Acked => self.acked,
            Base::Edge => self.edge,
            Base::Irs => IRS,
            Base::SndNxt => self.snd_nxt,
            Base::SndUna => self.snd_una,
            Base::Iss => self.iss.unwrap_or(Seq(0)),
            Base::Zero => Seq(0),
        };
        base + place.offset as u32
    }

    /// The segment of a step: header, options, text.
    pub fn build(
        &mut self,
        case: &Case,
        step: usize,
        arrival: &Arrival,
    ) -> (Header, Vec<u8>, Vec<u8>) {
        let seq = self.resolve(arrival.seq);
        let ack = self.resolve(arrival.ack);
        let text: Vec<u8> = (0..arrival.text)
            .map(|nth| b'a' + (step % 26) as u8 + 32 * u8::from(nth % 7 == 3))
            .collect();
        let options = self.options(case, step, arrival);
        let header = Header {
            source: self.remote,
            destination: self.local,
            seq,
            ack,
            flags: arrival.flags,
            window: arrival.window,
            urgent: arrival.urgent,
            options: Options::default(),
            ttl: 64,
            tos: arrival.tos,
            id: 0,
        };
        if (seq.since(IRS) as i32).unsigned_abs() > NEAR {
            self.far = seq;
        }
        let end = seq + (u32::from(arrival.text) + header.control_len());
        let in_window = self.edge.since(self.acked) >= end.since(self.acked);
        if !arrival.flags.contains(Flags::RST)
            && seq.le(self.rcv_nxt)
            && self.rcv_nxt.lt(end)
            && (in_window || arrival.flags.contains(Flags::SYN))
        {
            self.rcv_nxt = end;
        }
        if arrival.flags.contains(Flags::ACK) && self.snd_una.lt(ack) && ack.le(self.snd_nxt) {
            self.snd_una = ack;
        }
        (header, options, text)
    }

    fn options(&self, case: &Case, step: usize, arrival: &Arrival) -> Vec<u8> {
        let mut bytes = Vec::new();
        let syn = arrival.flags.contains(Flags::SYN);
        if let Some(mss) = case.offers.mss.filter(|_| syn) {
            bytes.extend([2, 4]);
            bytes.extend(mss.to_be_bytes());
        }
        if syn && case.offers.sack {
            bytes.extend([1, 1, 4, 2]);
        }
        if let Some(stamp) = arrival.stamp {
            let value = CLOCK
                .wrapping_add(step as u32)
                .wrapping_add(stamp.value as u32);
            bytes.extend([1, 1, 8, 10]);
            bytes.extend(value.to_be_bytes());
            bytes.extend(
                self.host_clock
                    .wrapping_add(stamp.echo as u32)
                    .to_be_bytes(),
            );
        }
        if let Some(scale) = case.offers.scale.filter(|_| syn) {
            bytes.extend([1, 3, 3, scale]);
        }
        if !arrival.sack.is_empty() {
            bytes.extend([1, 1, 5, 2 + 8 * arrival.sack.len() as u8]);
            for (left, right) in &arrival.sack {
                bytes.extend(self.resolve(*left).0.to_be_bytes());
                bytes.extend(self.resolve(*right).0.to_be_bytes());
            }
        }
        bytes.extend(&arrival.extra);
        bytes.truncate(40);
        bytes
    }

    /// The host has sent this segment, so long after the step.
    pub fn hear(
        &mut self,
        offers: super::case::Offers,
        segment: &Segment<'_>,
        packet: &[u8],
        after: Duration,
    ) -> Reply {
        let header = &segment.header;
        let flags = header.flags;
        let syn = flags.contains(Flags::SYN);
        let reset = flags.contains(Flags::RST);
        let anew = syn && self.iss.is_some_and(|iss| iss != header.seq);
        if syn && self.iss != Some(header.seq) {
            self.iss = Some(header.seq);
            self.snd_una = header.seq;
            self.snd_nxt = header.seq;
        }
        let end = header.seq + segment.len();
        let answers = syn && self.syn != flags;
        let repeated = !segment.is_empty() && end.le(self.snd_nxt) && !answers;
        if syn {
            self.syn = flags;
        }
        if !reset && self.iss.is_some() {
            self.snd_nxt = self.snd_nxt.max(end);
        }
        if let Some(stamps) = header.options.timestamps {
            self.host_clock = stamps.value;
        }
        if syn {
            self.scale = offers.scale.and(header.options.window_scale).unwrap_or(0);
        }
        let far = self.far;
        if flags.contains(Flags::ACK) && !reset {
            if self.acked.lt(header.ack) {
                self.acked = header.ack;
                self.rcv_nxt = self.rcv_nxt.max(header.ack);
            }
            let scale = if syn { 0 } else { self.scale };
            self.edge = self
                .edge
                .max(header.ack + (u32::from(header.window) << scale));
        }
        let relative = |seq: Seq| match seq.since(IRS) as i32 {
            near if near.unsigned_abs() <= NEAR => Relative::Irs(near),
            _ => Relative::Far(seq.since(far) as i32),
        };
        // A RST may echo a number near 0.
        let origin = match self.iss {
            Some(iss) if !(reset && header.seq.0 < 1 << 16) => iss,
            _ => Seq(0),
        };
        Reply {
            after,
            repeated,
            anew,
            flags,
            seq: header.seq.since(origin) as i32,
            ack: flags.contains(Flags::ACK).then(|| relative(header.ack)),
            window: header.window,
            urgent: header.urgent,
            options: fields(packet, relative),
            text: segment.payload.to_vec(),
            ip: (
                header.ttl,
                header.tos,
                packet.get(6).is_some_and(|flags| flags & 0x40 != 0),
            ),
        }
    }
}

impl Reply {
    /// Control bits without PSH.
    pub fn control(&self) -> Flags {
        self.flags - Flags::PSH
    }
}

/// The options of a packet in order.
fn fields(packet: &[u8], relative: impl Fn(Seq) -> Relative) -> Vec<Field> {
    let ip = usize::from(packet.first().copied().unwrap_or(0) & 15) * 4;
    let tcp = packet.get(ip..).unwrap_or_default();
    let end = usize::from(tcp.get(12).copied().unwrap_or(0) >> 4) * 4;
    let mut rest = tcp.get(20..end).unwrap_or_default();
    let mut fields = Vec::new();
    while let Some((&kind, after)) = rest.split_first() {
        let whole = match kind {
            0 | 1 => 1,
            _ => usize::from(after.first().copied().unwrap_or(0)).max(2),
        };
        let option = rest.get(..whole).unwrap_or(rest);
        rest = rest.get(whole..).unwrap_or_default();
        fields.push(field(option, &relative));
    }
    fields
}

fn field(option: &[u8], relative: impl Fn(Seq) -> Relative) -> Field {
    let word = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte))
    };
    match option {
        [0] => Field::End,
        [1] => Field::Nop,
        [2, 4, mss @ ..] => Field::Mss(word(mss) as u16),
        [3, 3, shift] => Field::Scale(*shift),
        [4, 2] => Field::SackPermitted,
        [5, _, blocks @ ..] => Field::Sack(
            blocks
                .chunks_exact(8)
                .map(|block| {
                    let (left, right) = block.split_at(4);
                    (relative(Seq(word(left))), relative(Seq(word(right))))
                })
                .collect(),
        ),
        [8, 10, _, _, _, _, echo @ ..] => Field::Stamps(match word(echo) {
            0 => None,
            echo => Some(echo.wrapping_sub(CLOCK) as i32),
        }),
        other => Field::Other(other.to_vec()),
    }
}

impl fmt::Display for Relative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Relative::Irs(offset) => offset.fmt(f),
            Relative::Far(offset) => write!(f, "far{offset:+}"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Nop => f.write_str("nop"),
            Field::End => f.write_str("end"),
            Field::Mss(mss) => write!(f, "mss={mss}"),
            Field::Scale(shift) => write!(f, "scale={shift}"),
            Field::SackPermitted => f.write_str("sack"),
            Field::Sack(blocks) => {
                f.write_str("sack")?;
                blocks
                    .iter()
                    .try_for_each(|(left, right)| write!(f, " {left}..{right}"))
            }
            Field::Stamps(None) => f.write_str("ts"),
            Field::Stamps(Some(echo)) => write!(f, "ts/{echo}"),
            Field::Other(bytes) => write!(f, "{bytes:?}"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.anew {
            f.write_str("anew ")?;
        }
        write!(f, "{} seq={}", self.flags, self.seq)?;
        if let Some(ack) = self.ack {
            write!(f, " ack={ack}")?;
        }
        write!(f, " win={}", self.window)?;
        if !self.text.is_empty() {
            write!(f, " len={}", self.text.len())?;
        }
        if self.urgent > 0 {
            write!(f, " urg={}", self.urgent)?;
        }
        if !self.options.is_empty() {
            let options: Vec<String> = self.options.iter().map(Field::to_string).collect();
            write!(f, " [{}]", options.join(" "))?;
        }
        let (ttl, tos, whole) = self.ip;
        if ttl != 64 || tos != 0 {
            write!(f, " ttl={ttl} tos={tos}")?;
        }
        if !whole {
            f.write_str(" may-fragment")?;
        }
        if self.repeated {
            f.write_str(" (again)")?;
        }
        Ok(())
    }
}
