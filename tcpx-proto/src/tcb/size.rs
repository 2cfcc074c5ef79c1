//! How large a segment may be (RFC 9293 section 3.7.1).

use super::Tcb;
use crate::config::ConnConfig;
use core::net::SocketAddr;

impl Tcb {
    /// Eff.snd.MSS (MUST-16) less the options that every segment carries, less `more` bytes of
    /// them. At least 1.
    pub(super) fn effective_mss(&self, more: u32) -> u32 {
        let path = u32::from(self.snd.mss) + u32::from(headers(self.tuple.remote));
        //= MUST-16
        self.segment_within(self.snd.path_mtu.min(path.try_into().unwrap_or(u16::MAX)))
            .saturating_sub(more)
            .max(1)
    }

    /// Bytes of text in a packet of `mtu` bytes.
    pub(super) fn segment_within(&self, mtu: u16) -> u32 {
        //= MUST-16
        let overhead = headers(self.tuple.remote) + self.stamps.len();
        u32::from(mtu.saturating_sub(overhead))
    }

    /// At most three SACK blocks with timestamps, else four (RFC 2018 section 3).
    pub(super) fn sack_room(&self) -> usize {
        if self.stamps.on { 3 } else { 4 }
    }

    /// Bytes that SACK blocks take in the next segment.
    pub(super) fn sack_len(&self) -> u32 {
        let Some(transfer) = self.transfer.as_deref() else {
            return 0;
        };
        if !self.rcv.sack {
            return 0;
        }
        let count = usize::from(self.rcv.duplicate.is_some()) + transfer.receive.blocks();
        match count.min(self.sack_room()) {
            0 => 0,
            blocks => 4 + 8 * blocks as u32,
        }
    }
}

/// The MSS option (MUST-14, MUST-67): what fits into the link's MTU, or less if so configured.
pub(crate) fn offered_mss(config: &ConnConfig, remote: SocketAddr) -> u16 {
    //= MUST-67
    let fits = config.mtu.saturating_sub(headers(remote));
    config.mss.map_or(fits, |mss| mss.min(fits))
}

/// Bytes of the IP and TCP headers without options.
pub(super) const fn headers(remote: SocketAddr) -> u16 {
    if remote.is_ipv4() { 40 } else { 60 }
}
