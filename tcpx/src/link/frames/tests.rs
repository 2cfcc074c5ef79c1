//! Frames on a cable between two namespaces, judged by the raw IP socket at its other end.

use super::*;
use crate::guard::tests::sh;
use crate::host::HostOptions;
use crate::link::tests::{ids, receive, segment};
use crate::link::{Kind, Link, LinkKind, LinkOptions};
use crate::netns::skip::skip;
use crate::netns::{A, B, Cable, DEVICE, Namespace, hardware_address, pair};
use crate::ports::{GuardKind, Ports};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NEAR: SocketAddr = SocketAddr::new(IpAddr::V4(A), 7000);
const FAR: SocketAddr = SocketAddr::new(IpAddr::V4(B), 9000);

/// Runs `test` in a runtime in the namespace of [`A`], with that of [`B`].
fn on_a_cable<T: Future<Output = ()>>(test: impl FnOnce(Namespace) -> T + Send) {
    on_a(Cable::PLAIN, test);
}

fn on_a<T: Future<Output = ()>>(cable: Cable, test: impl FnOnce(Namespace) -> T + Send) {
    let (a, b) = match pair(cable) {
        Ok(ends) => ends,
        Err(error) => {
            skip(format_args!("a network namespace cannot be made: {error}"));
            return;
        }
    };
    // The cable lives as long as both namespaces, whatever the test does with this one.
    let _other = b.fd().try_clone_to_owned().unwrap();
    a.run(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(async {
                tokio::time::timeout(Duration::from_secs(20), test(b))
                    .await
                    .map_err(io::Error::other)
            })
    })
    .unwrap();
}

fn open_link(kind: LinkKind, at: SocketAddr) -> Link {
    Link::open(LinkOptions {
        kind,
        guard: GuardKind::Listener,
        ..LinkOptions::new(at.ip(), Ports::Exact(at.port()))
    })
    .unwrap()
}

fn far_end(b: &Namespace) -> Link {
    b.run(|| Ok(open_link(LinkKind::Raw, FAR))).unwrap()
}

/// Sends packets with these ids, in one batch, and gives the indices and errors of those that were
/// not sent.
fn send(link: &Link, to: SocketAddr, ids: RangeInclusive<u16>) -> Vec<(usize, Option<i32>)> {
    let mut batch = SendBatch::new(ids.len(), link.mtu());
    for id in ids {
        let from = SocketAddr::new(link.address(), *link.ports().start());
        let packet = segment(from, to, id, 64, b"text");
        batch.room().unwrap()[..packet.len()].copy_from_slice(&packet);
        batch.commit(packet.len(), 1, to);
    }
    let mut failures = Vec::new();
    link.flush(&mut batch, |index, error| {
        failures.push((index, error.raw_os_error()));
    });
    failures
}

#[test]
fn all_packets_but_the_first_to_a_neighbour_go_past_the_firewall() {
    on_a_cable(|b| async move {
        let near = open_link(LinkKind::Packet, NEAR);
        let far = far_end(&b);
        sh("iptables -A OUTPUT -p tcp --dport 9000 -j DROP");
        let refused = vec![(0, Some(libc::EPERM))];
        assert_eq!(send(&near, FAR, 1..=3), refused);
        assert_eq!(send(&near, FAR, 4..=5), []);
        assert_eq!(ids(&receive(&far, 4).await), [2, 3, 4, 5]);
        // Not so with the other kind of link. It has another port: a child that another test is
        // just starting may hold a copy of a closed socket for a moment.
        let raw = open_link(LinkKind::Raw, SocketAddr::new(NEAR.ip(), 7001));
        assert_eq!(send(&raw, FAR, 1..=3).len(), 3);
    });
}

#[test]
fn neighbour_that_is_not_known_is_resolved_by_the_first_packet() {
    on_a_cable(|b| async move {
        let near = open_link(LinkKind::Packet, NEAR);
        let far = far_end(&b);
        sh(&format!("ip neighbour del {B} dev {DEVICE}"));
        assert_eq!(send(&near, FAR, 1..=1), []);
        assert_eq!(ids(&receive(&far, 1).await), [1]);
        sh("iptables -A OUTPUT -p tcp --dport 9000 -j DROP");
        assert_eq!(send(&near, FAR, 2..=2), []);
        assert_eq!(ids(&receive(&far, 1).await), [2]);
    });
}

#[test]
fn neighbour_that_does_not_answer_is_reported_unreachable() {
    on_a_cable(|_| async {
        let near = open_link(LinkKind::Packet, NEAR);
        sh(&format!(
            "ip ntable change name arp_cache dev {DEVICE} retrans 10 mcast_probes 1"
        ));
        send(&near, SocketAddr::from(([10, 77, 0, 77], 9000)), 1..=2);
        let errors = receive(&near, 1).await;
        assert_eq!((errors[0].0, errors[0].1[20]), (Kind::Icmp, 3));
    });
}

