//! A connection, for code that speaks tokio.

use crate::driver::{Shared, Wait};
use crate::error::Error;
use crate::handle::{Handle, Host};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::id::ConnId;
use tcpx_proto::script::AppAction;
use tcpx_proto::state::State;
use tcpx_proto::tcb::Status;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection. As with std's sockets, a shared reference reads and writes, too (one reader and
/// one writer at a time). `shutdown` sends the FIN and leaves receiving open; dropping it closes
/// both directions (what was not read, or still arrives, is then answered with a RST).
///
/// A read of 0 bytes is the peer's FIN. An `io::Error` has the [`Error`] inside, and its kind:
/// `BrokenPipe` for a write after `shutdown` or the end of both directions, `ConnectionReset` after
/// a RST, `TimedOut` when R2, the user timeout or keepalive gave up, `HostUnreachable` after an
/// ICMP error that counts. Every call returns the error of a connection that has ended; Linux
/// returns it once.
pub struct Stream {
    handle: Arc<Handle>,
    id: ConnId,
    local: SocketAddr,
    remote: SocketAddr,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.id)
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

impl Stream {
    pub(crate) fn new(
        handle: Arc<Handle>,
        id: ConnId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Stream {
        Stream {
            handle,
            id,
            local,
            remote,
        }
    }

    /// Its name in records.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The host that it is a connection of.
    pub fn host(&self) -> Host {
        Host::of(Arc::clone(&self.handle))
    }

    /// Our end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The peer's end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.remote
    }

    /// STATUS (RFC 9293 section 3.10.6); `None` once the connection was closed and is over.
    pub fn status(&self) -> Option<Status> {
        self.handle
            .shared
            .with(|endpoint, _| endpoint.stack.status(self.id))
            .ok()
            .flatten()
    }

    /// The state; CLOSED once the connection is over.
    pub fn state(&self) -> State {
        self.status().map_or(State::Closed, |status| status.state)
    }

    /// Waits until the connection is established. Cancel-safe.
    ///
    /// # Errors
    /// How the attempt ended instead.
    pub async fn established(&self) -> Result<(), Error> {
        poll_fn(
            |context| match self.handle.shared.poll_state(self.id, context.waker()) {
                (true, _) => Poll::Ready(Ok(())),
                (false, Some(closed)) => {
                    Poll::Ready(closed.and_then(|reason| Err(Error::Ended(reason))))
                }
                (false, None) => Poll::Pending,
            },
        )
        .await
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Waits for data and copies it without taking it: the next read has it again. Returns how many
    /// bytes; 0: the peer's FIN came after all that was read, or `buffer` is empty. The window does
    /// not open, and urgent data stays where it is. Cancel-safe.
    ///
    /// # Errors
    /// Those of a read.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        poll_fn(|context| self.poll_peek(context, &mut buffer)).await
    }

    /// [`peek`](Stream::peek) as a poll.
    ///
    /// # Errors
    /// Those of a read.
    pub fn poll_peek(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let call =
            self.handle
                .shared
                .poll_call(self.id, Wait::Read, context.waker(), |stack, now| {
                    stack.peek(now, self.id, buffer.initialize_unfilled())
                });
        match call {
            None => Poll::Pending,
            Some(Ok(copied)) => {
                buffer.advance(copied);
                Poll::Ready(Ok(copied))
            }
            Some(Err(error)) => Poll::Ready(Err(error.into())),
        }
    }

    /// Waits until the peer has announced urgent data whose end was not read yet, and says how many
    /// bytes away that is. The data itself comes in line, as RFC 6093 has it; in profile `linux`
    /// without its last byte ([`urgent_byte`](Stream::urgent_byte)). Cancel-safe.
    ///
    /// # Errors
    /// The connection ended first.
    pub async fn urgent(&self) -> Result<usize, Error> {
        poll_fn(|context| {
            let (_, closed) = self.handle.shared.poll_state(self.id, context.waker());
            match (self.status().and_then(|status| status.urgent), closed) {
                (Some(left), _) => Poll::Ready(Ok(left)),
                (None, Some(closed)) => {
                    Poll::Ready(closed.and_then(|reason| Err(Error::Ended(reason))))
                }
                (None, None) => Poll::Pending,
            }
        })
        .await
    }

