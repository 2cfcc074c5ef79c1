//! The laboratory's commands as a user types them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../src/skip.rs"]
mod skip;

use std::process::{Command, Output, Stdio};
use tcpx_proto::script::Script;

fn lab(arguments: &[&str], state: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcpx-lab"));
    command
        .args(arguments)
        .env("XDG_RUNTIME_DIR", state)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A directory for this test alone.
fn directory(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Takes the namespaces down however the test ends.
struct Down<'a>(&'a str);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        lab(&["netns", "down"], self.0);
    }
}

#[test]
fn netns_up_stays_until_down() {
    let state = &directory("netns");
    let _down = Down(state);
    let up = lab(&["netns", "up"], state);
    if !up.status.success() {
        return skip::skip(stderr(&up));
    }
    for (side, address) in [("client", "10.77.0.1"), ("server", "10.77.0.2")] {
        let addresses = stdout(&lab(
            &["netns", side, "cat", "/proc/self/net/fib_trie"],
            state,
        ));
        let words = addresses.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains(&format!("|-- {address} /32 host LOCAL")),
            "{side}: {addresses}"
        );
    }
    assert!(stderr(&lab(&["netns", "up"], state)).contains("are up already"));
    assert_eq!(
        lab(&["netns", "client", "sh", "-c", "exit 7"], state)
            .status
            .code(),
        Some(7)
    );
    assert!(stdout(&lab(&["netns", "down"], state)).contains("are gone"));
    assert!(stderr(&lab(&["netns", "client", "true"], state)).contains("are not up"));
    assert!(stdout(&lab(&["netns", "down"], state)).contains("were not up"));
}

#[test]
fn doctor_as_json_names_the_fix_of_each_failure() {
    let output = lab(&["doctor", "--format", "json"], &directory("doctor"));
    let checks: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        checks
            .iter()
            .any(|check| check["name"] == "network namespaces"),
        "{checks:#?}"
    );
    let silent: Vec<_> = checks
        .iter()
        .filter(|check| check["works"] == false && check["fix"].as_str().is_none())
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn doctor_has_each_line_that_the_troubleshooting_names() {
    let output = lab(&["doctor", "--format", "json"], &directory("lines"));
    let checks: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let printed: Vec<&str> = checks
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    let document = include_str!("../../docs/troubleshooting.md");
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1);
    let named: Vec<&str> = rows
        .flat_map(|row| {
            row.split(" | ")
                .nth(1)
                .unwrap()
                .split('`')
                .skip(1)
                .step_by(2)
        })
        .collect();
    assert!(named.len() > 15, "{named:?}");
    let unknown: Vec<_> = named
        .iter()
        .filter(|name| !printed.contains(name))
        .collect();
    assert!(
        unknown.is_empty(),
        "doctor prints no {unknown:?}, but {printed:?}"
    );
}

#[test]
fn ladder_of_a_file_that_is_not_one_says_which_and_why() {
    let directory = directory("ladder");
    let file = format!("{directory}/events");
    std::fs::write(
        &file,
        "{\"event\":\"start\",\"version\":9,\"role\":\"client\",\"monotonic\":0,\"realtime\":0}\n",
    )
    .unwrap();
    let message = stderr(&lab(&["ladder", &file, &file], &directory));
    assert!(
        message.contains(&file) && message.contains("unknown version 9"),
        "{message}"
    );
    let message = stderr(&lab(&["ladder", "/nowhere", &file], &directory));
    assert!(message.contains("cannot read /nowhere"), "{message}");
}

