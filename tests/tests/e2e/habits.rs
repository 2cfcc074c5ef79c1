//! What people are used to: a pipe's reader may stop, NO_COLOR is respected, SIGUSR1 tells how it
//! stands.

use crate::harness::{Ended, Lab, PORT, Program, Signal, built, installed};
use std::process::Stdio;

/// Events to a program that reads them; how both ended, and what it said.
fn events_into(lab: &Lab, reader: &str) -> (String, String) {
    let client = lab.client_command(&["--send", "hello", "--msl", "50ms", "--events", "-"]);
    let words = std::iter::once(client.get_program())
        .chain(client.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()));
    let line = format!(
        "{{ {}; echo \"status $?\" >&2; }} | {reader}",
        words.collect::<Vec<_>>().join(" ")
    );
    let ended = Program::spawn(
        lab.a
            .command("bash")
            .args(["-c", &line])
            .stdin(Stdio::null())
            .stdout(Stdio::piped()),
    )
    .finish();
    (String::from_utf8(ended.stdout).unwrap(), ended.stderr)
}

#[test]
fn events_into_head_end_without_a_panic_when_it_has_read_enough() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&[]);
    let (read, said) = events_into(&lab, "head -n 1");
    assert!(
        read.starts_with("{\"event\":\"start\"") && read.lines().count() == 1,
        "{read}"
    );
    // A short run's whole record may fit into the pipe before head is gone.
    assert!(
        said.contains("status 0") || said.contains("status 1") && said.contains("roken pipe"),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn events_into_jq_are_json_line_by_line() {
    let Some(lab) = Lab::netns() else { return };
    if !installed("jq") {
        return lab.skip("there is no jq");
    }
    let _server = lab.server(&[]);
    let (read, said) = events_into(&lab, "jq -r 'select(.event == \"state\") | .to'");
    let states: Vec<&str> = read.lines().collect();
    // The server's FIN may bring the ACK of ours along.
    let opens = ["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1"];
    let ends = ["TIME-WAIT", "CLOSED"];
    assert!(
        states.starts_with(&opens) && states.ends_with(&ends),
        "{states:?} {said}"
    );
    assert!(said.contains("status 0"), "{said}");
}

/// What a command prints on a terminal.
fn on_a_terminal(lab: &Lab, line: &str, no_color: bool) -> String {
    let mut command = lab.a.command("script");
    command
        .args(["-qec", line, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR");
    if no_color {
        command.env("NO_COLOR", "1");
    }
    String::from_utf8_lossy(&Program::start(&mut command).finish().stdout).into_owned()
}

/// Colours are `ESC [ .. m`; a progress bar's movements are none.
fn coloured(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
            .starts_with('m')
    })
}

#[test]
fn terminal_without_colours_gets_none_from_any_program() {
    let Some(lab) = Lab::netns() else { return };
    if !installed("script") {
        return lab.skip("there is no script");
    }
    let _server = lab.server(&[]);
    let path = |name: &str| built(name).display().to_string();
    let client = path("tcpx-client");
    let server = path("tcpx-server");
    let laboratory = path("tcpx-lab");
    let lines = [
        format!("{client} --help"),
        format!("{client} --without nothing 10.77.0.2:7000"),
        format!(
            "RUST_LOG=debug {client} 10.77.0.2:7000 --send hello --msl 100ms -v --fault 'drop out data#1'"
        ),
        format!("{client} rules"),
        format!("{server} --help"),
        format!("{server} 10.77.0.1:7000 --fault 'dorp'"),
        format!("{laboratory} --help"),
        format!("{laboratory} rules"),
        format!("{laboratory} list"),
        format!("{laboratory} run fin-sent-once --ladder"),
        format!("{laboratory} no-such-thing"),
    ];
    let mut with = 0;
    for line in &lines {
        let plain = on_a_terminal(&lab, line, true);
        let free = on_a_terminal(&lab, line, false);
        assert!(!plain.is_empty() && !coloured(&plain), "{line}: {plain:?}");
        with += usize::from(coloured(&free));
    }
    assert!(
        with > 4,
        "{with} of these have colours on a terminal: the test would see none"
    );
}

#[test]
fn usr1_lists_the_connections_of_a_server_and_of_a_client_that_go_on() {
    let Some(lab) = Lab::netns() else { return };
    let file = lab.file("status.jsonl");
    let mut server = lab.server(&["--stall", "--status", &file]);
    server.signal(Signal::USR1);
    server.wait_for("0 connections");
    let mut client = lab.client(&[
        "--send",
        "hello",
        "--bind",
        "10.77.0.1:40000",
        "--keepalive",
        "1h,1h,2",
    ]);
    server.wait_for("-> ESTABLISHED");
    server.wait_for("-> CLOSE-WAIT");
    server.signal(Signal::USR1);
    server.wait_for("1 connection");
    let head = server.wait_for("state");
    let columns: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(
        columns,
        ["state", "send-q", "recv-q", "local", "peer", "age", "timer"]
    );
    let row = server.wait_for("10.77.0.2:7000");
    assert_eq!(
        row.split('\t').take(5).collect::<Vec<_>>(),
        ["CLOSE-WAIT", "0", "5", "10.77.0.2:7000", "10.77.0.1:40000"],
        "{row}"
    );
    let lines = std::fs::read_to_string(&file).unwrap();
    let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
    let said = ["state", "remote", "unread", "bytes_received", "sack"].map(|name| &line[name]);
    let expected = serde_json::json!(["CLOSE-WAIT", "10.77.0.1:40000", 5, 5, true]);
    assert_eq!(serde_json::json!(said), expected, "{line}");
    client.wait_for("-> FIN-WAIT-2");
    client.signal(Signal::USR1);
    client.wait_for("1 connection");
    let row = client.wait_for(&format!("\t10.77.0.2:{PORT}\t"));
    let cells: Vec<&str> = row.trim_end().split('\t').collect();
    assert!(
        cells[0] == "FIN-WAIT-2"
            && cells[5].ends_with(" s")
            && cells[6].starts_with("keepalive in "),
        "{row}"
    );
    for (program, code) in [(client, 130), (server, 130)] {
        assert_eq!(program.end_by(Signal::INT).code, Some(code));
    }
}

#[test]
fn usr1_during_a_script_is_answered_too() {
    let Some(lab) = Lab::netns() else { return };
    let script = std::env::temp_dir().join(format!("tcpx-usr1-{}.script", std::process::id()));
    std::fs::write(&script, "listen; accept; stop reading").unwrap();
    let mut server = lab.server(&["--script", script.to_str().unwrap()]);
    let _stream = lab.a.connect(lab.b.at(PORT));
    server.wait_for("-> ESTABLISHED");
    server.signal(Signal::USR1);
    server.wait_for("1 connection");
    let row = server.wait_for("10.77.0.2:7000");
    assert!(row.starts_with("ESTABLISHED\t"), "{row}");
    std::fs::remove_file(&script).unwrap();
}

#[test]
fn error_that_ends_a_run_is_printed_after_the_live_view() {
    let Some(lab) = Lab::netns() else { return };
    let after = |ended: &Ended, view: &str, error: &str| {
        let (before, last) = ended.stderr.split_once(error).unwrap();
        // The rest of the error's line, and its hint.
        let (_, hint) = last.trim_end().split_once('\n').unwrap();
        assert!(before.contains(view), "{}", ended.stderr);
        assert!(hint.starts_with("hint: ") && !hint.contains('\n'), "{hint}");
    };
    for _ in 0..10 {
        let ended = lab.client(&["--send", "x", "-v"]).finish();
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        after(&ended, "closed: refused", "tcpx-client: connection refused");
    }
    let server = lab.server(&["--once"]);
    lab.client(&["--send", "x", "--abort"]).succeed();
    after(
        &server.finish(),
        "closed: reset",
        "tcpx-server: connection reset",
    );
}

#[test]
fn terminal_without_columns_has_eighty() {
    let Some(lab) = Lab::netns() else { return };
    if !installed("script") {
        return lab.skip("there is no script");
    }
    for program in ["tcpx-lab", "tcpx-client", "tcpx-server"] {
        let line = format!("{} --help", built(program).display());
        let shown = on_a_terminal(&lab, &line, true);
        let widest = shown
            .lines()
            .map(|line| line.trim_end().chars().count())
            .max()
            .unwrap();
        assert!((60..=80).contains(&widest), "{line}: {widest}\n{shown}");
    }
}
