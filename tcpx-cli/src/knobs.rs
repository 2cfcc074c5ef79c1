//! The engine's options as flags: clap's arguments are made from the rows of
//! [`tcpx_proto::knob`].

use crate::failure::{Failure, underlined};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use tcpx_proto::knob::{Effect, Given, KNOBS, Knob, Settings, settings};
use tcpx_proto::lexer::Word;

/// The engine's options that were given.
#[derive(Clone, Debug, Default)]
pub struct Knobs {
    given: Vec<(&'static Knob, String)>,
}

impl Knobs {
    /// What they set. It is pure: the same flags give the same settings on any machine.
    ///
    /// # Errors
    /// A mistake in a value, underlined; values that contradict each other.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let given: Vec<Given<'_>> = self
            .given
            .iter()
            .map(|(knob, value)| Given {
                knob,
                value: Word::whole(value),
            })
            .collect();
        settings(&given).map_err(|wrong| match given.get(wrong.given) {
            Some(Given { knob, value }) => {
                underlined(&format!("--{}", knob.name), value.text, &wrong.mistake)
            }
            None => Failure::usage(wrong.mistake.message),
        })
    }
}

impl Args for Knobs {
    fn augment_args(command: Command) -> Command {
        command.args(KNOBS.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Knobs::augment_args(command)
    }
}

impl FromArgMatches for Knobs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Knobs, clap::Error> {
        let mut given = Vec::new();
        for knob in KNOBS {
            if knob.placeholder().is_none() {
                if matches.get_flag(knob.name) {
                    given.push((knob, String::new()));
                }
            } else if let Some(values) = matches.get_many::<String>(knob.name) {
                given.extend(values.map(|value| (knob, value.clone())));
            }
        }
        Ok(Knobs { given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Knobs::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flag of a row.
fn argument(knob: &Knob) -> Arg {
    let argument = Arg::new(knob.name)
        .long(knob.name)
        .help(knob.long_help())
        .help_heading(knob.heading.title());
    let Some(placeholder) = knob.placeholder() else {
        return argument.action(ArgAction::SetTrue);
    };
    let argument = argument.value_name(placeholder);
    match knob.effect {
        Effect::Choice(_) | Effect::Profile => {
            let names = knob.names().into_iter();
            let values = names.map(|(name, help)| PossibleValue::new(name).help(help));
            argument.value_parser(PossibleValuesParser::new(values))
        }
        Effect::ThirdAck => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value(""),
        _ if knob.is_repeatable() => argument.action(ArgAction::Append),
        _ => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Common;
    use clap::{CommandFactory, Parser};

    #[derive(Parser)]
    struct Probe {
        #[command(flatten)]
        common: Common,
    }

    /// The settings that these flags give, or the error and its exit status.
    fn run(flags: &str) -> Result<Settings, (String, u8)> {
        let flags =
            std::iter::once("probe").chain(flags.split(' ').filter(|flag| !flag.is_empty()));
        let probe = Probe::try_parse_from(flags)
            .map_err(|error| (error.to_string(), error.exit_code() as u8))?;
        probe
            .common
            .knobs
            .settings()
            .map_err(|failure| (failure.message, failure.code))
    }

    #[test]
    fn flags_are_consistent() {
        Probe::command().debug_assert();
    }

    #[test]
    fn wrong_value_is_a_usage_error() {
        for flags in [
            "--msl 0s",
            "--msl 5",
            "--mss 87",
            "--mss 65496",
            "--window 0",
            "--window 2000M",
            "--isn 4294967296",
            "--seed -1",
            "--mark 0",
            "--keepalive 1s,1s",
            "--keepalive 1s,1s,1",
            "--rto-min 2s --rto-max 1s",
            "--r2 -1",
            "--r2 256",
            "--orphan-retries many",
            "--syn-retries 256",
            "--synack-retries 1.5",
            "--fin-wait-2 0s",
            "--persist 1s",
            "--persist 2s,1s",
            "--delayed-ack 500ms",
            "--delayed-ack 0s",
            "--challenge-interval 500",
            "--max-connections 0",
            "--rfc1337=yes",
            "--congestion bbr",
            "--recovery sack",
            "--ecn=on",
            "--profile bsd",
            "--rst-guard firewall",
            "--checksum none",
            "--no-third-ack=fin",
            "-v -q",
            "--unknown",
        ] {
            let code = run(flags).err().map(|(_, code)| code);
            assert_eq!(code, Some(2), "{flags}");
        }
    }

    #[test]
    fn unknown_rule_is_underlined_and_the_nearest_named() {
        let Err((message, code)) = run("--without time-wiat") else {
            panic!("accepted")
        };
        assert_eq!(code, 2);
        assert!(
            message.contains("time-wait") && message.contains("^^^^^^^^^"),
            "{message}"
        );
    }

    #[test]
    fn mistake_in_a_fault_is_underlined_where_it_is() {
        let probe = Probe::try_parse_from(["probe", "--fault", "drop out fni#1"]).unwrap();
        let Err(failure) = probe.common.knobs.settings() else {
            panic!("accepted")
        };
        assert_eq!(failure.code, 2);
        let underlined = failure
            .message
            .lines()
            .find(|line| line.contains('^'))
            .unwrap();
        let source = failure
            .message
            .lines()
            .find(|line| line.contains("drop out fni#1"))
            .unwrap();
        assert_eq!(
            underlined.find('^'),
            source.find("fni"),
            "{}",
            failure.message
        );
        assert!(
            failure.message.contains("'fin'") || failure.message.contains("`fin`"),
            "{}",
            failure.message
        );
    }
}