#[test]
fn ladder_of_one_file_is_drawn_in_each_format() {
    let directory = directory("one");
    let file = format!("{directory}/events");
    let lines = [
        r#"{"event":"start","version":1,"role":"client","monotonic":0,"realtime":0}"#,
        r#"{"t":0,"conn":1,"event":"opened","local":"10.0.0.1:40000","remote":"10.0.0.2:7000"}"#,
        r#"{"t":0,"conn":1,"event":"segment","dir":"out","flags":"S","seq":9,"ack":0,"len":0,"win":1,"id":1,"verdict":"pass"}"#,
        r#"{"t":0,"conn":2,"event":"opened","local":"10.0.0.1:40001","remote":"10.0.0.2:7000"}"#,
        r#"{"t":0,"conn":2,"event":"segment","dir":"out","flags":"S","seq":9,"ack":0,"len":0,"win":1,"id":1,"verdict":"pass"}"#,
    ];
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    for (format, begins) in [
        ("text", "     "),
        ("figure", "     TCP Peer A"),
        ("mermaid", "```mermaid"),
        ("svg", "<svg "),
    ] {
        let drawn = stdout(&lab(
            &["ladder", &file, "--format", format, "--only", "2"],
            &directory,
        ));
        assert!(
            drawn.starts_with(begins) && !drawn.contains("40000"),
            "{drawn}"
        );
    }
    assert_eq!(
        stdout(&lab(&["ladder", &file], &directory))
            .matches("SYN seq 0")
            .count(),
        2
    );
    let message = stderr(&lab(&["ladder", &file, "--format", "svg"], &directory));
    assert!(
        message.contains("2 connections") && message.contains("--only"),
        "{message}"
    );
}

const SMALL: &str = r#"
name = "small"
title = "A handshake"
question = "Does it end?"
story = "Two hosts meet."
group = "establish"
profile = "linux"
textbook = "-"
rfc = "-"
linux = "-"
patience = "5s"
limit = "10s"
[kernel]
no = "it is a test"
[a]
script = "connect; close; expect closed"
options = "--msl 100ms"
[b]
script = "listen; accept; receive to end; close; expect closed"
[[arm]]
name = "as it is"
says = "it ends"
holds = ["octets", "connect", "clean-close"]
ladder = ["a SYN-SENT", "a -> SYN", "b ESTABLISHED", "a closed clean in 100ms..1s"]
[[arm]]
name = "nobody listens"
treatment = true
says = "it is refused"
breaks = ["connect"]
ladder = ["a failed refused"]
[arm.b]
script = "sleep 1s"
"#;

/// A file of that text in a directory for this test alone.
fn experiment(name: &str, text: &str) -> String {
    let path = format!("{}/small.toml", directory(name));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn run_of_ones_own_file_is_judged_and_reported_in_every_format() {
    let file = &experiment("own", SMALL);
    let state = &directory("own");
    assert!(stdout(&lab(&["run", file], state)).contains("2 passed, 0 failed, 0 skipped"));
    let json: Vec<serde_json::Value> =
        serde_json::from_str(&stdout(&lab(&["run", file, "--format", "json"], state))).unwrap();
    assert_eq!(
        (json.len(), &json[0]["experiment"], &json[0]["wrong"]),
        (2, &"small".into(), &serde_json::json!([]))
    );
    assert!(
        stdout(&lab(&["run", file, "--format", "junit"], state))
            .contains("<testsuite name=\"small\" tests=\"2\" failures=\"0\"")
    );
    assert!(
        stdout(&lab(&["run", file, "--format", "tap"], state))
            .contains("ok 1 - small on sim: as it is")
    );
    assert!(
        stdout(&lab(&["run", file, "--on", "sim,kernel"], state))
            .contains("2 passed, 0 failed, 2 skipped")
    );
}

#[test]
fn run_that_is_not_as_expected_fails_and_says_what() {
    for (change, to, words) in [
        (
            "holds = [\"octets\"",
            "breaks = [\"octets\"]\nholds = [",
            "octets was expected to break, and holds",
        ),
        ("in 100ms..1s", "in 5s..9s", "the ladder misses"),
        (
            "b ESTABLISHED",
            "b CLOSING",
            "the ladder misses \"b CLOSING\"",
        ),
    ] {
        let text = SMALL
            .replace(change, to)
            .replace("holds = [, ", "holds = [");
        let output = lab(
            &["run", &experiment("unexpected", &text)],
            &directory("unexpected"),
        );
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.code() == Some(1) && said.contains(words),
            "{said}"
        );
    }
}

#[test]
fn mistake_in_a_file_is_shown_in_its_line() {
    for (change, to, shown) in [
        ("listen; accept", "listen; acept", "did you mean 'accept'?"),
        ("--msl 100ms", "--msl soon", "a duration is a number"),
        ("a -> SYN\"", "a -> SIN\"", "unknown control bit 'SIN'"),
        (
            "patience = \"5s\"",
            "patience = \"$long\"",
            "there is no constant $long",
        ),
        (
            "says = \"it ends\"",
            "sais = \"it ends\"",
            "unknown field `sais`",
        ),
        (
            "group = \"establish\"",
            "group = \"begin\"",
            "unknown variant `begin`",
        ),
    ] {
        let path = experiment("mistake", &SMALL.replacen(change, to, 1));
        let said = stderr(&lab(&["run", &path], &directory("mistake")));
        assert!(
            said.contains(shown) && said.contains("small.toml:") && said.contains('^'),
            "{said}"
        );
    }
}

