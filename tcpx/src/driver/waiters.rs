//! Who waits for what, and who has to be woken once the lock is released.

use std::collections::HashMap;
use std::task::Waker;
use tcpx_proto::error::CloseReason;
use tcpx_proto::id::{ConnId, ListenerId};
use tcpx_proto::stack::Signal;
use tcpx_proto::state::State;

/// What the handle of a connection waits for.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// Text, its end or an error.
    Read,
    /// Room or an error.
    Write,
    /// ESTABLISHED or CLOSED.
    State,
}

/// All that wait on a host. Nobody is woken under the lock: a waker may drop a future that holds
/// one of our handles.
#[derive(Default)]
pub(super) struct Waiters {
    /// One for each connection with a handle.
    connections: HashMap<ConnId, Handle>,
    listeners: HashMap<ListenerId, Vec<Waker>>,
    /// They wait until a connection has another state than this.
    watching: Vec<(ConnId, State, Waker)>,
    /// They wait until no connection is left.
    emptied: Vec<Waker>,
    /// To be woken.
    woken: Vec<Waker>,
}

/// What is known of a connection that has a handle, and who waits for it.
#[derive(Default)]
pub(super) struct Handle {
    pub(super) established: bool,
    pub(super) closed: Option<CloseReason>,
    read: Option<Waker>,
    write: Option<Waker>,
    state: Vec<Waker>,
}

impl Handle {
    pub(super) fn leave(&mut self, wait: Wait, waker: &Waker) {
        match wait {
            Wait::Read => replace(&mut self.read, waker),
            Wait::Write => replace(&mut self.write, waker),
            Wait::State => add(&mut self.state, waker),
        }
    }

    fn all(&mut self) -> impl Iterator<Item = Waker> {
        self.read
            .take()
            .into_iter()
            .chain(self.write.take())
            .chain(self.state.drain(..))
    }
}

impl Waiters {
    /// The entry of a connection; created if there is none.
    pub(super) fn of(&mut self, id: ConnId) -> &mut Handle {
        self.connections.entry(id).or_default()
    }

    /// How the connection ended, where it has.
    pub(super) fn closed(&self, id: ConnId) -> Option<CloseReason> {
        self.connections.get(&id).and_then(|handle| handle.closed)
    }

    /// The handle is gone.
    pub(super) fn forget(&mut self, id: ConnId) {
        self.connections.remove(&id);
    }

    pub(super) fn leave_accept(&mut self, listener: ListenerId, waker: &Waker) {
        add(self.listeners.entry(listener).or_default(), waker);
    }

    pub(super) fn forget_listener(&mut self, listener: ListenerId) {
        self.listeners.remove(&listener);
        self.woken.append(&mut self.emptied);
    }

    pub(super) fn leave_emptied(&mut self, waker: &Waker) {
        add(&mut self.emptied, waker);
    }

    pub(super) fn watch(&mut self, id: ConnId, state: State, waker: &Waker) {
        self.watching.push((id, state, waker.clone()));
    }

    /// Notes those whose connection has another state now.
    pub(super) fn changed(&mut self, state: impl Fn(ConnId) -> State) {
        self.woken.extend(
            self.watching
                .extract_if(.., |(id, before, _)| state(*id) != *before)
                .map(|(.., waker)| waker),
        );
    }

    /// Records which tasks the engine wants woken.
    pub(super) fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Acceptable(listener) => {
                self.woken.extend(
                    self.listeners
                        .get_mut(&listener)
                        .into_iter()
                        .flat_map(|wakers| wakers.drain(..)),
                );
            }
            Signal::Established(id) => self.note(id, |handle, woken| {
                handle.established = true;
                woken.append(&mut handle.state);
            }),
            // What of it is in line arrives by reading; who waits for it alone asks for the status
            // or for the out-of-band byte.
            Signal::Urgent(id) => self.note(id, |handle, woken| woken.append(&mut handle.state)),
            Signal::Readable(id) => self.note(id, |handle, woken| woken.extend(handle.read.take())),
            Signal::Writable(id) => {
                self.note(id, |handle, woken| woken.extend(handle.write.take()))
            }
            Signal::Closed(id, reason) => {
                self.woken.append(&mut self.emptied);
                self.note(id, |handle, woken| {
                    handle.closed = Some(reason);
                    woken.extend(handle.all());
                });
            }
        }
    }

    fn note(&mut self, id: ConnId, f: impl FnOnce(&mut Handle, &mut Vec<Waker>)) {
        if let Some(handle) = self.connections.get_mut(&id) {
            f(handle, &mut self.woken);
        }
    }

    /// Notes everybody.
    pub(super) fn signal_all(&mut self) {
        self.woken
            .extend(self.connections.values_mut().flat_map(Handle::all));
        self.woken.extend(
            self.listeners
                .values_mut()
                .flat_map(|wakers| wakers.drain(..)),
        );
        self.woken
            .extend(self.watching.drain(..).map(|(.., waker)| waker));
        self.woken.append(&mut self.emptied);
    }

    /// Those to wake, once the lock is released. `empty` keeps its room for the next time.
    pub(super) fn take_woken(&mut self, empty: Vec<Waker>) -> Vec<Waker> {
        if self.woken.is_empty() {
            empty
        } else {
            std::mem::replace(&mut self.woken, empty)
        }
    }
}

fn replace(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(known) => known.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}

fn add(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}
