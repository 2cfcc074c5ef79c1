//! Faults and removed rules in a simulation: with the rule removed the failure happens, with the
//! rule in place it does not.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tcpx_proto::config::{Config, Isn, Profile};
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::fault::FaultRule;
use tcpx_proto::id::ConnId;
use tcpx_proto::preset::Preset;
use tcpx_proto::script::{Script, Step};
use tcpx_proto::seq::Seq;
use tcpx_proto::sim::{HostId, Link, Observation, Sim};
use tcpx_proto::state::State;
use tcpx_proto::wire::Flags;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const PORT: u16 = 7000;
const MINUTES: Duration = Duration::from_secs(300);

/// A client whose rules are broken, and a server whose applications hear their peer out and close.
struct World {
    sim: Sim,
    client: HostId,
    server: HostId,
    config: Config,
}

impl World {
    fn new(faults: &[&str], without: &[&str], change: impl Fn(&mut Config)) -> World {
        let mut config = Profile::Rfc9293.config();
        change(&mut config);
        let server_config = config.clone();
        let mut rules: Vec<FaultRule> = faults
            .iter()
            .map(|line| FaultRule::parse(line).unwrap())
            .collect();
        for name in without {
            Preset::find(name).unwrap().apply(&mut config, &mut rules);
        }
        let mut sim = Sim::new(1);
        let client = sim.add_host(CLIENT, config.clone(), 2, rules);
        let server = sim.add_host(SERVER, server_config.clone(), 3, Vec::new());
        for (from, to) in [(client, server), (server, client)] {
            sim.link(from, to, Link::new(Duration::from_millis(10)));
        }
        let script = Script {
            steps: vec![Step::ReceiveToEnd, Step::Close],
        };
        sim.listen(server, PORT, 5, &server_config.conn, script)
            .unwrap();
        World {
            sim,
            client,
            server,
            config,
        }
    }

    /// Connects from a port that is always the same.
    fn connect(&mut self, steps: Vec<Step>) -> Result<ConnId, CallError> {
        let id = self.sim.connect(
            self.client,
            40_000,
            SocketAddr::new(SERVER, PORT),
            &self.config.conn,
        )?;
        self.sim.spawn(self.client, id, Script { steps });
        Ok(id)
    }

    /// Says one thing on a connection of its own, and waits until the client's application has let
    /// go of it.
    fn say(&mut self, text: &str) -> Result<(), CallError> {
        let id = self.connect(vec![
            Step::Send(text.into()),
            Step::Shutdown,
            Step::ReceiveToEnd,
            Step::Close,
        ])?;
        let client = self.client;
        let server = self.server;
        let done = |sim: &Sim| {
            let last = sim.connections(server).last();
            let closing = sim
                .stack(client)
                .unwrap()
                .status(id)
                .is_none_or(|status| status.state == State::TimeWait);
            closing && last.is_some_and(|last| sim.closed(server, last).is_some())
        };
        assert!(self.sim.run_until(done, MINUTES));
        Ok(())
    }

    /// What the server's applications heard, in the order of their connections.
    fn heard(&self) -> Vec<String> {
        let ids = self.sim.connections(self.server);
        ids.map(|id| String::from_utf8_lossy(self.sim.received(self.server, id)).into_owned())
            .collect()
    }

    fn server_state(&self) -> Option<State> {
        let id = self.sim.connections(self.server).last()?;
        self.sim
            .stack(self.server)?
            .status(id)
            .map(|status| status.state)
    }

    /// When segments with these flags left the gate of a host, ms.
    fn sent(&self, from: HostId, flags: &str) -> Vec<u64> {
        let of = |seen: &Observation| {
            let (host, segment) = seen.segment()?;
            let record = &segment.record;
            let sent = host == from && record.out && segment.judgement.goes_on();
            (sent && record.flags.to_string() == flags).then(|| record.at.millis())
        };
        self.sim.trace().iter().filter_map(of).collect()
    }
}

/// The bytes of text in each segment that left the gate of a host.
fn texts(world: &World, from: HostId) -> Vec<u32> {
    let of = |seen: &Observation| {
        let (host, segment) = seen.segment()?;
        let record = &segment.record;
        let sent = host == from && record.out && segment.judgement.goes_on();
        (sent && record.len > 0).then_some(record.len)
    };
    world.sim.trace().iter().filter_map(of).collect()
}

#[test]
fn mss_rewritten_on_its_way_in_is_the_one_that_is_kept() {
    for (faults, longest) in [
        (
            &[
                "rewrite(mss=200) in syn-ack",
                "rewrite(strip=timestamps) out syn",
            ][..],
            200,
        ),
        (&[], 1448),
    ] {
        let mut world = World::new(faults, &[], |_| {});
        world.say(&"x".repeat(5000)).unwrap();
        assert_eq!(world.heard(), ["x".repeat(5000)]);
        assert_eq!(
            texts(&world, world.client).into_iter().max(),
            Some(longest),
            "{faults:?}"
        );
    }
}

