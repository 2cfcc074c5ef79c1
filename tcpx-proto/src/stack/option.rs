//! Options that change after OPEN.

use super::Stack;
use super::table::Ownership;
use crate::config::{ConnConfig, SocketOption};
use crate::error::CallError;
use crate::id::{ConnId, ListenerId};
use crate::time::Instant;
use alloc::sync::Arc;

impl Stack {
    /// Changes an option of a connection, with effect at once.
    ///
    /// # Errors
    /// `Ended`, `NoConnection`.
    pub fn set_option(
        &mut self,
        now: Instant,
        id: ConnId,
        option: SocketOption,
    ) -> Result<(), CallError> {
        let config = self.config_of(id).ok_or(CallError::NoConnection)?;
        let config = self.changed(config.clone(), option);
        self.call(now, id, |tcb, cx| tcb.set_option(cx, option, config))?
    }

    /// Changes an option of the connections that this listener makes, those in SYN-RECEIVED
    /// included. Those that wait to be accepted keep what they have, as in Linux.
    ///
    /// # Errors
    /// `NoConnection` when the listener is closed.
    pub fn set_listener_option(
        &mut self,
        now: Instant,
        listener: ListenerId,
        option: SocketOption,
    ) -> Result<(), CallError> {
        let config = self
            .config_of_listener(listener)
            .ok_or(CallError::NoConnection)?;
        let config = self.changed(config.clone(), option);
        if let Some(listener) = self.listeners.get_mut(listener) {
            listener.config = Arc::clone(&config);
        }
        for id in self.owned_by(&[Ownership::Embryonic(listener)]) {
            let config = Arc::clone(&config);
            // One that ended meanwhile needs no option.
            _ = self.with(now, id, |tcb, cx| tcb.set_option(cx, option, config));
        }
        Ok(())
    }

    /// The configuration of a connection; `None` once it is forgotten.
    pub fn config_of(&self, id: ConnId) -> Option<&ConnConfig> {
        self.table.config(id)
    }

    /// The configuration of a listener; `None` once it is closed.
    pub fn config_of_listener(&self, listener: ListenerId) -> Option<&ConnConfig> {
        self.listeners
            .get(listener)
            .map(|listener| &*listener.config)
    }

    fn changed(&mut self, mut config: ConnConfig, option: SocketOption) -> Arc<ConnConfig> {
        option.apply(&mut config);
        self.share(&config)
    }
}
