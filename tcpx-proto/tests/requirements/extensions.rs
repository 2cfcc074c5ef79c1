//! RFC 7323 and RFC 2018: window scaling, timestamps, SACK.

use super::*;

fn stamped(value: u32) -> Options {
    Options {
        mss: Some(1460),
        timestamps: Some(Timestamps { value, echo: 0 }),
        ..Options::default()
    }
}

/// Proves 7323-1.
#[test]
fn rfc_7323_2_2_windows_are_scaled_only_if_both_syns_said_so_and_never_in_a_syn() {
    let mut bench = open_to(
        rfc(),
        Options {
            window_scale: Some(3),
            ..Options::default()
        },
    );
    assert_eq!(bench.status().snd_wnd, 65_000 << 3);
    let sent = bench.text(&text(1000));
    assert_eq!(sent.len() + bench.run(secs(1)).len(), 1);
    assert_eq!(bench.status().rcv_wnd, 262_144 - 1000);
    let mut bench = open(with(rfc(), |conn| conn.delayed_ack = None));
    assert_eq!(bench.status().snd_wnd, 65_000);
    let sent = bench.text(b"x");
    assert_eq!(u32::from(sent[0].header.window), bench.status().rcv_wnd);
    assert_eq!(
        open_to(
            with(rfc(), |conn| conn.window_scaling = false),
            Options {
                window_scale: Some(3),
                ..Options::default()
            }
        )
        .status()
        .snd_wnd,
        65_000
    );
}

/// Proves 7323-3.
#[test]
fn rfc_7323_2_3_shift_over_14_counts_as_14() {
    let bench = open_to(
        rfc(),
        Options {
            window_scale: Some(200),
            ..Options::default()
        },
    );
    assert_eq!(bench.status().snd_wnd, 65_000 << 14);
}

#[test]
fn rfc_7323_3_2_timestamps_are_in_every_segment_or_in_none() {
    let mut bench = open_to(rfc(), stamped(77));
    let sent = [
        bench.send(b"x"),
        bench.run(secs(2)),
        bench.text(&text(10)),
        bench.run(secs(1)),
    ]
    .concat();
    assert!(
        sent.len() >= 3
            && sent.iter().all(|sent| sent
                .header
                .options
                .timestamps
                .is_some_and(|stamps| stamps.echo == 77))
    );
    let mut bench = open(rfc());
    assert!(bench.send(b"x")[0].header.options.timestamps.is_none());
}

/// TSecr of what is sent after text at this offset with this stamp.
fn echo(bench: &mut Bench, offset: u32, stamp: u32) -> Option<u32> {
    bench.stamp = Some(stamp);
    let sent = bench.arrive(PEER_ISS + 1 + offset, bench.snd_nxt, ACK, b"0123456789");
    sent.last()
        .map(|sent| sent.header.options.timestamps.unwrap().echo)
}

/// Proves 7323-10.
#[test]
fn rfc_7323_4_3_echo_is_that_of_the_earliest_segment_that_waits_for_its_ack() {
    let mut bench = open_to(rfc(), stamped(1));
    assert_eq!(echo(&mut bench, 0, 10), None, "delayed");
    assert_eq!(echo(&mut bench, 10, 11), Some(10));
}

/// Proves 7323-10.
#[test]
fn rfc_7323_4_3_echo_beyond_a_hole_is_that_of_the_last_in_order_and_then_of_what_fills_it() {
    let mut bench = open_to(with(rfc(), |conn| conn.delayed_ack = None), stamped(1));
    assert_eq!(echo(&mut bench, 0, 10), Some(10));
    assert_eq!(echo(&mut bench, 20, 12), Some(10));
    assert_eq!(echo(&mut bench, 10, 13), Some(13));
}

