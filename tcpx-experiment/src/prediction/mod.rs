//! Whether the wire showed what the simulation predicted: the same bytes, the same ways through the
//! state diagram, the same text, FINs and RSTs sent; not the same times, and not the same
//! interleaving.
//!
//! Two runs of one script differ in what is decided by microseconds: whether a call of the
//! application comes before or after a segment (who closes first, where neither waits for the
//! other), what travels in one segment (text with an ACK or a FIN, an ACK of a FIN with the peer's
//! FIN), where text is cut, how many bare ACKs there are, and what is repeated because a process
//! did not get the machine. None of that is a difference of TCP. What is left is one.

mod sent;
mod walk;

use crate::end::End;
use crate::experiment::{Plan, Tolerance};
use crate::oracle::{Conn, Reason, Run};
use crate::world::Outcome;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tcpx_proto::config::Detour;
use tcpx_proto::error::CloseKind;
use tcpx_proto::trace::escape;

/// How far apart, seconds, two things may be predicted that do not wait for each other and may come
/// in either order nevertheless.
pub(crate) const RACE: f64 = 0.1;

/// A run, as it is compared.
struct Ran<'a> {
    outcome: &'a Outcome,
    /// What comes later is not looked at, seconds since the earlier record began.
    end: f64,
    run: Run,
}

impl Ran<'_> {
    /// The run without its last `early` seconds.
    fn new(outcome: &Outcome, early: f64) -> Ran<'_> {
        let end = outcome.end - early;
        Ran {
            outcome,
            end,
            run: Run::new(&outcome.logs, end, f64::INFINITY),
        }
    }
}

/// A connection in both runs.
#[derive(Clone, Copy)]
struct Pair<'a> {
    predicted: &'a Conn,
    seen: &'a Conn,
}

/// What identifies a connection of one end in any run: its four-tuple and its incarnation.
type Name = ((SocketAddr, SocketAddr), usize);

/// The first difference, if there is one.
pub fn difference(plan: &Plan, predicted: &Outcome, seen: &Outcome) -> Option<String> {
    let margin = RACE + 2.0 * seen.waited;
    let between = |early: [f64; 2]| {
        let [predicted, seen] = [Ran::new(predicted, early[0]), Ran::new(seen, early[1])];
        let unlike = End::BOTH
            .into_iter()
            .find_map(|end| Some((end, at_an_end(plan, end, &predicted, &seen)?)));
        unlike.map(|(end, [predicted, seen])| {
            format!("at {end} the simulation predicted [{predicted}], the wire showed [{seen}]")
        })
    };
    let whole = between([0.0; 2])?;
    // What comes just before the limit in one run comes just after it in the other.
    let at_the_limit = predicted.end >= plan.limit.as_secs_f64();
    let excused = at_the_limit
        && [[0.0, margin], [margin, 0.0], [margin; 2]]
            .into_iter()
            .any(|early| between(early).is_none());
    (!excused).then_some(whole)
}

fn at_an_end(plan: &Plan, end: End, predicted: &Ran<'_>, seen: &Ran<'_>) -> Option<[String; 2]> {
    let [ours, theirs] = [predicted, seen].map(|ran| named(&ran.run, end));
    if let Some((missing, _)) = ours.iter().find(|(name, _)| !theirs.contains_key(*name)) {
        return Some([
            format!("connection {}", missing.1),
            "no such connection".to_owned(),
        ]);
    }
    if let Some((more, _)) = theirs.iter().find(|(name, _)| !ours.contains_key(*name)) {
        return Some([
            "no such connection".to_owned(),
            format!("connection {}", more.1),
        ]);
    }
    let pairs: Vec<Pair<'_>> = ours
        .values()
        .zip(theirs.values())
        .map(|(predicted, seen)| Pair { predicted, seen })
        .collect();
    let detours = &end.of(&plan.hosts).settings.config.conn.detours;
    let of_one = |pair: &Pair<'_>| {
        pair.difference(detours, predicted, seen)
            .map(|unlike| unlike.map(|text| format!("connection {} {text}", pair.seen.incarnation)))
    };
    pairs
        .iter()
        .find_map(of_one)
        .or_else(|| failures(end, &pairs, predicted, seen))
        .or_else(|| match plan.tolerance.contains(&Tolerance::Segments) {
            true => None,
            false => sent::difference(plan, end, &pairs, predicted, seen),
        })
}

/// An end's connections.
fn named(run: &Run, end: End) -> BTreeMap<Name, &Conn> {
    run.conns
        .iter()
        .filter(|conn| conn.end == end)
        .map(|conn| ((conn.ends, conn.incarnation), conn))
        .collect()
}

impl Pair<'_> {
    fn difference(
        &self,
        detours: &[Detour],
        predicted: &Ran<'_>,
        seen: &Ran<'_>,
    ) -> Option<[String; 2]> {
        let both = || [self.predicted, self.seen];
        if let Some(unlike) = walk::difference(self, detours, predicted, seen) {
            return Some(unlike);
        }
        // A RST discards what the application has not read yet: how much that is depends on when it
        // reads.
        let [ours, theirs] = both().map(|conn| conn.received.as_slice());
        let begins = ours.starts_with(theirs) || theirs.starts_with(ours);
        if ours != theirs && !(begins && self.is_broken_off()) {
            return Some([ours, theirs].map(|bytes| format!("received \"{}\"", escape(bytes))));
        }
        let [ours, theirs] = both().map(|conn| conn.closed.map(|(_, reason)| reason));
        if ours == theirs || self.is_broken_off() {
            return None;
        }
        let words = |reason: Option<Reason>| {
            let reason = reason.map_or("not at all".to_owned(), |reason| reason.to_string());
            format!("closed: {reason}")
        };
        Some([ours, theirs].map(words))
    }

    /// A RST ended it in both runs, this end's or the peer's.
    fn is_broken_off(&self) -> bool {
        let reset = |conn: &Conn| {
            matches!(
                conn.closed,
                Some((_, Reason(Some(CloseKind::Reset | CloseKind::Aborted))))
            )
        };
        reset(self.predicted) && reset(self.seen)
    }
}

/// What the script could not do. When a RST comes decides which step it cuts short, and whether
/// any.
fn failures(
    end: End,
    pairs: &[Pair<'_>],
    predicted: &Ran<'_>,
    seen: &Ran<'_>,
) -> Option<[String; 2]> {
    let number = |conn: fn(&Pair<'_>) -> u64| {
        pairs
            .iter()
            .filter(|pair| pair.is_broken_off())
            .map(conn)
            .collect::<Vec<u64>>()
    };
    let broken_off = [
        number(|pair| pair.predicted.number),
        number(|pair| pair.seen.number),
    ];
    let of = |ran: &Ran<'_>, broken_off: &[u64]| -> Vec<String> {
        let steps = ran.run.steps.iter().filter(|played| {
            played.end == end && played.conn.is_none_or(|conn| !broken_off.contains(&conn))
        });
        steps
            .flat_map(|played| played.failures.iter().cloned())
            .collect()
    };
    let ours = of(predicted, &broken_off[0]);
    let theirs = of(seen, &broken_off[1]);
    let at = (0..ours.len().max(theirs.len())).find(|at| ours.get(*at) != theirs.get(*at))?;
    Some([&ours, &theirs].map(|list| {
        list.get(at)
            .map_or("no failure of the script".to_owned(), |why| {
                format!("the script: {why}")
            })
    }))
}

#[cfg(test)]
mod tests;
