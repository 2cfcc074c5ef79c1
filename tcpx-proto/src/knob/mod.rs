//! The options of the engine, one row each: name, value, source, help, and how it sets the
//! configuration. The programs' flags, an experiment's `options` and the documents follow these
//! rows.

mod kinds;
mod read;
mod rows;
mod values;

pub use read::{Given, Settings, Wrong, options, settings};
pub use rows::KNOBS;

use crate::config::{Config, Profile};
use crate::lexer::{Parsed, Word};
use crate::preset::PRESETS;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// One option of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Knob {
    /// Its name; a flag has two hyphens before it.
    pub name: &'static str,
    /// Where a list of all options has it.
    pub heading: Heading,
    /// What it does, as an imperative sentence without a stop.
    pub help: &'static str,
    /// The RFC section, or the sysctl of Linux.
    pub source: &'static str,
    /// What it takes and what it sets.
    pub effect: Effect,
}

/// The parts of a list of all options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heading {
    /// What removes a rule, or makes the network bad.
    Break,
    /// Durations and retries.
    Timers,
    /// Everything else about a connection.
    Connection,
}

impl Heading {
    /// Its text.
    pub const fn title(self) -> &'static str {
        match self {
            Heading::Break => "What to break",
            Heading::Timers => "Timers",
            Heading::Connection => "Connection",
        }
    }
}

/// What an option takes and what it sets.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// Nothing: its presence sets this.
    Switch(fn(&mut Config)),
    /// One of these names.
    Choice(&'static [Choice]),
    /// A value in a range.
    Value {
        /// What stands for the value in a usage line.
        placeholder: &'static str,
        /// Its unit and range.
        range: &'static str,
        /// Reads the value and sets it.
        set: fn(&mut Config, Word<'_>) -> Parsed<()>,
        /// The value that a configuration has, as `set` reads it; words in angle brackets where no
        /// value stands for it; empty where it is off.
        get: fn(&Config) -> String,
    },
    /// The name of a profile, to start from.
    Profile,
    /// The name of a preset, to remove its rule; repeatable.
    Without,
    /// Nothing: the same as [`Effect::Without`] with this preset.
    Shorthand(&'static str),
    /// Nothing, for the preset `third-ack`; or `data`, for its fault alone.
    ThirdAck,
    /// A line of the fault language; repeatable.
    Fault,
}

/// A name that an option takes.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The name.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Sets it.
    pub set: fn(&mut Config),
}

impl Knob {
    /// The row with this name.
    pub fn find(name: &str) -> Option<&'static Knob> {
        KNOBS.iter().find(|knob| knob.name == name)
    }

    /// What stands for its value in a usage line; `None`: it takes none.
    pub const fn placeholder(&self) -> Option<&'static str> {
        match self.effect {
            Effect::Switch(_) | Effect::Shorthand(_) => None,
            Effect::Choice(_) => Some("POLICY"),
            Effect::Value { placeholder, .. } => Some(placeholder),
            Effect::Profile => Some("PROFILE"),
            Effect::Without => Some("NAME"),
            Effect::ThirdAck => Some("data"),
            Effect::Fault => Some("SPEC"),
        }
    }

    /// The names that it takes, each with what it means; empty where any text may be a value.
    pub fn names(&self) -> Vec<(&'static str, &'static str)> {
        match self.effect {
            Effect::Choice(choices) => choices
                .iter()
                .map(|choice| (choice.name, choice.help))
                .collect(),
            Effect::Profile => {
                let summary = |profile| match profile {
                    Profile::Linux => "Linux 6.18; MSL 30 s",
                    Profile::Rfc9293 => "RFC 9293 to the letter; MSL 2 min",
                    Profile::Rfc793 => {
                        "The textbook of 1981: no challenge ACK, RST checks of RFC 793"
                    }
                };
                Profile::ALL
                    .iter()
                    .map(|profile| (profile.name(), summary(*profile)))
                    .collect()
            }
            Effect::Without => PRESETS
                .iter()
                .map(|preset| (preset.name, preset.removes))
                .collect(),
            Effect::Switch(_)
            | Effect::Value { .. }
            | Effect::Shorthand(_)
            | Effect::ThirdAck
            | Effect::Fault => Vec::new(),
        }
    }

    /// Whether it can be given more than once.
    pub const fn is_repeatable(&self) -> bool {
        matches!(self.effect, Effect::Without | Effect::Fault)
    }

    /// What it does, its source and its default.
    pub fn long_help(&self) -> String {
        let source = match self.source {
            "" => String::new(),
            source => format!(" ({source})"),
        };
        let default = match self.default_text().as_str() {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        format!("{}{source}{default}", self.help)
    }

    /// The value of each profile, in words; empty where it is off.
    pub fn default_text(&self) -> String {
        if let Effect::Profile = self.effect {
            return Profile::default().name().into();
        }
        let [linux, rfc9293] = [Profile::Linux, Profile::Rfc9293].map(|profile| {
            let text = self.value_in(&profile.config());
            String::from(text.trim_start_matches('<').trim_end_matches('>'))
        });
        if linux.is_empty() || linux == rfc9293 {
            linux
        } else {
            format!("the profile's, {linux} for linux")
        }
    }

    /// The value that a configuration has, as text; empty where there is none.
    pub fn value_in(&self, config: &Config) -> String {
        match self.effect {
            Effect::Value { get, .. } => get(config),
            Effect::Choice(choices) => {
                let current = choices.iter().find(|choice| {
                    let mut chosen = config.clone();
                    (choice.set)(&mut chosen);
                    chosen == *config
                });
                current.map_or("", |choice| choice.name).into()
            }
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
