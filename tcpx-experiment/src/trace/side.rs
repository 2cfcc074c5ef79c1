//! One end's part of a conversation: its entries, put together into steps.

use super::{Body, Direction, Entry, Log, Segment};
use crate::end::{End, STRANGER};
use std::fmt;
use std::net::SocketAddr;
use tcpx_proto::error::CloseKind;
use tcpx_proto::event::{Discard, Timer, TimerActionKind};
use tcpx_proto::script::{AppAction, StepKind};
use tcpx_proto::state::{State, Trigger};
use tcpx_proto::trace::escape;
use tcpx_proto::wire::IcmpKind;

/// How close together an event and the segment that it belongs to are stamped, seconds.
pub(crate) const TOGETHER: f64 = 0.001;

/// Something that happened to a timer of one end.
#[derive(Clone, Debug)]
pub struct Tick {
    /// Where.
    pub end: End,
    /// The connection's number there: each incarnation has its own timers.
    pub conn: Option<u64>,
    /// When, seconds on the clock that both ends share.
    pub at: f64,
    /// Which.
    pub timer: Timer,
    /// What happened to it.
    pub action: TimerActionKind,
}

/// Something that happened at one end: a segment there with what came of it, or something without a
/// segment.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where.
    pub end: End,
    /// When, seconds on the clock that both share.
    pub at: f64,
    /// The state afterwards; `None`: not known.
    pub state: Option<State>,
    /// That state was entered in this step.
    pub entered: bool,
    /// The event of RFC 9293 Figure 5 on which it was, where that is known.
    pub on: Option<Trigger>,
    /// Which segment, if any.
    pub segment: Option<Segment>,
    /// What else there is to say.
    pub remarks: Vec<Remark>,
}

impl Step {
    /// What is written of the event on which a state was entered.
    pub fn event(&self) -> Option<&'static str> {
        self.entered.then(|| self.on.map_or("?", Trigger::name))
    }
}

/// Something that a step brought besides a segment and a state.
#[derive(Clone, PartialEq, Debug)]
pub enum Remark {
    /// A removed rule took effect.
    Without(String),
    /// The segment was not used.
    Discarded(Discard),
    /// An ICMP error was believed.
    Icmp(IcmpKind),
    /// The connection ended.
    Closed(Option<CloseKind>),
    /// The receiver's gate did something to the segment, by this rule.
    Gate(String),
    /// The application received this, escaped.
    Received(String),
    /// Why a step of the application's script failed.
    Failed(String),
    /// What befell the host.
    Host(String),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::Without(rule) => write!(f, "without {rule}"),
            Remark::Discarded(reason) => write!(f, "not used: {reason}"),
            Remark::Icmp(kind) => {
                let (name, value) = kind.parts();
                write!(f, "ICMP: {name}")?;
                value.iter().try_for_each(|value| write!(f, " {value}"))
            }
            Remark::Closed(reason) => {
                write!(f, "closed: {}", reason.map_or("?", CloseKind::name))
            }
            Remark::Gate(rule) => write!(f, "the gate: {rule}"),
            Remark::Received(text) => write!(f, "received {}", short(text)),
            Remark::Failed(why) => write!(f, "the application: {why}"),
            Remark::Host(what) => write!(f, "the host: {what}"),
        }
    }
}

/// One end's part of a conversation.
pub(super) struct Side {
    pub(super) initial: Option<State>,
    pub(super) steps: Vec<Step>,
    pub(super) ticks: Vec<Tick>,
    /// When the last thing of all was recorded; `None`: this end kept no record.
    pub(super) last: Option<f64>,
}

impl Side {
    pub(super) fn new<'a>(
        log: &Log,
        entries: impl Iterator<Item = &'a Entry> + Clone,
        end: End,
        ends: [SocketAddr; 2],
        offset: f64,
        silent: bool,
    ) -> Side {
        let first = entries.clone().find_map(|entry| match &entry.body {
            Body::State { from, .. } => Some(*from),
            _ => None,
        });
        // Neither file is the third host's: it has no record.
        let last = log
            .entries
            .last()
            .filter(|_| end.of(&ends).ip() != STRANGER)
            .map(|entry| entry.t + offset);
        // What is sent to a host that went silent is lost, whatever its record says.
        let last = if silent {
            last.map(|_| f64::INFINITY)
        } else {
            last
        };
        let initial = first.or(last.map(|_| State::Closed));
        let tick = |entry: &Entry| match &entry.body {
            Body::Timer { timer, action, .. } => Some(Tick {
                end,
                conn: entry.conn,
                at: entry.t + offset,
                timer: *timer,
                action: *action,
            }),
            _ => None,
        };
        let ticks = entries.clone().filter_map(tick).collect();
        let mut walk = Walk {
            end,
            offset,
            state: initial,
            steps: Vec::new(),
        };
        entries.for_each(|entry| walk.take(entry));
        Side {
            initial,
            steps: walk.steps,
            ticks,
            last,
        }
    }
}

