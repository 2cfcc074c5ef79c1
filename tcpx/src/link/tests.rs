//! The link against a real kernel, each test in a network namespace of its own.

use super::*;
use crate::capability::Capability;
use crate::guard::tests::{LOCALHOST, in_namespace, sh};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{ChecksumPolicy, Flags, Header, Options, Segment};

const OURS: SocketAddr = SocketAddr::new(LOCALHOST, 7000);
const PEER: SocketAddr = SocketAddr::new(LOCALHOST, 9000);

/// Runs `test` with each kind of link, in a namespace and in a tokio runtime.
fn on_a_wire<T: Future<Output = ()>>(test: impl FnOnce(LinkKind) -> T + Clone + Send + 'static) {
    for kind in LinkKind::ALL {
        let test = test.clone();
        on_one_wire(move || test(kind));
    }
}

fn on_one_wire<T: Future<Output = ()>>(test: impl FnOnce() -> T + Send + 'static) {
    in_namespace(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), test())
                .await
                .expect("still waiting after 20 s")
        });
    });
}

fn open(kind: LinkKind, ports: Ports, guard: GuardKind) -> Result<Link, Error> {
    Link::open(LinkOptions {
        kind,
        guard,
        ..LinkOptions::new(LOCALHOST, ports)
    })
}

pub(super) fn segment(
    source: SocketAddr,
    destination: SocketAddr,
    id: u16,
    ttl: u8,
    text: &[u8],
) -> Vec<u8> {
    let header = Header {
        source,
        destination,
        seq: Seq(1),
        ack: Seq(1),
        flags: Flags::ACK,
        window: 1000,
        urgent: 0,
        options: Options::default(),
        ttl,
        tos: 0,
        id,
    };
    let mut packet = vec![0; 40 + text.len()];
    let len = header.emit((text, &[]), &mut packet).unwrap();
    assert_eq!(len, packet.len());
    packet
}

/// Receives until there were `count` packets.
pub(super) async fn receive(link: &Link, count: usize) -> Vec<(Kind, Vec<u8>)> {
    let mut packets = Vec::new();
    while packets.len() < count {
        link.readable().await.unwrap();
        link.receive(|kind, packet| packets.push((kind, packet.to_vec())))
            .unwrap();
    }
    packets
}

fn id(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[4], packet[5]])
}

pub(super) fn ids(packets: &[(Kind, Vec<u8>)]) -> Vec<u16> {
    packets.iter().map(|(_, packet)| id(packet)).collect()
}

/// A raw ICMP socket, as a router has it.
fn router() -> Socket {
    Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap()
}

