//! tcpx as the host, on its raw link, in profile `linux`.

use super::case::{Call, Case};
use super::info::Info;
use super::side::{Host, Outcome, PORTS, Sight};
use crate::tun::HOST;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tcpx::link::{Link, LinkOptions};
use tcpx::netns::Namespace;
use tcpx::{GuardKind, HostOptions, Listener, Ports, Stream};
use tcpx_proto::config::{ConnConfig, Profile};
use tcpx_proto::state::State;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// The host.
#[derive(Debug)]
pub struct Tcpx {
    host: tcpx::Host,
    listeners: HashMap<u16, Listener>,
    connections: HashMap<u16, Stream>,
    written: HashMap<u16, usize>,
}

impl Tcpx {
    /// In this namespace; call it inside a tokio runtime.
    ///
    /// # Errors
    /// Those of opening a link.
    pub fn new(inside: &Namespace) -> io::Result<Tcpx> {
        let ports = Ports::Row {
            first: *PORTS.start(),
            last: *PORTS.end(),
        };
        let options = LinkOptions {
            guard: GuardKind::Listener,
            ..LinkOptions::new(HOST.into(), ports)
        };
        let link = inside.run(|| Link::open(options).map_err(io::Error::other))?;
        let options = HostOptions {
            config: Profile::Linux.config(),
            ..HostOptions::default()
        };
        Ok(Tcpx {
            host: tcpx::Host::with_link(link, options).map_err(io::Error::other)?,
            listeners: HashMap::new(),
            connections: HashMap::new(),
            written: HashMap::new(),
        })
    }

    fn config(&self, case: &Case) -> ConnConfig {
        let mut config = self.host.config().conn.clone();
        config.no_delay = case.no_delay;
        // `tcp_rmem` of the kernel: half of the memory is text, which grows up to the limit.
        config.receive_buffer = 1 << 16;
        config.receive_limit = Some(32 << 20);
        config
    }
}

/// A poll for something that is there or not.
fn now<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn read(stream: &Stream, into: &mut [u8]) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(into);
    match now(|context| Pin::new(&mut &*stream).poll_read(context, &mut buffer)) {
        None => Err(io::ErrorKind::WouldBlock.into()),
        Some(outcome) => outcome.map(|()| buffer.filled().len()),
    }
}

impl Host for Tcpx {
    fn open(&mut self, case: &Case, local: SocketAddr) -> io::Result<()> {
        self.written.insert(local.port(), 0);
        if !case.is_active() {
            let listener = self
                .host
                .listen_with(local.port(), 16, &self.config(case))
                .map_err(io::Error::other)?;
            self.listeners.insert(local.port(), listener);
        }
        Ok(())
    }

    fn call(&mut self, case: &Case, ends: (SocketAddr, SocketAddr), call: Call) -> Outcome {
        let (local, remote) = ends;
        let port = local.port();
        match call {
            Call::Connect => {
                return match self.host.start_connect(port, remote, &self.config(case)) {
                    Ok(stream) => {
                        self.connections.insert(port, stream);
                        Outcome::Done
                    }
                    Err(_) => Outcome::Nothing,
                };
            }
            Call::Accept => {
                let accepted = self
                    .listeners
                    .get(&port)
                    .and_then(|listener| now(|context| listener.poll_accept(context)));
                return match accepted {
                    Some(Ok((stream, _))) => {
                        self.connections.insert(port, stream);
                        Outcome::Done
                    }
                    _ => Outcome::Nothing,
                };
            }
            Call::Unlisten => {
                self.listeners.remove(&port);
                return Outcome::Done;
            }
            Call::Close => {
                return match self.connections.remove(&port) {
                    Some(_) => Outcome::Done,
                    None => Outcome::Nothing,
                };
            }
            Call::Abort => {
                return match self.connections.remove(&port) {
                    Some(stream) => {
                        // As in the kernel.
                        _ = stream.set_linger(Some(Duration::ZERO));
                        Outcome::Done
                    }
                    None => Outcome::Nothing,
                };
            }
            _ => {}
        }
        let Some(stream) = self.connections.get_mut(&port) else {
            return Outcome::Nothing;
        };
        match call {
            Call::Read(most) => Outcome::read(most, |into| read(stream, into)),
            Call::Write(bytes) => {
                let written = self.written.entry(port).or_default();
                let data = super::side::written(*written, bytes);
                match now(|context| Pin::new(&mut &*stream).poll_write(context, &data)) {
                    Some(Ok(taken)) => {
                        *written += taken;
                        Outcome::Wrote(taken)
                    }
                    Some(Err(error)) => Outcome::Refused(error.kind()),
                    None => Outcome::Refused(io::ErrorKind::WouldBlock),
                }
            }
            _ => match now(|context| pin!(stream.shutdown()).poll(context)) {
                Some(Err(error)) => Outcome::Refused(error.kind()),
                _ => Outcome::Done,
            },
        }
    }

    fn sights(&mut self) -> io::Result<HashMap<(u16, SocketAddr), Sight>> {
        Ok(self
            .host
            .connections()
            .into_iter()
            .filter(|seen| seen.state != State::Closed)
            .map(|seen| {
                (
                    (seen.local.port(), seen.remote),
                    Sight {
                        state: seen.state,
                        info: Some(Info::of_status(&seen)),
                    },
                )
            })
            .collect())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.host.restart();
        self.connections.clear();
        self.listeners.clear();
        self.written.clear();
        Ok(())
    }
}
