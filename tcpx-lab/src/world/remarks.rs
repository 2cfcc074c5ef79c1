//! What a record says of captured packets: the comments in a capture.

use crate::linux::capture::Packet;
use std::collections::HashMap;
use tcpx_experiment::trace::{Body, Direction, Log};
use tcpx_proto::error::CloseKind;
use tcpx_proto::state::Trigger;
use tcpx_proto::wire::{ChecksumPolicy, Segment};

/// What a record says of captured packets.
pub(super) struct Remarks<'a> {
    log: &'a Log,
    /// By direction, IP identification and SEG.SEQ, the entries about a segment, in their order.
    entries: HashMap<(Direction, u16, u32), Vec<usize>>,
}

impl<'a> Remarks<'a> {
    pub(super) fn of(log: &'a Log) -> Remarks<'a> {
        let mut entries: HashMap<(Direction, u16, u32), Vec<usize>> = HashMap::new();
        for (at, entry) in log.entries.iter().enumerate() {
            let Body::Segment(seen) = &entry.body else {
                continue;
            };
            entries
                .entry((seen.dir, seen.id, seen.seq.0))
                .or_default()
                .push(at);
        }
        Remarks { log, entries }
    }

    /// Why a packet was sent, or what came of it.
    pub(super) fn on(&self, packet: &Packet) -> Option<String> {
        let header = Segment::parse(&packet.bytes, ChecksumPolicy::Ignore)
            .ok()?
            .header;
        let dir = if packet.outgoing {
            Direction::Out
        } else {
            Direction::In
        };
        let near =
            |at: &usize| (self.log.entries[*at].t + self.log.monotonic - packet.at).abs() < 1.0;
        let at = *self
            .entries
            .get(&(dir, header.id, header.seq.0))?
            .iter()
            .find(|at| near(at))?;
        let Body::Segment(seen) = &self.log.entries.get(at)?.body else {
            return None;
        };
        let followed = self
            .log
            .entries
            .iter()
            .skip(at + 1)
            .take_while(|entry| !matches!(entry.body, Body::Segment(_)));
        let changes = followed.filter_map(|entry| match &entry.body {
            Body::State { from, to, on } => {
                let on = on.map_or("?", Trigger::name);
                Some(format!("{from} -> {to} on {on}"))
            }
            Body::Discarded { reason } => Some(format!("not used: {reason}")),
            Body::Closed { reason } => {
                let reason = reason.map_or("?", CloseKind::name);
                Some(format!("closed: {reason}"))
            }
            Body::Opened { .. }
            | Body::Accepted { .. }
            | Body::Segment(_)
            | Body::Deviated { .. }
            | Body::Timer { .. }
            | Body::Icmp(_)
            | Body::R1 { .. }
            | Body::Urgent { .. }
            | Body::Undone { .. }
            | Body::App(_)
            | Body::Unknown => None,
        });
        let forged = seen.forged.then(|| "forged by the laboratory".to_owned());
        let said: Vec<String> = seen
            .cause
            .map(|cause| cause.to_string())
            .into_iter()
            .chain(seen.fault().map(str::to_owned))
            .chain(forged)
            .chain(changes)
            .collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}
