//! The options of a kernel's socket for which our own TCP has a parameter.

use socket2::{Socket, TcpKeepalive};
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;
use tcpx_proto::config::{ConnConfig, KeepAlive, SocketOption};

/// Those that a socket has from the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SocketOptions {
    pub(super) keepalive: Option<KeepAlive>,
    pub(super) user_timeout: Option<Duration>,
    pub(super) no_delay: bool,
    pub(super) fast_open: bool,
}

impl SocketOptions {
    /// The options that come nearest to this configuration.
    pub fn of(config: &ConnConfig) -> SocketOptions {
        SocketOptions {
            keepalive: config.keepalive,
            user_timeout: config.user_timeout,
            no_delay: config.no_delay,
            fast_open: config.fast_open,
        }
    }

    /// An accepted socket inherits them from its listener.
    pub(super) fn apply(self, socket: &Socket) -> io::Result<()> {
        set(socket, SocketOption::KeepAlive(self.keepalive))?;
        set(socket, SocketOption::UserTimeout(self.user_timeout))?;
        set(socket, SocketOption::NoDelay(self.no_delay))
    }
}

/// Changes an option of a socket of the kernel, whose seconds are whole: a part of one counts as
/// one.
pub(super) fn set(socket: &Socket, option: SocketOption) -> io::Result<()> {
    let second = Duration::from_secs(1);
    match option {
        SocketOption::NoDelay(on) => socket.set_tcp_nodelay(on),
        SocketOption::KeepAlive(None) => socket.set_keepalive(false),
        SocketOption::KeepAlive(Some(keepalive)) => socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(keepalive.idle.max(second))
                .with_interval(keepalive.interval.max(second))
                .with_retries(keepalive.probes),
        ),
        SocketOption::UserTimeout(timeout) => socket.set_tcp_user_timeout(timeout),
        SocketOption::Linger2(Duration::ZERO) => set_linger2(socket, -1),
        SocketOption::Linger2(limit) => {
            let seconds = whole_seconds(limit).as_secs();
            set_linger2(socket, seconds.try_into().unwrap_or(libc::c_int::MAX))
        }
        SocketOption::Linger(linger) => socket.set_linger(linger.map(whole_seconds)),
        SocketOption::Tos(tos) => socket.set_tos_v4(tos.into()),
        SocketOption::Ttl(ttl) => socket.set_ttl_v4(ttl.into()),
        other => Err(io::Error::other(format!(
            "the kernel has no option '{other}'"
        ))),
    }
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

fn set_linger2(socket: &Socket, seconds: libc::c_int) -> io::Result<()> {
    set_int(socket, libc::TCP_LINGER2, seconds)
}

/// Lets a listener take the text of a SYN with a valid cookie (RFC 7413), where the namespace's
/// `tcp_fastopen` permits it.
pub(super) fn serve_early(socket: &Socket) -> io::Result<()> {
    set_int(socket, libc::TCP_FASTOPEN, 128)
}

fn set_int(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value is an int of this length and outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            length,
        )
    };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
