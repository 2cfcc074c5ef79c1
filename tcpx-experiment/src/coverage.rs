//! Which edges of the state diagram runs have taken: those of RFC 9293 Figure 5, and those that
//! the text of 3.10 adds.

use crate::oracle::Evidence;
use crate::trace::{Body, Direction, Log};
use crate::world::Outcome;
use tcpx_proto::script::{AppAction, StepKind};
use tcpx_proto::state::{State, TRANSITIONS, Transition, Trigger};

/// What the count over all arms of an experiment is called.
pub const ARM: &str = "all runs together";
/// What is expected of it.
pub const EXPECTED: &str = "the runs together take every edge of the state diagram";

/// Those that the table has and no TCP can take, with the reason.
const NEVER: &[(Transition, &str)] = &[(
    Transition {
        from: State::SynReceived,
        on: Trigger::Fin,
        to: State::CloseWait,
    },
    "a FIN is processed only with an ACK, which moves the connection to ESTABLISHED first",
)];

/// What a listener does, which has no connection.
const LISTEN: Transition = Transition {
    from: State::Closed,
    on: Trigger::PassiveOpen,
    to: State::Listen,
};
const UNLISTEN: Transition = Transition {
    from: State::Listen,
    on: Trigger::Close,
    to: State::Closed,
};

/// How an edge was taken.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Walk {
    /// By a call, a timer, or a segment of the other TCP.
    own: bool,
    /// By an injected segment.
    forged: bool,
}

/// The edges that some runs took, one for each of [`TRANSITIONS`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walked(Vec<Walk>);

impl Default for Walked {
    fn default() -> Walked {
        Walked(vec![Walk::default(); TRANSITIONS.len()])
    }
}

impl Walked {
    /// Counts a run, as both ends recorded it.
    pub fn add(&mut self, outcome: &Outcome) {
        outcome.logs.iter().for_each(|log| self.read(log));
    }

    fn read(&mut self, log: &Log) {
        let mut forged = false;
        let mut step = None;
        for entry in &log.entries {
            match &entry.body {
                Body::Segment(segment) if segment.dir == Direction::In => forged = segment.forged,
                Body::State {
                    from,
                    to,
                    on: Some(on),
                } => {
                    let edge = Transition {
                        from: *from,
                        on: *on,
                        to: *to,
                    };
                    self.walk(edge, by_packet(*on) && (forged || *on == Trigger::Icmp));
                }
                Body::App(AppAction::Began(text)) => step = StepKind::of(text),
                // A listener has no connection whose state could change.
                Body::App(AppAction::Done) if step == Some(StepKind::Listen) => {
                    self.walk(LISTEN, false);
                }
                Body::App(AppAction::Done) if step == Some(StepKind::StopListening) => {
                    self.walk(UNLISTEN, false);
                }
                Body::Segment(_)
                | Body::State { on: None, .. }
                | Body::App(_)
                | Body::Opened { .. }
                | Body::Accepted { .. }
                | Body::Closed { .. }
                | Body::Discarded { .. }
                | Body::Deviated { .. }
                | Body::Timer { .. }
                | Body::Icmp(_)
                | Body::R1 { .. }
                | Body::Urgent { .. }
                | Body::Undone { .. }
                | Body::Unknown => {}
            }
        }
    }

    fn walk(&mut self, edge: Transition, forged: bool) {
        // A detour is no edge, nor is what a restart does.
        let Some(index) = TRANSITIONS.iter().position(|known| *known == edge) else {
            return;
        };
        let walk = &mut self.0[index];
        if forged {
            walk.forged = true;
        } else {
            walk.own = true;
        }
    }

    /// What none of the runs took although it could.
    pub fn missing(&self) -> Vec<String> {
        let never = |edge: &Transition| NEVER.iter().any(|(known, _)| known == edge);
        let missing = TRANSITIONS
            .iter()
            .zip(&self.0)
            .filter(|(edge, walk)| **walk == Walk::default() && !never(edge));
        missing
            .map(|(edge, _)| {
                format!(
                    "no run takes the edge from {} on {} to {}",
                    edge.from, edge.on, edge.to
                )
            })
            .collect()
    }

