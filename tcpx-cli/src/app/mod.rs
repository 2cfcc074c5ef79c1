//! An application: does the steps of a script with a host's TCP, and with streams of its own where
//! it has some.
//!
//! ```
//! use tcpx_cli::app::{Ends, Player};
//! use tcpx::network::Network;
//! use tcpx::HostOptions;
//! use tcpx_proto::script::Script;
//! use tcpx_proto::sim::Place;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::new(1)?;
//! let client = network.add_host("10.0.0.1".parse()?, HostOptions::default());
//! let server = network.add_host("10.0.0.2".parse()?, HostOptions::default());
//! let asks: Script = "connect 10.0.0.2:80; send \"hello\"; expect \"hello\"; close".parse()?;
//! let answers: Script = "listen 80; accept; echo; close; expect closed clean".parse()?;
//! let nowhere = Place { port: 0, peer: None };
//! let (mut near, mut far) = (Player::new(&client, nowhere, Ends::none()), Player::new(&server, nowhere, Ends::none()));
//! tokio::try_join!(far.play(&answers), near.play(&asks))?;
//! # Ok(())
//! # }
//! ```

mod talk;

use crate::signals::Caught;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use talk::{Line, ended_early};
use tcpx::Error;
use tcpx::host::Host;
use tcpx::listener::Listener;
use tcpx::stream::Stream;
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::script::{AppAction, Connect, Expected, Script, Step, StepError};
use tcpx_proto::sim::Place;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::signal::unix::SignalKind;

/// The application's own streams: what it has to say, and where what it hears goes.
pub struct Ends {
    /// Goes to the peer.
    pub input: Box<dyn AsyncRead + Send + Unpin>,
    /// Comes from the peer.
    pub output: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Ends {
    /// Nothing to say, and nobody listens.
    pub fn none() -> Ends {
        Ends {
            input: Box::new(tokio::io::empty()),
            output: Box::new(tokio::io::sink()),
        }
    }
}

/// How a script ended early.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The connection ended.
    #[error(transparent)]
    Connection(Error),
    /// A step of the script could not be done.
    #[error(transparent)]
    Step(StepError),
    /// The application's own input could not be read, or its output not written.
    #[error("{0}")]
    Own(String),
}

impl AppError {
    /// The same in the words that every record of a script uses.
    fn plainly(&self) -> StepError {
        match self {
            AppError::Connection(Error::Ended(reason)) => {
                StepError::Call(CallError::Ended(*reason))
            }
            AppError::Connection(Error::Call(call)) => StepError::Call(*call),
            AppError::Connection(error) => StepError::Unexpected(error.to_string()),
            AppError::Step(error) => error.clone(),
            AppError::Own(message) => StepError::Unexpected(message.clone()),
        }
    }
}

/// Plays scripts on a host: keeps their connections and their listener until it is dropped.
pub struct Player<'a> {
    host: &'a Host,
    place: Place,
    ends: Ends,
    /// The script is a file's: what it does is told to the record, and a sleep does not end with
    /// the connection.
    told: bool,
    streams: Vec<(Option<Arc<str>>, Arc<Stream>)>,
    /// The connection that steps concern.
    current: Option<Arc<Stream>>,
    listener: Option<Listener>,
}

