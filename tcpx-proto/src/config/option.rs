//! The options that an application may change after OPEN.

use super::{ConnConfig, KeepAlive};
use crate::time::Duration;
use core::fmt;

/// An option of a connection, or of those that a listener makes, which may change at any time.
/// `Display` writes it as the script step `set` has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SocketOption {
    /// [`ConnConfig::no_delay`] (`TCP_NODELAY`). Switched on, it sends what Nagle's algorithm holds.
    NoDelay(bool),
    /// [`ConnConfig::keepalive`] (`SO_KEEPALIVE`, then `TCP_KEEPIDLE`, `TCP_KEEPINTVL` and
    /// `TCP_KEEPCNT`). The first probe is due once nothing came for the idle time, counted from
    /// what came last: perhaps at once.
    KeepAlive(Option<KeepAlive>),
    /// [`ConnConfig::user_timeout`] (`TCP_USER_TIMEOUT`). It also counts for what is on its way.
    UserTimeout(Option<Duration>),
    /// [`ConnConfig::fin_wait_2`] (`TCP_LINGER2`); zero: none, a connection that comes to
    /// FIN-WAIT-2 after CLOSE ends, and one that is there at CLOSE is reset.
    Linger2(Duration),
    /// [`ConnConfig::linger`] (`SO_LINGER`): a CLOSE after it is an ABORT if it is zero.
    Linger(Option<Duration>),
    /// The six bits of [`ConnConfig::tos`] that are DSCP (`IP_TOS`); the other two are ECN's, and
    /// are ignored. The next segment has it, a retransmission too.
    Tos(u8),
    /// [`ConnConfig::ttl`] (`IP_TTL`), 1 to 254; another value is taken for the nearest of these.
    Ttl(u8),
}

impl SocketOption {
    /// Writes it to a configuration.
    pub fn apply(self, config: &mut ConnConfig) {
        match self {
            SocketOption::NoDelay(on) => config.no_delay = on,
            SocketOption::KeepAlive(keepalive) => config.keepalive = keepalive,
            SocketOption::UserTimeout(timeout) => config.user_timeout = timeout,
            SocketOption::Linger2(limit) => config.fin_wait_2 = Some(limit),
            SocketOption::Linger(linger) => config.linger = linger,
            SocketOption::Tos(tos) => config.tos = config.tos & 3 | tos & !3,
            SocketOption::Ttl(ttl) => config.ttl = ttl.clamp(1, 254),
        }
    }
}

impl fmt::Display for SocketOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketOption::NoDelay(true) => f.write_str("no-delay on"),
            SocketOption::NoDelay(false) => f.write_str("no-delay off"),
            SocketOption::KeepAlive(None) => f.write_str("keepalive off"),
            SocketOption::KeepAlive(Some(keepalive)) => {
                let KeepAlive {
                    idle,
                    interval,
                    probes,
                } = keepalive;
                write!(f, "keepalive {idle:?} {interval:?} {probes}")
            }
            SocketOption::UserTimeout(None) => f.write_str("user-timeout off"),
            SocketOption::UserTimeout(Some(timeout)) => write!(f, "user-timeout {timeout:?}"),
            SocketOption::Linger2(limit) => write!(f, "linger2 {limit:?}"),
            SocketOption::Linger(None) => f.write_str("linger off"),
            SocketOption::Linger(Some(time)) => write!(f, "linger {time:?}"),
            SocketOption::Tos(tos) => write!(f, "tos {tos:#x}"),
            SocketOption::Ttl(ttl) => write!(f, "ttl {ttl}"),
        }
    }
}
