//! The rows, and how options are read.

use super::*;
use crate::config::{Congestion, Ecn, Isn, KeepAlive, Overflow, Persist, Recovery, TimeWaitRst};
use crate::lexer::Mistake;
use crate::seq::Seq;
use crate::time::Duration;
use alloc::vec;
use alloc::vec::Vec;

fn config(options: &str) -> Config {
    match Settings::parse(options) {
        Ok(settings) => settings.config,
        Err(mistake) => panic!("{options}: {mistake}"),
    }
}

fn mistake(options: &str) -> Mistake {
    Settings::parse(options).expect_err(options)
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
    changed("--max-orphans 1", |config| config.max_orphans = 1);
    changed("--max-time-wait 1", |config| config.max_time_wait = 1);
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
fn values_of_several_parts_and_units_are_read() {
    let keepalive = config("--keepalive 2h,75s,9").conn.keepalive;
    assert_eq!(keepalive, Some(KeepAlive::default()));
    let persist = config("--persist 200ms,2m").conn.persist;
    let [min, max] = [Duration::from_millis(200), Duration::from_secs(120)];
    assert_eq!(persist, Some(Persist { min, max }));
    assert!(Settings::parse("--persist 1s,1s").is_ok());
    for (text, bytes) in [("65536", 65_536), ("64k", 65_536), ("1M", 1 << 20)] {
        let options = alloc::format!("--window {text}");
        assert_eq!(config(&options).conn.receive_buffer, bytes);
    }
    for wrong in ["k", "-1", "1G", "99999999999999999999", "1.5k"] {
        mistake(&alloc::format!("--window {wrong}"));
    }
}

#[test]
fn wrong_value_is_a_mistake_in_that_value() {
    for (options, wrong) in [
        ("--msl 0s", "0s"),
        ("--msl 5", "5"),
        ("--mss 87", "87"),
        ("--isn 1 --mss 65496", "65496"),
        ("--window 0", "0"),
        ("--window 2000M", "2000M"),
        ("--isn 4294967296", "4294967296"),
        ("--isn -1", "-1"),
        ("--keepalive 1s,1s", "1s,1s"),
        ("--keepalive 1s,1s,1", "1"),
        ("--keepalive ,,", ""),
        ("--keepalive 2h,75s,9,1", "9,1"),
        ("--rto-min 2s --rto-max 1s", "2s"),
        ("--r2 256", "256"),
        ("--orphan-retries many", "many"),
        ("--syn-retries 256", "256"),
        ("--synack-retries 1.5", "1.5"),
        ("--fin-wait-2 0s", "0s"),
        ("--persist 1s", "1s"),
        ("--persist 2s,1s", "2s,1s"),
        ("--persist 1s,", ""),
        ("--delayed-ack 500ms", "500ms"),
        ("--delayed-ack 0s", "0s"),
        ("--challenge-interval 500", "500"),
        ("--max-connections 0", "0"),
        ("--congestion bbr", "bbr"),
        ("--recovery sack", "sack"),
        ("--profile bsd", "bsd"),
        ("--checksum none", "none"),
        ("--no-third-ack=fin", "fin"),
        ("--ecn=on", "on"),
        ("--without time-wiat", "time-wiat"),
        ("--fault 'drop out fni#1'", "fni"),
        ("--isn 1 --fault=\"drop out fni#1\" -v", "-v"),
        ("--unknown", "--unknown"),
        ("--msl", "--msl"),
        ("--msl --ecn", "--msl"),
        ("--fault 'drop", "'drop"),
        ("--isn 1 --isn 2", "2"),
        ("isn 1", "isn"),
    ] {
        let mistake = mistake(options);
        assert_eq!(
            options.get(mistake.span.clone()),
            Some(wrong),
            "{options}: {mistake}"
        );
    }
}

#[test]
fn unknown_name_comes_with_the_nearest() {
    for (options, help) in [
        ("--without time-wiat", "did you mean 'time-wait'?"),
        ("--without timewait", "did you mean 'time-wait'?"),
        ("--without third_ack", "did you mean 'third-ack'?"),
        ("--without time", "did you mean 'time-wait'?"),
        ("--without nagel", "did you mean 'nagle'?"),
        ("--without pwas", "did you mean 'paws'?"),
        ("--wihtout time-wait", "did you mean '--without'?"),
        ("--congestion cubik", "did you mean 'cubic'?"),
    ] {
        assert_eq!(mistake(options).help.as_deref(), Some(help));
    }
    for unlike in ["--without zzzzzzzz", "--without=''"] {
        let help = mistake(unlike).help.unwrap_or_default();
        assert!(help.starts_with("one of: time-wait, third-ack"), "{help}");
    }
}

#[test]
fn hold_without_a_release_is_a_mistake_in_that_fault() {
    let given = [
        Given::fault("drop out syn"),
        Given::profile("rfc9293"),
        Given::fault("hold=a in data#1"),
    ];
    assert_eq!(settings(&given).map_err(|wrong| wrong.given), Err(2));
}

#[test]
fn shorthand_is_the_preset_it_names() {
    for (short, long) in [
        ("--skip-time-wait", "--without time-wait"),
        ("--no-third-ack", "--without third-ack"),
        ("--no-delay", "--without nagle"),
    ] {
        assert_eq!(Settings::parse(short), Settings::parse(long));
    }
    assert!(
        config("--no-third-ack").conn != config("--no-third-ack=data").conn,
        "with =data nothing is held back"
    );
}

#[test]
fn rules_are_those_of_presets_then_the_faults_in_their_order() {
    let settings = Settings::parse("--fault 'drop in syn' --no-third-ack --fault=\"drop out fin\"");
    let rules = settings.unwrap().rules;
    let texts: Vec<_> = rules.iter().map(|rule| rule.text.as_str()).collect();
    assert_eq!(
        texts,
        vec!["drop out third-ack", "drop in syn", "drop out fin"]
    );
}

#[test]
fn value_of_a_profile_set_again_changes_nothing() {
    for profile in Profile::ALL {
        for knob in KNOBS {
            let (mut config, text) = (profile.config(), knob.value_in(&profile.config()));
            match knob.effect {
                Effect::Value { set, .. } if !text.is_empty() && !text.starts_with('<') => {
                    assert_eq!(
                        set(&mut config, Word::whole(&text)),
                        Ok(()),
                        "{}",
                        knob.name
                    );
                }
                Effect::Choice(choices) => {
                    let choice = choices.iter().find(|choice| choice.name == text).unwrap();
                    (choice.set)(&mut config);
                }
                _ => {}
            }
            assert_eq!(config, profile.config(), "{}", knob.name);
        }
    }
}

#[test]
fn rows_are_told_apart_and_written_as_sentences_without_a_stop() {
    for (index, knob) in KNOBS.iter().enumerate() {
        assert!(
            KNOBS
                .iter()
                .skip(index + 1)
                .all(|other| other.name != knob.name)
        );
        assert!(
            !knob.help.is_empty() && !knob.help.ends_with('.'),
            "{}",
            knob.name
        );
    }
    let help = |name: &str| Knob::find(name).map(Knob::long_help).unwrap_or_default();
    for (name, end) in [
        ("profile", " [default: linux]"),
        (
            "msl",
            " (RFC 9293 3.4.2) [default: the profile's, 30s for linux]",
        ),
        ("persist", " [default: the profile's, 200ms,120s for linux]"),
        ("congestion", " [default: the profile's, cubic for linux]"),
        ("checksum", " [default: partial]"),
        ("isn", " [default: RFC 6528]"),
        ("window", " [default: 256k]"),
        ("user-timeout", "this long (RFC 9293 3.9.1)"),
    ] {
        assert!(help(name).ends_with(end), "{}", help(name));
    }
}