impl<'a> Player<'a> {
    /// For a script that opens its connections itself, and tells the host's record what it does.
    pub fn new(host: &'a Host, place: Place, ends: Ends) -> Player<'a> {
        Player {
            host,
            place,
            ends,
            told: true,
            streams: Vec::new(),
            current: None,
            listener: None,
        }
    }

    /// For a script about this connection, which the caller keeps.
    pub fn on(host: &'a Host, stream: Arc<Stream>, ends: Ends) -> Player<'a> {
        Player {
            told: false,
            current: Some(stream),
            ..Player::new(
                host,
                Place {
                    port: 0,
                    peer: None,
                },
                ends,
            )
        }
    }

    /// Does the steps in order, each to its end. The connections are left as the last step leaves
    /// them.
    ///
    /// # Errors
    /// The first step that cannot be done: a connection ended, or one of `ends` failed. A script
    /// that expects that end goes on there.
    pub async fn play(&mut self, script: &Script) -> Result<(), AppError> {
        let mut at = 0;
        let mut outcome = Ok(());
        while let Some(step) = script.steps.get(at) {
            self.tell(|| AppAction::Began(step.to_string()));
            match self.step(step).await {
                Ok(()) => {
                    self.tell(|| AppAction::Done);
                    at += 1;
                }
                Err(error) => {
                    self.tell(|| AppAction::Failed(error.plainly().to_string()));
                    let goes_on = match error {
                        AppError::Connection(Error::Ended(reason)) => script.after_end(at, reason),
                        _ => None,
                    };
                    let Some(next) = goes_on else {
                        outcome = Err(error);
                        break;
                    };
                    at = next;
                }
            }
        }
        self.tell(|| AppAction::Over);
        outcome
    }

    fn tell(&self, did: impl FnOnce() -> AppAction) {
        if self.told {
            self.host
                .tell(self.current.as_ref().map(|stream| stream.id()), did());
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), AppError> {
        match step {
            Step::Listen { port, backlog } => {
                let port = Some(port.unwrap_or(self.place.port))
                    .filter(|port| *port != 0)
                    .unwrap_or(*self.host.ports().start());
                self.listener = Some(
                    self.host
                        .listen(port, *backlog, &self.host.config().conn)
                        .map_err(AppError::Connection)?,
                );
            }
            Step::StopListening => drop(
                self.listener
                    .take()
                    .ok_or(AppError::Step(StepError::NotListening))?,
            ),
            Step::Accept { name } => {
                let listener = self
                    .listener
                    .as_ref()
                    .ok_or(AppError::Step(StepError::NotListening))?;
                let stream = listener.accept().await.map_err(AppError::Connection)?;
                self.take_up(stream, name.as_ref());
            }
            // What is rare and large has a room of its own, so that a connection that waits does
            // not keep it.
            Step::Connect(connect) => Box::pin(self.connect(connect)).await?,
            Step::On(name) => {
                let found = self
                    .streams
                    .iter()
                    .rev()
                    .find(|(known, _)| known.as_ref() == Some(name));
                let missing =
                    || AppError::Step(StepError::NoSuchConnection(Some(Arc::clone(name))));
                self.current = Some(Arc::clone(&found.ok_or_else(missing)?.1));
            }
            Step::Sleep(duration) if self.told => tokio::time::sleep(*duration).await,
            Step::Lift => self.host.lift("third-ack"),
            Step::GoSilent => self.host.vanish(),
            Step::Restart => {
                self.host.restart();
                (self.current, self.listener) = (None, None);
                self.streams.clear();
            }
            _ => {
                let stream = self
                    .current
                    .clone()
                    .ok_or(AppError::Step(StepError::NoSuchConnection(None)))?;
                self.talk(
                    step,
                    Line {
                        stream: &stream,
                        told: self.told,
                    },
                )
                .await?;
            }
        }
        Ok(())
    }

    async fn connect(&mut self, connect: &Connect) -> Result<(), AppError> {
        let to: SocketAddr = connect
            .to
            .or(self.place.peer)
            .ok_or(AppError::Step(StepError::NoPeer))?;
        let port = connect.from.unwrap_or(self.place.port);
        for left in (0..connect.tries.unwrap_or(1).max(1)).rev() {
            let stream = self
                .host
                .start_connect(port, to, &self.host.config().conn)
                .map_err(AppError::Connection)?;
            let stream = Arc::new(stream);
            self.current = Some(Arc::clone(&stream));
            let opened = if connect.tries.is_some() {
                stream.established().await
            } else {
                Ok(())
            };
            match opened {
                Ok(()) => {
                    self.streams.push((connect.name.clone(), stream));
                    break;
                }
                Err(error) if left == 0 => return Err(AppError::Connection(error)),
                Err(error) => self
                    .tell(|| AppAction::Failed(AppError::Connection(error).plainly().to_string())),
            }
        }
        Ok(())
    }

    fn take_up(&mut self, stream: Stream, name: Option<&Arc<str>>) {
        let stream = Arc::new(stream);
        self.current = Some(Arc::clone(&stream));
        self.streams.push((name.cloned(), stream));
    }

    /// A step that concerns a connection.
    async fn talk(&mut self, step: &Step, line: Line<'_>) -> Result<(), AppError> {
        let (stream, ends) = (line.stream, &mut self.ends);
        match step {
            Step::Send(data) => line.send(data).await,
            Step::Receive(octets) => talk::receive(line, &mut ends.output, Some(*octets)).await,
            Step::ReceiveUntil(text) => line
                .receive_text(|heard| usize::from(!heard.ends_with(text)))
                .await
                .map(drop),
            Step::ReceiveToEnd => talk::receive(line, &mut ends.output, None).await,
            Step::Echo => talk::echo(line).await,
            Step::SendInput => talk::send_input(&mut ends.input, line).await,
            Step::Relay => Box::pin(talk::relay(line, ends)).await,
            Step::Sleep(duration) => tokio::select! {
                () = tokio::time::sleep(*duration) => Ok(()),
                ended = stream.closed() => ended_early(ended),
            },
            Step::StopReading if self.told => stream
                .closed()
                .await
                .map(drop)
                .map_err(AppError::Connection),
            Step::StopReading => ended_early(stream.closed().await),
            Step::Shutdown => line.shutdown().await,
            Step::Close => {
                stream.close();
                Ok(())
            }
            Step::Abort => {
                stream.abort();
                Ok(())
            }
            Step::Expect(Expected::Text(text)) => line.expect_text(text).await,
            Step::Expect(Expected::State(state)) => {
                stream.reached(*state).await.map_err(AppError::Connection)
            }
            Step::Expect(Expected::Closed(reason)) => {
                expect_closed(stream.closed().await, reason.as_deref())
            }
            // The other steps are the host's.
            _ => Ok(()),
        }
    }
}

fn expect_closed(ended: Result<CloseReason, Error>, named: Option<&str>) -> Result<(), AppError> {
    match ended.map_err(AppError::Connection)? {
        reason if named.is_none_or(|named| named == reason.name()) => Ok(()),
        reason => Err(AppError::Step(StepError::Unexpected(format!(
            "the connection ended: {}",
            reason.name()
        )))),
    }
}

/// Waits for SIGHUP, SIGINT or SIGTERM, and gives the exit status that stands for it. The signals
/// are caught from the call on, but for those that were ignored when the program began: they stay
/// ignored.
///
/// # Errors
/// The system refuses to let them be caught.
pub fn signalled() -> io::Result<impl Future<Output = u8>> {
    let mut hangup = Caught::new(SignalKind::hangup())?;
    let mut interrupt = Caught::new(SignalKind::interrupt())?;
    let mut terminate = Caught::new(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            () = hangup.arrives() => 129,
            () = interrupt.arrives() => 130,
            () = terminate.arrives() => 143,
        }
    })
}
