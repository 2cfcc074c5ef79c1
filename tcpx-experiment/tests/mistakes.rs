//! What is wrong with an experiment's file is refused when it is read: with its place, the reason,
//! and what would be right.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use tcpx_experiment::experiment::Experiment;

const RIGHT: &str = r#"
name = "small"
title = "A handshake"
question = "Does it end?"
story = "Two hosts meet."
group = "establish"
profile = "linux"
textbook = "-"
rfc = "-"
linux = "-"
patience = "$patience"
limit = "$limit"
tolerance = ["acks"]
[constants]
patience = { real = "5s", wire = "2s", kernel = "3s" }
limit = "10s"
[kernel]
end = "b"
[a]
script = "connect; close; expect closed"
[b]
script = "listen; accept; receive to end; close; expect closed"
[[inject]]
to = "b"
on = "b ESTABLISHED"
after = "100ms"
flags = "FA"
seq = 150
[[arm]]
name = "without"
treatment = true
says = "it breaks"
breaks = ["octets"]
holds = ["connect"]
ladder = ["a SYN-SENT", "a -> SYN,ACK in ..1s", "b closed clean"]
[arm.kernel]
ladder = ["b ESTABLISHED"]
[arm.constants]
patience = "4s"
[[arm]]
name = "with"
says = "it ends"
holds = ["octets"]
ladder = ["a SYN-SENT", "a -> ACK ack 301 with ts in 100ms..1s", "a icmp unreachable 1", "a received \"x in y\"", "a failed in use in 1s.."]
"#;

/// What is said of the file with this change.
fn said(change: &str, to: &str) -> String {
    assert!(RIGHT.contains(change), "{change}");
    match Experiment::parse("small.toml", &RIGHT.replacen(change, to, 1)) {
        Ok(_) => panic!("accepted: {to}"),
        Err(mistake) => mistake.to_string(),
    }
}

/// Each change is refused with these words, and this is underlined.
fn refused(changes: &[(&str, &str, &[&str], &str)]) {
    for (change, to, words, underlined) in changes {
        let said = said(change, to);
        assert!(
            words.iter().all(|words| said.contains(words)),
            "{to}: {words:?}\n{said}"
        );
        let marks = said
            .lines()
            .find(|line| line.contains('^'))
            .unwrap_or_default();
        let from = marks.chars().position(|c| c == '^');
        let length = marks.matches('^').count();
        let shown = said
            .lines()
            .take_while(|line| *line != marks)
            .last()
            .unwrap();
        let shown: String = shown
            .chars()
            .skip(from.unwrap_or_default())
            .take(length)
            .collect();
        assert_eq!(shown.trim_matches('"'), *underlined, "{to}:\n{said}");
    }
}

#[test]
fn file_without_a_mistake_is_read() {
    Experiment::parse("small.toml", RIGHT).unwrap_or_else(|mistake| panic!("{mistake}"));
}

#[test]
fn arm_that_contradicts_itself_is_refused() {
    let both = "octets is in breaks and in holds of the arm \"without\": it cannot do both";
    refused(&[
        (
            "holds = [\"connect\"]",
            "holds = [\"connect\", \"octets\"]",
            &[both],
            "octets",
        ),
        (
            "[arm.kernel]",
            "[arm.kernel]\nbreaks = [\"connect\"]",
            &["connect is in breaks and in holds", "beside Linux"],
            "connect",
        ),
        (
            "[\"connect\"]",
            "[\"connect\", \"connect\"]",
            &["connect is there twice"],
            "connect",
        ),
        (
            "[\"connect\"]",
            "[\"economy\"]",
            &["economy needs a budget", "budget = \"30\""],
            "economy",
        ),
        (
            "name = \"with\"",
            "name = \"without\"",
            &["two arms are called \"without\""],
            "without",
        ),
    ]);
}

