//! Options that change after OPEN, and what that means at once; the user timeout.

use super::Tcb;
use super::context::Context;
use crate::config::{ConnConfig, SocketOption, UserTimeoutFrom};
use crate::error::CallError;
use crate::event::Timer;
use crate::label::Cause;
use crate::state::State;
use alloc::sync::Arc;

impl Tcb {
    /// The application set this option, and `config` has it.
    ///
    /// # Errors
    /// `Ended`.
    pub(crate) fn set_option(
        &mut self,
        cx: &mut Context<'_>,
        option: SocketOption,
        config: Arc<ConnConfig>,
    ) -> Result<(), CallError> {
        self.check_open()?;
        //= SHLD-21
        self.config = config;
        match option {
            SocketOption::NoDelay(_) => self.snd.cause = Cause::Call,
            SocketOption::KeepAlive(_) => self.restart_keepalive(cx),
            SocketOption::UserTimeout(_) => self.change_user_timeout(cx),
            SocketOption::Linger(_)
            | SocketOption::Linger2(_)
            | SocketOption::Tos(_)
            | SocketOption::Ttl(_) => {}
        }
        self.arm(cx);
        Ok(())
    }

    /// The first probe is due once the peer was silent for the new time, perhaps at once
    /// (`tcp_sock_set_keepidle_locked`). Before ESTABLISHED there is no keepalive.
    fn restart_keepalive(&mut self, cx: &mut Context<'_>) {
        self.rcv.keepalive_probes = 0;
        match self.config.keepalive {
            Some(_) if matches!(self.state, State::SynSent | State::SynReceived) => {}
            Some(_) if self.is_over() || self.state == State::TimeWait => {}
            Some(keepalive) => {
                let due = self.rcv.keepalive_due(&keepalive);
                self.timers.start(cx, Timer::KeepAlive, due.since(cx.now));
            }
            None => self.timers.stop(cx, Timer::KeepAlive),
        }
    }

    /// A new user timeout counts from when the old one did, or would have.
    fn change_user_timeout(&mut self, cx: &mut Context<'_>) {
        let Some(timeout) = self.config.user_timeout else {
            return self.timers.stop(cx, Timer::User);
        };
        let Some(since) = self.snd.stalled_since else {
            return;
        };
        if self.config.user_timeout_from == UserTimeoutFrom::Transmission {
            let due = since + timeout;
            self.timers.start(cx, Timer::User, due.since(cx.now));
        }
    }

    /// The user timeout begins to count (MUST-21), unless it does already.
    pub(super) fn count_user_timeout(&mut self, cx: &mut Context<'_>) {
        let timer = self.config.user_timeout_from == UserTimeoutFrom::Transmission;
        let early = !timer && self.snd.retransmissions == 0 && !self.snd.is_syn_outstanding();
        if early || self.snd.stalled_since.is_some() {
            return;
        }
        self.snd.stalled_since = Some(cx.now);
        if let Some(timeout) = self.config.user_timeout.filter(|_| timer) {
            //= MUST-21
            self.timers.start(cx, Timer::User, timeout);
        }
    }

    /// There is progress, or nothing is on its way any more.
    pub(super) fn stop_user_timeout(&mut self, cx: &mut Context<'_>) {
        self.snd.stalled_since = None;
        self.timers.stop(cx, Timer::User);
    }
}
