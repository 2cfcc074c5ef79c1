//! Where an experiment is run: in the simulation, on a wire, or beside Linux.

pub mod sim;

use crate::events::Log;
use crate::exchange::End;
use serde::Serialize;
use std::fmt;

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

/// What a run left.
pub struct Outcome {
    /// What A recorded, and what B did, forged segments marked.
    pub logs: [Log; 2],
    /// When it ended, seconds since the earlier record began.
    pub end: f64,
    /// The events files themselves.
    pub events: [String; 2],
    /// A capture of either end, pcapng with comments; empty unless asked for.
    pub captures: [Vec<u8>; 2],
    /// What else was noticed, such as the kernel's counters.
    pub notes: Vec<String>,
}
