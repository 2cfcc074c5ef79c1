//! The gate at the edge: what the network does to a segment, as data.
//!
//! A [`FaultRule`] is one line of the fault language (documented in `docs/faults.md`); a [`Gate`]
//! has the rules of one host and judges each packet that leaves or enters. The engine cannot tell a
//! gate from a bad network.

mod flow;
mod gate;
mod held;
mod parse;
mod rule;
mod verdict;

pub use gate::Gate;
pub use held::{MAX_HELD, MAX_HELD_PER_FLOW};
pub use rule::{
    Action, Edit, Effect, Fault, FaultRule, Kind, Milestone, Release, Value, When, Which, check,
};
pub use verdict::{Direction, Judgement, Released, Verdict, VerdictKind};
