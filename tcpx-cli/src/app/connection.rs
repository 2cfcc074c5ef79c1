//! The calls of a script on a connection and on the application's own streams.

use super::{AppError, Ends};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tcpx::Error;
use tcpx::stream::Stream;
use tcpx_proto::error::CloseReason;
use tcpx_proto::script::AppAction;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// The most bytes that are passed on at a time.
const CHUNK: usize = 64 * 1024;

/// The end of a connection during a step: an error unless it is clean.
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

/// Reads at most this many bytes; none: the end. While there is nothing to read, no buffer is kept
/// for it: most connections are idle most of the time.
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

pub(super) async fn send(mut stream: &Stream, data: &[u8]) -> Result<usize, AppError> {
    stream.write(data).await.map_err(connection)
}

pub(super) async fn receive(mut stream: &Stream, most: usize) -> Result<Vec<u8>, AppError> {
    some(&mut stream, most).await.map_err(connection)
}

pub(super) async fn peek(stream: &Stream, most: usize) -> Result<Vec<u8>, AppError> {
    let mut bytes = vec![0; most.min(CHUNK)];
    let got = stream.peek(&mut bytes).await.map_err(connection)?;
    bytes.truncate(got);
    Ok(bytes)
}

pub(super) async fn shutdown(mut stream: &Stream) -> Result<(), AppError> {
    stream.shutdown().await.map_err(connection)
}

pub(super) async fn read_input(input: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, AppError> {
    some(input, CHUNK).await.map_err(own_input)
}

pub(super) async fn write_output(
    output: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
) -> Result<(), AppError> {
    output.write_all(bytes).await.map_err(own_output)?;
    output.flush().await.map_err(own_output)
}

/// The reader of our output learns at once that the peer has sent everything.
pub(super) async fn end_output(output: &mut (impl AsyncWrite + Unpin)) -> Result<(), AppError> {
    output.shutdown().await.map_err(own_output)
}

/// Both directions at once, each to its end. The end of the input is our FIN. A connection that
/// breaks ends both, even while the input has nothing to send.
pub(super) async fn relay(
    stream: &Stream,
    ends: &mut Ends,
    recorded: bool,
) -> Result<(), AppError> {
    let record = |action: &dyn Fn() -> AppAction| {
        if recorded {
            stream.tell(action());
        }
    };
    let Ends { input, output } = ends;
    let out = async {
        loop {
            let bytes = read_input(input).await?;
            let mut left = bytes.as_slice();
            while !left.is_empty() {
                let (sent, rest) = left.split_at(send(stream, left).await?);
                record(&|| AppAction::Sent(sent.to_vec()));
                left = rest;
            }
            if bytes.is_empty() {
                return shutdown(stream).await;
            }
        }
    };
    let back = async {
        loop {
            let bytes = receive(stream, CHUNK).await?;
            if bytes.is_empty() {
                return end_output(output).await;
            }
            record(&|| AppAction::Received(bytes.clone()));
            write_output(output, &bytes).await?;
        }
    };
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
