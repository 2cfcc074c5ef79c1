//! The guard that needs no firewall and dies with the process: a kernel listener that finds every
//! segment's TTL too low.

use super::Reservation;
use crate::bpf;
use crate::error::Error;
use socket2::Socket;
use std::io;
use std::os::fd::AsRawFd;

/// Listens on every reserved port with IP_MINTTL = 255: the kernel finds a socket for each segment,
/// so it sends no RST, and drops the segment because of its TTL (net/ipv4/tcp_ipv4.c,
/// `tcp_v4_rcv`), so it says nothing else either. A raw socket has its copy by then.
///
/// Says whether the listeners also have a filter that drops what does come with TTL 255; that takes
/// NET_ADMIN.
pub(super) fn listen(reservation: &Reservation) -> Result<bool, Error> {
    reservation.each(|socket| {
        set_min_ttl(socket, 255).map_err(Error::io("set IP_MINTTL"))?;
        let filtered = socket.attach_filter(&bpf::nothing()).is_ok();
        socket
            .listen(1)
            .map_err(Error::io("listen on a reserved port"))?;
        Ok(filtered)
    })
}

fn set_min_ttl(socket: &Socket, ttl: libc::c_int) -> io::Result<()> {
    let len = size_of_val(&ttl) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `ttl`, which the kernel only reads.
    match unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MINTTL,
            (&raw const ttl).cast(),
            len,
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
