//! The kernel as the host: a socket for each case.

use super::case::{Call, Case};
use super::info::Info;
use super::side::{Host, Outcome, Sight};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;
use tcpx::netns::Namespace;
use tcpx_lab::linux::sockets::Kernel as Sockets;
use tcpx_proto::state::State;

/// What must not carry over from one connection to the next, or depend on how many there are.
const SYSCTLS: [(&str, &str); 4] = [
    ("tcp_no_metrics_save", "1"),
    ("tcp_max_syn_backlog", "100000"),
    ("tcp_challenge_ack_limit", "2147483647"),
    ("icmp_ratelimit", "0"),
];

/// The kernel of the calling thread's namespace.
#[derive(Debug)]
pub struct Kernel {
    sockets: Sockets,
    listeners: HashMap<u16, Socket>,
    connections: HashMap<u16, Socket>,
    written: HashMap<u16, usize>,
}

impl Kernel {
    /// In this namespace, which the calling thread must be in when it makes calls.
    ///
    /// # Errors
    /// Those of opening a netlink socket.
    pub fn new(inside: &Namespace) -> io::Result<Kernel> {
        inside.run(|| {
            for (name, value) in SYSCTLS {
                // Not every one belongs to a namespace in every kernel.
                _ = fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
            }
            Ok(())
        })?;
        Ok(Kernel {
            sockets: inside.run(Sockets::open)?,
            listeners: HashMap::new(),
            connections: HashMap::new(),
            written: HashMap::new(),
        })
    }
}

fn socket(local: SocketAddr, no_delay: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(no_delay)?;
    // Whatever this machine prefers: BBR would send at its own pace.
    socket.set_tcp_congestion(b"cubic")?;
    socket.bind(&local.into())?;
    Ok(socket)
}

impl Host for Kernel {
    fn open(&mut self, case: &Case, local: SocketAddr) -> io::Result<()> {
        self.written.insert(local.port(), 0);
        if !case.is_active() {
            let listener = socket(local, case.no_delay)?;
            listener.listen(16)?;
            self.listeners.insert(local.port(), listener);
        }
        Ok(())
    }

    fn call(&mut self, case: &Case, ends: (SocketAddr, SocketAddr), call: Call) -> Outcome {
        let (local, remote) = ends;
        let port = local.port();
        match call {
            Call::Connect => {
                let Ok(socket) = socket(local, case.no_delay) else {
                    return Outcome::Nothing;
                };
                _ = socket.connect(&remote.into());
                self.connections.insert(port, socket);
                return Outcome::Done;
            }
            Call::Accept => {
                let Some(listener) = self.listeners.get(&port) else {
                    return Outcome::Nothing;
                };
                return match listener.accept() {
                    Ok((socket, _)) => {
                        _ = socket.set_nonblocking(true);
                        self.connections.insert(port, socket);
                        Outcome::Done
                    }
                    Err(_) => Outcome::Nothing,
                };
            }
            Call::Unlisten => {
                self.listeners.remove(&port);
                return Outcome::Done;
            }
            Call::Close => {
                return match self.connections.remove(&port) {
                    Some(_) => Outcome::Done,
                    None => Outcome::Nothing,
                };
            }
            Call::Abort => {
                return match self.connections.remove(&port) {
                    Some(socket) => {
                        _ = socket.set_linger(Some(Duration::ZERO));
                        Outcome::Done
                    }
                    None => Outcome::Nothing,
                };
            }
            _ => {}
        }
        let Some(socket) = self.connections.get(&port) else {
            return Outcome::Nothing;
        };
        match call {
            Call::Read(most) => Outcome::read(most, |into| (&*socket).read(into)),
            Call::Write(bytes) => {
                let written = self.written.entry(port).or_default();
                let data = super::side::written(*written, bytes);
                match socket.send_with_flags(&data, libc::MSG_NOSIGNAL) {
                    Ok(taken) => {
                        *written += taken;
                        Outcome::Wrote(taken)
                    }
                    Err(error) => Outcome::Refused(error.kind()),
                }
            }
            _ => match socket.shutdown(std::net::Shutdown::Write) {
                Ok(()) => Outcome::Done,
                Err(error) => Outcome::Refused(error.kind()),
            },
        }
    }

    fn sights(&mut self) -> io::Result<HashMap<(u16, SocketAddr), Sight>> {
        Ok(self
            .sockets
            .sockets()?
            .into_iter()
            .filter(|seen| seen.state != State::Listen)
            .map(|seen| {
                let socket = self.connections.get(&seen.local.port());
                let sight = Sight {
                    state: seen.state,
                    info: socket.and_then(|socket| Info::of_socket(socket).ok()),
                };
                ((seen.local.port(), seen.remote), sight)
            })
            .collect())
    }

    fn clear(&mut self) -> io::Result<()> {
        for socket in self.connections.values() {
            _ = socket.set_linger(Some(Duration::ZERO));
        }
        self.connections.clear();
        self.listeners.clear();
        self.written.clear();
        for left in self.sockets.sockets()? {
            self.sockets.destroy(&left)?;
        }
        Ok(())
    }
}
