//! What happened at one host: to be asserted on, waited for, printed when a test fails, and drawn.

use crate::record::{Events, Failures, Observer, Outlet, Recorder, Seen, Start, words};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tcpx_proto::event::{Event, SegmentRecord};
use tcpx_proto::fault::Judgement;
use tcpx_proto::script::AppEvent;
use tcpx_proto::time::Instant;
use tokio::sync::Notify;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Entry {
    /// The engine noted something: a state, a timer, a segment that it did not use, an end.
    Event(Event),
    /// A segment went out or came in, or was dropped at the gate.
    Segment {
        /// The segment as it went on, if it went on.
        record: SegmentRecord,
        /// What the gate did to it.
        judgement: Judgement,
        /// The fault rule that decided, as it was written.
        rule: Option<String>,
        /// The IP packet.
        packet: Vec<u8>,
    },
    /// A script did something.
    AppEvent(AppEvent),
}

impl Entry {
    /// When.
    pub fn at(&self) -> Instant {
        match self {
            Entry::Event(event) => event.at,
            Entry::Segment { record, .. } => record.at,
            Entry::AppEvent(deed) => deed.at,
        }
    }

    /// The segment, if it is one.
    pub fn segment(&self) -> Option<&SegmentRecord> {
        match self {
            Entry::Segment { record, .. } => Some(record),
            _ => None,
        }
    }

    /// The engine's event, if it is one.
    pub fn event(&self) -> Option<&Event> {
        match self {
            Entry::Event(event) => Some(event),
            _ => None,
        }
    }
}

impl fmt::Display for Entry {
    /// The words of the live view, from seconds on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:11.6}  ", self.at().since(Instant::ZERO).as_secs_f64())?;
        match self {
            Entry::Event(event) => f.write_str(&words::event(event)),
            Entry::AppEvent(deed) => write!(f, "script: {:?}", deed.did),
            Entry::Segment {
                record,
                judgement,
                rule,
                packet,
            } => {
                let (dir, flags) = (
                    if record.out { "out" } else { "in " },
                    record.flags.to_string(),
                );
                let (seq, ack, len, win) = (record.seq.0, record.ack.0, record.len, record.window);
                write!(
                    f,
                    "{dir} {flags:<4} seq={seq} ack={ack} len={len} win={win}"
                )?;
                Some(record.retransmission)
                    .filter(|n| *n > 0)
                    .iter()
                    .try_for_each(|n| write!(f, " again={n}"))?;
                let t = record.at.since(Instant::ZERO);
                let seen = Seen {
                    t,
                    conn: None,
                    record,
                    judgement,
                    rule: rule.as_deref(),
                    packet,
                    caused: &[],
                };
                let particulars = words::label(&seen).into_iter().chain(words::fault(&seen));
                particulars
                    .into_iter()
                    .try_for_each(|words| write!(f, "  {words}"))
            }
        }
    }
}

/// An [`Observer`] that keeps everything. Clones share it: give one to
/// [`HostOptions::observers`](crate::HostOptions::observers) and keep the other. As text it is a
/// line for each entry.
#[derive(Clone, Default)]
pub struct Diary(Arc<Inner>);

#[derive(Default)]
struct Inner {
    told: Mutex<Told>,
    more: Notify,
}

#[derive(Default)]
struct Told {
    entries: Vec<Entry>,
    rules: Vec<String>,
}

impl Diary {
    /// An empty one.
    pub fn new() -> Diary {
        Diary::default()
    }

    /// All entries so far, in order.
    pub fn entries(&self) -> Vec<Entry> {
        self.told().entries.clone()
    }

    /// All segments so far, in order, those included that the gate dropped.
    pub fn segments(&self) -> Vec<SegmentRecord> {
        self.told()
            .entries
            .iter()
            .filter_map(|entry| entry.segment().cloned())
            .collect()
    }

    /// How many entries are like this.
    pub fn count(&self, mut like: impl FnMut(&Entry) -> bool) -> usize {
        self.told()
            .entries
            .iter()
            .filter(|entry| like(entry))
            .count()
    }

    /// The first entry that is like this, past ones included; waits for it. Cancel-safe.
    pub async fn until(&self, mut like: impl FnMut(&Entry) -> bool) -> Entry {
        let mut looked_at = 0;
        loop {
            let more = self.0.more.notified();
            {
                let told = self.told();
                let new = told.entries.get(looked_at..).unwrap_or_default();
                if let Some(found) = new.iter().find(|entry| like(entry)) {
                    return found.clone();
                }
                looked_at = told.entries.len();
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
        let outlet = Outlet::new(
            path.display().to_string(),
            File::create(path)?,
            failures.clone(),
        )?;
        let told = self.told();
        let events = Events::new(outlet, Instant::ZERO, first);
        let mut recorder = Recorder::new(Instant::ZERO, told.rules.clone(), vec![Box::new(events)]);
        for entry in &told.entries {
            match entry {
                Entry::Event(event) => recorder.event(event),
                Entry::Segment {
                    record,
                    judgement,
                    packet,
                    ..
                } => recorder.segment(record, judgement, packet),
                Entry::AppEvent(deed) => recorder.deed(deed),
            }
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

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, entry: Entry) {
        self.told().entries.push(entry);
        self.0.more.notify_waiters();
    }
}

impl Observer for Diary {
    fn event(&mut self, event: &Event) {
        self.add(Entry::Event(event.clone()));
    }

    fn segment(&mut self, record: &SegmentRecord, judgement: &Judgement, packet: &[u8]) {
        let rule = judgement
            .rule
            .and_then(|index| self.told().rules.get(index).cloned());
        self.add(Entry::Segment {
            record: record.clone(),
            judgement: judgement.clone(),
            rule,
            packet: packet.to_vec(),
        });
    }

    fn rule(&mut self, index: usize, text: &str) {
        let mut told = self.told();
        if index >= told.rules.len() {
            told.rules.resize(index + 1, String::new());
            told.rules[index] = text.to_owned();
        }
    }

    fn deed(&mut self, deed: &AppEvent) {
        self.add(Entry::AppEvent(deed.clone()));
    }
}

impl fmt::Display for Diary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told()
            .entries
            .iter()
            .try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl fmt::Debug for Diary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
