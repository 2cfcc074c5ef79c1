//! A case: what the peer offers in its SYN, and the segments and calls that follow. Its text can be
//! read again, so that a difference can be replayed.
//!
//! ```text
//! offers mss=1460 sack ts scale=7
//! nodelay
//! S seq=irs win=65535 ts=0
//! A seq=rcv.nxt ack=snd.nxt win=65535 ts=0
//! accept
//! A seq=rcv.nxt+5 ack=snd.nxt win=65535 len=10 ts=-1 sack=snd.una+1..snd.nxt
//! write 3000
//! ```

use std::fmt;
use std::str::FromStr;
use tcpx_proto::wire::Flags;

/// What is played to one connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Case {
    /// The options of the peer's SYNs.
    pub offers: Offers,
    /// Nagle's algorithm is off.
    pub no_delay: bool,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// The options of the peer's SYN, or SYN,ACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offers {
    /// The maximum segment size.
    pub mss: Option<u16>,
    /// SACK permitted.
    pub sack: bool,
    /// Timestamps.
    pub stamps: bool,
    /// The shift of the window scale option.
    pub scale: Option<u8>,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The peer sends a segment.
    Arrive(Arrival),
    /// The application calls.
    Call(Call),
}

/// A segment of the peer's. Its places are relative to what the peer knows when it sends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Control bits.
    pub flags: Flags,
    /// SEG.SEQ.
    pub seq: Place,
    /// SEG.ACK, also where there is no ACK bit.
    pub ack: Place,
    /// SEG.WND as it stands in the header.
    pub window: u16,
    /// Bytes of text.
    pub text: u16,
    /// The timestamps option.
    pub stamp: Option<Stamp>,
    /// The blocks of the SACK option.
    pub sack: Vec<(Place, Place)>,
    /// The urgent pointer.
    pub urgent: u16,
    /// The TOS field of the IP header.
    pub tos: u8,
    /// Options after all others, as bytes.
    pub extra: Vec<u8>,
}

impl Default for Arrival {
    fn default() -> Arrival {
        Arrival {
            flags: Flags::ACK,
            seq: Place::at(Base::RcvNxt),
            ack: Place::at(Base::SndNxt),
            window: 65_535,
            text: 0,
            stamp: None,
            sack: Vec::new(),
            urgent: 0,
            tos: 0,
            extra: Vec::new(),
        }
    }
}

/// A timestamps option, relative to the peer's clock, which ticks once a step, and to the last
/// timestamp that it saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    /// TSval minus the peer's clock.
    pub value: i32,
    /// TSecr minus the host's last TSval.
    pub echo: i32,
}

/// A sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Where from.
    pub base: Base,
    /// How far.
    pub offset: i32,
}

impl Place {
    /// The base itself.
    pub const fn at(base: Base) -> Place {
        Place { base, offset: 0 }
    }

    /// So far behind it.
    pub const fn plus(self, more: i32) -> Place {
        Place {
            base: self.base,
            offset: self.offset.wrapping_add(more),
        }
    }
}

/// What a sequence number is relative to: the host's variables as the peer knows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// What the peer sends next.
    RcvNxt,
    /// What the host acknowledged last.
    Acked,
    /// The right edge of the host's window.
    Edge,
    /// The peer's initial sequence number.
    Irs,
    /// One past what the host sent.
    SndNxt,
    /// What the peer acknowledged.
    SndUna,
    /// The host's initial sequence number.
    Iss,
    /// The number 0.
    Zero,
}

const BASES: [(Base, &str); 8] = [
    (Base::RcvNxt, "rcv.nxt"),
    (Base::Acked, "acked"),
    (Base::Edge, "edge"),
    (Base::Irs, "irs"),
    (Base::SndNxt, "snd.nxt"),
    (Base::SndUna, "snd.una"),
    (Base::Iss, "iss"),
    (Base::Zero, "zero"),
];

/// A call of the application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// Active OPEN.
    Connect,
    /// Takes the connection from the listener.
    Accept,
    /// RECEIVE of at most so many bytes; 0: until there are no more.
    Read(usize),
    /// SEND.
    Write(usize),
    /// CLOSE of the sending direction.
    Shutdown,
    /// CLOSE of both directions.
    Close,
    /// ABORT.
    Abort,
    /// The listener ends.
    Unlisten,
}

