//! Reads `set`: an option of a connection or of a listener.

use super::Step;
use crate::config::{KeepAlive, SocketOption};
use crate::lexer::{LONGEST, Parsed, Word, Words, did_you_mean, duration, number, one_of};
use crate::time::Duration;
use alloc::format;

type Rest<'w, 'a> = &'w mut Words<'a>;
type ReadOption = fn(Rest<'_, '_>) -> Parsed<SocketOption>;

const OPTIONS: &[(&str, ReadOption)] = &[
    ("no-delay", |rest| {
        let word = rest.expect("on or off", "for example: set no-delay on")?;
        one_of(word, "setting", &[("on", true), ("off", false)]).map(SocketOption::NoDelay)
    }),
    ("keepalive", |rest| {
        keepalive(rest).map(SocketOption::KeepAlive)
    }),
    ("user-timeout", |rest| {
        let word = rest.expect("a duration or off", "for example: set user-timeout 20s")?;
        match word.text {
            "off" => Ok(None),
            _ => above_zero(word).map(Some),
        }
        .map(SocketOption::UserTimeout)
    }),
    ("linger2", |rest| {
        let word = rest.expect("a duration", "for example: set linger2 5s")?;
        duration(word, LONGEST).map(SocketOption::Linger2)
    }),
    ("linger", |rest| {
        let word = rest.expect("a duration or off", "for example: set linger 0s")?;
        match word.text {
            "off" => Ok(None),
            _ => duration(word, LONGEST).map(Some),
        }
        .map(SocketOption::Linger)
    }),
    ("tos", |rest| {
        let word = rest.expect("a byte", "for example: set tos 0x28")?;
        let tos = octet(word, 0, 255)?;
        if tos & 3 != 0 {
            return Err(word.wrong(
                "the last two bits are for ECN",
                Some(did_you_mean(&format!("{:#x}", tos & !3))),
            ));
        }
        Ok(SocketOption::Tos(tos))
    }),
    ("ttl", |rest| {
        let word = rest.expect("a number", "for example: set ttl 64")?;
        octet(word, 1, 254).map(SocketOption::Ttl)
    }),
];

/// `set` and what follows it.
pub(super) fn set(rest: Rest<'_, '_>) -> Parsed<Step> {
    let help = "for example: set no-delay on, or set listener no-delay on";
    let word = rest.expect("an option", help)?;
    if word.text == "listener" {
        let word = rest.expect("an option", help)?;
        return one_of(word, "option", OPTIONS)?(rest).map(Step::SetListener);
    }
    one_of(word, "option", OPTIONS)?(rest).map(Step::Set)
}

/// `off`, or up to three values: those that are missing have their default.
fn keepalive(rest: Rest<'_, '_>) -> Parsed<Option<KeepAlive>> {
    let help = "set keepalive TIME [TIME [N]], such as 10s 1s 3, or set keepalive off";
    let word = rest.expect("a duration or off", help)?;
    if word.text == "off" {
        return Ok(None);
    }
    let mut keepalive = KeepAlive {
        idle: above_zero(word)?,
        ..KeepAlive::default()
    };
    if let Some(word) = rest.next() {
        keepalive.interval = above_zero(word)?;
    }
    if let Some(word) = rest.next() {
        keepalive.probes = number(word, 2, 127).map_err(|mistake| {
            let help = "one unanswered probe must not end a connection (MUST-29): give 2 to 127";
            word.wrong(mistake.message, Some(help.into()))
        })?;
    }
    Ok(Some(keepalive))
}

fn above_zero(word: Word<'_>) -> Parsed<Duration> {
    match duration(word, LONGEST)? {
        Duration::ZERO => Err(word.wrong("the duration must be above zero", None)),
        duration => Ok(duration),
    }
}

fn octet(word: Word<'_>, least: u8, most: u8) -> Parsed<u8> {
    number(word, least.into(), most.into()).map(|number| u8::try_from(number).unwrap_or(most))
}
