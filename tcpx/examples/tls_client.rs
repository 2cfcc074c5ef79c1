//! A TLS client (rustls) over a TCP of our own: `tls_client ADDR:PORT NAME CA.pem [FAULT ..]` asks
//! for `/` and prints the answer.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tcpx::Ports;
use tcpx::link::{LinkOptions, source_for};
use tcpx::{Host, HostOptions};
use tcpx_proto::config::Config;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .ok_or("usage: tls_client ADDR:PORT NAME CA.pem [FAULT ..]")
    };
    let address = next()?.parse::<SocketAddr>()?;
    let name = next()?;
    let authority = next()?;
    let faults = arguments
        .map(|line| line.parse())
        .collect::<Result<_, _>>()?;

    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority)? {
        roots.add(certificate?)?;
    }
    let tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();

    // Any free port, on the address from which the kernel would go there. TIME-WAIT is 2 MSL: 200
    // ms instead of a minute.
    let mut config = Config::default();
    config.conn.msl = Duration::from_millis(100);
    let link = LinkOptions::new(source_for(address)?, Ports::Block(1));
    let host = Host::open(
        link,
        HostOptions {
            config,
            faults,
            ..HostOptions::default()
        },
    )?;

    let stream = host.connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(tls))
        .connect(ServerName::try_from(name)?, stream)
        .await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    tokio::io::copy(&mut stream, &mut tokio::io::stdout()).await?;
    stream.shutdown().await?;
    drop(stream);
    // A program that exits here would answer a retransmitted FIN with a RST.
    Ok(host.closed().await?)
}
