//! `tcpx-client`: a hand-built TCP that connects, and what it does with each connection.

mod connection;

use clap::{CommandFactory, FromArgMatches, Parser};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tcpx::{Ports, link};
use tcpx_cli::{self as cli, Common, Failure, Session};
use tcpx_proto::script::Addresses;
use tcpx_proto::trace::Role;

const APPLICATION: &str = "What to do with the connection";

/// The most ports to reserve: two thirds of those that Linux gives to its own connections.
const MOST_PORTS: u32 = 20_000;

const EXAMPLES: &str = "Examples, with `tcpx-server 127.0.0.1:7000` in another terminal:
  echo hello | tcpx-client 127.0.0.1:7000 --msl 1s
      like netcat, with any server; TIME-WAIT takes 2 s, not 60
  tcpx-client 127.0.0.1:7000 --send hello --no-third-ack --hold 5s --msl 1s
      the handshake stays unfinished for 5 s: the peer retransmits its SYN,ACK
  tcpx-client 127.0.0.1:7000 --bind 127.0.0.1:40000 --count 2 --send hi --msl 1s
      the same four-tuple twice, with TIME-WAIT in between";

/// Connect with a TCP whose rules can be removed one by one
///
/// A complete, hand-built TCP over raw IP sockets: stdin goes to the peer, the peer's data to
/// stdout. At the end of the input (or after --send) it sends its FIN, keeps reading until the
/// peer's FIN, and waits out TIME-WAIT. Needs NET_RAW (and NET_ADMIN for the iptables guard). If
/// the reader of stdout closes it, the connection is closed too, and the exit status is 1.
#[derive(Parser, Clone)]
#[command(version, max_term_width = 120)]
pub(crate) struct Cli {
    /// Connect to this address or name, and port
    #[arg(value_name = "HOST:PORT", value_parser = cli::endpoint)]
    remote: SocketAddr,

    /// Use this local address, or its name, and port (port 0: any) [default: the route's address,
    /// any port]
    #[arg(long, value_name = "HOST:PORT", value_parser = cli::endpoint, help_heading = APPLICATION)]
    bind: Option<SocketAddr>,
    /// Send TEXT instead of stdin
    #[arg(long, value_name = "TEXT", help_heading = APPLICATION)]
    send: Option<String>,
    /// Play the script of FILE instead: connect, send, receive, close and more, step by step; see
    /// docs/scripts.md
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["send", "output", "close", "abort", "hold", "vanish_after", "count", "parallel", "no_wait"],
        help_heading = APPLICATION
    )]
    script: Option<PathBuf>,
    /// Stay after the script ends, until Ctrl-C: the host keeps answering
    #[arg(long, requires = "script", help_heading = APPLICATION)]
    stay: bool,
    /// Write the peer's data to FILE instead of stdout (-)
    #[arg(long, value_name = "FILE", help_heading = APPLICATION)]
    output: Option<PathBuf>,
    /// Close both directions at once after sending: later data from the peer is answered with a RST
    #[arg(long, conflicts_with = "abort", help_heading = APPLICATION)]
    close: bool,
    /// End with a RST after sending
    #[arg(long, help_heading = APPLICATION)]
    abort: bool,
    /// Keep the connection open for DUR after sending, before the FIN
    #[arg(long, value_name = "DUR", value_parser = cli::duration, help_heading = APPLICATION)]
    hold: Option<Duration>,
    /// Go silent DUR after the connection is established, like a host that lost power, and stay
    /// guarded until Ctrl-C
    #[arg(long, value_name = "DUR", value_parser = cli::duration, help_heading = APPLICATION)]
    vanish_after: Option<Duration>,
    /// Make N connections per --parallel lane, one after another; if every port is in use, the next
    /// one waits until a TIME-WAIT ends
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = APPLICATION)]
    count: u32,
    /// Run N lanes of connections concurrently: --parallel times --count in total, from up to 20000
    /// reserved ports
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=20_000), help_heading = APPLICATION)]
    parallel: u16,
    /// Do not wait for TIME-WAIT between connections: the next one on the same four-tuple fails
    /// with status 7
    #[arg(long, help_heading = APPLICATION)]
    no_wait: bool,

    #[command(flatten)]
    common: Common,
}

