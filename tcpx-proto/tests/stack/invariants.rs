//! Equality, and segments of any kind.

use super::*;

#[test]
fn equal_stacks_are_those_that_will_do_the_same() {
    let hash = |stack: &Stack| {
        let mut hasher = DefaultHasher::new();
        stack.hash(&mut hasher);
        hasher.finish()
    };
    let mut bench = Bench::new(Config::default());
    bench.listen(5);
    let before = bench.stack.clone();
    assert!(before == bench.stack);
    // An unknown peer comes and goes: only counters, the record and the next identification change.
    bench.say(from(9000, Flags::ACK, 1, 1), &[]);
    assert!(before == bench.stack && hash(&before) == hash(&bench.stack));
    bench.syn(9000);
    assert!(before != bench.stack);
}

fn any_segment() -> impl Strategy<Value = Vec<u8>> {
    let port = prop_oneof![Just(SERVER), Just(40_000), Just(22), any::<u16>()];
    let text = prop::collection::vec(any::<u8>(), 0..64);
    let any_address = any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into());
    let ours = prop_oneof![4 => Just(US), 1 => any_address];
    (
        any::<u8>(),
        any::<u32>(),
        any::<u32>(),
        ours,
        port,
        9000u16..9004,
        text,
    )
        .prop_map(|(flags, seq, ack, ours, port, from, text)| {
            let mut packet = vec![0; 200];
            let header = header(
                (PEER, from).into(),
                (ours, port).into(),
                Flags(flags),
                seq,
                ack,
            );
            let len = header.emit((&text, &[]), &mut packet).unwrap();
            packet.truncate(len);
            packet
        })
}

proptest! {
    #[test]
    fn any_bytes_never_panic_nor_bring_answers_from_what_is_not_ours(
        packets in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                any_segment(),
                (any_segment(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
                    |(mut packet, at, value)| {
                        let at = at.index(packet.len());
                        packet[at] = value;
                        packet
                    }
                ),
            ],
            0..40,
        ),
        seed: u64,
        cookies: bool,
    ) {
        let overflow = if cookies {
            Overflow::Cookies
        } else {
            Overflow::Unbounded
        };
        let config = Config {
            checksum: ChecksumPolicy::Ignore,
            overflow,
            max_connections: 3,
            ..Profile::Rfc9293.config()
        };
        let mut bench = Bench::new(config);
        bench.stack = {
            let mut stack = Stack::new(bench.stack.config().clone(), seed);
            stack.reserve(US, SERVER..=SERVER);
            stack.reserve(US, 40_000..=40_000);
            stack
        };
        bench.listen(1);
        bench.connect(40_000, peer()).unwrap();
        bench.drain();
        for packet in packets {
            bench.stack.packet_arrives(bench.now, &packet);
            bench.stack.icmp_arrives(bench.now, &packet);
            for header in bench.drain() {
                prop_assert!(
                    header.source.ip() == US && [SERVER, 40_000].contains(&header.source.port())
                );
            }
            prop_assert!(bench.stack.connections().count() <= 3);
            bench.wait(Duration::from_millis(300));
            bench.drain();
            bench.signals();
        }
    }
}
