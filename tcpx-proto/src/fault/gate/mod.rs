//! The gate of one host: judges each packet by the first rule that matches, and keeps the packets
//! that go on later.

#[cfg(test)]
mod tests;

use super::flow::{Flow, FlowKey, Parked, Tally};
use super::held::{Due, Held, Kept, MAX_HELD_PER_FLOW, cost};
use super::rule::{Action, Edit, Effect, Facts, Fault, Milestone, Release, When};
use super::{Direction, FaultRule, Judgement, Released, Verdict};
use crate::label::Label;
use crate::state::State;
use crate::time::{Duration, Instant};
use crate::wire::{self, ChecksumPolicy, Segment};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::SocketAddr;
use siphasher::sip::SipHasher24;

/// How many four-tuples are remembered. Beyond that, those that have been idle longest and have
/// nothing held are forgotten: their counts restart.
const MAX_FLOWS: usize = 1 << 16;

/// The gate of one host. It outlives connections, so that a segment can be held until a later
/// incarnation.
///
/// It counts per incarnation of a four-tuple: a SYN with another ISN, or one after both FINs or a
/// RST, starts the next. Its memory is bounded ([`MAX_HELD`](super::MAX_HELD), 2^16 four-tuples),
/// and the same seed, packets and times give the same verdicts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Gate {
    rules: Vec<FaultRule>,
    random: Random,
    offers: u64,
    /// The offer from which on old four-tuples may be removed again.
    sweep: u64,
    flows: BTreeMap<FlowKey, Flow>,
    held: Held,
}

impl Gate {
    /// A gate with these rules: the first match decides, and random ones draw from `seed`.
    pub fn new(rules: Vec<FaultRule>, seed: u64) -> Gate {
        Gate {
            rules,
            random: Random { seed, drawn: 0 },
            offers: 0,
            sweep: 0,
            flows: BTreeMap::new(),
            held: Held::default(),
        }
    }

    /// The rules, released ones too: [`Judgement::rule`] is an index into them.
    pub fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    /// Adds a rule after the others. It counts from now on.
    pub fn add(&mut self, rule: FaultRule) {
        self.rules.push(rule);
        let rules = self.rules.len();
        self.flows
            .values_mut()
            .for_each(|flow| flow.tallies.resize_with(rules, Tally::default));
    }

    /// Releases every rule: none matches any more, and the packets that they kept go on.
    pub fn release_all(&mut self) {
        self.rules
            .iter_mut()
            .for_each(|rule| rule.action = Action::Released);
        self.held.release_all(Instant::ZERO, |_| true);
    }

    /// Judges a packet. It goes on at once, perhaps rewritten in place, if [`Judgement::goes_on`];
    /// [`poll`](Gate::poll) gives what goes on later, or a second time. What is not a TCP segment
    /// passes.
    ///
    /// Without rules only [`Judgement::retransmission`] is of use: a host that does not record need
    /// not call this.
    pub fn offer(
        &mut self,
        now: Instant,
        direction: Direction,
        label: Option<Label>,
        packet: &mut [u8],
    ) -> Judgement {
        let Ok(segment) = Segment::parse(packet, ChecksumPolicy::Ignore) else {
            return Judgement::PASS;
        };
        let header = segment.header;
        let text = segment.payload.len() as u32;
        let key = match direction {
            Direction::Out => (header.source, header.destination),
            Direction::In => (header.destination, header.source),
        };
        self.offers += 1;
        let mut facts = Facts {
            direction,
            label,
            header,
            text,
            third: false,
            silence: Duration::ZERO,
        };
        let retransmission = self.flow(key).see(now, &mut facts);
        let rule = self.choose(now, key, &facts);
        let judgement = self.carry_out(
            now,
            key,
            &facts,
            packet,
            Judgement {
                rule,
                retransmission,
                ..Judgement::PASS
            },
        );
        if judgement.goes_on() {
            self.passed(now, key, direction);
        }
        judgement
    }

