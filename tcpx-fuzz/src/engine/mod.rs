//! Two stacks with any configuration and a network that does anything: calls, timers, lost, copied,
//! overtaking, altered and forged packets, in an order that the bytes say.
//!
//! # What must hold
//! - nothing panics;
//! - a stack keeps no more memory, connections and packets than its configuration allows;
//! - one packet that arrives is answered by at most one segment without text, SYN or FIN;
//! - timers make progress: no instant goes on forever, what is outstanding has a timer, and when
//!   all is closed both ends fall silent and have no connection left;
//! - a stack whose idle connections are compact records does what one does that keeps whole ones;
//! - unless a packet was altered or forged or a rule was removed, what an end reads is a prefix of
//!   what its peer sent; and once the network is good and both ends read, all of it arrives, or the
//!   connection ends.

mod config;
mod end;
mod step;
mod world;

use crate::bytes::Bytes;
use world::World;

/// The most steps of a run; the rest of the bytes is not read.
const MOST_STEPS: usize = 200;

/// One run: the configurations, the steps, then a good network, and the end of all connections.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut world = World::new(&mut bytes);
    for _ in 0..MOST_STEPS {
        if bytes.is_empty() {
            break;
        }
        step::step(&mut world, &mut bytes);
    }
    world.finish();
}
