//! The two released binaries in two namespaces of their own, watched by the laboratory itself.

use super::process::Process;
use super::remarks::Remarks;
use crate::linux::capture::{Capture, Packet};
use crate::linux::check::{Allowance, check};
use crate::linux::{kernel, pcapng, reread};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tcpx::LinkKind;
use tcpx::netns::{self, Cable, Namespace};
use tcpx_experiment::end::End;
use tcpx_experiment::experiment::{Injection, Plan, Wanted};
use tcpx_experiment::trace::{Body, Direction, Entry, Log, lateness};
use tcpx_experiment::world::{Outcome, mark_forged, role};
use tcpx_proto::config::Isn;
use tcpx_proto::fault::VerdictKind;
use tcpx_proto::script::StepKind;
use tcpx_proto::wire::{ChecksumPolicy, Segment};

/// How far apart a record and the capture of the same end may stamp a packet, seconds: a loaded
/// machine lets a process wait.
const STAMPS: f64 = 0.5;

/// Runs a plan with this link of both programs. The record of each end is held against a capture of that end.
///
/// # Errors
/// A process did not start, a namespace could not be had, or a record is wrong.
pub fn run(plan: &Plan, link: LinkKind, seed: u64, keep: bool) -> Result<Outcome> {
    let (a, b) = netns::pair(Cable::PLAIN).context("no pair of namespaces")?;
    let spaces = [a, b];
    let captures = Captures::start(plan, &spaces)?;
    let start = |end: End| Process::pair(plan, end, end.of(&spaces), link, seed);
    // The listener listens before the other end connects.
    let mut b = start(End::B)?;
    b.wait_until_ready(plan)?;
    let mut a = start(End::A)?;
    // What is forged comes so long after both have begun, however long a loaded machine takes to
    // start them.
    a.wait_until_ready(plan)?;
    watch(&mut plan.clone(), [&mut a, &mut b], &spaces, None)?;
    let end = crate::linux::now();
    let logs = [a.finish()?, b.finish()?];
    let packets = captures.stop()?;
    outcome(plan, logs, packets, end, keep)
}

/// All that passes either end: on the cable, and to itself where it says something to itself.
pub(super) struct Captures([Vec<Capture>; 2]);

impl Captures {
    pub(super) fn start(plan: &Plan, spaces: &[Namespace; 2]) -> Result<Captures> {
        let of = |end: End| {
            let inside = end.of(spaces);
            let itself = end
                .of(&plan.hosts)
                .speaks_to_itself()
                .then(|| Capture::of_itself(inside));
            [Some(Capture::start(inside)), itself]
                .into_iter()
                .flatten()
                .collect::<std::io::Result<_>>()
        };
        Ok(Captures([of(End::A)?, of(End::B)?]))
    }

    pub(super) fn stop(self) -> Result<[Vec<Packet>; 2]> {
        let [a, b] = self.0.map(|captures| {
            let packets: std::io::Result<Vec<Vec<Packet>>> =
                captures.into_iter().map(Capture::stop).collect();
            packets.map(|packets| {
                let mut packets = packets.concat();
                packets.sort_by(|x, y| x.at.total_cmp(&y.at));
                packets
            })
        });
        let packets = [a?, b?];
        for captured in &packets {
            reread::agree(captured).map_err(|wrong| anyhow!(wrong))?;
        }
        Ok(packets)
    }
}

fn outcome(
    plan: &Plan,
    logs: [(String, Log); 2],
    packets: [Vec<Packet>; 2],
    end: f64,
    keep: bool,
) -> Result<Outcome> {
    let [(events_a, log_a), (events_b, log_b)] = logs;
    let mut logs = [log_a, log_b];
    let mut waited: f64 = 0.0;
    for (side, log) in End::BOTH.into_iter().zip(&mut logs) {
        waited = waited.max(witnessed(
            plan,
            side,
            log,
            side.of::<Vec<Packet>>(&packets),
            end,
        )?);
        waited = waited.max(lateness::longest(log, &side.of(&plan.hosts).script));
        mark_forged(plan, side, log);
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
        notes: Vec::new(),
        waited,
    })
}

/// Holds a record against the capture of the same end, up to the end of the run. What the
/// laboratory forged in that end's name left there, and is no lie. Returns how long its process
/// waited for the machine at the most, seconds.
pub(super) fn witnessed(
    plan: &Plan,
    side: End,
    log: &Log,
    packets: &[Packet],
    end: f64,
) -> Result<f64> {
    let silent = |entry: &&Entry| entry.begins(StepKind::GoSilent);
    let silent_from = log.entries.iter().find(silent).map(|entry| entry.t);
    let genuine = genuine(plan, side, packets);
    let waited = waited(log, &genuine);
    let allowance = Allowance {
        seconds: STAMPS.max(waited + STAMPS),
        kept: true,
        silent_from,
        until: end - log.monotonic,
    };
    check(log, &genuine, own(side), &allowance)
        .map_err(|wrong| anyhow!("the record of {side} is wrong: {wrong}"))?;
    Ok(waited)
}

