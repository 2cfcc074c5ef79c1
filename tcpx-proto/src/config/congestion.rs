//! The policies of congestion control, and of what is lost.

/// Congestion control.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Congestion {
    /// RFC 5681: half the window after a loss, one segment more a round trip.
    NewReno,
    /// RFC 9438: seven tenths, then back along a cubic curve in time. What Linux does unless told
    /// otherwise.
    Cubic,
    /// None: only the peer's window limits.
    Off,
}

/// How losses are detected and repaired. Without SACK it is always RFC 6582.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Recovery {
    /// By duplicate ACKs, one loss a round trip, whatever SACK reports (RFC 6582).
    NewReno,
    /// By what SACK reports as held (RFC 6675).
    Rfc6675,
    /// By transmission time, and with a probe for lost tails (RACK-TLP, RFC 8985). What Linux does;
    /// since 6.17 it knows nothing else.
    Rack,
}

/// How fast the congestion window falls to the threshold when something is lost or marked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CwndReduction {
    /// At once: new text waits until enough has left the network (RFC 5681 section 3.2, RFC
    /// 6582, RFC 6675 section 5).
    AtOnce,
    /// In proportion to what is delivered (PRR, RFC 9937; Linux `tcp_cwnd_reduction`).
    Proportional,
}

/// By how much slow start opens the congestion window.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SlowStart {
    /// By what an ACK acknowledges, at most a segment (RFC 5681 section 3.1).
    PerAck,
    /// By all that it acknowledges or reports as held for the first time, however many segments
    /// (RFC 3465 section 2.1 without its limit L; Linux `tcp_slow_start`).
    PerByte,
}

/// A congestion window that the application, or the peer's window, leaves unused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum WindowUse {
    /// It grows all the same. After an RTO without text it is the initial window again (RFC 5681
    /// section 4.1). A loss leaves a part of FlightSize (section 3.1, equation 4).
    Ignored,
    /// It grows only when it is used up, in slow start to twice what was in flight, and falls by
    /// half for each RTO without text; the threshold remembers three quarters of it (RFC 2861, in
    /// the spirit of RFC 7661; Linux `tcp_is_cwnd_limited`, `tcp_cwnd_restart`). A loss leaves a
    /// part of it, in whole segments, and a timeout during a reduction no less than that. The
    /// initial window counts segments.
    Counted,
}

/// A loss that was none: a segment was only late.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SpuriousLoss {
    /// Nobody looks (RFC 5681, RFC 6298).
    Ignore,
    /// The congestion window is what it was, and nothing counts as lost, once timestamps (Eifel
    /// detection, RFC 3522, RFC 4015), D-SACK (RFC 3708) or F-RTO (RFC 5682) prove it (Linux
    /// `tcp_undo_cwnd_reduction`).
    Undo,
}

/// Explicit congestion notification (RFC 3168; `tcp_ecn`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Ecn {
    /// Neither asked for nor granted.
    Off,
    /// Granted to a peer that asks for it: what Linux does unless told otherwise (`tcp_ecn=2`).
    WhenAsked,
    /// Asked for, too (`tcp_ecn=1`).
    On,
}

/// How a timeout follows from the round-trip times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Variance {
    /// SRTT + 4 RTTVAR, and [`min`](super::Rto::min) bounds the sum (RFC 6298 sections 2.3, 2.4).
    Rfc6298,
    /// SRTT + the largest deviation of the last round trips, and [`min`](super::Rto::min) bounds
    /// that deviation: a peer that delays its ACK by less is never taken for a loss
    /// (`tcp_rtt_estimator`, `__tcp_set_rto`).
    Linux,
}

/// Which segments a round-trip time is taken from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Samples {
    /// Those that were sent once, and any that a timestamp tells apart (Karn; RFC 6298 section 3).
    Unambiguous,
    /// The same, but the SYN,ACK of a simultaneous open counts as sent once, and a SYN's time comes
    /// before that of a timestamp (Linux).
    CrossedSyn,
    /// All of them, from their last transmission on, and no timestamp is asked.
    All,
}

/// What SACK reported, once the retransmission timer expired.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimeoutSack {
    /// It is forgotten, and all of it is sent again: the peer may have dropped it (RFC 2018 section
    /// 8). So it is at once where SND.UNA stops at its left edge, which only reneging explains.
    Forget,
    /// It counts until SND.UNA stops at its left edge. Then the timeout comes early, after half a
    /// round trip, at least 10 ms (Linux `tcp_check_sack_reneging`).
    Keep,
}
