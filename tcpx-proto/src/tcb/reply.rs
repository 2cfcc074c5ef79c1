//! Segments that outlive the connection: the last ACK, and RSTs.

use super::Tcb;
use super::context::{Context, Reply};
use super::plan::Plan;
use crate::config::{AbortRst, ConnConfig, ResetTos};
use crate::id::ConnId;
use crate::label::{Carries, Cause, Label};
use crate::seq::Seq;
use crate::wire::{Flags, Header, Options, Segment};

/// The bits of the TOS field that are not DSCP (RFC 3168 section 5).
const ECN: u8 = 0b11;

impl Tcb {
    /// The last ACK of a connection that is gone: it leaves without it.
    pub(super) fn reply_ack(&mut self, cx: &mut Context<'_>, cause: Cause) {
        let plan = Plan::bare(self.acceptable_seq(), Flags::ACK, cause);
        let header = self.header(cx.now, &plan, 0);
        let label = Label {
            cause,
            carries: self.carries(&plan, &header),
        };
        cx.reply(header, label);
    }

    /// The RST of an ABORT (3.10.5).
    pub(super) fn reply_reset(&mut self, cx: &mut Context<'_>) {
        let flags = match self.config.abort_rst {
            AbortRst::Bare => Flags::RST,
            AbortRst::WithAck => Flags::RST | Flags::ACK,
        };
        let plan = Plan::bare(self.acceptable_seq(), flags, Cause::Call);
        let header = self.header(cx.now, &plan, 0);
        let label = Label {
            cause: Cause::Call,
            carries: Carries::RST,
        };
        cx.reply(header, label);
    }

    /// The RST that answers a segment which cannot belong to this connection, instead of an ACK
    /// that was due.
    pub(super) fn reply_reset_to(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) {
        self.pending.ack = None;
        let reply = reset_to(segment, &self.config, Some(cx.id), cx.record.packet);
        cx.replies.push_back(reply);
    }
}

/// The RST that answers a segment for which there is no connection (3.10.7.1): it takes its
/// sequence number from the segment's ACK, or acknowledges the segment where that has none.
pub(crate) fn reset_to(
    segment: &Segment<'_>,
    config: &ConnConfig,
    conn: Option<ConnId>,
    packet: Option<u64>,
) -> Reply {
    let got = &segment.header;
    let acked = got.flags.contains(Flags::ACK);
    let header = Header {
        source: got.destination,
        destination: got.source,
        seq: if acked { got.ack } else { Seq(0) },
        ack: if acked {
            Seq(0)
        } else {
            got.seq + segment.len()
        },
        flags: if acked {
            Flags::RST
        } else {
            Flags::RST | Flags::ACK
        },
        window: 0,
        urgent: 0,
        options: Options::default(),
        ttl: config.ttl,
        tos: match config.reset_tos {
            ResetTos::Zero => 0,
            ResetTos::Reflected => got.tos & !ECN,
        },
        id: 0,
    };
    Reply {
        conn,
        header,
        layout: config.syn_options,
        label: Label {
            cause: Cause::Reset,
            carries: Carries::RST,
        },
        packet,
    }
}
