//! Whose segment is it, and what does a stack say to strangers: demultiplexing, listeners, backlog,
//! cookies, ports, limits and timers.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tcpx_proto::config::{Config, ConnConfig, Isn, KeepAlive, Overflow, Profile, SynText};
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::event::{Discard, What};
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::{Signal, Stack, Transmit};
use tcpx_proto::state::State;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, Options, Segment, Timestamps};

const US: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const SERVER: u16 = 7000;
/// The ports that the stack under test has: one for a server, and these.
const CLIENTS: std::ops::RangeInclusive<u16> = 40_000..=40_009;
const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const RST_ACK: Flags = Flags(Flags::RST.0 | Flags::ACK.0);
const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);

/// A stack, and a hand that writes its peers' segments.
struct Bench {
    stack: Stack,
    now: Instant,
}

impl Bench {
    fn new(config: Config) -> Bench {
        let mut stack = Stack::new(config, 7);
        stack.record(true);
        stack.reserve(US, SERVER..=SERVER);
        stack.reserve(US, CLIENTS);
        Bench {
            stack,
            now: Instant::ZERO + Duration::from_secs(1000),
        }
    }

    fn listen(&mut self, backlog: usize) -> ListenerId {
        let config = self.stack.config().conn.clone();
        self.stack
            .listen(self.now, local(), backlog, &config)
            .unwrap()
    }

    fn connect(&mut self, port: u16, remote: SocketAddr) -> Result<ConnId, CallError> {
        let config = self.stack.config().conn.clone();
        self.stack.connect(
            self.now,
            FourTuple {
                local: (US, port).into(),
                remote,
            },
            &config,
        )
    }

