//! The fault language: its documentation, its spellings and its mistakes.

use super::*;
use crate::fault::{FaultRule, check};
use crate::time::Duration;
use alloc::string::ToString;
use proptest::prelude::*;

const DOCS: &str = include_str!("../../../../docs/faults.md");

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
    let matches = KINDS.iter().map(|(name, _)| *name);
    let verdicts = verdicts().into_iter().map(|(name, _)| name);
    let events = MILESTONES.iter().map(|(name, _)| *name);
    let valued = VALUED
        .iter()
        .map(|(name, _)| *name)
        .chain(EDITS.iter().map(|(name, _)| *name))
        .map(|name| format!("{name}="));
    let stripped = OPTIONS.iter().map(|(name, _)| format!("strip={name}"));
    let forms = ["corrupt=fixed", "release=", "rate="];
    for word in verdicts
        .chain(matches)
        .chain(events)
        .chain(forms)
        .map(Into::into)
        .chain(valued)
        .chain(stripped)
    {
        assert!(examples.contains(&word), "no example of {word}");
    }
}

#[test]
fn docs_have_a_row_for_every_verdict_match_and_field() {
    let rows: Vec<&str> = DOCS
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let verdicts = verdicts().into_iter().map(|(name, _)| name);
    let kinds = KINDS.iter().map(|(name, _)| *name);
    let valued = VALUED.iter().map(|(name, _)| *name);
    let fields = EDITS.iter().map(|(name, _)| *name);
    let options = OPTIONS.iter().map(|(name, _)| *name);
    for name in verdicts
        .chain(kinds)
        .chain(valued)
        .chain(fields)
        .chain(options)
    {
        let begins = |row: &&str| {
            let cell = row.split('|').nth(1).unwrap_or_default();
            cell.split('`').any(|word| {
                word.strip_prefix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', '(']))
            })
        };
        assert!(rows.iter().any(begins), "no row for {name}");
    }
}

#[test]
fn line_with_everything_is_read_part_by_part() {
    let fault = fault("  rate=0.5%  rewrite( seq = +7 , flags=FA, win=0x10 )  in  data#2.1..3 ");
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
            "the result must still be a segment",
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
            "it uses no sequence space, so each transmission counts: ack#2..3",
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
        assert_eq!(error.to_string(), "'keepalive' works with 'out' only");
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
        line in "((rate|delay|dup|hold|release|rewrite|strip|mss|drop|out|in|any|data|flags|\
                longer|third-ack|on|after|closed|é)?[ =#.(),%*+-]?[0-9sA-F]{0,2}){0,12}"
    ) {
        if let Err(error) = action(&line) {
            prop_assert!(line.get(error.span).is_some());
        }
    }
}
