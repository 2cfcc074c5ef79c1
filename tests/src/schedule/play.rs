//! One run: the steps of a case, by the host's application and its peer.

use super::cases::{Case, Measure, Step};
use super::end::{Conn, End, Listening};
use super::wire::{Habits, Heard, Peer, Wire};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tcpx::clock;
use tcpx_proto::seq::Seq;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{Flags, Header};

/// How long a host in this process may take for a segment.
const SETTLE: Duration = Duration::from_millis(2);

/// Something that the host did, and when.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) what: String,
    pub(super) at: Instant,
    /// Since what the case says.
    pub(super) after: Duration,
}

/// What a host gets: a call of its application, or a segment.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Connect,
    Listen,
    Write(usize),
    Read,
    Shutdown,
    Close,
    /// The schedule begins.
    Mark,
    Segment {
        header: Header,
        /// What it acknowledges, from the host's ISS on.
        ack: i64,
        /// Bytes of text.
        len: usize,
        /// What acknowledges it.
        end: Seq,
    },
}

/// What a run gave.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub(super) peer: SocketAddr,
    pub(super) inputs: Vec<(Instant, Input)>,
    pub(super) moments: Vec<Moment>,
    /// When the host sent each of its segments, or failed.
    pub(super) times: Vec<Instant>,
    pub(super) end: Instant,
}

impl Played {
    /// When the schedule began.
    pub(super) fn marked(&self) -> Option<Instant> {
        let mark = |(at, input): &(Instant, Input)| matches!(input, Input::Mark).then_some(*at);
        self.inputs.iter().find_map(mark)
    }
}

/// Takes down what a host does.
#[derive(Debug)]
pub(super) struct Teller {
    measure: Measure,
    marked: Option<Instant>,
    /// What the times count from.
    base: Option<Instant>,
    /// What the peer sent since the mark: when, and what acknowledges it.
    said: VecDeque<(Instant, Seq)>,
    failed: Option<Instant>,
    moments: Vec<Moment>,
}

impl Teller {
    pub(super) fn new(case: &Case) -> Teller {
        Teller {
            measure: case.measure,
            marked: None,
            base: None,
            said: VecDeque::new(),
            failed: None,
            moments: Vec::new(),
        }
    }

    pub(super) fn mark(&mut self, at: Instant) {
        self.marked = Some(at);
        self.base = (self.measure == Measure::SinceMark).then_some(at);
    }

    /// The peer said something that `end` acknowledges, if it `uses` sequence space.
    pub(super) fn said(&mut self, at: Instant, end: Seq, uses: bool) {
        if self.marked.is_some() && uses {
            self.said.push_back((at, end));
        }
    }

    /// The connection has failed.
    pub(super) fn failed(&mut self, at: Instant) {
        self.failed.get_or_insert(at);
    }

    /// The host, whose ISS is `first`, has sent this.
    pub(super) fn heard(&mut self, heard: &Heard, first: Option<Seq>) {
        if self.marked.is_none_or(|mark| heard.at < mark) {
            return;
        }
        if self.measure != Measure::Acks {
            return self.push(describe(heard, first.unwrap_or_default()), heard.at);
        }
        let with = if heard.len > 0 { "+" } else { "" };
        while let Some((at, _)) = self.said.pop_front_if(|(_, end)| heard.header.ack.ge(*end)) {
            self.moments.push(Moment {
                what: format!("ack{with}"),
                at: heard.at,
                after: heard.at.since(at),
            });
        }
    }

    fn push(&mut self, what: String, at: Instant) {
        let base = *self.base.get_or_insert(at);
        let after = at.since(base);
        self.moments.push(Moment { what, at, after });
    }

    pub(super) fn moments(mut self) -> Vec<Moment> {
        if let Some(at) = self.failed {
            self.push("fails".into(), at);
        }
        self.moments
    }
}

fn describe(heard: &Heard, first: Seq) -> String {
    let header = &heard.header;
    let flags = header
        .flags
        .difference(Flags::PSH | Flags::ECE | Flags::CWR);
    let from = header.seq.since(first) as i32;
    match (
        heard.len,
        flags.contains(Flags::SYN) || flags.contains(Flags::RST),
    ) {
        (_, true) => flags.to_string(),
        (0, _) => format!("{flags} {from}"),
        (len, _) => format!("{flags} {from}+{len}"),
    }
}

pub(super) async fn until(at: Instant) {
    tokio::time::sleep(at.since(clock::now())).await;
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) async fn play(wire: &Rc<Wire>, end: &End, case: &Case) -> io::Result<Played> {
    let setup = &case.setup;
    let habits = Habits {
        stamps: setup.stamps,
        sack: setup.sack,
        window: setup.window,
    };
    let mut run = Run {
        end,
        case,
        peer: Peer::new(wire, habits),
        conn: None,
        last: clock::now(),
        inputs: Vec::new(),
        teller: Teller::new(case),
        times: Vec::new(),
    };
    for step in &case.steps {
        run.step(step).await?;
    }
    Ok(Played {
        peer: run.peer.address,
        inputs: run.inputs,
        moments: run.teller.moments(),
        times: run.times,
        end: clock::now(),
    })
}

struct Run<'a> {
    end: &'a End,
    case: &'a Case,
    peer: Peer,
    conn: Option<Conn>,
    /// When the host, or its peer, last said something that uses sequence space.
    last: Instant,
    inputs: Vec<(Instant, Input)>,
    teller: Teller,
    times: Vec<Instant>,
}

