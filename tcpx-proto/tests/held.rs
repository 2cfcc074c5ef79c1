//! What is held beyond RCV.NXT, text and FIN: it never outranks what is in order, ends no stream
//! before its time, and is reported by SACK.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use common::{ACK, Bench, FIN_ACK, Sent, with};
use proptest::prelude::*;
use tcpx_proto::config::{Config, Profile};
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::wire::Flags;

fn open(config: Config) -> Bench {
    let mut bench = Bench::new(with(config, |conn| conn.sack = true));
    bench.syn_options.sack_permitted = true;
    bench.enter("ESTABLISHED");
    bench
}

/// Segments that arrive, `FLAGS SEQ TEXT`, what answers each, `ACK LEFT:RIGHT ..` or a flag, and in
/// the end what RECEIVE gives and the state. Sequence numbers count from the peer's first byte.
fn play(profile: Profile, script: &str) -> String {
    let mut bench = open(Bench::plain(profile));
    let base = bench.rcv_nxt;
    let mut told = String::new();
    for step in script.split("; ").filter(|step| !step.starts_with('=')) {
        let arrives = step.split(" >").next().unwrap();
        let mut words = arrives.split(' ');
        let flags = if words.next() == Some("FA") {
            FIN_ACK
        } else {
            ACK
        };
        let seq: u32 = words.next().unwrap().parse().unwrap();
        let sent = bench.arrive(
            base + seq,
            bench.snd_nxt,
            flags,
            words.next().unwrap_or_default().as_bytes(),
        );
        let answers: Vec<String> = sent.iter().map(|sent| spell(base, sent)).collect();
        told += &format!("{arrives} > {}; ", answers.join(", "));
    }
    let read = bench.receive(1000).unwrap_or_default();
    told + &format!("= {} {}", String::from_utf8_lossy(&read), bench.state())
}

fn spell(base: Seq, sent: &Sent) -> String {
    if sent.header.flags.contains(Flags::RST) {
        return String::from("RST");
    }
    let sack = sent.header.options.sack;
    let blocks = sack
        .as_slice()
        .iter()
        .map(|(left, right)| format!(" {}:{}", left.since(base), right.since(base)));
    format!(
        "{}{}",
        sent.header.ack.since(base),
        blocks.collect::<String>()
    )
}

