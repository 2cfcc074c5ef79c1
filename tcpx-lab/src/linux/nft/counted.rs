//! Which of the matching segments a rule means: what nftables can count truly, and the sets that it
//! counts with.

use super::refusal::{Blame, Refusal, refuse};
use super::{Table, Way};
use tcpx_proto::fault::{Direction, Fault, Kind, Which};

/// The largest number that can be counted: each takes a set.
const MOST: u32 = 16;

/// The matching segments with these numbers, from 1; no end: all from the first on.
#[derive(Clone, Copy)]
pub(super) struct Stages {
    first: u32,
    last: Option<u32>,
}

/// The numbers that a rule means, counting each segment every time it is sent; `None`: it means
/// all.
///
/// The gate counts new segments, and knows a retransmission by the sequence numbers that it has
/// seen. nft compares numbers with constants and with what is in a set, so that it counts truly
/// where each time counts (ACK, RST), where a connection has one such segment (SYN, FIN), and where
/// the first one is meant.
pub(super) fn stages(fault: &Fault, direction: Direction) -> Result<Option<Stages>, Refusal> {
    let incoming_third = fault.kind == Kind::ThirdAck && direction == Direction::In;
    let single = matches!(fault.kind, Kind::Syn | Kind::SynAck | Kind::Fin) || incoming_third;
    let each = matches!(fault.kind, Kind::Ack | Kind::Rst | Kind::ThirdAck);
    let stages = match fault.which {
        Which::Every | Which::Onward { from: 1 } => return Ok(None),
        Which::First { from: 1, to: 1 } if incoming_third => return Ok(None),
        Which::First { from: 1, to: 1 } => Stages {
            first: 1,
            last: Some(1),
        },
        Which::First { .. } | Which::Onward { .. } if single => {
            return refuse(
                Blame::Range,
                "a connection has one such segment in each direction",
            );
        }
        Which::First { from, to } if each => Stages {
            first: from,
            last: Some(to),
        },
        Which::Onward { from } if each => Stages {
            first: from,
            last: None,
        },
        Which::Repeats {
            nth: 1,
            from: 0,
            to: u32::MAX,
        } if single => return Ok(None),
        Which::Repeats { nth: 1, from, to } if single || fault.kind == Kind::Data => Stages {
            first: from.saturating_add(1),
            last: Some(to).filter(|to| *to != u32::MAX).map(|to| to + 1),
        },
        Which::First { .. } | Which::Onward { .. } | Which::Repeats { .. } => {
            return refuse(
                Blame::Range,
                "nft cannot tell a retransmission of one of these from a new segment: #1 alone can be counted",
            );
        }
    };
    if stages.first.max(stages.last.unwrap_or(0)) > MOST {
        return refuse(
            Blame::Range,
            format!("each number that is counted takes a set: up to {MOST} can be"),
        );
    }
    if fault.direction.is_none() {
        let reason = "each direction is counted where it arrives, and so not both together: write one rule for out and one for in";
        return refuse(Blame::Direction, reason);
    }
    Ok(Some(stages))
}

impl<'a> Table<'a> {
    /// Counts what fits, and gives an expression for those that are meant.
    pub(super) fn counted(
        &mut self,
        name: &str,
        fits: &str,
        stages: Stages,
        way: Way<'a>,
    ) -> Result<String, Refusal> {
        let flow = way.flow();
        let meant = self.bit()?;
        let sets: Vec<String> = (1..=stages.last.unwrap_or(stages.first))
            .map(|n| self.set(format!("{name}_{n}"), &flow))
            .collect();
        for set in &sets {
            self.begins(way).push(format!("delete @{set} {{ {flow} }}"));
        }
        // From the last one down, so that a segment enters one set and no second.
        let mut lines = Vec::new();
        for (index, set) in sets.iter().enumerate().rev() {
            let before = index.checked_sub(1).and_then(|before| sets.get(before));
            let before = before.map_or(String::new(), |before| format!("{flow} @{before} "));
            let mark = if stages.last.is_some() && index + 1 >= stages.first as usize {
                meant.set()
            } else {
                String::new()
            };
            lines.push(
                format!("{before}{flow} != @{set} add @{set} {{ {flow} }} {mark}")
                    .trim_end()
                    .to_owned(),
            );
        }
        if let (None, Some(set)) = (stages.last, sets.last()) {
            lines.push(format!("{flow} @{set} {}", meant.set()));
        }
        self.facts.push(format!("{fits} jump {name}"));
        self.chains.push((name.to_owned(), lines));
        Ok(meant.is_set())
    }

