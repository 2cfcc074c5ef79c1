//! The client's connections: one script each, in turn or at the same time, and the end of them all.

use crate::Cli;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tcpx::app::{self, AppError, Ends};
use tcpx::cli::{Failure, Run};
use tcpx::{Error, Host, Stream};
use tcpx_proto::event::CloseReason;
use tcpx_proto::script::{Script, Step};
use tcpx_proto::tcb::State;
use tokio::io::{AsyncReadExt, ReadBuf};
use tokio::task::JoinSet;
use tokio::time::Sleep;

/// Where the peer's data goes, for all connections together.
#[derive(Clone)]
pub(crate) struct Output {
    file: Arc<Mutex<Option<std::fs::File>>>,
    /// It is this program's stdout, which ends with the peer's FIN when there is one connection.
    is_stdout: bool,
}

impl Output {
    /// `--output`, or stdout, or nowhere when the events go to stdout.
    pub(crate) fn open(cli: &Cli, run: &Run) -> Result<Output, Failure> {
        let (file, is_stdout) = match &cli.output {
            Some(path) => {
                let file = std::fs::File::create(path).map_err(|error| Failure {
                    message: format!("cannot make {}: {error}. Name a file that can be written", path.display()),
                    code: 1,
                })?;
                (Some(file), false)
            }
            None if run.events_on_stdout() => (None, false),
            None => {
                let copy = io::stdout().as_fd().try_clone_to_owned();
                let copy = copy.map_err(|error| Failure { message: format!("cannot use stdout: {error}"), code: 1 })?;
                (Some(copy.into()), true)
            }
        };
        Ok(Output { file: Arc::new(Mutex::new(file)), is_stdout })
    }

    fn writer(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Unpin> {
        let copy = self.file.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|file| file.try_clone().ok());
        match copy {
            Some(file) => Box::new(tokio::fs::File::from_std(file)),
            None => Box::new(tokio::io::sink()),
        }
    }

    /// The peer has said everything: whoever reads our stdout sees its end, though we go on to TIME-WAIT.
    fn end(&self) {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.is_stdout {
            if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
                // A stdout that cannot be replaced is closed a little later, with the program.
                let _ = rustix::stdio::dup2_stdout(null);
            }
        }
    }
}

fn script(cli: &Cli, run: &Run) -> Script {
    let ends_at_once = cli.close || cli.abort;
    let mut steps: Vec<Step> = cli.send.iter().map(|text| Step::Send(text.clone().into_bytes())).collect();
    if cli.send.is_none() && ends_at_once {
        steps.push(Step::SendInput);
    }
    if run.holds_third_ack() {
        steps.extend(cli.hold.map_or([Step::Stall, Step::Lift], |hold| [Step::Sleep(hold), Step::Lift]));
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

/// What the application has to say when it is not `--send`: stdin, and after its end the silence of `--hold`.
fn input(cli: &Cli, script_holds: bool) -> Box<dyn tokio::io::AsyncRead + Send + Unpin> {
    match (cli.send.is_some(), cli.hold) {
        (true, _) => Box::new(tokio::io::empty()),
        (false, Some(hold)) if !script_holds => Box::new(tokio::io::stdin().chain(Silence { length: hold, end: None })),
        (false, _) => Box::new(tokio::io::stdin()),
    }
}

/// Says nothing for a while, then ends. The while begins when somebody first listens.
struct Silence {
    length: Duration,
    end: Option<Pin<Box<Sleep>>>,
}

impl tokio::io::AsyncRead for Silence {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let length = self.length;
        self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(length))).as_mut().poll(context).map(Ok)
    }
}

/// Every connection that the flags ask for; the exit status of the worst.
pub(crate) async fn all(cli: &Cli, run: &Run, host: &Host, output: Output) -> u8 {
    let script = Arc::new(script(cli, run));
    let mut workers = JoinSet::new();
    for _ in 0..cli.parallel {
        workers.spawn(worker(cli.clone(), host.clone(), Arc::clone(&script), output.clone()));
    }
    let mut worst = 0;
    while let Some(ended) = workers.join_next().await {
        let codes = ended.unwrap_or_else(|error| vec![Err(AppError::Own(format!("a task failed: {error}")))]);
        for outcome in codes {
            worst = worst.max(report(run, outcome));
        }
    }
    worst
}

/// Says how a connection ended and gives its exit status.
fn report(run: &Run, ended: Result<(), AppError>) -> u8 {
    match ended {
        Ok(()) => 0,
        Err(AppError::Connection(error)) => {
            run.complain(&format!("tcpx-client: {error}"));
            error.exit_code()
        }
        Err(AppError::Own(message)) => {
            run.complain(&format!("tcpx-client: {message}"));
            1
        }
    }
}

/// One connection after the other. With a fixed port the four-tuple must be free again before the next.
async fn worker(cli: Cli, host: Host, script: Arc<Script>, output: Output) -> Vec<Result<(), AppError>> {
    let fixed = cli.bind.map_or(0, |bind| bind.port());
    let mut outcomes = Vec::new();
    let mut lingering = Vec::new();
    for _ in 0..cli.count {
        match one(&cli, &host, fixed, &script, &output).await {
            Ok(stream) if fixed != 0 && !cli.no_wait => outcomes.push(closed(&stream).await),
            Ok(stream) => lingering.push(stream),
            Err(error) => outcomes.push(Err(error)),
        }
    }
    for stream in lingering {
        outcomes.push(closed(&stream).await);
    }
    outcomes
}

/// One connection, from its SYN to the last step of the script.
async fn one(cli: &Cli, host: &Host, port: u16, script: &Script, output: &Output) -> Result<Stream, AppError> {
    let mut stream = host.connect_with(port, cli.remote, &host.config().conn).await.map_err(AppError::Connection)?;
    let at_once = cli.close || cli.abort || script.steps.contains(&Step::Lift);
    let mut ends = Ends { input: input(cli, at_once), output: output.writer() };
    let steps = app::run(script, host, &mut stream, &mut ends);
    match cli.vanish_after {
        None => steps.await?,
        Some(after) => tokio::select! {
            ended = steps => ended?,
            () = tokio::time::sleep(after) => {
                host.vanish();
                std::future::pending::<()>().await;
            }
        },
    }
    drop(ends);
    if cli.count == 1 && cli.parallel == 1 {
        output.end();
    }
    stream.close();
    Ok(stream)
}

/// Waits for CLOSED.
async fn closed(stream: &Stream) -> Result<(), AppError> {
    match stream.closed().await {
        Ok(CloseReason::Clean | CloseReason::Aborted) => Ok(()),
        Ok(reason) => Err(AppError::Connection(Error::Ended(reason))),
        Err(error) => Err(AppError::Connection(error)),
    }
}

/// A signal: what is open is aborted. In TIME-WAIT, and after a silence that was asked for, that is a good end.
pub(crate) fn interrupted(cli: &Cli, run: &Run, host: &Host, code: u8) -> u8 {
    let open = host.connections().iter().any(|status| !matches!(status.state, State::TimeWait | State::Closed | State::Listen));
    let cut = run.time_wait_cut(host);
    host.abort_all();
    if cli.vanish_after.is_some() || (cut && !open && code == 130) { 0 } else { code }
}
