//! How the values of options are read and written.

use crate::config::{KeepAlive, Persist};
use crate::lexer::{self, Parsed, Word, number};
use crate::time::Duration;
use alloc::format;
use alloc::string::String;

/// The longest duration of an option.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Stores a value that could be read.
pub(super) fn put<T>(place: &mut T, read: Parsed<T>) -> Parsed<()> {
    *place = read?;
    Ok(())
}

/// A bound on connections.
pub(super) fn count(word: Word<'_>) -> Parsed<usize> {
    number(word, 1, 1 << 24).map(|most| most as usize)
}

/// A duration as [`duration`] reads it.
pub(super) fn text(duration: Duration) -> String {
    format!("{duration:?}")
}

/// A duration above zero and at most a year.
pub(super) fn duration(word: Word<'_>) -> Parsed<Duration> {
    match lexer::duration(word, LONGEST)? {
        Duration::ZERO => Err(word.wrong("the duration must be above zero", None)),
        duration => Ok(duration),
    }
}

/// IDLE,INTERVAL,PROBES.
pub(super) fn keepalive(word: Word<'_>) -> Parsed<KeepAlive> {
    let wrong = || {
        word.wrong(
            "expected three values: IDLE,INTERVAL,PROBES",
            Some("for example: 2h,75s,9".into()),
        )
    };
    let (idle, rest) = word.cut(",");
    let (interval, probes) = rest.ok_or_else(wrong)?.cut(",");
    let probes = probes.ok_or_else(wrong)?;
    let probes_help = "one unanswered probe must not end a connection (MUST-29): give at least 2";
    Ok(KeepAlive {
        idle: duration(idle)?,
        interval: duration(interval)?,
        probes: number(probes, 2, u32::MAX)
            .map_err(|mistake| probes.wrong(mistake.message, Some(probes_help.into())))?,
    })
}

/// MIN,MAX.
pub(super) fn persist(word: Word<'_>) -> Parsed<Persist> {
    let (min, max) = word.cut(",");
    let help = || Some("for example: 200ms,120s".into());
    let max = max.ok_or_else(|| word.wrong("expected two values: MIN,MAX", help()))?;
    let persist = Persist {
        min: duration(min)?,
        max: duration(max)?,
    };
    if persist.min > persist.max {
        return Err(word.wrong("the first value is above the second", help()));
    }
    Ok(persist)
}

pub(super) fn delayed_ack(word: Word<'_>) -> Parsed<Duration> {
    let delay = duration(word)?;
    if delay >= Duration::from_millis(500) {
        return Err(word.wrong(
            "an ACK must be delayed less than 500ms (MUST-40)",
            Some("--without delayed-ack sends each ACK at once".into()),
        ));
    }
    Ok(delay)
}

/// `auto`, or a shift.
pub(super) fn window_shift(word: Word<'_>) -> Parsed<Option<u8>> {
    if word.text == "auto" {
        return Ok(None);
    }
    number(word, 0, 14).map(|shift| u8::try_from(shift).ok())
}
