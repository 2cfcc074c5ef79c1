//! Over any lossy, reordering, duplicating, damaging link the bytes arrive intact both ways, and
//! both ends reach CLOSED with no timer left.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tcpx_proto::config::{
    Config, Congestion, FastOpenRefused, Isn, Profile, Recovery, Rto, SynSentShutdown,
};
use tcpx_proto::error::CloseReason;
use tcpx_proto::event::{Event, What};
use tcpx_proto::fault::FaultRule;
use tcpx_proto::id::ConnId;
use tcpx_proto::label::Cause;
use tcpx_proto::preset::PRESETS;
use tcpx_proto::script::{Addresses, Script, Step};
use tcpx_proto::seq::Seq;
use tcpx_proto::sim::{HostId, Link, Observation, Sim};
use tcpx_proto::state::State;
use tcpx_proto::wire::ChecksumPolicy;

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const PORT: u16 = 7000;
const HOUR: Duration = Duration::from_secs(3600);

/// One run: what its two ends say to each other, and over what.
#[derive(Clone, Debug)]
struct Run {
    profile: Profile,
    seed: u64,
    there: Link,
    back: Link,
    isns: [u32; 2],
    /// Octets that either end has to say.
    says: [usize; 2],
    /// Octets of either end's receive buffer.
    buffers: [usize; 2],
    mss: u16,
    /// Milliseconds for which either end does not read.
    pauses: [u64; 2],
    recovery: Recovery,
    congestion: Congestion,
}

/// A link on which about a fifth of all packets does not arrive as it was sent.
fn any_link() -> impl Strategy<Value = Link> {
    (
        0u64..200,
        0u32..100,
        0u32..100,
        0u32..50,
        0u32..300,
        0u64..300,
    )
        .prop_map(|(delay, loss, duplicate, corrupt, reorder, late)| Link {
            delay: Duration::from_millis(delay),
            loss,
            duplicate,
            corrupt,
            reorder,
            late: Duration::from_millis(late),
        })
}

/// Often so that the sequence numbers pass 2^32 within the run.
fn any_isn() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (0u32..40_000).prop_map(|before| u32::MAX - before)
    ]
}

fn any_run() -> impl Strategy<Value = Run> {
    let profile = prop::sample::select(vec![Profile::Linux, Profile::Rfc9293]);
    let isns = [any_isn(), any_isn()];
    let says = [0usize..60_000, 0usize..60_000];
    let buffers = [2_000usize..100_000, 2_000usize..100_000];
    let pauses = [0u64..30_000, 0u64..30_000];
    let net = (any::<u64>(), any_link(), any_link());
    let recovery = prop::sample::select(vec![Recovery::NewReno, Recovery::Rfc6675, Recovery::Rack]);
    let congestion = prop::sample::select(vec![
        Congestion::NewReno,
        Congestion::Cubic,
        Congestion::Off,
    ]);
    (
        profile,
        net,
        isns,
        says,
        buffers,
        300u16..1460,
        pauses,
        (recovery, congestion),
    )
        .prop_map(
            |(
                profile,
                (seed, there, back),
                isns,
                says,
                buffers,
                mss,
                pauses,
                (recovery, congestion),
            )| Run {
                profile,
                seed,
                there,
                back,
                isns,
                says,
                buffers,
                mss,
                pauses,
                recovery,
                congestion,
            },
        )
}

impl Run {
    /// The profile, with enough patience for any of these links: no limit on tries may be reached
    /// within 2 MSL, here 60 s.
    fn config(&self, end: usize) -> Config {
        let mut config = self.profile.config();
        config.checksum = ChecksumPolicy::Strict;
        let conn = &mut config.conn;
        conn.msl = Duration::from_secs(30);
        conn.rto = Rto {
            max: Duration::from_secs(2),
            ..conn.rto
        };
        conn.syn_retries = 30;
        conn.synack_retries = 30;
        conn.r2 = 30;
        conn.orphan_retries = 30;
        // The scripts do not wait for ESTABLISHED.
        conn.syn_sent_shutdown = SynSentShutdown::Queue;
        conn.isn = Isn::Fixed(Seq(self.isns[end]));
        conn.receive_buffer = self.buffers[end];
        conn.mss = Some(self.mss);
        conn.recovery = self.recovery;
        conn.congestion = self.congestion;
        config
    }

