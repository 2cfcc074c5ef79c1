//! Whether the two ends sent the same: SYNs, text, FINs and RSTs, however cut and whatever travels
//! together.

use super::{Pair, Ran};
use crate::end::End;
use crate::experiment::{HostPlan, Plan, Tolerance};
use crate::trace::{Body, Direction, Effect, Segment};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tcpx_proto::script::{AppAction, Step};
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::Flags;

/// A process that waited for the machine for longer than this, seconds, explains a repetition: it
/// is as long as the shortest timeout.
const BUSY: f64 = 0.001;
/// How much later than the ACK of its text a repetition may be recorded, seconds, when both were in
/// one batch.
const BATCH: f64 = 0.001;

/// What a segment is for. One that carries several is counted as each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Syn,
    Text,
    Fin,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Syn, Kind::Text, Kind::Fin];

    const fn name(self) -> &'static str {
        match self {
            Kind::Syn => "SYN",
            Kind::Text => "text",
            Kind::Fin => "FIN",
        }
    }

    fn of(segment: &Segment) -> impl Iterator<Item = Kind> {
        let has = |kind: Kind| match kind {
            Kind::Syn => segment.flags.contains(Flags::SYN),
            Kind::Text => segment.len > 0,
            Kind::Fin => segment.flags.contains(Flags::FIN),
        };
        Kind::ALL.into_iter().filter(move |kind| has(*kind))
    }
}

/// The RSTs that one end sent.
#[derive(Default, Debug)]
struct Resets {
    /// Their control bits.
    control: BTreeSet<String>,
    /// How many its gate dropped.
    dropped: u32,
}

/// What one end sent on a connection, or outside of all.
#[derive(Default, Debug)]
struct Content {
    /// The control bits of its SYNs, in order, each once.
    syns: Vec<String>,
    /// Bytes of text, from the first to the last.
    text: u32,
    /// Where its FIN stands.
    fin: Option<u32>,
    resets: Resets,
    /// URG, ECE or CWR in other segments than SYNs.
    marks: Flags,
    /// The highest number that it acknowledged.
    acked: u32,
    /// How often what was sent again most often was sent again.
    again: BTreeMap<Kind, u32>,
    /// How many its gate dropped.
    dropped: BTreeMap<Kind, u32>,
    /// Bare ACKs.
    bare: usize,
    /// What asks for an ACK: segments with SYN, text or FIN that came, probes, and reads that may
    /// open the window.
    asked: usize,
    /// The first repetition of what had been acknowledged.
    needless: Option<String>,
}

pub(super) fn difference(
    plan: &Plan,
    end: End,
    pairs: &[Pair<'_>],
    predicted: &Ran<'_>,
    seen: &Ran<'_>,
) -> Option<[String; 2]> {
    let [mut ours, mut theirs] = [predicted, seen].map(|ran| contents(ran, end));
    let resets = [&mut ours, &mut theirs].map(resets);
    let mut take = |[predicted, seen]: [Option<u64>; 2]| {
        [ours.remove(&predicted), theirs.remove(&seen)].map(Option::unwrap_or_default)
    };
    let rules = Rules {
        tolerance: &plan.tolerance,
        disturbed: is_disturbed(plan),
        busy: seen.outcome.waited >= BUSY,
    };
    for pair in pairs {
        let [ours, theirs] = take([pair.predicted.number, pair.seen.number].map(Some));
        let clean = pair.predicted.is_clean() && pair.seen.is_clean();
        if let Some(unlike) = rules.difference(&ours, &theirs, clean, pair.is_broken_off()) {
            return Some(
                unlike.map(|text| format!("connection {}: {text}", pair.seen.incarnation)),
            );
        }
    }
    let [ours, theirs] = take([None, None]);
    let broken_off = pairs.iter().any(Pair::is_broken_off);
    let outside = rules
        .difference(&ours, &theirs, false, broken_off)
        .map(|unlike| unlike.map(|text| format!("outside of connections: {text}")));
    let [ours, theirs] = resets;
    outside.or_else(|| rules.resets(&ours, &theirs, broken_off))
}

/// The RSTs of all connections: whether one that answers for a connection which is over still
/// belongs to it is a matter of the record.
fn resets(contents: &mut HashMap<Option<u64>, Content>) -> Resets {
    let mut all = Resets::default();
    for Resets { control, dropped } in contents
        .values_mut()
        .map(|content| std::mem::take(&mut content.resets))
    {
        all.control.extend(control);
        all.dropped += dropped;
    }
    all
}

/// Whether anything but the two TCPs has a hand in it: a rule of the network, a forger, a host that
/// vanishes.
fn is_disturbed(plan: &Plan) -> bool {
    let vanishes = |step: &Step| matches!(step, Step::GoSilent | Step::Restart);
    let disturbed =
        |host: &HostPlan| !host.settings.rules.is_empty() || host.script.steps.iter().any(vanishes);
    !plan.inject.is_empty() || plan.hosts.iter().any(disturbed)
}

/// What must be equal.
struct Rules<'a> {
    tolerance: &'a [Tolerance],
    disturbed: bool,
    busy: bool,
}

