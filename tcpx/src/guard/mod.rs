//! The kernel keeps quiet while we live: our ports are reserved, and its RSTs for them are
//! suppressed and proven to be.

mod iptables;
mod keeper;
mod listener;
mod probe;
mod reserve;
mod watchdog;

use crate::capability::Capability;
use crate::error::Error;
use crate::ports::{GuardKind, Ports};
use crate::privileges;
use probe::Probe;
use reserve::Reservation;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// What [`Guard::install`] needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardOptions {
    /// How.
    pub(crate) kind: GuardKind,
    /// Our address.
    pub(crate) local: IpAddr,
    /// Our ports.
    pub(crate) ports: Ports,
    /// The SO_MARK of what we send.
    pub(crate) mark: u32,
}

/// Our ports, held and guarded; both end when it is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    means: Means,
    address: IpAddr,
    ports: RangeInclusive<u16>,
    /// Why `auto` did not take iptables.
    second_choice: Option<Error>,
    /// The kernel was quiet before the guard, so that its silence now proves nothing.
    unproven: bool,
    /// Declared last: the ports become free when nothing of ours speaks for them any more.
    reservation: Option<Reservation>,
}

#[derive(Debug)]
enum Means {
    Iptables(iptables::FirewallRule),
    Listener { filtered: bool },
    None,
}

impl Guard {
    /// Reserves the ports and keeps the kernel quiet about them, with proof: a SYN from this
    /// machine is answered before and not after.
    ///
    /// # Errors
    /// As [`Link::open`](crate::link::Link::open).
    pub(crate) fn install(options: &GuardOptions) -> Result<Guard, Error> {
        // The listener needs no firewall, and looks there only if the kernel keeps quiet.
        if options.kind != GuardKind::Listener {
            sweep_first();
        }
        if options.kind == GuardKind::None {
            let ports = reserve::choose(options.local, options.ports)?;
            return Ok(Guard::new(options, ports, Means::None, None));
        }
        let (reservation, ports) = Reservation::make(options.local, options.ports)?;
        let probe = Probe::new(options.local, &ports, options.mark)?;
        let mut unproven = answered(&probe, &ports)?.is_none();
        if unproven && options.kind == GuardKind::Listener && sweep_first() {
            unproven = answered(&probe, &ports)?.is_none();
        }
        let (means, second_choice) = match options.kind {
            GuardKind::Listener => (by_listener(&reservation)?, None),
            GuardKind::Iptables | GuardKind::None => (by_iptables(options, &ports)?, None),
            GuardKind::Auto => match by_iptables(options, &ports) {
                Ok(means) => (means, None),
                Err(why) => (by_listener(&reservation)?, Some(why)),
            },
        };
        let guard = Guard {
            second_choice,
            unproven,
            ..Guard::new(options, ports, means, Some(reservation))
        };
        guard
            .reservation
            .iter()
            .try_for_each(Reservation::drop_privileges)?;
        match answered(&probe, &guard.ports)? {
            None => Ok(guard),
            Some(port) => Err(guard.failed(port)),
        }
    }

    fn new(
        options: &GuardOptions,
        ports: RangeInclusive<u16>,
        means: Means,
        reservation: Option<Reservation>,
    ) -> Guard {
        Guard {
            means,
            address: options.local,
            ports,
            second_choice: None,
            unproven: false,
            reservation,
        }
    }

    fn failed(&self, port: u16) -> Error {
        Error::GuardFailed {
            guard: match self.means {
                Means::Iptables(_) => GuardKind::Iptables,
                Means::Listener { .. } | Means::None => GuardKind::Listener,
            },
            address: SocketAddr::new(self.address, port),
        }
    }

    /// The ports.
    pub(crate) fn ports(&self) -> RangeInclusive<u16> {
        self.ports.clone()
    }

    /// Whether a segment with TTL 255 gets past it to the kernel.
    pub(crate) fn yields_to_full_ttl(&self) -> bool {
        matches!(self.means, Means::Listener { filtered: false })
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.means {
            Means::Iptables(rule) => write!(
                f,
                "iptables: rule {} drops the kernel's RSTs from",
                rule.name()
            )?,
            Means::Listener { .. } => {
                f.write_str("listener: a kernel socket receives and drops the segments for")?
            }
            Means::None => f.write_str("none: the kernel answers for")?,
        }
        match self.ports.len() {
            1 => write!(f, " {}", SocketAddr::new(self.address, *self.ports.start()))?,
            _ => write!(
                f,
                " {} ports {} to {}",
                self.address,
                self.ports.start(),
                self.ports.end()
            )?,
        }
        if let Some(why) = &self.second_choice {
            write!(f, " (second choice, because {why})")?;
        }
        if self.unproven {
            f.write_str(
                " (unproven: the kernel sent no RST before the guard, perhaps because a firewall \
                 rule drops them, and ours as well)",
            )?;
        }
        Ok(())
    }
}

/// Removes the rules of programs that are gone (of this network namespace), and says which, as
/// iptables writes them.
///
/// # Errors
/// [`Error::NoIptables`], [`Error::Privilege`], [`Error::Iptables`].
pub fn sweep() -> Result<Vec<String>, Error> {
    privileges::raise();
    iptables::sweep()
}

/// For every guard: a leftover rule would silence the kernel where it should answer, and make a
/// proof impossible. Says whether there was one. If the firewall cannot be used, adding a rule
/// reports that; the other guards do not need it.
fn sweep_first() -> bool {
    if !(iptables::is_installed() && Capability::NetAdmin.effective()) {
        return false;
    }
    let removed = iptables::sweep().unwrap_or_else(|error| {
        tracing::debug!(%error, "cannot check for stale firewall rules");
        Vec::new()
    });
    removed.iter().for_each(|rule| {
        tracing::info!(
            rule,
            "removed the firewall rule of a program that has exited"
        )
    });
    !removed.is_empty()
}

fn by_iptables(options: &GuardOptions, ports: &RangeInclusive<u16>) -> Result<Means, Error> {
    iptables::FirewallRule::install(options.local, ports, options.mark).map(Means::Iptables)
}

fn by_listener(reservation: &Reservation) -> Result<Means, Error> {
    listener::listen(reservation).map(|filtered| Means::Listener { filtered })
}

/// The first of the two ends of the range for which the kernel answers.
fn answered(probe: &Probe, ports: &RangeInclusive<u16>) -> Result<Option<u16>, Error> {
    let low = *ports.start();
    let high = *ports.end();
    if probe.is_answered(low)? {
        return Ok(Some(low));
    }
    Ok((low != high && probe.is_answered(high)?).then_some(high))
}

/// 64 unpredictable bits, from the operating system by way of std's hash keys.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
pub(crate) mod tests;
