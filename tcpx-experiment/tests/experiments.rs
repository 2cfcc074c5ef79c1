//! The built-in experiments: each of them in the simulation, and the sweep that finds their failures
//! by itself.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use tcpx_experiment::end::End;
use tcpx_experiment::experiment::{Arm, Experiment, Scale, World, built_in};
use tcpx_experiment::oracle::Oracle;
use tcpx_experiment::report::{SEED, simulate};
use tcpx_experiment::sweep;
use tcpx_experiment::verdict::Verdict;
use tcpx_experiment::world::sim;

fn find(name: &str) -> Experiment {
    built_in()
        .unwrap()
        .into_iter()
        .find(|experiment| experiment.name == name)
        .unwrap()
}

#[test]
fn every_experiment_is_called_as_its_file_and_has_a_control() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments");
    let files = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .collect();
    let experiments = built_in().unwrap();
    let names: BTreeSet<String> = experiments
        .iter()
        .map(|experiment| experiment.name.clone())
        .collect();
    assert_eq!(files, names);
    for experiment in &experiments {
        assert!(
            experiment.arms.iter().any(|arm| !arm.treatment),
            "{} has no arm with its rules in place",
            experiment.name
        );
        let article = experiment.tags.iter().any(|tag| tag == "article");
        assert_eq!(
            article,
            experiment.zh.is_some(),
            "{}: an experiment of the article has its words in Chinese",
            experiment.name
        );
        let translated = |arm: &Arm| {
            let beside = arm
                .kernel
                .as_ref()
                .is_some_and(|beside| beside.reason.is_some() || beside.expected.is_some());
            arm.zh
                .as_ref()
                .is_some_and(|zh| zh.kernel.is_some() == beside)
        };
        assert!(
            !article || experiment.arms.iter().all(translated),
            "{}: an arm has no [arm.zh], or not all of it",
            experiment.name
        );
        let excused = experiment.unsupported(World::Kernel).is_some();
        assert!(
            experiment
                .zh
                .as_ref()
                .is_none_or(|zh| zh.kernel.is_some() == excused),
            "{}: [zh] and [kernel] differ",
            experiment.name
        );
    }
}

#[test]
fn every_experiment_is_as_expected_in_the_simulation() {
    let reports = simulate(&built_in().unwrap(), SEED);
    let verdicts: Vec<Verdict> = reports.into_iter().map(|report| report.verdict).collect();
    let wrong: Vec<String> = verdicts
        .iter()
        .filter(|verdict| !verdict.is_good())
        .map(|verdict| format!("{verdict:#?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        verdicts
            .iter()
            .filter(|verdict| verdict.skipped.is_none())
            .count()
            > 1
    );
}

#[test]
fn simulation_repeated_is_the_same_octet_by_octet() {
    for experiment in built_in()
        .unwrap()
        .iter()
        .filter(|experiment| experiment.sim.is_none())
    {
        for arm in &experiment.arms {
            let plan = experiment.checked_plan(arm, Scale::Real).unwrap();
            let [one, other] = [
                sim::run(&plan, 7, true).unwrap(),
                sim::run(&plan, 7, true).unwrap(),
            ];
            assert!(
                one.events == other.events && one.captures == other.captures,
                "{}: {}",
                experiment.name,
                arm.name
            );
        }
    }
}

fn swept(name: &str, without: &[(End, &str)]) -> sweep::Sweep {
    let without = without
        .iter()
        .map(|(end, rule)| (*end, (*rule).to_owned()))
        .collect();
    sweep::sweep(
        &find(name),
        &sweep::SweepOptions {
            without,
            pairs: true,
            seed: 1,
        },
    )
    .unwrap()
}

#[test]
fn sweep_with_all_rules_in_place_breaks_nothing() {
    let article = [
        "three-way-handshake",
        "four-way-close",
        "half-close",
        "passive-closer-never-waits",
        "last-ack-lost-no-time-wait",
    ];
    for name in article.into_iter().chain([
        "two-way-handshake-deadlock",
        "old-segment-in-new-incarnation",
    ]) {
        let swept = swept(name, &[]);
        let broken: Vec<String> = swept
            .breaks
            .iter()
            .map(|found| format!("{:?}: {}", found.mishaps, found.finding.said()))
            .collect();
        assert!(
            broken.is_empty() && swept.runs > 100 && swept.watched.len() > 3,
            "{name}: {} runs, {broken:#?}",
            swept.runs
        );
    }
}

#[test]
fn sweep_without_time_wait_finds_the_lost_last_ack_by_itself() {
    let swept = swept("last-ack-lost-no-time-wait", &[(End::A, "time-wait")]);
    let found = swept
        .breaks
        .iter()
        .find(|found| found.finding.oracle == Oracle::CleanClose)
        .unwrap();
    assert!(
        found.finding.said().contains("LAST-ACK"),
        "{}",
        found.finding.said()
    );
    assert_eq!(found.mishaps.len(), 1, "{:?}", found.mishaps);
}

#[test]
fn sweep_without_time_wait_finds_the_old_segment_in_the_new_incarnation_by_itself() {
    let swept = swept("old-segment-in-new-incarnation", &[(End::A, "time-wait")]);
    let found = swept
        .breaks
        .iter()
        .find(|found| found.finding.oracle == Oracle::Octets)
        .unwrap();
    assert!(
        found
            .finding
            .said()
            .contains("which b sent in incarnation 1"),
        "{}",
        found.finding.said()
    );
    assert_eq!(found.mishaps.len(), 1, "{:?}", found.mishaps);
}

#[test]
fn sweep_with_a_two_way_handshake_finds_the_deadlock_by_itself() {
    let swept = swept("two-way-handshake-deadlock", &[(End::B, "three-way")]);
    let found = swept
        .breaks
        .iter()
        .find(|found| found.finding.oracle == Oracle::Connect)
        .unwrap();
    assert_eq!(found.mishaps, [(End::B, "drop out segment#1".to_owned())]);
    assert!(
        found.finding.said().contains("connect-timeout"),
        "{}",
        found.finding.said()
    );
}
