//! Sections 3.4 and 3.5: sequence numbers, opening.

use super::*;

#[test]
fn must_1_window_of_16_bits_is_unsigned() {
    let mut bench = Bench::new(plain());
    bench.window = 65_535;
    bench.enter("ESTABLISHED");
    assert_eq!(bench.status().snd_wnd, 65_535);
}

#[test]
fn must_8_isn_advances_with_a_clock_of_4_microseconds() {
    let isn = |at: u64| {
        let mut bench = Bench::new(plain());
        bench.now = Instant::ZERO + millis(at);
        bench.connect()[0].header.seq
    };
    assert_eq!(isn(1000).since(isn(0)), 250_000);
}

#[test]
fn must_9_isn_depends_on_the_four_tuple_and_a_secret() {
    let isn = |seed: u64, port: u16| {
        let mut stack = Stack::new(plain(), seed);
        stack.reserve([10, 0, 0, 1].into(), 7000..=7001);
        let id = stack
            .connect(
                Instant::ZERO,
                FourTuple {
                    local: ([10, 0, 0, 1], port).into(),
                    remote: ([10, 0, 0, 2], 9000).into(),
                },
                &plain().conn,
            )
            .unwrap();
        stack.status(id).unwrap().iss
    };
    assert_eq!(isn(1, 7000), isn(1, 7000));
    assert_ne!(isn(1, 7000), isn(2, 7000));
    assert_ne!(
        isn(1, 7000).since(isn(1, 7001)),
        isn(2, 7000).since(isn(2, 7001)),
        "the difference of two ports tells nothing of others"
    );
}

#[test]
fn must_10_simultaneous_open_establishes_in_every_profile() {
    for profile in Profile::ALL {
        let mut pair = Pair::open_at_once(&profile.config());
        let packets = pair.exchange();
        assert_eq!(
            pair.states(),
            (Some(State::Established), Some(State::Established)),
            "{}",
            profile.name()
        );
        assert!(packets <= 6, "{packets} packets");
    }
}

#[test]
fn figure_13_simultaneous_close_ends_in_two_time_waits_that_are_silent() {
    for profile in Profile::ALL {
        let mut pair = Pair::open_at_once(&profile.config());
        pair.exchange();
        let a = pair.a.lookup(Pair::tuple_of_a()).unwrap();
        let b = pair.b.lookup(Pair::tuple_of_b()).unwrap();
        pair.a.shutdown(pair.now, a).unwrap();
        pair.b.shutdown(pair.now, b).unwrap();
        assert_eq!(pair.exchange(), 4, "{}", profile.name());
        assert_eq!(
            pair.states(),
            (Some(State::TimeWait), Some(State::TimeWait)),
            "{}",
            profile.name()
        );
    }
}

#[test]
fn must_12_application_tells_a_fin_from_a_rst() {
    let mut bench = open(plain());
    let mut other = bench.clone();
    bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"");
    assert_eq!(bench.receive(10), Ok(vec![]));
    other.arrive(other.rcv_nxt, Seq(0), Flags::RST, b"");
    assert_eq!(other.receive(10), Err(CallError::Ended(CloseReason::Reset)));
}

#[test]
fn must_13_active_closer_waits_2_msl_and_again_after_another_fin() {
    let mut bench = Bench::new(plain());
    bench.enter("TIME-WAIT");
    bench.run(secs(200));
    assert_eq!(
        bench
            .arrive(bench.rcv_nxt.back(1), bench.snd_nxt, FIN_ACK, b"")
            .len(),
        1
    );
    bench.run(secs(239));
    assert_eq!(bench.state(), State::TimeWait);
    bench.run(secs(1));
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn must_41_another_passive_open_disturbs_nobody() {
    let mut bench = open(plain());
    let config = bench.stack.config().conn.clone();
    assert_eq!(
        bench.stack.listen(bench.now, bench.local, 1, &config),
        Err(CallError::InUse(State::Listen))
    );
    assert_eq!(bench.text(b"still here")[0].header.ack, PEER_ISS + 11);
}

#[test]
fn must_42_listen_on_a_port_with_an_active_open() {
    let mut bench = Bench::new(plain());
    bench.enter("SYN-SENT");
    bench.listen();
    let other = ([10, 0, 0, 3], 9000).into();
    let header = tcpx_proto::wire::Header {
        source: other,
        ..bench.header(PEER_ISS, Seq(0), Flags::SYN)
    };
    assert_eq!(bench.say(header, b"")[0].header.flags, SYN_ACK);
    assert_eq!(bench.state(), State::SynSent);
}