#[test]
fn experiment_without_one_of_its_two_sides_is_refused() {
    refused(&[
        (
            "treatment = true",
            "treatment = false",
            &["no arm has treatment = true", "shows nothing"],
            "",
        ),
        (
            "name = \"with\"",
            "name = \"with\"\ntreatment = true",
            &["every arm has treatment = true", "shows nothing"],
            "",
        ),
        (
            "[kernel]\nend = \"b\"",
            "[kernel]\nno = \"-\"\n[sim]\nno = \"-\"\n[wire]\nno = \"-\"",
            &["in no world"],
            "",
        ),
    ]);
}

#[test]
fn bound_of_a_ladders_line_is_what_is_wrong() {
    let allowed = "..5ms (at most), 5ms.. (at least) or 1ms..5ms (between)";
    refused(&[
        (
            "in ..1s",
            "in <5ms",
            &["'<5ms' is no bound", allowed],
            "<5ms",
        ),
        ("in ..1s", "in 5ms", &["'5ms' is no bound", allowed], "5ms"),
        ("in ..1s", "in", &["a bound is missing", allowed], ""),
        ("in ..1s", "in ..", &["'..' is no bound", allowed], ".."),
        (
            "in ..1s",
            "in 5ms..1ms",
            &["'5ms..1ms' is no bound", "before it begins"],
            "5ms..1ms",
        ),
        (
            "in ..1s",
            "in 1..2s",
            &[
                "a duration is a number with a unit: us, ms, s, m or h",
                "3s",
            ],
            "1",
        ),
        (
            "in ..1s",
            "in ..5parsec",
            &["unknown unit of time 'parsec'"],
            "parsec",
        ),
        (
            "in ..1s",
            "in ..1s again",
            &["nothing can follow a bound"],
            "again",
        ),
        ("in 1s..", "in >1s", &["'>1s' is no bound", allowed], ">1s"),
        (
            "x in y\\\"",
            "x in y\\\" in 5",
            &["'5' is no bound"],
            r#"a received \"x in y\" in 5"#,
        ),
        (
            "a SYN-SENT\", \"a -> ACK",
            "a SYN-SENT in ..1s\", \"a -> ACK",
            &["no line before it"],
            "in ..1s",
        ),
        (
            "in 1s..",
            "in 11s..",
            &["at 11.1 s at the earliest", "the run ends after 10.0 s"],
            "a failed in use in 11s..",
        ),
    ]);
}

