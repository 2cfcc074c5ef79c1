//! What the flags change, seen from outside: MSL, TIME-WAIT, the third ACK, options, timers.

use crate::harness::{Lab, PORT, Program, Seen, Signal, await_socket, until};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Reads to the peer's FIN and closes: the peer is in TIME-WAIT from the moment that is returned
/// on.
fn close_second(mut stream: TcpStream) -> Instant {
    stream.read_to_end(&mut Vec::new()).unwrap();
    let now = Instant::now();
    drop(stream);
    now
}

#[test]
fn msl_of_a_second_client_is_in_time_wait_for_two() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let client = lab.client(&["--send", "x", "--msl", "1s"]);
    let closed = close_second(listener.accept().unwrap().0);
    client.succeed();
    let waited = closed.elapsed();
    assert!((2.0..2.5).contains(&waited.as_secs_f64()), "{waited:?}");
}

#[test]
fn time_wait_skipped_client_ends_at_once_and_its_four_tuple_connects_again() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let bind = lab.a.at(40_000).to_string();
    let arguments = ["--send", "x", "--skip-time-wait", "--bind", &bind];
    for _ in 0..2 {
        let client = lab.client(&arguments);
        let (stream, peer) = listener.accept().unwrap();
        assert_eq!(peer, lab.a.at(40_000));
        let closed = close_second(stream);
        client.succeed();
        assert!(
            closed.elapsed() < Duration::from_secs(1),
            "{:?}",
            closed.elapsed()
        );
    }
    let client = lab.client(&[&arguments[..], &["--count", "2"]].concat());
    let first = close_second(listener.accept().unwrap().0);
    let (stream, peer) = listener.accept().unwrap();
    assert_eq!(peer, lab.a.at(40_000));
    assert!(
        first.elapsed() < Duration::from_secs(1),
        "{:?}",
        first.elapsed()
    );
    close_second(stream);
    client.succeed();
}

#[test]
fn time_wait_in_place_second_connection_waits_for_its_end() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let bind = lab.a.at(40_000).to_string();
    let client = lab.client(&[
        "--send", "x", "--msl", "500ms", "--bind", &bind, "--count", "2",
    ]);
    let first = close_second(listener.accept().unwrap().0);
    let (stream, _) = listener.accept().unwrap();
    let waited = first.elapsed();
    assert!((1.0..1.5).contains(&waited.as_secs_f64()), "{waited:?}");
    close_second(stream);
    client.succeed();
}

#[test]
fn time_wait_not_waited_for_second_connection_fails() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let bind = lab.a.at(40_000).to_string();
    let client = lab.client(&[
        "--send",
        "x",
        "--msl",
        "200ms",
        "--bind",
        &bind,
        "--count",
        "2",
        "--no-wait",
    ]);
    close_second(listener.accept().unwrap().0);
    let ended = client.finish();
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
}

#[test]
fn third_ack_left_out_kernel_repeats_its_syn_ack() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let listener = lab.b.listen(PORT);
    listener.set_nonblocking(true).unwrap();
    let client = lab.client(&["--no-third-ack", "--send", "hello"]);
    await_socket(&lab.b, "SYN-RECV", &format!("sport = :{PORT}"));
    let seen = until("the SYN,ACK for the third time", || {
        let seen = capture.so_far();
        (seen.flagged(lab.b.address, "SA").len() >= 3).then_some(seen)
    });
    let times: Vec<f64> = seen
        .flagged(lab.b.address, "SA")
        .iter()
        .map(|segment| segment.at)
        .collect();
    for (at, due) in times.iter().zip([0.0, 1.0, 3.0]) {
        assert!((at - times[0] - due).abs() < 0.3, "{times:?}");
    }
    let story = seen.story(lab.a.address);
    assert_eq!(story, "a:S b:SA b:SA b:SA");
    await_socket(&lab.b, "SYN-RECV", &format!("sport = :{PORT}"));
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(client.end_by(Signal::INT).code, Some(130));
}

#[test]
fn third_ack_left_out_until_the_hold_ends_connection_then_goes_on() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let started = Instant::now();
    let client = lab.client(&[
        "--no-third-ack",
        "--send",
        "hello",
        "--hold",
        "500ms",
        "--msl",
        "50ms",
    ]);
    await_socket(&lab.b, "SYN-RECV", &format!("sport = :{PORT}"));
    let (mut stream, _) = listener.accept().unwrap();
    assert!(started.elapsed() >= Duration::from_millis(500));
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello");
    drop(stream);
    client.succeed();
}

#[test]
fn third_ack_left_out_but_data_goes_handshake_completes() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let listener = lab.b.listen(PORT);
    let client = lab.client(&["--no-third-ack=data", "--send", "hello", "--msl", "50ms"]);
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    let story = capture.finish().story(lab.a.address);
    assert!(story.starts_with("a:S b:SA a:A+5 "), "{story}");
    drop(stream);
    client.succeed();
}