/// As the kernel answered (Linux 6.18).
const OVERLAPS: &[&str] = &[
    "A 2 BBBB > 0 2:6; A 0 AAAA > 6 2:4; = AAAABB ESTABLISHED",
    "A 2 BBBB > 0 2:6; A 2 XXXXXX > 0 2:6 2:8; A 0 AA > 8; = AAXXXXXX ESTABLISHED",
    "A 2 BBBBBB > 0 2:8; A 2 XXX > 0 2:5 2:8; A 0 AA > 8; = AABBBBBB ESTABLISHED",
    "A 2 BBBBBB > 0 2:8; A 4 XX > 0 4:6 2:8; A 0 AA > 8; = AABBBBBB ESTABLISHED",
    "A 4 BB > 0 4:6; A 2 XXXXXX > 0 4:6 2:8; A 0 AA > 8; = AAXXXXXX ESTABLISHED",
    "A 4 BB > 0 4:6; A 8 CC > 0 8:10 4:6; A 2 XXXXXXXXXX > 0 4:6 2:12; A 0 AA > 12; = AAXXXXXXXXXX \
     ESTABLISHED",
    "A 4 BBBB > 0 4:8; A 2 XXXX > 0 4:6 2:8; A 0 AA > 8; = AAXXXXBB ESTABLISHED",
    "A 2 BBBB > 0 2:6; A 4 XXXX > 0 4:6 2:8; A 0 AA > 8; = AABBBBXX ESTABLISHED",
    "A 2 BBBB > 0 2:6; A 8 CCCC > 0 8:12 2:6; A 4 XXXXXX > 0 4:6 2:12; A 0 AA > 12; = AABBBBXXXXCC \
     ESTABLISHED",
    "A 2 BBBB > 0 2:6; A 6 CCCC > 0 2:10; A 4 XXXXXXXX > 0 4:10 2:12; A 0 AA > 12; = AABBBBCCCCXX \
     ESTABLISHED",
    "A 6 CCCC > 0 6:10; A 2 BBBB > 0 2:10; A 4 XXXXXXXX > 0 4:10 2:12; A 0 AA > 12; = AABBBBXXXXXX \
     ESTABLISHED",
    "A 2 BBBB > 0 2:6; A 4 CCCC > 0 4:6 2:8; A 3 XXXXXXX > 0 3:8 2:10; A 0 AA > 10; = AABBBBXXXX \
     ESTABLISHED",
    "A 2 BBBB > 0 2:6; A 4 CCCCCC > 0 4:6 2:10; A 5 XXXXXXXX > 0 5:10 2:13; A 0 AA > 13; = \
     AABBBBCCCCXXX ESTABLISHED",
    "A 2 BBBB > 0 2:6; A 4 CCCC > 0 4:6 2:8; A 4 XXXXXX > 0 4:8 2:10; A 0 AA > 10; = AABBBBXXXX \
     ESTABLISHED",
    "A 2 BB > 0 2:4; A 6 CC > 0 6:8 2:4; A 4 XX > 0 2:8; A 0 AA > 8; = AABBXXCC ESTABLISHED",
    "A 2 BB > 0 2:4; A 6 CCCC > 0 6:10 2:4; A 4 XX > 0 2:10; A 5 YYYYYY > 0 5:10 2:11; A 0 AA > \
     11; = AABBXXYYYYY ESTABLISHED",
    "A 2 BBBB > 0 2:6; A 8 CCCC > 0 8:12 2:6; A 0 AAAAAAAAAAAA > 12 2:6; = AAAAAAAAAAAA \
     ESTABLISHED",
    "A 2 BBBBBB > 0 2:8; A 0 AAAA > 8 2:4; = AAAABBBB ESTABLISHED",
    "A 0 ab > 2; A 4 BBBB > 2 4:8; A 0 xxAAAA > 8 0:2; = abAAAABB ESTABLISHED",
    "A 4 BBBB > 0 4:8; A 2 XXXXXX > 0 4:8 2:8; A 0 AA > 8; = AAXXXXXX ESTABLISHED",
    "A 2 BB > 0 2:4; A 6 CC > 0 6:8 2:4; A 4 XXXXXX > 0 2:10; A 0 AA > 10; = AABBXXXXXX \
     ESTABLISHED",
    "A 2 BB > 0 2:4; A 6 CC > 0 6:8 2:4; A 4 XXXXXX > 0 2:10; A 5 YYYYYYY > 0 5:10 2:12; A 0 AA > \
     12; = AABBXXXXXXYY ESTABLISHED",
    "A 0 abcd > 4; A 8 ij > 4 8:10; A 12 mn > 4 12:14 8:10; A 2 cdefghijklmnop > 16 2:4; = \
     abcdefghijklmnop ESTABLISHED",
    "A 0 abcd > 4; A 6 ghijkl > 4 6:12; A 2 cdefgh > 12 2:4; = abcdefghijkl ESTABLISHED",
    "A 0 abcd > 4; A 6 ghij > 4 6:10; A 7 h > 4 7:8 6:10; A 8 ijk > 4 8:10 6:11; = abcd \
     ESTABLISHED",
    "A 4 ef > 0 4:6; A 8 ij > 0 8:10 4:6; A 0 abcdefghijkl > 12 4:6; = abcdefghijkl ESTABLISHED",
    "A 4 ef > 0 4:6; A 6 gh > 0 4:8; A 10 kl > 0 10:12 4:8; A 0 abcdefghijklmn > 14 4:8; = \
     abcdefghijklmn ESTABLISHED",
    "A 0 abcd > 4; A 0 abcd > 4 0:4; A 8 ij > 4 8:10; A 1 bcdefghijk > 11 1:4; A 9 j > 11 9:10; = \
     abcdefghijk ESTABLISHED",
];

