//! A path whose MTU is smaller than the link's: what an ICMP error about it means for what is sent,
//! how much of it, and in which packets.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{ACK, Bench, PEER_ISS, SYN_ACK, Sent, plain, with};
use tcpx_proto::config::{Config, Profile, Recovery, SmallPath};
use tcpx_proto::error::TransmitError;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Header, Options};

const MSS: usize = 1460;

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn open(config: Config) -> Bench {
    let mut bench = Bench::new(config);
    bench.enter("ESTABLISHED");
    bench
}

fn linux() -> Config {
    Bench::plain(Profile::Linux)
}

/// Each profile, with SACK and without, with timestamps and without.
fn configs() -> impl Iterator<Item = Config> {
    let of = |profile: Profile| {
        [false, true].map(|sack| [false, true].map(|stamps| (profile, sack, stamps)))
    };
    Profile::ALL
        .into_iter()
        .flat_map(of)
        .flatten()
        .map(|(profile, sack, stamps)| {
            with(Bench::plain(profile), |conn| {
                conn.sack = sack;
                conn.timestamps = stamps;
            })
        })
}

/// Opened to a peer that permits what we ask for.
fn open_to(config: Config) -> Bench {
    let sack = config.conn.sack;
    let stamps = config.conn.timestamps;
    let mut bench = if stamps {
        Bench::new(config).with_timestamps(1)
    } else {
        Bench::new(config)
    };
    let timestamps = bench
        .header(bench.rcv_nxt, bench.snd_nxt, ACK)
        .options
        .timestamps;
    bench.syn_options = Options {
        sack_permitted: sack,
        timestamps,
        ..bench.syn_options
    };
    bench.enter("ESTABLISHED");
    bench
}

/// An ICMPv6 error arrives that quotes a packet of 1500 bytes of ours; what is sent then.
fn packet_too_big(bench: &mut Bench, mtu: u32, seq: Seq) -> Vec<Sent> {
    let bytes = |address: SocketAddr| match address.ip() {
        std::net::IpAddr::V6(v6) => v6.octets(),
        std::net::IpAddr::V4(_) => panic!("{address}"),
    };
    let quoted = Header {
        source: bench.local,
        destination: bench.remote,
        ..bench.header(seq, Seq(0), ACK)
    };
    let mut quote = [0; 100];
    quoted.emit((b"", b""), &mut quote).unwrap();
    quote[4..6].copy_from_slice(&1460u16.to_be_bytes());
    let mut message = [&[2, 0, 0, 0], &mtu.to_be_bytes()[..], &quote[..60]].concat();
    let head = [bytes(bench.remote), bytes(bench.local)].concat();
    let pseudo = [
        &head[..],
        &(message.len() as u32).to_be_bytes(),
        &[0, 0, 0, 58],
    ]
    .concat();
    let pairs = pseudo.chunks(2).chain(message.chunks(2));
    let sum: u32 = pairs
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    message[2..4].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    let fixed = [
        &[0x60, 0, 0, 0],
        &(message.len() as u16).to_be_bytes()[..],
        &[58, 64],
    ]
    .concat();
    bench
        .stack
        .icmp_arrives(bench.now, &[&fixed[..], &head, &message].concat());
    bench.drain()
}

fn lens(sent: &[Sent]) -> Vec<usize> {
    sent.iter().map(|sent| sent.text.len()).collect()
}

/// A router that says "fragmentation needed" about what is longer than this, and cuts what it may
/// cut.
struct Router {
    mtu: usize,
    /// What it says the MTU is: 0 before RFC 1191.
    says: u16,
}

