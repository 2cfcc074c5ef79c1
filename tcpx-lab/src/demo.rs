//! Three short runs of the built pair that show what two rules of TCP are for: nothing removed, no third ACK, no TIME-WAIT.

use crate::doctor::sibling;
use crate::events::Log;
use crate::exchange::{End, Exchange, pair};
use crate::netns::{self, Cable, Namespace};
use crate::picture::{Format, draw};
use crate::privilege;
use crate::simulated::{self, Departure, Host};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The two ends, with the initial sequence numbers of RFC 9293's own figures.
const CLIENT: Host = Host { address: IpAddr::V4(netns::A), port: 40_000, isn: 100 };
const SERVER: Host = Host { address: IpAddr::V4(netns::B), port: 7000, isn: 300 };

/// One run.
struct Scene {
    title: &'static str,
    /// What the client is told beyond what all scenes have.
    client: &'static [&'static str],
    /// What the server is told.
    server: &'static [&'static str],
    /// The same for the simulation.
    departure: Departure,
    /// What was seen, in numbers of this run, and what it means.
    told: fn(&Exchange) -> String,
}

const SCENES: [Scene; 3] = [
    Scene {
        title: "All rules in place",
        client: &[],
        server: &["--once"],
        departure: Departure { without: None, hold: None, count: 1 },
        told: tell_normal,
    },
    Scene {
        title: "Without the third ACK, for 8 s",
        client: &["--no-third-ack", "--hold", "8s"],
        server: &["--once"],
        departure: Departure { without: Some("third-ack"), hold: Some(Duration::from_secs(8)), count: 1 },
        told: tell_third_ack,
    },
    Scene {
        title: "Without TIME-WAIT, twice on the same ports",
        client: &["--skip-time-wait", "--bind", "10.77.0.1:40000", "--count", "2"],
        server: &[],
        departure: Departure { without: Some("time-wait"), hold: None, count: 2 },
        told: tell_time_wait,
    },
];

/// Runs the scenes in two namespaces, or says why it cannot and runs them in the simulation. It must be called before the process has
/// a second thread.
///
/// # Errors
/// The binaries are not built, or a run did not end as it should.
pub fn run(out: &mut impl Write) -> Result<()> {
    let refused = privilege::acquire().err();
    if let Some(refusal) = &refused {
        writeln!(out, "No network namespaces here: {refusal}.\nSo what follows is the simulation: the same engine, on a virtual clock.")?;
    }
    let wire = if refused.is_none() { Some(netns::pair(Cable::default()).context("no pair of namespaces")?) } else { None };
    for (number, scene) in (1..).zip(&SCENES) {
        writeln!(out, "\n{number}. {}\n", scene.title)?;
        let (client, server) = match &wire {
            Some((a, b)) => {
                writeln!(
                    out,
                    "   tcpx-server {}\n   tcpx-client {}\n",
                    server_arguments(scene).join(" "),
                    client_arguments(scene).join(" ")
                )?;
                play(scene, a, b).with_context(|| format!("scene {number} failed"))?
            }
            None => simulated::play(&CLIENT, &SERVER, &scene.departure)?,
        };
        for exchange in pair(&client, &server) {
            writeln!(out, "{}\n{}", draw(&exchange, Format::Figure), (scene.told)(&exchange))?;
        }
    }
    Ok(())
}

fn server_arguments(scene: &Scene) -> Vec<String> {
    let common = [format!("{}:{}", SERVER.address, SERVER.port), "--isn".to_owned(), SERVER.isn.to_string()];
    common.into_iter().chain(scene.server.iter().map(|word| (*word).to_owned())).collect()
}

fn client_arguments(scene: &Scene) -> Vec<String> {
    let talk = ["--send", "hello", "--msl", "1s"].map(str::to_owned);
    let common = [format!("{}:{}", SERVER.address, SERVER.port), "--isn".to_owned(), CLIENT.isn.to_string()];
    common.into_iter().chain(talk).chain(scene.client.iter().map(|word| (*word).to_owned())).collect()
}

/// Runs server and client, and reads what both recorded.
fn play(scene: &Scene, a: &Namespace, b: &Namespace) -> Result<(Log, Log)> {
    let mut server = Process::start("tcpx-server", b, &server_arguments(scene))?;
    server.wait_until_ready()?;
    let client = Process::start("tcpx-client", a, &client_arguments(scene))?.finish(false)?;
    // A server that serves on is told to end, which is clean for it.
    let server = server.finish(!scene.server.contains(&"--once"))?;
    Ok((client, server))
}

/// One of the binaries at work. It is killed when dropped before its end.
struct Process {
    name: &'static str,
    child: Child,
    events: Option<JoinHandle<std::io::Result<String>>>,
    said: BufReader<std::process::ChildStderr>,
}

