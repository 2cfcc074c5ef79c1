//! One connection from the start of a program to its end, set-up and clean-up included.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use tcpx::netns::Namespace;

use crate::table::Table;

fn milliseconds(command: &mut Command) -> io::Result<f64> {
    let silent = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let status = silent.status()?;
    let time = start.elapsed().as_secs_f64() * 1e3;
    if status.success() {
        Ok(time)
    } else {
        Err(io::Error::other(format!("{silent:?}: {status}")))
    }
}

/// The programs of this build are beside this one.
fn client() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("tcpx-client"))
}

/// A kernel server on loopback, which waits for the client's FIN and closes.
pub(crate) fn whole_connection(rounds: usize) -> io::Result<Table> {
    let mut table = Table::new(
        "Program: a connection over loopback from start to end, ms",
        true,
    );
    let namespace = Namespace::new()?;
    namespace.run(|| {
        let mut up = Command::new("ip");
        milliseconds(up.args(["link", "set", "lo", "up"]))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let to = listener.local_addr()?.to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                _ = io::copy(&mut &stream, &mut io::sink());
            }
        });
        for _ in 0..rounds {
            table.add(
                "true, which does nothing",
                milliseconds(&mut Command::new("true"))?,
            );
            for guard in ["listener", "iptables"] {
                let mut command = Command::new(client()?);
                command.args([&to, "--rst-guard", guard, "--without", "time-wait"]);
                table.add(
                    &format!("tcpx-client, guard {guard}"),
                    milliseconds(&mut command)?,
                );
            }
            if Command::new("ncat").arg("--version").output().is_ok() {
                let mut command = Command::new("ncat");
                let (host, port) = to.split_once(':').unwrap_or_default();
                table.add("ncat (kernel)", milliseconds(command.args([host, port]))?);
            }
        }
        Ok(())
    })?;
    Ok(table)
}
