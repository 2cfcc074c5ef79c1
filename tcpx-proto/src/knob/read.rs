//! From options to a configuration: which were given, with which values, and what follows.

use super::{Effect, KNOBS, Knob, rows};
use crate::config::{Config, Profile};
use crate::fault::{self, FaultRule};
use crate::lexer::{Mistake, Parsed, Word, did_you_mean, nearest, one_of};
use crate::preset::{PRESETS, Preset};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// What the options set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The profile that they started from.
    pub profile: Profile,
    /// The stack's configuration.
    pub config: Config,
    /// The rules of the gate, in its order: those of removed rules, then the faults.
    pub rules: Vec<FaultRule>,
}

impl Settings {
    /// Reads a line of options.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn parse(text: &str) -> Parsed<Settings> {
        settings(&options(text)?).map_err(|wrong| wrong.mistake)
    }
}

/// An option that was given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Its row.
    pub knob: &'static Knob,
    /// Its value; empty if it has none.
    pub value: Word<'a>,
}

impl<'a> Given<'a> {
    /// `--profile`.
    pub fn profile(name: &'a str) -> Given<'a> {
        Given {
            knob: &rows::PROFILE,
            value: Word::whole(name),
        }
    }

    /// `--without`.
    pub fn without(rule: &'a str) -> Given<'a> {
        Given {
            knob: &rows::WITHOUT,
            value: Word::whole(rule),
        }
    }

    /// `--fault`.
    pub fn fault(line: &'a str) -> Given<'a> {
        Given {
            knob: &rows::FAULT,
            value: Word::whole(line),
        }
    }

    /// The words of a command line that give it.
    pub fn words(&self) -> Vec<String> {
        let flag = format!("--{}", self.knob.name);
        match (self.knob.effect, self.value.text) {
            (Effect::Switch(_) | Effect::Shorthand(_), _) | (Effect::ThirdAck, "") => vec![flag],
            (Effect::ThirdAck, value) => vec![format!("{flag}={value}")],
            (_, value) => vec![flag, value.into()],
        }
    }
}

/// A mistake in one of the options.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// Which one, by its index.
    pub given: usize,
    /// The mistake in its value.
    pub mistake: Mistake,
}

/// Reads a line of options, such as `--isn 100 --without time-wait --fault 'drop out fin#1'`. A
/// value stands after a blank or `=`; quotes keep blanks together.
///
/// # Errors
/// An unknown option; a missing or superfluous value; a quote that is not closed.
pub fn options(text: &str) -> Parsed<Vec<Given<'_>>> {
    let mut given = Vec::new();
    let mut rest = Word::whole(text);
    while let Some(word) = token(&mut rest)? {
        let (name, value) = word.cut("=");
        let knob = find(name)?;
        let value = match (knob.placeholder(), value) {
            (None, Some(value)) => {
                return Err(value.wrong(format!("--{} takes no value", knob.name), None));
            }
            (_, Some(value)) => unquoted(value),
            (None, None) => name.end(),
            (Some(_), None) if matches!(knob.effect, Effect::ThirdAck) => name.end(),
            (Some(placeholder), None) => match token(&mut rest)? {
                Some(value) if !value.text.starts_with("--") => unquoted(value),
                _ => {
                    let message = format!("--{} needs a value: {placeholder}", knob.name);
                    return Err(name.wrong(message, None));
                }
            },
        };
        given.push(Given { knob, value });
    }
    Ok(given)
}

fn find(name: Word<'_>) -> Parsed<&'static Knob> {
    let known = name.text.strip_prefix("--").unwrap_or_default();
    if let Some(knob) = Knob::find(known) {
        return Ok(knob);
    }
    let names = KNOBS.iter().map(|knob| knob.name);
    let help = nearest(known, names).map(|name| did_you_mean(&format!("--{name}")));
    Err(name.wrong(format!("unknown option '{}'", name.text), help))
}

/// Takes the next token, up to a blank that is not in quotes.
fn token<'a>(rest: &mut Word<'a>) -> Parsed<Option<Word<'a>>> {
    let word = rest.trim();
    if word.text.is_empty() {
        return Ok(None);
    }
    let mut quote = None;
    let ends = |c: char| {
        match quote {
            Some(open) if open == c => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => {}
        }
        quote.is_none() && c.is_whitespace()
    };
    let len = word.text.find(ends).unwrap_or(word.text.len());
    if quote.is_some() {
        return Err(word.wrong("a quote is not closed", None));
    }
    *rest = word.part(len..word.text.len());
    Ok(Some(word.part(0..len)))
}

