//! One host behind its own device, and many cases played to it at a time, each on its own port and
//! with its own peer.

use super::case::{Call, Case, Step};
use super::info::Info;
use super::peer::{Peer, Reply};
use crate::tun::{HOST, Tun};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::wire::{Flags, Header, Options};

/// The host's ports: one for each case that is played at a time, and the last for nobody.
pub const PORTS: RangeInclusive<u16> = 7000..=7256;
/// Cases played at a time at most.
pub const SLOTS: usize = 256;
/// The port where nothing listens.
const NOBODY: u16 = *PORTS.end();
/// The longest that a host may take to answer a segment to a closed port.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the players of both hosts can do.
pub trait Host: fmt::Debug {
    /// Listens, unless the case connects.
    ///
    /// # Errors
    /// Those of the calls.
    fn open(&mut self, case: &Case, local: SocketAddr) -> io::Result<()>;
    /// Makes a call.
    fn call(&mut self, case: &Case, ends: (SocketAddr, SocketAddr), call: Call) -> Outcome;
    /// What there is, by local port and peer.
    ///
    /// # Errors
    /// The host does not answer.
    fn sights(&mut self) -> io::Result<HashMap<(u16, SocketAddr), Sight>>;
    /// Forgets everything.
    ///
    /// # Errors
    /// Those of the calls.
    fn clear(&mut self) -> io::Result<()>;
}

/// What a host says about a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sight {
    /// The state.
    pub state: State,
    /// The state of recovery, where an application has the connection.
    pub info: Option<Info>,
}

/// What a call returned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// There was no connection to call.
    Nothing,
    /// Done.
    Done,
    /// So many bytes were taken.
    Wrote(usize),
    /// These bytes came, and then this.
    Read(Vec<u8>, End),
    /// An error.
    Refused(io::ErrorKind),
}

/// What followed the bytes that were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// As many were read as were asked for.
    Enough,
    /// Nothing yet.
    Open,
    /// The end of the stream.
    Fin,
    /// An error.
    Error(io::ErrorKind),
}

impl Outcome {
    /// Reads at most so many bytes (0: all) by calls of this kind.
    pub fn read(most: usize, mut call: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Outcome {
        let mut all = Vec::new();
        let mut buffer = vec![0; if most == 0 { 1 << 16 } else { most }];
        let end = loop {
            match call(&mut buffer) {
                Ok(0) => break End::Fin,
                Ok(count) => all.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break End::Open,
                Err(error) => break End::Error(error.kind()),
            }
            if most > 0 {
                break End::Enough;
            }
        };
        Outcome::Read(all, end)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Nothing => f.write_str("no connection"),
            Outcome::Done => f.write_str("done"),
            Outcome::Wrote(bytes) => write!(f, "wrote {bytes}"),
            Outcome::Read(bytes, end) => {
                write!(f, "read {} {:?}", bytes.len(), end)?;
                if (1..=24).contains(&bytes.len()) {
                    write!(f, " {}", String::from_utf8_lossy(bytes))?;
                }
                Ok(())
            }
            Outcome::Refused(kind) => write!(f, "{kind:?}"),
        }
    }
}

/// Bytes to write at this place of the stream: they repeat with a period that divides no segment
/// size.
pub fn written(from: usize, bytes: usize) -> Vec<u8> {
    (from..from + bytes).map(|nth| (nth % 251) as u8).collect()
}

/// What followed a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Followed {
    /// What the call returned.
    pub outcome: Option<Outcome>,
    /// What the host sent.
    pub replies: Vec<Reply>,
    /// The state after it.
    pub state: State,
    /// The state of recovery after it, where an application has the connection.
    pub info: Option<Info>,
}

/// A run of a case: what followed each of its steps, and, where that was waited for, what came
/// afterwards.
pub type Run = Vec<Followed>;

/// How fast the steps come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// One after the other, before any timer expires.
    Fast,
    /// So far apart, and after the last one this much time for what the host does by itself.
    Slow(Duration, Duration),
}

/// A host behind its device.
#[derive(Debug)]
pub struct Side<H> {
    host: H,
    tun: Tun,
    packet: Box<[u8; 1 << 16]>,
    /// The peers of the cases that are played now, by slot.
    peers: Vec<Peer>,
    slots: HashMap<(u16, SocketAddr), usize>,
    runs: Vec<Run>,
    rounds: u32,
    /// When the last step began.
    began: Instant,
    /// The host has answered the segment that ends a step.
    passed: bool,
}

impl<H: Host> Side<H> {
    /// A host, and the device that it is behind.
    pub fn new(host: H, tun: Tun) -> Side<H> {
        Side {
            host,
            tun,
            packet: Box::new([0; 1 << 16]),
            peers: Vec::new(),
            slots: HashMap::new(),
            runs: Vec::new(),
            rounds: 0,
            began: Instant::now(),
            passed: false,
        }
    }

    /// Plays at most [`SLOTS`] cases at the same time, each step as soon as the one before is
    /// done.
    ///
    /// # Errors
    /// The device or the host fails.
    pub fn play(&mut self, cases: &[Case]) -> io::Result<Vec<Run>> {
        self.begin(cases)?;
        for step in 0..steps(cases) {
            self.act(cases, step)?;
            self.barrier(cases)?;
            self.see(cases, step + 1)?;
        }
        self.end(cases)
    }

