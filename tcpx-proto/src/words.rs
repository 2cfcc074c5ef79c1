//! A line of one of our small languages, read word by word: a mistake says where it is and what
//! would be right.

use crate::time::Duration;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// The longest time that can be written.
const MAX_TIME: Duration = Duration::from_secs(24 * 3600);

const UNITS: &[(&str, u64)] = &[
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A value, or what is wrong with its text.
pub type Parsed<T> = Result<T, Mistake>;

/// What is wrong with a text, where, and what to write instead.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Mistake {
    /// The octets of the text that are wrong; empty at its end when something is missing.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// The nearest thing that is right.
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
/// It is none, or beyond them.
pub fn number(word: Word<'_>, least: u32, most: u32) -> Parsed<u32> {
    let parsed = match word.text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        _ if word.text.starts_with('+') => None,
        _ => word.text.parse().ok(),
    };
    let message = || match most {
        u32::MAX => format!("a number from {least} on is needed here"),
        _ => format!("a number from {least} to {most} is needed here"),
    };
    parsed
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| word.wrong(message(), None))
}

/// A decimal number with up to nine digits on either side of the point, in billionths.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| {
        (1..=9).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_digit())
    };
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = format!("{fraction:0<9}").parse::<u64>().ok()?;
    Some(whole.parse::<u64>().ok()? * 1_000_000_000 + fraction)
}

pub(crate) fn duration(word: Word<'_>) -> Parsed<Duration> {
    time(word, MAX_TIME)
}

/// A time such as `1.5s`, up to the longest that is allowed here.
///
/// # Errors
/// It is none, or longer.
pub fn time(word: Word<'_>, most: Duration) -> Parsed<Duration> {
    let hours = most.as_secs() / 3600;
    let wrong = |help: String| {
        word.wrong(
            format!("a time is a number and us, ms, s, m or h, up to {hours} h"),
            Some(help),
        )
    };
    let example = || wrong("for example: 3s, 1.5s or 10ms".into());
    let unit = word
        .text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or_else(example)?;
    let nanos = one_of(word.part(unit..word.text.len()), "unit of time", UNITS)?;
    let number = decimal(word.part(0..unit).text).ok_or_else(example)?;
    let total = u128::from(number) * u128::from(nanos) / 1_000_000_000;
    let time = u64::try_from(total).ok().map(Duration::from_nanos);
    time.filter(|time| *time <= most)
        .ok_or_else(|| wrong(format!("{hours}h is the longest")))
}

/// What stands for this word in a closed set.
///
/// # Errors
/// The set does not have it; the nearest that it has is told, or all of them.
pub fn one_of<T: Copy>(word: Word<'_>, what: &str, known: &[(&str, T)]) -> Parsed<T> {
    let found = known.iter().find(|(name, _)| *name == word.text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names = known.iter().map(|(name, _)| *name);
        let help = match nearest(word.text, names.clone()) {
            Some(name) => did_you_mean(name),
            None => format!("one of: {}", names.collect::<Vec<_>>().join(", ")),
        };
        let message = if word.text.is_empty() {
            format!("a {what} is missing")
        } else {
            format!("'{}' is no {what}", word.text)
        };
        word.wrong(message, Some(help))
    })
}

/// How a nearest word is offered.
pub fn did_you_mean(name: &str) -> String {
    format!("did you mean '{name}'?")
}

/// The one that needs the fewest letters changed, if those are few, or that begins like it. Large
/// letters are as good as small ones.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let begins = |name: &str| {
        word.len() > 1
            && name
                .get(..word.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(word))
    };
    let distances = known.map(|name| {
        (
            if begins(name) {
                1
            } else {
                distance(word, name)
            },
            name,
        )
    });
    let (changes, name) = distances.min_by_key(|(changes, _)| *changes)?;
    (changes <= 1 + word.len() / 4 && changes < word.len()).then_some(name)
}

/// Letters to insert, remove, replace or swap with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to
        .chars()
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (line, letter) in from
        .chars()
        .map(|letter| letter.to_ascii_lowercase())
        .enumerate()
    {
        let mut next = alloc::vec![line + 1];
        for (column, other) in to.iter().enumerate() {
            let at =
                |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
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
pub struct Words<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    /// Those of `line` from the octet `at` on.
    pub fn new(line: &'a str, at: usize) -> Words<'a> {
        Words { line, at }
    }

    /// What comes next; `None` at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "nobody iterates over the words of a line"
    )]
    pub fn next(&mut self) -> Option<Word<'a>> {
        let rest = self.line.get(self.at..)?;
        let start = self.at + (rest.len() - rest.trim_start().len());
        let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
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

    /// The next, which must be there.
    ///
    /// # Errors
    /// There is none.
    pub fn expect(&mut self, what: &str, help: &str) -> Parsed<Word<'a>> {
        let end = self.line.trim_end().len();
        self.next().ok_or_else(|| Mistake {
            span: end..end,
            message: format!("{what} is missing"),
            help: Some(help.into()),
        })
    }
}

/// A part of the line, and where it stands.
#[derive(Clone, Copy)]
pub struct Word<'a> {
    /// As it is written.
    pub text: &'a str,
    at: usize,
}

impl<'a> Word<'a> {
    /// Where it stands.
    pub fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// Some of its octets.
    pub fn part(self, range: Range<usize>) -> Word<'a> {
        Word {
            at: self.at + range.start,
            text: self.text.get(range).unwrap_or_default(),
        }
    }

    /// What stands before the first `separator`, and what after it.
    pub fn cut(self, separator: &str) -> (Word<'a>, Option<Word<'a>>) {
        match self.text.find(separator) {
            Some(at) => (
                self.part(0..at),
                Some(self.part(at + separator.len()..self.text.len())),
            ),
            None => (self, None),
        }
    }

    pub(crate) fn trim(self) -> Word<'a> {
        let start = self.text.len() - self.text.trim_start().len();
        self.part(start..start.max(self.text.trim_end().len()))
    }

    /// The place right after it.
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
