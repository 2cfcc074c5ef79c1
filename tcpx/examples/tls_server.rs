//! A TLS server (rustls) over a TCP of our own: `tls_server ADDR:PORT CERTIFICATE.pem [FAULT ..]`
//! makes a certificate for the address, writes it down, and greets: `curl --cacert CERTIFICATE.pem
//! https://ADDR:PORT/`.

use rcgen::CertifiedKey;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tcpx::Ports;
use tcpx::link::LinkOptions;
use tcpx::{Host, HostOptions, Stream};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Reads a request up to its empty line and answers it.
async fn serve(tls: TlsAcceptor, stream: Stream) -> io::Result<()> {
    let mut stream = BufReader::new(tls.accept(stream).await?);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    stream
        .write_all(
            b"HTTP/1.0 200 OK\r\nContent-Length: 36\r\n\r\nYou asked a hand-built TCP, by TLS.\n",
        )
        .await?;
    // TLS says goodbye, then TCP.
    stream.shutdown().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .ok_or("usage: tls_server ADDR:PORT CERTIFICATE.pem [FAULT ..]")
    };
    let address = next()?.parse::<SocketAddr>()?;
    let path = next()?;
    let faults = arguments
        .map(|line| line.parse())
        .collect::<Result<_, _>>()?;

    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([address.ip().to_string()])?;
    std::fs::write(path, cert.pem())?;
    let key = PrivateKeyDer::try_from(signing_key.serialize_der())?;
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    let tls = TlsAcceptor::from(Arc::new(tls));

    let host = Host::open(
        LinkOptions::new(address.ip(), Ports::Exact(address.port())),
        HostOptions {
            faults,
            ..HostOptions::default()
        },
    )?;
    let listener = host.listen(address.port())?;
    eprintln!("serving https://{address}/, {}", host.guard_description());
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let tls = tls.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(tls, stream).await {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}
