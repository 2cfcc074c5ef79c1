//! What one line of the fault language says, parsed: which segments, how many of them, and what happens to them.

use super::{Direction, parse};
use crate::event::{Carries, Cause, Label};
use crate::time::Duration;
use crate::wire::{Field, Flags, Header};
use crate::words::Mistake;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One line of the fault language, parsed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// The line as it was written.
    pub text: String,
    /// The preset that brought it, so that it can be lifted; `None` for the user's own.
    pub preset: Option<&'static str>,
    pub(super) action: Action,
}

impl Rule {
    /// Reads one line.
    ///
    /// # Errors
    /// [`Mistake`]: the first mistake.
    pub fn parse(line: &str) -> Result<Rule, Mistake> {
        Ok(Rule { text: line.into(), preset: None, action: parse::action(line)? })
    }

    /// The name under which this rule holds segments.
    pub(super) fn holds(&self) -> Option<&Arc<str>> {
        match &self.action {
            Action::Fault(Fault { effect: Effect::Hold(name), .. }) => Some(name),
            _ => None,
        }
    }

    /// The name that this rule releases, and when.
    pub(super) fn releases(&self) -> Option<&Release> {
        match &self.action {
            Action::Release(release) => Some(release),
            _ => None,
        }
    }
}

/// Looks at the rules of one gate together: every `release` needs a `hold` of its name, and every `hold` a `release`.
///
/// # Errors
/// The first rule that has none, and what is wrong with it.
pub fn check(rules: &[Rule]) -> Result<(), (&Rule, Mistake)> {
    let held: Vec<&str> = rules.iter().filter_map(|rule| rule.holds()).map(AsRef::as_ref).collect();
    let released: Vec<&str> = rules.iter().filter_map(|rule| rule.releases()).map(|release| &*release.name).collect();
    let unpaired = |rule: &Rule| match (rule.holds(), rule.releases()) {
        (Some(name), _) if !released.contains(&&**name) => Some(parse::no_such_release(&rule.text, name, &released)),
        (_, Some(release)) if !held.contains(&&*release.name) => Some(parse::no_such_hold(&rule.text, &release.name, &held)),
        _ => None,
    };
    rules.iter().find_map(|rule| unpaired(rule).map(|error| (rule, error))).map_or(Ok(()), Err)
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Action {
    Fault(Fault),
    Release(Release),
    /// The rule of a preset that was lifted.
    Lifted,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Fault {
    /// Parts in a million; `None`: always.
    pub(super) rate: Option<u32>,
    pub(super) effect: Effect,
    /// `None`: any.
    pub(super) direction: Option<Direction>,
    pub(super) kind: Kind,
    pub(super) which: Which,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Effect {
    Drop,
    Delay(Duration),
    Duplicate(u32),
    Reorder(u32),
    Corrupt,
    CorruptFixed,
    Trickle(Duration),
    Rewrite(Arc<str>, Arc<[(Field, Value)]>),
    Hold(Arc<str>),
}

/// A field's new value; relative ones wrap within the field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Value {
    To(u32),
    Plus(u32),
    Minus(u32),
}

impl Value {
    pub(super) fn of(self, field: Field, header: &Header) -> u32 {
        let value = match self {
            Value::To(value) => value,
            Value::Plus(more) => field.of(header).wrapping_add(more),
            Value::Minus(less) => field.of(header).wrapping_sub(less),
        };
        value & field.max()
    }
}

/// Which segments: facts of the header, and for outgoing ones the engine's label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    Segment,
    Syn,
    SynAck,
    Fin,
    Rst,
    Ack,
    Data,
    Flags(Flags),
    ThirdAck,
    AckOfFin,
    WindowUpdate,
    Probe,
    KeepAlive,
    Challenge,
}

impl Kind {
    /// Whether only the engine's label tells, which an incoming segment does not have.
    pub(super) const fn needs_label(self) -> bool {
        matches!(self, Kind::AckOfFin | Kind::WindowUpdate | Kind::Probe | Kind::KeepAlive | Kind::Challenge)
    }

    /// Whether such a segment can use sequence space, and so be retransmitted.
    pub(super) const fn can_repeat(self) -> bool {
        !matches!(self, Kind::Rst | Kind::Ack | Kind::ThirdAck | Kind::WindowUpdate | Kind::Challenge)
    }

    pub(super) fn matches(self, facts: &Facts) -> bool {
        let flags = facts.header.flags;
        let carries = |what| facts.label.is_some_and(|label| label.carries.has(what));
        let because = |cause| facts.label.is_some_and(|label| label.cause == cause);
        match self {
            Kind::Segment => true,
            Kind::Syn => flags.has(Flags::SYN) && !flags.has(Flags::ACK),
            Kind::SynAck => flags.has(Flags::SYN | Flags::ACK),
            Kind::Fin => flags.has(Flags::FIN),
            Kind::Rst => flags.has(Flags::RST),
            Kind::Ack => facts.is_bare_ack(),
            Kind::Data => facts.text > 0,
            Kind::Flags(exactly) => flags == exactly,
            Kind::ThirdAck if facts.direction == Direction::In => facts.third,
            // "Its only effect": text or a FIN would do more than acknowledge the SYN.
            Kind::ThirdAck => facts.is_bare_ack() && carries(Carries::ACK_OF_SYN),
            Kind::AckOfFin => carries(Carries::ACK_OF_FIN),
            Kind::WindowUpdate => carries(Carries::WINDOW_UPDATE),
            Kind::Probe => because(Cause::Probe),
            Kind::KeepAlive => because(Cause::KeepAlive),
            Kind::Challenge => because(Cause::Challenge),
        }
    }
}

/// Which of the matching segments, counted per connection from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Which {
    /// Each, every time.
    Every,
    /// The first transmission of these.
    First { from: u32, to: u32 },
    /// From the first transmission of this one on, each, every time.
    Onward { from: u32 },
    /// These transmissions of one of them, 0 being the first.
    Repeats { nth: u32, from: u32, to: u32 },
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Release {
    pub(super) name: Arc<str>,
    pub(super) when: When,
}

/// When held segments go on, per four-tuple.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum When {
    /// The n-th connection does this.
    Event { what: Milestone, nth: u32 },
    /// This long after the first one was held.
    After(Duration),
}

/// What a connection reaches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Milestone {
    Established,
    TimeWait,
    Closed,
}

/// What the gate knows of one segment.
pub(super) struct Facts {
    pub(super) direction: Direction,
    pub(super) label: Option<Label>,
    pub(super) header: Header,
    /// Octets of text.
    pub(super) text: u32,
    /// It is the first with ACK and without SYN from the one who sent the SYN.
    pub(super) third: bool,
}

impl Facts {
    pub(super) fn is_bare_ack(&self) -> bool {
        let flags = self.header.flags;
        let control = flags.has(Flags::SYN) || flags.has(Flags::FIN) || flags.has(Flags::RST);
        flags.has(Flags::ACK) && !control && self.text == 0
    }

    /// SEG.LEN.
    pub(super) fn len(&self) -> u32 {
        self.text + self.header.control_len()
    }
}
