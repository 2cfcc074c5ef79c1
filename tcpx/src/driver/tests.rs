//! Hosts of our own against the kernel's TCP and each other, each test in a network namespace of
//! its own.

use super::*;
use crate::guard::tests::{LOCALHOST, in_namespace};
use crate::host::{Host, HostOptions};
use crate::link::LinkOptions;
use crate::ports::GuardKind;
use crate::ports::Ports;
use crate::record::{Observed, Observer};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use tcpx_proto::config::{Config, Profile};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const OURS: SocketAddr = SocketAddr::new(LOCALHOST, 7000);

/// Runs `test` in a namespace and in a tokio runtime with two threads.
fn on_a_wire<T: Future<Output = ()>>(test: impl FnOnce() -> T + Send + 'static) {
    in_namespace(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
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

fn host_with(ports: Ports, options: HostOptions) -> Host {
    Host::open(
        LinkOptions {
            guard: GuardKind::Listener,
            ..LinkOptions::new(LOCALHOST, ports)
        },
        options,
    )
    .unwrap()
}

fn host(ports: Ports) -> Host {
    let mut config = Config::default();
    config.conn.msl = Duration::from_millis(20);
    host_with(
        ports,
        HostOptions {
            config,
            ..HostOptions::default()
        },
    )
}

fn listen(host: &Host) -> crate::Listener {
    host.listen_with(OURS.port(), 16, &host.config().conn)
        .unwrap()
}

/// The kernel's TCP does something, on a thread of its own in the same namespace.
async fn kernel<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
    let entered = move || {
        let network = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), network)
            .unwrap();
        work()
    };
    tokio::task::spawn_blocking(entered).await.unwrap()
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

