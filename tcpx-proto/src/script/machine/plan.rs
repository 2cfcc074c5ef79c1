//! What a script does next, by its step and how far that has come.

use super::{Call, Machine, unexpected};
use crate::script::{Expected, Step, StepError};
use alloc::sync::Arc;

/// What is next.
pub(super) enum Plan<'a, C> {
    Make(Call<'a, C>),
    /// The steps that follow concern this connection.
    Use(&'a C),
    /// The step is complete.
    Finish,
    Fail(StepError),
    /// There are no more steps.
    End,
}

impl<C> Machine<C> {
    pub(super) fn plan(&self) -> Plan<'_, C> {
        use Plan::Make;
        if let Some(connection) = &self.opening {
            return Make(Call::Established(connection));
        }
        let Some(step) = self.step() else {
            return Plan::End;
        };
        match step {
            Step::Listen { port, backlog } => Make(Call::Listen {
                port: port.unwrap_or(self.addresses.port),
                backlog: *backlog,
            }),
            Step::StopListening => Make(Call::StopListening),
            Step::Accept { .. } => Make(Call::Accept),
            Step::Connect(connect) => match connect.to.or(self.addresses.peer) {
                Some(to) => Make(Call::Connect {
                    to,
                    from: connect.from.unwrap_or(self.addresses.port),
                    data: match self.script.steps.get(self.at + 1) {
                        Some(Step::Send(data)) => data,
                        _ => &[],
                    },
                }),
                None => Plan::Fail(StepError::NoPeer),
            },
            Step::On(name) => self.plan_use(name),
            Step::Send(data) => self.on(|connection| self.plan_send(connection, data)),
            Step::Receive(bytes) => self.on(|connection| self.plan_receive(connection, *bytes)),
            Step::ReceiveToEnd => self.on(|connection| self.plan_receive(connection, u64::MAX)),
            Step::ReceiveUntil(text) => self.on(|connection| self.plan_until(connection, text)),
            Step::Echo => self.on(|connection| self.plan_echo(connection)),
            Step::SendInput => self.on(|connection| self.plan_input(connection)),
            Step::Relay => self.on(|connection| self.plan_relay(connection)),
            Step::Sleep(duration) => Make(Call::Sleep(*duration, self.current.as_ref())),
            Step::StopReading => self.on(|connection| Make(Call::StopReading(connection))),
            Step::Peek(text) => self.on(|connection| Make(Call::Peek(connection, text.len()))),
            Step::Set(option) => self.on(|connection| Make(Call::Set(connection, *option))),
            Step::SetListener(option) => Make(Call::SetListener(*option)),
            Step::Release => Make(Call::Release),
            Step::Shutdown => self.on(|connection| Make(Call::Shutdown(connection))),
            Step::Close => self.on(|connection| Make(Call::Close(connection))),
            Step::Abort => self.on(|connection| Make(Call::Abort(connection))),
            Step::GoSilent => Make(Call::GoSilent),
            Step::Restart => Make(Call::Restart),
            Step::Expect(expected) => self.on(|connection| match expected {
                Expected::Text(text) => self.plan_text(connection, text),
                Expected::State(state) => Make(Call::State(connection, *state)),
                Expected::Closed(_) => Make(Call::Closed(connection)),
            }),
        }
    }

    /// A step that needs a connection.
    fn on<'a>(&'a self, plan: impl FnOnce(&'a C) -> Plan<'a, C>) -> Plan<'a, C> {
        match &self.current {
            Some(connection) => plan(connection),
            None => Plan::Fail(StepError::NoSuchConnection(None)),
        }
    }

    fn plan_use(&self, name: &Arc<str>) -> Plan<'_, C> {
        let mut named = self.connections.iter().rev();
        match named.find(|(known, _)| known.as_ref() == Some(name)) {
            Some((_, connection)) => Plan::Use(connection),
            None => Plan::Fail(StepError::NoSuchConnection(Some(Arc::clone(name)))),
        }
    }

    fn plan_send<'a>(&'a self, connection: &'a C, data: &'a [u8]) -> Plan<'a, C> {
        match data.get(self.progress.sent..) {
            Some([]) | None => Plan::Finish,
            Some(rest) => Plan::Make(Call::Send(connection, rest)),
        }
    }

    fn plan_receive<'a>(&'a self, connection: &'a C, bytes: u64) -> Plan<'a, C> {
        let progress = &self.progress;
        let left = bytes.saturating_sub(progress.received);
        if !progress.held.is_empty() {
            Plan::Make(Call::Output(&progress.held))
        } else if progress.ended {
            Plan::Make(Call::EndOutput)
        } else if left == 0 {
            Plan::Finish
        } else {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            Plan::Make(Call::Receive(connection, most))
        }
    }

    /// One byte at a time: what follows the text is for the next step.
    fn plan_until<'a>(&'a self, connection: &'a C, text: &[u8]) -> Plan<'a, C> {
        match self.progress.held.ends_with(text) {
            true => Plan::Finish,
            false => Plan::Make(Call::Receive(connection, 1)),
        }
    }

    fn plan_text<'a>(&'a self, connection: &'a C, text: &[u8]) -> Plan<'a, C> {
        let held = &self.progress.held;
        match text.strip_prefix(held.as_slice()) {
            Some([]) => Plan::Finish,
            Some(rest) => Plan::Make(Call::Receive(connection, rest.len())),
            None => Plan::Fail(unexpected(text, held)),
        }
    }

    fn plan_echo<'a>(&'a self, connection: &'a C) -> Plan<'a, C> {
        match self.progress.held.get(self.progress.sent..) {
            Some([]) | None => Plan::Make(Call::Receive(connection, usize::MAX)),
            Some(rest) => Plan::Make(Call::Send(connection, rest)),
        }
    }

    fn plan_input<'a>(&'a self, connection: &'a C) -> Plan<'a, C> {
        match self.progress.held.get(self.progress.sent..) {
            _ if !self.has_streams => Plan::Finish,
            Some([]) | None => Plan::Make(Call::Input),
            Some(rest) => Plan::Make(Call::Send(connection, rest)),
        }
    }

    /// Only the executor can send and receive at the same time. An input that is empty ends first.
    fn plan_relay<'a>(&'a self, connection: &'a C) -> Plan<'a, C> {
        Plan::Make(match (self.has_streams, self.progress.ended) {
            (true, _) => Call::Relay(connection),
            (false, false) => Call::Shutdown(connection),
            (false, true) => Call::Receive(connection, usize::MAX),
        })
    }
}
