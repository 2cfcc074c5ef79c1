//! The logs of real connections of the kernel in two namespaces.

use super::*;
use crate::linux::capture::Capture;
use crate::linux::now;
use crate::linux::sockets::Watch;
use crate::pair::plain_pair;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;
use tcpx::netns::{A, B, Namespace};
use tcpx_experiment::trace::pair;
use tcpx_proto::error::CloseKind;
use tcpx_proto::state::State;

/// Both ends under watch.
struct Lab {
    ends: [(Namespace, Ipv4Addr, Capture, Watch); 2],
    began: f64,
}

impl Lab {
    /// With a look every `every` milliseconds.
    fn new(every: u64) -> Option<Lab> {
        let (a, b) = plain_pair()?;
        let end = |inside: Namespace, own| {
            let capture = Capture::start(&inside).unwrap();
            let watch = Watch::start(&inside, Duration::from_millis(every)).unwrap();
            (inside, own, capture, watch)
        };
        Some(Lab {
            ends: [end(a, A), end(b, B)],
            began: now(),
        })
    }

    fn listener(&self) -> TcpListener {
        self.ends[1].0.run(|| TcpListener::bind((B, 7))).unwrap()
    }

    fn client(&self) -> TcpStream {
        self.ends[0].0.run(|| TcpStream::connect((B, 7))).unwrap()
    }

    /// A client from port 40000, whatever that port did before.
    fn same_client(&self) -> TcpStream {
        let connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::new(A.into(), 40_000).into())?;
            socket.connect(&SocketAddr::new(B.into(), 7).into())?;
            Ok(socket.into())
        };
        self.ends[0].0.run(connect).unwrap()
    }

    fn look(&self) {
        self.ends.iter().for_each(|(_, _, _, watch)| watch.look());
    }

    /// What the client's kernel and the server's would have written.
    fn logs(self) -> [Log; 2] {
        let began = self.began;
        self.ends.map(|(_inside, own, capture, watch)| {
            let seen = watch.stop().unwrap();
            log(
                &capture.stop().unwrap(),
                &seen,
                Vec::new(),
                own,
                if own == A { Role::Client } else { Role::Server },
                began,
            )
        })
    }
}

fn end(stream: &mut TcpStream) {
    stream.read_to_end(&mut Vec::new()).unwrap();
}

/// The changes of state and the ends of a log's connections, in order: `1 CLOSED -> SYN-SENT on active
/// OPEN`.
pub(super) fn story(log: &Log) -> Vec<String> {
    let line = |entry: &Entry| match (&entry.body, entry.conn) {
        (Body::State { from, to, on }, Some(conn)) => {
            let on = on.map_or("?", Trigger::name);
            Some(format!("{conn} {from} -> {to} on {on}"))
        }
        (Body::Closed { reason }, Some(conn)) => {
            let reason = reason.map_or("?", CloseKind::name);
            Some(format!("{conn} closed: {reason}"))
        }
        _ => None,
    };
    log.entries.iter().filter_map(line).collect()
}

const ACTIVE: [&str; 5] = [
    "1 CLOSED -> SYN-SENT on active OPEN",
    "1 SYN-SENT -> ESTABLISHED on SYN,ACK",
    "1 ESTABLISHED -> FIN-WAIT-1 on CLOSE",
    "1 FIN-WAIT-1 -> FIN-WAIT-2 on ACK of FIN",
    "1 FIN-WAIT-2 -> TIME-WAIT on FIN",
];
const PASSIVE: [&str; 6] = [
    "1 LISTEN -> SYN-RECEIVED on SYN",
    "1 SYN-RECEIVED -> ESTABLISHED on ACK of SYN",
    "1 ESTABLISHED -> CLOSE-WAIT on FIN",
    "1 CLOSE-WAIT -> LAST-ACK on CLOSE",
    "1 LAST-ACK -> CLOSED on ACK of FIN",
    "1 closed: clean",
];

/// A connection opened and closed by the client, with a pause before each act.
fn open_and_close(lab: &Lab, pause: impl Fn()) {
    let listener = lab.listener();
    pause();
    let mut client = lab.client();
    pause();
    let mut server = listener.accept().unwrap().0;
    client.shutdown(Shutdown::Write).unwrap();
    end(&mut server);
    // The FIN is acknowledged alone, for the server takes its time.
    SockRef::from(&server).set_tcp_quickack(true).unwrap();
    pause();
    drop(server);
    end(&mut client);
    drop(client);
    pause();
}

