//! One line of the fault language, parsed: which segments, how many of them, and what happens to
//! them.

use super::{Direction, parse};
use crate::label::{Carries, Cause, Label};
use crate::lexer::Mistake;
use crate::time::Duration;
use crate::wire::{self, Field, Flags, Header, OptionKind};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::str::FromStr;

/// One line of the fault language, parsed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FaultRule {
    /// The line as it was written.
    pub text: String,
    /// The preset that added it, by which it can be released; `None` for the user's own.
    pub preset: Option<&'static str>,
    pub(super) action: Action,
}

impl FaultRule {
    /// Reads one line.
    ///
    /// # Errors
    /// [`Mistake`]: the first mistake.
    pub fn parse(line: &str) -> Result<FaultRule, Mistake> {
        Ok(FaultRule {
            text: line.into(),
            preset: None,
            action: parse::action(line)?,
        })
    }

    /// What the line does.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The name under which this rule holds segments.
    pub(super) fn holds(&self) -> Option<&Arc<str>> {
        match &self.action {
            Action::Fault(Fault {
                effect: Effect::Hold(name),
                ..
            }) => Some(name),
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

impl FromStr for FaultRule {
    type Err = Mistake;

    fn from_str(line: &str) -> Result<FaultRule, Mistake> {
        FaultRule::parse(line)
    }
}

/// Checks the rules of one gate together: every `release` needs a `hold` of its name, and every
/// `hold` a `release`.
///
/// # Errors
/// The first rule without its counterpart, and the mistake in it.
pub fn check(rules: &[FaultRule]) -> Result<(), (&FaultRule, Mistake)> {
    let held: Vec<&str> = rules
        .iter()
        .filter_map(|rule| rule.holds())
        .map(AsRef::as_ref)
        .collect();
    let released: Vec<&str> = rules
        .iter()
        .filter_map(|rule| rule.releases())
        .map(|release| &*release.name)
        .collect();
    let unpaired = |rule: &FaultRule| match (rule.holds(), rule.releases()) {
        (Some(name), _) if !released.contains(&&**name) => {
            Some(parse::no_such_release(&rule.text, name, &released))
        }
        (_, Some(release)) if !held.contains(&&*release.name) => {
            Some(parse::no_such_hold(&rule.text, &release.name, &held))
        }
        _ => None,
    };
    rules
        .iter()
        .find_map(|rule| unpaired(rule).map(|error| (rule, error)))
        .map_or(Ok(()), Err)
}

/// What one line does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Something happens to some segments.
    Fault(Fault),
    /// What is held goes on.
    Release(Release),
    /// Nothing more: the rule was released.
    Released,
}

/// What happens, and to which segments.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Fault {
    /// The probability, in parts per million; `None`: always.
    pub rate: Option<u32>,
    /// What happens.
    pub effect: Effect,
    /// Their direction; `None`: any.
    pub direction: Option<Direction>,
    /// Which kind of segment.
    pub kind: Kind,
    /// Which of those.
    pub which: Which,
}

/// What is to happen to a segment; the [`Verdict`](super::Verdict) is what did.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// It is dropped.
    Drop,
    /// It goes on this much later.
    Delay(Duration),
    /// It goes on, with this many copies.
    Duplicate(u32),
    /// It waits until this many later segments have passed.
    Reorder(u32),
    /// One bit is flipped.
    Corrupt,
    /// One bit is flipped, and the checksum is recomputed.
    CorruptFixed,
    /// At most one passes in this time, and at most this many wait; `None`: any number.
    Trickle(Duration, Option<u32>),
    /// Fields and options are changed: the edits as they were written, and parsed.
    Rewrite(Arc<str>, Arc<[Edit]>),
    /// It waits for the release of this name.
    Hold(Arc<str>),
}

/// One change of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Edit {
    /// A field gets another value.
    Set(Field, Value),
    /// An option becomes NOPs.
    Strip(OptionKind),
}

impl Edit {
    /// Whether it changed anything. The checksums are left as they were.
    pub(super) fn apply(self, packet: &mut [u8]) -> bool {
        match self {
            Edit::Set(field, value) => wire::patch(packet, field, |before| value.of(before)),
            Edit::Strip(option) => wire::strip(packet, option),
        }
    }
}

/// A field's new value; relative ones wrap within the field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    /// This value.
    To(u32),
    /// Plus this.
    Plus(u32),
    /// Minus this.
    Minus(u32),
}

impl Value {
    fn of(self, before: u32) -> u32 {
        match self {
            Value::To(value) => value,
            Value::Plus(more) => before.wrapping_add(more),
            Value::Minus(less) => before.wrapping_sub(less),
        }
    }
}

