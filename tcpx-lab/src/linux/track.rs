//! Which changes of state the segments of one end prove: RFC 9293 Figure 5, read from outside.

use super::segments::Captured;
use super::sockets::{Sighting, Timer};
use std::ops::RangeInclusive;
use tcpx_experiment::trace::{Direction, Segment};
use tcpx_proto::error::CloseKind;
use tcpx_proto::seq::Seq;
use tcpx_proto::state::{State, TRANSITIONS, Trigger};
use tcpx_proto::wire::Flags;

/// A change of state.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Step {
    /// When: the segment's time.
    pub(super) at: f64,
    /// Before.
    pub(super) from: State,
    /// After.
    pub(super) to: State,
    /// The event of Figure 5, where it is known.
    pub(super) on: Option<Trigger>,
    /// The segment with which it begins.
    pub(super) begins: usize,
    /// The first segment that has nothing to do with it any more.
    pub(super) over: usize,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ending {
    /// The event of Figure 5, where it is known.
    pub(super) on: Option<Trigger>,
    /// How, where it is known.
    pub(super) reason: Option<CloseKind>,
}

/// A connection as its segments show it.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) state: State,
    /// The sequence number after our SYN, and after our FIN.
    after_syn: Option<Seq>,
    after_fin: Option<Seq>,
    /// A SYN that came while nothing was there: which, when, and the numbers
    /// that acknowledge it, with any of its text.
    asked: Option<(usize, f64, RangeInclusive<Seq>)>,
}

impl Track {
    /// Nothing is there.
    pub(super) fn new() -> Track {
        Track {
            state: State::Closed,
            after_syn: None,
            after_fin: None,
            asked: None,
        }
    }

    /// A SYN cookie (RFC 4987 section 3.6) came back with this segment: there was no SYN-RECEIVED.
    pub(super) fn open(&mut self, index: usize, at: f64) -> Step {
        self.state = State::Established;
        Step {
            at,
            from: State::Listen,
            to: self.state,
            on: Some(Trigger::AckOfSyn),
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
            let (begins, at) = match (&self.asked, to) {
                (Some((index, at, _)), State::SynReceived) => (*index, *at),
                _ => (index, seen.at),
            };
            // The SYN that ends TIME-WAIT belongs to the next connection.
            let over = if from == State::TimeWait && on != Trigger::Rst {
                index
            } else {
                index + 1
            };
            steps.push(Step {
                at,
                from,
                to,
                on: Some(on),
                begins,
                over,
            });
            self.state = to;
            if to == State::Closed {
                break;
            }
        }
        steps
    }

    /// Takes note of segments that change no state.
    pub(super) fn note_all(&mut self, segments: &[&Captured]) {
        for seen in segments {
            self.note(&seen.segment);
        }
    }

    /// Remembers the ends of what we sent.
    fn note(&mut self, segment: &Segment) {
        if segment.dir == Direction::In {
            return;
        }
        let syn = segment.flags.contains(Flags::SYN);
        let fin = segment.flags.contains(Flags::FIN);
        if syn {
            self.after_syn = Some(segment.seq + 1);
            self.after_fin = None;
        }
        if fin {
            self.after_fin = Some(segment.seq + segment.len + u32::from(syn) + 1);
        }
    }

