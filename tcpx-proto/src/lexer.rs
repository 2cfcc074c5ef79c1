//! Reads a line of one of our small languages word by word. A mistake has its position and what to
//! write instead.

use crate::time::Duration;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// The longest duration in a script or a fault.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The units of time in all their spellings, in nanoseconds.
const UNITS: &[(&[&str], u128)] = &[
    (&["ns", "nsec", "nanos"], 1),
    (&["us", "µs", "usec", "micros"], 1_000),
    (&["ms", "msec", "millis"], 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000_000_000),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000_000_000),
    (&["d", "day", "days"], 86_400_000_000_000),
    (&["w", "wk", "wks", "week", "weeks"], 604_800_000_000_000),
    (&["month", "months"], 2_630_016_000_000_000),
];

/// A value, or what is wrong with its text.
pub type Parsed<T> = Result<T, Mistake>;

/// What is wrong with a text, where, and what to write instead.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Mistake {
    /// The wrong bytes of the text; empty and at its end when something is missing.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Mistake {}

/// A decimal or hexadecimal number within these bounds.
///
/// # Errors
/// The word is not a number, or it is out of bounds.
pub fn number(word: Word<'_>, least: u32, most: u32) -> Parsed<u32> {
    let parsed = match word.text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        _ if word.text.starts_with('+') => None,
        _ => word.text.parse().ok(),
    };
    let message = || match most {
        u32::MAX => format!("expected a number, at least {least}"),
        _ => format!("expected a number from {least} to {most}"),
    };
    match parsed {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(word.wrong(message(), None)),
    }
}

/// A number of bytes such as `5`, `64k` or `1M`, from 1 to `most`.
///
/// # Errors
/// The word is not a number of bytes, or it is out of bounds.
pub fn size(word: Word<'_>, most: u32) -> Parsed<u32> {
    let (digits, unit) = match word.text.as_bytes().last() {
        Some(b'k' | b'K') => (word.part(0..word.text.len() - 1), 1 << 10),
        Some(b'm' | b'M') => (word.part(0..word.text.len() - 1), 1 << 20),
        _ => (word, 1),
    };
    match number(digits, 1, most / unit) {
        Ok(number) => Ok(number * unit),
        Err(_) => Err(word.wrong(
            format!("expected a number of bytes, at most {}M", most >> 20),
            Some("for example: 65536, 64k or 1M".into()),
        )),
    }
}

/// A decimal number in billionths, with at most 18 digits before the point and 9 after it.
pub(crate) fn decimal(text: &str) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_digit())
    };
    if !digits(whole, 18) || !digits(fraction, 9) {
        return None;
    }
    let fraction = format!("{fraction:0<9}").parse::<u128>().ok()?;
    Some(whole.parse::<u128>().ok()? * 1_000_000_000 + fraction)
}

/// A duration such as `1.5s`, `200ms` or `2h 30m`, at most `most`.
///
/// # Errors
/// The word is not a duration, or it is too long.
pub fn duration(word: Word<'_>, most: Duration) -> Parsed<Duration> {
    let malformed = || {
        word.wrong(
            "a duration is a number with a unit: us, ms, s, m or h",
            Some("for example: 3s, 1.5s or 10ms".into()),
        )
    };
    let mut nanos: u128 = 0;
    let mut rest = word.trim();
    loop {
        let (digits, after) = rest.split(|c| c.is_ascii_digit() || c == '.');
        let (unit, after) = after.trim().split(char::is_alphabetic);
        let billionths = decimal(digits.text).ok_or_else(malformed)?;
        if unit.text.is_empty() {
            return Err(malformed());
        }
        let unit = duration_unit(unit)?;
        nanos = nanos.saturating_add(billionths.saturating_mul(unit) / 1_000_000_000);
        rest = after.trim();
        if rest.text.is_empty() {
            break;
        }
    }
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(duration) if duration <= most => Ok(duration),
        _ => {
            let hours = most.as_secs() / 3600;
            let most = match hours % 24 {
                0 if hours > 24 => format!("{} days", hours / 24),
                _ => format!("{hours}h"),
            };
            Err(word.wrong(format!("the duration is too long: at most {most}"), None))
        }
    }
}

