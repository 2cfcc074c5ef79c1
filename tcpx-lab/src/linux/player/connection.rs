//! A connection of the kernel, and the calls that a script makes on it.

use super::options;
use super::record::Record;
use crate::linux::sockets::Timer;
use rustix::event::{PollFd, PollFlags, poll};
use socket2::Socket;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tcpx::owner::kernel_state;
use tcpx_proto::config::SocketOption;
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::script::StepError;
use tcpx_proto::state::State;
use tcpx_proto::wire::IcmpKind;

const CHUNK: usize = 64 * 1024;

/// A connection.
pub(super) struct Connection {
    record: Arc<Record>,
    number: u64,
    /// Until the script closes it.
    socket: RefCell<Option<Rc<Socket>>>,
    /// We have sent everything.
    shut: Cell<bool>,
    /// How it ended, once that is known.
    reason: Cell<Option<CloseReason>>,
}

impl Connection {
    /// A connection that a listener has accepted.
    pub(super) fn accepted(socket: Socket, record: &Arc<Record>) -> io::Result<Rc<Connection>> {
        let ends = [socket.local_addr()?, socket.peer_addr()?].map(|end| end.as_socket());
        let [Some(local), Some(remote)] = ends else {
            return Err(io::Error::other("not an Internet address"));
        };
        Connection::opened(socket, (local, remote), true, record)
    }

    fn opened(
        socket: Socket,
        (local, remote): (SocketAddr, SocketAddr),
        passive: bool,
        record: &Arc<Record>,
    ) -> io::Result<Rc<Connection>> {
        let number = record.opened(socket.cookie()?, local, remote, passive);
        Ok(Rc::new(Connection {
            record: Arc::clone(record),
            number,
            socket: RefCell::new(Some(Rc::new(socket))),
            shut: Cell::new(false),
            reason: Cell::new(None),
        }))
    }

