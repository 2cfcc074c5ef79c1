//! Hostile peers and third hosts: floods, holes, storms, forged segments and manipulated windows.
//! Nothing panics, answers and memory stay bounded, and no attacker ends a connection. Tests of the
//! wire format alone are in `wire`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use common::inputs::{self, any_input};
use common::{ACK, Bench, FIN_ACK, PEER_ISS, SYN_ACK, Sent, plain, seal, with};
use proptest::prelude::*;
use tcpx_proto::config::{Config, Isn, Profile};
use tcpx_proto::label::Cause;
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::wire::{Flags, Header, Illegal, Options, SackBlocks, Timestamps};

/// Counts what each thread has allocated and not freed.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size() as isize);
        // SAFETY: the caller's promises are those that System asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A stack that records nothing: a long flood would fill the record.
fn open(config: Config) -> Bench {
    let mut bench = Bench::new(config);
    bench.enter("ESTABLISHED");
    bench.stack.record(false);
    bench
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

// ---- Memory

#[test]
fn a06_holes_of_one_byte_are_bounded_and_each_gets_at_most_one_ack() {
    let mut bench = open(with(plain(), |conn| conn.receive_buffer = 65_535));
    let before = LIVE.get();
    let mut answers = 0;
    for hole in 0..20_000 {
        answers += bench
            .arrive(
                bench.rcv_nxt + 1 + (2 * hole) % 60_000,
                bench.snd_nxt,
                ACK,
                b"x",
            )
            .len();
    }
    assert!(answers <= 20_000);
    let grown = LIVE.get() - before;
    assert!(grown < 3 * 65_535, "{grown} bytes");
}

#[test]
fn a06_holes_are_filled_in_the_end() {
    let mut bench = open(with(plain(), |conn| conn.receive_buffer = 65_535));
    let base = bench.rcv_nxt;
    for hole in 0..2000 {
        bench.arrive(base + 1 + 2 * hole, bench.snd_nxt, ACK, b"x");
    }
    for at in (0..4000).step_by(1000) {
        bench.arrive(base + at, bench.snd_nxt, ACK, &[b'y'; 1000]);
    }
    assert_eq!(bench.receive(65_535).unwrap().len(), 4000);
}

/// Thousands of bytes ahead, each alone, then the text and the FIN in order: all of it is taken,
/// and the memory was bounded.
#[test]
fn a06_single_bytes_ahead_and_then_the_close_take_little_and_hold_nothing_up() {
    for profile in Profile::ALL {
        let mut bench = open(with(Bench::plain(profile), |conn| {
            conn.receive_buffer = 65_535
        }));
        let base = bench.rcv_nxt;
        let before = LIVE.get();
        for at in (2..60_000).step_by(2) {
            let kind = if at % 10 == 0 { FIN_ACK } else { ACK };
            assert_eq!(
                bench.arrive(base + at, bench.snd_nxt, kind, b"x").len(),
                1,
                "each is answered"
            );
            bench.signals.clear();
        }
        let grown = LIVE.get() - before;
        assert!(grown < 3 * 65_535, "{grown} bytes");
        for at in (0..60_000).step_by(1000) {
            bench.arrive(base + at, bench.snd_nxt, ACK, &[b't'; 1000]);
        }
        bench.arrive(base + 60_000, bench.snd_nxt, FIN_ACK, b"t");
        assert_eq!(bench.state(), State::CloseWait);
        assert_eq!(bench.receive(65_535).unwrap(), [b't'; 60_001]);
    }
}

/// Text with holes, all filled and read; text sent in pieces of all ages, all acknowledged: nothing
/// of it is left a moment later.
#[test]
fn established_idle_keeps_no_memory_of_what_passed() {
    for profile in Profile::ALL {
        let mut bench = open(with(Bench::plain(profile), |conn| {
            conn.receive_buffer = 65_535
        }));
        let before = LIVE.get();
        let base = bench.rcv_nxt;
        for at in (1..60_000).step_by(240) {
            bench.arrive(base + at, bench.snd_nxt, ACK, b"x");
        }
        for at in (0..60_000).step_by(1000) {
            bench.arrive(base + at, bench.snd_nxt, ACK, &[b't'; 1000]);
        }
        bench.receive(65_535).unwrap();
        for _ in 0..100 {
            bench.send(&[1; 1000]);
            bench.run(millis(1));
        }
        let grown = LIVE.get() - before;
        assert!(grown > 100_000, "{grown} bytes");
        while bench.status().unacknowledged > 0 {
            bench.acknowledge();
        }
        bench.signals.clear();
        bench.run(millis(100));
        let kept = LIVE.get() - before;
        assert!(kept < 2048, "{kept} bytes");
    }
}

#[test]
fn p17_stream_that_nobody_reads_closes_the_window_and_takes_no_more_memory() {
    let mut bench = open(with(plain(), |conn| conn.receive_buffer = 10_000));
    let before = LIVE.get();
    for _ in 0..40_000 {
        bench.text(b"x");
        bench.signals.clear();
    }
    assert_eq!(bench.status().unread, 10_000);
    assert_eq!(bench.status().rcv_wnd, 0);
    let grown = LIVE.get() - before;
    assert!(grown < 3 * 10_000, "{grown} bytes");
}

#[test]
fn memory_limit_of_the_stack_bounds_all_connections_together() {
    let mut bench = open(Config {
        max_memory: 20_000,
        ..plain()
    });
    for _ in 0..100 {
        bench.text(&[0; 1000]);
    }
    let held = bench.status().unread;
    assert!(
        (10_000..=40_000).contains(&held),
        "{held}: a buffer grows by doubling"
    );
    bench.receive(5000).unwrap();
    bench.text(&[0; 1000]);
    assert_eq!(
        bench.status().unread,
        held - 4000,
        "what was read makes room"
    );
}

#[test]
fn memory_limit_reached_leaves_each_connection_the_buffer_that_it_has() {
    let mut bench = open(Config {
        max_memory: 20_000,
        ..plain()
    });
    for round in 0..10 {
        let taken = bench.stack.send(bench.now, bench.conn(), &[0; 30_000]);
        assert!(
            taken.is_ok_and(|taken| (10_000..=30_000).contains(&taken)),
            "{round}: {taken:?}"
        );
        while bench.status().unacknowledged > 0 {
            bench.drain();
            bench.acknowledge();
        }
    }
}

#[test]
fn syn_flood_takes_no_more_memory_than_the_backlog() {
    let mut bench = Bench::new(plain());
    bench.stack.record(false);
    bench.enter("LISTEN");
    let flood = |bench: &mut Bench, from: u32| {
        let mut answers = 0;
        for stranger in from..from + 5000 {
            let source: SocketAddr =
                (std::net::Ipv4Addr::from(0x0b00_0000 + stranger), 1000).into();
            let header = Header {
                source,
                ..bench.header(PEER_ISS, Seq(0), Flags::SYN)
            };
            answers += bench.say(header, b"").len();
        }
        answers
    };
    assert_eq!(flood(&mut bench, 0), 5000, "SYN cookies");
    let before = LIVE.get();
    flood(&mut bench, 10_000);
    assert!(LIVE.get() - before < 10_000, "{}", LIVE.get() - before);
    assert_eq!(bench.stack.connections().count(), 16);
}

#[test]
fn p18_ten_thousand_time_waits_are_small_and_end_in_time() {
    let mut bench = Bench::new(plain());
    bench.stack.record(false);
    bench.listen();
    let listener = bench.listener.unwrap();
    let before = LIVE.get();
    for stranger in 0..10_000 {
        bench.remote = (std::net::Ipv4Addr::from(0x0b00_0000 + stranger), 1000).into();
        bench.id = None;
        bench.rcv_nxt = PEER_ISS + 1;
        bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
        bench.acknowledge();
        let id = bench.stack.accept(bench.now, listener).unwrap();
        bench.stack.close(bench.now, id).unwrap();
        bench.drain();
        bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"");
        bench.signals.clear();
        assert_eq!(bench.state(), State::TimeWait);
    }
    let each = (LIVE.get() - before) / 10_000;
    assert!(each < 1200, "{each} bytes each");
    bench.run(Duration::from_secs(300));
    assert_eq!(bench.stack.connections().count(), 0);
}

