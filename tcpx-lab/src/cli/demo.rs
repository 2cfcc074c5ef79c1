//! Three experiments in a minute: handshake and close by the book, then without the third ACK, then
//! without TIME-WAIT.

use crate::cli::{explain, find};
use crate::world::wire;
use anyhow::{Context, Result, ensure};
use std::io::Write;
use tcpx::LinkKind;
use tcpx::netns::root;
use tcpx_experiment::draw::{Format, drawn};
use tcpx_experiment::experiment::{Arm, Experiment, Scale};
use tcpx_experiment::oracle::joined;
use tcpx_experiment::verdict::judge;
use tcpx_experiment::world::sim;

/// Each experiment, and whether its run without the rule is shown.
const SCENES: [(&str, bool); 3] = [
    ("four-way-close", false),
    ("third-ack-suppressed", true),
    ("last-ack-lost-no-time-wait", true),
];
const SEED: u64 = 1;

/// Runs the scenes in two namespaces, or prints why it cannot and runs them in the simulation. It
/// must be called before the process has a second thread.
///
/// # Errors
/// The binaries are not built, or a run was not as expected.
pub fn run(out: &mut impl Write) -> Result<()> {
    let refused = root::acquire().err();
    if let Some(refusal) = &refused {
        writeln!(
            out,
            "Network namespaces are not available: {refusal}.\nThe simulation runs instead: the \
             same engine, on a virtual clock."
        )?;
    }
    for (number, (name, treatment)) in (1..).zip(SCENES) {
        let experiment = find(name)?;
        let arm = experiment
            .arms
            .iter()
            .find(|arm| arm.treatment == treatment)
            .context("no such run")?;
        writeln!(out, "\n{number}. {}\n", experiment.title)?;
        scene(&experiment, arm, refused.is_none(), out)
            .with_context(|| format!("scene {number} failed"))?;
    }
    writeln!(
        out,
        "There are more: tcpx-lab list, tcpx-lab explain NAME, tcpx-lab run NAME --on all"
    )?;
    Ok(())
}

fn scene(experiment: &Experiment, arm: &Arm, on_a_wire: bool, out: &mut impl Write) -> Result<()> {
    let plan = experiment.checked_plan(arm, if on_a_wire { Scale::Wire } else { Scale::Real })?;
    let mut commands = String::new();
    explain::by_hand(&mut commands, arm, &plan);
    writeln!(out, "{}\n{commands}", explain::fill(&experiment.story))?;
    let outcome = if on_a_wire {
        wire::run(&plan, LinkKind::default(), SEED, false)?
    } else {
        sim::run(&plan, SEED, false)?
    };
    writeln!(out, "{}", drawn(&outcome, Format::Text))?;
    let (_, wrong, happened) = judge(&plan, &outcome, 1.0);
    writeln!(
        out,
        "Expected: {}.\nObserved: {}.",
        plan.expected,
        joined(&happened)
    )?;
    ensure!(wrong.is_empty(), "not as expected: {}", wrong.join("; "));
    Ok(())
}
