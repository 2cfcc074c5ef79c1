//! TCP Fast Open (RFC 7413): what a connection says of it in its SYN, and what it learns.

use super::Tcb;
use super::context::Context;
use super::open::peer_mss;
use super::plan::{Kind, Plan};
use crate::config::FastOpenRepeats;
use crate::error::CloseReason;
use crate::event::Timer;
use crate::seq::Seq;
use crate::state::State;
use crate::wire::{FastOpenCookie, Flags, Header, MAX_OPTIONS_LEN, Options, Segment};
use alloc::boxed::Box;

/// What an active opener does with its SYN.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FastOpenOffer {
    /// The option of the SYN: the peer's cookie, or the request for one.
    pub(crate) cookie: FastOpenCookie,
    /// The MSS that the peer offered before, if it is known.
    pub(crate) mss: Option<u16>,
}

/// What a listener does about the Fast Open option of a SYN.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FastOpenGrant {
    /// The SYN had a valid cookie: the connection is served before the third ACK.
    pub(crate) served: bool,
    /// A cookie for the SYN,ACK.
    pub(crate) cookie: Option<FastOpenCookie>,
}

/// What the answer to our SYN taught (RFC 7413 section 4.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Lesson {
    /// The peer gave this cookie, and offered this MSS.
    Cookie(FastOpenCookie, u16),
    /// It took text of our SYN.
    Taken,
    /// It neither gave a cookie nor took text; or nothing came back before the SYN went out
    /// without the option.
    Refused,
}

/// What a connection has to do with Fast Open; most have nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct FastOpen {
    /// Of an active opener.
    offer: Option<FastOpenOffer>,
    /// One past the last byte that a SYN of ours carried.
    syn_end: Option<Seq>,
    /// Of a passive opener.
    grant: Option<FastOpenGrant>,
    lesson: Option<Lesson>,
    /// Text of a SYN was delivered (`syn_data_acked`).
    used: bool,
}

impl FastOpen {
    pub(super) fn offered(offer: FastOpenOffer) -> Box<FastOpen> {
        Box::new(FastOpen {
            offer: Some(offer),
            syn_end: None,
            grant: None,
            lesson: None,
            used: false,
        })
    }

    pub(super) fn granted(grant: FastOpenGrant) -> Box<FastOpen> {
        Box::new(FastOpen {
            offer: None,
            syn_end: None,
            grant: Some(grant),
            lesson: None,
            used: false,
        })
    }
}

impl Tcb {
    /// A passive opener whose SYN had a valid cookie: its application is served in SYN-RECEIVED
    /// (RFC 7413 section 4.2.2).
    pub(crate) fn is_served_early(&self) -> bool {
        let grant = self.fast_open.as_ref().and_then(|open| open.grant);
        grant.is_some_and(|grant| grant.served)
    }

    /// What the application knows nothing of yet: a passive opener in SYN-RECEIVED.
    pub(super) fn is_request(&self) -> bool {
        self.state == State::SynReceived && self.passive && !self.is_served_early()
    }

    /// Takes the text of a SYN whose cookie is valid: the SYN,ACK acknowledges it. Its FIN must
    /// come again.
    pub(super) fn take_text_early(&mut self, cx: &mut Context<'_>, syn: &Segment<'_>) {
        self.ensure_buffers();
        let mut text = *syn;
        text.header.flags = Flags::SYN;
        if !text.payload.is_empty() && self.check_text(cx, &text).is_ok() {
            self.pending.ack = None;
            self.timers.stop(cx, Timer::DelayedAck);
            let free = self.config.receive_buffer.saturating_sub(self.unread());
            let offered = u32::try_from(free.min(65_535)).unwrap_or(65_535);
            self.rcv.edge = self.rcv.edge.max(self.rcv.nxt + offered);
            self.note_syn_text_taken();
        }
        //= 7413-7
        self.wake.acceptable = true;
    }

    /// The option of a SYN or SYN,ACK of ours (RFC 7413 section 4.1.1).
    pub(super) fn fast_open_option(&self, plan: &Plan) -> Option<FastOpenCookie> {
        let open = self.fast_open.as_deref()?;
        if plan.flags.contains(Flags::ACK) {
            return open.grant?.cookie;
        }
        open.offer
            .filter(|_| self.may_fast_open())
            .map(|offer| offer.cookie)
    }

    /// Whether the SYN that is sent now has the option: only the first one, as it may be the option
    /// or the text that the network does not pass (RFC 7413 section 4.1.3).
    fn may_fast_open(&self) -> bool {
        //= 7413-6
        self.snd.nxt == self.snd.iss || self.config.fast_open_repeats == FastOpenRepeats::EverySyn
    }

