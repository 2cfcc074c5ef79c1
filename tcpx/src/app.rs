//! An application on a connection: does the steps of a script, with streams of its own where it has some.

use crate::error::Error;
use crate::host::Host;
use crate::stream::Stream;
use std::io;
use tcpx_proto::event::CloseReason;
use tcpx_proto::script::{Script, Step};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

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
        Ends { input: Box::new(tokio::io::empty()), output: Box::new(tokio::io::sink()) }
    }
}

/// How a script ended early.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The connection ended.
    #[error(transparent)]
    Connection(Error),
    /// The application's own input could not be read, or its output not written.
    #[error("{0}")]
    Own(String),
}

const CHUNK: usize = 64 * 1024;

/// Does the steps in order, each to its end. The connection is left as the last step leaves it.
///
/// # Errors
/// The first step that cannot be done: the connection ended, or one of `ends` failed.
pub async fn run(script: &Script, host: &Host, stream: &mut Stream, ends: &mut Ends) -> Result<(), AppError> {
    for step in &script.steps {
        match step {
            Step::Send(data) => stream.write_all(data).await.map_err(connection)?,
            Step::Receive(octets) => receive(stream, &mut ends.output, Some(*octets)).await?,
            Step::ReceiveToEnd => receive(stream, &mut ends.output, None).await?,
            Step::Echo => echo(stream).await.map_err(connection)?,
            Step::SendInput => send_input(&mut ends.input, stream).await?,
            Step::Relay => relay(stream, ends).await?,
            Step::Sleep(duration) => {
                tokio::select! {
                    () = tokio::time::sleep(*duration) => {}
                    ended = stream.closed() => return ended_early(ended),
                }
            }
            Step::StopReading => return ended_early(stream.closed().await),
            Step::Lift => host.lift("third-ack"),
            Step::Shutdown => stream.shutdown().await.map_err(connection)?,
            Step::Close => stream.close(),
            Step::Abort => stream.abort(),
            Step::GoSilent => host.vanish(),
        }
    }
    Ok(())
}

fn ended_early(ended: Result<CloseReason, Error>) -> Result<(), AppError> {
    match ended {
        Ok(CloseReason::Clean) => Ok(()),
        Ok(reason) => Err(AppError::Connection(Error::Ended(reason))),
        Err(error) => Err(AppError::Connection(error)),
    }
}

/// The connection's own error, as the stream hid it in one of std's.
fn connection(error: io::Error) -> AppError {
    let kind = error.kind();
    match error.into_inner().map(|inner| inner.downcast::<Error>()) {
        Some(Ok(error)) => AppError::Connection(*error),
        _ => AppError::Connection(Error::Io { act: "use the connection", source: kind.into() }),
    }
}

async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    output: &mut (impl AsyncWrite + Unpin),
    octets: Option<u64>,
) -> Result<(), AppError> {
    let mut left = octets.unwrap_or(u64::MAX);
    let mut buffer = vec![0; CHUNK];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let got = stream.read(&mut buffer[..most]).await.map_err(connection)?;
        if got == 0 {
            // The peer has said everything: whoever reads our output may know at once.
            output.shutdown().await.map_err(own_output)?;
            return Ok(());
        }
        output.write_all(&buffer[..got]).await.map_err(own_output)?;
        output.flush().await.map_err(own_output)?;
        left -= got as u64;
    }
    Ok(())
}

async fn echo(stream: &mut Stream) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let got = stream.read(&mut buffer).await?;
        if got == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..got]).await?;
    }
}

/// Both directions at once, each to its end. The end of the input is our FIN. A connection that breaks ends both, even while the
/// input has nothing to say.
async fn relay(stream: &Stream, ends: &mut Ends) -> Result<(), AppError> {
    let (mut from_peer, mut to_peer) = (stream, stream);
    let out = async {
        send_input(&mut ends.input, &mut to_peer).await?;
        to_peer.shutdown().await.map_err(connection)
    };
    let back = receive(&mut from_peer, &mut ends.output, None);
    let broken = async {
        match ended_early(stream.closed().await) {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    tokio::select! {
        biased;
        both = async { tokio::try_join!(out, back) } => both.map(drop),
        error = broken => Err(error),
    }
}

async fn send_input(input: &mut (impl AsyncRead + Unpin), to_peer: &mut (impl AsyncWrite + Unpin)) -> Result<(), AppError> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let got = input.read(&mut buffer).await.map_err(own_input)?;
        if got == 0 {
            return Ok(());
        }
        to_peer.write_all(&buffer[..got]).await.map_err(connection)?;
    }
}

fn own_input(error: io::Error) -> AppError {
    AppError::Own(format!("cannot read the input: {error}; the connection is closed"))
}

fn own_output(error: io::Error) -> AppError {
    AppError::Own(format!("cannot write the peer's data: {error}; the connection is closed"))
}

/// Waits for SIGHUP, SIGINT or SIGTERM, and gives the exit status that stands for it. The signals are caught from the call on.
///
/// # Errors
/// The system refuses to let them be caught.
pub fn signalled() -> io::Result<impl Future<Output = u8>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = hangup.recv() => 129,
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        }
    })
}
