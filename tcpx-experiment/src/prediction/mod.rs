//! Whether the wire showed what the simulation foretold: the same octets, the same ways through the
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
use crate::oracle::{Conn, Run};
use crate::world::Outcome;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tcpx_proto::config::Detour;

/// How far apart, seconds, two things may be foretold that do not wait for each other and may come
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
    /// The run without what it showed in so many seconds before its end.
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
    foretold: &'a Conn,
    seen: &'a Conn,
}

/// What tells a connection of one end in any run: its four-tuple, and which of those on it it is.
type Name = ((SocketAddr, SocketAddr), usize);

/// The first difference, if there is one.
pub fn difference(plan: &Plan, foretold: &Outcome, seen: &Outcome) -> Option<String> {
    let margin = RACE + 2.0 * seen.waited;
    let between = |early: [f64; 2]| {
        let [foretold, seen] = [Ran::new(foretold, early[0]), Ran::new(seen, early[1])];
        let unlike = End::BOTH
            .into_iter()
            .find_map(|end| Some((end, at_an_end(plan, end, &foretold, &seen)?)));
        unlike.map(|(end, [foretold, seen])| {
            format!("at {end} the simulation foretold [{foretold}], the wire showed [{seen}]")
        })
    };
    let whole = between([0.0; 2])?;
    // What comes just before the limit in one run comes just after it in the other.
    let at_the_limit = foretold.end >= plan.limit.as_secs_f64();
    let excused = at_the_limit
        && [[0.0, margin], [margin, 0.0], [margin; 2]]
            .into_iter()
            .any(|early| between(early).is_none());
    (!excused).then_some(whole)
}

fn at_an_end(plan: &Plan, end: End, foretold: &Ran<'_>, seen: &Ran<'_>) -> Option<[String; 2]> {
    let [ours, theirs] = [foretold, seen].map(|ran| named(&ran.run, end));
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
        .map(|(foretold, seen)| Pair { foretold, seen })
        .collect();
    let detours = &end.of(&plan.hosts).settings.config.conn.detours;
    let of_one = |pair: &Pair<'_>| {
        pair.difference(detours, foretold, seen)
            .map(|unlike| unlike.map(|text| format!("connection {} {text}", pair.seen.incarnation)))
    };
    pairs
        .iter()
        .find_map(of_one)
        .or_else(|| failures(end, &pairs, foretold, seen))
        .or_else(|| match plan.tolerance.contains(&Tolerance::Segments) {
            true => None,
            false => sent::difference(plan, end, &pairs, foretold, seen),
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
        foretold: &Ran<'_>,
        seen: &Ran<'_>,
    ) -> Option<[String; 2]> {
        let both = || [self.foretold, self.seen];
        if let Some(unlike) = walk::difference(self, detours, foretold, seen) {
            return Some(unlike);
        }
        let [ours, theirs] = both().map(|conn| conn.received.as_str());
        // A RST throws away what the application has not read yet: how much that is depends on when
        // it reads.
        let begins = ours.starts_with(theirs) || theirs.starts_with(ours);
        if ours != theirs && !(begins && self.is_broken_off()) {
            return Some([ours, theirs].map(|text| format!("received \"{text}\"")));
        }
        let [ours, theirs] = both().map(|conn| {
            conn.closed
                .as_ref()
                .map_or("not at all", |(_, reason)| reason.as_str())
        });
        (ours != theirs && !self.is_broken_off())
            .then(|| [ours, theirs].map(|reason| format!("closed: {reason}")))
    }

    /// A RST ended it in both runs, this end's or the peer's.
    fn is_broken_off(&self) -> bool {
        let reset = |conn: &Conn| {
            conn.closed
                .as_ref()
                .is_some_and(|(_, reason)| ["reset", "aborted"].contains(&reason.as_str()))
        };
        reset(self.foretold) && reset(self.seen)
    }
}

/// What the script could not do. When a RST comes decides which step it cuts short, and whether
/// any.
fn failures(
    end: End,
    pairs: &[Pair<'_>],
    foretold: &Ran<'_>,
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
        number(|pair| pair.foretold.number),
        number(|pair| pair.seen.number),
    ];
    let of = |ran: &Ran<'_>, broken_off: &[u64]| -> Vec<String> {
        let deeds = ran.run.deeds.iter().filter(|deed| {
            deed.end == end && deed.conn.is_none_or(|conn| !broken_off.contains(&conn))
        });
        deeds
            .flat_map(|deed| deed.failures.iter().cloned())
            .collect()
    };
    let (ours, theirs) = (of(foretold, &broken_off[0]), of(seen, &broken_off[1]));
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