impl Rules<'_> {
    fn difference(
        &self,
        ours: &Content,
        theirs: &Content,
        clean: bool,
        broken_off: bool,
    ) -> Option<[String; 2]> {
        let tolerated = |what: Tolerance| self.tolerance.contains(&what);
        let unlike = |what: &str, [ours, theirs]: [String; 2]| {
            (ours != theirs).then(|| [ours, theirs].map(|value| format!("{what}: {value}")))
        };
        // A SYN that is sent again may ask for less than the first.
        let syns = |content: &Content| content.syns.join(" and ");
        let asked_less = self.busy && !ours.syns.is_empty() && theirs.syns.starts_with(&ours.syns);
        let first = unlike("SYNs", [ours, theirs].map(syns)).filter(|_| !asked_less);
        let whole = || {
            unlike(
                "bytes of text",
                [ours, theirs].map(|content| content.text.to_string()),
            )
            .or_else(|| {
                unlike(
                    "the FIN after byte",
                    [ours, theirs].map(|content| {
                        content.fin.map_or("none".to_owned(), |fin| fin.to_string())
                    }),
                )
            })
        };
        let acked = || {
            unlike(
                "the last ACK",
                [ours, theirs].map(|content| content.acked.to_string()),
            )
        };
        let first = first
            .or_else(|| whole().filter(|_| !broken_off))
            .or_else(|| acked().filter(|_| clean));
        let marks = || {
            unlike(
                "URG, ECE or CWR",
                [ours, theirs].map(|content| content.marks.to_string()),
            )
            .filter(|_| !broken_off)
        };
        let bare = || {
            let most = ours.bare + theirs.asked;
            (theirs.bare > most && !tolerated(Tolerance::Acks))
                .then(|| [format!("at most {most} bare ACKs"), theirs.bare.to_string()])
        };
        first
            .or_else(marks)
            .or_else(|| self.repetitions(ours, theirs))
            .or_else(bare)
    }

    fn resets(&self, ours: &Resets, theirs: &Resets, broken_off: bool) -> Option<[String; 2]> {
        let lacks = !ours.control.is_subset(&theirs.control);
        let more = !theirs.control.is_subset(&ours.control) && !self.busy;
        let names = |resets: &Resets| {
            format!(
                "RSTs: {}",
                resets
                    .control
                    .iter()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(" and ")
            )
        };
        let dropped = (ours.dropped > 0) != (theirs.dropped > 0);
        let count = |resets: &Resets| format!("{} RSTs dropped", resets.dropped);
        match (lacks || more) && !broken_off {
            true => Some([ours, theirs].map(names)),
            false => dropped.then(|| [ours, theirs].map(count)),
        }
    }

    /// Sent again, and dropped: as predicted where the network has a hand in it, else by need.
    fn repetitions(&self, ours: &Content, theirs: &Content) -> Option<[String; 2]> {
        if !self.disturbed {
            return theirs
                .needless
                .clone()
                .map(|needless| ["nothing again that was acknowledged".to_owned(), needless]);
        }
        let unlike = |what: &str,
                      counts: [&BTreeMap<Kind, u32>; 2],
                      equal: &dyn Fn(Kind, u32, u32) -> bool| {
            let count =
                |kind: Kind| counts.map(|counts| counts.get(&kind).copied().unwrap_or_default());
            let found = Kind::ALL.into_iter().find(|kind| {
                let [ours, theirs] = count(*kind);
                !(equal(*kind, ours, theirs) || self.busy && theirs > ours)
            })?;
            Some(count(found).map(|count| format!("{} {what} {count} times", found.name())))
        };
        let counted = !self.tolerance.contains(&Tolerance::Retransmissions);
        let again = || {
            unlike("again", [&ours.again, &theirs.again], &|_, ours, theirs| {
                !counted || ours == theirs
            })
        };
        // How many segments of text there are is a matter of cutting it.
        let dropped = |kind: Kind, ours: u32, theirs: u32| {
            if counted && kind != Kind::Text {
                ours == theirs
            } else {
                (ours > 0) == (theirs > 0)
            }
        };
        again().or_else(|| unlike("dropped", [&ours.dropped, &theirs.dropped], &dropped))
    }
}

/// What an end sent on each of its connections, and outside of all, by the connection's number.
fn contents(ran: &Ran<'_>, end: End) -> HashMap<Option<u64>, Content> {
    let log = end.of(&ran.outcome.logs);
    let until = ran.end + crate::oracle::start(&ran.outcome.logs) - log.monotonic;
    let mut isns = Isns::default();
    let mut contents: HashMap<Option<u64>, (Content, Heard)> = HashMap::new();
    for entry in log.entries.iter().take_while(|entry| entry.t <= until) {
        let (content, heard) = contents.entry(entry.conn).or_default();
        match &entry.body {
            Body::Segment(segment) => {
                let [ours, theirs] = isns.note(entry.conn, segment);
                match segment.dir {
                    Direction::Out => content.send(segment, ours, theirs, entry.t, heard),
                    Direction::In => {
                        content.asked += usize::from(heard.take(segment, ours, theirs, entry.t))
                    }
                }
            }
            Body::App(AppAction::Received(_)) => content.asked += 1,
            Body::App(_)
            | Body::State { .. }
            | Body::Closed { .. }
            | Body::Timer { .. }
            | Body::Icmp(_)
            | Body::Opened { .. }
            | Body::Accepted { .. }
            | Body::Discarded { .. }
            | Body::Deviated { .. }
            | Body::R1 { .. }
            | Body::Urgent { .. }
            | Body::Undone { .. }
            | Body::Unknown => {}
        }
    }
    contents
        .into_iter()
        .map(|(conn, (content, _))| (conn, content))
        .collect()
}

