//! The lines of an events file: written, read back, and held against `docs/events.schema.json`.
#![cfg(feature = "serde")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::str::FromStr;
use tcpx_proto::config::Profile;
use tcpx_proto::error::CloseKind;
use tcpx_proto::event::{Discard, Evidence, Timer, TimerActionKind};
use tcpx_proto::fault::{Direction, VerdictKind};
use tcpx_proto::label::{Carries, Cause};
use tcpx_proto::name::UnknownName;
use tcpx_proto::script::{AppAction, AppActionKind};
use tcpx_proto::seq::Seq;
use tcpx_proto::state::{State, Trigger};
use tcpx_proto::time::Duration;
use tcpx_proto::trace::{Body, Entry, Role, Segment, Start};
use tcpx_proto::wire::{
    FastOpenCookie, Flags, IcmpKind, IcmpName, Options, SackBlocks, Timestamps,
};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/events.schema.json")).unwrap()
}

const CAUSES: [Cause; 10] = [
    Cause::Call,
    Cause::Ack,
    Cause::Released,
    Cause::Retransmission(3),
    Cause::FastRetransmission,
    Cause::TailLossProbe,
    Cause::Probe,
    Cause::KeepAlive,
    Cause::Challenge,
    Cause::Reset,
];

fn segment() -> Segment {
    let mut sack = SackBlocks::NONE;
    sack.push(Seq(105), Seq(110));
    sack.push(Seq(120), Seq(125));
    Segment {
        dir: Direction::Out,
        cause: Some(Cause::Call),
        carries: Some(Carries::all()),
        flags: Flags::SYN | Flags::ACK,
        seq: Seq(u32::MAX),
        ack: Seq(0),
        len: 5,
        win: 1 << 20,
        id: u16::MAX,
        options: Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            sack,
            timestamps: Some(Timestamps { value: 5, echo: 0 }),
            fast_open: FastOpenCookie::new(&[0x59, 0x8c, 0xf8, 0x5a]),
        },
        retransmission: 2,
        verdict: VerdictKind::Drop,
        rule: Some("drop out syn".into()),
        forged: false,
    }
}

/// Every event, with every value that one of its members has.
fn bodies() -> Vec<Body> {
    let mut all = vec![
        Body::Opened {
            local: "10.0.0.1:40000".parse().unwrap(),
            remote: "[fd00::2]:7000".parse().unwrap(),
            passive: true,
        },
        Body::Accepted {
            seq: Seq(7),
            text: 5,
        },
        Body::Deviated {
            rule: "time-wait".into(),
            requirement: "RFC 9293 3.6.1 (MUST-13)".into(),
            to: State::Closed,
        },
        Body::R1 { retransmissions: 3 },
        Body::Urgent { up_to: Seq(9) },
        Body::Undone {
            evidence: Evidence::Timestamps,
            cwnd: 14_600,
        },
        Body::Segment(Segment {
            cause: None,
            carries: None,
            flags: Flags::empty(),
            options: Options::default(),
            rule: None,
            ..segment()
        }),
    ];
    all.extend(Discard::ALL.map(|reason| Body::Discarded { reason }));
    all.extend(CloseKind::ALL.map(|reason| Body::Closed {
        reason: Some(reason),
    }));
    all.extend(
        State::ALL
            .iter()
            .zip(State::ALL.iter().rev())
            .map(|(from, to)| {
                let from = *from;
                let to = *to;
                let on = Some(Trigger::Syn);
                Body::State { from, to, on }
            }),
    );
    all.extend(Trigger::ALL.map(|on| Body::State {
        from: State::Closed,
        to: State::Closed,
        on: Some(on),
    }));
    all.extend(Timer::ALL.map(|timer| Body::Timer {
        timer,
        action: TimerActionKind::Fired,
        until: None,
    }));
    all.extend(TimerActionKind::ALL.map(|action| Body::Timer {
        timer: Timer::User,
        action,
        until: (action == TimerActionKind::Started).then_some(1.5),
    }));
    let icmp = [
        IcmpKind::Unreachable(13),
        IcmpKind::PacketTooBig(1280),
        IcmpKind::TimeExceeded(0),
        IcmpKind::ParameterProblem,
        IcmpKind::SourceQuench,
    ];
    all.extend(icmp.map(Body::Icmp));
    let app = [
        AppAction::Began("send \"x\"".into()),
        AppAction::Done,
        AppAction::Failed("no".into()),
        AppAction::Sent((0..=255).collect()),
        AppAction::Received(b"x".to_vec()),
        AppAction::Over,
    ];
    all.extend(app.map(Body::App));
    let with = |change: &dyn Fn(&mut Segment)| {
        let mut segment = segment();
        change(&mut segment);
        Body::Segment(segment)
    };
    all.extend(CAUSES.map(|cause| with(&|segment| segment.cause = Some(cause))));
    all.extend(VerdictKind::ALL.map(|verdict| with(&|segment| segment.verdict = verdict)));
    all.extend(Direction::ALL.map(|dir| with(&|segment| segment.dir = dir)));
    all.extend((0..=255).map(|bits| with(&|segment| segment.flags = Flags(bits))));
    all
}