impl Run<'_> {
    async fn step(&mut self, step: &Step) -> io::Result<()> {
        match *step {
            Step::Open => self.open().await,
            Step::Call => self.begin(),
            Step::Exchange(trips) => {
                for trip in trips {
                    self.call(Input::Write(10))?.write(10).await?;
                    self.hear_text().await?;
                    self.acknowledge(*trip).await?;
                }
                Ok(())
            }
            Step::Write(len) => self.call(Input::Write(len))?.write(len).await,
            Step::Hear => self.hear_text().await,
            Step::Ack(after) => self.acknowledge(after).await,
            Step::Window(window) => {
                self.peer.habits.window = window;
                Ok(())
            }
            Step::Say { after, len, push } => {
                until(self.last + millis(after)).await;
                let flags = if push {
                    Flags::ACK | Flags::PSH
                } else {
                    Flags::ACK
                };
                self.say(flags, len)
            }
            Step::Fin => self.say(Flags::ACK | Flags::FIN, 0),
            Step::Read => self.call(Input::Read)?.read().await,
            Step::Shutdown => self.call(Input::Shutdown)?.shutdown().await,
            Step::Close => {
                self.call(Input::Close)?;
                self.conn = None;
                Ok(())
            }
            Step::Pause(time) => {
                tokio::time::sleep(millis(time)).await;
                Ok(())
            }
            Step::Mark => {
                let now = clock::now();
                self.inputs.push((now, Input::Mark));
                self.teller.mark(now);
                Ok(())
            }
            Step::Watch { time, answer } => self.watch(millis(time), answer).await,
        }
    }

    /// The connection, which is about to get a call.
    fn call(&mut self, input: Input) -> io::Result<&mut Conn> {
        self.inputs.push((clock::now(), input));
        self.conn
            .as_mut()
            .ok_or_else(|| io::Error::other("no connection"))
    }

    /// OPEN alone: a connect, or the SYN of a peer.
    fn begin(&mut self) -> io::Result<()> {
        if self.case.setup.passive {
            let listening = self.listen()?;
            // For as long as the runtime lives.
            tokio::task::spawn_local(async move { listening.accept().await });
            return Ok(());
        }
        self.connect()
    }

    fn connect(&mut self) -> io::Result<()> {
        self.inputs.push((clock::now(), Input::Connect));
        self.conn = Some(self.end.connect(self.peer.address, &self.case.setup)?);
        Ok(())
    }

    fn listen(&mut self) -> io::Result<Listening> {
        let (listening, at) = self.end.listen(&self.case.setup)?;
        self.inputs.push((clock::now(), Input::Listen));
        self.peer.host = Some(at);
        self.say(Flags::SYN, 0)?;
        Ok(listening)
    }

    /// The whole handshake.
    async fn open(&mut self) -> io::Result<()> {
        let setup = &self.case.setup;
        if setup.passive {
            let listening = self.listen()?;
            for _ in 0..=setup.lost {
                self.hear().await?;
            }
            self.acknowledge(setup.rtt).await?;
            self.conn = Some(listening.accept().await?);
            return Ok(());
        }
        self.connect()?;
        for _ in 0..=setup.lost {
            self.hear().await?;
        }
        until(self.last + millis(setup.rtt)).await;
        self.say(Flags::SYN | Flags::ACK, 0)?;
        while self.hear().await?.header.flags.contains(Flags::SYN) {}
        Ok(())
    }

    async fn hear(&mut self) -> io::Result<Heard> {
        let heard = self.peer.hear().await?;
        self.note(&heard);
        Ok(heard)
    }

    fn note(&mut self, heard: &Heard) {
        if heard.counts() {
            self.last = heard.at;
        }
        self.times.push(heard.at);
        self.teller.heard(heard, self.peer.first);
    }

    /// The next segment that wants an ACK.
    async fn hear_text(&mut self) -> io::Result<()> {
        while !self.hear().await?.counts() {}
        Ok(())
    }

    async fn acknowledge(&mut self, after: u64) -> io::Result<()> {
        until(self.last + millis(after)).await;
        self.say(Flags::ACK, 0)?;
        // A host in this process takes it before its application goes on.
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    fn say(&mut self, flags: Flags, len: usize) -> io::Result<()> {
        let (at, input) = self.peer.say(flags, len)?;
        if let Input::Segment { end, len, .. } = input {
            let uses = len > 0 || flags.contains(Flags::FIN);
            if uses {
                self.last = at;
            }
            self.teller.said(at, end, uses);
        }
        self.inputs.push((at, input));
        Ok(())
    }

    /// Lets the host do what it wants for a while. `answer`: its segments are acknowledged after so
    /// many milliseconds.
    async fn watch(&mut self, time: Duration, answer: Option<u64>) -> io::Result<()> {
        let end = clock::now() + time;
        let conn = self.conn.take();
        let failed = async {
            match &conn {
                Some(conn) => conn.failed().await,
                None => std::future::pending().await,
            }
        };
        let mut failed = Box::pin(failed);
        let mut over = conn.is_none();
        loop {
            tokio::select! {
                biased;
                heard = self.peer.hear() => {
                    let heard = heard?;
                    self.note(&heard);
                    if let Some(after) = answer {
                        until(heard.at + millis(after)).await;
                        self.say(Flags::ACK, 0)?;
                    }
                }
                _ = &mut failed, if !over => {
                    over = true;
                    let now = clock::now();
                    self.times.push(now);
                    self.teller.failed(now);
                }
                () = until(end) => break,
            }
        }
        drop(failed);
        self.conn = conn;
        Ok(())
    }
}