impl Process {
    /// Starts it inside a namespace; its events come through a pipe, so that no file is left behind.
    fn start(name: &'static str, inside: &Namespace, arguments: &[String]) -> Result<Process> {
        let program = sibling(name).with_context(|| format!("{name} is not built: cargo build --workspace --bins"))?;
        let mut command = Command::new(program);
        command.args(arguments).args(["--events", "-"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = inside.command(&mut command)?.spawn().with_context(|| format!("cannot start {name}"))?;
        let (stdout, stderr) = (child.stdout.take().context("no stdout")?, child.stderr.take().context("no stderr")?);
        let events = thread::spawn(move || std::io::read_to_string(stdout));
        Ok(Process { name, child, events: Some(events), said: BufReader::new(stderr) })
    }

    /// Waits for the line on stderr that says that segments are answered from now on.
    fn wait_until_ready(&mut self) -> Result<()> {
        let mut heard = String::new();
        while self.said.read_line(&mut heard)? > 0 {
            if heard.contains("listening") {
                return Ok(());
            }
        }
        bail!("{} ended before it listened: {heard}", self.name)
    }

    /// Waits for its end, or asks for it, and reads its record.
    fn finish(mut self, ask: bool) -> Result<Log> {
        if ask {
            let pid = rustix::process::Pid::from_child(&self.child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let mut said = String::new();
        self.said.read_to_string(&mut said)?;
        let status: ExitStatus = self.child.wait()?;
        if !ask && !status.success() {
            bail!("{} ended with {status}: {said}", self.name);
        }
        let events = self.events.take().and_then(|reader| reader.join().ok()).context("its events were not read")??;
        Log::parse(&events)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// How long an end stayed in a state: from entering it to the next one, seconds.
fn stay(exchange: &Exchange, end: End, state: &str) -> Option<f64> {
    let mut steps = exchange.steps.iter().filter(|step| step.end == end && step.on.is_some());
    let entered = steps.by_ref().find(|step| step.state == state)?.at;
    Some(steps.next()?.at - entered)
}

fn tell_normal(exchange: &Exchange) -> String {
    let wait = stay(exchange, End::A, "TIME-WAIT").map_or("for ever".to_owned(), |wait| format!("for {wait:.3} s"));
    format!(
        "Seen: three segments open the connection (RFC 9293 Figure 6), and each direction is closed by its own FIN (Figure 12). The client
closed first, so it alone is in TIME-WAIT, {wait}: 2 MSL with --msl 1s. The server is CLOSED as soon as its FIN is acknowledged.
Meant: the server may start anew at once; the client remembers, should its last ACK be lost or an old segment turn up late."
    )
}

fn tell_third_ack(exchange: &Exchange) -> String {
    let sent = |flags: &str| {
        let flights = exchange.flights.iter().filter(move |flight| flight.from == End::B && flight.segment.flags == flags);
        flights.filter_map(|flight| exchange.steps.get(flight.sent?)).map(|step| step.at).collect::<Vec<_>>()
    };
    let times = sent("SA");
    let first = times.first().copied().unwrap_or_default();
    let times: Vec<String> = times.iter().map(|at| format!("{:.1}", at - first)).collect();
    let half_open = stay(exchange, End::B, "SYN-RECEIVED").map_or("to the end".to_owned(), |stay| format!("for {stay:.1} s"));
    format!(
        "Seen: the client is ESTABLISHED at once; the server stays in SYN-RECEIVED {half_open}, and sends its SYN,ACK after
{} s: each wait is twice the one before (RFC 6298). The client answers each, and its gate stops the answer. When the
rule came back, the next segment brought the acknowledgment along, and the rest is as above.
Meant: the third ACK tells the server that its own SYN arrived. Without it the two ends do not agree whether they are connected, and
each half-open connection holds a place in the server's backlog: many of them are a SYN flood.",
        times.join(", ")
    )
}

fn tell_time_wait(exchange: &Exchange) -> String {
    let ours: Vec<_> = exchange.steps.iter().filter(|step| step.end == End::A && step.on.is_some()).collect();
    let closed = ours.iter().position(|step| step.state == "CLOSED");
    let again = closed.and_then(|index| Some(ours.get(index + 1)?.at - ours.get(index)?.at));
    let again = again.map_or("never".to_owned(), |pause| format!("{:.1} ms later", pause * 1000.0));
    format!(
        "Seen: the client is CLOSED the moment it acknowledged the server's FIN, and the same two ports connect again {again}.
Meant: nobody is left to answer if that last ACK was lost (the server would repeat its FIN to a stranger, and get a RST), and nothing
keeps a segment of the first connection that comes late from being taken for one of the second."
    )
}
