//! One line of an expected ladder: a state, a segment or an event at one end, and how long after the
//! line before.
//!
//! `b LAST-ACK` · `b closed reset` · `a -> FIN,ACK` · `a -x ACK` (lost) · `b -> FIN,ACK again seq
//! 12 len 5` · `b -> SYN,ACK with mss,ts without ws` · `b received "OLD"` · `a failed refused` · `a
//! icmp unreachable 1`, each with `in 0.9s..1.3s` behind.

use crate::end::End;
use crate::trace::{Conversation, Effect, Remark, Segment, Step};
use std::time::Duration;
use tcpx_proto::error::CloseKind;
use tcpx_proto::lexer::{Parsed, Word, Words, did_you_mean, duration, nearest, number, one_of};
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::wire::{Flags, IcmpKind, IcmpName};

/// A line.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectation {
    /// As it was written, `$` resolved.
    pub text: String,
    /// At which end.
    pub end: End,
    /// What is seen there.
    pub wanted: Wanted,
    /// How long after the line before, seconds.
    pub within: Option<(f64, f64)>,
}

/// What is seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// A state is entered.
    State(State),
    /// A connection ends like this.
    Closed(CloseKind),
    /// A segment leaves.
    Sent(Pattern),
    /// The application receives this, escaped.
    Received(String),
    /// A step of its script fails with these words in the reason.
    Failed(String),
    /// It believes an ICMP error: its kind, and code or MTU.
    Icmp(IcmpKind),
}

/// Which segment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pattern {
    /// Its control bits, PSH left out.
    pub control: Flags,
    /// It is lost, or it arrives; `None`: either.
    pub lost: Option<bool>,
    /// It was sent before.
    pub again: bool,
    /// SEG.SEQ.
    pub seq: Option<u32>,
    /// SEG.ACK.
    pub ack: Option<u32>,
    /// Bytes of text.
    pub len: Option<u32>,
    /// Options that it has.
    pub with: Vec<&'static str>,
    /// Options that it lacks.
    pub without: Vec<&'static str>,
}

/// The longest time that a file may name: a month of 31 days.
pub(super) const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);
/// As [`tcpx_proto::wire::Options::names`] has them.
const OPTIONS: [&str; 6] = ["mss", "sackOK", "ts", "ws", "sack", "tfo"];
const EXAMPLES: &str = "b LAST-ACK · a -> FIN,ACK again in 0.9s..1.3s · a -x ACK · b closed reset · b received \"OLD\"";
const BOUNDS: &str = "write ..5ms (at most), 5ms.. (at least) or 1ms..5ms (between)";

/// What a line expects of its end.
#[derive(Clone, Copy)]
enum Verb {
    /// A segment leaves; it is lost, or it arrives, or either.
    Sends(Option<bool>),
    Closed,
    Failed,
    Icmp,
    Received,
    Is(State),
}

const VERBS: [(&str, Verb); 7] = [
    ("->", Verb::Sends(Some(false))),
    ("-x", Verb::Sends(Some(true))),
    ("-?", Verb::Sends(None)),
    ("closed", Verb::Closed),
    ("failed", Verb::Failed),
    ("icmp", Verb::Icmp),
    ("received", Verb::Received),
];

impl Expectation {
    /// Reads a line.
    pub(super) fn parse(line: &str) -> Parsed<Expectation> {
        let mut words = Words::new(line, 0);
        let end = one_of(
            words.expect("a host", EXAMPLES)?,
            "host",
            &[("a", End::A), ("b", End::B)],
        )?;
        let verb = words.expect("a state, an arrow or a deed", EXAMPLES)?;
        let states = State::ALL
            .iter()
            .map(|state| (state.name(), Verb::Is(*state)));
        let verbs: Vec<(&str, Verb)> = states.chain(VERBS).collect();
        let (wanted, within) = match one_of(verb, "state, arrow or deed", &verbs)? {
            Verb::Is(state) => (Wanted::State(state), bounds(words.next(), &mut words)?),
            Verb::Sends(lost) => pattern(lost, &mut words)?,
            Verb::Closed => {
                let reason = words.expect("how it closed", "such as: closed reset")?;
                let reason = one_of(
                    reason,
                    "reason",
                    &CloseKind::ALL.map(|kind| (kind.name(), kind)),
                )?;
                (Wanted::Closed(reason), bounds(words.next(), &mut words)?)
            }
            Verb::Failed => failure(line, verb)?,
            Verb::Icmp => icmp(&mut words)?,
            Verb::Received => {
                let word = words.expect("a text in quotes", "such as: received \"OLD\"")?;
                let text = word
                    .text
                    .strip_prefix('"')
                    .and_then(|text| text.strip_suffix('"'));
                let text = text.ok_or_else(|| {
                    word.wrong(
                        "received needs a text in quotes",
                        Some("such as: received \"OLD\"".to_owned()),
                    )
                })?;
                (
                    Wanted::Received(text.to_owned()),
                    bounds(words.next(), &mut words)?,
                )
            }
        };
        Ok(Expectation {
            text: line.to_owned(),
            end,
            wanted,
            within,
        })
    }

