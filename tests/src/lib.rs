//! What the end-to-end tests and the benches share.

pub mod crowd;
pub mod differential;
pub mod limits;
pub mod pair;
pub mod schedule;
pub mod skip;
pub mod smoltcp;
pub mod tun;
