//! The one loop: packets, calls and timers in; packets, wake-ups and records out.
//!
//! Loop and handles share one lock. Each change under it is followed by a pump: the output goes out
//! at once, in batches; where the loop is awake, it sends what calls left in the batch together. The
//! loop itself sleeps until a packet, a deadline, or a nudge: there is an earlier deadline,
//! something to send, or nothing more to do.

mod alarm;
mod memory;
mod output;
mod spin;
mod waiters;
mod wire;

use crate::clock::now;
use crate::error::Error;
use crate::link::{Kind, Link, SendBatch};
use alarm::Alarm;
use spin::Spin;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use tcpx_proto::config::ConnConfig;
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::stack::Stack;
use tcpx_proto::state::State;
use tcpx_proto::tcb::Status;
use tcpx_proto::time::{Duration, Instant};
use tcpx_proto::trace::Observer;
use tokio::sync::Notify;
use waiters::Waiters;

pub(crate) use memory::Net;
pub(crate) use waiters::Wait;
pub(crate) use wire::Wire;

/// The endpoint of a host.
pub(crate) type Endpoint = tcpx_proto::endpoint::Endpoint<Vec<Box<dyn Observer>>>;

/// Packets handed to the kernel in one call.
const BATCH: usize = 32;

/// Batches received in a row before the lock is released.
const BATCHES_IN_A_ROW: usize = 4;

/// What the loop and every handle share.
pub(crate) struct Shared {
    pub(crate) wire: Wire,
    inner: Mutex<Inner>,
    /// The loop must check its deadline again, send, or end.
    nudge: Arc<Notify>,
    /// How long the loop stays awake where that pays.
    patience: Duration,
}

struct Inner {
    endpoint: Endpoint,
    batch: SendBatch,
    /// The connection of each packet in the batch.
    senders: Vec<(Option<ConnId>, SocketAddr)>,
    /// The packets of the last batch that were not sent.
    failures: Vec<(usize, io::Error)>,
    waiters: Waiters,
    /// Until when the loop sleeps.
    asleep_until: Option<Instant>,
    /// The loop stays awake, and sends what is in the batch as soon as the tasks that can run have
    /// run.
    awake: bool,
    /// The last connection for whose segment the kernel knew no way.
    unroutable: Option<ConnId>,
    /// Where the last packet went, if the kernel knew a way.
    reachable: Option<IpAddr>,
    /// The host has ended.
    ended: Option<Ended>,
}

/// Why the host ended.
#[derive(Clone, Debug)]
enum Ended {
    /// The last handle of the host is gone.
    Dropped,
    /// The runtime shut down, or the link failed.
    Failed(Arc<io::Error>),
    /// Something panicked under the lock: the engine cannot be trusted any more.
    Panicked,
}

impl Ended {
    fn runtime_gone() -> Ended {
        Ended::Failed(Arc::new(io::Error::other("the runtime shut down")))
    }

    fn error(&self) -> Error {
        let source = match self {
            Ended::Dropped => io::Error::other("its last handle is gone"),
            Ended::Failed(error) => io::Error::new(error.kind(), Arc::clone(error)),
            Ended::Panicked => io::Error::other("a panic inside it"),
        };
        Error::Io {
            act: "go on: the host has ended",
            source,
        }
    }
}

impl Shared {
    pub(crate) fn new(wire: Wire, endpoint: Endpoint, patience: Duration) -> Shared {
        let batch = SendBatch::new(BATCH, wire.mtu());
        let inner = Inner {
            endpoint,
            batch,
            senders: Vec::with_capacity(BATCH),
            failures: Vec::new(),
            waiters: Waiters::default(),
            asleep_until: None,
            awake: false,
            unroutable: None,
            reachable: None,
            ended: None,
        };
        let nudge = wire.nudge();
        Shared {
            wire,
            inner: Mutex::new(inner),
            nudge,
            patience,
        }
    }

