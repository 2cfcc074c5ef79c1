//! Who holds a port.

use std::fmt;

/// A kernel socket that holds a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Its state, in the RFC's spelling; `bound` when it neither listens nor connects.
    pub state: &'static str,
    /// Name and id of its process, where there is one that we may see.
    pub program: Option<(String, u32)>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            Some((name, pid)) => write!(f, "{name} (process {pid}), in {}", self.state),
            None => write!(f, "a kernel socket in {}", self.state),
        }
    }
}