    /// A segment arrives; all that is sent then.
    fn say(&mut self, header: Header, text: &[u8]) -> Vec<Header> {
        let mut packet = [0; 1600];
        let len = header.emit((text, &[]), &mut packet).unwrap();
        self.stack.packet_arrives(self.now, &packet[..len]);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Header> {
        self.transmits()
            .into_iter()
            .map(|(_, header)| header)
            .collect()
    }

    fn transmits(&mut self) -> Vec<(Transmit, Header)> {
        let mut sent = Vec::new();
        let mut packet = [0; 1600];
        while let Some(transmit) = self.stack.poll_transmit(self.now, &mut packet) {
            let segment = Segment::parse(&packet[..transmit.len], ChecksumPolicy::Strict).unwrap();
            sent.push((transmit, segment.header));
        }
        sent
    }

    fn signals(&mut self) -> Vec<Signal> {
        std::iter::from_fn(|| self.stack.poll_signal()).collect()
    }

    fn discards(&mut self) -> Vec<Discard> {
        let events = std::iter::from_fn(|| self.stack.poll_event());
        events
            .filter_map(|event| {
                if let What::Discarded(reason) = event.what {
                    Some(reason)
                } else {
                    None
                }
            })
            .collect()
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.stack.timeout(self.now);
    }

    /// A SYN from this port of the peer, and its SYN,ACK.
    fn syn(&mut self, port: u16) -> Option<Header> {
        let sent = self.say(from(port, Flags::SYN, 100, 0), &[]);
        sent.first().copied()
    }

    /// A whole handshake.
    fn enter(&mut self, port: u16) -> ConnId {
        let syn_ack = self.syn(port).unwrap();
        self.say(from(port, Flags::ACK, 101, syn_ack.seq.0 + 1), &[]);
        self.stack
            .lookup(FourTuple {
                local: local(),
                remote: (PEER, port).into(),
            })
            .unwrap()
    }

    fn state(&self, id: ConnId) -> Option<State> {
        self.stack.status(id).map(|status| status.state)
    }
}

fn local() -> SocketAddr {
    (US, SERVER).into()
}

fn peer() -> SocketAddr {
    (PEER, 9000).into()
}

fn from(port: u16, flags: Flags, seq: u32, ack: u32) -> Header {
    header((PEER, port).into(), local(), flags, seq, ack)
}

fn header(source: SocketAddr, destination: SocketAddr, flags: Flags, seq: u32, ack: u32) -> Header {
    let (seq, ack, window, options) = (Seq(seq), Seq(ack), 65_535, Options::default());
    Header {
        source,
        destination,
        seq,
        ack,
        flags,
        window,
        urgent: 0,
        options,
        ttl: 64,
        tos: 0,
        id: 1,
    }
}

fn small(config: ConnConfig) -> Config {
    Config {
        conn: config,
        ..Config::default()
    }
}

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
    (Flags::NONE, b"", Some((RST_ACK, 0, 100))),
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
        (Flags::NONE, None),
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
    assert_eq!(
        (
            bench.stack.counters().not_ours,
            bench.stack.counters().discarded
        ),
        (2, 2)
    );
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

#[test]
fn accept_gives_the_oldest_first_and_signals_once() {
    let mut bench = Bench::new(Config::default());
    let listener = bench.listen(5);
    assert_eq!(
        bench.stack.accept(bench.now, listener),
        Err(CallError::WouldBlock)
    );
    let (first, second) = (bench.enter(9000), bench.enter(9001));
    let acceptable = bench
        .signals()
        .into_iter()
        .filter(|signal| *signal == Signal::Acceptable(listener))
        .count();
    assert_eq!(acceptable, 1);
    assert_eq!(bench.stack.accept(bench.now, listener), Ok(first));
    assert_eq!(bench.stack.accept(bench.now, listener), Ok(second));
    assert_eq!(
        bench.stack.accept(bench.now, listener),
        Err(CallError::WouldBlock)
    );
}

#[test]
fn listen_twice_on_one_address_is_in_use() {
    let mut bench = Bench::new(Config::default());
    let listener = bench.listen(5);
    let config = ConnConfig::default();
    assert_eq!(
        bench.stack.listen(bench.now, local(), 5, &config),
        Err(CallError::InUse(State::Listen))
    );
    assert_eq!(
        bench
            .stack
            .listen(bench.now, (US, SERVER + 1).into(), 5, &config),
        Err(CallError::NotReserved)
    );
    bench.stack.close_listener(bench.now, listener);
    let again = bench.listen(5);
    assert_ne!(listener, again);
    assert_eq!(
        bench.stack.accept(bench.now, listener),
        Err(CallError::NoConnection)
    );
}

#[test]
fn close_listener_resets_whom_nobody_accepted() {
    let mut bench = Bench::new(Profile::Rfc9293.config());
    let listener = bench.listen(5);
    let accepted = bench.enter(9000);
    assert_eq!(bench.stack.accept(bench.now, listener), Ok(accepted));
    bench.enter(9001);
    bench.syn(9002);
    bench.stack.close_listener(bench.now, listener);
    let mut resets: Vec<_> = bench
        .drain()
        .into_iter()
        .filter(|got| got.flags.has(Flags::RST))
        .map(|got| got.destination.port())
        .collect();
    resets.sort_unstable();
    assert_eq!(resets, [9001, 9002]);
    assert_eq!(bench.stack.connections().collect::<Vec<_>>(), [accepted]);
}

#[test]
fn syn_received_rst_goes_back_to_listen_and_tells_nobody() {
    let mut bench = Bench::new(Config::default());
    bench.listen(1);
    bench.syn(9000);
    bench.say(from(9000, Flags::RST, 101, 0), &[]);
    assert_eq!(bench.signals(), []);
    assert_eq!(bench.stack.connections().count(), 0);
    // Its place in the backlog is free.
    assert!(bench.syn(9001).is_some());
    assert_eq!(bench.stack.counters().cookies_sent, 0);
}

#[test]
fn backlog_full_drops_a_syn_and_goes_on_when_there_is_room() {
    let mut bench = Bench::new(Config {
        overflow: Overflow::Drop,
        ..Config::default()
    });
    let listener = bench.listen(2);
    let first = bench.syn(9000).unwrap();
    assert!(bench.syn(9001).is_some());
    assert_eq!(bench.syn(9002), None);
    assert_eq!(bench.stack.counters().backlog_drops, 1);
    bench.say(from(9000, Flags::ACK, 101, first.seq.0 + 1), &[]);
    assert!(bench.syn(9002).is_some());
    assert!(bench.stack.accept(bench.now, listener).is_ok());
}

#[test]
fn accept_queue_full_neither_establishes_nor_takes_a_syn() {
    for overflow in [Overflow::Cookies, Overflow::Drop] {
        let mut bench = Bench::new(Config {
            overflow,
            ..Config::default()
        });
        let listener = bench.listen(2);
        let early = bench.syn(8999).unwrap();
        bench.enter(9000);
        bench.enter(9001);
        assert_eq!(bench.syn(9002), None, "{overflow:?}");
        bench.say(from(8999, Flags::ACK, 101, early.seq.0 + 1), &[]);
        let id = bench
            .stack
            .lookup(FourTuple {
                local: local(),
                remote: (PEER, 8999).into(),
            })
            .unwrap();
        assert_eq!(bench.state(id), Some(State::SynReceived));
        // Once there is room the ACK, sent again, does it.
        bench.stack.accept(bench.now, listener).unwrap();
        bench.say(from(8999, Flags::ACK, 101, early.seq.0 + 1), &[]);
        assert_eq!(bench.state(id), Some(State::Established));
    }
}

#[test]
fn without_a_backlog_bound_every_syn_gets_a_record_up_to_the_limit() {
    let mut bench = Bench::new(Config {
        overflow: Overflow::Unbounded,
        max_connections: 20,
        ..Config::default()
    });
    bench.listen(1);
    for port in 9000..9010 {
        let id = bench.enter(port);
        assert_eq!(bench.state(id), Some(State::Established));
    }
    assert!((9010..9020).all(|port| bench.syn(port).is_some()));
    bench.discards();
    assert_eq!(bench.syn(9020), None);
    assert_eq!(bench.discards(), [Discard::Limit]);
}

#[test]
fn syn_sent_linux_repeats_its_syn_once_at_a_wrong_ack_and_then_waits_for_its_timer() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(40_000, (PEER, 9000).into()).unwrap();
    let syn = bench.drain()[0];
    let wrong = header(
        (PEER, 9000).into(),
        (US, 40_000).into(),
        Flags::ACK,
        1,
        syn.seq.0.wrapping_add(9),
    );
    let flags = |sent: Vec<Header>| {
        sent.iter()
            .map(|got| (got.flags, got.seq))
            .collect::<Vec<_>>()
    };
    let reset = (Flags::RST, wrong.ack);
    assert_eq!(flags(bench.say(wrong, &[])), [reset, (Flags::SYN, syn.seq)]);
    assert_eq!(flags(bench.say(wrong, &[])), [reset]);
    let status = bench.stack.status(id).unwrap();
    assert_eq!(
        (status.retransmissions, status.deadline),
        (1, Some(bench.now + Duration::from_secs(1)))
    );
}