    /// What this segment does to the present state: before, after, and the event.
    fn moves(&mut self, index: usize, seen: &Captured) -> Option<(State, State, Trigger)> {
        let segment = &seen.segment;
        let has = |flag| segment.flags.contains(flag);
        let syn = has(Flags::SYN);
        let fin = has(Flags::FIN);
        let rst = has(Flags::RST);
        let out = segment.dir == Direction::Out;
        let acknowledges =
            |mark: Option<Seq>| has(Flags::ACK) && mark.is_some_and(|mark| mark.le(segment.ack));
        let from = self.state;
        let to = |to, on| Some((from, to, on));
        match (from, out) {
            (State::Closed, true) if syn && !has(Flags::ACK) => {
                to(State::SynSent, Trigger::ActiveOpen)
            }
            (State::Closed, false) if syn && !has(Flags::ACK) => {
                let after = segment.seq + 1;
                self.asked = Some((index, seen.at, after..=after + segment.len));
                None
            }
            (State::Closed, true) if syn => {
                // With Fast Open it acknowledges text of the SYN, too.
                let answers = self.asked.as_ref().is_some_and(|(_, _, after)| {
                    after.start().le(segment.ack) && segment.ack.le(*after.end())
                });
                answers.then_some((State::Listen, State::SynReceived, Trigger::Syn))
            }
            (State::Closed, _) => None,
            (State::TimeWait, _) if syn && !has(Flags::ACK) => to(
                State::Closed,
                if out {
                    Trigger::ActiveOpen
                } else {
                    Trigger::Syn
                },
            ),
            (State::SynSent, false) if rst => {
                if acknowledges(self.after_syn) {
                    to(State::Closed, Trigger::Rst)
                } else {
                    None
                }
            }
            (State::SynSent, false) if syn && acknowledges(self.after_syn) => {
                to(State::Established, Trigger::SynAck)
            }
            (State::SynSent, false) if syn && !has(Flags::ACK) => {
                self.asked = None;
                to(State::SynReceived, Trigger::Syn)
            }
            (State::SynSent, _) => None,
            (_, false) if rst => to(State::Closed, Trigger::Rst),
            (State::TimeWait, _) => None,
            (_, true) if rst => to(State::Closed, Trigger::Abort),
            (State::SynReceived, false) if acknowledges(self.after_syn) => {
                to(State::Established, Trigger::AckOfSyn)
            }
            (State::Established, false) if fin => to(State::CloseWait, Trigger::Fin),
            (State::SynReceived | State::Established, true) if fin => {
                to(State::FinWait1, Trigger::Close)
            }
            (State::CloseWait, true) if fin => to(State::LastAck, Trigger::Close),
            (State::FinWait1, false) if fin && acknowledges(self.after_fin) => {
                to(State::TimeWait, Trigger::FinAckOfFin)
            }
            (State::FinWait1, false) if fin => to(State::Closing, Trigger::Fin),
            (State::FinWait1, false) if acknowledges(self.after_fin) => {
                to(State::FinWait2, Trigger::AckOfFin)
            }
            (State::FinWait2, false) if fin => to(State::TimeWait, Trigger::Fin),
            (State::Closing, false) if acknowledges(self.after_fin) => {
                to(State::TimeWait, Trigger::AckOfFin)
            }
            (State::LastAck, false) if acknowledges(self.after_fin) => {
                to(State::Closed, Trigger::AckOfFin)
            }
            _ => None,
        }
    }
}

/// The event that leads from one state to another, where there is only one; `None` also for those
/// that lead to CLOSED.
pub(super) fn event(from: State, to: State) -> Option<Trigger> {
    match (from, to) {
        (_, State::Closed) => return None,
        // The next connection on the ports of the last one.
        (State::TimeWait, State::SynReceived) => return Some(Trigger::Syn),
        // A SYN cookie came back.
        (State::Listen, State::Established) => return Some(Trigger::AckOfSyn),
        _ => {}
    }
    let mut events = TRANSITIONS
        .iter()
        .filter(|edge| (edge.from, edge.to) == (from, to))
        .map(|edge| edge.on);
    let first = events.next()?;
    events.all(|on| on == first).then_some(first)
}

/// How a connection ended that a segment ended.
pub(super) fn ended_by_segment(step: &Step, passive: bool, last: Option<&Sighting>) -> Ending {
    let given_up =
        last.is_some_and(|last| last.timer == Some(Timer::KeepAlive) && last.expirations > 0);
    let (on, reason) = match (step.on, step.from) {
        // The kernel sends a RST when it gives up on keepalive, too.
        (Some(Trigger::Abort), _) if given_up => {
            (Some(Trigger::Timeout), Some(CloseKind::KeepAliveTimeout))
        }
        (Some(Trigger::Abort), _) => (Some(Trigger::Abort), Some(CloseKind::Aborted)),
        (Some(Trigger::Rst), State::SynSent) => (Some(Trigger::Rst), Some(CloseKind::Refused)),
        (Some(Trigger::Rst), State::SynReceived) if !passive => {
            (Some(Trigger::Rst), Some(CloseKind::Refused))
        }
        (Some(Trigger::Rst), State::TimeWait) => (Some(Trigger::Rst), Some(CloseKind::Clean)),
        (Some(Trigger::Rst), _) => (Some(Trigger::Rst), Some(CloseKind::Reset)),
        (on, _) => (on, Some(CloseKind::Clean)),
    };
    Ending { on, reason }
}

