//! The buffers of a connection, and what only matters while text flows.

use super::buffer::{ReceiveBuffer, SendBuffer};
use super::congestion::CongestionController;
use super::counts::Counts;
use super::history::SendHistory;
use super::room::Room;
use alloc::boxed::Box;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Transfer {
    pub(super) send: SendBuffer,
    pub(super) receive: ReceiveBuffer,
    pub(super) congestion: CongestionController,
    /// Empty without SACK.
    pub(super) history: SendHistory,
    pub(super) counts: Counts,
    /// What Linux's window follows from, where the policy is so.
    pub(super) room: Option<Box<Room>>,
}

impl Transfer {
    /// Whether an ACK that says nothing new has nothing to change here.
    pub(super) fn is_quiet(&self) -> bool {
        self.send.len() == 0
            && !self.receive.has_holes()
            && self.congestion.is_quiet()
            && self.history.is_quiet()
    }

    /// Bytes of memory taken.
    pub(super) fn memory(&self) -> usize {
        let room = self.room.as_ref().map_or(0, |room| room.own_memory());
        self.send.memory() + self.receive.memory() + self.history.board.memory() + room
    }

    /// Whether the buffers have grown far beyond what is in them.
    pub(super) fn has_slack(&self) -> bool {
        self.send.has_slack() || self.receive.has_slack() || self.history.board.has_slack()
    }

    /// Gives back the memory that a burst took.
    pub(super) fn shrink(&mut self) {
        if self.has_slack() {
            self.give_back();
        }
    }

    /// Gives back all memory that nothing is in.
    pub(super) fn give_back(&mut self) {
        self.send.give_back();
        self.receive.give_back();
        self.history.board.give_back();
    }
}
