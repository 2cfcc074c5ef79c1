//! Text and FIN on a SYN or SYN,ACK.

use super::*;
use tcpx_proto::id::FourTuple;

/// What is delivered of a SYN with this, and in which state, after the third ACK, which counts
/// `counted` bytes on the SYN.
fn listened(
    config: Config,
    flags: Flags,
    text: &[u8],
    counted: u32,
) -> (Vec<Sent>, Vec<u8>, State) {
    let mut bench = Bench::new(config);
    bench.listen();
    let answer = bench.arrive(PEER_ISS, Seq(0), flags, text);
    assert_eq!(
        acks(&answer),
        [(SYN_ACK, 0)],
        "the SYN alone is acknowledged"
    );
    let mut sent = bench.arrive(PEER_ISS + 1 + counted, bench.snd_nxt, ACK, b"");
    sent.extend(bench.run(millis(500)));
    accept(&mut bench);
    let text = bench.receive(2000).unwrap_or_default();
    (sent, text, bench.state())
}

#[test]
fn text_and_fin_of_a_syn_to_a_listener_are_queued_by_the_rfc_and_dropped_by_linux() {
    let rfc = plain();
    let linux = Bench::plain(Profile::Linux);
    for counted in [0, 100] {
        let (sent, text, state) = listened(rfc.clone(), SYN, &[7; 100], counted);
        assert_eq!(acks(&sent), vec![(ACK, 100)], "{counted}");
        assert_eq!(text.len(), 100, "{counted}");
        assert_eq!(state, State::Established, "{counted}");
    }
    let (sent, text, state) = listened(linux, SYN, &[7; 100], 0);
    assert_eq!(acks(&sent), []);
    assert_eq!(text.len(), 0);
    assert_eq!(state, State::Established);

    let (sent, text, state) = listened(rfc.clone(), SYN | FIN, b"", 1);
    assert_eq!(acks(&sent), vec![(ACK, 1)]);
    assert_eq!(text.len(), 0);
    assert_eq!(state, State::CloseWait);
    let (sent, text, state) = listened(rfc, SYN | FIN, b"words", 6);
    assert_eq!(acks(&sent), vec![(ACK, 6)]);
    assert_eq!(text, b"words".to_vec());
    assert_eq!(state, State::CloseWait);
}

#[test]
fn text_queued_comes_before_that_of_the_third_segment_and_counts_once() {
    let mut bench = Bench::new(plain());
    bench.listen();
    bench.arrive(PEER_ISS, Seq(0), SYN, b"one");
    assert_eq!(
        acks(&bench.arrive(PEER_ISS, Seq(0), SYN, b"two")),
        [(ACK, 0)],
        "the SYN again changes nothing"
    );
    bench.arrive(PEER_ISS + 1, bench.snd_nxt, ACK, b"one two");
    accept(&mut bench);
    assert_eq!(bench.receive(100).unwrap(), b"one two");
    assert_eq!(
        acks(&bench.arrive(PEER_ISS + 8, bench.snd_nxt, FIN_ACK, b"")),
        [(ACK, 8)]
    );
}

/// Proves 4987-5.
#[test]
fn text_queued_is_bounded_by_the_window_the_memory_and_the_backlog() {
    let flood = |config: Config, text: &[u8]| {
        let mut bench = Bench::new(config);
        bench.listen();
        strangers(&mut bench, 500, text);
        bench.arrive(PEER_ISS, Seq(0), SYN, text);
        let count = bench.stack.connections().count();
        bench.arrive(PEER_ISS + 1, bench.snd_nxt, ACK, b"");
        let tuple = FourTuple {
            local: bench.local,
            remote: bench.remote,
        };
        let status = bench
            .stack
            .lookup(tuple)
            .map(|id| bench.stack.status(id).unwrap());
        (count, status.is_some_and(|status| status.unread > 0))
    };
    assert_eq!(flood(plain(), &[0; 1000]), (16, false));
    let mut bounded = Config {
        max_memory: 1_000_000,
        overflow: Overflow::Unbounded,
        ..plain()
    };
    assert_eq!(flood(bounded.clone(), &[0; 1000]), (501, true));
    bounded.max_memory = 10_000;
    assert_eq!(
        flood(bounded, &[0; 1000]),
        (501, false),
        "what is queued counts"
    );

    let (sent, text, _) = listened(
        with(plain(), |conn| conn.receive_buffer = 50),
        SYN | FIN,
        &[0; 51],
        0,
    );
    assert_eq!(acks(&sent), []);
    assert_eq!(text.len(), 0);
    let (sent, text, _) = listened(
        with(plain(), |conn| conn.receive_buffer = 50),
        SYN,
        &[0; 50],
        0,
    );
    assert_eq!(acks(&sent), vec![(ACK, 50)]);
    assert_eq!(text.len(), 50);
}

