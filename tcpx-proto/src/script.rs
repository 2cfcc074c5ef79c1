//! What an application does and when. The binaries' application flags are shorthand for these steps.

use crate::time::Duration;
use alloc::vec::Vec;

/// One thing that an application does with its connection. Steps are done in order, each to its end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// SEND all of this.
    Send(Vec<u8>),
    /// RECEIVE this many octets, or to the end if it comes sooner.
    Receive(u64),
    /// RECEIVE until the peer's FIN.
    ReceiveToEnd,
    /// Send back what is received, until the peer's FIN.
    Echo,
    /// SEND what the application's own input has, to its end.
    SendInput,
    /// Join the connection and the application's own streams both ways, until both have ended; the end of the
    /// application's input is our FIN.
    Relay,
    /// Do nothing, and do not read either.
    Sleep(Duration),
    /// Do nothing for good: the connection stays as it is.
    Stall,
    /// Let go what a removed third ACK holds back.
    Lift,
    /// CLOSE of our direction alone.
    Shutdown,
    /// CLOSE of both directions.
    Close,
    /// ABORT.
    Abort,
    /// Say and hear nothing any more, as a host that lost its power.
    Vanish,
}

/// What an application does, from the moment its connection is established (a client's) or accepted (a server's).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Script {
    /// The steps, in order. After the last one the connection is left as it is.
    pub steps: Vec<Step>,
}
