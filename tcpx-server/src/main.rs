//! `tcpx-server`: a hand-built TCP that listens, and what it does with each connection.

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tcpx::Ports;
use tcpx::{Error, Host, Stream};
use tcpx_cli::app::{self, AppError, Ends, Player};
use tcpx_cli::{self as cli, Common, Failure, Session, input};
use tcpx_proto::error::CloseReason;
use tcpx_proto::script::{Addresses, Script, Step};
use tcpx_proto::trace::Role;
use tokio::task::JoinSet;

const APPLICATION: &str = "What to do with a connection";

const EXAMPLES: &str = "Examples; connect with `nc 127.0.0.1 7000` or tcpx-client:
  tcpx-server 127.0.0.1:7000
      echoes what it receives
  tcpx-server 127.0.0.1:7000 --once --never-close
      stays in CLOSE-WAIT after the client's FIN
  tcpx-server 127.0.0.1:7000 --fault 'rate=10% drop any data'
      behaves as across a network that loses segments";

/// Serve connections with a TCP whose rules can be removed one by one
///
/// A complete, hand-built TCP over raw IP sockets. Needs NET_RAW (and NET_ADMIN for the iptables
/// guard).
#[derive(Parser)]
#[command(version, max_term_width = 120)]
struct Cli {
    /// Listen on this address of this machine, or its name, and port (0: any)
    #[arg(value_name = "HOST:PORT", value_parser = cli::endpoint)]
    address: SocketAddr,

    #[command(flatten)]
    mode: Mode,

    /// Play the script of FILE instead: listen, accept, send, receive, close and more, step by
    /// step; see docs/scripts.md
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["Mode", "once", "backlog", "close_after", "never_close"],
        help_heading = APPLICATION
    )]
    script: Option<PathBuf>,
    /// Stay after the script ends, until Ctrl-C: the host keeps answering
    #[arg(long, requires = "script", help_heading = APPLICATION)]
    stay: bool,
    /// Exit after the first connection is CLOSED
    #[arg(long, help_heading = APPLICATION)]
    once: bool,
    /// Limit the connections in SYN-RECEIVED, and those waiting to be accepted, to N each
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_535), help_heading = APPLICATION)]
    backlog: u32,
    /// Close each connection DUR after accepting it, in any state
    #[arg(long, value_name = "DUR", value_parser = cli::duration, help_heading = APPLICATION)]
    close_after: Option<Duration>,
    /// Never close: the connection stays in CLOSE-WAIT after the peer's FIN
    #[arg(long, conflicts_with = "close_after", help_heading = APPLICATION)]
    never_close: bool,

    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
#[group(multiple = false)]
struct Mode {
    /// Echo what it receives (the default)
    #[arg(long, help_heading = APPLICATION)]
    echo: bool,
    /// Read and discard
    #[arg(long, help_heading = APPLICATION)]
    discard: bool,
    /// Answer the first bytes, or the peer's FIN, with TEXT or the contents of @FILE, and close
    #[arg(long, value_name = "TEXT|@FILE", help_heading = APPLICATION)]
    respond: Option<String>,
    /// Forward each connection to a real service over the kernel's TCP
    #[arg(long, value_name = "HOST:PORT", help_heading = APPLICATION)]
    forward: Option<String>,
    /// Never read: the window closes
    #[arg(long, help_heading = APPLICATION)]
    stall: bool,
}

impl Cli {
    fn script(&self) -> Result<Script, Failure> {
        let mode = &self.mode;
        let mut steps = if mode.discard {
            vec![Step::ReceiveToEnd]
        } else if let Some(respond) = &mode.respond {
            let text = match respond.strip_prefix('@') {
                Some(path) => input::bytes_in(Path::new(path), input::DATA).map_err(|error| {
                    Failure::usage(format!(
                        "--respond: cannot read {path}: {error}. Choose a readable file"
                    ))
                })?,
                None => respond.clone().into_bytes(),
            };
            let send = [Step::Receive(1), Step::Send(text)];
            let end = if self.never_close {
                vec![]
            } else {
                vec![Step::Shutdown]
            };
            send.into_iter()
                .chain(end)
                .chain([Step::ReceiveToEnd])
                .collect()
        } else if mode.forward.is_some() {
            vec![Step::Relay]
        } else if mode.stall {
            vec![Step::StopReading]
        } else {
            vec![Step::Echo]
        };
        steps.push(if self.never_close {
            Step::StopReading
        } else {
            Step::Close
        });
        Ok(Script { steps })
    }
}