#[test]
fn word_out_of_a_closed_set_has_its_nearest() {
    let mean = |word: &str| -> &'static str { format!("did you mean '{word}'?").leak() };
    refused(&[
        (
            "on = \"b ESTABLISHED\"",
            "on = \"b established\"",
            &["unknown state", mean("ESTABLISHED")],
            "established",
        ),
        (
            "\"b ESTABLISHED\"]",
            "\"b TIME_WAIT\"]",
            &[mean("TIME-WAIT")],
            "TIME_WAIT",
        ),
        (
            "\"a SYN-SENT\"",
            "\"c SYN-SENT\"",
            &["unknown host 'c'", "one of: a, b"],
            "c",
        ),
        (
            "\"a SYN-SENT\"",
            "\"A SYN-SENT\"",
            &["unknown host 'A'", mean("a")],
            "A",
        ),
        ("closed clean", "closed claen", &[mean("clean")], "claen"),
        ("-> SYN,ACK", "-> SIN,ACK", &[mean("SYN")], "SIN"),
        (
            "-> SYN,ACK",
            "-> ACK,SYN",
            &["order of the header", mean("SYN,ACK")],
            "ACK,SYN",
        ),
        ("-> SYN,ACK", "-> SYN-ACK", &[mean("SYN,ACK")], "SYN-ACK"),
        (
            "-> SYN,ACK",
            "-> PSH,ACK",
            &["without PSH", mean("ACK")],
            "PSH,ACK",
        ),
        ("ack 301", "akc 301", &[mean("ack")], "akc"),
        (
            "ack 301",
            "ack 3o1",
            &["expected a number, at least 0"],
            "3o1",
        ),
        ("with ts", "with tz", &[mean("ts")], "tz"),
        (
            "icmp unreachable",
            "icmp unreachible",
            &[mean("unreachable")],
            "unreachible",
        ),
        (
            "group = \"establish\"",
            "group = \"establsh\"",
            &[mean("establish")],
            "establsh",
        ),
        (
            "[\"octets\"]",
            "[\"octetts\"]",
            &[mean("octets")],
            "octetts",
        ),
        ("[\"acks\"]", "[\"Acks\"]", &[mean("acks")], "Acks"),
        ("to = \"b\"", "to = \"B\"", &[mean("b")], "B"),
        (
            "end = \"b\"",
            "end = \"server\"",
            &["expected `a` or `b`"],
            "server",
        ),
        (
            "profile = \"linux\"",
            "profile = \"linus\"",
            &["unknown profile 'linus'", mean("linux")],
            "linus",
        ),
        (
            "name = \"with\"",
            "name = \"with\"\nprofile = \"rfc9239\"",
            &[mean("rfc9293")],
            "rfc9239",
        ),
        (
            "treatment = true",
            "treatmnet = true",
            &[mean("treatment")],
            "treatmnet",
        ),
        (
            "kernel = \"3s\"",
            "kernle = \"3s\"",
            &[mean("kernel")],
            "kernle",
        ),
        (
            "\"$limit\"",
            "\"$limt\"",
            &["there is no constant $limt", mean("$limit")],
            "$limt",
        ),
        (
            "[arm.constants]\npatience",
            "[arm.constants]\npatiense",
            &["no constant 'patiense'", mean("patience")],
            "patiense",
        ),
        (
            "script = \"connect; close;",
            "without = [\"time-wate\"]\nscript = \"connect; close;",
            &["unknown rule 'time-wate'", "'time-wait'"],
            "time-wate",
        ),
    ]);
}

#[test]
fn value_out_of_range_is_refused() {
    refused(&[
        (
            "limit = \"10s\"",
            "limit = \"\"",
            &["a duration is a number"],
            "$limit",
        ),
        (
            "limit = \"10s\"",
            "limit = 10",
            &["integer `10`", "a text, or { real"],
            "10",
        ),
        (
            "limit = \"10s\"",
            "limit = \"10s\"\na = \"x\"",
            &["$a and $b are the hosts' addresses"],
            "a",
        ),
        (
            "limit = \"10s\"",
            "limit = \"-10s\"",
            &["a duration is a number"],
            "$limit",
        ),
        (
            "limit = \"10s\"",
            "limit = \"0s\"",
            &["a run of no time"],
            "$limit",
        ),
        (
            "limit = \"10s\"",
            "limit = \"9999999h\"",
            &["the duration is too long: at most 31 days"],
            "$limit",
        ),
        (
            "patience = \"4s\"",
            "patience = \"0s\"",
            &["no patience"],
            "$patience",
        ),
        (
            "after = \"100ms\"",
            "after = \"12s\"",
            &["the run ends after 10.0 s"],
            "12s",
        ),
        (
            "on = \"b ESTABLISHED\"",
            "on = \"a -> SYN\"",
            &["an injection waits for a state"],
            "a -> SYN",
        ),
        (
            "on = \"b ESTABLISHED\"",
            "on = \"b ESTABLISHED in ..1s\"",
            &["an injection waits for a state"],
            "b ESTABLISHED in ..1s",
        ),
        (
            "flags = \"FA\"",
            "flags = \"FIN,ACK\"",
            &["letters of FSRPAUEW", "did you mean 'FA'?"],
            "FIN,ACK",
        ),
        ("seq = 150", "seq = 150\ncount = 0", &["count = 0"], "0"),
        (
            "seq = 150",
            "seq = 150\nmtu = 600",
            &["mtu", "icmp = [3, 4]"],
            "600",
        ),
        (
            "name = \"small\"",
            "name = \"../small\"",
            &["the name", "directory"],
            "",
        ),
        (
            "name = \"with\"",
            "name = \"\"",
            &["an arm without a name"],
            "",
        ),
        (
            "tolerance",
            "budget = \"0\"\ntolerance",
            &["'0' is no number of segments"],
            "0",
        ),
    ]);
}