/// The longest time from the arrival of a packet to its handling, by which the process tells that
/// it did not get the machine.
fn waited(log: &Log, packets: &[Packet]) -> f64 {
    let mut arrivals: HashMap<(u16, u32), Vec<f64>> = HashMap::new();
    for packet in packets.iter().filter(|packet| !packet.outgoing) {
        let Some(named) = named(packet) else { continue };
        arrivals.entry(named).or_default().push(packet.at);
    }
    let waits = log.entries.iter().filter_map(|entry| match &entry.body {
        Body::Segment(segment)
            if segment.dir == Direction::In && is_recorded_at_once(segment.verdict) =>
        {
            let here = entry.t + log.monotonic;
            let same = arrivals.get(&(segment.id, segment.seq.0))?;
            let last = same.partition_point(|at| *at <= here).checked_sub(1)?;
            Some(here - same[last])
        }
        _ => None,
    });
    waits.fold(0.0, f64::max)
}

/// Whether the record has a segment with this verdict from when it arrived, not from when it was
/// delivered.
const fn is_recorded_at_once(verdict: VerdictKind) -> bool {
    match verdict {
        VerdictKind::Pass | VerdictKind::Drop => true,
        VerdictKind::Delay
        | VerdictKind::Duplicate
        | VerdictKind::Reorder
        | VerdictKind::Corrupt
        | VerdictKind::Trickle
        | VerdictKind::Rewrite
        | VerdictKind::Hold => false,
    }
}

/// IP identification and SEG.SEQ.
fn named(packet: &Packet) -> Option<(u16, u32)> {
    let header = Segment::parse(&packet.bytes, ChecksumPolicy::Ignore)
        .ok()?
        .header;
    Some((header.id, header.seq.0))
}

/// A capture of an end without what the laboratory sent from there in its name.
pub(super) fn genuine(plan: &Plan, side: End, packets: &[Packet]) -> Vec<Packet> {
    let forged = plan.forged(side.other());
    let honest = |packet: &&Packet| {
        !packet.outgoing || named(packet).is_some_and(|named| !forged.contains(&named))
    };
    packets.iter().filter(honest).cloned().collect()
}

/// Each end's capture as a file, with what that end's record says of each packet.
pub(super) fn written(logs: &[Log; 2], packets: &[Vec<Packet>; 2]) -> Result<[Vec<u8>; 2]> {
    let one = |end: End| {
        let mut bytes = Vec::new();
        let section = format!("tcpx-lab: what passed {end}'s end of the cable");
        let side = pcapng::End {
            name: role(end).name(),
            packets: end.of::<Vec<Packet>>(packets),
        };
        let remarks = Remarks::of(end.of(logs));
        pcapng::write(&mut bytes, &section, side, |packet| remarks.on(packet)).map(|()| bytes)
    };
    Ok([one(End::A)?, one(End::B)?])
}

pub(super) fn own(end: End) -> Ipv4Addr {
    *end.of(&[netns::A, netns::B])
}

/// Waits until both are done, or until the limit; forges what is to be forged meanwhile. The
/// numbers in that which count from the ISN of the `linux` end become what they really are.
pub(super) fn watch(
    plan: &mut Plan,
    mut ends: [&mut Process; 2],
    spaces: &[Namespace; 2],
    linux: Option<End>,
) -> Result<()> {
    let begun = Instant::now();
    let start = |(nth, inject): (usize, &Injection)| {
        (nth, inject.on.is_none().then(|| begun + inject.after))
    };
    let mut waiting: Vec<(usize, Option<Instant>)> =
        plan.inject.iter().enumerate().map(start).collect();
    loop {
        for (nth, due) in waiting.iter_mut().filter(|(_, due)| due.is_none()) {
            let inject = &plan.inject[*nth];
            let Some(expected) = &inject.on else { continue };
            let Wanted::State(state) = expected.wanted else {
                bail!(
                    "an injection waits for a state, not for \"{}\"",
                    expected.text
                )
            };
            if ends[expected.end as usize].has_entered(state) {
                *due = Some(Instant::now() + inject.after);
            }
        }
        for (nth, _) in
            waiting.extract_if(.., |(_, due)| due.is_some_and(|due| due <= Instant::now()))
        {
            if let Some((linux, by)) = linux.and_then(|linux| {
                Some((
                    linux,
                    isn_difference(plan, linux, ends[linux.other() as usize])?,
                ))
            }) {
                plan.inject[nth].rebase(linux, by);
            }
            // A forged segment comes over the cable: it leaves from the other end's namespace.
            let inject = &plan.inject[nth];
            let from = inject.to.other().of(spaces);
            kernel::send_all(from, inject.packets.iter().map(Vec::as_slice))
                .context("cannot send a forged segment")?;
        }
        if waiting.is_empty() && ends.iter().all(|process| process.is_done())
            || begun.elapsed() >= plan.limit
        {
            return Ok(());
        }
        let due = waiting
            .iter()
            .filter_map(|(_, due)| *due)
            .min()
            .unwrap_or(begun + plan.limit)
            .min(begun + plan.limit);
        let news = due.saturating_duration_since(Instant::now());
        // Whoever has news first wakes us; the other is looked at as well.
        super::process::wait(&mut ends, news.max(Duration::from_micros(100)))?;
    }
}

/// By how much the ISN of the `linux` end, as its peer has heard it, is larger than its file says.
fn isn_difference(plan: &Plan, linux: End, peer: &Process) -> Option<u32> {
    let Isn::Fixed(supposed) = linux.of(&plan.hosts).settings.config.conn.isn else {
        return None;
    };
    let real = peer.heard_syn(&plan.forged(linux.other()))?;
    Some(real.wrapping_sub(supposed.0))
}