    /// Does something with the endpoint, then everything that follows from it. An error: a panic
    /// has ended the host.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Endpoint, Instant) -> R) -> Result<R, Error> {
        self.act(|inner, now| f(&mut inner.endpoint, now))
    }

    /// The same with the waiters at hand: a waker that `f` leaves misses nothing.
    fn act<R>(&self, f: impl FnOnce(&mut Inner, Instant) -> R) -> Result<R, Error> {
        self.wire.catch_up();
        self.act_now(f)
    }

    /// The same, whatever else should have happened before.
    fn act_now<R>(&self, f: impl FnOnce(&mut Inner, Instant) -> R) -> Result<R, Error> {
        let _alert = NudgeOnPanic(&self.nudge);
        let Ok(mut inner) = self.inner.lock() else {
            return Err(Ended::Panicked.error());
        };
        // Under the lock, so that the engine's time never runs backwards.
        let now = self.wire.now();
        let result = f(&mut inner, now);
        if inner.ended.is_none() {
            let sent_all = inner.batch.is_empty();
            if !inner.awake {
                inner.pump(&self.wire, now);
            } else {
                inner.fill(&self.wire, now);
                if sent_all && !inner.batch.is_empty() {
                    self.nudge.notify_one();
                }
            }
        }
        let deadline = inner.endpoint.deadline();
        if deadline.is_some_and(|deadline| inner.asleep_until.is_none_or(|until| deadline < until))
        {
            inner.asleep_until = deadline;
            self.nudge.notify_one();
        }
        let woken = inner.waiters.take_woken(Vec::new());
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
        Ok(result)
    }

    /// A call of the engine that may have to wait; `None` leaves `waker` behind.
    pub(crate) fn poll_call<R>(
        &self,
        id: ConnId,
        wait: Wait,
        waker: &Waker,
        call: impl FnOnce(&mut Stack, Instant) -> Result<R, CallError>,
    ) -> Option<Result<R, Error>> {
        let outcome = self.act(|inner, now| {
            // What came before the end can still be read; what is written now would never go.
            if let (Some(ended), Wait::Write) = (&inner.ended, wait) {
                return Some(Err(ended.error()));
            }
            match (call(&mut inner.endpoint.stack, now), &inner.ended) {
                (Err(CallError::WouldBlock), None) => {
                    inner.waiters.of(id).leave(wait, waker);
                    None
                }
                (Err(CallError::WouldBlock), Some(ended)) => Some(Err(ended.error())),
                (Err(CallError::NoConnection), _) => {
                    let closed = inner.waiters.closed(id);
                    Some(Err(
                        closed.map_or(Error::Call(CallError::NoConnection), Error::Ended)
                    ))
                }
                (other, _) => Some(other.map_err(Error::from)),
            }
        });
        outcome.unwrap_or_else(|error| Some(Err(error)))
    }

    /// Makes a connection, and its handle's place among the waiters.
    pub(crate) fn connect(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        config: &ConnConfig,
        data: &[u8],
    ) -> Result<(ConnId, SocketAddr, usize), Error> {
        self.act(|inner, now| {
            if let Some(ended) = &inner.ended {
                return Err(ended.error());
            }
            let tuple = FourTuple { local, remote };
            let (id, taken) = inner
                .endpoint
                .stack
                .connect_with_data(now, tuple, config, data)?;
            let local = inner
                .endpoint
                .stack
                .status(id)
                .map_or(local, |status| status.local);
            // As connect(2) does, say at once that the SYN cannot leave, instead of trying again
            // for minutes. Where a packet has just left, so will this.
            let leaves_with_others = inner.awake && inner.reachable == Some(remote.ip());
            if !leaves_with_others {
                inner.unroutable = None;
                inner.pump(&self.wire, now);
                if inner.unroutable == Some(id) {
                    inner.endpoint.stack.close(now, id)?;
                    return Err(Error::NoRoute(remote.ip()));
                }
            }
            inner.waiters.of(id);
            Ok((id, local, taken))
        })?
    }

    /// Takes a connection of a listener, with its peer; `None` leaves `waker` behind.
    pub(crate) fn poll_accept(
        &self,
        listener: ListenerId,
        waker: &Waker,
    ) -> Option<Result<(ConnId, Option<Status>), Error>> {
        let outcome = self.act(|inner, now| {
            match (inner.endpoint.stack.accept(now, listener), &inner.ended) {
                (Ok(id), _) => {
                    let status = inner.endpoint.stack.status(id);
                    let handle = inner.waiters.of(id);
                    handle.established = true;
                    // It may have ended while it waited, without a handle: an empty SEND
                    // returns the reason.
                    if status
                        .as_ref()
                        .is_some_and(|status| status.state == State::Closed)
                        && let Err(CallError::Ended(reason)) =
                            inner.endpoint.stack.send(now, id, &[])
                    {
                        handle.closed = Some(reason);
                    }
                    Some(Ok((id, status)))
                }
                (Err(CallError::WouldBlock), None) => {
                    inner.waiters.leave_accept(listener, waker);
                    None
                }
                (Err(CallError::WouldBlock), Some(ended)) => Some(Err(ended.error())),
                (Err(error), _) => Some(Err(error.into())),
            }
        });
        outcome.unwrap_or_else(|error| Some(Err(error)))
    }

    /// The handle is gone: CLOSE, unless that was done.
    pub(crate) fn release(&self, id: ConnId) {
        // A host that ended has nothing to close, nor has a connection that was closed or aborted.
        _ = self.act(|inner, now| {
            _ = inner.endpoint.stack.close(now, id);
            inner.waiters.forget(id);
        });
    }

    /// The listener is gone.
    pub(crate) fn close_listener(&self, listener: ListenerId) {
        // A host that ended has none.
        _ = self.act(|inner, now| {
            inner.endpoint.stack.close_listener(now, listener);
            inner.waiters.forget_listener(listener);
        });
    }

    /// Whether the connection was established at some time, and how it ended if it has; leaves
    /// `waker` behind where it has not.
    pub(crate) fn poll_state(
        &self,
        id: ConnId,
        waker: &Waker,
    ) -> (bool, Option<Result<CloseReason, Error>>) {
        let outcome = self.act(|inner, _| {
            let handle = inner.waiters.of(id);
            let closed = handle
                .closed
                .map(Ok)
                .or_else(|| inner.ended.as_ref().map(|ended| Err(ended.error())));
            if closed.is_none() {
                handle.leave(Wait::State, waker);
            }
            (handle.established, closed)
        });
        outcome.unwrap_or_else(|error| (false, Some(Err(error))))
    }

    /// Whether the connection is in this state, or how it ended; leaves `waker` behind where
    /// neither is so.
    pub(crate) fn poll_reached(
        &self,
        id: ConnId,
        wanted: State,
        waker: &Waker,
    ) -> Option<Result<(), Error>> {
        let outcome = self.act(|inner, _| {
            let state = inner.endpoint.state(id);
            if state == wanted {
                return Some(Ok(()));
            }
            let ended = inner
                .waiters
                .closed(id)
                .map(|reason| Err(Error::Ended(reason)));
            let ended = ended.or_else(|| inner.ended.as_ref().map(|ended| Err(ended.error())));
            if ended.is_none() {
                inner.waiters.watch(id, state, waker);
            }
            ended
        });
        outcome.unwrap_or_else(|error| Some(Err(error)))
    }

    /// Whether every connection is CLOSED; leaves `waker` behind where one is not.
    pub(crate) fn poll_emptied(&self, waker: &Waker) -> Option<Result<(), Error>> {
        let outcome = self.act(|inner, _| {
            let stack = &inner.endpoint.stack;
            let alive = |status: Status| {
                !(status.state == State::Closed
                    || status.passive && status.state == State::SynReceived)
            };
            if !stack
                .connections()
                .filter_map(|id| stack.status(id))
                .any(alive)
            {
                return Some(Ok(()));
            }
            inner.waiters.leave_emptied(waker);
            inner.ended.as_ref().map(|ended| Err(ended.error()))
        });
        outcome.unwrap_or_else(|error| Some(Err(error)))
    }

    /// Ends the loop.
    pub(crate) fn end(&self) {
        self.finish(Ended::Dropped);
        self.nudge.notify_one();
    }

    /// The runtime that drove the host is gone.
    pub(crate) fn abandon(&self) {
        self.finish(if self.inner.is_poisoned() {
            Ended::Panicked
        } else {
            Ended::runtime_gone()
        });
    }

    /// A packet comes out of memory.
    pub(crate) fn arrives(&self, packet: &[u8]) {
        if self
            .act_now(|inner, now| inner.endpoint.packet_arrives(now, packet))
            .is_err()
        {
            self.finish(Ended::Panicked);
        }
    }

    /// Does what is due, on a clock that is not the system's.
    pub(crate) fn timeout(&self) {
        if self
            .act_now(|inner, now| inner.endpoint.timeout(now))
            .is_err()
        {
            self.finish(Ended::Panicked);
        }
    }

    /// When something is due next; the caller sleeps until then, or until the nudge.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let mut inner = self
            .inner
            .lock()
            .ok()
            .filter(|inner| inner.ended.is_none())?;
        inner.asleep_until = inner.endpoint.deadline();
        inner.asleep_until
    }

    /// The loop is about to sleep: what calls left to it is sent now, and what comes from calls at
    /// once.
    fn fall_asleep(&self) {
        // After a panic there is nothing to send.
        _ = self.act_now(|inner, _| inner.awake = false);
    }

    fn finish(&self, why: Ended) {
        let poisoned = self.inner.is_poisoned();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.ended.get_or_insert(why);
        if !poisoned {
            if !inner.batch.is_empty() {
                let now = self.wire.now();
                inner.flush(&self.wire, now);
            }
            inner.endpoint.observer.flush();
        }
        inner.waiters.signal_all();
        let woken = inner.waiters.take_woken(Vec::new());
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// After a panic under the lock the loop must wake every waiter.
struct NudgeOnPanic<'a>(&'a Notify);

