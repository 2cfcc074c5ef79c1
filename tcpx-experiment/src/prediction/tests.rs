//! Other interleavings of the same scripts are the same TCP; a record with one thing changed is
//! not.

use super::difference;
use crate::experiment::{Experiment, Plan, Scale, Tolerance};
use crate::trace::sample::{File, handshake};
use crate::trace::{Body, Direction, Entry, Log, Segment};
use crate::world::{Outcome, sim};
use std::time::Duration;
use tcpx_proto::error::CloseKind;
use tcpx_proto::fault::FaultRule;
use tcpx_proto::preset::Preset;
use tcpx_proto::script::AppAction;
use tcpx_proto::script::Script;
use tcpx_proto::wire::Flags;

const FILE: &str = r#"
name = "x"
title = "x"
question = "x"
story = "x"
group = "close"
profile = "PROFILE"
textbook = "x"
rfc = "x"
linux = "x"
patience = "5s"
limit = "20s"
[kernel]
no = "x"
[a]
script = '''CLIENT'''
options = "--msl 100ms --isn 100"
[b]
script = '''SERVER'''
options = "--msl 100ms --isn 300"
[[arm]]
name = "x"
treatment = true
says = "x"
holds = ["octets"]
[[arm]]
name = "y"
says = "x"
holds = ["octets"]
"#;

fn plan(profile: &str, [client, server]: [&str; 2]) -> Plan {
    let source = FILE
        .replace("PROFILE", profile)
        .replace("CLIENT", client)
        .replace("SERVER", server);
    let experiment = Experiment::parse("x", &source).unwrap_or_else(|mistake| panic!("{mistake}"));
    experiment
        .checked_plan(&experiment.arms[0], Scale::Wire)
        .unwrap()
}

/// Who closes first, what travels together, and how much is under way is a matter of microseconds
/// in these.
const SCRIPTS: [[&str; 2]; 14] = [
    [
        "connect; send \"hello\"; shutdown; receive to end; close",
        "listen; accept; receive to end; close",
    ],
    [
        "connect; send \"hello\"; receive 5; shutdown; receive to end; close",
        "listen; accept; echo; close",
    ],
    [
        "connect; send 100; receive 2000; send 100; receive 2000; close",
        "listen; accept; receive 100; send 2000; receive 100; send 2000; receive to end; close",
    ],
    [
        "connect; send 9k; shutdown; receive to end; close",
        "listen; accept; receive to end; send 20k; close",
    ],
    [
        "connect; send 90k; shutdown; receive to end; close",
        "listen; accept; send 90k; shutdown; receive to end; close",
    ],
    ["connect; close", "listen; accept; close"],
    [
        "connect; receive to end; close",
        "listen; accept; send \"hi\"; close",
    ],
    [
        "connect; send \"a\"; send \"b\"; send \"c\"; send \"d\"; send \"e\"; send \"f\"; close",
        "listen; accept; receive to end; close",
    ],
    [
        "connect; send 3k; shutdown; receive to end; close; expect closed; connect; send 3k; close",
        "listen; accept; receive to end; close; accept; receive to end; close",
    ],
    [
        "connect; shutdown; receive to end; close",
        "listen; accept; shutdown; receive to end; close",
    ],
    [
        "connect; send \"hello\"; abort",
        "listen; accept; receive to end; close",
    ],
    [
        "connect; send 50k; receive 1; abort",
        "listen; accept; send \"x\"; receive to end; close",
    ],
    [
        "connect; send 2k; receive to end; close",
        "listen; accept; sleep 50ms; close",
    ],
    [
        "connect; send 100k; shutdown; receive to end; close",
        "listen; accept; sleep 9ms; receive 10k; sleep 3ms; receive to end; close",
    ],
];

/// The plan with an application that dawdles: before each of its steps it does nothing for a time
/// that its number decides.
fn dawdling(plan: &Plan, number: u64) -> Plan {
    let mut plan = plan.clone();
    let mut chance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for host in &mut plan.hosts {
        let mut text = String::new();
        for (nth, step) in host.script_text.split(';').enumerate() {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let time = [0, 30, 60, 150, 1_000, 20_000][(chance >> 33) as usize % 6];
            let sleeps = nth > 0 && time > 0 && !step.contains("connect");
            text += &if sleeps {
                format!("sleep {time}us; {step}; ")
            } else {
                format!("{step}; ")
            };
        }
        host.script = Script::parse(text.trim_end_matches("; ")).unwrap();
    }
    plan
}

