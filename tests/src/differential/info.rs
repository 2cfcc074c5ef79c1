//! What a host says of its recovery: `TCP_INFO` of the kernel, STATUS of tcpx, in segments.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use tcpx_proto::tcb::Status;

/// Where `struct tcp_info` has them.
const STATE: usize = 1;
const UNACKED: usize = 24;
const SACKED: usize = 28;
const LOST: usize = 32;
const RETRANS: usize = 36;
const SSTHRESH: usize = 76;
const CWND: usize = 80;
const TOTAL_RETRANS: usize = 100;
/// `TCP_INFINITE_SSTHRESH`: nothing was lost yet.
const INFINITE: u32 = 0x7fff_ffff;

/// The state of loss recovery. All segments of the connection must be full.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Info {
    /// The state of recovery.
    pub recovery: &'static str,
    /// Segments outstanding.
    pub unacked: u32,
    /// Of these, reported as held.
    pub sacked: u32,
    /// Of these, deemed lost.
    pub lost: u32,
    /// Of these, sent again.
    pub retrans: u32,
    /// Segments sent again, in all.
    pub total_retrans: u32,
    /// The congestion window, segments.
    pub cwnd: u32,
    /// The slow start threshold, segments.
    pub ssthresh: Option<u32>,
}

impl Info {
    /// Of a socket of the kernel.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn of_socket(socket: &impl AsRawFd) -> io::Result<Info> {
        let mut info = [0u8; 104];
        let mut len = info.len() as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes.
        let failed = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        if failed != 0 {
            return Err(io::Error::last_os_error());
        }
        let word = |at: usize| {
            let bytes = info.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_ne_bytes)
        };
        let states = ["open", "disorder", "cwr", "recovery", "loss"];
        Ok(Info {
            recovery: states.get(usize::from(info[STATE])).unwrap_or(&"?"),
            unacked: word(UNACKED),
            sacked: word(SACKED),
            lost: word(LOST),
            retrans: word(RETRANS),
            total_retrans: word(TOTAL_RETRANS),
            cwnd: word(CWND),
            ssthresh: Some(word(SSTHRESH)).filter(|threshold| *threshold < INFINITE),
        })
    }

    /// Of a connection of tcpx.
    pub fn of_status(status: &Status) -> Info {
        let mss = u32::from(status.mss).max(1);
        let segments = |bytes: u32| bytes.div_ceil(mss);
        Info {
            recovery: status.recovery.name(),
            unacked: segments(status.in_flight),
            sacked: segments(status.sacked),
            lost: segments(status.lost),
            retrans: segments(status.retransmitted),
            total_retrans: status.segments_retransmitted,
            cwnd: status.cwnd / mss,
            ssthresh: status.ssthresh.map(|threshold| threshold / mss),
        }
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Info {
            recovery,
            unacked,
            sacked,
            lost,
            retrans,
            total_retrans,
            cwnd,
            ssthresh,
        } = self;
        write!(
            f,
            "{recovery} unacked:{unacked} sacked:{sacked} lost:{lost} \
             retrans:{retrans}/{total_retrans} cwnd:{cwnd} ssthresh:{}",
            ssthresh.map_or("none".to_owned(), |threshold| threshold.to_string())
        )
    }
}