    /// Whether this step, or the flight that begins with it, is what is meant.
    pub fn fits(&self, conversation: &Conversation, index: usize, step: &Step) -> bool {
        if step.end != self.end {
            return false;
        }
        let remarked = |fits: &dyn Fn(&Remark) -> bool| step.remarks.iter().any(fits);
        match &self.wanted {
            Wanted::State(state) => step.entered && step.state == Some(*state),
            Wanted::Closed(reason) => remarked(&|remark| *remark == Remark::Closed(Some(*reason))),
            Wanted::Icmp(error) => remarked(&|remark| *remark == Remark::Icmp(*error)),
            Wanted::Received(wanted) => remarked(
                &|remark| matches!(remark, Remark::Received(text) if text.contains(wanted)),
            ),
            Wanted::Failed(wanted) => {
                remarked(&|remark| matches!(remark, Remark::Failed(why) if why.contains(wanted)))
            }
            Wanted::Sent(pattern) => conversation.beginning(index).is_some_and(|flight| {
                let mut received = flight.received.iter().map(|at| &conversation.steps[*at]);
                flight.sent.is_some() && pattern.fits(&flight.segment, received.all(is_dropped))
            }),
        }
    }
}

/// The receiver's gate dropped it.
fn is_dropped(step: &Step) -> bool {
    step.segment
        .as_ref()
        .is_some_and(|segment| Effect::of(segment.verdict) == Effect::Dropped)
}

impl Pattern {
    fn fits(&self, segment: &Segment, lost: bool) -> bool {
        let has = |name: &&str| segment.options.names().any(|option| option == *name);
        segment.flags.difference(Flags::PSH) == self.control
            && self.lost.is_none_or(|wanted| wanted == lost)
            && (!self.again || segment.retransmission > 0)
            && self.seq.is_none_or(|seq| Seq(seq) == segment.seq)
            && self.ack.is_none_or(|ack| Seq(ack) == segment.ack)
            && self.len.is_none_or(|len| len == segment.len)
            && self.with.iter().all(has)
            && !self.without.iter().any(has)
    }
}

/// What a line shows, and its bounds.
type Shown = (Wanted, Option<(f64, f64)>);

/// The words in the reason of a failure: what stands behind ` in ` is a bound where it looks like
/// one.
fn failure(line: &str, verb: Word<'_>) -> Parsed<Shown> {
    let start = verb.span().end;
    let rest = line.get(start..).unwrap_or_default();
    let bound = |text: &str| {
        text.contains("..")
            || text
                .trim_start()
                .starts_with(|c: char| c.is_ascii_digit() || "<>=~.".contains(c))
    };
    let (why, within) = match rest.rsplit_once(" in ") {
        Some((why, text)) if bound(text) => {
            let mut words = Words::new(line, start + why.len());
            (why, bounds(words.next(), &mut words)?)
        }
        _ => (rest, None),
    };
    Ok((Wanted::Failed(why.trim().to_owned()), within))
}

fn icmp(words: &mut Words<'_>) -> Parsed<Shown> {
    let word = words.expect("an ICMP error", "such as: icmp unreachable 1")?;
    let names = IcmpName::ALL.map(|name| (name.name(), name));
    let name = one_of(word, "ICMP error", &names)?;
    let mut next = words.next();
    let mut value = None;
    if let Some(word) = next.filter(|word| word.text != "in") {
        value = Some(number(word, 0, u32::MAX)?);
        next = words.next();
    }
    let kind = IcmpKind::from_parts(name, value).ok_or_else(|| {
        let help = "such as: icmp unreachable 1, icmp packet-too-big 1240";
        word.wrong(
            format!("{name} needs its code or MTU"),
            Some(help.to_owned()),
        )
    })?;
    Ok((Wanted::Icmp(kind), bounds(next, words)?))
}

/// A segment: its control bits, what else must be true of it, and when.
fn pattern(lost: Option<bool>, words: &mut Words<'_>) -> Parsed<Shown> {
    const FIELDS: [(&str, &str); 7] = [
        ("again", "again"),
        ("seq", "seq"),
        ("ack", "ack"),
        ("len", "len"),
        ("with", "with"),
        ("without", "without"),
        ("in", "in"),
    ];
    let control = control(words.expect("the control bits", "such as: a -> FIN,ACK")?)?;
    let mut pattern = Pattern {
        control,
        lost,
        ..Pattern::default()
    };
    while let Some(word) = words.next() {
        let field = match one_of(word, "word for a segment", &FIELDS)? {
            "in" => return Ok((Wanted::Sent(pattern), bounds(Some(word), words)?)),
            "again" => {
                pattern.again = true;
                continue;
            }
            "with" => {
                pattern.with = options(words)?;
                continue;
            }
            "without" => {
                pattern.without = options(words)?;
                continue;
            }
            "seq" => &mut pattern.seq,
            "ack" => &mut pattern.ack,
            _ => &mut pattern.len,
        };
        *field = Some(number(
            words.expect("a number", &format!("such as: {} 101", word.text))?,
            0,
            u32::MAX,
        )?);
    }
    Ok((Wanted::Sent(pattern), None))
}

