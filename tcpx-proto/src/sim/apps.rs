//! The applications of a host, and which of them may have something to do: found without looking
//! at the others.

use super::app::{App, HostRequest, World};
use crate::id::{ConnId, ListenerId};
use crate::script::{Addresses, Script, StepError};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

#[derive(Clone, Default)]
pub(super) struct Apps {
    /// In the order in which they began.
    all: Vec<App>,
    /// Those that may have something to do.
    awake: BTreeSet<usize>,
    /// Those of the others that sleep until a certain time.
    asleep: BTreeSet<(Instant, usize)>,
    /// Those that have, or had, a connection or a listener: they learn what happens to it.
    concerned: BTreeMap<Concern, Vec<usize>>,
    /// Those whose script is not over.
    unfinished: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Concern {
    Conn(ConnId),
    Listener(ListenerId),
}

impl Apps {
    /// An application that begins when this connection is established.
    pub(super) fn spawn(&mut self, id: ConnId, script: Arc<Script>) {
        self.add(App::on(script, id));
    }

    /// An application without a connection.
    pub(super) fn play(&mut self, script: Arc<Script>, addresses: Addresses) {
        self.add(App::new(script, addresses));
    }

    fn add(&mut self, app: App) {
        let at = self.all.len();
        self.unfinished += usize::from(!app.is_over());
        let concerns = app.concerns();
        self.all.push(app);
        self.awake.insert(at);
        concerns
            .into_iter()
            .flatten()
            .for_each(|new| self.concern(at, new));
    }

    fn concern(&mut self, at: usize, concern: Concern) {
        let apps = self.concerned.entry(concern).or_default();
        if !apps.contains(&at) {
            apps.push(at);
        }
    }

    /// Every script came to its end.
    pub(super) fn is_over(&self) -> bool {
        self.unfinished == 0
    }

    /// How the last script that has this connection ended early, if it did.
    pub(super) fn failed(&self, id: ConnId) -> Option<&StepError> {
        let concerned = self.concerned.get(&Concern::Conn(id))?;
        let apps = concerned.iter().filter_map(|at| self.all.get(*at));
        apps.rev().find(|app| app.has(id))?.error()
    }

    /// Something happened to it.
    pub(super) fn wake(&mut self, concern: Concern) {
        for at in self.concerned.get(&concern).into_iter().flatten() {
            if self.awake.insert(*at)
                && let Some(until) = self.all.get(*at).and_then(|app| app.until)
            {
                self.asleep.remove(&(until, *at));
            }
        }
    }

    /// Wakes those that slept until now.
    pub(super) fn timeout(&mut self, now: Instant) {
        while let Some(first) = self.asleep.first().filter(|(until, _)| *until <= now) {
            self.awake.insert(first.1);
            self.asleep.pop_first();
        }
    }

    /// When the first of those that sleep wakes up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asleep.first().map(|(until, _)| *until)
    }

    /// At most one call of the first that is awake; `None`: all of them wait.
    pub(super) fn act(&mut self, world: &mut World<'_>) -> Option<HostRequest> {
        let at = *self.awake.first()?;
        let app = self.all.get_mut(at)?;
        let before = app.concerns();
        let was_over = app.is_over();
        let (request, awake) = app.act(world);
        let after = app.concerns();
        let is_over = app.is_over();
        if !awake {
            self.awake.remove(&at);
            self.asleep
                .extend(app.until.filter(|_| !is_over).map(|until| (until, at)));
        }
        self.unfinished -= usize::from(is_over && !was_over);
        if after != before {
            after
                .into_iter()
                .flatten()
                .for_each(|new| self.concern(at, new));
        }
        Some(request)
    }

    /// The host lost every connection and listener.
    pub(super) fn forget(&mut self) {
        self.all.iter_mut().for_each(App::forget);
        self.concerned.clear();
    }
}