/// A full backlog of one, and a SYN with this MSS that got a cookie.
fn with_cookie(config: Config, mss: Option<u16>) -> (Bench, ListenerId, Header) {
    let mut bench = Bench::new(config);
    let listener = bench.listen(1);
    bench.syn(9000).unwrap();
    let mut syn = from(9001, Flags::SYN, 100, 0);
    syn.options.mss = mss;
    let cookie = bench.say(syn, &[])[0];
    (bench, listener, cookie)
}

#[test]
fn backlog_full_cookie_comes_back_as_a_connection_with_its_mss() {
    for (offered, kept) in [
        (Some(1460), 1460),
        (Some(1400), 1360),
        (None, 536),
        (Some(100), 48),
        (Some(65_535), 1460),
    ] {
        let (mut bench, listener, cookie) = with_cookie(Config::default(), offered);
        assert_eq!(
            (cookie.flags, cookie.ack, cookie.options.mss),
            (SYN_ACK, Seq(101), Some(1460))
        );
        assert_eq!(bench.stack.connections().count(), 1);
        bench.say(
            from(9001, Flags::ACK, 101, cookie.seq.0.wrapping_add(1)),
            b"text",
        );
        let id = bench.stack.accept(bench.now, listener).unwrap();
        let status = bench.stack.status(id).unwrap();
        assert_eq!(
            (status.state, status.mss, status.iss, status.unread),
            (State::Established, kept, cookie.seq, 4)
        );
        assert_eq!(
            (
                bench.stack.counters().cookies_sent,
                bench.stack.counters().cookies_accepted
            ),
            (1, 1)
        );
    }
}

