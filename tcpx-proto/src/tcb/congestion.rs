//! Congestion control: RFC 5681 with NewReno's recovery (RFC 6582).

use crate::config::{Congestion, ConnConfig};
use crate::seq::Seq;

/// What an acknowledgment asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reaction {
    /// Nothing beyond what the windows allow.
    Nothing,
    /// Send the segment at SND.UNA again, at once.
    Retransmit,
}

/// The congestion window of one connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Control {
    policy: Congestion,
    cwnd: u32,
}

impl Control {
    /// `syn_lost`: the SYN or SYN,ACK had to be sent again, so that the initial window is one segment (RFC 5681 section 3.1).
    pub(crate) fn new(config: &ConnConfig, mss: u32, iss: Seq, syn_lost: bool) -> Control {
        let _ = (mss, iss, syn_lost);
        Control { policy: config.congestion, cwnd: 0 }
    }

    /// How many octets may be in flight; without congestion control any number.
    pub(crate) fn window(&self) -> u32 {
        if self.policy == Congestion::Off { u32::MAX } else { self.cwnd }
    }

    /// `acked` new octets were acknowledged, up to `una`; `flight` octets are outstanding after that.
    pub(crate) fn acked(&mut self, _acked: u32, _una: Seq, _flight: u32, _mss: u32) -> Reaction {
        todo!()
    }

    /// A duplicate ACK (RFC 5681 section 2) arrived while `flight` octets up to `nxt` are outstanding.
    pub(crate) fn duplicate_ack(&mut self, _una: Seq, _nxt: Seq, _flight: u32, _mss: u32, _threshold: u32) -> Reaction {
        todo!()
    }

    /// The retransmission timer expired. `again`: for the same octets as the last time.
    pub(crate) fn timed_out(&mut self, _nxt: Seq, _flight: u32, _mss: u32, _again: bool) {
        todo!()
    }

    /// Nothing was sent for longer than an RTO (RFC 5681 section 4.1).
    pub(crate) fn idle(&mut self, _initial: u32) {
        todo!()
    }
}
