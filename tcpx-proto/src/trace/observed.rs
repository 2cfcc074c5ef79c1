//! What is observed at an endpoint, and by whom.

use crate::event::{Event, SegmentRecord};
use crate::fault::{Judgement, Verdict};
use crate::script::AppEvent;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// One thing that happened at an endpoint.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Observed {
    /// The engine noted something: a state, a timer, a segment that it did not use, an end. One
    /// with [`Event::packet`] follows the segment that caused it.
    Event(Event),
    /// A segment passed the gate, or was dropped there. One that the gate keeps is observed when
    /// the gate releases it.
    Segment(ObservedSegment),
    /// An application did something.
    App(AppEvent),
}

/// A segment that passed the gate, or was dropped there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ObservedSegment {
    /// The segment as it goes on, if it goes on.
    pub record: SegmentRecord,
    /// What the gate did to it.
    pub judgement: Judgement,
    /// The line of the fault language that decided.
    pub rule: Option<String>,
    /// The IP packet.
    pub packet: Arc<[u8]>,
}

impl Observed {
    /// When.
    pub fn at(&self) -> Instant {
        match self {
            Observed::Event(event) => event.at,
            Observed::Segment(segment) => segment.record.at,
            Observed::App(event) => event.at,
        }
    }

    /// The segment, if it is one.
    pub fn segment(&self) -> Option<&SegmentRecord> {
        match self {
            Observed::Segment(segment) => Some(&segment.record),
            Observed::Event(_) | Observed::App(_) => None,
        }
    }

    /// The engine's event, if it is one.
    pub fn event(&self) -> Option<&Event> {
        match self {
            Observed::Event(event) => Some(event),
            Observed::Segment(_) | Observed::App(_) => None,
        }
    }
}

impl ObservedSegment {
    /// Whether the gate dropped it.
    pub fn is_dropped(&self) -> bool {
        matches!(self.judgement.verdict, Verdict::Drop | Verdict::Full)
    }

    /// What a rule did to it, and which; `None`: nothing.
    pub fn fault(&self) -> Option<String> {
        let verdict = &self.judgement.verdict;
        let rule = self.rule.as_deref().unwrap_or("a rule");
        (*verdict != Verdict::Pass).then(|| format!("{verdict} by `{rule}`"))
    }
}

impl fmt::Display for Observed {
    /// One line, times in seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.at().since(Instant::ZERO).as_secs_f64();
        write!(f, "{t:11.6}  ")?;
        match self {
            Observed::Event(event) => fmt::Display::fmt(event, f),
            Observed::App(event) => write!(f, "script: {:?}", event.action),
            Observed::Segment(segment) => {
                let record = &segment.record;
                fmt::Display::fmt(record, f)?;
                if let Some(label) = record.label {
                    write!(f, "  {label}")?;
                }
                if let Some(fault) = segment.fault() {
                    write!(f, "  {fault}")?;
                }
                Ok(())
            }
        }
    }
}

/// Who observes an endpoint. It learns everything in order, while the endpoint waits: it must not
/// block for long.
pub trait Observer: Send {
    /// Something happened.
    fn observe(&mut self, observed: &Observed);

    /// Nothing more happens for now: write out what is buffered.
    fn flush(&mut self) {}

    /// Whether it observes anything at all. An endpoint without observers makes no records.
    fn is_watching(&self) -> bool {
        true
    }

    /// Whether it observes segments, which costs more than the rest.
    fn watches_segments(&self) -> bool {
        self.is_watching()
    }
}

/// Keeps everything.
impl Observer for Vec<Observed> {
    fn observe(&mut self, observed: &Observed) {
        self.push(observed.clone());
    }
}

/// Each of them observes everything.
impl Observer for Vec<Box<dyn Observer>> {
    fn observe(&mut self, observed: &Observed) {
        for observer in self {
            observer.observe(observed);
        }
    }

    fn flush(&mut self) {
        for observer in self {
            observer.flush();
        }
    }

    fn is_watching(&self) -> bool {
        self.iter().any(|observer| observer.is_watching())
    }

    fn watches_segments(&self) -> bool {
        self.iter().any(|observer| observer.watches_segments())
    }
}