// ---- Storms

#[test]
fn ack_storm_between_two_desynchronized_ends_dies_out() {
    let mut a = open(plain());
    let mut b = open(plain());
    // Each got text that the other never sent: what either acknowledges is beyond what the other
    // has.
    a.text(&[0; 100]);
    b.text(&[0; 100]);
    let mut flying = 1;
    let mut packets = 0;
    while flying > 0 {
        for end in [&mut a, &mut b] {
            flying = (0..flying)
                .map(|_| end.arrive(end.rcv_nxt, end.snd_nxt + 100, ACK, b"").len())
                .sum();
            packets += flying;
        }
        assert!(packets < 100, "forever");
    }
    assert!(packets <= 4, "{packets}");
}

#[test]
fn a01_a04_strangers_challenges_are_throttled() {
    let forged: [fn(&Bench) -> Header; 5] = [
        |bench| bench.header(bench.rcv_nxt + 100, Seq(0), Flags::SYN),
        |bench| bench.header(bench.rcv_nxt + 100, Seq(0), Flags::RST),
        |bench| bench.header(bench.rcv_nxt, bench.snd_nxt.back(1_000_000), ACK),
        |bench| bench.header(bench.rcv_nxt, bench.snd_nxt + 1_000, ACK),
        |bench| bench.header(bench.rcv_nxt + 500_000, bench.snd_nxt, ACK),
    ];
    for (kind, forge) in forged.iter().enumerate() {
        let mut bench = open(plain());
        let mut answers = 0;
        for _ in 0..200 {
            bench.now = bench.now + millis(6);
            let header = forge(&bench);
            answers += bench.say(header, b"").len();
        }
        assert_eq!(kind, kind);
        assert_eq!(answers, 3);
    }
}

