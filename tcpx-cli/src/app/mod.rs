//! An application: plays a script with a host's TCP, and with streams of its own where it has some.
//!
//! ```
//! use tcpx_cli::app::{Ends, Player};
//! use tcpx::network::Network;
//! use tcpx::HostOptions;
//! use tcpx_proto::script::{Addresses, Script};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::new(1)?;
//! let client = network.add_host("10.0.0.1".parse()?, HostOptions::default());
//! let server = network.add_host("10.0.0.2".parse()?, HostOptions::default());
//! let asks: Script = "connect 10.0.0.2:80; send \"hello\"; expect \"hello\"; close".parse()?;
//! let answers: Script = "listen 80; accept; echo; close; expect closed clean".parse()?;
//! let mut near = Player::new(&client, asks, Addresses::default(), Ends::none());
//! let mut far = Player::new(&server, answers, Addresses::default(), Ends::none());
//! tokio::try_join!(far.play(), near.play())?;
//! # Ok(())
//! # }
//! ```

mod connection;

use crate::signals::Caught;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tcpx::Error;
use tcpx::host::Host;
use tcpx::listener::Listener;
use tcpx::stream::Stream;
use tcpx_proto::error::CallError;
use tcpx_proto::script::{Addresses, Call, Machine, Outcome, Script, StepError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::signal::unix::SignalKind;

/// The application's own input and output.
pub struct Ends {
    /// Goes to the peer.
    pub input: Box<dyn AsyncRead + Send + Unpin>,
    /// Comes from the peer.
    pub output: Box<dyn AsyncWrite + Send + Unpin>,
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends").finish_non_exhaustive()
    }
}

impl Ends {
    /// No input, and the output is discarded.
    pub fn none() -> Ends {
        Ends {
            input: Box::new(tokio::io::empty()),
            output: Box::new(tokio::io::sink()),
        }
    }
}

/// How a script ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The connection ended.
    #[error(transparent)]
    Connection(Error),
    /// A step of the script could not be done.
    #[error(transparent)]
    Step(StepError),
    /// The application's own input or output failed.
    #[error("{0}")]
    Own(String),
}

impl AppError {
    /// As the records of all executors spell it.
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

/// Plays a script on a host: keeps its connections and its listener until it is dropped.
pub struct Player<'a> {
    host: &'a Host,
    machine: Machine<Arc<Stream>>,
    listener: Option<Listener>,
    ends: Ends,
}

impl fmt::Debug for Player<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player")
            .field("host", &self.host)
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl<'a> Player<'a> {
    /// For a script that opens its connections itself. The host's record has what it does.
    pub fn new(
        host: &'a Host,
        script: impl Into<Arc<Script>>,
        addresses: Addresses,
        ends: Ends,
    ) -> Player<'a> {
        Player {
            host,
            machine: Machine::new(script.into(), addresses).with_streams(),
            listener: None,
            ends,
        }
    }

    /// For a script about this connection, which the caller keeps. It is not recorded, and a sleep
    /// ends with the connection.
    pub fn on(
        host: &'a Host,
        script: impl Into<Arc<Script>>,
        stream: Arc<Stream>,
        ends: Ends,
    ) -> Player<'a> {
        let machine = Machine::on_connection(script.into(), stream);
        Player {
            host,
            machine: machine.with_streams().unrecorded(),
            listener: None,
            ends,
        }
    }

    /// The connection's active OPEN took this many bytes of the first step's text.
    #[must_use]
    pub fn ahead(self, bytes: usize) -> Player<'a> {
        Player {
            machine: self.machine.ahead(bytes),
            ..self
        }
    }

    /// Does the steps in order, each to its end. The connections are left as the last step leaves
    /// them.
    ///
    /// # Errors
    /// The first step that cannot be done: a connection ended, or one of `ends` failed. A script
    /// that expects that end continues there.
    pub async fn play(&mut self) -> Result<(), AppError> {
        let host = self.host;
        let mut record = |stream: Option<&Arc<Stream>>, action| {
            host.tell(stream.map(|stream| stream.id()), action);
        };
        let mut last = None;
        loop {
            self.machine.advance(&mut record);
            let recorded = self.machine.is_recorded();
            let Some(call) = self.machine.call() else {
                break;
            };
            let executor = Executor {
                host,
                listener: &mut self.listener,
                ends: &mut self.ends,
                recorded,
            };
            match executor.make(call).await {
                Ok(outcome) => self.machine.done(outcome, &mut record),
                Err(error) => {
                    self.machine.failed(error.plainly(), &mut record);
                    last = Some(error);
                }
            }
        }
        match self.machine.end() {
            Some(Err(error)) => Err(last
                .filter(|last| last.plainly() == *error)
                .unwrap_or_else(|| AppError::Step(error.clone()))),
            _ => Ok(()),
        }
    }
}