    fn begin(&mut self, cases: &[Case]) -> io::Result<()> {
        self.rounds += 1;
        let round = self.rounds;
        self.peers = (PORTS.zip(cases))
            .map(|(port, _)| {
                let network =
                    Ipv4Addr::new(10, 78, 1 + (round % 250) as u8, 1 + (port % 200) as u8);
                let from = 1024 + (round / 250 * 17 + u32::from(port)) % 60_000;
                Peer::new(
                    SocketAddr::from((HOST, port)),
                    SocketAddr::from((network, from as u16)),
                )
            })
            .collect();
        self.slots = (0..)
            .zip(&self.peers)
            .map(|(slot, peer)| ((peer.local().port(), peer.remote()), slot))
            .collect();
        self.runs = vec![Vec::new(); cases.len()];
        for (peer, case) in self.peers.iter().zip(cases) {
            self.host.open(case, peer.local())?;
        }
        Ok(())
    }

    /// One step of each case.
    fn act(&mut self, cases: &[Case], step: usize) -> io::Result<()> {
        self.began = Instant::now();
        for (slot, case) in cases.iter().enumerate() {
            let Some(what) = case.steps.get(step) else {
                continue;
            };
            self.runs[slot].push(Followed {
                outcome: None,
                replies: Vec::new(),
                state: State::Closed,
                info: None,
            });
            match what {
                Step::Arrive(arrival) => {
                    let (header, options, text) = self.peers[slot].build(case, step, arrival);
                    self.tun.send(&header, &text, Some(&options))?;
                }
                Step::Call(call) => {
                    let peer = &self.peers[slot];
                    let ends = (peer.local(), peer.remote());
                    let outcome = self.host.call(case, ends, *call);
                    if let Some(followed) = self.runs[slot].last_mut() {
                        followed.outcome = Some(outcome);
                    }
                }
            }
        }
        Ok(())
    }

    /// Hears everything that the host does because of what came before: it answers a segment to a
    /// closed port after that.
    fn barrier(&mut self, cases: &[Case]) -> io::Result<()> {
        let probe = Header {
            source: SocketAddr::from(([10, 78, 0, 2], 9)),
            destination: SocketAddr::from((HOST, NOBODY)),
            seq: Seq(1),
            ack: Seq(1),
            flags: Flags::ACK,
            window: 0,
            urgent: 0,
            options: Options::default(),
            ttl: 64,
            tos: 0,
            id: 0,
        };
        self.passed = false;
        self.tun.send(&probe, &[], None)?;
        let deadline = Instant::now() + PATIENCE;
        self.hear(cases)?;
        while !self.passed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::other("the host does not answer"));
            }
            self.tun.wait(left)?;
            self.hear(cases)?;
        }
        Ok(())
    }

    /// Takes what the host has sent so far.
    fn hear(&mut self, cases: &[Case]) -> io::Result<()> {
        while let Some((segment, packet)) = self.tun.receive(&mut self.packet)? {
            let after = self.began.elapsed();
            let (from, to) = (segment.header.source, segment.header.destination);
            if from.port() == NOBODY {
                self.passed = true;
                continue;
            }
            let Some(&slot) = self.slots.get(&(from.port(), to)) else {
                continue;
            };
            let reply = self.peers[slot].hear(cases[slot].offers, &segment, packet, after);
            if let Some(followed) = self.runs[slot].last_mut() {
                followed.replies.push(reply);
            }
        }
        Ok(())
    }

    /// The states after so many steps.
    fn see(&mut self, cases: &[Case], steps: usize) -> io::Result<()> {
        let sights = self.host.sights()?;
        // A host may answer the segment to the closed port before it sends the rest, but it does
        // nothing else before it has.
        self.hear(cases)?;
        for ((peer, run), case) in self.peers.iter().zip(&mut self.runs).zip(cases) {
            let sight = sights.get(&(peer.local().port(), peer.remote()));
            // What follows the last step of a shorter case counts as well.
            if let Some(last) = run.last_mut().filter(|_| case.steps.len() >= steps) {
                last.state = sight.map_or(State::Closed, |sight| sight.state);
                last.info = sight.and_then(|sight| sight.info.clone());
            }
        }
        Ok(())
    }

    /// Forgets the cases, and says what came of them.
    fn end(&mut self, cases: &[Case]) -> io::Result<Vec<Run>> {
        // What follows from this is not part of the run.
        self.slots.clear();
        self.host.clear()?;
        self.barrier(cases)?;
        Ok(std::mem::take(&mut self.runs))
    }
}

/// Plays the same cases to both hosts at the same time, the steps so far apart; after the last one
/// there is this much time for what a host does by itself.
///
/// # Errors
/// A device or a host fails.
pub fn play_slowly<A: Host, B: Host>(
    (one, other): (&mut Side<A>, &mut Side<B>),
    cases: &[Case],
    (apart, rest): (Duration, Duration),
) -> io::Result<(Vec<Run>, Vec<Run>)> {
    one.begin(cases)?;
    other.begin(cases)?;
    let last = steps(cases);
    let mut at = Instant::now();
    for step in 0..last {
        one.act(cases, step)?;
        other.act(cases, step)?;
        at = at.max(Instant::now()) + if step + 1 == last { rest } else { apart };
        while let Some(left) = at.checked_duration_since(Instant::now()) {
            wait_for_either(&one.tun, &other.tun, left)?;
            one.hear(cases)?;
            other.hear(cases)?;
        }
        one.see(cases, step + 1)?;
        other.see(cases, step + 1)?;
    }
    Ok((one.end(cases)?, other.end(cases)?))
}

fn steps(cases: &[Case]) -> usize {
    cases.iter().map(|case| case.steps.len()).max().unwrap_or(0)
}

fn wait_for_either(one: &Tun, other: &Tun, patience: Duration) -> io::Result<()> {
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    let mut devices = [one, other].map(|tun| PollFd::new(tun, PollFlags::IN));
    match poll(&mut devices, Some(&patience)) {
        Err(rustix::io::Errno::INTR) => Ok(()),
        ready => Ok(ready.map(drop)?),
    }
}
