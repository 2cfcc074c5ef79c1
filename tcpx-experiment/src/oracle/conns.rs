//! The connections of a run, as either end's record tells them.

use super::finding::{Evidence, Seconds, Which};
use crate::end::{End, STRANGER};
use crate::trace::{AppAction, Body, Direction, Log};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use tcpx_proto::error::CloseKind;
use tcpx_proto::state::Trigger;
use tcpx_proto::trace::escape;
use tcpx_proto::wire::Flags;

/// A run, as its oracles see it. Times are seconds since the earlier of the two records began.
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
    pub deeds: Vec<Deed>,
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
    /// Each state, when it was entered, and the event of RFC 9293 Figure 5.
    pub states: Vec<(f64, String, String)>,
    /// When and how it ended.
    pub closed: Option<(f64, String)>,
    /// What its application sent, escaped.
    pub sent: String,
    /// What its application received, escaped.
    pub received: String,
    /// The SYNs that it sent, and those that came to it, the one that opened it included.
    pub(super) syns: [Vec<Syn>; 2],
    /// The peer's ISN, as the first segment that came has it: a cookie's connection has no SYN.
    pub(super) peers_isn: Option<u32>,
}

/// What tells a SYN from every other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Syn {
    /// IP identification: another one in each copy that a TCP sends.
    pub(super) id: u16,
    /// The ISN.
    pub(super) seq: u32,
    /// SEG.ACK; 0 in one without.
    pub(super) ack: u32,
}

/// A step of a script.
#[derive(Clone, Debug)]
pub struct Deed {
    /// At which end.
    pub end: End,
    /// As the script spells it.
    pub step: String,
    /// When it began.
    pub began: f64,
    /// When it was done, or failed for good.
    pub ended: Option<f64>,
    /// Why it failed, each time that it did.
    pub failures: Vec<String>,
    /// The connection that it concerned.
    pub conn: Option<u64>,
}

impl Run {
    /// Reads both records up to `end`.
    pub fn new(logs: &[Log; 2], end: f64, patience: f64) -> Run {
        let start = start(logs);
        let (conns, deeds, segments) = (Vec::new(), Vec::new(), [0; 2]);
        let mut run = Run {
            silent: [None; 2],
            end,
            patience,
            conns,
            deeds,
            segments,
            budget: None,
            peers: HashMap::new(),
        };
        for side in End::BOTH {
            let log = side.of(logs);
            let (conns, deeds) = read(side, log, log.monotonic - start, end);
            let sent = |what: &Body| matches!(what, Body::Segment(segment) if segment.dir == Direction::Out && !segment.forged);
            let entries = log
                .entries
                .iter()
                .take_while(|entry| entry.t + log.monotonic - start <= end);
            run.segments[side as usize] = entries.map(|entry| u32::from(sent(&entry.body))).sum();
            run.silent[side as usize] = deeds
                .iter()
                .find(|deed| deed.step == "go silent")
                .map(|deed| deed.began);
            run.conns.extend(conns);
            run.deeds.extend(deeds);
        }
        // What a stranger began is nobody's connection, unless an application hears of it.
        run.conns
            .retain(|conn| conn.ends.1.ip() != STRANGER || conn.was("ESTABLISHED"));
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
                .max_by(|a, b| a.2.total_cmp(&b.2));
            let longest = longest.map(|(state, _, length)| (state.to_owned(), Seconds(length)));
            let ended = last
                .closed
                .as_ref()
                .map(|(_, reason)| reason.clone())
                .ok_or_else(|| last.state().to_owned());
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
            .find(|(_, state, _)| state == "ESTABLISHED")
            .map_or(f64::MAX, |(at, ..)| *at)
    }

    /// The state at the end of the record.
    pub fn state(&self) -> &str {
        self.states.last().map_or("CLOSED", |(_, state, _)| state)
    }

    /// The state at a moment; `None` before it was opened.
    pub fn state_at(&self, at: f64) -> Option<&str> {
        if at < self.opened {
            return None;
        }
        Some(
            self.states
                .iter()
                .rev()
                .find(|(entered, ..)| *entered <= at)
                .map_or("CLOSED", |(_, state, _)| state),
        )
    }

