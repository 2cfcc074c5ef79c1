//! Any text as the file of an experiment; what is one has a plan for each arm in each world.

use tcpx_experiment::experiment::{Experiment, World};

/// A mistake is shown in its text, and a file without one can be planned.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Experiment::parse("fuzz.toml", text) {
        Ok(experiment) => {
            for arm in &experiment.arms {
                for world in World::ALL {
                    let plan = experiment.checked_plan(arm, world.scale());
                    assert!(plan.is_ok(), "{:?}", plan.err());
                }
            }
        }
        Err(mistake) => assert!(!mistake.to_string().is_empty()),
    }
}