/// The nanoseconds of a unit.
fn duration_unit(word: Word<'_>) -> Parsed<u128> {
    let known = UNITS
        .iter()
        .find(|(spellings, _)| spellings.contains(&word.text));
    match known {
        Some((_, nanos)) => Ok(*nanos),
        None => Err(word.wrong(
            format!("unknown unit of time '{}'", word.text),
            Some("one of: us, ms, s, m, h".into()),
        )),
    }
}

/// The value of this word in a closed set.
///
/// # Errors
/// The set does not have the word. The help is the nearest word that it has, or all of them.
pub fn one_of<T: Copy>(word: Word<'_>, what: &str, known: &[(&str, T)]) -> Parsed<T> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == word.text) {
        return Ok(*value);
    }
    let names = known.iter().map(|(name, _)| *name);
    let help = match nearest(word.text, names.clone()) {
        Some(name) => did_you_mean(name),
        None => format!("one of: {}", names.collect::<Vec<_>>().join(", ")),
    };
    let message = if word.text.is_empty() {
        format!("a {what} is missing")
    } else {
        format!("unknown {what} '{}'", word.text)
    };
    Err(word.wrong(message, Some(help)))
}

/// Offers the nearest word.
pub fn did_you_mean(name: &str) -> String {
    format!("did you mean '{name}'?")
}

/// The known word that is the fewest edits away from `word`, if those are few, or that begins with
/// it. Case does not count.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let is_prefix_of = |name: &str| {
        word.len() > 1
            && name
                .get(..word.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(word))
    };
    let edits = |name: &str| match is_prefix_of(name) {
        true => 1,
        false => distance(word, name),
    };
    let (edits, name) = known
        .map(|name| (edits(name), name))
        .min_by_key(|(edits, _)| *edits)?;
    (edits <= 1 + word.len() / 4 && edits < word.len()).then_some(name)
}

/// The optimal string alignment distance: how many letters to insert, remove, replace or swap with
/// their neighbour. (The crate strsim has it, but needs std.)
fn distance(from: &str, to: &str) -> usize {
    let letters = |text: &str| -> Vec<char> {
        text.chars()
            .map(|letter| letter.to_ascii_lowercase())
            .collect()
    };
    let to = letters(to);
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (line, letter) in letters(from).into_iter().enumerate() {
        let mut next = alloc::vec![line + 1];
        for (column, other) in to.iter().enumerate() {
            let replaced = at(&row, column) + usize::from(letter != *other);
            let changed = at(&row, column + 1).min(at(&next, column)) + 1;
            let swapped = match column.checked_sub(1).and_then(|left| to.get(left)) {
                Some(left) if *left == letter && last == Some(*other) => {
                    at(&before, column - 1) + 1
                }
                _ => usize::MAX,
            };
            next.push(replaced.min(changed).min(swapped));
        }
        before = core::mem::replace(&mut row, next);
        last = Some(letter);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// The words of a line. Blanks inside brackets or quotes do not end a word.
#[derive(Debug)]
pub struct Words<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    /// The words of `line` from byte `at` on.
    pub fn new(line: &'a str, at: usize) -> Words<'a> {
        Words { line, at }
    }

    /// The next word; `None` at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "a caller asks for one word at a time, and sometimes for one that must be there"
    )]
    pub fn next(&mut self) -> Option<Word<'a>> {
        let rest = self.line.get(self.at..)?;
        let start = self.at + (rest.len() - rest.trim_start().len());
        let mut depth = 0_usize;
        let mut quoted = false;
        let mut escaped = false;
        let ends = |c: char| {
            match c {
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth = depth.saturating_sub(1),
                '"' if !escaped => quoted = !quoted,
                _ => {}
            }
            escaped = quoted && c == '\\' && !escaped;
            c.is_whitespace() && depth == 0 && !quoted
        };
        let rest = self.line.get(start..)?;
        let len = rest.find(ends).unwrap_or(rest.len());
        self.at = start + len;
        (len > 0).then_some(Word {
            text: rest.get(..len)?,
            at: start,
        })
    }

    /// The next word, which must be there.
    ///
    /// # Errors
    /// The line has no more words.
    pub fn expect(&mut self, what: &str, help: &str) -> Parsed<Word<'a>> {
        let end = self.line.trim_end().len();
        self.next().ok_or_else(|| Mistake {
            span: end..end,
            message: format!("{what} is missing"),
            help: Some(help.into()),
        })
    }
}

