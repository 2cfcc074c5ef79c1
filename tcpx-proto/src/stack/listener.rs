//! Passive OPENs: who waits for a SYN where, and how many connections each may have before they are
//! accepted.

use super::fast_open::PendingRequests;
use crate::config::ConnConfig;
use crate::id::{ConnId, ListenerId};
use crate::time::Instant;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::net::SocketAddr;

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Listener {
    pub(super) local: SocketAddr,
    pub(super) config: Arc<ConnConfig>,
    /// The most connections in SYN-RECEIVED, and the most that wait, each.
    pub(super) bound: usize,
    /// Connections in SYN-RECEIVED.
    pub(super) embryonic: usize,
    /// Established connections that are not accepted yet, oldest first.
    pub(super) waiting: VecDeque<ConnId>,
    /// Connections that are served before their third ACK (RFC 7413).
    pub(super) pending: PendingRequests,
    /// Until when a SYN cookie of ours may come back; `None` before the first.
    pub(super) cookies_until: Option<Instant>,
}

impl Listener {
    pub(super) fn new(local: SocketAddr, config: Arc<ConnConfig>, bound: usize) -> Listener {
        Listener {
            local,
            config,
            bound,
            embryonic: 0,
            waiting: VecDeque::new(),
            pending: PendingRequests::default(),
            cookies_until: None,
        }
    }

    /// No other connection may become established.
    pub(super) fn accept_full(&self) -> bool {
        self.waiting.len() >= self.bound
    }
}

/// All the listeners, by name and by address.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Listeners {
    by_id: BTreeMap<ListenerId, Listener>,
    by_address: BTreeMap<SocketAddr, ListenerId>,
    next: u32,
}

impl Listeners {
    /// Adds a listener; `None` when the names are used up. The caller knows that its address is
    /// free.
    pub(super) fn add(&mut self, listener: Listener) -> Option<ListenerId> {
        let id = ListenerId(self.next);
        self.next = self.next.checked_add(1)?;
        self.by_address.insert(listener.local, id);
        self.by_id.insert(id, listener);
        Some(id)
    }

    pub(super) fn remove(&mut self, id: ListenerId) -> Option<Listener> {
        let listener = self.by_id.remove(&id)?;
        self.by_address.remove(&listener.local);
        Some(listener)
    }

    /// None of them, and their names are not given again.
    pub(super) fn emptied(&self) -> Listeners {
        Listeners {
            next: self.next,
            ..Listeners::default()
        }
    }

    pub(super) fn get(&self, id: ListenerId) -> Option<&Listener> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn at(&self, local: SocketAddr) -> Option<ListenerId> {
        self.by_address.get(&local).copied()
    }

    /// Whether this listener has no room for another established connection.
    pub(super) fn accept_full(&self, id: ListenerId) -> bool {
        self.get(id).is_some_and(Listener::accept_full)
    }

    /// A connection of this listener came to SYN-RECEIVED.
    pub(super) fn syn_received(&mut self, id: ListenerId) {
        if let Some(listener) = self.get_mut(id) {
            listener.embryonic += 1;
        }
    }

    /// A connection left SYN-RECEIVED, for ESTABLISHED or for nothing.
    pub(super) fn syn_received_ends(&mut self, id: ListenerId) {
        if let Some(listener) = self.get_mut(id) {
            listener.embryonic = listener.embryonic.saturating_sub(1);
        }
    }

    /// A connection of this listener is served before its third ACK.
    pub(super) fn pending_begins(&mut self, id: ListenerId) {
        if let Some(listener) = self.get_mut(id) {
            listener.pending.begins();
        }
    }

    /// Its third ACK came, or it ended without.
    pub(super) fn pending_ends(&mut self, id: ListenerId, now: Instant, by_reset: bool) {
        if let Some(listener) = self.get_mut(id) {
            listener.pending.ends(now, by_reset);
        }
    }

    /// An established connection waits to be accepted.
    pub(super) fn enqueue(&mut self, id: ListenerId, conn: ConnId) {
        if let Some(listener) = self.get_mut(id) {
            listener.waiting.push_back(conn);
        }
    }

    /// A connection that waited is gone.
    pub(super) fn dequeue(&mut self, id: ListenerId, conn: ConnId) {
        if let Some(listener) = self.get_mut(id) {
            listener.waiting.retain(|waiting| *waiting != conn);
        }
    }
}