/// Proves 2018-2, 2018-3, 2018-4.
#[test]
fn rfc_2018_sack_blocks_name_the_newest_first_and_only_if_permitted() {
    let blocks = |options: Options| {
        let mut bench = open_to(rfc(), options);
        let base = bench.rcv_nxt;
        let mut last = Vec::new();
        for at in [100, 300, 500, 700, 900] {
            last = bench
                .arrive(base + at, bench.snd_nxt, ACK, b"0123456789")
                .remove(0)
                .header
                .options
                .sack
                .as_slice()
                .to_vec();
        }
        last.into_iter()
            .map(|(left, right)| (left.since(base), right.since(base)))
            .collect::<Vec<_>>()
    };
    assert_eq!(blocks(Options::default()), []);
    let permitted = Options {
        sack_permitted: true,
        ..Options::default()
    };
    assert_eq!(
        blocks(permitted),
        [(900, 910), (700, 710), (500, 510), (300, 310)]
    );
    assert_eq!(
        blocks(Options {
            sack_permitted: true,
            ..stamped(1)
        }),
        [(900, 910), (700, 710), (500, 510)]
    );
}

/// Proves 2883-1.
#[test]
fn rfc_2883_4_what_came_again_is_told_once_before_what_holds_it_and_only_if_permitted() {
    let told = |options: Options| {
        let mut bench = open_to(with(rfc(), |conn| conn.delayed_ack = None), options);
        let base = bench.rcv_nxt;
        let mut blocks = |left: u32, right: u32| {
            let text = &b"0123456789abcdefghijklmnopqrst"[left as usize..right as usize];
            let [ref answer] = bench.arrive(base + left, bench.snd_nxt, ACK, text)[..] else {
                panic!("one answer")
            };
            answer
                .header
                .options
                .sack
                .as_slice()
                .iter()
                .map(|(left, right)| (left.since(base), right.since(base)))
                .collect::<Vec<_>>()
        };
        let told = [
            (0, 10),
            (0, 10),
            (20, 30),
            (25, 30),
            (15, 27),
            (5, 15),
            (29, 30),
        ]
        .map(|(left, right)| blocks(left, right));
        assert_eq!(
            bench.receive(40).unwrap(),
            b"0123456789abcdefghijklmnopqrst"
        );
        told
    };
    assert_eq!(
        told(Options {
            sack_permitted: true,
            ..Options::default()
        }),
        [
            vec![],
            vec![(0, 10)],
            vec![(20, 30)],
            vec![(25, 30), (20, 30)],
            vec![(20, 27), (15, 30)],
            vec![(5, 10)],
            vec![(29, 30)]
        ]
    );
    assert!(told(Options::default()).iter().all(Vec::is_empty));
}

#[test]
fn rfc_2883_text_that_tells_of_a_duplicate_is_no_longer_than_a_segment_may_be() {
    for (permitted, len, blocks) in [(true, 1448, 1), (false, 1460, 0)] {
        let mut bench = open_to(
            rfc(),
            Options {
                mss: Some(1460),
                sack_permitted: permitted,
                ..Options::default()
            },
        );
        let base = bench.rcv_nxt;
        for at in [0, 5] {
            assert_eq!(
                bench.arrive(base + at, bench.snd_nxt, ACK, b"0123456789"),
                [],
                "the ACK waits"
            );
        }
        let sent = bench.send(&[7; 3000]);
        assert_eq!(sent[0].text.len(), len);
        assert_eq!(sent[0].header.options.sack.as_slice().len(), blocks);
    }
}

#[test]
fn rfc_2883_syn_that_came_again_is_no_text_that_did() {
    let mut bench = open_to(
        rfc(),
        Options {
            sack_permitted: true,
            ..Options::default()
        },
    );
    let sent = bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    assert_eq!(
        sent.iter()
            .map(|sent| sent.header.options.sack.as_slice().len())
            .collect::<Vec<_>>(),
        [0]
    );
}

