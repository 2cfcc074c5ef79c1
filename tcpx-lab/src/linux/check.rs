//! Whether a log of one end says what was captured there: each segment of one is in the other, with
//! the same header at the same time.

use super::capture::Packet;
use super::segments::{Captured, captured};
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use tcpx_experiment::trace::{Body, Direction, Header, Log, Segment};
use tcpx_proto::fault::VerdictKind;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::Flags;

/// How far log and capture may differ. The default is an end that recorded to its end and kept
/// nothing.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Allowance {
    /// By how many seconds: the capture stamps a packet at the device, the log when its writer
    /// handled it.
    pub seconds: f64,
    /// The end's gate may have kept incoming segments forever (`hold`, or `delay` past the end):
    /// they are in no log.
    pub kept: bool,
    /// From when on it was silent, seconds of the log: nothing that came later is in it, and
    /// nothing was sent.
    pub silent_from: Option<f64>,
    /// When the run ended, seconds of the log: what came later need be neither in the log nor
    /// captured. Its writer went then, and the kernel answered in its place.
    pub until: f64,
}

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance {
            seconds: 0.05,
            kept: false,
            silent_from: None,
            until: f64::INFINITY,
        }
    }
}

/// Holds a log of the end at `own` against the capture of that end:
///
/// - What it records as sent was captured, and what it records as dropped by its gate was not.
/// - What it records as received was captured, also where its gate dropped it. A gate that lets a segment
///   go later logs it later; one that rewrites or corrupts a segment logs what it made of it, of
///   which either the id or the rest of the header is compared.
/// - What was captured from or to the ports of its connections is in the log. Excused is what came
///   in after the last line, since the writer may have ended by then, and what went out after the last line of one that was killed.
///
/// The capture must have been started before the end, and stopped after it. Forged packets that
/// claim to be from `own` are not known as such: the caller takes them out.
///
/// # Errors
/// The first segment that disagrees, in words.
pub fn check(
    log: &Log,
    packets: &[Packet],
    own: Ipv4Addr,
    allow: &Allowance,
) -> Result<(), String> {
    let on_its_clock = |seen: Captured| Captured {
        at: seen.at - log.monotonic,
        ..seen
    };
    let captured: Vec<Captured> = captured(packets, own)
        .into_iter()
        .map(on_its_clock)
        .collect();
    let mut seen = Seen::of(&captured);
    let connections = log.connections();
    for entry in log
        .entries
        .iter()
        .take_while(|entry| entry.t <= allow.until)
    {
        let Body::Segment(segment) = &entry.body else {
            continue;
        };
        if segment.dir == Direction::Out && segment.verdict == VerdictKind::Drop {
            continue;
        }
        let logged = Logged {
            at: entry.t,
            segment,
            ends: entry.conn.and_then(|conn| connections.get(&conn).copied()),
        };
        logged
            .find(&mut seen, allow)
            .map_err(|why| format!("{}: {why}", log.role))?;
    }
    let ours: HashSet<SocketAddr> = connections.values().map(|(local, _)| *local).collect();
    let last = log.entries.last().map_or(0.0, |entry| entry.t);
    let excused = |seen: &Captured| {
        let silent = allow
            .silent_from
            .is_some_and(|from| seen.at + allow.seconds >= from);
        let over = seen.at + allow.seconds > allow.until;
        // Before its record began a host only proved that its guard holds.
        over || seen.at < 0.0
            || match seen.segment.dir {
                Direction::Out => log.truncated && seen.at > last,
                Direction::In => allow.kept || silent || seen.at > last,
            }
    };
    let missing = seen
        .unmatched()
        .find(|seen| ours.contains(&seen.own) && !excused(seen));
    match missing {
        Some(seen) => Err(format!(
            "{}: captured, and not in the log: {}",
            log.role,
            words(&seen.segment, seen.at)
        )),
        None => Ok(()),
    }
}

/// The captured segments that lines of the log may mean, by what such a line has of them.
struct Seen<'a> {
    all: &'a [Captured],
    matched: Vec<bool>,
    by_header: HashMap<(Direction, Header), Vec<usize>>,
    by_id: HashMap<(Direction, u16), Vec<usize>>,
    by_rest: HashMap<(Direction, Rest), Vec<usize>>,
}

/// A header without its identification.
type Rest = (Seq, Seq, u32, Flags);

fn rest(segment: &Segment) -> Rest {
    (segment.seq, segment.ack, segment.len, segment.flags)
}