/// Destination unreachable, host unreachable, about `quoted`.
fn unreachable(quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![3, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&quoted[..28]);
    let sum: u32 = message
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

#[test]
fn kernel_syn_to_our_port_arrives_whole_and_readable() {
    on_a_wire(|kind| async move {
        let link = open(kind, Ports::Exact(7000), GuardKind::Iptables).unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
        assert!(client.connect(&OURS.into()).is_err());
        let packets = receive(&link, 1).await;
        let syn = Segment::parse(&packets[0].1, ChecksumPolicy::Partial).unwrap();
        assert_eq!(
            (packets[0].0, syn.header.flags, syn.header.destination),
            (Kind::Tcp, Flags::SYN, OURS)
        );
    });
}

#[test]
fn only_segments_for_our_address_and_ports_arrive() {
    on_a_wire(|kind| async move {
        let link = open(kind, Ports::Block(2), GuardKind::Listener).unwrap();
        let low = *link.ports().start();
        let high = *link.ports().end();
        let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        for (n, (address, port)) in [
            (LOCALHOST, low - 1),
            (LOCALHOST, high + 1),
            (other, low),
            (LOCALHOST, low),
            (LOCALHOST, high),
        ]
        .into_iter()
        .enumerate()
        {
            let to = SocketAddr::new(address, port);
            link.send(&segment(PEER, to, n as u16 + 1, 64, b""), to)
                .unwrap();
        }
        assert_eq!(ids(&receive(&link, 2).await), [4, 5]);
        assert_eq!(link.receive(|_, _| {}).unwrap(), 0);
    });
}

#[test]
fn port_is_found_behind_ip_options() {
    on_a_wire(|kind| async move {
        let link = open(kind, Ports::Exact(7000), GuardKind::Listener).unwrap();
        for (id, port) in [(1, 7001u16), (2, 7000)] {
            let plain = segment(PEER, SocketAddr::new(LOCALHOST, port), id, 64, b"");
            let mut packet = plain[..20].to_vec();
            packet[0] = 0x46;
            packet.extend_from_slice(&[1, 1, 1, 1]); // four no-operation options
            packet.extend_from_slice(&plain[20..]);
            link.send(&packet, OURS).unwrap();
        }
        assert_eq!(ids(&receive(&link, 1).await), [2]);
    });
}

#[test]
fn packet_of_64_kib_is_not_cut() {
    on_a_wire(|kind| async move {
        let link = open(kind, Ports::Exact(7000), GuardKind::Listener).unwrap();
        let packet = segment(PEER, OURS, 1, 64, &[7; 65_495]);
        link.send(&packet, OURS).unwrap();
        let received = receive(&link, 1).await;
        assert_eq!(received[0].1.len(), 65_535);
        assert!(received[0].1[40..].iter().all(|octet| *octet == 7));
    });
}

#[test]
fn batch_is_sent_in_order_and_used_again() {
    on_a_wire(|kind| async move {
        let link = open(kind, Ports::Exact(7000), GuardKind::Listener).unwrap();
        let mut batch = SendBatch::new(40, link.mtu());
        for round in [1, 101] {
            for n in 0..40 {
                let packet = segment(PEER, OURS, round + n, 64, b"x");
                batch.room().unwrap()[..packet.len()].copy_from_slice(&packet);
                batch.commit(packet.len(), 1, OURS);
            }
            assert!(batch.is_full() && batch.room().is_none());
            link.flush(&mut batch, |index, error| panic!("{index}: {error}"));
            assert!(batch.is_empty());
            assert_eq!(
                ids(&receive(&link, 40).await),
                (round..round + 40).collect::<Vec<u16>>()
            );
        }
    });
}

#[test]
fn packet_longer_than_the_mtu_is_reported_and_the_rest_of_the_batch_goes() {
    on_a_wire(|kind| async move {
        sh("ip link set lo mtu 1500");
        let link = open(kind, Ports::Exact(7000), GuardKind::Listener).unwrap();
        assert_eq!((link.mtu(), mtu_to(LOCALHOST).unwrap()), (1500, 1500));
        let mut batch = SendBatch::new(8, 2000);
        for (id, text) in [(1, 10), (2, 1461), (3, 1460)] {
            let packet = segment(PEER, OURS, id, 64, &vec![0; text]);
            batch.room().unwrap()[..packet.len()].copy_from_slice(&packet);
            batch.commit(packet.len(), 1, OURS);
        }
        let mut failures = Vec::new();
        link.flush(&mut batch, |index, error| {
            failures.push((index, error.raw_os_error()))
        });
        assert_eq!(failures, [(1, Some(libc::EMSGSIZE))]);
        assert_eq!(ids(&receive(&link, 2).await), [1, 3]);
    });
}

#[test]
fn packet_that_a_firewall_drops_is_reported() {
    on_a_wire(|kind| async move {
        let link = open(kind, Ports::Exact(7000), GuardKind::Listener).unwrap();
        sh("iptables -A OUTPUT -p tcp --dport 7001 -j DROP");
        let refused = SocketAddr::new(LOCALHOST, 7001);
        let error = link
            .send(&segment(OURS, refused, 1, 64, b""), refused)
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    });
}

#[test]
fn our_own_rst_passes_the_rule_that_drops_the_kernels() {
    on_a_wire(|kind| async move {
        let peer = open(kind, Ports::Exact(9000), GuardKind::Iptables).unwrap();
        let link = open(kind, Ports::Exact(7000), GuardKind::Iptables).unwrap();
        let mut rst = segment(OURS, PEER, 5, 64, b"");
        rst[33] = Flags::RST.0;
        link.send(&rst, PEER).unwrap();
        assert_eq!(ids(&receive(&peer, 1).await), [5]);
    });
}

#[test]
fn icmp_error_arrives_only_when_it_quotes_a_segment_of_ours() {
    on_a_wire(|kind| async move {
        let link = open(kind, Ports::Exact(7000), GuardKind::Listener).unwrap();
        let router = router();
        let away = SocketAddr::new(LOCALHOST, 9000);
        let mut udp = segment(OURS, away, 4, 64, b"");
        udp[9] = 17;
        for quoted in [
            segment(PEER, away, 3, 64, b""),
            udp,
            segment(OURS, away, 5, 64, b""),
        ] {
            router
                .send_to(&unreachable(&quoted), &SocketAddr::new(LOCALHOST, 0).into())
                .unwrap();
        }
        let packets = receive(&link, 1).await;
        assert_eq!((packets[0].0, id(&packets[0].1[28..])), (Kind::Icmp, 5));
        assert_eq!(link.receive(|_, _| {}).unwrap(), 0);
    });
}

#[test]
fn full_receive_buffer_is_counted() {
    on_a_wire(|kind| async move {
        let options = LinkOptions {
            guard: GuardKind::Listener,
            receive_buffer: 8192,
            kind,
            ..LinkOptions::new(LOCALHOST, Ports::Exact(7000))
        };
        let link = Link::open(options).unwrap();
        assert_eq!((link.receive_capacity(), link.overflows()), (8192, 0));
        for id in 1..=100 {
            link.send(&segment(PEER, OURS, id, 64, b""), OURS).unwrap();
        }
        link.readable().await.unwrap();
        let mut received = 0;
        while link.receive(|_, _| received += 1).unwrap() > 0 {}
        assert!(
            received > 0 && link.overflows() == 100 - received,
            "{received} received, {} lost",
            link.overflows()
        );
    });
}

#[test]
fn full_ttl_is_counted_only_where_the_listener_is_all_there_is() {
    // Each in a world of its own: a child that another test is just starting may hold a copy of a
    // closed socket for a moment.
    for (without_admin, expected) in [(false, 0), (true, 1)] {
        on_a_wire(move |kind| async move {
            if without_admin {
                let mut sets = rustix::thread::capabilities(None).unwrap();
                sets.effective = rustix::thread::CapabilitySet::NET_RAW;
                sets.permitted = sets.effective;
                sets.inheritable = rustix::thread::CapabilitySet::empty();
                rustix::thread::set_capabilities(None, sets).unwrap();
            }
            let link = open(kind, Ports::Exact(7000), GuardKind::Listener).unwrap();
            for ttl in [64, 254, 255] {
                link.send(&segment(PEER, OURS, 1, ttl, b""), OURS).unwrap();
            }
            receive(&link, 3).await;
            assert_eq!(link.full_ttl_packets(), expected);
        });
    }
}

#[test]
fn sockets_work_after_every_capability_is_dropped() {
    on_a_wire(|kind| async move {
        let link = open(kind, Ports::Exact(7000), GuardKind::Iptables).unwrap();
        privileges::drop_all().unwrap();
        assert!(!Capability::NetRaw.effective() && rustix::thread::no_new_privs().unwrap());
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(
                status.contains(&format!("{set}:\t0000000000000000")),
                "{status}"
            );
        }
        assert!(matches!(
            open(kind, Ports::Exact(7001), GuardKind::Listener),
            Err(Error::Privilege {
                capability: Capability::NetRaw,
                ..
            })
        ));
        link.send(&segment(PEER, OURS, 1, 64, b""), OURS).unwrap();
        assert_eq!(ids(&receive(&link, 1).await), [1]);
    });
}

