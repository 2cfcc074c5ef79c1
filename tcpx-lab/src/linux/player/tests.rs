//! Two players in two namespaces, and what they tell.

use super::*;
use crate::linux::capture::Capture;
use crate::linux::segments::captured;
use crate::pair::plain_pair;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;
use tcpx::netns::{A, B};
use tcpx_experiment::trace::{Body, Direction, Entry, Log};
use tcpx_proto::config::{ConnConfig, KeepAlive};
use tcpx_proto::script::AppAction;
use tcpx_proto::state::State;
use tcpx_proto::trace::Role;
use tcpx_proto::trace::escape;
use tcpx_proto::wire::{ChecksumPolicy, Segment};

/// A record in memory.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<Vec<u8>>>);

impl Write for Pages {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pages {
    fn log(&self) -> Log {
        Log::parse(std::str::from_utf8(&self.0.lock().unwrap()).unwrap()).unwrap()
    }

    /// Waits for a step to begin.
    fn await_step(&self, step: &str) {
        let began = |entry: &Entry| match &entry.body {
            Body::App(AppAction::Began(text)) => text.starts_with(step),
            _ => false,
        };
        while !self.0.lock().unwrap().ends_with(b"\n") || !self.log().entries.iter().any(began) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

type Outcome = Result<(), StepError>;

/// A player on a thread of its own inside a namespace.
fn start(inside: Namespace, config: PlayerConfig, script: &str) -> (Pages, JoinHandle<Outcome>) {
    let pages = Pages::default();
    let script = Script::parse(script).unwrap();
    let own = pages.clone();
    let play = move || {
        inside.run(|| {
            let record = Record::start(Role::Server, own)?;
            Ok(Player::new(config, script, record).unwrap().run())
        })
    };
    (pages, thread::spawn(move || play().unwrap()))
}

/// What both did, and how it ended: the script at A connects to the one at B.
fn between(at_a: &str, at_b: &str) -> Option<[(Log, Outcome); 2]> {
    let (a, b) = plain_pair()?;
    let server = start(
        b,
        PlayerConfig {
            own: (B, 7).into(),
            peer: None,
            options: SocketOptions::default(),
        },
        at_b,
    );
    server.0.await_step("accept");
    let client = start(
        a,
        PlayerConfig {
            own: (A, 0).into(),
            peer: Some((B, 7).into()),
            options: SocketOptions::default(),
        },
        at_a,
    );
    Some([client, server].map(|(pages, player)| {
        let outcome = player.join().unwrap();
        (pages.log(), outcome)
    }))
}

/// What an application told, without the steps that it came to.
fn deeds(log: &Log) -> Vec<String> {
    let deed = |entry: &Entry| match &entry.body {
        Body::App(AppAction::Sent(bytes)) => Some(format!("sent {}", escape(bytes))),
        Body::App(AppAction::Received(bytes)) => Some(format!("received {}", escape(bytes))),
        Body::App(AppAction::Failed(why)) => Some(format!("failed {why}")),
        _ => None,
    };
    log.entries.iter().filter_map(deed).collect()
}

#[test]
fn scripts_of_both_ends_talk_and_close() {
    let [(client, sent), (server, echoed)] = match between(
        "connect from 40000\nexpect ESTABLISHED\nsend \"hello\\n\"\nreceive until \"\\n\"\n\
         shutdown\nreceive to end\nclose\nexpect TIME-WAIT",
        "listen backlog 4\naccept as one\nexpect \"hello\\n\"\nsend \"hi\\n\"\none: receive to end\n\
         close\nexpect closed clean\nstop listening",
    ) {
        Some(both) => both,
        None => return,
    };
    assert_eq!((sent, echoed), (Ok(()), Ok(())), "{client:#?} {server:#?}");
    assert_eq!(
        deeds(&client),
        ["sent hello\\n", "received h", "received i", "received \\n"]
    );
    assert_eq!(deeds(&server).concat(), "received hello\\nsent hi\\n");
    let opened: Vec<_> = client
        .entries
        .iter()
        .filter(|entry| matches!(entry.body, Body::Opened { .. }))
        .collect();
    let [
        Entry {
            conn: Some(1),
            body:
                Body::Opened {
                    local,
                    remote,
                    passive: false,
                },
            ..
        },
    ] = opened[..]
    else {
        panic!("{opened:?}")
    };
    assert_eq!((*local, *remote), ((A, 40_000).into(), (B, 7).into()));
    let states = |log: &Log| {
        let to = |entry: &Entry| {
            if let Body::State { to, .. } = &entry.body {
                Some(*to)
            } else {
                None
            }
        };
        log.entries.iter().filter_map(to).collect::<Vec<_>>()
    };
    assert!(
        states(&client).ends_with(&[State::TimeWait]),
        "{:?}",
        states(&client)
    );
    assert!(
        states(&server).ends_with(&[State::Closed]),
        "{:?}",
        states(&server)
    );
}

#[test]
fn abort_ends_a_step_of_the_other_end_with_its_reason() {
    let both = between(
        "connect\nreceive 1\nabort\nexpect closed aborted",
        "listen\naccept\nsend \"x\"\nreceive to end\nsend \"never\"\n\
         expect closed reset\nsleep 1ms",
    );
    let Some([(client, aborted), (server, reset)]) = both else {
        return;
    };
    assert_eq!(
        (aborted, reset),
        (Ok(()), Ok(())),
        "{client:#?} {server:#?}"
    );
    // The script goes on where that end is expected.
    assert_eq!(
        deeds(&server),
        ["sent x", "failed the connection ended: reset"]
    );
}

#[test]
fn open_does_not_wait_and_the_next_step_does() {
    let both = between(
        "open\nreceive 5\nsend \"b\"\nclose",
        "listen\naccept\nsleep 50ms\nsend \"hello\"\nreceive to end\nclose",
    );
    let Some([(client, opened), (server, accepted)]) = both else {
        return;
    };
    assert_eq!(
        (opened, accepted),
        (Ok(()), Ok(())),
        "{client:#?} {server:#?}"
    );
    assert_eq!(deeds(&client).concat(), "received hellosent b");
}

#[test]
fn connect_that_is_refused_is_tried_as_often_as_the_script_says() {
    let Some((a, _b)) = plain_pair() else { return };
    let config = PlayerConfig {
        own: (A, 0).into(),
        peer: Some((B, 7).into()),
        options: SocketOptions::default(),
    };
    let (pages, player) = start(a, config, "connect tries 3\nexpect closed reset");
    assert!(player.join().unwrap().is_err(), "it was refused, not reset");
    assert_eq!(
        deeds(&pages.log()),
        ["failed the connection ended: refused"; 3]
    );
}

#[test]
fn wishes_end_a_connection_whose_peer_is_gone() {
    let keepalive = KeepAlive {
        idle: Duration::ZERO,
        interval: Duration::from_secs(1),
        probes: 1,
    };
    for (options, speaks, end) in [
        (
            SocketOptions {
                keepalive: Some(keepalive),
                ..SocketOptions::default()
            },
            "",
            "keepalive-timeout",
        ),
        (
            SocketOptions {
                user_timeout: Some(Duration::from_millis(500)),
                ..SocketOptions::default()
            },
            "send \"x\"\n",
            "retransmission-timeout",
        ),
    ] {
        let Some((a, b)) = plain_pair() else { return };
        let server = PlayerConfig {
            own: (B, 7).into(),
            peer: None,
            options: SocketOptions::default(),
        };
        let (pages, server) = start(b, server, "listen\naccept\ngo silent");
        pages.await_step("accept");
        let client = PlayerConfig {
            own: (A, 0).into(),
            peer: Some((B, 7).into()),
            options,
        };
        let script =
            format!("connect\nsleep 200ms\n{speaks}receive to end\nexpect closed {end}\nsleep 1ms");
        let (pages, client) = start(a, client, &script);
        assert_eq!(client.join().unwrap(), Ok(()), "{:#?}", pages.log());
        assert_eq!(server.join().unwrap(), Ok(()));
    }
}

#[test]
fn restart_says_nothing_and_the_old_connection_is_answered_with_a_reset() {
    let both = between(
        "connect\nsend \"a\"\nreceive 1\nsleep 300ms\nsend \"b\"\nreceive to end\n\
         expect closed reset",
        "listen\naccept\nreceive 1\nsend \"y\"\nsleep 50ms\nrestart\nlisten\nsleep 600ms",
    );
    let Some([(client, reset), (server, restarted)]) = both else {
        return;
    };
    assert_eq!(
        (reset, restarted),
        (Ok(()), Ok(())),
        "{client:#?} {server:#?}"
    );
    // Until it sent something the client knew nothing.
    assert_eq!(
        deeds(&client),
        [
            "sent a",
            "received y",
            "sent b",
            "failed the connection ended: reset"
        ]
    );
    let gone = server
        .entries
        .iter()
        .find(|entry| matches!(entry.body, Body::Closed { .. }))
        .unwrap()
        .t;
    let restart = |entry: &&Entry| match &entry.body {
        Body::App(AppAction::Began(text)) => text == "restart",
        _ => false,
    };
    assert!(gone > server.entries.iter().find(restart).unwrap().t);
}

#[test]
fn host_gone_silent_is_not_heard() {
    let Some((a, b)) = plain_pair() else { return };
    let capture = Capture::start(&a).unwrap();
    let config = PlayerConfig {
        own: (B, 7).into(),
        peer: None,
        options: SocketOptions::default(),
    };
    let (server, silent) = start(
        b,
        config,
        "listen\naccept\nreceive 1\ngo silent\nsend \"lost\"\nsleep 400ms",
    );
    server.await_step("accept");
    let config = PlayerConfig {
        own: (A, 0).into(),
        peer: Some((B, 7).into()),
        options: SocketOptions::default(),
    };
    let (_, client) = start(
        a,
        config,
        "connect\nsend \"a\"\nsleep 300ms\nsend \"b\"\nsleep 10ms\nabort",
    );
    assert_eq!(
        (client.join().unwrap(), silent.join().unwrap()),
        (Ok(()), Ok(()))
    );
    let seen = captured(&capture.stop().unwrap(), A);
    let heard: u32 = seen
        .iter()
        .filter(|seen| seen.segment.dir == Direction::In)
        .map(|seen| seen.segment.len)
        .sum();
    assert_eq!(heard, 0, "{seen:#?}");
    assert_eq!(
        deeds(&server.log()),
        ["received a", "sent lost"],
        "it was not deaf"
    );
}

#[test]
fn wishes_of_a_listener_are_those_of_what_it_accepts() {
    let keepalive = KeepAlive {
        idle: Duration::from_secs(3),
        interval: Duration::from_millis(1),
        probes: 4,
    };
    let config = ConnConfig {
        keepalive: Some(keepalive),
        user_timeout: Some(Duration::from_secs(9)),
        no_delay: true,
        ..ConnConfig::default()
    };
    let options = SocketOptions::of(&config);
    let listener = socket((Ipv4Addr::LOCALHOST, 0).into(), options).unwrap();
    listener.listen(1).unwrap();
    let client = socket((Ipv4Addr::UNSPECIFIED, 0).into(), SocketOptions::default()).unwrap();
    client.connect(&listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let asked = |socket: &Socket| {
        let seconds = [socket.tcp_keepalive_time(), socket.tcp_keepalive_interval()]
            .map(|time| time.unwrap().as_secs());
        (
            socket.keepalive().unwrap(),
            seconds,
            socket.tcp_keepalive_retries().unwrap(),
            socket.tcp_user_timeout().unwrap(),
            socket.tcp_nodelay().unwrap(),
        )
    };
    assert_eq!(
        asked(&accepted),
        (true, [3, 1], 4, Some(Duration::from_secs(9)), true)
    );
    assert!(!asked(&client).0 && !asked(&client).4);
}

#[test]
fn options_of_a_script_are_those_of_the_sockets_and_peek_leaves_what_it_saw() {
    let Some((a, b)) = plain_pair() else { return };
    let config = |own: SocketAddr, peer| PlayerConfig {
        own,
        peer,
        options: SocketOptions::default(),
    };
    let server = config((B, 7).into(), None);
    let script = "listen\nset listener tos 0x28\naccept\npeek \"hello\"\nreceive 5\nset ttl 9\n\
                  set linger2 0s\nsend \"hi\"\nreceive to end\nclose";
    let (server_pages, server) = start(b, server, script);
    server_pages.await_step("accept");
    let script = "connect\nset no-delay on\nset keepalive 10s 1s 3\nset keepalive off\n\
                  set user-timeout 9s\nsend \"hello\"\nexpect \"hi\"\nshutdown\nreceive to end";
    let client = config((A, 0).into(), Some((B, 7).into()));
    let capture = Capture::start(&a).unwrap();
    let (_pages, client) = start(a, client, script);
    assert_eq!(client.join().unwrap(), Ok(()));
    assert_eq!(server.join().unwrap(), Ok(()));
    let packets = capture.stop().unwrap();
    let seen: Vec<(u8, u8)> = packets
        .iter()
        .filter_map(|packet| Segment::parse(&packet.bytes, ChecksumPolicy::Partial).ok())
        .filter(|segment| segment.header.source.port() == 7 && !segment.payload.is_empty())
        .map(|segment| (segment.header.tos, segment.header.ttl))
        .collect();
    assert_eq!(seen, [(0x28, 9)]);
}