fn main() -> ExitCode {
    let mut command = cli::command(Cli::command(), EXAMPLES);
    let matches = command.get_matches_mut();
    if let Some(code) = cli::answer(&mut command, &matches) {
        return code;
    }
    let outcome = Cli::from_arg_matches(&matches)
        .map_err(|error| error.exit())
        .and_then(|cli| serve(&cli));
    cli::finish("tcpx-server", outcome)
}

fn play(cli: &Cli, path: &Path) -> Result<u8, Failure> {
    let script = cli::script(path)?;
    let session = Session::new(&cli.common, Role::Server)?;
    let port = cli.address.port();
    let (link, options) = session.open(cli.address.ip(), cli::script_ports(&script, port)?)?;
    session.play(
        link,
        options,
        script,
        Addresses { port, peer: None },
        cli.stay,
    )
}

fn serve(cli: &Cli) -> Result<u8, Failure> {
    if let Some(path) = &cli.script {
        return play(cli, path);
    }
    let script = Arc::new(cli.script()?);
    let session = Session::new(&cli.common, Role::Server)?;
    let ports = if cli.address.port() == 0 {
        Ports::Block(1)
    } else {
        Ports::Exact(cli.address.port())
    };
    let (link, options) = session.open(cli.address.ip(), ports)?;
    session.host(link, options, async |host| {
        let signalled = app::signalled().map_err(|error| Failure {
            message: format!("cannot catch signals: {error}"),
            code: 1,
        })?;
        tokio::select! {
            served = accept(cli, &session, host, script) => served,
            code = signalled => Ok(session.interrupted(host, code)),
        }
    })
}

async fn accept(
    cli: &Cli,
    session: &Session,
    host: &Host,
    script: Arc<Script>,
) -> Result<u8, Failure> {
    let listener = host.listen_with(
        *host.ports().start(),
        cli.backlog as usize,
        &host.config().conn,
    )?;
    session.say(&format!(
        "listening on {} (guard: {})",
        listener.local_addr(),
        host.guard_description()
    ));
    let mut tasks = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                let failed = |error| Err(AppError::Own(format!("a task failed: {error}")));
                session.report(host, ended.unwrap_or_else(failed));
                continue;
            }
        };
        let handling = handle(
            host.clone(),
            stream,
            Arc::clone(&script),
            cli.mode.forward.clone(),
            cli.close_after,
        );
        if cli.once {
            drop(listener);
            return Ok(session.report(host, handling.await));
        }
        tasks.spawn(handling);
    }
}

/// One connection from accept to CLOSED.
async fn handle(
    host: Host,
    stream: Stream,
    script: Arc<Script>,
    forward: Option<String>,
    close_after: Option<Duration>,
) -> Result<(), AppError> {
    let joined = match forward {
        Some(to) => Box::pin(Service::reach(&to)).await,
        None => Ok((Ends::none(), None)),
    };
    let stream = Arc::new(stream);
    let (ends, service) = joined.inspect_err(|_| stream.abort())?;
    // A failure on one side must not look like a complete transfer on the other.
    run_script(&host, &stream, script, ends, close_after)
        .await
        .inspect_err(|_| {
            stream.abort();
            service.iter().for_each(Service::reset);
        })?;
    stream.close();
    match stream.closed().await {
        Ok(CloseReason::Clean | CloseReason::Aborted) => Ok(()),
        Ok(reason) => Err(AppError::Connection(Error::Ended(reason))),
        Err(error) => Err(AppError::Connection(error)),
    }
}

