//! The two hosts of an experiment, and the addresses of all three.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A and B.
pub const ADDRESSES: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)), 40_000),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2)), 7000),
];
/// A third host's address. No host has it: what is sent there is lost.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 66);

/// Which of the two ends.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The first file's, drawn left.
    A,
    /// The second file's, drawn right.
    B,
}

impl End {
    /// Both, A first.
    pub const BOTH: [End; 2] = [End::A, End::B];

    /// The other one.
    pub fn other(self) -> End {
        match self {
            End::A => End::B,
            End::B => End::A,
        }
    }

    /// A's of two things, or B's.
    pub fn of<T>(self, [a, b]: &[T; 2]) -> &T {
        match self {
            End::A => a,
            End::B => b,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::A => "a",
            End::B => "b",
        })
    }
}
