//! Two smoltcp engines in memory: the same work as [`Pair`](crate::pair::Pair), to compare with.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

const BUFFER: usize = 1 << 18;

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of a cable in memory; packets are recycled through `spare`, so that neither engine pays
/// for allocations.
struct Cable {
    inbox: Queue,
    outbox: Queue,
    spare: Queue,
}

struct Rx(Vec<u8>, Queue);
struct Tx(Queue, Queue);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.0);
        self.1.borrow_mut().push_back(self.0);
        result
    }
}

impl TxToken for Tx {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = self.1.borrow_mut().pop_front().unwrap_or_default();
        packet.resize(len, 0);
        let result = f(&mut packet);
        self.0.borrow_mut().push_back(packet);
        result
    }
}

impl Device for Cable {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = 1500;
        capabilities.medium = Medium::Ip;
        capabilities
    }

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx)> {
        let packet = self.inbox.borrow_mut().pop_front()?;
        Some((
            Rx(packet, self.spare.clone()),
            Tx(self.outbox.clone(), self.spare.clone()),
        ))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx> {
        Some(Tx(self.outbox.clone(), self.spare.clone()))
    }
}

struct Side {
    device: Cable,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Side {
    fn new(host: u8, inbox: &Queue, outbox: &Queue, spare: &Queue) -> Side {
        let mut device = Cable {
            inbox: inbox.clone(),
            outbox: outbox.clone(),
            spare: spare.clone(),
        };
        let mut interface =
            Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // An empty list has room for one.
            _ = addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, host), 24));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(Socket::new(
            SocketBuffer::new(vec![0; BUFFER]),
            SocketBuffer::new(vec![0; BUFFER]),
        ));
        Side {
            device,
            interface,
            sockets,
            socket,
        }
    }

    fn poll(&mut self, now: Instant) {
        self.interface
            .poll(now, &mut self.device, &mut self.sockets);
    }

    fn tcp(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }
}

/// A client and a server of smoltcp without a network between them.
#[expect(missing_debug_implementations, reason = "smoltcp's interface has none")]
pub struct Smoltcp {
    client: Side,
    server: Side,
    now: Instant,
    port: u16,
}

impl Default for Smoltcp {
    fn default() -> Smoltcp {
        Smoltcp::new()
    }
}

impl Smoltcp {
    /// A pair, each side with one socket.
    pub fn new() -> Smoltcp {
        let there = Queue::default();
        let back = Queue::default();
        let spare = Queue::default();
        let client = Side::new(1, &back, &there, &spare);
        let server = Side::new(2, &there, &back, &spare);
        Smoltcp {
            client,
            server,
            now: Instant::ZERO,
            port: 10_000,
        }
    }

    fn turn(&mut self) {
        self.now += smoltcp::time::Duration::from_micros(50);
        self.client.poll(self.now);
        self.server.poll(self.now);
    }

    /// A connection, established on both sides.
    ///
    /// # Errors
    /// What the engine answers to `listen` and `connect`.
    pub fn connect(&mut self) -> anyhow::Result<()> {
        self.port = if self.port == 60_000 {
            10_000
        } else {
            self.port + 1
        };
        let port = self.port;
        self.server.tcp().listen(7000)?;
        let Side {
            interface,
            sockets,
            socket,
            ..
        } = &mut self.client;
        let remote = (IpAddress::v4(10, 0, 0, 2), 7000);
        let client: &mut Socket<'_> = sockets.get_mut(*socket);
        client.connect(interface.context(), remote, port)?;
        while self.client.tcp().state() != State::Established
            || self.server.tcp().state() != State::Established
        {
            self.turn();
        }
        Ok(())
    }

    /// A connection from its start to its end, without TIME-WAIT.
    ///
    /// # Errors
    /// Those of [`connect`](Smoltcp::connect).
    pub fn connect_and_close(&mut self) -> anyhow::Result<()> {
        self.connect()?;
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        self.client.tcp().close();
        self.turn();
        self.server.tcp().close();
        while self.server.tcp().state() != State::Closed {
            self.turn();
        }
        // TIME-WAIT is cut short on both engines: what is measured is the work, not the wait.
        self.client.tcp().abort();
        self.turn();
    }

    /// Sends `octets` from client to server in writes and reads of `chunk`.
    ///
    /// # Errors
    /// An ended connection.
    pub fn bulk(&mut self, octets: usize, chunk: &mut [u8]) -> anyhow::Result<()> {
        let mut sent = 0;
        let mut received = 0;
        while received < octets {
            while sent < octets && self.client.tcp().can_send() {
                let take = chunk.len().min(octets - sent);
                sent += self.client.tcp().send_slice(&chunk[..take])?;
            }
            self.turn();
            while self.server.tcp().can_recv() {
                received += self.server.tcp().recv_slice(chunk)?;
            }
        }
        Ok(())
    }
}
