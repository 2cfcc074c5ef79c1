//! A host of our own on one address and a block of ports: where connections come from.

use crate::checksum;
use crate::driver::{self, Endpoint, Net, Shared, Wire};
use crate::error::Error;
use crate::handle::Handle;
use crate::link::{Link, LinkOptions};
use crate::listener::Listener;
use crate::stream::Stream;
use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::task::Poll;
use tcpx_proto::config::{Config, ConnConfig};
use tcpx_proto::fault::{FaultRule, Gate};
use tcpx_proto::id::ConnId;
use tcpx_proto::script::AppAction;
use tcpx_proto::stack::{Counters, Stack};
use tcpx_proto::tcb::Status;
use tcpx_proto::time::Duration;
use tcpx_proto::trace::Observer;

pub use crate::handle::Host;

/// The usual backlog.
const BACKLOG: usize = 128;

/// The options of a host, besides its link. The default: Linux's replies and timers, no faults, no
/// observers.
///
/// ```
/// use tcpx::HostOptions;
/// use tcpx_proto::config::{KeepAlive, Profile};
/// use tcpx_proto::preset::Preset;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut options = HostOptions { config: Profile::Rfc9293.config(), seed: Some(7), ..HostOptions::default() };
/// options.config.conn.keepalive = Some(KeepAlive::default());
/// Preset::find("time-wait").ok_or("no such rule")?.apply(&mut options.config, &mut options.faults);
/// options.faults.push("delay=3s out fin".parse()?);
/// # Ok(())
/// # }
/// ```
pub struct HostOptions {
    /// The stack's configuration. On a wire the MTU follows from the link, and so does the most
    /// that a receive buffer can be.
    pub config: Config,
    /// Fault rules, the first match wins ([`tcpx_proto::fault`]).
    /// [`check`](tcpx_proto::fault::check) finds holds that nothing releases.
    pub faults: Vec<FaultRule>,
    /// All randomness comes from this: ISNs, ports, chance in faults. `None`: from the operating
    /// system, which it must where peers are not trusted; in memory: from the network's.
    pub seed: Option<u64>,
    /// The observers of everything that happens ([`record`](crate::record)). Without observers and
    /// faults, recording costs nothing.
    pub observers: Vec<Box<dyn Observer>>,
    /// On a wire: how long the host looks for the next packet before its task sleeps, 200 µs.
    /// It does so only where packets and calls came sooner than this lately, so that an idle host
    /// costs no CPU time, and lets every other task of the runtime run first. What is written
    /// meanwhile leaves once those tasks have run. Zero: it sleeps at once and sends at once, which
    /// costs some 25 µs more for each packet that is waited for.
    pub stay_awake: Duration,
}

impl Default for HostOptions {
    fn default() -> HostOptions {
        HostOptions {
            config: Config::default(),
            faults: Vec::new(),
            seed: None,
            observers: Vec::new(),
            stay_awake: Duration::from_micros(200),
        }
    }
}

impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostOptions")
            .field("config", &self.config)
            .field("faults", &self.faults)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Opens the link and starts a host on it, inside a tokio runtime with I/O.
    ///
    /// # Errors
    /// Those of [`Link::open`] and of [`with_link`](Host::with_link).
    pub fn open(link: LinkOptions, options: HostOptions) -> Result<Host, Error> {
        Host::with_link(Link::open(link)?, options)
    }

    /// Starts a host on a link that is open already, inside a tokio runtime with I/O.
    ///
    /// # Errors
    /// Outside a tokio runtime, and when the operating system's random source fails.
    pub fn with_link(link: Link, options: HostOptions) -> Result<Host, Error> {
        let runtime = runtime()?;
        let seed = match options.seed {
            Some(seed) => seed,
            None => random_seed().map_err(Error::io("read the system's random source"))?,
        };
        let host = Host::on(Wire::Raw(Box::new(link)), options, seed, None);
        runtime.spawn(driver::run(Arc::clone(&host.handle.shared)));
        Ok(host)
    }

    /// A host without a loop that drives it.
    pub(crate) fn on(
        wire: Wire,
        mut options: HostOptions,
        seed: u64,
        network: Option<Arc<Net>>,
    ) -> Host {
        fit(&mut options.config.conn, &wire);
        let mut stack = Stack::new(options.config.clone(), seed);
        stack.sum_by(checksum::fastest());
        stack.reserve(wire.address(), wire.ports());
        let endpoint = Endpoint::new(stack, Gate::new(options.faults, seed), options.observers);
        let shared = Arc::new(Shared::new(wire, endpoint, options.stay_awake));
        Host {
            handle: Arc::new(Handle {
                shared,
                seed,
                config: options.config,
                network,
            }),
        }
    }

    /// Connects from any of our ports with the host's configuration, and waits until the connection
    /// is established. Dropping the wait gives the attempt up.
    ///
    /// # Errors
    /// Those of [`connect_with`](Host::connect_with).
    pub async fn connect(&self, remote: SocketAddr) -> Result<Stream, Error> {
        self.connect_with(0, remote, &self.config().conn).await
    }

    /// Connects from one of our ports (0: any) and waits until the connection is established.
    ///
    /// # Errors
    /// A refused call (port not reserved or in use, no such remote address), or how the attempt
    /// ended: refused, timed out, unreachable.
    pub async fn connect_with(
        &self,
        port: u16,
        remote: SocketAddr,
        config: &ConnConfig,
    ) -> Result<Stream, Error> {
        let stream = self.start_connect(port, remote, config)?;
        stream.established().await?;
        Ok(stream)
    }

    /// Active OPEN (RFC 9293 section 3.10.1): sends a SYN from one of our ports (0: any) and gives
    /// the connection at once, in SYN-SENT.
    ///
    /// # Errors
    /// A refused call: port not reserved or in use, no such remote address, a limit. No route to
    /// it.
    pub fn start_connect(
        &self,
        port: u16,
        remote: SocketAddr,
        config: &ConnConfig,
    ) -> Result<Stream, Error> {
        self.start_connect_with_data(port, remote, config, &[])
            .map(|(stream, _)| stream)
    }

    /// Active OPEN and SEND in one, as `MSG_FASTOPEN` (RFC 7413): with
    /// [`fast_open`](ConnConfig::fast_open) and a cookie that this peer gave before, the SYN
    /// carries as much of the data as fits, and the peer may answer one round trip earlier;
    /// otherwise the data waits for the handshake. Gives the connection at once, in SYN-SENT, and
    /// how many bytes were taken. The peer may get the data of a SYN twice: use it only for
    /// requests that are idempotent (RFC 7413 section 6.1).
    ///
    /// # Errors
    /// Those of [`start_connect`](Host::start_connect).
    ///
    /// ```
    /// use tcpx::{HostOptions, network::Network};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut options = [HostOptions::default(), HostOptions::default()];
    /// options.iter_mut().for_each(|options| options.config.conn.fast_open = true);
    /// let [near, far] = options;
    /// let network = Network::new(1)?;
    /// let client = network.add_host("10.0.0.1".parse()?, near);
    /// let server = network.add_host("10.0.0.2".parse()?, far);
    /// let listener = server.listen(80)?;
    /// let peer = listener.local_addr();
    /// // The first connection brings the cookie, the second one uses it.
    /// client.connect(peer).await?;
    /// listener.accept().await?;
    /// let config = client.config().conn.clone();
    /// let (mut stream, taken) = client.start_connect_with_data(0, peer, &config, b"hello")?;
    /// assert_eq!(taken, 5);
    /// let (mut accepted, _) = listener.accept().await?;
    /// let mut heard = [0; 5];
    /// accepted.read_exact(&mut heard).await?;
    /// accepted.write_all(&heard).await?; // before the third ACK
    /// stream.read_exact(&mut heard).await?;
    /// assert_eq!(server.counters().fast_opens, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_connect_with_data(
        &self,
        port: u16,
        remote: SocketAddr,
        config: &ConnConfig,
        data: &[u8],
    ) -> Result<(Stream, usize), Error> {
        let shared = &self.handle.shared;
        let local = SocketAddr::new(shared.wire.address(), port);
        let config = self.fitted(config);
        let (id, local, taken) = shared.connect(local, remote, &config, data)?;
        let stream = Stream::new(Arc::clone(&self.handle), id, local, remote);
        Ok((stream, taken))
    }

    /// Passive OPEN on one of our ports, with the host's configuration and a backlog of 128.
    ///
    /// # Errors
    /// Those of [`listen_with`](Host::listen_with).
    pub fn listen(&self, port: u16) -> Result<Listener, Error> {
        self.listen_with(port, BACKLOG, &self.config().conn)
    }

    /// Passive OPEN on one of our ports. `backlog`, at least 1: the most connections in
    /// SYN-RECEIVED, and the most that wait for `accept`, each. `config` is that of the
    /// connections.
    ///
    /// # Errors
    /// The port is not reserved, or there is a listener already; the host has ended.
    pub fn listen_with(
        &self,
        port: u16,
        backlog: usize,
        config: &ConnConfig,
    ) -> Result<Listener, Error> {
        let shared = &self.handle.shared;
        let local = SocketAddr::new(shared.wire.address(), port);
        let config = self.fitted(config);
        let id =
            shared.with(|endpoint, now| endpoint.stack.listen(now, local, backlog, &config))??;
        Ok(Listener::new(Arc::clone(&self.handle), id, local))
    }

    /// Sends and receives nothing from now on, like a host that lost power. The guard keeps the
    /// kernel quiet, too.
    pub fn vanish(&self) {
        // A host that ended is silent already.
        _ = self.handle.shared.with(|endpoint, _| endpoint.go_silent());
    }

    /// Loses every connection and listener without sending a segment, and goes on: a host that
    /// restarted.
    pub fn restart(&self) {
        // A host that ended has none.
        _ = self
            .handle
            .shared
            .with(|endpoint, now| endpoint.stack.restart(now));
    }

    /// Tells the observers what an application did.
    pub fn tell(&self, conn: Option<ConnId>, action: AppAction) {
        // A host that ended has none.
        _ = self
            .handle
            .shared
            .with(|endpoint, now| endpoint.observe_app(now, conn, action));
    }

    /// Makes the observers write out what they hold.
    pub fn flush(&self) {
        // A host that ended has done so.
        _ = self
            .handle
            .shared
            .with(|endpoint, _| endpoint.observer.flush());
    }

    /// Aborts every connection: a RST where the peer may know of it. TIME-WAIT is simply over.
    pub fn abort_all(&self) {
        // A host that ended has none, and one that has been let go of already finishes by itself,
        // or ends with the host.
        _ = self.handle.shared.with(|endpoint, now| {
            for id in endpoint.stack.connections().collect::<Vec<_>>() {
                _ = endpoint.stack.abort(now, id);
            }
        });
    }

    /// Adds a rule to the gate, after the others. Its counts start here: `data#1` is the next
    /// segment with data.
    pub fn add_fault(&self, rule: FaultRule) {
        // A host that ended sends nothing that a rule could be for.
        _ = self
            .handle
            .shared
            .with(|endpoint, _| endpoint.add_rule(rule));
    }

    /// Ends all fault rules, those of [`HostOptions::faults`] and of presets as well; what they
    /// held back goes on.
    pub fn end_faults(&self) {
        // A host that ended holds nothing back.
        _ = self
            .handle
            .shared
            .with(|endpoint, _| endpoint.release_all());
    }

    /// Puts back what a preset removed by faults and hold-backs (`third-ack`).
    pub fn release(&self, preset: &str) {
        // A host that ended holds nothing back.
        _ = self
            .handle
            .shared
            .with(|endpoint, now| endpoint.release(now, preset));
    }

    /// Waits until every connection is CLOSED, TIME-WAIT included. Cancel-safe. Listeners go on:
    /// drop them first.
    ///
    /// # Errors
    /// The host ended first.
    pub async fn closed(&self) -> Result<(), Error> {
        poll_fn(|context| {
            self.handle
                .shared
                .poll_emptied(context.waker())
                .map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Every connection there is a record of.
    pub fn connections(&self) -> Vec<Status> {
        self.handle
            .shared
            .with(|endpoint, _| {
                endpoint
                    .stack
                    .connections()
                    .filter_map(|id| endpoint.stack.status(id))
                    .collect()
            })
            .unwrap_or_default()
    }

    /// What the stack counted; zeros once a panic has ended the host.
    pub fn counters(&self) -> Counters {
        self.handle
            .shared
            .with(|endpoint, _| endpoint.stack.counters())
            .unwrap_or_default()
    }

    /// The link; `None` in memory.
    pub fn link(&self) -> Option<&Link> {
        match &self.handle.shared.wire {
            Wire::Raw(link) => Some(link),
            Wire::Memory(_) => None,
        }
    }

    /// What keeps the kernel quiet, in words.
    pub fn guard_description(&self) -> String {
        self.link().map_or_else(
            || "none is needed in memory".into(),
            Link::guard_description,
        )
    }

    /// Our address.
    pub fn address(&self) -> IpAddr {
        self.handle.shared.wire.address()
    }

    /// Our ports.
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.handle.shared.wire.ports()
    }

    /// The configuration, fitted to the link.
    pub fn config(&self) -> &Config {
        &self.handle.config
    }

    /// The seed that repeats this run.
    pub fn seed(&self) -> u64 {
        self.handle.seed
    }

    fn fitted(&self, config: &ConnConfig) -> ConnConfig {
        let mut config = config.clone();
        fit(&mut config, &self.handle.shared.wire);
        config
    }
}

/// What the link dictates: its MTU, and no larger window than the socket's buffer holds.
fn fit(config: &mut ConnConfig, wire: &Wire) {
    config.mtu = wire.mtu();
    config.receive_buffer = config.receive_buffer.min(wire.receive_capacity());
}

/// The runtime that the caller is in.
pub(crate) fn runtime() -> Result<tokio::runtime::Handle, Error> {
    let outside = |_| std::io::Error::other("this thread is not in a tokio runtime");
    tokio::runtime::Handle::try_current()
        .map_err(outside)
        .map_err(Error::io("start a host"))
}

/// A seed from the system's random source.
///
/// # Errors
/// It cannot be read.
pub fn random_seed() -> std::io::Result<u64> {
    Ok(getrandom::u64()?)
}
