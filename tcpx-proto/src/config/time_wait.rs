//! The policies of TIME-WAIT.

/// What restarts 2 MSL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimeWaitRestart {
    /// The peer's repeated FIN (RFC 9293 3.10.7.4, eighth step).
    OnFin,
    /// Nothing.
    Never,
}

/// RST in TIME-WAIT (RFC 1337).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimeWaitRst {
    /// It ends TIME-WAIT: RFC 9293, and Linux with `tcp_rfc1337=0`.
    Obey,
    /// It is ignored (RFC 1337 fix F1).
    Ignore,
}

/// A TIME-WAIT after a SYN opened its four-tuple again, if that SYN turns out to be an old
/// duplicate (RFC 9293 section 3.6.1, MAY-2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimeWaitSyn {
    /// It comes back, for what is left of its 2 MSL, when SYN-RECEIVED ends without a connection.
    Return,
    /// It is gone (Linux).
    Forget,
}

/// The ACK field in TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimeWaitAck {
    /// It is checked as in every state, and a timestamp is taken from every segment that passes
    /// (RFC 9293 section 3.10.7.4, RFC 7323 section 5.3).
    Check,
    /// It is ignored, and a timestamp is taken only from a bare ACK at RCV.NXT (Linux
    /// `tcp_timewait_state_process`).
    Ignore,
}

/// A RST with an old timestamp in TIME-WAIT, and at a passive opener in SYN-RECEIVED.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimeWaitOldRst {
    /// PAWS never drops a RST (RFC 7323 section 5.3, R1).
    Accept,
    /// PAWS drops it (Linux `tcp_paws_reject`).
    Drop,
}

/// A RST in TIME-WAIT that is not at RCV.NXT, which
/// [`ResetChecks::Rfc5961`](super::ResetChecks) keeps from resetting.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimeWaitChallenge {
    /// It gets a challenge ACK (RFC 5961 section 3.2).
    Send,
    /// It gets no answer (Linux `tcp_timewait_state_process`).
    Silent,
}

/// Which SYN reopens TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimeWaitReopen {
    /// One with a later timestamp; with timestamps where the old connection had none; and
    /// otherwise one at RCV.NXT or later (RFC 6191 section 2; RFC 9293 MAY-2).
    Rfc6191,
    /// One with a later timestamp, or else one later than RCV.NXT (Linux
    /// `tcp_timewait_state_process`).
    Linux,
}

/// A SYN that does not reopen TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimeWaitRefused {
    /// It is dropped (RFC 6191 section 2).
    Drop,
    /// It is answered with an ACK (Linux `tcp_timewait_state_process`).
    Acknowledge,
}