    /// How many of how many, and what is left out.
    pub fn summary(&self) -> Vec<Evidence> {
        let count = |wanted: fn(&Walk) -> bool| self.0.iter().filter(|walk| wanted(walk)).count();
        let own = count(|walk| walk.own);
        let forged = count(|walk| walk.forged && !walk.own);
        let never = NEVER.iter().map(|(edge, why)| Evidence::Unwalkable {
            from: edge.from,
            on: edge.on,
            to: edge.to,
            why: (*why).to_owned(),
        });
        [Evidence::Edges {
            all: TRANSITIONS.len(),
            own,
            forged,
        }]
        .into_iter()
        .chain(never)
        .collect()
    }
}

/// Whether it is a packet that moves the connection.
const fn by_packet(on: Trigger) -> bool {
    match on {
        Trigger::Syn
        | Trigger::SynAck
        | Trigger::AckOfSyn
        | Trigger::Fin
        | Trigger::AckOfFin
        | Trigger::FinAckOfFin
        | Trigger::Rst
        | Trigger::Icmp => true,
        Trigger::PassiveOpen
        | Trigger::ActiveOpen
        | Trigger::Close
        | Trigger::Abort
        | Trigger::TimeWaitTimeout
        | Trigger::Timeout
        | Trigger::Restart => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::File;

    const RST: (&str, u32, u32, u32) = ("R", 301, 0, 0);

    fn walked(file: &File) -> Walked {
        let mut walked = Walked::default();
        walked.read(&file.log());
        walked
    }

    fn of(walked: &Walked, from: State, on: Trigger) -> Walk {
        walked.0[TRANSITIONS
            .iter()
            .position(|edge| edge.from == from && edge.on == on)
            .unwrap()]
    }

    #[test]
    fn edge_on_a_forged_segment_is_told_from_one_on_the_peers() {
        let client = File::new("client", 1.0).state(0.0, "CLOSED", "SYN-SENT", "active OPEN");
        let own = walked(
            &client
                .clone()
                .receives(0.1, RST, 1, "pass")
                .state(0.1, "SYN-SENT", "CLOSED", "RST"),
        );
        assert_eq!(
            of(&own, State::SynSent, Trigger::Rst),
            Walk {
                own: true,
                forged: false
            }
        );
        let forged = walked(
            &client
                .clone()
                .receives(0.1, RST, 1, "pass")
                .forged()
                .state(0.1, "SYN-SENT", "CLOSED", "RST"),
        );
        assert_eq!(
            of(&forged, State::SynSent, Trigger::Rst),
            Walk {
                own: false,
                forged: true
            }
        );
        assert_eq!(
            of(&forged, State::Closed, Trigger::ActiveOpen),
            Walk {
                own: true,
                forged: false
            }
        );
        let timeout = walked(
            &client
                .receives(0.1, RST, 1, "pass")
                .forged()
                .state(9.0, "SYN-SENT", "CLOSED", "timeout"),
        );
        assert_eq!(
            of(&timeout, State::SynSent, Trigger::Timeout),
            Walk {
                own: true,
                forged: false
            }
        );
        assert_eq!(
            forged.summary()[0],
            Evidence::Edges {
                all: TRANSITIONS.len(),
                own: 1,
                forged: 1
            }
        );
    }

    #[test]
    fn listeners_walk_by_what_the_application_did_and_detours_are_no_edges() {
        let server = File::passive(1.0)
            .app(0.0, "began", "listen backlog 8")
            .app(0.0, "done", "")
            .app(0.1, "began", "stop listening");
        let begun = walked(&server.clone().state(0.1, "LISTEN", "ESTABLISHED", "SYN"));
        assert_eq!(
            of(&begun, State::Closed, Trigger::PassiveOpen),
            Walk {
                own: true,
                forged: false
            }
        );
        assert_eq!(begun.missing().len(), TRANSITIONS.len() - 1 - NEVER.len());
        let done = walked(&server.app(0.2, "done", ""));
        assert_eq!(
            of(&done, State::Listen, Trigger::Close),
            Walk {
                own: true,
                forged: false
            }
        );
    }

    #[test]
    fn what_is_never_walked_is_in_the_table() {
        assert!(NEVER.iter().all(|(edge, _)| TRANSITIONS.contains(edge)));
        assert!(
            Walked::default()
                .missing()
                .contains(&"no run takes the edge from LISTEN on SYN to SYN-RECEIVED".to_owned())
        );
    }
}