#[test]
fn window_scale_stripped_from_the_syn_is_not_used_by_either_end() {
    // Without a scale a window of 256 KiB is cut at 65,535 bytes.
    for (faults, cut) in [(&["rewrite(strip=wscale) out syn"][..], true), (&[], false)] {
        let mut world = World::new(faults, &[], |_| {});
        world.say("hello").unwrap();
        let window = |seen: &Observation| {
            let (_, segment) = seen.segment()?;
            let record = &segment.record;
            (!record.flags.contains(Flags::SYN)).then_some(record.window)
        };
        assert!(
            world
                .sim
                .trace()
                .iter()
                .filter_map(window)
                .all(|window| (window <= 65_535) == cut),
            "{faults:?}"
        );
    }
}

#[test]
fn long_segments_lost_short_ones_arrive_and_the_text_never_does() {
    let mut world = World::new(&["drop out longer=1000"], &[], |config| config.conn.r2 = 3);
    let id = world
        .connect(vec![
            Step::Send(b"short".to_vec()),
            Step::Send(vec![b'x'; 5000]),
        ])
        .unwrap();
    world.sim.run_until(|_| false, MINUTES);
    assert_eq!(world.heard(), ["short"]);
    assert_eq!(
        world.sim.closed(world.client, id),
        Some(CloseReason::RetransmissionTimeout)
    );
    assert!(texts(&world, world.client).iter().all(|len| *len <= 1000));
}

/// The same ISN for each incarnation, and no timestamps: nothing but TIME-WAIT tells them apart.
fn twins(config: &mut Config) {
    config.conn.isn = Isn::Fixed(Seq(1000));
    config.conn.timestamps = false;
    config.conn.paws = false;
}

const OLD_SEGMENT: [&str; 2] = ["hold=old out data#1", "release=old on established#2"];

#[test]
fn old_segment_without_time_wait_lands_in_the_next_incarnation() {
    let mut world = World::new(&OLD_SEGMENT, &["time-wait"], twins);
    world.say("old").unwrap();
    world.say("new").unwrap();
    assert_eq!(world.heard(), ["old", "old"]);
}

#[test]
fn old_segment_with_time_wait_meets_no_next_incarnation() {
    let mut world = World::new(&OLD_SEGMENT, &[], twins);
    world.say("old").unwrap();
    assert_eq!(world.say("new"), Err(CallError::InUse(State::TimeWait)));
    assert_eq!(world.heard(), ["old"]);
}

#[test]
fn no_third_ack_leaves_the_server_in_syn_received_until_it_gives_up() {
    let mut world = World::new(&[], &["third-ack"], |config| config.conn.synack_retries = 3);
    let id = world.connect(vec![Step::Send(b"hello".to_vec())]).unwrap();
    world.sim.run_until(|_| false, Duration::from_secs(10));
    assert_eq!(
        world
            .sim
            .stack(world.client)
            .unwrap()
            .status(id)
            .unwrap()
            .state,
        State::Established
    );
    assert_eq!(world.server_state(), Some(State::SynReceived));
    assert_eq!(world.sent(world.server, "SA"), [10, 1010, 3010, 7010]);
    world.sim.run_until(|_| false, MINUTES);
    let server = world.sim.connections(world.server).last().unwrap();
    assert_eq!(
        world.sim.closed(world.server, server),
        Some(CloseReason::Dropped)
    );
    assert_eq!(world.heard(), [""]);
}

#[test]
fn no_third_ack_lifted_completes_the_handshake_and_the_data_follows() {
    let mut world = World::new(&[], &["third-ack"], |_| {});
    let hold = Step::Sleep(Duration::from_secs(5));
    world
        .connect(vec![
            Step::Send(b"hello".to_vec()),
            hold,
            Step::Release,
            Step::Shutdown,
            Step::ReceiveToEnd,
            Step::Close,
        ])
        .unwrap();
    world.sim.run_until(|_| false, Duration::from_secs(4));
    assert_eq!(world.server_state(), Some(State::SynReceived));
    world.sim.run_until(|_| false, MINUTES);
    assert_eq!(world.heard(), ["hello"]);
}

#[test]
fn delayed_and_dropped_segments_are_made_good() {
    let mut world = World::new(
        &[
            "delay=300ms out data#1",
            "drop out fin#1",
            "drop in syn-ack#1",
        ],
        &[],
        |_| {},
    );
    world.say("hello").unwrap();
    assert_eq!(world.heard(), ["hello"]);
    assert_eq!(world.sent(world.client, "S"), [0, 1000]);
}
