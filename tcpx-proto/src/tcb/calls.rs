//! The application's calls (RFC 9293 sections 3.10.2 to 3.10.5).

use super::Tcb;
use super::congestion::CongestionController;
use super::context::Context;
use crate::config::{AbortRst, HeldOutput, ListenerEnd, SynSentShutdown};
use crate::error::{CallError, CloseReason};
use crate::event::What;
use crate::label::Cause;
use crate::state::{State, Trigger};
use crate::time::Duration;
use core::mem;

impl Tcb {
    /// SEND (3.10.2).
    pub(crate) fn send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Result<usize, CallError> {
        self.check_open()?;
        if self.snd.closing {
            return Err(CallError::Closing);
        }
        let Some(transfer) = &mut self.transfer else {
            return Err(CallError::WouldBlock);
        };
        let room = transfer
            .send
            .room()
            .min(cx.left.memory.saturating_add(transfer.send.spare()));
        if room == 0 && !data.is_empty() {
            return Err(CallError::WouldBlock);
        }
        let taken = transfer.send.push(&data[..data.len().min(room)]);
        self.snd.cause = Cause::Call;
        self.arm(cx);
        Ok(taken)
    }

    /// RECEIVE (3.10.3).
    pub(crate) fn receive(
        &mut self,
        cx: &Context<'_>,
        into: &mut [u8],
    ) -> Result<usize, CallError> {
        if into.is_empty() {
            return Ok(0);
        }
        let most = self.before_mark(into.len());
        let taken = self.transfer.as_mut().map_or(0, |transfer| {
            transfer
                .receive
                .read(into.get_mut(..most).unwrap_or_default())
        });
        if taken > 0 {
            self.forget_urgent();
            self.plan_ack_of_read();
            self.free_room(cx.now);
            self.offer_window();
            self.compact();
            return Ok(taken);
        }
        if self.rcv.fin_reached {
            self.rcv.fin_read = true;
            return Ok(0);
        }
        //= MUST-12
        self.check_open()?;
        Err(CallError::WouldBlock)
    }

    /// What RECEIVE would return, without taking it: the window and urgent data stay as they are.
    pub(crate) fn peek(&self, into: &mut [u8]) -> Result<usize, CallError> {
        if into.is_empty() {
            return Ok(0);
        }
        let (skip, most) = self.readable_part(into.len());
        let copied = self.transfer.as_ref().map_or(0, |transfer| {
            transfer
                .receive
                .peek(skip, into.get_mut(..most).unwrap_or_default())
        });
        if copied > 0 || self.rcv.fin_reached {
            return Ok(copied);
        }
        self.check_open()?;
        Err(CallError::WouldBlock)
    }

    /// An error for every call once the connection has ended.
    pub(super) fn check_open(&self) -> Result<(), CallError> {
        self.ended
            .map_or(Ok(()), |reason| Err(CallError::Ended(reason)))
    }

    /// CLOSE of our direction (3.10.4).
    pub(crate) fn shutdown(&mut self, cx: &mut Context<'_>) -> Result<(), CallError> {
        self.check_open()?;
        if self.snd.closing {
            return Err(CallError::Closing);
        }
        if self.state == State::SynSent && self.config.syn_sent_shutdown == SynSentShutdown::End {
            self.fail(cx, Trigger::Close, CloseReason::Aborted);
            return Ok(());
        }
        self.snd.closing = true;
        self.snd.cause = Cause::Call;
        self.begin_close(cx);
        self.arm(cx);
        Ok(())
    }

    /// The change of state that a CLOSE means, as soon as the FIN is not held back.
    pub(super) fn begin_close(&mut self, cx: &mut Context<'_>) {
        if !self.snd.closing || self.is_output_held() {
            return;
        }
        match self.state {
            // Queued until ESTABLISHED (3.10.4).
            State::SynReceived if self.unacknowledged() > 0 => {}
            State::SynReceived | State::Established => {
                self.ensure_buffers();
                self.change_state(cx, Trigger::Close, State::FinWait1);
            }
            State::CloseWait => self.change_state(cx, Trigger::Close, State::LastAck),
            _ => {}
        }
    }

    pub(super) fn ensure_buffers(&mut self) {
        if self.transfer.is_none() {
            self.ensure_transfer(false);
        }
    }

