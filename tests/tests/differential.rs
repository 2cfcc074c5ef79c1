//! A bounded run of `make differential` with a fixed seed: the kernel beside tcpx.

use std::time::Duration;
use tcpx_tests::differential::judge::{Judge, Progress};
use tcpx_tests::skip::or_skip;

/// Longer than this it does not take, however slow the machine is.
const TIME: Duration = Duration::from_secs(18);
/// Enough for every opening, and every kind of segment and call.
const CASES: u64 = 1500;
const SEED: u64 = 9293;

#[test]
fn tcpx_and_the_kernel_do_the_same_in_random_cases() {
    let Some(mut judge) = or_skip(Judge::new()) else {
        return;
    };
    let mut progress = Progress::default();
    let report = judge
        .run(SEED, |report| {
            progress.show(report);
            report.cases < CASES && progress.elapsed() < TIME
        })
        .unwrap();
    eprintln!("{}", progress.line(&report));
    assert!(report.cases > 200, "only {} cases", report.cases);
    assert!(
        report.findings.is_empty(),
        "{} unexplained differences (make differential SEED={SEED} shows them)",
        report.findings.len()
    );
}