#[test]
fn kernel_client_gets_a_megabyte_back_and_both_ends_close_clean() {
    on_a_wire(|| async {
        let host = host(Ports::Exact(OURS.port()));
        let listener = listen(&host);
        let client = tokio::spawn(kernel(|| {
            use std::io::{Read, Write};
            let sent = pattern(1 << 20);
            let mut stream = TcpStream::connect(OURS).unwrap();
            let mut writer = stream.try_clone().unwrap();
            let copy = sent.clone();
            let writing = std::thread::spawn(move || {
                writer.write_all(&copy).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            writing.join().unwrap();
            assert!(received == sent);
        }));
        let (stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = (&stream, &stream);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
        client.await.unwrap();
        assert_eq!(stream.closed().await.unwrap(), CloseReason::Clean);
    });
}

#[test]
fn two_hosts_of_ours_exchange_what_was_written_in_parts_and_wait_out_time_wait() {
    on_a_wire(|| async {
        let server = host(Ports::Exact(OURS.port()));
        let client = host(Ports::Block(4));
        let listener = listen(&server);
        let mut near = client.connect(OURS).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        assert_eq!(
            (near.local_addr(), near.peer_addr()),
            (far.peer_addr(), far.local_addr())
        );
        let parts = [
            io::IoSlice::new(b"one, "),
            io::IoSlice::new(b""),
            io::IoSlice::new(b"two"),
        ];
        assert_eq!(near.write_vectored(&parts).await.unwrap(), 8);
        near.shutdown().await.unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "one, two");
        far.shutdown().await.unwrap();
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
        drop(near);
        let start = now();
        client.closed().await.unwrap();
        assert!(client.connections().is_empty());
        assert!(
            now().since(start) < Duration::from_secs(1),
            "TIME-WAIT of 40 ms"
        );
        assert_eq!(far.closed().await.unwrap(), CloseReason::Clean);
    });
}

#[test]
fn connect_to_a_closed_port_is_refused_and_without_a_route_fails_at_once() {
    on_a_wire(|| async {
        let host = host(Ports::Block(4));
        let refused = host
            .connect(SocketAddr::new(LOCALHOST, 9))
            .await
            .err()
            .unwrap();
        assert!(
            matches!(refused, Error::Ended(CloseReason::Refused)),
            "{refused}"
        );
        let nowhere = Ipv4Addr::new(192, 0, 2, 1);
        let unroutable = host
            .connect(SocketAddr::new(nowhere.into(), 9))
            .await
            .err()
            .unwrap();
        assert!(
            matches!(unroutable, Error::NoRoute(address) if address == nowhere),
            "{unroutable}"
        );
        assert!(host.connections().is_empty());
    });
}

#[test]
fn connection_that_was_reset_before_accept_says_so_after_it() {
    on_a_wire(|| async {
        let host = host(Ports::Exact(OURS.port()));
        let listener = listen(&host);
        kernel(|| {
            let client = socket2::Socket::from(TcpStream::connect(OURS).unwrap());
            client.set_linger(Some(Duration::ZERO)).unwrap();
        })
        .await;
        while host
            .connections()
            .iter()
            .any(|status| status.state != State::Closed)
        {
            tokio::task::yield_now().await;
        }
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(stream.closed().await.unwrap(), CloseReason::Reset);
        assert_eq!(
            stream.read(&mut [0]).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
    });
}

/// `TCP_INFO` of a kernel socket: bytes and words at their offsets in `struct tcp_info`.
struct Info([u8; 248]);

impl Info {
    fn of(socket: &impl std::os::fd::AsRawFd) -> Info {
        let mut info = [0; 248];
        let mut len = 248;
        // SAFETY: the kernel writes at most `len` bytes.
        let outcome = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        assert_eq!(outcome, 0);
        Info(info)
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn long(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().unwrap())
    }
}

/// Both ends of one connection, each of which sent and received the same: what one says of what it
/// sends, the other says of what it receives, and what both negotiated is the same.
#[test]
fn status_says_what_tcp_info_of_the_kernel_says_at_the_other_end() {
    on_a_wire(|| async {
        let config = Profile::Linux.config();
        let host = host_with(
            Ports::Exact(OURS.port()),
            HostOptions {
                config,
                ..HostOptions::default()
            },
        );
        let listener = listen(&host);
        let mut near = tokio::net::TcpStream::connect(OURS).await.unwrap();
        // As ours, whatever this machine prefers.
        socket2::SockRef::from(&near)
            .set_tcp_congestion(b"cubic")
            .unwrap();
        let mut far = listener.accept().await.unwrap().0;
        let (text, mut heard) = (pattern(5000), vec![0; 5000]);
        for _ in 0..20 {
            near.write_all(&text).await.unwrap();
            far.read_exact(&mut heard).await.unwrap();
            far.write_all(&text).await.unwrap();
            near.read_exact(&mut heard).await.unwrap();
        }
        // The last ACK may be delayed.
        while far.status().unwrap().in_flight > 0 || Info::of(&near).word(24) > 0 {
            tokio::task::yield_now().await;
        }
        let (kernel, tcpx) = (Info::of(&near), far.status().unwrap());
        assert_eq!((kernel.0[0], tcpx.state), (1, State::Established));
        assert_eq!((kernel.0[1], tcpx.recovery.name()), (0, "open"));
        let options = [
            (tcpx.timestamps, 1),
            (tcpx.sack, 2),
            (tcpx.ecn, 8),
            (tcpx.fast_open, 32),
        ];
        for (on, bit) in options {
            assert_eq!(on, kernel.0[5] & bit > 0, "option {bit}");
        }
        let scales = (kernel.0[6] >> 4, kernel.0[6] & 15);
        assert_eq!(tcpx.window_scale, Some(scales));
        // SYN and FIN count in the kernel's bytes_acked; a passive opener's do not.
        assert_eq!(kernel.long(120), tcpx.bytes_received + 1);
        assert_eq!(kernel.long(128), tcpx.bytes_acked);
        assert_eq!(kernel.long(200), tcpx.bytes_received);
        assert_eq!(tcpx.bytes_sent, kernel.long(128));
        // unacked, sacked, lost, retrans, notsent, bytes_retrans, dsack_dups, reord_seen.
        for at in [24, 28, 32, 36, 144, 208, 216, 220] {
            assert_eq!(kernel.word(at), 0, "at {at}");
        }
        let ours = [tcpx.in_flight, tcpx.sacked, tcpx.lost, tcpx.retransmitted];
        assert_eq!((ours, tcpx.unsent), ([0; 4], 0));
        assert_eq!((tcpx.bytes_retransmitted, tcpx.duplicates_reported), (0, 0));
        // No loss yet: TCP_INFINITE_SSTHRESH.
        assert_eq!((kernel.word(76), tcpx.ssthresh), (0x7fff_ffff, None));
        assert_eq!(kernel.word(16), u32::from(tcpx.mss), "snd_mss");
        assert_eq!(kernel.word(60), u32::from(tcpx.path_mtu), "pmtu");
        assert_eq!(kernel.word(20), tcpx.rcv_mss, "rcv_mss");
        let rto = Duration::from_micros(kernel.word(8).into());
        assert!(
            rto.abs_diff(tcpx.rto) <= Duration::from_millis(20),
            "{rto:?} {tcpx}"
        );
        // The SYN and the third ACK count at the kernel's end, which had a socket by then.
        assert_eq!(kernel.word(136), tcpx.segments_in + 1, "segs_out");
        assert_eq!(kernel.word(140), tcpx.segments_out + 1, "segs_in");
        let now = now();
        for (at, ours) in [
            (44, now.since(tcpx.text_heard_at.unwrap())),
            (52, now.since(tcpx.text_sent_at)),
        ] {
            let kernel = Duration::from_millis(kernel.word(at).into());
            assert!(
                kernel.abs_diff(ours) < Duration::from_millis(500),
                "at {at}"
            );
        }
    });
}

#[test]
fn calls_after_the_end_fail_as_those_of_a_kernel_socket() {
    on_a_wire(|| async {
        let host = host(Ports::Exact(OURS.port()));
        let listener = listen(&host);
        let connected = || async {
            let near = tokio::net::TcpStream::connect(OURS).await.unwrap();
            (near, listener.accept().await.unwrap().0)
        };
        let kind = |outcome: io::Result<usize>| outcome.map_err(|error| error.kind());
        let (mut near, mut far) = connected().await;
        near.shutdown().await.unwrap();
        far.shutdown().await.unwrap();
        for _ in 0..2 {
            let kinds = [kind(near.write(b"x").await), kind(far.write(b"x").await)];
            assert_eq!(kinds, [Err(io::ErrorKind::BrokenPipe); 2]);
            let ends = [near.read(&mut [0]).await, far.read(&mut [0]).await];
            assert_eq!(ends.map(kind), [Ok(0); 2]);
            // Now, both directions have ended.
            far.closed().await.unwrap();
            near.shutdown().await.unwrap();
            far.shutdown().await.unwrap();
        }
        let (near, mut far) = connected().await;
        near.set_zero_linger().unwrap();
        drop(near);
        assert_eq!(far.closed().await.unwrap(), CloseReason::Reset);
        let (mut near, other) = connected().await;
        other.abort();
        let kinds = [
            kind(near.read(&mut [0]).await),
            kind(far.read(&mut [0]).await),
        ];
        assert_eq!(kinds, [Err(io::ErrorKind::ConnectionReset); 2]);
        near.shutdown().await.unwrap();
        far.shutdown().await.unwrap();
    });
}

#[test]
fn last_handle_dropped_frees_the_port_for_the_kernel() {
    on_a_wire(|| async {
        let host = host(Ports::Exact(OURS.port()));
        let listener = listen(&host);
        drop(host);
        assert!(
            TcpListener::bind(OURS).is_err(),
            "the listener is a handle, too"
        );
        drop(listener);
        while TcpListener::bind(OURS).is_err() {
            tokio::task::yield_now().await;
        }
    });
}

/// Panics at the first segment that carries text.
struct Squeamish;

impl Observer for Squeamish {
    fn observe(&mut self, observed: &Observed) {
        let text = observed.segment().map_or(0, |record| record.len);
        assert_eq!(text, 0, "text");
    }
}

#[test]
fn panic_in_the_loop_ends_what_waits_with_an_error() {
    on_a_wire(|| async {
        let server = host_with(
            Ports::Exact(OURS.port()),
            HostOptions {
                observers: vec![Box::new(Squeamish)],
                ..HostOptions::default()
            },
        );
        let listener = listen(&server);
        let client = host(Ports::Block(4));
        let mut near = client.connect(OURS).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let reader = tokio::spawn(async move { far.read(&mut [0; 8]).await });
        let accepter = tokio::spawn(async move { listener.accept().await.err() });
        near.write_all(b"text").await.unwrap();
        let error = reader.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("panic"), "{error}");
        assert!(accepter.await.unwrap().is_some());
        assert!(server.closed().await.is_err());
    });
}

#[test]
fn runtime_that_shuts_down_ends_what_waits_elsewhere_with_an_error() {
    in_namespace(|| {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
        };
        let own = runtime();
        let other = runtime();
        let listener = own.block_on(async { listen(&host(Ports::Exact(OURS.port()))) });
        drop(own);
        assert!(other.block_on(listener.accept()).is_err());
    });
}

#[test]
fn vanished_host_answers_nothing_and_its_peer_is_left_alone() {
    on_a_wire(|| async {
        let server = host(Ports::Exact(OURS.port()));
        let client = host(Ports::Block(4));
        let listener = listen(&server);
        let mut near = client.connect(OURS).await.unwrap();
        let far = listener.accept().await.unwrap().0;
        server.vanish();
        near.write_all(b"anybody there?").await.unwrap();
        while near.status().unwrap().retransmissions == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(far.status().unwrap().unread, 0);
    });
}

/// Runs `test` in a namespace, all on one thread.
fn on_one_thread<T: Future<Output = ()>>(test: impl FnOnce() -> T + Send + 'static) {
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

fn awake(host: &Host) -> bool {
    host.shared().inner.lock().unwrap().awake
}

/// The packets that wait to be sent.
fn held(host: &Host) -> usize {
    host.shared().inner.lock().unwrap().batch.len()
}

/// As if the last waits had been short: it lasts until the loop has done its work.
fn keep_awake(host: &Host) {
    host.shared().inner.lock().unwrap().awake = true;
}

/// Connections between two hosts.
async fn connections(
    client: &Host,
    listener: &crate::Listener,
    count: usize,
) -> Vec<(crate::Stream, crate::Stream)> {
    let mut made = Vec::new();
    for _ in 0..count {
        let near = client.connect(OURS).await.unwrap();
        made.push((near, listener.accept().await.unwrap().0));
    }
    made
}

#[test]
fn calls_while_the_loop_is_awake_leave_together_and_in_order() {
    on_one_thread(|| async {
        let (server, client) = (host(Ports::Exact(OURS.port())), host(Ports::Block(4)));
        let mut pairs = connections(&client, &listen(&server), 3).await;
        keep_awake(&client);
        let config = &client.config().conn;
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], 9));
        let started = client.start_connect(0, elsewhere, config);
        assert_eq!(held(&client), 0, "whether there is a way is known at once");
        started.unwrap().abort();
        keep_awake(&client);
        let started = client.start_connect(0, elsewhere, config);
        assert_eq!(held(&client), 1, "there was a way");
        started.unwrap().abort();
        client.shared().fall_asleep();
        keep_awake(&client);
        for (at, (near, _)) in pairs.iter_mut().enumerate() {
            near.write_all(&[at as u8]).await.unwrap();
            near.write_all(b" and").await.unwrap();
            near.shutdown().await.unwrap();
        }
        // The second text waits for the ACK of the first, or goes with the FIN.
        assert_eq!(held(&client), 6);
        for (at, (_, far)) in pairs.iter_mut().enumerate() {
            let mut text = Vec::new();
            far.read_to_end(&mut text).await.unwrap();
            assert_eq!(text, [&[at as u8], &b" and"[..]].concat());
        }
        assert_eq!(held(&client), 0);
        client.shared().inner.lock().unwrap().awake = false;
        pairs.iter().for_each(|(near, _)| near.abort());
        assert_eq!(held(&client), 0, "sent at once");
    });
}

