//! What a run costs grows as it does: of four times as many segments each part makes about four
//! times the work, and not sixteen.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use rustix::time::{ClockId, clock_gettime};
use std::net::{Ipv4Addr, SocketAddr};
use tcpx::netns::{A, B};
use tcpx_experiment::draw::{Format, drawn};
use tcpx_experiment::experiment::{Experiment, Plan, Scale};
use tcpx_experiment::prediction;
use tcpx_experiment::trace::{Body, Direction, Log, Role, Segment};
use tcpx_experiment::verdict::judge;
use tcpx_experiment::world::{Outcome, sim};
use tcpx_lab::linux::capture::Packet;
use tcpx_lab::linux::check::{Allowance, check};
use tcpx_lab::linux::log::log;
use tcpx_lab::linux::sockets::Seen;
use tcpx_proto::wire::{Header, Options};

/// Text, the loss of a part of it, injected segments that nobody uses, and many connections.
const BULK: &str = r#"
name = "bulk"
title = "-"
question = "-"
story = "-"
group = "data"
profile = "linux"
textbook = "-"
rfc = "-"
linux = "-"
patience = "10s"
limit = "20m"
budget = "1000000"
[kernel]
end = "b"
[a]
script = "CLIENT"
options = "--isn 100 --msl 100ms --mss 536"
[b]
script = "listen; SERVER"
options = "--isn 300 --msl 100ms --mss 536"
[[inject]]
to = "b"
on = "b CLOSE-WAIT"
flags = "A"
seq = 1
count = 50
[[arm]]
name = "without"
treatment = true
says = "-"
holds = ["octets"]
[[arm]]
name = "with"
says = "-"
holds = ["octets", "agreement", "progress", "connect", "clean-close", "time-wait", "economy"]
ladder = ["a ESTABLISHED", "a FIN-WAIT-1", "b CLOSE-WAIT", "b -> FIN,ACK", "a TIME-WAIT", "a closed clean"]
"#;

/// Linear is 4, quadratic 16.
const MOST: f64 = 8.0;

/// A run of so many connections in a row with so many bytes each.
fn run(connections: usize, bytes: usize) -> (Plan, Outcome) {
    let client = format!("connect; send {bytes}; shutdown; receive to end; close; expect closed; ")
        .repeat(connections);
    let server = "accept; receive to end; close; expect closed; ".repeat(connections);
    let source = BULK
        .replace("CLIENT", client.trim_end_matches("; "))
        .replace("SERVER", server.trim_end_matches("; "));
    let experiment =
        Experiment::parse("bulk.toml", &source).unwrap_or_else(|mistake| panic!("{mistake}"));
    let plan = experiment
        .checked_plan(&experiment.arms[1], Scale::Wire)
        .unwrap();
    let outcome = sim::run(&plan, 1, false).unwrap();
    (plan, outcome)
}

/// About 600 segments, and four times as many.
fn runs() -> [(Plan, Outcome); 2] {
    [run(1, 220_000), run(1, 880_000)]
}

/// The processor's seconds for it: what other processes do does not count.
fn cost(mut work: impl FnMut()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let once = |_| {
        let before = now();
        work();
        now() - before
    };
    (0..3).map(once).fold(f64::INFINITY, f64::min)
}

/// Four times the segments cost at the most so much more. What is too quick to be measured costs
/// nothing.
fn grow_as_they_do(costs: &[(&str, f64, f64)]) {
    let tell = |(what, few, many): &(&str, f64, f64)| {
        format!("{what}: {few:.4} s of the processor, and of four times the segments {many:.4} s")
    };
    let grows = |(_, few, many): &&(&str, f64, f64)| *many > few.max(0.002) * MOST;
    let wrong: Vec<String> = costs.iter().filter(grows).map(tell).collect();
    assert!(wrong.is_empty(), "{}\nof {:#?}", wrong.join("\n"), costs);
}

