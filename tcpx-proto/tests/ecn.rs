//! Explicit congestion notification (RFC 3168), by section: who agrees, what is marked, what is
//! echoed, and how often the window falls.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::time::Duration;

use common::{ACK, Bench, PEER_ISS, SYN_ACK, Sent};
use tcpx_proto::config::{Config, Ecn, Profile, Recovery};
use tcpx_proto::label::Cause;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Options, SackBlocks};

const MSS: u32 = 1460;
const SETUP: Flags = Flags::SYN.union(Flags::ECE).union(Flags::CWR);
const CE: u8 = 3;

fn config(ecn: Ecn) -> Config {
    let mut config = Bench::plain(Profile::Rfc9293);
    config.conn.ecn = ecn;
    config
}

/// A connection that a peer opened with these bits on its SYN; those of the SYN,ACK.
fn accepted(ecn: Ecn, syn: Flags) -> (Bench, Flags) {
    accepted_by(config(ecn), syn)
}

fn accepted_by(config: Config, syn: Flags) -> (Bench, Flags) {
    let mut bench = Bench::new(config);
    bench.syn_options = Options {
        sack_permitted: true,
        ..bench.syn_options
    };
    bench.listen();
    let answer = bench.arrive(PEER_ISS, Seq(0), syn, b"");
    bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK, b"");
    bench
        .stack
        .accept(bench.now, bench.listener.unwrap())
        .unwrap();
    assert_eq!(answer[0].header.tos, 0, "no ECT on a SYN (6.1.1)");
    (bench, answer[0].header.flags.difference(SYN_ACK))
}

fn capable() -> Bench {
    accepted(Ecn::On, SETUP).0
}

/// Both ends use SACK as well.
fn selective(recovery: Recovery) -> Bench {
    let mut config = config(Ecn::On);
    config.conn.sack = true;
    config.conn.recovery = recovery;
    accepted_by(config, SETUP).0
}

/// Bits of the IP header and of TCP's.
fn bits(sent: &[Sent]) -> Vec<(u8, Flags)> {
    sent.iter()
        .map(|sent| {
            (
                sent.header.tos,
                sent.header.flags.difference(ACK | Flags::PSH),
            )
        })
        .collect()
}

fn marked(bench: &mut Bench, flags: Flags, tos: u8, text: &[u8]) -> Vec<Sent> {
    let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | flags);
    header.tos = tos;
    bench.say(header, text)
}

/// Proves 3168-1, SHLD-8.
#[test]
fn rfc_3168_6_1_1_syn_asks_with_both_bits_and_the_answer_has_one() {
    for (ecn, syn, answer) in [
        (Ecn::On, SETUP, Flags::ECE),
        (Ecn::WhenAsked, SETUP, Flags::ECE),
        (Ecn::Off, SETUP, Flags::empty()),
        (Ecn::On, Flags::SYN, Flags::empty()),
        (Ecn::On, Flags::SYN | Flags::ECE, Flags::empty()),
        (Ecn::On, Flags::SYN | Flags::CWR, Flags::empty()),
    ] {
        let (mut bench, got) = accepted(ecn, syn);
        assert_eq!(got, answer, "{ecn:?} {syn}");
        assert_eq!(
            bits(&bench.send(b"text")),
            [(if answer == Flags::ECE { 2 } else { 0 }, Flags::empty())]
        );
    }
}

#[test]
fn rfc_3168_6_1_1_syn_that_is_marked_is_granted_nothing_and_linux_grants_it_to_any_other() {
    for (tos, answer) in [
        (0, Flags::ECE),
        (1, Flags::empty()),
        (2, Flags::empty()),
        (3, Flags::empty()),
        (0x20, Flags::ECE),
    ] {
        for config in [config(Ecn::On), Profile::Linux.config()] {
            let mut bench = Bench::new(config);
            bench.listen();
            let mut syn = bench.header(PEER_ISS, Seq(0), SETUP);
            syn.tos = tos;
            assert_eq!(
                bits(&bench.say(syn, b"")),
                [(0, SYN_ACK.difference(ACK) | answer)],
                "{tos}"
            );
        }
    }
    assert_eq!(
        bits(&Bench::new(Profile::Linux.config()).connect()),
        [(0, Flags::SYN)],
        "and asks for nothing (tcp_ecn=2)"
    );
}

#[test]
fn rfc_3168_6_1_1_client_is_capable_if_the_answer_has_ece_alone() {
    for (answer, ect) in [
        (Flags::ECE, 2),
        (Flags::empty(), 0),
        (Flags::ECE | Flags::CWR, 0),
        (Flags::CWR, 0),
    ] {
        let mut bench = Bench::new(config(Ecn::On));
        let syn = bench.connect();
        assert_eq!(bits(&syn), [(0, SETUP)]);
        let third = bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK | answer, b"");
        assert_eq!(bits(&third), [(0, Flags::empty())]);
        assert_eq!(
            bits(&bench.send(b"text")),
            [(ect, Flags::empty())],
            "{answer}"
        );
    }
    let mut off = Bench::new(config(Ecn::WhenAsked));
    assert_eq!(bits(&off.connect()), [(0, Flags::SYN)]);
}

