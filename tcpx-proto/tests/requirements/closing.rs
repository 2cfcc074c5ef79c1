//! Sections 3.6 and 3.10.4: closing.

use super::*;

#[test]
fn half_close_lets_the_peer_go_on() {
    let mut bench = Bench::new(plain());
    bench.enter("FIN-WAIT-2");
    assert_eq!(bench.text(b"more")[0].header.ack, PEER_ISS + 5);
    assert_eq!(bench.receive(10).unwrap(), b"more");
    let mut bench = Bench::new(plain());
    bench.enter("CLOSE-WAIT");
    assert_eq!(bench.send(b"more")[0].text, b"more");
}

#[test]
fn linux_ack_of_a_fin_waits_and_travels_with_the_fin_of_who_closes_at_once() {
    let fin = |profile: Profile| {
        let mut bench = open(Bench::exact(profile));
        bench.text(b"text");
        bench.run(secs(1));
        bench.receive(4).unwrap();
        let sent = bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"");
        assert_eq!(bench.state(), State::CloseWait);
        (bench, sent)
    };
    let (_, sent) = fin(Profile::Rfc9293);
    assert_eq!(
        sent.iter()
            .map(|sent| sent.header.flags)
            .collect::<Vec<_>>(),
        [ACK],
        "3.10.7.4 sends it at once"
    );

    let (mut late, sent) = fin(Profile::Linux);
    assert_eq!(sent, []);
    let since = late.now;
    let sent = late.run(millis(100));
    assert_eq!(times(since, &sent), vec![40]);
    assert_eq!(sent[0].header.flags, ACK);

    let (mut prompt, _) = fin(Profile::Linux);
    prompt.stack.close(prompt.now, prompt.conn()).unwrap();
    let sent = prompt.run(millis(100));
    assert_eq!(
        sent.iter()
            .map(|sent| (sent.header.flags, sent.header.ack))
            .collect::<Vec<_>>(),
        [(FIN_ACK, PEER_ISS + 6)]
    );
}

#[test]
fn linux_ack_of_a_fin_with_text_waits_too_unless_something_is_missing() {
    let mut bench = open(Bench::exact(Profile::Linux));
    assert_eq!(
        bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"last words"),
        []
    );
    assert_eq!(bench.run(millis(40))[0].header.ack, PEER_ISS + 12);
    let mut bench = open(Bench::exact(Profile::Linux));
    assert_eq!(
        bench
            .arrive(bench.rcv_nxt + 4, bench.snd_nxt, FIN_ACK, b"words")
            .len(),
        1,
        "out of order"
    );
    assert_eq!(
        bench.text(b"last")[0].header.ack,
        PEER_ISS + 11,
        "fills the hole"
    );
}

#[test]
fn close_sends_everything_before_the_fin() {
    let mut bench = open(plain());
    bench.send(&text(15 * MSS));
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    assert_eq!(
        bench.drain(),
        [],
        "the state changes at once, the FIN waits for its turn"
    );
    assert_eq!(
        bench.state(),
        State::FinWait1,
        "the state changes at once, the FIN waits for its turn"
    );
    let sent = bench.acknowledge();
    let fins: Vec<bool> = sent
        .iter()
        .map(|sent| sent.header.flags.contains(Flags::FIN))
        .collect();
    assert_eq!(fins, [false, false, false, false, true]);
}

#[test]
fn fin_lost_is_sent_again_with_the_text_that_was_lost_with_it() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(b"last words");
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    bench.drain();
    let sent = bench.run(millis(1500));
    assert_eq!(sent[0].header.seq, una);
    assert_eq!(sent[0].text.as_slice(), &b"last words"[..]);
    assert!(
        sent.iter()
            .any(|sent| sent.header.flags.contains(Flags::FIN))
    );
    bench.acknowledge();
    assert_eq!(bench.state(), State::FinWait2);
}