#[test]
fn peer_without_a_route_is_reported() {
    on_a_cable(|_| async {
        let near = open_link(LinkKind::Packet, NEAR);
        let failures = send(&near, "192.0.2.1:9000".parse().unwrap(), 1..=2);
        let unreachable = Some(libc::ENETUNREACH);
        assert_eq!(failures, [(0, unreachable), (1, unreachable)]);
    });
}

#[test]
fn frame_longer_than_the_mtu_is_reported_and_the_rest_goes() {
    on_a_cable(|b| async move {
        let near = open_link(LinkKind::Packet, NEAR);
        let far = far_end(&b);
        let mut batch = SendBatch::new(8, 2000);
        for (id, text) in [(1, 10), (2, 1461), (3, 1460), (4, 1461)] {
            let packet = segment(NEAR, FAR, id, 64, &vec![0; text]);
            batch.room().unwrap()[..packet.len()].copy_from_slice(&packet);
            batch.commit(packet.len(), 1, FAR);
        }
        let mut failures = Vec::new();
        near.flush(&mut batch, |index, error| {
            failures.push((index, error.raw_os_error()))
        });
        let too_long = Some(libc::EMSGSIZE);
        assert_eq!(failures, [(1, too_long), (3, too_long)]);
        assert_eq!(ids(&receive(&far, 2).await), [1, 3]);
    });
}

/// Sends whole frames, headers included.
struct Wire(Socket);

impl Wire {
    fn of(b: &Namespace) -> Wire {
        Wire(b.run(|| open(Type::RAW).map_err(io::Error::other)).unwrap())
    }

    fn send(&self, b: &Namespace, header: &[u8], packet: &[u8]) {
        let interface = b.run(crate::netns::device::index).unwrap();
        let mut frame = [header, packet].concat();
        let mut part = batch::iovec(frame.as_mut_ptr(), frame.len());
        let to = target(interface);
        let len = size_of_val(&to) as libc::socklen_t;
        let address = Some(((&raw const to).cast(), len));
        let mut header = batch::header(std::slice::from_mut(&mut part), address);
        let refused = |_, error: io::Error| panic!("{error}");
        // SAFETY: the header points at `part`, `frame` and `to`.
        unsafe { batch::send(&self.0, std::slice::from_mut(&mut header), 0, refused) };
    }
}

/// The header of a frame from [`B`] to this hardware address.
fn to_hardware(address: &[u8]) -> Vec<u8> {
    [address, &hardware_address(B), &[8, 0]].concat()
}

#[test]
fn what_the_kernels_ip_would_drop_does_not_arrive() {
    on_a_cable(|b| async move {
        let near = open_link(LinkKind::Packet, NEAR);
        let wire = Wire::of(&b);
        let ours = to_hardware(&hardware_address(A));
        let from = |address: [u8; 4]| SocketAddr::from((address, 9000));
        let mut wrong_sum = segment(FAR, NEAR, 2, 64, b"");
        wrong_sum[10] ^= 1;
        let mut cut = segment(FAR, NEAR, 3, 64, b"text");
        cut.truncate(42);
        for packet in [
            &segment(FAR, NEAR, 1, 64, b""),
            &wrong_sum,
            &cut,
            &segment(NEAR, NEAR, 4, 64, b""),
            &segment(from([127, 0, 0, 1]), NEAR, 5, 64, b""),
        ] {
            wire.send(&b, &ours, packet);
        }
        let elsewhere = to_hardware(&hardware_address(crate::netns::STRANGER));
        for foreign in [elsewhere, to_hardware(&[255; 6])] {
            wire.send(&b, &foreign, &segment(FAR, NEAR, 6, 64, b""));
        }
        // Of a VLAN that we are not in: such a packet comes by its own device, if there is one.
        let tagged = [&ours[..12], &[0x81, 0, 0, 5], &ours[12..]].concat();
        wire.send(&b, &tagged, &segment(FAR, NEAR, 6, 64, b""));
        // Padded, as Ethernet pads short frames.
        let padded = [&segment(FAR, NEAR, 7, 64, b"")[..], &[0xee; 6]].concat();
        wire.send(&b, &ours, &padded);
        let received = receive(&near, 2).await;
        assert_eq!((ids(&received), received[1].1.len()), (vec![1, 7], 40));
    });
}

#[test]
fn fragments_arrive_as_one_packet() {
    on_a_cable(|b| async move {
        let near = open_link(LinkKind::Packet, NEAR);
        let far = far_end(&b);
        let whole = segment(FAR, NEAR, 1, 64, &[7; 2000]);
        let cut = 20 + 1024;
        let more = [0x20, 0];
        let rest = (1024u16 / 8).to_be_bytes();
        for (place, text) in [(more, &whole[20..cut]), (rest, &whole[cut..])] {
            let mut fragment = [&whole[..20], text].concat();
            fragment[6..8].copy_from_slice(&place);
            far.send(&fragment, NEAR).unwrap();
        }
        let received = receive(&near, 1).await;
        assert_eq!(received[0].1[20..], whole[20..]);
    });
}