fn run(plan: &Plan) -> Outcome {
    sim::run(plan, 1, false).unwrap()
}

#[test]
fn other_interleavings_of_the_same_scripts_are_no_difference() {
    for profile in ["linux", "rfc9293"] {
        for scripts in SCRIPTS {
            let plan = plan(profile, scripts);
            let predicted = run(&plan);
            for number in 0..12 {
                let seen = run(&dawdling(&plan, number));
                assert_eq!(
                    difference(&plan, &predicted, &seen),
                    None,
                    "{profile}, {scripts:?}, {number}"
                );
            }
            let far = Plan {
                scale: Scale::Real,
                ..plan.clone()
            };
            assert_eq!(
                difference(&plan, &predicted, &run(&far)),
                None,
                "{profile}, {scripts:?}, far apart"
            );
        }
    }
}
/// What is changed of a run.
type Change<'a> = &'a dyn Fn(&mut Outcome);

fn entries(outcome: &mut Outcome, end: usize) -> &mut Vec<Entry> {
    &mut outcome.logs[end].entries
}

/// The first entry of an end that fits.
fn find(outcome: &mut Outcome, end: usize, fits: impl Fn(&Body) -> bool) -> usize {
    entries(outcome, end)
        .iter()
        .position(|entry| fits(&entry.body))
        .expect("there is such an entry")
}

fn sent(body: &Body, fits: impl Fn(&Segment) -> bool) -> bool {
    matches!(body, Body::Segment(segment) if segment.dir == Direction::Out && fits(segment))
}

/// The segment of an end that fits.
fn segment(outcome: &mut Outcome, end: usize, fits: impl Fn(&Segment) -> bool) -> &mut Segment {
    let at = find(outcome, end, |body| sent(body, &fits));
    match &mut entries(outcome, end)[at].body {
        Body::Segment(segment) => segment,
        other => panic!("{other:?}"),
    }
}

/// Puts copies of a segment of an end behind everything, changed.
fn add(
    outcome: &mut Outcome,
    end: usize,
    copies: usize,
    fits: impl Fn(&Segment) -> bool,
    change: impl Fn(&mut Segment),
) {
    let at = find(outcome, end, |body| sent(body, &fits));
    let mut entry = entries(outcome, end)[at].clone();
    entry.t = entries(outcome, end).last().unwrap().t;
    if let Body::Segment(segment) = &mut entry.body {
        change(segment);
    }
    entries(outcome, end).extend(std::iter::repeat_n(entry, copies));
}

/// Leads the walk of an end elsewhere: its last steps are these.
fn walk(outcome: &mut Outcome, end: usize, from: &str, steps: &[(&str, &str)]) {
    let at = find(
        outcome,
        end,
        |body| matches!(body, Body::State { from: before, .. } if before.name() == from),
    );
    let mut next = steps.iter();
    let mut before = from.parse().unwrap();
    for entry in entries(outcome, end).iter_mut().skip(at) {
        let Body::State { .. } = entry.body else {
            continue;
        };
        entry.body = match next.next() {
            Some((on, to)) => Body::State {
                from: std::mem::replace(&mut before, to.parse().unwrap()),
                to: to.parse().unwrap(),
                on: Some(on.parse().unwrap()),
            },
            None => Body::Unknown,
        };
    }
    assert!(next.next().is_none(), "the record has fewer states");
}