    /// CLOSE of both directions: the application lets go.
    pub(crate) fn close(&mut self, cx: &mut Context<'_>) {
        self.orphaned = true;
        match self.state {
            State::Closed | State::Listen | State::TimeWait => {
                self.compact();
                self.forget(cx.now);
            }
            State::SynSent => {
                self.ended = Some(CloseReason::Aborted);
                self.change_state(cx, Trigger::Close, State::Closed);
                self.end(cx, CloseReason::Aborted);
            }
            _ if self.config.linger == Some(Duration::ZERO) => self.abort(cx),
            //= SHLD-3
            _ if self.unoffered() > 0 || self.is_one_orphan_too_many(cx) => {
                self.reset(cx, CloseReason::Aborted);
            }
            State::FinWait2 if self.config.fin_wait_2 == Some(Duration::ZERO) => {
                self.reset(cx, CloseReason::Aborted);
            }
            _ => {
                self.snd.closing = true;
                self.snd.cause = Cause::Call;
                self.begin_close(cx);
                if self.state == State::FinWait2 {
                    self.keep_less();
                }
                self.limit_fin_wait_2(cx);
                self.arm(cx);
            }
        }
    }

    /// ABORT (3.10.5): a RST where the peer may know of us.
    pub(crate) fn abort(&mut self, cx: &mut Context<'_>) {
        self.orphaned = true;
        match self.state {
            State::Closed | State::Listen => self.compact(),
            State::SynReceived
                if self.is_request() && self.config.listener_end == ListenerEnd::Forget =>
            {
                self.fail(cx, Trigger::Abort, CloseReason::Aborted);
            }
            State::Closing | State::LastAck if self.is_reset_owed() => {
                self.reset(cx, CloseReason::Aborted);
            }
            State::SynSent | State::Closing | State::LastAck => {
                self.fail(cx, Trigger::Abort, CloseReason::Aborted)
            }
            State::TimeWait => {
                self.ended = Some(CloseReason::Clean);
                self.change_state(cx, Trigger::Abort, State::Closed);
                self.end(cx, CloseReason::Clean);
            }
            _ => self.reset(cx, CloseReason::Aborted),
        }
    }

    /// ABORT after CLOSE: Linux sends a RST for a FIN that it has not sent (`tcp_disconnect`).
    fn is_reset_owed(&self) -> bool {
        self.config.abort_rst == AbortRst::WithAck && self.snd.fin.is_none()
    }

    /// The host lost its memory: CLOSED without a word. No edge of the state diagram.
    pub(crate) fn on_restart(&mut self, cx: &mut Context<'_>) {
        self.orphaned = true;
        if self.state != State::Closed {
            let from = mem::replace(&mut self.state, State::Closed);
            cx.note(What::State {
                from,
                to: State::Closed,
                on: Trigger::Restart,
            });
            self.pending.ack = None;
            self.end(cx, CloseReason::Restarted);
        }
        self.transfer = None;
    }

    /// Sends a RST and ends.
    pub(super) fn reset(&mut self, cx: &mut Context<'_>, reason: CloseReason) {
        self.empty_room();
        self.reply_reset(cx);
        self.pending.ack = None;
        let on = if reason == CloseReason::Aborted {
            Trigger::Abort
        } else {
            Trigger::Timeout
        };
        self.fail(cx, on, reason);
    }

    /// The end of a hold-back.
    pub(crate) fn release(&mut self, cx: &mut Context<'_>) -> Result<(), CallError> {
        self.check_open()?;
        if self.config.held_output == HeldOutput::Nothing || self.snd.output_released {
            return Ok(());
        }
        self.snd.output_released = true;
        self.pending.ack.get_or_insert(Cause::Call);
        self.begin_close(cx);
        self.arm(cx);
        Ok(())
    }

    /// After a RECEIVE: an update once the window can open by a full segment, or half the buffer,
    /// and at least doubles (MUST-39).
    fn offer_window(&mut self) {
        if self.rcv.fin_reached || self.is_over() || self.pending.ack.is_some() {
            return;
        }
        if let Some(news) = self.is_room_news() {
            if news {
                self.pending.ack = Some(Cause::Call);
            }
            return;
        }
        let offered = self.rcv.edge.since(self.rcv.nxt);
        let gain = self.next_edge().since(self.rcv.edge);
        //= MUST-39
        if gain > 0 && gain >= self.config.silly_window.least(offered) {
            self.pending.ack = Some(Cause::Call);
        }
    }

    pub(super) fn congestion_mut(&mut self) -> Option<&mut CongestionController> {
        self.transfer
            .as_mut()
            .map(|transfer| &mut transfer.congestion)
    }
}
