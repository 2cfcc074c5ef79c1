//! A script as an application: what it does with its host's TCP, one call at a time.

use super::host::Conn;
use crate::error::{CallError, CloseReason};
use crate::id::{ConnId, FourTuple, ListenerId};
use crate::script::{AppAction, Connect, Expected, Script, Step, StepError};
use crate::stack::Stack;
use crate::state::State;
use crate::time::Instant;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::net::{IpAddr, SocketAddr};

/// The most octets that one RECEIVE asks for.
const CHUNK: usize = 16_384;

/// What a step asks of the host, beyond its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asks {
    Nothing,
    Lift,
    GoSilent,
    Restart,
}

/// Where an application is: its host's address, the port it listens on and connects from, and whom
/// it connects to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// The port for `listen` and `connect`; 0: any.
    pub port: u16,
    /// Whom `connect` means.
    pub peer: Option<SocketAddr>,
}

/// What an application may see and do.
pub(super) struct World<'a> {
    pub(super) now: Instant,
    pub(super) address: IpAddr,
    pub(super) stack: &'a mut Stack,
    pub(super) conns: &'a [Conn],
    /// What it did, for the record.
    pub(super) deeds: &'a mut Vec<(Option<ConnId>, AppAction)>,
}

/// How far a step came.
enum Progress {
    /// Something was done, and there is more.
    More,
    /// It is done.
    Done,
    /// Nothing can be done now.
    Waits,
}

type Taken = Result<Progress, StepError>;

/// An application.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct App {
    script: Arc<Script>,
    place: Place,
    /// The step that it is at.
    at: usize,
    /// That step has begun.
    began: bool,
    /// Octets that this step has sent or received.
    octets: usize,
    /// What this step received and has not sent back, or not compared.
    heard: Vec<u8>,
    /// How often this step has tried.
    tried: u32,
    /// It opens this connection.
    opening: Option<ConnId>,
    names: Vec<(Arc<str>, ConnId)>,
    /// The connection that steps concern.
    current: Option<ConnId>,
    listener: Option<ListenerId>,
    /// A sleep ends then.
    pub(super) until: Option<Instant>,
    /// It may have something to do.
    pub(super) awake: bool,
    /// The script is over, and how it ended early.
    pub(super) over: bool,
    pub(super) error: Option<StepError>,
}

impl App {
    /// An application without a connection.
    pub(super) fn new(script: Arc<Script>, place: Place) -> App {
        App {
            script,
            place,
            at: 0,
            began: false,
            octets: 0,
            heard: Vec::new(),
            tried: 0,
            opening: None,
            names: Vec::new(),
            current: None,
            listener: None,
            until: None,
            awake: true,
            over: false,
            error: None,
        }
    }

    /// An application that begins when this connection is established.
    pub(super) fn on(script: Arc<Script>, id: ConnId) -> App {
        App {
            opening: Some(id),
            current: Some(id),
            ..App::new(
                script,
                Place {
                    port: 0,
                    peer: None,
                },
            )
        }
    }

    /// Whether the end or the progress of this connection is its concern.
    pub(super) fn has(&self, id: ConnId) -> bool {
        self.current == Some(id)
            || self.opening == Some(id)
            || self.names.iter().any(|(_, named)| *named == id)
    }

    pub(super) fn listens_on(&self, listener: ListenerId) -> bool {
        self.listener == Some(listener)
    }

    /// The host lost every connection and listener.
    pub(super) fn forget(&mut self) {
        (self.current, self.opening, self.listener) = (None, None, None);
        self.names.clear();
    }

    /// Makes at most one call. Afterwards it is awake if there may be more to do.
    pub(super) fn act(&mut self, world: &mut World<'_>) -> Asks {
        let script = Arc::clone(&self.script);
        let connects = !matches!(script.steps.get(self.at), Some(Step::Connect(_)));
        if let Some(id) = self.opening.filter(|_| connects) {
            match self.opened(world, id) {
                Ok(Progress::Done) => {}
                Ok(_) => return self.sleeps(),
                Err(error) => return self.fails(world, error),
            }
        }
        let Some(step) = script.steps.get(self.at).filter(|_| !self.over) else {
            if !mem::replace(&mut self.over, true) {
                world.deeds.push((None, AppAction::Over));
            }
            return self.sleeps();
        };
        if !mem::replace(&mut self.began, true) {
            world
                .deeds
                .push((self.current, AppAction::Began(step.to_string())));
        }
        match self.take(world, step) {
            Ok(Progress::More) => Asks::Nothing,
            Ok(Progress::Waits) => self.sleeps(),
            Ok(Progress::Done) => {
                world.deeds.push((self.current, AppAction::Done));
                self.go_to(self.at + 1);
                match step {
                    Step::Lift => Asks::Lift,
                    Step::GoSilent => Asks::GoSilent,
                    Step::Restart => Asks::Restart,
                    _ => Asks::Nothing,
                }
            }
            Err(error) => self.fails(world, error),
        }
    }

    fn sleeps(&mut self) -> Asks {
        self.awake = false;
        Asks::Nothing
    }