#[test]
fn close_in_syn_received_is_finished_by_the_ack_of_the_syn_alone() {
    let mut bench = Bench::new(plain());
    bench.enter("SYN-RECEIVED(active)");
    let iss = bench.status().iss;
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    assert_eq!(bench.drain()[0].header.seq, iss + 1);
    bench.arrive(bench.rcv_nxt, iss + 1, ACK, b"");
    assert_eq!(bench.state(), State::FinWait1);
    assert_eq!(bench.snd_una, iss + 1);
    assert_eq!(bench.snd_nxt, iss + 2);
    let again = bench.run(secs(5));
    assert!(
        !again.is_empty()
            && again
                .iter()
                .all(|sent| sent.header.flags == FIN_ACK && sent.header.seq == iss + 1),
        "{again:?}"
    );
    bench.acknowledge();
    assert_eq!(bench.state(), State::FinWait2);
}

#[test]
fn unread_text_stays_readable_after_a_clean_close() {
    let mut bench = Bench::new(plain());
    bench.unread = text(100);
    bench.enter("TIME-WAIT");
    bench.run(secs(300));
    assert_eq!(bench.receive(60).unwrap(), text(100)[..60]);
    assert_eq!(bench.receive(60).unwrap(), text(100)[60..]);
    assert_eq!(bench.receive(60), Ok(vec![]));
}

/// A segment for TIME-WAIT: offsets from RCV.NXT and SND.NXT, bits, bytes of text, offset of the
/// timestamp.
fn any_segment() -> impl Strategy<Value = (i32, i32, u8, usize, i32, u64)> {
    let near = prop_oneof![-3i32..3, -200_000..200_000];
    (
        near.clone(),
        near,
        0u8..64,
        prop_oneof![Just(0usize), 1..20usize],
        -2i32..3,
        0u64..100_000,
    )
}

proptest! {
    #[test]
    fn time_wait_compact_and_full_answer_alike(
        profile in prop_oneof![Just(Profile::Rfc9293), Just(Profile::Rfc793), Just(Profile::Linux)],
        stamps: bool,
        listener: bool,
        segments in prop::collection::vec(any_segment(), 1..20),
    ) {
        let mut benches = [false, true].map(|read| {
            let mut bench = Bench::new(with(profile.config(), |conn| conn.timestamps = stamps));
            if stamps {
                bench.stamp = Some(1000);
            }
            bench.unread = text(10);
            bench.enter("TIME-WAIT");
            if !listener {
                bench
                    .stack
                    .close_listener(bench.now, bench.listener.unwrap());
            }
            if read {
                assert_eq!(bench.receive(10).unwrap(), text(10));
            }
            bench.drain();
            bench
        });
        prop_assert_eq!(benches[0].status().unread, 10);
        prop_assert_eq!(benches[1].status().unread, 0);
        for (seq, ack, bits, len, stamp, wait) in segments {
            let [full, compact] = &mut benches;
            let answers = [&mut *full, &mut *compact].map(|bench| {
                let before = bench.run(millis(wait));
                let offset = |base: Seq, by: i32| Seq(base.0.wrapping_add_signed(by));
                let mut header = bench.header(
                    offset(bench.rcv_nxt, seq),
                    offset(bench.snd_nxt, ack),
                    Flags(bits),
                );
                header.options.timestamps = stamps.then_some(Timestamps {
                    value: 1000u32.wrapping_add_signed(stamp),
                    echo: 0,
                });
                (before, bench.say(header, &text(len)))
            });
            prop_assert_eq!(&answers[0], &answers[1]);
            prop_assert_eq!(full.state(), compact.state());
            prop_assert_eq!(full.stack.deadline(), compact.stack.deadline());
        }
    }
}

/// Proves SHLD-3.
#[test]
fn shld_3_close_with_text_that_nobody_read_resets() {
    let mut bench = open(plain());
    bench.text(b"unread");
    bench.stack.close(bench.now, bench.conn()).unwrap();
    let sent = bench.drain();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].header.flags.contains(Flags::RST));
    assert_eq!(bench.state(), State::Closed);
}

/// Proves SHLD-3, MAY-1.
#[test]
fn shld_3_may_1_text_that_comes_after_a_close_of_both_directions_resets() {
    let mut bench = open(plain());
    bench.stack.close(bench.now, bench.conn()).unwrap();
    bench.drain();
    bench.acknowledge();
    assert_eq!(bench.state(), State::FinWait2);
    let sent = bench.text(b"too late");
    assert_eq!(sent.len(), 1);
    assert!(sent[0].header.flags.contains(Flags::RST));
    assert_eq!(bench.state(), State::Closed);
}