#[test]
fn rfc_2018_fin_before_its_time_is_held_acknowledged_each_time_and_named() {
    for (text, first, again) in [
        (&b""[..], vec![(10, 11)], vec![(10, 11); 2]),
        (b"56789", vec![(5, 11)], vec![(5, 11); 2]),
    ] {
        let mut bench = open_to(
            rfc(),
            Options {
                sack_permitted: true,
                ..Options::default()
            },
        );
        let base = bench.rcv_nxt;
        for expected in [first, again] {
            let sent = bench.arrive(
                (base + 10).back(text.len() as u32),
                bench.snd_nxt,
                ACK | Flags::FIN,
                text,
            );
            let [ref answer] = sent[..] else {
                panic!("{sent:?}")
            };
            let held = answer
                .header
                .options
                .sack
                .as_slice()
                .iter()
                .map(|(left, right)| (left.since(base), right.since(base)));
            assert_eq!(
                (answer.header.ack, held.collect::<Vec<_>>()),
                (base, expected)
            );
        }
        let sent = bench.arrive(base, bench.snd_nxt, ACK, &b"0123456789"[..10 - text.len()]);
        assert_eq!(sent[0].header.ack, base + 11);
        assert_eq!(sent[0].header.options.sack.as_slice(), &[][..]);
        assert_eq!(bench.state(), State::CloseWait);
    }
}

/// Proves SHLD-31, 5681-9, MAY-13.
#[test]
fn shld_31_text_out_of_order_is_held_and_acknowledged_when_the_hole_is_filled() {
    let mut bench = open(rfc());
    let base = bench.rcv_nxt;
    assert_eq!(
        bench.arrive(base + 5, bench.snd_nxt, ACK, b"56789")[0]
            .header
            .ack,
        base
    );
    assert_eq!(
        bench.arrive(base, bench.snd_nxt, ACK, b"01234")[0]
            .header
            .ack,
        base + 10
    );
    assert_eq!(bench.receive(20).unwrap(), b"0123456789");
}

/// Proves 7323-2.
#[test]
fn rfc_7323_2_2_window_of_a_syn_is_not_scaled_in_either_direction() {
    let mut bench = Bench::new(rfc());
    bench.syn_options.window_scale = Some(7);
    let syn = bench.connect().remove(0);
    assert_eq!(syn.header.window, 65_535, "the buffer is larger");
    bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
    assert_eq!(bench.status().snd_wnd, 65_000);
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    assert_eq!(bench.state(), State::Established);
    assert_eq!(bench.status().snd_wnd, 65_000);
    bench.acknowledge();
    assert_eq!(bench.status().snd_wnd, 65_000 << 7);
}

/// Open to a peer with window scaling, and our shift.
fn scaled() -> (Bench, u8) {
    let mut bench = Bench::new(with(rfc(), |conn| conn.delayed_ack = None));
    bench.syn_options.window_scale = Some(3);
    bench.listen();
    let syn_ack = bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"").remove(0);
    bench.acknowledge();
    (bench, syn_ack.header.options.window_scale.unwrap())
}

/// Proves 7323-4, REC-1.
#[test]
fn rfc_7323_2_3_windows_are_shifted_to_the_left_in_and_to_the_right_out() {
    let (mut bench, shift) = scaled();
    assert!(shift > 0);
    let sent = bench.text(b"x").remove(0);
    let offered = u32::from(sent.header.window) << shift;
    let window = bench.status().rcv_wnd;
    assert!(window > 65_535, "more than 16 bits");
    assert!((window..window + (1 << shift)).contains(&offered));
    assert_eq!(bench.status().snd_wnd, 65_000 << 3);
}

/// Proves 7323-5, SHLD-14.
#[test]
fn rfc_7323_2_4_last_byte_that_was_ever_offered_is_taken() {
    let (mut bench, shift) = scaled();
    let sent = bench.text(b"x").remove(0);
    let edge = sent.header.ack + (u32::from(sent.header.window) << shift);
    assert!(edge.since(sent.header.ack) >= bench.status().rcv_wnd);
    bench.events.clear();
    bench.arrive(edge.back(10), bench.snd_nxt, ACK, b"0123456789");
    assert!(
        bench
            .events
            .iter()
            .any(|event| matches!(event.what, What::Accepted { text: 10, .. }))
    );
    // The window does not open where too little would come free: the edge stays where it was.
    let sent = bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK, b"y");
    let later = sent[0].header.ack + (u32::from(sent[0].header.window) << shift);
    assert!(edge.le(later), "{edge} {later}");
}