/// Proves 3168-1, SHLD-8.
#[test]
fn rfc_3168_6_1_1_1_syn_that_goes_again_asks_for_nothing() {
    let mut bench = Bench::new(config(Ecn::On));
    bench.connect();
    assert_eq!(
        bits(&bench.run(Duration::from_millis(1500))),
        [(0, Flags::SYN)]
    );
}

/// Proves 3168-2, SHLD-8.
#[test]
fn rfc_3168_6_1_3_mark_is_echoed_until_cwr_and_only_one_on_text() {
    let mut bench = capable();
    assert_eq!(bits(&marked(&mut bench, Flags::empty(), CE, b"")), []);
    assert_eq!(
        bits(&marked(&mut bench, Flags::empty(), 2, b"text")),
        [(0, Flags::empty())]
    );
    assert_eq!(
        bits(&marked(&mut bench, Flags::empty(), CE, b"text")),
        [(0, Flags::ECE)]
    );
    assert_eq!(
        bits(&marked(&mut bench, Flags::empty(), 2, b"text")),
        [(0, Flags::ECE)]
    );
    assert_eq!(bits(&bench.send(b"text")), [(2, Flags::ECE)]);
    assert_eq!(
        bits(&marked(&mut bench, Flags::CWR, 2, b"text")),
        [(0, Flags::empty())]
    );
    assert_eq!(
        bits(&marked(&mut bench, Flags::CWR, CE, b"text")),
        [(0, Flags::ECE)],
        "a mark on the CWR itself is a new one"
    );
}

/// Proves 3168-2.
#[test]
fn rfc_3168_6_1_2_window_falls_once_in_a_window_of_text_and_the_next_new_text_says_so() {
    let mut bench = capable();
    let first = bench.snd_nxt;
    bench.send(&vec![7; 10 * MSS as usize]);
    let before = bench.status().cwnd;
    for segment in 1..=9 {
        assert_eq!(
            bench.arrive(bench.rcv_nxt, first + segment * MSS, ACK | Flags::ECE, b""),
            []
        );
    }
    let after = bench.status().cwnd;
    assert!(
        after >= before / 2 - MSS && after < before / 2 + 2 * MSS,
        "{before} {after}"
    );
    let sent = bench.send(&[7; 2 * MSS as usize]);
    assert_eq!(bits(&sent), [(2, Flags::CWR), (2, Flags::empty())]);
    bench.arrive(bench.rcv_nxt, first + 10 * MSS, ACK | Flags::ECE, b"");
    assert_eq!(
        bench.status().cwnd,
        after,
        "the peer cannot have got the CWR yet"
    );
    bench.arrive(bench.rcv_nxt, first + 11 * MSS, ACK | Flags::ECE, b"");
    assert!(
        bench.status().cwnd < after,
        "the next window of text, the next mark"
    );
}

/// Proves 3168-3.
#[test]
fn rfc_3168_6_1_5_retransmissions_and_probes_are_not_capable() {
    let mut bench = capable();
    bench.send(b"text");
    assert_eq!(
        bits(&bench.run(Duration::from_millis(1500))),
        [(0, Flags::empty())]
    );
    let mut bench = capable();
    bench.window = 0;
    marked(&mut bench, Flags::empty(), 0, b"");
    bench.send(b"text");
    assert_eq!(
        bits(&bench.run(Duration::from_millis(1500))),
        [(0, Flags::empty())]
    );
}

#[test]
fn rfc_3168_6_1_2_window_that_fell_for_a_loss_is_announced_as_well() {
    let mut bench = capable();
    bench.send(b"text");
    bench.run(Duration::from_millis(1500));
    bench.acknowledge();
    assert_eq!(bits(&bench.send(b"text")), [(2, Flags::CWR)]);
}

#[test]
fn rfc_3168_6_1_2_ack_with_an_echo_lets_the_window_not_grow() {
    for mut bench in [
        capable(),
        selective(Recovery::Rfc6675),
        selective(Recovery::Rack),
    ] {
        let first = bench.snd_nxt;
        bench.send(&vec![7; 10 * MSS as usize]);
        let before = bench.status().cwnd;
        for segment in 1..=10 {
            bench.arrive(bench.rcv_nxt, first + segment * MSS, ACK | Flags::ECE, b"");
            assert_eq!(bench.status().cwnd, before / 2, "{segment}");
        }
    }
}