#[test]
fn connection_sampled_in_its_states_is_told_as_the_rfc_draws_it() {
    let Some(lab) = Lab::new(5) else { return };
    open_and_close(&lab, || lab.look());
    let [client, server] = lab.logs();
    assert_eq!(
        (story(&client), story(&server)),
        (
            ACTIVE.map(str::to_owned).to_vec(),
            PASSIVE.map(str::to_owned).to_vec()
        )
    );
    // Both ends make one conversation, each segment of which was sent and received once.
    let stories = pair(&client, &server);
    let [conversation] = &stories[..] else {
        panic!("{stories:#?}")
    };
    assert_eq!(
        conversation.initial,
        [Some(State::Closed), Some(State::Listen)]
    );
    assert!(
        conversation
            .flights
            .iter()
            .all(|flight| flight.sent.is_some() && flight.received.len() == 1),
        "{:#?}",
        conversation.flights
    );
}

#[test]
fn connection_between_two_looks_is_inferred_whole() {
    let Some(lab) = Lab::new(60_000) else { return };
    lab.ends[1].3.look();
    let listener = lab.listener();
    lab.look();
    let mut client = lab.client();
    let mut server = listener.accept().unwrap().0;
    client.shutdown(Shutdown::Write).unwrap();
    end(&mut server);
    SockRef::from(&server).set_tcp_quickack(true).unwrap();
    drop(server);
    end(&mut client);
    let [client, server] = lab.logs();
    assert_eq!(story(&server), PASSIVE.map(str::to_owned));
    assert_eq!(story(&client)[..2], ACTIVE.map(str::to_owned)[..2]);
    assert!(
        story(&client)
            .last()
            .unwrap()
            .contains("-> TIME-WAIT on FIN"),
        "{:?}",
        story(&client)
    );
}

#[test]
fn connect_to_a_port_without_a_listener_is_refused_and_no_connection_of_the_other_end() {
    let Some(lab) = Lab::new(5) else { return };
    assert!(lab.ends[0].0.run(|| TcpStream::connect((B, 7))).is_err());
    let [client, server] = lab.logs();
    assert_eq!(
        story(&client),
        [
            "1 CLOSED -> SYN-SENT on active OPEN",
            "1 SYN-SENT -> CLOSED on RST",
            "1 closed: refused"
        ]
    );
    assert_eq!(story(&server), [""; 0]);
    assert_eq!(
        server
            .entries
            .iter()
            .filter(|entry| entry.conn.is_none())
            .count(),
        2,
        "{server:#?}"
    );
}

#[test]
fn abort_is_told_as_such_at_one_end_and_as_a_reset_at_the_other() {
    for every in [5, 60_000] {
        let Some(lab) = Lab::new(every) else { return };
        let listener = lab.listener();
        lab.look();
        let client = lab.client();
        let mut server = listener.accept().unwrap().0;
        lab.look();
        SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(client);
        assert!(server.read(&mut [0]).is_err());
        let [client, server] = lab.logs();
        assert_eq!(
            story(&client)[2..],
            ["1 ESTABLISHED -> CLOSED on ABORT", "1 closed: aborted"]
        );
        assert_eq!(
            story(&server)[2..],
            ["1 ESTABLISHED -> CLOSED on RST", "1 closed: reset"]
        );
    }
}

#[test]
fn two_incarnations_of_a_four_tuple_are_two_connections() {
    let Some(lab) = Lab::new(5) else { return };
    let listener = lab.listener();
    lab.look();
    for _ in 0..2 {
        // The server closes first, and is in TIME-WAIT when the client comes again.
        let mut client = lab.same_client();
        drop(listener.accept().unwrap());
        end(&mut client);
        drop(client);
        lab.look();
    }
    let [client, server] = lab.logs();
    let client = story(&client);
    assert_eq!(
        client
            .iter()
            .filter(|line| line.ends_with("closed: clean"))
            .count(),
        2,
        "{client:#?}"
    );
    let server = story(&server);
    let place = |text: &str| {
        server
            .iter()
            .position(|line| line == text)
            .unwrap_or_else(|| panic!("no {text}: {server:#?}"))
    };
    assert_eq!(
        place("1 TIME-WAIT -> CLOSED on SYN") + 1,
        place("1 closed: clean")
    );
    assert_eq!(
        place("1 closed: clean") + 1,
        place("2 LISTEN -> SYN-RECEIVED on SYN")
    );
    assert!(
        server.last().unwrap().starts_with("2 ") && server.last().unwrap().contains("-> TIME-WAIT"),
        "{server:#?}"
    );
}
