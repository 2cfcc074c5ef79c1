//! Where an experiment is run: in the simulation, on a wire, or beside Linux.

pub mod kernel;
mod late;
mod process;
pub mod sim;
pub mod wire;

use crate::events::{Direction, Log, What};
use crate::evidence::capture::Packet;
use crate::exchange::End;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use tcpx_proto::wire::{ChecksumPolicy, Segment};

/// A world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum, Debug)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Two hosts on a virtual clock.
    Sim,
    /// The two binaries in two network namespaces.
    Wire,
    /// One binary, and this machine's Linux.
    Kernel,
}

impl World {
    /// All of them.
    pub const ALL: [World; 3] = [World::Sim, World::Wire, World::Kernel];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            World::Sim => "sim",
            World::Wire => "wire",
            World::Kernel => "kernel",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an end's binary calls itself in its record.
pub(crate) fn role(end: End) -> &'static str {
    match end {
        End::A => "client",
        End::B => "server",
    }
}

/// What a record says of captured packets.
struct Remarks<'a> {
    log: &'a Log,
    /// By direction, IP identification and SEG.SEQ, the entries about a segment, in their order.
    entries: HashMap<(Direction, u16, u32), Vec<usize>>,
}

impl<'a> Remarks<'a> {
    fn of(log: &'a Log) -> Remarks<'a> {
        let mut entries: HashMap<(Direction, u16, u32), Vec<usize>> = HashMap::new();
        for (at, entry) in log.entries.iter().enumerate() {
            let What::Segment(seen) = &entry.what else {
                continue;
            };
            entries
                .entry((seen.dir, seen.id, seen.seq))
                .or_default()
                .push(at);
        }
        Remarks { log, entries }
    }

    /// Why a packet was sent, or what came of it.
    fn on(&self, packet: &Packet) -> Option<String> {
        let header = Segment::parse(&packet.octets, ChecksumPolicy::Ignore)
            .ok()?
            .header;
        let dir = if packet.outgoing {
            Direction::Out
        } else {
            Direction::In
        };
        let near =
            |at: &usize| (self.log.entries[*at].t + self.log.monotonic - packet.at).abs() < 1.0;
        let at = *self
            .entries
            .get(&(dir, header.id, header.seq.0))?
            .iter()
            .find(|at| near(at))?;
        let What::Segment(seen) = &self.log.entries.get(at)?.what else {
            return None;
        };
        let followed = self
            .log
            .entries
            .iter()
            .skip(at + 1)
            .take_while(|entry| !matches!(entry.what, What::Segment(_)));
        let changes = followed.filter_map(|entry| match &entry.what {
            What::State { from, to, on } => Some(format!("{from} -> {to} on {on}")),
            What::Discarded { reason } => Some(format!("not used: {reason}")),
            What::Closed { reason } => Some(format!("closed: {reason}")),
            _ => None,
        });
        let forged = seen.forged.then(|| "forged by the laboratory".to_owned());
        let said: Vec<String> = seen
            .cause
            .clone()
            .into_iter()
            .chain(seen.fault().map(str::to_owned))
            .chain(forged)
            .chain(changes)
            .collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}

/// What a run left.
#[derive(Clone)]
pub struct Outcome {
    /// What A recorded, and what B did, forged segments marked.
    pub logs: [Log; 2],
    /// When it ended, seconds since the earlier record began.
    pub end: f64,
    /// The events files themselves.
    pub events: [String; 2],
    /// A capture of either end, pcapng with comments; empty unless asked for.
    pub captures: [Vec<u8>; 2],
    /// How long a process waited for the machine at the most, seconds: before it handled a packet,
    /// a timer, or what its script waited for.
    pub waited: f64,
    /// What else was noticed, such as the kernel's counters.
    pub notes: Vec<String>,
}