/// As Linux does it, before the cookie rounds it down.
#[test]
fn cookie_keeps_the_own_limit_of_what_is_sent() {
    for (profile, own, offered, kept) in [
        (Profile::Linux, 1300, Some(1460), 1220),
        (Profile::Linux, 300, Some(1460), 256),
        (Profile::Linux, 1300, Some(600), 536),
        (Profile::Linux, 300, None, 536),
        (Profile::Rfc9293, 300, Some(1460), 1460),
    ] {
        let mut config = profile.config();
        config.conn.mss = Some(own);
        let (mut bench, listener, cookie) = with_cookie(config, offered);
        assert_eq!(cookie.options.mss, Some(own));
        bench.say(
            from(9001, Flags::ACK, 101, cookie.seq.0.wrapping_add(1)),
            &[],
        );
        let id = bench.stack.accept(bench.now, listener).unwrap();
        assert_eq!(
            bench.stack.status(id).unwrap().mss,
            kept,
            "{profile:?} {own} {offered:?}"
        );
    }
}

#[test]
fn cookie_keeps_window_scale_and_sack_in_the_timestamp_and_without_one_loses_them() {
    let stamps = Timestamps { value: 5, echo: 0 };
    let all = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(stamps),
        ..Options::default()
    };
    let bare = Options {
        mss: Some(1460),
        ..Options::default()
    };
    for (offered, kept) in [
        (all, true),
        (
            Options {
                timestamps: None,
                ..all
            },
            false,
        ),
        (
            Options {
                window_scale: None,
                ..all
            },
            true,
        ),
        (
            Options {
                sack_permitted: false,
                ..all
            },
            true,
        ),
    ] {
        let (mut bench, listener, _) = with_cookie(Config::default(), None);
        let mut syn = from(9002, Flags::SYN, 100, 0);
        syn.options = offered;
        let cookie = bench.say(syn, &[])[0];
        let answered = Options {
            window_scale: offered.window_scale.map(|_| 3),
            timestamps: cookie.options.timestamps,
            ..offered
        };
        assert_eq!(cookie.options, if kept { answered } else { bare });
        assert_eq!(
            cookie.options.timestamps.map(|stamps| stamps.echo),
            kept.then_some(5)
        );
        let mut ack = from(9002, Flags::ACK, 101, cookie.seq.0.wrapping_add(1));
        ack.window = 100;
        ack.options.timestamps = cookie.options.timestamps.map(|ours| Timestamps {
            value: 6,
            echo: ours.value,
        });
        bench.say(ack, &[]);
        let id = bench.stack.accept(bench.now, listener).unwrap();
        let status = bench.stack.status(id).unwrap();
        let scaled = kept && offered.window_scale.is_some();
        assert_eq!(status.snd_wnd, if scaled { 100 << 7 } else { 100 });
        let sent = bench.stack.send(bench.now, id, b"text").unwrap();
        assert_eq!(
            (sent, bench.drain()[0].options.timestamps.is_some()),
            (4, kept)
        );
    }
}

#[test]
fn cookie_that_is_wrong_or_old_gets_the_rst_of_any_ack() {
    let (mut bench, _, cookie) = with_cookie(Config::default(), None);
    let ack = cookie.seq.0.wrapping_add(1);
    let replies = |sent: Vec<Header>| {
        sent.iter()
            .map(|got| (got.flags, got.seq))
            .collect::<Vec<_>>()
    };
    let wrong = ack.wrapping_add(1);
    assert_eq!(
        replies(bench.say(from(9001, Flags::ACK, 101, wrong), &[])),
        [(Flags::RST, Seq(wrong))]
    );
    assert_eq!(
        replies(bench.say(from(9002, Flags::ACK, 101, ack), &[])),
        [(Flags::RST, Seq(ack))]
    );
    assert_eq!(
        replies(bench.say(from(9001, Flags::ACK, 102, ack), &[])),
        [(Flags::RST, Seq(ack))]
    );
    // Neither is it right when the clock of the cookies has come around.
    for minutes in [3, 31, 60 * 24] {
        bench.now = bench.now + Duration::from_secs(60 * minutes);
        for port in 9100..9140 {
            bench.syn(port);
        }
        assert_eq!(
            replies(bench.say(from(9001, Flags::ACK, 101, ack), &[])),
            [(Flags::RST, Seq(ack))],
            "{minutes} min"
        );
    }
    assert_eq!(bench.stack.counters().cookies_accepted, 0);
}

