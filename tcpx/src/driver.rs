//! The one loop: packets, calls and timers in; packets, wake-ups and records out.

use crate::edge::Edge;
use crate::error::Error;
use crate::link::{self, Kind, Link, SendBatch};
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use tcpx_proto::config::ConnConfig;
use tcpx_proto::event::{CloseReason, Signal};
use tcpx_proto::stack::{CallError, ConnId, ListenerId, Stack, Status, TransmitError};
use tcpx_proto::time::Instant;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// Packets handed to the kernel in one call.
const BATCH: usize = 32;

/// Batches received in a row before timers are served.
const BATCHES_IN_A_ROW: usize = 4;

/// What the loop and every handle share.
pub(crate) struct Shared {
    pub(crate) link: Link,
    inner: Mutex<Inner>,
    /// The loop must look at its deadline anew, or end.
    nudge: Notify,
}

struct Inner {
    edge: Edge,
    batch: SendBatch,
    /// The connection of each packet in the batch.
    senders: Vec<(Option<ConnId>, SocketAddr)>,
    waiters: HashMap<ConnId, Waiters>,
    accepters: HashMap<ListenerId, Vec<Waker>>,
    /// Until when the loop sleeps.
    asleep_until: Option<Instant>,
    /// Handles of the host are gone, or the link failed: nothing happens any more.
    ended: Option<Ended>,
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Dropped,
    Failed(io::ErrorKind),
}

/// Who waits for a connection. There is an entry for each that has a handle.
#[derive(Default)]
struct Waiters {
    read: Option<Waker>,
    write: Option<Waker>,
    /// Those that wait for ESTABLISHED or CLOSED.
    state: Vec<Waker>,
    established: bool,
    closed: Option<CloseReason>,
}

impl Waiters {
    fn wake_all(&mut self) {
        self.read.take().into_iter().chain(self.write.take()).chain(self.state.drain(..)).for_each(Waker::wake);
    }
}

/// What a handle waits for.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    Read,
    Write,
    State,
}

