//! Whether a connection took a way through the state diagram that the predicted one could have taken
//! as well.
//!
//! A way is a row of events: calls of the application, and what came from the peer. One segment can
//! bring two (a FIN and the ACK of ours). The state diagram says in which orders they may come; the
//! scripts say which of them waits for which. Two ways with the same events are the same TCP, if
//! each step is an edge of the diagram and no event comes before one that it waits for.

use super::{Pair, RACE, Ran};
use crate::oracle::{Conn, PlayedStep, Run};
use tcpx_proto::config::Detour;
use tcpx_proto::script::{Expected, Step, StepKind};
use tcpx_proto::state::{State, TRANSITIONS, Trigger};

/// A change of state.
#[derive(Clone, Copy, PartialEq)]
struct Change {
    from: State,
    /// Where it is known.
    on: Option<Trigger>,
    to: State,
}

pub(super) fn difference(
    pair: &Pair<'_>,
    detours: &[Detour],
    predicted: &Ran<'_>,
    seen: &Ran<'_>,
) -> Option<[String; 2]> {
    let [ours, theirs] = [pair.predicted, pair.seen].map(steps);
    let edges = |step: &Change| {
        let is = |from: State, on: Trigger, to: State| {
            let on = Some(on);
            *step == Change { from, on, to }
        };
        TRANSITIONS
            .iter()
            .any(|edge| is(edge.from, edge.on, edge.to))
            || detours.iter().any(|edge| is(edge.from, edge.on, edge.to))
            || ours.contains(step)
    };
    let lawful = theirs.iter().all(edges);
    let margin = RACE + 2.0 * seen.outcome.waited;
    let same = lawful && same_events(pair, margin) && same_order(pair, predicted, seen, margin);
    if same {
        return None;
    }
    // Where the two part.
    let at = (0..ours.len().max(theirs.len()))
        .find(|at| ours.get(*at) != theirs.get(*at))
        .unwrap_or_default();
    Some([&ours, &theirs].map(|steps| {
        steps
            .get(at)
            .map_or("is in no other state".to_owned(), |step| {
                format!("is {} on {}", step.to, step.on.map_or("?", Trigger::name))
            })
    }))
}

fn steps(conn: &Conn) -> Vec<Change> {
    let mut from = if conn.passive {
        State::Listen
    } else {
        State::Closed
    };
    let mut steps = Vec::new();
    for entered in &conn.states {
        steps.push(Change {
            from,
            on: entered.on,
            to: entered.state,
        });
        from = entered.state;
    }
    steps
}

/// The events of a way, each with its time. What ends TIME-WAIT, unless it is a RST, follows from
/// the clock or from the next connection.
fn events(conn: &Conn) -> Vec<(Trigger, f64)> {
    let mut events = Vec::new();
    let mut before = None;
    for entered in &conn.states {
        let at = entered.at;
        match entered.on {
            on if before == Some(State::TimeWait) && on != Some(Trigger::Rst) => {}
            Some(Trigger::SynAck) => events.extend([(Trigger::Syn, at), (Trigger::AckOfSyn, at)]),
            Some(Trigger::FinAckOfFin) => {
                events.extend([(Trigger::Fin, at), (Trigger::AckOfFin, at)]);
            }
            Some(on) => events.push((on, at)),
            None => {}
        }
        before = Some(entered.state);
    }
    events
}

/// Nothing happened to one that did not happen to the other, but for what a RST was quicker than.
fn same_events(pair: &Pair<'_>, margin: f64) -> bool {
    let broken_off = pair.is_broken_off();
    let [ours, theirs] = [pair.predicted, pair.seen].map(|conn| {
        (
            events(conn),
            conn.closed.as_ref().map_or(f64::INFINITY, |(at, _)| *at),
        )
    });
    let races = |on: Trigger| {
        matches!(
            on,
            Trigger::Close | Trigger::Fin | Trigger::AckOfFin | Trigger::Rst | Trigger::Abort
        )
    };
    let excused =
        |(on, at): (Trigger, f64), over: f64| broken_off && races(on) && over - at < margin;
    let count = |list: &[(Trigger, f64)], on: Trigger| {
        list.iter().filter(|(other, _)| *other == on).count()
    };
    let lacks = |(events, over): &(Vec<(Trigger, f64)>, f64), others: &[(Trigger, f64)]| {
        events
            .iter()
            .any(|event| count(events, event.0) > count(others, event.0) && !excused(*event, *over))
    };
    !lacks(&ours, &theirs.0) && !lacks(&theirs, &ours.0)
}

/// Which came first: our CLOSE or the peer's FIN.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    /// And the FIN came before the ACK of ours: the two crossed.
    Crossing,
    Close,
    Fin,
}

fn first(conn: &Conn) -> Option<First> {
    let events = events(conn);
    let place = |trigger: Trigger| events.iter().position(|(on, _)| *on == trigger);
    let close = place(Trigger::Close)?;
    let fin = place(Trigger::Fin)?;
    Some(match conn.was(State::Closing) {
        true => First::Crossing,
        false if close < fin => First::Close,
        false => First::Fin,
    })
}

/// The two ends close in the order that was predicted, or in any where neither waits for the other.
fn same_order(pair: &Pair<'_>, predicted: &Ran<'_>, seen: &Ran<'_>, margin: f64) -> bool {
    let peer = seen.run.peer(pair.seen).and_then(first);
    let ours = first(pair.seen);
    // Somebody closed before the other's FIN came.
    if ours == Some(First::Fin) && peer == Some(First::Fin) {
        return false;
    }
    first(pair.predicted) == ours
        || ours.is_none()
        || is_free(&predicted.run, pair.predicted, margin)
}

/// Neither end waits for the other's FIN before it closes: not by its script, and not by its clock.
fn is_free(run: &Run, conn: &Conn, margin: f64) -> bool {
    [Some(conn), run.peer(conn)]
        .into_iter()
        .flatten()
        .all(|conn| {
            let when = |trigger: Trigger| {
                events(conn)
                    .into_iter()
                    .find(|(on, _)| *on == trigger)
                    .map(|(_, at)| at)
            };
            let (Some(close), Some(fin)) = (when(Trigger::Close), when(Trigger::Fin)) else {
                return true;
            };
            let own =
                |played: &&PlayedStep| (played.end, played.conn) == (conn.end, Some(conn.number));
            let closes = |played: &PlayedStep| {
                matches!(played.kind(), Some(StepKind::Shutdown | StepKind::Close))
            };
            let before = run
                .steps
                .iter()
                .filter(own)
                .take_while(|played| !closes(played));
            (close - fin).abs() < margin && !before.into_iter().any(waits_for_the_end)
        })
}

fn waits_for_the_end(played: &PlayedStep) -> bool {
    let close_wait = Step::Expect(Expected::State(State::CloseWait)).to_string();
    let to_the_end = matches!(
        played.kind(),
        Some(StepKind::ReceiveToEnd | StepKind::Echo | StepKind::Relay)
    );
    played.failures.is_empty() && (to_the_end || played.step == close_wait)
}
