//! tcpx on a real wire beside the kernel's TCP, and smoltcp: two namespaces, MTU 1500, reno.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tcpx::link::LinkOptions;
use tcpx::netns::{self, Cable, Namespace};
use tcpx::{GuardKind, LinkKind, Ports};
use tcpx::{Host, HostOptions, Listener, Stream};
use tcpx_lab::linux::nft::{self, Own};
use tcpx_proto::config::Congestion;
use tcpx_proto::fault;
use tcpx_tests::tun::Tun;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::table::Table;
use crate::user_space;

pub(crate) const PORT: u16 = 7000;
/// No SYN is dropped because a server is slow to accept.
const BACKLOG: i32 = 4096;
const CHUNK: usize = 64 * 1024;
/// The most that one run may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Nearly all that are not privileged.
const ALL_PORTS: u16 = 64_000;
const THOUSAND: usize = 1000;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    Kernel,
    Tcpx(LinkKind),
}

#[derive(Clone, Copy)]
enum Work {
    /// Connect, accept, reset, one at a time.
    Connections(u32),
    /// Bytes from the client to the server.
    Bulk(usize),
    /// One byte there and back, this many times.
    Echo(u32),
}

pub(crate) enum Listening {
    Kernel(TcpListener),
    Tcpx(Listener),
}

enum Connection {
    Kernel(TcpStream),
    Tcpx(Stream),
}

/// The cheaper guard: under a firewall rule the kernel still makes a RST for each segment before it
/// drops it.
fn link(kind: LinkKind, address: IpAddr, ports: Ports) -> LinkOptions {
    LinkOptions {
        kind,
        guard: GuardKind::Listener,
        ..LinkOptions::new(address, ports)
    }
}

/// The kernel's sockets run reno; so do ours.
fn reno() -> HostOptions {
    let mut options = HostOptions::default();
    options.config.conn.congestion = Congestion::NewReno;
    options
}

impl Side {
    pub(crate) const RAW: Side = Side::Tcpx(LinkKind::Raw);
    pub(crate) const PACKET: Side = Side::Tcpx(LinkKind::Packet);

    pub(crate) async fn listen(self, address: IpAddr) -> io::Result<Listening> {
        let at = SocketAddr::new(address, PORT);
        let Side::Tcpx(kind) = self else {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.set_tcp_congestion(b"reno")?;
            socket.bind(&at.into())?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            return Ok(Listening::Kernel(TcpListener::from_std(socket.into())?));
        };
        let host = Host::open(link(kind, address, Ports::Exact(PORT)), reno())?;
        Ok(Listening::Tcpx(host.listen_with(
            PORT,
            BACKLOG as usize,
            &host.config().conn,
        )?))
    }
}

impl Listening {
    async fn accept(&self) -> io::Result<Connection> {
        match self {
            Listening::Kernel(listener) => Ok(Connection::Kernel(listener.accept().await?.0)),
            Listening::Tcpx(listener) => Ok(Connection::Tcpx(listener.accept().await?.0)),
        }
    }
}

impl Connection {
    async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Connection::Kernel(stream) => stream.read(into).await,
            Connection::Tcpx(stream) => stream.read(into).await,
        }
    }

    async fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Connection::Kernel(stream) => stream.write_all(data).await,
            Connection::Tcpx(stream) => stream.write_all(data).await,
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Connection::Kernel(stream) => stream.shutdown().await,
            Connection::Tcpx(stream) => stream.shutdown().await,
        }
    }

    /// Ends with a RST, so that no TIME-WAIT stands in the way.
    fn abort(self) -> io::Result<()> {
        match self {
            Connection::Kernel(stream) => {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
            }
            Connection::Tcpx(stream) => {
                stream.abort();
                Ok(())
            }
        }
    }
}

/// Makes connections: the kernel's own way, or a host of ours.
enum Dialer {
    Kernel,
    Tcpx(Host),
}