#[test]
fn out_of_window_text_gets_at_most_one_ack_each() {
    let mut bench = open(plain());
    let answers: usize = (0..200)
        .map(|_| {
            bench
                .arrive(bench.rcv_nxt + 500_000, bench.snd_nxt, ACK, b"text")
                .len()
        })
        .sum();
    assert!(answers <= 200);
}

// ---- Blind attacks

#[test]
fn blind_resets_all_over_the_sequence_space_end_nothing_but_the_exact_one() {
    let mut bench = open(plain());
    for seq in (0..=u32::MAX).step_by(65_521) {
        if Seq(seq) != bench.rcv_nxt {
            bench.arrive(Seq(seq), Seq(0), Flags::RST, b"");
        }
    }
    assert_eq!(bench.state(), State::Established);
    bench.arrive(bench.rcv_nxt, Seq(0), Flags::RST, b"");
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn blind_resets_end_a_connection_of_the_textbook() {
    let mut bench = open(Bench::plain(Profile::Rfc793));
    for seq in (0..=u32::MAX).step_by(65_521) {
        bench.arrive(Seq(seq), Seq(0), Flags::RST, b"");
    }
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn blind_text_with_a_guessed_ack_is_not_delivered() {
    let mut bench = open(plain());
    for guess in (0..=u32::MAX).step_by(1 << 24) {
        let ack = Seq(guess);
        let right = ack.since(bench.snd_una.back(65_535)) <= 65_535;
        if !right {
            bench.arrive(bench.rcv_nxt, ack, ACK, b"forged");
        }
    }
    assert_eq!(bench.status().unread, 0);
}

#[test]
fn i03_i08_icmp_with_a_guessed_sequence_number_is_ignored() {
    let mut bench = Bench::new(plain());
    bench.enter("SYN-SENT");
    for seq in (0..=u32::MAX)
        .step_by(1 << 20)
        .filter(|seq| Seq(*seq) != bench.snd_una)
        .collect::<Vec<_>>()
    {
        bench.icmp(3, 3, 0, Seq(seq));
        bench.icmp(3, 4, 600, Seq(seq));
    }
    assert_eq!(bench.state(), State::SynSent);
    assert_eq!(bench.status().mss, 536);
}

#[test]
fn i09_icmp_with_a_truncated_quote_is_ignored() {
    let mut bench = Bench::new(plain());
    bench.enter("SYN-SENT");
    let mut packet = [0; 60];
    packet[0] = 0x45;
    packet[9] = 1;
    packet[20] = 3;
    packet[21] = 3;
    packet[28] = 0x45;
    for len in 28..packet.len() {
        let mut packet = packet[..len].to_vec();
        packet[3] = len as u8;
        seal(&mut packet);
        bench.stack.icmp_arrives(bench.now, &packet);
    }
    assert_eq!(bench.state(), State::SynSent);
}

#[test]
fn p10_syn_with_fin_never_ends_time_wait_without_an_answer() {
    for profile in Profile::ALL {
        let mut bench = Bench::new(Bench::plain(profile));
        bench.enter("TIME-WAIT");
        let answer = bench.arrive(bench.rcv_nxt + 1000, Seq(0), Flags::SYN | Flags::FIN, b"");
        assert!(
            !answer.is_empty() || bench.state() == State::TimeWait,
            "{}",
            profile.name()
        );
        assert_ne!(bench.state(), State::Closed, "{}", profile.name());
    }
}

// ---- Streams that contradict themselves

#[test]
fn s02_s03_half_the_sequence_space_away_is_refused() {
    for distance in [(1 << 31) - 1, 1 << 31, (1 << 31) + 1] {
        let mut bench = open(plain());
        bench.arrive(bench.rcv_nxt.back(distance), bench.snd_nxt, ACK, b"old");
        bench.arrive(bench.rcv_nxt, bench.snd_nxt + distance, ACK, b"ack");
        assert_eq!(bench.status().unread, 0);
        assert_eq!(bench.state(), State::Established);
    }
}

#[test]
fn s04_both_directions_cross_the_end_of_the_sequence_space() {
    let mut bench = Bench::new(with(plain(), |conn| {
        conn.isn = Isn::Fixed(Seq(0xffff_fff0))
    }));
    bench.listen();
    bench.arrive(Seq(0xffff_fff0), Seq(0), Flags::SYN, b"");
    let mut seq = Seq(0xffff_fff1);
    let mut ack = bench.snd_nxt;
    bench.arrive(seq, ack, ACK, b"");
    for round in 0..10u8 {
        let sent = bench.send(&[round; 7]);
        ack = sent[0].end();
        bench.arrive(seq + 3, ack, ACK, &[round; 4]);
        bench.arrive(seq, ack, ACK, &[round; 4]);
        seq += 7;
        assert_eq!(bench.receive(100).unwrap(), [round; 7]);
    }
    assert_eq!(bench.status().unacknowledged, 0);
}

#[test]
fn s05_copy_that_comes_in_order_wins() {
    for profile in Profile::ALL {
        let mut bench = open(Bench::plain(profile));
        let base = bench.rcv_nxt;
        bench.arrive(base + 5, bench.snd_nxt, ACK, b"AAAAA");
        bench.arrive(base, bench.snd_nxt, ACK, b"BBBBBBB");
        bench.arrive(base, bench.snd_nxt, ACK, b"CCCCCCCCCCCC");
        assert_eq!(bench.receive(100).unwrap(), b"BBBBBBBAAACC");
    }
}

#[test]
fn s06_s07_fin_that_text_goes_beyond_ends_nothing() {
    let mut bench = open(plain());
    let base = bench.rcv_nxt;
    bench.arrive(base + 100, bench.snd_nxt, FIN_ACK, b"");
    bench.arrive(base + 50, bench.snd_nxt, FIN_ACK, b"");
    bench.arrive(base + 90, bench.snd_nxt, ACK, &[1; 50]);
    bench.arrive(base, bench.snd_nxt, ACK, &[0; 95]);
    assert_eq!(bench.state(), State::Established);
    assert_eq!(bench.status().unread, 140);
    bench.arrive(base + 140, bench.snd_nxt, FIN_ACK, b"");
    bench.arrive(base + 141, bench.snd_nxt, ACK, b"beyond");
    assert_eq!(bench.receive(200).unwrap().len(), 140);
    assert_eq!(bench.receive(200), Ok(vec![]));
}

#[test]
fn s06_fin_before_text_that_is_there_already_is_ignored() {
    let mut bench = open(plain());
    let base = bench.rcv_nxt;
    bench.arrive(base + 100, bench.snd_nxt, ACK, &[0; 10]);
    bench.arrive(base + 100, bench.snd_nxt, FIN_ACK, b"");
    bench.arrive(base, bench.snd_nxt, ACK, &[0; 100]);
    bench.arrive(base + 110, bench.snd_nxt, FIN_ACK, b"");
    assert_eq!(bench.state(), State::CloseWait);
    assert_eq!(bench.status().unread, 110);
}

#[test]
fn p08_fin_outside_the_window_is_cut_off_with_the_text() {
    let mut bench = open(with(plain(), |conn| conn.receive_buffer = 1000));
    let base = bench.rcv_nxt;
    bench.arrive(base, bench.snd_nxt, FIN_ACK, &[0; 1200]);
    assert_eq!(bench.state(), State::Established);
    assert_eq!(bench.status().unread, 1000);
    bench.receive(1000).unwrap();
    bench.drain();
    bench.arrive(base + 1000, bench.snd_nxt, FIN_ACK, &[0; 200]);
    assert_eq!(bench.state(), State::CloseWait);
    assert_eq!(bench.status().unread, 200);
}

#[test]
fn s11_urgent_pointers_of_all_sorts_move_no_text() {
    let mut bench = open(plain());
    let mut expected = 0;
    for urgent in [0, 1, 3, 4, 65_535] {
        for text in [&b""[..], b"text"] {
            let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::URG);
            header.urgent = urgent;
            bench.say(header, text);
            expected += text.len();
        }
    }
    assert_eq!(bench.receive(1000).unwrap().len(), expected);
}

// ---- Options

#[test]
fn o_malformed_options_of_a_syn_neither_hang_nor_starve() {
    let areas: [&[u8]; 14] = [
        &[2, 1, 0, 0],
        &[2, 3, 5, 0],
        &[2, 5, 0, 0, 0, 0, 0, 0],
        &[2, 4, 0, 0],
        &[2, 4, 0, 1],
        &[2, 4, 255, 255],
        &[3, 4, 7, 0],
        &[3, 3, 15, 0],
        &[3, 3, 255, 0],
        &[2, 4, 5, 0xb4, 2, 4, 0, 100],
        &[1; 40],
        &[200, 0, 2, 4],
        &[8, 10, 0, 0, 0, 1, 0, 0, 0, 9, 8, 10, 0, 0, 0, 2, 0, 0, 0, 9],
        &[253, 40, 0, 0],
    ];
    for area in areas {
        let mut bench = Bench::new(Profile::Rfc9293.config());
        bench.listen();
        let mut packet = [0; 200];
        let header = bench.header(PEER_ISS, Seq(0), Flags::SYN);
        let len = header
            .emit_illegal(
                (b"", b""),
                &Illegal {
                    options: Some(area),
                    ..Illegal::default()
                },
                &mut packet,
            )
            .unwrap();
        bench.stack.packet_arrives(bench.now, &packet[..len]);
        let answer = bench.drain();
        assert_eq!(answer[0].header.flags, SYN_ACK, "{area:?}");
        bench.stamp = answer[0].header.options.timestamps.map(|_| 3);
        bench.acknowledge();
        assert_eq!(bench.state(), State::Established, "{area:?}");
        let sent = bench.send(&[0; 3000]);
        assert!(
            !sent.is_empty() && sent.len() <= 64,
            "{area:?}: {} segments",
            sent.len()
        );
        assert!(sent.iter().all(|sent| sent.text.len() <= 1460), "{area:?}");
    }
}

#[test]
fn e02_to_e09_sack_blocks_of_all_sorts_acknowledge_nothing() {
    for permitted in [false, true] {
        let mut bench = Bench::new(Profile::Rfc9293.config());
        bench.syn_options = Options {
            sack_permitted: permitted,
            ..bench.syn_options
        };
        bench.enter("ESTABLISHED");
        let sent = bench.send(&[7; 14_000]);
        let una = bench.snd_una;
        let nxt = bench.snd_nxt;
        for (left, right) in [
            (nxt + 10, nxt + 20),
            (una, una + 10),
            (una + 100, una),
            (una.back(1 << 31), una + 5),
            (nxt, una),
        ] {
            let mut sack = SackBlocks::default();
            (0..4).for_each(|by| assert!(sack.push(left + by, right + by)));
            let mut header = bench.header(bench.rcv_nxt, una, ACK);
            header.options.sack = sack;
            bench.say(header, b"x");
            bench.rcv_nxt = bench.status().rcv_nxt;
        }
        assert_eq!(bench.snd_una, una);
        assert_eq!(bench.status().unacknowledged, 14_000);
        let again = bench.run(Duration::from_secs(2));
        assert_eq!(
            again
                .iter()
                .find(|sent| !sent.text.is_empty())
                .unwrap()
                .text,
            sent[0].text,
            "the left edge is retransmitted"
        );
    }
}

#[test]
fn e10_e11_window_scale_and_mss_outside_a_syn_change_nothing() {
    let mut bench = open(plain());
    let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK);
    header.options.window_scale = Some(14);
    header.options.mss = Some(1);
    bench.say(header, b"");
    assert_eq!(bench.status().snd_wnd, 65_000);
    assert_eq!(bench.status().mss, 1460);
}