#[test]
fn text_and_fin_on_crossing_syns_are_queued_by_the_rfc_and_dropped_by_linux() {
    for (profile, text, state) in [
        (Profile::Rfc9293, &b"text"[..], State::CloseWait),
        (Profile::Linux, b"", State::Established),
    ] {
        let mut bench = Bench::new(Bench::plain(profile));
        bench.connect();
        let answer = bench.arrive(PEER_ISS, Seq(0), SYN | FIN, b"text");
        assert_eq!(acks(&answer), [(SYN_ACK, 0)], "{}", profile.name());
        let mut sent = bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
        sent.extend(bench.run(millis(100)));
        let acked = if profile == Profile::Linux { 0 } else { 5 };
        assert_eq!(acks(&sent), vec![(ACK, acked)], "{}", profile.name());
        assert_eq!(bench.state(), state, "{}", profile.name());
        assert_eq!(
            bench.receive(10).unwrap_or_default(),
            text,
            "{}",
            profile.name()
        );
    }
}

#[test]
fn text_on_the_syn_ack_of_a_simultaneous_open_is_taken_by_the_rfc_and_challenged_by_linux() {
    for (profile, state) in [
        (Profile::Rfc9293, State::CloseWait),
        (Profile::Linux, State::SynReceived),
    ] {
        let mut bench = Bench::new(Bench::plain(profile));
        bench.connect();
        bench.arrive(PEER_ISS, Seq(0), SYN, b"");
        let sent = bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK | FIN, b"text");
        let acked = if profile == Profile::Linux { 0 } else { 5 };
        assert_eq!(acks(&sent), vec![(ACK, acked)], "{}", profile.name());
        assert_eq!(bench.state(), state, "{}", profile.name());
    }
}

#[test]
fn text_and_fin_on_a_syn_ack_are_taken_by_the_rfc_and_must_come_again_to_linux() {
    for (flags, text) in [
        (SYN_ACK, &b"text"[..]),
        (SYN_ACK | FIN, b""),
        (SYN_ACK | FIN, b"text"),
    ] {
        let bytes = text.len() as u32 + u32::from(flags.contains(FIN));
        let after = if flags.contains(FIN) {
            State::CloseWait
        } else {
            State::Established
        };
        for (profile, acked, state) in [
            (Profile::Rfc9293, bytes, after),
            (Profile::Linux, 0, State::Established),
        ] {
            let mut bench = Bench::new(Bench::plain(profile));
            bench.connect();
            let sent = bench.arrive(PEER_ISS, bench.snd_nxt, flags, text);
            assert_eq!(
                acks(&sent),
                vec![(ACK, acked)],
                "{} {flags}",
                profile.name()
            );
            assert_eq!(bench.state(), state, "{} {flags}", profile.name());
            let mut again = bench.arrive(PEER_ISS + 1, bench.snd_nxt, flags.difference(SYN), text);
            again.extend(bench.run(millis(100)));
            assert_eq!(
                acks(&again),
                vec![(ACK, bytes)],
                "{} {flags}",
                profile.name()
            );
            assert_eq!(bench.state(), after, "{} {flags}", profile.name());
        }
    }
}

#[test]
fn urgent_data_on_a_syn_is_announced_by_the_rfc() {
    let urgent = |bench: &Bench| {
        (
            bench.status().urgent,
            bench
                .signals
                .iter()
                .any(|signal| matches!(signal, Signal::Urgent(_))),
        )
    };
    let mut bench = Bench::new(plain());
    bench.listen();
    // SEG.UP is 5: the byte after the urgent data is the fifth after the SYN.
    bench.arrive(PEER_ISS, Seq(0), SYN | Flags::URG, b"ab");
    bench.arrive(PEER_ISS + 1, bench.snd_nxt, ACK, b"");
    accept(&mut bench);
    bench.drain();
    assert_eq!(urgent(&bench), (Some(4), true));
    assert_eq!(bench.receive(10).unwrap(), b"ab");
    let mut bench = Bench::new(plain());
    bench.connect();
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK | Flags::URG, b"ab");
    assert_eq!(urgent(&bench), (Some(4), true));
}
