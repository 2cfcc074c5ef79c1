//! What a connection takes of what the stack bounds in total.

use super::Tcb;
use super::context::Context;
use crate::config::Config;
use crate::state::State;

/// What one connection takes, or all of them together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Usage {
    /// Bytes of buffers.
    memory: usize,
    /// Connections that the application has closed and the peer has not.
    orphans: usize,
    /// Connections in TIME-WAIT, or in FIN-WAIT-2 as little more than that.
    time_waits: usize,
}

/// What a connection may still take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    /// Bytes by which its buffers may grow.
    pub(super) memory: usize,
    /// Only because each connection may take a little.
    pressure: bool,
    /// It may become an orphan.
    orphan: bool,
    /// It may wait for 2 MSL.
    pub(super) time_wait: bool,
}

impl Usage {
    /// One of the connections took `before`, and takes `after` now.
    pub(crate) fn change(&mut self, before: Usage, after: Usage) {
        let changed = |all: usize, before, after: usize| all.saturating_sub(before) + after;
        self.memory = changed(self.memory, before.memory, after.memory);
        self.orphans = changed(self.orphans, before.orphans, after.orphans);
        self.time_waits = changed(self.time_waits, before.time_waits, after.time_waits);
    }

    /// What is left for a connection that takes `own` of all this. Before it exists, nothing is
    /// its due: a SYN proves nothing of its sender.
    pub(crate) fn left(&self, config: &Config, own: Option<Usage>) -> Left {
        let memory = config.max_memory.saturating_sub(self.memory);
        let due = own.map_or(0, |own| config.least_memory.saturating_sub(own.memory));
        let own = own.unwrap_or_default();
        Left {
            memory: memory.max(due),
            pressure: memory == 0,
            orphan: own.orphans > 0 || self.orphans < config.max_orphans,
            time_wait: own.time_waits > 0 || self.time_waits < config.max_time_wait,
        }
    }
}

impl Tcb {
    /// What it takes.
    pub(crate) fn usage(&self) -> Usage {
        let waits = self.state == State::TimeWait || self.is_mini_orphan();
        Usage {
            memory: self.memory(),
            orphans: usize::from(self.orphaned && !waits && !self.is_over()),
            time_waits: usize::from(waits),
        }
    }

    /// Whether CLOSE must end this connection because there are too many that were closed, or too
    /// little memory to keep its text for them (Linux `tcp_check_oom`).
    pub(super) fn is_one_orphan_too_many(&self, cx: &Context<'_>) -> bool {
        let text = cx.left.pressure && self.unacknowledged() > 0;
        (!cx.left.orphan || text) && !self.is_mini_orphan()
    }
}
