//! Errors of the programs: message, hint and exit status.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::io::{self, Write};
use std::process::ExitCode;
use tcpx::{Error, GuardKind};
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::lexer::Mistake;

/// Why a run failed: the message and the exit status.
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
            message: with_hint(&error),
            code: exit_code(&error),
        }
    }
}

/// The error, and on a line of its own what to do about it.
pub(crate) fn with_hint(error: &Error) -> String {
    match hint(error) {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}

/// The hint of the library, in the words of our flags where there is a flag.
fn hint(error: &Error) -> Option<String> {
    let own = match error {
        Error::Ended(CloseReason::UserTimeout) => "raise it with --user-timeout, or check the path",
        Error::NoIptables => {
            "`apt-get install iptables`, or use --rst-guard listener, which needs none"
        }
        Error::Iptables { .. } => "use --rst-guard listener, which needs no firewall",
        Error::GuardFailed {
            guard: GuardKind::Iptables,
            ..
        } => "`iptables -S OUTPUT` shows the rules before ours; or use --rst-guard listener",
        Error::GuardFailed { .. } => "use --rst-guard iptables",
        Error::Privilege { remedy, .. } => {
            return Some(format!(
                "{remedy}. Without any privilege: the namespaces of `tcpx-lab netns up`"
            ));
        }
        other => return other.hint(),
    };
    Some(own.into())
}

/// The exit status of a program that ends with this error.
pub(crate) const fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Ended(reason) => match reason {
            CloseReason::Clean | CloseReason::Aborted => 0,
            CloseReason::Refused => 3,
            CloseReason::ConnectTimeout
            | CloseReason::RetransmissionTimeout
            | CloseReason::UserTimeout
            | CloseReason::KeepAliveTimeout
            | CloseReason::FinWait2Timeout => 4,
            CloseReason::Reset => 5,
            CloseReason::Unreachable(_) => 8,
            CloseReason::Dropped | CloseReason::Restarted => 1,
        },
        Error::Call(CallError::InUse(_) | CallError::PortsExhausted)
        | Error::PortInUse { .. }
        | Error::NoFreeBlock { .. } => 7,
        Error::Call(CallError::BadRemote) | Error::NoRoute(_) => 8,
        Error::Privilege { .. }
        | Error::NoIptables
        | Error::Iptables { .. }
        | Error::GuardFailed { .. } => 6,
        _ => 1,
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

/// Prints the failure, if there is one, and gives the exit status of the program.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tcpx_proto::state::State;
    use tcpx_proto::wire::IcmpKind;

    #[test]
    fn each_error_has_the_documented_exit_status() {
        for (reason, code) in [
            (CloseReason::Clean, 0),
            (CloseReason::Aborted, 0),
            (CloseReason::Refused, 3),
            (CloseReason::ConnectTimeout, 4),
            (CloseReason::RetransmissionTimeout, 4),
            (CloseReason::UserTimeout, 4),
            (CloseReason::KeepAliveTimeout, 4),
            (CloseReason::FinWait2Timeout, 4),
            (CloseReason::Reset, 5),
            (CloseReason::Unreachable(IcmpKind::Unreachable(1)), 8),
            (CloseReason::Dropped, 1),
        ] {
            assert_eq!(exit_code(&Error::Ended(reason)), code, "{reason:?}");
        }
        let address = std::net::IpAddr::from([10, 0, 0, 1]);
        let in_use = Error::PortInUse {
            address: (address, 80).into(),
            owner: None,
        };
        assert_eq!(exit_code(&in_use), 7);
        assert_eq!(
            exit_code(&Error::Call(CallError::InUse(State::TimeWait))),
            7
        );
        assert_eq!(exit_code(&Error::NoRoute(address)), 8);
        assert_eq!(exit_code(&Error::NoIptables), 6);
        assert_eq!(exit_code(&Error::Ipv6(address)), 1);
    }

    #[test]
    fn hint_is_on_a_line_of_its_own_and_names_our_flags() {
        assert_eq!(
            Failure::from(Error::NoIptables).message,
            "no iptables program found\n\
             hint: `apt-get install iptables`, or use --rst-guard listener, which needs none"
        );
        let ended = Error::Ended(CloseReason::FinWait2Timeout);
        assert_eq!(with_hint(&ended), ended.to_string());
    }
}
