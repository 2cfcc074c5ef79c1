//! Which local ports a host wants.

/// Which local ports to reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ports {
    /// This one.
    Exact(u16),
    /// All of these.
    Row {
        /// The lowest.
        first: u16,
        /// The highest.
        last: u16,
    },
    /// So many in a row (at least one), from a base picked at random (RFC 6056).
    Block(u16),
    /// The same for `least` connections at a time, of which each may open a file of its own: as
    /// many ports as can be had, so that those in TIME-WAIT are not in the way of the next.
    UpTo {
        /// The fewest that will do (at least one).
        least: u16,
        /// More would be of no use.
        most: u16,
    },
}
