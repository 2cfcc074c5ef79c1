//! The client's connections: one script each, in turn or at the same time, and the end of them all.

use crate::Cli;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tcpx::{Error, Host, Stream};
use tcpx_cli::app::{AppError, Ends, Player};
use tcpx_cli::{self as cli, Failure, Session};
use tcpx_proto::error::CloseReason;
use tcpx_proto::script::{Script, Step};
use tokio::io::{AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Sleep;

/// Where the peer's data goes, for all connections together.
#[derive(Clone)]
pub(crate) struct Output {
    file: Arc<Mutex<Option<std::fs::File>>>,
    /// It is this program's stdout and there is one connection: the peer's FIN ends it, though we
    /// go on to TIME-WAIT.
    ends: bool,
}

impl Output {
    /// `--output`, or stdout, or nowhere when a record goes to stdout.
    pub(crate) fn open(cli: &Cli, session: &Session) -> Result<Output, Failure> {
        let failed = |what: String| {
            move |error: io::Error| Failure {
                message: format!("{what}: {error}"),
                code: 1,
            }
        };
        let named = cli.output.as_deref();
        if named.is_some_and(cli::is_stdout) && session.record_on_stdout() {
            return Err(Failure::usage(
                "--output and a record would be mixed in stdout: name a file for --output, \
                 --events or --pcap",
            ));
        }
        if let Some(path) = named.filter(|path| !cli::is_stdout(path)) {
            let file = std::fs::File::create(path)
                .map_err(failed(format!("cannot create {}", path.display())))?;
            return Ok(Output::new(Some(file), false));
        }
        if session.record_on_stdout() {
            return Ok(Output::new(None, false));
        }
        let stdout = io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(failed("cannot use stdout".into()))?;
        let null = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/null")
            .map_err(failed("cannot open /dev/null".into()))?;
        // Nothing else is printed there: our copy is the only one, and closing it is the end that a
        // reader sees.
        rustix::stdio::dup2_stdout(null)
            .map_err(|error| failed("cannot use stdout".into())(error.into()))?;
        Ok(Output::new(
            Some(stdout.into()),
            cli.count == 1 && cli.parallel == 1,
        ))
    }

    fn new(file: Option<std::fs::File>, ends: bool) -> Output {
        Output {
            file: Arc::new(Mutex::new(file)),
            ends,
        }
    }

    /// For one connection.
    fn writer(&self) -> io::Result<Writer> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = if self.ends {
            file.take()
        } else {
            file.as_ref().map(std::fs::File::try_clone).transpose()?
        };
        Ok(Writer {
            file: file.map(tokio::fs::File::from_std),
            ends: self.ends,
        })
    }
}

/// The peer's data on its way out; `shutdown` closes it where that means something to its reader.
struct Writer {
    file: Option<tokio::fs::File>,
    ends: bool,
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.file {
            Some(file) => Pin::new(file).poll_write(context, data),
            None => Poll::Ready(Ok(data.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.file.as_mut().map_or(Poll::Ready(Ok(())), |file| {
            Pin::new(file).poll_flush(context)
        })
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_mut().poll_flush(context);
        if self.ends && flushed.is_ready() {
            self.file = None;
        }
        flushed
    }
}

fn script(cli: &Cli, session: &Session) -> Script {
    let ends_at_once = cli.close || cli.abort;
    let mut steps: Vec<Step> = cli
        .send
        .iter()
        .map(|text| Step::Send(text.clone().into_bytes()))
        .collect();
    if cli.send.is_none() && ends_at_once {
        steps.push(Step::SendInput);
    }
    if session.holds_third_ack() {
        steps.extend(cli.hold.map_or([Step::StopReading, Step::Release], |hold| {
            [Step::Sleep(hold), Step::Release]
        }));
    } else if cli.send.is_some() || ends_at_once {
        steps.extend(cli.hold.map(Step::Sleep));
    }
    match (cli.abort, cli.close, &cli.send) {
        (true, ..) => steps.push(Step::Abort),
        (_, true, _) => steps.push(Step::Close),
        (.., Some(_)) => steps.extend([Step::Shutdown, Step::ReceiveToEnd, Step::Close]),
        (.., None) => steps.extend([Step::Relay, Step::Close]),
    }
    Script { steps }
}

/// The application's input without `--send`: stdin, and after its end the silence of `--hold`.
fn input(cli: &Cli, script_holds: bool) -> Box<dyn tokio::io::AsyncRead + Send + Unpin> {
    match (cli.send.is_some(), cli.hold) {
        (true, _) => Box::new(tokio::io::empty()),
        (false, Some(hold)) if !script_holds => Box::new(tokio::io::stdin().chain(Silence {
            length: hold,
            end: None,
        })),
        (false, _) => Box::new(tokio::io::stdin()),
    }
}

/// Gives nothing for a while, then ends. The time starts at the first read.
struct Silence {
    length: Duration,
    end: Option<Pin<Box<Sleep>>>,
}

impl tokio::io::AsyncRead for Silence {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.length;
        self.end
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(length)))
            .as_mut()
            .poll(context)
            .map(Ok)
    }
}

