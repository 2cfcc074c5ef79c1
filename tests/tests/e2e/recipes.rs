//! docs/recipes.md, typed as it stands: its files are written, its commands are run on the two
//! hosts, and what they show is what it says.

use crate::harness::{Lab, PATIENCE, Signal, installed, until};
use rustix::process::{Pid, kill_process_group};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

const DOCUMENT: &str = include_str!("../../../docs/recipes.md");

/// Each recipe is a test of its own, so that they run at the same time.
macro_rules! recipes {
    ($($name:ident: $title:literal)*) => {
        $(#[test]
        fn $name() {
            follow($title);
        })*
        const TITLES: &[&str] = &[$($title),*];
    };
}

recipes! {
    service_that_leaks_close_wait: "Is my nginx leaking CLOSE-WAIT?"
    client_of_a_server_that_misbehaves: "What does my client do when the server misbehaves?"
    keepalive_of_a_service: "Does my keepalive work, and after how long?"
    half_open_connections_of_a_listener: "How many half-open connections does my listener hold, and what happens then?"
    last_ack_of_a_service: "How long does my service sit in LAST-ACK?"
    pool_whose_connections_are_reset: "Does my connection pool survive a RST?"
    client_and_service_whose_ports_are_used_again: "Does my client survive the reuse of ports?"
}

#[test]
fn every_recipe_of_the_document_is_followed() {
    let titles: Vec<&str> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    assert_eq!(titles.split_first(), Some((&"Where to run them", TITLES)));
}

/// One fenced block: its language, the comment in its first line, the rest, and the block of output
/// that follows it.
struct Block<'a> {
    language: &'a str,
    heading: &'a str,
    body: &'a str,
    shows: Option<&'a str>,
}

/// The blocks of a part of the document.
fn blocks(part: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for fenced in part.split("```").skip(1).step_by(2) {
        let (language, text) = fenced.split_once('\n').unwrap();
        if language == "text" {
            let command = blocks.last_mut().expect("a command before its output");
            assert!(
                command.shows.replace(text).is_none(),
                "two outputs of one command: {text}"
            );
        } else {
            let (heading, body) = text
                .strip_prefix("# ")
                .and_then(|text| text.split_once('\n'))
                .expect("a comment in the first line");
            blocks.push(Block {
                language,
                heading,
                body,
                shows: None,
            });
        }
    }
    blocks
}

/// Does what the recipe of this title says.
fn follow(title: &str) {
    let Some(lab) = Lab::netns() else { return };
    if let Some(missing) = ["nginx", "curl", "python3", "sysctl", "nstat"]
        .iter()
        .find(|tool| !installed(tool))
    {
        return lab.skip(&format!("no {missing} here"));
    }
    let mut parts = DOCUMENT.split("\n## ").skip(1);
    let service = parts.next().unwrap();
    let recipe = parts.find_map(|recipe| recipe.strip_prefix(title)).unwrap();
    let mut sections = recipe.split("\n### ").map(blocks);
    // What all recipes or this one begin with stays to the end.
    let _service = type_all(&lab, blocks(service));
    let _stays = type_all(&lab, sections.next().unwrap());
    for section in sections {
        let stays = type_all(&lab, section);
        stays.into_iter().for_each(Typed::interrupt);
    }
}

/// Types the blocks of a section one after the other; gives those that stay.
fn type_all(lab: &Lab, section: Vec<Block<'_>>) -> Vec<Typed> {
    let mut stays = Vec::new();
    for Block {
        language,
        heading,
        body,
        shows,
    } in section
    {
        if language != "sh" {
            std::fs::write(lab.path(heading), body).unwrap();
            continue;
        }
        match heading.split_once(", ").unwrap_or((heading, "to its end")) {
            (host, "to its end") => {
                Typed::new(lab, host, body).shows_at_its_end(shows.unwrap_or_default())
            }
            (host, "as often as it takes") => {
                repeat(lab, host, body, shows.expect("what it takes"))
            }
            (host, "until Ctrl-C") => {
                let typed = Typed::new(lab, host, body);
                shows
                    .into_iter()
                    .for_each(|shows| typed.await_output(shows));
                stays.push(typed);
            }
            (_, other) => panic!("{other:?} does not say how long the block goes on"),
        }
    }
    stays
}

