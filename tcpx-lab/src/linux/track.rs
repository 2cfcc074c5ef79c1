//! Which changes of state the segments of one end prove: RFC 9293 Figure 5, read from outside.

use super::segments::Captured;
use super::sockets::{Sighting, Timer};
use tcpx_experiment::trace::{Direction, Segment};
use tcpx_proto::seq::Seq;

/// A change of state.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Step {
    /// When: the segment's time.
    pub(super) at: f64,
    /// Before.
    pub(super) from: &'static str,
    /// After.
    pub(super) to: &'static str,
    /// The event of Figure 5.
    pub(super) on: &'static str,
    /// The segment with which it begins.
    pub(super) begins: usize,
    /// The first segment that has nothing to do with it any more.
    pub(super) over: usize,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ending {
    /// The event of Figure 5.
    pub(super) on: &'static str,
    /// A word for the events file.
    pub(super) reason: &'static str,
}

/// A connection as its segments show it.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) state: &'static str,
    /// The sequence number after our SYN, and after our FIN.
    after_syn: Option<Seq>,
    after_fin: Option<Seq>,
    /// A SYN that came while nothing was there: which, when, and the number after it.
    asked: Option<(usize, f64, Seq)>,
}

impl Track {
    /// Nothing is there.
    pub(super) fn new() -> Track {
        Track {
            state: "CLOSED",
            after_syn: None,
            after_fin: None,
            asked: None,
        }
    }

    /// A SYN cookie (RFC 4987 section 3.6) came back with this segment: there was no SYN-RECEIVED.
    pub(super) fn open(&mut self, index: usize, at: f64) -> Step {
        self.state = "ESTABLISHED";
        Step {
            at,
            from: "LISTEN",
            to: self.state,
            on: "ACK of SYN",
            begins: index,
            over: index + 1,
        }
    }

    /// Takes note of a segment, and of what it changes. Nothing follows CLOSED.
    pub(super) fn take(&mut self, index: usize, seen: &Captured) -> Vec<Step> {
        self.note(&seen.segment);
        let mut steps = Vec::new();
        // One segment can be two events: the ACK of our SYN and a FIN.
        while let Some((from, to, on)) = self.moves(index, seen) {
            let (begins, at) = match (self.asked, to) {
                (Some((index, at, _)), "SYN-RECEIVED") => (index, at),
                _ => (index, seen.at),
            };
            // The SYN that ends TIME-WAIT belongs to the next connection.
            let over = if from == "TIME-WAIT" && on != "RST" {
                index
            } else {
                index + 1
            };
            steps.push(Step {
                at,
                from,
                to,
                on,
                begins,
                over,
            });
            self.state = to;
            if to == "CLOSED" {
                break;
            }
        }
        steps
    }

    /// Remembers the ends of what we sent.
    pub(super) fn note(&mut self, segment: &Segment) {
        if segment.dir == Direction::In {
            return;
        }
        let (syn, fin) = (segment.flags.contains('S'), segment.flags.contains('F'));
        if syn {
            (self.after_syn, self.after_fin) = (Some(Seq(segment.seq) + 1), None);
        }
        if fin {
            self.after_fin = Some(Seq(segment.seq) + segment.len + u32::from(syn) + 1);
        }
    }

    /// What this segment does to the present state: before, after, and the event.
    fn moves(
        &mut self,
        index: usize,
        seen: &Captured,
    ) -> Option<(&'static str, &'static str, &'static str)> {
        let segment = &seen.segment;
        let has = |letter: char| segment.flags.contains(letter);
        let (syn, fin, rst, out) = (has('S'), has('F'), has('R'), segment.dir == Direction::Out);
        let acknowledges =
            |mark: Option<Seq>| has('A') && mark.is_some_and(|mark| mark.le(Seq(segment.ack)));
        let from = self.state;
        let to = |to, on| Some((from, to, on));
        match (from, out) {
            ("CLOSED", true) if syn && !has('A') => to("SYN-SENT", "active OPEN"),
            ("CLOSED", false) if syn && !has('A') => {
                self.asked = Some((index, seen.at, Seq(segment.seq) + 1));
                None
            }
            ("CLOSED", true) if syn => {
                let answers = self
                    .asked
                    .is_some_and(|(_, _, after)| after == Seq(segment.ack));
                answers.then_some(("LISTEN", "SYN-RECEIVED", "SYN"))
            }
            ("CLOSED", _) => None,
            ("TIME-WAIT", _) if syn && !has('A') => {
                to("CLOSED", if out { "active OPEN" } else { "SYN" })
            }
            ("SYN-SENT", false) if rst => {
                if acknowledges(self.after_syn) {
                    to("CLOSED", "RST")
                } else {
                    None
                }
            }
            ("SYN-SENT", false) if syn && acknowledges(self.after_syn) => {
                to("ESTABLISHED", "SYN,ACK")
            }
            ("SYN-SENT", false) if syn && !has('A') => {
                self.asked = None;
                to("SYN-RECEIVED", "SYN")
            }
            ("SYN-SENT", _) => None,
            (_, false) if rst => to("CLOSED", "RST"),
            ("TIME-WAIT", _) => None,
            (_, true) if rst => to("CLOSED", "ABORT"),
            ("SYN-RECEIVED", false) if acknowledges(self.after_syn) => {
                to("ESTABLISHED", "ACK of SYN")
            }
            ("ESTABLISHED", false) if fin => to("CLOSE-WAIT", "FIN"),
            ("SYN-RECEIVED" | "ESTABLISHED", true) if fin => to("FIN-WAIT-1", "CLOSE"),
            ("CLOSE-WAIT", true) if fin => to("LAST-ACK", "CLOSE"),
            ("FIN-WAIT-1", false) if fin && acknowledges(self.after_fin) => {
                to("TIME-WAIT", "FIN,ACK of FIN")
            }
            ("FIN-WAIT-1", false) if fin => to("CLOSING", "FIN"),
            ("FIN-WAIT-1", false) if acknowledges(self.after_fin) => to("FIN-WAIT-2", "ACK of FIN"),
            ("FIN-WAIT-2", false) if fin => to("TIME-WAIT", "FIN"),
            ("CLOSING", false) if acknowledges(self.after_fin) => to("TIME-WAIT", "ACK of FIN"),
            ("LAST-ACK", false) if acknowledges(self.after_fin) => to("CLOSED", "ACK of FIN"),
            _ => None,
        }
    }
}