    /// Each state with when it was entered and how long it lasted, CLOSED left out.
    pub fn stays(&self, until: f64) -> Vec<(&str, f64, f64)> {
        let ends = self
            .states
            .iter()
            .skip(1)
            .map(|(at, ..)| *at)
            .chain([until]);
        let stays = self
            .states
            .iter()
            .zip(ends)
            .map(|((at, state, _), end)| (state.as_str(), *at, end.min(until) - at));
        stays
            .filter(|(state, ..)| !matches!(*state, "CLOSED" | "LISTEN"))
            .collect()
    }

    /// Whether it was ever in this state.
    pub fn was(&self, state: &str) -> bool {
        self.states.iter().any(|(_, entered, _)| entered == state)
    }
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

fn read(end: End, log: &Log, offset: f64, until: f64) -> (Vec<Conn>, Vec<Deed>) {
    let mut conns: BTreeMap<u64, Conn> = BTreeMap::new();
    let mut incarnations: HashMap<(SocketAddr, SocketAddr), usize> = HashMap::new();
    let mut deeds: Vec<Deed> = Vec::new();
    let mut arrived: Option<Syn> = None;
    for entry in log
        .entries
        .iter()
        .take_while(|entry| entry.t + offset <= until)
    {
        let at = entry.t + offset;
        if let (
            Body::Opened {
                local,
                remote,
                passive,
            },
            Some(number),
        ) = (&entry.body, entry.conn)
        {
            let ends = (*local, *remote);
            let incarnation = incarnations
                .entry(ends)
                .and_modify(|count| *count += 1)
                .or_insert(1);
            let (states, closed, sent, received) = (Vec::new(), None, String::new(), String::new());
            // The record has the SYN that opens a connection right before.
            let syns = [
                Vec::new(),
                arrived.take().filter(|_| *passive).into_iter().collect(),
            ];
            let (passive, incarnation, peers_isn) = (*passive, *incarnation, None);
            conns.insert(
                number,
                Conn {
                    end,
                    number,
                    ends,
                    incarnation,
                    passive,
                    opened: at,
                    states,
                    closed,
                    sent,
                    received,
                    syns,
                    peers_isn,
                },
            );
        }
        if let Body::App(action) = &entry.body {
            deed(end, at, action, entry.conn, &mut deeds);
        }
        let syn = syn(&entry.body);
        arrived = syn
            .filter(|(dir, _)| *dir == Direction::In)
            .map(|(_, syn)| syn)
            .or(arrived);
        let Some(conn) = entry.conn.and_then(|number| conns.get_mut(&number)) else {
            continue;
        };
        if let Some((dir, syn)) = syn {
            conn.syns[usize::from(dir == Direction::In)].push(syn);
        }
        match &entry.body {
            Body::Segment(segment) if segment.dir == Direction::In && !segment.forged => {
                let syn = u32::from(!segment.flags.has(Flags::SYN));
                conn.peers_isn
                    .get_or_insert(segment.seq.0.wrapping_sub(syn));
            }
            Body::State { to, on, .. } => {
                let on = on.map_or("?", Trigger::name).to_owned();
                conn.states.push((at, to.to_string(), on));
            }
            Body::Closed { reason } => {
                let reason = reason.map_or("?", CloseKind::name).to_owned();
                conn.closed = Some((at, reason));
            }
            Body::App(AppAction::Sent(bytes)) => conn.sent += &escape(bytes),
            Body::App(AppAction::Received(bytes)) => conn.received += &escape(bytes),
            _ => {}
        }
    }
    (conns.into_values().collect(), deeds)
}

/// A SYN that one of the two TCPs made, and which way it passed.
fn syn(what: &Body) -> Option<(Direction, Syn)> {
    let Body::Segment(segment) = what else {
        return None;
    };
    let made = segment.flags.has(Flags::SYN) && !segment.forged;
    let ack = if segment.flags.has(Flags::ACK) {
        segment.ack.0
    } else {
        0
    };
    made.then_some((
        segment.dir,
        Syn {
            id: segment.id,
            seq: segment.seq.0,
            ack,
        },
    ))
}

fn deed(end: End, at: f64, action: &AppAction, conn: Option<u64>, deeds: &mut Vec<Deed>) {
    match (action, deeds.last_mut()) {
        (AppAction::Began(step), _) => deeds.push(Deed {
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
            (last.conn, last.ended) = (conn.or(last.conn), Some(at));
        }
        _ => {}
    }
}
