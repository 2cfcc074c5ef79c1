//! Bad input, missing privileges, ports that others hold, outputs that fail: each error says what,
//! why, and what to do.

use crate::harness::{Ended, Lab, PORT, Program, built};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// Runs one of our programs where it is expected to fail.
fn fails(lab: &Lab, name: &str, arguments: &[&str], code: i32, words: &[&str]) -> Ended {
    let ended = Program::start(lab.tcpx(&lab.a, name).args(arguments)).finish();
    assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{arguments:?} does not say {word:?}: {}",
            ended.stderr
        );
    }
    ended
}

#[test]
fn unknown_rule_is_underlined_and_the_nearest_named() {
    let Some(lab) = Lab::netns() else { return };
    fails(
        &lab,
        "tcpx-client",
        &["10.77.0.2:7000", "--without", "time-wiat"],
        2,
        &["time-wiat", "^^^^^^^^^", "'time-wait'"],
    );
    fails(
        &lab,
        "tcpx-server",
        &["10.77.0.1:7000", "--fault", "drop out sin"],
        2,
        &["drop out sin", "^^^"],
    );
}

#[test]
fn address_without_a_port_and_name_without_an_address_are_refused_with_what_to_write() {
    let Some(lab) = Lab::netns() else { return };
    fails(&lab, "tcpx-client", &["10.77.0.2"], 2, &["10.77.0.2:7000"]);
    fails(
        &lab,
        "tcpx-server",
        &["7000"],
        2,
        &["127.0.0.1:7000 or localhost:7000"],
    );
    fails(
        &lab,
        "tcpx-client",
        &["no-such-host.invalid:7000"],
        2,
        &[
            "no-such-host.invalid:7000",
            "failed to lookup",
            "127.0.0.1:7000",
        ],
    );
    fails(
        &lab,
        "tcpx-client",
        &["10.77.0.2:7000", "--bind", "::1"],
        2,
        &["[::1]:7000"],
    );
}

#[test]
fn address_that_is_not_ours_or_not_reachable_is_refused() {
    let Some(lab) = Lab::netns() else { return };
    fails(
        &lab,
        "tcpx-server",
        &["10.77.0.9:7000"],
        1,
        &["10.77.0.9 is not an address of this machine", "ip address"],
    );
    fails(
        &lab,
        "tcpx-server",
        &["0.0.0.0:7000"],
        1,
        &["0.0.0.0 means every address", "exactly one", "ip address"],
    );
    fails(
        &lab,
        "tcpx-client",
        &["10.77.0.2:7000", "--bind", "10.77.0.9:0"],
        1,
        &["10.77.0.9 is not an address"],
    );
    fails(
        &lab,
        "tcpx-client",
        &["203.0.113.1:7000"],
        8,
        &["no route to 203.0.113.1", "ip route get"],
    );
}

#[test]
fn port_of_a_kernel_program_is_refused_with_its_name_and_state() {
    let Some(lab) = Lab::netns() else { return };
    let _holder = lab.a.listen(PORT);
    let pid = format!("process {}", std::process::id());
    fails(
        &lab,
        "tcpx-server",
        &["10.77.0.1:7000"],
        7,
        &["10.77.0.1:7000 is in use by", &pid, "LISTEN"],
    );
    fails(
        &lab,
        "tcpx-client",
        &["10.77.0.2:7000", "--bind", "10.77.0.1:7000"],
        7,
        &["is in use by", &pid],
    );
}

#[test]
fn privilege_missing_is_named_with_the_command_that_gives_it() {
    let Some(lab) = Lab::netns() else { return };
    let without = |bounding: &str, arguments: &[&str]| {
        let mut command = lab.a.command("setpriv");
        command
            .arg(format!("--bounding-set={bounding}"))
            .arg(built("tcpx-client"))
            .arg("10.77.0.2:7000")
            .args(arguments);
        Program::start(&mut command).finish()
    };
    let ended = without("-net_raw", &[]);
    assert!(
        ended.code == Some(6)
            && ended.stderr.contains("CAP_NET_RAW")
            && ended.stderr.contains("setcap"),
        "{}",
        ended.stderr
    );
    let ended = without("-net_admin", &["--rst-guard", "iptables"]);
    assert!(
        ended.code == Some(6) && ended.stderr.contains("CAP_NET_ADMIN"),
        "{}",
        ended.stderr
    );
}