#[test]
fn tasks_that_one_batch_wakes_send_together() {
    on_one_thread(|| async {
        // Whatever else the machine does.
        let patient = HostOptions {
            stay_awake: Duration::from_secs(5),
            ..HostOptions::default()
        };
        let (server, client) = (
            host_with(Ports::Exact(OURS.port()), patient),
            host(Ports::Block(8)),
        );
        let mut pairs = connections(&client, &listen(&server), 8).await;
        for _ in 0..20 {
            keep_awake(&client);
            for (near, _) in &mut pairs {
                near.write_all(b"a").await.unwrap();
            }
            let echoes: Vec<_> = pairs
                .drain(..)
                .map(|(near, mut far)| {
                    let server = server.clone();
                    tokio::spawn(async move {
                        far.read_exact(&mut [0]).await.unwrap();
                        far.write_all(b"b").await.unwrap();
                        (near, far, held(&server))
                    })
                })
                .collect();
            let mut most = 0;
            for echo in echoes {
                let (mut near, far, held) = echo.await.unwrap();
                near.read_exact(&mut [0]).await.unwrap();
                pairs.push((near, far));
                most = most.max(held);
            }
            if most == 8 {
                return;
            }
        }
        panic!("they never do");
    });
}

#[test]
fn host_that_ends_while_its_loop_is_awake_sends_what_was_left_to_it() {
    on_one_thread(|| async {
        let (server, client) = (host(Ports::Exact(OURS.port())), host(Ports::Block(4)));
        let listener = listen(&server);
        let (near, mut far) = connections(&client, &listener, 1).await.remove(0);
        keep_awake(&client);
        near.abort();
        assert_eq!(held(&client), 1);
        drop((near, client));
        let error = far.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn loop_is_awake_between_packets_that_follow_each_other_and_not_when_idle() {
    on_one_thread(|| async {
        let (server, client) = (host(Ports::Exact(OURS.port())), host(Ports::Block(300)));
        let listener = listen(&server);
        let (mut near, mut far) = connections(&client, &listener, 1).await.remove(0);
        let mut octet = [7];
        let mut seen = [false; 2];
        while seen != [true; 2] {
            near.write_all(&octet).await.unwrap();
            far.read_exact(&mut octet).await.unwrap();
            seen[1] |= awake(&server);
            far.write_all(&octet).await.unwrap();
            near.read_exact(&mut octet).await.unwrap();
            seen[0] |= awake(&client);
        }
        let _idle = connections(&client, &listener, 299).await;
        // Acknowledgments that were delayed are past after the first of these. Others may run on
        // this CPU: time counts that this thread has.
        let idle = Duration::from_millis(250);
        tokio::time::sleep(idle).await;
        let used = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
        };
        let before = used();
        tokio::time::sleep(idle).await;
        let used = used() - before;
        assert!(used < idle / 10, "{used:?} of CPU time in {idle:?}");
        assert!(!awake(&client) && !awake(&server));
    });
}
