//! What an application does next: a script as a machine that makes no calls itself.
//!
//! [`Machine::call`] is the next [`Call`]. An executor makes it, on the engine's stack, on a stream
//! of tokio's or on a socket of the kernel's, and returns the outcome. The machine decides the order
//! of steps, which connection they concern, how often `connect` is tried, how much is sent and
//! received, what is expected, where the script continues after an error, and what is recorded. An
//! executor decides how to make a call and how to wait.

mod plan;

use super::{AppAction, Expected, Script, Step, StepError};
use crate::config::SocketOption;
use crate::error::{CallError, CloseReason};
use crate::state::State;
use crate::time::Duration;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::net::SocketAddr;
use plan::Plan;

/// What a program was given for the steps that name no port or peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Addresses {
    /// The port for `listen` and `connect`; 0: any.
    pub port: u16,
    /// The peer for `connect`.
    pub peer: Option<SocketAddr>,
}

/// What to do next. `C` is the executor's handle of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call<'a, C> {
    /// Passive OPEN, which replaces the one before.
    Listen {
        /// The port; 0: any.
        port: u16,
        /// The most connections in SYN-RECEIVED, and the most that wait to be accepted, each.
        backlog: usize,
    },
    /// Close the listener.
    StopListening,
    /// Wait for a connection and accept it: [`Outcome::Opened`].
    Accept,
    /// Active OPEN without waiting: [`Outcome::Opened`], or [`Outcome::OpenedWith`] where the host
    /// uses Fast Open.
    Connect {
        /// The peer.
        to: SocketAddr,
        /// The local port; 0: any.
        from: u16,
        /// What the next step sends.
        data: &'a [u8],
    },
    /// Wait until the connection is established.
    Established(&'a C),
    /// SEND some of these bytes: [`Outcome::Sent`].
    Send(&'a C, &'a [u8]),
    /// RECEIVE at most this many bytes: [`Outcome::Bytes`], empty at the peer's FIN.
    Receive(&'a C, usize),
    /// Look at what RECEIVE of at most this many bytes would return: [`Outcome::Bytes`].
    Peek(&'a C, usize),
    /// Read the application's own input: [`Outcome::Bytes`], empty at its end.
    Input,
    /// Write to the application's own output.
    Output(&'a [u8]),
    /// The application's own output is complete.
    EndOutput,
    /// Join the connection and the application's own streams both ways, until both have ended.
    Relay(&'a C),
    /// Wait this long; the connection is the current one.
    Sleep(Duration, Option<&'a C>),
    /// Leave the connection as it is.
    StopReading(&'a C),
    /// Change an option of the connection.
    Set(&'a C, SocketOption),
    /// Change an option of the connections that the listener makes from then on.
    SetListener(SocketOption),
    /// Release what a removed third ACK holds back.
    Release,
    /// CLOSE of our direction.
    Shutdown(&'a C),
    /// CLOSE of both directions.
    Close(&'a C),
    /// ABORT.
    Abort(&'a C),
    /// From now on the host sends nothing and receives nothing.
    GoSilent,
    /// The host forgets every connection and listener.
    Restart,
    /// Wait until the connection is in this state.
    State(&'a C, State),
    /// Wait until the connection is CLOSED: [`Outcome::Closed`].
    Closed(&'a C),
}

/// What came of a [`Call`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome<C> {
    /// It is done.
    Done,
    /// A connection was accepted, or its active OPEN has begun.
    Opened(C),
    /// Its active OPEN has begun, and took this many bytes of the data.
    OpenedWith(C, usize),
    /// This many bytes were sent.
    Sent(usize),
    /// These bytes came; none: the end.
    Bytes(Vec<u8>),
    /// The connection ended like this.
    Closed(CloseReason),
}

/// Records what the application did, and with which connection.
pub type Recorder<'a, C> = &'a mut dyn FnMut(Option<&C>, AppAction);

/// One script, and how far it has come.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Machine<C> {
    script: Arc<Script>,
    addresses: Addresses,
    /// The application has an input and an output of its own.
    has_streams: bool,
    is_recorded: bool,
    /// The index of the step.
    at: usize,
    /// Bytes of the next step's text that the active OPEN has taken.
    ahead: usize,
    progress: Progress,
    /// The connection that must become established first.
    opening: Option<C>,
    /// Every connection of the script, with its name.
    connections: Vec<(Option<Arc<str>>, C)>,
    /// The connection that steps concern.
    current: Option<C>,
    /// How the script ended, once it has.
    end: Option<Result<(), StepError>>,
}

/// How far a step has come.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
struct Progress {
    began: bool,
    /// How often `connect` was tried.
    attempts: u32,
    /// The bytes that were received.
    received: u64,
    /// Bytes that are still to be sent, written or compared.
    held: Vec<u8>,
    /// How many bytes of the text, or of those held, were sent.
    sent: usize,
    /// What the step reads has ended: the peer's data, or the input.
    ended: bool,
}

impl<C> Machine<C> {
    /// A script that opens its connections itself.
    pub fn new(script: Arc<Script>, addresses: Addresses) -> Machine<C> {
        Machine {
            script,
            addresses,
            has_streams: false,
            is_recorded: true,
            at: 0,
            ahead: 0,
            progress: Progress::default(),
            opening: None,
            connections: Vec::new(),
            current: None,
            end: None,
        }
    }

    /// The application has an input and an output of its own. Without them its input is empty, and
    /// its output is not written.
    #[must_use]
    pub fn with_streams(self) -> Machine<C> {
        Machine {
            has_streams: true,
            ..self
        }
    }

    /// Nothing is recorded.
    #[must_use]
    pub fn unrecorded(self) -> Machine<C> {
        Machine {
            is_recorded: false,
            ..self
        }
    }

    /// The connection's active OPEN took this many bytes of the first step's text.
    #[must_use]
    pub fn ahead(self, bytes: usize) -> Machine<C> {
        Machine {
            ahead: bytes,
            ..self
        }
    }

    /// Whether anything is recorded.
    pub fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// The connection that steps concern.
    pub fn current(&self) -> Option<&C> {
        self.current.as_ref()
    }

    /// Every connection of the script.
    pub fn connections(&self) -> impl Iterator<Item = &C> {
        self.connections.iter().map(|(_, connection)| connection)
    }

    /// How the script ended, once it has.
    pub fn end(&self) -> Option<&Result<(), StepError>> {
        self.end.as_ref()
    }

    fn step(&self) -> Option<&Step> {
        self.script.steps.get(self.at)
    }
}

impl<C: Clone> Machine<C> {
    /// A script about this connection.
    pub fn on_connection(script: Arc<Script>, connection: C) -> Machine<C> {
        Machine {
            current: Some(connection.clone()),
            connections: alloc::vec![(None, connection)],
            ..Machine::new(script, Addresses::default())
        }
    }

    /// A script about this connection, from when it is established.
    pub fn on_opening(script: Arc<Script>, connection: C) -> Machine<C> {
        Machine {
            opening: Some(connection.clone()),
            ..Machine::on_connection(script, connection)
        }
    }

    /// The host has forgotten every connection.
    pub fn forget(&mut self) {
        self.current = None;
        self.opening = None;
        self.connections.clear();
    }

    /// Goes on to the next call, which [`call`](Machine::call) then has.
    pub fn advance(&mut self, record: Recorder<'_, C>) {
        while self.end.is_none() {
            if self.opening.is_none() && !self.progress.began {
                self.begin(record);
            }
            match self.plan() {
                Plan::Make(_) => return,
                Plan::Use(connection) => {
                    self.current = Some(connection.clone());
                    self.finish(record);
                }
                Plan::Finish => self.finish(record),
                Plan::Fail(error) => self.failed(error, record),
                Plan::End => self.stop(Ok(()), record),
            }
        }
    }

    /// What to do next; `None`: nothing, the script has ended.
    pub fn call(&self) -> Option<Call<'_, C>> {
        match self.plan() {
            Plan::Make(call) if self.end.is_none() => Some(call),
            _ => None,
        }
    }

    /// The call was made, and this came of it.
    pub fn done(&mut self, outcome: Outcome<C>, record: Recorder<'_, C>) {
        match outcome {
            Outcome::Done => self.completed(record),
            Outcome::Opened(connection) => self.opened(connection, 0, record),
            Outcome::OpenedWith(connection, bytes) => self.opened(connection, bytes, record),
            Outcome::Sent(bytes) => self.sent(bytes, record),
            Outcome::Bytes(bytes) => self.received(bytes, record),
            Outcome::Closed(reason) => self.closed(reason, record),
        }
    }

    /// The call could not be made, or the connection ended first: `connect` is tried again, the
    /// script continues where this end is expected, or it is over.
    pub fn failed(&mut self, error: StepError, record: Recorder<'_, C>) {
        let is_opening = self.opening.take().is_some();
        self.tell(record, || AppAction::Failed(error.to_string()));
        if let Some(Step::Connect(connect)) = self.step()
            && is_opening
            && connect
                .tries
                .is_some_and(|tries| self.progress.attempts < tries)
        {
            return;
        }
        let next = match error {
            StepError::Call(CallError::Ended(reason)) => self.script.after_end(self.at, reason),
            _ => None,
        };
        match next {
            Some(step) => self.go_to(step),
            None => self.stop(Err(error), record),
        }
    }

    fn tell(&self, record: Recorder<'_, C>, action: impl FnOnce() -> AppAction) {
        if self.is_recorded {
            record(self.current.as_ref(), action());
        }
    }

    fn begin(&mut self, record: Recorder<'_, C>) {
        self.progress.began = true;
        if let Some(Step::Send(_)) = self.step() {
            self.progress.sent = mem::take(&mut self.ahead);
        }
        if let Some(step) = self.step() {
            self.tell(record, || AppAction::Began(step.to_string()));
        }
    }

    fn finish(&mut self, record: Recorder<'_, C>) {
        self.tell(record, || AppAction::Done);
        self.go_to(self.at + 1);
    }

    fn go_to(&mut self, step: usize) {
        self.at = step;
        self.progress = Progress::default();
    }

    fn stop(&mut self, end: Result<(), StepError>, record: Recorder<'_, C>) {
        self.end = Some(end);
        self.tell(record, || AppAction::Over);
    }

    fn completed(&mut self, record: Recorder<'_, C>) {
        if let Some(connection) = self.opening.take() {
            if self.progress.began {
                self.take_up(connection, record);
            }
            return;
        }
        match self.step() {
            Some(Step::Receive(_) | Step::ReceiveToEnd) if !self.progress.ended => {
                self.progress.held = Vec::new();
            }
            Some(Step::Relay) if !self.has_streams => self.progress.ended = true,
            Some(Step::Restart) => {
                self.finish(record);
                self.forget();
            }
            _ => self.finish(record),
        }
    }

    fn opened(&mut self, connection: C, ahead: usize, record: Recorder<'_, C>) {
        self.progress.attempts += 1;
        self.ahead = ahead;
        if let (1.., Some(Step::Send(data))) = (ahead, self.script.steps.get(self.at + 1)) {
            let sent = data.get(..ahead).unwrap_or_default().to_vec();
            if self.is_recorded {
                record(Some(&connection), AppAction::Sent(sent));
            }
        }
        match self.step() {
            Some(Step::Connect(connect)) if connect.tries.is_some() => {
                self.current = Some(connection.clone());
                self.opening = Some(connection);
            }
            _ => self.take_up(connection, record),
        }
    }

    /// The step has its connection.
    fn take_up(&mut self, connection: C, record: Recorder<'_, C>) {
        let name = match self.step() {
            Some(Step::Accept { name }) => name.clone(),
            Some(Step::Connect(connect)) => connect.name.clone(),
            _ => None,
        };
        self.current = Some(connection.clone());
        self.connections.push((name, connection));
        self.finish(record);
    }

    fn sent(&mut self, bytes: usize, record: Recorder<'_, C>) {
        let before = self.progress.sent;
        let data = match self.step() {
            Some(Step::Send(data)) => data,
            _ => &self.progress.held,
        };
        let sent = data.get(before..before + bytes).unwrap_or_default();
        let is_all = before + bytes >= data.len();
        self.tell(record, || AppAction::Sent(sent.to_vec()));
        self.progress.sent = before + bytes;
        if !is_all {
            return;
        }
        match self.step() {
            Some(Step::Send(_)) => self.finish(record),
            _ => {
                self.progress.held = Vec::new();
                self.progress.sent = 0;
            }
        }
    }

    fn received(&mut self, bytes: Vec<u8>, record: Recorder<'_, C>) {
        if let Some(Step::Peek(text)) = self.step() {
            return match !bytes.is_empty() && text.starts_with(&bytes) {
                true => self.finish(record),
                false => self.failed(unexpected(text, &bytes), record),
            };
        }
        let is_end = bytes.is_empty();
        let is_input = matches!(self.step(), Some(Step::SendInput));
        if !is_end && !is_input {
            self.tell(record, || AppAction::Received(bytes.clone()));
        }
        let progress = &mut self.progress;
        progress.received = progress.received.saturating_add(bytes.len() as u64);
        match self.script.steps.get(self.at) {
            Some(Step::Receive(_) | Step::ReceiveToEnd) if self.has_streams => {
                progress.ended = is_end;
                progress.held = bytes;
                return;
            }
            Some(Step::ReceiveUntil(text)) => {
                // The end of what came is enough.
                let most = text.len();
                if progress.held.len() >= 2 * most {
                    progress.held.drain(..progress.held.len() - most);
                }
                progress.held.extend(bytes);
            }
            Some(Step::Expect(Expected::Text(text))) if is_end => {
                let error = unexpected(text, &progress.held);
                return self.failed(error, record);
            }
            Some(Step::Expect(_)) => progress.held.extend(bytes),
            Some(Step::Echo | Step::SendInput) => progress.held = bytes,
            _ => {}
        }
        if is_end {
            self.finish(record);
        }
    }

    fn closed(&mut self, reason: CloseReason, record: Recorder<'_, C>) {
        match self.step() {
            Some(Step::Expect(Expected::Closed(Some(named)))) if **named != *reason.name() => {
                let ended = format!("the connection ended: {}", reason.name());
                self.failed(StepError::Unexpected(ended), record);
            }
            _ => self.finish(record),
        }
    }
}

fn unexpected(expected: &[u8], received: &[u8]) -> StepError {
    StepError::Unexpected(format!(
        "expected \"{}\", received \"{}\"",
        expected.escape_ascii(),
        received.escape_ascii()
    ))
}

#[cfg(test)]
mod tests;
