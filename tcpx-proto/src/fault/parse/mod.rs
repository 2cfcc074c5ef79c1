//! Reads one line of the fault language, word by word.

use super::rule::{Action, Edit, Effect, Fault, Kind, Milestone, Release, Value, When, Which};
use super::verdict::{Direction, VerdictKind};
use crate::lexer::{
    LONGEST, Mistake, Parsed, Word, Words, decimal, did_you_mean, duration, nearest, number, one_of,
};
use crate::wire::{Field, Flags, OptionKind};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The most copies and the most segments to wait for.
const MAX_COUNT: u32 = 1000;

const DIRECTIONS: &[(&str, Option<Direction>)] = &[
    ("out", Some(Direction::Out)),
    ("in", Some(Direction::In)),
    ("any", None),
];

const KINDS: &[(&str, Kind)] = &[
    ("segment", Kind::Segment),
    ("syn", Kind::Syn),
    ("syn-ack", Kind::SynAck),
    ("syn-data", Kind::SynData),
    ("fast-open", Kind::FastOpen),
    ("fin", Kind::Fin),
    ("rst", Kind::Rst),
    ("ack", Kind::Ack),
    ("data", Kind::Data),
    ("third-ack", Kind::ThirdAck),
    ("ack-of-syn", Kind::ThirdAck),
    ("ack-of-fin", Kind::AckOfFin),
    ("window-update", Kind::WindowUpdate),
    ("probe", Kind::Probe),
    ("keepalive", Kind::KeepAlive),
    ("challenge", Kind::Challenge),
];

const MILESTONES: &[(&str, Milestone)] = &[
    ("established", Milestone::Established),
    ("closed", Milestone::Closed),
    ("time-wait", Milestone::TimeWait),
];

