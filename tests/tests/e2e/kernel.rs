//! tcpx against this machine's Linux TCP, in both roles.

use crate::harness::{Lab, PATIENT, PORT, Program, Signal, await_socket, sockets, until};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

/// Bytes that repeat with a period that divides no segment size, so that a shift or a swap shows.
fn octets(count: usize) -> Vec<u8> {
    (0..count).map(|nth| (nth % 251) as u8).collect()
}

/// A client of tcpx sends to a program on the kernel's TCP and receives its answer.
fn client_to_kernel(lab: &Lab) {
    let capture = lab.capture();
    let listener = lab.b.listen(PORT);
    let service = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        stream.write_all(b"and back").unwrap();
        heard
    });
    assert_eq!(
        lab.client(&["--send", "there", "--msl", "50ms"]).succeed(),
        "and back"
    );
    assert_eq!(service.join().unwrap(), b"there");
    let seen = capture.finish();
    seen.assert_sound(lab.a.address);
    let story = seen.story(lab.a.address);
    assert!(
        story.starts_with("a:S b:SA a:A ") && !story.contains('R'),
        "{story}"
    );
    // The peer closed in LAST-ACK: nothing of it is left but what the listener's thread dropped.
    assert_eq!(
        sockets(&lab.b, &format!("src {}", lab.b.at(PORT))),
        Vec::<String>::new()
    );
}

#[test]
fn client_to_a_kernel_listener_speaks_hears_and_closes() {
    for lab in Lab::with_each_link(Lab::netns) {
        client_to_kernel(&lab);
    }
}

#[test]
fn client_to_a_kernel_listener_over_loopback_speaks_hears_and_closes() {
    for lab in Lab::with_each_link(Lab::loopback) {
        client_to_kernel(&lab);
    }
}

/// A program on the kernel's TCP sends to a server of tcpx and receives the echo.
fn kernel_to_server(lab: &Lab) {
    let capture = lab.capture();
    let server = lab.server(&["--once"]);
    let mut stream = lab.a.connect(lab.b.at(PORT));
    let sent = octets(200_000);
    let mut heard = Vec::new();
    thread::scope(|scope| {
        let mut writer = stream.try_clone().unwrap();
        let sent = &sent;
        scope.spawn(move || {
            writer.write_all(sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        stream.read_to_end(&mut heard).unwrap();
    });
    assert!(
        heard == sent,
        "{} bytes came back of {}",
        heard.len(),
        sent.len()
    );
    // The active closer, and it alone, is in TIME-WAIT.
    await_socket(&lab.a, "TIME-WAIT", &format!("dst {}", lab.b.at(PORT)));
    server.succeed();
    let seen = capture.finish();
    seen.assert_sound(lab.b.address);
    assert!(!seen.story(lab.a.address).contains('R'));
}

#[test]
fn server_to_a_kernel_client_echoes_and_closes() {
    for lab in Lab::with_each_link(Lab::netns) {
        kernel_to_server(&lab);
    }
}

#[test]
fn server_to_a_kernel_client_over_loopback_echoes_and_closes() {
    for lab in Lab::with_each_link(Lab::loopback) {
        kernel_to_server(&lab);
    }
}

/// As a program on Linux reads it, without SO_OOBINLINE; and as RFC 6093 has it.
#[test]
fn server_takes_the_urgent_octet_out_of_the_stream_in_profile_linux_alone() {
    let Some(lab) = Lab::netns() else { return };
    for (profile, echoed) in [("linux", "abde"), ("rfc9293", "abcde")] {
        let server = lab.server(&["--once", "--profile", profile, "--msl", "50ms"]);
        let mut stream = lab.a.connect(lab.b.at(PORT));
        stream.write_all(b"ab").unwrap();
        socket2::SockRef::from(&stream)
            .send_out_of_band(b"c")
            .unwrap();
        stream.write_all(b"de").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, echoed, "{profile}");
        server.succeed();
    }
}

#[test]
fn client_to_a_closed_port_is_refused() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let ended = lab.client(&["--send", "x"]).finish();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("connection refused"),
        "{}",
        ended.stderr
    );
    assert_eq!(capture.finish().story(lab.a.address), "a:S b:RA");
}

#[test]
fn client_whose_peer_resets_says_so() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let client = lab.client(&["--send", "unread", "--hold", "10s"]);
    let (stream, _) = listener.accept().unwrap();
    // Closing with unread data is a RST (RFC 2525 2.17).
    while stream.peek(&mut [0; 6]).unwrap() < 6 {}
    drop(stream);
    let ended = client.finish();
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("connection reset"),
        "{}",
        ended.stderr
    );
}

#[test]
fn client_told_to_abort_resets_the_kernel() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let listener = lab.b.listen(PORT);
    let client = lab.client(&["--send", "bye", "--abort"]);
    let (mut stream, _) = listener.accept().unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    client.succeed();
    let story = capture.finish().story(lab.a.address);
    assert!(story.contains("a:R"), "{story}");
}

