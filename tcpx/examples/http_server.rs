//! An HTTP server (hyper) over a TCP of our own: `http_server ADDR:PORT`, then `curl http://ADDR:PORT/` from another host.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use tcpx::link::{LinkOptions, Ports};
use tcpx::{Host, HostOptions};

async fn greet(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    Ok(Response::new(Full::new(Bytes::from(format!("You asked a hand-built TCP for {path}\n")))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr = std::env::args().nth(1).ok_or("usage: http_server ADDR:PORT")?.parse()?;
    let host = Host::open(LinkOptions::new(address.ip(), Ports::Exact(address.port())), HostOptions::default())?;
    let listener = host.listen(address.port(), 128, &host.config().conn)?;
    eprintln!("serving http://{address}/, {}", host.guard_description());
    loop {
        let stream = tokio::select! {
            stream = listener.accept() => stream?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        tokio::spawn(async move {
            let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(greet)).await;
            if let Err(error) = served {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}
