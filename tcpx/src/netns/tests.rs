//! Two hosts on a cable.

use super::skip::skip;
use super::*;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Two hosts, where the machine allows them.
fn pair_or_skip(cable: Cable) -> Option<(Namespace, Namespace)> {
    pair(cable)
        .inspect_err(|error| skip(format_args!("a network namespace cannot be made: {error}")))
        .ok()
}

#[test]
fn pair_made_kernels_tcp_connects_across() {
    let Some((a, b)) = pair_or_skip(Cable::default()) else {
        return;
    };
    let listener = b.run(|| TcpListener::bind((B, 7))).unwrap();
    let mut client = a.run(|| TcpStream::connect((B, 7))).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), A);
    client.write_all(b"over the cable").unwrap();
    drop(client);
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "over the cable");
}

#[test]
fn pair_made_the_first_packet_of_either_end_arrives() {
    for _ in 0..20 {
        let Some((a, b)) = pair_or_skip(Cable::PLAIN) else {
            return;
        };
        let bind =
            |space: &Namespace, own| space.run(|| std::net::UdpSocket::bind((own, 9))).unwrap();
        let [one, other] = [bind(&a, A), bind(&b, B)];
        one.send_to(b"x", (B, 9)).unwrap();
        other.send_to(b"y", (A, 9)).unwrap();
        for (name, socket) in [("b's", one), ("a's", other)] {
            socket
                .set_read_timeout(Some(Duration::from_secs(2)))
                .unwrap();
            assert_eq!(
                socket
                    .recv(&mut [0; 2])
                    .map_err(|error| format!("{name}: {error}")),
                Ok(1)
            );
        }
    }
}

#[test]
fn command_spawned_runs_inside() {
    let Some((a, _b)) = pair_or_skip(Cable {
        mtu: 9000,
        ..Cable::PLAIN
    }) else {
        return;
    };
    let mut cat = Command::new("cat");
    let output = a
        .command(cat.arg("/proc/self/net/fib_trie"))
        .unwrap()
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("10.77.0.1"));
    assert!(
        !fs::read_to_string("/proc/thread-self/net/fib_trie")
            .unwrap()
            .contains("10.77.0.1"),
        "the caller stays outside"
    );
}

#[test]
fn pair_dropped_namespaces_are_gone() {
    let Some((a, b)) = pair_or_skip(Cable::default()) else {
        return;
    };
    let socket = a.run(|| std::net::UdpSocket::bind((A, 0))).unwrap();
    drop(b);
    // The far end went with its namespace, and this end with it, asynchronously: the kernel
    // tells by the error of the next send.
    let gone = (0..1000).any(|_| {
        thread::sleep(Duration::from_millis(5));
        socket.send_to(b"x", (B, 9)).is_err()
    });
    assert!(gone, "the cable outlived its far end");
}
