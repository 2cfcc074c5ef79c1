//! What a host, its streams and its listeners share.

use crate::driver::{Net, Shared};
use std::fmt;
use std::sync::Arc;
use tcpx_proto::config::Config;

/// A TCP of our own. Clones share it; with the last clone, stream and listener it ends, and its
/// ports and guard go.
#[derive(Clone)]
pub struct Host {
    pub(crate) handle: Arc<Handle>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("address", &self.handle.shared.wire.address())
            .field("ports", &self.handle.shared.wire.ports())
            .finish_non_exhaustive()
    }
}

/// Ends the loop when the last owner is gone.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) seed: u64,
    pub(crate) config: Config,
    /// In memory the host lives as long as its network, which any of its hosts keeps.
    pub(crate) network: Option<Arc<Net>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.network.is_none() {
            self.shared.end();
        }
    }
}

impl Host {
    pub(crate) fn of(handle: Arc<Handle>) -> Host {
        Host { handle }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}
