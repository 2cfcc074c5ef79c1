//! Scripts in packetdrill's language, each with the right answers of one case, played against a
//! stack in virtual time.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod parse;
mod play;

use tcpx_proto::config::Profile;

fn read(name: &str) -> String {
    std::fs::read_to_string(format!(
        "{}/tests/scripts/pkt/{name}.pkt",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

/// Plays `pkt/<name>.pkt` in each of its profiles.
fn check(name: &str) {
    let script = parse::script(&read(name)).unwrap();
    let mut faults = Vec::new();
    for profile in &script.profiles {
        let profile = Profile::ALL
            .into_iter()
            .find(|known| known.name() == profile)
            .unwrap();
        if let Err(error) = play::play(&script, profile.config()) {
            faults.push(format!("in {}, {error}", profile.name()));
        }
    }
    assert!(faults.is_empty(), "{name}.pkt {}", faults.join("\n"));
}

macro_rules! scripts {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            check(&stringify!($name).replace('_', "-"));
        })*
    };
}

scripts! {
    ack_at_right_edge
    ack_of_fin_no_data
    ack_of_unsent
    big_endseq
    close_unread
    closewait_data_after_fin
    closewait_dup_fin
    dsack_larger_block
    dsack_prefix_and_held
    dsack_with_text_out
    dup_synack_established
    ecn_ece_reduces
    ecn_retransmission_not_ect
    fin_and_cwnd
    fin_at_zero_window
    fin_out_of_order
    fin_wait_2_data_after_shutdown
    frag_needed_stray
    frag_needed
    keepalive_dup_probe_answer
    keepalive
    lost_syn_one_segment
    lost_syn
    lost_syns
    may2_returns_to_time_wait
    nagle_tail
    newreno_partial
    no_ack_no_answer
    no_mss
    old_ack_active
    old_ack_challenge
    option_length_zero
    paws_old
    refused
    retransmitted_fin_time_wait
    rst_behind_held_text
    rst_in_window_challenge
    rto_backoff
    sack_reneging_after_rto
    simultaneous_close
    simultaneous_open
    sws_sender
    syn_window_unscaled
    syn_with_data
    synack_with_data
    synrcvd_bad_ack
    synrcvd_fin_with_ack
    synrcvd_old_stamp_bad_ack
    synrcvd_out_of_order_data
    time_wait_stamp
    tlp
    trim_left
    ts_missing_rst
    ts_sack_mss
    whole_beyond_window
    window_probe_answer
    window_shrink_retransmit
    wscale_15
    zero_window_then_open
}

#[test]
fn every_script_of_the_folder_is_played() {
    let folder =
        std::fs::read_dir(format!("{}/tests/scripts/pkt", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut files: Vec<String> = folder
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let names: Vec<String> = NAMES
        .iter()
        .map(|name| format!("{}.pkt", name.replace('_', "-")))
        .collect();
    assert_eq!(files, names);
}

#[test]
fn script_with_something_wrong_does_not_hold() {
    for (name, right, wrong) in [
        ("big-endseq", "win 0", "win 1"),
        ("close-unread", "* > . 1:1(0) ack 1001\n", ""),
        ("ecn-ece-reduces", "[ect0] PW.", "[noecn] PW."),
        ("ecn-ece-reduces", "1:10001(10000)", "1:9501(9500)"),
        ("fin-out-of-order", "sack 1001:1002", "sack 1001:1003"),
        (
            "no-mss",
            "+0 > P. 1:537(536) ack 1",
            "+0 > . 1:537(536) ack 1",
        ),
        (
            "no-mss",
            "write(4, ..., 537) = 537",
            "write(4, ..., 537) = 536",
        ),
        ("paws-old", "mss 1460,sackOK", "sackOK,mss 1460"),
        ("paws-old", "-1 ECONNRESET", "0"),
        ("refused", "ECONNREFUSED], [4]", "0], [4]"),
        ("rto-backoff", "+.4~+2.2", "+3~+4"),
        ("wscale-15", "+.1 <", "+.1 > . 1:1(0) ack 1\n+.1 <"),
    ] {
        let text = read(name);
        assert!(text.contains(right), "{name}: {right}");
        let outcome = |text: &str| {
            let script = parse::script(text).unwrap();
            let profile = Profile::ALL
                .into_iter()
                .find(|known| known.name() == script.profiles[0])
                .unwrap();
            play::play(&script, profile.config())
        };
        assert_eq!(outcome(&text), Ok(()), "{name}");
        assert!(
            outcome(&text.replace(right, wrong)).is_err(),
            "{name} with {wrong}"
        );
    }
}

#[test]
fn line_that_is_not_understood_is_named() {
    for line in [
        "+0 < Q 0:0(0)",
        "+0 < . 0:1(0) ack 1",
        "+0 > . 0:0(0)",
        "* < . 0:0(0) ack 1",
        "+0 < . 0:0(0) ack 1 <gre>",
        "+0 read(4)",
    ] {
        let error = parse::script(&format!("// comment\n{line}\n")).err();
        assert_eq!(error, Some(format!("line 2: {line}: not understood")));
    }
}
