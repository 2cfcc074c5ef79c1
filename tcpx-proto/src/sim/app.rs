//! A script as an application: what it does with its connection, one call at a time.

use crate::script::{Script, Step};
use crate::stack::{CallError, ConnId, Stack};
use crate::tcb::State;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The most octets that one RECEIVE asks for.
const CHUNK: usize = 16_384;

/// What a step asks of the host, beyond its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asks {
    Nothing,
    Lift,
    Vanish,
}

/// An application with one connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct App {
    script: Arc<Script>,
    /// The step that it is at.
    at: usize,
    /// Octets that this step has sent or received.
    octets: usize,
    /// Up to here what was received has been sent back, or need not be.
    echoed: usize,
    /// A sleep ends then.
    pub(super) until: Option<Instant>,
    /// It may have something to do.
    pub(super) awake: bool,
    pub(super) received: Vec<u8>,
    pub(super) error: Option<CallError>,
}

impl App {
    pub(super) fn new(script: Arc<Script>) -> App {
        App { script, at: 0, octets: 0, echoed: 0, until: None, awake: true, received: Vec::new(), error: None }
    }

    /// Makes at most one call. Afterwards it is awake if there may be more to do.
    pub(super) fn act(&mut self, now: Instant, id: ConnId, stack: &mut Stack) -> Asks {
        let opening = stack.status(id).is_some_and(|status| matches!(status.state, State::SynSent | State::SynReceived));
        let script = Arc::clone(&self.script);
        let Some(step) = script.steps.get(self.at).filter(|_| !opening && self.error.is_none()) else {
            self.awake = false;
            return Asks::Nothing;
        };
        match self.take(now, id, stack, step) {
            Ok(false) => Asks::Nothing,
            Ok(true) => {
                (self.at, self.octets, self.until, self.echoed) = (self.at + 1, 0, None, self.received.len());
                match step {
                    Step::Lift => Asks::Lift,
                    Step::Vanish => Asks::Vanish,
                    _ => Asks::Nothing,
                }
            }
            Err(error) => {
                self.awake = false;
                self.error = Some(error).filter(|error| *error != CallError::WouldBlock);
                Asks::Nothing
            }
        }
    }

    /// A part of a step; `true`: that was the end of it. `WouldBlock`: not now.
    fn take(&mut self, now: Instant, id: ConnId, stack: &mut Stack, step: &Step) -> Result<bool, CallError> {
        match step {
            Step::Send(data) => {
                let left = data.get(self.octets..).unwrap_or_default();
                if !left.is_empty() {
                    self.octets += stack.send(now, id, left)?;
                }
                Ok(self.octets >= data.len())
            }
            Step::Receive(octets) => {
                let left = usize::try_from(*octets).unwrap_or(usize::MAX).saturating_sub(self.octets);
                Ok(left == 0 || self.receive(now, id, stack, left)?)
            }
            Step::ReceiveToEnd | Step::Relay => self.receive(now, id, stack, CHUNK),
            Step::Echo => match self.received.get(self.echoed..).unwrap_or_default() {
                [] => self.receive(now, id, stack, CHUNK),
                unsent => {
                    self.echoed += stack.send(now, id, unsent)?;
                    Ok(false)
                }
            },
            Step::Sleep(duration) => {
                let until = *self.until.get_or_insert(now + *duration);
                if now < until { Err(CallError::WouldBlock) } else { Ok(true) }
            }
            Step::Stall => Err(CallError::WouldBlock),
            Step::Shutdown => stack.shutdown(now, id).map(|()| true),
            Step::Close => stack.close(now, id).map(|()| true),
            Step::Abort => stack.abort(now, id).map(|()| true),
            Step::SendInput | Step::Lift | Step::Vanish => Ok(true),
        }
    }

    /// RECEIVE of at most `most` octets; `true`: there are no more.
    fn receive(&mut self, now: Instant, id: ConnId, stack: &mut Stack, most: usize) -> Result<bool, CallError> {
        let before = self.received.len();
        self.received.resize(before + most.min(CHUNK), 0);
        let got = stack.receive(now, id, self.received.get_mut(before..).unwrap_or_default());
        self.received.truncate(before + got.unwrap_or(0));
        self.octets += got?;
        Ok(got == Ok(0))
    }
}
