//! Hosts in memory: the same [`Host`], [`Stream`](crate::Stream) and [`Listener`](crate::Listener),
//! without a privilege or a packet outside the process.
//!
//! The links between them are those of [`tcpx_proto::sim`], the clock is tokio's: real time, or
//! none at all in a runtime whose clock is paused. Then hours of TIME-WAIT and retransmissions pass
//! in milliseconds, and the same program does the same each time.

use crate::driver::{Shared, Wire};
use crate::error::Error;
use crate::host::{self, Host, HostOptions};
use crate::link::SendBatch;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use tcpx_proto::sim::{self, Link, Passage};
use tcpx_proto::time::{Duration, Instant};
use tokio::sync::Notify;

/// Hosts and the links between them. Clones share it; it ends with the last of them and of the
/// hosts' handles, and all hosts with it.
///
/// ```
/// # use std::{error::Error, io};
/// use tcpx::network::Network;
/// use tcpx::{HostOptions, Listener};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn Error>> {
/// let network = Network::new(1)?;
/// let client = network.add_host("10.0.0.1".parse()?, HostOptions::default());
/// let server = network.add_host("10.0.0.2".parse()?, HostOptions::default());
/// let listener: Listener = server.listen(80, 8, &server.config().conn)?;
/// let mut near = client.connect("10.0.0.2:80".parse()?).await?;
/// let mut far = listener.accept().await?;
/// near.write_all(b"hello").await?;
/// near.shutdown().await?;
/// let mut heard = String::new();
/// far.read_to_string(&mut heard).await?;
/// assert_eq!(heard, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Network {
    net: Arc<Net>,
}

impl Network {
    /// A network without hosts, whose clock begins now, at zero. What goes wrong on links is drawn
    /// from `seed`, and so is the seed of each host that has none of its own.
    ///
    /// # Errors
    /// Outside a tokio runtime. (One without a timer is found out later: every host then ends with
    /// an error.)
    pub fn new(seed: u64) -> Result<Network, Error> {
        let runtime = host::runtime()?;
        let (clock, nudge) = (Arc::<AtomicU64>::default(), Arc::<Notify>::default());
        let net = Arc::new(Net {
            seed,
            start: tokio::time::Instant::now(),
            clock,
            nudge: Arc::clone(&nudge),
            driving: Mutex::new(()),
            air: Mutex::new(sim::Net::new(seed)),
            hosts: Mutex::default(),
        });
        runtime.spawn(run(Watch(Arc::downgrade(&net)), nudge));
        Ok(Network { net })
    }

    /// Adds a host with all ports of this address, IPv4 or IPv6. A host that has the address
    /// already hears nothing more. It lives as long as the network.
    pub fn add_host(&self, address: IpAddr, options: HostOptions) -> Host {
        let mut hosts = lock(&self.net.hosts);
        let seed = options
            .seed
            .unwrap_or_else(|| self.net.seed.wrapping_add(hosts.len() as u64 + 1));
        let (clock, nudge) = (Arc::clone(&self.net.clock), Arc::clone(&self.net.nudge));
        let port = Port {
            net: Arc::downgrade(&self.net),
            clock,
            nudge,
            address,
            mtu: options.config.conn.mtu,
        };
        let host = Host::on(
            Wire::Memory(port),
            options,
            seed,
            Some(Arc::clone(&self.net)),
        );
        hosts.push((address, Arc::clone(host.shared())));
        host
    }

    /// What the way from one address to another is like for packets that depart from now on; before
    /// that, [`Link::default`]: 1 ms, and nothing goes wrong. A cable that is cut is `Link { loss:
    /// 1000, ..link }`, until the next call mends it.
    pub fn link(&self, from: IpAddr, to: IpAddr, link: Link) {
        lock(&self.net.air).set(from, to, link);
    }

    /// The time since the network began, on tokio's clock.
    pub fn elapsed(&self) -> Duration {
        self.net.start.elapsed()
    }
}

