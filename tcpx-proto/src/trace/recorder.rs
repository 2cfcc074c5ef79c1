//! One observer for all writers: it numbers connections, counts time from the start, and holds an
//! arriving segment back until its effects are known.

use super::{Body, Entry, Observed, ObservedSegment, Observer, Segment};
use crate::event::{Event, What};
use crate::id::ConnId;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;

/// How many closed connections keep their number for a late segment.
const REMEMBERED: usize = 1024;

/// An observation as a file has it.
#[derive(Debug)]
pub struct Recorded<'a> {
    /// Time since the start of the run.
    pub t: Duration,
    /// The connection's number, from 1 in order of appearance; `None` for what belongs to none.
    pub conn: Option<u64>,
    /// What happened.
    pub observed: &'a Observed,
    /// What an arriving segment caused. Each of these is recorded as well, after it.
    pub caused: &'a [Event],
}

impl Recorded<'_> {
    /// The line of an events file; `start` is t = 0.
    pub fn entry(&self, start: Instant) -> Entry {
        Entry {
            t: self.t.as_secs_f64(),
            conn: self.conn,
            body: match self.observed {
                Observed::Event(event) => Body::new(event, start),
                Observed::Segment(segment) => Body::Segment(Segment::new(segment)),
                Observed::App(event) => Body::App(event.action.clone()),
            },
        }
    }
}

/// Where records go, in order.
pub trait Sink: Send {
    /// Takes a record.
    fn record(&mut self, recorded: &Recorded<'_>);

    /// Nothing more happens for now: write out what is buffered.
    fn flush(&mut self) {}
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn record(&mut self, recorded: &Recorded<'_>) {
        (**self).record(recorded);
    }

    fn flush(&mut self) {
        (**self).flush();
    }
}

/// Each of them takes every record.
impl<S: Sink> Sink for Vec<S> {
    fn record(&mut self, recorded: &Recorded<'_>) {
        for sink in self {
            sink.record(recorded);
        }
    }

    fn flush(&mut self) {
        for sink in self {
            sink.flush();
        }
    }
}

/// The observer that hands everything to a sink. Dropping it flushes the sink.
pub struct Recorder<S: Sink> {
    start: Instant,
    numbers: Numbers,
    held: Option<(Observed, Vec<Event>)>,
    sink: S,
}

impl<S: Sink> fmt::Debug for Recorder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("start", &self.start)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl<S: Sink> Recorder<S> {
    /// Times are counted from `start`.
    pub fn new(start: Instant, sink: S) -> Recorder<S> {
        Recorder {
            start,
            numbers: Numbers::default(),
            held: None,
            sink,
        }
    }

    /// The sink, which has everything now.
    pub fn finish(&mut self) -> &mut S {
        self.flush();
        &mut self.sink
    }

    fn release(&mut self) {
        let Some((segment, caused)) = self.held.take() else {
            return;
        };
        self.pass(&segment, &caused);
        for event in caused {
            self.pass(&Observed::Event(event), &[]);
        }
    }

    fn pass(&mut self, observed: &Observed, caused: &[Event]) {
        let conn = match observed {
            // The SYN that opens a connection belongs to it.
            Observed::Segment(segment) => segment
                .record
                .conn
                .or_else(|| caused.iter().find_map(|event| event.conn)),
            Observed::Event(event) => event.conn,
            Observed::App(event) => event.conn,
        };
        let recorded = Recorded {
            t: observed.at().since(self.start),
            conn: conn.map(|id| self.numbers.of(id)),
            observed,
            caused,
        };
        self.sink.record(&recorded);
        if let (Observed::Event(event), Some(id)) = (observed, conn)
            && matches!(event.what, What::Closed(_))
        {
            self.numbers.closed(id);
        }
    }
}

impl<S: Sink> Observer for Recorder<S> {
    fn observe(&mut self, observed: &Observed) {
        match (observed, &mut self.held) {
            (Observed::Event(event), Some((_, caused))) if event.packet.is_some() => {
                caused.push(event.clone());
            }
            (Observed::Segment(ObservedSegment { record, .. }), _) if !record.out => {
                self.release();
                self.held = Some((observed.clone(), Vec::new()));
            }
            _ => {
                self.release();
                self.pass(observed, &[]);
            }
        }
    }

    fn flush(&mut self) {
        self.release();
        self.sink.flush();
    }
}

impl<S: Sink> Drop for Recorder<S> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Small numbers for connections.
#[derive(Default)]
struct Numbers {
    last: u64,
    known: BTreeMap<ConnId, u64>,
    closed: VecDeque<ConnId>,
}

impl Numbers {
    fn of(&mut self, id: ConnId) -> u64 {
        *self.known.entry(id).or_insert_with(|| {
            self.last += 1;
            self.last
        })
    }

    fn closed(&mut self, id: ConnId) {
        self.closed.push_back(id);
        if self.closed.len() > REMEMBERED
            && let Some(oldest) = self.closed.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
