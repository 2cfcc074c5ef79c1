//! A network in memory: packets in the air, and the hosts to which they go.

use super::{Shared, Wire};
use crate::link::SendBatch;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use tcpx_proto::sim::{self, Link, Passage};
use tcpx_proto::time::{Duration, Instant};
use tokio::sync::Notify;

pub(crate) struct Net {
    seed: u64,
    start: tokio::time::Instant,
    /// The time of what happens, in nanoseconds since the start: never ahead of tokio's.
    clock: Arc<AtomicU64>,
    /// The loop must check its deadline again, or end.
    nudge: Arc<Notify>,
    /// Held by the task that advances the network.
    driving: Mutex<()>,
    air: Mutex<sim::Net<IpAddr>>,
    hosts: Mutex<Vec<(IpAddr, Arc<Shared>)>>,
}

impl Net {
    /// A network whose clock begins now, and the loop that drives it.
    pub(crate) fn start(seed: u64, runtime: &tokio::runtime::Handle) -> Arc<Net> {
        let nudge = Arc::<Notify>::default();
        let net = Arc::new(Net {
            seed,
            start: tokio::time::Instant::now(),
            clock: Arc::default(),
            nudge: Arc::clone(&nudge),
            driving: Mutex::new(()),
            air: Mutex::new(sim::Net::new(seed)),
            hosts: Mutex::default(),
        });
        runtime.spawn(run(Watch(Arc::downgrade(&net)), nudge));
        net
    }

    /// Adds what `make` makes of a link to this network and a seed.
    pub(crate) fn add<T>(
        self: &Arc<Net>,
        address: IpAddr,
        mtu: u16,
        make: impl FnOnce(Wire, u64) -> (T, Arc<Shared>),
    ) -> T {
        let mut hosts = lock(&self.hosts);
        let seed = self.seed.wrapping_add(hosts.len() as u64 + 1);
        let link = MemoryLink {
            net: Arc::downgrade(self),
            clock: Arc::clone(&self.clock),
            nudge: Arc::clone(&self.nudge),
            address,
            mtu,
        };
        let (made, shared) = make(Wire::Memory(link), seed);
        hosts.push((address, shared));
        made
    }

    /// What the way from one address to another is like from now on.
    pub(crate) fn set_link(&self, from: IpAddr, to: IpAddr, link: Link) {
        lock(&self.air).set(from, to, link);
    }

    /// The time since it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Processes everything that is due by now, each at its own time. Does nothing if this is
    /// already running: a nested call continues at the time of the current event.
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
        // The lock is released before a host is notified.
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

/// A host's link to the network.
pub(crate) struct MemoryLink {
    net: Weak<Net>,
    clock: Arc<AtomicU64>,
    nudge: Arc<Notify>,
    address: IpAddr,
    mtu: u16,
}

impl MemoryLink {
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
            return batch.clear();
        };
        let mut air = lock(&net.air);
        for (packet, to) in batch.addressed() {
            if let Some(to) = to {
                // The sender does not learn whether the link loses it.
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
        drop(air);
        batch.clear();
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
