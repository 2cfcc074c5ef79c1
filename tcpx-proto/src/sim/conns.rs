//! What is kept of a host's connections, also when the stack has forgotten them.

use crate::error::CloseReason;
use crate::id::{ConnId, FourTuple};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

#[derive(Clone)]
struct Conn {
    id: ConnId,
    closed: Option<CloseReason>,
    /// All that an application received on it.
    received: Vec<u8>,
}

/// Every connection that a host ever had.
#[derive(Clone, Default)]
pub(super) struct Conns {
    /// In the order in which they were opened.
    all: Vec<Conn>,
    /// Where each of them is.
    places: BTreeMap<ConnId, usize>,
    /// The last one of each four-tuple.
    tuples: BTreeMap<FourTuple, ConnId>,
    /// Those that are not closed.
    open: usize,
}

impl Conns {
    pub(super) fn opened(&mut self, id: ConnId, tuple: FourTuple) {
        self.places.insert(id, self.all.len());
        self.tuples.insert(tuple, id);
        self.open += 1;
        self.all.push(Conn {
            id,
            closed: None,
            received: Vec::new(),
        });
    }

    pub(super) fn ended(&mut self, id: ConnId, reason: CloseReason) {
        if let Some(conn) = self.get_mut(id) {
            let was_open = conn.closed.replace(reason).is_none();
            self.open -= usize::from(was_open);
        }
    }

    /// An application received this.
    pub(super) fn received_more(&mut self, id: ConnId, bytes: &[u8]) {
        if let Some(conn) = self.get_mut(id) {
            conn.received.extend_from_slice(bytes);
        }
    }

    pub(super) fn received(&self, id: ConnId) -> &[u8] {
        self.get(id).map_or(&[], |conn| &conn.received)
    }

    /// How it ended, once it has.
    pub(super) fn closed(&self, id: ConnId) -> Option<CloseReason> {
        self.get(id)?.closed
    }

    pub(super) fn all_closed(&self) -> bool {
        self.open == 0
    }

    pub(super) fn last_of(&self, tuple: &FourTuple) -> Option<ConnId> {
        self.tuples.get(tuple).copied()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ConnId> {
        self.all.iter().map(|conn| conn.id)
    }

    fn get(&self, id: ConnId) -> Option<&Conn> {
        self.all.get(*self.places.get(&id)?)
    }

    fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.all.get_mut(*self.places.get(&id)?)
    }
}