/// Which segments: facts of the header, and for outgoing ones the engine's label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Every one.
    Segment,
    /// SYN without ACK.
    Syn,
    /// SYN and ACK.
    SynAck,
    /// SYN, with or without ACK, and text.
    SynData,
    /// SYN, with or without ACK, and the Fast Open option.
    FastOpen,
    /// With FIN.
    Fin,
    /// With RST.
    Rst,
    /// A bare ACK: no SYN, FIN or RST, no text.
    Ack,
    /// With text.
    Data,
    /// With more bytes of text than this.
    Longer(u32),
    /// With exactly these control bits.
    Flags(Flags),
    /// From the first one that follows this much silence of the connection: a middlebox has
    /// forgotten it.
    Idle(Duration),
    /// Outgoing: a bare ACK whose only effect is to acknowledge the peer's SYN. Incoming: the first
    /// with ACK and without SYN from the end that sent the SYN.
    ThirdAck,
    /// It acknowledges the peer's FIN.
    AckOfFin,
    /// A larger window and no other new information.
    WindowUpdate,
    /// A zero-window probe.
    Probe,
    /// A keepalive probe.
    KeepAlive,
    /// A challenge ACK.
    Challenge,
}

impl Kind {
    /// Whether it depends on the engine's label, which an incoming segment does not have.
    pub(super) const fn needs_label(self) -> bool {
        match self {
            Kind::AckOfFin
            | Kind::WindowUpdate
            | Kind::Probe
            | Kind::KeepAlive
            | Kind::Challenge => true,
            Kind::Segment
            | Kind::Syn
            | Kind::SynAck
            | Kind::SynData
            | Kind::FastOpen
            | Kind::Fin
            | Kind::Rst
            | Kind::Ack
            | Kind::Data
            | Kind::Longer(_)
            | Kind::Flags(_)
            | Kind::Idle(_)
            | Kind::ThirdAck => false,
        }
    }

    /// Whether the text alone is counted.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Kind::Data | Kind::Longer(_))
    }

    /// Whether such a segment can use sequence space, and so be retransmitted.
    pub(super) const fn can_repeat(self) -> bool {
        match self {
            Kind::Rst | Kind::Ack | Kind::ThirdAck | Kind::WindowUpdate | Kind::Challenge => false,
            Kind::Segment
            | Kind::Syn
            | Kind::SynAck
            | Kind::SynData
            | Kind::FastOpen
            | Kind::Fin
            | Kind::Data
            | Kind::Longer(_)
            | Kind::Flags(_)
            | Kind::Idle(_)
            | Kind::AckOfFin
            | Kind::Probe
            | Kind::KeepAlive => true,
        }
    }

    pub(super) fn matches(self, facts: &Facts) -> bool {
        let flags = facts.header.flags;
        let carries = |what| {
            facts
                .label
                .is_some_and(|label| label.carries.contains(what))
        };
        let because = |cause| facts.label.is_some_and(|label| label.cause == cause);
        match self {
            Kind::Segment => true,
            Kind::Syn => flags.contains(Flags::SYN) && !flags.contains(Flags::ACK),
            Kind::SynAck => flags.contains(Flags::SYN | Flags::ACK),
            Kind::SynData => flags.contains(Flags::SYN) && facts.text > 0,
            Kind::FastOpen => {
                flags.contains(Flags::SYN) && facts.header.options.fast_open.is_some()
            }
            Kind::Fin => flags.contains(Flags::FIN),
            Kind::Rst => flags.contains(Flags::RST),
            Kind::Ack => facts.is_bare_ack(),
            Kind::Data => facts.text > 0,
            Kind::Longer(bytes) => facts.text > bytes,
            Kind::Flags(exactly) => flags == exactly,
            Kind::Idle(silence) => facts.silence >= silence,
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
pub enum Which {
    /// Each, every time.
    Every,
    /// The first transmission of these.
    First {
        /// The first of them.
        from: u32,
        /// The last of them.
        to: u32,
    },
    /// From the first transmission of this one on, each, every time.
    Onward {
        /// Its number.
        from: u32,
    },
    /// These transmissions of one of them, 0 being the first.
    Repeats {
        /// Its number.
        nth: u32,
        /// The first of these transmissions.
        from: u32,
        /// The last of them.
        to: u32,
    },
}

/// What ends a hold.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Release {
    /// Of the hold.
    pub name: Arc<str>,
    /// When its segments go on.
    pub when: When,
}

/// When held segments go on, per four-tuple.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum When {
    /// The n-th connection reaches this.
    Event {
        /// What it reaches.
        what: Milestone,
        /// Its number on the four-tuple.
        nth: u32,
    },
    /// This long after the first one was held.
    After(Duration),
}

/// An event of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Milestone {
    /// ESTABLISHED.
    Established,
    /// TIME-WAIT.
    TimeWait,
    /// CLOSED.
    Closed,
}

/// What the gate knows of one segment.
pub(super) struct Facts {
    pub(super) direction: Direction,
    pub(super) label: Option<Label>,
    pub(super) header: Header,
    /// The bytes of text.
    pub(super) text: u32,
    /// It is the first with ACK and without SYN from the end that sent the SYN.
    pub(super) third: bool,
    /// The longest silence of the connection, in both directions.
    pub(super) silence: Duration,
}

impl Facts {
    pub(super) fn is_bare_ack(&self) -> bool {
        let flags = self.header.flags;
        let control =
            flags.contains(Flags::SYN) || flags.contains(Flags::FIN) || flags.contains(Flags::RST);
        flags.contains(Flags::ACK) && !control && self.text == 0
    }

    /// SEG.LEN.
    pub(super) fn len(&self) -> u32 {
        self.text + self.header.control_len()
    }
}
