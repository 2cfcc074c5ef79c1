//! Two stacks on a virtual link: deterministic, instant, and without privileges.

use super::{Outcome, mark_forged};
use crate::end::End;
use crate::experiment::{Expectation, Injection, Plan, Scale, Wanted};
use crate::trace::Log;
use anyhow::Result;
use serde::Serialize;
use tcpx_proto::event;
use tcpx_proto::sim::{HostId, Link, Observation, Sim};
use tcpx_proto::time::{Duration, Instant};
use tcpx_proto::trace::{Observed, Observer, Recorded, Recorder, Sink, Start, pcapng};

/// How long a segment is on its way: a wide network's in the real scale, a cable's on the wire's.
fn delay(scale: Scale) -> Duration {
    match scale {
        Scale::Real => Duration::from_millis(10),
        Scale::Wire | Scale::Kernel => Duration::from_micros(50),
    }
}

/// Runs a plan. `seed` decides all chance. `keep` asks for captures, too.
///
/// # Errors
/// A record could not be made.
pub fn run(plan: &Plan, seed: u64, keep: bool) -> Result<Outcome> {
    let mut sim = Sim::new(seed);
    let mut nth = 0;
    let hosts = plan.hosts.each_ref().map(|host| {
        nth += 1;
        sim.add_host(
            host.address.ip(),
            host.settings.config.clone(),
            seed ^ nth,
            host.settings.rules.clone(),
        )
    });
    for (from, to) in [(hosts[0], hosts[1]), (hosts[1], hosts[0])] {
        sim.link(from, to, Link::new(delay(plan.scale)));
    }
    // The listener listens before the other end connects.
    for (host, id) in plan.hosts.iter().zip(hosts).rev() {
        sim.play(id, host.script.clone(), host.addresses());
    }
    go(&mut sim, plan, hosts);
    let [a, b] = End::BOTH.map(|end| record(&sim, *end.of(&hosts), end, plan, seed, keep));
    let a = a?;
    let b = b?;
    Ok(Outcome {
        logs: [a.log, b.log],
        // A nanosecond later: what happens at the very end counts, whichever way its time in a
        // record was rounded.
        end: sim.now().since(Instant::ZERO).as_secs_f64() + 1e-9,
        events: [a.events, b.events],
        captures: [a.capture, b.capture],
        notes: Vec::new(),
        waited: 0.0,
    })
}

/// Lets things happen until all scripts are over and every connection is closed, until nothing more
/// happens, or until the limit.
fn go(sim: &mut Sim, plan: &Plan, hosts: [HostId; 2]) {
    let limit = Instant::ZERO + plan.limit;
    let mut waiting: Vec<(&Injection, Option<Instant>)> = plan
        .inject
        .iter()
        .map(|inject| {
            (
                inject,
                inject.on.is_none().then(|| Instant::ZERO + inject.after),
            )
        })
        .collect();
    let mut looked_at = 0;
    loop {
        let news = sim.trace().get(looked_at..).unwrap_or_default();
        for (inject, due) in waiting.iter_mut().filter(|(_, due)| due.is_none()) {
            let seen = inject
                .on
                .as_ref()
                .is_some_and(|expected| news.iter().any(|seen| shows(seen, hosts, expected)));
            *due = seen.then(|| sim.now() + inject.after);
        }
        looked_at += news.len();
        let forged = waiting.iter().filter_map(|(_, due)| *due).min();
        if sim.is_over() && hosts.iter().all(|host| sim.all_closed(*host)) && forged.is_none() {
            return;
        }
        let next = [sim.deadline(), forged].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= limit) else {
            sim.run_until(|_| false, limit.since(sim.now()));
            return;
        };
        if forged != Some(next) {
            sim.step();
            continue;
        }
        sim.run_until(|sim| sim.now() >= next, next.since(sim.now()));
        for (inject, _) in waiting.extract_if(.., |(_, due)| due.is_some_and(|due| due <= next)) {
            inject
                .packets
                .iter()
                .for_each(|packet| sim.inject(*inject.to.of(&hosts), packet.clone()));
        }
    }
}

/// Whether what an injection waits for, a state, was entered here.
fn shows(seen: &Observation, hosts: [HostId; 2], expected: &Expectation) -> bool {
    let Wanted::State(wanted) = &expected.wanted else {
        return false;
    };
    let event = seen.of(*expected.end.of(&hosts)).and_then(Observed::event);
    event.is_some_and(|event| matches!(event.what, event::What::State { to, .. } if to == *wanted))
}

/// What one host saw.
struct Record {
    log: Log,
    events: String,
    capture: Vec<u8>,
}

/// Reads a host's trace through the same writers and the same reader as on the wire.
fn record(sim: &Sim, host: HostId, end: End, plan: &Plan, seed: u64, keep: bool) -> Result<Record> {
    let profile = end.of(&plan.hosts).settings.profile;
    let mut files = Files::default();
    files.line(&Start::in_memory(super::role(end), profile, seed));
    if keep {
        files.capture = Some(pcapng::Capture::new(Duration::ZERO)?);
    }
    let mut recorder = Recorder::new(Instant::ZERO, files);
    for observed in sim.trace().iter().filter_map(|seen| seen.of(host)) {
        recorder.observe(observed);
    }
    let files = recorder.finish();
    let mut log = Log::parse(&files.events)?;
    mark_forged(plan, end, &mut log);
    Ok(Record {
        log,
        events: std::mem::take(&mut files.events),
        capture: files
            .capture
            .as_mut()
            .map(pcapng::Capture::take)
            .unwrap_or_default(),
    })
}

/// The files of one host, in memory.
#[derive(Default)]
struct Files {
    events: String,
    capture: Option<pcapng::Capture>,
}

impl Files {
    fn line(&mut self, line: &impl Serialize) {
        // These types are all plain: there is nothing that could not be written.
        self.events += &serde_json::to_string(line).unwrap_or_default();
        self.events.push('\n');
    }
}

impl Sink for Files {
    fn record(&mut self, recorded: &Recorded<'_>) {
        self.line(&recorded.entry(Instant::ZERO));
        if let Some(capture) = &mut self.capture {
            capture.record(recorded);
        }
    }

    fn flush(&mut self) {
        if let Some(capture) = &mut self.capture {
            capture.flush();
        }
    }
}
