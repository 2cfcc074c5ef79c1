//! What is wrong with an experiment's file, shown in its line.

use super::Text;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use tcpx_proto::lexer;
use toml::Spanned;

/// A mistake with its file around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake(String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

/// A mistake that does not know its file yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    span: Range<usize>,
    /// The text within `span` in which `part` is counted, as it was written.
    within: Option<(String, Range<usize>)>,
    message: String,
    help: Option<String>,
}

impl Wrong {
    /// Of the file as a whole.
    pub(super) fn everywhere(message: impl Into<String>) -> Wrong {
        Wrong {
            span: 0..0,
            within: None,
            message: message.into(),
            help: None,
        }
    }

    /// Of a value.
    pub(super) fn of<T>(value: &Spanned<T>, message: impl Into<String>) -> Wrong {
        Wrong {
            span: value.span(),
            within: None,
            message: message.into(),
            help: None,
        }
    }

    /// With what would be right.
    pub(super) fn help(self, help: impl Into<String>) -> Wrong {
        Wrong {
            help: Some(help.into()),
            ..self
        }
    }

    /// Of a part of what a text came to.
    pub(super) fn part(text: &Text, resolved: &str, mistake: lexer::Mistake) -> Wrong {
        let within =
            (text.get_ref() == resolved).then(|| (resolved.to_owned(), mistake.span.clone()));
        Wrong {
            span: text.span(),
            within,
            message: mistake.message,
            help: mistake.help,
        }
    }

    pub(super) fn at(self, path: &str, source: &str) -> Mistake {
        // A text that stands in the file as it is can be underlined within; one with escapes only
        // as a whole.
        let within = self.within.and_then(|(text, part)| {
            let start = self.span.start + source.get(self.span.clone())?.find(&text)?;
            Some(start + part.start..start + part.end)
        });
        show(
            path,
            source,
            within.unwrap_or(self.span),
            &self.message,
            self.help.as_deref(),
        )
    }
}

impl Mistake {
    pub(super) fn of_toml(path: &str, source: &str, error: &toml::de::Error) -> Mistake {
        let help = nearest_expected(error.message());
        show(
            path,
            source,
            error.span().unwrap_or(0..0),
            error.message(),
            help.as_deref(),
        )
    }
}

/// serde names a word that it does not know, and then those that it does, each between backticks.
fn nearest_expected(message: &str) -> Option<String> {
    let mut named = message
        .strip_prefix("unknown ")?
        .split('`')
        .skip(1)
        .step_by(2);
    lexer::nearest(named.next()?, named).map(lexer::did_you_mean)
}

fn show(
    path: &str,
    source: &str,
    span: Range<usize>,
    message: &str,
    help: Option<&str>,
) -> Mistake {
    let end = span.end.min(source.len());
    let span = span.start.min(end)..end;
    let snippet = Snippet::source(source)
        .path(path)
        .annotation(AnnotationKind::Primary.span(span));
    let mut report: Vec<Group<'_>> = vec![Level::ERROR.primary_title(message).element(snippet)];
    report.extend(help.map(|help| Group::with_title(Level::HELP.secondary_title(help))));
    Mistake(Renderer::plain().render(&report))
}