#[test]
fn established_linux_overlaps_of_what_is_held_are_taken_and_told_as_by_the_kernel() {
    for script in OVERLAPS {
        assert_eq!(play(Profile::Linux, script), *script);
    }
}

/// Where the order of SEG.SEQ, and of arrival where that is the same, decides alone.
const OVERLAPS_OF_THE_RFC: &[(usize, &str)] = &[
    (
        1,
        "A 2 BBBB > 0 2:6; A 2 XXXXXX > 0 2:6 2:8; A 0 AA > 8; = AABBBBXX ESTABLISHED",
    ),
    (
        13,
        "A 2 BBBB > 0 2:6; A 4 CCCC > 0 4:6 2:8; A 4 XXXXXX > 0 4:8 2:10; A 0 AA > 10; = \
         AABBBBCCXX ESTABLISHED",
    ),
    (
        20,
        "A 2 BB > 0 2:4; A 6 CC > 0 6:8 2:4; A 4 XXXXXX > 0 6:8 2:10; A 0 AA > 10; = AABBXXXXXX \
         ESTABLISHED",
    ),
    (
        21,
        "A 2 BB > 0 2:4; A 6 CC > 0 6:8 2:4; A 4 XXXXXX > 0 6:8 2:10; A 5 YYYYYYY > 0 5:10 2:12; A \
         0 AA > 12; = AABBXXXXXXYY ESTABLISHED",
    ),
];

#[test]
fn established_rfc_overlaps_of_what_is_held_are_taken_in_the_order_of_their_sequence_numbers() {
    for (index, script) in OVERLAPS.iter().enumerate() {
        let other = OVERLAPS_OF_THE_RFC
            .iter()
            .find(|(of, _)| *of == index)
            .map_or(script, |(_, other)| other);
        assert_eq!(play(Profile::Rfc9293, script), *other);
    }
}

/// As the kernel answered, and as every profile has to.
const FINS: &[&str] = &[
    "FA 9 > 0 9:10; FA 0 > 1; FA 0 > 1 0:1; =  CLOSE-WAIT",
    "FA 20 > 0 20:21; FA 10 > 0 10:11 20:21; FA 0 > 1; =  CLOSE-WAIT",
    "FA 20 > 0 20:21; FA 10 > 0 10:11 20:21; A 0 abcdefghijklmnopqrst > 21; = abcdefghijklmnopqrst \
     CLOSE-WAIT",
    "FA 20 > 0 20:21; FA 10 > 0 10:11 20:21; A 0 abcdefghij > 11; = abcdefghij CLOSE-WAIT",
    "FA 10 > 0 10:11; FA 20 > 0 20:21 10:11; A 0 abcdefghij > 11; = abcdefghij CLOSE-WAIT",
    "FA 10 > 0 10:11; A 0 abcdefghijklmnopqrst > 20 10:11; FA 20 > 21; = abcdefghijklmnopqrst \
     CLOSE-WAIT",
    "FA 10 > 0 10:11; A 5 fghijklmnopqrst > 0 10:11 5:20; A 0 abcde > 20; FA 20 > 21; = \
     abcdefghijklmnopqrst CLOSE-WAIT",
    "FA 10 > 0 10:11; A 10 klmnopqrst > 0 10:11 10:20; A 0 abcdefghij > 20; FA 20 > 21; = \
     abcdefghijklmnopqrst CLOSE-WAIT",
    "A 10 klmnopqrst > 0 10:20; FA 10 > 0 10:11 10:20; A 0 abcdefghij > 20; FA 20 > 21; = \
     abcdefghijklmnopqrst CLOSE-WAIT",
    "FA 5 fghij > 0 5:11; A 5 fghijklmnopqrst > 0 5:11 5:20; A 0 abcde > 20; = \
     abcdefghijklmnopqrst ESTABLISHED",
    "A 10 XXXX > 0 10:14; FA 0 abcdefghij > 11; = abcdefghij CLOSE-WAIT",
    "A 10 XXXX > 0 10:14; A 0 abcdefghij > 14; FA 10 > 14 10:11; = abcdefghijXXXX ESTABLISHED",
    "FA 10 > 0 10:11; FA 10 > 0 10:11 10:11; A 0 abcdefghij > 11; = abcdefghij CLOSE-WAIT",
    "FA 5 fghij > 0 5:11; FA 5 fghij > 0 5:11 5:11; FA 10 > 0 10:11 5:11; A 0 abcde > 11; = \
     abcdefghij CLOSE-WAIT",
    "A 5 fghij > 0 5:10; FA 10 > 0 5:11; A 0 abcde > 11; = abcdefghij CLOSE-WAIT",
    "FA 10 > 0 10:11; A 0 abcdefghijk > 11 10:11; = abcdefghijk ESTABLISHED",
    "A 0 abcde > 5; FA 0 abcdefghij > 11; = abcdefghij CLOSE-WAIT",
    "FA 5 fghij > 0 5:11; A 0 abcde > 11; = abcdefghij CLOSE-WAIT",
    "FA 5 fghij > 0 5:11; A 0 abcdefgh > 11; = abcdefghij CLOSE-WAIT",
    "FA 5 fghij > 0 5:11; A 0 abcdefghij > 11; = abcdefghij CLOSE-WAIT",
];