/// A line of each body, with and without a connection where it may have none.
fn lines() -> Vec<Entry> {
    bodies()
        .into_iter()
        .map(|body| Entry {
            t: 0.000_51,
            conn: Some(1),
            body,
        })
        .collect()
}

#[test]
fn every_line_is_read_back_as_it_was_written() {
    for line in lines() {
        let text = serde_json::to_string(&line).unwrap();
        let back: Entry = serde_json::from_str(&text).unwrap();
        assert_eq!(back, line, "{text}");
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
    for role in Role::ALL {
        for profile in Profile::ALL {
            let start = Start::new(role, profile, u64::MAX, Duration::ZERO, Duration::MAX);
            let text = serde_json::to_string(&start).unwrap();
            assert_eq!(serde_json::from_str::<Start>(&text).unwrap(), start);
        }
    }
}

#[test]
fn every_line_holds_against_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let holds = |value: Value| {
        if let Err(wrong) = validator.validate(&value) {
            panic!("{value}: {wrong}");
        }
    };
    for line in lines() {
        holds(serde_json::to_value(&line).unwrap());
    }
    for line in lines()
        .into_iter()
        .filter(|line| may_be_of_no_connection(&line.body))
    {
        holds(serde_json::to_value(Entry { conn: None, ..line }).unwrap());
    }
    for role in Role::ALL {
        for profile in Profile::ALL {
            let start = Start::in_memory(role, profile, u64::MAX);
            holds(serde_json::to_value(start).unwrap());
        }
    }
}

fn may_be_of_no_connection(body: &Body) -> bool {
    matches!(
        body,
        Body::Segment(_)
            | Body::Accepted { .. }
            | Body::Discarded { .. }
            | Body::Deviated { .. }
            | Body::Icmp(_)
            | Body::App(_)
    )
}

