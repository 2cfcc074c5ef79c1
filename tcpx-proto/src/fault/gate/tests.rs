//! What the gate does to real packets, rule by rule.

use super::super::held::MAX_HELD;
use super::*;
use crate::label::{Carries, Cause};
use crate::seq::Seq;
use crate::state::State;
use crate::time::Instant;
use crate::wire::{ChecksumPolicy, FastOpenCookie, Flags, Header, Options, Segment};
use alloc::format;
use alloc::string::{String, ToString};
use core::net::SocketAddr;
use proptest::prelude::*;

const S: Flags = Flags::SYN;
const A: Flags = Flags::ACK;
const F: Flags = Flags::FIN;
const R: Flags = Flags::RST;

/// A gate with a clock, and the packets of one connection between a client (ours, ISS 100) and a
/// server (ISS 500).
struct Bench {
    gate: Gate,
    now: Instant,
    port: u16,
    options: Options,
}

impl Bench {
    fn new(lines: &[&str]) -> Bench {
        let rules = lines
            .iter()
            .map(|line| FaultRule::parse(line).unwrap())
            .collect();
        Bench {
            gate: Gate::new(rules, 7),
            now: Instant(1_000_000_000),
            port: 40_000,
            options: Options::default(),
        }
    }

    fn ends(&self) -> (SocketAddr, SocketAddr) {
        (
            SocketAddr::from(([10, 0, 0, 1], self.port)),
            SocketAddr::from(([10, 0, 0, 2], 7000)),
        )
    }

    fn packet(
        &self,
        direction: Direction,
        flags: Flags,
        seq: u32,
        ack: u32,
        text: &str,
    ) -> Vec<u8> {
        let (local, remote) = self.ends();
        let (source, destination) = if direction == Direction::Out {
            (local, remote)
        } else {
            (remote, local)
        };
        let options = self.options;
        let seq = Seq(seq);
        let ack = Seq(ack);
        let header = Header {
            source,
            destination,
            seq,
            ack,
            flags,
            window: 1000,
            urgent: 0,
            options,
            ttl: 64,
            tos: 0,
            id: 1,
        };
        let mut packet = alloc::vec![0; 80 + text.len()];
        let len = header.emit((text.as_bytes(), &[]), &mut packet).unwrap();
        packet.truncate(len);
        packet
    }

    /// Offers an outgoing segment with this label and says what the gate did.
    fn labelled(
        &mut self,
        cause: Cause,
        carries: Carries,
        flags: Flags,
        seq: u32,
        ack: u32,
        text: &str,
    ) -> String {
        let mut packet = self.packet(Direction::Out, flags, seq, ack, text);
        let label = Some(Label { cause, carries });
        self.gate
            .offer(self.now, Direction::Out, label, &mut packet)
            .verdict
            .to_string()
    }

    fn out(&mut self, flags: Flags, seq: u32, text: &str) -> String {
        self.labelled(Cause::Call, Carries::default(), flags, seq, 501, text)
    }

    fn comes(&mut self, flags: Flags, seq: u32, text: &str) -> String {
        let mut packet = self.packet(Direction::In, flags, seq, 101, text);
        self.gate
            .offer(self.now, Direction::In, None, &mut packet)
            .verdict
            .to_string()
    }