    fn sim(&self) -> (Sim, HostId, HostId) {
        let mut sim = Sim::new(self.seed);
        let a = sim.add_host(A, self.config(0), self.seed ^ 1, Vec::new());
        let b = sim.add_host(B, self.config(1), self.seed ^ 2, Vec::new());
        sim.link(a, b, self.there);
        sim.link(b, a, self.back);
        (sim, a, b)
    }

    /// What an end has to say.
    fn text(&self, end: usize) -> Vec<u8> {
        noise(self.says[end], end as u8)
    }

    /// Says everything, then that it was everything, and after a pause in which its window may
    /// close hears the other out.
    fn script(&self, end: usize) -> Script {
        let pause = Step::Sleep(Duration::from_millis(self.pauses[end]));
        Script {
            steps: vec![
                Step::Send(self.text(end)),
                Step::Shutdown,
                pause,
                Step::ReceiveToEnd,
                Step::Close,
            ],
        }
    }

    /// Runs until neither end knows of a connection and nothing is on the way, and judges what was
    /// heard.
    fn judge(&self, sim: &mut Sim, ends: [HostId; 2]) -> Result<[ConnId; 2], TestCaseError> {
        let over = |sim: &Sim| {
            ends.iter()
                .all(|end| sim.stack(*end).unwrap().connections().next().is_none())
        };
        if !sim.run_until(over, HOUR) {
            let left: Vec<_> = ends
                .iter()
                .flat_map(|end| {
                    sim.connections(*end)
                        .map(|id| sim.stack(*end).unwrap().status(id))
                })
                .collect();
            return Err(TestCaseError::fail(format!(
                "not CLOSED after {:?}: {left:#?}",
                sim.now()
            )));
        }
        let ids = ends.map(|end| sim.connections(end).collect::<Vec<_>>());
        let ids = [ids[0][0], ids[1][0]];
        for (me, peer) in [(0, 1), (1, 0)] {
            prop_assert!(
                sim.received(ends[me], ids[me]) == self.text(peer),
                "end {} heard something else",
                me
            );
            prop_assert_eq!(sim.closed(ends[me], ids[me]), Some(CloseReason::Clean));
            prop_assert_eq!(sim.failed(ends[me], ids[me]), None);
        }
        // What is still on the way changes nothing, and nothing happens after it.
        prop_assert!(!sim.run_until(|sim| !over(sim), HOUR));
        prop_assert_eq!(sim.deadline(), None);
        Ok(ids)
    }
}

/// Octets of which no piece is like another.
fn noise(len: usize, salt: u8) -> Vec<u8> {
    (0..len as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 ^ salt)
        .collect()
}

fn server() -> SocketAddr {
    SocketAddr::new(B, PORT)
}

/// Client and server; what they saw.
fn client_and_server(run: &Run) -> Result<Vec<Observation>, TestCaseError> {
    Ok(client_and_server_seen(run)?.0)
}

fn client_and_server_seen(run: &Run) -> Result<(Vec<Observation>, [HostId; 2]), TestCaseError> {
    let (mut sim, a, b) = run.sim();
    sim.listen(b, PORT, 5, &run.config(1).conn, run.script(1))
        .unwrap();
    let id = sim.connect(a, 0, server(), &run.config(0).conn).unwrap();
    sim.spawn(a, id, run.script(0));
    run.judge(&mut sim, [a, b])?;
    Ok((sim.trace().to_vec(), [a, b]))
}

/// A link on which up to 30 % are lost, come twice and are overtaken, each.
fn any_bad_link() -> impl Strategy<Value = Link> {
    (1u64..200, 0u32..300, 0u32..300, 0u32..300, 0u64..300).prop_map(
        |(delay, loss, duplicate, reorder, late)| Link {
            loss,
            duplicate,
            reorder,
            late: Duration::from_millis(late),
            ..Link::new(Duration::from_millis(delay))
        },
    )
}