#[test]
fn wrong_lines_are_refused_by_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let wrong = [
        r#"{"t":0.0,"conn":1,"event":"state","from":"CLOSED","to":"SYN_SENT","on":"active OPEN"}"#,
        r#"{"t":0.0,"conn":1,"event":"state","from":"CLOSED","to":"SYN-SENT"}"#,
        r#"{"t":-1.0,"conn":1,"event":"state","from":"CLOSED","to":"SYN-SENT","on":"active OPEN"}"#,
        r#"{"t":0.0,"conn":0,"event":"state","from":"CLOSED","to":"SYN-SENT","on":"active OPEN"}"#,
        r#"{"t":0.0,"conn":1,"event":"closed","reason":"clean","extra":1}"#,
        r#"{"t":0.0,"conn":1,"event":"closed","reason":"cleaned"}"#,
        r#"{"t":0.0,"conn":1,"event":"discarded","reason":"dull"}"#,
        r#"{"t":0.0,"conn":1,"event":"unheard-of"}"#,
        r#"{"t":0.0,"conn":1,"event":"opened","local":"10.0.0.1","remote":"10.0.0.2:7000","passive":false}"#,
        r#"{"event":"start","version":2,"role":"client","profile":"linux","seed":7,"monotonic":0,"realtime":0}"#,
    ];
    for line in wrong {
        let value: Value = serde_json::from_str(line).unwrap();
        assert!(!validator.is_valid(&value), "{line}");
    }
    for (member, value) in [
        ("flags", json!("FS.")),
        ("flags", json!("SF")),
        ("cause", json!("retransmission")),
        ("carries", json!(["text"])),
        ("seq", json!(1u64 << 32)),
        ("id", json!(65536)),
        ("verdict", json!("dropped")),
        ("dir", json!("OUT")),
        ("forged", json!(true)),
    ] {
        let body = Body::Segment(segment());
        let conn = None;
        let mut line = serde_json::to_value(Entry { t: 0.0, conn, body }).unwrap();
        assert!(validator.is_valid(&line));
        line[member] = value;
        assert!(!validator.is_valid(&line), "{line}");
    }
}