    /// Bytes of text that go with our SYN: with a cookie, as much as fits into a segment of the MSS
    /// that the peer offered before, less the room of all options (RFC 7413 section 4.1.3; Linux
    /// the same).
    pub(super) fn syn_text_len(&self) -> u32 {
        let offer = self.fast_open.as_deref().and_then(|open| open.offer);
        let Some(offer) = offer.filter(|offer| !offer.cookie.is_request()) else {
            return 0;
        };
        if self.state != State::SynSent || !self.may_fast_open() {
            return 0;
        }
        let options = Options {
            mss: offer.mss,
            ..Options::default()
        };
        let mss = peer_mss(&self.config, &options, self.tuple.remote, false);
        let room = u32::from(mss)
            .min(self.segment_within(self.snd.path_mtu))
            .saturating_sub(MAX_OPTIONS_LEN as u32);
        room.min(u32::try_from(self.unacknowledged()).unwrap_or(u32::MAX))
    }

    /// That text was sent. SND.NXT does not count it before the peer has acknowledged it: most
    /// peers do not take it.
    pub(super) fn note_syn_text(&mut self, plan: &Plan) {
        if let Some(open) = self.fast_open.as_deref_mut()
            && plan.kind == Kind::Syn
            && plan.len > 0
        {
            open.syn_end = Some(self.snd.iss + 1 + plan.len);
        }
    }

    /// An ACK of text that only a SYN of ours carried: SND.NXT counts it now.
    pub(super) fn count_syn_text(&mut self, ack: Seq) {
        if let Some(end) = self.syn_text_end()
            && ack.gt(self.snd.nxt)
            && ack.le(end)
        {
            self.snd.nxt = ack;
        }
    }

    /// Whether an ACK acknowledges our SYN and nothing that was not sent.
    pub(super) fn acks_syn(&self, header: &Header) -> bool {
        let sent = self.syn_text_end().unwrap_or(self.snd.nxt);
        header.flags.contains(Flags::ACK)
            && header.ack.gt(self.snd.iss)
            && header.ack.le(sent.max(self.snd.nxt))
    }

    /// One past the last byte that a SYN of ours carried and that may still be acknowledged.
    pub(super) fn syn_text_end(&self) -> Option<Seq> {
        self.fast_open
            .as_deref()
            .and_then(|open| open.syn_end)
            .filter(|end| end.gt(self.snd.una))
    }

    /// The SYN,ACK acknowledges text of our SYN; what it does not acknowledge is sent again at once.
    pub(super) fn on_syn_text_acked(&mut self, ack: Seq) {
        let taken = ack.since(self.snd.una);
        if taken == 0 {
            return;
        }
        self.note_syn_text_taken();
        self.snd.advance(ack);
        if let Some(transfer) = &mut self.transfer {
            transfer.send.release(taken as usize);
        }
    }

    /// What the SYN,ACK says of the peer.
    pub(super) fn on_answer_to_offer(&mut self, segment: &Segment<'_>) {
        let mss = self.snd.mss;
        let dropped = self.snd.retransmissions > 0;
        let taken = segment.header.ack.gt(self.snd.iss + 1);
        let Some(open) = self.fast_open.as_deref_mut() else {
            return;
        };
        let cookie = segment.header.options.fast_open;
        let asked = open.offer.is_some_and(|offer| offer.cookie.is_request());
        let answered = match cookie.filter(|cookie| !cookie.is_request()) {
            Some(cookie) => Some(Lesson::Cookie(cookie, mss)),
            None if taken => Some(Lesson::Taken),
            None if asked || dropped || open.syn_end.is_some() => Some(Lesson::Refused),
            None => None,
        };
        // What nobody asked for teaches nothing (Linux the same).
        open.lesson = answered.filter(|_| open.offer.is_some());
    }

    /// Our SYN was given up. A RST says nothing of Fast Open.
    pub(super) fn on_offer_unanswered(&mut self, reason: CloseReason) {
        let unanswered = matches!(
            reason,
            CloseReason::ConnectTimeout | CloseReason::UserTimeout | CloseReason::Unreachable(_)
        );
        if self.state == State::SynSent
            && unanswered
            && let Some(open) = self.fast_open.as_deref_mut()
            && open.offer.is_some()
        {
            open.lesson = Some(Lesson::Refused);
        }
    }

    /// Whether text of a SYN, ours or the peer's, was delivered.
    pub(super) fn has_used_fast_open(&self) -> bool {
        self.fast_open.as_deref().is_some_and(|open| open.used)
    }

    fn note_syn_text_taken(&mut self) {
        if let Some(open) = self.fast_open.as_deref_mut() {
            open.used = true;
        }
    }

    /// What was learned, once.
    pub(crate) fn take_lesson(&mut self) -> Option<Lesson> {
        self.fast_open.as_deref_mut()?.lesson.take()
    }
}