impl Drop for NudgeOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.notify_one();
        }
    }
}

/// Marks the host as ended when the loop ends: returned, panicked, or dropped with the runtime.
struct Watch(Arc<Shared>, Ended);

impl Drop for Watch {
    fn drop(&mut self) {
        let panicked = self.0.inner.is_poisoned();
        self.0.finish(if panicked {
            Ended::Panicked
        } else {
            self.1.clone()
        });
    }
}

/// Runs until [`Shared::end`], or until the link fails. The watch is there before the first poll: a
/// runtime may drop a task unpolled.
pub(crate) fn run(shared: Arc<Shared>) -> impl Future<Output = ()> {
    watched(Watch(shared, Ended::runtime_gone()))
}

async fn watched(mut watch: Watch) {
    watch.1 = match serve(&watch.0).await {
        Ok(()) => Ended::Dropped,
        Err(error) => {
            tracing::error!(%error, "the host ends");
            Ended::Failed(Arc::new(error))
        }
    };
}

async fn serve(shared: &Shared) -> io::Result<()> {
    // A network in memory drives its hosts itself.
    let Wire::Raw(link) = &shared.wire else {
        return Ok(());
    };
    let mut alarm = Alarm::new()?;
    let mut spin = Spin::new(shared.patience);
    let mut woken = Vec::new();
    while let ControlFlow::Continue(next) = work(shared, link, &spin, &mut woken)? {
        alarm.set(next.deadline)?;
        let since = now();
        let mut slept = None;
        tokio::select! {
            biased;
            ready = link.readable() => ready?,
            rung = alarm.ring() => rung?,
            () = shared.nudge.notified() => {}
            () = stay_awake(shared, &spin, since, &mut slept), if next.awake => {}
        }
        let end = now();
        let slept = slept.unwrap_or(if next.awake { end } else { since });
        spin.waited(end.since(since), slept.since(since));
    }
    Ok(())
}