/// A mark and a loss in one window are one congestion event.
#[test]
fn rfc_3168_6_1_2_loss_in_a_window_that_fell_for_a_mark_does_not_halve_it_again() {
    let mut plain = capable();
    let mut sack = selective(Recovery::Rfc6675);
    for (bench, inflated) in [(&mut plain, 3), (&mut sack, 0)] {
        let first = bench.snd_nxt;
        bench.send(&vec![7; 10 * MSS as usize]);
        bench.arrive(bench.rcv_nxt, first + MSS, ACK | Flags::ECE, b"");
        let fallen = bench.status().cwnd;
        let sent: Vec<_> = (3..=5)
            .flat_map(|held| hold(bench, first + MSS, (first + 2 * MSS, first + held * MSS)))
            .collect();
        assert_eq!(sent[0].header.seq, first + MSS);
        assert_eq!(sent[0].label.cause, Cause::FastRetransmission);
        assert_eq!(bench.status().cwnd, fallen + inflated * MSS);
        // In the next window it is another event.
        bench.acknowledge();
        let next = bench.snd_nxt;
        bench.send(&vec![7; fallen as usize]);
        (2..=4).for_each(|held| drop(hold(bench, next, (next + MSS, next + held * MSS))));
        assert!(bench.status().cwnd < fallen + inflated * MSS);
    }
}

/// An ACK that says that these bytes are held, as far as the peer uses SACK.
fn hold(bench: &mut Bench, ack: Seq, (left, right): (Seq, Seq)) -> Vec<Sent> {
    let mut header = bench.header(bench.rcv_nxt, ack, ACK);
    let mut blocks = SackBlocks::default();
    assert!(blocks.push(left, right));
    header.options.sack = blocks;
    bench.say(header, b"")
}

#[test]
fn rfc_3168_6_1_2_window_that_fell_for_a_probe_is_announced_as_well() {
    let mut bench = selective(Recovery::Rack);
    bench.send(b"text");
    let probe = bench.run(Duration::from_millis(900));
    assert_eq!(
        probe
            .iter()
            .map(|sent| sent.label.cause)
            .collect::<Vec<_>>(),
        [Cause::TailLossProbe]
    );
    bench.send(b"more");
    bench.acknowledge();
    assert_eq!(bits(&bench.send(b"text")), [(2, Flags::CWR)]);
}

/// Both SYNs ask; then the peer's SYN,ACK says that it got, or granted, none.
#[test]
fn rfc_3168_6_1_1_simultaneous_open_is_capable_if_the_answer_has_ece_alone() {
    for (answer, ect) in [
        (Flags::ECE, 2),
        (Flags::empty(), 0),
        (Flags::ECE | Flags::CWR, 0),
    ] {
        let mut bench = Bench::new(config(Ecn::On));
        bench.connect();
        assert_eq!(
            bits(&bench.arrive(PEER_ISS, Seq(0), SETUP, b"")),
            [(0, Flags::SYN | Flags::ECE)]
        );
        bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK | answer, b"");
        assert_eq!(
            bits(&bench.send(b"text")),
            [(ect, Flags::empty())],
            "{answer}"
        );
    }
}

#[test]
fn not_capable_marks_and_echoes_mean_nothing() {
    let (mut bench, _) = accepted(Ecn::Off, SETUP);
    assert_eq!(
        bits(&marked(&mut bench, Flags::CWR, CE, b"text")),
        [(0, Flags::empty())]
    );
    bench.send(&vec![7; 10 * MSS as usize]);
    let before = bench.status().cwnd;
    bench.arrive(bench.rcv_nxt, bench.snd_una + MSS, ACK | Flags::ECE, b"");
    assert!(bench.status().cwnd >= before);
}

/// Proves 8311-1, SHLD-8, 3168-3, 3168-1.
#[test]
fn rfc_8311_4_2_new_text_is_ect_0_and_all_else_is_not_capable_whatever_was_asked_for() {
    let config = common::with(Profile::Rfc9293.config(), |conn| {
        conn.ecn = Ecn::On;
        conn.tos = 0xb9;
        conn.delayed_ack = None;
    });
    let mut bench = Bench::new(config);
    let syn = bench.connect().remove(0);
    assert_eq!(syn.header.flags, SETUP);
    let answer = Flags::SYN | Flags::ACK | Flags::ECE;
    bench.arrive(PEER_ISS, bench.snd_nxt, answer, b"");
    assert_eq!(bench.send(b"new")[0].header.tos, 0xba);
    let ack = bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"x");
    assert_eq!(ack[0].header.tos, 0xb8, "a bare ACK");
    let again = bench.run(Duration::from_secs(2));
    assert_eq!(again[0].header.tos, 0xb8, "a retransmission");
}
