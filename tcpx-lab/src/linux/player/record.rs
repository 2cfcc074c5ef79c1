//! The player's record: an events file, line by line, and the states in which its sockets are seen.

use crate::linux::sockets::{Kernel, Sighting, Timer};
use crate::linux::{calendar, now, track};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tcpx_proto::error::CloseReason;
use tcpx_proto::script::AppAction;
use tcpx_proto::state::State;
use tcpx_proto::trace::{Body, Role, VERSION};

/// How often the kernel is asked.
const EVERY: Duration = Duration::from_millis(5);

/// The file, and what is known of each connection.
pub(super) struct Record {
    began: f64,
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    out: Box<dyn Write + Send>,
    /// The connections, numbered from 1.
    known: Vec<Known>,
}

/// A connection as it was last seen.
#[derive(Clone, Debug)]
pub(super) struct Known {
    cookie: u64,
    passive: bool,
    /// In the RFC's spelling; the last one before CLOSED.
    pub(super) state: State,
    /// Since when, in seconds of the file.
    since: f64,
    pub(super) timer: Option<Timer>,
    expirations: u8,
    /// The kernel has forgotten it.
    pub(super) gone: bool,
    /// How long it had been in that state by then, in seconds.
    stayed: f64,
}

impl Record {
    /// Writes the first line, and begins to watch the sockets of the calling thread's namespace.
    pub(super) fn start(role: Role, out: impl Write + Send + 'static) -> io::Result<Arc<Record>> {
        let began = now();
        let inner = Mutex::new(Inner {
            out: Box::new(out),
            known: Vec::new(),
        });
        let record = Arc::new(Record {
            began,
            inner,
            changed: Condvar::new(),
        });
        let realtime = began + calendar().as_secs_f64();
        let start = json!({
            "event": "start",
            "version": VERSION,
            "role": role,
            "profile": "kernel",
            "seed": 0,
            "monotonic": began,
            "realtime": realtime,
        });
        writeln!(record.lock().out, "{start}")?;
        let mut kernel = Kernel::open()?;
        let watching = Arc::downgrade(&record);
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                while let Some(record) = watching.upgrade() {
                    let numbered = record.lock().known.len();
                    match kernel.sockets() {
                        Ok(sockets) => record.saw(numbered, &sockets),
                        // A step that waits for a state would wait forever.
                        Err(error) => record.end(&error),
                    }
                    drop(record);
                    thread::sleep(EVERY);
                }
            })?;
        Ok(record)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the application did.
    pub(super) fn tell(&self, conn: Option<u64>, action: AppAction) {
        let body = json!(Body::App(action));
        self.lock().line(now() - self.began, conn, body);
    }

    /// Adds a connection. Returns its number.
    pub(super) fn opened(
        &self,
        cookie: u64,
        local: SocketAddr,
        remote: SocketAddr,
        passive: bool,
    ) -> u64 {
        let mut inner = self.lock();
        let t = now() - self.began;
        let state = if passive {
            State::Listen
        } else {
            State::Closed
        };
        inner.known.push(Known {
            cookie,
            passive,
            state,
            since: t,
            timer: None,
            expirations: 0,
            gone: false,
            stayed: 0.0,
        });
        let number = inner.known.len() as u64;
        inner.line(
            t,
            Some(number),
            json!({"event": "opened", "local": local, "remote": remote, "passive": passive}),
        );
        number
    }

    /// A connection went from one state to another, unless a later state was seen already.
    pub(super) fn noticed(&self, number: u64, from: State, to: State) {
        let t = now() - self.began;
        let mut inner = self.lock();
        let later = inner
            .known
            .get(number as usize - 1)
            .is_none_or(|known| order(known.state) > order(from));
        if !later {
            inner.enters(t, number, from);
            inner.enters(t, number, to);
        }
        drop(inner);
        self.changed.notify_all();
    }

    /// Records the states of the first `numbered` connections.
    fn saw(&self, numbered: usize, sockets: &[Sighting]) {
        let mut inner = self.lock();
        let t = now() - self.began;
        for place in 0..numbered.min(inner.known.len()) {
            let known = &inner.known[place];
            if known.gone {
                continue;
            }
            let socket = sockets.iter().find(|socket| socket.cookie == known.cookie);
            let number = place as u64 + 1;
            match socket {
                Some(socket) => {
                    inner.enters(t, number, socket.state);
                    (inner.known[place].timer, inner.known[place].expirations) =
                        (socket.timer, socket.expirations);
                }
                None => inner.leaves(t, number),
            }
        }
        self.changed.notify_all();
    }

    /// The kernel does not answer: every connection counts as gone.
    fn end(&self, error: &io::Error) {
        let _ignored = writeln!(io::stderr(), "tcpx-lab: {error}");
        self.lock()
            .known
            .iter_mut()
            .for_each(|known| known.gone = true);
        self.changed.notify_all();
    }

    /// A connection as it was last seen.
    pub(super) fn known(&self, number: u64) -> Option<Known> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.lock().known.get(place).cloned()
    }

    /// Waits until a connection meets a condition.
    pub(super) fn wait(&self, number: u64, so: impl Fn(&Known) -> bool) -> Known {
        let place = usize::try_from(number).unwrap_or(0).saturating_sub(1);
        let inner = self.changed.wait_while(self.lock(), |inner| {
            inner.known.get(place).is_some_and(|known| !so(known))
        });
        inner.unwrap_or_else(PoisonError::into_inner).known[place].clone()
    }
}