    fn go_to(&mut self, step: usize) {
        (self.at, self.began, self.octets, self.tried, self.until) = (step, false, 0, 0, None);
        self.heard.clear();
    }

    /// A step cannot be done: the script goes on where that end was expected, or is over.
    fn fails(&mut self, world: &mut World<'_>, error: StepError) -> Asks {
        let error = match (error, self.current.and_then(|id| closed(world.conns, id))) {
            (StepError::Call(CallError::NoConnection), Some(reason)) => {
                StepError::Call(CallError::Ended(reason))
            }
            (error, _) => error,
        };
        world
            .deeds
            .push((self.current, AppAction::Failed(error.to_string())));
        self.opening = None;
        let goes_on = match error {
            StepError::Call(CallError::Ended(reason)) => self.script.after_end(self.at, reason),
            _ => None,
        };
        match goes_on {
            Some(step) => {
                self.go_to(step);
                Asks::Nothing
            }
            None => {
                (self.over, self.error) = (true, Some(error));
                world.deeds.push((None, AppAction::Over));
                self.sleeps()
            }
        }
    }

    /// A part of a step.
    fn take(&mut self, world: &mut World<'_>, step: &Step) -> Taken {
        match step {
            Step::Listen { port, backlog } => {
                self.listen(world, port.unwrap_or(self.place.port), *backlog)
            }
            Step::StopListening => {
                let listener = self.listener.take().ok_or(StepError::NotListening)?;
                world.stack.close_listener(world.now, listener);
                Ok(Progress::Done)
            }
            Step::Accept { name } => {
                let listener = self.listener.ok_or(StepError::NotListening)?;
                match world.stack.accept(world.now, listener) {
                    Err(CallError::WouldBlock) => Ok(Progress::Waits),
                    accepted => self.take_up(accepted.map_err(StepError::Call)?, name.as_ref()),
                }
            }
            Step::Connect(connect) => self.connect(world, connect),
            Step::On(name) => {
                let found = self.names.iter().rev().find(|(known, _)| known == name);
                self.current = Some(
                    found
                        .ok_or_else(|| StepError::NoSuchConnection(Some(Arc::clone(name))))?
                        .1,
                );
                Ok(Progress::Done)
            }
            Step::Sleep(duration) => {
                let until = *self.until.get_or_insert(world.now + *duration);
                Ok(if world.now < until {
                    Progress::Waits
                } else {
                    Progress::Done
                })
            }
            Step::StopReading => Ok(Progress::Waits),
            Step::SendInput | Step::Lift | Step::GoSilent | Step::Restart => Ok(Progress::Done),
            _ => {
                let id = self.current.ok_or(StepError::NoSuchConnection(None))?;
                self.talk(world, id, step)
            }
        }
    }

    fn listen(&mut self, world: &mut World<'_>, port: u16, backlog: usize) -> Taken {
        let (local, config) = (
            SocketAddr::new(world.address, port),
            world.stack.config().conn.clone(),
        );
        self.listener = Some(
            world
                .stack
                .listen(world.now, local, backlog, &config)
                .map_err(StepError::Call)?,
        );
        Ok(Progress::Done)
    }

    fn connect(&mut self, world: &mut World<'_>, connect: &Connect) -> Taken {
        let Some(id) = self.opening else {
            let to = connect.to.or(self.place.peer).ok_or(StepError::NoPeer)?;
            let local = SocketAddr::new(world.address, connect.from.unwrap_or(self.place.port));
            let config = world.stack.config().conn.clone();
            self.tried += 1;
            let id = world
                .stack
                .connect(world.now, FourTuple { local, remote: to }, &config)
                .map_err(StepError::Call)?;
            if connect.tries.is_none() {
                return self.take_up(id, connect.name.as_ref());
            }
            (self.opening, self.current) = (Some(id), Some(id));
            return Ok(Progress::More);
        };
        match self.opened(world, id) {
            Ok(Progress::Done) => self.take_up(id, connect.name.as_ref()),
            Err(error) if connect.tries.is_some_and(|tries| self.tried < tries) => {
                world
                    .deeds
                    .push((self.current, AppAction::Failed(error.to_string())));
                self.opening = None;
                Ok(Progress::More)
            }
            other => other,
        }
    }

    /// Whether the connection that is being opened has come that far.
    fn opened(&mut self, world: &World<'_>, id: ConnId) -> Taken {
        match world.stack.status(id).map(|status| status.state) {
            Some(State::SynSent | State::SynReceived) => return Ok(Progress::Waits),
            Some(State::Closed | State::Listen) | None => {
                let reason = closed(world.conns, id);
                return Err(StepError::Call(
                    reason.map_or(CallError::NoConnection, CallError::Ended),
                ));
            }
            Some(_) => self.opening = None,
        }
        Ok(Progress::Done)
    }

    fn take_up(&mut self, id: ConnId, name: Option<&Arc<str>>) -> Taken {
        self.current = Some(id);
        self.names.extend(name.map(|name| (Arc::clone(name), id)));
        Ok(Progress::Done)
    }