/// What the loop does next.
struct Next {
    /// Until when it sleeps.
    deadline: Option<Instant>,
    /// It does not sleep at once.
    awake: bool,
}

/// Stays awake until the tasks that can run have run, and for as long as that pays, and then waits
/// for ever. The runtime looks for packets whenever all tasks have run. Other programs get the CPU
/// first, too: the next packet may come from one of them.
async fn stay_awake(shared: &Shared, spin: &Spin, since: Instant, slept: &mut Option<Instant>) {
    let patience = spin.patience().unwrap_or_default();
    loop {
        tokio::task::yield_now().await;
        let looked = now();
        if looked.since(since) >= patience {
            *slept = Some(looked);
            break;
        }
        std::thread::yield_now();
    }
    shared.fall_asleep();
    std::future::pending().await
}

/// Handles what arrived and what is due. `woken` is a reused buffer.
fn work(
    shared: &Shared,
    link: &Link,
    spin: &Spin,
    woken: &mut Vec<Waker>,
) -> io::Result<ControlFlow<(), Next>> {
    let Ok(mut inner) = shared.inner.lock() else {
        return Ok(ControlFlow::Break(()));
    };
    if inner.ended.is_some() {
        return Ok(ControlFlow::Break(()));
    }
    for _ in 0..BATCHES_IN_A_ROW {
        let now = now();
        let endpoint = &mut inner.endpoint;
        let received = link.receive(|kind, packet| match kind {
            Kind::Tcp => endpoint.packet_arrives(now, packet),
            Kind::Icmp => endpoint.icmp_arrives(now, packet),
        })?;
        inner.endpoint.timeout(now);
        inner.pump(&shared.wire, now);
        if received == 0 {
            break;
        }
    }
    inner.endpoint.observer.flush();
    inner.asleep_until = inner.endpoint.deadline();
    *woken = inner.waiters.take_woken(std::mem::take(woken));
    inner.awake = spin.patience().is_some() || spin.shares() && !woken.is_empty();
    let next = Next {
        deadline: inner.asleep_until,
        awake: inner.awake,
    };
    drop(inner);
    woken.drain(..).for_each(Waker::wake);
    Ok(ControlFlow::Continue(next))
}

#[cfg(test)]
mod tests;
