//! Which TCP sockets the kernel of a namespace has, in which states: asked again and again
//! (sock_diag(7)), each change noted.
//!
//! What is shorter than the time between two looks is not seen: a handshake on this cable takes 0.1
//! ms.

use libc::c_int;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tcpx::netns::Namespace;
use tcpx::owner::kernel_state;
use tcpx_proto::state::State;

/// A socket, at the look that first showed it so.
#[derive(Clone, PartialEq, Debug)]
pub struct Sighting {
    /// When the kernel had answered: seconds on the clock of [`now`](super::now).
    pub at: f64,
    /// When the look before began: the change came after that.
    pub since: f64,
    /// The kernel's number of the socket. A connection keeps it from the first SYN to the end of
    /// TIME-WAIT, whatever structure of the kernel holds it, and no two have the same.
    pub cookie: u64,
    /// Its own end.
    pub local: SocketAddr,
    /// The peer's end; all zero for a listener.
    pub remote: SocketAddr,
    /// In the RFC's spelling; `CLOSED` when the socket is gone.
    pub state: State,
    /// It listens, or it came to a port of a listener: a SYN opened it, rather than a call.
    pub passive: bool,
    /// The timer that runs.
    pub timer: Option<Timer>,
    /// How often that timer has expired in a row: retransmissions, of a SYN,ACK too, or probes.
    pub expirations: u8,
    /// Bytes that the application has not read; connections that a listener's has not accepted.
    pub receive_queue: u32,
    /// Bytes that are not acknowledged; for a listener the longest that its queue may be.
    pub send_queue: u32,
}

/// The timer of a socket, as the kernel shows it: one at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// Retransmission; also the loss probe.
    Retransmission,
    /// Keepalive; also the wait in FIN-WAIT-2 for a socket that its process has closed.
    KeepAlive,
    /// TIME-WAIT, or FIN-WAIT-2 without a socket.
    TimeWait,
    /// A probe of a window that is 0.
    Probe,
}

/// What was seen.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Seen {
    /// When each look began, and when it ended.
    pub looks: Vec<(f64, f64)>,
    /// Each socket at first sight and whenever something about it had changed, in order. Those that
    /// were gone come first in a look.
    pub sightings: Vec<Sighting>,
}

/// A watch that goes on. It ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    orders: Sender<Sender<()>>,
    watcher: Option<JoinHandle<io::Result<Seen>>>,
}

impl Watch {
    /// Looks at once, and then `every` so often, at all IPv4 TCP sockets of the namespace.
    ///
    /// # Errors
    /// Those of opening a netlink socket in the namespace, and of the first look.
    pub fn start(inside: &Namespace, every: Duration) -> io::Result<Watch> {
        let kernel = inside.run(Kernel::open)?;
        let (orders, told) = mpsc::channel();
        let mut watcher = Watcher {
            kernel,
            known: HashMap::new(),
            listened: HashSet::new(),
            seen: Seen::default(),
        };
        watcher.look()?;
        let watch = move || watcher.run(every, &told);
        Ok(Watch {
            orders,
            watcher: Some(
                thread::Builder::new()
                    .name("watch".to_owned())
                    .spawn(watch)?,
            ),
        })
    }

    /// Looks now; returns when that is done.
    pub fn look(&self) {
        let (done, wait) = mpsc::channel();
        // A watcher that has failed says so when it is stopped.
        if self.orders.send(done).is_ok() {
            let _failed = wait.recv();
        }
    }

    /// Looks once more and ends.
    ///
    /// # Errors
    /// The kernel did not answer a look.
    pub fn stop(mut self) -> io::Result<Seen> {
        self.look();
        self.end()
            .unwrap_or_else(|| Err(io::Error::other("the watch was stopped before")))
    }

    fn end(&mut self) -> Option<io::Result<Seen>> {
        let watcher = self.watcher.take()?;
        // Without a sender the watcher ends.
        self.orders = mpsc::channel().0;
        Some(
            watcher
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _unused = self.end();
    }
}

/// The watching thread's part.
struct Watcher {
    kernel: Kernel,
    /// The sockets that there were at the last look, by cookie.
    known: HashMap<u64, Sighting>,
    /// Where a socket has listened.
    listened: HashSet<u16>,
    seen: Seen,
}

impl Watcher {
    fn run(mut self, every: Duration, orders: &Receiver<Sender<()>>) -> io::Result<Seen> {
        let mut next = Instant::now() + every;
        loop {
            let order = orders.recv_timeout(next.saturating_duration_since(Instant::now()));
            if matches!(order, Err(RecvTimeoutError::Disconnected)) {
                return Ok(self.seen);
            }
            self.look()?;
            next = next.max(Instant::now()) + every;
            if let Ok(done) = order {
                let _unheard = done.send(());
            }
        }
    }