/// Now, on the clock that the timer uses, too.
pub(crate) fn now() -> Instant {
    let time = rustix::time::clock_gettime(ClockId::Monotonic);
    Instant(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

impl Shared {
    pub(crate) fn new(link: Link, edge: Edge) -> Shared {
        let batch = SendBatch::new(BATCH, link.mtu());
        let inner = Inner {
            edge,
            batch,
            senders: Vec::with_capacity(BATCH),
            waiters: HashMap::new(),
            accepters: HashMap::new(),
            asleep_until: None,
            ended: None,
        };
        Shared { link, inner: Mutex::new(inner), nudge: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held has ended the loop; the handles learn of that from `ended`.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the edge, then everything that follows from it.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Edge, Instant) -> R) -> R {
        self.act(|inner, now| f(&mut inner.edge, now))
    }

    /// The same with the waiters at hand: whoever leaves a waker in `f` misses nothing.
    fn act<R>(&self, f: impl FnOnce(&mut Inner, Instant) -> R) -> R {
        let mut inner = self.lock();
        // Under the lock, so that the engine's time never runs backwards.
        let now = now();
        let result = f(&mut inner, now);
        inner.pump(&self.link, now);
        let deadline = inner.edge.deadline();
        if deadline.is_some_and(|deadline| inner.asleep_until.is_none_or(|until| deadline < until)) {
            inner.asleep_until = deadline;
            self.nudge.notify_one();
        }
        result
    }

    /// A call of the engine that may have to wait; `None` leaves `waker` behind.
    pub(crate) fn poll_call<R>(
        &self,
        id: ConnId,
        wait: Wait,
        waker: &Waker,
        call: impl FnOnce(&mut Stack, Instant) -> Result<R, CallError>,
    ) -> Option<Result<R, Error>> {
        self.act(|inner, now| match (call(&mut inner.edge.stack, now), inner.ended) {
            (Err(CallError::WouldBlock), None) => {
                inner.waiters.entry(id).or_default().leave(wait, waker);
                None
            }
            (Err(CallError::WouldBlock), Some(ended)) => Some(Err(ended.error())),
            (Err(CallError::NoConnection), _) => {
                let closed = inner.waiters.get(&id).and_then(|waiters| waiters.closed);
                Some(Err(closed.map_or(Error::Call(CallError::NoConnection), Error::Ended)))
            }
            (other, _) => Some(other.map_err(Error::from)),
        })
    }

    /// Makes a connection and its handle's place among the waiters.
    pub(crate) fn connect(&self, local: SocketAddr, remote: SocketAddr, config: &ConnConfig) -> Result<(ConnId, SocketAddr), CallError> {
        self.act(|inner, now| {
            let id = inner.edge.stack.connect(now, local, remote, config)?;
            inner.waiters.entry(id).or_default();
            Ok((id, inner.edge.stack.status(id).map_or(local, |status| status.local)))
        })
    }

    /// Takes a connection of a listener, with its peer; `None` leaves `waker` behind.
    pub(crate) fn poll_accept(&self, listener: ListenerId, waker: &Waker) -> Option<Result<(ConnId, Option<Status>), Error>> {
        self.act(|inner, now| match (inner.edge.stack.accept(now, listener), inner.ended) {
            (Ok(id), _) => {
                inner.waiters.entry(id).or_default().established = true;
                Some(Ok((id, inner.edge.stack.status(id))))
            }
            (Err(CallError::WouldBlock), None) => {
                let accepters = inner.accepters.entry(listener).or_default();
                if !accepters.iter().any(|known| known.will_wake(waker)) {
                    accepters.push(waker.clone());
                }
                None
            }
            (Err(CallError::WouldBlock), Some(ended)) => Some(Err(ended.error())),
            (Err(error), _) => Some(Err(error.into())),
        })
    }

    /// The handle is gone.
    pub(crate) fn detach(&self, id: ConnId) {
        self.lock().waiters.remove(&id);
    }

    /// Whether the connection was established at some time, and how it ended if it has; leaves `waker` behind where it has not.
    pub(crate) fn poll_state(&self, id: ConnId, waker: &Waker) -> (bool, Option<Result<CloseReason, Error>>) {
        let mut inner = self.lock();
        let ended = inner.ended;
        let waiters = inner.waiters.entry(id).or_default();
        let closed = waiters.closed.map(Ok).or(ended.map(|ended| Err(ended.error())));
        if closed.is_none() {
            waiters.leave(Wait::State, waker);
        }
        (waiters.established, closed)
    }

    /// Ends the loop.
    pub(crate) fn end(&self) {
        self.finish(Ended::Dropped);
        self.nudge.notify_one();
    }

    fn finish(&self, why: Ended) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        inner.ended.get_or_insert(why);
        inner.edge.flush();
        inner.waiters.values_mut().for_each(Waiters::wake_all);
        inner.accepters.drain().flat_map(|(_, wakers)| wakers).for_each(Waker::wake);
    }
}

impl Waiters {
    fn leave(&mut self, wait: Wait, waker: &Waker) {
        match wait {
            Wait::Read => self.read = Some(waker.clone()),
            Wait::Write => self.write = Some(waker.clone()),
            Wait::State => {
                if !self.state.iter().any(|known| known.will_wake(waker)) {
                    self.state.push(waker.clone());
                }
            }
        }
    }
}

impl Ended {
    fn error(self) -> Error {
        let source = match self {
            Ended::Dropped => io::Error::other("the host was closed"),
            Ended::Failed(kind) => io::Error::from(kind),
        };
        Error::Io { act: "go on: the host has ended", source }
    }
}

impl Inner {
    /// Sends, wakes and tells until there is nothing left to do.
    fn pump(&mut self, link: &Link, now: Instant) {
        loop {
            let Some(slot) = self.batch.slot() else {
                self.flush(link, now);
                continue;
            };
            match self.edge.poll_transmit(now, slot) {
                Some(outgoing) => {
                    self.batch.commit(outgoing.len, outgoing.destination);
                    self.senders.push((outgoing.conn, outgoing.destination));
                }
                None if self.batch.is_empty() => break,
                None => self.flush(link, now),
            }
        }
        while let Some(signal) = self.edge.stack.poll_signal() {
            self.wake(signal);
        }
    }

    /// Hands the batch to the kernel and tells the engine what did not go.
    fn flush(&mut self, link: &Link, now: Instant) {
        let (edge, senders) = (&mut self.edge, &self.senders);
        link.flush(&mut self.batch, |index, error| {
            let Some((conn, destination)) = senders.get(index) else { return };
            let error = match error.raw_os_error() {
                Some(libc::EMSGSIZE) => {
                    link::mtu_to(destination.ip()).map_or(TransmitError::Lost, |mtu| TransmitError::TooBig(u32::from(mtu)))
                }
                _ => TransmitError::Lost,
            };
            edge.stack.transmit_failed(now, *conn, error);
        });
        self.senders.clear();
    }

    fn wake(&mut self, signal: Signal) {
        if let Signal::Acceptable(listener) = signal {
            self.accepters.remove(&listener).into_iter().flatten().for_each(Waker::wake);
            return;
        }
        let (Signal::Established(id) | Signal::Readable(id) | Signal::Writable(id) | Signal::Closed(id, _)) = signal else { return };
        let Some(waiters) = self.waiters.get_mut(&id) else { return };
        match signal {
            Signal::Established(_) => {
                waiters.established = true;
                waiters.state.drain(..).for_each(Waker::wake);
            }
            Signal::Readable(_) => waiters.read.take().into_iter().for_each(Waker::wake),
            Signal::Writable(_) => waiters.write.take().into_iter().for_each(Waker::wake),
            Signal::Closed(_, reason) => {
                waiters.closed = Some(reason);
                waiters.wake_all();
            }
            Signal::Acceptable(_) => {}
        }
    }
}

/// A timer on the monotonic clock, to the nanosecond where tokio's own rounds up to a millisecond.
struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set: Option<Instant>,
}