/// Every connection that the flags ask for; the exit status of the worst.
pub(crate) async fn all(cli: &Cli, session: &Session, host: &Host, output: Output) -> u8 {
    let script = Arc::new(script(cli, session));
    let (tell, mut told) = unbounded_channel();
    let mut workers = JoinSet::new();
    for _ in 0..cli.parallel {
        workers.spawn(worker(
            cli.clone(),
            host.clone(),
            Arc::clone(&script),
            output.clone(),
            tell.clone(),
        ));
    }
    drop(tell);
    let mut worst = 0;
    while let Some(failure) = told.recv().await {
        worst = worst.max(session.report(host, Err(failure)));
    }
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            worst = worst
                .max(session.report(host, Err(AppError::Own(format!("a task failed: {error}")))));
        }
    }
    worst
}

/// One connection after the other, with its share of the ports: when all of them are in use, mostly
/// in TIME-WAIT, the next one waits until one is free. Failures are reported.
async fn worker(
    cli: Cli,
    host: Host,
    script: Arc<Script>,
    output: Output,
    tell: UnboundedSender<AppError>,
) {
    let fixed = cli.bind.map_or(0, |bind| bind.port());
    let share = (host.ports().len() / usize::from(cli.parallel)).max(1);
    let mut lingering = JoinSet::new();
    let note =
        |outcome: Result<(), AppError>| outcome.err().map_or(Ok(()), |error| tell.send(error));
    for _ in 0..cli.count {
        while lingering.len() >= share && !cli.no_wait {
            _ = note(one_more(&mut lingering).await);
        }
        match one(&cli, &host, fixed, Arc::clone(&script), &output).await {
            Ok(stream) => _ = lingering.spawn(async move { closed(&stream).await }),
            // The receiver is gone when the program is about to end.
            Err(error) => _ = tell.send(error),
        }
    }
    while !lingering.is_empty() {
        _ = note(one_more(&mut lingering).await);
    }
}

/// Waits until one of them is CLOSED.
async fn one_more(lingering: &mut JoinSet<Result<(), AppError>>) -> Result<(), AppError> {
    match lingering.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(AppError::Own(format!("a task failed: {error}"))),
        None => Ok(()),
    }
}

/// One connection, from its SYN to the last step of the script.
async fn one(
    cli: &Cli,
    host: &Host,
    port: u16,
    script: Arc<Script>,
    output: &Output,
) -> Result<Arc<Stream>, AppError> {
    let config = &host.config().conn;
    // Stdin feeds one connection only, before which there is no cookie.
    let first = cli.send.as_deref().filter(|_| config.fast_open);
    let first = first.unwrap_or_default().as_bytes();
    let (stream, taken) = host
        .start_connect_with_data(port, cli.remote, config, first)
        .map_err(AppError::Connection)?;
    stream.established().await.map_err(AppError::Connection)?;
    let stream = Arc::new(stream);
    let at_once = cli.close || cli.abort || script.steps.contains(&Step::Release);
    let output = output
        .writer()
        .map_err(|error| AppError::Own(format!("cannot use the output: {error}")))?;
    let ends = Ends {
        input: input(cli, at_once),
        output: Box::new(output),
    };
    let mut player = Player::on(host, script, Arc::clone(&stream), ends).ahead(taken);
    let steps = player.play();
    let ended = match cli.vanish_after {
        None => steps.await,
        Some(after) => tokio::select! {
            ended = steps => ended,
            () = tokio::time::sleep(after) => {
                host.vanish();
                std::future::pending().await
            }
        },
    };
    stream.close();
    if matches!(ended, Err(AppError::Own(_))) {
        // Our own failure is what counts; the connection still ends as TCP asks.
        let _ = stream.closed().await;
    }
    ended.map(|()| stream)
}

/// Waits for CLOSED.
async fn closed(stream: &Stream) -> Result<(), AppError> {
    match stream.closed().await {
        Ok(CloseReason::Clean | CloseReason::Aborted) => Ok(()),
        Ok(reason) => Err(AppError::Connection(Error::Ended(reason))),
        Err(error) => Err(AppError::Connection(error)),
    }
}

/// A signal: what is open is aborted. After a silence that was asked for, that is a good end.
pub(crate) fn interrupted(cli: &Cli, session: &Session, host: &Host, code: u8) -> u8 {
    let code = session.interrupted(host, code);
    if cli.vanish_after.is_some() { 0 } else { code }
}