/// Walks one end's entries and puts what belongs together into one step.
struct Walk {
    end: End,
    offset: f64,
    state: Option<State>,
    steps: Vec<Step>,
}

impl Walk {
    fn take(&mut self, entry: &Entry) {
        let at = entry.t + self.offset;
        match &entry.body {
            Body::Segment(segment) => self.segment(at, segment),
            Body::State { to, on, .. } => self.state(at, *to, *on),
            Body::Deviated { rule, .. } => self.remark(at, Remark::Without(rule.clone())),
            Body::Discarded { reason } => self.remark(at, Remark::Discarded(*reason)),
            Body::Icmp(kind) => self.remark(at, Remark::Icmp(*kind)),
            Body::Closed { reason } => self.remark(at, Remark::Closed(*reason)),
            Body::App(action) => self.action(at, action),
            Body::Opened { .. }
            | Body::Accepted { .. }
            | Body::Timer { .. }
            | Body::R1 { .. }
            | Body::Urgent { .. }
            | Body::Undone { .. }
            | Body::Unknown => {}
        }
    }

    /// A segment is a step, or completes the one of the call that sends it.
    fn segment(&mut self, at: f64, segment: &Segment) {
        let out = segment.dir == Direction::Out;
        let step = self.step(at, |last| {
            out && last.segment.is_none() && last.on.is_some_and(is_call)
        });
        step.at = at;
        step.segment = Some(segment.clone());
        if !out && let Some(rule) = segment.fault() {
            step.remarks.push(Remark::Gate(rule.to_owned()));
        }
    }

    /// A state is entered because of the segment before it, or by a call (whose segment follows) or
    /// a timer: steps of their own.
    fn state(&mut self, at: f64, to: State, on: Option<Trigger>) {
        self.state = Some(to);
        let arrived = |last: &Step| {
            let segment = last.segment.as_ref();
            !last.entered && segment.is_some_and(|segment| segment.dir == Direction::In)
        };
        let step = self.step(at, |last| !on.is_some_and(is_call) && arrived(last));
        step.state = Some(to);
        step.entered = true;
        step.on = on;
    }

    /// What an application heard, and what went wrong for it.
    fn action(&mut self, at: f64, action: &AppAction) {
        match action {
            AppAction::Received(bytes) => {
                let first = |last: &Step| {
                    let has = |remark: &Remark| matches!(remark, Remark::Received(_));
                    !last.remarks.iter().any(has)
                };
                let remark = Remark::Received(escape(bytes));
                self.step(at, first).remarks.push(remark);
            }
            AppAction::Failed(why) => {
                let first = |last: &Step| {
                    let has = |remark: &Remark| matches!(remark, Remark::Failed(_));
                    !last.remarks.iter().any(has)
                };
                let remark = Remark::Failed(why.clone());
                self.step(at, first).remarks.push(remark);
            }
            AppAction::Began(step) if befalls_the_host(step) => {
                self.remark(at, Remark::Host(step.clone()));
            }
            AppAction::Began(_) | AppAction::Done | AppAction::Sent(_) | AppAction::Over => {}
        }
    }

    fn remark(&mut self, at: f64, remark: Remark) {
        self.step(at, |_| true).remarks.push(remark);
    }

    /// The last step if it is recent and this belongs to it, else a new one.
    fn step(&mut self, at: f64, joins: impl Fn(&Step) -> bool) -> &mut Step {
        let joined = self
            .steps
            .last()
            .is_some_and(|last| at - last.at < TOGETHER && joins(last));
        if !joined {
            self.steps.push(Step {
                end: self.end,
                at,
                state: self.state,
                entered: false,
                on: None,
                segment: None,
                remarks: Vec::new(),
            });
        }
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }
}

/// A text in quotes, its middle left out where it is long.
fn short(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!(
            "\"{}...\" ({} bytes)",
            text.get(..end).unwrap_or_default(),
            text.len()
        ),
        None => format!("\"{text}\""),
    }
}

/// Whether it is a call of the application.
fn is_call(on: Trigger) -> bool {
    match on {
        Trigger::PassiveOpen | Trigger::ActiveOpen | Trigger::Close | Trigger::Abort => true,
        Trigger::Syn
        | Trigger::SynAck
        | Trigger::AckOfSyn
        | Trigger::Fin
        | Trigger::AckOfFin
        | Trigger::FinAckOfFin
        | Trigger::Rst
        | Trigger::TimeWaitTimeout
        | Trigger::Timeout
        | Trigger::Icmp
        | Trigger::Restart => false,
    }
}

/// Whether a step concerns the host rather than a connection.
fn befalls_the_host(step: &str) -> bool {
    matches!(
        StepKind::of(step),
        Some(StepKind::Restart | StepKind::GoSilent)
    )
}