#[test]
fn cookie_is_not_looked_for_when_none_was_sent() {
    let (mut bench, _, cookie) = with_cookie(Config::default(), None);
    let mut quiet = Bench::new(Config::default());
    quiet.listen(1);
    let ack = from(9001, Flags::ACK, 101, cookie.seq.0.wrapping_add(1));
    assert_eq!(quiet.say(ack, &[])[0].flags, Flags::RST);
    assert!(bench.say(ack, &[]).is_empty());
}

#[test]
fn cookie_for_ipv6_offers_the_mss_of_ipv6() {
    let (us, peer): (SocketAddr, SocketAddr) = (
        "[fd00::1]:7000".parse().unwrap(),
        "[fd00::2]:9000".parse().unwrap(),
    );
    let mut bench = Bench::new(Config::default());
    bench.stack.reserve(us.ip(), 7000..=7000);
    bench
        .stack
        .listen(bench.now, us, 1, &ConnConfig::default())
        .unwrap();
    let first = bench.say(header(peer, us, Flags::SYN, 1, 0), &[])[0];
    let second = bench.say(
        header(SocketAddr::new(peer.ip(), 9001), us, Flags::SYN, 1, 0),
        &[],
    )[0];
    assert_eq!(bench.stack.counters().cookies_sent, 1);
    assert_eq!(
        (first.options.mss, second.options.mss),
        (Some(1440), Some(1440))
    );
}

#[test]
fn isn_of_the_same_four_tuple_grows_with_the_clock() {
    let mut bench = Bench::new(Config::default());
    let mut iss = || {
        let id = bench.connect(40_000, peer()).unwrap();
        let iss = bench.stack.status(id).unwrap().iss;
        bench.stack.abort(bench.now, id).unwrap();
        bench.drain();
        bench.now = bench.now + Duration::from_millis(4);
        iss
    };
    let (first, second) = (iss(), iss());
    assert_eq!(second, first + 1000);
}

#[test]
fn isn_of_another_four_tuple_or_seed_lies_elsewhere_unless_fixed() {
    let iss = |isn, seed, port| {
        let mut stack = Stack::new(Config::default(), seed);
        stack.reserve(US, CLIENTS);
        let config = ConnConfig {
            isn,
            ..ConnConfig::default()
        };
        let id = stack
            .connect(
                Instant(8_000),
                FourTuple {
                    local: (US, port).into(),
                    remote: peer(),
                },
                &config,
            )
            .unwrap();
        stack.status(id).unwrap().iss
    };
    assert_ne!(iss(Isn::Rfc6528, 1, 40_000), iss(Isn::Rfc6528, 1, 40_001));
    assert_ne!(iss(Isn::Rfc6528, 1, 40_000), iss(Isn::Rfc6528, 2, 40_000));
    assert_eq!(iss(Isn::Clock, 1, 40_000), Seq(2));
    assert_eq!(iss(Isn::Fixed(Seq(5)), 1, 40_000), Seq(5));
}

#[test]
fn connect_picks_each_reserved_port_once_in_another_order_for_each_seed() {
    let order = |seed| {
        let mut stack = Stack::new(Config::default(), seed);
        stack.reserve(US, CLIENTS);
        let mut connect = || {
            stack.connect(
                Instant::ZERO,
                FourTuple {
                    local: (US, 0).into(),
                    remote: peer(),
                },
                &ConnConfig::default(),
            )
        };
        let ids: Vec<_> = CLIENTS.map(|_| connect().unwrap()).collect();
        assert_eq!(connect(), Err(CallError::PortsExhausted));
        // Towards another peer they are all free.
        assert!(
            stack
                .connect(
                    Instant::ZERO,
                    FourTuple {
                        local: (US, 0).into(),
                        remote: (PEER, 80).into()
                    },
                    &ConnConfig::default()
                )
                .is_ok()
        );
        ids.iter()
            .map(|id| stack.status(*id).unwrap().local.port())
            .collect::<Vec<_>>()
    };
    let orders: HashSet<_> = (0..20).map(order).collect();
    assert!(orders.len() > 1);
    assert!(
        orders
            .iter()
            .all(|order| order.iter().collect::<HashSet<_>>().len() == 10)
    );
}