/// Types it again and again until it shows what it should.
fn repeat(lab: &Lab, host: &str, body: &str, shows: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut typed = Typed::new(lab, host, body);
        typed.await_end();
        if matches(shows, &typed.output()) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "never showed\n{shows}\nbut at last\n{}\nof {body}",
            typed.output()
        );
    }
}

/// Commands at work in a terminal of one of the hosts. They end with this.
struct Typed {
    shell: Child,
    /// What is on the terminal.
    screen: PathBuf,
    body: String,
}

impl Typed {
    fn new(lab: &Lab, host: &str, body: &str) -> Typed {
        let host = match host {
            "client" => &lab.a,
            "server" => &lab.b,
            other => panic!("no host is called {other:?}"),
        };
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let screen = lab.path(&format!("screen-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let terminal = File::create(&screen).unwrap();
        let mut command = host.shell(body);
        command.current_dir(lab.path("")).process_group(0);
        command
            .stdin(Stdio::null())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal);
        Typed {
            shell: command.spawn().unwrap(),
            screen,
            body: body.to_owned(),
        }
    }

    fn output(&self) -> String {
        std::fs::read_to_string(&self.screen).unwrap()
    }

    fn await_output(&self, shows: &str) {
        until(&format!("{shows}\nof {}", self.body), || {
            matches(shows, &self.output()).then_some(())
        });
    }

    fn await_end(&mut self) -> Option<i32> {
        let what = format!("the end of {}", self.body);
        until(&what, || self.shell.try_wait().unwrap()).code()
    }

    fn shows_at_its_end(mut self, shows: &str) {
        let code = self.await_end();
        let output = self.output();
        assert!(
            matches(shows, &output),
            "{}shows\n{output}and not\n{shows}",
            self.body
        );
        assert_eq!(code, Some(0), "{}{output}", self.body);
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.shell)
    }

    /// Ctrl-C, if it has not ended by itself.
    fn interrupt(mut self) {
        if self.shell.try_wait().unwrap().is_none() {
            kill_process_group(self.group(), Signal::INT).unwrap();
            self.await_end();
        }
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        let _ended_already = kill_process_group(self.group(), Signal::KILL);
        let _ended_already = self.shell.wait();
        if std::thread::panicking() {
            eprintln!("on the terminal of {}stood\n{}", self.body, self.output());
        }
    }
}

/// Whether an output is as the document has it: `...` in a line is any text, alone in a line any
/// lines, and blanks are as wide as they like.
fn matches(shows: &str, output: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let shows = lines(shows);
    let output = lines(output);
    lines_match(&shows, &output)
}

fn lines_match(shows: &[String], output: &[String]) -> bool {
    match shows.split_first() {
        None => output.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=output.len()).any(|skipped| lines_match(rest, &output[skipped..]))
        }
        Some((line, rest)) => output
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others)),
    }
}

fn line_matches(shows: &str, line: &str) -> bool {
    let Some((start, rest)) = shows.split_once("...") else {
        return shows == line;
    };
    let Some(line) = line.strip_prefix(start) else {
        return false;
    };
    let any_end = (0..=line.len()).filter(|&at| line.is_char_boundary(at));
    any_end
        .map(|at| &line[at..])
        .any(|line| line_matches(rest, line))
}

#[test]
fn output_is_compared_line_by_line() {
    assert!(matches("a ... c\n...\nz\n", "a   b c\nx\ny\nz\n"));
    assert!(matches("", "") && matches("...\n", "") && matches("a...\n", "a\n"));
    for (shows, output) in [
        ("a\n", ""),
        ("", "a\n"),
        ("a ... c\n", "a b d\n"),
        ("a\n...\nz\n", "a\nz\ny\n"),
        ("a ...\n", "b a c\n"),
    ] {
        assert!(!matches(shows, output), "{shows:?} is not {output:?}");
    }
}
