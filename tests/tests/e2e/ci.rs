//! The jobs of `docs/ci` as they stand there, and the commands of `docs/ci.md`, against a real
//! nginx; and that they fail when it is not there.

use crate::harness::{Lab, built, installed};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What installs is not run here: every package that it names must be there already, and who is
/// root needs no sudo.
const PRELUDE: &str = r#"
    sudo() { "$@"; }
    apt-get() { [ "$1" != install ] || dpkg-query --show "${@:4}"; }
"#;

/// Everything that a job says to a shell, in order.
struct Job {
    variables: Vec<(String, String)>,
    lines: String,
}

fn github() -> Job {
    let workflow = yaml("docs/ci/github.yml");
    let steps = workflow["jobs"]["tcp"]["steps"].as_array().unwrap();
    Job {
        variables: variables(&workflow["env"]),
        lines: steps
            .iter()
            .filter_map(|step| step["run"].as_str())
            .collect(),
    }
}

fn gitlab() -> Job {
    let job = &yaml("docs/ci/gitlab.yml")["tcp"];
    let lines = ["before_script", "script"]
        .into_iter()
        .flat_map(|part| job[part].as_array().unwrap());
    let lines: Vec<&str> = lines.map(|line| line.as_str().unwrap()).collect();
    Job {
        variables: variables(&job["variables"]),
        lines: lines.join("\n"),
    }
}

/// The jobs' variables, and the block of commands that needs no root.
fn rootless() -> Job {
    let text = fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let block = text
        .split("```sh\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap()
        .to_owned();
    Job {
        lines: format!("mkdir reports\n{block}"),
        ..gitlab()
    }
}

fn variables(map: &Value) -> Vec<(String, String)> {
    map.as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(root().join(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Two hosts, if everything is here that the jobs install.
fn lab() -> Option<Lab> {
    let lab = Lab::netns()?;
    match ["bats", "curl", "nginx", "setcap", "ss"]
        .iter()
        .find(|tool| !installed(tool))
    {
        Some(tool) => {
            lab.skip(&format!("no {tool} here"));
            None
        }
        None => Some(lab),
    }
}

impl Job {
    /// Runs it on B in a checkout that has the files in `ci`; what it starts ends with it. The
    /// archive is one of the tested programs.
    fn run(&self, lab: &Lab) -> Output {
        let archive = lab.path("tcpx.tar.gz");
        let programs = ["tcpx-client", "tcpx-server", "tcpx-lab"].map(built);
        let mut tar = Command::new("tar");
        tar.arg("-cf").arg(&archive).args([
            "--use-compress-program=gzip -1",
            "--owner=0",
            "--group=0",
            "--transform=s,.*/,tcpx/bin/,",
            "--absolute-names",
        ]);
        assert!(tar.args(programs).status().unwrap().success());
        let checkout = lab.path("checkout");
        fs::create_dir_all(checkout.join("ci")).unwrap();
        for entry in fs::read_dir(root().join("docs/ci"))
            .unwrap()
            .map(Result::unwrap)
        {
            fs::copy(entry.path(), checkout.join("ci").join(entry.file_name())).unwrap();
        }
        let mut command = lab.b.command("unshare");
        command
            .args([
                "--pid",
                "--fork",
                "--kill-child",
                "bash",
                "-e",
                "-o",
                "pipefail",
                "-c",
            ])
            .arg(format!("{PRELUDE}{}", self.lines));
        command
            .envs(self.variables.iter().cloned())
            .env("TCPX", format!("file://{}", archive.display()));
        command.current_dir(checkout).output().unwrap()
    }

    /// It succeeds, and its report names every check.
    fn succeeds(&self, lab: &Lab) {
        let output = self.run(lab);
        assert!(output.status.success(), "{}", said(&output));
        let report = fs::read_to_string(lab.path("checkout/reports/tcpx.xml")).unwrap();
        let checks = fs::read_to_string(root().join("docs/ci/tcpx.bats"))
            .unwrap()
            .matches("@test")
            .count();
        assert!(
            checks > 0
                && report.contains(&format!(
                    "tests=\"{checks}\" failures=\"0\" errors=\"0\" skipped=\"0\""
                )),
            "{report}"
        );
    }
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text))
        .join("\n")
}

#[test]
fn job_on_github_passes_as_it_stands_there() {
    let Some(lab) = lab() else { return };
    github().succeeds(&lab);
    assert!(
        fs::read_to_string(lab.path("checkout/reports/lab.xml"))
            .unwrap()
            .contains("failures=\"0\"")
    );
}

#[test]
fn job_on_gitlab_passes_as_it_stands_there() {
    let Some(lab) = lab() else { return };
    gitlab().succeeds(&lab);
    assert!(
        fs::read_to_string(lab.path("checkout/reports/lab.xml"))
            .unwrap()
            .contains("failures=\"0\"")
    );
}

#[test]
fn commands_without_root_pass_as_they_stand_there() {
    let Some(lab) = lab() else { return };
    let mut job = rootless();
    job.lines = format!(
        "export PATH={}:$PATH\n{}",
        built("tcpx-client").parent().unwrap().display(),
        job.lines
    );
    job.succeeds(&lab);
}

#[test]
fn job_fails_and_reports_it_when_the_service_is_not_there() {
    let Some(lab) = lab() else { return };
    let mut job = gitlab();
    job.lines = job
        .lines
        .lines()
        .filter(|line| !line.starts_with("nginx"))
        .collect::<Vec<_>>()
        .join("\n");
    let output = job.run(&lab);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report = fs::read_to_string(lab.path("checkout/reports/tcpx.xml")).unwrap();
    assert!(
        report.contains("failed with status 3") && report.contains("closed: refused"),
        "{report}"
    );
}

#[test]
fn workflow_of_this_repository_calls_what_exists() {
    let files = ["ci", "nightly"].map(|name| yaml(&format!(".github/workflows/{name}.yml")));
    let steps = files
        .iter()
        .flat_map(|file| file["jobs"].as_object().unwrap().values())
        .flat_map(|job| job["steps"].as_array().unwrap());
    let lines: Vec<&str> = steps.filter_map(|step| step["run"].as_str()).collect();
    let targets: Vec<&str> = lines
        .iter()
        .filter_map(|line| Some(line.split_once("make ")?.1))
        .collect();
    assert!(
        !targets.is_empty() && lines.iter().any(|line| line.ends_with(".ci/run")),
        "{lines:?}"
    );
    for target in targets {
        let output = Command::new("make")
            .arg("--dry-run")
            .args(target.split(' '))
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}
