//! Whether a connection took a way through the state diagram that the foretold one could have taken
//! as well.
//!
//! A way is a row of events: calls of the application, and what came from the peer. One segment can
//! bring two (a FIN and the ACK of ours). The state diagram says in which orders they may come; the
//! scripts say which of them waits for which. Two ways with the same events are the same TCP, if
//! each step is an edge of the diagram and no event comes before one that it waits for.

use super::{Pair, RACE, Ran};
use crate::oracle::{Conn, Deed, Run};
use tcpx_proto::config::Detour;
use tcpx_proto::state::{State, TRANSITIONS, Trigger};

/// A change of state: before, the event of RFC 9293 Figure 5, after.
type Step<'a> = (&'a str, &'a str, &'a str);

/// What a script's step waits for: the peer's FIN.
const TO_THE_END: [&str; 3] = ["receive to end", "echo", "relay"];

pub(super) fn difference(
    pair: &Pair<'_>,
    detours: &[Detour],
    foretold: &Ran<'_>,
    seen: &Ran<'_>,
) -> Option<[String; 2]> {
    let [ours, theirs] = [pair.foretold, pair.seen].map(steps);
    let edges = |step: &Step<'_>| {
        is_edge(*step) || detours.iter().any(|detour| names(detour) == *step) || ours.contains(step)
    };
    let lawful = theirs.iter().all(edges);
    let margin = RACE + 2.0 * seen.outcome.waited;
    let same = lawful && same_events(pair, margin) && same_order(pair, foretold, seen, margin);
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
            .map_or("is in no other state".to_owned(), |(_, on, to)| {
                format!("is {to} on {on}")
            })
    }))
}

fn steps(conn: &Conn) -> Vec<Step<'_>> {
    let first = if conn.passive {
        State::Listen.name()
    } else {
        State::Closed.name()
    };
    let before = [first]
        .into_iter()
        .chain(conn.states.iter().map(|(_, state, _)| state.as_str()));
    before
        .zip(&conn.states)
        .map(|(from, (_, to, on))| (from, on.as_str(), to.as_str()))
        .collect()
}

fn is_edge(step: Step<'_>) -> bool {
    TRANSITIONS
        .iter()
        .any(|edge| (edge.from.name(), edge.on.name(), edge.to.name()) == step)
}

fn names(detour: &Detour) -> Step<'static> {
    (detour.from.name(), detour.on.name(), detour.to.name())
}

/// The events of a way, each with its time. What ends TIME-WAIT, unless it is a RST, follows from
/// the clock or from the next connection.
fn events(conn: &Conn) -> Vec<(&str, f64)> {
    let mut events = Vec::new();
    let mut before = "";
    for (at, state, on) in &conn.states {
        match on.as_str() {
            _ if before == State::TimeWait.name() && on != Trigger::Rst.name() => {}
            on if on == Trigger::SynAck.name() => {
                events.extend([(Trigger::Syn.name(), *at), (Trigger::AckOfSyn.name(), *at)])
            }
            on if on == Trigger::FinAckOfFin.name() => {
                events.extend([(Trigger::Fin.name(), *at), (Trigger::AckOfFin.name(), *at)])
            }
            on => events.push((on, *at)),
        }
        before = state;
    }
    events
}

/// Nothing happened to one that did not happen to the other, but for what a RST was quicker than.
fn same_events(pair: &Pair<'_>, margin: f64) -> bool {
    let broken_off = pair.is_broken_off();
    let [ours, theirs] = [pair.foretold, pair.seen].map(|conn| {
        (
            events(conn),
            conn.closed.as_ref().map_or(f64::INFINITY, |(at, _)| *at),
        )
    });
    let excused = |(on, at): &(&str, f64), over: f64| {
        let racing = [
            Trigger::Close,
            Trigger::Fin,
            Trigger::AckOfFin,
            Trigger::Rst,
            Trigger::Abort,
        ]
        .iter()
        .any(|known| known.name() == *on);
        broken_off && racing && over - at < margin
    };
    let lacks = |(events, over): &(Vec<(&str, f64)>, f64), others: &[(&str, f64)]| {
        let count =
            |list: &[(&str, f64)], on: &str| list.iter().filter(|(other, _)| *other == on).count();
        events
            .iter()
            .any(|event| count(events, event.0) > count(others, event.0) && !excused(event, *over))
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
    let place = |trigger: Trigger| events.iter().position(|(on, _)| *on == trigger.name());
    let (close, fin) = (place(Trigger::Close)?, place(Trigger::Fin)?);
    Some(match conn.was(State::Closing.name()) {
        true => First::Crossing,
        false if close < fin => First::Close,
        false => First::Fin,
    })
}

/// The two ends close in the order that was foretold, or in any where neither waits for the other.
fn same_order(pair: &Pair<'_>, foretold: &Ran<'_>, seen: &Ran<'_>, margin: f64) -> bool {
    let peer = seen.run.peer(pair.seen).and_then(first);
    let ours = first(pair.seen);
    // Somebody closed before the other's FIN came.
    if ours == Some(First::Fin) && peer == Some(First::Fin) {
        return false;
    }
    first(pair.foretold) == ours || ours.is_none() || is_free(&foretold.run, pair.foretold, margin)
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
                    .find(|(on, _)| *on == trigger.name())
                    .map(|(_, at)| at)
            };
            let (Some(close), Some(fin)) = (when(Trigger::Close), when(Trigger::Fin)) else {
                return true;
            };
            let own = |deed: &&Deed| (deed.end, deed.conn) == (conn.end, Some(conn.number));
            let before = run
                .deeds
                .iter()
                .filter(own)
                .take_while(|deed| !["shutdown", "close"].contains(&deed.step.as_str()));
            (close - fin).abs() < margin && !before.into_iter().any(waits_for_the_end)
        })
}

fn waits_for_the_end(deed: &Deed) -> bool {
    deed.failures.is_empty()
        && (TO_THE_END.contains(&deed.step.as_str())
            || deed.step == format!("expect {}", State::CloseWait))
}
