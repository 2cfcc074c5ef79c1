//! Work for `make bench-instructions`: `instructions ENGINE bulk N` sends N full segments through
//! two engines in memory, `instructions ENGINE connections N` makes and closes N connections.

use anyhow::Context;
use tcpx_tests::pair::{Pair, large_buffers};
use tcpx_tests::smoltcp::Smoltcp;

/// Bytes of text in a segment at MTU 1500, with timestamps.
const SEGMENT: usize = 1448;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [engine, work, count] = &words[..] else {
        anyhow::bail!("instructions tcpx|smoltcp bulk|connections COUNT");
    };
    let count: usize = count.parse().context("how many?")?;
    let mut chunk = vec![7; 65_536];
    match (engine.as_str(), work.as_str()) {
        ("tcpx", "bulk") => {
            let mut pair = Pair::new(&large_buffers())?;
            let (client, server) = pair.connect(&large_buffers())?;
            pair.bulk(client, server, count * SEGMENT, &mut chunk)
        }
        ("tcpx", "connections") => {
            let mut pair = Pair::new(&large_buffers())?;
            (0..count).try_for_each(|_| pair.connect_and_close(&large_buffers()))
        }
        ("smoltcp", "bulk") => {
            let mut pair = Smoltcp::new();
            pair.connect()?;
            pair.bulk(count * SEGMENT, &mut chunk)
        }
        ("smoltcp", "connections") => {
            let mut pair = Smoltcp::new();
            (0..count).try_for_each(|_| pair.connect_and_close())
        }
        _ => anyhow::bail!("there is no work {engine} {work}"),
    }
}