    fn look(&mut self) -> io::Result<()> {
        let began = super::now();
        let sockets = self.kernel.sockets()?;
        let at = super::now();
        let since = self.seen.looks.last().map_or(began, |(began, _)| *began);
        self.seen.looks.push((began, at));
        let there: HashSet<u64> = sockets.iter().map(|socket| socket.cookie).collect();
        let mut gone: Vec<Sighting> = self
            .known
            .extract_if(|cookie, _| !there.contains(cookie))
            .map(|(_, gone)| gone)
            .collect();
        gone.sort_by_key(|gone| gone.cookie);
        self.seen
            .sightings
            .extend(gone.into_iter().map(|gone| Sighting {
                at,
                since,
                state: State::Closed,
                timer: None,
                expirations: 0,
                ..gone
            }));
        let listening = sockets
            .iter()
            .filter(|socket| socket.state == State::Listen);
        self.listened
            .extend(listening.map(|socket| socket.local.port()));
        for socket in sockets {
            let before = self.known.get(&socket.cookie);
            let opened =
                || socket.state != State::SynSent && self.listened.contains(&socket.local.port());
            let sighting = Sighting {
                at,
                since,
                passive: before.map_or_else(opened, |before| before.passive),
                ..socket
            };
            if before.is_none_or(|before| differ(before, &sighting)) {
                self.known.insert(sighting.cookie, sighting.clone());
                self.seen.sightings.push(sighting);
            }
        }
        Ok(())
    }
}

fn differ(before: &Sighting, now: &Sighting) -> bool {
    let facts = |s: &Sighting| {
        (
            s.state,
            s.timer,
            s.expirations,
            s.receive_queue,
            s.send_queue,
        )
    };
    facts(before) != facts(now)
}

/// A netlink socket in the namespace.
///
/// The messages are read here and not by netlink-packet-sock-diag, which leaves out how many probes
/// were sent.
#[derive(Debug)]
pub struct Kernel {
    socket: Socket,
    sequence: u32,
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
const REQUEST: usize = 16 + 56;
/// `struct nlmsghdr` and `struct inet_diag_msg`.
const ANSWER: usize = 16 + 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// The kernel answers at once.
const PATIENCE: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

impl Kernel {
    /// In the calling thread's namespace.
    ///
    /// # Errors
    /// Those of opening a netlink socket.
    pub fn open() -> io::Result<Kernel> {
        let socket = Socket::new(
            Domain::from(libc::AF_NETLINK),
            Type::DGRAM,
            Some(Protocol::from(libc::NETLINK_SOCK_DIAG)),
        )?;
        Ok(Kernel {
            socket,
            sequence: 0,
        })
    }

