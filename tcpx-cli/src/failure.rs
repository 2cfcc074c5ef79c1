//! What a program says when it cannot go on, and its exit status.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::io::{self, Write};
use std::process::ExitCode;
use tcpx::Error;
use tcpx_proto::lexer::Mistake;

/// Why a run did not come about, or did not end well: what to say, and the exit status.
#[derive(Debug)]
pub struct Failure {
    /// One or more lines, without the program's name.
    pub message: String,
    /// The exit status.
    pub code: u8,
}

impl Failure {
    /// A mistake on the command line.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            code: 2,
        }
    }

    /// For `map_err`: what was tried when the system refused.
    pub(crate) fn io(act: &'static str) -> impl FnOnce(io::Error) -> Failure {
        move |source| Failure::from(Error::Io { act, source })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure {
            message: error.to_string(),
            code: error.exit_code(),
        }
    }
}

/// A mistake in a value, with the wrong part underlined; `flag` is what the value was given to.
pub fn underlined(flag: &str, line: &str, error: &Mistake) -> Failure {
    let end = error
        .span
        .end
        .min(line.len())
        .max(error.span.start.min(line.len()));
    let span = error.span.start.min(end)..end;
    let snippet = Snippet::source(line)
        .path(flag)
        .annotation(AnnotationKind::Primary.span(span));
    let mut report: Vec<Group<'_>> = vec![
        Level::ERROR
            .primary_title(error.message.as_str())
            .element(snippet),
    ];
    if let Some(help) = &error.help {
        report.push(Group::with_title(
            Level::HELP.secondary_title(help.as_str()),
        ));
    }
    let renderer = if coloured() {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    Failure::usage(renderer.render(&report))
}

pub(crate) fn coloured() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// Says what went wrong and turns it into the exit status of the program.
pub fn finish(program: &str, outcome: Result<u8, Failure>) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let _nobody_reads_stderr =
                writeln!(anstream::stderr(), "{program}: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
