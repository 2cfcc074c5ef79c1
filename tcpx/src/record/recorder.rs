//! One observer for all sinks: it numbers connections and holds an incoming segment back until what
//! it caused is known.

use super::Observer;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use tcpx_proto::event::{Event, SegmentRecord, What};
use tcpx_proto::fault::Judgement;
use tcpx_proto::id::ConnId;
use tcpx_proto::script::{AppAction, AppEvent};
use tcpx_proto::time::{Duration, Instant};

/// How many closed connections keep their number for a late segment.
const REMEMBERED: usize = 1024;

/// Where records go, in order. As with an [`Observer`], the host waits until it returns.
pub trait Sink: Send {
    /// A segment, together with what it caused.
    fn segment(&mut self, seen: &Seen<'_>);

    /// Anything else that happened; what a segment caused comes here as well, after it.
    fn event(&mut self, noted: &Noted<'_>);

    /// What an application did.
    fn deed(&mut self, _: &Done<'_>) {}

    /// Nothing more for now.
    fn flush(&mut self);
}

/// A segment at the edge.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Time since the start of the run.
    pub t: Duration,
    /// The connection's number, from 1 in order of appearance; `None` for a stranger's.
    pub conn: Option<u64>,
    /// The engine's record of it.
    pub record: &'a SegmentRecord,
    /// What the gate did.
    pub judgement: &'a Judgement,
    /// The line of the fault language that decided.
    pub rule: Option<&'a str>,
    /// The IP packet.
    pub packet: &'a [u8],
    /// What an incoming one caused.
    pub caused: &'a [Event],
}

/// An event of a connection.
#[derive(Debug)]
pub struct Noted<'a> {
    /// Time since the start of the run.
    pub t: Duration,
    /// The connection's number; `None` for what belongs to none.
    pub conn: Option<u64>,
    /// The event.
    pub event: &'a Event,
}

/// A deed of an application.
#[derive(Debug)]
pub struct Done<'a> {
    /// Time since the start of the run.
    pub t: Duration,
    /// The connection's number; `None` for what concerns none.
    pub conn: Option<u64>,
    /// What it did.
    pub did: &'a AppAction,
}

/// The observer that numbers connections, from 1, and hands everything to its sinks. Dropping it
/// flushes them.
pub struct Recorder {
    start: Instant,
    rules: Vec<String>,
    numbers: Numbers,
    held: Option<Held>,
    sinks: Vec<Box<dyn Sink>>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// An incoming segment whose effects are not all known.
struct Held {
    record: SegmentRecord,
    judgement: Judgement,
    packet: Vec<u8>,
    caused: Vec<Event>,
}

impl Recorder {
    /// Records for `sinks`; times are counted from `start`. `rules` are the lines of the gate's
    /// rules, in its order; a host tells them by itself ([`Observer::rule`]), so that a recorder of
    /// its own may begin with none.
    pub fn new(start: Instant, rules: Vec<String>, sinks: Vec<Box<dyn Sink>>) -> Recorder {
        Recorder {
            start,
            rules,
            numbers: Numbers::default(),
            held: None,
            sinks,
        }
    }

    fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        self.pass_segment(&held.record, &held.judgement, &held.packet, &held.caused);
        for event in &held.caused {
            self.pass_event(event);
        }
    }

    fn pass_segment(
        &mut self,
        record: &SegmentRecord,
        judgement: &Judgement,
        packet: &[u8],
        caused: &[Event],
    ) {
        // The SYN that opened a connection belongs to it, though the record of it is older than the
        // connection.
        let conn = record
            .conn
            .or_else(|| caused.iter().find_map(|event| event.conn));
        let conn = conn.map(|id| self.numbers.of(id));
        let rule = judgement
            .rule
            .and_then(|index| self.rules.get(index))
            .map(String::as_str);
        let seen = Seen {
            t: record.at.since(self.start),
            conn,
            record,
            judgement,
            rule,
            packet,
            caused,
        };
        self.sinks.iter_mut().for_each(|sink| sink.segment(&seen));
    }

    fn pass_event(&mut self, event: &Event) {
        let conn = event.conn.map(|id| self.numbers.of(id));
        let noted = Noted {
            t: event.at.since(self.start),
            conn,
            event,
        };
        self.sinks.iter_mut().for_each(|sink| sink.event(&noted));
        if let (What::Closed(_), Some(id)) = (&event.what, event.conn) {
            self.numbers.closed(id);
        }
    }
}

impl Observer for Recorder {
    fn event(&mut self, event: &Event) {
        match &mut self.held {
            Some(held) if event.packet.is_some() => held.caused.push(event.clone()),
            _ => {
                self.release();
                self.pass_event(event);
            }
        }
    }

    fn segment(&mut self, record: &SegmentRecord, judgement: &Judgement, packet: &[u8]) {
        self.release();
        if record.out {
            self.pass_segment(record, judgement, packet, &[]);
        } else {
            self.held = Some(Held {
                record: record.clone(),
                judgement: judgement.clone(),
                packet: packet.to_vec(),
                caused: Vec::new(),
            });
        }
    }

    fn rule(&mut self, index: usize, text: &str) {
        self.release();
        if index >= self.rules.len() {
            self.rules.resize(index + 1, String::new());
            self.rules[index] = text.to_owned();
        }
    }

    fn deed(&mut self, deed: &AppEvent) {
        self.release();
        let conn = deed.conn.map(|id| self.numbers.of(id));
        let done = Done {
            t: deed.at.since(self.start),
            conn,
            did: &deed.did,
        };
        self.sinks.iter_mut().for_each(|sink| sink.deed(&done));
    }

    fn flush(&mut self) {
        self.release();
        self.sinks.iter_mut().for_each(|sink| sink.flush());
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Small numbers for connections.
#[derive(Default)]
struct Numbers {
    last: u64,
    known: HashMap<ConnId, u64>,
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
