//! The layout of the options of our SYN and SYN,ACK, and the shift of our window.

use super::*;
use tcpx_proto::id::FourTuple;
use tcpx_proto::wire::OptionLayout;

/// The option area of the next packet: the kinds in order, NOPs (1) and End of List (0) included.
fn kinds(bench: &mut Bench) -> Vec<u8> {
    let mut packet = [0; 1500];
    bench.stack.poll_transmit(bench.now, &mut packet).unwrap();
    let end = 20 + usize::from(packet[32] >> 4) * 4;
    let mut kinds = Vec::new();
    let mut at = 40;
    while at < end {
        kinds.push(packet[at]);
        at += if packet[at] < 2 {
            1
        } else {
            packet[at + 1].into()
        };
    }
    kinds
}

fn arrives(bench: &mut Bench, header: &Header) {
    let mut packet = [0; 100];
    let len = header.emit((&[], &[]), &mut packet).unwrap();
    bench.stack.packet_arrives(bench.now, &packet[..len]);
}

/// What asks for all that a SYN can have.
fn asking(bench: &Bench) -> Header {
    let mut syn = bench.header(PEER_ISS, Seq(0), SYN);
    syn.options = Options {
        mss: Some(1460),
        window_scale: Some(3),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 5, echo: 0 }),
        ..Options::default()
    };
    syn
}

#[test]
fn syn_and_syn_ack_lay_their_options_out_as_the_policy_says() {
    let rows = [
        (None, Profile::Linux, &[2, 4, 8, 1, 3][..]),
        (None, Profile::Rfc9293, &[2, 4, 8, 1, 3]),
        (None, Profile::Rfc793, &[2]),
        (
            Some(OptionLayout::FreeBsd),
            Profile::Linux,
            &[2, 1, 3, 4, 8],
        ),
        (
            Some(OptionLayout::Padded),
            Profile::Rfc9293,
            &[2, 1, 3, 1, 1, 8, 1, 1, 4],
        ),
    ];
    for (layout, profile, expected) in rows {
        let config = with(profile.config(), |conn| {
            conn.syn_options = layout.unwrap_or(conn.syn_options);
        });
        let mut active = Bench::new(config.clone());
        let conn = active.stack.config().conn.clone();
        let tuple = FourTuple {
            local: active.local,
            remote: active.remote,
        };
        active.stack.connect(active.now, tuple, &conn).unwrap();
        assert_eq!(kinds(&mut active), expected, "SYN, {}", profile.name());
        // With a backlog of 1 the second SYN,ACK is a cookie.
        for before in [0, 1] {
            let mut passive = Bench::new(config.clone());
            passive
                .stack
                .listen(passive.now, passive.local, 1, &conn)
                .unwrap();
            strangers(&mut passive, before, b"");
            let syn = asking(&passive);
            arrives(&mut passive, &syn);
            assert_eq!(kinds(&mut passive), expected, "SYN,ACK, {}", profile.name());
            let cookies = passive.stack.counters().cookies_sent;
            assert_eq!(cookies, before.into());
        }
    }
}

/// The shift in our SYN or SYN,ACK, and the window field of the first ACK behind it and of the
/// one after 1000 bytes that nobody reads.
fn windows(config: &Config, passive: bool) -> (Option<u8>, Vec<u16>) {
    let mut bench = Bench::new(config.clone());
    bench.syn_options.window_scale = Some(0);
    let syn = if passive {
        bench.listen();
        bench.arrive(PEER_ISS, Seq(0), SYN, b"")
    } else {
        bench.connect()
    };
    let mut sent = if passive {
        bench.arrive(PEER_ISS + 1, bench.snd_nxt, ACK, b"")
    } else {
        bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"")
    };
    sent.extend(bench.arrive(PEER_ISS + 1, bench.snd_nxt, ACK, &[7; 1000]));
    let fields = sent.iter().map(|sent| sent.header.window).collect();
    (syn[0].header.options.window_scale, fields)
}

/// RFC 7323 section 2.3: at most 14, and the field counts in units of it, rounded up, as the right
/// edge never moves left.
#[test]
fn window_shift_follows_the_buffer_unless_it_is_given() {
    for (given, bytes, shift, full, rest) in [
        (None, 65_535, 0, 65_535, 64_535),
        (None, 65_536, 1, 32_768, 32_268),
        (None, 1 << 30, 14, 65_535, 65_535),
        (Some(0), 65_535, 0, 65_535, 64_535),
        (Some(0), 1 << 18, 0, 65_535, 64_535),
        (Some(3), 65_535, 3, 8192, 8067),
        (Some(14), 65_535, 14, 4, 4),
        (Some(14), 1 << 30, 14, 65_535, 65_535),
    ] {
        let config = with(plain(), |conn| {
            conn.window_scaling = true;
            conn.receive_buffer = bytes;
            conn.window_shift = given;
        });
        for passive in [false, true] {
            let expected = if passive {
                vec![rest]
            } else {
                vec![full, rest]
            };
            assert_eq!(
                windows(&config, passive),
                (Some(shift), expected),
                "{given:?}, {bytes} bytes, passive: {passive}"
            );
        }
    }
}

#[test]
fn window_shift_given_is_not_sent_where_scaling_is_off_or_was_not_offered() {
    let config = |scaling| {
        with(plain(), |conn| {
            conn.window_scaling = scaling;
            conn.window_shift = Some(9);
        })
    };
    assert_eq!(windows(&config(false), false).0, None);
    assert_eq!(windows(&config(false), true).0, None);
    let mut bench = Bench::new(config(true));
    bench.listen();
    let answer = bench.arrive(PEER_ISS, Seq(0), SYN, b"");
    assert_eq!(answer[0].header.options.window_scale, None);
    bench.arrive(PEER_ISS + 1, bench.snd_nxt, ACK, b"");
    let ack = bench.arrive(PEER_ISS + 1, bench.snd_nxt, ACK, &[7; 1000]);
    assert_eq!(ack[0].header.window, 64_535, "unscaled");
}