/// How many bytes of text an end has sent, including retransmissions.
fn octets_sent(trace: &[Observation], end: HostId) -> usize {
    let of = |seen: &Observation| {
        let record = seen.of(end)?.segment()?;
        record.out.then_some(record.len as usize)
    };
    trace.iter().filter_map(of).sum()
}

/// Both ends open at the same time, and close as soon as they have said everything.
fn both_open(run: &Run) -> Result<(Sim, [HostId; 2], [ConnId; 2]), TestCaseError> {
    let (mut sim, a, b) = run.sim();
    for (end, host, remote) in [
        (0, a, SocketAddr::new(B, PORT)),
        (1, b, SocketAddr::new(A, PORT)),
    ] {
        let id = sim
            .connect(host, PORT, remote, &run.config(end).conn)
            .unwrap();
        sim.spawn(host, id, run.script(end));
    }
    let ids = run.judge(&mut sim, [a, b])?;
    Ok((sim, [a, b], ids))
}

/// The states of a connection, in order.
fn states(sim: &Sim, end: HostId, id: ConnId) -> Vec<State> {
    let of = |event: &Event| match event.what {
        What::State { to, .. } if event.conn == Some(id) => Some(to),
        _ => None,
    };
    sim.events(end).filter_map(of).collect()
}

/// One thing that an application may do; it need not make sense.
fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..30_000).prop_map(|len| Step::Send(noise(len, len as u8))),
        2 => (0u64..30_000).prop_map(Step::Receive),
        2 => Just(Step::ReceiveToEnd),
        2 => (0u64..20_000).prop_map(|ms| Step::Sleep(Duration::from_millis(ms))),
        1 => Just(Step::StopReading),
        2 => Just(Step::Shutdown),
        2 => Just(Step::Close),
        1 => Just(Step::Abort),
        1 => Just(Step::GoSilent),
    ]
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any_step(), 0..7)
}

const FAULTS: &[&str] = &[
    "drop out syn#1",
    "drop in syn-ack#1",
    "dup=3 out data",
    "delay=2s out data#2",
    "reorder=3 any data#1..4",
    "corrupt=fixed in data#2",
    "rewrite(win=0) in ack#2..5",
    "rate=20% drop any ack",
    "trickle=20ms out data",
    "hold=old out data#1",
    "release=old on established#2",
    "drop out ack-of-fin#1",
];