impl Cli {
    /// Checks what clap cannot.
    fn check(&self) -> Result<(), Failure> {
        let fixed = self.bind.is_some_and(|bind| bind.port() != 0);
        if fixed && self.parallel > 1 {
            return Err(Failure::usage(
                "--parallel needs a port for each connection: omit the port of --bind, or make it \
                 0",
            ));
        }
        if self.send.is_none() && (self.parallel > 1 || self.count > 1) {
            return Err(Failure::usage(
                "one stdin cannot feed several connections: use --send",
            ));
        }
        if self
            .bind
            .is_some_and(|bind| bind.is_ipv4() != self.remote.is_ipv4())
        {
            return Err(Failure::usage(
                "--bind and the remote address are of different families",
            ));
        }
        Ok(())
    }

    fn address(&self) -> Result<IpAddr, Failure> {
        match self.bind {
            Some(bind) if bind.ip() != IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ok(bind.ip()),
            _ => Ok(link::source_for(self.remote)?),
        }
    }

    /// Our address and the ports to reserve.
    fn local(&self) -> Result<(IpAddr, Ports), Failure> {
        let address = self.address()?;
        let ports = match self.bind {
            Some(bind) if bind.port() != 0 => Ports::Exact(bind.port()),
            // Each connection takes another port while there is one: their TIME-WAITs overlap.
            _ => {
                let all = u32::from(self.parallel)
                    .saturating_mul(self.count)
                    .min(MOST_PORTS);
                Ports::UpTo {
                    least: self.parallel,
                    most: u16::try_from(all).unwrap_or(u16::MAX),
                }
            }
        };
        Ok((address, ports))
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
        .and_then(|cli| connect(&cli));
    cli::finish("tcpx-client", outcome)
}

fn connect(cli: &Cli) -> Result<u8, Failure> {
    cli.check()?;
    let session = Session::new(&cli.common, Role::Client)?;
    if let Some(path) = &cli.script {
        return play(cli, &session, path);
    }
    let (address, ports) = cli.local()?;
    let output = connection::Output::open(cli, &session)?;
    let (link, options) = session.open(address, ports)?;
    session.host(link, options, async |host| {
        let signalled = tcpx_cli::app::signalled().map_err(|error| Failure {
            message: format!("cannot catch signals: {error}"),
            code: 1,
        })?;
        tokio::select! {
            code = connection::all(cli, &session, host, output) => Ok(code),
            code = signalled => Ok(connection::interrupted(cli, &session, host, code)),
        }
    })
}

fn play(cli: &Cli, session: &Session, path: &Path) -> Result<u8, Failure> {
    let script = cli::script(path)?;
    let port = cli.bind.map_or(0, |bind| bind.port());
    let (link, options) = session.open(cli.address()?, cli::script_ports(&script, port)?)?;
    session.play(
        link,
        options,
        script,
        Addresses {
            port,
            peer: Some(cli.remote),
        },
        cli.stay,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_contradicts_itself_is_a_usage_error() {
        for flags in [
            "",
            "127.0.0.1",
            "127.0.0.1:7000 --close --abort",
            "127.0.0.1:7000 --bind 127.0.0.1:40000 --parallel 2 --send x",
            "127.0.0.1:7000 --count 2",
            "127.0.0.1:7000 --bind [::1]:40000",
            "127.0.0.1:7000 --count 0",
            "127.0.0.1:7000 --hold 3",
        ] {
            let words = ["tcpx-client"].into_iter().chain(flags.split_whitespace());
            let code = match Cli::try_parse_from(words) {
                Ok(cli) => cli.check().err().map(|failure| failure.code),
                Err(error) => u8::try_from(error.exit_code()).ok(),
            };
            assert_eq!(code, Some(2), "{flags}");
        }
    }

    #[test]
    fn every_shared_flag_keeps_its_heading() {
        for argument in Cli::command()
            .get_arguments()
            .filter(|argument| !argument.is_positional())
        {
            let built_in = ["help", "version"].contains(&argument.get_id().as_str());
            assert!(
                built_in || argument.get_help_heading().is_some(),
                "{}",
                argument.get_id()
            );
        }
    }
}
