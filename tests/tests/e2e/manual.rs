//! What the programs say of themselves: manual page and help agree, completions are sound, the
//! rules are those of the table.

use crate::harness::{Lab, Program, built};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use tcpx_proto::preset::PRESETS;

const PROGRAMS: [&str; 3] = ["tcpx-client", "tcpx-server", "tcpx-lab"];

/// What a program prints to stdout.
fn says(words: &[&str]) -> String {
    let output = Command::new(built(words[0]))
        .args(&words[1..])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The flags that lines begin with; what is indented by more than they are is a description.
fn flags(text: &str) -> BTreeSet<String> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("       "))
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| {
        line.split("  ")
            .next()
            .unwrap_or_default()
            .split([' ', ',', '=', '[', '<'])
    });
    words
        .filter(|word| word.len() > 1 && word.starts_with('-'))
        .map(|word| word.trim_end_matches('.').to_owned())
        .collect()
}

/// The text of a manual page without its markup.
fn plain(page: &str) -> String {
    ["\\fB", "\\fI", "\\fR"]
        .iter()
        .fold(page.replace("\\-", "-"), |text, markup| {
            text.replace(markup, "")
        })
}

/// The subcommands that a help lists.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Compares a command's help with its page, and those of its subcommands.
fn agree(words: &[&str], pages: &Path) -> usize {
    let help = says(&[words, &["--help"]].concat());
    let page = std::fs::read_to_string(pages.join(format!("{}.1", words.join("-")))).unwrap();
    let in_help = flags(&help);
    let in_page = flags(&plain(&page));
    assert!(
        in_help == in_page,
        "{words:?}: only in one: {:?}",
        in_help.symmetric_difference(&in_page).collect::<Vec<_>>()
    );
    assert!(in_help.contains("--help"), "{help}");
    let below = subcommands(&help);
    1 + below
        .iter()
        .map(|name| agree(&[words, &[name.as_str()]].concat(), pages))
        .sum::<usize>()
}

#[test]
fn manual_pages_have_the_flags_that_help_has_and_no_others() {
    let pages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("man");
    for program in PROGRAMS {
        says(&[program, "man", pages.to_str().unwrap()]);
        let compared = agree(&[program], &pages);
        assert!(compared > 1, "{program}: {compared} pages");
    }
    let page = std::fs::read_to_string(pages.join("tcpx-client.1")).unwrap();
    assert!(flags(&plain(&page)).len() > 40, "{page}");
}

/// The commands among the examples that a program's help begins with.
fn examples(program: &str) -> Vec<String> {
    let help = says(&[program, "--help"]);
    let first_screen = help
        .lines()
        .take(24)
        .skip_while(|line| !line.starts_with("Examples"))
        .skip(1)
        .take_while(|line| !line.is_empty());
    let examples: Vec<String> = first_screen
        .filter_map(|line| line.strip_prefix("  "))
        .map(str::to_owned)
        .collect();
    let commands: Vec<String> = examples
        .into_iter()
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(commands.len(), 3, "{program}: {help}");
    commands
}

#[test]
fn examples_on_the_first_screen_of_the_clients_help_work_when_pasted() {
    let Some(lab) = Lab::netns() else { return };
    let mut server = Program::start(&mut lab.b.shell(&examples("tcpx-server")[0]));
    server.wait_for("listening on");
    for (example, heard) in examples("tcpx-client")
        .iter()
        .zip(["hello\n", "hello", "hihi"])
    {
        assert_eq!(
            Program::start(&mut lab.b.shell(example)).succeed(),
            heard,
            "{example}"
        );
    }
}

#[test]
fn examples_on_the_first_screen_of_the_servers_help_work_when_pasted() {
    let Some(lab) = Lab::netns() else { return };
    for example in examples("tcpx-server") {
        let mut server = Program::start(&mut lab.b.shell(&example));
        server.wait_for("listening on");
        let mut client = lab.b.run(|| std::net::TcpStream::connect("127.0.0.1:7000"));
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        drop(client);
        server.wait_for("CLOSE-WAIT");
    }
}

#[test]
fn examples_on_the_first_screen_of_the_labs_help_work_when_pasted() {
    let Some(lab) = Lab::netns() else { return };
    for (example, shows) in examples("tcpx-lab")
        .iter()
        .zip(["Observed: ", "TIME-WAIT", "RFC 9293"])
    {
        let shown = Program::start(&mut lab.b.shell(example)).succeed();
        assert!(shown.contains(shows), "{example}: {shown}");
    }
}

#[test]
fn completions_know_every_flag_and_bash_reads_its_own() {
    for program in PROGRAMS {
        for shell in ["bash", "zsh", "fish"] {
            let script = says(&[program, "completions", shell]);
            let flag = if program == "tcpx-lab" {
                "ladder"
            } else {
                "without"
            };
            assert!(script.contains(flag), "{program} {shell}: {script}");
        }
        let script = says(&[program, "completions", "bash"]);
        let read = Command::new("bash")
            .args(["-n", "-c", &script])
            .output()
            .unwrap();
        assert!(
            read.status.success() && read.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&read.stderr)
        );
    }
}

#[test]
fn rules_are_those_of_the_table_for_each_program() {
    for program in PROGRAMS {
        let lines = PRESETS.iter().map(|rule| {
            [
                rule.name,
                rule.requirement,
                rule.removes,
                rule.breaks,
                rule.experiment,
            ]
            .join("\t")
        });
        assert_eq!(
            says(&[program, "rules"]).lines().collect::<Vec<_>>(),
            lines.collect::<Vec<_>>(),
            "{program}"
        );
        let json: Vec<serde_json::Value> =
            serde_json::from_str(&says(&[program, "rules", "--format", "json"])).unwrap();
        let names: Vec<&str> = json
            .iter()
            .map(|rule| rule["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            PRESETS.iter().map(|rule| rule.name).collect::<Vec<_>>(),
            "{program}"
        );
    }
}

#[test]
fn rules_beside_anything_else_is_a_usage_error() {
    let output = Command::new(built("tcpx-client"))
        .args(["10.77.0.2:7000", "rules"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