/// All that a script would say.
fn said(steps: &[Step]) -> Vec<u8> {
    let text = |step: &Step| {
        if let Step::Send(text) = step {
            text.clone()
        } else {
            Vec::new()
        }
    };
    steps.iter().flat_map(text).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn client_and_server_any_link_bytes_intact_and_closed(run in any_run()) {
        client_and_server(&run)?;
    }

    /// Seven of ten copies arrive at worst, and seven of ten ACKs: a few times as much as was said
    /// is what such a link takes. Without congestion control the whole window goes again at each
    /// timeout.
    #[test]
    fn client_and_server_bad_link_sends_no_storm(run in any_run(), there in any_bad_link(), back in any_bad_link()) {
        let run = Run { there, back, ..run };
        let (trace, hosts) = client_and_server_seen(&run)?;
        let most = if run.congestion == Congestion::Off { 20 } else { 5 };
        for (end, host) in hosts.into_iter().enumerate() {
            let said = run.says[end];
            let sent = octets_sent(&trace, host);
            prop_assert!(sent <= most * (said + 3000), "end {}: {} bytes for {}", end, sent, said);
        }
    }

    #[test]
    fn any_scripts_any_link_what_is_heard_was_said_and_the_timers_end(run in any_run(), steps in [any_steps(), any_steps()], both in any::<bool>()) {
        let (mut sim, a, b) = run.sim();
        let script = |end: usize| Script { steps: steps[end].clone() };
        let id = sim.connect(a, PORT, server(), &run.config(0).conn).unwrap();
        sim.spawn(a, id, script(0));
        if both {
            let id = sim.connect(b, PORT, SocketAddr::new(A, PORT), &run.config(1).conn).unwrap();
            sim.spawn(b, id, script(1));
        } else {
            sim.listen(b, PORT, 5, &run.config(1).conn, script(1)).unwrap();
        }
        sim.run_until(|_| false, HOUR);
        for (end, host) in [(0, a), (1, b)] {
            let peer = said(&steps[1 - end]);
            for id in sim.connections(host) {
                prop_assert!(peer.starts_with(sim.received(host, id)), "end {} received data that \
                    its peer did not send", end);
                let status = sim.stack(host).unwrap().status(id);
                let waits = status.as_ref().is_some_and(|status| status.snd_wnd == 0 && status.unacknowledged > 0);
                prop_assert!(waits || status.as_ref().is_none_or(|status| status.deadline.is_none()), "a timer runs: {:#?}", status);
            }
        }
    }

    #[test]
    fn any_rules_removed_any_faults_nothing_panics(
        run in any_run(),
        steps in [any_steps(), any_steps()],
        removed in prop::sample::subsequence(PRESETS.iter().collect::<Vec<_>>(), 0..=4),
        faults in prop::sample::subsequence(FAULTS.to_vec(), 0..=4),
    ) {
        let mut sim = Sim::new(run.seed);
        let hosts = [A, B].map(|address| {
            let end = usize::from(address == B);
            let mut config = run.config(end);
            let mut rules = faults.iter().map(|line| FaultRule::parse(line).unwrap()).collect();
            removed.iter().for_each(|preset| preset.apply(&mut config, &mut rules));
            (sim.add_host(address, config.clone(), run.seed, rules), config.conn)
        });
        let [(a, conn_a), (b, conn_b)] = hosts;
        // Never without any delay: an exchange without end would not let the clock go on.
        sim.link(a, b, Link { delay: run.there.delay + Duration::from_millis(10), ..run.there });
        sim.link(b, a, Link { delay: run.back.delay + Duration::from_millis(10), ..run.back });
        sim.listen(b, PORT, 5, &conn_b, Script { steps: steps[1].clone() }).unwrap();
        for _ in 0..3 {
            if let Ok(id) = sim.connect(a, 40_000, server(), &conn_a) {
                sim.spawn(a, id, Script { steps: steps[0].clone() });
            }
            sim.run_until(|_| false, Duration::from_secs(100));
        }
    }

    #[test]
    fn simultaneous_open_any_link_bytes_intact_and_closed(run in any_run()) {
        both_open(&run)?;
    }
}

/// A run on a good link.
fn plain(profile: Profile) -> Run {
    let link = Link::new(Duration::from_millis(10));
    Run {
        profile,
        seed: 1,
        there: link,
        back: link,
        isns: [u32::MAX - 5, u32::MAX],
        says: [20, 30],
        buffers: [65_535; 2],
        mss: 1460,
        pauses: [0, 0],
        recovery: profile.config().conn.recovery,
        congestion: profile.config().conn.congestion,
    }
}

#[test]
fn same_seed_same_trace_and_another_seed_another() {
    let bad = Link {
        loss: 100,
        duplicate: 50,
        corrupt: 50,
        reorder: 100,
        late: Duration::from_millis(30),
        ..Link::new(Duration::from_millis(10))
    };
    let run = Run {
        there: bad,
        back: bad,
        says: [50_000, 50_000],
        ..plain(Profile::Linux)
    };
    let traced = client_and_server(&run).unwrap();
    assert_eq!(traced, client_and_server(&run).unwrap());
    assert_ne!(traced, client_and_server(&Run { seed: 2, ..run }).unwrap());
}