    /// A part of a step that concerns the connection.
    fn talk(&mut self, world: &mut World<'_>, id: ConnId, step: &Step) -> Taken {
        let now = world.now;
        let done =
            |call: Result<(), CallError>| call.map(|()| Progress::Done).map_err(StepError::Call);
        match step {
            Step::Send(data) => self.send(world, id, data),
            Step::Receive(octets) => {
                self.receive_up_to(world, id, usize::try_from(*octets).unwrap_or(usize::MAX))
            }
            Step::ReceiveUntil(text) => match self.heard.ends_with(text) {
                true => Ok(Progress::Done),
                false => self.receive(world, id, 1),
            },
            Step::ReceiveToEnd | Step::Relay => self.receive(world, id, CHUNK),
            Step::Echo => self.echo(world, id),
            Step::Expect(Expected::Text(text)) => self.expect_text(world, id, text),
            Step::Expect(Expected::State(state)) => expect_state(world, id, *state),
            Step::Expect(Expected::Closed(reason)) => expect_closed(world, id, reason.as_deref()),
            Step::Shutdown => done(world.stack.shutdown(now, id)),
            Step::Close => done(world.stack.close(now, id)),
            Step::Abort => done(world.stack.abort(now, id)),
            _ => Ok(Progress::Done),
        }
    }

    fn send(&mut self, world: &mut World<'_>, id: ConnId, data: &[u8]) -> Taken {
        let left = data.get(self.octets..).unwrap_or_default();
        if left.is_empty() {
            return Ok(Progress::Done);
        }
        match world.stack.send(world.now, id, left) {
            Err(CallError::WouldBlock) => Ok(Progress::Waits),
            sent => {
                let octets = sent.map_err(StepError::Call)?;
                world.deeds.push((
                    Some(id),
                    AppAction::Sent(left.get(..octets).unwrap_or_default().to_vec()),
                ));
                self.octets += octets;
                Ok(if octets == left.len() {
                    Progress::Done
                } else {
                    Progress::More
                })
            }
        }
    }

    fn receive_up_to(&mut self, world: &mut World<'_>, id: ConnId, most: usize) -> Taken {
        match most.saturating_sub(self.octets) {
            0 => Ok(Progress::Done),
            left => self.receive(world, id, left),
        }
    }

    /// RECEIVE of at most `most` octets; done: there are no more.
    fn receive(&mut self, world: &mut World<'_>, id: ConnId, most: usize) -> Taken {
        let mut octets = vec![0; most.min(CHUNK)];
        match world.stack.receive(world.now, id, &mut octets) {
            Err(CallError::WouldBlock) => Ok(Progress::Waits),
            Err(error) => Err(StepError::Call(error)),
            Ok(0) => Ok(Progress::Done),
            Ok(got) => {
                octets.truncate(got);
                self.octets += got;
                self.heard.extend_from_slice(&octets);
                world.deeds.push((Some(id), AppAction::Received(octets)));
                Ok(Progress::More)
            }
        }
    }

    fn echo(&mut self, world: &mut World<'_>, id: ConnId) -> Taken {
        if self.heard.is_empty() {
            return self.receive(world, id, CHUNK);
        }
        match world.stack.send(world.now, id, &self.heard) {
            Err(CallError::WouldBlock) => Ok(Progress::Waits),
            sent => {
                let octets = sent.map_err(StepError::Call)?;
                world.deeds.push((
                    Some(id),
                    AppAction::Sent(self.heard.drain(..octets).collect()),
                ));
                Ok(Progress::More)
            }
        }
    }

    fn expect_text(&mut self, world: &mut World<'_>, id: ConnId, text: &[u8]) -> Taken {
        let wrong = |heard: &[u8]| {
            StepError::Unexpected(format!(
                "expected \"{}\", received \"{}\"",
                text.escape_ascii(),
                heard.escape_ascii()
            ))
        };
        if !text.starts_with(&self.heard) {
            return Err(wrong(&self.heard));
        }
        match self.receive_up_to(world, id, text.len())? {
            Progress::Done if self.heard != text => Err(wrong(&self.heard)),
            other => Ok(other),
        }
    }
}

fn expect_state(world: &World<'_>, id: ConnId, state: State) -> Taken {
    let now = world
        .stack
        .status(id)
        .map_or(State::Closed, |status| status.state);
    match closed(world.conns, id) {
        _ if now == state => Ok(Progress::Done),
        Some(reason) => Err(StepError::Call(CallError::Ended(reason))),
        None => Ok(Progress::Waits),
    }
}

fn expect_closed(world: &World<'_>, id: ConnId, named: Option<&str>) -> Taken {
    match closed(world.conns, id) {
        None => Ok(Progress::Waits),
        Some(reason) if named.is_none_or(|named| named == reason.name()) => Ok(Progress::Done),
        Some(reason) => Err(StepError::Unexpected(format!(
            "the connection ended: {}",
            reason.name()
        ))),
    }
}

fn closed(conns: &[Conn], id: ConnId) -> Option<CloseReason> {
    conns
        .iter()
        .rev()
        .find(|conn| conn.id == id)
        .and_then(|conn| conn.closed)
}