impl Alarm {
    fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: the AsyncFd owns the descriptor, and nobody replaces it.
        let timer = unsafe { AsyncFd::register(timer) }?;
        Ok(Alarm { timer, set: None })
    }

    /// Rings no later than `deadline`; perhaps earlier, where it was set for earlier before.
    fn set(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(deadline) = deadline.filter(|deadline| self.set.is_none_or(|set| *deadline < set)) else { return Ok(()) };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let (seconds, nanos) = (deadline.0 / 1_000_000_000, deadline.0 % 1_000_000_000);
        let it_value = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: nanos as _ };
        let time = Itimerspec { it_interval: zero, it_value };
        rustix::time::timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &time)?;
        self.set = Some(deadline);
        Ok(())
    }

    async fn ring(&mut self) -> io::Result<()> {
        let mut ready = self.timer.readable().await?;
        let mut count = [0; 8];
        match rustix::io::read(ready.get_inner(), &mut count) {
            Ok(_) => self.set = None,
            Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Makes the handles learn that the loop is over, however it ended.
struct Watch(Arc<Shared>, Ended);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.finish(self.1);
    }
}

/// Runs until [`Shared::end`], or until the link fails.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut watch = Watch(Arc::clone(&shared), Ended::Failed(io::ErrorKind::Other));
    watch.1 = match serve(&shared).await {
        Ok(()) => Ended::Dropped,
        Err(error) => {
            tracing::error!(%error, "the link failed");
            Ended::Failed(error.kind())
        }
    };
}

async fn serve(shared: &Shared) -> io::Result<()> {
    let mut alarm = Alarm::new()?;
    loop {
        let deadline = {
            let mut inner = shared.lock();
            if inner.ended.is_some() {
                return Ok(());
            }
            inner.edge.flush();
            let deadline = inner.edge.deadline();
            inner.asleep_until = deadline;
            deadline
        };
        alarm.set(deadline)?;
        tokio::select! {
            ready = shared.link.readable() => ready?,
            rung = alarm.ring() => rung?,
            () = shared.nudge.notified() => {}
        }
        work(shared)?;
    }
}

/// Takes in what waits and does what is due.
fn work(shared: &Shared) -> io::Result<()> {
    let mut inner = shared.lock();
    for _ in 0..BATCHES_IN_A_ROW {
        let now = now();
        let edge = &mut inner.edge;
        let received = shared.link.receive(|kind, packet| match kind {
            Kind::Tcp => edge.arrives(now, packet),
            Kind::Icmp => edge.icmp_arrives(now, packet),
        })?;
        inner.edge.timeout(now);
        inner.pump(&shared.link, now);
        if received == 0 {
            break;
        }
    }
    Ok(())
}