#[test]
fn kernel_stays_quiet_about_what_packet_sockets_receive() {
    on_a_cable(|b| async move {
        for (guard, port) in [(GuardKind::Listener, 7001), (GuardKind::Iptables, 7002)] {
            let at = SocketAddr::new(NEAR.ip(), port);
            let connect = || TcpStream::connect_timeout(&at, Duration::from_millis(50));
            let refused = b.run(connect).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let link = Link::open(LinkOptions {
                kind: LinkKind::Packet,
                guard,
                ..LinkOptions::new(at.ip(), Ports::Exact(port))
            })
            .unwrap();
            let refused = b.run(connect).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::TimedOut, "{guard:?}");
            assert_eq!(receive(&link, 1).await[0].0, Kind::Tcp);
        }
    });
}

#[test]
fn changed_neighbour_is_noticed_after_a_second_and_a_stale_one_confirmed() {
    on_a_cable(|_| async {
        let mut ways = Ways::new(A, 0).unwrap();
        let now = Instant::now();
        let mut of = |seconds| ways.of(B, now + Duration::from_secs(seconds));
        let to = |way| match way {
            Way::Frame { header, .. } => Some(header[5]),
            Way::Ip => None,
        };
        assert_eq!((to(of(0)), to(of(0))), (None, Some(2)));
        let change = |what: &str| sh(&format!("ip neighbour replace {B} dev {DEVICE} {what}"));
        change("lladdr 02:00:00:00:00:99 nud permanent");
        assert_eq!((to(of(0)), to(of(1))), (Some(2), Some(0x99)));
        // One packet over IP, so that the kernel asks.
        change("lladdr 02:00:00:00:00:98 nud stale");
        assert_eq!(
            (to(of(2)), to(of(2)), to(of(2))),
            (None, Some(0x98), Some(0x98))
        );
        sh(&format!("ip neighbour del {B} dev {DEVICE}"));
        assert_eq!(to(of(3)), None);
    });
}

#[test]
fn local_peer_goes_over_ip() {
    on_a_cable(|_| async {
        let mut ways = Ways::new(A, 0).unwrap();
        let now = Instant::now();
        let local = [A, Ipv4Addr::LOCALHOST];
        for peer in [local, local].concat() {
            assert_eq!(ways.of(peer, now), Way::Ip);
        }
    });
}

/// The lengths of the packets in which a host of ours sent more to the kernel than its send buffer
/// holds, which got it as it was.
fn lengths_of_a_transfer(cable: Cable, options: HostOptions) -> Vec<usize> {
    let sent: Vec<u8> = (0..16u32 << 20).map(|at| (at % 251) as u8).collect();
    let (lengths, heard) = mpsc::channel();
    on_a(cable, |b| async move {
        let listener = b.run(|| std::net::TcpListener::bind(FAR)).unwrap();
        let watch = || {
            let watch = open_receiver().map_err(io::Error::other)?;
            listen(&watch, FAR.ip(), &(9000..=9000)).map_err(io::Error::other)?;
            Ok(watch)
        };
        let watch = b.run(watch).unwrap();
        watch.set_recv_buffer_size(8 << 20).unwrap();
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut got).unwrap();
            got
        });
        let link = open_link(LinkKind::Packet, NEAR);
        let host = crate::Host::with_link(link, options).unwrap();
        let mut stream = host.connect(FAR).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        assert!(reader.join().unwrap() == sent);
        let mut packet = [const { std::mem::MaybeUninit::uninit() }; 65_535];
        let next = || watch.recv(&mut packet).ok();
        lengths.send(std::iter::from_fn(next).collect()).unwrap();
    });
    heard.recv().unwrap_or_default()
}

#[test]
fn kernel_cuts_a_burst_into_segments_and_a_host_that_looks_at_each_sends_each() {
    let long = |lengths: &[usize]| lengths.iter().filter(|length| **length > 1500).count();
    let uncut = lengths_of_a_transfer(Cable::default(), HostOptions::default());
    if uncut.is_empty() {
        return;
    }
    assert!(long(&uncut) * 2 > uncut.len(), "{uncut:?}");
    // Where the device can do nothing the kernel does it before.
    let cut = lengths_of_a_transfer(Cable::PLAIN, HostOptions::default());
    assert!(long(&cut) == 0 && cut.len() > 700, "{cut:?}");
    let options = HostOptions {
        faults: vec!["drop out rst".parse().unwrap()],
        ..HostOptions::default()
    };
    let each = lengths_of_a_transfer(Cable::default(), options);
    assert!(long(&each) == 0 && each.len() > 700, "{each:?}");
}