#[test]
fn e18_timestamp_from_the_future_only_counts_if_its_segment_does() {
    type Forge = fn(&Bench) -> (Seq, Seq, Flags);
    let forged: [Forge; 5] = [
        |bench| (bench.rcv_nxt + 500_000, bench.snd_nxt, ACK),
        |bench| (bench.rcv_nxt.back(500_000), bench.snd_nxt, ACK),
        |bench| (bench.rcv_nxt.back(500_000), bench.snd_nxt, Flags::SYN),
        |bench| (bench.rcv_nxt, bench.snd_nxt + 500_000, ACK),
        |bench| (bench.rcv_nxt, Seq(0), Flags::empty()),
    ];
    for (kind, forge) in forged.iter().enumerate() {
        let mut bench =
            Bench::new(with(plain(), |conn| conn.timestamps = true)).with_timestamps(1000);
        bench.enter("ESTABLISHED");
        let (seq, ack, flags) = forge(&bench);
        let mut header = bench.header(seq, ack, flags);
        header.options.timestamps = Some(Timestamps {
            value: 1_000_000,
            echo: 0,
        });
        bench.say(header, b"forged");
        bench.text(b"right");
        assert_eq!(kind, kind);
        assert_eq!(bench.receive(10).unwrap(), b"right".to_vec());
    }
}