/// A part of the line, and its position.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// As it is written.
    pub text: &'a str,
    at: usize,
}

impl<'a> Word<'a> {
    /// A text that is one word, blanks included.
    pub fn whole(text: &'a str) -> Word<'a> {
        Word { text, at: 0 }
    }

    /// Its position.
    pub fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// Some of its bytes.
    pub fn part(self, range: Range<usize>) -> Word<'a> {
        Word {
            at: self.at + range.start,
            text: self.text.get(range).unwrap_or_default(),
        }
    }

    /// The parts before and after the first `separator`.
    pub fn cut(self, separator: &str) -> (Word<'a>, Option<Word<'a>>) {
        match self.text.find(separator) {
            Some(at) => (
                self.part(0..at),
                Some(self.part(at + separator.len()..self.text.len())),
            ),
            None => (self, None),
        }
    }

    /// The longest beginning of characters that belong, and the rest.
    fn split(self, belongs: impl Fn(char) -> bool) -> (Word<'a>, Word<'a>) {
        let end = self.text.find(|c| !belongs(c));
        let end = end.unwrap_or(self.text.len());
        (self.part(0..end), self.part(end..self.text.len()))
    }

    pub(crate) fn trim(self) -> Word<'a> {
        let start = self.text.len() - self.text.trim_start().len();
        self.part(start..start.max(self.text.trim_end().len()))
    }

    /// The position right after it.
    pub(crate) fn end(self) -> Word<'a> {
        self.part(self.text.len()..self.text.len())
    }

    /// A mistake in it.
    pub fn wrong(self, message: impl Into<String>, help: Option<String>) -> Mistake {
        Mistake {
            span: self.span(),
            message: message.into(),
            help,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed<Duration> {
        duration(Word::whole(text), LONGEST)
    }

    #[test]
    fn duration_in_every_spelling_is_exact() {
        for (text, nanos) in [
            ("0s", 0),
            ("7ns", 7),
            ("1us", 1_000),
            ("1 µs", 1_000),
            ("2.5ms", 2_500_000),
            ("250 msec", 250_000_000),
            ("1500ms", 1_500_000_000),
            ("1.5s", 1_500_000_000),
            ("1sec", 1_000_000_000),
            ("2min", 120_000_000_000),
            ("2m", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("2h 30m", 9_000_000_000_000),
            ("2h30min", 9_000_000_000_000),
            (" 1 hour 1 second ", 3_601_000_000_000),
            ("1d", 86_400_000_000_000),
        ] {
            assert_eq!(read(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn duration_that_is_none_is_refused_within_the_text() {
        for (text, wrong, message) in [
            ("", "", "a duration is a number"),
            ("5", "5", "a duration is a number"),
            ("s", "s", "a duration is a number"),
            ("-1s", "-1s", "a duration is a number"),
            ("1..5s", "1..5s", "a duration is a number"),
            ("1s 5", "1s 5", "a duration is a number"),
            ("1s, 5s", "1s, 5s", "a duration is a number"),
            ("3parsec", "parsec", "unknown unit of time 'parsec'"),
            ("1s 2 ells", "ells", "unknown unit of time 'ells'"),
            ("25h", "25h", "the duration is too long: at most 24h"),
            (
                "999999999999999999h",
                "999999999999999999h",
                "the duration is too long: at most 24h",
            ),
        ] {
            let mistake = read(text).expect_err(text);
            assert_eq!(text.get(mistake.span.clone()), Some(wrong), "{text}");
            assert!(mistake.message.starts_with(message), "{text}: {mistake}");
        }
    }

    #[test]
    fn size_takes_units_and_refuses_what_is_above_the_limit() {
        let read = |text| size(Word::whole(text), 1 << 24);
        for (text, bytes) in [
            ("5", 5),
            ("64k", 65_536),
            ("64K", 65_536),
            ("1M", 1 << 20),
            ("16m", 1 << 24),
            ("0x10", 16),
        ] {
            assert_eq!(read(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "0", "-1", "+1", "1G", "17M", "1.5k", "99999999999"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
