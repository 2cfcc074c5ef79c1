//! The buffers of a connection, and what only matters while text flows.

use super::buffer::{ReceiveBuffer, SendBuffer};
use super::congestion::CongestionController;
use super::counts::Counts;
use super::history::SendHistory;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Transfer {
    pub(super) send: SendBuffer,
    pub(super) receive: ReceiveBuffer,
    pub(super) congestion: CongestionController,
    /// Empty without SACK.
    pub(super) history: SendHistory,
    pub(super) counts: Counts,
}

impl Transfer {
    /// Bytes of memory taken.
    pub(super) fn memory(&self) -> usize {
        self.send.memory() + self.receive.memory() + self.history.board.memory()
    }

    /// Whether the buffers have grown far beyond what is in them.
    pub(super) fn has_slack(&self) -> bool {
        self.send.has_slack() || self.receive.has_slack() || self.history.board.has_slack()
    }

    /// Gives back the memory that a burst took.
    pub(super) fn shrink(&mut self) {
        if self.has_slack() {
            self.send.give_back();
            self.receive.give_back();
            self.history.board.give_back();
        }
    }
}
