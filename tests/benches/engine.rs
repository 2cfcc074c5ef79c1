//! The engine in memory, with smoltcp 0.14 doing the same work in the same run: bulk at MTU 1500
//! with checksums, connect and close.
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use tcpx_proto::config::ConnConfig;
use tcpx_tests::pair::Pair;

const OCTETS: usize = 16 << 20;
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
            addresses
                .push(IpCidr::new(IpAddress::v4(10, 0, 0, host), 24))
                .unwrap()
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

struct Smoltcp {
    client: Side,
    server: Side,
    now: Instant,
    port: u16,
}

impl Smoltcp {
    fn new() -> Smoltcp {
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

    fn connect(&mut self) {
        self.port = if self.port == 60_000 {
            10_000
        } else {
            self.port + 1
        };
        let port = self.port;
        self.server.tcp().listen(7000).unwrap();
        let Side {
            interface,
            sockets,
            socket,
            ..
        } = &mut self.client;
        sockets
            .get_mut::<Socket<'_>>(*socket)
            .connect(
                interface.context(),
                (IpAddress::v4(10, 0, 0, 2), 7000),
                port,
            )
            .unwrap();
        while self.client.tcp().state() != State::Established
            || self.server.tcp().state() != State::Established
        {
            self.turn();
        }
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

    fn bulk(&mut self, chunk: &mut [u8]) {
        let mut sent = 0;
        let mut received = 0;
        while received < OCTETS {
            while sent < OCTETS && self.client.tcp().can_send() {
                let take = chunk.len().min(OCTETS - sent);
                sent += self.client.tcp().send_slice(&chunk[..take]).unwrap();
            }
            self.turn();
            while self.server.tcp().can_recv() {
                received += self.server.tcp().recv_slice(chunk).unwrap();
            }
        }
    }
}

fn conn() -> ConnConfig {
    ConnConfig {
        receive_buffer: BUFFER,
        send_buffer: BUFFER,
        ..ConnConfig::default()
    }
}

fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine bulk, MTU 1500, checksums");
    group
        .throughput(Throughput::Bytes(OCTETS as u64))
        .sample_size(10);
    let mut chunk = vec![7; 65_536];
    group.bench_function(BenchmarkId::from_parameter("tcpx"), |b| {
        let mut pair = Pair::new(&conn()).unwrap();
        let (client, server) = pair.connect(&conn()).unwrap();
        b.iter(|| {
            pair.bulk(client, server, black_box(OCTETS), &mut chunk)
                .unwrap()
        });
    });
    group.bench_function(BenchmarkId::from_parameter("smoltcp"), |b| {
        let mut pair = Smoltcp::new();
        pair.connect();
        b.iter(|| pair.bulk(&mut chunk));
    });
    group.finish();
}

fn connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine connect + close");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::from_parameter("tcpx"), |b| {
        let conn = conn();
        let mut pair = Pair::new(&conn).unwrap();
        b.iter(|| {
            let (client, server) = pair.connect(&conn).unwrap();
            pair.client.shutdown(pair.now, client).unwrap();
            pair.exchange();
            pair.server.close(pair.now, server).unwrap();
            pair.exchange();
            pair.client.abort(pair.now, client).unwrap();
            pair.advance(Duration::from_micros(50));
        });
    });
    group.bench_function(BenchmarkId::from_parameter("smoltcp"), |b| {
        let mut pair = Smoltcp::new();
        b.iter(|| {
            pair.connect();
            pair.close();
        });
    });
    group.finish();
}

criterion_group!(engine, bulk, connections);
criterion_main!(engine);
