//! What compose.yaml starts, and whether a cluster would take deploy/kubernetes.yaml.

use crate::harness::{Ended, Program, until};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// compose.yaml at work, gone with the test.
struct Project(String);

impl Project {
    /// Either of the two that read such files, with its words.
    fn command(&self, words: &[&str]) -> Command {
        let plugin = Command::new("docker")
            .args(["compose", "version"])
            .output()
            .unwrap()
            .status
            .success();
        let compose: &[&str] = if plugin {
            &["docker", "compose"]
        } else {
            &["docker-compose"]
        };
        let mut command = Command::new(compose[0]);
        command
            .args(&compose[1..])
            .args(["--project-name", &self.0])
            .args(words)
            .current_dir(root());
        command
    }

    /// Runs a service to its end, after those that it depends on.
    fn run(&self, service: &str) -> Ended {
        Program::start(&mut self.command(&["--profile", "iptables", "run", "--rm", "-T", service]))
            .finish()
    }

    /// Waits until a service has said this.
    fn await_words(&self, service: &str, words: &str) {
        until(&format!("{words:?} from {service}"), || {
            let logs = self.command(&["logs", service]).output().unwrap();
            String::from_utf8(logs.stdout)
                .unwrap()
                .contains(words)
                .then_some(())
        });
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _there_may_be_nothing = self
            .command(&["--profile", "iptables", "down", "--timeout", "1"])
            .output();
    }
}

#[test]
fn compose_shows_a_handshake_data_a_close_and_a_failure_under_either_guard() {
    let project = Project(format!("tcpx-test-{}", std::process::id()));
    Program::start(&mut project.command(&["up", "--detach", "client"])).succeed();
    project.await_words("server", "LAST-ACK -> CLOSED on ACK of FIN");
    project.await_words("client", "TIME-WAIT -> CLOSED on 2 MSL timeout");
    let failure = project.run("no-third-ack");
    assert!(
        failure.code == Some(5) && failure.stderr.contains("ESTABLISHED"),
        "{failure:?}"
    );
    project.await_words("server", "SYN-RECEIVED -> LISTEN on timeout");
    let client = project.run("iptables-client");
    assert_eq!(
        (client.code, client.stdout.as_slice()),
        (Some(0), &b"hello"[..]),
        "{}",
        client.stderr
    );
}

/// What the validator says of a manifest, and whether that is good.
fn validate(path: &Path) -> (bool, String) {
    let validator = root().join("target/kubernetes-validate/bin/kubernetes-validate");
    let output = Command::new(&validator)
        .arg("--strict")
        .arg(path)
        .output()
        .unwrap_or_else(|error| panic!("{validator:?}: {error}"));
    (
        output.status.success(),
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap(),
    )
}

#[test]
fn manifest_is_valid_and_one_with_a_mistake_is_not() {
    let manifest = root().join("deploy/kubernetes.yaml");
    let (valid, said) = validate(&manifest);
    assert!(
        valid && said.matches(" passed for resource ").count() == 3,
        "{said}"
    );
    let mistaken = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mistaken.yaml");
    let text = std::fs::read_to_string(manifest).unwrap();
    std::fs::write(
        &mistaken,
        text.replacen("readOnlyRootFilesystem", "readOnlyRootFileSystem", 1),
    )
    .unwrap();
    let (valid, said) = validate(&mistaken);
    assert!(
        !valid && said.contains("'readOnlyRootFileSystem' was unexpected"),
        "{said}"
    );
}
