//! The demo's scenes where no namespace is to be had: the same engine, on the virtual clock of the simulation.

use crate::events::Log;
use anyhow::{Context, Result, anyhow};
use std::io::{pipe, read_to_string};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;
use tcpx::record::{Events, Failures, Observer, Outlet, Recorder, Sink, Start};
use tcpx_proto::config::{Config, Isn};
use tcpx_proto::fault::Rule;
use tcpx_proto::preset::Preset;
use tcpx_proto::script::{Script, Step};
use tcpx_proto::seq::Seq;
use tcpx_proto::sim::{HostId, Link, Observation, Sim};
use tcpx_proto::time::Instant;

/// One end of a scene: where it is, and what begins its sequence numbers.
pub struct Host {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its initial sequence number.
    pub isn: u32,
}

/// What the client does differently.
pub struct Departure {
    /// The rule that it goes without.
    pub without: Option<&'static str>,
    /// How long it waits before it lets go what that rule holds back, and sends.
    pub hold: Option<Duration>,
    /// How often it connects, each time on the same ports.
    pub count: usize,
}

/// MSL, as the wire's scenes have it.
const MSL: Duration = Duration::from_secs(1);
/// No scene takes longer.
const LIMIT: Duration = Duration::from_secs(60);
const SEED: u64 = 1;

/// Plays a scene: the client says hello, the server echoes, both close. Returns what either end would have recorded.
///
/// # Errors
/// A call was refused, or a connection did not end.
pub fn play(client: &Host, server: &Host, departure: &Departure) -> Result<(Log, Log)> {
    let mut rules = Vec::new();
    let mut config = config(client);
    if let Some(preset) = departure.without.and_then(Preset::find) {
        preset.apply(&mut config, &mut rules);
    }
    let texts = rules.iter().map(|rule: &Rule| rule.text.clone()).collect();
    let mut sim = Sim::new(SEED);
    let a = sim.add_host(client.address, config.clone(), SEED, rules);
    let b = sim.add_host(server.address, self::config(server), SEED, Vec::new());
    sim.link(a, b, Link::new(Duration::from_millis(1)));
    sim.link(b, a, Link::new(Duration::from_millis(1)));
    let refused = |error| anyhow!("the simulated call was refused: {error}");
    let echo = Script { steps: vec![Step::Echo, Step::Close] };
    sim.listen(b, server.port, 8, &self::config(server).conn, echo).map_err(refused)?;
    for _ in 0..departure.count {
        let remote = SocketAddr::new(server.address, server.port);
        let conn = sim.connect(a, client.port, remote, &config.conn).map_err(refused)?;
        sim.spawn(a, conn, script(departure));
        sim.run_until(|sim| sim.closed(a, conn).is_some(), LIMIT).then_some(()).context("a simulated connection did not end")?;
    }
    // The other end, too, comes to rest.
    sim.run_until(|sim| sim.deadline().is_none(), LIMIT);
    Ok((log(&sim, a, "client", texts)?, log(&sim, b, "server", Vec::new())?))
}

fn config(host: &Host) -> Config {
    let mut config = Config::default();
    (config.conn.msl, config.conn.isn) = (MSL, Isn::Fixed(Seq(host.isn)));
    config
}

fn script(departure: &Departure) -> Script {
    let waits = departure.hold.map(|hold| [Step::Sleep(hold), Step::Lift]);
    let talk = [Step::Send(b"hello".to_vec()), Step::Shutdown, Step::ReceiveToEnd];
    Script { steps: waits.into_iter().flatten().chain(talk).collect() }
}

/// What a host saw, through the same writer and the same reader as on the wire.
fn log(sim: &Sim, host: HostId, role: &'static str, rules: Vec<String>) -> Result<Log> {
    let (reader, writer) = pipe()?;
    let text = thread::spawn(move || read_to_string(reader));
    let outlet = Outlet::new("the simulation's record", writer, Failures::default())?;
    let start = Start::new(role, "linux", SEED, Duration::ZERO, Duration::ZERO);
    let events: Box<dyn Sink> = Box::new(Events::new(outlet, Instant::ZERO, &start));
    let mut recorder = Recorder::new(Instant::ZERO, rules, vec![events]);
    for seen in sim.trace() {
        match seen {
            Observation::Event { host: at, event } if *at == host => recorder.event(event),
            Observation::Segment { host: at, record, judgement, .. } if *at == host => recorder.segment(record, judgement, &[]),
            _ => {}
        }
    }
    drop(recorder);
    Log::parse(&text.join().map_err(|_| anyhow!("the record was not read"))??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{End, pair};

    fn play(departure: &Departure) -> crate::exchange::Exchange {
        let client = Host { address: [10, 77, 0, 1].into(), port: 40_000, isn: 100 };
        let server = Host { address: [10, 77, 0, 2].into(), port: 7000, isn: 300 };
        let (a, b) = super::play(&client, &server, departure).unwrap();
        pair(&a, &b).remove(0)
    }

    /// The flags of all segments in the order of their sending, lost ones with a stroke behind.
    fn flags(exchange: &crate::exchange::Exchange) -> Vec<String> {
        let stroke = |flight: &crate::exchange::Flight| if flight.received.is_empty() { "/" } else { "" };
        exchange.flights.iter().map(|flight| format!("{}{}", flight.segment.flags, stroke(flight))).collect()
    }

    #[test]
    fn nothing_removed_time_wait_is_two_msl() {
        let exchange = play(&Departure { without: None, hold: None, count: 1 });
        assert_eq!(flags(&exchange)[..3], ["S", "SA", "A"]);
        let states = exchange.steps.iter().filter(|step| step.end == End::A && step.on.is_some()).collect::<Vec<_>>();
        let [.., wait, closed] = states[..] else { panic!("{states:#?}") };
        assert_eq!((wait.state.as_str(), closed.state.as_str()), ("TIME-WAIT", "CLOSED"));
        assert!((closed.at - wait.at - 2.0).abs() < 0.001);
    }

    #[test]
    fn third_ack_removed_syn_ack_is_repeated_until_the_hold_ends() {
        let exchange = play(&Departure { without: Some("third-ack"), hold: Some(Duration::from_secs(8)), count: 1 });
        assert_eq!(flags(&exchange)[..9], ["S", "SA", "A/", "SA", "A/", "SA", "A/", "SA", "A/"]);
    }

    #[test]
    fn time_wait_removed_same_ports_connect_again_at_once() {
        let exchange = play(&Departure { without: Some("time-wait"), hold: None, count: 2 });
        assert_eq!(flags(&exchange).iter().filter(|flags| *flags == "S").count(), 2);
        assert!(exchange.steps.last().unwrap().at < 0.1);
        assert!(exchange.flights.iter().all(|flight| !flight.received.is_empty()), "{:#?}", exchange.flights);
    }
}