impl Dialer {
    fn new(side: Side, address: IpAddr) -> io::Result<Dialer> {
        let Side::Tcpx(kind) = side else {
            return Ok(Dialer::Kernel);
        };
        Ok(Dialer::Tcpx(Host::open(
            link(kind, address, Ports::Block(64)),
            reno(),
        )?))
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<Connection> {
        match self {
            Dialer::Kernel => {
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket2::SockRef::from(&socket).set_tcp_congestion(b"reno")?;
                let stream = socket.connect(to).await?;
                stream.set_nodelay(true)?;
                Ok(Connection::Kernel(stream))
            }
            Dialer::Tcpx(host) => Ok(Connection::Tcpx(host.connect(to).await?)),
        }
    }
}

/// Serves until the client is done: the RST of a connection may overtake the ACK of the SYN,ACK from
/// another CPU, and then there is no connection to accept, so that the server cannot count them.
async fn serve(listening: Listening, work: Work, done: &Notify) -> io::Result<()> {
    tokio::select! {
        () = done.notified() => Ok(()),
        failed = serve_all(listening, work) => failed.map(|never| match never {}),
    }
}

async fn serve_all(listening: Listening, work: Work) -> io::Result<Infallible> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut connection = listening.accept().await?;
        loop {
            match connection.read(&mut buffer).await {
                // The end of the work, or the RST that ends a connection here.
                Ok(0) | Err(_) => break,
                Ok(got) if matches!(work, Work::Echo(_)) => {
                    connection.write_all(&buffer[..got]).await?
                }
                Ok(_) => {}
            }
        }
        if matches!(work, Work::Bulk(_)) {
            connection.shutdown().await?;
        }
    }
}

async fn drive(dialer: Dialer, to: SocketAddr, work: Work) -> io::Result<f64> {
    let start = Instant::now();
    match work {
        Work::Connections(count) => {
            for _ in 0..count {
                dialer.connect(to).await?.abort()?;
            }
            Ok(f64::from(count) / start.elapsed().as_secs_f64())
        }
        Work::Bulk(octets) => {
            let mut connection = dialer.connect(to).await?;
            let chunk = vec![7; CHUNK];
            for _ in 0..octets / CHUNK {
                connection.write_all(&chunk).await?;
            }
            connection.shutdown().await?;
            // The peer's FIN says that it has read everything.
            connection.read(&mut [0; 1]).await?;
            let rate = octets as f64 * 8.0 / 1e6 / start.elapsed().as_secs_f64();
            connection.abort()?;
            Ok(rate)
        }
        Work::Echo(count) => {
            let mut connection = dialer.connect(to).await?;
            let mut times = Vec::new();
            let mut octet = [1];
            for _ in 0..count {
                let sent = Instant::now();
                connection.write_all(&octet).await?;
                connection.read(&mut octet).await?;
                times.push(sent.elapsed().as_secs_f64() * 1e6);
            }
            connection.abort()?;
            Ok(median(&mut times))
        }
    }
}

/// Linux segments in software where the device does not, a saving that a raw socket cannot share:
/// without it each side pays for each segment from end to end; with it the kernel's own bulk rate
/// is several times as high.
fn one_segment_a_packet(namespace: &Namespace) -> io::Result<()> {
    let mut command = Command::new("ip");
    command.args(["link", "set", "dev", netns::DEVICE, "gso_max_segs", "1"]);
    let status = namespace.command(&mut command)?.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other("ip link set gso_max_segs 1 failed"))
    }
}

