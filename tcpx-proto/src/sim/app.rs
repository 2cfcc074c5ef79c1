//! A script on a host of the simulation: makes the calls of its machine on the host's stack.

use super::apps::Concern;
use super::conns::Conns;
use crate::error::CallError;
use crate::id::{ConnId, FourTuple, ListenerId};
use crate::script::{Addresses, AppAction, Call, Machine, Outcome, Script, StepError};
use crate::stack::Stack;
use crate::state::State;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// The most bytes that one RECEIVE asks for.
const CHUNK: usize = 16_384;

/// What a call asks of the host, beyond its stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HostRequest {
    Nothing,
    Release,
    GoSilent,
    Restart,
}

/// What an application may see and do.
pub(super) struct World<'a> {
    pub(super) now: Instant,
    pub(super) address: IpAddr,
    pub(super) stack: &'a mut Stack,
    pub(super) conns: &'a Conns,
    /// What it did, for the record.
    pub(super) actions: &'a mut Vec<(Option<ConnId>, AppAction)>,
}

/// An application.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct App {
    machine: Machine<ConnId>,
    listener: Option<ListenerId>,
    /// A sleep ends then.
    pub(super) until: Option<Instant>,
}

impl App {
    /// An application without a connection.
    pub(super) fn new(script: Arc<Script>, addresses: Addresses) -> App {
        App::playing(Machine::new(script, addresses))
    }

    /// An application that begins when this connection is established.
    pub(super) fn on(script: Arc<Script>, id: ConnId) -> App {
        App::playing(Machine::on_opening(script, id))
    }

    fn playing(machine: Machine<ConnId>) -> App {
        App {
            machine,
            listener: None,
            until: None,
        }
    }

    /// Whether the end or the progress of this connection is its concern.
    pub(super) fn has(&self, id: ConnId) -> bool {
        let mut own = self.machine.connections().chain(self.machine.current());
        own.any(|own| *own == id)
    }

    /// The connection and the listener that came to it last.
    pub(super) fn concerns(&self) -> [Option<Concern>; 2] {
        [
            self.machine.current().copied().map(Concern::Conn),
            self.listener.map(Concern::Listener),
        ]
    }

    /// The script is over.
    pub(super) fn is_over(&self) -> bool {
        self.machine.end().is_some()
    }

    /// The error at which the script ended early.
    pub(super) fn error(&self) -> Option<&StepError> {
        self.machine.end()?.as_ref().err()
    }

    /// The host lost every connection and listener.
    pub(super) fn forget(&mut self) {
        self.listener = None;
        self.machine.forget();
    }

    /// Makes at most one call; `true`: there may be more to do.
    pub(super) fn act(&mut self, world: &mut World<'_>) -> (HostRequest, bool) {
        self.machine.advance(&mut recorder(world.actions));
        if !world.actions.is_empty() {
            // A step begins before what its call does.
            return (HostRequest::Nothing, true);
        }
        let Some(call) = self.machine.call() else {
            return (HostRequest::Nothing, false);
        };
        let mut request = request_of(&call);
        match make(call, &mut self.listener, &mut self.until, world) {
            Ok(None) => return (HostRequest::Nothing, false),
            Ok(Some(outcome)) => {
                self.until = None;
                self.machine.done(outcome, &mut recorder(world.actions));
            }
            Err(error) => {
                self.until = None;
                let error = self.precisely(error, world.conns);
                self.machine.failed(error, &mut recorder(world.actions));
                request = HostRequest::Nothing;
            }
        }
        (request, true)
    }

    /// How the connection ended, where the stack has forgotten it.
    fn precisely(&self, error: StepError, conns: &Conns) -> StepError {
        match (
            error,
            self.machine.current().and_then(|id| conns.closed(*id)),
        ) {
            (StepError::Call(CallError::NoConnection), Some(reason)) => {
                StepError::Call(CallError::Ended(reason))
            }
            (error, _) => error,
        }
    }
}

/// Records what the application does.
fn recorder(
    actions: &mut Vec<(Option<ConnId>, AppAction)>,
) -> impl FnMut(Option<&ConnId>, AppAction) {
    |id, action| {
        // The end of the script concerns no connection.
        let id = match action {
            AppAction::Over => None,
            _ => id.copied(),
        };
        actions.push((id, action));
    }
}

fn request_of(call: &Call<'_, ConnId>) -> HostRequest {
    match call {
        Call::Release => HostRequest::Release,
        Call::GoSilent => HostRequest::GoSilent,
        Call::Restart => HostRequest::Restart,
        _ => HostRequest::Nothing,
    }
}

