//! The table of removable rules: one row each, with what it removes, what breaks, and the knobs that remove it.

use crate::config::{Config, Detour};
use crate::fault::Rule;
use alloc::vec::Vec;

/// One removable rule.
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// The rule that it removes, as a sentence without a stop.
    pub removes: &'static str,
    /// RFC section and requirement number.
    pub requirement: &'static str,
    /// What breaks without it, as a sentence without a stop.
    pub breaks: &'static str,
    /// How it is removed.
    pub knobs: &'static [Knob],
}

/// One turn of a knob. There are no others: the engine's body knows nothing of presets.
pub enum Knob {
    /// A parameter or policy gets another value.
    Parameter(fn(&mut Config)),
    /// An edge of the state table leads elsewhere.
    Detour(Detour),
    /// A line of the fault language.
    Fault(&'static str),
}

/// Every removable rule.
pub const PRESETS: &[Preset] = &[];

impl Preset {
    /// The row with this name.
    pub fn find(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Turns all its knobs.
    pub fn apply(&'static self, config: &mut Config, rules: &mut Vec<Rule>) {
        for knob in self.knobs {
            match knob {
                Knob::Parameter(set) => set(config),
                Knob::Detour(detour) => config.conn.detours.push(*detour),
                Knob::Fault(line) => rules.extend(Rule::parse(line).ok().map(|rule| Rule { preset: Some(self.name), ..rule })),
            }
        }
    }

    /// The row whose name is most like `name`.
    pub fn nearest(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.name.starts_with(name))
    }
}
