//! An HTTP server (hyper) over a TCP of our own: `http_server ADDR:PORT [FAULT ..]`, then `curl
//! http://ADDR:PORT/` from another host. With `'rate=10% drop any data'` every tenth segment with
//! text is lost, and curl does not notice.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use tcpx::Ports;
use tcpx::link::LinkOptions;
use tcpx::{Host, HostOptions};

/// `/1000` is a thousand bytes; any other path is answered with a greeting.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let body = match path.trim_start_matches('/').parse() {
        Ok(octets) => "0123456789abcdef".bytes().cycle().take(octets).collect(),
        Err(_) => Bytes::from(format!("You asked a hand-built TCP for {path}\n")),
    };
    Ok(Response::new(Full::new(body)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments
        .next()
        .ok_or("usage: http_server ADDR:PORT [FAULT ..]")?
        .parse()?;
    let faults = arguments
        .map(|line| line.parse())
        .collect::<Result<_, _>>()?;

    // The port is reserved, and the kernel kept quiet about it, for as long as the host lives.
    let host = Host::open(
        LinkOptions::new(address.ip(), Ports::Exact(address.port())),
        HostOptions {
            faults,
            ..HostOptions::default()
        },
    )?;
    let listener = host.listen(address.port())?;
    eprintln!("serving http://{address}/, {}", host.guard_description());
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        // From here on a tcpx::Stream is as good as a tokio::net::TcpStream.
        tokio::spawn(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
            if let Err(error) = served {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}