/// The steps of the script, or the close that comes first.
async fn run_script(
    host: &Host,
    stream: &Arc<Stream>,
    script: Arc<Script>,
    ends: Ends,
    close_after: Option<Duration>,
) -> Result<(), AppError> {
    let mut player = Player::on(host, script, Arc::clone(stream), ends);
    let Some(limit) = close_after else {
        return player.play().await;
    };
    let limited = async {
        if let Ok(ended) = tokio::time::timeout(limit, player.play()).await {
            return ended;
        }
        let close = Script {
            steps: vec![Step::Shutdown, Step::ReceiveToEnd, Step::Close],
        };
        Player::on(host, close, Arc::clone(stream), Ends::none())
            .play()
            .await
    };
    // Rare, and larger than everything else that an idle connection needs.
    Box::pin(limited).await
}

/// The other side of `--forward`: a connection of the kernel's, which this resets.
struct Service(OwnedFd);

impl Service {
    async fn reach(to: &str) -> Result<(Ends, Option<Service>), AppError> {
        let failed = |error| {
            AppError::Own(format!(
                "cannot reach {to}: {error}; the connection is aborted"
            ))
        };
        let connection = tokio::net::TcpStream::connect(to).await.map_err(failed)?;
        let service = Service(connection.as_fd().try_clone_to_owned().map_err(failed)?);
        // Not `into_split`: a half of that, dropped, sends a FIN.
        let (input, output) = tokio::io::split(connection);
        Ok((
            Ends {
                input: Box::new(input),
                output: Box::new(output),
            },
            Some(service),
        ))
    }

    /// The end of the connection will be a RST.
    fn reset(&self) {
        // On a socket of ours it cannot fail; if it did, the end would be a FIN.
        let _infallible = socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(flags: &str) -> Result<Vec<Step>, u8> {
        let words = ["tcpx-server", "127.0.0.1:7000"]
            .into_iter()
            .chain(flags.split_whitespace());
        let cli =
            Cli::try_parse_from(words).map_err(|error| u8::try_from(error.exit_code()).unwrap())?;
        cli.script()
            .map(|script| script.steps)
            .map_err(|failure| failure.code)
    }

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_shorthand_for_these_scripts() {
        assert_eq!(script(""), Ok(vec![Step::Echo, Step::Close]));
        assert_eq!(
            script("--echo --never-close"),
            Ok(vec![Step::Echo, Step::StopReading])
        );
        assert_eq!(
            script("--discard"),
            Ok(vec![Step::ReceiveToEnd, Step::Close])
        );
        assert_eq!(script("--stall"), Ok(vec![Step::StopReading, Step::Close]));
        assert_eq!(
            script("--forward 127.0.0.1:80"),
            Ok(vec![Step::Relay, Step::Close])
        );
        let respond = vec![
            Step::Receive(1),
            Step::Send(b"hello".to_vec()),
            Step::Shutdown,
            Step::ReceiveToEnd,
            Step::Close,
        ];
        assert_eq!(script("--respond hello"), Ok(respond));
    }

    /// Ten thousand connections that say nothing are ten thousand of these.
    #[test]
    fn handling_a_connection_takes_little_room() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let network = tcpx::network::Network::new(1).unwrap();
        let host = network.add_host("10.0.0.1".parse().unwrap(), tcpx::HostOptions::default());
        let stream = host
            .start_connect(0, ([10, 0, 0, 2], 80).into(), &host.config().conn)
            .unwrap();
        let script = Arc::new(Script {
            steps: vec![Step::Echo, Step::Close],
        });
        let room = size_of_val(&handle(host.clone(), stream, script, None, None));
        assert!(room < 1500, "{room} bytes");
    }

    #[test]
    fn what_contradicts_itself_is_a_usage_error() {
        for flags in [
            "--echo --discard",
            "--stall --respond x",
            "--never-close --close-after 1s",
            "--backlog 0",
            "--respond @/no/such/file",
        ] {
            assert_eq!(script(flags), Err(2), "{flags}");
        }
    }
}
