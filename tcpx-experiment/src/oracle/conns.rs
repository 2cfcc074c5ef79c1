//! The connections of a run, from either end's record.

use super::finding::{Evidence, Reason, Seconds, Which};
use crate::end::{End, STRANGER};
use crate::trace::{Body, Direction, Log, Segment};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use tcpx_proto::script::{AppAction, StepKind};
use tcpx_proto::seq::Seq;
use tcpx_proto::state::{State, Trigger};
use tcpx_proto::wire::Flags;

/// A run, as its oracles see it. Times are seconds since the earlier of the two records began.
#[derive(Debug)]
pub struct Run {
    /// When each host went silent: what it does afterwards counts no more.
    pub silent: [Option<f64>; 2],
    /// When the run ended.
    pub end: f64,
    /// How long an end may wait for the other.
    pub patience: f64,
    /// Every connection of either end with the other, in the order in which they were opened.
    pub conns: Vec<Conn>,
    /// The steps of either end's script, in order.
    pub steps: Vec<PlayedStep>,
    /// How many segments each end sent, those that were lost included.
    pub segments: [u32; 2],
    /// How many both together may send.
    pub budget: Option<u32>,
    /// Of an end's connection of a number, where its peer is among `conns`.
    pub(super) peers: HashMap<(usize, u64), usize>,
}

/// A connection at one end.
#[derive(Clone, Debug)]
pub struct Conn {
    /// At which end.
    pub end: End,
    /// Its number in that end's record.
    pub number: u64,
    /// This end's address and port, and the peer's.
    pub ends: (SocketAddr, SocketAddr),
    /// Which of the connections on this four-tuple at this end, from 1.
    pub incarnation: usize,
    /// Opened by a SYN to a listener.
    pub passive: bool,
    /// When it was opened.
    pub opened: f64,
    /// Each state, in order.
    pub states: Vec<Entered>,
    /// When and how it ended.
    pub closed: Option<(f64, Reason)>,
    /// What its application sent.
    pub sent: Vec<u8>,
    /// What its application received.
    pub received: Vec<u8>,
    /// The SYNs that it sent, and those that came to it, the one that opened it included.
    pub(super) syns: [Vec<Syn>; 2],
    /// The peer's ISN, as the first segment that came has it: a cookie's connection has no SYN.
    pub(super) peers_isn: Option<Seq>,
}

/// A state that a connection entered.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Entered {
    /// When.
    pub at: f64,
    /// Which.
    pub state: State,
    /// Why.
    pub on: Option<Trigger>,
}

/// How long a connection was in a state.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Stay {
    /// Which.
    pub state: State,
    /// When it was entered.
    pub since: f64,
    /// Seconds.
    pub length: f64,
}

/// What identifies a SYN.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Syn {
    /// IP identification: another one in each copy that a TCP sends.
    pub(super) id: u16,
    /// The ISN.
    pub(super) seq: Seq,
    /// SEG.ACK; 0 in one without.
    pub(super) ack: Seq,
}

/// A step of a script, played.
#[derive(Clone, Debug)]
pub struct PlayedStep {
    /// At which end.
    pub end: End,
    /// As the script spells it.
    pub step: String,
    /// When it began.
    pub began: f64,
    /// When it was done, or failed for the last time.
    pub ended: Option<f64>,
    /// Why it failed, each time that it did.
    pub failures: Vec<String>,
    /// The connection that it concerned.
    pub conn: Option<u64>,
}

impl PlayedStep {
    /// What it does; `None` if it is unknown.
    pub fn kind(&self) -> Option<StepKind> {
        StepKind::of(&self.step)
    }
}

impl Run {
    /// Reads both records up to `end`.
    pub fn new(logs: &[Log; 2], end: f64, patience: f64) -> Run {
        let start = start(logs);
        let mut run = Run {
            silent: [None; 2],
            end,
            patience,
            conns: Vec::new(),
            steps: Vec::new(),
            segments: [0; 2],
            budget: None,
            peers: HashMap::new(),
        };
        for side in End::BOTH {
            let log = side.of(logs);
            let (conns, steps) = read(side, log, log.monotonic - start, end);
            let sent = |segment: &Segment| segment.dir == Direction::Out && !segment.forged;
            let sent = |body: &Body| matches!(body, Body::Segment(segment) if sent(segment));
            let entries = log
                .entries
                .iter()
                .take_while(|entry| entry.t + log.monotonic - start <= end);
            run.segments[side as usize] = entries.map(|entry| u32::from(sent(&entry.body))).sum();
            run.silent[side as usize] = steps
                .iter()
                .find(|played| played.kind() == Some(StepKind::GoSilent))
                .map(|played| played.began);
            run.conns.extend(conns);
            run.steps.extend(steps);
        }
        // Ignore the third host's connections unless they became ESTABLISHED.
        run.conns
            .retain(|conn| conn.ends.1.ip() != STRANGER || conn.was(State::Established));
        run.conns.sort_by(|a, b| a.opened.total_cmp(&b.opened));
        run.peers = super::peers::peers(&run.conns);
        run
    }