    /// Narrows what fits to the segments that begin where the first of them began: nothing that
    /// holds that byte begins before it.
    pub(super) fn begins_like_the_first(&mut self, name: &str, fits: &str, way: Way<'a>) -> String {
        let flow = way.flow();
        let place = format!("{flow} . tcp sequence");
        let seen = self.set(format!("{name}_seen"), &flow);
        let places = self.set(format!("{name}_place"), &place);
        self.begins(way)
            .push(format!("delete @{seen} {{ {flow} }}"));
        self.facts.push(format!(
            "{fits} {flow} != @{seen} add @{seen} {{ {flow} }} add @{places} {{ {place} }}"
        ));
        format!("{fits} {place} @{places}")
    }

    /// The lines for a segment that begins an incarnation: a SYN of a direction with a sequence
    /// number that was not there before.
    fn begins(&mut self, way: Way<'a>) -> &mut Vec<String> {
        let name = format!("begins_{}", way.name());
        let known = self.chains.iter().position(|(chain, _)| *chain == name);
        let index = known.unwrap_or_else(|| {
            let place = format!("{} . tcp sequence", way.flow());
            let seen = self.set(format!("isn_{}", way.name()), &place);
            let syn = format!("{} tcp flags & syn == syn", way.packets());
            self.facts.push(format!(
                "{syn} {place} != @{seen} add @{seen} {{ {place} }} jump {name}"
            ));
            self.chains.push((name, Vec::new()));
            self.chains.len() - 1
        });
        &mut self.chains[index].1
    }

    /// An expression for the third ACK, as the gate tells it: outgoing a bare ACK of SEG.ACK =
    /// IRS+1, which our SYN,ACK or our first ACK has told; incoming the first segment with ACK of a
    /// peer that has sent a SYN.
    pub(super) fn third_ack(&mut self, way: Way<'a>) -> Result<String, Refusal> {
        let index = usize::from(way.direction == Direction::In);
        if let Some(Some(known)) = self.third.get(index) {
            return Ok(known.clone());
        }
        let packets = way.packets();
        let flow = way.flow();
        let opened = self.set(format!("opened_{}", way.name()), &flow);
        self.begins(way)
            .push(format!("tcp flags & ack == 0x0 add @{opened} {{ {flow} }}"));
        let first = format!("{packets} tcp flags & (syn | rst | ack) == ack {flow} @{opened}");
        let fits = if way.direction == Direction::In {
            let third = self.bit()?;
            self.facts.push(format!(
                "{first} delete @{opened} {{ {flow} }} {}",
                third.set()
            ));
            third.is_set()
        } else {
            let bare = self.bare_ack()?;
            let answer = format!("{flow} . tcp ackseq");
            let third = self.set("third_out".to_owned(), &answer);
            self.facts.push(format!(
                "{packets} tcp flags & (syn | ack) == (syn | ack) add @{third} {{ {answer} }}"
            ));
            self.facts.push(format!(
                "{first} add @{third} {{ {answer} }} delete @{opened} {{ {flow} }}"
            ));
            format!("{packets} {bare} {answer} @{third}")
        };
        if let Some(known) = self.third.get_mut(index) {
            *known = Some(fits.clone());
        }
        Ok(fits)
    }
}
