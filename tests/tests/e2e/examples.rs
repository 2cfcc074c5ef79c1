//! The examples of `tcpx` that speak on a wire, each against a program that is not ours; and what
//! the lab draws of a test in memory.

use crate::harness::{Lab, PORT, Program, built, installed};
use rcgen::CertifiedKey;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use tcpx::record::{Role, Start};
use tcpx::testing::{self, Pair, PairOptions};
use tcpx_proto::config::Profile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What a network does that is bad, and not hopeless.
const BAD: [&str; 3] = [
    "rate=10% drop any data",
    "rate=5% delay=20ms out segment",
    "rate=2% corrupt in data",
];

/// An example at work on B, at its address, with a bad network around it.
fn serve(lab: &Lab, example: &str, arguments: &[&str]) -> Program {
    let mut command = lab.b.command(built(&format!("examples/{example}")));
    let mut server = Program::start(
        command
            .arg(lab.b.at(PORT).to_string())
            .args(arguments)
            .args(BAD),
    );
    server.wait_for("serving");
    server
}

/// What curl on A gets; it must be content.
fn curl(lab: &Lab, arguments: &[&str]) -> String {
    lab.a
        .output("curl", &[&["-sSf", "--max-time", "20"], arguments].concat())
}

#[test]
fn curl_fetches_from_hyper_over_our_stream_on_a_bad_network() {
    let Some(lab) = Lab::netns() else { return };
    if !installed("curl") {
        return lab.skip("no curl here");
    }
    let _server = serve(&lab, "http_server", &[]);
    let url = |path| format!("http://{}/{path}", lab.b.at(PORT));
    // Two requests on one connection, which curl keeps alive.
    let heard = curl(&lab, &[&url("one"), &url("two")]);
    assert_eq!(
        heard,
        "You asked a hand-built TCP for /one\nYou asked a hand-built TCP for /two\n"
    );
    assert_eq!(
        curl(&lab, &[&url("100000")]),
        "0123456789abcdef".repeat(100_000 / 16)
    );
}

#[test]
fn curl_fetches_by_tls_from_rustls_over_our_stream_on_a_bad_network() {
    let Some(lab) = Lab::netns() else { return };
    if !installed("curl") {
        return lab.skip("no curl here");
    }
    let certificate = lab.file("certificate.pem");
    let _server = serve(&lab, "tls_server", &[&certificate]);
    let heard = curl(
        &lab,
        &[
            "--cacert",
            &certificate,
            &format!("https://{}/", lab.b.at(PORT)),
        ],
    );
    assert_eq!(heard, "You asked a hand-built TCP, by TLS.\n");
}

#[test]
fn tls_client_over_our_stream_hears_a_server_on_the_kernels_tcp_on_a_bad_network() {
    let Some(lab) = Lab::netns() else { return };
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["tcpx.example".to_owned()]).unwrap();
    std::fs::write(lab.path("ca.pem"), cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = lab.b.listen(PORT);
    let answer = "over the kernel's TCP\n".repeat(5000);

    let mut command = lab.a.command(built("examples/tls_client"));
    let client = Program::start(
        command
            .arg(lab.b.at(PORT).to_string())
            .args(["tcpx.example", &lab.file("ca.pem")])
            .args(BAD),
    );
    let mut stream = secure(listener.accept().unwrap().0, tls.clone());
    let mut request = [0; 18];
    stream.read_exact(&mut request).unwrap();
    assert_eq!(&request, b"GET / HTTP/1.0\r\n\r\n");
    stream.write_all(answer.as_bytes()).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    assert_eq!(
        stream.read(&mut request).unwrap(),
        0,
        "the client's goodbye"
    );
    drop(stream);
    assert_eq!(client.succeed(), answer);

    // A name that the certificate is not for: TLS refuses it on any TCP.
    let mut command = lab.a.command(built("examples/tls_client"));
    command
        .arg(lab.b.at(PORT).to_string())
        .args(["other.example", &lab.file("ca.pem")]);
    let client = Program::start(&mut command);
    let alert = secure(listener.accept().unwrap().0, tls)
        .read(&mut request)
        .unwrap_err();
    assert!(alert.to_string().contains("BadCertificate"), "{alert}");
    let refused = client.finish();
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("NotValidForName"),
        "{}",
        refused.stderr
    );
}

fn secure(stream: TcpStream, tls: ServerConfig) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(Arc::new(tls)).unwrap(), stream)
}

#[test]
fn test_in_memory_is_drawn_from_the_diaries_of_both_ends() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let paths = [Role::Client, Role::Server].map(|role| {
        (
            role,
            std::env::temp_dir().join(format!("tcpx-{}-{role}.jsonl", std::process::id())),
        )
    });
    runtime.block_on(async {
        let Pair {
            mut near,
            mut far,
            near_diary,
            far_diary,
            ..
        } = testing::pair(PairOptions::default()).await.unwrap();
        near.host().add_fault("drop out data#1".parse().unwrap());
        near.write_all(b"hello").await.unwrap();
        far.read_exact(&mut [0; 5]).await.unwrap();
        for ((role, path), diary) in paths.iter().zip([near_diary, far_diary]) {
            diary
                .save(
                    path,
                    &Start::in_memory(*role, Profile::Linux, near.host().seed()),
                )
                .unwrap();
        }
    });
    let mut ladder = Command::new(built("tcpx-lab"));
    let drawn = Program::start(
        ladder
            .arg("ladder")
            .args(paths.iter().map(|(_, path)| path)),
    )
    .succeed();
    paths
        .iter()
        .for_each(|(_, path)| std::fs::remove_file(path).unwrap());
    for words in [
        "A 10.0.0.1:",
        "10.0.0.2:7000 B",
        "✗ drop out data#1",
        "PSH,ACK seq 1 ack 1 len 5 again (1) ─",
    ] {
        assert!(drawn.contains(words), "{words:?} is not in\n{drawn}");
    }
}