#[test]
fn client_that_said_everything_still_hears() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let client = lab.client(&["--send", "question", "--msl", "50ms"]);
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    // Our half is closed, and the kernel agrees; its own half is not.
    await_socket(&lab.b, "CLOSE-WAIT", &format!("sport = :{PORT}"));
    let sent = octets(100_000);
    stream.write_all(&sent).unwrap();
    drop(stream);
    let ended = client.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout == sent,
        "{} bytes arrived of {}",
        ended.stdout.len(),
        sent.len()
    );
}

#[test]
fn server_that_stalls_closes_its_window_and_the_kernel_probes_it() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let _server = lab.server(&["--stall", "--window", "16k"]);
    let mut stream = lab.a.connect(lab.b.at(PORT));
    stream.set_nonblocking(true).unwrap();
    let chunk = octets(16_000);
    while stream.write(&chunk).is_ok() {}
    // The kernel's persist timer runs only against a window of zero.
    until("the persist timer of the kernel", || {
        let sockets = lab.a.output("ss", &["-tnoH", &format!("dport = :{PORT}")]);
        sockets.contains("timer:(persist").then_some(())
    });
    let closed = until("a window of zero and an answered probe", || {
        let seen = capture.so_far();
        let zero = seen
            .from(lab.b.address)
            .iter()
            .filter(|segment| segment.window == 0 && segment.flags == "A")
            .count();
        (zero >= 2).then_some(seen)
    });
    closed.assert_sound(lab.b.address);
}

#[test]
fn server_that_never_closes_keeps_the_kernel_in_fin_wait_2() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&["--never-close"]);
    let stream = lab.a.connect(lab.b.at(PORT));
    stream.shutdown(Shutdown::Write).unwrap();
    await_socket(&lab.a, "FIN-WAIT-2", &format!("dport = :{PORT}"));
}

#[test]
fn server_told_to_close_after_a_while_closes_first() {
    let Some(lab) = Lab::netns() else { return };
    let server = lab.server(&["--once", "--close-after", "200ms", "--msl", "50ms"]);
    let mut stream = lab.a.connect(lab.b.at(PORT));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    await_socket(&lab.a, "CLOSE-WAIT", &format!("dport = :{PORT}"));
    drop(stream);
    server.succeed();
    // TIME-WAIT is the server's: the kernel has nothing.
    assert_eq!(
        sockets(&lab.a, &format!("dport = :{PORT}")),
        Vec::<String>::new()
    );
}

#[test]
fn client_that_vanishes_leaves_the_kernel_alone() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let listener = lab.b.listen(PORT);
    let mut client = lab.client(&[
        "--send",
        "still here",
        "--hold",
        "1h",
        "--vanish-after",
        "300ms",
    ]);
    client.wait_for("ESTABLISHED");
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    // The kernel retransmits to a vanished peer: neither we nor our kernel answer.
    until("a second retransmission", || {
        stream.write_all(b"?").unwrap();
        let sockets = lab.b.output("ss", &["-tnoH", &format!("sport = :{PORT}")]);
        sockets.contains(",2)").then_some(())
    });
    let seen = capture.finish();
    let story = seen.story(lab.a.address);
    assert!(!story.contains('R'), "{story}");
    await_socket(&lab.b, "ESTAB", &format!("sport = :{PORT}"));
    assert_eq!(client.end_by(Signal::INT).code, Some(0));
}

#[test]
fn kernel_that_does_not_read_is_probed_until_it_does() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let listener = lab.b.listen(PORT);
    let sent = octets(8_000_000);
    let (client, mut input) = Program::start_with_input(&mut lab.client_command(&[
        "-q",
        "--msl",
        "50ms",
        "--rto-max",
        "400ms",
    ]));
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            input.write_all(&sent).unwrap();
            drop(input);
        });
        // The window of zero, then probes that the kernel counts as such, and answers.
        until("three answers of a window of zero", || {
            let seen = capture.so_far();
            let closed = seen
                .from(lab.b.address)
                .iter()
                .filter(|segment| segment.window == 0)
                .count();
            (closed >= 4).then_some(())
        });
        stream.read_to_end(&mut heard).unwrap();
    });
    drop(stream);
    assert!(
        heard == sent,
        "{} bytes arrived of {}",
        heard.len(),
        sent.len()
    );
    client.succeed();
}

#[test]
fn client_that_closes_both_directions_resets_what_still_comes() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let listener = lab.b.listen(PORT);
    let client = lab.client(&["--send", "enough", "--close"]);
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    stream.write_all(b"but listen").unwrap();
    until("the RST", || stream.write_all(b"!").err());
    client.finish();
    let story = capture.finish().story(lab.a.address);
    let fin = story.find("a:FA");
    let rst = story.find("a:R");
    assert!(fin.is_some() && fin < rst, "{story}");
}

