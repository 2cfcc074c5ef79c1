//! Every state meets every kind of segment, and answers as Linux 6.18 was measured to
//! (`data/linux_6_18.tsv`: state, segment, reply, state after). Where tcpx answers otherwise under
//! its `linux` profile, `DIFFERENCES` says so and why; a row that agrees again fails.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use common::{Bench, Symbols, agrees, spell};
use tcpx_proto::config::Profile;
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::wire::Flags;

const MATRIX: &str = include_str!("data/linux_6_18.tsv");

/// State, the segment's name, why tcpx differs.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "SYN-RECEIVED(active)",
        "ACK seq=RCV.NXT ack=SND.UNA (dup)",
        QUIRK,
    ),
    ("SYN-RECEIVED(active)", "DATA in-order ack=SND.UNA", QUIRK),
    (
        "SYN-RECEIVED(active)",
        "FIN,ACK in-order ack=SND.UNA",
        QUIRK,
    ),
];

const QUIRK: &str = "Linux takes our SYN as acknowledged by SEG.ACK = ISS; \
                     tcpx answers with a RST (RFC 9293 3.10.7.4)";

/// The segment that a row's second column names.
fn segment(bench: &Bench, name: &str) -> (Seq, Seq, Flags, &'static [u8]) {
    let nxt = bench.snd_nxt;
    let una = bench.snd_una;
    let rcv = bench.rcv_nxt;
    let none = Seq(0);
    let a = Flags::ACK;
    let s = Flags::SYN;
    let f = Flags::FIN;
    let r = Flags::RST;
    let above = rcv + 200_000;
    let text: &[u8] = b"0123456789";
    match name {
        "SYN below-window" => (rcv.back(1000), none, s, b""),
        "SYN seq=RCV.NXT-1 (dup of original SYN)" => (rcv.back(1), none, s, b""),
        "SYN seq=RCV.NXT" => (rcv, none, s, b""),
        "SYN in-window" => (rcv + 100, none, s, b""),
        "SYN above-window" => (above, none, s, b""),
        "SYN,ACK ack=SND.NXT seq=RCV.NXT-1" => (rcv.back(1), nxt, s | a, b""),
        "SYN,ACK ack=SND.NXT seq=RCV.NXT" => (rcv, nxt, s | a, b""),
        // The peer's ISN, as in SYN-SENT: its SYN,ACK again.
        "SYN,ACK ack=SND.NXT+1000 (unacceptable)" => (rcv.back(1), nxt + 1000, s | a, b""),
        "SYN,ACK ack=ISS/SND.UNA (unacceptable in SYN-SENT)" => (rcv.back(1), una, s | a, b""),
        "RST seq=RCV.NXT" => (rcv, none, r, b""),
        "RST in-window not exact" => (rcv + 100, none, r, b""),
        "RST below-window" => (rcv.back(1000), none, r, b""),
        "RST above-window" => (above, none, r, b""),
        "RST seq=RCV.NXT-1" => (rcv.back(1), none, r, b""),
        "RST,ACK seq=RCV.NXT ack=SND.NXT" => (rcv, nxt, r | a, b""),
        "RST,ACK seq=0 ack=SND.NXT" => (Seq(0), nxt, r | a, b""),
        "RST,ACK seq=RCV.NXT ack=SND.NXT+1000" => (rcv, nxt + 1000, r | a, b""),
        "ACK seq=RCV.NXT ack=SND.NXT" => (rcv, nxt, a, b""),
        "ACK seq=RCV.NXT ack=SND.UNA (dup)" => (rcv, una, a, b""),
        "ACK ack=SND.UNA-100 (old, within MAX.SND.WND)" => (rcv, una.back(100), a, b""),
        "ACK ack=SND.UNA-1000000 (too old)" => (rcv, una.back(1_000_000), a, b""),
        "ACK ack=SND.NXT+1000 (not yet sent)" => (rcv, nxt + 1000, a, b""),
        "ACK seq=RCV.NXT-1 (keepalive probe)" => (rcv.back(1), nxt, a, b""),
        "ACK seq above-window" => (above, nxt, a, b""),
        "DATA in-order ack=SND.NXT" => (rcv, nxt, a, text),
        "DATA in-order ack=SND.UNA" => (rcv, una, a, text),
        "DATA in-order ack=SND.NXT+1000" => (rcv, nxt + 1000, a, text),
        "DATA in-order ack=SND.UNA-1000000" => (rcv, una.back(1_000_000), a, text),
        "DATA in-order no ACK bit" => (rcv, none, Flags::empty(), text),
        "DATA out-of-order in-window" => (rcv + 100, nxt, a, text),
        "DATA above-window" => (above, nxt, a, text),
        "DATA wholly below window (dup)" => (rcv.back(10), nxt, a, text),
        "DATA straddling left edge" => (rcv.back(5), nxt, a, text),
        "FIN,ACK in-order ack=SND.NXT" => (rcv, nxt, f | a, b""),
        "FIN,ACK in-order ack=SND.UNA" => (rcv, una, f | a, b""),
        "FIN,ACK in-order with data" => (rcv, nxt, f | a, text),
        "FIN,ACK out-of-order in-window" => (rcv + 100, nxt, f | a, b""),
        "FIN,ACK seq=RCV.NXT-1 (retransmitted FIN)" => (rcv.back(1), nxt, f | a, b""),
        "FIN no ACK bit" => (rcv, none, f, b""),
        "SYN,FIN seq=RCV.NXT" => (rcv, none, s | f, b""),
        "SYN,RST seq=RCV.NXT" => (rcv, none, s | r, b""),
        "SYN,RST,ACK seq=RCV.NXT ack=SND.NXT" => (rcv, nxt, s | r | a, b""),
        "URG,ACK data up=5" => (rcv, nxt, a | Flags::URG, text),
        "no flags (null)" => (rcv, none, Flags::empty(), b""),
        "all flags (xmas)" => (rcv, nxt, Flags(0x3f), b""),
        other => panic!("unknown segment {other}"),
    }
}

/// The state as `ss` names it.
fn shown(state: State) -> &'static str {
    match state {
        State::Listen => "CLOSED",
        State::Established => "ESTAB",
        State::SynReceived => "SYN-RECV",
        state => state.name(),
    }
}

#[test]
fn every_state_meets_every_segment_and_answers_as_linux() {
    let mut failures = Vec::new();
    for row in MATRIX.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [state, name, reply, after] = columns[..] else {
            panic!("bad row {row}")
        };
        let mut bench = Bench::new(Bench::plain(Profile::Linux));
        bench.enter(state);
        let (seq, ack, flags, text) = segment(&bench, name);
        let symbols = Symbols {
            seg_seq: seq,
            seg_ack: ack,
            ..Symbols::of(&bench)
        };
        let expected = symbols.replies(reply);
        let actual = bench.arrive(seq, ack, flags, text);
        let state_after = shown(bench.state());
        let agrees = agrees(&expected, &actual) && state_after == after;
        let known = DIFFERENCES
            .iter()
            .find(|(s, n, _)| *s == state && name == *n);
        if agrees == known.is_some() {
            let actual: Vec<String> = actual.iter().map(spell).collect();
            let Symbols {
                snd_nxt, rcv_nxt, ..
            } = symbols;
            let listed = known.map_or(String::new(), |(_, _, why)| {
                format!(": it agrees, though listed as different: {why}")
            });
            failures.push(format!(
                "{state} | {name}: expected {expected:?} {after}, got {actual:?} {state_after} \
                 (SND.NXT={snd_nxt} RCV.NXT={rcv_nxt}){listed}",
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} rows:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
