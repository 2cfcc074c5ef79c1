//! One line of an expected ladder: a state, a segment or a deed at one end, and how long after the line before.
//!
//! `b LAST-ACK` · `b closed reset` · `a -> FIN,ACK` · `a -x ACK` (lost) · `b -> FIN,ACK again seq 12 len 5` ·
//! `b -> SYN,ACK with mss,ts without ws` · `b received "OLD"` · `a failed refused` · `a icmp unreachable 1`, each with `in 0.9s..1.3s` behind.

use crate::events;
use crate::exchange::{End, Exchange, Step};
use std::time::Duration;

/// A line.
#[derive(Clone, PartialEq, Debug)]
pub struct Rung {
    /// As it was written, `$` resolved.
    pub text: String,
    /// At which end.
    pub end: End,
    /// What is seen there.
    pub sight: Sight,
    /// How long after the line before, seconds.
    pub within: Option<(f64, f64)>,
}

/// What is seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sight {
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
    /// As [`events::Segment::control`] names them, PSH left out.
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

/// As [`events::Segment::options`] names them.
const OPTIONS: [&str; 5] = ["mss", "sackOK", "ts", "ws", "sack"];

const HELP: &str = "write it like: b LAST-ACK · a -> FIN,ACK again in 0.9s..1.3s · a -x ACK · b closed reset · b received \"OLD\"";

impl Rung {
    /// Reads a line.
    pub(super) fn parse(line: &str) -> Result<Rung, String> {
        let (what, within) = match line.rsplit_once(" in ") {
            Some((what, bounds)) if bounds.contains("..") => (what, Some(self::bounds(bounds)?)),
            _ => (line, None),
        };
        let (end, rest) = what.trim().split_once(' ').ok_or(HELP)?;
        let end = match end {
            "a" => End::A,
            "b" => End::B,
            other => return Err(format!("'{other}' is no host: a or b. {HELP}")),
        };
        Ok(Rung { text: line.to_owned(), end, sight: sight(rest.trim())?, within })
    }

    /// Whether this step, or the flight that begins with it, is what is meant.
    pub fn fits(&self, exchange: &Exchange, index: usize, step: &Step) -> bool {
        if step.end != self.end {
            return false;
        }
        match &self.sight {
            Sight::State(state) => step.on.is_some() && step.state == *state,
            Sight::Closed(reason) => step.remarks.iter().any(|remark| remark == &format!("closed: {reason}")),
            Sight::Sent(pattern) => exchange.flights.iter().any(|flight| {
                flight.sent == Some(index) && pattern.fits(&flight.segment, flight.received.iter().all(|at| dropped(&exchange.steps[*at])))
            }),
            Sight::Received(text) => step.received.as_deref().is_some_and(|received| received.contains(text.as_str())),
            Sight::Icmp(error) => step.remarks.iter().any(|remark| remark == &format!("ICMP: {error}")),
            Sight::Failed(why) => step.failed.as_deref().is_some_and(|failed| failed.contains(why.as_str())),
        }
    }
}

/// A gate on the receiving side stopped it.
fn dropped(step: &Step) -> bool {
    step.segment.as_ref().is_some_and(|segment| segment.verdict == "drop")
}

impl Pattern {
    fn fits(&self, segment: &events::Segment, lost: bool) -> bool {
        let control = segment.control().replace("PSH,", "");
        control == self.control
            && self.lost.is_none_or(|wanted| wanted == lost)
            && (!self.again || segment.retransmission > 0)
            && self.seq.is_none_or(|seq| seq == segment.seq)
            && self.ack.is_none_or(|ack| ack == segment.ack)
            && self.len.is_none_or(|len| len == segment.len)
            && self.with.iter().all(|name| segment.options().any(|option| option == name))
            && self.without.iter().all(|name| segment.options().all(|option| option != name))
    }
}

fn sight(text: &str) -> Result<Sight, String> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match first {
        "->" => pattern(rest, Some(false)).map(Sight::Sent),
        "-x" => pattern(rest, Some(true)).map(Sight::Sent),
        "-?" => pattern(rest, None).map(Sight::Sent),
        "closed" => Ok(Sight::Closed(rest.to_owned())),
        "failed" => Ok(Sight::Failed(rest.to_owned())),
        "icmp" => Ok(Sight::Icmp(rest.to_owned())),
        "received" => {
            let text = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("received needs a text in quotes")?;
            Ok(Sight::Received(text.to_owned()))
        }
        state if tcpx_proto::tcb::State::ALL.iter().any(|known| known.name() == state) && rest.is_empty() => {
            Ok(Sight::State(state.to_owned()))
        }
        other => Err(format!("'{other}' is neither a state nor an arrow. {HELP}")),
    }
}

