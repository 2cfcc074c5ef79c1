//! Sections 3.4 and 3.5: sequence numbers, opening.

use super::*;

/// Proves MUST-1.
#[test]
fn must_1_window_of_16_bits_is_unsigned() {
    let mut bench = Bench::new(plain());
    bench.window = 65_535;
    bench.enter("ESTABLISHED");
    assert_eq!(bench.status().snd_wnd, 65_535);
}

/// Proves MUST-8.
#[test]
fn must_8_isn_advances_with_a_clock_of_4_microseconds() {
    let isn = |at: u64| {
        let mut bench = Bench::new(plain());
        bench.now = Instant::ZERO + millis(at);
        bench.connect()[0].header.seq
    };
    assert_eq!(isn(1000).since(isn(0)), 250_000);
}

/// Proves MUST-9, SHLD-1, 6528-1.
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

/// Proves MUST-10.
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
fn simultaneous_open_offers_in_linux_what_its_syn_offered() {
    for (profile, scaled) in [(Profile::Rfc9293, false), (Profile::Linux, true)] {
        let mut bench = Bench::new(profile.config());
        let offered = bench.connect()[0].header.options;
        let out = bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
        let options = out[0].header.options;
        assert_eq!(
            (options.window_scale.is_some(), options.sack_permitted),
            (scaled, scaled),
            "{}",
            profile.name()
        );
        assert_eq!(options.window_scale == offered.window_scale, scaled);
        let shift = offered.window_scale.unwrap();
        let out = bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
        assert_eq!(out[0].header.window <= 1 + (65_535 >> shift), scaled);
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

/// Proves MUST-12.
#[test]
fn must_12_application_tells_a_fin_from_a_rst() {
    let mut bench = open(plain());
    let mut other = bench.clone();
    bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"");
    assert_eq!(bench.receive(10), Ok(vec![]));
    other.arrive(other.rcv_nxt, Seq(0), Flags::RST, b"");
    assert_eq!(other.receive(10), Err(CallError::Ended(CloseReason::Reset)));
}

/// Proves MUST-13.
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

/// Proves MUST-41.
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

/// Proves MUST-42.
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

/// Proves MUST-11.
#[test]
fn must_11_reset_in_syn_received_means_what_its_open_was() {
    for (state, reason) in [
        ("SYN-RECEIVED(active)", Some(CloseReason::Refused)),
        ("SYN-RECEIVED(passive)", None),
    ] {
        let mut bench = Bench::new(plain());
        bench.enter(state);
        bench.signals.clear();
        bench.events.clear();
        bench.arrive(bench.rcv_nxt, Seq(0), Flags::RST, b"");
        assert_eq!(ended(&bench), reason, "{state}: what the application hears");
        let to = bench.events.iter().find_map(|event| match event.what {
            What::State { to, .. } => Some(to),
            _ => None,
        });
        let back = if reason.is_some() {
            State::Closed
        } else {
            State::Listen
        };
        assert_eq!(to, Some(back), "{state}");
    }
}

/// Proves MUST-43.
#[test]
fn must_43_open_takes_one_of_our_local_addresses_and_no_other() {
    let mut stack = Stack::new(plain(), 7);
    for last in [1, 2] {
        stack.reserve([10, 0, 0, last].into(), 7000..=7001);
    }
    let mut open = |last| {
        let tuple = FourTuple {
            local: ([10, 0, 0, last], 0).into(),
            remote: ([10, 0, 0, 9], 9000).into(),
        };
        let id = stack.connect(Instant::ZERO, tuple, &plain().conn)?;
        Ok(stack.status(id).unwrap().local.ip())
    };
    assert_eq!(open(1), Ok([10, 0, 0, 1].into()));
    assert_eq!(open(2), Ok([10, 0, 0, 2].into()));
    assert_eq!(open(3), Err(CallError::NotReserved));
    let mut stack = Stack::new(plain(), 7);
    stack.reserve([10, 0, 0, 1].into(), 7000..=7001);
    let foreign = FourTuple {
        local: ([10, 0, 0, 3], 7000).into(),
        remote: ([10, 0, 0, 9], 9000).into(),
    };
    assert_eq!(
        stack.connect(Instant::ZERO, foreign, &plain().conn),
        Err(CallError::NotReserved)
    );
}