    /// Until when an end counts: the end of the run, or when it went silent.
    pub fn counts_until(&self, end: End) -> f64 {
        end.of(&self.silent).unwrap_or(self.end)
    }

    /// The connection of the other end that this one belongs to.
    pub fn peer(&self, conn: &Conn) -> Option<&Conn> {
        self.peers
            .get(&(conn.end as usize, conn.number))
            .and_then(|nth| self.conns.get(*nth))
    }

    /// How it went: for each end its last connection, the state that lasted longest, and how it
    /// ended.
    pub fn summary(&self) -> [Evidence; 2] {
        End::BOTH.map(|end| {
            let Some(last) = self.conns.iter().rev().find(|conn| conn.end == end) else {
                return Evidence::Unconnected { end };
            };
            if end.of(&self.silent).is_some() {
                return Evidence::Silent { end };
            }
            let longest = last
                .stays(self.end)
                .into_iter()
                .max_by(|a, b| a.length.total_cmp(&b.length));
            let longest = longest.map(|stay| (stay.state, Seconds(stay.length)));
            let ended = last
                .closed
                .as_ref()
                .map(|(_, reason)| *reason)
                .ok_or_else(|| last.state());
            Evidence::Went {
                end,
                longest,
                ended,
            }
        })
    }
}

/// When the earlier of the two began, on the clock that both share.
pub fn start([a, b]: &[Log; 2]) -> f64 {
    a.monotonic.min(b.monotonic)
}

impl Conn {
    /// As a sentence names it.
    pub fn which(&self) -> Which {
        Which {
            end: self.end,
            incarnation: self.incarnation,
        }
    }

    /// When it was established; far in the future if it never was.
    pub(super) fn established(&self) -> f64 {
        self.states
            .iter()
            .find(|entered| entered.state == State::Established)
            .map_or(f64::MAX, |entered| entered.at)
    }

    /// The state at the end of the record.
    pub fn state(&self) -> State {
        self.states
            .last()
            .map_or(State::Closed, |entered| entered.state)
    }

    /// The state at a moment; `None` before it was opened.
    pub fn state_at(&self, at: f64) -> Option<State> {
        if at < self.opened {
            return None;
        }
        Some(
            self.states
                .iter()
                .rev()
                .find(|entered| entered.at <= at)
                .map_or(State::Closed, |entered| entered.state),
        )
    }

    /// Each state with when it was entered and how long it lasted, CLOSED and LISTEN left out.
    pub fn stays(&self, until: f64) -> Vec<Stay> {
        let left = self.states.iter().skip(1).map(|next| next.at);
        let stays = self
            .states
            .iter()
            .zip(left.chain([until]))
            .map(|(entered, left)| Stay {
                state: entered.state,
                since: entered.at,
                length: left.min(until) - entered.at,
            });
        stays.filter(|stay| exists(stay.state)).collect()
    }

    /// Whether it was ever in this state.
    pub fn was(&self, state: State) -> bool {
        self.states.iter().any(|entered| entered.state == state)
    }

    /// It ended by two FINs.
    pub fn is_clean(&self) -> bool {
        self.closed.is_some_and(|(_, reason)| reason.is_clean())
    }
}

/// Whether there is a connection in this state.
pub(super) fn exists(state: State) -> bool {
    !matches!(state, State::Closed | State::Listen)
}

/// A length of time for people.
pub fn seconds(length: f64) -> String {
    match length {
        short if short < 0.001 => format!("{:.0} us", short * 1e6),
        short if short < 1.0 => format!("{:.0} ms", short * 1e3),
        middle if middle < 600.0 => format!("{middle:.1} s"),
        long => format!("{long:.0} s"),
    }
}

