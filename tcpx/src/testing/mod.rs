//! For tests of your own code against a TCP that misbehaves as you ask: no root, no real time, no
//! flakiness.
//!
//! Code over any `AsyncRead + AsyncWrite`, or over a [`Host`]: [`pair`] gives two ends whose bytes
//! run through two real stacks and a simulated link. With tokio's clock paused (`start_paused =
//! true`, tokio's feature `test-util`) nothing takes time, be it R2 after fifteen minutes of
//! silence, and every run is the same.
//!
//! ```
//! use tcpx::testing::{PairOptions, Pair, pair};
//! # use std::{io, time::Duration};
//! # use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
//!
//! // What you wrote: ask, and wait for the answer, but not forever.
//! async fn ask(mut line: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
//!     line.write_all(b"how are you?\n").await?;
//!     let mut answer = vec![0; 1024];
//!     let got = tokio::time::timeout(Duration::from_secs(10), line.read(&mut answer)).await??;
//!     Ok(String::from_utf8_lossy(&answer[..got]).into_owned())
//! }
//!
//! // #[tokio::test(start_paused = true)]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let Pair { near, far, far_diary, .. } = pair(PairOptions::default()).await?;
//! far.host().vanish(); // as if its power had failed: not a RST, not a FIN, nothing
//! let error = ask(near).await.unwrap_err();
//! assert_eq!(error.kind(), io::ErrorKind::TimedOut);
//! assert!(!far_diary.to_string().contains("len=13"), "{far_diary}");
//! # Ok(())
//! # }
//! ```
//!
//! What the peer can do to you, in one line each:
//!
//! | your code meets | |
//! |---|---|
//! | a peer that goes silent, or a cable that is cut and repaired | `far.host().vanish()`; [`Network::link`] with `loss: 1000` |
//! | a RST | [`far.abort()`](Stream::abort) |
//! | a peer that restarted and knows nothing any more | `far.host().restart()` |
//! | the FIN of a half-close, and a full close | `far.shutdown().await`, `drop(far)` |
//! | a peer that does not read | do not read from `far` |
//! | one answer in ten that is 3 s late | `far.host().add_fault("rate=10% delay=3s out data".parse()?)` |
//! | loss, copies, damage, another order, on the way there or back | any line of the fault language (`docs/faults.md`), or [`Link`] |
//! | the end of all this | `far.host().end_faults()` |
//!
//! A [`Diary`] has what happened at its end, with [`Diary::until`] to wait for it instead of
//! sleeping; as text it is what you want to see when an assertion fails, and [`Diary::save`] writes
//! the file from which `tcpx-lab ladder` draws both ends.
//!
//! Code that connects by address to the kernel's TCP needs packets that a kernel sees: [`isolated`]
//! runs a test in a network namespace of its own, as root there and without being root, where a
//! [`Host`] on 127.0.0.2 can be the peer.

mod diary;
mod isolated;
pub mod sample;
#[cfg(test)]
mod tests;

pub use diary::Diary;
pub use isolated::isolated;

#[cfg(doc)]
use crate::host::Host;

use crate::error::Error;
use crate::host::HostOptions;
use crate::network::Network;
use crate::stream::Stream;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tcpx_proto::error::CloseReason;
use tcpx_proto::sim::Link;
use tcpx_proto::time::Duration;

/// The near end's address.
pub const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// The far end's address.
pub const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
/// The port on which the far end listened.
pub const PORT: u16 = 7000;

/// How long the far end may take to be established once the near end is.
const PATIENCE: Duration = Duration::from_secs(600);

/// What [`pair`] makes. The default: Linux's replies and timers at both ends, and 1 ms of a perfect
/// link each way.
#[derive(Debug)]
pub struct PairOptions {
    /// All chance comes from this; 1 by default.
    pub seed: u64,
    /// The way there and the way back.
    pub link: Link,
    /// The end that connects.
    pub near: HostOptions,
    /// The end that listened. Faults that concern the handshake go here, those of later can wait
    /// for [`Host::add_fault`](crate::Host::add_fault).
    pub far: HostOptions,
}

impl Default for PairOptions {
    fn default() -> PairOptions {
        PairOptions {
            seed: 1,
            link: Link::default(),
            near: HostOptions::default(),
            far: HostOptions::default(),
        }
    }
}

/// A connection, both ends of it. Any part of it keeps the rest of the network alive.
#[derive(Debug)]
pub struct Pair {
    /// The end that connected, usually that of the code under test.
    pub near: Stream,
    /// The end that accepted.
    pub far: Stream,
    /// What happened at the near end.
    pub near_diary: Diary,
    /// What happened at the far end.
    pub far_diary: Diary,
    /// The links between both, and the way to more hosts.
    pub network: Network,
}

/// Two hosts in memory with an established connection from [`NEAR`] to [`FAR`], port [`PORT`].
///
/// # Errors
/// Outside a tokio runtime; when the connection does not come about, by a fault or by the options,
/// and how it ended instead.
pub async fn pair(mut options: PairOptions) -> Result<Pair, Error> {
    let network = Network::new(options.seed)?;
    network.link(NEAR, FAR, options.link);
    network.link(FAR, NEAR, options.link);
    let near_diary = Diary::new();
    let far_diary = Diary::new();
    options.near.observers.push(Box::new(near_diary.clone()));
    options.far.observers.push(Box::new(far_diary.clone()));
    let near = network.add_host(NEAR, options.near);
    let far = network.add_host(FAR, options.far);
    let listener = far.listen_with(PORT, 1, &far.config().conn)?;
    let near = near.connect(SocketAddr::new(FAR, PORT)).await?;
    let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
    let (far, _) = accepted.unwrap_or(Err(Error::Ended(CloseReason::ConnectTimeout)))?;
    Ok(Pair {
        near,
        far,
        near_diary,
        far_diary,
        network,
    })
}
