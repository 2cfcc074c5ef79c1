//! The grammar of scripts: the part of packetdrill's language that the scripts next to this file
//! use, one event a line.
//!
//! The first lines may be comments of the form `// key: values`: `profiles` (those in which the
//! script holds) and `ecn` (the server's policy).

use std::time::Duration;

use tcpx_proto::wire::Flags;

/// A whole script.
pub(crate) struct Script {
    /// The profiles in which it holds.
    pub(crate) profiles: Vec<String>,
    /// ECN is granted to a peer that asks for it.
    pub(crate) ecn: bool,
    pub(crate) events: Vec<Event>,
}

/// One line.
pub(crate) struct Event {
    /// As it stands in the file, with its number, for complaints.
    pub(crate) text: String,
    pub(crate) when: When,
    pub(crate) action: Action,
}

/// The time before an action.
#[derive(Clone, Copy)]
pub(crate) enum When {
    /// `a`: this long after the start.
    At(Duration),
    /// `+a`: this long after the previous event.
    After(Duration),
    /// `+a~+b`: between these two after the previous event.
    Within(Duration, Duration),
    /// `*`: at any time.
    Any,
}

pub(crate) enum Action {
    Inject(Packet),
    Expect(Packet),
    /// Fragmentation needed, for a segment of ours with this sequence number.
    FragNeeded {
        mtu: u16,
        seq: u32,
    },
    Call(Call),
}

/// `name(args) = result errno`.
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    pub(crate) result: i64,
    pub(crate) errno: Option<String>,
}

pub(crate) struct Packet {
    /// The two ECN bits of the IP header, where the script says what they are.
    pub(crate) ecn: Option<u8>,
    pub(crate) flags: Flags,
    pub(crate) seq: u32,
    pub(crate) len: u32,
    pub(crate) ack: Option<u32>,
    pub(crate) window: Option<u16>,
    /// `None`: `<...>`, whatever there is.
    pub(crate) options: Option<Vec<Opt>>,
}

/// An option, numbers as they stand in the script.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Opt {
    End,
    Nop,
    Mss(u16),
    Scale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Stamps { value: u32, echo: u32 },
}

/// Reads a script; the error names the line.
pub(crate) fn script(text: &str) -> Result<Script, String> {
    let mut script = Script {
        profiles: vec![String::from("rfc9293")],
        ecn: false,
        events: Vec::new(),
    };
    for (number, line) in text.lines().enumerate() {
        if let Some(comment) = line.strip_prefix("//") {
            match comment
                .split_once(": ")
                .map(|(key, value)| (key.trim(), value))
            {
                Some(("profiles", names)) => {
                    script.profiles = names.split(", ").map(String::from).collect()
                }
                Some(("ecn", "when asked")) => script.ecn = true,
                _ => {}
            }
        } else if !line.trim().is_empty() {
            let text = format!("line {}: {}", number + 1, line.trim());
            let (when, action) =
                event(line.trim()).ok_or_else(|| format!("{text}: not understood"))?;
            script.events.push(Event { text, when, action });
        }
    }
    Ok(script)
}

fn event(line: &str) -> Option<(When, Action)> {
    let (time, rest) = line.split_once(' ')?;
    let when = time_of(time)?;
    let rest = rest.trim();
    let action = match rest.split_once(' ')? {
        ("<", packet) if packet.starts_with("icmp") => frag_needed(packet)?,
        ("<", packet) => Action::Inject(packet_of(packet)?),
        (">", packet) => Action::Expect(packet_of(packet)?),
        _ => Action::Call(call(rest)?),
    };
    let waits = matches!(action, Action::Expect(_));
    (waits || matches!(when, When::At(_) | When::After(_))).then_some((when, action))
}

