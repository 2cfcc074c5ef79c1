//! SYN cookies.

use super::*;

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

/// Proves 4987-3, 4987-5.
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
        assert_eq!(cookie.flags, SYN_ACK);
        assert_eq!(cookie.ack, Seq(101));
        assert_eq!(cookie.options.mss, Some(1460));
        assert_eq!(bench.stack.connections().count(), 1);
        bench.say(
            from(9001, Flags::ACK, 101, cookie.seq.0.wrapping_add(1)),
            b"text",
        );
        let id = bench.stack.accept(bench.now, listener).unwrap();
        let status = bench.stack.status(id).unwrap();
        assert_eq!(status.state, State::Established);
        assert_eq!(status.mss, kept);
        assert_eq!(status.iss, cookie.seq);
        assert_eq!(status.unread, 4);
        assert_eq!(bench.stack.counters().cookies_sent, 1);
        assert_eq!(bench.stack.counters().cookies_accepted, 1);
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
        assert_eq!(sent, 4);
        assert_eq!(bench.drain()[0].options.timestamps.is_some(), kept);
    }
}

/// Proves 4987-3.
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
    let us: SocketAddr = "[fd00::1]:7000".parse().unwrap();
    let peer: SocketAddr = "[fd00::2]:9000".parse().unwrap();
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
    assert_eq!(first.options.mss, Some(1440));
    assert_eq!(second.options.mss, Some(1440));
}
