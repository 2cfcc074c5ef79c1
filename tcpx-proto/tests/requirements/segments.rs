//! Section 3.7: segments.

use super::*;

/// Proves MUST-14, MUST-67, SHLD-5, MAY-3.
#[test]
fn must_14_67_mss_is_offered_and_fits_the_link() {
    for (mtu, mss) in [(1500, 1460), (576, 536), (9000, 8960)] {
        let sent = Bench::new(with(rfc(), |conn| conn.mtu = mtu)).connect();
        assert_eq!(sent[0].header.options.mss, Some(mss));
    }
}

/// Proves MUST-15.
#[test]
fn must_15_without_the_option_segments_have_536_bytes() {
    let mut bench = open_to(plain(), Options::default());
    assert_eq!(bench.send(&text(2000))[0].text.len(), 536);
}

/// Proves MUST-15.
#[test]
fn must_15_without_the_option_segments_have_1220_bytes_over_ipv6() {
    let mut bench = Bench::new(plain());
    bench.local = "[fd00::1]:7000".parse().unwrap();
    bench.remote = "[fd00::2]:9000".parse().unwrap();
    bench.stack.reserve(bench.local.ip(), 7000..=7000);
    bench.syn_options = Options::default();
    bench.enter("ESTABLISHED");
    assert_eq!(bench.send(&text(4000))[0].text.len(), 1220);
}

/// Proves MUST-16, MUST-14.
#[test]
fn must_16_effective_mss_is_the_smallest_of_peer_path_and_options() {
    let mss = |config, options| open_to(config, options).send(&text(20_000))[0].text.len();
    let offer = |mss| Options {
        mss: Some(mss),
        ..Options::default()
    };
    assert_eq!(mss(plain(), offer(1000)), 1000);
    assert_eq!(mss(plain(), offer(9000)), MSS);
    let stamped = Options {
        timestamps: Some(Timestamps { value: 1, echo: 0 }),
        ..offer(1460)
    };
    assert_eq!(mss(rfc(), stamped), MSS - 12);
}

/// The profile's segments of this many bytes towards a peer whose SYN has this MSS, where `--mss`
/// is that; and the MSS that is offered.
fn limited(
    profile: Profile,
    state: &str,
    own: u16,
    theirs: Option<u16>,
    mtu: u16,
) -> (Option<u16>, usize) {
    let config = with(Bench::plain(profile), |conn| {
        conn.mss = Some(own);
        conn.mtu = mtu;
    });
    let mut bench = Bench::new(config);
    bench.syn_options = Options {
        mss: theirs,
        ..Options::default()
    };
    let offered = if state == "SYN-SENT" {
        let syn = bench.connect();
        bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
        syn
    } else {
        bench.listen();
        let syn_ack = bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
        bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK, b"");
        bench
            .stack
            .accept(bench.now, bench.listener.unwrap())
            .unwrap();
        syn_ack
    };
    assert_eq!(bench.state(), State::Established);
    (
        offered[0].header.options.mss,
        bench.send(&text(20_000))[0].text.len(),
    )
}

/// TCP_MAXSEG, measured at Linux 6.18; RFC 9293 knows a limit of what is offered alone.
#[test]
fn must_14_16_own_mss_limits_what_is_sent_in_profile_linux_alone() {
    // Own limit, the peer's option, MTU; then what is offered, and what is sent by the RFC, by an
    // active and by a passive opener of Linux.
    for (own, theirs, mtu, offered, rfc, active, passive) in [
        (300, Some(1460), 1500, 300, 1460, 300, 300),
        (300, Some(100), 1500, 300, 100, 100, 100),
        (1000, Some(536), 1500, 1000, 536, 536, 536),
        (1000, Some(9000), 1500, 1000, 1460, 1000, 1000),
        (9000, Some(9000), 1500, 1460, 1460, 1460, 1460),
        (1000, Some(1460), 576, 536, 536, 536, 536),
        (300, None, 1500, 300, 536, 300, 536),
        (1000, None, 1500, 1000, 536, 1000, 536),
        (9000, None, 1500, 1460, 536, 1460, 536),
    ] {
        let case = (own, theirs, mtu);
        for (state, linux) in [("SYN-SENT", active), ("SYN-RECEIVED", passive)] {
            assert_eq!(
                limited(Profile::Rfc9293, state, own, theirs, mtu),
                (Some(offered), rfc),
                "{state} {case:?}"
            );
            assert_eq!(
                limited(Profile::Linux, state, own, theirs, mtu),
                (Some(offered), linux),
                "Linux, {state} {case:?}"
            );
        }
    }
}

#[test]
fn must_16_sack_blocks_leave_their_room() {
    let mut bench = open_to(
        rfc(),
        Options {
            sack_permitted: true,
            mss: Some(1460),
            ..Options::default()
        },
    );
    for hole in 1..=4 {
        bench.arrive(bench.rcv_nxt + 1000 * hole, bench.snd_nxt, ACK, b"x");
    }
    let sent = bench.send(&text(5000));
    assert!(
        sent.iter()
            .all(|sent| sent.text.len() <= MSS - 36
                && sent.header.options.sack.as_slice().len() == 4)
    );
}

