//! One kernel socket for each of our ports, so that no other program gets it.

use super::GuardKind;
use crate::error::Error;
use crate::link::Ports;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// The sockets that hold our ports.
#[derive(Debug)]
pub struct Reservation {}

impl Reservation {
    pub(crate) fn make(_address: IpAddr, ports: Ports, _guard: GuardKind) -> Result<(Option<Reservation>, RangeInclusive<u16>), Error> {
        match ports {
            Ports::Exact(port) => Ok((None, port..=port)),
            Ports::Block(count) => Ok((None, 40_000..=40_000 + count.max(1) - 1)),
        }
    }
}
