//! Reads the language of scripts, statement by statement.

use super::{Connect, Expected, Step, options};
use crate::error::CloseKind;
use crate::lexer::{
    LONGEST, Mistake, Parsed, Word, Words, did_you_mean, duration, number, one_of, size,
};
use crate::state::State;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// The most bytes of one `send`.
const MOST: u32 = 1 << 24;
/// The most bytes of all of them.
const MOST_IN_ALL: usize = 1 << 26;
/// The most steps.
const MOST_STEPS: usize = 10_000;
const DEFAULT_BACKLOG: usize = 8;

type Rest<'w, 'a> = &'w mut Words<'a>;
type Read = fn(Word<'_>, Rest<'_, '_>) -> Parsed<Step>;

const STEPS: &[(&str, Read)] = &[
    ("listen", |_, rest| listen(rest)),
    ("accept", |_, rest| Ok(Step::Accept { name: named(rest)? })),
    ("connect", |_, rest| {
        connect(rest, Some(1)).map(Step::Connect)
    }),
    ("open", |_, rest| connect(rest, None).map(Step::Connect)),
    ("send", |_, rest| send(rest)),
    ("receive", |_, rest| receive(rest)),
    ("echo", |_, _| Ok(Step::Echo)),
    ("relay", |_, _| Ok(Step::Relay)),
    ("sleep", |_, rest| {
        let word = rest.expect("a duration", "for example: sleep 1.5s")?;
        duration(word, LONGEST).map(Step::Sleep)
    }),
    ("stop", |_, rest| {
        two(
            rest,
            &[
                ("reading", Step::StopReading),
                ("listening", Step::StopListening),
            ],
        )
    }),
    ("go", |_, rest| two(rest, &[("silent", Step::GoSilent)])),
    ("restart", |_, _| Ok(Step::Restart)),
    ("set", |_, rest| options::set(rest)),
    ("peek", |_, rest| {
        let word = rest.expect("a text", "for example: peek \"hello\"")?;
        string(word).map(Step::Peek)
    }),
    ("lift", |_, _| Ok(Step::Release)),
    ("shutdown", |_, _| Ok(Step::Shutdown)),
    ("close", |_, _| Ok(Step::Close)),
    ("abort", |_, _| Ok(Step::Abort)),
    ("expect", |_, rest| expect(rest)),
];

/// Reads a whole script.
pub(super) fn script(text: &str) -> Parsed<Vec<Step>> {
    let mut steps = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    while start < text.len() {
        let (end, next) = statement_end(text, start);
        let before = steps.len();
        statement(text.get(..end).unwrap_or_default(), start, &mut steps)?;
        bytes += steps
            .iter()
            .skip(before)
            .map(|step| {
                if let Step::Send(data) = step {
                    data.len()
                } else {
                    0
                }
            })
            .sum::<usize>();
        let long = |message: String| {
            Err(Mistake {
                span: start..end,
                message,
                help: None,
            })
        };
        if steps.len() > MOST_STEPS {
            return long(format!("a script has at most {MOST_STEPS} steps"));
        }
        if bytes > MOST_IN_ALL {
            return long(format!(
                "a script sends at most {}M in total",
                MOST_IN_ALL >> 20
            ));
        }
        start = next;
    }
    Ok(steps)
}

/// Where the statement that begins at `start` ends, and where the next one begins: a line's end, a
/// `;`, or a `#` comment outside of quotes.
fn statement_end(text: &str, start: usize) -> (usize, usize) {
    let mut quoted = false;
    let mut escaped = false;
    let mut comment = None;
    for (at, c) in text.get(start..).unwrap_or_default().char_indices() {
        let at = start + at;
        match c {
            '\n' => return (comment.unwrap_or(at), at + 1),
            ';' if !quoted && comment.is_none() => return (at, at + 1),
            '#' if !quoted && comment.is_none() => comment = Some(at),
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    (comment.unwrap_or(text.len()), text.len())
}

fn statement(text: &str, start: usize, steps: &mut Vec<Step>) -> Parsed<()> {
    let mut words = Words::new(text, start);
    let Some(mut word) = words.next() else {
        return Ok(());
    };
    if let Some(name) = word.text.strip_suffix(':') {
        steps.push(Step::On(label(word.part(0..name.len()))?));
        word = words.expect("a step", "for example: a: send \"hello\"")?;
    }
    let read = one_of(word, "step", STEPS)?;
    steps.push(read(word, &mut words)?);
    match words.next() {
        Some(more) => Err(more.wrong(
            "expected the end of the line",
            Some("write one step per line, or separate steps with ;".into()),
        )),
        None => Ok(()),
    }
}

fn two(rest: Rest<'_, '_>, known: &[(&str, Step)]) -> Parsed<Step> {
    let indices: Vec<(&str, usize)> = known
        .iter()
        .enumerate()
        .map(|(index, (name, _))| (*name, index))
        .collect();
    let first = known.first().map_or("", |(name, _)| name);
    let index = one_of(rest.expect("a word", first)?, "word", &indices)?;
    Ok(known
        .get(index)
        .map_or(Step::StopReading, |(_, step)| step.clone()))
}

fn listen(rest: Rest<'_, '_>) -> Parsed<Step> {
    let mut port = None;
    let mut backlog = DEFAULT_BACKLOG;
    while let Some(word) = rest.next() {
        match word.text {
            "backlog" => {
                backlog = number(rest.expect("a number", "at least 1")?, 1, 65_535)? as usize
            }
            _ if port.is_none() => port = Some(self::port(word)?),
            _ => {
                return Err(word.wrong(
                    "listen takes a port and a backlog",
                    Some("for example: listen 7000 backlog 8".into()),
                ));
            }
        }
    }
    Ok(Step::Listen { port, backlog })
}

fn connect(rest: Rest<'_, '_>, tries: Option<u32>) -> Parsed<Connect> {
    let mut connect = Connect {
        to: None,
        from: None,
        tries,
        name: None,
    };
    while let Some(word) = rest.next() {
        match word.text {
            "from" => connect.from = Some(port(rest.expect("a port", "for example: from 40000")?)?),
            "tries" if tries.is_none() => {
                return Err(word.wrong(
                    "open does not wait, so it cannot retry",
                    Some("use connect".into()),
                ));
            }
            "tries" => {
                connect.tries = Some(number(
                    rest.expect("a number", "for example: tries 3")?,
                    1,
                    1000,
                )?)
            }
            "as" => connect.name = Some(label(rest.expect("a name", "for example: as b")?)?),
            address => match address.parse::<SocketAddr>() {
                Ok(to) if connect.to.is_none() => connect.to = Some(to),
                _ => {
                    let help = match tries {
                        Some(_) => "connect [ADDR:PORT] [from PORT] [tries N] [as NAME]",
                        None => "open [ADDR:PORT] [from PORT] [as NAME]",
                    };
                    return Err(word.wrong(
                        format!("'{address}' is not an address with a port"),
                        Some(help.into()),
                    ));
                }
            },
        }
    }
    Ok(connect)
}

fn named(rest: Rest<'_, '_>) -> Parsed<Option<Arc<str>>> {
    match rest.next() {
        None => Ok(None),
        Some(word) if word.text == "as" => {
            label(rest.expect("a name", "for example: as b")?).map(Some)
        }
        Some(word) => Err(word.wrong(
            "only a name can follow",
            Some("for example: accept as b".into()),
        )),
    }
}

fn send(rest: Rest<'_, '_>) -> Parsed<Step> {
    let word = rest.expect(
        "what to send",
        "a text in quotes, a number of bytes, or input",
    )?;
    match word.text {
        "input" => Ok(Step::SendInput),
        text if text.starts_with('"') => string(word).map(Step::Send),
        _ => size(word, MOST).map(|bytes| Step::Send(counted(bytes as usize))),
    }
}

/// A pattern in which every ten bytes begin with their own offset.
fn counted(bytes: usize) -> Vec<u8> {
    let offsets = (0..bytes.div_ceil(10)).map(|index| format!("{:09} ", index * 10));
    offsets.flat_map(String::into_bytes).take(bytes).collect()
}

fn receive(rest: Rest<'_, '_>) -> Parsed<Step> {
    let word = rest.expect(
        "how much",
        "receive 5, receive until \"text\" or receive to end",
    )?;
    match word.text {
        "until" => string(rest.expect("a text", "for example: receive until \"\\n\"")?)
            .map(Step::ReceiveUntil),
        "to" => two(rest, &[("end", Step::ReceiveToEnd)]),
        _ => size(word, MOST).map(|bytes| Step::Receive(bytes.into())),
    }
}

fn expect(rest: Rest<'_, '_>) -> Parsed<Step> {
    let word = rest.expect("what to expect", "a text in quotes, a state, or closed")?;
    if word.text.starts_with('"') {
        return string(word).map(|text| Step::Expect(Expected::Text(text)));
    }
    if word.text == "closed" {
        let reasons = CloseKind::ALL.map(|kind| (kind.name(), ()));
        let reason = match rest.next() {
            Some(word) => {
                one_of(word, "close reason", &reasons).map(|()| Some(word.text.into()))?
            }
            None => None,
        };
        return Ok(Step::Expect(Expected::Closed(reason)));
    }
    let states: Vec<(&str, State)> = State::ALL
        .iter()
        .map(|state| (state.name(), *state))
        .collect();
    one_of(word, "state", &states).map(|state| Step::Expect(Expected::State(state)))
}

fn label(word: Word<'_>) -> Parsed<Arc<str>> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if word.text.is_empty() || !word.text.chars().all(fits) {
        return Err(word.wrong(
            "a name consists of letters, digits, - and _",
            Some("for example: as b".into()),
        ));
    }
    Ok(word.text.into())
}

fn port(word: Word<'_>) -> Parsed<u16> {
    number(word, 1, u16::MAX.into()).map(|port| u16::try_from(port).unwrap_or(u16::MAX))
}

/// A text in quotes.
fn string(word: Word<'_>) -> Parsed<Vec<u8>> {
    let inner = word
        .text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let Some(inner) = inner else {
        return Err(word.wrong(
            "a text must be in quotes",
            Some(format!("\"{}\"", word.text.trim_matches('"'))),
        ));
    };
    let mut bytes = Vec::new();
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(rest.get(..at).unwrap_or_default().as_bytes());
        let escape = rest.get(at + 1..).unwrap_or_default();
        let (byte, length) = escaped(escape).ok_or_else(|| {
            let known = "one of: \\n, \\r, \\t, \\0, \\\\, \\\" or \\x41".to_owned();
            word.wrong(
                format!(
                    "unknown escape '\\{}'",
                    escape
                        .chars()
                        .next()
                        .map(|c| c.to_string())
                        .unwrap_or_default()
                ),
                Some(known),
            )
        })?;
        bytes.push(byte);
        rest = escape.get(length..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    match bytes.is_empty() {
        true => Err(Mistake {
            span: word.span(),
            message: "the text is empty".into(),
            help: Some(did_you_mean("\"hello\"")),
        }),
        false => Ok(bytes),
    }
}

/// The byte that follows a backslash, and the length of its spelling.
fn escaped(text: &str) -> Option<(u8, usize)> {
    Some(match text.as_bytes().first()? {
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'0' => (0, 1),
        b'\\' => (b'\\', 1),
        b'"' => (b'"', 1),
        b'x' => (u8::from_str_radix(text.get(1..3)?, 16).ok()?, 3),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Script;
    use super::*;
    use crate::time::Duration;
    use alloc::vec;
    use proptest::prelude::*;

    const DOCS: &str = include_str!("../../../docs/scripts.md");

    /// The blocks that are fenced with this word.
    fn blocks(word: &str) -> Vec<&'static str> {
        let fence = format!("```{word}\n");
        DOCS.split(&*fence)
            .skip(1)
            .map(|block| block.split("```").next().unwrap_or_default())
            .collect()
    }

    #[test]
    fn docs_every_example_is_accepted_and_every_step_has_one() {
        let examples = blocks("script");
        assert!(examples.len() >= 3);
        for example in &examples {
            assert!(
                Script::parse(example).is_ok(),
                "{example}: {:?}",
                Script::parse(example)
            );
        }
        let all = examples.join("\n");
        for (name, _) in STEPS {
            assert!(all.contains(name), "no example of {name}");
        }
    }

    #[test]
    fn docs_every_refused_line_is_refused_within_the_line() {
        let refused: Vec<&str> = blocks("refused").into_iter().flat_map(str::lines).collect();
        assert!(refused.len() > 20);
        for line in refused {
            let error = Script::parse(line).expect_err(line);
            assert!(
                line.get(error.span.clone()).is_some() && !error.message.is_empty(),
                "{line}: {error:?}"
            );
        }
    }

    #[test]
    fn script_with_names_comments_and_semicolons_is_read_in_order() {
        let script = "listen 7000 backlog 3 # here\naccept as b; b: send \"a;\\x41#\\n\"\n\n \
                      receive to end;sleep 1.5s\nexpect closed reset";
        let expected = [
            Step::Listen {
                port: Some(7000),
                backlog: 3,
            },
            Step::Accept {
                name: Some("b".into()),
            },
            Step::On("b".into()),
            Step::Send(b"a;A#\n".to_vec()),
            Step::ReceiveToEnd,
            Step::Sleep(Duration::from_millis(1500)),
            Step::Expect(Expected::Closed(Some("reset".into()))),
        ];
        assert_eq!(script_steps(script), expected);
    }

    fn script_steps(text: &str) -> Vec<Step> {
        Script::parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .steps
    }

    #[test]
    fn connect_takes_its_parts_in_any_order() {
        let connect = |text: &str| match script_steps(text).remove(0) {
            Step::Connect(connect) => connect,
            other => panic!("{other:?}"),
        };
        let plain = Connect {
            to: None,
            from: None,
            tries: Some(1),
            name: None,
        };
        assert_eq!(connect("connect"), plain);
        assert_eq!(
            connect("open from 5000"),
            Connect {
                from: Some(5000),
                tries: None,
                ..plain
            }
        );
        let full = Connect {
            to: "10.0.0.2:7000".parse().ok(),
            from: Some(40_000),
            tries: Some(3),
            name: Some("b".into()),
        };
        assert_eq!(
            connect("connect as b from 40000 tries 3 10.0.0.2:7000"),
            full
        );
        assert_eq!(connect(&full.to_string()), full);
    }

    #[test]
    fn step_spelled_out_is_read_back() {
        let text = "listen 7000 backlog 8\naccept as a\nconnect from 5000\nopen as b\na:send \"x\"\n\
                    receive 5\nreceive until \"\\n\"\nreceive to end\necho\nsend input\n\
                    relay\nsleep 20ms\nstop reading\nstop listening\nset no-delay off\n\
                    set keepalive 10s 1s 3\nset keepalive off\nset user-timeout 2s\n\
                    set user-timeout off\nset linger2 0s\nset linger off\n\
                    set linger 1s\nset listener tos 0x28\nset ttl 9\n\
                    peek \"hi\"\nlift\nshutdown\nclose\n\
                    abort\ngo silent\nrestart\nexpect \"hi\"\n\
                    expect FIN-WAIT-2\nexpect closed\nexpect closed clean";
        for step in script_steps(&text.replace("a:send", "send")) {
            assert_eq!(script_steps(&step.to_string()), vec![step]);
        }
    }

    #[test]
    fn script_that_is_too_long_is_refused_with_the_limit() {
        assert_eq!(script_steps(&"close;".repeat(10_000)).len(), 10_000);
        let refused = |text: &str| Script::parse(text).unwrap_err();
        let steps = refused(&"close;".repeat(10_001));
        assert_eq!(
            (steps.message.as_str(), steps.span),
            ("a script has at most 10000 steps", 60_000..60_005)
        );
        assert_eq!(
            script_steps("send 16M; send 16M; send 16M; send 16M").len(),
            4
        );
        let bytes = refused("send 16M; send 16M; send 16M; send 16M; send \"x\"");
        assert_eq!(bytes.message, "a script sends at most 64M in total");
    }

    #[test]
    fn counted_bytes_have_their_offsets() {
        assert_eq!(counted(23), b"000000000 000000010 000");
    }

    #[test]
    fn mistake_is_in_its_own_line_and_the_nearest_word_is_named() {
        for (text, wrong, help) in [
            ("connect\nsned \"x\"", "sned", "did you mean 'send'?"),
            (
                "connect; expect ESTABLISHD",
                "ESTABLISHD",
                "did you mean 'ESTABLISHED'?",
            ),
            ("expect closed rest", "rest", "did you mean 'reset'?"),
            ("stop readin", "readin", "did you mean 'reading'?"),
            (
                "close now",
                "now",
                "write one step per line, or separate steps with ;",
            ),
        ] {
            let error = Script::parse(text).expect_err(text);
            assert_eq!(
                (&text[error.span.clone()], error.help.as_deref()),
                (wrong, Some(help)),
                "{text}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_within_its_bounds(text in any::<String>()) {
            if let Err(error) = Script::parse(&text) {
                prop_assert!(text.get(error.span).is_some());
            }
        }

        #[test]
        fn any_words_of_the_language_are_read_or_refused_within_bounds(
            text in "((listen|accept|as|connect|send|receive|until|to end|expect|closed|stop|\
                    a:|;|\n|\"x|\"|#|é)[ ]?[0-9sA-F]{0,2}){0,12}"
        ) {
            if let Err(error) = Script::parse(&text) {
                prop_assert!(text.get(error.span).is_some());
            }
        }
    }
}
