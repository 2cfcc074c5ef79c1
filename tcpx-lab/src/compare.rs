//! Whether the wire showed what the simulation foretold: the same states, octets and segments, in the same order; not the same times.

use crate::events::{Direction, Log, What};
use crate::exchange::End;
use crate::experiment::Tolerance;
use crate::oracle::Run;
use crate::world::Outcome;
use std::collections::BTreeMap;

/// The first difference, if there is one.
pub fn difference(foretold: &Outcome, seen: &Outcome, tolerance: &[Tolerance]) -> Option<String> {
    End::BOTH.into_iter().find_map(|end| {
        let [sim, wire] = [foretold, seen].map(|outcome| digest(outcome, end, tolerance));
        let unequal = |(sim, wire): (&Vec<String>, &Vec<String>)| {
            let at = (0..sim.len().max(wire.len())).find(|at| sim.get(*at) != wire.get(*at))?;
            let of = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "nothing more".to_owned());
            Some(format!("at {end} the simulation foretold [{}], the wire showed [{}]", of(sim), of(wire)))
        };
        sim.iter().zip(&wire).find_map(unequal)
    })
}

/// What is compared: the states and octets of each connection, and what was sent.
fn digest(outcome: &Outcome, end: End, tolerance: &[Tolerance]) -> [Vec<String>; 2] {
    let run = Run::new(&outcome.logs, outcome.end, f64::INFINITY);
    let mut conns = Vec::new();
    for conn in run.conns.iter().filter(|conn| conn.end == end) {
        let number = conn.incarnation;
        conns.extend(conn.states.iter().map(|(_, state, on)| format!("connection {number}: {state} on {on}")));
        conns.push(format!("connection {number} received \"{}\"", conn.received));
        conns.extend(conn.closed.iter().map(|(_, reason)| format!("connection {number} closed: {reason}")));
    }
    let failures = run.deeds.iter().filter(|deed| deed.end == end).flat_map(|deed| deed.failures.iter());
    conns.extend(failures.map(|why| format!("the script: {why}")));
    let log = end.of(&outcome.logs);
    let until = outcome.end + crate::oracle::start(&outcome.logs) - log.monotonic;
    let sent = if tolerance.contains(&Tolerance::Segments) { Vec::new() } else { sent(log, until, tolerance) };
    [conns, sent]
}

/// Each segment that left for the network, with numbers relative to the two SYNs.
fn sent(log: &Log, until: f64, tolerance: &[Tolerance]) -> Vec<String> {
    let (mut ours, mut theirs): (BTreeMap<Option<u64>, u32>, BTreeMap<Option<u64>, u32>) = Default::default();
    let mut lines = Vec::new();
    for entry in log.entries.iter().take_while(|entry| entry.t <= until) {
        let What::Segment(segment) = &entry.what else { continue };
        if segment.flags.contains('S') && !segment.forged {
            let side = if segment.dir == Direction::Out { &mut ours } else { &mut theirs };
            side.extend([(entry.conn, segment.seq), (None, segment.seq)]);
        }
        if let (Some(_), false) = (entry.conn, segment.forged) {
            // One that grew out of a cookie: its SYNs belong to no connection.
            let side = if segment.dir == Direction::Out { &mut ours } else { &mut theirs };
            side.entry(entry.conn).or_insert(segment.seq.wrapping_sub(1));
        }
        // A SYN that opens the next incarnation may stand in the record before that has a number.
        let relative = |number: u32, side: &BTreeMap<Option<u64>, u32>| {
            number.wrapping_sub(side.get(&entry.conn).or_else(|| side.get(&None)).copied().unwrap_or(0))
        };
        if segment.dir != Direction::Out || tolerated(segment, tolerance) {
            continue;
        }
        let dropped = if segment.verdict == "drop" { " (dropped)" } else { "" };
        let again = if segment.retransmission > 0 { " again" } else { "" };
        let ack = if segment.flags.contains('A') { format!(" ack {}", relative(segment.ack, &theirs)) } else { String::new() };
        let line = format!("{} seq {}{ack} len {}{again}{dropped}", segment.control(), relative(segment.seq, &ours), segment.len);
        lines.push(line);
    }
    lines
}

fn tolerated(segment: &crate::events::Segment, tolerance: &[Tolerance]) -> bool {
    let bare = segment.flags == "A" && segment.len == 0;
    bare && tolerance.contains(&Tolerance::Acks) || segment.retransmission > 0 && tolerance.contains(&Tolerance::Retransmissions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{File, handshake};

    /// What the server saw of a client that brought a cookie back, which is the server's ISN.
    fn outcome(cookie: u32) -> Outcome {
        let (client, _) = handshake();
        let server = File::new("server", 50.0)
            .receives(0.1, ("A", 101, cookie + 1, 0), 1, "pass")
            .state(0.1, "SYN-RECEIVED", "ESTABLISHED", "ACK of SYN")
            .sends(0.2, ("PA", cookie + 1, 101, 5), "pass");
        let logs = [client.log(), server.log()];
        Outcome { logs, end: 1.0, events: Default::default(), captures: Default::default(), waited: 0.0, notes: Vec::new() }
    }

    #[test]
    fn connections_from_cookies_are_compared_from_their_own_isn() {
        assert_eq!(difference(&outcome(7_000), &outcome(900_000), &[]), None);
        let sent = sent(&outcome(7_000).logs[1], 1.0, &[]);
        assert_eq!(sent, ["PSH,ACK seq 1 ack 1 len 5"]);
    }

    #[test]
    fn syn_under_the_connection_before_still_gives_the_numbers_of_the_next() {
        let server = File::passive(50.0).receives(1.0, ("S", 100, 0, 0), 1, "pass").sends(1.0, ("SA", 300, 101, 0), "pass");
        let again = server.receives(5.0, ("S", 7000, 0, 0), 2, "pass").again().sends(5.1, ("SA", 9000, 7001, 0), "pass");
        let line = "SYN,ACK seq 0 ack 1 len 0";
        assert_eq!(sent(&again.log(), 10.0, &[]), [line, line]);
    }
}
