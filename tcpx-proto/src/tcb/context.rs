//! What a connection takes from its stack and gives back while it handles one input.

use super::usage::Left;
use crate::error::CloseReason;
use crate::event::{Record, What};
use crate::id::ConnId;
use crate::label::Label;
use crate::seq::Seq;
use crate::time::Instant;
use crate::wire::{Header, OptionLayout, Sum};
use alloc::collections::VecDeque;

/// What a connection needs from its stack while it handles one input.
pub(crate) struct Context<'a> {
    /// Now.
    pub(crate) now: Instant,
    /// The connection's own name.
    pub(crate) id: ConnId,
    /// Where events go.
    pub(crate) record: &'a mut Record,
    /// Segments that outlive the connection's state: RSTs and last ACKs. Sent before anything else.
    pub(crate) replies: &'a mut VecDeque<Reply>,
    /// Fast paths are taken where there are any.
    pub(crate) fast: bool,
    /// How checksums are added up.
    pub(crate) sum: Sum,
    /// A listener would take a new incarnation of this four-tuple.
    pub(crate) listener: bool,
    /// The listener that this connection came from has no room for another established one.
    pub(crate) accept_full: bool,
    /// What the bounds of the stack leave for it.
    pub(crate) left: Left,
}

impl Context<'_> {
    /// Records what happened to the connection.
    pub(super) fn note(&mut self, what: What) {
        self.record.note(self.now, Some(self.id), what);
    }

    /// Sends a segment that does not need the connection any more.
    pub(super) fn reply(&mut self, header: Header, label: Label) {
        self.replies.push_back(Reply {
            conn: Some(self.id),
            header,
            layout: OptionLayout::default(),
            label,
            packet: self.record.packet,
        });
    }
}

/// A segment without text that needs no connection to be sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Reply {
    pub(crate) conn: Option<ConnId>,
    pub(crate) header: Header,
    pub(crate) layout: OptionLayout,
    pub(crate) label: Label,
    pub(crate) packet: Option<u64>,
}

/// What SEGMENT ARRIVES asks of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Nothing: the connection dealt with it.
    Handled,
    /// The segment, a SYN, is for the listener, which must use this ISS, and its connection
    /// replaces this one in TIME-WAIT (MAY-2, RFC 6191).
    Reopen(Seq),
}

/// Wake-ups that the stack has not collected yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Wake {
    pub(crate) established: bool,
    /// The application may accept it: it is established, or served before that (RFC 7413).
    pub(crate) acceptable: bool,
    pub(crate) readable: bool,
    pub(crate) urgent: bool,
    pub(crate) writable: bool,
    pub(crate) closed: Option<CloseReason>,
}