#[test]
fn ladder_that_no_run_can_climb_is_refused() {
    refused(&[(
        "\"a SYN-SENT\", \"a -> SYN",
        "\"a FIN-WAIT-2\", \"a ESTABLISHED\", \"a -> SYN",
        &[
            "no way from FIN-WAIT-2 to ESTABLISHED",
            "a has one connection",
        ],
        "a ESTABLISHED",
    )]);
}

#[test]
fn oracle_that_cannot_do_what_is_expected_of_it_is_refused() {
    let never = RIGHT
        .replace("patience = \"4s\"", "patience = \"10s\"")
        .replace("breaks = [\"octets\"]", "breaks = [\"progress\"]");
    let said = Experiment::parse("small.toml", &never)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("progress cannot break") && said.contains("the run ends after 10.0 s"),
        "{said}"
    );
    let nobody = RIGHT
        .replace(
            "script = \"connect; close; expect closed\"",
            "script = \"sleep 1s\"",
        )
        .replace("\"a SYN-SENT\", \"a ->", "\"a ->");
    let said = Experiment::parse("small.toml", &nobody)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("connect judges the step 'connect', and no script has one"),
        "{said}"
    );
}

/// A treatment and a control may be the same: what is to be shown is then that both hold.
#[test]
fn arms_that_differ_in_nothing_but_their_names_are_accepted() {
    let (before, arms) = RIGHT.split_once("[[arm]]").unwrap();
    let first = arms.split("[[arm]]").next().unwrap();
    let second = first
        .replace("name = \"without\"", "name = \"again\"")
        .replace("treatment = true\n", "");
    Experiment::parse(
        "small.toml",
        &format!("{before}[[arm]]{first}[[arm]]{second}"),
    )
    .unwrap();
}

#[test]
fn experiment_that_is_too_large_is_refused_with_the_limit() {
    let arm =
        |nth| format!("[[arm]]\nname = \"{nth}\"\nsays = \"it ends\"\nholds = [\"octets\"]\n");
    let arms: String = (0..99).map(arm).collect();
    let blanks = format!("limit = \"10s\"\nblanks = \"{}\"", " ".repeat(500_000));
    let with_blanks = |change: &str, to: &str| {
        RIGHT
            .replacen("limit = \"10s\"", &blanks, 1)
            .replacen(change, to, 1)
    };
    let many = with_blanks(
        "connect; close",
        "connect; close $blanks $blanks $blanks $blanks $blanks $blanks $blanks $blanks $blanks",
    );
    for (source, words) in [
        (
            RIGHT.to_owned() + &arms,
            "an experiment has 100 arms at the most",
        ),
        (
            RIGHT.replacen(
                "seq = 150",
                "seq = 150\ncount = 65535\n[[inject]]\nto = \"b\"\nflags = \"S\"\nseq = 1",
                1,
            ),
            "65535 forged segments",
        ),
        (
            RIGHT.replacen("connect; close", &"connect;".repeat(10_001), 1),
            "a script has at most 10000 steps",
        ),
        (many, "comes to more than 4 MiB, the most"),
    ] {
        let mistake = Experiment::parse("small.toml", &source)
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(mistake.contains(words), "{words}: {mistake}");
    }
    assert!(
        Experiment::parse(
            "small.toml",
            &(RIGHT.to_owned() + &arms[..arms.rfind("[[").unwrap()])
        )
        .is_ok()
    );
}
