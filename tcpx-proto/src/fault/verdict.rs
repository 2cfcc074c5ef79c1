//! What the gate decides about a segment.

use crate::label::Label;
use crate::name::names;
use crate::time::Duration;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// Which way a segment passes the gate, seen from the host that owns it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// From our TCP to the network.
    Out,
    /// From the network to our TCP.
    In,
}

names!(Direction, "direction", {
    Direction::Out => "out",
    Direction::In => "in",
});

/// What the gate did to one segment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// It goes on unchanged.
    Pass,
    /// It is dropped.
    Drop,
    /// It had to wait, but the gate is full ([`MAX_HELD`](super::MAX_HELD)): it is dropped.
    Full,
    /// It goes on this much later.
    Delay(Duration),
    /// It goes on at once, with this many copies.
    Duplicate(u32),
    /// It waits until this many later segments have passed.
    Reorder(u32),
    /// One bit is flipped, and the checksum is wrong.
    Corrupt,
    /// One bit is flipped, and the checksum is recomputed.
    CorruptFixed,
    /// It waits this long for its turn; zero: it goes on at once.
    Trickle(Duration),
    /// These fields were overwritten, as the rule spells them.
    Rewrite(Arc<str>),
    /// It waits for the release of this name.
    Hold(Arc<str>),
}

impl Verdict {
    /// What happens, without the particulars.
    pub const fn kind(&self) -> VerdictKind {
        match self {
            Verdict::Pass => VerdictKind::Pass,
            Verdict::Drop | Verdict::Full => VerdictKind::Drop,
            Verdict::Delay(_) => VerdictKind::Delay,
            Verdict::Duplicate(_) => VerdictKind::Duplicate,
            Verdict::Reorder(_) => VerdictKind::Reorder,
            Verdict::Corrupt | Verdict::CorruptFixed => VerdictKind::Corrupt,
            Verdict::Trickle(_) => VerdictKind::Trickle,
            Verdict::Rewrite(_) => VerdictKind::Rewrite,
            Verdict::Hold(_) => VerdictKind::Hold,
        }
    }

    /// One word for the events file; `Display` adds the particulars.
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }

    const fn goes_on(&self) -> bool {
        match self {
            Verdict::Pass
            | Verdict::Duplicate(_)
            | Verdict::Corrupt
            | Verdict::CorruptFixed
            | Verdict::Rewrite(_) => true,
            Verdict::Trickle(wait) => wait.is_zero(),
            Verdict::Drop
            | Verdict::Full
            | Verdict::Delay(_)
            | Verdict::Reorder(_)
            | Verdict::Hold(_) => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Verdict::Full => f.write_str(" (gate full)"),
            Verdict::Trickle(Duration::ZERO) => Ok(()),
            Verdict::Delay(time) | Verdict::Trickle(time) => write!(f, " {time:?}"),
            Verdict::Duplicate(n) | Verdict::Reorder(n) => write!(f, " {n}"),
            Verdict::CorruptFixed => f.write_str(" fixed"),
            Verdict::Rewrite(text) | Verdict::Hold(text) => write!(f, " {text}"),
            Verdict::Pass | Verdict::Drop | Verdict::Corrupt => Ok(()),
        }
    }
}

/// What the gate did to one segment: a [`Verdict`] without the particulars.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum VerdictKind {
    /// It went on as it was.
    Pass,
    /// It was dropped.
    Drop,
    /// It went on later.
    Delay,
    /// It went on, and copies of it.
    Duplicate,
    /// It waited until others had passed.
    Reorder,
    /// One bit was changed.
    Corrupt,
    /// It waited for its turn.
    Trickle,
    /// Some fields were overwritten.
    Rewrite,
    /// It waited for a release.
    Hold,
}

names!(VerdictKind, "verdict", {
    VerdictKind::Pass => "pass",
    VerdictKind::Drop => "drop",
    VerdictKind::Delay => "delay",
    VerdictKind::Duplicate => "dup",
    VerdictKind::Reorder => "reorder",
    VerdictKind::Corrupt => "corrupt",
    VerdictKind::Trickle => "trickle",
    VerdictKind::Rewrite => "rewrite",
    VerdictKind::Hold => "hold",
});

/// A verdict and what led to it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Judgement {
    /// What happens.
    pub verdict: Verdict,
    /// The index in [`Gate::rules`](super::Gate::rules) of the rule that decided; `None`: no rule
    /// matched.
    pub rule: Option<usize>,
    /// How often these bytes passed before in this direction; 0: for the first time.
    pub retransmission: u32,
    /// The gate kept it, or a copy of it, and now forwards it.
    pub released: bool,
}

impl Judgement {
    /// Nothing happens to a packet that no rule matches.
    pub const PASS: Judgement = Judgement {
        verdict: Verdict::Pass,
        rule: None,
        retransmission: 0,
        released: false,
    };

    /// Whether the packet goes on now.
    pub fn goes_on(&self) -> bool {
        self.released || self.verdict.goes_on()
    }

    /// Whether the gate keeps the packet. It is recorded when it is released, with the time at
    /// which it goes on.
    pub fn waits(&self) -> bool {
        !self.goes_on() && !matches!(self.verdict, Verdict::Drop | Verdict::Full)
    }
}

/// A packet that the gate kept and now forwards.
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