/// Control bits with commas between them, in the order of the header, PSH left out.
fn control(word: Word<'_>) -> Parsed<Flags> {
    let known = || Flags::all().difference(Flags::PSH).iter_names();
    let named = || {
        word.text
            .split([',', '-', '+'])
            .filter(|name| *name != "PSH")
    };
    let mut flags = Flags::empty();
    for name in named() {
        let Some((_, bit)) = known().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = known().map(|(name, _)| name).collect();
            let help = nearest(name, names.iter().copied())
                .map_or_else(|| format!("one of {}", names.join(", ")), did_you_mean);
            let start = word.text.find(name).unwrap_or_default();
            let bit = word.part(start..start + name.len());
            return Err(bit.wrong(format!("unknown control bit '{name}'"), Some(help)));
        };
        flags |= bit;
    }
    let ordered = flags.control();
    if ordered == word.text {
        return Ok(flags);
    }
    let message = format!(
        "'{}': write control bits in the order of the header, with commas between them, without PSH",
        word.text
    );
    Err(word.wrong(message, Some(did_you_mean(&ordered))))
}

/// The names of options, with commas between them.
fn options(words: &mut Words<'_>) -> Parsed<Vec<&'static str>> {
    let word = words.expect("an option", "such as: with ts,ws")?;
    let known = OPTIONS.map(|name| (name, name));
    let mut at = 0;
    let option = |name: &str| {
        let part = word.part(at..at + name.len());
        at += name.len() + 1;
        one_of(part, "option", &known)
    };
    word.text.split(',').map(option).collect()
}

/// What ends a line: nothing, or `in` and `0.9s..1.3s`, `..5s` or `2s..`.
fn bounds(next: Option<Word<'_>>, words: &mut Words<'_>) -> Parsed<Option<(f64, f64)>> {
    let Some(word) = next else { return Ok(None) };
    one_of(word, "word that could follow", &[("in", ())])?;
    let word = words.expect("a bound", BOUNDS)?;
    let wrong = |help: &str| {
        word.wrong(
            format!(
                "'{}' is no bound of the time since the line before",
                word.text
            ),
            Some(help.to_owned()),
        )
    };
    let (least, most) = word
        .text
        .split_once("..")
        .filter(|(least, most)| !(least.is_empty() && most.is_empty()))
        .ok_or_else(|| wrong(BOUNDS))?;
    let seconds = |part: Word<'_>, otherwise: f64| match part.text {
        "" => Ok(otherwise),
        _ => duration(part, LONGEST).map(|time| time.as_secs_f64()),
    };
    let length = word.text.len();
    let within = (
        seconds(word.part(0..least.len()), 0.0)?,
        seconds(word.part(length - most.len()..length), f64::INFINITY)?,
    );
    if within.0 > within.1 {
        return Err(wrong("it ends before it begins"));
    }
    match words.next() {
        Some(more) => Err(more.wrong("nothing can follow a bound", None)),
        None => Ok(Some(within)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_each_kind_is_read() {
        let parsed =
            |line: &str| Expectation::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(parsed("b LAST-ACK").wanted, Wanted::State(State::LastAck));
        assert_eq!(parsed("b closed reset in ..5s").within, Some((0.0, 5.0)));
        let sent = Pattern {
            control: Flags::FIN | Flags::ACK,
            lost: Some(false),
            again: true,
            seq: Some(12),
            ..Pattern::default()
        };
        assert_eq!(
            parsed("a -> FIN,ACK again seq 12 in 900ms..1.3s").wanted,
            Wanted::Sent(sent)
        );
        let sent = Pattern {
            control: Flags::SYN | Flags::ACK,
            lost: Some(false),
            with: vec!["mss", "ts"],
            without: vec!["ws"],
            ..Pattern::default()
        };
        assert_eq!(
            parsed("b -> SYN,ACK with mss,ts without ws").wanted,
            Wanted::Sent(sent)
        );
        assert_eq!(
            parsed("a icmp unreachable 1 in ..1s").wanted,
            Wanted::Icmp(IcmpKind::Unreachable(1))
        );
        assert_eq!(
            parsed("a -x ACK").wanted,
            Wanted::Sent(Pattern {
                control: Flags::ACK,
                lost: Some(true),
                ..Pattern::default()
            })
        );
        assert_eq!(
            parsed("b received \"a b\"").wanted,
            Wanted::Received("a b".into())
        );
    }
}
