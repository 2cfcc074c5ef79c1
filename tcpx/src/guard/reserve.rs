//! One kernel socket for each of our ports: no other program gets the port, and no kernel
//! connection or TIME-WAIT speaks for it. The kernel knows no other way (a reservation in
//! `net.ipv4.ip_local_reserved_ports` only keeps it from choosing a port by itself).

use super::keeper::Keeper;
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
/// More ports than these are held in file tables of their own ...
const FEW: usize = 64;
/// ... where these many stay free: the three that every table has.
const TABLE_SPARE: u64 = 3;

/// The sockets that hold our ports: bound, not listening.
#[derive(Debug)]
pub(crate) struct Reservation {
    /// In the file table of the process.
    sockets: Vec<Socket>,
    /// The others, many in each.
    keepers: Vec<Keeper>,
}

impl Reservation {
    /// Binds a socket to each port. SO_REUSEADDR is never set: with it a port is given out while a
    /// kernel TIME-WAIT still answers for it.
    pub(crate) fn make(
        address: IpAddr,
        ports: Ports,
    ) -> Result<(Reservation, RangeInclusive<u16>), Error> {
        let row = |range| Reservation::bind(address, range).map_err(Error::with_owner);
        match ports {
            Ports::Exact(port) => row(port..=port),
            Ports::Row { first, last } => row(first..=last),
            Ports::Block(count) => Reservation::pick(address, count.max(1), count.max(1)),
            Ports::UpTo { least, most } => {
                let least = least.max(1);
                allow_files(least.into(), least.into())?;
                Reservation::pick(address, least, most.max(least))
            }
        }
    }

    fn bind(
        address: IpAddr,
        range: RangeInclusive<u16>,
    ) -> Result<(Reservation, RangeInclusive<u16>), Error> {
        let kept = if range.len() > FEW {
            allow_files(0, 0)?;
            keep(address, &range)?
        } else {
            None
        };
        let reservation = if let Some(keepers) = kept {
            Reservation {
                sockets: Vec::new(),
                keepers,
            }
        } else {
            let ports = range.len() as u64;
            allow_files(ports, ports)?;
            Reservation {
                sockets: bind_all(address, range.clone())?,
                keepers: Vec::new(),
            }
        };
        Ok((reservation, range))
    }

    /// Does something with each socket; whether it was true of all.
    pub(super) fn each(
        &self,
        work: impl Fn(&Socket) -> Result<bool, Error> + Copy + Send + 'static,
    ) -> Result<bool, Error> {
        let of_all = move |sockets: &[Socket]| {
            let mut outcomes = sockets.iter().map(work);
            outcomes.try_fold(true, |all, one| one.map(|one| all & one))
        };
        let mut all = of_all(&self.sockets)?;
        for keeper in &self.keepers {
            all &= keeper.with(move |sockets| of_all(sockets))?;
        }
        Ok(all)
    }

    /// What is held needs no privilege any more.
    pub(super) fn drop_privileges(&self) -> Result<(), Error> {
        self.keepers.iter().try_for_each(Keeper::drop_privileges)
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

/// Holds the ports in as many file tables as that takes; `None`: this system has none for us.
fn keep(address: IpAddr, range: &RangeInclusive<u16>) -> Result<Option<Vec<Keeper>>, Error> {
    let mut keepers = Vec::new();
    let mut next = Some(*range.start());
    while let Some(first) = next {
        let Ok(keeper) = Keeper::start() else {
            return Ok(None);
        };
        let last = first.saturating_add(table_size() - 1).min(*range.end());
        keeper.with(move |sockets| {
            *sockets = bind_all(address, first..=last)?;
            Ok(())
        })?;
        keepers.push(keeper);
        next = last.checked_add(1).filter(|next| next <= range.end());
    }
    Ok(Some(keepers))
}

fn bind_all(address: IpAddr, range: RangeInclusive<u16>) -> Result<Vec<Socket>, Error> {
    range
        .map(|port| bind(SocketAddr::new(address, port)))
        .collect()
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

/// Raises the limit on open files as far as needed and allowed, for `files` that `ports` need.
fn allow_files(ports: u64, files: u64) -> Result<(), Error> {
    let mut limits = getrlimit(Resource::Nofile);
    let files = files + SPARE_FILES;
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
    Ok(())
}

/// The ports that fit into a file table of their own.
fn table_size() -> u16 {
    let limit = getrlimit(Resource::Nofile).current;
    let ports = limit.map_or(u64::MAX, |limit| limit.saturating_sub(TABLE_SPARE));
    u16::try_from(ports.max(1)).unwrap_or(u16::MAX)
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

    fn open_files() -> usize {
        std::fs::read_dir("/proc/thread-self/fd").unwrap().count()
    }

    #[test]
    fn long_block_takes_no_files_of_the_process_and_holds_every_port() {
        crate::guard::tests::in_namespace(|| {
            let address = IpAddr::from([127, 0, 0, 1]);
            let (held, range) = Reservation::make(address, Ports::Block(3000)).unwrap();
            // Other tests open files meanwhile.
            assert!(open_files() < 1000, "{}", open_files());
            assert!(held.sockets.is_empty() && !held.keepers.is_empty());
            let free = |port| bind(SocketAddr::new(address, port)).is_ok();
            assert!(!range.clone().any(free));
            assert!(held.each(|socket| Ok(socket.listen(1).is_ok())).unwrap());
            drop(held);
            assert!(range.clone().all(free));
        });
    }

    #[test]
    fn block_longer_than_a_file_table_is_held_in_several() {
        crate::guard::tests::in_namespace(|| {
            let address = IpAddr::from([127, 0, 0, 1]);
            let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
            let (held, range) = Reservation::make(address, Ports::Block(2500)).unwrap();
            let tables = range.len().div_ceil(usize::from(table_size()));
            assert_eq!(held.keepers.len(), tables, "the limit is {limit}");
        });
    }

    #[test]
    fn taken_port_in_a_long_row_is_refused_with_its_owner() {
        crate::guard::tests::in_namespace(|| {
            let address = IpAddr::from([127, 0, 0, 1]);
            let _held = bind(SocketAddr::new(address, 20_500)).unwrap();
            let (first, last) = (20_000, 21_000);
            let outcome = Reservation::make(address, Ports::Row { first, last });
            assert!(
                matches!(&outcome, Err(Error::PortInUse { address, owner: Some(_) })
                    if address.port() == 20_500),
                "{outcome:?}"
            );
        });
    }
}
