//! RFC 7323 and RFC 2018: window scaling, timestamps, SACK.

use super::*;

fn stamped(value: u32) -> Options {
    Options {
        mss: Some(1460),
        timestamps: Some(Timestamps { value, echo: 0 }),
        ..Options::default()
    }
}

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
    assert_eq!(open(rfc()).status().snd_wnd, 65_000);
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

#[test]
fn rfc_7323_4_3_echo_is_that_of_the_earliest_segment_that_waits_for_its_ack() {
    let mut bench = open_to(rfc(), stamped(1));
    assert_eq!(echo(&mut bench, 0, 10), None, "delayed");
    assert_eq!(echo(&mut bench, 10, 11), Some(10));
}

#[test]
fn rfc_7323_4_3_echo_beyond_a_hole_is_that_of_the_last_in_order_and_then_of_what_fills_it() {
    let mut bench = open_to(with(rfc(), |conn| conn.delayed_ack = None), stamped(1));
    assert_eq!(echo(&mut bench, 0, 10), Some(10));
    assert_eq!(echo(&mut bench, 20, 12), Some(10));
    assert_eq!(echo(&mut bench, 10, 13), Some(13));
}

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
