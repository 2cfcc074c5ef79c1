//! Why a rule cannot be said in nftables, and which part of its line that is.

use std::ops::Range;
use tcpx_proto::lexer::Mistake;

/// The part of a line that nftables cannot say, and why.
pub(super) struct Refusal {
    blame: Blame,
    reason: String,
}

#[derive(Clone, Copy)]
pub(super) enum Blame {
    Line,
    Effect,
    Direction,
    Match,
    Range,
}

/// That this part cannot be said.
pub(super) fn refuse<T>(blame: Blame, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        blame,
        reason: reason.into(),
    })
}

impl Refusal {
    /// The same as a mistake in the line, which has been parsed.
    pub(super) fn mistake(self, line: &str) -> Mistake {
        let help =
            "tcpx and the simulation can do it: docs/faults.md says what nftables can".to_owned();
        Mistake {
            span: self.blame.span(line),
            message: self.reason,
            help: Some(help),
        }
    }
}

impl Blame {
    /// The direction and the match are the last two words, and no verdict ends like them.
    fn span(self, line: &str) -> Range<usize> {
        let end = line.trim_end().len();
        let last = |before: usize| {
            let rest = line.get(..before).unwrap_or_default().trim_end();
            rest.rfind(char::is_whitespace).map_or(0, |blank| blank + 1)..rest.len()
        };
        let matches = last(end);
        let direction = last(matches.start);
        let range = matches.start
            + line
                .get(matches.clone())
                .and_then(|word| word.find('#'))
                .unwrap_or(0)..matches.end;
        let start = line.len() - line.trim_start().len();
        let rate = line
            .get(start..)
            .filter(|rest| rest.starts_with("rate="))
            .and_then(|rest| rest.find(char::is_whitespace));
        let effect = rate.map_or(start, |blank| start + blank);
        match self {
            Blame::Line => start..end,
            Blame::Effect => {
                let text = line.get(effect..direction.start).unwrap_or_default();
                effect + (text.len() - text.trim_start().len())..effect + text.trim_end().len()
            }
            Blame::Direction => direction,
            Blame::Match => matches,
            Blame::Range => range,
        }
    }
}