/// How a connection ended that was last seen like this, without a segment that would say so.
pub(super) fn ended_in_silence(state: State, last: &Sighting, unreachable: bool) -> Ending {
    let (on, reason) = match (state, last.timer) {
        (State::TimeWait, _) => (Some(Trigger::TimeWaitTimeout), Some(CloseKind::Clean)),
        (State::FinWait2, _) => (Some(Trigger::Timeout), Some(CloseKind::FinWait2Timeout)),
        _ if unreachable => (Some(Trigger::Icmp), Some(CloseKind::Unreachable)),
        (State::SynSent, _) if last.expirations == 0 => {
            (Some(Trigger::Close), Some(CloseKind::Aborted))
        }
        (State::SynReceived, _) if last.expirations > 0 && last.passive => {
            (Some(Trigger::Timeout), Some(CloseKind::Dropped))
        }
        (State::SynSent | State::SynReceived, _) if last.expirations > 0 => {
            (Some(Trigger::Timeout), Some(CloseKind::ConnectTimeout))
        }
        (_, Some(Timer::KeepAlive)) if last.expirations > 0 => {
            (Some(Trigger::Timeout), Some(CloseKind::KeepAliveTimeout))
        }
        (_, Some(Timer::Retransmission | Timer::Probe)) if last.expirations > 0 => (
            Some(Trigger::Timeout),
            Some(CloseKind::RetransmissionTimeout),
        ),
        _ => (None, None),
    };
    Ending { on, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use tcpx_proto::fault::VerdictKind;
    use tcpx_proto::state::Transition;

    const SYN: Seq = Seq(100);
    const FIN: Seq = Seq(200);

    /// Every change that some segment proves: each state, each set of control bits, either way, with
    /// an acknowledgment of nothing, of the SYN, of the FIN.
    fn proven() -> HashSet<Transition> {
        let mut proven = HashSet::new();
        // A listener has no connection to track.
        for state in State::ALL
            .into_iter()
            .filter(|state| *state != State::Listen)
        {
            for bits in 0..=u8::MAX {
                for dir in [Direction::In, Direction::Out] {
                    for ack in [Seq(0), SYN, FIN] {
                        for asked in [None, Some((0, 0.0, ack..=ack))] {
                            let mut track = Track {
                                state,
                                after_syn: Some(SYN),
                                after_fin: Some(FIN),
                                asked,
                            };
                            let seen = captured(dir, Flags(bits), ack);
                            let edge = track.moves(0, &seen);
                            proven.extend(edge.map(|(from, to, on)| Transition { from, on, to }));
                        }
                    }
                }
            }
        }
        proven
    }

    fn captured(dir: Direction, flags: Flags, ack: Seq) -> Captured {
        let end = "10.77.0.1:1".parse().unwrap();
        Captured {
            at: 0.0,
            own: end,
            peer: end,
            incarnation: 0,
            segment: Segment {
                dir,
                cause: None,
                carries: None,
                flags,
                seq: Seq(0),
                ack,
                len: 0,
                win: 0,
                id: 0,
                options: tcpx_proto::wire::Options::default(),
                retransmission: 0,
                verdict: VerdictKind::Pass,
                rule: None,
                forged: false,
            },
        }
    }

    /// Whether an edge of the table is taken without a segment that an outsider could tell it by.
    fn is_silent(edge: &Transition) -> bool {
        match edge.on {
            Trigger::PassiveOpen
            | Trigger::TimeWaitTimeout
            | Trigger::Timeout
            | Trigger::Icmp
            | Trigger::Restart => true,
            // There is no peer yet, or none any more.
            Trigger::Close => matches!(edge.from, State::Listen | State::SynSent),
            Trigger::Abort => {
                edge.to == State::Listen || matches!(edge.from, State::SynSent | State::TimeWait)
            }
            // From outside, an embryo's end looks the same whether its listener is left or not.
            Trigger::Rst => edge.to == State::Listen,
            // RFC 793: a SYN in the window resets. Linux answers it with a challenge ACK.
            Trigger::Syn => {
                matches!(edge.to, State::Closed | State::Listen) && edge.from != State::TimeWait
            }
            // A FIN is processed only with an ACK, which moves the connection to ESTABLISHED first.
            Trigger::Fin => edge.from == State::SynReceived,
            Trigger::ActiveOpen
            | Trigger::SynAck
            | Trigger::AckOfSyn
            | Trigger::AckOfFin
            | Trigger::FinAckOfFin => false,
        }
    }

    #[test]
    fn segments_prove_each_edge_of_the_table_that_shows_on_the_cable_and_no_other() {
        let mut more = proven();
        for edge in TRANSITIONS {
            assert_ne!(more.remove(edge), is_silent(edge), "{edge:?}");
        }
        // The next connection of the same host on the ports of the last one.
        let reuse = Transition {
            from: State::TimeWait,
            on: Trigger::ActiveOpen,
            to: State::Closed,
        };
        assert_eq!(more, HashSet::from([reuse]));
    }

    #[test]
    fn event_between_two_states_is_the_only_one_of_the_table() {
        for edge in TRANSITIONS {
            let only = |other: &Transition| {
                (other.from, other.to) != (edge.from, edge.to) || other.on == edge.on
            };
            let expected = edge.to != State::Closed && TRANSITIONS.iter().all(only);
            let event = event(edge.from, edge.to);
            assert_eq!(event, expected.then_some(edge.on), "{edge:?}");
        }
    }
}