#[test]
fn unknown_experiment_names_the_nearest() {
    let said = stderr(&lab(
        &["run", "last-ack-lost-no-timewait"],
        &directory("unknown"),
    ));
    assert!(
        said.contains("did you mean 'last-ack-lost-no-time-wait'?"),
        "{said}"
    );
}

/// What a shell makes of a command that was printed, in this directory, with the programs found.
fn as_printed(command: &str, directory: &str) -> Output {
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_tcpx-lab"))
        .parent()
        .unwrap()
        .display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    Command::new("sh")
        .args(["-c", command])
        .env("PATH", path)
        .current_dir(directory)
        .output()
        .unwrap()
}

#[test]
fn commands_that_explain_prints_run_as_they_are() {
    let steps = r#"listen; accept; receive to end; send "it's \\ 5"; close"#;
    let commented = format!(
        "script = '''{}; expect closed'''",
        steps.replacen("; ", " # it waits\n", 1)
    );
    let text = SMALL.replace(
        "script = \"listen; accept; receive to end; close; expect closed\"",
        &commented,
    );
    let text = text.replace("connect; close", "connect; shutdown; receive to end; close");
    assert!(text.contains("it waits"));
    let directory = directory("printed, it's here");
    std::fs::write(format!("{directory}/a $HOME.toml"), text).unwrap();
    let explain = Command::new(env!("CARGO_BIN_EXE_tcpx-lab"))
        .args(["explain", "./a $HOME.toml"])
        .current_dir(&directory)
        .output();
    let said = stdout(&explain.unwrap());
    let all = said
        .lines()
        .last()
        .unwrap()
        .split_once(": ")
        .unwrap()
        .1
        .replace("--on all", "--on sim");
    assert!(
        stdout(&as_printed(&all, &directory)).contains("2 passed"),
        "{all}"
    );
    let script = said
        .find("printf")
        .and_then(|begins| said.get(begins..)?.split_once(" > b.script"))
        .unwrap()
        .0;
    let made = stdout(&as_printed(script, &directory));
    assert_eq!(
        Script::parse(&made).map_err(|wrong| format!("{wrong}: {made}")),
        Ok(Script::parse(&format!("{steps}; expect closed")).unwrap())
    );
}

#[test]
fn keep_writes_events_captures_ladders_and_the_verdict() {
    let file = &experiment("keep", SMALL);
    let state = &directory("keep");
    stdout(&lab(&["run", file, "--keep", state], state));
    let place = format!("{state}/small/sim-as-it-is");
    for name in [
        "a.events.jsonl",
        "b.events.jsonl",
        "a.pcapng",
        "b.pcapng",
        "ladder.txt",
        "ladder.svg",
        "ladder.mmd",
        "figure.txt",
        "verdict.json",
    ] {
        assert!(
            std::fs::metadata(format!("{place}/{name}")).unwrap().len() > 100,
            "{name}"
        );
    }
}