/// Proves 7323-6.
#[test]
fn rfc_7323_3_2_syn_ack_has_timestamps_only_if_the_syn_had_and_then_all_have() {
    for there in [true, false] {
        let mut bench = Bench::new(rfc());
        bench.stamp = there.then_some(77);
        bench.listen();
        let mut sent = bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
        bench.acknowledge();
        bench.text(b"x");
        sent.extend(bench.run(secs(1)));
        sent.extend(bench.send(b"y"));
        bench.stack.abort(bench.now, bench.conn()).unwrap();
        sent.extend(bench.drain());
        assert!(sent.len() >= 4);
        assert!(
            sent.iter()
                .all(|sent| sent.header.options.timestamps.is_some() == there)
        );
    }
}

/// Proves 7323-7.
#[test]
fn rfc_7323_3_2_syn_echoes_nothing() {
    let mut bench = Bench::new(rfc());
    bench.stamp = Some(77);
    let syn = bench.connect().remove(0);
    assert_eq!(syn.header.options.timestamps.unwrap().echo, 0);
    let ack = bench
        .arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"")
        .remove(0);
    assert_eq!(ack.header.options.timestamps.unwrap().echo, 77);
}

/// Proves 7323-8.
#[test]
fn rfc_7323_3_2_segment_without_the_timestamp_is_dropped_unless_it_is_a_rst() {
    let mut bench = open_to(rfc(), stamped(77));
    bench.stamp = None;
    assert_eq!(bench.text(b"unstamped"), []);
    assert_eq!(bench.receive(10), Err(CallError::WouldBlock));
    assert_eq!(bench.run(secs(1)), []);
    bench.arrive(bench.rcv_nxt, Seq(0), Flags::RST, b"");
    assert_eq!(bench.state(), State::Closed);
}

/// Proves 7323-9.
#[test]
fn rfc_7323_3_2_timestamp_that_was_not_agreed_is_ignored_and_its_segment_is_not() {
    // Whatever our clock says, one of these lies not far behind it.
    for echo in [1, 1 << 31] {
        let mut bench = open(rfc());
        bench.send(b"x");
        bench.now = bench.now + millis(100);
        let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK);
        header.options.timestamps = Some(Timestamps { value: 5, echo });
        bench.say(header, b"taken");
        assert!(bench.status().srtt.unwrap() < millis(200));
        assert_eq!(bench.receive(10).unwrap(), b"taken");
    }
}

/// Proves MUST-5.
#[test]
fn must_5_options_count_in_a_segment_without_syn() {
    let mut bench = open_to(with(rfc(), |conn| conn.delayed_ack = None), stamped(77));
    bench.stamp = Some(99);
    let sent = bench.text(b"x").remove(0);
    assert_eq!(sent.header.options.timestamps.unwrap().echo, 99);
}

/// Proves 7323-11.
#[test]
fn rfc_7323_4_1_round_trip_is_taken_from_what_acknowledges_something_new_and_from_nothing_else() {
    let mut bench = open_to(rfc(), stamped(77));
    let mut header = bench.header(bench.rcv_nxt, bench.snd_una, ACK);
    let ours = bench.send(b"x")[0].header.options.timestamps.unwrap().value;
    bench.now = bench.now + millis(700);
    let before = bench.status().srtt;
    header.options.timestamps = Some(Timestamps {
        value: 78,
        echo: ours,
    });
    bench.say(header, b"");
    assert_eq!(bench.status().srtt, before, "nothing new");
    header.ack = bench.snd_nxt;
    bench.say(header, b"");
    assert!(bench.status().srtt > Some(millis(50)), "something new");
}