#[test]
fn kernel_stays_quiet_for_a_whole_block_and_lets_go_of_it_at_the_end() {
    on_a_wire(|kind| async move {
        let link = open(kind, Ports::Block(1000), GuardKind::Listener).unwrap();
        let ports = link.ports();
        assert_eq!(ports.len(), 1000);
        let port = *ports.start() + 500;
        let to = SocketAddr::new(LOCALHOST, port);
        assert_eq!(
            TcpStream::connect_timeout(&to, Duration::from_millis(50))
                .unwrap_err()
                .kind(),
            io::ErrorKind::TimedOut
        );
        drop(link);
        assert_eq!(
            TcpStream::connect(to).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn address_that_is_not_ours_is_refused() {
    in_namespace(|| {
        for foreign in ["192.0.2.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"] {
            let error = Link::open(LinkOptions::new(foreign.parse().unwrap(), Ports::Block(1)))
                .unwrap_err();
            assert!(
                matches!(error, Error::AddressNotLocal(_)),
                "{foreign}: {error}"
            );
        }
        let error =
            Link::open(LinkOptions::new("::1".parse().unwrap(), Ports::Block(1))).unwrap_err();
        assert!(matches!(error, Error::Ipv6(_)), "{error}");
    });
}

/// Proves MUST-44.
#[test]
fn mtu_and_source_are_those_of_the_interface_with_the_address() {
    on_a_wire(|kind| async move {
        sh(
            "ip link add os0 mtu 1400 type veth peer name os1 && ip link set os1 up && ip link \
             set os0 up && ip address add 10.9.9.1/24 dev os0",
        );
        let ours = "10.9.9.1".parse().unwrap();
        let peer = "10.9.9.2".parse().unwrap();
        let link = Link::open(LinkOptions::new(ours, Ports::Block(1))).unwrap();
        assert_eq!((link.mtu(), link.address()), (1400, ours));
        assert_eq!(
            (
                source_for(SocketAddr::new(peer, 7)).unwrap(),
                mtu_to(peer).unwrap()
            ),
            (ours, 1400)
        );
        assert_eq!(
            open(kind, Ports::Block(1), GuardKind::Listener)
                .unwrap()
                .mtu(),
            65_535
        );
    });
}

#[test]
fn peer_without_a_route_has_no_source() {
    in_namespace(|| {
        let error = source_for("192.0.2.1:7".parse().unwrap()).unwrap_err();
        assert!(matches!(error, Error::NoRoute(_)), "{error}");
    });
}
