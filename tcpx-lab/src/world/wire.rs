//! The two released binaries in two namespaces of their own, watched by the laboratory itself.

use super::process::Process;
use super::{Outcome, role};
use crate::events::{Entry, Log, What};
use crate::evidence::capture::{Capture, Packet};
use crate::evidence::check::{Allowance, check};
use crate::evidence::{kernel, pcapng};
use crate::exchange::End;
use crate::experiment::{Injection, Plan, Sight};
use crate::netns::{self, Cable, Namespace};
use anyhow::{Context, Result, anyhow, bail};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tcpx_proto::config::Isn;
use tcpx_proto::wire::{ChecksumPolicy, Segment};

/// How far apart a record and the capture of the same end may stamp a packet, seconds: a loaded machine lets a process wait.
const STAMPS: f64 = 0.5;

/// Runs a plan. The record of each end is held against a capture of that end.
///
/// # Errors
/// A process did not start, a namespace could not be had, or a record is wrong.
pub fn run(plan: &Plan, seed: u64, keep: bool) -> Result<Outcome> {
    let (a, b) = netns::pair(Cable::PLAIN).context("no pair of namespaces")?;
    let spaces = [a, b];
    let [capture_a, capture_b] = spaces.each_ref().map(Capture::start);
    let captures = [capture_a?, capture_b?];
    let start = |end: End| Process::pair(plan, end, end.of(&spaces), seed);
    // Who listens does so before anybody connects.
    let mut b = start(End::B)?;
    b.wait_until_ready(plan)?;
    let mut a = start(End::A)?;
    watch(&mut plan.clone(), [&mut a, &mut b], &spaces, None)?;
    let end = crate::evidence::now();
    let logs = [a.finish()?, b.finish()?];
    let [packets_a, packets_b] = captures.map(Capture::stop);
    let packets = [packets_a?, packets_b?];
    outcome(plan, logs, packets, end, keep)
}

fn outcome(plan: &Plan, logs: [(String, Log); 2], packets: [Vec<Packet>; 2], end: f64, keep: bool) -> Result<Outcome> {
    let [(events_a, log_a), (events_b, log_b)] = logs;
    let mut logs = [log_a, log_b];
    for (side, log) in End::BOTH.into_iter().zip(&mut logs) {
        witnessed(plan, side, log, side.of::<Vec<Packet>>(&packets), end)?;
        super::sim::mark_forged(plan, side, log);
    }
    let captures = if keep { written(&logs, &packets)? } else { [Vec::new(), Vec::new()] };
    let end = end - crate::oracle::start(&logs);
    Ok(Outcome { end, logs, events: [events_a, events_b], captures, notes: Vec::new() })
}

/// Holds a record against the capture of the same end, up to the end of the run. What the laboratory forged in that end's name left there, and is no lie.
pub(super) fn witnessed(plan: &Plan, side: End, log: &Log, packets: &[Packet], end: f64) -> Result<()> {
    let silent = |entry: &&Entry| matches!(&entry.what, What::App { did, text } if did == "began" && text == "go silent");
    let silent_from = log.entries.iter().find(silent).map(|entry| entry.t);
    let allowance = Allowance { seconds: STAMPS, kept: true, silent_from, until: end - log.monotonic };
    check(log, &genuine(plan, side, packets), own(side), &allowance).map_err(|wrong| anyhow!("the record of {side} is wrong: {wrong}"))
}

/// A capture of an end without what the laboratory sent from there in its name.
pub(super) fn genuine(plan: &Plan, side: End, packets: &[Packet]) -> Vec<Packet> {
    let honest = |packet: &&Packet| {
        let segment = Segment::parse(&packet.octets, ChecksumPolicy::Ignore);
        !packet.outgoing || segment.is_ok_and(|segment| !plan.is_forged(side.other(), segment.header.id, segment.header.seq.0))
    };
    packets.iter().filter(honest).cloned().collect()
}

/// Each end's capture as a file, with what that end's record says of each packet.
pub(super) fn written(logs: &[Log; 2], packets: &[Vec<Packet>; 2]) -> Result<[Vec<u8>; 2]> {
    let one = |end: End| {
        let mut octets = Vec::new();
        let section = format!("tcpx-lab: what passed {end}'s end of the cable");
        let side = pcapng::End { name: role(end), packets: end.of::<Vec<Packet>>(packets) };
        pcapng::write(&mut octets, &section, side, |packet| super::remark(end.of(logs), packet)).map(|()| octets)
    };
    Ok([one(End::A)?, one(End::B)?])
}

pub(super) fn own(end: End) -> Ipv4Addr {
    *end.of(&[netns::A, netns::B])
}

/// Waits until both are done, or until the limit; forges what is to be forged meanwhile. The numbers in that which count from the ISN
/// of the `linux` end become what they really are.
pub(super) fn watch(plan: &mut Plan, mut ends: [&mut Process; 2], spaces: &[Namespace; 2], linux: Option<End>) -> Result<()> {
    let begun = Instant::now();
    let start = |(nth, inject): (usize, &Injection)| (nth, inject.on.is_none().then(|| begun + inject.after));
    let mut waiting: Vec<(usize, Option<Instant>)> = plan.inject.iter().enumerate().map(start).collect();
    loop {
        for (nth, due) in waiting.iter_mut().filter(|(_, due)| due.is_none()) {
            let inject = &plan.inject[*nth];
            let Some(rung) = &inject.on else { continue };
            let Sight::State(state) = &rung.sight else { bail!("an injection waits for a state, not for \"{}\"", rung.text) };
            if ends[rung.end as usize].has_entered(state) {
                *due = Some(Instant::now() + inject.after);
            }
        }
        for (nth, _) in waiting.extract_if(.., |(_, due)| due.is_some_and(|due| due <= Instant::now())) {
            if let Some((linux, by)) = linux.and_then(|linux| Some((linux, isn_difference(plan, linux, ends[linux.other() as usize])?))) {
                plan.inject[nth].rebase(linux, by);
            }
            // A forged segment comes over the cable: it leaves from the other end's namespace.
            let inject = &plan.inject[nth];
            let from = inject.to.other().of(spaces);
            inject.packets.iter().try_for_each(|packet| kernel::send(from, packet)).context("cannot send a forged segment")?;
        }
        if waiting.is_empty() && ends.iter().all(|process| process.is_done()) || begun.elapsed() >= plan.limit {
            return Ok(());
        }
        let due = waiting.iter().filter_map(|(_, due)| *due).min().unwrap_or(begun + plan.limit).min(begun + plan.limit);
        let news = due.saturating_duration_since(Instant::now());
        // Whoever has news first wakes us; the other is looked at as well.
        super::process::wait(&mut ends, news.max(Duration::from_micros(100)))?;
    }
}

/// By how much the ISN of the `linux` end, as its peer has heard it, is larger than its file says.
fn isn_difference(plan: &Plan, linux: End, peer: &Process) -> Option<u32> {
    let Isn::Fixed(supposed) = linux.of(&plan.hosts).settings.config.conn.isn else { return None };
    let real = peer.heard_syn(|id, seq| plan.is_forged(linux.other(), id, seq))?;
    Some(real.wrapping_sub(supposed.0))
}