fn unquoted(word: Word<'_>) -> Word<'_> {
    let is_quoted = |quote| word.text.starts_with(quote) && word.text.ends_with(quote);
    if word.text.len() > 1 && (is_quoted('\'') || is_quoted('"')) {
        word.part(1..word.text.len() - 1)
    } else {
        word
    }
}

/// What these options set: the profile, then the parameters, then the removed rules, then the
/// faults. So a rule that is removed stays removed, whatever its parameters are.
///
/// # Errors
/// The first mistake in a value; an option that was given twice; a hold without its release.
pub fn settings(given: &[Given<'_>]) -> Result<Settings, Wrong> {
    once(given)?;
    let mut profile = Profile::default();
    for (index, option) in given.iter().enumerate() {
        if let Effect::Profile = option.knob.effect {
            let profiles = Profile::ALL.map(|profile| (profile.name(), profile));
            profile = one_of(option.value, "profile", &profiles).map_err(|mistake| Wrong {
                given: index,
                mistake,
            })?;
        }
    }
    let mut config = profile.config();
    for (index, option) in in_order(given) {
        parameter(&mut config, option).map_err(|mistake| Wrong {
            given: index,
            mistake,
        })?;
    }
    let mut rules = Vec::new();
    // Which option each rule comes from.
    let mut owners = Vec::new();
    let is_fault = |(_, option): &(usize, &Given<'_>)| matches!(option.knob.effect, Effect::Fault);
    let removals = in_order(given).filter(|option| !is_fault(option));
    let faults = given.iter().enumerate().filter(is_fault);
    for (index, option) in removals.chain(faults) {
        rule(&mut config, &mut rules, option).map_err(|mistake| Wrong {
            given: index,
            mistake,
        })?;
        owners.resize(rules.len(), index);
    }
    if let Err((wrong, mistake)) = fault::check(&rules) {
        let at = rules.iter().position(|rule| core::ptr::eq(rule, wrong));
        let index = at
            .and_then(|at| owners.get(at))
            .copied()
            .unwrap_or_default();
        let start = given
            .get(index)
            .map_or(0, |option| option.value.span().start);
        return Err(Wrong {
            given: index,
            mistake: shifted(mistake, start),
        });
    }
    Ok(Settings {
        profile,
        config,
        rules,
    })
}

/// The options in the order of their rows.
fn in_order<'a, 'b>(given: &'b [Given<'a>]) -> impl Iterator<Item = (usize, &'b Given<'a>)> {
    KNOBS.iter().flat_map(move |knob| {
        let same = move |(_, option): &(usize, &Given<'_>)| option.knob.name == knob.name;
        given.iter().enumerate().filter(same)
    })
}

/// Only rules and faults can be given more than once.
fn once(given: &[Given<'_>]) -> Result<(), Wrong> {
    for (index, option) in given.iter().enumerate() {
        let earlier = given.get(..index).unwrap_or_default();
        if !option.knob.is_repeatable()
            && earlier
                .iter()
                .any(|other| other.knob.name == option.knob.name)
        {
            let message = format!("--{} is given twice", option.knob.name);
            let mistake = option.value.wrong(message, None);
            return Err(Wrong {
                given: index,
                mistake,
            });
        }
    }
    Ok(())
}

fn parameter(config: &mut Config, option: &Given<'_>) -> Parsed<()> {
    match option.knob.effect {
        Effect::Switch(set) => set(config),
        Effect::Choice(choices) => {
            let known: Vec<_> = choices
                .iter()
                .map(|choice| (choice.name, choice.set))
                .collect();
            one_of(option.value, option.knob.name, &known)?(config);
        }
        Effect::Value { set, .. } => set(config, option.value)?,
        Effect::Profile
        | Effect::Without
        | Effect::Shorthand(_)
        | Effect::ThirdAck
        | Effect::Fault => {}
    }
    Ok(())
}

fn rule(config: &mut Config, rules: &mut Vec<FaultRule>, option: &Given<'_>) -> Parsed<()> {
    let value = option.value;
    match (option.knob.effect, value.text) {
        (Effect::Without, _) => {
            let presets: Vec<_> = PRESETS.iter().map(|preset| (preset.name, preset)).collect();
            one_of(value, "rule", &presets)?.apply(config, rules);
        }
        (Effect::Shorthand(name), _) => remove(name, config, rules),
        (Effect::ThirdAck, "") => remove("third-ack", config, rules),
        (Effect::ThirdAck, "data") => {
            let mut rule = FaultRule::parse("drop out third-ack")?;
            rule.preset = Some("third-ack");
            rules.push(rule);
        }
        (Effect::ThirdAck, _) => {
            return Err(value.wrong("the only value is 'data'", None));
        }
        (Effect::Fault, line) => {
            let start = value.span().start;
            rules.push(FaultRule::parse(line).map_err(|mistake| shifted(mistake, start))?);
        }
        (Effect::Switch(_) | Effect::Choice(_) | Effect::Value { .. } | Effect::Profile, _) => {}
    }
    Ok(())
}

fn remove(name: &str, config: &mut Config, rules: &mut Vec<FaultRule>) {
    if let Some(preset) = Preset::find(name) {
        preset.apply(config, rules);
    }
}

/// The same mistake in a text that begins this much earlier.
fn shifted(mistake: Mistake, start: usize) -> Mistake {
    let span = mistake.span.start + start..mistake.span.end + start;
    Mistake { span, ..mistake }
}
