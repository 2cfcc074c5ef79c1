//! One kernel socket for each of our ports: no other program gets the port, and no kernel
//! connection or TIME-WAIT speaks for it.

use crate::capability::Capability;
use crate::error::Error;
use crate::ports::Ports;
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// Where blocks are picked from: the range that Linux takes its own ephemeral ports from by default
/// ...
const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;
/// ... or, for a block that does not fit there, all but the privileged ports.
const UNPRIVILEGED: RangeInclusive<u16> = 1_024..=65_535;
/// Bases tried before a block is given up.
const ATTEMPTS: usize = 64;
/// Descriptors left for everything else in the process, which takes two dozen.
const SPARE_FILES: u64 = 32;

/// The sockets that hold our ports: bound, not listening.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(super) sockets: Vec<Socket>,
}

impl Reservation {
    /// Binds a socket to each port. SO_REUSEADDR is never set: with it a port is given out while a
    /// kernel TIME-WAIT still answers for it.
    pub(crate) fn make(
        address: IpAddr,
        ports: Ports,
    ) -> Result<(Reservation, RangeInclusive<u16>), Error> {
        let row = |range: RangeInclusive<u16>| {
            allow_files(range.len() as u64, 0)?;
            Reservation::bind(address, range).map_err(Error::with_owner)
        };
        match ports {
            Ports::Exact(port) => row(port..=port),
            Ports::Row { first, last } => row(first..=last),
            Ports::Block(count) => {
                allow_files(count.into(), 0)?;
                Reservation::pick(address, count.max(1), count.max(1))
            }
            Ports::UpTo { least, most } => {
                let least = least.max(1);
                let files = allow_files(least.into(), least.into())?;
                let most = most
                    .max(least)
                    .min(u16::try_from(files).unwrap_or(u16::MAX));
                allow_files(most.into(), least.into())?;
                Reservation::pick(address, least, most)
            }
        }
    }

    fn bind(
        address: IpAddr,
        range: RangeInclusive<u16>,
    ) -> Result<(Reservation, RangeInclusive<u16>), Error> {
        let sockets = range
            .clone()
            .map(|port| bind(SocketAddr::new(address, port)))
            .collect::<Result<_, _>>()?;
        Ok((Reservation { sockets }, range))
    }

    /// A row of `most` ports, or of half as many where there is none, down to `least`.
    fn pick(
        address: IpAddr,
        least: u16,
        most: u16,
    ) -> Result<(Reservation, RangeInclusive<u16>), Error> {
        let mut count = most;
        for attempt in 1..=ATTEMPTS {
            let range = pick(count).ok_or(Error::NoFreeBlock { address, count })?;
            match Reservation::bind(address, range) {
                Err(Error::PortInUse { .. }) if attempt % 2 == 0 => count = (count / 2).max(least),
                Err(Error::PortInUse { .. }) => {}
                made => return made,
            }
        }
        Err(Error::NoFreeBlock { address, count })
    }
}

/// The ports that [`Reservation::make`] would try first, without holding them.
pub(crate) fn choose(address: IpAddr, ports: Ports) -> Result<RangeInclusive<u16>, Error> {
    allow_files(0, 0)?;
    match ports {
        Ports::Exact(port) => Ok(port..=port),
        Ports::Row { first, last } => Ok(first..=last),
        Ports::Block(count) | Ports::UpTo { most: count, .. } => {
            pick(count.max(1)).ok_or(Error::NoFreeBlock { address, count })
        }
    }
}

fn bind(address: SocketAddr) -> Result<Socket, Error> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .map_err(Error::io("open a socket"))?;
    match socket.bind(&address.into()) {
        Ok(()) => Ok(socket),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::PortInUse {
            address,
            owner: None,
        }),
        Err(error) => Err(Error::needs(
            Capability::NetBindService,
            "use a port below 1024",
        )(error)),
    }
}