/// Sends `len` bytes through that router to a peer that acknowledges what comes in order; how many
/// packets that takes.
fn transfer(bench: &mut Bench, router: &Router, len: usize) -> usize {
    let mut waiting = std::collections::VecDeque::from(bench.send(&text(len)));
    let end = bench.snd_una + len as u32;
    let mut next = bench.snd_una;
    let mut packets = 0;
    while next != end {
        let Some(sent) = waiting.pop_front() else {
            let again = bench.run(Duration::from_secs(130));
            assert!(
                !again.is_empty(),
                "nothing is on its way at {next}, {end} is the end"
            );
            waiting.extend(again);
            continue;
        };
        packets += 1;
        assert!(packets < 100_000, "it hangs");
        if sent.dont_fragment && sent.len > router.mtu {
            waiting.extend(bench.icmp_about(3, 4, router.says, sent.header.seq, sent.len as u16));
        } else if sent.header.seq.le(next) && sent.end().gt(next) {
            next = sent.end();
            waiting.extend(bench.arrive(bench.rcv_nxt, next, ACK, b""));
        }
    }
    packets
}

#[test]
fn every_router_is_got_through_whatever_it_takes_and_says() {
    for config in configs() {
        for mtu in [
            68, 69, 80, 87, 88, 100, 127, 296, 400, 508, 551, 552, 553, 576, 1000, 1006, 1492, 1499,
        ] {
            for says in [mtu as u16, 0] {
                let mut bench = open_to(config.clone());
                let packets = transfer(&mut bench, &Router { mtu, says }, 30_000);
                let path = bench.status().mss;
                assert!(
                    packets < 30_000 / usize::from(path) * 2 + 100,
                    "{packets} packets at MTU {mtu}, MSS {path}"
                );
            }
        }
    }
}

#[test]
fn rfc_1191_3_path_is_reduced_to_what_the_router_says_down_to_68() {
    for (says, path) in [
        (1000, 1000),
        (576, 576),
        (552, 552),
        (551, 551),
        (400, 400),
        (296, 296),
        (68, 68),
        (67, 68),
        (1, 68),
    ] {
        let mut bench = open(plain());
        let una = bench.snd_una;
        bench.send(&text(2 * MSS));
        let sent = bench.icmp(3, 4, says, una);
        assert_eq!(bench.status().mss, path - 40, "{says}");
        assert!(
            sent.iter()
                .all(|sent| sent.dont_fragment && sent.len <= path.into()),
            "{says}"
        );
        assert_eq!(sent[0].header.seq, una);
        assert_eq!(sent[0].text.len(), usize::from(path - 40));
    }
}

#[test]
fn linux_path_is_not_below_552_and_such_packets_may_be_cut() {
    for (says, path, whole) in [
        (1000, 1000, true),
        (552, 552, true),
        (551, 552, false),
        (400, 552, false),
        (68, 552, false),
        (0, 552, false),
    ] {
        let mut bench = open(linux());
        bench.send(&text(2 * MSS));
        let sent = bench.icmp(3, 4, says, bench.snd_una);
        assert_eq!(bench.status().mss, path - 40, "{says}");
        assert!(
            !sent.is_empty() && sent.iter().all(|sent| sent.dont_fragment == whole),
            "{says}"
        );
        bench.acknowledge();
        assert_eq!(
            bench.text(b"x")[0].dont_fragment,
            whole,
            "a bare ACK, {says}"
        );
    }
    assert_eq!(linux().conn.small_path, SmallPath::Fragment);
    assert_eq!(plain().conn.small_path, SmallPath::Reduce);
}

#[test]
fn linux_path_of_552_already_may_be_cut_when_that_is_too_large() {
    let mut bench = open(linux());
    bench.send(&text(MSS));
    let first = bench.icmp(3, 4, 552, bench.snd_una);
    assert!(first.iter().all(|sent| sent.dont_fragment));
    let again = bench.icmp_about(3, 4, 400, bench.snd_una, 552);
    assert_eq!(
        lens(&again),
        [512, 512, 436],
        "what was lost is retransmitted"
    );
    assert!(again.iter().all(|sent| !sent.dont_fragment));
    assert_eq!(bench.icmp_about(3, 4, 400, bench.snd_una, 552), [], "once");
}

#[test]
fn rfc_1191_5_router_that_says_nothing_is_answered_by_the_next_plateau() {
    for (len, path) in [
        (1500, 1492),
        (1492, 1006),
        (1006, 508),
        (508, 296),
        (296, 68),
        (68, 68),
        (4352, 1500),
    ] {
        let mut bench = open(plain());
        bench.send(&text(2 * MSS));
        bench.icmp_about(3, 4, 0, bench.snd_una, len);
        assert_eq!(bench.status().mss, path - 40, "a packet of {len}");
        // The other one of the same size says nothing new.
        bench.icmp_about(3, 4, 0, bench.snd_una + MSS as u32, len);
        assert_eq!(bench.status().mss, path - 40, "two packets of {len}");
    }
}