    /// Waits for the byte of urgent data that is taken out of the stream, and takes it
    /// (`MSG_OOB`): only with [`UrgentData::OutOfBand`](tcpx_proto::config::UrgentData), as in
    /// profile `linux`. It is lost once a read has passed its place, which none does while nothing
    /// follows it. Cancel-safe.
    ///
    /// # Errors
    /// The connection ended first.
    pub async fn urgent_byte(&self) -> Result<u8, Error> {
        poll_fn(|context| {
            let (_, closed) = self.handle.shared.poll_state(self.id, context.waker());
            match (
                self.handle
                    .shared
                    .with(|endpoint, now| endpoint.stack.receive_urgent(now, self.id)),
                closed,
            ) {
                (Ok(Ok(octet)), _) => Poll::Ready(Ok(octet)),
                (_, Some(closed)) => {
                    Poll::Ready(closed.and_then(|reason| Err(Error::Ended(reason))))
                }
                (Err(error), None) => Poll::Ready(Err(error)),
                (Ok(Err(_)), None) => Poll::Pending,
            }
        })
        .await
    }

    /// Waits until the connection is CLOSED, TIME-WAIT included, and says how it ended.
    /// Cancel-safe.
    ///
    /// # Errors
    /// The host ended first.
    pub async fn closed(&self) -> Result<CloseReason, Error> {
        poll_fn(
            |context| match self.handle.shared.poll_state(self.id, context.waker()) {
                (_, Some(closed)) => Poll::Ready(closed),
                (_, None) => Poll::Pending,
            },
        )
        .await
    }

    /// Waits until the connection is in this state. Cancel-safe.
    ///
    /// # Errors
    /// How the connection ended instead.
    pub async fn reached(&self, state: State) -> Result<(), Error> {
        poll_fn(|context| {
            self.handle
                .shared
                .poll_reached(self.id, state, context.waker())
                .map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Tells the host's observers what the application did.
    pub fn tell(&self, action: AppAction) {
        // A host that ended has none.
        _ = self
            .handle
            .shared
            .with(|endpoint, now| endpoint.observe_app(now, Some(self.id), action));
    }

    /// CLOSE of both directions (RFC 9293 section 3.10.4): nothing more can be sent or received.
    /// The engine goes on to CLOSED by itself.
    pub fn close(&self) {
        // A connection that is over has nothing to close.
        _ = self
            .handle
            .shared
            .with(|endpoint, now| endpoint.stack.close(now, self.id));
    }

    /// ABORT (3.10.5): a RST, and CLOSED at once.
    pub fn abort(&self) {
        // A connection that is over has nothing to abort.
        _ = self
            .handle
            .shared
            .with(|endpoint, now| endpoint.stack.abort(now, self.id));
    }

    /// Lets go the data and FIN that a removed third ACK holds back on this connection.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn release(&self) -> Result<(), Error> {
        Ok(self
            .handle
            .shared
            .with(|endpoint, now| endpoint.stack.release(now, self.id))??)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.handle.shared.release(self.id);
    }
}

impl AsyncRead for &Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let call =
            self.handle
                .shared
                .poll_call(self.id, Wait::Read, context.waker(), |stack, now| {
                    // Only what will be written over needs to be initialized.
                    let most = stack
                        .status(self.id)
                        .map_or(1, |status| status.unread.max(1));
                    stack.receive(
                        now,
                        self.id,
                        buffer.initialize_unfilled_to(most.min(buffer.remaining())),
                    )
                });
        match call {
            None => Poll::Pending,
            Some(Ok(received)) => {
                buffer.advance(received);
                Poll::Ready(Ok(()))
            }
            Some(Err(error)) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncWrite for &Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let call =
            self.handle
                .shared
                .poll_call(self.id, Wait::Write, context.waker(), |stack, now| {
                    stack.send(now, self.id, data)
                });
        call.map_or(Poll::Pending, |result| {
            Poll::Ready(result.map_err(io::Error::from))
        })
    }

    /// One SEND after the other, so that what belongs together leaves together.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let call =
            self.handle
                .shared
                .poll_call(self.id, Wait::Write, context.waker(), |stack, now| {
                    let mut taken = 0;
                    for part in parts {
                        match stack.send(now, self.id, part) {
                            Ok(bytes) => taken += bytes,
                            Err(_) if taken > 0 => break,
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(taken)
                });
        call.map_or(Poll::Pending, |result| {
            Poll::Ready(result.map_err(io::Error::from))
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// TCP decides by itself when data goes (MUST-60): there is nothing to wait for.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The FIN follows what was written; receiving goes on. Once is enough, and a connection that
    /// has ended has nothing to close, as with tokio's streams.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self
            .handle
            .shared
            .with(|endpoint, now| endpoint.stack.shutdown(now, self.id))?
        {
            Ok(()) | Err(CallError::Closing | CallError::NoConnection | CallError::Ended(_)) => {
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(Error::from(error).into())),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(context, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_shutdown(context)
    }
}