    /// Every IPv4 TCP socket in any state. Request sockets are shown as SYN-RECEIVED, those of
    /// TIME-WAIT in the state that they stand for.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn sockets(&mut self) -> io::Result<Vec<Sighting>> {
        self.sequence += 1;
        self.socket.write_all(&request(
            SOCK_DIAG_BY_FAMILY,
            libc::NLM_F_DUMP,
            self.sequence,
        ))?;
        let mut sockets = Vec::new();
        let mut buffer = [0; 1 << 15];
        loop {
            if poll(
                &mut [PollFd::new(&self.socket, PollFlags::IN)],
                Some(&PATIENCE),
            )? == 0
            {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the kernel does not say which sockets it has",
                ));
            }
            let length = self.socket.read(&mut buffer)?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((message, kind, after)) = message(rest) {
                match i32::from(kind) {
                    libc::NLMSG_DONE => return Ok(sockets),
                    libc::NLMSG_ERROR => return Err(refusal(message)),
                    _ if kind == SOCK_DIAG_BY_FAMILY => sockets.extend(sighting(message)),
                    _ => {}
                }
                rest = after;
            }
        }
    }

    /// Ends a socket (tcp_abort): with a RST where the RFC's ABORT sends one. One that is gone
    /// already is no error.
    ///
    /// # Errors
    /// The kernel refuses: EPERM without CAP_NET_ADMIN.
    pub fn destroy(&mut self, socket: &Sighting) -> io::Result<()> {
        self.sequence += 1;
        let mut request = request(SOCK_DESTROY, libc::NLM_F_ACK, self.sequence);
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (socket.local, socket.remote) else {
            return Ok(());
        };
        request[24..26].copy_from_slice(&local.port().to_be_bytes());
        request[26..28].copy_from_slice(&remote.port().to_be_bytes());
        request[28..32].copy_from_slice(&local.ip().octets());
        request[44..48].copy_from_slice(&remote.ip().octets());
        request[COOKIE..COOKIE + 8].copy_from_slice(&socket.cookie.to_ne_bytes());
        self.socket.write_all(&request)?;
        let mut buffer = [0; 1 << 12];
        let length = self.socket.read(&mut buffer)?;
        let answer =
            message(buffer.get(..length).unwrap_or_default()).map(|(message, ..)| refusal(message));
        match answer {
            Some(error) if ![0, libc::ENOENT].map(Some).contains(&error.raw_os_error()) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

/// Where the socket's number stands in a request: after the states, two ports, two addresses and
/// the interface.
const COOKIE: usize = 16 + 8 + 4 + 32 + 4;

/// About the IPv4 TCP sockets in any state: everything else is 0.
fn request(kind: u16, flags: c_int, sequence: u32) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    let flags = (libc::NLM_F_REQUEST | flags) as u16;
    bytes[..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    bytes[16] = libc::AF_INET as u8;
    bytes[17] = libc::IPPROTO_TCP as u8;
    // The states, one bit each.
    bytes[20..24].copy_from_slice(&u32::MAX.to_ne_bytes());
    bytes
}

/// The first netlink message, its type, and what follows it.
fn message(bytes: &[u8]) -> Option<(&[u8], u16, &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let message = bytes.get(..length).filter(|message| message.len() >= 16)?;
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((message, u16::from_ne_bytes([message[4], message[5]]), after))
}

/// What an error message says.
fn refusal(message: &[u8]) -> io::Error {
    let code = message
        .get(16..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    io::Error::from_raw_os_error(-code)
}

/// Reads `struct inet_diag_msg` (linux/inet_diag.h). `None` for a socket that is bound and nothing
/// else.
fn sighting(message: &[u8]) -> Option<Sighting> {
    let answer: &[u8; ANSWER] = message.first_chunk()?;
    let word = |at: usize| {
        u32::from_ne_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]])
    };
    let end = |port: usize, address: usize| {
        let bytes = [
            answer[address],
            answer[address + 1],
            answer[address + 2],
            answer[address + 3],
        ];
        SocketAddr::new(
            Ipv4Addr::from(bytes).into(),
            u16::from_be_bytes([answer[port], answer[port + 1]]),
        )
    };
    let state = kernel_state(answer[17])?;
    Some(Sighting {
        at: 0.0,
        since: 0.0,
        cookie: u64::from(word(60)) | u64::from(word(64)) << 32,
        local: end(20, 24),
        remote: end(22, 40),
        state,
        passive: state == State::Listen,
        timer: timer(answer[18]),
        expirations: answer[19],
        receive_queue: word(72),
        send_queue: word(76),
    })
}