#[test]
fn record_on_a_full_disk_connection_goes_on_and_the_loss_is_told() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&[]);
    for flag in ["--events", "--pcap"] {
        let ended = lab
            .client(&["--send", "hello", "--msl", "50ms", flag, "/dev/full"])
            .finish();
        assert_eq!(ended.code, Some(1), "{flag}: {}", ended.stderr);
        assert_eq!(ended.stdout, b"hello", "{flag}");
        assert!(
            ended.stderr.contains("No space left"),
            "{flag}: {}",
            ended.stderr
        );
    }
}

/// A command whose stdout is something else than a pipe that is read.
fn with_stdout(command: &mut Command, stdout: impl Into<Stdio>) -> Ended {
    Program::spawn(command.stdin(Stdio::null()).stdout(stdout)).finish()
}

#[test]
fn stdout_on_a_full_disk_or_closed_connection_ends_with_an_error() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&[]);
    let arguments = ["--send", "hello", "--msl", "50ms"];
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    for (stdout, word) in [
        (Stdio::from(full), "No space left"),
        (Stdio::from(closed), "roken pipe"),
    ] {
        let ended = with_stdout(&mut lab.client_command(&arguments), stdout);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(word) && !ended.stderr.contains("panicked"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn events_into_a_closed_pipe_connection_goes_on_and_the_loss_is_told() {
    let Some(lab) = Lab::netns() else { return };
    let listener = lab.b.listen(PORT);
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let heard = std::thread::spawn(move || {
        let mut heard = String::new();
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_string(&mut heard).unwrap();
        stream.write_all(b"ok").unwrap();
        heard
    });
    let ended = with_stdout(
        &mut lab.client_command(&["--send", "hello", "--msl", "50ms", "--events", "-"]),
        closed,
    );
    assert_eq!(heard.join().unwrap(), "hello");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("roken pipe"), "{}", ended.stderr);
}

#[test]
fn forward_to_nobody_client_is_reset_and_the_server_serves_on() {
    let Some(lab) = Lab::netns() else { return };
    let mut server = lab.server(&["--forward", "10.77.0.2:7009"]);
    for _ in 0..2 {
        // The RST may be faster than the return of connect.
        let stream = lab.a.run(|| Ok(TcpStream::connect(lab.b.at(PORT))));
        let read = stream.and_then(|mut stream| stream.read(&mut [0]));
        assert_eq!(
            read.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionReset
        );
        server.wait_for("cannot reach 10.77.0.2:7009");
    }
}

#[test]
fn iptables_missing_is_told_and_auto_takes_the_listener() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&[]);
    let without_iptables = |guard: &str| {
        let script =
            "mount -t tmpfs none /usr/sbin && mount -t tmpfs none /usr/local/sbin && exec \"$@\"";
        let mut command = lab.a.command("unshare");
        command
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(built("tcpx-client"))
            .env("PATH", "/usr/bin:/bin");
        Program::start(command.args([
            "10.77.0.2:7000",
            "--send",
            "x",
            "--msl",
            "50ms",
            "-v",
            "--rst-guard",
            guard,
        ]))
        .finish()
    };
    let ended = without_iptables("iptables");
    assert!(
        ended.code == Some(6) && ended.stderr.contains("no iptables program found"),
        "{}",
        ended.stderr
    );
    let ended = without_iptables("auto");
    assert!(
        ended.code == Some(0) && ended.stderr.contains("guard: listener"),
        "{}",
        ended.stderr
    );
}