/// The ISNs of each connection, ours and the peer's: what is compared counts from there.
#[derive(Default)]
struct Isns(HashMap<Option<u64>, [Option<Seq>; 2]>);

impl Isns {
    /// Takes note of a segment and returns what its numbers count from.
    fn note(&mut self, conn: Option<u64>, segment: &Segment) -> [Seq; 2] {
        let way = usize::from(segment.dir == Direction::In);
        if segment.flags.contains(Flags::SYN) && !segment.forged {
            self.0.entry(conn).or_default()[way] = Some(segment.seq);
            self.0.entry(None).or_default()[way] = Some(segment.seq);
        }
        if conn.is_some() && !segment.forged {
            // One that grew out of a cookie: its SYNs belong to no connection.
            self.0.entry(conn).or_default()[way].get_or_insert(Seq(segment.seq.0.wrapping_sub(1)));
        }
        // A SYN that opens the next incarnation may stand in the record before that has a number.
        [0, 1].map(|way| {
            [conn, None]
                .into_iter()
                .find_map(|conn| self.0.get(&conn)?[way])
                .unwrap_or_default()
        })
    }
}

/// What came to an end on a connection.
#[derive(Default)]
struct Heard {
    /// The end of what the peer has sent.
    end: u32,
    /// What of ours was acknowledged, and when that was recorded.
    acked: Vec<(f64, u32)>,
}

impl Heard {
    /// Takes note of a segment; `true`: it asks for an ACK, as what has a number does, and a probe
    /// that repeats an old one.
    fn take(&mut self, segment: &Segment, ours: Seq, theirs: Seq, at: f64) -> bool {
        if segment.flags.contains(Flags::ACK) && Effect::of(segment.verdict) == Effect::Untouched {
            let ack = segment.ack.0.wrapping_sub(ours.0);
            if self.acked.last().is_none_or(|(_, known)| ack > *known) {
                self.acked.push((at, ack));
            }
        }
        let seq = segment.seq.0.wrapping_sub(theirs.0);
        let probe = seq < self.end;
        self.end = self.end.max(seq.wrapping_add(segment.len));
        Kind::of(segment).next().is_some()
            || segment.flags.contains(Flags::RST)
            || segment.forged
            || probe
    }

    /// Whether everything before that number was acknowledged for longer than a batch takes.
    fn has_acknowledged(&self, end: u32, at: f64) -> bool {
        let known = self.acked.partition_point(|(since, _)| *since < at - BATCH);
        known
            .checked_sub(1)
            .is_some_and(|last| self.acked[last].1 >= end)
    }
}

impl Content {
    fn send(&mut self, segment: &Segment, ours: Seq, theirs: Seq, at: f64, heard: &Heard) {
        let control = segment.flags.difference(Flags::PSH).control();
        let seq = segment.seq.0.wrapping_sub(ours.0);
        let has = |bit: Flags| segment.flags.contains(bit);
        let end = seq.wrapping_add(segment.len);
        if has(Flags::SYN) {
            if self.syns.last() != Some(&control) {
                self.syns.push(control.clone());
            }
        } else {
            for bit in [Flags::URG, Flags::ECE, Flags::CWR] {
                if has(bit) {
                    self.marks |= bit;
                }
            }
        }
        if has(Flags::RST) {
            self.resets.control.insert(control);
            self.resets.dropped += u32::from(Effect::of(segment.verdict) == Effect::Dropped);
        } else if has(Flags::ACK) {
            self.acked = self.acked.max(segment.ack.0.wrapping_sub(theirs.0));
        }
        if segment.len > 0 {
            self.text = self.text.max(end.wrapping_sub(1));
        }
        if has(Flags::FIN) {
            self.fin = Some(end.wrapping_sub(1));
        }
        for kind in Kind::of(segment) {
            let again = self.again.entry(kind).or_default();
            *again = (*again).max(segment.retransmission);
            *self.dropped.entry(kind).or_default() +=
                u32::from(Effect::of(segment.verdict) == Effect::Dropped);
        }
        if Kind::of(segment).next().is_none() && !has(Flags::RST) {
            self.bare += 1;
        }
        // A probe repeats one byte on purpose.
        let whole =
            segment.retransmission > 0 && !has(Flags::SYN) && (segment.len > 1 || has(Flags::FIN));
        if whole && heard.has_acknowledged(end + u32::from(has(Flags::FIN)), at) {
            self.needless.get_or_insert(format!(
                "{} seq {seq} len {} again",
                segment.flags.control(),
                segment.len
            ));
        }
    }
}
