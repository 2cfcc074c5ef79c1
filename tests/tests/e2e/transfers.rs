//! Millions of bytes through real programs, nginx and curl, over a good network and a bad one.

use crate::harness::{Lab, PORT, Program, await_socket, installed};
use std::io::{Read, Write};

/// Over a good network, bytes.
const LENGTH: usize = 10_000_000;

/// Over a bad one.
const BAD_LENGTH: usize = 2_000_000;
/// One that loses now and then, and one that loses, doubles and overtakes, ACKs as well.
const BAD: [&[&str]; 2] = [
    &["--fault", "rate=1% drop any data", "--seed", "1"],
    &[
        "--fault",
        "rate=10% drop any segment",
        "--fault",
        "rate=10% dup=1 any segment",
        "--fault",
        "rate=10% delay=2ms any segment",
        "--seed",
        "1",
    ],
];

/// Bytes without a pattern (xorshift), the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next)
        .flatten()
        .take(length)
        .collect()
}

/// nginx on B that serves a file `noise`.
fn nginx(lab: &Lab, port: u16, length: usize) -> Option<Program> {
    if !installed("nginx") || !installed("curl") {
        lab.skip("no nginx or no curl here");
        return None;
    }
    let root = lab.path("");
    std::fs::write(lab.path("noise"), noise(length)).unwrap();
    let listen = lab.b.at(port);
    let config = format!(
        "user root root; daemon off; master_process off; pid {root}nginx.pid; error_log {root}error.log;
         events {{ worker_connections 64; }}
         http {{ access_log off; client_body_temp_path {root}body; proxy_temp_path {root}proxy; fastcgi_temp_path {root}fastcgi;
           uwsgi_temp_path {root}uwsgi; scgi_temp_path {root}scgi;
           server {{ listen {listen}; root {root}; }} }}",
        root = root.display()
    );
    std::fs::write(lab.path("nginx.conf"), config).unwrap();
    let program = Program::start(
        lab.b
            .command("nginx")
            .arg("-c")
            .arg(lab.path("nginx.conf"))
            .arg("-e")
            .arg(lab.path("error.log")),
    );
    await_socket(&lab.b, "LISTEN", &format!("sport = :{port}"));
    Some(program)
}

/// tcpx-client fetches from nginx.
fn download(lab: &Lab, length: usize, arguments: &[&str]) {
    let Some(_nginx) = nginx(lab, PORT, length) else {
        return;
    };
    let capture = lab.capture();
    let mut command = lab.client_command(&[&["--msl", "50ms"], arguments].concat());
    let (mut client, mut input) = Program::start_with_input(&mut command);
    // A FIN right after its question would make nginx give up halfway.
    input.write_all(b"GET /noise HTTP/1.0\r\n\r\n").unwrap();
    client.wait_for("-> CLOSE-WAIT");
    drop(input);
    let ended = client.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let body = ended
        .stdout
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(0, |end| end + 4);
    assert!(
        ended.stdout[body..] == noise(length),
        "{} of {length} bytes arrived",
        ended.stdout.len() - body
    );
    capture.finish().assert_sound(lab.a.address);
}

#[test]
fn client_fetches_from_nginx() {
    for lab in Lab::with_each_link(Lab::netns) {
        download(&lab, LENGTH, &[]);
    }
}

#[test]
fn client_fetches_from_nginx_over_a_bad_network() {
    for lab in Lab::with_each_link(Lab::netns) {
        BAD.iter()
            .for_each(|faults| download(&lab, BAD_LENGTH, faults));
    }
}

/// curl fetches through tcpx-server from nginx.
fn forwarded(lab: &Lab, length: usize, arguments: &[&str]) {
    let Some(_nginx) = nginx(lab, 8080, length) else {
        return;
    };
    let capture = lab.capture();
    let service = lab.b.at(8080).to_string();
    let _server = lab.server(&[&["--forward", &service, "-v"], arguments].concat());
    let url = format!("http://{}/noise", lab.b.at(PORT));
    let curl = lab
        .a
        .command("curl")
        .args(["-sSf", "--max-time", "60", &url])
        .output()
        .unwrap();
    assert!(
        curl.status.success(),
        "{}",
        String::from_utf8_lossy(&curl.stderr)
    );
    assert!(
        curl.stdout == noise(length),
        "{} of {length} bytes arrived",
        curl.stdout.len()
    );
    capture.finish().assert_sound(lab.b.address);
}

#[test]
fn curl_fetches_through_the_server() {
    for lab in Lab::with_each_link(Lab::netns) {
        forwarded(&lab, LENGTH, &[]);
    }
}

#[test]
fn curl_fetches_through_the_server_over_a_bad_network() {
    for lab in Lab::with_each_link(Lab::netns) {
        BAD.iter()
            .for_each(|faults| forwarded(&lab, BAD_LENGTH, faults));
    }
}

/// tcpx-client sends to a program on the kernel's TCP.
fn upload(lab: &Lab, length: usize, arguments: &[&str]) {
    let capture = lab.capture();
    let listener = lab.b.listen(PORT);
    let mut command = lab.client_command(&[&["--msl", "50ms", "-q"], arguments].concat());
    let (client, mut input) = Program::start_with_input(&mut command);
    let writer = std::thread::spawn(move || input.write_all(&noise(length)).unwrap());
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    drop(stream);
    assert!(
        heard == noise(length),
        "{} of {length} bytes arrived",
        heard.len()
    );
    writer.join().unwrap();
    client.succeed();
    capture.finish().assert_sound(lab.a.address);
    let counters = lab
        .b
        .output("nstat", &["-asz", "TcpInErrs", "TcpInCsumErrors"]);
    let counted: Vec<_> = counters
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(counted, ["0", "0"], "{counters}");
}

#[test]
fn client_sends_to_the_kernel() {
    for lab in Lab::with_each_link(Lab::netns) {
        upload(&lab, LENGTH, &[]);
    }
}

#[test]
fn client_sends_to_the_kernel_over_a_bad_network() {
    for lab in Lab::with_each_link(Lab::netns) {
        BAD.iter()
            .for_each(|faults| upload(&lab, BAD_LENGTH, faults));
    }
}

#[test]
fn corrupted_segment_is_seen_so_and_made_good() {
    let Some(lab) = Lab::netns() else { return };
    let capture = lab.capture();
    let _server = lab.server(&[]);
    let client = lab.client(&[
        "--send",
        "hello",
        "--msl",
        "50ms",
        "--fault",
        "corrupt out data#1",
    ]);
    assert_eq!(client.succeed(), "hello");
    let seen = capture.finish();
    let data: Vec<_> = seen
        .from(lab.a.address)
        .into_iter()
        .filter(|segment| segment.len > 0)
        .collect();
    assert!(
        data.len() == 2 && data[0].seq == data[1].seq,
        "{}",
        seen.story(lab.a.address)
    );
    assert!(!data[0].is_good() && data[1].is_good(), "{data:?}");
}
