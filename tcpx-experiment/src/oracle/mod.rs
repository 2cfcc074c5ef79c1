//! What must hold of every TCP, judged from what both ends recorded: not by eye, and not by the
//! experiment.

mod agreement;
mod bytes;
mod clean_close;
mod connect;
mod conns;
mod economy;
mod finding;
mod peers;
mod progress;
mod time_wait;

pub use conns::{Conn, Entered, PlayedStep, Run, Stay, seconds, start};
pub use finding::{Evidence, Origin, Reason, Seconds, Which, as_a_sentence, joined};

use serde::{Deserialize, Serialize};
use std::fmt;

/// A law that a run keeps or breaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Oracle {
    /// Every byte that an incarnation received was sent by its peer incarnation, in order.
    Octets,
    /// Both ends agree whether they are connected.
    Agreement,
    /// No end stays where only the peer can help it for longer than the experiment's patience.
    Progress,
    /// Every connect succeeds.
    Connect,
    /// Every connection that ends does so by two FINs: no RST, no timeout, nothing lost.
    CleanClose,
    /// Only the end that closed first is in TIME-WAIT, and no RST ends it.
    TimeWait,
    /// Both ends together send no more segments than the experiment's budget.
    Economy,
}

impl Oracle {
    /// All of them.
    pub const ALL: [Oracle; 7] = [
        Oracle::Octets,
        Oracle::Agreement,
        Oracle::Progress,
        Oracle::Connect,
        Oracle::CleanClose,
        Oracle::TimeWait,
        Oracle::Economy,
    ];

    /// As in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Oracle::Octets => "octets",
            Oracle::Agreement => "agreement",
            Oracle::Progress => "progress",
            Oracle::Connect => "connect",
            Oracle::CleanClose => "clean-close",
            Oracle::TimeWait => "time-wait",
            Oracle::Economy => "economy",
        }
    }

    /// Whether it holds of a run, and the line that shows it. An oracle that has nothing to judge
    /// does not hold.
    pub fn judge(self, run: &Run) -> Finding {
        let broken = match self {
            Oracle::Octets => bytes::broken(run),
            Oracle::Agreement => agreement::broken(run),
            Oracle::Progress => progress::broken(run),
            Oracle::Connect => connect::broken(run),
            Oracle::CleanClose => clean_close::broken(run),
            Oracle::TimeWait => time_wait::broken(run),
            Oracle::Economy => economy::broken(run),
        };
        Finding {
            oracle: self,
            holds: broken.is_none(),
            evidence: broken.into_iter().collect(),
        }
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an oracle found.
#[derive(Clone, PartialEq, Serialize, Debug)]
pub struct Finding {
    /// Which.
    pub oracle: Oracle,
    /// It holds.
    pub holds: bool,
    /// Which bytes, which state, for how long; empty where it holds.
    #[serde(serialize_with = "finding::as_a_sentence")]
    pub evidence: Vec<Evidence>,
}

impl Finding {
    /// The line that shows why the oracle breaks; empty where it holds.
    pub fn said(&self) -> String {
        joined(&self.evidence)
    }
}

#[cfg(test)]
mod tests;
