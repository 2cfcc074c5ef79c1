//! The echo of our SYN's timestamp.

use super::*;

fn stamped(profile: Profile) -> Bench {
    Bench::new(with(Bench::plain(profile), |conn| conn.timestamps = true)).with_timestamps(1000)
}

/// A segment that echoes this.
fn echo(bench: &mut Bench, seq: Seq, flags: Flags, echo: u32, text: &[u8]) -> Vec<String> {
    let mut header = bench.header(seq, bench.snd_nxt, flags);
    header.options.timestamps = Some(Timestamps { value: 1000, echo });
    bench.say(header, text).iter().map(spell).collect()
}

#[test]
fn syn_ack_with_an_echo_that_is_none_of_ours_is_refused_by_linux_alone() {
    for (by, ours) in [
        (0, true),
        (30, true),
        (-1, false),
        (31, false),
        (100_000, false),
        (-100_000, false),
        (i32::MIN, false),
    ] {
        for profile in [Profile::Linux, Profile::Rfc9293] {
            let mut bench = stamped(profile);
            let stamp = bench.connect()[0].header.options.timestamps.unwrap().value;
            bench.now = bench.now + millis(30);
            let una = bench.snd_nxt;
            let answer = echo(
                &mut bench,
                PEER_ISS,
                SYN_ACK,
                stamp.wrapping_add_signed(by),
                b"",
            );
            let (expected, state) = if ours || profile == Profile::Rfc9293 {
                (format!("{una} {} A", PEER_ISS + 1), State::Established)
            } else {
                (format!("{una} - R"), State::SynSent)
            };
            assert_eq!(answer, vec![expected], "{} {by}", profile.name());
            assert_eq!(bench.state(), state, "{} {by}", profile.name());
        }
    }
}

#[test]
fn syn_ack_that_echoes_nothing_or_the_first_of_several_syns_is_taken_by_linux() {
    let mut bench = stamped(Profile::Linux);
    bench.connect();
    assert_eq!(echo(&mut bench, PEER_ISS, SYN_ACK, 0, b"").len(), 1);
    assert_eq!(
        bench.state(),
        State::Established,
        "an echo of 0 does not count"
    );
    let mut bench = stamped(Profile::Linux);
    bench.stamp = None;
    bench.connect();
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    assert_eq!(bench.state(), State::Established, "without timestamps");
    let mut bench = stamped(Profile::Linux);
    let first = bench.connect()[0].header.options.timestamps.unwrap().value;
    assert_eq!(bench.run(secs(2)).len(), 2, "the SYN again, twice");
    echo(&mut bench, PEER_ISS, SYN_ACK, first, b"");
    assert_eq!(bench.state(), State::Established);
}

#[test]
fn rst_with_an_echo_that_is_none_of_ours_is_ignored_by_linux_in_an_opening() {
    let mut bench = stamped(Profile::Linux);
    let stamp = bench.connect()[0].header.options.timestamps.unwrap().value;
    assert_eq!(
        echo(&mut bench, Seq(0), RST | ACK, stamp + 100_000, b""),
        [""; 0]
    );
    assert_eq!(bench.state(), State::SynSent);
    assert!(
        bench
            .events
            .iter()
            .any(|event| event.what == What::Discarded(Discard::EchoCheck))
    );
    echo(&mut bench, Seq(0), RST | ACK, stamp, b"");
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn third_ack_with_an_echo_that_is_none_of_ours_is_answered_and_dropped_by_linux_alone() {
    let request = |profile: Profile| {
        let mut bench = stamped(profile);
        bench.listen();
        let stamp = bench.arrive(PEER_ISS, Seq(0), SYN, b"")[0]
            .header
            .options
            .timestamps
            .unwrap()
            .value;
        (bench, stamp)
    };
    for (by, flags, text, answers, state) in [
        (0, ACK, &b""[..], 0, State::Established),
        (1, ACK, b"", 1, State::SynReceived),
        (-1, ACK, b"", 1, State::SynReceived),
        (100_000, ACK, b"text", 1, State::SynReceived),
        (100_000, RST, b"", 0, State::SynReceived),
        (100_000, RST | ACK, b"", 0, State::SynReceived),
    ] {
        let (mut bench, stamp) = request(Profile::Linux);
        let answer = echo(
            &mut bench,
            PEER_ISS + 1,
            flags,
            stamp.wrapping_add_signed(by),
            text,
        );
        assert_eq!(answer.len(), answers, "{by} {flags}");
        assert_eq!(bench.state(), state, "{by} {flags}");
        let (mut bench, stamp) = request(Profile::Rfc9293);
        echo(
            &mut bench,
            PEER_ISS + 1,
            flags,
            stamp.wrapping_add_signed(by),
            text,
        );
        assert_ne!(bench.state(), State::SynReceived, "{by} {flags}");
    }
    let (mut bench, first) = request(Profile::Linux);
    let again = bench.run(millis(1500))[0]
        .header
        .options
        .timestamps
        .unwrap()
        .value;
    assert!(again > first);
    for (echoed, state) in [
        (first - 1, State::SynReceived),
        (again + 1, State::SynReceived),
        (first + 1, State::Established),
    ] {
        bench.now = bench.now + secs(1);
        echo(&mut bench, PEER_ISS + 1, ACK, echoed, b"");
        assert_eq!(bench.state(), state);
    }
}

/// Only the peer's SYN itself, once more, is not asked for an echo: it got no SYN,ACK.
#[test]
fn syn_again_with_a_strange_echo_is_answered_by_linux_as_a_syn_and_any_other_is_not() {
    for (offset, flags, answer) in [
        (0, SYN, "AS"),
        (0, SYN_ACK, "A"),
        (1, SYN, "A"),
        (1, SYN_ACK, "A"),
    ] {
        let mut bench = stamped(Profile::Linux);
        bench.listen();
        bench.arrive(PEER_ISS, Seq(0), SYN, b"");
        let answers = echo(&mut bench, PEER_ISS + offset, flags, 100_000, b"");
        let [only] = &answers[..] else {
            panic!("{offset} {flags}: {answers:?}")
        };
        assert!(
            only.ends_with(&format!(" {answer}")),
            "{offset} {flags}: {only}"
        );
        assert_eq!(bench.state(), State::SynReceived, "{offset} {flags}");
    }
}

#[test]
fn cookie_is_no_stranger_s_echo() {
    let mut bench = stamped(Profile::Linux);
    bench.listen();
    strangers(&mut bench, 16, b"");
    let cookie = bench.arrive(PEER_ISS, Seq(0), SYN, b"").remove(0);
    bench.snd_nxt = cookie.header.seq + 1;
    bench.now = bench.now + secs(1);
    echo(
        &mut bench,
        PEER_ISS + 1,
        ACK,
        cookie.header.options.timestamps.unwrap().value,
        b"",
    );
    assert_eq!(bench.state(), State::Established);
}