    /// The next packet that is due.
    pub fn poll(&mut self, now: Instant) -> Option<Released> {
        let Kept {
            flow: key,
            released,
            ..
        } = self.held.pop(now)?;
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.held = flow.held.saturating_sub(cost(&released.packet));
        }
        self.passed(now, key, released.direction);
        Some(released)
    }

    /// When [`poll`](Gate::poll) has the next packet; `None`: not before another event.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.deadline()
    }

    /// A connection of the host changed state: for `release=NAME on EVENT`.
    pub fn state_changed(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        to: State,
    ) {
        if !self.rules.iter().any(|rule| rule.releases().is_some()) {
            return;
        }
        let key = (local, remote);
        let flow = self.flow(key);
        let lives = !matches!(to, State::Closed | State::Listen);
        if !lives && !flow.alive {
            return;
        }
        if to == State::SynSent || !flow.alive {
            flow.connections += 1;
        }
        flow.alive = lives;
        let reached = match to {
            State::Established => Milestone::Established,
            State::TimeWait => Milestone::TimeWait,
            State::Closed | State::Listen => Milestone::Closed,
            _ => return,
        };
        self.reached(now, key, reached);
    }

    /// Releases the rules of a preset: they do not match any more, and the packets that they kept
    /// go on.
    pub fn release(&mut self, preset: &str) {
        for rule in self
            .rules
            .iter_mut()
            .filter(|rule| rule.preset == Some(preset))
        {
            rule.action = Action::Released;
        }
        let rules = &self.rules;
        let is_released = |kept: &Kept| {
            rules
                .get(kept.rule)
                .is_some_and(|rule| rule.action == Action::Released)
        };
        self.held.release_all(Instant::ZERO, is_released);
    }

    /// The record of a four-tuple, created if there is none.
    fn flow(&mut self, key: FlowKey) -> &mut Flow {
        if self.flows.len() >= MAX_FLOWS
            && self.offers >= self.sweep
            && !self.flows.contains_key(&key)
        {
            // Each offer touches one: at most half of them stay, so that the offers that follow pay
            // for a sweep.
            let recent = self.offers.saturating_sub(MAX_FLOWS as u64 / 2);
            self.flows
                .retain(|_, flow| flow.held > 0 || flow.touched > recent);
            self.sweep = self.offers + MAX_FLOWS as u64 / 2;
        }
        let rules = self.rules.len();
        let flow = self.flows.entry(key).or_insert_with(|| Flow::new(rules));
        flow.touched = self.offers;
        flow
    }

    /// The first rule that means this segment. Every rule that matches counts it.
    fn choose(&mut self, now: Instant, key: FlowKey, facts: &Facts) -> Option<usize> {
        let flow = self.flows.get_mut(&key)?;
        let mut chosen = None;
        for (index, rule) in self.rules.iter().enumerate() {
            let Action::Fault(fault) = &rule.action else {
                continue;
            };
            if fault.direction.is_some_and(|only| only != facts.direction)
                || !fault.kind.matches(facts)
            {
                continue;
            }
            let meant = flow
                .tallies
                .get_mut(index)
                .is_some_and(|tally| tally.counts(fault, facts));
            if meant
                && chosen.is_none()
                && can_act(&self.rules, index, &flow.tallies, now)
                && self.random.falls_within(fault.rate)
            {
                chosen = Some(index);
            }
        }
        chosen
    }

    fn carry_out(
        &mut self,
        now: Instant,
        key: FlowKey,
        facts: &Facts,
        packet: &mut [u8],
        judgement: Judgement,
    ) -> Judgement {
        let Some(rule) = judgement.rule else {
            return judgement;
        };
        let Some(Action::Fault(Fault { effect, .. })) =
            self.rules.get(rule).map(|rule| rule.action.clone())
        else {
            return judgement;
        };
        let (verdict, due) = match effect {
            Effect::Drop => (Verdict::Drop, None),
            Effect::Delay(time) => (Verdict::Delay(time), Some(Due::At(now + time))),
            Effect::Duplicate(copies) => (Verdict::Duplicate(copies), Some(Due::At(now))),
            Effect::Reorder(n) => (Verdict::Reorder(n), Some(Due::Open)),
            Effect::Corrupt => {
                wire::flip_bit(packet, self.random.draw());
                wire::spoil_checksum(packet);
                (Verdict::Corrupt, None)
            }
            Effect::CorruptFixed => {
                wire::flip_bit(packet, self.random.draw());
                wire::fix_checksums(packet);
                (Verdict::CorruptFixed, None)
            }
            Effect::Trickle(every, queue) => match self.turn(now, key, rule, every, queue) {
                Some(wait) => (
                    Verdict::Trickle(wait),
                    (!wait.is_zero()).then_some(Due::At(now + wait)),
                ),
                None => (Verdict::Drop, None),
            },
            Effect::Rewrite(text, edits) => (
                if rewrite(packet, &edits) {
                    Verdict::Rewrite(text)
                } else {
                    Verdict::Pass
                },
                None,
            ),
            Effect::Hold(name) => {
                let due = self.hold(now, key, &name);
                (Verdict::Hold(name), Some(due))
            }
        };
        let judgement = Judgement {
            verdict,
            ..judgement
        };
        match due {
            Some(due) => self.keep(key, due, facts, packet, judgement),
            None => judgement,
        }
    }

    /// Keeps the packet, or as many copies as there is room for, and corrects the judgement.
    fn keep(
        &mut self,
        key: FlowKey,
        due: Due,
        facts: &Facts,
        packet: &[u8],
        mut judgement: Judgement,
    ) -> Judgement {
        let (Some(flow), Some(rule)) = (self.flows.get_mut(&key), judgement.rule) else {
            return judgement;
        };
        let room = self
            .held
            .room()
            .min(MAX_HELD_PER_FLOW.saturating_sub(flow.held))
            / cost(packet);
        let copies = match &mut judgement.verdict {
            Verdict::Duplicate(copies) => {
                *copies = (*copies).min(u32::try_from(room).unwrap_or(u32::MAX));
                *copies
            }
            verdict if room == 0 => {
                *verdict = Verdict::Full;
                0
            }
            _ => 1,
        };
        let direction = facts.direction;
        let label = facts.label;
        for _ in 0..copies {
            let later = Judgement {
                released: true,
                ..judgement.clone()
            };
            let released = Released {
                direction,
                label,
                packet: packet.to_vec(),
                judgement: later,
            };
            let ticket = self.held.keep(
                due,
                Kept {
                    flow: key,
                    rule,
                    released,
                },
            );
            flow.held += cost(packet);
            if let (Verdict::Reorder(left), Some(tally)) =
                (&judgement.verdict, flow.tallies.get_mut(rule))
            {
                tally.parked = Some(Parked {
                    ticket,
                    direction,
                    left: *left,
                });
            }
        }
        judgement
    }

    /// How long a segment waits until the next may pass; `None`: the queue is full.
    fn turn(
        &mut self,
        now: Instant,
        key: FlowKey,
        rule: usize,
        every: Duration,
        queue: Option<u32>,
    ) -> Option<Duration> {
        let tally = self.flows.get_mut(&key)?.tallies.get_mut(rule)?;
        let turn = tally.at.map_or(now, |next| next.max(now));
        let wait = turn.since(now);
        if queue.is_some_and(|queue| wait > every.saturating_mul(queue)) {
            return None;
        }
        tally.at = Some(turn + every);
        Some(wait)
    }

    /// Until when a segment is held under this name: the first one that is held starts the clock of
    /// `release=NAME after TIME`.
    fn hold(&mut self, now: Instant, key: FlowKey, name: &str) -> Due {
        let Some(flow) = self.flows.get_mut(&key) else {
            return Due::Open;
        };
        let clocks =
            self.rules
                .iter()
                .zip(&mut flow.tallies)
                .filter_map(|(rule, tally)| match rule.releases() {
                    Some(Release {
                        name: other,
                        when: When::After(time),
                        ..
                    }) if **other == *name => {
                        Some(*tally.at.get_or_insert(now + *time)).filter(|at| *at > now)
                    }
                    _ => None,
                });
        clocks.min().map_or(Due::Open, Due::At)
    }

    /// Releases what was held until the n-th connection reached this.
    fn reached(&mut self, now: Instant, key: FlowKey, reached: Milestone) {
        let Gate {
            rules, flows, held, ..
        } = self;
        let Some(flow) = flows.get_mut(&key) else {
            return;
        };
        for (rule, tally) in rules.iter().zip(&mut flow.tallies) {
            let Some(Release {
                name,
                when: When::Event { what, nth },
                ..
            }) = rule.releases()
            else {
                continue;
            };
            if *what == reached && *nth == flow.connections {
                tally.released = true;
                held.release_all(now, |kept| {
                    kept.flow == key
                        && rules
                            .get(kept.rule)
                            .is_some_and(|rule| rule.holds() == Some(name))
                });
            }
        }
    }

    /// A segment has passed: one less to wait for, for those of its direction.
    fn passed(&mut self, now: Instant, key: FlowKey, direction: Direction) {
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        for tally in &mut flow.tallies {
            let Some(parked) = tally
                .parked
                .as_mut()
                .filter(|parked| parked.direction == direction)
            else {
                continue;
            };
            parked.left = parked.left.saturating_sub(1);
            if parked.left == 0 {
                self.held.release(parked.ticket, now);
                tally.parked = None;
            }
        }
    }
}