#[test]
fn connect_finds_the_last_free_port_of_all_without_delay() {
    let mut bench = Bench::new(Config::default());
    bench.stack.reserve(PEER, 1..=u16::MAX);
    bench
        .stack
        .listen(bench.now, (PEER, 1).into(), 1, &ConnConfig::default())
        .unwrap();
    let mut ports = HashSet::new();
    for _ in 0..2000 {
        let id = bench
            .stack
            .connect(
                bench.now,
                FourTuple {
                    local: (PEER, 0).into(),
                    remote: local(),
                },
                &ConnConfig::default(),
            )
            .unwrap();
        ports.insert(bench.stack.status(id).unwrap().local.port());
    }
    assert_eq!((ports.len(), ports.contains(&1)), (2000, false));
}

#[test]
fn connect_to_what_is_no_host_is_refused() {
    let mut bench = Bench::new(Config::default());
    for remote in [
        "0.0.0.0:80",
        "255.255.255.255:80",
        "224.0.0.1:80",
        "10.0.0.2:0",
        "[::1]:80",
    ] {
        assert_eq!(
            bench.connect(40_000, remote.parse().unwrap()),
            Err(CallError::BadRemote),
            "{remote}"
        );
    }
    assert_eq!(bench.connect(50_000, peer()), Err(CallError::NotReserved));
    let elsewhere = (Ipv4Addr::new(10, 0, 0, 9), 0).into();
    assert_eq!(
        bench.stack.connect(
            bench.now,
            FourTuple {
                local: elsewhere,
                remote: peer()
            },
            &ConnConfig::default()
        ),
        Err(CallError::NotReserved)
    );
}

/// An active connection that closed first and is in TIME-WAIT.
fn time_wait(bench: &mut Bench) -> ConnId {
    let id = bench.connect(40_000, peer()).unwrap();
    let syn = bench.drain()[0];
    let reply = |flags, seq, ack: Seq| header(peer(), syn.source, flags, seq, ack.0);
    bench.say(reply(SYN_ACK, 200, syn.seq + 1), &[]);
    bench.stack.shutdown(bench.now, id).unwrap();
    bench.drain();
    bench.say(reply(FIN_ACK, 201, syn.seq + 2), &[]);
    assert_eq!(bench.state(id), Some(State::TimeWait));
    id
}

#[test]
fn time_wait_keeps_its_four_tuple_until_2_msl_are_over() {
    let mut bench = Bench::new(Config::default());
    let id = time_wait(&mut bench);
    assert_eq!(
        bench.connect(40_000, peer()),
        Err(CallError::InUse(State::TimeWait))
    );
    bench.wait(Duration::from_secs(60));
    // CLOSED, and known until the application lets go; its four-tuple is free.
    assert_eq!(bench.state(id), Some(State::Closed));
    assert_eq!(
        bench.stack.lookup(FourTuple {
            local: (US, 40_000).into(),
            remote: peer()
        }),
        None
    );
    let next = bench.connect(40_000, peer()).unwrap();
    bench.stack.close(bench.now, id).unwrap();
    assert_eq!(
        (bench.state(id), bench.state(next)),
        (None, Some(State::SynSent))
    );
}

#[test]
fn time_wait_of_a_released_connection_is_forgotten_after_2_msl() {
    let mut bench = Bench::new(Config::default());
    let id = time_wait(&mut bench);
    bench.stack.close(bench.now, id).unwrap();
    bench.signals();
    assert_eq!(bench.state(id), Some(State::TimeWait));
    bench.wait(Duration::from_secs(60));
    assert_eq!(bench.state(id), None);
    assert!(
        bench
            .signals()
            .contains(&Signal::Closed(id, CloseReason::Clean))
    );
}