#[test]
fn record_with_one_thing_changed_is_a_difference() {
    let plan = plan("linux", SCRIPTS[3]);
    let predicted = run(&plan);
    let seen = run(&dawdling(&plan, 5));
    assert_eq!(difference(&plan, &predicted, &seen), None);
    let fin = |segment: &Segment| segment.flags.contains(Flags::FIN);
    let text = |segment: &Segment| segment.len > 0;
    let bare = |segment: &Segment| segment.flags == Flags::ACK && segment.len == 0;
    let changes: [(&str, Change<'_>); 19] = [
        ("is in no other state", &|run| {
            walk(
                run,
                0,
                "ESTABLISHED",
                &[("CLOSE", "FIN-WAIT-1"), ("ACK of FIN", "FIN-WAIT-2")],
            )
        }),
        ("FIN-WAIT-2 on FIN", &|run| {
            walk(
                run,
                0,
                "ESTABLISHED",
                &[
                    ("CLOSE", "FIN-WAIT-1"),
                    ("FIN", "FIN-WAIT-2"),
                    ("FIN", "TIME-WAIT"),
                ],
            )
        }),
        ("CLOSED on RST", &|run| {
            walk(
                run,
                1,
                "CLOSE-WAIT",
                &[("CLOSE", "LAST-ACK"), ("RST", "CLOSED")],
            )
        }),
        // B waits for the FIN before it closes: the two cannot cross, and B cannot be first.
        ("CLOSING", &|run| {
            walk(
                run,
                0,
                "FIN-WAIT-1",
                &[("FIN", "CLOSING"), ("ACK of FIN", "TIME-WAIT")],
            )
        }),
        ("FIN-WAIT-1", &|run| {
            walk(
                run,
                1,
                "ESTABLISHED",
                &[
                    ("CLOSE", "FIN-WAIT-1"),
                    ("FIN,ACK of FIN", "TIME-WAIT"),
                    ("2 MSL timeout", "CLOSED"),
                ],
            )
        }),
        ("received", &|run| {
            let at = find(run, 1, |body| {
                matches!(body, Body::App(AppAction::Received(_)))
            });
            entries(run, 1).remove(at);
        }),
        ("closed: fin-wait-2-timeout", &|run| {
            let at = find(run, 0, |body| matches!(body, Body::Closed { .. }));
            entries(run, 0)[at].body = Body::Closed {
                reason: Some(CloseKind::FinWait2Timeout),
            };
        }),
        ("closed: not at all", &|run| {
            let at = find(run, 1, |body| matches!(body, Body::Closed { .. }));
            entries(run, 1).remove(at);
        }),
        ("no such connection", &|run| {
            entries(run, 1).retain(|entry| entry.conn.is_none())
        }),
        ("the script: no", &|run| {
            let at = find(run, 0, |body| matches!(body, Body::App(AppAction::Done)));
            entries(run, 0)[at].body = Body::App(AppAction::Failed("no".to_owned()));
        }),
        ("the FIN after byte: none", &|run| {
            segment(run, 0, fin).flags = Flags::ACK
        }),
        ("bytes of text", &|run| {
            let last = |segment: &Segment| segment.len > 0 && segment.seq.0 > 7500;
            entries(run, 0).retain(|entry| !sent(&entry.body, last));
        }),
        ("bytes of text", &|run| {
            segment(run, 1, |segment| segment.len > 0 && segment.seq.0 > 20_000).seq += 9000
        }),
        ("the last ACK", &|run| {
            segment(run, 0, |segment| segment.ack.0 > 20_700).ack += 10
        }),
        ("SYNs: SYN,ECE,CWR", &|run| {
            segment(run, 0, |segment| segment.flags == Flags::SYN).flags =
                Flags::SYN | Flags::ECE | Flags::CWR
        }),
        ("RSTs: RST", &|run| {
            add(run, 1, 1, bare, |segment| segment.flags = Flags::RST)
        }),
        ("URG, ECE or CWR: U", &|run| {
            segment(run, 0, text).flags = Flags::ACK | Flags::URG
        }),
        ("nothing again that was acknowledged", &|run| {
            add(run, 0, 1, text, |segment| segment.retransmission = 1)
        }),
        ("at most", &|run| add(run, 1, 60, bare, |_| {})),
    ];
    for (words, change) in changes {
        for base in [&predicted, &seen] {
            let mut changed = base.clone();
            change(&mut changed);
            let found = difference(&plan, &predicted, &changed)
                .unwrap_or_else(|| panic!("no difference: {words}"));
            assert!(found.contains(words), "{words}: {found}");
        }
    }
}

#[test]
fn what_the_network_has_a_hand_in_is_counted() {
    let mut disturbed = plan("linux", SCRIPTS[0]);
    let plain = run(&disturbed);
    let drop = FaultRule::parse("drop out fin#1").unwrap();
    disturbed.hosts[0].settings.rules.push(drop);
    let predicted = run(&disturbed);
    assert_eq!(
        difference(&disturbed, &predicted, &run(&dawdling(&disturbed, 3))),
        None
    );
    assert!(
        difference(&disturbed, &predicted, &plain)
            .unwrap()
            .contains("FIN again 1 times], the wire showed [connection 1: FIN again 0 times")
    );
    let again = |run: &mut Outcome| {
        segment(run, 0, |segment| segment.retransmission > 0).retransmission = 2
    };
    let mut twice = predicted.clone();
    again(&mut twice);
    assert!(
        difference(&disturbed, &predicted, &twice)
            .unwrap()
            .contains("FIN again 2 times")
    );
    // A process that did not get the machine explains that.
    assert_eq!(
        difference(
            &disturbed,
            &predicted,
            &Outcome {
                waited: 0.3,
                ..twice
            }
        ),
        None
    );
    let tolerant = Plan {
        tolerance: vec![Tolerance::Retransmissions],
        ..disturbed.clone()
    };
    assert!(
        difference(&tolerant, &predicted, &plain)
            .unwrap()
            .contains("FIN dropped")
    );
}

#[test]
fn what_comes_just_before_the_limit_in_one_run_may_come_just_after_it_in_the_other() {
    let mut plan = plan("linux", ["connect; close", "listen; accept; close"]);
    plan.hosts[1]
        .settings
        .rules
        .push(FaultRule::parse("drop in syn").unwrap());
    // The SYN is sent again after a second.
    let limited = |millis: u64| Plan {
        limit: Duration::from_millis(millis),
        ..plan.clone()
    };
    let unlike = |predicted: u64, seen: u64| {
        difference(
            &limited(predicted),
            &run(&limited(predicted)),
            &run(&limited(seen)),
        )
    };
    assert_eq!((unlike(990, 1010), unlike(1010, 990)), (None, None));
    assert!(
        unlike(990, 1200)
            .unwrap()
            .contains("SYN again 0 times], the wire showed [connection 1: SYN again 1 times")
    );
    assert!(
        unlike(1200, 990)
            .unwrap()
            .contains("SYN again 1 times], the wire showed [connection 1: SYN again 0 times")
    );
}

/// What the server saw of a client that brought a cookie back, which is the server's ISN.
fn from_a_cookie(cookie: u32) -> Outcome {
    let (client, _) = handshake();
    let server = File::new("server", 50.0)
        .receives(0.1, ("A", 101, cookie.wrapping_add(1), 0), 1, "pass")
        .state(0.1, "SYN-RECEIVED", "ESTABLISHED", "ACK of SYN")
        .sends(0.2, ("PA", cookie.wrapping_add(1), 101, 5), "pass");
    outcome([client.log(), server.log()])
}

fn outcome(logs: [Log; 2]) -> Outcome {
    Outcome {
        logs,
        end: 20.0,
        events: Default::default(),
        captures: Default::default(),
        waited: 0.0,
        notes: Vec::new(),
    }
}

#[test]
fn connections_from_cookies_are_compared_from_their_own_isn() {
    let plan = plan("linux", SCRIPTS[0]);
    assert_eq!(
        difference(&plan, &from_a_cookie(7_000), &from_a_cookie(u32::MAX)),
        None
    );
    let mut more = from_a_cookie(7_000);
    segment(&mut more, 1, |segment| segment.len > 0).len += 1;
    assert!(
        difference(&plan, &from_a_cookie(900_000), &more)
            .unwrap()
            .contains("bytes of text: 5], the wire showed [connection 1: bytes of text: 6")
    );
}

#[test]
fn syn_under_the_connection_before_still_gives_the_numbers_of_the_next() {
    let plan = plan("linux", SCRIPTS[0]);
    let run = |isn: u32| {
        let server = File::passive(50.0)
            .receives(1.0, ("S", 100, 0, 0), 1, "pass")
            .sends(1.0, ("SA", 300, 101, 0), "pass");
        let server = server
            .receives(5.0, ("S", isn, 0, 0), 2, "pass")
            .again()
            .sends(5.1, ("SA", 9000, isn + 1, 0), "pass");
        outcome([
            File::new("client", 50.0).log(),
            server.sends(5.2, ("A", 9001, isn + 1, 7), "pass").log(),
        ])
    };
    assert_eq!(difference(&plan, &run(7000), &run(800_000)), None);
}

#[test]
fn engine_that_goes_without_a_rule_is_a_difference() {
    let plan = plan("linux", SCRIPTS[0]);
    let predicted = run(&plan);
    for (rule, end, words) in [
        ("time-wait", 0, "CLOSED on FIN"),
        ("third-ack", 0, "is in no other state"),
        ("three-way", 1, "ESTABLISHED on SYN]"),
    ] {
        let mut other = dawdling(&plan, 2);
        let settings = &mut other.hosts[end].settings;
        Preset::find(rule)
            .unwrap()
            .apply(&mut settings.config, &mut settings.rules);
        let found = difference(&plan, &predicted, &run(&other))
            .unwrap_or_else(|| panic!("no difference without {rule}"));
        assert!(found.contains(words), "{rule}: {found}");
    }
}