/// Makes the calls of a script.
struct Executor<'a> {
    host: &'a Host,
    listener: &'a mut Option<Listener>,
    ends: &'a mut Ends,
    recorded: bool,
}

impl Executor<'_> {
    /// Port 0 is the first of the host's.
    fn listen(&self, port: u16, backlog: usize) -> Result<Listener, AppError> {
        let port = match port {
            0 => *self.host.ports().start(),
            port => port,
        };
        let config = self.host.config();
        self.host
            .listen_with(port, backlog, &config.conn)
            .map_err(AppError::Connection)
    }

    fn connect(
        &self,
        to: SocketAddr,
        from: u16,
        data: &[u8],
    ) -> Result<Outcome<Arc<Stream>>, AppError> {
        let config = &self.host.config().conn;
        let data = if config.fast_open { data } else { &[] };
        let (stream, taken) = self
            .host
            .start_connect_with_data(from, to, config, data)
            .map_err(AppError::Connection)?;
        Ok(Outcome::OpenedWith(Arc::new(stream), taken))
    }

    async fn make(self, call: Call<'_, Arc<Stream>>) -> Result<Outcome<Arc<Stream>>, AppError> {
        let not_listening = AppError::Step(StepError::NotListening);
        match call {
            Call::Listen { port, backlog } => *self.listener = Some(self.listen(port, backlog)?),
            Call::StopListening => drop(self.listener.take().ok_or(not_listening)?),
            Call::Accept => {
                let listener = self.listener.as_ref().ok_or(not_listening)?;
                let (stream, _) = listener.accept().await.map_err(AppError::Connection)?;
                return Ok(Outcome::Opened(Arc::new(stream)));
            }
            Call::Connect { to, from, data } => return self.connect(to, from, data),
            Call::Established(stream) => {
                stream.established().await.map_err(AppError::Connection)?;
            }
            Call::Send(stream, data) => {
                return connection::send(stream, data).await.map(Outcome::Sent);
            }
            Call::Receive(stream, most) => {
                let bytes = connection::receive(stream, most).await;
                return bytes.map(Outcome::Bytes);
            }
            Call::Peek(stream, most) => {
                return connection::peek(stream, most).await.map(Outcome::Bytes);
            }
            Call::Set(stream, option) => {
                stream.set_option(option).map_err(AppError::Connection)?;
            }
            Call::SetListener(option) => {
                let listener = self.listener.as_ref().ok_or(not_listening)?;
                listener.set_option(option).map_err(AppError::Connection)?;
            }
            Call::Input => {
                let bytes = connection::read_input(&mut self.ends.input).await;
                return bytes.map(Outcome::Bytes);
            }
            Call::Output(bytes) => connection::write_output(&mut self.ends.output, bytes).await?,
            Call::EndOutput => connection::end_output(&mut self.ends.output).await?,
            // Rare and large: boxed, so that a connection that waits does not need room for it.
            Call::Relay(stream) => {
                Box::pin(connection::relay(stream, self.ends, self.recorded)).await?;
            }
            Call::Sleep(duration, Some(stream)) if !self.recorded => tokio::select! {
                () = tokio::time::sleep(duration) => {}
                ended = stream.closed() => connection::ended_early(ended)?,
            },
            Call::Sleep(duration, _) => tokio::time::sleep(duration).await,
            Call::StopReading(stream) => {
                let ended = stream.closed().await;
                if self.recorded {
                    ended.map_err(AppError::Connection)?;
                } else {
                    connection::ended_early(ended)?;
                }
            }
            Call::Release => self.host.release("third-ack"),
            Call::Shutdown(stream) => connection::shutdown(stream).await?,
            Call::Close(stream) => stream.close(),
            Call::Abort(stream) => stream.abort(),
            Call::GoSilent => self.host.vanish(),
            Call::Restart => {
                self.host.restart();
                *self.listener = None;
            }
            Call::State(stream, state) => {
                stream.reached(state).await.map_err(AppError::Connection)?;
            }
            Call::Closed(stream) => {
                let reason = stream.closed().await.map_err(AppError::Connection)?;
                return Ok(Outcome::Closed(reason));
            }
        }
        Ok(Outcome::Done)
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