#[test]
fn simultaneous_open_and_close_on_a_good_link_takes_the_states_of_the_figure() {
    for profile in Profile::ALL {
        let run = Run {
            says: [0, 0],
            ..plain(profile)
        };
        let (sim, ends, ids) = both_open(&run).unwrap();
        for (end, id) in ends.into_iter().zip(ids) {
            let expected = [
                State::SynSent,
                State::SynReceived,
                State::Established,
                State::FinWait1,
                State::Closing,
                State::TimeWait,
                State::Closed,
            ];
            assert_eq!(states(&sim, end, id), expected, "{}", profile.name());
        }
    }
}

#[test]
fn bulk_over_a_good_link_sends_nothing_twice() {
    for profile in Profile::ALL {
        let run = Run {
            says: [200_000, 0],
            ..plain(profile)
        };
        let trace = client_and_server(&run).unwrap();
        let again = trace.iter().filter_map(Observation::segment);
        let again =
            again.filter(|(_, segment)| segment.record.out && segment.record.retransmission > 0);
        assert_eq!(again.count(), 0, "{}", profile.name());
    }
}

#[test]
fn slow_reader_closes_the_window_and_probes_find_it_open() {
    for profile in Profile::ALL {
        let run = Run {
            says: [100_000, 0],
            buffers: [65_535, 4_000],
            pauses: [0, 20_000],
            ..plain(profile)
        };
        let trace = client_and_server(&run).unwrap();
        let segments = trace.iter().filter_map(Observation::segment);
        let labels = segments.filter_map(|(_, segment)| segment.record.label);
        let probes = labels.filter(|label| label.cause == Cause::Probe);
        assert!(probes.count() > 3, "{}", profile.name());
    }
}

/// The second connection of two, with Fast Open, over the same bad links; how many SYNs were
/// served before their third ACK.
fn with_fast_open(run: &Run) -> Result<u64, TestCaseError> {
    let config = |end| {
        let mut config = run.config(end);
        config.conn.fast_open = true;
        config.conn.fast_open_refused = FastOpenRefused::AskAgain;
        config
    };
    let mut sim = Sim::new(run.seed);
    let a = sim.add_host(A, config(0), run.seed ^ 1, Vec::new());
    let b = sim.add_host(B, config(1), run.seed ^ 2, Vec::new());
    sim.link(a, b, run.there);
    sim.link(b, a, run.back);
    let script = |text: &str, end: usize| {
        let mut script: Script = text.parse().unwrap();
        for step in &mut script.steps {
            if let Step::Send(said) = step {
                *said = run.text(end);
            }
        }
        script
    };
    let asks = "connect from 4000; shutdown; receive to end; close; \
                connect from 4001; send 1; shutdown; receive to end; close";
    let answers = "listen 7000; accept; receive to end; close; \
                   accept; send 1; shutdown; receive to end; close";
    let addresses = |peer| Addresses { port: 0, peer };
    sim.play(b, script(answers, 1), addresses(None));
    sim.play(a, script(asks, 0), addresses(Some(server())));
    prop_assert!(sim.run_until(Sim::is_over, HOUR), "a script does not end");
    let opened = |host: HostId, port: u16| {
        sim.events(host).find_map(|event| match event.what {
            What::Opened { local, remote, .. } if [local.port(), remote.port()].contains(&port) => {
                event.conn
            }
            _ => None,
        })
    };
    let ends = [a, b];
    for (me, peer) in [(0, 1), (1, 0)] {
        let id = opened(ends[me], 4001).unwrap();
        prop_assert_eq!(sim.failed(ends[me], id), None);
        prop_assert!(
            sim.received(ends[me], id) == run.text(peer),
            "end {} heard something else",
            me
        );
    }
    Ok(sim.stack(b).unwrap().counters().fast_opens)
}

/// Whatever becomes of the SYN, of its text and of the SYN,ACK: text that went with a SYN is
/// delivered once.
#[test]
fn fast_open_over_any_link_each_stream_arrives_once() {
    let served = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(60));
    let runs = any_run().prop_filter("something to say", |run| run.says[0] > 0);
    runner
        .run(&runs, |run| {
            served.set(served.get() + with_fast_open(&run)?);
            Ok(())
        })
        .unwrap();
    assert!(served.get() > 10, "only {} were served early", served.get());
}