fn time_of(text: &str) -> Option<When> {
    if text == "*" {
        return Some(When::Any);
    }
    if let Some((from, to)) = text.split_once('~') {
        return Some(When::Within(
            seconds(from.strip_prefix('+')?)?,
            seconds(to.strip_prefix('+')?)?,
        ));
    }
    match text.strip_prefix('+') {
        Some(after) => Some(When::After(seconds(after)?)),
        None => Some(When::At(seconds(text)?)),
    }
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

/// `icmp unreachable frag_needed mtu N [start:end(len)]`.
fn frag_needed(text: &str) -> Option<Action> {
    let (mtu, quoted) = text
        .strip_prefix("icmp unreachable frag_needed mtu ")?
        .split_once(' ')?;
    let (seq, _) = range(quoted.strip_prefix('[')?.strip_suffix(']')?)?;
    Some(Action::FragNeeded {
        mtu: mtu.parse().ok()?,
        seq,
    })
}

/// `[ecn] flags start:end(len) [ack N] [win N] [<options>]`.
fn packet_of(text: &str) -> Option<Packet> {
    let (fields, options) = text.split_once('<').unwrap_or((text, ">"));
    let mut words = fields.split_whitespace().peekable();
    let ecn = match words.next_if(|word| word.starts_with('[')) {
        None => None,
        Some("[noecn]") => Some(0),
        Some("[ect0]") => Some(2),
        Some(_) => return None,
    };
    let letters = words.next()?.replace('.', "A").replace('-', "");
    let (seq, len) = range(words.next()?)?;
    let options = options_of(options.trim_end().strip_suffix('>')?)?;
    let mut packet = Packet {
        ecn,
        flags: Flags::from_letters(&letters)?,
        seq,
        len,
        ack: None,
        window: None,
        options,
    };
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word {
            "ack" => packet.ack = Some(value.parse().ok()?),
            "win" => packet.window = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    (packet.ack.is_some() == packet.flags.contains(Flags::ACK)).then_some(packet)
}

/// `start:end(len)`; the three must agree.
fn range(text: &str) -> Option<(u32, u32)> {
    let (start, rest) = text.split_once(':')?;
    let (end, len) = rest.strip_suffix(')')?.split_once('(')?;
    let start: u32 = start.parse().ok()?;
    let end: u32 = end.parse().ok()?;
    let len: u32 = len.parse().ok()?;
    (start.checked_add(len)? == end).then_some((start, len))
}

/// `Some(None)` is `...`.
fn options_of(text: &str) -> Option<Option<Vec<Opt>>> {
    if text == "..." {
        return Some(None);
    }
    text.split(',')
        .filter(|option| !option.is_empty())
        .map(option)
        .collect::<Option<_>>()
        .map(Some)
}

fn option(text: &str) -> Option<Opt> {
    let words: Vec<&str> = text.split_whitespace().collect();
    Some(match words[..] {
        ["eol"] => Opt::End,
        ["nop"] => Opt::Nop,
        ["sackOK"] => Opt::SackPermitted,
        ["mss", mss] => Opt::Mss(mss.parse().ok()?),
        ["wscale", shift] => Opt::Scale(shift.parse().ok()?),
        ["TS", "val", value, "ecr", echo] => Opt::Stamps {
            value: value.parse().ok()?,
            echo: echo.parse().ok()?,
        },
        ["sack", ref blocks @ ..] => {
            let block = |block: &&str| {
                block
                    .split_once(':')
                    .and_then(|(left, right)| Some((left.parse().ok()?, right.parse().ok()?)))
            };
            Opt::Sack(blocks.iter().map(block).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// `name(args) = result [ERRNO] [(note)]`.
fn call(text: &str) -> Option<Call> {
    let (head, tail) = text.split_once(") = ")?;
    let (name, args) = head.split_once('(')?;
    let mut words = tail.split_whitespace();
    let result = words.next()?.parse().ok()?;
    let errno = words.next().filter(|word| !word.starts_with('('));
    Some(Call {
        name: name.into(),
        args: args.split(", ").map(String::from).collect(),
        result,
        errno: errno.map(String::from),
    })
}