impl<'a> Seen<'a> {
    fn of(all: &'a [Captured]) -> Seen<'a> {
        let by_header = HashMap::new();
        let by_id = HashMap::new();
        let by_rest = HashMap::new();
        let mut seen = Seen {
            all,
            matched: vec![false; all.len()],
            by_header,
            by_id,
            by_rest,
        };
        for (nth, Captured { segment, .. }) in all.iter().enumerate() {
            seen.by_header
                .entry((segment.dir, segment.header()))
                .or_default()
                .push(nth);
            seen.by_id
                .entry((segment.dir, segment.id))
                .or_default()
                .push(nth);
            seen.by_rest
                .entry((segment.dir, rest(segment)))
                .or_default()
                .push(nth);
        }
        seen
    }

    /// Those that a line about this segment may mean. Of one that the gate altered either the id or
    /// the rest is left.
    fn like(&self, segment: &Segment) -> Vec<usize> {
        let [header, id, rest] = match segment.is_altered() {
            true => [
                None,
                self.by_id.get(&(segment.dir, segment.id)),
                self.by_rest.get(&(segment.dir, rest(segment))),
            ],
            false => [
                self.by_header.get(&(segment.dir, segment.header())),
                None,
                None,
            ],
        };
        [header, id, rest]
            .into_iter()
            .flatten()
            .flatten()
            .copied()
            .collect()
    }

    fn unmatched(&self) -> impl Iterator<Item = &'a Captured> {
        self.all
            .iter()
            .zip(&self.matched)
            .filter(|(_, matched)| !**matched)
            .map(|(seen, _)| seen)
    }
}

/// A segment as the log has it.
struct Logged<'a> {
    at: f64,
    segment: &'a Segment,
    /// Its addresses, where it belongs to a connection.
    ends: Option<(SocketAddr, SocketAddr)>,
}

impl Logged<'_> {
    /// Marks the captured segment that this is.
    fn find(&self, seen: &mut Seen<'_>, allow: &Allowance) -> Result<(), String> {
        let here = self.at;
        // A copy that the gate made of an incoming segment was captured once.
        let copies =
            self.segment.dir == Direction::In && self.segment.verdict == VerdictKind::Duplicate;
        let its_ends =
            |other: &Captured| self.ends.is_none_or(|ends| ends == (other.own, other.peer));
        let fitting = seen
            .like(self.segment)
            .into_iter()
            .filter(|nth| (copies || !seen.matched[*nth]) && its_ends(&seen.all[*nth]));
        // What the gate altered is like more than one: like its repetition, too, which has another
        // identification.
        let unlike = |nth: usize| {
            (
                seen.matched[nth],
                seen.all[nth].segment.id != self.segment.id,
            )
        };
        let away = |nth: usize| (seen.all[nth].at - here).abs();
        let nearest = fitting.min_by(|x, y| {
            unlike(*x)
                .cmp(&unlike(*y))
                .then(away(*x).total_cmp(&away(*y)))
        });
        let Some(other) = nearest else {
            return Err(self.lost(seen));
        };
        let late = here - seen.all[other].at;
        if late < -allow.seconds || late > allow.seconds && !self.let_go_later() {
            let log = if late < 0.0 { "earlier" } else { "later" };
            let capture = late.abs();
            return Err(format!(
                "{} is {capture:.6} s {log} in the log than it was captured",
                self.words()
            ));
        }
        seen.matched[other] = true;
        Ok(())
    }

    /// An incoming segment is logged when the gate lets it go.
    fn let_go_later(&self) -> bool {
        let later = match self.segment.verdict {
            VerdictKind::Delay
            | VerdictKind::Reorder
            | VerdictKind::Trickle
            | VerdictKind::Hold
            | VerdictKind::Duplicate => true,
            VerdictKind::Pass | VerdictKind::Drop | VerdictKind::Corrupt | VerdictKind::Rewrite => {
                false
            }
        };
        later && self.segment.dir == Direction::In
    }

    /// It was not captured; the captured segment that is most similar to it.
    fn lost(&self, seen: &Seen<'_>) -> String {
        let ours = self.segment;
        let here = self.at;
        let similarity = |theirs: &Segment| {
            let equal = [
                ours.id == theirs.id,
                ours.seq == theirs.seq,
                ours.ack == theirs.ack,
                ours.len == theirs.len,
                ours.flags == theirs.flags,
            ];
            equal.iter().filter(|equal| **equal).count()
        };
        let same_way = seen
            .unmatched()
            .filter(|other| other.segment.dir == ours.dir);
        let nearest = same_way.max_by(|x, y| {
            let away = |other: &Captured| (other.at - here).abs();
            similarity(&x.segment)
                .cmp(&similarity(&y.segment))
                .then(away(y).total_cmp(&away(x)))
        });
        let instead = nearest.map(|other| {
            format!(
                "; most like it was captured {}",
                words(&other.segment, other.at)
            )
        });
        format!(
            "in the log, and not captured: {}{}",
            self.words(),
            instead.unwrap_or_default()
        )
    }

    fn words(&self) -> String {
        words(self.segment, self.at)
    }
}