/// A listener with a connection in TIME-WAIT towards port 9000 of the peer.
fn passive_time_wait(bench: &mut Bench, listener: ListenerId) -> ConnId {
    let id = bench.enter(9000);
    assert_eq!(bench.stack.accept(bench.now, listener), Ok(id));
    let nxt = bench.stack.status(id).unwrap().snd_nxt;
    bench.stack.close(bench.now, id).unwrap();
    bench.drain();
    bench.say(from(9000, FIN_ACK, 101, nxt.0 + 1), &[]);
    assert_eq!(bench.state(id), Some(State::TimeWait));
    id
}

#[test]
fn time_wait_new_syn_opens_the_next_incarnation_beyond_the_old_one_even_past_the_backlog() {
    let mut bench = Bench::new(Config::default());
    let listener = bench.listen(1);
    let old = passive_time_wait(&mut bench, listener);
    let last = bench.stack.status(old).unwrap().snd_nxt;
    bench.syn(9001);
    let answer = bench.say(from(9000, Flags::SYN, 500_000, 0), &[]);
    assert_eq!((answer.len(), answer[0].flags), (1, SYN_ACK));
    assert!(answer[0].seq.gt(last));
    let new = bench
        .stack
        .lookup(FourTuple {
            local: local(),
            remote: peer(),
        })
        .unwrap();
    assert_eq!(
        (bench.state(old), bench.state(new)),
        (None, Some(State::SynReceived))
    );
    assert_eq!(bench.stack.status(new).unwrap().iss, answer[0].seq);
}

#[test]
fn time_wait_new_syn_does_not_end_it_when_nobody_could_take_the_connection() {
    let mut bench = Bench::new(Config::default());
    let listener = bench.listen(1);
    let old = passive_time_wait(&mut bench, listener);
    bench.enter(9001);
    bench.say(from(9000, Flags::SYN, 500_000, 0), &[]);
    assert_eq!(bench.state(old), Some(State::TimeWait));
}

#[test]
fn ids_are_never_given_again() {
    let mut bench = Bench::new(Config::default());
    let mut ids = HashSet::new();
    for _ in 0..100 {
        let id = bench.connect(40_000, peer()).unwrap();
        assert!(ids.insert(id.number()));
        bench.stack.abort(bench.now, id).unwrap();
        assert_eq!(
            bench.stack.send(bench.now, id, b"x"),
            Err(CallError::NoConnection)
        );
        assert_eq!(bench.stack.status(id), None);
    }
}

#[test]
fn limits_of_connections_and_memory_refuse_a_connect() {
    let mut bench = Bench::new(Config {
        max_connections: 2,
        ..Config::default()
    });
    bench.connect(0, peer()).unwrap();
    let second = bench.connect(0, peer()).unwrap();
    assert_eq!(bench.connect(0, peer()), Err(CallError::Limit));
    bench.stack.abort(bench.now, second).unwrap();
    assert!(bench.connect(0, peer()).is_ok());

    let mut bench = Bench::new(Config {
        max_memory: 10_000,
        ..Config::default()
    });
    bench.listen(5);
    let id = bench.enter(9000);
    let room =
        std::iter::from_fn(|| bench.stack.send(bench.now, id, &[0; 1000]).ok()).sum::<usize>();
    assert!((1..=20_000).contains(&room), "{room}");
    assert_eq!(bench.connect(0, peer()), Err(CallError::Limit));
    bench.stack.abort(bench.now, id).unwrap();
    assert!(bench.connect(0, peer()).is_ok());
}

#[test]
fn deadline_is_never_late_and_early_calls_do_nothing() {
    let mut bench = Bench::new(Config::default());
    let id = bench.connect(40_000, peer()).unwrap();
    bench.drain();
    let due = bench.stack.status(id).unwrap().deadline.unwrap();
    assert_eq!(bench.stack.deadline(), Some(due));
    bench.now = Instant(due.0 - 1);
    bench.stack.timeout(bench.now);
    assert_eq!(bench.drain(), []);
    bench.now = due;
    bench.stack.timeout(bench.now);
    assert_eq!(bench.drain().len(), 1);
    // The SYN,ACK stops the timer: what is left in the heap fires for nothing, once.
    bench.say(
        header(
            peer(),
            (US, 40_000).into(),
            SYN_ACK,
            200,
            bench.stack.status(id).unwrap().snd_nxt.0,
        ),
        &[],
    );
    while let Some(next) = bench.stack.deadline() {
        bench.now = bench.now.max(next);
        bench.stack.timeout(bench.now);
        assert_eq!(bench.drain(), []);
    }
}