#[test]
fn more_ports_than_descriptors_is_refused_with_the_limit() {
    let Some(lab) = Lab::netns() else { return };
    let limited = |files: u32, name: &str, arguments: &[&str]| {
        let mut command = lab.a.command("prlimit");
        Program::start(
            command
                .arg(format!("--nofile={files}:{files}"))
                .arg(built(name))
                .args(arguments),
        )
    };
    let many = [
        "10.77.0.2:7000",
        "--send",
        "x",
        "--msl",
        "50ms",
        "--parallel",
        "200",
    ];
    let ended = limited(64, "tcpx-client", &many).finish();
    assert!(
        ended.code == Some(1) && ended.stderr.contains("200 ports need 232 open files"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains(
            "this process may have 64\nhint: ask for fewer, or raise the limit as root: `ulimit \
             -Hn 232`"
        ),
        "{}",
        ended.stderr
    );
    // All of them at once: none waits for a place among those to be accepted.
    let _server = lab.server(&["--backlog", "200"]);
    assert_eq!(limited(232, "tcpx-client", &many).succeed().len(), 200);
    for (guard, words, enough) in [
        ("none", "this needs 32 open files", 32),
        ("iptables", "one port needs 33 open files", 33),
    ] {
        let server = ["10.77.0.1:7000", "--rst-guard", guard];
        let ended = limited(12, "tcpx-server", &server).finish();
        assert!(
            ended.code == Some(1)
                && ended.stderr.contains(words)
                && ended.stderr.contains("may have 12"),
            "{}",
            ended.stderr
        );
        limited(enough, "tcpx-server", &server).wait_for("listening on");
    }
}

#[test]
fn more_connections_than_ports_can_be_had_take_them_again_when_they_are_free() {
    let Some(lab) = Lab::netns() else { return };
    let _server = lab.server(&[]);
    let mut command = lab.a.command("prlimit");
    command
        .arg("--nofile=100:100")
        .arg(built("tcpx-client"))
        .args(["10.77.0.2:7000", "--send", "hello", "--msl", "5ms", "-q"]);
    assert_eq!(
        Program::start(command.args(["--parallel", "4", "--count", "75"])).succeed(),
        "hello".repeat(300)
    );
}

#[test]
fn what_has_no_end_or_is_no_file_is_refused_with_the_limit() {
    let Some(lab) = Lab::netns() else { return };
    let limit = |octets: &str| format!("it is larger than {octets} MiB, the limit");
    for (endless, words) in [
        ("/dev/zero", limit("1")),
        ("/dev/full", limit("1")),
        ("/", "Is a directory".to_owned()),
    ] {
        for (name, address) in [
            ("tcpx-server", "10.77.0.1:7000"),
            ("tcpx-client", "10.77.0.2:7000"),
        ] {
            fails(
                &lab,
                name,
                &[address, "--script", endless],
                2,
                &["--script: cannot read", &words],
            );
        }
        fails(
            &lab,
            "tcpx-lab",
            &["run", endless],
            1,
            &["cannot read", &words],
        );
        fails(
            &lab,
            "tcpx-lab",
            &["explain", endless],
            1,
            &["cannot read", &words],
        );
    }
    fails(
        &lab,
        "tcpx-server",
        &["10.77.0.1:7000", "--respond", "@/dev/zero"],
        2,
        &["--respond: cannot read", &limit("64")],
    );
    fails(
        &lab,
        "tcpx-lab",
        &["ladder", "/dev/zero"],
        1,
        &["cannot read", &limit("256")],
    );
}

#[test]
fn garbage_for_our_port_does_no_harm() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let mut server = lab.server(&[]);
    let noise = |length: usize| {
        (0..length)
            .map(|nth| (nth * 7 % 256) as u8)
            .collect::<Vec<u8>>()
    };
    // TCP packets of every length, with ports that are right and everything else that is not.
    lab.a.run(|| {
        let socket = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::RAW,
            Some(socket2::Protocol::TCP),
        )?;
        for length in (0..100).chain([1400]) {
            let mut packet = noise(length);
            for (octet, right) in packet.iter_mut().zip([0x9c, 0x40, 0x1b, 0x58]) {
                *octet = right;
            }
            socket.send_to(&packet, &lab.b.at(0).into())?;
        }
        Ok(())
    });
    let mut stream = lab.a.connect(lab.b.at(PORT));
    stream.write_all(b"sane").unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    server.wait_for("ESTABLISHED");
    capture.finish().assert_sound(lab.b.address);
}

#[test]
fn forward_broken_on_one_side_is_reset_on_the_other() {
    let Some(lab) = Lab::netns() else { return };
    let service = lab.b.listen(7009);
    let _server = lab.server(&["--forward", "10.77.0.2:7009"]);
    let join = || {
        let mut client = lab.a.connect(lab.b.at(PORT));
        client.write_all(b"begin").unwrap();
        let (mut served, _) = service.accept().unwrap();
        served.read_exact(&mut [0; 5]).unwrap();
        (client, served)
    };
    let reset = |stream: TcpStream| {
        socket2::Socket::from(stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap()
    };
    let (client, mut served) = join();
    reset(client);
    assert_eq!(
        served.read(&mut [0]).unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    let (mut client, served) = join();
    reset(served);
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
}

#[test]
fn port_zero_server_takes_any_and_says_which() {
    let Some(lab) = Lab::netns() else { return };
    let mut server = lab.server_at("10.77.0.2:0", &[]);
    let line = server.wait_for("listening on");
    let address = line.split_whitespace().nth(2).unwrap();
    let mut stream = lab.a.connect(address.parse().unwrap());
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
}