/// A header in words, and when.
fn words(segment: &Segment, at: f64) -> String {
    let way = if segment.dir == Direction::Out {
        "out"
    } else {
        "in"
    };
    let Segment {
        flags,
        seq,
        ack,
        len,
        id,
        ..
    } = segment;
    let seq = seq.0;
    let ack = ack.0;
    format!("{way} {flags} seq {seq} ack {ack} len {len} id {id} at {at:.6} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::sample::Sample;
    use crate::linux::segments::segments;
    use tcpx::netns::{A, B};
    use tcpx_experiment::trace::{Entry, Role};

    const BOOT: f64 = 100.0;

    fn packet(
        at: f64,
        out: bool,
        flags: &'static str,
        (seq, ack): (u32, u32),
        text: &'static [u8],
        id: u16,
    ) -> Packet {
        Sample {
            at: BOOT + at,
            out,
            flags,
            seq,
            ack,
            text,
            id,
            scale: None,
        }
        .packet()
    }

    /// A client's handshake, a question, and the answer with a FIN.
    fn capture() -> Vec<Packet> {
        vec![
            packet(0.1, true, "S", (100, 0), b"", 1),
            packet(0.2, false, "SA", (300, 101), b"", 1),
            packet(0.3, true, "A", (101, 301), b"", 2),
            packet(0.4, true, "PA", (101, 301), b"ask", 3),
            packet(0.5, false, "FA", (301, 104), b"reply", 2),
            packet(0.6, true, "A", (104, 307), b"", 4),
        ]
    }

    /// What the client would have logged.
    fn log(packets: &[Packet]) -> Log {
        let opened = Body::Opened {
            local: SocketAddr::new(A.into(), 9),
            remote: SocketAddr::new(B.into(), 7),
            passive: false,
        };
        let mut entries = vec![Entry {
            t: 0.0,
            conn: Some(1),
            body: opened,
        }];
        entries.extend(segments(packets, A).into_iter().map(|entry| Entry {
            t: entry.t - BOOT + 0.001,
            ..entry
        }));
        Log {
            role: Role::Client,
            monotonic: BOOT,
            realtime: 1e9,
            entries,
            truncated: false,
        }
    }

    /// The n-th segment, counted from 0.
    fn segment(log: &mut Log, number: usize) -> &mut Segment {
        match &mut log.entries[number + 1].body {
            Body::Segment(segment) => segment,
            other => panic!("{other:?}"),
        }
    }

    fn verdict(log: &Log, packets: &[Packet]) -> Result<(), String> {
        check(log, packets, A, &Allowance::default())
    }

    #[test]
    fn log_that_says_what_was_captured_agrees() {
        assert_eq!(verdict(&log(&capture()), &capture()), Ok(()));
    }

    #[test]
    fn log_with_any_header_field_wrong_disagrees_and_names_the_segment() {
        type Wrong = fn(&mut Segment);
        let wrongs: [(&str, Wrong); 6] = [
            ("seq 102", |segment| segment.seq += 1),
            ("ack 302", |segment| segment.ack += 1),
            ("out A ", |segment| segment.flags = Flags::ACK),
            ("len 4", |segment| segment.len += 1),
            ("id 77", |segment| segment.id = 77),
            ("in PA", |segment| segment.dir = Direction::In),
        ];
        for (named, wrong) in wrongs {
            let mut log = log(&capture());
            wrong(segment(&mut log, 3));
            let why = verdict(&log, &capture()).unwrap_err();
            assert!(
                why.starts_with("client: in the log, and not captured") && why.contains(named),
                "{why}"
            );
        }
    }

    #[test]
    fn log_that_lacks_or_invents_a_segment_disagrees() {
        for number in 0..6 {
            let mut less = log(&capture());
            let mut more = log(&capture());
            less.entries.remove(number + 1);
            more.entries
                .insert(number + 1, more.entries[number + 1].clone());
            let why = verdict(&less, &capture()).unwrap_err();
            assert!(why.contains("captured, and not in the log"), "{why}");
            let why = verdict(&more, &capture()).unwrap_err();
            assert!(why.contains("in the log, and not captured"), "{why}");
        }
    }

    #[test]
    fn log_of_other_times_disagrees() {
        for (late, word) in [(0.06, "later"), (-0.06, "earlier")] {
            let mut log = log(&capture());
            log.entries[3].t += late;
            let why = verdict(&log, &capture()).unwrap_err();
            assert!(why.contains(word) && why.contains("out A seq 101"), "{why}");
        }
    }

    #[test]
    fn segment_that_its_gate_dropped_is_captured_when_it_came_in_and_not_when_it_went_out() {
        let mut dropped = log(&capture());
        segment(&mut dropped, 4).verdict = VerdictKind::Drop;
        assert_eq!(verdict(&dropped, &capture()), Ok(()));
        segment(&mut dropped, 3).verdict = VerdictKind::Drop;
        let mut without = capture();
        without.remove(3);
        assert_eq!(verdict(&dropped, &without), Ok(()));
        assert!(
            verdict(&dropped, &capture())
                .unwrap_err()
                .contains("not in the log: out PA")
        );
    }

    #[test]
    fn segment_that_its_gate_changed_is_not_taken_for_its_repetition() {
        let mut packets = capture();
        packets.insert(5, packet(0.51, false, "FA", (301, 104), b"reply", 3));
        let mut log = log(&packets);
        segment(&mut log, 4).verdict = VerdictKind::Corrupt;
        // Both were there when the host woke up.
        log.entries[5].t = log.entries[6].t;
        assert_eq!(verdict(&log, &packets), Ok(()));
    }

    #[test]
    fn segment_that_its_gate_let_go_later_doubled_or_changed_agrees() {
        let mut changed = log(&capture());
        changed.entries[2].t += 3.0;
        segment(&mut changed, 1).verdict = VerdictKind::Delay;
        assert_eq!(verdict(&changed, &capture()), Ok(()));
        segment(&mut changed, 4).verdict = VerdictKind::Duplicate;
        changed.entries.insert(6, changed.entries[5].clone());
        assert_eq!(verdict(&changed, &capture()), Ok(()));
        let mut changed = log(&capture());
        let answer = segment(&mut changed, 4);
        (answer.verdict, answer.ack) = (VerdictKind::Rewrite, Seq(9));
        assert_eq!(verdict(&changed, &capture()), Ok(()));
        segment(&mut changed, 4).id = 99;
        assert!(verdict(&changed, &capture()).is_err());
        segment(&mut changed, 4).ack = Seq(104);
        assert_eq!(verdict(&changed, &capture()), Ok(()));
    }

    #[test]
    fn end_that_is_gone_is_excused_for_what_came_and_not_for_what_went() {
        let mut packets = capture();
        packets.push(packet(0.9, false, "A", (307, 104), b"", 9));
        assert_eq!(verdict(&log(&capture()), &packets), Ok(()));
        packets.push(packet(1.0, true, "R", (104, 0), b"", 0));
        assert!(
            verdict(&log(&capture()), &packets)
                .unwrap_err()
                .contains("not in the log: out R")
        );
        assert_eq!(
            check(
                &log(&capture()),
                &packets,
                A,
                &Allowance {
                    until: 0.9,
                    ..Allowance::default()
                }
            ),
            Ok(()),
            "after the run"
        );
        let silent = Allowance {
            silent_from: Some(0.55),
            ..Allowance::default()
        };
        let mut silenced = log(&capture());
        silenced.entries.remove(5);
        assert!(verdict(&silenced, &capture()).is_err());
        assert!(
            check(
                &silenced,
                &capture(),
                A,
                &Allowance {
                    silent_from: Some(0.7),
                    ..silent
                }
            )
            .is_err()
        );
        silenced.entries[4].t = 0.41;
        assert_eq!(check(&silenced, &capture(), A, &silent), Ok(()));
    }

    #[test]
    fn ports_of_others_are_not_looked_at() {
        let mut packets = capture();
        let mut other = packet(0.45, true, "S", (1, 0), b"", 5);
        other.bytes[21] = 8;
        packets.push(other);
        assert_eq!(verdict(&log(&capture()), &packets), Ok(()));
    }
}