/// The event that leads from one state to another, where there is only one; `None` also for those
/// that lead to CLOSED.
pub(super) fn event(from: &str, to: &str) -> Option<&'static str> {
    Some(match (from, to) {
        ("CLOSED", "SYN-SENT") => "active OPEN",
        ("LISTEN" | "SYN-SENT", "SYN-RECEIVED") | ("TIME-WAIT", "SYN-RECEIVED") => "SYN",
        ("SYN-SENT", "ESTABLISHED") => "SYN,ACK",
        ("LISTEN" | "SYN-RECEIVED", "ESTABLISHED") => "ACK of SYN",
        ("SYN-RECEIVED" | "ESTABLISHED", "FIN-WAIT-1") | ("CLOSE-WAIT", "LAST-ACK") => "CLOSE",
        ("SYN-RECEIVED" | "ESTABLISHED", "CLOSE-WAIT")
        | ("FIN-WAIT-1", "CLOSING")
        | ("FIN-WAIT-2", "TIME-WAIT") => "FIN",
        ("FIN-WAIT-1", "FIN-WAIT-2") | ("CLOSING", "TIME-WAIT") => "ACK of FIN",
        ("FIN-WAIT-1", "TIME-WAIT") => "FIN,ACK of FIN",
        _ => return None,
    })
}

/// How a connection ended that a segment ended.
pub(super) fn ended_by_segment(step: &Step, passive: bool, last: Option<&Sighting>) -> Ending {
    let given_up = last.is_some_and(|last| last.timer == Some(Timer::KeepAlive) && last.rung > 0);
    let (on, reason) = match (step.on, step.from) {
        // The kernel sends a RST when it gives up on keepalive, too.
        ("ABORT", _) if given_up => ("timeout", "keepalive-timeout"),
        ("ABORT", _) => ("ABORT", "aborted"),
        ("RST", "SYN-SENT") => ("RST", "refused"),
        ("RST", "SYN-RECEIVED") if !passive => ("RST", "refused"),
        ("RST", "TIME-WAIT") => ("RST", "clean"),
        ("RST", _) => ("RST", "reset"),
        (on, _) => (on, "clean"),
    };
    Ending { on, reason }
}

/// How a connection ended that was last seen like this, without a segment that would say so.
pub(super) fn ended_in_silence(state: &str, last: &Sighting, unreachable: bool) -> Ending {
    let (on, reason) = match (state, last.timer) {
        ("TIME-WAIT", _) => ("2 MSL timeout", "clean"),
        ("FIN-WAIT-2", _) => ("timeout", "fin-wait-2-timeout"),
        _ if unreachable => ("ICMP error", "unreachable"),
        ("SYN-SENT", _) if last.rung == 0 => ("CLOSE", "aborted"),
        ("SYN-RECEIVED", _) if last.rung > 0 && last.passive => ("timeout", "dropped"),
        ("SYN-SENT" | "SYN-RECEIVED", _) if last.rung > 0 => ("timeout", "connect-timeout"),
        (_, Some(Timer::KeepAlive)) if last.rung > 0 => ("timeout", "keepalive-timeout"),
        (_, Some(Timer::Retransmission | Timer::Probe)) if last.rung > 0 => {
            ("timeout", "retransmission-timeout")
        }
        _ => ("?", "?"),
    };
    Ending { on, reason }
}
