//! Hosts in memory: the same [`Host`], [`Stream`](crate::Stream) and [`Listener`](crate::Listener),
//! without a privilege or a packet outside the process.
//!
//! The links between them are those of [`tcpx_proto::sim`], the clock is tokio's: real time, or
//! none at all in a runtime whose clock is paused. Then hours of TIME-WAIT and retransmissions pass
//! in milliseconds, and the same program does the same each time.

use crate::driver::Net;
use crate::error::Error;
use crate::host::{self, Host, HostOptions};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use tcpx_proto::sim::Link;
use tcpx_proto::time::Duration;

/// Hosts and the links between them. Clones share it; it ends with the last of them and of the
/// hosts' handles, and all hosts with it.
///
/// ```
/// # use std::{error::Error, io};
/// use tcpx::network::Network;
/// use tcpx::{HostOptions, Listener};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn Error>> {
/// let network = Network::new(1)?;
/// let client = network.add_host("10.0.0.1".parse()?, HostOptions::default());
/// let server = network.add_host("10.0.0.2".parse()?, HostOptions::default());
/// let listener: Listener = server.listen(80)?;
/// let mut near = client.connect("10.0.0.2:80".parse()?).await?;
/// let mut far = listener.accept().await?.0;
/// near.write_all(b"hello").await?;
/// near.shutdown().await?;
/// let mut heard = String::new();
/// far.read_to_string(&mut heard).await?;
/// assert_eq!(heard, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Network {
    net: Arc<Net>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}

impl Network {
    /// A network without hosts, whose clock begins now, at zero. What goes wrong on links is drawn
    /// from `seed`, and so is the seed of each host that has none of its own.
    ///
    /// # Errors
    /// Outside a tokio runtime. (One without a timer is found out later: every host then ends with
    /// an error.)
    pub fn new(seed: u64) -> Result<Network, Error> {
        let runtime = host::runtime()?;
        Ok(Network {
            net: Net::start(seed, &runtime),
        })
    }

    /// Adds a host with all ports of this address, IPv4 or IPv6. A host that has the address
    /// already receives nothing more. It lives as long as the network.
    pub fn add_host(&self, address: IpAddr, options: HostOptions) -> Host {
        self.net
            .add(address, options.config.conn.mtu, |wire, seed| {
                let seed = options.seed.unwrap_or(seed);
                let host = Host::on(wire, options, seed, Some(Arc::clone(&self.net)));
                let shared = Arc::clone(host.shared());
                (host, shared)
            })
    }

    /// What the way from one address to another is like for packets that depart from now on; before
    /// that, [`Link::default`]: 1 ms, and nothing goes wrong. A cable that is cut is `Link { loss:
    /// 1000, ..link }`, until the next call restores it.
    pub fn link(&self, from: IpAddr, to: IpAddr, link: Link) {
        self.net.set_link(from, to, link);
    }

    /// The time since the network began, on tokio's clock.
    pub fn elapsed(&self) -> Duration {
        self.net.elapsed()
    }
}