/// The kernel's SYN,ACK has the options that it was offered, and no others.
fn answered_options(lab: &Lab, arguments: &[&str]) -> Vec<u8> {
    let capture = lab.capture();
    let listener = lab.b.listen(PORT);
    let client = lab.client(&[&["--send", "x", "--skip-time-wait"], arguments].concat());
    close_second(listener.accept().unwrap().0);
    client.succeed();
    let mut kinds = capture.finish().flagged(lab.b.address, "SA")[0]
        .options
        .clone();
    kinds.retain(|kind| *kind > 1);
    kinds.sort_unstable();
    kinds
}

#[test]
fn options_offered_unless_told_otherwise() {
    let Some(lab) = Lab::netns() else { return };
    const MSS: u8 = 2;
    const SCALE: u8 = 3;
    const SACK: u8 = 4;
    const STAMPS: u8 = 8;
    assert_eq!(answered_options(&lab, &[]), [MSS, SCALE, SACK, STAMPS]);
    assert_eq!(
        answered_options(&lab, &["--no-timestamps"]),
        [MSS, SCALE, SACK]
    );
    assert_eq!(answered_options(&lab, &["--no-sack"]), [MSS, SCALE, STAMPS]);
    assert_eq!(
        answered_options(&lab, &["--no-window-scaling"]),
        [MSS, SACK, STAMPS]
    );
}

#[test]
fn ecn_asked_for_mark_is_echoed_by_the_kernel_and_answered() {
    let Some(lab) = Lab::netns() else { return };
    lab.b.output("nft", &["add table ip marks; add chain ip marks arrivals { type filter hook prerouting priority 0; }"]);
    lab.b.output(
        "nft",
        &["add rule ip marks arrivals ip ecn ect0 ip ecn set ce"],
    );
    let capture = lab.capture();
    let listener = lab.b.listen(PORT);
    let (client, mut input) =
        Program::start_with_input(&mut lab.client_command(&["--ecn", "--msl", "50ms"]));
    let (mut stream, _) = listener.accept().unwrap();
    // The second text answers the echo of the mark on the first.
    for text in [*b"first", *b"again"] {
        input.write_all(&text).unwrap();
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard, text);
        let echoed = || {
            capture
                .so_far()
                .from(lab.b.address)
                .iter()
                .any(|segment| segment.flags == "AE")
                .then_some(())
        };
        until("the kernel's ECE", echoed);
    }
    drop((input, stream));
    client.succeed();
    let seen = capture.finish();
    let story = seen.story(lab.a.address);
    assert_eq!(
        (
            seen.flagged(lab.a.address, "SEW").len(),
            seen.flagged(lab.b.address, "SAE").len()
        ),
        (1, 1),
        "{story}"
    );
    assert!(
        seen.from(lab.a.address)
            .iter()
            .any(|segment| segment.flags == "AW" && segment.len == 5),
        "{story}"
    );
}

#[test]
fn segment_that_came_twice_is_told_and_the_kernel_counts_it() {
    let Some(lab) = Lab::netns() else { return };
    let counted = || {
        let counters = lab.a.output("nstat", &["-asz", "TcpExtTCPDSACKRecv"]);
        counters.lines().find_map(|line| {
            line.strip_prefix("TcpExtTCPDSACKRecv")?
                .split_whitespace()
                .next()?
                .parse::<u32>()
                .ok()
        })
    };
    assert_eq!(counted(), Some(0));
    let _server = lab.server(&["--fault", "dup=1 in data#1"]);
    let mut stream = lab.a.connect(lab.b.at(PORT));
    stream.write_all(b"hello").unwrap();
    until("the D-SACK", || (counted() == Some(1)).then_some(()));
}

#[test]
fn isn_and_mss_of_choice_are_on_the_wire() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    // The sequence numbers pass 2^32 on the way.
    let server = lab.server(&[
        "--once",
        "--mss",
        "600",
        "--isn",
        "4294967000",
        "--msl",
        "50ms",
    ]);
    let mut stream = lab.a.connect(lab.b.at(PORT));
    stream.write_all(&[b'x'; 5000]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, [b'x'; 5000]);
    server.succeed();
    let seen = capture.finish();
    assert_eq!(seen.flagged(lab.b.address, "SA")[0].seq, 4_294_967_000);
    assert!(
        seen.from(lab.b.address)
            .iter()
            .any(|segment| segment.len > 0 && segment.seq < 5000),
        "no sequence number wrapped"
    );
    let largest = seen
        .from(lab.a.address)
        .iter()
        .map(|segment| segment.len)
        .max();
    // RFC 6691: options are not part of the MSS, so 12 bytes of timestamps come off the text.
    assert_eq!(largest, Some(588));
}

/// From now on the host receives no TCP.
fn deafen(lab: &Lab) {
    lab.b
        .output("iptables", &["-I", "INPUT", "-p", "tcp", "-j", "DROP"]);
}

