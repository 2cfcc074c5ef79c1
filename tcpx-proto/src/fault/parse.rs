//! One line of the fault language, read word by word; a mistake says where it is and what would be
//! right.

use super::Direction;
use super::rule::{Action, Edit, Effect, Fault, Kind, Milestone, Release, Value, When, Which};
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

/// Reads what stands behind a name.
type Read<T> = fn(Word<'_>) -> Parsed<T>;

const VALUED: &[(&str, Read<Kind>)] = &[
    ("flags", |letters| flags(letters).map(Kind::Flags)),
    ("longer", |octets| {
        number(octets, 0, 65_535).map(Kind::Longer)
    }),
    ("idle", |time| duration(time, LONGEST).map(Kind::Idle)),
];

/// What stands before the `=` of an edit; `None` is `strip`.
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
];

/// What a header has and no rule may rewrite, and why.
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
        "checksums are made right: 'corrupt' is the verdict that leaves one wrong",
    ),
];
const NOT_OURS: &str = "tcpx sends from its own addresses and ports and to its peer's: anything else is somebody else's connection";
const NO_SEGMENT: &str = "what comes out must be a segment still";

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
            word = words.expect(
                "a verdict",
                "after the rate comes what happens: rate=5% drop any data",
            )?;
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
            "nothing more is expected here",
            Some("one rule a line: give a second one by itself".into()),
        )),
        None => Ok(action),
    }
}

/// The mistake of a release that nothing waits for.
pub(super) fn no_such_hold(line: &str, name: &str, held: &[&str]) -> Mistake {
    unpaired(
        line,
        name,
        held,
        format!("no rule holds anything as '{name}'"),
        format!("add a rule such as: hold={name} out data#1"),
    )
}

/// The mistake of a hold that nothing ends.
pub(super) fn no_such_release(line: &str, name: &str, released: &[&str]) -> Mistake {
    let help = format!(
        "add a rule such as: release={name} on established#2; what is never to go on can be dropped"
    );
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
            "which connection on the four-tuple?",
            Some(format!("{}#1 is the first one", name.text)),
        )
    };
    let nth = number(nth.ok_or_else(missing)?, 1, u32::MAX)?;
    Ok(When::Event { what, nth })
}

