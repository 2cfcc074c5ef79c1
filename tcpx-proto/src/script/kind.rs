//! What a step does, without the particulars, and how a record's spelling of a step names it.

use super::{Expected, Step};
use crate::name::names;

/// What a step does: a [`Step`] without the particulars.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StepKind {
    /// Passive OPEN.
    Listen,
    /// Close the listener.
    StopListening,
    /// Wait for a connection and take it.
    Accept,
    /// Active OPEN, and wait until the connection is established.
    Connect,
    /// Active OPEN without waiting.
    Open,
    /// Name the connection of the next steps.
    On,
    /// SEND.
    Send,
    /// SEND the application's input.
    SendInput,
    /// RECEIVE a number of bytes.
    Receive,
    /// RECEIVE until a text.
    ReceiveUntil,
    /// RECEIVE until the peer's FIN.
    ReceiveToEnd,
    /// Send back what is received.
    Echo,
    /// Join the connection and the application's streams.
    Relay,
    /// Do nothing for a time.
    Sleep,
    /// Do nothing from then on.
    StopReading,
    /// Change an option.
    Set,
    /// Release a third ACK.
    Release,
    /// CLOSE of one direction.
    Shutdown,
    /// CLOSE of both directions.
    Close,
    /// ABORT.
    Abort,
    /// Send and receive nothing from then on.
    GoSilent,
    /// Forget every connection.
    Restart,
    /// Wait for a text from the peer.
    ExpectText,
    /// Wait for a text from the peer, and leave it there.
    Peek,
    /// Wait for a state or an end.
    Expect,
}

names!(StepKind, "step", {
    StepKind::Listen => "listen",
    StepKind::StopListening => "stop listening",
    StepKind::Accept => "accept",
    StepKind::Connect => "connect",
    StepKind::Open => "open",
    StepKind::On => "on",
    StepKind::Send => "send",
    StepKind::SendInput => "send input",
    StepKind::Receive => "receive",
    StepKind::ReceiveUntil => "receive until",
    StepKind::ReceiveToEnd => "receive to end",
    StepKind::Echo => "echo",
    StepKind::Relay => "relay",
    StepKind::Sleep => "sleep",
    StepKind::StopReading => "stop reading",
    StepKind::Set => "set",
    StepKind::Release => "lift",
    StepKind::Shutdown => "shutdown",
    StepKind::Close => "close",
    StepKind::Abort => "abort",
    StepKind::GoSilent => "go silent",
    StepKind::Restart => "restart",
    StepKind::ExpectText => "expect text",
    StepKind::Peek => "peek",
    StepKind::Expect => "expect",
});

impl StepKind {
    /// The kind of a step that a record spells like this; `None`: unknown.
    pub fn of(step: &str) -> Option<StepKind> {
        let rest = |kind: StepKind| {
            let rest = step.strip_prefix(kind.name())?;
            (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
        };
        let kind = StepKind::ALL
            .into_iter()
            .filter(|kind| rest(*kind).is_some())
            .max_by_key(|kind| kind.name().len())?;
        // A record has a text in quotes, and of a long text only its length.
        let is_text = |rest: &str| {
            let mut rest = rest.trim_start().chars();
            rest.next().is_some_and(|c| c == '"' || c.is_ascii_digit())
        };
        if kind == StepKind::Expect && rest(kind).is_some_and(is_text) {
            return Some(StepKind::ExpectText);
        }
        Some(kind)
    }
}

impl Step {
    /// What it does, without the particulars.
    pub const fn kind(&self) -> StepKind {
        match self {
            Step::Listen { .. } => StepKind::Listen,
            Step::StopListening => StepKind::StopListening,
            Step::Accept { .. } => StepKind::Accept,
            Step::Connect(connect) if connect.tries.is_some() => StepKind::Connect,
            Step::Connect(_) => StepKind::Open,
            Step::On(_) => StepKind::On,
            Step::Send(_) => StepKind::Send,
            Step::SendInput => StepKind::SendInput,
            Step::Receive(_) => StepKind::Receive,
            Step::ReceiveUntil(_) => StepKind::ReceiveUntil,
            Step::ReceiveToEnd => StepKind::ReceiveToEnd,
            Step::Echo => StepKind::Echo,
            Step::Relay => StepKind::Relay,
            Step::Sleep(_) => StepKind::Sleep,
            Step::StopReading => StepKind::StopReading,
            Step::Set(_) | Step::SetListener(_) => StepKind::Set,
            Step::Release => StepKind::Release,
            Step::Shutdown => StepKind::Shutdown,
            Step::Close => StepKind::Close,
            Step::Abort => StepKind::Abort,
            Step::GoSilent => StepKind::GoSilent,
            Step::Restart => StepKind::Restart,
            Step::Expect(Expected::Text(_)) => StepKind::ExpectText,
            Step::Peek(_) => StepKind::Peek,
            Step::Expect(Expected::State(_) | Expected::Closed(_)) => StepKind::Expect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn kind_of_a_step_is_that_of_its_spelling() {
        let script = "listen 7 backlog 2; stop listening; accept; accept as x; connect; \
            connect 10.0.0.1:7 tries 3; open; send \"receive\"; send 5000; send input; receive 3; \
            receive until \"x\"; receive to end; echo; relay; sleep 1us; stop reading; lift; \
            set no-delay on; set listener ttl 9; peek \"x\"; \
            shutdown; close; abort; go silent; restart; expect \"x\"; expect CLOSE-WAIT; \
            expect FIN-WAIT-2; expect closed; expect closed reset";
        let mut steps = Script::parse(script).unwrap().steps;
        steps.push(Step::Expect(Expected::Text(vec![b'x'; 60])));
        for step in steps {
            assert_eq!(StepKind::of(&step.to_string()), Some(step.kind()), "{step}");
        }
        assert_eq!(StepKind::of("sends"), None);
    }
}