#[test]
fn rfc_5927_4_1_path_neither_grows_nor_shrinks_by_what_nobody_sent() {
    for config in [plain(), linux()] {
        let mss = |mtu, seq: fn(&Bench) -> Seq| {
            let mut bench = open(config.clone());
            bench.send(&text(MSS));
            let at = seq(&bench);
            assert_eq!(bench.icmp(3, 4, mtu, at), []);
            usize::from(bench.status().mss)
        };
        assert_eq!(mss(9000, |bench| bench.snd_una), MSS);
        assert_eq!(mss(1500, |bench| bench.snd_una), MSS);
        assert_eq!(mss(1000, |bench| bench.snd_nxt + 1), MSS);
        assert_eq!(mss(1000, |bench| bench.snd_una.back(1)), MSS);
        assert_eq!(mss(400, |bench| bench.snd_nxt + 50_000), MSS);
    }
}

#[test]
fn rfc_8201_4_packet_too_big_below_1280_is_discarded() {
    let mut bench = Bench::new(plain());
    bench.local = "[fd00::1]:7000".parse().unwrap();
    bench.remote = "[fd00::2]:9000".parse().unwrap();
    bench.stack.reserve(bench.local.ip(), 7000..=7000);
    bench.enter("ESTABLISHED");
    bench.send(&text(MSS));
    let una = bench.snd_una;
    assert_eq!(packet_too_big(&mut bench, 1279, una), []);
    assert_eq!(bench.status().mss, 1440);
    assert_eq!(lens(&packet_too_big(&mut bench, 1280, una)), [1220, 240]);
    // Our own link is believed, down to what any link must take.
    bench
        .stack
        .transmit_failed(bench.now, bench.id, TransmitError::TooBig(600));
    assert_eq!(bench.status().mss, 1220);
}

#[test]
fn path_mtu_of_a_link_below_the_floor_does_not_grow() {
    for (config, mss, whole) in [(plain(), 360, true), (linux(), 460, false)] {
        let mut bench = open(with(config, |conn| conn.mtu = 500));
        bench.send(b"x");
        let sent = bench.icmp_about(3, 4, 400, bench.snd_una, 500);
        assert!(sent.iter().all(|sent| sent.dont_fragment == whole));
        assert_eq!(bench.status().mss, mss);
    }
}

// ---- how much goes then

/// What leaves at once when a whole initial window meets a path of this MTU.
fn shrunk(config: Config, mtu: u16) -> (Bench, Vec<Sent>) {
    let mut bench = open_to(config);
    assert_eq!(bench.send(&text(100_000)).len(), 10);
    let sent = bench.icmp(3, 4, mtu, bench.snd_una);
    (bench, sent)
}

#[test]
fn rfc_5681_3_1_window_is_as_many_segments_as_before_the_path_shrank() {
    for config in configs() {
        for mtu in [1400, 1000, 576, 552] {
            let (bench, sent) = shrunk(config.clone(), mtu);
            assert_eq!(sent.len(), 10, "MTU {mtu}: {:?}", lens(&sent));
            let mss = u32::from(bench.status().mss);
            assert!(
                (10 * mss..10 * mss + 10).contains(&bench.status().cwnd),
                "{} at {mss}",
                bench.status().cwnd
            );
            assert_eq!(sent[0].header.seq, bench.snd_una);
        }
    }
}

