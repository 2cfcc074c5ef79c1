//! What happened at one host: to be asserted on, waited for, printed when a test fails, and drawn.

use crate::record::{BackgroundWriter, Events, Failures};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tcpx_proto::event::SegmentRecord;
use tcpx_proto::time::Instant;
use tcpx_proto::trace::{Observed, Observer, Recorder, Start};
use tokio::sync::Notify;

/// An [`Observer`] that keeps everything. Clones share it: give one to
/// [`HostOptions::observers`](crate::HostOptions::observers) and keep the other. As text it is a
/// line for each entry.
#[derive(Clone, Default)]
pub struct Diary(Arc<Inner>);

#[derive(Default)]
struct Inner {
    observed: Mutex<Vec<Observed>>,
    more: Notify,
}

impl Diary {
    /// An empty one.
    pub fn new() -> Diary {
        Diary::default()
    }

    /// All entries so far, in order.
    pub fn entries(&self) -> Vec<Observed> {
        self.observed().clone()
    }

    /// All segments so far, in order, those included that the gate dropped.
    pub fn segments(&self) -> Vec<SegmentRecord> {
        let observed = self.observed();
        let segments = observed.iter().filter_map(Observed::segment);
        segments.cloned().collect()
    }

    /// How many entries are like this.
    pub fn count(&self, mut like: impl FnMut(&Observed) -> bool) -> usize {
        self.observed().iter().filter(|entry| like(entry)).count()
    }

    /// The first entry that is like this, past ones included; waits for it. Cancel-safe.
    pub async fn until(&self, mut like: impl FnMut(&Observed) -> bool) -> Observed {
        let mut looked_at = 0;
        loop {
            let more = self.0.more.notified();
            {
                let observed = self.observed();
                let new = observed.get(looked_at..).unwrap_or_default();
                if let Some(found) = new.iter().find(|entry| like(entry)) {
                    return found.clone();
                }
                looked_at = observed.len();
            }
            more.await;
        }
    }

    /// Writes an events file: of one end `tcpx-lab ladder FILE` draws what it saw, of both
    /// `tcpx-lab ladder A B` all that happened. `first` says whose it is ([`Start::in_memory`]).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, first: &Start) -> io::Result<()> {
        let failures = Failures::default();
        let path = path.as_ref();
        let writer = BackgroundWriter::new(
            path.display().to_string(),
            File::create(path)?,
            failures.clone(),
        )?;
        let events = Events::new(writer, Instant::ZERO, first);
        let mut recorder = Recorder::new(Instant::ZERO, events);
        for observed in self.observed().iter() {
            recorder.observe(observed);
        }
        drop(recorder);
        if failures.any() {
            Err(io::Error::other(format!(
                "{} is not complete",
                path.display()
            )))
        } else {
            Ok(())
        }
    }

    fn observed(&self) -> MutexGuard<'_, Vec<Observed>> {
        let observed = self.0.observed.lock();
        observed.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Diary {
    fn observe(&mut self, observed: &Observed) {
        self.observed().push(observed.clone());
        self.0.more.notify_waiters();
    }
}

impl fmt::Display for Diary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let observed = self.observed();
        observed.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl fmt::Debug for Diary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
