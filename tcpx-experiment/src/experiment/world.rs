//! Where an experiment is run.

use super::Scale;
use serde::Serialize;
use std::fmt;

/// A world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Debug)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
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

    /// Which values the constants have there.
    pub const fn scale(self) -> Scale {
        match self {
            World::Sim => Scale::Real,
            World::Wire => Scale::Wire,
            World::Kernel => Scale::Kernel,
        }
    }

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