#[test]
fn connect_to_silence_times_out_after_the_last_syn() {
    let Some(lab) = Lab::netns() else { return };
    deafen(&lab);
    let capture = lab.capture();
    let ended = lab
        .client(&[
            "--send",
            "x",
            "--rto-initial",
            "200ms",
            "--rto-max",
            "400ms",
        ])
        .finish();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    let seen = capture.finish();
    // Linux' tcp_syn_linear_timeouts, then its tcp_syn_retries: 4 + 6 more.
    assert_eq!(seen.story(lab.a.address), ["a:S"; 11].join(" "));
    let gaps: Vec<f64> = seen
        .0
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    let due = [0.2, 0.2, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4];
    // A busy machine may be late now and then.
    let punctual = gaps
        .iter()
        .zip(due)
        .filter(|(gap, due)| (*gap - due).abs() < 0.09)
        .count();
    assert!(punctual >= 7, "{gaps:?}");
}

#[test]
fn data_to_silence_times_out_by_the_user_timeout() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let (mut client, mut input) =
        Program::start_with_input(&mut lab.client_command(&["--user-timeout", "600ms"]));
    client.wait_for("ESTABLISHED");
    let (_stream, _) = listener.accept().unwrap();
    deafen(&lab);
    let spoke = Instant::now();
    input.write_all(b"anybody?").unwrap();
    let ended = client.finish();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    let took = spoke.elapsed().as_secs_f64();
    assert!((0.6..3.0).contains(&took), "{took}");
    assert!(ended.stderr.contains("user timeout"), "{}", ended.stderr);
}

#[test]
fn data_to_silence_times_out_after_the_last_retransmission() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let capture = lab.capture();
    let timers = [
        "--rto-initial",
        "30ms",
        "--rto-min",
        "30ms",
        "--rto-max",
        "60ms",
    ];
    let (mut client, mut input) = Program::start_with_input(&mut lab.client_command(&timers));
    client.wait_for("ESTABLISHED");
    let (_stream, _) = listener.accept().unwrap();
    deafen(&lab);
    input.write_all(b"anybody?").unwrap();
    let ended = client.finish();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    let seen = capture.finish();
    // Once, the tail-loss probe, and Linux' tcp_retries2: 15 more.
    let sent = seen
        .from(lab.a.address)
        .iter()
        .filter(|segment| segment.len > 0)
        .count();
    assert_eq!(sent, 17, "{}", seen.story(lab.a.address));
}

#[test]
fn keepalive_probes_are_answered_by_the_kernel_and_missed_in_silence() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let capture = lab.capture();
    let mut client = lab.client(&[
        "--send",
        "x",
        "--hold",
        "1h",
        "--keepalive",
        "200ms,100ms,3",
    ]);
    client.wait_for("ESTABLISHED");
    let (_stream, _) = listener.accept().unwrap();
    let probes = |seen: &Seen| {
        let next = seen
            .from(lab.a.address)
            .iter()
            .find(|segment| segment.len == 1)
            .map(|segment| segment.seq.wrapping_add(1));
        let ours = seen.from(lab.a.address);
        ours.iter()
            .filter(|segment| {
                next.is_some_and(|next| segment.flags == "A" && segment.seq == next.wrapping_sub(1))
            })
            .count()
    };
    // The first of them is the text itself.
    until("two probes", || {
        (probes(&capture.so_far()) >= 3).then_some(())
    });
    deafen(&lab);
    let ended = client.finish();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("keepalive"), "{}", ended.stderr);
    let seen = capture.finish();
    let last_heard = seen.from(lab.b.address).last().unwrap().at;
    let unanswered = seen
        .from(lab.a.address)
        .iter()
        .filter(|segment| segment.at > last_heard && segment.flags == "A")
        .count();
    assert!(
        (3..=4).contains(&unanswered),
        "{}",
        seen.story(lab.a.address)
    );
}

#[test]
fn unreachable_peer_is_told_from_a_silent_one() {
    let Some(lab) = Lab::netns() else { return };
    lab.b.output(
        "iptables",
        &[
            "-I",
            "INPUT",
            "-p",
            "tcp",
            "-j",
            "REJECT",
            "--reject-with",
            "icmp-host-unreachable",
        ],
    );
    let ended = lab
        .client(&["--send", "x", "--rto-initial", "50ms", "--rto-max", "100ms"])
        .finish();
    assert_eq!(ended.code, Some(8), "{}", ended.stderr);
    assert!(ended.stderr.contains("unreachable"), "{}", ended.stderr);
}

#[test]
fn backlog_of_one_kernel_clients_beyond_it_still_connect() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&["--backlog", "1"]);
    let address: SocketAddr = lab.b.at(PORT);
    let mut streams: Vec<TcpStream> = (0..5).map(|_| lab.a.connect(address)).collect();
    for stream in &mut streams {
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
    }
}
