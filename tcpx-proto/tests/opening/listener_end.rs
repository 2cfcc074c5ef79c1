//! The end of a listener.

use super::*;

#[test]
fn listener_that_ends_resets_those_in_syn_received_and_linux_says_nothing() {
    for (profile, at_once) in [
        (Profile::Rfc9293, 1),
        (Profile::Rfc793, 1),
        (Profile::Linux, 0),
    ] {
        let mut bench = Bench::new(Bench::plain(profile));
        bench.enter("SYN-RECEIVED(passive)");
        bench
            .stack
            .close_listener(bench.now, bench.listener.unwrap());
        let sent = bench.drain();
        assert_eq!(sent.len(), at_once, "{}", profile.name());
        assert_eq!(bench.stack.connections().count(), 0, "{}", profile.name());
        assert_eq!(bench.run(secs(100)), [], "{}", profile.name());
        for (seq, flags, text) in [
            (PEER_ISS, SYN, &b""[..]),
            (PEER_ISS + 1, ACK, b""),
            (PEER_ISS + 1, ACK, b"text"),
        ] {
            let answer = bench.arrive(seq, bench.snd_nxt, flags, text);
            assert!(
                answer.len() == 1 && answer[0].header.flags.contains(RST),
                "{} {flags}",
                profile.name()
            );
        }
    }
}

#[test]
fn listener_that_ends_resets_those_that_wait_in_every_profile() {
    for profile in Profile::ALL {
        let mut bench = Bench::new(Bench::plain(profile));
        bench.enter("SYN-RECEIVED(passive)");
        bench.acknowledge();
        bench
            .stack
            .close_listener(bench.now, bench.listener.unwrap());
        assert!(
            bench.drain()[0].header.flags.contains(RST),
            "{}",
            profile.name()
        );
    }
}
