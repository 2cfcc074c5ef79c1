//! The engine in memory beside smoltcp, and the simulation.

use std::hint::black_box;
use std::time::Instant;

use tcpx_tests::crowd::crowd;
use tcpx_tests::pair::{Pair, large_buffers};
use tcpx_tests::smoltcp::Smoltcp;

use crate::table::Table;

const OCTETS: usize = 64 << 20;
const CONNECTIONS: usize = 10_000;
const SIMULATED: usize = 10_000;
const AT_ONCE: usize = 1000;

fn rate(amount: f64, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(amount / start.elapsed().as_secs_f64())
}

/// Text through two engines, checksums and all.
pub(crate) fn bulk(rounds: usize) -> anyhow::Result<Table> {
    let mut table = Table::new("Engine: bulk at MTU 1500, Gbit/s", false);
    let mut chunk = vec![7; 65_536];
    let gigabits = OCTETS as f64 * 8.0 / 1e9;
    for _ in 0..rounds {
        let mut pair = Smoltcp::new();
        pair.connect()?;
        let result = rate(gigabits, || pair.bulk(black_box(OCTETS), &mut chunk));
        table.add("smoltcp", result?);
        let mut pair = Pair::new(&large_buffers())?;
        let (client, server) = pair.connect(&large_buffers())?;
        let result = rate(gigabits, || {
            pair.bulk(client, server, black_box(OCTETS), &mut chunk)
        });
        table.add("tcpx", result?);
    }
    Ok(table)
}

/// Connections between two engines.
pub(crate) fn connections(rounds: usize) -> anyhow::Result<Table> {
    let mut table = Table::new("Engine: connections/s (connect, close)", false);
    for _ in 0..rounds {
        let mut pair = Smoltcp::new();
        let result = rate(CONNECTIONS as f64, || {
            (0..CONNECTIONS).try_for_each(|_| pair.connect_and_close())
        });
        table.add("smoltcp", result?);
        let conn = large_buffers();
        let mut pair = Pair::new(&conn)?;
        let result = rate(CONNECTIONS as f64, || {
            (0..CONNECTIONS).try_for_each(|_| pair.connect_and_close(&conn))
        });
        table.add("tcpx", result?);
    }
    Ok(table)
}

/// Whole hosts and applications on a virtual clock.
pub(crate) fn simulation(rounds: usize) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "Simulation: connections/s with a byte each, TIME-WAIT included",
        false,
    );
    for _ in 0..rounds {
        for at_once in [AT_ONCE, SIMULATED] {
            let result = rate(SIMULATED as f64, || crowd(SIMULATED, at_once));
            table.add(&format!("tcpx, {at_once} at once"), result?);
        }
    }
    Ok(table)
}
