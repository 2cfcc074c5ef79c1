//! Many simulated connections, for a bench and for a test of how the simulation scales.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::ensure;
use tcpx_proto::config::Config;
use tcpx_proto::script::{Script, Step};
use tcpx_proto::sim::Sim;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const PORT: u16 = 7000;
/// Longer than TIME-WAIT.
const ROUND: Duration = Duration::from_secs(300);

/// Simulates `count` connections, `at_once` at a time, each from its SYN to the end of TIME-WAIT,
/// with a byte of text.
///
/// # Errors
/// One of them was refused, or did not end as it should.
pub fn crowd(count: usize, at_once: usize) -> anyhow::Result<()> {
    let mut sim = Sim::without_trace(1);
    let client = sim.add_host(CLIENT, Config::default(), 2, Vec::new());
    let server = sim.add_host(SERVER, Config::default(), 3, Vec::new());
    let config = Config::default().conn;
    let ask = Script {
        steps: vec![Step::Send(b"a".to_vec()), Step::Close],
    };
    let answer = Script {
        steps: vec![Step::ReceiveToEnd, Step::Close],
    };
    sim.listen(server, PORT, at_once, &config, answer)?;
    let mut made = 0;
    while made < count {
        let round = at_once.min(count - made);
        for _ in 0..round {
            let conn = sim.connect(client, 0, SocketAddr::new(SERVER, PORT), &config)?;
            sim.spawn(client, conn, ask.clone());
        }
        made += round;
        sim.run_until(|_| false, ROUND);
        ensure!(sim.is_over(), "a script does not end");
    }
    for host in [client, server] {
        ensure!(sim.all_closed(host), "a connection does not end");
        ensure!(sim.connections(host).count() == count, "some are missing");
    }
    let mut accepted = sim.connections(server);
    ensure!(
        accepted.all(|conn| sim.received(server, conn) == b"a"),
        "text is missing"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a run costs this thread, whatever else the machine does.
    fn cost(count: usize, at_once: usize) -> Duration {
        let used = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
        };
        let before = used();
        crowd(count, at_once).unwrap();
        used() - before
    }

    #[test]
    fn ten_times_as_many_connections_take_about_ten_times_as_long() {
        let few = (0..3).map(|_| cost(200, 200)).min().unwrap();
        // 100 times as long where each step looks at every application or connection.
        let at_once = cost(2000, 2000);
        assert!(at_once < 25 * few, "{few:?}, then {at_once:?}");
        let in_turn = cost(2000, 200);
        assert!(in_turn < 25 * few, "{few:?}, then {in_turn:?}");
    }
}