/// Raises the limit on open files as far as needed and allowed, for `ports` and `more` files, and
/// says how many ports the hard limit allows.
fn allow_files(ports: u64, more: u64) -> Result<u64, Error> {
    let mut limits = getrlimit(Resource::Nofile);
    let files = ports + more + SPARE_FILES;
    if let Some(limit) = limits.maximum.filter(|maximum| *maximum < files) {
        return Err(Error::TooFewFiles {
            ports,
            files,
            limit,
        });
    }
    if limits.current.is_some_and(|current| current < files) {
        limits.current = limits.maximum;
        setrlimit(Resource::Nofile, limits).map_err(Error::io("raise the limit on open files"))?;
    }
    Ok(limits
        .maximum
        .map_or(u64::MAX, |maximum| maximum - more - SPARE_FILES))
}

/// A run of `count` ports from a random base (RFC 6056); `None` if there are not enough.
fn pick(count: u16) -> Option<RangeInclusive<u16>> {
    let within = [EPHEMERAL, UNPRIVILEGED]
        .into_iter()
        .find(|range| u32::from(count) <= u32::from(range.end() - range.start()) + 1)?;
    let bases = u64::from(within.end() - within.start()) + 2 - u64::from(count);
    let base = within.start() + (super::random() % bases) as u16;
    Some(base..=base + (count - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::Rlimit;

    #[test]
    fn picked_block_has_the_length_asked_for_and_stays_within_its_range() {
        for count in [1, 2, 1_000, 28_232] {
            for _ in 0..200 {
                let range = pick(count).unwrap();
                assert_eq!(range.len(), usize::from(count));
                assert!(
                    EPHEMERAL.contains(range.start()) && EPHEMERAL.contains(range.end()),
                    "{range:?}"
                );
            }
        }
        assert_eq!(pick(64_512), Some(UNPRIVILEGED));
        assert_eq!(pick(64_513), None);
    }

    #[test]
    fn picked_bases_differ() {
        let bases: std::collections::HashSet<u16> = (0..50)
            .filter_map(|_| pick(1))
            .map(|range| *range.start())
            .collect();
        assert!(bases.len() > 10, "{bases:?}");
    }

    #[test]
    fn block_held_by_us_refuses_each_of_its_ports_to_others() {
        let address = IpAddr::from([127, 0, 0, 1]);
        let (_held, range) = Reservation::make(address, Ports::Block(3)).unwrap();
        for port in range {
            let outcome = Reservation::make(address, Ports::Exact(port));
            assert!(
                matches!(&outcome, Err(Error::PortInUse { address, .. }) if address.port() == port),
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn as_many_ports_as_can_be_had_are_taken_down_to_the_least() {
        crate::guard::tests::in_namespace(|| {
            let address = IpAddr::from([127, 0, 0, 1]);
            let up_to = |least, most| {
                Reservation::make(address, Ports::UpTo { least, most }).map(|(_held, range)| range)
            };
            assert_eq!(up_to(2, 5).unwrap().len(), 5);
            assert_eq!(up_to(0, 0).unwrap().len(), 1);
            // In the middle of the range: no row longer than half of it is free.
            let _held = bind(SocketAddr::new(address, 46_884)).unwrap();
            let range = up_to(10, 28_000).unwrap();
            assert!(
                (10..=14_116).contains(&range.len()) && !range.contains(&46_884),
                "{range:?}"
            );
        });
    }

    #[test]
    fn block_longer_than_the_hard_limit_on_files_is_refused_with_the_limit() {
        // No test of this process needs more, and it could not be raised again without privilege.
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let hard = maximum.map_or(50_000, |hard| hard.min(50_000));
        let lowered = Rlimit {
            current: Some(current.map_or(hard, |soft| soft.min(hard))),
            maximum: Some(hard),
        };
        setrlimit(Resource::Nofile, lowered).unwrap();
        let outcome = Reservation::make(IpAddr::from([127, 0, 0, 1]), Ports::Block(60_000));
        assert!(
            matches!(outcome, Err(Error::TooFewFiles { ports: 60_000, files: 60_032, limit }) if limit == hard),
            "{outcome:?}"
        );
    }
}