#[test]
fn path_that_shrank_is_no_congestion_and_its_losses_begin_no_recovery() {
    // RACK would tell that the retransmission is lost, too, which is congestion.
    let blind = |config: &Config| config.conn.recovery != Recovery::Rack || !config.conn.sack;
    for config in configs().filter(blind) {
        let (mut bench, sent) = shrunk(config, 1000);
        let una = bench.snd_una;
        let cwnd = bench.status().cwnd;
        // The first retransmission is lost, too; the others arrive and are acknowledged.
        for (at, sent) in sent.iter().enumerate().skip(1) {
            let mut header = bench.header(bench.rcv_nxt, una, ACK);
            header.options.sack.push(sent.header.seq, sent.end());
            bench.now = bench.now + Duration::from_millis(1);
            bench.say(header, b"");
            // Without SACK two more are let out meanwhile (RFC 3042).
            let more = 2 * u32::from(bench.status().mss);
            assert!(
                (cwnd..=cwnd + more).contains(&bench.status().cwnd),
                "{} after {cwnd}, ACK {at}",
                bench.status().cwnd
            );
        }
        bench.acknowledge();
        assert!(
            bench.status().cwnd >= cwnd,
            "{} after {cwnd}",
            bench.status().cwnd
        );
    }
}

#[test]
fn path_that_shrank_and_then_lost_a_retransmission_is_congestion_by_rack() {
    let rack = |config: &Config| config.conn.recovery == Recovery::Rack && config.conn.sack;
    for config in configs().filter(rack) {
        let (mut bench, sent) = shrunk(config, 1000);
        let cwnd = bench.status().cwnd;
        for sent in sent.iter().skip(1) {
            let mut header = bench.header(bench.rcv_nxt, bench.snd_una, ACK);
            header.options.sack.push(sent.header.seq, sent.end());
            bench.now = bench.now + Duration::from_millis(1);
            bench.say(header, b"");
        }
        assert!(bench.status().cwnd < cwnd);
    }
}

#[test]
fn ack_that_its_options_make_longer_than_the_path_may_be_cut() {
    let mut bench = open_to(with(plain(), |conn| {
        conn.sack = true;
        conn.timestamps = true;
    }));
    bench.send(b"x");
    bench.icmp(3, 4, 68, bench.snd_una);
    let dont_fragment = |bench: &mut Bench, at: u32| {
        let sent = bench.arrive(bench.rcv_nxt + at, bench.snd_nxt, ACK, b"x");
        (sent[0].len, sent[0].dont_fragment)
    };
    assert_eq!(dont_fragment(&mut bench, 2), (64, true));
    assert_eq!(dont_fragment(&mut bench, 4), (72, false));
}

#[test]
fn small_segments_in_flight_are_not_lost_with_the_large_ones() {
    let mut config = with(linux(), |conn| {
        conn.sack = true;
        conn.recovery = Recovery::Rack;
    });
    config.conn.send_buffer = 1 << 20;
    let mut bench = open_to(config);
    bench.send(&text(MSS));
    bench.now = bench.now + Duration::from_millis(1);
    bench.send(&text(300));
    let sent = bench.icmp(3, 4, 1000, bench.snd_una);
    assert_eq!(
        lens(&sent),
        [960, 500],
        "tcp_simple_retransmit: what is longer than the new MSS"
    );
}

#[test]
fn rfc_6928_initial_window_counts_what_the_path_takes() {
    // The path is known before the SYN: the link's own MTU.
    let mut bench = open(with(linux(), |conn| conn.mtu = 552));
    assert_eq!(lens(&bench.send(&text(100_000))), [512; 10]);
    // A router reports it for the SYN.
    for config in configs() {
        let mut bench = Bench::new(config);
        let syn = bench.connect();
        assert_eq!(
            bench.icmp_about(3, 4, 576, syn[0].header.seq, 60),
            [],
            "the SYN is not too long, and is not sent again"
        );
        bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
        let mss = usize::from(bench.status().mss);
        assert!(mss <= 536);
        assert_eq!(lens(&bench.send(&text(100_000))), vec![mss; 10]);
    }
    // Our own host refuses the first packets, which are gone, every one of them.
    let mut bench = open(linux());
    let sent = bench.send(&text(100_000));
    assert_eq!(sent.len(), 10);
    for _ in sent {
        bench
            .stack
            .transmit_failed(bench.now, bench.id, TransmitError::TooBig(552));
    }
    assert_eq!(lens(&bench.drain()), [512; 10]);
}
