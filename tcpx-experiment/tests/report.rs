//! The report of all experiments in the simulation: the same bytes every time.

use tcpx_experiment::report::{SEED, simulated};

#[test]
fn report_of_the_simulation_is_the_same_every_time_and_names_every_run() {
    let names = ["closed-port", "four-way-close"];
    let report = simulated(&names, SEED).unwrap();
    assert_eq!(report, simulated(&names, SEED).unwrap());
    let runs: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(names.iter().all(|name| {
        let of = |run: &serde_json::Value| run["experiment"] == *name && run["world"] == "sim";
        runs.as_array().unwrap().iter().any(of)
    }));
    assert!(simulated(&["closed"], SEED).is_err());
}
