//! The profiles as tables of policies: each can be flipped alone and in any combination without
//! harm, and `docs/profiles.md` prints the table.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::fmt::Write;

use common::inputs::{
    STATES, answer_alike_compact_and_whole, answer_alike_in_time_wait_with_and_without_application,
    any_input, keep_the_invariants,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tcpx_proto::config::{
    Config, DIFFERENCES, Difference, LINUX_DIFFERENCES, NAMED_DIFFERENCES, Profile,
};

fn any_profile() -> impl Strategy<Value = Profile> {
    prop::sample::select(Profile::ALL.to_vec())
}

/// A profile, with some fields set to the values of other profiles.
fn any_mixture() -> impl Strategy<Value = Config> {
    let flips = prop::collection::vec(prop::option::of(any_profile()), DIFFERENCES.len());
    (any_profile(), flips).prop_map(|(base, flips)| {
        let mut config = base.config();
        for (row, profile) in DIFFERENCES.iter().zip(flips) {
            if let Some(profile) = profile {
                row.set(profile, &mut config.conn);
            }
        }
        config
    })
}

fn flipped(base: Profile, row: &Difference, to: Profile) -> Config {
    let mut config = base.config();
    row.set(to, &mut config.conn);
    config
}

#[test]
fn each_policy_flipped_alone_keeps_the_invariants() {
    for row in DIFFERENCES {
        for base in Profile::ALL {
            for to in Profile::ALL {
                if row.value(base) == row.value(to) {
                    continue;
                }
                let inputs = prop::collection::vec(any_input(), 1..40);
                let states = prop::sample::select(STATES.to_vec());
                TestRunner::new(ProptestConfig::with_cases(12))
                    .run(&(states, inputs), |(state, inputs)| {
                        keep_the_invariants(flipped(base, row, to), state, &inputs)
                    })
                    .unwrap_or_else(|error| {
                        panic!("{} of {} in {}: {error}", row.field, to.name(), base.name())
                    });
            }
        }
    }
}

proptest! {
    #[test]
    fn any_set_of_policies_flipped_keeps_the_invariants(
        config in any_mixture(),
        state in prop::sample::select(STATES.to_vec()),
        inputs in prop::collection::vec(any_input(), 1..60),
    ) {
        keep_the_invariants(config, state, &inputs)?;
    }

    #[test]
    fn any_inputs_are_answered_alike_by_compact_and_whole_records(
        config in any_mixture(),
        state in prop::sample::select(STATES.to_vec()),
        inputs in prop::collection::vec(any_input(), 1..60),
    ) {
        answer_alike_compact_and_whole(config, state, &inputs)?;
    }

    #[test]
    fn time_wait_answers_any_inputs_alike_with_and_without_an_application(
        config in any_mixture(),
        inputs in prop::collection::vec(any_input(), 1..60),
    ) {
        answer_alike_in_time_wait_with_and_without_application(config, &inputs)?;
    }
}

/// The document as it follows from the tables.
fn document() -> String {
    let mut text = String::from(
        "# Profiles\n\n\
         `--profile` selects a set of values for all parameters and policies. This table lists \
         those that\ndepend on the profile; each is a field of \
         `tcpx_proto::config::ConnConfig`, and can be set alone.\n\
         It is generated from `DIFFERENCES` in `tcpx-proto/src/config/differences.rs`\n\
         (`UPDATE=1 cargo test -p tcpx-proto --test profiles`).\n\n\
         | field | `linux` | `rfc9293` | `rfc793` | requirement \
         | what `linux`, or else `rfc793`, changes |\n\
         |---|---|---|---|---|---|\n",
    );
    for row in DIFFERENCES {
        let values = [Profile::Linux, Profile::Rfc9293, Profile::Rfc793].map(|it| row.value(it));
        writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            row.field,
            values.join(" | "),
            row.requirement,
            row.text
        )
        .unwrap();
    }
    text.push_str("\n## Where `linux` still differs from Linux 6.18\n\n");
    for difference in LINUX_DIFFERENCES {
        writeln!(text, "- {difference}").unwrap();
    }
    text.push_str("\nThese stay; `make differential` knows them by their names:\n\n");
    for (name, reason) in NAMED_DIFFERENCES {
        writeln!(text, "- `{name}`: {reason}").unwrap();
    }
    text
}

#[test]
fn document_of_the_profiles_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/profiles.md");
    let text = document();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == text,
        "docs/profiles.md is stale: UPDATE=1 cargo test -p tcpx-proto --test profiles"
    );
}