impl Case {
    /// Whether the application opens the connection actively.
    pub fn is_active(&self) -> bool {
        self.steps.contains(&Step::Call(Call::Connect))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.offers)?;
        if self.no_delay {
            writeln!(f, "nodelay")?;
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl fmt::Display for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("offers")?;
        if let Some(mss) = self.mss {
            write!(f, " mss={mss}")?;
        }
        if self.sack {
            f.write_str(" sack")?;
        }
        if self.stamps {
            f.write_str(" ts")?;
        }
        if let Some(scale) = self.scale {
            write!(f, " scale={scale}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Arrive(arrival) => arrival.fmt(f),
            Step::Call(call) => call.fmt(f),
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arrival {
            flags, seq, ack, ..
        } = self;
        write!(f, "{flags} seq={seq} ack={ack} win={}", self.window)?;
        if self.text > 0 {
            write!(f, " len={}", self.text)?;
        }
        if let Some(stamp) = self.stamp {
            write!(f, " ts={}", stamp.value)?;
            if stamp.echo != 0 {
                write!(f, "/{}", stamp.echo)?;
            }
        }
        for (left, right) in &self.sack {
            write!(f, " sack={left}..{right}")?;
        }
        if self.urgent > 0 {
            write!(f, " urg={}", self.urgent)?;
        }
        if self.tos > 0 {
            write!(f, " tos={}", self.tos)?;
        }
        if !self.extra.is_empty() {
            f.write_str(" options=")?;
            self.extra
                .iter()
                .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = BASES.iter().find(|(base, _)| *base == self.base);
        f.write_str(name.map_or("", |(_, name)| name))?;
        match self.offset {
            0 => Ok(()),
            offset => write!(f, "{offset:+}"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Connect => f.write_str("connect"),
            Call::Accept => f.write_str("accept"),
            Call::Read(0) => f.write_str("read"),
            Call::Read(most) => write!(f, "read {most}"),
            Call::Write(bytes) => write!(f, "write {bytes}"),
            Call::Shutdown => f.write_str("shutdown"),
            Call::Close => f.write_str("close"),
            Call::Abort => f.write_str("abort"),
            Call::Unlisten => f.write_str("unlisten"),
        }
    }
}

/// A line that is not part of a case.
fn bad(what: &str) -> String {
    format!("not part of a case: {what:?}")
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| bad(text))
}

impl FromStr for Case {
    type Err = String;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Case, String> {
        let mut case = Case::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.split_once(' ').map_or(line, |(word, _)| word) {
                "offers" => case.offers = line.parse()?,
                "nodelay" => case.no_delay = true,
                _ => case.steps.push(line.parse()?),
            }
        }
        Ok(case)
    }
}

impl FromStr for Offers {
    type Err = String;

    fn from_str(line: &str) -> Result<Offers, String> {
        let mut offers = Offers::default();
        for word in line.split_whitespace().skip(1) {
            match word.split_once('=') {
                Some(("mss", mss)) => offers.mss = Some(number(mss)?),
                Some(("scale", scale)) => offers.scale = Some(number(scale)?),
                None if word == "sack" => offers.sack = true,
                None if word == "ts" => offers.stamps = true,
                _ => return Err(bad(word)),
            }
        }
        Ok(offers)
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Step, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, "0"));
        Ok(Step::Call(match word {
            "connect" => Call::Connect,
            "accept" => Call::Accept,
            "read" => Call::Read(number(rest)?),
            "write" => Call::Write(number(rest)?),
            "shutdown" => Call::Shutdown,
            "close" => Call::Close,
            "abort" => Call::Abort,
            "unlisten" => Call::Unlisten,
            _ => return line.parse().map(Step::Arrive),
        }))
    }
}

impl FromStr for Arrival {
    type Err = String;

    fn from_str(line: &str) -> Result<Arrival, String> {
        let mut words = line.split_whitespace();
        let flags = words.next().unwrap_or_default();
        let mut arrival = Arrival {
            flags: flags.parse().map_err(|_| bad(line))?,
            ..Arrival::default()
        };
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(|| bad(word))?;
            match name {
                "seq" => arrival.seq = value.parse()?,
                "ack" => arrival.ack = value.parse()?,
                "win" => arrival.window = number(value)?,
                "len" => arrival.text = number(value)?,
                "urg" => arrival.urgent = number(value)?,
                "tos" => arrival.tos = number(value)?,
                "ts" => {
                    let (value, echo) = value.split_once('/').unwrap_or((value, "0"));
                    arrival.stamp = Some(Stamp {
                        value: number(value)?,
                        echo: number(echo)?,
                    });
                }
                "sack" => {
                    let (left, right) = value.split_once("..").ok_or_else(|| bad(word))?;
                    arrival.sack.push((left.parse()?, right.parse()?));
                }
                "options" => {
                    let digits: Vec<char> = value.chars().collect();
                    for pair in digits.chunks(2) {
                        let pair: String = pair.iter().collect();
                        let byte = u8::from_str_radix(&pair, 16).map_err(|_| bad(word))?;
                        arrival.extra.push(byte);
                    }
                }
                _ => return Err(bad(word)),
            }
        }
        Ok(arrival)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let end = text.find(['+', '-']).unwrap_or(text.len());
        let (name, offset) = text.split_at(end);
        let base = BASES.iter().find(|(_, known)| *known == name);
        Ok(Place {
            base: base.ok_or_else(|| bad(text))?.0,
            offset: if offset.is_empty() {
                0
            } else {
                number(offset)?
            },
        })
    }
}
