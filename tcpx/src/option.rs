//! The options of a stream or a listener that may change at any time, each with its own pair of
//! functions.

use crate::error::Error;
use crate::listener::Listener;
use crate::stream::Stream;
use std::time::Duration;
use tcpx_proto::config::{ConnConfig, KeepAlive, SocketOption};
use tcpx_proto::error::CallError;

/// Pairs of functions: one that sets an option, one that reads it.
macro_rules! options {
    ($($(#[$doc:meta])* $set:ident, $get:ident: $value:ty, $option:expr, $read:expr;)+) => {
        options!(@on Stream $($(#[$doc])* $set, $get: $value, $option, $read;)+);
        options!(@on Listener $($(#[$doc])* $set, $get: $value, $option, $read;)+);
    };
    (@on $on:ident
     $($(#[$doc:meta])* $set:ident, $get:ident: $value:ty, $option:expr, $read:expr;)+) => {
        impl $on {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The connection or the host has ended.
                pub fn $set(&self, value: $value) -> Result<(), Error> {
                    self.set_option($option(value))
                }

                #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set),
                    ") set, or the configuration.")]
                ///
                /// # Errors
                /// The connection or the host has ended.
                pub fn $get(&self) -> Result<$value, Error> {
                    self.read_option($read)
                }
            )+
        }
    };
}

options! {
    /// Sends small segments at once (`TCP_NODELAY`); switched on, also those that Nagle's algorithm
    /// holds.
    set_nodelay, nodelay: bool, SocketOption::NoDelay, |config| config.no_delay;
    /// Probes a peer that is silent (`SO_KEEPALIVE` and its times); `None`: does not.
    set_keepalive, keepalive: Option<KeepAlive>, SocketOption::KeepAlive,
        |config| config.keepalive;
    /// Ends a connection whose data stays unacknowledged for this long (`TCP_USER_TIMEOUT`);
    /// `None`: as the number of retransmissions says.
    set_user_timeout, user_timeout: Option<Duration>, SocketOption::UserTimeout,
        |config| config.user_timeout;
    /// Limits FIN-WAIT-2 after close (`TCP_LINGER2`); zero: there is no FIN-WAIT-2 then. Reads as
    /// zero where it is not limited.
    set_linger2, linger2: Duration, SocketOption::Linger2,
        |config| config.fin_wait_2.unwrap_or_default();
    /// Makes close send a RST, as [`abort`](Stream::abort) does, if it is zero (`SO_LINGER`); any
    /// other time and `None` leave it as it is. Neither close nor drop ever waits.
    set_linger, linger: Option<Duration>, SocketOption::Linger, |config| config.linger;
    /// The six bits of the IP header's second byte that are DSCP (`IP_TOS`); the two of ECN are
    /// ignored.
    set_tos, tos: u8, SocketOption::Tos, |config| config.tos;
    /// Time to live, or hop limit (`IP_TTL`), 1 to 254.
    set_ttl, ttl: u8, SocketOption::Ttl, |config| config.ttl;
}

impl Stream {
    /// Changes an option of this connection, with effect at once.
    ///
    /// # Errors
    /// The connection or the host has ended.
    pub fn set_option(&self, option: SocketOption) -> Result<(), Error> {
        let id = self.id();
        self.shared()
            .with(|endpoint, now| endpoint.stack.set_option(now, id, option))?
            .map_err(Error::from)
    }

    fn read_option<T>(&self, read: impl FnOnce(&ConnConfig) -> T) -> Result<T, Error> {
        let id = self.id();
        self.shared()
            .with(|endpoint, _| endpoint.stack.config_of(id).map(read))?
            .ok_or(Error::Call(CallError::NoConnection))
    }
}

impl Listener {
    /// Changes an option of the connections that this listener makes. Those that wait to be
    /// accepted keep what they have, as in Linux.
    ///
    /// # Errors
    /// The host has ended.
    pub fn set_option(&self, option: SocketOption) -> Result<(), Error> {
        let id = self.id();
        self.shared()
            .with(|endpoint, now| endpoint.stack.set_listener_option(now, id, option))?
            .map_err(Error::from)
    }

    fn read_option<T>(&self, read: impl FnOnce(&ConnConfig) -> T) -> Result<T, Error> {
        let id = self.id();
        self.shared()
            .with(|endpoint, _| endpoint.stack.config_of_listener(id).map(read))?
            .ok_or(Error::Call(CallError::NoConnection))
    }
}