/// Text that is held behind a held FIN shows that the peer goes on: such a FIN counts when it comes
/// in order, not before. In profile `linux` it ends the stream there, as the kernel does.
const FINS_BELIED: &[&str] = &[
    "FA 10 > 0 10:11; A 15 pqrst > 0 15:20 10:11; A 0 abcdefghij > 10 15:20; A 10 klmno > 20; FA \
     20 > 21; = abcdefghijklmnopqrst CLOSE-WAIT",
    "A 15 pqrst > 0 15:20; FA 10 > 0 10:11 15:20; A 0 abcdefghij > 10 15:20; FA 10 > 11; = \
     abcdefghij CLOSE-WAIT",
    "FA 10 > 0 10:11; A 11 lmnopqrst > 0 10:20; A 0 abcdefghijk > 20 10:11; = abcdefghijklmnopqrst \
     ESTABLISHED",
    "FA 3 defghij > 0 3:11; A 5 fghijklmnopqrst > 0 5:11 3:20; A 0 abc > 20; FA 20 > 21; = \
     abcdefghijklmnopqrst CLOSE-WAIT",
];

#[test]
fn established_fin_counts_in_order_whatever_is_held() {
    for profile in [Profile::Linux, Profile::Rfc9293] {
        for script in FINS {
            assert_eq!(play(profile, script), *script, "{}", profile.name());
        }
    }
    for script in FINS_BELIED {
        assert_eq!(play(Profile::Rfc9293, script), *script);
    }
    let ended = "FA 10 > 0 10:11; A 15 pqrst > 0 15:20 10:11; A 0 abcdefghij > 11; = abcdefghij \
                 CLOSE-WAIT";
    assert_eq!(play(Profile::Linux, ended), ended);
}

/// At most four FINs are held: a peer that sends a fifth at another place is lying, and that one
/// counts only in order.
#[test]
fn established_fifth_fin_out_of_order_is_not_held() {
    let script = "FA 10 > 0 10:11; FA 20 > 0 20:21 10:11; FA 30 > 0 30:31 20:21 10:11; \
                  FA 40 > 0 40:41 30:31 20:21 10:11; FA 50 > 0 40:41 30:31 20:21 10:11; \
                  A 0 abcdefghij > 11; = abcdefghij CLOSE-WAIT";
    for profile in Profile::ALL {
        assert_eq!(play(profile, script), script, "{}", profile.name());
    }
}