    /// Begins to connect, with data by `MSG_FASTOPEN`; [`established`](Connection::established)
    /// waits. Gives how many bytes were taken, too: none without a cookie.
    pub(super) fn connect(
        socket: Socket,
        to: SocketAddr,
        data: Option<&[u8]>,
        record: &Arc<Record>,
    ) -> io::Result<(Rc<Connection>, usize)> {
        socket.set_nonblocking(true)?;
        let began = match data {
            Some(data) => socket.send_to_with_flags(data, &to.into(), libc::MSG_FASTOPEN),
            None => socket.connect(&to.into()).map(|()| 0),
        };
        let taken = match began {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => 0,
            began => began?,
        };
        socket.set_nonblocking(false)?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("not an Internet address"))?;
        Connection::opened(socket, (local, to), false, record).map(|connection| (connection, taken))
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Waits until it is established.
    pub(super) fn established(&self) -> Result<(), StepError> {
        let socket = self.socket()?;
        loop {
            match poll(&mut [PollFd::new(&*socket, PollFlags::OUT)], None) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(super::refused(error.into())),
                Ok(_) => break,
            }
        }
        let error = socket
            .take_error()
            .and_then(|error| error.map_or(Ok(()), Err));
        error.map_err(|error| self.failed(&error, CloseReason::ConnectTimeout))
    }

    fn socket(&self) -> Result<Rc<Socket>, StepError> {
        let socket = self.socket.borrow().clone();
        socket.ok_or(StepError::Call(CallError::Closing))
    }

    pub(super) fn send(&self, data: &[u8]) -> Result<usize, StepError> {
        let socket = self.socket()?;
        let chunk = &data[..data.len().min(CHUNK)];
        again(|| (&*socket).write(chunk))
            .map_err(|error| self.failed(&error, CloseReason::RetransmissionTimeout))
    }

    /// At most this many bytes; none: the peer's FIN.
    pub(super) fn receive(&self, most: usize) -> Result<Vec<u8>, StepError> {
        let socket = self.socket()?;
        let mut bytes = vec![0; most.min(CHUNK)];
        let got = again(|| (&*socket).read(&mut bytes))
            .map_err(|error| self.failed(&error, CloseReason::RetransmissionTimeout))?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// Waits until there is something to receive, and leaves it there; none: the end.
    pub(super) fn peek(&self, most: usize) -> Result<Vec<u8>, StepError> {
        let socket = self.socket()?;
        let mut bytes = vec![MaybeUninit::uninit(); most.min(CHUNK)];
        let got = again(|| socket.peek(&mut bytes))
            .map_err(|error| self.failed(&error, CloseReason::RetransmissionTimeout))?;
        // SAFETY: the kernel wrote that many bytes.
        let seen = bytes
            .iter()
            .take(got)
            .map(|byte| unsafe { byte.assume_init() });
        Ok(seen.collect())
    }

    pub(super) fn set(&self, option: SocketOption) -> Result<(), StepError> {
        options::set(&*self.socket()?, option).map_err(super::refused)
    }

    pub(super) fn shutdown(&self) -> Result<(), StepError> {
        let socket = self.socket()?;
        self.shut.set(true);
        socket
            .shutdown(Shutdown::Write)
            .map_err(|error| self.failed(&error, CloseReason::Reset))
    }

    /// close(2). With unread bytes it is an ABORT.
    pub(super) fn close(&self) -> Result<(), StepError> {
        let socket = self.socket()?;
        if unread(&socket) > 0 {
            self.note(CloseReason::Aborted);
        }
        let before = state(&socket);
        self.let_go(socket);
        // It may be gone before the next look at the sockets; but Figure 5 has what this did.
        match before {
            Some(State::CloseWait) => {
                self.record
                    .noticed(self.number, State::CloseWait, State::LastAck)
            }
            Some(State::Established) => {
                self.record
                    .noticed(self.number, State::Established, State::FinWait1)
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn abort(&self) -> Result<(), StepError> {
        let socket = self.socket()?;
        socket
            .set_linger(Some(Duration::ZERO))
            .map_err(super::refused)?;
        self.note(CloseReason::Aborted);
        self.let_go(socket);
        Ok(())
    }

    /// Makes the kernel forget it silently.
    pub(super) fn forget(&self) {
        let Ok(socket) = self.socket() else { return };
        self.note(CloseReason::Restarted);
        let on: libc::c_int = 1;
        let length = size_of_val(&on) as libc::socklen_t;
        // SAFETY: the value is an int of this length and outlives the call. If the kernel refuses, a
        // blackhole drops what it sends.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_REPAIR,
                (&raw const on).cast(),
                length,
            )
        };
        self.let_go(socket);
    }

    /// Closes the socket: no other call has it.
    fn let_go(&self, socket: Rc<Socket>) {
        drop(self.socket.take());
        drop(Rc::into_inner(socket).map(OwnedFd::from));
    }

    /// Waits until it is in this state; an error when it cannot be any more.
    pub(super) fn reached(&self, state: State) -> Result<(), StepError> {
        let there = self
            .record
            .wait(self.number, |known| known.state == state || known.gone);
        if there.state == state {
            Ok(())
        } else {
            Err(StepError::Call(CallError::Ended(self.ended())))
        }
    }

    /// Waits until it is CLOSED. Returns how it ended.
    pub(super) fn ended(&self) -> CloseReason {
        let last = self.record.wait(self.number, |known| known.gone);
        if let Some(reason) = self.reason.get() {
            return reason;
        }
        let reason = match self.socket().map(|socket| socket.take_error()) {
            // A socket that we still have reports every end but a clean one.
            Ok(Ok(None)) => CloseReason::Clean,
            Ok(Ok(Some(error)) | Err(error)) => reason_of(&error, last.timeout()),
            Err(_) => last.likely_end(),
        };
        self.note(reason)
    }

    /// An error of the connection is its end.
    fn failed(&self, error: &io::Error, timeout: CloseReason) -> StepError {
        if error.kind() == ErrorKind::BrokenPipe && self.shut.get() {
            return StepError::Call(CallError::Closing);
        }
        let known = self.record.known(self.number);
        let timeout = known
            .filter(|known| known.timer == Some(Timer::KeepAlive))
            .map_or(timeout, |_| CloseReason::KeepAliveTimeout);
        StepError::Call(CallError::Ended(self.note(reason_of(error, timeout))))
    }

    /// The first reason counts.
    fn note(&self, reason: CloseReason) -> CloseReason {
        let first = self.reason.get().unwrap_or(reason);
        self.reason.set(Some(first));
        first
    }
}

/// How a connection ended whose socket has this error.
fn reason_of(error: &io::Error, timeout: CloseReason) -> CloseReason {
    match error.kind() {
        ErrorKind::ConnectionRefused => CloseReason::Refused,
        ErrorKind::TimedOut => timeout,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            CloseReason::Unreachable(IcmpKind::Unreachable(1))
        }
        _ => CloseReason::Reset,
    }
}

/// The state that a socket is in (TCP_INFO).
fn state(socket: &Socket) -> Option<State> {
    let mut number = 0_u8;
    let mut length = 1;
    let into = (&raw mut number).cast();
    let length = &raw mut length;
    // SAFETY: the kernel writes no more than the one byte, with which `struct tcp_info` begins.
    let asked = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            into,
            length,
        )
    };
    if asked == 0 {
        kernel_state(number)
    } else {
        None
    }
}

/// The number of unread bytes.
fn unread(socket: &Socket) -> u64 {
    rustix::io::ioctl_fionread(socket).unwrap_or(0)
}

/// Repeats a call that a signal interrupted.
fn again(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
