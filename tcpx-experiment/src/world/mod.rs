//! What a run leaves, in whichever world; and the simulation.

pub mod sim;

use crate::end::End;
use crate::experiment::Plan;
use crate::trace::{Body, Conversation, Direction, Log, pair};
use tcpx_proto::trace::Role;

/// What an end's binary calls itself in its record.
pub fn role(end: End) -> Role {
    match end {
        End::A => Role::Client,
        End::B => Role::Server,
    }
}

/// What a run left.
#[derive(Clone, Debug)]
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

impl Outcome {
    /// The conversations of the run, up to its end.
    pub fn conversations(&self) -> Vec<Conversation> {
        let start = crate::oracle::start(&self.logs);
        let mut logs = self.logs.clone();
        for log in &mut logs {
            let until = self.end + start - log.monotonic;
            log.entries.retain(|entry| entry.t <= until);
        }
        let [a, b] = &logs;
        pair(a, b)
    }
}

/// Marks the injected segments of a log as forged.
pub fn mark_forged(plan: &Plan, end: End, log: &mut Log) {
    let forged = plan.forged(end);
    for entry in &mut log.entries {
        if let Body::Segment(segment) = &mut entry.body {
            segment.forged =
                segment.dir == Direction::In && forged.contains(&(segment.id, segment.seq.0));
        }
    }
}