    fn state(&mut self, to: State) {
        let (local, remote) = self.ends();
        self.gate.state_changed(self.now, local, remote, to);
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// The texts that the gate lets go now.
    fn released(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(released) = self.gate.poll(self.now) {
            let segment = Segment::parse(&released.packet, ChecksumPolicy::Strict).unwrap();
            texts.push(String::from_utf8_lossy(segment.payload).into_owned());
        }
        texts
    }

    /// Milliseconds until the gate wants to be asked.
    fn due(&self) -> Option<u64> {
        self.gate
            .deadline()
            .map(|at| at.since(self.now).as_millis() as u64)
    }
}

/// What becomes of a packet of which a rule like `VERDICT out data` speaks.
fn altered(line: &str, text: &str) -> (Judgement, Vec<u8>, Vec<u8>) {
    let mut bench = Bench::new(&[line]);
    let before = bench.packet(Direction::Out, A, 101, 501, text);
    let mut after = before.clone();
    let judgement = bench
        .gate
        .offer(bench.now, Direction::Out, None, &mut after);
    (judgement, before, after)
}

#[test]
fn gate_without_rules_passes_and_counts_retransmissions() {
    let mut bench = Bench::new(&[]);
    let mut seen = Vec::new();
    for (flags, seq, text) in [
        (S, 100, ""),
        (S, 100, ""),
        (A, 101, "abc"),
        (A, 104, "de"),
        (A, 101, "abc"),
        (A, 104, "de"),
        (A, 101, "abcde"),
        (A, 106, ""),
    ] {
        let mut packet = bench.packet(Direction::Out, flags, seq, 501, text);
        let judgement = bench
            .gate
            .offer(bench.now, Direction::Out, None, &mut packet);
        assert!(judgement.goes_on() && judgement.rule.is_none());
        seen.push(judgement.retransmission);
    }
    assert_eq!(seen, [0, 1, 0, 0, 1, 1, 2, 0]);
    assert_eq!(
        (bench.gate.deadline(), bench.gate.poll(bench.now)),
        (None, None)
    );
}

#[test]
fn offer_garbage_passes() {
    let mut bench = Bench::new(&["drop any segment"]);
    assert_eq!(
        bench
            .gate
            .offer(bench.now, Direction::In, None, &mut [0x45, 1, 2]),
        Judgement::PASS
    );
    assert_eq!(
        bench.gate.offer(bench.now, Direction::In, None, &mut []),
        Judgement::PASS
    );
}

#[test]
fn drop_first_transmission_lets_the_retransmission_pass() {
    let mut bench = Bench::new(&["drop out syn#1"]);
    assert_eq!(
        [
            bench.out(S, 100, ""),
            bench.out(S, 100, ""),
            bench.out(A, 101, "x")
        ],
        ["drop", "pass", "pass"]
    );
}

#[test]
fn first_matching_rule_decides_and_all_of_them_count() {
    let mut bench = Bench::new(&["drop out data#1", "dup=1 out data#1", "dup=2 out data#2"]);
    assert_eq!(
        [
            bench.out(A, 101, "a"),
            bench.out(A, 102, "b"),
            bench.out(A, 103, "c")
        ],
        ["drop", "dup 2", "pass"]
    );
}

#[test]
fn ranges_pick_their_transmissions() {
    let offers = |range: &str| {
        let mut bench = Bench::new(&[&format!("drop out data{range}")]);
        // First, second, first again, second again, first again, third.
        let all = [
            (101, "a"),
            (102, "b"),
            (101, "a"),
            (102, "b"),
            (101, "a"),
            (103, "c"),
        ];
        all.iter()
            .map(|(seq, text)| {
                if bench.out(A, *seq, text) == "drop" {
                    'x'
                } else {
                    '.'
                }
            })
            .collect::<String>()
    };
    for (range, dropped) in [
        ("", "xxxxxx"),
        ("#1", "x....."),
        ("#2", ".x...."),
        ("#2..3", ".x...x"),
        ("#2..", ".xxxxx"),
        ("#1.1", "..x..."),
        ("#1.2", "....x."),
    ] {
        assert_eq!(offers(range), dropped, "{range}");
    }
    for (range, dropped) in [
        ("#1.*", "x.x.x."),
        ("#1.1..", "..x.x."),
        ("#1.0..1", "x.x..."),
        ("#3.1", "......"),
    ] {
        assert_eq!(offers(range), dropped, "{range}");
    }
}

#[test]
fn retransmission_cut_differently_is_told_by_its_first_octet() {
    let mut bench = Bench::new(&["drop out data#2.1"]);
    bench.out(A, 101, "ab");
    bench.out(A, 103, "cd");
    assert_eq!(
        [bench.out(A, 101, "ab"), bench.out(A, 101, "abcd")],
        ["pass", "drop"]
    );
    // With new text behind it, too.
    let mut bench = Bench::new(&["drop out data#1.1"]);
    assert_eq!(
        [bench.out(A, 101, "ab"), bench.out(A, 101, "abcd")],
        ["pass", "drop"]
    );
}

#[test]
fn bare_acks_count_each_time() {
    let mut bench = Bench::new(&["drop out ack#1..2"]);
    assert_eq!(
        [
            bench.out(A, 101, ""),
            bench.out(A, 101, ""),
            bench.out(A, 101, "")
        ],
        ["drop", "drop", "pass"]
    );
}

#[test]
fn fin_that_joins_a_retransmission_is_the_first_fin_but_no_new_data() {
    for data in ["data", "longer=0"] {
        let mut bench = Bench::new(&[&format!("drop out {data}#2"), "dup=1 out fin#1"]);
        bench.out(A, 101, "ab");
        assert_eq!(
            [bench.out(A | F, 101, "ab"), bench.out(A, 104, "x")],
            ["dup 1", "drop"]
        );
    }
}

#[test]
fn longer_counts_what_has_more_text_alone() {
    let mut bench = Bench::new(&["drop out longer=3#2", "dup=1 out longer=3#1.1"]);
    let offers = [
        (101, "abcd"),
        (105, "abc"),
        (108, "abcde"),
        (113, ""),
        (101, "abcd"),
        (113, "abcd"),
    ];
    assert_eq!(
        offers.map(|(seq, text)| bench.out(A, seq, text)),
        ["pass", "pass", "drop", "pass", "dup 1", "pass"]
    );
}

#[test]
fn idle_begins_with_the_first_segment_after_so_long_a_silence_and_ends_with_the_incarnation() {
    let mut bench = Bench::new(&["drop any idle=350s"]);
    assert_eq!(bench.out(S, 100, ""), "pass");
    bench.wait(349_999);
    assert_eq!(bench.comes(S | A, 500, ""), "pass");
    bench.wait(350_000);
    assert_eq!(bench.comes(A, 501, "late"), "drop");
    bench.wait(1000);
    assert_eq!(
        [bench.comes(A, 501, "late"), bench.out(A, 101, "x")],
        ["drop", "drop"]
    );
    bench.wait(350_000);
    assert_eq!(
        [bench.out(S, 9000, ""), bench.comes(S | A, 700, "")],
        ["pass", "pass"]
    );
}

#[test]
fn syn_ack_of_a_simultaneous_open_is_the_first_syn_ack() {
    let mut bench = Bench::new(&["drop out syn-ack#1", "drop in third-ack"]);
    assert_eq!(
        [
            bench.out(S, 100, ""),
            bench.comes(S, 500, ""),
            bench.out(S | A, 100, "")
        ],
        ["pass", "pass", "drop"]
    );
    // Ours was the first SYN: the peer's ACK is no third ACK.
    assert_eq!(bench.comes(A, 501, ""), "pass");
}

#[test]
fn matches_each_fits_its_segment_and_no_other() {
    let offers = [
        (S, ""),
        (S | A, ""),
        (A, ""),
        (A, "x"),
        (F | A, ""),
        (F | A, "x"),
        (R, ""),
        (R | A, ""),
    ];
    for (word, fits) in [
        ("segment", [1, 1, 1, 1, 1, 1, 1, 1]),
        ("syn", [1, 0, 0, 0, 0, 0, 0, 0]),
        ("syn-ack", [0, 1, 0, 0, 0, 0, 0, 0]),
        ("fin", [0, 0, 0, 0, 1, 1, 0, 0]),
        ("rst", [0, 0, 0, 0, 0, 0, 1, 1]),
        ("ack", [0, 0, 1, 0, 0, 0, 0, 0]),
        ("data", [0, 0, 0, 1, 0, 1, 0, 0]),
        ("flags=FA", [0, 0, 0, 0, 1, 1, 0, 0]),
        ("flags=A", [0, 0, 1, 1, 0, 0, 0, 0]),
        ("longer=0", [0, 0, 0, 1, 0, 1, 0, 0]),
        ("longer=1", [0; 8]),
        ("syn-data", [0; 8]),
        ("fast-open", [0; 8]),
    ] {
        for (index, (flags, text)) in offers.into_iter().enumerate() {
            for direction in ["out", "in"] {
                let mut bench = Bench::new(&[&format!("drop {direction} {word}")]);
                let dropped = [bench.out(flags, 101, text), bench.comes(flags, 501, text)]
                    .map(|verdict| verdict == "drop");
                let fits = fits[index] == 1;
                assert_eq!(
                    dropped,
                    [fits && direction == "out", fits && direction == "in"],
                    "{direction} {word}: {flags} {text}"
                );
            }
        }
    }
}

#[test]
fn matches_of_fast_open_fit_a_syn_with_the_option_or_with_data() {
    for (flags, cookie, text, fits) in [
        (S, Some(&[][..]), "", ["drop", "pass"]),
        (S | A, Some(&[1, 2, 3, 4]), "", ["drop", "pass"]),
        (S, Some(&[1, 2, 3, 4]), "x", ["drop", "drop"]),
        (S, None, "x", ["pass", "drop"]),
        (S | A, None, "x", ["pass", "drop"]),
        // Elsewhere the option means nothing (RFC 7413 section 4.1.1).
        (A, Some(&[1, 2, 3, 4]), "x", ["pass", "pass"]),
    ] {
        for (word, verdict) in ["fast-open", "syn-data"].into_iter().zip(fits) {
            let mut bench = Bench::new(&[&format!("drop any {word}")]);
            bench.options.fast_open = cookie.and_then(FastOpenCookie::new);
            let verdicts = [bench.out(flags, 101, text), bench.comes(flags, 501, text)];
            assert_eq!(verdicts, [verdict; 2], "{word}: {flags} {cookie:?} {text}");
        }
    }
}

#[test]
fn labels_each_fits_what_the_engine_says() {
    let bare = Carries::default();
    let all = [
        ("ack-of-fin", Cause::Ack, Carries::ACK_OF_FIN),
        ("window-update", Cause::Call, Carries::WINDOW_UPDATE),
        ("probe", Cause::Probe, bare),
        ("keepalive", Cause::KeepAlive, bare),
        ("challenge", Cause::Challenge, bare),
        ("third-ack", Cause::Ack, Carries::ACK_OF_SYN),
    ];
    for (index, (word, ..)) in all.iter().enumerate() {
        for (other, (_, cause, carries)) in all.iter().enumerate() {
            let mut bench = Bench::new(&[&format!("drop out {word}")]);
            let dropped = bench.labelled(*cause, *carries, A, 101, 501, "") == "drop";
            assert_eq!(dropped, index == other, "{word} on {cause}, {carries:?}");
        }
    }
}

#[test]
fn third_ack_out_with_data_or_fin_passes_and_each_bare_one_is_dropped() {
    let mut bench = Bench::new(&["drop out third-ack"]);
    let mut offer =
        |flags, text| bench.labelled(Cause::Challenge, Carries::ACK_OF_SYN, flags, 101, 501, text);
    assert_eq!(
        [
            offer(A, ""),
            offer(A, ""),
            offer(A, "x"),
            offer(A | F, ""),
            offer(A | R, "")
        ],
        ["drop", "drop", "pass", "pass", "pass"]
    );
}

#[test]
fn third_ack_in_is_the_first_ack_of_whoever_sent_the_syn() {
    let mut bench = Bench::new(&["drop in third-ack"]);
    bench.comes(S, 500, "");
    bench.out(S | A, 100, "");
    assert_eq!(
        [
            bench.comes(S, 500, ""),
            bench.comes(A, 501, "x"),
            bench.comes(A, 501, "x")
        ],
        ["pass", "drop", "pass"]
    );
    // We open: what the peer sends is the second segment of the handshake.
    let mut bench = Bench::new(&["drop in third-ack"]);
    bench.out(S, 100, "");
    assert_eq!(
        [bench.comes(S | A, 500, ""), bench.comes(A, 501, "")],
        ["pass", "pass"]
    );
}

#[test]
fn new_incarnation_counts_anew() {
    let mut bench = Bench::new(&["drop out data#1"]);
    bench.out(S, 100, "");
    assert_eq!(
        [bench.out(A, 101, "a"), bench.out(A, 101, "a")],
        ["drop", "pass"]
    );
    bench.out(S, 9_000_000, "");
    assert_eq!(
        [bench.out(A, 9_000_001, "a"), bench.out(A, 9_000_002, "b")],
        ["drop", "pass"]
    );
    // The same ISN again, after a RST.
    bench.comes(R, 501, "");
    bench.out(S, 9_000_000, "");
    assert_eq!(bench.out(A, 9_000_001, "a"), "drop");
    // And after both FINs.
    bench.out(A | F, 9_000_002, "");
    bench.comes(A | F, 501, "");
    bench.out(S, 9_000_000, "");
    assert_eq!(bench.out(A, 9_000_001, "a"), "drop");
}

#[test]
fn other_four_tuple_is_counted_by_itself() {
    let mut bench = Bench::new(&["drop out data#1"]);
    assert_eq!(
        [bench.out(A, 101, "a"), bench.out(A, 102, "b")],
        ["drop", "pass"]
    );
    bench.port += 1;
    assert_eq!(bench.out(A, 101, "a"), "drop");
}

#[test]
fn stray_from_another_incarnation_does_not_turn_what_follows_into_retransmissions() {
    let mut bench = Bench::new(&["drop in data#3"]);
    bench.comes(A, 501, "a");
    bench.comes(A, 501 + (1 << 30) + 9, "stray");
    assert_eq!(bench.comes(A, 502, "b"), "drop");
}

#[test]
fn delay_goes_on_that_much_later_and_not_before() {
    let mut bench = Bench::new(&["delay=3s out data#2"]);
    assert_eq!(
        [
            bench.out(A, 101, "a"),
            bench.out(A, 102, "b"),
            bench.out(A, 103, "c")
        ],
        ["pass", "delay 3s", "pass"]
    );
    assert_eq!((bench.due(), bench.released()), (Some(3000), alloc::vec![]));
    bench.wait(2999);
    assert!(bench.released().is_empty());
    bench.wait(1);
    assert_eq!(
        (bench.released(), bench.due()),
        (alloc::vec!["b".into()], None)
    );
}

#[test]
fn dup_sends_the_copies_at_once() {
    let mut bench = Bench::new(&["dup=2 out data"]);
    assert_eq!(
        (bench.out(A, 101, "a").as_str(), bench.released().as_slice()),
        ("dup 2", ["a".into(), "a".into()].as_slice())
    );
    assert_eq!(bench.due(), None);
}

#[test]
fn reorder_waits_for_later_ones_of_its_direction() {
    let mut bench = Bench::new(&["reorder=2 out data#1"]);
    assert_eq!(bench.out(A, 101, "a"), "reorder 2");
    bench.comes(A, 501, "other way");
    bench.out(A, 102, "b");
    assert_eq!((bench.released().len(), bench.due()), (0, None));
    bench.out(A, 103, "c");
    assert_eq!(bench.released(), ["a"]);
}

#[test]
fn reorder_of_every_segment_swaps_pairs() {
    let mut bench = Bench::new(&["reorder=1 out data"]);
    assert_eq!(
        [bench.out(A, 101, "a"), bench.out(A, 102, "b")],
        ["reorder 1", "pass"]
    );
    assert_eq!(bench.released(), ["a"]);
    assert_eq!(
        [bench.out(A, 103, "c"), bench.out(A, 104, "d")],
        ["reorder 1", "pass"]
    );
    assert_eq!(bench.released(), ["c"]);
}

#[test]
fn reorder_counts_delayed_segments_when_they_leave() {
    let mut bench = Bench::new(&["reorder=1 out data#1", "delay=5ms out data"]);
    bench.out(A, 101, "a");
    bench.out(A, 102, "b");
    assert!(bench.released().is_empty());
    bench.wait(5);
    assert_eq!(bench.released(), ["b", "a"]);
}

#[test]
fn trickle_spaces_segments_out_and_keeps_their_order() {
    let mut bench = Bench::new(&["trickle=10ms out data"]);
    assert_eq!(
        [
            bench.out(A, 101, "a"),
            bench.out(A, 102, "b"),
            bench.out(A, 103, "c")
        ],
        ["trickle", "trickle 10ms", "trickle 20ms"]
    );
    bench.wait(10);
    assert_eq!(bench.released(), ["b"]);
    bench.wait(10);
    assert_eq!(bench.released(), ["c"]);
    bench.wait(10);
    assert_eq!(bench.out(A, 104, "d"), "trickle");
}

#[test]
fn trickle_with_a_queue_that_is_full_drops_what_comes() {
    let mut bench = Bench::new(&["trickle=10ms,2 out data"]);
    let burst = [101, 102, 103, 104].map(|seq| bench.out(A, seq, "x"));
    assert_eq!(burst, ["trickle", "trickle 10ms", "trickle 20ms", "drop"]);
    bench.wait(10);
    assert_eq!(
        [bench.out(A, 104, "x"), bench.out(A, 105, "x")],
        ["trickle 20ms", "drop"]
    );
}

#[test]
fn corrupt_turns_one_bit_and_only_fixed_passes_the_checksum() {
    for (line, checksum_right) in [
        ("corrupt out segment", false),
        ("corrupt=fixed out segment", true),
    ] {
        for text in ["some text", ""] {
            let (judgement, before, after) = altered(line, text);
            assert!(judgement.goes_on());
            let bits = |range: core::ops::Range<usize>| {
                before[range.clone()]
                    .iter()
                    .zip(&after[range])
                    .map(|(a, b)| (a ^ b).count_ones())
                    .sum::<u32>()
            };
            let len = before.len();
            assert_eq!(bits(20..36) + bits(38..len), 1, "{line}, {text:?}");
            assert_eq!(
                Segment::parse(&after, ChecksumPolicy::Partial).is_ok(),
                checksum_right,
                "{line}, {text:?}"
            );
        }
    }
}

#[test]
fn rewrite_sets_fields_and_mends_the_checksum() {
    let (judgement, _, after) = altered(
        "rewrite(win=0, seq=+7, ack=-2, flags=FA, ttl=9) out data",
        "text",
    );
    assert_eq!(
        judgement.verdict.to_string(),
        "rewrite win=0, seq=+7, ack=-2, flags=FA, ttl=9"
    );
    let header = Segment::parse(&after, ChecksumPolicy::Strict)
        .unwrap()
        .header;
    assert_eq!(
        (
            header.window,
            header.seq,
            header.ack,
            header.flags,
            header.ttl
        ),
        (0, Seq(108), Seq(499), F | A, 9)
    );
}

#[test]
fn rewrite_that_changes_nothing_leaves_the_packet_and_says_so() {
    for line in [
        "rewrite(mss=100, strip=sack, tsval=+1) out data",
        "rewrite(win=1000, seq=+0) out data",
    ] {
        let (judgement, before, after) = altered(line, "text");
        assert_eq!(
            (judgement.rule, judgement.verdict, before),
            (Some(0), Verdict::Pass, after),
            "{line}"
        );
    }
    // A checksum that was wrong before is not made right either.
    let mut bench = Bench::new(&["rewrite(mss=100) out data"]);
    let mut packet = bench.packet(Direction::Out, A, 101, 501, "text");
    packet[36] ^= 1;
    assert!(
        bench
            .gate
            .offer(bench.now, Direction::Out, None, &mut packet)
            .goes_on()
    );
    assert!(Segment::parse(&packet, ChecksumPolicy::Partial).is_err());
}

#[test]
fn rewrite_takes_one_edit_after_the_other() {
    let (_, _, after) = altered("rewrite(win=5, win=+2, win=-1) out data", "text");
    assert_eq!(
        Segment::parse(&after, ChecksumPolicy::Strict)
            .unwrap()
            .header
            .window,
        6
    );
}

#[test]
fn rate_draws_about_its_share_and_the_same_for_a_seed() {
    let run = |seed| {
        let mut bench = Bench::new(&[]);
        bench.gate = Gate::new(
            alloc::vec![FaultRule::parse("rate=20% drop out data").unwrap()],
            seed,
        );
        (0..2000)
            .map(|n| bench.out(A, 101 + n, "x") == "drop")
            .collect::<Vec<_>>()
    };
    let dropped = run(1).into_iter().filter(|dropped| *dropped).count();
    assert!((300..500).contains(&dropped), "{dropped}");
    assert!(run(1) == run(1) && run(1) != run(2));
    for (rate, share) in [("0%", 0), ("100%", 50)] {
        let mut bench = Bench::new(&[&format!("rate={rate} drop out data")]);
        assert_eq!(
            (0..50)
                .filter(|n| bench.out(A, 101 + n, "x") == "drop")
                .count(),
            share
        );
    }
}

/// A connection that held its first data, up to its end.
fn first_life(bench: &mut Bench) {
    bench.state(State::SynSent);
    bench.out(S, 100, "");
    bench.state(State::Established);
    assert_eq!(
        [bench.out(A, 101, "old"), bench.out(A, 101, "old")],
        ["hold old", "pass"]
    );
    bench.state(State::FinWait1);
    bench.out(A | F, 104, "");
    bench.comes(A | F, 501, "");
    assert!(bench.released().is_empty());
}

#[test]
fn hold_is_released_into_the_second_connection_and_holds_no_more() {
    let mut bench = Bench::new(&["hold=old out data#1", "release=old on established#2"]);
    first_life(&mut bench);
    bench.state(State::Closed);
    bench.state(State::SynSent);
    bench.out(S, 9000, "");
    assert!(bench.released().is_empty());
    bench.state(State::Established);
    assert_eq!(bench.released(), ["old"]);
    assert_eq!(bench.out(A, 9001, "new"), "pass");
}

#[test]
fn hold_is_released_on_time_wait_or_closed_of_its_connection() {
    for (event, before, reached) in [
        ("time-wait#1", State::FinWait2, State::TimeWait),
        ("closed#1", State::TimeWait, State::Closed),
    ] {
        let mut bench = Bench::new(&["hold=old out data#1", &format!("release=old on {event}")]);
        first_life(&mut bench);
        bench.state(before);
        assert!(bench.released().is_empty(), "{event}");
        bench.state(reached);
        assert_eq!(bench.released(), ["old"], "{event}");
    }
}

#[test]
fn hold_is_released_for_its_own_four_tuple_alone() {
    let mut bench = Bench::new(&["hold=old out data", "release=old on closed#1"]);
    bench.state(State::Established);
    bench.out(A, 101, "first");
    bench.port += 1;
    bench.state(State::Established);
    bench.out(A, 101, "second");
    bench.state(State::Closed);
    assert_eq!(bench.released(), ["second"]);
}

#[test]
fn refused_connection_counts_as_one() {
    let mut bench = Bench::new(&["hold=old out syn", "release=old on established#2"]);
    bench.state(State::SynSent);
    bench.out(S, 100, "");
    bench.state(State::Closed);
    bench.state(State::SynSent);
    bench.state(State::Established);
    assert_eq!(bench.released().len(), 1);
}

#[test]
fn release_after_counts_from_the_first_that_was_held() {
    let mut bench = Bench::new(&["hold=old out data", "release=old after 5s"]);
    bench.out(A, 101, "a");
    bench.wait(2000);
    bench.out(A, 102, "b");
    assert_eq!(bench.due(), Some(3000));
    bench.wait(3000);
    assert_eq!(bench.released(), ["a", "b"]);
    assert_eq!(bench.out(A, 103, "c"), "pass");
}

#[test]
fn hold_without_release_stays() {
    let mut bench = Bench::new(&["hold=old out data"]);
    bench.out(A, 101, "a");
    bench.state(State::Closed);
    bench.wait(1 << 40);
    assert_eq!((bench.released().len(), bench.due()), (0, None));
}

#[test]
fn release_ends_the_rules_of_the_preset_alone_and_frees_what_they_kept() {
    let mut bench = Bench::new(&["hold=old out data", "drop out fin"]);
    bench.gate.rules[0].preset = Some("third-ack");
    bench.out(A, 101, "a");
    bench.gate.release("third-ack");
    assert_eq!(bench.released(), ["a"]);
    assert_eq!(
        [bench.out(A, 102, "b"), bench.out(A | F, 103, "")],
        ["pass", "drop"]
    );
    assert_eq!(bench.gate.rules().len(), 2);
}

#[test]
fn rule_added_counts_from_then_on_and_release_all_ends_it() {
    let mut bench = Bench::new(&["hold=old out data#1"]);
    assert_eq!(
        [bench.out(A, 101, "a"), bench.out(A, 102, "b")],
        ["hold old", "pass"]
    );
    bench.gate.add("drop out data#2".parse().unwrap());
    assert_eq!(
        [
            bench.out(A, 103, "c"),
            bench.out(A, 104, "d"),
            bench.out(A, 105, "e")
        ],
        ["pass", "drop", "pass"]
    );
    bench.gate.add("drop any segment".parse().unwrap());
    assert_eq!(bench.out(A, 106, "f"), "drop");
    bench.gate.release_all();
    assert_eq!(bench.released(), ["a"]);
    assert_eq!(bench.out(A, 107, "g"), "pass");
}

#[test]
fn full_gate_drops_and_has_room_again_when_it_let_go() {
    let text = "x".repeat(60_000);
    let mut bench = Bench::new(&["delay=1s out data", "dup=1000 in data"]);
    let cost = 40 + text.len() + 256;
    let verdicts: Vec<_> = (0..MAX_HELD_PER_FLOW / cost + 2)
        .map(|_| bench.out(A, 101, &text))
        .collect();
    assert_eq!(
        verdicts
            .iter()
            .filter(|verdict| **verdict == "delay 1s")
            .count(),
        MAX_HELD_PER_FLOW / cost
    );
    assert_eq!(verdicts.last().unwrap(), "drop (gate full)");
    assert_eq!(bench.comes(A, 501, &text), "dup 0");
    bench.wait(1000);
    bench.released();
    assert_eq!(bench.out(A, 101, &text), "delay 1s");
    // Other four-tuples fill the rest.
    let mut kept = 1;
    for port in 1..=8 {
        bench.port = port;
        kept += (0..300)
            .filter(|_| bench.out(A, 101, &text) == "delay 1s")
            .count();
    }
    assert_eq!(kept, MAX_HELD / cost);
}

#[test]
fn flood_of_four_tuples_is_forgotten_but_not_what_is_held() {
    let mut bench = Bench::new(&["hold=old out data#1", "release=old on closed#1"]);
    bench.state(State::Established);
    bench.out(A, 101, "kept");
    let mut packet = bench.packet(Direction::In, S, 500, 0, "");
    for n in 0..200_000u32 {
        packet[12..16].copy_from_slice(&(0x0b00_0000 + n).to_be_bytes());
        bench
            .gate
            .offer(bench.now, Direction::In, None, &mut packet);
    }
    assert!(bench.gate.flows.len() <= 3 << 15);
    bench.state(State::Closed);
    assert_eq!(bench.released(), ["kept"]);
}

#[test]
fn verdicts_are_spelt_as_people_read_them() {
    let all = [
        (Verdict::Pass, "pass", "pass"),
        (Verdict::Drop, "drop", "drop"),
        (Verdict::Full, "drop", "drop (gate full)"),
        (
            Verdict::Delay(Duration::from_millis(1500)),
            "delay",
            "delay 1.5s",
        ),
        (Verdict::Corrupt, "corrupt", "corrupt"),
        (Verdict::CorruptFixed, "corrupt", "corrupt fixed"),
    ];
    for (verdict, name, text) in all {
        assert_eq!((verdict.name(), verdict.to_string().as_str()), (name, text));
    }
}

const VERDICTS: &[&str] = &[
    "drop",
    "delay=3ms",
    "dup=2",
    "reorder=2",
    "corrupt",
    "corrupt=fixed",
    "trickle=2ms",
    "trickle=2ms,1",
    "rewrite(seq=+9, flags=S)",
    "rewrite(strip=mss, res=1)",
    "hold=h",
];
const MATCHES: &[&str] = &[
    "segment",
    "syn",
    "data",
    "ack",
    "fin",
    "rst",
    "third-ack",
    "data#1",
    "data#1.*",
    "segment#2..5",
    "segment#3..",
    "data#2.1..2",
    "longer=1#1",
    "idle=1ms",
];
const RELEASES: &[&str] = &[
    "release=h on established#1",
    "release=h on closed#2",
    "release=h after 4ms",
    "release=h on time-wait#1",
];

/// A rule out of the language, often one that fits.
fn any_rule() -> impl Strategy<Value = String> {
    let rate = prop_oneof![3 => Just(""), 1 => Just("rate=50% ")];
    let directions: &[&str] = &["out", "in", "any"];
    let fault = (
        rate,
        prop::sample::select(VERDICTS),
        prop::sample::select(directions),
        prop::sample::select(MATCHES),
    );
    let fault = fault
        .prop_map(|(rate, verdict, direction, kind)| format!("{rate}{verdict} {direction} {kind}"));
    prop_oneof![4 => fault, 1 => prop::sample::select(RELEASES).prop_map(Into::into)]
}

#[derive(Clone, Debug)]
enum Act {
    Offer {
        direction: Direction,
        flags: u8,
        seq: u32,
        text: usize,
        port: u16,
    },
    State(usize),
    Wait(u64),
    Release,
}

fn any_act() -> impl Strategy<Value = Act> {
    let direction = prop_oneof![Just(Direction::Out), Just(Direction::In)];
    let flags = prop_oneof![
        4 => Just(0x10u8),
        1 => Just(2),
        1 => Just(0x12),
        1 => Just(0x11),
        1 => any::<u8>(),
    ];
    let seq = prop_oneof![8 => 100u32..110, 1 => any::<u32>()];
    let offer = (direction, flags, seq, 0usize..4, 1u16..3).prop_map(
        |(direction, flags, seq, text, port)| Act::Offer {
            direction,
            flags,
            seq,
            text,
            port,
        },
    );
    prop_oneof![
        12 => offer,
        2 => (0usize..11).prop_map(Act::State),
        3 => (0u64..4).prop_map(Act::Wait),
        1 => Just(Act::Release),
    ]
}

proptest! {
    #[test]
    fn any_rules_on_any_packets_lose_nothing_that_was_not_dropped(
        lines in prop::collection::vec(any_rule(), 0..5),
        acts in prop::collection::vec(any_act(), 0..80),
        seed: u64,
    ) {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let mut bench = Bench::new(&lines);
        if let Some(rule) = bench.gate.rules.first_mut() {
            rule.preset = Some("paws");
        }
        bench.gate.random.seed = seed;
        let mut offered = 0;
        let mut passed = 0;
        let mut dropped = 0;
        for act in acts {
            match act {
                Act::Offer { direction, flags, seq, text, port } => {
                    bench.port = port;
                    let text = &"abcd"[..text];
                    let mut packet = bench.packet(direction, Flags(flags), seq, 501, text);
                    let judgement = bench.gate.offer(bench.now, direction, None, &mut packet);
                    offered += 1;
                    passed += usize::from(judgement.goes_on());
                    dropped += usize::from(!judgement.goes_on() && !judgement.waits());
                    if let Verdict::Duplicate(copies) = judgement.verdict {
                        offered += copies as usize;
                    }
                }
                Act::State(index) => bench.state(State::ALL[index]),
                Act::Wait(millis) => bench.wait(millis),
                Act::Release => bench.gate.release("paws"),
            }
            while let Some(released) = bench.gate.poll(bench.now) {
                prop_assert!(released.judgement.goes_on() && !released.judgement.waits());
                passed += 1;
            }
            prop_assert!(bench.gate.deadline().is_none_or(|deadline| deadline > bench.now));
            prop_assert_eq!(offered, passed + dropped + bench.gate.held.queue.len());
        }
        let same = bench.gate.clone();
        prop_assert!(same == bench.gate);
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(
        lines in prop::collection::vec(any_rule(), 1..4),
        packets: Vec<Vec<u8>>,
    ) {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let mut bench = Bench::new(&lines);
        for mut packet in packets {
            bench.gate.offer(bench.now, Direction::In, None, &mut packet);
        }
    }
}
