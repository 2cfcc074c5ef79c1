//! Where connections arrive, for code that speaks tokio.

use crate::driver::Shared;
use crate::error::Error;
use crate::handle::Handle;
use crate::stream::Stream;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tcpx_proto::id::ListenerId;

/// A listener. Dropping it resets the connections that were not accepted; accepted ones go on.
pub struct Listener {
    handle: Arc<Handle>,
    id: ListenerId,
    local: SocketAddr,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl Listener {
    pub(crate) fn new(handle: Arc<Handle>, id: ListenerId, local: SocketAddr) -> Listener {
        Listener { handle, id, local }
    }

    pub(crate) fn id(&self) -> ListenerId {
        self.id
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Our end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits for the next established connection, and gives it with its peer's address.
    /// Cancel-safe.
    ///
    /// # Errors
    /// The host has ended.
    pub async fn accept(&self) -> Result<(Stream, SocketAddr), Error> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    /// [`accept`](Listener::accept) as a poll.
    ///
    /// # Errors
    /// The host has ended.
    pub fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Stream, SocketAddr), Error>> {
        let shared = &self.handle.shared;
        match shared.poll_accept(self.id, context.waker()) {
            None => Poll::Pending,
            Some(Err(error)) => Poll::Ready(Err(error)),
            Some(Ok((id, status))) => {
                let remote = status.map_or(self.local, |status| status.remote);
                let stream = Stream::new(Arc::clone(&self.handle), id, self.local, remote);
                Poll::Ready(Ok((stream, remote)))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.handle.shared.close_listener(self.id);
    }
}