/// Drops text at both ends, the kernel's and ours, with the rules of `tcpx-lab nft`.
fn lossy(percent: u32) -> io::Result<(Namespace, Namespace)> {
    let ends = netns::pair(Cable::PLAIN)?;
    let rule = fault::FaultRule::parse(&format!("rate={percent}% drop any data"))
        .map_err(io::Error::other)?;
    let own = Own {
        address: netns::A.into(),
        ports: 0..=u16::MAX,
    };
    let table =
        nft::table(&[rule], &own).map_err(|(_, mistake)| io::Error::other(mistake.to_string()))?;
    for end in [&ends.0, &ends.1] {
        one_segment_a_packet(end)?;
        let mut nft = Command::new("nft");
        let mut child = end
            .command(nft.args(["-f", "-"]).stdin(Stdio::piped()))?
            .spawn()?;
        child
            .stdin
            .take()
            .ok_or(io::ErrorKind::BrokenPipe)?
            .write_all(table.as_bytes())?;
        if !child.wait()?.success() {
            return Err(io::Error::other("nft -f failed"));
        }
    }
    Ok(ends)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn inside<T: Send>(
    namespace: &Namespace,
    work: impl AsyncFnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, work())
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    })
}

/// One run of the work between two kinds of ends.
fn measure(
    ends: &(Namespace, Namespace),
    client: Side,
    server: Side,
    work: Work,
) -> io::Result<f64> {
    let (ready, wait) = std::sync::mpsc::channel();
    let done = &Notify::new();
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || {
            inside(&ends.1, async || {
                let listening = server.listen(netns::B.into()).await?;
                ready.send(()).map_err(io::Error::other)?;
                serve(listening, work, done).await
            })
        });
        wait.recv()
            .map_err(|_| io::Error::other("the server did not start"))?;
        let result = inside(&ends.0, async || {
            drive(
                Dialer::new(client, netns::A.into())?,
                (netns::B, PORT).into(),
                work,
            )
            .await
        });
        done.notify_one();
        serving
            .join()
            .map_err(|_| io::Error::other("the server failed"))??;
        result
    })
}

/// The same with smoltcp as the server, on a TUN device of the client's namespace.
fn measure_smoltcp(at: &(Namespace, Tun), work: Work) -> io::Result<f64> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let serving =
            scope.spawn(|| user_space::serve(&at.1, PORT, matches!(work, Work::Echo(_)), &over));
        let to = (user_space::ADDRESS, PORT).into();
        let result = inside(&at.0, async || drive(Dialer::Kernel, to, work).await);
        over.store(true, Ordering::Relaxed);
        serving
            .join()
            .map_err(|_| io::Error::other("smoltcp failed"))??;
        result
    })
}

/// Connections from all ports of a client to one port of a server, all of them open at the same
/// time: what one costs among the first and among the last.
pub(crate) fn all_ports(rounds: usize) -> io::Result<Table> {
    let mut table = Table::new(
        format!("Wire: us for each connection to one peer's port, {ALL_PORTS} at the same time"),
        true,
    );
    let ends = netns::pair(Cable::PLAIN)?;
    for _ in 0..rounds {
        let (ready, wait) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                inside(&ends.1, async || {
                    let listening = Side::RAW.listen(netns::B.into()).await?;
                    ready.send(()).map_err(io::Error::other)?;
                    let mut held = Vec::new();
                    for _ in 0..ALL_PORTS {
                        held.push(listening.accept().await?);
                    }
                    Ok(())
                })
            });
            wait.recv()
                .map_err(|_| io::Error::other("the server did not start"))?;
            inside(&ends.0, async || {
                let ports = link(LinkKind::Raw, netns::A.into(), Ports::Block(ALL_PORTS));
                let host = Host::open(ports, reno())?;
                let mut held = Vec::new();
                while held.len() < usize::from(ALL_PORTS) {
                    let start = Instant::now();
                    for _ in 0..THOUSAND {
                        held.push(host.connect((netns::B, PORT).into()).await?);
                    }
                    let each = start.elapsed().as_secs_f64() * 1e6 / THOUSAND as f64;
                    match held.len() {
                        THOUSAND => table.add("the first thousand", each),
                        made if made == usize::from(ALL_PORTS) => {
                            table.add("the last thousand", each);
                        }
                        _ => {}
                    }
                }
                host.abort_all();
                Ok(())
            })?;
            serving
                .join()
                .map_err(|_| io::Error::other("the server failed"))?
        })?;
    }
    Ok(table)
}