/// Reads what follows a name.
type Read<T> = fn(Word<'_>) -> Parsed<T>;

const VALUED: &[(&str, Read<Kind>)] = &[
    ("flags", |letters| flags(letters).map(Kind::Flags)),
    ("longer", |bytes| number(bytes, 0, 65_535).map(Kind::Longer)),
    ("idle", |time| duration(time, LONGEST).map(Kind::Idle)),
];

/// What precedes the `=` of an edit; `None` is `strip`.
const EDITS: &[(&str, Option<Field>)] = &[
    ("seq", Some(Field::Seq)),
    ("ack", Some(Field::Ack)),
    ("flags", Some(Field::Flags)),
    ("win", Some(Field::Window)),
    ("urg", Some(Field::Urgent)),
    ("res", Some(Field::Reserved)),
    ("ttl", Some(Field::Ttl)),
    ("tos", Some(Field::Tos)),
    ("id", Some(Field::Id)),
    ("mss", Some(Field::Mss)),
    ("wscale", Some(Field::WindowScale)),
    ("tsval", Some(Field::TsVal)),
    ("tsecr", Some(Field::TsEcr)),
    ("strip", None),
];

const OPTIONS: &[(&str, OptionKind)] = &[
    ("mss", OptionKind::Mss),
    ("wscale", OptionKind::WindowScale),
    ("sack", OptionKind::Sack),
    ("timestamps", OptionKind::Timestamps),
    ("fast-open", OptionKind::FastOpen),
];

/// The fields that no rule may rewrite, and why.
const FIXED: &[(&str, &str)] = &[
    ("sport", NOT_OURS),
    ("dport", NOT_OURS),
    ("src", NOT_OURS),
    ("dst", NOT_OURS),
    ("doff", NO_SEGMENT),
    ("len", NO_SEGMENT),
    ("proto", NO_SEGMENT),
    (
        "checksum",
        "checksums are recomputed: use 'corrupt' for a wrong one",
    ),
];
const NOT_OURS: &str =
    "tcpx sends from its own address to its peer's: another four-tuple is another connection";
const NO_SEGMENT: &str = "the result must still be a segment";

/// Reads a whole line.
pub(super) fn action(line: &str) -> Parsed<Action> {
    let mut words = Words::new(line, 0);
    let mut word = words.expect("a rule", "for example: drop out syn#1")?;
    let (key, name) = word.cut("=");
    let action = if let ("release", Some(name)) = (key.text, name) {
        Action::Release(release(name, &mut words)?)
    } else {
        let mut rate = None;
        if key.text == "rate" {
            rate = Some(percent(name.unwrap_or(key.end()))?);
            word = words.expect("a verdict", "for example: rate=5% drop any data")?;
        }
        let effect = effect(word)?;
        let direction = one_of(
            words.expect("a direction", "out, in or any")?,
            "direction",
            DIRECTIONS,
        )?;
        let (kind, which) = segments(
            words.expect("a match", "for example: data#1, or segment for all")?,
            direction,
        )?;
        Action::Fault(Fault {
            rate,
            effect,
            direction,
            kind,
            which,
        })
    };
    match words.next() {
        Some(more) => Err(more.wrong(
            "expected the end of the line",
            Some("write each rule on its own line".into()),
        )),
        None => Ok(action),
    }
}

/// A release without a hold.
pub(super) fn no_such_hold(line: &str, name: &str, held: &[&str]) -> Mistake {
    unpaired(
        line,
        name,
        held,
        format!("no rule holds '{name}'"),
        format!("add a rule such as: hold={name} out data#1"),
    )
}

/// A hold without a release.
pub(super) fn no_such_release(line: &str, name: &str, released: &[&str]) -> Mistake {
    let help = format!("add a rule such as: release={name} on established#2, or drop the segments");
    unpaired(
        line,
        name,
        released,
        format!("no rule releases '{name}'"),
        help,
    )
}

fn unpaired(line: &str, name: &str, others: &[&str], message: String, help: String) -> Mistake {
    let key = if line.contains("release=") {
        "release="
    } else {
        "hold="
    };
    let start = line.find(key).map_or(0, |at| at + key.len());
    let help = nearest(name, others.iter().copied()).map_or(help, did_you_mean);
    Mistake {
        span: start..start + name.len(),
        message,
        help: Some(help),
    }
}

fn release(name: Word<'_>, words: &mut Words<'_>) -> Parsed<Release> {
    const HELP: &str = "for example: on established#2, or: after 5s";
    let name = label(name)?;
    let when = match one_of(
        words.expect("'on' or 'after'", HELP)?,
        "word",
        &[("on", true), ("after", false)],
    )? {
        true => event(words.expect("an event", "established#n, closed#n or time-wait#n")?)?,
        false => {
            let word = words.expect("a duration", "for example: after 1.5s")?;
            When::After(duration(word, LONGEST)?)
        }
    };
    Ok(Release {
        name: name.into(),
        when,
    })
}

fn event(word: Word<'_>) -> Parsed<When> {
    let (name, nth) = word.cut("#");
    let what = one_of(name, "event", MILESTONES)?;
    let missing = || {
        word.end().wrong(
            "the number of the connection is missing",
            Some(format!("{}#1 is the first one", name.text)),
        )
    };
    let nth = number(nth.ok_or_else(missing)?, 1, u32::MAX)?;
    Ok(When::Event { what, nth })
}

/// How the argument of a verdict is read; `None`: no rule can ask for it.
fn verdict(kind: VerdictKind) -> Option<Read<Effect>> {
    Some(match kind {
        VerdictKind::Pass => return None,
        VerdictKind::Drop => |argument| bare(argument, Effect::Drop),
        VerdictKind::Delay => |argument| duration(argument, LONGEST).map(Effect::Delay),
        VerdictKind::Duplicate => |argument| number(argument, 1, MAX_COUNT).map(Effect::Duplicate),
        VerdictKind::Reorder => |argument| number(argument, 1, MAX_COUNT).map(Effect::Reorder),
        VerdictKind::Corrupt => corrupt,
        VerdictKind::Trickle => trickle,
        VerdictKind::Rewrite => rewrite,
        VerdictKind::Hold => |argument| label(argument).map(|name| Effect::Hold(name.into())),
    })
}

/// The verdicts that a rule can ask for.
fn verdicts() -> Vec<(&'static str, Read<Effect>)> {
    let kinds = VerdictKind::ALL.into_iter();
    kinds
        .filter_map(|kind| Some((kind.name(), verdict(kind)?)))
        .collect()
}

fn effect(word: Word<'_>) -> Parsed<Effect> {
    let (name, argument) = match (word.text.find('='), word.text.find('(')) {
        (equals, Some(bracket)) if equals.is_none_or(|equals| bracket < equals) => (
            word.part(0..bracket),
            Some(word.part(bracket..word.text.len())),
        ),
        _ => word.cut("="),
    };
    let read = one_of(name, "verdict", &verdicts())?;
    read(argument.unwrap_or(word.end()))
}

fn bare(argument: Word<'_>, effect: Effect) -> Parsed<Effect> {
    if argument.text.is_empty() {
        Ok(effect)
    } else {
        Err(argument.wrong("this verdict takes no value", None))
    }
}

fn corrupt(argument: Word<'_>) -> Parsed<Effect> {
    match argument.text {
        "" => Ok(Effect::Corrupt),
        "fixed" => Ok(Effect::CorruptFixed),
        _ => Err(argument.wrong(
            "corrupt takes 'fixed' or nothing",
            Some("corrupt leaves the checksum wrong, corrupt=fixed recomputes it".into()),
        )),
    }
}

fn trickle(argument: Word<'_>) -> Parsed<Effect> {
    let (every, queue) = argument.cut(",");
    let queue = queue.map(|queue| number(queue, 1, MAX_COUNT)).transpose()?;
    Ok(Effect::Trickle(duration(every, LONGEST)?, queue))
}

fn rewrite(argument: Word<'_>) -> Parsed<Effect> {
    let inner = argument
        .text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'));
    let Some(inner) = inner.filter(|inner| !inner.trim().is_empty()) else {
        return Err(argument.wrong(
            "rewrite needs its fields in brackets",
            Some("for example: rewrite(win=0)".into()),
        ));
    };
    let mut rest = Some(argument.part(1..1 + inner.len()));
    let mut edits = Vec::new();
    while let Some(word) = rest {
        let (one, more) = word.cut(",");
        edits.push(edit(one.trim())?);
        rest = more;
    }
    Ok(Effect::Rewrite(inner.trim().into(), edits.into()))
}

fn edit(word: Word<'_>) -> Parsed<Edit> {
    let (name, value) = word.cut("=");
    let name = name.trim();
    if let Some((_, why)) = FIXED.iter().find(|(fixed, _)| *fixed == name.text) {
        return Err(name.wrong(
            format!("'{}' cannot be rewritten", name.text),
            Some((*why).into()),
        ));
    }
    let field = one_of(name, "field", EDITS)?;
    let example = if field.is_some() { "1" } else { "timestamps" };
    let missing = || {
        word.end().wrong(
            "a value is missing",
            Some(format!("{}={example}, for example", word.text)),
        )
    };
    let value = value.ok_or_else(missing)?.trim();
    match field {
        Some(field) => Ok(Edit::Set(field, field_value(field, value)?)),
        None => one_of(value, "option", OPTIONS).map(Edit::Strip),
    }
}

fn field_value(field: Field, word: Word<'_>) -> Parsed<Value> {
    if field == Field::Flags {
        return flags(word).map(|flags| Value::To(flags.0.into()));
    }
    let relative: Option<fn(u32) -> Value> = match word.text.as_bytes().first() {
        Some(b'+') => Some(Value::Plus),
        Some(b'-') => Some(Value::Minus),
        _ => None,
    };
    match relative {
        Some(value) => number(word.part(1..word.text.len()), 0, field.max()).map(value),
        None => number(word, 0, field.max()).map(Value::To),
    }
}

fn segments(word: Word<'_>, direction: Option<Direction>) -> Parsed<(Kind, Which)> {
    let (name, range) = word.cut("#");
    let kind = match name.cut("=") {
        (key, Some(value)) => one_of(key, "match with a value", VALUED)?(value)?,
        (_, None) => one_of(name, "match", KINDS)?,
    };
    if kind.needs_label() && direction != Some(Direction::Out) {
        let message = format!("'{}' works with 'out' only", name.text);
        let help = format!(
            "write 'out {}': an incoming segment does not show why it was sent",
            name.text
        );
        return Err(name.wrong(message, Some(help)));
    }
    match range {
        Some(range) => Ok((kind, which(range, kind, name)?)),
        None => Ok((kind, Which::Every)),
    }
}

fn which(range: Word<'_>, kind: Kind, name: Word<'_>) -> Parsed<Which> {
    let (first, rest) = range.cut(".");
    let from = number(first, 1, u32::MAX)?;
    let Some(rest) = rest else {
        return Ok(Which::First { from, to: from });
    };
    if let Some(to) = rest.text.strip_prefix('.') {
        let to = rest.part(rest.text.len() - to.len()..rest.text.len());
        return Ok(if to.text.is_empty() {
            Which::Onward { from }
        } else {
            Which::First {
                from,
                to: number(to, from, u32::MAX)?,
            }
        });
    }
    if !kind.can_repeat() {
        let help = format!(
            "it uses no sequence space, so each transmission counts: {}#{from}..{}",
            name.text,
            from.saturating_add(1)
        );
        return Err(rest.wrong(
            format!("'{}' is never retransmitted", name.text),
            Some(help),
        ));
    }
    let (low, high) = match rest.cut("..") {
        (all, None) if all.text == "*" => (0, u32::MAX),
        (one, None) => number(one, 0, u32::MAX).map(|k| (k, k))?,
        (low, Some(high)) => {
            let low = number(low, 0, u32::MAX)?;
            (
                low,
                if high.text.is_empty() {
                    u32::MAX
                } else {
                    number(high, low, u32::MAX)?
                },
            )
        }
    };
    Ok(Which::Repeats {
        nth: from,
        from: low,
        to: high,
    })
}

fn flags(word: Word<'_>) -> Parsed<Flags> {
    if word.text == "." {
        return Ok(Flags::empty());
    }
    let known = Flags::from_letters(&word.text.to_ascii_uppercase()).filter(|flags| flags.0 != 0);
    let Some(flags) = known else {
        return Err(word.wrong(
            "flags are letters of FSRPAUEW, or . for none",
            Some("for example: flags=FA".into()),
        ));
    };
    let right = format!("{flags}");
    if right == word.text {
        Ok(flags)
    } else {
        Err(word.wrong(
            "flags are written in the order FSRPAUEW",
            Some(did_you_mean(&right)),
        ))
    }
}

fn label(word: Word<'_>) -> Parsed<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if word.text.is_empty() || !word.text.chars().all(fits) {
        return Err(word.wrong(
            "a name consists of letters, digits, - and _",
            Some("for example: hold=old".into()),
        ));
    }
    Ok(word.text)
}

fn percent(word: Word<'_>) -> Parsed<u32> {
    let wrong = || {
        word.wrong(
            "a rate is a percentage from 0% to 100%",
            Some("for example: rate=20%".into()),
        )
    };
    let billionths = word
        .text
        .strip_suffix('%')
        .and_then(decimal)
        .ok_or_else(wrong)?;
    u32::try_from(billionths / 100_000)
        .ok()
        .filter(|rate| *rate <= 1_000_000)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests;