fn effect(word: Word<'_>) -> Parsed<Effect> {
    const VERDICTS: &[(&str, Read<Effect>)] = &[
        ("drop", |argument| bare(argument, Effect::Drop)),
        ("delay", |argument| {
            duration(argument, LONGEST).map(Effect::Delay)
        }),
        ("dup", |argument| {
            number(argument, 1, MAX_COUNT).map(Effect::Duplicate)
        }),
        ("reorder", |argument| {
            number(argument, 1, MAX_COUNT).map(Effect::Reorder)
        }),
        ("corrupt", corrupt),
        ("trickle", trickle),
        ("rewrite", rewrite),
        ("hold", |argument| {
            label(argument).map(|name| Effect::Hold(name.into()))
        }),
    ];
    let (name, argument) = match (word.text.find('='), word.text.find('(')) {
        (equals, Some(bracket)) if equals.is_none_or(|equals| bracket < equals) => (
            word.part(0..bracket),
            Some(word.part(bracket..word.text.len())),
        ),
        _ => word.cut("="),
    };
    let read = one_of(name, "verdict", VERDICTS)?;
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
            Some("corrupt leaves the checksum wrong, corrupt=fixed makes it right again".into()),
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
        let message = format!("'{}' can only be told of outgoing segments", name.text);
        let help = format!(
            "write 'out {}': a label says why our TCP sent a segment, and an incoming one has none",
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
            "it uses no sequence space, so each time it is sent counts: {}#{from}..{}",
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
        return Ok(Flags::NONE);
    }
    let known = Flags::from_letters(&word.text.to_ascii_uppercase()).filter(|flags| flags.0 != 0);
    let Some(flags) = known else {
        return Err(word.wrong(
            "flags are letters out of FSRPAUEW, or . for none",
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
            "a name is letters, digits, - and _",
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
mod tests {
    use super::super::{FaultRule, check};
    use super::*;
    use crate::time::Duration;
    use alloc::string::ToString;
    use proptest::prelude::*;

    const DOCS: &str = include_str!("../../../docs/faults.md");

    /// The lines of the blocks that are fenced with this word.
    fn blocks(word: &str) -> Vec<&'static str> {
        let fence = format!("```{word}\n");
        DOCS.split(&*fence)
            .skip(1)
            .flat_map(|block| block.split("```").next().unwrap_or_default().lines())
            .collect()
    }

    fn fault(line: &str) -> Fault {
        match action(line) {
            Ok(Action::Fault(fault)) => fault,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn docs_every_example_is_accepted() {
        let examples = blocks("fault");
        assert!(examples.len() > 40);
        for line in examples {
            assert!(action(line).is_ok(), "{line}: {:?}", action(line));
        }
    }

    #[test]
    fn docs_every_refused_line_is_refused_within_the_line() {
        let refused = blocks("refused");
        assert!(refused.len() > 40);
        for line in refused {
            let error = action(line).expect_err(line);
            assert!(
                error.span.start <= error.span.end && error.span.end <= line.len(),
                "{line}: {error:?}"
            );
            assert!(
                line.get(error.span.clone()).is_some() && !error.message.is_empty(),
                "{line}: {error:?}"
            );
        }
    }

    #[test]
    fn docs_name_every_word_of_the_language() {
        let examples = blocks("fault").join("\n");
        let verdicts = [
            "drop",
            "delay=",
            "dup=",
            "reorder=",
            "corrupt ",
            "corrupt=fixed",
            "trickle=",
            "rewrite(",
            "hold=",
            "release=",
            "rate=",
        ];
        let matches = KINDS
            .iter()
            .map(|(name, _)| *name)
            .chain(MILESTONES.iter().map(|(name, _)| *name));
        let valued = VALUED
            .iter()
            .map(|(name, _)| *name)
            .chain(EDITS.iter().map(|(name, _)| *name))
            .map(|name| format!("{name}="));
        let stripped = OPTIONS.iter().map(|(name, _)| format!("strip={name}"));
        for word in verdicts
            .into_iter()
            .chain(matches)
            .map(Into::into)
            .chain(valued)
            .chain(stripped)
        {
            assert!(examples.contains(&word), "no example of {word}");
        }
    }

    #[test]
    fn line_with_everything_is_read_part_by_part() {
        let fault =
            fault("  rate=0.5%  rewrite( seq = +7 , flags=FA, win=0x10 )  in  data#2.1..3 ");
        assert_eq!(
            (fault.rate, fault.direction, fault.kind),
            (Some(5_000), Some(Direction::In), Kind::Data)
        );
        assert_eq!(
            fault.which,
            Which::Repeats {
                nth: 2,
                from: 1,
                to: 3
            }
        );
        let Effect::Rewrite(text, edits) = fault.effect else {
            panic!("{:?}", fault.effect)
        };
        assert_eq!(&*text, "seq = +7 , flags=FA, win=0x10");
        assert_eq!(
            *edits,
            [
                Edit::Set(Field::Seq, Value::Plus(7)),
                Edit::Set(Field::Flags, Value::To(0x11)),
                Edit::Set(Field::Window, Value::To(16))
            ]
        );
    }

    #[test]
    fn edit_each_spelling_has_its_meaning() {
        let edits = |text: &str| match fault(&format!("rewrite({text}) out syn")).effect {
            Effect::Rewrite(_, edits) => edits.to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(edits("mss=0x218"), [Edit::Set(Field::Mss, Value::To(536))]);
        assert_eq!(
            edits("wscale=+255"),
            [Edit::Set(Field::WindowScale, Value::Plus(255))]
        );
        let stamps = [
            Edit::Set(Field::TsVal, Value::Minus(4_294_967_295)),
            Edit::Set(Field::TsEcr, Value::To(0)),
        ];
        assert_eq!(edits("tsval=-4294967295,tsecr=0"), stamps);
        for (name, option) in OPTIONS {
            assert_eq!(
                edits(&format!("strip={name}, res=15")),
                [
                    Edit::Strip(*option),
                    Edit::Set(Field::Reserved, Value::To(15))
                ]
            );
        }
    }

    #[test]
    fn range_each_spelling_has_its_meaning() {
        let last = u32::MAX;
        for (range, which) in [
            ("", Which::Every),
            ("#2", Which::First { from: 2, to: 2 }),
            ("#2..4", Which::First { from: 2, to: 4 }),
            ("#2..", Which::Onward { from: 2 }),
            (
                "#2.0",
                Which::Repeats {
                    nth: 2,
                    from: 0,
                    to: 0,
                },
            ),
            (
                "#2.3",
                Which::Repeats {
                    nth: 2,
                    from: 3,
                    to: 3,
                },
            ),
            (
                "#2.*",
                Which::Repeats {
                    nth: 2,
                    from: 0,
                    to: last,
                },
            ),
            (
                "#2.1..",
                Which::Repeats {
                    nth: 2,
                    from: 1,
                    to: last,
                },
            ),
        ] {
            assert_eq!(
                fault(&format!("drop out data{range}")).which,
                which,
                "{range}"
            );
        }
    }

    #[test]
    fn time_each_unit_and_fraction_is_exact() {
        for (text, nanos) in [
            ("1us", 1_000),
            ("2.5ms", 2_500_000),
            ("3s", 3_000_000_000),
            ("1m", 60_000_000_000),
            ("24h", 86_400_000_000_000),
        ] {
            assert_eq!(
                fault(&format!("delay={text} out data")).effect,
                Effect::Delay(Duration::from_nanos(nanos)),
                "{text}"
            );
        }
    }

    #[test]
    fn mistake_is_underlined_and_the_nearest_word_is_named() {
        for (line, wrong, help) in [
            ("dorp out data", "dorp", "did you mean 'drop'?"),
            ("drop ot data", "ot", "did you mean 'out'?"),
            (
                "drop out third_ack",
                "third_ack",
                "did you mean 'third-ack'?",
            ),
            (
                "rate=5% delya=3s out data",
                "delya",
                "did you mean 'delay'?",
            ),
            ("drop out flags=AF", "AF", "did you mean 'FA'?"),
            ("drop out flags=fa", "fa", "did you mean 'FA'?"),
            ("rewrite(wim=0) out ack", "wim", "did you mean 'win'?"),
            (
                "rewrite(tsvall=0) out ack",
                "tsvall",
                "did you mean 'tsval'?",
            ),
            (
                "rewrite(strip=timestamp) out syn",
                "timestamp",
                "did you mean 'timestamps'?",
            ),
            (
                "rewrite(mss=1, strip) out syn",
                "",
                "strip=timestamps, for example",
            ),
            (
                "rewrite(ttl=3, doff=4) out syn",
                "doff",
                "what comes out must be a segment still",
            ),
            ("drop out flag=FA", "flag", "did you mean 'flags'?"),
            ("drop out data=3", "data", "one of: flags, longer, idle"),
            ("drop out longer=3O", "3O", ""),
            (
                "release=old on establised#2",
                "establised",
                "did you mean 'established'?",
            ),
            ("release=old on closed", "", "closed#1 is the first one"),
            (
                "delay=3parsec out data",
                "parsec",
                "one of: us, ms, s, m, h",
            ),
            (
                "drop out ack#2.1",
                "1",
                "it uses no sequence space, so each time it is sent counts: ack#2..3",
            ),
            ("drop out", "", "for example: data#1, or segment for all"),
        ] {
            let error = action(line).expect_err(line);
            assert_eq!(
                (
                    &line[error.span.clone()],
                    error.help.as_deref().unwrap_or_default()
                ),
                (wrong, help),
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn label_with_any_direction_is_refused_with_the_reason() {
        for direction in ["in", "any"] {
            let error = action(&format!("drop {direction} keepalive")).unwrap_err();
            assert_eq!(
                error.to_string(),
                "'keepalive' can only be told of outgoing segments"
            );
            assert!(error.help.unwrap().starts_with("write 'out keepalive'"));
        }
    }

    #[test]
    fn hold_and_release_without_the_other_are_found() {
        let mistake = |lines: &[&str]| {
            let rules: Vec<_> = lines
                .iter()
                .map(|line| FaultRule::parse(line).unwrap())
                .collect();
            let found = check(&rules).err();
            found.map(|(rule, error)| {
                (
                    rule.text[error.span].to_string(),
                    error.message,
                    error.help.unwrap(),
                )
            })
        };
        let release = mistake(&[
            "hold=old out data#1",
            "release=old on closed#1",
            "release=odl on closed#1",
        ])
        .unwrap();
        assert_eq!(
            (release.0.as_str(), release.2.as_str()),
            ("odl", "did you mean 'old'?")
        );
        let hold = mistake(&["drop out fin", "rate=5% hold=old out data#1"]).unwrap();
        assert_eq!(
            (hold.0.as_str(), hold.1.as_str()),
            ("old", "no rule releases 'old'")
        );
        assert_eq!(
            mistake(&["hold=old out data#1", "release=old on closed#1"]),
            None
        );
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused_within_its_bounds(line in any::<String>()) {
            if let Err(error) = action(&line) {
                prop_assert!(line.get(error.span).is_some());
            }
        }

        #[test]
        fn any_words_of_the_language_are_read_or_refused_within_bounds(
            line in "((rate|delay|dup|hold|release|rewrite|strip|mss|drop|out|in|any|data|flags|longer|third-ack|on|after|closed|é)?[ =#.(),%*+-]?[0-9sA-F]{0,2}){0,12}"
        ) {
            if let Err(error) = action(&line) {
                prop_assert!(line.get(error.span).is_some());
            }
        }
    }
}