impl Inner {
    fn line(&mut self, t: f64, conn: Option<u64>, body: Value) {
        let mut line = Map::new();
        line.insert("t".to_owned(), json!(t));
        line.extend(conn.map(|conn| ("conn".to_owned(), json!(conn))));
        if let Value::Object(body) = body {
            line.extend(body.into_iter().filter(|(_, value)| !value.is_null()));
        }
        // The reader has gone, and will terminate this process.
        let _ignored =
            writeln!(self.out, "{}", Value::Object(line)).and_then(|()| self.out.flush());
    }

    /// Records a state, if it is a new one.
    fn enters(&mut self, t: f64, number: u64, to: State) {
        let Some(known) = self
            .known
            .get_mut(number as usize - 1)
            .filter(|known| known.state != to && !known.gone)
        else {
            return;
        };
        let from = std::mem::replace(&mut known.state, to);
        known.since = t;
        self.line(
            t,
            Some(number),
            json!({"event": "state", "from": from, "to": to, "on": track::event(from, to)}),
        );
    }

    /// Records that the kernel has forgotten the connection.
    fn leaves(&mut self, t: f64, number: u64) {
        let Some(known) = self.known.get_mut(number as usize - 1) else {
            return;
        };
        (known.gone, known.stayed) = (true, t - known.since);
        let from = known.state;
        let reason = known.likely_end().name();
        self.line(
            t,
            Some(number),
            json!({"event": "state", "from": from, "to": State::Closed}),
        );
        self.line(
            t,
            Some(number),
            json!({"event": "closed", "reason": reason}),
        );
    }
}

impl Known {
    /// The timeout that would end it.
    pub(super) fn timeout(&self) -> CloseReason {
        match (self.state, self.timer) {
            (State::SynSent | State::Closed, _) => CloseReason::ConnectTimeout,
            (State::FinWait2, _) => CloseReason::FinWait2Timeout,
            (_, Some(Timer::KeepAlive)) => CloseReason::KeepAliveTimeout,
            (
                State::Listen
                | State::SynReceived
                | State::Established
                | State::FinWait1
                | State::CloseWait
                | State::Closing
                | State::LastAck
                | State::TimeWait,
                _,
            ) => CloseReason::RetransmissionTimeout,
        }
    }

    /// How a connection ended that is gone: a guess from how it was last seen.
    pub(super) fn likely_end(&self) -> CloseReason {
        match self.state {
            State::TimeWait | State::LastAck | State::Closing | State::CloseWait => {
                CloseReason::Clean
            }
            // tcp_fin_timeout is 60 s, and an experiment may have made it shorter.
            State::FinWait2 if self.stayed > 0.5 => CloseReason::FinWait2Timeout,
            State::Closed | State::SynSent if self.expirations == 0 && !self.passive => {
                CloseReason::Refused
            }
            State::Closed
            | State::Listen
            | State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2 => {
                if self.expirations > 0 {
                    self.timeout()
                } else {
                    CloseReason::Reset
                }
            }
        }
    }
}

/// How far along Figure 5 a state is.
fn order(state: State) -> u8 {
    match state {
        State::Closed | State::Listen => 0,
        State::SynSent | State::SynReceived => 1,
        State::Established => 2,
        State::FinWait1 | State::CloseWait => 3,
        State::FinWait2 | State::Closing | State::LastAck | State::TimeWait => 4,
    }
}

/// Destroys every connection of the calling thread's namespace that has no process, or is not
/// accepted yet.
pub(super) fn destroy_all() -> io::Result<()> {
    let mut kernel = Kernel::open()?;
    let sockets = kernel.sockets()?;
    sockets
        .iter()
        .filter(|socket| socket.state != State::Listen)
        .try_for_each(|socket| kernel.destroy(socket))
}