/// Proves 7323-13.
#[test]
fn rfc_7323_5_3_segment_older_than_ts_recent_is_answered_and_dropped() {
    let mut bench = open_to(rfc(), stamped(77));
    bench.stamp = Some(76);
    let sent = bench.text(b"old");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header.ack, PEER_ISS + 1);
    assert_eq!(bench.receive(10), Err(CallError::WouldBlock));
}

/// Proves 7323-14.
#[test]
fn rfc_7323_5_2_rst_with_an_old_timestamp_resets_all_the_same() {
    let mut bench = open_to(rfc(), stamped(77));
    bench.stamp = Some(1);
    bench.arrive(bench.rcv_nxt, Seq(0), Flags::RST, b"");
    assert_eq!(bench.state(), State::Closed);
}

/// Proves 7323-15.
#[test]
fn rfc_7323_5_4_timestamp_clock_ticks_every_millisecond() {
    let mut bench = open_to(rfc(), stamped(77));
    let value = |bench: &mut Bench| {
        let sent = bench.send(b"x").remove(0);
        bench.acknowledge();
        sent.header.options.timestamps.unwrap().value
    };
    let first = value(&mut bench);
    bench.run(millis(999));
    assert_eq!(value(&mut bench).wrapping_sub(first), 1000);
}

/// Proves 7323-16.
#[test]
fn rfc_7323_5_5_ts_recent_means_nothing_after_24_days() {
    for (days, taken) in [(1, false), (25, true)] {
        let mut bench = open_to(rfc(), stamped(77));
        bench.run(secs(days * 24 * 3600));
        bench.stamp = Some(5);
        bench.text(b"late");
        assert_eq!(bench.receive(10).is_ok(), taken, "{days} days");
    }
}

/// Proves 7323-17.
#[test]
fn rfc_7323_7_1_timestamps_of_another_four_tuple_start_elsewhere() {
    let value = |port| {
        let mut bench = Bench::new(rfc());
        bench.local.set_port(port);
        let syn = bench.connect().remove(0);
        syn.header.options.timestamps.unwrap().value
    };
    assert_eq!(value(7000), value(7000));
    assert!(value(7000).abs_diff(value(7001)) > 1000);
}

/// Proves 2018-1, MUST-65.
#[test]
fn rfc_2018_2_must_65_mss_and_sack_permitted_are_in_syn_segments_and_only_there() {
    let mut bench = Bench::new(rfc());
    bench.syn_options.sack_permitted = true;
    let mut sent = bench.connect();
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    sent.extend(bench.send(&text(3000)));
    sent.extend(bench.arrive(bench.rcv_nxt + 5, bench.snd_una, ACK, b"x"));
    sent.extend(bench.run(secs(5)));
    assert!(sent.len() > 4);
    for sent in sent {
        let syn = sent.header.flags.contains(Flags::SYN);
        assert_eq!(sent.header.options.sack_permitted, syn);
        assert_eq!(sent.header.options.mss.is_some(), syn);
    }
}

proptest! {
    /// Proves 2018-6.
    #[test]
    fn rfc_2018_8_blocks_name_what_came_and_nothing_else(
        pieces in prop::collection::vec((1u32..400, 1usize..30), 1..30),
    ) {
        let mut bench = open_to(rfc(), Options { sack_permitted: true, ..Options::default() });
        let base = bench.rcv_nxt;
        let mut came = [false; 500];
        for (at, len) in pieces {
            came[at as usize..at as usize + len].fill(true);
            let sent = bench.arrive(base + at, bench.snd_nxt, ACK, &text(len));
            let blocks = sent[0].header.options.sack;
            prop_assert!(!blocks.as_slice().is_empty());
            for (left, right) in blocks.as_slice() {
                let held = left.since(base) as usize..right.since(base) as usize;
                prop_assert!(!held.is_empty() && came[held].iter().all(|came| *came));
            }
        }
    }
}
