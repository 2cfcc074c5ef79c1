//! The laboratory's runs on a wire and against Linux: what it keeps is read by tshark, whose own
//! analysis agrees with the story, and a run that goes wrong fails.

use crate::harness::{Lab, built};
use std::path::Path;
use std::process::{Command, Output};

fn laboratory(arguments: &[&str]) -> Output {
    Command::new(built("tcpx-lab"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// What tshark makes of a capture, a line for each packet that the filter lets through.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args([
        "-o",
        "tcp.check_checksum:TRUE",
        "-Y",
        filter,
        "-T",
        "fields",
    ]);
    fields
        .iter()
        .for_each(|field| _ = command.args(["-e", field]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn last_ack_lost_on_the_wire_and_beside_linux_is_what_tshark_sees() {
    let Some(lab) = Lab::netns() else { return };
    let kept = lab.file("kept");
    let name = "last-ack-lost-no-time-wait";
    let output = laboratory(&[
        "run",
        name,
        "--on",
        "wire,kernel",
        "--require",
        "wire,kernel",
        "--slow",
        "3",
        "--keep",
        &kept,
    ]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    for world in ["wire", "kernel"] {
        let treatment = Path::new(&kept)
            .join(name)
            .join(format!("{world}-without-time-wait"));
        for end in ["a.pcapng", "b.pcapng"] {
            let file = treatment.join(end);
            assert_eq!(
                tshark(
                    &file,
                    "tcp.checksum.status == 0 || _ws.malformed",
                    &["frame.number"]
                ),
                Vec::<String>::new()
            );
            // The FIN again, and the RST that answers it; both more than once where the answer
            // takes its time.
            for (what, whose) in [
                (
                    "tcp.analysis.retransmission && tcp.flags.fin == 1",
                    "10.77.0.2",
                ),
                ("tcp.flags.reset == 1", "10.77.0.1"),
            ] {
                let mut sources = tshark(&file, what, &["ip.src"]);
                sources.dedup();
                assert_eq!(sources, [whose], "{world} {end}: {what}");
            }
        }
        let comments = tshark(
            &treatment.join("b.pcapng"),
            "frame.comment",
            &["frame.comment"],
        )
        .join("\n");
        assert!(comments.contains("closed: reset"), "{comments}");
    }
}

#[test]
fn run_on_the_wire_that_is_not_as_expected_fails() {
    let Some(lab) = Lab::netns() else { return };
    let source =
        include_str!("../../../tcpx-experiment/experiments/last-ack-lost-no-time-wait.toml");
    let wrong = source.replace("\"b closed clean\"", "\"b closed reset\"");
    assert_ne!(wrong, source);
    std::fs::write(lab.path("wrong.toml"), wrong).unwrap();
    let output = laboratory(&["run", &lab.file("wrong.toml"), "--on", "wire"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(
        text(&output.stdout).contains("the ladder misses \"b closed reset\""),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn lab_installed_alone_takes_the_pair_from_path_and_says_where_it_looked() {
    let Some(lab) = Lab::netns() else { return };
    let alone = lab.path("tcpx-lab");
    std::fs::copy(built("tcpx-lab"), &alone).unwrap();
    let run = |path: &Path| {
        let mut command = Command::new(&alone);
        command
            .args(["run", "four-way-close", "--on", "wire", "--require", "wire"])
            .env("PATH", path);
        command.current_dir(lab.path("")).output().unwrap()
    };
    let missing = run(&lab.path(""));
    assert_eq!(missing.status.code(), Some(1));
    for words in [
        "no tcpx-server next to tcpx-lab or in PATH",
        "cargo install --path tcpx-server",
    ] {
        let said = text(&missing.stdout);
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
    let found = run(built("tcpx-client").parent().unwrap());
    assert!(found.status.success(), "{}", text(&found.stdout));
}
