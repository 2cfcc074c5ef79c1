//! A path that takes less than the link: RFC 1191 and RFC 8201, and what that means for what is in
//! flight.

use super::{Tcb, Transfer};
use crate::config::SmallPath;

/// What every IPv4 and every IPv6 path takes, bytes (RFC 1191 section 3, RFC 8200 section 5).
const LEAST_V4: u16 = 68;
const LEAST_V6: u16 = 1280;
/// What Linux expects an IPv4 path to take (`net.ipv4.route.min_pmtu`).
const EXPECTED_V4: u16 = 552;
/// Where to look for the MTU of a path whose routers do not report it (RFC 1191 section 7).
const PLATEAUS: [u16; 10] = [
    32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, LEAST_V4,
];

impl Tcb {
    /// A router had to drop a packet of ours of `len` bytes, and reports an MTU of `mtu` (0: it
    /// does not report one).
    pub(super) fn on_packet_too_big(&mut self, mtu: u32, len: u16) {
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        match (self.tuple.remote.is_ipv6(), self.config.small_path) {
            // RFC 8201 section 4: no router reports less.
            (true, _) if mtu < LEAST_V6 => {}
            (false, SmallPath::Fragment) if mtu < EXPECTED_V4 => {
                self.narrow(EXPECTED_V4, mtu, true)
            }
            (false, SmallPath::Reduce) => {
                let plateau = PLATEAUS
                    .into_iter()
                    .find(|plateau| *plateau < len)
                    .unwrap_or(LEAST_V4);
                self.on_path_shrunk(if mtu == 0 { plateau } else { mtu });
            }
            _ => self.on_path_shrunk(mtu),
        }
    }

    /// The path takes packets of up to `mtu` bytes, or the link does, as our own host reports.
    pub(super) fn on_path_shrunk(&mut self, mtu: u16) {
        let least = if self.tuple.remote.is_ipv4() {
            LEAST_V4
        } else {
            LEAST_V6
        };
        self.narrow(mtu.max(least), mtu, self.snd.fragments);
    }

    /// Packets of up to `mtu` bytes from now on; those over `limit` were lost. The window stays as
    /// many segments as it was (RFC 5681 section 3.1), and the loss is no congestion (Linux's
    /// `tcp_simple_retransmit`).
    fn narrow(&mut self, mtu: u16, limit: u16, fragments: bool) {
        let mtu = mtu.min(self.snd.path_mtu);
        if mtu == self.snd.path_mtu && fragments == self.snd.fragments {
            return;
        }
        let before = self.effective_mss(0);
        self.snd.path_mtu = mtu;
        self.snd.fragments = fragments;
        let after = self.effective_mss(0);
        let nxt = self.snd.nxt;
        let in_flight = self.snd.una.lt(nxt) && !self.snd.is_syn_outstanding();
        if let Some(control) = self.congestion_mut() {
            control.rescale(before, after);
            if in_flight {
                control.lost_without_congestion(nxt);
            }
        }
        if in_flight {
            self.resend(self.segment_within(limit).min(after));
        }
    }

    /// What is in flight in segments of more than `len` bytes is retransmitted, as far as the
    /// windows let it.
    pub(super) fn resend(&mut self, len: u32) {
        self.pending.tail_probe = false;
        if !self.is_selective() {
            self.snd.cursor = Some(self.snd.una);
        } else if let Some(Transfer { history, .. }) = self.transfer.as_deref_mut() {
            history.rack.probe = None;
            history.board.lose_longer(len);
        }
    }
}
