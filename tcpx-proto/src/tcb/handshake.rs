//! What else a SYN carries: text and a FIN that are queued, and the echo of a timestamp.

use super::Tcb;
use super::context::Context;
use super::segment_arrives::{Check, Stop};
use crate::config::{SynEcho, SynText};
use crate::event::Discard;
use crate::seq::Seq;
use crate::time::Instant;
use crate::wire::{Flags, Header, Segment};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The peer's SYN, with what came with it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Queued {
    header: Header,
    text: Vec<u8>,
}

impl Queued {
    pub(super) fn memory(&self) -> usize {
        self.text.capacity()
    }
}

impl Tcb {
    /// "Any other control or text should be queued for processing later" (3.10.7.2; 3.10.7.3 the
    /// same), as far as the window goes.
    pub(super) fn queue_syn(&mut self, cx: &Context<'_>, syn: &Segment<'_>) {
        let flags = syn.header.flags;
        let more =
            flags.contains(Flags::FIN) || flags.contains(Flags::URG) || !syn.payload.is_empty();
        let fits = syn.payload.len() <= cx.left.memory.min(self.rcv.window() as usize);
        if self.config.syn_text == SynText::Queue && more && fits {
            self.queued = Some(Box::new(Queued {
                header: syn.header,
                text: syn.payload.to_vec(),
            }));
        }
    }

    /// Takes what was queued, once our SYN is acknowledged, before what `segment` itself brings.
    pub(super) fn take_queued(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        let Some(queued) = self.queued.take_if(|_| self.snd.syn_acked) else {
            return Ok(());
        };
        let taken = self.take_text_of_syn(
            cx,
            &Segment {
                header: queued.header,
                payload: &queued.text,
                ..*segment
            },
        );
        if self.is_over() { taken } else { Ok(()) }
    }

    /// What a SYN,ACK brings goes on to the sixth check (3.10.7.3).
    pub(super) fn take_text_of_syn_ack(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment<'_>,
    ) -> Check {
        if self.config.syn_text == SynText::Drop && segment.len() > 1 {
            return Err(Stop::Discard(Discard::State));
        }
        self.take_queued(cx, segment)?;
        self.take_text_of_syn(cx, segment)
    }

    fn take_text_of_syn(&mut self, cx: &mut Context<'_>, segment: &Segment<'_>) -> Check {
        self.check_urg(cx, segment);
        self.check_text(cx, segment)?;
        self.check_fin(cx)
    }

    /// Whether what this segment echoes, if anything, is a stamp that a SYN of ours carried: from
    /// that of the first on until `last` (Linux `tcp_rcv_synsent_state_process`, `tcp_check_req`).
    pub(super) fn echoes_our_syn(&self, segment: &Segment<'_>, last: Instant) -> bool {
        let stamps = segment
            .header
            .options
            .timestamps
            .filter(|stamps| self.config.timestamps && stamps.echo != 0);
        match (stamps, self.snd.syn_stamp, self.config.syn_echo) {
            (Some(stamps), Some(first), SynEcho::Ours) => {
                Seq(stamps.echo).since(Seq(first)) <= Seq(self.stamps.value(last)).since(Seq(first))
            }
            _ => true,
        }
    }
}
