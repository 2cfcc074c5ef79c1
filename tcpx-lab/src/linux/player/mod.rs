//! An application on the kernel's TCP: plays a script with ordinary sockets, and records it as the
//! binaries do.
//!
//! It runs inside the namespace of the kernel's end. It writes an events file to stdout: what the
//! application did, and the states in which it saw its own sockets. [`log`](super::log) reads what
//! the application did.
//!
//! Steps mean what `docs/scripts.md` defines, as far as a kernel can do them:
//!
//! - `go silent` and `restart` act on the whole namespace ([`blackhole`]): one host, one player.
//! - `lift` does nothing: the kernel holds no third ACK back.
//! - `close` is close(2): the kernel sends a RST if some bytes were not read (RFC 2525 section
//!   2.17). Such a connection ended as the last state in which it was seen implies.
//! - The player has no input: `send input` sends nothing, and `relay` sends the FIN at once.

mod connection;
mod options;
mod record;

pub use options::SocketOptions;

use super::cable::blackhole;
use anyhow::{Context, Result};
use connection::Connection;
use record::Record;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use tcpx::netns::Namespace;
use tcpx_cli::input;
use tcpx_proto::script::{Addresses, Call, Machine, Outcome, Script, StepError};
use tcpx_proto::trace::Role;

/// The player's addresses, and the options of its sockets.
#[derive(Clone, Copy, Debug)]
pub struct PlayerConfig {
    /// Its address and port; port 0: any.
    pub own: SocketAddr,
    /// The peer of `connect`.
    pub peer: Option<SocketAddr>,
    /// The options of its sockets.
    pub options: SocketOptions,
}

/// Plays the script on stdin in this process's namespace, and stays until it is terminated.
///
/// # Errors
/// The script cannot be read or parsed, the kernel does not list its sockets, or stdout is closed.
pub fn play(config: PlayerConfig, role: Role) -> Result<()> {
    let text = input::text_of(io::stdin(), input::SOURCE).context("cannot read the script")?;
    let script =
        Script::parse(&text).map_err(|mistake| anyhow::anyhow!("the script: {mistake}"))?;
    let record = Record::start(role, io::stdout())?;
    let mut player = Player::new(config, script, record)?;
    if let Err(error) = player.run() {
        let _ignored = writeln!(io::stderr(), "tcpx-lab: the script ended early: {error}");
    }
    // Its sockets live as long as it does.
    loop {
        thread::park();
    }
}

/// One host's application.
struct Player {
    machine: Machine<Rc<Connection>>,
    executor: Executor,
}

impl Player {
    fn new(config: PlayerConfig, script: Script, record: Arc<Record>) -> Result<Player> {
        let addresses = Addresses {
            port: config.own.port(),
            peer: config.peer,
        };
        Ok(Player {
            machine: Machine::new(Arc::new(script), addresses),
            executor: Executor {
                config,
                record,
                home: Namespace::current()?,
                listener: None,
            },
        })
    }

    fn run(&mut self) -> Result<(), StepError> {
        let record = Arc::clone(&self.executor.record);
        let mut tell = |connection: Option<&Rc<Connection>>, action| {
            record.tell(connection.map(|connection| connection.number()), action);
        };
        loop {
            self.machine.advance(&mut tell);
            let Some(call) = self.machine.call() else {
                break;
            };
            match self.executor.make(call, &self.machine) {
                Ok(outcome) => self.machine.done(outcome, &mut tell),
                Err(error) => self.machine.failed(error, &mut tell),
            }
        }
        self.machine.end().cloned().unwrap_or(Ok(()))
    }
}

/// Makes the calls of a script with ordinary sockets.
struct Executor {
    config: PlayerConfig,
    record: Arc<Record>,
    home: Namespace,
    listener: Option<TcpListener>,
}

