//! The gate at the edge: what the network does to a segment, as data.

use crate::event::Label;
use crate::tcb::State;
use crate::time::Instant;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::ops::Range;

/// Which way a segment passes the gate, seen from the host that owns it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From our TCP to the network.
    Out,
    /// From the network to our TCP.
    In,
}

/// One line of the fault language, parsed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// The line as it was written.
    pub text: String,
    /// The preset that brought it, so that it can be lifted; `None` for the user's own.
    pub preset: Option<&'static str>,
}

/// What is wrong with a line, where, and what to write instead.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RuleError {
    /// The octets of the line that are wrong.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// The nearest thing that is right.
    pub help: Option<String>,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for RuleError {}

/// What the gate did to one segment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// It goes on as it is.
    Pass,
}

/// A verdict with what led to it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Judgement {
    /// What happens.
    pub verdict: Verdict,
    /// The index of the rule that decided; `None`: no rule matched.
    pub rule: Option<usize>,
    /// 0 for the first time, else how often these octets passed before in this direction.
    pub retransmission: u32,
}

/// A packet that the gate kept and now lets go.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Released {
    /// Which way it goes on.
    pub direction: Direction,
    /// The label it came with.
    pub label: Option<Label>,
    /// The packet.
    pub packet: Vec<u8>,
    /// What was done to it.
    pub judgement: Judgement,
}

/// The gate of one host. It outlives connections, so that a segment can be held back into a later incarnation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Gate {
    rules: Vec<Rule>,
}

impl Rule {
    /// Reads one line.
    ///
    /// # Errors
    /// [`RuleError`]: the first mistake.
    pub fn parse(_line: &str) -> Result<Rule, RuleError> {
        todo!()
    }
}

impl Gate {
    /// A gate with these rules, the first match wins; random ones draw from `seed`.
    pub fn new(rules: Vec<Rule>, _seed: u64) -> Gate {
        Gate { rules }
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Judges a packet. It goes on (at once, perhaps rewritten in place) when [`Judgement::goes_on`] says so; what goes later, or a
    /// second time, comes out of [`poll`](Gate::poll).
    pub fn offer(&mut self, _now: Instant, _direction: Direction, _label: Option<Label>, _packet: &mut [u8]) -> Judgement {
        Judgement { verdict: Verdict::Pass, rule: None, retransmission: 0 }
    }

    /// The next packet that is due.
    pub fn poll(&mut self, _now: Instant) -> Option<Released> {
        None
    }

    /// When [`poll`](Gate::poll) has something next; `None`: not before something else happens.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Tells the gate that a connection of its host changed state, for `release=NAME on EVENT`.
    pub fn state_changed(&mut self, _now: Instant, _local: SocketAddr, _remote: SocketAddr, _to: State) {}

    /// Removes the rules of a preset.
    pub fn lift(&mut self, _preset: &str) {}
}

impl Judgement {
    /// Whether the packet goes on at once.
    pub fn goes_on(&self) -> bool {
        true
    }
}