/// What is measured: who is between the ends, and what they do.
pub(crate) struct Bench {
    title: &'static str,
    work: Work,
    ends: (Namespace, Namespace),
    /// A firewall loses segments.
    lossy: bool,
    /// Where smoltcp is, if it takes part.
    user_space: Option<(Namespace, Tun)>,
}

/// All works, each in namespaces of its own.
pub(crate) fn all(quick: bool) -> io::Result<Vec<Bench>> {
    let (connections, octets, lossy_octets, echoes) = if quick {
        (300, 8 << 20, 1 << 20, 500)
    } else {
        (2000, 64 << 20, 4 << 20, 3000)
    };
    let single = || -> io::Result<_> {
        let ends = netns::pair(Cable::PLAIN)?;
        one_segment_a_packet(&ends.0)?;
        one_segment_a_packet(&ends.1)?;
        Ok(ends)
    };
    let tun = || {
        Tun::alone(1500).map_or_else(
            |error| {
                eprintln!("without smoltcp on a wire: {error}");
                None
            },
            Some,
        )
    };
    Ok(vec![
        Bench {
            title: "Wire: connections/s (connect, accept, reset; one at a time)",
            work: Work::Connections(connections),
            lossy: false,
            ends: single()?,
            user_space: tun(),
        },
        Bench {
            title: "Wire: echo round trip, median, us",
            work: Work::Echo(echoes),
            lossy: false,
            ends: single()?,
            user_space: tun(),
        },
        Bench {
            title: "Wire: bulk, Mbit/s, no offloads at all",
            work: Work::Bulk(octets),
            lossy: false,
            ends: single()?,
            user_space: tun(),
        },
        Bench {
            title: "Wire: bulk, Mbit/s, with the kernel's segmentation in software",
            work: Work::Bulk(octets),
            lossy: false,
            ends: netns::pair(Cable::PLAIN)?,
            user_space: None,
        },
        Bench {
            title: "Wire: bulk, Mbit/s, with all offloads",
            work: Work::Bulk(octets * 16),
            lossy: false,
            ends: netns::pair(Cable::default())?,
            user_space: None,
        },
        Bench {
            title: "Wire: bulk, Mbit/s, 1 % of the segments lost",
            work: Work::Bulk(lossy_octets),
            lossy: true,
            ends: lossy(1)?,
            user_space: None,
        },
        Bench {
            title: "Wire: bulk, Mbit/s, 5 % of the segments lost",
            work: Work::Bulk(lossy_octets),
            lossy: true,
            ends: lossy(5)?,
            user_space: None,
        },
    ])
}

impl Bench {
    pub(crate) fn title(&self) -> &str {
        self.title
    }

    pub(crate) fn run(&self, rounds: usize) -> io::Result<Table> {
        let mut table = Table::new(self.title, matches!(self.work, Work::Echo(_)));
        let pairs = [
            ("kernel to kernel", Side::Kernel, Side::Kernel),
            ("tcpx to tcpx", Side::RAW, Side::RAW),
            ("tcpx to tcpx, packet link", Side::PACKET, Side::PACKET),
            ("tcpx to kernel", Side::RAW, Side::Kernel),
            ("tcpx to kernel, packet link", Side::PACKET, Side::Kernel),
            ("kernel to tcpx", Side::Kernel, Side::RAW),
            ("kernel to tcpx, packet link", Side::Kernel, Side::PACKET),
        ];
        for _ in 0..rounds {
            for (name, client, server) in pairs {
                // The firewall, which loses segments here, does not see what packet sockets do.
                if self.lossy && (client == Side::PACKET || server == Side::PACKET) {
                    continue;
                }
                table.add(name, measure(&self.ends, client, server, self.work)?);
            }
            if let Some(at) = &self.user_space {
                table.add("kernel to smoltcp (TUN)", measure_smoltcp(at, self.work)?);
            }
        }
        Ok(table)
    }
}
