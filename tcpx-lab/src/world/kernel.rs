//! One of the pair against this machine's Linux: ordinary sockets in the other namespace, watched
//! from outside.

use super::process::Process;
use super::wire::{Captures, genuine, own, watch, witnessed, written};
use crate::linux::sockets::{Seen, Watch};
use crate::linux::{kernel, log};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::time::Duration;
use tcpx::LinkKind;
use tcpx::netns::{self, Cable};
use tcpx_experiment::end::End;
use tcpx_experiment::experiment::Plan;
use tcpx_experiment::trace::lateness;
use tcpx_experiment::world::{Outcome, mark_forged, role};

/// How often the kernel's sockets are looked at.
const EVERY: Duration = Duration::from_millis(10);

/// Runs a plan whose `linux` end is the kernel's, with these settings of its namespace, and
/// whose other end has this link.
///
/// # Errors
/// A process did not start, a namespace could not be had, there is no such setting, or a record is
/// wrong.
pub fn run(
    plan: &Plan,
    linux: End,
    settings: &BTreeMap<String, String>,
    link: LinkKind,
    seed: u64,
    keep: bool,
) -> Result<Outcome> {
    let (a, b) = netns::pair(Cable::PLAIN).context("no pair of namespaces")?;
    let spaces = [a, b];
    let home = linux.of(&spaces);
    for (name, value) in settings {
        kernel::sysctl(home, name, value)
            .with_context(|| format!("cannot set {name} to {value}"))?;
    }
    let before = kernel::counters(home)?;
    let captures = Captures::start(plan, &spaces)?;
    let sockets = Watch::start(home, EVERY)?;
    let start = |end: End| {
        if end == linux {
            Process::kernel(plan, end, end.of(&spaces))
        } else {
            Process::pair(plan, end, end.of(&spaces), link, seed)
        }
    };
    // The listener listens before the other end connects.
    let mut b = start(End::B)?;
    b.wait_until_ready(plan)?;
    let mut a = start(End::A)?;
    // What is forged comes so long after both have begun, however long a loaded machine takes to
    // start them.
    a.wait_until_ready(plan)?;
    let plan = &mut plan.clone();
    watch(plan, [&mut a, &mut b], &spaces, Some(linux))?;
    // The last look belongs to the run: what the player saw end, it sees end.
    let seen = sockets.stop()?;
    let counted = kernel::difference(&before, &kernel::counters(home)?);
    let end = crate::linux::now();
    let packets = captures.stop()?;
    let [(events_a, log_a), (events_b, log_b)] = [a.finish()?, b.finish()?];
    let mut logs = [log_a, log_b];
    let mut waited = witnessed(
        plan,
        linux.other(),
        linux.other().of(&logs),
        &packets[linux.other() as usize],
        end,
    )?;
    let theirs = &mut logs[linux as usize];
    let honest = genuine(plan, linux, &packets[linux as usize]);
    *theirs = log::log(
        &honest,
        &seen,
        std::mem::take(&mut theirs.entries),
        own(linux),
        role(linux),
        theirs.monotonic,
    );
    for (side, log) in End::BOTH.into_iter().zip(&mut logs) {
        mark_forged(plan, side, log);
        waited = waited.max(lateness::longest(log, &side.of(&plan.hosts).script));
    }
    let captures = if keep {
        written(&logs, &packets)?
    } else {
        [Vec::new(), Vec::new()]
    };
    let end = end - tcpx_experiment::oracle::start(&logs);
    Ok(Outcome {
        end,
        logs,
        events: [events_a, events_b],
        captures,
        notes: notes(&counted, &seen),
        waited,
    })
}

/// What the kernel counted, and what its sockets were seen in.
fn notes(counted: &BTreeMap<String, i64>, seen: &Seen) -> Vec<String> {
    let counters = counted
        .iter()
        .map(|(name, difference)| format!("{name} {difference:+}"));
    let sightings = seen
        .sightings
        .iter()
        .map(|sighting| format!("{sighting:?}"));
    counters.chain(sightings).collect()
}