/// Makes the edits, one after the other. Returns whether they changed anything; if not, the
/// checksums are not changed either.
fn rewrite(packet: &mut [u8], edits: &[Edit]) -> bool {
    let changed = edits
        .iter()
        .fold(false, |changed, edit| edit.apply(packet) | changed);
    if changed {
        wire::fix_checksums(packet);
    }
    changed
}

/// Whether the rule can act now: `reorder` keeps one segment at a time, `hold` none after its last
/// release.
fn can_act(rules: &[FaultRule], index: usize, tallies: &[Tally], now: Instant) -> bool {
    let (Some(rule), Some(tally)) = (rules.get(index), tallies.get(index)) else {
        return false;
    };
    let Some(name) = rule.holds() else {
        return tally.parked.is_none();
    };
    let mut releases = rules
        .iter()
        .zip(tallies)
        .filter(|(rule, _)| rule.releases().is_some_and(|release| release.name == *name))
        .peekable();
    let over = |tally: &Tally| tally.released || tally.at.is_some_and(|at| at <= now);
    releases.peek().is_none() || !releases.all(|(_, tally)| over(tally))
}

/// The gate's random draws: a keyed counter, so that a run can be repeated.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    fn draw(&mut self) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.seed, 0x6661_756c_7467_6174);
        hasher.write_u64(self.drawn);
        self.drawn += 1;
        hasher.finish()
    }

    /// Whether an event of probability `rate` in a million happens.
    fn falls_within(&mut self, rate: Option<u32>) -> bool {
        rate.is_none_or(|rate| self.draw() % 1_000_000 < u64::from(rate))
    }
}
