//! `--script`: a file's script instead of the application flags.

use crate::app::{AppError, Ends, Player, signalled};
use crate::failure::{Failure, underlined};
use crate::input;
use crate::setup::Session;
use std::path::Path;
use tcpx::Ports;
use tcpx::host::{Host, HostOptions};
use tcpx::link::Link;
use tcpx_proto::script::{Addresses, Connect, Script, Step};

/// The most ports in a row that a script may name.
const MOST_PORTS: u16 = 20_000;

/// Reads and checks a script.
///
/// # Errors
/// The file cannot be read; a mistake in it, underlined.
pub fn script(path: &Path) -> Result<Script, Failure> {
    let name = path.display().to_string();
    let text = input::text_in(path, input::SOURCE).map_err(|error| {
        Failure::usage(format!(
            "--script: cannot read {name}: {error}. Give the path of a script"
        ))
    })?;
    Script::parse(&text).map_err(|mistake| underlined(&name, &text, &mistake))
}

/// The ports to reserve for a script on a host that was given this port, or any (0).
///
/// # Errors
/// The ports that it names are too far apart.
pub fn script_ports(script: &Script, own: u16) -> Result<Ports, Failure> {
    let named = script.steps.iter().filter_map(|step| match step {
        Step::Listen { port, .. } => *port,
        Step::Connect(Connect { from, .. }) => *from,
        _ => None,
    });
    let named: Vec<u16> = named.chain(Some(own).filter(|port| *port != 0)).collect();
    let (Some(first), Some(last)) = (named.iter().min(), named.iter().max()) else {
        let tries = script.steps.iter().filter_map(|step| {
            if let Step::Connect(connect) = step {
                connect.tries.or(Some(1))
            } else {
                None
            }
        });
        let ports = |count: usize| {
            u16::try_from(count)
                .unwrap_or(MOST_PORTS)
                .clamp(1, MOST_PORTS)
        };
        return Ok(Ports::UpTo {
            least: ports(tries.clone().count()),
            most: ports(tries.map(|tries| tries as usize).sum()),
        });
    };
    match last - first {
        0 => Ok(Ports::Exact(*first)),
        apart if apart < MOST_PORTS => Ok(Ports::Row {
            first: *first,
            last: *last,
        }),
        _ => Err(Failure::usage(format!(
            "the script's ports span {first} to {last}: keep them within {MOST_PORTS} of each other"
        ))),
    }
}

impl Session {
    /// Starts a host, plays a script on it and waits until every connection is CLOSED, or for a
    /// signal if it is to `stay`. The exit status is that of the script.
    ///
    /// # Errors
    /// Those of [`host`](Session::host).
    pub fn play(
        &self,
        link: Link,
        options: HostOptions,
        script: Script,
        addresses: Addresses,
        stay: bool,
    ) -> Result<u8, Failure> {
        self.host(link, options, async |host| {
            let signalled = signalled().map_err(|error| Failure {
                message: format!("cannot catch signals: {error}"),
                code: 1,
            })?;
            let listens = script
                .steps
                .iter()
                .any(|step| matches!(step, Step::Listen { .. }));
            self.say(&format!(
                "{} on {}",
                if listens { "listening" } else { "playing" },
                host.address()
            ));
            tokio::select! {
                code = self.play_on(host, script, addresses, stay) => Ok(code),
                code = signalled => Ok(self.interrupted(host, code)),
            }
        })
    }

    async fn play_on(&self, host: &Host, script: Script, addresses: Addresses, stay: bool) -> u8 {
        let input = Box::new(tokio::io::stdin());
        let silent = self.record_on_stdout();
        let ends = if silent {
            Ends {
                input,
                ..Ends::none()
            }
        } else {
            Ends {
                input,
                output: Box::new(tokio::io::stdout()),
            }
        };
        let mut player = Player::new(host, script, addresses, ends);
        let code = self.report(host, player.play().await);
        if stay {
            std::future::pending::<()>().await;
        }
        match host.closed().await {
            Ok(()) => code,
            Err(error) => code.max(self.report(host, Err(AppError::Connection(error)))),
        }
    }
}