#[test]
fn list_and_explain_tell_of_every_experiment() {
    let state = &directory("list");
    let list: Vec<serde_json::Value> =
        serde_json::from_str(&stdout(&lab(&["list", "--format", "json"], state))).unwrap();
    assert!(!list.is_empty());
    let expected = list.iter().map(|entry| {
        ["name", "group", "title", "question"]
            .map(|key| entry[key].as_str().unwrap())
            .join("\t")
    });
    let table = stdout(&lab(&["list"], state));
    assert_eq!(
        table.lines().collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
    for name in list.iter().map(|entry| entry["name"].as_str().unwrap()) {
        let said = stdout(&lab(&["explain", name], state));
        assert!(
            said.contains("By hand") && said.contains(&format!("tcpx-lab run {name}")),
            "{said}"
        );
    }
}

/// What a command prints on a terminal that is so wide; `None`: there is no `script` here.
fn on_a_terminal(arguments: &str, columns: Option<&str>) -> Option<String> {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_tcpx-lab"));
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .stdin(Stdio::null());
    columns
        .into_iter()
        .for_each(|columns| _ = command.env("COLUMNS", columns));
    let output = command.output().ok()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    // The bar is redrawn in one line: what is left of that begins behind its last carriage return.
    let shown = String::from_utf8_lossy(&output.stdout)
        .replace("\r\n", "\n")
        .replace("\x1b[2K", "");
    Some(
        shown
            .lines()
            .map(|line| format!("{}\n", line.rsplit('\r').next().unwrap_or_default()))
            .collect(),
    )
}

#[test]
fn tables_on_a_terminal_fit_its_width() {
    for arguments in [
        "list",
        "rules",
        "doctor",
        "run last-ack-lost",
        "sweep --singles two-way-handshake-deadlock",
    ] {
        // script's terminal does not tell how wide it is: 80 columns.
        for (columns, width) in [
            (None, 80),
            (Some("0"), 80),
            (Some("50"), 50),
            (Some("200"), 200),
        ] {
            let Some(shown) = on_a_terminal(arguments, columns) else {
                return skip::skip("there is no script(1)");
            };
            // A word that is longer is kept whole, such as a path.
            let whole = |line: &str| {
                line.split_whitespace()
                    .next_back()
                    .is_some_and(|word| word.contains('/'))
            };
            let wide = shown
                .lines()
                .find(|line| line.chars().count() > width && !whole(line));
            assert!(
                wide.is_none() && shown.lines().count() > 4,
                "{arguments} in {width} columns: {wide:?}\n{shown}"
            );
            assert!(!shown.contains(['│', '─', '\t']), "{shown}");
        }
    }
    let Some(shown) = on_a_terminal("list", None) else {
        return;
    };
    let names = stdout(&lab(&["list"], &directory("fit"))).lines().count();
    assert_eq!(
        shown.lines().count(),
        names + 1,
        "a heading and a line for each: {shown}"
    );
    assert!(
        shown.lines().filter(|line| line.ends_with('…')).count() > 10,
        "{shown}"
    );
}

#[test]
fn tables_on_a_pipe_are_tab_separated_lines() {
    let state = &directory("pipe");
    let file = experiment("pipe", SMALL);
    let sweep = ["sweep", "--singles", "two-way-handshake-deadlock"];
    for (arguments, columns, least) in [
        (&["list"][..], 4, 60),
        (&["rules"], 5, 20),
        (&["doctor"], 4, 10),
        (&["run", &file], 7, 1),
        (&sweep, 7, 2),
    ] {
        let shown = String::from_utf8(lab(arguments, state).stdout).unwrap();
        // What `run` counts stands below its table.
        let rows: Vec<&str> = shown
            .lines()
            .filter(|line| !line.contains(" passed, "))
            .collect();
        assert!(
            rows.len() >= least && rows.iter().all(|row| row.split('\t').count() == columns),
            "{arguments:?}: {shown}"
        );
        assert!(!shown.contains(['│', '─', '…']), "{shown}");
    }
    let json: Vec<serde_json::Value> = serde_json::from_str(&stdout(&lab(
        &[&sweep[..], &["--format", "json"]].concat(),
        state,
    )))
    .unwrap();
    let broken: Vec<&str> = json[1]["breaks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["oracle"].as_str().unwrap())
        .collect();
    assert!(broken.contains(&"connect"), "{json:#?}");
}

#[test]
fn old_flag_is_refused_with_the_new_one_named() {
    let said = stderr(&lab(&["list", "--json"], &directory("old")));
    assert!(said.contains("--format json"), "{said}");
}

#[test]
fn document_goes_into_a_directory_and_leaves_other_files_alone() {
    let state = format!("{}/pages", directory("document"));
    let _none_yet = std::fs::remove_dir_all(&state);
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(format!("{state}/notes.txt"), "mine").unwrap();
    let said = stdout(&lab(&["document", &state, "--language", "zh"], &state));
    assert!(
        said.contains("four-way-close.md: written") && said.contains("notes.txt: left alone"),
        "{said}"
    );
    assert_eq!(
        std::fs::read_to_string(format!("{state}/notes.txt")).unwrap(),
        "mine"
    );
    let again = stdout(&lab(&["document", &state, "--language", "zh"], &state));
    assert!(!again.contains("written"), "{again}");
}
