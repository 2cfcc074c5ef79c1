//! CLOSED and LISTEN: segments for which there is no connection, and those that reach one.

use super::*;

/// Flags and text of a segment with SEG.SEQ = 100 and SEG.ACK = 500; the flags, seq and ack of the
/// RST that answers it.
type Row = (Flags, &'static [u8], Option<(Flags, u32, u32)>);

/// 3.10.7.1.
const CLOSED: &[Row] = &[
    (Flags::RST, b"", None),
    (RST_ACK, b"", None),
    (Flags::SYN, b"", Some((RST_ACK, 0, 101))),
    (SYN_ACK, b"", Some((Flags::RST, 500, 0))),
    (Flags::ACK, b"", Some((Flags::RST, 500, 0))),
    (Flags::ACK, b"text", Some((Flags::RST, 500, 0))),
    (Flags::PSH, b"text", Some((RST_ACK, 0, 104))),
    (FIN_ACK, b"", Some((Flags::RST, 500, 0))),
    (Flags::FIN, b"", Some((RST_ACK, 0, 101))),
    (Flags::empty(), b"", Some((RST_ACK, 0, 100))),
];

#[test]
fn closed_any_segment_but_a_rst_is_answered_with_the_rst_of_3_10_7_1() {
    for (flags, text, answer) in CLOSED {
        let mut bench = Bench::new(Config::default());
        let sent = bench.say(from(9000, *flags, 100, 500), text);
        let seen: Vec<_> = sent
            .iter()
            .map(|got| (got.flags, got.seq.0, got.ack.0))
            .collect();
        assert_eq!(seen, Vec::from_iter(*answer), "{flags} {text:?}");
        assert_eq!(bench.discards(), [Discard::NoConnection]);
    }
}

#[test]
fn closed_without_the_rule_nothing_is_answered() {
    let mut bench = Bench::new(Config {
        rst_on_closed: false,
        ..Config::default()
    });
    for (flags, text, _) in CLOSED {
        assert_eq!(bench.say(from(9000, *flags, 100, 500), text), []);
    }
}

#[test]
fn listen_only_a_syn_opens_and_an_ack_gets_a_rst() {
    // 3.10.7.2.
    for (flags, answer) in [
        (Flags::RST, None),
        (Flags::SYN | Flags::RST, None),
        (Flags::ACK, Some(Flags::RST)),
        (SYN_ACK, Some(Flags::RST)),
        (FIN_ACK, Some(Flags::RST)),
        (Flags::PSH, None),
        (Flags::FIN, None),
        (Flags::empty(), None),
        (Flags::SYN, Some(SYN_ACK)),
    ] {
        let mut bench = Bench::new(Config::default());
        bench.listen(5);
        let sent = bench.say(from(9000, flags, 100, 500), &[]);
        assert_eq!(
            sent.iter().map(|got| got.flags).collect::<Vec<_>>(),
            Vec::from_iter(answer),
            "{flags}"
        );
        assert_eq!(
            bench.stack.connections().count(),
            usize::from(flags == Flags::SYN),
            "{flags}"
        );
    }
}

#[test]
fn listen_syn_fin_opens_by_the_rfc_and_is_dropped_by_linux() {
    for (syn_text, opened) in [(SynText::Queue, 1), (SynText::Drop, 0)] {
        let mut bench = Bench::new(small(ConnConfig {
            syn_text,
            ..ConnConfig::default()
        }));
        bench.listen(5);
        bench.say(from(9000, Flags::SYN | Flags::FIN, 100, 0), &[]);
        assert_eq!(bench.stack.connections().count(), opened, "{syn_text:?}");
    }
}

#[test]
fn unreserved_port_is_never_answered() {
    let mut bench = Bench::new(Config::default());
    for destination in [
        (US, SERVER + 1),
        (Ipv4Addr::new(10, 0, 0, 9).into(), SERVER),
    ] {
        assert_eq!(
            bench.say(header(peer(), destination.into(), Flags::SYN, 1, 0), &[]),
            []
        );
    }
    assert_eq!(bench.discards(), [Discard::NotReserved; 2]);
    assert_eq!(bench.stack.counters().not_ours, 2);
    assert_eq!(bench.stack.counters().discarded, 2);
}

#[test]
fn established_lives_on_when_its_port_is_unreserved() {
    let mut bench = Bench::new(Config::default());
    bench.listen(5);
    let id = bench.enter(9000);
    bench.stack.unreserve(US, SERVER..=SERVER);
    bench.say(
        from(
            9000,
            Flags::ACK,
            101,
            bench.stack.status(id).unwrap().snd_nxt.0,
        ),
        b"text",
    );
    assert_eq!(bench.stack.status(id).unwrap().unread, 4);
    assert_eq!(bench.syn(9001), None);
}

#[test]
fn segments_reach_the_connection_of_their_four_tuple() {
    let mut bench = Bench::new(Config::default());
    bench.listen(50);
    let ids: Vec<_> = (9000..9040).map(|port| bench.enter(port)).collect();
    for (n, (id, port)) in ids.iter().zip(9000..).enumerate() {
        let ack = bench.stack.status(*id).unwrap().snd_nxt.0;
        bench.say(from(port, Flags::ACK, 101, ack), &[7; 50][..n]);
        assert_eq!(
            bench.stack.lookup(FourTuple {
                local: local(),
                remote: (PEER, port).into()
            }),
            Some(*id)
        );
    }
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(bench.stack.status(*id).unwrap().unread, n);
    }
}

#[test]
fn discards_inside_a_connection_are_counted_too() {
    let mut bench = Bench::new(Config::default());
    bench.listen(5);
    bench.enter(9000);
    bench.say(from(9000, Flags::ACK, 5_000_000, 1), b"far away");
    assert_eq!(bench.stack.counters().discarded, 1);
}
