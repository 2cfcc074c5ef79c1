//! From flags to what they ask for: profile, configuration, rules. Nothing is opened, drawn or
//! started.

use super::setup::underlined;
use super::{Common, Failure, ThirdAck};
use tcpx_proto::config::{Config, Congestion, Ecn, Isn, Overflow, Profile, Recovery, TimeWaitRst};
use tcpx_proto::fault::{self, Rule};
use tcpx_proto::lexer::Mistake;
use tcpx_proto::preset::Preset;
use tcpx_proto::seq::Seq;

/// What the flags come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Whose replies, timers and limits were the start.
    pub profile: Profile,
    /// The stack's configuration.
    pub config: Config,
    /// What the gate does, in the order in which it is asked: the rules of `--without`, then those
    /// of `--fault`.
    pub rules: Vec<Rule>,
}

/// Reads the flags. It is pure: the same flags come to the same settings, on any machine.
///
/// A rule that is removed stays removed: `--without` wins over a parameter of that rule.
///
/// # Errors
/// An unknown rule or a mistake in a fault, underlined; values that contradict each other.
pub fn settings(common: &Common) -> Result<Settings, Failure> {
    let profile = Profile::from(common.profile);
    let mut config = profile.config();
    let mut rules = Vec::new();
    parameters(common, &mut config)?;
    for name in presets(common) {
        find(name)?.apply(&mut config, &mut rules);
    }
    if common.no_third_ack == Some(ThirdAck::ButData) {
        let mut rule = parse("drop out third-ack")?;
        rule.preset = Some("third-ack");
        rules.push(rule);
    }
    for line in &common.fault {
        rules.push(parse(line)?);
    }
    fault::check(&rules).map_err(|(rule, error)| underlined("--fault", &rule.text, &error))?;
    Ok(Settings {
        profile,
        config,
        rules,
    })
}

/// The presets that the flags name, in the order of the table of flags.
fn presets(common: &Common) -> impl Iterator<Item = &str> {
    let short = [
        (common.skip_time_wait, "time-wait"),
        (common.no_third_ack == Some(ThirdAck::Alone), "third-ack"),
        (common.no_delay, "nagle"),
    ];
    common.without.iter().map(String::as_str).chain(
        short
            .into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| name),
    )
}

