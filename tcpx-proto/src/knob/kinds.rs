//! The kinds of rows that occur several times.

use super::{Choice, Effect, Heading, Knob};
use crate::config::Config;
use crate::lexer::{Parsed, Word};
use alloc::string::String;

const TIME: &str = "a duration above 0, at most 365 days";
const RETRIES: &str = "0 to 255";

/// Builds a row under a heading.
const fn row(heading: Heading, text: [&'static str; 3], effect: Effect) -> Knob {
    let [name, help, source] = text;
    Knob {
        name,
        heading,
        help,
        source,
        effect,
    }
}

pub(super) const fn broken(
    name: &'static str,
    help: &'static str,
    source: &'static str,
    effect: Effect,
) -> Knob {
    row(Heading::Break, [name, help, source], effect)
}

pub(super) const fn choice(
    name: &'static str,
    help: &'static str,
    source: &'static str,
    choices: &'static [Choice],
) -> Knob {
    row(
        Heading::Connection,
        [name, help, source],
        Effect::Choice(choices),
    )
}

pub(super) type Set = fn(&mut Config, Word<'_>) -> Parsed<()>;
pub(super) type Get = fn(&Config) -> String;

pub(super) const fn timer(
    name: &'static str,
    help: &'static str,
    source: &'static str,
    set: Set,
    get: Get,
) -> Knob {
    let effect = Effect::Value {
        placeholder: "DUR",
        range: TIME,
        set,
        get,
    };
    row(Heading::Timers, [name, help, source], effect)
}

pub(super) const fn retries(
    name: &'static str,
    help: &'static str,
    source: &'static str,
    set: Set,
    get: Get,
) -> Knob {
    let effect = Effect::Value {
        placeholder: "N",
        range: RETRIES,
        set,
        get,
    };
    row(Heading::Timers, [name, help, source], effect)
}

pub(super) const fn bound(
    name: &'static str,
    help: &'static str,
    source: &'static str,
    set: Set,
    get: Get,
) -> Knob {
    let effect = Effect::Value {
        placeholder: "N",
        range: "1 to 16777216",
        set,
        get,
    };
    row(Heading::Connection, [name, help, source], effect)
}