#[test]
fn timers_without_an_interval_do_not_stop_the_world() {
    let keepalive = KeepAlive {
        idle: Duration::ZERO,
        interval: Duration::ZERO,
        probes: 9,
    };
    let mut bench = Bench::new(small(ConnConfig {
        keepalive: Some(keepalive),
        ..ConnConfig::default()
    }));
    bench.listen(5);
    let id = bench.enter(9000);
    bench.stack.send(bench.now, id, b"text").unwrap();
    bench.drain();
    bench.stack.timeout(bench.now);
    assert_eq!(bench.state(id), Some(State::Established));
}

#[test]
fn transmits_name_the_packet_that_provoked_them_and_an_identification() {
    let mut bench = Bench::new(Config::default());
    bench.listen(5);
    for port in 9000..9003 {
        let mut packet = [0; 100];
        let len = from(port, Flags::SYN, 1, 0)
            .emit((&[], &[]), &mut packet)
            .unwrap();
        bench.stack.packet_arrives(bench.now, &packet[..len]);
        let sent = bench.transmits();
        assert_eq!(
            sent.iter()
                .map(|(transmit, _)| transmit.packet)
                .collect::<Vec<_>>(),
            [Some(u64::from(port - 8999))]
        );
        assert!(sent[0].1.id != 0);
    }
    let id = bench.connect(40_000, peer()).unwrap();
    let sent = bench.transmits();
    assert_eq!((sent[0].0.conn, sent[0].0.packet), (Some(id), None));
}

#[test]
fn identifications_never_repeat_within_a_round_nor_are_zero() {
    let mut bench = Bench::new(Config::default());
    let ids: Vec<u16> = (0..65_535)
        .map(|_| bench.say(from(9000, Flags::SYN, 1, 0), &[])[0].id)
        .collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 65_535);
    assert!(!ids.contains(&0));
}

#[test]
fn a_buffer_too_short_loses_the_answer_and_is_counted() {
    let mut bench = Bench::new(Config::default());
    let mut packet = [0; 100];
    for port in [9000, 9001] {
        let len = from(port, Flags::SYN, 1, 0)
            .emit((&[], &[]), &mut packet)
            .unwrap();
        bench.stack.packet_arrives(bench.now, &packet[..len]);
    }
    assert_eq!(bench.stack.poll_transmit(bench.now, &mut [0; 10]), None);
    assert_eq!(bench.stack.counters().transmit_failures, 2);
}

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
    // A stranger comes and goes: only counters, the record and the next identification know.
    bench.say(from(9000, Flags::ACK, 1, 1), &[]);
    assert!(before == bench.stack && hash(&before) == hash(&bench.stack));
    bench.syn(9000);
    assert!(before != bench.stack);
}

fn any_segment() -> impl Strategy<Value = Vec<u8>> {
    let port = prop_oneof![Just(SERVER), Just(40_000), Just(22), any::<u16>()];
    let text = prop::collection::vec(any::<u8>(), 0..64);
    let ours = prop_oneof![4 => Just(US), 1 => any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into())];
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
        packets in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            any_segment(),
            (any_segment(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut packet, at, value)| {
                let at = at.index(packet.len());
                packet[at] = value;
                packet
            }),
        ], 0..40),
        seed: u64,
        cookies: bool,
    ) {
        let overflow = if cookies { Overflow::Cookies } else { Overflow::Unbounded };
        let config = Config { checksum: ChecksumPolicy::Ignore, overflow, max_connections: 3, ..Profile::Rfc9293.config() };
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
                prop_assert!(header.source.ip() == US && [SERVER, 40_000].contains(&header.source.port()));
            }
            prop_assert!(bench.stack.connections().count() <= 3);
            bench.wait(Duration::from_millis(300));
            bench.drain();
            bench.signals();
        }
    }
}
