//! TCP Fast Open (RFC 7413) between tcpx and this machine's Linux, in both roles.

use crate::harness::{Host, Lab, PORT, Program, Seen, installed};
use std::net::Ipv4Addr;
use std::process::Stdio;

/// MSS, SACK permitted, timestamps, window scale, Fast Open: what Linux writes, in its order.
const LAYOUT: [u8; 8] = [2, 4, 8, 1, 3, 34, 1, 1];

/// The kernel asks for a cookie, then sends its text with it.
const CLIENT: &str = r#"
import socket, sys
for text in (b"first", b"second"):
    with socket.socket() as s:
        s.sendto(text, socket.MSG_FASTOPEN, (sys.argv[1], int(sys.argv[2])))
        assert s.recv(100) == text
"#;

/// The kernel gives a cookie, then takes the text of a SYN.
const SERVER: &str = r#"
import socket, sys
with socket.socket() as s:
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
    s.bind((sys.argv[1], int(sys.argv[2])))
    s.listen(5)
    print("ready", file=sys.stderr, flush=True)
    for _ in range(2):
        connection, _ = s.accept()
        with connection:
            connection.sendall(connection.recv(100))
            connection.recv(100)
"#;

/// Two namespaces whose kernels use Fast Open as client and server.
fn lab() -> Option<Lab> {
    let lab = Lab::netns()?;
    if let Some(missing) = ["python3", "sysctl", "nstat"]
        .iter()
        .find(|name| !installed(name))
    {
        lab.skip(&format!("there is no {missing}"));
        return None;
    }
    for host in [&lab.a, &lab.b] {
        host.output("sysctl", &["-qw", "net.ipv4.tcp_fastopen=3"]);
    }
    Some(lab)
}

/// A counter of a host's kernel.
fn counted(host: &Host, name: &str) -> u64 {
    let printed = host.output("nstat", &["-asz", name]);
    let value = printed.lines().find(|line| line.starts_with(name));
    let value = value.and_then(|line| line.split_whitespace().nth(1));
    value.unwrap().parse().unwrap()
}

/// The cookie comes with the first connection; the SYN of the second has it and this much text, and
/// the SYN,ACK acknowledges that.
fn assert_used(seen: &Seen, a: Ipv4Addr, b: Ipv4Addr, text: u32) {
    let story = seen.story(a);
    let syns = seen.flagged(a, "S");
    let answers = seen.flagged(b, "SA");
    assert!(syns.len() == 2 && answers.len() == 2, "{story}");
    assert_eq!([syns[0].len, syns[1].len], [0, text], "{story}");
    assert!(syns.iter().all(|syn| syn.options == LAYOUT), "{syns:?}");
    assert_eq!(answers[0].options, LAYOUT, "{answers:?}");
    assert_eq!(answers[1].options, LAYOUT[..5], "{answers:?}");
    let acknowledged = |nth: usize| answers[nth].ack.wrapping_sub(syns[nth].seq);
    assert_eq!([acknowledged(0), acknowledged(1)], [1, 1 + text], "{story}");
    assert!(!story.contains('R'), "{story}");
}

#[test]
fn kernel_client_gets_a_cookie_from_our_server_and_is_served_by_its_syn() {
    let Some(lab) = lab() else { return };
    let capture = lab.capture();
    let server = lab.server(&["--fast-open"]);
    let port = PORT.to_string();
    let address = lab.b.address.to_string();
    lab.a.output("python3", &["-c", CLIENT, &address, &port]);
    let seen = capture.finish();
    seen.assert_sound(lab.b.address);
    assert_used(&seen, lab.a.address, lab.b.address, 6);
    assert_eq!(counted(&lab.a, "TcpExtTCPFastOpenActive"), 1);
    assert_eq!(counted(&lab.a, "TcpExtTCPFastOpenActiveFail"), 0);
    drop(server);
}

#[test]
fn our_client_gets_a_cookie_from_a_kernel_and_is_served_by_its_syn() {
    let Some(lab) = lab() else { return };
    let capture = lab.capture();
    let port = PORT.to_string();
    let address = lab.b.address.to_string();
    let mut command = lab.b.command("python3");
    command.args(["-c", SERVER, &address, &port]);
    let mut service = Program::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
    service.wait_for("ready");
    let client = lab.client(&[
        "--fast-open",
        "--count",
        "2",
        "--send",
        "hello",
        "--msl",
        "50ms",
    ]);
    assert_eq!(client.succeed(), "hellohello");
    service.succeed();
    let seen = capture.finish();
    seen.assert_sound(lab.a.address);
    assert_used(&seen, lab.a.address, lab.b.address, 5);
    assert_eq!(counted(&lab.b, "TcpExtTCPFastOpenPassive"), 1);
    assert_eq!(counted(&lab.b, "TcpExtTCPFastOpenPassiveFail"), 0);
}

/// It reads the option of the first SYN, and the text of the second, as if they were not there.
#[test]
fn kernel_client_of_our_server_without_fast_open_sends_its_text_again() {
    let Some(lab) = lab() else { return };
    let capture = lab.capture();
    let server = lab.server(&[]);
    let port = PORT.to_string();
    let address = lab.b.address.to_string();
    lab.a.output("python3", &["-c", CLIENT, &address, &port]);
    let seen = capture.finish();
    seen.assert_sound(lab.b.address);
    for answer in seen.flagged(lab.b.address, "SA") {
        assert!(!answer.options.contains(&34), "{answer:?}");
    }
    drop(server);
}