fn pattern(text: &str, lost: Option<bool>) -> Result<Pattern, String> {
    let mut words = text.split_whitespace();
    let control = words.next().ok_or(HELP)?;
    if control.split(',').any(|name| !["SYN", "FIN", "RST", "ACK", "URG", "ECE", "CWR"].contains(&name)) {
        return Err(format!("'{control}' are no control bits: SYN, FIN, RST, ACK, URG, in the order of the header, PSH left out"));
    }
    let mut pattern = Pattern { control: control.to_owned(), lost, ..Pattern::default() };
    while let Some(word) = words.next() {
        let field = match word {
            "again" => {
                pattern.again = true;
                continue;
            }
            "seq" => &mut pattern.seq,
            "ack" => &mut pattern.ack,
            "len" => &mut pattern.len,
            "with" => {
                pattern.with = options(words.next())?;
                continue;
            }
            "without" => {
                pattern.without = options(words.next())?;
                continue;
            }
            other => return Err(format!("'{other}' is neither again, seq, ack, len, with nor without")),
        };
        *field = Some(words.next().and_then(|number| number.parse().ok()).ok_or(format!("a number is missing after {word}"))?);
    }
    Ok(pattern)
}

/// The names of options, with commas between them.
fn options(names: Option<&str>) -> Result<Vec<String>, String> {
    let known = |name: &&str| OPTIONS.contains(name);
    let names: Vec<&str> = names.unwrap_or_default().split(',').collect();
    match names.iter().find(|name| !known(name)) {
        Some(other) => Err(format!("'{other}' is no option: one of {}, with commas between several", OPTIONS.join(", "))),
        None => Ok(names.into_iter().map(str::to_owned).collect()),
    }
}

/// `0.9s..1.3s`, `..5s` or `2s..`.
fn bounds(text: &str) -> Result<(f64, f64), String> {
    let (least, most) = text.trim().split_once("..").ok_or("bounds are written like 0.9s..1.3s")?;
    let seconds = |text: &str, otherwise: f64| match text.trim() {
        "" => Ok(otherwise),
        text => duration(text).map(|time| time.as_secs_f64()),
    };
    Ok((seconds(least, 0.0)?, seconds(most, f64::INFINITY)?))
}

/// A time such as `1.5s`, `200ms` or `2h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let unit =
        text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(|| format!("'{text}' is no time: a number and us, ms, s, m or h"))?;
    let (number, unit) = text.split_at(unit);
    let number: f64 = number.trim().parse().map_err(|_| format!("'{text}' is no time: a number and us, ms, s, m or h"))?;
    let factor = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        other => return Err(format!("'{other}' is no unit of time: us, ms, s, m or h")),
    };
    Duration::try_from_secs_f64(number * factor).map_err(|error| format!("'{text}': {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_each_kind_is_read() {
        let rung = |line: &str| Rung::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(rung("b LAST-ACK").sight, Sight::State("LAST-ACK".into()));
        assert_eq!(rung("b closed reset in ..5s").within, Some((0.0, 5.0)));
        let sent = Pattern { control: "FIN,ACK".into(), lost: Some(false), again: true, seq: Some(12), ..Pattern::default() };
        assert_eq!(rung("a -> FIN,ACK again seq 12 in 900ms..1.3s").sight, Sight::Sent(sent));
        let options = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (with, without) = (options(&["mss", "ts"]), options(&["ws"]));
        let sent = Pattern { control: "SYN,ACK".into(), lost: Some(false), with, without, ..Pattern::default() };
        assert_eq!(rung("b -> SYN,ACK with mss,ts without ws").sight, Sight::Sent(sent));
        assert_eq!(rung("a icmp unreachable 1 in ..1s").sight, Sight::Icmp("unreachable 1".into()));
        assert_eq!(rung("a -x ACK").sight, Sight::Sent(Pattern { control: "ACK".into(), lost: Some(true), ..Pattern::default() }));
        assert_eq!(rung("b received \"a b\"").sight, Sight::Received("a b".into()));
    }

    #[test]
    fn mistake_says_what_is_wrong() {
        for (line, words) in [
            ("c LISTEN", "'c' is no host"),
            ("a LISTENING", "neither a state nor an arrow"),
            ("a -> SIN", "no control bits"),
            ("a -> SYN seq", "a number is missing"),
            ("a -> SYN with", "'' is no option"),
            ("a -> SYN without wscale", "'wscale' is no option"),
            ("a SYN-SENT in 1..2", "is no time"),
        ] {
            let error = Rung::parse(line).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
