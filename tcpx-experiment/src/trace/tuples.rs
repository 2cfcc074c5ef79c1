//! Which entries of two records belong to which four-tuple.

use super::{Body, Direction, Entry, Header, Log};
use crate::end::End;
use std::collections::HashMap;
use std::net::SocketAddr;

/// The four-tuples that either end knows, A's end first, in order of appearance.
pub(super) struct Tuples {
    pub(super) all: Vec<[SocketAddr; 2]>,
    /// Of each connection of either end, its four-tuple.
    of: [HashMap<u64, usize>; 2],
}

/// To which four-tuples the segments with a header belong, by the direction in which they passed.
type Owners = HashMap<(Direction, Header), Vec<Option<usize>>>;

impl Tuples {
    pub(super) fn of(logs: [&Log; 2]) -> Tuples {
        let mut tuples = Tuples {
            all: Vec::new(),
            of: Default::default(),
        };
        let mut known = HashMap::new();
        for end in End::BOTH {
            for entry in &logs[end as usize].entries {
                let (Body::Opened { local, remote, .. }, Some(conn)) = (&entry.body, entry.conn)
                else {
                    continue;
                };
                let ends = if end == End::A {
                    [*local, *remote]
                } else {
                    [*remote, *local]
                };
                let nth = *known.entry(ends).or_insert_with(|| {
                    tuples.all.push(ends);
                    tuples.all.len() - 1
                });
                tuples.of[end as usize].insert(conn, nth);
            }
        }
        tuples
    }

    fn owners(&self, end: End, log: &Log) -> Owners {
        let mut owners = Owners::new();
        for entry in &log.entries {
            let Body::Segment(segment) = &entry.body else {
                continue;
            };
            let owner = entry.conn.map(|conn| end.of(&self.of).get(&conn).copied());
            // One whose connection was never opened is in no conversation.
            if owner != Some(None) {
                owners
                    .entry((segment.dir, segment.header()))
                    .or_default()
                    .push(owner.flatten());
            }
        }
        owners
    }

    /// Of each four-tuple what an end's record has of it. A segment without a connection carries no
    /// addresses: it belongs where the other end, or the other side of a host that speaks to
    /// itself, has it.
    pub(super) fn entries<'a>(&self, end: End, logs: [&'a Log; 2]) -> Vec<Vec<&'a Entry>> {
        let mut conversations: Vec<Vec<&Entry>> = vec![Vec::new(); self.all.len()];
        let [own, others] = [end, end.other()].map(|end| self.owners(end, logs[end as usize]));
        let to_itself = |nth: usize| self.all[nth][0].ip() == self.all[nth][1].ip();
        for entry in &logs[end as usize].entries {
            match (entry.conn, &entry.body) {
                (Some(conn), _) => {
                    if let Some(nth) = end.of(&self.of).get(&conn) {
                        conversations[*nth].push(entry);
                    }
                }
                (None, Body::Segment(segment)) => {
                    let there = (
                        if segment.dir == Direction::In {
                            Direction::Out
                        } else {
                            Direction::In
                        },
                        segment.header(),
                    );
                    let mut places = Vec::new();
                    for (owners, itself) in [(&own, true), (&others, false)] {
                        let found = || owners.get(&there).into_iter().flatten();
                        let all = found().any(Option::is_none).then_some(0..self.all.len());
                        places.extend(
                            found()
                                .flatten()
                                .copied()
                                .chain(all.into_iter().flatten())
                                .filter(|nth| to_itself(*nth) == itself),
                        );
                    }
                    places.sort_unstable();
                    places.dedup();
                    places
                        .into_iter()
                        .for_each(|nth| conversations[nth].push(entry));
                }
                _ => {}
            }
        }
        conversations
    }
}
