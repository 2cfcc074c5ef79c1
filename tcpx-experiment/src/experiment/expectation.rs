//! One line of an expected ladder: a state, a segment or a deed at one end, and how long after the
//! line before.
//!
//! `b LAST-ACK` · `b closed reset` · `a -> FIN,ACK` · `a -x ACK` (lost) · `b -> FIN,ACK again seq
//! 12 len 5` · `b -> SYN,ACK with mss,ts without ws` · `b received "OLD"` · `a failed refused` · `a
//! icmp unreachable 1`, each with `in 0.9s..1.3s` behind.

use crate::end::End;
use crate::trace::{self, Conversation, Step};
use std::time::Duration;
use tcpx_proto::error::CloseKind;
use tcpx_proto::fault::VerdictKind;
use tcpx_proto::lexer::{Parsed, Word, Words, did_you_mean, duration, nearest, number, one_of};
use tcpx_proto::state::State;
use tcpx_proto::wire::Flags;

/// A line.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectation {
    /// As it was written, `$` resolved.
    pub text: String,
    /// At which end.
    pub end: End,
    /// What is seen there.
    pub sight: Wanted,
    /// How long after the line before, seconds.
    pub within: Option<(f64, f64)>,
}

/// What is seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// A state is entered.
    State(String),
    /// A connection ends like this.
    Closed(String),
    /// A segment leaves.
    Sent(Pattern),
    /// The application receives octets, escaped.
    Received(String),
    /// A step of its script fails with these words in the reason.
    Failed(String),
    /// It believes an ICMP error: its kind, and code or MTU.
    Icmp(String),
}

/// Which segment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pattern {
    /// As [`trace::Segment::control`] names them, PSH left out.
    pub control: String,
    /// It is lost, or it arrives; `None`: either.
    pub lost: Option<bool>,
    /// It was sent before.
    pub again: bool,
    /// SEG.SEQ.
    pub seq: Option<u32>,
    /// SEG.ACK.
    pub ack: Option<u32>,
    /// Octets of text.
    pub len: Option<u32>,
    /// Options that it has.
    pub with: Vec<String>,
    /// Options that it lacks.
    pub without: Vec<String>,
}

/// The longest time that a file may name: a month of 31 days.
pub(super) const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);
/// As [`trace::Segment::options`] names them.
const OPTIONS: [&str; 5] = ["mss", "sackOK", "ts", "ws", "sack"];
/// As an events file names ICMP errors.
const ICMP: [&str; 5] = [
    "unreachable",
    "packet-too-big",
    "time-exceeded",
    "parameter-problem",
    "source-quench",
];

const EXAMPLES: &str = "b LAST-ACK · a -> FIN,ACK again in 0.9s..1.3s · a -x ACK · b closed reset · b received \"OLD\"";
const BOUNDS: &str = "write ..5ms (at most), 5ms.. (at least) or 1ms..5ms (between)";

/// What a line tells of its end.
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
        let (sight, within) = match one_of(verb, "state, arrow or deed", &verbs)? {
            Verb::Is(state) => (
                Wanted::State(state.name().to_owned()),
                bounds(words.next(), &mut words)?,
            ),
            Verb::Sends(lost) => pattern(lost, &mut words)?,
            Verb::Closed => {
                let reason = words.expect("how it closed", "such as: closed reset")?;
                let reason = one_of(
                    reason,
                    "reason",
                    &CloseKind::ALL.map(|kind| (kind.name(), kind.name())),
                )?;
                (
                    Wanted::Closed(reason.to_owned()),
                    bounds(words.next(), &mut words)?,
                )
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
            sight,
            within,
        })
    }

    /// Whether this step, or the flight that begins with it, is what is meant.
    pub fn fits(&self, conversation: &Conversation, index: usize, step: &Step) -> bool {
        if step.end != self.end {
            return false;
        }
        match &self.sight {
            Wanted::State(state) => step.on.is_some() && step.state == *state,
            Wanted::Closed(reason) => step
                .remarks
                .iter()
                .any(|remark| remark == &format!("closed: {reason}")),
            Wanted::Sent(pattern) => conversation.beginning(index).is_some_and(|flight| {
                flight.sent.is_some()
                    && pattern.fits(
                        &flight.segment,
                        flight
                            .received
                            .iter()
                            .all(|at| dropped(&conversation.steps[*at])),
                    )
            }),
            Wanted::Received(text) => step
                .received
                .as_deref()
                .is_some_and(|received| received.contains(text.as_str())),
            Wanted::Icmp(error) => step
                .remarks
                .iter()
                .any(|remark| remark == &format!("ICMP: {error}")),
            Wanted::Failed(why) => step
                .failed
                .as_deref()
                .is_some_and(|failed| failed.contains(why.as_str())),
        }
    }
}