/// The kernel's number of a timer (sock_diag(7)).
const fn timer(number: u8) -> Option<Timer> {
    Some(match number {
        1 => Timer::Retransmission,
        2 => Timer::KeepAlive,
        3 => Timer::TimeWait,
        4 => Timer::Probe,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::sample::Sample;
    use crate::pair::plain_pair;
    use std::net::{TcpListener, TcpStream};
    use tcpx::netns::{A, B};

    const EVERY: Duration = Duration::from_millis(5);

    /// The states of the connection at this end, in order, repetitions left out.
    fn states(seen: &Seen, of: impl Fn(&Sighting) -> bool) -> Vec<State> {
        let mut states: Vec<State> = seen
            .sightings
            .iter()
            .filter(|sighting| of(sighting))
            .map(|sighting| sighting.state)
            .collect();
        states.dedup();
        states
    }

    #[test]
    fn connection_is_seen_in_each_state_that_lasts() {
        let Some((a, b)) = plain_pair() else { return };
        let client = Watch::start(&a, EVERY).unwrap();
        let server = Watch::start(&b, EVERY).unwrap();
        let look = || [&client, &server].map(Watch::look);
        let listener = b.run(|| TcpListener::bind((B, 7))).unwrap();
        look();
        let ours = a.run(|| TcpStream::connect((B, 7))).unwrap();
        look();
        let (theirs, peer) = listener.accept().unwrap();
        look();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        look();
        drop(theirs);
        look();
        drop((ours, listener));
        let [client, server] = [client, server].map(|watch| watch.stop().unwrap());
        let in_order = |seen: &Seen| {
            seen.looks.is_sorted() && seen.sightings.is_sorted_by_key(|sighting| sighting.at)
        };
        assert!(in_order(&client) && in_order(&server));
        let of_it = |sighting: &Sighting| {
            sighting.local == peer && !sighting.passive && sighting.state != State::SynSent
        };
        let active = states(&client, of_it);
        // Whether our FIN is acknowledged yet is the other end's delayed ACK.
        let [first, waits @ .., last] = &active[..] else {
            panic!("{active:?}")
        };
        assert_eq!((*first, *last), (State::Established, State::TimeWait));
        assert!(
            !waits.is_empty()
                && waits
                    .iter()
                    .all(|state| matches!(state, State::FinWait1 | State::FinWait2)),
            "{active:?}"
        );
        let passive = states(&server, |sighting| {
            sighting.remote == peer && sighting.passive
        });
        assert_eq!(
            passive,
            [State::Established, State::CloseWait, State::Closed]
        );
        let queue =
            |sighting: &&Sighting| sighting.state == State::Listen && sighting.receive_queue == 1;
        assert!(
            server.sightings.iter().any(|sighting| queue(&sighting)),
            "the queue of the listener: {server:#?}"
        );
        assert_eq!(
            states(&server, |sighting| sighting.remote.port() == 0),
            [State::Listen, State::Closed]
        );
        let cookies: HashSet<u64> = client
            .sightings
            .iter()
            .map(|sighting| sighting.cookie)
            .collect();
        assert_eq!(
            cookies.len(),
            1,
            "TIME-WAIT is the same connection: {client:#?}"
        );
    }

    #[test]
    fn half_open_connection_is_seen_with_the_retransmissions_of_its_syn_ack() {
        let Some((a, b)) = plain_pair() else { return };
        // Nobody answers the SYN,ACK: the client is silent before it arrives.
        let listener = b.run(|| TcpListener::bind((B, 7))).unwrap();
        let watch = Watch::start(&b, EVERY).unwrap();
        crate::linux::cable::blackhole(&a, true).unwrap();
        // To b's own device it comes from nowhere else than the loopback; the answer goes out to
        // the silent host.
        crate::linux::kernel::sysctl(&b, "net.ipv4.conf.all.accept_local", "1").unwrap();
        crate::linux::kernel::send(&b, &Sample::SYN.bytes()).unwrap();
        let repeats = || crate::linux::kernel::counters(&b).unwrap()["TcpRetransSegs"];
        while repeats() == 0 {
            thread::sleep(EVERY);
        }
        watch.look();
        drop(listener);
        let seen = watch.stop().unwrap();
        let half_open: Vec<&Sighting> = seen
            .sightings
            .iter()
            .filter(|sighting| sighting.state == State::SynReceived)
            .collect();
        let told: Vec<(bool, Option<Timer>, u8)> = half_open
            .iter()
            .map(|s| (s.passive, s.timer, s.expirations))
            .collect();
        assert_eq!(
            told,
            [
                (true, Some(Timer::Retransmission), 0),
                (true, Some(Timer::Retransmission), 1)
            ]
        );
        assert_eq!(half_open[0].remote, (A, 9).into());
    }

    #[test]
    fn unanswered_syn_is_seen_waiting() {
        let Some((a, b)) = plain_pair() else { return };
        crate::linux::cable::blackhole(&b, true).unwrap();
        let watch = Watch::start(&a, EVERY).unwrap();
        let timeout = Duration::from_millis(50);
        assert!(
            a.run(|| TcpStream::connect_timeout(&(B, 7).into(), timeout))
                .is_err()
        );
        let seen = watch.stop().unwrap();
        let mut told = seen
            .sightings
            .iter()
            .map(|sighting| (sighting.state, sighting.timer, sighting.passive));
        assert_eq!(
            told.next(),
            Some((State::SynSent, Some(Timer::Retransmission), false))
        );
        assert_eq!(told.next_back(), Some((State::Closed, None, false)));
    }
}
