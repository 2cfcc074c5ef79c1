//! The status of a connection.

use crate::event::Timer;
use crate::seq::Seq;
use crate::state::State;
use crate::time::{Duration, Instant};
use core::net::SocketAddr;

/// A plain copy of the status of a connection (RFC 9293 section 3.10.6).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Status {
    /// State.
    pub state: State,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Opened by a SYN to a listener.
    pub passive: bool,
    /// ISS.
    pub iss: Seq,
    /// SND.UNA.
    pub snd_una: Seq,
    /// SND.NXT.
    pub snd_nxt: Seq,
    /// SND.WND, bytes.
    pub snd_wnd: u32,
    /// Congestion window, bytes.
    pub cwnd: u32,
    /// IRS.
    pub irs: Seq,
    /// RCV.NXT.
    pub rcv_nxt: Seq,
    /// RCV.WND, bytes.
    pub rcv_wnd: u32,
    /// Effective send MSS, bytes.
    pub mss: u16,
    /// Smoothed round-trip time, once there was a sample.
    pub srtt: Option<Duration>,
    /// Retransmission timeout now.
    pub rto: Duration,
    /// Retransmissions of the oldest bytes so far.
    pub retransmissions: u32,
    /// Bytes that SEND took and the peer did not acknowledge.
    pub unacknowledged: usize,
    /// Bytes that RECEIVE can take now.
    pub unread: usize,
    /// How many bytes away the end of the peer's urgent data is, if there is any; its last byte
    /// is in line or not, by [`ConnConfig::urgent`](crate::config::ConnConfig).
    pub urgent: Option<usize>,
    /// When the earliest timer fires.
    pub deadline: Option<Instant>,
    /// Which one that is.
    pub timer: Option<Timer>,
    /// When it was opened.
    pub opened: Instant,
}