impl Executor {
    fn make(
        &mut self,
        call: Call<'_, Rc<Connection>>,
        machine: &Machine<Rc<Connection>>,
    ) -> Result<Outcome<Rc<Connection>>, StepError> {
        match call {
            Call::Listen { port, backlog } => self.listen(port, backlog).map_err(refused)?,
            Call::StopListening => {
                drop(self.listener.take().ok_or(StepError::NotListening)?);
            }
            Call::Accept => {
                let listener = self.listener.as_ref().ok_or(StepError::NotListening)?;
                let (stream, _) = listener.accept().map_err(refused)?;
                let accepted = Connection::accepted(stream.into(), &self.record);
                return accepted.map(Outcome::Opened).map_err(refused);
            }
            Call::Connect { to, from, data } => {
                let own = SocketAddr::new(self.config.own.ip(), from);
                let fast_open = self.config.options.fast_open;
                let data = fast_open.then_some(data).filter(|data| !data.is_empty());
                let opened = socket(own, self.config.options)
                    .and_then(|socket| Connection::connect(socket, to, data, &self.record));
                return opened
                    .map(|(connection, taken)| Outcome::OpenedWith(connection, taken))
                    .map_err(refused);
            }
            Call::Established(connection) => connection.established()?,
            Call::Send(connection, data) => return connection.send(data).map(Outcome::Sent),
            Call::Receive(connection, most) => {
                return connection.receive(most).map(Outcome::Bytes);
            }
            Call::Peek(connection, most) => return connection.peek(most).map(Outcome::Bytes),
            Call::Set(connection, option) => connection.set(option)?,
            Call::SetListener(option) => {
                let listener = self.listener.as_ref().ok_or(StepError::NotListening)?;
                options::set(&SockRef::from(listener), option).map_err(refused)?;
            }
            Call::Sleep(duration, _) => thread::sleep(duration),
            Call::StopReading(connection) => _ = connection.ended(),
            // The kernel holds no third ACK back.
            Call::Release => {}
            Call::Shutdown(connection) => connection.shutdown()?,
            Call::Close(connection) => connection.close()?,
            Call::Abort(connection) => connection.abort()?,
            Call::GoSilent => blackhole(&self.home, true).map_err(refused)?,
            Call::Restart => self.restart(machine).map_err(refused)?,
            Call::State(connection, state) => connection.reached(state)?,
            Call::Closed(connection) => return Ok(Outcome::Closed(connection.ended())),
            // The player has no streams of its own, and is never asked for them.
            Call::Input => return Ok(Outcome::Bytes(Vec::new())),
            Call::Output(_) | Call::EndOutput | Call::Relay(_) => {}
        }
        Ok(Outcome::Done)
    }

    fn listen(&mut self, port: u16, backlog: usize) -> io::Result<()> {
        // The one before is closed first: two cannot have the same port.
        self.listener = None;
        let own = SocketAddr::new(self.config.own.ip(), port);
        let socket = socket(own, self.config.options)?;
        if self.config.options.fast_open {
            options::serve_early(&socket)?;
        }
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        self.listener = Some(socket.into());
        Ok(())
    }

    /// Every socket goes silently: our own by TCP_REPAIR, in which the kernel forgets a connection
    /// that is closed. What it would still send for those without a process, and for those that
    /// wait to be accepted, does not get past a blackhole.
    fn restart(&mut self, machine: &Machine<Rc<Connection>>) -> io::Result<()> {
        blackhole(&self.home, true)?;
        machine.connections().for_each(|own| own.forget());
        self.listener = None;
        record::destroy_all()?;
        blackhole(&self.home, false)
    }
}

/// A socket at an address, with the congestion control of profile `linux`, whatever this machine
/// prefers, where the kernel has it. Its port may still have connections in TIME-WAIT.
fn socket(own: SocketAddr, options: SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    let _default_stays = socket.set_tcp_congestion(b"cubic");
    options.apply(&socket)?;
    if own.port() != 0 || own.ip() != Ipv4Addr::UNSPECIFIED {
        socket.bind(&own.into())?;
    }
    Ok(socket)
}

fn refused(error: io::Error) -> StepError {
    StepError::Unexpected(error.to_string())
}

#[cfg(test)]
mod tests;