pub(crate) struct Net {
    seed: u64,
    start: tokio::time::Instant,
    /// The time of what happens, in nanoseconds since the start: never ahead of tokio's.
    clock: Arc<AtomicU64>,
    /// The loop must look at its deadline anew, or end.
    nudge: Arc<Notify>,
    /// Held by whoever lets things happen.
    driving: Mutex<()>,
    air: Mutex<sim::Net<IpAddr>>,
    hosts: Mutex<Vec<(IpAddr, Arc<Shared>)>>,
}

impl Net {
    /// Lets everything happen that is due by now, each at its own time. Nothing to do while
    /// somebody is at it: a call from within goes on at the time of what happens.
    fn catch_up(&self) {
        let _driving = match self.driving.try_lock() {
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Ok(driving) => driving,
        };
        let now = Instant::ZERO + self.start.elapsed();
        while let Some(at) = self.deadline().filter(|at| *at <= now) {
            self.clock.fetch_max(at.0, Ordering::Relaxed);
            self.happen(at);
        }
        self.clock.fetch_max(now.0, Ordering::Relaxed);
    }

    /// The next thing, as in a [`sim::Sim`]: an arrival before a timer.
    fn happen(&self, at: Instant) {
        // The lock is free again before a host is told.
        let arrived = lock(&self.air).arrive(at);
        match arrived {
            Some(Passage { to, packet, .. }) => {
                let host = lock(&self.hosts)
                    .iter()
                    .rev()
                    .find(|(address, _)| *address == to)
                    .map(|(_, host)| Arc::clone(host));
                if let Some(host) = host {
                    host.arrives(&packet);
                }
            }
            None => self
                .all()
                .iter()
                .filter(|host| host.deadline().is_some_and(|due| due <= at))
                .for_each(|host| host.timeout()),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let arrival = lock(&self.air).deadline();
        self.all()
            .iter()
            .filter_map(|host| host.deadline())
            .chain(arrival)
            .min()
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        lock(&self.hosts)
            .iter()
            .map(|(_, host)| Arc::clone(host))
            .collect()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.all().iter().for_each(|host| host.end());
    }
}

/// A host's place on the network.
pub(crate) struct Port {
    net: Weak<Net>,
    clock: Arc<AtomicU64>,
    nudge: Arc<Notify>,
    address: IpAddr,
    mtu: u16,
}

impl Port {
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    pub(crate) fn mtu(&self) -> u16 {
        self.mtu
    }

    pub(crate) fn now(&self) -> Instant {
        Instant(self.clock.load(Ordering::Relaxed))
    }

    pub(crate) fn nudge(&self) -> Arc<Notify> {
        Arc::clone(&self.nudge)
    }

    pub(crate) fn catch_up(&self) {
        if let Some(net) = self.net.upgrade() {
            net.catch_up();
        }
    }

    /// Sends what is in the batch, and empties it.
    pub(crate) fn flush(&self, now: Instant, batch: &mut SendBatch) {
        let Some(net) = self.net.upgrade() else {
            return batch.drain().for_each(drop);
        };
        let mut air = lock(&net.air);
        for (packet, to) in batch.drain() {
            if let Some(to) = to {
                // Whether the link loses it is nobody's business here.
                _ = air.depart(
                    now,
                    self.address,
                    Passage {
                        to: to.ip(),
                        departed: 0,
                        packet: packet.to_vec(),
                    },
                );
            }
        }
        self.nudge.notify_one();
    }
}

/// Makes the handles learn that the loop is over: the runtime dropped it.
struct Watch(Weak<Net>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(net) = self.0.upgrade() {
            net.all().iter().for_each(|host| host.abandon());
        }
    }
}

/// Runs until the network is gone.
async fn run(watch: Watch, nudge: Arc<Notify>) {
    while let Some(next) = work(&watch.0) {
        match next {
            None => nudge.notified().await,
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = nudge.notified() => {}
            },
        }
    }
}

/// Does what is due and says until when to sleep; `None`: the network is gone.
fn work(net: &Weak<Net>) -> Option<Option<tokio::time::Instant>> {
    let net = net.upgrade()?;
    net.catch_up();
    Some(
        net.deadline()
            .and_then(|at| net.start.checked_add(at.since(Instant::ZERO))),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