/// What a capture of an end would have shown.
fn captured(log: &Log, own: SocketAddr, peer: SocketAddr) -> Vec<Packet> {
    let packet = |at: f64, segment: &Segment| {
        let outgoing = segment.dir == Direction::Out;
        let (source, destination) = if outgoing { (own, peer) } else { (peer, own) };
        let header = Header {
            source,
            destination,
            seq: segment.seq,
            ack: segment.ack,
            flags: segment.flags,
            window: 1000,
            urgent: 0,
            options: Options::default(),
            ttl: 64,
            tos: 0,
            id: segment.id,
        };
        let mut bytes = vec![0; 1500];
        let text = vec![0; segment.len as usize];
        let length = header.emit((&text, &[]), &mut bytes).unwrap();
        bytes.truncate(length);
        Packet {
            at: at + log.monotonic,
            outgoing,
            bytes,
        }
    };
    let seen = log.entries.iter().filter_map(|entry| match &entry.body {
        Body::Segment(segment) => Some(packet(entry.t, segment)),
        _ => None,
    });
    seen.collect()
}

/// What is done with a run, and what it costs of either.
fn parts(few: &(Plan, Outcome), many: &(Plan, Outcome)) -> [(&'static str, f64, f64); 7] {
    type Work = fn(&(Plan, Outcome));
    let parts: [(&str, Work); 7] = [
        ("simulated", |(plan, _)| {
            drop(sim::run(plan, 1, false).unwrap())
        }),
        ("judged", |(plan, outcome)| {
            assert_eq!(judge(plan, outcome, 1.0).1, [""; 0])
        }),
        ("compared", |(plan, outcome)| {
            assert_eq!(prediction::difference(plan, outcome, outcome), None)
        }),
        ("drawn as text", |(_, outcome)| {
            drop(drawn(outcome, Format::Text))
        }),
        ("drawn as a figure", |(_, outcome)| {
            drop(drawn(outcome, Format::Figure))
        }),
        ("drawn as SVG", |(_, outcome)| {
            drop(drawn(outcome, Format::Svg))
        }),
        ("drawn as Mermaid", |(_, outcome)| {
            drop(drawn(outcome, Format::Mermaid))
        }),
    ];
    parts.map(|(what, work)| (what, cost(|| work(few)), cost(|| work(many))))
}

#[test]
fn run_judged_drawn_and_compared_costs_as_much_as_it_is_long() {
    let [few, many] = runs();
    let segments = |outcome: &Outcome| {
        outcome.logs[0]
            .entries
            .iter()
            .filter(|entry| matches!(entry.body, Body::Segment(_)))
            .count()
    };
    let times = segments(&many.1) as f64 / segments(&few.1) as f64;
    assert!(
        segments(&few.1) > 500 && (3.5..4.5).contains(&times),
        "{} and {}",
        segments(&few.1),
        segments(&many.1)
    );
    grow_as_they_do(&parts(&few, &many));
}

#[test]
fn connections_judged_drawn_and_compared_cost_as_much_as_there_are() {
    let [few, many] = [run(50, 1), run(200, 1)];
    grow_as_they_do(&parts(&few, &many));
}

#[test]
fn record_held_against_a_capture_costs_as_much_as_it_is_long() {
    let ends =
        [(A, 40_000), (B, 7000)].map(|(ip, port): (Ipv4Addr, u16)| SocketAddr::from((ip, port)));
    let costs = runs().map(|(_, outcome)| {
        let captures = [0, 1].map(|end| captured(&outcome.logs[end], ends[end], ends[1 - end]));
        let allowance = Allowance {
            kept: true,
            ..Allowance::default()
        };
        let checked =
            cost(|| assert_eq!(check(&outcome.logs[0], &captures[0], A, &allowance), Ok(())));
        let told = cost(|| {
            drop(log(
                &captures[1],
                &Seen::default(),
                Vec::new(),
                B,
                Role::Server,
                0.0,
            ))
        });
        [checked, told]
    });
    let [few, many] = costs;
    grow_as_they_do(&[
        ("checked", few[0], many[0]),
        ("told of the kernel", few[1], many[1]),
    ]);
}