fn read(end: End, log: &Log, offset: f64, until: f64) -> (Vec<Conn>, Vec<PlayedStep>) {
    let mut conns: BTreeMap<u64, Conn> = BTreeMap::new();
    let mut incarnations: HashMap<(SocketAddr, SocketAddr), usize> = HashMap::new();
    let mut steps: Vec<PlayedStep> = Vec::new();
    let mut arrived: Option<Syn> = None;
    for entry in log
        .entries
        .iter()
        .take_while(|entry| entry.t + offset <= until)
    {
        let at = entry.t + offset;
        if let Body::Opened {
            local,
            remote,
            passive,
        } = entry.body
            && let Some(number) = entry.conn
        {
            let ends = (local, remote);
            let incarnation = incarnations
                .entry(ends)
                .and_modify(|count| *count += 1)
                .or_insert(1);
            // The record has the SYN that opens a connection right before.
            let opened_by = arrived.take().filter(|_| passive);
            let conn = Conn {
                end,
                number,
                ends,
                incarnation: *incarnation,
                passive,
                opened: at,
                states: Vec::new(),
                closed: None,
                sent: Vec::new(),
                received: Vec::new(),
                syns: [Vec::new(), opened_by.into_iter().collect()],
                peers_isn: None,
            };
            conns.insert(number, conn);
        }
        if let Body::App(action) = &entry.body {
            play(end, at, action, entry.conn, &mut steps);
        }
        let syn = if let Body::Segment(segment) = &entry.body {
            syn(segment)
        } else {
            None
        };
        if let Some((Direction::In, syn)) = syn {
            arrived = Some(syn);
        }
        let Some(conn) = entry.conn.and_then(|number| conns.get_mut(&number)) else {
            continue;
        };
        if let Some((dir, syn)) = syn {
            conn.syns[usize::from(dir == Direction::In)].push(syn);
        }
        conn.read(at, &entry.body);
    }
    (conns.into_values().collect(), steps)
}

impl Conn {
    fn read(&mut self, at: f64, body: &Body) {
        match body {
            Body::Segment(segment) if segment.dir == Direction::In && !segment.forged => {
                let syn = u32::from(!segment.flags.contains(Flags::SYN));
                let isn = Seq(segment.seq.0.wrapping_sub(syn));
                self.peers_isn.get_or_insert(isn);
            }
            Body::State { to, on, .. } => self.states.push(Entered {
                at,
                state: *to,
                on: *on,
            }),
            Body::Closed { reason } => self.closed = Some((at, Reason(*reason))),
            Body::App(AppAction::Sent(bytes)) => self.sent.extend(bytes),
            Body::App(AppAction::Received(bytes)) => self.received.extend(bytes),
            Body::Opened { .. }
            | Body::Segment(_)
            | Body::Accepted { .. }
            | Body::Discarded { .. }
            | Body::Deviated { .. }
            | Body::Timer { .. }
            | Body::Icmp(_)
            | Body::R1 { .. }
            | Body::Urgent { .. }
            | Body::Undone { .. }
            | Body::App(_)
            | Body::Unknown => {}
        }
    }
}

/// A SYN that one of the two TCPs made, and which way it passed.
fn syn(segment: &Segment) -> Option<(Direction, Syn)> {
    if !segment.flags.contains(Flags::SYN) || segment.forged {
        return None;
    }
    let ack = if segment.flags.contains(Flags::ACK) {
        segment.ack
    } else {
        Seq(0)
    };
    let syn = Syn {
        id: segment.id,
        seq: segment.seq,
        ack,
    };
    Some((segment.dir, syn))
}

fn play(end: End, at: f64, action: &AppAction, conn: Option<u64>, steps: &mut Vec<PlayedStep>) {
    match (action, steps.last_mut()) {
        (AppAction::Began(step), _) => steps.push(PlayedStep {
            end,
            step: step.clone(),
            began: at,
            ended: None,
            failures: Vec::new(),
            conn,
        }),
        (AppAction::Done, Some(last)) => last.ended = Some(at),
        (AppAction::Failed(why), Some(last)) => {
            last.failures.push(why.clone());
            last.conn = conn.or(last.conn);
            last.ended = Some(at);
        }
        (AppAction::Done | AppAction::Failed(_), None)
        | (AppAction::Sent(_) | AppAction::Received(_) | AppAction::Over, _) => {}
    }
}