/// Makes one call; `None`: it would have to wait.
fn make(
    call: Call<'_, ConnId>,
    listener: &mut Option<ListenerId>,
    until: &mut Option<Instant>,
    world: &mut World<'_>,
) -> Result<Option<Outcome<ConnId>>, StepError> {
    let now = world.now;
    let stack = &mut *world.stack;
    let done = |result: Result<(), CallError>| result.map(|()| Outcome::Done);
    let result = match call {
        Call::Listen { port, backlog } => {
            let local = SocketAddr::new(world.address, port);
            let config = stack.config().conn.clone();
            stack.listen(now, local, backlog, &config).map(|id| {
                *listener = Some(id);
                Outcome::Done
            })
        }
        Call::StopListening => {
            stack.close_listener(now, listener.take().ok_or(StepError::NotListening)?);
            Ok(Outcome::Done)
        }
        Call::Accept => {
            let listener = listener.ok_or(StepError::NotListening)?;
            stack.accept(now, listener).map(Outcome::Opened)
        }
        Call::Connect { to, from, data } => {
            let local = SocketAddr::new(world.address, from);
            let config = stack.config().conn.clone();
            let tuple = FourTuple { local, remote: to };
            let data = if config.fast_open { data } else { &[] };
            stack
                .connect_with_data(now, tuple, &config, data)
                .map(|(id, taken)| Outcome::OpenedWith(id, taken))
        }
        Call::Established(id) => established(world, *id),
        Call::Send(id, data) => stack.send(now, *id, data).map(Outcome::Sent),
        Call::Receive(id, most) => {
            let mut bytes = vec![0; most.min(CHUNK)];
            stack.receive(now, *id, &mut bytes).map(|got| {
                bytes.truncate(got);
                Outcome::Bytes(bytes)
            })
        }
        Call::Peek(id, most) => {
            let mut bytes = vec![0; most.min(CHUNK)];
            stack.peek(now, *id, &mut bytes).map(|got| {
                bytes.truncate(got);
                Outcome::Bytes(bytes)
            })
        }
        Call::Set(id, option) => done(stack.set_option(now, *id, option)),
        Call::SetListener(option) => {
            let listener = listener.ok_or(StepError::NotListening)?;
            done(stack.set_listener_option(now, listener, option))
        }
        Call::Sleep(duration, _) if now < *until.get_or_insert(now + duration) => {
            Err(CallError::WouldBlock)
        }
        Call::StopReading(_) => Err(CallError::WouldBlock),
        Call::Shutdown(id) => done(stack.shutdown(now, *id)),
        Call::Close(id) => done(stack.close(now, *id)),
        Call::Abort(id) => done(stack.abort(now, *id)),
        Call::State(id, state) => reached(world, *id, state),
        Call::Closed(id) => match world.conns.closed(*id) {
            Some(reason) => Ok(Outcome::Closed(reason)),
            None => Err(CallError::WouldBlock),
        },
        Call::Sleep(..) | Call::Release | Call::GoSilent | Call::Restart => Ok(Outcome::Done),
        // An application here has no streams of its own, and is never asked for them.
        Call::Input => Ok(Outcome::Bytes(Vec::new())),
        Call::Output(_) | Call::EndOutput | Call::Relay(_) => Ok(Outcome::Done),
    };
    match result {
        Ok(outcome) => Ok(Some(outcome)),
        Err(CallError::WouldBlock) => Ok(None),
        Err(error) => Err(StepError::Call(error)),
    }
}

fn established(world: &World<'_>, id: ConnId) -> Result<Outcome<ConnId>, CallError> {
    match world.stack.status(id).map(|status| status.state) {
        Some(State::SynSent | State::SynReceived) => Err(CallError::WouldBlock),
        Some(State::Closed | State::Listen) | None => {
            let reason = world.conns.closed(id);
            Err(reason.map_or(CallError::NoConnection, CallError::Ended))
        }
        Some(_) => Ok(Outcome::Done),
    }
}

fn reached(world: &World<'_>, id: ConnId, state: State) -> Result<Outcome<ConnId>, CallError> {
    let now = world.stack.status(id).map(|status| status.state);
    if now.unwrap_or(State::Closed) == state {
        return Ok(Outcome::Done);
    }
    let ended = world.conns.closed(id).map(CallError::Ended);
    Err(ended.unwrap_or(CallError::WouldBlock))
}