// ---- Games with ACKs and windows

#[test]
fn s15_spoofed_duplicate_acks_inflate_the_window_by_what_is_in_flight_at_most() {
    let mut bench = open(plain());
    let una = bench.snd_una;
    bench.send(&vec![0; 200_000]);
    let flight = bench.snd_nxt.since(una);
    let before = bench.snd_nxt;
    for _ in 0..1000 {
        bench.arrive(bench.rcv_nxt, una, ACK, b"");
    }
    assert!(
        bench.status().cwnd <= 2 * flight,
        "{} {flight}",
        bench.status().cwnd
    );
    assert!(bench.snd_nxt.since(before) <= flight);
}

#[test]
fn p01_acks_of_nothing_and_too_much_are_survived_with_text_in_flight() {
    let mut bench = open(plain());
    bench.send(&[0; 5000]);
    let una = bench.snd_una;
    let nxt = bench.snd_nxt;
    for ack in [una.back(1), nxt + 1, nxt + 1_000_000, una.back(1 << 31)] {
        bench.arrive(bench.rcv_nxt, ack, ACK, b"");
        assert_eq!(bench.snd_una, una);
        assert_eq!(bench.snd_nxt, nxt);
    }
}

/// Alternates a window of nothing with a large one; how many bytes of text that provokes.
fn flicker(bench: &mut Bench, rounds: usize) -> usize {
    let una = bench.snd_una;
    let mut bytes = 0;
    for _ in 0..rounds {
        for window in [0, 65_000] {
            bench.window = window;
            let sent: Vec<Sent> = bench.arrive(bench.rcv_nxt, una, ACK, b"");
            bytes += sent.iter().map(|sent| sent.text.len()).sum::<usize>();
        }
    }
    bytes
}

