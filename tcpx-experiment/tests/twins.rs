//! Every rule that can be removed has its twin: an experiment that removes exactly that rule, and
//! shows the same run with it.

use std::collections::BTreeSet;
use tcpx_experiment::experiment::{Arm, Experiment, built_in};
use tcpx_proto::preset::{PRESETS, Preset};

/// The rules that an arm removes beyond those that are off in all arms.
fn removed(arm: &Arm) -> BTreeSet<&str> {
    [&arm.a, &arm.b]
        .into_iter()
        .flat_map(|host| &host.without)
        .map(|name| name.get_ref().as_str())
        .collect()
}

/// The experiment that a row names.
fn twin(experiments: &[Experiment], preset: &Preset) -> Experiment {
    let found = experiments
        .iter()
        .find(|experiment| experiment.name == preset.experiment)
        .cloned();
    found.unwrap_or_else(|| {
        panic!(
            "{}: there is no experiment '{}'",
            preset.name, preset.experiment
        )
    })
}

#[test]
fn every_rule_has_an_experiment_that_removes_it_alone_and_one_run_with_it() {
    let experiments = built_in().unwrap();
    for preset in PRESETS {
        let experiment = twin(&experiments, preset);
        let alone = |arm: &&Arm| arm.treatment && removed(arm) == BTreeSet::from([preset.name]);
        let treatment = experiment.arms.iter().find(alone);
        let treatment = treatment.unwrap_or_else(|| {
            panic!(
                "{} has no arm that removes {} alone",
                experiment.name, preset.name
            )
        });
        let judged = !treatment.breaks.is_empty();
        assert!(
            judged,
            "{}: without {} no oracle breaks",
            experiment.name, preset.name
        );
        let control = |arm: &Arm| {
            !arm.treatment && !arm.holds.is_empty() && !removed(arm).contains(preset.name)
        };
        assert!(
            experiment.arms.iter().any(control),
            "{} has no run with {}",
            experiment.name,
            preset.name
        );
        let always = [&experiment.a, &experiment.b]
            .into_iter()
            .flat_map(|host| &host.without);
        assert!(
            always.into_iter().all(|name| name.get_ref() != preset.name),
            "{} never has {}",
            experiment.name,
            preset.name
        );
    }
}

/// What breaks without the rule holds with it.
#[test]
fn every_oracle_that_a_twin_breaks_holds_in_its_control() {
    let experiments = built_in().unwrap();
    for preset in PRESETS {
        let experiment = twin(&experiments, preset);
        let treatments = experiment
            .arms
            .iter()
            .filter(|arm| arm.treatment && removed(arm) == BTreeSet::from([preset.name]));
        let broken: BTreeSet<_> = treatments.flat_map(|arm| &arm.breaks).collect();
        let held: BTreeSet<_> = experiment
            .arms
            .iter()
            .filter(|arm| !arm.treatment)
            .flat_map(|arm| &arm.holds)
            .collect();
        assert!(
            broken.intersection(&held).next().is_some(),
            "{}: {broken:?} without, {held:?} with",
            preset.name
        );
    }
}

#[test]
fn every_without_names_a_rule() {
    for experiment in built_in().unwrap() {
        for name in experiment.removed() {
            assert!(
                Preset::find(&name).is_some(),
                "{} removes '{name}', which is no rule",
                experiment.name
            );
        }
    }
}
