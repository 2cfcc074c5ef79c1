//! The host under test: this machine's kernel, or tcpx.

use super::Setup;
use crate::tun::HOST;
use socket2::{Domain, Socket, TcpKeepalive, Type};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tcpx::{GuardKind, Host, HostOptions, LinkOptions, Ports, Stream};
use tcpx_proto::config::{Config, ConnConfig, KeepAlive, Profile};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};

/// `TCP_RTO_MAX_MS` of Linux 6.15.
const TCP_RTO_MAX_MS: libc::c_int = 44;
/// Ports of a host of ours.
const PORTS: u16 = 256;

/// A host.
#[derive(Debug)]
pub(super) enum End {
    Kernel,
    Tcpx {
        host: Host,
        /// Listeners so far: each run has its own.
        listeners: Cell<u16>,
    },
}

/// Where connections come from.
#[derive(Debug)]
pub(super) enum Listening {
    Kernel(TcpListener),
    Tcpx(tcpx::Listener),
}

/// A connection of the host.
#[derive(Debug)]
pub(super) enum Conn {
    Kernel(TcpStream),
    Tcpx(Stream),
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl End {
    /// A host of ours with profile linux.
    pub(super) fn tcpx() -> io::Result<End> {
        let link = LinkOptions {
            guard: GuardKind::Listener,
            ..LinkOptions::new(HOST.into(), Ports::Block(PORTS))
        };
        let options = HostOptions {
            config: Profile::Linux.config(),
            ..HostOptions::default()
        };
        let host = Host::open(link, options).map_err(io::Error::other)?;
        let listeners = Cell::new(0);
        Ok(End::Tcpx { host, listeners })
    }

    /// Its name in the table.
    pub(super) fn name(&self) -> &'static str {
        match self {
            End::Kernel => "kernel",
            End::Tcpx { .. } => "tcpx",
        }
    }

    /// Active OPEN.
    pub(super) fn connect(&self, to: SocketAddr, setup: &Setup) -> io::Result<Conn> {
        match self {
            End::Kernel => {
                let socket = socket(setup)?;
                match socket.connect(&to.into()) {
                    Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                    _ => Ok(Conn::Kernel(TcpStream::from_std(socket.into())?)),
                }
            }
            End::Tcpx { host, .. } => host
                .start_connect(0, to, &config(host, setup))
                .map(Conn::Tcpx)
                .map_err(io::Error::other),
        }
    }

    /// Passive OPEN, and where.
    pub(super) fn listen(&self, setup: &Setup) -> io::Result<(Listening, SocketAddr)> {
        match self {
            End::Kernel => {
                let socket = socket(setup)?;
                socket.bind(&SocketAddr::from((HOST, 0)).into())?;
                socket.listen(8)?;
                let listener = TcpListener::from_std(socket.into())?;
                let at = listener.local_addr()?;
                Ok((Listening::Kernel(listener), at))
            }
            End::Tcpx { host, listeners } => {
                let nth = listeners.get();
                listeners.set(nth + 1);
                let port = host.ports().start() + nth % PORTS;
                let listener = host
                    .listen_with(port, 8, &config(host, setup))
                    .map_err(io::Error::other)?;
                let at = listener.local_addr();
                Ok((Listening::Tcpx(listener), at))
            }
        }
    }
}

impl Listening {
    pub(super) async fn accept(&self) -> io::Result<Conn> {
        match self {
            Listening::Kernel(listener) => Ok(Conn::Kernel(listener.accept().await?.0)),
            Listening::Tcpx(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| Conn::Tcpx(stream))
                .map_err(io::Error::other),
        }
    }
}

impl Conn {
    pub(super) async fn write(&mut self, len: usize) -> io::Result<()> {
        let text = vec![b'h'; len];
        match self {
            Conn::Kernel(stream) => stream.write_all(&text).await,
            Conn::Tcpx(stream) => stream.write_all(&text).await,
        }
    }

    /// Reads what is there, and waits until something is.
    pub(super) async fn read(&mut self) -> io::Result<()> {
        let mut into = vec![0; 1 << 16];
        match self {
            Conn::Kernel(stream) => stream.read(&mut into).await,
            Conn::Tcpx(stream) => stream.read(&mut into).await,
        }
        .map(drop)
    }

    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Conn::Kernel(stream) => stream.shutdown().await,
            Conn::Tcpx(stream) => stream.shutdown().await,
        }
    }

    /// Waits until the connection has failed.
    pub(super) async fn failed(&self) -> io::Result<()> {
        match self {
            Conn::Kernel(stream) => stream.ready(Interest::ERROR).await.map(drop),
            Conn::Tcpx(stream) => stream.closed().await.map(drop).map_err(io::Error::other),
        }
    }
}

/// A socket of the kernel's with these options.
fn socket(setup: &Setup) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(setup.no_delay)?;
    // Whatever this machine prefers.
    socket.set_tcp_congestion(b"cubic")?;
    if let Some([idle, interval, probes]) = setup.keepalive {
        let times = TcpKeepalive::new()
            .with_time(millis(idle))
            .with_interval(millis(interval))
            .with_retries(probes as u32);
        socket.set_tcp_keepalive(&times)?;
    }
    if let Some(timeout) = setup.user_timeout {
        socket.set_tcp_user_timeout(Some(millis(timeout)))?;
    }
    if let Some(most) = setup.rto_max {
        set_rto_max(&socket, most as libc::c_int)?;
    }
    Ok(socket)
}

fn set_rto_max(socket: &Socket, most: libc::c_int) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the option's value is an int, and its size is given.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_RTO_MAX_MS,
            (&raw const most).cast(),
            size_of_val(&most) as libc::socklen_t,
        )
    };
    if failed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The same options for a connection of ours.
fn configured(mut config: ConnConfig, setup: &Setup) -> ConnConfig {
    config.no_delay = setup.no_delay;
    config.keepalive = setup.keepalive.map(|[idle, interval, probes]| KeepAlive {
        idle: millis(idle),
        interval: millis(interval),
        probes: probes as u32,
    });
    config.user_timeout = setup.user_timeout.map(millis);
    if let Some(most) = setup.rto_max {
        config.rto.max = millis(most);
        if let Some(persist) = &mut config.persist {
            persist.max = millis(most);
        }
    }
    config
}

fn config(host: &Host, setup: &Setup) -> ConnConfig {
    configured(host.config().conn.clone(), setup)
}

/// The engine's configuration for such a connection.
pub(super) fn engine(setup: &Setup) -> Config {
    let config = Profile::Linux.config();
    Config {
        conn: configured(config.conn, setup),
        ..config
    }
}
