//! Which local ports a host wants, and how the kernel is kept from answering for them.

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
    /// This many in a row (at least one), from a random base (RFC 6056).
    Block(u16),
    /// The same for at least `least` connections at a time, each of which may open a file of its
    /// own: as many ports as available, so that those in TIME-WAIT do not block the next.
    UpTo {
        /// The fewest that suffice (at least one).
        least: u16,
        /// The most that are useful.
        most: u16,
    },
}

/// How the kernel is kept from answering segments for our ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GuardKind {
    /// [`Iptables`](GuardKind::Iptables) where it can be, else [`Listener`](GuardKind::Listener).
    #[default]
    Auto,
    /// A firewall rule that drops the kernel's RSTs. Needs the iptables program and NET_ADMIN.
    Iptables,
    /// A kernel listener on each port that silently drops every segment whose TTL is below 255.
    /// Needs nothing.
    Listener,
    /// Nothing, and no reservation either: the kernel answers with RSTs, to be seen in the
    /// laboratory.
    None,
}

impl GuardKind {
    /// All of them.
    pub const ALL: [GuardKind; 4] = [
        GuardKind::Auto,
        GuardKind::Iptables,
        GuardKind::Listener,
        GuardKind::None,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            GuardKind::Auto => "auto",
            GuardKind::Iptables => "iptables",
            GuardKind::Listener => "listener",
            GuardKind::None => "none",
        }
    }
}