#[test]
fn last_ack_lost_time_wait_answers_the_kernels_fin_again() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    for (skipped, answer) in [(&[][..], "a:A"), (&["--skip-time-wait"][..], "a:R")] {
        let capture = lab.capture();
        let flags = [
            "--send",
            "x",
            "--msl",
            "1s",
            "--fault",
            "drop out ack-of-fin#1",
            "--bind",
            "10.77.0.1:0",
        ];
        let client = lab.client(&[&PATIENT[..], &flags, skipped].concat());
        let (mut stream, peer) = listener.accept().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        drop(stream);
        until("the kernel's end of the connection", || {
            sockets(&lab.b, &format!("dport = :{}", peer.port()))
                .is_empty()
                .then_some(())
        });
        client.succeed();
        let story = capture.finish().story(lab.a.address);
        assert!(
            story.matches("b:FA").count() > 1 && story.ends_with(&format!("b:FA {answer}")),
            "{skipped:?}: {story}"
        );
    }
}

#[test]
fn flood_of_half_open_connections_leaves_room_for_a_real_one() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&["--backlog", "4"]);
    let mut flood = lab.client(&["--no-third-ack", "--parallel", "20", "--send", "x"]);
    for _ in 0..20 {
        flood.wait_for("SYN-SENT -> ESTABLISHED");
    }
    let mut stream = lab.a.connect(lab.b.at(PORT));
    stream.write_all(b"let me in").unwrap();
    stream.read_exact(&mut [0; 9]).unwrap();
}

/// What `ss` says of the kernel's end: the options of RFC 7323 and SACK, and the two shifts.
fn negotiated(host: &crate::harness::Host, filter: &str) -> Vec<String> {
    let said = host.output("ss", &["-tinoH", filter]);
    said.split_whitespace()
        .filter(|word| ["ts", "sack"].contains(word) || word.starts_with("wscale:"))
        .map(str::to_owned)
        .collect()
}

/// The kernel takes the options in any order, and counts our windows with the shift that we say.
#[test]
fn syn_options_in_every_layout_and_shift_are_taken_by_the_kernel_in_both_roles() {
    let Some(lab) = Lab::netns() else { return };
    let sent: Vec<u8> = octets(150_000).iter().map(|byte| byte % 100).collect();
    for (layout, shift) in [("linux", "0"), ("padded", "5"), ("freebsd", "14")] {
        let flags = ["--syn-options", layout, "--window-shift", shift];
        let flags = [&flags[..], &["--window", "1M", "--msl", "50ms"]].concat();
        let listener = lab.b.listen(PORT);
        let client = lab.client(&[&["--send", "x"][..], &flags].concat());
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let seen = negotiated(&lab.b, &format!("sport = :{PORT}"));
        assert_eq!(seen[..2], ["ts", "sack"], "client, {layout}");
        assert!(seen[2].starts_with(&format!("wscale:{shift},")), "{seen:?}");
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(&sent).unwrap();
        drop(stream);
        assert!(client.succeed().as_bytes() == sent, "{layout}");

        let server = lab.server(&[&["--once"][..], &flags].concat());
        let mut stream = lab.a.connect(lab.b.at(PORT));
        let seen = negotiated(&lab.a, &format!("dport = :{PORT}"));
        assert_eq!(seen[..2], ["ts", "sack"], "server, {layout}");
        assert!(seen[2].starts_with(&format!("wscale:{shift},")), "{seen:?}");
        thread::scope(|scope| {
            let mut writer = stream.try_clone().unwrap();
            let sent = &sent;
            scope.spawn(move || {
                writer.write_all(sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            assert!(heard == *sent, "{layout}: {} bytes", heard.len());
        });
        server.succeed();
    }
}

/// The windows of a SYN, of the ACK behind it and of a SYN,ACK with this receive buffer, which is
/// less than half of `SOCK_MIN_RCVBUF`, or not: the kernel's, then ours.
#[test]
fn smallest_receive_buffer_is_that_of_the_kernel_in_both_roles() {
    let Some(lab) = Lab::netns() else { return };
    for bytes in [1, 1153] {
        let capture = lab.capture();
        let listener = lab.b.listen(PORT);
        let buffer = socket2::SockRef::from(&listener);
        buffer.set_recv_buffer_size(bytes).unwrap();
        let window = bytes.to_string();
        let client = lab.client(&["--send", "x", "--window", &window, "--msl", "50ms"]);
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        drop((stream, listener));
        client.succeed();
        let server = lab.server(&["--once", "--window", &window]);
        let stream: std::net::TcpStream = lab.a.run(|| {
            let socket = socket2::Socket::new(
                socket2::Domain::IPV4,
                socket2::Type::STREAM,
                Some(socket2::Protocol::TCP),
            )?;
            socket.set_recv_buffer_size(bytes)?;
            socket.connect(&lab.b.at(PORT).into())?;
            Ok(socket.into())
        });
        drop(stream);
        server.succeed();
        let seen = capture.finish();
        let [ours, kernel] = seen.flagged(lab.a.address, "S")[..] else {
            panic!("two SYNs")
        };
        let [kernels, of_ours] = seen.flagged(lab.b.address, "SA")[..] else {
            panic!("two SYN,ACKs")
        };
        let third = |syn: &crate::harness::Segment| {
            let mut acks = seen.flagged(lab.a.address, "A").into_iter();
            acks.find(|ack| ack.from == syn.from).map(|ack| ack.window)
        };
        assert_eq!(
            (ours.window, third(ours), of_ours.window),
            (kernel.window, third(kernel), kernels.window),
            "{bytes} bytes"
        );
    }
}