#[test]
fn window_that_flickers_provokes_no_retransmissions() {
    let mut bench = open(plain());
    bench.send(&[0; 14_600]);
    let bytes = flicker(&mut bench, 100);
    assert_eq!(
        bytes, 0,
        "each byte is sent again once in an RTO at most (RFC 6298 section 5)"
    );
}

#[test]
fn window_that_shrinks_and_grows_by_one_byte_sends_no_tiny_segments() {
    let mut bench = open(plain());
    bench.window = 1000;
    bench.acknowledge();
    bench.send(&[0; 20_000]);
    let una = bench.snd_una;
    let mut tiny = 0;
    for byte in 0..200 {
        bench.window = 1000 + byte;
        let sent = bench.arrive(bench.rcv_nxt, una, ACK, b"");
        tiny += sent.iter().filter(|sent| sent.text.len() == 1).count();
    }
    assert_eq!(tiny, 0);
}

#[test]
fn probes_to_a_window_that_stays_closed_get_rarer_though_they_are_answered() {
    let mut bench = open(plain());
    bench.window = 0;
    bench.acknowledge();
    bench.send(&[0; 100]);
    let mut probes = 0;
    for _ in 0..3600 {
        let sent = bench.run(Duration::from_secs(1));
        probes += sent
            .iter()
            .filter(|sent| sent.label.cause == Cause::Probe)
            .count();
        if !sent.is_empty() {
            bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"");
        }
    }
    assert!((10..80).contains(&probes), "{probes} in an hour (SHLD-30)");
}

// ---- Anything at all

proptest! {
    #[test]
    fn any_inputs_in_any_state_keep_the_invariants(
        profile in prop_oneof![Just(Profile::Rfc9293), Just(Profile::Rfc793), Just(Profile::Linux)],
        state in prop::sample::select(inputs::STATES.to_vec()),
        inputs in prop::collection::vec(any_input(), 1..60),
    ) {
        inputs::keep_the_invariants(profile.config(), state, &inputs)?;
    }
}
