//! For tests: two hosts on a cable.

use crate::skip::skip;
use tcpx::netns::{Cable, Namespace, pair};

/// Two hosts for a test, where the machine allows them.
pub(crate) fn pair_or_skip(cable: Cable) -> Option<(Namespace, Namespace)> {
    pair(cable)
        .inspect_err(|error| skip(format_args!("a network namespace cannot be made: {error}")))
        .ok()
}

/// The same without offloads.
pub(crate) fn plain_pair() -> Option<(Namespace, Namespace)> {
    pair_or_skip(Cable::PLAIN)
}
