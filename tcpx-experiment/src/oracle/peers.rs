//! Which connection of one end belongs to which of the other: a four-tuple has many in a row.

use super::conns::{Conn, Syn};
use crate::end::End;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use tcpx_proto::seq::Seq;

/// How much earlier a receipt may be stamped than its sending, seconds.
const SLACK: f64 = 0.002;

/// Of an end's connection of a number, where its peer is in the list. The list is in the order in
/// which they were opened.
///
/// A passive connection belongs to the active one with which it exchanged SYNs: their ISNs and
/// identifications tell incarnations apart, where a time tells nothing when five of them live and
/// die within two milliseconds. An active one belongs, of the passive ones that belong to it, to
/// the one that was established when it was: an old SYN may have opened another.
pub(super) fn peers(conns: &[Conn]) -> HashMap<(usize, u64), usize> {
    let mut tuples: BTreeMap<[SocketAddr; 2], [Vec<usize>; 2]> = BTreeMap::new();
    for (nth, conn) in conns.iter().enumerate() {
        let (own, peer) = conn.ends;
        let tuple = if conn.end == End::A {
            [own, peer]
        } else {
            [peer, own]
        };
        tuples.entry(tuple).or_default()[conn.end as usize].push(nth);
    }
    let mut peers = HashMap::new();
    for members in tuples.values() {
        for end in End::BOTH {
            let own = &members[end as usize];
            let theirs = Actives::of(conns, &members[end.other() as usize]);
            let passive = own.iter().copied().filter(|nth| conns[*nth].passive);
            let pairs: Vec<(usize, usize)> = passive
                .filter_map(|nth| Some((nth, theirs.of_passive(&conns[nth])?)))
                .collect();
            peers.extend(
                pairs
                    .iter()
                    .map(|(passive, active)| (key(&conns[*passive]), *active)),
            );
            let mut nearest: HashMap<usize, usize> = HashMap::new();
            let apart = |one: usize, other: usize| {
                (conns[one].established() - conns[other].established()).abs()
            };
            let both_active = own
                .iter()
                .filter_map(|nth| Some((*nth, theirs.of_active(&conns[*nth])?)));
            for (candidate, active) in pairs.into_iter().chain(both_active) {
                let known = nearest.entry(active).or_insert(candidate);
                if apart(candidate, active) < apart(*known, active) {
                    *known = candidate;
                }
            }
            peers.extend(
                nearest
                    .into_iter()
                    .map(|(active, candidate)| (key(&conns[active]), candidate)),
            );
        }
    }
    peers
}

fn key(conn: &Conn) -> (usize, u64) {
    (conn.end as usize, conn.number)
}

/// The active connections of one end on a four-tuple, by what the other end can know of each.
struct Actives<'a> {
    conns: &'a [Conn],
    /// In the order in which they were opened.
    all: Vec<usize>,
    /// By the SYNs that came to it, and by those that it sent.
    heard: HashMap<Syn, usize>,
    sent: HashMap<Syn, usize>,
    by_isn: HashMap<Seq, Vec<usize>>,
}

impl<'a> Actives<'a> {
    fn of(conns: &'a [Conn], members: &[usize]) -> Actives<'a> {
        let all: Vec<usize> = members
            .iter()
            .copied()
            .filter(|nth| !conns[*nth].passive)
            .collect();
        let syns = |way: usize| {
            all.iter()
                .flat_map(move |nth| conns[*nth].syns[way].iter().map(move |syn| (*syn, *nth)))
                .collect()
        };
        let sent = syns(0);
        let heard = syns(1);
        let mut by_isn: HashMap<Seq, Vec<usize>> = HashMap::new();
        for nth in &all {
            conns[*nth].syns[0]
                .first()
                .into_iter()
                .for_each(|syn| by_isn.entry(syn.seq).or_default().push(*nth));
        }
        Actives {
            conns,
            all,
            heard,
            sent,
            by_isn,
        }
    }

    /// The one that heard its SYN,ACK; else the one whose SYN opened it; else, where the gate
    /// rewrote that or a cookie stood for it, the last one with that ISN that was opened before it;
    /// else the last one that was.
    fn of_passive(&self, passive: &Conn) -> Option<usize> {
        let [answers, opened_by] = &passive.syns;
        let heard = answers.iter().find_map(|syn| self.heard.get(syn));
        let sent = || opened_by.iter().find_map(|syn| self.sent.get(syn));
        let earlier = |list: &[usize]| {
            let earlier =
                list.partition_point(|nth| self.conns[*nth].opened <= passive.opened + SLACK);
            earlier.checked_sub(1).map(|last| list[last])
        };
        let same_isn = || {
            passive
                .peers_isn
                .and_then(|isn| self.by_isn.get(&isn))
                .and_then(|list| earlier(list))
        };
        heard
            .or_else(sent)
            .copied()
            .or_else(same_isn)
            .or_else(|| earlier(&self.all))
    }

    /// Of two that opened at the same time, the one whose SYN came; else that of the same number.
    fn of_active(&self, active: &Conn) -> Option<usize> {
        let linked = active.syns[1]
            .iter()
            .find_map(|syn| self.sent.get(syn))
            .copied();
        let same_number = || {
            self.all
                .iter()
                .copied()
                .find(|nth| self.conns[*nth].incarnation == active.incarnation)
        };
        linked.or_else(same_number).filter(|_| !active.passive)
    }
}