/// Text behind a FIN that was taken is ignored. With text that begins before the FIN, Linux resets
/// the connection: either is forged.
#[test]
fn close_wait_text_over_the_fin_is_ignored_or_resets() {
    let begin =
        "FA 0 abcdefghij > 11; A 11 zz > ; FA 13 > ; FA 10 > 11 10:11; FA 0 abcdefghij > 11 0:11; ";
    for (profile, end) in [
        (Profile::Linux, "A 10 zz > RST; = abcdefghij CLOSED"),
        (
            Profile::Rfc9293,
            "A 10 zz > ; A 9 zzz > ; = abcdefghij CLOSE-WAIT",
        ),
    ] {
        let script = format!("{begin}{end}");
        assert_eq!(play(profile, &script), script);
    }
}

#[test]
fn established_fin_at_a_closed_window_counts_in_order_alone_and_behind_it_not_with_text() {
    for profile in Profile::ALL {
        let mut bench = open(with(Bench::plain(profile), |conn| {
            conn.receive_buffer = 1000
        }));
        let base = bench.rcv_nxt;
        assert_eq!(
            bench.arrive(base + 1000, bench.snd_nxt, FIN_ACK, b"").len(),
            1,
            "beyond the window"
        );
        bench.arrive(base, bench.snd_nxt, ACK, &[1; 1000]);
        assert_eq!(
            bench.status().rcv_wnd,
            0,
            "what lies beyond the window is not held"
        );
        assert_eq!(
            bench.state(),
            State::Established,
            "what lies beyond the window is not held"
        );
        let refused = bench.arrive(base + 1000, bench.snd_nxt, FIN_ACK, b"more");
        assert_eq!(refused[0].header.ack, base + 1000);
        assert_eq!(bench.state(), State::Established);
        let taken = bench.arrive(base + 1000, bench.snd_nxt, FIN_ACK, b"");
        assert_eq!(taken[0].header.ack, base + 1001);
        assert_eq!(bench.state(), State::CloseWait);
    }
}

#[test]
fn established_fin_right_behind_the_window_is_held_with_the_text_that_fills_it() {
    for profile in Profile::ALL {
        let mut bench = open(with(Bench::plain(profile), |conn| {
            conn.receive_buffer = 1000
        }));
        let base = bench.rcv_nxt;
        bench.arrive(base + 500, bench.snd_nxt, FIN_ACK, &[2; 500]);
        let sent = bench.arrive(base, bench.snd_nxt, ACK, &[1; 500]);
        assert_eq!(sent[0].header.ack, base + 1001);
        assert_eq!(bench.state(), State::CloseWait);
    }
}

#[test]
fn established_fin_behind_text_that_memory_refuses_is_not_taken() {
    let mut bench = open(Config {
        max_memory: 4000,
        ..Bench::plain(Profile::Linux)
    });
    bench.text(&[1; 1460]);
    bench.text(&[1; 1460]);
    for state in [State::Established, State::CloseWait] {
        let sent = bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, &[1; 1460]);
        assert_eq!(sent.len(), 1);
        assert_eq!(bench.state(), state);
        bench.receive(2920).unwrap();
    }
}

/// Of more FINs than can be genuine, any may be forged: none of them counts before it arrives in
/// order.
#[test]
fn established_fin_at_every_byte_ends_no_stream() {
    for profile in Profile::ALL {
        let mut bench = open(Bench::plain(profile));
        let base = bench.rcv_nxt;
        for at in (1..60_000).rev().chain(1..1100) {
            let sent = bench.arrive(base + at, bench.snd_nxt, FIN_ACK, b"");
            assert_eq!(sent.len(), 1, "each is answered");
        }
        for at in (0..50_000).step_by(1000) {
            bench.arrive(base + at, bench.snd_nxt, ACK, &[7; 1000]);
            assert_eq!(bench.state(), State::Established, "{at}");
        }
        bench.arrive(base + 50_000, bench.snd_nxt, FIN_ACK, &[7; 10]);
        assert_eq!(bench.state(), State::CloseWait);
        assert_eq!(bench.status().unread, 50_010);
    }
}

