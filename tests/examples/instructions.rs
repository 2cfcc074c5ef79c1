//! Work for `make bench-instructions`: `instructions bulk N` sends N full segments through two
//! engines in memory, `instructions connections N` makes and closes N connections.

use std::time::Duration;

use anyhow::Context;
use tcpx_proto::config::ConnConfig;
use tcpx_tests::pair::Pair;

/// Bytes of text in a segment at MTU 1500, with timestamps.
const SEGMENT: usize = 1448;

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let work = words.next().context("bulk or connections?")?;
    let count: usize = words.next().context("how many?")?.parse()?;
    let conn = ConnConfig {
        receive_buffer: 1 << 18,
        send_buffer: 1 << 18,
        ..ConnConfig::default()
    };
    let mut pair = Pair::new(&conn)?;
    match work.as_str() {
        "bulk" => {
            let (client, server) = pair.connect(&conn)?;
            let mut chunk = vec![7; 65_536];
            pair.bulk(client, server, count * SEGMENT, &mut chunk)
        }
        "connections" => (0..count).try_for_each(|_| connection(&mut pair, &conn)),
        _ => anyhow::bail!("bulk or connections, not {work:?}"),
    }
}

fn connection(pair: &mut Pair, conn: &ConnConfig) -> anyhow::Result<()> {
    let (client, server) = pair.connect(conn)?;
    pair.client.shutdown(pair.now, client)?;
    pair.exchange();
    pair.server.close(pair.now, server)?;
    pair.exchange();
    // What is measured is the work, not TIME-WAIT.
    pair.client.abort(pair.now, client)?;
    pair.advance(Duration::from_micros(50));
    Ok(())
}