#[test]
fn must_65_mss_outside_a_syn_is_ignored_and_never_sent() {
    let mut bench = open(plain());
    let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK);
    header.options.mss = Some(100);
    bench.say(header, b"");
    let sent = bench.send(&text(2 * MSS));
    assert!(
        sent.iter()
            .all(|sent| sent.text.len() == MSS && sent.header.options.mss.is_none())
    );
}

/// Proves MUST-61, SHLD-27.
#[test]
fn must_60_61_last_segment_of_what_is_buffered_carries_psh() {
    let mut bench = open(plain());
    let sent = bench.send(&text(2 * MSS + 5));
    let pushed: Vec<bool> = sent
        .iter()
        .map(|sent| sent.header.flags.contains(Flags::PSH))
        .collect();
    assert_eq!(pushed, [false, false, true]);
}

/// Proves MUST-3.
#[test]
fn must_3_segment_with_a_wrong_checksum_is_dropped_and_counted() {
    let mut bench = open(plain());
    let mut packet = [0; 200];
    let len = bench
        .header(bench.rcv_nxt, Seq(0), Flags::RST)
        .emit((b"", b""), &mut packet)
        .unwrap();
    packet[36] ^= 1;
    bench.stack.packet_arrives(bench.now, &packet[..len]);
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.state(), State::Established);
    assert_eq!(bench.stack.counters().bad_checksums, 1);
    assert!(
        bench
            .events
            .iter()
            .any(|event| matches!(event.what, What::Discarded(Discard::Parse(_))))
    );
}

/// Proves MUST-6, MUST-68.
#[test]
fn must_6_unknown_options_are_skipped_by_their_length() {
    for unknown in [&[253, 2][..], &[254, 4, 2, 4], &[77, 7, 2, 4, 1, 1, 1]] {
        let mut bench = Bench::new(plain());
        bench.listen();
        let options = [unknown, &[2, 4, 2, 0]].concat();
        let illegal = tcpx_proto::wire::Illegal {
            options: Some(&options),
            ..Default::default()
        };
        let mut packet = [0; 100];
        let len = bench
            .header(PEER_ISS, Seq(0), Flags::SYN)
            .emit_illegal((b"", b""), &illegal, &mut packet)
            .unwrap();
        bench.stack.packet_arrives(bench.now, &packet[..len]);
        bench.drain();
        assert_eq!(bench.status().mss, 512, "{unknown:?}");
    }
}

/// What a connection sends in its life: SYN, text, ACKs, a retransmission, FIN, the last ACK.
fn life(config: Config) -> Vec<Sent> {
    let mut bench = Bench::new(config);
    let mut sent = bench.connect();
    sent.extend(bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b""));
    sent.extend(bench.send(&text(3000)));
    sent.extend(bench.run(secs(5)));
    sent.extend(bench.acknowledge());
    sent.extend(bench.text(b"x"));
    sent.extend(bench.run(secs(1)));
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    sent.extend(bench.drain());
    sent.extend(bench.acknowledge());
    sent.extend(bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b""));
    assert!(sent.len() >= 7, "{sent:?}");
    sent
}

/// Proves MUST-45.
#[test]
fn must_45_all_segments_come_from_the_address_of_the_open() {
    let local = Bench::new(rfc()).local;
    assert!(life(rfc()).iter().all(|sent| sent.header.source == local));
}

/// Proves MUST-48, SHLD-22.
#[test]
fn must_48_shld_22_dscp_that_was_asked_for_is_on_every_segment() {
    let sent = life(with(rfc(), |conn| conn.tos = 0xb8));
    assert!(sent.iter().all(|sent| sent.header.tos == 0xb8));
}

/// Proves MUST-49.
#[test]
fn must_49_ttl_that_was_asked_for_is_on_every_segment() {
    let sent = life(with(rfc(), |conn| conn.ttl = 7));
    assert!(sent.iter().all(|sent| sent.header.ttl == 7));
}

/// Proves SHLD-13.
#[test]
fn shld_13_nothing_is_ever_sent_as_urgent() {
    let quiet = |sent: &Sent| !sent.header.flags.contains(Flags::URG) && sent.header.urgent == 0;
    assert!(life(rfc()).iter().all(quiet));
}

/// Proves MAY-16.
#[test]
fn may_16_text_that_waits_goes_in_one_segment() {
    let mut bench = open(with(rfc(), |conn| {
        conn.nagle = tcpx_proto::config::Nagle::Rfc896
    }));
    bench.send(b"first");
    assert_eq!(bench.send(b"second"), []);
    assert_eq!(bench.send(b"third"), []);
    let sent = bench.acknowledge();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].text, b"secondthird");
}