/// The strings of an `enum` in the schema.
fn listed(schema: &Value, pointer: &str) -> BTreeSet<String> {
    let list = schema.pointer(pointer).and_then(Value::as_array);
    let list = list.unwrap_or_else(|| panic!("no list at {pointer}"));
    list.iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

fn named<T: ToString>(all: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    all.into_iter().map(|value| value.to_string()).collect()
}

#[test]
fn lists_of_the_schema_are_those_of_the_types() {
    let schema = schema();
    let carries = named(Carries::all().names());
    for (pointer, names) in [
        ("/$defs/state-name/enum", named(State::ALL)),
        ("/$defs/start/properties/role/enum", named(Role::ALL)),
        ("/$defs/start/properties/profile/enum", named(Profile::ALL)),
        ("/$defs/state/properties/on/enum", named(Trigger::ALL)),
        ("/$defs/segment/properties/dir/enum", named(Direction::ALL)),
        (
            "/$defs/segment/properties/verdict/enum",
            named(VerdictKind::ALL),
        ),
        ("/$defs/segment/properties/carries/items/enum", carries),
        (
            "/$defs/discarded/properties/reason/enum",
            named(Discard::ALL),
        ),
        ("/$defs/timer/properties/timer/enum", named(Timer::ALL)),
        (
            "/$defs/undone/properties/evidence/enum",
            named(Evidence::ALL),
        ),
        (
            "/$defs/timer/properties/action/enum",
            named(TimerActionKind::ALL),
        ),
        ("/$defs/icmp/properties/kind/enum", named(IcmpName::ALL)),
        (
            "/$defs/closed/properties/reason/enum",
            named(CloseKind::ALL),
        ),
        ("/$defs/app/properties/did/enum", named(AppActionKind::ALL)),
    ] {
        assert_eq!(listed(&schema, pointer), names, "{pointer}");
    }
    let cause = schema.pointer("/$defs/segment/properties/cause/pattern");
    let causes = CAUSES.map(|cause| match cause {
        Cause::Retransmission(_) => format!("{} [0-9]+", cause.name()),
        cause => cause.to_string(),
    });
    let pattern = format!("^({})$", causes.join("|"));
    assert_eq!(cause.unwrap().as_str(), Some(&*pattern));
}

#[test]
fn every_event_of_the_schema_is_a_body_and_the_other_way_round() {
    let name = |body: &Body| {
        let value = serde_json::to_value(body).unwrap();
        value["event"].as_str().unwrap().to_owned()
    };
    let mut written: BTreeSet<String> = bodies().iter().map(name).collect();
    written.insert("start".into());
    let schema = schema();
    let variants = schema["oneOf"].as_array().unwrap().iter();
    let known = variants
        .map(|one| one["$ref"].as_str().unwrap().replace("#/$defs/", ""))
        .collect();
    assert_eq!(written, known);
}

/// `all` are read back from their names, and another name is an error that has it.
fn round_trip<T>(all: impl IntoIterator<Item = T>, what: &str)
where
    T: Display + Debug + FromStr<Err = UnknownName> + PartialEq,
{
    let mut names = BTreeSet::new();
    for value in all {
        let name = value.to_string();
        assert_eq!(name.parse().as_ref(), Ok(&value));
        assert!(names.insert(name.clone()), "'{name}' names two values");
    }
    let error = "no such name".parse::<T>().unwrap_err();
    assert_eq!(error.to_string(), format!("unknown {what} 'no such name'"));
}

#[test]
fn names_are_read_back_and_unknown_ones_are_errors_that_have_the_word() {
    round_trip(State::ALL, "state");
    round_trip(Trigger::ALL, "trigger");
    round_trip(CloseKind::ALL, "reason of an end");
    round_trip(VerdictKind::ALL, "verdict");
    round_trip(Direction::ALL, "direction");
    round_trip(Discard::ALL, "reason to discard");
    round_trip(Timer::ALL, "timer");
    round_trip(Evidence::ALL, "evidence");
    round_trip(TimerActionKind::ALL, "action of a timer");
    round_trip(AppActionKind::ALL, "action of an application");
    round_trip(IcmpName::ALL, "ICMP error");
    round_trip(Profile::ALL, "profile");
    round_trip(Role::ALL, "role");
    round_trip(CAUSES, "cause");
    round_trip((0..=255).map(Flags), "control bit in");
}

#[test]
fn unknown_name_in_a_line_is_an_error_that_has_the_word() {
    let line = r#"{"t":0.0,"conn":1,"event":"state","from":"CLOSED","to":"SYN_SENT","on":"SYN"}"#;
    let error = serde_json::from_str::<Entry>(line).unwrap_err().to_string();
    assert!(error.starts_with("unknown state 'SYN_SENT'"), "{error}");
}

#[test]
fn unknown_events_and_members_are_skipped() {
    let read = |line| serde_json::from_str::<Entry>(line).unwrap().body;
    let later = read(r#"{"t":0.0,"event":"of a later version","more":[1]}"#);
    assert_eq!(later, Body::Unknown);
    let more = read(r#"{"t":0.0,"conn":1,"event":"closed","reason":"clean","more":1}"#);
    let reason = Some(CloseKind::Clean);
    assert_eq!(more, Body::Closed { reason });
}

#[test]
fn time_is_read_to_the_last_bit() {
    let t = Duration::from_micros(3_720_000).as_secs_f64();
    let reason = Some(CloseKind::Reset);
    let body = Body::Closed { reason };
    let conn = None;
    let line = serde_json::to_string(&Entry { t, conn, body }).unwrap();
    let back: Entry = serde_json::from_str(&line).unwrap();
    assert_eq!(back.t.to_bits(), t.to_bits());
}

proptest! {
    #[test]
    fn options_are_read_back_from_their_text(
        mss: Option<u16>,
        window_scale: Option<u8>,
        sack_permitted: bool,
        blocks in prop::collection::vec(any::<(u32, u32)>(), 0..5),
        stamps: Option<(u32, u32)>,
        cookie in prop::collection::vec(any::<u8>(), 0..=16),
    ) {
        let fast_open = FastOpenCookie::new(&cookie);
        let mut sack = SackBlocks::NONE;
        for (left, right) in blocks {
            sack.push(Seq(left), Seq(right));
        }
        let timestamps = stamps.map(|(value, echo)| Timestamps { value, echo });
        let options = Options { mss, window_scale, sack_permitted, sack, timestamps, fast_open };
        prop_assert_eq!(options.to_string().parse(), Ok(options));
    }

    #[test]
    fn text_that_is_no_option_is_an_error(text in "[a-z0-9 ,:-]{0,20}") {
        if let Ok(options) = text.parse::<Options>() {
            prop_assert_eq!(options.to_string().parse(), Ok(options));
        }
    }
}