#[derive(Clone, Debug)]
struct Forged {
    at: u32,
    len: usize,
    fin: bool,
}

fn any_forged() -> impl Strategy<Value = Forged> {
    let len = prop_oneof![2 => Just(0usize), 3 => 1usize..40, 1 => 40usize..400];
    (1u32..600, len, any::<bool>()).prop_map(|(at, len, fin)| Forged {
        at,
        len,
        fin: fin || len == 0,
    })
}

proptest! {
    #[test]
    fn established_anything_held_then_the_true_stream_in_order_is_delivered_and_its_fin_acknowledged(
        profile in prop::sample::select(Profile::ALL.to_vec()),
        forged in prop::collection::vec(any_forged(), 0..40),
        again in prop::collection::vec(any_forged(), 0..10),
        cuts in prop::collection::vec(1usize..90, 1..30),
    ) {
        let mut bench = open(with(Bench::plain(profile), |conn| {
            conn.receive_buffer = 2000
        }));
        let base = bench.rcv_nxt;
        let length = cuts.iter().sum::<usize>() as u32;
        let mut fins = Vec::new();
        let mut expected = vec![None; 3000];
        let forge = |bench: &mut Bench, fins: &mut Vec<u32>, Forged { at, len, fin }: &Forged| {
            fins.extend(fin.then_some(at + *len as u32));
            let sent = bench.arrive(
                base + *at,
                bench.snd_nxt,
                if *fin { FIN_ACK } else { ACK },
                &vec![b'x'; *len],
            );
            assert!(
                sent.len() == 1 && sent[0].header.flags.contains(ACK),
                "what is not used is answered: {sent:?}"
            );
        };
        forged
            .iter()
            .for_each(|segment| forge(&mut bench, &mut fins, segment));
        let mut more = again.iter();
        for cut in cuts.iter().cycle() {
            let next = bench.status().rcv_nxt.since(base);
            if bench.state() != State::Established || next > length {
                break;
            }
            let text = vec![b't'; (*cut).min((length - next) as usize)];
            let fin = next + text.len() as u32 == length;
            expected[next as usize..next as usize + text.len()].fill(Some(b't'));
            let sent = bench.arrive(
                base + next,
                bench.snd_nxt,
                if fin { FIN_ACK } else { ACK },
                &text,
            );
            let acked = sent.last().unwrap().header.ack.since(base);
            prop_assert!(
                acked >= next + text.len() as u32 + u32::from(fin),
                "what is in order is acknowledged"
            );
            if fin {
                prop_assert_eq!(
                    acked,
                    length + 1,
                    "the true FIN, whatever else claims its place"
                );
                prop_assert_eq!(
                    bench.state(),
                    State::CloseWait,
                    "the true FIN, whatever else claims its place"
                );
            } else if bench.state() == State::CloseWait {
                prop_assert!(
                    fins.contains(&(acked - 1)),
                    "no FIN was ever at {}",
                    acked - 1
                );
            }
            if let Some(segment) = more.next()
                && bench.state() == State::Established
            {
                let ahead = Forged {
                    at: bench.status().rcv_nxt.since(base) + segment.at,
                    ..*segment
                };
                if ahead.at + (ahead.len as u32) < 1900 {
                    forge(&mut bench, &mut fins, &ahead);
                }
            }
        }
        let heard = bench.receive(4000).unwrap_or_default();
        for (at, (heard, expected)) in heard.iter().zip(expected).enumerate() {
            prop_assert!(
                expected.is_none_or(|expected| expected == *heard),
                "byte {} was in order and is another's",
                at
            );
        }
    }
}
