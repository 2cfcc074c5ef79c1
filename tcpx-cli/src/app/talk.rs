//! What a step does with a connection: octets to and fro between the connection, the application's
//! own streams, and the record.

use super::{AppError, Ends};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tcpx::Error;
use tcpx::stream::Stream;
use tcpx_proto::error::CloseReason;
use tcpx_proto::script::{AppAction, StepError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// The most octets that are passed on at a time.
const CHUNK: usize = 64 * 1024;

/// The end of a connection that somebody waits on: an error unless it is clean.
pub(super) fn ended_early(ended: Result<CloseReason, Error>) -> Result<(), AppError> {
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
        _ => AppError::Connection(Error::Io {
            act: "use the connection",
            source: kind.into(),
        }),
    }
}

/// Reads at most so many octets; none: the end. While there is nothing to read no room is kept for
/// it: most connections say nothing most of the time.
async fn some(from: &mut (impl AsyncRead + Unpin), most: usize) -> io::Result<Vec<u8>> {
    poll_fn(|context| poll_some(Pin::new(&mut *from), context, most)).await
}

fn poll_some(
    from: Pin<&mut impl AsyncRead>,
    context: &mut Context<'_>,
    most: usize,
) -> Poll<io::Result<Vec<u8>>> {
    let mut room = [const { MaybeUninit::uninit() }; CHUNK];
    let mut buffer = ReadBuf::uninit(&mut room[..most.min(CHUNK)]);
    ready!(from.poll_read(context, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().to_vec()))
}

/// A connection as a script sees it. What passes is told to the record, if the script is.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) stream: &'a Stream,
    pub(super) told: bool,
}

impl Line<'_> {
    async fn read(&self, most: usize) -> Result<Vec<u8>, AppError> {
        let got = some(&mut { self.stream }, most).await.map_err(connection)?;
        if !got.is_empty() {
            self.tell(|| AppAction::Received(got.clone()));
        }
        Ok(got)
    }

    pub(super) async fn send(&self, mut data: &[u8]) -> Result<(), AppError> {
        let mut stream = self.stream;
        while !data.is_empty() {
            let sent = stream.write(data).await.map_err(connection)?;
            self.tell(|| AppAction::Sent(data[..sent].to_vec()));
            data = &data[sent..];
        }
        Ok(())
    }

    fn tell(&self, did: impl FnOnce() -> AppAction) {
        if self.told {
            self.stream.tell(did());
        }
    }

    /// RECEIVE until that much has come, or that text, or the end.
    pub(super) async fn receive_text(
        &self,
        done: impl Fn(&[u8]) -> usize,
    ) -> Result<Vec<u8>, AppError> {
        let mut heard = Vec::new();
        loop {
            let most = done(&heard);
            let got = if most == 0 {
                Vec::new()
            } else {
                self.read(most).await?
            };
            if got.is_empty() {
                return Ok(heard);
            }
            heard.extend(got);
        }
    }

    /// These octets and no others come next.
    pub(super) async fn expect_text(&self, text: &[u8]) -> Result<(), AppError> {
        let heard = self
            .receive_text(|heard| {
                if text.starts_with(heard) {
                    text.len() - heard.len()
                } else {
                    0
                }
            })
            .await?;
        if heard == text {
            return Ok(());
        }
        let wrong = format!(
            "expected \"{}\", received \"{}\"",
            text.escape_ascii(),
            heard.escape_ascii()
        );
        Err(AppError::Step(StepError::Unexpected(wrong)))
    }

    pub(super) async fn shutdown(&self) -> Result<(), AppError> {
        let mut stream = self.stream;
        stream.shutdown().await.map_err(connection)
    }
}

/// RECEIVE into the application's output: so many octets, or all until the end.
pub(super) async fn receive(
    line: Line<'_>,
    output: &mut (impl AsyncWrite + Unpin),
    octets: Option<u64>,
) -> Result<(), AppError> {
    let mut left = octets.unwrap_or(u64::MAX);
    while left > 0 {
        let got = line.read(usize::try_from(left).unwrap_or(CHUNK)).await?;
        if got.is_empty() {
            // The peer has said everything: whoever reads our output may know at once.
            output.shutdown().await.map_err(own_output)?;
            return Ok(());
        }
        output.write_all(&got).await.map_err(own_output)?;
        output.flush().await.map_err(own_output)?;
        left -= got.len() as u64;
    }
    Ok(())
}

pub(super) async fn echo(line: Line<'_>) -> Result<(), AppError> {
    loop {
        let got = line.read(CHUNK).await?;
        if got.is_empty() {
            return Ok(());
        }
        line.send(&got).await?;
    }
}

/// Both directions at once, each to its end. The end of the input is our FIN. A connection that
/// breaks ends both, even while the input has nothing to say.
pub(super) async fn relay(line: Line<'_>, ends: &mut Ends) -> Result<(), AppError> {
    let out = async {
        send_input(&mut ends.input, line).await?;
        line.shutdown().await
    };
    let back = receive(line, &mut ends.output, None);
    let broken = async {
        match ended_early(line.stream.closed().await) {
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

pub(super) async fn send_input(
    input: &mut (impl AsyncRead + Unpin),
    line: Line<'_>,
) -> Result<(), AppError> {
    loop {
        let got = some(input, CHUNK).await.map_err(own_input)?;
        if got.is_empty() {
            return Ok(());
        }
        line.send(&got).await?;
    }
}

fn own_input(error: io::Error) -> AppError {
    AppError::Own(format!(
        "cannot read the input: {error}; the connection is closed"
    ))
}

fn own_output(error: io::Error) -> AppError {
    AppError::Own(format!(
        "cannot write the peer's data: {error}; the connection is closed"
    ))
}