/// A gate on the receiving side stopped it.
fn dropped(step: &Step) -> bool {
    step.segment
        .as_ref()
        .is_some_and(|segment| segment.verdict == VerdictKind::Drop)
}

impl Pattern {
    fn fits(&self, segment: &trace::Segment, lost: bool) -> bool {
        let control = segment.flags.control().replace("PSH,", "");
        control == self.control
            && self.lost.is_none_or(|wanted| wanted == lost)
            && (!self.again || segment.retransmission > 0)
            && self.seq.is_none_or(|seq| seq == segment.seq.0)
            && self.ack.is_none_or(|ack| ack == segment.ack.0)
            && self.len.is_none_or(|len| len == segment.len)
            && self
                .with
                .iter()
                .all(|name| segment.options.names().any(|option| option == name))
            && self
                .without
                .iter()
                .all(|name| segment.options.names().all(|option| option != name))
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
    let kind = words.expect("an ICMP error", "such as: icmp unreachable 1")?;
    let kind = one_of(kind, "ICMP error", &ICMP.map(|name| (name, name)))?;
    let mut next = words.next();
    let mut error = kind.to_owned();
    if let Some(value) = next.filter(|word| word.text != "in") {
        error = format!("{error} {}", number(value, 0, u32::MAX)?);
        next = words.next();
    }
    Ok((Wanted::Icmp(error), bounds(next, words)?))
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
fn control(word: Word<'_>) -> Parsed<String> {
    let known: Vec<&str> = Flags::NAMES
        .iter()
        .map(|(_, name)| *name)
        .filter(|name| *name != "PSH")
        .collect();
    let named: Vec<&str> = word
        .text
        .split([',', '-', '+'])
        .filter(|name| *name != "PSH")
        .collect();
    if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
        let help = nearest(unknown, known.iter().copied())
            .map_or_else(|| format!("out of {}", known.join(", ")), did_you_mean);
        let start = word.text.find(unknown).unwrap_or_default();
        let bit = word.part(start..start + unknown.len());
        return Err(bit.wrong(format!("'{unknown}' is no control bit"), Some(help)));
    }
    let ordered: Vec<&str> = known
        .into_iter()
        .filter(|name| named.contains(name))
        .collect();
    let ordered = ordered.join(",");
    match ordered == word.text {
        true => Ok(ordered),
        false => {
            let message = format!(
                "'{}': control bits stand in the order of the header, with commas between them; PSH is left out",
                word.text
            );
            Err(word.wrong(message, Some(did_you_mean(&ordered))))
        }
    }
}

/// The names of options, with commas between them.
fn options(words: &mut Words<'_>) -> Parsed<Vec<String>> {
    let word = words.expect("an option", "such as: with ts,ws")?;
    let known = OPTIONS.map(|name| (name, name));
    let mut at = 0;
    let option = |name: &str| {
        let part = word.part(at..at + name.len());
        at += name.len() + 1;
        one_of(part, "option", &known).map(str::to_owned)
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
        let rung =
            |line: &str| Expectation::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(rung("b LAST-ACK").sight, Wanted::State("LAST-ACK".into()));
        assert_eq!(rung("b closed reset in ..5s").within, Some((0.0, 5.0)));
        let sent = Pattern {
            control: "FIN,ACK".into(),
            lost: Some(false),
            again: true,
            seq: Some(12),
            ..Pattern::default()
        };
        assert_eq!(
            rung("a -> FIN,ACK again seq 12 in 900ms..1.3s").sight,
            Wanted::Sent(sent)
        );
        let options = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let (with, without) = (options(&["mss", "ts"]), options(&["ws"]));
        let sent = Pattern {
            control: "SYN,ACK".into(),
            lost: Some(false),
            with,
            without,
            ..Pattern::default()
        };
        assert_eq!(
            rung("b -> SYN,ACK with mss,ts without ws").sight,
            Wanted::Sent(sent)
        );
        assert_eq!(
            rung("a icmp unreachable 1 in ..1s").sight,
            Wanted::Icmp("unreachable 1".into())
        );
        assert_eq!(
            rung("a -x ACK").sight,
            Wanted::Sent(Pattern {
                control: "ACK".into(),
                lost: Some(true),
                ..Pattern::default()
            })
        );
        assert_eq!(
            rung("b received \"a b\"").sight,
            Wanted::Received("a b".into())
        );
    }
}
