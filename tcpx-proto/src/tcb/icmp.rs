//! ICMP errors about our segments (RFC 9293 section 3.9.2.2).

use super::Tcb;
use super::context::Context;
use crate::config::HandshakeIcmp;
use crate::error::CloseReason;
use crate::event::What;
use crate::state::{State, Trigger};
use crate::wire::{Icmp, IcmpKind};

impl Tcb {
    /// An ICMP error about one of our segments (3.9.2.2), believed only if that segment is in
    /// flight (RFC 5927 section 4.1).
    pub(crate) fn icmp_arrives(&mut self, cx: &mut Context<'_>, icmp: &Icmp) {
        //= 5927-1
        let in_flight = self.snd.una.le(icmp.seq) && icmp.seq.lt(self.snd.nxt);
        //= MUST-55
        if self.is_over() || !in_flight || icmp.kind == IcmpKind::SourceQuench {
            return;
        }
        //= MUST-47, SHLD-25
        cx.note(What::Icmp(icmp.kind));
        match icmp.kind {
            IcmpKind::PacketTooBig(mtu) => {
                self.on_packet_too_big(mtu, icmp.len);
            }
            kind => {
                //= 5927-2
                let embryonic = matches!(self.state, State::SynSent | State::SynReceived);
                // SHLD-26 where RFC 5927 5.2 still lets it: before the connection is synchronized.
                //= MUST-56, SHLD-26
                let hard = matches!(kind, IcmpKind::Unreachable(2..=3));
                if embryonic && (hard || self.config.handshake_icmp == HandshakeIcmp::AnyError) {
                    self.fail(cx, Trigger::Icmp, CloseReason::Unreachable(kind));
                }
            }
        }
        self.arm(cx);
    }
}