fn parameters(common: &Common, config: &mut Config) -> Result<(), Failure> {
    config.checksum = common.checksum.into();
    config.max_connections = common
        .max_connections
        .map_or(config.max_connections, |most| most as usize);
    if common.no_syn_cookies {
        config.overflow = Overflow::Drop;
    }
    let conn = &mut config.conn;
    conn.msl = common.msl.unwrap_or(conn.msl);
    conn.keepalive = common.keepalive.or(conn.keepalive);
    conn.user_timeout = common.user_timeout.or(conn.user_timeout);
    conn.rto.initial = common.rto_initial.unwrap_or(conn.rto.initial);
    conn.rto.max = common.rto_max.unwrap_or(conn.rto.max);
    // What was asked for holds: an initial value below the least one, or a small largest one,
    // lowers the least.
    conn.rto.min = common
        .rto_min
        .unwrap_or(conn.rto.min.min(conn.rto.max).min(conn.rto.initial));
    if conn.rto.min > conn.rto.max {
        return Err(Failure::usage(
            "--rto-min is above --rto-max: give a least timeout that is no larger than the largest",
        ));
    }
    conn.r2 = common.r2.map_or(conn.r2, u32::from);
    conn.orphan_retries = common.orphan_retries.map_or(conn.orphan_retries, u32::from);
    conn.syn_retries = common.syn_retries.map_or(conn.syn_retries, u32::from);
    conn.synack_retries = common.synack_retries.map_or(conn.synack_retries, u32::from);
    conn.fin_wait_2 = common.fin_wait_2.or(conn.fin_wait_2);
    conn.persist = common.persist.or(conn.persist);
    conn.delayed_ack = common.delayed_ack.or(conn.delayed_ack);
    conn.challenge_interval = common.challenge_interval.unwrap_or(conn.challenge_interval);
    if common.rfc1337 {
        conn.time_wait_rst = TimeWaitRst::Ignore;
    }
    conn.isn = common.isn.map_or(conn.isn, |isn| Isn::Fixed(Seq(isn)));
    conn.mss = common.mss.or(conn.mss);
    conn.receive_buffer = common.window.unwrap_or(conn.receive_buffer);
    conn.timestamps &= !common.no_timestamps;
    conn.sack &= !common.no_sack;
    conn.window_scaling &= !common.no_window_scaling;
    conn.congestion = common.congestion.map_or(conn.congestion, Congestion::from);
    conn.recovery = common.recovery.map_or(conn.recovery, Recovery::from);
    if common.ecn {
        conn.ecn = Ecn::On;
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Preset, Failure> {
    Preset::find(name).ok_or_else(|| {
        let help = Preset::nearest(name)
            .map(|preset| format!("the nearest is '{}'; --help lists them all", preset.name));
        let error = Mistake {
            span: 0..name.len(),
            message: format!("there is no rule '{name}' to remove"),
            help,
        };
        underlined("--without", name, &error)
    })
}

fn parse(line: &str) -> Result<Rule, Failure> {
    Rule::parse(line).map_err(|error| underlined("--fault", line, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};
    use tcpx_proto::config::Persist;
    use tcpx_proto::time::Duration;

    #[derive(Parser)]
    struct Probe {
        #[command(flatten)]
        common: Common,
    }

    /// What these flags come to, or the error and its exit status.
    fn run(flags: &str) -> Result<Settings, (String, u8)> {
        let flags =
            std::iter::once("probe").chain(flags.split(' ').filter(|flag| !flag.is_empty()));
        let probe = Probe::try_parse_from(flags)
            .map_err(|error| (error.to_string(), error.exit_code() as u8))?;
        settings(&probe.common).map_err(|failure| (failure.message, failure.code))
    }

    fn config(flags: &str) -> Config {
        run(flags)
            .map(|settings| settings.config)
            .unwrap_or_else(|(message, _)| panic!("{flags}: {message}"))
    }

    #[test]
    fn flags_are_consistent() {
        Probe::command().debug_assert();
    }

    #[test]
    fn parameter_given_changes_the_profile_s() {
        assert_eq!(config("").conn, Profile::Linux.config().conn);
        assert_eq!(
            config("--profile rfc793").conn,
            Profile::Rfc793.config().conn
        );
        assert_eq!(config("--msl 1s").conn.msl, Duration::from_secs(1));
        assert_eq!(
            config("--isn 4294967295").conn.isn,
            Isn::Fixed(Seq(u32::MAX))
        );
        assert_eq!(config("--window 64k").conn.receive_buffer, 65_536);
        assert_eq!(config("--mss 536").conn.mss, Some(536));
        assert_eq!(
            config("--user-timeout 5s").conn.user_timeout,
            Some(Duration::from_secs(5))
        );
        let conn = config("--no-timestamps --no-sack --no-window-scaling").conn;
        assert!(!conn.timestamps && !conn.sack && !conn.window_scaling);
        let rto = config("--rto-initial 50ms --rto-max 1s").conn.rto;
        assert_eq!(
            (rto.initial, rto.min, rto.max),
            (
                Duration::from_millis(50),
                Duration::from_millis(50),
                Duration::from_secs(1)
            )
        );
    }

    #[test]
    fn timer_or_limit_given_changes_that_one_alone() {
        let changed = |flags: &str, change: fn(&mut Config)| {
            let mut expected = Profile::Linux.config();
            change(&mut expected);
            assert_ne!(expected, Profile::Linux.config(), "{flags} is the default");
            assert_eq!(config(flags), expected, "{flags}");
        };
        changed("--r2 0", |config| config.conn.r2 = 0);
        changed("--orphan-retries 255", |config| {
            config.conn.orphan_retries = 255
        });
        changed("--syn-retries 2", |config| config.conn.syn_retries = 2);
        changed("--synack-retries 1", |config| {
            config.conn.synack_retries = 1
        });
        changed("--fin-wait-2 2s", |config| {
            config.conn.fin_wait_2 = Some(Duration::from_secs(2))
        });
        let persist = Persist {
            min: Duration::from_millis(50),
            max: Duration::from_secs(1),
        };
        assert_eq!(config("--persist 50ms,1s").conn.persist, Some(persist));
        changed("--delayed-ack 499ms", |config| {
            config.conn.delayed_ack = Some(Duration::from_millis(499))
        });
        changed("--challenge-interval 1s", |config| {
            config.conn.challenge_interval = Duration::from_secs(1)
        });
        changed("--no-syn-cookies", |config| {
            config.overflow = Overflow::Drop
        });
        changed("--max-connections 1", |config| config.max_connections = 1);
        changed("--congestion newreno", |config| {
            config.conn.congestion = Congestion::NewReno
        });
        changed("--congestion off", |config| {
            config.conn.congestion = Congestion::Off
        });
        changed("--recovery rfc6675", |config| {
            config.conn.recovery = Recovery::Rfc6675
        });
        changed("--recovery newreno", |config| {
            config.conn.recovery = Recovery::NewReno
        });
        changed("--ecn", |config| config.conn.ecn = Ecn::On);
        changed("--rfc1337", |config| {
            config.conn.time_wait_rst = TimeWaitRst::Ignore
        });
    }

    #[test]
    fn rule_removed_stays_removed_whatever_its_parameter() {
        for (flags, without) in [
            (
                "--persist 1s,2s --without window-probe",
                "--without window-probe",
            ),
            (
                "--delayed-ack 100ms --without delayed-ack",
                "--without delayed-ack",
            ),
            (
                "--no-syn-cookies --without backlog-bound",
                "--without backlog-bound",
            ),
            (
                "--congestion newreno --without congestion-control",
                "--without congestion-control",
            ),
        ] {
            assert_eq!(config(flags), config(without), "{flags}");
        }
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
    fn shorthand_is_the_preset_it_names() {
        for (short, long) in [
            ("--skip-time-wait", "--without time-wait"),
            ("--no-third-ack", "--without third-ack"),
            ("--no-delay", "--without nagle"),
        ] {
            let (short, long) = (
                run(short).unwrap_or_else(|e| panic!("{e:?}")),
                run(long).unwrap_or_else(|e| panic!("{e:?}")),
            );
            assert_eq!(short, long);
        }
        assert!(
            config("--no-third-ack").conn != config("--no-third-ack=data").conn,
            "with =data nothing is held back"
        );
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
        let Err(failure) = settings(&probe.common) else {
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
